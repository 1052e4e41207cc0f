//! Every SQL statement but the schema's own.
//!
//! Owns the text; `sql_store`, `object_sql` and `ship/` bind parameters and read results.
//! Invariant: a statement that writes a run's facts carries its fence itself, since a batch goes
//! on after a statement that changed nothing.
//!
//! `= +?1` beside an ORDER BY or a MAX, and `LIMIT ?2 + 0`: of a bare parameter there SQLite notes that
//! its value may change the plan, and prepares the statement anew at each execution. In an object that would be
//! an eighth of all CPU of a streaming turn.

/// The statuses of a run that is not over.
macro_rules! open {
    () => {
        "('queued','running','suspended')"
    };
}

/// `?1` run, `?2` epoch: the writer still owns an open run.
macro_rules! fence {
    () => {
        concat!(
            "EXISTS (SELECT 1 FROM runs WHERE run_id = ?1 AND epoch = ?2 AND status IN ",
            open!(),
            ")"
        )
    };
}

/// `?1` run: the seq behind the last line.
macro_rules! log_end {
    () => {
        "COALESCE((SELECT first_seq + count FROM stream_log WHERE run_id = +?1 \
         ORDER BY first_seq DESC LIMIT 1), 0)"
    };
}

/// `?1` run, `?2` session: the run that this batch has stored, since its session counts it last.
macro_rules! uncounted {
    () => {
        "EXISTS (SELECT 1 FROM runs WHERE run_id = ?1 AND turn_index = \
         COALESCE((SELECT turn_count FROM sessions WHERE session_key = ?2), 0))"
    };
}

macro_rules! session_columns {
    () => {
        "session_key, tenant, session, birth, turn_count, first_turn, created_at, updated_at, deleted_at"
    };
}

macro_rules! run_columns {
    () => {
        "run_id, tenant, session, turn_index, user, idempotency_key, input_hash, request, \
         upstream, status, attempts, epoch, lease_holder, lease_until, handle, outcome, usage, \
         last_error, line_count, wake_at, rev, cancel, upstream_cancel, log_home, created_at, \
         updated_at, finished_at"
    };
}

macro_rules! run_values {
    () => {
        "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, \
         ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27"
    };
}

macro_rules! log_columns {
    () => {
        "first_seq, count, epoch, attempt, cursor, frame_ids, lines"
    };
}

macro_rules! message_columns {
    () => {
        "turn_index, position, content, status, retry_of, rev, created_at"
    };
}

macro_rules! step_columns {
    () => {
        "step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, \
         detail"
    };
}

macro_rules! event_columns {
    () => {
        "key, payload, rev, emitted_at"
    };
}

pub(crate) const RECORD_VERSION: &str =
    "INSERT INTO schema_info (version, applied_at) VALUES (?1, ?2)";
pub(crate) const READ_VERSION: &str = "SELECT COALESCE(MAX(version), 0) FROM schema_info";

pub(crate) const SESSION: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM sessions WHERE session_key = ?1"
);

/// `?28` the session's key, `?29` the id of the turn before, `$taken` which runs have `?6` as their
/// key. First of its batch, and the only one that asks whether the turn may begin.
macro_rules! begin_run {
    ($taken:expr) => {
        concat!(
            "INSERT INTO runs (",
            run_columns!(),
            ") SELECT ",
            run_values!(),
            " WHERE COALESCE((SELECT turn_count FROM sessions WHERE session_key = ?28), 0) = ?4 \
             AND NOT EXISTS (SELECT 1 FROM runs WHERE run_id = ?29 AND status IN ",
            open!(),
            ") AND NOT EXISTS (SELECT 1 FROM runs WHERE ",
            $taken,
            ") ON CONFLICT DO NOTHING"
        )
    };
}

/// A session's runs with this key, where many sessions are: the primary key's range is the session's
/// own. An index of keys would cost D1 a row for each turn that has one.
macro_rules! keyed {
    ($session_key:literal, $key:literal) => {
        concat!(
            "run_id > ",
            $session_key,
            " || ':' AND run_id < ",
            $session_key,
            " || ';' AND run_id = ",
            $session_key,
            " || ':' || turn_index AND idempotency_key = ",
            $key
        )
    };
}

