//! Leader election over a Lease, as a state machine without a clock.
//!
//! Like client-go's: another holder's lease is taken over only when it has stood still for its whole duration *by our
//! own clock*, so clocks that differ between machines cannot make two leaders. That clock is one that only runs forward:
//! a wall clock that is set back would make a lease look younger than it is.

use jiff::{SignedDuration, Timestamp};

/// How long a lease holds without renewal. The holder stops writing before this is over.
pub const DURATION: SignedDuration = SignedDuration::from_secs(15);
/// How often the holder renews, and others look.
pub const RENEW_EVERY: SignedDuration = SignedDuration::from_secs(4);
/// After this time without a successful renewal the holder gives up by itself, before others may take over.
pub const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// The lease as the API server has it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LeaseView {
    /// Who holds it; empty when it was given back.
    pub holder: String,
    /// Changes with every write.
    pub resource_version: String,
    /// For how long it holds without renewal.
    pub duration: SignedDuration,
}

/// What one candidate remembers between two looks.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Memory {
    /// The last version seen and when, by our own clock.
    pub seen: Option<(String, Timestamp)>,
    /// When we renewed last, if we lead.
    pub renewed: Option<Timestamp>,
}

/// For how long the holder may still count itself the leader without another renewal: nothing when it does not lead.
///
/// Counted from the moment before the renewal was sent, so it is over before others, who saw the renewal later, may
/// take the lease.
pub fn time_left(renewed: Option<Timestamp>, now: Timestamp) -> SignedDuration {
    let Some(renewed) = renewed else {
        return SignedDuration::ZERO;
    };
    GIVE_UP_AFTER.saturating_sub(now.duration_since(renewed)).clamp(SignedDuration::ZERO, GIVE_UP_AFTER)
}

/// What a candidate does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Move {
    /// Create the lease with our name.
    Create,
    /// Take or renew the lease; the write carries the version seen, so only one candidate wins.
    Write,
    /// Look again later.
    Wait,
    /// We led and cannot be sure any more: stop at once.
    StepDown,
}

/// The next move of the candidate `me`. `lease` is `None` when there is none, and the outer `None` when it could not be read.
pub fn next(me: &str, lease: Option<Option<&LeaseView>>, memory: &mut Memory, now: Timestamp) -> Move {
    let overdue = memory.renewed.is_some() && time_left(memory.renewed, now).is_zero();
    let Some(lease) = lease else {
        return if overdue { Move::StepDown } else { Move::Wait };
    };
    let Some(lease) = lease else {
        return if memory.renewed.is_some() { Move::StepDown } else { Move::Create };
    };
    if lease.holder == me {
        return if overdue { Move::StepDown } else { Move::Write };
    }
    if memory.renewed.is_some() {
        return Move::StepDown;
    }
    if lease.holder.is_empty() {
        return Move::Write;
    }
    match &memory.seen {
        Some((version, since)) if *version == lease.resource_version => {
            if now.duration_since(*since) > lease.duration {
                Move::Write
            } else {
                Move::Wait
            }
        }
        _ => {
            memory.seen = Some((lease.resource_version.clone(), now));
            Move::Wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn held_by(holder: &str, version: &str) -> LeaseView {
        LeaseView { holder: holder.to_owned(), resource_version: version.to_owned(), duration: DURATION }
    }

    #[test]
    fn a_free_lease_is_taken() {
        assert_eq!(next("a", Some(None), &mut Memory::default(), at(0)), Move::Create);
        assert_eq!(next("a", Some(Some(&held_by("", "7"))), &mut Memory::default(), at(0)), Move::Write);
    }

    #[test]
    fn a_held_lease_is_taken_only_after_it_stood_still() {
        let mut memory = Memory::default();
        assert_eq!(next("a", Some(Some(&held_by("b", "1"))), &mut memory, at(0)), Move::Wait);
        assert_eq!(next("a", Some(Some(&held_by("b", "2"))), &mut memory, at(14)), Move::Wait);
        assert_eq!(next("a", Some(Some(&held_by("b", "2"))), &mut memory, at(29)), Move::Wait);
        assert_eq!(next("a", Some(Some(&held_by("b", "2"))), &mut memory, at(30)), Move::Write);
    }

    #[test]
    fn a_leader_that_cannot_renew_steps_down_before_others_may_lead() {
        let mut memory = Memory { seen: None, renewed: Some(at(0)) };
        assert_eq!(next("a", None, &mut memory, at(9)), Move::Wait);
        assert_eq!(next("a", None, &mut memory, at(11)), Move::StepDown);
        assert_eq!(next("a", Some(Some(&held_by("a", "1"))), &mut memory, at(11)), Move::StepDown);
        assert_eq!(next("a", Some(Some(&held_by("b", "3"))), &mut memory, at(1)), Move::StepDown);
        assert!(GIVE_UP_AFTER < DURATION);
    }

    #[test]
    fn a_leader_is_certain_for_a_while_after_each_renewal() {
        for (renewed, now, left) in [
            (None, 0, 0),
            (Some(0), 0, 10),
            (Some(0), 9, 1),
            (Some(0), 10, 0),
            (Some(0), 16, 0),
            (Some(8), 10, 8),
            // Never more than one span, whatever the clock says.
            (Some(100), 0, 10),
        ] {
            let left = SignedDuration::from_secs(left);
            assert_eq!(time_left(renewed.map(at), at(now)), left, "renewed {renewed:?}, now {now}");
            let mut memory = Memory { seen: None, renewed: renewed.map(at) };
            if renewed.is_some() {
                let expected = if left.is_zero() { Move::StepDown } else { Move::Wait };
                assert_eq!(next("a", None, &mut memory, at(now)), expected, "renewed {renewed:?}, now {now}");
            }
        }
    }
}
