//! The surroundings of a store's case: a session of its own, and the steps that lead to its point.
//!
//! Owns records as a drain would make them, and the comparison of what was expected with what was
//! found. It asserts nothing about the contract beyond what leads to a case's own question.

use crate::ids::run_id;
use crate::store::{
    Attempt, Begin, Begun, Changes, Error, EventRecord, Fence, Handle, Lines, LogHome, LogRow,
    Message, MessageStatus, Policy, Role, Run, RunOutcome, RunState, Session, Status, Step,
    StepDetail, Store, Transition,
};
use std::fmt::Debug;

/// The time of each case's first write, Unix ms.
pub(super) const NOW: i64 = 1_750_000_000_000;
/// More than any case writes.
pub(super) const ALL: u32 = 100;

/// Fails with both values when they differ.
pub(super) fn expect_eq<T: PartialEq + Debug>(
    what: &str,
    expected: &T,
    found: &T,
) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, found {found:?}"))
}

/// The value of an operation that must succeed.
pub(super) fn done<T>(what: &str, result: Result<T, Error>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: expected success, found {error:?}"))
}

/// Everything that is stored of one turn and its session.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) session: Option<Session>,
    pub(super) run: Option<Run>,
    pub(super) log: Vec<LogRow>,
    pub(super) messages: Vec<Message>,
    pub(super) steps: Vec<Step>,
}

/// One case's own session in a store.
pub(super) struct Scene<'a, S> {
    pub(super) store: &'a S,
    tenant: String,
    session: String,
    session_key: String,
}

impl<'a, S: Store> Scene<'a, S> {
    pub(super) fn new(store: &'a S, salt: &str, case: &str) -> Self {
        Self::named(store, &tenant(salt), case)
    }

    /// Another session; the case's own tenant when `tenant` is none.
    pub(super) fn other(&self, tenant: Option<&str>, session: &str) -> Self {
        Self::named(self.store, tenant.unwrap_or(&self.tenant), session)
    }

    fn named(store: &'a S, tenant: &str, session: &str) -> Self {
        Scene {
            store,
            tenant: tenant.to_owned(),
            session: session.to_owned(),
            session_key: format!("{tenant}:{session}"),
        }
    }

    /// The session that another project has under the same tenant and the same id.
    pub(super) fn of_project(&self, project: &str) -> Self {
        Scene {
            session_key: format!("{project}:{}", self.session_key),
            ..Self::named(self.store, &self.tenant, &self.session)
        }
    }

    pub(super) fn tenant(&self) -> &str {
        &self.tenant
    }

    pub(super) fn session(&self) -> &str {
        &self.session
    }

    pub(super) fn session_key(&self) -> &str {
        &self.session_key
    }

    pub(super) fn run_id(&self, turn: u64) -> String {
        run_id(&self.session_key, turn)
    }

    /// One of this session's turns.
    pub(super) fn turn(&self, turn: u64) -> Begin {
        let mut begin = self::turn(&self.tenant, &self.session, turn);
        begin.session.session_key.clone_from(&self.session_key);
        begin.run.run_id = self.run_id(turn);
        begin
    }

    /// Begins `turn`, which must not be taken.
    pub(super) async fn begin(&self, turn: u64) -> Result<(), String> {
        self.begin_as(&self.turn(turn)).await
    }

    /// Begins as asked, which must not be taken.
    pub(super) async fn begin_as(&self, begin: &Begin) -> Result<(), String> {
        let begun = done("begin", self.store.begin(begin).await)?;
        expect_eq("begin", &Begun::Begun, &begun)
    }

    /// Begins as asked, which must be taken and change nothing of `turn`.
    pub(super) async fn refused(&self, begin: &Begin, turn: u64) -> Result<(), String> {
        let before = self.snapshot(turn).await?;
        let begun = done("begin", self.store.begin(begin).await)?;
        expect_eq("begin", &Begun::Taken, &begun)?;
        let after = self.snapshot(turn).await?;
        expect_eq("what is stored behind the refusal", &before, &after)
    }

