//! The ports of a life on the stage: each of its effects is one that the stage holds back.
//!
//! Owns the storages, the upstream and how a life reaches them. An object's writes of one poll are
//! one group; a life's end leaves any number of whole groups behind what is durable. A life that
//! was replaced dies when it touches its storage; D1 and the upstream it still reaches.

use super::shelf::{Lent, lend};
use super::stage::{Answer, Effect, Health, Life, Stage};
use crate::support::{Script, chat_pieces};
use futures::Stream;
use futures::executor::block_on;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use steadfast::ports::{Clock, Entropy, Log, Spawn, Timer};
use steadfast::ready::Ready;
use steadfast::session::Platform;
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{Driver, DriverError, Outcome, Section, Statement};
use steadfast::upstream::{Headers, Http, HttpRequest, HttpResponse, Unreachable};

/// Whether a batch writes.
pub fn writes(batch: &[Statement]) -> bool {
    let reads = |statement: &Statement| statement.sql.trim_start().starts_with("SELECT");
    !batch.iter().all(reads)
}

#[derive(Clone)]
enum Entry {
    Batch(Vec<Statement>),
    Alarm(Option<i64>),
}

/// An object's storage: what was written, in groups, and how much of it is durable.
#[derive(Default)]
pub struct Storage {
    database: RefCell<Option<Lent>>,
    alarm: Cell<Option<i64>>,
    /// Each with the poll that wrote it.
    written: RefCell<Vec<(u64, Entry)>>,
    durable: Cell<usize>,
}

impl Storage {
    /// The database as it is read at present.
    pub fn database(&self) -> NativeSqlite {
        let mut database = self.database.borrow_mut();
        let lent = database.get_or_insert_with(|| lend(Section::Object));
        NativeSqlite::clone(lent)
    }

    /// When its alarm fires.
    pub fn alarm(&self) -> Option<i64> {
        self.alarm.get()
    }

    /// Sets its alarm, as a write of this poll.
    pub fn set_alarm(&self, poll: u64, at: Option<i64>) {
        self.alarm.set(at);
        self.wrote(poll, Entry::Alarm(at));
    }

    fn wrote(&self, poll: u64, entry: Entry) {
        self.written.borrow_mut().push((poll, entry));
    }

    fn end(&self) -> usize {
        self.written.borrow().len()
    }

    /// What an end at this moment may leave: each border of a group from the durable one on.
    pub fn borders(&self) -> Vec<usize> {
        let written = self.written.borrow();
        let is_border =
            |at: &usize| *at == written.len() || *at == 0 || written[*at - 1].0 != written[*at].0;
        let durable = self.durable.get();
        let behind = (durable + 1..=written.len()).filter(is_border);
        std::iter::once(durable).chain(behind).collect()
    }

    /// Goes back to its first `kept` writes.
    pub fn keep(&self, kept: usize) {
        self.durable.set(kept);
        let is_all = kept == self.end();
        if !is_all {
            self.database.replace(None);
        }
        let fresh = self.database();
        let mut written = self.written.borrow_mut();
        written.truncate(kept);
        self.alarm.set(None);
        for (_, entry) in written.iter() {
            match entry {
                Entry::Batch(_) if is_all => {}
                Entry::Batch(batch) => {
                    let applied = block_on(fresh.apply(batch.clone()));
                    applied.expect("it was applied before");
                }
                Entry::Alarm(at) => self.alarm.set(*at),
            }
        }
    }

    /// Its alarm fires: nobody reads it any more, and it comes again unless its handler succeeds.
    pub fn rings(&self) {
        self.alarm.set(None);
    }

    /// These writes are durable.
    pub fn hardened(&self, end: usize) {
        self.durable.set(self.durable.get().max(end));
    }
}

/// The one upstream.
pub struct Upstream {
    script: Script,
    executions: RefCell<BTreeMap<String, bool>>,
    prompts: Cell<usize>,
    cancels: RefCell<Vec<String>>,
}

impl Upstream {
    /// One that says this.
    pub fn new(script: Script) -> Self {
        Upstream {
            script,
            executions: RefCell::default(),
            prompts: Cell::new(0),
            cancels: RefCell::default(),
        }
    }

