//! The operator's image from this working tree, and its installation by Helm.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::build::{file_hash, short_hash};
use super::host::run;
use super::image::{Entry, ImageRecipe};
use super::paths::Paths;
use super::progress::{elapsed, say};
use super::up::Ground;

/// Where the operator lives in every cluster.
pub const NAMESPACE: &str = "elysia-system";

const RELEASE: &str = "elysia-operator";

/// The user of the published image as well: a number, because `runAsNonRoot` believes no name.
const USER: &str = "65532";

/// The repository of images made from a working tree; their tag is their content.
pub(crate) const REPOSITORY: &str = "elysia-operator";

/// An image that is named by its content.
#[derive(Clone, Debug)]
pub struct OperatorImage {
    /// `elysia-operator:dev-…`
    pub name: String,
    /// What it is made of.
    pub recipe: ImageRecipe,
}

/// Where to install.
#[derive(Clone, Debug, Default)]
pub struct DeployTarget {
    /// A context of the caller's own kubeconfig; the ground, if absent.
    pub context: Option<String>,
    /// An image that the cluster can pull; made from the working tree, if absent.
    pub image: Option<String>,
    /// Compiled as a release is: what is measured must be what users run.
    pub optimised: bool,
}

/// Compiles the operator and its plug-in, and returns where they are: the operator first.
pub(crate) fn compile(paths: &Paths, optimised: bool) -> Result<Vec<PathBuf>> {
    let mut cargo = cargo(paths);
    let (folder, arguments) = if optimised {
        ("release", ["build", "--package", "elysia-operator", "--bins", "--release"].as_slice())
    } else {
        // What tests were compiled with is taken as it is.
        ("debug", ["build", "--workspace", "--bins"].as_slice())
    };
    cargo.args(arguments);
    let status = cargo.status();
    ensure!(status.context("failed to start cargo")?.success(), "the operator does not compile");
    Ok(["elysia-operator", "kubectl-elysia"].map(|binary| paths.target.join(folder).join(binary)).to_vec())
}

/// A `cargo` command in this checkout, without what `cargo run` told us about ourselves: some build scripts watch those
/// variables, and would run again, and all that depends on them.
pub fn cargo(paths: &Paths) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&paths.checkout);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    cargo
}

/// The recipe of an image that runs the first of these binaries. They are linked to glibc, and so its libraries go
/// with them: Rust's static target is not a crate, and this machine reaches nothing but package registries.
pub fn build_operator_image(binaries: &[PathBuf]) -> Result<OperatorImage> {
    let first = binaries.first().and_then(|path| path.file_name()).context("an image needs a binary")?;
    let mut files = binaries
        .iter()
        .filter_map(|path| Some((path.clone(), format!("usr/bin/{}", path.file_name()?.to_string_lossy()))))
        .collect::<Vec<_>>();
    for library in libraries(binaries)? {
        let inside = library.to_string_lossy().trim_start_matches('/').to_owned();
        files.push((library, inside));
    }
    let authorities = Path::new("/etc/ssl/certs/ca-certificates.crt");
    if authorities.exists() {
        files.push((authorities.into(), "etc/ssl/certs/ca-certificates.crt".into()));
    }

    let passwd = format!("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/tmp:/sbin/nologin\n");
    let mut entries = vec![
        Entry::Folder("tmp".into(), 0o1777),
        Entry::Text("etc/passwd".into(), passwd),
        Entry::Text("etc/group".into(), format!("root:x:0:\nnonroot:x:{USER}:\n")),
        Entry::Text("etc/nsswitch.conf".into(), "hosts: files dns\n".into()),
    ];
    let mut identity = format!("{entries:?}");
    for (from, to) in files {
        write!(identity, "\n{to} {}", file_hash(&from)?)?;
        entries.push(Entry::File { from, to, mode: 0o755 });
    }
    let name = format!("{REPOSITORY}:dev-{}", short_hash(&identity));
    let entrypoint = vec![format!("/usr/bin/{}", first.to_string_lossy())];
    let user = Some(format!("{USER}:{USER}"));
    let recipe = ImageRecipe { name: name.clone(), entries, entrypoint, arguments: Vec::new(), user };
    Ok(OperatorImage { name, recipe })
}

