//! What a run's memory knows of its records, and the records on their way into the store.
//!
//! Owns places of steps, the queue of writes and their group commit, what is in flight and what
//! waits. It doesn't own what a step does (`ops`) nor when the run ends (`drive`).
//! Invariant: a record is believed only once the store has it, and one commit is under way at a
//! time.

use super::durable::given_up;
use super::error::{Error, Place, Stop};
use super::lines::{Lines, QueuedLine};
use super::replay::RUNNING;
use super::slots::Slots;
use crate::caps;
use crate::log::{Buffer, Due, Live, Shown, Wake, Writer};
use crate::ports::Ports;
use crate::store::patiently;
use crate::store::{self, Changes, Run, Status, Step, Store, Transition};
use crate::wire::code::FailureCode;
use futures::future::{pending, select};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

/// What a run is driven by.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Where the body's first position is stored: a turn's own step comes before it.
    pub first_index: u32,
    /// Step bodies at once.
    pub max_parallel: usize,
    /// The group-commit window of lines, in ms.
    pub window_ms: u64,
    /// Bytes the log may have.
    pub max_bytes: usize,
    /// How far ahead an open run asks to be looked at, in ms; `None` when nobody looks.
    pub watchdog_ms: Option<u64>,
    /// Steps are told in the log as they begin and end.
    pub tells_steps: bool,
    /// The run is over: nothing is written.
    pub read_only: bool,
}

/// One run at work. Its context, its driver and its watchers share it.
pub(super) struct Journal<P, S, W> {
    pub ports: P,
    pub store: S,
    pub workspace: W,
    pub settings: Settings,
    pub run: RefCell<Run>,
    pub state: RefCell<State>,
    log: Writer<P, S>,
    /// Something is to be written.
    queued: Rc<Wake>,
    /// Something was written.
    pub moved: Rc<Wake>,
    /// Places of step bodies.
    pub slots: Slots,
    /// Waits look again.
    pub tick: Rc<Wake>,
    /// The waits are others than before, or the run is.
    pub waits_changed: Rc<Wake>,
    writing: Cell<bool>,
    /// A branch of a join is being polled.
    pub in_branch: Cell<u32>,
    /// A step's body is being polled.
    pub in_step: Cell<u32>,
    /// How often a call paused, only to go on at once.
    pub pauses: Cell<u64>,
}

/// What changes while a run is at work.
#[derive(Debug, Default)]
pub(super) struct State {
    known: BTreeMap<u32, Step>,
    named: BTreeMap<String, u32>,
    /// Of all results: every life holds them in memory.
    result_bytes: usize,
    asked: BTreeSet<String>,
    next_position: u32,
    next_named: u32,
    pending: BTreeMap<u32, Step>,
    lines: Lines,
    issued: u64,
    written: u64,
    /// Calls of the context under way, waits that wait not among them.
    pub active: usize,
    /// Waits under way, by index.
    pub waiting: BTreeMap<u32, Waiting>,
    stop: Option<Stop>,
    broken: Option<store::Error>,
    /// What a replay was asked for that the record has no end of.
    unanswered: Option<Error>,
}

/// A wait under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// The event's key, or what a time is called.
    pub key: String,
    /// Until when, Unix ms.
    pub deadline: Option<i64>,
    /// The tick at which it last looked.
    pub seen: u64,
}

impl<P: Ports, S: Store + Clone, W> Journal<P, S, W> {
    /// A journal that knows what the store has of this run.
    pub async fn open(
        ports: P,
        store: S,
        workspace: W,
        settings: Settings,
        session_key: String,
        run: Run,
        live: Option<Rc<Live>>,
    ) -> Result<Rc<Self>, store::Error> {
        let log = Writer::open(
            ports.clone(),
            store.clone(),
            session_key,
            &run,
            ATTEMPT,
            settings.window_ms,
            live,
        )
        .await?;
        let mut state = State {
            next_named: NAMED_FROM,
            ..State::default()
        };
        let mut from = settings.first_index;
        loop {
            let page = async || store.steps(&run.run_id, from, caps::STEP_PAGE_ROWS).await;
            let page = patiently(&ports, page).await?;
            let Some(last) = page.last() else { break };
            from = last.index.saturating_add(1);
            for step in page {
                state.take(step);
            }
        }
        Ok(Rc::new(Journal {
            slots: Slots::new(settings.max_parallel),
            ports,
            store,
            workspace,
            settings,
            run: RefCell::new(run),
            state: RefCell::new(state),
            log,
            queued: Rc::default(),
            moved: Rc::default(),
            tick: Rc::default(),
            waits_changed: Rc::default(),
            writing: Cell::new(false),
            in_branch: Cell::new(0),
            in_step: Cell::new(0),
            pauses: Cell::new(0),
        }))
    }

