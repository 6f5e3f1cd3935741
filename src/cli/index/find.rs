//! Feeds that a command is about.

use elysia_api::IndexSource;
use elysia_core::health::Sighted;
use kube::core::ResourceExt as _;

use super::super::Target;
use super::super::client::{Question, Reader};
use super::super::printer::Printer;
use super::super::session::{Session, Stop};

/// One feed.
pub(super) async fn one(session: &Session, name: &str) -> Result<IndexSource, Stop> {
    let question = Question::named::<IndexSource>("get", Some(&session.namespace), name);
    let found = session.reader.ask(&question, session.api::<IndexSource>().get_opt(name)).await?;
    found.ok_or_else(|| {
        let message = format!("there is no IndexSource {name} in namespace {}", session.namespace);
        Stop::refused(message, "kubectl elysia index status -A")
    })
}

/// Every feed there is; one that cannot be read is complained about.
pub(super) async fn all(target: &Target, reader: &Reader, printer: Printer) -> Result<Vec<IndexSource>, Stop> {
    let namespace = target.namespace(reader);
    let objects = match reader.list::<IndexSource>(namespace.as_deref()).await {
        Sighted::Seen(objects) => objects,
        Sighted::Unreadable(unread) => return Err(unread.into()),
    };
    let mut feeds = Vec::new();
    for object in objects {
        match object {
            Ok(object) => feeds.push(object),
            Err(odd) => printer.complain(&format!("{}/{} cannot be read: {}", odd.namespace, odd.name, odd.message)),
        }
    }
    feeds.sort_by_key(|feed| (feed.namespace(), feed.name_any()));
    Ok(feeds)
}
