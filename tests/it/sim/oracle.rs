//! What must hold after every step of a run: `docs/invariants.md`, looked at from outside.
//!
//! Owns what was ever durable and what was ever visible. It reads what would survive an end at this
//! instant, never what the code under test says of itself.

mod visible;

use super::chance::Chance;
use super::owed;
use super::sites::Site;
use super::turns::{Kind, Turn, without_ending};
use crate::support::{Client, Object, World, lines_of};
use futures::executor::block_on;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use steadfast::ids;
use steadfast::store::sqlite::NativeSqlite;
use steadfast::store::{EventRecord, LogHome, LogRow, Run, Section, SqlStore, Status, Store};
use steadfast::wire::line;
use steadfast::wire::view::ViewKind;

const ALL: u32 = 100_000;
/// What has changed is looked at within so long, in ms.
const LOOK_MS: i64 = 600_000;
/// D1 is looked at no less often, in changes: each is a whole ship.
const D1_STRIDE: u64 = 4;

/// One session of a run, and where its object is.
#[derive(Clone)]
pub struct Seat {
    /// The object.
    pub object: Object,
    /// `<tenant>:<session>`.
    pub key: String,
    /// Its tenant.
    pub tenant: &'static str,
    /// Its id.
    pub session: &'static str,
}

/// A client that is watched.
struct Watched {
    client: Client,
    seat: usize,
    after: i64,
    view: ViewKind,
    read: usize,
    tail: Vec<u8>,
    next: u64,
}

/// A run as one store was seen to have it.
#[derive(Clone)]
struct Seen {
    run: Run,
    rows: Vec<LogRow>,
    lines: Vec<String>,
    /// The hash of all lines up to each.
    chain: Vec<u64>,
    events: BTreeMap<String, EventRecord>,
    /// Its lines are to be read in this store.
    is_here: bool,
    /// Read in D1.
    is_durable_only: bool,
}

impl Seen {
    fn as_was(&self) -> owed::Was<'_> {
        owed::Was {
            run: &self.run,
            lines: &self.lines,
            chain: &self.chain,
            events: &self.events,
            is_here: self.is_here,
        }
    }
}

#[derive(Default)]
struct View {
    changes: u64,
    looked_at: i64,
    turn_count: u64,
    runs: BTreeMap<String, Seen>,
}

/// The oracle of one run. Clones share it.
#[derive(Clone)]
pub struct Oracle(Rc<Inner>);

struct Inner {
    world: World,
    chance: Chance,
    seats: Vec<Seat>,
    turns: Rc<RefCell<BTreeMap<String, Turn>>>,
    objects: Vec<RefCell<View>>,
    durable: RefCell<View>,
    watched: RefCell<Vec<Watched>>,
    /// By run: the hash of the visible prefix at each seq that anyone ever saw.
    visible: RefCell<BTreeMap<String, BTreeMap<u64, u64>>>,
    keys: RefCell<BTreeMap<String, String>>,
    /// By run: the epoch under which its cancel was first seen.
    cancels: RefCell<BTreeMap<String, u64>>,
    states: RefCell<BTreeSet<u64>>,
    /// By session: the first turn that its erasures left alone, and how many there were.
    deleted: RefCell<BTreeMap<String, (u64, u64)>>,
    /// An object is looked at when so much has changed, or when somebody saw what wasn't there at the
    /// last look.
    stride: Cell<u64>,
}

impl Oracle {
    /// The oracle of these sessions.
    pub fn new(
        world: &World,
        chance: &Chance,
        seats: &[Seat],
        turns: Rc<RefCell<BTreeMap<String, Turn>>>,
    ) -> Self {
        let oracle = Oracle(Rc::new(Inner {
            world: world.clone(),
            chance: chance.clone(),
            seats: seats.to_vec(),
            turns,
            objects: seats.iter().map(|_| RefCell::default()).collect(),
            durable: RefCell::default(),
            watched: RefCell::default(),
            visible: RefCell::default(),
            keys: RefCell::default(),
            cancels: RefCell::default(),
            states: RefCell::default(),
            deleted: RefCell::default(),
            stride: Cell::new(1),
        }));
        oracle.watch_tenants();
        oracle
    }

