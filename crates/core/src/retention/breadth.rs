//! Which runs stand in for others when those are to go. Pure, as all of this.

/// How much of its collections a run was to hold, from the least to everything.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Breadth {
    /// Classes alone.
    Schema,
    /// Objects of which a filter is true.
    Filtered,
    /// Everything.
    #[default]
    Everything,
}

/// Whether a run stands in for these, of which nothing is wrong: none of them was to hold more. Whoever narrows a policy
/// keeps the last run of before, since what the new ones leave out may be nowhere else.
pub fn stands_in(run: Breadth, others: impl IntoIterator<Item = Breadth>) -> bool {
    others.into_iter().all(|other| other <= run)
}

#[cfg(test)]
mod tests {
    use super::Breadth::{Everything, Filtered, Schema};
    use super::*;

    #[test]
    fn less_does_not_stand_in_for_more() {
        for (run, others, stands) in [
            (Schema, &[][..], true),
            (Schema, &[Schema], true),
            (Schema, &[Schema, Filtered], false),
            (Filtered, &[Schema, Filtered], true),
            (Filtered, &[Everything], false),
            (Everything, &[Schema, Filtered, Everything], true),
        ] {
            assert_eq!(stands_in(run, others.iter().copied()), stands, "{run:?} {others:?}");
        }
    }
}
