//! etcd, the API server, the controller manager and the scheduler.

use std::net::TcpStream;
use std::time::Duration;

use anyhow::Result;

use super::build::Built;
use super::host::program;
use super::kubectl::Kubectl;
use super::network::{NODE_ADDRESS, POD_RANGE, SERVICE_RANGE};
use super::paths::Paths;
use super::process::Servers;

/// The usual port, so that what people know about Kubernetes holds.
pub(crate) const API_PORT: u16 = 6443;

pub(crate) const ETCD_PORT: u16 = 2379;
pub(crate) const ETCD_PEER_PORT: u16 = 2380;

/// etcd answers within a tenth of this on an idle machine.
const ETCD_START: Duration = Duration::from_secs(20);
const API_START: Duration = Duration::from_secs(60);

/// Starts etcd and, when it answers, the API server; returns when the API server is ready.
pub(crate) fn start_api(paths: &Paths, servers: &Servers<'_>, kubernetes: &Built, kubectl: &Kubectl) -> Result<()> {
    servers.start("etcd", &program("etcd"), &etcd(paths))?;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], ETCD_PORT));
    servers.wait_for("etcd", ETCD_START, || Ok(TcpStream::connect(address).is_ok().then_some(())))?;
    servers.start("kube-apiserver", &kubernetes.path("kube-apiserver"), &api_server(paths))?;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], API_PORT));
    // A connection costs nothing; asking by kubectl costs the very processor time that the server needs to start.
    servers.wait_for("the API server's port", API_START, || Ok(TcpStream::connect(address).is_ok().then_some(())))?;
    servers.wait_for("the API server", API_START, || Ok(kubectl.is_ready().then_some(())))
}

/// Starts what works on the API server's objects.
pub(crate) fn start_controllers(paths: &Paths, servers: &Servers<'_>, kubernetes: &Built) -> Result<()> {
    let name = "kube-controller-manager";
    servers.start(name, &kubernetes.path(name), &controller_manager(paths))?;
    let name = "kube-scheduler";
    servers.start(name, &kubernetes.path(name), &scheduler(paths))
}

fn etcd(paths: &Paths) -> Vec<String> {
    let (client, peer) = (format!("http://127.0.0.1:{ETCD_PORT}"), format!("http://127.0.0.1:{ETCD_PEER_PORT}"));
    vec![
        format!("--data-dir={}", paths.state.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        // Nothing in it outlives the ground: waiting for the disk would only make everything slower.
        "--unsafe-no-fsync".into(),
    ]
}

fn api_server(paths: &Paths) -> Vec<String> {
    let pki = |file: &str| paths.pki().join(file).display().to_string();
    vec![
        format!("--etcd-servers=http://127.0.0.1:{ETCD_PORT}"),
        "--bind-address=0.0.0.0".into(),
        format!("--secure-port={API_PORT}"),
        format!("--advertise-address={NODE_ADDRESS}"),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        format!("--client-ca-file={}", pki("ca.crt")),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-key-file={}", pki("service-accounts.pub")),
        format!("--service-account-signing-key-file={}", pki("service-accounts.key")),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        format!("--kubelet-certificate-authority={}", pki("ca.crt")),
        format!("--kubelet-client-certificate={}", pki("admin.crt")),
        format!("--kubelet-client-key={}", pki("admin.key")),
        // The node's name is in no DNS: `kubectl logs` would look it up.
        "--kubelet-preferred-address-types=InternalIP".into(),
        "--allow-privileged=true".into(),
    ]
}

fn controller_manager(paths: &Paths) -> Vec<String> {
    let pki = |file: &str| paths.pki().join(file).display().to_string();
    let kubeconfig = pki("controller-manager.kubeconfig");
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--bind-address=127.0.0.1".into(),
        "--leader-elect=false".into(),
        "--use-service-account-credentials".into(),
        // By default it starts no faster than twenty requests a second let it, and that takes five seconds.
        "--kube-api-qps=500".into(),
        "--kube-api-burst=1000".into(),
        format!("--root-ca-file={}", pki("ca.crt")),
        format!("--service-account-private-key-file={}", pki("service-accounts.key")),
        format!("--cluster-signing-cert-file={}", pki("ca.crt")),
        format!("--cluster-signing-key-file={}", pki("ca.key")),
        format!("--cluster-cidr={POD_RANGE}"),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
    ]
}

fn scheduler(paths: &Paths) -> Vec<String> {
    let kubeconfig = paths.pki().join("scheduler.kubeconfig").display().to_string();
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--bind-address=127.0.0.1".into(),
        "--leader-elect=false".into(),
    ]
}
