//! The one decision of a device: what mode, why, and when to look again (enforcement §1).
//!
//! [`step`] is a pure function of the last verified token, trusted time and the class cap. It keeps no state, so a
//! reboot changes nothing, and a crash anywhere converges: decide again, compare with the device, drive it there.
//! The order around it belongs to the driver: persist, actuate, report. **Deliberately absent:** messages. Bytes that
//! do not verify never become a [`LicenseState`], so a bad message cannot lock or stop anything.

#[cfg(test)]
mod tests;

use super::{EnforcementState, ModeCap, OperatingMode, Reason, Schedule, TrustedTime};
use crate::enforcement::reason::Cause;
use crate::finding::Finding;
use crate::time::{Seconds, Timestamp};
use crate::token::Claims;
use alloc::vec::Vec;
use core::cmp::Reverse;
use serde::{Deserialize, Serialize};

/// What of the last verified token decides (token §1, claims 6 to 8 of the license).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LicenseState {
    /// The ladder ahead.
    pub schedule: Schedule,
    /// Why, also of what is still ahead.
    pub findings: Vec<Finding>,
    /// When management locks if no newer token ever arrives (domain E7).
    pub offline_lock_at: Timestamp,
    /// The group's co-termination instant: before it, `TERM_ENDED` among the findings is still ahead.
    pub coterm_at: Option<Timestamp>,
}

impl LicenseState {
    /// The findings that hold at `time`, without those that the token only announces.
    fn present_findings(&self, time: TrustedTime, by_schedule: EnforcementState) -> Vec<Finding> {
        let adopted = self.schedule.lock_at.is_some_and(|lock_at| lock_at <= time.lock_time);
        let begun = by_schedule != EnforcementState::Licensed || adopted;
        let holds = |finding: &Finding| match finding {
            Finding::TermEnded => adopted || self.coterm_at.is_none_or(|ends_at| ends_at <= time.floor),
            Finding::OverCapacity { .. }
            | Finding::NoLicense
            | Finding::TrialEnded
            | Finding::OfflineBudget => true,
        };
        self.findings.iter().copied().filter(|finding| begun && holds(finding)).collect()
    }
}

impl From<&Claims> for LicenseState {
    fn from(claims: &Claims) -> LicenseState {
        LicenseState {
            schedule: claims.schedule,
            findings: claims.findings.clone(),
            offline_lock_at: claims.offline_lock_at,
            coterm_at: claims.coterm_at,
        }
    }
}

/// All a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The last verified token's; `None` if there never was one.
    pub license: Option<&'a LicenseState>,
    /// The time.
    pub time: TrustedTime,
    /// How far enforcement may go on this device.
    pub cap: ModeCap,
}

/// What a device is to do, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Where the device stands on the ladder, by the stricter of all causes, before the class cap.
    pub state: EnforcementState,
    /// Where the token's schedule alone puts it, judged by the floor; `None` without a token.
    pub by_schedule: Option<EnforcementState>,
    /// The mode to drive the device to: the state's, within the class cap.
    pub mode: OperatingMode,
    /// Why.
    pub reason: Reason,
    /// When to decide again at the latest if nothing arrives, in boot-clock time from now; `None` is never.
    pub wake_in: Option<Seconds>,
    /// The next change that is already announced; `None` if none is.
    pub next_change: Option<NextChange>,
}

/// A change that comes by itself if no newer token arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextChange {
    /// The instant the token names.
    pub at: Timestamp,
    /// The state it begins.
    pub state: EnforcementState,
    /// The mode it begins, within the class cap.
    pub mode: OperatingMode,
}

