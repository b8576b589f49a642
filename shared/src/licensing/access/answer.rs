//! The answer to one access question: yes or no, and if not, why, since when and until when.

use super::action::AccessAction;
use super::gate::{AccessSubject, Gate, cures};
use crate::enforcement::{EnforcementState, OperatingMode};
use crate::id::GroupId;
use crate::licensing::view::FindingView;
use crate::time::Timestamp;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use serde::{Serialize, Serializer};

/// Why people may or may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccessCode {
    /// Nothing keeps anyone out.
    Open,
    /// People are kept out, and this is always allowed (enforcement §2).
    AlwaysAllowed,
    /// The device is management-locked.
    DeviceLocked,
    /// The device is stopped, as far as its class allows.
    DeviceStopped,
    /// The device was retired (domain G10).
    DeviceRetired,
    /// A device of the site is locked or stopped.
    SiteClosed,
    /// Every device of the organization is stopped.
    OrganizationStopped,
}

impl AccessCode {
    /// All of them.
    pub const ALL: [AccessCode; 7] = [
        AccessCode::Open,
        AccessCode::AlwaysAllowed,
        AccessCode::DeviceLocked,
        AccessCode::DeviceStopped,
        AccessCode::DeviceRetired,
        AccessCode::SiteClosed,
        AccessCode::OrganizationStopped,
    ];

    /// The stable text of the code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            AccessCode::Open => "OPEN",
            AccessCode::AlwaysAllowed => "ALWAYS_ALLOWED",
            AccessCode::DeviceLocked => "DEVICE_LOCKED",
            AccessCode::DeviceStopped => "DEVICE_STOPPED",
            AccessCode::DeviceRetired => "DEVICE_RETIRED",
            AccessCode::SiteClosed => "SITE_CLOSED",
            AccessCode::OrganizationStopped => "ORGANIZATION_STOPPED",
        }
    }

    /// What is said of a subject with this gate at `now`, whatever people want to do.
    #[must_use]
    pub fn of(subject: &AccessSubject, gate: &Gate, now: Timestamp) -> AccessCode {
        if !gate.is_closed_at(now) {
            return AccessCode::Open;
        }
        match subject {
            AccessSubject::Organization => AccessCode::OrganizationStopped,
            AccessSubject::Site(_) => AccessCode::SiteClosed,
            AccessSubject::Device(_) if gate.retired => AccessCode::DeviceRetired,
            AccessSubject::Device(_) => match gate.state_at(now) {
                EnforcementState::Stopped => AccessCode::DeviceStopped,
                EnforcementState::Licensed | EnforcementState::Grace | EnforcementState::ManagementLocked => {
                    AccessCode::DeviceLocked
                }
            },
        }
    }
}

impl fmt::Display for AccessCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for AccessCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What is said of every answer: the books are ahead of a device that cannot be reached.
const NOTE: &str =
    "What the books say now; a device that has not heard of it yet acts on the license state it holds.";

/// The answer to one question (domain E8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessAnswer {
    /// What was asked about: `organization`, `site` or `device`.
    pub kind: &'static str,
    /// Its id; `None` for the organization.
    pub id: Option<String>,
    /// What people want to do; `None` for anything that is not always allowed.
    pub action: Option<AccessAction>,
    /// Whether they may.
    pub allowed: bool,
    /// Why.
    pub code: AccessCode,
    /// Why, in a sentence.
    pub sentence: String,
    /// What would let people in; `None` if they are in.
    pub hint: Option<String>,
    /// Where the ladder stands, of a site that of its device that is farthest; `None` of an organization.
    pub state: Option<EnforcementState>,
    /// The strictest mode the device may be in by the books, capped by what its product says of its class (domain E7);
    /// `None` of anything but a device.
    pub mode: Option<OperatingMode>,
    /// All findings that hold now.
    pub reasons: Vec<FindingView>,
    /// Since when people are kept out; `None` if they are not.
    pub since: Option<Timestamp>,
    /// When it opens by itself, if it is closed and time alone will open it.
    pub until: Option<Timestamp>,
    /// When it closes, if it is open and that is announced.
    pub closes_at: Option<Timestamp>,
    /// The license group whose ladder it is.
    pub group: Option<GroupId>,
    /// How far the answer goes.
    pub note: &'static str,
}

impl AccessAnswer {
    /// The answer about a subject with this gate at `now`.
    #[must_use]
    pub fn of(
        subject: &AccessSubject,
        gate: &Gate,
        action: Option<AccessAction>,
        now: Timestamp,
    ) -> AccessAnswer {
        let closed = AccessCode::of(subject, gate, now);
        let is_closed = gate.is_closed_at(now);
        let always = action.is_some_and(AccessAction::is_always_allowed);
        let code = if is_closed && always { AccessCode::AlwaysAllowed } else { closed };
        let state = gate.state_at(now);
        let (state, mode) = match subject {
            AccessSubject::Organization => (None, None),
            AccessSubject::Site(_) => (Some(state), None),
            AccessSubject::Device(_) => {
                let wanted = OperatingMode::wanted_by(state);
                (Some(state), Some(gate.cap.map_or(wanted, |cap| wanted.min(cap))))
            }
        };
        AccessAnswer {
            kind: subject.kind(),
            id: subject.id(),
            action,
            allowed: !is_closed || always,
            code,
            sentence: sentence(subject, gate, code, now),
            hint: is_closed.then(|| cures(gate)),
            state,
            mode,
            reasons: gate
                .findings
                .iter()
                .map(|finding| FindingView { finding: *finding, sentence: finding.sentence() })
                .collect(),
            since: gate.closes_at().filter(|_| is_closed),
            until: gate.reopens_at.filter(|_| is_closed),
            closes_at: gate.closes_at().filter(|_| !is_closed),
            group: gate.group,
            note: NOTE,
        }
    }
}

fn sentence(subject: &AccessSubject, gate: &Gate, code: AccessCode, now: Timestamp) -> String {
    let name = match subject {
        AccessSubject::Organization => String::from("The organization"),
        AccessSubject::Site(id) => format!("Site {id}"),
        AccessSubject::Device(id) => format!("Device {id}"),
    };
    let since = gate.closes_at().map(|at| at.to_string()).unwrap_or_default();
    match code {
        AccessCode::Open => match gate.closes_at().filter(|at| *at > now) {
            Some(at) => format!("{name} is open; people are kept out from {at}."),
            None => format!("{name} is open."),
        },
        AccessCode::AlwaysAllowed => {
            format!("{name} is closed since {since}; this is always allowed.")
        }
        AccessCode::DeviceLocked => {
            format!("{name} is management-locked since {since}: people are kept out.")
        }
        AccessCode::DeviceStopped => {
            format!("{name} is stopped as far as its class allows: people are kept out since {since}.")
        }
        AccessCode::DeviceRetired => format!("{name} was retired at {since}: it has no license any more."),
        AccessCode::SiteClosed => {
            format!("{name} is closed since {since}: devices in it are locked or stopped.")
        }
        AccessCode::OrganizationStopped => {
            format!("All its devices are stopped since {since}: nothing but the license pages is left.")
        }
    }
}
