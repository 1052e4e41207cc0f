//! A Worker without objects: ports of one request, and answers made of lines.
//!
//! Owns how such a Worker's tasks outlive the request. The platform gives them until the answer has
//! ended, and 30 s beyond the client's leaving; then the lease of what they drained runs out, and
//! whoever asks next goes on. Invariant: nothing is shared between two requests but the store.

use super::body;
use super::panics;
use super::ports::{now_ms, random};
use crate::api::location;
use crate::plain::{SupervisedTurn, TurnLines};
use crate::ports::{Clock, Entropy, Log, Ports, Spawn, Timer};
use crate::store::Store;
use futures::TryStreamExt;
use std::rc::Rc;
use worker::{Context, Response, Result, ScheduleContext};

/// The ports of one request, or of one firing of the cron trigger.
#[derive(Clone)]
pub struct RequestPorts {
    context: Rc<Outliving>,
}

/// What has `waitUntil`.
enum Outliving {
    Request(Context),
    Schedule(ScheduleContext),
}

impl RequestPorts {
    /// The ports of the request with this context.
    pub fn new(context: Context) -> Self {
        panics::tell();
        RequestPorts {
            context: Rc::new(Outliving::Request(context)),
        }
    }

    /// The ports of one firing of the cron trigger.
    pub fn scheduled(context: ScheduleContext) -> Self {
        panics::tell();
        RequestPorts {
            context: Rc::new(Outliving::Schedule(context)),
        }
    }
}

impl Clock for RequestPorts {
    fn now_ms(&self) -> i64 {
        now_ms()
    }
}

impl Timer for RequestPorts {
    fn sleep(&self, ms: u64) -> impl Future<Output = ()> + 'static {
        super::sleep(ms)
    }
}

impl Entropy for RequestPorts {
    fn random(&self) -> u128 {
        random()
    }
}

impl Spawn for RequestPorts {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        // `waitUntil` keeps the task going when the client has left.
        match &*self.context {
            Outliving::Request(context) => context.wait_until(task),
            Outliving::Schedule(context) => context.wait_until(task),
        }
    }
}

impl Log for RequestPorts {
    fn log(&self, line: &str) {
        worker::console_log!("{line}");
    }
}

/// The answer to a submit: the turn's lines, with the headers of PROTOCOL §2.1. `session` is the
/// session's id.
///
/// # Errors
/// What the platform throws while the answer is put together.
pub fn turn_response<P: Ports, S: Store + 'static>(
    session: &str,
    turn: SupervisedTurn<P, S>,
) -> Result<Response> {
    let builder = body::builder(200)?
        .with_header("content-type", turn.lines.content_type())?
        .with_header("x-execution-id", &turn.execution_id)?
        .with_header("x-turn-mode", turn.mode.name())?
        .with_header("location", &location(session, turn.turn_index))?;
    stream(builder, turn.lines)
}

/// The answer to a follow: lines alone.
///
/// # Errors
/// What the platform throws while the answer is put together.
pub fn lines_response<P: Ports, S: Store + 'static>(lines: TurnLines<P, S>) -> Result<Response> {
    let builder = body::builder(200)?
        .with_header("content-type", lines.content_type())?
        .with_header("x-execution-id", lines.source().execution_id())?;
    stream(builder, lines)
}

/// Nothing is read ahead: a slow client reads from the store at its own pace.
fn stream<P: Ports, S: Store + 'static>(
    builder: worker::ResponseBuilder,
    lines: TurnLines<P, S>,
) -> Result<Response> {
    let bytes = lines.into_stream();
    builder.from_stream(bytes.map_err(|cut| worker::Error::from(cut.to_string())))
}
