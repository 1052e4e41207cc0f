//! A durable task as a turn whose object ends at the k-th effect, for every k.
//!
//! Owns the proof that whatever is recorded is not done again, that lines are told once and deadlines
//! don't move, whenever the approval comes and whatever is left of the object. What is done to a task
//! from outside is `task/steered` and `task/split`.

mod split;
mod steered;

use super::{BOTH, Reader, Recovery, SESSION, busy_world, check_at_rest};
use crate::support::{
    APPROVAL_MS, Act, Client, Crash, Dump, ERRAND, Effect, Met, Moment, Object, World,
    errand_answer, lines_of, submit,
};
use futures::executor::block_on;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use steadfast::api::Command;
use steadfast::caps;
use steadfast::ids::EventKey;
use steadfast::store::{EventRecord, Section, SqlStore, Status, Step, Store};
use steadfast::tasks::research::{APPROVAL, NAME};
use steadfast::wire::request::Submit;

const RUN: &str = "acme:s:0";
/// What a task's turn does to its surroundings.
const KINDS: [Effect; 4] = [Effect::Write, Effect::Sync, Effect::D1, Effect::Act];
/// `research` acts on nothing.
const RESEARCH_KINDS: [Effect; 3] = [Effect::Write, Effect::Sync, Effect::D1];
/// More effects than any of these turns has with its recovery: what loops has more in a minute.
const MOST_EFFECTS: usize = 400;
/// How late a wait may be over, in ms: two alarms, and one that is fired again.
const LATE_MS: i64 = 6_000;
/// How late where only the cron looks.
const SWEPT_LATE_MS: i64 = 240_000;

const QUESTION: &str = "What is 2 * (3 + 4)? the weather; 10 / 4";
const FOUND: &str = "3 found:\n- 2 * (3 + 4) = 14 (calculator)\n\
    - nothing in this session about \"the weather\" (search)\n- 10 / 4 = 2.5 (calculator)\n";
const TOO_LATE: &str = "No approval came in time.\n";

/// The task that a turn runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Research,
    Errand,
}

impl Task {
    fn submit(self) -> Submit {
        let (name, message) = match self {
            Task::Research => (NAME, QUESTION),
            Task::Errand => (ERRAND, "go"),
        };
        let patience = format!(r#"{{"research":{{"paceMs":20,"approvalMs":{APPROVAL_MS}}}}}"#);
        Submit {
            key: Some("k-1".to_owned()),
            upstream: Some(format!("task:{name}")),
            metadata: Some(patience),
            ..submit(message)
        }
    }

    fn answer(self, approved: bool) -> String {
        match (self, approved) {
            (Task::Errand, approved) => errand_answer(approved),
            (Task::Research, true) => FOUND.to_owned(),
            (Task::Research, false) => TOO_LATE.to_owned(),
        }
    }
}

/// When the approval is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Approval {
    /// Before the task asks for it.
    Early,
    /// While the turn is suspended.
    Waited,
    /// Behind the crash.
    Recovered,
    /// Not at all.
    Never,
}

const APPROVALS: [Approval; 4] = [
    Approval::Early,
    Approval::Waited,
    Approval::Recovered,
    Approval::Never,
];

/// A client that approves, and asks until it is told that this was accepted.
#[derive(Clone, Default)]
struct Approver {
    held: Rc<Cell<bool>>,
    asked: Rc<RefCell<Vec<Client>>>,
}

impl Approver {
    /// Begins to ask `after_ms` from now, or once it is let go.
    fn of(world: &World, object: &Object, after_ms: u64) -> Self {
        let approver = Approver::default();
        let (this, sim, object) = (approver.clone(), world.sim.clone(), object.clone());
        world.sim.spawn(crate::support::Life::OUTSIDE, async move {
            sim.sleep(after_ms).await;
            let mut wait_ms = 40;
            loop {
                if !this.held.get() {
                    let key = EventKey::parse(APPROVAL).expect("it is one");
                    let client = object.ask(Command::Emit(0, key, "true".to_owned()));
                    this.asked.borrow_mut().push(client);
                    sim.sleep(30).await;
                    if this.answered().is_some() {
                        return;
                    }
                }
                sim.sleep(wait_ms).await;
                wait_ms = (2 * wait_ms).min(300_000);
            }
        });
        approver
    }

    /// The answer that it rests with.
    fn answered(&self) -> Option<String> {
        let asked = self.asked.borrow();
        let briefs = asked.iter().map(Client::brief);
        briefs
            .into_iter()
            .find(|brief| ["200", "201", "409 turn_finished"].contains(&brief.as_str()))
    }
}

/// A world with a turn that runs a task.
struct Scene {
    world: World,
    object: Object,
    task: Task,
    reader: Reader,
}

