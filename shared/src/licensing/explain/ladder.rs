//! Why a group is noncompliant, since when, and what follows when (domain C1, E1-E5).

use super::duration;
use crate::enforcement::{EnforcementState, Schedule};
use crate::finding::Finding;
use crate::licensing::clock::CauseClock;
use crate::licensing::group::Group;
use crate::licensing::ladders::{Ladders, SharedStep};
use crate::time::{Seconds, Timestamp};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Serialize;

/// The two causes, each with its own clock (domain E2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The term has ended.
    Expiry,
    /// More in use than granted, or nothing ever granted.
    Capacity,
}

impl Cause {
    const fn of(finding: &Finding) -> Cause {
        match finding {
            Finding::TermEnded | Finding::TrialEnded | Finding::OfflineBudget => Cause::Expiry,
            Finding::OverCapacity { .. } | Finding::NoLicense => Cause::Capacity,
        }
    }

    const fn clock(self, group: &Group) -> &CauseClock {
        match self {
            Cause::Expiry => &group.assessment.clocks.expiry,
            Cause::Capacity => &group.assessment.clocks.capacity,
        }
    }

    /// The cause in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Expiry => "the end of the term",
            Cause::Capacity => "missing capacity",
        }
    }
}

/// A present finding with its clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CauseExplanation {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// Whose clock it runs on.
    pub cause: Cause,
    /// Since when that clock runs.
    pub since: Option<Timestamp>,
    /// What was spent of that clock's grace before, since its last reset, in seconds.
    pub spent_before_secs: Seconds,
    /// What it announces: at every step the earliest of any device, with the clocks that were brought along.
    pub schedule: Schedule,
    /// The finding in a sentence.
    pub sentence: String,
}

/// Every present finding, with its clock.
pub(super) fn causes(group: &Group, ladders: &Ladders) -> Vec<CauseExplanation> {
    let explain = |finding: &Finding| {
        let cause = Cause::of(finding);
        let clock = cause.clock(group);
        let (since, spent_before_secs) = match clock {
            CauseClock::Running(run) => (Some(run.since), run.spent_before_secs),
            CauseClock::Fresh | CauseClock::Paused(_) => (None, Seconds::ZERO),
        };
        let mut when = since.map(|at| format!(", since {at}")).unwrap_or_default();
        if spent_before_secs > Seconds::ZERO {
            let spent = duration(spent_before_secs);
            when.push_str(&format!("; {spent} of its grace were spent before, which no cure gave back yet"));
        }
        CauseExplanation {
            finding: *finding,
            cause,
            since,
            spent_before_secs,
            schedule: match cause {
                Cause::Expiry => ladders.earliest.expiry,
                Cause::Capacity => ladders.earliest.capacity,
            },
            sentence: format!("{}: {}{when}.", finding.code(), finding.sentence()),
        }
    };
    group.assessment.findings.iter().map(explain).collect()
}

/// A step of the ladder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LadderStep {
    /// The state that begins.
    pub state: EnforcementState,
    /// When.
    pub at: Timestamp,
    /// How many of the group's active devices it begins for.
    pub devices: u64,
    /// Whether it has begun.
    pub reached: bool,
    /// The step in a sentence.
    pub sentence: String,
}

/// The whole ladder of a group, of both causes (domain E5): every step that any of its devices takes, by instant.
pub(super) fn steps(group: &Group, ladders: &Ladders, now: Timestamp) -> Vec<LadderStep> {
    let all = group.figures.active_devices;
    let step = |step: SharedStep| {
        let SharedStep { at, state, devices } = step;
        let reached = at <= now;
        let (of, some) = if devices == all {
            (String::from("its devices"), String::new())
        } else {
            (format!("{devices} of its {all} devices"), format!(" for {devices} of its {all} devices"))
        };
        let what = match (state, reached) {
            (EnforcementState::Licensed, _) => String::from("everything works"),
            (EnforcementState::Grace, true) => format!("grace began{some}: everything works on"),
            (EnforcementState::Grace, false) => format!("grace begins{some}: everything works on"),
            (EnforcementState::ManagementLocked, true) => format!("management of {of} locked"),
            (EnforcementState::ManagementLocked, false) => format!("management of {of} locks"),
            (EnforcementState::Stopped, true) => format!("{of} stopped"),
            (EnforcementState::Stopped, false) if devices == 1 && all > 1 => format!("{of} stops"),
            (EnforcementState::Stopped, false) => format!("{of} stop"),
        };
        let sentence = if reached {
            format!("{at}  {what}")
        } else {
            format!("{at}  {what}, in {}", duration(at.since(now)))
        };
        LadderStep { state, at, devices, reached, sentence }
    };
    ladders.steps().into_iter().map(step).collect()
}

/// What is left on a clock that stands still (domain E2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PausedClock {
    /// Whose clock it is.
    pub cause: Cause,
    /// Spent since the last reset, in seconds.
    pub spent_secs: Seconds,
    /// Left to the lock, in seconds.
    pub to_lock_secs: Seconds,
    /// Left to the stop, in seconds.
    pub to_stop_secs: Seconds,
    /// When it starts anew if the group stays compliant.
    pub resets_at: Option<Timestamp>,
    /// The same in a sentence.
    pub sentence: String,
}

/// The clocks that stand still with something spent.
pub(super) fn paused(group: &Group) -> Vec<PausedClock> {
    let resets_at = group.assessment.clocks_reset_at;
    let one = |cause: Cause| match cause.clock(group) {
        CauseClock::Fresh | CauseClock::Running(_) => None,
        CauseClock::Paused(left) => {
            let until = match resets_at {
                Some(at) => format!("it starts anew on {at} if the group stays compliant until then"),
                None => String::from("it starts anew after 30 compliant days in a row"),
            };
            let to_lock = match left.to_lock_secs {
                Seconds::ZERO => String::from("management would lock at once"),
                left => format!("{} are left to the lock", duration(left)),
            };
            let sentence = format!(
                "The clock of {} stands still with {} spent: {to_lock} and {} to the stop; {until}.",
                cause.name(),
                duration(left.spent_secs),
                duration(left.to_stop_secs)
            );
            Some(PausedClock {
                cause,
                spent_secs: left.spent_secs,
                to_lock_secs: left.to_lock_secs,
                to_stop_secs: left.to_stop_secs,
                resets_at,
                sentence,
            })
        }
    };
    [Cause::Expiry, Cause::Capacity].into_iter().filter_map(one).collect()
}
