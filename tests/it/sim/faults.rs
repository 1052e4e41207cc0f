//! What breaks in a world, and when: every fault of the list that has no client of its own.
//!
//! Owns the wiring of chance to the simulated platform. Which faults a run has is drawn at its beginning.

use super::chance::Chance;
use super::sites::Site;
use crate::support::{
    AlarmFate, Asked, Behaviour, Crash, Fault, Life, Moment, Object, StorageFault, World,
};
use futures::executor::block_on;
use std::cell::Cell;
use std::rc::Rc;
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{Driver, Statement};

/// Between two of the cron's looks, in ms.
const MINUTE_MS: u64 = 60_000;
/// How far a clock jumps, in ms.
const JUMP_MS: i64 = 600_000;
/// The longest that a replaced instance goes on, in ms.
pub const ZOMBIE_MS: u64 = 30_000;
/// How late the latest alarm is, in ms.
const LATE_ALARM_MS: u64 = 60_000;

/// Draws the faults of a run. A run without any is worth having, too.
pub fn draw(chance: &Chance) {
    if chance.percent(4) {
        return;
    }
    // Rates are per 100,000 polls, calls, requests or alarms.
    let polls = [20, 100, 400];
    let calls = [500, 3_000, 15_000];
    let requests = [3_000, 10_000, 30_000];
    let alarms = [2_000, 10_000, 40_000];
    let looks = [5_000, 20_000, 50_000];
    for site in [Site::CrashAtPoll, Site::Panic] {
        chance.allow(site, 30, &polls);
    }
    for site in [Site::CrashBeforeEffect, Site::CrashAfterEffect] {
        chance.allow(site, 35, &looks);
    }
    for site in [
        Site::D1Refused,
        Site::D1AnswerLost,
        Site::D1LostAndLate,
        Site::D1Late,
        Site::D1Hangs,
        Site::D1Overloaded,
        Site::D1Full,
        Site::D1Constraint,
    ] {
        chance.allow(site, 20, &calls);
    }
    for site in [Site::StorageRefused, Site::StorageFull] {
        chance.allow(site, 15, &calls);
    }
    for site in [
        Site::CutWithin,
        Site::CleanEnd,
        Site::Stall,
        Site::HeadLost,
        Site::NoHead,
        Site::TooMany,
        Site::Unavailable,
    ] {
        chance.allow(site, 25, &requests);
    }
    chance.allow(Site::Redirect, 8, &[1_000, 5_000]);
    for site in [
        Site::AlarmTwice,
        Site::AlarmEarly,
        Site::AlarmLate,
        Site::AlarmLost,
    ] {
        chance.allow(site, 25, &alarms);
    }
    for site in [
        Site::StaleSweep,
        Site::ClockAhead,
        Site::ClockBehind,
        Site::ClockStill,
        Site::Deploy,
        Site::Rollback,
        Site::Evicted,
        Site::Zombie,
        Site::LeaseExpired,
    ] {
        chance.allow(site, 20, &looks);
    }
}

/// More of what only matters to writers that share a store.
pub fn draw_for_shared(chance: &Chance) {
    for site in [Site::D1AnswerLost, Site::D1LostAndLate] {
        chance.allow(site, 50, &[2_000, 10_000, 30_000]);
    }
    chance.allow(Site::LeaseExpired, 50, &[20_000, 50_000]);
}

/// What becomes of calls of D1, of requests to upstreams, and of lives at their polls and effects.
pub fn install(world: &World, chance: &Chance, objects: &[Object]) {
    let dice = chance.clone();
    world.d1.fail(move |_| d1(&dice));
    let dice = chance.clone();
    world.upstream.choose(move |asked| upstream(&dice, asked));
    let (dice, all, sim) = (chance.clone(), objects.to_vec(), world.sim.clone());
    world.sim.strike(move |life| {
        if dice.comes(Site::Panic) {
            // One isolate, one instance of the module: nobody's tasks go on.
            for other in all.iter().filter_map(Object::life) {
                if other != life {
                    sim.kill(other);
                }
            }
            return true;
        }
        dice.comes(Site::CrashAtPoll)
    });
    for object in objects {
        let dice = chance.clone();
        object.fail_storage(move |batch| storage(&dice, batch));
        let dice = chance.clone();
        let there = object.clone();
        object.lose_alarms(move || {
            let is_lost = dice.comes(Site::AlarmLost);
            if !is_lost {
                dice.met(match there.is_at_rest() {
                    true => Site::AlarmAfterEnd,
                    false => Site::AlarmInStream,
                });
            }
            is_lost
        });
        let dice = chance.clone();
        let there = object.clone();
        object.misfire(move |at| {
            dice.note(|| {
                format!(
                    "{} has an alarm in {} ms",
                    there.session_key(),
                    at - there.now()
                )
            });
            alarm(&dice, &there)
        });
    }
    crash_at_effects(world, chance);
}

