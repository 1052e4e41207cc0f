//! The upstreams of a world: an agent sandbox (PROTOCOL §4.1) that buffers and replays, and a chat
//! completions API that doesn't.
//!
//! Owns the servers, what they were asked, and the wire to them. Invariant: one execution id starts
//! one execution; its frames have their times, whoever is connected.

use super::chat;
use super::executor::{Life, Sim, Sleep};
use super::names::{kind_of, sent};
use super::plan::{Effect, Moment, Plan};
use super::script::{Script, Trick};
use futures::Stream;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use steadfast::upstream::framing::BodyFraming;
use steadfast::upstream::{Headers, Http, HttpRequest, HttpResponse, Unreachable};

/// Until the head of an answer.
const HEAD_MS: u64 = 5;

/// What becomes of one request for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It is answered with this status.
    Status(u16),
    /// It is answered 503 with a `Retry-After` in ms, of which whole seconds are said.
    RetryAfter(u64),
    /// It arrives; its answer does not.
    HeadLost,
    /// There is no answer at all.
    NoHead,
    /// The body is cut after so many pieces.
    CutAfter(usize),
    /// The body is cut so many bytes within the piece behind so many.
    CutWithin(usize, usize),
    /// The body comes to its own end after so many pieces.
    EndsAfter(usize),
    /// The body falls silent after so many pieces.
    StallsAfter(usize),
}

/// One request for a stream, as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Unix ms.
    pub at: i64,
    /// Where it was sent.
    pub url: String,
    /// `X-Execution-ID`; empty where the wire knows none.
    pub execution_id: String,
    /// `Last-Event-ID`.
    pub after: Option<String>,
    /// The body.
    pub body: String,
}

struct Execution {
    started_at: i64,
    input_hash: String,
    script: Script,
    connections: Cell<u64>,
    cancelled_at: Rc<Cell<Option<i64>>>,
}

/// The servers. Clones share them.
#[derive(Clone)]
pub struct Upstream(Rc<Inner>);

type Choice = Box<dyn FnMut(&Asked) -> Option<Behaviour>>;
type Scripts = Box<dyn Fn(&str) -> Option<Script>>;

struct Inner {
    /// What becomes of requests for which nothing was said.
    choice: RefCell<Option<Choice>>,
    /// What is played for a body, where that isn't the same for all.
    scripts: RefCell<Option<Scripts>>,
    script: RefCell<Script>,
    executions: RefCell<BTreeMap<String, Execution>>,
    behaviours: RefCell<VecDeque<Behaviour>>,
    cancel_statuses: RefCell<VecDeque<u16>>,
    asked: RefCell<Vec<Asked>>,
    cancels: RefCell<Vec<String>>,
}

impl Upstream {
    pub(super) fn new(script: Script) -> Self {
        Upstream(Rc::new(Inner {
            choice: RefCell::default(),
            scripts: RefCell::default(),
            script: RefCell::new(script),
            executions: RefCell::default(),
            behaviours: RefCell::default(),
            cancel_statuses: RefCell::default(),
            asked: RefCell::default(),
            cancels: RefCell::default(),
        }))
    }

    /// Executions that start from now on say this.
    pub fn play(&self, script: Script) {
        self.0.script.replace(script);
    }

    /// Executions for a body of which `scripts` knows one say that.
    pub fn play_each(&self, scripts: impl Fn(&str) -> Option<Script> + 'static) {
        self.0.scripts.replace(Some(Box::new(scripts)));
    }

    /// Has `choice` say how requests for streams are treated from now on.
    pub fn choose(&self, choice: impl FnMut(&Asked) -> Option<Behaviour> + 'static) {
        self.0.choice.replace(Some(Box::new(choice)));
    }

    /// All requests are treated well from now on.
    pub fn heal(&self) {
        self.0.choice.replace(None);
        self.0.behaviours.borrow_mut().clear();
        self.0.cancel_statuses.borrow_mut().clear();
    }

