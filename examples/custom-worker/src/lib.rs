//! A Worker of your own on Steadfast, whole: the HTTP API, the session objects, and an upstream,
//! hooks and a durable task of its own, each of them small. Replace them by what you have.

use futures::stream::{LocalBoxStream, StreamExt, unfold};
use std::collections::BTreeMap;
use steadfast::config::Vars;
use steadfast::run::{DurableContext, Error, TaskInput};
use steadfast::session::App;
use steadfast::turn::{HookError, Hooks, TurnIdentity};
use steadfast::upstream::{Ask, Capabilities, Cut, Frame, FrameBody, Refusal, Signal, Upstream};
use worker::{Context, Env, Request, Response, ScheduleContext, ScheduledEvent, event};

// 1. The exports, which `wrangler.toml` and the platform call by name; first the class of the sessions.
steadfast::session_object!(ChatSession: CustomApp = |env| CustomApp(env.var("MASK_NUMBERS").is_ok()));

/// Every request is the API's. Put routes of your own before it.
#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> worker::Result<Response> {
    if request.path() == "/" {
        return Response::ok("POST /v1/sessions/{session}/turns to talk to me.\n");
    }
    steadfast::cloudflare::handle(request, &env).await
}

/// The cron trigger pokes turns whose alarm was lost.
#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    steadfast::cloudflare::sweep(&env).await;
}

// 2. The app: what this deployment adds to the sessions.

/// Whether it masks numbers.
struct CustomApp(bool);

impl App for CustomApp {
    type Upstream = Recite;
    type Hooks = Mask;

    /// The names that the variable `UPSTREAM` may list. Requests choose from that list.
    fn upstream_names(&self) -> &[&'static str] {
        &["recite"]
    }

    /// Called when a turn is accepted, and again when one goes on after a crash.
    fn upstream(&self, name: &str, vars: Vars<'_>) -> Option<Recite> {
        let pause_ms = vars("RECITE_PAUSE_MS").map_or(Some(50), |text| text.parse().ok())?;
        (name == "recite").then_some(Recite(pause_ms))
    }

    fn hooks(&self) -> Mask {
        Mask(self.0)
    }

    /// The names behind `task:` that `UPSTREAM` may list.
    fn task_names(&self) -> &[&'static str] {
        &["order"]
    }

    /// Code as a turn: a step that runs once, a wait that costs nothing, an answer.
    async fn run_task<C: DurableContext, I: TaskInput>(
        &self,
        _name: &str,
        ctx: C,
        input: I,
    ) -> Result<(), Error> {
        let wish = input.ask().text();
        let price: u32 = ctx.step("price", async |_| Ok(5)).await?;
        ctx.tell("offer", "order.offer", &price)?;
        let accepted: bool = ctx.await_event("accept", Some(86_400_000)).await?;
        let answer = format!("{wish} for {price}: {accepted}");
        ctx.tell("answer", "result", &BTreeMap::from([("finalText", answer)]))
    }
}

/// Masks digits before any copy of an answer is kept. Its text then comes at the end, as one line.
struct Mask(bool);

impl Hooks for Mask {
    fn transforms_text(&self) -> bool {
        self.0
    }

    fn persists(&self) -> bool {
        false
    }

    async fn transform_final_text(
        &self,
        _: &TurnIdentity,
        text: String,
    ) -> Result<String, HookError> {
        Ok(text.replace(|c: char| c.is_ascii_digit(), "#"))
    }
}

// 3. The upstream: how to start it, how to come back to it, how to stop it.

/// Tells a message backwards, a word each so many ms.
struct Recite(u64);

impl Upstream for Recite {
    type Frames = LocalBoxStream<'static, Result<Signal, Cut>>;

    /// What recovery relies on: the frames follow from the message, so any can be told again.
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resumable: true,
            start_idempotent: true,
        }
    }

    async fn start(&self, ask: &Ask) -> Result<Self::Frames, Refusal> {
        self.attach(ask, None).await
    }

    /// The frames behind `cursor`, which after a crash is the id of the last frame in the log.
    async fn attach(&self, ask: &Ask, cursor: Option<&str>) -> Result<Self::Frames, Refusal> {
        let told: Result<usize, _> = cursor.map_or(Ok(0), str::parse);
        let told = told.map_err(|_| Refusal::Rejected { status: 400 })?;
        let (left, pause_ms) = (frames(&ask.text()).into_iter().skip(told), self.0);
        let telling = unfold(left, move |mut left| async move {
            let frame = left.next()?;
            // Not `worker::Delay`, which wakes only the first waker that it sees.
            steadfast::cloudflare::sleep(pause_ms).await;
            Some((Ok(Signal::Frame(frame)), left))
        });
        Ok(telling.boxed_local())
    }

    /// Nothing goes on elsewhere, so there is nothing to stop.
    async fn cancel(&self, _execution_id: &str) -> Result<(), Refusal> {
        Ok(())
    }
}

/// All that is said to a message. Only a terminal frame ends a turn: any other end counts as a cut.
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
