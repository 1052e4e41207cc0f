//! One thread that stands still at each effect until it is told which one happens next.
//!
//! Owns tasks, lives and what they wait for. Each life has its own clock, which only its own timers
//! move, so that of two lives either may be slower than the other by as much as it likes; where they
//! share a lease they share one clock. Invariant: between two moves nothing happens but what
//! follows from the first one.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use steadfast::store::{DriverError, Outcome, Statement};

/// One life of a party.
pub type Life = usize;

/// Whether a life may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// It may.
    Alive,
    /// Another one has its place: it goes on until it touches its storage, or until this time.
    Replaced(i64),
    /// It does nothing more.
    Dead,
}

/// What a task waits for.
#[derive(Clone, Debug)]
pub enum Effect {
    /// A batch on its way to D1.
    D1(Vec<Statement>),
    /// A request on its way to the upstream.
    Send(&'static str),
    /// A piece of the upstream's answer.
    Chunk,
    /// What was written up to here to become durable.
    Sync(usize),
    /// This time by the life's clock.
    Timer(i64),
}

/// What an effect gives.
pub enum Answer {
    /// D1's.
    D1(Result<Vec<Outcome>, DriverError>),
    /// It has happened.
    Done,
}

type Slot = Rc<RefCell<Option<Answer>>>;

/// One pending effect.
pub struct Op {
    /// Its number, in the order of asking.
    pub id: u64,
    /// Who asked.
    pub life: Life,
    /// For what.
    pub effect: Effect,
    /// Its number among those of its life.
    pub nth: u64,
    waker: Option<Waker>,
    slot: Slot,
}

struct Being {
    health: Health,
    now: i64,
    chance: u64,
    asked: u64,
    /// Everything that it was told, in order: with its code, all that it can be.
    told: u64,
}

type Task = Pin<Box<dyn Future<Output = ()>>>;
type Ready = Arc<Mutex<VecDeque<u64>>>;

struct TaskWaker {
    task: u64,
    ready: Ready,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.lock().expect("one thread");
        if !ready.contains(&self.task) {
            ready.push_back(self.task);
        }
    }
}

/// The stage. Clones share it.
#[derive(Clone)]
pub struct Stage(Rc<Inner>);

struct Inner {
    one_clock: bool,
    begins: i64,
    beings: RefCell<Vec<Being>>,
    tasks: RefCell<BTreeMap<u64, (Life, Option<Task>)>>,
    ready: Ready,
    ops: RefCell<Vec<Op>>,
    next_id: Cell<u64>,
    polls: Cell<u64>,
}

