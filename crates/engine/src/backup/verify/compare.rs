//! A collection beside the run that it was restored from: what a drill looks at.
//!
//! Counts and sums say whether everything is there; what is sampled says what is wrong with it, and that searches find the
//! same. Everything is bounded by the sample, but for the counts, for which the collection is read once.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::backup::digest::object_digest;
use crate::object::{Object, Vector};

/// What objects of a sample are, beside those of the same ids elsewhere.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sampled {
    /// Objects of the sample.
    pub objects: u64,
    /// Those that are not there.
    pub missing: u64,
    /// Those with other properties or vectors.
    pub differing: u64,
    /// The largest distance of a vector from the one that it should be, of 1 - cosine; 2 where it is no vector of the same
    /// shape.
    pub distance: f64,
}

impl Sampled {
    /// With another part of the sample.
    pub fn join(&mut self, other: Self) {
        self.objects += other.objects;
        self.missing += other.missing;
        self.differing += other.differing;
        self.distance = self.distance.max(other.distance);
    }

    /// Whether every one of them is what it should be.
    pub fn is_same(&self) -> bool {
        self.missing == 0 && self.differing == 0
    }
}

/// Compares objects with what was found under their ids.
pub fn sampled<'a>(wanted: impl IntoIterator<Item = &'a Object>, found: &[Object]) -> Sampled {
    let found: BTreeMap<Uuid, &Object> = found.iter().map(|object| (object.id, object)).collect();
    let mut out = Sampled::default();
    for object in wanted {
        out.objects += 1;
        let Some(other) = found.get(&object.id) else {
            out.missing += 1;
            continue;
        };
        if object_digest(object) != object_digest(other) {
            out.differing += 1;
            out.distance = out.distance.max(distance_of(object, other));
        }
    }
    out
}

/// How far vectors may lie apart at all, of 1 - cosine.
const FARTHEST: f64 = 2.0;

/// The largest distance between vectors of one name.
fn distance_of(wanted: &Object, found: &Object) -> f64 {
    let names: BTreeSet<&String> = wanted.vectors.keys().chain(found.vectors.keys()).collect();
    let of_name = |name: &String| match (wanted.vectors.get(name), found.vectors.get(name)) {
        (Some(Vector::Single(one)), Some(Vector::Single(other))) => cosine_distance(one, other).unwrap_or(FARTHEST),
        (Some(Vector::Multi(one)), Some(Vector::Multi(other))) if one.len() == other.len() => {
            let all = one.iter().zip(other).map(|(one, other)| cosine_distance(one, other).unwrap_or(FARTHEST));
            all.fold(0.0, f64::max)
        }
        _ => FARTHEST,
    };
    names.into_iter().map(of_name).fold(0.0, f64::max)
}

/// 1 - cosine; `None` where they have not as many numbers. Equal vectors are not apart, also when they are nought.
pub fn cosine_distance(one: &[f32], other: &[f32]) -> Option<f64> {
    if one.len() != other.len() {
        return None;
    }
    if one == other {
        return Some(0.0);
    }
    let (mut dot, mut of_one, mut of_other) = (0.0, 0.0, 0.0);
    for (one, other) in one.iter().zip(other) {
        let (one, other) = (f64::from(*one), f64::from(*other));
        dot += one * other;
        of_one += one * one;
        of_other += other * other;
    }
    let length = (of_one * of_other).sqrt();
    let is_known = length.is_finite() && length > 0.0;
    Some(if is_known { (1.0 - dot / length).clamp(0.0, FARTHEST) } else { FARTHEST })
}

/// How many of the nearest that should be found were found, from 0 to 1; 1 where none should be.
pub fn overlap(wanted: &[Uuid], found: &[Uuid]) -> f64 {
    let wanted: BTreeSet<&Uuid> = wanted.iter().collect();
    let found: BTreeSet<&Uuid> = found.iter().collect();
    if wanted.is_empty() {
        return 1.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a sample has some hundreds")]
    let share = wanted.intersection(&found).count() as f64 / wanted.len() as f64;
    share
}

/// By how much a distance may differ from the one that a server goes by, of itself and beside it.
const SLACK: f64 = 1e-4;

/// How far vectors lie apart, as a class says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Metric {
    /// 1 - cosine.
    Cosine,
    /// The dot product, negative.
    Dot,
    /// The square of the Euclidean distance.
    L2Squared,
}

