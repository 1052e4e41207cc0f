//! What only a session object's own storage does: shipping marks, hydration, retention, erasure.
//!
//! Owns the operations over the schema's `object` section. Invariant: a run leaves `unshipped`
//! only when it is over and D1 is known to hold all of it.

use super::encode::{
    event_params, log_params, message_params, run_params, session_params, step_params,
};
use super::{
    Driver, Error, EventRecord, LogHome, LogRow, Message, Run, Session, SqlStore, Statement, Step,
    decode, sql,
};

/// A run of which D1 may lack something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unshipped {
    /// The run.
    pub run_id: String,
    /// The rev that D1 held when this was written; 0 for none.
    pub rev: u64,
    /// The lines that D1 held then.
    pub lines: u64,
}

/// What a new life of a session's object takes over from D1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hydration {
    /// Runs.
    pub runs: Vec<Run>,
    /// Messages.
    pub messages: Vec<Message>,
    /// The open run's rows.
    pub log: Vec<(String, LogRow)>,
    /// The open run's steps.
    pub steps: Vec<(String, Step)>,
    /// The open run's events.
    pub events: Vec<(String, EventRecord)>,
    /// The open run, as far as D1 has it.
    pub unshipped: Vec<Unshipped>,
}

impl<D: Driver> SqlStore<D> {
    /// Whether anything was ever stored here; asking writes nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn has_schema(&self) -> Result<bool, Error> {
        let rows = self.query(sql::HAS_SCHEMA, vec![]).await?;
        let row = rows.into_iter().next().unwrap_or_default();
        Ok(decode::Columns::new("sqlite_master", row).count()? > 0)
    }

    /// The object's session.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn sole_session(&self) -> Result<Option<Session>, Error> {
        let rows = self.query(sql::SOLE_SESSION, vec![]).await?;
        Ok(rows.into_iter().next().map(decode::session).transpose()?)
    }

    /// Runs with something to ship, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn unshipped(&self, limit: u32) -> Result<Vec<Unshipped>, Error> {
        let rows = self.query(sql::UNSHIPPED, vec![limit.into()]).await?;
        rows.into_iter()
            .map(|row| {
                let mut row = decode::Columns::new("unshipped", row);
                Ok(Unshipped {
                    run_id: row.text()?,
                    rev: row.count()?,
                    lines: row.count()?,
                })
            })
            .collect()
    }

    /// D1 holds this much of a run: if that is all of it and the run is over, it is shipped.
    /// Of an open run nothing is written: what a new life ships again, D1 recognises.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn mark_shipped(&self, run_id: &str, rev: u64, lines: u64) -> Result<(), Error> {
        let params = vec![run_id.into(), rev.into(), lines.into()];
        self.one(sql::FORGET_SHIPPED, params).await?;
        Ok(())
    }

    /// A turn's messages that changed since `rev`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn messages_since(
        &self,
        session_key: &str,
        turn_index: u64,
        rev: u64,
    ) -> Result<Vec<Message>, Error> {
        let params = vec![session_key.into(), turn_index.into(), rev.into()];
        let rows = self.query(sql::MESSAGES_SINCE, params).await?;
        Ok(rows
            .into_iter()
            .map(decode::message)
            .collect::<Result<_, _>>()?)
    }

    /// A run's steps that changed since `rev`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn steps_since(
        &self,
        run_id: &str,
        rev: u64,
        limit: u32,
    ) -> Result<Vec<Step>, Error> {
        let params = vec![run_id.into(), rev.into(), limit.into()];
        let rows = self.query(sql::STEPS_SINCE, params).await?;
        Ok(rows
            .into_iter()
            .map(decode::step)
            .collect::<Result<_, _>>()?)
    }

    /// A run's events emitted since `rev`, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn events_since(
        &self,
        run_id: &str,
        rev: u64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, Error> {
        let params = vec![run_id.into(), rev.into(), limit.into()];
        let rows = self.query(sql::EVENTS_SINCE, params).await?;
        Ok(rows
            .into_iter()
            .map(decode::event)
            .collect::<Result<_, _>>()?)
    }

    /// Whether an event is there that a step of the run still waits for.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn has_awaited_event(&self, run_id: &str) -> Result<bool, Error> {
        let params = vec![run_id.into()];
        let rows = self.query(sql::HAS_AWAITED_EVENT, params).await?;
        let row = rows.into_iter().next().unwrap_or_default();
        Ok(decode::Columns::new("events", row).count()? > 0)
    }

    /// Runs whose upstream is still to be told of a cancel.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn pending_cancels(&self, limit: u32) -> Result<Vec<Run>, Error> {
        let rows = self.query(sql::PENDING_CANCELS, vec![limit.into()]).await?;
        Ok(rows
            .into_iter()
            .map(decode::run)
            .collect::<Result<_, _>>()?)
    }

    /// Notes that an open run was looked at and will be again by `wake_at`, Unix ms.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn looked_at(&self, run_id: &str, wake_at: i64, now: i64) -> Result<(), Error> {
        let params = vec![run_id.into(), wake_at.into(), now.into()];
        self.one(sql::LOOKED_AT, params).await?;
        Ok(())
    }

    /// When the oldest finished run that still has its lines here finished, Unix ms.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn oldest_log(&self) -> Result<Option<i64>, Error> {
        let rows = self.query(sql::OLDEST_LOG, vec![]).await?;
        let row = rows.into_iter().next().unwrap_or_default();
        Ok(decode::Columns::new("runs", row).optional_integer()?)
    }

    /// Drops the lines of up to `limit` shipped runs that finished by `before`; how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn drop_logs(&self, before: i64, limit: u32) -> Result<usize, Error> {
        let params = vec![before.into(), limit.into()];
        let rows = self.query(sql::EXPIRING_LOGS, params).await?;
        let mut batch = Vec::new();
        for row in rows {
            let run_id = decode::Columns::new("runs", row).text()?;
            batch.extend(drop_log(&run_id, LogHome::D1));
        }
        let dropped = batch.len() / 2;
        if dropped > 0 {
            self.driver().apply(batch).await?;
        }
        Ok(dropped)
    }

    /// Takes over what D1 holds; with `session` last, the storage counts as alive.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn hydrate(
        &self,
        session_key: &str,
        part: &Hydration,
        session: Option<&Session>,
    ) -> Result<(), Error> {
        let mut batch = Vec::new();
        let mut add = |sql, params| batch.push(Statement { sql, params });
        for run in &part.runs {
            add(sql::HYDRATE_RUN, run_params(run));
        }
        for message in &part.messages {
            add(sql::HYDRATE_MESSAGE, message_params(session_key, message));
        }
        for (run_id, row) in &part.log {
            let mut params = vec![run_id.into()];
            params.extend(log_params(row));
            add(sql::HYDRATE_LINES, params);
        }
        for (run_id, step) in &part.steps {
            let mut params = vec![run_id.into()];
            params.extend(step_params(step));
            add(sql::HYDRATE_STEP, params);
        }
        for (run_id, event) in &part.events {
            let mut params = vec![run_id.into()];
            params.extend(event_params(event));
            add(sql::HYDRATE_EVENT, params);
        }
        for known in &part.unshipped {
            let params = vec![(&known.run_id).into(), known.rev.into(), known.lines.into()];
            add(sql::HYDRATE_UNSHIPPED, params);
        }
        if let Some(session) = session {
            add(sql::HYDRATE_SESSION, session_params(session));
        }
        if !batch.is_empty() {
            self.driver().apply(batch).await?;
        }
        Ok(())
    }

    /// Sets the tombstone that keeps the turn count; the content goes with
    /// [`SqlStore::forget_content`].
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn bury(&self, session_key: &str, now: i64) -> Result<(), Error> {
        self.one(sql::TOMBSTONE, vec![session_key.into(), now.into()])
            .await?;
        Ok(())
    }

    /// Erases everything but the session itself.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn forget_content(&self) -> Result<(), Error> {
        self.driver().apply(forget_content().collect()).await?;
        Ok(())
    }

    /// Forgets everything: another life of this session owns it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn forget(&self) -> Result<(), Error> {
        let mut batch: Vec<Statement> = forget_content().collect();
        batch.push(Statement {
            sql: sql::FORGET_SESSION,
            params: vec![],
        });
        self.driver().apply(batch).await?;
        Ok(())
    }
}

fn forget_content() -> impl Iterator<Item = Statement> {
    sql::FORGET.into_iter().map(|sql| Statement {
        sql,
        params: vec![],
    })
}

/// The two statements that let a run's lines go.
fn drop_log(run_id: &str, home: LogHome) -> [Statement; 2] {
    [
        Statement {
            sql: sql::DROP_LOG,
            params: vec![run_id.into()],
        },
        Statement {
            sql: sql::SET_LOG_HOME,
            params: vec![run_id.into(), home.name().into()],
        },
    ]
}
