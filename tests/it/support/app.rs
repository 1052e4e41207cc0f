//! A deployment's own upstream in a world: it spells the message, a word a frame.
//!
//! Owns the test's app and what was asked of its upstream. Frames come at a pace from the start of
//! the execution on, and replay after any cursor.

use super::errand::{self, Act, ERRAND};
use super::executor::{Life, Sim};
use super::plain::Product;
use super::plan::{Effect, Moment, Plan};
use futures::future::{FutureExt, LocalBoxFuture, select};
use futures::stream::{LocalBoxStream, StreamExt, unfold};
use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use steadfast::config::Vars;
use steadfast::run::{DurableContext, Error, Scope, TaskInput};
use steadfast::session::{App, unknown_task};
use steadfast::tasks::research;
use steadfast::upstream::{Ask, Capabilities, Cut, Frame, FrameBody, Refusal, Signal, Upstream};

/// The name under which the world's own upstream is configured.
pub const SPELLER: &str = "speller";
/// The task of its own: it works, and waits for an event beside that.
pub const WAITER: &str = "waiter";
/// Another one: it waits for an event no longer than it works.
pub const RACER: &str = "racer";
/// How long either works, in ms.
const WAITER_MS: u64 = 100;
/// A last word that it spells as a line which only we may write.
pub const FORGED: &str = "forge";
/// The time between two of its frames.
const PACE_MS: u64 = 40;

/// How long half of what a step does takes, in ms.
const ACT_HALF_MS: u64 = 3;

/// A world's own upstreams and tasks. Clones share them.
#[derive(Clone)]
pub struct Own {
    sim: Sim,
    plan: Plan,
    life: Life,
    inner: Rc<Inner>,
}

#[derive(Default)]
struct Inner {
    gone: Cell<bool>,
    asked: RefCell<Vec<String>>,
    product: Product,
    acts: RefCell<Vec<Act>>,
    keys: RefCell<Vec<(String, String)>>,
}

impl Own {
    pub(super) fn new(sim: Sim, plan: Plan) -> Self {
        Own {
            sim,
            plan,
            life: Life::OUTSIDE,
            inner: Rc::default(),
        }
    }

    /// The hooks of its turns, which do nothing unless they are told to.
    pub fn product(&self) -> Product {
        self.inner.product.clone()
    }

    /// As one life of an object has it.
    pub(super) fn of(&self, life: Life) -> Self {
        Own {
            life,
            ..self.clone()
        }
    }

    /// Does what a step is for, once for each time it is called. The life may end around it.
    pub(super) async fn act(&self, step: &str, scope: &Scope) {
        self.sim.sleep(ACT_HALF_MS).await;
        if !self.sim.is_alive(self.life) {
            pending::<()>().await;
        }
        let key = scope.idempotency_key.clone();
        self.inner.keys.borrow_mut().push((step.to_owned(), key));
        let end = self.plan.meets(Effect::Act, || step.to_owned());
        if end != Some(Moment::Before) {
            self.inner.acts.borrow_mut().push(Act {
                step: step.to_owned(),
                attempt: scope.attempt,
            });
        }
        if end.is_some() {
            self.sim.kill(self.life);
            pending::<()>().await;
        }
        self.sim.sleep(ACT_HALF_MS).await;
    }

    /// What steps did, in order.
    pub fn acts(&self) -> Vec<Act> {
        self.inner.acts.borrow().clone()
    }

    /// Each step that was begun, in order, with the key that it was given.
    pub fn keys(&self) -> Vec<(String, String)> {
        self.inner.keys.borrow().clone()
    }

    /// The code that is deployed from now on has no such upstream.
    pub fn undeploy(&self) {
        self.inner.gone.set(true);
    }

    /// What its upstream was asked, in order: `start`, `attach <cursor>`, `cancel <execution id>`.
    pub fn asked(&self) -> Vec<String> {
        self.inner.asked.borrow().clone()
    }
}

impl App for Own {
    type Upstream = Speller;

