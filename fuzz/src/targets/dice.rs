//! Choices out of bytes: the same bytes choose the same, and when they are used up it is always the first.

/// Bytes that choose.
pub(super) struct Dice<'a>(&'a [u8]);

impl<'a> Dice<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte, or 0.
    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Less than this; 0 of 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let (high, low) = if bound > 256 { (self.byte(), self.byte()) } else { (0, self.byte()) };
        (usize::from(high) << 8 | usize::from(low)) % bound.max(1)
    }

    /// The next bytes, as many as there are of so many.
    pub(super) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }
}
