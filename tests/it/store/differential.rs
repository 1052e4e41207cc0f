//! Random operations answer alike on the model and on SQL, in both sections.
//!
//! A failure prints the smallest sequence that shows it and the seed that found it;
//! `STEADFAST_SEED` runs that seed again.

use super::record::{self, lines, message, parts, pending, run_state, step};
use super::{SECTIONS, sqlite};
use futures_executor::block_on;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};
use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use steadfast::ids::run_id;
use steadfast::store::{
    Attempt, Begin, Begun, Cancel, Changes, Emitted, Error, EventRecord, Fence, Held, Lease,
    LogHome, LogRow, MemoryStore, Message, Policy, Role, Run, Session, Status, Step, Store,
    Transition, UpstreamCancel,
};

/// Sequences a section, each up to [`OPERATIONS`] long: enough to meet each pair of operations.
const SEQUENCES: u32 = 96;
const OPERATIONS: usize = 56;
/// Runs without a session in a sequence.
const ALONE: u8 = 2;

/// What is done, in small numbers: few sessions, turns and keys, so that operations meet.
#[derive(Clone, Debug)]
enum Operation {
    Begin {
        at: Place,
        status: Status,
        key: Option<u8>,
        lease: Option<(u8, i64)>,
        /// A tombstone, which the next begin revives.
        deleted: bool,
    },
    Acquire {
        at: Place,
        holder: u8,
        now: i64,
        until: Option<i64>,
    },
    Commit {
        at: Place,
        /// Beside the present epoch.
        epoch: i64,
        /// Beside the log's end.
        seq: i64,
        lines: Option<u8>,
        text: u8,
        steps: Vec<u8>,
        transition: Option<Move>,
    },
    /// The last decision once more, as after a lost answer.
    Repeat,
    Cancel {
        at: Place,
        reason: u8,
    },
    Tell {
        at: Place,
        tries: Option<u8>,
    },
    Emit {
        at: Place,
        key: u8,
        payload: u8,
    },
    /// A run without a session, or one more under the id of a turn.
    Create {
        at: Place,
        status: Status,
        lease: Option<(u8, i64)>,
    },
    Renew {
        at: Place,
        /// Beside the present epoch; so in `Release`.
        epoch: i64,
        /// None is whoever holds it.
        holder: Option<u8>,
        until: i64,
    },
    Release {
        at: Place,
        epoch: i64,
    },
    Reopen {
        at: Place,
        /// Beside the present rev.
        rev: i64,
        holder: u8,
        until: i64,
    },
}

#[derive(Clone, Copy, Debug)]
struct Place {
    session: u8,
    /// Behind the last turn begun: 0 is the next, 1 the last one.
    back: u64,
    /// In place of a turn, the run of this number that belongs to no session.
    alone: Option<u8>,
}

#[derive(Clone, Debug)]
struct Move {
    status: Status,
    /// Beside the right count.
    count: i64,
    message: Option<Role>,
    tries: Option<u8>,
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![
        1 => Just(Status::Queued),
        4 => Just(Status::Running),
        2 => Just(Status::Suspended),
        4 => Just(Status::Completed),
        2 => Just(Status::Failed),
        2 => Just(Status::Cancelled),
    ]
}

fn open_status() -> impl Strategy<Value = Status> {
    prop_oneof![
        4 => Just(Status::Running),
        1 => Just(Status::Queued),
        1 => Just(Status::Suspended),
    ]
}

fn place(next: u32) -> impl Strategy<Value = Place> {
    let back = prop_oneof![next => Just(0_u64), 8 => Just(1), 1 => Just(2)];
    (0..3_u8, back).prop_map(|(session, back)| Place {
        session,
        back,
        alone: None,
    })
}

/// A turn, or as often a run without a session.
fn any_place() -> impl Strategy<Value = Place> {
    (place(1), option::of(0..ALONE)).prop_map(|(place, alone)| Place { alone, ..place })
}

/// Mostly a run without a session: only those can be opened again.
fn place_alone() -> impl Strategy<Value = Place> {
    let alone = option::weighted(0.9, 0..ALONE);
    (place(0), alone).prop_map(|(place, alone)| Place { alone, ..place })
}

