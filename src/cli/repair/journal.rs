//! The journals that recreations leave behind: what was there before.

use elysia_api::names::{COLLECTION_LABEL, JOURNAL_KEY};
use elysia_core::collection::Journal;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;

use super::super::client::Question;
use super::super::session::{Session, Stop};
use super::super::{Exit, Output, encode};
use super::RestoreSchemaArgs;

/// The newest journal of an object of this name, whether the object is still there or not.
pub(super) async fn newest(session: &Session, name: &str) -> Result<Option<Journal>, Stop> {
    let labelled = ListParams::default().labels(&format!("{COLLECTION_LABEL}={name}"));
    let question = Question::new::<ConfigMap>("list", Some(&session.namespace));
    let configs = session.reader.ask(&question, session.api::<ConfigMap>().list(&labelled)).await?;
    let journals = configs.items.iter().filter_map(|config| config.data.as_ref()?.get(JOURNAL_KEY));
    let mut journals: Vec<Journal> = journals.filter_map(|text| serde_json::from_str(text).ok()).collect();
    journals.sort_by_key(|journal| journal.since);
    Ok(journals.pop())
}

/// Prints the schema that was kept.
pub(super) async fn print(args: &RestoreSchemaArgs, session: &Session) -> Result<Exit, Stop> {
    let Some(journal) = newest(session, &args.name).await? else {
        return Err(Stop::refused(
            format!(
                "no schema was kept for {} in namespace {}: nothing of it was recreated by an approved plan",
                args.name, session.namespace
            ),
            "",
        ));
    };
    let output = if args.output == Output::Table { Output::Json } else { args.output };
    session.printer.data(&encode(&journal.live_schema, output)?)?;
    session.printer.note(&format!(
        "collection {} as it was before {}; to make it again where it is missing, send this to Weaviate: POST /v1/schema\n",
        journal.collection, journal.since
    ));
    Ok(Exit::Healthy)
}
