//! Images without a container engine: docker-archive files, from nothing but the files that go into them.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::build::file_hash;

/// One thing in an image's single layer.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A folder with its mode: `0o1777` for one that everybody may write.
    Folder(String, u32),
    /// A file copied from this machine.
    File {
        /// Where it is here.
        from: PathBuf,
        /// Where it goes, without a leading slash.
        to: String,
        /// Its mode.
        mode: u32,
    },
    /// A small file from its text.
    Text(String, String),
    /// A symbolic link and what it points to.
    Link(String, String),
}

/// What an image is made of. The same recipe over the same files gives the same bytes: no times, no owners.
#[derive(Clone, Debug, Default)]
pub struct ImageRecipe {
    /// Name and tag, as a pod names it.
    pub name: String,
    /// In the order in which they are written: folders before what is in them.
    pub entries: Vec<Entry>,
    /// The program with the arguments that cannot be overridden by a pod's `args`.
    pub entrypoint: Vec<String>,
    /// The arguments that a pod's `args` replaces.
    pub arguments: Vec<String>,
    /// The user, where it is not root.
    pub user: Option<String>,
}

impl ImageRecipe {
    /// An image of one static binary in `/bin`, with nothing beside it but a `/tmp`.
    pub(crate) fn of_static_binary(name: &str, binary: &Path, path: &str) -> Self {
        let file = Entry::File { from: binary.to_path_buf(), to: path.trim_start_matches('/').to_owned(), mode: 0o755 };
        let folders = [Entry::Folder("bin".into(), 0o755), Entry::Folder("tmp".into(), 0o1777)];
        let entries = folders.into_iter().chain([file]).collect();
        Self { name: name.into(), entries, entrypoint: vec![path.into()], ..Self::default() }
    }

    /// Writes the archive that `ctr images import` and `docker load` read.
    pub fn write(&self, archive: &Path) -> Result<()> {
        self.write_archive(archive).with_context(|| format!("failed to write the image {}", self.name))
    }

    fn write_archive(&self, archive: &Path) -> Result<()> {
        let scratch = tempfile::tempdir_in(archive.parent().unwrap_or(Path::new("/")))?;
        let layer = scratch.path().join("layer.tar");
        self.write_layer(&layer)?;
        let layer_hash = file_hash(&layer)?;
        let config = scratch.path().join("config.json");
        fs::write(&config, serde_json::to_vec(&self.config(&layer_hash))?)?;
        let config_name = format!("{}.json", file_hash(&config)?);
        let layer_name = format!("{layer_hash}/layer.tar");
        let manifest = json!([{"Config": config_name, "RepoTags": [self.name], "Layers": [layer_name]}]);

        let mut outer = Builder::new(File::create(archive)?);
        append(&mut outer, "manifest.json", 0o644, serde_json::to_vec(&manifest)?.as_slice(), None)?;
        append(&mut outer, &config_name, 0o644, File::open(&config)?, Some(fs::metadata(&config)?.len()))?;
        append(&mut outer, &layer_name, 0o644, File::open(&layer)?, Some(fs::metadata(&layer)?.len()))?;
        outer.into_inner()?;
        Ok(())
    }

    fn write_layer(&self, layer: &Path) -> Result<()> {
        let mut tar = Builder::new(File::create(layer)?);
        for entry in &self.entries {
            match entry {
                Entry::Folder(path, mode) => append_folder(&mut tar, path, *mode)?,
                Entry::Text(path, text) => append(&mut tar, path, 0o644, text.as_bytes(), None)?,
                Entry::Link(path, target) => tar.append_link(&mut header(EntryType::Symlink, 0o777), path, target)?,
                Entry::File { from, to, mode } => {
                    let file = File::open(from).with_context(|| format!("failed to open {}", from.display()))?;
                    let size = file.metadata()?.len();
                    append(&mut tar, to, *mode, file, Some(size))?;
                }
            }
        }
        tar.into_inner()?;
        Ok(())
    }

