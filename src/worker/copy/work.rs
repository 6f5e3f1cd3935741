//! What the worker of a copy is told. No secrets: whoever may read the Job reads this; keys come in variables of their own.

use elysia_engine::backup::transform::Step;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::worker::work::{Endpoints, PatienceWork};

/// One order of a copy.
///
/// One that is not final copies everything, and then catches up with what was written meanwhile until little is left to do.
/// A final one, for when nobody writes any more, catches up once more and compares every object of both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyWork {
    /// Namespace of the object and of its ledger.
    #[serde(default)]
    pub namespace: String,
    /// Name of the object that asks for the copy.
    #[serde(default)]
    pub name: String,
    /// Its uid.
    #[serde(default)]
    pub uid: String,
    /// `ConfigMap` that holds the ledger. It exists already: the worker may get, update and patch this one alone.
    pub ledger: String,
    /// Names the copy: the same in all of its orders, and in those of an object that is made again. Under another one
    /// nothing of the ledger counts.
    pub copy: String,
    /// Names the work, in the ledger.
    pub order: String,
    /// The collection that is read. Nothing is ever written to it or removed from it, but its tenants at rest are woken while
    /// they are read.
    pub from: String,
    /// The collection that it is copied into: another one, in the same cluster.
    pub into: String,
    /// Where the cluster that is read is.
    pub endpoints: Endpoints,
    /// Where the cluster that is written is; the same one when absent.
    #[serde(default)]
    pub target: Option<Endpoints>,
    /// The class to be made, Weaviate's own JSON, under the name of `into`; the source's, as the transformation leaves it,
    /// when absent.
    #[serde(default)]
    pub class: Option<Value>,
    /// Replicas of a class that has to be made; those of the class above when absent.
    #[serde(default)]
    pub factor: Option<u64>,
    /// Shards of a class that has to be made; likewise.
    #[serde(default)]
    pub shards: Option<u64>,
    /// Whether the target is there and was made, empty, for this very copy, as the journal of whoever asks for the copy says:
    /// whatever is in it is the copy's own, and what the source does not have is removed from it. Otherwise the worker makes
    /// it, and one that was there before is never touched. One with objects of which no state says that this copy wrote
    /// them ends the copy.
    #[serde(default)]
    pub is_made: bool,
    /// Whether such a target may hold objects before the copy has a state: it is the one that was live before, which a person
    /// approved to be written over.
    #[serde(default)]
    pub may_hold: bool,
    /// What becomes of objects on their way, in this order. Salts are not here: each comes in a variable of its own.
    #[serde(default)]
    pub transform: Vec<Step>,
    /// Whether nobody writes to the source any more: one last pass, and then every object of both sides is compared.
    #[serde(default)]
    pub is_final: bool,
    /// How many objects a pass may have had to write or remove for no other one to follow; the engine's own number when
    /// absent.
    #[serde(default)]
    pub few: Option<u64>,
    /// How many passes an order has at most that is not final; the engine's own number when absent.
    #[serde(default)]
    pub most_passes: Option<u32>,
    /// With what failures are met.
    #[serde(default)]
    pub patience: PatienceWork,
    /// How long all of it may take, in seconds: a worker whose node nobody reaches any more ends itself.
    pub deadline_seconds: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_operators_json_is_understood() {
        let work: CopyWork = serde_json::from_value(json!({
            "ledger": "articles-copied", "copy": "c", "order": "o", "from": "Articles", "into": "Articles_2",
            "endpoints": {"rest": "http://search:8080", "grpc": "http://search:50051"},
            "transform": [{"rename": {"from": "a", "to": "b"}}], "deadlineSeconds": 60,
        }))
        .unwrap();
        assert_eq!(
            (work.is_final, work.is_made, work.may_hold, &work.target, &work.class),
            (false, false, false, &None, &None)
        );
        assert_eq!(work.transform, [Step::Rename { from: "a".to_owned(), to: "b".to_owned() }]);
    }
}
