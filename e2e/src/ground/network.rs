//! The node's address, the pods' network, and the settings of the kernel that the servers change.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::control_plane::{API_PORT, ETCD_PEER_PORT, ETCD_PORT};
use super::host::{program, run};
use super::paths::Paths;

/// How the node is called in the cluster.
pub(crate) const NODE_NAME: &str = "node-0";

/// The node's address, by which pods reach what runs on this machine. Not a loopback address: the kubelet refuses those.
pub const NODE_ADDRESS: &str = "10.88.0.1";

pub(crate) const POD_RANGE: &str = "10.88.0.0/16";

pub(crate) const SERVICE_RANGE: &str = "10.96.0.0/16";

/// The first address of [`SERVICE_RANGE`]: always the API server's own Service.
pub(crate) const API_SERVICE_ADDRESS: &str = "10.96.0.1";

pub(crate) const DNS_ADDRESS: &str = "10.96.0.10";

/// The bridge that carries the node's address. No pod is plugged into it: see [`pod_network`].
pub(crate) const BRIDGE: &str = "elysia0";

/// The name of the pods' network, by which the plug-ins' leavings in shared folders are recognised.
pub(crate) const NETWORK: &str = "elysia-ground";

/// What our servers set, or we for them; `down` puts the earlier values back.
const SETTINGS: [&str; 6] = [
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
];

/// Where our servers listen: etcd, API server, scheduler, controller manager, kubelet, proxy.
const PORTS: [u16; 8] = [ETCD_PORT, ETCD_PEER_PORT, API_PORT, 10248, 10249, 10250, 10257, 10259];

/// Fails if somebody else has one of our ports. Without this, our API server might find a stranger's etcd where ours
/// should be, and write into it.
pub(crate) fn check_ports() -> Result<()> {
    for port in PORTS {
        TcpListener::bind(("0.0.0.0", port))
            .with_context(|| format!("port {port} is not free: another Kubernetes or etcd may run on this machine"))?;
    }
    Ok(())
}

/// Makes the bridge, lets the kernel forward, and tells containerd how to plug pods in.
pub(crate) fn prepare(paths: &Paths) -> Result<()> {
    remember_settings(paths)?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("failed to let the kernel forward packets")?;
    let ip = |arguments: &[&str]| run(Command::new(program("ip")).args(arguments)).map(drop);
    ip(&["link", "add", BRIDGE, "type", "bridge"])?;
    ip(&["address", "add", &format!("{NODE_ADDRESS}/32"), "dev", BRIDGE])?;
    ip(&["link", "set", BRIDGE, "up"])?;
    let folder = configuration(paths);
    fs::create_dir_all(&folder)?;
    let file = folder.join("10-ground.conflist");
    fs::write(&file, pod_network(paths)).with_context(|| format!("failed to write {}", file.display()))
}

/// Whether the bridge still carries the node's address.
pub(crate) fn is_there() -> bool {
    interfaces().iter().any(|name| name == BRIDGE)
}

/// Where containerd looks for the pods' network: never `/etc/cni`, which may be another runtime's.
pub(crate) fn configuration(paths: &Paths) -> std::path::PathBuf {
    paths.state.join("cni")
}

