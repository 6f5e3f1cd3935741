//! How many objects a page has: so many that a call is worth its way, and not so many that a lane takes much memory.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use elysia_engine::backup::ports::Stretch;
use uuid::Uuid;

use super::replicas::Listing;

/// Objects of the first page; the sizes of objects decide how many the next ones have.
const FIRST_PAGE: usize = 100;
/// Objects of one page, at most: the server reads so many of every shard for it.
const MOST_OBJECTS: usize = 1000;
/// About so many bytes has a page. Each of the engine's lanes holds one of every node.
const PAGE_BYTES: usize = 4 << 20;

/// What was learned of a class's objects.
pub(super) struct Paging {
    /// Objects of the next page.
    limit: AtomicUsize,
    /// The same of a page without properties and vectors.
    stamps: AtomicUsize,
    /// How far apart ids are, in the first half of their bits; 0: not known.
    gap: AtomicU64,
}

impl Default for Paging {
    fn default() -> Self {
        Self { limit: AtomicUsize::new(FIRST_PAGE), stamps: AtomicUsize::new(MOST_OBJECTS), gap: AtomicU64::new(0) }
    }
}

/// Of whom objects are asked for; of the others ids and times alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Whole {
    All,
    First,
    None,
}

impl Paging {
    /// How many objects are asked for.
    pub(super) fn limit(&self, whole: Whole) -> &AtomicUsize {
        if whole == Whole::None { &self.stamps } else { &self.limit }
    }

    /// Large objects come in small pages.
    pub(super) fn adapt(&self, listings: &[Listing]) {
        let Some(seen) = listings.first().map(|listing| &listing.seen).filter(|seen| !seen.is_empty()) else { return };
        let bytes: usize = seen.iter().map(|seen| seen.object.bytes()).sum();
        let each = (bytes / seen.len()).max(1);
        self.limit.store((PAGE_BYTES / each).clamp(1, MOST_OBJECTS), Ordering::Relaxed);
    }

    /// Notes how far apart ids are. Only where they are all of one shape: of tenants each has its own.
    pub(super) fn space(&self, listings: &[Listing], stretch: Stretch<'_>) {
        let Some(seen) = listings.first().map(|listing| &listing.seen).filter(|_| stretch.tenant.is_none()) else {
            return;
        };
        if let [.., last] = seen.as_slice() {
            let span = half(last.object.id).saturating_sub(stretch.after.map_or(0, half));
            self.gap.store(span / seen.len() as u64, Ordering::Relaxed);
        }
    }

    /// So many objects, or those that the rest of the stretch may have: what lies behind its end would be read for nothing.
    pub(super) fn within(&self, stretch: Stretch<'_>, most: usize) -> usize {
        let gap = self.gap.load(Ordering::Relaxed);
        let Some(until) = stretch.until.filter(|_| gap > 0) else { return most };
        let left = half(until).saturating_sub(stretch.after.map_or(0, half)) / gap;
        // Ids fall by chance: of a hundred thousand stretches one has more than four deviations above the mean.
        let expected = left + 4 * left.isqrt() + 16;
        usize::try_from(expected).unwrap_or(most).clamp(most.min(FIRST_PAGE), most)
    }
}

/// The first half of an id's bits, which says where it stands among others.
fn half(id: Uuid) -> u64 {
    id.as_u64_pair().0
}

#[cfg(test)]
mod tests {
    use elysia_engine::object::{Object, Vectors};

    use super::super::replicas::Seen;
    use super::*;

    #[test]
    fn a_page_ends_about_where_its_stretch_does() {
        let pages = Paging::default();
        let id = |half: u64| Uuid::from_u64_pair(half, 0);
        let stretch = |after, until: Option<u64>| Stretch {
            collection: "A",
            tenant: None,
            slice: 0,
            after: Some(id(after)),
            until: until.map(id),
        };
        let seen = |half: u64| {
            let object = Object { id: id(half), properties: serde_json::Map::new(), vectors: Vectors::new() };
            Seen { object, created: None, updated: None, is_whole: true }
        };
        assert_eq!(pages.within(stretch(0, Some(1)), 1000), 1000, "nothing is known yet");
        let seen: Vec<Seen> = (1..=100).map(|number| seen(number << 20)).collect();
        pages.space(&[Listing { node: String::new(), seen, is_full: true }], stretch(0, None));
        assert_eq!(pages.within(stretch(0, None), 1000), 1000);
        assert_eq!(pages.within(stretch(0, Some(5000 << 20)), 1000), 1000);
        assert_eq!(pages.within(stretch(100 << 20, Some(500 << 20)), 1000), 400 + 4 * 20 + 16);
        assert_eq!(pages.within(stretch(100 << 20, Some(101 << 20)), 1000), FIRST_PAGE, "never one by one");
        assert_eq!(pages.within(stretch(100 << 20, Some(101 << 20)), 7), 7);
    }

    #[test]
    fn large_objects_come_in_small_pages() {
        let pages = Paging::default();
        let listing = |bytes: usize, count: u128| {
            let text = serde_json::json!({"t": "x".repeat(bytes)});
            let object = |id| Object {
                id: Uuid::from_u128(id),
                properties: text.as_object().unwrap().clone(),
                vectors: Vectors::new(),
            };
            let seen =
                (0..count).map(object).map(|object| Seen { object, created: None, updated: None, is_whole: true });
            Listing { node: String::new(), seen: seen.collect(), is_full: true }
        };
        let limit = || pages.limit.load(Ordering::Relaxed);
        pages.adapt(&[listing(10, 5)]);
        assert_eq!(limit(), MOST_OBJECTS);
        pages.adapt(&[listing(PAGE_BYTES, 1)]);
        assert_eq!(limit(), 1);
        pages.adapt(&[listing(1 << 20, 2)]);
        assert_eq!(limit(), 3);
        pages.adapt(&[]);
        assert_eq!(limit(), 3);
    }
}