    fn config(&self, layer_hash: &str) -> Value {
        json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": {
                "User": self.user.clone().unwrap_or_default(),
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Entrypoint": self.entrypoint,
                "Cmd": self.arguments,
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_hash}")]},
        })
    }
}

/// A shell with what a test asks from inside a pod: Debian's static busybox under its many names.
pub(crate) fn tools(name: &str) -> ImageRecipe {
    let mut recipe = ImageRecipe::of_static_binary(name, Path::new(BUSYBOX), "/bin/busybox");
    let links = TOOLS.split(' ').map(|tool| Entry::Link(format!("bin/{tool}"), "busybox".into()));
    recipe.entries.extend(links);
    recipe.entrypoint = Vec::new();
    recipe.arguments = vec!["/bin/sh".into()];
    recipe
}

const BUSYBOX: &str = "/bin/busybox";

const TOOLS: &str = "awk basename cat chmod cp cut date dd df dirname du echo env false find grep gunzip gzip head \
                     hostname id ip kill ln ls mkdir mktemp mv nc nslookup ping printf ps pwd readlink rm rmdir sed \
                     seq sh sha256sum sleep sort stat sync tail tar tee test time timeout top touch tr true uname \
                     uniq vi wc wget which xargs yes";

/// The size is needed where the content is not a slice that says it.
fn append(tar: &mut Builder<File>, path: &str, mode: u32, mut content: impl Read, size: Option<u64>) -> Result<()> {
    let mut header = header(EntryType::Regular, mode);
    if let Some(size) = size {
        header.set_size(size);
        tar.append_data(&mut header, path, content)?;
        return Ok(());
    }
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes)?;
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes.as_slice())?;
    Ok(())
}

fn append_folder(tar: &mut Builder<File>, path: &str, mode: u32) -> Result<()> {
    let mut header = header(EntryType::Directory, mode);
    header.set_size(0);
    tar.append_data(&mut header, path, std::io::empty())?;
    Ok(())
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(binary: &Path) -> ImageRecipe {
        ImageRecipe::of_static_binary("example/tool:1", binary, "/bin/tool")
    }

    fn entries(archive: &Path) -> Vec<(String, Vec<u8>, u32)> {
        let mut archive = tar::Archive::new(File::open(archive).unwrap());
        let read = |entry: std::io::Result<tar::Entry<'_, File>>| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content, entry.header().mode().unwrap())
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn the_manifest_names_config_and_layer_and_the_config_names_the_layer_by_hash() {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("tool");
        fs::write(&binary, "#!").unwrap();
        let archive = folder.path().join("image.tar");
        recipe(&binary).write(&archive).unwrap();

        let outer = entries(&archive);
        let manifest: Value = serde_json::from_slice(&outer[0].1).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "example/tool:1");
        assert_eq!(manifest[0]["Config"], outer[1].0.as_str());
        assert_eq!(manifest[0]["Layers"][0], outer[2].0.as_str());

        let layer = folder.path().join("layer.tar");
        fs::write(&layer, &outer[2].1).unwrap();
        let config: Value = serde_json::from_slice(&outer[1].1).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", file_hash(&layer).unwrap()));
        assert_eq!(config["config"]["Entrypoint"][0], "/bin/tool");

        let inner = entries(&layer).into_iter().map(|(path, _, mode)| (path, mode)).collect::<Vec<_>>();
        let wanted = [("bin", 0o755), ("tmp", 0o1777), ("bin/tool", 0o755)];
        assert_eq!(inner, wanted.map(|(path, mode)| (path.to_owned(), mode)));
    }

    #[test]
    fn the_same_recipe_gives_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("tool");
        fs::write(&binary, "#!").unwrap();
        let write = |name: &str| {
            let archive = folder.path().join(name);
            recipe(&binary).write(&archive).unwrap();
            fs::read(archive).unwrap()
        };
        assert_eq!(write("first.tar"), write("second.tar"));
    }
}
