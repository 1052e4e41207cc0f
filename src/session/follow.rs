//! Following a turn of this session: out of the object, or out of D1 once the object has let its lines go.
//!
//! Owns where a turn's lines are and how its followers learn of more; a submit's own answer and every
//! re-attach are this same code. When a follower is over or cut is `log/follow`'s. Invariant: lines are
//! read from the store alone, and only once they are durable.

use super::{Caller, Platform, Reply, Session, Streaming, location};
use crate::caps;
use crate::log::{Body, Follower, FollowerCut, Live, NoBody, Source, Standing, first_line};
use crate::ops::{About, Why};
use crate::ports::Timer;
use crate::store::{self, LogHome, LogRow, Run, Status, Store};
use crate::wire::problem::Problem;
use crate::wire::view::{Start, ViewKind};
use futures::future::select;
use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

/// One turn's lines, in its session's object.
pub struct SessionLog<P: Platform> {
    session: Rc<Session<P>>,
    run_id: String,
    home: Home,
    /// When its reader has waited too long for a suspended run, Unix ms.
    waits_until: Cell<Option<i64>>,
}

/// Where the lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    Object,
    D1,
}

/// What a follower knows before it reads.
pub struct Mark {
    /// The drain, when it is here, and the generation of its changes.
    live: Option<(Rc<Live>, u64)>,
    /// The generation of take-overs.
    taken: u64,
}

/// The body of an answer from a session.
pub type SessionBody<P> = Body<SessionLog<P>>;

impl<P: Platform> Session<P> {
    pub(super) async fn follow(
        self: &Rc<Self>,
        caller: &Caller,
        turn: u64,
        start: Start,
        live: bool,
        view: ViewKind,
    ) -> Result<Reply<P>, Problem> {
        let session = self.present(caller).await?;
        let run = self.run_at(&session.session_key, turn).await?;
        let body = self.body(&run, start, live, view).await?;
        if body.is_over() && view.ends_by_no_content() {
            return Ok(Reply::NoContent);
        }
        Ok(Reply::Stream(Box::new(Streaming {
            mode: None,
            execution_id: run.run_id,
            location: location(caller.session.as_str(), turn),
            body,
        })))
    }

    /// A body behind `start`. Whatever can be refused is refused here.
    pub(super) async fn body(
        self: &Rc<Self>,
        run: &Run,
        start: Start,
        live: bool,
        view: ViewKind,
    ) -> Result<SessionBody<P>, Problem> {
        let follower = self.follower(run, first_line(start), live).await?;
        let body = Body::of(follower, view.view(), start).await;
        body.map_err(|refused| match refused {
            NoBody::OutOfRange => Problem::cursor_out_of_range(),
            NoBody::Cut(FollowerCut) => Problem::session_unavailable(),
        })
    }

