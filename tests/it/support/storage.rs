//! The two stores of a world: an object's own SQLite, and D1 behind a network.
//!
//! Owns how they fail. An object's writes of one poll are one commit, as the platform has it, and
//! an end may take back what was not durable; a call of D1 that was sent arrives although its
//! caller has ended.

use super::executor::{Life, Sim};
use super::names::{called, tables};
use super::plan::{Effect, Moment, Plan};
use futures::executor::block_on;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{Driver, DriverError, Outcome, Statement};

/// How long what an object writes takes to be durable.
const SYNC_MS: u64 = 2;
/// Half of a round trip to D1.
const D1_HALF_MS: u64 = 10;

pub(super) fn writes(batch: &[Statement]) -> bool {
    batch
        .iter()
        .any(|statement| !statement.sql.trim_start().starts_with("SELECT"))
}

/// One thing that an object wrote.
#[derive(Clone)]
enum Entry {
    Batch(Vec<Statement>),
    Alarm(Option<i64>),
}

/// What would survive.
struct Durable {
    database: NativeSqlite,
    alarm: Option<i64>,
    /// How much of what was written it holds.
    holds: usize,
}

impl Durable {
    fn empty() -> Self {
        Durable {
            database: NativeSqlite::in_memory().expect("there is memory"),
            alarm: None,
            holds: 0,
        }
    }

    fn follow(&mut self, written: &[Entry]) {
        let fresh = &written[self.holds.min(written.len())..];
        for entry in fresh {
            match entry {
                Entry::Batch(batch) => {
                    let applied = block_on(self.database.apply(batch.clone()));
                    applied.expect("it was applied before");
                }
                Entry::Alarm(at) => self.alarm = *at,
            }
        }
        self.holds = self.holds.max(written.len());
    }
}

type StorageChoice = Box<dyn FnMut(&[Statement]) -> Option<StorageFault>>;

/// How an object's own storage fails: nothing is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageFault {
    /// An error of the platform's.
    Refused,
    /// There is no room.
    Full,
}

/// An object's storage: what was written, and how much of it would survive.
pub struct Storage {
    sim: Sim,
    database: RefCell<NativeSqlite>,
    alarm: Cell<Option<i64>>,
    written: RefCell<Vec<Entry>>,
    durable: Cell<usize>,
    /// Kept beside the database for tests that ask what is durable.
    survives: RefCell<Option<Durable>>,
    choice: RefCell<Option<StorageChoice>>,
    /// Lives that another has replaced: they end where they touch this.
    replaced: RefCell<BTreeSet<Life>>,
    touched: Cell<u64>,
    /// Moves with everything that is written, becomes durable, or is lost.
    changes: Cell<u64>,
    /// Rows that were written, whatever became of them.
    rows: Cell<u64>,
    /// Raised when what was written is taken back, so that nothing late calls it durable.
    history: Cell<u64>,
}

impl Storage {
    pub(super) fn new(sim: Sim) -> Rc<Self> {
        Rc::new(Storage {
            sim,
            database: RefCell::new(NativeSqlite::in_memory().expect("there is memory")),
            alarm: Cell::new(None),
            written: RefCell::default(),
            durable: Cell::new(0),
            survives: RefCell::default(),
            choice: RefCell::default(),
            replaced: RefCell::default(),
            touched: Cell::new(0),
            changes: Cell::new(0),
            rows: Cell::new(0),
            history: Cell::new(0),
        })
    }

    pub(super) fn database(&self) -> NativeSqlite {
        self.database.borrow().clone()
    }

    pub(super) fn alarm(&self) -> Option<i64> {
        self.alarm.get()
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.get()
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows.get()
    }

    /// Another life has this now; what the one before has not made durable is gone.
    pub(super) fn replace(&self, life: Life) {
        self.replaced.borrow_mut().insert(life);
        self.roll_back();
    }

    pub(super) fn is_replaced(&self, life: Life) -> bool {
        self.replaced.borrow().contains(&life)
    }

    /// How many replaced lives ended here.
    pub(super) fn touched(&self) -> u64 {
        self.touched.get()
    }

    /// Holds what an earlier release left there, all of it durable.
    pub(super) fn restore(&self, batch: Vec<Statement>, alarm: Option<i64>) {
        let restored = block_on(self.database().apply(batch.clone()));
        restored.expect("an earlier release stored it");
        let entries = [Entry::Batch(batch), Entry::Alarm(alarm)];
        self.written.borrow_mut().extend(entries);
        self.alarm.set(alarm);
        self.durable.set(self.end());
        self.changed();
    }

