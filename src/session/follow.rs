//! Following a turn: lines from a seq on, then more as they come.
//!
//! Owns the reading side: a submit's own answer and every re-attach are this same code. It writes
//! nothing, and the drain doesn't know it. Invariant: a follower gives exactly the log's lines
//! from its seq on, at its own pace, and ends only behind the terminal line.

use super::{Caller, Platform, Reply, Session, Streaming, location};
use crate::caps;
use crate::ops::{About, Why};
use crate::ports::Timer;
use crate::store::{self, LogHome, LogRow, Run, Status, Store};
use crate::wire::Framing;
use crate::wire::problem::Problem;
use futures_util::future::{Either, select};
use std::pin::pin;
use std::rc::Rc;

/// The follower can't go on here: its connection is to be cut without an ending, so that the
/// client follows again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream was cut; follow again")]
pub struct FollowerCut;

/// Reads one turn's lines.
pub struct Follower<P: Platform> {
    session: Rc<Session<P>>,
    run_id: String,
    from: Source,
    next_seq: u64,
    framing: Framing,
    live: bool,
    over: bool,
    /// It has found the run over, and no lines, since it last gave some.
    seen_over: bool,
    /// For how long it has only seen that the run is suspended, in ms.
    suspended_ms: u64,
}

/// Where the lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Object,
    Durable,
}

impl<P: Platform> Session<P> {
    pub(super) async fn follow(
        self: &Rc<Self>,
        caller: &Caller,
        turn: u64,
        after: i64,
        live: bool,
        framing: Framing,
    ) -> Result<Reply<P>, Problem> {
        let session = self.present(caller).await?;
        let run = self.run_at(&session.session_key, turn).await?;
        let next_seq = u64::try_from(after.saturating_add(1)).unwrap_or(0);
        let follower = self.follower(&run, next_seq, live, framing).await?;
        if follower.over && framing == Framing::Sse {
            return Ok(Reply::NoContent);
        }
        Ok(Reply::Stream(Box::new(Streaming {
            mode: None,
            execution_id: run.run_id,
            location: location(caller.session.as_str(), turn),
            framing,
            follower,
        })))
    }

    /// A follower from `next_seq` on. Whatever can be refused is refused here.
    pub(super) async fn follower(
        self: &Rc<Self>,
        run: &Run,
        next_seq: u64,
        live: bool,
        framing: Framing,
    ) -> Result<Follower<P>, Problem> {
        let failed = |failure: store::Error| self.failed(&failure);
        let terminal = run.state.status.is_terminal();
        let (from, end) = match run.log_home {
            LogHome::Object if terminal => (Source::Object, run.state.line_count),
            LogHome::Object => {
                let end = self.store.log_end(&run.run_id).await.map_err(failed)?;
                (Source::Object, end)
            }
            LogHome::D1 => {
                let durable = self.durable().await.map_err(failed)?;
                let there = durable.run(&run.run_id).await.map_err(failed)?;
                match there.map(|run| run.log_home) {
                    Some(LogHome::D1) => (Source::Durable, run.state.line_count),
                    Some(LogHome::Object | LogHome::Expired) | None => {
                        return Err(Problem::log_expired());
                    }
                }
            }
            LogHome::Expired => return Err(Problem::log_expired()),
        };
        if next_seq > end {
            return Err(Problem::cursor_out_of_range());
        }
        Ok(Follower {
            session: Rc::clone(self),
            run_id: run.run_id.clone(),
            from,
            next_seq,
            framing,
            live,
            over: terminal && next_seq == end,
            seen_over: false,
            suspended_ms: 0,
        })
    }
}

