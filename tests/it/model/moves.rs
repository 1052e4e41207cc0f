//! What may happen next in a deployment on the stage.
//!
//! Owns the choice's alternatives and their reduction; what a move does is `world`'s. Invariant: the
//! moves of a state follow from it alone.

use super::client::Stand;
use super::props::writes;
use super::stage::{Effect, Health, Life, Op};
use super::world::{End, Move, Recovery, World};

/// A timer as far away as this is not waited for.
const FAR_MS: i64 = 3_600_000;

impl World {
    /// Whether nothing is under way but timers, and no client will come back by itself.
    pub fn rests(&self) -> bool {
        let alone = self.bounds.borrow().recovery == Recovery::Nobody;
        // A late call may arrive before the alarm or behind all that it leads to.
        let is_late = self
            .stage
            .ops(|ops| ops.iter().any(|op| self.is_ghost(op.life)));
        if (alone || is_late)
            && self
                .moves_of_nobody()
                .iter()
                .any(|chosen| matches!(chosen, Move::Ring(_)))
        {
            return false;
        }
        if self.may_ask() {
            return false;
        }
        let waits_for_time = self.stage.ops(|ops| {
            ops.iter()
                .all(|op| matches!(op.effect, Effect::Timer(_)) || self.is_ghost(op.life))
        });
        waits_for_time
            && self
                .clients()
                .iter()
                .all(|client| client.stand() != Stand::Open)
    }

    /// What may happen next. A life whose every effect is its own affair goes first, alone: whatever
    /// else happens commutes with all that it may do, so the other orders lead to the same states.
    pub fn moves(&self) -> Vec<Move> {
        if self.bounds.borrow().in_order
            && let Some(due) = self.due()
        {
            return vec![due];
        }
        let lives = self.lives();
        let busy: Vec<Life> = lives
            .iter()
            .copied()
            .filter(|life| self.has_own_effects_only(*life))
            .collect();
        let chosen = match busy.first() {
            Some(life) => vec![*life],
            None => lives,
        };
        let mut moves = Vec::new();
        for life in &chosen {
            moves.extend(self.moves_of(*life));
        }
        if busy.is_empty() {
            moves.extend(self.moves_of_nobody());
        }
        for life in chosen {
            moves.extend(self.ends_of(life));
        }
        moves
    }

    /// A timer whose time has come.
    fn due(&self) -> Option<Move> {
        self.stage.ops(|ops| {
            let due = ops.iter().find(|op| {
                let now = self.stage.now(op.life);
                matches!(op.effect, Effect::Timer(at) if at <= now) && !self.is_ghost(op.life)
            });
            due.map(|op| Move::Grant(op.id))
        })
    }

    /// Lives that do something.
    fn lives(&self) -> Vec<Life> {
        let mut lives: Vec<Life> = self.stage.ops(|ops| ops.iter().map(|op| op.life).collect());
        lives.sort_unstable();
        lives.dedup();
        lives.retain(|life| !self.is_ghost(*life));
        lives
    }

    fn has_own_effects_only(&self, life: Life) -> bool {
        self.stage.ops(|ops| {
            let mut own = ops.iter().filter(|op| op.life == life);
            let mut has_any = false;
            let all = own.all(|op| match op.effect {
                Effect::D1(_) | Effect::Send("cancel") => false,
                Effect::Send(_) | Effect::Chunk | Effect::Sync(_) => {
                    has_any = true;
                    true
                }
                Effect::Timer(_) => true,
            });
            all && has_any
        })
    }

    fn moves_of(&self, life: Life) -> Vec<Move> {
        let now = self.stage.now(life);
        let bounds = self.bounds.borrow();
        self.stage.ops(|ops| {
            let own = || ops.iter().filter(|op| op.life == life);
            let is_timer = |effect: &Effect| matches!(effect, Effect::Timer(_));
            let mut moves = Vec::new();
            for op in own().filter(|op| !is_timer(&op.effect)) {
                moves.push(Move::Grant(op.id));
                let loses = bounds.lost > 0;
                if loses && matches!(&op.effect, Effect::D1(batch) if writes(batch)) {
                    moves.push(Move::Lose(op.id));
                }
                if bounds.in_order {
                    break;
                }
            }
            let due_at = |op: &Op| match op.effect {
                Effect::Timer(at) if !self.is_ghost(op.life) => Some(at),
                _ => None,
            };
            // One clock comes to the first of all timers, once nobody has anything else to do.
            let first = ops.iter().filter_map(due_at).min().unwrap_or(now);
            let (waits, first) = if self.stage.has_one_clock() {
                let busy = |op: &Op| !is_timer(&op.effect) && !self.is_ghost(op.life);
                (ops.iter().any(busy), first)
            } else {
                (!moves.is_empty(), i64::MAX)
            };
            let timers = own().filter_map(|op| match op.effect {
                Effect::Timer(at) if at < now + FAR_MS => Some((at, op.id)),
                _ => None,
            });
            if let Some((at, id)) = timers.min()
                && (at <= now || (!waits && at <= first) || bounds.early > 0)
            {
                moves.push(Move::Grant(id));
            }
            moves
        })
    }

