//! What an operator is told: one enum of events, one JSON line each.
//!
//! Owns which events there are, whom each is about, and the one writer of their text. Where a line
//! goes is the [`Log`](crate::ports::Log) port's. Invariant: an event holds ids, names, numbers and a
//! platform's own words, never a conversation's content or a secret.

use crate::json;
use crate::store::{self, Run, Status};
use crate::wire::code::{Code, FailureCode};
use std::fmt;

/// One thing that an operator is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// A turn goes from where its row stands to a status, or stays there after a try that failed.
    Turn {
        /// As stored so far.
        run: &'a Run,
        to: Status,
        why: Why<'a>,
    },
    /// A hook failed, in these words.
    Hook {
        run_id: &'a str,
        hook: &'static str,
        words: &'a str,
    },
    /// Something about a run outside of any object.
    Run { run_id: &'a str, why: Why<'a> },
    /// Something about a session's object, or about whoever asks or looks after objects.
    Object { about: About<'a>, why: Why<'a> },
}

/// What a line about objects is about.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "some are told by the Worker around objects alone")
)]
pub(crate) enum About<'a> {
    /// A run.
    Run(&'a str),
    /// A session, by its key.
    Session(&'a str),
    /// A store that failed under a request.
    Store,
    /// An upstream that can't be made.
    Upstream,
    /// The telling of cancels.
    Cancel,
    /// The object's alarm.
    Alarm,
    /// The way of records to D1.
    Ship,
    /// The same, where D1 has no room.
    ShipFull,
    /// The end of a life that another one has replaced.
    Replaced,
    /// An object that the Worker asked and that didn't answer.
    Unreached,
    /// What a Worker sent to an object that can't read it.
    Envelope,
    /// A pass of the cron trigger.
    Sweep,
}

impl About<'_> {
    const fn text(&self) -> &str {
        match self {
            About::Run(id) | About::Session(id) => id,
            About::Store => "store",
            About::Upstream => "upstream",
            About::Cancel => "cancel",
            About::Alarm => "alarm",
            About::Ship => "ship failed",
            About::ShipFull => "durable store is full",
            About::Replaced => "replaced",
            About::Unreached => "session",
            About::Envelope => "envelope",
            About::Sweep => "sweep",
        }
    }
}

