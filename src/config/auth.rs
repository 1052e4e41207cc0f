//! Who is calling: tokens, or the one tenant of local development (PROTOCOL §3).
//!
//! Owns `AUTH_MODE` and `API_TOKENS`, and the way from a request's host and `Authorization` to
//! an [`Identity`]. It doesn't own what an identity may see. Invariant: no token is kept or
//! compared, only digests, and no tenant comes from anywhere but here.

use super::{Vars, lookup, split_port};
use crate::caps;
use crate::certain::Certain;
use crate::ids::TenantId;
use crate::json;
use crate::wire::problem::Problem;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A caller whose credentials were good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Whose data the caller works on.
    pub tenant: TenantId,
    /// Who it is within the tenant, for the record.
    pub user: Option<String>,
}

/// How callers prove who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthConfig {
    /// `AUTH_MODE=tokens`: identities by the SHA-256 of their token.
    Tokens(BTreeMap<[u8; 32], Identity>),
    /// `AUTH_MODE=none`: tenant `dev`, on loopback hosts only.
    Loopback,
}

impl AuthConfig {
    /// Reads `AUTH_MODE` and, where tokens are wanted, `API_TOKENS`.
    pub fn read(vars: Vars<'_>) -> Result<Self, Problem> {
        match lookup(vars, "AUTH_MODE").as_deref() {
            None | Some("tokens") => {
                let tokens = lookup(vars, "API_TOKENS").ok_or_else(Problem::auth_not_configured)?;
                let tokens =
                    parse_tokens(&tokens).ok_or_else(|| Problem::misconfigured("API_TOKENS"))?;
                if tokens.is_empty() {
                    return Err(Problem::auth_not_configured());
                }
                Ok(Self::Tokens(tokens))
            }
            Some("none") => Ok(Self::Loopback),
            Some(_) => Err(Problem::misconfigured("AUTH_MODE")),
        }
    }

    /// Tells who sends a request to `host` (the URL's, with or without its port) with this
    /// `Authorization` header.
    pub fn authenticate(
        &self,
        host: &str,
        authorization: Option<&str>,
    ) -> Result<Identity, Problem> {
        match self {
            Self::Tokens(tokens) => {
                let token = authorization
                    .and_then(bearer_token)
                    .ok_or_else(Problem::unauthorized)?;
                // An ordinary lookup is safe here although it takes longer the more of the digest
                // fits: who tries tokens can't choose their digests byte by byte, and a learned
                // prefix of a digest leads no nearer to the token behind it.
                let digest: [u8; 32] = Sha256::digest(token).into();
                let identity = tokens.get(&digest).ok_or_else(Problem::unauthorized)?;
                Ok(identity.clone())
            }
            Self::Loopback if is_loopback_host(host) => Ok(Identity {
                tenant: TenantId::parse("dev").certain("`dev` has the form of an id"),
                user: None,
            }),
            Self::Loopback => Err(Problem::auth_not_configured()),
        }
    }
}

/// The token of an `Authorization` header; the scheme's case doesn't matter (RFC 9110 §11.1).
fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    let token = token.trim_start();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Reads `{ "<sha256 hex>": {"tenant": …, "user"?: …} }`. Anything unexpected makes all of it
/// unusable: a token that silently means less than its operator wrote would be worse.
fn parse_tokens(text: &str) -> Option<BTreeMap<[u8; 32], Identity>> {
    let mut tokens = BTreeMap::new();
    for (digest_hex, entry) in json::members(text).ok()? {
        let mut digest = [0; 32];
        hex::decode_to_slice(&digest_hex, &mut digest).ok()?;
        let twice = tokens.insert(digest, parse_identity(entry)?).is_some();
        if twice {
            return None;
        }
    }
    Some(tokens)
}

fn parse_identity(entry: &str) -> Option<Identity> {
    let mut fields = json::members(entry).ok()?;
    let tenant: String = serde_json::from_str(fields.remove("tenant")?).ok()?;
    let user = match fields.remove("user") {
        Some(user) => Some(serde_json::from_str::<String>(user).ok()?),
        None => None,
    };
    let user_fits = user.as_ref().is_none_or(|user| {
        (1..=caps::USER_BYTES).contains(&user.len()) && !user.contains(char::is_control)
    });
    let identity = Identity {
        tenant: TenantId::parse(&tenant).ok()?,
        user,
    };
    (user_fits && fields.is_empty()).then_some(identity)
}

