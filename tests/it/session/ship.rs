//! D1 behind a session: down, full, hanging, late, forgetful; the turn never notices.

use super::{run_turn, scene};
use crate::support::{
    Behaviour, CROWD, ERRAND, Fault, Object, Script, TENANT, World, assert_shipped, submit,
};
use futures::executor::block_on;
use std::cell::Cell;
use std::rc::Rc;
use steadfast::api::Command;
use steadfast::caps;
use steadfast::store::{Section, Session, SqlStore, Statement, Status, Store};

/// How long a turn takes from its submit to its client's last byte, in ms.
fn turn_ms(world: &World, object: &Object, message: &str) -> i64 {
    let from = world.sim.now();
    let client = object.submit(submit(message));
    world.run_for(5_000);
    assert!(client.has_ended(), "{}", client.brief());
    client.ended_at() - from
}

/// A session with one turn behind it, and how long its second takes when D1 is well.
fn second_turn_ms() -> i64 {
    let (world, object) = scene();
    run_turn(&world, &object, submit("one"));
    turn_ms(&world, &object, "two")
}

#[test]
fn d1_catches_up_in_order_after_turns_it_missed() {
    let well = second_turn_ms();
    for fault in [
        Fault::Refused,
        Fault::Hangs,
        Fault::AnswerLost,
        Fault::Late(15_000),
    ] {
        let (world, object) = scene();
        run_turn(&world, &object, submit("one"));
        world.d1.fail(move |_| Some(fault));
        for message in ["two", "three", "four"] {
            assert_eq!(turn_ms(&world, &object, message), well, "{fault:?}");
        }
        world.run_for(120_000);
        // Without answers the ship can't know that the second turn has landed, and goes on in order.
        let held = match fault {
            Fault::Refused | Fault::Says(_) | Fault::Hangs | Fault::Full => 1,
            Fault::AnswerLost | Fault::Late(_) | Fault::LostAndLate(_) => 2,
        };
        assert_eq!(world.dump(&object).runs.len(), held, "{fault:?}");
        world.d1.heal();
        world.settle();
        assert_shipped(&world, &object);
        assert_eq!(
            world.dump(&object).runs[3].1,
            Script::standard().log(TENANT, "s", 3)
        );
    }
}

#[test]
fn what_must_be_read_from_d1_and_cannot_be_is_refused_before_the_head() {
    let (world, object) = scene();
    world.d1.fail(|_| Some(Fault::Refused));
    let refused = object.submit(submit("hello"));
    world.settle();
    assert_eq!(refused.brief(), "503 store_unavailable");
    assert_eq!(world.upstream.started(), [] as [&str; 0]);
    world.d1.heal();
    let client = run_turn(&world, &object, submit("hello"));
    assert_eq!(client.log(), Script::standard().log(TENANT, "s", 0));
}

#[test]
fn a_full_d1_is_not_asked_hot_and_catches_up_when_it_has_room() {
    let well = second_turn_ms();
    let (world, object) = scene();
    run_turn(&world, &object, submit("one"));
    let before = world.d1.calls().len();
    world.d1.fail(|_| Some(Fault::Full));
    for message in ["two", "three"] {
        assert_eq!(turn_ms(&world, &object, message), well);
    }
    let hour = 3_600_000;
    world.run_for(hour);
    let calls = world.d1.calls().len() - before;
    let patient = usize::try_from(hour / caps::SHIP_FULL_RETRY_MS).expect("it is small");
    assert!(
        (2..=patient + 3).contains(&calls),
        "{calls} calls in an hour"
    );
    world.d1.heal();
    world.settle();
    assert_shipped(&world, &object);
}