    /// Begins `turn` and completes it.
    pub(super) async fn finished(&self, turn: u64) -> Result<(), String> {
        self.begin(turn).await?;
        self.end(turn, Status::Completed).await
    }

    /// Ends an open turn under its present epoch with one last line.
    pub(super) async fn end(&self, turn: u64, status: Status) -> Result<(), String> {
        let end = done("log_end", self.store.log_end(&self.run_id(turn)).await)?;
        let epoch = self.run(turn).await?.epoch;
        let changes = both(&["ended"], ended(turn, status, end + 1));
        done("the end", self.commit(turn, epoch, end, &changes).await)
    }

    pub(super) async fn commit(
        &self,
        turn: u64,
        epoch: u64,
        expect_next_seq: u64,
        changes: &Changes,
    ) -> Result<(), Error> {
        self.store
            .commit(
                &self.session_key,
                &self.run_id(turn),
                Fence { epoch },
                expect_next_seq,
                changes,
                NOW + 100,
            )
            .await
    }

    /// Commits what must be refused with `error`, and change nothing of `turn`.
    pub(super) async fn denied(
        &self,
        turn: u64,
        epoch: u64,
        expect_next_seq: u64,
        changes: &Changes,
        error: Error,
    ) -> Result<(), String> {
        let before = self.snapshot(turn).await?;
        let found = self.commit(turn, epoch, expect_next_seq, changes).await;
        expect_eq("commit", &Err(error), &found)?;
        let after = self.snapshot(turn).await?;
        expect_eq("what is stored behind the refusal", &before, &after)
    }

    /// Takes `turn` over at once.
    pub(super) async fn take(&self, turn: u64, holder: &str) -> Result<u64, String> {
        let id = self.run_id(turn);
        let fence = self.store.acquire(&id, Policy::Sole, holder, NOW).await;
        Ok(done("acquire", fence)?.epoch)
    }

    /// The run of `turn`, which must exist.
    pub(super) async fn run(&self, turn: u64) -> Result<Run, String> {
        done("run", self.store.run(&self.run_id(turn)).await)?
            .ok_or_else(|| format!("run: expected turn {turn}, found none"))
    }

    /// The event `key` of `turn`, which must exist.
    pub(super) async fn event(&self, turn: u64, key: &str) -> Result<EventRecord, String> {
        done("event", self.store.event(&self.run_id(turn), key).await)?
            .ok_or_else(|| format!("event: expected {key}, found none"))
    }

    pub(super) async fn log(&self, turn: u64) -> Result<Vec<LogRow>, String> {
        done("log", self.store.log(&self.run_id(turn), 0, ALL).await)
    }

    pub(super) async fn snapshot(&self, turn: u64) -> Result<Snapshot, String> {
        let (id, key) = (self.run_id(turn), &self.session_key);
        Ok(Snapshot {
            session: done("session", self.store.session(key).await)?,
            run: done("run", self.store.run(&id).await)?,
            log: self.log(turn).await?,
            messages: done("messages", self.store.messages(key, None, ALL).await)?,
            steps: done("steps", self.store.steps(&id, 0, ALL).await)?,
        })
    }
}

/// The tenant of all cases that run with `salt`.
pub(super) fn tenant(salt: &str) -> String {
    format!("t-{salt}")
}

/// A turn as a session would accept it: running, with its first line.
pub(super) fn turn(tenant: &str, session: &str, turn: u64) -> Begin {
    let session_key = format!("{tenant}:{session}");
    let at = NOW + i64::try_from(turn).unwrap_or(0);
    Begin {
        session: Session {
            session_key: session_key.clone(),
            tenant: tenant.to_owned(),
            session: session.to_owned(),
            birth: "birth".to_owned(),
            turn_count: turn + 1,
            first_turn: 0,
            created_at: at,
            updated_at: at,
            deleted_at: None,
        },
        run: Run {
            run_id: run_id(&session_key, turn),
            tenant: tenant.to_owned(),
            session: session.to_owned(),
            turn_index: turn,
            user: Some("user".to_owned()),
            key: None,
            input_hash: format!("hash-{turn}"),
            request: r#"{"message":"hi"}"#.to_owned(),
            upstream: r#"{"kind":"demo"}"#.to_owned(),
            created_at: at,
            state: state(Status::Running, 1),
            epoch: 1,
            lease: None,
            cancel: None,
            upstream_cancel: None,
            log_home: LogHome::Object,
            rev: 1,
            updated_at: at,
        },
        first: lines(&["started"]),
        message: message(turn, Role::User, "hi"),
        step: step(0, "running"),
    }
}