    /// The executions that were started, each once.
    pub fn started(&self) -> Vec<String> {
        self.executions.borrow().keys().cloned().collect()
    }

    /// How often it was asked for a stream.
    pub fn prompts(&self) -> usize {
        self.prompts.get()
    }

    /// The executions that cancels came for.
    pub fn cancels(&self) -> Vec<String> {
        self.cancels.borrow().clone()
    }

    /// What the future of a life may depend on.
    pub fn state(&self) -> Vec<(String, bool)> {
        let executions = self.executions.borrow();
        executions
            .iter()
            .map(|(id, over)| (id.clone(), *over))
            .collect()
    }

    fn receive(&self, request: &HttpRequest) -> Result<VecDeque<Vec<u8>>, u16> {
        let header = |name: &str| request.headers.get(name).map(str::to_owned);
        if let Some(path) = request.url.strip_suffix("/cancel") {
            let id = path.rsplit('/').next().expect("a path has parts");
            self.cancels.borrow_mut().push(id.to_owned());
            let mut executions = self.executions.borrow_mut();
            return Err(executions.get_mut(id).map_or(404, |over| {
                *over = true;
                200
            }));
        }
        self.prompts.set(self.prompts.get() + 1);
        if request.url.ends_with("/chat/completions") {
            let timed = chat_pieces(&self.script, 0);
            return Ok(timed.into_iter().map(|(_, piece)| piece).collect());
        }
        let id = header("x-execution-id").expect("a sandbox is asked under an id");
        let is_over = *self.executions.borrow_mut().entry(id.clone()).or_default();
        if is_over {
            return Ok(VecDeque::new());
        }
        let hash = header("x-input-hash").expect("a sandbox is told the input's hash");
        let mut frames = vec![format!(
            r#"{{"type":"execution.started","data":{{"executionId":"{id}","inputHash":"{hash}"}}}}"#
        )];
        for (kind, data, _) in &self.script.frames {
            frames.push(format!(r#"{{"type":"{kind}","data":{data}}}"#));
        }
        frames.push(r#"{"type":"execution.completed"}"#.to_owned());
        let first = header("last-event-id").map_or(0, |after| {
            let number: usize = after[1..].parse().expect("a cursor is a frame's id");
            number + 1
        });
        let numbered = frames.into_iter().enumerate().skip(first);
        let pieces = numbered.map(|(number, frame)| format!("id: f{number}\ndata: {frame}\n\n"));
        Ok(pieces.map(String::into_bytes).collect())
    }
}

/// A life's time, chance, tasks and log.
#[derive(Clone)]
pub struct StagePorts {
    pub(super) stage: Stage,
    pub(super) life: Life,
    pub(super) log: Rc<RefCell<Vec<String>>>,
}

impl Clock for StagePorts {
    fn now_ms(&self) -> i64 {
        self.stage.now(self.life)
    }
}

impl Timer for StagePorts {
    fn sleep(&self, ms: u64) -> impl Future<Output = ()> + 'static {
        let at = self.now_ms().saturating_add_unsigned(ms);
        let wait = self.stage.wait(self.life, Effect::Timer(at));
        async move {
            wait.await;
        }
    }
}

impl Entropy for StagePorts {
    fn random(&self) -> u128 {
        let half = || u128::from(self.stage.random(self.life));
        (half() << 64) | half()
    }
}

impl Spawn for StagePorts {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.stage.spawn(self.life, task);
    }
}

impl Log for StagePorts {
    fn log(&self, line: &str) {
        self.log.borrow_mut().push(line.to_owned());
    }
}

/// An object's storage as one life sees it.
#[derive(Clone)]
pub struct ObjectDriver {
    pub(super) stage: Stage,
    pub(super) life: Life,
    pub(super) storage: Rc<Storage>,
}

impl ObjectDriver {
    /// Ends a life that was replaced.
    async fn touch(&self) {
        if self.stage.health(self.life) != Health::Alive {
            self.stage.set_health(self.life, Health::Dead);
            pending::<()>().await;
        }
    }
}

impl Driver for ObjectDriver {
    async fn apply(&self, batch: Vec<Statement>) -> Result<Vec<Outcome>, DriverError> {
        self.touch().await;
        let applied = block_on(self.storage.database().apply(batch.clone()));
        if writes(&batch) && applied.is_ok() {
            self.storage.wrote(self.stage.polls(), Entry::Batch(batch));
        }
        applied
    }

