//! A turn whose object ends at the k-th effect, for every k.
//!
//! Owns the proof of the laws: whatever ends where, every client sees a prefix of one log, that log
//! is the upstream's transcript, and both stores end up alike. Each test runs the same turn again
//! and again, until a run has no k-th effect.

mod cancelled;
mod chat;
mod polls;
mod split;
mod task;

use crate::support::{
    Answer, Client, Crash, Effect, Met, Moment, Object, Script, TENANT, World, assert_shipped,
    lines_of, submit,
};
use std::collections::BTreeSet;
use steadfast::api::Command;
use steadfast::caps;
use steadfast::store::{Run, Status};
use steadfast::wire::line;
use steadfast::wire::request::Submit;

const SESSION: &str = "s";
const RUN: &str = "acme:s:0";
/// What the sandbox must be asked, however often.
const BODY: &str =
    r#"{"message":"hello","history":[],"model":"small","sessionId":"s","metadata":null}"#;
/// Clients that are cut come back this often at most.
const RETURNS: usize = 8;
/// Not a single life lasts this long in the tests; an alarm as far away is retention's.
const FAR_MS: i64 = 29 * caps::DAY_MS as i64;

/// Everything that a sandbox's turn does to its surroundings: a crash comes around each of them.
const EFFECTS: [&str; 22] = [
    "Chunk: a frame's begin",
    "Chunk: a frame's rest",
    "Chunk: error",
    "Chunk: execution.started",
    "Chunk: message.part.updated",
    "Chunk: result",
    "Chunk: status.changed",
    "Chunk: tool.call",
    "Chunk: tool.result",
    "Chunk: usage",
    "D1: read schema_info",
    "D1: read sessions",
    "D1: write schema, schema_info",
    "D1: write sessions, runs, stream_log",
    "D1: write sessions, runs, stream_log, messages, steps",
    "Send: Post /agents/run/stream",
    "Sync: own storage",
    "Write: alarm",
    "Write: schema, schema_info",
    "Write: steps, messages, runs, stream_log",
    "Write: stream_log",
    "Write: unshipped",
];

/// What happens after the crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recovery {
    /// Nobody calls: the object's alarm is all there is.
    Alarm,
    /// The client comes back at once.
    Client,
    /// The storage is gone, and the client comes back.
    StorageLost,
    /// The storage is gone, and only the cron looks.
    Sweep,
}

fn keyed() -> Submit {
    Submit {
        key: Some("k-1".to_owned()),
        ..submit("hello")
    }
}

/// A client that comes back until it has seen the end.
struct Reader {
    object: Object,
    submit: Submit,
    seen: Vec<Client>,
    before: String,
    log: String,
}

impl Reader {
    /// Submits the turn of most tests.
    fn submit(object: &Object) -> Self {
        Self::new(object, keyed())
    }

    /// Submits.
    fn new(object: &Object, submit: Submit) -> Self {
        Reader {
            object: object.clone(),
            seen: vec![object.submit(submit.clone())],
            submit,
            before: String::new(),
            log: String::new(),
        }
    }

    /// Whether the last answer came to its own end.
    fn has_ended(&self) -> bool {
        self.seen.last().is_some_and(Client::has_ended)
    }

    /// Whether the last line that it has is the turn's last.
    fn has_seen_the_end(&self) -> bool {
        let last = self.log.lines().next_back();
        let kind = last.and_then(line::parse_kind_and_data);
        kind.is_some_and(|(kind, _)| line::is_terminal(kind))
    }

    /// Takes over what the last answer brought so far.
    fn take(&mut self) {
        let last = self.seen.last().expect("it has asked");
        let brought = last.log();
        self.log = match last.answer() {
            // A submit's answer begins at seq 0 whatever was seen before.
            Some(Answer::Lines(Some(_))) => {
                let (longer, shorter) = match brought.len() < self.before.len() {
                    true => (&self.before, &brought),
                    false => (&brought, &self.before),
                };
                assert!(
                    longer.starts_with(shorter),
                    "{shorter} is no prefix of {longer}"
                );
                longer.clone()
            }
            _ => self.before.clone() + &brought,
        };
    }

