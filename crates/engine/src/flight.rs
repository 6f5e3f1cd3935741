//! Which windows may be carried out at the same time.
//!
//! A window may begin when **no window before it that is not counted yet touches any of its objects**. What a replay
//! relies on ([`crate::window`]) is then true of all windows in flight together as it is of one alone: whatever a crash
//! leaves of them, each object is as it was before the one window that touches it, or as that window wants it; and what
//! a rename reads is put by no other.
//!
//! | in flight | next | |
//! |---|---|---|
//! | add A, add B | add C | may begin |
//! | add A, add B | modify B | waits: order for one path holds |
//! | rename A→B | add A | waits: after a crash the rename must still find what it moves |
//! | rename A→B | rename C→D | may begin |
//!
//! Windows begin in the order of the feed, so nobody overtakes one that waits. What is in flight is bounded by number,
//! bytes and reads: that is what a worker holds in memory, however long the feed is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::window::Window;

/// How much may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlightLimits {
    /// Windows.
    pub windows: usize,
    /// Bytes of their lines. A worker holds each about four times: parsed, planned, encoded, and on its way.
    pub bytes: u64,
    /// Objects that they read, whose size is not ours to bound.
    pub reads: usize,
}

impl Default for FlightLimits {
    /// Twelve MiB of lines are some fifty of memory, and more than any server takes in a second; five hundred files of
    /// 64 KiB are 32 MiB.
    fn default() -> Self {
        Self { windows: 8, bytes: 12 << 20, reads: 500 }
    }
}

/// What a window keeps others from.
#[derive(Debug)]
struct Seat {
    touched: BTreeSet<Uuid>,
    bytes: u64,
    reads: usize,
}

/// The windows that began and are not counted yet, by number.
#[derive(Debug, Default)]
struct Aloft {
    seats: BTreeMap<u64, Seat>,
    begun: u64,
}

impl Aloft {
    fn admits(&self, seat: &Seat, limits: &FlightLimits) -> bool {
        if self.seats.is_empty() {
            return true;
        }
        let bytes = self.seats.values().map(|other| other.bytes).sum::<u64>() + seat.bytes;
        let reads = self.seats.values().map(|other| other.reads).sum::<usize>() + seat.reads;
        self.seats.len() < limits.windows
            && bytes <= limits.bytes
            // A window that reads nothing adds nothing.
            && (seat.reads == 0 || reads <= limits.reads)
            && self.seats.values().all(|other| other.touched.is_disjoint(&seat.touched))
    }
}

/// Lets windows begin, in order.
#[derive(Debug)]
pub(crate) struct Flights {
    limits: FlightLimits,
    aloft: Mutex<Aloft>,
    landed: Notify,
}

impl Flights {
    pub(crate) fn new(limits: FlightLimits) -> Self {
        Self { limits, aloft: Mutex::default(), landed: Notify::new() }
    }

    /// Waits until this window may begin, and answers its number.
    pub(crate) async fn admit(&self, window: &Window) -> u64 {
        let mut seat = Some(Seat { touched: window.touched(), bytes: window.bytes(), reads: window.read_count() });
        loop {
            // Before looking: a window that lands in between must not be missed.
            let landed = self.landed.notified();
            if let Some(number) = self.seat(&mut seat) {
                return number;
            }
            landed.await;
        }
    }

    fn seat(&self, seat: &mut Option<Seat>) -> Option<u64> {
        let mut aloft = self.lock();
        let admitted = seat.take_if(|seat| aloft.admits(seat, &self.limits))?;
        aloft.begun += 1;
        let number = aloft.begun;
        aloft.seats.insert(number, admitted);
        Some(number)
    }

    /// These windows are counted.
    pub(crate) fn land(&self, numbers: impl IntoIterator<Item = u64>) {
        let mut aloft = self.lock();
        for number in numbers {
            aloft.seats.remove(&number);
        }
        drop(aloft);
        self.landed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Aloft> {
        self.aloft.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(objects: &[u128], bytes: u64, reads: usize) -> Seat {
        Seat { touched: objects.iter().copied().map(Uuid::from_u128).collect(), bytes, reads }
    }

    #[test]
    fn what_may_begin() {
        let limits = FlightLimits { windows: 3, bytes: 100, reads: 10 };
        let aloft = |seats: Vec<Seat>| Aloft { seats: (1..).zip(seats).collect(), begun: 9 };
        let cases = [
            ("alone, whatever it is", vec![], seat(&[1], 1_000, 1_000), true),
            ("other objects", vec![seat(&[1, 2], 10, 1)], seat(&[3], 10, 1), true),
            ("one object of two", vec![seat(&[1, 2], 10, 1)], seat(&[2, 3], 10, 1), false),
            ("of any window in flight", vec![seat(&[1], 1, 0), seat(&[2], 1, 0)], seat(&[1], 1, 0), false),
            ("the third", vec![seat(&[1], 1, 0), seat(&[2], 1, 0)], seat(&[3], 1, 0), true),
            ("the fourth", vec![seat(&[1], 1, 0), seat(&[2], 1, 0), seat(&[4], 1, 0)], seat(&[3], 1, 0), false),
            ("as many bytes", vec![seat(&[1], 90, 0)], seat(&[2], 10, 0), true),
            ("a byte more", vec![seat(&[1], 90, 0)], seat(&[2], 11, 0), false),
            ("a read more", vec![seat(&[1], 1, 9)], seat(&[2], 1, 2), false),
            ("no read beside too many", vec![seat(&[1], 1, 11)], seat(&[2], 1, 0), true),
            ("nothing at all", vec![seat(&[1], 1, 0)], seat(&[], 0, 0), true),
        ];
        for (case, seats, next, wanted) in cases {
            assert_eq!(aloft(seats).admits(&next, &limits), wanted, "{case}");
        }
    }
}
