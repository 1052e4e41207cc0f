//! What a completion's `usage` becomes.
//!
//! Owns the names of our `usage` fields. It doesn't own totals over attempts or prices.
//! Invariant: a count that is missing, or is no whole number, is left out; none is made up,
//! and an odd `usage` never fails a turn.

use crate::json;
use std::collections::BTreeMap;

/// Our name, and the upstream's: a field of `usage`, or of one object in it.
const COUNTS: [(&str, &str, &str); 5] = [
    ("inputTokens", "", "prompt_tokens"),
    ("outputTokens", "", "completion_tokens"),
    ("totalTokens", "", "total_tokens"),
    (
        "cachedInputTokens",
        "prompt_tokens_details",
        "cached_tokens",
    ),
    (
        "reasoningTokens",
        "completion_tokens_details",
        "reasoning_tokens",
    ),
];

/// The data of a `usage` frame; `None` when the raw `usage` has no count in it.
pub(super) fn usage_data(raw: &str) -> Option<String> {
    let usage = json::members(raw).ok()?;
    let counts: Vec<String> = COUNTS
        .iter()
        .filter_map(|(ours, outer, inner)| {
            let count = match *outer {
                "" => count(&usage, inner),
                outer => count(&json::members(usage.get(outer)?).ok()?, inner),
            };
            Some(format!(r#""{ours}":{}"#, count?))
        })
        .collect();
    (!counts.is_empty()).then(|| format!("{{{}}}", counts.join(",")))
}

fn count(members: &BTreeMap<String, &str>, name: &str) -> Option<u64> {
    members.get(name)?.parse().ok()
}
