//! Deleting a session: what goes, what stays, and that no index comes back.

use super::{all, at_index, keyed, run_turn, scene};
use crate::support::{Client, Fault, Object, Script, TENANT, World, submit};
use steadfast::api::Command;
use steadfast::caps;
use steadfast::store::Role;

fn delete(world: &World, object: &Object) -> Client {
    let deleted = object.ask(Command::Delete);
    world.settle();
    assert_eq!(deleted.brief(), "202");
    deleted
}

/// Nothing is left of the session but its tombstone with this turn count.
fn check_erased(world: &World, object: &Object, turn_count: u64) {
    let (ours, theirs) = (object.dump(), world.dump(object));
    for dump in [ours, theirs] {
        assert_eq!(
            (dump.runs.len(), dump.messages.len(), dump.unshipped),
            (0, 0, 0)
        );
        let session = dump.session.expect("there is a tombstone");
        assert!(session.deleted_at.is_some());
        assert_eq!(
            (session.turn_count, session.first_turn),
            (turn_count, turn_count)
        );
    }
    assert_eq!(object.alarm(), None);
}

#[test]
fn a_deleted_session_is_gone_and_its_indexes_are_never_used_again() {
    let (world, object) = scene();
    run_turn(&world, &object, keyed("k", "hello"));
    run_turn(&world, &object, submit("more"));
    delete(&world, &object);
    check_erased(&world, &object, 2);
    let gone = [
        Command::Session,
        Command::Messages(all()),
        Command::Turn(0),
        Command::Delete,
    ];
    let mut asked = gone.map(|command| object.ask(command)).to_vec();
    asked.push(object.follow(0, -1));
    world.settle();
    for client in asked {
        assert_eq!(client.brief(), "404 not_found");
    }
    let old = object.submit(at_index(0, "hello"));
    world.settle();
    assert_eq!(old.brief(), "409 turn_out_of_order");
    // The key is free: what it named is gone.
    let next = run_turn(&world, &object, keyed("k", "hello"));
    assert_eq!(next.brief(), "fresh");
    assert_eq!(next.log(), Script::standard().log(TENANT, "s", 2));
    assert!(world.upstream.asked()[2].body.contains(r#""history":[]"#));
    let dump = world.dump(&object);
    assert_eq!(dump.runs.len(), 1);
    let roles: Vec<(u64, Role)> = dump
        .messages
        .iter()
        .map(|m| (m.turn_index, m.role))
        .collect();
    assert_eq!(roles, [(2, Role::User), (2, Role::Assistant)]);
}

#[test]
fn the_tombstone_outlives_the_objects_storage() {
    let (world, object) = scene();
    run_turn(&world, &object, submit("hello"));
    delete(&world, &object);
    object.lose_storage();
    let next = run_turn(&world, &object, submit("again"));
    assert_eq!(next.log(), Script::standard().log(TENANT, "s", 1));
}

#[test]
fn a_running_turn_is_cancelled_and_its_upstream_told() {
    let (world, object) = scene();
    let first = object.submit(submit("hello"));
    world.run_for(200);
    delete(&world, &object);
    assert_eq!(world.upstream.cancels(), ["acme:s:0"]);
    check_erased(&world, &object, 1);
    assert!(
        Script::standard().log(TENANT, "s", 0).starts_with(
            first
                .log()
                .split_inclusive('\n')
                .filter(|line| !line.contains("cancelled"))
                .collect::<String>()
                .as_str()
        )
    );
}

#[test]
fn an_erasure_goes_on_when_d1_is_back_whatever_ends_meanwhile() {
    let (world, object) = scene();
    run_turn(&world, &object, submit("hello"));
    world.d1.fail(|_| Some(Fault::Refused));
    let deleted = object.ask(Command::Delete);
    world.run_for(5_000);
    assert_eq!(deleted.brief(), "202");
    object.end();
    world.run_for(600_000);
    assert_eq!(world.dump(&object).runs.len(), 1);
    world.d1.heal();
    world.settle();
    check_erased(&world, &object, 1);
}

#[test]
fn a_ship_that_is_late_to_its_own_sessions_erasure_leaves_the_tombstone() {
    let (world, object) = scene();
    run_turn(&world, &object, submit("hello"));
    let mut is_first = true;
    world.d1.fail(move |batch| {
        let ships = batch.iter().any(|one| one.sql.contains("INTO runs"));
        let is_late = ships && std::mem::take(&mut is_first);
        is_late.then_some(Fault::Late(5_000))
    });
    object.submit(submit("more"));
    world.run_for(350);
    delete(&world, &object);
    check_erased(&world, &object, 2);
}

#[test]
fn a_session_is_erased_each_time_it_is_deleted() {
    for new_life in [false, true] {
        let (world, object) = scene();
        for turn in 0..3 {
            let next = run_turn(&world, &object, keyed("k", "hello"));
            assert_eq!(next.log(), Script::standard().log(TENANT, "s", turn));
            if new_life {
                object.end();
            }
            delete(&world, &object);
            check_erased(&world, &object, turn + 1);
        }
    }
}

#[test]
fn a_session_of_any_length_is_erased_whole() {
    // Four statements a run and one for the messages.
    let batch = caps::PASS_STATEMENTS as u64 / 4 - 1;
    for turns in [batch, batch + 1, 3 * batch] {
        let (world, object) = scene();
        world.upstream.play(Script::short());
        for _ in 0..turns {
            run_turn(&world, &object, submit("hello"));
        }
        assert_eq!(world.dump(&object).runs.len() as u64, turns);
        delete(&world, &object);
        check_erased(&world, &object, turns);
    }
}

/// The upstream is still to be told of the turn that the deletion cancelled, so nothing is erased yet.
#[test]
fn while_a_deleted_session_waits_for_its_erasure_no_key_finds_a_turn_of_it() {
    let (world, object) = scene();
    run_turn(&world, &object, keyed("old", "hello"));
    object.submit(keyed("running", "more"));
    world.run_for(200);
    world.upstream.answer_cancels([503; 100]);
    let deleted = object.ask(Command::Delete);
    world.run_for(1_000);
    assert_eq!(deleted.brief(), "202");
    let asks = [
        ("old", "hello"),
        ("old", "other"),
        ("running", "more"),
        ("new", "hello"),
    ];
    let asked = asks.map(|(key, message)| object.submit(keyed(key, message)));
    world.run_for(100);
    assert_eq!(object.dump().runs.len(), 2, "it is not erased yet");
    for client in asked {
        assert_eq!(client.brief(), "503 session_unavailable");
        assert_eq!(client.body(), "");
    }
    world.upstream.heal();
    world.settle();
    check_erased(&world, &object, 2);
    let next = run_turn(&world, &object, keyed("old", "hello"));
    assert_eq!(next.log(), Script::standard().log(TENANT, "s", 2));
}
