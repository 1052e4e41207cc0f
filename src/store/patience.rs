//! Asking a store again whose failure may pass.
//!
//! Owns how often and how long apart. It doesn't own what a repeated write comes to: the store
//! recognises it. Invariant: there is an end to it, and whatever asking again can't mend is told at
//! once.

use super::Error;
use crate::caps;
use crate::ports::Timer;

/// Makes a call until it is answered or has failed often enough.
pub(crate) async fn patiently<P: Timer, T>(
    ports: &P,
    mut call: impl AsyncFnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let mut tries = 0;
    loop {
        match call().await {
            Err(Error::Unavailable(failure)) if !failure.full && tries < caps::COMMIT_TRIES => {
                ports.sleep(caps::COMMIT_RETRY_MS << tries).await;
                tries += 1;
            }
            answer => return answer,
        }
    }
}
