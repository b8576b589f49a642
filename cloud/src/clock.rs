//! Where the cloud's time comes from, and when it is not to be believed.
//!
//! **Problem.** Grace ends and sequences grow with time, so a clock that steps back would bring back what has ended, and
//! one that jumps ahead would stop devices. **Method.** Everything asks a [`Clock`]; the books then use cloud time =
//! max(clock, last recorded event), and [`JumpWatch`] compares the wall clock with the monotonic one (token §3). While
//! there is a doubt the clock is not read: time goes on from where it was by the monotonic clock. Otherwise a jump of a
//! minute would end terms that have years to go, in a log that takes nothing back. **Deliberately absent:** correcting
//! the clock. A doubt stops issuing until an operator confirms; nothing guesses.

use coterm_shared::time::{Seconds, Timestamp};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The wall clock of this process.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970.
    fn unix_millis(&self) -> u64;

    /// Time since some fixed instant, suspension included, never going back.
    fn monotonic(&self) -> Duration;

    /// Both at one moment: milliseconds since 1970, and the monotonic time.
    fn both(&self) -> (u64, Duration) {
        (self.unix_millis(), self.monotonic())
    }

    /// The wall clock in whole seconds.
    fn now(&self) -> Timestamp {
        Timestamp::from_secs_clamped(self.unix_millis() / 1000)
    }
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_millis(&self) -> u64 {
        // A clock before 1970 is as good as none: cloud time is then the last recorded event.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        // Counts suspension: a laptop that slept has a clock that moved, and nothing to doubt.
        let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::try_from(since_boot).unwrap_or_default()
    }
}

/// The largest step of the wall clock against the monotonic clock that passes without a question: one hour (token §3).
pub const MAX_STEP: Seconds = Seconds(3600);

/// The longest time since the last recorded event that a start passes without a question: 30 days (token §3).
pub const MAX_OUTAGE: Seconds = Seconds::days(30);

/// Why nothing is issued until an operator confirms the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeDoubt {
    /// The wall clock moved against the monotonic clock while the daemon ran.
    #[error("the clock of this machine stepped by {by_secs} s while the daemon ran and now says {now}")]
    Stepped {
        /// Size of the step in seconds, either way.
        by_secs: u64,
        /// What the clock says after it.
        now: Timestamp,
    },
    /// The daemon started long after the last recorded event.
    #[error("the last recorded event is from {last_event_at}, more than 30 days before the clock's {now}")]
    LongOutage {
        /// The last recorded event.
        last_event_at: Timestamp,
        /// What the clock says now.
        now: Timestamp,
    },
}

/// Watches the wall clock for jumps; once in doubt, stays so until confirmed.
#[derive(Debug)]
pub struct JumpWatch {
    wall_millis: u64,
    monotonic: Duration,
    doubt: Option<TimeDoubt>,
    /// What is believed: the wall clock, or in doubt what it showed before, moved on by the monotonic clock.
    believed_millis: u64,
}

impl JumpWatch {
    /// Starts watching; `last_event_at` is the newest event in the store, if there is one.
    #[must_use]
    pub fn start(clock: &dyn Clock, last_event_at: Option<Timestamp>) -> JumpWatch {
        let (wall_millis, monotonic) = clock.both();
        let now = Timestamp::from_secs_clamped(wall_millis / 1000);
        let last = last_event_at.filter(|last| now.since(*last) > MAX_OUTAGE);
        let doubt = last.map(|last_event_at| TimeDoubt::LongOutage { last_event_at, now });
        let believed_millis = last.map_or(wall_millis, |last| last.as_secs().saturating_mul(1000));
        JumpWatch { wall_millis, monotonic, doubt, believed_millis }
    }

