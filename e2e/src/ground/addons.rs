//! CoreDNS and the class of volumes, applied as soon as the API server answers.

use std::time::Duration;

use anyhow::Result;

use super::kubectl::Kubectl;
use super::network::DNS_ADDRESS;
use super::process::Servers;

const MANIFEST: &str = include_str!("../../ground/addons.yaml");

const ROLLOUT: Duration = Duration::from_secs(60);

/// How the image of CoreDNS is called, with its version.
pub(crate) fn dns_image(version: &str) -> String {
    format!("coredns/coredns:{}", version.trim_start_matches('v'))
}

pub(crate) fn apply(kubectl: &Kubectl, dns_image: &str) -> Result<()> {
    let manifest = MANIFEST.replace("DNS_ADDRESS", DNS_ADDRESS).replace("DNS_IMAGE", dns_image);
    kubectl.send(&["create", "--filename=-", "--save-config"], &manifest)
}

/// Waits until names are answered.
pub(crate) fn wait_for_dns(servers: &Servers<'_>, kubectl: &Kubectl) -> Result<()> {
    servers.wait_for("CoreDNS", ROLLOUT, || Ok(dns_is_ready(kubectl).then_some(())))
}

pub(crate) fn dns_is_ready(kubectl: &Kubectl) -> bool {
    let path = "--output=jsonpath={.status.readyReplicas}";
    let arguments = ["get", "deployment", "coredns", "--namespace=kube-system", path, "--request-timeout=2s"];
    kubectl.run(&arguments).is_ok_and(|ready| ready == "1")
}
