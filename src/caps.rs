//! Every limit, with its unit last and its reason.
//!
//! Owns constants only. Limits an operator may set are defaults here and read in `config.rs`.

/// A request body: PROTOCOL §2.1.
pub const REQUEST_BODY_BYTES: usize = 1024 * 1024;
/// `metadata` of a turn: PROTOCOL §2.1.
pub const METADATA_BYTES: usize = 4 * 1024;
/// JSON nesting of a request; serde_json's own recursion limit is 128, so this is reached first.
pub const REQUEST_DEPTH: usize = 64;
/// JSON nesting of what a durable run hashes or stores: serde_json reads back 127 levels, and what is
/// stored must be read; a request's JSON fits with what stands around it.
pub const RUN_JSON_DEPTH: usize = 100;
/// `Idempotency-Key`: PROTOCOL §2.1.
pub const IDEMPOTENCY_KEY_BYTES: usize = 200;
/// One upstream frame. A stored row may have 2 MB on D1 and in objects; a row holds one frame at least.
pub const FRAME_BYTES: usize = 1024 * 1024;
/// An upstream's frame id; ids stand in every log row.
pub const FRAME_ID_BYTES: usize = 512;
/// An upstream's type name: PROTOCOL §2.2.
pub const FRAME_TYPE_BYTES: usize = 64;
/// The name of a deployment's own upstream: as the other names of PROTOCOL §1.
pub const UPSTREAM_NAME_BYTES: usize = 64;
/// An upstream's own failure message kept in the log; the rest is noise in a client.
pub const UPSTREAM_MESSAGE_BYTES: usize = 2 * 1024;
/// A buffered group of lines is committed at this size whatever the window says.
pub const COMMIT_BYTES: usize = 32 * 1024;
/// The longest wait behind a slow commit, where the window is shorter: beyond it readers notice.
pub const COMMIT_WAIT_MS: u64 = 1_000;
/// Lines are shipped to D1 at this size whatever the interval says.
pub const SHIP_BYTES: usize = 64 * 1024;
/// Quiet after which a follower is sent a heartbeat: PROTOCOL §2.2.
pub const HEARTBEAT_MS: u64 = 15_000;
/// Longest list page: PROTOCOL §2.4.
pub const LIST_LIMIT: u32 = 200;
/// One D1 call; its own limit is 30 s, and a ship that waits that long holds the next one back.
pub const D1_TIMEOUT_MS: u64 = 10_000;
/// Log rows read at once by a follower; a row is usually well below [`COMMIT_BYTES`].
pub const LOG_PAGE_ROWS: u32 = 32;
/// Steps read at once: their results are as large as their authors make them.
pub const STEP_PAGE_ROWS: u32 = 32;
/// Statements of one retention or sweep pass: far below D1's 1,000 queries an invocation and its free tier's 50.
pub const PASS_STATEMENTS: usize = 40;
/// Bound parameters of one statement, D1 and objects alike.
pub const STATEMENT_PARAMS: usize = 100;
/// How long native SQLite waits for another connection to one file; batches take milliseconds, so a
/// longer wait is a fault to be seen.
pub const SQLITE_BUSY_MS: u64 = 5_000;
/// Prepared statements a native connection keeps: more than there are.
pub const SQLITE_STATEMENTS: usize = 128;

const _: () = assert!(FRAME_BYTES + COMMIT_BYTES < 2_000_000);
const _: () = assert!(REQUEST_DEPTH < RUN_JSON_DEPTH && RUN_JSON_DEPTH < 128);
const _: () = assert!(PASS_STATEMENTS < 50);
/// A list's cursor as text: twice the longest position, a time and a run id with every part at its longest.
pub const CURSOR_BYTES: usize = 512;

/// The first back-off step towards an upstream: short, since most cuts are passing.
pub const BACKOFF_FIRST_MS: u64 = 200;
/// The longest back-off step: a user still waits.
pub const BACKOFF_MOST_MS: u64 = 15_000;
/// The longest `Retry-After` that is honoured: a turn is not a batch job.
pub const RETRY_AFTER_MOST_MS: u64 = 60_000;
/// The assistant's message in the transcript; the log has all of it. Rows may have 2 MB.
pub const MESSAGE_BYTES: usize = 1_500_000;
/// A `usage` frame kept on the run's row; larger ones stay in the log only.
pub const USAGE_BYTES: usize = 64 * 1024;
/// An event's payload: PROTOCOL §2.4.
pub const EVENT_BODY_BYTES: usize = 256 * 1024;
/// Why a turn was cancelled; it stands in the terminal line of every replay, so it is a note, not a document.
pub const CANCEL_REASON_CHARS: usize = 200;
/// A list page when the caller names no limit: one screen of most clients.
pub const LIST_LIMIT_DEFAULT: u32 = 50;

const _: () = assert!(LIST_LIMIT_DEFAULT <= LIST_LIMIT);

