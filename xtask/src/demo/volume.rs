//! A file onto a PersistentVolumeClaim, through a pod of the operator's own image: it has neither shell nor tar, but
//! `worker receive` writes what it reads.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use elysia_e2e::ground::elapsed;
use serde_json::{Value, json};

use super::stage::{Stage, until};
use super::steps::tell;

const POD: &str = "feed-receiver";

/// The user of the image: a number, because `runAsNonRoot` believes no name.
const USER: u32 = 65532;

/// An image may have to be pulled.
const START: Duration = Duration::from_secs(180);

/// Puts a file at the top of the claim's volume under its own name, and has the pod count that all of it came.
pub(super) fn put(stage: &Stage, image: &str, claim: &str, file: &Path) -> Result<()> {
    let started = Instant::now();
    let name = file.file_name().and_then(|name| name.to_str()).context("the file has no name")?;
    let bytes = fs::metadata(file).with_context(|| format!("failed to look at {}", file.display()))?.len();
    remove(stage)?;
    stage.send(&["create", "--filename=-"], &pod(image, claim, name, bytes).to_string())?;
    phase(stage, "Running")?;
    let mut attach = stage.kubectl(&["attach", "--stdin", "--quiet", &format!("pod/{POD}")]);
    let output = attach.stdin(File::open(file)?).output().context("failed to start kubectl")?;
    let ended = phase(stage, "Succeeded");
    if ended.is_err() {
        let said = stage.run(&["logs", POD]).unwrap_or_default();
        return ended.with_context(|| format!("{name}: {said}{}", String::from_utf8_lossy(&output.stderr)));
    }
    remove(stage)?;
    tell(format!("{name} is on the volume {claim}: {bytes} bytes ({})", elapsed(started)));
    Ok(())
}

fn remove(stage: &Stage) -> Result<()> {
    stage.run(&["delete", "pod", POD, "--ignore-not-found", "--now"]).map(drop)
}

fn phase(stage: &Stage, wanted: &str) -> Result<()> {
    until(&format!("pod {POD} to be {wanted}"), START, || {
        let pod = stage.get(&["pod", POD])?;
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        if phase == "Failed" {
            bail!("pod {POD} failed");
        }
        Ok((phase == wanted).then_some(()))
    })
}

fn pod(image: &str, claim: &str, file: &str, bytes: u64) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "receive",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "args": ["worker", "receive", format!("/feed/{file}"), format!("--bytes={bytes}")],
                "stdin": true,
                // The pod ends with what is sent, not with the next sender.
                "stdinOnce": true,
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "feed", "mountPath": "/feed"}],
            }],
            "volumes": [{"name": "feed", "persistentVolumeClaim": {"claimName": claim}}],
        },
    })
}
