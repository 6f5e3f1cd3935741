//! Vectors that a line brings along.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::object::{Vector, Vectors};

/// The most numbers that a vector may have: Weaviate's own bound, and what the header of a list of vectors can say.
const MAX_DIMENSIONS: usize = 65_535;

/// The vector without a name.
pub(super) struct OneVector(Vec<f32>);

/// Vectors by name.
pub(super) struct NamedVectors(Vectors);

/// Both kinds as one.
pub(super) fn joined(one: Option<OneVector>, named: Option<NamedVectors>) -> Vectors {
    let mut vectors = named.map_or_else(Vectors::new, |NamedVectors(vectors)| vectors);
    vectors.extend(one.map(|OneVector(numbers)| (String::new(), Vector::Single(numbers))));
    vectors
}

/// A number that an f32 can hold.
struct Finite(f32);

impl<'de> Deserialize<'de> for Finite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        finite(number).map(Self)
    }
}

fn finite<E: de::Error>(number: f64) -> Result<f32, E> {
    // The server keeps 32 bits; what is lost beyond them is what everybody loses there.
    #[expect(clippy::cast_possible_truncation)]
    let short = number as f32;
    if short.is_finite() {
        return Ok(short);
    }
    Err(E::custom(format_args!("{number:e} is beyond what a 32-bit float holds")))
}

impl<'de> Deserialize<'de> for OneVector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let numbers = Vec::<Finite>::deserialize(deserializer)?;
        checked(numbers.into_iter().map(|Finite(number)| number).collect()).map(Self)
    }
}

fn checked<E: de::Error>(numbers: Vec<f32>) -> Result<Vec<f32>, E> {
    match numbers.len() {
        0 => Err(E::custom("a vector has no numbers: leave it out")),
        1..=MAX_DIMENSIONS => Ok(numbers),
        count => {
            Err(E::custom(format_args!("a vector has {count} numbers, more than the {MAX_DIMENSIONS} it may have")))
        }
    }
}

impl<'de> Deserialize<'de> for NamedVectors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = NamedVectors;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of vectors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NamedVectors, A::Error> {
                let mut vectors = Vectors::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name.is_empty() {
                        return Err(de::Error::custom("a vector has an empty name: use `vector`"));
                    }
                    if vectors.contains_key(&name) {
                        return Err(de::Error::custom(format_args!("vector `{name}` is there twice: keep one")));
                    }
                    let in_vector = |error| de::Error::custom(format_args!("vector `{name}`: {error}"));
                    let OneOrMany(vector) = map.next_value().map_err(in_vector)?;
                    vectors.insert(name, vector);
                }
                Ok(NamedVectors(vectors))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A list of numbers, or a list of such lists of one length.
struct OneOrMany(Vector);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = OneOrMany;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of numbers, or a list of such lists")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
                match items.next_element::<Item>()? {
                    None => Err(de::Error::custom("a vector has no numbers: leave it out")),
                    Some(Item::Number(first)) => {
                        let mut numbers = vec![first];
                        while let Some(Finite(number)) = items.next_element()? {
                            numbers.push(number);
                        }
                        checked(numbers).map(|numbers| OneOrMany(Vector::Single(numbers)))
                    }
                    Some(Item::List(first)) => {
                        let dimension = first.len();
                        let mut lists = vec![first];
                        while let Some(OneVector(numbers)) = items.next_element()? {
                            if numbers.len() != dimension {
                                return Err(de::Error::custom(format_args!(
                                    "list {} has {} numbers where the first has {dimension}: all must have as many",
                                    lists.len(),
                                    numbers.len(),
                                )));
                            }
                            lists.push(numbers);
                        }
                        Ok(OneOrMany(Vector::Multi(lists)))
                    }
                }
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// The first item of a list tells what all are.
enum Item {
    Number(f32),
    List(Vec<f32>),
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct First;
        impl<'de> Visitor<'de> for First {
            type Value = Item;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number, or a list of numbers")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Item, E> {
                #[expect(clippy::cast_precision_loss, reason = "the server keeps 32 bits")]
                finite(number as f64).map(Item::Number)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Item, E> {
                #[expect(clippy::cast_precision_loss, reason = "the server keeps 32 bits")]
                finite(number as f64).map(Item::Number)
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Item, E> {
                finite(number).map(Item::Number)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Item, A::Error> {
                let mut numbers = Vec::new();
                while let Some(Finite(number)) = items.next_element()? {
                    numbers.push(number);
                }
                checked(numbers).map(Item::List)
            }
        }
        deserializer.deserialize_any(First)
    }
}
