//! Those who steer: they cancel, tell events, and delete, until they are answered.
//!
//! Owns what is a right answer to each, and that an erased turn answers nothing.

use super::{Accepted, People};
use crate::sim::sites::Site;
use crate::sim::turns::{Kind, Turn};
use crate::support::{Answer, Life, Pace, VAST_EVENT};
use steadfast::api::{Command, Page};
use steadfast::ids::EventKey;
use steadfast::tasks::research::APPROVAL;

/// Events at once, more than one ship takes.
const CRIES: u32 = 120;

impl People {
    /// Deletes the session; sometimes uses it again, and deletes it once more.
    pub async fn erase(&self, seat: usize, turns: &[Turn], mut known: Vec<Accepted>) {
        self.delete(seat).await;
        self.ask_erased(seat, &known).await;
        let again = turns.iter().find(|turn| turn.kind == Kind::Sandbox);
        let Some(turn) = again.filter(|_| self.chance.percent(60)) else {
            return;
        };
        let accepted = self.submit(seat, turn).await;
        let is_new = known.iter().all(|old| old.turn < accepted.turn);
        assert!(is_new, "I16: {} is an erased turn", accepted.run_id);
        self.read(seat, turn, &accepted).await;
        self.ask_erased(seat, &known).await;
        if self.chance.percent(60) {
            self.chance.met(Site::ErasedAgain);
            self.delete(seat).await;
            known.push(accepted);
            self.ask_erased(seat, &known).await;
        }
    }

    /// An erased turn answers nothing.
    async fn ask_erased(&self, seat: usize, known: &[Accepted]) {
        for old in known {
            let object = &self.seats[seat].object;
            let asked = [
                self.follow(seat, old.turn, -1, Pace::Eager, self.view_kind()),
                object.ask(Command::Turn(old.turn)),
                object.ask(Command::Steps(old.turn, all())),
                object.ask(Command::Cancel(old.turn, None)),
            ];
            for client in asked {
                self.head(&client).await;
                let known = ["not_found", "session_unavailable", "store_unavailable"];
                match client.answer() {
                    Some(Answer::Refused(problem)) => assert!(
                        known.contains(&problem.code.name()),
                        "I16: {} is erased: {}",
                        old.run_id,
                        problem.code
                    ),
                    None => {}
                    Some(other) => panic!("I16: {} is erased and answers {other:?}", old.run_id),
                }
                client.leave();
                self.chance.met(Site::Erased);
            }
        }
    }

    /// Cancels at some time; sometimes just as the turn ends.
    pub fn canceller(&self, seat: usize, accepted: &Accepted, turn: &Turn) {
        let this = self.clone();
        let (index, run_id) = (accepted.turn, accepted.run_id.clone());
        self.cancelled.borrow_mut().push(run_id);
        let length = turn.script.as_ref().map_or(1_000, |script| {
            script.pace_ms.saturating_mul(script.frames.len() as u64)
        });
        let wait = match self.chance.percent(50) {
            true => length.saturating_add(self.chance.below(60)),
            false => self.chance.below(length.max(1)),
        };
        self.world.sim.spawn(Life::OUTSIDE, async move {
            this.sleep(wait).await;
            loop {
                let object = this.seats[seat].object.clone();
                let client = object.ask(Command::Cancel(index, Some("enough".to_owned())));
                let answer = this.head(&client).await;
                client.leave();
                this.chance
                    .note(|| format!("cancel of {index}: {}", client.brief()));
                match answer {
                    Some(Answer::Json(200 | 202, body)) => {
                        this.note_race(&body);
                        return;
                    }
                    Some(Answer::Refused(problem)) if problem.code.name() == "not_found" => return,
                    Some(Answer::Refused(problem)) => {
                        let known = ["session_unavailable", "store_unavailable"];
                        assert!(
                            known.contains(&problem.code.name()),
                            "a cancel: {}",
                            problem.code
                        );
                    }
                    Some(other) => panic!("{other:?} answers a cancel"),
                    None => {}
                }
                this.sleep(this.chance.pause(100, 2_000)).await;
            }
        });
    }

