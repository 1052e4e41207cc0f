//! Turns that are run by a durable task of this code, in the object itself.
//!
//! Owns the start of one, from what was accepted. What a task is and how it ends is `run/`. Invariant:
//! a task is started from the run's record alone, as a drain is.

use super::accepted::Target;
use super::{App, Platform, Session};
use crate::log::Live;
use crate::run::{TaskLimits, TaskTurn};
use crate::store::Run;
use crate::upstream::Ask;
use std::rc::Rc;

impl<P: Platform> Session<P> {
    /// Starts the task of a turn.
    pub(super) fn run_task(
        self: &Rc<Self>,
        run: Run,
        session_key: String,
        target: &Target,
        ask: Option<Ask>,
        live: Rc<Live>,
    ) {
        let config = self.config();
        let name = target.resolved.name.clone().unwrap_or_default();
        let run_id = run.run_id.clone();
        let turn = TaskTurn {
            ports: self.platform.ports().clone(),
            store: self.store.clone(),
            session_key,
            run,
            ask,
            limits: TaskLimits {
                timeout_ms: target.turn.turn_timeout_ms,
                max_bytes: usize::try_from(target.turn.turn_max_bytes).unwrap_or(usize::MAX),
                window_ms: config.commit_window_ms,
                watchdog_ms: config.watchdog_ms,
            },
            live,
        };
        self.keep_shipping();
        let session = Rc::clone(self);
        self.spawn(async move {
            let app = session.platform.app();
            let drained = turn.run(async |ctx, input| app.run_task(&name, ctx, input).await);
            let drained = drained.await;
            session.drained(&run_id, &drained).await;
        });
    }
}
