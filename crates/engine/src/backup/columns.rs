//! How the properties and vectors of a collection become columns, as somebody who opens a part with pandas or `DuckDB`
//! expects them.
//!
//! | Weaviate | column |
//! |---|---|
//! | `text`, `uuid`, `blob` | text |
//! | `int` | 64-bit integer |
//! | `number` | double |
//! | `boolean` | boolean |
//! | `date` | timestamp in microseconds, UTC |
//! | `geoCoordinates` | struct of two doubles |
//! | those with `[]`, but for `blob` and `geoCoordinates` | list |
//! | a cross-reference | list of beacons, `weaviate://localhost/CLASS/ID` ([`super::references`]) |
//! | `object`, `object[]`, `phoneNumber`, and what is not known here | JSON text |
//! | a vector | list of floats; of a multi-vector a list of lists |
//!
//! A value that its column cannot give back exactly as it was (a date with an offset or with nanoseconds, a number where a
//! text was meant) stands beside it in one more column, as JSON: [`Columns::rest`]. Each value is checked when it is
//! written, so nothing is lost whatever it is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::references;
use super::restore::needed;
use crate::vectorizers::has_unnamed;

/// The module that makes vectors of references.
const CENTROID: &str = "ref2vec-centroid";

/// The data type of which servers keep a hash of what is written, and hash that again when it is written back
/// (`HashBlobHashProperties` in `data_type_hash.go` of 1.38.2). Of nested properties they do not.
const HASHED: &str = "blobHash";

/// What a column holds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Text.
    Text,
    /// A 64-bit integer.
    Int,
    /// A double.
    Number,
    /// True or false.
    Boolean,
    /// Microseconds since 1970.
    Date,
    /// Latitude and longitude.
    Geo,
    /// JSON as text.
    Json,
    /// Texts.
    Texts,
    /// Integers.
    Ints,
    /// Doubles.
    Numbers,
    /// Truths.
    Booleans,
    /// Microseconds since 1970.
    Dates,
    /// Beacons, as texts.
    References,
}

impl Kind {
    /// Whether the column is a list.
    pub(super) fn is_list(self) -> bool {
        match self {
            Self::Texts | Self::Ints | Self::Numbers | Self::Booleans | Self::Dates | Self::References => true,
            Self::Text | Self::Int | Self::Number | Self::Boolean | Self::Date | Self::Geo | Self::Json => false,
        }
    }

    /// Of a data type as Weaviate spells it.
    fn of(data_type: &str) -> Self {
        match data_type {
            "text" | "string" | "uuid" | "blob" => Self::Text,
            "int" => Self::Int,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            "date" => Self::Date,
            "geoCoordinates" => Self::Geo,
            "text[]" | "string[]" | "uuid[]" => Self::Texts,
            "int[]" => Self::Ints,
            "number[]" => Self::Numbers,
            "boolean[]" => Self::Booleans,
            "date[]" => Self::Dates,
            class if references::is_class(class) => Self::References,
            _ => Self::Json,
        }
    }
}

/// One property's column.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PropertyColumn {
    /// The property.
    pub property: String,
    /// What the column holds. Its name is the property's.
    pub kind: Kind,
}

/// One vector's column.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct VectorColumn {
    /// The vector; the one without a name has the empty name.
    pub vector: String,
    /// The column.
    pub column: String,
    /// Whether it is a list of vectors.
    pub multi: bool,
}

/// All columns of a collection's parts, after `id`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Columns {
    /// The properties, as the class orders them.
    pub properties: Vec<PropertyColumn>,
    /// The vectors, by name.
    pub vectors: Vec<VectorColumn>,
    /// The column for what the others cannot give back exactly.
    pub rest: String,
}

/// The column of ids. Weaviate reserves the name.
pub const ID: &str = "id";

/// Nested properties by which servers take a value for something else. From `enrich_schema_datatypes.go` of 1.38.2, which goes
/// by the members of a value and not by the class. What comes of it is no object any more, and the answer to gRPC fails as a
/// whole.
struct Mistake {
    data_type: &'static str,
    /// Those that have to be there.
    names: &'static [&'static str],
    /// Those that may be there as well; `None`: any. A class with others is not refused: most of its values have some of them.
    beside: Option<&'static [&'static str]>,
    taken_for: &'static str,
}

