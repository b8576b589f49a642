//! How many devices a finished draft newly puts on the way to lock (domain E6).
//!
//! **Method.** Every device in use that may be worse off is asked what it should hold, before and after, by the very
//! function its token is made by. Terms that end as announced are in both and cancel out, as does all that was due before
//! the command. A group whose ladder gets no worse is not visited, so a claim into a large group costs what it cost; whom a
//! pace brings a day closer because a newer device went was on the way before.
//! **Deliberately absent:** devices that the command itself retires, replaces or claims: they are named one by one.

use crate::enforcement::Schedule;
use crate::finding::Finding;
use crate::id::{DeviceId, GroupId};
use crate::licensing::ahead::Ahead;
use crate::licensing::compliance::Figures;
use crate::licensing::event::{Dated, Event};
use crate::licensing::group::Group;
use crate::licensing::organization::Organization;
use crate::licensing::settings::{Limits, Scope};
use crate::licensing::wanted::Wants;
use crate::time::{Seconds, Timestamp};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use serde::Serialize;

/// A step this far ahead is no lockout yet: until then there is time to see it and to act.
const NEAR: Seconds = Seconds::days(90);
/// A step that comes earlier by less than this is where it was: dates move a little with every key.
const MATERIAL: Seconds = Seconds::days(1);

/// What an operation does to the devices in use, measured against what is allowed without approval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lockout {
    /// Devices it newly puts on the way to lock: their lock or stop is near, and was not there before or at least a day
    /// later.
    pub devices: u64,
    /// How many others operations of the day before did.
    pub lately: u64,
    /// Devices in use of the organization.
    pub of: u64,
    /// More than these, and
    pub devices_allowed: u64,
    /// more than this share of the devices in use, in percent, needs approval.
    pub share_allowed_percent: u64,
    /// The groups the devices are in afterwards.
    pub groups: BTreeSet<GroupId>,
    /// Whether it was approved.
    pub approved: bool,
}

impl Lockout {
    /// Whether the operation must wait until the vendor approves it.
    ///
    /// What makes nothing worse never waits, however much was done before.
    #[must_use]
    pub const fn needs_approval(&self) -> bool {
        let all = self.devices.saturating_add(self.lately);
        let share = self.of.saturating_mul(self.share_allowed_percent);
        !self.approved && self.devices > 0 && all > self.devices_allowed && all.saturating_mul(100) > share
    }
}

/// Measures what the command's own `events` made of `base`.
pub(in crate::licensing) fn lockout(
    base: &Organization,
    after: &Organization,
    touched: &BTreeSet<GroupId>,
    events: &[Dated],
    limits: &Limits,
    now: Timestamp,
) -> Lockout {
    let settings = base.settings();
    let mut lockout = Lockout {
        lately: base.safety.lately(now),
        of: base.active_devices().saturating_add(base.trial_devices()),
        devices_allowed: settings.hold_devices.min(limits.hold_devices_max),
        share_allowed_percent: settings.hold_share_percent.min(limits.hold_share_max_percent),
        ..Lockout::default()
    };
    let visited = touched.iter().filter_map(|id| after.group(*id));
    let visited: Vec<&Group> = visited.filter(|group| may_be_worse(base, after, group, now)).collect();
    let moved = moved(after, events);
    if visited.is_empty() && moved.is_empty() {
        return lockout;
    }
    let (mut before, mut then) = (Wants::of(base), Wants::of(after));
    let mut counted = BTreeSet::new();
    let tomorrow = tomorrow(now);
    let members = visited.iter().flat_map(|group| after.devices_in_group(group.id).map(|device| &device.id));
    for id in members.chain(&moved) {
        if counted.contains(id) || !base.device(id).is_some_and(|device| device.is_active()) {
            continue;
        }
        let (Some(old), Some(new)) = (before.wanted(id), then.wanted(id)) else { continue };
        if !new.is_farewell() && is_worse(&old.schedule_for(tomorrow), &new.schedule_for(tomorrow), now) {
            counted.insert(id.clone());
            lockout.groups.extend(new.group);
        }
    }
    lockout.devices = u64::try_from(counted.len()).unwrap_or(u64::MAX);
    lockout
}

/// When a step comes that a freeze keeps back for as long as it lasts: not yet, and no earlier than it can.
const fn tomorrow(now: Timestamp) -> Timestamp {
    now.saturating_add(MATERIAL)
}

