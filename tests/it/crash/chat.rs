//! A turn against a chat completions API, where nothing can be resumed.
//!
//! Owns the proof that every second prompt is announced by a line, and that there is a last one.

use super::{BOTH, Reader, SESSION, at_every_effect, busy_world, check_at_rest, keyed};
use crate::support::{Crash, Met, Moment, Object, Script, World, lines_of};
use steadfast::caps::UPSTREAM_STARTS;
use steadfast::store::Status;
use steadfast::wire::request::Submit;

fn asks_chat() -> Submit {
    Submit {
        upstream: Some("openai-chat".to_owned()),
        ..keyed()
    }
}

/// The text without the emoji's halves, which a chat completions API never splits.
fn script() -> Script {
    Script {
        frames: vec![
            (
                "message.part.updated",
                r#"{"part":{"id":"p"},"delta":"Hel"}"#,
                "",
            ),
            (
                "message.part.updated",
                r#"{"part":{"id":"p"},"delta":"lo "}"#,
                "",
            ),
            (
                "message.part.updated",
                r#"{"part":{"id":"p"},"delta":"wörld"}"#,
                "",
            ),
            (
                "message.part.updated",
                r#"{"part":{"id":"p"},"delta":" 😀"}"#,
                "",
            ),
        ],
        message: "\"Hello wörld 😀\"",
        pace_ms: 60,
        fails: None,
        tricks: Vec::new(),
    }
}

/// A turn whose object ends at each of `crashes`, counted from the one before.
fn crashed_turn(crash: Crash, repeats: usize) -> Option<Met> {
    let world = busy_world(0);
    world.upstream.play(script());
    let object = world.object(SESSION);
    let mut reader = Reader::new(&object, asks_chat());
    let mut crashed = None;
    for _ in 0..repeats {
        world.plan.crash_again(crash);
        if !world.run_to_crash() {
            break;
        }
        crashed = crashed.or(world.plan.crashed());
        reader.check_durable();
        reader.come_back();
    }
    world.plan.crash_no_more();
    reader.read_to_the_end(&world);
    check(&world, &object, &reader);
    crashed
}

fn check(world: &World, object: &Object, reader: &Reader) {
    let dump = world.dump(object);
    let (run, log, _) = &dump.runs[0];
    assert_eq!(reader.log, *log);
    let kinds = lines_of(log);
    let restarts = kinds
        .iter()
        .filter(|kind| *kind == "session.run.restarted")
        .count();
    let attempts = run.state.attempts.len();
    assert_eq!(restarts + 1, attempts, "{log}");
    let budget = usize::try_from(UPSTREAM_STARTS.default).expect("it is small");
    assert!(attempts <= budget);
    // Each prompt was announced; an announced one may not have come to be sent.
    let prompts = world.upstream.asked().len();
    assert!(
        prompts <= attempts,
        "{prompts} prompts in {attempts} attempts"
    );
    match run.state.status {
        Status::Completed => assert_eq!(dump.messages[1].content, script().message),
        Status::Failed => {
            assert_eq!(attempts, budget, "it gave up too early");
            let error = run.state.last_error.as_ref().expect("it says why");
            assert_eq!(error.code, "upstream_unavailable");
        }
        other => panic!("{other:?}"),
    }
    check_at_rest(world, object);
}

#[test]
fn a_lost_stream_is_a_visible_new_attempt() {
    at_every_effect(&BOTH, |crash| crashed_turn(crash, 1));
}

#[test]
fn starts_end_with_their_budget_whatever_crashes() {
    at_every_effect(&[Moment::After], |crash| crashed_turn(crash, 6));
}
