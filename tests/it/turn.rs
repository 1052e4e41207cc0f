//! One turn against upstreams that misbehave, on the simulated platform.
//!
//! Owns the budgets and endings of PROTOCOL §4.2 as a client sees them: what each refusal, cut and
//! silence becomes, how often the upstream is asked, and when the turn is given up.

use crate::support::{
    Behaviour, Fault, Object, Script, TENANT, World, assert_shipped, lines_of, submit,
};
use steadfast::api::Command;
use steadfast::store::{Run, Status};
use steadfast::wire::request::Submit;

const RUN: &str = "acme:s:0";

/// A turn that is over.
struct Ended {
    world: World,
    object: Object,
    log: String,
    run: Run,
}

/// Runs one turn against an upstream that behaves so.
fn run_turn(world: World, submit: Submit, behaviours: &[Behaviour]) -> Ended {
    world.upstream.behave(behaviours.iter().copied());
    let object = world.object("s");
    let client = object.submit(submit);
    world.settle();
    assert!(client.has_ended(), "{behaviours:?}: {}", client.brief());
    assert_shipped(&world, &object);
    let run = world.dump(&object).runs[0].0.clone();
    let log = client.log();
    lines_of(&log);
    Ended {
        world,
        object,
        log,
        run,
    }
}

fn sandbox(behaviours: &[Behaviour]) -> Ended {
    run_turn(World::new(0), submit("hello"), behaviours)
}

fn chat(behaviours: &[Behaviour]) -> Ended {
    let submit = Submit {
        upstream: Some("openai-chat".to_owned()),
        ..submit("hello")
    };
    run_turn(World::new(0), submit, behaviours)
}

