//! When each organization wants to be looked at: for what is due in it, or for what is to be told of it.
//!
//! **Method.** A timer for each organization, and beside it when each of its groups has something to be told. A change
//! costs the groups it judged, a wake-up those whose time has come, however many others there are. Who has not been looked
//! at yet, since the start or since every date moved, has no such list, and is looked at as a whole.

use coterm_shared::id::OrganizationId;
use coterm_shared::licensing::{About, Organization, Wakes};
use coterm_shared::time::Timestamp;
use coterm_shared::timers::Timers;
use std::collections::HashMap;

/// What was looked at in an organization, as it is under any freeze of everything.
pub(super) type Looked = (Organization, About);

/// When each organization wants to be looked at, and at what of it.
#[derive(Debug, Default)]
pub(super) struct Watches {
    timers: Timers<OrganizationId>,
    wakes: HashMap<OrganizationId, Wakes>,
}

impl Watches {
    /// At these as a whole, as soon as it is their turn: what became due to be told while nobody was here is told now.
    pub(super) fn look_at_all<'a>(&mut self, ids: impl Iterator<Item = &'a OrganizationId>, now: Timestamp) {
        for id in ids {
            self.wakes.remove(id);
            self.timers.set(*id, Some(now));
        }
    }

    /// At most `limit` organizations whose time has come, the longest due first.
    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Vec<OrganizationId> {
        self.timers.due(now).take(limit).collect()
    }

    /// Puts an organization off: what cannot be answered must not spin.
    pub(super) fn put_off(&mut self, id: OrganizationId, until: Timestamp) {
        self.timers.set(id, Some(until));
    }

    /// What is to be looked at in an organization whose time has come.
    pub(super) fn about(&self, id: OrganizationId, now: Timestamp) -> About {
        self.wakes.get(&id).map_or(About::Everything, |wakes| About::Changed(wakes.due(now)))
    }

    /// Takes in an organization that was not there before, with all told that its changes called for.
    pub(super) fn add(&mut self, organization: &Organization, now: Timestamp) {
        self.wakes.insert(organization.id(), Wakes::of(organization, now));
    }

    /// Notes what was looked at and told, on disk by now.
    pub(super) fn told(&mut self, (organization, about): &Looked, now: Timestamp) {
        match (self.wakes.get_mut(&organization.id()), about) {
            (Some(wakes), about) => wakes.told(organization, about, now),
            (None, About::Everything) => self.add(organization, now),
            // It still waits to be looked at as a whole.
            (None, About::Changed(_)) => {}
        }
    }

    /// When it wants to be looked at next, as far as that is known.
    fn next(&self, organization: &Organization) -> Option<Timestamp> {
        let told = self.wakes.get(&organization.id()).and_then(Wakes::next);
        [organization.next_due(), told].into_iter().flatten().min()
    }

    /// Sets the timer of one that has changed; what stays due although it was its turn is tried again at `retry_at`.
    pub(super) fn changed(&mut self, organization: &Organization, now: Timestamp, retry_at: Timestamp) {
        let id = organization.id();
        // Whoever waits for its turn keeps it: what it is to be told has become due before this change.
        if !self.wakes.contains_key(&id) || self.timers.is_due(id, now) {
            return;
        }
        let due = self.next(organization);
        let stuck = due.is_some_and(|at| at <= now);
        self.timers.set(id, if stuck { Some(retry_at) } else { due });
    }

    /// One whose turn it was rests until its next date; what is due and was refused stays put off.
    pub(super) fn rests(&mut self, organization: &Organization, now: Timestamp) {
        let due = self.next(organization);
        if self.wakes.contains_key(&organization.id()) && due.is_none_or(|at| at > now) {
            self.timers.set(organization.id(), due);
        }
    }

    /// Forgets one that is no longer there.
    pub(super) fn forget(&mut self, id: OrganizationId) {
        self.wakes.remove(&id);
        self.timers.set(id, None);
    }
}
