//! The drain: one turn run against its upstream, frame by frame into the log.
//!
//! Owns the loop frame → decide → commit → wake; the decisions are `state`, when to commit is
//! `commit`, what the frames amount to is `transcript`. It knows no HTTP, no SQL and no client.
//! Invariant: followers are woken only after what they will read is durable, and the terminal
//! lines, status, message and step are one commit.

mod budget;
mod cancel;
mod finish;
mod hooks;
mod settle;
mod state;

pub use budget::{Backoff, Limits};
pub(crate) use cancel::{Told, tell};
pub use hooks::{FinishedTurn, HookError, Hooks, NoHooks, TurnIdentity};
pub use state::{Action, Ending, Fact, TurnState};

pub(crate) use hooks::bounded;

use crate::caps;
use crate::ids;
use crate::log::{Due, Live, Stop, Writer, at_once};
use crate::ops::{Event, Why};
use crate::ports::Ports;
use crate::store::{self, LastError, Run, RunState, Status, Step, Store};
use crate::upstream::{Ask, Checked, Cut, Frame, FrameBody, Refusal, Signal, Upstream};
use crate::wire::code::Code;
use crate::wire::content::may_carry_text;
use futures::future::{Either, select};
use futures::stream::StreamExt;
use std::pin::pin;
use std::rc::Rc;

/// The numbers a drain runs by, resolved when the turn was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often the upstream may be asked.
    pub limits: Limits,
    /// Silence after which the upstream is attached again, in ms.
    pub idle_ms: u64,
    /// Unix ms at which the turn is over.
    pub deadline_at: i64,
    /// Bytes its log may have.
    pub max_bytes: usize,
    /// The group-commit window, in ms.
    pub window_ms: u64,
    /// How far ahead an open run asks to be looked at, in ms.
    pub watchdog_ms: u64,
}

/// One drain of one run.
pub struct Drain<P, S, U, H> {
    /// Time, chance, tasks.
    pub ports: P,
    /// Where the run is.
    pub store: S,
    /// What it is run against.
    pub upstream: U,
    /// The session's key.
    pub session_key: String,
    /// The run, as acquired.
    pub run: Run,
    /// What to ask; `None` when the input it was accepted with is gone.
    pub ask: Option<Ask>,
    /// The numbers.
    pub settings: Settings,
    /// Shared with followers and the ship.
    pub live: Rc<Live>,
    /// The turn was accepted by this task just now: nobody has asked the upstream yet.
    pub accepted_here: bool,
    /// What is called around it.
    pub hooks: Rc<H>,
}

/// How a drain's task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drained {
    /// The run is over.
    Finished(Status),
    /// The run waits; whoever wakes it takes it over.
    Suspended,
    /// Somebody else owns the run.
    Fenced,
    /// The store failed; whoever looks at the run next goes on.
    Stopped(store::Error),
}

impl<P: Ports, S: Store + Clone, U: Upstream, H: Hooks> Drain<P, S, U, H> {
    /// Runs the turn to its end, or until this task may not go on.
    pub async fn run(self) -> Drained {
        let (ports, hooks, live) = (
            self.ports.clone(),
            Rc::clone(&self.hooks),
            Rc::clone(&self.live),
        );
        let turn = TurnIdentity::of(&self.run);
        let drained = {
            let work = pin!(async {
                match Loop::recover(self).await {
                    Ok(mut turn) => turn.go().await,
                    Err(failure) => Err(failure),
                }
            });
            // Who is replaced does not begin anything more in the very poll that says so.
            match select(pin!(replaced(&live)), work).await {
                Either::Left(_) => Err(store::Error::Fenced),
                Either::Right((drained, _)) => drained,
            }
        };
        live.end();
        let flushed = hooks::within(&ports, caps::HOOK_MS, hooks.trace_flush(&turn)).await;
        if let Err(failure) = flushed {
            hook_failed(&ports, &*hooks, &turn, "trace_flush", &failure);
        }
        match drained {
            Ok(status) => Drained::Finished(status),
            Err(store::Error::Fenced) => Drained::Fenced,
            Err(failure) => Drained::Stopped(failure),
        }
    }
}

/// Completes when another life owns the run: nothing more is to be written then, whatever the turn
/// waits for.
async fn replaced(live: &Live) {
    loop {
        let since = live.control().generation();
        if live.is_replaced() {
            return;
        }
        live.control().changed(since).await;
    }
}

fn hook_failed<P: Ports, H: Hooks>(
    ports: &P,
    hooks: &H,
    turn: &TurnIdentity,
    hook: &'static str,
    failure: &HookError,
) {
    let told = Event::Hook {
        run_id: &turn.execution_id,
        hook,
        words: &settle::words(failure),
    };
    ports.log(&told.to_string());
    hooks.log(turn, hook, failure);
}

/// A drain with its working state.
struct Loop<P, S, U: Upstream, H> {
    drain: Drain<P, S, U, H>,
    turn: TurnIdentity,
    state: TurnState,
    log: Writer<P, S>,
    /// Whatever upstream they are of, they are read through the one check.
    frames: Option<Checked<U::Frames>>,
    progressed: bool,
    /// The hooks have not heard of the line that the turn was accepted with.
    first_unseen: bool,
    /// It is durable that the upstream has said all.
    drained: bool,
    /// The step in which the answer is saved, once that has begun.
    saving: Option<Step>,
}

