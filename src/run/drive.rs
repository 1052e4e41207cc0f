//! Driving a body: to its end, to its suspension, or to the reason why it has to stop.
//!
//! Owns the one loop that polls the body, the writer, and whoever may stop the run. It doesn't own
//! what an end means for the run's record. Invariant: a run is suspended only while nothing but
//! waits is under way, and each wait has looked once more behind the suspension.

use super::error::{Error, Stop};
use super::journal::Journal;
use super::lease::leased;
use super::workspace::Workspace;
use crate::caps;
use crate::log::Wake;
use crate::ports::Ports;
use crate::store::{self, Store};
use futures::future::{Either, pending, select};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

/// How a run waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// It is suspended, and its memory is freed: whoever owns it wakes it at the event or the
    /// deadline, as a session object does. [`run_durable`](super::run_durable) returns at once.
    Suspend,
    /// It is suspended in the store, and its worker looks there from time to time: for stores that
    /// nobody watches. Each look is a read of the store for each wait.
    Poll {
        /// The time between two looks, in ms.
        interval_ms: u64,
        /// After this long in all the worker gives up looking, in ms; the run stays suspended. The
        /// time in which the run works between its waits doesn't count.
        most_ms: u64,
    },
}

impl Default for Waits {
    fn default() -> Self {
        Waits::Poll {
            interval_ms: caps::WAIT_POLL_MS,
            most_ms: caps::WAIT_POLL_MOST_MS,
        }
    }
}

/// What may end a run from outside.
pub(super) struct Watch<'a> {
    /// Moves when `stopped` may answer something else, or an event may have come.
    pub control: Rc<Wake>,
    /// Whether the run was asked to stop.
    pub stopped: &'a dyn Fn() -> Option<Stop>,
    /// The run's time in ms, waiting not counted.
    pub timeout_ms: Option<u64>,
    /// How its waits are waited for.
    pub waits: Waits,
    /// Completes when the run is lost to this worker.
    pub lost: Pin<&'a mut dyn Future<Output = Stop>>,
    /// When this worker's lease ends as far as it knows, Unix ms; never, where nobody else can have the run.
    pub until: &'a Cell<i64>,
}

/// Nobody else can have the run.
pub(super) const SOLE: i64 = i64::MAX;

/// Why the driver came back.
pub(super) enum Halt<T> {
    /// The body came to its end.
    Ended(Result<T, Error>),
    /// Nothing but waits is left, and that is stored; the first of their deadlines, Unix ms.
    Suspended(Option<i64>),
    /// The run has to stop.
    Stopped(Stop),
    /// The store failed.
    Broken(store::Error),
}

/// What one look at everything came to.
enum Look<T> {
    Halt(Halt<T>),
    /// Only waits are under way, and the store doesn't say so yet.
    Idle,
}

/// How long a worker looks at a suspended run; the time in which the run works doesn't count.
struct Looking {
    left_ms: Cell<u64>,
    since: Cell<Option<i64>>,
}

impl Looking {
    const fn new(waits: Waits) -> Self {
        Looking {
            left_ms: Cell::new(match waits {
                Waits::Suspend => 0,
                Waits::Poll { most_ms, .. } => most_ms,
            }),
            since: Cell::new(None),
        }
    }

    fn note(&self, now: i64, is_suspended: bool) {
        match self.since.get() {
            None if is_suspended => self.since.set(Some(now)),
            Some(since) if !is_suspended => {
                let looked = u64::try_from(now.saturating_sub(since)).unwrap_or(0);
                self.left_ms.set(self.left_ms.get().saturating_sub(looked));
                self.since.set(None);
            }
            None | Some(_) => {}
        }
    }

    /// When it has looked for long enough, Unix ms.
    fn until(&self) -> Option<i64> {
        let since = self.since.get()?;
        Some(since.saturating_add_unsigned(self.left_ms.get()))
    }
}

