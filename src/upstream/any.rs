//! One type for all kinds of upstream, chosen by what was stored with the run.
//!
//! Owns the choice at each call. It doesn't own which kind a run has: that is the session's.

use super::openai_chat::OpenAiChat;
use super::sandbox::Sandbox;
use super::{Ask, Capabilities, Cut, Http, Refusal, Signal, Upstream};
use futures_util::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What [`AnyUpstream::Missing`] answers: as an HTTP server does of what it doesn't implement.
const NOT_IMPLEMENTED: u16 = 501;

/// An upstream of any kind; `O` is the deployment's own.
pub enum AnyUpstream<H, O> {
    /// An agent sandbox; the demo agent is one.
    Sandbox(Sandbox<H>),
    /// A chat completions API.
    OpenAiChat(OpenAiChat<H>),
    /// The deployment's own.
    Own(O),
    /// One that the run was accepted with and that this code doesn't have: it refuses for good.
    Missing,
}

/// The frames of any kind of upstream.
pub enum AnyFrames<H: Http, O: Upstream> {
    /// Of a sandbox.
    Sandbox(<Sandbox<H> as Upstream>::Frames),
    /// Of a chat completions API.
    OpenAiChat(<OpenAiChat<H> as Upstream>::Frames),
    /// Of the deployment's own.
    Own(O::Frames),
}

impl<H: Http, O: Upstream> Stream for AnyFrames<H, O> {
    type Item = Result<Signal, Cut>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.get_mut() {
            AnyFrames::Sandbox(frames) => Pin::new(frames).poll_next(cx),
            AnyFrames::OpenAiChat(frames) => Pin::new(frames).poll_next(cx),
            AnyFrames::Own(frames) => Pin::new(frames).poll_next(cx),
        }
    }
}

impl<H: Http, O: Upstream + 'static> Upstream for AnyUpstream<H, O> {
    type Frames = AnyFrames<H, O>;

    fn capabilities(&self) -> Capabilities {
        match self {
            AnyUpstream::Sandbox(upstream) => upstream.capabilities(),
            AnyUpstream::OpenAiChat(upstream) => upstream.capabilities(),
            AnyUpstream::Own(upstream) => upstream.capabilities(),
            // So that a recovery asks it, and learns that it refuses, before it says in the log that
            // there is a new attempt.
            AnyUpstream::Missing => Capabilities {
                resumable: true,
                start_idempotent: true,
            },
        }
    }

    async fn start(&self, ask: &Ask) -> Result<Self::Frames, Refusal> {
        Ok(match self {
            AnyUpstream::Sandbox(upstream) => AnyFrames::Sandbox(upstream.start(ask).await?),
            AnyUpstream::OpenAiChat(upstream) => AnyFrames::OpenAiChat(upstream.start(ask).await?),
            AnyUpstream::Own(upstream) => AnyFrames::Own(upstream.start(ask).await?),
            AnyUpstream::Missing => return Err(MISSING),
        })
    }

    async fn attach(&self, ask: &Ask, cursor: Option<&str>) -> Result<Self::Frames, Refusal> {
        Ok(match self {
            AnyUpstream::Sandbox(upstream) => {
                AnyFrames::Sandbox(upstream.attach(ask, cursor).await?)
            }
            AnyUpstream::OpenAiChat(upstream) => {
                AnyFrames::OpenAiChat(upstream.attach(ask, cursor).await?)
            }
            AnyUpstream::Own(upstream) => AnyFrames::Own(upstream.attach(ask, cursor).await?),
            AnyUpstream::Missing => return Err(MISSING),
        })
    }

    async fn cancel(&self, execution_id: &str) -> Result<(), Refusal> {
        match self {
            AnyUpstream::Sandbox(upstream) => upstream.cancel(execution_id).await,
            AnyUpstream::OpenAiChat(upstream) => upstream.cancel(execution_id).await,
            AnyUpstream::Own(upstream) => upstream.cancel(execution_id).await,
            AnyUpstream::Missing => Err(MISSING),
        }
    }
}

const MISSING: Refusal = Refusal::Rejected {
    status: NOT_IMPLEMENTED,
};
