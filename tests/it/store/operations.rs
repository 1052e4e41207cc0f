//! The operations of a durable run, on the model and on SQL in both sections.
//!
//! Owns what they promise beyond the contract's cases; a T-number names the weakness of an earlier
//! system that a test shows to be gone.

/// Runs a check on every native store, each empty.
macro_rules! on_each_store {
    ($check:expr) => {
        block_on($check(MemoryStore::new()));
        for section in SECTIONS {
            block_on($check(sqlite(section)));
        }
    };
}

mod stream;

use super::record::{begin, pending, run_state};
use super::{SECTIONS, sqlite};
use futures::executor::block_on;
use futures::future::join;
use std::future::{Future, poll_fn};
use std::task::Poll;
use steadfast::store::operations::{
    End, Error, Mode, NewStep, Started, StepBegun, StreamLog, append_stream_event, begin_step,
    complete_step, end_run, fail_step, load_step, renew_lease, set_run_handle, start_or_resume,
};
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{
    self, Cancel, Driver, DriverError, Fence, Handle, Held, Lease, MemoryStore, Outcome, Run,
    RunOutcome, SqlStore, Statement, Status, Step, Store, UpstreamCancel,
};

const ID: &str = "task-1";
const NOW: i64 = 1_000;
const UNTIL: i64 = 2_000;
const FENCED: Error = Error::Store(store::Error::Fenced);
const FIRST: Fence = Fence { epoch: 1 };

fn run() -> Run {
    Run {
        run_id: ID.to_owned(),
        state: run_state(Status::Running, 0, 5),
        ..begin("t:s", 0, 1).run
    }
}

async fn start<S: Store>(store: &S, holder: &str, now: i64) -> Result<Started, Error> {
    let until = now + (UNTIL - NOW);
    start_or_resume(store, &run(), holder, until, now).await
}

/// The run as `a` has it, created just now.
async fn fresh<S: Store>(store: &S) -> Fence {
    let started = start(store, "a", NOW).await.expect("nobody has it");
    assert_eq!(started.mode, Mode::Fresh(FIRST));
    FIRST
}

/// `a` has lost the run to `b`, whose fence comes second.
async fn lost<S: Store>(store: &S) -> (Fence, Fence) {
    let stale = fresh(store).await;
    let started = start(store, "b", UNTIL).await.expect("the lease ran out");
    let Mode::Resumed(fence) = started.mode else {
        panic!("{started:?}");
    };
    assert!(fence.epoch > stale.epoch);
    (stale, fence)
}

async fn stored<S: Store>(store: &S) -> Run {
    let run = store.run(ID).await.expect("the store answers");
    run.expect("it was created")
}

/// Everything of the run that any reader can see.
async fn sight<S: Store>(store: &S) -> (Run, Vec<store::LogRow>, Vec<Step>) {
    let log = store.log(ID, 0, 100).await.expect("the store answers");
    let steps = store.steps(ID, 0, 100).await.expect("the store answers");
    (stored(store).await, log, steps)
}

fn ask(index: u32) -> NewStep<'static> {
    NewStep {
        index,
        intent: "ask",
        kind: "llm",
        input_hash: Some("00"),
    }
}

fn outcome() -> Option<RunOutcome> {
    Some(RunOutcome {
        text_units: 3,
        reason: None,
    })
}

#[test]
fn a_run_is_created_leased_resumed_and_replayed() {
    async fn check<S: Store>(store: S) {
        fresh(&store).await;
        let lease = stored(&store).await.lease;
        assert_eq!(lease.map(|lease| lease.until), Some(UNTIL));
        begin_step(&store, ID, FIRST, ask(0), NOW)
            .await
            .expect("it is ours");
        store.release(ID, FIRST).await.expect("the store answers");
        let resumed = start(&store, "b", NOW).await.expect("it is free");
        assert_eq!(resumed.mode, Mode::Resumed(Fence { epoch: 2 }));
        assert_eq!(resumed.run, stored(&store).await);
        let intents: Vec<_> = resumed.steps.iter().map(|step| &step.intent).collect();
        assert_eq!(intents, ["ask"]);
        let fence = Fence { epoch: 2 };
        end_run(&store, ID, fence, End::Completed, outcome(), NOW)
            .await
            .expect("it is ours");
        let replayed = start(&store, "c", NOW).await.expect("it is over");
        assert_eq!(replayed.mode, Mode::Replayed);
        assert_eq!(
            (replayed.run, replayed.steps.len()),
            (stored(&store).await, 1)
        );
    }
    on_each_store!(check);
}

