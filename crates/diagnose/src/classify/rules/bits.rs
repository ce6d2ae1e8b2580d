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
