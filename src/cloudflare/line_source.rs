//! A body as the source of a JavaScript stream.
//!
//! Owns the pull of lines into a response body, and the memory of which bodies an object serves.
//! That memory lies on the object's own JavaScript state, because it must outlive this module: after
//! a panic the module is instantiated anew, and bodies of the instance before would never end.
//! Invariant: a new life of the module in an object cuts whatever the one before was serving.

use super::js;
use super::panics::Resettable;
use crate::log::FollowerCut;
use crate::session::{Platform, SessionBody};
use futures::stream::{LocalBoxStream, StreamExt};
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;
use worker::State;

/// Where the set of controllers lies on an object's state.
const SERVED: &str = "steadfastServed";

/// The bodies that an object serves.
#[derive(Clone)]
pub struct Served {
    controllers: js_sys::Set,
    object: Resettable,
}

impl Served {
    /// The bodies of the object with this state; those of a life before are cut.
    pub fn of(state: &State, object: Resettable) -> Self {
        let state = JsValue::from(state.as_raw());
        let name = JsValue::from_str(SERVED);
        let before = js_sys::Reflect::get(&state, &name).unwrap_or(JsValue::UNDEFINED);
        if let Ok(before) = before.dyn_into::<js_sys::Set>() {
            for controller in before.values().into_iter().flatten() {
                // One that has ended meanwhile can't be cut any more.
                let _ended = controller
                    .unchecked_into::<js::StreamController>()
                    .error(&FollowerCut.to_string().into());
            }
        }
        let controllers = js_sys::Set::new(&JsValue::UNDEFINED);
        // A state that took no property would only lose the cut; clients have their own patience.
        let _set = js_sys::Reflect::set(&state, &name, &controllers);
        Served {
            controllers,
            object,
        }
    }

    /// A stream of a body's bytes.
    ///
    /// # Errors
    /// What the constructor of the stream throws.
    pub fn stream<P: Platform>(
        &self,
        body: SessionBody<P>,
    ) -> Result<web_sys::ReadableStream, JsValue> {
        let source = LineSource {
            lines: Rc::new(RefCell::new(Some(body.into_stream().boxed_local()))),
            served: self.clone(),
        };
        js::new_stream(source.into()).map(JsCast::unchecked_into)
    }
}

/// A body's pieces; whose platform it is on doesn't matter here, and an exported class can't be
/// generic over it.
type Lines = LocalBoxStream<'static, Result<Vec<u8>, FollowerCut>>;

/// The underlying source of one body. Its exported name keeps clear of the classes of a crate that
/// builds on this one.
#[wasm_bindgen(js_name = SteadfastLineSource)]
pub struct LineSource {
    lines: Rc<RefCell<Option<Lines>>>,
    served: Served,
}

#[wasm_bindgen(js_class = SteadfastLineSource)]
impl LineSource {
    /// Called once, by the stream.
    pub fn start(&self, controller: JsValue) {
        self.served.controllers.add(&controller);
    }

    /// Called by the stream when its reader wants more.
    pub fn pull(&self, controller: JsValue) -> js_sys::Promise {
        let slot = Rc::clone(&self.lines);
        let served = self.served.clone();
        let object = self.served.object.clone();
        future_to_promise(object.does(async move {
            let Some(mut lines) = slot.take() else {
                return Ok(JsValue::UNDEFINED);
            };
            let stream: js::StreamController = controller.clone().unchecked_into();
            match lines.next().await {
                Some(Ok(bytes)) => {
                    stream.enqueue(&js_sys::Uint8Array::from(bytes.as_slice()))?;
                    slot.replace(Some(lines));
                }
                None => {
                    served.controllers.delete(&controller);
                    stream.close()?;
                }
                // An error breaks the connection: the client sees a cut, not an ending.
                Some(Err(cut)) => {
                    served.controllers.delete(&controller);
                    stream.error(&cut.to_string().into())?;
                }
            }
            Ok(JsValue::UNDEFINED)
        }))
    }

    /// Called by the stream when its reader has left.
    pub fn cancel(&self) {
        self.lines.take();
    }
}
