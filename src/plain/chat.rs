//! A chat turn in one call: a product's producer and its hooks, answered as NDJSON.
//!
//! Owns nothing but the joining of the two. Invariant: what the client does with the answer changes
//! nothing for the turn.

use super::producer::{ProduceError, Produced, produced};
use super::supervise;
use super::{TurnInput, TurnRefused};
use crate::api::Mode;
use crate::log::FollowerCut;
use crate::ports::Ports;
use crate::store::Store;
use crate::turn::Hooks;
use crate::upstream::Ask;
use futures::Stream;
use std::future::Future;
use std::rc::Rc;

/// A product's chat turn: what makes the answer, and what is called around it.
pub trait ChatHooks: Hooks {
    /// The answer's frames; each a line's type and its data as JSON text.
    type Frames: Stream<Item = Produced> + Unpin + 'static;

    /// Makes the answer: called once an attempt.
    ///
    /// # Errors
    /// [`ProduceError`] says whether another attempt makes sense.
    fn produce(&self, ask: Ask) -> impl Future<Output = Result<Self::Frames, ProduceError>>;
}

/// The answer to a chat turn.
pub struct ChatAnswer<B> {
    /// The run's id.
    pub execution_id: String,
    /// How it is answered.
    pub mode: Mode,
    /// The body's media type.
    pub content_type: &'static str,
    /// The body: it reads the log at its reader's pace.
    pub body: B,
}

/// Runs a chat turn, or answers from the one that is there: produce, transform, persist, complete,
/// and the lines of all that as the body.
///
/// # Errors
/// As [`run_supervised_turn`](super::run_supervised_turn): refused before there is an answer.
///
/// # Example
/// ```
/// use futures::{TryStreamExt, stream};
/// use std::cell::RefCell;
/// use std::rc::Rc;
/// use steadfast::plain::{ChatHooks, ProduceError, Produced, TurnInput, handle_chat_turn};
/// use steadfast::turn::{FinishedTurn, HookError, Hooks, TurnIdentity};
/// use steadfast::store::MemoryStore;
/// use steadfast::upstream::Ask;
/// # use steadfast::ids::{SessionId, TenantId};
/// # use steadfast::api::Caller;
/// # let caller = Caller {
/// #     project: None,
/// #     tenant: TenantId::parse("acme").unwrap(),
/// #     user: None,
/// #     session: SessionId::parse("s1").unwrap(),
/// # };
///
/// struct Product {
///     saved: Rc<RefCell<Vec<(String, String)>>>,
/// }
///
/// impl Hooks for Product {
///     fn transforms_text(&self) -> bool {
///         true
///     }
///
///     fn persists(&self) -> bool {
///         true
///     }
///
///     async fn transform_final_text(
///         &self,
///         _turn: &TurnIdentity,
///         text: String,
///     ) -> Result<String, HookError> {
///         Ok(text.replace("hunter2", "•••"))
///     }
///
///     async fn persist(&self, done: &FinishedTurn) -> Result<(), HookError> {
///         let row = (done.turn.execution_id.clone(), done.text.clone());
///         self.saved.borrow_mut().push(row); // an upsert by execution id in a real product
///         Ok(())
///     }
/// }
///
/// impl ChatHooks for Product {
///     type Frames = stream::Iter<std::vec::IntoIter<Produced>>;
///
///     async fn produce(&self, ask: Ask) -> Result<Self::Frames, ProduceError> {
///         assert_eq!(ask.message, "\"What is my password?\"");
///         let delta = r#"{"part":{"id":"p","type":"text"},"delta":"It is hunter2."}"#;
///         Ok(stream::iter(vec![Ok(("message.part.updated".into(), delta.into()))]))
///     }
/// }
///
/// let saved = Rc::default();
/// let product = Product { saved: Rc::clone(&saved) };
/// let input = TurnInput::text(caller, "What is my password?");
/// steadfast::native::run(async |ports| {
///     let answer = handle_chat_turn(&ports, &MemoryStore::new(), input, product).await.unwrap();
///     assert_eq!(answer.content_type, "application/x-ndjson");
///     let body: Vec<Vec<u8>> = answer.body.try_collect().await.unwrap();
///     let body = String::from_utf8(body.concat()).unwrap();
///     assert!(body.contains("It is •••.") && !body.contains("hunter2"));
/// });
/// assert_eq!(*saved.borrow(), [("acme:s1:0".to_owned(), "It is •••.".to_owned())]);
/// ```
pub async fn handle_chat_turn<P, S, H>(
    ports: &P,
    store: &S,
    input: TurnInput,
    hooks: H,
) -> Result<ChatAnswer<impl Stream<Item = Result<Vec<u8>, FollowerCut>> + use<P, S, H>>, TurnRefused>
where
    P: Ports,
    S: Store + Clone + 'static,
    H: ChatHooks + 'static,
{
    let hooks = Rc::new(hooks);
    let product = Rc::clone(&hooks);
    let upstream = produced(move |ask| {
        let product = Rc::clone(&product);
        async move { product.produce(ask).await }
    });
    let turn = supervise(ports, store, input, upstream, hooks).await?;
    Ok(ChatAnswer {
        execution_id: turn.execution_id,
        mode: turn.mode,
        content_type: turn.lines.content_type(),
        body: turn.lines.into_stream(),
    })
}