/// Whether `host`, with or without a port, can only be this machine: `localhost` and names
/// below it, `127.0.0.0/8`, `[::1]`.
pub fn is_loopback_host(host: &str) -> bool {
    let (name, _) = split_port(host);
    if let Some(v6) = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
    {
        return v6
            .parse::<Ipv6Addr>()
            .is_ok_and(|address| address.is_loopback());
    }
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return address.is_loopback();
    }
    let name = name.to_ascii_lowercase();
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    match name.strip_suffix("localhost") {
        Some("") => true,
        Some(above) => above
            .strip_suffix('.')
            .is_some_and(|labels| labels.split('.').all(is_label)),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::vars;
    use super::*;

    /// SHA-256 of `abc` and of the empty text, as FIPS 180-4's examples have them.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn read_tokens(tokens: &str) -> Result<AuthConfig, Problem> {
        AuthConfig::read(&vars(&[("API_TOKENS", tokens)]))
    }

    fn identity(tenant: &str, user: Option<&str>) -> Identity {
        Identity {
            tenant: TenantId::parse(tenant).unwrap(),
            user: user.map(str::to_owned),
        }
    }

    #[test]
    fn a_token_names_its_tenant_and_user() {
        let other = "00".repeat(32);
        let tokens = format!(
            r#"{{"{ABC}":{{"tenant":"acme","user":"ann"}}, "{other}":{{"tenant":"other"}}, "{EMPTY}":{{"tenant":"empty"}}}}"#
        );
        for mode in ["", "tokens"] {
            let auth =
                AuthConfig::read(&vars(&[("AUTH_MODE", mode), ("API_TOKENS", &tokens)])).unwrap();
            for good in ["Bearer abc", "bearer abc", "BEARER  abc "] {
                let caller = auth.authenticate("api.example.com", Some(good));
                assert_eq!(caller, Ok(identity("acme", Some("ann"))), "{good}");
            }
            for bad in [
                None,
                Some(""),
                Some("Bearer"),
                Some("Bearer "),
                Some("abc"),
                Some("Basic abc"),
                Some("Bearer ABC"),
                Some("Bearer abc x"),
                Some("Bearerabc"),
                Some("Bearer abc, Bearer abc"),
            ] {
                // Loopback makes no difference once tokens are wanted.
                assert_eq!(
                    auth.authenticate("localhost", bad),
                    Err(Problem::unauthorized()),
                    "{bad:?}"
                );
            }
            let digest_as_token = format!("Bearer {ABC}");
            assert_eq!(
                auth.authenticate("localhost", Some(&digest_as_token)),
                Err(Problem::unauthorized())
            );
        }
    }

    #[test]
    fn without_tokens_nobody_is_let_in() {
        for pairs in [
            &[][..],
            &[("API_TOKENS", "")],
            &[("API_TOKENS", "{}")],
            &[("AUTH_MODE", "tokens")],
        ] {
            assert_eq!(
                AuthConfig::read(&vars(pairs)),
                Err(Problem::auth_not_configured()),
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn tokens_that_cannot_be_read_are_named_not_shown() {
        let twice_in_two_cases = format!(
            r#"{{"{ABC}":{{"tenant":"a"}},"{}":{{"tenant":"b"}}}}"#,
            ABC.to_uppercase()
        );
        let longest = "u".repeat(200);
        let entry = |entry: &str| format!(r#"{{"{ABC}":{entry}}}"#);
        assert!(read_tokens(&entry(&format!(r#"{{"tenant":"a","user":"{longest}"}}"#))).is_ok());
        for bad in [
            "secret".to_owned(),
            "[]".to_owned(),
            r#"{"abc":{"tenant":"a"}}"#.to_owned(),
            format!(r#"{{"{ABC}00":{{"tenant":"a"}}}}"#),
            format!(r#"{{"{ABC}":{{"tenant":"a"}},"{ABC}":{{"tenant":"b"}}}}"#),
            twice_in_two_cases,
            entry("\"a\""),
            entry("{}"),
            entry(r#"{"tenant":"a:b"}"#),
            entry(r#"{"tenant":1}"#),
            entry(r#"{"tenant":"a","tenant":"b"}"#),
            entry(r#"{"tenant":"a","user":""}"#),
            entry(r#"{"tenant":"a","user":null}"#),
            entry(r#"{"tenant":"a","user":"a\nb"}"#),
            entry(&format!(r#"{{"tenant":"a","user":"{longest}u"}}"#)),
            entry(r#"{"tenant":"a","usr":"ann"}"#),
        ] {
            assert_eq!(
                read_tokens(&bad),
                Err(Problem::misconfigured("API_TOKENS")),
                "{bad}"
            );
        }
    }

    #[test]
    fn no_authentication_is_for_this_machine_only() {
        let auth = AuthConfig::read(&vars(&[("AUTH_MODE", "none")])).unwrap();
        assert_eq!(
            auth.authenticate("127.0.0.1:8787", None),
            Ok(identity("dev", None))
        );
        assert_eq!(
            auth.authenticate("localhost", Some("Bearer x")),
            Ok(identity("dev", None))
        );
        for host in ["api.example.com", "", "10.0.0.1"] {
            assert_eq!(
                auth.authenticate(host, None),
                Err(Problem::auth_not_configured()),
                "{host}"
            );
        }
    }

    #[test]
    fn other_modes_are_refused() {
        for mode in ["None", "jwt", " none", "off"] {
            let read = AuthConfig::read(&vars(&[("AUTH_MODE", mode), ("API_TOKENS", "{}")]));
            assert_eq!(read, Err(Problem::misconfigured("AUTH_MODE")), "{mode}");
        }
    }

    #[test]
    fn loopback_hosts_are_told_from_lookalikes() {
        for host in [
            "localhost",
            "LocalHost",
            "localhost:8787",
            "a.localhost",
            "a-1.b.localhost:80",
            "127.0.0.1",
            "127.0.0.1:8787",
            "127.255.255.254",
            "[::1]",
            "[::1]:8787",
        ] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in [
            "",
            ":8787",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "notlocalhost",
            "localhost:x",
            "localhost:",
            ".localhost",
            "a..localhost",
            "x@a.localhost",
            "128.0.0.1",
            "0.0.0.0",
            "127.1",
            "[::2]",
            "[::]",
            "[::1",
            "::1",
            "[::ffff:10.0.0.1]",
            "10.0.0.1:127",
            "localhost/",
            "example.com#.localhost",
        ] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}