/// T8, T34: a mismatch is told first, and at the instant of expiry a lease is free everywhere.
#[test]
fn the_input_is_compared_first_then_the_lease() {
    async fn check<S: Store>(store: S) {
        fresh(&store).await;
        let other = Run {
            input_hash: "other".to_owned(),
            ..run()
        };
        let mismatch = Err(Error::ManifestMismatch {
            expected: run().input_hash,
            found: "other".to_owned(),
        });
        for now in [NOW, UNTIL + 1] {
            let before = sight(&store).await;
            let found = start_or_resume(&store, &other, "b", now + 9, now).await;
            assert_eq!(found, mismatch);
            assert_eq!(sight(&store).await, before);
        }
        let found = start(&store, "b", UNTIL - 1).await;
        assert_eq!(found, Err(Error::LeaseHeld { until: UNTIL }));
        let found = start(&store, "b", UNTIL).await.map(|started| started.mode);
        assert_eq!(found, Ok(Mode::Resumed(Fence { epoch: 2 })));
    }
    on_each_store!(check);
}

/// T9: a worker's second task is another acquisition, unless it repeats the first one's very call.
#[test]
fn only_the_same_token_enters_a_live_lease() {
    async fn check<S: Store>(store: S) {
        fresh(&store).await;
        let found = start(&store, "a-2", NOW).await;
        assert_eq!(found, Err(Error::LeaseHeld { until: UNTIL }));
        let again = start(&store, "a", NOW).await.map(|started| started.mode);
        assert_eq!(again, Ok(Mode::Resumed(FIRST)));
    }
    on_each_store!(check);
}

/// A driver that lets others go first before each batch.
#[derive(Clone)]
struct Polite(NativeSqlite);

