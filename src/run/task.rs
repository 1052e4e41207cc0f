//! A durable body as a chat turn: on the turn's own log, for everyone who follows it.
//!
//! Owns how a task's end becomes the turn's, and what a task is given of its turn. Who runs it, and
//! wakes it when it waits, is the session. Invariant: a task's lines, steps and end are in the same
//! log and the same commits as those of any other turn.

use super::drive::{Halt, SOLE, Waits, Watch, drive};
use super::error::{Error, Stop};
use super::journal::{Journal, Settings};
use super::ops::RunContext;
use super::replay::{COMPLETED, FAILED};
use super::workspace::NoWorkspace;
use crate::caps;
use crate::log;
use crate::log::{Ended, Live, own_step, step_error};
use crate::ops::Event;
use crate::ports::Ports;
use crate::store::{self, Role, Run, Store};
use crate::turn::Drained;
use crate::upstream::{Ask, HistoryMessage};
use crate::wire::code::Code;
use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::pin;
use std::rc::Rc;

/// What a task is given of its turn.
pub trait TaskInput {
    /// The message, the history that an upstream would be told, the model, the metadata.
    fn ask(&self) -> &Ask;

    /// Messages of the session before this turn, oldest first, within bounds: the last 1,000 and
    /// 1 MiB. The same in every replay, unless the session is erased meanwhile.
    ///
    /// # Errors
    /// [`Error::Store`].
    fn messages(&self) -> impl Future<Output = Result<Vec<HistoryMessage>, Error>>;

    /// A pause within a step, that nothing remembers. A body between steps takes
    /// [`sleep_until`](super::DurableContext::sleep_until).
    fn pause(&self, ms: u64) -> impl Future<Output = ()>;
}

/// A turn that is run by a task.
pub(crate) struct TaskTurn<P, S> {
    /// Time, chance, tasks.
    pub ports: P,
    /// Where the run is.
    pub store: S,
    /// The session's key.
    pub session_key: String,
    /// The run, as acquired.
    pub run: Run,
    /// What it was asked; `None` when the input it was accepted with is gone.
    pub ask: Option<Ask>,
    /// The numbers.
    pub limits: TaskLimits,
    /// Shared with followers and the ship.
    pub live: Rc<Live>,
}

/// The numbers a task runs by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskLimits {
    /// Its time in ms, waiting not counted.
    pub timeout_ms: u64,
    /// Bytes its log may have.
    pub max_bytes: usize,
    /// The group-commit window, in ms.
    pub window_ms: u64,
    /// How far ahead an open run asks to be looked at, in ms.
    pub watchdog_ms: u64,
}

/// The turn as its task sees it. Clones are one.
pub(crate) struct TurnInput<P, S>(Rc<Inner<P, S>>);

struct Inner<P, S> {
    ports: P,
    store: S,
    session_key: String,
    turn_index: u64,
    ask: Ask,
}

impl<P: Ports, S: Store + Clone> TaskInput for TurnInput<P, S> {
    fn ask(&self) -> &Ask {
        &self.0.ask
    }

    async fn messages(&self) -> Result<Vec<HistoryMessage>, Error> {
        let turn = &self.0;
        let newest_first = turn
            .store
            .messages_before(&turn.session_key, turn.turn_index, caps::TASK_MESSAGES)
            .await?;
        let mut bytes = 0;
        let mut messages: Vec<HistoryMessage> = newest_first
            .into_iter()
            .take_while(|message| {
                bytes += message.content.len();
                bytes <= caps::TASK_MESSAGES_BYTES
            })
            .map(|message| HistoryMessage {
                role: match message.role {
                    Role::User => Role::User.name().to_owned(),
                    Role::Assistant => Role::Assistant.name().to_owned(),
                },
                content: message.content,
            })
            .collect();
        messages.reverse();
        Ok(messages)
    }

    async fn pause(&self, ms: u64) {
        self.0.ports.sleep(ms).await;
    }
}

impl<P: Ports, S: Store + Clone> TaskTurn<P, S> {
    /// Runs the task to its end, to its suspension, or until it may not go on here.
    pub async fn run<F>(self, body: F) -> Drained
    where
        F: AsyncFnOnce(RunContext<P, S>, TurnInput<P, S>) -> Result<(), Error>,
    {
        let live = Rc::clone(&self.live);
        live.hear_events();
        let drained = self.drive(body).await;
        // Without an await since the last look at what may wake it.
        live.end();
        match drained {
            Ok(drained) => drained,
            Err(store::Error::Fenced) => Drained::Fenced,
            Err(failure) => Drained::Stopped(failure),
        }
    }

