//! Rows to records. A row that can't be read is [`Corrupt`] and names its table, never a panic.

use super::{
    EventRecord, Lease, LogHome, LogRow, Message, MessageStatus, Role, Run, RunState, Session,
    Status, Step, Value,
};
use serde::de::DeserializeOwned;

/// A stored row can't be read as this code understands it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of {table} can't be read at column {column} (key {key})")]
pub struct Corrupt {
    /// The table.
    pub table: &'static str,
    /// Which column of the statement, from 0.
    pub column: usize,
    /// The row's first column.
    pub key: String,
}

/// Reads one row's columns in order.
pub(crate) struct Columns {
    table: &'static str,
    key: String,
    at: usize,
    values: std::vec::IntoIter<Value>,
}

impl Columns {
    pub(crate) fn new(table: &'static str, values: Vec<Value>) -> Self {
        let key = match values.first() {
            Some(Value::Text(text)) => text.clone(),
            Some(Value::Integer(integer)) => integer.to_string(),
            Some(Value::Null) | None => String::new(),
        };
        Columns {
            table,
            key,
            at: 0,
            values: values.into_iter(),
        }
    }

    fn corrupt(&self) -> Corrupt {
        Corrupt {
            table: self.table,
            column: self.at.saturating_sub(1),
            key: self.key.clone(),
        }
    }

    fn next(&mut self) -> Value {
        self.at += 1;
        self.values.next().unwrap_or(Value::Null)
    }

    pub(crate) fn text(&mut self) -> Result<String, Corrupt> {
        self.optional_text()?.ok_or_else(|| self.corrupt())
    }

    pub(crate) fn optional_text(&mut self) -> Result<Option<String>, Corrupt> {
        match self.next() {
            Value::Text(text) => Ok(Some(text)),
            Value::Null => Ok(None),
            Value::Integer(_) => Err(self.corrupt()),
        }
    }

    pub(crate) fn integer(&mut self) -> Result<i64, Corrupt> {
        self.optional_integer()?.ok_or_else(|| self.corrupt())
    }

    pub(crate) fn optional_integer(&mut self) -> Result<Option<i64>, Corrupt> {
        match self.next() {
            Value::Integer(integer) => Ok(Some(integer)),
            Value::Null => Ok(None),
            Value::Text(_) => Err(self.corrupt()),
        }
    }

    pub(crate) fn count(&mut self) -> Result<u64, Corrupt> {
        u64::try_from(self.integer()?).map_err(|_| self.corrupt())
    }

    pub(crate) fn small(&mut self) -> Result<u32, Corrupt> {
        u32::try_from(self.integer()?).map_err(|_| self.corrupt())
    }

    pub(crate) fn json<T: DeserializeOwned>(&mut self) -> Result<T, Corrupt> {
        let text = self.text()?;
        serde_json::from_str(&text).map_err(|_| self.corrupt())
    }

    pub(crate) fn optional_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Corrupt> {
        match self.optional_text()? {
            Some(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|_| self.corrupt()),
            None => Ok(None),
        }
    }

    pub(crate) fn named<T>(&mut self, parse: fn(&str) -> Option<T>) -> Result<T, Corrupt> {
        let text = self.text()?;
        parse(&text).ok_or_else(|| self.corrupt())
    }
}

/// In the order of `sql::SESSION_COLUMNS`.
pub(crate) fn session(values: Vec<Value>) -> Result<Session, Corrupt> {
    let mut row = Columns::new("sessions", values);
    Ok(Session {
        session_key: row.text()?,
        tenant: row.text()?,
        session: row.text()?,
        birth: row.text()?,
        turn_count: row.count()?,
        first_turn: row.count()?,
        created_at: row.integer()?,
        updated_at: row.integer()?,
        deleted_at: row.optional_integer()?,
    })
}

