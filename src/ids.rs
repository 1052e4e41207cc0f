//! Identifiers: their forms, how they join into run and execution ids, and how those come apart.
//!
//! Owns the rules of PROTOCOL §1, and the colon between the parts: no other code but SQL knows it.
//! It doesn't own where an id comes from: a tenant is taken from credentials, a session from the
//! path. Invariant: a value of one of these types has been checked, holds no colon unless it
//! is an [`EventKey`], and stands in a URL path as itself.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest tenant, session or project id, in bytes: PROTOCOL §1.
const SEGMENT_BYTES: usize = 64;
/// The longest id of a run without a session, in bytes.
const RUN_ID_BYTES: usize = 200;
/// The longest event key, in bytes: PROTOCOL §2.4.
const EVENT_KEY_BYTES: usize = 128;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing is not a name.
    #[error("an id must not be empty")]
    Empty,
    /// Longer than its form allows.
    #[error("an id has at most {max} characters here")]
    TooLong {
        /// The most that this id may have.
        max: usize,
    },
    /// A character outside the id's alphabet.
    #[error("an id has only {allowed} here")]
    Character {
        /// The alphabet, as a pattern.
        allowed: &'static str,
    },
    /// The form of a turn's run id, which only its session gives.
    #[error("an id must not have the form of a turn's, `<tenant>:<session>:<number>`")]
    TurnForm,
    /// Not the form of a turn's run id.
    #[error("a turn's run id is `[<project>:]<tenant>:<session>:<number>`")]
    NotATurn,
    /// `.` or `..`: URL parsers remove them from a path, and the request would name something else.
    #[error("an id must not be `.` or `..`")]
    DotSegment,
}

/// The identifier types differ in their alphabet and length alone.
macro_rules! checked_ids {
    ($($(#[$doc:meta])* $name:ident: $max:expr, $allowed:literal, $extra:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl $name {
            /// Checks `text` and takes it as it is; nothing is trimmed or folded.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                check(text, $max, $allowed, $extra)?;
                Ok(Self(text.to_owned()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    )*};
}

checked_ids! {
    /// Who the data belongs to; from the caller's credentials, never from the request.
    TenantId: SEGMENT_BYTES, "A-Z a-z 0-9 _ . -", b"";
    /// One conversation of a tenant.
    SessionId: SEGMENT_BYTES, "A-Z a-z 0-9 _ . -", b"";
    /// What keeps apart deployments that share an upstream or a database (`PROJECT`).
    ProjectId: SEGMENT_BYTES, "A-Z a-z 0-9 _ . -", b"";
    /// The name of an event within its run; may hold colons, since nothing is joined to it.
    EventKey: EVENT_KEY_BYTES, "A-Z a-z 0-9 _ . : -", b":";
    /// The name of a step or of a line within its run.
    StepName: EVENT_KEY_BYTES, "A-Z a-z 0-9 _ . : -", b":";
}

/// The id of a run that belongs to no session: 1 to 200 of `[A-Za-z0-9_.:-]`. It shares one space with
/// the ids of turns, and so must not have their form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(String);

impl RunId {
    /// Checks `text` and takes it as it is.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        check(text, RUN_ID_BYTES, "A-Z a-z 0-9 _ . : -", b":")?;
        let mut parts = text.rsplit(':');
        let ends_as_turn = parts
            .next()
            .is_some_and(|last| !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()));
        if ends_as_turn && (2..=3).contains(&parts.count()) {
            return Err(InvalidId::TurnForm);
        }
        Ok(Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(
    text: &str,
    max: usize,
    allowed: &'static str,
    extra: &'static [u8],
) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty);
    }
    if text.len() > max {
        return Err(InvalidId::TooLong { max });
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b) || extra.contains(&b);
    if !text.bytes().all(fits) {
        return Err(InvalidId::Character { allowed });
    }
    if matches!(text, "." | "..") {
        return Err(InvalidId::DotSegment);
    }
    Ok(())
}

/// A session's key in every store, and the common part of its run ids: PROTOCOL §1.
///
/// The parts hold no colon, so different sessions never join into one key.
pub fn session_key(project: Option<&ProjectId>, tenant: &TenantId, session: &SessionId) -> String {
    match project {
        Some(project) => format!("{project}:{tenant}:{session}"),
        None => format!("{tenant}:{session}"),
    }
}

/// The id of a turn's run, which is also its execution id upstream: PROTOCOL §1.
pub fn run_id(session_key: &str, turn_index: u64) -> String {
    format!("{session_key}:{turn_index}")
}

/// The session's key in a turn's run id, which is the id without its turn.
pub fn session_key_of(run_id: &str) -> &str {
    run_id.rsplit_once(':').map_or(run_id, |(key, _)| key)
}

/// What the run ids of a project's turns begin with; nothing where no project is configured.
pub fn project_prefix(project: Option<&ProjectId>) -> String {
    project.map_or_else(String::new, |project| format!("{project}:"))
}

/// What the run ids of a tenant's turns begin with, within its project.
pub fn tenant_prefix(project: Option<&ProjectId>, tenant: &TenantId) -> String {
    format!("{}{tenant}:", project_prefix(project))
}

/// Between these two texts lie the run ids of a session's turns: `;` is the character behind `:`.
pub fn run_id_bounds(session_key: &str) -> [String; 2] {
    [format!("{session_key}:"), format!("{session_key};")]
}

/// The parts of a turn's run id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnId {
    /// Where the deployment has one.
    pub project: Option<ProjectId>,
    /// Whose turn it is.
    pub tenant: TenantId,
    /// The conversation.
    pub session: SessionId,
    /// Its place there.
    pub turn_index: u64,
}