/// In an object, whose only session's keys have an index.
pub(crate) const BEGIN_RUN: &str =
    begin_run!("tenant = ?2 AND session = ?3 AND idempotency_key = ?6");
pub(crate) const D1_BEGIN_RUN: &str = begin_run!(keyed!("?28", "?6"));
pub(crate) const BEGIN_LINES: &str = concat!(
    "INSERT INTO stream_log (run_id, ",
    log_columns!(),
    ") SELECT ?1, 0, ?3, 1, ?4, ?5, ?6, ?7 WHERE ",
    uncounted!()
);
pub(crate) const BEGIN_MESSAGE: &str = concat!(
    "INSERT INTO messages (session_key, role, ",
    message_columns!(),
    ") SELECT ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 WHERE ",
    uncounted!()
);
pub(crate) const BEGIN_STEP: &str = concat!(
    "INSERT INTO steps (run_id, ",
    step_columns!(),
    ") SELECT ?1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13 WHERE ",
    uncounted!()
);
/// In an object: nothing of the run is in D1 yet.
pub(crate) const BEGIN_UNSHIPPED: &str = concat!(
    "INSERT INTO unshipped (run_id, rev, lines) SELECT ?1, 0, 0 WHERE ",
    uncounted!()
);
/// Last of its batch: from here on the run is counted.
pub(crate) const BEGIN_SESSION: &str = concat!(
    "INSERT INTO sessions (",
    session_columns!(),
    ") SELECT ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 WHERE ",
    uncounted!(),
    " ON CONFLICT (session_key) DO UPDATE SET \
     turn_count = excluded.turn_count, updated_at = excluded.updated_at, deleted_at = NULL"
);

/// A run without a session. Of two at once one is first; the other changes nothing.
pub(crate) const CREATE_RUN: &str = concat!(
    "INSERT INTO runs (",
    run_columns!(),
    ") VALUES (",
    run_values!(),
    ") ON CONFLICT DO NOTHING"
);

/// `?2` holder, `?3` until, `?4` now, `?5` 1 for `Sole`.
pub(crate) const ACQUIRE: &str = concat!(
    "UPDATE runs SET epoch = epoch + 1, rev = rev + 1, lease_holder = ?2, lease_until = ?3, \
     status = CASE status WHEN 'queued' THEN 'running' ELSE status END, updated_at = ?4 \
     WHERE run_id = ?1 AND status IN ",
    open!(),
    " AND lease_holder IS NOT ?2 AND (?5 = 1 OR lease_until IS NULL OR lease_until <= ?4) \
     RETURNING epoch"
);

/// How the run stands behind an [`ACQUIRE`], and whether `?2` holds it.
pub(crate) const ACQUIRED: &str =
    "SELECT epoch, status, lease_holder IS ?2, lease_until FROM runs WHERE run_id = ?1";

/// `?2` epoch, `?3` holder, `?4` until. No rev: a lease is nobody else's business.
pub(crate) const RENEW: &str = concat!(
    "UPDATE runs SET lease_until = ?4 WHERE run_id = ?1 AND epoch = ?2 AND lease_holder = ?3 \
     AND status IN ",
    open!()
);
/// `?2` epoch: the run is free from now on.
pub(crate) const RELEASE: &str = concat!(
    "UPDATE runs SET lease_holder = NULL, lease_until = NULL WHERE run_id = ?1 AND epoch = ?2 \
     AND status IN ",
    open!()
);
/// `?2` holder, `?3` until, `?4` now, `?5` the attempts with the new one, `?6` the rev that was read.
/// What has a log stays over: its readers have seen its end.
pub(crate) const REOPEN: &str = "UPDATE runs SET status = 'running', epoch = epoch + 1, \
     rev = rev + 1, lease_holder = ?2, lease_until = ?3, attempts = ?5, outcome = NULL, \
     cancel = NULL, finished_at = NULL, updated_at = ?4 \
     WHERE run_id = ?1 AND status = 'failed' AND rev = ?6 AND line_count = 0";

