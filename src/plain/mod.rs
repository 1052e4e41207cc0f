//! Turns on any store, without a session object: accepted, drained under a lease, and read.
//!
//! Owns what may be asked of them, and how it is refused. `open` decides and accepts, `keep` drains,
//! `reader` reads. Invariant: whatever is refused is refused before an answer is given; a replay takes
//! no lease and writes nothing; and who loses its lease writes nothing more.

mod chat;
mod keep;
mod open;
mod producer;
mod reader;

pub use chat::{ChatAnswer, ChatHooks, handle_chat_turn};
pub use producer::{ProduceError, Produced, ProducedFrames, Producer, produced, run_durable_turn};
pub use reader::{PlainLog, TurnLines};

use crate::api::{Caller, Mode};
use crate::caps;
use crate::config::TurnConfig;
use crate::ids;
use crate::json;
use crate::log::{Body, Follower, FollowerCut, NoBody, first_line};
use crate::ports::Ports;
use crate::run::LeaseTerms;
use crate::session::refusal;
use crate::store::{self, Cancel, LogHome, Store};
use crate::turn::Hooks;
use crate::upstream::Upstream;
use crate::wire::problem::Problem;
use crate::wire::request::{IfRunning, Submit};
use crate::wire::view::{Start, View, ViewKind};
use open::Desk;
use reader::is_held;
use std::rc::Rc;

/// A turn to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnInput {
    /// Who asks, from credentials, and in which session.
    pub caller: Caller,
    /// What is asked, as [`parse_submit`](crate::wire::request::parse_submit) reads it from a body.
    pub submit: Submit,
    /// How it is run.
    pub terms: TurnTerms,
}

impl TurnInput {
    /// The session's next turn with this text, on default terms.
    pub fn text(caller: Caller, message: &str) -> Self {
        TurnInput {
            caller,
            submit: Submit {
                message: Some(json::quote(message)),
                turn_index: None,
                model: None,
                upstream: None,
                if_running: IfRunning::Reject,
                retry_of: None,
                metadata: None,
                key: None,
            },
            terms: TurnTerms::default(),
        }
    }
}

/// How a turn is run. Budgets and model are stored with an accepted turn and rule whoever recovers
/// it; the rest is of this call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnTerms {
    /// Budgets, history and system prompt.
    pub turn: TurnConfig,
    /// The model when the submit names none.
    pub model: Option<String>,
    /// How the lease is kept.
    pub lease: LeaseTerms,
    /// The group-commit window, in ms.
    pub window_ms: u64,
    /// What the answer shows of the log.
    pub view: ViewKind,
    /// What to do when another worker drains the turn.
    pub when_held: WhenHeld,
}

impl Default for TurnTerms {
    fn default() -> Self {
        TurnTerms {
            turn: TurnConfig::default(),
            model: None,
            lease: LeaseTerms::default(),
            window_ms: caps::PLAIN_WINDOW_MS,
            view: ViewKind::default(),
            when_held: WhenHeld::default(),
        }
    }
}

/// What to do when another worker drains the turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenHeld {
    /// Read along, by polling.
    #[default]
    Join,
    /// Refuse with [`TurnRefused::LeaseHeld`].
    Refuse,
}

