//! Hooks around a chat turn: their order, their errors, and what a crash among them leaves.
//!
//! Owns the weaknesses T22–T24 and T27–T29 of `docs/weaknesses.md`: what a turn with hooks must not
//! repeat.

mod crash;

use crate::support::{
    Does, PlainStore, Product, Reading, SECRET, Script, SimPorts, Stay, Worker, World, everything,
    input, lines_of,
};
use futures::executor::block_on;
use futures::stream::{self, LocalBoxStream, StreamExt, TryStreamExt};
use std::cell::RefCell;
use std::rc::Rc;
use steadfast::api::Mode;
use steadfast::plain::{
    ChatHooks, ProduceError, Produced, SupervisedTurn, TurnRefused, handle_chat_turn,
    run_supervised_turn,
};
use steadfast::ports::Timer;
use steadfast::store::{MessageStatus, Run, Status, Step, Store};
use steadfast::turn::{FinishedTurn, HookError, Hooks, TurnIdentity};
use steadfast::upstream::Ask;

const RUN: &str = "acme:s:0";
/// What the script's text comes to.
const TOLD: &str = "It is hunter2.";
/// And what may be shown of it.
const SHOWN: &str = "It is •••.";

/// An answer whose secret is split between two frames, with others before, between and behind.
fn script() -> Script {
    let frame = |kind, data| (kind, data, data);
    Script {
        frames: vec![
            frame("tool.call", r#"{"id":"t1"}"#),
            frame(
                "message.part.updated",
                r#"{"part":{"id":"p1","type":"text"},"delta":"It is hun"}"#,
            ),
            frame("tool.result", r#"{"id":"t1"}"#),
            frame(
                "message.part.updated",
                r#"{"part":{"id":"p1","type":"text"},"delta":"ter2."}"#,
            ),
            frame(
                "message.part.updated",
                r#"{"part":{"id":"r1","type":"reasoning"},"delta":"hm"}"#,
            ),
            frame("result", r#"{"finalText":"It is hunter2."}"#),
            frame("usage", r#"{"outputTokens":5}"#),
        ],
        message: "\"It is hunter2.\"",
        pace_ms: 40,
        fails: None,
        tricks: Vec::new(),
    }
}

/// Such an answer without a `result`, so that each piece of its text counts.
fn pieces() -> Script {
    let mut script = script();
    script.frames.retain(|(kind, _, _)| *kind != "result");
    script
}

/// The log of that with its text transformed.
fn shown_log() -> String {
    shown(true)
}

fn shown(with_result: bool) -> String {
    let frame = |kind, data| (kind, data, data);
    let mut shown = Script {
        frames: vec![
            frame("tool.call", r#"{"id":"t1"}"#),
            frame("tool.result", r#"{"id":"t1"}"#),
            frame(
                "message.part.updated",
                r#"{"part":{"id":"r1","type":"reasoning"},"delta":"hm"}"#,
            ),
            frame("usage", r#"{"outputTokens":5}"#),
            frame(
                "message.part.updated",
                r#"{"part":{"id":"p1","type":"text","text":"It is •••."}}"#,
            ),
            frame("result", r#"{"finalText":"It is •••."}"#),
        ],
        ..script()
    };
    shown
        .frames
        .retain(|(kind, _, _)| with_result || *kind != "result");
    shown.log("acme", "s", 0)
}

async fn hooked<H: Hooks + 'static>(
    worker: Worker,
    hooks: H,
) -> Result<SupervisedTurn<SimPorts, PlainStore>, TurnRefused> {
    let upstream = worker.sandbox();
    let mut input = input();
    // Each frame that may be stored is, before the next one comes.
    input.terms.window_ms = 0;
    run_supervised_turn(&worker.ports, &worker.store, input, upstream, hooks).await
}

fn ask<H: Hooks + Clone + 'static>(worker: &Worker, hooks: &H, stay: Stay) -> Reading {
    Reading::of(worker, stay, hooked(worker.clone(), hooks.clone()))
}

fn scene() -> World {
    let world = World::new(0);
    world.upstream.play(script());
    world
}

fn stored(world: &World) -> Run {
    let run = block_on(world.durable().run(RUN)).expect("D1 answers");
    run.expect("the run is there")
}

fn steps(world: &World) -> Vec<Step> {
    block_on(world.durable().steps(RUN, 0, 10)).expect("D1 answers")
}

fn answer(world: &World) -> (String, MessageStatus) {
    let messages = block_on(world.durable().messages("acme:s", None, 10)).expect("D1 answers");
    let last = messages.last().expect("there is an answer");
    (last.content.clone(), last.status)
}

/// The calls of these hooks, without what they were told.
fn names(product: &Product) -> Vec<String> {
    let calls = product.calls();
    let names = calls.iter().filter_map(|call| call.split(' ').next());
    names.map(str::to_owned).collect()
}

fn error_code(world: &World) -> Option<String> {
    stored(world).state.last_error.map(|error| error.code)
}

/// No part of what must not be kept is anywhere in the database.
fn assert_redacted(world: &World) {
    let all = everything(world);
    for part in [SECRET, "ter2", "is hun"] {
        assert!(!all.contains(part), "{part} in {all}");
    }
}

#[test]
fn hooks_are_called_in_order_and_a_replay_calls_none() {
    let world = scene();
    let product = Product::new(true, true);
    let reading = ask(&world.worker(), &product, Stay::ToTheEnd);
    world.settle();
    assert_eq!(reading.log(), shown_log());
    let calls = product.calls();
    let others: Vec<&str> = calls
        .iter()
        .map(String::as_str)
        .filter(|call| !call.starts_with("event"))
        .collect();
    assert_eq!(
        others,
        [
            format!("transform {TOLD}"),
            format!("persist {RUN} {SHOWN}"),
            format!("complete {SHOWN}"),
            format!("flush {RUN}"),
        ]
    );
    // The terminal line is shown behind all but the flush.
    let last = calls.iter().rposition(|call| call.starts_with("event"));
    assert_eq!(last, Some(calls.len() - 2));
    assert!(calls[calls.len() - 2].contains("session.run.completed"));
    let told: String = calls
        .iter()
        .filter_map(|call| call.strip_prefix("event "))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(told, shown_log());
    let again = ask(&world.worker(), &product, Stay::ToTheEnd);
    world.settle();
    assert_eq!(
        (again.brief(), again.log()),
        ("replayed".into(), shown_log())
    );
    assert_eq!(product.calls(), calls);
    assert_eq!(product.logged(), [] as [&str; 0]);
}

/// T24: the origin redacted the product's copy and kept the raw text in its steps, log and replay.
#[test]
fn what_is_redacted_is_in_no_durable_copy_at_any_time() {
    let world = scene();
    let product = Product::new(true, true);
    let reading = ask(&world.worker(), &product, Stay::ToTheEnd);
    for _ in 0..60 {
        world.run_for(10);
        assert_redacted(&world);
        assert!(!reading.log().contains("ter2"));
    }
    world.settle();
    assert_redacted(&world);
    assert_eq!(reading.log(), shown_log());
    assert_eq!(
        answer(&world),
        (format!("\"{SHOWN}\""), MessageStatus::Complete)
    );
    let outcome = stored(&world).state.outcome.expect("it is over");
    assert_eq!(outcome.text_units, SHOWN.encode_utf16().count() as u64);
    assert!(!world.log.borrow().iter().any(|line| line.contains("ter2")));
}

#[test]
fn a_turn_that_does_not_complete_keeps_no_text_that_was_held_back() {
    let world = scene();
    world.upstream.play(Script {
        fails: Some("out of luck"),
        ..script()
    });
    let product = Product::new(true, true);
    ask(&world.worker(), &product, Stay::ToTheEnd);
    world.settle();
    assert_redacted(&world);
    assert_eq!(answer(&world), ("\"\"".to_owned(), MessageStatus::Failed));
    assert_eq!(error_code(&world).as_deref(), Some("upstream_failed"));
    let last: Vec<String> = names(&product).into_iter().rev().take(2).collect();
    assert_eq!(last, ["flush", "event"]);
    assert!(!names(&product).contains(&"persist".to_owned()));
}

#[test]
fn a_failing_transformation_fails_the_turn() {
    let world = scene();
    let product = Product::new(true, true);
    product.expect("transform", Does::Fails);
    let reading = ask(&world.worker(), &product, Stay::ToTheEnd);
    world.settle();
    assert_redacted(&world);
    assert_eq!(error_code(&world).as_deref(), Some("transform_failed"));
    assert_eq!(answer(&world), ("\"\"".to_owned(), MessageStatus::Failed));
    assert!(reading.has_ended() && reading.log().contains(r#""code":"transform_failed""#));
    assert_eq!(product.logged(), ["transform_final_text: no luck"]);
    assert!(
        !names(&product)
            .iter()
            .any(|name| name == "persist" || name == "complete")
    );
}

#[test]
fn a_transformation_that_hangs_ends_with_the_turns_time() {
    let world = scene();
    let product = Product::new(true, true);
    product.expect("transform", Does::Hangs);
    ask(&world.worker(), &product, Stay::ToTheEnd);
    world.settle();
    assert_eq!(error_code(&world).as_deref(), Some("turn_timeout"));
    assert_redacted(&world);
}

/// T23: the origin swallowed the failure, and its client read `completed`.
#[test]
fn a_failed_save_is_tried_again_and_each_failure_is_a_record() {
    let world = scene();
    let product = Product::new(true, true);
    for does in [Does::Fails, Does::Hangs, Does::Fails] {
        product.expect("persist", does);
    }
    let reading = ask(&world.worker(), &product, Stay::ToTheEnd);
    world.run_for(2_000);
    assert!(!reading.log().contains("session.run.completed"));
    let saving = &steps(&world)[1];
    assert_eq!((saving.status.as_str(), saving.attempts), ("running", 2));
    world.settle();
    assert_eq!(reading.log(), shown_log());
    let steps = steps(&world);
    let brief: Vec<_> = steps
        .iter()
        .map(|step| {
            (
                step.intent.as_str(),
                step.kind.as_str(),
                step.status.as_str(),
            )
        })
        .collect();
    assert_eq!(
        brief,
        [
            ("turn", "llm", "completed"),
            ("persist", "logic", "completed")
        ]
    );
    let failures: Vec<(u32, &str)> = steps[1]
        .detail
        .failures
        .iter()
        .map(|failure| (failure.attempt, failure.message.as_str()))
        .collect();
    assert_eq!(
        failures,
        [
            (1, "no luck"),
            (2, "no answer within 30000 ms"),
            (3, "no luck")
        ]
    );
    assert_eq!(steps[1].attempts, 4);
    assert_eq!(world.upstream.asked().len(), 1);
    assert_eq!(product.logged().len(), 3);
}

/// T23: when the tries are used up, the turn says so.
#[test]
fn a_turn_that_cannot_be_saved_fails() {
    let world = scene();
    let product = Product::new(true, true);
    for _ in 0..13 {
        product.expect("persist", Does::Fails);
    }
    let reading = ask(&world.worker(), &product, Stay::ToTheEnd);
    world.settle();
    let tries = names(&product)
        .iter()
        .filter(|name| *name == "persist")
        .count();
    assert_eq!(tries, 12);
    assert_eq!(error_code(&world).as_deref(), Some("persist_failed"));
    let kinds = lines_of(&reading.log());
    assert_eq!(kinds[kinds.len() - 2..], ["error", "session.run.failed"]);
    assert!(!names(&product).contains(&"complete".to_owned()));
    let steps = steps(&world);
    assert_eq!(steps[0].status, "completed");
    assert_eq!(steps[1].status, "failed");
    assert_eq!(steps[1].detail.failures.len(), tries);
    assert_eq!(answer(&world).1, MessageStatus::Failed);
}

#[test]
fn a_cancel_ends_the_waiting_between_two_tries() {
    let world = scene();
    let product = Product::new(true, true);
    for _ in 0..13 {
        product.expect("persist", Does::Fails);
    }
    ask(&world.worker(), &product, Stay::ToTheEnd);
    world.run_for(5_000);
    let cancel = steadfast::store::Cancel {
        reason: None,
        at: world.sim.now(),
    };
    block_on(world.durable().request_cancel(RUN, &cancel)).expect("D1 answers");
    world.settle();
    assert_eq!(stored(&world).state.status, Status::Cancelled);
    assert_eq!(steps(&world)[1].status, "failed");
}

/// What the swallowed hooks do changes nothing; it is heard of. T29: the origin's body stayed open
/// for ever when its flush threw.
#[test]
fn hooks_whose_failure_is_swallowed_change_nothing_and_are_heard_of() {
    for does in [Does::Fails, Does::Hangs] {
        for hook in ["event", "complete", "flush"] {
            let world = scene();
            let product = Product::new(true, true);
            product.expect(hook, does);
            let reading = ask(&world.worker(), &product, Stay::ToTheEnd);
            world.settle();
            assert_eq!(reading.log(), shown_log(), "{hook} {does:?}");
            assert_eq!(stored(&world).state.status, Status::Completed);
            assert_eq!(product.logged().len(), 1, "{hook} {does:?}");
            let took =
                stored(&world).state.finished_at.expect("it is over") - stored(&world).created_at;
            let most = 12_000;
            assert!(took < most, "{hook} {does:?}: {took}");
            let heard = world
                .log
                .borrow()
                .iter()
                .any(|line| line.contains(r#""hook":"#));
            assert!(heard);
        }
    }
}

/// T29: the last line doesn't wait for the flush.
#[test]
fn a_flush_that_hangs_does_not_hold_the_end_back() {
    let world = scene();
    let product = Product::new(true, true);
    product.expect("flush", Does::Hangs);
    let reading = ask(&world.worker(), &product, Stay::ToTheEnd);
    world.run_for(1_500);
    assert!(reading.has_ended());
    assert_eq!(product.logged(), [] as [&str; 0]);
    world.settle();
    assert_eq!(product.logged().len(), 1);
}

/// T27: the origin neither saved nor completed a turn whose client had left.
#[test]
fn a_client_that_leaves_takes_no_hook_along() {
    for pieces in 0..6 {
        let world = scene();
        let product = Product::new(true, true);
        ask(&world.worker(), &product, Stay::Pieces(pieces));
        world.settle();
        assert_eq!(stored(&world).state.status, Status::Completed);
        for hook in ["transform", "persist", "complete", "flush"] {
            let calls = names(&product).into_iter().filter(|name| name == hook);
            assert_eq!(calls.count(), 1, "{hook} after {pieces}");
        }
    }
}

#[test]
fn hooks_that_do_nothing_cost_no_commit() {
    let cost = |world: &World| world.d1.calls().len();
    let plain = scene();
    ask(&plain.worker(), &steadfast::turn::NoHooks, Stay::Pieces(0));
    plain.settle();
    let hooked = scene();
    ask(
        &hooked.worker(),
        &Product::new(false, false),
        Stay::Pieces(0),
    );
    hooked.settle();
    assert_eq!(cost(&plain), cost(&hooked));
    assert_eq!(steps(&hooked).len(), 1);
    let saved = scene();
    ask(&saved.worker(), &Product::new(false, true), Stay::Pieces(0));
    saved.settle();
    assert_eq!(cost(&saved), cost(&plain) + 1);
}

/// A product whose answer is its own code.
#[derive(Clone)]
struct Chat {
    ports: SimPorts,
    saved: Rc<RefCell<Vec<String>>>,
}

impl Hooks for Chat {
    fn transforms_text(&self) -> bool {
        true
    }

    fn persists(&self) -> bool {
        true
    }

    async fn transform_final_text(
        &self,
        _turn: &TurnIdentity,
        text: String,
    ) -> Result<String, HookError> {
        Ok(text.replace(SECRET, "•••"))
    }

    async fn persist(&self, done: &FinishedTurn) -> Result<(), HookError> {
        self.saved.borrow_mut().push(done.text.clone());
        Ok(())
    }
}

impl ChatHooks for Chat {
    type Frames = LocalBoxStream<'static, Produced>;

    async fn produce(&self, ask: Ask) -> Result<Self::Frames, ProduceError> {
        assert_eq!(ask.execution_id, RUN);
        let frames = script().frames.into_iter();
        let frames: Vec<Produced> = frames
            .map(|(kind, data, _)| Ok((kind.to_owned(), data.to_owned())))
            .collect();
        let ports = self.ports.clone();
        let paced = stream::iter(frames).then(move |frame| {
            let ports = ports.clone();
            async move {
                ports.sleep(40).await;
                frame
            }
        });
        Ok(paced.boxed_local())
    }
}

#[test]
fn a_chat_turn_is_produced_saved_and_answered_in_one_call() {
    let world = World::new(0);
    let worker = world.worker();
    let saved = Rc::default();
    let chat = Chat {
        ports: worker.ports.clone(),
        saved: Rc::clone(&saved),
    };
    let mut bodies = Vec::new();
    for mode in [Mode::Fresh, Mode::Replayed] {
        let (there, chat) = (worker.clone(), chat.clone());
        let outcome = worker.run(async move {
            let answer = handle_chat_turn(&there.ports, &there.store, input(), chat).await;
            let answer = answer.expect("it is answered");
            assert_eq!((answer.mode, answer.execution_id.as_str()), (mode, RUN));
            assert_eq!(answer.content_type, "application/x-ndjson");
            let body: Vec<Vec<u8>> = answer.body.try_collect().await.expect("it ends");
            String::from_utf8(body.concat()).expect("it is UTF-8")
        });
        world.settle();
        bodies.push(outcome.take().expect("the body came to its end"));
    }
    assert_eq!(bodies, [shown_log(), shown_log()]);
    assert_eq!(*saved.borrow(), [SHOWN]);
    assert_redacted(&world);
}
