//! A file onto a PersistentVolumeClaim, through a pod of the operator's own image: it has neither shell nor tar, but
//! `worker receive` writes what it reads.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use elysia_e2e::ground::elapsed;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::stage::Stage;
use super::steps::tell;

const POD: &str = "feed-receiver";

/// The user of the image: a number, because `runAsNonRoot` believes no name.
const USER: u32 = 65532;

/// An image may have to be pulled.
const START: Duration = Duration::from_secs(180);

/// Puts a file at the top of the claim's volume under its own name, and proves by its hash that it is there.
pub(super) fn put(stage: &Stage, image: &str, claim: &str, file: &Path) -> Result<()> {
    let started = Instant::now();
    let name = file.file_name().and_then(|name| name.to_str()).context("the file has no name")?;
    let content = fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
    let hash = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    remove(stage)?;
    stage.create(&pod(image, claim, name).to_string())?;
    phase(stage, "Running")?;
    let mut attach = stage.kubectl(&["attach", "--stdin", "--quiet", &format!("pod/{POD}")]);
    let output = attach.stdin(File::open(file)?).output().context("failed to start kubectl")?;
    let ended = phase(stage, "Succeeded");
    let said = stage.run(&["logs", POD]).unwrap_or_default();
    ended.with_context(|| format!("{name} was not received: {said}{}", String::from_utf8_lossy(&output.stderr)))?;
    ensure!(said.contains(&hash), "{name} did not arrive as it was sent (sha256 {hash}): {said}");
    remove(stage)?;
    tell(format!("{name} is on the volume {claim}: {} bytes, sha256 {}… ({})", content.len(), &hash[..12], elapsed(started)));
    Ok(())
}

fn remove(stage: &Stage) -> Result<()> {
    stage.run(&["delete", "pod", POD, "--ignore-not-found", "--now"]).map(drop)
}

fn phase(stage: &Stage, wanted: &str) -> Result<()> {
    stage.until(&format!("pod {POD} to be {wanted}"), START, || {
        let pod = stage.get(&["pod", POD])?;
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        if phase == "Failed" {
            bail!("pod {POD} failed");
        }
        Ok((phase == wanted).then_some(()))
    })
}

fn pod(image: &str, claim: &str, file: &str) -> Value {
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
                "args": ["worker", "receive", format!("/feed/{file}")],
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

/// The documents of a YAML file, each as it stands.
pub(super) fn documents(text: &str) -> Vec<String> {
    text.split("\n---\n").map(str::to_owned).collect()
}
