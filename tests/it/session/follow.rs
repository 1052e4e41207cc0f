//! Following a turn: the prefix law in both views, cursors, heartbeats, and readers that don't
//! read.

use super::{run_turn, scene};
use crate::support::{Behaviour, Client, Object, Pace, Script, TENANT, World, behind, submit};
use futures::executor::block_on;
use steadfast::api::Command;
use steadfast::store::{Driver, Statement};
use steadfast::wire::view::ViewKind;

fn follow(object: &Object, after: i64, live: bool, view: ViewKind) -> Client {
    object.ask(Command::Follow {
        turn: 0,
        start: behind(after),
        live,
        view,
    })
}

/// The lines as events, as PROTOCOL §2.3 has them.
fn events(log: &str, from: usize) -> String {
    let lines = log.lines().enumerate().skip(from);
    lines
        .map(|(seq, line)| format!("id: {seq}\ndata: {line}\n\n"))
        .collect()
}

/// All that `client` was sent, without SSE's heartbeats.
fn without_heartbeats(client: &Client) -> String {
    client.log().replace(": hb\n\n", "")
}

#[test]
fn every_prefix_and_its_rest_are_the_whole_log_in_both_views() {
    let expected = Script::standard().log(TENANT, "s", 0);
    let count = expected.lines().count();
    let (world, object) = scene();
    run_turn(&world, &object, submit("hello"));
    for seen in 0..count {
        let after = i64::try_from(seen).expect("it is small") - 1;
        let ndjson = follow(&object, after, true, ViewKind::Ndjson);
        let sse = follow(&object, after, true, ViewKind::Sse);
        world.settle();
        let prefix: String = expected.split_inclusive('\n').take(seen).collect();
        assert_eq!(prefix + &ndjson.body(), expected);
        assert_eq!(sse.body(), events(&expected, seen));
        assert!(ndjson.has_ended() && sse.has_ended());
    }
}

#[test]
fn the_prefix_law_holds_wherever_a_live_turn_is_joined() {
    let expected = Script::standard().log(TENANT, "s", 0);
    for wait in (0..640).step_by(40) {
        let (world, object) = scene();
        object.submit(submit("hello"));
        world.run_for(100 + wait);
        let sofar = follow(&object, -1, false, ViewKind::Ndjson);
        world.run_for(10);
        let prefix = sofar.body();
        assert!(sofar.has_ended() && expected.starts_with(&prefix));
        let after = i64::try_from(prefix.lines().count()).expect("it is small") - 1;
        let rest = follow(&object, after, true, ViewKind::Ndjson);
        let sse = follow(&object, after, true, ViewKind::Sse);
        world.settle();
        assert_eq!(prefix.clone() + &rest.body(), expected);
        assert_eq!(
            without_heartbeats(&sse),
            events(&expected, prefix.lines().count())
        );
    }
}

#[test]
fn cursors_beyond_the_log_are_refused_and_its_end_is_empty() {
    let (world, object) = scene();
    run_turn(&world, &object, submit("hello"));
    for (after, view, expected) in [
        (12, ViewKind::Ndjson, "lines"),
        (13, ViewKind::Ndjson, "lines"),
        (13, ViewKind::Sse, "204"),
        (14, ViewKind::Ndjson, "400 cursor_out_of_range"),
        (14, ViewKind::Sse, "400 cursor_out_of_range"),
        (i64::MAX, ViewKind::Ndjson, "400 cursor_out_of_range"),
    ] {
        let client = follow(&object, after, true, view);
        world.settle();
        assert_eq!(client.brief(), expected, "{after} {view:?}");
        let lines = usize::from(after == 12);
        assert_eq!(client.body().lines().count(), lines, "{after}");
    }
    let none = object.follow(1, -1);
    world.settle();
    assert_eq!(none.brief(), "404 not_found");
}

#[test]
fn a_quiet_turn_sends_heartbeats_outside_the_log() {
    let (world, object) = scene();
    world.upstream.behave([Behaviour::StallsAfter(3)]);
    let ndjson = object.submit(submit("hello"));
    world.run_for(500);
    let sse = follow(&object, -1, true, ViewKind::Sse);
    let before = ndjson.log();
    // Silence ends after two minutes; until then there is a heartbeat each quarter.
    world.run_for(100_000);
    assert_eq!(ndjson.log(), before);
    let heartbeats = ndjson.body().matches("{\"type\":\"heartbeat\"}\n").count();
    assert_eq!(heartbeats, 6);
    assert_eq!(sse.body().matches(": hb\n\n").count(), 6);
    world.settle();
    let expected = Script::standard().log(TENANT, "s", 0);
    assert_eq!(ndjson.log(), expected);
    assert_eq!(without_heartbeats(&sse), events(&expected, 0));
}

/// When a turn ends that clients of these paces watch.
fn ends_at(paces: &[Pace]) -> (i64, Vec<Client>) {
    let world = World::new(0);
    let object = world.object("s");
    let first = object.submit(submit("hello"));
    world.run_for(100);
    let others = paces.iter().map(|pace| {
        let command = Command::Follow {
            turn: 0,
            start: behind(-1),
            live: true,
            view: ViewKind::Ndjson,
        };
        object.ask_at(command, *pace)
    });
    let others = others.collect();
    world.settle();
    assert_eq!(first.log(), Script::standard().log(TENANT, "s", 0));
    let finished = world.dump(&object).runs[0].0.state.finished_at;
    assert!(finished.is_some_and(|at| at <= first.ended_at()));
    (first.ended_at(), others)
}

#[test]
fn a_reader_that_stops_delays_nobody_and_a_slow_one_misses_nothing() {
    let (alone, _) = ends_at(&[]);
    let (watched, others) = ends_at(&[Pace::Stops, Pace::Slow(3_000), Pace::Stops, Pace::Eager]);
    assert_eq!(watched, alone);
    let expected = Script::standard().log(TENANT, "s", 0);
    assert_eq!(
        (others[1].log(), others[3].log()),
        (expected.clone(), expected.clone())
    );
    assert!(others[1].ended_at() > alone);
    assert!(!others[0].has_ended() && expected.starts_with(&others[0].log()));
}

#[test]
fn a_follower_whose_lines_expire_under_it_is_cut() {
    let world = World::new(0);
    let object = world.object("s");
    object.submit(submit("hello"));
    world.settle();
    object.lose_storage();
    let database = world.d1.database();
    world.d1.fail(move |batch| {
        if batch.iter().any(|one| {
            one.sql
                .contains("FROM stream_log WHERE run_id = +?1 AND first_seq >=")
        }) {
            let expire = Statement {
                sql: "DELETE FROM stream_log",
                params: vec![],
            };
            block_on(database.apply(vec![expire])).unwrap();
        }
        None
    });
    let client = object.ask(Command::Follow {
        turn: 0,
        start: behind(-1),
        live: true,
        view: ViewKind::Ndjson,
    });
    world.run_for(1_000);
    let calls = world.d1.calls().len();
    world.run_for(1_000);
    assert_eq!(world.d1.calls().len(), calls, "it asks again and again");
    assert_eq!(client.brief(), "lines");
    assert!(!client.has_ended());
}
