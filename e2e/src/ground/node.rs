//! The kubelet and kube-proxy: what makes this machine the one node.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::build::Built;
use super::kubectl::Kubectl;
use super::leavings::CGROUP;
use super::network::{DNS_ADDRESS, NODE_ADDRESS, NODE_NAME, POD_RANGE};
use super::paths::Paths;
use super::process::Servers;

const READY: Duration = Duration::from_secs(60);

/// Starts both; they register the node and write the tables of the services by themselves.
pub(crate) fn start(paths: &Paths, servers: &Servers<'_>, kubernetes: &Built) -> Result<()> {
    super::leavings::make_cgroup()?;
    let configuration = paths.state.join("kubelet.json");
    write(&configuration, &kubelet(paths))?;
    let arguments = [
        format!("--config={}", configuration.display()),
        format!("--kubeconfig={}", paths.pki().join("kubelet.kubeconfig").display()),
        format!("--root-dir={}", paths.state.join("kubelet").display()),
        format!("--cert-dir={}", paths.pki().display()),
        format!("--hostname-override={NODE_NAME}"),
        format!("--node-ip={NODE_ADDRESS}"),
    ];
    servers.start("kubelet", &kubernetes.path("kubelet"), &arguments)?;

    let configuration = paths.state.join("kube-proxy.json");
    write(&configuration, &proxy(paths))?;
    let arguments = [format!("--config={}", configuration.display())];
    servers.start("kube-proxy", &kubernetes.path("kube-proxy"), &arguments)
}

/// Waits for the node's own word.
pub(crate) fn wait_until_ready(servers: &Servers<'_>, kubectl: &Kubectl) -> Result<()> {
    servers.wait_for("a Ready node", READY, || Ok(kubectl.node_is_ready().then_some(())))
}

fn write(path: &std::path::Path, value: &Value) -> Result<()> {
    fs::write(path, value.to_string()).with_context(|| format!("failed to write {}", path.display()))
}

fn kubelet(paths: &Paths) -> Value {
    let pki = paths.pki();
    let state = |name: &str| paths.state.join(name);
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": pki.join("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": pki.join("kubelet.crt"),
        "tlsPrivateKeyFile": pki.join("kubelet.key"),
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "containerRuntimeEndpoint": format!("unix://{}", paths.containerd_socket().display()),
        // A cgroup of our own above all pods: by it `down` finds every process of theirs.
        "cgroupRoot": format!("/{CGROUP}"),
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": false,
        "failSwapOn": false,
        "makeIPTablesUtilChains": false,
        // What the kubelet keeps elsewhere by default.
        "podLogsDir": state("pod-logs"),
        "volumePluginDir": state("volume-plugins"),
        "staticPodPath": "",
        // The disk is the developer's: how full it is, is no reason to delete images that nobody can pull again.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi"},
        "serializeImagePulls": false,
        "registryPullQPS": 0,
        "maxPods": 200,
        "containerLogMaxSize": "20Mi",
        // A changed ConfigMap is in the pods within seconds instead of a minute or more.
        "syncFrequency": "5s",
        "configMapAndSecretChangeDetectionStrategy": "Watch",
    })
}

fn proxy(paths: &Paths) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": paths.pki().join("proxy.kubeconfig")},
        "bindAddress": NODE_ADDRESS,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "hostnameOverride": NODE_NAME,
        "clusterCIDR": POD_RANGE,
        "mode": "nftables",
        // The tables are written at once after a change, and once more only when there was another since.
        "nftables": {"minSyncPeriod": "100ms"},
        // The machine's own limits of tracked connections are not ours to change.
        "conntrack": {"maxPerCore": 0, "min": 0},
    })
}