    fn changed(&self) {
        self.changes.set(self.changes.get() + 1);
    }

    /// What would survive an end at this instant: the rows and the alarm.
    pub(super) fn durable(&self) -> (NativeSqlite, Option<i64>) {
        let mut survives = self.survives.borrow_mut();
        let survives = survives.get_or_insert_with(Durable::empty);
        survives.follow(&self.written.borrow()[..self.durable.get()]);
        (survives.database.clone(), survives.alarm)
    }

    pub(super) fn fail(&self, choice: impl FnMut(&[Statement]) -> Option<StorageFault> + 'static) {
        self.choice.replace(Some(Box::new(choice)));
    }

    fn fault(&self, batch: &[Statement]) -> Option<StorageFault> {
        let mut choice = self.choice.borrow_mut();
        choice.as_mut().and_then(|choice| choice(batch))
    }

    pub(super) fn set_alarm(self: &Rc<Self>, at: Option<i64>) {
        self.alarm.set(at);
        self.wrote(Entry::Alarm(at));
    }

    /// Waits as the platform's output gate does: until what is written now is durable. Nothing passes that
    /// was taken back meanwhile.
    pub(super) async fn confirmed(&self) {
        let (end, history) = (self.end(), self.history.get());
        while self.durable.get() < end {
            self.sim.sleep(1).await;
            if self.history.get() != history {
                pending::<()>().await;
            }
        }
    }

    /// It fires: the platform keeps it until its handler has done.
    pub(super) fn take_alarm(&self) {
        self.alarm.set(None);
    }

    /// What is written becomes durable a moment later, whether anyone waits for it or not.
    fn wrote(self: &Rc<Self>, entry: Entry) {
        self.written.borrow_mut().push(entry);
        self.changed();
        let (storage, end, history) = (Rc::clone(self), self.end(), self.history.get());
        let sleep = self.sim.sleep(SYNC_MS);
        self.sim.spawn(Life::OUTSIDE, async move {
            sleep.await;
            if storage.history.get() == history {
                storage.durable.set(storage.durable.get().max(end));
                storage.changed();
            }
        });
    }

    fn end(&self) -> usize {
        self.written.borrow().len()
    }

    /// Loses what is not durable.
    pub(super) fn roll_back(&self) {
        let durable = self.durable.get();
        if durable == self.end() {
            let written = self.written.borrow();
            let alarm = written.iter().rev().find_map(|entry| match entry {
                Entry::Alarm(at) => Some(*at),
                Entry::Batch(_) => None,
            });
            return self.alarm.set(alarm.flatten());
        }
        self.history.set(self.history.get() + 1);
        self.changed();
        let fresh = NativeSqlite::in_memory().expect("there is memory");
        let mut written = self.written.borrow_mut();
        written.truncate(durable);
        self.alarm.set(None);
        for entry in written.iter() {
            match entry {
                Entry::Batch(batch) => {
                    let applied = block_on(fresh.apply(batch.clone()));
                    applied.expect("it was applied before");
                }
                Entry::Alarm(at) => self.alarm.set(*at),
            }
        }
        self.database.replace(fresh);
    }

    /// Loses everything.
    pub(super) fn lose(&self) {
        self.durable.set(0);
        self.survives.replace(None);
        self.roll_back();
    }
}

/// An object's storage as one life sees it.
#[derive(Clone)]
pub struct ObjectDriver {
    pub(super) sim: Sim,
    pub(super) life: Life,
    pub(super) plan: Plan,
    pub(super) group: Rc<Cell<u64>>,
    pub(super) storage: Rc<Storage>,
}

impl ObjectDriver {
    /// Ends a life that was replaced.
    async fn touch(&self) {
        if self.storage.is_replaced(self.life) && self.sim.is_alive(self.life) {
            self.storage.touched.set(self.storage.touched.get() + 1);
            self.sim.kill(self.life);
        }
        if !self.sim.is_alive(self.life) {
            pending::<()>().await;
        }
    }

    /// Counts a write as an effect unless it belongs to a group that was counted. The life may end
    /// here, before the group or, with all of it stored, behind this poll.
    pub(super) async fn begin_write(&self, of: impl Fn() -> String) {
        self.touch().await;
        if self.group.replace(self.sim.polls()) == self.sim.polls() {
            return;
        }
        match self.plan.meets(Effect::Write, of) {
            None => {}
            Some(Moment::After) => self.sim.doom(self.life),
            Some(Moment::Before) => {
                self.sim.kill(self.life);
                pending::<()>().await;
            }
        }
    }
}