impl Scene {
    fn new(task: Task) -> Self {
        let world = busy_world(0);
        world.set("UPSTREAM", "sandbox,task:research,task:errand");
        let object = world.object(SESSION);
        let reader = Reader::new(&object, task.submit());
        Scene {
            world,
            object,
            task,
            reader,
        }
    }
}

/// What was durable when a life ended.
struct Before {
    steps: Vec<Step>,
    log: String,
    acts: usize,
}

impl Before {
    fn of(dump: Dump, world: &World) -> Self {
        let (log, steps) = match dump.runs.into_iter().next() {
            Some((_, log, steps)) => (log, steps),
            None => (String::new(), Vec::new()),
        };
        Before {
            steps,
            log,
            acts: world.own.acts().len(),
        }
    }
}

/// A turn with a crash, and all that must hold after it.
fn crashed_turn(task: Task, approval: Approval, crash: Crash, how: Recovery) -> Option<Met> {
    let mut scene = Scene::new(task);
    let (world, object) = (scene.world.clone(), scene.object.clone());
    let approver = match approval {
        Approval::Early => Some(Approver::of(&world, &object, 0)),
        Approval::Waited => Some(Approver::of(&world, &object, 5_000)),
        Approval::Recovered | Approval::Never => None,
    };
    world.plan.crash(crash);
    let crashed = world.run_to_crash();
    world.plan.crash_no_more();
    let is_lost = matches!(how, Recovery::StorageLost | Recovery::Sweep);
    scene.reader.check_durable();
    let mut before = Before::of(object.dump(), &world);
    let held = approver.iter().map(|approver| &approver.held);
    held.for_each(|held| held.set(crashed && is_lost));
    if crashed && is_lost {
        object.lose_storage();
        // What was on its way to D1 has arrived, and nobody has come for it.
        world.run_for(40);
        before = Before::of(world.dump(&object), &world);
        scene.reader = Reader::new(&object, task.submit());
    }
    if let Some(approver) = approver.as_ref().filter(|_| how != Recovery::Sweep) {
        approver.held.set(false);
    }
    if crashed && approval == Approval::Recovered {
        Approver::of(&world, &object, 200);
    }
    match how {
        _ if !crashed => {}
        Recovery::Alarm => world.settle(),
        Recovery::Client => scene.reader.come_back(),
        Recovery::StorageLost => scene.reader.submit_again(),
        Recovery::Sweep => {
            // A cron's minutes, beyond the deadline and its own patience.
            for _ in 0..6 {
                world.run_for(caps::SWEEP_AFTER_MS);
                for due in world.sweep() {
                    assert_eq!(due, RUN);
                    object.ask(Command::Poke(0));
                }
            }
        }
    }
    scene.reader.read_to_the_end(&world);
    let told = approver.as_ref().and_then(Approver::answered);
    let must_count = told.filter(|told| !is_lost && told != "409 turn_finished");
    let late_ms = if how == Recovery::Sweep {
        SWEPT_LATE_MS
    } else {
        LATE_MS
    };
    check_completed(&scene, &before, must_count.is_some(), late_ms);
    check_acts(&world, &before, is_lost);
    world.plan.crashed()
}

/// The approval as D1 has it.
fn approval_of(world: &World) -> Option<EventRecord> {
    let store = SqlStore::new(world.d1.database(), Section::D1);
    block_on(store.event(RUN, APPROVAL)).expect("D1 answers")
}

/// The laws, once a task's turn is over.
fn check_completed(scene: &Scene, before: &Before, has_approved: bool, late_ms: i64) {
    let Scene {
        world,
        object,
        task,
        reader,
    } = scene;
    let dump = world.dump(object);
    let (run, log, steps) = &dump.runs[0];
    assert_eq!(run.state.status, Status::Completed, "{log}");
    assert_eq!(reader.log, *log);
    assert!(log.starts_with(&before.log), "{}\n{log}", before.log);
    check_lines(log);
    let approval = approval_of(world);
    assert!(
        approval.is_some() || !has_approved,
        "an accepted event is lost"
    );
    let wait = steps.iter().find(|step| step.intent == "event:approval");
    let deadline = wait
        .and_then(|step| step.detail.deadline)
        .expect("it has one");
    let approved = approval.is_some_and(|event| event.emitted_at <= deadline);
    let answer = serde_json::to_string(&task.answer(approved)).expect("it is text");
    assert_eq!(dump.messages[1].content, answer, "{log}");
    for step in steps {
        let is_over = step.status == "completed" || step.intent.starts_with("event:");
        assert!(is_over && step.completed_at.is_some(), "{step:?}");
        // An event counts for as long as its wait is before its deadline, so only an end may be late.
        if let (Some(deadline), Some(at)) = (step.detail.deadline, step.completed_at) {
            assert!(
                at - deadline <= late_ms,
                "{} ms late: {step:?}",
                at - deadline
            );
            assert!(
                !step.intent.starts_with("sleep") || at >= deadline,
                "{step:?}"
            );
        }
    }
    for known in &before.steps {
        let now = steps.iter().find(|step| step.index == known.index);
        let now = now.expect("a durable step stays");
        assert_eq!(now.detail.deadline, known.detail.deadline);
        assert_eq!(now.started_at, known.started_at);
        if known.completed_at.is_some() {
            assert_eq!(now.result, known.result);
            assert_eq!(now.attempts, known.attempts);
        }
    }
    let effects = world.plan.count();
    assert!(effects <= MOST_EFFECTS, "{effects} effects");
    check_at_rest(world, object);
}

