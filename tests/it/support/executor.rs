//! One thread, virtual time: tasks, timers and chance.
//!
//! Owns when a task is polled and what time it is then. A task belongs to a life; when a life
//! ends, all its tasks are dropped together. Invariant: the same seed and the same calls give the
//! same order of polls.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// Whose tasks end together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life(u64);

impl Life {
    /// Clients, networks and servers: whatever no crash of an object ends.
    pub const OUTSIDE: Life = Life(0);
}

/// A test that polls more often than this never comes to rest.
const MOST_POLLS: u64 = 2_000_000;

type Task = Pin<Box<dyn Future<Output = ()>>>;

type Strike = Box<dyn FnMut(Life) -> bool>;

/// Ids of tasks to be polled; wakers must be `Send`, hence the lock.
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

/// The simulation's clock, tasks and dice. Clones share it.
#[derive(Clone)]
pub struct Sim(Rc<Inner>);

struct Inner {
    now: Cell<i64>,
    seed: Cell<u64>,
    /// Poll the tasks that are ready in an order that the seed gives, not in that of their waking.
    shuffled: Cell<bool>,
    polls: Cell<u64>,
    next_id: Cell<u64>,
    tasks: RefCell<BTreeMap<u64, (Life, Option<Task>)>>,
    timers: RefCell<BTreeMap<(i64, u64), Waker>>,
    ends: RefCell<BTreeMap<Life, Box<dyn FnOnce()>>>,
    dead: RefCell<BTreeSet<Life>>,
    doomed: RefCell<BTreeSet<Life>>,
    /// Lives that stand still, and their tasks that were woken meanwhile.
    frozen: RefCell<BTreeMap<Life, Vec<u64>>>,
    strike: RefCell<Option<Strike>>,
    ready: Ready,
}

impl Sim {
    /// A world at `now`, Unix ms.
    pub fn new(now: i64, seed: u64) -> Self {
        Sim(Rc::new(Inner {
            now: Cell::new(now),
            seed: Cell::new(seed),
            shuffled: Cell::new(seed != 0),
            polls: Cell::new(0),
            next_id: Cell::new(1),
            tasks: RefCell::default(),
            timers: RefCell::default(),
            ends: RefCell::default(),
            dead: RefCell::default(),
            doomed: RefCell::default(),
            frozen: RefCell::default(),
            strike: RefCell::default(),
            ready: Ready::default(),
        }))
    }

    /// Virtual Unix ms.
    pub fn now(&self) -> i64 {
        self.0.now.get()
    }

    /// How many polls there were: two things of one poll happen together.
    pub fn polls(&self) -> u64 {
        self.0.polls.get()
    }