    pub fn now(&self) -> i64 {
        self.ports.now_ms()
    }

    /// The run's attempt, from 1.
    pub fn run_attempt(&self) -> u32 {
        let run = self.run.borrow();
        run.state
            .attempts
            .last()
            .map_or(1, |attempt| attempt.number)
    }

    pub fn run_id(&self) -> String {
        self.run.borrow().run_id.clone()
    }

    pub fn is_suspended(&self) -> bool {
        self.run.borrow().state.status == Status::Suspended
    }

    /// Whether the store says that the run is suspended, and until when. An event that none of the
    /// waits is for has made it due at once, and would do so for ever.
    pub fn is_suspended_rightly(&self) -> bool {
        self.is_suspended() && self.run.borrow().state.wake_at == self.first_deadline()
    }

    /// The first reason stands.
    pub fn stop(&self, stop: Stop) {
        self.state.borrow_mut().stop.get_or_insert(stop);
    }

    pub fn stopped(&self) -> Option<Stop> {
        self.state.borrow().stop.clone()
    }

    /// Breaks the run over a failure of the store, which is nothing that a body may see: a replay
    /// would not show it. Never completes; the driver halts.
    pub async fn break_off<T>(&self, failure: store::Error) -> T {
        self.state.borrow_mut().broken.get_or_insert(failure);
        pending().await
    }

    pub fn broken(&self) -> Option<store::Error> {
        self.state.borrow().broken.clone()
    }

    /// A call of a replay that the record has no end of, as of a branch that lost a race and was
    /// dropped: it never completes, and only a body that comes to nothing without it has diverged.
    pub async fn leave_unanswered<T>(&self, divergence: Error) -> T {
        self.state.borrow_mut().unanswered.get_or_insert(divergence);
        pending().await
    }

    pub fn unanswered(&self) -> Option<Error> {
        self.state.borrow().unanswered.clone()
    }

    /// Lets whatever runs beside this call be polled while it is under way. A recorded call takes no
    /// time otherwise, and what stands beside it would not be refused as it was at first.
    pub async fn pause(&self) {
        let mut paused = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut paused, true) {
                return Poll::Ready(());
            }
            self.pauses.set(self.pauses.get() + 1);
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// The next position of the body, and where it is stored.
    pub fn take_position(&self) -> Result<(Place, u32), Error> {
        let mut state = self.state.borrow_mut();
        let position = state.next_position;
        if position >= caps::RUN_STEPS {
            return Err(Error::TooManySteps {
                max: caps::RUN_STEPS,
            });
        }
        state.next_position += 1;
        let index = self.settings.first_index + position;
        Ok((Place::Position(position), index))
    }

    /// Where a named step is stored; a new name gets the next place.
    pub fn take_name(&self, name: &str) -> Result<(Place, u32), Error> {
        let mut state = self.state.borrow_mut();
        if !state.asked.insert(name.to_owned()) {
            return Err(Error::DuplicateStep {
                name: name.to_owned(),
            });
        }
        let index = match state.named.get(name) {
            Some(index) => *index,
            None => {
                let index = state.next_named;
                if index - NAMED_FROM >= caps::RUN_STEPS {
                    return Err(Error::TooManySteps {
                        max: caps::RUN_STEPS,
                    });
                }
                state.next_named += 1;
                state.named.insert(name.to_owned(), index);
                index
            }
        };
        Ok((Place::Named(name.to_owned()), index))
    }

    /// The first recorded step that the body has not asked for by its end.
    pub fn unasked(&self) -> Option<(Place, String)> {
        let state = self.state.borrow();
        let next = self.settings.first_index + state.next_position;
        let step = state.known.range(next..NAMED_FROM).next();
        step.map(|(index, step)| {
            let position = index - self.settings.first_index;
            (Place::Position(position), step.intent.clone())
        })
    }

    pub fn known(&self, index: u32) -> Option<Step> {
        self.state.borrow().known.get(&index).cloned()
    }