/// `?3` where the log ends before this commit's lines; so in all statements of a commit.
pub(crate) const APPEND: &str = concat!(
    "INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) \
     SELECT ?1, ?3, ?4, ?2, ?5, ?6, ?7, ?8 WHERE ",
    fence!(),
    " AND ",
    log_end!(),
    " = ?3"
);
/// Behind a [`TRANSITION`], which may have closed the run: only it can have counted lines that the
/// log doesn't hold yet, since a run that is over counts exactly its log.
pub(crate) const APPEND_COUNTED: &str = concat!(
    "INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) \
     SELECT ?1, ?3, ?4, ?2, ?5, ?6, ?7, ?8 WHERE EXISTS (SELECT 1 FROM runs WHERE run_id = ?1 \
     AND epoch = ?2 AND line_count = ?3 + ?4) AND ",
    log_end!(),
    " = ?3"
);
/// Before [`TRANSITION`], whose rev it carries.
pub(crate) const COMMIT_MESSAGE: &str = concat!(
    "INSERT INTO messages (session_key, role, ",
    message_columns!(),
    ") SELECT ?4, ?5, ?6, ?7, ?8, ?9, ?10, (SELECT rev + 1 FROM runs WHERE run_id = ?1), ?11 WHERE ",
    fence!(),
    " AND ",
    log_end!(),
    " = ?3 ON CONFLICT (session_key, turn_index, position) DO UPDATE SET \
     content = excluded.content, status = excluded.status, rev = excluded.rev"
);
/// A write that lands behind its own repeat, and behind what came after that, changes nothing:
/// attempts only grow, and within one its end and its failure stand.
pub(crate) const COMMIT_STEP: &str = concat!(
    "INSERT INTO steps (run_id, ",
    step_columns!(),
    ") SELECT ?1, ?4, ?5, ?6, ?7, ?8, ?9, ?10, (SELECT rev + 1 FROM runs WHERE run_id = ?1), \
     ?11, ?12, ?13 WHERE ",
    fence!(),
    " AND ",
    log_end!(),
    " = ?3 ON CONFLICT (run_id, step_index) DO UPDATE SET status = excluded.status, \
     attempts = excluded.attempts, result = excluded.result, error = excluded.error, \
     rev = excluded.rev, completed_at = excluded.completed_at, detail = excluded.detail \
     WHERE excluded.attempts > steps.attempts OR (excluded.attempts = steps.attempts \
     AND (excluded.status <> 'running' OR (steps.status = 'running' \
     AND COALESCE(json_array_length(excluded.detail, '$.failures'), 0) >= \
     COALESCE(json_array_length(steps.detail, '$.failures'), 0))))"
);
/// Behind a [`COMMIT_STEP`] without a [`TRANSITION`]: the run's rev follows its steps'.
pub(crate) const STEPS_REV: &str = concat!(
    "UPDATE runs SET rev = rev + 1, updated_at = ?4 WHERE run_id = ?1 AND epoch = ?2 \
     AND status IN ",
    open!(),
    " AND ",
    log_end!(),
    " = ?3"
);
pub(crate) const TRANSITION: &str = concat!(
    "UPDATE runs SET status = ?4, attempts = ?5, handle = ?6, outcome = ?7, usage = ?8, \
     last_error = ?9, line_count = ?10, wake_at = ?11, finished_at = ?12, upstream_cancel = ?13, \
     updated_at = ?14, rev = rev + 1 WHERE run_id = ?1 AND epoch = ?2 AND status IN ",
    open!(),
    " AND ",
    log_end!(),
    " = ?3"
);

/// Somebody has looked at an open run, and will again by `?2`.
pub(crate) const LOOKED_AT: &str = concat!(
    "UPDATE runs SET wake_at = ?2, rev = rev + 1, updated_at = ?3 WHERE run_id = ?1 AND status IN ",
    open!()
);
/// `?3` now: a suspended run is due with it.
pub(crate) const REQUEST_CANCEL: &str = concat!(
    "UPDATE runs SET cancel = ?2, rev = rev + 1, updated_at = ?3, \
     wake_at = CASE status WHEN 'suspended' THEN ?3 ELSE wake_at END \
     WHERE run_id = ?1 AND cancel IS NULL AND status IN ",
    open!()
);
pub(crate) const SET_UPSTREAM_CANCEL: &str = "UPDATE runs SET upstream_cancel = ?2, rev = rev + 1, updated_at = ?3 WHERE run_id = ?1 \
     AND upstream_cancel IS NOT ?2";

