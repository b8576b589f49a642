//! The second implementation: what a careful person would write on paper. Lists, rational numbers, no events.

use crate::finding::Finding;
use crate::licensing::Units;
use crate::licensing::coterm::Fraction;
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

/// Where a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    Pool(u8),
    Queue(u8, Seconds),
    Nowhere(Timestamp),
    Gone,
}

/// A key with one line.
#[derive(Clone, Debug)]
pub(super) struct PaperKey {
    pub(super) product: ProductType,
    pub(super) quantity: u64,
    pub(super) weight: u64,
    pub(super) end: Timestamp,
    pub(super) has_waited: bool,
    pub(super) at: Where,
}

impl PaperKey {
    pub(super) fn left(&self, now: Timestamp) -> Seconds {
        match self.at {
            Where::Queue(_, left) => left,
            Where::Pool(_) | Where::Nowhere(_) | Where::Gone => self.end.since(now),
        }
    }

    pub(super) fn credit(&self, now: Timestamp) -> u128 {
        u128::from(self.quantity) * u128::from(self.weight) * u128::from(self.left(now).0)
    }
}

/// A group's standing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    #[default]
    Never,
    Running,
    Ended {
        coterm: Fraction,
        capacity: Units,
    },
    Emptied,
}

/// Where a site is: a root in a group, a root that waits until an instant, or part of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    In(u8),
    Waits(Timestamp),
    Within(u8),
}

#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) name: String,
    pub(super) spot: Spot,
}

/// A device in use.
#[derive(Clone, Debug)]
pub(super) struct PaperDevice {
    pub(super) site: u8,
    pub(super) product: ProductType,
    /// By its model, and its doors if somebody counted them (domain G7).
    pub(super) units: u64,
    pub(super) doors: Option<u64>,
    pub(super) on_trial: bool,
}

#[derive(Clone, Default)]
pub(super) struct Paper {
    pub(super) keys: BTreeMap<u32, PaperKey>,
    pub(super) devices: BTreeMap<u32, PaperDevice>,
    /// Devices that were ever here, and those of them that were replaced or stolen.
    pub(super) known: BTreeSet<u32>,
    pub(super) replaced: BTreeSet<u32>,
    pub(super) stolen: BTreeSet<u32>,
    pub(super) sites: BTreeMap<u8, Site>,
    /// The names of the groups.
    pub(super) groups: BTreeMap<u8, String>,
    pub(super) standing: BTreeMap<u8, Standing>,
    /// Whether door controllers count by their configured doors.
    pub(super) by_doors: bool,
}

impl Paper {
    fn pool(&self, group: u8) -> impl Iterator<Item = &PaperKey> {
        self.keys.values().filter(move |key| key.at == Where::Pool(group))
    }

    pub(super) fn standing(&self, group: u8) -> Standing {
        self.standing.get(&group).cloned().unwrap_or_default()
    }

    pub(super) fn coterm(&self, group: u8) -> Option<Fraction> {
        match self.standing(group) {
            Standing::Never | Standing::Emptied => None,
            Standing::Ended { coterm, .. } => Some(coterm),
            Standing::Running => {
                let mass = |key: &PaperKey| u128::from(key.quantity) * u128::from(key.weight);
                let above = self.pool(group).map(|key| mass(key) * u128::from(key.end.as_secs())).sum();
                Fraction::new(above, self.pool(group).map(mass).sum())
            }
        }
    }

    pub(super) fn capacity(&self, group: u8) -> Units {
        match self.standing(group) {
            Standing::Ended { capacity, .. } => capacity,
            Standing::Never | Standing::Emptied => Units::new(),
            Standing::Running => {
                let mut units = Units::new();
                for key in self.pool(group) {
                    *units.entry(key.product).or_insert(0) += key.quantity;
                }
                units
            }
        }
    }

    pub(super) fn findings(&self, group: u8) -> Vec<Finding> {
        let here = |device: &&PaperDevice| !device.on_trial && self.root(device.site) == Spot::In(group);
        let mine: Vec<_> = self.devices.values().filter(here).collect();
        if mine.is_empty() {
            return Vec::new();
        }
        let mut found = match self.standing(group) {
            Standing::Never => return [Finding::NoLicense].into(),
            Standing::Ended { .. } => Vec::from([Finding::TermEnded]),
            Standing::Running | Standing::Emptied => Vec::new(),
        };
        let capacity = self.capacity(group);
        let mut in_use = Units::new();
        for device in mine {
            let doors = device.doors.filter(|_| self.by_doors);
            *in_use.entry(device.product).or_insert(0) += doors.unwrap_or(device.units);
        }
        for (product, in_use) in in_use {
            let capacity = capacity.get(&product).copied().unwrap_or(0);
            if in_use > capacity {
                found.push(Finding::OverCapacity { product, shortfall: in_use - capacity });
            }
        }
        found
    }