    async fn drive<F>(self, body: F) -> Result<Drained, store::Error>
    where
        F: AsyncFnOnce(RunContext<P, S>, TurnInput<P, S>) -> Result<(), Error>,
    {
        let settings = Settings {
            // The turn's own step comes first.
            first_index: 1,
            max_parallel: caps::MAX_PARALLEL,
            window_ms: self.limits.window_ms,
            max_bytes: self.limits.max_bytes,
            watchdog_ms: Some(self.limits.watchdog_ms),
            tells_steps: true,
            read_only: false,
        };
        let cancel = self.run.cancel.clone();
        let turn_index = self.run.turn_index;
        let journal = Journal::open(
            self.ports.clone(),
            self.store.clone(),
            NoWorkspace,
            settings,
            self.session_key.clone(),
            self.run,
            Some(Rc::clone(&self.live)),
        )
        .await?;
        let Some(ask) = self.ask else {
            let message = "the input this turn was accepted with is gone";
            // As a drain has it.
            let code = &Code::Internal.into();
            return finish(&journal, Ended::Failed { code, message }).await;
        };
        let live = &self.live;
        let stopped = || {
            let cancelled = |reason: Option<String>| Stop::Cancelled { reason };
            match live.stopped() {
                Some(log::Stop::Replaced) => Some(Stop::LeaseLost),
                Some(log::Stop::Cancel(reason)) => Some(cancelled(reason)),
                None => cancel.clone().map(|cancel| cancelled(cancel.reason)),
            }
        };
        let input = TurnInput(Rc::new(Inner {
            ports: self.ports,
            store: self.store,
            session_key: self.session_key,
            turn_index,
            ask,
        }));
        let mut never = pin!(pending());
        let watch = Watch {
            control: Rc::clone(live.control()),
            stopped: &stopped,
            timeout_ms: Some(self.limits.timeout_ms),
            waits: Waits::Suspend,
            lost: never.as_mut(),
            until: &Cell::new(SOLE),
        };
        let body = body(RunContext(Rc::clone(&journal)), input);
        let halt = drive(&journal, body, watch).await;
        end(&journal, halt).await
    }
}

/// What a halt of the body means for the turn.
async fn end<P: Ports, S: Store + Clone>(
    journal: &Journal<P, S, NoWorkspace>,
    halt: Halt<()>,
) -> Result<Drained, store::Error> {
    let error = match halt {
        Halt::Suspended(_) => return Ok(Drained::Suspended),
        Halt::Broken(failure) | Halt::Ended(Err(Error::Store(failure))) => return Err(failure),
        Halt::Ended(Ok(())) => match journal.unasked() {
            None => return finish(journal, Ended::Completed).await,
            Some((place, expected)) => Error::StepDivergence {
                place,
                expected,
                found: "the end of the body".to_owned(),
            },
        },
        Halt::Ended(Err(error)) => error,
        Halt::Stopped(stop) => Error::Stopped(stop),
    };
    fail(journal, &error).await
}

/// Ends the turn with what its task came to.
async fn fail<P: Ports, S: Store + Clone>(
    journal: &Journal<P, S, NoWorkspace>,
    error: &Error,
) -> Result<Drained, store::Error> {
    let (code, message) = match error {
        Error::Stopped(Stop::LeaseLost) | Error::LeaseHeld { .. } => {
            return Err(store::Error::Fenced);
        }
        Error::Stopped(Stop::Cancelled { reason }) => {
            let reason = reason.as_deref();
            return finish(journal, Ended::Cancelled { reason }).await;
        }
        // A turn has names of its own for these.
        Error::Stopped(Stop::TimedOut) => (Code::TurnTimeout.into(), error.to_string()),
        Error::Stopped(Stop::TooLarge) => (Code::TurnTooLarge.into(), error.to_string()),
        error => (error.code(), error.to_string()),
    };
    let (code, message) = (&code, &message);
    finish(journal, Ended::Failed { code, message }).await
}

/// Stores the turn's end: lines, status, message and steps are one commit.
async fn finish<P: Ports, S: Store + Clone>(
    journal: &Journal<P, S, NoWorkspace>,
    ended: Ended<'_>,
) -> Result<Drained, store::Error> {
    let now = journal.now();
    let run = journal.run.borrow().clone();
    let status = ended.status();
    let told = Event::Turn {
        run: &run,
        to: status,
        why: ended.why(),
    };
    journal.ports.log(&told.to_string());
    let completed = status == store::Status::Completed;
    journal.give_up_unfinished(&ended.cuts_with(), now);
    let (state, message) = journal.with_buffer(|buffer| {
        ended.write(buffer, &run.session);
        let text = buffer.transcript().units();
        let state = ended.state(&run.state, buffer, text.len(), now);
        (state, ended.message(run.turn_index, &text, now))
    });
    let own = own_step(
        &state,
        if completed { COMPLETED } else { FAILED },
        run.created_at,
        now,
    );
    journal.queue(store::Step {
        error: (!completed).then(|| step_error(&state)),
        ..own
    });
    let mut transition = journal.transition(state);
    transition.message = Some(message);
    journal.commit(Some(transition)).await?;
    Ok(Drained::Finished(status))
}
