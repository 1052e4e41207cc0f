//! One run: a world with its sessions, its people and its faults, from a seed to rest.
//!
//! Owns the order: faults for a while, then calm, then what must have come about. A run is a function of
//! its seed alone.

use super::chance::Chance;
use super::faults;
use super::long;
use super::met;
use super::oracle::{Oracle, Seat};
use super::people::People;
use super::sites::{Counts, Site};
use super::turns::{Kind, Size, Turn, asked_for, spelled, without_ending};
use crate::support::{Dump, World, assert_shipped};
use futures::executor::block_on;
use serde_json::value::RawValue;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use steadfast::api::Command;
use steadfast::store::{Role, Run, Status, Step, Store};
use steadfast::wire::line;

/// How long after the last fault everything must be over, in ms: an alarm, a lost one's sweep, the
/// longest back-off, a full D1's retry, and a task's waits.
const LIVENESS_MS: u64 = 20 * 60 * 1000;
/// The longest a run may take to come to rest behind that: what was asked for late.
const REST_MS: u64 = 15 * 60 * 1000;
/// Rows that a turn may write in its object, beside one a line.
const ROWS_OF_TURN: u64 = 13;
/// Beside those, for each step that is tried again and waits.
const ROWS_OF_STEP: u64 = 5;
/// Beside those, for each event.
const ROWS_OF_EVENT: u64 = 2;
/// Beside those, for each time that it is taken over.
const ROWS_OF_LIFE: u64 = 3;
/// An alarm as far away is retention's.
const FAR_MS: i64 = 20 * 60 * 60 * 1000;

/// What a run came to.
pub struct Ran {
    /// What happened how often.
    pub counts: Counts,
    /// What happened, in order.
    pub trace: Vec<String>,
    /// The states that were seen.
    pub states: BTreeSet<u64>,
    /// Turns that were accepted.
    pub turns: usize,
}

/// Each of so many seeds is a large run.
const LARGE: u64 = 41;
/// Which of them.
const LARGE_AT: u64 = 7;
/// Each of so many is a long one.
const LONG: u64 = 251;
/// Which of them.
const LONG_AT: u64 = 11;
/// How often a large store is looked at, in changes.
const LARGE_STRIDE: u64 = 40;
/// And what goes on for long.
const LONG_STRIDE: u64 = 6;
/// How long D1 is away in a large run at most, in ms.
const AWAY_MS: u64 = 40_000;
/// More than a turn of usual size has.
const MANY: (usize, usize, usize) = (96, 200, 100);

/// Who sits where in a run.
const PLACES: [(&str, &str); 3] = [("acme", "s"), ("other", "s"), ("acme", "t")];

/// A run under way.
pub struct Scene {
    pub(super) world: World,
    size: Size,
    pub(super) chance: Chance,
    pub(super) seats: Rc<Vec<Seat>>,
    pub(super) turns: Rc<RefCell<BTreeMap<String, Turn>>>,
    oracle: Oracle,
    pub(super) people: People,
}

/// Runs one seed. `tell` is given the run's dice before anything can fail.
pub fn run(seed: u64, tell: impl FnOnce(&Chance)) -> Ran {
    run_of(seed, size_of(seed), tell)
}

/// By the seed alone, so that the draws of all others are what they are without it.
const fn size_of(seed: u64) -> Size {
    if seed % LARGE == LARGE_AT {
        return Size::Large;
    }
    match seed % LONG {
        LONG_AT => Size::Long,
        _ => Size::Usual,
    }
}

/// Runs one seed in this size.
pub fn run_of(seed: u64, size: Size, tell: impl FnOnce(&Chance)) -> Ran {
    let world = World::new(seed);
    let chance = Chance::new(seed, &world);
    tell(&chance);
    let mut scene = Scene::new(world, chance, size);
    scene.people();
    match size {
        Size::Usual | Size::Large => {
            scene.run_faults();
            scene.run_calm();
        }
        Size::Long => scene.run_long(),
    }
    scene.check_rest();
    let mut trace = scene.chance.trace();
    trace.extend(
        scene
            .oracle
            .runs()
            .into_iter()
            .map(|(run, log)| format!("{run:?}\n{log}")),
    );
    Ran {
        counts: scene.chance.counts(),
        states: scene.oracle.states(),
        turns: scene.turns.borrow().len(),
        trace,
    }
}

