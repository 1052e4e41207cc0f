//! What a ship carries and what its answer means, pure.
//!
//! Invariant: every prefix that is shipped is a correct resume point: its run row tells of no
//! attempt and no ending that its lines don't have.

use crate::caps;
use crate::ids;
use crate::store::{Handle, LogRow, Run, Stands, Status};

/// Joins log rows for D1: fewer, larger rows; rows of different attempts stay apart.
pub fn pack(rows: Vec<LogRow>, from_seq: u64) -> Vec<LogRow> {
    let mut packed: Vec<LogRow> = Vec::new();
    for row in rows {
        if row.next_seq() <= from_seq {
            continue;
        }
        let Some(last) = packed.last_mut().filter(|last| {
            last.attempt == row.attempt
                && last.lines.len().saturating_add(row.lines.len()) <= caps::SHIP_BYTES
        }) else {
            packed.push(row);
            continue;
        };
        last.count += row.count;
        last.epoch = row.epoch;
        if row.cursor.is_some() {
            last.cursor = row.cursor;
        }
        last.frame_ids = join_arrays(&last.frame_ids, &row.frame_ids);
        last.lines.push_str(&row.lines);
    }
    packed
}

/// `[a]` and `[b]` to `[a,b]`, without reading what is inside.
fn join_arrays(first: &str, second: &str) -> String {
    let inside = |text: &str| -> String {
        text.strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or_default()
            .to_owned()
    };
    match (inside(first), inside(second)) {
        (a, b) if a.is_empty() => format!("[{b}]"),
        (a, b) if b.is_empty() => format!("[{a}]"),
        (a, b) => format!("[{a},{b}]"),
    }
}

/// The run's row as it is true for lines up to `end`: all there is when `whole`, and otherwise a
/// prefix whose last line is of `attempt`.
pub fn as_of(run: &Run, end: u64, whole: bool, attempt: u32) -> Run {
    let mut run = run.clone();
    run.state.line_count = end;
    if whole {
        return run;
    }
    // A later ship has the same rev with more lines, or the next rev: both outdo this one.
    run.rev = run.rev.saturating_sub(1);
    run.upstream_cancel = None;
    run.state.attempts.retain(|known| known.number <= attempt);
    let waited_ms = run.state.handle.map_or(0, |handle| handle.waited_ms);
    run.state.handle = Some(Handle {
        waited_ms,
        ..Handle::new(ids::execution_id(&run.run_id, attempt), attempt)
    });
    if run.state.status != Status::Running {
        run.state.status = Status::Running;
        run.state.wake_at = Some(run.updated_at);
        run.state.finished_at = None;
        run.state.outcome = None;
    }
    run
}

/// What a ship's answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// D1 holds at least this much of the run.
    Holds {
        /// The rev.
        rev: u64,
        /// The lines.
        lines: u64,
    },
    /// Another life of this session owns it: stop.
    Replaced,
    /// This session has erased the turn while the ship was under way.
    Erased,
    /// D1 has the session as ours, but not this run: try again.
    Absent,
}

/// Judges what D1 holds after a ship of `run` by the life `birth`.
pub fn judge(birth: &str, run: &Run, held: Option<&Stands>) -> Verdict {
    match held {
        None => Verdict::Absent,
        Some(held) if held.birth != birth => Verdict::Replaced,
        Some(held) if held.first_turn > run.turn_index => Verdict::Erased,
        Some(held) => match held.run {
            Some((rev, lines)) => Verdict::Holds { rev, lines },
            None => Verdict::Absent,
        },
    }
}

