//! The organization: state and questions about it. How it changes is in [`super::apply`]; what may change, in
//! [`super::decide`].
//!
//! All collections are persistent maps, so a clone costs a few pointers: a preview works on a clone, and readers keep
//! a consistent snapshot while the writer goes on.

use super::compliance::{Assessment, Figures, Units};
use super::coterm::Pool;
use super::license_key::LicenseKey;
use super::name::{ModelName, Name};
use super::settings::{Overrides, Settings};
use crate::finding::Finding;
use crate::id::{DeviceId, GroupId, KeyId, OrganizationId, SiteId};
use crate::product::ProductType;
use crate::time::Timestamp;
use alloc::string::String;
use alloc::vec::Vec;
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use serde::{Deserialize, Serialize};

/// A license group (domain §1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Its name, unique in the organization.
    pub name: Name,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its departures from the organization's settings.
    pub overrides: Overrides,
    /// What it is judged by.
    pub figures: Figures,
    /// The last judgement.
    pub assessment: Assessment,
    /// The sums behind the co-termination instant.
    pub(super) pool: Pool,
    /// Lines in the pool.
    pub(super) line_count: u64,
    /// Active keys.
    pub(super) keys: RedBlackTreeSetSync<KeyId>,
    /// Root sites.
    pub(super) sites: RedBlackTreeSetSync<SiteId>,
    /// When it wants to be judged again.
    pub(super) due_at: Option<Timestamp>,
}

impl Group {
    pub(super) fn new(id: GroupId, name: Name, overrides: Overrides, at: Timestamp) -> Group {
        Group {
            id,
            name,
            created_at: at,
            overrides,
            figures: Figures::default(),
            assessment: Assessment { compliant_since: Some(at), ..Assessment::default() },
            pool: Pool::EMPTY,
            line_count: 0,
            keys: RedBlackTreeSetSync::new_sync(),
            sites: RedBlackTreeSetSync::new_sync(),
            due_at: None,
        }
    }

    /// Its active keys.
    pub fn active_keys(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.keys.iter().copied()
    }

    /// Its root sites.
    pub fn root_sites(&self) -> impl Iterator<Item = SiteId> + '_ {
        self.sites.iter().copied()
    }

    /// Whether nothing keeps it from being deleted (domain G5).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sites.is_empty() && self.keys.is_empty()
    }

    /// All findings its devices should know: the present ones, and the end of the term that is ahead.
    #[must_use]
    pub fn announced_findings(&self) -> Vec<Finding> {
        let mut findings = self.assessment.findings.clone();
        let expires = match self.figures.term {
            super::compliance::Term::Running { .. } => self.figures.active_devices > 0,
            super::compliance::Term::NeverLicensed | super::compliance::Term::Ended { .. } => false,
        };
        if expires && !findings.contains(&Finding::TermEnded) {
            findings.push(Finding::TermEnded);
        }
        findings.sort_unstable();
        findings
    }

    /// Units still free per product type that has any capacity.
    #[must_use]
    pub fn free(&self) -> Units {
        let used = |product: &ProductType| self.figures.in_use.get(product).copied().unwrap_or(0);
        self.figures.capacity.iter().map(|(p, capacity)| (*p, capacity.saturating_sub(used(p)))).collect()
    }
}

/// Where a site stands: a root in a group, or part of another site (domain G2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "place", rename_all = "kebab-case")]
pub enum Place {
    /// A root site.
    Root {
        /// Its group.
        group: GroupId,
    },
    /// A sub-site; it is in its root's group.
    Within {
        /// The site it is part of.
        parent: SiteId,
    },
}

/// A site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Its id.
    pub id: SiteId,
    /// Its name, unique among its siblings.
    pub name: Name,
    /// Where it stands.
    pub place: Place,
    /// When it was created.
    pub created_at: Timestamp,
    pub(super) children: RedBlackTreeSetSync<SiteId>,
    pub(super) devices: RedBlackTreeSetSync<DeviceId>,
}

impl Site {
    /// The site it is part of, if it is a sub-site.
    #[must_use]
    pub const fn parent(&self) -> Option<SiteId> {
        match self.place {
            Place::Root { .. } => None,
            Place::Within { parent } => Some(parent),
        }
    }

    /// Its sub-sites.
    pub fn children(&self) -> impl Iterator<Item = SiteId> + '_ {
        self.children.iter().copied()
    }

    /// The active devices directly in it.
    pub fn devices(&self) -> impl Iterator<Item = &DeviceId> + '_ {
        self.devices.iter()
    }

    /// Whether nothing keeps it from being deleted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.children.is_empty() && self.devices.is_empty()
    }
}

