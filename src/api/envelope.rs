//! What a Worker sends to a session's object, and when it is sent again.
//!
//! Owns the border between the two: a command with its caller, built anew by the Worker, so that no
//! header of a client says whose session it is. While a deployment rolls out, one side may be of an
//! earlier release than the other. Fields and commands are therefore only added, and [`VERSION`] is
//! raised when a text would be read and mean something else. Invariant: what an object doesn't know
//! it doesn't guess: the request is refused as one to repeat.

use super::{Caller, Command};
use crate::json;
use crate::wire::problem::Problem;
use serde::{Deserialize, Serialize};

/// The version of the envelope that this code writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// What a Worker sends to a session's object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    v: u32,
    /// Whose session it is, by the caller's credentials.
    pub caller: Caller,
    /// What is asked of it.
    pub command: Command,
}

impl Envelope {
    /// The envelope of a command.
    pub const fn new(caller: Caller, command: Command) -> Self {
        Envelope {
            v: VERSION,
            caller,
            command,
        }
    }

    /// The text that is sent.
    ///
    /// # Errors
    /// `internal` for a command that is no JSON; there is none.
    pub fn write(&self) -> Result<String, Problem> {
        serde_json::to_string(self).map_err(|_| Problem::internal())
    }

    /// Reads what a Worker sent.
    ///
    /// # Errors
    /// `session_unavailable` for what another release writes: a version, a command or a form that
    /// this one doesn't know. The deployment that rolls out ends that. `internal` for what is no
    /// envelope of any release.
    pub fn read(text: &str) -> Result<Self, Problem> {
        match serde_json::from_str::<Envelope>(text) {
            Ok(envelope) if envelope.v == VERSION => Ok(envelope),
            Ok(_) => Err(Problem::session_unavailable()),
            Err(_) if json::members(text).is_ok() => Err(Problem::session_unavailable()),
            Err(_) => Err(Problem::internal()),
        }
    }
}

