//! Writing many objects in one message.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::encode_varint;
use serde_json::{Map, Value};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::ProstCodec;
use uuid::Uuid;

use super::messages::{BatchObjectsReply, BatchObjectsRequest};
use super::{GRPC_MESSAGE_BYTES, Method, NamedVector, Vectors, encoding};
use crate::client::Client;
use crate::error::{ErrorCategory, WeaviateError};
use crate::objects::Consistency;
use crate::{refusals, words};

/// One object to write. Written over what has its id.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchObject {
    /// Its id: always ours, or a replay would make a second object.
    pub id: Uuid,
    /// Its class, or an alias of it.
    pub class: String,
    /// Its tenant, in a multi-tenant class.
    pub tenant: Option<String>,
    /// Its properties; how they travel is told in the module `grpc::properties`.
    pub properties: Map<String, Value>,
    /// Its vectors; without them the class's vectorizer makes them, if it has one.
    pub vectors: Vectors,
}

/// One object to write that lies elsewhere. As [`BatchObject`].
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectRef<'a> {
    /// Its id.
    pub id: Uuid,
    /// Its class, or an alias of it.
    pub class: &'a str,
    /// Its tenant, in a multi-tenant class.
    pub tenant: Option<&'a str>,
    /// Its properties.
    pub properties: &'a Map<String, Value>,
    /// The vector without a name.
    pub unnamed: Option<&'a [f32]>,
    /// Vectors by name.
    pub named: Vec<(&'a str, VectorRef<'a>)>,
}

/// One named vector that lies elsewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum VectorRef<'a> {
    /// One vector.
    Single(&'a [f32]),
    /// A list of vectors of equal length.
    Multi(&'a [Vec<f32>]),
}

/// What became of a batch: every object that is not named was written. One that is named may have been as well, where a
/// shard cannot be written: servers do not say which objects were for it (module `refusals`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct BatchOutcome {
    /// The objects that were refused, ascending.
    pub errors: Vec<ObjectError>,
}

impl BatchOutcome {
    /// Whether all were written.
    pub fn is_complete(&self) -> bool {
        self.errors.is_empty()
    }
}

/// One object that was refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ObjectError {
    /// Its place in the batch.
    pub index: usize,
    /// The server's words, bounded.
    pub message: String,
}

impl ObjectError {
    /// Can the same object be written later, without anybody changing anything?
    pub fn retryable(&self) -> bool {
        words::object_retryable(&self.message)
    }

    /// Which counter it belongs to.
    pub fn category(&self) -> ErrorCategory {
        words::object_category(&self.message)
    }

    /// Whether a frozen or full shard refused it.
    pub fn is_read_only(&self) -> bool {
        words::meaning(&self.message) == words::Meaning::ReadOnly
    }
}

/// Builds a batch object by object, knowing its size on the wire at every moment.
///
/// A protobuf message is the concatenation of its fields, so each object is appended once and never copied again.
#[derive(Debug, Default)]
pub struct BatchEncoder {
    body: BytesMut,
    count: usize,
}

/// A batch that is ready to be sent; cheap to clone, for sending again.
#[derive(Clone, Debug)]
pub struct EncodedBatch {
    body: Bytes,
    count: usize,
}

/// `BatchObjectsRequest.objects` (batch.proto): field 1, length-delimited.
const OBJECTS_FIELD: u8 = (1 << 3) | 2;

impl BatchEncoder {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one object; answers the size of the batch so far. Nothing is appended when it cannot be encoded.
    pub fn push(&mut self, object: &BatchObject) -> Result<usize, WeaviateError> {
        let named = object.vectors.named.iter().map(|(name, vector)| {
            let vector = match vector {
                NamedVector::Single(numbers) => VectorRef::Single(numbers),
                NamedVector::Multi(vectors) => VectorRef::Multi(vectors),
            };
            (name.as_str(), vector)
        });
        self.push_ref(&ObjectRef {
            id: object.id,
            class: &object.class,
            tenant: object.tenant.as_deref(),
            properties: &object.properties,
            unnamed: object.vectors.unnamed.as_deref(),
            named: named.collect(),
        })
    }

