//! What happened to an organization: the transaction log is made of these (domain T1).
//!
//! An event carries everything that was computed when it happened, dates above all, so that replaying it needs no
//! rule, no setting and no time-zone table of the present. Events are stored as JSON and hashed as stored; a variant
//! is never changed, only joined by a newer one.

use super::compliance::{Assessment, Figures};
use super::license_key::IssuedKey;
use super::name::{ModelName, Name};
use super::settings::{Overrides, Settings};
use crate::id::{DeviceId, GroupId, OrganizationId, SiteId};
use crate::product::ProductType;
use crate::time::Timestamp;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use serde::{Deserialize, Serialize};

/// An event and the instant it happened at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dated {
    /// When it happened: for a transition that was due, its own instant, not the one it was noticed at.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What happened to an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// The organization came to be, with its default group (domain G1).
    OrganizationFounded {
        /// Its id.
        organization: OrganizationId,
        /// Its name.
        name: Name,
        /// Its settings.
        settings: Settings,
        /// The id of the default group.
        default_group: GroupId,
        /// The name of the default group.
        default_group_name: Name,
    },
    /// The organization's settings changed.
    SettingsChanged {
        /// The settings now in force.
        settings: Settings,
    },
    /// A license group was created.
    GroupCreated {
        /// Its id.
        group: GroupId,
        /// Its name.
        name: Name,
        /// Its departures from the organization's settings.
        overrides: Overrides,
    },
    /// A license group was renamed; its identity stays (domain G5).
    GroupRenamed {
        /// The group.
        group: GroupId,
        /// Its new name.
        name: Name,
    },
    /// A group's departures from the organization's settings changed.
    GroupSettingsChanged {
        /// The group.
        group: GroupId,
        /// The departures now in force.
        overrides: Overrides,
    },
    /// An empty license group was deleted (domain G5).
    GroupDeleted {
        /// The group.
        group: GroupId,
    },
    /// A root site was created in a group (domain G2).
    SiteCreated {
        /// Its id.
        site: SiteId,
        /// Its name.
        name: Name,
        /// Its group.
        group: GroupId,
    },
    /// A sub-site was created; it follows its root's group (domain G2).
    SubSiteCreated {
        /// Its id.
        site: SiteId,
        /// Its name.
        name: Name,
        /// The site it is part of.
        parent: SiteId,
    },
    /// A site was renamed.
    SiteRenamed {
        /// The site.
        site: SiteId,
        /// Its new name.
        name: Name,
    },
    /// An empty site was deleted.
    SiteDeleted {
        /// The site.
        site: SiteId,
    },
    /// A device was claimed into a site.
    DeviceClaimed {
        /// The device.
        device: DeviceId,
        /// Its site.
        site: SiteId,
        /// Its model in the catalog.
        model: ModelName,
        /// The product type it consumes.
        product: ProductType,
        /// The units it consumes (domain G7).
        units: u64,
    },
    /// A device was retired; it consumes nothing any more.
    DeviceRetired {
        /// The device.
        device: DeviceId,
    },
    /// A key was claimed as increase (domain K2).
    KeyClaimed {
        /// The key with its lines.
        key: Box<IssuedKey>,
        /// The group whose pool it joined.
        group: GroupId,
    },
    /// A group's term ended: its active keys retired together (domain D4).
    TermEnded {
        /// The group.
        group: GroupId,
        /// How many keys retired.
        keys: u64,
    },
    /// A group was judged anew, with another result than before (domain C1, E2).
    GroupAssessed {
        /// The group.
        group: GroupId,
        /// The figures before the change (domain T1).
        before: Box<Figures>,
        /// The figures it was judged by.
        after: Box<Figures>,
        /// The result.
        assessment: Box<Assessment>,
    },
}

impl Event {
    /// Its name in the log.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Event::OrganizationFounded { .. } => "organization-founded",
            Event::SettingsChanged { .. } => "settings-changed",
            Event::GroupCreated { .. } => "group-created",
            Event::GroupRenamed { .. } => "group-renamed",
            Event::GroupSettingsChanged { .. } => "group-settings-changed",
            Event::GroupDeleted { .. } => "group-deleted",
            Event::SiteCreated { .. } => "site-created",
            Event::SubSiteCreated { .. } => "sub-site-created",
            Event::SiteRenamed { .. } => "site-renamed",
            Event::SiteDeleted { .. } => "site-deleted",
            Event::DeviceClaimed { .. } => "device-claimed",
            Event::DeviceRetired { .. } => "device-retired",
            Event::KeyClaimed { .. } => "key-claimed",
            Event::TermEnded { .. } => "term-ended",
            Event::GroupAssessed { .. } => "group-assessed",
        }
    }

    /// What this event takes or gives back among the names that are unique over all organizations.
    #[must_use]
    pub fn reservation(&self) -> Option<Reservation> {
        let of = |kind, value| Reserved { kind, value };
        match self {
            Event::DeviceClaimed { device, .. } => {
                Some(Reservation::Take(of(ReservedKind::Device, device.to_string())))
            }
            Event::DeviceRetired { device } => {
                Some(Reservation::Release(of(ReservedKind::Device, device.to_string())))
            }
            Event::KeyClaimed { key, .. } => {
                Some(Reservation::Take(of(ReservedKind::LicenseKey, key.id.to_string())))
            }
            Event::OrganizationFounded { .. }
            | Event::SettingsChanged { .. }
            | Event::GroupCreated { .. }
            | Event::GroupRenamed { .. }
            | Event::GroupSettingsChanged { .. }
            | Event::GroupDeleted { .. }
            | Event::SiteCreated { .. }
            | Event::SubSiteCreated { .. }
            | Event::SiteRenamed { .. }
            | Event::SiteDeleted { .. }
            | Event::TermEnded { .. }
            | Event::GroupAssessed { .. } => None,
        }
    }
}

/// A kind of names that are unique over all organizations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReservedKind {
    /// Device ids.
    Device,
    /// License keys.
    LicenseKey,
}

impl ReservedKind {
    /// Its name in a store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ReservedKind::Device => "device",
            ReservedKind::LicenseKey => "license-key",
        }
    }
}

/// A name that is unique over all organizations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reserved {
    /// Of which kind.
    pub kind: ReservedKind,
    /// The name.
    pub value: String,
}

/// A change of what is reserved, made in the same transaction as the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// Must be free, or held by the same organization.
    Take(Reserved),
    /// Is free from now on.
    Release(Reserved),
}
