//! The days on which devices of a group lock or stop, as people are told of them (domain E6).
//!
//! **Problem.** With a pace the devices of a group lock on many days, and a notice for each would be read by nobody; one
//! that names the first day alone is wrong for nearly all of them. **Method.** Days in a row are one lockout, told with its
//! first day, its last, and how many devices a day; a freeze in between parts it. **Deliberately absent:** the pace
//! itself, which is in the ladders.

use crate::enforcement::EnforcementState;
use crate::licensing::ladders::SharedStep;
use crate::time::{Seconds, Timestamp};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Serialize;

/// Days in a row are no farther apart than this, also where clocks change in between.
const IN_A_ROW: Seconds = Seconds(26 * 3_600);

/// Devices that lock, or stop, on one day or on several in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LockoutDays {
    /// When the first of them do.
    pub first: Timestamp,
    /// When the last of them do.
    pub last: Timestamp,
    /// How many they are.
    pub devices: u64,
    /// How many do at one instant, at most.
    pub at_once: u64,
}

impl LockoutDays {
    /// When: `at` an instant, or from the first day to the last.
    pub(super) fn when(&self) -> String {
        if self.first == self.last {
            return format!("at {}", self.first);
        }
        format!("from {} to {}, at most {} devices a day", self.first, self.last, self.at_once)
    }
}

/// The lockouts of a group with a pace (domain E6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Paced {
    /// When management of its devices locks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockoutDays>,
    /// When they stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<LockoutDays>,
}

/// The steps to `state`, with a pace those of days in a row as one: whoever was told of the first day and the last is not
/// told of each. What came before a freeze is no part of what comes after it.
pub(super) fn lockouts(
    steps: &[SharedStep],
    state: EnforcementState,
    paced: bool,
    thawed_at: Option<Timestamp>,
) -> Vec<LockoutDays> {
    let mut found: Vec<LockoutDays> = Vec::new();
    for SharedStep { at, devices, .. } in steps.iter().copied().filter(|step| step.state == state) {
        let goes_on = |last: &&mut LockoutDays| {
            paced && at.since(last.last) < IN_A_ROW && thawed_at.is_none_or(|thawed| last.last > thawed)
        };
        match found.last_mut().filter(goes_on) {
            Some(last) => {
                last.last = at;
                last.devices = last.devices.saturating_add(devices);
                last.at_once = last.at_once.max(devices);
            }
            None => found.push(LockoutDays { first: at, last: at, devices, at_once: devices }),
        }
    }
    found
}
