//! Bookkeeping of sites and devices: trees, and the units that follow them.

use super::{add_units, take_units};
use crate::id::{DeviceId, SiteId};
use crate::licensing::device::{Device, DeviceState, Trial};
use crate::licensing::name::Name;
use crate::licensing::organization::{Due, Organization, State};
use crate::licensing::site::{Home, Place, Site};
use crate::time::Timestamp;
use alloc::string::String;
use alloc::vec::Vec;
use rpds::RedBlackTreeSetSync;

impl Organization {
    pub(super) fn add_site(&mut self, id: SiteId, name: &Name, place: Place, at: Timestamp) -> Option<()> {
        let site = Site {
            id,
            name: name.clone(),
            place,
            created_at: at,
            children: RedBlackTreeSetSync::new_sync(),
            devices: RedBlackTreeSetSync::new_sync(),
        };
        self.sites.insert_mut(id, site);
        self.hang(id, place)
    }

    pub(super) fn move_site(&mut self, id: SiteId, place: Place) -> Option<()> {
        let old = self.sites.get(&id)?.place;
        let devices: Vec<DeviceId> =
            self.site_tree(id).flat_map(|site| site.devices.iter().cloned()).collect();
        let from = self.home_of_site(id)?;
        self.unhang(id, old)?;
        self.sites.get_mut(&id)?.place = place;
        self.hang(id, place)?;
        let to = self.home_of_site(id)?;
        if from != to {
            for device in devices {
                self.count(&device, from, false)?;
                self.count(&device, to, true)?;
            }
        }
        Some(())
    }

    pub(super) fn rename_site(&mut self, id: SiteId, name: &Name) -> Option<()> {
        let State { sites, site_names, .. } = &mut **self;
        let site = sites.get_mut(&id)?;
        let parent = site.parent();
        let old: (Option<SiteId>, String) = (parent, site.name.folded());
        site.name = name.clone();
        site_names.remove_mut(&old);
        site_names.insert_mut((parent, name.folded()));
        Some(())
    }

    pub(super) fn delete_site(&mut self, id: SiteId) -> Option<()> {
        let place = self.sites.get(&id)?.place;
        self.unhang(id, place)?;
        self.sites.remove_mut(&id);
        Some(())
    }

    /// Enters a site where it stands.
    fn hang(&mut self, id: SiteId, place: Place) -> Option<()> {
        match place {
            Place::Root { group } => {
                self.groups.get_mut(&group)?.sites.insert_mut(id);
            }
            Place::Unassigned { joins_at, .. } => {
                self.unassigned_sites.insert_mut(id);
                self.set_due(Due::Site(id), None, Some(joins_at));
            }
            Place::Within { parent } => {
                self.sites.get_mut(&parent)?.children.insert_mut(id);
            }
        }
        let site = self.sites.get(&id)?;
        let name = (site.parent(), site.name.folded());
        self.site_names.insert_mut(name);
        Some(())
    }

    /// Takes a site from where it stands.
    fn unhang(&mut self, id: SiteId, place: Place) -> Option<()> {
        let site = self.sites.get(&id)?;
        let name = (site.parent(), site.name.folded());
        self.site_names.remove_mut(&name);
        match place {
            Place::Root { group } => {
                self.groups.get_mut(&group)?.sites.remove_mut(&id);
            }
            Place::Unassigned { joins_at, .. } => {
                self.unassigned_sites.remove_mut(&id);
                self.set_due(Due::Site(id), Some(joins_at), None);
            }
            Place::Within { parent } => {
                self.sites.get_mut(&parent)?.children.remove_mut(&id);
            }
        }
        Some(())
    }

    pub(super) fn add_device(&mut self, device: Device) -> Option<()> {
        let (id, site) = (device.id.clone(), device.site);
        let home = self.home_of_site(site)?;
        self.sites.get_mut(&site)?.devices.insert_mut(id.clone());
        if let DeviceState::Trial(trial) = &device.state {
            self.set_due(Due::Trial(id.clone()), None, Some(trial.ends_at));
        }
        self.devices.insert_mut(id.clone(), device);
        self.count_in_organization(&id, true)?;
        self.count(&id, home, true)
    }