    /// What it has seen is in the object's storage.
    fn check_durable(&mut self) {
        self.take();
        let dump = self.object.dump();
        let stored = dump.runs.first().map_or("", |run| run.1.as_str());
        assert!(
            stored.starts_with(&self.log),
            "visible before durable: {} {stored}",
            self.log
        );
    }

    /// Asks again: behind what it has seen, or with its key when it has seen nothing.
    fn come_back(&mut self) {
        self.take();
        let answered = matches!(
            self.seen.last().and_then(Client::answer),
            Some(Answer::Lines(_))
        );
        match self.log.lines().count().checked_sub(1) {
            Some(last) if answered => {
                self.before.clone_from(&self.log);
                let after = i64::try_from(last).expect("it is small");
                self.seen.push(self.object.follow(0, after));
            }
            _ => self.submit_again(),
        }
    }

    /// Asks again with its key.
    fn submit_again(&mut self) {
        self.take();
        self.before.clone_from(&self.log);
        self.seen.push(self.object.submit(self.submit.clone()));
    }

    /// Comes back until it has seen the end.
    fn read_to_the_end(&mut self, world: &World) {
        for _ in 0..RETURNS {
            world.settle();
            self.take();
            // A follower of a suspended turn is let go before the turn's end.
            if self.has_ended() && self.has_seen_the_end() {
                return;
            }
            self.come_back();
        }
        panic!("no end after {RETURNS} returns: {:?}", self.brief());
    }

    fn brief(&self) -> Vec<String> {
        self.seen.iter().map(Client::brief).collect()
    }
}

/// A world whose turns are shipped and looked at often enough for that to fall into them.
fn busy_world(seed: u64) -> World {
    let world = World::new(seed);
    world.set("SHIP_INTERVAL_MS", "100");
    world.set("WATCHDOG_MS", "100");
    world
}

const BOTH: [Moment; 2] = [Moment::Before, Moment::After];

/// Runs `scenario` with a crash at each effect, at each of `moments`, until it has fewer effects.
/// A scenario says at which effect the crash came, if it did; the names of all are returned.
fn at_every_effect(
    moments: &[Moment],
    mut scenario: impl FnMut(Crash) -> Option<Met>,
) -> BTreeSet<String> {
    let mut met = BTreeSet::new();
    let mut names = BTreeSet::new();
    for moment in moments.iter().copied() {
        for at in 1.. {
            let Some(effect) = scenario(Crash { at, moment }) else {
                break;
            };
            met.insert(effect.effect);
            names.insert(effect.name());
        }
    }
    let all = [
        Effect::Write,
        Effect::Sync,
        Effect::D1,
        Effect::Send,
        Effect::Chunk,
    ];
    assert_eq!(met, all.into(), "a crash at each kind of effect");
    names
}

/// A turn with a crash, and all that must hold after it.
fn crashed_turn(seed: u64, crash: Crash, recovery: Recovery) -> Option<Met> {
    recovered_turn(&busy_world(seed), crash, recovery)
}

fn recovered_turn(world: &World, crash: Crash, recovery: Recovery) -> Option<Met> {
    world.plan.crash(crash);
    let object = world.object(SESSION);
    let mut reader = Reader::submit(&object);
    let crashed = world.run_to_crash();
    world.plan.crash_no_more();
    reader.check_durable();
    if crashed {
        recover(world, &object, &mut reader, recovery);
    }
    reader.read_to_the_end(world);
    check_completed(world, &object, &reader);
    world.plan.crashed()
}

/// What happens behind an end.
fn recover(world: &World, object: &Object, reader: &mut Reader, recovery: Recovery) {
    match recovery {
        Recovery::Alarm => {
            world.settle();
            let is_over = |run: &Run| run.state.status.is_terminal();
            let runs = object.dump().runs;
            assert!(runs.iter().all(|(run, ..)| is_over(run)), "no alarm came");
        }
        Recovery::Client => reader.come_back(),
        Recovery::StorageLost => {
            object.lose_storage();
            reader.submit_again();
        }
        Recovery::Sweep => {
            object.lose_storage();
            world.run_for(2 * caps::SWEEP_AFTER_MS);
            for due in world.sweep() {
                assert_eq!(due, RUN);
                object.ask(Command::Poke(0));
            }
            world.settle();
        }
    }
}

