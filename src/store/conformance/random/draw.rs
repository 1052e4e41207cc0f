//! What a random sequence is made of: few sessions, turns, keys, tokens and times, so that
//! operations meet.
//!
//! Owns which operation comes next and what is read behind it, beside what the model holds by then:
//! mostly at the right place, so that most go through. Its invariant: nothing that it draws breaks
//! what the contract asks of a caller.

use super::call::{Call, Operation, Place};
use super::chance::Chance;
use super::look::Look;
use super::records;
use crate::ids::run_id;
use crate::store::conformance::scene::{self, NOW};
use crate::store::conformance::task::{again, lease};
use crate::store::{
    Attempt, Begin, Cancel, Changes, Error, Fence, Lease, LogHome, MemoryStore, Policy, Role, Run,
    Store,
};

const SESSIONS: u8 = 3;
/// Runs without a session.
const TASKS: u8 = 3;
const HOLDERS: u8 = 3;
const IDEMPOTENCY_KEYS: u8 = 3;
const EVENTS: u8 = 2;
/// Leases begin and end at so many instants.
const INSTANTS: u8 = 4;
/// How many calls back one is made once more.
const REMEMBERED: usize = 4;

#[derive(Clone, Copy)]
enum Kind {
    Begin,
    Create,
    Acquire,
    Renew,
    Release,
    Reopen,
    Commit,
    Repeat,
    RequestCancel,
    SetUpstreamCancel,
    EmitEvent,
    Migrate,
    Sync,
    Barrier,
}

/// As often as they lead somewhere: a run begins once and is written to many times.
const KINDS: [(u8, Kind); 14] = [
    (6, Kind::Begin),
    (3, Kind::Create),
    (8, Kind::Acquire),
    (8, Kind::Renew),
    (4, Kind::Release),
    (6, Kind::Reopen),
    (24, Kind::Commit),
    (10, Kind::Repeat),
    (4, Kind::RequestCancel),
    (3, Kind::SetUpstreamCancel),
    (6, Kind::EmitEvent),
    (1, Kind::Migrate),
    (1, Kind::Sync),
    (1, Kind::Barrier),
];

/// Which turn, beside the next one, and how often.
const LAST: [(u8, i64); 3] = [(1, 0), (8, -1), (1, -2)];
const NEXT: [(u8, i64); 3] = [(16, 0), (2, -1), (1, 1)];

/// Which of three, some more often than others: a sequence is short, and little meets in many places.
const SKEWED: [(u8, u8); 3] = [(4, 0), (2, 1), (1, 2)];

/// How far from the right place, which most are at.
const OFF: [(u8, i64); 4] = [(24, 0), (1, -1), (1, 1), (1, -2)];

/// The sessions and runs of one sequence.
pub(super) struct World {
    tenant: String,
    model: MemoryStore,
    /// Grows with each operation: no two write the same where they may not write.
    now: i64,
    past: Vec<Call>,
}

fn beside(chance: &mut Chance, right: u64) -> u64 {
    right.saturating_add_signed(chance.of(&OFF))
}

fn name(what: &str, chance: &mut Chance, count: u8) -> String {
    format!("{what}-{}", chance.below(count))
}

fn instant(chance: &mut Chance) -> i64 {
    NOW + i64::from(chance.below(INSTANTS))
}

fn some_lease(chance: &mut Chance) -> Lease {
    lease(&name("holder", chance, HOLDERS), instant(chance))
}

fn is_task(at: &Place) -> bool {
    at.run_id != run_id(&at.session_key, at.turn)
}

impl World {
    pub(super) const fn new(tenant: String, model: MemoryStore) -> Self {
        World {
            tenant,
            model,
            now: NOW + 100,
            past: Vec::new(),
        }
    }

    /// The next operation.
    pub(super) async fn draw(&mut self, chance: &mut Chance) -> Result<Call, Error> {
        self.now += 1;
        let kind = chance.of(&KINDS);
        let call = match kind {
            Kind::Repeat => {
                let back = usize::from(chance.of(&[(9, 0_u8), (1, 1), (1, 2), (1, 3)]));
                self.past.get(back).cloned()
            }
            _ => None,
        };
        let call = match call {
            Some(call) => call,
            None => self.fresh(kind, chance).await?,
        };
        self.past.insert(0, call.clone());
        self.past.truncate(REMEMBERED);
        Ok(call)
    }

