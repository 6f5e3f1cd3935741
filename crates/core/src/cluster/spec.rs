//! The spec, checked again in the loop and with every default in place.

use std::collections::BTreeSet;

use elysia_api::WeaviateCluster;
use elysia_api::cluster::{Elysia, External, Managed};
use elysia_api::{Rules as _, names};
use jiff::SignedDuration;
use kube::core::ResourceExt as _;

use crate::schedule::{ScheduleError, Timetable};

/// Time between two looks when the spec names none.
pub const DEFAULT_INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// Objects that are compared when nobody says how many: `verify.data.sampleSize` has the same default.
pub const DEFAULT_SAMPLE: usize = 100;

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

/// Those that it sets as well where `spec.managed.backup.s3` is there. `ENABLE_MODULES` is none of them: what a spec says
/// is kept, and the module is added.
pub const BACKUP_ENVIRONMENT: [&str; 8] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "BACKUP_S3_BUCKET",
    "BACKUP_S3_ENDPOINT",
    "BACKUP_S3_PATH",
    "BACKUP_S3_USE_SSL",
];

/// The variable that names the modules of a server.
pub const MODULES_VARIABLE: &str = "ENABLE_MODULES";

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
    /// A variable that the operator sets because of another field.
    #[error("spec.managed.env: {0} is set by the operator because of spec.managed.backup; remove one of the two")]
    BackupEnvironment(String),
    /// Modules that come from elsewhere: the operator cannot add one to what it does not know.
    #[error(
        "spec.managed.env: ENABLE_MODULES comes from elsewhere (valueFrom), so spec.managed.backup cannot add backup-s3 to it; give it a value"
    )]
    UnknownModules,
    /// An address that is none, or that carries a password. The message does not repeat it: it goes into the status.
    #[error(
        "{0}: must be http:// or https:// with a host and a port and nothing else: no path, no blank, no user or password (those would be shown in the status and in Jobs; use spec.external.auth)"
    )]
    Address(String),
    /// Two nodes under one name or address: what each says would not be its own word.
    #[error("{0}: another of spec.external.nodes has the same one; each node needs its own name and its own address")]
    SameNode(String),
    /// An interval that cannot be read.
    #[error("spec.verify.interval: {0} is not a time such as 60s or 5m")]
    Interval(String),
    /// A schedule that never comes or cannot be read.
    #[error("spec.verify.data.schedule.{0}")]
    Schedule(#[from] ScheduleError),
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

/// When and how many objects are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifyData {
    /// When.
    pub timetable: Timetable,
    /// Objects of each collection.
    pub sample_size: usize,
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
    /// When objects are compared; `None`: only when somebody asks.
    pub verify_data: Option<VerifyData>,
    /// Protected names, those of the spec and those that always are.
    pub protected: Vec<String>,
    /// The Elysia AI service beside the cluster.
    pub elysia: Option<Elysia>,
}

