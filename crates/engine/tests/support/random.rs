//! Chance that comes again: of the soaks of this crate, by `#[path]`.

/// xorshift64*: a seed that is printed tells the whole story.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Seeds that differ little give numbers that differ much; none of them gives zeros alone.
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below this one, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 33) % bound
    }
}
