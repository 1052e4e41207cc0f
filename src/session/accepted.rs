//! What is kept of a turn as it was accepted: all that a recovery needs besides the log.
//!
//! PERSISTED in `runs.request` and `runs.upstream`: fields are only added, with defaults.
//! Owns those shapes, the history window, and the request they make for the upstream.
//! Invariant: the same run always makes the same request, whatever the configuration says by then.

use crate::config::TurnConfig;
use crate::store::{self, Message, Role, Run, Store};
use crate::turn::{Limits, Settings};
use crate::upstream::{Ask, HistoryMessage, Resolved};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The request as accepted, without the message, which is in the transcript.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Accepted {
    /// As asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// As asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The turn whose message this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<u64>,
    /// As sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
}

/// The upstream as resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Target {
    /// Whom to ask.
    #[serde(flatten)]
    pub resolved: Resolved,
    /// How.
    pub turn: TurnConfig,
    /// What of the transcript goes along.
    pub history: Window,
}

/// The bounds of a history and the hash of what is within.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Window {
    /// How many messages.
    pub messages: u32,
    /// The first one's turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_turn: Option<u64>,
    /// The last one's turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_turn: Option<u64>,
    /// Hex SHA-256 over roles and contents.
    pub hash: String,
}

/// The user's message of a turn.
pub(crate) async fn message_of<S: Store>(
    store: &S,
    session_key: &str,
    turn: u64,
) -> Result<Option<String>, store::Error> {
    let before = turn.checked_sub(1).map(|turn| (turn, Role::Assistant));
    let messages = store.messages(session_key, before, 1).await?;
    let own = messages
        .into_iter()
        .find(|message| message.turn_index == turn && message.role == Role::User);
    Ok(own.map(|message| message.content))
}

/// The messages before a turn that its upstream is told, oldest first.
pub(crate) async fn history<S: Store>(
    store: &S,
    session_key: &str,
    turn_index: u64,
    retry_of: Option<u64>,
    turn: &TurnConfig,
) -> Result<(Window, Vec<HistoryMessage>), store::Error> {
    // Retried turns are skipped, so more messages than fit may have to be looked at.
    let looked_at = turn.history_messages.saturating_mul(2);
    let newest_first = store
        .messages_before(session_key, turn_index, looked_at)
        .await?;
    let skipped: BTreeSet<u64> = newest_first
        .iter()
        .filter_map(|message| message.retry_of)
        .chain(retry_of)
        .collect();
    let mut bytes = 0_u64;
    let mut kept: Vec<Message> = Vec::new();
    for message in newest_first {
        if skipped.contains(&message.turn_index) || is_empty(&message) {
            continue;
        }
        bytes = bytes.saturating_add(message.content.len() as u64);
        if kept.len() as u64 >= u64::from(turn.history_messages) || bytes > turn.history_bytes {
            break;
        }
        kept.push(message);
    }
    // A window opens with a question; an answer without one would confuse a model.
    while kept
        .last()
        .is_some_and(|message| message.role == Role::Assistant)
    {
        kept.pop();
    }
    kept.reverse();
    let mut hasher = Sha256::new_with_prefix("steadfast.history.1");
    for message in &kept {
        for text in [message.role.name(), &message.content] {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text);
        }
    }
    let window = Window {
        messages: u32::try_from(kept.len()).unwrap_or(u32::MAX),
        from_turn: kept.first().map(|message| message.turn_index),
        to_turn: kept.last().map(|message| message.turn_index),
        hash: hex::encode(hasher.finalize()),
    };
    let messages = kept
        .into_iter()
        .map(|message| HistoryMessage {
            role: message.role.name().to_owned(),
            content: message.content,
        })
        .collect();
    Ok((window, messages))
}

/// An answer that failed before its first word says nothing.
fn is_empty(message: &Message) -> bool {
    message.role == Role::Assistant && message.content == "\"\""
}

/// The request of a run; `None` when the input it was accepted with is gone.
pub(crate) async fn ask<S: Store>(
    store: &S,
    session_key: &str,
    run: &Run,
    model: Option<&str>,
    turn: &TurnConfig,
    told: &Window,
) -> Result<Option<Ask>, store::Error> {
    let Ok(accepted) = serde_json::from_str::<Accepted>(&run.request) else {
        return Ok(None);
    };
    let own = message_of(store, session_key, run.turn_index).await?;
    let (window, history) =
        history(store, session_key, run.turn_index, accepted.retry_of, turn).await?;
    let Some(message) = own.filter(|_| window == *told) else {
        return Ok(None);
    };
    Ok(Some(Ask {
        execution_id: run.run_id.clone(),
        input_hash: run.input_hash.clone(),
        session_id: run.session.clone(),
        message,
        history,
        model: model.map(str::to_owned),
        system_prompt: turn.system_prompt.clone(),
        metadata: accepted.metadata.map(|raw| raw.get().to_owned()),
    }))
}

/// The numbers of a run's drain: its own as stored, and the present windows of whoever drains it.
pub(crate) fn settings(run: &Run, turn: &TurnConfig, window_ms: u64, watchdog_ms: u64) -> Settings {
    Settings {
        limits: Limits {
            attempts: turn.upstream_attempts,
            starts: turn.upstream_starts,
        },
        idle_ms: turn.upstream_idle_ms,
        deadline_at: run.created_at.saturating_add_unsigned(turn.turn_timeout_ms),
        max_bytes: usize::try_from(turn.turn_max_bytes).unwrap_or(usize::MAX),
        window_ms,
        watchdog_ms,
    }
}
