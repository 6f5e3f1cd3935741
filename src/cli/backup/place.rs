//! Which store is meant, and who acts on it.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use elysia_engine::backup::catalogue;
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{Manifest, Owner};
use elysia_engine::backup::retire::owner;
use elysia_engine::backup::seal::{Key, NoKey};
use jiff::Timestamp;
use secrecy::SecretString;

use super::stopped;
use crate::cli::printer::{Printer, plain};
use crate::cli::session::Stop;
use crate::worker::S3Key;
use crate::worker::backup::Failure;
use crate::worker::backup::latest::{Latest, latest, named};
use crate::worker::backup::listing::{self, Reading};
use crate::worker::backup::store::{self, AnyStore};
use crate::worker::backup::work::{BucketWork, StoreWork};

/// Whose runs are that a person makes, unless they say otherwise.
pub(super) const BY_HAND: &str = "by-hand";

/// Where runs lie. The key of a bucket is read from the environment, as other tools for S3 read it: arguments are seen
/// by everybody on the machine.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Store")]
pub(super) struct StoreArgs {
    /// Where runs lie: `s3://BUCKET/PREFIX`, or a directory. The key of a bucket is read from `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`
    #[arg(long, env = "ELYSIA_BACKUP_STORE", hide_env_values = true, value_name = "STORE", value_parser = NonEmptyStringValueParser::new())]
    pub(super) store: String,
    /// Address of the S3 server, e.g. `http://localhost:9000`; Amazon's own when left out
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL", hide_env_values = true)]
    endpoint: Option<String>,
    /// Region of the bucket
    #[arg(long, env = "AWS_REGION", value_name = "REGION", hide_env_values = true)]
    region: Option<String>,
    /// Send no key: for a bucket that anybody may read
    #[arg(long)]
    anonymous: bool,
}

impl StoreArgs {
    /// What the arguments name.
    pub(super) fn work(&self) -> Result<StoreWork, Stop> {
        self.named(&self.store)
    }

    /// The same server, another place.
    pub(super) fn named(&self, place: &str) -> Result<StoreWork, Stop> {
        let Some(below) = place.strip_prefix("s3://") else {
            if let Some((scheme, _)) = place.split_once("://") {
                return Err(Stop::usage(format!("{scheme}:// is not known: write s3://BUCKET/PREFIX, or a directory")));
            }
            let path = std::path::absolute(PathBuf::from(place))?;
            return Ok(StoreWork::Folder(path.to_string_lossy().into_owned()));
        };
        let (bucket, prefix) = below.split_once('/').unwrap_or((below, ""));
        if bucket.is_empty() {
            return Err(Stop::usage(format!("{place} names no bucket: write s3://BUCKET/PREFIX")));
        }
        Ok(StoreWork::S3(BucketWork {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            anonymous: self.anonymous,
        }))
    }

    /// Opens it; no call is made yet.
    pub(super) fn open(&self) -> Result<AnyStore, Stop> {
        open(&self.work()?)
    }

    /// What has to be typed once more to mean the same store.
    pub(super) fn again(&self) -> String {
        let endpoint = self.endpoint.as_ref().map(|endpoint| format!(" --endpoint {endpoint}")).unwrap_or_default();
        format!("--store {}{endpoint}", self.store)
    }
}

/// Opens a store with the key of the environment.
pub(in crate::cli) fn open(work: &StoreWork) -> Result<AnyStore, Stop> {
    let key = match work {
        StoreWork::S3(bucket) if !bucket.anonymous => Some(key()?),
        StoreWork::S3(_) | StoreWork::Folder(_) => None,
    };
    store::open_by_hand(work, key).map_err(|failure| stopped(&failure, ""))
}

fn key() -> Result<S3Key, Stop> {
    let read = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let (id, secret) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    let missing = |name: &str| {
        Stop::refused(
            format!("environment variable {name} is not set; nothing was asked"),
            format!("export {id} and {secret}, or say --anonymous for a bucket that anybody may read"),
        )
    };
    Ok(S3Key {
        id: read(id).ok_or_else(|| missing(id))?,
        secret: SecretString::from(read(secret).ok_or_else(|| missing(secret))?),
        token: read("AWS_SESSION_TOKEN").map(Into::into),
    })
}

/// With what runs are encrypted.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct KeyArgs {
    /// File with the key that runs are encrypted with: 32 random bytes, as 64 hexadecimal digits or in base64
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl KeyArgs {
    /// Reads it, where one is named.
    pub(super) fn key(&self) -> Result<Option<Key>, Stop> {
        let Some(file) = &self.key_file else { return Ok(None) };
        let refuse = |problem: String| {
            Stop::refused(format!("{}: {problem}", file.display()), "make one with: openssl rand -hex 32 > FILE")
        };
        let text = std::fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?;
        text.parse().map(Some).map_err(|error: NoKey| refuse(error.to_string()))
    }
}

