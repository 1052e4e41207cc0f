//! The ready Worker's exports: `fetch`, `scheduled`, and its Durable Object classes.
//!
//! Owns nothing but these names; it is a Worker built on this crate like any other. Invariant: it is
//! the one file behind the feature `worker-entry`, since a link can have one `fetch`.

use super::{handle, sweep};
use crate::session::Ready;
use worker::{Context, Env, Request, Response, Result, ScheduleContext, ScheduledEvent, event};

// The names of the classes stand in their objects' storage.
crate::session_object!(SessionObject: Ready = |_env| Ready);
crate::demo_agent!(DemoAgent);

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    handle(request, &env).await
}

#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    sweep(&env).await;
}