/// Drives `body` until it halts. What was queued by then is stored, unless the run is lost.
pub(super) async fn drive<P: Ports, S: Store + Clone, W: Workspace, T>(
    journal: &Journal<P, S, W>,
    body: impl Future<Output = Result<T, Error>>,
    mut watch: Watch<'_>,
) -> Halt<T> {
    let mut body = pin!(body);
    let mut writer = pin!(journal.write());
    let looking = Looking::new(watch.waits);
    let mut watcher = pin!(watch_over(
        journal,
        Rc::clone(&watch.control),
        watch.stopped,
        watch.timeout_ms,
        watch.waits,
        &looking,
    ));
    let now = || journal.now();
    let halt = loop {
        let look = poll_fn(|cx| {
            // First, since the watcher wakes us at its end.
            looking.note(now(), journal.is_suspended());
            leased(cx, watch.lost.as_mut(), now, watch.until, |cx| {
                let (body, writer) = (body.as_mut(), writer.as_mut());
                look(journal, cx, body, writer, watcher.as_mut(), &looking)
            })
        });
        match look.await {
            Err(stop) => break Halt::Stopped(stop),
            Ok(Look::Halt(halt)) => break halt,
            // A store that doesn't answer must not keep who has lost the run.
            Ok(Look::Idle) => {
                let mut suspending = pin!(journal.suspend());
                let suspended = poll_fn(|cx| {
                    leased(cx, watch.lost.as_mut(), now, watch.until, |cx| {
                        suspending.as_mut().poll(cx)
                    })
                });
                match suspended.await {
                    Ok(Ok(())) => journal.tick.wake(),
                    Ok(Err(failure)) => break Halt::Broken(failure),
                    Err(stop) => break Halt::Stopped(stop),
                }
            }
        }
    };
    if let Halt::Ended(_) | Halt::Stopped(Stop::Cancelled { .. } | Stop::TimedOut | Stop::TooLarge) =
        &halt
        && let Some(failure) =
            settle(journal, writer.as_mut(), watch.lost.as_mut(), watch.until).await
    {
        return Halt::Broken(failure);
    }
    // Whoever asked while the end was on its way was told that it counts.
    if let Halt::Ended(_) = &halt
        && let Some(stop) = (watch.stopped)()
    {
        return Halt::Stopped(stop);
    }
    match halt {
        Halt::Broken(store::Error::Fenced) => Halt::Stopped(Stop::LeaseLost),
        halt => halt,
    }
}

/// Polls everything once, in the order of what must not be missed.
fn look<P: Ports, S: Store + Clone, W: Workspace, T>(
    journal: &Journal<P, S, W>,
    cx: &mut Context<'_>,
    mut body: Pin<&mut impl Future<Output = Result<T, Error>>>,
    mut writer: Pin<&mut impl Future<Output = store::Error>>,
    mut watcher: Pin<&mut impl Future<Output = ()>>,
    looking: &Looking,
) -> Poll<Look<T>> {
    // It never completes: it stops the run, or ticks.
    let _: Poll<()> = watcher.as_mut().poll(cx);
    if let Some(stop) = journal.stopped() {
        return Poll::Ready(Look::Halt(Halt::Stopped(stop)));
    }
    if let Poll::Ready(ended) = body.as_mut().poll(cx) {
        return Poll::Ready(Look::Halt(Halt::Ended(ended)));
    }
    if let Some(failure) = journal.broken() {
        return Poll::Ready(Look::Halt(Halt::Broken(failure)));
    }
    if let Poll::Ready(failure) = writer.as_mut().poll(cx) {
        return Poll::Ready(Look::Halt(Halt::Broken(failure)));
    }
    if let Some(stop) = journal.stopped() {
        return Poll::Ready(Look::Halt(Halt::Stopped(stop)));
    }
    if !journal.is_idle() {
        return Poll::Pending;
    }
    if !journal.is_suspended_rightly() {
        return Poll::Ready(Look::Idle);
    }
    if looking.until().is_some_and(|until| journal.now() >= until) {
        return Poll::Ready(Look::Halt(Halt::Suspended(journal.first_deadline())));
    }
    Poll::Pending
}

/// Lets the writer finish what is queued.
async fn settle<P: Ports, S: Store + Clone, W: Workspace>(
    journal: &Journal<P, S, W>,
    mut writer: Pin<&mut impl Future<Output = store::Error>>,
    mut lost: Pin<&mut dyn Future<Output = Stop>>,
    until: &Cell<i64>,
) -> Option<store::Error> {
    let now = || journal.now();
    let settled = poll_fn(|cx| {
        leased(cx, lost.as_mut(), now, until, |cx| {
            if let Poll::Ready(failure) = writer.as_mut().poll(cx) {
                return Poll::Ready(Some(failure));
            }
            if journal.is_written() {
                return Poll::Ready(None);
            }
            Poll::Pending
        })
    });
    settled.await.unwrap_or(Some(store::Error::Fenced))
}

