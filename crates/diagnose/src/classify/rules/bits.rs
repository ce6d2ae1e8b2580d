//! Sets of small numbers without allocation.

/// Most words and scenes there can be.
pub(crate) const MAX: usize = 256;

/// A set of words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits([u64; MAX / 64]);

impl Bits {
    pub fn set(&mut self, at: u8) {
        self.0[usize::from(at) / 64] |= 1 << (at % 64);
    }

    pub fn has(&self, at: u8) -> bool {
        self.0[usize::from(at) / 64] & (1 << (at % 64)) != 0
    }

    pub fn meets(&self, other: &Bits) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    pub fn join(mut self, other: &Bits) -> Bits {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own |= other;
        }
        self
    }
}

/// Most rules there can be.
pub(crate) const RULES: usize = 1536;

/// A set of rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RuleSet([u64; RULES / 64]);

impl Default for RuleSet {
    fn default() -> Self {
        Self([0; RULES / 64])
    }
}

impl RuleSet {
    pub fn set(&mut self, at: u16) {
        self.0[usize::from(at) / 64] |= 1 << (at % 64);
    }

    pub fn has(&self, at: u16) -> bool {
        self.0[usize::from(at) / 64] & (1 << (at % 64)) != 0
    }

    pub fn join(mut self, other: &RuleSet) -> RuleSet {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own |= other;
        }
        self
    }

    /// The members inside a range, in order.
    pub fn within(self, range: std::ops::Range<u16>) -> impl Iterator<Item = u16> {
        let words = usize::from(range.start) / 64..usize::from(range.end).div_ceil(64);
        words
            .flat_map(move |word| {
                let mut left = self.0[word];
                std::iter::from_fn(move || {
                    if left == 0 {
                        return None;
                    }
                    let bit = left.trailing_zeros() as u16;
                    left &= left - 1;
                    Some(word as u16 * 64 + bit)
                })
            })
            .filter(move |at| range.contains(at))
    }
}
