//! What can be asked of an organization.
//!
//! Texts arrive as they were typed; [`super::decide`] parses them, so that all faults of a command are found at once.

use super::enrolment::EnrolmentCommand;
use super::import::Import;
use super::license_key::{IssuedKey, KeyPast, OrderLine};
use super::safety::SafetyCommand;
use super::settings::{DoorUnits, GroupSetting, Scope};
use crate::id::{DeviceId, GroupId, KeyId, OrganizationId, SiteId};
use crate::product::ProductType;
use crate::time::Seconds;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Founds an organization; handled by [`super::found`], since there is nothing yet to decide on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundOrganization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name.
    pub name: String,
    /// The id of its default group (domain G1).
    pub default_group: GroupId,
    /// Settings that depart from the defaults.
    pub settings: SettingsChange,
    /// Whether license groups are enabled from the first day (domain G1).
    #[serde(default)]
    pub license_groups: bool,
}

/// A change of settings; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SettingsChange {
    /// From the start of noncompliance to the lock, in seconds.
    pub grace_secs: Option<Seconds>,
    /// From the lock to the stop, in seconds.
    pub stop_after_lock_secs: Option<Seconds>,
    /// An IANA time zone.
    pub time_zone: Option<String>,
    /// Whom a shortfall is enforced on (domain C3).
    pub scope: Option<Scope>,
    /// How long keys and sites may stay unassigned, in seconds; a setting of the organization alone (domain G3).
    pub countdown_secs: Option<Seconds>,
    /// What door controllers count by; a setting of the organization alone (domain G7).
    pub door_units: Option<DoorUnits>,
    /// What share of the devices, in percent, one operation may put on the way to lock without approval; a setting of the
    /// organization alone (domain E6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_share_percent: Option<u64>,
    /// How many devices one operation may, whatever their share; a setting of the organization alone (domain E6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_devices: Option<u64>,
    /// How many devices of a group lock a day at most, 0 for no bound; a setting of the organization alone (domain E6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockout_pace: Option<u64>,
    /// What a group shall have as its organization has it, no longer as its own (domain E1); of a group alone.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub inherit: BTreeSet<GroupSetting>,
}