    /// Where the root of a site is.
    pub(super) fn root(&self, site: u8) -> Spot {
        match self.sites[&site].spot {
            Spot::Within(parent) => self.root(parent),
            spot @ (Spot::In(_) | Spot::Waits(_)) => spot,
        }
    }

    /// Whether a site is another or is in it, however deep.
    pub(super) fn is_inside(&self, site: u8, of: u8) -> bool {
        site == of
            || match self.sites[&site].spot {
                Spot::Within(parent) => self.is_inside(parent, of),
                Spot::In(_) | Spot::Waits(_) => false,
            }
    }

    pub(super) fn is_running(&self, group: u8) -> bool {
        self.standing(group) == Standing::Running
    }

    /// Puts a key into a group; a renewal waits if there is a term to wait for.
    pub(super) fn put(&mut self, key: u32, group: u8, renewal: bool, now: Timestamp) {
        let waits = renewal && self.is_running(group);
        self.put_as(key, group, waits, now);
    }

    /// Puts a key into a group, at once or into the queue.
    pub(super) fn put_as(&mut self, key: u32, group: u8, waits: bool, now: Timestamp) {
        let Some(key) = self.keys.get_mut(&key) else { return };
        let left = key.left(now);
        if waits {
            key.at = Where::Queue(group, left);
        } else {
            // K3: a wait of no time is none.
            key.has_waited |= now.saturating_add(left) > key.end;
            key.at = Where::Pool(group);
            key.end = now.saturating_add(left);
            self.standing.insert(group, Standing::Running);
        }
    }

    /// What is left to do after a key left a group.
    pub(super) fn after_leaving(&mut self, group: u8, now: Timestamp) {
        if self.standing(group) == Standing::Running && self.pool(group).next().is_none() {
            self.standing.insert(group, Standing::Emptied);
            self.activate(group, now);
        }
    }

    /// Renewals do not wait for nothing (domain K3).
    pub(super) fn activate_if_idle(&mut self, group: u8, now: Timestamp) {
        if self.standing(group) == Standing::Emptied {
            self.activate(group, now);
        }
    }

    fn activate(&mut self, group: u8, at: Timestamp) {
        for key in self.keys.values_mut() {
            if let Where::Queue(of, left) = key.at
                && of == group
            {
                key.at = Where::Pool(group);
                key.has_waited |= at.saturating_add(left) > key.end;
                key.end = at.saturating_add(left);
                self.standing.insert(group, Standing::Running);
            }
        }
    }

    /// Whether a group would owe if `key` left it (domain K5).
    pub(super) fn would_owe_without(&self, key: u32, group: u8, now: Timestamp) -> bool {
        let mut without = Paper { standing: self.standing.clone(), ..Paper::default() };
        without.keys = self.keys.clone();
        without.keys.remove(&key);
        without.coterm(group).is_some_and(|coterm| coterm.floor() <= u128::from(now.as_secs()))
            && without.standing(group) == Standing::Running
    }

    /// Lets everything happen that is due by `now`, in order.
    pub(super) fn pass_time(&mut self, now: Timestamp) {
        loop {
            let mut due: Vec<(Timestamp, u8, u32)> = Vec::new();
            for (&group, standing) in &self.standing {
                if *standing == Standing::Running
                    && let Some(coterm) = self.coterm(group)
                {
                    let secs = u64::try_from(coterm.floor()).unwrap();
                    due.push((Timestamp::from_secs_clamped(secs), 0, u32::from(group)));
                }
            }
            for (&id, key) in &self.keys {
                if let Where::Nowhere(joins_at) = key.at {
                    due.push((joins_at.min(key.end), 1, id));
                }
            }
            for (&id, site) in &self.sites {
                if let Spot::Waits(joins_at) = site.spot {
                    due.push((joins_at, 2, u32::from(id)));
                }
            }
            due.sort_unstable();
            let Some(&(at, kind, id)) = due.first().filter(|(at, _, _)| *at <= now) else { return };
            if kind == 0 {
                let group = u8::try_from(id).unwrap();
                let ended =
                    Standing::Ended { coterm: self.coterm(group).unwrap(), capacity: self.capacity(group) };
                self.keys
                    .values_mut()
                    .filter(|k| k.at == Where::Pool(group))
                    .for_each(|k| k.at = Where::Gone);
                self.standing.insert(group, ended);
                self.activate(group, at);
            } else if kind == 2 {
                self.sites.get_mut(&u8::try_from(id).unwrap()).unwrap().spot = Spot::In(1);
            } else if self.keys.get(&id).is_some_and(|key| key.end <= at) {
                self.keys.get_mut(&id).unwrap().at = Where::Gone;
            } else {
                self.put(id, 1, false, at);
            }
        }
    }
}