/// `completed`, or the code that the turn failed with.
fn ending(ended: &Ended) -> String {
    match ended.run.state.status {
        Status::Completed => "completed".to_owned(),
        _ => {
            let error = ended.run.state.last_error.clone();
            let code = error.expect("a failure says why").code;
            assert!(
                ended
                    .log
                    .contains(&format!(r#""type":"error","data":{{"code":"{code}""#))
            );
            code
        }
    }
}

/// How a turn ends, with how many attempts and how many requests.
fn check(ended: &Ended, expected: (&str, usize, usize)) {
    let attempts = ended.run.state.attempts.len();
    let asked = ended.world.upstream.asked().len();
    assert_eq!(
        (ending(ended).as_str(), attempts, asked),
        expected,
        "{}",
        ended.log
    );
    let restarts = ended
        .log
        .matches(r#""type":"session.run.restarted""#)
        .count();
    assert_eq!(restarts + 1, attempts);
}

#[test]
fn refusals_of_a_resumable_upstream_are_bounded_and_told_apart() {
    use Behaviour::{HeadLost, NoHead, Status};
    let unavailable = [Status(503); 8];
    // Requests that were refused did not arrive, and are not counted.
    for (behaviours, expected) in [
        (&[] as &[Behaviour], ("completed", 1, 1)),
        (&unavailable[..7], ("completed", 1, 1)),
        (&unavailable, ("upstream_unavailable", 1, 0)),
        (
            &[Status(408), Status(425), Status(429), Status(500)],
            ("completed", 1, 1),
        ),
        (&[HeadLost, HeadLost], ("completed", 1, 3)),
        (&[NoHead], ("completed", 1, 2)),
        (&[Status(404)], ("completed", 2, 1)),
        (&[Status(410), Status(404)], ("completed", 3, 1)),
        (&[Status(404); 3], ("upstream_unavailable", 3, 0)),
        (&[Status(409)], ("upstream_conflict", 1, 0)),
        (&[Status(401)], ("upstream_rejected", 1, 0)),
        (&[Status(301)], ("upstream_rejected", 1, 0)),
        (&[Status(503), Status(401)], ("upstream_rejected", 1, 0)),
    ] {
        let ended = sandbox(behaviours);
        check(&ended, expected);
        if expected.1 == 1 && expected.0 == "completed" {
            assert_eq!(ended.log, Script::standard().log(TENANT, "s", 0));
            assert_eq!(ended.world.upstream.started(), [RUN]);
        }
    }
}

#[test]
fn a_stream_that_cannot_be_resumed_is_asked_again_in_sight() {
    use Behaviour::{CutAfter, HeadLost, NoHead, StallsAfter, Status};
    for (behaviours, expected) in [
        (&[] as &[Behaviour], ("completed", 1, 1)),
        (&[Status(429), Status(409)], ("completed", 1, 1)),
        (&[Status(503)], ("completed", 2, 1)),
        (&[Status(408)], ("completed", 2, 1)),
        (&[HeadLost], ("completed", 2, 2)),
        (&[NoHead], ("completed", 2, 2)),
        (&[CutAfter(3)], ("completed", 2, 2)),
        (&[StallsAfter(3)], ("completed", 2, 2)),
        (&[CutAfter(0), CutAfter(2)], ("completed", 3, 3)),
        (&[CutAfter(1); 3], ("upstream_unavailable", 3, 3)),
        (&[HeadLost; 3], ("upstream_unavailable", 3, 3)),
        (&[Status(404)], ("upstream_rejected", 1, 0)),
    ] {
        check(&chat(behaviours), expected);
    }
}

#[test]
fn a_cut_or_a_silence_after_any_piece_loses_and_repeats_nothing() {
    let expected = Script::standard().log(TENANT, "s", 0);
    for pieces in 0..16 {
        for behaviour in [Behaviour::CutAfter(pieces), Behaviour::StallsAfter(pieces)] {
            let ended = sandbox(&[behaviour]);
            assert_eq!(ended.log, expected, "{behaviour:?}");
            let asked = ended.world.upstream.asked();
            // The whole body is 15 pieces; a cut behind the last one is never met.
            assert_eq!(
                asked.len(),
                if pieces < 15 { 2 } else { 1 },
                "{behaviour:?}"
            );
            assert_eq!(asked[0].after, None);
            let frames = pieces.saturating_sub(1);
            let after = (frames > 0).then(|| format!("f{}", frames - 1));
            assert_eq!(
                asked.get(1).and_then(|again| again.after.clone()),
                after.filter(|_| pieces < 15)
            );
            assert_eq!(ended.world.upstream.started(), [RUN]);
        }
    }
}

#[test]
fn progress_restores_the_patience_with_cuts() {
    // Each connection brings one frame more, for longer than failures in a row are borne.
    let cuts = vec![Behaviour::CutAfter(2); 11];
    let ended = sandbox(&cuts);
    assert_eq!(ended.log, Script::standard().log(TENANT, "s", 0));
    check(&ended, ("completed", 1, 12));
    let barren = vec![Behaviour::CutAfter(1); 8];
    check(&sandbox(&barren), ("upstream_unavailable", 1, 8));
}

#[test]
fn silence_costs_nothing_but_time() {
    let silences = vec![Behaviour::StallsAfter(0); 10];
    let ended = sandbox(&silences);
    check(&ended, ("completed", 1, 11));
    let at: Vec<i64> = ended
        .world
        .upstream
        .asked()
        .iter()
        .map(|asked| asked.at)
        .collect();
    assert!(
        at.windows(2)
            .all(|pair| (120_000..120_100).contains(&(pair[1] - pair[0]))),
        "{at:?}"
    );
}

#[test]
fn retry_after_is_waited_for_within_its_bound() {
    for (asked_ms, waited_ms) in [(20_000, 20_000), (3_600_000, 60_000)] {
        let ended = sandbox(&[Behaviour::RetryAfter(asked_ms)]);
        check(&ended, ("completed", 1, 1));
        let waited = ended.world.upstream.asked()[0].at - ended.run.created_at;
        let waited = u64::try_from(waited).expect("it came later");
        assert!((waited_ms..waited_ms + 1_000).contains(&waited), "{waited}");
    }
}

#[test]
fn an_upstreams_failure_is_the_turns() {
    let world = World::new(0);
    let script = Script {
        fails: Some("out of luck"),
        ..Script::standard()
    };
    world.upstream.play(script.clone());
    let ended = run_turn(world, submit("hello"), &[]);
    assert_eq!(ended.log, script.log(TENANT, "s", 0));
    check(&ended, ("upstream_failed", 1, 1));
    assert_eq!(
        ended.world.dump(&ended.object).messages[1].content,
        script.message
    );
}

#[test]
fn a_turns_time_and_size_are_bounded_and_the_upstream_is_told() {
    for (name, value, code) in [
        ("TURN_TIMEOUT_MS", "60000", "turn_timeout"),
        ("TURN_MAX_BYTES", "1024", "turn_too_large"),
    ] {
        let world = World::new(0);
        world.set(name, value);
        world.upstream.play(Script {
            pace_ms: 10_000,
            ..Script::standard()
        });
        let ended = run_turn(world, submit("hello"), &[]);
        check(&ended, (code, 1, 1));
        assert_eq!(ended.world.upstream.cancels(), [RUN]);
        assert_eq!(ended.run.upstream_cancel, None);
        let took = ended
            .run
            .state
            .finished_at
            .map(|at| at - ended.run.created_at);
        match code {
            "turn_timeout" => assert_eq!(took, Some(60_000)),
            _ => assert!(
                ended.log.len() > 1_024 && ended.log.len() < 2_048,
                "{}",
                ended.log
            ),
        }
    }
}

#[test]
fn deadlines_and_starts_are_not_restored_by_a_new_life() {
    let world = World::new(0);
    world.set("TURN_TIMEOUT_MS", "60000");
    world.upstream.behave([Behaviour::StallsAfter(2); 20]);
    let object = world.object("s");
    object.submit(submit("hello"));
    for _ in 0..11 {
        world.run_for(5_000);
        object.end();
    }
    world.settle();
    let run = world.dump(&object).runs[0].0.clone();
    assert_eq!(
        run.state.last_error.map(|error| error.code).as_deref(),
        Some("turn_timeout")
    );
    assert_eq!(
        run.state.finished_at.map(|at| at - run.created_at),
        Some(60_000)
    );
    assert!(run.epoch > 8, "it had many lives: {}", run.epoch);
}

/// Its storage is there, or it goes on from D1, which has both attempts by one ship.
#[test]
fn a_new_life_in_a_later_attempt_takes_nothing_from_the_one_before() {
    for lost in [false, true] {
        let world = World::new(0);
        // The second attempt's frames have the same ids, and it stalls behind fewer of them.
        world.upstream.behave([
            Behaviour::CutAfter(6),
            Behaviour::Status(404),
            Behaviour::StallsAfter(3),
        ]);
        // D1 has nothing until both have lines.
        world.d1.fail(|batch| {
            let mut all = batch.iter();
            let ships = all.any(|one| one.sql.contains("INTO runs"));
            ships.then_some(Fault::Refused)
        });
        let object = world.object("s");
        object.submit(submit("hello"));
        world.run_for(3_000);
        world.d1.heal();
        world.run_for(10_000);
        if lost {
            assert_eq!(world.dump(&object).runs[0].1, object.dump().runs[0].1);
            object.lose_storage();
            object.ask(Command::Poke(0));
        } else {
            object.end();
        }
        world.settle();
        let dump = world.dump(&object);
        let (run, log, _) = &dump.runs[0];
        let attempts = ["acme:s:0", "acme:s:0:a2"];
        assert_eq!(world.upstream.started(), attempts);
        assert_eq!(world.upstream.asked().len(), 3);
        assert_eq!(run.state.attempts.len(), 2);
        let kinds = lines_of(log);
        let whole = lines_of(&Script::standard().log(TENANT, "s", 0));
        let restarted = kinds
            .iter()
            .position(|kind| kind == "session.run.restarted");
        assert_eq!(restarted, Some(5), "{log}");
        assert_eq!(kinds[..5], whole[..5]);
        assert_eq!(kinds[6..], whole[1..], "storage lost: {lost}");
        assert_eq!(dump.messages[1].content, Script::standard().message);
    }
}

#[test]
fn the_commit_window_groups_lines() {
    // The last frame ends with the turn, and goes with its ending.
    for (window, most_rows, least_rows) in [("0", 13, 13), ("100", 8, 4), ("1000", 3, 2)] {
        let world = World::new(0);
        world.set("COMMIT_WINDOW_MS", window);
        let ended = run_turn(world, submit("hello"), &[]);
        let rows = ended.object.log_rows(RUN);
        assert!(
            (least_rows..=most_rows).contains(&rows),
            "{window} ms: {rows} rows"
        );
        assert_eq!(ended.log, Script::standard().log(TENANT, "s", 0));
    }
}

/// Each life begins a new attempt, whose lines come behind those of the attempts before.
#[test]
fn a_turns_size_is_bounded_over_all_its_attempts_and_lives() {
    let most = 2_048;
    let world = World::new(0);
    world.set("TURN_MAX_BYTES", &most.to_string());
    world.set("UPSTREAM_STARTS", "20");
    world.upstream.behave([Behaviour::StallsAfter(5); 15]);
    let object = world.object("s");
    object.submit(Submit {
        upstream: Some("openai-chat".to_owned()),
        ..submit("hello")
    });
    let log_bytes = || object.dump().runs[0].1.len();
    for _ in 0..15 {
        world.run_for(5_000);
        if !object.is_at_rest() {
            object.end();
        }
    }
    world.settle();
    let run = world.dump(&object).runs[0].0.clone();
    let code = run.state.last_error.map(|error| error.code);
    assert_eq!(code.as_deref(), Some("turn_too_large"));
    assert!(run.state.attempts.len() > 2, "one attempt alone is small");
    assert!(
        (most..most + 1_024).contains(&log_bytes()),
        "{}",
        log_bytes()
    );
}
