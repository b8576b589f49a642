//! Claim codes of an organization, and the devices that came with one.
//!
//! A code is issued for a site and a model, for a while, for one device. Where it asks for approval, the device waits
//! until an administrator approves it, unless its id is on the list of those approved beforehand. What is decided when is
//! in [`super::decide`]. **Deliberately absent:** the codes themselves; only their hashes are known here.

use super::name::ModelName;
use crate::enrolment::code::{ClaimHash, KeyPrint};
use crate::id::{ClaimCodeId, DeviceId, SiteId};
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Bound;
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use serde::{Deserialize, Serialize};

/// Devices in one change of the list of those approved beforehand, at most.
pub const LIST_MAX: usize = 10_000;
/// Devices on that list, at most.
pub(super) const APPROVED_MAX: usize = 100_000;
/// Claim codes that are open or wait for approval, at most.
pub(super) const OPEN_MAX: u64 = 10_000;

/// A claim code to be issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewClaimCode {
    /// Its id.
    pub id: ClaimCodeId,
    /// The hash of its secret.
    pub hash: ClaimHash,
    /// The end of its text.
    pub tail: String,
    /// The site its device is claimed into.
    pub site: SiteId,
    /// The model of its device.
    pub model: String,
    /// The product type that model consumes, by the catalog.
    pub product: ProductType,
    /// The units it consumes, by the catalog (domain G7).
    pub units: u64,
    /// How long the device's trial lasts, in seconds, if it starts with one (domain G8).
    pub trial_secs: Option<Seconds>,
    /// The only device that may use it; any that is not yet claimed, without one.
    pub device: Option<DeviceId>,
    /// Whether an administrator must approve the device.
    pub approval: bool,
    /// For how long it may be used, in seconds.
    pub life_secs: Seconds,
}

/// A device that asks to be enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrol {
    /// The hash of the secret it showed.
    pub hash: ClaimHash,
    /// Who it says it is, if it says so.
    pub device: Option<DeviceId>,
    /// The id it gets if neither it nor the code says one.
    pub fresh: DeviceId,
    /// The print of its key, which it has proven to hold.
    pub key: KeyPrint,
}

/// What can be asked about enrolment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "enrolment", rename_all = "kebab-case")]
pub enum EnrolmentCommand {
    /// Issues a claim code.
    IssueCode(Box<NewClaimCode>),
    /// Takes an open claim code back.
    RevokeCode {
        /// The code.
        code: ClaimCodeId,
    },
    /// A device asks, with a code and its key. Asked again with the same key, it changes nothing.
    Enrol(Box<Enrol>),
    /// Lets the device in that waits with this code.
    Approve {
        /// The code.
        code: ClaimCodeId,
    },
    /// Refuses the device that waits with this code; the code is spent.
    Deny {
        /// The code.
        code: ClaimCodeId,
    },
    /// Puts devices on the list of those approved beforehand.
    Preauthorise {
        /// The devices.
        devices: Vec<DeviceId>,
    },
    /// Takes devices off that list.
    EndPreauthorisation {
        /// The devices.
        devices: Vec<DeviceId>,
    },
}

impl EnrolmentCommand {
    /// Its name, for logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            EnrolmentCommand::IssueCode(_) => "issue-claim-code",
            EnrolmentCommand::RevokeCode { .. } => "revoke-claim-code",
            EnrolmentCommand::Enrol(_) => "enrol",
            EnrolmentCommand::Approve { .. } => "approve-enrolment",
            EnrolmentCommand::Deny { .. } => "deny-enrolment",
            EnrolmentCommand::Preauthorise { .. } => "preauthorise",
            EnrolmentCommand::EndPreauthorisation { .. } => "end-preauthorisation",
        }
    }
}

