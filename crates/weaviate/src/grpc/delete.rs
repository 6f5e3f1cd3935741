//! Deleting objects by id.

use tonic_prost::ProstCodec;
use uuid::Uuid;

use super::messages::{
    BatchDeleteReply, BatchDeleteRequest, ConsistencyLevel, FilterTarget, Filters, OPERATOR_CONTAINS_ANY, Texts,
};
use super::{Method, checked};
use crate::client::Client;
use crate::error::WeaviateError;
use crate::objects::Consistency;

/// What became of a deletion.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct BatchDeleteOutcome {
    /// Ids that existed.
    pub matches: u64,
    /// Of those, deleted.
    pub successful: u64,
    /// Of those, not deleted. The server's own number is too small where a shard of factor 1 is read-only or does not open: it
    /// counts one for all of its ids (`adapters/repos/db/shard_write_batch_delete.go`, `DeleteObjectBatch`, and `index.go`,
    /// `batchDeleteObjects`; 1.38.2), and none after a panic. So it is what was found and not deleted.
    pub failed: u64,
}

impl Client {
    /// gRPC `BatchDelete` of these ids; ids that do not exist are no error. The server deletes at most
    /// `QUERY_MAXIMUM_RESULTS` (10,000) per call: send fewer.
    pub async fn batch_delete_ids(
        &self,
        class: &str,
        tenant: Option<&str>,
        ids: &[Uuid],
        consistency: Consistency,
    ) -> Result<BatchDeleteOutcome, WeaviateError> {
        if ids.is_empty() {
            return Ok(BatchDeleteOutcome::default());
        }
        let request = BatchDeleteRequest {
            collection: class.to_owned(),
            filters: Some(with_ids(ids)),
            consistency_level: Some(ConsistencyLevel::from(consistency).into()),
            tenant: tenant.map(str::to_owned),
        };
        let call = self.grpc_call(Method::BatchDelete);
        let request = checked(call.clone(), request)?;
        let codec = ProstCodec::<BatchDeleteRequest, BatchDeleteReply>::new();
        let reply = self.unary(Method::BatchDelete, codec, request).await?;

        let [matches, successful, failed] = [reply.matches, reply.successful, reply.failed].map(u64::try_from);
        match (matches, successful, failed) {
            (Ok(matches), Ok(successful), Ok(failed)) => {
                let failed = failed.max(matches.saturating_sub(successful));
                Ok(BatchDeleteOutcome { matches, successful, failed })
            }
            _ => Err(WeaviateError::Malformed { call, reason: "a negative count".to_owned() }),
        }
    }
}

/// Objects with one of these ids: the internal property `_id` (`entities/filters`, `InternalPropID`).
pub(super) fn with_ids(ids: &[Uuid]) -> Filters {
    Filters {
        operator: OPERATOR_CONTAINS_ANY,
        value_text_array: Some(Texts { values: ids.iter().map(Uuid::to_string).collect() }),
        target: Some(FilterTarget { property: Some("_id".to_owned()) }),
    }
}
