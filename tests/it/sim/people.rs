//! The clients of a run: users that come back until they have read the end, and viewers.
//!
//! Owns what a well-written client does with each answer, and the hostile ones. Every wait of theirs is
//! virtual time.

mod steer;

use super::chance::Chance;
use super::oracle::{Oracle, Seat};
use super::sites::Site;
use super::turns::{Kind, Size, Turn};
use crate::support::{Answer, Client, Life, Pace, World, behind};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use steadfast::api::{Command, Mode};
use steadfast::wire::line;
use steadfast::wire::request::Submit;
use steadfast::wire::view::ViewKind;

/// How long a client waits for the head of an answer, in ms.
const PATIENCE_MS: u64 = 60_000;
/// How long it waits for another line before it asks again: three heartbeats.
const QUIET_MS: u64 = 45_000;
/// How often a client looks, in ms.
const LOOK_MS: u64 = 25;

/// Everybody of one run. Clones share it.
#[derive(Clone)]
pub struct People {
    pub world: World,
    pub chance: Chance,
    pub oracle: Oracle,
    pub seats: Rc<Vec<Seat>>,
    /// How many users are not done.
    pub busy: Rc<Cell<usize>>,
    /// Turns that somebody asked to cancel, by run id.
    pub cancelled: Rc<RefCell<Vec<String>>>,
    /// What a task's event was answered with: payloads.
    pub emitted: Rc<RefCell<BTreeMap<String, String>>>,
}

/// What an accepted turn is to its user.
pub struct Accepted {
    /// Its run.
    pub run_id: String,
    /// Its index.
    pub turn: u64,
}

impl People {
    pub async fn sleep(&self, ms: u64) {
        self.world.sim.sleep(ms).await;
    }

    fn now(&self) -> i64 {
        self.world.sim.now()
    }

    /// Waits for the head of an answer.
    async fn head(&self, client: &Client) -> Option<Answer> {
        let until = self.now().saturating_add_unsigned(PATIENCE_MS);
        while client.answer().is_none() && !client.is_over() && self.now() < until {
            self.sleep(LOOK_MS).await;
        }
        client.answer()
    }

    fn pace(&self) -> Pace {
        match self.chance.below(20) {
            0 if !self.chance.is_calm() => {
                self.chance.met(Site::ClientStopped);
                Pace::Stops
            }
            1 => {
                self.chance.met(Site::ClientSlow);
                Pace::Slow(self.chance.within(100, 3_000))
            }
            _ => Pace::Eager,
        }
    }

    fn post(&self, seat: usize, submit: &Submit, pace: Pace) -> Client {
        let command = Command::Submit(Box::new(submit.clone()), ViewKind::Ndjson);
        let client = self.seats[seat].object.ask_at(command, pace);
        self.oracle.watch(&client, seat, -1, ViewKind::Ndjson);
        client
    }

    fn follow(&self, seat: usize, turn: u64, after: i64, pace: Pace, view: ViewKind) -> Client {
        let command = Command::Follow {
            turn,
            start: behind(after),
            live: true,
            view,
        };
        let client = self.seats[seat].object.ask_at(command, pace);
        self.oracle.watch(&client, seat, after, view);
        client
    }

    /// One user's conversation: turn after turn, each read to its end.
    pub fn user(&self, seat: usize, turns: Vec<Turn>, deletes: bool) {
        let this = self.clone();
        self.busy.set(self.busy.get() + 1);
        self.world.sim.spawn(Life::OUTSIDE, async move {
            let mut known = Vec::new();
            for turn in &turns {
                this.sleep(this.chance.within(0, 3_000)).await;
                known.push(this.one_turn(seat, turn).await);
            }
            if deletes {
                this.erase(seat, &turns, known).await;
            }
            this.chance.note(|| format!("user {seat} is done"));
            this.busy.set(this.busy.get() - 1);
        });
    }

    pub async fn one_turn(&self, seat: usize, turn: &Turn) -> Accepted {
        let accepted = self.submit(seat, turn).await;
        self.viewers(seat, &accepted);
        // A cancel that only a lost storage knew is lost with it.
        if self.chance.percent(15) && !self.chance.has(Site::StorageLost) {
            self.canceller(seat, &accepted, turn);
        }
        match (turn.kind, turn.size) {
            (Kind::Errand, Size::Usual) => self.approver(seat, &accepted),
            (Kind::Errand, Size::Large) => self.crier(seat, &accepted),
            (Kind::Errand, Size::Long) | (Kind::Sandbox | Kind::Chat | Kind::Own, _) => {}
        }
        self.read(seat, turn, &accepted).await;
        if self.chance.percent(15) {
            self.resubmit(seat, turn).await;
        }
        accepted
    }