#[test]
fn an_older_ship_that_lands_late_undoes_nothing() {
    for nth in 1.. {
        let world = World::new(0);
        world.set("SHIP_INTERVAL_MS", "100");
        let object = world.object("s");
        let count = Rc::new(Cell::new(0));
        let counted = Rc::clone(&count);
        // Later than the ship waits, so that newer ones overtake it.
        world.d1.fail(move |batch| {
            let ships = batch
                .iter()
                .any(|statement| statement.sql.contains("INTO runs"));
            counted.set(counted.get() + usize::from(ships));
            (ships && counted.get() == nth).then_some(Fault::Late(90_000))
        });
        let client = object.submit(submit("hello"));
        world.run_for(60_000);
        assert_eq!(client.log(), Script::standard().log(TENANT, "s", 0));
        if count.get() < nth {
            assert!(nth > 4, "a turn has more ships than {nth}");
            return;
        }
        assert_shipped(&world, &object);
        let before = world.dump(&object);
        world.run_for(120_000);
        assert_eq!(
            world.dump(&object),
            before,
            "the {nth}-th ship undid something"
        );
        world.settle();
        assert_shipped(&world, &object);
    }
}

/// Where a ship's page ends: within the steps of a commit, behind them, and some pages later.
#[test]
fn steps_of_one_commit_are_all_shipped_wherever_a_page_ends() {
    let page = caps::SHIP_ROWS;
    for crowd in [page - 2, page - 1, page, page + 1, 3 * page + 1] {
        for d1_is_away in [false, true] {
            let (world, object) = scene();
            world.set("UPSTREAM", &format!("task:{ERRAND}"));
            let ships = |one: &Statement| one.sql.contains("INTO runs");
            world.d1.fail(move |batch| {
                (d1_is_away && batch.iter().any(ships)).then_some(Fault::Refused)
            });
            object.submit(submit(&format!("{CROWD} {crowd}")));
            world.run_for(10_000);
            let state = object.dump().runs[0].0.state.clone();
            assert_eq!(state.status, Status::Suspended);
            world.d1.heal();
            world.run_for(120_000);
            assert_shipped(&world, &object);
            let steps = world.dump(&object).runs[0].2.len();
            assert_eq!(steps, crowd as usize + 1, "the turn's own beside them");
        }
    }
}

