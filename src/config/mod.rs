//! The configuration: PROTOCOL §5's variables, read and checked, one type for each who needs them.
//!
//! Owns names, defaults, bounds and forms. It doesn't own where variables come from: a reader
//! gets a function that looks one up. Each type reads only its own variables, so that a request
//! is refused only for what it needs. Invariant: what is refused is named, and no value of a
//! variable appears in a problem or a log.

mod auth;
mod cors;
mod isolate;
mod upstream;

pub use auth::{AuthConfig, Identity, is_loopback_host};
pub use cors::CorsConfig;
pub use isolate::IsolateConfig;
pub use upstream::{Secret, UpstreamConfig, read_upstream_key};

use crate::caps::{self, Setting};
use crate::certain::Certain;
use crate::ids::ProjectId;
use crate::wire::problem::Problem;
use serde::{Deserialize, Serialize};

/// Looks up a variable or secret by its name.
pub type Vars<'v> = &'v dyn Fn(&str) -> Option<String>;

/// How a turn is run; read when the turn is accepted, then stored with it.
///
/// PERSISTED: fields are only added, and an added one has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnConfig {
    /// Silence of the upstream after which it is attached again.
    pub upstream_idle_ms: u64,
    /// Failures to attach in a row that end the turn; progress restores them.
    pub upstream_attempts: u32,
    /// Starts of the turn in all; nothing restores them.
    pub upstream_starts: u32,
    /// The turn's time, waiting for events excluded.
    pub turn_timeout_ms: u64,
    /// Bytes of all the turn's lines.
    pub turn_max_bytes: u64,
    /// Earlier messages that the upstream is told.
    pub history_messages: u32,
    /// Bytes of their content in all.
    pub history_bytes: u64,
    /// What the model is told first, where the upstream's kind has a place for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
}

impl TurnConfig {
    /// Reads the variables of a turn.
    pub fn read(vars: Vars<'_>) -> Result<Self, Problem> {
        let system_prompt = lookup(vars, "SYSTEM_PROMPT");
        if system_prompt
            .as_ref()
            .is_some_and(|prompt| prompt.len() > caps::SYSTEM_PROMPT_BYTES)
        {
            return Err(Problem::misconfigured("SYSTEM_PROMPT"));
        }
        Ok(Self {
            upstream_idle_ms: integer(vars, caps::UPSTREAM_IDLE_MS)?,
            upstream_attempts: integer(vars, caps::UPSTREAM_ATTEMPTS)?,
            upstream_starts: integer(vars, caps::UPSTREAM_STARTS)?,
            turn_timeout_ms: integer(vars, caps::TURN_TIMEOUT_MS)?,
            turn_max_bytes: integer(vars, caps::TURN_MAX_BYTES)?,
            history_messages: integer(vars, caps::HISTORY_MESSAGES)?,
            history_bytes: integer(vars, caps::HISTORY_BYTES)?,
            system_prompt,
        })
    }
}

/// The defaults, for whoever has no variables.
impl Default for TurnConfig {
    fn default() -> Self {
        Self::read(&|_| None).certain("defaults are within their bounds")
    }
}

/// How a session's object works; read anew at each of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectConfig {
    /// The least time between two commits of a busy turn.
    pub commit_window_ms: u64,
    /// How long a line may be in the object only.
    pub ship_interval_ms: u64,
    /// How often an object with an open run looks at itself.
    pub watchdog_ms: u64,
    /// How long the object keeps the log of a finished turn.
    pub retention_days: u64,
    /// How long D1 keeps its copy of the lines.
    pub d1_log_days: u64,
}

impl ObjectConfig {
    /// Reads the variables of an object.
    pub fn read(vars: Vars<'_>) -> Result<Self, Problem> {
        Ok(Self {
            commit_window_ms: integer(vars, caps::COMMIT_WINDOW_MS)?,
            ship_interval_ms: integer(vars, caps::SHIP_INTERVAL_MS)?,
            watchdog_ms: integer(vars, caps::WATCHDOG_MS)?,
            retention_days: integer(vars, caps::RETENTION_DAYS)?,
            d1_log_days: integer(vars, caps::D1_LOG_DAYS)?,
        })
    }
}

