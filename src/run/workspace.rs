//! Files and processes that a run works in, kept in step with its records.
//!
//! Owns the port and the keys under which it is asked. Invariant: the workspace is saved before the
//! step's record that refers to it, and every call carries a key that is the same whenever it is
//! repeated, so that nothing is started, saved or cleaned up twice.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

/// A workspace could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the workspace failed: {message}")]
pub struct WorkspaceError {
    /// For the operator.
    pub message: String,
}

/// Where a run works. Each call may be repeated with its key, and must then answer as the first time.
pub trait Workspace {
    /// Makes it, at the run's first attempt.
    fn start(&self, key: &str) -> impl Future<Output = Result<(), WorkspaceError>>;

    /// Brings it back to `reference`, which a checkpoint gave.
    fn resume(
        &self,
        key: &str,
        reference: &str,
    ) -> impl Future<Output = Result<(), WorkspaceError>>;

    /// Saves it behind a step; the reference by which it is brought back, if there is anything.
    fn checkpoint(&self, key: &str)
    -> impl Future<Output = Result<Option<String>, WorkspaceError>>;

    /// Takes it away when the run was cancelled.
    fn abort(&self, key: &str) -> impl Future<Output = Result<(), WorkspaceError>>;

    /// Takes it away when the run succeeded.
    fn cleanup(&self, key: &str) -> impl Future<Output = Result<(), WorkspaceError>>;
}

pub(super) fn start_key(run_id: &str) -> String {
    format!("{run_id}:start")
}

pub(super) fn resume_key(run_id: &str, attempt: u32) -> String {
    format!("{run_id}:{attempt}:resume")
}

pub(super) fn checkpoint_key(run_id: &str, attempt: u32, step: &str) -> String {
    format!("{run_id}:{attempt}:pause:{step}")
}

pub(super) fn abort_key(run_id: &str) -> String {
    format!("{run_id}:abort")
}

pub(super) fn cleanup_key(run_id: &str) -> String {
    format!("{run_id}:cleanup")
}

/// A run that works nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoWorkspace;

impl Workspace for NoWorkspace {
    async fn start(&self, _key: &str) -> Result<(), WorkspaceError> {
        Ok(())
    }

    async fn resume(&self, _key: &str, _reference: &str) -> Result<(), WorkspaceError> {
        Ok(())
    }

    async fn checkpoint(&self, _key: &str) -> Result<Option<String>, WorkspaceError> {
        Ok(None)
    }

    async fn abort(&self, _key: &str) -> Result<(), WorkspaceError> {
        Ok(())
    }

    async fn cleanup(&self, _key: &str) -> Result<(), WorkspaceError> {
        Ok(())
    }
}

/// Files in memory, with a snapshot for each checkpoint. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryWorkspace(Rc<RefCell<Files>>);

#[derive(Debug, Default)]
struct Files {
    present: Option<BTreeMap<String, String>>,
    saved: BTreeMap<String, BTreeMap<String, String>>,
    calls: Vec<String>,
}

impl MemoryWorkspace {
    /// Writes a file.
    ///
    /// # Errors
    /// Without a workspace that was started or resumed.
    pub fn write(&self, path: &str, text: &str) -> Result<(), WorkspaceError> {
        let mut files = self.0.borrow_mut();
        let present = files.present.as_mut().ok_or_else(gone)?;
        present.insert(path.to_owned(), text.to_owned());
        Ok(())
    }

    /// Reads a file.
    pub fn read(&self, path: &str) -> Option<String> {
        let files = self.0.borrow();
        files.present.as_ref()?.get(path).cloned()
    }

    /// Whether there is a workspace at present.
    pub fn is_open(&self) -> bool {
        self.0.borrow().present.is_some()
    }

    /// The keys of all calls that did something, in order.
    pub fn calls(&self) -> Vec<String> {
        self.0.borrow().calls.clone()
    }

    /// Loses what is not saved, as the end of its machine would.
    pub fn lose(&self) {
        self.0.borrow_mut().present = None;
    }

    /// Notes a call; false when it is a repeat.
    fn note(&self, key: &str) -> bool {
        let mut files = self.0.borrow_mut();
        let is_new = !files.calls.iter().any(|call| call == key);
        if is_new {
            files.calls.push(key.to_owned());
        }
        is_new
    }

    fn take_away(&self, key: &str) {
        if self.note(key) {
            let mut files = self.0.borrow_mut();
            files.present = None;
            files.saved.clear();
        }
    }
}

fn gone() -> WorkspaceError {
    WorkspaceError {
        message: "there is no such workspace".to_owned(),
    }
}

impl Workspace for MemoryWorkspace {
    async fn start(&self, key: &str) -> Result<(), WorkspaceError> {
        self.note(key);
        let mut files = self.0.borrow_mut();
        // A start that is repeated after a loss begins anew: nothing refers to what was there.
        files.present.get_or_insert_default();
        Ok(())
    }

    async fn resume(&self, key: &str, reference: &str) -> Result<(), WorkspaceError> {
        self.note(key);
        let mut files = self.0.borrow_mut();
        let saved = files.saved.get(reference).cloned().ok_or_else(gone)?;
        files.present = Some(saved);
        Ok(())
    }

    async fn checkpoint(&self, key: &str) -> Result<Option<String>, WorkspaceError> {
        self.note(key);
        let mut files = self.0.borrow_mut();
        let present = files.present.clone().ok_or_else(gone)?;
        files.saved.insert(key.to_owned(), present);
        Ok(Some(key.to_owned()))
    }

    async fn abort(&self, key: &str) -> Result<(), WorkspaceError> {
        self.take_away(key);
        Ok(())
    }

    async fn cleanup(&self, key: &str) -> Result<(), WorkspaceError> {
        self.take_away(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_their_moment() {
        assert_eq!(start_key("r"), "r:start");
        assert_eq!(resume_key("r", 2), "r:2:resume");
        assert_eq!(checkpoint_key("r", 2, "build"), "r:2:pause:build");
        assert_eq!(abort_key("r"), "r:abort");
        assert_eq!(cleanup_key("r"), "r:cleanup");
    }
}
