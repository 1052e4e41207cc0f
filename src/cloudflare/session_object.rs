//! The Durable Object that owns one session.
//!
//! Owns what its class does, and the macro that exports such a class from whatever crate is the
//! Worker: `#[durable_object]` takes no generics, so the class must be written out there.
//! Invariant: a panic resets the object in which it happens (`panics`).

use super::body;
use super::line_source::Served;
use super::panics::Resettable;
use super::platform::WorkerPlatform;
use crate::api::Envelope;
use crate::ops::{About, Event, Why};
use crate::session::{App, Session};
use std::rc::Rc;
use worker::{Env, Request, Response, Result, State};

/// What a session object does, for the class that [`session_object!`](crate::session_object) exports.
pub struct SessionHost<A: App> {
    session: Rc<Session<WorkerPlatform<A>>>,
    object: Resettable,
    served: Served,
}

impl<A: App> SessionHost<A> {
    /// A new life of an object.
    pub fn new(state: State, env: Env, app: A) -> Self {
        let object = Resettable::new(&state);
        SessionHost {
            served: Served::of(&state, object.clone()),
            object,
            session: Session::new(WorkerPlatform::new(state, env, app)),
        }
    }

    /// Answers what [`handle`](super::handle) asks of a session.
    ///
    /// # Errors
    /// What the platform throws.
    pub async fn fetch(&self, request: Request) -> Result<Response> {
        self.object.clone().does(self.answer(request)).await
    }

    async fn answer(&self, mut request: Request) -> Result<Response> {
        #[cfg(feature = "faults")]
        if request.path().starts_with("/__faults") {
            return super::faults::fetch(&self.session, request).await;
        }
        let envelope = match Envelope::read(&request.text().await?) {
            Ok(envelope) => envelope,
            Err(problem) => {
                let (about, why) = (About::Envelope, Why::Code(problem.code));
                worker::console_log!("{}", Event::Object { about, why });
                return body::refusal(&problem);
            }
        };
        #[cfg(feature = "faults")]
        super::faults::before_answer(&self.session).await;
        let answer = self.session.handle(&envelope.caller, envelope.command);
        match answer.await {
            Ok(reply) => body::reply(reply, &self.served),
            Err(problem) => body::refusal(&problem),
        }
    }

    /// Looks at what is due.
    ///
    /// # Errors
    /// A store's failure, after which the platform fires the alarm again.
    pub async fn alarm(&self) -> Result<Response> {
        match self.object.clone().does(self.session.on_alarm()).await {
            Ok(()) => Response::empty(),
            Err(failure) => Err(failure.to_string().into()),
        }
    }
}

/// Exports the class of the session objects from the crate that is the Worker.
///
/// `session_object!(ChatSession: MyApp = |env| MyApp::new(env));` makes the Durable Object class
/// `ChatSession`, whose sessions have what the [`App`](crate::session::App) `MyApp` adds. The
/// closure captures nothing and is called once in each life of an object, with the Worker's `&Env`.
/// The class is for the platform: no name is added to the module.
///
/// The crate's `Cargo.toml` needs
///
/// ```toml
/// [lib]
/// crate-type = ["cdylib"]
///
/// [dependencies]
/// steadfast = "0.1"
/// # The version that steadfast has: the class is made of its types.
/// worker = "0.8.7"
/// ```
///
/// and its `wrangler.toml`, with the name of the class in both places,
///
/// ```toml
/// [[durable_objects.bindings]]
/// name = "SESSIONS"
/// class_name = "ChatSession"
///
/// [[migrations]]
/// tag = "v1"
/// new_sqlite_classes = ["ChatSession"]
///
/// [[d1_databases]]
/// binding = "DB"
/// database_name = "chat"
///
/// [triggers]
/// crons = ["* * * * *"]
/// ```
///
/// [`handle`](crate::cloudflare::handle) asks the objects behind the binding `SESSIONS`, and they keep
/// the durable copy of their sessions in the D1 database behind `DB`. A class's name stands in its
/// objects' storage: rename it by a migration only.
///
/// This compiles for WebAssembly alone, so the example that is built and tested is a Worker:
/// `examples/custom-worker/` in the repository.
#[macro_export]
macro_rules! session_object {
    ($name:ident: $app:ty = $make:expr) => {
        const _: () = {
            // What `#[durable_object]` makes of a class needs the name in scope.
            use ::worker::wasm_bindgen;

            #[::worker::durable_object(alarm)]
            pub struct $name {
                host: $crate::cloudflare::SessionHost<$app>,
            }

            impl ::worker::DurableObject for $name {
                fn new(state: ::worker::State, env: ::worker::Env) -> Self {
                    let make: fn(&::worker::Env) -> $app = $make;
                    let app = make(&env);
                    Self {
                        host: $crate::cloudflare::SessionHost::new(state, env, app),
                    }
                }

                async fn fetch(
                    &self,
                    request: ::worker::Request,
                ) -> ::worker::Result<::worker::Response> {
                    self.host.fetch(request).await
                }

                async fn alarm(&self) -> ::worker::Result<::worker::Response> {
                    self.host.alarm().await
                }
            }
        };
    };
}
