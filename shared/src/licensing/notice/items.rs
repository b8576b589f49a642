//! What is to be told about keys and sites in no group (domain G3), and about devices on trial (domain G8).
//!
//! A site plan imported in one go is hundreds of countdowns: what ends on one day (UTC) is told together, and its thresholds
//! begin with that day, so that it is told in one notice.

use super::{
    About, Item, KeyWaiting, Mark, NAMED_MAX, Notice, NoticeFacts, NoticeHead, NoticeKind, SOON, SiteWaiting,
    Topic, TrialEnding, begins, is_same_date,
};
use crate::id::{DeviceId, KeyId, SiteId};
use crate::licensing::device::DeviceState;
use crate::licensing::license_key::KeyState;
use crate::licensing::organization::{Due, Organization};
use crate::licensing::site::Place;
use crate::platform::code::masked;
use crate::time::{DAY_SECS, Seconds, Timestamp};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// How far ahead a date is looked at: the longest threshold, and the day it begins with.
const AHEAD: Seconds = Seconds::days(8);

/// The day (UTC) an instant is in.
pub(super) fn day_of(at: Timestamp) -> Timestamp {
    let into_the_day = at.as_secs().checked_rem(DAY_SECS).unwrap_or(0);
    at.saturating_sub(Seconds(into_the_day))
}

/// The closest threshold that has passed before the day of `at`; none after `at`.
fn passed(at: Timestamp, now: Timestamp) -> Option<u32> {
    let has_passed = |days: &u32| begins(day_of(at), *days) <= now;
    (at > now).then(|| SOON.iter().copied().filter(has_passed).min()).flatten()
}

/// Adds what is to be told.
pub(super) fn look<E>(
    organization: &Organization,
    now: Timestamp,
    about: &About,
    told: &mut impl FnMut(&Topic) -> Result<Option<Mark>, E>,
    found: &mut Vec<Notice>,
) -> Result<(), E> {
    let candidates: Vec<Item> = match about {
        About::Everything => due_before(organization, now.saturating_add(AHEAD)).collect(),
        About::Changed(changed) if changed.dates => {
            due_before(organization, now.saturating_add(AHEAD)).collect()
        }
        About::Changed(changed) => {
            let keys = changed.keys.iter().copied().map(Item::Key);
            let sites = changed.sites.iter().copied().map(Item::Site);
            keys.chain(sites).chain(changed.devices.iter().cloned().map(Item::Device)).collect()
        }
    };
    let mut together: BTreeMap<(NoticeKind, u32, Timestamp), Vec<Found>> = BTreeMap::new();
    for item in candidates {
        let Some(at) = date_of(organization, &item) else { continue };
        let Some(days) = passed(at, now) else { continue };
        let kind = match item {
            Item::Key(_) | Item::Site(_) => NoticeKind::CountdownEnds,
            Item::Device(_) => NoticeKind::TrialEnds,
            Item::Held(_) => continue,
        };
        let (topic, mark) = (topic_of(&item), Mark::new(kind, Some(days), at));
        if !told(&topic)?.is_some_and(|last| mark.repeats(&last)) {
            together.entry((kind, days, day_of(at))).or_default().push(Found { item, at, topic, mark });
        }
    }
    found.extend(together.into_iter().filter_map(|((kind, days, _), items)| {
        let about = items.iter().map(|found| found.at).min()?;
        Some(notice(organization, kind, days, about, items))
    }));
    Ok(())
}

/// Whether any of what a notice names still waits for the date it says, with no closer threshold passed.
pub(super) fn still_true(organization: &Organization, notice: &NoticeHead, now: Timestamp) -> bool {
    notice.items.iter().filter_map(|item| date_of(organization, item)).any(|at| {
        let closer = passed(at, now).is_some_and(|days| Some(days) < notice.days);
        at > now && is_same_date(day_of(at), day_of(notice.about)) && !closer
    })
}

struct Found {
    item: Item,
    at: Timestamp,
    topic: Topic,
    mark: Mark,
}

pub(super) fn topic_of(item: &Item) -> Topic {
    match item {
        Item::Key(id) => Topic::of(id, "countdown"),
        Item::Site(id) => Topic::of(id, "countdown"),
        Item::Device(id) => Topic::of(id, "trial"),
        Item::Held(id) => Topic::of(id, "held"),
    }
}

/// What is due before an instant and belongs here, the next first.
fn due_before(organization: &Organization, until: Timestamp) -> impl Iterator<Item = Item> + '_ {
    organization.due_items.iter().take_while(move |(at, _)| *at <= until).filter_map(|(_, due)| match due {
        Due::Group(_) | Due::Held(_) => None,
        Due::Key(id) => Some(Item::Key(*id)),
        Due::Site(id) => Some(Item::Site(*id)),
        Due::Trial(id) => Some(Item::Device(id.clone())),
    })
}

/// When the countdown or trial of something ends; `None` if none runs.
fn date_of(organization: &Organization, item: &Item) -> Option<Timestamp> {
    match item {
        Item::Key(id) => key(organization, *id).map(|(joins_at, ends_at)| joins_at.min(ends_at)),
        Item::Site(id) => site(organization, *id),
        Item::Device(id) => trial(organization, id),
        Item::Held(_) => None,
    }
}