    fn note_race(&self, body: &str) {
        let view: serde_json::Value = serde_json::from_str(body).expect("a run's view is JSON");
        let ended = view["finishedAt"].as_i64();
        if ended.is_some_and(|at| (self.now() - at).abs() < 200) {
            self.chance.met(Site::CancelAtEnd);
        }
    }

    /// Gives a task its approval; two at once, of which the first counts.
    pub(super) fn approver(&self, seat: usize, accepted: &Accepted) {
        for payload in ["true", "false"] {
            let this = self.clone();
            let (index, run_id) = (accepted.turn, accepted.run_id.clone());
            let wait = self.chance.below(30_000);
            self.world.sim.spawn(Life::OUTSIDE, async move {
                this.sleep(wait).await;
                this.emit(seat, index, &run_id, APPROVAL, payload).await;
            });
        }
    }

    /// Many events that nobody waits for, all at once, and sometime the one that is waited for.
    pub(super) fn crier(&self, seat: usize, accepted: &Accepted) {
        let (all, last) = (self.chance.within(0, 4_000), self.chance.below(120_000));
        let noise = (0..CRIES).map(|n| (all, format!("noise-{n}")));
        for (wait, key) in noise.chain([(last, VAST_EVENT.to_owned())]) {
            let this = self.clone();
            let (index, run_id) = (accepted.turn, accepted.run_id.clone());
            self.world.sim.spawn(Life::OUTSIDE, async move {
                this.sleep(wait).await;
                this.emit(seat, index, &run_id, &key, "true").await;
            });
        }
    }

    pub async fn emit(&self, seat: usize, index: u64, run_id: &str, key: &str, payload: &str) {
        let key_text = key;
        loop {
            let key = EventKey::parse(key_text).expect("it is one");
            let command = Command::Emit(index, key, payload.to_owned());
            let client = self.seats[seat].object.ask(command);
            let answer = self.head(&client).await;
            client.leave();
            match answer {
                Some(Answer::Json(200 | 201, body)) => {
                    let told: serde_json::Value = serde_json::from_str(&body).expect("it is JSON");
                    let record = told["record"]["payload"].to_string();
                    let mut emitted = self.emitted.borrow_mut();
                    let event = format!("{run_id} {key_text}");
                    let first = emitted.entry(event).or_insert(record.clone());
                    assert_eq!(*first, record, "I7: two payloads were the first");
                    return;
                }
                Some(Answer::Refused(problem)) => {
                    let known = ["session_unavailable", "store_unavailable"];
                    let is_over = ["turn_finished", "not_found"];
                    if is_over.contains(&problem.code.name()) {
                        return;
                    }
                    assert!(
                        known.contains(&problem.code.name()),
                        "an event: {}",
                        problem.code
                    );
                }
                Some(other) => panic!("{other:?} answers an event"),
                None => {}
            }
            self.sleep(self.chance.pause(100, 2_000)).await;
        }
    }

    async fn delete(&self, seat: usize) {
        self.oracle.is_deleted(seat);
        loop {
            let client = self.seats[seat].object.ask(Command::Delete);
            let answer = self.head(&client).await;
            client.leave();
            self.chance.note(|| format!("delete: {}", client.brief()));
            match answer {
                Some(Answer::Json(202, _)) => return,
                Some(Answer::Refused(problem)) if problem.code.name() == "not_found" => return,
                Some(Answer::Refused(problem)) => {
                    let known = ["session_unavailable", "store_unavailable"];
                    assert!(
                        known.contains(&problem.code.name()),
                        "a delete: {}",
                        problem.code
                    );
                }
                Some(Answer::NoContent | Answer::Json(..)) => return,
                Some(other @ Answer::Lines(_)) => panic!("{other:?} answers a delete"),
                None => {}
            }
            self.sleep(self.chance.pause(100, 2_000)).await;
        }
    }
}

/// As much of a list as there is.
const fn all() -> Page {
    Page {
        limit: 200,
        cursor: None,
    }
}
