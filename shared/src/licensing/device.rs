//! Devices: active, on trial, or retired (domain G6-G10).

use super::clock::{CauseClock, Clocks, Run};
use super::event::Retirement;
use super::name::ModelName;
use crate::enforcement::Schedule;
use crate::id::{DeviceId, SiteId};
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use serde::{Deserialize, Serialize};

/// A device's trial (domain G8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// When it ends.
    pub ends_at: Timestamp,
    /// The device's own ladder, from that end.
    pub schedule: Schedule,
}

impl Trial {
    /// What the device has used up at `now` of the ladder that begins with the trial's end, paused; nothing before.
    #[must_use]
    pub fn clocks_at(&self, now: Timestamp) -> Clocks {
        match (self.schedule.lock_at, self.schedule.stop_at) {
            (Some(lock_at), Some(stop_at)) if self.ends_at < now => {
                let run = Run { since: self.ends_at, spent_before_secs: Seconds::ZERO, lock_at, stop_at };
                Clocks { capacity: CauseClock::Running(run).paused(now), ..Clocks::FRESH }
            }
            (Some(_) | None, Some(_) | None) => Clocks::FRESH,
        }
    }
}

/// Where a device stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum DeviceState {
    /// It consumes units.
    Active,
    /// It is on trial: counted apart, it makes no group noncompliant (domain G8).
    Trial(Trial),
    /// It consumes nothing any more.
    Retired {
        /// Since when.
        at: Timestamp,
        /// Why.
        #[serde(flatten)]
        retirement: Retirement,
        /// The ladder of its last word (domain G10).
        schedule: Schedule,
        /// The clocks it had.
        #[serde(default, skip_serializing_if = "Clocks::is_fresh")]
        clocks: Clocks,
    },
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Its site, or the last one if it is retired.
    pub site: SiteId,
    /// Its model.
    pub model: ModelName,
    /// The product type it consumes.
    pub product: ProductType,
    /// The units it consumes while active.
    pub units: u64,
    /// The units of its model when it was claimed.
    pub model_units: u64,
    /// Its configured doors, if it is a door controller and they were counted (domain G7).
    pub doors: Option<u64>,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// Where it stands.
    pub state: DeviceState,
}

impl Device {
    /// Whether it is in use, on trial or not.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        match self.state {
            DeviceState::Active | DeviceState::Trial(_) => true,
            DeviceState::Retired { .. } => false,
        }
    }

    /// Whether it consumes units.
    #[must_use]
    pub const fn consumes(&self) -> bool {
        match self.state {
            DeviceState::Active => true,
            DeviceState::Trial(_) | DeviceState::Retired { .. } => false,
        }
    }
}
