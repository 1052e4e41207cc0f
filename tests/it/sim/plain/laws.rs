//! What must hold of a plain turn, whatever became of its machines.
//!
//! Owns the questions. Each is asked from outside: of what D1 was sent and holds, what hooks were told, what
//! the upstream was asked, and what readers got; never of what the code says of itself.

mod ends;

use super::product::Told;
use super::terms::{Answer, Deployment, Terms, transformed};
use super::{RUN, SKEW_MS};
use crate::sim::chance::Chance;
use crate::sim::sites::Site;
use crate::support::{Life, Script, SimPorts, TENANT, World};
use futures::executor::block_on;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use steadfast::ports::Clock;
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{LogRow, Run, Section, SqlStore, Statement, Status, Store, Value};
use steadfast::wire::line;

/// How far ahead an open turn asks to be looked at, at most: a lease.
const ARMED_MS: i64 = 30_000;
/// How long behind its time a turn may still ask its upstream: it looks at its time before it asks, and then
/// stores what it has.
const LATE_MS: u64 = 60_000;
/// A third of a lease, by which it is renewed.
const THIRD_MS: i64 = 10_000;
/// Three pages of a follower, and the lines that a large turn has at least.
const MANY_ROWS: usize = 96;
const MANY_LINES: usize = 1_000;
/// Rows of any turn.
const ALL: u32 = 10_000;

/// What is stored of one attempt, as its lines' types and data.
#[derive(Default)]
struct Attempt {
    lines: Vec<(String, String)>,
    /// Frame ids so far.
    ids: BTreeSet<String>,
}

/// The last look.
#[derive(Default)]
struct Seen {
    changes: u64,
    log: String,
    /// Where each line begins in `log`.
    begins: Vec<usize>,
    run: Option<Run>,
    /// The latest end of each epoch's lease.
    leases: BTreeMap<u64, i64>,
    states: BTreeSet<u64>,
}

/// The laws of one turn. Clones share what was seen.
#[derive(Clone)]
pub struct Laws(Rc<Inner>);

struct Inner {
    world: World,
    chance: Chance,
    terms: Terms,
    told: Rc<Told>,
    durable: SqlStore<NativeSqlite>,
    seen: RefCell<Seen>,
    machines: RefCell<BTreeMap<Life, (SimPorts, &'static Deployment)>>,
    prompts: Cell<usize>,
    body: RefCell<Option<String>>,
    /// How often the upstream refuses a cancel before it takes one.
    refusals: Cell<usize>,
}

fn skew() -> i64 {
    i64::try_from(SKEW_MS).expect("it is small")
}

/// The execution that an attempt asks for.
fn execution_id(attempt: usize) -> String {
    match attempt {
        1 => RUN.to_owned(),
        attempt => format!("{RUN}:a{attempt}"),
    }
}

impl Laws {
    /// Of a turn of which nothing was seen yet.
    pub fn new(world: &World, chance: &Chance, terms: Terms, told: Rc<Told>) -> Self {
        Laws(Rc::new(Inner {
            durable: SqlStore::new(world.d1.database(), Section::D1),
            world: world.clone(),
            chance: chance.clone(),
            terms,
            told,
            seen: RefCell::default(),
            machines: RefCell::default(),
            prompts: Cell::new(0),
            body: RefCell::default(),
            refusals: Cell::new(0),
        }))
    }

    /// Whose clock a life goes by, and what is deployed to it.
    pub fn knows(&self, life: Life, ports: SimPorts, deployment: &'static Deployment) {
        let mut machines = self.0.machines.borrow_mut();
        machines.insert(life, (ports, deployment));
    }

    /// The upstream refuses so many cancels, as long as it isn't calm.
    pub fn refuses(&self, cancels: usize) {
        self.0.refusals.set(cancels);
    }

    /// Lines that were seen in D1.
    pub fn lines(&self) -> u64 {
        self.0.seen.borrow().begins.len() as u64
    }

    /// Whether D1 has the turn's end.
    pub fn is_over(&self) -> bool {
        let seen = self.0.seen.borrow();
        seen.run
            .as_ref()
            .is_some_and(|run| run.state.status.is_terminal())
    }

    /// The run, as it was seen.
    pub fn run(&self) -> Option<Run> {
        self.0.seen.borrow().run.clone()
    }

