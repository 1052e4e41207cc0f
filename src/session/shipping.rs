//! Shipping: carries what changed in the object into D1, behind the turn.
//!
//! Owns when and in which order; what is carried and what the answer means is `ship/`. A turn never
//! waits for it and never notices its failures. Invariant: ships of one object go one after another.

use super::{Platform, Session};
use crate::caps;
use crate::log::{Stop, Wake};
use crate::ops::{About, Why};
use crate::ports::{Clock, Timer};
use crate::ship::{Verdict, as_of, judge, pack, retry_ms};
use crate::store::{self, LogRow, Run, Shipment, Status, Store, Unshipped};
use futures::future::select;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;

/// What an object's memory holds of its shipping.
#[derive(Debug, Default)]
pub(super) struct ShipState {
    running: Cell<bool>,
    failures: Cell<u32>,
    retry: Cell<Option<Retry>>,
    held: RefCell<BTreeMap<String, (u64, u64)>>,
    soon: Rc<Wake>,
}

/// The wait behind a failure.
#[derive(Clone, Copy, Debug)]
struct Retry {
    /// Its end, Unix ms.
    at: i64,
    /// Its length in ms.
    wait_ms: u64,
}

impl Retry {
    /// What is left of it, in ms. More than all of it says that the clock went back: then nothing is.
    fn left_ms(self, now: i64) -> u64 {
        let left = u64::try_from(self.at.saturating_sub(now)).unwrap_or(0);
        if left > self.wait_ms { 0 } else { left }
    }
}

impl ShipState {
    /// How long the next try has to wait after a failure, in ms; `None` when there was none.
    pub(super) fn retry_in_ms(&self, now: i64) -> Option<u64> {
        self.retry.get().map(|retry| retry.left_ms(now))
    }

    /// What D1 was known to hold is of runs that this object no longer has.
    pub(super) fn forget(&self) {
        self.held.borrow_mut().clear();
    }
}

/// How one pass over the unshipped runs ended.
enum Pass {
    /// D1 has everything.
    Done,
    /// D1 has everything but what open runs will add.
    Open,
    /// Another life of this session owns it.
    Replaced,
}

impl<P: Platform> Session<P> {
    /// Starts shipping unless it is under way; then has it look at once.
    pub(super) fn keep_shipping(self: &Rc<Self>) {
        if self.ship.running.replace(true) {
            self.ship_soon();
            return;
        }
        let session = Rc::clone(self);
        self.spawn(async move {
            session.ship_all().await;
            session.ship.running.set(false);
        });
    }

    /// Something changed that should be in D1 soon.
    pub(super) fn ship_soon(&self) {
        self.ship.soon.wake();
    }

    async fn ship_all(self: &Rc<Self>) {
        if let Some(live) = self.live_drain() {
            // The upstream is asked first: a ship reads the storage a dozen times, and the turn's
            // first token would wait for it.
            let since = live.shipping().generation();
            let sleep = pin!(self.platform.ports().sleep(caps::SHIP_FIRST_MS));
            select(sleep, live.shipping().changed(since)).await;
        }
        loop {
            let wait_ms = self.ship_retry_ms();
            if wait_ms > 0 {
                if self.live_drain().is_none() {
                    // Nothing else keeps the object in memory: its alarm tries again.
                    self.arm_or_log().await;
                    return;
                }
                self.platform.ports().sleep(wait_ms).await;
            }
            let soon = self.ship.soon.generation();
            let live = self.live_drain();
            let enough = live.as_ref().map(|live| live.shipping().generation());
            if let Some(live) = &live {
                live.shipped();
            }
            match self.ship_pass().await {
                Ok(Pass::Done) => {
                    self.note_ship(None);
                    if self.ship.soon.generation() == soon {
                        return;
                    }
                    // Something came while it looked.
                    continue;
                }
                Ok(Pass::Open) => self.note_ship(None),
                Ok(Pass::Replaced) => {
                    self.replaced().await;
                    return;
                }
                Err(failure) => {
                    self.note_ship(Some(&failure));
                    continue;
                }
            }
            let sleep = pin!(self.platform.ports().sleep(self.ship_interval_ms()));
            let soon = self.ship.soon.changed(soon);
            match (live, enough) {
                (Some(live), Some(enough)) => {
                    let enough = live.shipping().changed(enough);
                    select(sleep, select(enough, soon)).await;
                }
                _ => {
                    select(sleep, soon).await;
                }
            }
        }
    }

    /// What is left of the wait after a failure; whoever asks for a ship meanwhile waits it out.
    fn ship_retry_ms(&self) -> u64 {
        let now = self.platform.ports().now_ms();
        self.ship.retry_in_ms(now).unwrap_or(0)
    }

