//! The protobuf messages that are used, and of those only the fields that are used. Field numbers are those of
//! `grpc/proto/v1/{base,batch,batch_delete,search_get}.proto`, equal in 1.35.2 and 1.38.2.

#![allow(missing_docs)]

use bytes::Bytes;
use prost::{Enumeration, Message};
use prost_types::Struct;

/// base.proto, `ConsistencyLevel`.
#[derive(Clone, Copy, Debug, Enumeration, Eq, PartialEq)]
#[repr(i32)]
pub(crate) enum ConsistencyLevel {
    Unspecified = 0,
    One = 1,
    Quorum = 2,
    All = 3,
}

impl From<crate::objects::Consistency> for ConsistencyLevel {
    fn from(consistency: crate::objects::Consistency) -> Self {
        match consistency {
            crate::objects::Consistency::One => Self::One,
            crate::objects::Consistency::Quorum => Self::Quorum,
            crate::objects::Consistency::All => Self::All,
        }
    }
}

/// base.proto, `NumberArrayProperties`: `values` (1) is deprecated, `values_bytes` is little-endian f64.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct NumberArray {
    #[prost(string, tag = "2")]
    pub(crate) prop_name: String,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) values_bytes: Bytes,
}

/// base.proto, `IntArrayProperties`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct IntArray {
    #[prost(int64, repeated, tag = "1")]
    pub(crate) values: Vec<i64>,
    #[prost(string, tag = "2")]
    pub(crate) prop_name: String,
}

/// base.proto, `TextArrayProperties`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct TextArray {
    #[prost(string, repeated, tag = "1")]
    pub(crate) values: Vec<String>,
    #[prost(string, tag = "2")]
    pub(crate) prop_name: String,
}

/// base.proto, `BooleanArrayProperties`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct BooleanArray {
    #[prost(bool, repeated, tag = "1")]
    pub(crate) values: Vec<bool>,
    #[prost(string, tag = "2")]
    pub(crate) prop_name: String,
}

/// base.proto, `ObjectPropertiesValue`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct NestedValue {
    #[prost(message, optional, tag = "1")]
    pub(crate) plain: Option<Struct>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) number_arrays: Vec<NumberArray>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) int_arrays: Vec<IntArray>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) text_arrays: Vec<TextArray>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) boolean_arrays: Vec<BooleanArray>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) objects: Vec<NestedObject>,
    #[prost(message, repeated, tag = "7")]
    pub(crate) object_arrays: Vec<NestedObjectArray>,
    #[prost(string, repeated, tag = "10")]
    pub(crate) empty_lists: Vec<String>,
}

/// base.proto, `ObjectProperties`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct NestedObject {
    #[prost(message, optional, tag = "1")]
    pub(crate) value: Option<NestedValue>,
    #[prost(string, tag = "2")]
    pub(crate) prop_name: String,
}

/// base.proto, `ObjectArrayProperties`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct NestedObjectArray {
    #[prost(message, repeated, tag = "1")]
    pub(crate) values: Vec<NestedValue>,
    #[prost(string, tag = "2")]
    pub(crate) prop_name: String,
}

/// batch.proto, BatchObject.Properties: the same as [`NestedValue`] under other numbers. References (2, 3) are not used.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct Properties {
    #[prost(message, optional, tag = "1")]
    pub(crate) plain: Option<Struct>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) number_arrays: Vec<NumberArray>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) int_arrays: Vec<IntArray>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) text_arrays: Vec<TextArray>,
    #[prost(message, repeated, tag = "7")]
    pub(crate) boolean_arrays: Vec<BooleanArray>,
    #[prost(message, repeated, tag = "8")]
    pub(crate) objects: Vec<NestedObject>,
    #[prost(message, repeated, tag = "9")]
    pub(crate) object_arrays: Vec<NestedObjectArray>,
    #[prost(string, repeated, tag = "10")]
    pub(crate) empty_lists: Vec<String>,
}

impl From<NestedValue> for Properties {
    fn from(value: NestedValue) -> Self {
        let NestedValue {
            plain,
            number_arrays,
            int_arrays,
            text_arrays,
            boolean_arrays,
            objects,
            object_arrays,
            empty_lists,
        } = value;
        Self { plain, number_arrays, int_arrays, text_arrays, boolean_arrays, objects, object_arrays, empty_lists }
    }
}

/// base.proto, Vectors: `vector_type` 1 is one vector, 2 is a list of vectors.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct WireVector {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) vector_bytes: Bytes,
    #[prost(enumeration = "VectorType", tag = "4")]
    pub(crate) vector_type: i32,
}

/// base.proto, Vectors.VectorType.
#[derive(Clone, Copy, Debug, Enumeration, Eq, PartialEq)]
#[repr(i32)]
pub(crate) enum VectorType {
    Unspecified = 0,
    Single = 1,
    Multi = 2,
}

/// batch.proto, `BatchObject`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct WireObject {
    #[prost(string, tag = "1")]
    pub(crate) uuid: String,
    #[prost(message, optional, tag = "3")]
    pub(crate) properties: Option<Properties>,
    #[prost(string, tag = "4")]
    pub(crate) collection: String,
    #[prost(string, tag = "5")]
    pub(crate) tenant: String,
    #[prost(bytes = "bytes", tag = "6")]
    pub(crate) vector_bytes: Bytes,
    #[prost(message, repeated, tag = "23")]
    pub(crate) vectors: Vec<WireVector>,
}

