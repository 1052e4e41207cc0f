//! Random operations on a store and on the model, side by side.
//!
//! Owns the course of a sequence: draw an operation beside what the model holds, ask both, compare
//! their answers, then everything that can be read of them. Which operations there are is `draw`,
//! how one is asked `call`, what is read `look`. It knows no rule of the contract: the model does.
//! Invariant: equal salts and draws are equal operations, whatever the store answers; a sequence
//! without some of its draws is a sequence still, so that a failing one can be shortened.

mod call;
mod chance;
mod draw;
mod look;
mod records;

use super::scene;
use crate::store::{Error, MemoryStore, Store};
use call::{Answer, Call};
use chance::Chance;
use draw::World;
use futures::future::join_all;

/// Does `operations` random operations, drawn from `seed`, on a migrated `store` and on a fresh
/// model, and compares every answer and, behind each operation, everything that can be read. All
/// keys hold `salt` and `seed`: the two must not have been used together on this database.
///
/// # Errors
/// The first difference, with the seed, the operation's number from 0, the operation, and what both
/// of them said.
pub async fn run_random<S: Store>(
    store: &S,
    salt: &str,
    seed: u64,
    operations: u32,
) -> Result<(), String> {
    let mut chance = Chance::new(seed);
    let draws: Vec<u64> = (0..operations).map(|_| chance.number()).collect();
    let compared = run_draws(store, &format!("{salt}-{seed}"), &draws).await;
    compared.map_err(|difference| format!("seed {seed}, {difference}"))
}

/// As [`run_random`], with a number for each operation from which alone it is drawn: a test that
/// makes the numbers can leave some out, and so find the few that a failure needs.
///
/// # Errors
/// The first difference, without a seed.
pub async fn run_draws<S: Store>(store: &S, salt: &str, draws: &[u64]) -> Result<(), String> {
    let mut sequence = Sequence::new(salt);
    for (number, draw) in draws.iter().enumerate() {
        if let Err(difference) = sequence.operation(store, *draw).await {
            return Err(format!("operation {number}: {difference}"));
        }
    }
    Ok(())
}

/// A sequence on its way.
struct Sequence {
    world: World,
    model: MemoryStore,
}

impl Sequence {
    fn new(salt: &str) -> Self {
        let model = MemoryStore::new();
        Sequence {
            world: World::new(scene::tenant(salt), model.clone()),
            model,
        }
    }

    /// One operation, and what both answered.
    async fn operation<S: Store>(
        &mut self,
        store: &S,
        draw: u64,
    ) -> Result<(Call, Result<Answer, Error>), String> {
        let mut chance = Chance::new(draw);
        let call = scene::done("the model", self.world.draw(&mut chance).await)?;
        let expected = call.ask(&self.model).await;
        let found = call.ask(store).await;
        if expected != found {
            return Err(differs(&call, "", &expected, &found));
        }
        let looks = self.world.looks(&call.at, &mut chance).await;
        let looks = scene::done("the model", looks)?;
        // Reads need no order, and a remote database answers many at once.
        let seen = join_all(looks.iter().map(|look| look.ask(store))).await;
        for (look, found) in looks.iter().zip(seen) {
            let expected = look.ask(&self.model).await;
            if expected != found {
                let behind = format!(", then {look:?}");
                return Err(differs(&call, &behind, &expected, &found));
            }
        }
        Ok((call, expected))
    }
}

fn differs<T: std::fmt::Debug>(call: &Call, behind: &str, expected: &T, found: &T) -> String {
    format!("{call:?}{behind}\nexpected {expected:?}\nfound    {found:?}")
}

#[cfg(test)]
mod tests {
    use super::call::Operation;
    use super::*;
    use futures::executor::block_on;
    use std::collections::BTreeMap;

    fn name(call: &Call, answer: &Result<Answer, Error>) -> String {
        let operation = match &call.operation {
            Operation::Commit { changes, .. } => match &changes.transition {
                Some(change) if change.state.status.is_terminal() => "End".to_owned(),
                Some(_) => "Transition".to_owned(),
                None if changes.steps.is_empty() => "Lines".to_owned(),
                None => "Steps".to_owned(),
            },
            other => format!("{other:?}"),
        };
        let answer = match answer {
            Ok(Answer::Owned(_)) => "Owned".to_owned(),
            Ok(Answer::Begun(begun)) => format!("{begun:?}"),
            Ok(Answer::Open(open)) => open.to_string(),
            Ok(Answer::Emitted(emitted)) => format!("accepted {}", emitted.accepted),
            Ok(answer) => format!("{answer:?}"),
            Err(error) => format!("{error:?}"),
        };
        let first = |text: String| -> String {
            let end = text
                .find([' ', '(', '{'])
                .filter(|_| !text.starts_with("accepted"));
            end.map_or(text.clone(), |end| text[..end].to_owned())
        };
        format!("{} {}", first(operation), first(answer))
    }

    /// What became of each kind of operation, and how often.
    fn outcomes(sequences: u64, operations: usize) -> BTreeMap<String, u32> {
        let mut outcomes = BTreeMap::new();
        for seed in 0..sequences {
            let (mut sequence, store) = (Sequence::new("tally"), MemoryStore::new());
            let mut chance = Chance::new(seed);
            for _ in 0..operations {
                let done = block_on(sequence.operation(&store, chance.number()));
                let (call, answer) = done.expect("the model agrees with itself");
                *outcomes.entry(name(&call, &answer)).or_default() += 1;
            }
        }
        outcomes
    }

    /// Lest a test of refusals alone passes for one of stores.
    #[test]
    fn every_operation_is_done_and_refused_in_many_ways() {
        let outcomes = outcomes(100, 60);
        for outcome in [
            "Acquire Fenced",
            "Acquire LeaseHeld",
            "Acquire Owned",
            "Barrier Done",
            "Begin Begun",
            "Begin Taken",
            "Create Begun",
            "Create Taken",
            "EmitEvent Fenced",
            "EmitEvent accepted false",
            "EmitEvent accepted true",
            "End Done",
            "End Fenced",
            "End SeqMismatch",
            "Lines Done",
            "Lines Fenced",
            "Migrate Done",
            "Release Done",
            "Renew Done",
            "Renew Fenced",
            "Reopen Fenced",
            "Reopen Owned",
            "RequestCancel false",
            "RequestCancel true",
            "SetUpstreamCancel Done",
            "Steps Done",
            "Steps Fenced",
            "Steps SeqMismatch",
            "Sync Done",
            "Transition Done",
            "Transition Fenced",
            "Transition SeqMismatch",
        ] {
            let times = outcomes.get(outcome).copied().unwrap_or(0);
            assert!(times >= 20, "{outcome}: {outcomes:#?}");
        }
    }

    #[test]
    fn equal_seeds_are_equal_sequences_and_others_are_not() {
        let calls = |seed| {
            let (mut sequence, store) = (Sequence::new("equal"), MemoryStore::new());
            let mut chance = Chance::new(seed);
            let calls = (0..40).map(|_| block_on(sequence.operation(&store, chance.number())));
            format!("{:?}", calls.collect::<Vec<_>>())
        };
        assert_eq!(calls(7), calls(7));
        assert_ne!(calls(7), calls(8));
    }
}
