//! Which resources claim one and the same collection, also through different objects of kind WeaviateCluster.
//!
//! Weaviate has no identity of a cluster: neither `/v1/meta` nor `/v1/cluster/statistics` carries one (seen on 1.31.0,
//! 1.35.2 and 1.38.2). Two things stand in for it. The RAFT configuration names each member with its address, the same at
//! every node; but two machines that were set up alike may say the same in networks of their own. The names of a
//! collection's shards are drawn at random when it is created and differ between two collections of one name; but a
//! backup that is restored elsewhere keeps them, and a tenant's shard is called like the tenant. Both together are taken
//! for the same collection.

use std::collections::BTreeSet;

use elysia_api::cluster::WeaviateClusterStatus;
use elysia_api::collection::ShardReplicas;
use elysia_api::{ElysiaCollection, names};
use jiff::Timestamp;
use kube::core::ResourceExt as _;

use crate::cluster::spec::{ClusterSpec, Kind, one_spelling};
use crate::fingerprint;

/// Where a cluster is reached, and what its servers say of themselves.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reach {
    addresses: BTreeSet<String>,
    members: BTreeSet<String>,
}

impl Reach {
    /// What a WeaviateCluster's spec and status say.
    pub fn of(spec: &ClusterSpec, status: Option<&WeaviateClusterStatus>) -> Self {
        let mut addresses = BTreeSet::from([one_spelling(&spec.rest())]);
        match &spec.kind {
            Kind::External(external) => addresses.extend(external.nodes.iter().map(|node| one_spelling(&node.url))),
            Kind::Managed(_) => {
                // The names by which the cluster's own DNS knows its Service.
                for domain in [String::new(), ".svc".to_owned(), ".svc.cluster.local".to_owned()] {
                    let host = format!("{}.{}{domain}", spec.name, spec.namespace);
                    addresses.insert(one_spelling(&format!("http://{host}:{}", names::REST_PORT)));
                }
            }
        }
        let members = status.map(|status| status.raft_members.iter().cloned().collect()).unwrap_or_default();
        Self { addresses, members }
    }
}

/// One resource that claims a collection.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Claim {
    /// When it was created; then its namespace and name decide who is older.
    pub created: Option<Timestamp>,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The WeaviateCluster that it names.
    pub cluster: String,
    /// The collection.
    pub collection: String,
    /// The class that is live, where an alias says which one it is.
    pub live: Option<String>,
    /// [`identity`] of the collection as this resource saw it last; `None` when it has not.
    pub identity: Option<String>,
    /// Where its cluster is; `None` when there is none, or its spec is invalid.
    pub reach: Option<Reach>,
}

impl Claim {
    /// The claim of a resource whose cluster is there.
    pub fn of(object: &ElysiaCollection, reach: Option<Reach>) -> Self {
        let replication = object.status.as_ref().and_then(|status| status.replication.as_ref());
        Self {
            created: object.metadata.creation_timestamp.as_ref().map(|time| time.0),
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            deleting: object.metadata.deletion_timestamp.is_some(),
            cluster: object.spec.cluster_ref.name.clone(),
            collection: object.spec.collection.clone(),
            live: object.status.as_ref().and_then(|status| status.live.clone()),
            identity: replication.and_then(|replication| replication.identity.clone()),
            reach,
        }
    }

    /// Whether it claims a class of this name.
    pub fn names(&self, class: &str) -> bool {
        self.collection == class || self.live.as_deref() == Some(class)
    }

    fn age(&self) -> (Option<Timestamp>, &str, &str) {
        (self.created, &self.namespace, &self.name)
    }

    fn shown(&self) -> String {
        format!("ElysiaCollection {}/{}", self.namespace, self.name)
    }
}

/// Identifies a collection among all of its name: a digest of the names of its shards. `None` when it has none.
pub fn identity(placement: &[ShardReplicas]) -> Option<String> {
    let mut shards: Vec<&str> = placement.iter().map(|shard| shard.shard.as_str()).collect();
    shards.sort_unstable();
    (!shards.is_empty()).then(|| fingerprint::of(&shards))
}

/// Whether two claims are about the same collection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Same {
    Yes,
    /// The servers seem to be the same, and one of the two has not seen the collection yet.
    Perhaps,
    No,
}

fn same(one: &Claim, other: &Claim) -> Same {
    let shares = other.names(&one.collection) || one.live.as_ref().is_some_and(|live| other.names(live));
    if !shares || one.uid == other.uid || other.deleting {
        return Same::No;
    }
    if one.namespace == other.namespace && one.cluster == other.cluster {
        return Same::Yes;
    }
    let (Some(here), Some(there)) = (&one.reach, &other.reach) else {
        return Same::No;
    };
    if !here.addresses.is_disjoint(&there.addresses) {
        return Same::Yes;
    }
    // One member in common is enough: while nodes are restarted their addresses change one after another.
    if here.members.is_disjoint(&there.members) {
        return Same::No;
    }
    match (&one.identity, &other.identity) {
        (Some(here), Some(there)) if here == there => Same::Yes,
        (Some(_), Some(_)) => Same::No,
        _ => Same::Perhaps,
    }
}

/// The oldest of the others that is older and claims the same collection: it keeps it.
pub fn older(own: &Claim, others: &[Claim]) -> Option<String> {
    let found = others.iter().filter(|other| same(own, other) == Same::Yes && other.age() < own.age());
    found.min_by(|one, other| one.age().cmp(&other.age())).map(Claim::shown)
}

/// Any other that claims the collection, or may: what is deleted with a resource must be nobody else's.
pub fn rival(own: &Claim, others: &[Claim]) -> Option<String> {
    let found = others.iter().filter(|other| same(own, other) != Same::No);
    found.min_by(|one, other| one.age().cmp(&other.age())).map(Claim::shown)
}