    /// Posts until the turn is accepted.
    pub async fn submit(&self, seat: usize, turn: &Turn) -> Accepted {
        loop {
            let era = self.oracle.era(seat);
            let client = self.post(seat, &turn.submit(), self.pace());
            if self.chance.percent(3) {
                self.crowd(seat, turn);
            }
            let answer = self.head(&client).await;
            self.chance
                .note(|| format!("{} posted: {}", turn.name, client.brief()));
            if let Some(accepted) = self.accepted(seat, era, turn, &client) {
                self.lie(seat, turn);
                return accepted;
            }
            match answer {
                Some(Answer::Refused(problem)) => self.check_refusal(problem.code.name()),
                Some(Answer::Lines(_)) | None => {}
                Some(other) => panic!("{other:?} answers a submit"),
            }
            client.leave();
            self.sleep(self.chance.pause(50, 2_000)).await;
        }
    }

    fn accepted(&self, seat: usize, era: u64, turn: &Turn, client: &Client) -> Option<Accepted> {
        let Some(Answer::Lines(Some(mode))) = client.answer() else {
            return None;
        };
        let run_id = client.execution_id().expect("lines are a run's");
        let key = turn.submit().key.expect("every turn here has one");
        self.oracle.is_accepted(seat, era, &key, &run_id);
        if mode == Mode::Replayed {
            self.chance.met(Site::ResumedBehindEnd);
        }
        let index = run_id.rsplit(':').next().expect("it has parts");
        let turn = index.parse().expect("a turn's index");
        Some(Accepted { run_id, turn })
    }

    /// A refusal must be one that asking again can help against.
    fn check_refusal(&self, code: &str) {
        let known = [
            "session_unavailable",
            "store_unavailable",
            "turn_in_progress",
        ];
        assert!(known.contains(&code), "a turn was refused: {code}");
    }

    /// The same post, many times at once.
    fn crowd(&self, seat: usize, turn: &Turn) {
        self.chance.met(Site::ManyPosts);
        for _ in 0..20 {
            let (this, turn) = (self.clone(), turn.clone());
            let era = self.oracle.era(seat);
            let client = self.post(seat, &turn.submit(), Pace::Eager);
            self.world.sim.spawn(Life::OUTSIDE, async move {
                this.head(&client).await;
                this.accepted(seat, era, &turn, &client);
            });
        }
    }

    /// The same key with another body is refused, and changes nothing.
    fn lie(&self, seat: usize, turn: &Turn) {
        if !self.chance.percent(20) {
            return;
        }
        self.chance.met(Site::OtherBody);
        let mut other = turn.submit();
        other.message = Some("\"turn-other! something else\"".to_owned());
        let (this, client) = (self.clone(), self.post(seat, &other, Pace::Eager));
        self.world.sim.spawn(Life::OUTSIDE, async move {
            match this.head(&client).await {
                Some(Answer::Refused(problem)) => {
                    let known = [
                        "manifest_mismatch",
                        "session_unavailable",
                        "store_unavailable",
                        "not_found",
                    ];
                    assert!(known.contains(&problem.code.name()), "I8: {}", problem.code);
                }
                None => {}
                Some(other) => panic!("I8: another body was answered: {other:?}"),
            }
        });
    }

    /// Reads a turn until its end was seen, however often that is cut.
    pub async fn read(&self, seat: usize, turn: &Turn, accepted: &Accepted) {
        // A submit's own answer was only looked at: what follows is read from a cursor of our own.
        let mut have: u64 = 0;
        let mut from = -1;
        let mut at = accepted.turn;
        loop {
            let client = self.follow(seat, at, from, self.pace(), ViewKind::Ndjson);
            let leaves = self
                .chance
                .percent(25)
                .then(|| self.chance.within(0, 4_000));
            if leaves.is_some() {
                self.chance.met(Site::ClientLeft);
            }
            self.stay(&client, leaves).await;
            let answer = client.answer();
            client.leave();
            self.chance
                .note(|| format!("{} read: {}", turn.name, client.brief()));
            match answer {
                Some(Answer::Lines(_)) => {
                    let log = client.log();
                    let got: Vec<&str> = whole_lines(&log);
                    have = have.max(next_of(from) + got.len() as u64);
                    if got.last().is_some_and(|line| is_ending(line))
                        || client.has_ended() && got.is_empty()
                    {
                        return;
                    }
                }
                Some(Answer::Refused(problem)) => match problem.code.name() {
                    "session_unavailable" | "store_unavailable" => {}
                    // Storage that was lost had lines which D1 has not yet.
                    "cursor_out_of_range" | "not_found" if self.chance.has(Site::StorageLost) => {
                        have = 0;
                        // A turn of which D1 had not heard begins anew, at the session's next index.
                        let again = self.resubmit(seat, turn).await;
                        at = again.map_or(at, |accepted| accepted.turn);
                    }
                    code => panic!("{} can't be read: {code}", accepted.run_id),
                },
                None => {}
                Some(other) => panic!("{other:?} answers a follow"),
            }
            from = self.cursor(have);
            self.sleep(self.chance.pause(20, 1_500)).await;
        }
    }

