//! Keeping a lease: renewed by time while its holder works, whatever the work does.
//!
//! Owns when to renew and when a lease counts as lost. Who may take a run is `store::lease`; what a
//! lost lease means for the work is its own affair. Invariant: nobody goes on with a lease whose
//! end has passed by its own clock, and a lease is never renewed by progress alone.

use crate::caps;
use crate::ports::Ports;
use crate::store::{self, Fence, Held, Store};
use futures::future::{Either, FutureExt, select};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// How a lease is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// How long it lasts without renewal, in ms.
    pub lease_ms: u64,
}

impl Default for LeaseTerms {
    fn default() -> Self {
        LeaseTerms {
            lease_ms: caps::LEASE_MS,
        }
    }
}

impl LeaseTerms {
    /// When a lease taken or renewed at `now` ends, Unix ms.
    pub const fn until(self, now: i64) -> i64 {
        now.saturating_add_unsigned(self.lease_ms)
    }

    /// The wait before the next renewal, in ms: two may fail before the lease is gone.
    pub fn renew_after_ms(self) -> u64 {
        (self.lease_ms / 3).max(1)
    }
}

/// What a failed renewal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Nobody else has it yet: try again.
    Retry,
    /// Somebody else may have it.
    Lost,
}

fn after_failure(failure: &store::Error, now: i64, until: i64) -> Next {
    match failure {
        store::Error::Fenced | store::Error::Missing | store::Error::LeaseHeld { .. } => Next::Lost,
        store::Error::Unavailable(_)
        | store::Error::Corrupt(_)
        | store::Error::SeqMismatch { .. } => {
            if now >= until {
                Next::Lost
            } else {
                Next::Retry
            }
        }
    }
}

/// An acquisition whose lease is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquired {
    /// The run.
    pub run_id: String,
    /// The fence of its writes.
    pub fence: Fence,
    /// The acquisition's token.
    pub holder: String,
    /// Until when the lease lasts, Unix ms.
    pub until: i64,
}

/// Renews the lease again and again, and completes once it is lost. To be dropped with the work.
pub async fn keep<P: Ports, S: Store + Clone>(
    ports: &P,
    store: &S,
    acquired: &Acquired,
    terms: LeaseTerms,
) {
    renew(ports, store, acquired, terms, &Cell::new(acquired.until)).await;
}

/// Does `work` under the lease that [`keep`] keeps, and gives it back unfinished once that is lost.
pub(crate) async fn under_lease<P: Ports, S: Store + Clone, W: Future + Unpin>(
    ports: &P,
    store: &S,
    acquired: &Acquired,
    terms: LeaseTerms,
    mut work: W,
) -> Result<W::Output, W> {
    let until = Cell::new(acquired.until);
    let mut kept = pin!(renew(ports, store, acquired, terms, &until));
    let now = || ports.now_ms();
    let worked = poll_fn(|cx| leased(cx, kept.as_mut(), now, &until, |cx| work.poll_unpin(cx)));
    worked.await.map_err(|()| work)
}

/// One look at work under a lease, of which `lost` completes when it is lost and `until` is its end as far as its
/// holder knows, Unix ms. The work stands still while that has passed, until the holder knows whether it still has it.
pub(super) fn leased<T, L>(
    cx: &mut Context<'_>,
    lost: Pin<&mut (impl Future<Output = L> + ?Sized)>,
    now: impl Fn() -> i64,
    until: &Cell<i64>,
    work: impl FnOnce(&mut Context<'_>) -> Poll<T>,
) -> Poll<Result<T, L>> {
    // Who stood still past its lease's end, and is woken by a frame, learns here that it is over: nothing can be
    // written any more, whatever else came.
    if let Poll::Ready(lost) = lost.poll(cx) {
        return Poll::Ready(Err(lost));
    }
    if now() >= until.get() {
        return Poll::Pending;
    }
    work(cx).map(Ok)
}

/// As [`keep`]. `until` is when the lease ends as far as its holder knows, Unix ms: behind it nothing may be done
/// before this says more.
pub(super) async fn renew<P: Ports, S: Store + Clone>(
    ports: &P,
    store: &S,
    acquired: &Acquired,
    terms: LeaseTerms,
    until: &Cell<i64>,
) {
    loop {
        let left = u64::try_from(until.get().saturating_sub(ports.now_ms())).unwrap_or(0);
        ports.sleep(terms.renew_after_ms().min(left)).await;
        let held = Held {
            fence: acquired.fence,
            holder: &acquired.holder,
        };
        // Counted from before the call: a slow answer must not lengthen what the store holds.
        let renewed_until = terms.until(ports.now_ms());
        let left = u64::try_from(until.get().saturating_sub(ports.now_ms())).unwrap_or(0);
        // One that finds its lease over asks once: nobody may have taken it. An answer that doesn't
        // come must not keep it going either.
        let lapse = pin!(ports.sleep(left.max(terms.renew_after_ms())));
        let renewal = pin!(store.renew(&acquired.run_id, held, renewed_until));
        let Either::Left((renewed, _)) = select(renewal, lapse).await else {
            return;
        };
        match renewed {
            Ok(()) => until.set(renewed_until),
            Err(failure) => match after_failure(&failure, ports.now_ms(), until.get()) {
                Next::Lost => return,
                Next::Retry => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DriverError;

    #[test]
    fn a_lease_outlives_two_failed_renewals() {
        for lease_ms in [3, 1_000, 30_000, 60_000] {
            let terms = LeaseTerms { lease_ms };
            assert!(2 * terms.renew_after_ms() < lease_ms, "{lease_ms}");
            assert_eq!(terms.until(100), 100 + i64::try_from(lease_ms).unwrap());
        }
        assert_eq!(LeaseTerms { lease_ms: 0 }.renew_after_ms(), 1);
    }

    #[test]
    fn a_lease_is_lost_when_it_is_taken_or_over() {
        let down = store::Error::Unavailable(DriverError {
            message: String::new(),
            unknown: true,
            full: false,
        });
        for (failure, now, expected) in [
            (store::Error::Fenced, 0, Next::Lost),
            (store::Error::Missing, 0, Next::Lost),
            (down.clone(), 999, Next::Retry),
            (down, 1_000, Next::Lost),
        ] {
            assert_eq!(after_failure(&failure, now, 1_000), expected, "{failure:?}");
        }
    }
}
