//! Random operations answer alike on the model and on SQL, in both sections.
//!
//! A failure prints the smallest sequence that shows it and the seed that found it;
//! `STEADFAST_SEED` runs that seed again.

mod operation;

use super::record::{self, lines, message, parts, pending, run_state, step};
use super::{SECTIONS, sqlite};
use futures_executor::block_on;
use operation::{ALONE, Operation, Place, operation};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};
use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use steadfast::ids::run_id;
use steadfast::store::{
    Attempt, Begin, Begun, Cancel, Changes, Emitted, Error, EventRecord, Fence, Held, Lease,
    LogHome, LogRow, MemoryStore, Message, Policy, Role, Run, Session, Step, StepDetail, Store,
    Transition, UpstreamCancel,
};

/// Sequences a section, each up to [`OPERATIONS`] long: enough to meet each pair of operations.
const SEQUENCES: u32 = 96;
const OPERATIONS: usize = 56;

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

/// A step that differs from an earlier one of its place in all that a commit may or may not change.
fn step_at(index: u8, serial: i64) -> Step {
    Step {
        started_at: serial,
        detail: StepDetail {
            deadline: (serial % 3 > 0).then_some(serial),
            ..StepDetail::default()
        },
        ..step(index, "another", "completed")
    }
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
                steps: steps.iter().map(|index| step_at(*index, serial)).collect(),
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
