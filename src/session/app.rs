//! What a deployment adds of its own to every session.
//!
//! Owns the contract ([`App`]). It doesn't own what is done with what an app gives: that is `drains` and
//! the drain.

use crate::config::Vars;
use crate::run::{self, DurableContext, TaskInput};
use crate::turn::Hooks;
use crate::upstream::{Ask, Capabilities, Cut, Refusal, Signal, Upstream};
use futures::stream;

/// What a deployment adds of its own: upstreams and durable tasks, beside the built-in ones, and hooks
/// around turns.
///
/// An object makes its app once a life, so an app may hold what its upstreams need. It must not
/// hold anything that a turn can't do without: another life won't have it.
///
/// ```
/// use futures::stream::{self, Iter};
/// use steadfast::config::Vars;
/// use steadfast::turn::NoHooks;
/// use steadfast::session::App;
/// use steadfast::upstream::{Ask, Capabilities, Cut, Frame, FrameBody, Refusal, Signal, Upstream};
///
/// /// Repeats the message.
/// struct Parrot;
///
/// impl Upstream for Parrot {
///     type Frames = Iter<std::vec::IntoIter<Result<Signal, Cut>>>;
///
///     fn capabilities(&self) -> Capabilities {
///         // The same message makes the same frames, so asking again is attaching again.
///         Capabilities { resumable: true, start_idempotent: true }
///     }
///
///     async fn start(&self, ask: &Ask) -> Result<Self::Frames, Refusal> {
///         self.attach(ask, None).await
///     }
///
///     async fn attach(&self, ask: &Ask, cursor: Option<&str>) -> Result<Self::Frames, Refusal> {
///         let text = Frame::text("1", &ask.text());
///         let end = Frame { id: "2".into(), body: FrameBody::Completed };
///         let after = cursor.unwrap_or_default();
///         let left: Vec<_> = [text, end].into_iter().filter(|frame| frame.id.as_str() > after).collect();
///         let left: Vec<_> = left.into_iter().map(|frame| Ok(Signal::Frame(frame))).collect();
///         Ok(stream::iter(left))
///     }
///
///     async fn cancel(&self, _execution_id: &str) -> Result<(), Refusal> {
///         Ok(())
///     }
/// }
///
/// struct MyApp;
///
/// impl App for MyApp {
///     type Upstream = Parrot;
///
///     fn upstream_names(&self) -> &[&'static str] {
///         &["parrot"]
///     }
///
///     fn upstream(&self, name: &str, _vars: Vars<'_>) -> Option<Parrot> {
///         (name == "parrot").then_some(Parrot)
///     }
///
///     type Hooks = NoHooks;
///
///     fn hooks(&self) -> NoHooks {
///         NoHooks
///     }
/// }
/// ```
pub trait App: 'static {
    /// The deployment's own upstream; an enum when there are several.
    type Upstream: Upstream + 'static;

    /// The names that may stand in `UPSTREAM`, and in requests, beside the built-in ones: each
    /// `[a-z0-9-]{1,64}`. A name of another form, or of a built-in upstream, is a mistake for which
    /// every submit is refused with `misconfigured`.
    fn upstream_names(&self) -> &[&'static str];

    /// The upstream of this name, for one run. It is asked for when a turn is accepted and again
    /// whenever one is recovered, by whatever code is deployed then.
    ///
    /// `None` refuses a submit with `misconfigured`, for instance because a variable isn't set, and
    /// ends a run that was accepted before with `upstream_rejected`.
    fn upstream(&self, name: &str, vars: Vars<'_>) -> Option<Self::Upstream>;

    /// What is called around each turn that an upstream answers; [`NoHooks`](crate::turn::NoHooks) for
    /// nothing. A task's turn has none: its own steps do what hooks would.
    type Hooks: Hooks + 'static;

    /// The hooks of one drain of one turn.
    fn hooks(&self) -> Self::Hooks;

    /// The durable tasks that may stand in `UPSTREAM`, and in requests, behind `task:`; their names have
    /// the form of upstreams' names.
    fn task_names(&self) -> &[&'static str] {
        &[]
    }

    /// Runs the task of this name as a turn: what it tells its context becomes the turn's lines, and
    /// text in `message.part.updated` and `result` the assistant's message. It is run again from its
    /// beginning after each crash and each wait, and given the recorded results.
    ///
    /// # Errors
    /// The turn's failure. A run that was accepted by code with other tasks ends with `unknown_task`.
    fn run_task<C: DurableContext, I: TaskInput>(
        &self,
        name: &str,
        ctx: C,
        input: I,
    ) -> impl Future<Output = Result<(), run::Error>> {
        // By default there is no task.
        let _ = (ctx, input);
        let unknown = unknown_task(name);
        async move { Err(unknown) }
    }
}

/// What a task ends with that this code doesn't have.
pub fn unknown_task(name: &str) -> run::Error {
    run::Error::UnknownTask {
        name: name.to_owned(),
    }
}

/// The upstream of an app that has none. There is no value of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoUpstream {}

impl Upstream for NoUpstream {
    type Frames = stream::Empty<Result<Signal, Cut>>;

    fn capabilities(&self) -> Capabilities {
        match *self {}
    }

    async fn start(&self, _ask: &Ask) -> Result<Self::Frames, Refusal> {
        match *self {}
    }

    async fn attach(&self, _ask: &Ask, _cursor: Option<&str>) -> Result<Self::Frames, Refusal> {
        match *self {}
    }

    async fn cancel(&self, _execution_id: &str) -> Result<(), Refusal> {
        match *self {}
    }
}
