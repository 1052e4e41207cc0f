//! Random operations answer alike on the model and on SQL, in both sections.
//!
//! Owns which sequences are asked natively, and that a store which breaks is found out. What a
//! sequence is made of is the crate's, which asks it in workerd too. A failure prints the shortest
//! sequence found that shows it and the seed that found it; `STEADFAST_SEED` runs that seed again.

use super::{SECTIONS, sqlite};
use futures::executor::block_on;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::rc::Rc;
use steadfast::store::conformance::{run_draws, run_random};
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{Driver, DriverError, MemoryStore, Outcome, Section, SqlStore, Statement};

/// Sequences a section, each up to [`OPERATIONS`] long: enough to meet each pair of operations.
const SEQUENCES: u32 = 32;
const OPERATIONS: usize = 56;

#[test]
fn random_operations_answer_alike_on_the_model_and_on_sqlite() {
    let seed = match std::env::var("STEADFAST_SEED") {
        Ok(seed) => seed.parse().expect("STEADFAST_SEED is a number"),
        Err(_) => RandomState::new().hash_one("seed"),
    };
    for section in SECTIONS {
        let mut runner = TestRunner::new(Config {
            cases: SEQUENCES,
            rng_seed: RngSeed::Fixed(seed),
            failure_persistence: None,
            ..Config::default()
        });
        let store = sqlite(section);
        let sequences = Cell::new(0);
        // A draw made smaller is just another one, so that only leaving some out makes it simpler.
        let draws = vec(any::<u64>().no_shrink(), 1..OPERATIONS);
        let result = runner.run(&draws, |draws| {
            // All share one database, so that none may meet what is another's.
            let salt = sequences.replace(sequences.get() + 1).to_string();
            let compared = block_on(run_draws(&store, &salt, &draws));
            compared.map_err(TestCaseError::fail)
        });
        match result {
            Ok(()) => {}
            Err(TestError::Fail(why, draws)) => {
                panic!("STEADFAST_SEED={seed} {section:?}: {why}\n{draws:?}")
            }
            Err(TestError::Abort(why)) => panic!("STEADFAST_SEED={seed} {section:?}: {why}"),
        }
    }
}

#[test]
fn a_seed_is_one_sequence_on_every_store() {
    for seed in 1..=4 {
        let model = MemoryStore::new();
        assert_eq!(block_on(run_random(&model, "seeds", seed, 60)), Ok(()));
        for section in SECTIONS {
            let store = sqlite(section);
            assert_eq!(block_on(run_random(&store, "seeds", seed, 60)), Ok(()));
        }
    }
}

/// How a driver breaks its promise while it answers as if nothing were amiss.
#[derive(Clone, Copy, Debug)]
enum Break {
    /// One statement of a batch is left out.
    Tear,
    /// A read that was answered before is answered so again.
    GoStale,
    /// The third batch of a kind is answered as the first was, and not stored.
    Forget,
}

/// What was answered first, and how often since.
type Answered = BTreeMap<String, (u32, Vec<Outcome>)>;

#[derive(Clone)]
struct Broken {
    driver: NativeSqlite,
    how: Break,
    answered: Rc<RefCell<Answered>>,
}

impl Broken {
    fn store(how: Break) -> SqlStore<Broken> {
        let driver = sqlite(Section::Object).driver().clone();
        let answered = Rc::default();
        let broken = Broken {
            driver,
            how,
            answered,
        };
        SqlStore::new(broken, Section::Object)
    }

    /// The first answer to this, once it was given often enough.
    async fn remembered(
        &self,
        key: String,
        times: u32,
        batch: Vec<Statement>,
    ) -> Result<Vec<Outcome>, DriverError> {
        let before = self.answered.borrow().get(&key).cloned();
        let (given, first) = match before {
            Some((given, first)) if given >= times => return Ok(first),
            Some((given, first)) => {
                self.driver.apply(batch).await?;
                (given, first)
            }
            None => (0, self.driver.apply(batch).await?),
        };
        let answered = (given + 1, first.clone());
        self.answered.borrow_mut().insert(key, answered);
        Ok(first)
    }
}

impl Driver for Broken {
    async fn apply(&self, mut batch: Vec<Statement>) -> Result<Vec<Outcome>, DriverError> {
        match self.how {
            Break::Tear if batch.len() > 2 => {
                batch.remove(1);
                let mut outcomes = self.driver.apply(batch).await?;
                outcomes.insert(1, Outcome::default());
                Ok(outcomes)
            }
            Break::GoStale if batch.len() == 1 && batch[0].sql.starts_with("SELECT") => {
                self.remembered(format!("{batch:?}"), 1, batch).await
            }
            Break::Forget if batch.len() > 1 => {
                self.remembered(batch[0].sql.to_owned(), 2, batch).await
            }
            Break::Tear | Break::GoStale | Break::Forget => self.driver.apply(batch).await,
        }
    }

    async fn sync(&self) -> Result<(), DriverError> {
        self.driver.sync().await
    }

    async fn barrier(&self) -> Result<(), DriverError> {
        self.driver.barrier().await
    }
}

#[test]
fn a_store_that_breaks_is_found_out() {
    for how in [Break::Tear, Break::GoStale, Break::Forget] {
        let found = block_on(run_random(&Broken::store(how), "b", 1, 60));
        let difference = found.expect_err("the store is broken");
        assert!(
            difference.starts_with("seed 1, operation "),
            "{how:?}: {difference}"
        );
    }
}
