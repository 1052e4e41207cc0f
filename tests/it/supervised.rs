//! Turns on a shared D1 without an object: leases, zombies, takeovers, refusals, and who only reads.
//!
//! Owns the weaknesses of `docs/weaknesses.md` that such turns must not repeat. The upstream is the
//! world's sandbox.

mod crash;
mod durable;
mod frames;
mod lease;

use crate::support::{
    PlainStore, Reading, Script, SimPorts, Stay, TENANT, Worker, World, behind, caller, everything,
    input, lines_of, submit,
};
use futures::executor::block_on;
use steadfast::caps;
use steadfast::ids::ProjectId;
use steadfast::plain::{
    SupervisedTurn, TurnInput, TurnRefused, WhenHeld, follow_turn, run_supervised_turn,
};
use steadfast::store::{LogRow, Run, Status, Store};
use steadfast::turn::NoHooks;
use steadfast::wire::request::IfRunning;
use steadfast::wire::view::ViewKind;

const RUN: &str = "acme:s:0";

/// Asks for a turn in this Worker's life.
fn ask(worker: &Worker, input: TurnInput) -> Reading {
    ask_and_stay(worker, input, Stay::ToTheEnd)
}

fn ask_and_stay(worker: &Worker, input: TurnInput, stay: Stay) -> Reading {
    Reading::of(worker, stay, supervised(worker.clone(), input))
}

async fn supervised(
    worker: Worker,
    input: TurnInput,
) -> Result<SupervisedTurn<SimPorts, PlainStore>, TurnRefused> {
    let upstream = worker.sandbox();
    run_supervised_turn(&worker.ports, &worker.store, input, upstream, NoHooks).await
}

fn follow(worker: &Worker, turn: u64, after: i64) -> Reading {
    let worker_there = worker.clone();
    Reading::of_lines(worker, async move {
        let Worker { ports, store, .. } = &worker_there;
        follow_turn(
            ports,
            store,
            &caller(),
            turn,
            behind(after),
            true,
            ViewKind::Ndjson.view(),
        )
        .await
    })
}

fn refusing() -> TurnInput {
    let mut input = input();
    input.terms.when_held = WhenHeld::Refuse;
    input
}

fn stored(world: &World) -> Run {
    let run = block_on(world.durable().run(RUN)).expect("D1 answers");
    run.expect("the run is there")
}

fn rows(world: &World) -> Vec<LogRow> {
    block_on(world.durable().log(RUN, 0, 1_000)).expect("D1 answers")
}

fn whole_log(world: &World) -> String {
    rows(world).into_iter().map(|row| row.lines).collect()
}

/// What must hold of the log whatever two Workers did: no gap, and nothing written by a lower epoch
/// behind a higher one.
fn assert_one_writer_at_a_time(world: &World) {
    let (mut seq, mut epoch) = (0, 0);
    for row in rows(world) {
        assert_eq!(row.first_seq, seq, "a gap or an overlap");
        assert!(row.epoch >= epoch, "epoch {} behind {epoch}", row.epoch);
        (seq, epoch) = (row.next_seq(), row.epoch);
    }
    assert!(epoch <= stored(world).epoch);
}

/// The laws of a turn that the sandbox completed.
fn assert_completed(world: &World) {
    let expected = Script::standard().log(TENANT, "s", 0);
    assert_eq!(whole_log(world), expected);
    assert_one_writer_at_a_time(world);
    let run = stored(world);
    assert_eq!(run.state.status, Status::Completed);
    assert_eq!(run.state.line_count, 14);
    assert_eq!(world.upstream.started(), [RUN]);
    let messages = block_on(world.durable().messages("acme:s", None, 10)).expect("D1 answers");
    let contents: Vec<&str> = messages.iter().map(|m| m.content.as_str()).collect();
    assert_eq!(contents, ["\"hello\"", Script::standard().message]);
    let steps = block_on(world.durable().steps(RUN, 0, 10)).expect("D1 answers");
    let steps: Vec<(&str, &str)> = steps
        .iter()
        .map(|step| (step.intent.as_str(), step.status.as_str()))
        .collect();
    assert_eq!(steps, [("turn", "completed")]);
}

/// A world whose turn lasts for some seconds.
fn slow_world() -> World {
    let world = World::new(0);
    world.upstream.play(Script {
        pace_ms: 200,
        ..Script::standard()
    });
    world
}

fn writes(world: &World) -> usize {
    let calls = world.d1.calls();
    calls.into_iter().filter(|(_, writes)| *writes).count()
}

#[test]
fn a_turn_on_a_shared_store_is_the_upstreams_transcript() {
    for seed in 0..10 {
        let world = World::new(seed);
        let worker = world.worker();
        let reading = ask(&worker, input());
        world.settle();
        assert_eq!(reading.brief(), "fresh");
        assert!(reading.has_ended());
        assert_eq!(reading.log(), Script::standard().log(TENANT, "s", 0));
        assert_completed(&world);
        assert_eq!(world.sweep(), [] as [&str; 0]);
    }
}

