//! Who drains a turn when two Workers may: renewals by time, takeovers, and those who lost.

use super::{
    RUN, Reading, Stay, ask, ask_and_stay, assert_completed, assert_one_writer_at_a_time,
    everything, input, refusing, rows, stored, whole_log, writes,
};
use crate::support::{Behaviour, Fault, Script, TENANT, Worker, World};
use futures::executor::block_on;
use steadfast::caps;
use steadfast::plain::{TurnTerms, resume_turn};
use steadfast::store::{Statement, Status, Store};
use steadfast::turn::NoHooks;

fn renews(batch: &[Statement]) -> bool {
    batch
        .iter()
        .any(|statement| statement.sql.contains("SET lease_until = ?4"))
}

fn resume(worker: &Worker) -> crate::support::Outcome<bool> {
    let there = worker.clone();
    worker.run(async move {
        let terms = TurnTerms::default();
        let resumed = resume_turn(
            &there.ports,
            &there.store,
            RUN,
            there.sandbox(),
            NoHooks,
            &terms,
        );
        resumed.await.expect("D1 answers")
    })
}

/// T15: the origin's second insert failed with a constraint's own words.
#[test]
fn two_racing_first_starts_have_one_winner_and_one_lease_held() {
    for seed in 0..20 {
        let world = World::new(seed);
        let readings = [world.worker(), world.worker()].map(|worker| ask(&worker, refusing()));
        world.settle();
        let mut briefs = readings.map(|reading| reading.brief());
        briefs.sort();
        assert_eq!(briefs, ["fresh", "lease_held"]);
        assert_completed(&world);
    }
}

/// T9: the origin's fetch and alarm had one worker's name, and drove one run twice.
#[test]
fn the_same_worker_does_not_enter_its_own_lease_again() {
    let world = World::new(0);
    let worker = world.worker();
    let first = ask(&worker, input());
    world.run_for(200);
    let again = ask(&worker, refusing());
    let joining = ask(&worker, input());
    world.settle();
    assert_eq!(again.brief(), "lease_held");
    assert_eq!(
        (first.brief(), joining.brief()),
        ("fresh".into(), "joined".into())
    );
    assert_eq!(joining.log(), first.log());
    assert!(joining.has_ended());
    assert_eq!(stored(&world).epoch, 1);
    assert_eq!(world.upstream.asked().len(), 1);
    assert_completed(&world);
}

/// T13: the origin renewed when an event came, and lost its lease in a silent tool call.
#[test]
fn a_lease_is_kept_through_silence() {
    let world = World::new(0);
    world.upstream.play(Script {
        pace_ms: 100_000,
        ..Script::standard()
    });
    let reading = ask(&world.worker(), input());
    let mut others = Vec::new();
    for _ in 0..20 {
        world.run_for(2 * caps::LEASE_MS / 3);
        others.push(ask(&world.worker(), refusing()));
    }
    world.settle();
    assert!(others.iter().all(|other| other.brief() == "lease_held"));
    assert!(reading.has_ended());
    assert_eq!(stored(&world).epoch, 1);
    assert_completed(&world);
}

#[test]
fn a_dead_workers_turn_goes_on_at_the_instant_its_lease_ends() {
    let world = World::new(0);
    let first = world.worker();
    ask(&first, input());
    world.run_for(200);
    first.end();
    let until = stored(&world).lease.expect("it is held").until;
    let early = ask(&world.worker(), refusing());
    assert_eq!(resume(&world.worker()).take(), None);
    world.sim.run_until(until - 25);
    assert_eq!(early.brief(), "lease_held");
    // Its clock reads the very instant when it asks.
    world.sim.run_until(until);
    let late = ask(&world.worker(), input());
    world.settle();
    assert_eq!(late.brief(), "resumed");
    assert_eq!(stored(&world).epoch, 2);
    assert_completed(&world);
}

#[test]
fn a_reader_of_a_dead_workers_turn_is_cut_and_comes_back() {
    let world = World::new(0);
    let first = world.worker();
    ask(&first, input());
    world.run_for(200);
    let joining = ask(&world.worker(), input());
    first.end();
    world.run_for(2 * caps::LEASE_MS);
    assert_eq!(joining.brief(), "joined");
    assert!(joining.was_cut() && !joining.has_ended());
    let resumed = resume(&world.worker());
    world.settle();
    assert_eq!(resumed.take(), Some(true));
    assert_completed(&world);
    let over = resume(&world.worker());
    world.settle();
    assert_eq!(over.take(), Some(false));
}

