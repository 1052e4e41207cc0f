//! What a session's supervisor needs of the platform it lives on.
//!
//! Owns the bundle of ports; `cloudflare/` and the test support implement it.

use super::App;
use crate::ports::Ports;
use crate::store::{Driver, DriverError};
use crate::upstream::Http;
use std::future::Future;

/// The ports of one session object.
pub trait Platform: 'static {
    /// Time, chance, tasks and the log.
    type Ports: Ports;
    /// The object's own storage.
    type Object: Driver;
    /// The durable store shared by all sessions.
    type Durable: Driver;
    /// How upstreams are reached.
    type Http: Http;
    /// What this deployment adds of its own.
    type App: App;

    /// Time, chance, tasks and the log.
    fn ports(&self) -> &Self::Ports;

    /// The object's own storage.
    fn object(&self) -> Self::Object;

    /// The durable store.
    fn durable(&self) -> Self::Durable;

    /// The network, for `sandbox` and model APIs.
    fn network(&self) -> Self::Http;

    /// The demo agent, reached like any sandbox.
    fn demo_agent(&self) -> Self::Http;

    /// What this deployment adds of its own.
    fn app(&self) -> &Self::App;

    /// A configuration variable or secret.
    fn var(&self, name: &str) -> Option<String>;

    /// The object's one alarm, Unix ms; `None` when it isn't set.
    fn alarm(&self) -> impl Future<Output = Result<Option<i64>, DriverError>>;

    /// Sets the object's one alarm; it replaces the one before.
    fn set_alarm(&self, at: i64) -> impl Future<Output = Result<(), DriverError>>;
}
