//! `*` for any letters, `?` for one.

/// A pattern, in pieces between its stars.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pieces: Vec<Vec<char>>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Self { pieces: text.split('*').map(|piece| piece.chars().collect()).collect() }
    }

    /// In time linear in the text for each piece: a star never has to be tried again once a piece behind it was found.
    pub(super) fn matches(&self, text: &str) -> bool {
        let letters: Vec<char> = text.chars().collect();
        let (Some(first), Some(last)) = (self.pieces.first(), self.pieces.last()) else { return false };
        if self.pieces.len() == 1 {
            return letters.len() == first.len() && begins(&letters, first);
        }
        if letters.len() < first.len() + last.len() || !begins(&letters, first) {
            return false;
        }
        let end = letters.len() - last.len();
        if !begins(&letters[end..], last) {
            return false;
        }
        let mut rest = &letters[first.len()..end];
        for piece in &self.pieces[1..self.pieces.len() - 1] {
            let found = (0..=rest.len()).find(|at| begins(&rest[*at..], piece));
            let Some(at) = found else { return false };
            rest = &rest[at + piece.len()..];
        }
        true
    }
}

fn begins(letters: &[char], piece: &[char]) -> bool {
    letters.len() >= piece.len() && piece.iter().zip(letters).all(|(wanted, found)| *wanted == '?' || wanted == found)
}
