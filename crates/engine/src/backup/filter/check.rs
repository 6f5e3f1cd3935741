//! An expression against a class: every name is there, and every text is what the property holds.

use std::cmp::Ordering;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::lex::error;
use super::like::Pattern;
use super::{
    CREATION_TIME, Expression, FilterError, ID, LAST_UPDATE_TIME, Literal, Name, Node as Parsed, Operator, Test, Times,
    Value,
};
use crate::mapping::{DataType, Scalar};
use crate::object::Object;

/// An expression that fits a class.
#[derive(Clone, Debug)]
pub struct Filter {
    node: Node,
    asks_for_times: bool,
}

#[derive(Clone, Debug)]
enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    /// One of the values equals it, or is less or more.
    Compare(Field, Operator, Vec<Typed>),
    Like(Field, Pattern),
    Null(Field),
}

#[derive(Clone, Debug)]
enum Field {
    Id,
    Created,
    Updated,
    Property(String, Option<Kind>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Text,
    Int,
    Number,
    Boolean,
    Date,
    Uuid,
}

/// A value as its property means it.
#[derive(Clone, Debug)]
enum Typed {
    Text(String),
    Int(i64),
    Number(f64),
    Truth(bool),
    Date(Timestamp),
    Uuid(Uuid),
}

impl Expression {
    /// The filter that this is for a class, Weaviate's own JSON. `has_times`: whether objects come with their times.
    pub fn check(&self, class: &serde_json::Value, has_times: bool) -> Result<Filter, FilterError> {
        let checker = Checker { class, has_times };
        Ok(Filter { node: checker.node(&self.0)?, asks_for_times: asks_for_times(&self.0) })
    }
}

fn asks_for_times(node: &Parsed) -> bool {
    match node {
        Parsed::And(nodes) | Parsed::Or(nodes) => nodes.iter().any(asks_for_times),
        Parsed::Not(inner) => asks_for_times(inner),
        Parsed::Test(name, _) => name.text == CREATION_TIME || name.text == LAST_UPDATE_TIME,
    }
}

struct Checker<'a> {
    class: &'a serde_json::Value,
    has_times: bool,
}

impl Checker<'_> {
    fn node(&self, node: &Parsed) -> Result<Node, FilterError> {
        let all = |nodes: &[Parsed]| nodes.iter().map(|node| self.node(node)).collect::<Result<Vec<_>, _>>();
        Ok(match node {
            Parsed::And(nodes) => Node::And(all(nodes)?),
            Parsed::Or(nodes) => Node::Or(all(nodes)?),
            Parsed::Not(inner) => Node::Not(Box::new(self.node(inner)?)),
            Parsed::Test(name, test) => self.test(name, test)?,
        })
    }

    fn test(&self, name: &Name, test: &Test) -> Result<Node, FilterError> {
        let (field, kind, word) = self.field(name)?;
        let Name { text, column } = name;
        let compared = |literals: &[Literal], operator| {
            let Some(kind) = kind else {
                return Err(error(*column, format!("`{text}` is {word}: only `is null` can be asked of it")));
            };
            if operator != Operator::Equal && kind == Kind::Boolean {
                return Err(error(*column, format!("`{text}` is boolean: it is never less or more")));
            }
            let values = literals.iter().map(|literal| typed(text, &word, kind, literal)).collect::<Result<_, _>>()?;
            Ok(Node::Compare(field.clone(), operator, values))
        };
        match test {
            Test::Null => Ok(Node::Null(field)),
            Test::Compare(operator, literal) => compared(std::slice::from_ref(literal), *operator),
            Test::In(list) => compared(list, Operator::Equal),
            Test::Truth if kind == Some(Kind::Boolean) => {
                Ok(Node::Compare(field, Operator::Equal, vec![Typed::Truth(true)]))
            }
            Test::Truth => Err(error(*column, format!("`{text}` is {word}, not boolean: compare it with something"))),
            Test::Like(literal) => match (&literal.value, kind) {
                (Value::Text(pattern), Some(Kind::Text)) => Ok(Node::Like(field, Pattern::new(pattern))),
                (_, Some(Kind::Text)) => Err(error(literal.column, "a text should stand behind `like`".to_owned())),
                _ => Err(error(*column, format!("`{text}` is {word}: only texts are like something"))),
            },
        }
    }

    /// The field of this name, what can be asked of it, and the word for its type.
    fn field(&self, name: &Name) -> Result<(Field, Option<Kind>, String), FilterError> {
        let of_time = |field, word: &str| {
            if self.has_times {
                return Ok((field, Some(Kind::Date), "date".to_owned()));
            }
            Err(error(name.column, format!("`{word}` is not known here: a backup does not hold objects' own times")))
        };
        match name.text.as_str() {
            ID => return Ok((Field::Id, Some(Kind::Uuid), "uuid".to_owned())),
            CREATION_TIME => return of_time(Field::Created, CREATION_TIME),
            LAST_UPDATE_TIME => return of_time(Field::Updated, LAST_UPDATE_TIME),
            _ => {}
        }
        let mut properties = self.class["properties"].as_array().into_iter().flatten();
        let Some(property) = properties.find(|property| property["name"] == name.text) else {
            return Err(error(name.column, format!("the collection has no property `{}`", name.text)));
        };
        let word = property["dataType"][0].as_str().unwrap_or_default();
        let kind = match DataType::parse(word) {
            DataType::One(scalar) | DataType::List(scalar) => match scalar {
                Scalar::Text => Some(Kind::Text),
                Scalar::Int => Some(Kind::Int),
                Scalar::Number => Some(Kind::Number),
                Scalar::Boolean => Some(Kind::Boolean),
                Scalar::Date => Some(Kind::Date),
                Scalar::Uuid => Some(Kind::Uuid),
                Scalar::Blob | Scalar::Object => None,
            },
            DataType::Other => None,
        };
        Ok((Field::Property(name.text.clone(), kind), kind, word.to_owned()))
    }
}

