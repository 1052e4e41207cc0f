//! Time, chance, tasks and the log of this platform.

use super::panics::Resettable;
use crate::certain::Certain;
use crate::ports::{Clock, Entropy, Log, Spawn, Timer};
use futures::FutureExt;
use std::rc::Rc;
use std::time::Duration;

/// The ports of one object.
#[derive(Clone)]
pub struct WorkerPorts {
    state: Rc<worker::State>,
    object: Resettable,
}

impl WorkerPorts {
    /// The ports of the object with this state. A panic in a task of theirs resets the object.
    pub fn new(state: Rc<worker::State>) -> Self {
        let object = Resettable::new(&state);
        WorkerPorts { state, object }
    }
}

/// Unix ms.
pub fn now_ms() -> i64 {
    js_sys::Date::now() as i64
}

/// Waits, for upstreams of a deployment's own: completes `ms` milliseconds from now, never earlier.
///
/// A future may be polled by one waker and then by another, as some combinators do. `worker::Delay` would
/// wake the first of them only.
pub fn sleep(ms: u64) -> impl Future<Output = ()> + 'static {
    delay(ms).shared()
}

/// `setTimeout` takes 31 bits; who waits longer looks at the clock and waits again.
fn delay(ms: u64) -> worker::Delay {
    worker::Delay::from(Duration::from_millis(ms.min(i32::MAX as u64)))
}

/// 128 random bits.
pub fn random() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).certain("every request and object of this platform has crypto");
    u128::from_le_bytes(bytes)
}

impl Clock for WorkerPorts {
    fn now_ms(&self) -> i64 {
        now_ms()
    }
}

impl Timer for WorkerPorts {
    fn sleep(&self, ms: u64) -> impl Future<Output = ()> + 'static {
        delay(ms)
    }
}

impl Entropy for WorkerPorts {
    fn random(&self) -> u128 {
        random()
    }
}

impl Spawn for WorkerPorts {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        // `waitUntil` keeps the object in memory while the task waits.
        self.state.wait_until(self.object.clone().does(task));
    }
}

impl Log for WorkerPorts {
    fn log(&self, line: &str) {
        worker::console_log!("{line}");
    }
}