impl Scene {
    fn new(world: World, chance: Chance, size: Size) -> Self {
        faults::draw(&chance);
        if size == Size::Long {
            long::forbid(&chance);
        } else if chance.percent(6) {
            chance.allow(Site::StorageLost, 100, &[10_000]);
        }
        let count = match chance.has(Site::StorageLost) {
            true => 1,
            false if size == Size::Long => PLACES.len(),
            false if size == Size::Large => 2,
            false => 1 + chance.place(PLACES.len()),
        };
        let seat = |(tenant, session): &(&'static str, &'static str)| {
            let object = world.object_of(tenant, session);
            Seat {
                key: object.session_key(),
                object,
                tenant,
                session,
            }
        };
        let seats: Rc<Vec<Seat>> = Rc::new(PLACES[..count].iter().map(seat).collect());
        let turns: Rc<RefCell<BTreeMap<String, Turn>>> = Rc::default();
        let oracle = Oracle::new(&world, &chance, &seats, Rc::clone(&turns));
        let people = People {
            world: world.clone(),
            chance: chance.clone(),
            oracle: oracle.clone(),
            seats: Rc::clone(&seats),
            busy: Rc::default(),
            cancelled: Rc::default(),
            emitted: Rc::default(),
        };
        oracle.look_each(match size {
            Size::Usual => 1,
            Size::Large => LARGE_STRIDE,
            Size::Long => LONG_STRIDE,
        });
        Scene {
            world,
            size,
            chance,
            seats,
            turns,
            oracle,
            people,
        }
    }

    fn objects(&self) -> Vec<crate::support::Object> {
        self.seats.iter().map(|seat| seat.object.clone()).collect()
    }

    /// Everybody takes their place.
    fn people(&mut self) {
        let (world, chance) = (&self.world, &self.chance);
        world.set("UPSTREAM", "sandbox,openai-chat,speller,task:errand");
        faults::settings(world, chance);
        let objects = self.objects();
        let known = Rc::clone(&self.turns);
        world.upstream.play_each(move |body| {
            let turns = known.borrow();
            asked_for(body, &turns).and_then(|turn| turn.script.clone())
        });
        faults::install(world, chance, &objects);
        met::audit(world, chance);
        faults::operate(world, chance, &objects);
        if self.size == Size::Long {
            self.live_long();
            return self.sweep();
        }
        let mut errands = 1;
        if self.size == Size::Large {
            errands = 0;
            faults::d1_away(world, chance, AWAY_MS);
        }
        for seat in 0..self.seats.len() {
            let count = 1 + chance.place(3);
            let names = (0..count).map(|n| format!("{seat}x{n}"));
            let mut turns: Vec<Turn> = names.map(|name| self.draw(&name, &mut errands)).collect();
            if self.size == Size::Large && seat == 0 {
                // A task that is done again tells other lines.
                let is_lost = chance.has(Site::StorageLost);
                let kinds = [Kind::Errand, Kind::Sandbox].into_iter().enumerate();
                turns = kinds
                    .skip(usize::from(is_lost))
                    .map(|(n, kind)| Turn::draw(&format!("0v{n}"), kind, Size::Large, chance))
                    .collect();
            }
            for turn in &turns {
                let mut all = self.turns.borrow_mut();
                all.insert(turn.name.clone(), turn.clone());
            }
            let deletes = chance.percent(8) && !chance.has(Site::StorageLost);
            self.people.user(seat, turns, deletes);
        }
        self.sweep();
    }

    fn sweep(&self) {
        let seats = Rc::clone(&self.seats);
        let oracle = self.oracle.clone();
        let known = move || oracle.known_runs();
        let poke = move |run_id: &str| poke(&seats, run_id);
        faults::sweep(&self.world, &self.chance, known, poke);
    }

    fn draw(&self, name: &str, errands: &mut u32) -> Turn {
        let kind = match self.chance.below(20) {
            _ if self.chance.has(Site::StorageLost) => Kind::Sandbox,
            0..=11 => Kind::Sandbox,
            12..=14 => Kind::Chat,
            15..=17 => Kind::Own,
            _ if *errands == 0 => Kind::Sandbox,
            _ => {
                *errands -= 1;
                Kind::Errand
            }
        };
        Turn::draw(name, kind, Size::Usual, &self.chance)
    }

