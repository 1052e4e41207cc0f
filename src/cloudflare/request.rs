//! A request of this platform as the API reads it.
//!
//! Owns the translation only: what a request is, and what of it may be read, is `api/`.

use crate::api::{BodyCut, Incoming, Method};
use crate::wire::problem::Problem;
use futures::StreamExt;
use worker::{ByteStream, Request};

/// A header's value; one that isn't text counts as absent.
pub fn header(request: &Request, name: &str) -> Option<String> {
    request.headers().get(name).ok().flatten()
}

/// A request whose address was read, and whose body wasn't yet.
pub struct Received<'r> {
    request: &'r mut Request,
    address: web_sys::Url,
    body: Body,
}

/// How far a body was read.
enum Body {
    Unread,
    Open(ByteStream),
    Over,
}

impl<'r> Received<'r> {
    /// The request. The platform's own parser reads its address: it is there anyway, and a second one
    /// would be a tenth of the Worker's code.
    ///
    /// # Errors
    /// `invalid_request` for an address that can't be read.
    pub fn new(request: &'r mut Request) -> Result<Self, Problem> {
        let address = web_sys::Url::new(&request.inner().url())
            .map_err(|_| Problem::invalid_request("the address can't be read"))?;
        Ok(Received {
            request,
            address,
            body: Body::Unread,
        })
    }

    /// The query as it was sent, with its question mark.
    #[cfg(feature = "faults")]
    pub fn search(&self) -> String {
        self.address.search()
    }

    /// The whole body as text.
    #[cfg(feature = "faults")]
    pub async fn text(&mut self) -> worker::Result<String> {
        self.request.text().await
    }
}

impl Incoming for Received<'_> {
    fn method(&self) -> Method {
        Method::parse(self.request.method().as_ref())
    }

    fn host(&self) -> String {
        self.address.hostname()
    }

    fn path(&self) -> String {
        self.address.pathname()
    }

    fn query(&self) -> Vec<(String, String)> {
        let pairs = js_sys::try_iter(&self.address.search_params());
        let pairs = pairs.ok().flatten().into_iter().flatten().flatten();
        pairs
            .map(|pair| {
                let pair = js_sys::Array::from(&pair);
                let text = |at| pair.get(at).as_string().unwrap_or_default();
                (text(0), text(1))
            })
            .collect()
    }

    fn header(&self, name: &str) -> Option<String> {
        header(self.request, name)
    }

    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, BodyCut> {
        if let Body::Unread = self.body {
            // A request without a body has no stream.
            self.body = self.request.stream().map_or(Body::Over, Body::Open);
        }
        let Body::Open(chunks) = &mut self.body else {
            return Ok(None);
        };
        let chunk = chunks.next().await.transpose().map_err(|_| BodyCut)?;
        if chunk.is_none() {
            self.body = Body::Over;
        }
        Ok(chunk)
    }
}
