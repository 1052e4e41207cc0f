//! A whole deployment in one thread: objects, D1, upstreams and clients in virtual time.
//!
//! Owns the simulated platform that the session's native tests run on. Nothing in it reads a real
//! clock or real chance, so a run is a function of its seed and its plan.
//! Invariant: what a life of an object did before its end stays; what it would have done after
//! does not happen.

mod app;
mod chat;
mod check;
mod client;
mod errand;
mod executor;
mod names;
mod object;
mod plain;
mod plan;
mod platform;
mod sandbox;
mod script;
mod storage;
mod worker;
mod world;

pub use app::{FORGED, RACER, SPELLER, WAITER};
pub use chat::pieces as chat_pieces;
pub use check::{ALONE, DIFFERS, Dump, assert_shipped, differences, dump, lines_of};
pub use client::{Answer, Client, Pace};
pub use errand::{
    APPROVAL_MS, Act, CROWD, ERRAND, PATIENT, VAST, VAST_EVENT, answer as errand_answer,
    patient_answer, vast_answer,
};
pub use executor::Life;
pub use object::{AlarmFate, Object};
pub use plain::{
    Does, PlainStore, Product, Reading, SECRET, Stay, caller, everything, input, text_of,
};
pub use plan::{Crash, Effect, Met, Moment, Named};
pub use platform::SimPorts;
pub use sandbox::{Asked, Behaviour};
pub use script::{Script, Trick};
pub use storage::{Fault, StorageFault};
pub use worker::{Ctx, Outcome, Worker};
pub use world::{TENANT, World, behind, submit};