    /// Whether the store has this step as begun and not ended.
    pub fn is_under_way(&self, index: u32) -> bool {
        let state = self.state.borrow();
        let known = state.known.get(&index);
        known.is_some_and(|step| step.status == RUNNING)
    }

    /// The reference that the last finished step left of the workspace.
    pub fn last_workspace(&self) -> Option<String> {
        let state = self.state.borrow();
        let steps = state.known.values();
        let last = steps
            .filter(|step| step.detail.workspace.is_some())
            .max_by_key(|step| (step.rev, step.completed_at));
        last.and_then(|step| step.detail.workspace.clone())
    }

    /// Queues the end of every step that the run's own end finds under way.
    pub fn give_up_unfinished(&self, code: &FailureCode, now: i64) {
        let state = &mut *self.state.borrow_mut();
        let steps = state.known.values();
        for step in steps.filter(|step| step.status == RUNNING) {
            let given_up = given_up(step.clone(), code, now);
            state.pending.insert(step.index, given_up);
        }
    }

    /// Queues a step for the next commit.
    pub fn queue(&self, step: Step) {
        self.state.borrow_mut().pending.insert(step.index, step);
    }

    /// What the lines amount to. Nothing may be queued: that is not in here yet.
    pub fn with_buffer<T>(&self, read: impl FnOnce(&mut Buffer) -> T) -> T {
        self.log.write(read)
    }

    /// Queues a line; one whose id the log has is not written again.
    pub fn tell(&self, line: QueuedLine) {
        self.state.borrow_mut().lines.push(line);
        self.queued.wake();
    }

    /// Stores a step, together with whatever else is queued, and returns once it is stored.
    pub async fn put(&self, step: Step, lines: Vec<QueuedLine>) {
        let ticket = {
            let mut state = self.state.borrow_mut();
            state.pending.insert(step.index, step);
            for line in lines {
                state.lines.push(line);
            }
            state.issued += 1;
            state.issued
        };
        self.queued.wake();
        loop {
            let since = self.moved.generation();
            if self.state.borrow().written >= ticket {
                return;
            }
            self.moved.changed(since).await;
        }
    }

    /// Writes whatever is queued, as long as it is polled.
    pub async fn write(&self) -> store::Error {
        loop {
            let since = self.queued.generation();
            match self.due() {
                Due::Nothing => self.queued.changed(since).await,
                Due::At(at) => {
                    let wait = u64::try_from(at.saturating_sub(self.now())).unwrap_or(0);
                    let sleep = pin!(self.ports.sleep(wait));
                    select(sleep, self.queued.changed(since)).await;
                }
                Due::Now => {
                    if let Err(failure) = self.commit(None).await {
                        return failure;
                    }
                }
            }
        }
    }

    fn due(&self) -> Due {
        let state = self.state.borrow();
        if state.pending.is_empty() {
            self.log.due(state.lines.bytes())
        } else {
            Due::Now
        }
    }

    /// Nothing is queued and nothing on its way.
    pub fn is_written(&self) -> bool {
        let state = self.state.borrow();
        !self.writing.get() && state.pending.is_empty() && state.lines.bytes() == 0
    }

    /// Only waits are under way, and each has looked at the last tick.
    pub fn is_idle(&self) -> bool {
        let state = self.state.borrow();
        let tick = self.tick.generation();
        state.active == 0
            && !state.waiting.is_empty()
            && state.waiting.values().all(|wait| wait.seen == tick)
            && self.is_written()
    }

    /// Stores the queue in one commit, with a transition when one is given. `transition` gets the
    /// run's state and where the log will end.
    pub async fn commit(&self, transition: Option<Transition>) -> Result<(), store::Error> {
        self.writing.set(true);
        let committed = self.commit_queue(transition).await;
        self.writing.set(false);
        committed
    }

    async fn commit_queue(&self, transition: Option<Transition>) -> Result<(), store::Error> {
        let (steps, issued, lines) = {
            let mut state = self.state.borrow_mut();
            let steps = std::mem::take(&mut state.pending);
            (steps, state.issued, state.lines.take())
        };
        let end = self.log.write(|buffer| {
            for line in lines {
                line.write(buffer);
            }
            buffer.next_seq()
        });
        let transition = transition
            .or_else(|| (!steps.is_empty()).then(|| self.resumed()).flatten())
            .map(|mut transition| {
                transition.state.line_count = end;
                transition
            });
        let shown = if transition.is_some() {
            Shown::Durable
        } else if steps.values().any(|step| step.status == RUNNING) {
            Shown::InOrder
        } else {
            Shown::Stored
        };
        let steps = steps.into_values().collect();
        let group = self.log.store(ATTEMPT, steps, transition).await?;
        let too_large = self.believe(&group.changes);
        self.log.show(&group, shown).await?;
        if group.changes.transition.is_some() {
            // The run's time stands still or goes on from here.
            self.waits_changed.wake();
        }
        if too_large {
            self.stop(Stop::TooLarge);
        }
        self.state.borrow_mut().written = issued;
        self.moved.wake();
        Ok(())
    }

