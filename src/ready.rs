//! The app of the ready Worker, in `worker/`.
//!
//! Owns which tasks come with it. Whoever builds a Worker of their own brings an app of their own.

use crate::config::Vars;
use crate::run::{self, DurableContext, TaskInput};
use crate::session::{App, NoUpstream, unknown_task};
use crate::tasks::research;
use crate::turn::NoHooks;

/// The ready Worker's app: the task `research`, and no upstream of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready;

impl App for Ready {
    type Upstream = NoUpstream;

    fn upstream_names(&self) -> &[&'static str] {
        &[]
    }

    fn upstream(&self, _name: &str, _vars: Vars<'_>) -> Option<NoUpstream> {
        None
    }

    type Hooks = NoHooks;

    fn hooks(&self) -> NoHooks {
        NoHooks
    }

    fn task_names(&self) -> &[&'static str] {
        &[research::NAME]
    }

    async fn run_task<C: DurableContext, I: TaskInput>(
        &self,
        name: &str,
        ctx: C,
        input: I,
    ) -> Result<(), run::Error> {
        match name {
            research::NAME => research::run(&ctx, &input).await,
            name => Err(unknown_task(name)),
        }
    }
}
