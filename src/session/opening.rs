//! Opening a submit: from what it asks to a new turn, one that is there, or a refusal, wherever its turn
//! lives.
//!
//! Owns the one order in which facts are gathered, the decision is made and repeated, and a turn's first
//! records are put together. The table of situations is `state`; what differs with and without an object is
//! behind [`Opener`]. Invariant: whatever is refused is refused here, before there is an answer.

use super::Caller;
use super::acceptance::{Accepting, facts, next_session};
use super::accepted::{Window, history, message_of};
use super::location;
use super::state::{Asked, Opening, decide};
use crate::config::TurnConfig;
use crate::store::{self, Begin, Lease, LogHome, Session, Store};
use crate::wire::problem::Problem;
use crate::wire::request::Submit;

/// Decisions are repeated when another request of the session was faster.
const DECISIONS: usize = 8;

/// What the user who is answered by a newer turn is told of the older one.
const NEWER: &str = "superseded by a newer turn";

/// Where a turn lives, as far as opening one goes.
pub(crate) trait Opener {
    /// Where its records are.
    type Store: Store;
    /// What a turn is accepted with.
    type Terms;
    /// A turn that is to be answered.
    type Opened;
    /// Why there is none.
    type Error: From<Problem>;

    /// Where its records are.
    fn store(&self) -> &Self::Store;

    /// A store's failure as a refusal.
    fn failed(&self, failure: store::Error) -> Self::Error;

    /// 128 random bits as 32 hex digits.
    fn token(&self) -> String;

    /// Unix ms.
    fn now_ms(&self) -> i64;

    /// The session as it is now; whatever was orphaned goes on first.
    async fn session(&mut self) -> Result<Option<Session>, Self::Error>;

    /// A turn that is there; `None` when it has ended meanwhile, which is another situation.
    async fn existing(&mut self, turn: u64) -> Result<Option<Self::Opened>, Self::Error>;

    /// Ends the running turn, or refuses while it runs.
    async fn cancel_first(&mut self, turn: u64, why: &str) -> Result<(), Self::Error>;

    /// What a new turn is accepted with, and that it can be: `session` is the one that it is added to.
    async fn terms(
        &mut self,
        submit: &Submit,
        session: Option<&Session>,
    ) -> Result<Self::Terms, Self::Error>;

    /// The terms as they are stored.
    fn kept(&self, terms: &Self::Terms, history: Window) -> Option<Kept>;

    /// How the turn is run.
    fn turn<'t>(&'t self, terms: &'t Self::Terms) -> &'t TurnConfig;

    /// Stores the turn and has it run; `None` when another request was faster.
    async fn begin(
        &mut self,
        begin: Begin,
        terms: Self::Terms,
    ) -> Result<Option<Self::Opened>, Self::Error>;
}

/// What of an acceptance differs with and without an object.
pub(crate) struct Kept {
    /// What recovery needs of the upstream, JSON.
    pub upstream: String,
    /// The kind of the turn's own step.
    pub step_kind: &'static str,
    /// When somebody should look at the turn.
    pub wake_at: i64,
    /// Held by whoever accepts it, where leases are held.
    pub lease: Option<Lease>,
    /// Where its lines are.
    pub log_home: LogHome,
}

/// The turn that a submit means.
pub(crate) async fn open<O: Opener>(
    opener: &mut O,
    caller: &Caller,
    submit: &Submit,
) -> Result<O::Opened, O::Error> {
    let asked = Asked {
        turn_index: submit.turn_index,
        input_hash: submit.input_hash(),
        if_running: submit.if_running,
        retry_of: submit.retry_of,
    };
    let name = caller.session.as_str();
    for _ in 0..DECISIONS {
        let session = opener.session().await?;
        let facts = facts(opener.store(), submit, session.as_ref()).await;
        let facts = facts.map_err(|failure| opener.failed(failure))?;
        let opened = match decide(&asked, &facts, |turn| location(name, turn)) {
            Opening::Existing(turn) => opener.existing(turn).await?,
            Opening::Create => create(opener, caller, submit, &asked, session).await?,
            Opening::CancelFirst(turn) => {
                // What would be refused afterwards cancels nothing.
                opener.terms(submit, session.as_ref()).await?;
                content(opener, caller, submit).await?;
                opener.cancel_first(turn, NEWER).await?;
                None
            }
            Opening::Refuse(problem) => return Err(problem.into()),
        };
        if let Some(opened) = opened {
            return Ok(opened);
        }
    }
    Err(Problem::session_unavailable().into())
}

/// Accepts a new turn; `None` when another request was faster.
async fn create<O: Opener>(
    opener: &mut O,
    caller: &Caller,
    submit: &Submit,
    asked: &Asked,
    session: Option<Session>,
) -> Result<Option<O::Opened>, O::Error> {
    let terms = opener.terms(submit, session.as_ref()).await?;
    let session = next_session(caller, session, || opener.token(), opener.now_ms());
    let turn_index = session.turn_count.saturating_sub(1);
    let key = &session.session_key;
    let content = content(opener, caller, submit).await?;
    let turn = opener.turn(&terms);
    let told = history(opener.store(), key, turn_index, submit.retry_of, turn).await;
    let (window, _) = told.map_err(|failure| opener.failed(failure))?;
    let kept = opener.kept(&terms, window).ok_or_else(Problem::internal)?;
    let accepting = Accepting {
        caller,
        submit,
        input_hash: &asked.input_hash,
        session,
        content,
        upstream: kept.upstream,
        step_kind: kept.step_kind,
        wake_at: kept.wake_at,
        lease: kept.lease,
        log_home: kept.log_home,
        now: opener.now_ms(),
    };
    let begin = accepting.begin().ok_or_else(Problem::internal)?;
    opener.begin(begin, terms).await
}

/// The message that a submit brings, or that of the turn it repeats.
async fn content<O: Opener>(
    opener: &O,
    caller: &Caller,
    submit: &Submit,
) -> Result<String, O::Error> {
    match (&submit.message, submit.retry_of) {
        (Some(content), _) => Ok(content.clone()),
        (None, Some(retried)) => {
            let content = message_of(opener.store(), &caller.session_key(), retried).await;
            let content = content.map_err(|failure| opener.failed(failure))?;
            Ok(content.ok_or_else(Problem::not_found)?)
        }
        (None, None) => Err(Problem::invalid_request("`message` is required").into()),
    }
}
