//! A turn with hooks whose Worker ends at the k-th effect, for every k.

use super::{
    RUN, Reading, SHOWN, Stay, World, ask, assert_redacted, names, pieces, scene, shown, steps,
    stored,
};
use crate::support::{Crash, Moment, Product};
use std::collections::BTreeSet;
use steadfast::caps;
use steadfast::store::Status;
use steadfast::turn::Hooks;

/// Everything that such a turn does to its surroundings: a crash comes around each of them.
const EFFECTS: [&str; 16] = [
    "Chunk: a frame's begin",
    "Chunk: a frame's rest",
    "Chunk: execution.started",
    "Chunk: message.part.updated",
    "Chunk: tool.call",
    "Chunk: tool.result",
    "Chunk: usage",
    "D1: read messages",
    "D1: read runs",
    "D1: read sessions",
    "D1: read stream_log",
    "D1: write runs, stream_log, messages, steps, sessions",
    "D1: write steps, messages, runs, stream_log",
    "D1: write steps, runs, stream_log",
    "D1: write stream_log",
    "Send: Post /agents/run/stream",
];

/// What must hold whenever anyone looks.
fn check(world: &World, product: &Product, seen: &str) {
    assert_redacted(world);
    assert!(shown(false).starts_with(seen), "{seen}");
    if seen.contains("session.run.completed") {
        assert!(names(product).contains(&"persist".to_owned()));
    }
}

/// T22: a crash between completion and saving lost the origin's message for good.
#[test]
fn whatever_ends_where_the_turn_is_saved_before_anyone_reads_completed() {
    let mut met = BTreeSet::new();
    for moment in [Moment::Before, Moment::After] {
        for at in 1.. {
            let world = scene();
            world.upstream.play(pieces());
            let product = Product::new(true, true);
            world.plan.crash(Crash { at, moment });
            let first = ask(&world.worker(), &product, Stay::ToTheEnd);
            let crashed = world.run_to_crash();
            check(&world, &product, &first.log());
            if !crashed {
                break;
            }
            met.extend(world.plan.crashed().map(|met| met.name()));
            world.run_for(caps::LEASE_MS);
            let reading = finish(&world, &product);
            check(&world, &product, &reading.log());
            assert_eq!(reading.log(), shown(false));
            let run = stored(&world);
            assert_eq!(run.state.status, Status::Completed);
            assert_eq!(run.state.attempts.len(), 1);
            assert_eq!(world.upstream.started(), [RUN]);
            let saves: Vec<String> = product
                .calls()
                .into_iter()
                .filter(|call| call.starts_with("persist"))
                .collect();
            assert!(!saves.is_empty());
            // However often, always the same under the same id.
            assert!(
                saves
                    .iter()
                    .all(|save| *save == format!("persist {RUN} {SHOWN}")),
                "{saves:?}"
            );
            let steps = steps(&world);
            assert!(steps.iter().all(|step| step.status == "completed"));
        }
    }
    let met: Vec<&str> = met.iter().map(String::as_str).collect();
    assert_eq!(met, EFFECTS);
}

fn finish<H: Hooks + Clone + 'static>(world: &World, hooks: &H) -> Reading {
    for _ in 0..4 {
        let reading = ask(&world.worker(), hooks, Stay::ToTheEnd);
        world.settle();
        if reading.has_ended() {
            return reading;
        }
    }
    panic!("no end");
}

/// Once it is durable that the upstream has said all, nobody asks it again.
#[test]
fn a_drained_upstream_is_not_asked_again() {
    let world = scene();
    let product = Product::new(false, true);
    product.expect("persist", super::Does::Hangs);
    let first = world.worker();
    ask(&first, &product, Stay::ToTheEnd);
    world.run_for(2_000);
    assert_eq!(steps(&world)[0].status, "completed");
    first.end();
    world.run_for(caps::LEASE_MS);
    let asked = world.upstream.asked().len();
    finish(&world, &product);
    assert_eq!(world.upstream.asked().len(), asked);
    assert_eq!(stored(&world).state.status, Status::Completed);
    let failures = &steps(&world)[1].detail.failures;
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].code, "interrupted");
}

/// No crash gives a try back.
#[test]
fn tries_to_save_end_whatever_crashes() {
    let world = scene();
    let product = Product::new(false, true);
    for _ in 0..=caps::PERSIST_TRIES {
        product.expect("persist", super::Does::Hangs);
    }
    for _ in 0..=caps::PERSIST_TRIES {
        let worker = world.worker();
        ask(&worker, &product, Stay::ToTheEnd);
        world.run_for(20_000);
        worker.end();
        world.run_for(caps::LEASE_MS);
    }
    finish(&world, &product);
    let error = stored(&world).state.last_error.expect("it says why");
    assert_eq!(error.code, "persist_failed");
    assert!(steps(&world)[1].detail.failures.len() <= caps::PERSIST_TRIES as usize);
}
