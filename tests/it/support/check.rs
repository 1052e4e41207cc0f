//! What must hold of a world that has come to rest.
//!
//! Owns the reading of both stores through the store contract, and the comparison of what they
//! hold.

use super::object::Object;
use super::world::World;
use futures::executor::block_on;
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{LogHome, Message, Run, Section, Session, SqlStore, Step, Store};
use steadfast::wire::line;

const ALL: u32 = 100_000;

/// Everything that one store holds of a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dump {
    /// Its row.
    pub session: Option<Session>,
    /// Its runs by turn, each with its log's text and its steps.
    pub runs: Vec<(Run, String, Vec<Step>)>,
    /// Its transcript.
    pub messages: Vec<Message>,
    /// How many rows its object still has to ship.
    pub unshipped: usize,
}

/// Reads a session; nothing when there is no schema yet.
pub fn dump(database: NativeSqlite, section: Section, session_key: &str) -> Dump {
    let store = SqlStore::new(database, section);
    let read = async {
        if !store.has_schema().await? {
            return Ok(Dump::default());
        }
        let mut runs = Vec::new();
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
            runs.push((run, text, steps));
        }
        Ok(Dump {
            session: store.session(session_key).await?,
            runs,
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

/// D1 holds what the object holds: all of it, and nothing else.
pub fn assert_shipped(world: &World, object: &Object) {
    let (ours, theirs) = (object.dump(), world.dump(object));
    assert_eq!(ours.unshipped, 0, "something is left to ship");
    assert_eq!(ours.session, theirs.session);
    assert_eq!(ours.messages, theirs.messages);
    assert_eq!(ours.runs.len(), theirs.runs.len());
    for ((our_run, our_log, our_steps), (their_run, their_log, their_steps)) in
        ours.runs.iter().zip(&theirs.runs)
    {
        let mut expected = our_run.clone();
        expected.log_home = LogHome::D1;
        // A lease is the object's own token of its acquisition.
        expected.lease.clone_from(&their_run.lease);
        assert_eq!(*their_run, expected);
        // A life that took a finished turn over from D1 left its lines there.
        if our_run.log_home == LogHome::Object {
            assert_eq!(their_log, our_log);
            assert_eq!(their_steps, our_steps);
        }
        assert_eq!(their_log.lines().count() as u64, their_run.state.line_count);
        if their_run.state.status.is_terminal() {
            lines_of(their_log);
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
