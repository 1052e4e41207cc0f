//! Who asks, and what may be told before that is known.
//!
//! Owns the order: credentials, then the path, then the rest of a request. It doesn't own how
//! credentials are configured and checked (`config/auth`: variables are named in `config/` only).
//! Invariant: a [`Caller`]'s tenant comes from credentials, never from a path, a body or a header.

use super::command::{self, Command, RunList, Wanted};
use super::incoming::Incoming;
use super::route::{self, route};
use crate::config::{Identity, IsolateConfig};
use crate::ids::{self, ProjectId, SessionId, TenantId, TurnId};
use crate::wire::problem::Problem;
use serde::{Deserialize, Serialize};

/// Who asks for which session; always from credentials, never from a path or body alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// `PROJECT`, when one is configured.
    pub project: Option<ProjectId>,
    /// The tenant of the credentials.
    pub tenant: TenantId,
    /// The user of the credentials.
    pub user: Option<String>,
    /// The session of the path.
    pub session: SessionId,
}

impl Caller {
    /// The session's key in every store.
    pub fn session_key(&self) -> String {
        ids::session_key(self.project.as_ref(), &self.tenant, &self.session)
    }
}

/// Whoever looks after a turn that nobody asks for, as the sweep does.
impl From<TurnId> for Caller {
    fn from(turn: TurnId) -> Self {
        Caller {
            project: turn.project,
            tenant: turn.tenant,
            user: None,
            session: turn.session,
        }
    }
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Whether the Worker is there.
    Health,
    /// A tenant's runs, which the durable store knows.
    Runs(TenantRuns),
    /// Something of a session, which its object knows.
    Session(Caller, Command),
}

/// Which runs, and whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRuns {
    /// `PROJECT`, when one is configured.
    pub project: Option<ProjectId>,
    /// The tenant of the credentials.
    pub tenant: TenantId,
    /// Which of its runs.
    pub list: RunList,
}

/// Says what a request asks for.
///
/// # Errors
/// The [`Problem`] to answer with: 401 before anything else is looked at, 404, 405, and what the
/// parsers refuse.
pub async fn ask<R: Incoming>(config: &IsolateConfig, request: &mut R) -> Result<Asked, Problem> {
    let path = request.path();
    if path == route::HEALTH {
        return route::get(request.method(), || Ok(Asked::Health));
    }
    let Identity { tenant, user } = identity(config, request)?;
    let route = route(request.method(), &path)?;
    let project = config.project.clone()?;
    Ok(match command::read(route, request).await? {
        Wanted::Runs(list) => Asked::Runs(TenantRuns {
            project,
            tenant,
            list,
        }),
        Wanted::Session(session, command) => {
            let caller = Caller {
                project,
                tenant,
                user,
                session,
            };
            Asked::Session(caller, command)
        }
    })
}

/// Who sends a request about this session, where its path is none of the API's.
///
/// # Errors
/// The [`Problem`] to answer with: 401 before anything else is looked at.
pub fn caller<R: Incoming>(
    config: &IsolateConfig,
    request: &R,
    session: &str,
) -> Result<Caller, Problem> {
    let Identity { tenant, user } = identity(config, request)?;
    Ok(Caller {
        project: config.project.clone()?,
        tenant,
        user,
        session: SessionId::parse(session)?,
    })
}

fn identity<R: Incoming>(config: &IsolateConfig, request: &R) -> Result<Identity, Problem> {
    let auth = config.auth.as_ref().map_err(Clone::clone)?;
    let authorization = request.header("authorization");
    auth.authenticate(&request.host(), authorization.as_deref())
}