#[cfg(test)]
mod tests {
    use elysia_api::WeaviateCluster;
    use serde_json::{Value, json};

    use super::*;

    fn reach(namespace: &str, name: &str, spec: &Value, members: &[&str]) -> Reach {
        let cluster: WeaviateCluster = serde_json::from_value(json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        }))
        .unwrap();
        let raft_members = members.iter().map(ToString::to_string).collect();
        let status = WeaviateClusterStatus { raft_members, ..WeaviateClusterStatus::default() };
        Reach::of(&ClusterSpec::validate(&cluster).unwrap(), Some(&status))
    }

    fn managed(members: &[&str]) -> Reach {
        reach(
            "ai",
            "search",
            &json!({"managed": {"version": "1.38.2", "replicas": 3, "storage": {"size": "1Gi"}}}),
            members,
        )
    }

    fn external(url: &str, members: &[&str]) -> Reach {
        reach(
            "lab",
            "w",
            &json!({"external": {"url": url, "nodes": [{"name": "w-0", "url": "http://10.0.0.1:8080"}]}}),
            members,
        )
    }

    fn claim(uid: &str, created: i64, cluster: &str, identity: Option<&str>, reach: Option<Reach>) -> Claim {
        Claim {
            created: Timestamp::from_second(created).ok(),
            namespace: if cluster == "search" { "ai" } else { "lab" }.to_owned(),
            name: uid.to_owned(),
            uid: uid.to_owned(),
            deleting: false,
            cluster: cluster.to_owned(),
            collection: "Articles".to_owned(),
            live: None,
            identity: identity.map(str::to_owned),
            reach,
        }
    }

    #[test]
    fn one_collection_through_two_clusters() {
        let here = ["search-0@10.0.0.1:8300", "search-1@10.0.0.2:8300"];
        let rolled = ["search-0@10.0.0.1:8300", "search-1@10.0.0.9:8300"];
        let elsewhere = ["search-0@10.9.0.1:8300", "search-1@10.9.0.2:8300"];
        for (what, own, other, expected) in [
            (
                "the Service by its other name",
                (Some(managed(&[])), None),
                (Some(external("http://SEARCH.ai:8080", &[])), None),
                Same::Yes,
            ),
            (
                "the Service by its full name",
                (Some(managed(&[])), None),
                (Some(external("http://search.ai.svc.cluster.local:8080", &[])), None),
                Same::Yes,
            ),
            (
                "a node in common",
                (Some(external("http://a:1", &[])), None),
                (Some(external("http://b:1", &[])), None),
                Same::Yes,
            ),
            (
                "nothing known but names",
                (Some(managed(&[])), None),
                (Some(external("http://b:1", &[])), None),
                Same::No,
            ),
            (
                "members and shards",
                (Some(managed(&here)), Some("x")),
                (Some(external("http://b:1", &here)), Some("x")),
                Same::Yes,
            ),
            (
                "in the middle of a roll",
                (Some(managed(&here)), Some("x")),
                (Some(external("http://b:1", &rolled)), Some("x")),
                Same::Yes,
            ),
            (
                "set up alike in two networks",
                (Some(managed(&here)), Some("x")),
                (Some(external("http://b:1", &here)), Some("y")),
                Same::No,
            ),
            (
                "a backup restored elsewhere",
                (Some(managed(&here)), Some("x")),
                (Some(external("http://b:1", &elsewhere)), Some("x")),
                Same::No,
            ),
            (
                "not seen yet",
                (Some(managed(&here)), Some("x")),
                (Some(external("http://b:1", &here)), None),
                Same::Perhaps,
            ),
            ("no cluster", (Some(managed(&here)), Some("x")), (None, Some("x")), Same::No),
        ] {
            let own = claim("own", 2, "search", own.1, own.0);
            let other = claim("other", 1, "w", other.1, other.0);
            assert_eq!(same(&own, &other), expected, "{what}");
            let others = [own.clone(), other];
            let named = Some("ElysiaCollection lab/other".to_owned());
            assert_eq!(older(&own, &others), named.clone().filter(|_| expected == Same::Yes), "{what}");
            assert_eq!(rival(&own, &others), named.filter(|_| expected != Same::No), "{what}");
            assert_eq!(older(&others[1], &others), None, "{what}: the older keeps it");
        }
    }

    #[test]
    fn of_two_that_are_of_one_second_the_name_decides_and_the_deleted_claim_nothing() {
        let (one, two) = (claim("a", 1, "search", None, None), claim("b", 1, "search", None, None));
        let others = [one.clone(), two.clone()];
        assert_eq!(older(&two, &others).as_deref(), Some("ElysiaCollection ai/a"));
        assert_eq!((older(&one, &others), rival(&one, &others).as_deref()), (None, Some("ElysiaCollection ai/b")));
        let gone = [Claim { deleting: true, ..one }];
        assert_eq!((older(&two, &gone), rival(&two, &gone)), (None, None));
        let another = [Claim { collection: "Other".to_owned(), ..gone[0].clone() }];
        assert_eq!(rival(&two, &another), None);
    }

    #[test]
    fn a_collection_is_known_by_its_shards() {
        let shard = |name: &str| ShardReplicas { shard: name.to_owned(), replicas: vec!["moves".to_owned()] };
        assert_eq!(identity(&[]), None);
        assert_eq!(
            identity(&[shard("a"), shard("b")]),
            identity(&[shard("b"), ShardReplicas { replicas: vec![], ..shard("a") }])
        );
        assert_ne!(identity(&[shard("a")]), identity(&[shard("b")]));
    }
}
