//! The allocator of both binaries, and what the plug-in tells it: the one place of the workspace with a call that Rust cannot check.

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_set_default, mi_option_t};
pub use mimalloc::MiMalloc;

/// `mi_option_purge_delay` (`mimalloc.h` of version 2, `enum mi_option_e`): for how many milliseconds what was freed is
/// kept before it is given back to the system. The crate names no options that may change with a version; the test looks
/// whether the number still means this one.
const PURGE_DELAY: mi_option_t = 15;

/// What is read, encoded and written goes round in some tens of milliseconds. Given back after 10, as is usual, nearly every
/// page of memory is asked for anew: a backup of 40,000 objects had 115,000 page faults and 58,000 with this, and its
/// system's time was halved, for 30 MiB more at its peak. That was measured in the plug-in; operator and workers, which have
/// bounds of memory, do not call it.
const KEPT_MILLISECONDS: c_long = 100;

/// Keeps for a tenth of a second what was freed, unless `MIMALLOC_PURGE_DELAY` says otherwise. To be called first in `main`.
pub fn keep_freed() {
    // SAFETY: it writes a number into a table of its own, and is given no pointer; other threads, which would only see
    // either number, are not there yet.
    #[expect(unsafe_code, reason = "mimalloc has no other way to be told in a program")]
    unsafe {
        mi_option_set_default(PURGE_DELAY, KEPT_MILLISECONDS);
    }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::*;

    fn kept_milliseconds() -> c_long {
        // SAFETY: it reads a number from a table of its own, which this thread alone writes.
        #[expect(unsafe_code, reason = "as above")]
        unsafe {
            mi_option_get(PURGE_DELAY)
        }
    }

    /// In this process alone: the number that is usual is that of no other option near it.
    #[test]
    fn the_number_of_the_option_is_that_of_the_delay() {
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
            assert_eq!(kept_milliseconds(), 10, "what is usual in version 2: has the table changed?");
            keep_freed();
            assert_eq!(kept_milliseconds(), KEPT_MILLISECONDS);
        }
    }
}
