//! D1 as the store behind the objects: what ships leave there in any order, and the lists that cross sessions.
//!
//! Owns what one statement of a ship or an erasure promises, without an object. What becomes of a session is
//! `session/ship` and `session/delete`.

use super::record::{begin, message, run_state, step};
use super::sqlite;
use futures::executor::block_on;
use steadfast::ids::run_id;
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{
    EventRecord, LogHome, LogRow, Role, RunFilter, Section, Session, Shipment, SqlStore, Status,
    Store,
};

const KEY: &str = "t:s";
const ALL: u32 = 1_000;

type D1 = SqlStore<NativeSqlite>;

fn d1() -> D1 {
    sqlite(Section::D1)
}

fn line(seq: u64) -> String {
    format!("line-{seq}\n")
}

/// The lines from one seq to before another, as one row.
fn row(from: u64, to: u64) -> LogRow {
    let ids: Vec<String> = (from..to).map(|seq| format!("f{seq}")).collect();
    LogRow {
        first_seq: from,
        count: to - from,
        epoch: 1,
        attempt: 1,
        cursor: ids.last().cloned(),
        frame_ids: serde_json::to_string(&ids).expect("ids are text"),
        lines: (from..to).map(line).collect(),
    }
}

/// A ship of a finished turn, whole, with a row of every kind.
fn shipment(session_key: &str, turn: u64, created_at: i64) -> Shipment {
    let begun = begin(session_key, turn, created_at);
    let session = Session {
        birth: "birth".to_owned(),
        ..begun.session
    };
    let mut run = begun.run;
    run.state = run_state(Status::Completed, 2, created_at);
    run.log_home = LogHome::D1;
    run.rev = 5;
    Shipment {
        session,
        run,
        from_seq: 0,
        log: vec![row(0, 2)],
        messages: vec![begun.message, message(turn, Role::Assistant, "\"a\"")],
        steps: vec![step(0, "turn", "completed")],
        events: vec![EventRecord {
            key: "k".to_owned(),
            payload: "1".to_owned(),
            rev: 3,
            emitted_at: 1,
        }],
    }
}

/// A ship of a running turn's lines, cut so into rows.
fn lines(rev: u64, rows: &[LogRow]) -> Shipment {
    let whole = shipment(KEY, 0, 1);
    let end = rows.last().map_or(0, LogRow::next_seq);
    let mut run = whole.run.clone();
    run.state = run_state(Status::Running, end, 1);
    run.rev = rev;
    Shipment {
        run,
        from_seq: rows.first().map_or(0, |row| row.first_seq),
        log: rows.to_vec(),
        messages: vec![],
        steps: vec![],
        events: vec![],
        ..whole
    }
}

fn ship(d1: &D1, shipment: &Shipment) {
    block_on(d1.ship(shipment)).expect("D1 answers");
}

/// All that D1 has of a session's runs, each of which has one row of every kind.
fn sight(d1: &D1, session_key: &str) -> (usize, usize, usize, usize, usize) {
    let read = async {
        let runs = d1.runs(session_key, 0, ALL).await?;
        let (mut rows, mut steps, mut events) = (0, 0, 0);
        for turn in 0..10 {
            let id = run_id(session_key, turn);
            rows += d1.log(&id, 0, ALL).await?.len();
            steps += d1.steps(&id, 0, ALL).await?.len();
            events += d1.events_since(&id, 0, ALL).await?.len();
        }
        let messages = d1.messages(session_key, None, ALL).await?.len();
        Ok::<_, steadfast::store::Error>((runs.len(), rows, steps, events, messages))
    };
    block_on(read).expect("D1 answers")
}

/// D1 is known to have the lines before `known`; a ship of those before `sent` landed, but its answer was lost.
#[test]
fn a_ship_behind_one_whose_answer_was_lost_leaves_every_line_once() {
    let end = 6;
    for known in 0..end {
        for sent in known..=end {
            for cut in known + 1..=end {
                let d1 = d1();
                if known > 0 {
                    ship(&d1, &lines(1, &[row(0, known)]));
                }
                if sent > known {
                    ship(&d1, &lines(2, &[row(known, sent)]));
                }
                let mut rows = vec![row(known, cut)];
                rows.extend((cut < end).then(|| row(cut, end)));
                ship(&d1, &lines(3, &rows));
                let log = block_on(d1.log(&run_id(KEY, 0), 0, ALL)).expect("D1 answers");
                let text: String = log.iter().map(|row| row.lines.as_str()).collect();
                let expected: String = (0..end).map(line).collect();
                assert_eq!(text, expected, "known {known}, sent {sent}, cut at {cut}");
                let starts: Vec<u64> = log.iter().map(|row| row.first_seq).collect();
                let ends = log.iter().map(LogRow::next_seq);
                let joints: Vec<u64> = [0].into_iter().chain(ends).collect();
                assert_eq!(starts, joints[..starts.len()]);
            }
        }
    }
}