/// Why a turn was not run. Nothing of it was stored, unless the store's failure left that open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TurnRefused {
    /// By the rules of PROTOCOL §2.1: other input under this index or key (`manifest_mismatch`), an
    /// index that leaves a gap, another turn that runs, an expired log.
    #[error(transparent)]
    Rule(#[from] Problem),
    /// Another worker drains this turn.
    #[error("another worker drains this turn")]
    LeaseHeld {
        /// The lease lasts so long unless it is renewed, in ms.
        retry_after_ms: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl TurnRefused {
    /// The refusal as an HTTP answer.
    pub fn problem(&self) -> Problem {
        match self {
            TurnRefused::Rule(problem) => problem.clone(),
            TurnRefused::LeaseHeld { retry_after_ms } => Problem {
                retry_after_s: u32::try_from(retry_after_ms.div_ceil(1_000)).ok(),
                ..Problem::session_unavailable()
            },
            TurnRefused::Store(failure) => refusal(failure),
        }
    }
}

/// A turn that is answered.
pub struct SupervisedTurn<P, S> {
    /// The run's id.
    pub execution_id: String,
    /// Its place in the session.
    pub turn_index: u64,
    /// How it is answered.
    pub mode: Mode,
    /// Its lines from the first one on.
    pub lines: TurnLines<P, S>,
}

/// Runs a turn against an upstream, or answers from the one that is there.
///
/// The turn is accepted, with session, message and step, in one write; then a task of
/// [`Spawn`](crate::ports::Spawn) drains it under a lease that time alone renews. The answer only
/// reads the log: dropping it, or reading it slowly, changes nothing. A worker that loses its lease
/// writes nothing more, and whoever asks for the turn once the lease is over goes on with it.
///
/// Give the submit a key or an index: one without either is another turn each time it is sent, also
/// when only its answer was lost.
///
/// The store's schema must have been brought up by [`Store::migrate`]. A session belongs either to
/// these functions or to session objects, never to both.
///
/// # Errors
/// Everything that can be refused is refused here, before there is an answer: see [`TurnRefused`].
///
/// # Example
/// ```
/// use futures::TryStreamExt;
/// use steadfast::plain::{TurnInput, run_supervised_turn};
/// use steadfast::turn::NoHooks;
/// use steadfast::api::{Caller, Mode};
/// use steadfast::store::MemoryStore;
/// # use steadfast::ids::{SessionId, TenantId};
/// # use steadfast::plain::produced;
///
/// # fn upstream() -> impl steadfast::upstream::Upstream {
/// #     let delta = r#"{"part":{"id":"p","type":"text"},"delta":"Hello!"}"#;
/// #     let frame = Ok(("message.part.updated".to_owned(), delta.to_owned()));
/// #     produced(move |_ask| {
/// #         let frames = futures::stream::iter([frame.clone()]);
/// #         async { Ok(frames) }
/// #     })
/// # }
/// let caller = Caller {
///     project: None,
///     tenant: TenantId::parse("acme").unwrap(), // from the caller's credentials
///     user: None,
///     session: SessionId::parse("s1").unwrap(), // from the path
/// };
/// steadfast::native::run(async |ports| {
///     let store = MemoryStore::new();
///     let mut input = TurnInput::text(caller, "Hi");
///     input.submit.key = Some("k1".to_owned());
///     let turn = run_supervised_turn(&ports, &store, input.clone(), upstream(), NoHooks).await?;
///     assert_eq!((turn.mode, turn.execution_id.as_str()), (Mode::Fresh, "acme:s1:0"));
///     let first: Vec<Vec<u8>> = turn.lines.into_stream().try_collect().await?;
///     let first = first.concat(); // whole lines, whatever the pieces
///     assert!(first.ends_with(br#""session.run.completed","data":{"sessionId":"s1"}}
/// "#));
///
///     // The same request again reads the same log, and asks nobody.
///     let again = run_supervised_turn(&ports, &store, input, upstream(), NoHooks).await?;
///     assert_eq!(again.mode, Mode::Replayed);
///     let second: Vec<Vec<u8>> = again.lines.into_stream().try_collect().await?;
///     assert_eq!(second.concat(), first);
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })
/// .unwrap();
/// ```
pub async fn run_supervised_turn<P, S, U, H>(
    ports: &P,
    store: &S,
    input: TurnInput,
    upstream: U,
    hooks: H,
) -> Result<SupervisedTurn<P, S>, TurnRefused>
where
    P: Ports,
    S: Store + Clone + 'static,
    U: Upstream + 'static,
    H: Hooks + 'static,
{
    supervise(ports, store, input, upstream, Rc::new(hooks)).await
}

pub(super) async fn supervise<P, S, U, H>(
    ports: &P,
    store: &S,
    input: TurnInput,
    upstream: U,
    hooks: Rc<H>,
) -> Result<SupervisedTurn<P, S>, TurnRefused>
where
    P: Ports,
    S: Store + Clone + 'static,
    U: Upstream + 'static,
    H: Hooks + 'static,
{
    let desk = Desk { ports, store };
    let (run, mode, acquired) = desk.open(&input).await?;
    let (execution_id, turn_index) = (run.run_id.clone(), run.turn_index);
    let terms = input.terms;
    let live = match acquired {
        Some(acquired) => {
            let accepted_here = mode == Mode::Fresh;
            let start = desk.start(run, acquired, upstream, hooks, &terms, accepted_here);
            Some(start.await?)
        }
        None => None,
    };
    let log = PlainLog::new(ports.clone(), store.clone(), execution_id.clone(), live);
    let follower = Follower::new(log, 0, true, false);
    let lines = body(follower, terms.view.view(), Start::Line(0)).await?;
    Ok(SupervisedTurn {
        execution_id,
        turn_index,
        mode,
        lines,
    })
}