/// The laws, once a sandbox's turn is over.
fn check_completed(world: &World, object: &Object, reader: &Reader) {
    let script = Script::standard();
    let expected = script.log(TENANT, SESSION, 0);
    assert_eq!(reader.log, expected);
    let dump = world.dump(object);
    let (run, log, steps) = &dump.runs[0];
    assert_eq!(*log, expected);
    assert_eq!(lines_of(log).len(), 14);
    assert_eq!(run.state.status, Status::Completed);
    assert_eq!(run.state.attempts.len(), 1, "{:?}", run.state.attempts);
    assert_eq!(
        run.state.usage.as_deref(),
        Some(r#"{"inputTokens":7,"outputTokens":5}"#)
    );
    assert_eq!(steps[0].status, "completed");
    let messages: Vec<&str> = dump.messages.iter().map(|m| m.content.as_str()).collect();
    assert_eq!(messages, ["\"hello\"", script.message]);
    assert_eq!(world.upstream.started(), [RUN]);
    assert_eq!(world.upstream.cancels(), [] as [&str; 0]);
    let asked = world.upstream.asked();
    assert!(asked.iter().all(|asked| asked.body == BODY), "{asked:?}");
    // A life that was never asked since it lost its storage holds nothing to compare.
    let again = object.submit(keyed());
    world.settle();
    assert_eq!(
        (again.brief().as_str(), again.log()),
        ("replayed", expected)
    );
    check_at_rest(world, object);
}

/// What holds of every world at rest, however its turn ended.
fn check_at_rest(world: &World, object: &Object) {
    assert_shipped(world, object);
    let left = object.alarm().map(|at| at - world.sim.now());
    assert!(
        left.is_none_or(|left| left > FAR_MS),
        "an alarm is left: {left:?}"
    );
    assert!(
        object.slowest_alarm_ms() <= 1_000,
        "{}",
        object.slowest_alarm_ms()
    );
    assert_eq!(world.sweep(), [] as [&str; 0]);
    let mut epoch = 0;
    for line in world.log.borrow().iter() {
        let line: serde_json::Value = serde_json::from_str(line).expect("a log line is JSON");
        if let Some(now) = line["epoch"].as_u64() {
            assert!(now >= epoch, "an epoch fell: {line}");
            epoch = now;
        }
    }
}

#[test]
fn a_turn_without_a_crash_is_the_upstreams_transcript() {
    for seed in 0..20 {
        let never = Crash {
            at: usize::MAX,
            moment: Moment::Before,
        };
        assert!(crashed_turn(seed, never, Recovery::Client).is_none());
    }
}

#[test]
fn the_alarm_alone_finishes_a_turn_that_ended_anywhere() {
    let met = at_every_effect(&BOTH, |crash| crashed_turn(0, crash, Recovery::Alarm));
    let met: Vec<&str> = met.iter().map(String::as_str).collect();
    assert_eq!(met, EFFECTS);
}

#[test]
fn a_client_that_comes_back_finishes_a_turn_that_ended_anywhere() {
    at_every_effect(&BOTH, |crash| crashed_turn(0, crash, Recovery::Client));
}

#[test]
fn a_turn_survives_the_loss_of_its_objects_storage_anywhere() {
    at_every_effect(&BOTH, |crash| crashed_turn(0, crash, Recovery::StorageLost));
}

#[test]
fn the_sweep_alone_finishes_what_reached_d1() {
    at_every_effect(&[Moment::After], |crash| {
        crashed_turn(0, crash, Recovery::Sweep)
    });
}

#[test]
fn nobody_sees_a_line_of_a_burst_before_it_is_durable() {
    at_every_effect(&BOTH, |crash| {
        let world = busy_world(0);
        // Frames come faster than commits are confirmed.
        world.set("COMMIT_WINDOW_MS", "0");
        world.upstream.play(Script {
            pace_ms: 1,
            ..Script::standard()
        });
        recovered_turn(&world, crash, Recovery::Client)
    });
}

#[test]
fn the_order_of_tasks_does_not_matter() {
    // Each crash with an order of its own.
    at_every_effect(&[Moment::Before], |crash| {
        crashed_turn(crash.at as u64, crash, Recovery::StorageLost)
    });
}
