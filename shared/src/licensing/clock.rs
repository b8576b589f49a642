//! The two clocks of enforcement, one per cause (domain E2, E3).
//!
//! **Problem.** Grace must not be bought anew by curing a fault for a moment, and an announced date must not move
//! earlier. **Method.** A clock runs while its cause is present and keeps, when paused, exactly the time that was left
//! to lock and stop; only a reset gives it back. A first run is rounded up to midnight once; what is left when it
//! pauses contains that rounding, so a later run needs, and gets, no second one. **Deliberately absent:** which
//! cause is present; that is [`super::compliance`].

use super::settings::Settings;
use crate::enforcement::Schedule;
use crate::time::{Seconds, Timestamp};
use serde::{Deserialize, Serialize};

/// A run of a clock: since when, and the instants it announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When this run began: the start of grace.
    pub since: Timestamp,
    /// Time spent in earlier runs since the last reset, in seconds.
    pub spent_before_secs: Seconds,
    /// When management locks, if the cause stays.
    pub lock_at: Timestamp,
    /// When the device stops, if the cause stays.
    pub stop_at: Timestamp,
}

impl Run {
    /// The run as a schedule.
    #[must_use]
    pub const fn schedule(&self) -> Schedule {
        Schedule {
            grace_begins_at: Some(self.since),
            lock_at: Some(self.lock_at),
            stop_at: Some(self.stop_at),
        }
    }
}

/// A cure that lasts shorter than this is none: the clock goes on as if the cause had never been away. Instants are whole
/// seconds, so without it a fault cured for a moment at the end of every second would never be seen to last.
const SHORTEST_PAUSE: Seconds = Seconds(60);

/// What is left on a paused clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Time spent since the last reset, in seconds.
    pub spent_secs: Seconds,
    /// To the lock, zero if it was reached.
    pub to_lock_secs: Seconds,
    /// To the stop, zero if it was reached.
    pub to_stop_secs: Seconds,
    /// When it was paused; unknown for clocks written before this was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
}

impl Left {
    /// The end of the last run if that is too short ago for a pause, else the start of the next one.
    fn goes_on_from(&self, since: Timestamp, settings: &Settings) -> Timestamp {
        // Where the whole grace is a matter of seconds, so is a pause.
        let shortest = SHORTEST_PAUSE.min(Seconds(settings.grace_secs.0 / 4));
        match self.paused_at {
            Some(paused_at) if since.since(paused_at) < shortest => paused_at.min(since),
            Some(_) | None => since,
        }
    }
}

/// The clock of one cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "clock", rename_all = "kebab-case")]
pub enum CauseClock {
    /// Nothing spent: the next run has the whole grace.
    #[default]
    Fresh,
    /// The cause is present.
    Running(Run),
    /// The cause was present and is cured; what was left is kept until a reset.
    Paused(Left),
}

impl CauseClock {
    /// The run that starts (or would start) at `since`.
    #[must_use]
    pub fn run_from(&self, since: Timestamp, settings: &Settings) -> Run {
        match self {
            CauseClock::Running(run) => *run,
            CauseClock::Fresh => run_with(since, Seconds::ZERO, settings),
            CauseClock::Paused(left) => {
                let from = left.goes_on_from(since, settings);
                let spent_before_secs = left.spent_secs.saturating_add(since.since(from));
                let lock_at = from.saturating_add(left.to_lock_secs).max(since);
                let stop_at = from.saturating_add(left.to_stop_secs).max(lock_at);
                Run { since, spent_before_secs, lock_at, stop_at }
            }
        }
    }

    /// The clock after its cause was found present at `at`.
    #[must_use]
    pub fn started(self, at: Timestamp, settings: &Settings) -> CauseClock {
        CauseClock::Running(self.run_from(at, settings))
    }

    /// The clock after its cause was found absent at `at`.
    #[must_use]
    pub fn paused(self, at: Timestamp) -> CauseClock {
        match self {
            CauseClock::Running(run) => CauseClock::Paused(Left {
                spent_secs: run.spent_before_secs.saturating_add(at.since(run.since)),
                to_lock_secs: run.lock_at.since(at),
                to_stop_secs: run.stop_at.since(at),
                paused_at: Some(at),
            }),
            CauseClock::Fresh | CauseClock::Paused(_) => self,
        }
    }

    /// The clock under changed settings: what is announced or left may grow, never shrink (domain E3), and never
    /// beyond what the new settings give to the time already spent.
    #[must_use]
    pub fn with_settings(self, new: &Settings) -> CauseClock {
        match self {
            CauseClock::Fresh => CauseClock::Fresh,
            CauseClock::Running(run) => {
                let renewed = run_with(run.since, run.spent_before_secs, new);
                CauseClock::Running(Run {
                    lock_at: run.lock_at.max(renewed.lock_at),
                    stop_at: run.stop_at.max(renewed.stop_at),
                    ..run
                })
            }
            CauseClock::Paused(left) => {
                let to_lock = new.grace_secs.saturating_sub(left.spent_secs);
                let to_stop =
                    new.grace_secs.saturating_add(new.stop_after_lock_secs).saturating_sub(left.spent_secs);
                CauseClock::Paused(Left {
                    to_lock_secs: left.to_lock_secs.max(to_lock),
                    to_stop_secs: left.to_stop_secs.max(to_stop),
                    ..left
                })
            }
        }
    }

