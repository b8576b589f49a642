//! The gates of an organization, asked about any of its sites and devices.
//!
//! A device's gate is the ladder of its own token, so that people and devices are told the same. A site closes with its
//! devices; whom a group's enforcement does not touch (domain C3, G3, G8) stays open. What is found out for a site is
//! remembered: it holds for as long as the books do not change. So is what all devices of a group have in common, which
//! is everything in most groups: a hundred thousand devices are not asked one by one.

use super::action::AccessAction;
use super::answer::AccessAnswer;
use super::denied::Denied;
use super::gate::{AccessSubject, Gate, cap_of};
use crate::enforcement::Schedule;
use crate::finding::Finding;
use crate::id::{DeviceId, GroupId, SiteId};
use crate::licensing::compliance::Term;
use crate::licensing::device::{Device, DeviceState};
use crate::licensing::group::Group;
use crate::licensing::organization::Organization;
use crate::licensing::settings::Scope;
use crate::licensing::wanted::{Wanted, Wants};
use crate::product::ProductType;
use crate::time::Timestamp;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What the books of an organization say about access (domain E8).
///
/// Make it of an organization as of now, and anew whenever that has another version
/// ([`AccessBook::is_of`]); in between, every answer follows from it and the instant asked about.
#[derive(Clone, Debug)]
pub struct AccessBook {
    wants: Wants,
    newer: BTreeMap<(GroupId, ProductType), BTreeMap<DeviceId, u64>>,
    /// The gate of every active device of a group, but for its cap; `None` where they differ or there is none.
    common: BTreeMap<GroupId, Option<Gate>>,
    /// `None` for a site without devices that count.
    sites: BTreeMap<SiteId, Option<Gate>>,
    /// Once every device is stopped, that stays so until the books change.
    stopped: Option<Gate>,
}

impl AccessBook {
    /// Of an organization as it is; the clone costs a few pointers.
    #[must_use]
    pub fn of(organization: &Organization) -> AccessBook {
        AccessBook {
            wants: Wants::of(organization),
            newer: BTreeMap::new(),
            common: BTreeMap::new(),
            sites: BTreeMap::new(),
            stopped: None,
        }
    }

    /// Whether it is of this very state of the books.
    #[must_use]
    pub fn is_of(&self, organization: &Organization) -> bool {
        let own = self.organization();
        (own.id(), own.version()) == (organization.id(), organization.version())
            && own.is_frozen_as(organization)
    }

    /// The organization.
    #[must_use]
    pub const fn organization(&self) -> &Organization {
        self.wants.organization()
    }

    /// The answer to one question at `now`; `None` if there is no such site or device.
    #[must_use]
    pub fn answer(
        &mut self,
        subject: &AccessSubject,
        action: Option<AccessAction>,
        now: Timestamp,
    ) -> Option<AccessAnswer> {
        self.gate(subject, now).map(|gate| AccessAnswer::of(subject, &gate, action, now))
    }

    /// Until when the answer about a subject stays as it is at `now` if nobody changes anything; `None` is for good.
    ///
    /// It may be earlier than that: what falls due elsewhere in the organization is not told apart.
    #[must_use]
    pub fn valid_until(&mut self, subject: &AccessSubject, now: Timestamp) -> Option<Timestamp> {
        let own = self.gate(subject, now).and_then(|gate| gate.next_change_after(now));
        own.into_iter().chain(self.organization().next_due()).min()
    }

    /// Everything that is closed at `now`.
    #[must_use]
    pub fn denied(&mut self, now: Timestamp) -> Denied {
        Denied::of(self, now)
    }

    /// The gate of a subject; that of the organization is told at `now` alone.
    pub(super) fn gate(&mut self, subject: &AccessSubject, now: Timestamp) -> Option<Gate> {
        match subject {
            AccessSubject::Organization => Some(self.organization_gate(now)),
            AccessSubject::Site(id) => {
                self.organization().site(*id)?;
                Some(self.site_gate(*id).unwrap_or_default())
            }
            AccessSubject::Device(id) => self.device_gate(id),
        }
    }

