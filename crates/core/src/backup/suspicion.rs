//! Whether a run lacks what the good run before it had. Such a run may be the first sign of a loss, and what it lacks
//! may lie in older runs alone: they must not be retired for it.

use std::collections::{BTreeMap, BTreeSet};

/// By how many of a hundred objects a collection may shrink when the policy says nothing: halving is rare, and losing a
/// shard of two or three is what it is to notice.
pub const MAX_SHRINK: u8 = 50;

/// Objects of each collection of a run.
pub type Contents = BTreeMap<String, u64>;

/// What is asked of a run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Expectation {
    /// By how many of a hundred objects a collection may have shrunk.
    pub max_shrink: u8,
    /// The collections that are declared; empty: all.
    pub declared: BTreeSet<String>,
    /// Collections that were left out on purpose.
    pub left_out: BTreeSet<String>,
    /// Collections that are lacking for a restore that was begun, is not over and that no object here stands for, and why.
    pub interrupted: BTreeMap<String, String>,
}

impl Expectation {
    /// Whether a run that does not hold this collection lacks it: whoever takes one out of the list does not expect it.
    pub fn expects(&self, name: &str) -> bool {
        let Self { max_shrink: _, declared, left_out, interrupted } = self;
        !left_out.contains(name) && !interrupted.contains_key(name) && (declared.is_empty() || declared.contains(name))
    }
}

/// A good run, as far as later ones are compared with it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Past {
    /// What it holds.
    pub contents: Contents,
    /// Collections of which it says nothing, whether they are there or not.
    pub silent: BTreeSet<String>,
}

/// What a run is compared with, of good ones before it, the newest first: what the newest holds, and of each collection of
/// which that says nothing what the newest holds that does. What a run lacks that is not silent about it, somebody took out.
pub fn baseline(newest_first: impl IntoIterator<Item = Past>) -> Contents {
    let mut runs = newest_first.into_iter();
    let Some(Past { contents: mut baseline, silent: mut open }) = runs.next() else { return Contents::new() };
    open.retain(|name| !baseline.contains_key(name));
    for Past { contents, silent } in runs {
        if open.is_empty() {
            break;
        }
        open.retain(|name| {
            let had = contents.get(name);
            baseline.extend(had.map(|had| (name.clone(), *had)));
            had.is_none() && silent.contains(name)
        });
    }
    baseline
}

/// Why this run is Suspect; none: it is not. Collections are missed beside the last good runs, `before`. Objects are counted
/// beside the last good ones that were to hold the same, `like`: where a filter or the mode is another, fewer say nothing.
pub fn judge(before: &Contents, like: &Contents, run: &Contents, expected: &Expectation) -> Vec<String> {
    let Expectation { max_shrink, declared: _, left_out: _, interrupted } = expected;
    let mut reasons: Vec<String> =
        interrupted.iter().map(|(name, why)| format!("it lacks collection {name}: {why}")).collect();
    let names: BTreeSet<&String> = before.keys().chain(like.keys()).collect();
    for name in names.into_iter().filter(|name| expected.expects(name)) {
        match (run.get(name), before.get(name), like.get(name)) {
            (None, Some(had), _) => {
                reasons.push(format!("it lacks collection {name}, of which the run before it had {had} objects"));
            }
            (Some(has), _, Some(had)) if shrank(*had, *has) > *max_shrink => reasons.push(format!(
                "collection {name} has {has} objects and had {had}: {} % less, more than the {max_shrink} % of maxShrink",
                shrank(*had, *has)
            )),
            // What a good run since lacks as well, somebody took out.
            (None, None, _) | (Some(_), _, _) => {}
        }
    }
    reasons
}

