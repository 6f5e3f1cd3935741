//! Writing many objects in one message.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use serde_json::{Map, Value};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::ProstCodec;
use uuid::Uuid;

use super::messages::{BatchObjectsReply, BatchObjectsRequest, WireObject};
use super::{GRPC_MESSAGE_BYTES, Method, Vectors, properties, vectors};
use crate::client::Client;
use crate::error::{ErrorCategory, WeaviateError};
use crate::objects::Consistency;
use crate::words;

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

/// What became of a batch: every object that is not named was written.
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
        let wire = wire(object)?;
        let length = wire.encoded_len();
        self.body.reserve(1 + prost::length_delimiter_len(length) + length);
        self.body.put_u8(OBJECTS_FIELD);
        wire.encode_length_delimited(&mut self.body)
            .map_err(|_| WeaviateError::Encode { property: String::new(), reason: "buffer too small" })?;
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
        errors.sort_by_key(|error| error.index);
        Ok(BatchOutcome { errors })
    }
}

fn wire(object: &BatchObject) -> Result<WireObject, WeaviateError> {
    let mut named = Vec::with_capacity(object.vectors.named.len());
    for (name, vector) in &object.vectors.named {
        let refuse = || WeaviateError::Encode { property: name.clone(), reason: "vectors of a list differ in length" };
        named.push(vectors::named(name, vector).ok_or_else(refuse)?);
    }
    Ok(WireObject {
        uuid: object.id.to_string(),
        properties: Some(properties::encode(&object.properties)?.into()),
        collection: object.class.clone(),
        tenant: object.tenant.clone().unwrap_or_default(),
        vector_bytes: object.vectors.unnamed.as_deref().map(vectors::unnamed).unwrap_or_default(),
        vectors: named,
    })
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

    use super::*;
    use crate::grpc::NamedVector;

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