impl ClusterSpec {
    /// Checks the spec of an object.
    pub fn validate(cluster: &WeaviateCluster) -> Result<Self, SpecError> {
        cluster.check_rules().map_err(|errors| SpecError::Rule(errors.to_string()))?;
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
        if let Kind::Managed(managed) = &kind {
            check_backup_environment(managed)?;
        }
        if let Kind::External(external) = &kind {
            check_addresses(external)?;
            check_nodes(external)?;
        }
        let interval = match &spec.verify {
            Some(verify) => parse_interval(&verify.interval)?,
            None => DEFAULT_INTERVAL,
        };
        let verify_data = spec.verify.as_ref().and_then(|verify| verify.data.as_ref()).map(checked_data).transpose()?;
        let always = PROTECTED_ALWAYS.iter().map(ToString::to_string);
        Ok(Self {
            namespace: cluster.namespace().unwrap_or_default(),
            name: cluster.name_any(),
            kind,
            interval,
            verify_data,
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

    /// Name, REST and gRPC address of each node, where both are known: those of managed nodes are. Of an external node
    /// only the REST address is declared.
    pub fn node_endpoints(&self) -> Vec<(String, String, String)> {
        match &self.kind {
            Kind::Managed(_) => {
                let service = names::nodes_service(&self.name);
                let host = |node: &str| format!("http://{node}.{service}.{}.svc", self.namespace);
                let endpoints = |node: String| {
                    let host = host(&node);
                    (node, format!("{host}:{}", names::REST_PORT), format!("{host}:{}", names::GRPC_PORT))
                };
                self.node_names().into_iter().map(endpoints).collect()
            }
            Kind::External(_) => Vec::new(),
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

/// What the operator sets for the servers' own backups nobody else sets.
fn check_backup_environment(managed: &Managed) -> Result<(), SpecError> {
    if managed.backup.as_ref().is_none_or(|backup| backup.s3.is_none()) {
        return Ok(());
    }
    for variable in &managed.env {
        if BACKUP_ENVIRONMENT.contains(&variable.name.as_str()) {
            return Err(SpecError::BackupEnvironment(variable.name.clone()));
        }
        if variable.name == MODULES_VARIABLE && variable.value.is_none() {
            return Err(SpecError::UnknownModules);
        }
    }
    Ok(())
}

/// The definition's pattern once more: the check of its rules in the loop knows no patterns.
fn check_addresses(external: &External) -> Result<(), SpecError> {
    let nodes = external.nodes.iter().enumerate();
    let nodes = nodes.map(|(index, node)| (format!("spec.external.nodes[{index}].url"), node.url.as_str()));
    let grpc = external.grpc.as_deref().map(|grpc| ("spec.external.grpc".to_owned(), grpc));
    let all = std::iter::once(("spec.external.url".to_owned(), external.url.as_str())).chain(grpc).chain(nodes);
    for (field, address) in all {
        if !is_address(address) {
            return Err(SpecError::Address(field));
        }
    }
    Ok(())
}

fn is_address(text: &str) -> bool {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    // A backslash as well: in an address it is read as a slash.
    let is_foreign = |letter: char| letter.is_whitespace() || letter.is_control() || "/\\?#@".contains(letter);
    host.is_some_and(|host| !host.is_empty() && !host.contains(is_foreign))
}

/// Stricter than the definition's rule, which compares letter by letter.
fn check_nodes(external: &External) -> Result<(), SpecError> {
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for (index, node) in external.nodes.iter().enumerate() {
        if !names.insert(node.name.as_str()) {
            return Err(SpecError::SameNode(format!("spec.external.nodes[{index}].name")));
        }
        if !addresses.insert(one_spelling(&node.url)) {
            return Err(SpecError::SameNode(format!("spec.external.nodes[{index}].url")));
        }
    }
    Ok(())
}

/// Hosts have no case, and the usual port may be left out.
pub(crate) fn one_spelling(address: &str) -> String {
    let address = address.to_lowercase();
    let usual = if address.starts_with("http://") { ":80" } else { ":443" };
    address.strip_suffix(usual).unwrap_or(&address).to_owned()
}

fn checked_data(data: &elysia_api::cluster::VerifyData) -> Result<VerifyData, SpecError> {
    let timetable = Timetable::parse(&data.schedule)?;
    Ok(VerifyData { timetable, sample_size: usize::try_from(data.sample_size).unwrap_or(DEFAULT_SAMPLE) })
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
    use serde_json::{Value, json};

    use super::*;

    fn external(external: &Value) -> Result<ClusterSpec, String> {
        let cluster: WeaviateCluster = serde_json::from_value(json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
            "metadata": {"name": "w", "namespace": "n"}, "spec": {"external": external},
        }))
        .unwrap();
        ClusterSpec::validate(&cluster).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_with_a_password_is_refused_without_repeating_it() {
        for address in ["http://w:8080", "https://w.example", "http://[::1]:8080"] {
            external(&json!({"url": address, "grpc": address})).unwrap();
        }
        let addresses = [
            "http://me:hunter2@w:8080",
            "http://me:hunter2@",
            "http://",
            "w:8080",
            "ftp://w",
            "http://w/hunter2",
            "http://w?hunter2",
            "http://w#hunter2",
            "http://w hunter2",
            "http://w\\hunter2",
            "http://w\n",
        ];
        for address in addresses {
            for (field, spec) in [
                ("spec.external.url", json!({"url": address})),
                ("spec.external.grpc", json!({"url": "http://w", "grpc": address})),
                ("spec.external.nodes[0].url", json!({"url": "http://w", "nodes": [{"name": "a", "url": address}]})),
            ] {
                let error = external(&spec).unwrap_err();
                assert!(error.contains(field) && !error.contains("hunter2"), "{address}: {error}");
            }
        }
    }

    #[test]
    fn each_external_node_has_its_own_name_and_address() {
        let nodes = |nodes: [(&str, &str); 2]| {
            let nodes = nodes.map(|(name, url)| json!({"name": name, "url": url}));
            external(&json!({"url": "http://w", "nodes": nodes}))
        };
        nodes([("a", "http://a"), ("b", "http://b")]).unwrap();
        nodes([("a", "http://a:8080"), ("b", "http://a:8081")]).unwrap();
        for (pair, expected) in [
            ([("a", "http://a"), ("a", "http://b")], "name"),
            ([("a", "http://a"), ("b", "http://a")], "url"),
            ([("a", "http://a"), ("b", "http://A:80")], "url"),
            ([("a", "https://a:443"), ("b", "https://a")], "url"),
        ] {
            let error = nodes(pair).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

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
