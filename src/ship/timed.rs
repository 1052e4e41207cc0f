//! A driver that doesn't wait for ever.
//!
//! D1 calls can hang; a hung ship would hold every later one back. Invariant: a call that was given
//! up has an unknown outcome.

use crate::caps;
use crate::ports::Ports;
use crate::store::{Driver, DriverError, Outcome, Statement};
use futures::future::{Either, select};
use std::pin::pin;

/// A driver with [`caps::D1_TIMEOUT_MS`] a call.
#[derive(Clone, Debug)]
pub struct Timed<P, D> {
    ports: P,
    driver: D,
}

impl<P: Ports, D: Driver> Timed<P, D> {
    /// Bounds `driver`.
    pub const fn new(ports: P, driver: D) -> Self {
        Timed { ports, driver }
    }

    async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, DriverError>>,
    ) -> Result<T, DriverError> {
        let sleep = pin!(self.ports.sleep(caps::D1_TIMEOUT_MS));
        match select(pin!(call), sleep).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(DriverError {
                message: "the durable store did not answer in time".to_owned(),
                unknown: true,
                full: false,
            }),
        }
    }
}

impl<P: Ports, D: Driver> Driver for Timed<P, D> {
    async fn apply(&self, batch: Vec<Statement>) -> Result<Vec<Outcome>, DriverError> {
        self.within(self.driver.apply(batch)).await
    }

    async fn barrier(&self) -> Result<(), DriverError> {
        self.driver.barrier().await
    }

    async fn sync(&self) -> Result<(), DriverError> {
        self.within(self.driver.sync()).await
    }
}
