//! Turns without Durable Objects: a Worker that runs them straight on D1, under leases.
//!
//! It answers three of the API's requests (submit, follow, cancel) with the library's functions. Two
//! of its requests, in two data centres, may meet over one turn: whoever holds the turn's lease drains
//! it, the other reads along, and whoever lost its lease can't write any more.

use steadfast::api::Command;
use steadfast::caps;
use steadfast::cloudflare::{self, D1, RequestPorts, Transport, var};
use steadfast::config::{TurnConfig, read_project, read_upstream_key};
use steadfast::ids;
use steadfast::plain::{
    TurnInput, TurnRefused, TurnTerms, cancel_turn, follow_turn, resume_turn, run_supervised_turn,
};
use steadfast::ports::{Clock, Log};
use steadfast::run::LeaseTerms;
use steadfast::session::sweep;
use steadfast::ship::Timed;
use steadfast::store::{Section, SqlStore, Store};
use steadfast::turn::NoHooks;
use steadfast::upstream::Sandbox;
use steadfast::wire::problem::Problem;
use steadfast::wire::view::ViewKind;
use worker::{Context, Env, Request, Response, Result, ScheduleContext, ScheduledEvent, event};

/// Turns that one firing of cron takes over: they share its 1,000 queries.
const AT_ONCE: usize = 4;

type TurnStore = SqlStore<Timed<RequestPorts, D1>>;

/// Whatever is refused is refused here, before there is an answer.
#[event(fetch)]
async fn fetch(mut request: Request, env: Env, context: Context) -> Result<Response> {
    let ports = RequestPorts::new(context);
    match answer(&mut request, &env, &ports).await {
        Ok(response) => response,
        Err(refused) => cloudflare::refusal(&refused.problem()),
    }
}

/// Takes over turns that nobody drains and nobody asks for, and lets old lines go.
#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, context: ScheduleContext) {
    let ports = RequestPorts::scheduled(context);
    if let Err(refused) = look_after(&env, &ports).await {
        ports.log(&refused.problem().to_json());
    }
}

async fn answer(
    request: &mut Request,
    env: &Env,
    ports: &RequestPorts,
) -> std::result::Result<Result<Response>, TurnRefused> {
    let asked = cloudflare::command(request, env).await;
    let (caller, command) = asked.map_err(TurnRefused::Rule)?;
    let store = store(env, ports).await?;
    match command {
        Command::Submit(submit, view) => {
            let session = caller.session.clone();
            let input = TurnInput {
                caller,
                submit: *submit,
                terms: terms(env, view)?,
            };
            let turn = run_supervised_turn(ports, &store, input, upstream(env)?, NoHooks).await?;
            Ok(cloudflare::turn_response(session.as_str(), turn))
        }
        Command::Follow {
            turn,
            start,
            live,
            view,
        } => {
            // A follow only reads. If whoever drained the turn is gone, this request goes on with it.
            let run_id = ids::run_id(&caller.session_key(), turn);
            let terms = terms(env, view)?;
            resume_turn(ports, &store, &run_id, upstream(env)?, NoHooks, &terms).await?;
            let lines = follow_turn(ports, &store, &caller, turn, start, live, view.view()).await?;
            Ok(cloudflare::lines_response(lines))
        }
        Command::Cancel(turn, reason) => {
            let open = cancel_turn(ports, &store, &caller, turn, reason.as_deref()).await?;
            let status = if open { 202 } else { 200 };
            Ok(Response::empty().map(|response| response.with_status(status)))
        }
        _ => Err(TurnRefused::Rule(Problem::not_found())),
    }
}

async fn look_after(env: &Env, ports: &RequestPorts) -> std::result::Result<(), TurnRefused> {
    let store = store(env, ports).await?;
    let terms = terms(env, ViewKind::default())?;
    let days = caps::D1_LOG_DAYS.default;
    let project = read_project(&|name| var(env, name)).map_err(TurnRefused::Rule)?;
    let due = sweep(&store, project.as_ref(), ports.now_ms(), days).await?;
    let mut taken = 0;
    for run in due {
        if taken == AT_ONCE {
            break;
        }
        let upstream = upstream(env)?;
        match resume_turn(ports, &store, &run.run_id, upstream, NoHooks, &terms).await {
            Ok(is_taken) => taken += usize::from(is_taken),
            // One that can't go on must not hold up those behind it.
            Err(refused) => ports.log(&refused.problem().to_json()),
        }
    }
    Ok(())
}

/// D1 with its schema, which one query finds up to date. No call of it is waited for without end.
async fn store(env: &Env, ports: &RequestPorts) -> std::result::Result<TurnStore, TurnRefused> {
    let store = SqlStore::new(Timed::new(ports.clone(), D1::new(env)), Section::D1);
    store.migrate(ports.now_ms()).await?;
    Ok(store)
}

/// Budgets by the variables of PROTOCOL §5, and a lease by `LEASE_MS`.
fn terms(env: &Env, view: ViewKind) -> std::result::Result<TurnTerms, TurnRefused> {
    let vars = |name: &str| var(env, name);
    let lease_ms = vars("LEASE_MS").map_or(Ok(caps::LEASE_MS), |text| text.parse());
    Ok(TurnTerms {
        turn: TurnConfig::read(&vars).map_err(TurnRefused::Rule)?,
        model: vars("UPSTREAM_MODEL"),
        lease: LeaseTerms {
            lease_ms: lease_ms.map_err(|_| misconfigured("LEASE_MS"))?,
        },
        view,
        ..TurnTerms::default()
    })
}

/// The agent server at `UPSTREAM_URL`.
fn upstream(env: &Env) -> std::result::Result<Sandbox<Transport>, TurnRefused> {
    let vars = |name: &str| var(env, name);
    let url = vars("UPSTREAM_URL").ok_or_else(|| misconfigured("UPSTREAM_URL"))?;
    let key = read_upstream_key(&vars).map_err(TurnRefused::Rule)?;
    let key = key.map(|secret| secret.expose().to_owned());
    Ok(Sandbox::new(Transport::Network, url, key))
}

fn misconfigured(variable: &str) -> TurnRefused {
    TurnRefused::Rule(Problem::misconfigured(variable))
}