    async fn follower(
        self: &Rc<Self>,
        run: &Run,
        next_seq: u64,
        live: bool,
    ) -> Result<Follower<SessionLog<P>>, Problem> {
        let failed = |failure: store::Error| self.failed(&failure);
        let terminal = run.state.status.is_terminal();
        let (home, end) = match run.log_home {
            LogHome::Object if terminal => (Home::Object, run.state.line_count),
            LogHome::Object => {
                let end = self.store.log_end(&run.run_id).await.map_err(failed)?;
                (Home::Object, end)
            }
            LogHome::D1 => {
                let durable = self.durable().await.map_err(failed)?;
                let there = durable.run(&run.run_id).await.map_err(failed)?;
                match there.map(|run| run.log_home) {
                    Some(LogHome::D1) => (Home::D1, run.state.line_count),
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
        let log = SessionLog {
            session: Rc::clone(self),
            run_id: run.run_id.clone(),
            home,
            waits_until: Cell::new(None),
        };
        Ok(Follower::new(
            log,
            next_seq,
            live,
            terminal && next_seq == end,
        ))
    }
}

impl<P: Platform> SessionLog<P> {
    fn cut(&self, failure: &store::Error) -> FollowerCut {
        self.session
            .log(About::Run(&self.run_id), Why::Store(failure));
        FollowerCut
    }

    async fn read(&self, next_seq: u64) -> Result<Vec<LogRow>, store::Error> {
        let (run_id, most) = (&self.run_id, caps::LOG_PAGE_ROWS);
        match self.home {
            Home::Object => {
                let store = &self.session.store;
                let rows = store.log(run_id, next_seq, most).await?;
                if !rows.is_empty() {
                    // A commit that was just written may be read before it is durable.
                    store.sync().await?;
                }
                Ok(rows)
            }
            Home::D1 => {
                let durable = self.session.durable().await?;
                durable.log(run_id, next_seq, most).await
            }
        }
    }

    /// Takes the run over when its drain is gone. Touching the storage also ends an instance that is no
    /// longer the object's.
    async fn revive(&self) -> Result<(), FollowerCut> {
        let session = self.session.store.sole_session().await;
        let session = session.map_err(|failure| self.cut(&failure))?;
        let session = session.ok_or(FollowerCut)?;
        match self.session.revive(&session).await {
            Ok(_) => Ok(()),
            Err(_) => Err(FollowerCut),
        }
    }

    /// Waits for a suspended run to go on, but not for ever: the object's memory is not for that.
    async fn wait_suspended(&self, taken: u64, most_ms: u64) -> Result<(), FollowerCut> {
        let now = self.now_ms();
        let waits_until = self.waits_until.get();
        let waits_until =
            waits_until.unwrap_or(now.saturating_add_unsigned(caps::SUSPENDED_FOLLOW_MS));
        self.waits_until.set(Some(waits_until));
        let left = u64::try_from(waits_until.saturating_sub(now)).unwrap_or(0);
        if left == 0 {
            return Err(FollowerCut);
        }
        let sleep = pin!(self.session.platform.ports().sleep(left.min(most_ms)));
        select(self.session.taken.changed(taken), sleep).await;
        Ok(())
    }
}

impl<P: Platform> Source for SessionLog<P> {
    type Mark = Mark;

    fn mark(&self) -> Result<Mark, FollowerCut> {
        let live = self.session.live(&self.run_id);
        if live.as_ref().is_some_and(|live| live.is_replaced()) {
            return Err(FollowerCut);
        }
        Ok(Mark {
            live: live.map(|live| {
                let since = live.changed().generation();
                (live, since)
            }),
            taken: self.session.taken.generation(),
        })
    }

    async fn page(&self, next_seq: u64) -> Result<Vec<LogRow>, FollowerCut> {
        let rows = self.read(next_seq).await;
        let rows = rows.map_err(|failure| self.cut(&failure))?;
        if !rows.is_empty() {
            self.waits_until.set(None);
        }
        Ok(rows)
    }

    async fn standing(&self) -> Result<Standing, FollowerCut> {
        let run = self.session.store.run(&self.run_id).await;
        let run = run.map_err(|failure| self.cut(&failure))?;
        // Erased, or forgotten because another life owns it.
        let state = run.ok_or(FollowerCut)?.state;
        Ok(match state.status {
            Status::Completed | Status::Failed | Status::Cancelled => Standing::Over {
                lines: state.line_count,
            },
            Status::Suspended => Standing::Suspended,
            Status::Queued | Status::Running => Standing::Open,
        })
    }

    async fn wait(
        &mut self,
        mark: Mark,
        standing: Standing,
        most_ms: u64,
    ) -> Result<(), FollowerCut> {
        match mark.live {
            Some((live, since)) => {
                let sleep = pin!(self.session.platform.ports().sleep(most_ms));
                select(live.changed().changed(since), sleep).await;
                Ok(())
            }
            None if standing == Standing::Suspended => {
                self.wait_suspended(mark.taken, most_ms).await
            }
            // The drain is gone: take the run over, and look again.
            None => self.revive().await,
        }
    }

    async fn tend(&self) -> Result<(), FollowerCut> {
        // A suspended run may have become due without anybody's call.
        self.revive().await
    }

    fn now_ms(&self) -> i64 {
        self.session.now()
    }
}