/// What can be asked of an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Command {
    /// Brings every transition up to date that is due; what a timer asks.
    Materialize,
    /// Enables license groups, once (domain G1).
    EnableGroups,
    /// Changes the organization's settings.
    ChangeSettings(SettingsChange),
    /// Creates a license group.
    CreateGroup {
        /// Its id.
        id: GroupId,
        /// Its name.
        name: String,
        /// Its departures from the organization's settings.
        settings: SettingsChange,
    },
    /// Creates a license group and moves a site into it, in one step; its licenses stay (domain G1, G4).
    CreateGroupFromSite {
        /// The id of the group.
        id: GroupId,
        /// The site, which becomes a root site of the group.
        site: SiteId,
        /// The name of the group; the site's without one.
        name: Option<String>,
        /// Its departures from the organization's settings.
        settings: SettingsChange,
    },
    /// Renames a license group.
    RenameGroup {
        /// The group.
        id: GroupId,
        /// Its new name.
        name: String,
    },
    /// Changes a group's departures from the organization's settings.
    ChangeGroupSettings {
        /// The group.
        id: GroupId,
        /// The departures to change.
        settings: SettingsChange,
    },
    /// Deletes an empty license group (domain G5).
    DeleteGroup {
        /// The group.
        id: GroupId,
    },
    /// Creates a root site in a group, or a sub-site of a site (domain G2).
    CreateSite {
        /// Its id.
        id: SiteId,
        /// Its name.
        name: String,
        /// The site it is part of; a root site has none.
        parent: Option<SiteId>,
        /// The group of a root site; without one it is unassigned (domain G3), or in the default group while license
        /// groups are not enabled. A sub-site has none of its own.
        group: Option<GroupId>,
    },
    /// Renames a site.
    RenameSite {
        /// The site.
        id: SiteId,
        /// Its new name.
        name: String,
    },
    /// Moves a site with everything in it (domain G2, G4).
    MoveSite {
        /// The site.
        id: SiteId,
        /// Where to.
        to: SiteTarget,
    },
    /// Deletes an empty site.
    DeleteSite {
        /// The site.
        id: SiteId,
    },
    /// Claims a device into a site.
    ClaimDevice {
        /// The device.
        device: NewDevice,
        /// The site.
        site: SiteId,
    },
    /// Moves a device to another site.
    MoveDevice {
        /// The device.
        id: DeviceId,
        /// The site.
        site: SiteId,
    },
    /// Makes a device on trial an active one (domain G8).
    ConvertTrial {
        /// The device.
        id: DeviceId,
    },
    /// Replaces a device by another in one step (domain G9).
    ReplaceDevice {
        /// The device that goes.
        old: DeviceId,
        /// The device that comes.
        new: NewDevice,
    },
    /// Says how many of a door controller's doors are configured (domain G7).
    ConfigureDoors {
        /// The device.
        id: DeviceId,
        /// Its configured doors, from 1 to the units of its model.
        doors: u64,
    },
    /// Retires a device.
    RetireDevice {
        /// The device.
        id: DeviceId,
    },
    /// Reports a device stolen: it cannot be claimed any more (domain G10).
    ReportStolen {
        /// The device.
        id: DeviceId,
    },
    /// Claims a key (domain K2, K3).
    ClaimKey {
        /// The key the code stands for.
        key: Box<IssuedKey>,
        /// The group; without one it is unassigned (domain G3), or in the default group while license groups are not
        /// enabled.
        group: Option<GroupId>,
        /// As increase or as renewal.
        mode: ClaimMode,
    },
    /// Takes a key that another organization gives away: it arrives unassigned (domain K7, K8), or in the default group
    /// while license groups are not enabled.
    ReceiveKey {
        /// The key as it is given.
        key: Box<IssuedKey>,
        /// What it has been through.
        past: KeyPast,
    },
    /// Moves a key to a group, from another or from Unassigned (domain K6).
    MoveKey {
        /// The key.
        id: KeyId,
        /// The group.
        group: GroupId,
        /// As increase or as renewal; a queued key stays queued unless told otherwise.
        mode: Option<ClaimMode>,
    },
    /// Returns a key to Unassigned (domain K8).
    UnclaimKey {
        /// The key.
        id: KeyId,
    },
    /// Splits a key in two (domain K7).
    SplitKey {
        /// The key.
        id: KeyId,
        /// The two parts.
        parts: Box<[PartRequest; 2]>,
    },
    /// Moves a site or device together with the licenses it needs, as one change (domain G4).
    WithLicenses {
        /// The move: [`Command::MoveSite`], [`Command::MoveDevice`] or [`Command::CreateGroupFromSite`].
        of: Box<Command>,
        /// The keys that go along, as they were planned ([`super::licenses_along`]).
        keys: Vec<KeyStep>,
        /// Whether it is proven that no fewer would do.
        proven_smallest: bool,
    },
    /// Makes everything that the lines of a file say.
    Import(Import),
    /// Claim codes, and devices that come with one.
    Enrolment(EnrolmentCommand),
    /// Held operations and freezes (domain E6).
    Safety(SafetyCommand),
    /// Gives an unassigned key to another organization; vendor staff only (domain K8).
    TransferKey {
        /// The key.
        id: KeyId,
        /// The organization that gets it.
        to: OrganizationId,
    },
}

/// How a key is claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimMode {
    /// Its units are usable at once (domain K2).
    #[default]
    Increase,
    /// It waits for the end of the term (domain K3).
    Renewal,
}

impl ClaimMode {
    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ClaimMode::Increase => "increase",
            ClaimMode::Renewal => "renewal",
        }
    }
}

/// Why a text is not a way to claim a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a way to claim a key: write `increase` or `renewal`")]
pub struct ClaimModeError;

impl core::str::FromStr for ClaimMode {
    type Err = ClaimModeError;