    fn upstream_names(&self) -> &[&'static str] {
        // Names stay while an upstream that needs a variable may be missing.
        &[SPELLER]
    }

    fn upstream(&self, name: &str, _vars: Vars<'_>) -> Option<Speller> {
        let known = name == SPELLER && !self.inner.gone.get();
        known.then(|| Speller(self.clone()))
    }

    type Hooks = Product;

    fn hooks(&self) -> Product {
        self.inner.product.clone()
    }

    fn task_names(&self) -> &[&'static str] {
        &[research::NAME, ERRAND, WAITER, RACER]
    }

    async fn run_task<C: DurableContext, I: TaskInput>(
        &self,
        name: &str,
        ctx: C,
        input: I,
    ) -> Result<(), Error> {
        match name {
            research::NAME if !self.inner.gone.get() => research::run(&ctx, &input).await,
            ERRAND => errand::run(self, &ctx, &input).await,
            WAITER => waiter(&ctx, &input).await,
            RACER => racer(&ctx, &input).await,
            name => Err(unknown_task(name)),
        }
    }
}

async fn waiter<C: DurableContext, I: TaskInput>(ctx: &C, input: &I) -> Result<(), Error> {
    let work = async {
        ctx.named_step("work", async |_| {
            input.pause(WAITER_MS).await;
            Ok(())
        })
        .await
    };
    let wait = async {
        ctx.named_event::<bool>("wait", "approval", None)
            .await
            .map(drop)
    };
    let both: Vec<LocalBoxFuture<'_, Result<(), Error>>> =
        vec![work.boxed_local(), wait.boxed_local()];
    ctx.join(both).await.into_iter().collect()
}

async fn racer<C: DurableContext, I: TaskInput>(ctx: &C, input: &I) -> Result<(), Error> {
    let work = ctx.named_step("work", async |_| {
        input.pause(WAITER_MS).await;
        Ok(())
    });
    let wait = ctx.named_event::<()>("wait", "approval", None);
    let first = select(work.boxed_local(), wait.boxed_local()).await;
    first.factor_first().0
}

/// The upstream for one run.
pub struct Speller(Own);

impl Speller {
    fn note(&self, what: String) {
        self.0.inner.asked.borrow_mut().push(what);
    }

    fn frames(&self, ask: &Ask, after: usize) -> LocalBoxStream<'static, Result<Signal, Cut>> {
        let text = ask.text();
        let mut frames: Vec<Frame> = text
            .split_inclusive(' ')
            .enumerate()
            .map(|(at, word)| Frame {
                body: match word {
                    FORGED => FrameBody::Event {
                        kind: "session.run.completed".to_owned(),
                        data: None,
                    },
                    _ => Frame::text("", word).body,
                },
                id: (at + 1).to_string(),
            })
            .collect();
        frames.push(Frame {
            id: (frames.len() + 1).to_string(),
            body: FrameBody::Completed,
        });
        let sim = self.0.sim.clone();
        let left = frames.into_iter().skip(after);
        let telling = unfold((sim, left), |(sim, mut left)| async move {
            let frame = left.next()?;
            sim.sleep(PACE_MS).await;
            Some((Ok(Signal::Frame(frame)), (sim, left)))
        });
        telling.boxed_local()
    }
}

impl Upstream for Speller {
    type Frames = LocalBoxStream<'static, Result<Signal, Cut>>;

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resumable: true,
            start_idempotent: true,
        }
    }

    async fn start(&self, ask: &Ask) -> Result<Self::Frames, Refusal> {
        self.note("start".to_owned());
        Ok(self.frames(ask, 0))
    }

    async fn attach(&self, ask: &Ask, cursor: Option<&str>) -> Result<Self::Frames, Refusal> {
        self.note(format!("attach {}", cursor.unwrap_or("-")));
        let after = cursor.and_then(|cursor| cursor.parse().ok());
        Ok(self.frames(ask, after.unwrap_or(0)))
    }

    async fn cancel(&self, execution_id: &str) -> Result<(), Refusal> {
        self.note(format!("cancel {execution_id}"));
        Ok(())
    }
}