    /// Goes on until `until` or until nobody is busy, with a look after every step.
    fn run_until_done(&self, until: i64) {
        let oracle = self.oracle.clone();
        let busy: Rc<Cell<usize>> = Rc::clone(&self.people.busy);
        self.world.sim.run_while(until, || {
            oracle.check();
            busy.get() > 0
        });
    }

    fn run_for(&self, ms: u64) {
        self.run_until(self.world.sim.now().saturating_add_unsigned(ms));
    }

    pub(super) fn run_until(&self, until: i64) {
        let oracle = self.oracle.clone();
        self.world.sim.run_while(until, || {
            oracle.check();
            true
        });
    }

    fn run_faults(&self) {
        let ms = self.chance.within(5_000, 120_000);
        let until = self.world.sim.now().saturating_add_unsigned(ms);
        if self.chance.has(Site::StorageLost) {
            let lost = self.chance.within(100, ms);
            let at = self.world.sim.now().saturating_add_unsigned(lost);
            self.run_until_done(at);
            self.chance.met(Site::StorageLost);
            self.oracle.is_lost(0);
            if self.chance.percent(50) {
                // Whoever had it goes on, with what it has sent to D1.
                self.chance.met(Site::Zombie);
                self.seats[0].object.replace(faults::ZOMBIE_MS);
            }
            self.seats[0].object.lose_storage();
        }
        self.run_until_done(until);
    }

    pub(super) fn be_calm(&self) {
        self.chance.calm();
        self.world.d1.heal();
        self.world.upstream.heal();
    }

    fn run_calm(&self) {
        self.be_calm();
        let until = self.world.sim.now().saturating_add_unsigned(LIVENESS_MS);
        self.run_until_done(until);
        assert_eq!(self.people.busy.get(), 0, "L1, L2: somebody waits for ever");
        if self.chance.counts().of(Site::AlarmLost) > 0 {
            // Of a finished turn D1 may know nothing yet: only a new life's first call finds out that its
            // alarm is lost. An object with nothing to do is evicted.
            for seat in self.seats.iter() {
                seat.object.end();
                seat.object.ask(Command::Session);
            }
        }
        self.run_for(REST_MS);
    }

    /// What must have come about.
    fn check_rest(&self) {
        self.oracle.check_all();
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let turns = self.turns.borrow();
        for asked in self.world.upstream.asked() {
            let turn = asked_for(&asked.body, &turns).expect("whatever is asked is a turn's");
            if turn.kind == Kind::Sandbox {
                let ids = names.entry(turn.name.clone()).or_default();
                ids.insert(asked.execution_id);
            }
        }
        let held: BTreeSet<String> = self
            .oracle
            .runs()
            .into_iter()
            .map(|(run, _)| run.run_id)
            .collect();
        for ids in names.values_mut().filter(|ids| ids.len() > 1) {
            // What D1 had not heard of when the storage was lost is bought again, and only that; and the
            // same words are another turn where the session was erased between.
            let is_lost = self.chance.has(Site::StorageLost);
            ids.retain(|id| held.contains(id) || !(is_lost || self.oracle.was_erased(id)));
        }
        // I4: one prompt.
        for (name, ids) in &names {
            assert!(ids.len() <= 1, "I4: {name} was asked as {ids:?}");
        }
        self.check_keys();
        for (run, log) in self.oracle.runs() {
            self.check_run(&run, &log);
        }
        for seat in self.seats.iter() {
            self.check_seat(seat);
        }
        assert_eq!(
            self.world.sweep(),
            [] as [&str; 0],
            "the cron has work left"
        );
    }

    /// Whoever is asked to do something once per key does each step's once.
    fn check_keys(&self) {
        let (mut steps, mut keys) = (BTreeMap::new(), BTreeMap::new());
        for (step, key) in self.world.own.keys() {
            let same = steps.entry(key.clone()).or_insert_with(|| step.clone());
            assert_eq!(*same, step, "I17: two steps share the key {key}");
            let same = keys.entry(step.clone()).or_insert_with(|| key.clone());
            assert_eq!(*same, key, "I17: {step} has two keys");
        }
    }