    fn from_str(text: &str) -> Result<Self, ClaimModeError> {
        [ClaimMode::Increase, ClaimMode::Renewal]
            .into_iter()
            .find(|mode| mode.name() == text)
            .ok_or(ClaimModeError)
    }
}

/// Where a site is moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SiteTarget {
    /// To a group, as a root site.
    Group(GroupId),
    /// Into another site.
    Within(SiteId),
    /// It becomes a root site of the group it is in (domain G2).
    Root,
}

/// A device as it is claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDevice {
    /// The device.
    pub id: DeviceId,
    /// Its model in the catalog.
    pub model: String,
    /// The product type it consumes, by the catalog.
    pub product: ProductType,
    /// The units it consumes, by the catalog (domain G7).
    pub units: u64,
    /// How long its trial lasts, in seconds, if it starts with one (domain G8).
    pub trial_secs: Option<Seconds>,
    /// How many of a door controller's doors are configured, if that is said (domain G7).
    pub doors: Option<u64>,
}

/// A part of a key to be split, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRequest {
    /// The id of the new key.
    pub id: KeyId,
    /// The end of its code.
    pub code_tail: String,
    /// The units it takes of every line; what is not named, it takes none of.
    pub lines: Vec<OrderLine>,
    /// Whose it will be, and where.
    pub target: PartTarget,
}

/// A key that goes along with what moves (domain G4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyStep {
    /// The whole key.
    Move {
        /// The key.
        key: KeyId,
    },
    /// A part of it; the other part stays.
    Split {
        /// The key.
        key: KeyId,
        /// The part that goes along.
        goes: AlongPart,
        /// The part that stays.
        stays: AlongPart,
    },
}

/// A part of a key of which one goes along with what moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlongPart {
    /// The id of the new key.
    pub id: KeyId,
    /// The end of its code.
    pub code_tail: String,
    /// The units it takes of every line; what is not named, it takes none of.
    pub lines: Vec<OrderLine>,
}

/// Where a part of a split key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartTarget {
    /// It stays in the organization.
    Own {
        /// The group it is claimed to; left unassigned without one, or in the default group while license groups are
        /// not enabled.
        group: Option<GroupId>,
        /// As increase or as renewal; as the key was without a word (domain K3).
        mode: Option<ClaimMode>,
    },
    /// It goes to another organization, unassigned; vendor staff only (domain K7).
    Other(OrganizationId),
}

impl Command {
    /// Its name, for logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Command::Materialize => "materialize",
            Command::EnableGroups => "enable-groups",
            Command::ChangeSettings(_) => "change-settings",
            Command::CreateGroup { .. } => "create-group",
            Command::CreateGroupFromSite { .. } => "create-group-from-site",
            Command::RenameGroup { .. } => "rename-group",
            Command::ChangeGroupSettings { .. } => "change-group-settings",
            Command::DeleteGroup { .. } => "delete-group",
            Command::CreateSite { .. } => "create-site",
            Command::RenameSite { .. } => "rename-site",
            Command::MoveSite { .. } => "move-site",
            Command::DeleteSite { .. } => "delete-site",
            Command::ClaimDevice { .. } => "claim-device",
            Command::MoveDevice { .. } => "move-device",
            Command::ConvertTrial { .. } => "convert-trial",
            Command::ReplaceDevice { .. } => "replace-device",
            Command::ConfigureDoors { .. } => "configure-doors",
            Command::RetireDevice { .. } => "retire-device",
            Command::ReportStolen { .. } => "report-stolen",
            Command::ClaimKey { .. } => "claim-key",
            Command::ReceiveKey { .. } => "receive-key",
            Command::MoveKey { .. } => "move-key",
            Command::UnclaimKey { .. } => "unclaim-key",
            Command::SplitKey { .. } => "split-key",
            Command::TransferKey { .. } => "transfer-key",
            Command::WithLicenses { .. } => "with-licenses",
            Command::Import(_) => "import",
            Command::Enrolment(command) => command.name(),
            Command::Safety(command) => command.name(),
        }
    }
}
