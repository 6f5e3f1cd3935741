//! A real server that speaks S3, as a process of this machine: versitygw over a folder.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::ground::{s3_server, wait_for_every};
use crate::servers::process::{spawn, tied};

/// The one user of it.
pub const ACCESS_KEY_ID: &str = "ground";
/// His key.
pub const SECRET_ACCESS_KEY: &str = "ground-secret-key";

/// What it is told by where its certificate is.
const CERTIFICATE: &str = "--cert";

const START: Duration = Duration::from_secs(20);

/// The server; it ends with this, and with the process that started it.
#[derive(Debug)]
pub struct S3Server {
    folder: Arc<TempDir>,
    /// What it is told besides.
    more: Vec<String>,
    address: String,
    port: u16,
    child: Option<Child>,
}

impl S3Server {
    /// Listens at this address of the machine, on a free port, with these buckets.
    pub fn start(address: &str, buckets: &[&str]) -> Result<Self> {
        let folder = Arc::new(TempDir::new().context("failed to make a folder for objects")?);
        for bucket in buckets {
            fs::create_dir(folder.path().join(bucket)).with_context(|| format!("failed to make bucket {bucket}"))?;
        }
        Self::over(folder, address, &[])
    }

    /// The same with `server.crt` and `server.key` of this folder: it is spoken to by `https://` alone.
    pub fn encrypted(address: &str, buckets: &[&str], certificates: &Path) -> Result<Self> {
        let plain = Self::start(address, buckets)?;
        let file = |name: &str| certificates.join(name).display().to_string();
        plain.beside(&[CERTIFICATE, &file("server.crt"), "--key", &file("server.key")])
    }

    /// A second one over the same objects, told more, such as `--readonly`.
    pub fn beside(&self, more: &[&str]) -> Result<Self> {
        Self::over(Arc::clone(&self.folder), &self.address, more)
    }

    fn over(folder: Arc<TempDir>, address: &str, more: &[&str]) -> Result<Self> {
        let port = free_port(address)?;
        let more = more.iter().map(|word| (*word).to_owned()).collect();
        let mut server = Self { folder, more, address: address.to_owned(), port, child: None };
        server.restart()?;
        Ok(server)
    }

    /// Where its objects are: a folder for each bucket.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where it is.
    pub fn endpoint(&self) -> String {
        let scheme = if self.more.iter().any(|word| word == CERTIFICATE) { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.address, self.port)
    }

    /// Ends it at once; its objects stay.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().context("failed to kill the S3 server")?;
            child.wait().context("failed to wait for the S3 server")?;
        }
        Ok(())
    }

    /// Starts it, unless it runs, and waits until it answers.
    pub fn restart(&mut self) -> Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let log = File::create(self.folder.path().join(format!(".log-{}", self.port)))
            .context("failed to write the log of the S3 server")?;
        let mut command = tied(&s3_server()?);
        command.args(["--port", &format!("{}:{}", self.address, self.port), "--health", "/health", "--quiet"]);
        command.args(&self.more).arg("posix");
        command.arg(self.folder.path()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.env("ROOT_ACCESS_KEY_ID", ACCESS_KEY_ID).env("ROOT_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
        self.child = Some(spawn(command)?);
        let (host, health) = ((self.address.as_str(), self.port), format!("{}/health", self.endpoint()));
        wait_for_every(Duration::from_millis(50), "the S3 server", START, || {
            // Nobody here speaks TLS: that it listens has to do.
            if health.starts_with("https") {
                return Ok(TcpStream::connect(host).ok().map(drop));
            }
            let request = ureq::get(&health).config().timeout_global(Some(Duration::from_secs(1))).build();
            Ok(request.call().ok().map(drop))
        })
    }
}

/// Free at this moment: the listener that found it is gone when this returns.
pub(crate) fn free_port(address: &str) -> Result<u16> {
    let listener =
        TcpListener::bind((address, 0)).with_context(|| format!("{address} is no address of this machine"))?;
    Ok(listener.local_addr()?.port())
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
