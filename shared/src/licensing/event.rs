//! What happened to an organization: the transaction log is made of these (domain T1).
//!
//! An event carries everything that was computed when it happened, dates above all, so that replaying it needs no
//! rule, no setting and no time-zone table of the present. Events are stored as JSON and hashed as stored; a variant
//! is never changed, only joined by a newer one.

mod names;

use super::clock::Clocks;
use super::compliance::{Assessment, Figures};
use super::device::Trial;
use super::enrolment::EnrolmentEvent;
use super::license_key::{IssuedKey, KeyPast, KeyPlace};
use super::name::{ModelName, Name};
use super::safety::SafetyEvent;
use super::settings::{Overrides, Settings};
use super::site::Place;
use crate::enforcement::Schedule;
use crate::id::{DeviceId, GroupId, KeyId, OrganizationId, SiteId};
use crate::product::ProductType;
use crate::time::Timestamp;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
pub use names::{Reservation, Reserved, ReservedKind, Subject};
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
        /// Whether license groups are enabled from the first day (domain G1).
        #[serde(default)]
        license_groups: bool,
    },
    /// License groups were enabled (domain G1); until then the organization is one pool.
    GroupsEnabled,
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
    /// A site was created.
    SiteCreated {
        /// Its id.
        site: SiteId,
        /// Its name.
        name: Name,
        /// Where (domain G2, G3).
        place: Place,
    },
    /// A site was moved with everything in it (domain G2, G4), or joined the default group after its countdown (G3).
    SiteMoved {
        /// The site.
        site: SiteId,
        /// Where to.
        place: Place,
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
        /// The units of its model, which it consumes unless it is a door controller that counts by its doors (domain
        /// G7).
        units: u64,
        /// Its trial, if it starts with one (domain G8).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trial: Option<Trial>,
    },
    /// The configured doors of a door controller were counted (domain G7).
    DoorsConfigured {
        /// The device.
        device: DeviceId,
        /// Its configured doors.
        doors: u64,
        /// The units it consumes from now on.
        units: u64,
    },
    /// Door controllers count by something else than before (domain G7).
    UnitsCounted {
        /// The units that each of those it makes a difference to consumes from now on.
        units: BTreeMap<DeviceId, u64>,
    },
    /// A device was moved to another site.
    DeviceMoved {
        /// The device.
        device: DeviceId,
        /// Its new site.
        site: SiteId,
    },
    /// A device on trial became an active one (domain G8).
    TrialConverted {
        /// The device.
        device: DeviceId,
    },
    /// The trial of a device ended; its own ladder begins (domain G8).
    TrialEnded {
        /// The device.
        device: DeviceId,
    },
    /// A device was retired; it consumes nothing any more.
    DeviceRetired {
        /// The device.
        device: DeviceId,
        /// Why.
        why: Retirement,
        /// The ladder of its last word (domain G10): no later change of a setting moves what was announced. Absent in
        /// logs from before it was written down; then it is what the settings of that moment make of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schedule: Option<Schedule>,
        /// The clocks it had, which it will have again if it comes back (domain E2).
        #[serde(default, skip_serializing_if = "Clocks::is_fresh")]
        clocks: Clocks,
    },
    /// A key was claimed.
    KeyClaimed {
        /// The key with its lines.
        key: Box<IssuedKey>,
        /// Where it was put (domain K2, K3, G3).
        place: KeyPlace,
        /// What it has been through in the organization it comes from (domain K7, K8).
        #[serde(default, skip_serializing_if = "KeyPast::is_fresh")]
        past: KeyPast,
    },
    /// A claimed key was put elsewhere: moved, assigned, unclaimed, or its countdown ended (domain K6, K8, G3).
    KeyPlaced {
        /// The key.
        key: KeyId,
        /// Where it was put.
        place: KeyPlace,
    },
    /// A key was split in two (domain K7).
    KeySplit {
        /// The key that was split.
        key: KeyId,
        /// What it became, and where each part was put.
        parts: Box<[SplitPart; 2]>,
    },
    /// A key that was in no group ran out.
    KeyExpired {
        /// The key.
        key: KeyId,
    },
    /// The vendor moved an unassigned key to another organization (domain K8).
    KeyTransferred {
        /// The key.
        key: KeyId,
        /// Where to.
        to: OrganizationId,
    },
    /// All renewals that waited in a group became active together (domain K3).
    RenewalsActivated {
        /// The group.
        group: GroupId,
        /// How many keys became active.
        keys: u64,
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
        /// How many devices the operation this belongs to newly put on the way to lock (domain E6); said once for it.
        #[serde(default, skip_serializing_if = "is_zero")]
        to_lock: u64,
    },
    /// What concerns claim codes, and devices that came with one; stored under names of its own.
    #[serde(untagged)]
    Enrolment(EnrolmentEvent),
    /// What concerns held operations and freezes; stored under names of its own.
    #[serde(untagged)]
    Safety(SafetyEvent),
}

/// Whether there is nothing to say.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Event {
    event_names! {
        OrganizationFounded => "organization-founded",
        GroupsEnabled => "groups-enabled",
        SettingsChanged => "settings-changed",
        GroupCreated => "group-created",
        GroupRenamed => "group-renamed",
        GroupSettingsChanged => "group-settings-changed",
        GroupDeleted => "group-deleted",
        SiteCreated => "site-created",
        SiteMoved => "site-moved",
        SiteRenamed => "site-renamed",
        SiteDeleted => "site-deleted",
        DeviceClaimed => "device-claimed",
        DoorsConfigured => "doors-configured",
        UnitsCounted => "units-counted",
        DeviceMoved => "device-moved",
        TrialConverted => "trial-converted",
        TrialEnded => "trial-ended",
        DeviceRetired => "device-retired",
        KeyClaimed => "key-claimed",
        KeyPlaced => "key-placed",
        KeySplit => "key-split",
        KeyExpired => "key-expired",
        KeyTransferred => "key-transferred",
        RenewalsActivated => "renewals-activated",
        TermEnded => "term-ended",
        GroupAssessed => "group-assessed";
        Enrolment, Safety
    }

    /// The name of every event of an organization.
    pub fn all_names() -> impl Iterator<Item = &'static str> {
        Event::NAMES.iter().chain(EnrolmentEvent::NAMES).chain(SafetyEvent::NAMES).copied()
    }
}

/// Why a device was retired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Retirement {
    /// It was taken out of use; it can be claimed again, here or elsewhere.
    Retired,
    /// Another took its place (domain G9).
    Replaced {
        /// The device that did.
        by: DeviceId,
    },
    /// It was reported stolen (domain G10).
    Stolen,
}

/// A part of a split key (domain K7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitPart {
    /// The new key; it inherits order number, term and creation.
    pub key: IssuedKey,
    /// Where it was put.
    pub place: KeyPlace,
}