/// Mostly none, so that most operations go through.
fn off() -> impl Strategy<Value = i64> {
    prop_oneof![12 => Just(0_i64), 1 => Just(-1), 1 => Just(1), 1 => Just(-2)]
}

fn moved() -> impl Strategy<Value = Move> {
    let role = prop_oneof![Just(Role::User), Just(Role::Assistant)];
    let count = prop_oneof![20 => Just(0_i64), 1 => Just(1)];
    (status(), count, option::of(role), option::of(0..2_u8)).prop_map(
        |(status, count, message, tries)| Move {
            status,
            count,
            message,
            tries,
        },
    )
}

fn operation() -> impl Strategy<Value = Operation> {
    let begin = (
        place(16),
        open_status(),
        option::of(0..3_u8),
        option::weighted(0.2, (0..2_u8, 0..4_i64)),
        prop::bool::weighted(0.1),
    );
    let acquire = (any_place(), 0..3_u8, 0..4_i64, option::of(0..4_i64));
    let commit = (
        any_place(),
        off(),
        off(),
        option::weighted(0.8, 0..3_u8),
        0..2_u8,
        prop::collection::vec(0..3_u8, 0..3),
        option::weighted(0.6, moved()),
    );
    let created = prop_oneof![3 => open_status(), 1 => status()];
    let lease = option::weighted(0.8, (0..3_u8, 0..4_i64));
    let create = (place_alone(), created, lease);
    let renew = (
        place_alone(),
        off(),
        option::weighted(0.3, 0..3_u8),
        0..4_i64,
    );
    let reopen = (place_alone(), off(), 0..3_u8, 0..4_i64);
    prop_oneof![
        4 => begin.prop_map(|(at, status, key, lease, deleted)| Operation::Begin {
            at, status, key, lease, deleted,
        }),
        3 => acquire.prop_map(|(at, holder, now, until)| Operation::Acquire {
            at, holder, now, until,
        }),
        8 => commit.prop_map(|(at, epoch, seq, lines, text, steps, transition)| Operation::Commit {
            at, epoch, seq, lines, text, steps, transition,
        }),
        2 => Just(Operation::Repeat),
        1 => (any_place(), 0..2_u8).prop_map(|(at, reason)| Operation::Cancel { at, reason }),
        1 => (any_place(), option::of(0..2_u8)).prop_map(|(at, tries)| Operation::Tell { at, tries }),
        2 => (any_place(), 0..2_u8, 0..2_u8).prop_map(|(at, key, payload)| Operation::Emit {
            at, key, payload,
        }),
        3 => create.prop_map(|(at, status, lease)| Operation::Create { at, status, lease }),
        4 => renew.prop_map(|(at, epoch, holder, until)| Operation::Renew {
            at, epoch, holder, until,
        }),
        1 => (any_place(), off()).prop_map(|(at, epoch)| Operation::Release { at, epoch }),
        4 => reopen.prop_map(|(at, rev, holder, until)| Operation::Reopen {
            at, rev, holder, until,
        }),
    ]
}

/// An operation with its arguments, as every store is asked.
#[derive(Clone, Debug)]
enum Call {
    Begin(Box<Begin>),
    Acquire(String, Policy, String, i64),
    Commit(String, String, Fence, u64, Changes, i64),
    Cancel(String, Cancel),
    Tell(String, Option<UpstreamCancel>, i64),
    Emit(String, String, String, i64),
    Create(Box<Run>),
    Renew(String, Fence, String, i64),
    Release(String, Fence),
    Reopen(Box<Run>, Attempt, String, i64, i64),
}

#[derive(Debug, PartialEq)]
enum Answer {
    Begin(Result<Begun, Error>),
    Acquire(Result<Fence, Error>),
    Commit(Result<(), Error>),
    Cancel(Result<bool, Error>),
    Tell(Result<(), Error>),
    Emit(Result<Emitted, Error>),
    Create(Result<Begun, Error>),
    Renew(Result<(), Error>),
    Release(Result<(), Error>),
    Reopen(Result<Fence, Error>),
}

