//! Persistent volumes without a provisioner: a number of folders, made beforehand and used again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::kubectl::Kubectl;
use super::paths::Paths;

/// Twenty clusters of three nodes at once: more than two cores can run.
const COUNT: usize = 60;

/// A claim of any usual size fits, and can grow.
const SIZE: &str = "20Gi";

/// The class whose volumes these are; it is the default one.
pub(crate) const CLASS: &str = "ground";

/// Makes the folders and declares the volumes.
pub(crate) fn create(paths: &Paths, kubectl: &Kubectl) -> Result<()> {
    let volumes = (0..COUNT).map(|number| volume(paths, number)).collect::<Result<Vec<_>>>()?;
    let list = json!({"apiVersion": "v1", "kind": "List", "items": volumes});
    kubectl.send(&["create", "--filename=-"], &list.to_string())
}

fn volume(paths: &Paths, number: usize) -> Result<Value> {
    let name = format!("ground-{number:02}");
    let folder = paths.volumes().join(&name);
    make_empty(&folder)?;
    Ok(json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": CLASS,
            "capacity": {"storage": SIZE},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": folder, "type": "Directory"},
        },
    }))
}

/// An empty folder that any user may write: the kubelet changes no owner in a hostPath.
fn make_empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("failed to empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777))?;
    Ok(())
}

/// Empties the volumes whose claims are gone and offers them again; returns their names.
pub(crate) fn recycle(paths: &Paths, kubectl: &Kubectl) -> Result<Vec<String>> {
    let volumes = kubectl.get(&["persistentvolumes"])?;
    let mut recycled = Vec::new();
    for (name, folder) in released(&volumes) {
        // Never anything but our own folders, whatever a volume says.
        if folder.parent() != Some(paths.volumes().as_path()) {
            continue;
        }
        make_empty(&folder)?;
        let patch = r#"{"spec": {"claimRef": null}}"#;
        kubectl.run(&["patch", "persistentvolume", &name, "--type=merge", "--patch", patch])?;
        recycled.push(name);
    }
    Ok(recycled)
}

fn released(volumes: &Value) -> Vec<(String, PathBuf)> {
    let items = volumes["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = items.iter().filter(|volume| volume["spec"]["storageClassName"] == CLASS);
    let released = ours.filter(|volume| volume["status"]["phase"] == "Released");
    let named = |volume: &Value| {
        let (name, folder) = (volume["metadata"]["name"].as_str()?, volume["spec"]["hostPath"]["path"].as_str()?);
        Some((name.to_owned(), PathBuf::from(folder)))
    };
    released.filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_released_volumes_of_our_class_are_recycled() {
        let volume = |name: &str, class: &str, phase: &str| {
            json!({
                "metadata": {"name": name},
                "spec": {"storageClassName": class, "hostPath": {"path": format!("/volumes/{name}")}},
                "status": {"phase": phase},
            })
        };
        let volumes = json!({"items": [
            volume("a", CLASS, "Bound"), volume("b", CLASS, "Released"), volume("c", "other", "Released"),
        ]});
        assert_eq!(released(&volumes), [("b".to_owned(), PathBuf::from("/volumes/b"))]);
    }
}
