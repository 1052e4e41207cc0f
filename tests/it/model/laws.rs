//! What must hold in every state of the model, and at its rest.
//!
//! Owns the laws (I1–I6, I8, I9 and I11 of `docs/invariants.md`, as far as one turn can break them) and
//! the walk through all runs of a scene. Invariant: a law that fails tells the moves that led to it.

use super::client::{Client, Stand};
use super::explorer::Explorer;
use super::props::Storage;
use super::world::{Bounds, End, Made, Move, World};
use crate::support::{Dump, Script, TENANT, dump, lines_of};
use futures::executor::block_on;
use std::cell::RefCell;
use std::rc::Rc;
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{Driver, Run, Section, SqlStore, Statement, Status, Store};

/// The session of every scene.
pub const KEY: &str = "acme:s";
/// Its run.
pub const RUN: &str = "acme:s:0";
/// More moves than this in one run mean that it never comes to rest.
const MOST_MOVES: usize = 6_000;
/// Clients that are cut come back this often at most.
const RETURNS: usize = 10;

/// How a scene's turn may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Completed, in one attempt, with the upstream's transcript.
    Transcript,
    /// As that, or cancelled behind a part of it.
    Cancelled,
    /// In one of several announced attempts.
    Attempts,
    /// Erased.
    Erased,
}

/// A deployment, what may go wrong in it, and what is expected.
pub struct Scene {
    /// For the count that is printed.
    pub name: &'static str,
    /// What the upstream says.
    pub script: Script,
    /// What may go wrong.
    pub bounds: Bounds,
    /// One clock for all.
    pub one_clock: bool,
    /// What is expected.
    pub expect: Expect,
    /// Who is there.
    pub begin: fn(&World),
}

/// What was known of D1 before.
#[derive(Default)]
struct Known {
    d1: Option<Dump>,
}

fn rank(status: Status) -> u32 {
    match status {
        Status::Queued => 0,
        Status::Running | Status::Suspended => 1,
        Status::Completed | Status::Failed | Status::Cancelled => 2,
    }
}

impl Scene {
    fn whole(&self) -> String {
        self.script.log(TENANT, "s", 0)
    }

