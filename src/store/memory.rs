//! The store contract as a plain model: what every other store must answer.
//!
//! Owns nothing durable; it is the oracle of tests and simulations, written to be read. It models
//! the contract of [`Store`], not its SQL. Invariant: an operation that returns an error or
//! `Taken` has changed nothing.

use super::sql_store::{is_same, is_same_row};
use super::{
    Attempt, Begin, Begun, Cancel, Changes, Claim, Emitted, Error, EventRecord, Fence, Held, Lease,
    Lines, LogRow, Message, Policy, Role, Run, Session, Status, Step, Store, Transition,
    UpstreamCancel, claim,
};
use crate::certain::Certain;
use crate::ids::run_id;
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A store in memory. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Rc<RefCell<State>>,
}

#[derive(Debug, Default)]
struct State {
    sessions: BTreeMap<String, Session>,
    runs: BTreeMap<String, Stored>,
    messages: BTreeMap<String, BTreeMap<(u64, Role), Message>>,
}

/// A run with all that hangs on it.
#[derive(Debug)]
struct Stored {
    session_key: String,
    run: Run,
    /// The token of the last acquisition; a lease shows only while it has an end.
    holder: Option<String>,
    log: Vec<LogRow>,
    steps: BTreeMap<u32, Step>,
    events: BTreeMap<String, EventRecord>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl State {
    fn run_by_key(&self, session_key: &str, key: &str) -> Option<&Run> {
        self.runs.values().map(|stored| &stored.run).find(|run| {
            run.run_id == run_id(session_key, run.turn_index) && run.key.as_deref() == Some(key)
        })
    }

    fn may_begin(&self, begin: &Begin) -> bool {
        let (run, session_key) = (&begin.run, &begin.session.session_key);
        let counted = self
            .sessions
            .get(session_key)
            .map_or(0, |session| session.turn_count);
        let before = run
            .turn_index
            .checked_sub(1)
            .map(|turn| run_id(session_key, turn));
        let before_is_open = before
            .and_then(|id| self.runs.get(&id))
            .is_some_and(|before| !before.is_over());
        let key_is_taken = run
            .key
            .as_ref()
            .is_some_and(|key| self.run_by_key(session_key, key).is_some());
        run.turn_index == counted && !before_is_open && !key_is_taken
    }
}

impl Stored {
    fn is_over(&self) -> bool {
        self.run.state.status.is_terminal()
    }

    fn log_end(&self) -> u64 {
        self.log.last().map_or(0, LogRow::next_seq)
    }

    fn append(&mut self, lines: &Lines) {
        let frame_ids = serde_json::to_string(&lines.frame_ids).certain("strings serialise");
        self.log.push(LogRow {
            first_seq: self.log_end(),
            count: lines.frame_ids.len() as u64,
            epoch: self.run.epoch,
            attempt: lines.attempt,
            cursor: lines.cursor.clone(),
            frame_ids,
            lines: lines.text.clone(),
        });
    }

    /// Whether these lines and this state are stored already, under the run's present epoch.
    fn has(&self, at: u64, lines: Option<&Lines>, changes: &Changes) -> bool {
        let steps = changes.steps.iter().all(|step| {
            let stored = self.steps.get(&step.index);
            stored.is_some_and(|stored| is_same(stored, step))
        });
        let transition = changes.transition.as_ref();
        steps
            && lines.is_none_or(|lines| {
                self.log.iter().any(|row| {
                    row.first_seq == at && row.epoch == self.run.epoch && is_same_row(row, lines)
                })
            })
            && transition.is_none_or(|transition| self.run.state == transition.state)
    }
}

impl Store for MemoryStore {
    async fn migrate(&self, _now: i64) -> Result<(), Error> {
        Ok(())
    }