impl Metric {
    /// That of a vector of this class; `None` where only the server knows it, or the vector is a list of vectors, for which
    /// there is no one distance that every server agrees on.
    pub fn of_class(class: &serde_json::Value, vector: &str) -> Option<Self> {
        let vector = if vector.is_empty() { class } else { &class["vectorConfig"][vector] };
        let index = &vector["vectorIndexConfig"];
        if index["multivector"]["enabled"] == true {
            return None;
        }
        match index["distance"].as_str().or_else(|| index["hnsw"]["distance"].as_str()).unwrap_or("cosine") {
            "cosine" => Some(Self::Cosine),
            "dot" => Some(Self::Dot),
            "l2-squared" => Some(Self::L2Squared),
            _ => None,
        }
    }

    fn distance(self, one: &[f32], other: &[f32]) -> Option<f64> {
        if one.len() != other.len() {
            return None;
        }
        let pairs = one.iter().zip(other).map(|(one, other)| (f64::from(*one), f64::from(*other)));
        match self {
            Self::Cosine => cosine_distance(one, other),
            Self::Dot => Some(-pairs.map(|(one, other)| one * other).sum::<f64>()),
            Self::L2Squared => Some(pairs.map(|(one, other)| (one - other).powi(2)).sum()),
        }
    }
}

/// The nearest objects to a vector, exactly: what a search should find. It is shown objects one by one, and holds no more
/// of them than are asked for.
#[derive(Clone, Debug)]
pub struct Nearest {
    vector: String,
    to: Vec<f32>,
    metric: Metric,
    most: usize,
    best: Vec<(f64, Uuid)>,
}

impl Nearest {
    /// The `most` nearest to `to` by the vector of this name.
    pub fn new(vector: String, to: Vec<f32>, metric: Metric, most: usize) -> Self {
        Self { vector, to, metric, most, best: Vec::new() }
    }

    /// The vector's name, and to what it is near.
    pub fn query(&self) -> (&str, &[f32]) {
        (&self.vector, &self.to)
    }

    /// Looks at one more object. Of equal distances the lower id comes first.
    pub fn look(&mut self, object: &Object) {
        let Some(Vector::Single(numbers)) = object.vectors.get(&self.vector) else { return };
        let Some(distance) = self.metric.distance(numbers, &self.to) else { return };
        let is_before = |one: &(f64, Uuid)| one.0.total_cmp(&distance).then(one.1.cmp(&object.id)).is_lt();
        let place = self.best.partition_point(is_before);
        if place < self.most {
            self.best.insert(place, (distance, object.id));
            self.best.truncate(self.most);
        }
    }

    /// How many of as many objects as are the nearest a search found, from 0 to 1; 1 where there are none. One that is as
    /// near as the last of them is as good: many objects may have one vector. Servers count with shorter numbers.
    pub fn share(&self, found: &[Object]) -> f64 {
        let Some((farthest, _)) = self.best.last() else { return 1.0 };
        let within = farthest + farthest.abs() * SLACK + SLACK;
        let is_near = |object: &&Object| match object.vectors.get(&self.vector) {
            Some(Vector::Single(numbers)) => {
                self.metric.distance(numbers, &self.to).is_some_and(|distance| distance <= within)
            }
            Some(Vector::Multi(_)) | None => false,
        };
        let near: BTreeSet<Uuid> = found.iter().filter(is_near).map(|object| object.id).collect();
        #[expect(clippy::cast_precision_loss, reason = "some dozens")]
        let share = near.len().min(self.best.len()) as f64 / self.best.len() as f64;
        share
    }

