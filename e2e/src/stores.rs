//! Servers that speak as Google Cloud Storage and Azure Blob Storage do, as processes of this machine.

use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::ground::{azurite, gcs_server, program, wait_for_every};
use crate::s3::free_port;
use crate::servers::process::{spawn, tied};

/// Whoever says this to Google's server is let in, to look behind the scene.
pub const GCS_TOKEN: &str = "behind-the-scene";
/// The storage account of Azure's.
pub const AZURE_ACCOUNT: &str = "shop";
/// Its key.
pub const AZURE_KEY: &str = "Z3JvdW5kLWdyb3VuZC1ncm91bmQtZ3JvdW5kLWdyb3VuZC1ncm91bmQtZ3JvdW5kLWdyb3VuZC1ncm91bmQtZ3I=";

/// Node takes seconds to begin on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A server of Google Cloud Storage; it ends with this, and with the process that started it.
#[derive(Debug)]
pub struct GcsServer {
    folder: TempDir,
    endpoint: String,
    child: Child,
}

impl GcsServer {
    /// Listens at this address of the machine, on a free port, with these buckets. `certificates`: a folder with
    /// `server.crt` and `server.key`; then it is spoken to by `https://` alone.
    pub fn start(address: &str, buckets: &[&str], certificates: Option<&Path>) -> Result<Self> {
        let folder = TempDir::new().context("failed to make a folder for key files")?;
        let port = free_port(address)?;
        let mut command = tied(&gcs_server()?);
        command.args(["-listen", &format!("{address}:{port}"), "-buckets", &buckets.join(","), "-token", GCS_TOKEN]);
        command.arg("-accounts").arg(folder.path());
        if let Some(certificates) = certificates {
            command.arg("-certificate").arg(certificates.join("server.crt"));
            command.arg("-private-key").arg(certificates.join("server.key"));
        }
        let log = File::create(folder.path().join("log")).context("failed to write the log of a server")?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = spawn(command)?;
        let scheme = if certificates.is_some() { "https" } else { "http" };
        let server = Self { folder, endpoint: format!("{scheme}://{address}:{port}"), child };
        listens(address, port, "the server of Google Cloud Storage")?;
        Ok(server)
    }

    /// Where it is.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The key file of the service account that is let in.
    pub fn known(&self) -> PathBuf {
        self.folder.path().join("known.json")
    }

    /// That of one that is not.
    pub fn unknown(&self) -> PathBuf {
        self.folder.path().join("unknown.json")
    }
}

impl Drop for GcsServer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Azurite, which needs Node; it ends with this, and with the process that started it.
#[derive(Debug)]
pub struct AzureServer {
    /// Removed with this.
    _folder: TempDir,
    endpoint: String,
    child: Child,
}

impl AzureServer {
    /// Listens at this address of the machine, on a free port, with one account and no container.
    pub fn start(address: &str) -> Result<Self> {
        let folder = TempDir::new().context("failed to make a folder for blobs")?;
        let port = free_port(address)?;
        let mut command = tied(&program("node"));
        command.arg(azurite()?).args(["--blobHost", address, "--blobPort", &port.to_string(), "--silent"]);
        // It would tell its maker how it is used, and refuse a client that is newer than itself.
        command.args(["--disableTelemetry", "--skipApiVersionCheck", "--location"]).arg(folder.path());
        command.env("AZURITE_ACCOUNTS", format!("{AZURE_ACCOUNT}:{AZURE_KEY}"));
        let log = File::create(folder.path().join("log")).context("failed to write the log of a server")?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = spawn(command)?;
        let endpoint = format!("http://{address}:{port}/{AZURE_ACCOUNT}");
        let server = Self { _folder: folder, endpoint, child };
        listens(address, port, "Azurite")?;
        Ok(server)
    }

    /// Where it is, with its account behind.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for AzureServer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn listens(address: &str, port: u16, what: &str) -> Result<()> {
    wait_for_every(Duration::from_millis(100), what, START, || Ok(TcpStream::connect((address, port)).ok().map(drop)))
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
