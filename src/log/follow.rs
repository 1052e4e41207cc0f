//! The one reader of a run's log: lines from a seq on, then more as they come.
//!
//! Owns when lines are read, when a follower is over, and when it is cut. Where the lines are and how it
//! learns of more is its [`Source`]'s; how they are shown is above it, and nothing here hangs on that. It
//! writes nothing, and who drains the run doesn't know it. Invariant: a follower gives exactly the log's
//! lines from its seq on, in order, at its own pace, and ends without an error only behind the terminal
//! line, or at the log's present end where that was asked for.

use crate::store::LogRow;
use crate::wire::line;
use std::future::Future;

/// The lines can't be read on here: the body is to be cut without an ending, so that its client asks
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream was cut; follow again")]
pub struct FollowerCut;

/// How a run stands that a follower has read to the log's present end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is over and has so many lines.
    Over {
        /// Its line count.
        lines: u64,
    },
    /// It goes on.
    Open,
    /// It waits for an event, and nobody works on it.
    Suspended,
}

/// Where a follower's lines are: an object, D1, any store.
pub trait Source {
    /// What it knows before it reads: a change that comes later ends the wait that is given it.
    type Mark;

    /// Takes a mark, before lines are read.
    ///
    /// # Errors
    /// When the run isn't this source's any more.
    fn mark(&self) -> Result<Self::Mark, FollowerCut>;

    /// Rows that hold lines from `next_seq` on, in order and durable; none at the log's present end.
    fn page(&self, next_seq: u64) -> impl Future<Output = Result<Vec<LogRow>, FollowerCut>>;

    /// How the run stands.
    fn standing(&self) -> impl Future<Output = Result<Standing, FollowerCut>>;

    /// Waits for a change behind the mark, `most_ms` at most.
    ///
    /// # Errors
    /// When it has waited for as long as it may, or when nobody works on the run.
    fn wait(
        &mut self,
        mark: Self::Mark,
        standing: Standing,
        most_ms: u64,
    ) -> impl Future<Output = Result<(), FollowerCut>>;

    /// Looks after the run in a time of quiet.
    fn tend(&self) -> impl Future<Output = Result<(), FollowerCut>>;

    /// Unix ms.
    fn now_ms(&self) -> i64;
}

/// Lines of a log, in order and without gaps.
#[derive(Debug)]
pub struct Lines {
    rows: Vec<LogRow>,
    from: u64,
}

impl Lines {
    /// Each line with its seq.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &str)> {
        let rows = self.rows.iter().filter_map(|row| {
            let lines = row.lines_from(self.from)?;
            Some((row.first_seq.max(self.from)..).zip(lines.lines()))
        });
        rows.flatten()
    }

    fn next_seq(&self) -> u64 {
        self.rows.last().map_or(self.from, LogRow::next_seq)
    }

    fn is_last(&self) -> bool {
        let last = self.rows.last().and_then(|row| row.lines.lines().last());
        let kind = last.and_then(line::parse_kind_and_data);
        kind.is_some_and(|(kind, _)| line::is_terminal(kind))
    }
}

/// What a follower has for its reader.
#[derive(Debug)]
pub enum Next {
    /// More of the log.
    Lines(Lines),
    /// Nothing came until the time that was given.
    Quiet,
    /// Nothing more will come.
    End,
}

/// Reads one run's lines.
#[derive(Debug)]
pub struct Follower<S> {
    source: S,
    next_seq: u64,
    /// Goes on where the log ends at present.
    live: bool,
    over: bool,
    /// It has found the run over, and no lines, since it last gave some.
    seen_over: bool,
}

impl<S: Source> Follower<S> {
    /// A follower from `next_seq` on, which is not beyond the log's end. `over` where the run is over and
    /// has no line from there on.
    pub const fn new(source: S, next_seq: u64, live: bool, over: bool) -> Self {
        Follower {
            source,
            next_seq,
            live,
            over,
            seen_over: false,
        }
    }

    /// Where its lines are.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// Nothing more will come.
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// The lines that are there already; none at the log's present end.
    ///
    /// # Errors
    /// [`FollowerCut`] when they can't be read.
    pub async fn present(&mut self) -> Result<Option<Lines>, FollowerCut> {
        let rows = self.source.page(self.next_seq).await?;
        let rows: Vec<LogRow> = rows
            .into_iter()
            .filter(|row| row.next_seq() > self.next_seq)
            .collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let lines = Lines {
            rows,
            from: self.next_seq,
        };
        self.next_seq = lines.next_seq();
        self.seen_over = false;
        self.over = lines.is_last();
        Ok(Some(lines))
    }

    /// The next lines; quiet when none came until `until`, Unix ms.
    ///
    /// # Errors
    /// [`FollowerCut`] when the lines can't be read on here.
    pub async fn next(&mut self, until: i64) -> Result<Next, FollowerCut> {
        loop {
            if self.over {
                return Ok(Next::End);
            }
            // Before the lines, so that what comes in between ends the wait.
            let mark = self.source.mark()?;
            if let Some(lines) = self.present().await? {
                return Ok(Next::Lines(lines));
            }
            let standing = self.source.standing().await?;
            if let Standing::Over { lines } = standing {
                if self.next_seq >= lines {
                    self.over = true;
                } else if std::mem::replace(&mut self.seen_over, true) {
                    // Its last lines did not come in just now: they are gone from here.
                    return Err(FollowerCut);
                }
                continue;
            }
            if !self.live {
                self.over = true;
                continue;
            }
            let left = until.saturating_sub(self.source.now_ms());
            let Some(left) = u64::try_from(left).ok().filter(|left| *left > 0) else {
                self.source.tend().await?;
                return Ok(Next::Quiet);
            };
            self.source.wait(mark, standing, left).await?;
        }
    }
}