impl<P: Ports, S: Store + Clone, U: Upstream, H: Hooks> Loop<P, S, U, H> {
    async fn recover(drain: Drain<P, S, U, H>) -> Result<Self, store::Error> {
        let attempt = current_attempt(&drain.run.state);
        let log = Writer::open(
            drain.ports.clone(),
            drain.store.clone(),
            drain.session_key.clone(),
            &drain.run,
            attempt,
            drain.settings.window_ms,
            Some(Rc::clone(&drain.live)),
        )
        .await?;
        let capabilities = drain.upstream.capabilities();
        let state = TurnState::new(
            capabilities,
            drain.settings.limits,
            &drain.run.state.attempts,
        );
        let mut turn = Loop {
            state,
            turn: TurnIdentity::of(&drain.run),
            log,
            frames: None,
            progressed: false,
            first_unseen: drain.accepted_here,
            drained: false,
            saving: None,
            drain,
        };
        turn.recall().await?;
        Ok(turn)
    }

    fn now(&self) -> i64 {
        self.drain.ports.now_ms()
    }

    fn decide(&mut self, fact: Fact) -> Action {
        // The low half is as random as the whole.
        let chance = self.drain.ports.random() as u64;
        self.state.on(fact, chance)
    }

    async fn go(&mut self) -> Result<Status, store::Error> {
        let first = match (self.interruption(), self.drain.ask.is_some()) {
            (Some(fact), _) => fact,
            (None, _) if self.drained || self.log.buffer().is_settled() => Fact::Drained,
            (None, false) => Fact::InputLost,
            (None, true) if self.drain.accepted_here => Fact::Accepted,
            (None, true) => Fact::Recovered,
        };
        let mut action = self.decide(first);
        loop {
            let fact = match action {
                Action::Start { wait_ms } => self.open(false, wait_ms).await,
                Action::Attach { wait_ms } => self.open(true, wait_ms).await,
                Action::Read => {
                    let fact = self.read().await?;
                    self.frames = None;
                    fact
                }
                Action::Restart {
                    attempt,
                    reason,
                    wait_ms,
                } => {
                    self.restart(attempt, reason).await?;
                    action = Action::Start { wait_ms };
                    continue;
                }
                Action::Settle => self.settle().await?,
                Action::End(ending) => return self.finish(ending).await,
            };
            self.note(&fact);
            action = self.decide(fact);
            // Lines must not wait out a back-off; the last commits take them along.
            if !matches!(action, Action::Settle | Action::End(_)) {
                self.flush().await?;
            }
        }
    }

    /// A cancel that is already there, or a deadline that has passed.
    fn interruption(&self) -> Option<Fact> {
        if let Some(cancel) = &self.drain.run.cancel {
            return Some(Fact::Cancelled(cancel.reason.clone()));
        }
        if let Some(Stop::Cancel(reason)) = self.drain.live.stopped() {
            return Some(Fact::Cancelled(reason));
        }
        (self.now() >= self.drain.settings.deadline_at).then_some(Fact::TimedOut)
    }

    /// Waits until the drain is asked to stop or its time is over, `most_ms` at most.
    async fn pause(&self, most_ms: u64) -> Option<Fact> {
        let since = self.drain.live.control().generation();
        if let Some(fact) = self.interruption() {
            return Some(fact);
        }
        let left = self.drain.settings.deadline_at.saturating_sub(self.now());
        let wait = most_ms.min(u64::try_from(left).unwrap_or(0));
        let sleep = pin!(self.drain.ports.sleep(wait));
        select(sleep, self.drain.live.control().changed(since)).await;
        self.interruption()
    }

    async fn open(&mut self, attach: bool, wait_ms: u64) -> Fact {
        if wait_ms > 0
            && let Some(fact) = self.pause(wait_ms).await
        {
            return fact;
        }
        let attempt = current_attempt(&self.drain.run.state);
        if let Some(ask) = &mut self.drain.ask {
            ask.execution_id = ids::execution_id(&self.drain.run.run_id, attempt);
        }
        let Some(ask) = &self.drain.ask else {
            return Fact::InputLost;
        };
        let cursor = self.log.buffer().cursor().map(str::to_owned);
        let opening = async {
            if attach {
                self.drain.upstream.attach(ask, cursor.as_deref()).await
            } else {
                self.drain.upstream.start(ask).await
            }
        };
        let opened = {
            let opening = pin!(opening);
            let pause = pin!(self.pause(self.drain.settings.idle_ms));
            match select(opening, pause).await {
                Either::Left((opened, _)) => opened,
                Either::Right((Some(fact), _)) => return fact,
                // No head for so long: the request may have arrived.
                Either::Right((None, _)) => Err(Refusal::Unavailable {
                    retry_after_ms: None,
                    maybe_started: true,
                }),
            }
        };
        match opened {
            Ok(frames) => {
                self.frames = Some(Checked::new(frames));
                self.progressed = false;
                Fact::Opened
            }
            Err(refusal) => Fact::Refused(refusal),
        }
    }