impl Driver for ObjectDriver {
    async fn apply(&self, batch: Vec<Statement>) -> Result<Vec<Outcome>, DriverError> {
        let writes = writes(&batch);
        if writes {
            self.begin_write(|| tables(&batch)).await;
        } else {
            self.touch().await;
        }
        if let Some(fault) = self.storage.fault(&batch) {
            return Err(failure(false, fault == StorageFault::Full));
        }
        let applied = self.storage.database().apply(batch.clone()).await;
        if let Ok(outcomes) = &applied
            && writes
        {
            let rows: u64 = outcomes.iter().map(|one| one.changes).sum();
            self.storage.rows.set(self.storage.rows.get() + rows);
            self.storage.wrote(Entry::Batch(batch));
        }
        applied
    }

    async fn barrier(&self) -> Result<(), DriverError> {
        // Requests of this platform leave at once: what they may rely on is made durable first.
        self.sync().await
    }

    async fn sync(&self) -> Result<(), DriverError> {
        if self.sim.is_doomed(self.life) {
            pending::<()>().await;
        }
        self.touch().await;
        // An end half-way takes back what was written just now.
        self.sim.sleep(SYNC_MS / 2).await;
        if self
            .plan
            .meets(Effect::Sync, || "own storage".to_owned())
            .is_some()
        {
            self.sim.kill(self.life);
            pending::<()>().await;
        }
        self.sim.sleep(SYNC_MS / 2).await;
        Ok(())
    }
}

/// What becomes of a call of D1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with a failure and nothing is stored.
    Refused,
    /// As [`Fault::Refused`], in these words.
    Says(&'static str),
    /// As [`Fault::Refused`], because D1 is full.
    Full,
    /// It is stored, and the answer is lost.
    AnswerLost,
    /// It arrives so many ms later.
    Late(u64),
    /// Its answer is lost, and only so many ms later it is stored.
    LostAndLate(u64),
    /// It is never answered.
    Hangs,
}

type Choice = Box<dyn FnMut(&[Statement]) -> Option<Fault>>;
type Watch = Box<dyn FnMut(Life, &[Statement])>;
type Audit = Box<dyn FnMut(&[Statement], &[Outcome], Option<Fault>)>;

/// The one D1 of a world. Clones share it.
#[derive(Clone)]
pub struct D1(Rc<D1Inner>);

struct D1Inner {
    sim: Sim,
    database: NativeSqlite,
    choice: RefCell<Option<Choice>>,
    /// Sees every batch that arrives, with the life that sent it.
    watch: RefCell<Option<Watch>>,
    audit: RefCell<Option<Audit>>,
    calls: RefCell<Vec<(i64, bool)>>,
    changes: Cell<u64>,
}

impl D1Inner {
    async fn store(
        &self,
        batch: Vec<Statement>,
        fault: Option<Fault>,
    ) -> Result<Vec<Outcome>, DriverError> {
        let is_audited = self.audit.borrow().is_some();
        let copy = if is_audited { batch.clone() } else { vec![] };
        let stored = self.database.apply(batch).await;
        if let (Ok(outcomes), Some(audit)) = (&stored, self.audit.borrow_mut().as_mut()) {
            audit(&copy, outcomes, fault);
        }
        stored
    }
}

impl D1 {
    pub(super) fn new(sim: Sim) -> Self {
        D1(Rc::new(D1Inner {
            sim,
            database: NativeSqlite::in_memory().expect("there is memory"),
            choice: RefCell::default(),
            watch: RefCell::default(),
            audit: RefCell::default(),
            calls: RefCell::default(),
            changes: Cell::new(0),
        }))
    }

    /// The database itself, for tests that look at it.
    pub fn database(&self) -> NativeSqlite {
        self.0.database.clone()
    }

    /// Has `choice` say what becomes of each call from now on.
    pub fn fail(&self, choice: impl FnMut(&[Statement]) -> Option<Fault> + 'static) {
        self.0.choice.replace(Some(Box::new(choice)));
    }

    /// Shows each batch that a life sends to `watch`.
    pub fn watch(&self, watch: impl FnMut(Life, &[Statement]) + 'static) {
        self.0.watch.replace(Some(Box::new(watch)));
    }

    /// Shows each batch that was stored to `audit`, with what it changed and what was done to its call.
    pub fn audit(&self, audit: impl FnMut(&[Statement], &[Outcome], Option<Fault>) + 'static) {
        self.0.audit.replace(Some(Box::new(audit)));
    }

