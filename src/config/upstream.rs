//! Which upstreams and models a request may ask for, and which of them it gets (PROTOCOL §4).
//!
//! Owns `UPSTREAM`, `UPSTREAM_URL`, `UPSTREAM_MODEL` and `UPSTREAM_KEY`. Which kinds there are, and what
//! each needs of these, is the registry's. Invariant: a [`Resolved`] is complete but for the key, so a
//! run that is recovered asks the upstream that it began with, whatever the variables say by then.

use super::{Vars, is_authority, list, lookup};
use crate::caps;
use crate::upstream::registry::{Needs, Offered, OwnNames, Resolved, is_built_in};
use crate::wire::problem::Problem;
use std::fmt;

/// The upstreams and models that requests may name; the first of each is the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    upstreams: Vec<Offered>,
    url: Option<String>,
    models: Vec<String>,
}

/// Whether a deployment's own upstream or task may have this name.
fn is_own_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=caps::UPSTREAM_NAME_BYTES).contains(&name.len())
        && name.bytes().all(fits)
        && !is_built_in(name)
}

impl UpstreamConfig {
    /// Reads `UPSTREAM`, which has no default, and what its kinds need besides. `own` are the
    /// deployment's own upstreams and tasks, which it may name beside the built-in ones.
    ///
    /// # Errors
    /// `misconfigured`, naming the variable; `UPSTREAM` also when one of `own` is of another form
    /// than `[a-z0-9-]{1,64}`, or a built-in one.
    pub fn read(vars: Vars<'_>, own: OwnNames<'_>) -> Result<Self, Problem> {
        let upstreams: Option<Vec<_>> = list(vars, "UPSTREAM")?
            .into_iter()
            .map(|name| Offered::parse(name, own))
            .collect();
        let upstreams = upstreams
            .filter(|upstreams| {
                let mut names = own.upstreams.iter().chain(own.tasks);
                !upstreams.is_empty() && names.all(|name| is_own_name(name))
            })
            .ok_or_else(|| Problem::misconfigured("UPSTREAM"))?;
        let any = |need: fn(Needs) -> bool| upstreams.iter().any(|offered| need(offered.needs()));
        let url = if any(|needs| needs.url) {
            let url = lookup(vars, "UPSTREAM_URL").and_then(|url| base_url(&url));
            Some(url.ok_or_else(|| Problem::misconfigured("UPSTREAM_URL"))?)
        } else {
            None
        };
        let models = list(vars, "UPSTREAM_MODEL")?;
        if models.is_empty() && any(|needs| needs.model) {
            return Err(Problem::misconfigured("UPSTREAM_MODEL"));
        }
        Ok(Self {
            upstreams,
            url,
            models,
        })
    }

    /// The upstream for a request that names this model and this upstream, or leaves them open.
    pub fn resolve(
        &self,
        model: Option<&str>,
        upstream: Option<&str>,
    ) -> Result<Resolved, Problem> {
        let unknown =
            |field| Problem::invalid_request(format!("`{field}` must be one that is configured"));
        let offered = match upstream {
            None => self.upstreams.first(),
            Some(name) => self.upstreams.iter().find(|offered| offered.name() == name),
        };
        let offered = offered.ok_or_else(|| unknown("upstream"))?;
        let model = match model {
            None => self.models.first(),
            Some(name) => {
                let known = self.models.iter().find(|model| *model == name);
                Some(known.ok_or_else(|| unknown("model"))?)
            }
        };
        Ok(offered.resolve(self.url.as_deref(), model.map(String::as_str)))
    }
}