/// What has become of a deleted session when a ship arrives that was on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Buried,
    Erased,
    TwiceErased,
}

#[test]
fn a_ship_that_lands_late_brings_nothing_of_a_deleted_session_back() {
    use Fate::{Buried, Erased, TwiceErased};
    for found in [Buried, Erased, TwiceErased] {
        for shipped_before in [false, true] {
            let d1 = d1();
            ship(&d1, &shipment(KEY, 0, 1));
            // The turn that was the last one: what is late is the first or another ship of it.
            let mut late = shipment(KEY, 1, 2);
            if shipped_before {
                ship(&d1, &late);
                late.run.rev += 1;
            }
            let buried = Session {
                first_turn: 2,
                deleted_at: Some(9),
                ..late.session.clone()
            };
            let land = |at| {
                if found == at {
                    ship(&d1, &late);
                }
            };
            block_on(d1.set_tombstone(&buried, 9)).expect("D1 answers");
            land(Buried);
            while block_on(d1.erase_runs(KEY, 2, 1)).expect("D1 answers") > 0 {}
            land(Erased);
            block_on(d1.set_tombstone(&buried, 9)).expect("D1 answers");
            land(TwiceErased);
            let what = format!("{found:?}, shipped before: {shipped_before}");
            assert_eq!(sight(&d1, KEY), (0, 0, 0, 0, 0), "{what}");
            let session = block_on(d1.session(KEY)).expect("D1 answers");
            let session = session.expect("there is a tombstone");
            assert_eq!((session.turn_count, session.first_turn), (2, 2), "{what}");
            assert!(session.deleted_at.is_some(), "{what}");
            let listed = block_on(d1.list_runs("t", "t:", &RunFilter::default(), ALL));
            assert_eq!(listed, Ok(vec![]), "{what}");
            // A turn that begins anew is none of those.
            let mut next = shipment(KEY, 2, 10);
            next.session.first_turn = 2;
            ship(&d1, &next);
            ship(&d1, &late);
            assert_eq!(sight(&d1, KEY), (1, 1, 1, 1, 2), "{what}");
            let session = block_on(d1.session(KEY)).expect("D1 answers");
            assert_eq!(session.and_then(|session| session.deleted_at), None);
        }
    }
}

/// Keys that begin alike: a tenant's session, and those of a project that is named like the tenant.
#[test]
fn an_erasure_takes_the_runs_of_its_own_session_and_of_no_key_that_begins_alike() {
    let keys = ["a:s", "a:s:x", "a:s:0", "a:s:0:0", "a:s1", "a:sx", "b:a:s"];
    for erased in keys {
        let d1 = d1();
        for key in keys {
            for turn in 0..3 {
                ship(&d1, &shipment(key, turn, 1));
            }
        }
        while block_on(d1.erase_runs(erased, 2, 1)).expect("D1 answers") > 0 {}
        for key in keys {
            let left = if key == erased { 1 } else { 3 };
            let expected = (left, left, left, left, 2 * left);
            assert_eq!(sight(&d1, key), expected, "{key} when {erased} is erased");
        }
    }
}

#[test]
fn a_tenants_runs_come_once_each_newest_first_whatever_the_page_and_the_times() {
    let d1 = d1();
    // Many of one millisecond, and some of others before and behind it.
    let times = [3, 5, 5, 5, 5, 5, 7, 7, 9];
    let mut expected = Vec::new();
    for (n, created_at) in times.into_iter().enumerate() {
        let key = format!("t:s{n}");
        ship(&d1, &shipment(&key, 0, created_at));
        expected.push((created_at, run_id(&key, 0)));
    }
    expected.sort();
    expected.reverse();
    for limit in 1..=times.len() as u32 + 1 {
        let mut found = Vec::new();
        let mut filter = RunFilter::default();
        loop {
            let page = block_on(d1.list_runs("t", "t:", &filter, limit)).expect("D1 answers");
            assert!(page.len() as u64 <= u64::from(limit));
            let Some(last) = page.last() else { break };
            filter.after = Some((last.created_at, last.run_id.clone()));
            found.extend(page.into_iter().map(|run| (run.created_at, run.run_id)));
        }
        assert_eq!(found, expected, "pages of {limit}");
    }
}