/// Decides what the device does now.
#[must_use]
pub fn step(inputs: &Inputs<'_>) -> Decision {
    let Judgement { state, by_schedule, causes } = judge(inputs.license, inputs.time);
    let wanted = OperatingMode::wanted_by(state);
    let mode = inputs.cap.limit(wanted);
    let ahead = inputs.license.map(|license| ahead(license, inputs.time)).unwrap_or_default();
    let next_change = inputs.license.and_then(|license| {
        ahead.iter().find_map(|(delay, at)| {
            let then = judge(Some(license), inputs.time.later(*delay)).state;
            (then != state).then(|| NextChange {
                at: *at,
                state: then,
                mode: inputs.cap.limit(OperatingMode::wanted_by(then)),
            })
        })
    });
    Decision {
        state,
        by_schedule,
        mode,
        reason: Reason {
            causes,
            findings: inputs
                .license
                .zip(by_schedule)
                .map(|(license, state)| license.present_findings(inputs.time, state))
                .unwrap_or_default(),
            capped_from: (wanted != mode).then_some(wanted),
        },
        wake_in: ahead.first().map(|(delay, _)| *delay),
        next_change,
    }
}

/// Where a device stands, and why.
pub(super) struct Judgement {
    pub(super) state: EnforcementState,
    by_schedule: Option<EnforcementState>,
    causes: Vec<Cause>,
}

/// The stricter of all causes at `time`, with every cause that holds.
pub(super) fn judge(license: Option<&LicenseState>, time: TrustedTime) -> Judgement {
    let Some(license) = license else {
        return Judgement {
            state: EnforcementState::ManagementLocked,
            by_schedule: None,
            causes: alloc::vec![Cause::NoToken],
        };
    };
    let schedule = license.schedule;
    let by_schedule = schedule.state_at(time.floor);
    let mut state = by_schedule;
    let mut causes = Vec::new();
    match (by_schedule, begun_at(schedule, by_schedule)) {
        (EnforcementState::Licensed, _) | (_, None) => {}
        (
            EnforcementState::Grace | EnforcementState::ManagementLocked | EnforcementState::Stopped,
            Some(at),
        ) => causes.push(Cause::Schedule { state: by_schedule, at }),
    }
    // Time adopted from the wall clock locks and never stops (token §5): only the lock instant is asked for.
    if let Some(at) = schedule.lock_at
        && by_schedule < EnforcementState::ManagementLocked
        && at <= time.lock_time
    {
        state = state.max(EnforcementState::ManagementLocked);
        causes.push(Cause::AdoptedTime { at });
    }
    if license.offline_lock_at <= time.lock_time {
        state = state.max(EnforcementState::ManagementLocked);
        causes.push(Cause::OfflineBudget { at: license.offline_lock_at });
    }
    Judgement { state, by_schedule: Some(by_schedule), causes }
}

/// When the schedule began a state.
fn begun_at(schedule: Schedule, state: EnforcementState) -> Option<Timestamp> {
    match state {
        EnforcementState::Licensed => None,
        EnforcementState::Grace => schedule.grace_begins_at,
        EnforcementState::ManagementLocked => schedule.lock_at,
        EnforcementState::Stopped => schedule.stop_at,
    }
}

/// Every instant still ahead on the clock that judges it, as (boot-clock time until then, instant), soonest first.
fn ahead(license: &LicenseState, time: TrustedTime) -> Vec<(Seconds, Timestamp)> {
    let Schedule { grace_begins_at, lock_at, stop_at } = license.schedule;
    // The end of the term changes no state by itself, but what the device says of it.
    let certain = [grace_begins_at, lock_at, stop_at, license.coterm_at].map(|at| (time.floor, at));
    let adoptable = [lock_at, Some(license.offline_lock_at)].map(|at| (time.lock_time, at));
    let mut ahead: Vec<(Seconds, Timestamp)> = certain
        .into_iter()
        .chain(adoptable)
        .filter_map(|(clock, at)| at.filter(|at| *at > clock).map(|at| (at.since(clock), at)))
        .collect();
    // Of instants that come at the same moment, the last is what the device will be told.
    ahead.sort_unstable_by_key(|(delay, at)| (*delay, Reverse(*at)));
    ahead
}