/// Who acts.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PolicyArgs {
    /// Whose runs these are: only its owner writes or deletes below a prefix. Of a `CollectionBackup` its uid
    #[arg(long, value_name = "NAME", default_value = BY_HAND, value_parser = NonEmptyStringValueParser::new())]
    pub(super) policy: String,
}

impl PolicyArgs {
    /// The owner of this prefix, if that is who acts.
    pub(super) async fn owner(&self, store: &AnyStore, place: &StoreArgs) -> Result<Owner, Stop> {
        let found = owner(store).await.map_err(|error| stopped(&Failure::from(error), ""))?;
        match found {
            Some(owner) if owner.policy == self.policy => Ok(owner),
            Some(owner) => Err(Stop::refused(
                format!("{} belongs to {owner}, not to {}; nothing was deleted", place.store, self.policy),
                format!("to act for its owner, the same command with --policy {}", owner.policy),
            )),
            None => Err(Stop::refused(
                format!("{} has no {}, so nobody may delete there; nothing was deleted", place.store, layout::OWNER),
                format!("kubectl elysia backup ls {}", place.again()),
            )),
        }
    }
}

/// Where receipts of restores lie: beside the runs of whoever acts, and else, because a stranger writes nothing there, in
/// a folder of this person.
pub(super) async fn receipts(
    store: &AnyStore,
    place: &StoreArgs,
    policy: &PolicyArgs,
    cluster: &str,
) -> Result<StoreWork, Stop> {
    let found = owner(store).await.map_err(|error| stopped(&Failure::from(error), ""))?;
    if found.is_none_or(|owner| owner.policy == policy.policy && owner.cluster == cluster) {
        return place.work();
    }
    own_receipts().ok_or_else(|| {
        Stop::refused(
            format!("{} belongs to somebody else, and there is no folder for the receipt", place.store),
            "say where it is to lie: --receipts DIRECTORY",
        )
    })
}

/// The folder of receipts of this person, as the XDG specification has it; `None` where nothing says where that is.
pub(in crate::cli) fn own_receipts() -> Option<StoreWork> {
    let read = |name: &str| std::env::var_os(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    let state = read("XDG_STATE_HOME").or_else(|| Some(read("HOME")?.join(".local/state")))?;
    Some(StoreWork::Folder(state.join("kubectl-elysia").to_string_lossy().into_owned()))
}

/// Notes what the runs say for whoever lists them, where their owner acts. Where that fails, lists take longer.
pub(super) async fn noted(store: &AnyStore, owner: &Owner) {
    if let Err(failure) = listing::note(store, owner, Reading::Changed).await {
        tracing::debug!(%failure, "lists of runs will take longer");
    }
}

/// The run that is to be restored; `latest` is the newest good one.
pub(super) async fn find_good(
    store: &AnyStore,
    run: &str,
    place: &StoreArgs,
    printer: Printer,
) -> Result<Manifest, Stop> {
    if run != catalogue::LATEST {
        return find(store, run, place).await;
    }
    let next = format!("kubectl elysia backup ls {}", place.again());
    let Latest { manifest, passed_over } =
        latest(store, Timestamp::now()).await.map_err(|failure| stopped(&failure, &next))?;
    for run in named(&passed_over) {
        printer.note(&format!("passed over {}\n", plain(&run)));
    }
    Ok(manifest)
}

/// The run that is meant; `latest` is the newest.
pub(super) async fn find(store: &AnyStore, run: &str, place: &StoreArgs) -> Result<Manifest, Stop> {
    let next = format!("kubectl elysia backup ls {}", place.again());
    if run != catalogue::LATEST && !layout::is_run_id(run) {
        return Err(Stop::usage(format!("`{run}` is no run's id")));
    }
    let found = catalogue::find(store, run).await;
    let found = found.map_err(|error| stopped(&Failure::from(error), &next))?;
    match found {
        Some(manifest) if run == catalogue::LATEST || manifest.run == run => Ok(manifest),
        Some(manifest) => {
            Err(Stop::refused(format!("the manifest in the folder of {run} is that of run {}", manifest.run), next))
        }
        None if run == catalogue::LATEST => Err(Stop::refused(format!("{} has no runs", place.store), next)),
        None => Err(Stop::refused(format!("{} has no run {run}, or it was never finished", place.store), next)),
    }
}