/// Goes on with a turn that nobody drains: for a cron trigger, or before a follow. False when the
/// turn is over, unknown, or in somebody's hands; then nothing is written.
///
/// # Errors
/// [`TurnRefused::Store`].
pub async fn resume_turn<P, S, U, H>(
    ports: &P,
    store: &S,
    run_id: &str,
    upstream: U,
    hooks: H,
    terms: &TurnTerms,
) -> Result<bool, TurnRefused>
where
    P: Ports,
    S: Store + Clone + 'static,
    U: Upstream + 'static,
    H: Hooks + 'static,
{
    let desk = Desk { ports, store };
    let Some(run) = store.run(run_id).await? else {
        return Ok(false);
    };
    if run.state.status.is_terminal() || is_held(&run, ports.now_ms()) {
        return Ok(false);
    }
    match desk.acquire(run_id, terms.lease).await {
        Ok((run, acquired)) => {
            let start = desk.start(run, acquired, upstream, Rc::new(hooks), terms, false);
            start.await?;
            Ok(true)
        }
        Err(store::Error::Fenced | store::Error::LeaseHeld { .. }) => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

/// Reads a turn's lines as `view` shows them from `start` on, without lease and without a write; with
/// `live` it goes on until the turn ends. The view may be one of your own.
///
/// # Errors
/// [`TurnRefused::Rule`] when there is no such turn of this caller, when its log has expired or ends
/// before `start`; [`TurnRefused::Store`].
pub async fn follow_turn<P: Ports, S: Store + Clone, V: View>(
    ports: &P,
    store: &S,
    caller: &Caller,
    turn_index: u64,
    start: Start,
    live: bool,
    view: V,
) -> Result<TurnLines<P, S, V>, TurnRefused> {
    let run_id = ids::run_id(&caller.session_key(), turn_index);
    let run = store.run(&run_id).await?.ok_or(store::Error::Missing)?;
    if run.log_home == LogHome::Expired {
        return Err(TurnRefused::Rule(Problem::log_expired()));
    }
    let (next_seq, end) = (first_line(start), store.log_end(&run_id).await?);
    if next_seq > end {
        return Err(TurnRefused::Rule(Problem::cursor_out_of_range()));
    }
    let over = run.state.status.is_terminal() && next_seq == end;
    let log = PlainLog::new(ports.clone(), store.clone(), run_id, None);
    body(Follower::new(log, next_seq, live, over), view, start).await
}

async fn body<P: Ports, S: Store, V: View>(
    follower: Follower<PlainLog<P, S>>,
    view: V,
    start: Start,
) -> Result<TurnLines<P, S, V>, TurnRefused> {
    let body = Body::of(follower, view, start).await;
    body.map_err(|refused| {
        TurnRefused::Rule(match refused {
            NoBody::OutOfRange => Problem::cursor_out_of_range(),
            NoBody::Cut(FollowerCut) => Problem::session_unavailable(),
        })
    })
}

/// Records the intent to cancel a turn; false when it is over. Whoever drains it looks at least as
/// often as it renews its lease, and whoever resumes it looks first.
///
/// # Errors
/// [`TurnRefused::Store`]; [`store::Error::Missing`] when there is no such turn of this caller.
pub async fn cancel_turn<P: Ports, S: Store>(
    ports: &P,
    store: &S,
    caller: &Caller,
    turn_index: u64,
    reason: Option<&str>,
) -> Result<bool, TurnRefused> {
    let cancel = Cancel {
        reason: reason.map(|reason| reason.chars().take(caps::CANCEL_REASON_CHARS).collect()),
        at: ports.now_ms(),
    };
    let run_id = ids::run_id(&caller.session_key(), turn_index);
    Ok(store.request_cancel(&run_id, &cancel).await?)
}
