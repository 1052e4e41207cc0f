//! Which kinds of upstream there are, what each needs of the configuration, and how the upstream of a
//! stored run is made.
//!
//! Owns the table of the built-in kinds, the names by which requests and runs call a kind, and what is
//! stored of it ([`Resolved`]). A kind is a row here and a file of its own with the factory that the row
//! names. It doesn't own the variables (`config/`). Invariant: a kind's name is PERSISTED, and one that
//! this code doesn't know is kept as it is and refuses for good.

use super::any::AnyUpstream;
use super::means::Means;
use super::{Ask, Capabilities, Cut, Refusal, Signal, Upstream};
use futures::stream;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The variables that a kind can't do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// `UPSTREAM_URL`; a kind that doesn't need it is given none.
    pub url: bool,
    /// `UPSTREAM_MODEL`; a kind that doesn't need it is told the model all the same if there is one.
    pub model: bool,
}

const NOTHING: Needs = Needs {
    url: false,
    model: false,
};
const URL: Needs = Needs {
    url: true,
    model: false,
};
const URL_AND_MODEL: Needs = Needs {
    url: true,
    model: true,
};

/// The table: documentation, variant, name, needs, and the function that makes one of a run's
/// [`Means`] and its base URL.
macro_rules! built_in {
    ($($(#[$doc:meta])* $kind:ident = $name:literal needs $needs:ident, by $make:path;)+) => {
        /// A kind that comes with this crate.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum BuiltIn {
            $($(#[$doc])* $kind,)+
        }

        impl BuiltIn {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The name in requests, variables and stored runs.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }

            /// The variables that it can't do without.
            pub const fn needs(self) -> Needs {
                match self {
                    $(Self::$kind => $needs,)+
                }
            }

            fn make<M: Means>(self, means: &M, url: &str) -> AnyUpstream {
                match self {
                    $(Self::$kind => AnyUpstream::new($make(means, url)),)+
                }
            }
        }
    };
}

built_in! {
    /// The built-in agent: no key, no network.
    Demo = "demo" needs NOTHING, by super::demo::upstream;
    /// An agent sandbox, PROTOCOL §4.1.
    Sandbox = "sandbox" needs URL, by super::sandbox::upstream;
    /// Any server of the chat completions API. It has no default model; a sandbox may well have one.
    OpenaiChat = "openai-chat" needs URL_AND_MODEL, by super::openai_chat::upstream;
}

impl BuiltIn {
    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// What a task's name stands behind, in `UPSTREAM` and in requests.
const TASK_PREFIX: &str = "task:";
/// The stored name of what a deployment brings along; no variable names the kind itself.
const OWN: &str = "own";
/// The stored name of a task.
const TASK: &str = "task";

/// The kind of upstream that a run was accepted with. PERSISTED by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum UpstreamKind {
    /// One that comes with this crate.
    BuiltIn(BuiltIn),
    /// One of the deployment's own code, which [`Resolved::name`] tells.
    Own,
    /// A durable task of this code, which [`Resolved::name`] tells: nobody else is asked.
    Task,
    /// One that this code doesn't know: the run was accepted by another version of it.
    Unknown(String),
}

impl From<String> for UpstreamKind {
    fn from(name: String) -> Self {
        match name.as_str() {
            OWN => Self::Own,
            TASK => Self::Task,
            built_in => match BuiltIn::named(built_in) {
                Some(kind) => Self::BuiltIn(kind),
                None => Self::Unknown(name),
            },
        }
    }
}

impl From<UpstreamKind> for String {
    fn from(kind: UpstreamKind) -> Self {
        kind.stored_name().to_owned()
    }
}

impl UpstreamKind {
    fn stored_name(&self) -> &str {
        match self {
            Self::BuiltIn(kind) => kind.name(),
            Self::Own => OWN,
            Self::Task => TASK,
            Self::Unknown(name) => name,
        }
    }

    /// The kind of the own step of a turn that this one answers.
    pub const fn step_kind(&self) -> &'static str {
        match self {
            Self::Task => TASK,
            Self::BuiltIn(_) | Self::Own | Self::Unknown(_) => "llm",
        }
    }

    /// The variables that it can't do without.
    pub const fn needs(&self) -> Needs {
        match self {
            Self::BuiltIn(kind) => kind.needs(),
            Self::Own | Self::Task | Self::Unknown(_) => NOTHING,
        }
    }
}

/// What a deployment's code offers beside the built-in kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnNames<'a> {
    /// Its own upstreams.
    pub upstreams: &'a [&'a str],
    /// Its tasks, which stand in `UPSTREAM` behind `task:`.
    pub tasks: &'a [&'a str],
}

/// Whether a built-in kind has this name, so that nothing of a deployment's own may have it.
pub fn is_built_in(name: &str) -> bool {
    BuiltIn::named(name).is_some()
}

