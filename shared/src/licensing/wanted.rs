//! What a device should hold: the cloud's side of a license-state token, before time and sequence are added.
//!
//! It contains nothing that depends on when it is asked, so two answers differ only if something changed. A group
//! that expires as announced therefore costs no signature and no message (domain E5).

use super::ahead::Ahead;
use super::clock::CauseClock;
use super::compliance::{Holder, Term};
use super::device::{Device, DeviceState};
use super::group::Group;
use super::organization::Organization;
use super::safety::{Tranches, held_back, put_off};
use super::settings::Scope;
use super::site::Home;
use crate::enforcement::Schedule;
use crate::finding::Finding;
use crate::id::{DeviceId, GroupId, OrganizationId, SiteId};
use crate::product::ProductType;
use crate::time::Timestamp;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The license state a device should hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The device.
    pub device: DeviceId,
    /// Its organization.
    pub organization: OrganizationId,
    /// Its site.
    pub site: SiteId,
    /// Its license group; `None` while its site is unassigned.
    pub group: Option<GroupId>,
    /// Why, also of what is still ahead, sorted.
    pub findings: Vec<Finding>,
    /// The whole ladder ahead, by the books.
    pub schedule: Schedule,
    /// Since when a freeze lasts that no further step is reached under (domain E6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_since: Option<Timestamp>,
    /// The group's co-termination instant, to show.
    pub coterm_at: Option<Timestamp>,
}

impl Wanted {
    /// Whether it is the last word to a retired device (domain G10): true however old it gets, so it is never renewed.
    #[must_use]
    pub fn is_farewell(&self) -> bool {
        self.group.is_none() && self.findings == [Finding::NoLicense]
    }

    /// The ladder that a token with this lease announces: while a freeze lasts, no step that is still ahead comes before the
    /// lease ends (domain E6). The next token does the same for the next lease.
    #[must_use]
    pub fn schedule_for(&self, lease_ends_at: Timestamp) -> Schedule {
        self.frozen_since.map_or(self.schedule, |since| put_off(self.schedule, since, lease_ends_at))
    }

    /// The ladder as a device that is connected lives by it for as long as a freeze lasts: what was not reached when it
    /// began is not reached.
    #[must_use]
    pub fn schedule_while_frozen(&self) -> Schedule {
        self.schedule_at(Timestamp::MAX)
    }

    /// The ladder as a device that is connected lives by it at `now`: what came due under a freeze was not reached.
    #[must_use]
    pub fn schedule_at(&self, now: Timestamp) -> Schedule {
        self.frozen_since.map_or(self.schedule, |since| held_back(self.schedule, since, now))
    }
}

/// What the devices of an organization should hold, asked about many of them.
///
/// Whom a shortfall is enforced on depends on all devices of the group; how they stand to each other is found once for
/// each group and product type and remembered, so that asking about a whole group costs one pass over it, not one for
/// each device.
#[derive(Clone, Debug)]
pub struct Wants {
    organization: Organization,
    newer: BTreeMap<(GroupId, ProductType), BTreeMap<DeviceId, u64>>,
    tranches: BTreeMap<GroupId, Option<Tranches>>,
}

impl Wants {
    /// Of an organization as it is; the clone costs a few pointers.
    #[must_use]
    pub fn of(organization: &Organization) -> Wants {
        Wants { organization: organization.clone(), newer: BTreeMap::new(), tranches: BTreeMap::new() }
    }

    /// The organization.
    #[must_use]
    pub const fn organization(&self) -> &Organization {
        &self.organization
    }

    /// As [`Organization::wanted`].
    #[must_use]
    pub fn wanted(&mut self, id: &DeviceId) -> Option<Wanted> {
        let Wants { organization, newer, tranches } = self;
        let day = |group: &Group, device: &Device| {
            let known = tranches.entry(group.id).or_insert_with(|| organization.tranches(group));
            known.as_ref().map_or(0, |tranches| tranches.day_of(device))
        };
        organization.wanted_by(id, day, |group, device| {
            let known = newer.entry((group.id, device.product));
            let known = known.or_insert_with(|| organization.all_newer_units(group, device.product));
            known.get(&device.id).copied().unwrap_or(0)
        })
    }
}

impl Organization {
    /// What a device should hold; `None` for an unknown one. Use [`Wants`] to ask about many.
    ///
    /// A retired device is told that it has no license any more, from the instant it was retired (domain G10).
    #[must_use]
    pub fn wanted(&self, id: &DeviceId) -> Option<Wanted> {
        let day = |group: &Group, device: &Device| {
            self.tranches(group).map_or(0, |tranches| tranches.day_of(device))
        };
        self.wanted_by(id, day, |group, device| self.newer_units(group, device))
    }