/// batch.proto, `BatchObjectsRequest`. Field 1 is `objects`, field 2 the consistency level.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct BatchObjectsRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) objects: Vec<WireObject>,
    #[prost(enumeration = "ConsistencyLevel", optional, tag = "2")]
    pub(crate) consistency_level: Option<i32>,
}

/// batch.proto, `BatchObjectsReply`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct BatchObjectsReply {
    #[prost(message, repeated, tag = "2")]
    pub(crate) errors: Vec<BatchError>,
}

/// batch.proto, BatchObjectsReply.BatchError.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct BatchError {
    #[prost(int32, tag = "1")]
    pub(crate) index: i32,
    #[prost(string, tag = "2")]
    pub(crate) error: String,
}

/// base.proto, Filters.Operator: the one that is used.
pub(crate) const OPERATOR_CONTAINS_ANY: i32 = 12;

/// base.proto, Filters.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct Filters {
    #[prost(int32, tag = "1")]
    pub(crate) operator: i32,
    #[prost(message, optional, tag = "9")]
    pub(crate) value_text_array: Option<Texts>,
    #[prost(message, optional, tag = "20")]
    pub(crate) target: Option<FilterTarget>,
}

/// base.proto, `TextArray`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct Texts {
    #[prost(string, repeated, tag = "1")]
    pub(crate) values: Vec<String>,
}

/// base.proto, `FilterTarget`: of its oneof only `property`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct FilterTarget {
    #[prost(string, optional, tag = "1")]
    pub(crate) property: Option<String>,
}

/// `batch_delete.proto`, `BatchDeleteRequest`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct BatchDeleteRequest {
    #[prost(string, tag = "1")]
    pub(crate) collection: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) filters: Option<Filters>,
    #[prost(enumeration = "ConsistencyLevel", optional, tag = "5")]
    pub(crate) consistency_level: Option<i32>,
    #[prost(string, optional, tag = "6")]
    pub(crate) tenant: Option<String>,
}

/// `batch_delete.proto`, `BatchDeleteReply`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct BatchDeleteReply {
    #[prost(int64, tag = "2")]
    pub(crate) failed: i64,
    #[prost(int64, tag = "3")]
    pub(crate) matches: i64,
    #[prost(int64, tag = "4")]
    pub(crate) successful: i64,
}

/// `search_get.proto`, `SearchRequest`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct SearchRequest {
    #[prost(string, tag = "1")]
    pub(crate) collection: String,
    #[prost(string, tag = "10")]
    pub(crate) tenant: String,
    #[prost(enumeration = "ConsistencyLevel", optional, tag = "11")]
    pub(crate) consistency_level: Option<i32>,
    #[prost(message, optional, tag = "20")]
    pub(crate) properties: Option<PropertiesRequest>,
    #[prost(message, optional, tag = "21")]
    pub(crate) metadata: Option<MetadataRequest>,
    #[prost(uint32, tag = "30")]
    pub(crate) limit: u32,
    #[prost(string, tag = "33")]
    pub(crate) after: String,
    #[prost(message, optional, tag = "40")]
    pub(crate) filters: Option<Filters>,
    #[prost(message, optional, tag = "43")]
    pub(crate) near_vector: Option<NearVector>,
    #[prost(bool, tag = "102")]
    pub(crate) uses_127_api: bool,
}

/// `base_search.proto`, `NearVector`: of its ways to give a vector the one that is not deprecated.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct NearVector {
    #[prost(message, optional, tag = "6")]
    pub(crate) targets: Option<Targets>,
    #[prost(message, repeated, tag = "9")]
    pub(crate) vectors: Vec<WireVector>,
}

/// `base_search.proto`, `Targets`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct Targets {
    #[prost(string, repeated, tag = "1")]
    pub(crate) target_vectors: Vec<String>,
}

/// `search_get.proto`, `PropertiesRequest`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct PropertiesRequest {
    #[prost(string, repeated, tag = "1")]
    pub(crate) plain: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) objects: Vec<ObjectPropertiesRequest>,
    #[prost(bool, tag = "11")]
    pub(crate) all: bool,
}

/// `search_get.proto`, `ObjectPropertiesRequest`.
#[derive(Clone, Message, PartialEq)]
pub(crate) struct ObjectPropertiesRequest {
    #[prost(string, tag = "1")]
    pub(crate) prop_name: String,
    #[prost(string, repeated, tag = "2")]
    pub(crate) primitive_properties: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) object_properties: Vec<ObjectPropertiesRequest>,
}

/// `search_get.proto`, `MetadataRequest`.
#[allow(clippy::struct_excessive_bools, reason = "the server's own flags, one by one")]
#[derive(Clone, Message, PartialEq)]
pub(crate) struct MetadataRequest {
    #[prost(bool, tag = "1")]
    pub(crate) uuid: bool,
    #[prost(bool, tag = "2")]
    pub(crate) vector: bool,
    #[prost(bool, tag = "3")]
    pub(crate) creation_time: bool,
    #[prost(bool, tag = "4")]
    pub(crate) last_update_time: bool,
}