    /// The clock with less left of the two, both paused (domain E2: moving never buys grace).
    #[must_use]
    pub fn stricter(self, other: CauseClock, at: Timestamp) -> CauseClock {
        match (self.paused(at), other.paused(at)) {
            (CauseClock::Paused(a), CauseClock::Paused(b)) => CauseClock::Paused(Left {
                spent_secs: a.spent_secs.max(b.spent_secs),
                to_lock_secs: a.to_lock_secs.min(b.to_lock_secs),
                to_stop_secs: a.to_stop_secs.min(b.to_stop_secs),
                paused_at: a.paused_at.max(b.paused_at),
            }),
            (CauseClock::Paused(left), _) | (_, CauseClock::Paused(left)) => CauseClock::Paused(left),
            (CauseClock::Fresh | CauseClock::Running(_), CauseClock::Fresh | CauseClock::Running(_)) => {
                CauseClock::Fresh
            }
        }
    }

    /// Whether something was spent that a reset would give back.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        matches!(self, CauseClock::Fresh)
    }

    /// What the running clock announces; nothing if it does not run.
    #[must_use]
    pub const fn schedule(&self) -> Schedule {
        match self {
            CauseClock::Running(run) => run.schedule(),
            CauseClock::Fresh | CauseClock::Paused(_) => Schedule::NEVER,
        }
    }
}

/// A run that starts at `since` with `spent` of its time gone (domain E3).
///
/// The stop counts from the unrounded lock. Lock and stop each land on midnight if their own duration is a day or
/// more, but only in a first run: a re-offence gets no second rounding.
fn run_with(since: Timestamp, spent: Seconds, settings: &Settings) -> Run {
    let to_lock = settings.grace_secs.saturating_sub(spent);
    let to_stop = settings.grace_secs.saturating_add(settings.stop_after_lock_secs).saturating_sub(spent);
    let (lock, stop) = (since.saturating_add(to_lock), since.saturating_add(to_stop));
    let (lock_at, stop_at) = if spent == Seconds::ZERO {
        (rounded(lock, settings.grace_secs, settings), rounded(stop, settings.stop_after_lock_secs, settings))
    } else {
        (lock, stop)
    };
    Run { since, spent_before_secs: spent, lock_at, stop_at: stop_at.max(lock_at) }
}

/// Both clocks of a group, a site or a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// The clock of `TERM_ENDED`.
    pub expiry: CauseClock,
    /// The clock of `OVER_CAPACITY` and `NO_LICENSE`.
    pub capacity: CauseClock,
}

impl Clocks {
    /// Clocks on which nothing was spent.
    pub const FRESH: Clocks = Clocks { expiry: CauseClock::Fresh, capacity: CauseClock::Fresh };

    /// Whether nothing was spent on either.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        self.expiry.is_fresh() && self.capacity.is_fresh()
    }

    /// Whether either runs.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        matches!(self.expiry, CauseClock::Running(_)) || matches!(self.capacity, CauseClock::Running(_))
    }

    /// Both paused, each with the less left of the two.
    #[must_use]
    pub fn stricter(self, other: Clocks, at: Timestamp) -> Clocks {
        Clocks {
            expiry: self.expiry.stricter(other.expiry, at),
            capacity: self.capacity.stricter(other.capacity, at),
        }
    }

    /// The clocks after the causes were found present or absent at `at`.
    #[must_use]
    pub fn judged(self, expired: bool, over: bool, at: Timestamp, settings: &Settings) -> Clocks {
        let judge = |clock: CauseClock, present: bool| {
            if present { clock.started(at, settings) } else { clock.paused(at) }
        };
        Clocks { expiry: judge(self.expiry, expired), capacity: judge(self.capacity, over) }
    }

    /// The clocks under changed settings.
    #[must_use]
    pub fn with_settings(self, new: &Settings) -> Clocks {
        Clocks { expiry: self.expiry.with_settings(new), capacity: self.capacity.with_settings(new) }
    }
}

