//! Reading a turn's lines straight out of a store.
//!
//! Owns the reading side of turns without an object. It takes no lease and writes nothing. Where the
//! turn is drained by this very task's isolate it is woken by the drain; where it isn't, it polls, a
//! bounded number of times. Invariant: a reader gives exactly the log's lines from its seq on, at its
//! own pace, and ends without an error only behind the terminal line.

use crate::caps;
use crate::log::Live;
use crate::ops::Why;
use crate::ports::Ports;
use crate::store::{self, LogHome, LogRow, Run, Store};
use crate::wire::Framing;
use futures_util::Stream;
use futures_util::future::{Either, select};
use futures_util::stream;
use std::pin::pin;
use std::rc::Rc;

/// The lines can't be read on here: the body is to be cut without an ending, so that the client
/// submits or follows again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream was cut; ask again")]
pub struct TurnCut;

/// Reads one turn's lines.
pub struct TurnLines<P, S> {
    ports: P,
    store: S,
    run_id: String,
    /// The drain, when it is here.
    live: Option<Rc<Live>>,
    next_seq: u64,
    framing: Framing,
    /// Goes on where the log ends at present.
    goes_on: bool,
    heard_at: i64,
    polls: u32,
    over: bool,
}

impl<P: Ports, S: Store> TurnLines<P, S> {
    /// A reader of `run` from `next_seq` on.
    pub(super) fn new(
        ports: P,
        store: S,
        run_id: String,
        live: Option<Rc<Live>>,
        next_seq: u64,
        framing: Framing,
        goes_on: bool,
    ) -> Self {
        TurnLines {
            heard_at: ports.now_ms(),
            ports,
            store,
            run_id,
            live,
            next_seq,
            framing,
            goes_on,
            polls: 0,
            over: false,
        }
    }

    /// The run that is read.
    pub fn execution_id(&self) -> &str {
        &self.run_id
    }

    /// How lines are laid into the body.
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// The next bytes: whole lines, or a heartbeat after long quiet; `None` behind the end.
    ///
    /// # Errors
    /// [`TurnCut`] when the lines can't be read on here.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, TurnCut> {
        loop {
            if self.over {
                return Ok(None);
            }
            let live = self.live.clone().filter(|live| !live.is_over());
            // Read before the lines, so that what comes in between wakes us.
            let since = live.as_ref().map(|live| live.changed().generation());
            let page = self
                .store
                .log(&self.run_id, self.next_seq, caps::LOG_PAGE_ROWS);
            let page = page.await.map_err(|failure| self.cut(&failure))?;
            if let Some(bytes) = self.take(&page) {
                // A commit that was just written may be read before it is durable.
                let durable = self.store.sync().await;
                durable.map_err(|failure| self.cut(&failure))?;
                self.heard_at = self.ports.now_ms();
                return Ok(Some(bytes));
            }
            match (live, since) {
                (Some(live), Some(since)) if self.goes_on => {
                    let sleep = pin!(self.ports.sleep(self.quiet_left()));
                    if let Either::Right(_) = select(live.changed().changed(since), sleep).await {
                        return Ok(Some(self.heartbeat()));
                    }
                }
                _ => {
                    if let Some(heartbeat) = self.look().await? {
                        return Ok(Some(heartbeat));
                    }
                }
            }
        }
    }

    /// The lines as a body: it reads when it is polled, and dropping it changes nothing.
    pub fn into_stream(self) -> impl Stream<Item = Result<Vec<u8>, TurnCut>> {
        stream::unfold(Some(self), async |lines| {
            let mut lines = lines?;
            match lines.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(lines))),
                Ok(None) => None,
                Err(cut) => Some((Err(cut), None)),
            }
        })
    }

    /// Looks whether the turn is over, and whether anybody drains it, then waits a little.
    async fn look(&mut self) -> Result<Option<Vec<u8>>, TurnCut> {
        let run = self.store.run(&self.run_id).await;
        let run = run.map_err(|failure| self.cut(&failure))?.ok_or(TurnCut)?;
        if run.log_home == LogHome::Expired || self.polls >= caps::READER_POLLS {
            return Err(TurnCut);
        }
        self.polls += 1;
        if run.state.status.is_terminal() {
            // Otherwise its last lines came in just now.
            self.over = self.next_seq >= run.state.line_count;
            return Ok(None);
        }
        if !self.goes_on {
            self.over = true;
            return Ok(None);
        }
        if !is_held(&run, self.ports.now_ms()) {
            return Err(TurnCut);
        }
        self.ports.sleep(caps::READER_POLL_MS).await;
        Ok((self.quiet_left() == 0).then(|| self.heartbeat()))
    }

    /// Frames a page's lines from our seq on; `None` when it has none.
    fn take(&mut self, page: &[LogRow]) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for row in page {
            if let Some(lines) = row.lines_from(self.next_seq) {
                self.framing.encode(self.next_seq, lines, &mut bytes);
                self.next_seq = row.next_seq();
            }
        }
        (!bytes.is_empty()).then_some(bytes)
    }

    /// The time until a heartbeat is due, in ms.
    fn quiet_left(&self) -> u64 {
        let due = self.heard_at.saturating_add_unsigned(caps::HEARTBEAT_MS);
        u64::try_from(due.saturating_sub(self.ports.now_ms())).unwrap_or(0)
    }

    fn heartbeat(&mut self) -> Vec<u8> {
        self.heard_at = self.ports.now_ms();
        self.framing.heartbeat().as_bytes().to_vec()
    }

    fn cut(&self, failure: &store::Error) -> TurnCut {
        super::keep::log(&self.ports, &self.run_id, Why::Store(failure));
        TurnCut
    }
}

/// Somebody drains this run.
pub(super) fn is_held(run: &Run, now: i64) -> bool {
    run.lease.as_ref().is_some_and(|lease| lease.until > now)
}