/// What becomes of a call of D1.
pub fn d1(chance: &Chance) -> Option<Fault> {
    if chance.is_d1_away() {
        return Some(Fault::Refused);
    }
    let late = chance.within(100, 20_000);
    let faults = [
        (Site::D1Refused, Fault::Refused),
        (Site::D1AnswerLost, Fault::AnswerLost),
        // Longer than a lease at times.
        (Site::D1LostAndLate, Fault::LostAndLate(3 * late)),
        (Site::D1Late, Fault::Late(late)),
        (Site::D1Hangs, Fault::Hangs),
        (
            Site::D1Overloaded,
            Fault::Says("D1 DB is overloaded. Requests queued for too long."),
        ),
        (Site::D1Full, Fault::Full),
        (
            Site::D1Constraint,
            Fault::Says("UNIQUE constraint failed: stream_log.run_id: SQLITE_CONSTRAINT"),
        ),
    ];
    let came = faults.into_iter().find(|(site, _)| chance.comes(*site));
    came.map(|(_, fault)| fault)
}

/// D1 is away for a while, once.
pub fn d1_away(world: &World, chance: &Chance, most_ms: u64) {
    let (chance, sim) = (chance.clone(), world.sim.clone());
    world.sim.spawn(Life::OUTSIDE, async move {
        sim.sleep(chance.within(500, 10_000)).await;
        chance.d1_goes(true);
        sim.sleep(chance.within(most_ms / 8, most_ms)).await;
        chance.d1_goes(false);
    });
}

fn storage(chance: &Chance, batch: &[Statement]) -> Option<StorageFault> {
    let is_write = batch
        .iter()
        .any(|statement| !statement.sql.trim_start().starts_with("SELECT"));
    if !is_write {
        return None;
    }
    if chance.comes(Site::StorageRefused) {
        return Some(StorageFault::Refused);
    }
    chance
        .comes(Site::StorageFull)
        .then_some(StorageFault::Full)
}

fn upstream(chance: &Chance, asked: &Asked) -> Option<Behaviour> {
    let pieces = chance.place(16);
    let bytes = chance.place(80);
    if asked.after.is_some() {
        chance.met(Site::Reattached);
    }
    let faults = [
        (Site::CutWithin, Behaviour::CutWithin(pieces, bytes)),
        (Site::CleanEnd, Behaviour::EndsAfter(pieces)),
        (Site::Stall, Behaviour::StallsAfter(pieces)),
        (Site::HeadLost, Behaviour::HeadLost),
        (Site::NoHead, Behaviour::NoHead),
        (Site::TooMany, Behaviour::Status(429)),
        (Site::Unavailable, Behaviour::RetryAfter(2_000)),
        (Site::Redirect, Behaviour::Status(302)),
    ];
    let came = faults.into_iter().find(|(site, _)| chance.comes(*site));
    came.map(|(_, behaviour)| behaviour)
}

fn alarm(chance: &Chance, object: &Object) -> Option<AlarmFate> {
    let jitter = chance.within(1, 500);
    let late = chance.within(1_000, LATE_ALARM_MS);
    if chance.is_calm() || object.life().is_none() {
        return None;
    }
    let fates = [
        (Site::AlarmTwice, AlarmFate::Twice(chance.below(3_000))),
        (Site::AlarmEarly, AlarmFate::Early(jitter)),
        (Site::AlarmLate, AlarmFate::Late(late)),
    ];
    let came = fates.into_iter().find(|(site, _)| chance.comes(*site));
    came.map(|(_, fate)| fate)
}

/// Plans one end after another, each at some effect ahead.
fn crash_at_effects(world: &World, chance: &Chance) {
    let (world, chance) = (world.clone(), chance.clone());
    let sim = world.sim.clone();
    let planned: Rc<Cell<Option<Site>>> = Rc::default();
    sim.clone().spawn(Life::OUTSIDE, async move {
        while !chance.is_calm() {
            if world.plan.crashed().is_some()
                && let Some(site) = planned.take()
            {
                chance.met(site);
            }
            if planned.get().is_none() {
                let at = 1 + chance.place(30);
                for (site, moment) in [
                    (Site::CrashBeforeEffect, Moment::Before),
                    (Site::CrashAfterEffect, Moment::After),
                ] {
                    if chance.has(site) && chance.percent(40) {
                        planned.set(Some(site));
                        world.plan.crash_again(Crash { at, moment });
                        break;
                    }
                }
            }
            sim.sleep(chance.pause(20, 1_500)).await;
        }
        world.plan.crash_no_more();
    });
}

