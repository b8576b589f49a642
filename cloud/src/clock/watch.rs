//! Whether the wall clock is to be believed: now, and after a restart.
//!
//! **Problem.** A clock that is wrong when the daemon starts looks like one that is right. **Method.** The clocks are
//! noted as they run ([`Tick`]). After a restart in the same boot the boot clock, which nobody can set, tells exactly how
//! much time has passed, so that a step is seen though nobody ran to see it; a doubt is carried on, and with it the time
//! that was believed. After a reboot there are bounds: it is later than the last tick and the last event, and more than
//! 30 days later is worth a question (token §3). **Deliberately absent:** a verdict on less than that; THREATS.md names
//! what stays.

use super::Clock;
use coterm_shared::time::{Seconds, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The largest step of the wall clock against the monotonic clock that passes without a question: one hour (token §3).
pub const MAX_STEP: Seconds = Seconds(3600);

/// The longest time since the last recorded event or tick that a start passes without a question: 30 days (token §3).
pub const MAX_OUTAGE: Seconds = Seconds::days(30);

/// Between two ticks while nothing happens.
const TICK_EVERY: Duration = Duration::from_secs(600);

/// A drift of the wall clock against the monotonic clock that is noted at once.
const NOTED_DRIFT: Duration = Duration::from_secs(60);

/// Why nothing is issued until an operator confirms the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "doubt", rename_all = "kebab-case")]
pub enum TimeDoubt {
    /// The wall clock moved against the monotonic clock, while the daemon ran or between two of its runs in one boot.
    #[error("the clock of this machine stepped by {by_secs} s against its boot clock and then said {now}")]
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
    /// The daemon started with a clock that is certainly behind.
    #[error("the last recorded event is from {last_event_at}, more than an hour after the clock's {now}")]
    Behind {
        /// The last recorded event.
        last_event_at: Timestamp,
        /// What the clock says now.
        now: Timestamp,
    },
    /// A doubt was open when the machine was restarted.
    #[error(
        "the time was in doubt at {last_at} and nobody confirmed it; then the machine restarted and says {now}"
    )]
    Unsettled {
        /// What was believed last.
        last_at: Timestamp,
        /// What the clock says now.
        now: Timestamp,
    },
}

/// The clocks at one moment, and what was thought of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// Which boot it was.
    pub boot: Option<String>,
    /// The monotonic clock of that boot.
    pub monotonic_millis: u64,
    /// What the wall clock showed.
    pub wall_millis: u64,
    /// What was believed.
    pub believed_millis: u64,
    /// The doubt there was.
    pub doubt: Option<TimeDoubt>,
}

impl Tick {
    /// Whether this tick says something that the one on disk does not.
    #[must_use]
    pub fn is_due(&self, kept: &Tick) -> bool {
        let offset = |tick: &Tick| i128::from(tick.wall_millis) - i128::from(tick.monotonic_millis);
        let age = self.monotonic_millis.saturating_sub(kept.monotonic_millis);
        self.boot != kept.boot
            || self.doubt != kept.doubt
            || offset(self).abs_diff(offset(kept)) > NOTED_DRIFT.as_millis()
            || Duration::from_millis(age) >= TICK_EVERY
    }

    /// How long ago it was by the boot clock, if this is the same boot.
    fn ago(&self, boot: Option<&str>, monotonic_millis: u64) -> Option<u64> {
        let same = boot.is_some() && self.boot.as_deref() == boot;
        monotonic_millis.checked_sub(self.monotonic_millis).filter(|_| same)
    }
}

/// Watches the wall clock for jumps; once in doubt, stays so until confirmed.
#[derive(Clone, Debug)]
pub struct JumpWatch {
    boot: Option<String>,
    wall_millis: u64,
    monotonic: Duration,
    doubt: Option<TimeDoubt>,
    /// What is believed: the wall clock, or in doubt what it showed before, moved on by the monotonic clock.
    believed_millis: u64,
}