    /// What was committed is known from here on; whether the run is too large by now.
    fn believe(&self, changes: &Changes) -> bool {
        if let Some(transition) = &changes.transition {
            self.run.borrow_mut().state.clone_from(&transition.state);
        }
        let mut state = self.state.borrow_mut();
        for step in &changes.steps {
            state.take(step.clone());
        }
        self.log.buffer().log_bytes() + state.result_bytes > self.settings.max_bytes
    }

    /// A suspended run goes on: the time it waited is no part of its budget.
    fn resumed(&self) -> Option<Transition> {
        if !self.is_suspended() {
            return None;
        }
        let now = self.now();
        let mut state = self.run.borrow().state.clone();
        state.status = Status::Running;
        state.wake_at = self.wake_at(now);
        if let Some(handle) = &mut state.handle
            && let Some(since) = handle.suspended_at.take()
        {
            let waited = u64::try_from(now.saturating_sub(since)).unwrap_or(0);
            handle.waited_ms = handle.waited_ms.saturating_add(waited);
        }
        Some(self.transition(state))
    }

    /// When an open run asks to be looked at.
    pub fn wake_at(&self, now: i64) -> Option<i64> {
        let watchdog_ms = self.settings.watchdog_ms?;
        Some(now.saturating_add_unsigned(watchdog_ms))
    }

    /// A transition to `state` that leaves what else a run has.
    pub fn transition(&self, state: store::RunState) -> Transition {
        Transition {
            state,
            message: None,
            upstream_cancel: self.run.borrow().upstream_cancel.clone(),
        }
    }

    /// Suspends the run: status, the waits' lines and the first deadline are one commit.
    pub async fn suspend(&self) -> Result<(), store::Error> {
        let now = self.now();
        let mut transition = {
            let mut state = self.state.borrow_mut();
            let state = &mut *state;
            if self.settings.tells_steps {
                for (index, wait) in &state.waiting {
                    state.lines.push(QueuedLine::Suspended {
                        index: *index,
                        key: wait.key.clone(),
                        deadline: wait.deadline,
                    });
                }
            }
            self.transition(self.run.borrow().state.clone())
        };
        transition.state.status = Status::Suspended;
        transition.state.wake_at = self.first_deadline();
        if let Some(handle) = &mut transition.state.handle {
            handle.suspended_at.get_or_insert(now);
        }
        self.commit(Some(transition)).await
    }

    /// The first of the deadlines waited for, Unix ms.
    pub fn first_deadline(&self) -> Option<i64> {
        let state = self.state.borrow();
        let deadlines = state.waiting.values().filter_map(|wait| wait.deadline);
        deadlines.min()
    }

    /// Something waits.
    pub fn is_waiting(&self) -> bool {
        !self.state.borrow().waiting.is_empty()
    }

    /// Whether the log says that this wait has the run suspended.
    pub fn has_told_wait(&self, index: u32) -> bool {
        QueuedLine::has_told_wait(&self.log.buffer(), index)
    }

    /// How long the run has waited so far, in ms.
    pub fn waited_ms(&self) -> u64 {
        let run = self.run.borrow();
        run.state
            .handle
            .as_ref()
            .map_or(0, |handle| handle.waited_ms)
    }
}

impl State {
    fn take(&mut self, step: Step) {
        if let Some(name) = &step.detail.name {
            self.named.insert(name.clone(), step.index);
            self.next_named = self.next_named.max(step.index.saturating_add(1));
        }
        self.result_bytes += step.result.as_ref().map_or(0, String::len);
        self.known.insert(step.index, step);
    }
}

/// Named steps are stored behind every position a body can have.
const NAMED_FROM: u32 = 1 << 20;
/// Lines of a run's own are one attempt: replays repeat them by their ids.
const ATTEMPT: u32 = 1;

const _: () = assert!(caps::RUN_STEPS < NAMED_FROM);
