//! Clients on the stage: they ask, read, and come back until they have seen the end.
//!
//! Owns what a client has seen. Invariant: what one answer brings never contradicts what an earlier
//! one brought.

use super::props::{D1Driver, StagePlatform, StagePorts};
use crate::support::behind;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use steadfast::api::{Caller, Command};
use steadfast::plain::{SupervisedTurn, TurnRefused};
use steadfast::session::{Reply, Session};
use steadfast::store::SqlStore;
use steadfast::wire::line;
use steadfast::wire::request::Submit;
use steadfast::wire::view::ViewKind;

/// How an answer stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stand {
    /// There is none yet, or it goes on.
    Open,
    /// It came to its own end.
    Ended,
    /// It was cut.
    Cut,
    /// It is a refusal.
    Refused(String),
}

/// One client. Clones share it.
#[derive(Clone)]
pub struct Client(Rc<Inner>);

struct Inner {
    /// What it asks first; a command other than a submit is asked again as it is.
    command: Command,
    /// All that it has seen.
    log: RefCell<String>,
    /// What it had seen when it asked for what is behind that.
    before: RefCell<String>,
    brought: RefCell<String>,
    stand: RefCell<Stand>,
    answered: Cell<bool>,
    asked: Cell<u32>,
}

impl Client {
    /// One that submits this.
    pub fn new(submit: Submit) -> Self {
        Self::asking(Command::Submit(Box::new(submit), ViewKind::Ndjson))
    }

    /// One that asks this.
    pub fn asking(command: Command) -> Self {
        Client(Rc::new(Inner {
            command,
            log: RefCell::default(),
            before: RefCell::default(),
            brought: RefCell::default(),
            stand: RefCell::new(Stand::Cut),
            answered: Cell::new(false),
            asked: Cell::new(0),
        }))
    }

    /// Another client that asks the same, and has seen nothing.
    pub fn another(&self) -> Self {
        Self::asking(self.0.command.clone())
    }

    /// All that it has seen.
    pub fn log(&self) -> String {
        self.0.log.borrow().clone()
    }

    /// Whether it reads lines.
    pub fn reads(&self) -> bool {
        matches!(self.0.command, Command::Submit(..))
    }

    /// Whether it deletes the session.
    pub fn deletes(&self) -> bool {
        self.0.command == Command::Delete
    }

    /// How its last answer stands.
    pub fn stand(&self) -> Stand {
        self.0.stand.borrow().clone()
    }

    /// How often it asked.
    pub fn asked(&self) -> u32 {
        self.0.asked.get()
    }

    /// Whether it has all that it asked for.
    pub fn is_content(&self) -> bool {
        match &self.0.command {
            Command::Submit(..) => {
                let log = self.0.log.borrow();
                let last = log.lines().next_back().and_then(line::parse_kind_and_data);
                self.stand() == Stand::Ended
                    && last.is_some_and(|(kind, _)| line::is_terminal(kind))
            }
            // What is deleted already is not found.
            Command::Delete => matches!(self.stand(), Stand::Ended | Stand::Refused(_)),
            _ => self.stand() == Stand::Ended,
        }
    }

    /// What it asks for next: what is behind the last line that it has, where it has one.
    fn next_command(&self) -> Command {
        let inner = &self.0;
        let log = inner.log.borrow();
        inner.asked.set(inner.asked.get() + 1);
        inner.brought.borrow_mut().clear();
        inner.before.borrow_mut().clear();
        let was_refused = matches!(&*inner.stand.borrow(), Stand::Refused(_));
        inner.stand.replace(Stand::Open);
        match (&inner.command, log.lines().count().checked_sub(1)) {
            (Command::Submit(..), Some(last)) if inner.answered.get() && !was_refused => {
                inner.before.borrow_mut().clone_from(&log);
                Command::Follow {
                    turn: 0,
                    start: behind(i64::try_from(last).expect("it is small")),
                    live: true,
                    view: ViewKind::Ndjson,
                }
            }
            (command, _) => command.clone(),
        }
    }

    fn took(&self, bytes: &[u8]) {
        let inner = &self.0;
        self.0.answered.set(true);
        let text = std::str::from_utf8(bytes).expect("a piece is whole lines");
        let lines = text.split_inclusive('\n');
        let lines = lines.filter(|text| text.trim_end() != line::HEARTBEAT);
        inner.brought.borrow_mut().extend(lines);
        let has = inner.before.borrow().clone() + &inner.brought.borrow();
        let mut log = inner.log.borrow_mut();
        if has.len() > log.len() {
            assert!(has.starts_with(&*log), "{log} is no prefix of {has}");
            *log = has;
        } else {
            assert!(log.starts_with(&has), "{has} is no prefix of {log}");
        }
    }

    fn stands(&self, stand: Stand) {
        self.0.stand.replace(stand);
    }

    /// Asks an object, and reads.
    pub async fn ask_object(self, session: Rc<Session<StagePlatform>>, caller: Caller) {
        let asking = Asking(self.clone());
        let stand = match session.handle(&caller, self.next_command()).await {
            Err(problem) => Stand::Refused(problem.code.to_string()),
            Ok(Reply::Answer { .. } | Reply::NoContent) => Stand::Ended,
            Ok(Reply::Stream(streaming)) => {
                let mut body = streaming.body;
                loop {
                    match body.next().await {
                        Ok(Some(bytes)) => self.took(&bytes),
                        Ok(None) => break Stand::Ended,
                        Err(_) => break Stand::Cut,
                    }
                }
            }
        };
        drop(asking);
        self.stands(stand);
    }

    /// Takes what a plain Worker answers, and reads it or is gone.
    pub async fn read_plain(
        self,
        turn: impl Future<Output = Result<SupervisedTurn<StagePorts, SqlStore<D1Driver>>, TurnRefused>>,
        reads: bool,
    ) {
        let asking = Asking(self.clone());
        // A plain Worker's client asks again from the beginning.
        self.0.answered.set(false);
        self.next_command();
        let stand = match turn.await {
            Err(refused) => Stand::Refused(refused.to_string()),
            Ok(_) if !reads => Stand::Cut,
            Ok(turn) => {
                let mut lines = turn.lines;
                loop {
                    match lines.next().await {
                        Ok(Some(bytes)) => self.took(&bytes),
                        Ok(None) => break Stand::Ended,
                        Err(_) => break Stand::Cut,
                    }
                }
            }
        };
        drop(asking);
        self.stands(stand);
    }
}

/// Cuts its answer when the life that gives it ends.
struct Asking(Client);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.stands(Stand::Cut);
    }
}
