//! How upstreams are reached: over the network, or through a binding to the demo agent.
//!
//! Invariant: redirects are not followed, and dropping a body closes its connection.

use crate::upstream::{self, Http, HttpRequest, HttpResponse, Unreachable};
use futures::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};
use worker::{
    AbortController, ByteStream, Env, Fetch, Headers, Method, Request, RequestInit,
    RequestRedirect, Response,
};

/// A way to upstreams.
#[derive(Clone)]
pub enum Transport {
    /// The network.
    Network,
    /// The demo agent's objects, one an execution.
    DemoAgent(Env),
}

/// The binding of the demo agent's namespace.
pub const DEMO_BINDING: &str = "DEMO";

/// A body as it arrives.
pub struct Body {
    bytes: Option<Pin<Box<ByteStream>>>,
    // Aborts the request when the body is dropped before its end.
    abort: Option<AbortController>,
}

impl Stream for Body {
    type Item = Result<Vec<u8>, Unreachable>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(bytes) = self.bytes.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = bytes.as_mut().poll_next(cx);
        polled.map(|item| item.map(|chunk| chunk.map_err(|_| Unreachable)))
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(abort) = self.abort.take() {
            abort.abort();
        }
    }
}

fn build(request: &HttpRequest) -> worker::Result<Request> {
    let headers = Headers::new();
    for (name, value) in request.headers.iter() {
        headers.set(name, value)?;
    }
    let method = match request.method {
        upstream::Method::Get => Method::Get,
        upstream::Method::Post => Method::Post,
        upstream::Method::Delete => Method::Delete,
    };
    let body = Some(request.body.as_str()).filter(|body| !body.is_empty());
    let mut init = RequestInit::new();
    init.with_method(method)
        .with_headers(headers)
        .with_redirect(RequestRedirect::Manual)
        .with_body(body.map(Into::into));
    Request::new_with_init(&request.url, &init)
}

/// The execution that a request to the demo agent is about: named in a header, or in the path of a
/// cancel.
fn execution_of(request: &HttpRequest) -> Option<&str> {
    request.headers.get("x-execution-id").or_else(|| {
        let path = request.url.strip_suffix("/cancel")?;
        path.rsplit('/').next()
    })
}

async fn ask_demo(env: &Env, request: &HttpRequest) -> worker::Result<Response> {
    let execution = execution_of(request).unwrap_or_default();
    let namespace = env.durable_object(DEMO_BINDING)?;
    let stub = namespace.get_by_name(execution)?;
    stub.fetch_with_request(build(request)?).await
}

async fn ask_network(request: &HttpRequest, abort: &AbortController) -> worker::Result<Response> {
    let request = build(request)?;
    Fetch::Request(request)
        .send_with_signal(&abort.signal())
        .await
}

impl Http for Transport {
    type Body = Body;

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse<Body>, Unreachable> {
        let (answer, abort) = match self {
            Transport::Network => {
                let abort = AbortController::default();
                (ask_network(&request, &abort).await, Some(abort))
            }
            Transport::DemoAgent(env) => (ask_demo(env, &request).await, None),
        };
        let mut answer = answer.map_err(|_| Unreachable)?;
        Ok(HttpResponse {
            status: answer.status_code(),
            headers: answer.headers().entries().collect(),
            body: Body {
                // No body is an empty one.
                bytes: answer.stream().ok().map(Box::pin),
                abort,
            },
        })
    }
}