/// A caller's user name, which stands on every run of theirs.
pub const USER_BYTES: usize = 200;
/// `SYSTEM_PROMPT`: it is stored with every run, beside a request of up to [`REQUEST_BODY_BYTES`].
pub const SYSTEM_PROMPT_BYTES: usize = 32 * 1024;
/// How long a browser may remember a preflight, and so how long a changed list takes to reach all of
/// them; browsers cut it to their own limit.
pub const PREFLIGHT_MAX_AGE_S: u32 = 3600;

/// An integer that an operator may set, within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// Its value when it is not set.
    pub default: u64,
    /// The smallest value that is taken.
    pub min: u64,
    /// The largest value that is taken.
    pub max: u64,
}

impl Setting {
    const fn new(name: &'static str, default: u64, min: u64, max: u64) -> Self {
        assert!(min <= default && default <= max);
        Self {
            name,
            default,
            min,
            max,
        }
    }
}

/// Silence of an upstream before it is attached again. Models think for a minute or two; below
/// 100 ms an ordinary round trip would look like silence.
pub const UPSTREAM_IDLE_MS: Setting = Setting::new("UPSTREAM_IDLE_MS", 120_000, 100, 3_600_000);
/// Failures to attach in a row. Eight with back-off outlast a restart of the upstream.
pub const UPSTREAM_ATTEMPTS: Setting = Setting::new("UPSTREAM_ATTEMPTS", 8, 1, 100);
/// Starts of one turn, each of which may be billed.
pub const UPSTREAM_STARTS: Setting = Setting::new("UPSTREAM_STARTS", 3, 1, 20);
/// A turn's time without waiting for events. A day is longer than any client follows.
pub const TURN_TIMEOUT_MS: Setting = Setting::new("TURN_TIMEOUT_MS", 1_800_000, 1_000, 86_400_000);
/// A turn's lines. A drain holds their text and frame ids in memory, of which an isolate has 128 MB.
pub const TURN_MAX_BYTES: Setting = Setting::new("TURN_MAX_BYTES", 16 << 20, 1 << 10, 32 << 20);
/// Messages of the session that the upstream is told; 0 tells none.
pub const HISTORY_MESSAGES: Setting = Setting::new("HISTORY_MESSAGES", 50, 0, 1_000);
/// Their content in all; one request to the upstream holds it beside the message.
pub const HISTORY_BYTES: Setting = Setting::new("HISTORY_BYTES", 128 << 10, 0, 4 << 20);
/// The least time between two commits of a busy turn; 0 commits each frame. More than a second is felt.
pub const COMMIT_WINDOW_MS: Setting = Setting::new("COMMIT_WINDOW_MS", 50, 0, 1_000);
/// How long a line may be in the object only; the upper bound is the sweep's patience with a silent run.
pub const SHIP_INTERVAL_MS: Setting = Setting::new("SHIP_INTERVAL_MS", 5_000, 100, 60_000);
/// How often an object with an open run looks at itself; beyond a minute the sweep would be first.
pub const WATCHDOG_MS: Setting = Setting::new("WATCHDOG_MS", 5_000, 100, 60_000);
/// How long an object keeps the log of a finished turn. Ten years stand for "for ever".
pub const RETENTION_DAYS: Setting = Setting::new("RETENTION_DAYS", 30, 1, 3_650);
/// How long D1 keeps its copy of the lines, whose storage is the dearer one.
pub const D1_LOG_DAYS: Setting = Setting::new("D1_LOG_DAYS", 7, 1, 3_650);

/// After an alarm the next one is never nearer: an alarm that finds nothing to do must not spin.
pub const ALARM_LEAST_MS: u64 = 1_000;
/// An unfinished erasure is tried again after this long.
pub const ERASE_RETRY_MS: u64 = 30_000;
/// While a variable can't be read no log goes; an operator has to act first, and this is how often an
/// object looks meanwhile.
pub const RETENTION_RETRY_MS: u64 = 3_600_000;
/// A failed ship is tried again after this long at first, then twice as long each time.
pub const SHIP_RETRY_FIRST_MS: u64 = 1_000;
/// The longest wait between two tries to ship.
pub const SHIP_RETRY_MOST_MS: u64 = 60_000;
/// A full D1 is not retried hot: an operator has to act first.
pub const SHIP_FULL_RETRY_MS: u64 = 300_000;
/// Lines of one ship: far below what D1 takes in one batch, and no row above [`SHIP_BYTES`] but
/// for a larger single line.
pub const SHIP_CHUNK_BYTES: usize = 1024 * 1024;
/// Steps or events of one ship.
pub const SHIP_ROWS: u32 = 100;
/// A cancel that an upstream can't be told is tried again after this long at first.
pub const CANCEL_RETRY_FIRST_MS: u64 = 500;
/// The longest wait between two tries to tell a cancel.
pub const CANCEL_RETRY_MOST_MS: u64 = 300_000;
/// One try to tell a cancel: who has not answered by then is told again.
pub const CANCEL_TRY_MS: u64 = 10_000;
/// Tries to tell a cancel; with the waits above more than two weeks.
pub const CANCEL_TRIES: u32 = 5_000;
/// A cancelled turn ends within milliseconds; a caller that needs its end waits this long.
pub const CANCEL_WAIT_MS: u64 = 10_000;
/// Open runs that one sweep pokes.
pub const SWEEP_RUNS: u32 = 100;
/// A run is swept when nobody looked at it for this long after it should have been.
pub const SWEEP_AFTER_MS: u64 = 60_000;
/// An erasure looks this often whether the upstream was told of the cancel.
pub const ERASE_CANCEL_CHECKS: u32 = 50;
/// And this long apart: ten seconds in all.
pub const ERASE_CANCEL_CHECK_MS: u64 = 200;
/// Rows that a new life of an object reads from D1 at once: rows of messages may be large.
pub const HYDRATION_ROWS: u32 = 25;
/// A day: retention is set in days.
pub const DAY_MS: u64 = 86_400_000;
/// Runs whose lines one batch expires in D1: a few thousand rows, far below a batch's 30 s.
pub const EXPIRY_RUNS: u32 = 200;
/// Batches of one sweep: with the sweep's own statements still within [`PASS_STATEMENTS`].
pub const EXPIRY_BATCHES: usize = 15;

