//! What crosses sessions: the cron sweep over D1, and the list of a tenant's runs.
//!
//! Owns the third net for orphans and D1's retention. It runs in the Worker, without an object.
//! Invariant: a pass is bounded in statements, and what it leaves the next one does.

use super::read::public_run;
use crate::api::{Answer, List, RunList, TenantRuns};
use crate::caps;
use crate::ids::{self, ProjectId};
use crate::store::{self, Driver, DueRun, RunFilter, SqlStore};
use crate::wire::cursor::decode_cursor;
use crate::wire::problem::Problem;

/// Expires old lines, then says which runs of the project must be poked. `now` is Unix ms.
///
/// # Errors
/// [`store::Error`]: the next pass tries again.
pub async fn sweep<D: Driver>(
    durable: &SqlStore<D>,
    project: Option<&ProjectId>,
    now: i64,
    d1_log_days: u64,
) -> Result<Vec<DueRun>, store::Error> {
    let kept_ms = d1_log_days.saturating_mul(caps::DAY_MS);
    let expired = now.saturating_sub_unsigned(kept_ms);
    // Two statements a batch, within those of a pass.
    for _ in 0..caps::EXPIRY_BATCHES {
        let runs = durable.expire_logs(expired, caps::EXPIRY_RUNS).await?;
        if runs < u64::from(caps::EXPIRY_RUNS) {
            break;
        }
    }
    let before = now.saturating_sub_unsigned(caps::SWEEP_AFTER_MS);
    durable
        .due_runs(&ids::project_prefix(project), before, caps::SWEEP_RUNS)
        .await
}

/// A tenant's runs in a project as the API lists them, newest first.
///
/// # Errors
/// `invalid_request` for a cursor that isn't one, `store_unavailable`.
pub async fn list_runs<D: Driver>(
    durable: &SqlStore<D>,
    asked: &TenantRuns,
) -> Result<Answer, Problem> {
    let TenantRuns {
        project,
        tenant,
        list: RunList {
            status,
            session,
            page,
        },
    } = asked;
    let filter = RunFilter {
        status: *status,
        session: session.as_ref().map(|session| session.as_str().to_owned()),
        after: page.cursor.as_deref().map(position).transpose()?,
    };
    let runs = durable
        .list_runs(
            tenant.as_str(),
            &ids::tenant_prefix(project.as_ref(), tenant),
            &filter,
            page.limit,
        )
        .await
        .map_err(|_| Problem::store_unavailable())?;
    let more = runs
        .last()
        .filter(|_| runs.len() as u64 >= u64::from(page.limit))
        .map(|last| format!("{} {}", last.created_at, last.run_id));
    Ok(Answer::Runs(List {
        items: runs.into_iter().map(|run| public_run(run, None)).collect(),
        next: more,
    }))
}

fn position(cursor: &str) -> Result<(i64, String), Problem> {
    let refused = || Problem::invalid_request("`cursor` must be one that this list returned");
    let decoded = decode_cursor(cursor)?;
    let (created_at, run_id) = decoded.split_once(' ').ok_or_else(refused)?;
    Ok((
        created_at.parse().map_err(|_| refused())?,
        run_id.to_owned(),
    ))
}
