//! The operations that read, each with its arguments, as every store is asked.

use crate::store::conformance::scene::ALL;
use crate::store::{Error, EventRecord, LogRow, Message, Role, Run, Session, Step, Store};

#[derive(Clone, Debug)]
pub(super) enum Look {
    Session(String),
    Run(String),
    RunByKey {
        session_key: String,
        key: String,
    },
    Runs {
        session_key: String,
        from_turn: u64,
        limit: u32,
    },
    Log {
        run_id: String,
        from_seq: u64,
        rows: u32,
    },
    LogEnd(String),
    Messages {
        session_key: String,
        after: Option<(u64, Role)>,
        limit: u32,
    },
    MessagesBefore {
        session_key: String,
        turn: u64,
        limit: u32,
    },
    Steps {
        run_id: String,
        from_index: u32,
        limit: u32,
    },
    Event {
        run_id: String,
        key: String,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Session(Option<Session>),
    Runs(Vec<Run>),
    Log(Vec<LogRow>),
    LogEnd(u64),
    Messages(Vec<Message>),
    Steps(Vec<Step>),
    Event(Option<EventRecord>),
}

fn sole(run: Option<Run>) -> Seen {
    Seen::Runs(run.into_iter().collect())
}

impl Look {
    /// All that is stored of a session and not of one of its runs.
    pub(super) fn at_session(session_key: &str) -> [Look; 3] {
        let session_key = session_key.to_owned();
        [
            Look::Session(session_key.clone()),
            Look::Runs {
                session_key: session_key.clone(),
                from_turn: 0,
                limit: ALL,
            },
            Look::Messages {
                session_key,
                after: None,
                limit: ALL,
            },
        ]
    }

    /// All that hangs on a run and is no event.
    pub(super) fn at_run(run_id: &str) -> [Look; 3] {
        let run_id = run_id.to_owned();
        [
            Look::Log {
                run_id: run_id.clone(),
                from_seq: 0,
                rows: ALL,
            },
            Look::LogEnd(run_id.clone()),
            Look::Steps {
                run_id,
                from_index: 0,
                limit: ALL,
            },
        ]
    }

    pub(super) async fn ask<S: Store>(&self, store: &S) -> Result<Seen, Error> {
        match self {
            Look::Session(key) => store.session(key).await.map(Seen::Session),
            Look::Run(id) => store.run(id).await.map(sole),
            Look::RunByKey { session_key, key } => {
                let run = store.run_by_key(session_key, key).await;
                run.map(sole)
            }
            Look::Runs {
                session_key,
                from_turn,
                limit,
            } => {
                let runs = store.runs(session_key, *from_turn, *limit).await;
                runs.map(Seen::Runs)
            }
            Look::Log {
                run_id,
                from_seq,
                rows,
            } => store.log(run_id, *from_seq, *rows).await.map(Seen::Log),
            Look::LogEnd(id) => store.log_end(id).await.map(Seen::LogEnd),
            Look::Messages {
                session_key,
                after,
                limit,
            } => {
                let messages = store.messages(session_key, *after, *limit).await;
                messages.map(Seen::Messages)
            }
            Look::MessagesBefore {
                session_key,
                turn,
                limit,
            } => {
                let messages = store.messages_before(session_key, *turn, *limit).await;
                messages.map(Seen::Messages)
            }
            Look::Steps {
                run_id,
                from_index,
                limit,
            } => {
                let steps = store.steps(run_id, *from_index, *limit).await;
                steps.map(Seen::Steps)
            }
            Look::Event { run_id, key } => store.event(run_id, key).await.map(Seen::Event),
        }
    }
}
