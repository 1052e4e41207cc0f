//! What must hold at a plain turn's end, and of everything that its readers got.
//!
//! Owns the laws that look at the whole: message, usage and saving are of the last attempt, a failure has its
//! cause, and a body is a part of the log.

use super::{Attempt, Laws, MANY_LINES, MANY_ROWS};
use crate::sim::plain::RUN;
use crate::sim::plain::people::Watched;
use crate::sim::plain::product::MOST_SAVES;
use crate::sim::plain::terms::{Answer, Deployment, transformed};
use crate::sim::sites::Site;
use crate::support::lines_of;
use futures::executor::block_on;
use std::collections::BTreeSet;
use steadfast::store::{Role, Run, Status, Store};
use steadfast::wire::view::ViewKind;

impl Laws {
    /// The end, and what stands behind it, are of the last attempt alone.
    pub(super) fn ended(&self, run: &Run, attempts: &[Attempt], last: Option<&Answer>) {
        let (state, terms) = (&run.state, self.0.terms);
        let messages = block_on(self.0.durable.messages("acme:s", None, 10)).expect("D1 answers");
        let said = messages
            .iter()
            .find(|message| message.role == Role::Assistant);
        let said = said
            .map(|message| message.content.as_str())
            .expect("an end has a message");
        if state.status == Status::Completed {
            let answer = last.expect("it was said");
            let text = match terms.chat {
                true => answer.plain,
                false => answer.text,
            };
            let expected = match (terms.transforms, terms.chat) {
                (true, _) => serde_json::Value::from(transformed(text)).to_string(),
                (false, true) => serde_json::Value::from(text).to_string(),
                (false, false) => answer.script.message.to_owned(),
            };
            assert_eq!(said, expected, "the message isn't the last attempt's");
            let lines = &attempts.last().expect("there is one").lines;
            match terms.chat {
                true => assert_eq!(
                    Self::chat_text(attempts.last().expect("there is one")),
                    if terms.transforms {
                        transformed(text)
                    } else {
                        text.to_owned()
                    }
                ),
                false => assert_eq!(*lines, self.expected(answer)),
            }
            if terms.persists {
                let saved = self.0.told.saved.borrow();
                let last = u32::try_from(attempts.len()).expect("it is small");
                let shown = match terms.transforms {
                    true => transformed(text),
                    false => text.to_owned(),
                };
                assert!(
                    saved.contains_key(&(last, shown)),
                    "completed, and not saved: {saved:?}"
                );
            }
        } else {
            let number = last.map(|answer| answer.text.split(' ').next().expect("it has words"));
            let is_own = number.is_some_and(|number| said.starts_with(&format!("\"{number}")));
            let is_shown = terms.transforms && last.is_some();
            assert!(
                said == "\"\"" || is_own || is_shown,
                "a message of no attempt's: {said}"
            );
        }
        let usage = state.usage.as_deref();
        assert!(
            usage.is_none_or(|usage| last.is_some_and(|answer| answer.usage == usage)),
            "usage of another attempt: {usage:?}"
        );
        let is_whole = state.status == Status::Completed && !terms.chat;
        assert!(!is_whole || usage.is_some(), "usage is lost");
    }

    /// Nobody sees what isn't durable, nor anything else than what is.
    pub fn read(&self, all: &[Watched]) {
        let seen = self.0.seen.borrow();
        for watched in all {
            let received = watched.reading.received();
            let is_over = watched.reading.has_ended();
            if received == watched.checked.get() && !is_over {
                continue;
            }
            watched.checked.set(received);
            let from = usize::try_from(watched.from).expect("it is small");
            let begin = seen.begins.get(from).copied().unwrap_or(seen.log.len());
            let rest = &seen.log[begin..];
            let whole = match watched.view {
                ViewKind::Ndjson => rest.to_owned(),
                ViewKind::Sse => rest
                    .lines()
                    .zip(from..)
                    .map(|(text, seq)| format!("id: {seq}\ndata: {text}\n\n"))
                    .collect(),
            };
            let body = match watched.view {
                ViewKind::Ndjson => watched.reading.log(),
                ViewKind::Sse => watched.reading.body().replace(": hb\n\n", ""),
            };
            assert!(
                whole.starts_with(&body),
                "I1: visible before durable, or not in order: {body}"
            );
            if is_over {
                assert_eq!(body, whole, "a body ended before its turn");
            }
        }
    }

    /// What must be so at the end of all. `is_clean`: nothing befell a machine or D1.
    pub fn finish(&self, is_clean: bool, was_redirected: bool) {
        let (rows, lines) = (self.rows().len(), self.log().lines().count());
        if rows > MANY_ROWS && lines > MANY_LINES {
            self.0.chance.met(Site::LargePlain);
        }
        let run = self.run().expect("it was accepted");
        let accepted = Deployment::of(&run.upstream);
        lines_of(&self.log());
        let asked = self.0.world.upstream.asked();
        let mut known = BTreeSet::new();
        for one in &asked {
            self.same_body(&one.body);
            let is_new = known.insert(&one.execution_id);
            assert!(
                !is_new || self.0.terms.chat || one.after.is_none(),
                "a new execution is attached to behind another's frame: {one:?}"
            );
        }
        let state = &run.state;
        let took = state.finished_at.expect("it is over") - run.created_at;
        let most = i64::try_from(accepted.timeout_ms).expect("it is small");
        match state.status {
            Status::Completed => {}
            Status::Cancelled => assert!(run.cancel.is_some(), "nobody cancelled it"),
            Status::Failed => self.failed(&run, accepted, took >= most, was_redirected),
            other => panic!("it is {other:?}"),
        }
        if let Some(owed) = &run.upstream_cancel {
            assert!(
                !is_clean || owed.tries >= 7,
                "an upstream was not told, and nothing was in the way: {owed:?}"
            );
        }
    }

    fn failed(&self, run: &Run, accepted: &Deployment, is_late: bool, was_redirected: bool) {
        let error = run.state.last_error.as_ref().expect("it says why");
        let is_known = match error.code.as_str() {
            "upstream_rejected" => was_redirected,
            "turn_timeout" => is_late,
            "transform_failed" => self.0.told.spoilt.get(),
            "upstream_unavailable" => {
                let streak = format!("failures in a row: {})", accepted.attempts);
                run.state.attempts.len() == accepted.starts as usize
                    || error.message.ends_with(&streak)
            }
            "persist_failed" => {
                let steps = block_on(self.0.durable.steps(RUN, 0, 10)).expect("D1 answers");
                let saving = steps.iter().find(|step| step.intent == "persist");
                saving.is_some_and(|step| u64::from(step.attempts) == MOST_SAVES)
            }
            _ => false,
        };
        assert!(is_known, "it failed with {error:?}");
    }
}
