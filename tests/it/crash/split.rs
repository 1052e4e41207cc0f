//! Two lives of one session at once over one D1.
//!
//! Owns the proof that one of them is replaced and cut, and that D1 holds one log, whoever wins
//! and whenever the second comes up.

use super::{RUN, Reader, SESSION, busy_world};
use crate::support::{Script, TENANT, assert_shipped};
use std::cell::RefCell;
use std::rc::Rc;
use steadfast::store::Status;

/// The second life comes up when the first is about to have its `at`-th effect; false when the
/// first had fewer.
fn split(seed: u64, at: usize) -> bool {
    let world = busy_world(seed);
    let (first, second) = (world.object(SESSION), world.object(SESSION));
    let mut one = Reader::submit(&first);
    let other = Rc::new(RefCell::new(None));
    let (to, object) = (Rc::clone(&other), second.clone());
    world.plan.hook(at, move || {
        to.replace(Some(Reader::submit(&object)));
    });
    world.settle();
    if world.plan.hook_waits() {
        return false;
    }
    let expected = Script::standard().log(TENANT, SESSION, 0);
    let mut other = other.take().expect("it was asked");
    // Before anyone comes back, each has seen a prefix, and D1 has one log.
    one.take();
    other.take();
    assert!(expected.starts_with(&one.log) && expected.starts_with(&other.log));
    let dump = world.dump(&first);
    let (run, log, _) = &dump.runs[0];
    assert_eq!(*log, expected);
    assert_eq!(run.state.status, Status::Completed);
    assert_eq!(world.upstream.started(), [RUN]);
    let owners = [&first, &second].map(|object| object.dump().session == dump.session);
    assert!(
        owners.contains(&true),
        "the life that D1 names is none of the two"
    );
    let replaced = world
        .log
        .borrow()
        .iter()
        .any(|line| line.contains("replaced"));
    // A first life that had shipped everything before is not told; it never writes again.
    assert!(replaced || one.has_ended(), "nobody was replaced");
    if owners == [false, true] {
        assert_shipped(&world, &second);
    }
    one.read_to_the_end(&world);
    other.read_to_the_end(&world);
    assert_eq!((&one.log, &other.log), (&expected, &expected));
    assert_eq!(world.dump(&first).runs[0].1, expected);
    true
}

#[test]
fn of_two_lives_one_is_replaced_and_d1_has_one_log() {
    let mut at = 1;
    while split(0, at) {
        at += 1;
    }
    assert!(at > 20, "a turn has more effects than {at}");
}

#[test]
fn the_order_of_tasks_does_not_matter_to_two_lives() {
    let mut at = 1;
    while split(at as u64, at) {
        at += 1;
    }
}