const _: () = assert!(2 * EXPIRY_BATCHES + 4 <= PASS_STATEMENTS);
/// A turn's first ship waits this long, or until the turn is over: less than an upstream thinks, so
/// that it costs no first token, and short beside the time in which a storage is lost.
pub const SHIP_FIRST_MS: u64 = 250;
/// A lease without renewal: long enough for two failed renewals, short enough that a user still waits
/// for whoever takes over.
pub const LEASE_MS: u64 = 30_000;
/// A step's result: PROTOCOL has no larger frame, and a row may have 2 MB.
pub const STEP_RESULT_BYTES: usize = 1024 * 1024;
/// Steps of a run by position, and as many by name: a replay reads them all.
pub const RUN_STEPS: u32 = 10_000;
/// A manifest as it is stored, which a row has beside a handle and attempts: as a turn's request.
pub const MANIFEST_BYTES: usize = REQUEST_BODY_BYTES;
/// Step bodies of a run at once: what a Worker may have of open connections is little more.
pub const MAX_PARALLEL: usize = 8;
/// Failed attempts that a step keeps, and so the most that a policy may ask for.
pub const STEP_FAILURES: usize = 32;
/// Begins of a step in a row without a result or a failure: what takes its process along each time
/// must not do so for ever.
pub const STEP_INTERRUPTIONS: u32 = 10;
/// A failed attempt's message, which stands in its step's row for ever.
pub const STEP_MESSAGE_BYTES: usize = 2 * 1024;
/// An author's code of a failure: the longest name that programs still branch on.
pub const CODE_BYTES: usize = 64;
/// A step's first wait before it is tried again.
pub const STEP_RETRY_FIRST_MS: u64 = 100;
/// Its longest one, unless its policy says otherwise.
pub const STEP_RETRY_MOST_MS: u64 = 1_000;
/// Repeats of a commit whose outcome nobody knows, before the run is left to whoever takes it next.
pub const COMMIT_TRIES: u32 = 4;
/// The wait before the first of them; it doubles.
pub const COMMIT_RETRY_MS: u64 = 100;
/// The time between two looks at a store that nobody watches.
pub const WAIT_POLL_MS: u64 = 1_000;
/// How long a worker goes on looking, unless it is asked for another time.
pub const WAIT_POLL_MOST_MS: u64 = 60_000;
/// A run's time without waiting, unless it is asked for another one.
pub const RUN_TIMEOUT_MS: u64 = 600_000;
/// Tries to have a finished turn saved, those that a crash cut short included: with the waits of
/// the back-off between them a minute and a half.
pub const PERSIST_TRIES: u32 = 12;
/// One try: as long as a database or an API may take on a bad day.
pub const PERSIST_TRY_MS: u64 = 30_000;
/// A hook whose failure is swallowed: nobody waits longer for what may fail.
pub const HOOK_MS: u64 = 10_000;
/// What is kept of a hook's own words.
pub const HOOK_MESSAGE_CHARS: usize = 500;
/// Messages of the session that a task may look at: a search, not an archive.
pub const TASK_MESSAGES: u32 = 1_000;
/// Their content in all, which is in memory at once.
pub const TASK_MESSAGES_BYTES: usize = 1 << 20;
/// A follower of a suspended run is cut after this long: PROTOCOL §2.3.
pub const SUSPENDED_FOLLOW_MS: u64 = 60_000;
/// The commit window of a turn without an object: each commit and each read of it is a call of D1,
/// of which an invocation has 1,000, and takes as long as a fifth of this.
pub const PLAIN_WINDOW_MS: u64 = 250;
/// How often a reader looks for lines that are written elsewhere.
pub const READER_POLL_MS: u64 = 1_000;
/// How often it looks in all before it has its client come back: with two queries each below the
/// 1,000 of an invocation.
pub const READER_POLLS: u32 = 400;
/// Calls to tell an upstream of a cancel when no object goes on telling: half a minute of them.
pub const PLAIN_CANCEL_TRIES: u32 = 7;
/// The longest wait between two of them: a request's task has no more time behind its answer.
pub const PLAIN_CANCEL_WAIT_MS: u64 = 30_000;
