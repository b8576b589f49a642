//! The clocks that sites and devices carry along (domain E2).
//!
//! Whoever leaves a group takes the less that is left of the group's clocks and of its own; whoever comes back finds
//! it again; whoever leaves a site that brought clocks takes them along. So neither re-adding a device nor shuffling
//! sites between groups buys new grace.

use super::clock::Clocks;
use super::compliance::{Arrival, Carried, Holder, Origin};
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

    /// What `holder` takes along as its own when it leaves `old` for `new`, another place in the same group: what the
    /// sites above it carried for it, as far as they are not above it any more. `None` if that is nothing.
    pub(super) fn carried_on(
        &self,
        holder: Holder,
        old: Option<SiteId>,
        new: Option<SiteId>,
        now: Timestamp,
    ) -> Option<Arrival> {
        let group = self.group_of_site(old?).and_then(|id| self.group(id))?;
        if group.assessment.carried.is_empty() {
            return None;
        }
        let above = |site: Option<SiteId>| site.into_iter().flat_map(|site| self.path_to_root(site));
        let mut left = above(old)
            .filter(|site| above(new).all(|kept| kept.id != site.id))
            .filter_map(|site| Some((site.id, group.assessment.carried_by(&Holder::Site(site.id))?)));
        let (site, first) = left.next()?;
        let all = left.map(|(_, carried)| carried).chain(group.assessment.carried_by(&holder));
        // The rest that has begun goes on: none of its days is lost by a move within the group.
        let (clocks, since) = all.fold((first.clocks, first.arrived_at), |(clocks, since), carried| {
            (clocks.stricter(carried.clocks, now), since.max(carried.arrived_at))
        });
        let clocks = clocks.stricter(Clocks::FRESH, now);
        Some(Arrival { holder, clocks, since, origin: Some(Origin::Within { site }) })
    }

    /// Everything in a site's tree that brought clocks along into `group`, with what is left of them.
    pub(super) fn carried_within(&self, site: SiteId, group: GroupId, now: Timestamp) -> Vec<Arrival> {
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
        let arrival = |c: &Carried| Arrival {
            holder: c.holder.clone(),
            clocks: c.clocks.stricter(Clocks::FRESH, now),
            since: now,
            origin: c.origin.clone(),
        };
        carried.map(arrival).collect()
    }
}
