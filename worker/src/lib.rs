//! The ready Worker: `fetch`, `scheduled`, and its Durable Object classes.
//!
//! Owns nothing but these names; it is a Worker built on the crate like any other. It is a crate of its
//! own since a link can have one `fetch`, and since a library that is also a `cdylib` gets no link-time
//! optimisation, which is a tenth of the Worker's size.

use steadfast::cloudflare::{handle, sweep};
use steadfast::ready::Ready;
use worker::{Context, Env, Request, Response, Result, ScheduleContext, ScheduledEvent, event};

// The names of the classes stand in their objects' storage.
steadfast::session_object!(SessionObject: Ready = |_env| Ready);
steadfast::demo_agent!(DemoAgent);

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    handle(request, &env).await
}

#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    sweep(&env).await;
}