    /// The log, as it was seen.
    pub fn log(&self) -> String {
        self.0.seen.borrow().log.clone()
    }

    /// The states that were seen.
    pub fn states(&self) -> BTreeSet<u64> {
        self.0.seen.borrow().states.clone()
    }

    fn stored(&self) -> Option<Run> {
        block_on(self.0.durable.run(RUN)).expect("D1 answers")
    }

    fn rows(&self) -> Vec<LogRow> {
        block_on(self.0.durable.log(RUN, 0, ALL)).expect("D1 answers")
    }

    /// Nobody writes behind a lease: whoever sends a commit has one by its own clock, as D1 has it.
    pub fn sent(&self, life: Life, batch: &[Statement]) {
        let epoch = batch.iter().find_map(|one| match one.params.as_slice() {
            [
                Value::Text(run_id),
                Value::Integer(epoch),
                Value::Integer(_),
                ..,
            ] if run_id == RUN && !one.sql.starts_with("SELECT") => Some(epoch.unsigned_abs()),
            _ => None,
        });
        let Some(epoch) = epoch else { return };
        self.look();
        let seen = self.0.seen.borrow();
        let until = seen.leases.get(&epoch).copied();
        let until = until.expect("who commits has taken a lease");
        let machines = self.0.machines.borrow();
        let (ports, deployment) = machines.get(&life).expect("it is a machine");
        let now = ports.now_ms();
        assert!(
            now < until,
            "I5: a commit of epoch {epoch} was sent {} ms behind its lease",
            now - until
        );
        if until - now < THIRD_MS {
            self.0.chance.met(Site::LateRenewal);
        }
        let run = seen.run.as_ref().expect("who commits has a run");
        if Deployment::of(&run.upstream).model != deployment.model {
            self.0.chance.met(Site::OtherTerms);
        }
    }

    /// A prompt is bought: by an attempt that is stored, in the turn's time, with the body of the first one.
    pub fn prompted(&self, body: &str) -> Script {
        let number = self.0.prompts.get();
        self.0.prompts.set(number + 1);
        let run = self.stored().expect("who asks was accepted");
        let attempts = run.state.attempts.len();
        assert!(
            number < attempts,
            "I4: {} prompts by {attempts} attempts",
            number + 1
        );
        let accepted = Deployment::of(&run.upstream);
        let late = self.0.world.sim.now() - run.created_at;
        let most = i64::try_from(accepted.timeout_ms + LATE_MS).expect("it is small");
        assert!(
            late < most,
            "a turn that was accepted for {} ms asks after {late} ms",
            accepted.timeout_ms
        );
        self.same_body(body);
        self.0.terms.answer(number).script
    }

    /// Whoever takes a turn over asks as the first one did.
    fn same_body(&self, body: &str) {
        let mut first = self.0.body.borrow_mut();
        let first = first.get_or_insert_with(|| body.to_owned());
        assert_eq!(
            first, body,
            "a recovered turn asks otherwise than it was accepted"
        );
    }

    /// Looks at D1, when something was written since the last look.
    pub fn look(&self) {
        let changes = self.0.world.d1.changes();
        let mut seen = self.0.seen.borrow_mut();
        if seen.changes == changes {
            return;
        }
        seen.changes = changes;
        let Some(run) = self.stored() else { return };
        let rows = self.rows();
        let log: String = rows.iter().map(|row| row.lines.as_str()).collect();
        assert!(log.starts_with(&seen.log), "I1: lines are gone: {log}");
        if let Some(was) = &seen.run {
            self.goes_on(was, &run);
        }
        if let Some(lease) = &run.lease {
            let until = seen.leases.entry(run.epoch).or_insert(lease.until);
            *until = lease.until.max(*until);
        }
        let attempts = self.attempts(&rows, &run);
        let last = self.told_apart(&attempts, &run);
        self.is_armed(&run);
        if run.state.status.is_terminal() {
            self.ended(&run, &attempts, last);
        }
        let from = seen.log.len();
        let fresh = log[from..].match_indices('\n').map(|(at, _)| from + at + 1);
        let begins: Vec<usize> = match from {
            0 => std::iter::once(0).chain(fresh).collect(),
            _ => std::iter::once(from).chain(fresh).collect(),
        };
        // Where the last line ends none begins yet.
        seen.begins.extend(&begins[..begins.len() - 1]);
        let state = log.len() as u64 * 16 + run.epoch.min(15) + changes.min(1);
        seen.states.insert(state);
        seen.log = log;
        seen.run = Some(run);
    }