/// When an unassigned key joins, and when it ends.
fn key(organization: &Organization, id: KeyId) -> Option<(Timestamp, Timestamp)> {
    let key = organization.key(id)?;
    match key.state {
        KeyState::Unassigned { joins_at, .. } => Some((joins_at, key.ends_at)),
        KeyState::Active { .. }
        | KeyState::Queued { .. }
        | KeyState::Retired { .. }
        | KeyState::Split { .. }
        | KeyState::Transferred { .. } => None,
    }
}

fn site(organization: &Organization, id: SiteId) -> Option<Timestamp> {
    match organization.site(id)?.place {
        Place::Unassigned { joins_at, .. } => Some(joins_at),
        Place::Root { .. } | Place::Within { .. } => None,
    }
}

fn trial(organization: &Organization, id: &DeviceId) -> Option<Timestamp> {
    match &organization.device(id)?.state {
        DeviceState::Trial(trial) => Some(trial.ends_at),
        DeviceState::Active | DeviceState::Retired { .. } => None,
    }
}

fn notice(
    organization: &Organization,
    kind: NoticeKind,
    days: u32,
    about: Timestamp,
    found: Vec<Found>,
) -> Notice {
    let (title, text, facts) = if kind == NoticeKind::TrialEnds {
        trials(about, &found)
    } else {
        countdown(organization, about, &found)
    };
    let items = found.iter().map(|found| found.item.clone()).take(NAMED_MAX).collect();
    let head = NoticeHead { kind, group: None, days: Some(days), about, items };
    let marks = found.into_iter().map(|found| (found.topic, found.mark)).collect();
    Notice { head, title, text, facts, marks }
}

fn countdown(
    organization: &Organization,
    about: Timestamp,
    found: &[Found],
) -> (String, Vec<String>, NoticeFacts) {
    let joins = organization.default_group();
    let joins_name = organization.group(joins).map(|group| group.name.to_string()).unwrap_or_default();
    let mut keys = Vec::new();
    let mut sites = Vec::new();
    for Found { item, at, .. } in found {
        match item {
            Item::Key(id) => keys.extend(organization.key(*id).map(|key| {
                let runs_out = self::key(organization, *id).is_some_and(|(joins, ends)| ends <= joins);
                KeyWaiting { id: *id, code: masked(&key.issued.code_tail), at: *at, runs_out }
            })),
            Item::Site(id) => sites.extend(organization.site(*id).map(|site| SiteWaiting {
                id: *id,
                name: site.name.to_string(),
                at: *at,
            })),
            Item::Device(_) | Item::Held(_) => {}
        }
    }
    let mut text = Vec::new();
    let each_key = keys.iter().take(NAMED_MAX).map(|key| match key.runs_out {
        true => {
            format!("Key {} runs out in Unassigned at {}: assign it before, or it is lost.", key.code, key.at)
        }
        false => format!("Key {} joins {joins_name} at {} and begins to co-term.", key.code, key.at),
    });
    text.extend(each_key);
    let each_site = sites.iter().take(NAMED_MAX);
    text.extend(each_site.map(|site| format!("Site {} joins {joins_name} at {}.", site.name, site.at)));
    let (key_count, site_count) = (keys.len(), sites.len());
    let unnamed = key_count.saturating_sub(NAMED_MAX).saturating_add(site_count.saturating_sub(NAMED_MAX));
    if unnamed > 0 {
        text.push(format!("And {unnamed} more."));
    }
    text.push(String::from("Assign them to the groups they belong to before."));
    keys.truncate(NAMED_MAX);
    sites.truncate(NAMED_MAX);
    let title = match (key_count, site_count) {
        (keys, 0) => format!("{} in no group, until {about}", counted(keys, "key")),
        (0, sites) => format!("{} in no group, until {about}", counted(sites, "site")),
        (keys, sites) => {
            format!("{} and {} in no group, until {about}", counted(keys, "key"), counted(sites, "site"))
        }
    };
    (title, text, NoticeFacts::Countdown { joins, joins_name, keys, key_count, sites, site_count })
}

fn trials(about: Timestamp, found: &[Found]) -> (String, Vec<String>, NoticeFacts) {
    let each = |found: &Found| match &found.item {
        Item::Device(id) => Some(TrialEnding { id: id.clone(), at: found.at }),
        Item::Key(_) | Item::Site(_) | Item::Held(_) => None,
    };
    let mut devices: Vec<TrialEnding> = found.iter().filter_map(each).collect();
    let device_count = devices.len();
    devices.truncate(NAMED_MAX);
    let mut text: Vec<String> =
        devices.iter().map(|device| format!("The trial of {} ends at {}.", device.id, device.at)).collect();
    let unnamed = device_count.saturating_sub(devices.len());
    if unnamed > 0 {
        text.push(format!("And {unnamed} more."));
    }
    text.push(String::from(
        "Convert those you keep, and retire the others; what does neither is enforced by itself.",
    ));
    let title = match device_count {
        1 => format!("the trial of a device ends at {about}"),
        many => format!("the trials of {many} devices end from {about}"),
    };
    (title, text, NoticeFacts::Trials { devices, device_count })
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