/// Whether a lock or stop is near, and was not there or at least a day later.
fn is_worse(before: &Schedule, after: &Schedule, now: Timestamp) -> bool {
    let begun = after.grace_begins_at.is_some_and(|at| at <= now);
    let near = now.saturating_add(NEAR);
    let worse = |old: Option<Timestamp>, new: Option<Timestamp>| {
        let new = new.filter(|at| begun || *at <= near);
        match (old, new) {
            (_, None) => false,
            (None, Some(_)) => true,
            // What was reached is no news.
            (Some(old), Some(new)) => old > now && new.saturating_add(MATERIAL) <= old,
        }
    };
    worse(before.lock_at, after.lock_at) || worse(before.stop_at, after.stop_at)
}

/// Whether any device that was in this group may be worse off for more than its own sake.
fn may_be_worse(base: &Organization, after: &Organization, group: &Group, now: Timestamp) -> bool {
    // Of a group that is new, whoever is in it has moved.
    let Some(old) = base.group(group.id) else { return false };
    let scopes = (base.settings_of(old).scope, after.settings_of(group).scope);
    let told_apart = match scopes {
        (Scope::Group, Scope::Group) => false,
        (Scope::Product, Scope::Product) => {
            let (was, is) = (&old.figures, &group.figures);
            // What will be missing once a waiting renewal has begun strikes the newest of those who are there by then.
            let later = |of: &Figures| -> Vec<Finding> {
                of.renewal.iter().flat_map(|renewal| of.shortfalls(&renewal.capacity)).collect()
            };
            // Whom it covers it spares only if it begins before their lock.
            was.renewal != is.renewal
                || is.renewal.is_some() && was.term != is.term
                || later(was) != later(is)
                || is.shortfalls(&is.capacity).any(|f| !old.assessment.findings.contains(&f))
        }
        (Scope::Product, Scope::Group) | (Scope::Group, Scope::Product) => true,
    };
    let tomorrow = tomorrow(now);
    let worse = |of: fn(&Ahead) -> Schedule| {
        let old = base.announced(of(&old.assessment.ahead), tomorrow);
        is_worse(&old, &after.announced(of(&group.assessment.ahead), tomorrow), now)
    };
    // Where devices lock on different days, the ladder of the first says little of the others': a freeze puts off what is
    // near and nothing later, and midnight makes a day of an hour.
    let paced = base.is_paced(old) || after.is_paced(group);
    let sooner = |of: fn(&Ahead) -> Schedule| {
        let (was, is) = (of(&old.assessment.ahead), of(&group.assessment.ahead));
        let earlier = |old: Option<Timestamp>, new: Option<Timestamp>| {
            new.is_some_and(|new| old.is_none_or(|old| new < old))
        };
        earlier(was.lock_at, is.lock_at) || earlier(was.stop_at, is.stop_at)
    };
    told_apart
        || paced && (sooner(|ahead| ahead.expiry) || sooner(|ahead| ahead.capacity))
        || base.settings_of(old).lockout_pace != after.settings_of(group).lockout_pace
        || old.assessment.tranches != group.assessment.tranches
        || old.assessment.carried != group.assessment.carried
        // By cause as well: whom one of them spares (domain C3) feels the other alone, which the earlier of both hides.
        || worse(|ahead| ahead.both())
        || worse(|ahead| ahead.expiry)
        || worse(|ahead| ahead.capacity)
}

/// The devices that the command itself put elsewhere, or among those that count.
fn moved(after: &Organization, events: &[Dated]) -> Vec<DeviceId> {
    let mut moved = Vec::new();
    for dated in events {
        match &dated.event {
            Event::SiteMoved { site, .. } => {
                moved.extend(after.site_tree(*site).flat_map(|site| site.devices().cloned()));
            }
            Event::DeviceMoved { device, .. } | Event::TrialConverted { device } => {
                moved.push(device.clone());
            }
            Event::OrganizationFounded { .. }
            | Event::GroupsEnabled
            | Event::SettingsChanged { .. }
            | Event::GroupCreated { .. }
            | Event::GroupRenamed { .. }
            | Event::GroupSettingsChanged { .. }
            | Event::GroupDeleted { .. }
            | Event::SiteCreated { .. }
            | Event::SiteRenamed { .. }
            | Event::SiteDeleted { .. }
            | Event::DeviceClaimed { .. }
            | Event::DoorsConfigured { .. }
            | Event::UnitsCounted { .. }
            | Event::TrialEnded { .. }
            | Event::DeviceRetired { .. }
            | Event::KeyClaimed { .. }
            | Event::KeyPlaced { .. }
            | Event::KeySplit { .. }
            | Event::KeyExpired { .. }
            | Event::KeyTransferred { .. }
            | Event::RenewalsActivated { .. }
            | Event::TermEnded { .. }
            | Event::GroupAssessed { .. }
            | Event::Enrolment(_)
            | Event::Safety(_) => {}
        }
    }
    moved
}