fn typed(name: &str, word: &str, kind: Kind, literal: &Literal) -> Result<Typed, FilterError> {
    let unfit = |wanted: &str| error(literal.column, format!("`{name}` is {word}: {wanted} should stand here"));
    Ok(match (kind, &literal.value) {
        (Kind::Text, Value::Text(text)) => Typed::Text(text.clone()),
        (Kind::Text, _) => return Err(unfit("a text between ' and '")),
        (Kind::Int | Kind::Number, Value::Int(number)) => Typed::Int(*number),
        (Kind::Int | Kind::Number, Value::Number(number)) => Typed::Number(*number),
        (Kind::Int | Kind::Number, _) => return Err(unfit("a number")),
        (Kind::Boolean, Value::Truth(truth)) => Typed::Truth(*truth),
        (Kind::Boolean, _) => return Err(unfit("`true` or `false`")),
        (Kind::Date, Value::Text(text)) => {
            Typed::Date(date(text).ok_or_else(|| unfit("a time such as '2024-01-01' or '2024-01-01T12:00:00Z'"))?)
        }
        (Kind::Date, _) => return Err(unfit("a time such as '2024-01-01' or '2024-01-01T12:00:00Z'")),
        (Kind::Uuid, Value::Text(text)) => Typed::Uuid(text.parse().map_err(|_| unfit("an id"))?),
        (Kind::Uuid, _) => return Err(unfit("an id")),
    })
}

/// A time with its offset, or the beginning of a day in UTC.
pub(in crate::backup) fn date(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    let day: Date = text.parse().ok().filter(|_| text.len() == "2024-01-01".len())?;
    day.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

impl Filter {
    /// Whether it asks for objects' own times, so that they have to be read.
    pub fn asks_for_times(&self) -> bool {
        self.asks_for_times
    }

    /// Whether it is true of this object.
    pub fn holds(&self, object: &Object, times: Option<Times>) -> bool {
        holds(&self.node, object, times)
    }
}

fn holds(node: &Node, object: &Object, times: Option<Times>) -> bool {
    match node {
        Node::And(nodes) => nodes.iter().all(|node| holds(node, object, times)),
        Node::Or(nodes) => nodes.iter().any(|node| holds(node, object, times)),
        Node::Not(inner) => !holds(inner, object, times),
        Node::Compare(field, operator, values) => any(field, object, times, &|found| {
            values.iter().any(|value| compare(found, value).is_some_and(|order| is(*operator, order)))
        }),
        Node::Like(field, pattern) => {
            any(field, object, times, &|found| matches!(found, Typed::Text(text) if pattern.matches(text)))
        }
        Node::Null(Field::Id) => false,
        Node::Null(Field::Created | Field::Updated) => times.is_none(),
        Node::Null(Field::Property(name, _)) => object.properties.get(name).is_none_or(serde_json::Value::is_null),
    }
}

/// Whether a test is true of the field's value, or of one of its values.
fn any(field: &Field, object: &Object, times: Option<Times>, test: &dyn Fn(&Typed) -> bool) -> bool {
    match field {
        Field::Id => test(&Typed::Uuid(object.id)),
        Field::Created => times.is_some_and(|times| test(&Typed::Date(times.created))),
        Field::Updated => times.is_some_and(|times| test(&Typed::Date(times.updated))),
        Field::Property(name, kind) => {
            let one = |value: &serde_json::Value| kind.and_then(|kind| found(kind, value)).is_some_and(|it| test(&it));
            match object.properties.get(name) {
                Some(serde_json::Value::Array(items)) => items.iter().any(one),
                Some(value) => one(value),
                None => false,
            }
        }
    }
}

/// A value as the class says that it is; what is something else equals nothing.
fn found(kind: Kind, value: &serde_json::Value) -> Option<Typed> {
    match kind {
        Kind::Text => value.as_str().map(|text| Typed::Text(text.to_owned())),
        Kind::Int | Kind::Number => value.as_i64().map(Typed::Int).or_else(|| value.as_f64().map(Typed::Number)),
        Kind::Boolean => value.as_bool().map(Typed::Truth),
        Kind::Date => value.as_str().and_then(|text| text.parse().ok()).map(Typed::Date),
        Kind::Uuid => value.as_str().and_then(|text| text.parse().ok()).map(Typed::Uuid),
    }
}

fn compare(one: &Typed, other: &Typed) -> Option<Ordering> {
    #[expect(clippy::cast_precision_loss, reason = "beside a fraction the last digits of an integer count for nothing")]
    let number = |value: &Typed| match value {
        Typed::Int(number) => Some(*number as f64),
        Typed::Number(number) => Some(*number),
        Typed::Text(_) | Typed::Truth(_) | Typed::Date(_) | Typed::Uuid(_) => None,
    };
    match (one, other) {
        (Typed::Text(one), Typed::Text(other)) => Some(one.cmp(other)),
        (Typed::Int(one), Typed::Int(other)) => Some(one.cmp(other)),
        (Typed::Truth(one), Typed::Truth(other)) => Some(one.cmp(other)),
        (Typed::Date(one), Typed::Date(other)) => Some(one.cmp(other)),
        (Typed::Uuid(one), Typed::Uuid(other)) => Some(one.cmp(other)),
        (one, other) => number(one)?.partial_cmp(&number(other)?),
    }
}

fn is(operator: Operator, order: Ordering) -> bool {
    match operator {
        Operator::Equal => order.is_eq(),
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::More => order.is_gt(),
        Operator::MoreOrEqual => order.is_ge(),
    }
}
