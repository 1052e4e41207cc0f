//! A turn whose object ends behind the k-th poll, for every k.
//!
//! Owns the proof for the ends between two effects: with a task woken and not yet polled, an answer
//! there and not yet seen, lines decided upon and not yet written.

use super::{Reader, Recovery, SESSION, busy_world, check_completed, recover};
use crate::support::World;

/// The object ends behind the `at`-th poll of the world; false when it had fewer.
fn ended_turn(at: u64, recovery: Recovery) -> bool {
    let world = busy_world(0);
    let object = world.object(SESSION);
    let mut reader = Reader::submit(&object);
    if !run_to_poll(&world, at) {
        return false;
    }
    object.end();
    reader.check_durable();
    recover(&world, &object, &mut reader, recovery);
    reader.read_to_the_end(&world);
    check_completed(&world, &object, &reader);
    true
}

fn run_to_poll(world: &World, at: u64) -> bool {
    // Behind the turn's own end nothing is due for weeks.
    let until = world.sim.now() + 10 * 60 * 1_000;
    world.sim.run_while(until, || world.sim.polls() < at);
    world.sim.polls() >= at
}

fn at_every_poll(recovery: Recovery) {
    let mut at = 1;
    while ended_turn(at, recovery) {
        at += 1;
    }
    assert!(at > 100, "a turn has more polls than {at}");
}

#[test]
fn the_alarm_alone_finishes_a_turn_that_ended_behind_any_poll() {
    at_every_poll(Recovery::Alarm);
}

#[test]
fn a_turn_survives_the_loss_of_its_objects_storage_behind_any_poll() {
    at_every_poll(Recovery::StorageLost);
}
