//! Hooks of a deployment around the turns of its session objects.
//!
//! Owns that an object's turn with hooks keeps the promises of one without, and that neither of its
//! two stores ever has what the hooks redact. The hooks themselves are tested in `chat`.

use super::{World, submit};
use crate::support::{
    Crash, Does, Moment, Object, Product, SECRET, Script, assert_shipped, everything, text_of,
};
use steadfast::caps;
use steadfast::store::Status;
use steadfast::wire::request::Submit;

const RUN: &str = "acme:s:0";

fn script() -> Script {
    let frame = |kind, data| (kind, data, data);
    Script {
        frames: vec![
            frame(
                "message.part.updated",
                r#"{"part":{"id":"p1","type":"text"},"delta":"It is hun"}"#,
            ),
            frame("tool.call", r#"{"id":"t1"}"#),
            frame(
                "message.part.updated",
                r#"{"part":{"id":"p1","type":"text"},"delta":"ter2."}"#,
            ),
        ],
        message: "\"It is hunter2.\"",
        pace_ms: 40,
        fails: None,
        tricks: Vec::new(),
    }
}

fn shown_log() -> String {
    let frame = |kind, data| (kind, data, data);
    let shown = Script {
        frames: vec![
            frame("tool.call", r#"{"id":"t1"}"#),
            frame(
                "message.part.updated",
                r#"{"part":{"id":"p1","type":"text","text":"It is •••."}}"#,
            ),
        ],
        ..script()
    };
    shown.log("acme", "s", 0)
}

fn scene() -> (World, Object, Product) {
    let world = World::new(0);
    world.set("SHIP_INTERVAL_MS", "100");
    world.set("WATCHDOG_MS", "100");
    world.upstream.play(script());
    let product = world.own.product();
    product.set(true, true);
    let object = world.object("s");
    (world, object, product)
}

fn keyed() -> Submit {
    Submit {
        key: Some("k-1".to_owned()),
        ..submit("hello")
    }
}

fn assert_redacted(world: &World, object: &Object) {
    for text in [everything(world), text_of(&object.storage())] {
        for part in [SECRET, "ter2", "is hun"] {
            assert!(!text.contains(part), "{part} in {text}");
        }
    }
}

fn called(product: &Product, hook: &str) -> usize {
    let calls = product.calls();
    calls.iter().filter(|call| call.starts_with(hook)).count()
}

#[test]
fn an_objects_turn_is_redacted_saved_and_shipped() {
    let (world, object, product) = scene();
    let client = object.submit(keyed());
    world.settle();
    assert_eq!(client.log(), shown_log());
    assert_redacted(&world, &object);
    assert_shipped(&world, &object);
    let steps = &world.dump(&object).runs[0].2;
    let brief: Vec<(&str, &str)> = steps
        .iter()
        .map(|step| (step.intent.as_str(), step.status.as_str()))
        .collect();
    assert_eq!(brief, [("turn", "completed"), ("persist", "completed")]);
    for hook in ["transform", "persist", "complete", "flush"] {
        assert_eq!(called(&product, hook), 1, "{hook}");
    }
    assert_eq!(called(&product, "event"), shown_log().lines().count());
}

/// Whether its object ends or loses its storage as well, wherever it does.
#[test]
fn a_hooked_turn_that_ended_anywhere_is_saved_once_more_and_shown_alike() {
    for lost in [false, true] {
        for at in 1.. {
            let (world, object, product) = scene();
            world.plan.crash(Crash {
                at,
                moment: Moment::After,
            });
            object.submit(keyed());
            if !world.run_to_crash() {
                break;
            }
            assert_redacted(&world, &object);
            if lost {
                object.lose_storage();
            }
            let mut client = object.submit(keyed());
            for _ in 0..3 {
                world.settle();
                if client.has_ended() {
                    break;
                }
                client = object.submit(keyed());
            }
            assert_eq!(client.log(), shown_log(), "{at} {lost}");
            assert_redacted(&world, &object);
            assert_shipped(&world, &object);
            let run = world.dump(&object).runs[0].0.clone();
            assert_eq!(run.state.status, Status::Completed);
            assert_eq!(world.upstream.started(), [RUN]);
            assert!(called(&product, "persist") >= 1);
        }
    }
}

/// Has each try end so, in turn. One that hangs takes its object along.
fn save_in_vain(outcomes: &[Does]) {
    let (world, object, product) = scene();
    let tries = usize::try_from(caps::PERSIST_TRIES).expect("it is small");
    let turns = outcomes.iter().cycle().take(2 * tries);
    turns.for_each(|does| product.expect("persist", *does));
    object.submit(keyed());
    let mut met = 0;
    // The waits of the back-off come to a minute and a half.
    for _ in 0..6_000 {
        world.run_for(50);
        let called = called(&product, "persist");
        if called > met {
            met = called;
            if outcomes[(met - 1) % outcomes.len()] == Does::Hangs {
                object.end();
            }
        }
    }
    assert_eq!(met, tries, "{outcomes:?}");
    let dump = object.dump();
    let (run, _, steps) = &dump.runs[0];
    assert_eq!(run.state.status, Status::Failed);
    let error = run.state.last_error.as_ref().expect("it says why");
    assert_eq!(error.code, "persist_failed");
    let failures = &steps[1].detail.failures;
    let told: Vec<(u32, &str)> = failures
        .iter()
        .map(|failure| (failure.attempt, failure.code.as_str()))
        .collect();
    let codes = outcomes.iter().cycle().map(|does| match does {
        Does::Fails => "failed",
        Does::Hangs => "interrupted",
    });
    let expected: Vec<(u32, &str)> = (1..=caps::PERSIST_TRIES).zip(codes).collect();
    assert_eq!(told, expected);
    assert_eq!(world.upstream.started(), [RUN]);
    assert_shipped(&world, &object);
}

#[test]
fn every_try_to_save_counts_whether_it_told_of_its_failure_or_took_its_object_along() {
    use Does::{Fails, Hangs};
    for outcomes in [
        &[Fails] as &[Does],
        &[Hangs],
        &[Fails, Hangs],
        &[Hangs, Hangs, Fails],
    ] {
        save_in_vain(outcomes);
    }
}

#[test]
fn text_is_held_back_and_redacted_however_its_type_is_written() {
    for part in [
        r#"{"part":{"id":"p1","type":"te\u0078t"},"delta":"It is hunter2."}"#,
        r#"{"part":{"id":"p1","type":"\u0074\u0065\u0078\u0074"},"delta":"It is hunter2."}"#,
        r#"{"part":{"\u0074ype":"text","id":"p1"},"delta":"It is hunter2."}"#,
        r#"{"part":{"id":"p1","type":"text"},"\u0064elta":"It is hunter2."}"#,
        r#"{"delta":"It is hunter2.", "part" : { "type" : "text", "id" : "p1" } }"#,
    ] {
        let (world, object, _) = scene();
        let frame = |kind, data| (kind, data, data);
        world.upstream.play(Script {
            frames: vec![
                frame("tool.call", r#"{"id":"t1"}"#),
                frame("message.part.updated", part),
            ],
            ..script()
        });
        let client = object.submit(keyed());
        for _ in 0..20 {
            world.run_for(20);
            assert_redacted(&world, &object);
            assert!(!client.body().contains("hunter2"), "{part}");
        }
        world.settle();
        assert_redacted(&world, &object);
        assert_eq!(client.log(), shown_log(), "{part}");
        let messages = object.dump().messages;
        assert_eq!(messages[1].content, "\"It is •••.\"", "{part}");
    }
}
