//! What several replicas list behind one cursor, laid side by side. Pure: what was listed is the argument.

use std::collections::BTreeMap;

use elysia_engine::backup::digest::object_digest;
use elysia_engine::backup::manifest::{DIFFERENCES, Difference, ReplicasNote};
use elysia_engine::object::Object;
use uuid::Uuid;

/// One object as one node lists it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The object; without properties and vectors where only its stamp was asked for.
    pub(super) object: Object,
    /// When it was made, in milliseconds since 1970.
    pub(super) created: Option<i64>,
    /// When it was written last, in milliseconds since 1970.
    pub(super) updated: Option<i64>,
    /// Whether it is whole.
    pub(super) is_whole: bool,
}

impl Seen {
    /// Whether two replicas say the same: by contents where both are whole, else by the time of the last change, which is
    /// what Weaviate itself goes by. A replica that was repaired may bear another time for the same contents.
    fn is_same(&self, other: &Self) -> bool {
        if self.is_whole && other.is_whole {
            // A number that is none is not equal to itself, but has a digest.
            return self.object == other.object || object_digest(&self.object) == object_digest(&other.object);
        }
        self.updated == other.updated
    }
}

/// What one node lists behind a cursor, ascending.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    /// The node.
    pub(super) node: String,
    /// Its objects.
    pub(super) seen: Vec<Seen>,
    /// Whether there may be more behind them.
    pub(super) is_full: bool,
}

/// The last id of which all of them speak; `None`: they speak of all there are.
pub(super) fn reach(listings: &[Listing]) -> Option<Uuid> {
    let full = listings.iter().filter(|listing| listing.is_full);
    full.filter_map(|listing| listing.seen.last()).map(|seen| seen.object.id).min()
}

/// The nearer of two ends.
pub(super) fn nearer(one: Option<Uuid>, other: Option<Uuid>) -> Option<Uuid> {
    one.into_iter().chain(other).min()
}

type Rows<'a> = BTreeMap<Uuid, Vec<Option<&'a Seen>>>;

/// What each node says of each id, as far as all of them speak.
fn rows(listings: &[Listing], reach: Option<Uuid>) -> Rows<'_> {
    let mut rows: Rows<'_> = BTreeMap::new();
    for (at, listing) in listings.iter().enumerate() {
        for seen in listing.seen.iter().take_while(|seen| reach.is_none_or(|reach| seen.object.id <= reach)) {
            rows.entry(seen.object.id).or_insert_with(|| vec![None; listings.len()])[at] = Some(seen);
        }
    }
    rows
}

fn is_alike(row: &[Option<&Seen>]) -> bool {
    let Some((first, others)) = row.split_first() else { return true };
    let Some(first) = first else { return others.iter().all(Option::is_none) };
    others.iter().all(|seen| seen.is_some_and(|seen| seen.is_same(first)))
}

/// The ids of which they say different things.
pub(super) fn differing(listings: &[Listing], reach: Option<Uuid>) -> Vec<Uuid> {
    if listings.len() < 2 {
        return Vec::new();
    }
    rows(listings, reach).into_iter().filter(|(_, row)| !is_alike(row)).map(|(id, _)| id).collect()
}

/// Those of these ids that two nodes hold with different contents. Weaviate repairs the older one by the time of the last change;
/// of two that bear the same time it repairs none.
pub(super) fn unlike(listings: &[Listing], reach: Option<Uuid>, before: &[Uuid]) -> Vec<Uuid> {
    if before.is_empty() {
        return Vec::new();
    }
    let is_unlike = |id: &Uuid, row: &[Option<&Seen>]| {
        let held: Vec<Option<&Seen>> = row.iter().copied().flatten().map(Some).collect();
        before.binary_search(id).is_ok() && !is_alike(&held)
    };
    rows(listings, reach).into_iter().filter(|(id, row)| is_unlike(id, row)).map(|(id, _)| id).collect()
}

