//! What must hold of a world that has come to rest.
//!
//! Owns the reading of both stores through the store contract, and the comparison of what they
//! hold.

use super::object::Object;
use super::world::World;
use futures::executor::block_on;
use std::fmt::Debug;
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{
    EventRecord, LogHome, LogRow, Message, Run, Section, Session, SqlStore, Step, Store,
};
use steadfast::wire::line;

const ALL: u32 = 100_000;

/// Everything that one store holds of a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dump {
    /// Its row.
    pub session: Option<Session>,
    /// Its runs by turn, each with its log's text and its steps.
    pub runs: Vec<(Run, String, Vec<Step>)>,
    /// Its runs' logs as the upstream's attempts gave them, by turn and attempt.
    pub attempts: Vec<Told>,
    /// The events of its runs, by turn, each run's by their rev.
    pub events: Vec<(u64, EventRecord)>,
    /// Its transcript.
    pub messages: Vec<Message>,
    /// How many rows its object still has to ship.
    pub unshipped: usize,
}

/// What a log holds of one attempt, however it was cut into rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The turn.
    pub turn: u64,
    /// The attempt.
    pub attempt: u32,
    /// The epoch that wrote its last line.
    pub epoch: u64,
    /// The upstream's last frame id.
    pub cursor: Option<String>,
    /// The frame's id of each line.
    pub frame_ids: Vec<Option<String>>,
    /// Its lines.
    pub lines: String,
}

/// Where the two stores of a session may differ, and why. Everything else must be alike.
pub const DIFFERS: &[(&str, &str)] = &[
    ("runs.log_home", "it says which store this is"),
    (
        "runs.lease_holder",
        "the object's own token of its acquisition",
    ),
    ("runs.lease_until", "an object's acquisition has no end"),
    (
        "stream_log.first_seq",
        "D1 has fewer, larger rows; their lines are compared",
    ),
    (
        "stream_log.count",
        "D1 has fewer, larger rows; their lines are compared",
    ),
    (
        "schema_info.version",
        "each database is migrated by whoever opens it",
    ),
    (
        "schema_info.applied_at",
        "each database was made at its own time",
    ),
];

/// Tables that one store has alone, and why.
pub const ALONE: &[(&str, &str)] = &[("unshipped", "what the object has still to tell D1")];

/// Reads a session; nothing when there is no schema yet.
pub fn dump(database: NativeSqlite, section: Section, session_key: &str) -> Dump {
    let store = SqlStore::new(database, section);
    let read = async {
        if !store.has_schema().await? {
            return Ok(Dump::default());
        }
        let (mut runs, mut attempts, mut events) = (Vec::new(), Vec::new(), Vec::new());
        for run in store.runs(session_key, 0, ALL).await? {
            let rows = store.log(&run.run_id, 0, ALL).await?;
            let mut at = 0;
            for row in &rows {
                assert_eq!(
                    row.first_seq, at,
                    "{section:?}: a gap or an overlap in {}",
                    run.run_id
                );
                assert_eq!(row.lines.matches('\n').count() as u64, row.count);
                at = row.next_seq();
            }
            let text = rows.iter().map(|row| row.lines.as_str()).collect();
            let steps = store.steps(&run.run_id, 0, ALL).await?;
            let emitted = store.events_since(&run.run_id, 0, ALL).await?;
            events.extend(emitted.into_iter().map(|event| (run.turn_index, event)));
            attempts.extend(told(run.turn_index, &rows));
            runs.push((run, text, steps));
        }
        Ok(Dump {
            session: store.session(session_key).await?,
            runs,
            attempts,
            events,
            messages: store.messages(session_key, None, ALL).await?,
            unshipped: match section {
                Section::Object => store.unshipped(ALL).await?.len(),
                Section::D1 => 0,
            },
        })
    };
    let read: Result<Dump, steadfast::store::Error> = block_on(read);
    read.expect("the database answers")
}

impl Object {
    /// Everything that its storage holds.
    pub fn dump(&self) -> Dump {
        dump(self.storage(), Section::Object, &self.session_key())
    }

    /// The seqs at which its storage's rows of a run's log begin.
    pub fn row_starts(&self, run_id: &str) -> Vec<u64> {
        let store = SqlStore::new(self.storage(), Section::Object);
        let rows = block_on(store.log(run_id, 0, ALL));
        // One that was never asked has no tables.
        let rows = rows.unwrap_or_default();
        rows.iter().map(|row| row.first_seq).collect()
    }

    /// How many rows its storage has a run's log in.
    pub fn log_rows(&self, run_id: &str) -> usize {
        let store = SqlStore::new(self.storage(), Section::Object);
        let rows = block_on(store.log(run_id, 0, ALL));
        rows.expect("the storage answers").len()
    }
}