/// In the order of `sql::RUN_COLUMNS`.
pub(crate) fn run(values: Vec<Value>) -> Result<Run, Corrupt> {
    let mut row = Columns::new("runs", values);
    let run_id = row.text()?;
    let tenant = row.text()?;
    let session = row.text()?;
    let turn_index = row.count()?;
    let user = row.optional_text()?;
    let key = row.optional_text()?;
    let input_hash = row.text()?;
    let request = row.text()?;
    let upstream = row.text()?;
    let status = row.named(Status::parse)?;
    let attempts = row.json()?;
    let epoch = row.count()?;
    let holder = row.optional_text()?;
    let until = row.optional_integer()?;
    let state = RunState {
        status,
        attempts,
        handle: row.optional_json()?,
        outcome: row.optional_json()?,
        usage: row.optional_text()?,
        last_error: row.optional_json()?,
        line_count: row.count()?,
        wake_at: row.optional_integer()?,
        finished_at: None,
    };
    let rev = row.count()?;
    let cancel = row.optional_json()?;
    let upstream_cancel = row.optional_json()?;
    let log_home = row.named(LogHome::parse)?;
    let created_at = row.integer()?;
    let updated_at = row.integer()?;
    let finished_at = row.optional_integer()?;
    Ok(Run {
        run_id,
        tenant,
        session,
        turn_index,
        user,
        key,
        input_hash,
        request,
        upstream,
        created_at,
        state: RunState {
            finished_at,
            ..state
        },
        epoch,
        lease: match (holder, until) {
            (Some(holder), Some(until)) => Some(Lease { holder, until }),
            _ => None,
        },
        cancel,
        upstream_cancel,
        log_home,
        rev,
        updated_at,
    })
}

/// In the order of `sql::LOG_COLUMNS`.
pub(crate) fn log_row(values: Vec<Value>) -> Result<LogRow, Corrupt> {
    let mut row = Columns::new("stream_log", values);
    Ok(LogRow {
        first_seq: row.count()?,
        count: row.count()?,
        epoch: row.count()?,
        attempt: row.small()?,
        cursor: row.optional_text()?,
        frame_ids: row.text()?,
        lines: row.text()?,
    })
}

/// In the order of `sql::MESSAGE_COLUMNS`.
pub(crate) fn message(values: Vec<Value>) -> Result<Message, Corrupt> {
    let mut row = Columns::new("messages", values);
    let turn_index = row.count()?;
    let position = row.integer()?;
    let role = Role::at(position).ok_or_else(|| row.corrupt())?;
    let content = row.text()?;
    let status = row.named(MessageStatus::parse)?;
    let retry_of = row
        .optional_integer()?
        .map(|turn| u64::try_from(turn).map_err(|_| row.corrupt()))
        .transpose()?;
    Ok(Message {
        turn_index,
        role,
        content,
        status,
        retry_of,
        rev: row.count()?,
        created_at: row.integer()?,
    })
}

/// In the order of `sql::STEP_COLUMNS`.
pub(crate) fn step(values: Vec<Value>) -> Result<Step, Corrupt> {
    let mut row = Columns::new("steps", values);
    Ok(Step {
        index: row.small()?,
        intent: row.text()?,
        kind: row.text()?,
        status: row.text()?,
        attempts: row.small()?,
        result: row.optional_text()?,
        error: row.optional_text()?,
        rev: row.count()?,
        started_at: row.integer()?,
        completed_at: row.optional_integer()?,
        detail: row.optional_json()?.unwrap_or_default(),
    })
}

/// In the order of `sql::EVENT_COLUMNS`.
pub(crate) fn event(values: Vec<Value>) -> Result<EventRecord, Corrupt> {
    let mut row = Columns::new("events", values);
    Ok(EventRecord {
        key: row.text()?,
        payload: row.text()?,
        rev: row.count()?,
        emitted_at: row.integer()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_wrong_shape_names_its_table_column_and_key() {
        let values = vec![Value::Integer(3), Value::from("x")];
        assert_eq!(
            log_row(values),
            Err(Corrupt {
                table: "stream_log",
                column: 1,
                key: "3".into()
            })
        );
    }

    #[test]
    fn missing_columns_are_corrupt_not_a_panic() {
        assert!(run(vec![]).is_err());
        assert!(session(vec![Value::from("a")]).is_err());
    }
}
