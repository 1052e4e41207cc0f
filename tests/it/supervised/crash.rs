//! A plain Worker that ends at the k-th effect, for every k; and one that is frozen there.

use super::{ask, assert_completed, input, whole_log};
use crate::support::{Crash, Moment, Reading, World};
use std::collections::BTreeSet;
use steadfast::caps;

/// Everything that such a turn does to its surroundings: a crash comes around each of them.
const EFFECTS: [&str; 18] = [
    "Chunk: a frame's begin",
    "Chunk: a frame's rest",
    "Chunk: error",
    "Chunk: execution.started",
    "Chunk: message.part.updated",
    "Chunk: result",
    "Chunk: status.changed",
    "Chunk: tool.call",
    "Chunk: tool.result",
    "Chunk: usage",
    "D1: read messages",
    "D1: read runs",
    "D1: read sessions",
    "D1: read stream_log",
    "D1: write runs, stream_log, messages, steps, sessions",
    "D1: write steps, messages, runs, stream_log",
    "D1: write stream_log",
    "Send: Post /agents/run/stream",
];

/// Comes back until the turn's end was read.
fn read_to_the_end(world: &World) -> Reading {
    for _ in 0..4 {
        let reading = ask(&world.worker(), input());
        world.settle();
        if reading.has_ended() {
            return reading;
        }
    }
    panic!("no end");
}

#[test]
fn a_worker_that_ends_anywhere_leaves_a_turn_that_another_finishes() {
    let mut met = BTreeSet::new();
    for moment in [Moment::Before, Moment::After] {
        for at in 1.. {
            let world = World::new(0);
            world.plan.crash(Crash { at, moment });
            let first = ask(&world.worker(), input());
            let crashed = world.run_to_crash();
            let seen = first.log();
            assert!(
                everything_seen_is_stored(&world, &seen),
                "visible before durable: {seen}"
            );
            if !crashed {
                break;
            }
            met.extend(world.plan.crashed().map(|met| met.name()));
            world.run_for(caps::LEASE_MS);
            let reading = read_to_the_end(&world);
            assert!(reading.log().starts_with(&seen));
            assert_completed(&world);
        }
    }
    let met: Vec<&str> = met.iter().map(String::as_str).collect();
    assert_eq!(met, EFFECTS);
}

fn everything_seen_is_stored(world: &World, seen: &str) -> bool {
    seen.is_empty() || whole_log(world).starts_with(seen)
}

/// A Worker is stopped at its k-th effect and goes on while another has taken over, or has finished.
#[test]
fn a_worker_that_is_frozen_anywhere_writes_nothing_when_it_goes_on() {
    for awake_after in [120, 200_000] {
        for at in 1.. {
            let world = World::new(at as u64);
            let zombie = world.worker();
            let frozen = zombie.clone();
            world.plan.hook(at, move || frozen.freeze());
            ask(&zombie, input());
            world.settle();
            if world.plan.hook_waits() {
                break;
            }
            let reading = ask(&world.worker(), input());
            world.run_for(awake_after);
            zombie.thaw();
            world.settle();
            let log = match reading.has_ended() {
                true => reading.log(),
                false => read_to_the_end(&world).log(),
            };
            assert_eq!(log, whole_log(&world));
            assert_completed(&world);
        }
    }
}
