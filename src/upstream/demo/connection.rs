//! One connection to the demo agent.
//!
//! Owns what a connection is sent and when, its cuts and its stall included. It doesn't own
//! the execution, which goes on by the clock whether or not anything is connected.
//! Invariant: a connection sends the frames after its cursor, each once, in order, and
//! none before it is due.

use super::{DemoScript, encode};

/// A place in the script, and what this connection has sent of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoConnection {
    /// The index of the next frame to send.
    next: u64,
    sent: u64,
    /// No connection to this execution came before.
    first: bool,
}

/// What the object has to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this text, whole events, and ask again.
    Send(String),
    /// Ask again so many milliseconds later. A cancel may come meanwhile, so the wait is
    /// [`WAIT_MOST_MS`] at most.
    Wait(u64),
    /// Break the connection off, as `cutAfter` asked.
    Cut,
    /// Keep the connection open and never send anything on it again, as `stallAfter` asked.
    Stall,
    /// Close the connection: the last frame is sent.
    End,
}

/// A cursor that is no frame's id, or one of a frame that doesn't exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is no frame of this execution")]
pub struct UnknownCursor;

/// Frames of one [`Next::Send`]: an overdue script goes out in pieces of a few dozen KiB.
const FRAMES_AT_ONCE: u64 = 256;
/// How late a connection may notice a cancel.
pub const WAIT_MOST_MS: u64 = 1_000;

impl DemoConnection {
    /// A connection that goes on strictly after `cursor`, or begins at the first frame.
    /// `first` says that the execution has had none before.
    ///
    /// # Errors
    /// [`UnknownCursor`], which the agent answers like any bad request.
    pub fn open(
        script: &DemoScript,
        elapsed_ms: u64,
        cursor: Option<&str>,
        first: bool,
    ) -> Result<Self, UnknownCursor> {
        let next = match cursor {
            None => 0,
            Some(cursor) => {
                let index = cursor
                    .strip_prefix('f')
                    .and_then(|index| index.parse().ok());
                let index: u64 = index.ok_or(UnknownCursor)?;
                // `f07` and `f+7` parse too, but no frame has these ids.
                if cursor != format!("f{index}") || index >= script.existing(elapsed_ms) {
                    return Err(UnknownCursor);
                }
                index + 1
            }
        };
        Ok(DemoConnection {
            next,
            sent: 0,
            first,
        })
    }

    /// What to do so long after the execution's start. `script` is the execution's present
    /// one: cancelled, if it was cancelled since.
    pub fn next(&mut self, script: &DemoScript, elapsed_ms: u64) -> Next {
        if self.next >= script.frame_count() {
            return Next::End;
        }
        let stall_after = script.options.stall_after.filter(|_| self.first);
        let cut_after = script.options.cut_after;
        if stall_after.is_some_and(|frames| self.sent >= frames) {
            return Next::Stall;
        }
        if cut_after.is_some_and(|frames| self.sent >= frames) {
            return Next::Cut;
        }
        let allowed = [stall_after, cut_after]
            .into_iter()
            .flatten()
            .map(|frames| frames - self.sent);
        let most = allowed.fold(FRAMES_AT_ONCE, u64::min);
        let end = script.existing(elapsed_ms).min(self.next + most);
        if end <= self.next {
            let wait_ms = script.due_ms(self.next).saturating_sub(elapsed_ms);
            return Next::Wait(wait_ms.clamp(1, WAIT_MOST_MS));
        }
        let frames = (self.next..end).filter_map(|index| script.frame(index));
        let text = frames.map(|frame| encode(&frame)).collect();
        self.sent += end - self.next;
        self.next = end;
        Next::Send(text)
    }
}

/// Milliseconds since an execution's start, for [`DemoScript`] and [`DemoConnection`]; none
/// when the clock stands before it, as another machine's may.
pub fn elapsed_ms(now_ms: i64, started_at_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(started_at_ms)).unwrap_or(0)
}
