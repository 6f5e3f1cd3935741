//! Which objects are meant: `created_date > '2024-01-01' and (repo = 'x' or not draft)`.
//!
//! ```text
//! text ─▶ words ─▶ Expression ─▶ Filter ─▶ is it meant?
//!         lex      parse          check      holds
//!                    └─▶ print: the same text for the same meaning
//! ```
//!
//! Servers list objects without a filter, so it is our side that chooses. An expression knows no class; checked against
//! one it becomes a [`Filter`] whose texts are times, ids and numbers where the property says so.
//!
//! - What an object lacks equals nothing, and is neither less nor more: `not` of that, and so `!=`, is true of it.
//! - Of a list a comparison is true when it is true of one of its values.
//! - `like` knows `*` for any letters and `?` for one, as Weaviate's own operator does.
//! - `id`, `_creationTime` and `_lastUpdateTime` are the object's own. A part does not hold the two times, since no server
//!   takes them back: they are for choosing what is backed up, not what is restored.

mod check;
mod lex;
mod like;
mod parse;
mod print;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use check::Filter;
pub(in crate::backup) use check::date;

/// The longest text of an expression: far more than people write, and what a list of some hundred ids takes.
pub const MOST_LETTERS: usize = 64 << 10;

/// How deep parentheses and `not` go: far deeper than people write, and no danger to the stack.
pub const MOST_DEPTH: usize = 64;

/// The object's id.
pub const ID: &str = "id";
/// When the object was made, as the server says.
pub const CREATION_TIME: &str = "_creationTime";
/// When it was changed last, as the server says.
pub const LAST_UPDATE_TIME: &str = "_lastUpdateTime";

/// When an object was made and changed, as its server says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Times {
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// What is wrong with an expression, and where.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, thiserror::Error)]
#[error("column {column}: {problem}")]
pub struct FilterError {
    /// The letter at which it is wrong, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// An expression that was parsed. Its text, by `to_string`, is the same for every way to write it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expression(Node);

#[derive(Clone, Debug)]
enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Test(Name, Test),
}

/// A name in an expression, and the column where it stands.
#[derive(Clone, Debug)]
struct Name {
    text: String,
    column: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    /// It is true.
    Truth,
    /// It is absent.
    Null,
    Compare(Operator, Literal),
    In(Vec<Literal>),
    Like(Literal),
}

/// What is less or more; `!=` is `not` of `=`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Operator {
    Equal,
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
}

#[derive(Clone, Debug)]
struct Literal {
    value: Value,
    column: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Int(i64),
    Number(f64),
    Truth(bool),
}

// Where something stands does not matter for what it means.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::And(one), Self::And(other)) | (Self::Or(one), Self::Or(other)) => one == other,
            (Self::Not(one), Self::Not(other)) => one == other,
            (Self::Test(name, test), Self::Test(other, also)) => name.text == other.text && test == also,
            (Self::And(_) | Self::Or(_) | Self::Not(_) | Self::Test(..), _) => false,
        }
    }
}

// No number of an expression is none.
impl Eq for Node {}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl FromStr for Expression {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        parse::expression(text).map(Self)
    }
}

impl TryFrom<String> for Expression {
    type Error = FilterError;

    fn try_from(text: String) -> Result<Self, FilterError> {
        text.parse()
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> Self {
        expression.to_string()
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        print::node(formatter, &self.0)
    }
}
