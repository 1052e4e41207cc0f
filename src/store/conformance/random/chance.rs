//! Chance as an argument: all that is drawn follows from one number.

use crate::certain::Certain;

/// The sequence of a seed (splitmix64).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Chance(seed)
    }

    pub(super) const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of 0 to `bound` - 1, which are few: that some come a little more often is no matter.
    pub(super) fn below(&mut self, bound: u8) -> u8 {
        let drawn = self.number().checked_rem(u64::from(bound)).unwrap_or(0);
        u8::try_from(drawn).certain("it is below a u8")
    }

    pub(super) fn one_in(&mut self, times: u8) -> bool {
        self.below(times) == 0
    }

    /// Something half of the time.
    pub(super) fn maybe<T>(&mut self, some: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(2).then(|| some(self))
    }

    /// One of these, each as often as its weight says.
    pub(super) fn of<T: Copy>(&mut self, weighted: &[(u8, T)]) -> T {
        let mut left = self.below(weighted.iter().map(|(weight, _)| weight).sum());
        for (weight, value) in weighted {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return *value,
            }
        }
        let (_, last) = weighted.last().expect("nobody draws from nothing");
        *last
    }
}
