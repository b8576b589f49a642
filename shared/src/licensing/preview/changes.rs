//! What a command would put elsewhere: keys, sites and devices, each before and after.

use crate::id::{DeviceId, GroupId, KeyId, SiteId};
use crate::licensing::device::DeviceState;
use crate::licensing::draft::Decision;
use crate::licensing::event::Event;
use crate::licensing::license_key::{KeyLine, KeyState};
use crate::licensing::site::Place;
use crate::platform::code::masked;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::Serialize;

/// A key that a change puts elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyChange {
    /// The key; a part of a split gets its id only by the split itself.
    pub key: KeyId,
    /// Its code, masked.
    pub code: String,
    /// What it licenses.
    pub lines: Vec<KeyLine>,
    /// Where it stood; `None` if it comes into the organization by this change.
    pub before: Option<KeyState>,
    /// Where it stands afterwards.
    pub after: Option<KeyState>,
}

/// A site that a change puts elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SiteMove {
    /// The site.
    pub site: SiteId,
    /// Its name.
    pub name: String,
    /// Active devices in it and in its sub-sites, which go with it.
    pub devices: usize,
    /// Where it stood; `None` if it is created.
    pub before: Option<Place>,
    /// Where it stands afterwards; `None` if it is deleted.
    pub after: Option<Place>,
    /// The group it was in.
    pub from: Option<GroupId>,
    /// The group it is in afterwards.
    pub to: Option<GroupId>,
}

/// A device that a change claims, retires or puts elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceMove {
    /// The device.
    pub device: DeviceId,
    /// Its site before; `None` if it was never claimed here.
    pub from_site: Option<SiteId>,
    /// Its site afterwards.
    pub to_site: Option<SiteId>,
    /// The group it was in.
    pub from: Option<GroupId>,
    /// The group it is in afterwards.
    pub to: Option<GroupId>,
    /// What it was.
    pub before: Option<DeviceState>,
    /// What it is afterwards.
    pub after: Option<DeviceState>,
}

/// The keys that the command itself puts elsewhere.
pub(super) fn keys(decision: &Decision) -> Vec<KeyChange> {
    let mut ids: Vec<KeyId> = Vec::new();
    for dated in decision.own_events() {
        match &dated.event {
            Event::KeyClaimed { key, .. } => ids.push(key.id),
            Event::KeyPlaced { key, .. } | Event::KeyExpired { key } | Event::KeyTransferred { key, .. } => {
                ids.push(*key);
            }
            Event::KeySplit { key, parts } => {
                ids.push(*key);
                ids.extend(parts.iter().map(|part| part.key.id));
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
            | Event::DeviceClaimed { .. }
            | Event::DeviceMoved { .. }
            | Event::TrialConverted { .. }
            | Event::TrialEnded { .. }
            | Event::DeviceRetired { .. }
            | Event::RenewalsActivated { .. }
            | Event::TermEnded { .. }
            | Event::GroupAssessed { .. } => {}
        }
    }
    let change = |id: KeyId| {
        let (before, after) = (decision.base.key(id), decision.after.key(id));
        let issued = &after.or(before)?.issued;
        Some(KeyChange {
            key: id,
            code: masked(&issued.code_tail),
            lines: issued.lines.clone(),
            before: before.map(|key| key.state.clone()),
            after: after.map(|key| key.state.clone()),
        })
    };
    ids.into_iter().filter_map(change).collect()
}

/// The sites that the command itself puts elsewhere.
pub(super) fn sites(decision: &Decision) -> Vec<SiteMove> {
    let (base, after) = (&decision.base, &decision.after);
    let id = |event: &Event| match event {
        Event::SiteCreated { site, .. } | Event::SiteMoved { site, .. } | Event::SiteDeleted { site } => {
            Some(*site)
        }
        Event::OrganizationFounded { .. }
        | Event::GroupsEnabled
        | Event::SettingsChanged { .. }
        | Event::GroupCreated { .. }
        | Event::GroupRenamed { .. }
        | Event::GroupSettingsChanged { .. }
        | Event::GroupDeleted { .. }
        | Event::SiteRenamed { .. }
        | Event::DeviceClaimed { .. }
        | Event::DeviceMoved { .. }
        | Event::TrialConverted { .. }
        | Event::TrialEnded { .. }
        | Event::DeviceRetired { .. }
        | Event::KeyClaimed { .. }
        | Event::KeyPlaced { .. }
        | Event::KeySplit { .. }
        | Event::KeyExpired { .. }
        | Event::KeyTransferred { .. }
        | Event::RenewalsActivated { .. }
        | Event::TermEnded { .. }
        | Event::GroupAssessed { .. } => None,
    };
    let change = |id: SiteId| {
        let (old, new) = (base.site(id), after.site(id));
        Some(SiteMove {
            site: id,
            name: new.or(old)?.name.to_string(),
            devices: after.site_tree(id).map(|site| site.devices().count()).sum(),
            before: old.map(|site| site.place),
            after: new.map(|site| site.place),
            from: base.group_of_site(id),
            to: after.group_of_site(id),
        })
    };
    decision.own_events().filter_map(|dated| id(&dated.event)).filter_map(change).collect()
}

/// The devices that the command itself claims, retires or puts elsewhere; those that go with their site are not among
/// them.
pub(super) fn devices(decision: &Decision) -> Vec<DeviceMove> {
    let (base, after) = (&decision.base, &decision.after);
    let id = |event: &Event| match event {
        Event::DeviceClaimed { device, .. }
        | Event::DeviceMoved { device, .. }
        | Event::TrialConverted { device }
        | Event::TrialEnded { device }
        | Event::DeviceRetired { device, .. } => Some(device.clone()),
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
        | Event::KeyClaimed { .. }
        | Event::KeyPlaced { .. }
        | Event::KeySplit { .. }
        | Event::KeyExpired { .. }
        | Event::KeyTransferred { .. }
        | Event::RenewalsActivated { .. }
        | Event::TermEnded { .. }
        | Event::GroupAssessed { .. } => None,
    };
    let change = |id: DeviceId| {
        let (old, new) = (base.device(&id), after.device(&id));
        DeviceMove {
            from_site: old.map(|device| device.site),
            to_site: new.map(|device| device.site),
            from: old.and_then(|device| base.group_of_site(device.site)),
            to: new.and_then(|device| after.group_of_site(device.site)),
            before: old.map(|device| device.state.clone()),
            after: new.map(|device| device.state.clone()),
            device: id,
        }
    };
    decision.own_events().filter_map(|dated| id(&dated.event)).map(change).collect()
}
