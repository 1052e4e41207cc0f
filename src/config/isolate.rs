//! What a Worker answers by, whatever session is asked for.
//!
//! Owns the reading of these variables once in an isolate's life, in which they don't change.
//! Invariant: a bad variable refuses the requests that need it, and no other.

use super::{AuthConfig, CorsConfig, ObjectConfig, Vars, read_project};
use crate::ids::ProjectId;
use crate::wire::problem::Problem;

/// The variables of a Worker, each with the refusal of those who need it when it is bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsolateConfig {
    /// How callers prove who they are.
    pub auth: Result<AuthConfig, Problem>,
    /// Which browser pages may call.
    pub cors: Result<CorsConfig, Problem>,
    /// The first part of run ids.
    pub project: Result<Option<ProjectId>, Problem>,
    /// What the sweep shares with the objects.
    pub object: Result<ObjectConfig, Problem>,
}

impl IsolateConfig {
    /// Reads the variables.
    pub fn read(vars: Vars<'_>) -> Self {
        Self {
            auth: AuthConfig::read(vars),
            cors: CorsConfig::read(vars),
            project: read_project(vars),
            object: ObjectConfig::read(vars),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::vars;
    use super::*;

    #[test]
    fn a_bad_variable_spoils_nothing_but_its_own_part() {
        let good = [
            ("AUTH_MODE", "none"),
            ("CORS_ORIGINS", "https://a.example"),
            ("PROJECT", "eu"),
            ("D1_LOG_DAYS", "3"),
        ];
        let whole = IsolateConfig::read(&vars(&good));
        assert!(whole.auth.is_ok() && whole.cors.is_ok() && whole.object.is_ok());
        for (at, (name, _)) in good.iter().enumerate() {
            let mut pairs = good;
            pairs[at] = (name, "a bad:one");
            let read = IsolateConfig::read(&vars(&pairs));
            let refused = Problem::misconfigured(name);
            let expected = IsolateConfig {
                auth: if at == 0 {
                    Err(refused.clone())
                } else {
                    whole.auth.clone()
                },
                cors: if at == 1 {
                    Err(refused.clone())
                } else {
                    whole.cors.clone()
                },
                project: if at == 2 {
                    Err(refused.clone())
                } else {
                    whole.project.clone()
                },
                object: if at == 3 {
                    Err(refused)
                } else {
                    whole.object.clone()
                },
            };
            assert_eq!(read, expected, "{name}");
        }
    }
}