    /// The nearest, the nearest of all first.
    pub fn ids(&self) -> Vec<Uuid> {
        self.best.iter().map(|(_, id)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(id: u128, numbers: &[f32]) -> Object {
        Object {
            id: Uuid::from_u128(id),
            properties: json!({"n": id.to_string()}).as_object().unwrap().clone(),
            vectors: [(String::new(), Vector::Single(numbers.to_vec()))].into(),
        }
    }

    #[test]
    fn samples_say_what_is_missing_and_what_differs() {
        let wanted = [object(1, &[1.0, 0.0]), object(2, &[0.0, 1.0]), object(3, &[1.0, 1.0])];
        assert_eq!(sampled(&wanted, &wanted), Sampled { objects: 3, ..Sampled::default() });
        assert!(sampled(&wanted, &wanted).is_same());
        let mut turned = wanted.to_vec();
        turned[0].vectors = wanted[1].vectors.clone();
        let found = sampled(&wanted, &turned[..2]);
        assert_eq!((found.missing, found.differing), (1, 1));
        assert!((found.distance - 1.0).abs() < 1e-9, "{found:?}");
        // Another text with the same vector lies nowhere else.
        let mut renamed = wanted.to_vec();
        renamed[0].properties.clear();
        assert_eq!(sampled(&wanted, &renamed), Sampled { objects: 3, differing: 1, ..Sampled::default() });
        let mut shorter = wanted.to_vec();
        shorter[0] = object(1, &[1.0]);
        assert_eq!(sampled(&wanted, &shorter).distance.to_bits(), FARTHEST.to_bits());
    }

    #[test]
    fn distances() {
        let of = |one: &[f32], other: &[f32]| cosine_distance(one, other);
        assert_eq!(of(&[0.0, 0.0], &[0.0, 0.0]), Some(0.0));
        assert_eq!(of(&[1.0, 0.0], &[0.0, 0.0]), Some(FARTHEST));
        assert_eq!(of(&[1.0], &[-1.0]), Some(2.0));
        assert_eq!(of(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(of(&[f32::NAN], &[1.0]), Some(FARTHEST));
        assert!(of(&[1.0, 2.0], &[2.0, 4.0]).unwrap() < 1e-12);
    }

    #[test]
    fn searches_overlap() {
        let objects: Vec<_> = [(1, [1.0, 0.0]), (2, [0.9, 0.1]), (3, [0.0, 1.0]), (4, [1.0, 0.0])]
            .iter()
            .map(|(id, numbers)| object(*id, numbers))
            .collect();
        let found = |vector: &str, metric, most| {
            let mut nearest = Nearest::new(vector.to_owned(), vec![1.0, 0.0], metric, most);
            for object in &objects {
                nearest.look(object);
            }
            nearest.ids()
        };
        let ids = |ids: &[u128]| ids.iter().map(|id| Uuid::from_u128(*id)).collect::<Vec<_>>();
        assert_eq!(found("", Metric::Cosine, 3), ids(&[1, 4, 2]));
        assert_eq!(found("", Metric::Dot, 1), ids(&[1]));
        assert_eq!(found("", Metric::L2Squared, 9), ids(&[1, 4, 2, 3]));
        assert!(found("other", Metric::Cosine, 3).is_empty() && found("", Metric::Cosine, 0).is_empty());
        let share = |found: &[u128]| overlap(&ids(&[1, 4, 2]), &ids(found));
        assert!((share(&[2, 4, 1]) - 1.0).abs() < 1e-12 && (share(&[1, 1, 1]) - 1.0 / 3.0).abs() < 1e-12);
        assert!(share(&[]).abs() < 1e-12 && (overlap(&[], &[]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn distances_are_those_of_the_class() {
        let class = json!({
            "vectorIndexConfig": {"distance": "dot"},
            "vectorConfig": {
                "plain": {}, "l2": {"vectorIndexConfig": {"distance": "l2-squared"}},
                "far": {"vectorIndexConfig": {"distance": "hamming"}},
                "many": {"vectorIndexConfig": {"multivector": {"enabled": true}}},
                "dynamic": {"vectorIndexConfig": {"hnsw": {"distance": "dot"}}},
            },
        });
        let of = |name| Metric::of_class(&class, name);
        assert_eq!((of(""), of("plain"), of("l2")), (Some(Metric::Dot), Some(Metric::Cosine), Some(Metric::L2Squared)));
        assert_eq!((of("far"), of("many"), of("dynamic")), (None, None, Some(Metric::Dot)));
    }

    #[test]
    fn as_near_as_the_last_is_as_good() {
        let mut nearest = Nearest::new(String::new(), vec![1.0, 0.0], Metric::L2Squared, 2);
        let all: Vec<Object> =
            [(1, [1.0, 0.0]), (2, [1.0, 0.0]), (3, [1.0, 0.0]), (4, [0.0, 9.0])].map(|(id, at)| object(id, &at)).into();
        for object in &all {
            nearest.look(object);
        }
        for (found, share) in [(&all[1..3], 1.0), (&all[2..4], 0.5), (&all[3..], 0.0), (&[], 0.0)] {
            assert!((nearest.share(found) - share).abs() < 1e-9, "{found:?}");
        }
        let twice = [all[0].clone(), all[0].clone()];
        assert!((nearest.share(&twice) - 0.5).abs() < 1e-9);
    }
}
