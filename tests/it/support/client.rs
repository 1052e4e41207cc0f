//! A client of the simulated world: what it was answered, and every byte it saw.
//!
//! Owns the reading of an answer. The bytes outlive the object's life that sent them.

use super::executor::Sim;
use super::platform::SimPlatform;
use super::storage::Storage;
use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use steadfast::api::{Caller, Command, Mode};
use steadfast::session::{Reply, Session};
use steadfast::wire::line;
use steadfast::wire::problem::Problem;

/// How fast a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    Eager,
    /// One piece of the body, then never again.
    Stops,
    /// One piece each so many ms.
    Slow(u64),
}

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Lines, as a submit's mode says or as a follow.
    Lines(Option<Mode>),
    /// JSON.
    Json(u16, String),
    /// 204.
    NoContent,
    /// A problem.
    Refused(Problem),
}

/// One request and its answer. Clones share it.
#[derive(Clone, Default)]
pub struct Client(Rc<Inner>);

#[derive(Default)]
struct Inner {
    answer: RefCell<Option<Answer>>,
    answered_at: Cell<i64>,
    bytes: RefCell<Vec<u8>>,
    ended: Cell<bool>,
    cut: Cell<bool>,
    ended_at: Cell<i64>,
    execution: RefCell<Option<String>>,
    /// Nothing more comes: it ended, was cut, or its object's life ended.
    over: Cell<bool>,
    gone: Cell<bool>,
    leaving: RefCell<Option<Waker>>,
}

/// Notes that nothing more comes, however a request's task came to its end.
struct Over(Client);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.0.over.set(true);
    }
}

impl Client {
    pub(super) async fn serve(
        &self,
        sim: &Sim,
        session: &Rc<Session<SimPlatform>>,
        caller: &Caller,
        command: Command,
        pace: Pace,
        gate: Rc<Storage>,
    ) {
        let _over = Over(self.clone());
        let mut serving = pin!(self.serve_all(sim, session, caller, command, pace, &gate));
        let left = poll_fn(|cx| {
            if self.0.gone.get() {
                return Poll::Ready(());
            }
            self.0.leaving.replace(Some(cx.waker().clone()));
            serving.as_mut().poll(cx)
        });
        left.await;
    }

    async fn serve_all(
        &self,
        sim: &Sim,
        session: &Rc<Session<SimPlatform>>,
        caller: &Caller,
        command: Command,
        pace: Pace,
        gate: &Rc<Storage>,
    ) {
        let answer = session.handle(caller, command).await;
        // The platform holds the head of an answer back until what was written is durable.
        gate.confirmed().await;
        let answer = match answer {
            Err(problem) => Answer::Refused(problem),
            Ok(Reply::Answer { status, answer }) => Answer::Json(status, answer.to_json()),
            Ok(Reply::NoContent) => Answer::NoContent,
            Ok(Reply::Stream(streaming)) => {
                self.0.execution.replace(Some(streaming.execution_id));
                self.answer_with(sim, Answer::Lines(streaming.mode));
                let mut body = streaming.body;
                while let Ok(next) = body.next().await {
                    let Some(bytes) = next else {
                        self.0.ended.set(true);
                        self.0.ended_at.set(sim.now());
                        return;
                    };
                    self.0.bytes.borrow_mut().extend(bytes);
                    match pace {
                        Pace::Eager => {}
                        Pace::Slow(ms) => sim.sleep(ms).await,
                        Pace::Stops => pending().await,
                    }
                }
                self.0.cut.set(true);
                self.0.ended_at.set(sim.now());
                return;
            }
        };
        self.answer_with(sim, answer);
    }

    fn answer_with(&self, sim: &Sim, answer: Answer) {
        self.0.answer.replace(Some(answer));
        self.0.answered_at.set(sim.now());
    }

    /// The body was cut.
    pub fn was_cut(&self) -> bool {
        self.0.cut.get()
    }

    /// Goes away: it reads no more, and its request is dropped.
    pub fn leave(&self) {
        self.0.gone.set(true);
        if let Some(waker) = self.0.leaving.take() {
            waker.wake();
        }
    }

    /// Whether nothing more will come.
    pub fn is_over(&self) -> bool {
        self.0.over.get()
    }

    /// The run that it was answered from.
    pub fn execution_id(&self) -> Option<String> {
        self.0.execution.borrow().clone()
    }

    /// How many bytes came so far.
    pub fn received(&self) -> usize {
        self.0.bytes.borrow().len()
    }

    /// The bytes behind the first `from`.
    pub fn received_behind(&self, from: usize) -> Vec<u8> {
        self.0.bytes.borrow()[from..].to_vec()
    }

    /// The head, when there was one.
    pub fn answer(&self) -> Option<Answer> {
        self.0.answer.borrow().clone()
    }

    /// When the head came, Unix ms.
    pub fn answered_at(&self) -> i64 {
        assert!(self.answer().is_some());
        self.0.answered_at.get()
    }

    /// The head in short: a mode, `lines`, a status, or a problem's status and code.
    pub fn brief(&self) -> String {
        match self.answer() {
            None => "none".to_owned(),
            Some(Answer::Lines(None)) => "lines".to_owned(),
            Some(Answer::Lines(Some(mode))) => mode.name().to_owned(),
            Some(Answer::Json(status, _)) => status.to_string(),
            Some(Answer::NoContent) => "204".to_owned(),
            Some(Answer::Refused(problem)) => format!("{} {}", problem.status(), problem.code),
        }
    }

    /// The JSON body.
    pub fn json(&self) -> serde_json::Value {
        match self.answer() {
            Some(Answer::Json(_, body)) => serde_json::from_str(&body).expect("it is JSON"),
            other => panic!("no JSON: {other:?}"),
        }
    }

    /// Whether the body came to its own end; otherwise it was cut, or goes on.
    pub fn has_ended(&self) -> bool {
        self.0.ended.get()
    }

    /// When the body ended or was cut, Unix ms.
    pub fn ended_at(&self) -> i64 {
        assert!(self.has_ended() || self.was_cut());
        self.0.ended_at.get()
    }

    /// The body as it was sent.
    pub fn body(&self) -> String {
        String::from_utf8(self.0.bytes.borrow().clone()).expect("a body is UTF-8")
    }

    /// The NDJSON body without heartbeats.
    pub fn log(&self) -> String {
        let body = self.body();
        let lines = body.split_inclusive('\n');
        lines
            .filter(|text| text.trim_end() != line::HEARTBEAT)
            .collect()
    }
}