impl TurnId {
    /// Takes a turn's run id apart.
    ///
    /// # Errors
    /// [`InvalidId::NotATurn`] for another form, else what its part's own type refuses.
    pub fn parse(run_id: &str) -> Result<Self, InvalidId> {
        let parts: Vec<&str> = run_id.split(':').collect();
        let (project, tenant, session, turn) = match *parts.as_slice() {
            [tenant, session, turn] => (None, tenant, session, turn),
            [project, tenant, session, turn] => (Some(project), tenant, session, turn),
            _ => return Err(InvalidId::NotATurn),
        };
        let turn_index: u64 = turn.parse().map_err(|_| InvalidId::NotATurn)?;
        // `parse` also reads `+7` and `007`, which no turn is called.
        if turn_index.to_string() != turn {
            return Err(InvalidId::NotATurn);
        }
        Ok(TurnId {
            project: project.map(ProjectId::parse).transpose()?,
            tenant: TenantId::parse(tenant)?,
            session: SessionId::parse(session)?,
            turn_index,
        })
    }
}

/// The execution id of a session's turn: what a retry asks the same upstream under.
///
/// It names the tenant, so that the same session, turn and message of two tenants are two executions;
/// and its parts are checked ids, so that no two sessions join into one.
pub fn derive_execution_id(
    project: Option<&ProjectId>,
    tenant: &TenantId,
    session: &SessionId,
    turn_index: u64,
) -> String {
    run_id(&session_key(project, tenant, session), turn_index)
}