impl<P: Platform> Follower<P> {
    /// The next bytes: lines, or a heartbeat; `None` behind the end.
    ///
    /// # Errors
    /// [`FollowerCut`] when the lines can't be read on here.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, FollowerCut> {
        loop {
            if self.over {
                return Ok(None);
            }
            let live = self.session.live(&self.run_id);
            if live.as_ref().is_some_and(|live| live.is_replaced()) {
                return Err(FollowerCut);
            }
            // Read before the lines, so that what comes in between wakes us.
            let since = live.as_ref().map(|live| live.changed().generation());
            let taken = self.session.taken.generation();
            let page = self.page().await.map_err(|failure| self.cut(&failure))?;
            if !page.is_empty() && self.from == Source::Object {
                // A commit that was just written may be read before it is durable.
                let durable = self.session.store.sync().await;
                durable.map_err(|failure| self.cut(&failure))?;
            }
            if let Some(bytes) = self.take(&page) {
                self.suspended_ms = 0;
                self.seen_over = false;
                return Ok(Some(bytes));
            }
            let run = self.session.store.run(&self.run_id).await;
            let run = run.map_err(|failure| self.cut(&failure))?;
            // Erased, or forgotten because another life owns it.
            let run = run.ok_or(FollowerCut)?;
            if run.state.status.is_terminal() {
                if self.next_seq >= run.state.line_count {
                    self.over = true;
                } else if std::mem::replace(&mut self.seen_over, true) {
                    // Its last lines did not come in just now: they are gone from here.
                    return Err(FollowerCut);
                }
                continue;
            }
            if !self.live {
                self.over = true;
                continue;
            }
            if live.is_none() && run.state.status == Status::Suspended {
                if let Some(heartbeat) = self.wait_suspended(taken).await? {
                    return Ok(Some(heartbeat));
                }
                continue;
            }
            if let Some(heartbeat) = self.wait(live, since).await? {
                return Ok(Some(heartbeat));
            }
        }
    }

    /// Waits for a suspended run to go on, but not for ever: the object's memory is not for that.
    async fn wait_suspended(&mut self, taken: u64) -> Result<Option<Vec<u8>>, FollowerCut> {
        let left = caps::SUSPENDED_FOLLOW_MS.saturating_sub(self.suspended_ms);
        if left == 0 {
            self.over = true;
            return Ok(None);
        }
        let wait_ms = left.min(caps::HEARTBEAT_MS);
        let sleep = pin!(self.session.platform.ports().sleep(wait_ms));
        if let Either::Left(_) = select(self.session.taken.changed(taken), sleep).await {
            return Ok(None);
        }
        self.suspended_ms += wait_ms;
        // It may have become due without anybody's call.
        self.revive().await?;
        Ok(Some(self.framing.heartbeat().as_bytes().to_vec()))
    }

    async fn page(&self) -> Result<Vec<LogRow>, store::Error> {
        match self.from {
            Source::Object => {
                let store = &self.session.store;
                store
                    .log(&self.run_id, self.next_seq, caps::LOG_PAGE_ROWS)
                    .await
            }
            Source::Durable => {
                let durable = self.session.durable().await?;
                durable
                    .log(&self.run_id, self.next_seq, caps::LOG_PAGE_ROWS)
                    .await
            }
        }
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

    /// Waits for a change; after long quiet gives a heartbeat.
    async fn wait(
        &self,
        live: Option<Rc<crate::log::Live>>,
        since: Option<u64>,
    ) -> Result<Option<Vec<u8>>, FollowerCut> {
        let heartbeat = self.framing.heartbeat().as_bytes().to_vec();
        let sleep = pin!(self.session.platform.ports().sleep(caps::HEARTBEAT_MS));
        match (live, since) {
            (Some(live), Some(since)) => {
                if let Either::Left(_) = select(live.changed().changed(since), sleep).await {
                    return Ok(None);
                }
            }
            // The drain is gone: take the run over, and look again.
            _ => {
                self.revive().await?;
                return Ok(None);
            }
        }
        // Touching the storage ends an instance that is no longer the object's.
        self.revive().await?;
        Ok(Some(heartbeat))
    }

    async fn revive(&self) -> Result<(), FollowerCut> {
        let session = self.session.store.sole_session().await;
        let session = session.map_err(|failure| self.cut(&failure))?;
        let session = session.ok_or(FollowerCut)?;
        match self.session.revive(&session).await {
            Ok(_) => Ok(()),
            Err(_) => Err(FollowerCut),
        }
    }

    fn cut(&self, failure: &store::Error) -> FollowerCut {
        self.session
            .log(About::Run(&self.run_id), Why::Store(failure));
        FollowerCut
    }
}