    /// Keeps count of failures, and when the next try is due.
    fn note_ship(&self, failure: Option<&store::Error>) {
        let state = &self.ship;
        let Some(failure) = failure else {
            state.failures.set(0);
            state.retry.set(None);
            return;
        };
        let failures = state.failures.get().saturating_add(1);
        state.failures.set(failures);
        let full = matches!(failure, store::Error::Unavailable(failure) if failure.full);
        let wait_ms = retry_ms(failures, full);
        let now = self.platform.ports().now_ms();
        let at = now.saturating_add_unsigned(wait_ms);
        state.retry.set(Some(Retry { at, wait_ms }));
        let about = if full { About::ShipFull } else { About::Ship };
        self.log(about, Why::Store(failure));
    }

    async fn ship_pass(self: &Rc<Self>) -> Result<Pass, store::Error> {
        let durable = self.durable().await?;
        let object = &self.store;
        let Some(session) = object.sole_session().await? else {
            return Ok(Pass::Done);
        };
        if session.deleted_at.is_some() {
            return Ok(Pass::Done);
        }
        let mut open = false;
        for mut known in object.unshipped(caps::LIST_LIMIT).await? {
            if let Some((rev, lines)) = self.ship.held.borrow().get(&known.run_id) {
                known.rev = *rev;
                known.lines = *lines;
            }
            loop {
                let Some(run) = object.run(&known.run_id).await? else {
                    break;
                };
                let end = object.log_end(&run.run_id).await?;
                if run.rev <= known.rev && end <= known.lines {
                    // A woken run's row says suspended until its drain first writes, of which nothing
                    // notes that it is to be shipped.
                    let is_woken =
                        !run.state.status.is_terminal() && self.live(&run.run_id).is_some();
                    if is_at_work(&run) || is_woken {
                        open = true;
                    } else {
                        // Whatever noted it, this ship or a write that changed nothing.
                        let (rev, lines) = (known.rev, known.lines);
                        object.mark_shipped(&run.run_id, rev, lines).await?;
                    }
                    break;
                }
                let shipment = self.shipment(&session, &run, &known, end).await?;
                let held = durable.ship(&shipment).await?;
                match judge(&session.birth, &shipment.run, held.as_ref()) {
                    Verdict::Replaced => return Ok(Pass::Replaced),
                    // The erasure takes the note of it away, too.
                    Verdict::Erased => break,
                    Verdict::Absent => return Err(lost()),
                    Verdict::Holds { rev, lines } => {
                        known.rev = rev;
                        known.lines = lines;
                        self.held(&run, rev, lines);
                    }
                }
            }
        }
        Ok(if open { Pass::Open } else { Pass::Done })
    }

    /// Notes what D1 holds of a run: in memory, since a row for each ship would cost more than what a
    /// new life ships again.
    fn held(&self, run: &Run, rev: u64, lines: u64) {
        let run_id = &run.run_id;
        let mut held = self.ship.held.borrow_mut();
        if run.state.status.is_terminal() && rev >= run.rev && lines >= run.state.line_count {
            held.remove(run_id);
        } else {
            held.insert(run_id.clone(), (rev, lines));
        }
    }