/// Whatever an operator and the machines do: clocks, deployments, evictions.
pub fn operate(world: &World, chance: &Chance, objects: &[Object]) {
    let (world, chance, objects) = (world.clone(), chance.clone(), objects.to_vec());
    let sim = world.sim.clone();
    sim.clone().spawn(Life::OUTSIDE, async move {
        while !chance.is_calm() {
            sim.sleep(chance.pause(200, 4_000)).await;
            let object = objects[chance.place(objects.len())].clone();
            if chance.comes(Site::ClockAhead) {
                object.clock().set_ahead(JUMP_MS);
            } else if chance.comes(Site::ClockBehind) {
                object.clock().set_ahead(-JUMP_MS);
            } else if chance.comes(Site::ClockStill) {
                object.clock().stand_still(&sim, true);
            } else {
                object.clock().stand_still(&sim, false);
                object.clock().set_ahead(0);
            }
            if chance.comes(Site::Rollback) {
                newer_schema(&object.storage());
                newer_schema(&world.d1.database());
                objects.iter().for_each(Object::end);
            }
            if chance.comes(Site::Deploy) {
                settings(&world, &chance);
                objects.iter().for_each(Object::end);
            }
            if object.life().is_some() && chance.comes(Site::Zombie) {
                object.replace(ZOMBIE_MS);
            }
            if object.is_at_rest() && object.life().is_some() && chance.comes(Site::Evicted) {
                object.end();
            }
        }
        for object in &objects {
            for _ in 0..object.zombies_ended() {
                chance.met(Site::ZombieDied);
            }
            object.clock().stand_still(&sim, false);
            object.clock().set_ahead(0);
        }
    });
}

/// What a version of later code leaves behind when it is rolled back.
fn newer_schema(database: &NativeSqlite) {
    let statement = Statement {
        sql: "INSERT OR IGNORE INTO schema_info (version, applied_at) SELECT 99, 0 \
              WHERE EXISTS (SELECT 1 FROM schema_info WHERE version = 2)",
        params: vec![],
    };
    // Where nothing was ever stored there is no table yet.
    drop(block_on(database.apply(vec![statement])));
}

/// Other settings, each of those that a deployment may have.
pub fn settings(world: &World, chance: &Chance) {
    for (name, values) in [
        ("COMMIT_WINDOW_MS", &["0", "50", "110", "1000"][..]),
        ("SHIP_INTERVAL_MS", &["100", "1000", "5000"]),
        ("WATCHDOG_MS", &["100", "5000", "20000"]),
        ("UPSTREAM_IDLE_MS", &["500", "3000"]),
        ("UPSTREAM_ATTEMPTS", &["4", "8", "100"]),
        ("UPSTREAM_STARTS", &["2", "3", "20"]),
        ("HISTORY_MESSAGES", &["0", "3", "50"]),
        ("HISTORY_BYTES", &["0", "64", "131072"]),
        ("UPSTREAM_MODEL", &["small", "large"]),
        ("RETENTION_DAYS", &["1", "30"]),
    ] {
        world.set(name, chance.one_of(values));
    }
}

/// The cron: each minute it pokes what D1 says is due. What a replica that is behind says is due was open
/// at some time, and may be over.
pub fn sweep(
    world: &World,
    chance: &Chance,
    known: impl Fn() -> Vec<String> + 'static,
    poke: impl Fn(&str) + 'static,
) {
    let poke = Rc::new(poke);
    let (due, sim, there) = (Rc::clone(&poke), world.sim.clone(), world.clone());
    // Over days each hour is often enough.
    let between = chance.pause(MINUTE_MS, MINUTE_MS).min(60 * MINUTE_MS);
    world.sim.spawn(Life::OUTSIDE, async move {
        loop {
            sim.sleep(between).await;
            there.sweep().iter().for_each(|run_id| due(run_id));
        }
    });
    let (chance, sim) = (chance.clone(), world.sim.clone());
    world.sim.spawn(Life::OUTSIDE, async move {
        while !chance.is_calm() {
            sim.sleep(chance.pause(1_000, 10_000)).await;
            let known = known();
            if !known.is_empty() && chance.comes(Site::StaleSweep) {
                known.iter().for_each(|run_id| poke(run_id));
            }
        }
    });
}