    /// Looks less often: what is large takes long to read.
    pub fn look_each(&self, changes: u64) {
        self.0.stride.set(changes);
    }

    /// Watches what a client is given from behind `after` on.
    pub fn watch(&self, client: &Client, seat: usize, after: i64, view: ViewKind) {
        self.0.watched.borrow_mut().push(Watched {
            client: client.clone(),
            seat,
            after,
            view,
            read: 0,
            tail: Vec::new(),
            next: u64::try_from(after.saturating_add(1)).unwrap_or(0),
        });
    }

    /// A client was told which run its key is.
    pub fn is_accepted(&self, seat: usize, era: u64, key: &str, execution_id: &str) {
        let name = format!("{} {era} {key}", self.0.seats[seat].key);
        let mut keys = self.0.keys.borrow_mut();
        let known = keys.entry(name).or_insert_with(|| execution_id.to_owned());
        assert_eq!(known, execution_id, "I8: one key, two runs");
    }

    /// A storage is lost, and with it what its keys meant where D1 has heard of no such run yet.
    pub fn is_lost(&self, seat: usize) {
        let durable = self.0.world.durable();
        let prefix = format!("{} ", self.0.seats[seat].key);
        self.0.keys.borrow_mut().retain(|name, run_id| {
            let run = block_on(durable.run(run_id)).expect("D1 answers");
            run.is_some() || !name.starts_with(&prefix)
        });
        // Frames are told again as they were; an ending of ours that D1 lacks may be another one then.
        let mut visible = self.0.visible.borrow_mut();
        for (run, _, _) in self.0.seats[seat].object.dump().runs {
            if run.state.status.is_terminal()
                && let Some(seen) = visible.get_mut(&run.run_id)
            {
                let held = block_on(durable.log_end(&run.run_id)).expect("D1 answers");
                seen.retain(|seq, _| *seq < held);
            }
        }
    }

    /// The session is erased from here on: with all its turns so far.
    pub fn is_deleted(&self, seat: usize) {
        let turns = self.0.objects[seat].borrow().turn_count;
        let key = self.0.seats[seat].key.clone();
        let times = self.era(seat) + 1;
        self.0.deleted.borrow_mut().insert(key, (turns, times));
    }

    /// How often a session was erased; a key means another turn in each era.
    pub fn era(&self, seat: usize) -> u64 {
        let deleted = self.0.deleted.borrow();
        deleted
            .get(&self.0.seats[seat].key)
            .map_or(0, |(_, times)| *times)
    }

    /// Whether the session of this run was ever erased.
    pub fn was_erased(&self, run_id: &str) -> bool {
        let deleted = self.0.deleted.borrow();
        deleted.contains_key(ids::session_key_of(run_id))
    }

    /// How many states were seen: what stands where, coarsely.
    pub fn states(&self) -> BTreeSet<u64> {
        self.0.states.borrow().clone()
    }

    /// Looks at all that has changed.
    pub fn check(&self) {
        self.look(self.0.stride.get());
    }

    /// Looks at all that has changed since, however little.
    pub fn check_all(&self) {
        self.look(1);
    }

    fn look(&self, stride: u64) {
        let mut has_changed = false;
        let now = self.0.world.sim.now();
        for (at, seat) in self.0.seats.iter().enumerate() {
            let changes = seat.object.changes();
            if self.0.objects[at].borrow().is_old(changes, stride, now) {
                self.check_object(at, changes);
                has_changed = true;
            }
        }
        let changes = self.0.world.d1.changes();
        let stride = stride.min(D1_STRIDE);
        if self.0.durable.borrow().is_old(changes, stride, now) {
            self.check_d1(changes);
            has_changed = true;
        }
        let mut watched = std::mem::take(&mut *self.0.watched.borrow_mut());
        for one in &mut watched {
            has_changed |= self.read_on(one);
        }
        watched.append(&mut self.0.watched.borrow_mut());
        self.0.watched.replace(watched);
        if has_changed {
            self.note_state();
        }
    }

