//! What an isolate keeps for all its requests: the configuration.
//!
//! The platform gives an isolate its variables once. A deployment, a changed secret and a reload of
//! `wrangler dev` start new isolates, so a value that was read stays true for this one's life.
//! Invariant: nothing else outlives a request here.

use super::platform::var;
use crate::config::IsolateConfig;
use std::cell::OnceCell;
use std::rc::Rc;
use worker::Env;

thread_local! {
    static CONFIG: OnceCell<Rc<IsolateConfig>> = const { OnceCell::new() };
}

/// The configuration, read by the first request that asks for it.
pub fn config(env: &Env) -> Rc<IsolateConfig> {
    let read = || Rc::new(IsolateConfig::read(&|name| var(env, name)));
    CONFIG.with(|config| Rc::clone(config.get_or_init(read)))
}
