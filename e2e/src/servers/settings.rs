//! What a server is told: as our managed pods are, but for addresses.

use std::collections::BTreeMap;

use super::ports::{MOST_NODES, Ports};

/// File of the settings that the servers read while running, in the lab's folder.
pub(crate) const OVERRIDES: &str = "overrides.yaml";

/// What all nodes of a lab have in common.
pub(crate) struct Settings<'a> {
    pub(crate) voters: usize,
    pub(crate) replica_movement: bool,
    /// The overrides file.
    pub(crate) overrides: String,
    /// Added last.
    pub(crate) environment: &'a BTreeMap<String, String>,
}

/// Name of the node with this number.
pub(crate) fn name(node: usize) -> String {
    format!("w-{node}")
}

/// Number of RAFT voters: as the operator chooses for a managed cluster.
pub(crate) fn voters(nodes: usize) -> usize {
    match nodes {
        ..3 => 1,
        3..10 => 3,
        10.. => 5,
    }
}

impl Settings<'_> {
    /// The environment of one node; nothing of our own gets into it.
    pub(crate) fn environment(
        &self,
        node: usize,
        data: &str,
        ports: impl Fn(usize) -> Ports,
    ) -> BTreeMap<String, String> {
        let own = ports(node);
        // Also those that are not there yet: 1.31 looks for the port of a node that it does not know here at 0, and
        // a name that gossip cannot resolve costs nothing. The first `RAFT_BOOTSTRAP_EXPECT` of the list vote.
        let raft_join = (0..MOST_NODES).map(|other| format!("{}:{}", name(other), ports(other).raft));
        let mut variables = BTreeMap::from(
            [
                ("CLUSTER_HOSTNAME", name(node)),
                ("CLUSTER_IN_LOCALHOST", "true".to_owned()),
                ("CLUSTER_BIND_ADDR", "127.0.0.1".to_owned()),
                ("CLUSTER_ADVERTISE_ADDR", "127.0.0.1".to_owned()),
                // Without it 1.31 tells the others the default port of gossip.
                ("CLUSTER_ADVERTISE_PORT", own.gossip.to_string()),
                ("CLUSTER_GOSSIP_BIND_PORT", own.gossip.to_string()),
                ("CLUSTER_DATA_BIND_PORT", own.data.to_string()),
                ("RAFT_PORT", own.raft.to_string()),
                ("RAFT_INTERNAL_RPC_PORT", own.raft_rpc.to_string()),
                ("RAFT_JOIN", raft_join.collect::<Vec<_>>().join(",")),
                ("RAFT_BOOTSTRAP_EXPECT", self.voters.to_string()),
                ("GRPC_PORT", own.grpc.to_string()),
                ("GO_PROFILING_PORT", own.profiling.to_string()),
                ("GO_PROFILING_DISABLE", "true".to_owned()),
                ("PROMETHEUS_MONITORING_PORT", own.metrics.to_string()),
                ("PERSISTENCE_DATA_PATH", data.to_owned()),
                ("REPLICA_MOVEMENT_ENABLED", self.replica_movement.to_string()),
                ("REPLICATION_MINIMUM_FACTOR", "1".to_owned()),
                ("RUNTIME_OVERRIDES_ENABLED", "true".to_owned()),
                ("RUNTIME_OVERRIDES_PATH", self.overrides.clone()),
                ("RUNTIME_OVERRIDES_LOAD_INTERVAL", "1s".to_owned()),
                ("DISABLE_TELEMETRY", "true".to_owned()),
                ("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true".to_owned()),
                ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
                ("HOME", "/root".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        // Every node, so that whoever is there is found, by a returning first node as well; and itself, because a
        // server that reaches none of these ends.
        let join = (0..MOST_NODES).map(|other| format!("127.0.0.1:{}", ports(other).gossip)).collect::<Vec<_>>();
        variables.insert("CLUSTER_JOIN".to_owned(), join.join(","));
        variables.extend(self.environment.clone());
        variables
    }
}

/// The arguments of one node.
pub(crate) fn arguments(host: &str, ports: Ports) -> Vec<String> {
    let port = ports.rest.to_string();
    ["--host", host, "--port", &port, "--scheme", "http", "--read-timeout", "60s", "--write-timeout", "60s"]
        .map(str::to_owned)
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_a_part_of_another() {
        for one in 0..MOST_NODES {
            for other in (0..MOST_NODES).filter(|other| *other != one) {
                assert!(!name(one).contains(&name(other)));
            }
        }
    }
}
