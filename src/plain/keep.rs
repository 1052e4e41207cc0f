//! The task that drains a turn beside its lease, whoever reads or leaves.
//!
//! Owns what a lost lease, a cancel from elsewhere and a failing store mean for the drain, and the
//! telling of a cancel afterwards. Invariant: the lease is renewed by time, and behind its loss
//! nothing is written.

use crate::caps;
use crate::log::{Live, Stop};
use crate::ops::{Event, Why};
use crate::ports::Ports;
use crate::run::{Acquired, LeaseTerms, under_lease};
use crate::store::{self, Store};
use crate::turn::{Drain, Drained, Hooks, Told, tell};
use crate::upstream::Upstream;
use futures::future::{Either, select};
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;

/// The task that drains one acquisition's run.
pub(super) struct Task<P, S> {
    pub(super) ports: P,
    pub(super) store: S,
    pub(super) acquired: Acquired,
    pub(super) terms: LeaseTerms,
}

impl<P: Ports, S: Store + Clone> Task<P, S> {
    pub(super) async fn run<U: Upstream, H: Hooks>(self, drain: Drain<P, S, Rc<U>, H>) {
        let (live, upstream) = (Rc::clone(&drain.live), Rc::clone(&drain.upstream));
        let drained = {
            let (drain, watch) = (pin!(drain.run()), pin!(self.watch(&live)));
            let work = pin!(async {
                match select(drain, watch).await {
                    Either::Left((drained, _)) => drained,
                    // The watch never completes.
                    Either::Right((_, drain)) => drain.await,
                }
            });
            let (ports, store) = (&self.ports, &self.store);
            match under_lease(ports, store, &self.acquired, self.terms, work).await {
                Ok(drained) => drained,
                Err(work) => {
                    live.stop(Stop::Replaced);
                    work.await
                }
            }
        };
        match drained {
            Drained::Finished(_) => {
                if let Err(failure) = self.tell_cancel(&upstream).await {
                    self.log(Why::Store(&failure));
                }
            }
            // An upstream's turn never waits for an event.
            Drained::Suspended => {}
            Drained::Fenced => self.log(Why::Fenced),
            Drained::Stopped(failure) => {
                self.log(Why::Store(&failure));
                let released = self
                    .store
                    .release(&self.acquired.run_id, self.acquired.fence);
                if let Err(failure) = released.await {
                    self.log(Why::Store(&failure));
                }
            }
        }
    }

    /// Looks for a cancel as often as the lease is renewed. Never completes.
    async fn watch(&self, live: &Live) {
        loop {
            self.ports.sleep(self.terms.renew_after_ms()).await;
            // A read that fails is made again; what must not be missed is the store's to tell.
            if let Ok(Some(run)) = self.store.run(&self.acquired.run_id).await
                && let Some(cancel) = run.cancel
            {
                live.stop(Stop::Cancel(cancel.reason));
                return pending().await;
            }
        }
    }

    /// Tells the upstream of a cancel that the turn's end has left, a bounded number of times.
    async fn tell_cancel<U: Upstream>(&self, upstream: &U) -> Result<(), store::Error> {
        let run_id = &self.acquired.run_id;
        let run = self.store.run(run_id).await?;
        let Some(mut untold) = run.and_then(|run| run.upstream_cancel) else {
            return Ok(());
        };
        loop {
            let told = tell(&self.ports, upstream, untold, caps::PLAIN_CANCEL_TRIES).await;
            let left = match told {
                Told::Known => None,
                Told::Rejected { status } => {
                    self.log(Why::CancelRejected(status));
                    None
                }
                // Nobody else goes on telling here: the row says what is left.
                Told::GivenUp(cancel) => Some(cancel),
                Told::Later(cancel) => {
                    let wait = cancel.next_at.saturating_sub(self.ports.now_ms());
                    let wait = u64::try_from(wait).unwrap_or(0);
                    if wait <= caps::PLAIN_CANCEL_WAIT_MS {
                        self.ports.sleep(wait).await;
                        untold = cancel;
                        continue;
                    }
                    Some(cancel)
                }
            };
            let now = self.ports.now_ms();
            let store = &self.store;
            return store.set_upstream_cancel(run_id, left.as_ref(), now).await;
        }
    }

    fn log(&self, why: Why<'_>) {
        log(&self.ports, &self.acquired.run_id, why);
    }
}

/// Tells the operator about a turn.
pub(super) fn log<P: Ports>(ports: &P, run_id: &str, why: Why<'_>) {
    ports.log(&Event::Run { run_id, why }.to_string());
}
