//! As much of an API server as a worker asks for: one ConfigMap, read and merged.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

/// A ledger is much smaller.
const LARGEST_BODY: usize = 4 << 20;

/// The ConfigMap, and where it is asked for.
pub(super) struct Board {
    data: Arc<Mutex<Map<String, Value>>>,
    address: String,
}

impl Board {
    /// It answers until the process ends.
    pub(super) fn open() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port for a board")?;
        let address = format!("http://{}", listener.local_addr()?);
        let data: Arc<Mutex<Map<String, Value>>> = Arc::default();
        let shared = Arc::clone(&data);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let data = Arc::clone(&shared);
                // A connection that breaks is the worker's to open again.
                thread::spawn(move || drop(answer(stream, &data)));
            }
        });
        Ok(Self { data, address })
    }

    /// Writes the kubeconfig that leads here.
    pub(super) fn write_config(&self, path: &Path) -> Result<()> {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "board",
            "clusters": [{"name": "board", "cluster": {"server": self.address}}],
            "users": [{"name": "board", "user": {}}],
            "contexts": [{"name": "board", "context": {"cluster": "board", "user": "board"}}],
        });
        std::fs::write(path, config.to_string()).context("failed to write a kubeconfig")
    }

    /// Forgets everything, as a ledger that was lost.
    pub(super) fn clear(&self) {
        self.data.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What stands under this key, as JSON.
    pub(super) fn read(&self, key: &str) -> Value {
        let data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        let text = data.get(key).and_then(Value::as_str).unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    }
}

/// One request for each connection.
fn answer(stream: TcpStream, data: &Mutex<Map<String, Value>>) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let is_patch = line.starts_with("PATCH");
    let name = line.split_whitespace().nth(1).and_then(|path| path.split('?').next()).unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some((key, value)) = header.split_once(':')
            && key.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse::<usize>()?.min(LARGEST_BODY);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let text = {
        let mut data = data.lock().unwrap_or_else(PoisonError::into_inner);
        if is_patch {
            let patch: Value = serde_json::from_slice(&body)?;
            data.extend(patch["data"].as_object().cloned().unwrap_or_default());
        }
        let metadata = json!({"name": name, "namespace": "lab"});
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": *data}).to_string()
    };
    let mut stream = stream;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(text.as_bytes())?;
    stream.flush().context("failed to answer")
}