pub(crate) const EMIT_EVENT: &str = concat!(
    "INSERT INTO events (run_id, ",
    event_columns!(),
    ") SELECT ?1, ?2, ?3, (SELECT rev + 1 FROM runs WHERE run_id = ?1), ?4 \
     WHERE EXISTS (SELECT 1 FROM runs WHERE run_id = ?1 AND status IN ",
    open!(),
    ") ON CONFLICT DO NOTHING"
);
/// Raises `rev` to the event's own, once. `?3` now: a suspended run is due with it.
pub(crate) const EVENT_REV: &str = "UPDATE runs SET rev = rev + 1, \
     wake_at = CASE status WHEN 'suspended' THEN ?3 ELSE wake_at END WHERE run_id = ?1 \
     AND rev < (SELECT rev FROM events WHERE run_id = ?1 AND key = ?2)";
pub(crate) const EVENT: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events WHERE run_id = ?1 AND key = ?2"
);

pub(crate) const RUN: &str = concat!("SELECT ", run_columns!(), " FROM runs WHERE run_id = ?1");
/// In an object. `?1` session, `?2` key, as in D1.
pub(crate) const RUN_BY_KEY: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM runs WHERE tenant = (SELECT tenant FROM sessions WHERE session_key = ?1) \
     AND session = (SELECT session FROM sessions WHERE session_key = ?1) AND idempotency_key = ?2"
);
pub(crate) const D1_RUN_BY_KEY: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM runs WHERE ",
    keyed!("?1", "?2")
);
/// `?1` and `?2` bound the session's run ids. The equality keeps out a longer session key that
/// begins alike, such as that of a project named like this tenant.
pub(crate) const RUNS: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM runs WHERE run_id > ?1 AND run_id < ?2 AND run_id = ?1 || turn_index \
     AND turn_index >= ?3 ORDER BY turn_index LIMIT ?4 + 0"
);
pub(crate) const LOG: &str = concat!(
    "SELECT ",
    log_columns!(),
    " FROM stream_log WHERE run_id = +?1 AND first_seq >= \
     COALESCE((SELECT MAX(first_seq) FROM stream_log WHERE run_id = +?1 AND first_seq <= ?2), 0) \
     AND first_seq + count > ?2 ORDER BY first_seq LIMIT ?3 + 0"
);
pub(crate) const LOG_END: &str = concat!("SELECT ", log_end!());
pub(crate) const MESSAGES: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages WHERE session_key = +?1 AND (turn_index, position) > (?2, ?3) \
     ORDER BY turn_index, position LIMIT ?4 + 0"
);
pub(crate) const MESSAGES_BEFORE: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages WHERE session_key = +?1 AND turn_index < ?2 \
     ORDER BY turn_index DESC, position DESC LIMIT ?3 + 0"
);
pub(crate) const STEPS: &str = concat!(
    "SELECT ",
    step_columns!(),
    " FROM steps WHERE run_id = +?1 AND step_index >= ?2 ORDER BY step_index LIMIT ?3 + 0"
);

// The object's own: what is to be shipped, hydration, retention, erasure.

/// A run that was shipped whole and has changed since.
pub(crate) const UNSHIPPED_AGAIN: &str = "INSERT INTO unshipped (run_id, rev, lines) \
     SELECT run_id, 0, line_count FROM runs WHERE run_id = ?1 ON CONFLICT DO NOTHING";
/// An open run that changes may have been forgotten here while it was suspended.
pub(crate) const UNSHIPPED_OPEN: &str = concat!(
    "INSERT INTO unshipped (run_id, rev, lines) \
     SELECT run_id, 0, line_count FROM runs WHERE run_id = ?1 AND status IN ",
    open!(),
    " ON CONFLICT DO NOTHING"
);
/// A hydrated open run, of which D1 has what it had.
pub(crate) const HYDRATE_UNSHIPPED: &str =
    "INSERT OR REPLACE INTO unshipped (run_id, rev, lines) VALUES (?1, ?2, ?3)";