impl JumpWatch {
    /// Starts watching; `last_event_at` is the newest event in the store, and `tick` the last tick, if there are any.
    #[must_use]
    pub fn start(clock: &dyn Clock, last_event_at: Option<Timestamp>, tick: Option<&Tick>) -> JumpWatch {
        let (wall_millis, monotonic) = clock.both();
        let boot = clock.boot();
        let mut watch = JumpWatch { boot, wall_millis, monotonic, doubt: None, believed_millis: wall_millis };
        let now = at(wall_millis);
        let last = last_event_at.max(tick.map(|tick| at(tick.believed_millis)));
        let last_millis = last.map_or(0, |last| last.as_secs().saturating_mul(1000));
        let ago = tick.and_then(|tick| Some((tick, tick.ago(watch.boot.as_deref(), millis(monotonic))?)));
        match (ago, tick.and_then(|tick| tick.doubt), last) {
            // The same boot: by the boot clock it is known how much time has passed.
            (Some((tick, ago)), Some(doubt), _) => {
                watch.doubt = Some(doubt);
                watch.believed_millis = tick.believed_millis.saturating_add(ago);
            }
            (Some((tick, ago)), None, _) if stepped(tick.wall_millis, ago, wall_millis) > MAX_STEP.0 => {
                let by_secs = stepped(tick.wall_millis, ago, wall_millis);
                watch.doubt = Some(TimeDoubt::Stepped { by_secs, now });
                watch.believed_millis = tick.believed_millis.saturating_add(ago);
            }
            (None, Some(_), Some(last_at)) => {
                watch.doubt = Some(TimeDoubt::Unsettled { last_at, now });
                watch.believed_millis = last_millis;
            }
            (_, None, Some(last_event_at)) if now.since(last_event_at) > MAX_OUTAGE => {
                watch.doubt = Some(TimeDoubt::LongOutage { last_event_at, now });
                watch.believed_millis = last_millis;
            }
            (_, None, Some(last_event_at)) if last_event_at.since(now) > MAX_STEP => {
                watch.doubt = Some(TimeDoubt::Behind { last_event_at, now });
                watch.believed_millis = last_millis;
            }
            (_, _, _) => {}
        }
        watch
    }

