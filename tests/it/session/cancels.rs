//! Telling upstreams of cancels: whom, and however long it takes.
//!
//! Owns that an untold cancel always has an alarm, and that the execution at work is the one that is told.
//! Crashes around a cancel are `crash/cancelled`.

use super::scene;
use crate::support::{Behaviour, Object, Script, World, assert_shipped, submit};
use steadfast::api::Command;
use steadfast::caps;
use steadfast::store::Status;

fn slow() -> Script {
    Script {
        pace_ms: 1_000,
        ..Script::standard()
    }
}

fn is_untold(object: &Object) -> bool {
    let runs = object.dump().runs;
    runs.iter().any(|run| run.0.upstream_cancel.is_some())
}

/// Cancels a turn while its upstream refuses to be told for so long.
fn cancel_during_outage(outage_ms: u64, new_life: bool) {
    let (world, object) = scene();
    world.upstream.play(slow());
    object.submit(submit("hello"));
    world.run_for(3_000);
    // More than there are tries in the longest outage.
    world.upstream.answer_cancels(vec![503; 1_000]);
    object.ask(Command::Cancel(0, None));
    world.run_for(1_000);
    if new_life {
        object.end();
    }
    let until = world.sim.now().saturating_add_unsigned(outage_ms);
    while world.sim.now() < until {
        assert!(is_untold(&object), "{outage_ms} ms");
        assert!(
            object.alarm().is_some(),
            "{outage_ms} ms: nobody looks again"
        );
        world.run_for(caps::CANCEL_RETRY_MOST_MS);
    }
    let tries = world.upstream.cancels().len();
    world.upstream.heal();
    world.run_for(caps::CANCEL_RETRY_MOST_MS + 2 * caps::WATCHDOG_MS.default);
    let told = world.upstream.cancels();
    assert_eq!(
        told.len(),
        tries + 1,
        "{outage_ms} ms: told once it is back"
    );
    assert!(told.iter().all(|id| id == "acme:s:0"));
    assert!(!is_untold(&object));
    world.settle();
    assert_shipped(&world, &object);
}

#[test]
fn an_upstream_is_told_of_a_cancel_however_long_it_could_not_be() {
    for outage_ms in [10_000, 600_000, 3_600_000, caps::DAY_MS] {
        for new_life in [false, true] {
            cancel_during_outage(outage_ms, new_life);
        }
    }
}

/// A turn in its attempt of this number, counted from 1: those before are gone.
fn in_attempt(number: usize) -> (World, Object) {
    let (world, object) = scene();
    world.upstream.play(slow());
    let gone = [Behaviour::CutAfter(3), Behaviour::Status(404)];
    world
        .upstream
        .behave(gone.into_iter().cycle().take(2 * (number - 1)));
    object.submit(submit("hello"));
    let attempts = || {
        object
            .dump()
            .runs
            .first()
            .map(|run| run.0.state.attempts.len())
    };
    for _ in 0..200 {
        if attempts() == Some(number) {
            world.run_for(2_000);
            return (world, object);
        }
        world.run_for(100);
    }
    panic!("no attempt {number}");
}

#[test]
fn the_execution_at_work_is_the_one_that_is_told() {
    type Stop = fn(&Object);
    let stops: [(&str, Stop); 3] = [
        ("a cancel", |object| {
            object.ask(Command::Cancel(0, None));
        }),
        ("a cancel in a new life", |object| {
            object.end();
            object.ask(Command::Cancel(0, None));
        }),
        ("a deletion", |object| {
            object.ask(Command::Delete);
        }),
    ];
    for (number, id) in [(1, "acme:s:0"), (2, "acme:s:0:a2"), (3, "acme:s:0:a3")] {
        for (what, stop) in stops {
            let (world, object) = in_attempt(number);
            stop(&object);
            world.settle();
            assert_eq!(world.upstream.cancels(), [id], "{what} in attempt {number}");
            let runs = object.dump().runs;
            let is_over = |status| status == Status::Cancelled;
            assert!(runs.iter().all(|run| is_over(run.0.state.status)));
        }
    }
}