    /// What one state of the run may become.
    fn goes_on(&self, was: &Run, now: &Run) {
        let accepted = |run: &Run| {
            let facts = (
                run.request.clone(),
                run.upstream.clone(),
                run.input_hash.clone(),
            );
            (facts, run.key.clone(), run.created_at, run.turn_index)
        };
        assert_eq!(
            accepted(was),
            accepted(now),
            "what a turn was accepted with has changed"
        );
        assert!(now.epoch >= was.epoch, "I5: an epoch fell");
        let holder = |run: &Run| run.lease.as_ref().map(|lease| lease.holder.clone());
        let is_kept = holder(now).is_none() || holder(now) == holder(was);
        assert!(
            is_kept || now.epoch > was.epoch,
            "I5: another holder under the same epoch"
        );
        let until = was.lease.as_ref().map_or(0, |lease| lease.until);
        assert!(
            is_kept || until <= self.0.world.sim.now() + skew(),
            "I5: a lease was broken before its end"
        );
        let was_over = was.state.status.is_terminal();
        assert!(
            !was_over || was.state == now.state,
            "I6: changed behind its end"
        );
        assert!(was.cancel.is_none() || was.cancel == now.cancel);
    }

    /// The log by attempts: without a gap, a zombie, or a row that belongs to another attempt than its lines.
    fn attempts(&self, rows: &[LogRow], run: &Run) -> Vec<Attempt> {
        let whole = Script {
            frames: vec![],
            ..Script::short()
        }
        .log(TENANT, "s", 0);
        let first = whole.lines().next().expect("it has a first line");
        let mut attempts = vec![Attempt::default()];
        let (mut seq, mut epoch, mut is_over) = (0, 0, false);
        for row in rows {
            assert_eq!(row.first_seq, seq, "I2: a gap or an overlap");
            assert!(
                row.epoch >= epoch,
                "I5: a zombie wrote: {} behind {epoch}",
                row.epoch
            );
            epoch = row.epoch;
            let ids: Vec<Option<String>> =
                serde_json::from_str(&row.frame_ids).expect("ids are JSON");
            assert_eq!(
                (ids.len() as u64, row.lines.lines().count() as u64),
                (row.count, row.count)
            );
            for (text, id) in row.lines.lines().zip(ids) {
                assert!(!is_over, "I6: a line behind the end: {text}");
                let numbered = text.starts_with(&format!("{{\"seq\":{seq},"));
                assert!(numbered, "I2: line {seq} is {text}");
                let (kind, data) = line::parse_kind_and_data(text).expect("a line has a type");
                if seq == 0 {
                    assert_eq!(text, first);
                } else if kind == "session.run.restarted" {
                    let told: serde_json::Value = serde_json::from_str(data).expect("it is JSON");
                    assert_eq!(told["attempt"], attempts.len() + 1, "{text}");
                    attempts.push(Attempt::default());
                } else if kind == "error" || line::is_terminal(kind) {
                    is_over = line::is_terminal(kind);
                } else {
                    let attempt = attempts.last_mut().expect("there is one");
                    attempt.lines.push((kind.to_owned(), data.to_owned()));
                    attempt.ids.extend(id);
                }
                assert_eq!(
                    row.attempt as usize,
                    attempts.len(),
                    "a row of another attempt: {text}"
                );
                seq += 1;
            }
            let ids = &attempts.last().expect("there is one").ids;
            let is_own = |cursor: &String| {
                ["f0", "started"].contains(&cursor.as_str()) || ids.contains(cursor)
            };
            assert!(
                row.cursor.iter().all(is_own),
                "an attempt has a cursor of another one: {:?}",
                row.cursor
            );
        }
        assert_eq!(
            attempts.len(),
            run.state.attempts.len(),
            "an attempt that the log doesn't tell of"
        );
        assert_eq!(
            is_over,
            run.state.status.is_terminal(),
            "a line and a status disagree"
        );
        attempts
    }