/// The defaults: a run that is under way goes on with them when a variable went bad.
impl Default for ObjectConfig {
    fn default() -> Self {
        Self {
            commit_window_ms: caps::COMMIT_WINDOW_MS.default,
            ship_interval_ms: caps::SHIP_INTERVAL_MS.default,
            watchdog_ms: caps::WATCHDOG_MS.default,
            retention_days: caps::RETENTION_DAYS.default,
            d1_log_days: caps::D1_LOG_DAYS.default,
        }
    }
}

/// Reads `PROJECT`, the first part of run ids where it is set.
pub fn read_project(vars: Vars<'_>) -> Result<Option<ProjectId>, Problem> {
    lookup(vars, "PROJECT")
        .map(|project| ProjectId::parse(&project).map_err(|_| Problem::misconfigured("PROJECT")))
        .transpose()
}

/// A variable's value; an empty one is how deployment tools write "not set".
fn lookup(vars: Vars<'_>, name: &str) -> Option<String> {
    vars(name).filter(|value| !value.is_empty())
}

/// An integer within the bounds of `setting`, or its default.
fn integer<N: TryFrom<u64>>(vars: Vars<'_>, setting: Setting) -> Result<N, Problem> {
    let value = match lookup(vars, setting.name) {
        None => Some(setting.default),
        // `parse` alone would also take a plus sign.
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        Some(_) => None,
    };
    value
        .filter(|value| (setting.min..=setting.max).contains(value))
        .and_then(|value| N::try_from(value).ok())
        .ok_or_else(|| Problem::misconfigured(setting.name))
}

/// The items of a comma separated list, each trimmed and none empty; no items when it is not set.
fn list(vars: Vars<'_>, name: &str) -> Result<Vec<String>, Problem> {
    let Some(text) = lookup(vars, name) else {
        return Ok(Vec::new());
    };
    let items: Vec<_> = text.split(',').map(|item| item.trim().to_owned()).collect();
    if items.iter().any(String::is_empty) {
        return Err(Problem::misconfigured(name));
    }
    Ok(items)
}

