//! One type for all kinds of upstream.
//!
//! Owns the erasure: a box a call, and a call through a table a frame. It doesn't own which kind a
//! run has: that is the registry's.

use super::{Ask, Capabilities, Cut, Refusal, Signal, Upstream};
use futures::future::{FutureExt, LocalBoxFuture};
use futures::stream::{LocalBoxStream, StreamExt};

/// An upstream of any kind.
pub struct AnyUpstream(Box<dyn Erased>);

/// The frames of any upstream.
pub type AnyFrames = LocalBoxStream<'static, Result<Signal, Cut>>;

/// [`Upstream`] with its types in boxes.
trait Erased {
    fn capabilities(&self) -> Capabilities;

    fn start<'a>(&'a self, ask: &'a Ask) -> LocalBoxFuture<'a, Result<AnyFrames, Refusal>>;

    fn attach<'a>(
        &'a self,
        ask: &'a Ask,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<AnyFrames, Refusal>>;

    fn cancel<'a>(&'a self, execution_id: &'a str) -> LocalBoxFuture<'a, Result<(), Refusal>>;
}

impl<U: Upstream> Erased for U {
    fn capabilities(&self) -> Capabilities {
        U::capabilities(self)
    }

    fn start<'a>(&'a self, ask: &'a Ask) -> LocalBoxFuture<'a, Result<AnyFrames, Refusal>> {
        let started = async { Ok(U::start(self, ask).await?.boxed_local()) };
        started.boxed_local()
    }

    fn attach<'a>(
        &'a self,
        ask: &'a Ask,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<AnyFrames, Refusal>> {
        let attached = async move { Ok(U::attach(self, ask, cursor).await?.boxed_local()) };
        attached.boxed_local()
    }

    fn cancel<'a>(&'a self, execution_id: &'a str) -> LocalBoxFuture<'a, Result<(), Refusal>> {
        U::cancel(self, execution_id).boxed_local()
    }
}

impl AnyUpstream {
    /// This upstream, whatever its type.
    pub fn new(upstream: impl Upstream + 'static) -> Self {
        AnyUpstream(Box::new(upstream))
    }
}

impl Upstream for AnyUpstream {
    type Frames = AnyFrames;

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn start(&self, ask: &Ask) -> Result<AnyFrames, Refusal> {
        self.0.start(ask).await
    }

    async fn attach(&self, ask: &Ask, cursor: Option<&str>) -> Result<AnyFrames, Refusal> {
        self.0.attach(ask, cursor).await
    }

    async fn cancel(&self, execution_id: &str) -> Result<(), Refusal> {
        self.0.cancel(execution_id).await
    }
}
