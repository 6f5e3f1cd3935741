//! The spec, checked again in the loop and with every default in place.

use elysia_api::WeaviateCluster;
use elysia_api::cluster::{Elysia, External, Managed};
use elysia_api::names;
use jiff::SignedDuration;
use kube::core::ResourceExt as _;

/// Time between two looks when the spec names none.
pub const DEFAULT_INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// Environment variables of the server that the operator sets itself, and that a spec therefore may not set.
pub const RESERVED_ENVIRONMENT: [&str; 22] = [
    "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED",
    "AUTHENTICATION_APIKEY_ALLOWED_KEYS",
    "AUTHENTICATION_APIKEY_ENABLED",
    "AUTHENTICATION_APIKEY_USERS",
    "AUTOSCHEMA_ENABLED",
    "CLUSTER_DATA_BIND_PORT",
    "CLUSTER_GOSSIP_BIND_PORT",
    "CLUSTER_HOSTNAME",
    "CLUSTER_JOIN",
    "GO_PROFILING_DISABLE",
    "GRPC_PORT",
    "PERSISTENCE_DATA_PATH",
    "PROMETHEUS_MONITORING_ENABLED",
    "RAFT_BOOTSTRAP_EXPECT",
    "RAFT_INTERNAL_RPC_PORT",
    "RAFT_JOIN",
    "RAFT_PORT",
    "REPLICATION_MINIMUM_FACTOR",
    "REPLICA_MOVEMENT_ENABLED",
    "RUNTIME_OVERRIDES_ENABLED",
    "RUNTIME_OVERRIDES_LOAD_INTERVAL",
    "RUNTIME_OVERRIDES_PATH",
];

/// Collections that are never recreated, whatever a spec says.
pub const PROTECTED_ALWAYS: [&str; 3] = ["ELYSIA_*", "ELYSIACTL_*", "*_SYSTEM"];

/// What is wrong with a spec.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// A rule of the definition does not hold. The API server says the same at admission; a definition may be older.
    #[error("{0}")]
    Rule(String),
    /// Neither or both of the kinds of cluster.
    #[error("exactly one of spec.managed and spec.external must be set")]
    NeitherOrBoth,
    /// A variable that the operator sets itself.
    #[error("spec.managed.env: {0} is set by the operator; remove it")]
    ReservedEnvironment(String),
    /// An interval that cannot be read.
    #[error("spec.verify.interval: {0} is not a time such as 60s or 5m")]
    Interval(String),
}

/// Which of the two kinds of cluster it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Run by the operator.
    Managed(Box<Managed>),
    /// Run by somebody else.
    External(External),
}

/// Address of one node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeAddress {
    /// Name of the node as Weaviate says it.
    pub name: String,
    /// REST address of this one node.
    pub url: String,
}

/// A checked spec.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterSpec {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Which of the two kinds of cluster it is.
    pub kind: Kind,
    /// Time between two looks.
    pub interval: SignedDuration,
    /// Protected names, those of the spec and those that always are.
    pub protected: Vec<String>,
    /// The Elysia AI service beside the cluster.
    pub elysia: Option<Elysia>,
}

impl ClusterSpec {
    /// Checks the spec of an object.
    pub fn validate(cluster: &WeaviateCluster) -> Result<Self, SpecError> {
        cluster.validate_cel().map_err(|errors| SpecError::Rule(errors.to_string()))?;
        let spec = &cluster.spec;
        let kind = match (&spec.managed, &spec.external) {
            (Some(managed), None) => Kind::Managed(Box::new(managed.clone())),
            (None, Some(external)) => Kind::External(external.clone()),
            _ => return Err(SpecError::NeitherOrBoth),
        };
        if let Kind::Managed(managed) = &kind
            && let Some(variable) =
                managed.env.iter().find(|variable| RESERVED_ENVIRONMENT.contains(&variable.name.as_str()))
        {
            return Err(SpecError::ReservedEnvironment(variable.name.clone()));
        }
        let interval = match &spec.verify {
            Some(verify) => parse_interval(&verify.interval)?,
            None => DEFAULT_INTERVAL,
        };
        let always = PROTECTED_ALWAYS.iter().map(ToString::to_string);
        Ok(Self {
            namespace: cluster.namespace().unwrap_or_default(),
            name: cluster.name_any(),
            kind,
            interval,
            protected: always.chain(spec.protected_collections.iter().cloned()).collect(),
            elysia: spec.elysia.clone(),
        })
    }

    /// REST address of the whole cluster.
    pub fn rest(&self) -> String {
        match &self.kind {
            Kind::Managed(_) => format!("http://{}.{}.svc:{}", self.name, self.namespace, names::REST_PORT),
            Kind::External(external) => external.url.clone(),
        }
    }

    /// gRPC address of the whole cluster.
    pub fn grpc(&self) -> Option<String> {
        match &self.kind {
            Kind::Managed(_) => Some(format!("http://{}.{}.svc:{}", self.name, self.namespace, names::GRPC_PORT)),
            Kind::External(external) => external.grpc.clone(),
        }
    }

    /// Names of the nodes that should exist.
    pub fn node_names(&self) -> Vec<String> {
        match &self.kind {
            Kind::Managed(managed) => (0..managed.replicas).map(|ordinal| names::node(&self.name, ordinal)).collect(),
            Kind::External(external) => external.nodes.iter().map(|node| node.name.clone()).collect(),
        }
    }

    /// Whether this collection is never recreated; the pattern that says so.
    pub fn protection(&self, collection: &str) -> Option<&str> {
        self.protected.iter().map(String::as_str).find(|pattern| matches_pattern(pattern, collection))
    }
}

/// Whether `*` in the pattern, standing for any run of characters, can make it the text.
pub fn matches_pattern(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(head) else {
        return false;
    };
    if rest.is_empty() {
        return true;
    }
    (0..=text.len()).filter(|&at| text.is_char_boundary(at)).any(|at| matches_pattern(rest, &text[at..]))
}

fn parse_interval(text: &str) -> Result<SignedDuration, SpecError> {
    let unreadable = || SpecError::Interval(text.to_owned());
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(unreadable)?;
    let number: i64 = number.parse().map_err(|_| unreadable())?;
    let seconds = match unit {
        "s" => number,
        "m" => number.saturating_mul(60),
        _ => return Err(unreadable()),
    };
    if (5..=86_400).contains(&seconds) { Ok(SignedDuration::from_secs(seconds)) } else { Err(unreadable()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("Billing*", "BillingItems", true),
            ("Billing*", "Bill", false),
            ("*_SYSTEM", "A_SYSTEM", true),
            ("*_SYSTEM", "A_SYSTEM2", false),
            ("A*B*C", "AxBxxC", true),
            ("A", "A", true),
            ("A", "AB", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn intervals() {
        assert_eq!(parse_interval("60s").unwrap(), SignedDuration::from_secs(60));
        assert_eq!(parse_interval("5m").unwrap(), SignedDuration::from_secs(300));
        assert!(parse_interval("1s").is_err());
        assert!(parse_interval("").is_err());
        assert!(parse_interval("é").is_err());
    }
}
