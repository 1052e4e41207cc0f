//! What D1 refused, and why: writes that came twice, too late, or from who is no longer the writer.
//!
//! Owns the reading of each write that changed nothing, from its statement and from what D1 holds then. A
//! refusal that nothing of this explains is a fault of ours.

use super::chance::Chance;
use super::sites::Site;
use crate::support::{Fault, World};
use futures::executor::block_on;
use steadfast::store::{Statement, Store, Value};

/// Steps or events of one ship at most.
const ROWS_OF_SHIP: usize = 100;
/// Where a ship's run row has its line count and its rev.
const LINE_COUNT: usize = 18;
const REV: usize = 20;

/// Sees what became of every write of D1 from now on.
pub fn audit(world: &World, chance: &Chance) {
    let (there, chance) = (world.clone(), chance.clone());
    world.d1.audit(move |batch, outcomes, fault| {
        let is_late = matches!(fault, Some(Fault::LostAndLate(_) | Fault::Late(_)));
        let many = |what: &str| {
            let rows = batch.iter().filter(|one| one.sql.starts_with(what));
            rows.count() >= ROWS_OF_SHIP
        };
        if many("INSERT INTO steps") || many("INSERT INTO events") {
            chance.met(Site::ShipInParts);
        }
        let all = batch.iter().zip(outcomes);
        let mut refused = all.filter(|(_, outcome)| outcome.changes == 0);
        if let Some(site) = refused.find_map(|(one, _)| reason(&there, one, is_late)) {
            chance.met(site);
        }
    });
}

fn reason(world: &World, refused: &Statement, is_late: bool) -> Option<Site> {
    let params = refused.params.as_slice();
    match params {
        // What begins a run has other parameters.
        [
            Value::Text(run_id),
            Value::Integer(epoch),
            Value::Integer(seq),
            ..,
        ] if refused.sql.starts_with("INSERT INTO stream_log") => {
            Some(commit(world, run_id, (*epoch, *seq)))
        }
        [
            Value::Text(run_id),
            ..,
            Value::Text(session_key),
            Value::Text(birth),
        ] if refused.sql.contains("birth = ?29") => {
            let numbers = (params.get(REV)?, params.get(LINE_COUNT)?);
            Some(ship(world, run_id, (session_key, birth), numbers, is_late))
        }
        _ => None,
    }
}

/// A commit of the lines from `seq` on.
fn commit(world: &World, run_id: &str, (epoch, seq): (i64, i64)) -> Site {
    let durable = world.durable();
    let run = block_on(durable.run(run_id)).expect("D1 answers");
    let run = run.expect("who commits has a run");
    let end = block_on(durable.log_end(run_id)).expect("D1 answers");
    match run.epoch == epoch.unsigned_abs() {
        // Its own clock keeps a holder from writing behind its lease: what comes then was on its way.
        false => Site::FenceRejected,
        true => {
            assert!(
                end > seq.unsigned_abs(),
                "I1: a writer's own commit was refused"
            );
            Site::OwnCommitFound
        }
    }
}

/// A ship of the run's row.
fn ship(
    world: &World,
    run_id: &str,
    (session_key, birth): (&str, &str),
    numbers: (&Value, &Value),
    is_late: bool,
) -> Site {
    let durable = world.durable();
    let session = block_on(durable.session(session_key)).expect("D1 answers");
    let run = block_on(durable.run(run_id)).expect("D1 answers");
    let (Some(session), Some(run)) = (session, run) else {
        return Site::FenceRejected;
    };
    if session.birth != birth || session.first_turn > run.turn_index {
        return Site::FenceRejected;
    }
    let (Value::Integer(rev), Value::Integer(lines)) = numbers else {
        panic!("a ship names its rev and its lines");
    };
    let (rev, lines) = (rev.unsigned_abs(), lines.unsigned_abs());
    let held = (run.rev, run.state.line_count);
    if held.1 > lines && held.0 < rev {
        // A new life that doesn't know what D1 has.
        return Site::LateCommitCollided;
    }
    assert!(held >= (rev, lines), "I9: a newer ship was refused");
    match held == (rev, lines) && !is_late {
        true => Site::OwnCommitFound,
        false => Site::LateCommitCollided,
    }
}