    /// Takes frames in until something else happens.
    async fn read(&mut self) -> Result<Fact, store::Error> {
        let Some(mut frames) = self.frames.take() else {
            return Ok(Fact::Cut);
        };
        let mut heard_at = self.now();
        loop {
            // Everything that is there already is one group.
            while let Some(item) = at_once(frames.next()).await {
                if let Some(fact) = self.take(item) {
                    return Ok(fact);
                }
                heard_at = self.now();
                if self.log.buffer().bytes() >= caps::COMMIT_BYTES {
                    self.flush().await?;
                }
            }
            let since = self.drain.live.control().generation();
            if let Some(fact) = self.interruption() {
                return Ok(fact);
            }
            let now = self.now();
            let idle_at = heard_at.saturating_add_unsigned(self.drain.settings.idle_ms);
            if now >= idle_at {
                return Ok(Fact::Silent);
            }
            let mut wake_at = idle_at.min(self.drain.settings.deadline_at);
            let bytes = self.log.buffer().bytes();
            match self.log.due(bytes) {
                Due::Now => {
                    self.flush().await?;
                    continue;
                }
                Due::At(at) => wake_at = wake_at.min(at),
                Due::Nothing => {}
            }
            let wait = u64::try_from(wake_at.saturating_sub(now)).unwrap_or(0);
            let sleep = pin!(self.drain.ports.sleep(wait));
            let stop = self.drain.live.control().changed(since);
            if let Either::Left((item, _)) = select(frames.next(), select(sleep, stop)).await {
                heard_at = self.now();
                if let Some(fact) = self.take(item) {
                    return Ok(fact);
                }
            }
        }
    }

    /// Takes one item of the stream in; a fact ends the reading.
    fn take(&mut self, item: Option<Result<Signal, Cut>>) -> Option<Fact> {
        match item {
            Some(Ok(Signal::Alive)) => None,
            Some(Ok(Signal::Frame(frame))) => self.take_frame(frame),
            Some(Err(Cut::Protocol(message))) => Some(Fact::Protocol(message)),
            None | Some(Err(Cut::Broken)) => Some(if self.progressed {
                Fact::CutAfterProgress
            } else {
                Fact::Cut
            }),
        }
    }

    fn take_frame(&mut self, frame: Frame) -> Option<Fact> {
        match frame.body {
            FrameBody::Started { input_hash } => {
                let ours = self.drain.ask.as_ref().map(|ask| &ask.input_hash);
                if input_hash.is_some() && input_hash.as_ref() != ours {
                    return Some(Fact::Conflict);
                }
                self.log.write(|log| log.advance(frame.id));
                None
            }
            FrameBody::Event { kind, data } => {
                let is_held = self.drain.hooks.transforms_text()
                    && may_carry_text(&kind, data.as_deref().unwrap_or("null"));
                let is_new = self.log.write(|log| {
                    if is_held {
                        log.hold(frame.id, &kind, data.as_deref().unwrap_or("null"))
                    } else {
                        log.push(frame.id, &kind, data.as_deref())
                    }
                });
                if is_new {
                    self.progressed = true;
                    if self.log.buffer().log_bytes() > self.drain.settings.max_bytes {
                        return Some(Fact::TooLarge);
                    }
                }
                None
            }
            FrameBody::Completed => Some(Fact::Completed),
            FrameBody::Failed { message } => Some(Fact::Failed(message)),
        }
    }

    /// Keeps what went wrong, for whoever looks at the run; written with the next transition.
    fn note(&mut self, fact: &Fact) {
        let (code, message) = match fact {
            Fact::Refused(refusal) => (Code::UpstreamUnavailable, refusal.to_string()),
            Fact::Cut | Fact::CutAfterProgress => {
                (Code::UpstreamUnavailable, Cut::Broken.to_string())
            }
            Fact::Silent => (
                Code::UpstreamUnavailable,
                "the upstream fell silent".to_owned(),
            ),
            Fact::Accepted
            | Fact::Recovered
            | Fact::Opened
            | Fact::Protocol(_)
            | Fact::Conflict
            | Fact::Completed
            | Fact::Failed(_)
            | Fact::TimedOut
            | Fact::TooLarge
            | Fact::Cancelled(_)
            | Fact::InputLost
            | Fact::Drained
            | Fact::Settled
            | Fact::NotTransformed
            | Fact::NotPersisted => return,
        };
        let at = self.now();
        self.log(self.drain.run.state.status, Why::Code(code));
        self.drain.run.state.last_error = Some(LastError {
            code: code.name().to_owned(),
            message,
            at,
        });
    }

    /// Tells the operator where the run stands, and why.
    fn log(&self, to: Status, why: Why<'_>) {
        let run = &self.drain.run;
        let told = Event::Turn { run, to, why };
        self.drain.ports.log(&told.to_string());
    }
}

fn current_attempt(state: &RunState) -> u32 {
    state.attempts.last().map_or(1, |attempt| attempt.number)
}
