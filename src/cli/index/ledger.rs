//! The ledger of a feed: it knows more rejected lines than a status may hold.

use elysia_api::IndexSource;
use elysia_api::index_source::DeadLetter;
use elysia_api::names;
use elysia_engine::ledger::Ledger;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::ResourceExt as _;

use super::super::client::Question;
use super::super::session::{Session, Stop};
use crate::worker::LEDGER_KEY;

/// The ledger, if a worker wrote one.
pub(super) async fn of(session: &Session, feed: &IndexSource) -> Result<Option<Ledger>, Stop> {
    let name = names::ledger(&feed.name_any());
    let question = Question::named::<ConfigMap>("get", Some(&session.namespace), &name);
    let found = session.reader.ask(&question, session.api::<ConfigMap>().get_opt(&name)).await?;
    let text = found.and_then(|config| config.data?.remove(LEDGER_KEY)).filter(|text| !text.is_empty());
    let Some(text) = text else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        let next = format!("kubectl get configmap {name} -n {} -o yaml", session.namespace);
        Stop::unknown(format!("ConfigMap {name} holds no ledger that this release knows: {error}"), next)
    })
}

/// A rejected line as a status has it.
pub(super) fn dead_letter(letter: &elysia_engine::rejection::DeadLetter) -> DeadLetter {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let elysia_engine::rejection::DeadLetter { file, line, offset, length, category, reason } = letter;
    DeadLetter {
        file: file.clone(),
        line: number(*line),
        offset: number(*offset),
        length: number(*length),
        category: category.as_str().to_owned(),
        reason: reason.clone(),
    }
}
