//! What an entry of the log is about, in words.
//!
//! **Method.** The event is read as what it is, and every kind of it has its words here: the match is exhaustive, so a new
//! kind does not compile without. **Deliberately absent:** the figures of a group before and after, which have columns of
//! their own.

use super::subject::Names;
use crate::table::span;
use coterm_shared::finding::Finding;
use coterm_shared::licensing::{
    EnrolmentEvent, Event, HeldView, IssuedKey, KeyPlace, Limits, Overrides, Place, Retirement, SafetyEvent,
    Settings,
};
use coterm_shared::platform::PlatformEvent;
use coterm_shared::time::{Seconds, Timestamp};
use serde_json::Value;
use std::fmt::Display;

/// Devices that are named one by one; there may be thousands.
const NAMED: usize = 3;

impl Names {
    /// What an event is about.
    pub(super) fn what(&self, event: &Value) -> String {
        if let Ok(event) = serde_json::from_value::<Event>(event.clone()) {
            return self.of_organization(&event);
        }
        match serde_json::from_value::<PlatformEvent>(event.clone()) {
            Ok(event) => of_platform(&event),
            // Of a newer daemon.
            Err(_) => String::from("(not known to this version of coterm; see -o json)"),
        }
    }

    fn of_organization(&self, event: &Event) -> String {
        match event {
            Event::OrganizationFounded { name, default_group_name, license_groups, .. } => {
                let groups = if *license_groups { "license groups enabled" } else { "one pool" };
                format!("{name}, with group {default_group_name}; {groups}")
            }
            Event::GroupsEnabled => String::from("license groups, from now on and for good"),
            Event::SettingsChanged { settings } => of_settings(settings),
            Event::GroupCreated { name, overrides, .. } => match of_overrides(overrides) {
                None => format!("group {name}"),
                Some(own) => format!("group {name}: {own}"),
            },
            Event::GroupRenamed { name, .. } => format!("group {name}"),
            Event::GroupSettingsChanged { group, overrides } => {
                let own = of_overrides(overrides);
                let own = own.unwrap_or_else(|| String::from("all as the organization's"));
                format!("group {}: {own}", self.name(group))
            }
            Event::GroupDeleted { group } => format!("group {}", self.name(group)),
            Event::SiteCreated { name, place, .. } => format!("site {name} {}", self.place(place)),
            Event::SiteMoved { site, place } => format!("site {} {}", self.name(site), self.place(place)),
            Event::SiteRenamed { name, .. } => format!("site {name}"),
            Event::SiteDeleted { site } => format!("site {}", self.name(site)),
            Event::DeviceClaimed { device, site, model, product, units, trial } => {
                let trial = trial.as_ref().map(|trial| format!(", on trial until {}", trial.ends_at));
                let (site, trial) = (self.name(site), trial.unwrap_or_default());
                format!("{device} at {site}: {model}, {units} {product}{trial}")
            }
            Event::DoorsConfigured { device, doors, units } => {
                format!("{device}: {}, consumes {}", count(*doors, "configured door"), count(*units, "unit"))
            }
            Event::UnitsCounted { units } => {
                listed(units.iter().map(|(device, units)| format!("{device} {}", count(*units, "unit"))))
            }
            Event::DeviceMoved { device, site } => format!("{device} to {}", self.name(site)),
            Event::TrialConverted { device } => format!("{device} uses licenses from now on"),
            Event::TrialEnded { device } => format!("{device}, which nobody converted"),
            Event::DeviceRetired { device, why, .. } => match why {
                Retirement::Retired => format!("{device} (retired)"),
                Retirement::Replaced { by } => format!("{device} (replaced by {by})"),
                Retirement::Stolen => format!("{device} (stolen)"),
            },
            Event::KeyClaimed { key, place, .. } => format!("{} {}", of_key(key), self.key_place(place)),
            Event::KeyPlaced { key, place } => format!("key {} {}", self.name(key), self.key_place(place)),
            Event::KeySplit { key, parts } => {
                let parts = parts
                    .each_ref()
                    .map(|part| format!("{} {}", of_key(&part.key), self.key_place(&part.place)));
                format!("key {} into {}", self.name(key), parts.join(" and "))
            }
            Event::KeyExpired { key } => format!("key {}, in no group", self.name(key)),
            Event::KeyTransferred { key, to } => format!("key {} to {to}", self.name(key)),
            Event::RenewalsActivated { group, keys } => {
                format!("group {}, {} active", self.name(group), count(*keys, "renewal"))
            }
            Event::TermEnded { group, keys } => {
                format!("group {}, {} retired", self.name(group), count(*keys, "key"))
            }
            Event::GroupAssessed { group, assessment, to_lock, .. } => {
                let findings: Vec<String> = assessment.findings.iter().map(Finding::sentence).collect();
                let verdict = match findings.as_slice() {
                    [] => String::from("is compliant"),
                    findings => format!("is NONCOMPLIANT: {}", findings.join("; ")),
                };
                let locking = match to_lock {
                    0 => String::new(),
                    devices => {
                        format!("; the operation puts {} on the way to lock", count(*devices, "device"))
                    }
                };
                format!("group {} {verdict}{locking}", self.name(group))
            }
            Event::Enrolment(event) => self.of_enrolment(event),
            Event::Safety(event) => of_safety(event),
        }
    }