/// Lines as a drain commits them, each with a frame of its own.
pub(super) fn lines(texts: &[&str]) -> Lines {
    Lines {
        attempt: 1,
        cursor: texts.last().map(|text| format!("frame-{text}")),
        frame_ids: texts
            .iter()
            .map(|text| Some(format!("frame-{text}")))
            .collect(),
        text: texts.iter().map(|text| format!("{text}\n")).collect(),
    }
}

/// The row that holds these lines.
pub(super) fn row(first_seq: u64, epoch: u64, texts: &[&str]) -> LogRow {
    let ids: Vec<String> = texts
        .iter()
        .map(|text| format!("\"frame-{text}\""))
        .collect();
    let lines = lines(texts);
    LogRow {
        first_seq,
        count: texts.len() as u64,
        epoch,
        attempt: lines.attempt,
        cursor: lines.cursor,
        frame_ids: format!("[{}]", ids.join(",")),
        lines: lines.text,
    }
}

pub(super) fn state(status: Status, line_count: u64) -> RunState {
    RunState {
        status,
        attempts: vec![Attempt {
            number: 1,
            reason: "submitted".to_owned(),
            started_at: NOW,
        }],
        handle: Some(Handle::new("execution".to_owned(), 1)),
        outcome: None,
        usage: None,
        last_error: None,
        line_count,
        wake_at: (!status.is_terminal()).then_some(NOW + 5_000),
        finished_at: status.is_terminal().then_some(NOW + 100),
    }
}

pub(super) fn message(turn: u64, role: Role, text: &str) -> Message {
    Message {
        turn_index: turn,
        role,
        content: format!("\"{text}\""),
        status: MessageStatus::Complete,
        retry_of: None,
        rev: 1,
        created_at: NOW,
    }
}

pub(super) fn step(index: u32, status: &str) -> Step {
    Step {
        index,
        intent: "turn".to_owned(),
        kind: "llm".to_owned(),
        status: status.to_owned(),
        attempts: 1,
        result: None,
        error: None,
        rev: 1,
        started_at: NOW,
        completed_at: None,
        detail: StepDetail::default(),
    }
}

/// A change of status and nothing else.
pub(super) fn moved(status: Status, line_count: u64) -> Transition {
    Transition {
        state: state(status, line_count),
        message: None,
        upstream_cancel: None,
    }
}

/// A turn's own step, as it is at the end.
pub(super) fn last_step() -> Step {
    Step {
        result: Some(r#"{"ok":true}"#.to_owned()),
        completed_at: Some(NOW + 100),
        ..step(0, "completed")
    }
}

/// The end of a turn, with its message.
pub(super) fn ended(turn: u64, status: Status, line_count: u64) -> Transition {
    let mut end = moved(status, line_count);
    end.state.outcome = Some(RunOutcome {
        text_units: 5,
        reason: None,
    });
    end.message = Some(message(turn, Role::Assistant, "hello"));
    end
}

pub(super) fn only_lines(texts: &[&str]) -> Changes {
    Changes {
        lines: Some(lines(texts)),
        ..Changes::default()
    }
}

pub(super) fn only(transition: Transition) -> Changes {
    Changes {
        transition: Some(Box::new(transition)),
        ..Changes::default()
    }
}

pub(super) fn only_steps(steps: &[Step]) -> Changes {
    Changes {
        steps: steps.to_vec(),
        ..Changes::default()
    }
}

pub(super) fn both(texts: &[&str], transition: Transition) -> Changes {
    Changes {
        lines: Some(lines(texts)),
        transition: Some(Box::new(transition)),
        ..Changes::default()
    }
}
