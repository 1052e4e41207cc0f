//! The store contract on any SQL driver.
//!
//! Owns which statements make an operation and what a batch's results mean. The text is `sql.rs`, the
//! transport a [`Driver`]. Invariant: what a batch did is told from its own results, and when
//! they say "nothing", from a read-back; never from the text of an error.

use super::batch::{begin_batch, commit_step, transition_batch};
use super::encode::{json, optional_json, run_id_bounds, run_params};
use super::{
    Attempt, Begin, Begun, Cancel, Changes, Claim, Driver, DriverError, Emitted, Error,
    EventRecord, Fence, Held, Lines, LogRow, Message, Outcome, Policy, Role, Run, Section, Session,
    Statement, Status, Step, Store, UpstreamCancel, Value, claim, decode, migrate, sql,
};

/// The contract over a driver.
#[derive(Clone, Debug)]
pub struct SqlStore<D> {
    driver: D,
    section: Section,
}

impl<D: Driver> SqlStore<D> {
    /// A store over `driver`, whose schema is that of `section`.
    pub const fn new(driver: D, section: Section) -> Self {
        SqlStore { driver, section }
    }

    /// The driver below.
    pub const fn driver(&self) -> &D {
        &self.driver
    }

    pub(crate) async fn query(
        &self,
        sql: &'static str,
        params: Vec<Value>,
    ) -> Result<Vec<Vec<Value>>, Error> {
        Ok(self.one(sql, params).await?.rows)
    }

    pub(crate) async fn one(
        &self,
        sql: &'static str,
        params: Vec<Value>,
    ) -> Result<Outcome, Error> {
        let outcomes = self.driver.apply(vec![Statement { sql, params }]).await?;
        outcomes.into_iter().next().ok_or_else(|| short().into())
    }

    /// In an object, what changes an open run is to be shipped: a suspended one may have been shipped
    /// wholly, and forgotten.
    fn with_unshipped(&self, mut batch: Vec<Statement>, run_id: &str) -> Vec<Statement> {
        if self.section == Section::Object {
            batch.push(Statement {
                sql: sql::UNSHIPPED_OPEN,
                params: vec![run_id.into()],
            });
        }
        batch
    }

    async fn version(&self) -> Result<u32, Error> {
        let rows = self.query(sql::READ_VERSION, vec![]).await?;
        let row = rows.into_iter().next().unwrap_or_default();
        Ok(decode::Columns::new("schema_info", row).small()?)
    }

    /// Why a fenced write changed nothing; `Ok` when it turns out to be our own earlier commit.
    async fn explain(
        &self,
        run_id: &str,
        fence: Fence,
        expect_next_seq: u64,
        changes: &Changes,
    ) -> Result<(), Error> {
        let run = self.run(run_id).await?.ok_or(Error::Missing)?;
        if run.epoch != fence.epoch {
            return Err(Error::Fenced);
        }
        let lines_stored = match &changes.lines {
            None => true,
            Some(lines) if lines.frame_ids.is_empty() => true,
            Some(lines) => self
                .log(run_id, expect_next_seq, 1)
                .await?
                .first()
                .is_some_and(|row| {
                    row.first_seq == expect_next_seq
                        && row.epoch == fence.epoch
                        && is_same_row(row, lines)
                }),
        };
        let transition = changes.transition.as_ref();
        let state_stored = transition.is_none_or(|transition| transition.state == run.state);
        if lines_stored && state_stored && self.has_steps(run_id, &changes.steps).await? {
            return Ok(());
        }
        if run.state.status.is_terminal() {
            return Err(Error::Fenced);
        }
        Err(Error::SeqMismatch {
            expected: expect_next_seq,
            found: self.log_end(run_id).await?,
        })
    }