pub(crate) const UNSHIPPED: &str = "SELECT u.run_id, u.rev, u.lines FROM unshipped u \
     JOIN runs r ON r.run_id = u.run_id ORDER BY r.turn_index LIMIT ?1 + 0";
/// A run that is over or suspended and wholly in D1, which holds `?2` and `?3`, has nothing left to
/// ship until it changes.
pub(crate) const FORGET_SHIPPED: &str = "DELETE FROM unshipped WHERE run_id = ?1 AND EXISTS \
     (SELECT 1 FROM runs WHERE run_id = ?1 AND rev <= ?2 AND line_count <= ?3 \
     AND status NOT IN ('queued','running'))";
pub(crate) const MESSAGES_SINCE: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages WHERE session_key = +?1 AND turn_index = +?2 AND rev > ?3 ORDER BY position"
);
pub(crate) const STEPS_SINCE: &str = concat!(
    "SELECT ",
    step_columns!(),
    " FROM steps WHERE run_id = +?1 AND rev > ?2 ORDER BY rev, step_index LIMIT ?3 + 0"
);
pub(crate) const EVENTS_SINCE: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events WHERE run_id = +?1 AND rev > ?2 ORDER BY rev LIMIT ?3 + 0"
);
/// Whether a wait that is under way has its event; an event's wait has its key behind `event:`.
pub(crate) const HAS_AWAITED_EVENT: &str = "SELECT EXISTS (SELECT 1 FROM steps s JOIN events e \
     ON e.run_id = s.run_id AND e.key = substr(s.intent, 7) \
     WHERE s.run_id = ?1 AND s.kind = 'event' AND s.status = 'running')";
/// The object has one session at most.
pub(crate) const SOLE_SESSION: &str =
    concat!("SELECT ", session_columns!(), " FROM sessions LIMIT 1");
pub(crate) const HAS_SCHEMA: &str =
    "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'sessions'";
pub(crate) const PENDING_CANCELS: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM runs WHERE upstream_cancel IS NOT NULL ORDER BY turn_index LIMIT ?1 + 0"
);
/// Of those that may go: what D1 lacks stays.
pub(crate) const OLDEST_LOG: &str = "SELECT MIN(finished_at) FROM runs WHERE finished_at IS NOT NULL \
     AND log_home = 'object' AND NOT EXISTS (SELECT 1 FROM unshipped u WHERE u.run_id = runs.run_id)";
pub(crate) const EXPIRING_LOGS: &str = "SELECT run_id FROM runs WHERE finished_at IS NOT NULL \
     AND log_home = 'object' AND finished_at <= ?1 \
     AND NOT EXISTS (SELECT 1 FROM unshipped u WHERE u.run_id = runs.run_id) \
     ORDER BY finished_at LIMIT ?2 + 0";
pub(crate) const DROP_LOG: &str = "DELETE FROM stream_log WHERE run_id = ?1";
pub(crate) const SET_LOG_HOME: &str = "UPDATE runs SET log_home = ?2 WHERE run_id = ?1";
pub(crate) const HYDRATE_SESSION: &str = concat!(
    "INSERT OR REPLACE INTO sessions (",
    session_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
);
pub(crate) const HYDRATE_RUN: &str = concat!(
    "INSERT OR REPLACE INTO runs (",
    run_columns!(),
    ") VALUES (",
    run_values!(),
    ")"
);
pub(crate) const HYDRATE_LINES: &str = "INSERT OR REPLACE INTO stream_log \
     (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
pub(crate) const HYDRATE_MESSAGE: &str = concat!(
    "INSERT OR REPLACE INTO messages (session_key, role, ",
    message_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
);
pub(crate) const HYDRATE_STEP: &str = concat!(
    "INSERT OR REPLACE INTO steps (run_id, ",
    step_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
);
pub(crate) const HYDRATE_EVENT: &str = concat!(
    "INSERT OR REPLACE INTO events (run_id, ",
    event_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5)"
);
pub(crate) const TOMBSTONE: &str = "UPDATE sessions SET deleted_at = ?2, updated_at = ?2, \
     first_turn = turn_count WHERE session_key = ?1";
