//! What this process took, for the ledger.

use std::fs;

use elysia_core::profile::WorkProfile;
use elysia_engine::backup::{restore, write};

/// What Linux says of this process, its peak among it.
const STATUS: &str = "/proc/self/status";
/// What the container may have: a number, or `max`.
const LIMIT: &str = "/sys/fs/cgroup/memory.max";

/// Of a run that is being written.
pub(super) fn of_backup(progress: &write::Progress) -> WorkProfile {
    let profile = WorkProfile {
        read_bytes: number(progress.read_bytes.load(std::sync::atomic::Ordering::Relaxed)),
        written_bytes: number(progress.bytes.load(std::sync::atomic::Ordering::Relaxed)),
        reading_milliseconds: number(progress.reading.milliseconds()),
        converting_milliseconds: number(progress.encoding.milliseconds()),
        writing_milliseconds: number(progress.writing.milliseconds()),
        ..WorkProfile::default()
    };
    with_memory(profile)
}

/// Of a restore.
pub(super) fn of_restore(progress: &restore::Progress) -> WorkProfile {
    let profile = WorkProfile {
        read_bytes: number(progress.read_bytes.load(std::sync::atomic::Ordering::Relaxed)),
        written_bytes: number(progress.written_bytes.load(std::sync::atomic::Ordering::Relaxed)),
        reading_milliseconds: number(progress.fetching.milliseconds()),
        converting_milliseconds: number(progress.decoding.milliseconds()),
        writing_milliseconds: number(progress.writing.milliseconds()),
        ..WorkProfile::default()
    };
    with_memory(profile)
}

/// The same with the memory of now.
pub(super) fn with_memory(profile: WorkProfile) -> WorkProfile {
    let read = |file: &str| fs::read_to_string(file).ok();
    WorkProfile {
        peak_memory_bytes: read(STATUS).and_then(|status| peak(&status)),
        memory_limit_bytes: read(LIMIT).and_then(|limit| limit.trim().parse().ok()),
        ..profile
    }
}

/// `VmHWM:     1234 kB`, in bytes.
fn peak(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<i64>().ok()?.checked_mul(1024)
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_told_in_bytes() {
        assert_eq!(peak("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"), Some(2 << 20));
        assert_eq!(peak("Name:\tx\n"), None);
        assert!(of_backup(&write::Progress::default()).peak_memory_bytes.is_none_or(|bytes| bytes > 0));
    }
}
