//! What an event names: whom it is about, and what it takes among the names unique over all organizations.

use super::{Event, Retirement};
use crate::id::{DeviceId, GroupId, KeyId, SiteId};
use crate::licensing::safety::SafetyEvent;
use crate::licensing::site::Place;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// Something of an organization that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A license group.
    Group(GroupId),
    /// A license key.
    Key(KeyId),
    /// A site.
    Site(SiteId),
    /// A device.
    Device(DeviceId),
}

impl Event {
    /// Everything this event names, in the order it names it; nothing if it is about the organization alone.
    ///
    /// Previews and the filters of the log ask this one question. What merely follows is not among it: neither the
    /// devices that go with their site, nor the group that a key or site leaves.
    #[must_use]
    pub fn subjects(&self) -> Vec<Subject> {
        let of_place = |place: &Place| match *place {
            Place::Root { group } => Some(Subject::Group(group)),
            Place::Unassigned { .. } => None,
            Place::Within { parent } => Some(Subject::Site(parent)),
        };
        match self {
            Event::OrganizationFounded { default_group, .. } => vec![Subject::Group(*default_group)],
            Event::GroupsEnabled | Event::SettingsChanged { .. } => Vec::new(),
            Event::GroupCreated { group, .. }
            | Event::GroupRenamed { group, .. }
            | Event::GroupSettingsChanged { group, .. }
            | Event::GroupDeleted { group }
            | Event::RenewalsActivated { group, .. }
            | Event::TermEnded { group, .. }
            | Event::GroupAssessed { group, .. } => vec![Subject::Group(*group)],
            Event::SiteCreated { site, place, .. } | Event::SiteMoved { site, place } => {
                core::iter::once(Subject::Site(*site)).chain(of_place(place)).collect()
            }
            Event::SiteRenamed { site, .. } | Event::SiteDeleted { site } => vec![Subject::Site(*site)],
            Event::DeviceClaimed { device, site, .. } | Event::DeviceMoved { device, site } => {
                vec![Subject::Device(device.clone()), Subject::Site(*site)]
            }
            Event::DoorsConfigured { device, .. }
            | Event::TrialConverted { device }
            | Event::TrialEnded { device } => vec![Subject::Device(device.clone())],
            Event::UnitsCounted { units } => units.keys().cloned().map(Subject::Device).collect(),
            Event::DeviceRetired { device, why, .. } => {
                let by = match why {
                    Retirement::Replaced { by } => Some(Subject::Device(by.clone())),
                    Retirement::Retired | Retirement::Stolen => None,
                };
                core::iter::once(Subject::Device(device.clone())).chain(by).collect()
            }
            Event::KeyClaimed { key, place, .. } => {
                core::iter::once(Subject::Key(key.id)).chain(place.group().map(Subject::Group)).collect()
            }
            Event::KeyPlaced { key, place } => {
                core::iter::once(Subject::Key(*key)).chain(place.group().map(Subject::Group)).collect()
            }
            Event::KeySplit { key, parts } => {
                let of_parts = parts.iter().flat_map(|part| {
                    core::iter::once(Subject::Key(part.key.id)).chain(part.place.group().map(Subject::Group))
                });
                core::iter::once(Subject::Key(*key)).chain(of_parts).collect()
            }
            Event::KeyExpired { key } | Event::KeyTransferred { key, .. } => vec![Subject::Key(*key)],
            Event::Enrolment(event) => event.devices().into_iter().map(Subject::Device).collect(),
            Event::Safety(event) => match event {
                SafetyEvent::Held { operation } => {
                    operation.groups.iter().copied().map(Subject::Group).collect()
                }
                SafetyEvent::Approved { .. }
                | SafetyEvent::Rejected { .. }
                | SafetyEvent::Withdrawn { .. }
                | SafetyEvent::Expired { .. }
                | SafetyEvent::Counted { .. }
                | SafetyEvent::Frozen { .. }
                | SafetyEvent::Unfrozen { .. } => Vec::new(),
            },
        }
    }

    /// What this event takes or gives back among the names that are unique over all organizations.
    #[must_use]
    pub fn reservations(&self) -> Vec<Reservation> {
        let device = |id: &DeviceId| Reserved { kind: ReservedKind::Device, value: id.to_string() };
        let key = |id: &KeyId| Reserved { kind: ReservedKind::LicenseKey, value: id.to_string() };
        match self {
            Event::DeviceClaimed { device: id, .. } => vec![Reservation::Take(device(id))],
            Event::DeviceRetired { device: id, why, .. } => match why {
                Retirement::Retired => vec![Reservation::Release(device(id))],
                // A replaced device cannot come back, here or elsewhere (domain G9).
                Retirement::Replaced { .. } => Vec::new(),
                // A device reported stolen is nobody else's to claim, even if it was retired before (domain G10).
                Retirement::Stolen => vec![Reservation::Take(device(id))],
            },
            Event::KeyClaimed { key: issued, .. } => vec![Reservation::Take(key(&issued.id))],
            Event::KeyTransferred { key: id, .. } => vec![Reservation::Release(key(id))],
            // The parts have codes of their own, which nobody else may claim; the split key stays taken for good.
            Event::KeySplit { parts, .. } => {
                parts.iter().map(|part| Reservation::Take(key(&part.key.id))).collect()
            }
            Event::OrganizationFounded { .. }
            | Event::GroupsEnabled
            | Event::SettingsChanged { .. }
            | Event::GroupCreated { .. }
            | Event::GroupRenamed { .. }
            | Event::GroupSettingsChanged { .. }
            | Event::GroupDeleted { .. }
            | Event::SiteCreated { .. }
            | Event::SiteMoved { .. }
            | Event::SiteRenamed { .. }
            | Event::SiteDeleted { .. }
            | Event::DeviceMoved { .. }
            | Event::DoorsConfigured { .. }
            | Event::UnitsCounted { .. }
            | Event::TrialConverted { .. }
            | Event::TrialEnded { .. }
            | Event::KeyPlaced { .. }
            | Event::KeyExpired { .. }
            | Event::RenewalsActivated { .. }
            | Event::TermEnded { .. }
            | Event::Enrolment(_)
            | Event::Safety(_)
            | Event::GroupAssessed { .. } => Vec::new(),
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