    /// A run goes on as it was accepted, whatever is deployed meanwhile: the upstream is asked the same
    /// each time, of the model that its row names.
    fn check_asked(&self, run: &Run, name: &str) {
        let turns = self.turns.borrow();
        let is_bought_again =
            self.chance.has(Site::StorageLost) || self.oracle.was_erased(&run.run_id);
        if is_bought_again || matches!(turns[name].kind, Kind::Own | Kind::Errand) {
            return;
        }
        let asked = self.world.upstream.asked();
        let bodies: BTreeSet<&str> = asked
            .iter()
            .filter(|asked| asked_for(&asked.body, &turns).is_some_and(|turn| turn.name == name))
            .map(|asked| asked.body.as_str())
            .collect();
        let at = &run.run_id;
        assert!(
            bodies.len() <= 1,
            "I14: {at} was asked otherwise: {bodies:?}"
        );
        // Raw, since a history may hold half an emoji.
        let model = |text: &str| -> Option<String> {
            let members: BTreeMap<&str, &RawValue> =
                serde_json::from_str(text).expect("it is JSON");
            members.get("model").map(|raw| raw.get().to_owned())
        };
        for body in bodies {
            assert_eq!(model(body), model(&run.upstream), "I14: {at}");
        }
    }

    /// I13: what a turn writes in its object grows with its lines, its steps and its recoveries, and with
    /// nothing else: not with time, with refusals, with readers or with looks.
    fn check_rows(&self, seat: &Seat, dump: &Dump) {
        let is_erased = dump.session.as_ref().is_none_or(|row| row.first_turn > 0);
        if is_erased || self.chance.has(Site::StorageLost) {
            return;
        }
        let of_run = |(run, _, steps): &(Run, String, Vec<Step>)| {
            ROWS_OF_TURN
                + run.state.line_count
                + ROWS_OF_STEP * steps.len() as u64
                + ROWS_OF_LIFE * run.epoch
        };
        let events = ROWS_OF_EVENT * dump.events.len() as u64;
        // Each try to tell a cancel is noted, and each row of a log that goes is written once more.
        let told = self.world.upstream.cancels().len() as u64;
        let gone = dump.runs.iter().map(|(run, _, _)| run.state.line_count);
        let gone = match self.size {
            Size::Usual | Size::Large => 0,
            Size::Long => gone.sum(),
        };
        let budget: u64 = dump.runs.iter().map(of_run).sum::<u64>() + events + told + gone;
        let rows = seat.object.rows();
        assert!(
            rows <= budget + ROWS_OF_TURN,
            "I13: {} wrote {rows} rows, {budget} at most",
            seat.key
        );
    }

    /// Notes what a large turn came to.
    fn note_size(&self, seat: &Seat, dump: &Dump) {
        for (run, _, steps) in &dump.runs {
            let events = dump
                .events
                .iter()
                .filter(|(turn, _)| *turn == run.turn_index);
            let found = [
                (seat.object.log_rows(&run.run_id) > MANY.0, Site::ManyRows),
                (steps.len() > MANY.1, Site::ManySteps),
                (events.count() > MANY.2, Site::ManyEvents),
            ];
            for (_, site) in found.into_iter().filter(|(is_many, _)| *is_many) {
                self.chance.met(site);
            }
        }
    }

    fn check_seat(&self, seat: &Seat) {
        if self.size == Size::Large {
            self.note_size(seat, &seat.object.dump());
        }
        let dump = self.world.dump(&seat.object);
        let Some(session) = &dump.session else {
            return;
        };
        let is_old = |turn: u64| turn < session.first_turn;
        for dump in [&dump, &seat.object.dump()] {
            let old = dump.runs.iter().find(|(run, _, _)| is_old(run.turn_index));
            assert_eq!(old, None, "I16: {} was erased", seat.key);
            let old = dump.messages.iter().find(|one| is_old(one.turn_index));
            assert_eq!(old, None, "I16: {} was erased", seat.key);
        }
        if session.deleted_at.is_some() {
            return;
        }
        if seat.object.dump().session.is_some() {
            assert_shipped(&self.world, &seat.object);
        }
        self.check_rows(seat, &dump);
        // L3: nothing is to be done any more.
        let left = seat.object.alarm().map(|at| at - self.world.sim.now());
        assert!(
            left.is_none_or(|left| left > FAR_MS),
            "L3: {} has an alarm in {left:?} ms",
            seat.key
        );
    }