    fn of_enrolment(&self, event: &EnrolmentEvent) -> String {
        match event {
            EnrolmentEvent::CodeIssued { code } => {
                let device = code.device.as_ref().map(|device| format!(", for {device} alone"));
                let (site, model) = (self.name(code.site), &code.model);
                format!("claim code {}: {model} at {site}{}", code.id, device.unwrap_or_default())
            }
            EnrolmentEvent::CodeRevoked { code } => format!("claim code {code}"),
            EnrolmentEvent::Requested { code, device, .. } => {
                format!("{device} with claim code {code}, waits for approval")
            }
            EnrolmentEvent::Denied { code } => format!("the device that came with claim code {code}"),
            EnrolmentEvent::Enrolled { code, device, .. } => format!("{device} with claim code {code}"),
            EnrolmentEvent::Preauthorised { devices } | EnrolmentEvent::PreauthorisationEnded { devices } => {
                listed(devices.iter().map(ToString::to_string))
            }
        }
    }

    fn place(&self, place: &Place) -> String {
        match place {
            Place::Root { group } => format!("in {}", self.name(group)),
            Place::Unassigned { .. } => String::from("unassigned"),
            Place::Within { parent } => format!("in site {}", self.name(parent)),
        }
    }

    fn key_place(&self, place: &KeyPlace) -> String {
        match place {
            KeyPlace::Active { group, .. } => format!("in {}", self.name(group)),
            KeyPlace::Queued { group, .. } => format!("as renewal of {}", self.name(group)),
            KeyPlace::Unassigned { .. } => String::from("unassigned"),
        }
    }
}

/// What was held, decided on or frozen (domain E6).
fn of_safety(event: &SafetyEvent) -> String {
    match event {
        SafetyEvent::Held { operation } => HeldView::of(operation).sentence,
        SafetyEvent::Approved { held, by, devices } => {
            format!("{held} by {}: {} put on the way to lock", by.name, count(*devices, "device"))
        }
        SafetyEvent::Rejected { held, by } | SafetyEvent::Withdrawn { held, by } => {
            format!("{held} by {}; nothing of it happened", by.name)
        }
        SafetyEvent::Expired { held } => format!("{held}, as nobody had decided; nothing of it happened"),
        SafetyEvent::Counted { devices } => format!("{} put on the way to lock", count(*devices, "device")),
        SafetyEvent::Frozen { by } => format!("this organization, by {}", by.name),
        SafetyEvent::Unfrozen { by, until } => thawed("this organization", &by.name, until),
    }
}

fn thawed(what: &str, by: &str, until: &Timestamp) -> String {
    format!("{what}, by {by}; what came due meanwhile comes at {until}, not before")
}

