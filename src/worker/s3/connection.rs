//! How a server of objects is reached, whichever protocol it speaks: times, attempts, and whose certificates are trusted.

use std::time::Duration;

use object_store::{BackoffConfig, Certificate, ClientOptions, Error, RetryConfig};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request is tried again: a server that restarts is waited for, and a pod that cannot work says so soon.
const RETRY_TIMEOUT: Duration = Duration::from_secs(90);

/// Certificates of authorities, at most: the bundle of a system has 150. More than 64 KiB of them would not fit beside
/// the work in a pod's environment.
const AUTHORITY_BYTES: usize = 64 << 10;

/// A client that takes so long for one request at most, and trusts these authorities, in PEM, beside the system's.
pub(in crate::worker) fn client_options(
    endpoint: Option<&str>,
    trusted: Option<&str>,
    timeout: Duration,
) -> Result<ClientOptions, Error> {
    let mut options = ClientOptions::new()
        .with_timeout(timeout)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_allow_http(endpoint.is_some_and(|address| address.starts_with("http://")));
    if let Some(pem) = trusted {
        authorities(pem).map_err(|problem| Error::Generic { store: "certificates", source: problem.into() })?;
        for certificate in Certificate::from_pem_bundle(pem.as_bytes())? {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

/// Attempts that begin soon and wait ever longer.
pub(in crate::worker) fn retry_config(retries: usize) -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(200), max_backoff: Duration::from_secs(10), base: 2. };
    RetryConfig { backoff, max_retries: retries, retry_timeout: RETRY_TIMEOUT }
}

/// Whether these are certificates that can be trusted; the error says what is wrong with them.
pub(crate) fn authorities(pem: &str) -> Result<(), String> {
    if pem.len() > AUTHORITY_BYTES {
        return Err(format!(
            "more than {} KiB of certificates; leave the authorities that sign your own store's",
            AUTHORITY_BYTES >> 10
        ));
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("no certificates in PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("certificate {} is broken: {error}", roots.len() + 1))?;
    }
    if roots.is_empty() {
        return Err("no certificates in PEM: there is no BEGIN CERTIFICATE in it".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_told() {
        for (pem, words) in [
            ("", "there is no BEGIN CERTIFICATE"),
            ("hello", "there is no BEGIN CERTIFICATE"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "there is no BEGIN CERTIFICATE"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1 is broken"),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "no certificates in PEM"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", "no certificates in PEM"),
        ] {
            let error = authorities(pem).unwrap_err();
            assert!(error.contains(words), "{pem:?}: {error}");
            client_options(None, Some(pem), Duration::from_secs(1)).unwrap_err();
        }
        let error = authorities(&"x".repeat(AUTHORITY_BYTES + 1)).unwrap_err();
        assert!(error.contains("more than 64 KiB"), "{error}");
        client_options(None, None, Duration::from_secs(1)).unwrap();
    }
}