    fn check_run(&self, run: &Run, log: &str) {
        let at = &run.run_id;
        let Some(name) = run.key.as_deref().and_then(|key| key.strip_prefix("key-")) else {
            panic!("{at} has no key");
        };
        let turns = self.turns.borrow();
        let turn = &turns[name];
        assert!(
            run.state.status.is_terminal(),
            "L1: {at} is {:?}, to be looked at in {:?} ms",
            run.state.status,
            run.state.wake_at.map(|at| at - self.world.sim.now())
        );
        let asked = self.world.upstream.asked();
        let prompts = asked
            .iter()
            .filter(|asked| asked_for(&asked.body, &turns).is_some_and(|known| known.name == name))
            .count();
        self.check_asked(run, name);
        let attempts = run.state.attempts.len();
        match turn.kind {
            Kind::Chat => assert!(
                prompts <= attempts,
                "I4: {prompts} prompts of {at} in {attempts} attempts"
            ),
            Kind::Sandbox => assert_eq!(attempts, 1, "{at}: {:?}", run.state.attempts),
            Kind::Own | Kind::Errand => {}
        }
        match run.state.status {
            Status::Completed => self.check_message(run, &check_text(turn, run, log)),
            Status::Cancelled => {
                let asked = self.people.cancelled.borrow().contains(at);
                assert!(asked, "{at} was cancelled by nobody");
            }
            _ => {
                let error = run.state.last_error.as_ref().expect("it says why");
                assert!(
                    self.explains(turn, &error.code),
                    "{at} failed with {} for no reason: {}",
                    error.code,
                    error.message
                );
            }
        }
    }

    /// The transcript has the answer that the lines tell.
    fn check_message(&self, run: &Run, text: &str) {
        let key = run.run_id.rsplit_once(':').expect("it has a turn").0;
        let asked = Some((run.turn_index, Role::User));
        let answers = block_on(self.world.durable().messages(key, asked, 1));
        let answers = answers.expect("D1 answers");
        let answer = answers.first().expect("it was answered");
        assert_eq!(
            answer.turn_index, run.turn_index,
            "{}: no answer",
            run.run_id
        );
        assert_eq!(
            spelled(&answer.content),
            text,
            "{}: another answer than its lines tell",
            run.run_id
        );
    }

    /// Whether a failure has a cause in this run.
    fn explains(&self, turn: &Turn, code: &str) -> bool {
        let counts = self.chance.counts();
        let had = |sites: &[Site]| sites.iter().any(|site| counts.of(*site) > 0);
        match code {
            // Attempts and starts have budgets; a crash costs a start that can't be resumed.
            "upstream_unavailable" => counts.faults() > 0,
            "upstream_rejected" => had(&[Site::Redirect]),
            code => turn.fails.contains(&code),
        }
    }
}

/// The last attempt's text is the turn's.
fn check_text(turn: &Turn, run: &Run, log: &str) -> String {
    let lines: Vec<String> = log.split_inclusive('\n').map(str::to_owned).collect();
    let mut text = String::new();
    for line in without_ending(&lines) {
        let Some((kind, data)) = line::parse_kind_and_data(line.trim_end()) else {
            continue;
        };
        // Raw, since half an emoji is no text of Rust's.
        let data: BTreeMap<&str, &RawValue> = serde_json::from_str(data).unwrap_or_default();
        let said = |name: &str| data.get(name).map(|raw| spelled(raw.get()));
        match kind {
            "session.run.restarted" => text.clear(),
            "message.part.updated" => text += &said("delta").unwrap_or_default(),
            "result" => text = said("finalText").unwrap_or_default(),
            _ => {}
        }
    }
    let is_known = match turn.is_swapped() {
        true => turn.texts.iter().any(|known| known.len() >= text.len()),
        false => turn.texts.contains(&text),
    };
    assert!(
        is_known,
        "{}: {text:?} is none of {:?}",
        run.run_id, turn.texts
    );
    text
}

fn poke(seats: &[Seat], run_id: &str) {
    for seat in seats {
        let index = run_id
            .strip_prefix(&seat.key)
            .and_then(|rest| rest.strip_prefix(':'))
            .and_then(|index| index.parse().ok());
        if let Some(index) = index {
            seat.object.ask(Command::Poke(index));
        }
    }
}
