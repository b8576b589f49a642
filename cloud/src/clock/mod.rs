//! Where the cloud's time comes from, and when it is not to be believed.
//!
//! **Problem.** Grace ends and sequences grow with time, so a clock that steps back would bring back what has ended, and
//! one that jumps ahead would stop devices. **Method.** Everything asks a [`Clock`]; the books then use cloud time =
//! max(clock, last recorded event), and [`JumpWatch`] compares the wall clock with the monotonic one (token §3), over
//! restarts too. While there is a doubt the clock is not read: time goes on from where it was by the monotonic clock.
//! Otherwise a jump of a minute would end terms that have years to go, in a log that takes nothing back. **Deliberately
//! absent:** correcting the clock. A doubt stops issuing until an operator confirms; nothing guesses.

mod watch;

pub use watch::{JumpWatch, MAX_OUTAGE, MAX_STEP, Tick, TimeDoubt};

use coterm_shared::time::Timestamp;
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

    /// Which boot the monotonic time counts from; `None` if that cannot be told, and then no two boots are the same.
    fn boot(&self) -> Option<String>;

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

    fn boot(&self) -> Option<String> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(id.trim().to_owned())
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use coterm_shared::time::Seconds;
    use std::sync::{Arc, Mutex};

    /// A clock that stands still until a test moves it.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct ManualClock {
        /// Wall and monotonic milliseconds, under one lock: nobody sees one moved without the other.
        millis: Arc<Mutex<(u64, u64)>>,
        boots: Arc<Mutex<u64>>,
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

        /// The machine starts anew, and its monotonic clock with it.
        pub(crate) fn reboot(&self) {
            self.millis.lock().unwrap().1 = 0;
            *self.boots.lock().unwrap() += 1;
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

        fn boot(&self) -> Option<String> {
            Some(self.boots.lock().unwrap().to_string())
        }
    }
}