    async fn barrier(&self) -> Result<(), DriverError> {
        self.sync().await
    }

    async fn sync(&self) -> Result<(), DriverError> {
        self.touch().await;
        let end = self.storage.end();
        // With nothing to wait for there is no wait.
        if self.storage.durable.get() < end {
            self.stage.wait(self.life, Effect::Sync(end)).await;
            self.touch().await;
        }
        Ok(())
    }
}

/// D1 as one life reaches it.
#[derive(Clone)]
pub struct D1Driver {
    pub(super) stage: Stage,
    pub(super) life: Life,
}

impl Driver for D1Driver {
    async fn apply(&self, batch: Vec<Statement>) -> Result<Vec<Outcome>, DriverError> {
        match self.stage.wait(self.life, Effect::D1(batch)).await {
            Answer::D1(answer) => answer,
            Answer::Done => unreachable!("D1 answers calls of D1"),
        }
    }

    async fn barrier(&self) -> Result<(), DriverError> {
        Ok(())
    }

    async fn sync(&self) -> Result<(), DriverError> {
        Ok(())
    }
}

/// The wire from one life to the upstream.
#[derive(Clone)]
pub struct Wire {
    pub(super) stage: Stage,
    pub(super) life: Life,
    pub(super) upstream: Rc<Upstream>,
}

impl Http for Wire {
    type Body = Body;

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse<Body>, Unreachable> {
        let what = if request.url.ends_with("/cancel") {
            "cancel"
        } else {
            "stream"
        };
        self.stage.wait(self.life, Effect::Send(what)).await;
        let received = self.upstream.receive(&request);
        let status = received.as_ref().err().copied().unwrap_or(200);
        let pieces = received.unwrap_or_default();
        self.stage.tell(self.life, (status, pieces.len()));
        let mut headers = Headers::default();
        headers.push("content-type", "text/event-stream");
        Ok(HttpResponse {
            status,
            headers,
            body: Body {
                wire: self.clone(),
                pieces,
                waiting: None,
            },
        })
    }
}

/// An answer's body.
pub struct Body {
    wire: Wire,
    pieces: VecDeque<Vec<u8>>,
    waiting: Option<super::stage::Wait>,
}

impl Stream for Body {
    type Item = Result<Vec<u8>, Unreachable>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.pieces.is_empty() {
            return Poll::Ready(None);
        }
        let (stage, life) = (&this.wire.stage, this.wire.life);
        let waiting = this
            .waiting
            .get_or_insert_with(|| stage.wait(life, Effect::Chunk));
        match Pin::new(waiting).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(_) => {
                this.waiting = None;
                Poll::Ready(this.pieces.pop_front().map(Ok))
            }
        }
    }
}

/// One life's surroundings.
pub struct StagePlatform {
    pub(super) ports: StagePorts,
    pub(super) object: ObjectDriver,
    pub(super) d1: D1Driver,
    pub(super) wire: Wire,
    pub(super) vars: Rc<BTreeMap<&'static str, String>>,
}

impl Platform for StagePlatform {
    type Ports = StagePorts;
    type Object = ObjectDriver;
    type Durable = D1Driver;
    type Http = Wire;
    type App = Ready;

    fn ports(&self) -> &StagePorts {
        &self.ports
    }

    fn object(&self) -> ObjectDriver {
        self.object.clone()
    }

    fn durable(&self) -> D1Driver {
        self.d1.clone()
    }

    fn network(&self) -> Wire {
        self.wire.clone()
    }

    fn demo_agent(&self) -> Wire {
        self.wire.clone()
    }

    fn app(&self) -> &Ready {
        &Ready
    }

    fn var(&self, name: &str) -> Option<String> {
        self.vars.get(name).cloned()
    }

    async fn alarm(&self) -> Result<Option<i64>, DriverError> {
        self.object.touch().await;
        Ok(self.object.storage.alarm())
    }

    async fn set_alarm(&self, at: i64) -> Result<(), DriverError> {
        self.object.touch().await;
        let poll = self.object.stage.polls();
        self.object.storage.set_alarm(poll, Some(at));
        Ok(())
    }
}
