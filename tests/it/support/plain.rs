//! Turns of plain Workers: a client that reads one, hooks that note what they were told, and the
//! whole of a D1 as text.
//!
//! Owns no rule; tests say what must hold.

use super::platform::SimPorts;
use super::worker::Worker;
use super::worker::WorkerStore;
use super::world::{TENANT, World, submit};
use futures::executor::block_on;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::Write;
use std::future::{Future, pending};
use std::rc::Rc;
use steadfast::api::{Caller, Mode};
use steadfast::ids::{SessionId, TenantId};
use steadfast::plain::{SupervisedTurn, TurnInput, TurnLines, TurnRefused, TurnTerms};
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{Driver, Statement};
use steadfast::turn::{FinishedTurn, HookError, Hooks, TurnIdentity};
use steadfast::wire::line;

/// The store of a plain Worker in a world.
pub type PlainStore = WorkerStore;

/// The caller of every plain turn.
pub fn caller() -> Caller {
    Caller {
        project: None,
        tenant: TenantId::parse(TENANT).expect("it is one"),
        user: None,
        session: SessionId::parse("s").expect("it is one"),
    }
}

/// A keyed turn.
pub fn input() -> TurnInput {
    let mut input = TurnInput {
        caller: caller(),
        submit: submit("hello"),
        terms: TurnTerms::default(),
    };
    input.submit.key = Some("k-1".to_owned());
    input
}

/// How far a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// To the end.
    ToTheEnd,
    /// So many pieces, then it is gone.
    Pieces(usize),
    /// To the end, one piece each so many ms.
    Slowly(u64),
}

/// One request and its answer. Clones share it.
#[derive(Clone, Default)]
pub struct Reading(Rc<ReadingInner>);

#[derive(Default)]
struct ReadingInner {
    refused: RefCell<Option<TurnRefused>>,
    mode: Cell<Option<Mode>>,
    bytes: RefCell<Vec<u8>>,
    ended: Cell<bool>,
    cut: Cell<bool>,
}

impl Reading {
    /// Asks in this Worker's life, and reads.
    pub fn of(
        worker: &Worker,
        stay: Stay,
        asking: impl Future<Output = Result<SupervisedTurn<SimPorts, PlainStore>, TurnRefused>>
        + 'static,
    ) -> Self {
        let reading = Reading::default();
        let (told, ports) = (reading.clone(), worker.ports.clone());
        worker.run(async move {
            match asking.await {
                Ok(turn) => {
                    told.0.mode.set(Some(turn.mode));
                    told.read(&ports, turn.lines, stay).await;
                }
                Err(refused) => drop(told.0.refused.replace(Some(refused))),
            }
        });
        reading
    }

    /// Reads lines in this Worker's life.
    pub fn of_lines(
        worker: &Worker,
        lines: impl Future<Output = Result<TurnLines<SimPorts, PlainStore>, TurnRefused>> + 'static,
    ) -> Self {
        let reading = Reading::default();
        let (told, ports) = (reading.clone(), worker.ports.clone());
        worker.run(async move {
            match lines.await {
                Ok(lines) => told.read(&ports, lines, Stay::ToTheEnd).await,
                Err(refused) => drop(told.0.refused.replace(Some(refused))),
            }
        });
        reading
    }

    async fn read(&self, ports: &SimPorts, mut lines: TurnLines<SimPorts, PlainStore>, stay: Stay) {
        use steadfast::ports::Timer;
        let mut pieces = 0;
        loop {
            if stay == Stay::Pieces(pieces) {
                return;
            }
            match lines.next().await {
                Ok(Some(bytes)) => self.0.bytes.borrow_mut().extend(bytes),
                Ok(None) => return self.0.ended.set(true),
                Err(_) => return self.0.cut.set(true),
            }
            pieces += 1;
            if let Stay::Slowly(ms) = stay {
                ports.sleep(ms).await;
            }
        }
    }

    /// The mode, or why it was refused, or `none`.
    pub fn brief(&self) -> String {
        match (self.0.mode.get(), &*self.0.refused.borrow()) {
            (Some(mode), _) => mode.name().to_owned(),
            (None, Some(TurnRefused::Rule(problem))) => problem.code.to_string(),
            (None, Some(TurnRefused::LeaseHeld { .. })) => "lease_held".to_owned(),
            (None, Some(TurnRefused::Store(failure))) => failure.to_string(),
            (None, None) => "none".to_owned(),
        }
    }

    /// Why it was refused.
    pub fn refused(&self) -> Option<TurnRefused> {
        self.0.refused.borrow().clone()
    }

    /// The body came to its own end.
    pub fn has_ended(&self) -> bool {
        self.0.ended.get()
    }

