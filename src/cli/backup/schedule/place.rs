//! Where the runs of a policy lie, as a person says it.

use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};

use super::{secret_key, some};
use crate::cli::backup::address::Address;
use crate::cli::session::Stop;

/// Where runs lie, and the Secrets with what opens it.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct PlaceArgs {
    /// Where runs lie: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`, or `pvc://CLAIM/PATH`.
    /// Cannot be changed later
    #[arg(long, value_name = "STORE", value_parser = NonEmptyStringValueParser::new())]
    store: Option<String>,
    /// Address of the server; that of Amazon, Google or Azure when left out
    #[arg(long, value_name = "URL", requires = "store")]
    endpoint: Option<String>,
    /// Region of the bucket, of S3
    #[arg(long, value_name = "REGION", requires = "store")]
    region: Option<String>,
    /// Storage account of the container, of Azure
    #[arg(long, value_name = "ACCOUNT", requires = "store")]
    account: Option<String>,
    /// Secret with what opens it: `accessKeyId` and `secretAccessKey` of S3, `serviceAccountKey` of Google, `accountKey`
    /// or `sasToken` of Azure
    #[arg(long, value_name = "SECRET", requires = "store")]
    credentials: Option<String>,
    /// Secret and key with certificates of authorities, in PEM, that may have signed the server's, e.g. `minio-ca/ca.crt`
    #[arg(long, value_name = "SECRET/KEY", requires = "store", value_parser = secret_key)]
    store_ca: Option<(String, String)>,
}

impl PlaceArgs {
    /// As the spec has it; `None` where nothing is said.
    pub(super) fn store(&self) -> Result<Option<Value>, Stop> {
        let Some(store) = &self.store else { return Ok(None) };
        if let Some(below) = store.strip_prefix("pvc://") {
            return self.volume(store, below).map(Some);
        }
        let elsewhere = || {
            Stop::usage(format!(
                "{store} is no place that a cluster can write to: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX and pvc://CLAIM/PATH are"
            ))
        };
        let address = match store.split_once("://") {
            Some(("s3" | "gs" | "az", _)) => Address::parse(store)?,
            _ => return Err(elsewhere()),
        };
        let is_azure = matches!(address, Address::Azure { .. });
        if self.region.is_some() && !matches!(address, Address::S3 { .. }) {
            return Err(Stop::usage(format!("{store}: --region is for s3://")));
        }
        if self.account.is_some() != is_azure {
            return Err(Stop::usage(format!(
                "{store}: az://CONTAINER/PREFIX needs --account, the storage account, and nothing else has one"
            )));
        }
        let (kind, members) = match address {
            Address::S3 { bucket, prefix } => ("s3", [("bucket", bucket), ("prefix", prefix)]),
            Address::Gcs { bucket, prefix } => ("gcs", [("bucket", bucket), ("prefix", prefix)]),
            Address::Azure { container, prefix } => ("azure", [("container", container), ("prefix", prefix)]),
            Address::Directory(_) => return Err(elsewhere()),
        };
        let [place, prefix] =
            members.map(|(name, text)| (name, Some(text).filter(|text| !text.is_empty()).map(Value::from)));
        let text = |text: &Option<String>| text.clone().map(Value::from);
        let spec = some([
            place,
            prefix,
            ("account", text(&self.account)),
            ("endpoint", text(&self.endpoint)),
            ("region", text(&self.region)),
            ("credentialsSecretRef", self.credentials.as_ref().map(|name| json!({"name": name}))),
            ("caSecretRef", self.store_ca.as_ref().map(|(name, key)| json!({"name": name, "key": key}))),
        ]);
        Ok(spec.map(|spec| json!({kind: spec})))
    }

    fn volume(&self, store: &str, below: &str) -> Result<Value, Stop> {
        let (claim, path) = below.split_once('/').unwrap_or((below, ""));
        let Self { store: _, endpoint, region, account, credentials, store_ca } = self;
        let is_plain = [endpoint, region, account, credentials].iter().all(|it| it.is_none()) && store_ca.is_none();
        if claim.is_empty() || !is_plain {
            return Err(Stop::usage(format!(
                "{store}: a volume is pvc://CLAIM/PATH, without --endpoint, --region, --account, --credentials and --store-ca"
            )));
        }
        let mut volume = json!({"claimName": claim});
        let path = path.trim_matches('/');
        if !path.is_empty() {
            volume["path"] = path.into();
        }
        Ok(json!({"volume": volume}))
    }
}