/// What an object forgets: of a deleted session, or of one that another life owns now.
pub(crate) const FORGET: [&str; 6] = [
    "DELETE FROM unshipped",
    "DELETE FROM stream_log",
    "DELETE FROM messages",
    "DELETE FROM steps",
    "DELETE FROM events",
    "DELETE FROM runs",
];
pub(crate) const FORGET_SESSION: &str = "DELETE FROM sessions";

// D1: ships, fenced by birth, rev and line count; reads that cross sessions; retention.

/// `?1` session, `?2` birth, `?3` run, `?4` rev, `?5` line count: this very ship has landed.
macro_rules! landed {
    () => {
        "EXISTS (SELECT 1 FROM sessions WHERE session_key = ?1 AND birth = ?2) AND \
         EXISTS (SELECT 1 FROM runs WHERE run_id = ?3 AND rev = ?4 AND line_count = ?5)"
    };
}

/// The first to ship owns the session; a turn it doesn't know yet is all that changes here.
pub(crate) const SHIP_SESSION: &str = concat!(
    "INSERT INTO sessions (",
    session_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (session_key) DO UPDATE SET \
     turn_count = excluded.turn_count, updated_at = excluded.updated_at, deleted_at = NULL \
     WHERE sessions.birth = excluded.birth AND sessions.turn_count < excluded.turn_count"
);
/// `?28` session, `?29` birth. Whoever knows less of D1's lines than is there learns it from the answer:
/// what is there stays, since the object's storage may be lost before it has told them again.
pub(crate) const SHIP_RUN: &str = concat!(
    "INSERT INTO runs (",
    run_columns!(),
    ") SELECT ",
    run_values!(),
    " WHERE EXISTS (SELECT 1 FROM sessions WHERE session_key = ?28 AND birth = ?29 \
     AND first_turn <= ?4) ON CONFLICT (run_id) DO UPDATE SET status = excluded.status, \
     attempts = excluded.attempts, epoch = excluded.epoch, handle = excluded.handle, \
     outcome = excluded.outcome, usage = excluded.usage, last_error = excluded.last_error, \
     line_count = excluded.line_count, wake_at = excluded.wake_at, rev = excluded.rev, \
     cancel = excluded.cancel, upstream_cancel = excluded.upstream_cancel, \
     updated_at = excluded.updated_at, finished_at = excluded.finished_at \
     WHERE (runs.rev, runs.line_count) < (excluded.rev, excluded.line_count) \
     AND runs.line_count <= excluded.line_count"
);
/// `?6` from where this ship holds the lines: an overlapping row of an unanswered ship goes.
pub(crate) const SHIP_TRIM: &str = concat!(
    "DELETE FROM stream_log WHERE run_id = ?3 AND first_seq >= ?6 AND ",
    landed!()
);
pub(crate) const SHIP_LINES: &str = concat!(
    "INSERT INTO stream_log (run_id, ",
    log_columns!(),
    ") SELECT ?3, ?6, ?7, ?8, ?9, ?10, ?11, ?12 WHERE ",
    landed!(),
    // The same lines may be there in larger rows already, of a life that shipped all of them.
    " AND ?6 + ?7 > COALESCE((SELECT first_seq + count FROM stream_log WHERE run_id = +?3 \
     ORDER BY first_seq DESC LIMIT 1), 0) ON CONFLICT DO NOTHING"
);
pub(crate) const SHIP_MESSAGE: &str = concat!(
    "INSERT INTO messages (session_key, role, ",
    message_columns!(),
    ") SELECT ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14 WHERE ",
    landed!(),
    " ON CONFLICT (session_key, turn_index, position) DO UPDATE SET content = excluded.content, \
     status = excluded.status, rev = excluded.rev WHERE messages.rev < excluded.rev"
);
pub(crate) const SHIP_STEP: &str = concat!(
    "INSERT INTO steps (run_id, ",
    step_columns!(),
    ") SELECT ?3, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16 WHERE ",
    landed!(),
    " ON CONFLICT (run_id, step_index) DO UPDATE SET status = excluded.status, \
     attempts = excluded.attempts, result = excluded.result, error = excluded.error, \
     rev = excluded.rev, completed_at = excluded.completed_at, detail = excluded.detail WHERE steps.rev < excluded.rev"
);
pub(crate) const SHIP_EVENT: &str = concat!(
    "INSERT INTO events (run_id, ",
    event_columns!(),
    ") SELECT ?3, ?6, ?7, ?8, ?9 WHERE ",
    landed!(),
    " ON CONFLICT DO NOTHING"
);
pub(crate) const SHIP_VERDICT: &str = "SELECT s.birth, s.first_turn, r.rev, r.line_count \
     FROM sessions s LEFT JOIN runs r ON r.run_id = ?2 WHERE s.session_key = ?1";
