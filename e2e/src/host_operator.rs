//! The operator as a process of this machine against the ground's API server, for one namespace: what is killed and
//! started again in milliseconds, and reads servers that listen on 127.0.0.1.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::ground::{Ground, Kubectl, NAMESPACE, compile, say, tail, wait_for};
use crate::servers::process;

/// The Lease of the operator, in its namespace.
const LEASE: &str = "elysia-operator";
/// Time until an operator leads: another one's Lease runs out after 15 s at most, and caches are filled in one.
const LEADS: Duration = Duration::from_secs(45);

/// How to run it.
#[derive(Clone, Debug)]
pub struct HostOperatorOptions {
    /// The namespace that it watches, made if it is not there. Its Lease is there as well.
    pub namespace: String,
    /// Run although an operator is deployed that watches every namespace. Both then write to the same objects: only for
    /// tests of just that, or where the deployed one cannot reach what it would have to.
    pub beside_deployed: bool,
}

/// A running operator. It ends with this value, and never outlives this process.
#[derive(Debug)]
pub struct HostOperator {
    options: HostOperatorOptions,
    binary: PathBuf,
    kubectl: Kubectl,
    kubeconfig: PathBuf,
    image: String,
    log: PathBuf,
    child: Option<Child>,
    /// Processes that were started: each has a name of its own, as each pod has.
    started: u32,
    listen: String,
}

impl HostOperator {
    /// Compiles the operator, applies the definitions, makes the namespace and starts; does not wait.
    pub fn start(ground: &Ground, options: HostOperatorOptions) -> Result<Self> {
        let kubectl = ground.kubectl();
        if !options.beside_deployed {
            refuse_beside_deployed(&kubectl, &options.namespace)?;
        }
        apply_definitions(ground)?;
        let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {:?}}}\n", options.namespace);
        kubectl.send(&["apply", "--server-side", "--filename=-"], &namespace)?;
        let paths = ground.paths();
        let binary = compile(paths, false)?.into_iter().next().context("the operator was not compiled")?;
        let logs = paths.target.join("lab/log");
        fs::create_dir_all(&logs).with_context(|| format!("failed to make {}", logs.display()))?;
        let log = logs.join(format!("operator-{}.log", options.namespace));
        File::create(&log).with_context(|| format!("failed to write {}", log.display()))?;
        // Feeds run in Jobs, whose image is the deployed one; without any, only feeds do not work.
        let image = fs::read_to_string(paths.state.join("operator-image")).unwrap_or_else(|_| "none:none".to_owned());
        let (kubeconfig, listen) = (paths.kubeconfig(), String::new());
        let mut operator = Self { options, binary, kubectl, kubeconfig, image, log, child: None, started: 0, listen };
        operator.begin()?;
        Ok(operator)
    }

    fn begin(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the operator runs already");
        self.started += 1;
        // Free now; whoever takes it in this moment makes the operator end, which `wait_leading` tells.
        self.listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let output = File::options().append(true).open(&self.log)?;
        let mut command = process::tied(&self.binary);
        command
            .args(["operator", "--namespace", &self.options.namespace, "--watch-namespace", &self.options.namespace])
            .args(["--name", &self.name(), "--listen", &self.listen, "--worker-image", self.image.trim()])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("KUBECONFIG", &self.kubeconfig)
            .env("POD_NAME", self.name())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        self.child = Some(process::spawn(command)?);
        Ok(())
    }

    /// Name under which the present process holds its Lease.
    pub fn name(&self) -> String {
        format!("host-{}-{}", std::process::id(), self.started)
    }

    /// Address of `/livez`, `/readyz` and `/metrics`; another one after each start.
    pub fn address(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// The log of all its processes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Waits until this process holds the Lease.
    pub fn wait_leading(&mut self) -> Result<()> {
        let (kubectl, namespace, name) = (self.kubectl.clone(), self.options.namespace.clone(), self.name());
        wait_for("the operator to lead", LEADS, || {
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("the operator ended with {status}; the end of {}:\n{}", self.log.display(), tail(&self.log, 15));
            }
            let lease = kubectl.get(&["lease", LEASE, "--namespace", &namespace]);
            Ok(lease.is_ok_and(|lease| lease["spec"]["holderIdentity"] == name.as_str()).then_some(()))
        })
        .with_context(|| format!("the operator's log is in {}", self.log.display()))
    }

    /// Ends it at once, as a lost machine does: its Lease is left as it is.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().and_then(|()| child.wait()).map(drop).context("failed to kill the operator")
    }

    /// Starts another process, under another name, after killing the present one if it runs.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.begin()
    }
}

impl Drop for HostOperator {
    fn drop(&mut self) {
        let _ = self.kill();
        if std::thread::panicking() {
            say(format!("the operator's log is in {}", self.log.display()));
        } else {
            let _ = fs::remove_file(&self.log);
        }
    }
}

/// Applies the definitions of our kinds from this checkout, and waits until they are served.
pub fn apply_definitions(ground: &Ground) -> Result<()> {
    let folder = ground.paths().checkout.join("crds").display().to_string();
    let kubectl = ground.kubectl();
    // Forced: the chart's own fields are the same ones.
    let manager = "--field-manager=elysia-lab";
    kubectl.run(&["apply", "--server-side", "--force-conflicts", manager, "--filename", &folder])?;
    kubectl.run(&["wait", "--for=condition=Established", "--timeout=30s", "--filename", &folder]).map(drop)
}

fn refuse_beside_deployed(kubectl: &Kubectl, namespace: &str) -> Result<()> {
    let all = kubectl.get(&["deployments", "--namespace", NAMESPACE])?;
    for deployment in all["items"].as_array().into_iter().flatten() {
        let is_ours = deployment["metadata"]["name"] == LEASE && deployment["spec"]["replicas"] != 0;
        let containers = deployment["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten();
        let variables = containers.flat_map(|container| container["env"].as_array().into_iter().flatten());
        let mut watched = variables.filter(|variable| variable["name"] == "ELYSIA_WATCH_NAMESPACE");
        let elsewhere = watched.next().is_some_and(|variable| variable["value"] != namespace);
        ensure!(
            !is_ours || elsewhere,
            "an operator is deployed in {NAMESPACE} and watches {namespace} as well: both would write to the same \
             objects; scale it to 0 first (`kubectl --namespace {NAMESPACE} scale deployment/{LEASE} --replicas=0`), \
             or say `beside_deployed`"
        );
    }
    Ok(())
}
