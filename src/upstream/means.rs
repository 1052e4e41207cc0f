//! What a kind of upstream is made of, for one run.
//!
//! Owns the trait by which whoever drains a run lends what it has. It doesn't own which kinds there are
//! (`registry`), nor what each makes of it.

use super::{Http, Upstream};

/// What whoever drains a run gives for its upstream. A factory takes of it what its kind needs.
pub trait Means {
    /// How upstreams are reached.
    type Http: Http;
    /// The deployment's own upstream.
    type Own: Upstream + 'static;

    /// The network.
    fn network(&self) -> Self::Http;

    /// The demo agent, reached like any sandbox.
    fn demo_agent(&self) -> Self::Http;

    /// The upstream's key as it is now.
    fn key(&self) -> Option<String>;

    /// The deployment's own upstream of this name.
    fn own(&self, name: &str) -> Option<Self::Own>;
}
