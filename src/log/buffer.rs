//! Lines on their way into the log, and what the drain knows of those that are in it.
//!
//! Owns numbering, the frame ids of the present attempt, the cursor, and the transcript.
//! Invariant: seq numbers have no gaps, a frame id of the present attempt makes one line, and no
//! stored cursor is ahead of a frame whose text is held back.

use super::Transcript;
use crate::caps;
use crate::json;
use crate::store::{self, Lines, Store};
use crate::wire::content::{PART_UPDATED, RESULT};
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
    /// What the cursor was before the first frame that was held back: nothing that is stored may
    /// be ahead of it, or a new life would not ask for that frame again.
    held_after: Option<Option<String>>,
    /// The text is the final one.
    settled: bool,
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
        let mut own = ids.iter().map(Option::is_none);
        for line in row.lines.lines() {
            let is_own = own.next().unwrap_or(false);
            if let Some((kind, data)) = line::parse_kind_and_data(line) {
                self.transcript.take(kind, data);
                // No line of ours but the final text is of this type.
                self.settled |= is_own && kind == PART_UPDATED;
            }
        }
        self.seen.extend(ids.into_iter().flatten());
        if row.cursor.is_some() {
            self.cursor.clone_from(&row.cursor);
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

    /// Takes a frame's text in without a line; true when it was new.
    pub(crate) fn hold(&mut self, frame_id: String, kind: &str, data: &str) -> bool {
        if self.seen.contains(&frame_id) {
            return false;
        }
        self.held_after.get_or_insert(self.cursor.clone());
        self.transcript.take(kind, data);
        // Held text counts as if it stood in the log: both are this drain's memory.
        self.log_bytes += data.len();
        self.seen.insert(frame_id.clone());
        self.cursor = Some(frame_id);
        true
    }

    /// Adds the lines that stand for all text that was held back.
    pub(crate) fn settle(&mut self, text: &str) {
        let text = json::quote(text);
        let (part, has_result) = self.transcript.forget_text();
        let id = part.unwrap_or_else(|| "\"text\"".to_owned());
        let part = format!(r#"{{"part":{{"id":{id},"type":"text","text":{text}}}}}"#);
        self.push_text(PART_UPDATED, &part);
        if has_result {
            self.push_text(RESULT, &format!(r#"{{"finalText":{text}}}"#));
        }
        self.settled = true;
    }

    fn push_text(&mut self, kind: &str, data: &str) {
        self.push_own(line::upstream(self.next_seq(), kind, Some(data)));
        self.transcript.take(kind, data);
    }

    /// The final text stands in the log or is about to.
    pub(crate) const fn is_settled(&self) -> bool {
        self.settled
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
        self.held_after = None;
        self.settled = false;
        self.transcript = Transcript::default();
    }

    /// What is buffered, as a commit takes it.
    pub(crate) fn lines(&self, attempt: u32) -> Option<Lines> {
        (!self.frame_ids.is_empty()).then(|| Lines {
            attempt,
            cursor: self.held_after.as_ref().unwrap_or(&self.cursor).clone(),
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
