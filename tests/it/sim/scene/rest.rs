//! What must have come about once a run is at rest: its turns' ends, its rows, and what was asked for them.
//!
//! Owns these laws and the reasons that excuse a failed turn.

use super::Scene;
use crate::sim::oracle::Seat;
use crate::sim::sites::Site;
use crate::sim::turns::{Kind, Size, Turn, asked_for, spelled, without_ending};
use crate::support::{Asked, Dump, assert_shipped};
use futures::executor::block_on;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use steadfast::store::{Role, Run, Status, Step, Store};
use steadfast::wire::line;

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
/// More than a turn of usual size has.
const MANY: (usize, usize, usize) = (96, 200, 100);

impl Scene {
    /// What must have come about.
    pub(super) fn check_rest(&self) {
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
                    self.explains(turn, run, &error.code),
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

    /// A storage was lost with turns of which D1 hadn't heard: their indexes are given again, and an upstream that
    /// knows what it ran under such an id runs nothing else there.
    fn was_asked_otherwise(&self, turn: &Turn, run: &Run) -> bool {
        let asked = self.world.upstream.asked();
        let mut under_this_id = asked
            .iter()
            .filter(|asked| asked.execution_id == run.run_id);
        let turns = self.turns.borrow();
        let is_another =
            |asked: &Asked| asked_for(&asked.body, &turns).is_some_and(|of| of.name != turn.name);
        self.chance.has(Site::StorageLost) && under_this_id.any(is_another)
    }

    /// Whether a failure has a cause in this run.
    fn explains(&self, turn: &Turn, run: &Run, code: &str) -> bool {
        let counts = self.chance.counts();
        let had = |sites: &[Site]| sites.iter().any(|site| counts.of(*site) > 0);
        match code {
            // Attempts and starts have budgets; a crash costs a start that can't be resumed.
            "upstream_unavailable" => counts.faults() > 0,
            "upstream_rejected" => had(&[Site::Redirect]),
            "upstream_conflict" => self.was_asked_otherwise(turn, run),
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