/// Of a hundred objects, how many are gone; rounded up, so that the last object of many is seen to be gone.
pub(crate) fn shrank(had: u64, has: u64) -> u8 {
    let gone = u128::from(had.saturating_sub(has));
    u8::try_from((gone * 100).div_ceil(u128::from(had.max(1)))).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(of: &[(&str, u64)]) -> Contents {
        of.iter().map(|(name, objects)| ((*name).to_owned(), *objects)).collect()
    }

    fn names(of: &[&str]) -> BTreeSet<String> {
        of.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_run_that_lacks_or_shrank_is_suspect() {
        let before = [("Articles", 1000), ("Notes", 10)];
        for (what, run, max_shrink, declared, left_out, reasons) in [
            ("the same", &[("Articles", 1000), ("Notes", 10)][..], 0, &[][..], &[][..], 0),
            ("more", &[("Articles", 9000), ("Notes", 10), ("New", 1)], 0, &[], &[], 0),
            ("within", &[("Articles", 500), ("Notes", 10)], 50, &[], &[], 0),
            ("one more", &[("Articles", 499), ("Notes", 10)], 50, &[], &[], 1),
            ("none allowed", &[("Articles", 999), ("Notes", 10)], 0, &[], &[], 1),
            ("emptied", &[("Articles", 0), ("Notes", 0)], 50, &[], &[], 2),
            ("emptied, and that is allowed", &[("Articles", 0), ("Notes", 0)], 100, &[], &[], 0),
            ("gone", &[("Articles", 1000)], 100, &[], &[], 1),
            ("gone and still declared", &[("Articles", 1000)], 100, &["Articles", "Notes"], &[], 1),
            ("no longer declared", &[("Articles", 1000)], 100, &["Articles"], &[], 0),
            ("left out on purpose", &[("Articles", 1000)], 100, &[], &["Notes"], 0),
            ("all gone", &[], 50, &[], &[], 2),
        ] {
            let expected = Expectation {
                max_shrink,
                declared: names(declared),
                left_out: names(left_out),
                ..Expectation::default()
            };
            let found = judge(&contents(&before), &contents(&before), &contents(run), &expected);
            assert_eq!(found.len(), reasons, "{what}: {found:?}");
        }
        let interrupted = [("Notes".to_owned(), "restore r is not over".to_owned())].into();
        let expected = Expectation { max_shrink: 100, interrupted, ..Expectation::default() };
        for before in [contents(&before), Contents::new()] {
            let found = judge(&before, &before, &contents(&[("Articles", 1000)]), &expected);
            assert_eq!(found, ["it lacks collection Notes: restore r is not over"]);
        }
        let expected = Expectation { max_shrink: MAX_SHRINK, ..Expectation::default() };
        assert_eq!(
            judge(&Contents::new(), &Contents::new(), &contents(&before), &expected),
            [""; 0],
            "the first run has none before it"
        );
        assert_eq!(
            judge(&contents(&before), &contents(&before), &contents(&[("Articles", 3)]), &expected),
            [
                "collection Articles has 3 objects and had 1000: 100 % less, more than the 50 % of maxShrink",
                "it lacks collection Notes, of which the run before it had 10 objects"
            ]
        );
    }

    #[test]
    fn a_run_of_another_choice_lacks_collections_and_does_not_shrink() {
        let expected = Expectation { max_shrink: MAX_SHRINK, ..Expectation::default() };
        let (whole, some) = ([("Articles", 1000), ("Notes", 10)], [("Articles", 30), ("Notes", 2)]);
        for (what, before, like, run, reasons) in [
            ("the first with a filter", &whole[..], &[][..], &some[..], 0),
            ("the first of schemas alone", &whole, &[], &[("Articles", 0), ("Notes", 0)], 0),
            ("the first with a filter, and a collection is gone", &whole, &[], &some[..1], 1),
            ("the next with the filter", &some, &some, &[("Articles", 14), ("Notes", 2)], 1),
            ("the whole again, beside the whole of before", &some, &whole, &[("Articles", 499), ("Notes", 10)], 1),
            ("what a good run since lacks is not missed again", &some[..1], &whole, &[("Articles", 1000)], 0),
        ] {
            let found = judge(&contents(before), &contents(like), &contents(run), &expected);
            assert_eq!(found.len(), reasons, "{what}: {found:?}");
        }
    }

    #[test]
    fn of_what_a_run_is_silent_an_older_one_speaks() {
        type Held = &'static [(&'static str, u64)];
        let past = |(of, silent): &(Held, &[&str])| Past { contents: contents(of), silent: names(silent) };
        let (all, some): (Held, Held) = (&[("Articles", 9), ("Notes", 3)], &[("Articles", 8)]);
        for (what, newest_first, wanted) in [
            ("there is none", &[][..], &[][..]),
            ("one", &[(all, &[][..])], all),
            ("what the newest holds", &[(some, &[][..]), (all, &[])], some),
            ("what it says nothing of", &[(some, &["Notes"][..]), (all, &[])], &[("Articles", 8), ("Notes", 3)]),
            (
                "for many runs",
                &[(some, &["Notes"][..]), (some, &["Notes"]), (all, &[])],
                &[("Articles", 8), ("Notes", 3)],
            ),
            ("somebody took it out before", &[(some, &["Notes"][..]), (some, &[]), (all, &[])], some),
            ("no run ever held it", &[(some, &["Notes"][..]), (some, &["Notes"])], some),
            (
                "the newest of them",
                &[(some, &["Notes"][..]), (&[("Notes", 5)], &[]), (all, &[])],
                &[("Articles", 8), ("Notes", 5)],
            ),
        ] {
            assert_eq!(baseline(newest_first.iter().map(past)), contents(wanted), "{what}");
        }
    }

    #[test]
    fn twenty_good_runs_raise_no_alarm() {
        let expected = Expectation { max_shrink: MAX_SHRINK, ..Expectation::default() };
        let mut before = contents(&[("Articles", 1000), ("Notes", 4)]);
        for night in 0..20 {
            let run = contents(&[("Articles", 900 + night * 37 % 211), ("Notes", 3 + night % 3)]);
            assert_eq!(judge(&before, &before, &run, &expected), [""; 0], "{night}");
            before = run;
        }
    }
}