    /// The same for an object that lies elsewhere: text and vectors are copied once, onto the wire.
    pub fn push_ref(&mut self, object: &ObjectRef<'_>) -> Result<usize, WeaviateError> {
        let object = encoding::Object::new(object)?;
        let length = object.encoded_len();
        self.body.reserve(1 + prost::length_delimiter_len(length) + length);
        self.body.put_u8(OBJECTS_FIELD);
        encode_varint(length as u64, &mut self.body);
        object.encode(&mut self.body);
        self.count += 1;
        Ok(self.body.len())
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Objects so far.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The batch, for this consistency.
    pub fn finish(mut self, consistency: Consistency) -> EncodedBatch {
        let level = super::messages::ConsistencyLevel::from(consistency);
        let tail = BatchObjectsRequest { objects: vec![], consistency_level: Some(level.into()) };
        self.body.extend_from_slice(&tail.encode_to_vec());
        EncodedBatch { body: self.body.freeze(), count: self.count }
    }
}

impl EncodedBatch {
    /// Size of the message.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Objects in it.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Client {
    /// gRPC `BatchObjects`. A failure of the call says nothing about the objects: any of them may have been written, and
    /// sending all again is harmless.
    pub async fn batch_objects(
        &self,
        objects: &[BatchObject],
        consistency: Consistency,
    ) -> Result<BatchOutcome, WeaviateError> {
        let mut encoder = BatchEncoder::new();
        for object in objects {
            encoder.push(object)?;
        }
        self.send_batch(encoder.finish(consistency)).await
    }

    /// [`Client::batch_objects`] of what was encoded before.
    pub async fn send_batch(&self, batch: EncodedBatch) -> Result<BatchOutcome, WeaviateError> {
        if batch.is_empty() {
            return Ok(BatchOutcome::default());
        }
        if batch.bytes() > GRPC_MESSAGE_BYTES {
            return Err(WeaviateError::TooLarge {
                call: self.grpc_call(Method::BatchObjects),
                limit: GRPC_MESSAGE_BYTES,
            });
        }
        let count = batch.len();
        let reply = self.unary(Method::BatchObjects, BatchCodec, batch.body).await?;

        let mut errors = Vec::with_capacity(reply.errors.len());
        for error in reply.errors {
            let index = usize::try_from(error.index).ok().filter(|index| *index < count);
            let Some(index) = index else {
                let reason = format!("an error about object {} of {count}", error.index);
                return Err(WeaviateError::Malformed { call: self.grpc_call(Method::BatchObjects), reason });
            };
            errors.push(ObjectError { index, message: words::bounded(error.error) });
        }
        Ok(BatchOutcome { errors: refusals::of_all(errors, count) })
    }
}

/// Sends bytes that are a message already, and reads the reply.
struct BatchCodec;

/// Appends what was encoded before.
struct BytesEncoder;

impl Codec for BatchCodec {
    type Encode = Bytes;
    type Decode = BatchObjectsReply;
    type Encoder = BytesEncoder;
    type Decoder = <ProstCodec<BatchObjectsRequest, BatchObjectsReply> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        BytesEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<BatchObjectsRequest, BatchObjectsReply>::raw_decoder(BufferSettings::default())
    }
}

