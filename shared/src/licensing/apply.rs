//! How events change an organization: no rule, no refusal, only bookkeeping.
//!
//! Whatever an event says happened. An event that does not fit the state means the log is damaged or from another
//! organization; it is reported, never patched over.

use super::compliance::{Term, Units, next_due};
use super::coterm::Pool;
use super::event::{Dated, Event};
use super::license_key::{IssuedKey, KeyState, LicenseKey};
use super::name::Name;
use super::organization::{Device, DeviceState, Group, Organization, Place, Site};
use super::settings::Overrides;
use crate::id::{DeviceId, GroupId, SiteId};
use alloc::string::String;
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};

/// Why a log cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The first event does not found an organization.
    #[error("the log does not start with the founding of an organization but with `{0}`")]
    NoFounding(&'static str),
    /// An event that founds an organization came later than first.
    #[error("the organization is founded a second time")]
    FoundedTwice,
    /// An event names something that does not exist.
    #[error("event `{event}` names {what} that does not exist")]
    Missing {
        /// The event's name.
        event: &'static str,
        /// What is missing.
        what: &'static str,
    },
}

impl Organization {
    /// The organization after its first event.
    ///
    /// # Errors
    /// If that event does not found one.
    pub fn open(dated: &Dated) -> Result<Organization, ReplayError> {
        let Event::OrganizationFounded { organization, name, settings, default_group, default_group_name } =
            &dated.event
        else {
            return Err(ReplayError::NoFounding(dated.event.name()));
        };
        let mut founded = Organization {
            id: *organization,
            name: name.clone(),
            founded_at: dated.at,
            as_of: dated.at,
            version: 1,
            settings: *settings,
            default_group: *default_group,
            groups: RedBlackTreeMapSync::new_sync(),
            sites: RedBlackTreeMapSync::new_sync(),
            devices: RedBlackTreeMapSync::new_sync(),
            keys: RedBlackTreeMapSync::new_sync(),
            due: RedBlackTreeSetSync::new_sync(),
            group_names: RedBlackTreeSetSync::new_sync(),
            site_names: RedBlackTreeSetSync::new_sync(),
            active_devices: 0,
        };
        founded.add_group(Group::new(
            *default_group,
            default_group_name.clone(),
            Overrides::default(),
            dated.at,
        ));
        Ok(founded)
    }

    /// Applies the next event.
    ///
    /// # Errors
    /// If it does not fit: the log is damaged. The organization must then not be used any more.
    pub fn apply(&mut self, dated: &Dated) -> Result<(), ReplayError> {
        let missing = |what| ReplayError::Missing { event: dated.event.name(), what };
        match &dated.event {
            Event::OrganizationFounded { .. } => return Err(ReplayError::FoundedTwice),
            Event::SettingsChanged { settings } => self.settings = *settings,
            Event::GroupCreated { group, name, overrides } => {
                self.add_group(Group::new(*group, name.clone(), *overrides, dated.at));
            }
            Event::GroupRenamed { group, name } => {
                self.rename_group(*group, name).ok_or_else(|| missing("a group"))?;
            }
            Event::GroupSettingsChanged { group, overrides } => {
                self.groups.get_mut(group).ok_or_else(|| missing("a group"))?.overrides = *overrides;
            }
            Event::GroupDeleted { group } => {
                let gone = self.groups.get(group).cloned().ok_or_else(|| missing("a group"))?;
                self.group_names.remove_mut(&gone.name.folded());
                self.set_due(*group, gone.due_at, None);
                self.groups.remove_mut(group);
            }
            Event::SiteCreated { site, name, group } => {
                let place = Place::Root { group: *group };
                self.add_site(*site, name, place, dated).ok_or_else(|| missing("a group"))?;
            }
            Event::SubSiteCreated { site, name, parent } => {
                let place = Place::Within { parent: *parent };
                self.add_site(*site, name, place, dated).ok_or_else(|| missing("a site"))?;
            }
            Event::SiteRenamed { site, name } => {
                self.rename_site(*site, name).ok_or_else(|| missing("a site"))?;
            }
            Event::SiteDeleted { site } => self.delete_site(*site).ok_or_else(|| missing("a site"))?,
            Event::DeviceClaimed { device, site, model, product, units } => {
                let claimed = Device {
                    id: device.clone(),
                    site: *site,
                    model: model.clone(),
                    product: *product,
                    units: *units,
                    claimed_at: dated.at,
                    state: DeviceState::Active,
                };
                self.add_device(claimed).ok_or_else(|| missing("a site"))?;
            }
            Event::DeviceRetired { device } => {
                self.retire_device(device, dated).ok_or_else(|| missing("a device"))?;
            }
            Event::KeyClaimed { key, group } => {
                self.add_key(key, *group, dated).ok_or_else(|| missing("a group"))?;
            }
            Event::TermEnded { group, .. } => {
                self.end_term(*group, dated).ok_or_else(|| missing("a group"))?;
            }
            Event::GroupAssessed { group, assessment, .. } => {
                let judged = self.groups.get_mut(group).ok_or_else(|| missing("a group"))?;
                judged.assessment = (**assessment).clone();
                let (old, new) = (judged.due_at, next_due(&judged.figures, &judged.assessment, dated.at));
                judged.due_at = new;
                self.set_due(*group, old, new);
            }
        }
        self.version = self.version.saturating_add(1);
        self.as_of = self.as_of.max(dated.at);
        Ok(())
    }

