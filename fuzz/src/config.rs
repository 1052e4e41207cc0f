//! Variables: each is taken or named, and none is shown.
//!
//! An input's lines are `NAME=value`.

use crate::cursors::refusal;
use crate::input::text;
use std::collections::BTreeMap;
use steadfast::config::{CorsConfig, TurnConfig, UpstreamConfig, read_project, read_upstream_key};
use steadfast::upstream::{OwnNames, Resolved};
use steadfast::wire::problem::Problem;

const OWN: OwnNames<'static> = OwnNames {
    upstreams: &["own"],
    tasks: &["research"],
};

/// Every reader of variables on the same ones.
pub fn config(data: &[u8]) {
    let input = text(data);
    let pairs: BTreeMap<&str, &str> = input
        .split('\n')
        .filter_map(|line| line.split_once('='))
        .collect();
    let vars = |name: &str| pairs.get(name).map(|value| (*value).to_owned());

    if let Some(turn) = taken(TurnConfig::read(&vars)) {
        let stored = serde_json::to_string(&turn).expect("it is JSON");
        assert_eq!(serde_json::from_str(&stored).ok(), Some(turn));
    }
    if let Some(cors) = taken(CorsConfig::read(&vars)) {
        let page = pairs.get("origin").copied();
        let listed = pairs
            .get("CORS_ORIGINS")
            .is_some_and(|list| list.split(',').any(|entry| Some(entry.trim()) == page));
        for headers in [cors.headers(page), cors.preflight_headers(page)] {
            let allowed = headers
                .iter()
                .find(|(name, _)| *name == "access-control-allow-origin");
            assert_eq!(
                allowed.map(|(_, value)| value.as_str()),
                page.filter(|page| listed && !page.is_empty())
            );
            assert!(
                headers
                    .iter()
                    .all(|(_, value)| !value.contains(['\r', '\n']))
            );
        }
    }
    if let Some(project) = taken(read_project(&vars)).flatten() {
        assert_eq!(Some(project.as_str()), pairs.get("PROJECT").copied());
    }
    if let Some(key) = taken(read_upstream_key(&vars)).flatten() {
        assert!(
            !key.expose().contains(['\r', '\n']),
            "it goes into a header"
        );
        assert!(!format!("{key:?}").contains(key.expose()) || key.expose().len() < 8);
    }
    if let Some(upstreams) = taken(UpstreamConfig::read(&vars, OWN)) {
        let name = |name: &str| pairs.get(name).copied();
        for asked in [None, name("upstream")] {
            match upstreams.resolve(name("model"), asked) {
                Ok(resolved) => resolves(&resolved, asked),
                Err(problem) => refusal(&problem, &[(400, "invalid_request")]),
            }
        }
    }
}

fn resolves(resolved: &Resolved, asked: Option<&str>) {
    assert!(asked.is_none_or(|asked| asked == resolved.public_name()));
    if let Some(url) = &resolved.url {
        assert!(url.starts_with("https://") || url.starts_with("http://"));
        assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "{url}");
    }
    let stored = serde_json::to_string(resolved).expect("it is JSON");
    assert_eq!(serde_json::from_str(&stored).ok().as_ref(), Some(resolved));
}

fn taken<T>(read: Result<T, Problem>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(problem) => {
            refusal(&problem, &[(503, "misconfigured")]);
            None
        }
    }
}
