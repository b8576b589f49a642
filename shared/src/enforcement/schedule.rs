//! The whole ladder ahead as absolute instants (domain E5).

use super::EnforcementState;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// When grace begins, when management locks and when the device stops; `None` is never.
///
/// Computed by the cloud, carried by a token, judged by the device against trusted time. An instant belongs to the
/// state it begins: at `lock_at` sharp the device is management-locked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Schedule {
    /// When grace begins.
    pub grace_begins_at: Option<Timestamp>,
    /// When management locks.
    pub lock_at: Option<Timestamp>,
    /// When the device stops.
    pub stop_at: Option<Timestamp>,
}

impl Schedule {
    /// A schedule on which nothing ever happens.
    pub const NEVER: Schedule = Schedule { grace_begins_at: None, lock_at: None, stop_at: None };

    /// Whether the instants come in the order of the ladder, a later step never without the earlier ones.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        match (self.grace_begins_at, self.lock_at, self.stop_at) {
            (None, None, None) => true,
            (Some(_), None, None) => true,
            (Some(grace), Some(lock), None) => grace <= lock,
            (Some(grace), Some(lock), Some(stop)) => grace <= lock && lock <= stop,
            (None, Some(_), _) | (_, None, Some(_)) => false,
        }
    }

    /// Where the ladder stands at `now`.
    #[must_use]
    pub fn state_at(&self, now: Timestamp) -> EnforcementState {
        let reached = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if reached(self.stop_at) {
            EnforcementState::Stopped
        } else if reached(self.lock_at) {
            EnforcementState::ManagementLocked
        } else if reached(self.grace_begins_at) {
            EnforcementState::Grace
        } else {
            EnforcementState::Licensed
        }
    }

    /// The next instant after `now` at which the state changes, or `None` if it never does.
    #[must_use]
    pub fn next_change_after(&self, now: Timestamp) -> Option<Timestamp> {
        [self.grace_begins_at, self.lock_at, self.stop_at].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// The steps that come before `at`; those that would come later are never.
    #[must_use]
    pub fn before(self, at: Timestamp) -> Schedule {
        let keep = |step: Option<Timestamp>| step.filter(|step| *step < at);
        Schedule {
            grace_begins_at: keep(self.grace_begins_at),
            lock_at: keep(self.lock_at),
            stop_at: keep(self.stop_at),
        }
    }

    /// The same steps, none of them before `at`.
    #[must_use]
    pub fn not_before(self, at: Timestamp) -> Schedule {
        let delay = |step: Option<Timestamp>| step.map(|step| step.max(at));
        Schedule {
            grace_begins_at: delay(self.grace_begins_at),
            lock_at: delay(self.lock_at),
            stop_at: delay(self.stop_at),
        }
    }

    /// The element-wise earliest of two schedules (domain E5: with both causes the stricter wins at every step).
    #[must_use]
    pub fn earliest(self, other: Schedule) -> Schedule {
        fn min(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
            match (a, b) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (Some(at), None) | (None, Some(at)) => Some(at),
                (None, None) => None,
            }
        }
        Schedule {
            grace_begins_at: min(self.grace_begins_at, other.grace_begins_at),
            lock_at: min(self.lock_at, other.lock_at),
            stop_at: min(self.stop_at, other.stop_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(at: u64) -> Option<Timestamp> {
        Timestamp::from_secs(at)
    }

    #[test]
    fn an_instant_belongs_to_the_state_it_begins() {
        let schedule = Schedule { grace_begins_at: secs(10), lock_at: secs(20), stop_at: secs(30) };
        for (now, state, next) in [
            (9, EnforcementState::Licensed, secs(10)),
            (10, EnforcementState::Grace, secs(20)),
            (19, EnforcementState::Grace, secs(20)),
            (20, EnforcementState::ManagementLocked, secs(30)),
            (30, EnforcementState::Stopped, None),
        ] {
            let now = secs(now).unwrap();
            assert_eq!(schedule.state_at(now), state);
            assert_eq!(schedule.next_change_after(now), next);
        }
        assert_eq!(Schedule::NEVER.state_at(Timestamp::MAX), EnforcementState::Licensed);
    }

    #[test]
    fn two_causes_are_as_strict_as_the_stricter_at_every_step() {
        let expiry = Schedule { grace_begins_at: secs(10), lock_at: secs(50), stop_at: secs(60) };
        let capacity = Schedule { grace_begins_at: secs(20), lock_at: secs(40), stop_at: secs(90) };
        let both = expiry.earliest(capacity);
        assert_eq!(both, Schedule { grace_begins_at: secs(10), lock_at: secs(40), stop_at: secs(60) });
        assert!(both.is_ordered());
        assert_eq!(expiry.earliest(Schedule::NEVER), expiry);
        let delayed = capacity.not_before(secs(50).unwrap());
        assert_eq!(delayed, Schedule { grace_begins_at: secs(50), lock_at: secs(50), stop_at: secs(90) });
        assert_eq!(Schedule::NEVER.not_before(Timestamp::MAX), Schedule::NEVER);
    }
}
