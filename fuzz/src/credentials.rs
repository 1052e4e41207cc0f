//! Credentials: nobody is let in but by a token that was configured, and only on their own tenant.
//!
//! An input's lines are the `Authorization` header, the host, and then tokens. All of it is read as
//! `API_TOKENS` too.

use crate::cursors::refusal;
use crate::input::text;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use steadfast::config::{AuthConfig, is_loopback_host};
use steadfast::json;

const REFUSALS: [(u16, &str); 3] = [
    (401, "unauthorized"),
    (503, "auth_not_configured"),
    (503, "misconfigured"),
];

/// Whoever is let in has a configured token; whoever has one is let in.
pub fn credentials(data: &[u8]) {
    let input = text(data);
    configured(&input);
    let mut lines = input.split('\n');
    let header = lines.next().unwrap_or_default();
    let host = lines.next().unwrap_or_default();
    let tokens: Vec<&str> = lines.take(8).filter(|token| !token.is_empty()).collect();
    loopback(host);

    // Of the same token twice the first tenant counts.
    let mut tenants = BTreeMap::new();
    for (at, token) in tokens.iter().enumerate() {
        tenants.entry(*token).or_insert(format!("tenant-{at}"));
    }
    let entries: Vec<String> = tenants
        .iter()
        .map(|(token, tenant)| {
            let digest = hex::encode(Sha256::digest(token));
            format!(r#""{digest}":{{"tenant":"{tenant}","user":"u"}}"#)
        })
        .collect();
    let auth = match read(&format!("{{{}}}", entries.join(","))) {
        Ok(auth) => auth,
        Err(problem) => {
            refusal(&problem, &REFUSALS);
            assert!(tenants.is_empty());
            return;
        }
    };
    for header in [None, Some(header)] {
        match auth.authenticate(host, header) {
            Ok(identity) => {
                let header = header.expect("no header lets nobody in").trim();
                let proof = tenants.iter().find(|(token, tenant)| {
                    **tenant == identity.tenant.as_str()
                        && header.strip_suffix(**token).is_some_and(|scheme| {
                            scheme.trim_end().eq_ignore_ascii_case("bearer")
                                && scheme.ends_with(char::is_whitespace)
                        })
                });
                assert!(proof.is_some(), "{identity:?} by {header:?}");
            }
            Err(problem) => refusal(&problem, &REFUSALS),
        }
    }
    for (token, tenant) in &tenants {
        if token.trim() == *token {
            let identity = auth.authenticate(host, Some(&format!("Bearer {token}")));
            assert_eq!(identity.expect("it is configured").tenant.as_str(), tenant);
            let longer = auth.authenticate(host, Some(&format!("Bearer {token}x")));
            assert_eq!(
                longer.is_ok(),
                tenants.contains_key(format!("{token}x").as_str())
            );
        }
    }
}

fn read(tokens: &str) -> Result<AuthConfig, steadfast::wire::problem::Problem> {
    AuthConfig::read(&|name| (name == "API_TOKENS").then(|| tokens.to_owned()))
}

/// Any text as `API_TOKENS`: what is taken is told as it was read.
fn configured(text: &str) {
    match read(text) {
        Ok(AuthConfig::Tokens(tokens)) => {
            let entries: Vec<String> = tokens
                .iter()
                .map(|(digest, identity)| {
                    let user = identity.user.as_deref().map(json::quote);
                    let user = user.map_or_else(String::new, |user| format!(r#","user":{user}"#));
                    format!(
                        r#""{}":{{"tenant":"{}"{user}}}"#,
                        hex::encode(digest),
                        identity.tenant
                    )
                })
                .collect();
            assert_eq!(
                read(&format!("{{{}}}", entries.join(","))),
                Ok(AuthConfig::Tokens(tokens))
            );
        }
        Ok(AuthConfig::Loopback) => panic!("tokens were configured, and nobody asked for none"),
        Err(problem) => refusal(&problem, &REFUSALS),
    }
}

/// A host that counts as this machine can't be read as another one.
fn loopback(host: &str) {
    if !is_loopback_host(host) {
        return;
    }
    assert!(
        !host.contains(|c: char| c.is_whitespace() || "/\\@#?%".contains(c)),
        "{host:?}"
    );
    let host = host.to_ascii_lowercase();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host.as_str(),
    };
    let is_v6 = host.starts_with('[') && host.contains(":1]")
        || host.contains("]") && host.starts_with("[0");
    assert!(
        name == "localhost" || name.ends_with(".localhost") || name.starts_with("127.") || is_v6,
        "{host:?}"
    );
}
