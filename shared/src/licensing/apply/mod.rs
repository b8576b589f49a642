//! How events change an organization: no rule, no refusal, only bookkeeping.
//!
//! Whatever an event says happened. An event that does not fit the state means the log is damaged or from another
//! organization; it is reported, never patched over.

mod keys;
mod places;

use super::compliance::{Units, next_due};
use super::device::DeviceState;
use super::enrolment::Enrolment;
use super::event::{Dated, Event};
use super::group::Group;
use super::name::Name;
use super::organization::{Due, Organization, State};
use super::safety::{Safety, SafetyEvent};
use super::settings::Overrides;
use crate::id::GroupId;
use crate::product::ProductType;
use crate::time::Timestamp;
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
        let Event::OrganizationFounded {
            organization,
            name,
            settings,
            default_group,
            default_group_name,
            license_groups,
        } = &dated.event
        else {
            return Err(ReplayError::NoFounding(dated.event.name()));
        };
        let mut founded = Organization::new(State {
            id: *organization,
            name: name.clone(),
            founded_at: dated.at,
            as_of: dated.at,
            version: 1,
            settings: *settings,
            default_group: *default_group,
            groups_enabled: *license_groups,
            groups: RedBlackTreeMapSync::new_sync(),
            sites: RedBlackTreeMapSync::new_sync(),
            devices: RedBlackTreeMapSync::new_sync(),
            keys: RedBlackTreeMapSync::new_sync(),
            due_groups: RedBlackTreeSetSync::new_sync(),
            due_items: RedBlackTreeSetSync::new_sync(),
            unassigned_sites: RedBlackTreeSetSync::new_sync(),
            unassigned_keys: RedBlackTreeSetSync::new_sync(),
            group_names: RedBlackTreeSetSync::new_sync(),
            site_names: RedBlackTreeSetSync::new_sync(),
            active_devices: 0,
            trial_devices: 0,
            enrolment: Enrolment::default(),
            safety: Safety::default(),
        });
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
        self.version = self.version.saturating_add(1);
        let missing = |what| ReplayError::Missing { event: dated.event.name(), what };
        match &dated.event {
            Event::OrganizationFounded { .. } => return Err(ReplayError::FoundedTwice),
            Event::GroupsEnabled => self.groups_enabled = true,
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
                self.set_due(Due::Group(*group), gone.due_at, None);
                self.groups.remove_mut(group);
            }
            Event::SiteCreated { site, name, place } => {
                self.add_site(*site, name, *place, dated.at).ok_or_else(|| missing("a place"))?;
            }
            Event::SiteMoved { site, place } => {
                self.move_site(*site, *place).ok_or_else(|| missing("a site or place"))?;
            }
            Event::SiteRenamed { site, name } => {
                self.rename_site(*site, name).ok_or_else(|| missing("a site"))?;
            }
            Event::SiteDeleted { site } => self.delete_site(*site).ok_or_else(|| missing("a site"))?,
            Event::DeviceClaimed { device, site, model, product, units, trial } => {
                let claimed = super::device::Device {
                    id: device.clone(),
                    site: *site,
                    model: model.clone(),
                    product: *product,
                    units: *units,
                    model_units: *units,
                    doors: None,
                    claimed_at: dated.at,
                    state: trial.map_or(DeviceState::Active, DeviceState::Trial),
                };
                self.add_device(claimed).ok_or_else(|| missing("a site"))?;
            }
            Event::DeviceMoved { device, site } => {
                self.move_device(device, *site).ok_or_else(|| missing("a device or site"))?;
            }
            Event::DoorsConfigured { device, doors, units } => {
                self.configure_doors(device, *doors, *units).ok_or_else(|| missing("a device"))?;
            }
            Event::UnitsCounted { units } => {
                for (device, units) in units {
                    self.set_units(device, *units).ok_or_else(|| missing("a device"))?;
                }
            }
            Event::TrialConverted { device } => {
                self.convert_trial(device).ok_or_else(|| missing("a device on trial"))?;
            }
            Event::TrialEnded { device } => {
                self.trial_ended(device).ok_or_else(|| missing("a device on trial"))?;
            }
            Event::DeviceRetired { device, why, schedule, clocks } => {
                let schedule = schedule.or_else(|| self.farewell(device, dated.at));
                let schedule = schedule.ok_or_else(|| missing("a device"))?;
                let state =
                    DeviceState::Retired { at: dated.at, retirement: why.clone(), schedule, clocks: *clocks };
                self.retire_device(device, state).ok_or_else(|| missing("a device"))?;
            }
            Event::KeyClaimed { key, place, past } => {
                self.dating(dated, |o| o.claim_key(key, place, *past, dated))
                    .ok_or_else(|| missing("a group"))?;
            }
            Event::KeyPlaced { key, place } => {
                self.dating(dated, |o| o.place_key(*key, place, dated))
                    .ok_or_else(|| missing("a key or group"))?;
            }
            Event::KeySplit { key, parts } => {
                self.dating(dated, |o| o.split_key(*key, parts, dated))
                    .ok_or_else(|| missing("a key or group"))?;
            }
            Event::KeyExpired { key } => {
                self.dating(dated, |o| o.expire_key(*key, dated)).ok_or_else(|| missing("a key"))?;
            }
            Event::KeyTransferred { key, .. } => {
                self.dating(dated, |o| o.transfer_key(*key, dated)).ok_or_else(|| missing("a key"))?;
            }
            Event::RenewalsActivated { group, .. } => {
                self.dating(dated, |o| o.activate_renewals(*group, dated))
                    .ok_or_else(|| missing("a group"))?;
            }
            Event::TermEnded { group, .. } => {
                self.end_term(*group, dated).ok_or_else(|| missing("a group"))?;
            }
            Event::Enrolment(event) => {
                self.enrolment.apply(event, dated.at).ok_or_else(|| missing("a claim code"))?;
            }
            Event::Safety(event) => {
                let (old, named) = match event {
                    SafetyEvent::Held { operation } => (None, Some(operation.id)),
                    SafetyEvent::Approved { held, .. }
                    | SafetyEvent::Rejected { held, .. }
                    | SafetyEvent::Withdrawn { held, .. }
                    | SafetyEvent::Expired { held } => (self.safety.expires_at(*held), Some(*held)),
                    SafetyEvent::Counted { .. }
                    | SafetyEvent::Frozen { .. }
                    | SafetyEvent::Unfrozen { .. } => (None, None),
                };
                self.safety.apply(event, dated.at).ok_or_else(|| missing("a held operation or a freeze"))?;
                if let Some(held) = named {
                    self.set_due(Due::Held(held), old, self.safety.expires_at(held));
                }
            }
            Event::GroupAssessed { group, assessment, to_lock, .. } => {
                if *to_lock > 0 {
                    self.safety.count(dated.at, *to_lock);
                }
                let judged = self.groups.get_mut(group).ok_or_else(|| missing("a group"))?;
                judged.assessment = (**assessment).clone();
                let (old, new) = (judged.due_at, next_due(&judged.figures, &judged.assessment, dated.at));
                judged.due_at = new;
                self.set_due(Due::Group(*group), old, new);
            }
        }
        self.as_of = self.as_of.max(dated.at);
        Ok(())
    }

    fn set_due(&mut self, what: Due, old: Option<Timestamp>, new: Option<Timestamp>) {
        let all = match what {
            Due::Group(_) => &mut self.due_groups,
            Due::Key(_) | Due::Site(_) | Due::Trial(_) | Due::Held(_) => &mut self.due_items,
        };
        if let Some(old) = old {
            all.remove_mut(&(old, what.clone()));
        }
        if let Some(new) = new {
            all.insert_mut((new, what));
        }
    }

    fn add_group(&mut self, group: Group) {
        self.group_names.insert_mut(group.name.folded());
        self.groups.insert_mut(group.id, group);
    }

    fn rename_group(&mut self, id: GroupId, name: &Name) -> Option<()> {
        let State { groups, group_names, .. } = &mut **self;
        let group = groups.get_mut(&id)?;
        let (old, new) = (group.name.folded(), name.folded());
        if old != new {
            group_names.remove_mut(&old);
            group_names.insert_mut(new);
        }
        group.name = name.clone();
        Some(())
    }
}

fn add_units(units: &mut Units, product: ProductType, by: u64) {
    let entry = units.entry(product).or_insert(0);
    *entry = entry.saturating_add(by);
}

fn take_units(units: &mut Units, product: ProductType, by: u64) {
    if let Some(entry) = units.get_mut(&product) {
        *entry = entry.saturating_sub(by);
        if *entry == 0 {
            units.remove(&product);
        }
    }
}
