//! Telling upstreams of cancels until they know.
//!
//! Owns the one task that does it. Invariant: a cancel stays pending in the store until the
//! upstream has answered that it knows, or that there is nothing to know.

use super::accepted::Target;
use super::{Platform, Session};
use crate::caps;
use crate::ops::{About, Why};
use crate::ports::Timer;
use crate::store::{self, Run, Store, UpstreamCancel};
use crate::turn::{Told, tell};
use std::rc::Rc;

impl<P: Platform> Session<P> {
    /// Starts telling unless it is under way.
    pub(super) fn keep_telling(self: &Rc<Self>) {
        if self.telling.replace(true) {
            return;
        }
        let session = Rc::clone(self);
        self.spawn(async move {
            let told = session.tell().await;
            session.telling.set(false);
            if let Err(failure) = told {
                session.log(About::Cancel, Why::Store(&failure));
            }
        });
    }

    /// Tells every pending cancel, waiting between tries while the wait is short; the alarm does
    /// the rest.
    async fn tell(self: &Rc<Self>) -> Result<(), store::Error> {
        loop {
            let pending = self.store.pending_cancels(caps::LIST_LIMIT).await?;
            let Some(next_at) = pending
                .iter()
                .filter_map(|run| run.upstream_cancel.as_ref())
                .map(|cancel| cancel.next_at)
                .min()
            else {
                return Ok(());
            };
            let now = self.now();
            if next_at > now {
                let wait = u64::try_from(next_at.saturating_sub(now)).unwrap_or(0);
                if wait > caps::SHIP_RETRY_MOST_MS {
                    return Ok(());
                }
                self.platform.ports().sleep(wait).await;
                continue;
            }
            for run in pending {
                if let Some(cancel) = run.upstream_cancel.clone()
                    && cancel.next_at <= now
                {
                    self.tell_one(&run, cancel).await?;
                }
            }
            self.keep_shipping();
        }
    }

    async fn tell_one(&self, run: &Run, cancel: UpstreamCancel) -> Result<(), store::Error> {
        let told = match serde_json::from_str::<Target>(&run.upstream) {
            Ok(target) => {
                let upstream = self.upstream(&target);
                let ports = self.platform.ports();
                tell(ports, &upstream, cancel, caps::CANCEL_TRIES).await
            }
            // Nobody could be told; the run's row is corrupt and says so wherever it is read.
            Err(_) => Told::Known,
        };
        let left = match told {
            Told::Known | Told::GivenUp(_) => None,
            Told::Rejected { status } => {
                self.log(About::Run(&run.run_id), Why::CancelRejected(status));
                None
            }
            Told::Later(cancel) => Some(cancel),
        };
        let now = self.now();
        self.store
            .set_upstream_cancel(&run.run_id, left.as_ref(), now)
            .await
    }
}