impl Driver for Polite {
    async fn apply(&self, batch: Vec<Statement>) -> Result<Vec<Outcome>, DriverError> {
        let mut waited = false;
        poll_fn(|ctx| {
            if waited {
                return Poll::Ready(());
            }
            waited = true;
            ctx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        self.0.apply(batch).await
    }

    fn sync(&self) -> impl Future<Output = Result<(), DriverError>> {
        self.0.sync()
    }

    fn barrier(&self) -> impl Future<Output = Result<(), DriverError>> {
        self.0.barrier()
    }
}

/// T15: the loser of two first starts is told of the lease, not of a constraint.
#[test]
fn two_racing_first_starts_have_one_winner_and_one_lease_held() {
    async fn check<S: Store>(store: S) {
        let found = join(start(&store, "a", NOW), start(&store, "b", NOW)).await;
        let (Ok(won), Err(lost)) = &found else {
            panic!("{found:?}");
        };
        assert_eq!(won.mode, Mode::Fresh(FIRST));
        assert_eq!(*lost, Error::LeaseHeld { until: UNTIL });
        assert_eq!(stored(&store).await, won.run);
    }
    on_each_store!(check);
    for section in SECTIONS {
        let polite = Polite(sqlite(section).driver().clone());
        block_on(check(SqlStore::new(polite, section)));
    }
}

/// T11: whoever lost a lease renews nothing, and nobody takes one over by renewing it.
#[test]
fn a_lease_is_renewed_by_its_own_acquisition_only() {
    async fn check<S: Store>(store: S) {
        let fence = fresh(&store).await;
        let held = |fence, holder| Held { fence, holder };
        let late = UNTIL + 5_000;
        assert_eq!(
            renew_lease(&store, ID, held(fence, "a"), late).await,
            Ok(())
        );
        let found = start(&store, "b", late - 1).await;
        assert_eq!(found, Err(Error::LeaseHeld { until: late }));
        let other = renew_lease(&store, ID, held(fence, "b"), late + 9).await;
        assert_eq!(other, Err(FENCED));
        start(&store, "b", late).await.expect("the lease ran out");
        let before = sight(&store).await;
        let lost = renew_lease(&store, ID, held(fence, "a"), late + 9_000).await;
        assert_eq!(lost, Err(FENCED));
        assert_eq!(sight(&store).await, before);
    }
    on_each_store!(check);
}

/// T10, T12, T14: no write of a worker that lost the run goes through, the last one included.
#[test]
fn every_write_of_a_stale_worker_is_fenced() {
    async fn check<S: Store>(store: S) {
        let (stale, fence) = lost(&store).await;
        let mut theirs = StreamLog::open(&store, ID, 1).await.expect("it is there");
        let mut ours = theirs.clone();
        begin_step(&store, ID, fence, ask(0), NOW)
            .await
            .expect("it is ours");
        begin_step(&store, ID, fence, ask(1), NOW)
            .await
            .expect("it is ours");
        complete_step(&store, ID, fence, 1, "1", NOW)
            .await
            .expect("it is ours");
        let logged = append_stream_event(&store, &mut ours, fence, "e", "1", NOW).await;
        assert!(logged.is_ok_and(|logged| logged.accepted));
        let before = sight(&store).await;

        let begun = begin_step(&store, ID, stale, ask(0), NOW).await;
        assert_eq!(begun, Err(FENCED));
        let begun = begin_step(&store, ID, stale, ask(2), NOW).await;
        assert_eq!(begun, Err(FENCED));
        let recorded = begin_step(&store, ID, stale, ask(1), NOW).await;
        assert_eq!(recorded, Err(FENCED));
        for index in [0, 1] {
            let completed = complete_step(&store, ID, stale, index, "2", NOW).await;
            assert_eq!(completed, Err(FENCED));
            let failed = fail_step(&store, ID, stale, index, "{}", NOW).await;
            assert_eq!(failed, Err(FENCED));
        }
        for _ in 0..2 {
            let found = append_stream_event(&store, &mut theirs, stale, "late", "1", NOW).await;
            assert_eq!(found, Err(FENCED));
        }
        let handle = Handle::new("theirs".to_owned(), 1);
        let set = set_run_handle(&store, ID, stale, handle, NOW).await;
        assert_eq!(set, Err(FENCED));
        for end in [End::Failed, End::Completed, End::Cancelled] {
            let ended = end_run(&store, ID, stale, end, None, NOW).await;
            assert_eq!(ended, Err(FENCED));
        }
        assert_eq!(sight(&store).await, before);
        let ended = end_run(&store, ID, fence, End::Completed, None, NOW).await;
        assert_eq!(ended, Ok(()));
    }
    on_each_store!(check);
}

/// T16: a replay keeps outcome and times, needs no lease, and readers don't contend.
#[test]
fn a_replay_writes_nothing() {
    async fn check<S: Store>(store: S) {
        for (end, again) in [(End::Completed, "b"), (End::Failed, "c")] {
            let id = format!("{end:?}");
            let run = Run {
                run_id: id.clone(),
                ..run()
            };
            let start =
                async |holder: &str| start_or_resume(&store, &run, holder, UNTIL, NOW).await;
            start("a").await.expect("nobody has it");
            begin_step(&store, &id, FIRST, ask(0), NOW)
                .await
                .expect("it is ours");
            complete_step(&store, &id, FIRST, 0, "1", NOW)
                .await
                .expect("it is ours");
            end_run(&store, &id, FIRST, end, outcome(), NOW)
                .await
                .expect("it is ours");
            let before = store.run(&id).await;
            let (one, other) = join(start("a"), start(again)).await;
            assert_eq!(one, other);
            assert_eq!(one.map(|started| started.mode), Ok(Mode::Replayed));
            let found = begin_step(&store, &id, FIRST, ask(0), NOW + 9).await;
            assert!(matches!(found, Ok(StepBegun::Recorded(_))), "{found:?}");
            let ended = end_run(&store, &id, FIRST, end, None, NOW + 9).await;
            assert_eq!(ended, Ok(()));
            assert_eq!(store.run(&id).await, before);
        }
    }
    on_each_store!(check);
}

/// T18: no start turns an ended run's status; a failed one goes on only when it is asked for.
#[test]
fn a_failed_run_goes_on_by_an_explicit_reopening_only() {
    async fn check<S: Store>(store: S) {
        fresh(&store).await;
        begin_step(&store, ID, FIRST, ask(0), NOW)
            .await
            .expect("it is ours");
        fail_step(&store, ID, FIRST, 0, "{}", NOW)
            .await
            .expect("it is ours");
        end_run(&store, ID, FIRST, End::Failed, None, NOW)
            .await
            .expect("it is ours");
        let failed = start(&store, "b", UNTIL).await.expect("it is over");
        assert_eq!(failed.mode, Mode::Replayed);
        let ended = end_run(&store, ID, FIRST, End::Completed, None, NOW).await;
        assert_eq!(ended, Err(FENCED));
        let attempt = store::Attempt {
            number: 2,
            reason: "asked".to_owned(),
            started_at: NOW,
        };
        let fence = store.reopen(&failed.run, &attempt, "b", UNTIL, NOW).await;
        let fence = fence.expect("it failed without lines");
        assert_eq!(stored(&store).await.state.status, Status::Running);
        let begun = begin_step(&store, ID, fence, ask(0), NOW).await;
        assert_eq!(begun, Ok(StepBegun::Run { attempts: 2 }));
    }
    on_each_store!(check);
}

#[test]
fn a_step_is_begun_ended_and_recorded_once() {
    async fn check<S: Store>(store: S) {
        let fence = fresh(&store).await;
        assert_eq!(load_step(&store, ID, 0).await, Ok(None));
        let not_running = Err(Error::StepNotRunning { index: 0 });
        let early = complete_step(&store, ID, fence, 0, "1", NOW).await;
        assert_eq!(early, not_running);
        for attempts in [1, 2] {
            let begun = begin_step(&store, ID, fence, ask(0), NOW).await;
            assert_eq!(begun, Ok(StepBegun::Run { attempts }));
            let failed = fail_step(&store, ID, fence, 0, r#"{"code":"x"}"#, NOW + 1).await;
            assert_eq!(failed, Ok(()));
            let late = complete_step(&store, ID, fence, 0, "1", NOW).await;
            assert_eq!(late, not_running);
            let step = load_step(&store, ID, 0).await.expect("the store answers");
            let step = step.expect("it was begun");
            assert_eq!((step.status.as_str(), step.attempts), ("failed", attempts));
            assert_eq!(step.error.as_deref(), Some(r#"{"code":"x"}"#));
            assert_eq!(step.completed_at, Some(NOW + 1));
        }
        begin_step(&store, ID, fence, ask(0), NOW)
            .await
            .expect("it is ours");
        let running = load_step(&store, ID, 0)
            .await
            .map(|step| step.map(|step| step.error));
        assert_eq!(running, Ok(Some(None)));
        for result in ["1", "2"] {
            let completed = complete_step(&store, ID, fence, 0, result, NOW + 2).await;
            assert_eq!(completed, Ok(()));
        }
        let failed = fail_step(&store, ID, fence, 0, "{}", NOW + 3).await;
        assert_eq!(failed, not_running);
        let step = load_step(&store, ID, 0).await.expect("the store answers");
        let recorded = Box::new(step.expect("it was begun"));
        assert_eq!(recorded.result.as_deref(), Some("1"));
        assert_eq!(recorded.attempts, 3);
        let begun = begin_step(&store, ID, fence, ask(0), NOW + 4).await;
        assert_eq!(begun, Ok(StepBegun::Recorded(recorded)));
        assert_eq!(load_step(&store, ID, 1).await, Ok(None));
    }
    on_each_store!(check);
}

#[test]
fn another_step_in_a_recorded_place_is_told_apart() {
    async fn check<S: Store>(store: S) {
        let fence = fresh(&store).await;
        let told = |intent: &str| {
            Err(Error::StepDivergence {
                index: 0,
                expected: "ask".to_owned(),
                found: intent.to_owned(),
            })
        };
        let other_intent = NewStep {
            intent: "tell",
            ..ask(0)
        };
        let other_input = NewStep {
            input_hash: Some("01"),
            ..ask(0)
        };
        let no_input = NewStep {
            input_hash: None,
            ..ask(0)
        };
        begin_step(&store, ID, fence, ask(0), NOW)
            .await
            .expect("it is ours");
        for completed in [false, true] {
            if completed {
                let done = complete_step(&store, ID, fence, 0, "1", NOW).await;
                assert_eq!(done, Ok(()));
            }
            let before = sight(&store).await;
            let found = begin_step(&store, ID, fence, other_intent, NOW).await;
            assert_eq!(found, told("tell"));
            let found = begin_step(&store, ID, fence, other_input, NOW).await;
            let mismatch = Err(Error::StepInputMismatch {
                index: 0,
                expected: "00".to_owned(),
                found: "01".to_owned(),
            });
            assert_eq!(found, mismatch);
            assert_eq!(sight(&store).await, before);
            let found = begin_step(&store, ID, fence, no_input, NOW).await;
            assert!(found.is_ok(), "{found:?}");
        }
    }
    on_each_store!(check);
}

#[test]
fn a_handle_and_an_end_keep_what_is_not_theirs() {
    async fn check<S: Store>(store: S) {
        let fence = fresh(&store).await;
        let told: Option<UpstreamCancel> = pending(Some(1));
        store
            .set_upstream_cancel(ID, told.as_ref(), NOW)
            .await
            .expect("the store answers");
        let cancel = Cancel {
            reason: None,
            at: NOW,
        };
        store
            .request_cancel(ID, &cancel)
            .await
            .expect("the store answers");
        let mut log = StreamLog::open(&store, ID, 1).await.expect("it is there");
        append_stream_event(&store, &mut log, fence, "e", "1", NOW)
            .await
            .expect("it is ours");
        let before = stored(&store).await;
        let handle = Handle::new("execution".to_owned(), 1);
        for execution in ["first", "execution"] {
            let handle = Handle::new(execution.to_owned(), 1);
            let set = set_run_handle(&store, ID, fence, handle, NOW + 1).await;
            assert_eq!(set, Ok(()));
        }
        let mut expected = before;
        expected.state.handle = Some(handle.clone());
        expected.state.line_count = 1;
        expected.updated_at = NOW + 1;
        expected.rev += 2;
        assert_eq!(stored(&store).await, expected);

        let ended = end_run(&store, ID, fence, End::Cancelled, outcome(), NOW + 2).await;
        assert_eq!(ended, Ok(()));
        expected.state.status = Status::Cancelled;
        expected.state.outcome = outcome();
        expected.state.wake_at = None;
        expected.state.finished_at = Some(NOW + 2);
        expected.updated_at = NOW + 2;
        expected.rev += 1;
        expected.lease = Some(Lease {
            holder: "a".to_owned(),
            until: UNTIL,
        });
        assert_eq!(stored(&store).await, expected);
        let other = Handle::new("late".to_owned(), 1);
        let late = set_run_handle(&store, ID, fence, other, NOW + 3).await;
        assert_eq!(late, Err(FENCED));
    }
    on_each_store!(check);
}

#[test]
fn what_does_not_exist_is_missing() {
    async fn check<S: Store>(store: S) {
        let missing = Error::Store(store::Error::Missing);
        let begun = begin_step(&store, ID, FIRST, ask(0), NOW).await;
        assert_eq!(begun, Err(missing.clone()));
        let ended = end_run(&store, ID, FIRST, End::Completed, None, NOW).await;
        assert_eq!(ended, Err(missing.clone()));
        let mut log = StreamLog::open(&store, ID, 1).await.expect("an empty log");
        let found = append_stream_event(&store, &mut log, FIRST, "e", "1", NOW).await;
        assert_eq!(found, Err(missing));
    }
    on_each_store!(check);
}