    /// Looks at the clock once more and tells the doubt there is, if any.
    pub fn check(&mut self, clock: &dyn Clock) -> Option<TimeDoubt> {
        let (wall, monotonic) = clock.both();
        let ran = u64::try_from(monotonic.saturating_sub(self.monotonic).as_millis()).unwrap_or(u64::MAX);
        let by_secs = wall.abs_diff(self.wall_millis.saturating_add(ran)) / 1000;
        let long_outage = matches!(self.doubt, Some(TimeDoubt::LongOutage { .. }));
        // A step answers nothing about the outage before it.
        if by_secs > MAX_STEP.0 && !long_outage {
            let now = Timestamp::from_secs_clamped(wall / 1000);
            self.doubt = Some(TimeDoubt::Stepped { by_secs, now });
        }
        self.believed_millis = match self.doubt {
            None => wall,
            Some(_) => self.believed_millis.saturating_add(ran),
        };
        // Small steps (leap seconds, time servers) are absorbed one by one and never add up to a doubt.
        self.wall_millis = wall;
        self.monotonic = monotonic;
        self.doubt
    }

    /// Looks at the clock once more: the milliseconds since 1970 that are believed, and the doubt there is.
    pub fn look(&mut self, clock: &dyn Clock) -> (u64, Option<TimeDoubt>) {
        let doubt = self.check(clock);
        (self.believed_millis, doubt)
    }

    /// An operator says that the clock is right.
    pub fn confirm(&mut self) {
        self.doubt = None;
        self.believed_millis = self.wall_millis;
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// A clock that stands still until a test moves it.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct ManualClock {
        /// Wall and monotonic milliseconds, under one lock: nobody sees one moved without the other.
        millis: Arc<Mutex<(u64, u64)>>,
    }

    impl ManualClock {
        pub(crate) fn at(text: &str) -> ManualClock {
            let clock = ManualClock::default();
            clock.set(text.parse().unwrap());
            clock
        }

        /// Time passes.
        pub(crate) fn advance(&self, by: Seconds) {
            let mut millis = self.millis.lock().unwrap();
            millis.0 += by.0 * 1000;
            millis.1 += by.0 * 1000;
        }

        /// The wall clock is set, and no time passes.
        pub(crate) fn set(&self, at: Timestamp) {
            self.millis.lock().unwrap().0 = at.as_secs() * 1000;
        }
    }

    impl Clock for ManualClock {
        fn unix_millis(&self) -> u64 {
            self.millis.lock().unwrap().0
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.millis.lock().unwrap().1)
        }

        fn both(&self) -> (u64, Duration) {
            let (wall, monotonic) = *self.millis.lock().unwrap();
            (wall, Duration::from_millis(monotonic))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::ManualClock;
    use super::*;

    #[test]
    fn a_step_of_more_than_an_hour_is_doubted_until_confirmed() {
        let clock = ManualClock::at("2027-01-01T00:00:00Z");
        let mut watch = JumpWatch::start(&clock, None);
        clock.advance(Seconds::days(400));
        assert_eq!(watch.check(&clock), None, "time that really passed is no jump");
        for small in [3600_u64, 1800] {
            clock.set(clock.now().saturating_add(Seconds(small)));
            assert_eq!(watch.check(&clock), None);
        }
        clock.set(clock.now().saturating_sub(Seconds(3601)));
        let doubt = watch.check(&clock);
        assert!(matches!(doubt, Some(TimeDoubt::Stepped { by_secs: 3601, .. })), "{doubt:?}");
        assert_eq!(watch.check(&clock), doubt, "the doubt stays");
        watch.confirm();
        assert_eq!(watch.check(&clock), None);
    }

    #[test]
    fn a_start_after_a_long_outage_is_doubted() {
        let clock = ManualClock::at("2027-03-01T00:00:00Z");
        let last: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        assert!(JumpWatch::start(&clock, Some(last)).check(&clock).is_some());
        let last = clock.now().saturating_sub(MAX_OUTAGE);
        assert_eq!(JumpWatch::start(&clock, Some(last)).check(&clock), None);
        assert_eq!(JumpWatch::start(&clock, Some(Timestamp::MAX)).check(&clock), None);
    }
}
