//! A wake-up call for tasks of one thread.
//!
//! Owns a generation counter and the wakers that wait for it to move. It carries no data: who is
//! woken reads the store. Invariant: a change after [`Wake::generation`] was read is never missed.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Wakes every task that waits for the next change.
#[derive(Debug, Default)]
pub struct Wake {
    generation: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Wake {
    /// The present generation; read it before reading what it announces.
    pub fn generation(&self) -> u64 {
        self.generation.get()
    }

    /// Announces a change.
    pub fn wake(&self) {
        self.generation.set(self.generation.get().wrapping_add(1));
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    /// Completes once the generation is another than `since`.
    pub fn changed(self: &Rc<Self>, since: u64) -> Changed {
        Changed {
            wake: Rc::clone(self),
            since,
        }
    }
}

/// See [`Wake::changed`].
#[derive(Debug)]
pub struct Changed {
    wake: Rc<Wake>,
    since: u64,
}

impl Future for Changed {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.wake.generation.get() != self.since {
            return Poll::Ready(());
        }
        let mut waiting = self.wake.waiting.borrow_mut();
        // A task that polls again, as a select does, must not pile up.
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_change_after_the_generation_was_read_is_not_missed() {
        let wake = Rc::new(Wake::default());
        let since = wake.generation();
        assert_eq!(wake.changed(since).now_or_never(), None);
        wake.wake();
        assert_eq!(wake.changed(since).now_or_never(), Some(()));
        assert_eq!(wake.changed(wake.generation()).now_or_never(), None);
    }

    #[test]
    fn polling_again_does_not_pile_up_wakers() {
        let wake = Rc::new(Wake::default());
        for _ in 0..100 {
            assert_eq!(wake.changed(wake.generation()).now_or_never(), None);
        }
        assert!(wake.waiting.borrow().len() <= 1);
    }
}
