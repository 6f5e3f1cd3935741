//! A port of the cluster on this machine, by the API server: the one way that works on every cluster.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Stdio};

use anyhow::{Context as _, Result, bail};

use super::stage::Stage;

/// A running `kubectl port-forward`; it ends with this value.
pub(super) struct Forward {
    process: Child,
    /// Kept open: kubectl would end at its first line that nobody can read.
    _output: BufReader<ChildStdout>,
    pub(super) port: u16,
}

impl Forward {
    /// Forwards a free port of this machine to a port of e.g. `service/search`.
    pub(super) fn to(stage: &Stage, target: &str, port: u16) -> Result<Self> {
        let mut command = stage.kubectl(&["port-forward", target, &format!(":{port}"), "--address=127.0.0.1"]);
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("failed to start kubectl")?;
        let mut output = BufReader::new(process.stdout.take().context("kubectl has no output")?);
        let mut line = String::new();
        output.read_line(&mut line).context("kubectl port-forward said nothing")?;
        let Some(local) = local_port(&line) else {
            // It has ended, or is about to: nothing is left to wait for.
            process.kill().ok();
            let mut complaints = String::new();
            process.stderr.take().map(|mut stderr| stderr.read_to_string(&mut complaints));
            process.wait().ok();
            bail!("{target} cannot be reached: {}", complaints.trim_end());
        };
        Ok(Self { process, _output: output, port: local })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// From `Forwarding from 127.0.0.1:43219 -> 8080`.
fn local_port(line: &str) -> Option<u16> {
    line.strip_prefix("Forwarding from 127.0.0.1:")?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_port_is_read_from_what_kubectl_says() {
        assert_eq!(local_port("Forwarding from 127.0.0.1:43219 -> 8080\n"), Some(43219));
        assert_eq!(local_port("error: unable to forward\n"), None);
    }
}