    /// Whether these steps are stored as they are here.
    async fn has_steps(&self, run_id: &str, steps: &[Step]) -> Result<bool, Error> {
        for step in steps {
            let stored = self.steps(run_id, step.index, 1).await?;
            if !stored.first().is_some_and(|stored| is_same(stored, step)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether a stored row holds these lines, from these frames.
pub(super) fn is_same_row(row: &LogRow, lines: &Lines) -> bool {
    let frame_ids = json(&lines.frame_ids);
    row.lines == lines.text
        && row.attempt == lines.attempt
        && row.cursor == lines.cursor
        && Value::from(&row.frame_ids) == frame_ids
}

/// Whether a stored step is what this one makes of it.
pub(super) fn is_same(stored: &Step, step: &Step) -> bool {
    let as_stored = Step {
        intent: stored.intent.clone(),
        kind: stored.kind.clone(),
        rev: stored.rev,
        started_at: stored.started_at,
        ..step.clone()
    };
    *stored == as_stored
}

/// A driver answered with fewer outcomes than statements.
fn short() -> DriverError {
    DriverError {
        message: "the driver answered with too few results".to_owned(),
        unknown: true,
        full: false,
    }
}

impl<D: Driver> Store for SqlStore<D> {
    async fn migrate(&self, now: i64) -> Result<(), Error> {
        // A read of a database without the version table fails like any other fault, so the first
        // batch is simply tried: it changes nothing where the version is known already.
        let applied = self.version().await.unwrap_or(0);
        for migration in migrate::migrations(self.section) {
            if migration.version <= applied {
                continue;
            }
            if let Err(failure) = self.driver.apply(migrate::batch(&migration, now)).await {
                // Somebody else may have applied it, or our own answer was lost.
                if self.version().await? < migration.version {
                    return Err(failure.into());
                }
            }
        }
        Ok(())
    }

    async fn sync(&self) -> Result<(), Error> {
        Ok(self.driver.sync().await?)
    }

    async fn barrier(&self) -> Result<(), Error> {
        Ok(self.driver.barrier().await?)
    }

    async fn session(&self, session_key: &str) -> Result<Option<Session>, Error> {
        let rows = self.query(sql::SESSION, vec![session_key.into()]).await?;
        Ok(rows.into_iter().next().map(decode::session).transpose()?)
    }

    async fn begin(&self, begin: &Begin) -> Result<Begun, Error> {
        let batch = begin_batch(begin, self.section);
        let outcomes = self.driver.apply(batch).await?;
        let run = outcomes.first().ok_or_else(short)?;
        Ok(if run.changes > 0 {
            Begun::Begun
        } else {
            Begun::Taken
        })
    }

    async fn create(&self, run: &Run) -> Result<Begun, Error> {
        let created = self.one(sql::CREATE_RUN, run_params(run)).await?;
        Ok(if created.changes > 0 {
            Begun::Begun
        } else {
            Begun::Taken
        })
    }

    async fn acquire(
        &self,
        run_id: &str,
        policy: Policy,
        holder: &str,
        now: i64,
    ) -> Result<Fence, Error> {
        let (sole, until) = match &policy {
            Policy::Sole => (1, None),
            Policy::WhenFree { until } => (0, Some(*until)),
        };
        let params = vec![
            run_id.into(),
            holder.into(),
            until.into(),
            now.into(),
            Value::Integer(sole),
        ];
        let batch = vec![
            Statement {
                sql: sql::ACQUIRE,
                params,
            },
            Statement {
                sql: sql::ACQUIRED,
                params: vec![run_id.into(), holder.into()],
            },
        ];
        let batch = self.with_unshipped(batch, run_id);
        // Both in one transaction: an epoch read any later could be somebody else's.
        let mut outcomes = self.driver.apply(batch).await?.into_iter();
        let (taken, stands) = (outcomes.next(), outcomes.next());
        if let Some(row) = taken.and_then(|taken| taken.rows.into_iter().next()) {
            let epoch = decode::Columns::new("runs", row).count()?;
            return Ok(Fence { epoch });
        }
        let row = stands.ok_or_else(short)?.rows.into_iter().next();
        let mut row = decode::Columns::new("runs", row.ok_or(Error::Missing)?);
        let epoch = row.count()?;
        let status = row.named(Status::parse)?;
        let mine = row.integer()? != 0;
        match claim(now, status, mine, row.optional_integer()?, &policy) {
            Claim::Mine => Ok(Fence { epoch }),
            Claim::Over => Err(Error::Fenced),
            Claim::Held { until } => Err(Error::LeaseHeld { until }),
            // The statement and the decision are one rule; a database that sees it otherwise has
            // not done what it was told.
            Claim::Take => Err(short().into()),
        }
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
        let count = lines.map_or(0, |lines| lines.frame_ids.len() as u64);
        let end = expect_next_seq.saturating_add(count);
        let fenced = [run_id.into(), fence.epoch.into(), expect_next_seq.into()];
        let mut batch: Vec<Statement> = changes
            .steps
            .iter()
            .map(|step| commit_step(&fenced, step))
            .collect();
        if let Some(transition) = &changes.transition {
            if transition.state.line_count != end {
                return Err(Error::SeqMismatch {
                    expected: transition.state.line_count,
                    found: end,
                });
            }
            batch.extend(transition_batch(session_key, &fenced, transition, now));
        } else if !changes.steps.is_empty() {
            let mut params = fenced.to_vec();
            params.push(now.into());
            batch.push(Statement {
                sql: sql::STEPS_REV,
                params,
            });
        }
        if let Some(lines) = lines {
            let mut params = fenced.to_vec();
            params.extend([
                count.into(),
                lines.attempt.into(),
                lines.cursor.as_ref().into(),
                json(&lines.frame_ids),
                (&lines.text).into(),
            ]);
            batch.push(Statement {
                sql: match changes.transition {
                    Some(_) => sql::APPEND_COUNTED,
                    None => sql::APPEND,
                },
                params,
            });
        }
        if batch.is_empty() {
            return Ok(());
        }
        let outcomes = self.driver.apply(batch).await?;
        // All statements ask the same of the run and its log, so the last one speaks for all.
        if outcomes.last().ok_or_else(short)?.changes > 0 {
            return Ok(());
        }
        self.explain(run_id, fence, expect_next_seq, changes).await
    }

    async fn renew(&self, run_id: &str, held: Held<'_>, until: i64) -> Result<(), Error> {
        let params = vec![
            run_id.into(),
            held.fence.epoch.into(),
            held.holder.into(),
            until.into(),
        ];
        if self.one(sql::RENEW, params).await?.changes > 0 {
            return Ok(());
        }
        match self.run(run_id).await? {
            Some(_) => Err(Error::Fenced),
            None => Err(Error::Missing),
        }
    }

    async fn release(&self, run_id: &str, fence: Fence) -> Result<(), Error> {
        let params = vec![run_id.into(), fence.epoch.into()];
        self.one(sql::RELEASE, params).await?;
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
        let mut attempts = run.state.attempts.clone();
        attempts.push(attempt.clone());
        let params = vec![
            (&run.run_id).into(),
            holder.into(),
            until.into(),
            now.into(),
            json(&attempts),
            run.rev.into(),
        ];
        self.one(sql::REOPEN, params).await?;
        // Read back in any case: the answer to an earlier, successful try may have been lost.
        let found = self.run(&run.run_id).await?.ok_or(Error::Missing)?;
        match found.lease {
            Some(lease) if lease.holder == holder && !found.state.status.is_terminal() => {
                Ok(Fence { epoch: found.epoch })
            }
            Some(_) | None => Err(Error::Fenced),
        }
    }

    async fn request_cancel(&self, run_id: &str, cancel: &Cancel) -> Result<bool, Error> {
        let params = vec![run_id.into(), json(cancel), cancel.at.into()];
        let batch = vec![Statement {
            sql: sql::REQUEST_CANCEL,
            params,
        }];
        let batch = self.with_unshipped(batch, run_id);
        let requested = self.driver.apply(batch).await?;
        if requested.first().ok_or_else(short)?.changes > 0 {
            return Ok(true);
        }
        let run = self.run(run_id).await?.ok_or(Error::Missing)?;
        Ok(!run.state.status.is_terminal())
    }

    async fn set_upstream_cancel(
        &self,
        run_id: &str,
        pending: Option<&UpstreamCancel>,
        now: i64,
    ) -> Result<(), Error> {
        let params = vec![run_id.into(), optional_json(pending), now.into()];
        let mut batch = vec![Statement {
            sql: sql::SET_UPSTREAM_CANCEL,
            params,
        }];
        if self.section == Section::Object {
            batch.push(Statement {
                sql: sql::UNSHIPPED_AGAIN,
                params: vec![run_id.into()],
            });
        }
        self.driver.apply(batch).await?;
        Ok(())
    }

    async fn emit_event(
        &self,
        run_id: &str,
        key: &str,
        payload: &str,
        now: i64,
    ) -> Result<Emitted, Error> {
        let batch = vec![
            Statement {
                sql: sql::EMIT_EVENT,
                params: vec![run_id.into(), key.into(), payload.into(), now.into()],
            },
            Statement {
                sql: sql::EVENT_REV,
                params: vec![run_id.into(), key.into(), now.into()],
            },
            Statement {
                sql: sql::EVENT,
                params: vec![run_id.into(), key.into()],
            },
        ];
        let batch = self.with_unshipped(batch, run_id);
        let outcomes = self.driver.apply(batch).await?;
        let accepted = outcomes.first().is_some_and(|insert| insert.changes > 0);
        let row = outcomes
            .into_iter()
            .nth(2)
            .ok_or_else(short)?
            .rows
            .into_iter()
            .next();
        match row {
            Some(row) => Ok(Emitted {
                accepted,
                record: decode::event(row)?,
            }),
            None => match self.run(run_id).await? {
                Some(_) => Err(Error::Fenced),
                None => Err(Error::Missing),
            },
        }
    }

    async fn event(&self, run_id: &str, key: &str) -> Result<Option<EventRecord>, Error> {
        let rows = self
            .query(sql::EVENT, vec![run_id.into(), key.into()])
            .await?;
        Ok(rows.into_iter().next().map(decode::event).transpose()?)
    }

    async fn run(&self, run_id: &str) -> Result<Option<Run>, Error> {
        let rows = self.query(sql::RUN, vec![run_id.into()]).await?;
        Ok(rows.into_iter().next().map(decode::run).transpose()?)
    }

    async fn run_by_key(&self, session_key: &str, key: &str) -> Result<Option<Run>, Error> {
        let statement = match self.section {
            Section::Object => sql::RUN_BY_KEY,
            Section::D1 => sql::D1_RUN_BY_KEY,
        };
        let params = vec![session_key.into(), key.into()];
        let rows = self.query(statement, params).await?;
        Ok(rows.into_iter().next().map(decode::run).transpose()?)
    }

    async fn runs(&self, session_key: &str, from_turn: u64, limit: u32) -> Result<Vec<Run>, Error> {
        let [low, high] = run_id_bounds(session_key);
        let params = vec![low, high, from_turn.into(), limit.into()];
        let rows = self.query(sql::RUNS, params).await?;
        Ok(rows
            .into_iter()
            .map(decode::run)
            .collect::<Result<_, _>>()?)
    }

    async fn log(&self, run_id: &str, from_seq: u64, rows: u32) -> Result<Vec<LogRow>, Error> {
        let params = vec![run_id.into(), from_seq.into(), rows.into()];
        let rows = self.query(sql::LOG, params).await?;
        Ok(rows
            .into_iter()
            .map(decode::log_row)
            .collect::<Result<_, _>>()?)
    }

    async fn log_end(&self, run_id: &str) -> Result<u64, Error> {
        let rows = self.query(sql::LOG_END, vec![run_id.into()]).await?;
        let row = rows.into_iter().next().unwrap_or_default();
        Ok(decode::Columns::new("stream_log", row).count()?)
    }

    async fn messages(
        &self,
        session_key: &str,
        after: Option<(u64, Role)>,
        limit: u32,
    ) -> Result<Vec<Message>, Error> {
        let (turn, position) = after.map_or((Value::Integer(-1), 0), |(turn, role)| {
            (turn.into(), role.position())
        });
        let params = vec![session_key.into(), turn, position.into(), limit.into()];
        let rows = self.query(sql::MESSAGES, params).await?;
        Ok(rows
            .into_iter()
            .map(decode::message)
            .collect::<Result<_, _>>()?)
    }

    async fn messages_before(
        &self,
        session_key: &str,
        turn_index: u64,
        limit: u32,
    ) -> Result<Vec<Message>, Error> {
        let params = vec![session_key.into(), turn_index.into(), limit.into()];
        let rows = self.query(sql::MESSAGES_BEFORE, params).await?;
        Ok(rows
            .into_iter()
            .map(decode::message)
            .collect::<Result<_, _>>()?)
    }

    async fn steps(&self, run_id: &str, from_index: u32, limit: u32) -> Result<Vec<Step>, Error> {
        let params = vec![run_id.into(), from_index.into(), limit.into()];
        let rows = self.query(sql::STEPS, params).await?;
        Ok(rows
            .into_iter()
            .map(decode::step)
            .collect::<Result<_, _>>()?)
    }
}