impl Encoder for BytesEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::messages::{VectorType, WireObject, WireVector};
    use super::super::vectors::MULTI_HEADER;
    use super::super::{properties, vectors};
    use super::*;

    fn unnamed_bytes(vector: &[f32]) -> Bytes {
        let mut bytes = BytesMut::with_capacity(std::mem::size_of_val(vector));
        for number in vector {
            bytes.put_f32_le(*number);
        }
        bytes.freeze()
    }

    fn named_message(name: &str, vector: &NamedVector) -> Option<WireVector> {
        let (vector_bytes, vector_type) = match vector {
            NamedVector::Single(vector) => (unnamed_bytes(vector), VectorType::Single),
            NamedVector::Multi(vectors) => (multi(vectors)?, VectorType::Multi),
        };
        Some(WireVector { name: name.to_owned(), vector_bytes, vector_type: vector_type.into() })
    }

    fn multi(vectors: &[Vec<f32>]) -> Option<Bytes> {
        let dimension = vectors.first()?.len();
        if vectors.iter().any(|vector| vector.len() != dimension) {
            return None;
        }
        let mut bytes = BytesMut::with_capacity(MULTI_HEADER + vectors.len() * dimension * size_of::<f32>());
        bytes.put_u16_le(u16::try_from(dimension).ok()?);
        vectors.iter().flatten().for_each(|number| bytes.put_f32_le(*number));
        Some(bytes.freeze())
    }

    /// The same object as the message that prost encodes.
    fn wire(object: &BatchObject) -> Result<WireObject, WeaviateError> {
        let refuse = || WeaviateError::Encode { property: String::new(), reason: "ragged" };
        let named = object.vectors.named.iter().map(|(name, vector)| named_message(name, vector).ok_or_else(refuse));
        Ok(WireObject {
            uuid: object.id.to_string(),
            properties: Some(properties::encode(&object.properties)?.into()),
            collection: object.class.clone(),
            tenant: object.tenant.clone().unwrap_or_default(),
            vector_bytes: object.vectors.unnamed.as_deref().map(unnamed_bytes).unwrap_or_default(),
            vectors: named.collect::<Result<_, _>>()?,
        })
    }

    fn object(number: u128) -> BatchObject {
        let named = [("many".to_owned(), NamedVector::Multi(vec![vec![1.0, 2.0], vec![3.0, 4.0]]))];
        BatchObject {
            id: Uuid::from_u128(number),
            class: "Articles".to_owned(),
            tenant: Some("a".to_owned()),
            properties: json!({ "text": "x" }).as_object().cloned().expect("an object"),
            vectors: Vectors { unnamed: Some(vec![0.5, -1.0]), named: named.into() },
        }
    }

    #[test]
    fn what_is_appended_is_the_message() {
        let mut encoder = BatchEncoder::new();
        let sizes = [1, 2, 3].map(|number| encoder.push(&object(number)).expect("it encodes"));
        assert!(sizes.is_sorted());
        let batch = encoder.finish(Consistency::Quorum);
        assert_eq!(batch.len(), 3);

        let message = BatchObjectsRequest::decode(batch.body.as_ref()).expect("it is a message");
        let objects = [1, 2, 3].map(|number| wire(&object(number)).expect("it encodes")).to_vec();
        assert_eq!(message, BatchObjectsRequest { objects, consistency_level: Some(2) });
    }

    #[test]
    fn whatever_it_holds_an_object_is_encoded_as_prost_does() {
        let every_kind = json!({
            "null": null, "text": "a", "empty": "", "": "no name", "number": 1.5, "whole": -3, "yes": true, "no": false,
            "none": [], "texts": ["a", "ü"], "flags": [true], "wholes": [1, -2], "reals": [1, 2.5],
            "nested": { "a": [1], "b": "c" }, "list": [{ "a": "x" }, {}], "long": "x".repeat(300),
        });
        let named =
            [("one".to_owned(), NamedVector::Single(vec![1.0; 100])), (String::new(), NamedVector::Single(vec![]))];
        for properties in [every_kind, json!({}), json!({ "only": null }), json!({ "only": [1] })] {
            for (tenant, unnamed, named) in [
                (None, None, vec![]),
                (Some(String::new()), Some(vec![]), vec![]),
                (Some("t".to_owned()), Some(vec![0.25; 1536]), named.to_vec()),
            ] {
                let object = BatchObject {
                    id: Uuid::from_u128(7),
                    class: "Articles".to_owned(),
                    tenant,
                    properties: properties.as_object().cloned().expect("an object"),
                    vectors: Vectors { unnamed, named: named.into_iter().collect() },
                };
                let mut encoder = BatchEncoder::new();
                encoder.push(&object).expect("it encodes");
                let wanted =
                    BatchObjectsRequest { objects: vec![wire(&object).expect("it encodes")], consistency_level: None };
                assert_eq!(encoder.body, wanted.encode_to_vec(), "{object:?}");
            }
        }
    }

    #[test]
    fn vectors_come_back_as_they_went() {
        let object = object(1);
        let wire = wire(&object).expect("it encodes");
        assert_eq!(vectors::decode(&wire.vector_bytes, &wire.vectors), Some(object.vectors));
    }

    #[test]
    fn an_object_that_cannot_be_encoded_leaves_the_batch_as_it_was() {
        let mut encoder = BatchEncoder::new();
        encoder.push(&object(1)).expect("it encodes");
        let before = encoder.bytes();
        let mut ragged = object(2);
        ragged.vectors.named.insert("ragged".to_owned(), NamedVector::Multi(vec![vec![1.0], vec![]]));
        encoder.push(&ragged).expect_err("ragged vectors");
        assert_eq!((encoder.bytes(), encoder.len()), (before, 1));
    }

    #[test]
    fn refusals_are_judged_by_their_words() {
        let error = |message: &str| ObjectError { index: 0, message: message.to_owned() };
        let frozen = error("cannot reach enough replicas: required 1 replicas, got 0: read only \"abc\"");
        assert!(frozen.is_read_only() && !frozen.retryable());
        assert!(error("broadcast: cannot reach enough replicas").retryable());
        assert_eq!(error("invalid integer property").category(), ErrorCategory::Validation);
        assert_eq!(error("not enough memory").category(), ErrorCategory::Memory);
    }
}
