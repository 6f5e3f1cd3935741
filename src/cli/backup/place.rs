//! Which store is meant, and who acts on it.

use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use elysia_engine::backup::catalogue;
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{Manifest, Owner};
use elysia_engine::backup::retire::owner;
use elysia_engine::backup::seal::{Key, NoKey};
use jiff::Timestamp;

use super::address::{AZURE, Address};
use super::keys::{azure_key, gcs_key, s3_key, variable};
use super::stopped;
use crate::cli::printer::{Printer, plain};
use crate::cli::session::Stop;
use crate::worker::authorities;
use crate::worker::backup::Failure;
use crate::worker::backup::latest::{Latest, latest, named};
use crate::worker::backup::listing::{self, Reading};
use crate::worker::backup::store::{self, AnyStore, StoreKey};
use crate::worker::backup::work::{AzureWork, BucketWork, GcsWork, StoreWork};

/// Whose runs are that a person makes, unless they say otherwise.
pub(super) const BY_HAND: &str = "by-hand";

/// Where runs lie. The key of a bucket is read from the environment, as other tools for it read it: arguments are seen by
/// everybody on the machine.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Store")]
pub(super) struct StoreArgs {
    /// Where runs lie: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`, or a directory. What opens it
    /// is read from `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`; from the file that
    /// `GOOGLE_APPLICATION_CREDENTIALS` names; from `AZURE_STORAGE_KEY` or `AZURE_STORAGE_SAS_TOKEN`
    #[arg(long, env = "ELYSIA_BACKUP_STORE", hide_env_values = true, value_name = "STORE", value_parser = NonEmptyStringValueParser::new())]
    pub(super) store: String,
    /// Address of the server, e.g. `http://localhost:9000`; that of Amazon, Google or Azure when left out, and of S3
    /// what `AWS_ENDPOINT_URL` says
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Region of the bucket, of S3
    #[arg(long, env = "AWS_REGION", value_name = "REGION", hide_env_values = true)]
    region: Option<String>,
    /// Storage account of the container, of Azure
    #[arg(long, env = "AZURE_STORAGE_ACCOUNT", value_name = "ACCOUNT", hide_env_values = true)]
    account: Option<String>,
    /// File with certificates of authorities, in PEM, that may have signed the server's, beside those of the system
    #[arg(long, env = "ELYSIA_BACKUP_STORE_CA", value_name = "FILE", hide_env_values = true)]
    store_ca: Option<PathBuf>,
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
        let address = Address::parse(place)?;
        let (endpoint, anonymous) = (self.endpoint.clone(), self.anonymous);
        let work = match address {
            Address::Directory(path) => {
                let path = std::path::absolute(path)?;
                return Ok(StoreWork::Folder(path.to_string_lossy().into_owned()));
            }
            Address::S3 { bucket, prefix } => StoreWork::S3(BucketWork {
                bucket,
                prefix,
                endpoint: endpoint.or_else(|| variable("AWS_ENDPOINT_URL")),
                region: self.region.clone(),
                anonymous,
                authorities: None,
            }),
            Address::Gcs { bucket, prefix } => {
                StoreWork::Gcs(GcsWork { bucket, prefix, endpoint, anonymous, authorities: None })
            }
            Address::Azure { container, prefix } => {
                let account = self.account.clone().filter(|account| !account.is_empty());
                let account = account.ok_or_else(|| {
                    Stop::usage(format!("{place}: which storage account? Say --account, or set AZURE_STORAGE_ACCOUNT"))
                })?;
                StoreWork::Azure(AzureWork { account, container, prefix, endpoint, anonymous, authorities: None })
            }
        };
        Ok(work.trusting(self.authorities()?))
    }

    /// Certificates of authorities that are trusted as well, in PEM.
    fn authorities(&self) -> Result<Option<String>, Stop> {
        let Some(file) = &self.store_ca else { return Ok(None) };
        let refuse = |problem: String| {
            Stop::refused(format!("--store-ca {}: {problem}", file.display()), "name the certificate of the authority")
        };
        let pem = std::fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?;
        authorities(&pem).map_err(refuse)?;
        Ok(Some(pem))
    }

    /// Opens it; no call is made yet.
    pub(super) fn open(&self) -> Result<AnyStore, Stop> {
        open(&self.work()?)
    }

    /// Opens one that is to be read. A directory that is not there was mistyped: it is no store without runs.
    pub(super) fn open_there(&self) -> Result<AnyStore, Stop> {
        let work = self.work()?;
        if let StoreWork::Folder(path) = &work {
            let is_there = match std::fs::metadata(path) {
                Ok(found) => found.is_dir(),
                // What else is wrong the store itself tells.
                Err(error) => error.kind() != std::io::ErrorKind::NotFound,
            };
            if !is_there {
                return Err(Stop::refused(
                    format!("there is no directory {path}"),
                    "see that --store is spelled right",
                ));
            }
        }
        open(&work)
    }

    /// What has to be typed once more to mean the same store.
    pub(super) fn again(&self) -> String {
        let endpoint = self.endpoint.as_ref().map(|endpoint| format!(" --endpoint {endpoint}")).unwrap_or_default();
        let account = self.account.as_ref().filter(|_| self.store.starts_with(AZURE));
        let account = account.map(|account| format!(" --account {account}")).unwrap_or_default();
        let trusted = self.store_ca.as_ref().map(|file| format!(" --store-ca {}", file.display())).unwrap_or_default();
        let unsigned = if self.anonymous { " --anonymous" } else { "" };
        format!("--store {}{endpoint}{account}{trusted}{unsigned}", self.store)
    }
}

/// Opens a store with the key of the environment.
pub(in crate::cli) fn open(work: &StoreWork) -> Result<AnyStore, Stop> {
    let key = match work {
        StoreWork::S3(work) if !work.anonymous => Some(StoreKey::S3(s3_key()?)),
        StoreWork::Gcs(work) if !work.anonymous => Some(StoreKey::Gcs(gcs_key()?)),
        StoreWork::Azure(work) if !work.anonymous => Some(StoreKey::Azure(azure_key()?)),
        StoreWork::S3(_) | StoreWork::Gcs(_) | StoreWork::Azure(_) | StoreWork::Folder(_) => None,
    };
    store::open_by_hand(work, key).map_err(|failure| stopped(&failure, ""))
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

/// Whether a place is that folder.
pub(super) fn is_own(place: &StoreWork) -> bool {
    match (place, own_receipts()) {
        (StoreWork::Folder(place), Some(StoreWork::Folder(own))) => Path::new(place) == Path::new(&own),
        _ => false,
    }
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