    /// The body was cut.
    pub fn was_cut(&self) -> bool {
        self.0.cut.get()
    }

    /// How many bytes came so far.
    pub fn received(&self) -> usize {
        self.0.bytes.borrow().len()
    }

    /// The body as it came.
    pub fn body(&self) -> String {
        String::from_utf8(self.0.bytes.borrow().clone()).expect("a body is UTF-8")
    }

    /// The body without heartbeats.
    pub fn log(&self) -> String {
        let body = self.body();
        let lines = body.split_inclusive('\n');
        lines
            .filter(|text| text.trim_end() != line::HEARTBEAT)
            .collect()
    }
}

/// What a hook does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It fails.
    Fails,
    /// It never answers.
    Hangs,
}

/// Hooks that note their calls. Clones share them.
#[derive(Clone, Default)]
pub struct Product {
    transforms: Rc<Cell<bool>>,
    persists: Rc<Cell<bool>>,
    calls: Rc<RefCell<Vec<String>>>,
    logged: Rc<RefCell<Vec<String>>>,
    does: Rc<RefCell<VecDeque<(&'static str, Does)>>>,
}

/// What a client must not read.
pub const SECRET: &str = "hunter2";

impl Product {
    /// Hooks that transform, that save.
    pub fn new(transforms: bool, persists: bool) -> Self {
        let product = Product::default();
        product.set(transforms, persists);
        product
    }

    /// Has them transform and save from now on, or not.
    pub fn set(&self, transforms: bool, persists: bool) {
        self.transforms.set(transforms);
        self.persists.set(persists);
    }

    /// The next call of this hook does so.
    pub fn expect(&self, hook: &'static str, does: Does) {
        self.does.borrow_mut().push_back((hook, does));
    }

    /// All calls, in order.
    pub fn calls(&self) -> Vec<String> {
        self.calls.borrow().clone()
    }

    /// The failures it was told of: hook and message.
    pub fn logged(&self) -> Vec<String> {
        self.logged.borrow().clone()
    }

    async fn called(&self, hook: &'static str, what: &str) -> Result<(), HookError> {
        self.calls.borrow_mut().push(format!("{hook} {what}"));
        let at = self
            .does
            .borrow()
            .iter()
            .position(|(named, _)| *named == hook);
        let does = at.and_then(|at| self.does.borrow_mut().remove(at));
        match does {
            None => Ok(()),
            Some((_, Does::Fails)) => Err(HookError::new("no luck")),
            Some((_, Does::Hangs)) => pending().await,
        }
    }
}

impl Hooks for Product {
    fn transforms_text(&self) -> bool {
        self.transforms.get()
    }

    fn persists(&self) -> bool {
        self.persists.get()
    }

    async fn transform_final_text(
        &self,
        _turn: &TurnIdentity,
        text: String,
    ) -> Result<String, HookError> {
        self.called("transform", &text).await?;
        Ok(text.replace(SECRET, "•••"))
    }

    async fn persist(&self, done: &FinishedTurn) -> Result<(), HookError> {
        let what = format!("{} {}", done.turn.execution_id, done.text);
        self.called("persist", &what).await
    }

    async fn on_turn_complete(&self, done: &FinishedTurn) -> Result<(), HookError> {
        self.called("complete", &done.text).await
    }

    async fn on_event(&self, _turn: &TurnIdentity, line: &str) -> Result<(), HookError> {
        self.called("event", line).await
    }

    async fn trace_flush(&self, turn: &TurnIdentity) -> Result<(), HookError> {
        self.called("flush", &turn.execution_id).await
    }

    fn log(&self, _turn: &TurnIdentity, hook: &str, failure: &HookError) {
        self.logged.borrow_mut().push(format!("{hook}: {failure}"));
    }
}

/// Every column of every row of D1, as text.
pub fn everything(world: &World) -> String {
    text_of(&world.d1.database())
}

/// Every column of every row of a database, as text.
pub fn text_of(database: &NativeSqlite) -> String {
    let tables = [
        "SELECT * FROM sessions",
        "SELECT * FROM runs",
        "SELECT * FROM stream_log",
        "SELECT * FROM messages",
        "SELECT * FROM steps",
        "SELECT * FROM events",
    ];
    let mut all = String::new();
    for sql in tables {
        let statement = Statement {
            sql,
            params: vec![],
        };
        // An object that was never asked has no tables yet.
        let Ok(outcomes) = block_on(database.apply(vec![statement])) else {
            continue;
        };
        for row in outcomes.into_iter().flat_map(|outcome| outcome.rows) {
            writeln!(all, "{sql}: {row:?}").expect("a String takes every write");
        }
    }
    all
}
