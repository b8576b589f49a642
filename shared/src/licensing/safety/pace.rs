//! A pace of lockouts: not all devices of a group lock on one day (domain E6).
//!
//! **Problem.** Even a lockout that was announced is more than people can attend to if it comes for everybody at once.
//! **Method.** The newest lock first, by (claimed at, id) as a shortfall is enforced (domain C3), so many a day; every step
//! of the others comes by whole days later in the group's time zone, from the start, so that a device with no network
//! keeps to it. While a term still runs, the days follow the devices that are there; once the ladder has begun they are
//! fixed, in the event, and neither settings nor devices that come or go move anybody's. **Deliberately absent:** a pace for
//! clocks that were carried in and for runs after the first: they would buy grace (domain E2).

use crate::enforcement::Schedule;
use crate::id::DeviceId;
use crate::licensing::ahead::Ahead;
use crate::licensing::clock::{CauseClock, Clocks};
use crate::licensing::compliance::Term;
use crate::licensing::device::Device;
use crate::licensing::group::Group;
use crate::licensing::name::Zone;
use crate::licensing::organization::Organization;
use crate::time::{DAY_SECS, Seconds, Timestamp};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The longest a lockout is stretched: beyond it more devices lock a day than the pace says.
const DAYS_MAX: usize = 365;

/// On which day of a lockout the devices of a group lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tranches {
    /// How many devices lock a day at most.
    pub per_day: u64,
    /// The newest device of every day but the first, the newest first.
    starts: Vec<(Timestamp, DeviceId)>,
    /// Whose midnights part the days; kept, so that another setting moves nobody (domain E3).
    zone: Zone,
}

impl Tranches {
    /// Of the devices that are in a group now.
    #[must_use]
    pub(in crate::licensing) fn of(organization: &Organization, group: &Group, per_day: u64) -> Tranches {
        let zone = organization.settings_of(group).time_zone;
        let consuming = organization.devices_in_group(group.id).filter(|device| device.consumes());
        let mut devices: Vec<(Timestamp, &DeviceId)> = consuming.map(|d| (d.claimed_at, &d.id)).collect();
        devices.sort_by(|a, b| b.cmp(a));
        let wished = usize::try_from(per_day).unwrap_or(usize::MAX);
        let a_day = wished.max(devices.len().div_ceil(DAYS_MAX)).max(1);
        let starts = devices.iter().skip(a_day).step_by(a_day).map(|(at, id)| (*at, (*id).clone())).collect();
        Tranches { per_day: u64::try_from(a_day).unwrap_or(u64::MAX), starts, zone }
    }

    /// How many days after the first a device locks. Whoever came later than all of them is among the first.
    #[must_use]
    pub fn day_of(&self, device: &Device) -> u64 {
        let newer = |start: &(Timestamp, DeviceId)| (device.claimed_at, &device.id) <= (start.0, &start.1);
        u64::try_from(self.starts.partition_point(newer)).unwrap_or(u64::MAX)
    }

    /// The next instant after `after` at which a later day's devices lock or stop by these clocks.
    #[must_use]
    pub(in crate::licensing) fn next_change_after(
        &self,
        clocks: &Clocks,
        after: Timestamp,
    ) -> Option<Timestamp> {
        let later_days = || (1..).zip(&self.starts).map(|(days, _)| days);
        let of = |clock: &CauseClock| match clock {
            CauseClock::Running(run) if run.spent_before_secs == Seconds::ZERO => {
                let days = later_days().map(|days| days_later(run.schedule(), days, self.zone.tz()));
                days.filter_map(|schedule| schedule.next_change_after(after)).min()
            }
            CauseClock::Running(_) | CauseClock::Fresh | CauseClock::Paused(_) => None,
        };
        [of(&clocks.expiry), of(&clocks.capacity)].into_iter().flatten().min()
    }
}

/// A schedule whose lock and stop come so many days later.
fn days_later(schedule: Schedule, days: u64, zone: chrono_tz::Tz) -> Schedule {
    let later = |at: Timestamp| {
        let moved = at.saturating_add(Seconds(days.saturating_mul(DAY_SECS)));
        // Midnight stays midnight where a day has 23 or 25 hours in between.
        let midnight = at.next_midnight(zone) == at;
        if midnight { moved.saturating_sub(Seconds(2 * 3_600)).next_midnight(zone).max(at) } else { moved }
    };
    if days == 0 {
        return schedule;
    }
    Schedule { lock_at: schedule.lock_at.map(later), stop_at: schedule.stop_at.map(later), ..schedule }
}

impl Organization {
    /// The days on which the devices of a group lock, as they are now; `None` if all of them do at once.
    pub(in crate::licensing) fn tranches(&self, group: &Group) -> Option<Tranches> {
        let assessment = &group.assessment;
        if assessment.clocks.is_running() {
            return assessment.tranches.clone();
        }
        let per_day = self.settings_of(group).lockout_pace?;
        Some(Tranches::of(self, group, per_day))
    }

    /// Whether the devices of a group may lock on different days.
    pub(in crate::licensing) fn is_paced(&self, group: &Group) -> bool {
        if group.assessment.clocks.is_running() {
            group.assessment.tranches.is_some()
        } else {
            self.settings_of(group).lockout_pace.is_some()
        }
    }

    /// The ladder ahead by the group's own clocks for a device that locks so many days after the first.
    pub(in crate::licensing) fn paced(&self, group: &Group, days: u64) -> Ahead {
        let assessment = &group.assessment;
        let kept = assessment.tranches.as_ref().filter(|_| assessment.clocks.is_running());
        let zone = kept.map_or(self.settings_of(group).time_zone, |tranches| tranches.zone).tz();
        let ends_at = match group.figures.term {
            Term::Running { coterm } => Some(coterm.floor()),
            Term::NeverLicensed | Term::Ended { .. } | Term::Emptied => None,
        };
        let reset = ends_at.is_some_and(|end| assessment.clocks_reset_at.is_some_and(|at| at <= end));
        let first = |clock: &CauseClock| match clock {
            CauseClock::Fresh => true,
            CauseClock::Running(run) => run.spent_before_secs == Seconds::ZERO,
            CauseClock::Paused(_) => reset,
        };
        let by = |clock: &CauseClock, schedule: Schedule| {
            if first(clock) { days_later(schedule, days, zone) } else { schedule }
        };
        let mut capacity = by(&assessment.clocks.capacity, assessment.ahead.capacity);
        // What a waiting renewal cures does not come, and so not later either.
        if let (Some(end), Some(renewal)) = (ends_at, &group.figures.renewal)
            && group.figures.shortfalls(&renewal.capacity).next().is_none()
        {
            capacity = capacity.before(end);
        }
        Ahead { expiry: by(&assessment.clocks.expiry, assessment.ahead.expiry), capacity }
    }
}