    fn script(&self, body: &str) -> Script {
        let scripts = self.0.scripts.borrow();
        let own = scripts.as_ref().and_then(|scripts| scripts(body));
        own.unwrap_or_else(|| self.0.script.borrow().clone())
    }

    fn behaviour(&self, now: i64, request: &HttpRequest) -> Option<Behaviour> {
        if request.url.ends_with("/cancel") {
            return None;
        }
        let said = self.0.behaviours.borrow_mut().pop_front();
        said.or_else(|| {
            let mut choice = self.0.choice.borrow_mut();
            choice
                .as_mut()
                .and_then(|choice| choice(&asked(now, request)))
        })
    }

    /// The next requests for streams are treated so, in order; those behind them well.
    pub fn behave(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.0.behaviours.borrow_mut().extend(behaviours);
    }

    /// The next cancels are answered so, in order; those behind them with 200.
    pub fn answer_cancels(&self, statuses: impl IntoIterator<Item = u16>) {
        self.0.cancel_statuses.borrow_mut().extend(statuses);
    }

    /// All requests for streams.
    pub fn asked(&self) -> Vec<Asked> {
        self.0.asked.borrow().clone()
    }

    /// Runs an execution that was started at `started_at`, by whoever asked then.
    pub fn restore(&self, id: &str, input_hash: &str, started_at: i64) {
        let execution = Execution {
            started_at,
            input_hash: input_hash.to_owned(),
            script: self.script(""),
            connections: Cell::new(0),
            cancelled_at: Rc::default(),
        };
        let mut executions = self.0.executions.borrow_mut();
        executions.insert(id.to_owned(), execution);
    }

    /// The executions that were started, each once.
    pub fn started(&self) -> Vec<String> {
        self.0.executions.borrow().keys().cloned().collect()
    }

    /// The executions that cancels were received for, in order.
    pub fn cancels(&self) -> Vec<String> {
        self.0.cancels.borrow().clone()
    }

    /// Takes a request in; `Err` is the status of a refusal.
    fn receive(&self, now: i64, request: &HttpRequest) -> Result<Connection, u16> {
        if let Some(path) = request.url.strip_suffix("/cancel") {
            let id = path.rsplit('/').next().expect("a path has parts");
            return Err(self.cancel(now, id));
        }
        self.0.asked.borrow_mut().push(asked(now, request));
        if request.url.ends_with("/chat/completions") {
            return Ok(Connection {
                framing: BodyFraming::EventStream,
                pieces: chat::pieces(&self.script(&request.body), now),
                cancelled_at: Rc::default(),
            });
        }
        let id = header(request, "x-execution-id").expect("a sandbox is asked under an id");
        let hash = header(request, "x-input-hash").expect("a sandbox is told the input's hash");
        let mut executions = self.0.executions.borrow_mut();
        let execution = executions.entry(id.clone()).or_insert_with(|| Execution {
            started_at: now,
            input_hash: hash.clone(),
            script: self.script(&request.body),
            connections: Cell::new(0),
            cancelled_at: Rc::default(),
        });
        if execution.input_hash != hash {
            return Err(409);
        }
        Ok(execution.connect(now, &id, header(request, "last-event-id").as_deref()))
    }

    fn cancel(&self, now: i64, id: &str) -> u16 {
        self.0.cancels.borrow_mut().push(id.to_owned());
        if let Some(status) = self.0.cancel_statuses.borrow_mut().pop_front() {
            return status;
        }
        match self.0.executions.borrow().get(id) {
            None => 404,
            Some(execution) => {
                if execution.cancelled_at.get().is_none() {
                    execution.cancelled_at.set(Some(now));
                }
                200
            }
        }
    }
}

fn header(request: &HttpRequest, name: &str) -> Option<String> {
    request.headers.get(name).map(str::to_owned)
}

fn asked(now: i64, request: &HttpRequest) -> Asked {
    Asked {
        at: now,
        url: request.url.clone(),
        execution_id: header(request, "x-execution-id").unwrap_or_default(),
        after: header(request, "last-event-id"),
        body: request.body.clone(),
    }
}

