//! Text into words.

use super::{FilterError, MOST_LETTERS};

/// A word, and the column where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    pub(super) kind: Kind,
    pub(super) column: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A name, or one of the words of the language.
    Name(String),
    /// A name between back-ticks: never a word of the language.
    Quoted(String),
    Text(String),
    Number(String),
    /// `(`, `)`, `,` or a comparison.
    Sign(&'static str),
    End,
}

/// Longer ones first.
const SIGNS: [&str; 11] = ["<=", ">=", "!=", "<>", "==", "=", "<", ">", "(", ")", ","];

pub(super) fn words(text: &str) -> Result<Vec<Word>, FilterError> {
    let letters: Vec<char> = text.chars().take(MOST_LETTERS + 1).collect();
    if letters.len() > MOST_LETTERS {
        return Err(error(MOST_LETTERS, format!("longer than {MOST_LETTERS} letters")));
    }
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(letter) = letters.get(at) {
        if letter.is_whitespace() {
            at += 1;
            continue;
        }
        let column = at + 1;
        let (kind, end) = word(&letters, at)?;
        words.push(Word { kind, column });
        at = end;
    }
    words.push(Word { kind: Kind::End, column: letters.len() + 1 });
    Ok(words)
}

pub(super) fn error(column: usize, problem: String) -> FilterError {
    FilterError { column, problem }
}

/// The word that begins here, and where it ends.
fn word(letters: &[char], at: usize) -> Result<(Kind, usize), FilterError> {
    let rest = &letters[at..];
    let first = rest[0];
    if first == '\'' || first == '"' || first == '`' {
        let (text, length) = quoted(rest).ok_or_else(|| error(at + 1, format!("{first} is never closed")))?;
        return Ok((if first == '`' { Kind::Quoted(text) } else { Kind::Text(text) }, at + length));
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let length = run(rest, |letter| letter.is_ascii_alphanumeric() || letter == '_');
        return Ok((Kind::Name(rest[..length].iter().collect()), at + length));
    }
    let signed = usize::from(first == '-' || first == '+');
    if rest.get(signed).is_some_and(|letter| letter.is_ascii_digit() || *letter == '.') {
        let length = number(rest, signed);
        return Ok((Kind::Number(rest[..length].iter().collect()), at + length));
    }
    let sign =
        SIGNS.iter().find(|sign| sign.chars().zip(rest).filter(|(one, other)| one == *other).count() == sign.len());
    match sign {
        Some(sign) if rest.len() >= sign.len() => Ok((Kind::Sign(sign), at + sign.len())),
        _ => Err(error(at + 1, format!("{first:?} means nothing here: texts stand between ' and '"))),
    }
}

/// A text without its quotes, and its length with them; twice the quote is one of the text's own.
fn quoted(letters: &[char]) -> Option<(String, usize)> {
    let quote = letters[0];
    let mut text = String::new();
    let mut at = 1;
    loop {
        match (letters.get(at)?, letters.get(at + 1)) {
            (one, Some(other)) if *one == quote && *other == quote => {
                text.push(quote);
                at += 2;
            }
            (one, _) if *one == quote => return Some((text, at + 1)),
            (one, _) => {
                text.push(*one);
                at += 1;
            }
        }
    }
}

fn run(letters: &[char], belongs: impl Fn(char) -> bool) -> usize {
    letters.iter().take_while(|letter| belongs(**letter)).count()
}

/// Letters and digits behind a number belong to it, so that `12ab` is no number instead of two words.
fn number(letters: &[char], signed: usize) -> usize {
    let mut length = signed;
    loop {
        length += run(&letters[length..], |letter| letter.is_ascii_alphanumeric() || letter == '.');
        let is_exponent = letters[..length].last().is_some_and(|letter| matches!(letter, 'e' | 'E'));
        match letters.get(length) {
            Some('+' | '-') if is_exponent => length += 1,
            _ => return length,
        }
    }
}
