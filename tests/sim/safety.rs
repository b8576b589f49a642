//! Who is put on the way to lock, and on which day a lockout comes to whom: seen from outside (domain E6, G8).
//!
//! **Problem.** That an operation waits for the vendor shows nothing done; that one which should have waited did not, only a
//! second count shows. The same holds for a pace: a device does what its token announces, on whatever day that is.
//! **Method.** Whatever was done is measured again by what devices were to hold before and after it, never more strictly
//! than the rules do; days are counted by the dates that the devices of a group have. **Deliberately absent:** groups in which
//! devices follow clocks of their own, a shortfall hits only some, or there was a freeze: who locks first there is no question
//! of a pace alone.

use crate::grace::Look;
use crate::recount::newest_first;
use coterm_shared::enforcement::Schedule;
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::licensing::{CauseClock, Device, DeviceState, Group, Organization, Scope, Wanted, Wants};
use coterm_shared::time::{DAY_SECS, Seconds, Timestamp};
use std::collections::BTreeMap;

/// A lock this far ahead is none yet.
const NEAR: Seconds = Seconds(90 * DAY_SECS);
const DAY: Seconds = Seconds(DAY_SECS);
/// What was counted counts for a day, and by the hour: one hour less of it is certain.
const CERTAINLY_LATELY: u64 = 23 * 3_600;

/// What was done of late that put devices on the way to lock, by organization.
#[derive(Debug, Default)]
pub struct Lately(BTreeMap<OrganizationId, Vec<(Timestamp, u64)>>);

impl Lately {
    /// Looks at an operation that was done without anybody's approval; tells how many devices it locks.
    ///
    /// # Errors
    /// It had to wait.
    pub fn done(
        &mut self,
        before: &Organization,
        after: &Organization,
        at: Timestamp,
    ) -> Result<u64, String> {
        let who = newly(before, after, at);
        let devices = who.len() as u64;
        let of = self.0.entry(before.id()).or_default();
        of.retain(|(then, _)| *then <= at && at.since(*then).0 < CERTAINLY_LATELY);
        let lately: u64 = of.iter().map(|(_, devices)| devices).sum();
        of.push((at, devices));
        let in_use = before.devices().filter(|device| device.is_active()).count() as u64;
        let (allowed, share) = (before.settings().hold_devices, before.settings().hold_share_percent);
        let all = devices + lately;
        if devices > 0 && all > allowed && all * 100 > in_use * share {
            return Err(format!(
                "{devices} devices and {lately} lately, of {in_use}, lock by what did not wait; \
                 {allowed} may, or {share} %: {who:?}"
            ));
        }
        Ok(devices)
    }
}

/// Devices in use before and after that are to lock, and were not to before or at least a day later; and their ladders.
fn newly(before: &Organization, after: &Organization, at: Timestamp) -> Vec<(DeviceId, Schedule, Schedule)> {
    let (mut old, mut new) = (Wants::of(before), Wants::of(after));
    let both = before.devices().filter(|device| device.is_active());
    let both = both.filter(|device| after.device(&device.id).is_some_and(Device::is_active));
    let group_after = |device: &Device| after.group_of_site(after.device(&device.id)?.site);
    let worse = both.filter_map(|device| {
        // What a freeze that lasts keeps from a device comes tomorrow at the earliest.
        let ladder = |wanted: Wanted| wanted.schedule_for(at.saturating_add(DAY));
        let (old, new) = (ladder(old.wanted(&device.id)?), ladder(new.wanted(&device.id)?));
        let lock_at = new.lock_at.filter(|lock_at| *lock_at <= at.saturating_add(NEAR))?;
        // A pace brings those who stay days closer when somebody newer goes: their ladder begins no earlier than it did.
        let stays = before.group_of_site(device.site) == group_after(device);
        let same = stays && old.grace_begins_at <= new.grace_begins_at && is_paced(before, device);
        let earlier = |old: Timestamp| !same && old > at && lock_at.saturating_add(DAY) <= old;
        old.lock_at.is_none_or(earlier).then(|| (device.id.clone(), old, new))
    });
    worse.collect()
}

/// Whether the devices of the group that a device is in lock on different days.
fn is_paced(books: &Organization, device: &Device) -> bool {
    let group = books.group_of_site(device.site).and_then(|id| books.group(id));
    group.is_some_and(|group| {
        books.settings_of(group).lockout_pace.is_some() || group.assessment.tranches.is_some()
    })
}

/// Whether the clocks of a group alone say when its devices lock, all of them on their first run.
fn is_plain(books: &Organization, group: &Group) -> bool {
    let clocks = group.assessment.clocks;
    let first = |clock: CauseClock| match clock {
        CauseClock::Fresh => true,
        CauseClock::Running(run) => run.spent_before_secs == Seconds::ZERO,
        CauseClock::Paused(_) => false,
    };
    group.assessment.carried.is_empty()
        && books.settings_of(group).scope == Scope::Group
        && first(clocks.expiry)
        && first(clocks.capacity)
        && books.freeze().is_none()
}

