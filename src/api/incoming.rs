//! A request as its platform has it, and how it is read.
//!
//! Owns the seam ([`Incoming`]) and the two rules about what comes through it. Invariant: a body is
//! never read beyond its limit, whatever its length header says, and no parameter stands twice.

use super::Method;
use crate::wire::problem::Problem;
use std::collections::BTreeMap;

/// A request as its platform has it; nothing of it is parsed.
pub trait Incoming {
    /// Its method.
    fn method(&self) -> Method;

    /// The address's host, without the port.
    fn host(&self) -> String;

    /// The address's path, escapes and all.
    fn path(&self) -> String;

    /// The query's parameters in their order, decoded as forms are.
    fn query(&self) -> Vec<(String, String)>;

    /// A header's value; one that isn't text counts as absent.
    fn header(&self, name: &str) -> Option<String>;

    /// The next piece of the body; `None` behind the last one, and when there is no body.
    ///
    /// # Errors
    /// [`BodyCut`]: there will be no more pieces.
    fn chunk(&mut self) -> impl Future<Output = Result<Option<Vec<u8>>, BodyCut>>;
}

/// The connection ended within a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body broke off")]
pub struct BodyCut;

/// The query's parameters by name. One that stands twice is refused: nobody could say which was meant.
pub(super) fn parameters<R: Incoming>(request: &R) -> Result<BTreeMap<String, String>, Problem> {
    let mut parameters = BTreeMap::new();
    for (name, value) in request.query() {
        if parameters.insert(name, value).is_some() {
            let rule = "a query parameter must not stand twice";
            return Err(Problem::invalid_request(rule));
        }
    }
    Ok(parameters)
}

/// The whole body within `most` bytes.
pub(super) async fn body<R: Incoming>(request: &mut R, most: usize) -> Result<Vec<u8>, Problem> {
    let too_large = || Problem::payload_too_large(most);
    let declared = request.header("content-length");
    let declared = declared.and_then(|text| text.parse::<usize>().ok());
    if declared.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let cut = |cut: BodyCut| Problem::invalid_request(cut.to_string());
    while let Some(chunk) = request.chunk().await.map_err(cut)? {
        if bytes.len() + chunk.len() > most {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
