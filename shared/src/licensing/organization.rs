//! The organization: state and questions about it. How it changes is in [`super::apply`]; what may change, in
//! [`super::decide`].
//!
//! All collections are persistent maps behind one shared pointer, so a clone costs next to nothing: a preview works on a
//! clone, and readers keep a consistent snapshot while the writer goes on.

use super::ahead::Ahead;
use super::device::Device;
use super::enrolment::Enrolment;
use super::group::Group;
use super::license_key::LicenseKey;
use super::name::Name;
use super::safety::{Freeze, HeldOperation, PutOff, Safety, held_back, put_off};
use super::settings::Settings;
use super::site::{Home, Place, Site};
use crate::enforcement::Schedule;
use crate::id::{DeviceId, GroupId, HeldId, KeyId, OrganizationId, SiteId};
use crate::time::Timestamp;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::{Bound, Deref, DerefMut};
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An organization: the tenant (domain §1).
///
/// `Clone` costs one counter, and the first change after it a copy of what is no collection: whoever only reads, keeps or
/// hands on an organization pays for none of it. Serialized, it is a snapshot; the events are the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization(Arc<State>);

/// What an organization consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub(super) id: OrganizationId,
    pub(super) name: Name,
    pub(super) founded_at: Timestamp,
    pub(super) as_of: Timestamp,
    pub(super) version: u64,
    pub(super) settings: Settings,
    pub(super) default_group: GroupId,
    pub(super) groups_enabled: bool,
    pub(super) groups: RedBlackTreeMapSync<GroupId, Group>,
    pub(super) sites: RedBlackTreeMapSync<SiteId, Site>,
    pub(super) devices: RedBlackTreeMapSync<DeviceId, Device>,
    pub(super) keys: RedBlackTreeMapSync<KeyId, LicenseKey>,
    /// When which group is due.
    pub(super) due_groups: RedBlackTreeSetSync<(Timestamp, Due)>,
    /// What else is due when; apart, so that whoever looks for it does not meet every group.
    pub(super) due_items: RedBlackTreeSetSync<(Timestamp, Due)>,
    /// Root sites in no group.
    pub(super) unassigned_sites: RedBlackTreeSetSync<SiteId>,
    /// Keys in no group.
    pub(super) unassigned_keys: RedBlackTreeSetSync<KeyId>,
    pub(super) group_names: RedBlackTreeSetSync<String>,
    pub(super) site_names: RedBlackTreeSetSync<(Option<SiteId>, String)>,
    pub(super) active_devices: u64,
    pub(super) trial_devices: u64,
    pub(super) enrolment: Enrolment,
    #[serde(default)]
    pub(super) safety: Safety,
}

impl Organization {
    pub(super) fn new(state: State) -> Organization {
        Organization(Arc::new(state))
    }
}

impl Deref for Organization {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

/// What somebody else holds too is copied first.
impl DerefMut for Organization {
    fn deref_mut(&mut self) -> &mut State {
        Arc::make_mut(&mut self.0)
    }
}

impl Serialize for Organization {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Organization {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Organization, D::Error> {
        State::deserialize(deserializer).map(Organization::new)
    }
}

/// What can be due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Due {
    /// A group wants to be judged.
    Group(GroupId),
    /// The countdown of an unassigned key ends, or its term. Before the sites: a key may cover one that joins with it.
    Key(KeyId),
    /// The countdown of an unassigned site ends.
    Site(SiteId),
    /// The trial of a device ends.
    Trial(DeviceId),
    /// Nobody decided on a held operation.
    Held(HeldId),
}

/// The range of keys above one; of all, without one.
pub(crate) fn above<K>(after: Option<K>) -> (Bound<K>, Bound<K>) {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

/// How deep sites may nest.
pub(super) const SITE_MAX_DEPTH: usize = 16;

impl Organization {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> OrganizationId {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// When it was founded.
    #[must_use]
    pub fn founded_at(&self) -> Timestamp {
        self.founded_at
    }

    /// The instant of its last event.
    #[must_use]
    pub fn as_of(&self) -> Timestamp {
        self.as_of
    }

    /// How many events made it.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Its settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its default group (domain G1).
    #[must_use]
    pub fn default_group(&self) -> GroupId {
        self.default_group
    }

    /// Devices in use that are not on trial.
    #[must_use]
    pub fn active_devices(&self) -> u64 {
        self.active_devices
    }

    /// Devices on trial.
    #[must_use]
    pub fn trial_devices(&self) -> u64 {
        self.trial_devices
    }

    /// Whether license groups are enabled (domain G1).
    #[must_use]
    pub fn groups_enabled(&self) -> bool {
        self.groups_enabled
    }

    /// Claim codes, and who came with them.
    #[must_use]
    pub fn enrolment(&self) -> &Enrolment {
        &self.enrolment
    }

    /// Root sites in no group.
    pub fn unassigned_sites(&self) -> impl Iterator<Item = &Site> + '_ {
        self.unassigned_sites.iter().filter_map(|id| self.sites.get(id))
    }

    /// Keys in no group.
    pub fn unassigned_keys(&self) -> impl Iterator<Item = &LicenseKey> + '_ {
        self.unassigned_keys.iter().filter_map(|id| self.keys.get(id))
    }

    /// When [`super::Command::Materialize`] would next change something.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.first().map(|(at, _)| *at)
    }

