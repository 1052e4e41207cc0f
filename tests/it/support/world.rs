//! A world: its clock, D1, upstreams, variables and objects, and how it is asked.
//!
//! Owns what a test begins with.

use super::app::Own;
use super::executor::Sim;
use super::object::Object;
use super::plan::Plan;
use super::platform::Vars;
use super::sandbox::Upstream;
use super::script::Script;
use super::storage::D1;
use futures::executor::block_on;
use std::cell::RefCell;
use std::rc::Rc;
use steadfast::api::{Caller, Command};
use steadfast::caps;
use steadfast::ids::{SessionId, TenantId};
use steadfast::session::sweep;
use steadfast::store::{Section, SqlStore, Store};
use steadfast::wire::request::{IfRunning, Submit};
use steadfast::wire::view::{Start, ViewKind};

/// The tenant of every caller.
pub const TENANT: &str = "acme";
/// When a world begins, Unix ms.
const BEGINS: i64 = 1_700_000_000_000;
/// Whatever is due later than this is not waited for: retention, the longest budgets.
const SETTLED_MS: u64 = 40 * 60 * 1000;

/// One world. Clones share it.
#[derive(Clone)]
pub struct World {
    /// Time, tasks and chance.
    pub sim: Sim,
    /// What goes wrong.
    pub plan: Plan,
    /// The durable store.
    pub d1: D1,
    /// The upstreams.
    pub upstream: Upstream,
    /// The deployment's own upstreams.
    pub own: Own,
    /// The variables.
    pub vars: Vars,
    /// What was logged for the operator.
    pub log: Rc<RefCell<Vec<String>>>,
}

impl World {
    /// A world in which nothing goes wrong. Seed 0 polls tasks in the order of their waking, every
    /// other seed in one of its own.
    pub fn new(seed: u64) -> Self {
        let sim = Sim::new(BEGINS, seed);
        let plan = Plan::default();
        let world = World {
            own: Own::new(sim.clone(), plan.clone()),
            plan,
            d1: D1::new(sim.clone()),
            upstream: Upstream::new(Script::standard()),
            vars: Vars::default(),
            log: Rc::default(),
            sim,
        };
        world.set("UPSTREAM", "sandbox,openai-chat");
        world.set("UPSTREAM_URL", "http://upstream.test");
        world.set("UPSTREAM_MODEL", "small");
        world
    }

    /// Sets a variable.
    pub fn set(&self, name: &str, value: &str) {
        self.vars
            .borrow_mut()
            .insert(name.to_owned(), value.to_owned());
    }

    /// A new object of this session, with nothing in its storage.
    pub fn object(&self, session: &str) -> Object {
        self.object_of(TENANT, session)
    }

    /// A new object of a tenant's session.
    pub fn object_of(&self, tenant: &str, session: &str) -> Object {
        let caller = Caller {
            project: None,
            tenant: TenantId::parse(tenant).expect("it is one"),
            user: None,
            session: SessionId::parse(session).expect("it is one"),
        };
        Object::new(self.clone(), caller)
    }

    /// Runs until nothing is to be done any more.
    pub fn settle(&self) {
        self.sim
            .run_through(self.sim.now().saturating_add_unsigned(SETTLED_MS));
    }

    /// Runs until the planned crash; false when it doesn't come.
    pub fn run_to_crash(&self) -> bool {
        let until = self.sim.now().saturating_add_unsigned(SETTLED_MS);
        self.sim.run_while(until, || self.plan.crashed().is_none());
        self.plan.crashed().is_some()
    }

    /// Runs for so long.
    pub fn run_for(&self, ms: u64) {
        self.sim
            .run_until(self.sim.now().saturating_add_unsigned(ms));
    }

    /// Runs for so many days.
    pub fn run_days(&self, days: u64) {
        self.run_for(days * caps::DAY_MS);
    }

    /// D1 as the Worker's cron sees it.
    pub fn durable(&self) -> SqlStore<steadfast::store::sqlite::NativeSqlite> {
        let durable = SqlStore::new(self.d1.database(), Section::D1);
        block_on(durable.migrate(self.sim.now())).expect("D1 takes the schema");
        durable
    }

    /// One pass of the cron: the turns it would poke.
    pub fn sweep(&self) -> Vec<String> {
        let days = caps::D1_LOG_DAYS.default;
        let due = block_on(sweep(&self.durable(), None, self.sim.now(), days));
        let due = due.expect("D1 answers");
        due.into_iter().map(|run| run.run_id).collect()
    }
}

impl Drop for World {
    /// A test that fails says which effect its crash came at.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.plan.tell();
        }
    }
}

/// A submit of this message as the session's next turn.
pub fn submit(message: &str) -> Submit {
    Submit {
        message: Some(serde_json::Value::from(message).to_string()),
        turn_index: None,
        model: None,
        upstream: None,
        if_running: IfRunning::Reject,
        retry_of: None,
        metadata: None,
        key: None,
    }
}

/// Where a view of lines begins behind the one with this seq; -1 is before the first.
pub fn behind(after: i64) -> Start {
    Start::Line(u64::try_from(after.saturating_add(1)).unwrap_or(0))
}

impl Object {
    /// Submits a turn.
    pub fn submit(&self, submit: Submit) -> super::Client {
        self.ask(Command::Submit(Box::new(submit), ViewKind::Ndjson))
    }

    /// Follows a turn from behind `after` on, live.
    pub fn follow(&self, turn: u64, after: i64) -> super::Client {
        self.ask(Command::Follow {
            turn,
            start: behind(after),
            live: true,
            view: ViewKind::Ndjson,
        })
    }
}
