//! What is to go wrong, and when: effects are counted and named, and one of them is the last.
//!
//! Owns the count of a world's effects and their names. Invariant: the same run counts the same effects, so
//! that "the k-th" names one of them until a run has fewer; whoever wants a certain one names it by what it
//! does, for an effect that is added elsewhere moves every number behind it.

use std::cell::{Cell, RefCell};
use std::fmt;
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

impl Effect {
    const KINDS: usize = Effect::Act as usize + 1;
}

/// When a life ends, seen from an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The effect does not happen.
    Before,
    /// The effect happens, its answer is never seen.
    After,
}

impl Moment {
    const fn word(self) -> &'static str {
        match self {
            Moment::Before => "before",
            Moment::After => "behind",
        }
    }
}

/// A life's planned end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Counted from 1.
    pub at: usize,
    /// Around it.
    pub moment: Moment,
}

/// One effect, by what it does.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// Its kind.
    pub effect: Effect,
    /// What its name begins with.
    pub of: &'static str,
    /// Which of those, from 1.
    pub nth: usize,
}

/// An effect that was met.
#[derive(Clone, Debug)]
pub struct Met {
    /// Its kind.
    pub effect: Effect,
    /// What it does: `write runs, stream_log`, `Post /agents/run/stream`, `message.part.updated`.
    pub of: String,
    /// How many of its kind came before.
    pub before: usize,
    /// Of all effects, from 1.
    pub at: usize,
}

impl Met {
    /// Its kind and what it does, which stay when another effect is added.
    pub fn name(&self) -> String {
        format!("{:?}: {}", self.effect, self.of)
    }
}

impl fmt::Display for Met {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Met { before, at, .. } = self;
        write!(
            to,
            "{} ({before} of its kind before, effect {at})",
            self.name()
        )
    }
}

type Hook = Box<dyn FnOnce()>;

/// Which effect a plan waits for.
#[derive(Clone, Copy)]
enum Due {
    Kth(usize),
    /// Counted down.
    Named(Named),
}

impl Due {
    /// Whether it is this one.
    fn comes(&mut self, met: &dyn Fn() -> Met, at: usize, effect: Effect) -> bool {
        match self {
            Due::Kth(kth) => *kth == at,
            Due::Named(named) if named.effect == effect => {
                let is_it = met().of.starts_with(named.of);
                named.nth -= usize::from(is_it);
                is_it && named.nth == 0
            }
            Due::Named(_) => false,
        }
    }
}

/// The plan of one world. Clones share it.
#[derive(Clone, Default)]
pub struct Plan(Rc<Inner>);

#[derive(Default)]
struct Inner {
    count: Cell<usize>,
    of_kind: [Cell<usize>; Effect::KINDS],
    crash: Cell<Option<(Due, Moment)>>,
    hook: RefCell<Option<(Due, Hook)>>,
    crashed: RefCell<Option<Met>>,
    /// Where crashes and hooks came, in words.
    told: RefCell<Vec<String>>,
}

impl Plan {
    /// Ends the life that does the effect `crash` names.
    pub fn crash(&self, crash: Crash) {
        self.0.crash.set(Some((Due::Kth(crash.at), crash.moment)));
    }

    /// Ends the life that does this effect, counted from here.
    pub fn crash_at(&self, named: Named, moment: Moment) {
        self.0.crash.set(Some((Due::Named(named), moment)));
    }

    /// Plans one more crash, counted from here.
    pub fn crash_again(&self, crash: Crash) {
        self.0.crashed.replace(None);
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
        self.0.hook.replace(Some((Due::Kth(at), Box::new(hook))));
    }

    /// Calls `hook` when this effect is about to happen.
    pub fn hook_at(&self, named: Named, hook: impl FnOnce() + 'static) {
        let planned = (Due::Named(named), Box::new(hook) as Hook);
        self.0.hook.replace(Some(planned));
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
    pub fn crashed(&self) -> Option<Met> {
        self.0.crashed.borrow().clone()
    }

    /// Says where crashes and hooks came, for whoever reads of a test that failed.
    pub(super) fn tell(&self) {
        for told in self.0.told.take() {
            eprintln!("{told}");
        }
    }

    /// Counts an effect, and names it when that is asked for; the moment at which its life ends, if it does.
    pub(super) fn meets(&self, effect: Effect, of: impl Fn() -> String) -> Option<Moment> {
        let inner = &self.0;
        let (at, before) = (inner.count.get() + 1, &inner.of_kind[effect as usize]);
        let met = || Met {
            effect,
            of: of(),
            before: before.get(),
            at,
        };
        inner.count.set(at);
        let is_hooked = match &mut *inner.hook.borrow_mut() {
            Some((due, _)) => due.comes(&met, at, effect),
            None => false,
        };
        if is_hooked && let Some((_, hook)) = inner.hook.take() {
            let told = format!("the hook came before {}", met());
            inner.told.borrow_mut().push(told);
            hook();
        }
        let crash = inner.crash.take();
        let end = crash.and_then(|(mut due, moment)| {
            let comes = due.comes(&met, at, effect);
            inner.crash.set((!comes).then_some((due, moment)));
            comes.then_some(moment)
        });
        if let Some(moment) = end {
            let told = format!("the crash came {} {}", moment.word(), met());
            inner.told.borrow_mut().push(told);
            inner.crashed.replace(Some(met()));
        }
        before.set(before.get() + 1);
        end
    }
}