    pub(super) fn move_device(&mut self, id: &DeviceId, to: SiteId) -> Option<()> {
        let from = self.devices.get(id)?.site;
        let (old_home, new_home) = (self.home_of_site(from)?, self.home_of_site(to)?);
        self.sites.get_mut(&from)?.devices.remove_mut(id);
        self.sites.get_mut(&to)?.devices.insert_mut(id.clone());
        self.count(id, old_home, false)?;
        self.devices.get_mut(id)?.site = to;
        self.count(id, new_home, true)
    }

    pub(super) fn configure_doors(&mut self, id: &DeviceId, doors: u64, units: u64) -> Option<()> {
        self.devices.get_mut(id)?.doors = Some(doors);
        self.set_units(id, units)
    }

    pub(super) fn set_units(&mut self, id: &DeviceId, units: u64) -> Option<()> {
        let home = self.home_of_site(self.devices.get(id)?.site)?;
        self.count(id, home, false)?;
        self.devices.get_mut(id)?.units = units;
        self.count(id, home, true)
    }

    pub(super) fn convert_trial(&mut self, id: &DeviceId) -> Option<()> {
        let trial = self.trial_of(id)?;
        self.set_due(Due::Trial(id.clone()), Some(trial.ends_at), None);
        self.change_state(id, DeviceState::Active)
    }

    pub(super) fn trial_ended(&mut self, id: &DeviceId) -> Option<()> {
        let trial = self.trial_of(id)?;
        self.set_due(Due::Trial(id.clone()), Some(trial.ends_at), None);
        Some(())
    }

    pub(super) fn retire_device(&mut self, id: &DeviceId, retired: DeviceState) -> Option<()> {
        if let Some(trial) = self.trial_of(id) {
            self.set_due(Due::Trial(id.clone()), Some(trial.ends_at), None);
        }
        let site = self.devices.get(id)?.site;
        if self.devices.get(id)?.is_active() {
            self.sites.get_mut(&site)?.devices.remove_mut(id);
        }
        self.change_state(id, retired)
    }

    fn trial_of(&self, id: &DeviceId) -> Option<Trial> {
        match &self.devices.get(id)?.state {
            DeviceState::Trial(trial) => Some(*trial),
            DeviceState::Active | DeviceState::Retired { .. } => None,
        }
    }

    fn change_state(&mut self, id: &DeviceId, state: DeviceState) -> Option<()> {
        // The site of a device that was retired before may be gone; then there is nothing to count.
        let home = self.home_of_site(self.devices.get(id)?.site).unwrap_or(Home::Unassigned);
        self.count(id, home, false)?;
        self.count_in_organization(id, false)?;
        self.devices.get_mut(id)?.state = state;
        self.count_in_organization(id, true)?;
        self.count(id, home, true)
    }

    /// Counts a device's units in or out of the figures of where it belongs.
    fn count(&mut self, id: &DeviceId, home: Home, into: bool) -> Option<()> {
        let device = self.devices.get(id)?;
        let (product, units) = (device.product, device.units);
        let Home::Group(group) = home else { return Some(()) };
        if !device.consumes() {
            return Some(());
        }
        let figures = &mut self.groups.get_mut(&group)?.figures;
        if into {
            add_units(&mut figures.in_use, product, units);
            figures.active_devices = figures.active_devices.saturating_add(1);
        } else {
            take_units(&mut figures.in_use, product, units);
            figures.active_devices = figures.active_devices.saturating_sub(1);
        }
        Some(())
    }

    fn count_in_organization(&mut self, id: &DeviceId, into: bool) -> Option<()> {
        let State { devices, active_devices, trial_devices, .. } = &mut **self;
        let counter = match devices.get(id)?.state {
            DeviceState::Active => active_devices,
            DeviceState::Trial(_) => trial_devices,
            DeviceState::Retired { .. } => return Some(()),
        };
        *counter = if into { counter.saturating_add(1) } else { counter.saturating_sub(1) };
        Some(())
    }
}