    fn turn_of(&self, run: &Run) -> Option<Turn> {
        let name = run.key.as_deref()?.strip_prefix("key-")?;
        self.0.turns.borrow().get(name).cloned()
    }

    fn check_object(&self, at: usize, changes: u64) {
        let seat = &self.0.seats[at];
        let (database, alarm) = seat.object.durable();
        let mut view = self.0.objects[at].borrow_mut();
        let now = read(database, Section::Object, &seat.key);
        self.compare(seat, &mut view, now);
        view.changes = changes;
        view.looked_at = self.0.world.sim.now();
        let (database, _) = seat.object.durable();
        let is_excused = self.0.chance.has(Site::AlarmLost) || seat.object.has_given_up();
        // Storage that is being copied from D1 is nothing before its session's row is there.
        let is_whole = view.turn_count > 0;
        if is_whole && !is_excused {
            let now = self.0.world.sim.now();
            let owed = owed::by(database, &seat.key, &self.0.world);
            let is_armed = owed
                .as_ref()
                .is_none_or(|owed| owed::is_armed(alarm, owed, now));
            assert!(
                is_armed,
                "I11: {owed:?} at {now}, and the alarm is {alarm:?}"
            );
        }
    }

    fn check_d1(&self, changes: u64) {
        let database = self.0.world.d1.database();
        let mut view = self.0.durable.borrow_mut();
        for seat in &self.0.seats {
            let mut part = View {
                runs: view.of(&seat.key),
                ..View::default()
            };
            let now = read(database.clone(), Section::D1, &seat.key);
            self.compare(seat, &mut part, now);
            view.runs.append(&mut part.runs);
        }
        view.changes = changes;
        view.looked_at = self.0.world.sim.now();
    }

    /// What one store has now, beside what it had.
    fn compare(&self, seat: &Seat, view: &mut View, (turn_count, now): (u64, Vec<Seen>)) {
        let erased = self.0.deleted.borrow().get(&seat.key).copied();
        let stays_from = erased.map_or(0, |(turns, _)| turns);
        let is_lost = self.0.chance.has(Site::StorageLost);
        assert!(
            turn_count >= view.turn_count || is_lost,
            "a turn index would be used again: {} behind {}",
            turn_count,
            view.turn_count
        );
        view.turn_count = turn_count;
        let before = std::mem::take(&mut view.runs);
        for mut seen in now {
            let run_id = seen.run.run_id.clone();
            if let Some(was) = before.get(&run_id) {
                let is_same = was.run == seen.run && was.rows.len() == seen.rows.len();
                if !is_same && !is_lost {
                    owed::check_went_on(&was.as_was(), &seen.as_was());
                    if was.is_here && !seen.is_here {
                        owed::check_may_go(&self.0.world, &seen.run, seen.is_durable_only);
                        self.0.chance.met(match seen.is_durable_only {
                            true => Site::Expired,
                            false => Site::Dropped,
                        });
                    }
                }
                if !is_same {
                    self.check_run(seat, &seen);
                }
                if !seen.is_here && seen.lines.is_empty() {
                    // They went; what they were is known.
                    seen.lines.clone_from(&was.lines);
                    seen.chain.clone_from(&was.chain);
                }
            } else {
                self.check_run(seat, &seen);
            }
            view.runs.insert(run_id, seen);
        }
        for (run_id, was) in &before {
            let is_erased = was.run.turn_index < stays_from;
            assert!(
                view.runs.contains_key(run_id) || is_erased || is_lost,
                "{run_id} is gone"
            );
        }
    }

