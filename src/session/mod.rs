//! The supervisor of one session: opens, joins, resumes or replays its turns.
//!
//! Owns what may happen to a session and in which order; each file is one thing that can be asked
//! of it. It doesn't own the drain (`turn/`), the records (`store/`) or what a ship carries (`ship/`).
//! Invariant: nothing in memory here that can't be rebuilt from the object's storage, and nothing
//! in that storage, but for the unshipped tail, that can't be rebuilt from D1 and the upstream.

mod acceptance;
mod accepted;
mod alarm;
mod app;
mod cancels;
mod drains;
mod erase;
mod follow;
mod open;
mod opening;
mod platform;
mod read;
mod rehydrate;
mod shipping;
mod state;
mod steer;
mod sweep;
mod tasks;

pub use alarm::{Facts as AlarmFacts, must_set, next_alarm};
pub use app::{App, NoUpstream, unknown_task};
pub use follow::{SessionBody, SessionLog};
pub use platform::Platform;
pub use state::{Asked, Facts as OpenFacts, Known, Opening, decide};
pub use sweep::{list_runs, sweep};

pub(crate) use accepted::{Window, ask, settings};
pub(crate) use opening::{Kept, Opener, open};

use crate::api::{Answer, Caller, Command, Mode, Page, location};
use crate::config::ObjectConfig;
use crate::ids;
use crate::log::{Live, Wake};
use crate::ops::{About, Event, Why};
use crate::ports::{Clock, Entropy, Log, Spawn};
use crate::ship::Timed;
use crate::store::{self, Section, SqlStore, Store};
use crate::wire::problem::Problem;
use shipping::ShipState;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// An answer.
pub enum Reply<P: Platform> {
    /// What is shown as JSON.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The data.
        answer: Answer,
    },
    /// Lines.
    Stream(Box<Streaming<P>>),
    /// SSE's way to say that nothing is left.
    NoContent,
}

/// An answer made of lines.
pub struct Streaming<P: Platform> {
    /// How a submit was answered; a follow has none.
    pub mode: Option<Mode>,
    /// The run.
    pub execution_id: String,
    /// The path of the turn's stream.
    pub location: String,
    /// Its lines, as its reader's view shows them.
    pub body: SessionBody<P>,
}

/// The supervisor of one session's object.
pub struct Session<P: Platform> {
    platform: P,
    /// As this life found it. A bad variable refuses new turns and lets no log go; all else goes on.
    config: Result<ObjectConfig, Problem>,
    store: SqlStore<P::Object>,
    durable: SqlStore<Timed<P::Ports, P::Durable>>,
    durable_ready: Cell<bool>,
    ready: Cell<bool>,
    loading: Cell<bool>,
    loaded: Rc<Wake>,
    live: RefCell<Option<Rc<Live>>>,
    /// Moves when a suspended run is taken over, and when one is suspended.
    taken: Rc<Wake>,
    /// The suspended run, if there is one, has nothing to do before something is asked of it.
    rests: Cell<bool>,
    armed: Cell<Option<i64>>,
    ship: ShipState,
    telling: Cell<bool>,
    erasing: Cell<bool>,
    erased: Cell<bool>,
}

impl<P: Platform> Session<P> {
    /// The supervisor of an object that has just come to life.
    pub fn new(platform: P) -> Rc<Self> {
        let store = SqlStore::new(platform.object(), Section::Object);
        let timed = Timed::new(platform.ports().clone(), platform.durable());
        Rc::new(Session {
            store,
            durable: SqlStore::new(timed, Section::D1),
            durable_ready: Cell::new(false),
            ready: Cell::new(false),
            loading: Cell::new(false),
            loaded: Rc::default(),
            live: RefCell::default(),
            taken: Rc::default(),
            rests: Cell::new(false),
            armed: Cell::new(None),
            ship: ShipState::default(),
            telling: Cell::new(false),
            erasing: Cell::new(false),
            erased: Cell::new(false),
            config: ObjectConfig::read(&|name| platform.var(name)),
            platform,
        })
    }

    /// The platform below.
    pub const fn platform(&self) -> &P {
        &self.platform
    }