    /// The gate of a device: the ladder of its token.
    pub(super) fn device_gate(&mut self, id: &DeviceId) -> Option<Gate> {
        let organization = self.organization().clone();
        let device = organization.device(id)?;
        let group = if device.consumes() { organization.group_of_site(device.site) } else { None };
        let common = group.and_then(|group| self.common_gate(&organization, group)).cloned();
        self.gate_by(&organization, device, common.as_ref())
    }

    /// The gate of a device of which this is known already.
    pub(super) fn gate_by(
        &mut self,
        organization: &Organization,
        device: &Device,
        common: Option<&Gate>,
    ) -> Option<Gate> {
        let gate = match common {
            Some(common) => Gate { cap: cap_of(device.product), ..common.clone() },
            None => {
                let wanted = self.wants.wanted(&device.id)?;
                self.gate_of(organization, device, wanted)
            }
        };
        Some(gate.opening_once_closed())
    }

    /// The gate of every active device of a group, but for its cap; `None` where they differ or there is none.
    pub(super) fn common_gate(&mut self, organization: &Organization, group: GroupId) -> Option<&Gate> {
        if !self.common.contains_key(&group) {
            let alike = organization.group(group).filter(|group| organization.wants_alike(group));
            let mut devices = alike.into_iter().flat_map(|group| organization.devices_in_group(group.id));
            let gate = devices.find(|device| device.consumes()).and_then(|device| {
                let wanted = self.wants.wanted(&device.id)?;
                Some(Gate { cap: None, ..self.gate_of(organization, device, wanted) })
            });
            self.common.insert(group, gate);
        }
        self.common.get(&group).and_then(Option::as_ref)
    }

    /// The gate of a device that wants this, and when its renewals begin whether or not it closes before.
    fn gate_of(&mut self, organization: &Organization, device: &Device, wanted: Wanted) -> Gate {
        let group = wanted.group.and_then(|id| organization.group(id));
        // What a freeze holds back closes nothing while it lasts (domain E6).
        let ladder = wanted.schedule_while_frozen();
        let (findings, retired, opens_at) = match device.state {
            DeviceState::Retired { .. } => (wanted.findings, true, None),
            DeviceState::Trial(_) => (wanted.findings, false, None),
            DeviceState::Active => {
                let mut findings = wanted.findings;
                // Of what its token announces, what holds now.
                findings
                    .retain(|finding| group.is_some_and(|group| group.assessment.findings.contains(finding)));
                (findings, false, group.and_then(|group| self.renewed_at(organization, device, group)))
            }
        };
        Gate {
            ladder,
            reopens_at: opens_at,
            findings,
            group: wanted.group,
            retired,
            cap: cap_of(device.product),
        }
    }

    /// When renewals that wait begin in the group of an active device, if nothing it is enforced for is missing then.
    fn renewed_at(
        &mut self,
        organization: &Organization,
        device: &Device,
        group: &Group,
    ) -> Option<Timestamp> {
        let (Term::Running { coterm }, Some(renewal)) = (group.figures.term, &group.figures.renewal) else {
            return None;
        };
        let mut later = group.figures.shortfalls(&renewal.capacity);
        let short = match organization.settings_of(group).scope {
            Scope::Group => later.next().is_some(),
            Scope::Product => {
                let mine = later.find_map(|finding| match finding {
                    Finding::OverCapacity { product, shortfall } => {
                        (product == device.product).then_some(shortfall)
                    }
                    Finding::TermEnded
                    | Finding::NoLicense
                    | Finding::TrialEnded
                    | Finding::OfflineBudget => None,
                });
                mine.is_some_and(|shortfall| self.newer_units(organization, device, group) < shortfall)
            }
        };
        (!short).then(|| coterm.floor())
    }

    fn newer_units(&mut self, organization: &Organization, device: &Device, group: &Group) -> u64 {
        let known = self.newer.entry((group.id, device.product));
        let known = known.or_insert_with(|| organization.all_newer_units(group, device.product));
        known.get(&device.id).copied().unwrap_or(0)
    }

