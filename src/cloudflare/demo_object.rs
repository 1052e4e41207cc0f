//! The demo agent's Durable Object: one execution of it, reached like any sandbox.
//!
//! Owns the execution's few facts in storage (what was asked, when it began, when it was
//! cancelled) and the performing of connections. What the agent says, and when, is
//! `upstream/demo`. Invariant: an execution begins once; it goes on by the clock, whoever listens,
//! and outlives the session's object and the process.

use super::panics::Resettable;
use super::ports::now_ms;
use crate::upstream::demo::connection::elapsed_ms;
use crate::upstream::demo::{DemoConnection, DemoScript, Next};
use futures::stream;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use worker::{Delay, Request, Response, ResponseBuilder, Result, State, Storage};

/// What an execution of the demo agent does, for the class that [`demo_agent!`](crate::demo_agent)
/// exports.
pub struct DemoHost {
    state: State,
    object: Resettable,
}

/// What is known of an execution. PERSISTED under [`KEY`]: fields are only added.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Execution {
    id: String,
    body: String,
    input_hash: Option<String>,
    started_at: i64,
    #[serde(default)]
    cancelled_at: Option<i64>,
    #[serde(default)]
    connections: u32,
}

const KEY: &str = "execution";

/// How long a stalled connection waits before it looks again whether to stay silent.
const STALLED_MS: u64 = 60_000;

impl Execution {
    fn script(&self) -> DemoScript {
        let script = DemoScript::of_request(&self.id, &self.body);
        let script = script.unwrap_or_else(|why| DemoScript::refusing(&self.id, &why));
        match self.cancelled_at {
            Some(at) => script.cancelled_at(elapsed_ms(at, self.started_at)),
            None => script,
        }
    }
}

impl DemoHost {
    /// A new life of an object.
    pub fn new(state: State) -> Self {
        let object = Resettable::new(&state);
        DemoHost { state, object }
    }

    /// Answers as a sandbox does, PROTOCOL §4.1.
    ///
    /// # Errors
    /// What the platform throws.
    pub async fn fetch(&self, request: Request) -> Result<Response> {
        self.object.clone().does(self.answer(request)).await
    }

    async fn answer(&self, request: Request) -> Result<Response> {
        #[cfg(feature = "faults")]
        if request.path().starts_with("/__faults") {
            super::faults::panicked();
        }
        if request.path().ends_with("/cancel") {
            self.cancel().await
        } else {
            self.run(request).await
        }
    }

    async fn cancel(&self) -> Result<Response> {
        let storage = self.state.storage();
        let Some(mut execution) = storage.get::<Execution>(KEY).await? else {
            return Response::error("unknown execution", 404);
        };
        if execution.cancelled_at.is_none() {
            execution.cancelled_at = Some(now_ms());
            storage.put(KEY, execution).await?;
            storage.sync().await?;
        }
        Response::ok("{}")
    }

    async fn run(&self, mut request: Request) -> Result<Response> {
        let header = |name: &str| request.headers().get(name).ok().flatten();
        let (Some(id), input_hash) = (header("x-execution-id"), header("x-input-hash")) else {
            return Response::error("X-Execution-ID is missing", 400);
        };
        let cursor = header("last-event-id");
        let body = request.text().await?;
        let storage = self.state.storage();
        let mut execution = match storage.get::<Execution>(KEY).await? {
            Some(known) if known.input_hash != input_hash => {
                return Response::error("another input runs under this execution id", 409);
            }
            Some(known) => known,
            None => Execution {
                id,
                body,
                input_hash,
                started_at: now_ms(),
                cancelled_at: None,
                connections: 0,
            },
        };
        let script = execution.script();
        let elapsed = elapsed_ms(now_ms(), execution.started_at);
        let first = execution.connections == 0;
        let opened = DemoConnection::open(&script, elapsed, cursor.as_deref(), first);
        let Ok(connection) = opened else {
            return Response::error("unknown cursor", 400);
        };
        execution.connections = execution.connections.saturating_add(1);
        storage.put(KEY, execution).await?;
        storage.sync().await?;
        let telling = Telling {
            storage,
            connection,
        };
        let object = self.object.clone();
        let chunks = stream::unfold(Some(telling), move |telling| {
            object.clone().does(next_chunk(telling))
        });
        ResponseBuilder::new()
            .with_header("content-type", "text/event-stream")?
            .with_header("cache-control", "no-store")?
            .from_stream(chunks)
    }
}

/// A connection being served.
struct Telling {
    storage: Storage,
    connection: DemoConnection,
}

async fn next_chunk(telling: Option<Telling>) -> Option<(Result<Vec<u8>>, Option<Telling>)> {
    let mut telling = telling?;
    loop {
        let Ok(Some(execution)) = telling.storage.get::<Execution>(KEY).await else {
            return Some((Err("the execution is gone".into()), None));
        };
        let script = execution.script();
        let elapsed = elapsed_ms(now_ms(), execution.started_at);
        match telling.connection.next(&script, elapsed) {
            Next::Send(text) => return Some((Ok(text.into_bytes()), Some(telling))),
            Next::Wait(ms) => Delay::from(Duration::from_millis(ms)).await,
            Next::Stall => Delay::from(Duration::from_millis(STALLED_MS)).await,
            Next::Cut => return Some((Err("cut, as asked".into()), None)),
            Next::End => return None,
        }
    }
}

/// Exports the class behind the upstream `demo` from the crate that is the Worker: a deployment
/// without it must not name `demo` in `UPSTREAM`.
///
/// `demo_agent!(DemoAgent);` needs in `wrangler.toml`
///
/// ```toml
/// [[durable_objects.bindings]]
/// name = "DEMO"
/// class_name = "DemoAgent"
///
/// [[migrations]]
/// tag = "v2"
/// new_sqlite_classes = ["DemoAgent"]
/// ```
#[macro_export]
macro_rules! demo_agent {
    ($name:ident) => {
        const _: () = {
            // What `#[durable_object]` makes of a class needs the name in scope.
            use ::worker::wasm_bindgen;

            #[::worker::durable_object(fetch)]
            pub struct $name {
                host: $crate::cloudflare::DemoHost,
            }

            impl ::worker::DurableObject for $name {
                fn new(state: ::worker::State, _env: ::worker::Env) -> Self {
                    Self {
                        host: $crate::cloudflare::DemoHost::new(state),
                    }
                }

                async fn fetch(
                    &self,
                    request: ::worker::Request,
                ) -> ::worker::Result<::worker::Response> {
                    self.host.fetch(request).await
                }
            }
        };
    };
}
