//! A log as the body of an answer: a view over a follower.
//!
//! Owns when a body beats: after a time without a byte, whatever its follower read meanwhile. It doesn't own
//! what an item is, which is the view's, nor when the lines end. Invariant: a body holds what the view
//! gives for the lines that its reader doesn't have, in order, and ends cleanly only where its follower does.

use super::follow::{Follower, FollowerCut, Lines, Next, Source};
use crate::caps;
use crate::wire::view::{AnyView, Items, Start, View};
use futures::Stream;
use futures::stream;

/// Why a body can't begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoBody {
    /// The log gives fewer items than the reader says that it has.
    #[error("the cursor lies beyond the log's end")]
    OutOfRange,
    /// The lines can't be read here.
    #[error(transparent)]
    Cut(#[from] FollowerCut),
}

/// The body of one answer.
#[derive(Debug)]
pub struct Body<S, V = AnyView> {
    follower: Follower<S>,
    view: V,
    items: Items,
    /// When the last byte went out, Unix ms.
    heard_at: i64,
}

/// The first line that a follower reads for a view that begins so.
pub const fn first_line(start: Start) -> u64 {
    match start {
        Start::Line(seq) => seq,
        Start::Item(_) => 0,
    }
}

impl<S: Source, V: View> Body<S, V> {
    /// A body of what `view` gives behind `start`. `follower` begins at [`first_line`]; what the view needs
    /// of the lines before is folded here, so that a cursor that the log doesn't reach is refused before
    /// there is an answer.
    ///
    /// # Errors
    /// [`NoBody`].
    pub async fn of(follower: Follower<S>, view: V, start: Start) -> Result<Self, NoBody> {
        let heard_at = follower.source().now_ms();
        let mut body = Body {
            follower,
            view,
            items: match start {
                Start::Line(_) => Items::default(),
                Start::Item(have) => Items::behind(have),
            },
            heard_at,
        };
        while !body.items.has_caught_up() {
            let lines = body.follower.present().await?;
            body.fold(&lines.ok_or(NoBody::OutOfRange)?);
        }
        Ok(body)
    }

    /// Where its lines are.
    pub const fn source(&self) -> &S {
        self.follower.source()
    }

    /// Its media type.
    pub fn content_type(&self) -> &'static str {
        self.view.content_type()
    }

    /// Its reader has all there is.
    pub fn is_over(&self) -> bool {
        self.follower.is_over() && self.items.is_empty()
    }

    fn fold(&mut self, lines: &Lines) {
        for (seq, line) in lines.iter() {
            self.view.line(seq, line, &mut self.items);
        }
    }

    /// The next bytes: whole items, or a heartbeat after long quiet; `None` behind the end.
    ///
    /// # Errors
    /// [`FollowerCut`] when the lines can't be read on here.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, FollowerCut> {
        loop {
            if let Some(bytes) = self.items.take() {
                self.heard_at = self.follower.source().now_ms();
                return Ok(Some(bytes));
            }
            let until = self.heard_at.saturating_add_unsigned(caps::HEARTBEAT_MS);
            let is_quiet = match self.follower.next(until).await? {
                Next::End => return Ok(None),
                Next::Quiet => true,
                Next::Lines(lines) => {
                    self.fold(&lines);
                    // Lines of which the view gives nothing are no bytes.
                    self.items.is_empty() && self.follower.source().now_ms() >= until
                }
            };
            if is_quiet {
                self.heard_at = self.follower.source().now_ms();
                return Ok(Some(self.view.heartbeat().as_bytes().to_vec()));
            }
        }
    }

    /// The body as a stream: it reads when it is polled, and dropping it changes nothing.
    pub fn into_stream(self) -> impl Stream<Item = Result<Vec<u8>, FollowerCut>> {
        stream::unfold(Some(self), async |body| {
            let mut body = body?;
            match body.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(body))),
                Ok(None) => None,
                Err(cut) => Some((Err(cut), None)),
            }
        })
    }
}

#[cfg(test)]
mod tests;
