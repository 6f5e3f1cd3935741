//! Which events of a watch are news.

use std::collections::BTreeMap;
use std::future::ready;

use futures::{Stream, StreamExt as _};
use kube::core::ResourceExt;
use kube::runtime::watcher::{self, Event};

/// Objects of which the mark moved since they were seen last, and those that are gone.
///
/// For whoever waits for objects of another kind: kube's own predicates keep a deletion to themselves, because what is
/// deleted carries the mark that it had.
pub(super) fn moved<K: ResourceExt>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>>,
    mark: impl Fn(&K) -> String,
) -> impl Stream<Item = Result<K, watcher::Error>> {
    let mut marks = BTreeMap::new();
    events.filter_map(move |event| {
        let news = match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                let mark = mark(&object);
                (marks.insert(key(&object), mark.clone()) != Some(mark)).then_some(Ok(object))
            }
            Ok(Event::Delete(object)) => {
                marks.remove(&key(&object));
                Some(Ok(object))
            }
            Ok(Event::Init | Event::InitDone) => None,
            Err(error) => Some(Err(error)),
        };
        ready(news)
    })
}

fn key<K: ResourceExt>(object: &K) -> (Option<String>, String) {
    (object.namespace(), object.name_any())
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(name: &str, mark: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object.metadata.labels = Some(BTreeMap::from([("mark".to_owned(), mark.to_owned())]));
        object
    }

    #[tokio::test]
    async fn only_a_mark_that_moved_and_a_deletion_are_news() {
        let events = [
            Event::Init,
            Event::InitApply(object("a", "1")),
            Event::InitApply(object("b", "1")),
            Event::InitDone,
            Event::Apply(object("a", "1")),
            Event::Apply(object("a", "2")),
            Event::Apply(object("b", "1")),
            Event::Delete(object("a", "2")),
            Event::Apply(object("a", "2")),
            // The watch broke and lists again.
            Event::Init,
            Event::InitApply(object("a", "2")),
            Event::InitApply(object("b", "3")),
            Event::InitDone,
        ];
        let news = moved(stream::iter(events.map(Ok)), |object| object.labels()["mark"].clone());
        let news =
            news.map(|object| object.unwrap()).map(|object| object.name_any() + object.labels()["mark"].as_str());
        assert_eq!(news.collect::<Vec<_>>().await, ["a1", "b1", "a2", "a2", "a2", "b3"]);
    }
}