    /// What a device should hold; `newer` tells the units of the devices that a shortfall is enforced on before it.
    fn wanted_by(
        &self,
        id: &DeviceId,
        day: impl FnOnce(&Group, &Device) -> u64,
        newer: impl FnOnce(&Group, &Device) -> u64,
    ) -> Option<Wanted> {
        let device = self.device(id)?;
        let home = || match self.home_of_site(device.site)? {
            Home::Group(group) => Some(Some(self.group(group)?)),
            Home::Unassigned => Some(None),
        };
        let (group, findings, schedule) = match &device.state {
            DeviceState::Retired { schedule, .. } => (None, Vec::from([Finding::NoLicense]), *schedule),
            // A group's enforcement does not touch devices on trial (domain G8).
            DeviceState::Trial(trial) => (home()?, Vec::from([Finding::TrialEnded]), trial.schedule),
            DeviceState::Active => match home()? {
                // A site is not enforced during its countdown (domain G3).
                None => (None, Vec::new(), Schedule::NEVER),
                Some(group) => {
                    let (findings, ahead) = self.enforced(device, group, day, newer);
                    (Some(group), findings, ahead.both())
                }
            },
        };
        let is_farewell = matches!(device.state, DeviceState::Retired { .. });
        let (schedule, frozen_since) =
            if is_farewell { (schedule, None) } else { (self.thawed(schedule), self.frozen_since()) };
        Some(Wanted {
            device: id.clone(),
            organization: self.id(),
            site: device.site,
            group: group.map(|group| group.id),
            findings,
            schedule,
            frozen_since,
            coterm_at: group.and_then(|group| group.figures.term.coterm_at()),
        })
    }

    /// The ladder of a device that is retired at `at` (domain G10): management locks at once, and it stops when the ladder
    /// of a cause that began then would. One that was retired before keeps its own. `None` for an unknown device.
    ///
    /// Its units are free from that instant. With a grace before the lock one license would serve many devices in turn,
    /// each claimed for a moment whenever its grace ends; without the time until the stop a slip would be felt at once.
    pub(super) fn farewell(&self, id: &DeviceId, at: Timestamp) -> Option<Schedule> {
        let device = self.device(id)?;
        if let DeviceState::Retired { schedule, .. } = device.state {
            return Some(schedule);
        }
        let group = self.group_of_site(device.site).and_then(|id| self.group(id));
        let settings = group.map_or(self.settings, |group| self.settings_of(group));
        let run = CauseClock::Fresh.run_from(at, &settings);
        Some(Schedule { grace_begins_at: Some(at), lock_at: Some(at), stop_at: Some(run.stop_at) })
    }

    /// The findings and the ladder, by cause, of an active device in a group: the group's, and what it or its sites carry along.
    pub(super) fn enforced(
        &self,
        device: &Device,
        group: &Group,
        day: impl FnOnce(&Group, &Device) -> u64,
        newer: impl FnOnce(&Group, &Device) -> u64,
    ) -> (Vec<Finding>, Ahead) {
        let findings = group.announced_findings();
        let ahead = self.ahead_of(device, group, day);
        match self.settings_of(group).scope {
            Scope::Group => (findings, ahead),
            Scope::Product => {
                let mine = |finding: &Finding| is_shortfall_of(finding, device.product);
                let renewal = group.figures.renewal.iter();
                let mut later = renewal.flat_map(|renewal| group.figures.shortfalls(&renewal.capacity));
                // Where nothing is missing, nobody has to be told apart.
                let told_apart = findings.iter().any(mine) || later.any(|finding| mine(&finding));
                let newer = if told_apart { newer(group, device) } else { 0 };
                enforced_by_product(device, group, newer, findings, ahead)
            }
        }
    }

    /// The units of the devices of a group that count as the same product as this one and are newer, by (claimed at,
    /// id) (domain C3).
    fn newer_units(&self, group: &Group, device: &Device) -> u64 {
        let mine = (device.claimed_at, &device.id);
        self.devices_in_group(group.id)
            .filter(|d| d.consumes() && d.product == device.product && (d.claimed_at, &d.id) > mine)
            .fold(0, |sum, newer| sum.saturating_add(newer.units))
    }

