//! What is to go wrong, and when: effects are counted, and one of them is the last.
//!
//! Owns the count of a world's effects. Invariant: the same run counts the same effects, so that
//! "the k-th" names one of them until a run has fewer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What an object does to its surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// A group of writes to its own storage, its alarm among them.
    Write,
    /// The wait until they are durable.
    Sync,
    /// A call of D1.
    D1,
    /// A request to an upstream.
    Send,
    /// A piece of an upstream's answer that arrives.
    Chunk,
    /// What a task's step does outside.
    Act,
}

/// When a life ends, seen from an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The effect does not happen.
    Before,
    /// The effect happens, its answer is never seen.
    After,
}

/// A life's planned end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Counted from 1.
    pub at: usize,
    /// Around it.
    pub moment: Moment,
}

type Hook = Box<dyn FnOnce()>;

/// The plan of one world. Clones share it.
#[derive(Clone, Default)]
pub struct Plan(Rc<Inner>);

#[derive(Default)]
struct Inner {
    count: Cell<usize>,
    crash: Cell<Option<Crash>>,
    hook: RefCell<Option<(usize, Hook)>>,
    crashed: Cell<Option<Effect>>,
}

impl Plan {
    /// Ends the life that does the effect `crash` names.
    pub fn crash(&self, crash: Crash) {
        self.0.crash.set(Some(crash));
    }

    /// Plans one more crash, counted from here.
    pub fn crash_again(&self, crash: Crash) {
        self.0.crashed.set(None);
        self.crash(Crash {
            at: self.0.count.get() + crash.at,
            ..crash
        });
    }

    /// Takes a crash back that has not come.
    pub fn crash_no_more(&self) {
        self.0.crash.set(None);
    }

    /// Calls `hook` when the `at`-th effect is about to happen.
    pub fn hook(&self, at: usize, hook: impl FnOnce() + 'static) {
        self.0.hook.replace(Some((at, Box::new(hook))));
    }

    /// Whether the hook is still to be called: the run had fewer effects.
    pub fn hook_waits(&self) -> bool {
        self.0.hook.borrow().is_some()
    }

    /// How many effects there were.
    pub fn count(&self) -> usize {
        self.0.count.get()
    }

    /// The effect at which the planned crash came.
    pub fn crashed(&self) -> Option<Effect> {
        self.0.crashed.get()
    }

    /// Counts an effect; the moment at which its life ends, if it does.
    pub(super) fn meets(&self, effect: Effect) -> Option<Moment> {
        let count = self.0.count.get() + 1;
        self.0.count.set(count);
        let due = self
            .0
            .hook
            .borrow()
            .as_ref()
            .is_some_and(|(at, _)| *at == count);
        if due && let Some((_, hook)) = self.0.hook.take() {
            hook();
        }
        let crash = self.0.crash.get().filter(|crash| crash.at == count)?;
        self.0.crash.set(None);
        self.0.crashed.set(Some(effect));
        Some(crash.moment)
    }
}
