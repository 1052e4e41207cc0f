//! A run whose lease is over by its worker's own clock: nothing of it is done or stored before the worker
//! knows whether it still has it.

use super::{RUN, begin, options, result, stored};
use crate::support::{Fault, Life, World};
use futures::executor::block_on;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use steadfast::caps;
use steadfast::ports::Timer;
use steadfast::run::{DurableContext, Error, Stop};
use steadfast::store::{Statement, Status, Store};

fn renews(batch: &[Statement]) -> bool {
    batch[0].sql.starts_with("UPDATE runs SET lease_until")
}

fn writes(batch: &[Statement]) -> bool {
    batch.iter().any(|one| !one.sql.starts_with("SELECT"))
}

/// How many writes but renewals a worker sent behind its lease, and how many steps it did there.
fn sent_behind(
    frozen: bool,
    renewal: impl Fn(u32) -> Option<Fault> + 'static,
) -> (Vec<i64>, u64, Result<(), Error>) {
    let world = World::new(0);
    let mut renewals = 0;
    world.d1.fail(move |batch| {
        if !renews(batch) {
            return None;
        }
        renewals += 1;
        renewal(renewals)
    });
    let sent: Rc<RefCell<Vec<i64>>> = Rc::default();
    let (noted, database, sim) = (Rc::clone(&sent), world.durable(), world.sim.clone());
    let seen: Rc<Cell<Option<Life>>> = Rc::default();
    world.d1.watch(move |life, batch| {
        if seen.get().is_some_and(|first| first != life) || renews(batch) || !writes(batch) {
            return;
        }
        let run = block_on(database.run(RUN)).expect("D1 answers");
        if let Some(lease) = run.and_then(|run| run.lease) {
            seen.set(Some(life));
            let behind = sim.now() - lease.until;
            if behind >= 0 {
                noted.borrow_mut().push(behind);
            }
        }
    });
    let acts: Rc<Cell<u64>> = Rc::default();
    let (done, ports) = (Rc::clone(&acts), world.worker().ports);
    let (worker, outcome) = begin(&world, options(), async move |ctx| {
        for n in 0..200 {
            let step = ctx.step(format!("s-{n}"), async |_| {
                ports.sleep(300).await;
                done.set(done.get() + 1);
                Ok(())
            });
            step.await?;
        }
        Ok(())
    });
    world.run_for(5_000);
    if frozen {
        worker.freeze();
        world.run_for(caps::LEASE_MS + 5_000);
        worker.thaw();
    }
    world.run_for(120_000);
    let ended = outcome.take().expect("it came to an end").map(drop);
    (sent.take(), acts.get(), ended)
}

/// Its renewals fail twice, and the third, at the lease's end, is answered late or never; or it stood still
/// past that end. Where the answer is that the lease still stands, the run goes on.
#[test]
fn nothing_of_a_run_is_stored_behind_its_lease() {
    for (last, frozen) in [
        (Fault::Late(6_000), false),
        (Fault::Hangs, false),
        (Fault::Late(6_000), true),
    ] {
        let (behind, acts, ended) = sent_behind(frozen, move |nth| match nth {
            1 | 2 if !frozen => Some(Fault::Refused),
            1 if frozen => Some(last),
            3 if !frozen => Some(last),
            _ => None,
        });
        assert_eq!(behind, [] as [i64; 0], "{last:?} {frozen}");
        match last {
            Fault::Hangs => {
                assert_eq!(ended, Err(Error::Stopped(Stop::LeaseLost)));
                assert!(acts < 110, "{acts} steps in thirty seconds");
            }
            _ => assert_eq!((acts, ended), (200, Ok(())), "{last:?} {frozen}"),
        }
    }
}

/// A renewal that is answered late lengthens the lease from when it was sent: the store holds no more. Then no
/// more is to be had, and the last that its worker does is within what the store holds.
#[test]
fn a_lease_counts_from_before_its_renewal() {
    let (behind, acts, ended) = sent_behind(false, |nth| match nth {
        1 | 2 => Some(Fault::Late(9_000)),
        _ => Some(Fault::Refused),
    });
    assert_eq!(behind, [] as [i64; 0]);
    assert_eq!(ended, Err(Error::Stopped(Stop::LeaseLost)));
    assert!(acts > 110, "it was renewed: {acts}");
}

/// It ends just before its lease does, and nobody tells it whether that was stored: it asks no more behind it.
#[test]
fn a_run_does_not_end_behind_its_lease() {
    let world = World::new(0);
    world.d1.fail(|batch| {
        let ends = batch
            .iter()
            .any(|one| one.sql.starts_with("UPDATE runs SET status"));
        if renews(batch) {
            return Some(Fault::Refused);
        }
        ends.then_some(Fault::Refused)
    });
    let (last, sim): (Rc<Cell<i64>>, _) = (Rc::default(), world.sim.clone());
    let noted = Rc::clone(&last);
    world.d1.watch(move |_, batch| {
        if writes(batch) && !renews(batch) {
            noted.set(sim.now());
        }
    });
    let ports = world.worker().ports;
    let (_, outcome) = begin(&world, options(), async move |ctx| {
        ctx.step("only", async |_| Ok(())).await?;
        ports.sleep(caps::LEASE_MS - 150).await;
        Ok(())
    });
    world.settle();
    assert!(result(&outcome).is_err());
    let run = stored(&world);
    assert_eq!(run.state.status, Status::Running);
    let until = run.lease.expect("it was held").until;
    assert!(
        (until - 200..until).contains(&last.get()),
        "{}",
        last.get() - until
    );
}