/// The wait after this many failed ships in a row, in ms.
pub fn retry_ms(failures: u32, full: bool) -> u64 {
    if full {
        return caps::SHIP_FULL_RETRY_MS;
    }
    let doublings = failures.saturating_sub(1).min(16);
    (caps::SHIP_RETRY_FIRST_MS << doublings).min(caps::SHIP_RETRY_MOST_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Attempt, LogHome, RunState};
    use proptest::prelude::*;

    fn row(first_seq: u64, attempt: u32, lines: &str) -> LogRow {
        let count = lines.matches('\n').count();
        LogRow {
            first_seq,
            count: count as u64,
            epoch: 1,
            attempt,
            cursor: Some(format!("c{first_seq}")),
            frame_ids: serde_json::to_string(&vec![Some(first_seq.to_string()); count]).unwrap(),
            lines: lines.to_owned(),
        }
    }

    fn run(status: Status) -> Run {
        let attempt = |number| Attempt {
            number,
            reason: String::new(),
            started_at: 0,
        };
        Run {
            run_id: "t:s:0".into(),
            tenant: "t".into(),
            session: "s".into(),
            turn_index: 0,
            user: None,
            key: None,
            input_hash: String::new(),
            request: String::new(),
            upstream: String::new(),
            created_at: 0,
            state: RunState {
                status,
                attempts: vec![attempt(1), attempt(2)],
                handle: None,
                outcome: None,
                usage: None,
                last_error: None,
                line_count: 9,
                wake_at: None,
                finished_at: Some(7),
            },
            epoch: 1,
            lease: None,
            cancel: None,
            upstream_cancel: None,
            log_home: LogHome::Object,
            rev: 5,
            updated_at: 3,
        }
    }

    #[test]
    fn rows_of_one_attempt_are_joined_and_shipped_ones_left_out() {
        let rows = vec![
            row(0, 1, "a\n"),
            row(1, 1, "b\nc\n"),
            row(3, 1, "d\n"),
            row(4, 2, "e\n"),
        ];
        let packed = pack(rows, 1);
        assert_eq!(packed.len(), 2);
        assert_eq!(packed[0].first_seq, 1);
        assert_eq!(packed[0].count, 3);
        assert_eq!(packed[0].lines, "b\nc\nd\n");
        assert_eq!(packed[0].frame_ids, r#"["1","1","3"]"#);
        assert_eq!(packed[0].cursor.as_deref(), Some("c3"));
        assert_eq!(packed[1].lines, "e\n");
    }

    #[test]
    fn a_packed_row_is_bounded() {
        let big = format!("{}\n", "x".repeat(caps::SHIP_BYTES - 2));
        let packed = pack(vec![row(0, 1, &big), row(1, 1, "b\n"), row(2, 1, "c\n")], 0);
        assert_eq!(
            packed.iter().map(|row| row.count).collect::<Vec<_>>(),
            [1, 2]
        );
    }

    proptest! {
        /// Rows of a log whose attempts only grow, and how many of its lines were shipped in whole rows.
        #[test]
        fn packed_rows_say_of_each_attempt_what_its_rows_said(
            cut in proptest::collection::vec((1_u64..4, 0_u32..2, 0_usize..3), 1..12),
            shipped in 0_usize..12,
        ) {
            let (mut rows, mut seq, mut attempt) = (Vec::new(), 0, 1);
            for (count, more, large) in cut {
                attempt += more;
                let text = "x".repeat(large * caps::SHIP_BYTES / 4);
                let lines: String = (0..count).map(|n| format!("{seq}.{n}{text}\n")).collect();
                rows.push(row(seq, attempt, &lines));
                seq += count;
            }
            let from_seq = rows.get(shipped).map_or(seq, |row| row.first_seq);
            let told = |rows: &[LogRow]| -> Vec<(u32, String, Vec<String>, Option<String>)> {
                let mut told: Vec<(u32, String, Vec<String>, Option<String>)> = Vec::new();
                for row in rows {
                    let ids: Vec<String> = serde_json::from_str(&row.frame_ids).unwrap();
                    match told.last_mut().filter(|last| last.0 == row.attempt) {
                        Some(last) => {
                            last.1.push_str(&row.lines);
                            last.2.extend(ids);
                            last.3.clone_from(&row.cursor);
                        }
                        None => told.push((row.attempt, row.lines.clone(), ids, row.cursor.clone())),
                    }
                }
                told
            };
            let left: Vec<LogRow> =
                rows.iter().filter(|row| row.first_seq >= from_seq).cloned().collect();
            let packed = pack(rows, from_seq);
            prop_assert_eq!(told(&packed), told(&left));
            let mut next = from_seq;
            for row in &packed {
                prop_assert_eq!((row.first_seq, row.lines.matches('\n').count() as u64), (next, row.count));
                next = row.next_seq();
            }
            prop_assert_eq!(next, seq);
        }
    }

    /// Whatever the run has come to, who reads a part of it goes on with it: a suspended one, too, of whose
    /// steps the wait may not be there yet.
    #[test]
    fn a_part_of_a_run_is_one_that_runs() {
        for status in [
            Status::Queued,
            Status::Running,
            Status::Suspended,
            Status::Completed,
            Status::Failed,
            Status::Cancelled,
        ] {
            let mut whole = run(status);
            whole.state.wake_at = Some(99);
            let part = as_of(&whole, 4, false, 1).state;
            assert_eq!(part.status, Status::Running, "{status:?}");
            let due = match status {
                Status::Running => whole.state.wake_at,
                // At once.
                _ => Some(whole.updated_at),
            };
            assert_eq!((part.wake_at, part.outcome), (due, None), "{status:?}");
            assert_eq!(as_of(&whole, 9, true, 2), whole, "{status:?}");
        }
    }

    #[test]
    fn a_partial_ship_tells_of_no_ending_and_no_later_attempt() {
        let mut whole = run(Status::Completed);
        whole.state.handle = Some(Handle {
            waited_ms: 77,
            ..Handle::new("t:s:0:a2".into(), 2)
        });
        let last = as_of(&whole, 9, true, 2);
        assert_eq!(last, whole);
        let part = as_of(&whole, 4, false, 1);
        assert_eq!(part.state.status, Status::Running);
        assert_eq!(part.state.finished_at, None);
        assert_eq!(part.state.line_count, 4);
        assert_eq!(part.state.attempts.len(), 1);
        assert_eq!(
            part.state
                .handle
                .map(|handle| (handle.execution_id, handle.attempt, handle.waited_ms)),
            Some(("t:s:0".into(), 1, 77)),
            "the first attempt's, and what the run has waited in all"
        );
        assert_eq!(part.rev, 4);
        assert!(part.state.wake_at.is_some());
    }

    #[test]
    fn an_answer_is_judged_by_birth_first() {
        let held = |birth: &str, first_turn, run| Stands {
            birth: birth.into(),
            first_turn,
            run,
        };
        let run = run(Status::Running);
        for (held, expected) in [
            (None, Verdict::Absent),
            (Some(held("other", 0, Some((5, 9)))), Verdict::Replaced),
            (Some(held("mine", 1, Some((5, 9)))), Verdict::Erased),
            (Some(held("mine", 0, None)), Verdict::Absent),
            (
                Some(held("mine", 0, Some((6, 12)))),
                Verdict::Holds { rev: 6, lines: 12 },
            ),
        ] {
            assert_eq!(judge("mine", &run, held.as_ref()), expected);
        }
    }

    #[test]
    fn a_full_d1_is_not_retried_hot() {
        assert_eq!(retry_ms(1, false), 1_000);
        assert_eq!(retry_ms(3, false), 4_000);
        assert_eq!(retry_ms(99, false), 60_000);
        assert_eq!(retry_ms(1, true), 300_000);
    }
}
