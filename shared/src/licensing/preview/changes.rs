//! What a command would put elsewhere: keys, sites and devices, each before and after.

use crate::id::{DeviceId, GroupId, KeyId, SiteId};
use crate::licensing::device::DeviceState;
use crate::licensing::draft::Decision;
use crate::licensing::event::{Event, Subject};
use crate::licensing::license_key::{KeyLine, KeyState};
use crate::licensing::site::Place;
use crate::platform::code::masked;
use alloc::collections::BTreeSet;
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
    /// The units it consumed while active.
    pub units_before: Option<u64>,
    /// The units it consumes while active, afterwards.
    pub units_after: Option<u64>,
}

/// What the events of the command itself name, each once, in the order it is named first.
fn named<T: Ord + Clone>(decision: &Decision, of: impl Fn(Subject) -> Option<T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    // What a setting makes of all door controllers is in the figures of their groups; a list would have no end.
    let listed = |event: &Event| !matches!(event, Event::UnitsCounted { .. });
    let all = decision
        .own_events()
        .filter(|dated| listed(&dated.event))
        .flat_map(|dated| dated.event.subjects())
        .filter_map(of);
    all.filter(|one| seen.insert(one.clone())).collect()
}

/// The groups that the command itself names.
pub(super) fn groups(decision: &Decision) -> Vec<GroupId> {
    named(decision, |subject| match subject {
        Subject::Group(id) => Some(id),
        Subject::Key(_) | Subject::Site(_) | Subject::Device(_) => None,
    })
}

/// The keys that the command itself puts elsewhere.
pub(super) fn keys(decision: &Decision) -> Vec<KeyChange> {
    let ids = named(decision, |subject| match subject {
        Subject::Key(id) => Some(id),
        Subject::Group(_) | Subject::Site(_) | Subject::Device(_) => None,
    });
    let change = |id: KeyId| {
        let (before, after) = (decision.base.key(id), decision.after.key(id));
        let issued = &after.or(before)?.issued;
        let change = KeyChange {
            key: id,
            code: masked(&issued.code_tail),
            lines: issued.lines.clone(),
            before: before.map(|key| key.state.clone()),
            after: after.map(|key| key.state.clone()),
        };
        (change.before != change.after).then_some(change)
    };
    ids.into_iter().filter_map(change).collect()
}

/// The sites that the command itself puts elsewhere.
pub(in crate::licensing) fn sites(decision: &Decision) -> Vec<SiteMove> {
    let (base, after) = (&decision.base, &decision.after);
    let ids = named(decision, |subject| match subject {
        Subject::Site(id) => Some(id),
        Subject::Group(_) | Subject::Key(_) | Subject::Device(_) => None,
    });
    let change = |id: SiteId| {
        let (old, new) = (base.site(id), after.site(id));
        let change = SiteMove {
            site: id,
            name: new.or(old)?.name.to_string(),
            devices: after.site_tree(id).map(|site| site.devices().count()).sum(),
            before: old.map(|site| site.place),
            after: new.map(|site| site.place),
            from: base.group_of_site(id),
            to: after.group_of_site(id),
        };
        (change.before != change.after).then_some(change)
    };
    ids.into_iter().filter_map(change).collect()
}

/// The devices that the command itself claims, retires or puts elsewhere; those that go with their site are not among
/// them.
pub(in crate::licensing) fn devices(decision: &Decision) -> Vec<DeviceMove> {
    let (base, after) = (&decision.base, &decision.after);
    let ids = named(decision, |subject| match subject {
        Subject::Device(id) => Some(id),
        Subject::Group(_) | Subject::Key(_) | Subject::Site(_) => None,
    });
    let change = |id: DeviceId| {
        let (old, new) = (base.device(&id), after.device(&id));
        let change = DeviceMove {
            from_site: old.map(|device| device.site),
            to_site: new.map(|device| device.site),
            from: old.and_then(|device| base.group_of_site(device.site)),
            to: new.and_then(|device| after.group_of_site(device.site)),
            before: old.map(|device| device.state.clone()),
            after: new.map(|device| device.state.clone()),
            units_before: old.map(|device| device.units),
            units_after: new.map(|device| device.units),
            device: id,
        };
        (old != new).then_some(change)
    };
    ids.into_iter().filter_map(change).collect()
}