/// The objects of a page, of each the newest that any node has; and what the nodes differ in, if they did so before.
pub(super) fn judge(
    mut listings: Vec<Listing>,
    reach: Option<Uuid>,
    before: &[Uuid],
    tenant: Option<&str>,
) -> (Vec<Seen>, ReplicasNote) {
    // What was asked for by ids comes in any order.
    for listing in &mut listings {
        listing.seen.sort_by_key(|seen| seen.object.id);
    }
    let (newest, note) = newest(&listings, reach, before, tenant);
    // They are moved: a copy of every vector would be as much work as to read it.
    let mut lists: Vec<_> = listings.into_iter().map(|listing| listing.seen.into_iter()).collect();
    let take = |(at, id): (usize, Uuid)| lists.get_mut(at)?.find(|seen| seen.object.id == id);
    (newest.into_iter().filter_map(take).collect(), note)
}

/// Which node has the newest of each id, ascending, and what they differ in.
fn newest(
    listings: &[Listing],
    reach: Option<Uuid>,
    before: &[Uuid],
    tenant: Option<&str>,
) -> (Vec<(usize, Uuid)>, ReplicasNote) {
    let mut note = ReplicasNote { compared: true, ..ReplicasNote::default() };
    if let [listing] = listings {
        let within = |id: &Uuid| reach.is_none_or(|reach| *id <= reach);
        let ids = listing.seen.iter().map(|seen| seen.object.id);
        let mut objects: Vec<_> = ids.take_while(within).map(|id| (0, id)).collect();
        objects.dedup();
        return (objects, note);
    }
    let mut objects = Vec::new();
    for (id, row) in rows(listings, reach) {
        // Among equals the first node's.
        let seen = row.iter().enumerate().filter_map(|(at, seen)| Some((at, (*seen)?)));
        let newest = seen.reduce(|best, seen| {
            let is_newer = seen.1.updated > best.1.updated || (seen.1.is_whole && !best.1.is_whole);
            if is_newer { seen } else { best }
        });
        let Some((at, newest)) = newest else { continue };
        objects.push((at, id));
        // To compare contents takes longer than to look whether it matters.
        if before.binary_search(&id).is_err() || is_alike(&row) {
            continue;
        }
        note.differing += 1;
        if note.first.len() < DIFFERENCES {
            note.first.push(difference(listings, &row, newest, tenant));
        }
    }
    (objects, note)
}

fn difference(listings: &[Listing], row: &[Option<&Seen>], newest: &Seen, tenant: Option<&str>) -> Difference {
    let mut difference = Difference {
        tenant: tenant.map(str::to_owned),
        id: newest.object.id,
        held: Vec::new(),
        lacking: Vec::new(),
        otherwise: Vec::new(),
    };
    for (listing, seen) in listings.iter().zip(row) {
        let nodes = match seen {
            None => &mut difference.lacking,
            Some(seen) if seen.is_same(newest) => &mut difference.held,
            Some(_) => &mut difference.otherwise,
        };
        nodes.push(listing.node.clone());
    }
    for nodes in [&mut difference.held, &mut difference.lacking, &mut difference.otherwise] {
        nodes.sort();
    }
    difference
}

#[cfg(test)]
mod tests {
    use elysia_engine::object::Vector;
    use serde_json::json;

    use super::*;

    fn seen(id: u128, text: &str, updated: i64) -> Seen {
        let properties = json!({"text": text}).as_object().unwrap().clone();
        let vectors = [(String::new(), Vector::Single(vec![0.5]))].into();
        Seen {
            object: Object { id: Uuid::from_u128(id), properties, vectors },
            created: Some(0),
            updated: Some(updated),
            is_whole: true,
        }
    }

    fn listing(node: &str, is_full: bool, seen: &[Seen]) -> Listing {
        Listing { node: node.to_owned(), seen: seen.to_vec(), is_full }
    }

    fn ids(objects: &[Seen]) -> Vec<u128> {
        objects.iter().map(|seen| seen.object.id.as_u128()).collect()
    }

