//! The hooks of simulated plain turns: they fail, dawdle, and take their machine along.
//!
//! Owns what a hook may rely on when it is called, and the notes of what the hooks of all machines were
//! told together.

use super::RUN;
use super::terms::{Terms, transformed};
use crate::sim::chance::Chance;
use crate::support::{Life, World};
use futures::executor::block_on;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::rc::Rc;
use steadfast::store::{Section, SqlStore, Store};
use steadfast::turn::{FinishedTurn, HookError, Hooks, TurnIdentity};
use steadfast::wire::line;

/// Tries to save one answer, as PROTOCOL's `persist_failed` has them.
pub const MOST_SAVES: u64 = 12;

/// What all hooks of a turn were told.
#[derive(Default)]
pub struct Told {
    heard: RefCell<BTreeSet<u64>>,
    /// Texts that were saved, and how often a save was tried.
    pub saved: RefCell<BTreeMap<(u32, String), u64>>,
    /// Calls that save.
    pub saves: Cell<u64>,
    /// The transformation failed.
    pub spoilt: Cell<bool>,
    /// A machine ended within a hook.
    hurt: Cell<bool>,
}

impl Told {
    /// No hook took its machine along.
    pub fn is_unhurt(&self) -> bool {
        !self.hurt.get()
    }
}

/// The hooks of one machine.
#[derive(Clone)]
pub struct Product {
    pub world: World,
    pub chance: Chance,
    pub life: Life,
    pub terms: Terms,
    pub told: Rc<Told>,
}

impl Product {
    /// Does what a hook does on a bad day, for `most_ms` at most.
    async fn bad_day(&self, share: u64, most_ms: u64) -> Result<(), HookError> {
        if self.chance.is_calm() || !self.chance.percent(share) {
            return Ok(());
        }
        let sim = &self.world.sim;
        match self.chance.below(6) {
            0 | 1 => Err(HookError::new("no luck")),
            2 => {
                self.chance
                    .note(|| "a hook takes its machine along".to_owned());
                self.told.hurt.set(true);
                sim.kill(self.life);
                pending().await
            }
            _ => {
                sim.sleep(self.chance.within(10, most_ms)).await;
                Ok(())
            }
        }
    }
}

impl Hooks for Product {
    fn transforms_text(&self) -> bool {
        self.terms.transforms
    }

    fn persists(&self) -> bool {
        self.terms.persists
    }

    async fn transform_final_text(
        &self,
        _turn: &TurnIdentity,
        text: String,
    ) -> Result<String, HookError> {
        if self.bad_day(20, 20_000).await.is_err() {
            self.told.spoilt.set(true);
            return Err(HookError::new("no luck"));
        }
        Ok(transformed(&text))
    }

    async fn persist(&self, done: &FinishedTurn) -> Result<(), HookError> {
        let saves = self.told.saves.get() + 1;
        self.told.saves.set(saves);
        assert!(saves <= MOST_SAVES, "a try to save was given back: {saves}");
        self.bad_day(40, 40_000).await?;
        let key = (done.attempt, done.text.clone());
        *self.told.saved.borrow_mut().entry(key).or_default() += 1;
        Ok(())
    }

    async fn on_event(&self, _turn: &TurnIdentity, text: &str) -> Result<(), HookError> {
        let number = text.strip_prefix(r#"{"seq":"#);
        let number = number.and_then(|rest| rest.split(',').next()?.parse().ok());
        let seq: u64 = number.expect("a line has its number");
        assert!(line::parse_kind_and_data(text).is_some(), "no line: {text}");
        let durable = SqlStore::new(self.world.d1.database(), Section::D1);
        let end = block_on(durable.log_end(RUN)).expect("D1 answers");
        assert!(seq < end, "a hook heard of a line before it was durable");
        assert!(
            self.told.heard.borrow_mut().insert(seq),
            "a hook heard line {seq} twice"
        );
        self.bad_day(1, 15_000).await
    }

    async fn on_turn_complete(&self, _done: &FinishedTurn) -> Result<(), HookError> {
        self.bad_day(10, 15_000).await
    }
}
