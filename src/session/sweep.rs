//! What crosses sessions: the cron sweep over D1, and the list of a tenant's runs.
//!
//! Owns the third net for orphans and D1's retention. It runs in the Worker, without an object.
//! Invariant: a pass is bounded in statements, and what it leaves the next one does.

use super::read::{list, run_view};
use crate::caps;
use crate::store::{self, Driver, DueRun, RunFilter, SqlStore};
use crate::wire::cursor::decode_cursor;
use crate::wire::problem::Problem;

/// Expires old lines, then says which runs must be poked. `now` is Unix ms.
///
/// # Errors
/// [`store::Error`]: the next pass tries again.
pub async fn sweep<D: Driver>(
    durable: &SqlStore<D>,
    now: i64,
    d1_log_days: u64,
) -> Result<Vec<DueRun>, store::Error> {
    let kept_ms = d1_log_days.saturating_mul(caps::DAY_MS);
    // Two statements a run, and three for the rest of the pass.
    let runs = u32::try_from((caps::PASS_STATEMENTS - 4) / 2).unwrap_or(1);
    durable
        .expire_logs(now.saturating_sub_unsigned(kept_ms), runs)
        .await?;
    let before = now.saturating_sub_unsigned(caps::SWEEP_AFTER_MS);
    durable.due_runs(before, caps::SWEEP_RUNS).await
}

/// A tenant's runs as the API lists them, newest first.
///
/// # Errors
/// `invalid_request` for a cursor that isn't one, `store_unavailable`.
pub async fn list_runs<D: Driver>(
    durable: &SqlStore<D>,
    tenant: &str,
    status: Option<store::Status>,
    session: Option<String>,
    limit: u32,
    cursor: Option<&str>,
) -> Result<String, Problem> {
    let filter = RunFilter {
        status,
        session,
        after: cursor.map(position).transpose()?,
    };
    let runs = durable
        .list_runs(tenant, &filter, limit)
        .await
        .map_err(|_| Problem::store_unavailable())?;
    let more = runs
        .last()
        .filter(|_| runs.len() as u64 >= u64::from(limit))
        .map(|last| format!("{} {}", last.created_at, last.run_id));
    let items: Vec<String> = runs.iter().map(|run| run_view(run, None)).collect();
    Ok(list("runs", &items, more.as_deref()))
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