    fn set_due(
        &mut self,
        group: GroupId,
        old: Option<crate::time::Timestamp>,
        new: Option<crate::time::Timestamp>,
    ) {
        if let Some(old) = old {
            self.due.remove_mut(&(old, group));
        }
        if let Some(new) = new {
            self.due.insert_mut((new, group));
        }
    }

    fn add_group(&mut self, group: Group) {
        self.group_names.insert_mut(group.name.folded());
        self.groups.insert_mut(group.id, group);
    }

    fn rename_group(&mut self, id: GroupId, name: &Name) -> Option<()> {
        let group = self.groups.get_mut(&id)?;
        self.group_names.remove_mut(&group.name.folded());
        self.group_names.insert_mut(name.folded());
        group.name = name.clone();
        Some(())
    }

    fn add_site(&mut self, id: SiteId, name: &Name, place: Place, dated: &Dated) -> Option<()> {
        let parent = match place {
            Place::Root { group } => {
                self.groups.get_mut(&group)?.sites.insert_mut(id);
                None
            }
            Place::Within { parent } => {
                self.sites.get_mut(&parent)?.children.insert_mut(id);
                Some(parent)
            }
        };
        self.site_names.insert_mut((parent, name.folded()));
        let site = Site {
            id,
            name: name.clone(),
            place,
            created_at: dated.at,
            children: RedBlackTreeSetSync::new_sync(),
            devices: RedBlackTreeSetSync::new_sync(),
        };
        self.sites.insert_mut(id, site);
        Some(())
    }

    fn rename_site(&mut self, id: SiteId, name: &Name) -> Option<()> {
        let site = self.sites.get_mut(&id)?;
        let parent = site.parent();
        let old: (Option<SiteId>, String) = (parent, site.name.folded());
        site.name = name.clone();
        self.site_names.remove_mut(&old);
        self.site_names.insert_mut((parent, name.folded()));
        Some(())
    }

    fn delete_site(&mut self, id: SiteId) -> Option<()> {
        let site = self.sites.get(&id).cloned()?;
        match site.place {
            Place::Root { group } => {
                self.groups.get_mut(&group)?.sites.remove_mut(&id);
            }
            Place::Within { parent } => {
                self.sites.get_mut(&parent)?.children.remove_mut(&id);
            }
        }
        self.site_names.remove_mut(&(site.parent(), site.name.folded()));
        self.sites.remove_mut(&id);
        Some(())
    }

    fn add_device(&mut self, device: Device) -> Option<()> {
        let group = self.group_of_site(device.site)?;
        self.sites.get_mut(&device.site)?.devices.insert_mut(device.id.clone());
        let figures = &mut self.groups.get_mut(&group)?.figures;
        add_units(&mut figures.in_use, device.product, device.units);
        figures.active_devices = figures.active_devices.saturating_add(1);
        self.active_devices = self.active_devices.saturating_add(1);
        self.devices.insert_mut(device.id.clone(), device);
        Some(())
    }

    fn retire_device(&mut self, id: &DeviceId, dated: &Dated) -> Option<()> {
        let device = self.devices.get_mut(id)?;
        device.state = DeviceState::Retired { at: dated.at };
        let (site, product, units) = (device.site, device.product, device.units);
        let group = self.group_of_site(site)?;
        self.sites.get_mut(&site)?.devices.remove_mut(id);
        let figures = &mut self.groups.get_mut(&group)?.figures;
        take_units(&mut figures.in_use, product, units);
        figures.active_devices = figures.active_devices.saturating_sub(1);
        self.active_devices = self.active_devices.saturating_sub(1);
        Some(())
    }

    fn add_key(&mut self, key: &IssuedKey, id: GroupId, dated: &Dated) -> Option<()> {
        let group = self.groups.get_mut(&id)?;
        match group.figures.term {
            Term::Running { .. } => {}
            // What is claimed after the end starts a new pool (domain D4, K4).
            Term::NeverLicensed | Term::Ended { .. } => group.figures.capacity.clear(),
        }
        for line in &key.lines {
            add_units(&mut group.figures.capacity, line.product, line.quantity);
            group.line_count = group.line_count.saturating_add(1);
        }
        key.pool_lines().for_each(|line| group.pool.add(&line));
        group.keys.insert_mut(key.id);
        if let Some(coterm) = group.pool.coterm() {
            group.figures.term = Term::Running { coterm };
        }
        let claimed =
            LicenseKey { issued: key.clone(), claimed_at: dated.at, state: KeyState::Active { group: id } };
        self.keys.insert_mut(key.id, claimed);
        Some(())
    }

    fn end_term(&mut self, id: GroupId, dated: &Dated) -> Option<()> {
        let group = self.groups.get_mut(&id)?;
        if let Term::Running { coterm } = group.figures.term {
            group.figures.term = Term::Ended { coterm };
        }
        // The retired units stay in the capacity: an expired group has one fault, not two (domain D4).
        group.pool = Pool::EMPTY;
        group.line_count = 0;
        let keys = core::mem::replace(&mut group.keys, RedBlackTreeSetSync::new_sync());
        for key in keys.iter() {
            self.keys.get_mut(key)?.state = KeyState::Retired { group: id, at: dated.at };
        }
        Some(())
    }
}

fn add_units(units: &mut Units, product: crate::product::ProductType, by: u64) {
    let entry = units.entry(product).or_insert(0);
    *entry = entry.saturating_add(by);
}

fn take_units(units: &mut Units, product: crate::product::ProductType, by: u64) {
    if let Some(entry) = units.get_mut(&product) {
        *entry = entry.saturating_sub(by);
        if *entry == 0 {
            units.remove(&product);
        }
    }
}