/// Whether `text` is a host with or without a port: no user, no path, no white space.
fn is_authority(text: &str) -> bool {
    let (host, port) = split_port(text);
    let host_fits = match host.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        }
    };
    host_fits && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// A host and its port, if it ends in one. Of a bare IPv6 address no host is left that anyone takes.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            (host, Some(port))
        }
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variables that are exactly `pairs`.
    pub(super) fn vars<'p>(
        pairs: &'p [(&'p str, &'p str)],
    ) -> impl Fn(&str) -> Option<String> + 'p {
        |name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    const SETTINGS: [Setting; 12] = [
        caps::UPSTREAM_IDLE_MS,
        caps::UPSTREAM_ATTEMPTS,
        caps::UPSTREAM_STARTS,
        caps::TURN_TIMEOUT_MS,
        caps::TURN_MAX_BYTES,
        caps::HISTORY_MESSAGES,
        caps::HISTORY_BYTES,
        caps::COMMIT_WINDOW_MS,
        caps::SHIP_INTERVAL_MS,
        caps::WATCHDOG_MS,
        caps::RETENTION_DAYS,
        caps::D1_LOG_DAYS,
    ];

    /// Reads every integer variable with one of them set.
    fn read_with(name: &str, value: &str) -> Result<(), Problem> {
        let pairs = [(name, value)];
        TurnConfig::read(&vars(&pairs))?;
        ObjectConfig::read(&vars(&pairs))?;
        Ok(())
    }

    #[test]
    fn what_is_not_set_has_the_protocols_default() {
        let turn = TurnConfig {
            upstream_idle_ms: 120_000,
            upstream_attempts: 8,
            upstream_starts: 3,
            turn_timeout_ms: 1_800_000,
            turn_max_bytes: 16_777_216,
            history_messages: 50,
            history_bytes: 131_072,
            system_prompt: None,
        };
        let object = ObjectConfig {
            commit_window_ms: 50,
            ship_interval_ms: 5_000,
            watchdog_ms: 5_000,
            retention_days: 30,
            d1_log_days: 7,
        };
        let empty: Vec<_> = SETTINGS.iter().map(|setting| (setting.name, "")).collect();
        for pairs in [&[][..], &empty, &[("SYSTEM_PROMPT", "")]] {
            assert_eq!(TurnConfig::read(&vars(pairs)), Ok(turn.clone()));
            assert_eq!(ObjectConfig::read(&vars(pairs)), Ok(object));
        }
    }

    #[test]
    fn each_variable_reaches_its_field() {
        let values: Vec<_> = (100..)
            .take(SETTINGS.len())
            .map(|n| n.to_string())
            .collect();
        let mut pairs: Vec<_> = SETTINGS
            .iter()
            .zip(&values)
            .map(|(setting, value)| (setting.name, value.as_str()))
            .collect();
        let mut set = |name, value| {
            pairs.retain(|(key, _)| *key != name);
            pairs.push((name, value));
        };
        set("UPSTREAM_ATTEMPTS", "9");
        set("UPSTREAM_STARTS", "2");
        set("TURN_TIMEOUT_MS", "3000");
        set("TURN_MAX_BYTES", "4000");
        set("SYSTEM_PROMPT", " be brief ");
        let turn = TurnConfig {
            upstream_idle_ms: 100,
            upstream_attempts: 9,
            upstream_starts: 2,
            turn_timeout_ms: 3000,
            turn_max_bytes: 4000,
            history_messages: 105,
            history_bytes: 106,
            system_prompt: Some(" be brief ".into()),
        };
        let object = ObjectConfig {
            commit_window_ms: 107,
            ship_interval_ms: 108,
            watchdog_ms: 109,
            retention_days: 110,
            d1_log_days: 111,
        };
        assert_eq!(TurnConfig::read(&vars(&pairs)), Ok(turn));
        assert_eq!(ObjectConfig::read(&vars(&pairs)), Ok(object));
    }

    #[test]
    fn integers_are_plain_and_within_bounds() {
        for setting in SETTINGS {
            for fits in [setting.min, setting.default, setting.max] {
                assert_eq!(
                    read_with(setting.name, &fits.to_string()),
                    Ok(()),
                    "{}",
                    setting.name
                );
            }
            let above = (setting.max + 1).to_string();
            let below = (i128::from(setting.min) - 1).to_string();
            for bad in [
                above.as_str(),
                &below,
                "-1",
                "+50",
                " 50",
                "50 ",
                "50.0",
                "5e1",
                "1_000",
                "many",
                "99999999999999999999",
            ] {
                let expected = Err(Problem::misconfigured(setting.name));
                assert_eq!(
                    read_with(setting.name, bad),
                    expected,
                    "{} {bad}",
                    setting.name
                );
            }
        }
    }

    #[test]
    fn a_system_prompt_is_bounded() {
        let longest = "x".repeat(32_768);
        let beyond = longest.clone() + "x";
        assert_eq!(read_with("SYSTEM_PROMPT", &longest), Ok(()));
        assert_eq!(
            read_with("SYSTEM_PROMPT", &beyond),
            Err(Problem::misconfigured("SYSTEM_PROMPT"))
        );
    }

    #[test]
    fn a_stored_turn_config_is_read_again() {
        let stored = r#"{"upstreamIdleMs":1,"upstreamAttempts":2,"upstreamStarts":3,"turnTimeoutMs":4,"turnMaxBytes":5,"historyMessages":6,"historyBytes":7,"systemPrompt":"p"}"#;
        let read: TurnConfig = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), stored);

        let newer = stored.replace(r#""systemPrompt":"p""#, r#""addedLater":true"#);
        let read: TurnConfig = serde_json::from_str(&newer).unwrap();
        assert_eq!((read.history_bytes, read.system_prompt), (7, None));
    }

    #[test]
    fn a_project_is_an_id_or_nothing() {
        let read = |project| read_project(&vars(&[("PROJECT", project)]));
        assert_eq!(read_project(&vars(&[])), Ok(None));
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("eu-1"), Ok(Some(ProjectId::parse("eu-1").unwrap())));
        for bad in ["a:b", ".", " eu", "ä"] {
            assert_eq!(read(bad), Err(Problem::misconfigured("PROJECT")), "{bad}");
        }
    }

    #[test]
    fn authorities_are_hosts_with_or_without_a_port() {
        for good in [
            "a",
            "api.example.com",
            "127.0.0.1:8080",
            "localhost:1",
            "[::1]",
            "[2001:db8::1]:65535",
            "my_host",
        ] {
            assert!(is_authority(good), "{good}");
        }
        for bad in [
            "", ":80", "a:", "a:0", "a:65536", "a:b", "u@a", "u:p@a", "a b", "a/b", "::1", "[::1",
            "[x]", "é", "a:80:80",
        ] {
            assert!(!is_authority(bad), "{bad}");
        }
    }
}
