//! What clients were given, beside what was durable then.
//!
//! Owns the reading of bodies in each view, and that one history was ever visible.

use super::{Oracle, Seen, View, Watched};
use crate::sim::sites::Site;
use steadfast::wire::line;
use steadfast::wire::view::ViewKind;

/// Bytes of one read of a follower: a page of full commits.
const MOST_UNREAD: usize = 4 << 20;

impl Oracle {
    /// What a client was given since the last look.
    pub(super) fn read_on(&self, one: &mut Watched) -> bool {
        let received = one.client.received();
        if received == one.read {
            return false;
        }
        assert!(
            received - one.read <= MOST_UNREAD,
            "I12: {received} bytes at once"
        );
        one.tail.extend(one.client.received_behind(one.read));
        one.read = received;
        let run_id = one.client.execution_id().expect("lines are a run's");
        while let Some(end) = one.tail.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = one.tail.drain(..=end).collect();
            let line = String::from_utf8(line).expect("a line is UTF-8");
            let Some(line) = shown(one.view, one.next, line) else {
                continue;
            };
            self.is_visible(one.seat, &run_id, one.next, &line);
            one.next += 1;
        }
        self.0.chance.note(|| {
            let behind = one.next.checked_sub(1);
            format!("{run_id} read behind {} up to {behind:?}", one.after)
        });
        true
    }

    /// I1: durable before visible, at the same place, in the same bytes.
    fn is_visible(&self, seat: usize, run_id: &str, seq: u64, line: &str) {
        let (object, durable) = (self.0.objects[seat].borrow(), self.0.durable.borrow());
        let place = usize::try_from(seq).expect("it is small");
        let of = |view: &View| {
            let seen = view.runs.get(run_id)?;
            Some((seen.lines.get(place)?.clone(), *seen.chain.get(place)?))
        };
        let mut found = of(&object).or_else(|| of(&durable));
        drop((object, durable));
        if found.is_none() {
            // It may be newer than the last look.
            self.check_object(seat, self.0.seats[seat].object.changes());
            found = of(&self.0.objects[seat].borrow());
        }
        let Some((stored, chain)) = found else {
            panic!("I1: line {seq} of {run_id} was visible before it was durable: {line}");
        };
        assert_eq!(stored, line, "I1, I2: line {seq} of {run_id}");
        let mut visible = self.0.visible.borrow_mut();
        let known = visible.entry(run_id.to_owned()).or_default();
        let known = known.entry(seq).or_insert(chain);
        assert_eq!(*known, chain, "I2: two histories of {run_id} up to {seq}");
    }

    /// I1, I2: every prefix that anyone saw is still there, as it was.
    pub(super) fn check_visible(&self, seen: &Seen) {
        let visible = self.0.visible.borrow();
        let Some(visible) = visible.get(&seen.run.run_id) else {
            return;
        };
        // D1, and storage that was lost, come to have the rest.
        let is_behind = seen.is_durable_only || self.0.chance.has(Site::StorageLost);
        let last = match is_behind {
            true => visible.range(..seen.chain.len() as u64).next_back(),
            false => visible.iter().next_back(),
        };
        let Some((seq, hash)) = last else { return };
        let at = usize::try_from(*seq).expect("it is small");
        assert_eq!(
            seen.chain.get(at),
            Some(hash),
            "I1: {} was seen up to line {seq}, and is not the same any more",
            seen.run.run_id
        );
    }
}

/// The log's line that a line of a body shows, whose seq must be `next`.
fn shown(view: ViewKind, next: u64, text: String) -> Option<String> {
    match view {
        ViewKind::Ndjson => (text.trim_end() != line::HEARTBEAT).then_some(text),
        ViewKind::Sse => {
            if let Some(id) = text.strip_prefix("id: ") {
                assert_eq!(id.trim_end().parse(), Ok(next), "I2: an event's id");
            }
            text.strip_prefix("data: ").map(str::to_owned)
        }
    }
}
