//! `kubectl elysia version`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use elysia_api::GROUP;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde::Serialize;

use super::client::{Reader, complaint};
use super::printer::{Printer, plain};
use super::{Exit, Output, Target, encode};

/// Marks the operator's Deployment, as Kubernetes recommends and the chart does.
const OPERATOR_SELECTOR: &str = "app.kubernetes.io/name=elysia-operator";
/// Carries the operator's version.
const VERSION_LABEL: &str = "app.kubernetes.io/version";

/// Arguments of `version`.
#[derive(Debug, clap::Args)]
pub(super) struct VersionArgs {
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// Every version that matters.
#[derive(Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Versions {
    /// Of this plug-in.
    pub(super) client: String,
    /// Of the operator; absent when it could not be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operator: Option<String>,
    /// Served versions of each kind; absent when they could not be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kinds: Option<BTreeMap<String, Vec<String>>>,
    /// What could not be had, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) unknown: Vec<String>,
}

pub(super) async fn run(args: &VersionArgs, target: &Target, printer: Printer) -> io::Result<Exit> {
    let versions = match Reader::connect(target).await {
        Ok(reader) => read(&reader, &target.operator_namespace).await,
        Err(unread) => Versions::of(Err(unread.message.clone()), Err(unread.message)),
    };
    let text = match args.output {
        Output::Table => render(&versions),
        output => encode(&versions, output)?,
    };
    printer.data(&text)?;
    for missing in &versions.unknown {
        printer.complain(missing);
    }
    Ok(if versions.unknown.is_empty() { Exit::Healthy } else { Exit::Unknown })
}

impl Versions {
    pub(super) fn of(operator: Result<String, String>, kinds: Result<BTreeMap<String, Vec<String>>, String>) -> Self {
        let mut unknown = Vec::new();
        let mut had = |what: &str, why: &String| unknown.push(format!("{what} unknown: {why}"));
        let operator = operator.inspect_err(|why| had("version of the operator", why)).ok();
        let kinds = kinds.inspect_err(|why| had("versions of the kinds", why)).ok();
        Self { client: env!("CARGO_PKG_VERSION").to_owned(), operator, kinds, unknown }
    }
}

async fn read(reader: &Reader, operator_namespace: &str) -> Versions {
    let (operator, kinds) = futures::join!(
        reader.within(operator_version(reader, operator_namespace)),
        reader.within(served_kinds(reader)),
    );
    Versions::of(operator.and_then(|operator| operator), kinds.and_then(|kinds| kinds))
}

async fn operator_version(reader: &Reader, namespace: &str) -> Result<String, String> {
    let api: Api<Deployment> = Api::namespaced(reader.client.clone(), namespace);
    let wanted = ListParams::default().labels(OPERATOR_SELECTOR);
    let deployments = api.list(&wanted).await.map_err(|error| complaint(&error))?;
    let Some(deployment) = deployments.items.first() else {
        return Err(format!("no Deployment with label {OPERATOR_SELECTOR} in namespace {namespace}"));
    };
    let version = deployment.labels().get(VERSION_LABEL).cloned();
    version.ok_or_else(|| format!("Deployment {} has no label {VERSION_LABEL}", deployment.name_any()))
}

/// Asks discovery and not the definitions, which only administrators may read.
async fn served_kinds(reader: &Reader) -> Result<BTreeMap<String, Vec<String>>, String> {
    let groups = reader.client.list_api_groups().await.map_err(|error| complaint(&error))?;
    let Some(group) = groups.groups.into_iter().find(|group| group.name == GROUP) else {
        return Err(format!("the API server does not know {GROUP}: is the chart installed?"));
    };
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for version in group.versions {
        let listed = reader.client.list_api_group_resources(&version.group_version).await;
        let resources = listed.map_err(|error| complaint(&error))?.resources;
        // A slash makes it a part of an object, such as its status.
        for resource in resources.into_iter().filter(|resource| !resource.name.contains('/')) {
            kinds.entry(resource.kind).or_default().push(version.version.clone());
        }
    }
    Ok(kinds)
}

pub(super) fn render(versions: &Versions) -> String {
    let operator = versions.operator.as_deref().unwrap_or("unknown");
    let mut text = format!("client     {}\noperator   {}\n", versions.client, plain(operator));
    match &versions.kinds {
        None => text.push_str("kinds      unknown\n"),
        Some(kinds) => {
            for (kind, versions) in kinds {
                // Writing to a String cannot fail.
                writeln!(text, "kind       {} {}", plain(kind), plain(&versions.join(", "))).ok();
            }
        }
    }
    text
}