/// The id under which the upstream knows attempt `attempt`, counted from 1.
///
/// The first attempt is the run itself, so that a client can compute what it will be asked under.
pub fn execution_id(run_id: &str, attempt: u32) -> String {
    if attempt <= 1 {
        run_id.to_owned()
    } else {
        format!("{run_id}:a{attempt}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn segments_follow_their_form() {
        let longest = "x".repeat(64);
        let beyond = "x".repeat(65);
        let character = Err(InvalidId::Character {
            allowed: "A-Z a-z 0-9 _ . -",
        });
        let cases: [(&str, Result<(), InvalidId>); 16] = [
            ("a", Ok(())),
            ("Az09_.-", Ok(())),
            ("...", Ok(())),
            (".hidden", Ok(())),
            (&longest, Ok(())),
            (&beyond, Err(InvalidId::TooLong { max: 64 })),
            ("", Err(InvalidId::Empty)),
            (".", Err(InvalidId::DotSegment)),
            ("..", Err(InvalidId::DotSegment)),
            ("a:b", character),
            ("a/b", character),
            ("a b", character),
            (" a", character),
            ("a%2e", character),
            ("ä", character),
            ("a\n", character),
        ];
        for (text, expected) in cases {
            assert_eq!(TenantId::parse(text).map(drop), expected, "{text:?}");
            assert_eq!(SessionId::parse(text).map(drop), expected, "{text:?}");
            assert_eq!(ProjectId::parse(text).map(drop), expected, "{text:?}");
        }
    }

    #[test]
    fn event_keys_may_hold_colons_and_be_longer() {
        let longest = "k".repeat(128);
        for text in ["approval:tool-1", ":", &longest] {
            assert_eq!(
                EventKey::parse(text).map(|k| k.to_string()).as_deref(),
                Ok(text)
            );
        }
        let beyond = "k".repeat(129);
        assert_eq!(
            EventKey::parse(&beyond),
            Err(InvalidId::TooLong { max: 128 })
        );
        assert_eq!(EventKey::parse(".."), Err(InvalidId::DotSegment));
        assert!(matches!(
            EventKey::parse("a/b"),
            Err(InvalidId::Character { .. })
        ));
    }

    #[test]
    fn a_run_of_no_session_never_has_the_id_of_a_turn() {
        let longest = "r".repeat(200);
        for text in [
            "r",
            "ship-order:42",
            "a:b:c",
            "a:b:1x",
            "a:b:c:d:5",
            &longest,
        ] {
            assert!(RunId::parse(text).is_ok(), "{text}");
        }
        for text in ["acme:s1:0", "eu:acme:s1:12", "chat:thread:007"] {
            assert_eq!(RunId::parse(text), Err(InvalidId::TurnForm), "{text}");
        }
        let beyond = "r".repeat(201);
        assert_eq!(RunId::parse(&beyond), Err(InvalidId::TooLong { max: 200 }));
        assert!(RunId::parse("a b").is_err());
    }

    #[test]
    fn a_run_id_names_project_tenant_session_and_turn() {
        let tenant = TenantId::parse("acme").unwrap();
        let session = SessionId::parse("s1").unwrap();
        let project = ProjectId::parse("eu").unwrap();
        let key = session_key(None, &tenant, &session);
        assert_eq!(run_id(&key, 0), "acme:s1:0");
        let key = session_key(Some(&project), &tenant, &session);
        assert_eq!(run_id(&key, 12), "eu:acme:s1:12");
    }

    #[test]
    fn an_execution_id_is_readable_and_the_runs_own() {
        let tenant = TenantId::parse("acme").unwrap();
        let session = SessionId::parse("s1").unwrap();
        let project = ProjectId::parse("eu").unwrap();
        let without = derive_execution_id(None, &tenant, &session, 0);
        assert_eq!(without, "acme:s1:0");
        assert_eq!(execution_id(&without, 1), without);
        let within = derive_execution_id(Some(&project), &tenant, &session, 12);
        assert_eq!(within, "eu:acme:s1:12");
    }

    #[test]
    fn a_turns_run_id_comes_apart_into_what_it_was_joined_of() {
        let parts = |run_id: &str| {
            let turn = TurnId::parse(run_id)?;
            let project = turn.project.map_or_else(String::new, String::from);
            let (tenant, session) = (turn.tenant.to_string(), turn.session.to_string());
            Ok([project, tenant, session, turn.turn_index.to_string()])
        };
        let cases: [(&str, Result<[&str; 4], InvalidId>); 12] = [
            ("acme:s1:0", Ok(["", "acme", "s1", "0"])),
            ("eu:acme:s1:12", Ok(["eu", "acme", "s1", "12"])),
            ("1:2:3", Ok(["", "1", "2", "3"])),
            ("1:2:3:4", Ok(["1", "2", "3", "4"])),
            ("ship-order:42", Err(InvalidId::NotATurn)),
            ("a:b:c:d:5", Err(InvalidId::NotATurn)),
            ("", Err(InvalidId::NotATurn)),
            ("acme:s1:", Err(InvalidId::NotATurn)),
            ("acme:s1:+1", Err(InvalidId::NotATurn)),
            ("acme:s1:01", Err(InvalidId::NotATurn)),
            ("acme::0", Err(InvalidId::Empty)),
            (":acme:s1:0", Err(InvalidId::Empty)),
        ];
        for (run_id, expected) in cases {
            let expected = expected.map(|parts| parts.map(str::to_owned));
            assert_eq!(parts(run_id), expected, "{run_id}");
        }
    }

    #[test]
    fn run_ids_are_found_by_what_they_begin_with() {
        let eu = ProjectId::parse("eu").unwrap();
        let tenant = TenantId::parse("acme").unwrap();
        assert_eq!(project_prefix(None), "");
        assert_eq!(project_prefix(Some(&eu)), "eu:");
        assert_eq!(tenant_prefix(None, &tenant), "acme:");
        assert_eq!(tenant_prefix(Some(&eu), &tenant), "eu:acme:");
        assert_eq!(session_key_of("eu:acme:s1:12"), "eu:acme:s1");
        let [above, below] = run_id_bounds("acme:s1");
        let is_within = |run_id: &str| *above < *run_id && *run_id < *below;
        for turn in [0, 1, 9, 10, 99, u64::MAX] {
            assert!(is_within(&run_id("acme:s1", turn)), "{turn}");
        }
        for other in [
            "acme:s1",
            "acme:s10:0",
            "acme:s1-a:0",
            "acme:s1a:0",
            "acme:s:0",
        ] {
            assert!(!is_within(other), "{other}");
        }
        assert_eq!(session_key_of("r"), "r");
    }

    #[test]
    fn another_tenants_turn_is_another_execution() {
        let session = SessionId::parse("s1").unwrap();
        let [ours, theirs] = ["acme", "evil"].map(|tenant| {
            let tenant = TenantId::parse(tenant).unwrap();
            derive_execution_id(None, &tenant, &session, 0)
        });
        assert_ne!(ours, theirs);
    }

    #[test]
    fn no_part_of_an_execution_id_can_hold_its_delimiter() {
        // Joined, `a:b` and `c` would be what `a` and `b:c` are.
        for text in ["a:b", "b:c", ":", "a:"] {
            assert!(ProjectId::parse(text).is_err(), "{text}");
            assert!(TenantId::parse(text).is_err(), "{text}");
            assert!(SessionId::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn different_turns_have_different_execution_ids(one in turn(), other in turn()) {
            let id = |(project, tenant, session, index): &Turn| {
                derive_execution_id(project.as_ref(), tenant, session, *index)
            };
            prop_assert_eq!(one == other, id(&one) == id(&other));
        }

        #[test]
        fn a_turn_is_read_back_from_its_run_id((project, tenant, session, index) in turn()) {
            let key = session_key(project.as_ref(), &tenant, &session);
            let id = run_id(&key, index);
            let [above, below] = run_id_bounds(&key);
            prop_assert!(above < id && id < below);
            prop_assert!(id.starts_with(&tenant_prefix(project.as_ref(), &tenant)));
            prop_assert!(id.starts_with(&project_prefix(project.as_ref())));
            prop_assert_eq!(session_key_of(&id), key);
            let turn = TurnId { project, tenant, session, turn_index: index };
            prop_assert_eq!(TurnId::parse(&id), Ok(turn));
        }
    }

    type Turn = (Option<ProjectId>, TenantId, SessionId, u64);

    /// Turns whose parts come from few characters, so that they would collide if they could.
    fn turn() -> impl Strategy<Value = Turn> {
        let segment = "[a0]{1,2}";
        let project = proptest::option::of(segment);
        (project, segment, segment, 0..2_u64).prop_map(|(project, tenant, session, index)| {
            let project = project.map(|text| ProjectId::parse(&text).unwrap());
            let tenant = TenantId::parse(&tenant).unwrap();
            (project, tenant, SessionId::parse(&session).unwrap(), index)
        })
    }

    #[test]
    fn only_later_attempts_are_numbered() {
        assert_eq!(execution_id("acme:s1:0", 1), "acme:s1:0");
        assert_eq!(execution_id("acme:s1:0", 2), "acme:s1:0:a2");
        assert_eq!(execution_id("acme:s1:0", 10), "acme:s1:0:a10");
    }
}