impl World {
    /// Everything that D1 holds of an object's session.
    pub fn dump(&self, object: &Object) -> Dump {
        dump(self.d1.database(), Section::D1, &object.session_key())
    }
}

/// The rows of a log by the attempts that they are of.
fn told(turn: u64, rows: &[LogRow]) -> Vec<Told> {
    let mut all: Vec<Told> = Vec::new();
    for row in rows {
        if all.last().is_none_or(|last| last.attempt != row.attempt) {
            all.push(Told {
                turn,
                attempt: row.attempt,
                epoch: 0,
                cursor: None,
                frame_ids: Vec::new(),
                lines: String::new(),
            });
        }
        let last = all.last_mut().expect("there is one");
        let ids: Vec<Option<String>> = serde_json::from_str(&row.frame_ids).expect("ids are JSON");
        assert_eq!(ids.len() as u64, row.count, "an id or null a line");
        last.frame_ids.extend(ids);
        last.lines += &row.lines;
        last.epoch = row.epoch;
        if row.cursor.is_some() {
            last.cursor.clone_from(&row.cursor);
        }
    }
    all
}

/// Notes it where two facts differ.
fn differ<T: PartialEq + Debug>(found: &mut Vec<String>, what: &str, ours: &T, theirs: &T) {
    if ours != theirs {
        found.push(format!("{what}: {ours:?} in the object, {theirs:?} in D1"));
    }
}

/// Where D1's dump isn't the object's.
pub fn differences(ours: &Dump, theirs: &Dump) -> Vec<String> {
    let mut found = Vec::new();
    differ(&mut found, "the session", &ours.session, &theirs.session);
    differ(&mut found, "messages", &ours.messages, &theirs.messages);
    differ(&mut found, "runs", &ours.runs.len(), &theirs.runs.len());
    for ((our_run, _, our_steps), (their_run, their_log, their_steps)) in
        ours.runs.iter().zip(&theirs.runs)
    {
        let mut expected = our_run.clone();
        let is_expired = their_run.log_home == LogHome::Expired;
        expected.log_home = match is_expired {
            true => LogHome::Expired,
            false => LogHome::D1,
        };
        expected.lease.clone_from(&their_run.lease);
        differ(&mut found, "a run", &expected, their_run);
        let lines = match is_expired {
            true => their_run.state.line_count,
            false => their_log.lines().count() as u64,
        };
        let counted = their_run.state.line_count;
        differ(&mut found, "a line count", &lines, &counted);
        // A life that took a finished turn over from D1 left its lines there.
        if our_run.log_home != LogHome::Object {
            continue;
        }
        differ(&mut found, "steps", our_steps, their_steps);
        let turn = our_run.turn_index;
        let told = |dump: &Dump| -> Vec<Told> {
            let all = dump.attempts.iter().filter(|told| told.turn == turn);
            all.cloned().collect()
        };
        if !is_expired {
            differ(&mut found, "a log", &told(ours), &told(theirs));
        }
        let events = |dump: &Dump| -> Vec<EventRecord> {
            let all = dump.events.iter().filter(|(of, _)| *of == turn);
            all.map(|(_, event)| event.clone()).collect()
        };
        differ(&mut found, "events", &events(ours), &events(theirs));
    }
    found
}

/// D1 holds what the object holds: all of it, and nothing else.
pub fn assert_shipped(world: &World, object: &Object) {
    let (ours, theirs) = (object.dump(), world.dump(object));
    assert_eq!(ours.unshipped, 0, "something is left to ship");
    assert_eq!(differences(&ours, &theirs), [] as [&str; 0]);
    for (run, log, _) in &theirs.runs {
        if run.state.status.is_terminal() && run.log_home == LogHome::D1 {
            lines_of(log);
        }
    }
}

/// The types of a log's lines, which must be numbered from 0 and end with one terminal line.
pub fn lines_of(log: &str) -> Vec<String> {
    let mut kinds = Vec::new();
    for (seq, text) in log.lines().enumerate() {
        assert!(
            text.starts_with(&format!("{{\"seq\":{seq},")),
            "line {seq} of {log}"
        );
        let (kind, _) = line::parse_kind_and_data(text).expect("a line has a type");
        kinds.push(kind.to_owned());
    }
    let terminals: Vec<usize> = (0..kinds.len())
        .filter(|at| line::is_terminal(&kinds[*at]))
        .collect();
    assert_eq!(
        terminals,
        [kinds.len() - 1],
        "one ending, and nothing behind it: {log}"
    );
    kinds
}
