//! What can be asked of an organization.
//!
//! Texts arrive as they were typed; [`super::decide`] parses them, so that all faults of a command are found at once.

use super::license_key::IssuedKey;
use crate::id::{DeviceId, GroupId, OrganizationId, SiteId};
use crate::product::ProductType;
use crate::time::Seconds;
use alloc::boxed::Box;
use alloc::string::String;
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
}

/// What can be asked of an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Command {
    /// Brings every transition up to date that is due; what a timer asks.
    Materialize,
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
        /// The group of a root site; the default group if none is named. A sub-site has none of its own.
        group: Option<GroupId>,
    },
    /// Renames a site.
    RenameSite {
        /// The site.
        id: SiteId,
        /// Its new name.
        name: String,
    },
    /// Deletes an empty site.
    DeleteSite {
        /// The site.
        id: SiteId,
    },
    /// Claims a device into a site.
    ClaimDevice {
        /// The device.
        id: DeviceId,
        /// The site.
        site: SiteId,
        /// Its model in the catalog.
        model: String,
        /// The product type it consumes, by the catalog.
        product: ProductType,
        /// The units it consumes, by the catalog (domain G7).
        units: u64,
    },
    /// Retires a device.
    RetireDevice {
        /// The device.
        id: DeviceId,
    },
    /// Claims a key as increase (domain K2).
    ClaimKey {
        /// The key the code stands for.
        key: Box<IssuedKey>,
        /// The group; the default group if none is named.
        group: Option<GroupId>,
    },
}

impl Command {
    /// Its name, for logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Command::Materialize => "materialize",
            Command::ChangeSettings(_) => "change-settings",
            Command::CreateGroup { .. } => "create-group",
            Command::RenameGroup { .. } => "rename-group",
            Command::ChangeGroupSettings { .. } => "change-group-settings",
            Command::DeleteGroup { .. } => "delete-group",
            Command::CreateSite { .. } => "create-site",
            Command::RenameSite { .. } => "rename-site",
            Command::DeleteSite { .. } => "delete-site",
            Command::ClaimDevice { .. } => "claim-device",
            Command::RetireDevice { .. } => "retire-device",
            Command::ClaimKey { .. } => "claim-key",
        }
    }
}
