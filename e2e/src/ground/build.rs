//! Building once: a cache of binaries, keyed by everything they depend on and checked before they are used.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::host::{run, tail};
use super::modules::{Compiler, Module};
use super::paths::Paths;
use super::progress::{elapsed, human, say};

/// How often a build says how far it is.
const REPORT: Duration = Duration::from_secs(20);

/// How often modules are asked for: hundreds of files, any of which may break off.
const DOWNLOADS: usize = 3;

/// The binaries of one module, as they lie in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    folder: PathBuf,
    manifest: Manifest,
}

impl Built {
    pub(crate) fn path(&self, binary: &str) -> PathBuf {
        self.folder.join("bin").join(binary)
    }

    /// The recorded hash of a binary: what images and the identity of a running ground are keyed by.
    pub(crate) fn hash(&self, binary: &str) -> &str {
        self.manifest.files.get(binary).map_or("", |file| &file.sha256)
    }
}

/// What a build produced, written beside it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Manifest {
    seconds: u64,
    files: BTreeMap<String, Recorded>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Recorded {
    size: u64,
    /// Nanoseconds: equal to the file's own as long as nobody touched it since the hash was taken.
    modified: i128,
    sha256: String,
}

/// What a look at a file says about its record.
#[derive(Debug, PartialEq)]
enum Verdict {
    Untouched,
    /// Same size, other time: only the hash can tell.
    Touched,
    Damaged,
}

impl Recorded {
    fn judge(&self, size: u64, modified: i128) -> Verdict {
        match (size == self.size, modified == self.modified) {
            (true, true) => Verdict::Untouched,
            (true, false) => Verdict::Touched,
            (false, _) => Verdict::Damaged,
        }
    }
}

/// Builds what is not in the cache; what is there is checked and returned.
pub(crate) fn ensure_built(paths: &Paths, go: &Compiler, module: &Module) -> Result<Built> {
    let key = short_hash(&format!("{}\n{}", go.version, module.inputs()?));
    let folder = paths.cache.join("build").join(format!("{}-{key}", module.name));
    if let Some(manifest) = checked(&folder)? {
        return Ok(Built { folder, manifest });
    }
    // Labs may build beside `up`, and both would write into the same partial folder.
    let _lock = build_lock(paths, &module.name)?;
    let manifest = match checked(&folder)? {
        Some(manifest) => manifest,
        None => build(paths, &go.path, module, &folder)?,
    };
    Ok(Built { folder, manifest })
}

/// Held by whoever builds the module; it ends with its process, however that ends.
fn build_lock(paths: &Paths, name: &str) -> Result<File> {
    let folder = paths.cache.join("build");
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    let file = folder.join(format!(".{name}.lock"));
    let lock = File::create(&file).with_context(|| format!("failed to open {}", file.display()))?;
    lock.lock().with_context(|| format!("failed to wait for {}", file.display()))?;
    Ok(lock)
}