/// A number for anything that can be told apart.
pub fn digest(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

impl Stage {
    /// A stage at `begins`, Unix ms, whose lives have one clock or one each.
    pub fn new(begins: i64, one_clock: bool) -> Self {
        Stage(Rc::new(Inner {
            one_clock,
            begins,
            beings: RefCell::default(),
            tasks: RefCell::default(),
            ready: Ready::default(),
            ops: RefCell::default(),
            next_id: Cell::new(0),
            polls: Cell::new(0),
        }))
    }

    fn next_id(&self) -> u64 {
        let id = self.0.next_id.get();
        self.0.next_id.set(id + 1);
        id
    }

    /// A new life at `now`, whose chance is that of `seed`.
    pub fn live(&self, now: Option<i64>, seed: u64) -> Life {
        let mut beings = self.0.beings.borrow_mut();
        let shared = beings.first().map(|first| first.now);
        let now = match self.0.one_clock {
            true => shared.or(now),
            false => now,
        };
        beings.push(Being {
            health: Health::Alive,
            now: now.unwrap_or(self.0.begins),
            chance: seed,
            asked: 0,
            told: seed,
        });
        beings.len() - 1
    }

    fn being<T>(&self, life: Life, of: impl FnOnce(&mut Being) -> T) -> T {
        of(&mut self.0.beings.borrow_mut()[life])
    }

    /// Whether it may do something.
    pub fn health(&self, life: Life) -> Health {
        self.being(life, |being| being.health)
    }

    /// Changes that.
    pub fn set_health(&self, life: Life, health: Health) {
        self.being(life, |being| being.health = health);
    }

    /// The time by its clock.
    pub fn now(&self, life: Life) -> i64 {
        self.being(life, |being| being.now)
    }

    /// Moves its clock, which never goes back; the others' too where they have one.
    pub fn set_now(&self, life: Life, now: i64) {
        for (other, being) in self.0.beings.borrow_mut().iter_mut().enumerate() {
            if self.0.one_clock || other == life {
                being.now = being.now.max(now);
            }
        }
    }

    /// Whether all lives have one clock.
    pub fn has_one_clock(&self) -> bool {
        self.0.one_clock
    }

    /// 64 bits of its own sequence (splitmix64).
    pub fn random(&self, life: Life) -> u64 {
        self.being(life, |being| {
            being.chance = being.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (being.chance ^ (being.chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
    }

    /// It was told this.
    pub fn tell(&self, life: Life, what: impl Hash) {
        self.being(life, |being| being.told = digest((being.told, what)));
    }

    /// All that is known of the lives.
    pub fn state(&self) -> u64 {
        let beings = self.0.beings.borrow();
        let known = |being: &Being| match being.health {
            Health::Dead => (Health::Dead, 0, 0),
            health => (health, being.now, being.told),
        };
        digest(beings.iter().map(known).collect::<Vec<_>>())
    }

    /// How many polls there were: what is written in one of them is one commit.
    pub fn polls(&self) -> u64 {
        self.0.polls.get()
    }

    /// Starts a task.
    pub fn spawn(&self, life: Life, task: impl Future<Output = ()> + 'static) {
        if self.health(life) == Health::Dead {
            return;
        }
        let id = self.next_id();
        let entry = (life, Some(Box::pin(task) as Task));
        self.0.tasks.borrow_mut().insert(id, entry);
        self.0.ready.lock().expect("one thread").push_back(id);
    }

    /// Polls whatever is ready until nothing is.
    pub fn run(&self) {
        loop {
            let next = self.0.ready.lock().expect("one thread").pop_front();
            let Some(id) = next else { return };
            let taken = {
                let mut tasks = self.0.tasks.borrow_mut();
                tasks.get_mut(&id).and_then(|entry| entry.1.take())
            };
            // A waker may outlive its task.
            let Some(mut task) = taken else { continue };
            self.0.polls.set(self.0.polls.get() + 1);
            let waker = Waker::from(Arc::new(TaskWaker {
                task: id,
                ready: Arc::clone(&self.0.ready),
            }));
            let polled = task.as_mut().poll(&mut Context::from_waker(&waker));
            let mut tasks = self.0.tasks.borrow_mut();
            if polled.is_ready() {
                tasks.remove(&id);
            } else if let Some(entry) = tasks.get_mut(&id) {
                entry.1 = Some(task);
            }
            drop(tasks);
            self.bury();
        }
    }

    /// Drops the tasks of the dead, and what they waited for; what is on its way to D1 stays on it.
    pub fn bury(&self) {
        loop {
            let dead: Vec<u64> = {
                let tasks = self.0.tasks.borrow();
                let of_dead = tasks.iter().filter(|(_, (life, task))| {
                    task.is_some() && self.health(*life) == Health::Dead
                });
                of_dead.map(|(id, _)| *id).collect()
            };
            if dead.is_empty() {
                return;
            }
            for id in dead {
                // Out of the map first: what is dropped may wake others.
                let task = self.0.tasks.borrow_mut().remove(&id);
                drop(task);
            }
        }
    }

    /// Ends everything: tasks hold their stage, and would never go.
    pub fn close(&self) {
        for being in self.0.beings.borrow_mut().iter_mut() {
            being.health = Health::Dead;
        }
        self.bury();
        let left = self.0.ops.take();
        drop(left);
    }

    /// Waits for an effect.
    pub fn wait(&self, life: Life, effect: Effect) -> Wait {
        let slot = Slot::default();
        let id = self.next_id();
        if self.health(life) != Health::Dead {
            let nth = self.being(life, |being| {
                being.asked += 1;
                being.asked
            });
            self.0.ops.borrow_mut().push(Op {
                id,
                life,
                effect,
                nth,
                waker: None,
                slot: Rc::clone(&slot),
            });
        }
        Wait {
            stage: self.clone(),
            id,
            slot,
        }
    }

    /// Looks at what is waited for, in the order of asking.
    pub fn ops<T>(&self, look: impl FnOnce(&[Op]) -> T) -> T {
        look(&self.0.ops.borrow())
    }

    /// Takes an effect that happens now.
    pub fn take(&self, id: u64) -> Op {
        let mut ops = self.0.ops.borrow_mut();
        let at = ops.iter().position(|op| op.id == id);
        ops.remove(at.expect("a move is of a pending effect"))
    }
}

impl Op {
    /// Answers whoever waits.
    pub fn answer(self, answer: Answer) {
        self.slot.replace(Some(answer));
        if let Some(waker) = self.waker {
            waker.wake();
        }
    }
}

/// See [`Stage::wait`].
pub struct Wait {
    stage: Stage,
    id: u64,
    slot: Slot,
}

impl Future for Wait {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        if let Some(answer) = self.slot.take() {
            return Poll::Ready(answer);
        }
        let mut ops = self.stage.0.ops.borrow_mut();
        if let Some(op) = ops.iter_mut().find(|op| op.id == self.id) {
            op.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut ops = self.stage.0.ops.borrow_mut();
        // A call that was sent arrives whoever waits for it.
        let id = self.id;
        ops.retain(|op| op.id != id || matches!(op.effect, Effect::D1(_)));
    }
}
