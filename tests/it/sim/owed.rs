//! What a store owes: that it is looked at again while something is to be done, that it goes on and never
//! back, and that nothing goes which somebody may still need.
//!
//! Owns these laws, read from rows and alarms alone. Who calls them says at which of the two stores and when.

use crate::support::World;
use futures::executor::block_on;
use std::collections::BTreeMap;
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{EventRecord, LogHome, Run, Section, SqlStore, Status, Store};

const ALL: u32 = 100_000;
/// How late an alarm may be for what is due, in ms: a clock that jumps, a full D1's wait.
const LATE_MS: i64 = 16 * 60 * 1000;
/// The longest time between two looks at what has no due time of its own, in ms: a full D1's wait.
const LOOK_MS: i64 = 5 * 60 * 1000;
/// The least time for which lines are kept, in ms: `RETENTION_DAYS` and `D1_LOG_DAYS` are at least 1.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;
/// How far a clock that is ahead shortens it.
const JUMP_MS: i64 = 10 * 60 * 1000;

/// Something that is to be done.
#[derive(Debug, PartialEq, Eq)]
pub struct Owed {
    /// What.
    pub what: String,
    /// When at the latest, Unix ms.
    pub due: i64,
}

/// I11: what an object has to do by its storage, that must be done soonest; nothing where it may rest for ever
/// or only retention is left.
pub fn by(database: NativeSqlite, session_key: &str, world: &World) -> Option<Owed> {
    let now = world.sim.now();
    let store = SqlStore::new(database, Section::Object);
    let soon = now + LOOK_MS;
    let mut all = Vec::new();
    let mut owes = |what: String, due: i64| all.push(Owed { what, due });
    let reading = async {
        let runs = store.runs(session_key, 0, ALL).await?;
        let session = store.session(session_key).await?;
        for run in &runs {
            let at = &run.run_id;
            match run.state.status {
                Status::Queued | Status::Running => owes(format!("{at} is open"), soon),
                Status::Suspended if run.cancel.is_some() => {
                    owes(format!("{at} is suspended and cancelled"), soon);
                }
                Status::Suspended => {
                    if let Some(at) = run.state.wake_at {
                        owes(format!("{} is suspended until then", run.run_id), at);
                    }
                    if store.has_awaited_event(at).await? {
                        owes(format!("{at} has the event that it waits for"), soon);
                    }
                }
                Status::Completed | Status::Failed | Status::Cancelled => {}
            }
            if let Some(cancel) = &run.upstream_cancel {
                owes(format!("{at} has a cancel to tell"), cancel.next_at);
            }
        }
        let is_deleted = session.is_some_and(|session| session.deleted_at.is_some());
        for left in store.unshipped(ALL).await? {
            if !is_deleted {
                owes(format!("{} is to be shipped", left.run_id), soon);
            }
        }
        if is_deleted && (!runs.is_empty() || !is_erased(world, session_key).await?) {
            owes(format!("{session_key} is to be erased"), soon);
        }
        Ok::<_, steadfast::store::Error>(())
    };
    block_on(reading).expect("the storage answers");
    all.into_iter().min_by_key(|owed| owed.due)
}

/// D1 has a tombstone, and nothing that is older.
async fn is_erased(world: &World, session_key: &str) -> Result<bool, steadfast::store::Error> {
    let durable = SqlStore::new(world.d1.database(), Section::D1);
    if !durable.has_schema().await? {
        return Ok(false);
    }
    let Some(session) = durable.session(session_key).await? else {
        return Ok(false);
    };
    let runs = durable.runs(session_key, 0, 1).await?;
    let is_older = |run: &Run| run.turn_index < session.first_turn;
    Ok(session.deleted_at.is_some() && !runs.first().is_some_and(is_older))
}

/// Whether an alarm is in time for it.
pub fn is_armed(alarm: Option<i64>, owed: &Owed, now: i64) -> bool {
    alarm.is_some_and(|at| at <= owed.due.max(now) + LATE_MS)
}

/// A run as it was seen in a store.
#[derive(Clone, Copy)]
pub struct Was<'a> {
    /// Its row.
    pub run: &'a Run,
    /// Its lines.
    pub lines: &'a [String],
    /// The hash of all lines up to each.
    pub chain: &'a [u64],
    /// Its events by key.
    pub events: &'a BTreeMap<String, EventRecord>,
    /// Its lines are to be read in this store.
    pub is_here: bool,
}

/// I5, I6, I7, I9: a run goes on, and never back; and what was accepted stays as it was accepted.
pub fn check_went_on(was: &Was<'_>, now: &Was<'_>) {
    let (before, after) = (was.run, now.run);
    let at = &after.run_id;
    assert!(after.epoch >= before.epoch, "I5: {at}: an epoch fell");
    assert!(after.rev >= before.rev, "I5: {at}: a rev fell");
    let rank = |status: Status| match status {
        Status::Queued => 0,
        Status::Running | Status::Suspended => 1,
        Status::Completed | Status::Failed | Status::Cancelled => 2,
    };
    let (from, to) = (before.state.status, after.state.status);
    assert!(rank(to) >= rank(from), "I6: {at}: {from:?}, then {to:?}");
    if from.is_terminal() {
        assert_eq!(before.state, after.state, "I6: {at} changed behind its end");
    }
    assert!(
        after.state.line_count >= before.state.line_count,
        "I9: {at}: {} lines, then {}",
        before.state.line_count,
        after.state.line_count
    );
    let stays = !now.is_here || now.chain.starts_with(was.chain);
    assert!(
        stays,
        "I1: {at} lost lines:\n{:?}\n{:?}",
        was.lines, now.lines
    );
    for (key, event) in was.events {
        assert_eq!(
            Some(event),
            now.events.get(key),
            "I7: {at}: an event changed"
        );
    }
    let accepted = |run: &Run| {
        let who = (run.tenant.clone(), run.session.clone(), run.user.clone());
        let what = (run.key.clone(), run.input_hash.clone());
        let how = (run.request.clone(), run.upstream.clone());
        (who, what, how, run.turn_index, run.created_at)
    };
    assert_eq!(
        accepted(before),
        accepted(after),
        "I14: {at} isn't what was accepted"
    );
}

/// A run's lines have gone from the store where they were read: its time was over, and where the other
/// store is the one that has them now, it has all.
pub fn check_may_go(world: &World, now: &Run, is_in_d1: bool) {
    let at = &now.run_id;
    let finished = now.state.finished_at;
    let finished = finished.unwrap_or_else(|| panic!("I15: the lines of {at} went, which is open"));
    let age = world.sim.now() - finished;
    assert!(
        age >= KEPT_MS - JUMP_MS,
        "I15: the lines of {at} went after {age} ms"
    );
    if is_in_d1 {
        return;
    }
    let durable = world.durable();
    let held = block_on(durable.run(at)).expect("D1 answers");
    let held =
        held.unwrap_or_else(|| panic!("I15: the lines of {at} went, of which D1 knows nothing"));
    let lines = block_on(durable.log_end(at)).expect("D1 answers");
    let has_all = held.log_home == LogHome::Expired || lines == now.state.line_count;
    assert!(
        has_all && held.state.status.is_terminal(),
        "I15: the lines of {at} went, of which D1 has {lines} of {}",
        now.state.line_count
    );
}