/// What happened about enrolment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum EnrolmentEvent {
    /// A claim code was issued.
    #[serde(rename = "claim-code-issued")]
    CodeIssued {
        /// The code.
        code: Box<ClaimCode>,
    },
    /// A claim code was taken back.
    #[serde(rename = "claim-code-revoked")]
    CodeRevoked {
        /// The code.
        code: ClaimCodeId,
    },
    /// A device asked and waits for approval.
    #[serde(rename = "enrolment-requested")]
    Requested {
        /// The code it came with.
        code: ClaimCodeId,
        /// The device.
        device: DeviceId,
        /// Its key.
        key: KeyPrint,
    },
    /// The device that waited was refused.
    #[serde(rename = "enrolment-denied")]
    Denied {
        /// The code it came with.
        code: ClaimCodeId,
    },
    /// A device was let in with this key; if it was not the organization's before, its claim stands beside this.
    #[serde(rename = "device-enrolled")]
    Enrolled {
        /// The code it came with.
        code: ClaimCodeId,
        /// The device.
        device: DeviceId,
        /// Its key.
        key: KeyPrint,
    },
    /// Devices were put on the list of those approved beforehand.
    #[serde(rename = "devices-preauthorised")]
    Preauthorised {
        /// The devices.
        devices: Vec<DeviceId>,
    },
    /// Devices were taken off that list.
    #[serde(rename = "preauthorisation-ended")]
    PreauthorisationEnded {
        /// The devices.
        devices: Vec<DeviceId>,
    },
}

impl EnrolmentEvent {
    event_names! {
        CodeIssued => "claim-code-issued",
        CodeRevoked => "claim-code-revoked",
        Requested => "enrolment-requested",
        Denied => "enrolment-denied",
        Enrolled => "device-enrolled",
        Preauthorised => "devices-preauthorised",
        PreauthorisationEnded => "preauthorisation-ended",
    }
}

impl EnrolmentEvent {
    /// The devices it names.
    pub(super) fn devices(&self) -> Vec<DeviceId> {
        match self {
            EnrolmentEvent::CodeIssued { code } => code.device.iter().cloned().collect(),
            EnrolmentEvent::Requested { device, .. } | EnrolmentEvent::Enrolled { device, .. } => {
                Vec::from([device.clone()])
            }
            EnrolmentEvent::Preauthorised { devices } | EnrolmentEvent::PreauthorisationEnded { devices } => {
                devices.clone()
            }
            EnrolmentEvent::CodeRevoked { .. } | EnrolmentEvent::Denied { .. } => Vec::new(),
        }
    }
}

/// Where a claim code stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ClaimState {
    /// Nobody used it yet.
    #[default]
    Open,
    /// A device waits for approval with it.
    Pending {
        /// The device.
        device: DeviceId,
        /// Its key.
        key: KeyPrint,
        /// Since when.
        since: Timestamp,
    },
    /// A device was let in with it.
    Used {
        /// The device.
        device: DeviceId,
        /// Its key.
        key: KeyPrint,
        /// When.
        at: Timestamp,
    },
    /// The device that came with it was refused.
    Denied {
        /// The device.
        device: DeviceId,
        /// Its key.
        key: KeyPrint,
        /// When.
        at: Timestamp,
    },
    /// It was taken back.
    Revoked {
        /// When.
        at: Timestamp,
    },
}

/// A claim code as the books know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimCode {
    /// Its id.
    pub id: ClaimCodeId,
    /// The hash of its secret.
    pub hash: ClaimHash,
    /// The end of its text.
    pub tail: String,
    /// The site its device is claimed into.
    pub site: SiteId,
    /// The model of its device.
    pub model: ModelName,
    /// The product type it consumes.
    pub product: ProductType,
    /// The units it consumes.
    pub units: u64,
    /// How long the device's trial lasts, if it starts with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_secs: Option<Seconds>,
    /// The only device that may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// Whether an administrator must approve the device.
    pub approval: bool,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// From when on it cannot be used any more.
    pub ends_at: Timestamp,
    /// Where it stands.
    #[serde(default, flatten)]
    pub state: ClaimState,
}