/// Stops the run when its time is over or somebody asks, and has waits look when they should.
async fn watch_over<P: Ports, S: Store + Clone, W: Workspace>(
    journal: &Journal<P, S, W>,
    control: Rc<Wake>,
    stopped: &dyn Fn() -> Option<Stop>,
    timeout_ms: Option<u64>,
    waits: Waits,
    looking: &Looking,
) {
    let mut polled_at = journal.now();
    loop {
        let (controlled, waiting) = (control.generation(), journal.waits_changed.generation());
        if let Some(stop) = stopped() {
            journal.stop(stop);
            return pending().await;
        }
        let now = journal.now();
        let ends_at = ends_at(journal, timeout_ms);
        if ends_at.is_some_and(|at| at <= now) {
            journal.stop(Stop::TimedOut);
            return pending().await;
        }
        let poll_at = match waits {
            Waits::Poll {
                interval_ms,
                most_ms,
            } if journal.is_waiting() => {
                let interval_ms = interval_ms.min(most_ms).max(1);
                Some(polled_at.saturating_add_unsigned(interval_ms))
            }
            Waits::Poll { .. } | Waits::Suspend => None,
        };
        let deadline = journal.first_deadline();
        if deadline.is_some_and(|at| at <= now) || poll_at.is_some_and(|at| at <= now) {
            polled_at = now;
            journal.tick.wake();
        }
        let next = [ends_at, poll_at, deadline, looking.until()]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min();
        let timer = async {
            match next {
                Some(at) => {
                    let wait = u64::try_from(at.saturating_sub(now)).unwrap_or(0);
                    journal.ports.sleep(wait).await;
                }
                None => pending().await,
            }
        };
        let told = control.changed(controlled);
        let others = journal.waits_changed.changed(waiting);
        if let Either::Right((Either::Left(_), _)) = select(pin!(timer), select(told, others)).await
        {
            journal.tick.wake();
        }
    }
}

/// When the run's time is over, Unix ms; never while it is suspended.
fn ends_at<P: Ports, S: Store + Clone, W: Workspace>(
    journal: &Journal<P, S, W>,
    timeout_ms: Option<u64>,
) -> Option<i64> {
    let timeout_ms = timeout_ms.filter(|_| !journal.is_suspended())?;
    let budget = timeout_ms.saturating_add(journal.waited_ms());
    let created_at = journal.run.borrow().created_at;
    Some(created_at.saturating_add_unsigned(budget))
}

#[cfg(test)]
mod tests {
    use super::super::durable::record;
    use super::super::journal::Settings;
    use super::super::manifest::Manifest;
    use super::super::options::RunOptions;
    use super::super::workspace::NoWorkspace;
    use super::*;
    use crate::ids::RunId;
    use crate::native;
    use crate::store::{Begun, MemoryStore};

    fn settings() -> Settings {
        Settings {
            first_index: 0,
            max_parallel: 1,
            window_ms: 0,
            max_bytes: 1_000,
            watchdog_ms: None,
            tells_steps: false,
            read_only: false,
        }
    }

    #[test]
    fn a_lost_lease_outdoes_a_reason_of_the_same_moment() {
        let halt = native::run(async |ports| {
            let store = MemoryStore::new();
            let manifest = Manifest::new("p", "t", "i", "d", &serde_json::json!({})).unwrap();
            let (id, options) = (RunId::parse("r").unwrap(), RunOptions::new("r", manifest));
            let run = record(&id, &options, "hash", "holder", 1).unwrap();
            assert_eq!(store.create(&run).await, Ok(Begun::Begun));
            let key = String::new();
            let journal =
                Journal::open(ports, store, NoWorkspace, settings(), key, run, None).await;
            let journal = journal.unwrap();
            let mut lost = pin!(async {
                journal.stop(Stop::Cancelled { reason: None });
                Stop::LeaseLost
            });
            let watch = Watch {
                control: Rc::default(),
                stopped: &|| None,
                timeout_ms: None,
                waits: Waits::Suspend,
                lost: lost.as_mut(),
                until: &Cell::new(SOLE),
            };
            let body = async { Ok(()) };
            drive(&journal, body, watch).await
        });
        assert!(matches!(halt, Halt::Stopped(Stop::LeaseLost)));
    }
}
