//! Every run of a world, one after another: a tree of choices, walked depth first.
//!
//! Owns which alternative is taken at each choice, and which states were seen. It knows nothing of
//! what is chosen. Invariant: a tree that is exhausted had every alternative of every state taken
//! once; a state that was met before is not walked again, since all that can follow is the same.

use std::collections::BTreeSet;

/// One walk through a tree of choices.
#[derive(Default)]
pub struct Explorer {
    /// What was taken, of how many.
    path: Vec<(usize, usize)>,
    depth: usize,
    seen: BTreeSet<u64>,
    runs: usize,
    whole: usize,
}

impl Explorer {
    /// Whether the present choice was made by no run before.
    pub fn is_new(&self) -> bool {
        self.depth == self.path.len()
    }

    /// Whether an earlier run had the present state behind it, and went on from there as this one does.
    pub fn repeats(&self) -> bool {
        self.depth + 1 < self.path.len()
    }

    /// Notes a state; false when it was met before.
    pub fn meets(&mut self, state: u64) -> bool {
        self.seen.insert(state)
    }

    /// One of so many alternatives.
    pub fn choose(&mut self, alternatives: usize) -> usize {
        assert_ne!(alternatives, 0, "nothing to choose from");
        let at = self.depth;
        self.depth += 1;
        match self.path.get(at) {
            Some((taken, of)) => {
                assert_eq!(*of, alternatives, "the same choices led elsewhere");
                *taken
            }
            None => {
                self.path.push((0, alternatives));
                0
            }
        }
    }

    /// Walks all runs; each says whether it went to its end, or met a state that was known.
    pub fn exhaust(&mut self, mut run: impl FnMut(&mut Explorer) -> bool) {
        loop {
            self.depth = 0;
            self.runs += 1;
            if run(self) {
                self.whole += 1;
            }
            self.path.truncate(self.depth);
            while self.path.pop_if(|(taken, of)| *taken + 1 == *of).is_some() {}
            match self.path.last_mut() {
                Some((taken, _)) => *taken += 1,
                None => return,
            }
        }
    }

    /// How many runs there were, and how many of them went to their end.
    pub const fn counts(&self) -> (usize, usize) {
        (self.runs, self.whole)
    }

    /// How many states were met.
    pub fn states(&self) -> usize {
        self.seen.len()
    }
}

#[test]
fn every_leaf_of_a_tree_is_walked_once() {
    let mut leaves = Vec::new();
    let mut explorer = Explorer::default();
    explorer.exhaust(|explorer| {
        let first = explorer.choose(3);
        let second = match first {
            1 => explorer.choose(2),
            _ => 9,
        };
        leaves.push((first, second));
        true
    });
    assert_eq!(leaves, [(0, 9), (1, 0), (1, 1), (2, 9)]);
    assert_eq!(explorer.counts(), (4, 4));
}
