//! A task's turn that is cancelled, or told its event, at any moment; and the end of its object right
//! behind.
//!
//! Owns the proof that what was accepted needs no further call: not while the turn waits, and not of
//! its caller.

use super::{Approver, BOTH, RUN, Scene, Task, approval_of, check_lines};
use crate::crash::{Reader, SESSION, busy_world, check_at_rest};
use crate::support::{Client, Crash, Met, Object, World, submit};
use std::cell::RefCell;
use std::rc::Rc;
use steadfast::api::Command;
use steadfast::caps;
use steadfast::ids::EventKey;
use steadfast::store::{MessageStatus, Status};
use steadfast::tasks::research::APPROVAL;
use steadfast::wire::request::Submit;

fn cancel(object: &Object) -> Client {
    object.ask(Command::Cancel(0, Some("enough".to_owned())))
}

fn approve(object: &Object) -> Client {
    let key = EventKey::parse(APPROVAL).expect("it is one");
    object.ask(Command::Emit(0, key, "true".to_owned()))
}

fn check_cancelled(world: &World, object: &Object) {
    let dump = world.dump(object);
    let (run, log, steps) = &dump.runs[0];
    assert_eq!(run.state.status, Status::Cancelled, "{log}");
    let last = log.lines().next_back().expect("it has lines");
    assert!(
        last.contains(r#""session.run.cancelled","data":{"sessionId":"s","reason":"enough"}"#),
        "{last}"
    );
    check_lines(log);
    for step in steps {
        assert!(step.completed_at.is_some(), "{step:?}");
    }
    assert_eq!(dump.messages[1].status, MessageStatus::Partial);
}

#[test]
fn a_cancel_at_any_point_ends_a_task_once() {
    let mut answers = Vec::new();
    for at in 1.. {
        let mut scene = Scene::new(Task::Research);
        let (world, object) = (scene.world.clone(), scene.object.clone());
        let _approver = Approver::of(&world, &object, 5_000);
        let asked: Rc<RefCell<Option<Client>>> = Rc::default();
        let (to, of) = (Rc::clone(&asked), object.clone());
        world.plan.hook(at, move || {
            to.replace(Some(cancel(&of)));
        });
        scene.reader.read_to_the_end(&world);
        if world.plan.hook_waits() {
            break;
        }
        let asked = asked.take().expect("it was asked");
        let dump = object.dump();
        let (run, log, _) = &dump.runs[0];
        assert_eq!(scene.reader.log, *log);
        if run.state.status == Status::Completed {
            check_lines(log);
            // The first terminal commit wins, and it came first.
            let is_late =
                asked.brief() != "202" || run.state.finished_at <= Some(asked.answered_at());
            assert!(is_late, "{at}: {}", asked.brief());
        } else {
            check_cancelled(&world, &object);
        }
        check_at_rest(&world, &object);
        answers.push(asked.brief());
    }
    answers.dedup();
    // While it runs and waits, and after its end.
    assert_eq!(answers, ["202", "200"]);
}

/// A turn that has been suspended for a while, until tomorrow, and what was asked of it then.
struct Suspended {
    world: World,
    object: Object,
    reader: Reader,
    asked: Client,
}

/// Suspends a turn, asks, and crashes; `None` when there was no such effect.
fn suspended(crash: Crash, ask: fn(&Object) -> Client) -> (Suspended, Option<Met>) {
    let world = busy_world(0);
    world.set("UPSTREAM", "sandbox,task:research");
    let object = world.object(SESSION);
    let question = Submit {
        upstream: Some("task:research".to_owned()),
        key: Some("k-1".to_owned()),
        ..submit("1 + 1; 2 + 2")
    };
    let reader = Reader::new(&object, question);
    world.run_for(2 * caps::SUSPENDED_FOLLOW_MS);
    let asked = ask(&object);
    world.plan.crash_again(crash);
    world.run_for(5_000);
    let suspended = Suspended {
        reader,
        asked,
        object,
        world: world.clone(),
    };
    (suspended, world.plan.crashed())
}

/// Asks a suspended turn for something and crashes behind each effect of that.
fn at_every_effect(ask: fn(&Object) -> Client, expected: Status, check: impl Fn(&mut Suspended)) {
    let mut told = 0;
    for moment in BOTH {
        for at in 1.. {
            let (mut scene, crashed) = suspended(Crash { at, moment }, ask);
            if crashed.is_none() {
                break;
            }
            let accepted = ["201", "202"].contains(&scene.asked.brief().as_str());
            told += usize::from(accepted);
            if !accepted {
                // Whoever was told nothing asks again.
                ask(&scene.object);
            }
            scene.world.run_for(5_000);
            let status = scene.object.dump().runs[0].0.state.status;
            assert_eq!(status, expected, "{at} {moment:?}");
            scene.reader.read_to_the_end(&scene.world);
            check(&mut scene);
            check_at_rest(&scene.world, &scene.object);
        }
    }
    assert!(told > 5, "a crash behind an answer: {told}");
}

/// The same with the storage gone and only the cron; of what D1 had by then.
fn at_every_loss(ask: fn(&Object) -> Client, expected: Status, has_it: fn(&Suspended) -> bool) {
    let mut had = 0;
    for at in 1.. {
        let moment = crate::support::Moment::After;
        let (scene, crashed) = suspended(Crash { at, moment }, ask);
        if crashed.is_none() {
            break;
        }
        scene.object.lose_storage();
        scene.world.run_for(40);
        if !has_it(&scene) {
            continue;
        }
        had += 1;
        for _ in 0..2 {
            scene.world.run_for(caps::SWEEP_AFTER_MS + 1);
            for due in scene.world.sweep() {
                assert_eq!(due, RUN);
                scene.object.ask(Command::Poke(0));
            }
        }
        scene.world.run_for(5_000);
        let status = scene.world.dump(&scene.object).runs[0].0.state.status;
        assert_eq!(status, expected, "{at}");
    }
    assert!(had > 3, "a loss behind a ship: {had}");
}

#[test]
fn an_accepted_cancel_of_a_waiting_task_outlives_its_object() {
    at_every_effect(cancel, Status::Cancelled, |scene| {
        check_cancelled(&scene.world, &scene.object);
    });
}

#[test]
fn an_accepted_event_wakes_a_task_whose_object_ends_behind_it() {
    at_every_effect(approve, Status::Completed, |scene| {
        let answer = "\"2 found:\\n- 1 + 1 = 2 (calculator)\\n- 2 + 2 = 4 (calculator)\\n\"";
        assert_eq!(scene.object.dump().messages[1].content, answer);
    });
}

#[test]
fn a_cancel_that_d1_has_outlives_the_storage() {
    at_every_loss(cancel, Status::Cancelled, |scene| {
        scene.world.dump(&scene.object).runs[0].0.cancel.is_some()
    });
}

#[test]
fn an_event_that_d1_has_outlives_the_storage() {
    at_every_loss(approve, Status::Completed, |scene| {
        approval_of(&scene.world).is_some()
    });
}
