//! The journals that recreations leave behind: what was there before.

use std::io;

use elysia_api::names::{COLLECTION_LABEL, JOURNAL_KEY};
use elysia_core::collection::Journal;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams};

use super::super::client::{Reader, complaint};
use super::super::printer::Printer;
use super::super::{Exit, Output, Target, encode};
use super::{RestoreSchemaArgs, Stop};

/// The newest journal of an object of this name, whether the object is still there or not.
pub(super) async fn newest(reader: &Reader, namespace: &str, name: &str) -> Result<Option<Journal>, Stop> {
    let api: Api<ConfigMap> = Api::namespaced(reader.client.clone(), namespace);
    let labelled = ListParams::default().labels(&format!("{COLLECTION_LABEL}={name}"));
    let found = reader.within(api.list(&labelled)).await.map_err(Stop::unknown)?;
    let configs = found.map_err(|error| {
        Stop::unknown(format!(
            "the journals in namespace {namespace} cannot be read: {}; next: kubectl auth can-i list configmaps -n {namespace}",
            complaint(&error)
        ))
    })?;
    let journals = configs.items.iter().filter_map(|config| config.data.as_ref()?.get(JOURNAL_KEY));
    let mut journals: Vec<Journal> = journals.filter_map(|text| serde_json::from_str(text).ok()).collect();
    journals.sort_by_key(|journal| journal.since);
    Ok(journals.pop())
}

/// Prints the schema that was kept.
pub(super) async fn print(
    args: &RestoreSchemaArgs,
    target: &Target,
    reader: &Reader,
    printer: Printer,
) -> io::Result<Exit> {
    let namespace = target.namespace.clone().unwrap_or_else(|| reader.default_namespace.clone());
    let journal = match newest(reader, &namespace, &args.name).await {
        Ok(Some(journal)) => journal,
        Ok(None) => {
            let message = format!(
                "no schema was kept for {} in namespace {namespace}: nothing of it was recreated by an approved plan",
                args.name
            );
            return Ok(Stop::fault(message).tell(printer));
        }
        Err(stop) => return Ok(stop.tell(printer)),
    };
    let output = if args.output == Output::Table { Output::Json } else { args.output };
    printer.data(&encode(&journal.live_schema, output)?)?;
    printer.note(&format!(
        "collection {} as it was before {}; to make it again where it is missing, send this to Weaviate: POST /v1/schema\n",
        journal.collection, journal.since
    ));
    Ok(Exit::Healthy)
}