/// Whether a renewal that waits will leave nothing short; `None` if none waits.
fn is_cured(group: &Group) -> Option<bool> {
    let renewal = group.figures.renewal.as_ref()?;
    let mut in_use = group.figures.in_use.iter();
    Some(in_use.all(|(product, units)| *units <= renewal.capacity.get(product).copied().unwrap_or(0)))
}

/// The devices of a group that count, and when each locks, the newest first.
fn locks<'a>(books: &'a Organization, group: &Group) -> Vec<(&'a Device, Option<Timestamp>)> {
    let mut wants = Wants::of(books);
    let mut lock_at = |device: &Device| wants.wanted(&device.id)?.schedule.lock_at;
    newest_first(books, group).into_iter().map(|device| (device, lock_at(device))).collect()
}

/// Whether the devices of each of these groups that has a pace lock by it; tells how many devices there are.
fn spreads(books: &Organization, which: impl Fn(&Group) -> bool) -> Result<u64, String> {
    let groups = books.groups().filter(|group| is_plain(books, group) && which(group));
    let paced = groups.filter_map(|group| Some((group, books.settings_of(group).lockout_pace?)));
    paced
        .map(|(group, per_day)| {
            let spread = spread(books, group, per_day);
            spread.map_err(|what| format!("group {}: {what}", group.name))
        })
        .sum()
}

/// Whether the devices that are in a group lock so many a day, the newest first; for books in which its ladder has not begun,
/// or has just begun.
fn spread(books: &Organization, group: &Group, per_day: u64) -> Result<u64, String> {
    let kept = group.assessment.tranches.as_ref().map(|tranches| tranches.per_day);
    if group.assessment.clocks.is_running() && kept != Some(per_day) {
        return Err(format!("{kept:?} a day, not {per_day}"));
    }
    let locks = locks(books, group);
    let mut a_day: BTreeMap<Timestamp, u64> = BTreeMap::new();
    for at in locks.iter().filter_map(|(_, at)| *at) {
        *a_day.entry(at).or_default() += 1;
    }
    if let Some((at, many)) = a_day.iter().find(|(_, many)| **many > per_day) {
        return Err(format!("{many} devices lock at {at}, by a pace of {per_day} a day"));
    }
    if !locks.is_sorted_by(|(_, newer), (_, older)| newer <= older) {
        return Err(format!("an older device locks before a newer one: {locks:?}"));
    }
    Ok(a_day.values().sum())
}

/// The pace of every group whose ladder is ahead (domain E6); tells how many devices lock by one.
///
/// # Errors
/// More devices lock on a day than the pace says, or an older one before a newer one.
pub fn paced(books: &Organization) -> Result<u64, String> {
    spreads(books, |group| !group.assessment.clocks.is_running())
}

/// The same of every group whose ladder a change has just begun.
///
/// # Errors
/// As those of [`paced`].
pub fn begun(before: &Organization, after: &Organization) -> Result<u64, String> {
    let running = |group: &Group| group.assessment.clocks.is_running();
    spreads(after, |group| running(group) && !before.group(group.id).is_some_and(running))
}

/// Whether whoever was to lock at an instant still is, where the same clocks run as before (domain E3, E6); tells of how many
/// that was asked.
///
/// # Errors
/// Somebody's day moved.
pub fn stood(before: &Look, after: &Look) -> Result<u64, String> {
    let mut devices = 0;
    if after.at < before.at || after.books.version() < before.books.version() {
        return Ok(devices);
    }
    for group in after.books.groups().filter(|group| is_plain(&after.books, group)) {
        let Some(old) = before.books.group(group.id).filter(|old| is_plain(&before.books, old)) else {
            continue;
        };
        let (was, is) = (&old.assessment, &group.assessment);
        if !is.clocks.is_running() || (was.clocks, was.ahead) != (is.clocks, is.ahead) {
            continue;
        }
        // Days that come when a waiting renewal has cured the cause do not come.
        if is_cured(old) != is_cured(group) {
            continue;
        }
        let known: BTreeMap<_, _> =
            locks(&before.books, old).into_iter().map(|(device, at)| (&device.id, at)).collect();
        for (device, at) in locks(&after.books, group) {
            let Some(known) = known.get(&device.id) else { continue };
            devices += 1;
            if *known != at {
                let what = format!("{} was to lock at {known:?} and now at {at:?}", device.id);
                return Err(format!("group {}: {what}", group.name));
            }
        }
    }
    Ok(devices)
}

/// Whether devices on trial lock when their trial says, and no earlier than its end (domain G8).
///
/// # Errors
/// One locks at another time.
pub fn trials(books: &Organization) -> Result<(), String> {
    for device in books.devices() {
        let DeviceState::Trial(trial) = &device.state else { continue };
        let wanted = books.wanted(&device.id).map(|wanted| wanted.schedule);
        if wanted != Some(trial.schedule) && books.freeze().is_none() {
            return Err(format!("{} is on trial with {trial:?} and is told {wanted:?}", device.id));
        }
        if trial.schedule.lock_at.is_none_or(|lock_at| lock_at < trial.ends_at) {
            return Err(format!("{} is on trial and never locks, or before its end: {trial:?}", device.id));
        }
    }
    Ok(())
}