    /// The gate of a site; `None` if neither it nor a sub-site has devices that count.
    ///
    /// With devices of its own, not on trial (domain G8), it closes with the first of them; without, when all its
    /// sub-sites that have devices are closed: as long as one is open, people need the way to it.
    pub(super) fn site_gate(&mut self, id: SiteId) -> Option<Gate> {
        if let Some(known) = self.sites.get(&id) {
            return known.clone();
        }
        let organization = self.organization().clone();
        let site = organization.site(id)?;
        let counted = || site.devices().filter_map(|id| organization.device(id)).filter(|d| d.consumes());
        let common = organization.group_of_site(id).and_then(|group| self.common_gate(&organization, group));
        let mut own = common.filter(|_| counted().next().is_some()).cloned();
        let apart = if own.is_some() { None } else { Some(counted()) };
        for device in apart.into_iter().flatten() {
            let Some(wanted) = self.wants.wanted(&device.id) else { continue };
            // Whether a site opens is whether all its devices do, so those that never close say so as well.
            let gate = self.gate_of(&organization, device, wanted);
            own = Some(match own {
                None => Gate { cap: None, ..gate },
                Some(first) => first.with_neighbor(gate),
            });
        }
        let gate = match own {
            Some(gate) => Some(gate.opening_once_closed()),
            None => {
                let below: Vec<Gate> = site.children().filter_map(|child| self.site_gate(child)).collect();
                below.into_iter().reduce(Gate::and)
            }
        };
        self.sites.insert(id, gate.clone());
        gate
    }

    /// The gate of the organization at `now`: closed once every device in use is stopped.
    fn organization_gate(&mut self, now: Timestamp) -> Gate {
        if let Some(known) = &self.stopped {
            return known.clone();
        }
        let organization = self.organization().clone();
        let mut all: Option<Gate> = None;
        for device in organization.devices().filter(|device| device.is_active()) {
            let Some(gate) = self.device_gate(&device.id) else { continue };
            let stop_at = gate.ladder.stop_at;
            if stop_at.is_none_or(|at| at > now) {
                // As long as this one goes on, the organization does.
                return Gate { ladder: Schedule { stop_at, ..Schedule::NEVER }, ..Gate::default() };
            }
            // It is closed from when the last of them stops.
            let ladder = Schedule { lock_at: stop_at, ..gate.ladder };
            let stopped = Gate { ladder, group: None, cap: None, ..gate };
            all = Some(match all {
                None => stopped,
                Some(first) => first.and(stopped),
            });
        }
        // Without a device in use nothing is stopped.
        let Some(gate) = all else { return Gate::default() };
        self.stopped = Some(gate.clone());
        gate
    }
}

impl Gate {
    /// Of two devices of a site: it closes with the first.
    fn with_neighbor(self, other: Gate) -> Gate {
        Gate {
            ladder: self.ladder.earliest(other.ladder),
            reopens_at: self.reopens_at.zip(other.reopens_at).map(|(a, b)| a.max(b)),
            findings: both(self.findings, other.findings),
            group: self.group,
            retired: false,
            cap: None,
        }
    }

    /// Of two that must both be closed.
    fn and(self, other: Gate) -> Gate {
        let last = |a: Option<Timestamp>, b: Option<Timestamp>| a.zip(b).map(|(a, b)| a.max(b));
        Gate {
            ladder: Schedule {
                grace_begins_at: last(self.ladder.grace_begins_at, other.ladder.grace_begins_at),
                lock_at: last(self.ladder.lock_at, other.ladder.lock_at),
                stop_at: last(self.ladder.stop_at, other.ladder.stop_at),
            },
            reopens_at: self.reopens_at.into_iter().chain(other.reopens_at).min(),
            findings: both(self.findings, other.findings),
            group: self.group.filter(|group| other.group == Some(*group)),
            retired: false,
            cap: None,
        }
    }
}

fn both(mut findings: Vec<Finding>, more: Vec<Finding>) -> Vec<Finding> {
    findings.extend(more.into_iter().filter(|finding| !findings.contains(finding)).collect::<Vec<_>>());
    findings.sort_unstable();
    findings
}
