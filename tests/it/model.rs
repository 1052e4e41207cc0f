//! Every run of a short turn, not a sample of them.
//!
//! Owns the scenes: who is there, what may go wrong, how much of it. `stage` holds back each effect
//! of each life, `explorer` chooses depth first which one happens next until nothing is left to
//! choose, `laws` are checked after each write of D1, after each end, and at rest. The code is the
//! real one: session, drain, follower, ship, hydration, the plain Worker's desk and lease, the SQL.
//!
//! What is reduced, and why nothing is lost by it:
//! - A state that was met before is not walked again. What can follow is a function of D1's rows, the
//!   storages' rows and alarms, the upstream's executions, what each life was told in order, and what may
//!   still go wrong; the digest is of all these.
//! - A life whose every pending effect is its own affair (a sync, a piece of an answer, a start that
//!   is idempotent) goes first, alone: no other life can see or prevent it, so it commutes with all
//!   that they do. Its own effects and its end are tried in all orders.
//! - Writes to an object's own storage are no choices: nobody else sees them, and an end may leave any
//!   whole groups of those that are not durable, which is the same as an end between them.
//! - Objects have a clock each, which its own timers move, so that either may be slower than the other
//!   by as much as it likes. Workers that share a lease share one clock.
//! - Clients of plain Workers read once all is over: reading writes nothing, and what could be read in
//!   between, D1's log, is under the laws itself.
//! - `in_order` is a bound, not a reduction: what one life asks is answered in the order of asking, and
//!   a timer that is due fires first. `MODEL=deep` lifts it where there is time, and adds a line.
//!
//! Where a life ends, and which test has it end at every such point:
//!
//! | what runs | each effect | each poll | torn writes | a second end | two lives |
//! |---|---|---|---|---|---|
//! | a sandbox's turn | `crash` | `crash::polls` | here | here | `crash::split`, here |
//! | a turn that can't be resumed | `crash::chat` | | here | `crash::chat`, here | |
//! | a cancelled turn | `crash::cancelled` | | here | | |
//! | an erasure | here | | here | | |
//! | shipping, rehydration | `crash`, here | `crash::polls` | here | here | here |
//! | a task | `crash::task` | `run::crash` (without an object) | | | `crash::task::split` |
//! | a plain Worker's turn | `supervised::crash` | | (D1 has none) | here | `supervised::lease`, here |
//! | a plain Worker's hooks | `chat::crash` | | | `chat::crash` | |

mod client;
mod explorer;
mod laws;
mod moves;
mod props;
mod shelf;
mod stage;
mod world;

use crate::support::{Script, input, submit};
use client::Client;
use laws::{Expect, Scene};
use steadfast::api::Command;
use steadfast::plain::TurnInput;
use steadfast::wire::request::Submit;
use world::{Bounds, End, Recovery, World};

fn keyed() -> Submit {
    Submit {
        key: Some("k-1".to_owned()),
        ..submit("hello")
    }
}

fn one_object(world: &World) {
    world.object(vec![Client::new(keyed())]);
}

fn one_object_with_chat(world: &World) {
    let asks_chat = Submit {
        upstream: Some("openai-chat".to_owned()),
        ..keyed()
    };
    world.object(vec![Client::new(asks_chat)]);
}

fn one_object_and_a_cancel(world: &World) {
    one_object(world);
    let cancel = Command::Cancel(0, Some("enough".to_owned()));
    world.hold_back(Client::asking(cancel));
}

fn one_object_and_an_erasure(world: &World) {
    one_object(world);
    world.hold_back(Client::asking(Command::Delete));
}

fn plain() -> TurnInput {
    let mut input = input();
    input.terms.lease.lease_ms = 2_000;
    input.terms.window_ms = 0;
    input
}

fn one_worker(world: &World) {
    world.worker(plain());
}

fn two_workers(world: &World) {
    world.worker(plain());
    world.worker(plain());
}

fn is_deep() -> bool {
    std::env::var("MODEL").is_ok_and(|how| how == "deep")
}

/// One more line than the short turn has, where there is time for it.
fn script() -> Script {
    let mut script = Script::short();
    if is_deep() {
        let delta = r#"{"part":{"id":"p1","type":"text"},"delta":" Yes."}"#;
        script.frames.push(("message.part.updated", delta, delta));
        script.message = "\"Yes. Yes.\"";
    }
    script
}

fn ends(ends: u32, kinds: &[End]) -> Bounds {
    Bounds {
        ends,
        kinds: kinds.to_vec(),
        early: 0,
        lost: 0,
        leases: 0,
        in_order: false,
        recovery: Recovery::Clients,
    }
}

/// As `bounds`, answered in order: all orders would be too many for the long tier, too.
fn always_in_order(bounds: Bounds) -> Bounds {
    Bounds {
        in_order: true,
        ..bounds
    }
}

