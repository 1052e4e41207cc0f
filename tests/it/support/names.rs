//! What effects are called: a store's call by its tables, a request by its path, a piece by its frame.
//!
//! Owns no effect. Invariant: a name holds no id and no number, so that it stays when another effect is added.

use super::storage::writes;
use steadfast::store::Statement;
use steadfast::upstream::HttpRequest;

/// A call's name: what it reads of, or writes to.
pub(super) fn called(batch: &[Statement]) -> String {
    let verb = if writes(batch) { "write" } else { "read" };
    format!("{verb} {}", tables(batch))
}

/// The tables of a batch, those it writes to when it writes at all.
pub(super) fn tables(batch: &[Statement]) -> String {
    let writes = writes(batch);
    let mut places: Vec<&str> = Vec::new();
    for statement in batch {
        // A statement of the schema begins with its comment.
        let is_verb = |word: &&str| ["SELECT", "INSERT", "UPDATE", "DELETE"].contains(word);
        let mut words = statement
            .sql
            .split_whitespace()
            .skip_while(|word| !is_verb(word));
        let place = match words.next() {
            None => Some("schema"),
            Some("SELECT") if writes => continue,
            Some("UPDATE") => words.next(),
            Some(_) => words
                .skip_while(|word| !["INTO", "FROM"].contains(word))
                .nth(1),
        };
        let place = place.unwrap_or_default();
        let place = place.trim_matches(|sign: char| !sign.is_alphanumeric());
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places.join(", ")
}

/// A request's name: its method and the path, without the id in it.
pub(super) fn sent(request: &HttpRequest) -> String {
    let path = request.url.splitn(4, '/').nth(3).unwrap_or_default();
    let parts = path
        .split('/')
        .map(|part| if part.contains(':') { "{id}" } else { part });
    let path: Vec<&str> = parts.collect();
    format!("{:?} /{}", request.method, path.join("/"))
}

/// A piece's name: the kind of the first frame in it, where a cut doesn't hide that.
pub(super) fn kind_of(piece: &[u8]) -> String {
    let text = String::from_utf8_lossy(piece);
    let kind = text.split_once(r#""type":""#).map(|(_, rest)| rest);
    let whole = kind.and_then(|kind| kind.split_once('"'));
    match (whole, kind) {
        (Some((kind, _)), _) => kind.to_owned(),
        (None, Some(_)) => "a frame's begin".to_owned(),
        (None, None) if text.starts_with("data: ") => "a chat's chunk".to_owned(),
        (None, None) => "a frame's rest".to_owned(),
    }
}