    #[expect(
        clippy::disallowed_types,
        reason = "what the walk costs is no part of it"
    )]
    /// Walks all runs, which must be more than `floor`: a tree without branches proves nothing.
    pub fn exhaust(&self, floor: usize) {
        let mut explorer = Explorer::default();
        let longest = RefCell::new(0);
        let started = std::time::Instant::now();
        explorer.exhaust(|explorer| self.walk(explorer, &longest));
        let (runs, whole) = explorer.counts();
        println!(
            "{}: {runs} runs, {whole} of them whole, {} states, {} moves at most, {:.1} s",
            self.name,
            explorer.states(),
            longest.borrow(),
            started.elapsed().as_secs_f64()
        );
        assert!(runs > floor, "{}: {runs} runs", self.name);
    }

    /// One run; false when it met a state that was known.
    fn walk(&self, explorer: &mut Explorer, longest: &RefCell<usize>) -> bool {
        let world = World::new(self.script.clone(), self.bounds.clone(), self.one_clock);
        let _told = Told(&world, self.name, explorer.counts().0);
        let mut known = Known::default();
        (self.begin)(&world);
        loop {
            world.stage.run();
            // The laws held there in the run that was the first.
            if !explorer.repeats() {
                self.check(&world, &mut known);
            }
            let moves = world.moves();
            if world.rests() || moves.is_empty() {
                break;
            }
            if moves.len() > 1 && explorer.is_new() && !explorer.meets(world.state()) {
                return false;
            }
            let chosen = match moves.len() {
                1 => 0,
                several => explorer.choose(several),
            };
            self.make(&world, moves[chosen], explorer.repeats());
        }
        self.settle(&world, &mut known);
        let moves = world.trace.borrow().len();
        let most = moves.max(*longest.borrow());
        longest.replace(most);
        true
    }

    fn make(&self, world: &World, chosen: Move, is_known: bool) {
        assert!(
            world.trace.borrow().len() < MOST_MOVES,
            "the world does not come to rest"
        );
        let is_end = matches!(chosen, Move::End(_, End::Crash | End::Replaced, _));
        if is_known || !is_end {
            return world.perform(chosen);
        }
        let seen: Vec<String> = world.clients().iter().map(Client::log).collect();
        world.perform(chosen);
        self.check_left(world, &seen);
    }

    /// What an end left: whatever anyone had seen, and an alarm while a run is open (I1, I11).
    fn check_left(&self, world: &World, seen: &[String]) {
        let [held] = &world.held()[..] else { return };
        if has_lost(world) {
            return;
        }
        let left = dump(held.database(), Section::Object, KEY);
        let d1 = dump(NativeSqlite::clone(&world.d1), Section::D1, KEY);
        let Some((run, log, _)) = left.runs.first() else {
            // The life that ended may have been replaced, or was erased.
            if d1.session.is_none() && self.expect != Expect::Erased {
                assert!(seen.iter().all(String::is_empty), "visible before durable");
            }
            return;
        };
        if self.expect != Expect::Erased
            && left.session.as_ref().map(|s| &s.birth) == d1.session.as_ref().map(|s| &s.birth)
        {
            for seen in seen {
                assert!(
                    log.starts_with(seen),
                    "visible before durable: {seen} {log}"
                );
            }
        }
        assert!(
            run.state.status.is_terminal() || held.alarm().is_some(),
            "an open run without an alarm"
        );
    }

    /// What must hold in every state.
    fn check(&self, world: &World, known: &mut Known) {
        if !world.d1_changed() {
            return;
        }
        // A life that was itself replaced, or its call that is late, takes nothing over.
        let claims = world.claims.borrow();
        assert!(
            claims.is_sorted(),
            "an earlier life took it over: {claims:?}"
        );
        let d1 = dump(NativeSqlite::clone(&world.d1), Section::D1, KEY);
        assert!(d1.runs.len() <= 1, "a second turn: {:?}", d1.runs);
        if let Some((run, log, _)) = d1.runs.first() {
            self.check_prefix(log);
            for client in world.clients() {
                self.check_prefix(&client.log());
            }
            if run.state.status.is_terminal() || !self.one_clock {
                assert_eq!(log.lines().count() as u64, run.state.line_count);
            }
            let before = known.d1.as_ref().and_then(|before| before.runs.first());
            if self.one_clock {
                let known_lines = before.map(|(_, log, _)| log.lines().count() as u64);
                check_fence(world, run, known_lines);
            }
            if let Some((run_before, log_before, _)) = before {
                assert!(rank(run.state.status) >= rank(run_before.state.status));
                assert!(run.epoch >= run_before.epoch, "an epoch fell");
                if self.one_clock && run.epoch > run_before.epoch {
                    let until = run_before.lease.as_ref().map(|lease| lease.until);
                    assert!(
                        until.is_none_or(|until| until <= world.stage.now(0)),
                        "a lease was broken"
                    );
                }
                assert!(run.rev >= run_before.rev, "a rev fell");
                if run_before.state.status.is_terminal() {
                    assert_eq!(
                        (run.state.status, log),
                        (run_before.state.status, log_before)
                    );
                }
                if self.expect != Expect::Attempts {
                    assert!(
                        log.starts_with(log_before),
                        "a line of D1 is gone: {log_before} {log}"
                    );
                }
            }
        }
        known.d1 = Some(d1);
    }

    /// What may be read is a beginning of the one log.
    fn check_prefix(&self, log: &str) {
        let whole = self.whole();
        match self.expect {
            Expect::Transcript => assert!(whole.starts_with(log), "{log}"),
            Expect::Cancelled | Expect::Erased => {
                for (ours, theirs) in log.lines().zip(whole.lines()) {
                    assert!(
                        ours == theirs || ours.contains("session.run.cancelled"),
                        "{log}"
                    );
                }
            }
            Expect::Attempts => {}
        }
    }

    /// Runs on without faults, has clients come back, and checks what the world comes to.
    fn settle(&self, world: &World, known: &mut Known) {
        world.settles.set(true);
        for _ in 0..RETURNS {
            while let Some(chosen) = world.ordinary() {
                self.make(world, chosen, false);
                world.stage.run();
                self.check(world, known);
                if world.rests() && self.is_over(world) {
                    break;
                }
            }
            if !world.all_come_back() {
                break;
            }
            world.stage.run();
        }
        self.check_end(world);
    }

    /// Whether nothing that is due is left.
    fn is_over(&self, world: &World) -> bool {
        let content = world.clients().iter().all(Client::is_content);
        let has_shipped = |held: &Rc<Storage>| {
            let left = Statement {
                sql: "SELECT run_id FROM unshipped",
                params: vec![],
            };
            let left = block_on(held.database().apply(vec![left]));
            left.expect("the storage answers")[0].rows.is_empty()
        };
        // Nobody waits for an erasure; it goes on until nothing is due.
        let erases = self.expect == Expect::Erased;
        !erases && content && world.held().iter().all(has_shipped)
    }

    fn check_end(&self, world: &World) {
        let clients = world.clients();
        let d1 = dump(NativeSqlite::clone(&world.d1), Section::D1, KEY);
        if self.expect == Expect::Erased {
            let stands: Vec<Stand> = clients.iter().map(Client::stand).collect();
            assert!(
                clients
                    .iter()
                    .all(|client| client.reads() || client.is_content()),
                "{stands:?}"
            );
            assert!(d1.runs.is_empty() && d1.messages.is_empty(), "{d1:?}");
            let session = d1.session.expect("its tombstone stays");
            assert!(
                session.deleted_at.is_some() && session.first_turn == 1,
                "{session:?}"
            );
            for held in world.held() {
                let left = dump(held.database(), Section::Object, KEY);
                assert!(left.runs.is_empty() && left.messages.is_empty(), "{left:?}");
            }
            return;
        }
        for client in &clients {
            assert!(
                client.is_content(),
                "{:?}: {}",
                client.stand(),
                client.log()
            );
        }
        let (run, log, steps) = d1.runs.first().expect("the turn is in D1");
        lines_of(log);
        for client in clients.iter().filter(|client| client.reads()) {
            assert_eq!(client.log(), *log);
        }
        match self.expect {
            Expect::Transcript => {
                assert_eq!(*log, self.whole());
                assert_eq!(run.state.status, Status::Completed);
                assert_eq!(run.state.attempts.len(), 1);
                let contents: Vec<&str> = d1.messages.iter().map(|m| m.content.as_str()).collect();
                assert_eq!(contents, ["\"hello\"", self.script.message]);
                assert_eq!(steps.len(), 1);
                assert_eq!(steps[0].status, "completed");
                assert_eq!(world.upstream.started(), [RUN]);
                assert!(world.upstream.cancels().is_empty());
            }
            Expect::Cancelled => {
                let told = world.upstream.cancels();
                match run.state.status {
                    Status::Completed => assert_eq!(*log, self.whole()),
                    Status::Cancelled => {
                        assert!(
                            !told.is_empty() && told.iter().all(|id| id == RUN),
                            "{told:?}"
                        );
                    }
                    other => panic!("{other:?}"),
                }
                assert_eq!(run.upstream_cancel, None);
            }
            Expect::Attempts => {
                let restarts = log.matches("session.run.restarted").count();
                assert_eq!(restarts + 1, run.state.attempts.len(), "{log}");
                assert!(
                    world.upstream.prompts() <= run.state.attempts.len(),
                    "{log}"
                );
            }
            Expect::Erased => {}
        }
        self.check_shipped(world, &d1);
    }

    /// The life that D1 names holds what D1 holds.
    fn check_shipped(&self, world: &World, d1: &Dump) {
        // A life that was cut off from the others may never learn of them.
        for held in world.held() {
            let ours = dump(held.database(), Section::Object, KEY);
            let is_owner = ours.session == d1.session;
            if ours.session.is_none() || (has_lost(world) && !is_owner) {
                continue;
            }
            assert_eq!(ours.session, d1.session);
            assert_eq!(ours.messages, d1.messages);
            assert_eq!(ours.unshipped, 0);
            let (our, their) = (&ours.runs[0].0, &d1.runs[0].0);
            assert_eq!((our.rev, &our.state), (their.rev, &their.state));
        }
    }
}