impl ClaimCode {
    /// Where it stands at `now`, in a word: `open`, `ended`, `pending`, `used`, `denied` or `revoked`.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> &'static str {
        match self.state {
            ClaimState::Open if self.ends_at <= now => "ended",
            ClaimState::Open => "open",
            ClaimState::Pending { .. } => "pending",
            ClaimState::Used { .. } => "used",
            ClaimState::Denied { .. } => "denied",
            ClaimState::Revoked { .. } => "revoked",
        }
    }
}

/// The claim codes of an organization, and who came with them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    codes: RedBlackTreeMapSync<ClaimCodeId, ClaimCode>,
    by_hash: RedBlackTreeMapSync<ClaimHash, ClaimCodeId>,
    approved: RedBlackTreeSetSync<DeviceId>,
    /// Codes that are open or pending, ended ones included.
    open: u64,
}

impl Enrolment {
    /// A claim code.
    #[must_use]
    pub fn code(&self, id: ClaimCodeId) -> Option<&ClaimCode> {
        self.codes.get(&id)
    }

    /// The claim code with this secret.
    #[must_use]
    pub fn code_by_hash(&self, hash: &ClaimHash) -> Option<&ClaimCode> {
        self.codes.get(self.by_hash.get(hash)?)
    }

    /// Claim codes with ids above `after`, by id.
    pub fn codes_after(&self, after: Option<ClaimCodeId>) -> impl Iterator<Item = &ClaimCode> + '_ {
        self.codes.range(super::above(after)).map(|(_, code)| code)
    }

    /// Whether a device is on the list of those approved beforehand.
    #[must_use]
    pub fn is_preauthorised(&self, device: &DeviceId) -> bool {
        self.approved.contains(device)
    }

    /// The devices approved beforehand with ids above `after`, by id.
    pub fn preauthorised_after(&self, after: Option<DeviceId>) -> impl Iterator<Item = &DeviceId> + '_ {
        self.approved.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded))
    }

    /// How many devices are on that list.
    #[must_use]
    pub fn preauthorised(&self) -> usize {
        self.approved.size()
    }

    /// How many codes are open or wait for approval.
    #[must_use]
    pub const fn open(&self) -> u64 {
        self.open
    }

    pub(super) fn apply(&mut self, event: &EnrolmentEvent, at: Timestamp) -> Option<()> {
        match event {
            EnrolmentEvent::CodeIssued { code } => {
                self.by_hash.insert_mut(code.hash, code.id);
                self.codes.insert_mut(code.id, (**code).clone());
                self.open = self.open.saturating_add(1);
            }
            EnrolmentEvent::CodeRevoked { code } => self.change(*code, ClaimState::Revoked { at })?,
            EnrolmentEvent::Requested { code, device, key } => {
                let state = ClaimState::Pending { device: device.clone(), key: *key, since: at };
                self.change(*code, state)?;
            }
            EnrolmentEvent::Denied { code } => {
                let ClaimState::Pending { device, key, .. } = self.codes.get(code)?.state.clone() else {
                    return None;
                };
                self.change(*code, ClaimState::Denied { device, key, at })?;
            }
            EnrolmentEvent::Enrolled { code, device, key } => {
                self.change(*code, ClaimState::Used { device: device.clone(), key: *key, at })?;
            }
            EnrolmentEvent::Preauthorised { devices } => {
                devices.iter().for_each(|device| self.approved.insert_mut(device.clone()));
            }
            EnrolmentEvent::PreauthorisationEnded { devices } => {
                for device in devices {
                    self.approved.remove_mut(device);
                }
            }
        }
        Some(())
    }

    fn change(&mut self, id: ClaimCodeId, state: ClaimState) -> Option<()> {
        let waits = |state: &ClaimState| match state {
            ClaimState::Open | ClaimState::Pending { .. } => 1,
            ClaimState::Used { .. } | ClaimState::Denied { .. } | ClaimState::Revoked { .. } => 0,
        };
        let code = self.codes.get_mut(&id)?;
        self.open = self.open.saturating_sub(waits(&code.state)).saturating_add(waits(&state));
        code.state = state;
        Some(())
    }
}
