//! A wake-up call for tasks of one thread.
//!
//! Owns a generation counter and the wakers that wait for it to move. It carries no data: who is
//! woken reads the store. Invariant: a change after [`Wake::generation`] was read is never missed.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
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

/// What a future has at once. Whoever polls it again afterwards is woken as if this had not been: some
/// futures keep the first waker that they see, so it is the caller's own.
pub(crate) async fn at_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    poll_fn(|cx| match Pin::new(&mut future).poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl std::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_future_that_keeps_its_first_waker_still_wakes_its_task() {
        let mut first: Option<Waker> = None;
        let mut stubborn = poll_fn(|cx| {
            first.get_or_insert_with(|| cx.waker().clone());
            Poll::<()>::Pending
        });
        let flag = Arc::new(Flag::default());
        let waker = Waker::from(Arc::clone(&flag));
        let mut task = Box::pin(async {
            assert_eq!(at_once(&mut stubborn).await, None);
            stubborn.await;
        });
        assert!(
            task.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        drop(task);
        first.unwrap().wake();
        assert!(flag.0.load(Ordering::Relaxed));
    }

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
