//! Two listings, each ascending by id and in pages of its own, laid side by side: pure.

use std::collections::VecDeque;

use uuid::Uuid;

/// What was listed of one side and is not dealt with yet.
#[derive(Debug)]
pub(super) struct Listed<T> {
    items: VecDeque<(Uuid, T)>,
    /// The last id that was listed, or where listing begins.
    reached: Option<Uuid>,
    is_over: bool,
}

/// Behind which id a page begins; `None` begins with the lowest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Behind(pub(super) Option<Uuid>);

/// An id that comes before one that was listed before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Disordered(pub(super) Uuid);

impl<T> Listed<T> {
    /// Nothing is listed yet behind this id.
    pub(super) fn behind(after: Option<Uuid>) -> Self {
        Self { items: VecDeque::new(), reached: after, is_over: false }
    }

    /// There is nothing to list.
    pub(super) fn nothing() -> Self {
        Self { items: VecDeque::new(), reached: None, is_over: true }
    }

    /// Behind which id the next page begins; `None` where none is needed now.
    pub(super) fn wants(&self) -> Option<Behind> {
        (self.items.is_empty() && !self.is_over).then_some(Behind(self.reached))
    }

    /// A page was listed; an empty one is the end.
    pub(super) fn add(&mut self, page: Vec<(Uuid, T)>) -> Result<(), Disordered> {
        self.is_over = page.is_empty();
        for (id, item) in page {
            if self.reached.is_some_and(|reached| id <= reached) {
                return Err(Disordered(id));
            }
            self.reached = Some(id);
            self.items.push_back((id, item));
        }
        Ok(())
    }

    fn next_until(&mut self, bound: Option<Uuid>) -> Option<(Uuid, T)> {
        let is_within = self.items.front().is_some_and(|(id, _)| bound.is_none_or(|bound| *id <= bound));
        if is_within { self.items.pop_front() } else { None }
    }
}

/// One id, with what each side says of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pair<A, B> {
    pub(super) id: Uuid,
    pub(super) source: Option<A>,
    pub(super) target: Option<B>,
}

/// Ids of which both sides have spoken, and the last id of which they have; `None` for that: all there are.
pub(super) fn pairs<A, B>(source: &mut Listed<A>, target: &mut Listed<B>) -> (Vec<Pair<A, B>>, Option<Uuid>) {
    let reached = |is_over: bool, reached: Option<Uuid>| if is_over { None } else { reached };
    let ends = [reached(source.is_over, source.reached), reached(target.is_over, target.reached)];
    let bound = ends.into_iter().flatten().min();
    let mut out = Vec::new();
    let (mut one, mut other) = (source.next_until(bound), target.next_until(bound));
    loop {
        let (pair, is_one, is_other) = match (one.take(), other.take()) {
            (None, None) => return (out, bound),
            (Some((id, item)), None) => (Pair { id, source: Some(item), target: None }, true, false),
            (None, Some((id, item))) => (Pair { id, source: None, target: Some(item) }, false, true),
            (Some(left), Some(right)) if left.0 < right.0 => {
                other = Some(right);
                (Pair { id: left.0, source: Some(left.1), target: None }, true, false)
            }
            (Some(left), Some(right)) if left.0 > right.0 => {
                one = Some(left);
                (Pair { id: right.0, source: None, target: Some(right.1) }, false, true)
            }
            (Some(left), Some(right)) => (Pair { id: left.0, source: Some(left.1), target: Some(right.1) }, true, true),
        };
        out.push(pair);
        if is_one {
            one = source.next_until(bound);
        }
        if is_other {
            other = target.next_until(bound);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn page(all: &BTreeSet<u8>, after: Option<Uuid>, size: usize) -> Vec<(Uuid, ())> {
        let ids = all.iter().map(|id| Uuid::from_u128(u128::from(*id)));
        ids.filter(|id| after.is_none_or(|after| *id > after)).take(size).map(|id| (id, ())).collect()
    }

    proptest! {
        #[test]
        fn every_id_is_seen_once_with_both_sides(
            source: BTreeSet<u8>, target: BTreeSet<u8>, sizes in (1_usize..9, 1_usize..9)
        ) {
            let (mut one, mut other) = (Listed::behind(None), Listed::behind(None));
            let mut seen = Vec::new();
            loop {
                if let Some(Behind(after)) = one.wants() { one.add(page(&source, after, sizes.0)).unwrap(); }
                if let Some(Behind(after)) = other.wants() { other.add(page(&target, after, sizes.1)).unwrap(); }
                let (found, bound) = pairs(&mut one, &mut other);
                seen.extend(found.into_iter().map(|pair| (pair.id.as_u128(), pair.source.is_some(), pair.target.is_some())));
                if bound.is_none() { break; }
            }
            let wanted: Vec<_> = source.union(&target)
                .map(|id| (u128::from(*id), source.contains(id), target.contains(id))).collect();
            prop_assert_eq!(seen, wanted);
        }
    }

    #[test]
    fn a_listing_out_of_order_is_refused() {
        let id = Uuid::from_u128;
        let mut listed = Listed::behind(Some(id(3)));
        assert_eq!(listed.add(vec![(id(4), ()), (id(4), ())]), Err(Disordered(id(4))));
        assert_eq!(Listed::behind(Some(id(3))).add(vec![(id(3), ())]), Err(Disordered(id(3))));
    }
}
