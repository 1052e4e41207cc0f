//! The cron trigger's work: the third net for orphans, and D1's retention.
//!
//! Owns its performance in the Worker; which runs are due is `session/sweep`. Invariant: one run
//! that can't be poked keeps no other from it.

use super::d1::D1;
use super::platform::var;
use super::ports::now_ms;
use super::stub;
use crate::config::{ObjectConfig, read_project};
use crate::ids::{InvalidId, ProjectId, SessionId, TenantId};
use crate::ops::{About, Event, Why};
use crate::session::{self, Caller, Command};
use crate::store::{DueRun, Section, SqlStore, Store};
use worker::Env;

/// One pass of the sweep, for a cron trigger each minute: expires old lines in D1 and pokes the
/// objects of turns that nobody has looked after. What goes wrong is logged; the next pass tries
/// again.
pub async fn sweep(env: &Env) {
    if let Err(why) = pass(env).await {
        log(About::Sweep, &why);
    }
}

async fn pass(env: &Env) -> Result<(), String> {
    let config = ObjectConfig::read(&|name| var(env, name)).map_err(|problem| problem.detail)?;
    let durable = SqlStore::new(D1::new(env), Section::D1);
    let now = now_ms();
    let migrated = durable.migrate(now).await;
    migrated.map_err(|failure| failure.to_string())?;
    let project = read_project(&|name| var(env, name)).map_err(|problem| problem.detail)?;
    let due = session::sweep(&durable, project.as_ref(), now, config.d1_log_days).await;
    for run in due.map_err(|failure| failure.to_string())? {
        if let Err(why) = poke(env, &run).await {
            log(About::Run(&run.run_id), &why);
        }
    }
    Ok(())
}

async fn poke(env: &Env, run: &DueRun) -> Result<(), String> {
    let command = Command::Poke(run.turn_index);
    let answer = stub::ask(env, caller_of(run)?, command).await;
    answer.map(drop).map_err(|problem| problem.detail)
}

fn log(about: About<'_>, why: &str) {
    let why = Why::Words(why);
    worker::console_log!("{}", Event::Object { about, why });
}

/// The caller that a run's own row names; its project is what its id begins with.
fn caller_of(run: &DueRun) -> Result<Caller, String> {
    let invalid = |error: InvalidId| error.to_string();
    let own = format!("{}:{}:{}", run.tenant, run.session, run.turn_index);
    let project = run
        .run_id
        .strip_suffix(&own)
        .and_then(|project| project.strip_suffix(':'))
        .map(ProjectId::parse)
        .transpose()
        .map_err(invalid)?;
    Ok(Caller {
        project,
        tenant: TenantId::parse(&run.tenant).map_err(invalid)?,
        user: None,
        session: SessionId::parse(&run.session).map_err(invalid)?,
    })
}
