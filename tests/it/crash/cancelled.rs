//! A turn that is cancelled at the k-th effect, for every k, with and without a crash behind it.
//!
//! Owns the proof that the first terminal commit wins, that a cancel which was accepted is kept,
//! and that the upstream is told until it knows.

use super::{BOTH, RUN, Reader, SESSION, at_every_effect, busy_world, check_at_rest};
use crate::support::{
    Client, Effect, Moment, Named, Object, Script, TENANT, World, assert_shipped, lines_of,
};
use std::cell::RefCell;
use std::rc::Rc;
use steadfast::api::Command;
use steadfast::store::{MessageStatus, Status};

/// Most of the turn is still to come.
const EARLY: Named = Named {
    effect: Effect::Chunk,
    of: "message.part.updated",
    nth: 2,
};

/// The upstream was told of the cancel, and refused to hear it.
const TOLD_IN_VAIN: Named = Named {
    effect: Effect::Send,
    of: "Post /agents/run/{id}/cancel",
    nth: 2,
};

type Asked = Rc<RefCell<Option<Client>>>;

/// What asks for the cancel, and where its answer will be.
fn cancel(object: &Object) -> (impl FnOnce() + 'static, Asked) {
    let asked = Asked::default();
    let (object, to) = (object.clone(), Rc::clone(&asked));
    let ask = move || {
        let client = object.ask(Command::Cancel(0, Some("enough".to_owned())));
        to.replace(Some(client));
    };
    (ask, asked)
}

/// What must hold once a turn is over that a cancel was asked for.
fn check(world: &World, object: &Object, reader: &Reader, asked: Option<&Client>) {
    let whole = Script::standard().log(TENANT, SESSION, 0);
    let dump = world.dump(object);
    let (run, log, _) = &dump.runs[0];
    assert_eq!(reader.log, *log);
    lines_of(log);
    let told = world.upstream.cancels();
    match run.state.status {
        Status::Completed => {
            assert_eq!(*log, whole);
            assert_eq!(told, [] as [&str; 0]);
            assert!(
                run.state
                    .outcome
                    .as_ref()
                    .is_some_and(|o| o.reason.is_none())
            );
            // The first terminal commit wins, and it came first.
            let accepted = asked.filter(|asked| asked.brief() == "202");
            let answered_at = accepted.map(Client::answered_at);
            assert!(answered_at.is_none_or(|at| run.state.finished_at <= Some(at)));
        }
        Status::Cancelled => {
            let lines: Vec<&str> = log.lines().collect();
            let (last, before) = lines.split_last().expect("it has lines");
            let seq = before.len();
            assert_eq!(
                *last,
                format!(
                    r#"{{"seq":{seq},"type":"session.run.cancelled","data":{{"sessionId":"s","reason":"enough"}}}}"#
                )
            );
            assert!(
                before
                    .iter()
                    .zip(whole.lines())
                    .all(|(ours, theirs)| *ours == theirs)
            );
            assert!(
                !told.is_empty() && told.iter().all(|id| id == RUN),
                "{told:?}"
            );
            assert_eq!(dump.messages[1].status, MessageStatus::Partial);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        run.upstream_cancel, None,
        "the upstream is still to be told"
    );
    assert_shipped(world, object);
    check_at_rest(world, object);
}

#[test]
fn a_cancel_at_any_point_ends_the_turn_once() {
    let mut answers = Vec::new();
    for at in 1.. {
        let world = busy_world(0);
        let object = world.object(SESSION);
        let mut reader = Reader::submit(&object);
        let (ask, asked) = cancel(&object);
        world.plan.hook(at, ask);
        reader.read_to_the_end(&world);
        if world.plan.hook_waits() {
            break;
        }
        let asked = asked.take();
        check(&world, &object, &reader, asked.as_ref());
        answers.extend(asked.map(|asked| asked.brief()));
    }
    answers.dedup();
    // While it runs, and after its end.
    assert_eq!(answers, ["202", "200"]);
}

#[test]
fn an_accepted_cancel_outlives_its_object() {
    at_every_effect(&BOTH, |crash| {
        let world = busy_world(0);
        let object = world.object(SESSION);
        let mut reader = Reader::submit(&object);
        let (ask, asked) = cancel(&object);
        world.plan.hook_at(EARLY, ask);
        world.plan.crash(crash);
        world.run_to_crash();
        world.settle();
        reader.read_to_the_end(&world);
        assert!(!world.plan.hook_waits(), "nobody asked for the cancel");
        check(&world, &object, &reader, asked.take().as_ref());
        world.plan.crashed()
    });
}

#[test]
fn an_upstream_that_cannot_be_told_is_told_later() {
    let world = busy_world(0);
    let object = world.object(SESSION);
    let mut reader = Reader::submit(&object);
    world.upstream.answer_cancels([503, 500, 429, 503]);
    let (ask, asked) = cancel(&object);
    world.plan.hook_at(EARLY, ask);
    world.plan.crash_at(TOLD_IN_VAIN, Moment::After);
    assert!(world.run_to_crash());
    world.settle();
    reader.read_to_the_end(&world);
    assert!(!world.plan.hook_waits(), "nobody asked for the cancel");
    check(&world, &object, &reader, asked.take().as_ref());
    assert!(
        world.upstream.cancels().len() >= 5,
        "{:?}",
        world.upstream.cancels()
    );
}