/// As `bounds`, answered in order unless there is time for all orders.
fn in_order(bounds: Bounds) -> Bounds {
    Bounds {
        in_order: !is_deep(),
        ..bounds
    }
}

fn scene(name: &'static str, bounds: Bounds) -> Scene {
    Scene {
        name,
        script: script(),
        bounds,
        one_clock: false,
        expect: Expect::Transcript,
        begin: one_object,
    }
}

fn workers(name: &'static str, bounds: Bounds, begin: fn(&World)) -> Scene {
    Scene {
        one_clock: true,
        begin,
        ..scene(
            name,
            Bounds {
                recovery: Recovery::Nobody,
                ..bounds
            },
        )
    }
}

#[test]
fn a_turn_outlives_two_ends_of_its_object_at_any_two_points() {
    scene("two crashes", ends(2, &[End::Crash])).exhaust(200);
}

#[test]
fn the_alarm_alone_ends_a_turn_whose_object_ended_at_any_point() {
    let bounds = Bounds {
        recovery: Recovery::Nobody,
        ..ends(if is_deep() { 2 } else { 1 }, &[End::Crash])
    };
    scene("a crash, the alarm alone", bounds).exhaust(30);
}

#[test]
fn a_turn_outlives_an_end_of_its_object_and_the_loss_of_its_storage() {
    let bounds = always_in_order(ends(2, &[End::Crash, End::StorageLost]));
    scene("a crash, a lost storage", bounds).exhaust(900);
}

#[test]
fn a_turn_outlives_an_end_and_an_answer_of_d1_that_is_lost() {
    let kinds = [End::Crash, End::StorageLost];
    let bounds = Bounds {
        lost: 1,
        ..ends(1, &kinds[..if is_deep() { 2 } else { 1 }])
    };
    scene("an end, a lost answer", bounds).exhaust(60);
}

/// A part of the turn is in D1 when its object ends.
#[test]
fn a_turn_that_was_shipped_in_part_goes_on_from_there() {
    let bounds = always_in_order(Bounds {
        early: 1,
        ..ends(1, &[End::Crash, End::StorageLost])
    });
    scene("an end, an early timer", bounds).exhaust(1_200);
}

#[test]
fn a_turn_that_cannot_be_resumed_announces_each_attempt() {
    let scene = Scene {
        expect: Expect::Attempts,
        begin: one_object_with_chat,
        ..scene("chat, two crashes", ends(2, &[End::Crash]))
    };
    scene.exhaust(200);
}

#[test]
fn a_cancel_at_any_point_ends_a_turn_once_wherever_its_object_ends() {
    let scene = Scene {
        expect: Expect::Cancelled,
        begin: one_object_and_a_cancel,
        ..scene("a cancel, a crash", ends(1, &[End::Crash]))
    };
    scene.exhaust(150);
}

#[test]
fn an_erasure_at_any_point_leaves_nothing_wherever_its_object_ends() {
    let scene = Scene {
        expect: Expect::Erased,
        begin: one_object_and_an_erasure,
        ..scene("an erasure, a crash", in_order(ends(1, &[End::Crash])))
    };
    scene.exhaust(150);
}

/// The old instance goes on with D1 and the upstream, and ends when it touches its storage.
#[test]
fn an_instance_that_lost_its_place_undoes_nothing_of_its_successor() {
    scene("replaced", ends(1, &[End::Replaced])).exhaust(90);
    let bounds = always_in_order(ends(2, &[End::Replaced, End::Crash]));
    scene("replaced, a crash", bounds).exhaust(900);
}

/// The storage is lost and loaded from D1 again while the old instance still has its own.
#[test]
fn of_two_objects_of_one_session_one_owns_it() {
    scene("forked", ends(1, &[End::Forked])).exhaust(100);
    if is_deep() {
        let early = always_in_order(Bounds {
            early: 1,
            ..ends(1, &[End::Forked])
        });
        scene("forked, an early timer", early).exhaust(3_000);
        let crash = always_in_order(ends(2, &[End::Forked, End::Crash]));
        scene("forked, a crash", crash).exhaust(5_000);
    }
}

#[test]
fn of_two_workers_one_drains_the_turn_wherever_one_ends() {
    workers("two Workers", ends(0, &[]), two_workers).exhaust(250);
    let bounds = in_order(ends(1, &[End::Crash]));
    workers("two Workers, a crash", bounds, two_workers).exhaust(900);
}

/// The first Worker is alive and goes on, each of its calls as late as it likes.
#[test]
fn a_worker_whose_lease_ended_at_any_point_undoes_nothing_of_the_next() {
    let a_lease = Bounds {
        leases: 1,
        in_order: true,
        ..ends(0, &[])
    };
    workers("a lease ends", a_lease.clone(), one_worker).exhaust(900);
    if is_deep() {
        let bounds = Bounds {
            ends: 1,
            kinds: vec![End::Crash],
            ..a_lease
        };
        workers("a lease ends, a crash", bounds, one_worker).exhaust(5_000);
    }
}
