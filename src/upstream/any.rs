//! One type for all kinds of upstream, chosen by what was stored with the run.

use super::openai_chat::OpenAiChat;
use super::sandbox::Sandbox;
use super::{Ask, Capabilities, Cut, Http, Refusal, Signal, Upstream};
use futures_util::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};

/// An upstream of any kind.
pub enum AnyUpstream<H> {
    /// An agent sandbox; the demo agent is one.
    Sandbox(Sandbox<H>),
    /// A chat completions API.
    OpenAiChat(OpenAiChat<H>),
}

/// The frames of any kind of upstream.
pub enum AnyFrames<H: Http> {
    /// Of a sandbox.
    Sandbox(<Sandbox<H> as Upstream>::Frames),
    /// Of a chat completions API.
    OpenAiChat(<OpenAiChat<H> as Upstream>::Frames),
}

impl<H: Http> Stream for AnyFrames<H> {
    type Item = Result<Signal, Cut>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.get_mut() {
            AnyFrames::Sandbox(frames) => Pin::new(frames).poll_next(cx),
            AnyFrames::OpenAiChat(frames) => Pin::new(frames).poll_next(cx),
        }
    }
}

impl<H: Http> Upstream for AnyUpstream<H> {
    type Frames = AnyFrames<H>;

    fn capabilities(&self) -> Capabilities {
        match self {
            AnyUpstream::Sandbox(upstream) => upstream.capabilities(),
            AnyUpstream::OpenAiChat(upstream) => upstream.capabilities(),
        }
    }

    async fn start(&self, ask: &Ask) -> Result<Self::Frames, Refusal> {
        match self {
            AnyUpstream::Sandbox(upstream) => upstream.start(ask).await.map(AnyFrames::Sandbox),
            AnyUpstream::OpenAiChat(upstream) => {
                upstream.start(ask).await.map(AnyFrames::OpenAiChat)
            }
        }
    }

    async fn attach(&self, ask: &Ask, cursor: Option<&str>) -> Result<Self::Frames, Refusal> {
        match self {
            AnyUpstream::Sandbox(upstream) => {
                upstream.attach(ask, cursor).await.map(AnyFrames::Sandbox)
            }
            AnyUpstream::OpenAiChat(upstream) => upstream
                .attach(ask, cursor)
                .await
                .map(AnyFrames::OpenAiChat),
        }
    }

    async fn cancel(&self, execution_id: &str) -> Result<(), Refusal> {
        match self {
            AnyUpstream::Sandbox(upstream) => upstream.cancel(execution_id).await,
            AnyUpstream::OpenAiChat(upstream) => upstream.cancel(execution_id).await,
        }
    }
}