/// An absolute http(s) URL that paths can be appended to; no user, query or fragment.
fn base_url(text: &str) -> Option<String> {
    let trimmed = text.trim_end_matches('/');
    let rest = trimmed
        .strip_prefix("https://")
        .or_else(|| trimmed.strip_prefix("http://"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path_fits = path
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"?#\\\"<>".contains(&b));
    (is_authority(authority) && path_fits).then(|| trimmed.to_owned())
}

/// A value that must not be logged; its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value, for the one header that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Reads `UPSTREAM_KEY`: by itself, since a run that is recovered needs it and nothing else.
///
/// It will stand in a header, so it is visible ASCII.
pub fn read_upstream_key(vars: Vars<'_>) -> Result<Option<Secret>, Problem> {
    let key = lookup(vars, "UPSTREAM_KEY");
    if key
        .as_ref()
        .is_some_and(|key| !key.bytes().all(|b| b.is_ascii_graphic()))
    {
        return Err(Problem::misconfigured("UPSTREAM_KEY"));
    }
    Ok(key.map(Secret))
}

#[cfg(test)]
mod tests {
    use super::super::tests::vars;
    use super::*;
    use crate::upstream::{BuiltIn, UpstreamKind};

    fn own<'a>(upstreams: &'a [&'a str]) -> OwnNames<'a> {
        OwnNames {
            upstreams,
            tasks: &["research"],
        }
    }

    fn resolved(kind: BuiltIn, url: Option<&str>, model: Option<&str>) -> Resolved {
        Resolved {
            kind: UpstreamKind::BuiltIn(kind),
            name: None,
            url: url.map(str::to_owned),
            model: model.map(str::to_owned),
        }
    }

    #[test]
    fn the_first_of_each_list_is_the_default() {
        let pairs = [
            ("UPSTREAM", "sandbox, demo ,openai-chat"),
            ("UPSTREAM_URL", "https://api.example/v1/"),
            ("UPSTREAM_MODEL", "small, large"),
        ];
        let config = UpstreamConfig::read(&vars(&pairs), OwnNames::default()).unwrap();
        let url = Some("https://api.example/v1");
        let cases = [
            (None, None, resolved(BuiltIn::Sandbox, url, Some("small"))),
            (
                Some("large"),
                None,
                resolved(BuiltIn::Sandbox, url, Some("large")),
            ),
            (
                None,
                Some("demo"),
                resolved(BuiltIn::Demo, None, Some("small")),
            ),
            (
                Some("large"),
                Some("openai-chat"),
                resolved(BuiltIn::OpenaiChat, url, Some("large")),
            ),
        ];
        for (model, upstream, expected) in cases {
            assert_eq!(
                config.resolve(model, upstream),
                Ok(expected),
                "{model:?} {upstream:?}"
            );
        }
    }

    #[test]
    fn names_that_are_not_configured_are_bad_requests() {
        let config =
            UpstreamConfig::read(&vars(&[("UPSTREAM", "demo")]), OwnNames::default()).unwrap();
        assert_eq!(
            config.resolve(None, None),
            Ok(resolved(BuiltIn::Demo, None, None))
        );
        for (model, upstream) in [
            (Some("m"), None),
            (Some(""), None),
            (None, Some("sandbox")),
            (None, Some("Demo")),
            (None, Some("")),
        ] {
            let problem = config.resolve(model, upstream).unwrap_err();
            assert_eq!(
                (problem.status(), problem.code.name()),
                (400, "invalid_request"),
                "{model:?} {upstream:?}"
            );
        }
    }

    #[test]
    fn what_is_missing_or_bad_is_named() {
        let url = ("UPSTREAM_URL", "http://a");
        let model = ("UPSTREAM_MODEL", "m");
        let cases: [(&[(&str, &str)], &str); 11] = [
            (&[], "UPSTREAM"),
            (&[("UPSTREAM", "")], "UPSTREAM"),
            (&[("UPSTREAM", "Demo")], "UPSTREAM"),
            (&[("UPSTREAM", "demo,")], "UPSTREAM"),
            (&[("UPSTREAM", "demo,other")], "UPSTREAM"),
            (&[("UPSTREAM", "sandbox")], "UPSTREAM_URL"),
            (
                &[("UPSTREAM", "demo,sandbox"), ("UPSTREAM_URL", "")],
                "UPSTREAM_URL",
            ),
            (&[("UPSTREAM", "openai-chat"), model], "UPSTREAM_URL"),
            (&[("UPSTREAM", "openai-chat"), url], "UPSTREAM_MODEL"),
            (
                &[("UPSTREAM", "demo"), ("UPSTREAM_MODEL", "a,,b")],
                "UPSTREAM_MODEL",
            ),
            (
                &[("UPSTREAM", "demo"), ("UPSTREAM_MODEL", " ")],
                "UPSTREAM_MODEL",
            ),
        ];
        for (pairs, variable) in cases {
            let expected = Err(Problem::misconfigured(variable));
            assert_eq!(
                UpstreamConfig::read(&vars(pairs), OwnNames::default()),
                expected,
                "{pairs:?}"
            );
        }
        let enough = [("UPSTREAM", "openai-chat"), url, model];
        assert!(UpstreamConfig::read(&vars(&enough), OwnNames::default()).is_ok());
    }

    #[test]
    fn base_urls_are_plain() {
        let cases = [
            ("http://127.0.0.1:9000", Some("http://127.0.0.1:9000")),
            ("https://api.example/", Some("https://api.example")),
            ("https://api.example/v1//", Some("https://api.example/v1")),
            ("http://[::1]:9000/a/b", Some("http://[::1]:9000/a/b")),
            ("", None),
            ("api.example", None),
            ("/v1", None),
            ("ftp://api.example", None),
            ("https://", None),
            ("https:///v1", None),
            ("https://key@api.example", None),
            ("https://user:key@api.example/v1", None),
            ("https://api.example?x=1", None),
            ("https://api.example/v1?x=1", None),
            ("https://api.example/v1#x", None),
            ("https://api.example/a b", None),
            ("https://api.example\n", None),
            (" https://api.example", None),
            ("https://api.example:99999", None),
        ];
        for (url, expected) in cases {
            assert_eq!(base_url(url).as_deref(), expected, "{url:?}");
        }
    }

    #[test]
    fn a_deployments_own_upstreams_stand_beside_the_built_in_ones() {
        let pairs = [("UPSTREAM", "words,demo"), ("UPSTREAM_MODEL", "m")];
        let config = UpstreamConfig::read(&vars(&pairs), own(&["other", "words"])).unwrap();
        let words = Resolved {
            kind: UpstreamKind::Own,
            name: Some("words".into()),
            ..resolved(BuiltIn::Demo, None, Some("m"))
        };
        for (upstream, expected) in [
            (None, Some(words.clone())),
            (Some("words"), Some(words)),
            (Some("demo"), Some(resolved(BuiltIn::Demo, None, Some("m")))),
            // Known to the code, not configured.
            (Some("other"), None),
            (Some("own"), None),
        ] {
            assert_eq!(
                config.resolve(None, upstream).ok(),
                expected,
                "{upstream:?}"
            );
        }
    }

    #[test]
    fn tasks_stand_behind_their_prefix() {
        let pairs = [("UPSTREAM", "demo,task:research")];
        let config = UpstreamConfig::read(&vars(&pairs), own(&[])).unwrap();
        let resolved = config.resolve(None, Some("task:research")).unwrap();
        assert_eq!(
            serde_json::to_string(&resolved).unwrap(),
            r#"{"kind":"task","name":"research"}"#
        );
        assert_eq!(resolved.public_name(), "task:research");
        assert!(config.resolve(None, Some("research")).is_err());
        for unknown in ["task:other", "task:", "research"] {
            let pairs = [("UPSTREAM", unknown)];
            let read = UpstreamConfig::read(&vars(&pairs), own(&[]));
            assert_eq!(read, Err(Problem::misconfigured("UPSTREAM")), "{unknown}");
        }
    }

    #[test]
    fn own_names_have_a_form_and_are_nobody_elses() {
        let longest = "a".repeat(64);
        let beyond = longest.clone() + "a";
        for (name, fits) in [
            ("words", true),
            ("0-a", true),
            ("own", true),
            (longest.as_str(), true),
            (beyond.as_str(), false),
            ("", false),
            ("Words", false),
            ("a_b", false),
            ("task:a", false),
            ("é", false),
            ("demo", false),
            ("openai-chat", false),
        ] {
            // A bad one is refused even when another is asked for: it is a mistake in the code.
            let pairs = [("UPSTREAM", "demo")];
            let read = UpstreamConfig::read(&vars(&pairs), own(&[name]));
            let misconfigured = Err(Problem::misconfigured("UPSTREAM"));
            assert_eq!(
                read.map(drop),
                if fits { Ok(()) } else { misconfigured },
                "{name}"
            );
        }
        let unknown = [("UPSTREAM", "words")];
        assert!(UpstreamConfig::read(&vars(&unknown), own(&["word"])).is_err());
    }

    #[test]
    fn a_key_is_read_but_not_shown() {
        let read = |key| read_upstream_key(&vars(&[("UPSTREAM_KEY", key)]));
        let key = read("sk-hunter2").unwrap().unwrap();
        assert_eq!(key.expose(), "sk-hunter2");
        assert!(!format!("{key:?}").contains("hunter2"));
        assert_eq!(read(""), Ok(None));
        for bad in ["a b", "a\n", "é"] {
            assert_eq!(
                read(bad),
                Err(Problem::misconfigured("UPSTREAM_KEY")),
                "{bad:?}"
            );
        }
    }
}
