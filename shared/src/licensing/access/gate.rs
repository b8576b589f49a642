//! A subject and its gate: from when on people are kept out of it, and until when.

use crate::enforcement::{DeviceClass, EnforcementState, ModeCap, OperatingMode, Schedule};
use crate::finding::Finding;
use crate::id::{DeviceId, GroupId, SiteId};
use crate::product::ProductType;
use crate::time::Timestamp;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// What people want to do something with. Sites come before devices, each by id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccessSubject {
    /// The organization as a whole: everything that is of no single site.
    Organization,
    /// A site: its own pages, not those of single devices.
    Site(SiteId),
    /// A device.
    Device(DeviceId),
}

impl AccessSubject {
    /// What it is: `organization`, `site` or `device`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            AccessSubject::Organization => "organization",
            AccessSubject::Site(_) => "site",
            AccessSubject::Device(_) => "device",
        }
    }

    /// Its id; `None` for the organization, which is the one asked in.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        match self {
            AccessSubject::Organization => None,
            AccessSubject::Site(id) => Some(id.to_string()),
            AccessSubject::Device(id) => Some(id.to_string()),
        }
    }
}

impl fmt::Display for AccessSubject {
    /// With its kind in front, since a device may be named like a site: `device:cam-1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccessSubject::Organization => f.write_str("organization"),
            AccessSubject::Site(id) => write!(f, "site:{id}"),
            AccessSubject::Device(id) => write!(f, "device:{id}"),
        }
    }
}

/// Why a text is no subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a subject: write `organization`, `site:ID` or `device:ID`")]
pub struct AccessSubjectError;

impl FromStr for AccessSubject {
    type Err = AccessSubjectError;

    fn from_str(text: &str) -> Result<Self, AccessSubjectError> {
        match text.split_once(':') {
            None if text == "organization" => Ok(AccessSubject::Organization),
            Some(("site", id)) => id.parse().map(AccessSubject::Site).map_err(|_| AccessSubjectError),
            Some(("device", id)) => id.parse().map(AccessSubject::Device).map_err(|_| AccessSubjectError),
            Some(_) | None => Err(AccessSubjectError),
        }
    }
}

/// From when on people are kept out of a subject, as the books stand (domain E8).
///
/// It does not depend on now: closed is whatever has the lock of its ladder behind it. Time alone moves a gate only where
/// something is due ([`super::super::Organization::next_due`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// The ladder, before any class cap; people are kept out from its lock on.
    pub ladder: Schedule,
    /// When, once closed, it opens by itself: queued renewals begin then and nothing is missing any more.
    pub reopens_at: Option<Timestamp>,
    /// Why, now; empty if nothing is wrong now.
    pub findings: Vec<Finding>,
    /// The license group whose ladder it is, if it is a group's.
    pub group: Option<GroupId>,
    /// The device is retired.
    pub retired: bool,
    /// The strictest mode a device of this product may be driven to, if its class follows from that.
    pub cap: Option<OperatingMode>,
}

impl Gate {
    /// When people are kept out; `None` if no such instant is announced.
    #[must_use]
    pub const fn closes_at(&self) -> Option<Timestamp> {
        self.ladder.lock_at
    }

    /// Whether people are kept out at `now`.
    #[must_use]
    pub fn is_closed_at(&self, now: Timestamp) -> bool {
        self.closes_at().is_some_and(|at| at <= now)
    }

    /// Where the ladder stands at `now`, before any class cap.
    #[must_use]
    pub fn state_at(&self, now: Timestamp) -> EnforcementState {
        self.ladder.state_at(now)
    }

    /// The next instant after `now` at which what is said of it changes, if nothing falls due before.
    #[must_use]
    pub fn next_change_after(&self, now: Timestamp) -> Option<Timestamp> {
        let reopens_at = self.reopens_at.filter(|at| *at > now);
        self.ladder.next_change_after(now).into_iter().chain(reopens_at).min()
    }

    /// The same, said to open by itself only if it closes before.
    pub(super) fn opening_once_closed(self) -> Gate {
        let closes_at = self.closes_at();
        let reopens_at = self.reopens_at.filter(|at| closes_at.is_some_and(|closes_at| closes_at < *at));
        Gate { reopens_at, ..self }
    }
}

/// How far enforcement can go on devices of a product, if their class follows from it (domain E7).
///
/// The class is the integrator's statement in the agent's own configuration, so this is the mildest it may be: a sensor
/// may be one that lives depend on, a door controller is not assumed to be attested.
pub(super) fn cap_of(product: ProductType) -> Option<OperatingMode> {
    let class = match product {
        ProductType::CAMERA => DeviceClass::Camera,
        ProductType::DOOR => DeviceClass::DoorController,
        ProductType::ENVIRONMENTAL_SENSOR | ProductType::ALARM_SENSOR => {
            DeviceClass::Sensor { life_safety: true }
        }
        ProductType::VIEWING_STATION => DeviceClass::ViewingStation,
        ProductType::ALARM_CONSOLE => DeviceClass::AlarmConsole,
        ProductType::INTERCOM => DeviceClass::Intercom,
        _ => return None,
    };
    Some(ModeCap::of(class, None).strictest())
}

/// What would let people in again, a clause for each finding.
pub(super) fn cures(gate: &Gate) -> String {
    if gate.retired {
        return String::from("Claim the device again: it works again at once.");
    }
    let cure = |finding: &Finding| match finding {
        Finding::TermEnded => String::from("claim a license key into its group"),
        Finding::OverCapacity { product, shortfall } => {
            format!("claim licenses for {shortfall} more {product} unit(s), or retire so many")
        }
        Finding::NoLicense => String::from("claim a first license key into its group"),
        Finding::TrialEnded => String::from("convert the device, which then uses a license, or retire it"),
        Finding::OfflineBudget => String::from("connect the device"),
    };
    let cures: Vec<String> = gate.findings.iter().map(cure).collect();
    let mut text = if cures.is_empty() {
        String::from("Ask who administers the licenses")
    } else {
        format!("To open it: {}", cures.join("; "))
    };
    if let Some(at) = gate.reopens_at {
        text.push_str(&format!("; the renewals that wait open it at {at}"));
    }
    text.push_str(". License pages stay reachable.");
    text
}
