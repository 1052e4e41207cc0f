//! Places among what runs at once, given out in the order of asking.
//!
//! Owns who is next. It doesn't own what is done in a place. Invariant: a place that is given back,
//! or that was given to somebody who has gone, goes to the one who waits longest, who alone is woken.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Places. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Slots(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    free: Cell<usize>,
    queue: RefCell<VecDeque<Rc<Ask>>>,
}

#[derive(Debug, Default)]
struct Ask {
    state: Cell<Asked>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    Waits,
    Given,
    Gone,
}

/// A place, until this is dropped.
#[derive(Debug)]
pub(super) struct Slot(Slots);

/// Waits for a place.
pub(super) struct Taking {
    slots: Slots,
    ask: Option<Rc<Ask>>,
}

impl Slots {
    pub fn new(count: usize) -> Self {
        Slots(Rc::new(Inner {
            free: Cell::new(count),
            queue: RefCell::default(),
        }))
    }

    pub fn take(&self) -> Taking {
        Taking {
            slots: self.clone(),
            ask: None,
        }
    }

    /// Gives a place to the next who still waits.
    fn give(&self) {
        loop {
            let next = self.0.queue.borrow_mut().pop_front();
            match next {
                Some(ask) if ask.state.get() == Asked::Waits => {
                    ask.state.set(Asked::Given);
                    if let Some(waker) = ask.waker.take() {
                        waker.wake();
                    }
                    return;
                }
                Some(_) => {}
                None => {
                    self.0.free.set(self.0.free.get() + 1);
                    return;
                }
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.give();
    }
}

impl Future for Taking {
    type Output = Slot;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Slot> {
        let slots = self.slots.clone();
        let Some(ask) = &self.ask else {
            let free = slots.0.free.get();
            if free > 0 {
                slots.0.free.set(free - 1);
                return Poll::Ready(Slot(slots));
            }
            let ask = Rc::new(Ask::default());
            ask.waker.replace(Some(cx.waker().clone()));
            slots.0.queue.borrow_mut().push_back(Rc::clone(&ask));
            self.ask = Some(ask);
            return Poll::Pending;
        };
        if ask.state.get() == Asked::Given {
            ask.state.set(Asked::Gone);
            return Poll::Ready(Slot(slots));
        }
        ask.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        if let Some(ask) = &self.ask
            && ask.state.replace(Asked::Gone) == Asked::Given
        {
            self.slots.give();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn a_place_goes_to_the_one_who_waits_longest_and_is_still_there() {
        let slots = Slots::new(1);
        let first = slots.take().now_or_never().expect("it is free");
        let (mut second, mut third, mut fourth) = (slots.take(), slots.take(), slots.take());
        let waits = |taking: &mut Taking| taking.now_or_never().is_none();
        assert!(waits(&mut second) && waits(&mut third) && waits(&mut fourth));
        drop(second);
        drop(first);
        assert!(waits(&mut fourth), "it is the third one's turn");
        // Given, and gone before it looked.
        drop(third);
        let fourth = fourth.now_or_never().expect("it is its turn");
        assert!(slots.take().now_or_never().is_none());
        drop(fourth);
        assert!(slots.take().now_or_never().is_some());
    }
}