    async fn fresh(&self, drawn: Kind, chance: &mut Chance) -> Result<Call, Error> {
        let mut at = self.place(drawn, chance).await?;
        let is_there = self.model.run(&at.run_id).await?.is_some();
        // What isn't there refuses everything alike; it is mostly made instead.
        let kind = match drawn {
            _ if is_there || chance.one_in(8) => drawn,
            _ if is_task(&at) => Kind::Create,
            _ => Kind::Begin,
        };
        let mut now = self.now;
        let operation = match kind {
            Kind::Begin => Operation::Begin(Box::new(self.begin(&at, chance))),
            Kind::Create => {
                let run = self.create(&at, chance).await?;
                at.run_id.clone_from(&run.run_id);
                Operation::Create(Box::new(run))
            }
            Kind::Acquire => {
                now = instant(chance);
                let until = (!chance.one_in(3)).then(|| instant(chance));
                Operation::Acquire {
                    policy: until.map_or(Policy::Sole, |until| Policy::WhenFree { until }),
                    holder: name("holder", chance, HOLDERS),
                }
            }
            Kind::Renew => self.renew(&at, chance).await?,
            Kind::Release => Operation::Release(self.fence(&at, chance).await?),
            Kind::Reopen => self.reopen(&at, chance).await?,
            Kind::Commit => self.commit(&at, chance).await?,
            Kind::RequestCancel => Operation::RequestCancel(Cancel {
                reason: chance.maybe(|chance| name("reason", chance, 2)),
                at: now,
            }),
            Kind::SetUpstreamCancel => Operation::SetUpstreamCancel(records::pending(chance)),
            Kind::EmitEvent => Operation::EmitEvent {
                key: name("event", chance, EVENTS),
                payload: chance.below(2).to_string(),
            },
            Kind::Sync => Operation::Sync,
            Kind::Barrier => Operation::Barrier,
            // Nothing to repeat yet: something that changes nothing.
            Kind::Migrate | Kind::Repeat => Operation::Migrate,
        };
        Ok(Call { operation, at, now })
    }

    /// The tenant and the id of a session. Two are of one tenant; the third's tenant is the first
    /// one's key, so that its own key is an id of the first one's runs.
    fn session(&self, number: u8) -> (String, String) {
        let tenant = &self.tenant;
        match number {
            2 => (format!("{tenant}:0"), "2".to_owned()),
            _ => (tenant.clone(), number.to_string()),
        }
    }

    fn session_key(&self, number: u8) -> String {
        let (tenant, session) = self.session(number);
        format!("{tenant}:{session}")
    }

    /// No turn's id, whatever the sessions are called.
    fn task_id(&self, number: u8) -> String {
        format!("{}/{number}", self.tenant)
    }

    async fn place(&self, kind: Kind, chance: &mut Chance) -> Result<Place, Error> {
        let session = chance.of(&SKEWED);
        let session_key = self.session_key(session);
        let stored = self.model.session(&session_key).await?;
        let next = stored.map_or(0, |session| session.turn_count);
        let (turns, is_task) = match kind {
            Kind::Begin => (NEXT, false),
            // Only runs without a session have leases that time keeps, and are opened again.
            Kind::Create | Kind::Renew | Kind::Reopen => (LAST, !chance.one_in(8)),
            Kind::Acquire | Kind::Release => (LAST, !chance.one_in(4)),
            _ => (LAST, chance.one_in(2)),
        };
        let turn = next.saturating_add_signed(chance.of(&turns));
        let run_id = if is_task {
            self.task_id(chance.of(&SKEWED))
        } else {
            run_id(&session_key, turn)
        };
        Ok(Place {
            session,
            session_key,
            turn,
            run_id,
        })
    }

    /// A turn as a session would accept it.
    fn turn(&self, at: &Place) -> Begin {
        let (tenant, session) = self.session(at.session);
        scene::turn(&tenant, &session, at.turn)
    }

    fn begin(&self, at: &Place, chance: &mut Chance) -> Begin {
        let now = self.now;
        let mut begin = self.turn(at);
        begin.session.birth = format!("birth-{now}");
        begin.session.created_at = now;
        begin.session.updated_at = now;
        // A tombstone, which the next begin revives.
        begin.session.deleted_at = chance.one_in(8).then_some(now);
        begin.run.key = chance
            .one_in(3)
            .then(|| name("key", chance, IDEMPOTENCY_KEYS));
        begin.run.lease = chance.one_in(4).then(|| some_lease(chance));
        begin.run.created_at = now;
        begin.run.state.status = chance.of(&records::OPEN);
        begin.message.content = format!("\"asked-{now}\"");
        begin.step.intent = format!("turn-{now}");
        begin
    }

    /// A run without a session, or one more under the id of a turn.
    async fn create(&self, at: &Place, chance: &mut Chance) -> Result<Run, Error> {
        // The id of a turn that has not begun is nobody's to create.
        let id = if is_task(at) || self.model.run(&at.run_id).await?.is_some() {
            at.run_id.clone()
        } else {
            self.task_id(chance.of(&SKEWED))
        };
        let status = chance.of(&records::ANY);
        Ok(Run {
            run_id: id,
            created_at: self.now,
            state: records::state(status, 0, self.now, chance),
            lease: (!chance.one_in(4)).then(|| some_lease(chance)),
            upstream_cancel: records::pending(chance),
            log_home: LogHome::D1,
            ..self.turn(at).run
        })
    }