async fn ask<S: Store>(store: &S, call: &Call) -> Answer {
    match call {
        Call::Begin(begin) => Answer::Begin(store.begin(begin).await),
        Call::Acquire(run, policy, holder, now) => {
            Answer::Acquire(store.acquire(run, policy.clone(), holder, *now).await)
        }
        Call::Commit(key, run, fence, seq, changes, now) => {
            Answer::Commit(store.commit(key, run, *fence, *seq, changes, *now).await)
        }
        Call::Cancel(run, cancel) => Answer::Cancel(store.request_cancel(run, cancel).await),
        Call::Tell(run, pending, now) => {
            Answer::Tell(store.set_upstream_cancel(run, pending.as_ref(), *now).await)
        }
        Call::Emit(run, key, payload, now) => {
            Answer::Emit(store.emit_event(run, key, payload, *now).await)
        }
        Call::Create(run) => Answer::Create(store.create(run).await),
        Call::Renew(run, fence, holder, until) => {
            let held = Held {
                fence: *fence,
                holder,
            };
            Answer::Renew(store.renew(run, held, *until).await)
        }
        Call::Release(run, fence) => Answer::Release(store.release(run, *fence).await),
        Call::Reopen(run, attempt, holder, until, now) => {
            Answer::Reopen(store.reopen(run, attempt, holder, *until, *now).await)
        }
    }
}

/// What any reader can see of one session.
#[derive(Debug, PartialEq)]
struct Sight {
    session: Option<Session>,
    runs: Vec<Run>,
    by_key: Vec<Option<Run>>,
    logs: Vec<(u64, Vec<LogRow>, Vec<LogRow>)>,
    messages: Vec<Message>,
    before: Vec<Message>,
    steps: Vec<Vec<Step>>,
    events: Vec<Option<EventRecord>>,
}

/// What any reader can see of one run.
#[derive(Debug, PartialEq)]
struct Alone {
    run: Option<Run>,
    log: Vec<LogRow>,
    steps: Vec<Step>,
    events: Vec<Option<EventRecord>>,
}

async fn look_at<S: Store>(store: &S, id: &str) -> Result<Alone, Error> {
    let mut events = vec![];
    for event in ["event-0", "event-1"] {
        events.push(store.event(id, event).await?);
    }
    Ok(Alone {
        run: store.run(id).await?,
        log: store.log(id, 0, 100).await?,
        steps: store.steps(id, 0, 100).await?,
        events,
    })
}

async fn look<S: Store>(store: &S, key: &str) -> Result<Sight, Error> {
    let (tenant, id) = parts(key);
    let runs = store.runs(key, 0, 100).await?;
    let mut sight = Sight {
        session: store.session(key).await?,
        by_key: vec![],
        logs: vec![],
        messages: store.messages(key, Some((0, Role::User)), 3).await?,
        before: store.messages_before(key, 2, 3).await?,
        steps: vec![],
        events: vec![],
        runs,
    };
    for name in 0..3 {
        let name = format!("key-{name}");
        sight
            .by_key
            .push(store.run_by_key(tenant, id, &name).await?);
    }
    for run in &sight.runs {
        let id = &run.run_id;
        let all = store.log(id, 0, 100).await?;
        sight
            .logs
            .push((store.log_end(id).await?, all, store.log(id, 2, 1).await?));
        sight.steps.push(store.steps(id, 0, 100).await?);
        for event in ["event-0", "event-1"] {
            sight.events.push(store.event(id, event).await?);
        }
    }
    Ok(sight)
}

/// Sessions 0 and 1 are two of one tenant; 2 has the first one's key as its tenant. Each sequence
/// has a tenant of its own, so that all of them share one database.
fn session_key(tenant: u32, session: u8) -> String {
    match session {
        2 => format!("t{tenant}:0:2"),
        _ => format!("t{tenant}:{session}"),
    }
}

/// No turn's id, whatever the sessions are called.
fn id_alone(tenant: u32, number: u8) -> String {
    format!("t{tenant}/{number}")
}

fn shifted(base: u64, by: i64) -> u64 {
    base.saturating_add_signed(by)
}