const MISTAKES: [Mistake; 3] = [
    Mistake { data_type: "object", names: &["latitude", "longitude"], beside: Some(&[]), taken_for: "geoCoordinates" },
    Mistake {
        data_type: "object",
        names: &["input", "internationalFormatted", "nationalFormatted", "national", "countryCode"],
        beside: Some(&["valid", "defaultCountry"]),
        taken_for: "phoneNumber",
    },
    Mistake { data_type: "object[]", names: &["beacon"], beside: None, taken_for: "cross-references" },
];

/// Why the objects of a collection can be neither backed up nor copied.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unwritable {
    /// The servers compute vectors from references, and do so again as soon as references are written back.
    #[error(
        "its vectors are made of its references ({0}): servers would make them anew while references are written back. \
         Leave the collection out, or back it up with `engine: Native`"
    )]
    Centroid(&'static str),
    /// The servers leave objects out of their answers after they have counted them (`keepObjectsWithTTL` in `explorer.go` of
    /// 1.38.2): a page that is not full is not the last one then.
    #[error(
        "its servers leave expired objects out of each page that they answer (objectTtlConfig.filterExpiredObjects), so that \
         nobody can tell where its listing ends. Set filterExpiredObjects to false while it is read, or back it up with \
         `engine: Native`"
    )]
    Expiring,
    /// The servers take values of a property for something else, and fail to answer them.
    #[error(
        "property `{property}` is {data_type} with {names} among its nested properties: servers take such values for \
         {taken_for}, and then fail to answer them. Leave the collection out, or back it up with `engine: Native`"
    )]
    Mistaken {
        /// Which property.
        property: String,
        /// Its type.
        data_type: &'static str,
        /// The names that make them do so.
        names: String,
        /// What they take it for.
        taken_for: &'static str,
    },
}

impl Unwritable {
    /// Why objects of this class, Weaviate's own JSON, cannot be read whole or written back; `None` where they can.
    pub fn of_class(class: &Value) -> Option<Self> {
        if needed(class).contains(CENTROID) {
            return Some(Self::Centroid(CENTROID));
        }
        let expiry = &class["objectTtlConfig"];
        if expiry["enabled"] == true && expiry["filterExpiredObjects"] == true {
            return Some(Self::Expiring);
        }
        class["properties"].as_array().into_iter().flatten().find_map(Self::mistaken)
    }

    fn mistaken(property: &Value) -> Option<Self> {
        let nested = property["nestedProperties"].as_array()?;
        let nested: BTreeSet<&str> = nested.iter().filter_map(|nested| nested["name"].as_str()).collect();
        let is = |Mistake { data_type, names, beside, taken_for: _ }: &&Mistake| {
            let is_allowed = |name: &&str| names.contains(name) || beside.is_none_or(|beside| beside.contains(name));
            property["dataType"][0] == **data_type
                && names.iter().all(|name| nested.contains(name))
                && nested.iter().all(is_allowed)
        };
        let Mistake { data_type, names, beside: _, taken_for } = MISTAKES.iter().find(is)?;
        let property = property["name"].as_str().unwrap_or_default().to_owned();
        Some(Self::Mistaken { property, data_type, names: names.join(", "), taken_for })
    }
}

impl Columns {
    /// Those of this class, Weaviate's own JSON.
    pub fn of_class(class: &Value) -> Result<Self, Unwritable> {
        match Unwritable::of_class(class) {
            Some(why) => Err(why),
            None => Ok(Self::laid_out(class)),
        }
    }

    /// The same, whatever its servers do with it.
    pub(super) fn laid_out(class: &Value) -> Self {
        let mut properties = Vec::new();
        for property in class["properties"].as_array().into_iter().flatten() {
            let Some(name) = property["name"].as_str() else { continue };
            let data_type = property["dataType"][0].as_str().unwrap_or_default();
            properties.push(PropertyColumn { property: name.to_owned(), kind: Kind::of(data_type) });
        }
        // Readers such as DuckDB do not tell capitals from small letters.
        let lower = |property: &PropertyColumn| property.property.to_lowercase();
        let mut taken: BTreeSet<String> = properties.iter().map(lower).chain([ID.to_owned()]).collect();
        let mut free = |wanted: String| {
            let mut name = wanted;
            while !taken.insert(name.to_lowercase()) {
                name.insert(0, '_');
            }
            name
        };
        let vectors = vectors_of(class);
        let column = |name: &str| if name.is_empty() { "vector".to_owned() } else { format!("vector_{name}") };
        let vectors = vectors
            .into_iter()
            .map(|(vector, multi)| VectorColumn { column: free(column(&vector)), vector, multi })
            .collect();
        Self { properties, vectors, rest: free("_rest".to_owned()) }
    }

