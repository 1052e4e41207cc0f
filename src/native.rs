//! The ports natively: the system's clock and randomness, timers of a thread, tasks of one pool.
//!
//! For programs and tests that use the crate without a Worker, with [`crate::store::MemoryStore`] or
//! [`crate::store::sqlite`]. It owns the only reading of the system's clock in the crate.
//! Invariant: everything runs on the thread that called [`run`].

use crate::certain::Certain;
use crate::ports::{Clock, Entropy, Log, Spawn, Timer};
use futures::executor::{LocalPool, LocalSpawner};
use futures::task::LocalSpawnExt;
use std::future::Future;
use std::time::{Duration, UNIX_EPOCH};

/// The ports of one [`run`].
#[derive(Clone, Debug)]
pub struct NativePorts {
    spawner: LocalSpawner,
}

/// Runs `task` to its end on this thread. Tasks that it spawned and that are not over by then are
/// dropped, as a crash would.
pub fn run<T>(task: impl AsyncFnOnce(NativePorts) -> T) -> T {
    let mut pool = LocalPool::new();
    let ports = NativePorts {
        spawner: pool.spawner(),
    };
    pool.run_until(task(ports))
}

impl Clock for NativePorts {
    #[allow(
        clippy::disallowed_types,
        reason = "this is the Clock port's native implementation"
    )]
    fn now_ms(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
        // A clock before 1970 is as good as none.
        let ms = since.map_or(0, |since| since.as_millis());
        i64::try_from(ms).unwrap_or(i64::MAX)
    }
}

impl Timer for NativePorts {
    fn sleep(&self, ms: u64) -> impl Future<Output = ()> + 'static {
        futures_timer::Delay::new(Duration::from_millis(ms))
    }
}

impl Entropy for NativePorts {
    fn random(&self) -> u128 {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).certain("the system gives random bytes");
        u128::from_le_bytes(bytes)
    }
}

impl Spawn for NativePorts {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        // It fails only when the pool is gone, and every task with it.
        self.spawner.spawn_local(task).ok();
    }
}

impl Log for NativePorts {
    fn log(&self, line: &str) {
        eprintln!("{line}");
    }
}
