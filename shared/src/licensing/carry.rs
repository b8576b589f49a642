//! The clocks that sites and devices carry along (domain E2).
//!
//! Whoever leaves a group takes the less that is left of the group's clocks and of its own; whoever comes back finds
//! it again; whoever leaves a site that brought clocks takes them along. So neither re-adding a device nor shuffling sites between groups buys new grace.

use super::clock::Clocks;
use super::compliance::Holder;
use super::device::DeviceState;
use super::organization::Organization;
use crate::id::{DeviceId, GroupId, SiteId};
use crate::time::Timestamp;
use alloc::vec::Vec;

impl Organization {
    /// The clocks of a site in its group at `now`, paused.
    pub(super) fn clocks_of_site(&self, site: SiteId, now: Timestamp) -> Clocks {
        let Some(group) = self.group_of_site(site).and_then(|id| self.group(id)) else {
            return Clocks::FRESH;
        };
        let path = self.path_to_root(site).map(|site| Holder::Site(site.id));
        path.filter_map(|holder| group.assessment.carried_by(&holder))
            .fold(group.assessment.clocks, |clocks, carried| clocks.stricter(carried.clocks, now))
            .stricter(Clocks::FRESH, now)
    }

    /// The clocks of a device in its group at `now`, paused; fresh for one that consumes nothing.
    pub(super) fn clocks_of_device(&self, id: &DeviceId, now: Timestamp) -> Clocks {
        let Some(device) = self.device(id).filter(|device| device.consumes()) else { return Clocks::FRESH };
        let of_site = self.clocks_of_site(device.site, now);
        let group = self.group_of_site(device.site).and_then(|id| self.group(id));
        match group.and_then(|group| group.assessment.carried_by(&Holder::Device(id.clone()))) {
            Some(own) => of_site.stricter(own.clocks, now),
            None => of_site,
        }
    }

    /// What a device that leaves its place, its trial or its use takes along at `now`, paused (domain E2, G8).
    ///
    /// Of a device on trial: what it brought itself, and what it used up of the ladder after the trial.
    pub(super) fn clocks_taken_along(&self, id: &DeviceId, now: Timestamp) -> Clocks {
        let Some(device) = self.device(id) else { return Clocks::FRESH };
        match &device.state {
            DeviceState::Active => self.clocks_of_device(id, now),
            DeviceState::Trial(trial) => {
                let group = self.group_of_site(device.site).and_then(|id| self.group(id));
                let own = group.and_then(|group| group.assessment.carried_by(&Holder::Device(id.clone())));
                own.map_or(Clocks::FRESH, |own| own.clocks).stricter(trial.clocks_at(now), now)
            }
            DeviceState::Retired { .. } => Clocks::FRESH,
        }
    }

    /// What the sites that `from` is in carry and those of `to` do not, paused: who leaves them takes it along.
    pub(super) fn clocks_left_behind(
        &self,
        from: Option<SiteId>,
        to: Option<SiteId>,
        now: Timestamp,
    ) -> Clocks {
        let above = |site: Option<SiteId>| site.into_iter().flat_map(|site| self.path_to_root(site));
        let group = from.and_then(|site| self.group_of_site(site)).and_then(|id| self.group(id));
        let Some(group) = group.filter(|group| !group.assessment.carried.is_empty()) else {
            return Clocks::FRESH;
        };
        above(from)
            .filter(|site| above(to).all(|kept| kept.id != site.id))
            .filter_map(|site| group.assessment.carried_by(&Holder::Site(site.id)))
            .fold(Clocks::FRESH, |clocks, carried| clocks.stricter(carried.clocks, now))
    }

    /// Everything in a site's tree that brought clocks along into `group`, with what is left of them.
    pub(super) fn carried_within(
        &self,
        site: SiteId,
        group: GroupId,
        now: Timestamp,
    ) -> Vec<(Holder, Clocks)> {
        let Some(group) = self.group(group).filter(|group| !group.assessment.carried.is_empty()) else {
            return Vec::new();
        };
        let inside = |holder: &Holder| {
            let at = match holder {
                Holder::Site(id) => Some(*id),
                Holder::Device(id) => self.device(id).map(|device| device.site),
            };
            at.is_some_and(|at| self.path_to_root(at).any(|above| above.id == site))
        };
        let carried = group.assessment.carried.iter().filter(|carried| inside(&carried.holder));
        carried.map(|c| (c.holder.clone(), c.clocks.stricter(Clocks::FRESH, now))).collect()
    }
}
