//! A run's log as a stream of events, each with an id of its producer and a payload.
//!
//! Owns ids and payloads as they stand in the log's rows, and which ids an attempt has logged. An
//! id is an attempt's own: what a fresh attempt yields under an id of an earlier one is new.

use super::{Error, commit};
use crate::caps;
use crate::store::{self, Changes, Corrupt, Fence, Lines, LogRow, Store};
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// One event of a run's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEvent {
    /// Its place, from 0.
    pub seq: u64,
    /// The epoch that wrote it.
    pub epoch: u64,
    /// The attempt that it came from.
    pub attempt: u32,
    /// The producer's id; lines of our own have none.
    pub event_id: Option<String>,
    /// Raw JSON of one line.
    pub payload: String,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// It was new.
    pub accepted: bool,
    /// The event that has its id.
    pub record: StreamEvent,
}

/// Some of a run's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPage {
    /// In order.
    pub events: Vec<StreamEvent>,
    /// The seq to read on after; none at the end of the log.
    pub next: Option<u64>,
}

/// What one attempt has logged, as its writer knows it: the log's end and the ids, so that an append
/// reads nothing. It holds every id of the attempt in memory.
#[derive(Clone, Debug)]
pub struct StreamLog {
    run_id: String,
    attempt: u32,
    end: u64,
    seen: BTreeMap<String, u64>,
}

impl StreamLog {
    /// Reads what attempt number `attempt` has logged, page by page.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn open<S: Store>(store: &S, run_id: &str, attempt: u32) -> Result<Self, Error> {
        let mut log = StreamLog {
            run_id: run_id.to_owned(),
            attempt,
            end: 0,
            seen: BTreeMap::new(),
        };
        log.catch_up(store).await?;
        Ok(log)
    }

    /// The seq behind the last event.
    pub const fn end(&self) -> u64 {
        self.end
    }

    async fn catch_up<S: Store>(&mut self, store: &S) -> Result<(), Error> {
        loop {
            let rows = store
                .log(&self.run_id, self.end, caps::LOG_PAGE_ROWS)
                .await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                self.end = row.next_seq();
                if row.attempt == self.attempt {
                    let ids = frame_ids(&row)?.into_iter();
                    let placed = (row.first_seq..).zip(ids);
                    let known = placed.filter_map(|(seq, id)| Some((id?, seq)));
                    self.seen.extend(known);
                }
            }
        }
    }

    /// The event that this attempt has logged under `event_id`.
    async fn known<S: Store>(&self, store: &S, event_id: &str) -> Result<Option<Appended>, Error> {
        let Some(seq) = self.seen.get(event_id) else {
            return Ok(None);
        };
        let rows = store.log(&self.run_id, *seq, 1).await?;
        let row = rows.first().ok_or(store::Error::Missing)?;
        let record = events(row)?.into_iter().find(|event| event.seq == *seq);
        Ok(Some(Appended {
            accepted: false,
            record: record.ok_or(store::Error::Missing)?,
        }))
    }
}

/// Logs an event, unless this attempt has logged its id before.
///
/// # Errors
/// [`Error::InvalidEvent`]; [`Error::Store`], with `SeqMismatch` when another task of this very
/// acquisition logged something else first: `log` knows it by then, and the append may be repeated.
pub async fn append_stream_event<S: Store>(
    store: &S,
    log: &mut StreamLog,
    fence: Fence,
    event_id: &str,
    payload: &str,
    now: i64,
) -> Result<Appended, Error> {
    if !fits(event_id, payload) {
        return Err(Error::InvalidEvent);
    }
    if let Some(known) = log.known(store, event_id).await? {
        return Ok(known);
    }
    let lines = Lines {
        attempt: log.attempt,
        cursor: Some(event_id.to_owned()),
        frame_ids: vec![Some(event_id.to_owned())],
        text: format!("{payload}\n"),
    };
    let changes = Changes {
        lines: Some(lines),
        ..Changes::default()
    };
    match commit(store, &log.run_id, fence, log.end, &changes, now).await {
        Ok(()) => {}
        Err(Error::Store(mismatch @ store::Error::SeqMismatch { .. })) => {
            log.catch_up(store).await?;
            let known = log.known(store, event_id).await?;
            return known.ok_or(mismatch.into());
        }
        Err(error) => return Err(error),
    }
    let seq = log.end;
    log.end = seq.saturating_add(1);
    log.seen.insert(event_id.to_owned(), seq);
    Ok(Appended {
        accepted: true,
        record: StreamEvent {
            seq,
            epoch: fence.epoch,
            attempt: log.attempt,
            event_id: Some(event_id.to_owned()),
            payload: payload.to_owned(),
        },
    })
}

/// A line must hold the payload and nothing else, also for readers who know no ids.
fn fits(event_id: &str, payload: &str) -> bool {
    (1..=caps::FRAME_ID_BYTES).contains(&event_id.len())
        && payload.len() <= caps::FRAME_BYTES
        && !payload.contains(['\n', '\r'])
        && serde_json::from_str::<IgnoredAny>(payload).is_ok()
}

/// Events of a run strictly after seq `after`, all attempts', at most `limit` and never more than
/// [`caps::LIST_LIMIT`]. Without `after` from the first on.
///
/// # Errors
/// [`Error::Store`].
pub async fn read_stream_events<S: Store>(
    store: &S,
    run_id: &str,
    after: Option<u64>,
    limit: u32,
) -> Result<StreamPage, Error> {
    let from = after.map_or(0, |after| after.saturating_add(1));
    let most = limit.clamp(1, caps::LIST_LIMIT) as usize;
    let rows = store.log(run_id, from, caps::LOG_PAGE_ROWS).await?;
    let mut more = rows.len() >= caps::LOG_PAGE_ROWS as usize;
    let mut page = Vec::new();
    for row in &rows {
        page.extend(events(row)?.into_iter().filter(|event| event.seq >= from));
        if page.len() > most {
            page.truncate(most);
            more = true;
            break;
        }
    }
    Ok(StreamPage {
        next: page.last().map(|event| event.seq).filter(|_| more),
        events: page,
    })
}

fn events(row: &LogRow) -> Result<Vec<StreamEvent>, Error> {
    let ids = frame_ids(row)?;
    let lines = row.lines.split_terminator('\n');
    let placed = (row.first_seq..).zip(ids.into_iter().zip(lines));
    Ok(placed
        .map(|(seq, (event_id, line))| StreamEvent {
            seq,
            epoch: row.epoch,
            attempt: row.attempt,
            event_id,
            payload: line.to_owned(),
        })
        .collect())
}

/// The ids of a row, one or none a line.
fn frame_ids(row: &LogRow) -> Result<Vec<Option<String>>, Error> {
    let ids: Option<Vec<Option<String>>> = serde_json::from_str(&row.frame_ids).ok();
    let whole = ids.filter(|ids| {
        let lines = row.lines.split_terminator('\n').count();
        ids.len() == lines && lines as u64 == row.count
    });
    let corrupt = || Corrupt {
        table: "stream_log",
        column: FRAME_IDS_COLUMN,
        key: row.first_seq.to_string(),
    };
    Ok(whole.ok_or_else(|| store::Error::from(corrupt()))?)
}

/// Where the statement that reads a log has the ids, from 0.
const FRAME_IDS_COLUMN: usize = 5;
