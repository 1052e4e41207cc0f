//! Two lives of one session at once over one D1, while it runs a task.
//!
//! Owns the proof that D1 holds one whole log, whoever wins and whenever the second comes up, and that
//! no life does a step more than once.

use super::{Scene, Task, check_lines};
use crate::crash::{Reader, SESSION};
use crate::support::assert_shipped;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use steadfast::store::Status;

/// The second life comes up when the first is about to have its `at`-th effect; false when the
/// first had fewer.
fn split(at: usize) -> bool {
    let scene = Scene::new(Task::Errand);
    let (world, first) = (scene.world.clone(), scene.object.clone());
    let second = world.object(SESSION);
    let mut one = scene.reader;
    let other = Rc::new(RefCell::new(None));
    let (to, object) = (Rc::clone(&other), second.clone());
    world.plan.hook(at, move || {
        to.replace(Some(Reader::new(&object, Task::Errand.submit())));
    });
    world.settle();
    if world.plan.hook_waits() {
        return false;
    }
    let mut other = other.take().expect("it was asked");
    let dump = world.dump(&first);
    let (run, log, _) = &dump.runs[0];
    assert_eq!(run.state.status, Status::Completed, "{at}: {log}");
    check_lines(log);
    let owners = [&first, &second].map(|object| object.dump().session == dump.session);
    assert!(
        owners.contains(&true),
        "the life that D1 names is none of the two"
    );
    let mut acts: BTreeMap<_, usize> = BTreeMap::new();
    for act in world.own.acts() {
        *acts.entry(act).or_default() += 1;
    }
    assert!(acts.values().all(|times| *times <= 2), "{at}: {acts:?}");
    other.read_to_the_end(&world);
    one.take();
    // What the life that lost told its clients need not be in the log; the owner's is.
    if owners == [false, true] {
        assert_eq!(other.log, *log, "{at}");
        assert_shipped(&world, &second);
    }
    // Nothing that either still does changes what the other has told.
    assert_eq!(world.dump(&first).runs[0].1, *log, "{at}");
    true
}

#[test]
fn of_two_lives_with_a_task_d1_has_one_log() {
    let mut at = 1;
    while split(at) {
        // Each second effect: a turn takes long, and two that follow each other seldom differ here.
        at += 2;
    }
    assert!(at > 40, "a turn has more effects than {at}");
}