    fn first(&self) -> Option<&(Timestamp, Due)> {
        self.due_groups.first().into_iter().chain(self.due_items.first()).min()
    }

    /// What is due first, and when.
    pub(super) fn first_due(&self) -> Option<(Timestamp, Due)> {
        self.first().cloned()
    }

    /// A license group.
    #[must_use]
    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(&id)
    }

    /// All license groups, by id.
    pub fn groups(&self) -> impl Iterator<Item = &Group> + '_ {
        self.groups.values()
    }

    /// License groups with ids above `after`, by id; getting to the first costs a walk down the tree.
    pub fn groups_after(&self, after: Option<GroupId>) -> impl Iterator<Item = &Group> + '_ {
        self.groups.range(above(after)).map(|(_, value)| value)
    }

    /// A site.
    #[must_use]
    pub fn site(&self, id: SiteId) -> Option<&Site> {
        self.sites.get(&id)
    }

    /// All sites, by id.
    pub fn sites(&self) -> impl Iterator<Item = &Site> + '_ {
        self.sites.values()
    }

    /// Sites with ids above `after`, by id; getting to the first costs a walk down the tree.
    pub fn sites_after(&self, after: Option<SiteId>) -> impl Iterator<Item = &Site> + '_ {
        self.sites.range(above(after)).map(|(_, value)| value)
    }

    /// A device, active or retired.
    #[must_use]
    pub fn device(&self, id: &DeviceId) -> Option<&Device> {
        self.devices.get(id)
    }

    /// All devices, active and retired, by id.
    pub fn devices(&self) -> impl Iterator<Item = &Device> + '_ {
        self.devices.values()
    }

    /// Devices with ids above `after`, by id; getting to the first costs a walk down the tree.
    pub fn devices_after(&self, after: Option<DeviceId>) -> impl Iterator<Item = &Device> + '_ {
        self.devices.range(above(after)).map(|(_, value)| value)
    }

    /// A claimed key.
    #[must_use]
    pub fn key(&self, id: KeyId) -> Option<&LicenseKey> {
        self.keys.get(&id)
    }

    /// All claimed keys, by id.
    pub fn keys(&self) -> impl Iterator<Item = &LicenseKey> + '_ {
        self.keys.values()
    }

    /// Claimed keys with ids above `after`, by id; getting to the first costs a walk down the tree.
    pub fn keys_after(&self, after: Option<KeyId>) -> impl Iterator<Item = &LicenseKey> + '_ {
        self.keys.range(above(after)).map(|(_, value)| value)
    }

    /// A held operation, waiting or decided lately (domain E6).
    #[must_use]
    pub fn held_operation(&self, id: HeldId) -> Option<&HeldOperation> {
        self.safety.held(id)
    }

    /// Held operations with ids above `after`, by id, which is the order they were asked for in (domain E6).
    pub fn held_operations_after(&self, after: Option<HeldId>) -> impl Iterator<Item = &HeldOperation> + '_ {
        self.safety.held_after(after)
    }

    /// The organization's own freeze, ended or not (domain E6).
    #[must_use]
    pub fn freeze(&self) -> Option<&Freeze> {
        self.safety.freeze()
    }

    /// The same organization as it is under a freeze of everything, which is not in its own books (domain E6).
    #[must_use]
    pub fn under(mut self, platform: Option<&Freeze>) -> Organization {
        // Mostly there is none: nothing is copied then.
        if self.safety.platform_freeze() != platform {
            self.safety.set_platform_freeze(platform.cloned());
        }
        self
    }

    /// Whether the same freezes hold, or held, for another state of it.
    #[must_use]
    pub fn is_frozen_as(&self, other: &Organization) -> bool {
        self.safety.freezes().eq(other.safety.freezes())
    }

    /// Since when a freeze lasts for it, if one does (domain E6).
    #[must_use]
    pub fn frozen_since(&self) -> Option<Timestamp> {
        self.safety.freezes().filter(|freeze| freeze.is_on()).map(|freeze| freeze.since).min()
    }

    /// When the last freeze of it ended, if one did (domain E6).
    pub(super) fn thawed_at(&self) -> Option<Timestamp> {
        self.safety.freezes().flat_map(Freeze::put_offs).map(|put_off| put_off.thawed_at).max()
    }

    /// Whether a freeze that has ended still puts anything off at `now` (domain E6).
    pub(super) fn is_put_off_at(&self, now: Timestamp) -> bool {
        self.safety.freezes().flat_map(Freeze::put_offs).any(|put_off| put_off.until > now)
    }

    /// The freezes that last for it, that of everything last.
    pub(super) fn freezes_on(&self) -> impl Iterator<Item = (&Freeze, bool)> {
        let own = self.safety.freeze().into_iter().map(|freeze| (freeze, false));
        let all = own.chain(self.safety.platform_freeze().map(|freeze| (freeze, true)));
        all.filter(|(freeze, _)| freeze.is_on())
    }

    /// A schedule of the books after the freezes that have ended (domain E6).
    pub(super) fn thawed(&self, schedule: Schedule) -> Schedule {
        // In the order they ended in, and of those that ended together in the order they began: what one put off had not
        // come when another began.
        let mut ended: Vec<PutOff> = self.safety.freezes().flat_map(Freeze::put_offs).collect();
        ended.sort_by_key(|put_off| (put_off.thawed_at, put_off.since));
        ended.iter().fold(schedule, |schedule, put_off| put_off.of(schedule))
    }

    /// The same of both causes.
    pub(super) fn thawed_ahead(&self, ahead: &Ahead) -> Ahead {
        Ahead { expiry: self.thawed(ahead.expiry), capacity: self.thawed(ahead.capacity) }
    }

    /// A schedule of the books as a token with this lease announces it: as [`Wanted::schedule_for`].
    ///
    /// [`Wanted::schedule_for`]: super::Wanted::schedule_for
    pub(super) fn announced(&self, schedule: Schedule, lease_ends_at: Timestamp) -> Schedule {
        let thawed = self.thawed(schedule);
        self.frozen_since().map_or(thawed, |since| put_off(thawed, since, lease_ends_at))
    }

    /// A schedule as a connected device lives by it at `now`.
    pub(super) fn in_force(&self, schedule: Schedule, now: Timestamp) -> Schedule {
        self.frozen_since().map_or(schedule, |since| held_back(schedule, since, now))
    }

    /// The settings in force in a group.
    #[must_use]
    pub fn settings_of(&self, group: &Group) -> Settings {
        group.overrides.over(&self.settings)
    }

    /// Where a site belongs: where its root does (domain G2). `None` if there is no such site.
    #[must_use]
    pub fn home_of_site(&self, site: SiteId) -> Option<Home> {
        let root = self.path_to_root(site).last()?;
        match root.place {
            Place::Root { group } => Some(Home::Group(group)),
            Place::Unassigned { .. } => Some(Home::Unassigned),
            Place::Within { .. } => None,
        }
    }

    /// The group a site is in, if it is in one.
    #[must_use]
    pub fn group_of_site(&self, site: SiteId) -> Option<GroupId> {
        self.home_of_site(site).and_then(Home::group)
    }

    /// A site, the site it is part of, and so on to its root.
    pub fn path_to_root(&self, site: SiteId) -> impl Iterator<Item = &Site> + '_ {
        let start = self.sites.get(&site);
        core::iter::successors(start, |site| self.sites.get(&site.parent()?)).take(SITE_MAX_DEPTH + 1)
    }

    /// A site and everything in it, parents before their children.
    pub fn site_tree(&self, site: SiteId) -> impl Iterator<Item = &Site> + '_ {
        self.trees(core::iter::once(site).collect())
    }

    fn trees(&self, mut open: Vec<SiteId>) -> impl Iterator<Item = &Site> + '_ {
        core::iter::from_fn(move || {
            let site = self.sites.get(&open.pop()?)?;
            open.extend(site.children());
            Some(site)
        })
    }

    /// How deep a site lies: 0 for a root site.
    #[must_use]
    pub fn depth_of_site(&self, site: SiteId) -> usize {
        self.path_to_root(site).count().saturating_sub(1)
    }

    /// The sites of a group, sub-sites included, parents before their children.
    pub fn sites_in_group(&self, group: GroupId) -> impl Iterator<Item = &Site> + '_ {
        self.trees(self.groups.get(&group).map(|g| g.root_sites().collect()).unwrap_or_default())
    }

    /// The active devices of a group.
    pub fn devices_in_group(&self, group: GroupId) -> impl Iterator<Item = &Device> + '_ {
        self.sites_in_group(group).flat_map(|site| site.devices()).filter_map(|id| self.devices.get(id))
    }

    /// Whether a group has this name, upper and lower case alike.
    #[must_use]
    pub fn has_group_named(&self, name: &Name) -> bool {
        self.group_names.contains(&name.folded())
    }

    /// Whether a site has this name among the children of `parent` (or the root sites).
    #[must_use]
    pub fn has_site_named(&self, parent: Option<SiteId>, name: &Name) -> bool {
        self.site_names.contains(&(parent, name.folded()))
    }
}
