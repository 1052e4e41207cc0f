//! Reading a turn's lines straight out of a store.
//!
//! Owns how followers of turns without an object learn of more lines: where the turn is drained by this
//! very task's isolate they are woken by the drain; where it isn't, they poll, a bounded number of times. It
//! takes no lease and writes nothing. Invariant: nobody waits for a turn that nobody drains.

use crate::caps;
use crate::log::{Body, FollowerCut, Live, Source, Standing};
use crate::ops::Why;
use crate::ports::Ports;
use crate::store::{self, LogHome, LogRow, Run, Store};
use crate::wire::view::AnyView;
use futures::future::select;
use std::pin::pin;
use std::rc::Rc;

/// The body of an answer without an object: a turn's lines as their reader's view shows them.
pub type TurnLines<P, S, V = AnyView> = Body<PlainLog<P, S>, V>;

/// One turn's lines, in a store.
#[derive(Debug)]
pub struct PlainLog<P, S> {
    ports: P,
    store: S,
    run_id: String,
    /// The drain, when it is here.
    live: Option<Rc<Live>>,
    polls: u32,
}

impl<P: Ports, S: Store> PlainLog<P, S> {
    pub(super) const fn new(ports: P, store: S, run_id: String, live: Option<Rc<Live>>) -> Self {
        PlainLog {
            ports,
            store,
            run_id,
            live,
            polls: 0,
        }
    }

    /// The run that is read.
    pub fn execution_id(&self) -> &str {
        &self.run_id
    }

    fn cut(&self, failure: &store::Error) -> FollowerCut {
        super::keep::log(&self.ports, &self.run_id, Why::Store(failure));
        FollowerCut
    }

    async fn read(&self, next_seq: u64) -> Result<Vec<LogRow>, store::Error> {
        let page = self.store.log(&self.run_id, next_seq, caps::LOG_PAGE_ROWS);
        let rows = page.await?;
        if !rows.is_empty() {
            // A commit that was just written may be read before it is durable.
            self.store.sync().await?;
        }
        Ok(rows)
    }

    fn drain(&self) -> Option<&Rc<Live>> {
        self.live.as_ref().filter(|live| !live.is_over())
    }
}

impl<P: Ports, S: Store> Source for PlainLog<P, S> {
    /// The drain, when it is here, and the generation of its changes.
    type Mark = Option<(Rc<Live>, u64)>;

    fn mark(&self) -> Result<Self::Mark, FollowerCut> {
        Ok(self
            .drain()
            .map(|live| (Rc::clone(live), live.changed().generation())))
    }

    async fn page(&self, next_seq: u64) -> Result<Vec<LogRow>, FollowerCut> {
        let rows = self.read(next_seq).await;
        rows.map_err(|failure| self.cut(&failure))
    }

    async fn standing(&self) -> Result<Standing, FollowerCut> {
        if self.drain().is_some() {
            // It goes on as long as its drain does, which spares a query at each wake-up.
            return Ok(Standing::Open);
        }
        let run = self.store.run(&self.run_id).await;
        let run = run.map_err(|failure| self.cut(&failure))?;
        let run = run.ok_or(FollowerCut)?;
        if run.log_home == LogHome::Expired {
            return Err(FollowerCut);
        }
        if run.state.status.is_terminal() {
            return Ok(Standing::Over {
                lines: run.state.line_count,
            });
        }
        // An upstream's turn never waits for an event, so nobody wakes one that nobody drains.
        if is_held(&run, self.ports.now_ms()) {
            Ok(Standing::Open)
        } else {
            Ok(Standing::Suspended)
        }
    }

    async fn wait(
        &mut self,
        mark: Self::Mark,
        standing: Standing,
        most_ms: u64,
    ) -> Result<(), FollowerCut> {
        if let Some((live, since)) = mark {
            let sleep = pin!(self.ports.sleep(most_ms));
            select(live.changed().changed(since), sleep).await;
            return Ok(());
        }
        if standing == Standing::Suspended || self.polls >= caps::READER_POLLS {
            return Err(FollowerCut);
        }
        self.polls += 1;
        self.ports.sleep(caps::READER_POLL_MS.min(most_ms)).await;
        Ok(())
    }

    async fn tend(&self) -> Result<(), FollowerCut> {
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        self.ports.now_ms()
    }
}

/// Somebody drains this run.
pub(super) fn is_held(run: &Run, now: i64) -> bool {
    run.lease.as_ref().is_some_and(|lease| lease.until > now)
}
