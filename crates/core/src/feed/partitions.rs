//! What the partitions of a run say, as one: each has a ledger of its own, and every number of the feed is their sum.

use elysia_api::index_source::{
    CheckpointStatus, Counts, Lag, PartitionStatus, PartitionsStatus, RunState, Throughput,
};

use super::LedgerView;

/// Joins the ledgers of partitions, in their order; `None` where none has been written. Those of `run` count, if any
/// speaks of it, and else those of the run of the first one.
pub fn join(ledgers: &[Option<LedgerView>], run: Option<&str>) -> Option<LedgerView> {
    let of = |run: &str| ledgers.iter().flatten().any(|ledger| ledger.run == run);
    let run = run.filter(|run| of(run)).or_else(|| ledgers.iter().flatten().next().map(|first| first.run.as_str()))?;
    let members = || ledgers.iter().map(|ledger| ledger.as_ref().filter(|ledger| ledger.run == run));
    let mut joined: Option<LedgerView> = None;
    for (index, ledger) in members().enumerate() {
        let Some(ledger) = ledger else { continue };
        let ledger = LedgerView {
            message: ledger.message.as_ref().map(|message| format!("partition {index}: {message}")),
            ..ledger.clone()
        };
        joined = Some(match joined {
            None => ledger,
            Some(joined) => add(joined, ledger),
        });
    }
    let mut joined = joined?;
    if members().any(|member| member.is_none()) && matches!(joined.state, RunState::Succeeded) {
        joined.state = RunState::Running;
    }
    if joined.state != RunState::Succeeded {
        joined.finished_at = joined.finished_at.filter(|_| joined.state == RunState::Failed);
    }
    joined.dead_letters.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
    joined.dead_letters.truncate(elysia_api::STATUS_LIST_LIMIT);
    joined.partitions = Some(partitions(members()));
    Some(joined)
}

/// The state that says most: one that failed, then one at work.
fn worse(one: RunState, other: RunState) -> RunState {
    let weight = |state: RunState| match state {
        RunState::Failed => 0,
        RunState::Waiting => 1,
        RunState::Pending | RunState::Running => 2,
        RunState::Skipped => 3,
        RunState::Succeeded => 4,
    };
    if weight(other) < weight(one) { other } else { one }
}

fn add(joined: LedgerView, other: LedgerView) -> LedgerView {
    let state = worse(joined.state, other.state);
    let mut errors = joined.errors;
    for (category, count) in other.errors {
        *errors.entry(category).or_default() += count;
    }
    let mut dead_letters = joined.dead_letters;
    dead_letters.extend(other.dead_letters);
    let failed_first = |ledger: &Option<String>, is_failed: bool| ledger.clone().filter(|_| is_failed);
    let is_failed = joined.state == RunState::Failed;
    LedgerView {
        message: failed_first(&joined.message, is_failed)
            .or_else(|| failed_first(&other.message, other.state == RunState::Failed))
            .or(joined.message)
            .or(other.message),
        state,
        is_permanent: joined.is_permanent || other.is_permanent,
        counts: add_counts(&joined.counts, &other.counts),
        errors,
        checkpoint: behind(joined.checkpoint, other.checkpoint),
        throughput: add_throughput(
            &joined.throughput,
            &other.throughput,
            joined.call_milliseconds + other.call_milliseconds,
        ),
        call_milliseconds: joined.call_milliseconds + other.call_milliseconds,
        lag: most(joined.lag, other.lag),
        breaker: joined.breaker.or(other.breaker),
        dead_letters,
        // A request is dealt with when all have dealt with it.
        replayed: joined.replayed.filter(|word| other.replayed.as_ref() == Some(word)),
        started_at: joined.started_at.min(other.started_at),
        finished_at: joined.finished_at.max(other.finished_at),
        run: joined.run,
        guarded: joined.guarded,
        put_off: joined.put_off,
        caught_up_at: joined.caught_up_at,
        partitions: None,
    }
}

fn add_counts(one: &Counts, other: &Counts) -> Counts {
    Counts {
        lines: one.lines + other.lines,
        added: one.added + other.added,
        modified: one.modified + other.modified,
        deleted: one.deleted + other.deleted,
        renamed: one.renamed + other.renamed,
        unchanged: one.unchanged + other.unchanged,
        rejected: one.rejected + other.rejected,
    }
}

fn add_throughput(one: &Throughput, other: &Throughput, milliseconds: i64) -> Throughput {
    let calls = one.calls + other.calls;
    Throughput {
        lines_per_second: one.lines_per_second + other.lines_per_second,
        bytes: one.bytes + other.bytes,
        calls,
        objects: one.objects + other.objects,
        call_milliseconds: milliseconds.checked_div(calls).unwrap_or_default(),
        failed_calls: one.failed_calls + other.failed_calls,
        batch_objects: one.batch_objects.max(other.batch_objects),
        parallelism: one.parallelism + other.parallelism,
    }
}

/// All read the same files: the feed is as far as the last of them.
fn behind(one: CheckpointStatus, other: CheckpointStatus) -> CheckpointStatus {
    let reach = |checkpoint: &CheckpointStatus| (checkpoint.files_done, checkpoint.offset);
    if reach(&other) < reach(&one) { other } else { one }
}

fn most(one: Option<Lag>, other: Option<Lag>) -> Option<Lag> {
    match (one, other) {
        (Some(one), Some(other)) => Some(Lag { files: one.files.max(other.files), bytes: one.bytes.max(other.bytes) }),
        (one, other) => one.or(other),
    }
}