/// Turns an operation into a call, beside what the model holds by now.
fn call(
    model: &MemoryStore,
    tenant: u32,
    operation: &Operation,
    serial: i64,
    last: Option<&Call>,
) -> Call {
    let turn_of = |at: &Place| -> (String, u64) {
        let key = session_key(tenant, at.session);
        let session = block_on(model.session(&key)).expect("the model answers");
        let next = session.map_or(0, |session| session.turn_count);
        (key, next.saturating_sub(at.back))
    };
    let run_of = |at: &Place| -> String {
        let (key, turn) = turn_of(at);
        at.alone
            .map_or_else(|| run_id(&key, turn), |number| id_alone(tenant, number))
    };
    let stored = |id: &str| block_on(model.run(id)).expect("the model answers");
    let epoch_of = |id: &str, off: i64| Fence {
        epoch: shifted(stored(id).map_or(1, |run| run.epoch), off),
    };
    let leased = |lease: &Option<(u8, i64)>| {
        lease.map(|(holder, until)| Lease {
            holder: format!("holder-{holder}"),
            until,
        })
    };
    match operation {
        Operation::Begin {
            at,
            status,
            key,
            lease,
            deleted,
        } => {
            let (session_key, turn) = turn_of(at);
            let mut begin = record::begin(&session_key, turn, serial);
            begin.session.deleted_at = deleted.then_some(serial);
            begin.run.state.status = *status;
            begin.run.key = key.map(|key| format!("key-{key}"));
            begin.run.lease = leased(lease);
            Call::Begin(Box::new(begin))
        }
        Operation::Acquire {
            at,
            holder,
            now,
            until,
        } => {
            let policy = until.map_or(Policy::Sole, |until| Policy::WhenFree { until });
            Call::Acquire(run_of(at), policy, format!("holder-{holder}"), *now)
        }
        Operation::Commit {
            at,
            epoch,
            seq,
            lines: count,
            text,
            steps,
            transition,
        } => {
            let (session_key, turn) = turn_of(at);
            let id = run_of(at);
            let end = block_on(model.log_end(&id)).expect("the model answers");
            let expect_next_seq = shifted(end, *seq);
            let behind = expect_next_seq + u64::from(count.unwrap_or(0));
            let transition = transition.as_ref().map(|change| {
                let line_count = shifted(behind, change.count);
                Box::new(Transition {
                    state: run_state(change.status, line_count, serial),
                    // A run without a session has no transcript.
                    message: change
                        .message
                        .filter(|_| at.alone.is_none())
                        .map(|role| message(turn, role, "\"answer\"")),
                    upstream_cancel: pending(change.tries),
                })
            });
            let changes = Changes {
                steps: steps
                    .iter()
                    .map(|index| step(*index, "another", "completed"))
                    .collect(),
                lines: count.map(|count| lines(count, *text)),
                transition,
            };
            let fence = epoch_of(&id, *epoch);
            Call::Commit(session_key, id, fence, expect_next_seq, changes, serial)
        }
        Operation::Repeat => last
            .cloned()
            .unwrap_or(Call::Tell(String::new(), None, serial)),
        Operation::Cancel { at, reason } => {
            let cancel = Cancel {
                reason: Some(format!("reason-{reason}")),
                at: serial,
            };
            Call::Cancel(run_of(at), cancel)
        }
        Operation::Tell { at, tries } => Call::Tell(run_of(at), pending(*tries), serial),
        Operation::Emit { at, key, payload } => {
            let (key, payload) = (format!("event-{key}"), payload.to_string());
            Call::Emit(run_of(at), key, payload, serial)
        }
        Operation::Create { at, status, lease } => {
            let (session_key, turn) = turn_of(at);
            let mut run = record::begin(&session_key, turn, serial).run;
            // The id of a turn that has not begun is nobody's to create.
            let id = run_of(at);
            run.run_id =
                stored(&id).map_or_else(|| id_alone(tenant, at.alone.unwrap_or(0)), |_| id);
            run.state = run_state(*status, 0, serial);
            run.lease = leased(lease);
            run.log_home = LogHome::D1;
            Call::Create(Box::new(run))
        }
        Operation::Renew {
            at,
            epoch,
            holder,
            until,
        } => {
            let id = run_of(at);
            let fence = epoch_of(&id, *epoch);
            let present = stored(&id).and_then(|run| run.lease);
            let holder = match (holder, present) {
                (None, Some(lease)) => lease.holder,
                (holder, _) => format!("holder-{}", holder.unwrap_or(0)),
            };
            Call::Renew(id, fence, holder, *until)
        }
        Operation::Release { at, epoch } => {
            let id = run_of(at);
            let fence = epoch_of(&id, *epoch);
            Call::Release(id, fence)
        }
        Operation::Reopen {
            at,
            rev,
            holder,
            until,
        } => {
            let id = run_of(at);
            let mut run = stored(&id).unwrap_or_else(|| Run {
                run_id: id,
                ..record::begin("t:s", 0, serial).run
            });
            run.rev = shifted(run.rev, *rev);
            let attempt = Attempt {
                number: u32::try_from(run.state.attempts.len() + 1).expect("they are few"),
                reason: "asked".to_owned(),
                started_at: serial,
            };
            let holder = format!("holder-{holder}");
            Call::Reopen(Box::new(run), attempt, holder, *until, serial)
        }
    }
}

