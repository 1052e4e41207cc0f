//! The Durable Object that owns one session, and how a Worker asks it.
//!
//! Owns the envelope between the two: a command with its caller, built anew by the Worker, so that
//! no header of a client says whose session it is.

use super::line_source::Served;
use super::platform::WorkerPlatform;
use super::{body, js};
use crate::session::{Caller, Command, Session};
use crate::wire::problem::Problem;
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::rc::Rc;
use wasm_bindgen::JsValue;
use worker::{Env, Request, Response, Result, State};

/// What a Worker sends to a session's object.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// Whose session it is, by the caller's credentials.
    pub caller: Caller,
    /// What is asked of it.
    pub command: Command,
}

/// What a session object does, for the exported class to call.
pub struct SessionHost {
    session: Rc<Session<WorkerPlatform>>,
    served: Served,
}

impl SessionHost {
    /// A new life of an object.
    pub fn new(state: State, env: Env) -> Self {
        let raw = JsValue::from(state.as_raw());
        reset_on_panic(&raw);
        SessionHost {
            session: Session::new(WorkerPlatform::new(state, env)),
            served: Served::of(&raw),
        }
    }

    /// Answers one envelope.
    pub async fn fetch(&self, mut request: Request) -> Result<Response> {
        #[cfg(feature = "faults")]
        if request.path().starts_with("/__faults") {
            return super::faults::fetch(&self.session, request).await;
        }
        let Ok(envelope) = serde_json::from_str::<Envelope>(&request.text().await?) else {
            return body::refusal(&Problem::internal());
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
    pub async fn alarm(&self) -> Result<Response> {
        match self.session.on_alarm().await {
            Ok(()) => Response::empty(),
            // Thrown, so that the platform fires it again.
            Err(failure) => Err(failure.to_string().into()),
        }
    }
}

thread_local! {
    static RESET_ON_PANIC: OnceCell<()> = const { OnceCell::new() };
}

/// Has a panic reset the object in which it happens, so that its callers are told at once and its
/// alarm takes its turn over. The platform resets the object that is running, whichever object's
/// state is asked, so one state serves the whole module.
fn reset_on_panic(state: &JsValue) {
    RESET_ON_PANIC.with(|set| {
        set.get_or_init(|| {
            let before = std::panic::take_hook();
            let state = state.clone();
            std::panic::set_hook(Box::new(move |panic| {
                before(panic);
                if let Err(thrown) = js::abort_soon(&state, "panicked") {
                    worker::console_error!("{}", js::message(&thrown));
                }
            }));
        });
    });
}
