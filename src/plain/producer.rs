//! Turns whose answer is made by code of the caller's: a closure that gives a stream of frames.
//!
//! Owns the closure as an [`Upstream`] that can't be attached again. Invariant: a frame becomes a
//! line as it comes, under the rules for every upstream's frames; the stream's clean end is the
//! answer's.

use super::supervise;
use super::{SupervisedTurn, TurnInput, TurnRefused};
use crate::ports::Ports;
use crate::store::Store;
use crate::turn::Hooks;
use crate::upstream::{Ask, Capabilities, Cut, Frame, FrameBody, Refusal, Signal, Upstream};
use futures::Stream;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Why a producer gives no further frames.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    /// For good: the turn fails with `upstream_failed` and these words, which the client reads.
    #[error("{0}")]
    Failed(String),
    /// For now: a new, visible attempt is made while the turn's starts last.
    #[error("the producer broke off")]
    Broken,
}

/// A frame: a line's type, and its data as JSON text.
pub type Produced = Result<(String, String), ProduceError>;

/// A producer as an upstream; see [`produced`].
pub struct Producer<F> {
    produce: F,
}

/// Makes an upstream of a closure: called once an attempt, it gives the frames of the answer.
pub const fn produced<F, R, T>(produce: F) -> Producer<F>
where
    F: Fn(Ask) -> R,
    R: Future<Output = Result<T, ProduceError>>,
    T: Stream<Item = Produced> + Unpin + 'static,
{
    Producer { produce }
}

impl<F, R, T> Upstream for Producer<F>
where
    F: Fn(Ask) -> R,
    R: Future<Output = Result<T, ProduceError>>,
    T: Stream<Item = Produced> + Unpin + 'static,
{
    type Frames = ProducedFrames<T>;

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resumable: false,
            start_idempotent: false,
        }
    }

    async fn start(&self, ask: &Ask) -> Result<Self::Frames, Refusal> {
        let state = match (self.produce)(ask.clone()).await {
            Ok(frames) => State::Open(frames),
            Err(ProduceError::Failed(message)) => State::Ending(FrameBody::Failed { message }),
            // It may have prompted a model before it broke.
            Err(ProduceError::Broken) => {
                return Err(Refusal::Unavailable {
                    retry_after_ms: None,
                    maybe_started: true,
                });
            }
        };
        Ok(ProducedFrames { state, count: 0 })
    }

    async fn attach(&self, _ask: &Ask, _cursor: Option<&str>) -> Result<Self::Frames, Refusal> {
        // Nobody attaches to what is not resumable.
        Err(Refusal::Gone)
    }

    async fn cancel(&self, _execution_id: &str) -> Result<(), Refusal> {
        // Dropping the frames has stopped it.
        Ok(())
    }
}

/// The frames of one attempt, numbered.
pub struct ProducedFrames<T> {
    state: State<T>,
    count: u64,
}

enum State<T> {
    Open(T),
    Ending(FrameBody),
    Over,
}

impl<T: Stream<Item = Produced> + Unpin> ProducedFrames<T> {
    fn frame(&mut self, body: FrameBody) -> Signal {
        self.count += 1;
        Signal::Frame(Frame {
            id: self.count.to_string(),
            body,
        })
    }
}

impl<T: Stream<Item = Produced> + Unpin> Stream for ProducedFrames<T> {
    type Item = Result<Signal, Cut>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let item = match std::mem::replace(&mut this.state, State::Over) {
            State::Over => return Poll::Ready(None),
            State::Ending(body) => return Poll::Ready(Some(Ok(this.frame(body)))),
            State::Open(mut frames) => match Pin::new(&mut frames).poll_next(cx) {
                Poll::Pending => {
                    this.state = State::Open(frames);
                    return Poll::Pending;
                }
                Poll::Ready(item) => {
                    if matches!(item, Some(Ok(_))) {
                        this.state = State::Open(frames);
                    }
                    item
                }
            },
        };
        let answer = match item {
            Some(Ok((kind, data))) => Ok(this.frame(FrameBody::Event {
                kind,
                data: Some(data),
            })),
            Some(Err(ProduceError::Failed(message))) => {
                Ok(this.frame(FrameBody::Failed { message }))
            }
            Some(Err(ProduceError::Broken)) => Err(Cut::Broken),
            None => Ok(this.frame(FrameBody::Completed)),
        };
        Poll::Ready(Some(answer))
    }
}

/// Runs a turn whose answer `produce` makes, or answers from the one that is there.
///
/// Frames are durable as they flow. What a crash cuts short can't be gone on with: whoever takes the
/// turn over makes a new attempt, which the log announces with `session.run.restarted`, within the
/// budget of starts. A replay gives the whole log and calls nothing.
///
/// # Errors
/// As [`run_supervised_turn`](super::run_supervised_turn).
pub async fn run_durable_turn<P, S, F, R, T, H>(
    ports: &P,
    store: &S,
    input: TurnInput,
    produce: F,
    hooks: H,
) -> Result<SupervisedTurn<P, S>, TurnRefused>
where
    P: Ports,
    S: Store + Clone + 'static,
    F: Fn(Ask) -> R + 'static,
    R: Future<Output = Result<T, ProduceError>>,
    T: Stream<Item = Produced> + Unpin + 'static,
    H: Hooks + 'static,
{
    supervise(ports, store, input, produced(produce), Rc::new(hooks)).await
}