    /// 64 bits of the seed's sequence (splitmix64).
    pub fn random(&self) -> u64 {
        let state = self.0.seed.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.seed.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn next_id(&self) -> u64 {
        let id = self.0.next_id.get();
        self.0.next_id.set(id + 1);
        id
    }

    /// A new life; `lost` is called when it is killed.
    pub fn live(&self, lost: impl FnOnce() + 'static) -> Life {
        let life = Life(self.next_id());
        self.0.ends.borrow_mut().insert(life, Box::new(lost));
        life
    }

    /// Whether this life may still do anything.
    pub fn is_alive(&self, life: Life) -> bool {
        !self.0.dead.borrow().contains(&life)
    }

    /// Whether this life ends with the present poll.
    pub fn is_doomed(&self, life: Life) -> bool {
        !self.is_alive(life) || self.0.doomed.borrow().contains(&life)
    }

    /// Ends a life at once: what it does in the rest of this poll has no effect.
    pub fn kill(&self, life: Life) {
        assert_ne!(life, Life::OUTSIDE);
        let lost = self.0.ends.borrow_mut().remove(&life);
        if self.0.dead.borrow_mut().insert(life)
            && let Some(lost) = lost
        {
            lost();
        }
    }

    /// Ends a life with the present poll, whose writes to its own storage are one commit.
    pub fn doom(&self, life: Life) {
        self.0.doomed.borrow_mut().insert(life);
    }

    /// Stops a life where it stands, as a signal stops a process: time passes, it does nothing.
    pub fn freeze(&self, life: Life) {
        self.0.frozen.borrow_mut().entry(life).or_default();
    }

    /// Lets a frozen life go on.
    pub fn thaw(&self, life: Life) {
        let woken = self.0.frozen.borrow_mut().remove(&life);
        let mut ready = self.0.ready.lock().expect("one thread");
        ready.extend(woken.unwrap_or_default());
    }

    /// Has `strike` say, before each poll of a task that belongs to a life, whether the life ends there.
    pub fn strike(&self, strike: impl FnMut(Life) -> bool + 'static) {
        self.0.strike.replace(Some(Box::new(strike)));
    }

    fn is_struck(&self, life: Life) -> bool {
        let mut strike = self.0.strike.borrow_mut();
        life != Life::OUTSIDE && strike.as_mut().is_some_and(|strike| strike(life))
    }

    /// Starts a task.
    pub fn spawn(&self, life: Life, task: impl Future<Output = ()> + 'static) {
        if self.is_doomed(life) {
            return;
        }
        let id = self.next_id();
        let entry = (life, Some(Box::pin(task) as Task));
        self.0.tasks.borrow_mut().insert(id, entry);
        self.0.ready.lock().expect("one thread").push_back(id);
    }

    /// Completes `ms` from now; never within the poll that asks for it.
    pub fn sleep(&self, ms: u64) -> Sleep {
        Sleep {
            sim: self.clone(),
            at: self.now().saturating_add_unsigned(ms),
            id: self.next_id(),
            waiting: false,
        }
    }

    /// Polls whatever is ready, then moves time to the next timer, until nothing is left to do
    /// before `until`; then it is `until`.
    pub fn run_until(&self, until: i64) {
        self.run_through(until);
        self.0.now.set(self.now().max(until));
    }

    /// Runs until nothing is left to do before `until`, and stops the clock there.
    pub fn run_through(&self, until: i64) {
        self.run_while(until, || true);
    }

    /// Runs as [`Sim::run_through`] does, as long as `goes_on`.
    pub fn run_while(&self, until: i64, goes_on: impl Fn() -> bool) {
        while goes_on() {
            self.reap();
            if let Some(task) = self.pop_ready() {
                self.poll(task);
                continue;
            }
            let next = self.0.timers.borrow().keys().next().copied();
            match next {
                Some((at, id)) if at <= until => {
                    self.0.now.set(self.now().max(at));
                    let waker = self.0.timers.borrow_mut().remove(&(at, id));
                    waker.expect("it was there").wake();
                }
                Some(_) | None => return,
            }
        }
    }

    fn pop_ready(&self) -> Option<u64> {
        let choice = if self.0.shuffled.get() {
            self.random()
        } else {
            0
        };
        let mut ready = self.0.ready.lock().expect("one thread");
        let at = usize::try_from(choice % (ready.len().max(1) as u64)).expect("it is small");
        ready.remove(at)
    }

    fn poll(&self, id: u64) {
        let life = self.0.tasks.borrow().get(&id).map(|(life, _)| *life);
        if let Some(life) = life
            && let Some(woken) = self.0.frozen.borrow_mut().get_mut(&life)
        {
            if !woken.contains(&id) {
                woken.push(id);
            }
            return;
        }
        if let Some(life) = life
            && self.is_struck(life)
        {
            return self.kill(life);
        }
        let taken = self
            .0
            .tasks
            .borrow_mut()
            .get_mut(&id)
            .map(|entry| entry.1.take());
        // A waker may outlive its task.
        let Some(Some(mut task)) = taken else { return };
        self.0.polls.set(self.0.polls.get() + 1);
        assert!(
            self.0.polls.get() < MOST_POLLS,
            "the world does not come to rest"
        );
        let waker = Waker::from(Arc::new(TaskWaker {
            task: id,
            ready: Arc::clone(&self.0.ready),
        }));
        let polled = task.as_mut().poll(&mut Context::from_waker(&waker));
        let mut tasks = self.0.tasks.borrow_mut();
        match polled {
            Poll::Ready(()) => {
                tasks.remove(&id);
            }
            Poll::Pending => {
                if let Some(entry) = tasks.get_mut(&id) {
                    entry.1 = Some(task);
                }
            }
        }
    }

    /// Drops the tasks of lives that have ended.
    fn reap(&self) {
        let doomed: Vec<Life> = std::mem::take(&mut *self.0.doomed.borrow_mut())
            .into_iter()
            .collect();
        self.0.dead.borrow_mut().extend(doomed);
        loop {
            let dead: Vec<u64> = {
                let tasks = self.0.tasks.borrow();
                let of_dead = tasks.iter().filter(|(_, (life, _))| !self.is_alive(*life));
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
}

/// See [`Sim::sleep`].
pub struct Sleep {
    sim: Sim,
    at: i64,
    id: u64,
    waiting: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let key = (self.at, self.id);
        if self.waiting && self.sim.now() >= self.at {
            self.sim.0.timers.borrow_mut().remove(&key);
            return Poll::Ready(());
        }
        self.waiting = true;
        let mut timers = self.sim.0.timers.borrow_mut();
        timers.insert(key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.sim.0.timers.borrow_mut().remove(&(self.at, self.id));
    }
}