/// The shared libraries of all the binaries, each under the path by which the loader finds it.
fn libraries(binaries: &[PathBuf]) -> Result<std::collections::BTreeSet<PathBuf>> {
    let mut found = std::collections::BTreeSet::new();
    for binary in binaries {
        let listing = run(Command::new("ldd").arg(binary))?;
        found.extend(libraries_in(&listing)?);
    }
    Ok(found)
}

fn libraries_in(listing: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for line in listing.lines().map(str::trim) {
        ensure!(!line.ends_with("not found"), "a library is missing on this machine: {line}");
        // `name => /path (address)`, or `/path (address)` for the loader; the kernel's own has no path.
        let path = line.rsplit_once("=> ").map_or(line, |(_, path)| path);
        if path.starts_with('/') {
            found.push(PathBuf::from(path.split(" (").next().unwrap_or(path)));
        }
    }
    Ok(found)
}

/// Installs or upgrades the operator by its chart; returns the image it runs.
pub fn deploy(target: &DeployTarget) -> Result<String> {
    let started = Instant::now();
    let paths = Paths::from_environment();
    let chart = paths.checkout.join("charts/elysia-operator");
    ensure!(chart.exists(), "there is no chart at {}", chart.display());
    let (mut helm, image) = match (&target.context, &target.image) {
        (Some(context), Some(image)) => (elsewhere(context), image.clone()),
        (Some(context), None) => {
            anyhow::bail!("`{context}` cannot see images of this machine: say --image with one that it can pull")
        }
        (None, Some(image)) => (Ground::running()?.helm(), image.clone()),
        (None, None) => {
            let ground = Ground::running()?;
            let image = ground.operator_image(target.optimised)?;
            (ground.helm(), image)
        }
    };
    let (repository, tag) = split_image(&image)?;
    helm.args(["upgrade", "--install", RELEASE]).arg(&chart);
    helm.args(["--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout", "3m"]);
    helm.args(["--set-string", &format!("image.repository={repository},image.tag={tag}")]);
    run(&mut helm).context("Helm did not install the operator")?;
    say(format!("installed {image} into {NAMESPACE} in {}", elapsed(started)));
    Ok(image)
}

fn elsewhere(context: &str) -> Command {
    let mut helm = Command::new("helm");
    helm.args(["--kube-context", context]);
    helm
}

/// A port is no tag: only what follows the last slash may hold one.
fn split_image(image: &str) -> Result<(&str, &str)> {
    let tagged = image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/') && !tag.is_empty());
    tagged.with_context(|| format!("`{image}` has no tag: say it as NAME:TAG"))
}

impl Ground {
    /// Makes the operator's image for the env file if there is none yet. A working tree that does not compile is no
    /// reason to have no ground: it is said, and `deploy` tries again.
    pub fn ensure_operator_image(&self) {
        if self.paths().state.join("operator-image").exists() {
            return;
        }
        if let Err(error) = self.operator_image(false) {
            say(format!("the ground is up, but has no image of the operator yet: {error:#}"));
        }
    }

    /// Makes the operator's image from the working tree, if it is not there already, and returns its name.
    pub fn operator_image(&self, optimised: bool) -> Result<String> {
        let started = Instant::now();
        say("compiling the operator for its image …");
        let image = build_operator_image(&compile(self.paths(), optimised)?)?;
        let made = if self.import(&image.recipe, &image.name)? { "made" } else { "already have" };
        say(format!("{made} {} ({})", image.name, elapsed(started)));
        fs::write(self.paths().state.join("operator-image"), &image.name)?;
        self.write_environment()?;
        Ok(image.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_the_loader_says() {
        let listing = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                       \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let found = libraries_in(listing).unwrap();
        assert_eq!(found, ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from));
        assert!(libraries_in("\tlibz.so.1 => not found\n").is_err());
    }

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(split_image("host.example:5000/a/b:1").unwrap(), ("host.example:5000/a/b", "1"));
        assert!(split_image("host.example:5000/a/b").is_err());
    }

    #[test]
    fn an_image_is_named_by_its_content() {
        let binary = std::env::current_exe().unwrap();
        let image = build_operator_image(std::slice::from_ref(&binary)).unwrap();
        assert!(image.name.starts_with("elysia-operator:dev-"));
        assert_eq!(image.name, build_operator_image(&[binary]).unwrap().name);
        let holds_libc = |entry: &Entry| matches!(entry, Entry::File { to, .. } if to.ends_with("libc.so.6"));
        assert!(image.recipe.entries.iter().any(holds_libc));
    }
}