    /// What happens without any life: late calls, alarms, the end of a lease.
    fn moves_of_nobody(&self) -> Vec<Move> {
        let bounds = self.bounds.borrow();
        let mut moves: Vec<Move> = self.stage.ops(|ops| {
            let ghosts = ops.iter().filter(|op| self.is_ghost(op.life));
            ghosts.map(|op| Move::Grant(op.id)).collect()
        });
        for (number, object) in self.objects.borrow().iter().enumerate() {
            let life = object.present.as_ref().map(|(life, _)| *life);
            let now = life.map_or(object.ended_at, |life| self.stage.now(life));
            let idle = life.is_none_or(|life| {
                let waits = || self.stage.ops(|ops| ops.iter().any(|op| op.life == life));
                self.is_ghost(life) || !waits()
            });
            let is_near = |at: &i64| *at < now + FAR_MS;
            if object
                .storage
                .alarm()
                .filter(is_near)
                .is_some_and(|at| at <= now || idle || bounds.early > 0)
            {
                moves.push(Move::Ring(number));
            }
        }
        if bounds.leases > 0 {
            moves.push(Move::LeaseEnds);
        }
        if self.may_ask() {
            moves.push(Move::Ask);
        }
        moves
    }

    fn ends_of(&self, life: Life) -> Vec<Move> {
        let bounds = self.bounds.borrow();
        if bounds.ends == 0 {
            return vec![];
        }
        let objects = self.objects.borrow();
        let of_life = objects.iter().find(|object| {
            let present = object.present.as_ref();
            present.is_some_and(|(present, _)| *present == life)
        });
        let mut moves = Vec::new();
        for end in bounds.kinds.iter().copied() {
            match (of_life, end) {
                (Some(object), End::Crash | End::Replaced) => {
                    if self.stage.health(life) == Health::Alive {
                        let borders = object.storage.borders();
                        moves.extend(borders.into_iter().map(|kept| Move::End(life, end, kept)));
                    }
                }
                (Some(_), End::StorageLost | End::Forked) => moves.push(Move::End(life, end, 0)),
                (None, End::Crash) => moves.push(Move::End(life, end, 0)),
                (None, _) => {}
            }
        }
        moves
    }

    /// The move that a world without faults makes next: whatever is asked, in order; then time.
    pub fn ordinary(&self) -> Option<Move> {
        if self.may_ask() {
            return Some(Move::Ask);
        }
        let first = self.stage.ops(|ops| {
            let asked = ops.iter().find(|op| !matches!(op.effect, Effect::Timer(_)));
            asked.map(|op| Move::Grant(op.id))
        });
        if first.is_some() {
            return first;
        }
        let mut next: Option<(i64, Move)> = None;
        let mut offer = |at: i64, offered: Move| {
            if next.as_ref().is_none_or(|(known, _)| at < *known) {
                next = Some((at, offered));
            }
        };
        self.stage.ops(|ops| {
            for op in ops {
                if let Effect::Timer(at) = op.effect
                    && at < self.stage.now(op.life) + FAR_MS
                {
                    offer(at, Move::Grant(op.id));
                }
            }
        });
        for (number, object) in self.objects.borrow().iter().enumerate() {
            let life = object.present.as_ref().map(|(life, _)| *life);
            let now = life.map_or(object.ended_at, |life| self.stage.now(life));
            if let Some(at) = object.storage.alarm().filter(|at| *at < now + FAR_MS) {
                offer(at, Move::Ring(number));
            }
        }
        next.map(|(_, chosen)| chosen)
    }
}