/// How often something went through, lest a test of refusals alone passes for one of stores.
#[derive(Debug, Default)]
struct Tally {
    begun: usize,
    committed: usize,
    ended: usize,
    refused: usize,
    created: usize,
    renewed: usize,
    reopened: usize,
}

impl Tally {
    fn count(&mut self, call: &Call, answer: &Answer) {
        match answer {
            Answer::Begin(Ok(Begun::Begun)) => self.begun += 1,
            Answer::Commit(Ok(())) => {
                self.committed += 1;
                if let Call::Commit(_, _, _, _, changes, _) = call
                    && let Some(transition) = &changes.transition
                    && transition.state.status.is_terminal()
                {
                    self.ended += 1;
                }
            }
            Answer::Commit(Err(Error::Fenced | Error::SeqMismatch { .. })) => self.refused += 1,
            Answer::Create(Ok(Begun::Begun)) => self.created += 1,
            Answer::Renew(Ok(())) => self.renewed += 1,
            Answer::Reopen(Ok(_)) => self.reopened += 1,
            _ => {}
        }
    }
}

#[test]
fn random_operations_answer_alike_on_the_model_and_on_sqlite() {
    let seed = match std::env::var("STEADFAST_SEED") {
        Ok(seed) => seed.parse().expect("STEADFAST_SEED is a number"),
        Err(_) => RandomState::new().hash_one("seed"),
    };
    for section in SECTIONS {
        let mut runner = TestRunner::new(Config {
            cases: SEQUENCES,
            rng_seed: RngSeed::Fixed(seed),
            failure_persistence: None,
            ..Config::default()
        });
        let (model, store) = (MemoryStore::new(), sqlite(section));
        let (sequences, tally) = (Cell::new(0), RefCell::new(Tally::default()));
        let result = runner.run(&vec(operation(), 1..OPERATIONS), |operations| {
            let tenant = sequences.replace(sequences.get() + 1);
            let mut last = None;
            for (serial, operation) in (10..).zip(&operations) {
                let call = call(&model, tenant, operation, serial, last.as_ref());
                let expected = block_on(ask(&model, &call));
                let found = block_on(ask(&store, &call));
                prop_assert_eq!(&expected, &found, "{:?}", call);
                tally.borrow_mut().count(&call, &expected);
                if matches!(
                    call,
                    Call::Commit(..) | Call::Begin(_) | Call::Create(_) | Call::Reopen(..)
                ) {
                    last = Some(call);
                }
            }
            for session in 0..3 {
                let key = session_key(tenant, session);
                let expected = block_on(look(&model, &key));
                let found = block_on(look(&store, &key));
                prop_assert_eq!(expected, found, "at the end, in {}", key);
            }
            for number in 0..ALONE {
                let id = id_alone(tenant, number);
                let expected = block_on(look_at(&model, &id));
                let found = block_on(look_at(&store, &id));
                prop_assert_eq!(expected, found, "at the end, of {}", id);
            }
            Ok(())
        });
        match result {
            Ok(()) => {}
            Err(TestError::Fail(why, operations)) => {
                panic!("STEADFAST_SEED={seed} {section:?}: {why}\n{operations:#?}")
            }
            Err(TestError::Abort(why)) => panic!("STEADFAST_SEED={seed} {section:?}: {why}"),
        }
        let tally = tally.into_inner();
        let least = [
            tally.begun,
            tally.committed,
            tally.ended,
            tally.refused,
            tally.created,
            tally.renewed,
            tally.reopened,
        ];
        let enough = least.iter().all(|count| *count >= SEQUENCES as usize / 8);
        assert!(enough, "STEADFAST_SEED={seed} {section:?}: {tally:?}");
    }
}
