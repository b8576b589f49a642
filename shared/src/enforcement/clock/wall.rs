//! Watching a wall clock that nobody vouches for.

use super::{ClockPolicy, ClockReading, TrustedTime};
use crate::time::{Seconds, Timestamp};
use serde::{Deserialize, Serialize};

/// How the wall clock stands against trusted time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wall", rename_all = "kebab-case")]
pub enum WallStanding {
    /// Within the tolerance of the floor.
    Agrees,
    /// Behind the floor (a dead battery shows 1970): ignored.
    Behind {
        /// By how much.
        by: Seconds,
    },
    /// Ahead of the floor: shown, and adopted to lock management if it stays steady.
    Ahead {
        /// By how much.
        by: Seconds,
        /// How much longer it must run steadily; zero once adopted.
        adopted_in: Seconds,
    },
    /// Ahead of the floor, and contradicted by a signed time: never adopted as it runs now.
    Contradicted {
        /// By how much it is ahead of the floor.
        by: Seconds,
    },
}

/// A wall clock under observation: how steadily it runs against the boot clock, and since when.
///
/// The observation belongs to one process: after a restart it begins anew, which only delays an adoption.
#[derive(Clone, Copy, Debug)]
pub(super) struct WallWatch {
    /// What it showed last.
    wall: Timestamp,
    /// Uptime at which the present steady run began.
    since_boot_secs: u64,
    /// The extremes of wall minus boot clock in this run, in seconds.
    lowest: i64,
    highest: i64,
    /// Whether a signed time contradicted it in this run.
    contradicted: bool,
}

impl WallWatch {
    /// Begins to watch with this reading.
    pub(super) fn begin(now: &ClockReading) -> WallWatch {
        let offset = offset(now.wall, now.boot_secs);
        WallWatch {
            wall: now.wall,
            since_boot_secs: now.boot_secs,
            lowest: offset,
            highest: offset,
            contradicted: false,
        }
    }

    /// Takes in a reading; a step, or drift beyond the tolerance, begins a new run.
    pub(super) fn observe(&mut self, now: &ClockReading, policy: &ClockPolicy) {
        let offset = offset(now.wall, now.boot_secs);
        let lowest = self.lowest.min(offset);
        let highest = self.highest.max(offset);
        if highest.abs_diff(lowest) > policy.tolerance.0 {
            *self = WallWatch::begin(now);
        } else {
            *self = WallWatch { wall: now.wall, lowest, highest, ..*self };
        }
    }

    /// Compares the wall clock with a signed time: it is certainly not before `earliest` and, if the signature answered
    /// a nonce, certainly not after `latest`.
    pub(super) fn signed(
        &mut self,
        wall: Timestamp,
        earliest: Timestamp,
        latest: Option<Timestamp>,
        policy: &ClockPolicy,
    ) {
        let behind = wall.saturating_add(policy.tolerance) < earliest;
        let ahead = latest.is_some_and(|latest| wall > latest.saturating_add(policy.tolerance));
        self.contradicted |= behind || ahead;
    }

    /// What may be adopted at this uptime: the least the wall clock showed all through a steady run long enough.
    pub(super) fn adoptable(&self, boot_secs: u64, policy: &ClockPolicy) -> Option<Timestamp> {
        if self.contradicted || self.remaining(boot_secs, policy) > Seconds::ZERO {
            return None;
        }
        let uptime = i64::try_from(boot_secs).unwrap_or(i64::MAX);
        let wall = u64::try_from(self.lowest.saturating_add(uptime)).unwrap_or(0);
        Some(Timestamp::from_secs_clamped(wall))
    }

    /// How it stands against the time given.
    pub(super) fn standing(&self, boot_secs: u64, time: TrustedTime, policy: &ClockPolicy) -> WallStanding {
        let (behind, ahead) = (time.floor.since(self.wall), self.wall.since(time.floor));
        if behind > policy.tolerance {
            WallStanding::Behind { by: behind }
        } else if ahead <= policy.tolerance {
            WallStanding::Agrees
        } else if self.contradicted {
            WallStanding::Contradicted { by: ahead }
        } else {
            WallStanding::Ahead { by: ahead, adopted_in: self.remaining(boot_secs, policy) }
        }
    }

    /// What it showed last less `floor`, in seconds.
    pub(super) fn skew_secs(&self, floor: Timestamp) -> i64 {
        offset(self.wall, floor.as_secs())
    }

    fn remaining(&self, boot_secs: u64, policy: &ClockPolicy) -> Seconds {
        policy.steady.saturating_sub(Seconds(boot_secs.saturating_sub(self.since_boot_secs)))
    }
}

/// Wall minus boot clock.
fn offset(wall: Timestamp, boot_secs: u64) -> i64 {
    let signed = |secs: u64| i64::try_from(secs).unwrap_or(i64::MAX);
    signed(wall.as_secs()).saturating_sub(signed(boot_secs))
}