/// `at`, moved to the next local midnight if the configured `duration` is a day or more (domain E3).
fn rounded(at: Timestamp, duration: Seconds, settings: &Settings) -> Timestamp {
    if duration.is_a_day_or_more() { at.next_midnight(settings.time_zone.tz()) } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::licensing::name::Zone;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn e3_lock_and_stop_land_on_midnight_and_the_stop_counts_from_the_unrounded_lock() {
        let settings =
            Settings { time_zone: Zone::parse("America/New_York").unwrap(), ..Settings::default() };
        let run = CauseClock::Fresh.run_from(at("2027-01-10T15:00:00Z"), &settings);
        assert_eq!(run.lock_at, at("2027-02-10T05:00:00Z"));
        // 60 days after Feb 9th 15:00Z is Apr 10th 15:00Z, so midnight of the 11th, by then in daylight saving time.
        assert_eq!(run.stop_at, at("2027-04-11T04:00:00Z"));
    }

    #[test]
    fn e3_short_durations_are_exact() {
        let settings =
            Settings { grace_secs: Seconds(5), stop_after_lock_secs: Seconds(7), ..Settings::default() };
        let run = CauseClock::Fresh.run_from(at("2027-01-10T15:00:00Z"), &settings);
        assert_eq!((run.lock_at, run.stop_at), (at("2027-01-10T15:00:05Z"), at("2027-01-10T15:00:12Z")));
    }

    #[test]
    fn e2_curing_pauses_and_a_re_offence_gets_only_what_was_left() {
        let settings = Settings::default();
        let first = CauseClock::Fresh.started(at("2027-01-01T00:00:00Z"), &settings);
        let paused = first.paused(at("2027-01-11T06:00:00Z"));
        let again = paused.run_from(at("2027-02-01T06:00:00Z"), &settings);
        // 30 days, 10 and a quarter spent: 19 and three quarters left, and no second rounding.
        assert_eq!(again.lock_at, at("2027-02-21T00:00:00Z"));
        assert_eq!(again.stop_at, at("2027-04-22T00:00:00Z"));
    }

    #[test]
    fn e2_a_fault_cured_for_a_moment_in_every_second_locks_when_announced() {
        let settings = Settings::default();
        let mut now = at("2027-01-01T00:00:00Z");
        let mut clock = CauseClock::Fresh.started(now, &settings);
        let announced = clock.schedule();
        // Cured late in a second and back early in the next: in whole seconds the fault lasts no time at all.
        for _ in 0..1_000 {
            clock = clock.paused(now);
            now = now.saturating_add(Seconds(1));
            clock = clock.started(now, &settings);
        }
        assert_eq!(
            (clock.schedule().lock_at, clock.schedule().stop_at),
            (announced.lock_at, announced.stop_at)
        );
        let after_a_minute = clock.paused(now).run_from(now.saturating_add(SHORTEST_PAUSE), &settings);
        assert_eq!(
            Some(after_a_minute.lock_at),
            announced.lock_at.map(|at| at.saturating_add(SHORTEST_PAUSE))
        );
    }

    #[test]
    fn e2_a_clock_that_reached_its_lock_locks_at_once() {
        let settings = Settings::default();
        let clock = CauseClock::Fresh
            .started(at("2027-01-01T00:00:00Z"), &settings)
            .paused(at("2027-03-01T00:00:00Z"));
        let again = clock.run_from(at("2027-03-02T00:00:00Z"), &settings);
        assert_eq!(again.lock_at, again.since);
        assert!(again.stop_at > again.since);
    }

    #[test]
    fn e3_no_change_of_settings_moves_an_announced_date_earlier() {
        let old = Settings::default();
        let run = CauseClock::Fresh.started(at("2027-01-01T12:00:00Z"), &old);
        let shorter = Settings { grace_secs: Seconds(0), stop_after_lock_secs: Seconds::days(30), ..old };
        assert_eq!(run.with_settings(&shorter), run);
        let longer = Settings { grace_secs: Seconds::days(40), ..old };
        match run.with_settings(&longer) {
            CauseClock::Running(run) => {
                assert_eq!(run.lock_at, at("2027-02-11T00:00:00Z"));
                assert_eq!(run.stop_at, at("2027-04-12T00:00:00Z"));
            }
            CauseClock::Fresh | CauseClock::Paused(_) => panic!("still running"),
        }
    }

    proptest! {
        #[test]
        fn toggling_never_buys_grace(toggles in prop::collection::vec((1_u64..5_000_000, 1_u64..2_000_000), 1..20)) {
            let settings = Settings::default();
            let mut now = at("2027-01-01T08:00:00Z");
            let mut clock = CauseClock::Fresh;
            let mut spent = 0;
            let allowance = CauseClock::Fresh.run_from(now, &settings).lock_at.since(now).0;
            for (bad, good) in toggles {
                clock = clock.started(now, &settings);
                if let CauseClock::Running(run) = clock {
                    prop_assert_eq!(run.lock_at.since(now).0, allowance.saturating_sub(spent));
                    prop_assert!(run.stop_at >= run.lock_at);
                }
                now = now.saturating_add(Seconds(bad));
                spent += bad;
                clock = clock.paused(now);
                now = now.saturating_add(Seconds(good));
            }
        }
    }
}
