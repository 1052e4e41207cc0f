//! What a random sequence is made of: operations in small numbers, so that they meet.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use steadfast::store::{Role, Status};

/// Runs without a session in a sequence.
pub(super) const ALONE: u8 = 2;

/// What is done, in small numbers: few sessions, turns and keys, so that operations meet.
#[derive(Clone, Debug)]
pub(super) enum Operation {
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
pub(super) struct Place {
    pub(super) session: u8,
    /// Behind the last turn begun: 0 is the next, 1 the last one.
    pub(super) back: u64,
    /// In place of a turn, the run of this number that belongs to no session.
    pub(super) alone: Option<u8>,
}

#[derive(Clone, Debug)]
pub(super) struct Move {
    pub(super) status: Status,
    /// Beside the right count.
    pub(super) count: i64,
    pub(super) message: Option<Role>,
    pub(super) tries: Option<u8>,
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

pub(super) fn operation() -> impl Strategy<Value = Operation> {
    let begin = (
        place(16),
        open_status(),
        option::of(0..3_u8),
        option::weighted(0.2, (0..2_u8, 0..4_i64)),
        proptest::bool::weighted(0.1),
    );
    let acquire = (any_place(), 0..3_u8, 0..4_i64, option::of(0..4_i64));
    let commit = (
        any_place(),
        off(),
        off(),
        option::weighted(0.8, 0..3_u8),
        0..2_u8,
        vec(0..3_u8, 0..3),
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
