//! A row that can't be read is said to be corrupt, and hides nothing but itself.
//!
//! Owns what the contract's cases can't write: rows that no operation would store.

use super::record::{begin, message};
use super::{SECTIONS, sqlite};
use futures::executor::block_on;
use steadfast::ids::run_id;
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{
    Begun, Corrupt, Driver, Error, Fence, Held, Policy, Role, Run, Section, SqlStore, Statement,
    Store,
};

const KEY: &str = "t:s";

/// A turn with an event and a key, then `sql` done to its rows.
fn broken(section: Section, sql: &'static str) -> SqlStore<NativeSqlite> {
    let store = sqlite(section);
    let mut turn = begin(KEY, 0, 1);
    turn.run.key = Some("key".to_owned());
    assert_eq!(block_on(store.begin(&turn)), Ok(Begun::Begun));
    block_on(store.emit_event(&id(), "event", "1", 2)).expect("the run is open");
    let batch = vec![Statement {
        sql,
        params: vec![],
    }];
    let outcomes = block_on(store.driver().apply(batch)).expect("the columns are there");
    assert_eq!(outcomes[0].changes, 1, "{sql}");
    store
}

fn id() -> String {
    run_id(KEY, 0)
}

fn corrupt<T>(table: &'static str, column: usize, key: &str) -> Result<T, Error> {
    Err(Error::Corrupt(Corrupt {
        table,
        column,
        key: key.to_owned(),
    }))
}

/// The log, the transcript, the session and the event are read as ever.
fn check_the_rest(store: &SqlStore<NativeSqlite>) {
    let turn = begin(KEY, 0, 1);
    let log = block_on(store.log(&id(), 0, 9)).expect("the log is whole");
    let lines: Vec<&str> = log.iter().map(|row| row.lines.as_str()).collect();
    assert_eq!(lines, [turn.first.text]);
    assert_eq!(block_on(store.log_end(&id())), Ok(1));
    let messages = Ok(vec![message(0, Role::User, "\"1\"")]);
    assert_eq!(block_on(store.messages(KEY, None, 9)), messages);
    assert_eq!(block_on(store.session(KEY)), Ok(Some(turn.session)));
    let event = block_on(store.event(&id(), "event")).map(|event| event.map(|event| event.payload));
    assert_eq!(event, Ok(Some("1".to_owned())));
}

#[test]
fn a_corrupt_run_names_its_table_and_key_and_its_log_stays_readable() {
    for section in SECTIONS {
        for (sql, column) in [
            ("UPDATE runs SET attempts = '[{'", 10),
            ("UPDATE runs SET epoch = -1", 11),
            ("UPDATE runs SET handle = 'null and void'", 14),
            ("UPDATE runs SET outcome = '{\"textUnits\":-1}'", 15),
            ("UPDATE runs SET last_error = '7'", 17),
            ("UPDATE runs SET cancel = '{}'", 21),
        ] {
            let store = broken(section, sql);
            let no_run: Result<Option<Run>, Error> = corrupt("runs", column, &id());
            assert_eq!(block_on(store.run(&id())), no_run, "{sql}");
            let by_key = block_on(store.run_by_key(KEY, "key"));
            assert_eq!(by_key, no_run, "{sql}");
            let listed = block_on(store.runs(KEY, 0, 9));
            assert_eq!(listed, corrupt("runs", column, &id()), "{sql}");
            check_the_rest(&store);
            let steps = block_on(store.steps(&id(), 0, 9)).map(|steps| steps.len());
            assert_eq!(steps, Ok(1), "{sql}");
        }
    }
}

#[test]
fn a_corrupt_run_is_not_taken_for_another_answer() {
    for section in SECTIONS {
        let store = broken(section, "UPDATE runs SET attempts = '[{'");
        let held = Held {
            fence: Fence { epoch: 9 },
            holder: "nobody",
        };
        let renewed = block_on(store.renew(&id(), held, 9));
        assert_eq!(renewed, corrupt("runs", 10, &id()));
        // What asks nothing of the broken column goes on.
        let taken = block_on(store.acquire(&id(), Policy::Sole, "a", 3));
        assert_eq!(taken, Ok(Fence { epoch: 2 }));
    }
}

#[test]
fn a_corrupt_step_names_its_table_and_key_and_its_run_stays_readable() {
    for section in SECTIONS {
        for (sql, column) in [
            ("UPDATE steps SET attempts = -1", 4),
            ("UPDATE steps SET started_at = 'noon'", 8),
            ("UPDATE steps SET detail = '{\"failures\":3}'", 10),
        ] {
            let store = broken(section, sql);
            let steps = block_on(store.steps(&id(), 0, 9));
            assert_eq!(steps, corrupt("steps", column, "0"), "{sql}");
            check_the_rest(&store);
            // Only this step: a page that begins behind it is whole.
            assert_eq!(block_on(store.steps(&id(), 1, 9)), Ok(vec![]), "{sql}");
            let run = block_on(store.run(&id())).map(|run| run.map(|run| run.run_id));
            assert_eq!(run, Ok(Some(id())), "{sql}");
        }
    }
}
