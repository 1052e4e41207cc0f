//! What an object's memory holds of a run that is being drained.
//!
//! Owns the wake-ups between the drain, its followers and the ship, and the request to stop.
//! Invariant: nothing here that can't be rebuilt from the store; losing it loses no fact.

use super::wake::Wake;
use crate::caps;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The shared state of one drain.
#[derive(Debug)]
pub struct Live {
    run_id: String,
    changed: Rc<Wake>,
    control: Rc<Wake>,
    shipping: Rc<Wake>,
    stop: RefCell<Option<Stop>>,
    over: Cell<bool>,
    hears_events: Cell<bool>,
    unshipped_bytes: Cell<usize>,
}

/// Why a drain is asked to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The caller cancelled; the intent is durable.
    Cancel(Option<String>),
    /// Another life of this session owns it: write nothing more, and cut the followers.
    Replaced,
}

impl Live {
    /// The state of a drain about to begin.
    pub fn new(run_id: &str) -> Rc<Self> {
        Rc::new(Live {
            run_id: run_id.to_owned(),
            changed: Rc::default(),
            control: Rc::default(),
            shipping: Rc::default(),
            stop: RefCell::default(),
            over: Cell::new(false),
            hears_events: Cell::new(false),
            unshipped_bytes: Cell::new(0),
        })
    }

    /// The run being drained.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Moves when the log or the run changed, and when the drain is over.
    pub const fn changed(&self) -> &Rc<Wake> {
        &self.changed
    }

    /// Moves when the drain is asked to stop.
    pub const fn control(&self) -> &Rc<Wake> {
        &self.control
    }

    /// Moves when there is enough to ship.
    pub const fn shipping(&self) -> &Rc<Wake> {
        &self.shipping
    }

    /// Asks the drain to stop; the first request stands, but being replaced outdoes a cancel.
    pub fn stop(&self, stop: Stop) {
        let mut present = self.stop.borrow_mut();
        if present.is_none() || stop == Stop::Replaced {
            *present = Some(stop);
        }
        drop(present);
        self.control.wake();
        self.changed.wake();
    }

    /// Whoever works on the run waits for its events: [`Live::event`] moves `control`.
    pub(crate) fn hear_events(&self) {
        self.hears_events.set(true);
    }

    /// The run has a new event.
    pub fn event(&self) {
        if self.hears_events.get() {
            self.control.wake();
        }
    }

    /// What the drain was asked.
    pub fn stopped(&self) -> Option<Stop> {
        self.stop.borrow().clone()
    }

    /// Another life of this session owns the run.
    pub fn is_replaced(&self) -> bool {
        *self.stop.borrow() == Some(Stop::Replaced)
    }

    /// The drain has ended, however it did.
    pub fn is_over(&self) -> bool {
        self.over.get()
    }

    /// A commit is durable: followers may see it.
    pub(crate) fn committed(&self, bytes: usize, transition: bool) {
        let unshipped = self.unshipped_bytes.get().saturating_add(bytes);
        self.unshipped_bytes.set(unshipped);
        self.changed.wake();
        if transition || unshipped >= caps::SHIP_BYTES {
            self.shipping.wake();
        }
    }

    /// The ship has taken what there was.
    pub fn shipped(&self) {
        self.unshipped_bytes.set(0);
    }

    /// The drain's task is at its end.
    pub fn end(&self) {
        self.over.set(true);
        self.changed.wake();
        self.shipping.wake();
    }
}
