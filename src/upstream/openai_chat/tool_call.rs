//! One tool call, gathered from its deltas.
//!
//! Owns where a call begins and ends in a stream of deltas whose `index` and `id` servers
//! fill in as they please. It doesn't own running the tool, nor whether its arguments are JSON.
//! Invariant: a call is handed out whole or not at all, and is bounded by [`CALL_BYTES`].

use super::super::Cut;
use super::literal::{inside, protocol};
use crate::caps::FRAME_BYTES;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Id, name and arguments of one call, which must keep within a frame with what is around them.
const CALL_BYTES: usize = FRAME_BYTES - 1024;

#[derive(Deserialize)]
pub(super) struct ToolCallDelta<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<FunctionDelta<'a>>,
}

#[derive(Deserialize)]
struct FunctionDelta<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// A call that may still grow; texts are the insides of string literals.
pub(super) struct OpenCall {
    index: Option<u64>,
    /// As sent with the first delta, or made up from the call's place in the completion.
    id: String,
    name: String,
    arguments: String,
}

impl ToolCallDelta<'_> {
    fn id(&self) -> Result<Option<&str>, Cut> {
        self.id.map_or(Ok(None), inside)
    }

    fn name(&self) -> Result<Option<&str>, Cut> {
        let name = self.function.as_ref().and_then(|function| function.name);
        name.map_or(Ok(None), inside)
    }

    fn arguments(&self) -> Result<Option<&str>, Cut> {
        let arguments = self
            .function
            .as_ref()
            .and_then(|function| function.arguments);
        arguments.map_or(Ok(None), inside)
    }
}

impl OpenCall {
    /// The call that `delta` begins, as the `ordinal`-th of its completion.
    pub(super) fn new(delta: &ToolCallDelta<'_>, ordinal: u64) -> Result<Self, Cut> {
        Ok(OpenCall {
            index: delta.index,
            id: delta
                .id()?
                .map_or_else(|| format!("call-{ordinal}"), str::to_owned),
            name: String::new(),
            arguments: String::new(),
        })
    }

    /// Whether `delta` belongs to the next call.
    ///
    /// Its `index` tells where servers send one. Some send none, or 0 for every call: there
    /// a named delta with another id begins a call. An id alone doesn't, since others
    /// make up a new id for every delta.
    pub(super) fn is_ended_by(&self, delta: &ToolCallDelta<'_>) -> Result<bool, Cut> {
        if let (Some(ours), Some(theirs)) = (self.index, delta.index)
            && ours != theirs
        {
            return Ok(true);
        }
        let renamed = delta.name()?.is_some();
        Ok(renamed && delta.id()?.is_some_and(|id| id != self.id))
    }

    /// Takes what `delta` adds; the data of `tool.call.delta` when that is arguments.
    pub(super) fn extend(&mut self, delta: &ToolCallDelta<'_>) -> Result<Option<String>, Cut> {
        if self.name.is_empty() {
            self.name = delta.name()?.unwrap_or_default().to_owned();
        }
        let added = delta.arguments()?.unwrap_or_default();
        self.arguments.push_str(added);
        if self.id.len() + self.name.len() + self.arguments.len() > CALL_BYTES {
            return Err(protocol("a tool call is too large"));
        }
        let OpenCall { id, name, .. } = self;
        let data = format!(r#"{{"id":"{id}","name":"{name}","delta":"{added}"}}"#);
        Ok(Some(data).filter(|_| !added.is_empty()))
    }

    /// The data of `tool.call`.
    pub(super) fn whole(self) -> Result<String, Cut> {
        let OpenCall {
            id,
            name,
            arguments,
            ..
        } = self;
        if name.is_empty() {
            return Err(protocol("a tool call has no name"));
        }
        Ok(format!(
            r#"{{"id":"{id}","name":"{name}","arguments":"{arguments}"}}"#
        ))
    }
}
