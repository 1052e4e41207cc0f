//! The session's platform, as this one gives it.

use super::d1::D1;
use super::object_sqlite::ObjectSqlite;
use super::ports::{WorkerPorts, now_ms};
use super::transport::Transport;
use crate::session::{App, Platform};
use crate::store::DriverError;
use std::rc::Rc;
use std::time::Duration;
use worker::{Env, State};

#[cfg(feature = "faults")]
type Durable = super::faults::Faulty<D1>;
#[cfg(not(feature = "faults"))]
type Durable = D1;

/// One session object's surroundings.
pub struct WorkerPlatform<A> {
    state: Rc<State>,
    env: Env,
    ports: WorkerPorts,
    durable: Durable,
    app: A,
}

impl<A> WorkerPlatform<A> {
    /// The surroundings of the object with this state.
    pub fn new(state: State, env: Env, app: A) -> Self {
        let state = Rc::new(state);
        let durable = D1::new(&env);
        WorkerPlatform {
            ports: WorkerPorts::new(Rc::clone(&state)),
            #[cfg(feature = "faults")]
            durable: super::faults::Faulty::new(durable),
            #[cfg(not(feature = "faults"))]
            durable,
            state,
            env,
            app,
        }
    }

    /// The faults of the durable store, for tests that set them.
    #[cfg(feature = "faults")]
    pub const fn faulty(&self) -> &Durable {
        &self.durable
    }

    /// The object's state.
    #[cfg(feature = "faults")]
    pub fn state(&self) -> &State {
        &self.state
    }
}

/// A configuration variable or secret.
pub fn var(env: &Env, name: &str) -> Option<String> {
    // A secret is read the same way; what isn't text counts as unset.
    env.var(name).ok().map(|value| value.to_string())
}

fn failure(error: &worker::Error) -> DriverError {
    DriverError {
        message: error.to_string(),
        unknown: true,
        full: false,
    }
}

impl<A: App> Platform for WorkerPlatform<A> {
    type Ports = WorkerPorts;
    type Object = ObjectSqlite;
    type Durable = Durable;
    type Http = Transport;
    type App = A;

    fn ports(&self) -> &WorkerPorts {
        &self.ports
    }

    fn object(&self) -> ObjectSqlite {
        ObjectSqlite::new(&self.state)
    }

    fn durable(&self) -> Durable {
        self.durable.clone()
    }

    fn network(&self) -> Transport {
        Transport::Network
    }

    fn demo_agent(&self) -> Transport {
        Transport::DemoAgent(self.env.clone())
    }

    fn app(&self) -> &A {
        &self.app
    }

    fn var(&self, name: &str) -> Option<String> {
        var(&self.env, name)
    }

    async fn alarm(&self) -> Result<Option<i64>, DriverError> {
        let alarm = self.state.storage().get_alarm().await;
        alarm.map_err(|error| failure(&error))
    }

    async fn set_alarm(&self, at: i64) -> Result<(), DriverError> {
        let after = u64::try_from(at.saturating_sub(now_ms())).unwrap_or(0);
        let storage = self.state.storage();
        let set = storage.set_alarm(Duration::from_millis(after)).await;
        set.map_err(|error| failure(&error))
    }
}