/// Where a device stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum DeviceState {
    /// It consumes units.
    Active,
    /// It consumes nothing any more.
    Retired {
        /// Since when.
        at: Timestamp,
    },
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Its site, or the last one if it is retired.
    pub site: SiteId,
    /// Its model.
    pub model: ModelName,
    /// The product type it consumes.
    pub product: ProductType,
    /// The units it consumes while active.
    pub units: u64,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// Where it stands.
    pub state: DeviceState,
}

impl Device {
    /// Whether it consumes units.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        match self.state {
            DeviceState::Active => true,
            DeviceState::Retired { .. } => false,
        }
    }
}

/// An organization: the tenant (domain §1).
///
/// `Clone` costs a few pointers. Serialized, it is a snapshot; the events are the truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    pub(super) id: OrganizationId,
    pub(super) name: Name,
    pub(super) founded_at: Timestamp,
    pub(super) as_of: Timestamp,
    pub(super) version: u64,
    pub(super) settings: Settings,
    pub(super) default_group: GroupId,
    pub(super) groups: RedBlackTreeMapSync<GroupId, Group>,
    pub(super) sites: RedBlackTreeMapSync<SiteId, Site>,
    pub(super) devices: RedBlackTreeMapSync<DeviceId, Device>,
    pub(super) keys: RedBlackTreeMapSync<KeyId, LicenseKey>,
    /// When which group wants to be judged again.
    pub(super) due: RedBlackTreeSetSync<(Timestamp, GroupId)>,
    pub(super) group_names: RedBlackTreeSetSync<String>,
    pub(super) site_names: RedBlackTreeSetSync<(Option<SiteId>, String)>,
    pub(super) active_devices: u64,
}

/// How deep sites may nest.
pub(super) const SITE_MAX_DEPTH: usize = 16;

impl Organization {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> OrganizationId {
        self.id
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// When it was founded.
    #[must_use]
    pub const fn founded_at(&self) -> Timestamp {
        self.founded_at
    }

    /// The instant of its last event.
    #[must_use]
    pub const fn as_of(&self) -> Timestamp {
        self.as_of
    }

    /// How many events made it.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Its settings.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its default group (domain G1).
    #[must_use]
    pub const fn default_group(&self) -> GroupId {
        self.default_group
    }

    /// Devices that consume units.
    #[must_use]
    pub const fn active_devices(&self) -> u64 {
        self.active_devices
    }

    /// When [`super::Command::Materialize`] would next change something.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The group that is due first, and when.
    pub(super) fn first_due(&self) -> Option<(Timestamp, GroupId)> {
        self.due.first().copied()
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

    /// A site.
    #[must_use]
    pub fn site(&self, id: SiteId) -> Option<&Site> {
        self.sites.get(&id)
    }

    /// All sites, by id.
    pub fn sites(&self) -> impl Iterator<Item = &Site> + '_ {
        self.sites.values()
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

    /// A claimed key.
    #[must_use]
    pub fn key(&self, id: KeyId) -> Option<&LicenseKey> {
        self.keys.get(&id)
    }

    /// All claimed keys, by id.
    pub fn keys(&self) -> impl Iterator<Item = &LicenseKey> + '_ {
        self.keys.values()
    }

    /// The settings in force in a group.
    #[must_use]
    pub fn settings_of(&self, group: &Group) -> Settings {
        group.overrides.over(&self.settings)
    }

    /// The group a site is in: its root's (domain G2).
    #[must_use]
    pub fn group_of_site(&self, site: SiteId) -> Option<GroupId> {
        let mut at = site;
        for _ in 0..=SITE_MAX_DEPTH {
            match self.sites.get(&at)?.place {
                Place::Root { group } => return Some(group),
                Place::Within { parent } => at = parent,
            }
        }
        None
    }

    /// How deep a site lies: 0 for a root site.
    #[must_use]
    pub fn depth_of_site(&self, site: SiteId) -> usize {
        let mut depth = 0;
        let mut at = site;
        while let Some(parent) = self.sites.get(&at).and_then(Site::parent) {
            depth += 1;
            at = parent;
            if depth > SITE_MAX_DEPTH {
                break;
            }
        }
        depth
    }

    /// The sites of a group, sub-sites included, parents before their children.
    pub fn sites_in_group(&self, group: GroupId) -> impl Iterator<Item = &Site> + '_ {
        let mut open: Vec<SiteId> =
            self.groups.get(&group).map(|g| g.root_sites().collect()).unwrap_or_default();
        core::iter::from_fn(move || {
            let site = self.sites.get(&open.pop()?)?;
            open.extend(site.children());
            Some(site)
        })
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