/// More than one ship takes at once.
fn large() -> Script {
    let text = "x".repeat(200_000);
    let data = format!(r#"{{"part":{{"id":"p1","type":"text"}},"delta":"{text}"}}"#).leak();
    Script {
        frames: vec![("message.part.updated", data, data); 12],
        message: format!("\"{}\"", text.repeat(12)).leak(),
        ..Script::short()
    }
}

#[test]
fn a_part_of_a_finished_turn_in_d1_is_a_resume_point() {
    let expected = large().log(TENANT, "s", 0);
    let (world, object) = scene();
    world.upstream.play(large());
    object.submit(submit("hello"));
    world.run_for(100);
    world.d1.fail(|_| Some(Fault::Refused));
    world.run_for(2_000);
    assert_eq!(object.dump().runs[0].0.state.status, Status::Completed);
    let shipped = || world.dump(&object).runs;
    assert_eq!(shipped(), []);
    world.d1.heal();
    while shipped().is_empty() {
        world.run_for(5);
    }
    let (part, log, _) = shipped().remove(0);
    assert!(expected.starts_with(&log) && log.len() < expected.len());
    assert_eq!(part.state.status, Status::Running);
    assert_eq!((part.state.finished_at, part.state.outcome), (None, None));
    assert_eq!(world.dump(&object).messages.len(), 1);
    object.lose_storage();
    let client = object.submit(super::at_index(0, "hello"));
    world.settle();
    assert_eq!(
        (client.brief().as_str(), client.log()),
        ("resumed", expected)
    );
    assert_eq!(world.upstream.started(), ["acme:s:0"]);
    assert_shipped(&world, &object);
}

/// A new life doesn't know what D1 has and begins from the start. What is there stays there: the object's
/// storage may be lost half-way.
#[test]
fn what_d1_has_of_a_turn_is_never_less_while_a_new_life_ships_it_again() {
    let (world, object) = scene();
    world.set("SHIP_INTERVAL_MS", "100");
    world.upstream.play(Script {
        pace_ms: 100,
        ..large()
    });
    object.submit(submit("hello"));
    let stored = || {
        let durable = world.durable();
        let lines = block_on(durable.log_end("acme:s:0")).expect("D1 answers");
        let run = block_on(durable.run("acme:s:0")).expect("D1 answers");
        (lines, run.map_or(0, |run| run.state.line_count))
    };
    // More than one ship takes, of a turn that goes on.
    while stored().0 < 9 {
        world.run_for(5);
    }
    object.end();
    let before = Cell::new(stored());
    let until = world.sim.now() + 60_000;
    world.sim.run_while(until, || {
        let (had, now) = (before.replace(stored()), before.get());
        assert!(now.0 >= had.0 && now.1 >= had.1, "{had:?}, then {now:?}");
        true
    });
    assert_shipped(&world, &object);
    assert_eq!(before.get().0, 14);
}

/// Runs until D1 has the `nth` part of a large turn that is over here; false when it has all of it before.
fn reaches_part(world: &World, object: &Object, nth: usize) -> bool {
    let expected = large().log(TENANT, "s", 0);
    let (mut parts, mut seen) = (0, 0);
    loop {
        let before = world.d1.changes();
        while world.d1.changes() == before {
            world.run_for(1);
        }
        let Some((run, log, steps)) = world.dump(object).runs.pop() else {
            continue;
        };
        if log.len() == expected.len() {
            return false;
        }
        if log.len() > seen {
            (parts, seen) = (parts + 1, log.len());
            assert!(expected.starts_with(&log));
            assert_eq!(run.state.status, Status::Running);
            assert!(steps.iter().all(|step| step.status != "completed"));
        }
        if parts == nth {
            return true;
        }
    }
}

#[test]
fn no_part_of_a_finished_turn_in_d1_says_that_its_upstream_has_said_all() {
    for (persists, nth) in [(false, 1), (false, 2), (true, 1), (true, 2)] {
        let (world, object) = scene();
        world.own.product().set(false, persists);
        world.upstream.play(large());
        object.submit(submit("hello"));
        world.run_for(100);
        world.d1.fail(|_| Some(Fault::Refused));
        world.run_for(2_000);
        let before = object.dump();
        assert_eq!(before.runs[0].0.state.status, Status::Completed);
        world.d1.heal();
        assert!(reaches_part(&world, &object, nth), "{nth} parts and an end");
        object.lose_storage();
        object.submit(super::at_index(0, "hello"));
        world.settle();
        assert_shipped(&world, &object);
        let after = world.dump(&object);
        let what = format!("persists: {persists}, part {nth}");
        assert!(after.runs[0].1 == before.runs[0].1, "{what}");
        assert!(
            after.messages[1].content == before.messages[1].content,
            "{what}"
        );
    }
}

#[test]
fn a_new_life_loads_a_long_session_and_goes_on() {
    let (world, object) = scene();
    world.upstream.play(Script::short());
    // More than one page of runs and of messages, and turns whose ids come in another order as text.
    let turns = 4 * u64::from(caps::HYDRATION_ROWS) + 12;
    for _ in 0..turns {
        run_turn(&world, &object, submit("again"));
    }
    let before = world.dump(&object);
    object.lose_storage();
    let next = run_turn(&world, &object, submit("after"));
    assert_eq!(next.log(), Script::short().log(TENANT, "s", turns));
    assert_shipped(&world, &object);
    let after = world.dump(&object);
    assert_eq!(after.runs[..before.runs.len()], before.runs);
    let bodies = world.upstream.asked();
    let last: serde_json::Value =
        serde_json::from_str(&bodies.last().expect("it was asked").body).expect("it is JSON");
    assert_eq!(last["history"].as_array().map(Vec::len), Some(50));
}

/// More than one page of each, and steps and rows that begin a page.
#[test]
fn a_new_life_takes_over_every_step_and_every_row_of_an_open_run() {
    for crowd in [caps::LIST_LIMIT - 1, caps::LIST_LIMIT, 2 * caps::LIST_LIMIT] {
        let (world, object) = scene();
        world.set("UPSTREAM", &format!("task:{ERRAND}"));
        object.submit(submit(&format!("{CROWD} {crowd}")));
        world.run_for(120_000);
        let before = world.dump(&object);
        object.lose_storage();
        object.ask(Command::Session);
        world.run_for(10_000);
        assert_eq!(object.dump().runs[0].2, before.runs[0].2);
        assert_shipped(&world, &object);
    }
    // D1 has a row for each line that is as large as a row may be.
    let text = "x".repeat(caps::SHIP_BYTES);
    let data = format!(r#"{{"part":{{"id":"p1","type":"text"}},"delta":"{text}"}}"#).leak();
    for rows in [1, 2 * caps::LOG_PAGE_ROWS as usize + 1] {
        let (world, object) = scene();
        world.upstream.play(Script {
            frames: vec![("message.part.updated", data, data); rows],
            ..Script::short()
        });
        // Nor does the upstream say it again at once.
        world
            .upstream
            .behave([Behaviour::StallsAfter(rows + 2), Behaviour::NoHead]);
        object.submit(submit("hello"));
        world.run_for(60_000);
        let before = world.dump(&object).runs[0].1.clone();
        assert_eq!(before.lines().count(), rows + 1, "the last line is to come");
        object.lose_storage();
        object.ask(Command::Session);
        world.run_for(1_000);
        assert!(object.dump().runs[0].1.starts_with(&before), "{rows} rows");
        object.follow(0, -1);
        world.settle();
        assert_eq!(world.upstream.started(), ["acme:s:0"]);
        assert_shipped(&world, &object);
    }
}

#[test]
fn the_sweep_names_runs_that_nobody_looks_after_and_no_others() {
    let (world, object) = scene();
    world.upstream.play(Script {
        pace_ms: 20_000,
        ..Script::standard()
    });
    let client = object.submit(submit("hello"));
    for _ in 0..3 {
        world.run_for(60_000);
        assert_eq!(
            world.sweep(),
            [] as [&str; 0],
            "a run that is under way is left alone"
        );
    }
    object.lose_storage();
    world.run_for(40_000);
    assert_eq!(world.sweep(), [] as [&str; 0], "so long is not too long");
    world.run_for(35_000);
    assert_eq!(world.sweep(), ["acme:s:0"]);
    object.ask(steadfast::api::Command::Poke(0));
    world.run_for(10_000);
    assert_eq!(world.sweep(), [] as [&str; 0]);
    world.settle();
    let dump = world.dump(&object);
    assert_eq!(dump.runs[0].0.state.status, Status::Completed);
    assert!(dump.runs[0].1.starts_with(&client.log()));
    assert_eq!(world.sweep(), [] as [&str; 0]);
}

#[test]
fn a_silent_run_that_was_poked_is_not_named_again_at_once() {
    let (world, object) = scene();
    world.upstream.play(Script {
        pace_ms: 400_000,
        ..Script::standard()
    });
    let _client = object.submit(submit("hello"));
    world.run_for(90_000);
    assert_eq!(world.sweep(), ["acme:s:0"], "it had nothing to ship");
    object.ask(steadfast::api::Command::Poke(0));
    world.run_for(10_000);
    assert_eq!(world.sweep(), [] as [&str; 0], "the poke was shipped");
}

fn ships_lines(batch: &[Statement]) -> bool {
    let mut all = batch.iter();
    all.any(|statement| statement.sql.starts_with("INSERT INTO stream_log"))
}

#[test]
fn a_late_ship_adds_no_row_to_the_larger_ones_of_the_next_life() {
    let (world, object) = scene();
    world.set("SHIP_INTERVAL_MS", "100");
    let ships = Rc::new(Cell::new(0));
    world.d1.fail(move |batch| {
        ships.set(ships.get() + u32::from(ships_lines(batch)));
        (ships.get() > 1).then_some(Fault::LostAndLate(20_000))
    });
    object.submit(submit("one"));
    // Its end was sent, and nobody knows whether it arrived.
    world.run_for(2_500);
    object.end();
    world.d1.heal();
    object.follow(0, -1);
    world.settle();
    // The whole, and behind it the parts of the life before.
    assert_shipped(&world, &object);
    let expected = Script::standard().log(TENANT, "s", 0);
    assert_eq!(world.dump(&object).runs[0].1, expected);
}

#[test]
fn a_call_sets_the_alarm_that_the_platform_lost() {
    let (world, object) = scene();
    world.d1.fail(|_| Some(Fault::Refused));
    object.lose_alarms(|| true);
    object.submit(submit("one"));
    world.run_for(120_000);
    object.end();
    world.d1.heal();
    object.lose_alarms(|| false);
    world.settle();
    assert_eq!(world.dump(&object).runs.len(), 0, "nobody has called");
    object.follow(0, -1);
    world.settle();
    assert_shipped(&world, &object);
}

#[test]
fn a_session_that_was_copied_from_d1_has_an_alarm_at_once() {
    let (world, object) = scene();
    world.set("SHIP_INTERVAL_MS", "100");
    object.submit(submit("one"));
    world.run_for(450);
    object.lose_storage();
    object.ask(Command::Session);
    let until = world.sim.now() + 2_000;
    let seen = Cell::new(0);
    world.sim.run_while(until, || {
        let (rows, alarm) = object.durable();
        let store = SqlStore::new(rows, Section::Object);
        let key = object.session_key();
        // Without a schema there is nothing to read.
        let session = block_on(store.session(&key)).ok().flatten();
        seen.set(seen.get() + u32::from(session.is_some()));
        assert!(session.is_none() || alarm.is_some());
        true
    });
    assert!(seen.get() > 0, "it was copied");
}

#[test]
fn a_clock_that_goes_back_does_not_hold_up_the_next_try() {
    let (world, object) = scene();
    run_turn(&world, &object, submit("one"));
    object.clock().set_ahead(600_000);
    world.d1.fail(|_| Some(Fault::Refused));
    object.submit(submit("two"));
    world.run_for(2_500);
    object.clock().set_ahead(0);
    world.d1.heal();
    // The alarm is ten minutes off; a call sets it anew.
    object.submit(submit("three"));
    world.run_for(60_000);
    assert_shipped(&world, &object);
}

#[test]
fn an_instance_that_was_replaced_takes_no_session_away_from_its_successor() {
    let (world, object) = scene();
    world.set("SHIP_INTERVAL_MS", "100");
    let mut calls = 0;
    // The first instance's question whether D1 has the session; it has none when it is asked.
    world.d1.fail(move |_| {
        calls += 1;
        (calls == 1).then_some(Fault::Late(400))
    });
    object.ask(Command::Session);
    world.run_for(10);
    object.replace(30_000);
    let client = object.submit(submit("one"));
    world.run_for(380);
    let shipped = world.dump(&object);
    assert_eq!(shipped.runs[0].0.state.status, Status::Running);
    world.settle();
    assert_eq!(object.zombies_ended(), 1);
    assert!(client.has_ended(), "{}", client.brief());
    assert_eq!(client.log(), Script::standard().log(TENANT, "s", 0));
    let birth = |session: Option<Session>| session.map(|session| session.birth);
    assert_eq!(
        birth(world.dump(&object).session),
        birth(shipped.session),
        "nobody else has claimed it"
    );
    assert_shipped(&world, &object);
}