    /// What holds of a run wherever and whenever it is read.
    fn check_run(&self, seat: &Seat, seen: &Seen) {
        let (run, log) = (&seen.run, seen.lines.concat());
        let at = &run.run_id;
        if !seen.is_here || seen.lines.is_empty() {
            return;
        }
        // I9: what a transition says of the log is in the log.
        assert!(
            run.state.line_count <= seen.lines.len() as u64,
            "I9: {at} says {} lines and has {}",
            run.state.line_count,
            seen.lines.len()
        );
        let mut epoch = 0;
        for row in &seen.rows {
            assert!(
                row.epoch >= epoch,
                "I5: {at}: epoch {} behind {epoch}",
                row.epoch
            );
            epoch = row.epoch;
        }
        assert!(epoch <= run.epoch, "I5: {at}: a row of a later epoch");
        match run.state.status.is_terminal() {
            // I6: one ending, the last line.
            true => drop(lines_of(&log)),
            false => {
                let kinds = seen
                    .lines
                    .iter()
                    .filter_map(|line| line::parse_kind_and_data(line.trim_end()));
                let mut kinds = kinds.map(|(kind, _)| kind.to_owned());
                assert!(
                    !kinds.any(|kind| line::is_terminal(&kind)),
                    "I6: {at} is open and has an ending: {log}"
                );
            }
        }
        self.check_visible(seen);
        self.check_cancel(seen);
        let Some(turn) = self.turn_of(run) else {
            return;
        };
        self.check_order(seat, &turn, seen, &log);
    }

    /// I6: whoever takes a cancelled run over does nothing else with it.
    fn check_cancel(&self, seen: &Seen) {
        let (run, status) = (&seen.run, seen.run.state.status);
        if seen.is_durable_only || run.cancel.is_none() {
            return;
        }
        let mut cancels = self.0.cancels.borrow_mut();
        let since = cancels.entry(run.run_id.clone()).or_insert(run.epoch);
        assert!(
            run.epoch == *since || !status.is_terminal() || status == Status::Cancelled,
            "I6: {} was cancelled, taken over, and is {status:?}",
            run.run_id
        );
    }

    /// I3: the upstream's order.
    fn check_order(&self, seat: &Seat, turn: &Turn, seen: &Seen, log: &str) {
        let (Kind::Sandbox, Some(script)) = (turn.kind, &turn.script) else {
            return;
        };
        if turn.is_swapped() {
            let mut once = BTreeSet::new();
            for text in &seen.lines {
                let body = text.split_once(',').map(|(_, body)| body.to_owned());
                assert!(once.insert(body), "I2: twice: {text}{log}");
            }
            return;
        }
        let whole = script.log(seat.tenant, seat.session, seen.run.turn_index);
        let told = without_ending(&seen.lines).concat();
        assert!(
            whole.starts_with(&told),
            "I3: not what the upstream said: {told} is no prefix of {whole}"
        );
    }

    /// I10: no statement of one session names another.
    fn watch_tenants(&self) {
        let keys: Vec<String> = self.0.seats.iter().map(|seat| seat.key.clone()).collect();
        if keys.len() < 2 {
            return;
        }
        self.0.world.d1.watch(move |_, batch| {
            let params: Vec<String> = batch
                .iter()
                .map(|statement| format!("{:?}", statement.params))
                .collect();
            let names = |key: &str| {
                let (alone, joined) = (format!("\"{key}\""), format!("\"{key}:"));
                let mut all = params.iter();
                all.any(|text| text.contains(&alone) || text.contains(&joined))
            };
            let named = keys.iter().filter(|key| names(key)).count();
            assert!(named <= 1, "I10: {params:?}");
        });
    }

