//! Keys, certificates and kubeconfigs: one authority for all, made anew on each `up` because that takes milliseconds.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use super::control_plane::API_PORT;
use super::network::{API_SERVICE_ADDRESS, NODE_ADDRESS, NODE_NAME};

/// Who presents a certificate, and as what.
struct Subject {
    file: &'static str,
    name: &'static str,
    group: Option<&'static str>,
    names: &'static [&'static str],
    addresses: &'static [&'static str],
    kubeconfig: bool,
}

const CLIENT: Subject = Subject { file: "", name: "", group: None, names: &[], addresses: &[], kubeconfig: true };

const SUBJECTS: [Subject; 6] = [
    Subject {
        file: "apiserver",
        name: "kube-apiserver",
        names: &[
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ],
        addresses: &["127.0.0.1", API_SERVICE_ADDRESS, NODE_ADDRESS],
        kubeconfig: false,
        ..CLIENT
    },
    Subject {
        file: "kubelet",
        name: "system:node:node-0",
        group: Some("system:nodes"),
        names: &[NODE_NAME, "localhost"],
        // The node's own address, or `kubectl logs` does not trust it.
        addresses: &["127.0.0.1", NODE_ADDRESS],
        ..CLIENT
    },
    Subject { file: "admin", name: "ground-admin", group: Some("system:masters"), ..CLIENT },
    Subject { file: "controller-manager", name: "system:kube-controller-manager", ..CLIENT },
    Subject { file: "scheduler", name: "system:kube-scheduler", ..CLIENT },
    Subject { file: "proxy", name: "system:kube-proxy", ..CLIENT },
];

/// Writes everything into `folder`, which only root may read.
pub(crate) fn write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    let authority_key = KeyPair::generate()?;
    let authority = authority();
    let certificate = authority.self_signed(&authority_key)?;
    fs::write(folder.join("ca.crt"), certificate.pem())?;
    fs::write(folder.join("ca.key"), authority_key.serialize_pem())?;
    // Tokens of service accounts are signed with a key of their own.
    let tokens = KeyPair::generate()?;
    fs::write(folder.join("service-accounts.key"), tokens.serialize_pem())?;
    fs::write(folder.join("service-accounts.pub"), tokens.public_key_pem())?;
    let issuer = Issuer::new(authority, authority_key);
    for subject in &SUBJECTS {
        let key = KeyPair::generate()?;
        let certificate = parameters(subject)?.signed_by(&key, &issuer)?;
        fs::write(folder.join(format!("{}.crt", subject.file)), certificate.pem())?;
        fs::write(folder.join(format!("{}.key", subject.file)), key.serialize_pem())?;
        if subject.kubeconfig {
            fs::write(folder.join(format!("{}.kubeconfig", subject.file)), kubeconfig(folder, subject.file))?;
        }
    }
    Ok(())
}

/// A server's certificate and key for an address of this machine, as `server.crt` and `server.key`, and that of an authority
/// of its own, `ca.crt`.
pub fn server_certificate(folder: &Path, address: &str) -> Result<()> {
    let authority_key = KeyPair::generate()?;
    let authority = authority();
    fs::write(folder.join("ca.crt"), authority.self_signed(&authority_key)?.pem())?;
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate()?;
    let subject = Subject { name: "a server", kubeconfig: false, ..CLIENT };
    let mut parameters = parameters(&subject)?;
    parameters.subject_alt_names.push(SanType::IpAddress(address.parse::<IpAddr>()?));
    fs::write(folder.join("server.crt"), parameters.signed_by(&key, &issuer)?.pem())?;
    fs::write(folder.join("server.key"), key.serialize_pem()).context("failed to write a server's key")
}

fn authority() -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "elysia-ground");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    lasting(parameters)
}

fn parameters(subject: &Subject) -> Result<CertificateParams> {
    let mut parameters = CertificateParams::new(subject.names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    for address in subject.addresses {
        parameters.subject_alt_names.push(SanType::IpAddress(address.parse::<IpAddr>()?));
    }
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, subject.name);
    if let Some(group) = subject.group {
        parameters.distinguished_name.push(DnType::OrganizationName, group);
    }
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    Ok(lasting(parameters))
}

/// Longer than any ground lives, and not so long that a verifier calls it malformed.
fn lasting(mut parameters: CertificateParams) -> CertificateParams {
    parameters.not_before = date_time_ymd(2025, 1, 1);
    parameters.not_after = date_time_ymd(2045, 1, 1);
    parameters
}

/// Certificates by path: the servers read them again from there, and nothing secret is written twice.
fn kubeconfig(folder: &Path, file: &str) -> String {
    let path = |name: String| folder.join(name).display().to_string();
    let (authority, certificate, key) =
        (path("ca.crt".into()), path(format!("{file}.crt")), path(format!("{file}.key")));
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         current-context: ground\n\
         clusters: [{{name: ground, cluster: {{server: 'https://127.0.0.1:{API_PORT}', certificate-authority: '{authority}'}}}}]\n\
         users: [{{name: ground, user: {{client-certificate: '{certificate}', client-key: '{key}'}}}}]\n\
         contexts: [{{name: ground, context: {{cluster: ground, user: ground}}}}]\n"
    )
}