impl Execution {
    /// The frames behind `after`, in pieces that end within a frame and may split a character.
    fn connect(&self, now: i64, id: &str, after: Option<&str>) -> Connection {
        let hash = &self.input_hash;
        let mut frames = vec![format!(
            r#"{{"type":"execution.started","data":{{"executionId":"{id}","sandboxId":"x","inputHash":"{hash}"}}}}"#
        )];
        for (kind, data, _) in &self.script.frames {
            frames.push(format!(r#"{{"type":"{kind}","data":{data}}}"#));
        }
        frames.push(match self.script.fails {
            None => r#"{"type":"execution.completed"}"#.to_owned(),
            Some(words) => {
                format!(r#"{{"type":"execution.failed","data":{{"message":"{words}"}}}}"#)
            }
        });
        self.add_frames(&mut frames);
        let known = |number: usize| format!("f{number}");
        let first = after.map_or(0, |after| {
            let at = (0..frames.len()).find(|number| known(*number) == after);
            at.expect("a cursor is a frame's id") + 1
        });
        let mut pieces = Vec::new();
        let (mut at, mut rest) = (now, Vec::new());
        for number in self.order(first, frames.len()) {
            let frame = &frames[number];
            let due = self.script.pace_ms * number as u64;
            at = self.started_at.saturating_add_unsigned(due).max(now);
            let text = format!("id: {}\ndata: {frame}\n\n", known(number)).into_bytes();
            // Near its end, where the characters are that have more than one byte.
            let (head, tail) = text.split_at(text.len() - 7);
            rest.extend_from_slice(head);
            pieces.push((at, std::mem::replace(&mut rest, tail.to_vec())));
        }
        pieces.push((at, rest));
        Connection {
            framing: BodyFraming::EventStream,
            pieces,
            cancelled_at: Rc::clone(&self.cancelled_at),
        }
    }
}

impl Execution {
    /// What its tricks add behind the end, or to a frame.
    fn add_frames(&self, frames: &mut Vec<String>) {
        let last = frames.last().cloned().unwrap_or_default();
        for trick in &self.script.tricks {
            match trick {
                Trick::EndsTwice => frames.push(last.clone()),
                Trick::GoesOn => {
                    frames.push(r#"{"type":"tool.call","data":{"id":"late"}}"#.to_owned());
                }
                Trick::Swells(number, bytes) => {
                    let text = "x".repeat(*bytes);
                    frames[number + 1] = format!(
                        r#"{{"type":"message.part.updated","data":{{"part":{{"id":"p1","type":"text"}},"delta":"{text}"}}}}"#
                    );
                }
                Trick::Repeats(_) | Trick::Swaps(_) => {}
            }
        }
    }

    /// The frames from `first` on, as this connection has them.
    fn order(&self, first: usize, end: usize) -> Vec<usize> {
        let connection = self.connections.get();
        self.connections.set(connection + 1);
        let mut order: Vec<usize> = (first..end).collect();
        for trick in &self.script.tricks {
            // Frame 0 is the execution's own.
            match trick {
                Trick::Repeats(number) => {
                    if let Some(at) = order.iter().position(|known| *known == number + 1) {
                        order.insert(at + 1, number + 1);
                    }
                }
                Trick::Swaps(number) if connection.is_multiple_of(2) => {
                    if let Some(at) = order.iter().position(|known| *known == number + 1)
                        && at + 2 < order.len()
                    {
                        order.swap(at, at + 1);
                    }
                }
                Trick::Swaps(_) | Trick::EndsTwice | Trick::GoesOn | Trick::Swells(..) => {}
            }
        }
        order
    }
}

/// An answer on its way: when each piece of its body arrives.
pub(super) struct Connection {
    pub(super) framing: BodyFraming,
    pub(super) pieces: Vec<(i64, Vec<u8>)>,
    pub(super) cancelled_at: Rc<Cell<Option<i64>>>,
}

/// The wire from one life to the servers.
#[derive(Clone)]
pub struct Wire {
    sim: Sim,
    life: Life,
    plan: Plan,
    upstream: Upstream,
}

impl Wire {
    pub(super) const fn new(sim: Sim, life: Life, plan: Plan, upstream: Upstream) -> Self {
        Wire {
            sim,
            life,
            plan,
            upstream,
        }
    }
}

impl Http for Wire {
    type Body = Body;

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse<Body>, Unreachable> {
        if self.sim.is_doomed(self.life) {
            pending::<()>().await;
        }
        let end = self.plan.meets(Effect::Send, || sent(&request));
        if end == Some(Moment::Before) {
            self.sim.kill(self.life);
            pending::<()>().await;
        }
        let behaviour = self.upstream.behaviour(self.sim.now(), &request);
        let received = match behaviour {
            Some(Behaviour::Status(status)) => Err(status),
            Some(Behaviour::RetryAfter(_)) => Err(503),
            Some(_) | None => self.upstream.receive(self.sim.now(), &request),
        };
        if end == Some(Moment::After) {
            self.sim.kill(self.life);
            pending::<()>().await;
        }
        self.sim.sleep(HEAD_MS).await;
        match behaviour {
            Some(Behaviour::HeadLost) => return Err(Unreachable),
            Some(Behaviour::NoHead) => pending().await,
            Some(_) | None => {}
        }
        let status = received.as_ref().err().copied().unwrap_or(200);
        let mut headers = Headers::default();
        if let Some(Behaviour::RetryAfter(ms)) = behaviour {
            headers.push("Retry-After", ms.div_ceil(1_000).to_string());
        }
        if let Ok(connection) = &received {
            let media_type = connection.framing.media_type();
            headers.push("Content-Type", format!("{media_type}; charset=utf-8"));
        }
        Ok(HttpResponse {
            status,
            headers,
            body: Body {
                wire: self.clone(),
                behaviour,
                given: 0,
                connection: received.ok(),
                sleep: None,
            },
        })
    }
}

/// An answer's body.
pub struct Body {
    wire: Wire,
    behaviour: Option<Behaviour>,
    given: usize,
    connection: Option<Connection>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Stream for Body {
    type Item = Result<Vec<u8>, Unreachable>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let (sim, life) = (&this.wire.sim, this.wire.life);
        if sim.is_doomed(life) {
            return Poll::Pending;
        }
        match this.behaviour {
            Some(Behaviour::CutAfter(pieces)) if pieces == this.given => {
                return Poll::Ready(Some(Err(Unreachable)));
            }
            Some(Behaviour::StallsAfter(pieces)) if pieces == this.given => return Poll::Pending,
            Some(Behaviour::EndsAfter(pieces)) if pieces == this.given => return Poll::Ready(None),
            Some(_) | None => {}
        }
        let Some(connection) = &this.connection else {
            return Poll::Ready(None);
        };
        let Some((at, piece)) = connection.pieces.get(this.given) else {
            return Poll::Ready(None);
        };
        if connection
            .cancelled_at
            .get()
            .is_some_and(|cancelled| cancelled <= *at)
        {
            return Poll::Ready(None);
        }
        if *at > sim.now() {
            let wait = u64::try_from(at - sim.now()).expect("it is later");
            let sleep = this.sleep.get_or_insert_with(|| Box::pin(sim.sleep(wait)));
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        this.sleep = None;
        let end = this.wire.plan.meets(Effect::Chunk, || kind_of(piece));
        if end.is_some() {
            sim.kill(life);
            return Poll::Pending;
        }
        this.given += 1;
        if let Some(Behaviour::CutWithin(pieces, bytes)) = this.behaviour
            && this.given > pieces
        {
            this.behaviour = Some(Behaviour::CutAfter(this.given));
            return Poll::Ready(Some(Ok(piece[..bytes.min(piece.len())].to_vec())));
        }
        Poll::Ready(Some(Ok(piece.clone())))
    }
}