    async fn fence(&self, at: &Place, chance: &mut Chance) -> Result<Fence, Error> {
        let run = self.model.run(&at.run_id).await?;
        let epoch = beside(chance, run.map_or(1, |run| run.epoch));
        Ok(Fence { epoch })
    }

    async fn renew(&self, at: &Place, chance: &mut Chance) -> Result<Operation, Error> {
        let run = self.model.run(&at.run_id).await?;
        let holds = run.and_then(|run| run.lease).map(|lease| lease.holder);
        let other = name("holder", chance, HOLDERS);
        Ok(Operation::Renew {
            fence: self.fence(at, chance).await?,
            holder: holds.filter(|_| !chance.one_in(4)).unwrap_or(other),
            until: instant(chance),
        })
    }

    async fn reopen(&self, at: &Place, chance: &mut Chance) -> Result<Operation, Error> {
        let stored = self.model.run(&at.run_id).await?;
        let mut read = stored.unwrap_or_else(|| Run {
            run_id: at.run_id.clone(),
            ..self.turn(at).run
        });
        // Read some time ago.
        read.rev = read.rev.saturating_sub(chance.one_in(4).into());
        Ok(Operation::Reopen {
            attempt: Attempt {
                started_at: self.now,
                ..again()
            },
            holder: name("holder", chance, HOLDERS),
            until: instant(chance),
            read: Box::new(read),
        })
    }

    async fn commit(&self, at: &Place, chance: &mut Chance) -> Result<Operation, Error> {
        let is_task = is_task(at);
        let end = self.model.log_end(&at.run_id).await?;
        let expect_next_seq = beside(chance, end);
        // A run with a log is not opened again: many tasks have none.
        let silent = if is_task { 2 } else { 5 };
        let lines = (!chance.one_in(silent)).then(|| records::lines(chance));
        let steps = records::steps(self.now, chance);
        let behind = expect_next_seq.saturating_add(
            lines
                .as_ref()
                .map_or(0, |lines| lines.frame_ids.len() as u64),
        );
        let transition = chance.maybe(|chance| {
            let counted = behind + u64::from(chance.one_in(24));
            let mut transition = records::transition(at.turn, counted, self.now, chance);
            // A run without a session has no transcript.
            transition.message = transition.message.filter(|_| !is_task);
            Box::new(transition)
        });
        Ok(Operation::Commit {
            fence: self.fence(at, chance).await?,
            expect_next_seq,
            changes: Changes {
                lines,
                steps,
                transition,
            },
        })
    }

    /// Everything that can be read, and at `at` some of it by pages too.
    pub(super) async fn looks(&self, at: &Place, chance: &mut Chance) -> Result<Vec<Look>, Error> {
        let mut looks = self.pages(at, chance);
        let mut runs: Vec<String> = (0..TASKS).map(|number| self.task_id(number)).collect();
        looks.extend(runs.iter().cloned().map(Look::Run));
        for session in 0..SESSIONS {
            let key = self.session_key(session);
            looks.extend(Look::at_session(&key));
            let stored = self.model.session(&key).await?;
            let turns = stored.map_or(0, |session| session.turn_count);
            runs.extend((0..turns).map(|turn| run_id(&key, turn)));
        }
        for run_id in runs {
            looks.extend(Look::at_run(&run_id));
            looks.extend((0..EVENTS).map(|event| Look::Event {
                run_id: run_id.clone(),
                key: format!("event-{event}"),
            }));
        }
        Ok(looks)
    }

    fn pages(&self, at: &Place, chance: &mut Chance) -> Vec<Look> {
        let (session_key, run_id) = (at.session_key.clone(), at.run_id.clone());
        let mut few = || u32::from(chance.below(4));
        let (from, limit) = (few(), few() + 1);
        let role = if few() > 1 {
            Role::User
        } else {
            Role::Assistant
        };
        vec![
            Look::Run(run_id.clone()),
            Look::Runs {
                session_key: session_key.clone(),
                from_turn: from.into(),
                limit,
            },
            Look::Messages {
                session_key: session_key.clone(),
                after: Some((from.into(), role)),
                limit,
            },
            Look::MessagesBefore {
                session_key,
                turn: at.turn,
                limit,
            },
            Look::Log {
                run_id: run_id.clone(),
                from_seq: from.into(),
                rows: limit,
            },
            Look::Steps {
                run_id,
                from_index: from,
                limit,
            },
            Look::RunByKey {
                session_key: at.session_key.clone(),
                key: name("key", chance, IDEMPOTENCY_KEYS),
            },
        ]
    }
}
