//! How long lines are kept: in the object, in D1, and what is answered after.

use super::{keyed, run_turn, scene};
use crate::support::{Client, Fault, Object, Script, TENANT, World, assert_shipped, submit};
use steadfast::api::Command;
use steadfast::caps;
use steadfast::store::LogHome;

fn replay(world: &World, object: &Object) -> Client {
    let client = object.submit(keyed("k", "hello"));
    world.settle();
    client
}

#[test]
fn a_log_is_kept_by_the_object_for_a_month_and_expires_behind_it() {
    let expected = Script::standard().log(TENANT, "s", 0);
    let (world, object) = scene();
    run_turn(&world, &object, keyed("k", "hello"));
    for day in 1..30 {
        world.run_days(1);
        world.sweep();
        let d1 = world.dump(&object);
        let home = if day < 7 {
            LogHome::D1
        } else {
            LogHome::Expired
        };
        assert_eq!(d1.runs[0].0.log_home, home, "day {day}");
        assert_eq!(d1.runs[0].1.is_empty(), home == LogHome::Expired);
    }
    // A turn in between makes the object look at everything it keeps.
    run_turn(&world, &object, submit("more"));
    world.run_for(60_000);
    assert_eq!(replay(&world, &object).log(), expected);
    world.run_days(2);
    let (run, log, _) = &object.dump().runs[0];
    assert_eq!((run.log_home, log.as_str()), (LogHome::D1, ""));
    let [again, follow] = [replay(&world, &object), object.follow(0, 5)];
    world.settle();
    assert_eq!(
        [again.brief(), follow.brief()],
        ["410 log_expired", "410 log_expired"]
    );
    // The transcript stays, and what is younger.
    assert_eq!(object.dump().messages.len(), 4);
    assert_eq!(
        object.dump().runs[1].1,
        Script::standard().log(TENANT, "s", 1)
    );
}

#[test]
fn without_its_object_a_log_lives_as_long_as_d1s_copy() {
    let expected = Script::standard().log(TENANT, "s", 0);
    let (world, object) = scene();
    run_turn(&world, &object, keyed("k", "hello"));
    object.lose_storage();
    world.run_days(6);
    world.sweep();
    let client = replay(&world, &object);
    assert_eq!(
        (client.brief().as_str(), client.log()),
        ("replayed", expected)
    );
    world.run_days(2);
    world.sweep();
    assert_eq!(replay(&world, &object).brief(), "410 log_expired");
}

#[test]
fn retention_works_in_bounded_batches() {
    let (world, object) = scene();
    world.upstream.play(Script::short());
    // Two statements a run, and the one that finds them.
    let a_pass = (caps::PASS_STATEMENTS - 1) / 2;
    for _ in 0..a_pass + 5 {
        run_turn(&world, &object, submit("hello"));
    }
    let kept = |object: &Object| {
        let runs = object.dump().runs;
        runs.iter()
            .filter(|run| run.0.log_home == LogHome::Object)
            .count()
    };
    world.run_days(29);
    assert_eq!(kept(&object), a_pass + 5);
    // All of them have expired, and nobody has looked yet.
    object.end();
    let alarm = object.alarm().expect("retention is due");
    let late = world.sim.now() + 3 * caps::DAY_MS as i64;
    object.delay_alarm(late);
    assert!(alarm < late);
    world.sim.run_until(late);
    assert_eq!(kept(&object), 5);
    world.settle();
    assert_eq!(kept(&object), 0);
    assert_eq!(object.alarm(), None);
}

/// D1 is away for longer than a log is kept. The only copy stays, and the object looks for D1 as often as
/// on any other day.
#[test]
fn a_log_that_d1_lacks_is_kept_and_its_object_does_not_spin() {
    let (world, object) = scene();
    world.set("RETENTION_DAYS", "1");
    run_turn(&world, &object, submit("first"));
    world.d1.fail(|_| Some(Fault::Refused));
    run_turn(&world, &object, keyed("k", "hello"));
    world.run_days(2);
    let before = object.alarms();
    world.run_for(3_600_000);
    let fired = object.alarms() - before;
    // A try of the ship, and a look at the rest.
    assert!((1..=121).contains(&fired), "{fired} alarms an hour");
    let runs = object.dump().runs;
    assert_eq!(runs[0].0.log_home, LogHome::D1, "D1 has the first one");
    assert_eq!(runs[1].1, Script::standard().log(TENANT, "s", 1));
    world.d1.heal();
    world.run_for(120_000);
    assert_shipped(&world, &object);
    world.run_for(120_000);
    let (run, log, _) = &object.dump().runs[1];
    assert_eq!((run.log_home, log.as_str()), (LogHome::D1, ""));
    assert_eq!(object.alarm(), None);
}

/// A variable that can't be read lets no log go, whatever its own is: an operator has to act first.
#[test]
fn an_object_whose_variables_are_bad_keeps_its_logs_and_does_not_spin() {
    let (world, object) = scene();
    run_turn(&world, &object, keyed("k", "hello"));
    world.run_days(29);
    world.set("RETENTION_DAYS", "a month");
    object.end();
    world.run_days(2);
    let before = object.alarms();
    world.run_days(1);
    let fired = object.alarms() - before;
    assert!((1..=25).contains(&fired), "{fired} alarms a day");
    assert_eq!(object.dump().runs[0].0.log_home, LogHome::Object);
    world.set("RETENTION_DAYS", "30");
    object.end();
    world.run_days(1);
    assert_eq!(object.dump().runs[0].0.log_home, LogHome::D1);
    assert_eq!(object.alarm(), None);
}

#[test]
fn an_object_whose_logs_are_all_gone_sleeps_for_good() {
    let (world, object) = scene();
    world.set("RETENTION_DAYS", "1");
    for message in ["first", "second", "third"] {
        run_turn(&world, &object, submit(message));
    }
    world.run_days(1);
    world.run_for(60_000);
    let runs = object.dump().runs;
    assert!(runs.iter().all(|run| run.0.log_home == LogHome::D1));
    for new_life in [false, true] {
        if new_life {
            object.end();
            object.ask(Command::Session);
        }
        world.run_for(60_000);
        assert_eq!(object.alarm(), None);
        let (alarms, calls) = (object.alarms(), world.d1.calls().len());
        world.run_days(30);
        assert_eq!(object.alarms(), alarms);
        assert_eq!(world.d1.calls().len(), calls);
    }
}
