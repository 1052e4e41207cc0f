//! Forty days of three sessions: what only shows after days, and while something is away for long.
//!
//! Owns what happens when. D1 is away for longer than a log is kept, an upstream can't be told of a cancel
//! for hours, a session is erased meanwhile, a task waits for days twice, and lives end all the time. The
//! laws are those of every other run.

use super::chance::Chance;
use super::people::People;
use super::scene::Scene;
use super::sites::Site;
use super::turns::{Kind, Size, Turn};
use crate::support::{Life, VAST_EVENT, World};
use std::rc::Rc;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// All of it.
const DAYS: u64 = 40;
/// From then on nothing goes wrong.
const CALM_AT: u64 = 34 * DAY_MS;
/// When D1 goes.
const AWAY_AT: u64 = HOUR_MS / 2;
/// How long it is away: longer than the shortest retention.
const AWAY_MS: (u64, u64) = (25 * HOUR_MS, 27 * HOUR_MS);
/// Waits of people and machines, as a multiple of their usual ones.
const PACE: u64 = 300;
/// Tries to tell a cancel that are refused: two hours of them at least.
const REFUSED_CANCELS: (u64, u64) = (30, 90);
/// An object's alarms a minute while something is away, at most; and beside those.
const ALARMS_A_MINUTE: u64 = 3;
const ALARMS_BESIDE: u64 = 4_000;

/// What a long run may not have.
pub fn forbid(chance: &Chance) {
    chance.take_time(PACE);
    // Nobody looks after an alarm that was lost before the next call, which may be days away.
    chance.forbid(Site::AlarmLost);
}

impl Scene {
    /// Who does what in a long run.
    pub(super) fn live_long(&self) {
        let (world, chance) = (&self.world, &self.chance);
        world.set("RETENTION_DAYS", "1");
        let turn = |name: &str, kind, size| {
            let turn = Turn::draw(name, kind, size, chance);
            let mut all = self.turns.borrow_mut();
            all.insert(turn.name.clone(), turn.clone());
            turn
        };
        let usual = |name: &str| turn(name, Kind::Sandbox, Size::Usual);
        let talks = ["0x0", "0x1", "0x2", "0x3", "0x4"].map(usual);
        let waits = [turn("1x0", Kind::Errand, Size::Long), usual("1x1")];
        let leaves = [usual("2x0")];
        d1_is_away(world, chance);
        let live = |people: &People| {
            let people = people.clone();
            people.busy.set(people.busy.get() + 1);
            people
        };
        let people = live(&self.people);
        world.sim.spawn(Life::OUTSIDE, async move {
            talk(&people, talks).await;
            people.busy.set(people.busy.get() - 1);
        });
        if self.seats.len() > 1 {
            let people = live(&self.people);
            world.sim.spawn(Life::OUTSIDE, async move {
                wait(&people, waits).await;
                people.busy.set(people.busy.get() - 1);
            });
        }
        if self.seats.len() > 2 {
            let people = live(&self.people);
            world.sim.spawn(Life::OUTSIDE, async move {
                leave(&people, &leaves).await;
                people.busy.set(people.busy.get() - 1);
            });
        }
    }

    /// Days go by, with a look at each step.
    pub(super) fn run_long(&self) {
        let began = self.world.sim.now();
        self.run_until(began.saturating_add_unsigned(CALM_AT));
        self.be_calm();
        self.run_until(began.saturating_add_unsigned(DAYS * DAY_MS));
        assert_eq!(self.people.busy.get(), 0, "L1, L2: somebody waits for ever");
        for seat in self.seats.iter() {
            let most = ALARMS_A_MINUTE * AWAY_MS.1 / 60_000 + ALARMS_BESIDE;
            let fired = seat.object.alarms();
            assert!(fired <= most, "{} had {fired} alarms", seat.key);
        }
    }
}

fn d1_is_away(world: &World, chance: &Chance) {
    let (chance, sim) = (chance.clone(), world.sim.clone());
    world.sim.spawn(Life::OUTSIDE, async move {
        sim.sleep(AWAY_AT).await;
        chance.d1_goes(true);
        sim.sleep(chance.within(AWAY_MS.0, AWAY_MS.1)).await;
        chance.d1_goes(false);
    });
}

/// A turn before D1 goes, two while it is away, of which one is cancelled, and later ones.
async fn talk(people: &People, turns: [Turn; 5]) {
    let chance = &people.chance;
    people.one_turn(0, &turns[0]).await;
    people.sleep(2 * AWAY_AT).await;
    people.one_turn(0, &turns[1]).await;
    let refused = chance.within(REFUSED_CANCELS.0, REFUSED_CANCELS.1);
    let refused = std::iter::repeat_n(503, usize::try_from(refused).expect("it is small"));
    people.world.upstream.answer_cancels(refused);
    let accepted = people.submit(0, &turns[2]).await;
    people.canceller(0, &accepted, &turns[2]);
    people.read(0, &turns[2], &accepted).await;
    people.sleep(chance.within(5 * DAY_MS, 12 * DAY_MS)).await;
    people.one_turn(0, &turns[3]).await;
    people.sleep(12 * DAY_MS).await;
    people.one_turn(0, &turns[4]).await;
}

/// A task that waits for days; other events come meanwhile, and its own in time or too late.
async fn wait(people: &People, turns: [Turn; 2]) {
    let accepted = Rc::new(people.submit(1, &turns[0]).await);
    for (days, key) in [(1, "noise-1"), (2, "noise-2"), (6, VAST_EVENT)] {
        let (this, accepted) = (people.clone(), Rc::clone(&accepted));
        let wait = people.chance.below(days * DAY_MS);
        people.world.sim.spawn(Life::OUTSIDE, async move {
            this.sleep(wait).await;
            this.emit(1, accepted.turn, &accepted.run_id, key, "true")
                .await;
        });
    }
    people.sleep(8 * DAY_MS).await;
    people.read(1, &turns[0], &accepted).await;
    people.one_turn(1, &turns[1]).await;
}

/// A session that is erased while D1 is away, and used again.
async fn leave(people: &People, turns: &[Turn]) {
    let accepted = people.one_turn(2, &turns[0]).await;
    people.sleep(2 * AWAY_AT).await;
    people.erase(2, turns, vec![accepted]).await;
}