    async fn sync(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn barrier(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn session(&self, session_key: &str) -> Result<Option<Session>, Error> {
        Ok(self.state.borrow().sessions.get(session_key).cloned())
    }

    async fn begin(&self, begin: &Begin) -> Result<Begun, Error> {
        let mut state = self.state.borrow_mut();
        if !state.may_begin(begin) {
            return Ok(Begun::Taken);
        }
        let session_key = &begin.session.session_key;
        state
            .sessions
            .entry(session_key.clone())
            .and_modify(|session| {
                session.turn_count = begin.session.turn_count;
                session.updated_at = begin.session.updated_at;
                session.deleted_at = None;
            })
            .or_insert_with(|| begin.session.clone());
        let mut stored = Stored {
            session_key: session_key.clone(),
            run: begin.run.clone(),
            holder: begin.run.lease.as_ref().map(|lease| lease.holder.clone()),
            log: vec![],
            steps: BTreeMap::from([(begin.step.index, begin.step.clone())]),
            events: BTreeMap::new(),
        };
        stored.append(&begin.first);
        state.runs.insert(begin.run.run_id.clone(), stored);
        let place = (begin.message.turn_index, begin.message.role);
        let messages = state.messages.entry(session_key.clone()).or_default();
        messages.insert(place, begin.message.clone());
        Ok(Begun::Begun)
    }

    async fn create(&self, run: &Run) -> Result<Begun, Error> {
        let mut state = self.state.borrow_mut();
        if state.runs.contains_key(&run.run_id) {
            return Ok(Begun::Taken);
        }
        let stored = Stored {
            session_key: String::new(),
            run: run.clone(),
            holder: run.lease.as_ref().map(|lease| lease.holder.clone()),
            log: vec![],
            steps: BTreeMap::new(),
            events: BTreeMap::new(),
        };
        state.runs.insert(run.run_id.clone(), stored);
        Ok(Begun::Begun)
    }

    async fn acquire(
        &self,
        run_id: &str,
        policy: Policy,
        holder: &str,
        now: i64,
    ) -> Result<Fence, Error> {
        let mut state = self.state.borrow_mut();
        let stored = state.runs.get_mut(run_id).ok_or(Error::Missing)?;
        let mine = stored.holder.as_deref() == Some(holder);
        let until = stored.run.lease.as_ref().map(|lease| lease.until);
        let run = &mut stored.run;
        match claim(now, run.state.status, mine, until, &policy) {
            Claim::Over => return Err(Error::Fenced),
            Claim::Held { until } => return Err(Error::LeaseHeld { until }),
            Claim::Mine => {}
            Claim::Take => {
                stored.holder = Some(holder.to_owned());
                run.lease = match policy {
                    Policy::WhenFree { until } => Some(Lease {
                        holder: holder.to_owned(),
                        until,
                    }),
                    Policy::Sole => None,
                };
                run.epoch += 1;
                run.rev += 1;
                run.updated_at = now;
                if run.state.status == Status::Queued {
                    run.state.status = Status::Running;
                }
            }
        }
        Ok(Fence { epoch: run.epoch })
    }

    async fn commit(
        &self,
        session_key: &str,
        run_id: &str,
        fence: Fence,
        expect_next_seq: u64,
        changes: &Changes,
        now: i64,
    ) -> Result<(), Error> {
        let lines = changes
            .lines
            .as_ref()
            .filter(|lines| !lines.frame_ids.is_empty());
        let transition = changes.transition.as_deref();
        if lines.is_none() && transition.is_none() && changes.steps.is_empty() {
            return Ok(());
        }
        let end = expect_next_seq + lines.map_or(0, |lines| lines.frame_ids.len() as u64);
        if let Some(counted) = transition.map(|transition| transition.state.line_count)
            && counted != end
        {
            return Err(Error::SeqMismatch {
                expected: counted,
                found: end,
            });
        }
        let state = &mut *self.state.borrow_mut();
        let stored = state.runs.get_mut(run_id).ok_or(Error::Missing)?;
        if stored.run.epoch != fence.epoch {
            return Err(Error::Fenced);
        }
        if stored.is_over() || stored.log_end() != expect_next_seq {
            return if stored.has(expect_next_seq, lines, changes) {
                Ok(())
            } else if stored.is_over() {
                Err(Error::Fenced)
            } else {
                Err(Error::SeqMismatch {
                    expected: expect_next_seq,
                    found: stored.log_end(),
                })
            };
        }
        if let Some(lines) = lines {
            stored.append(lines);
        }
        if transition.is_some() || !changes.steps.is_empty() {
            stored.run.rev += 1;
            stored.run.updated_at = now;
        }
        for step in &changes.steps {
            put_step(stored, step);
        }
        if let Some(transition) = transition {
            let messages = state.messages.entry(session_key.to_owned()).or_default();
            apply(stored, messages, transition);
        }
        Ok(())
    }

    async fn renew(&self, run_id: &str, held: Held<'_>, until: i64) -> Result<(), Error> {
        let mut state = self.state.borrow_mut();
        let stored = state.runs.get_mut(run_id).ok_or(Error::Missing)?;
        let mine = stored.holder.as_deref() == Some(held.holder);
        if !mine || stored.run.epoch != held.fence.epoch || stored.is_over() {
            return Err(Error::Fenced);
        }
        stored.run.lease = Some(Lease {
            holder: held.holder.to_owned(),
            until,
        });
        Ok(())
    }

    async fn release(&self, run_id: &str, fence: Fence) -> Result<(), Error> {
        let mut state = self.state.borrow_mut();
        if let Some(stored) = state.runs.get_mut(run_id)
            && stored.run.epoch == fence.epoch
            && !stored.is_over()
        {
            stored.holder = None;
            stored.run.lease = None;
        }
        Ok(())
    }

    async fn reopen(
        &self,
        run: &Run,
        attempt: &Attempt,
        holder: &str,
        until: i64,
        now: i64,
    ) -> Result<Fence, Error> {
        let mut state = self.state.borrow_mut();
        let stored = state.runs.get_mut(&run.run_id).ok_or(Error::Missing)?;
        let lease = stored.run.lease.as_ref();
        let mine = lease.is_some_and(|lease| lease.holder == holder);
        if mine && !stored.is_over() {
            return Ok(Fence {
                epoch: stored.run.epoch,
            });
        }
        let failed = stored.run.state.status == Status::Failed;
        if !failed || stored.run.rev != run.rev || stored.run.state.line_count > 0 {
            return Err(Error::Fenced);
        }
        stored.holder = Some(holder.to_owned());
        let found = &mut stored.run;
        found.lease = Some(Lease {
            holder: holder.to_owned(),
            until,
        });
        found.epoch += 1;
        found.rev += 1;
        found.updated_at = now;
        found.cancel = None;
        found.state.status = Status::Running;
        found.state.attempts = run.state.attempts.clone();
        found.state.attempts.push(attempt.clone());
        found.state.outcome = None;
        found.state.finished_at = None;
        Ok(Fence { epoch: found.epoch })
    }

    async fn request_cancel(&self, run_id: &str, cancel: &Cancel) -> Result<bool, Error> {
        let mut state = self.state.borrow_mut();
        let stored = state.runs.get_mut(run_id).ok_or(Error::Missing)?;
        if stored.is_over() {
            return Ok(false);
        }
        let run = &mut stored.run;
        if run.cancel.is_none() {
            run.cancel = Some(cancel.clone());
            run.rev += 1;
            run.updated_at = cancel.at;
            if run.state.status == Status::Suspended {
                run.state.wake_at = Some(cancel.at);
            }
        }
        Ok(true)
    }

    async fn set_upstream_cancel(
        &self,
        run_id: &str,
        pending: Option<&UpstreamCancel>,
        now: i64,
    ) -> Result<(), Error> {
        let mut state = self.state.borrow_mut();
        if let Some(Stored { run, .. }) = state.runs.get_mut(run_id)
            && run.upstream_cancel.as_ref() != pending
        {
            run.upstream_cancel = pending.cloned();
            run.rev += 1;
            run.updated_at = now;
        }
        Ok(())
    }

    async fn emit_event(
        &self,
        run_id: &str,
        key: &str,
        payload: &str,
        now: i64,
    ) -> Result<Emitted, Error> {
        let mut state = self.state.borrow_mut();
        let stored = state.runs.get_mut(run_id).ok_or(Error::Missing)?;
        if let Some(record) = stored.events.get(key) {
            return Ok(Emitted {
                accepted: false,
                record: record.clone(),
            });
        }
        if stored.is_over() {
            return Err(Error::Fenced);
        }
        stored.run.rev += 1;
        if stored.run.state.status == Status::Suspended {
            stored.run.state.wake_at = Some(now);
        }
        let record = EventRecord {
            key: key.to_owned(),
            payload: payload.to_owned(),
            rev: stored.run.rev,
            emitted_at: now,
        };
        stored.events.insert(key.to_owned(), record.clone());
        Ok(Emitted {
            accepted: true,
            record,
        })
    }

    async fn event(&self, run_id: &str, key: &str) -> Result<Option<EventRecord>, Error> {
        let state = self.state.borrow();
        let stored = state.runs.get(run_id);
        Ok(stored.and_then(|stored| stored.events.get(key)).cloned())
    }

    async fn run(&self, run_id: &str) -> Result<Option<Run>, Error> {
        let state = self.state.borrow();
        Ok(state.runs.get(run_id).map(|stored| stored.run.clone()))
    }

    async fn run_by_key(&self, session_key: &str, key: &str) -> Result<Option<Run>, Error> {
        Ok(self.state.borrow().run_by_key(session_key, key).cloned())
    }

    async fn runs(&self, session_key: &str, from_turn: u64, limit: u32) -> Result<Vec<Run>, Error> {
        let state = self.state.borrow();
        let mut runs: Vec<Run> = state
            .runs
            .values()
            .filter(|stored| stored.session_key == session_key)
            .map(|stored| stored.run.clone())
            .filter(|run| run.turn_index >= from_turn)
            .collect();
        runs.sort_by_key(|run| run.turn_index);
        runs.truncate(limit as usize);
        Ok(runs)
    }

    async fn log(&self, run_id: &str, from_seq: u64, rows: u32) -> Result<Vec<LogRow>, Error> {
        let state = self.state.borrow();
        let log = state
            .runs
            .get(run_id)
            .into_iter()
            .flat_map(|stored| &stored.log);
        Ok(log
            .filter(|row| row.next_seq() > from_seq)
            .take(rows as usize)
            .cloned()
            .collect())
    }

    async fn log_end(&self, run_id: &str) -> Result<u64, Error> {
        let state = self.state.borrow();
        Ok(state.runs.get(run_id).map_or(0, Stored::log_end))
    }

    async fn messages(
        &self,
        session_key: &str,
        after: Option<(u64, Role)>,
        limit: u32,
    ) -> Result<Vec<Message>, Error> {
        let state = self.state.borrow();
        let messages = state.messages.get(session_key).into_iter().flatten();
        Ok(messages
            .filter(|(place, _)| after.is_none_or(|after| **place > after))
            .map(|(_, message)| message.clone())
            .take(limit as usize)
            .collect())
    }

    async fn messages_before(
        &self,
        session_key: &str,
        turn_index: u64,
        limit: u32,
    ) -> Result<Vec<Message>, Error> {
        let state = self.state.borrow();
        let messages = state.messages.get(session_key);
        Ok(messages
            .into_iter()
            .flat_map(|messages| messages.values().rev())
            .filter(|message| message.turn_index < turn_index)
            .take(limit as usize)
            .cloned()
            .collect())
    }

    async fn steps(&self, run_id: &str, from_index: u32, limit: u32) -> Result<Vec<Step>, Error> {
        let state = self.state.borrow();
        let steps = state
            .runs
            .get(run_id)
            .into_iter()
            .flat_map(|stored| &stored.steps);
        Ok(steps
            .filter(|(index, _)| **index >= from_index)
            .map(|(_, step)| step.clone())
            .take(limit as usize)
            .collect())
    }
}

/// Makes a transition true. A message that stands already keeps what identifies it and when it
/// began.
fn apply(
    stored: &mut Stored,
    messages: &mut BTreeMap<(u64, Role), Message>,
    transition: &Transition,
) {
    let run = &mut stored.run;
    run.state = transition.state.clone();
    run.upstream_cancel = transition.upstream_cancel.clone();
    if let Some(new) = &transition.message {
        let message = messages
            .entry((new.turn_index, new.role))
            .or_insert_with(|| new.clone());
        message.content = new.content.clone();
        message.status = new.status;
        message.rev = run.rev;
    }
}

/// Whether `new` is a state that `stored` has left behind.
fn is_older(new: &Step, stored: &Step) -> bool {
    match new.attempts.cmp(&stored.attempts) {
        Ordering::Less => true,
        Ordering::Greater => false,
        Ordering::Equal => {
            let is_fewer = new.detail.failures.len() < stored.detail.failures.len();
            new.status == "running" && (stored.status != "running" || is_fewer)
        }
    }
}

/// Stores a step under the run's present rev.
fn put_step(stored: &mut Stored, new: &Step) {
    let step = stored.steps.entry(new.index).or_insert_with(|| new.clone());
    if is_older(new, step) {
        return;
    }
    *step = Step {
        intent: step.intent.clone(),
        kind: step.kind.clone(),
        started_at: step.started_at,
        rev: stored.run.rev,
        ..new.clone()
    };
}