/// A new life takes the session over from the one it read.
pub(crate) const CLAIM_SESSION: &str =
    "UPDATE sessions SET birth = ?3 WHERE session_key = ?1 AND birth = ?2";
/// A session's runs in the order of their ids, for hydration; `?4` what they all begin with.
pub(crate) const HYDRATION_RUNS: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM runs WHERE run_id > ?1 AND run_id < ?2 AND run_id = ?4 || turn_index \
     ORDER BY run_id LIMIT ?3 + 0"
);
/// `?2` status or null, `?3` session or null, `?4`, `?5` the last page's end, `?7` what run ids of
/// this project and tenant begin with: deployments may share a database.
pub(crate) const RUNS_OF_TENANT: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM runs WHERE tenant = ?1 AND (?2 IS NULL OR status = ?2) \
     AND (?3 IS NULL OR session = ?3) AND (created_at, run_id) < (?4, ?5) \
     AND run_id = ?7 || session || ':' || turn_index \
     ORDER BY created_at DESC, run_id DESC LIMIT ?6 + 0"
);
/// `?3` what run ids of this project begin with: another deployment's objects are not ours to wake.
pub(crate) const DUE_RUNS: &str = "SELECT run_id, tenant, session, turn_index FROM runs \
     WHERE wake_at IS NOT NULL AND wake_at < ?1 \
     AND run_id = ?3 || tenant || ':' || session || ':' || turn_index ORDER BY wake_at LIMIT ?2 + 0";
/// The finished runs whose lines are due, oldest first; in one batch both statements see the same.
macro_rules! expiring {
    () => {
        "(SELECT run_id FROM runs WHERE finished_at IS NOT NULL AND log_home = 'd1' \
         AND finished_at <= ?1 ORDER BY finished_at LIMIT ?2 + 0)"
    };
}
pub(crate) const EXPIRE_LINES: &str =
    concat!("DELETE FROM stream_log WHERE run_id IN ", expiring!());
pub(crate) const EXPIRE_RUNS: &str = concat!(
    "UPDATE runs SET log_home = 'expired' WHERE run_id IN ",
    expiring!()
);
/// `?1` session, `?2` birth, `?3` now: the tombstone that fences every late ship.
pub(crate) const D1_TOMBSTONE: &str = "UPDATE sessions SET deleted_at = ?3, updated_at = ?3, \
     turn_count = MAX(turn_count, ?4), first_turn = MAX(first_turn, ?4) \
     WHERE session_key = ?1 AND birth = ?2 AND first_turn < ?4";
/// `?1`, `?2` bound the session's run ids, `?3` session, `?4` the first turn that stays.
pub(crate) const D1_ERASED_RUNS: &str = "SELECT run_id FROM runs WHERE run_id > ?1 \
     AND run_id < ?2 AND run_id = ?1 || turn_index AND turn_index < ?3 ORDER BY run_id LIMIT ?4 + 0";
pub(crate) const D1_ERASE_RUN: [&str; 4] = [
    "DELETE FROM stream_log WHERE run_id = ?1",
    "DELETE FROM steps WHERE run_id = ?1",
    "DELETE FROM events WHERE run_id = ?1",
    "DELETE FROM runs WHERE run_id = ?1",
];
pub(crate) const D1_ERASE_MESSAGES: &str =
    "DELETE FROM messages WHERE session_key = ?1 AND turn_index < ?2";
