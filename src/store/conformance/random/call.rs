//! What is done to a store: an operation with its arguments, as each store is asked.

use crate::store::{
    Attempt, Begin, Begun, Cancel, Changes, Emitted, Error, Fence, Held, Policy, Run, Store,
    UpstreamCancel,
};

/// Where something is done.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) session: u8,
    pub(super) session_key: String,
    pub(super) turn: u64,
    /// That turn's run, or one without a session.
    pub(super) run_id: String,
}

#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) at: Place,
    pub(super) now: i64,
}

#[derive(Clone, Debug)]
pub(super) enum Operation {
    Migrate,
    Sync,
    Barrier,
    Begin(Box<Begin>),
    Create(Box<Run>),
    Acquire {
        policy: Policy,
        holder: String,
    },
    Renew {
        fence: Fence,
        holder: String,
        until: i64,
    },
    Release(Fence),
    Reopen {
        read: Box<Run>,
        attempt: Attempt,
        holder: String,
        until: i64,
    },
    Commit {
        fence: Fence,
        expect_next_seq: u64,
        changes: Changes,
    },
    RequestCancel(Cancel),
    SetUpstreamCancel(Option<UpstreamCancel>),
    EmitEvent {
        key: String,
        payload: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Begun(Begun),
    Owned(Fence),
    Open(bool),
    Emitted(Emitted),
}

fn done(_: ()) -> Answer {
    Answer::Done
}

impl Call {
    pub(super) async fn ask<S: Store>(&self, store: &S) -> Result<Answer, Error> {
        let (key, id, now) = (&self.at.session_key, &self.at.run_id, self.now);
        match &self.operation {
            Operation::Migrate => store.migrate(now).await.map(done),
            Operation::Sync => store.sync().await.map(done),
            Operation::Barrier => store.barrier().await.map(done),
            Operation::Begin(begin) => store.begin(begin).await.map(Answer::Begun),
            Operation::Create(run) => store.create(run).await.map(Answer::Begun),
            Operation::Acquire { policy, holder } => {
                let owned = store.acquire(id, policy.clone(), holder, now).await;
                owned.map(Answer::Owned)
            }
            Operation::Renew {
                fence,
                holder,
                until,
            } => {
                let fence = *fence;
                let held = Held { fence, holder };
                store.renew(id, held, *until).await.map(done)
            }
            Operation::Release(fence) => store.release(id, *fence).await.map(done),
            Operation::Reopen {
                read,
                attempt,
                holder,
                until,
            } => {
                let owned = store.reopen(read, attempt, holder, *until, now).await;
                owned.map(Answer::Owned)
            }
            Operation::Commit {
                fence,
                expect_next_seq,
                changes,
            } => {
                let commit = store.commit(key, id, *fence, *expect_next_seq, changes, now);
                commit.await.map(done)
            }
            Operation::RequestCancel(cancel) => {
                store.request_cancel(id, cancel).await.map(Answer::Open)
            }
            Operation::SetUpstreamCancel(pending) => {
                let told = store.set_upstream_cancel(id, pending.as_ref(), now);
                told.await.map(done)
            }
            Operation::EmitEvent { key, payload } => {
                let emitted = store.emit_event(id, key, payload, now).await;
                emitted.map(Answer::Emitted)
            }
        }
    }
}
