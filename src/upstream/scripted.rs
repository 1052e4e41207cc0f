//! An in-memory `Http` for the adapters' tests: it keeps what was sent and answers by script.

use super::framing::BodyFraming;
use super::{Ask, Cut, HistoryMessage, Signal};
use super::{Headers, Http, HttpRequest, HttpResponse, Unreachable};
use futures::{Stream, StreamExt, stream};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

pub type Chunk = Result<Vec<u8>, Unreachable>;
pub type Answer = Result<HttpResponse<Vec<Chunk>>, Unreachable>;

#[derive(Clone, Default)]
pub struct Scripted {
    answers: Rc<RefCell<VecDeque<Answer>>>,
    requests: Rc<RefCell<Vec<HttpRequest>>>,
}

impl Scripted {
    /// Answers one request with an event stream of these chunks.
    pub fn stream(chunks: Vec<Result<&str, Unreachable>>) -> Self {
        let mut answer = typed(BodyFraming::EventStream.media_type());
        answer.body = chunks
            .into_iter()
            .map(|chunk| chunk.map(|text| text.as_bytes().to_vec()))
            .collect();
        Self::answer(Ok(answer))
    }

    /// Answers one request with this.
    pub fn answer(answer: Answer) -> Self {
        let scripted = Scripted::default();
        scripted.answers.borrow_mut().push_back(answer);
        scripted
    }

    /// What was sent, in order.
    pub fn requests(&self) -> Vec<HttpRequest> {
        self.requests.borrow().clone()
    }
}

/// An answer without type or body.
pub fn head(status: u16) -> HttpResponse<Vec<Chunk>> {
    HttpResponse {
        status,
        headers: Headers::default(),
        body: Vec::new(),
    }
}

/// An accepting answer of this type without a body.
pub fn typed(content_type: &str) -> HttpResponse<Vec<Chunk>> {
    let mut answer = head(200);
    answer.headers.push("Content-Type", content_type);
    answer
}

impl Http for Scripted {
    type Body = stream::Iter<std::vec::IntoIter<Chunk>>;

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse<Self::Body>, Unreachable> {
        self.requests.borrow_mut().push(request);
        let answer = self
            .answers
            .borrow_mut()
            .pop_front()
            .expect("an answer for each request")?;
        Ok(HttpResponse {
            status: answer.status,
            headers: answer.headers,
            body: stream::iter(answer.body),
        })
    }
}

/// Everything that a stream of frames yields.
pub fn all(frames: impl Stream<Item = Result<Signal, Cut>>) -> Vec<Result<Signal, Cut>> {
    // One more than any test's script yields, so that an endless stream fails instead of hanging.
    let items: Vec<_> = futures::executor::block_on(frames.take(10_000).collect());
    assert!(items.len() < 10_000, "the stream doesn't end");
    items
}

/// An ask with every field set.
pub fn ask() -> Ask {
    Ask {
        execution_id: "acme:s1:3".into(),
        input_hash: "ab12".into(),
        session_id: "s1".into(),
        message: r#"[{"type":"text","text":"hi \ud83d"}]"#.into(),
        history: vec![
            HistoryMessage {
                role: "user".into(),
                content: r#""a\u00e9""#.into(),
            },
            HistoryMessage {
                role: "assistant".into(),
                content: r#""b""#.into(),
            },
        ],
        model: Some("m\"1".into()),
        system_prompt: Some("Be \"brief\".".into()),
        metadata: Some(r#"{"n":1.0}"#.into()),
    }
}
