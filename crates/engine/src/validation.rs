//! Is a file a feed? Every line is read as a run would read it, and nothing is indexed.
//!
//! What only a collection can tell (its properties, its vectors) is not asked. What one line cannot tell is: the numbers
//! of a vector must be as many in all lines of a file.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use tokio::io::AsyncRead;

use crate::category::Tally;
use crate::compression::{Compression, Decoded, ReadError};
use crate::line::{Action, Change, read};
use crate::object::{Vector, Vectors};
use crate::reader::{Lines, RawLine};
use crate::rejection::{DeadLetter, Rejection};

/// How many names of vectors are remembered: more than a collection has, and a file cannot fill the memory with them.
const VECTOR_NAMES: usize = 1_000;

/// What a file holds.
#[derive(Debug)]
pub struct Validation {
    /// How it is stored.
    pub compression: Compression,
    /// Bytes of its text.
    pub bytes: u64,
    /// Lines that are not blank: the sum of those that are valid and those that are rejected.
    pub lines: u64,
    /// Valid lines by what they do.
    pub operations: Operations,
    /// Lines that a run would reject.
    pub rejected: u64,
    /// The kinds of fault of those.
    pub errors: Tally,
    /// The first of them.
    pub problems: Vec<DeadLetter>,
    /// Why the file could not be read to its end, when it could not. All else is about what was read.
    pub broken: Option<ReadError>,
}

/// Valid lines by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// `add`
    pub add: u64,
    /// `modify`
    pub modify: u64,
    /// `delete`
    pub delete: u64,
    /// `rename`
    pub rename: u64,
}

/// Reads a file to its end and keeps the first `limit` problems. `Err` = not even its beginning could be read.
pub async fn validate<R: AsyncRead + Unpin>(reader: R, file: &str, limit: usize) -> Result<Validation, ReadError> {
    let decoded = Decoded::open(reader, false).await?;
    let mut validation = Validation {
        compression: decoded.compression(),
        bytes: 0,
        lines: 0,
        operations: Operations::default(),
        rejected: 0,
        errors: Tally::default(),
        problems: Vec::new(),
        broken: None,
    };
    let mut lines = Lines::new(decoded);
    let mut dimensions = Dimensions::default();
    loop {
        let line = match lines.next().await {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                validation.broken = Some(lines.reader().explain(error));
                break;
            }
        };
        validation.bytes = lines.offset();
        if line.is_blank() {
            continue;
        }
        validation.lines += 1;
        let checked = read(&line).and_then(|change| dimensions.check(line.number, change));
        match checked {
            Ok(change) => validation.operations.count(&change),
            Err(rejection) => validation.reject(file, &line, rejection, limit),
        }
    }
    Ok(validation)
}

impl Validation {
    fn reject(&mut self, file: &str, line: &RawLine, rejection: Rejection, limit: usize) {
        let RawLine { number, offset, length, .. } = *line;
        let Rejection { category, reason, documents: _ } = rejection;
        self.rejected += 1;
        self.errors.count(category);
        if self.problems.len() < limit {
            self.problems.push(DeadLetter { file: file.to_owned(), line: number, offset, length, category, reason });
        }
    }
}

impl Operations {
    fn count(&mut self, change: &Change) {
        *match change.action {
            Action::Add(_) => &mut self.add,
            Action::Modify(_) => &mut self.modify,
            Action::Delete => &mut self.delete,
            Action::Rename { .. } => &mut self.rename,
        } += 1;
    }
}

/// How many numbers each vector has, and in which line that was seen first.
#[derive(Default)]
struct Dimensions(BTreeMap<String, (usize, u64)>);

impl Dimensions {
    fn check(&mut self, line: u64, change: Change) -> Result<Change, Rejection> {
        if let Action::Add(body) | Action::Modify(body) | Action::Rename { body, .. } = &change.action {
            self.check_vectors(line, &body.vectors)?;
        }
        Ok(change)
    }

    fn check_vectors(&mut self, line: u64, vectors: &Vectors) -> Result<(), Rejection> {
        for (name, vector) in vectors {
            let numbers = match vector {
                Vector::Single(numbers) => numbers.len(),
                Vector::Multi(lists) => lists.first().map_or(0, Vec::len),
            };
            let has_room = self.0.len() < VECTOR_NAMES;
            match self.0.entry(name.clone()) {
                Entry::Vacant(entry) if has_room => drop(entry.insert((numbers, line))),
                Entry::Occupied(entry) if entry.get().0 != numbers => {
                    let (first, first_line) = *entry.get();
                    let which = if name.is_empty() { "`vector`".to_owned() } else { format!("vector `{name}`") };
                    return Err(Rejection::validation(format!(
                        "{which} has {numbers} numbers where line {first_line} has {first}: a collection takes only one \
                         of them"
                    )));
                }
                Entry::Vacant(_) | Entry::Occupied(_) => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::category::Category;

    fn check(text: &[u8], limit: usize) -> Validation {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(validate(text, "feed.jsonl", limit)).unwrap()
    }

    #[test]
    fn published_lines_are_counted_by_operation() {
        let found = check(include_bytes!("../../../docs/format/accepted.jsonl"), 9);
        assert_eq!(found.problems, []);
        assert_eq!(found.operations, Operations { add: 6, modify: 5, delete: 4, rename: 2 });
        assert_eq!((found.lines, found.rejected), (17, 0));
        let refused = include_str!("../../../docs/format/refused.jsonl");
        let found = check(refused.as_bytes(), 3);
        assert_eq!((found.lines, found.rejected), (42, 42));
        assert_eq!(found.bytes, refused.len() as u64);
        assert_eq!(found.errors.of(Category::Validation) + found.errors.of(Category::Encoding), 42);
        let places = found.problems.iter().map(|problem| (problem.line, problem.offset)).collect::<Vec<_>>();
        assert_eq!(places, [(1, 0), (2, 3), (3, 10)], "no more than asked for");
    }

    #[test]
    fn a_vector_has_as_many_numbers_in_every_line() {
        let modify = |rest: &str| format!("{{\"repo\":\"r\",\"op\":\"modify\",\"path\":\"p\",{rest}}}\n");
        let text = [
            modify(r#""vector":[1,2]"#),
            modify(r#""vectors":{"a":[1]}"#),
            modify(r#""vector":[1,2,3],"vectors":{"a":[2]}"#),
            modify(r#""vectors":{"a":[[1,2],[3,4]]}"#),
        ];
        let found = check(text.concat().as_bytes(), 9);
        let reasons = found.problems.iter().map(|problem| problem.reason.as_str()).collect::<Vec<_>>();
        assert_eq!(
            reasons,
            [
                "`vector` has 3 numbers where line 1 has 2: a collection takes only one of them",
                "vector `a` has 2 numbers where line 2 has 1: a collection takes only one of them",
            ]
        );
        assert_eq!((found.operations.modify, found.rejected), (2, 2));
    }

    #[test]
    fn a_file_that_breaks_off_is_told_with_what_was_read_of_it() {
        let gzip = b"\x1F\x8B\x08\x00\x00\x00\x00\x00\x00\x03\xAB\xAE\xE5";
        let found = check(gzip, 9);
        assert_eq!((found.compression, found.lines), (Compression::Gzip, 0));
        assert!(matches!(found.broken, Some(ReadError::Cut { at: 13, .. })), "{:?}", found.broken);
    }
}
