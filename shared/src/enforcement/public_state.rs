//! What a device's own programs may know: the content of the world-readable state file, and the answer to "may I?".
//!
//! **Problem.** Firmware gates its own code on the license state, and must get an answer with the agent dead, in which
//! the ladder nevertheless goes on. **Method.** The file carries the schedule, the cap and the boot clock of the moment
//! it was written, so [`answer`] can decide again at any later reading of the same clocks. Past [`PublicState::stale_at`]
//! the file is too old to grant management. **Deliberately absent:** the wall clock, which anyone may set, and
//! secrets: everything here may be read by every program on the device.

#[cfg(test)]
mod tests;

use super::{
    BootId, ClockReading, Decision, DeviceClass, EnforcementState, LicenseState, NextChange, OperatingMode,
    TrustedTime,
};
use crate::enforcement::step::judge;
use crate::id::DeviceId;
use crate::protocol::FormatV1;
use crate::time::{Seconds, Timestamp};
use crate::token::TokenVersion;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// For how long a file that nobody rewrites is worth something at least; a living agent rewrites it far more often.
const FRESH: Seconds = Seconds::days(1);

/// The state file: what the device is told to do, and all it takes to say so later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicState {
    /// The format: 1.
    pub v: FormatV1,
    /// The device.
    pub device: DeviceId,
    /// What the device is.
    pub class: DeviceClass,
    /// The mode it is driven to.
    pub mode: OperatingMode,
    /// Where it stands on the ladder, before the class cap.
    pub state: EnforcementState,
    /// The stable codes of why.
    pub reasons: Vec<String>,
    /// Why, in sentences for people.
    pub why: Vec<String>,
    /// What the mode means on this device, in words.
    pub meaning: String,
    /// Since when the mode holds, in trusted time.
    pub since: Timestamp,
    /// The next change already announced.
    pub next_change: Option<NextChange>,
    /// What the device's programs may do.
    pub allows: Allows,
    /// The version of the token this follows from; `None` if there never was one.
    pub token: Option<TokenVersion>,
    /// Trusted time when this was written.
    pub time: TrustedTime,
    /// The wall clock less trusted time when this was written, in seconds.
    pub wall_skew_secs: i64,
    /// The boot in which this was written.
    pub boot_id: BootId,
    /// Seconds since that boot when this was written.
    pub boot_secs: u64,
    /// The schedule and findings of that token.
    pub license: Option<LicenseState>,
    /// From when on this file is too old to grant management: the end of the token's lease, or a day after this was
    /// written if that is later (a lease that ends offline voids nothing while the agent lives).
    pub stale_at: Timestamp,
    /// The strictest mode this device's class allows.
    pub strictest: OperatingMode,
}

/// What the device's programs may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allows {
    /// Change configuration, accounts, firmware.
    pub manage: bool,
    /// Do what the device is there for.
    pub operate: bool,
}

impl From<OperatingMode> for Allows {
    fn from(mode: OperatingMode) -> Allows {
        Allows { manage: mode.allows_manage(), operate: mode.allows_operate() }
    }
}

/// What a [`PublicState`] is made of besides the decision.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The device.
    pub device: &'a DeviceId,
    /// What the device is.
    pub class: DeviceClass,
    /// What the decision was made from.
    pub inputs: super::Inputs<'a>,
    /// The version of the token held.
    pub token: Option<TokenVersion>,
    /// The end of its lease.
    pub lease_ends_at: Option<Timestamp>,
    /// Since when the mode holds, in trusted time.
    pub since: Timestamp,
    /// The clocks when it was made.
    pub reading: ClockReading,
    /// The wall clock less trusted time, in seconds.
    pub wall_skew_secs: i64,
}

impl PublicState {
    /// The state file for a decision.
    #[must_use]
    pub fn new(decision: &Decision, facts: &Facts<'_>) -> PublicState {
        let time = facts.inputs.time;
        PublicState {
            v: FormatV1,
            device: facts.device.clone(),
            class: facts.class,
            mode: decision.mode,
            state: decision.state,
            reasons: decision.reason.codes().into_iter().map(String::from).collect(),
            why: decision.reason.sentences(),
            meaning: facts.class.meaning(decision.mode).to_string(),
            since: facts.since,
            next_change: decision.next_change,
            allows: decision.mode.into(),
            token: facts.token,
            time,
            wall_skew_secs: facts.wall_skew_secs,
            boot_id: facts.reading.boot_id,
            boot_secs: facts.reading.boot_secs,
            license: facts.inputs.license.cloned(),
            stale_at: facts.lease_ends_at.max(Some(time.floor.saturating_add(FRESH))).unwrap_or(time.floor),
            strictest: facts.inputs.cap.strictest(),
        }
    }

    /// Trusted time at a later reading, by the boot clock alone.
    #[must_use]
    pub fn time_at(&self, now: &ClockReading) -> TrustedTime {
        let elapsed = if now.boot_id == self.boot_id {
            now.boot_secs.saturating_sub(self.boot_secs)
        } else {
            now.boot_secs
        };
        self.time.later(Seconds(elapsed))
    }

    /// The mode at a trusted time, by the one judgement there is.
    fn mode_at(&self, time: TrustedTime) -> OperatingMode {
        OperatingMode::wanted_by(judge(self.license.as_ref(), time).state).min(self.strictest)
    }
}

/// What a program asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// May configuration, accounts, firmware be changed?
    Manage,
    /// May the device do what it is there for?
    Operate,
}

/// What an answer rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The stored schedule, judged now.
    Schedule,
    /// A state file nobody renewed in time: management no, operation as it last had it.
    Stale,
    /// Nothing readable: management no, operation yes, as on a device without a token.
    Nothing,
}

/// The answer to a program's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Yes or no.
    pub allowed: bool,
    /// What it rests on.
    pub basis: Basis,
}

/// Answers from the state file alone, at any reading of the clocks: the same with the agent alive and dead.
///
/// `stored` is `None` if there is no file or it cannot be read.
#[must_use]
pub fn answer(stored: Option<&PublicState>, now: &ClockReading, ask: Ask) -> Answer {
    let Some(stored) = stored else {
        return Answer { allowed: ask == Ask::Operate, basis: Basis::Nothing };
    };
    let time = stored.time_at(now);
    let stale = time.floor >= stored.stale_at;
    let judged_at = if stale { stored.time.later(stored.stale_at.since(stored.time.floor)) } else { time };
    let mode = stored.mode_at(judged_at);
    let allowed = match ask {
        Ask::Manage => !stale && mode.allows_manage(),
        Ask::Operate => mode.allows_operate(),
    };
    Answer { allowed, basis: if stale { Basis::Stale } else { Basis::Schedule } }
}