    #[test]
    fn a_page_ends_where_the_first_node_ends() {
        let one = listing("a", true, &[seen(1, "x", 1), seen(3, "x", 1)]);
        let other = listing("b", true, &[seen(1, "x", 1), seen(2, "x", 1)]);
        let rest = listing("c", false, &[seen(1, "x", 1)]);
        let all = [one, other, rest];
        assert_eq!(reach(&all), Some(Uuid::from_u128(2)));
        let differing = differing(&all, reach(&all));
        assert_eq!(differing, [Uuid::from_u128(2)]);
        let (objects, note) = judge(all.to_vec(), reach(&all), &differing, None);
        assert_eq!((ids(&objects), note.differing), (vec![1, 2], 1));
        let Difference { held, lacking, otherwise, .. } = &note.first[0];
        assert_eq!((held.join(" "), lacking.join(" "), otherwise.join(" ")), ("b".into(), "a c".into(), String::new()));
        assert_eq!(reach(&all[2..]), None);
        assert!(unlike(&all, reach(&all), &differing).is_empty(), "what one lacks is late");
    }

    #[test]
    fn the_newest_is_taken_and_the_others_named() {
        let old = listing("a", false, &[seen(1, "old", 5), seen(2, "x", 1)]);
        let new = listing("b", false, &[seen(1, "new", 6), seen(2, "x", 9)]);
        let all = [old, new];
        let differing = differing(&all, None);
        assert_eq!(differing, [Uuid::from_u128(1)], "the same contents are the same, whatever time they bear");
        assert_eq!((unlike(&all, None, &differing), unlike(&all, None, &[])), (differing.clone(), vec![]));
        let (objects, note) = judge(all.to_vec(), None, &differing, Some("t"));
        assert_eq!(objects[0].object.properties["text"], "new");
        assert_eq!((note.first[0].held.join(" "), note.first[0].otherwise.join(" ")), ("b".into(), "a".into()));
        assert_eq!(note.first[0].tenant.as_deref(), Some("t"));
    }

    #[test]
    fn what_comes_in_any_order_is_told_in_that_of_ids() {
        let one = listing("a", false, &[seen(3, "x", 1), seen(1, "x", 1), seen(2, "old", 1)]);
        let other = listing("b", false, &[seen(2, "new", 2), seen(1, "x", 1)]);
        let (objects, _) = judge(vec![one, other], None, &[], None);
        assert_eq!(ids(&objects), [1, 2, 3]);
        assert_eq!(objects[1].object.properties["text"], "new");
    }

    #[test]
    fn what_differs_once_was_on_its_way() {
        let all = [listing("a", false, &[seen(1, "x", 1)]), listing("b", false, &[])];
        let (objects, note) = judge(all.to_vec(), None, &[], None);
        assert_eq!((ids(&objects), note.differing, note.first.len()), (vec![1], 0, 0));
    }

    #[test]
    fn stamps_are_compared_where_there_is_nothing_else_and_never_written() {
        let mut stamp = seen(1, "", 1);
        stamp.is_whole = false;
        let whole = listing("a", false, &[seen(1, "x", 1)]);
        let same = [whole.clone(), listing("b", false, &[stamp.clone()])];
        assert!(differing(&same, None).is_empty());
        assert_eq!(judge(same.to_vec(), None, &[], None).0[0].object.properties["text"], "x");
        stamp.updated = Some(2);
        assert_eq!(differing(&[whole, listing("b", false, &[stamp])], None).len(), 1);
    }

    #[test]
    fn a_number_that_is_none_is_no_difference() {
        let mut odd = seen(1, "x", 1);
        odd.object.vectors.insert("v".to_owned(), Vector::Single(vec![f32::NAN]));
        let all = [listing("a", false, &[odd.clone()]), listing("b", false, &[odd])];
        assert!(differing(&all, None).is_empty());
    }

    #[test]
    fn a_manifest_names_only_so_many() {
        let many: Vec<Seen> = (1..=100).map(|id| seen(id, "x", 1)).collect();
        let all = [listing("a", false, &many), listing("b", false, &[])];
        let before = differing(&all, None);
        let (objects, note) = judge(all.to_vec(), None, &before, None);
        assert_eq!((objects.len(), note.differing, note.first.len()), (100, 100, DIFFERENCES));
    }
}