/// A point-to-point link for each pod instead of a bridge between them: every packet from pod to pod then crosses the
/// host's own routing, where kube-proxy's tables see both directions, whatever the kernel does with bridged packets.
fn pod_network(paths: &Paths) -> String {
    let addresses = json!({
        "type": "host-local",
        "dataDir": paths.state.join("cni-addresses"),
        "ranges": [[{"subnet": POD_RANGE, "rangeStart": "10.88.0.2", "gateway": NODE_ADDRESS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    });
    let links = json!({"type": "ptp", "ipMasq": false, "ipam": addresses});
    json!({"cniVersion": "0.4.0", "name": NETWORK, "plugins": [links]}).to_string()
}

/// The interfaces that are ours: the bridge, and the host's end of each pod's link, which has the gateway's address.
pub(crate) fn interfaces() -> Vec<String> {
    let listing = Command::new(program("ip")).args(["-oneline", "-4", "address", "show"]).output();
    let mut ours =
        listing.map(|output| with_node_address(&String::from_utf8_lossy(&output.stdout))).unwrap_or_default();
    if Path::new("/sys/class/net").join(BRIDGE).exists() && !ours.iter().any(|name| name == BRIDGE) {
        ours.push(BRIDGE.to_owned());
    }
    ours
}

fn with_node_address(listing: &str) -> Vec<String> {
    let ours = |line: &str| {
        let fields = line.split_whitespace().collect::<Vec<_>>();
        let (name, address) = (fields.get(1)?, fields.get(3)?);
        let ours = *name == BRIDGE || name.starts_with("veth") && address.split('/').next() == Some(NODE_ADDRESS);
        ours.then(|| (*name).to_owned())
    };
    listing.lines().filter_map(ours).collect()
}

pub(crate) fn delete_interface(name: &str) {
    let _ = Command::new(program("ip")).args(["link", "delete", name]).output();
}

/// kube-proxy's tables, and those that tests make under our name. `(family, name)`.
pub(crate) fn tables() -> Vec<(String, String)> {
    let Ok(output) = Command::new(program("nft")).args(["list", "tables"]).output() else { return Vec::new() };
    our_tables(&String::from_utf8_lossy(&output.stdout))
}

fn our_tables(listing: &str) -> Vec<(String, String)> {
    let ours = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (family, name) = (words.next()?, words.next()?);
        (name == "kube-proxy" || name.starts_with(NETWORK)).then(|| (family.to_owned(), name.to_owned()))
    };
    listing.lines().filter_map(ours).collect()
}

pub(crate) fn delete_table(family: &str, name: &str) {
    let _ = Command::new(program("nft")).args(["delete", "table", family, name]).output();
}

fn settings_file(paths: &Paths) -> std::path::PathBuf {
    paths.state.join("settings-before.json")
}

fn remember_settings(paths: &Paths) -> Result<()> {
    let file = settings_file(paths);
    if file.exists() {
        return Ok(());
    }
    let value = |name: &str| Some((name.to_owned(), fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?));
    let before = SETTINGS.into_iter().filter_map(value).collect::<std::collections::BTreeMap<_, _>>();
    fs::write(&file, serde_json::to_vec(&before)?).with_context(|| format!("failed to write {}", file.display()))
}

/// Puts back what was set before the ground, and forgets it.
pub(crate) fn restore_settings(paths: &Paths) {
    let Ok(text) = fs::read(settings_file(paths)) else { return };
    let before = serde_json::from_slice::<std::collections::BTreeMap<String, String>>(&text).unwrap_or_default();
    for (name, value) in before {
        let path = Path::new("/proc/sys").join(name);
        if fs::read_to_string(&path).is_ok_and(|now| now != value) {
            let _ = fs::write(path, value.trim());
        }
    }
    let _ = fs::remove_file(settings_file(paths));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_with_the_gateway_address_are_ours() {
        let listing = "1: lo    inet 127.0.0.1/8 scope host lo\\ valid_lft forever\n\
                       5: elysia0    inet 10.88.0.1/32 scope global elysia0\\ valid_lft forever\n\
                       9: veth1a2b    inet 10.88.0.1/32 scope global veth1a2b\\ valid_lft forever\n\
                       10: veth9    inet 172.17.0.1/16 scope global veth9\\ valid_lft forever\n\
                       11: podman0    inet 10.88.0.1/16 scope global podman0\\ valid_lft forever\n";
        assert_eq!(with_node_address(listing), ["elysia0", "veth1a2b"]);
    }

    #[test]
    fn only_tables_of_the_proxy_and_of_our_name_are_ours() {
        let listing = "table ip kube-proxy\ntable ip6 kube-proxy\ntable inet filter\ntable inet elysia-ground-policy\n";
        let ours = our_tables(listing).into_iter().map(|(family, name)| format!("{family} {name}")).collect::<Vec<_>>();
        assert_eq!(ours, ["ip kube-proxy", "ip6 kube-proxy", "inet elysia-ground-policy"]);
    }
}
