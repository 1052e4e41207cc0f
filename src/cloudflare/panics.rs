//! What a panic does in a Worker: its words are told once, and the object in which it happens is reset.
//!
//! Owns the panic hook of an instance of the module, and which object is at work. `worker` sets a hook of its
//! own when an instance begins; whatever comes in here first replaces it, since two would tell the same words
//! twice. It doesn't own that the instance is made anew: the JavaScript around the module does that, which
//! calls no instance again that has trapped. Invariant: the words are those of `console_error_panic_hook`,
//! with file and line.

use super::js;
use std::cell::{Cell, OnceCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use wasm_bindgen::JsValue;
use worker::State;

thread_local! {
    static TOLD: OnceCell<()> = const { OnceCell::new() };
    static AT_WORK: Cell<Option<Resettable>> = const { Cell::new(None) };
}

/// Has a panic told, from now on in this instance.
pub fn tell() {
    TOLD.with(|told| {
        told.get_or_init(|| {
            std::panic::set_hook(Box::new(|panic| {
                console_error_panic_hook::hook(panic);
                if let Some(object) = AT_WORK.take() {
                    object.reset();
                }
            }));
        });
    });
}

/// An object that a panic in its own work resets, so that its callers are told at once and its alarm takes
/// the work over: what has panicked answers nobody. The platform lets nobody else reset it.
#[derive(Clone)]
pub struct Resettable {
    state: Rc<JsValue>,
}

impl Resettable {
    /// The object with this state.
    pub fn new(state: &State) -> Self {
        tell();
        Resettable {
            state: Rc::new(JsValue::from(state.as_raw())),
        }
    }

    /// This work, as the object's own.
    pub async fn does<T>(self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            let before = AT_WORK.replace(Some(self.clone()));
            let polled = work.as_mut().poll(context);
            AT_WORK.set(before);
            polled
        })
        .await
    }

    fn reset(&self) {
        if let Err(thrown) = js::abort_soon(&self.state, "panicked") {
            worker::console_error!("{}", js::message(&thrown));
        }
    }
}