/// T19: an insert and a read-back for each event, so that 490 of them end a turn at D1's 1,000 queries.
/// Here the calls of a turn follow from its time, not from its events.
#[test]
fn a_thousand_events_cost_no_more_calls_than_ten() {
    let calls = |events: usize, pace_ms: u64| {
        let world = World::new(0);
        let frame = (
            "message.part.updated",
            r#"{"part":{"id":"p1","type":"text"},"delta":"x"}"#,
            r#"{"part":{"id":"p1","type":"text"},"delta":"x"}"#,
        );
        world.upstream.play(Script {
            frames: vec![frame; events],
            pace_ms,
            ..Script::short()
        });
        let before = world.d1.calls().len();
        ask(&world.worker(), input());
        world.settle();
        assert_eq!(stored(&world).state.status, Status::Completed);
        assert_eq!(stored(&world).state.line_count, events as u64 + 2);
        world.d1.calls().len() - before
    };
    let (few, many) = (calls(10, 200), calls(1_000, 2));
    assert!(many <= few + 4, "{many} calls against {few}");
}

/// T16: the origin's replay ended the run anew, wiped its outcome and took its lease.
#[test]
fn a_replay_takes_no_lease_and_writes_nothing() {
    let world = World::new(0);
    ask(&world.worker(), input());
    world.settle();
    let (before, written) = (everything(&world), writes(&world));
    let readings: Vec<Reading> = (0..3).map(|_| ask(&world.worker(), refusing())).collect();
    world.settle();
    for reading in readings {
        assert_eq!(reading.brief(), "replayed");
        assert_eq!(reading.log(), Script::standard().log(TENANT, "s", 0));
    }
    assert_eq!((everything(&world), writes(&world)), (before, written));
    assert_eq!(world.upstream.asked().len(), 1);
}

/// T8: the origin refused inside a stream whose head had been sent.
#[test]
fn what_is_refused_is_refused_before_there_is_an_answer() {
    let world = slow_world();
    let worker = world.worker();
    ask(&worker, input());
    world.run_for(200);
    let (before, asked) = (everything(&world), world.upstream.asked());
    let changed = |change: &dyn Fn(&mut TurnInput)| {
        let mut input = refusing();
        change(&mut input);
        let reading = ask(&world.worker(), input);
        // The head comes within a few calls of D1; the turn is still at work then.
        world.run_for(200);
        assert_eq!(stored(&world).state.status, Status::Running);
        assert_eq!(reading.log(), "");
        reading
    };
    let message = |input: &mut TurnInput| input.submit.message = submit("other").message;
    assert_eq!(changed(&message).brief(), "manifest_mismatch");
    let index = |input: &mut TurnInput| {
        input.submit.key = None;
        input.submit.turn_index = Some(0);
        message(input);
    };
    assert_eq!(changed(&index).brief(), "manifest_mismatch");
    let gap = |input: &mut TurnInput| {
        input.submit.key = None;
        input.submit.turn_index = Some(2);
    };
    assert_eq!(changed(&gap).brief(), "turn_out_of_order");
    let next = |input: &mut TurnInput| input.submit.key = Some("k-2".to_owned());
    assert_eq!(changed(&next).brief(), "turn_in_progress");
    let named = |input: &mut TurnInput| input.submit.upstream = Some("x".to_owned());
    assert_eq!(changed(&named).brief(), "invalid_request");
    let held = changed(&|_| {});
    let Some(TurnRefused::LeaseHeld { retry_after_ms }) = held.refused() else {
        panic!("{}", held.brief());
    };
    assert!((1..=caps::LEASE_MS).contains(&retry_after_ms));
    let problem = held.refused().expect("it was").problem();
    assert!(problem.is_retryable() && problem.retry_after_s.is_some_and(|s| s <= 30));
    assert_eq!(world.upstream.asked(), asked);
    assert_eq!(before.matches("FROM runs").count(), 1);
    world.settle();
    assert_completed(&world);
}

/// T27: the origin's turn failed when its client left. T28: it ran ahead of its reader without bound.
#[test]
fn a_client_that_leaves_or_lags_changes_nothing() {
    for stay in (0..12)
        .map(Stay::Pieces)
        .chain([Stay::Slowly(5_000), Stay::Slowly(50)])
    {
        let world = World::new(0);
        let worker = world.worker();
        let reading = ask_and_stay(&worker, input(), stay);
        world.settle();
        assert_completed(&world);
        let whole = whole_log(&world);
        assert!(whole.starts_with(&reading.log()), "{stay:?}");
        let finished = stored(&world).state.finished_at.expect("it is over");
        let took = finished - stored(&world).created_at;
        assert!(
            took < 1_500,
            "{stay:?}: the turn waited for its reader: {took} ms"
        );
        if let Stay::Slowly(_) = stay {
            assert!(reading.has_ended());
            assert_eq!(reading.log(), whole);
        }
    }
}