    /// Whether there are references among them.
    pub fn have_references(&self) -> bool {
        self.properties.iter().any(|column| column.kind == Kind::References)
    }
}

/// The properties of a class whose values servers make others of as they are written back.
pub fn hashed(class: &Value) -> impl Iterator<Item = String> {
    let properties = class["properties"].as_array().into_iter().flatten();
    let hashed = properties.filter(|property| property["dataType"][0] == HASHED);
    hashed.filter_map(|property| property["name"].as_str().map(str::to_owned))
}

/// The named vectors and the one without a name, where there is one.
fn vectors_of(class: &Value) -> Vec<(String, bool)> {
    let is_multi = |config: &Value| config["multivector"]["enabled"] == true;
    let named = class["vectorConfig"].as_object().into_iter().flatten();
    let mut vectors: Vec<_> =
        named.map(|(name, config)| (name.clone(), is_multi(&config["vectorIndexConfig"]))).collect();
    if has_unnamed(class) {
        vectors.push((String::new(), is_multi(&class["vectorIndexConfig"])));
    }
    vectors.sort();
    vectors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_never_meet() {
        let property = |name: &str| json!({"name": name, "dataType": ["text"]});
        let class = json!({
            "properties": [property("Vector"), property("vector_a"), property("_rest"), property("title")],
            "vectorConfig": {"a": {"vectorIndexConfig": {"multivector": {"enabled": true}}}, "b": {}},
            "vectorIndexConfig": {},
        });
        let Columns { vectors, rest, .. } = Columns::of_class(&class).unwrap();
        let names: Vec<_> = vectors.iter().map(|it| (it.vector.as_str(), it.column.as_str(), it.multi)).collect();
        assert_eq!(names, [("", "_vector", false), ("a", "_vector_a", true), ("b", "vector_b", false)]);
        assert_eq!(rest, "__rest");
    }

    #[test]
    fn references_are_lists_of_beacons() {
        let class = json!({"properties": [{"name": "by", "dataType": ["Person", "Robot"]}]});
        let columns = Columns::of_class(&class).unwrap();
        assert_eq!(columns.properties[0].kind, Kind::References);
        assert!(columns.have_references() && !Columns::default().have_references());
    }

    #[test]
    fn vectors_that_are_made_of_references_are_refused() {
        let class =
            json!({"vectorConfig": {"v": {"vectorizer": {"ref2vec-centroid": {"referenceProperties": ["by"]}}}}});
        assert_eq!(Columns::of_class(&class), Err(Unwritable::Centroid(CENTROID)));
    }

    #[test]
    fn what_servers_do_not_answer_whole_is_refused() {
        let expiry =
            |enabled, filters| json!({"objectTtlConfig": {"enabled": enabled, "filterExpiredObjects": filters}});
        let nested = |kind: &str, names: &[&str]| {
            let nested: Vec<_> = names.iter().map(|name| json!({"name": name, "dataType": ["number"]})).collect();
            json!({"properties": [
                {"name": "title", "dataType": ["text"]}, {"name": "place", "dataType": [kind], "nestedProperties": nested},
            ]})
        };
        let phone = ["input", "internationalFormatted", "nationalFormatted", "national", "countryCode"];
        for (class, wanted) in [
            (expiry(true, true), Some("leave expired objects out")),
            (expiry(true, false), None),
            (expiry(false, true), None),
            (json!({}), None),
            (nested("object", &["latitude", "longitude"]), Some("`place` is object with latitude, longitude among")),
            // An address: hardly a value of it has those two alone.
            (nested("object", &["street", "latitude", "longitude"]), None),
            (nested("object", &["latitude", "height"]), None),
            (nested("object[]", &["latitude", "longitude"]), None),
            (nested("object", &phone), Some("for phoneNumber")),
            (nested("object", &[&phone[..], &["valid"]].concat()), Some("for phoneNumber")),
            (nested("object", &[&phone[..], &["name"]].concat()), None),
            (nested("object", &phone[1..]), None),
            (nested("object[]", &["title", "beacon"]), Some("for cross-references")),
            (nested("object", &["beacon"]), None),
        ] {
            let found = Columns::of_class(&class).err().map(|why| why.to_string());
            let is_as_wanted = match (&found, wanted) {
                (Some(found), Some(wanted)) => found.contains(wanted),
                (found, wanted) => found.is_none() && wanted.is_none(),
            };
            assert!(is_as_wanted, "{class}: {found:?}");
        }
    }
}