    /// Moves with everything that is written.
    pub fn changes(&self) -> u64 {
        self.0.changes.get()
    }

    /// Calls succeed from now on.
    pub fn heal(&self) {
        self.0.choice.replace(None);
    }

    /// When calls were made, and whether they wrote.
    pub fn calls(&self) -> Vec<(i64, bool)> {
        self.0.calls.borrow().clone()
    }

    /// Sends a batch; the answer, when there is one. Dropping it changes nothing for D1.
    fn call(
        &self,
        batch: Vec<Statement>,
    ) -> impl Future<Output = Result<Vec<Outcome>, DriverError>> + use<> {
        let sim = self.0.sim.clone();
        let is_write = writes(&batch);
        self.0.calls.borrow_mut().push((sim.now(), is_write));
        let fault = self
            .0
            .choice
            .borrow_mut()
            .as_mut()
            .and_then(|choice| choice(&batch));
        let answer = Rc::new(Reply::default());
        let (to, inner) = (Rc::clone(&answer), Rc::clone(&self.0));
        let after = sim.clone();
        sim.spawn(Life::OUTSIDE, async move {
            let late = match fault {
                Some(Fault::Late(ms)) => ms,
                Some(Fault::LostAndLate(ms)) => {
                    to.give(Err(failure(true, false)));
                    ms
                }
                Some(
                    Fault::Refused
                    | Fault::Says(_)
                    | Fault::Full
                    | Fault::AnswerLost
                    | Fault::Hangs,
                )
                | None => 0,
            };
            after.sleep(D1_HALF_MS + late).await;
            inner.changes.set(inner.changes.get() + u64::from(is_write));
            let result = match fault {
                Some(Fault::Hangs) => return,
                Some(Fault::Refused) => Err(failure(false, false)),
                Some(Fault::Says(message)) => Err(DriverError {
                    message: message.to_owned(),
                    unknown: false,
                    full: false,
                }),
                Some(Fault::Full) => Err(failure(false, true)),
                Some(Fault::AnswerLost) => {
                    let stored = inner.store(batch, fault).await;
                    stored.and(Err(failure(true, false)))
                }
                Some(Fault::LostAndLate(_)) => {
                    // Nobody is left to hear whether it could be.
                    inner.store(batch, fault).await.ok();
                    return;
                }
                Some(Fault::Late(_)) | None => inner.store(batch, fault).await,
            };
            after.sleep(D1_HALF_MS).await;
            to.give(result);
        });
        poll_fn(move |cx| answer.poll(cx.waker()))
    }
}

fn failure(unknown: bool, full: bool) -> DriverError {
    DriverError {
        message: "as planned".to_owned(),
        unknown,
        full,
    }
}

#[derive(Default)]
struct Reply {
    result: RefCell<Option<Result<Vec<Outcome>, DriverError>>>,
    waker: RefCell<Option<Waker>>,
}

impl Reply {
    fn give(&self, result: Result<Vec<Outcome>, DriverError>) {
        self.result.replace(Some(result));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll(&self, waker: &Waker) -> Poll<Result<Vec<Outcome>, DriverError>> {
        match self.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                self.waker.replace(Some(waker.clone()));
                Poll::Pending
            }
        }
    }
}

/// D1 as one life reaches it.
#[derive(Clone)]
pub struct D1Driver {
    pub(super) life: Life,
    pub(super) plan: Plan,
    pub(super) d1: D1,
    /// The storage whose writes must be durable before a call leaves.
    pub(super) gate: Option<Rc<Storage>>,
}

impl Driver for D1Driver {
    async fn apply(&self, batch: Vec<Statement>) -> Result<Vec<Outcome>, DriverError> {
        let sim = &self.d1.0.sim;
        if sim.is_doomed(self.life) {
            pending::<()>().await;
        }
        if let Some(gate) = &self.gate {
            gate.confirmed().await;
        }
        let end = self.plan.meets(Effect::D1, || called(&batch));
        if end == Some(Moment::Before) {
            sim.kill(self.life);
            pending::<()>().await;
        }
        if let Some(watch) = &mut *self.d1.0.watch.borrow_mut() {
            watch(self.life, &batch);
        }
        let answer = self.d1.call(batch);
        if end == Some(Moment::After) {
            sim.kill(self.life);
            pending::<()>().await;
        }
        answer.await
    }

    async fn barrier(&self) -> Result<(), DriverError> {
        Ok(())
    }

    async fn sync(&self) -> Result<(), DriverError> {
        Ok(())
    }
}