    /// Where to resume: mostly behind what it has, sometimes from the start.
    fn cursor(&self, have: u64) -> i64 {
        let behind = i64::try_from(have).expect("it is small") - 1;
        match self.chance.below(12) {
            0 if have > 0 => {
                self.chance.met(Site::CursorLow);
                -1
            }
            1 => {
                self.chance.met(Site::CursorNegative);
                -5
            }
            _ => behind,
        }
    }

    async fn resubmit(&self, seat: usize, turn: &Turn) -> Option<Accepted> {
        let era = self.oracle.era(seat);
        let client = self.post(seat, &turn.submit(), Pace::Eager);
        self.head(&client).await;
        let accepted = self.accepted(seat, era, turn, &client);
        client.leave();
        accepted
    }

    /// Reads until the end, until nothing more comes, or until it leaves.
    async fn stay(&self, client: &Client, leaves: Option<u64>) {
        let began = self.now();
        let (mut had, mut since) = (0, began);
        loop {
            self.sleep(LOOK_MS).await;
            if client.is_over() {
                return;
            }
            let received = client.received();
            if received != had {
                (had, since) = (received, self.now());
            }
            let gone = leaves.is_some_and(|ms| self.now() >= began.saturating_add_unsigned(ms));
            if gone || self.now() >= since.saturating_add_unsigned(QUIET_MS) {
                return;
            }
        }
    }

    /// Others who look at the same turn, from wherever.
    fn viewers(&self, seat: usize, accepted: &Accepted) {
        for _ in 0..self.chance.below(3) {
            let this = self.clone();
            let (turn, run_id) = (accepted.turn, accepted.run_id.clone());
            let wait = self.chance.below(4_000);
            self.world.sim.spawn(Life::OUTSIDE, async move {
                this.sleep(wait).await;
                this.view(seat, turn, &run_id).await;
            });
        }
    }

    fn view_kind(&self) -> ViewKind {
        match self.chance.percent(40) {
            true => {
                self.chance.met(Site::EventStream);
                ViewKind::Sse
            }
            false => ViewKind::Ndjson,
        }
    }

    async fn view(&self, seat: usize, turn: u64, run_id: &str) {
        let object = self.seats[seat].object.dump();
        let found = object.runs.iter().find(|(run, _, _)| run.run_id == run_id);
        let lines = found.map_or(0, |(_, log, _)| log.lines().count());
        let lines = i64::try_from(lines).expect("it is small");
        let after = match self.chance.below(8) {
            0 => {
                self.chance.met(Site::CursorHigh);
                lines + 1_000
            }
            1 => {
                // Another turn's cursor is only a number, and may be one that is too high here.
                self.chance.met(Site::CursorOfAnother);
                i64::try_from(self.chance.below(30)).expect("it is small")
            }
            2 | 3 => {
                self.chance.met(Site::ResumedAtTail);
                lines - 1
            }
            _ => {
                i64::try_from(self.chance.place(lines.unsigned_abs() as usize + 1))
                    .expect("it is small")
                    - 1
            }
        };
        let rows = self.seats[seat].object.row_starts(run_id);
        let starts_within = after >= 0 && !rows.contains(&(after.unsigned_abs() + 1));
        let view = self.view_kind();
        let after = match view {
            // What an `EventSource` sends that has seen the first event alone.
            ViewKind::Sse if self.chance.percent(30) => {
                self.chance.met(Site::LastEventZero);
                0
            }
            _ => after,
        };
        let client = self.follow(seat, turn, after, self.pace(), view);
        let leaves = self
            .chance
            .percent(50)
            .then(|| self.chance.within(0, 3_000));
        self.stay(&client, leaves).await;
        client.leave();
        match client.answer() {
            Some(Answer::Lines(_)) if starts_within && client.received() > 0 => {
                self.chance.met(Site::ReplayCrossedCommit);
            }
            Some(Answer::Lines(_)) | None => {}
            // SSE's way to say that nothing is left, which is true where the turn is over.
            Some(Answer::NoContent) if view == ViewKind::Sse => {
                let dump = self.seats[seat].object.dump();
                let found = dump.runs.iter().find(|(run, _, _)| run.run_id == run_id);
                let is_over = found.is_none_or(|(run, _, _)| run.state.status.is_terminal());
                assert!(
                    is_over,
                    "{run_id} goes on, and an event stream was told not to come back"
                );
            }
            Some(Answer::Refused(problem)) => {
                let known = [
                    "cursor_out_of_range",
                    "session_unavailable",
                    "store_unavailable",
                    "not_found",
                ];
                assert!(
                    known.contains(&problem.code.name()),
                    "a viewer: {}",
                    problem.code
                );
            }
            Some(other) => panic!("{other:?} answers a follow"),
        }
    }
}

fn whole_lines(log: &str) -> Vec<&str> {
    let lines = log.split_inclusive('\n');
    lines.filter(|line| line.ends_with('\n')).collect()
}

fn is_ending(text: &str) -> bool {
    line::parse_kind_and_data(text.trim_end()).is_some_and(|(kind, _)| line::is_terminal(kind))
}

const fn next_of(after: i64) -> u64 {
    if after < 0 {
        0
    } else {
        after.unsigned_abs() + 1
    }
}