/// Has `send` ask an object, once more where its outcome is unknown and the command may be repeated:
/// the object was reset before the head of its answer, and a new stub finds the new one. An
/// overloaded object must not be asked again at once.
///
/// # Errors
/// What the last call of `send` failed with.
pub async fn deliver<A, E>(
    is_repeatable: bool,
    mut send: impl AsyncFnMut() -> Result<A, E>,
    is_overloaded: impl Fn(&E) -> bool,
) -> Result<A, E> {
    match send().await {
        Err(failure) if is_repeatable && !is_overloaded(&failure) => send().await,
        answered => answered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Page;
    use crate::ids::{EventKey, ProjectId, SessionId, TenantId};
    use crate::wire::request::{IfRunning, Submit};
    use crate::wire::view::{Start, ViewKind};
    use futures::executor::block_on;
    use std::cell::Cell;
    use std::collections::BTreeSet;

    fn caller() -> Caller {
        Caller {
            project: Some(ProjectId::parse("eu").unwrap()),
            tenant: TenantId::parse("acme").unwrap(),
            user: Some("ann".into()),
            session: SessionId::parse("s1").unwrap(),
        }
    }

    fn submit() -> Submit {
        Submit {
            message: Some(r#""hi  \ud83d""#.into()),
            turn_index: Some(3),
            model: Some("m".into()),
            upstream: None,
            if_running: IfRunning::Cancel,
            retry_of: None,
            metadata: Some(r#"{"a":1.0}"#.into()),
            key: Some("k".into()),
        }
    }

    /// Every command, and its text as Workers and objects of version 1 write and read it. A line may be
    /// added, and a field with a default; what is there stands for as long as the version does.
    fn commands() -> Vec<(Command, &'static str)> {
        let key = || EventKey::parse("approval:1").unwrap();
        let page = |cursor: Option<&str>| Page {
            limit: 50,
            cursor: cursor.map(str::to_owned),
        };
        vec![
            (
                Command::Submit(Box::new(submit()), ViewKind::Ndjson),
                r#"{"Submit":[{"message":"\"hi  \\ud83d\"","turn_index":3,"model":"m","upstream":null,"if_running":"Cancel","retry_of":null,"metadata":"{\"a\":1.0}","key":"k"},"Ndjson"]}"#,
            ),
            (
                Command::Follow {
                    turn: 2,
                    start: Start::Line(8),
                    live: true,
                    view: ViewKind::Sse,
                },
                r#"{"Follow":{"turn":2,"start":{"Line":8},"live":true,"view":"Sse"}}"#,
            ),
            (Command::Session, r#""Session""#),
            (Command::Delete, r#""Delete""#),
            (
                Command::Messages(page(None)),
                r#"{"Messages":{"limit":50,"cursor":null}}"#,
            ),
            (
                Command::Turns(page(Some("37"))),
                r#"{"Turns":{"limit":50,"cursor":"37"}}"#,
            ),
            (Command::Turn(2), r#"{"Turn":2}"#),
            (
                Command::Steps(2, page(None)),
                r#"{"Steps":[2,{"limit":50,"cursor":null}]}"#,
            ),
            (Command::Cancel(2, None), r#"{"Cancel":[2,null]}"#),
            (
                Command::Cancel(2, Some("enough".into())),
                r#"{"Cancel":[2,"enough"]}"#,
            ),
            (Command::Poke(2), r#"{"Poke":2}"#),
            (
                Command::Emit(2, key(), r#"{"ok":1.0}"#.into()),
                r#"{"Emit":[2,"approval:1","{\"ok\":1.0}"]}"#,
            ),
            (Command::Event(2, key()), r#"{"Event":[2,"approval:1"]}"#),
        ]
    }

    /// A new command is missed here until it has its line above.
    fn place(command: &Command) -> usize {
        match command {
            Command::Submit(..) => 0,
            Command::Follow { .. } => 1,
            Command::Session => 2,
            Command::Delete => 3,
            Command::Messages(_) => 4,
            Command::Turns(_) => 5,
            Command::Turn(_) => 6,
            Command::Steps(..) => 7,
            Command::Cancel(..) => 8,
            Command::Poke(_) => 9,
            Command::Emit(..) => 10,
            Command::Event(..) => 11,
        }
    }

    const CALLER: &str = r#"{"project":"eu","tenant":"acme","user":"ann","session":"s1"}"#;

    #[test]
    fn every_command_is_sent_as_this_version_says_and_read_back() {
        let places: BTreeSet<usize> = commands().iter().map(|(one, _)| place(one)).collect();
        assert_eq!(places, (0..12).collect());
        for (command, text) in commands() {
            let envelope = Envelope::new(caller(), command);
            let written = envelope.write().unwrap();
            let expected = format!(r#"{{"v":1,"caller":{CALLER},"command":{text}}}"#);
            assert_eq!(written, expected);
            assert_eq!(Envelope::read(&written), Ok(envelope));
        }
    }

    #[test]
    fn a_newer_workers_additions_are_passed_over() {
        let sent = r#"{"v":1,"caller":{"project":null,"tenant":"acme","user":null,"session":"s1","scopes":[]},"command":{"Messages":{"limit":5,"cursor":null,"order":"desc"}},"trace":"x"}"#;
        let read = Envelope::read(sent).unwrap();
        let page = Page {
            limit: 5,
            cursor: None,
        };
        assert_eq!(read.command, Command::Messages(page));
    }

    #[test]
    fn what_another_release_sends_is_to_be_asked_again() {
        let known = r#""Session""#;
        for (v, command) in [
            ("1", r#""Fork""#),
            ("1", r#"{"Fork":{"at":3}}"#),
            ("1", r#"{"Poke":{"turn":2}}"#),
            ("1", r#"{"Submit":[{"message":null},"Ndjson"]}"#),
            (
                "1",
                r#"{"Follow":{"turn":2,"start":{"Line":8},"live":true,"view":"Items"}}"#,
            ),
            ("0", known),
            ("2", known),
            ("-1", known),
            ("4294967296", known),
            (r#""2""#, known),
            ("null", known),
        ] {
            let sent = format!(r#"{{"v":{v},"caller":{CALLER},"command":{command}}}"#);
            let refused = Envelope::read(&sent).unwrap_err();
            assert_eq!(refused, Problem::session_unavailable(), "{sent}");
            assert_eq!((refused.status(), refused.is_retryable()), (503, true));
            assert!(refused.retry_after_s.is_some());
        }
        for sent in [
            "{}".to_owned(),
            format!(r#"{{"v":1,"caller":{CALLER}}}"#),
            format!(r#"{{"caller":{CALLER},"command":{known}}}"#),
        ] {
            assert_eq!(
                Envelope::read(&sent),
                Err(Problem::session_unavailable()),
                "{sent}"
            );
        }
    }

    #[test]
    fn what_no_release_sends_is_a_fault_of_ours() {
        for sent in [
            "",
            "hello",
            "[]",
            "null",
            "7",
            r#"{"v":1"#,
            r#"{"v":1,"v":1}"#,
        ] {
            assert_eq!(Envelope::read(sent), Err(Problem::internal()), "{sent}");
        }
    }

    /// Delivers to an object that fails so many times; how often it was asked, and what came of it.
    fn deliver_to(failures: u32, is_repeatable: bool, overloaded: bool) -> (u32, Result<u32, u32>) {
        let asked = Cell::new(0);
        let send = async || {
            asked.set(asked.get() + 1);
            let nth = asked.get();
            if nth <= failures { Err(nth) } else { Ok(nth) }
        };
        let outcome = block_on(deliver(is_repeatable, send, |_| overloaded));
        (asked.get(), outcome)
    }

    #[test]
    fn a_command_is_repeated_once_where_that_is_safe_and_may_help() {
        assert_eq!(deliver_to(0, true, false), (1, Ok(1)));
        assert_eq!(deliver_to(1, true, false), (2, Ok(2)));
        assert_eq!(deliver_to(2, true, false), (2, Err(2)));
        assert_eq!(deliver_to(1, false, false), (1, Err(1)));
        assert_eq!(deliver_to(1, true, true), (1, Err(1)));
        assert_eq!(deliver_to(1, false, true), (1, Err(1)));
    }
}