/// Twelve digits of a SHA-256: enough for names that a person reads.
pub(crate) fn short_hash(text: &str) -> String {
    let mut digits = String::new();
    for byte in Sha256::digest(text).iter().take(6) {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// The hash of a file by `sha256sum`: an unoptimised build of our own takes ten times as long.
pub(crate) fn file_hash(path: &Path) -> Result<String> {
    let output = run(Command::new("sha256sum").arg("--binary").arg(path))?;
    // A leading backslash means that the name was escaped.
    let hash = output.trim_start_matches('\\').split_whitespace().next().unwrap_or_default();
    ensure!(hash.len() == 64, "`sha256sum` printed no hash of {}", path.display());
    Ok(hash.to_owned())
}

/// The manifest, if every file is what it says; nothing, if it must be built (again).
fn checked(folder: &Path) -> Result<Option<Manifest>> {
    let file = folder.join("manifest.json");
    let Ok(text) = fs::read(&file) else { return Ok(None) };
    let Ok(mut manifest) = serde_json::from_slice::<Manifest>(&text) else { return Ok(None) };
    let before = manifest.clone();
    for (name, recorded) in &mut manifest.files {
        let path = folder.join("bin").join(name);
        let verdict =
            fs::metadata(&path).map_or(Verdict::Damaged, |found| recorded.judge(found.len(), modified(&found)));
        let sound = match verdict {
            Verdict::Untouched => true,
            Verdict::Touched => file_hash(&path)? == recorded.sha256,
            Verdict::Damaged => false,
        };
        if !sound {
            say(format!("{} is not what was built: building it again", path.display()));
            return Ok(None);
        }
        recorded.modified = modified(&fs::metadata(&path)?);
    }
    if manifest != before {
        write_manifest(folder, &manifest)?;
    }
    Ok(Some(manifest))
}

fn modified(metadata: &fs::Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

fn write_manifest(folder: &Path, manifest: &Manifest) -> Result<()> {
    let text = serde_json::to_vec_pretty(manifest)?;
    fs::write(folder.join("manifest.json"), text).with_context(|| format!("failed to write into {}", folder.display()))
}

fn build(paths: &Paths, go: &Path, module: &Module, folder: &Path) -> Result<Manifest> {
    let started = Instant::now();
    say(format!("building {}, usually about {} on 2 cores …", module.title, human(module.usual)));
    let partial = paths.cache.join("build").join(format!(".{}.partial", module.name));
    let _ = fs::remove_dir_all(&partial);
    let bin = partial.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("failed to make {}", bin.display()))?;

    download(go, module)?;
    compile(paths, go, module, &bin, started)?;

    let mut files = BTreeMap::new();
    for name in module.binaries {
        let path = bin.join(name);
        let metadata = fs::metadata(&path).with_context(|| format!("the build made no `{name}`"))?;
        let recorded = Recorded { size: metadata.len(), modified: modified(&metadata), sha256: file_hash(&path)? };
        files.insert((*name).to_owned(), recorded);
    }
    let manifest = Manifest { seconds: started.elapsed().as_secs(), files };
    write_manifest(&partial, &manifest)?;
    let _ = fs::remove_dir_all(folder);
    // The rename is the commit: a build that was killed before it does not exist.
    fs::rename(&partial, folder)?;
    say(format!("built {} in {}", module.title, elapsed(started)));
    Ok(manifest)
}

/// What has arrived is kept, so each attempt goes on where the one before it stopped.
fn download(go: &Path, module: &Module) -> Result<()> {
    let once = || run(module.go(go).args(["mod", "download"]));
    for _ in 1..DOWNLOADS {
        let Err(error) = once() else { return Ok(()) };
        say(format!("not all of {} arrived, once more: {error:#}", module.title));
    }
    once().map(drop).with_context(|| format!("failed to download {}", module.title))
}

fn compile(paths: &Paths, go: &Path, module: &Module, bin: &Path, started: Instant) -> Result<()> {
    let log = paths.cache.join("build").join(format!("{}.log", module.name));
    let output = File::create(&log).with_context(|| format!("failed to write {}", log.display()))?;
    let mut command = module.go(go);
    command.args(module.arguments(bin)).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let mut child = command.spawn().context("failed to start `go build`")?;
    let packages = packages(go, module);
    let mut reported = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if reported.elapsed() >= REPORT {
            reported = Instant::now();
            say(format!("  {}: {}, {}", module.name, elapsed(started), how_far(&log, packages)));
        }
        thread::sleep(Duration::from_millis(100));
    };
    if !status.success() {
        bail!("`go build` of {} ended with {status}:\n{}", module.title, tail(&log, 20));
    }
    Ok(())
}

/// How many packages a build from nothing compiles.
fn packages(go: &Path, module: &Module) -> usize {
    let target = module.arguments(Path::new("")).pop().unwrap_or_default();
    run(module.go(go).args(["list", "-deps", &target])).map_or(0, |list| list.lines().count())
}

/// `go build -v` names each package as it is compiled, and none that is compiled already.
fn how_far(log: &Path, packages: usize) -> String {
    let compiled = fs::read_to_string(log).map_or(0, |text| text.lines().count());
    format!("{compiled} of at most {packages} packages compiled")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached(content: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("bin/tool");
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::write(&binary, content).unwrap();
        let metadata = fs::metadata(&binary).unwrap();
        let recorded =
            Recorded { size: metadata.len(), modified: modified(&metadata), sha256: file_hash(&binary).unwrap() };
        let files = BTreeMap::from([("tool".to_owned(), recorded)]);
        write_manifest(folder.path(), &Manifest { seconds: 1, files }).unwrap();
        (folder, binary)
    }

    #[test]
    fn an_untouched_build_is_used() {
        let (folder, _) = cached("content");
        assert!(checked(folder.path()).unwrap().is_some());
    }

    #[test]
    fn a_touched_binary_is_hashed_and_then_trusted() {
        let (folder, binary) = cached("content");
        fs::write(&binary, "content").unwrap();
        let touched = File::options().append(true).open(&binary).unwrap();
        touched.set_modified(std::time::UNIX_EPOCH).unwrap();
        let manifest = checked(folder.path()).unwrap().unwrap();
        assert_eq!(manifest.files["tool"].modified, 0);
    }

    #[test]
    fn a_changed_binary_is_built_again() {
        let (folder, binary) = cached("content");
        fs::write(&binary, "CONTENT").unwrap();
        File::options().append(true).open(&binary).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        assert!(checked(folder.path()).unwrap().is_none());
        fs::write(&binary, "longer content").unwrap();
        assert!(checked(folder.path()).unwrap().is_none());
    }

    #[test]
    fn a_build_without_manifest_does_not_exist() {
        let folder = tempfile::tempdir().unwrap();
        assert!(checked(folder.path()).unwrap().is_none());
    }
}
