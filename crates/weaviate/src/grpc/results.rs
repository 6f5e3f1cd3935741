//! What a search answers, as protobuf messages: of `grpc/proto/v1/{search_get,properties}.proto` what is used. Field
//! numbers are equal in 1.35.2 and 1.38.2.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::{Message, Oneof};

use super::messages::{Texts, WireVector};

/// `search_get.proto`, `SearchReply`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct SearchReply {
    #[prost(message, repeated, tag = "2")]
    pub(crate) results: Vec<SearchResult>,
}

/// `search_get.proto`, `SearchResult`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct SearchResult {
    #[prost(message, optional, tag = "1")]
    pub(crate) properties: Option<PropertiesResult>,
    #[prost(message, optional, tag = "2")]
    pub(crate) metadata: Option<MetadataResult>,
}

/// `search_get.proto`, `PropertiesResult`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct PropertiesResult {
    #[prost(message, optional, tag = "11")]
    pub(crate) non_ref_props: Option<ResultProperties>,
}

/// `search_get.proto`, `MetadataResult`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct MetadataResult {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(int64, tag = "3")]
    pub(crate) creation_time: i64,
    #[prost(bool, tag = "4")]
    pub(crate) has_creation_time: bool,
    #[prost(int64, tag = "5")]
    pub(crate) last_update_time: i64,
    #[prost(bool, tag = "6")]
    pub(crate) has_last_update_time: bool,
    #[prost(bytes = "bytes", tag = "19")]
    pub(crate) vector_bytes: Bytes,
    #[prost(message, repeated, tag = "23")]
    pub(crate) vectors: Vec<WireVector>,
}

/// properties.proto, Properties.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct ResultProperties {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(crate) fields: BTreeMap<String, ResultValue>,
}

/// properties.proto, Value.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct ResultValue {
    #[prost(oneof = "ResultKind", tags = "1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13")]
    pub(crate) kind: Option<ResultKind>,
}

/// properties.proto, Value.kind.
#[derive(Clone, Oneof, PartialEq)]
pub(crate) enum ResultKind {
    #[prost(double, tag = "1")]
    Number(f64),
    #[prost(bool, tag = "3")]
    Boolean(bool),
    #[prost(message, tag = "4")]
    Object(ResultProperties),
    #[prost(message, tag = "5")]
    List(ResultList),
    #[prost(string, tag = "6")]
    Date(String),
    #[prost(string, tag = "7")]
    Uuid(String),
    #[prost(int64, tag = "8")]
    Int(i64),
    #[prost(message, tag = "9")]
    Geo(GeoCoordinate),
    #[prost(string, tag = "10")]
    Blob(String),
    #[prost(message, tag = "11")]
    Phone(PhoneNumber),
    #[prost(int32, tag = "12")]
    Null(i32),
    #[prost(string, tag = "13")]
    Text(String),
}

/// properties.proto, `ListValue`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct ResultList {
    #[prost(oneof = "ListKind", tags = "2, 3, 4, 5, 6, 7, 8")]
    pub(crate) kind: Option<ListKind>,
}

/// properties.proto, ListValue.kind.
#[derive(Clone, Oneof, PartialEq)]
pub(crate) enum ListKind {
    #[prost(message, tag = "2")]
    Numbers(PackedValues),
    #[prost(message, tag = "3")]
    Booleans(BoolValues),
    #[prost(message, tag = "4")]
    Objects(ObjectValues),
    #[prost(message, tag = "5")]
    Dates(Texts),
    #[prost(message, tag = "6")]
    Uuids(Texts),
    #[prost(message, tag = "7")]
    Ints(PackedValues),
    #[prost(message, tag = "8")]
    Texts(Texts),
}

/// properties.proto, `NumberValues` and `IntValues`: eight bytes each, little-endian; f64, or i64.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct PackedValues {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) values: Bytes,
}

/// properties.proto, `BoolValues`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct BoolValues {
    #[prost(bool, repeated, tag = "1")]
    pub(crate) values: Vec<bool>,
}

/// properties.proto, `ObjectValues`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct ObjectValues {
    #[prost(message, repeated, tag = "1")]
    pub(crate) values: Vec<ResultProperties>,
}

/// properties.proto, `GeoCoordinate`.
#[derive(Clone, Copy, Message, PartialEq)]
pub(crate) struct GeoCoordinate {
    #[prost(float, tag = "1")]
    pub(crate) longitude: f32,
    #[prost(float, tag = "2")]
    pub(crate) latitude: f32,
}

/// properties.proto, `PhoneNumber`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct PhoneNumber {
    #[prost(uint64, tag = "1")]
    pub(crate) country_code: u64,
    #[prost(string, tag = "2")]
    pub(crate) default_country: String,
    #[prost(string, tag = "3")]
    pub(crate) input: String,
    #[prost(string, tag = "4")]
    pub(crate) international_formatted: String,
    #[prost(uint64, tag = "5")]
    pub(crate) national: u64,
    #[prost(string, tag = "6")]
    pub(crate) national_formatted: String,
    #[prost(bool, tag = "7")]
    pub(crate) valid: bool,
}
