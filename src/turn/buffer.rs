//! Lines on their way into the log, and what the drain knows of those that are in it.
//!
//! Owns numbering, the frame ids of the present attempt, the cursor, and the transcript.
//! Invariant: seq numbers have no gaps, and a frame id of the present attempt makes one line.

use super::Transcript;
use crate::caps;
use crate::store::{self, Lines, Store};
use crate::wire::line;
use std::collections::BTreeSet;

/// The uncommitted tail of a run's log.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    text: String,
    frame_ids: Vec<Option<String>>,
    committed_seq: u64,
    log_bytes: usize,
    seen: BTreeSet<String>,
    cursor: Option<String>,
    transcript: Transcript,
}

impl Buffer {
    /// Rebuilds the state behind the last line in the log.
    pub(crate) async fn recover<S: Store>(
        store: &S,
        run_id: &str,
        attempt: u32,
    ) -> Result<Self, store::Error> {
        let mut buffer = Buffer::default();
        loop {
            let page = store
                .log(run_id, buffer.committed_seq, caps::LOG_PAGE_ROWS)
                .await?;
            let before = buffer.committed_seq;
            for row in &page {
                if row.first_seq < before {
                    continue;
                }
                buffer.committed_seq = row.next_seq();
                buffer.log_bytes += row.lines.len();
                if row.attempt == attempt {
                    buffer.take_row(row);
                }
            }
            if buffer.committed_seq == before {
                return Ok(buffer);
            }
        }
    }

    fn take_row(&mut self, row: &store::LogRow) {
        // Ids this code wrote itself; a row it can't read only costs the tolerance for repeats.
        let ids: Vec<Option<String>> = serde_json::from_str(&row.frame_ids).unwrap_or_default();
        self.seen.extend(ids.into_iter().flatten());
        if row.cursor.is_some() {
            self.cursor.clone_from(&row.cursor);
        }
        for line in row.lines.lines() {
            if let Some((kind, data)) = line::parse_kind_and_data(line) {
                self.transcript.take(kind, data);
            }
        }
    }

    /// Adds a frame's line unless the log has that frame; true when it was new.
    pub(crate) fn push(&mut self, frame_id: String, kind: &str, data: Option<&str>) -> bool {
        if self.seen.contains(&frame_id) {
            return false;
        }
        self.push_line(&line::upstream(self.next_seq(), kind, data));
        self.transcript.take(kind, data.unwrap_or("null"));
        self.seen.insert(frame_id.clone());
        self.frame_ids.push(Some(frame_id.clone()));
        self.cursor = Some(frame_id);
        true
    }

    /// Adds a line of our own under an id, unless the log has one under it.
    pub(crate) fn push_own_once(&mut self, id: String, line: String) {
        if self.seen.insert(id.clone()) {
            self.push_line(&line);
            self.frame_ids.push(Some(id));
        }
    }

    /// Whether the log has a line under this id.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.seen.contains(id)
    }

    /// Adds a line of our own.
    pub(crate) fn push_own(&mut self, line: String) {
        self.push_line(&line);
        self.frame_ids.push(None);
    }

    fn push_line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.log_bytes += line.len() + 1;
    }

    /// A frame that makes no line moves the cursor only.
    pub(crate) fn advance(&mut self, frame_id: String) {
        if self.cursor.is_none() {
            self.cursor = Some(frame_id);
        }
    }

    /// A new attempt: its frames are another execution's.
    pub(crate) fn restart(&mut self) {
        self.seen.clear();
        self.cursor = None;
        self.transcript = Transcript::default();
    }

    /// What is buffered, as a commit takes it.
    pub(crate) fn lines(&self, attempt: u32) -> Option<Lines> {
        (!self.frame_ids.is_empty()).then(|| Lines {
            attempt,
            cursor: self.cursor.clone(),
            frame_ids: self.frame_ids.clone(),
            text: self.text.clone(),
        })
    }

    /// What was buffered is durable.
    pub(crate) fn committed(&mut self) {
        self.committed_seq = self.next_seq();
        self.text.clear();
        self.frame_ids.clear();
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.committed_seq + self.frame_ids.len() as u64
    }

    pub(crate) const fn committed_seq(&self) -> u64 {
        self.committed_seq
    }

    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(crate) const fn log_bytes(&self) -> usize {
        self.log_bytes
    }

    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    pub(crate) const fn transcript(&self) -> &Transcript {
        &self.transcript
    }
}
