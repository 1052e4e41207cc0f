//! A Worker of your own on Steadfast, whole: the HTTP API, the session objects, and an upstream
//! that is this crate's.
//!
//! The upstream here is `recite`, a small agent that tells the user's message backwards, a word at
//! a time. It needs no network and no key, and survives whatever happens to the Worker. Replace it
//! by what you have: a model's API, an agent in a container, a pipeline of your own.

use futures_util::stream::{LocalBoxStream, StreamExt, unfold};
use steadfast::config::Vars;
use steadfast::run::NoHooks;
use steadfast::session::App;
use steadfast::upstream::{Ask, Capabilities, Cut, Frame, FrameBody, Refusal, Signal, Upstream};
use worker::{Context, Env, Request, Response, Result, ScheduleContext, ScheduledEvent, event};

// 1. The exports: what `wrangler.toml` and the platform call by name.

// The Durable Object class of the sessions: an object runs its session's turns and keeps their logs.
steadfast::session_object!(ChatSession: CustomApp = |_env| CustomApp);

/// Every request is the API's. Put routes of your own before it.
#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    if request.path() == "/" {
        return Response::ok("POST /v1/sessions/{session}/turns to talk to me.\n");
    }
    steadfast::cloudflare::handle(request, &env).await
}

/// The cron trigger pokes turns that nobody has looked after. Without it a turn whose alarm was lost
/// waits until somebody asks for it.
#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    steadfast::cloudflare::sweep(&env).await;
}

// 2. The app: what this deployment adds to the sessions.

struct CustomApp;

impl App for CustomApp {
    type Upstream = Recite;

    /// The names that the variable `UPSTREAM` may list. Requests choose from that list.
    fn upstream_names(&self) -> &[&'static str] {
        &["recite"]
    }

    /// Called when a turn is accepted, and again when one goes on after a crash.
    fn upstream(&self, name: &str, vars: Vars<'_>) -> Option<Recite> {
        let pause_ms = vars("RECITE_PAUSE_MS").map_or(Some(50), |text| text.parse().ok())?;
        (name == "recite").then_some(Recite { pause_ms })
    }

    /// What is called around a turn: `steadfast::run::Hooks` can redact and save its answer.
    type Hooks = NoHooks;

    fn hooks(&self) -> NoHooks {
        NoHooks
    }
}

// 3. The upstream: how to start it, how to come back to it, how to stop it.

/// Tells a message backwards, a word each `pause_ms`.
struct Recite {
    pause_ms: u64,
}

impl Upstream for Recite {
    type Frames = LocalBoxStream<'static, std::result::Result<Signal, Cut>>;

    /// What recovery relies on, so it must be true. The frames are a function of the message: any of
    /// them can be told again, and a second start can't do anything that the first has not done.
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resumable: true,
            start_idempotent: true,
        }
    }

    async fn start(&self, ask: &Ask) -> std::result::Result<Self::Frames, Refusal> {
        self.attach(ask, None).await
    }

    /// The frames strictly after the one whose id is `cursor`. When the Worker dies in mid-turn, the
    /// next one calls this with the id of the last frame that is in the log.
    async fn attach(
        &self,
        ask: &Ask,
        cursor: Option<&str>,
    ) -> std::result::Result<Self::Frames, Refusal> {
        let told = match cursor.map(str::parse) {
            None => 0,
            Some(Ok(told)) => told,
            // Not an id that we gave.
            Some(Err(_)) => return Err(Refusal::Rejected { status: 400 }),
        };
        let left = frames(&ask.text()).into_iter().skip(told);
        let pause_ms = self.pause_ms;
        let telling = unfold(left, move |mut left| async move {
            let frame = left.next()?;
            // Not `worker::Delay`, which wakes only the first waker that it sees.
            steadfast::cloudflare::sleep(pause_ms).await;
            Some((Ok(Signal::Frame(frame)), left))
        });
        Ok(telling.boxed_local())
    }

    /// Nothing goes on elsewhere, so there is nothing to stop.
    async fn cancel(&self, _execution_id: &str) -> std::result::Result<(), Refusal> {
        Ok(())
    }
}

/// Everything that is said to a message; a frame's id is its number, from 1. Only a terminal frame
/// ends a turn: a stream that ends without one counts as cut, and is attached again.
fn frames(message: &str) -> Vec<Frame> {
    let words = message.split_whitespace().rev().enumerate();
    let mut frames: Vec<Frame> = words
        .map(|(at, word)| Frame::text((at + 1).to_string(), &format!("{word} ")))
        .collect();
    frames.push(Frame {
        id: (frames.len() + 1).to_string(),
        body: FrameBody::Completed,
    });
    frames
}
