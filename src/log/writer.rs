//! The one writer of a run's log: lines, steps and transitions into the store, in groups.
//!
//! Owns the buffered tail, the commit of a group, its repetition while nobody can say whether it was stored,
//! and the wake-up of those who read. It doesn't own when a group is due to be an ending, nor what a
//! step or a frame means: a drain and a durable run each write through one of these. Invariant: one
//! commit is under way at a time, and nobody is woken for a group before it is as durable as was asked.

use super::{Buffer, CommitPolicy, Due, Live};
use crate::ports::Ports;
use crate::store::{self, Changes, Fence, Run, Step, Store, Transition, patiently};
use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;

/// How durable a group is before it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Nothing of it can be lost any more.
    Durable,
    /// Nothing that comes later outlives it: enough before a step's body reaches the outside.
    InOrder,
    /// The store has it. Whoever reads it waits for the disk, as a follower does.
    Stored,
}

/// The writer of one run's log, under one acquisition.
pub(crate) struct Writer<P, S> {
    ports: P,
    store: S,
    session_key: String,
    run_id: String,
    fence: Fence,
    buffer: RefCell<Buffer>,
    policy: Cell<CommitPolicy>,
    /// Followers and the ship, where there are some.
    live: Option<Rc<Live>>,
}

/// A group that the store has.
pub(crate) struct Group {
    /// What was stored.
    pub changes: Changes,
    bytes: usize,
    began_at: i64,
}

impl<P: Ports, S: Store> Writer<P, S> {
    /// A writer behind the last line of `run`'s log; `attempt` is the one whose frames it knows.
    pub async fn open(
        ports: P,
        store: S,
        session_key: String,
        run: &Run,
        attempt: u32,
        window_ms: u64,
        live: Option<Rc<Live>>,
    ) -> Result<Self, store::Error> {
        let recover = async || Buffer::recover(&store, &run.run_id, attempt).await;
        let buffer = patiently(&ports, recover).await?;
        Ok(Writer {
            session_key,
            run_id: run.run_id.clone(),
            fence: Fence { epoch: run.epoch },
            buffer: RefCell::new(buffer),
            policy: Cell::new(CommitPolicy::new(window_ms)),
            live,
            ports,
            store,
        })
    }

    /// What is known of the log, its buffered tail included.
    pub fn buffer(&self) -> Ref<'_, Buffer> {
        self.buffer.borrow()
    }

    /// Adds to the tail.
    pub fn write<T>(&self, write: impl FnOnce(&mut Buffer) -> T) -> T {
        write(&mut self.buffer.borrow_mut())
    }

    /// When a tail of `bytes` is to be committed.
    pub fn due(&self, bytes: usize) -> Due {
        self.policy.get().due(self.ports.now_ms(), bytes)
    }

    /// Stores the tail as lines of `attempt`, with steps and a transition, as one group. Where nobody can
    /// say whether it was stored it is stored again: the store recognises its own.
    pub async fn store(
        &self,
        attempt: u32,
        steps: Vec<Step>,
        transition: Option<Transition>,
    ) -> Result<Group, store::Error> {
        let began_at = self.ports.now_ms();
        let (lines, bytes, expect) = {
            let buffer = self.buffer.borrow();
            (
                buffer.lines(attempt),
                buffer.bytes(),
                buffer.committed_seq(),
            )
        };
        let changes = Changes {
            lines,
            steps,
            transition: transition.map(Box::new),
        };
        if changes != Changes::default() {
            patiently(&self.ports, async || {
                let now = self.ports.now_ms();
                let (key, run_id) = (&self.session_key, &self.run_id);
                let stored = self
                    .store
                    .commit(key, run_id, self.fence, expect, &changes, now);
                stored.await
            })
            .await?;
        }
        self.buffer.borrow_mut().committed();
        Ok(Group {
            changes,
            bytes,
            began_at,
        })
    }

    /// Wakes whoever reads or ships, once the group is as durable as `shown` says.
    pub async fn show(&self, group: &Group, shown: Shown) -> Result<(), store::Error> {
        match shown {
            Shown::Durable => self.store.sync().await?,
            Shown::InOrder => self.store.barrier().await?,
            Shown::Stored => {}
        }
        let mut policy = self.policy.get();
        policy.committed(group.began_at, self.ports.now_ms());
        self.policy.set(policy);
        if let Some(live) = &self.live {
            live.committed(group.bytes, group.changes.transition.is_some());
        }
        Ok(())
    }
}
