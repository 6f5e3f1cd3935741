//! Which run the next one builds on. Pure, as all of this.

use super::Run;

/// The run to build on: the newest, unless it is Suspect or builds on `most` others already; `None` = the next run stands
/// for itself. What an older run has that the newest lacks would be read as new again, so no other is taken.
pub fn build_on(runs: &[Run], most: usize) -> Option<&str> {
    let newest = runs.iter().max_by_key(|run| (run.finished_at, &run.id))?;
    let has_all = newest.bases.iter().all(|base| runs.iter().any(|run| run.id == *base));
    // A chain is one longer than what its newest run builds on.
    (!newest.is_suspect && has_all && newest.bases.len() < most).then_some(newest.id.as_str())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn run(number: i64, bases: &[i64]) -> Run {
        Run {
            id: number.to_string(),
            finished_at: Timestamp::from_second(number).unwrap(),
            is_suspect: false,
            is_verified: false,
            is_in_use: false,
            is_last_holder: false,
            bases: bases.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn the_newest_is_built_on_until_the_chain_is_long() {
        assert_eq!(build_on(&[], 6), None);
        let mut runs = vec![run(1, &[]), run(2, &[1]), run(3, &[2, 1])];
        assert_eq!(build_on(&runs, 6), Some("3"));
        assert_eq!(build_on(&runs, 3), Some("3"));
        assert_eq!(build_on(&runs, 2), None, "one more would build on three");
        assert_eq!(build_on(&runs, 0), None);
        runs[2].is_suspect = true;
        assert_eq!(build_on(&runs, 6), None);
        assert_eq!(build_on(&[run(3, &[2, 1]), run(2, &[1])], 6), None, "what it builds on is gone");
    }
}