    /// The next prefix of a run: all of it, or as much as one ship takes.
    async fn shipment(
        &self,
        session: &store::Session,
        run: &Run,
        known: &Unshipped,
        log_end: u64,
    ) -> Result<Shipment, store::Error> {
        let object = &self.store;
        let (mut steps, more_steps) = self.steps_to_ship(&run.run_id, known.rev).await?;
        // Steps go before the lines that tell of them: a prefix that says that a step is over has its
        // result.
        let (from_seq, rows) = match more_steps {
            None => self.rows_from(&run.run_id, known.lines).await?,
            Some(_) => (known.lines, Vec::new()),
        };
        let log = pack(rows, from_seq);
        let end = log.last().map_or(known.lines, LogRow::next_seq);
        let attempt = match log.last() {
            Some(row) => row.attempt,
            None => run.state.attempts.last().map_or(1, |last| last.number),
        };
        let events = object
            .events_since(&run.run_id, known.rev, caps::SHIP_ROWS)
            .await?;
        let more_events = events.len() as u64 >= u64::from(caps::SHIP_ROWS);
        // What came with the last rev comes with it: the ending's, when there is one. That the upstream has said
        // all comes before that where an answer is saved, and is true of all lines only.
        let waits_for_lines = (end < log_end).then(|| {
            let mut steps = steps.iter();
            let said_all = steps.find(|step| step.index == 0 && step.completed_at.is_some());
            said_all.map_or(run.rev, |step| step.rev.min(run.rev))
        });
        steps.retain(|step| waits_for_lines.is_none_or(|rev| step.rev < rev));
        let whole = end >= log_end && !more_events && more_steps.is_none();
        let messages = object.messages_since(&session.session_key, run.turn_index, known.rev);
        let mut messages = messages.await?;
        // The assistant's message belongs to the ending.
        messages.retain(|message| whole || message.role == store::Role::User);
        let mut shipped = as_of(run, end, whole, attempt);
        shipped.log_home = store::LogHome::D1;
        let cancelled = !shipped.state.status.is_terminal() && shipped.cancel.is_some();
        if is_at_work(&shipped) || cancelled {
            // The sweep looks after a run that wasn't shipped for so long.
            let soon = self.look_again_ms();
            shipped.state.wake_at =
                Some(self.platform.ports().now_ms().saturating_add_unsigned(soon));
        }
        if let Some(last) = events.last().filter(|_| more_events) {
            // What was emitted later goes with the next ship.
            shipped.rev = shipped.rev.min(last.rev);
        }
        if let Some(rev) = more_steps {
            shipped.rev = shipped.rev.min(rev);
        }
        if let Some(rev) = waits_for_lines {
            shipped.rev = shipped.rev.min(rev.saturating_sub(1));
        }
        Ok(Shipment {
            session: session.clone(),
            run: shipped,
            from_seq,
            log,
            messages,
            steps,
            events,
        })
    }

    /// The next steps to ship by their rev; up to which rev they are all, when there are more.
    async fn steps_to_ship(
        &self,
        run_id: &str,
        rev: u64,
    ) -> Result<(Vec<store::Step>, Option<u64>), store::Error> {
        let limit = caps::SHIP_ROWS;
        let mut steps = self.store.steps_since(run_id, rev, limit).await?;
        let Some(last) = steps.last().map(|step| step.rev) else {
            return Ok((steps, None));
        };
        if (steps.len() as u64) < u64::from(limit) {
            return Ok((steps, None));
        }
        // Those of one commit go together: the next ship asks for what is behind a rev.
        steps.retain(|step| step.rev < last);
        if let Some(whole) = steps.last().map(|step| step.rev) {
            return Ok((steps, Some(whole)));
        }
        let mut steps = self
            .store
            .steps_since(run_id, rev, 2 * caps::RUN_STEPS)
            .await?;
        let all = steps.len();
        steps.retain(|step| step.rev == last);
        let more = (steps.len() < all).then_some(last);
        Ok((steps, more))
    }

    /// Rows from the first one that holds an unshipped line on; and where that row begins.
    async fn rows_from(
        &self,
        run_id: &str,
        lines: u64,
    ) -> Result<(u64, Vec<LogRow>), store::Error> {
        let mut rows: Vec<LogRow> = Vec::new();
        let mut bytes = 0;
        let mut next = lines;
        loop {
            let page = self.store.log(run_id, next, caps::LOG_PAGE_ROWS).await?;
            let before = next;
            for row in page {
                if row.next_seq() <= next {
                    continue;
                }
                if !rows.is_empty() && bytes + row.lines.len() > caps::SHIP_CHUNK_BYTES {
                    return Ok((first_seq(&rows, lines), rows));
                }
                bytes += row.lines.len();
                next = row.next_seq();
                rows.push(row);
            }
            if next == before {
                return Ok((first_seq(&rows, lines), rows));
            }
        }
    }

    /// Another life of this session owns it: nothing more is written, and followers are cut.
    async fn replaced(self: &Rc<Self>) {
        self.log(About::Replaced, Why::OwnedElsewhere);
        if let Some(live) = self.live_drain() {
            live.stop(Stop::Replaced);
        }
        if let Err(failure) = self.forget_storage().await {
            self.log(About::Replaced, Why::Store(&failure));
        }
    }
}

/// Somebody works on it, so it changes without being asked.
fn is_at_work(run: &Run) -> bool {
    match run.state.status {
        Status::Queued | Status::Running => true,
        Status::Suspended | Status::Completed | Status::Failed | Status::Cancelled => false,
    }
}

fn first_seq(rows: &[LogRow], lines: u64) -> u64 {
    rows.first().map_or(lines, |row| row.first_seq)
}

/// D1 answered, yet it doesn't have what it was given: as good as no answer.
fn lost() -> store::Error {
    store::Error::Unavailable(store::DriverError {
        message: "the durable store does not hold what was shipped".to_owned(),
        unknown: true,
        full: false,
    })
}