    fn note_state(&self) {
        let mut hasher = DefaultHasher::new();
        for (at, seat) in self.0.seats.iter().enumerate() {
            let view = self.0.objects[at].borrow();
            for seen in view.runs.values() {
                let state = &seen.run.state;
                state.status.name().hash(&mut hasher);
                state.attempts.len().min(3).hash(&mut hasher);
                seen.run.epoch.min(4).hash(&mut hasher);
                seen.lines.len().min(16).hash(&mut hasher);
                seen.run.cancel.is_some().hash(&mut hasher);
                let there = self.0.durable.borrow();
                let there = there
                    .runs
                    .get(&seen.run.run_id)
                    .map(|seen| seen.lines.len());
                there.map(|lines| lines.min(16)).hash(&mut hasher);
            }
            seat.object.life().is_some().hash(&mut hasher);
            seat.object.alarm().is_some().hash(&mut hasher);
        }
        for one in self.0.watched.borrow().iter() {
            (one.next.min(16), one.client.is_over()).hash(&mut hasher);
        }
        self.0.states.borrow_mut().insert(hasher.finish());
    }

    /// The runs that D1 holds, which were all open once.
    pub fn known_runs(&self) -> Vec<String> {
        self.0.durable.borrow().runs.keys().cloned().collect()
    }

    /// The last lines that anyone could come to see, by run.
    pub fn runs(&self) -> Vec<(Run, String)> {
        let durable = self.0.durable.borrow();
        let runs = durable.runs.values();
        runs.map(|seen| (seen.run.clone(), seen.lines.concat()))
            .collect()
    }
}

impl View {
    /// So much has changed since the last look, or anything long ago.
    const fn is_old(&self, changes: u64, stride: u64, now: i64) -> bool {
        let is_late = now >= self.looked_at + LOOK_MS;
        self.changes + stride <= changes || is_late && self.changes != changes
    }

    /// The runs of one session.
    fn of(&mut self, key: &str) -> BTreeMap<String, Seen> {
        let own = format!("{key}:");
        let (mine, others) = std::mem::take(&mut self.runs)
            .into_iter()
            .partition(|(run_id, _)| run_id.starts_with(&own));
        self.runs = others;
        mine
    }
}

fn read(database: NativeSqlite, section: Section, key: &str) -> (u64, Vec<Seen>) {
    let store = SqlStore::new(database, section);
    let reading = async {
        if !store.has_schema().await? {
            return Ok((0, Vec::new()));
        }
        let session = store.session(key).await?;
        let mut all = Vec::new();
        for run in store.runs(key, 0, ALL).await? {
            let rows = store.log(&run.run_id, 0, ALL).await?;
            let mut next = 0;
            for row in &rows {
                assert_eq!(
                    row.first_seq, next,
                    "I2: a gap or an overlap in {}",
                    run.run_id
                );
                next = row.next_seq();
            }
            let lines: Vec<String> = rows
                .iter()
                .flat_map(|row| row.lines.split_inclusive('\n'))
                .map(str::to_owned)
                .collect();
            let events = store.events_since(&run.run_id, 0, ALL).await?;
            let events = events.into_iter().map(|event| (event.key.clone(), event));
            let home = match section {
                Section::Object => LogHome::Object,
                Section::D1 => LogHome::D1,
            };
            all.push(Seen {
                is_here: run.log_home == home,
                is_durable_only: section == Section::D1,
                chain: chain(&lines),
                run,
                rows,
                lines,
                events: events.collect(),
            });
        }
        let count = session.map_or(0, |session| session.turn_count);
        Ok::<_, steadfast::store::Error>((count, all))
    };
    block_on(reading).expect("the database answers")
}

/// Any two histories differ in it, as far as a run can tell.
fn chain(lines: &[String]) -> Vec<u64> {
    let mut all = Vec::with_capacity(lines.len());
    let mut hasher = DefaultHasher::new();
    for line in lines {
        line.hash(&mut hasher);
        all.push(hasher.finish());
    }
    all
}