    /// Answers one command.
    ///
    /// # Errors
    /// The [`Problem`] to answer with; nothing was stored unless its code says otherwise.
    pub async fn handle(
        self: &Rc<Self>,
        caller: &Caller,
        command: Command,
    ) -> Result<Reply<P>, Problem> {
        match command {
            Command::Submit(submit, view) => self.submit(caller, &submit, view).await,
            Command::Follow {
                turn,
                start,
                live,
                view,
            } => self.follow(caller, turn, start, live, view).await,
            Command::Session => self.read_session(caller).await,
            Command::Delete => self.delete(caller).await,
            Command::Messages(page) => self.read_messages(caller, &page).await,
            Command::Turns(page) => self.read_turns(caller, &page).await,
            Command::Turn(turn) => self.read_turn(caller, turn).await,
            Command::Steps(turn, page) => self.read_steps(caller, turn, &page).await,
            Command::Cancel(turn, reason) => self.cancel(caller, turn, reason).await,
            Command::Poke(turn) => self.poke(caller, turn).await,
            Command::Emit(turn, key, payload) => self.emit(caller, turn, &key, &payload).await,
            Command::Event(turn, key) => self.read_event(caller, turn, &key).await,
        }
    }

    fn live_drain(&self) -> Option<Rc<Live>> {
        self.live
            .borrow()
            .as_ref()
            .filter(|live| !live.is_over())
            .cloned()
    }

    fn ship_interval_ms(&self) -> u64 {
        self.config().ship_interval_ms
    }

    /// An open run is shipped, or looked at by the alarm, within this many ms.
    fn look_again_ms(&self) -> u64 {
        let config = self.config();
        config.watchdog_ms.saturating_add(config.ship_interval_ms)
    }

    /// Forgets the storage: the next call hydrates it from D1.
    async fn forget_storage(&self) -> Result<(), store::Error> {
        self.ready.set(false);
        self.ship.forget();
        self.store.forget().await?;
        self.store.sync().await
    }

    fn now(&self) -> i64 {
        self.platform.ports().now_ms()
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.platform.ports().spawn(task);
    }

    /// What this life works with: the defaults where a variable is bad.
    fn config(&self) -> ObjectConfig {
        self.config.clone().unwrap_or_default()
    }

    /// 128 random bits as 32 hex digits: births and acquisition tokens.
    fn token(&self) -> String {
        format!("{:032x}", self.platform.ports().random())
    }

    /// Tells the operator about the object.
    fn log(&self, about: About<'_>, why: Why<'_>) {
        let told = Event::Object { about, why };
        self.platform.ports().log(&told.to_string());
    }

    /// A store's failure as an answer; the details go to the operator only.
    fn failed(&self, failure: &store::Error) -> Problem {
        self.log(About::Store, Why::Store(failure));
        refusal(failure)
    }

    /// The session, unless it doesn't exist, was deleted, or is somebody else's.
    async fn existing(self: &Rc<Self>, caller: &Caller) -> Result<Option<store::Session>, Problem> {
        let session_key = caller.session_key();
        if !self.ready(&session_key).await? {
            return Ok(None);
        }
        let session = self
            .store
            .session(&session_key)
            .await
            .map_err(|failure| self.failed(&failure))?;
        Ok(session)
    }

    /// The live session, as most commands need it; whatever was orphaned goes on first.
    async fn present(self: &Rc<Self>, caller: &Caller) -> Result<store::Session, Problem> {
        let session = self
            .existing(caller)
            .await?
            .filter(|session| session.deleted_at.is_none())
            .ok_or_else(Problem::not_found)?;
        self.revive(&session).await?;
        Ok(session)
    }

    /// A run of the session.
    async fn run_at(&self, session_key: &str, turn: u64) -> Result<store::Run, Problem> {
        self.store
            .run(&ids::run_id(session_key, turn))
            .await
            .map_err(|failure| self.failed(&failure))?
            .ok_or_else(Problem::not_found)
    }

    /// The drain of this run, if it lives here.
    fn live(&self, run_id: &str) -> Option<Rc<Live>> {
        self.live
            .borrow()
            .as_ref()
            .filter(|live| live.run_id() == run_id && !live.is_over())
            .cloned()
    }

    /// The durable store with its schema brought up to date at first use.
    async fn durable(&self) -> Result<&SqlStore<Timed<P::Ports, P::Durable>>, store::Error> {
        if !self.durable_ready.get() {
            self.durable.migrate(self.now()).await?;
            self.durable_ready.set(true);
        }
        Ok(&self.durable)
    }
}

/// A store's failure as a refusal, in whichever world it was met.
pub(crate) fn refusal(failure: &store::Error) -> Problem {
    match failure {
        store::Error::Missing => Problem::not_found(),
        store::Error::Fenced
        | store::Error::SeqMismatch { .. }
        | store::Error::LeaseHeld { .. } => Problem::session_unavailable(),
        store::Error::Corrupt(_) => Problem::internal(),
        store::Error::Unavailable(_) => Problem::store_unavailable(),
    }
}