/// T11: the origin renewed what somebody else held. A lease that can't be renewed ends its drain.
#[test]
fn who_cannot_renew_stops_before_another_begins() {
    let world = World::new(0);
    world.upstream.play(Script {
        pace_ms: 4_000,
        ..Script::standard()
    });
    world
        .d1
        .fail(|batch| renews(batch).then_some(Fault::Refused));
    let first = ask(&world.worker(), input());
    world.run_for(caps::LEASE_MS + 1_000);
    let (written, lines) = (writes(&world), whole_log(&world));
    world.run_for(60_000);
    assert_eq!(whole_log(&world), lines, "it went on without a lease");
    assert!(first.was_cut());
    assert!(writes(&world) >= written);
    world.d1.heal();
    let second = ask(&world.worker(), input());
    world.settle();
    assert_eq!(second.brief(), "resumed");
    assert_completed(&world);
}

/// T11, T14: a lease that is over by its holder's own clock is no lease, though nobody may have taken it: while
/// the holder asks once more, nothing of the turn is stored. Its renewals fail twice, and the third, at the
/// lease's end, is answered late or never; or the holder stood still past that end.
#[test]
fn nothing_is_sent_behind_a_lease() {
    for (last, frozen) in [
        (Fault::Late(6_000), false),
        (Fault::Hangs, false),
        (Fault::Late(6_000), true),
    ] {
        let world = World::new(0);
        world.upstream.play(Script {
            frames: Script::standard().frames.repeat(40),
            pace_ms: 300,
            ..Script::standard()
        });
        let mut renewals = 0;
        world.d1.fail(move |batch| {
            if !renews(batch) {
                return None;
            }
            renewals += 1;
            match renewals {
                1 | 2 if !frozen => Some(Fault::Refused),
                1 if frozen => Some(last),
                3 if !frozen => Some(last),
                _ => None,
            }
        });
        let (database, now) = (world.durable(), world.sim.clone());
        world.d1.watch(move |_, batch| {
            if appends(batch) {
                let run = block_on(database.run(RUN)).expect("D1 answers");
                let lease = run.and_then(|run| run.lease).expect("it is held");
                let behind = now.now() - lease.until;
                assert!(
                    behind < 0,
                    "{last:?} {frozen}: {behind} ms behind the lease"
                );
            }
        });
        let first = world.worker();
        ask(&first, input());
        world.run_for(5_000);
        if frozen {
            first.freeze();
            world.run_for(caps::LEASE_MS + 5_000);
            first.thaw();
        }
        world.run_for(45_000);
        let run = stored(&world);
        let is_kept = last != Fault::Hangs;
        assert_eq!(run.state.status, Status::Running, "{last:?}");
        assert_eq!(
            run.lease.is_some_and(|lease| lease.until > world.sim.now()),
            is_kept
        );
        ask(&world.worker(), input());
        world.settle();
        assert_eq!(stored(&world).state.status, Status::Completed);
        assert_eq!(
            stored(&world).epoch,
            if is_kept { 1 } else { 2 },
            "{last:?}"
        );
        assert_one_writer_at_a_time(&world);
    }
}

/// T10, T12, T14: the origin's zombie appended an event after losing its lease, and ended its
/// successor's run as failed.
#[test]
fn a_zombie_writes_nothing() {
    for stopped_at in [10, 50, 120, 200, 350] {
        for awake_after in [0, 45, 130, 300, 100_000] {
            let world = World::new(0);
            let zombie = world.worker();
            ask(&zombie, input());
            world.run_for(stopped_at);
            zombie.freeze();
            world.run_for(caps::LEASE_MS + 100);
            let second = ask(&world.worker(), input());
            world.run_for(awake_after);
            let before = rows(&world).len();
            zombie.thaw();
            world.settle();
            // One that was stopped before it had begun, or goes on before the other has taken over,
            // may still be the first.
            if stopped_at > 10 && awake_after > 100 {
                assert_eq!(second.brief(), "resumed");
            }
            assert!(second.has_ended());
            assert_completed(&world);
            assert!(rows(&world).len() >= before);
            let epochs: Vec<u64> = rows(&world).iter().map(|row| row.epoch).collect();
            let zombies = epochs.iter().filter(|epoch| **epoch == 1).count();
            assert!(
                epochs[zombies..].iter().all(|epoch| *epoch == 2),
                "{epochs:?}"
            );
        }
    }
}