    /// The same for every device of a product in a group, in one pass.
    pub(super) fn all_newer_units(&self, group: &Group, product: ProductType) -> BTreeMap<DeviceId, u64> {
        let alike = self.devices_in_group(group.id).filter(|d| d.consumes() && d.product == product);
        let mut devices: Vec<&Device> = alike.collect();
        devices.sort_by(|a, b| (b.claimed_at, &b.id).cmp(&(a.claimed_at, &a.id)));
        let sums = devices.into_iter().scan(0_u64, |sum, device| {
            let newer = *sum;
            *sum = sum.saturating_add(device.units);
            Some((device.id.clone(), newer))
        });
        sums.collect()
    }

    /// The ladder of a device by cause: the strictest of the group's and of what was carried along (domain E2).
    fn ahead_of(&self, device: &Device, group: &Group, day: impl FnOnce(&Group, &Device) -> u64) -> Ahead {
        let assessment = &group.assessment;
        let own = if self.is_paced(group) { self.paced(group, day(group, device)) } else { assessment.ahead };
        if assessment.carried.is_empty() {
            return own;
        }
        let sites = self.path_to_root(device.site).map(|site| Holder::Site(site.id));
        sites
            .chain(core::iter::once(Holder::Device(device.id.clone())))
            .filter_map(|holder| assessment.carried_by(&holder))
            .fold(own, |ahead, carried| ahead.earliest(&carried.ahead))
    }

    /// A ladder none of whose steps comes after that of any active device of a group.
    ///
    /// Whom the group spares, and whom a pace lets wait, has a later one (domain C3, E6); what sites and devices carry
    /// along has come already (domain E2).
    pub(super) fn first_ladder(&self, group: &Group) -> Schedule {
        let assessment = &group.assessment;
        let own = if self.is_paced(group) { self.paced(group, 0) } else { assessment.ahead };
        let first = assessment.carried.iter().fold(own, |ahead, carried| ahead.earliest(&carried.ahead));
        self.thawed(first.both())
    }

    /// Whether every active device of a group wants the same ladder for the same findings.
    pub(super) fn wants_alike(&self, group: &Group) -> bool {
        let by_cause = match self.settings_of(group).scope {
            Scope::Group => true,
            Scope::Product => !group.announced_findings().iter().any(is_shortfall),
        };
        by_cause && group.assessment.carried.is_empty() && !self.is_paced(group)
    }
}

/// The same if a shortfall is enforced only on the newest devices of its product type (domain C3).
///
/// A renewal that waits may leave another shortfall than the present one: whoever is among the newest only then is
/// spared until then, and whoever is not any more is spared from then on (domain E5). `newer` is the number of units of
/// the devices that it is enforced on before this one.
fn enforced_by_product(
    device: &Device,
    group: &Group,
    newer: u64,
    mut findings: Vec<Finding>,
    ahead: Ahead,
) -> (Vec<Finding>, Ahead) {
    let is_beyond = |finding: &Finding| match finding {
        Finding::OverCapacity { shortfall, .. } => {
            is_shortfall_of(finding, device.product) && newer < *shortfall
        }
        Finding::NoLicense => true,
        Finding::TermEnded | Finding::TrialEnded | Finding::OfflineBudget => false,
    };
    let now = group.assessment.findings.iter().any(is_beyond);
    let renewed = match (group.figures.term, &group.figures.renewal) {
        (Term::Running { coterm }, Some(renewal)) => {
            let then = group.figures.shortfalls(&renewal.capacity).any(|finding| is_beyond(&finding));
            Some((coterm.floor(), then))
        }
        (Term::Running { .. } | Term::NeverLicensed | Term::Ended { .. } | Term::Emptied, _) => None,
    };
    let capacity = match (now, renewed) {
        (true, None | Some((_, true))) => ahead.capacity,
        (true, Some((at, false))) => ahead.capacity.before(at),
        (false, Some((at, true))) => ahead.capacity.not_before(at),
        (false, None | Some((_, false))) => {
            findings.retain(|finding| !is_shortfall(finding));
            Schedule::NEVER
        }
    };
    (findings, Ahead { capacity, ..ahead })
}

fn is_shortfall_of(finding: &Finding, of: ProductType) -> bool {
    match finding {
        Finding::OverCapacity { product, .. } => *product == of,
        Finding::TermEnded | Finding::NoLicense | Finding::TrialEnded | Finding::OfflineBudget => false,
    }
}

const fn is_shortfall(finding: &Finding) -> bool {
    match finding {
        Finding::OverCapacity { .. } => true,
        Finding::TermEnded | Finding::NoLicense | Finding::TrialEnded | Finding::OfflineBudget => false,
    }
}