/// What came since was written by the run's owner of that moment.
fn check_fence(world: &World, run: &Run, known_lines: Option<u64>) {
    let store = SqlStore::new(NativeSqlite::clone(&world.d1), Section::D1);
    let rows = block_on(store.log(RUN, known_lines.unwrap_or(u64::MAX), 100));
    for row in rows.expect("it is there") {
        let is_new = known_lines.is_some_and(|lines| row.first_seq >= lines);
        assert!(
            !is_new || row.epoch == run.epoch,
            "a stale epoch wrote {row:?}"
        );
    }
}

/// Whether a storage was taken away: what only it had is gone, and a life that still has it may have
/// nothing more to say.
fn has_lost(world: &World) -> bool {
    let is_loss = |made: &Made| matches!(made.0, Move::End(_, End::StorageLost | End::Forked, _));
    world.trace.borrow().iter().any(is_loss)
}

/// Tells the moves of a run that breaks a law.
struct Told<'a>(&'a World, &'static str, usize);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: in run {}", self.1, self.2);
            for (number, (made, of)) in self.0.trace.borrow().iter().enumerate() {
                match of {
                    Some((life, what)) => {
                        let what: String = what.chars().take(110).collect();
                        eprintln!("{number:4} {made:?} life {life}: {what}");
                    }
                    None => eprintln!("{number:4} {made:?}"),
                }
            }
            for line in self.0.log.borrow().iter() {
                eprintln!("log {line}");
            }
        }
    }
}