    /// A new attempt owes nothing to the one before: its lines are those of one prompt that came later. The
    /// last attempt's prompt, if it has said anything.
    fn told_apart(&self, attempts: &[Attempt], run: &Run) -> Option<&'static Answer> {
        let most = Deployment::of(&run.upstream).starts as usize;
        assert!(
            attempts.len() <= most,
            "more starts than it was accepted with: {most}"
        );
        let (mut next, mut last) = (0, None);
        for attempt in attempts {
            last = None;
            if attempt.lines.is_empty() {
                continue;
            }
            let mut later = self.0.terms.answers().enumerate().skip(next);
            let found = later.find(|(_, answer)| self.is_of(attempt, answer));
            let (number, answer) = found.unwrap_or_else(|| {
                panic!("I3: not what the upstream said once: {:?}", attempt.lines)
            });
            (next, last) = (number + 1, Some(answer));
        }
        assert!(
            next <= self.0.prompts.get(),
            "an answer that nobody has asked for"
        );
        last
    }

    /// The lines of an answer that was read to its end.
    fn expected(&self, answer: &Answer) -> Vec<(String, String)> {
        let is_text = |data: &str| data.contains(r#""type":"text""#);
        let frames = answer.script.frames.iter();
        let mut lines: Vec<(String, String)> = frames
            .filter(|(_, _, data)| !self.0.terms.transforms || !is_text(data))
            .map(|(kind, _, data)| ((*kind).to_owned(), (*data).to_owned()))
            .collect();
        if self.0.terms.transforms {
            let text = serde_json::Value::from(transformed(answer.text));
            let data = format!(r#"{{"part":{{"id":"p1","type":"text","text":{text}}}}}"#);
            lines.push(("message.part.updated".to_owned(), data));
        }
        lines
    }

    /// The text of a chat's lines.
    fn chat_text(attempt: &Attempt) -> String {
        let text = |(kind, data): &(String, String)| {
            assert!(
                ["message.part.updated", "result"].contains(&kind.as_str()),
                "no line of a chat: {kind} {data}"
            );
            let data: serde_json::Value = serde_json::from_str(data).expect("it is JSON");
            let part = data["delta"]
                .as_str()
                .or_else(|| data["part"]["text"].as_str());
            part.unwrap_or_default().to_owned()
        };
        attempt.lines.iter().map(text).collect()
    }

    fn is_of(&self, attempt: &Attempt, answer: &Answer) -> bool {
        if !self.0.terms.chat {
            return self.expected(answer).starts_with(&attempt.lines);
        }
        let text = Self::chat_text(attempt);
        match self.0.terms.transforms {
            true => text == transformed(answer.plain),
            false => answer.plain.starts_with(&text),
        }
    }

    /// What is open has its time; what is over has none, and an upstream that may still be at work was told,
    /// or is still to be.
    fn is_armed(&self, run: &Run) {
        let (state, now) = (&run.state, self.0.world.sim.now());
        if !state.status.is_terminal() {
            let at = state.wake_at.expect("nobody would look after an open turn");
            assert!(
                at <= now + ARMED_MS + skew(),
                "an open turn is looked after too late"
            );
            assert_eq!(run.upstream_cancel, None);
            return;
        }
        assert_eq!(state.wake_at, None, "what is over would be woken");
        let code = state.last_error.as_ref().map(|error| error.code.as_str());
        let is_cut = match state.status {
            Status::Cancelled => true,
            Status::Failed => matches!(code, Some("turn_timeout" | "upstream_unavailable")),
            _ => false,
        };
        let id = execution_id(state.attempts.len());
        if let Some(owed) = &run.upstream_cancel {
            assert!(
                is_cut && !self.0.terms.chat && owed.execution_id == id,
                "{owed:?}"
            );
        } else if is_cut && !self.0.terms.chat {
            let told = self.0.world.upstream.cancels();
            let told = told.iter().filter(|told| **told == id).count();
            let refused = match self.0.chance.is_calm() {
                true => 0,
                false => self.0.refusals.get(),
            };
            assert!(
                told > refused,
                "an upstream doesn't know, nor is it to be told: {id}, told {told} times"
            );
        }
    }
}