/// Why an event came about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Why<'a> {
    /// It succeeded.
    Completed,
    /// It failed, or a try of it did.
    Failed(&'a FailureCode),
    /// Refused, failed or cancelled with a code of ours.
    Code(Code),
    /// The upstream is asked again, for this reason.
    Restarted(&'a str),
    /// A run that nobody drained goes on here.
    Resumed,
    /// A session came back out of D1.
    Rehydrated,
    /// Somebody else owns the run by now.
    Fenced,
    /// Another life of the session does.
    OwnedElsewhere,
    /// The run's upstream is none of this code's.
    NoUpstream(&'a str),
    /// The upstream refused to be told of a cancel.
    CancelRejected(u16),
    /// A store's failure.
    Store(&'a store::Error),
    /// What the platform, or a part of the caller's own, says of its failure.
    Words(&'a str),
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Completed => f.write_str("completed"),
            Why::Failed(code) => f.write_str(code.as_str()),
            Why::Code(code) => f.write_str(code.name()),
            Why::Restarted(words) | Why::Words(words) => f.write_str(words),
            Why::Resumed => f.write_str("resumed"),
            Why::Rehydrated => f.write_str("rehydrated"),
            Why::Fenced => f.write_str("fenced"),
            Why::OwnedElsewhere => f.write_str("another life of this session owns it"),
            Why::NoUpstream(name) => write!(f, "this code has no upstream `{name}`"),
            Why::CancelRejected(status) => write!(f, "cancel rejected with status {status}"),
            Why::Store(failure) => failure.fmt(f),
        }
    }
}

impl fmt::Display for Event<'_> {
    /// One line of JSON, as the [`Log`](crate::ports::Log) port takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |why: &Why<'_>| json::quote(&why.to_string());
        match self {
            Event::Turn { run, to, why } => write!(
                f,
                r#"{{"run":{},"epoch":{},"attempt":{},"from":"{}","to":"{}","why":{}}}"#,
                json::quote(&run.run_id),
                run.epoch,
                run.state.attempts.last().map_or(1, |last| last.number),
                run.state.status.name(),
                to.name(),
                quoted(why),
            ),
            Event::Hook {
                run_id,
                hook,
                words,
            } => write!(
                f,
                r#"{{"run":{},"hook":"{hook}","why":{}}}"#,
                json::quote(run_id),
                json::quote(words),
            ),
            Event::Run { run_id, why } => {
                write!(
                    f,
                    r#"{{"run":{},"why":{}}}"#,
                    json::quote(run_id),
                    quoted(why)
                )
            }
            Event::Object { about, why } => write!(
                f,
                r#"{{"object":{},"why":{}}}"#,
                json::quote(about.text()),
                quoted(why),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Attempt, DriverError, LogHome, RunState};

    fn run() -> Run {
        let attempt = |number| Attempt {
            number,
            reason: String::new(),
            started_at: 0,
        };
        Run {
            run_id: "t:s:0".into(),
            tenant: "t".into(),
            session: "s".into(),
            turn_index: 0,
            user: Some("a user".into()),
            key: Some("a key".into()),
            input_hash: "a hash".into(),
            request: "a request".into(),
            upstream: "an upstream".into(),
            created_at: 0,
            state: RunState {
                status: Status::Running,
                attempts: vec![attempt(1), attempt(2)],
                handle: None,
                outcome: None,
                usage: None,
                last_error: None,
                line_count: 0,
                wake_at: None,
                finished_at: None,
            },
            epoch: 3,
            lease: None,
            cancel: None,
            upstream_cancel: None,
            log_home: LogHome::Object,
            rev: 1,
            updated_at: 0,
        }
    }

    #[test]
    fn a_turns_line_says_where_it_stands_and_why() {
        let mut run = run();
        let check = |run: &Run, to, why: Why<'_>, expected: &str| {
            let told = Event::Turn { run, to, why }.to_string();
            assert_eq!(told, format!(r#"{{"run":"t:s:0","epoch":3,{expected}}}"#));
        };
        let (to, why) = (Status::Completed, Why::Completed);
        let expected = r#""attempt":2,"from":"running","to":"completed","why":"completed""#;
        check(&run, to, why, expected);
        let (author, _) = FailureCode::of_author("declined", "");
        let (to, why) = (Status::Failed, Why::Failed(&author));
        let expected = r#""attempt":2,"from":"running","to":"failed","why":"declined""#;
        check(&run, to, why, expected);
        run.state.attempts.clear();
        let (to, why) = (Status::Running, Why::Restarted("stream cut"));
        let expected = r#""attempt":1,"from":"running","to":"running","why":"stream cut""#;
        check(&run, to, why, expected);
    }

    #[test]
    fn other_lines_name_what_they_are_about_and_why() {
        let failure = store::Error::Unavailable(DriverError {
            message: "no \"D1\"".into(),
            unknown: false,
            full: false,
        });
        let hook = Event::Hook {
            run_id: "t:s:0",
            hook: "persist",
            words: "no \"room\"",
        };
        let expected = r#"{"run":"t:s:0","hook":"persist","why":"no \"room\""}"#;
        assert_eq!(hook.to_string(), expected);
        let run = |why| Event::Run { run_id: "r", why }.to_string();
        assert_eq!(run(Why::Fenced), r#"{"run":"r","why":"fenced"}"#);
        let words = json::quote(&failure.to_string());
        let expected = format!(r#"{{"run":"r","why":{words}}}"#);
        assert_eq!(run(Why::Store(&failure)), expected);
        let check = |about, why, expected: &str| {
            let told = Event::Object { about, why }.to_string();
            let (object, why) = expected.split_once(": ").unwrap();
            assert_eq!(told, format!(r#"{{"object":"{object}","why":"{why}"}}"#));
        };
        check(About::Run("t:s:0"), Why::Resumed, "t:s:0: resumed");
        let told = "t:s:0: cancel rejected with status 418";
        check(About::Run("t:s:0"), Why::CancelRejected(418), told);
        check(About::Session("t:s"), Why::Rehydrated, "t:s: rehydrated");
        let told = "t:s: misconfigured";
        check(About::Session("t:s"), Why::Code(Code::Misconfigured), told);
        let told = "upstream: this code has no upstream `own`";
        check(About::Upstream, Why::NoUpstream("own"), told);
        let told = "replaced: another life of this session owns it";
        check(About::Replaced, Why::OwnedElsewhere, told);
        for (about, name) in [
            (About::Store, "store"),
            (About::Cancel, "cancel"),
            (About::Alarm, "alarm"),
            (About::Ship, "ship failed"),
            (About::ShipFull, "durable store is full"),
            (About::Unreached, "session"),
            (About::Envelope, "envelope"),
            (About::Sweep, "sweep"),
        ] {
            check(about, Why::Words("w"), &format!("{name}: w"));
        }
    }

    #[test]
    fn a_line_is_one_line_of_json_whatever_words_stand_in_it() {
        for words in [
            "\"",
            "\\",
            "a\nb",
            "\r",
            "\u{0}",
            "\"}\n{\"run\":\"forged\"",
            "é😀",
        ] {
            let named = Run {
                run_id: words.into(),
                ..run()
            };
            let failure = store::Error::Unavailable(DriverError {
                message: words.into(),
                unknown: true,
                full: false,
            });
            for why in [
                Why::Words(words),
                Why::Restarted(words),
                Why::NoUpstream(words),
                Why::Store(&failure),
            ] {
                let (to, run_id) = (Status::Failed, words);
                for event in [
                    Event::Turn {
                        run: &named,
                        to,
                        why,
                    },
                    Event::Hook {
                        run_id,
                        hook: "persist",
                        words,
                    },
                    Event::Run { run_id, why },
                    Event::Object {
                        about: About::Run(words),
                        why,
                    },
                    Event::Object {
                        about: About::Session(words),
                        why,
                    },
                    Event::Object {
                        about: About::Store,
                        why,
                    },
                ] {
                    let line = event.to_string();
                    let read: serde_json::Value = serde_json::from_str(&line).unwrap();
                    let told = read["why"].as_str().unwrap();
                    assert!(
                        !line.contains(['\n', '\r']) && told.contains(words),
                        "{line}"
                    );
                }
            }
        }
    }
}
