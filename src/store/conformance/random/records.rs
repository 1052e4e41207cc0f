//! Records in a few variants each. What a write may not change of what stands carries the time of
//! the write, so that a change shows.

use super::chance::Chance;
use crate::store::conformance::scene;
use crate::store::{
    Handle, LastError, Lines, Message, MessageStatus, Role, RunState, Status, Step, StepDetail,
    StepFailure, Transition, UpstreamCancel,
};

pub(super) const OPEN: [(u8, Status); 3] = [
    (3, Status::Running),
    (1, Status::Queued),
    (2, Status::Suspended),
];
pub(super) const ANY: [(u8, Status); 6] = [
    (5, Status::Running),
    (1, Status::Queued),
    (4, Status::Suspended),
    (2, Status::Completed),
    (3, Status::Failed),
    (1, Status::Cancelled),
];

pub(super) fn state(status: Status, lines: u64, now: i64, chance: &mut Chance) -> RunState {
    let plain = scene::state(status, lines);
    RunState {
        handle: chance.maybe(|chance| Handle {
            suspended_at: (status == Status::Suspended).then_some(now),
            ..Handle::new(format!("execution-{}", chance.below(2)), 1)
        }),
        usage: chance.maybe(|chance| format!(r#"{{"tokens":{}.0}}"#, chance.below(3))),
        last_error: chance.one_in(4).then(|| LastError {
            code: "boom".to_owned(),
            message: "it did not \"work\"".to_owned(),
            at: now,
        }),
        wake_at: chance.maybe(|_| now),
        finished_at: plain.finished_at.map(|_| now),
        ..plain
    }
}

pub(super) fn pending(chance: &mut Chance) -> Option<UpstreamCancel> {
    chance.maybe(|chance| UpstreamCancel {
        execution_id: "execution".to_owned(),
        tries: u32::from(chance.below(2)),
        next_at: scene::NOW,
    })
}

/// None, one or two of two texts.
pub(super) fn lines(chance: &mut Chance) -> Lines {
    let texts: Vec<&str> = (0..chance.of(&[(1, 0), (4, 1), (2, 2)]))
        .map(|_| chance.of(&[(1, "a"), (1, "b")]))
        .collect();
    let mut lines = scene::lines(&texts);
    lines.attempt = u32::from(chance.of(&[(4, 1_u8), (1, 2)]));
    if chance.one_in(4) {
        lines.cursor = None;
        lines.frame_ids.fill(None);
    }
    lines
}

/// Up to two steps of two, also one twice.
pub(super) fn steps(now: i64, chance: &mut Chance) -> Vec<Step> {
    (0..chance.below(3)).map(|_| step(now, chance)).collect()
}

fn step(now: i64, chance: &mut Chance) -> Step {
    let index = u32::from(chance.below(2));
    let status = chance.of(&[(4, "running"), (2, "completed"), (1, "failed")]);
    let attempts = u32::from(chance.of(&[(6, 1_u8), (1, 2), (1, 3)]));
    let failures = (0..chance.below(3)).map(|number| StepFailure {
        attempt: u32::from(number) + 1,
        run_attempt: 1,
        code: "boom".to_owned(),
        author: number == 1,
        message: "it did not work".to_owned(),
        at: now,
        retry_at: chance.maybe(|_| now),
    });
    let failures = failures.collect();
    Step {
        intent: format!("step-{now}"),
        kind: chance.of(&[(1, "llm"), (1, "tool")]).to_owned(),
        attempts,
        result: (status == "completed").then(|| format!(r#"{{"at":{now}}}"#)),
        error: (status == "failed").then(|| r#"{"code":"boom"}"#.to_owned()),
        started_at: now,
        completed_at: (status != "running").then_some(now),
        detail: StepDetail {
            name: chance.maybe(|_| "named".to_owned()),
            deadline: chance.maybe(|_| now),
            failures,
            ..StepDetail::default()
        },
        ..scene::step(index, status)
    }
}

pub(super) fn transition(turn: u64, lines: u64, now: i64, chance: &mut Chance) -> Transition {
    let status = chance.of(&ANY);
    let role = chance.of(&[(3, Role::Assistant), (1, Role::User)]);
    let plain = if status.is_terminal() {
        scene::ended(turn, status, lines)
    } else {
        scene::moved(status, lines)
    };
    Transition {
        state: RunState {
            outcome: plain.state.outcome,
            ..state(status, lines, now, chance)
        },
        message: chance.maybe(|chance| Message {
            status: chance.of(&[
                (2, MessageStatus::Complete),
                (1, MessageStatus::Partial),
                (1, MessageStatus::Failed),
            ]),
            retry_of: chance.maybe(|_| 0),
            created_at: now,
            ..scene::message(turn, role, &format!("said-{now}"))
        }),
        upstream_cancel: pending(chance),
    }
}
