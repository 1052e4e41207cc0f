//! The cron trigger's work: the third net for orphans, and D1's retention.
//!
//! Owns its performance in the Worker; which runs are due is `session/sweep`. Invariant: one run
//! that can't be poked keeps no other from it.

use super::d1::D1;
use super::ports::now_ms;
use super::{isolate, panics, stub};
use crate::api::{Caller, Command};
use crate::ids::TurnId;
use crate::ops::{About, Event, Why};
use crate::session;
use crate::store::{DueRun, Section, SqlStore, Store};
use crate::wire::problem::Problem;
use worker::Env;

/// One pass of the sweep, for a cron trigger each minute: expires old lines in D1 and pokes the
/// objects of turns that nobody has looked after. What goes wrong is logged; the next pass tries
/// again.
pub async fn sweep(env: &Env) {
    panics::tell();
    if let Err(why) = pass(env).await {
        log(About::Sweep, &why);
    }
}

async fn pass(env: &Env) -> Result<(), String> {
    let config = isolate::config(env);
    let refused = |problem: &Problem| problem.detail.clone();
    let object = config.object.as_ref().map_err(refused)?;
    let durable = SqlStore::new(D1::new(env), Section::D1);
    let now = now_ms();
    let migrated = durable.migrate(now).await;
    migrated.map_err(|failure| failure.to_string())?;
    let project = config.project.as_ref().map_err(refused)?;
    let due = session::sweep(&durable, project.as_ref(), now, object.d1_log_days).await;
    for run in due.map_err(|failure| failure.to_string())? {
        if let Err(why) = poke(env, &run).await {
            log(About::Run(&run.run_id), &why);
        }
    }
    Ok(())
}

async fn poke(env: &Env, run: &DueRun) -> Result<(), String> {
    // Its project is what its id begins with, whatever this deployment's is.
    let turn = TurnId::parse(&run.run_id).map_err(|invalid| invalid.to_string())?;
    let command = Command::Poke(turn.turn_index);
    let answer = stub::ask(env, Caller::from(turn), command).await;
    answer.map(drop).map_err(|problem| problem.detail)
}

fn log(about: About<'_>, why: &str) {
    let why = Why::Words(why);
    worker::console_log!("{}", Event::Object { about, why });
}