fn of_platform(event: &PlatformEvent) -> String {
    match event {
        PlatformEvent::OrganizationRegistered { name, .. } => name.to_string(),
        PlatformEvent::PriceSet { product, price } => format!("{product}: {price}"),
        PlatformEvent::ModelPut { model } => format!("{}: {} {}", model.name, model.units, model.product),
        PlatformEvent::KeyIssued { key, .. } => {
            format!(
                "{}, order {}, {}",
                of_key(key),
                key.order_number.as_str(),
                count(u64::from(key.term_days), "day")
            )
        }
        PlatformEvent::KeySplit { key, parts } => {
            format!("key {key} into {}", parts.each_ref().map(|part| of_key(&part.key)).join(" and "))
        }
        PlatformEvent::LimitsSet { limits } => of_limits(limits),
        PlatformEvent::EverythingFrozen { by } => format!("every organization, by {}", by.name),
        PlatformEvent::EverythingUnfrozen { by, until } => thawed("every organization", &by.name, until),
    }
}

/// A key by the end of its code, and what it holds.
fn of_key(key: &IssuedKey) -> String {
    let lines: Vec<String> =
        key.lines.iter().map(|line| format!("{} {}", line.quantity, line.product)).collect();
    format!("key {} ({})", key.code_tail, lines.join(", "))
}

fn of_settings(settings: &Settings) -> String {
    let Settings {
        grace_secs,
        stop_after_lock_secs,
        time_zone,
        scope,
        countdown_secs,
        door_units,
        hold_share_percent,
        hold_devices,
        lockout_pace,
    } = settings;
    let ladder = ladder(Some(*grace_secs), Some(*stop_after_lock_secs), Some(time_zone), Some(scope.name()));
    let rest = [
        format!("countdown {}", span(countdown_secs.0)),
        format!("doors count by {}", door_units.name()),
        unapproved(*hold_share_percent, *hold_devices),
    ];
    let pace = lockout_pace.map(|devices| format!("{} of a group locked a day", count(devices, "device")));
    [ladder, rest.to_vec(), pace.into_iter().collect()].concat().join(", ")
}

/// What a group has otherwise than its organization; nothing if it follows it in everything.
fn of_overrides(overrides: &Overrides) -> Option<String> {
    let Overrides { grace_secs, stop_after_lock_secs, time_zone, scope } = overrides;
    let own = ladder(*grace_secs, *stop_after_lock_secs, time_zone.as_ref(), scope.map(|scope| scope.name()));
    (!own.is_empty()).then(|| own.join(", "))
}

fn ladder(
    grace: Option<Seconds>,
    stop: Option<Seconds>,
    zone: Option<&impl Display>,
    scope: Option<&str>,
) -> Vec<String> {
    let said = [
        grace.map(|grace| format!("grace {}", span(grace.0))),
        stop.map(|stop| format!("stop {} after the lock", span(stop.0))),
        zone.map(|zone| format!("midnight of {zone}")),
        scope.map(|scope| format!("a shortfall enforced on the {scope}")),
    ];
    said.into_iter().flatten().collect()
}

fn of_limits(limits: &Limits) -> String {
    let Limits {
        grace_max_secs,
        stop_after_lock_min_secs,
        countdown_max_secs,
        trial_max_secs,
        clock_reset_secs,
        configured_doors_allowed,
        hold_share_max_percent,
        hold_devices_max,
        held_secs,
        lockout_pace_min,
    } = limits;
    let pace = lockout_pace_min.map_or_else(
        || String::from("no pace of lockouts"),
        |least| format!("{} locked a day or more", count(least, "device")),
    );
    let unapproved = unapproved(*hold_share_max_percent, *hold_devices_max);
    let doors = if *configured_doors_allowed { "may" } else { "may not" };
    format!(
        "grace at most {}, stop at least {} after the lock, countdown at most {}, trial at most {}, clocks start anew \
         after {}, doors {doors} count as configured, at most {unapproved}, held for {}, {pace}",
        span(grace_max_secs.0),
        span(stop_after_lock_min_secs.0),
        span(countdown_max_secs.0),
        span(trial_max_secs.0),
        span(clock_reset_secs.0),
        span(held_secs.0),
    )
}

/// What may be locked by one operation that nobody approves (domain E6).
fn unapproved(percent: u64, devices: u64) -> String {
    format!("{} and {percent} % put on the way to lock without approval", count(devices, "device"))
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The first of several, and how many there are beside.
fn listed(all: impl ExactSizeIterator<Item = String>) -> String {
    let more = all.len().saturating_sub(NAMED);
    let named = all.take(NAMED).collect::<Vec<_>>().join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

#[cfg(test)]
mod tests;
