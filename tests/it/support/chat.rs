//! What a chat completions API sends: chunks of one connection that nobody can come back to.
//!
//! Owns the translation of a script: its text deltas are content, its usage frame is usage.

use super::script::Script;

/// The body of one answer, each event when it arrives.
pub fn pieces(script: &Script, now: i64) -> Vec<(i64, Vec<u8>)> {
    let mut events =
        vec![r#"{"id":"c1","choices":[{"index":0,"delta":{"role":"assistant"}}]}"#.to_owned()];
    for (kind, data, _) in &script.frames {
        let data: Option<serde_json::Value> = serde_json::from_str(data).ok();
        let delta = data.and_then(|data| Some(data.get("delta")?.as_str()?.to_owned()));
        if *kind == "message.part.updated"
            && let Some(text) = delta
        {
            let text = serde_json::Value::from(text);
            events.push(format!(
                r#"{{"id":"c1","choices":[{{"index":0,"delta":{{"content":{text}}}}}]}}"#
            ));
        }
    }
    events.push(
        r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.to_owned(),
    );
    events.push("[DONE]".to_owned());
    let timed = events.iter().enumerate().map(|(number, event)| {
        let due = script.pace_ms * number as u64;
        (
            now.saturating_add_unsigned(due),
            format!("data: {event}\n\n").into_bytes(),
        )
    });
    timed.collect()
}
