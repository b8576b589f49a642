//! Why a device is in its mode, for machines and for people (every enforced device can say why).

use super::{EnforcementState, OperatingMode};
use crate::finding::Finding;
use crate::time::Timestamp;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One thing that puts a device where it stands; several can hold at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "kebab-case")]
pub enum Cause {
    /// The token's schedule began this state, judged by certain time.
    Schedule {
        /// The state it began.
        state: EnforcementState,
        /// When.
        at: Timestamp,
    },
    /// The schedule's lock has come by a wall clock that was adopted, not yet by certain time (token §5).
    AdoptedTime {
        /// When management was to lock.
        at: Timestamp,
    },
    /// No newer token for the whole offline budget (domain E7).
    OfflineBudget {
        /// When the budget ended.
        at: Timestamp,
    },
    /// No token was ever accepted (token §5).
    NoToken,
}

impl Cause {
    /// Its stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Cause::Schedule { .. } => "SCHEDULE",
            Cause::AdoptedTime { .. } => "ADOPTED_TIME",
            Cause::OfflineBudget { .. } => "OFFLINE_BUDGET",
            Cause::NoToken => "NO_TOKEN",
        }
    }

    /// The cause in one sentence, with what to do where there is something to do.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Cause::Schedule { state, at } => format!("The license schedule began `{state}` at {at}."),
            Cause::AdoptedTime { at } => format!(
                "The license schedule locks management at {at}, which has passed by this device's own clock; if that \
                 clock is wrong, connect the device so that it can fetch the time."
            ),
            Cause::OfflineBudget { at } => format!(
                "No newer license state reached this device before {at}; connect it to the cloud or bring it a \
                 license bundle."
            ),
            Cause::NoToken => String::from(
                "This device has never received a license state; connect it to the cloud or bring it a license bundle.",
            ),
        }
    }
}

/// Why a device is in its mode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// All that holds; empty if nothing restricts the device and nothing is announced to have begun.
    pub causes: Vec<Cause>,
    /// The token's findings that hold now; what is only announced is in the next change.
    pub findings: Vec<Finding>,
    /// The mode that would hold if the class of this device allowed it.
    pub capped_from: Option<OperatingMode>,
}

impl Reason {
    /// The stable codes: findings, then causes, then `CLASS_CAP` if the cap made the mode milder; each once.
    #[must_use]
    pub fn codes(&self) -> Vec<&'static str> {
        let findings = self.findings.iter().map(Finding::code);
        let causes = self.causes.iter().map(Cause::code);
        let mut codes = Vec::new();
        for code in findings.chain(causes).chain(self.capped_from.map(|_| "CLASS_CAP")) {
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        codes
    }

    /// The same in sentences for people.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences: Vec<String> = self.causes.iter().map(Cause::sentence).collect();
        sentences.extend(self.findings.iter().map(|finding| format!("Finding: {}.", finding.sentence())));
        if let Some(wanted) = self.capped_from {
            sentences.push(format!("The class of this device does not allow `{wanted}`."));
        }
        sentences
    }

    /// The earliest instant named by a cause, or `None`.
    #[must_use]
    pub fn earliest_at(&self) -> Option<Timestamp> {
        self.causes
            .iter()
            .filter_map(|cause| match cause {
                Cause::Schedule { state: _, at }
                | Cause::AdoptedTime { at }
                | Cause::OfflineBudget { at } => Some(*at),
                Cause::NoToken => None,
            })
            .min()
    }
}