/// An upstream or a task by the name under which requests ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    name: String,
    kind: UpstreamKind,
}

impl Offered {
    /// What goes by this name, in `UPSTREAM` and in requests.
    pub fn parse(name: String, own: OwnNames<'_>) -> Option<Self> {
        let kind = match name.strip_prefix(TASK_PREFIX) {
            Some(task) => own.tasks.contains(&task).then_some(UpstreamKind::Task),
            None => BuiltIn::named(&name)
                .map(UpstreamKind::BuiltIn)
                .or_else(|| {
                    let is_own = own.upstreams.contains(&name.as_str());
                    is_own.then_some(UpstreamKind::Own)
                }),
        };
        Some(Offered { kind: kind?, name })
    }

    /// The name that it is asked for by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The variables that it can't do without.
    pub const fn needs(&self) -> Needs {
        self.kind.needs()
    }

    /// What a run that is accepted with it keeps.
    pub fn resolve(&self, url: Option<&str>, model: Option<&str>) -> Resolved {
        let name = match &self.kind {
            UpstreamKind::BuiltIn(_) | UpstreamKind::Unknown(_) => None,
            UpstreamKind::Own => Some(self.name.as_str()),
            UpstreamKind::Task => self.name.strip_prefix(TASK_PREFIX),
        };
        Resolved {
            kind: self.kind.clone(),
            name: name.map(str::to_owned),
            url: url.filter(|_| self.needs().url).map(str::to_owned),
            model: model.map(str::to_owned),
        }
    }
}

/// The upstream of one run. PERSISTED: fields are only added, and an added one has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// What is spoken there.
    pub kind: UpstreamKind,
    /// Which of the deployment's own upstreams or tasks; of no other kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The base URL without a slash at its end, for kinds that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The model's name, if one was asked for or configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

impl Resolved {
    /// The name under which requests ask for it.
    pub fn public_name(&self) -> Cow<'_, str> {
        let name = self.name.as_deref();
        match &self.kind {
            UpstreamKind::Task => Cow::Owned(format!("{TASK_PREFIX}{}", name.unwrap_or(TASK))),
            UpstreamKind::Own => Cow::Borrowed(name.unwrap_or(OWN)),
            UpstreamKind::BuiltIn(_) | UpstreamKind::Unknown(_) => {
                Cow::Borrowed(self.kind.stored_name())
            }
        }
    }

    /// The upstream to ask.
    ///
    /// # Errors
    /// [`Missing`] when this code has none, which can stand in for it.
    pub fn upstream<M: Means>(&self, means: &M) -> Result<AnyUpstream, Missing> {
        match &self.kind {
            UpstreamKind::BuiltIn(kind) => {
                // A kind that needs a URL has one since its run was accepted.
                Ok(kind.make(means, self.url.as_deref().unwrap_or_default()))
            }
            UpstreamKind::Own => {
                let own = self.name.as_deref().and_then(|name| means.own(name));
                own.map(AnyUpstream::new).ok_or_else(|| self.missing())
            }
            // A task is run here: there is nobody to ask, or to tell of a cancel.
            UpstreamKind::Task | UpstreamKind::Unknown(_) => Err(self.missing()),
        }
    }

    /// Whether this code can answer a run with it. Of a task its name says so.
    pub fn is_here<M: Means>(&self, means: &M) -> bool {
        self.kind == UpstreamKind::Task || self.upstream(means).is_ok()
    }

    fn missing(&self) -> Missing {
        Missing {
            name: self.public_name().into_owned(),
        }
    }
}

/// The upstream that a run was accepted with and that this code doesn't have. As an [`Upstream`] it
/// refuses for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this code has no upstream `{name}`")]
pub struct Missing {
    /// The name under which requests asked for it.
    pub name: String,
}

/// As an HTTP server answers what it doesn't implement.
const NOT_IMPLEMENTED: Refusal = Refusal::Rejected { status: 501 };

impl Upstream for Missing {
    type Frames = stream::Empty<Result<Signal, Cut>>;

    fn capabilities(&self) -> Capabilities {
        // So that a recovery asks it, and learns that it refuses, before it says in the log that
        // there is a new attempt.
        Capabilities {
            resumable: true,
            start_idempotent: true,
        }
    }

    async fn start(&self, _ask: &Ask) -> Result<Self::Frames, Refusal> {
        Err(NOT_IMPLEMENTED)
    }

    async fn attach(&self, _ask: &Ask, _cursor: Option<&str>) -> Result<Self::Frames, Refusal> {
        Err(NOT_IMPLEMENTED)
    }

    async fn cancel(&self, _execution_id: &str) -> Result<(), Refusal> {
        Err(NOT_IMPLEMENTED)
    }
}

#[cfg(test)]
mod tests;