/// T12: behind its successor's end the zombie changes no byte.
#[test]
fn a_zombie_that_wakes_behind_the_end_changes_nothing() {
    let world = World::new(0);
    let zombie = world.worker();
    ask(&zombie, input());
    world.run_for(200);
    zombie.freeze();
    world.run_for(caps::LEASE_MS + 100);
    ask(&world.worker(), input());
    world.settle();
    assert_completed(&world);
    let before = everything(&world);
    zombie.thaw();
    world.settle();
    assert_eq!(everything(&world), before);
}

/// A lease is free again when what comes behind its taking fails.
#[test]
fn a_lease_is_released_when_the_drain_cannot_begin() {
    let world = World::new(0);
    let first = world.worker();
    ask(&first, input());
    world.run_for(200);
    first.end();
    world.run_for(caps::LEASE_MS + 100);
    // The read behind the acquisition fails, once.
    let mut acquired = false;
    let mut failed = false;
    world.d1.fail(move |batch| {
        let acquires = batch
            .iter()
            .any(|statement| statement.sql.contains("SET epoch = epoch + 1"));
        let fails = acquired && !failed && batch[0].sql.contains("FROM runs WHERE run_id");
        acquired |= acquires;
        failed |= fails;
        fails.then_some(Fault::Refused)
    });
    let refused = ask(&world.worker(), input());
    world.run_for(200);
    assert!(refused.refused().is_some(), "{}", refused.brief());
    assert_eq!(stored(&world).lease, None);
    let next = ask(&world.worker(), input());
    world.settle();
    assert_eq!(next.brief(), "resumed");
    assert_completed(&world);
}

fn appends(batch: &[Statement]) -> bool {
    let sql = batch[0].sql;
    sql.contains("INSERT INTO stream_log (run_id, first_seq")
}

/// The store refuses this many appends, one after another.
fn refuse_appends(world: &World, mut left: u32) {
    world.d1.fail(move |batch| {
        let fails = appends(batch) && left > 0;
        left -= u32::from(fails);
        fails.then_some(Fault::Refused)
    });
}

#[test]
fn a_lease_is_released_when_the_store_fails_under_the_drain() {
    let world = World::new(0);
    refuse_appends(&world, 1 + caps::COMMIT_TRIES);
    let first = ask(&world.worker(), input());
    world.run_for(400 + (caps::COMMIT_RETRY_MS << caps::COMMIT_TRIES));
    assert!(first.was_cut());
    assert_eq!(stored(&world).lease, None);
    let next: Reading = ask(&world.worker(), input());
    world.settle();
    assert_eq!(next.brief(), "resumed");
    assert_completed(&world);
}

#[test]
fn a_store_that_fails_for_a_moment_cuts_nobody() {
    let world = World::new(0);
    refuse_appends(&world, caps::COMMIT_TRIES);
    let reading = ask_and_stay(&world.worker(), input(), Stay::ToTheEnd);
    world.settle();
    assert!(!reading.was_cut(), "{}", reading.brief());
    assert_eq!(stored(&world).epoch, 1, "nobody took it over");
    assert_completed(&world);
}

/// T17, T18: a new attempt is told apart in the log and in the run.
#[test]
fn a_new_attempt_is_visible_in_log_and_run() {
    let world = World::new(0);
    world
        .upstream
        .behave([Behaviour::CutAfter(6), Behaviour::Status(404)]);
    let reading = ask_and_stay(&world.worker(), input(), Stay::ToTheEnd);
    world.settle();
    let run = stored(&world);
    assert_eq!(run.state.status, Status::Completed);
    assert_eq!(run.state.attempts.len(), 2);
    assert_one_writer_at_a_time(&world);
    let log = reading.log();
    let whole = Script::standard().log(TENANT, "s", 0);
    assert_eq!(log.matches("session.run.restarted").count(), 1);
    let (before, after) = log
        .split_once("session.run.restarted")
        .expect("it is there");
    assert!(before.lines().count() > 2);
    assert_eq!(after.lines().count(), whole.lines().count());
    let attempts: Vec<u32> = rows(&world).iter().map(|row| row.attempt).collect();
    assert!(attempts.is_sorted() && attempts.contains(&1) && attempts.contains(&2));
}