#[test]
fn any_prefix_can_be_followed_from_by_another_worker() {
    let world = slow_world();
    ask(&world.worker(), input());
    world.run_for(1_500);
    let reader = world.worker();
    let readings: Vec<Reading> = (-1..4).map(|after| follow(&reader, 0, after)).collect();
    let beyond = follow(&reader, 0, 40);
    let missing = follow(&reader, 1, -1);
    world.settle();
    assert_completed(&world);
    let log = whole_log(&world);
    for (known, reading) in readings.iter().enumerate() {
        assert!(reading.has_ended(), "{}", reading.brief());
        let prefix: String = log.split_inclusive('\n').take(known).collect();
        assert_eq!(prefix + &reading.log(), log);
    }
    assert_eq!(beyond.brief(), "cursor_out_of_range");
    assert_eq!(missing.brief(), "no such run");
}

#[test]
fn turns_of_a_session_follow_each_other_with_their_history() {
    let world = World::new(0);
    world.upstream.play(Script::short());
    for turn in 0..3 {
        let mut input = input();
        input.submit = submit(&format!("q{turn}"));
        let reading = ask(&world.worker(), input);
        world.settle();
        assert_eq!(reading.brief(), "fresh");
        assert_eq!(lines_of(&reading.log()).len(), 3);
    }
    let asked = world.upstream.asked();
    let told: serde_json::Value = serde_json::from_str(&asked[2].body).expect("it is JSON");
    let told: Vec<&str> = told["history"]
        .as_array()
        .expect("it is a list")
        .iter()
        .filter_map(|message| message["content"].as_str())
        .collect();
    assert_eq!(told, ["q0", "Yes.", "q1", "Yes."]);
}

#[test]
fn a_cancel_by_another_worker_ends_the_turn_and_is_told_upstream() {
    let world = World::new(0);
    world.upstream.play(Script {
        pace_ms: 5_000,
        ..Script::standard()
    });
    world.upstream.answer_cancels([503, 500]);
    let reading = ask(&world.worker(), input());
    world.run_for(12_000);
    let mut newer = input();
    newer.submit = submit("newer");
    newer.submit.if_running = IfRunning::Cancel;
    let other = ask(&world.worker(), newer.clone());
    world.run_for(60_000);
    assert_eq!(other.brief(), "turn_in_progress");
    let run = stored(&world);
    assert_eq!(run.state.status, Status::Cancelled);
    assert_eq!(run.upstream_cancel, None);
    assert_eq!(world.upstream.cancels(), [RUN; 3]);
    assert!(reading.has_ended());
    assert_eq!(
        lines_of(&reading.log()).last().map(String::as_str),
        Some("session.run.cancelled")
    );
    let after = ask(&world.worker(), newer);
    world.run_for(1_000);
    assert_eq!(after.brief(), "fresh");
}

/// Two deployments share a D1; each has a tenant, a session and a key of the same names. A turn of one
/// is no answer to the other's, nor in its way.
#[test]
fn another_projects_key_is_no_key_of_ours() {
    let world = World::new(0);
    let of_project = |project: Option<&str>, message: &str| {
        let mut input = input();
        input.caller.project = project.map(|id| ProjectId::parse(id).expect("it is one"));
        input.submit.message = Some(serde_json::Value::from(message).to_string());
        input
    };
    for (project, message) in [
        (None, "ours"),
        (Some("eu"), "theirs"),
        (Some("us"), "third"),
    ] {
        for mode in ["fresh", "replayed"] {
            let worker = world.worker();
            let reading = ask(&worker, of_project(project, message));
            world.settle();
            assert_eq!(reading.brief(), mode, "{project:?}");
            assert!(reading.has_ended(), "{project:?}");
        }
    }
    assert_eq!(
        world.upstream.started(),
        [RUN, "eu:acme:s:0", "us:acme:s:0"]
    );
}

/// Nobody named a model when it was accepted, so nobody's is asked for: not the one that is the default by the
/// time its next Worker takes it over, nor the one that a repeat's terms name.
#[test]
fn a_turn_goes_on_with_the_model_that_it_was_accepted_with_though_that_is_none() {
    for accepted in [None, Some("first")] {
        let world = World::new(0);
        let of_model = |model: Option<&str>| {
            let mut input = input();
            input.terms.model = model.map(str::to_owned);
            input
        };
        let first = world.worker();
        ask(&first, of_model(accepted));
        world.run_for(200);
        first.end();
        world.run_for(caps::LEASE_MS + 1_000);
        let second = ask(&world.worker(), of_model(Some("second")));
        world.settle();
        assert!(second.has_ended(), "{}", second.brief());
        let asked = world.upstream.asked();
        assert!(asked.len() > 1, "it was attached again");
        for asked in asked {
            let body: serde_json::Value = serde_json::from_str(&asked.body).expect("it is JSON");
            assert_eq!(body["model"].as_str(), accepted, "{}", asked.body);
        }
    }
}
