//! What a device should be in, computed by whoever knows the true time: simpler than the product, and apart from it.
//!
//! The device's own floor is not asked. It lies between what the device has earned and the true time, so its mode lies
//! between what these two come to. A cloud whose clock runs ahead drags its devices ahead by exactly its lead, and a wall
//! clock that ran steadily for the time it must may lock and never stop.

use crate::cloud::Issue;
use coterm_shared::enforcement::{DeviceClass, OperatingMode};

/// The strictest mode of a class (enforcement §2), written down a second time.
pub const fn cap(class: DeviceClass, egress: bool) -> OperatingMode {
    match class {
        DeviceClass::Camera | DeviceClass::ViewingStation | DeviceClass::Sensor { life_safety: false } => {
            OperatingMode::Stopped
        }
        DeviceClass::DoorController => {
            if egress {
                OperatingMode::Stopped
            } else {
                OperatingMode::ManagementLocked
            }
        }
        DeviceClass::Sensor { life_safety: true } | DeviceClass::Intercom | DeviceClass::AlarmConsole => {
            OperatingMode::ManagementLocked
        }
    }
}

/// The mode at a certain time and a time that may only lock, both in seconds since 1970.
pub fn mode(issue: Option<&Issue>, certain: u64, locking: u64, cap: OperatingMode) -> OperatingMode {
    let Some(issue) = issue else { return OperatingMode::ManagementLocked.min(cap) };
    let reached =
        |at: Option<coterm_shared::time::Timestamp>, now: u64| at.is_some_and(|at| at.as_secs() <= now);
    let wanted = if reached(issue.schedule.stop_at, certain) {
        OperatingMode::Stopped
    } else if reached(issue.schedule.lock_at, locking) || reached(Some(issue.offline_lock_at), locking) {
        OperatingMode::ManagementLocked
    } else {
        OperatingMode::Full
    };
    wanted.min(cap)
}

/// What is known of a device's time from outside, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// It has earned this much for certain.
    pub earned: u64,
    /// It cannot know more than this.
    pub at_most: u64,
    /// It may lock by this: a wall clock that was steady for long enough said so.
    pub locking: u64,
}

/// The mildest and the strictest mode a device may be in.
pub fn bounds(issue: Option<&Issue>, times: Times, cap: OperatingMode) -> (OperatingMode, OperatingMode) {
    let mildest = mode(issue, times.earned, times.earned, cap);
    (mildest, mode(issue, times.at_most, times.at_most.max(times.locking), cap).max(mildest))
}