    /// Looks at the clock once more and tells the doubt there is, if any.
    pub fn check(&mut self, clock: &dyn Clock) -> Option<TimeDoubt> {
        let (wall, monotonic) = clock.both();
        let ran = millis(monotonic.saturating_sub(self.monotonic));
        let by_secs = stepped(self.wall_millis, ran, wall);
        // A step answers nothing about the doubt of the start before it.
        let of_the_start = match self.doubt {
            Some(TimeDoubt::LongOutage { .. } | TimeDoubt::Behind { .. } | TimeDoubt::Unsettled { .. }) => {
                true
            }
            Some(TimeDoubt::Stepped { .. }) | None => false,
        };
        if by_secs > MAX_STEP.0 && !of_the_start {
            self.doubt = Some(TimeDoubt::Stepped { by_secs, now: at(wall) });
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

    /// What is to be known after a restart, as of the last look.
    #[must_use]
    pub fn tick(&self) -> Tick {
        Tick {
            boot: self.boot.clone(),
            monotonic_millis: millis(self.monotonic),
            wall_millis: self.wall_millis,
            believed_millis: self.believed_millis,
            doubt: self.doubt,
        }
    }

    /// An operator says that the clock is right.
    pub fn confirm(&mut self) {
        self.doubt = None;
        self.believed_millis = self.wall_millis;
    }
}

/// By how many seconds the wall clock is off from where the monotonic clock says it should be.
fn stepped(wall_before: u64, ran: u64, wall: u64) -> u64 {
    wall.abs_diff(wall_before.saturating_add(ran)) / 1000
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_secs_clamped(millis / 1000)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::testing::ManualClock;
    use super::*;

    const NOW: &str = "2027-01-01T00:00:00Z";

    fn started(clock: &ManualClock, last: Option<Timestamp>, tick: Option<&Tick>) -> JumpWatch {
        JumpWatch::start(clock, last, tick)
    }

    #[test]
    fn a_step_of_more_than_an_hour_is_doubted_until_confirmed() {
        let clock = ManualClock::at(NOW);
        let mut watch = started(&clock, None, None);
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
    fn a_start_after_a_long_outage_or_with_a_clock_behind_is_doubted() {
        let clock = ManualClock::at("2027-03-01T00:00:00Z");
        let doubt = |last| started(&clock, Some(last), None).check(&clock);
        let last: Timestamp = NOW.parse().unwrap();
        assert!(matches!(doubt(last), Some(TimeDoubt::LongOutage { .. })));
        assert_eq!(doubt(clock.now().saturating_sub(MAX_OUTAGE)), None);
        assert_eq!(doubt(clock.now().saturating_add(MAX_STEP)), None);
        let ahead = clock.now().saturating_add(Seconds(3601));
        assert!(matches!(doubt(ahead), Some(TimeDoubt::Behind { .. })), "a dead battery shows 1970");
        assert!(doubt(Timestamp::MAX).is_some());
    }

    #[test]
    fn a_doubt_outlives_the_daemon_and_the_time_believed_goes_on() {
        let clock = ManualClock::at(NOW);
        let truth = clock.now();
        let mut watch = started(&clock, None, None);
        clock.set(truth.saturating_add(Seconds::days(20)));
        let doubt = watch.check(&clock);
        let tick = watch.tick();
        clock.advance(Seconds(500));
        let again = started(&clock, Some(truth), Some(&tick)).look(&clock);
        assert_eq!(again, (truth.as_secs() * 1000 + 500_000, doubt), "in the same boot to the second");
        clock.reboot();
        let (believed, doubt) = started(&clock, Some(truth), Some(&tick)).look(&clock);
        assert_eq!(believed, truth.as_secs() * 1000, "after a reboot only that it is later");
        assert!(matches!(doubt, Some(TimeDoubt::Unsettled { .. })), "{doubt:?}");
        watch.confirm();
        assert_eq!(started(&clock, Some(truth), Some(&watch.tick())).check(&clock), None);
    }

    #[test]
    fn a_clock_set_while_nobody_ran_is_seen_in_the_same_boot() {
        let clock = ManualClock::at(NOW);
        let truth = clock.now();
        let tick = started(&clock, None, None).tick();
        clock.advance(Seconds::days(3));
        assert_eq!(started(&clock, Some(truth), Some(&tick)).check(&clock), None, "it was only off");
        for by in [-20_i64, 20] {
            let wrong = clock.now().as_secs().checked_add_signed(by * 86_400).unwrap();
            clock.set(Timestamp::from_secs(wrong).unwrap());
            let (believed, doubt) = started(&clock, Some(truth), Some(&tick)).look(&clock);
            assert!(matches!(doubt, Some(TimeDoubt::Stepped { by_secs: 1_728_000, .. })), "{doubt:?}");
            assert_eq!(believed, (truth.as_secs() + 3 * 86_400) * 1000);
            clock.set(Timestamp::from_secs(truth.as_secs() + 3 * 86_400).unwrap());
        }
    }

    #[test]
    fn books_that_were_silent_while_the_daemon_ran_are_no_outage() {
        let clock = ManualClock::at(NOW);
        let last_event_at = clock.now();
        let mut watch = started(&clock, Some(last_event_at), None);
        clock.advance(Seconds::days(100));
        assert_eq!(watch.check(&clock), None);
        let tick = watch.tick();
        clock.reboot();
        clock.advance(Seconds::days(1));
        assert_eq!(started(&clock, Some(last_event_at), Some(&tick)).check(&clock), None);
    }

    #[test]
    fn ticks_are_seldom_and_never_late_for_what_counts() {
        let clock = ManualClock::at(NOW);
        let mut watch = started(&clock, None, None);
        let kept = watch.tick();
        let mut due = |clock: &ManualClock| {
            watch.check(clock);
            watch.tick().is_due(&kept)
        };
        clock.advance(Seconds(599));
        assert!(!due(&clock));
        clock.set(clock.now().saturating_add(Seconds(60)));
        assert!(!due(&clock));
        clock.set(clock.now().saturating_add(Seconds(1)));
        assert!(due(&clock), "the clock was put right by a minute");
        clock.set(clock.now().saturating_sub(Seconds(61)));
        assert!(!due(&clock));
        clock.advance(Seconds(1));
        assert!(due(&clock), "ten minutes");
    }
}
