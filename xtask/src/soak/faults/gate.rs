//! A gate before an S3 server, which answers 503 to some requests or to all, and passes the others on.

use std::io::{BufRead as _, BufReader, Read as _, Write as _, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result};

/// Which requests pass.
#[derive(Clone, Copy)]
pub(in crate::soak) enum Opening {
    /// Every third is refused.
    EveryThirdRefused,
    /// None passes.
    Shut,
}

/// The gate. Behind it each connection has one request.
pub(in crate::soak) struct Gate {
    endpoint: String,
    refused: Arc<AtomicUsize>,
    closed: Arc<AtomicBool>,
}

const REFUSAL: &str =
    "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

impl Gate {
    pub(in crate::soak) fn before(endpoint: &str, opening: Opening) -> Result<Self> {
        // What stands behind the host is said again by whoever asks.
        let (host, path) = endpoint.trim_start_matches("http://").split_once('/').unwrap_or((endpoint, ""));
        let target = host.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port for a gate")?;
        let gate = Self {
            endpoint: format!("http://{}/{path}", listener.local_addr()?).trim_end_matches('/').to_owned(),
            refused: Arc::default(),
            closed: Arc::default(),
        };
        let (refused, closed, seen) =
            (Arc::clone(&gate.refused), Arc::clone(&gate.closed), Arc::new(AtomicUsize::new(0)));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if closed.load(Ordering::Relaxed) {
                    return;
                }
                let number = seen.fetch_add(1, Ordering::Relaxed);
                let passes = match opening {
                    Opening::EveryThirdRefused => number % 3 != 2,
                    Opening::Shut => false,
                };
                if !passes {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
                let target = target.clone();
                // One that breaks is the client's to ask again.
                thread::spawn(move || drop(serve(stream, passes.then_some(target.as_str()))));
            }
        });
        Ok(gate)
    }

    pub(in crate::soak) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// Requests that did not pass.
    pub(in crate::soak) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for the next one.
        let host = self.endpoint.trim_start_matches("http://").split('/').next().unwrap_or_default();
        drop(TcpStream::connect(host));
    }
}

fn serve(mut client: TcpStream, target: Option<&str>) -> Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line.trim().is_empty() {
            head.push_str("Connection: close\r\n\r\n");
            break;
        }
        if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = reader.take(length);
    let Some(target) = target else {
        // Read to its end: a client that is still sending would see a broken connection instead of the answer.
        copy(&mut body, &mut std::io::sink())?;
        let head = format!(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            REFUSAL.len()
        );
        client.write_all(head.as_bytes())?;
        return client.write_all(REFUSAL.as_bytes()).context("failed to refuse");
    };
    let mut server = TcpStream::connect(target)?;
    server.write_all(head.as_bytes())?;
    copy(&mut body, &mut server)?;
    copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Write).context("failed to end an answer")
}