/// Each line once, a wait's end behind its begin, nothing of a step behind its end.
fn check_lines(log: &str) {
    lines_of(log);
    let mut told = BTreeSet::new();
    let mut ended = BTreeSet::new();
    let mut waits: BTreeMap<String, bool> = BTreeMap::new();
    for text in log.lines() {
        let line: serde_json::Value = serde_json::from_str(text).expect("a line is JSON");
        let (kind, data) = (line["type"].as_str().expect("a type"), &line["data"]);
        assert!(
            told.insert(format!("{kind} {data}")),
            "twice: {text}\n{log}"
        );
        let step = data["step"].as_str().unwrap_or_default().to_owned();
        let key = data["key"].as_str().unwrap_or_default().to_owned();
        match kind {
            "step.started" | "step.failed" => assert!(!ended.contains(&step), "{text}\n{log}"),
            "step.completed" => assert!(ended.insert(step), "{text}\n{log}"),
            "session.run.suspended" => assert!(waits.insert(key, false).is_none(), "{log}"),
            "session.run.awakened" => {
                assert_eq!(waits.insert(key, true), Some(false), "{text}\n{log}");
            }
            _ => {}
        }
    }
    let last = log.lines().next_back().unwrap_or_default();
    let completed = last.contains("session.run.completed");
    assert!(!completed || waits.values().all(|awake| *awake), "{log}");
}

/// Nothing is done again whose end was recorded, and no attempt is made twice.
fn check_acts(world: &World, before: &Before, is_lost: bool) {
    let acts = world.own.acts();
    let (earlier, later) = acts.split_at(before.acts);
    let name_of = |step: &Step| step.detail.name.clone().unwrap_or(step.intent.clone());
    for step in before
        .steps
        .iter()
        .filter(|step| step.completed_at.is_some())
    {
        let again = later.iter().find(|act| act.step == name_of(step));
        assert_eq!(again, None, "recorded, and done again: {step:?}");
    }
    let mut made: BTreeSet<&Act> = BTreeSet::new();
    for act in if is_lost { later } else { &acts } {
        assert!(
            made.insert(act),
            "an attempt was made twice: {act:?} {earlier:?}"
        );
    }
}

/// Runs the turn with a crash at each effect, until a run has fewer; approvals and recoveries take
/// turns, so that each of them meets each part of it.
fn at_every_effect(task: Task, moments: &[Moment], ways: [Recovery; 2]) {
    let kinds: &[Effect] = match task {
        Task::Research => &RESEARCH_KINDS,
        Task::Errand => &KINDS,
    };
    let mut met = BTreeSet::new();
    for (shift, moment) in moments.iter().copied().enumerate() {
        let mut misses = 0;
        for at in 1.. {
            let turn = at + 3 * shift;
            let approval = APPROVALS[turn % 4];
            let how = ways[turn / 4 % 2];
            match crashed_turn(task, approval, Crash { at, moment }, how) {
                Some(effect) => {
                    met.insert(effect.effect);
                    misses = 0;
                }
                None => misses += 1,
            }
            // A turn with another approval may be longer.
            if misses == APPROVALS.len() {
                break;
            }
        }
    }
    let all: BTreeSet<Effect> = kinds.iter().copied().collect();
    assert_eq!(met, all, "a crash at each kind of effect");
}

#[test]
fn research_survives_its_objects_end_anywhere() {
    let ways = [Recovery::Alarm, Recovery::Client];
    at_every_effect(Task::Research, &BOTH, ways);
}

#[test]
fn research_survives_the_loss_of_its_objects_storage_anywhere() {
    let ways = [Recovery::StorageLost, Recovery::Sweep];
    at_every_effect(Task::Research, &[Moment::After], ways);
}

#[test]
fn no_recorded_step_acts_again_wherever_its_object_ends() {
    let ways = [Recovery::Alarm, Recovery::Client];
    at_every_effect(Task::Errand, &BOTH, ways);
}

#[test]
fn no_step_that_d1_has_acts_again_wherever_the_storage_is_lost() {
    let ways = [Recovery::StorageLost, Recovery::Sweep];
    at_every_effect(Task::Errand, &[Moment::After], ways);
}