fn partitions<'l>(members: impl Iterator<Item = Option<&'l LedgerView>>) -> PartitionsStatus {
    let mut all = Vec::new();
    for (index, member) in (0..).zip(members) {
        let state = member.map_or(RunState::Pending, |member| member.state);
        let lines = member.map_or(0, |member| member.counts.lines);
        all.push(PartitionStatus { index, state, lines, files_done: member.map_or(0, |it| it.checkpoint.files_done) });
    }
    let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let succeeded = all.iter().filter(|one| one.state == RunState::Succeeded).count();
    let order = |state| match state {
        RunState::Failed => 0,
        RunState::Pending | RunState::Running | RunState::Waiting | RunState::Skipped => 1,
        RunState::Succeeded => 2,
    };
    all.sort_by_key(|one: &PartitionStatus| (order(one.state), one.files_done, one.lines, one.index));
    all.truncate(elysia_api::STATUS_LIST_LIMIT);
    PartitionsStatus { total, succeeded: i64::try_from(succeeded).unwrap_or(i64::MAX), slowest: all }
}

#[cfg(test)]
mod tests {
    use elysia_api::index_source::DeadLetter;
    use jiff::Timestamp;

    use super::super::OpenCircuit;
    use super::super::tests::ledger;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn letters(lines: std::ops::Range<i64>) -> Vec<DeadLetter> {
        lines.map(|line| DeadLetter { file: "a".to_owned(), line, ..DeadLetter::default() }).collect()
    }

    fn state(states: &[Option<RunState>]) -> RunState {
        let ledgers: Vec<_> = states.iter().map(|state| state.map(|state| ledger("1", state, 0))).collect();
        join(&ledgers, Some("1")).unwrap().state
    }

    #[test]
    fn a_run_is_where_its_worst_partition_is() {
        use RunState::{Failed, Running, Succeeded};
        assert_eq!(state(&[Some(Succeeded), Some(Succeeded)]), Succeeded);
        assert_eq!(state(&[Some(Succeeded), None]), Running, "one has not reported yet");
        assert_eq!(state(&[None, Some(Succeeded)]), Running);
        assert_eq!(state(&[Some(Succeeded), Some(Running)]), Running);
        assert_eq!(state(&[Some(Running), Some(Failed), Some(Succeeded)]), Failed);
        assert_eq!(join(&[None, None], Some("1")), None);
    }

    #[test]
    fn numbers_are_sums_and_lists_are_bounded() {
        let one = LedgerView {
            errors: [("network".to_owned(), 2)].into(),
            dead_letters: letters(10..28),
            call_milliseconds: 900,
            throughput: Throughput { calls: 3, bytes: 10, parallelism: 4, ..Throughput::default() },
            checkpoint: CheckpointStatus { file: None, offset: 0, files_done: 3 },
            lag: Some(Lag { files: 1, bytes: 50 }),
            started_at: at(5),
            finished_at: Some(at(9)),
            ..ledger("1", RunState::Succeeded, 2)
        };
        let other = LedgerView {
            errors: [("network".to_owned(), 1), ("memory".to_owned(), 1)].into(),
            dead_letters: letters(1..9),
            call_milliseconds: 300,
            throughput: Throughput { calls: 1, bytes: 7, parallelism: 2, ..Throughput::default() },
            checkpoint: CheckpointStatus { file: None, offset: 0, files_done: 2 },
            lag: Some(Lag { files: 2, bytes: 20 }),
            breaker: Some(OpenCircuit { since: at(1), failures: 5, message: "no memory".to_owned() }),
            started_at: at(4),
            finished_at: None,
            ..ledger("1", RunState::Running, 1)
        };
        let joined = join(&[Some(one), Some(other)], Some("1")).unwrap();
        let Counts { lines, added, rejected, .. } = joined.counts;
        assert_eq!((lines, added, rejected), (10, 7, 3));
        assert_eq!((joined.errors["network"], joined.errors["memory"]), (3, 1));
        let Throughput { calls, bytes, call_milliseconds, parallelism, .. } = joined.throughput;
        assert_eq!((calls, bytes, call_milliseconds, parallelism), (4, 17, 300, 6));
        assert_eq!((joined.checkpoint.files_done, joined.lag), (2, Some(Lag { files: 2, bytes: 50 })));
        assert_eq!((joined.started_at, joined.finished_at, joined.state), (at(4), None, RunState::Running));
        assert!(joined.breaker.is_some());
        assert_eq!((joined.dead_letters.len(), joined.dead_letters[0].line, joined.dead_letters[8].line), (20, 1, 10));
        let partitions = joined.partitions.unwrap();
        assert_eq!((partitions.total, partitions.succeeded, partitions.slowest[0].index), (2, 1, 1));
    }

    #[test]
    fn only_ledgers_of_one_run_are_joined() {
        let of = |run: &str| Some(ledger(run, RunState::Succeeded, 0));
        let joined = join(&[of("old"), of("new"), None], Some("new")).unwrap();
        assert_eq!((joined.run.as_str(), joined.counts.lines, joined.state), ("new", 5, RunState::Running));
        let former = join(&[of("old"), of("old")], Some("new")).unwrap();
        assert_eq!((former.run.as_str(), former.counts.lines), ("old", 10));
    }

    #[test]
    fn the_message_is_of_the_partition_that_failed() {
        let failed =
            |message: &str| LedgerView { message: Some(message.to_owned()), ..ledger("1", RunState::Failed, 0) };
        let joined = join(&[Some(ledger("1", RunState::Running, 0)), Some(failed("no room"))], Some("1")).unwrap();
        assert_eq!(joined.message.as_deref(), Some("partition 1: no room"));
    }
}
