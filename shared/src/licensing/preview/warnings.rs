//! What a person should know before a change, in words, the gravest first.
//!
//! A warning never refuses anything: what must not happen is refused by the rules. Each has a stable code for programs
//! and a sentence that names the group, the date and the number.

use super::changes;
use crate::enforcement::{EnforcementState, Schedule};
use crate::finding::Finding;
use crate::id::GroupId;
use crate::licensing::compliance::{Carried, Holder, Term};
use crate::licensing::device::DeviceState;
use crate::licensing::draft::Decision;
use crate::licensing::event::Event;
use crate::licensing::explain::{Direction, Distance, days, distance, duration, missing, units};
use crate::licensing::group::Group;
use crate::licensing::ladders::{Ladders, earliest_of, name_of};
use crate::licensing::license_key::{KeyState, LicenseKey};
use crate::licensing::organization::Organization;
use crate::licensing::planner::moved;
use crate::licensing::site::Place;
use crate::time::Timestamp;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::Serialize;

/// What a warning is about: a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WarningCode {
    /// It would not be done but wait until the vendor approves it (domain E6).
    OperationHeld,
    /// It was held, and puts many devices on the way to lock (domain E6).
    ManyDevicesLock,
    /// A group becomes noncompliant (domain C1).
    BecomesNoncompliant,
    /// Devices of a noncompliant group are put on another ladder: in grace, locked or stopped (domain E1).
    DevicesEnforced,
    /// A device has no license any more: its management locks, and later it stops (domain G10).
    DeviceRetired,
    /// A group's date moves to an earlier instant (domain D8).
    DateEarlier,
    /// A group loses its date: it has no key any more (domain K6).
    DateRemoved,
    /// The renewals that wait grant less than is in use (domain K3).
    RenewalTooSmall,
    /// What was to wait as a renewal is active at once, and burns: there is no term to wait for (domain K3, K4).
    RenewalActivatesNow,
    /// A site moves and its licenses stay (domain G4).
    LicensesStay,
    /// A license goes along with what moves (domain G4).
    LicensesGoAlong,
    /// What moves carries the clocks of its old group (domain E2).
    ClocksCarried,
    /// A key goes to Unassigned, where its term runs on (domain G3).
    KeyUnassigned,
    /// A key leaves for another organization (domain K7, K8).
    KeyLeaves,
    /// A site is in no group and not enforced until it joins one (domain G3).
    SiteUnassigned,
    /// A group is and stays noncompliant.
    StaysNoncompliant,
    /// A group becomes compliant.
    BecomesCompliant,
    /// A group gets a date.
    DateSet,
    /// A group's date moves to a later instant (domain D8).
    DateLater,
    /// No date, no capacity and no verdict changes.
    NothingChanges,
}

/// A warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What it is about.
    pub code: WarningCode,
    /// The group it is about, if it is about one.
    pub group: Option<GroupId>,
    /// It in a sentence.
    pub sentence: String,
}

/// All warnings, the gravest first.
pub(super) fn warnings(decision: &Decision, now: Timestamp) -> Vec<Warning> {
    let mut all = All { decision, now, warnings: Vec::new() };
    for id in &decision.touched.groups {
        if let Some(after) = decision.after.group(*id) {
            all.group(decision.base.group(*id), after);
        }
    }
    all.lockout();
    if all.licenses_go_along() {
        all.along();
    }
    all.sites();
    all.devices();
    all.keys();
    if all.warnings.is_empty() && !figures_change(decision) {
        let sentence = String::from("No group's date, capacity or verdict changes.");
        all.warnings.push(Warning { code: WarningCode::NothingChanges, group: None, sentence });
    }
    all.warnings.sort_by_key(|warning| warning.code);
    all.warnings
}

fn figures_change(decision: &Decision) -> bool {
    let (base, after) = (&decision.base, &decision.after);
    decision.touched.groups.iter().any(|id| {
        base.group(*id).map(|group| (&group.figures, &group.assessment))
            != after.group(*id).map(|group| (&group.figures, &group.assessment))
    })
}

/// The most different ladders of one group that are said one by one.
const LADDERS_SAID: usize = 5;

/// The most arrivals with clocks of their own that are said one by one.
const ARRIVALS_SAID: usize = 20;

struct All<'a> {
    decision: &'a Decision,
    now: Timestamp,
    warnings: Vec<Warning>,
}

impl All<'_> {
    fn say(&mut self, code: WarningCode, group: Option<GroupId>, sentence: String) {
        self.warnings.push(Warning { code, group, sentence });
    }

    fn lockout(&mut self) {
        let lockout = &self.decision.lockout;
        let (devices, of) = (lockout.devices, lockout.of);
        if lockout.needs_approval() {
            let lately = match lockout.lately {
                0 => String::new(),
                lately => format!(" ({lately} others were put there within a day)"),
            };
            let text = format!(
                "This would be HELD: it puts {devices} of {of} devices newly on the way to lock{lately}, more than {} and than \
                 {} %. Nothing of it happens until somebody of the vendor, other than who asks, approves it.",
                lockout.devices_allowed, lockout.share_allowed_percent
            );
            self.say(WarningCode::OperationHeld, None, text);
        } else if lockout.approved {
            let text = format!("{devices} of {of} devices are put on the way to lock.");
            self.say(WarningCode::ManyDevicesLock, None, text);
        }
    }

    fn group(&mut self, before: Option<&Group>, after: &Group) {
        self.date(before, after);
        let was = before.is_none_or(|group| group.assessment.is_compliant());
        let (is, name) = (after.assessment.is_compliant(), after.name.to_string());
        let why = || after.assessment.findings.iter().map(Finding::sentence).collect::<Vec<_>>().join("; ");
        match (was, is) {
            (true, true) => {}
            (true, false) => {
                let text = format!("{name} becomes NONCOMPLIANT: {}.", why());
                self.say(WarningCode::BecomesNoncompliant, Some(after.id), text);
            }
            (false, false) => {
                let text =
                    format!("{name} stays noncompliant: {}; {} missing.", why(), units(&missing(after)));
                self.say(WarningCode::StaysNoncompliant, Some(after.id), text);
            }
            (false, true) => {
                let text = format!("{name} becomes compliant: its devices work in full at once.");
                self.say(WarningCode::BecomesCompliant, Some(after.id), text);
            }
        }
        if !is {
            let old = before.map(|group| Ladders::of(&self.decision.base, group));
            let new = Ladders::of(&self.decision.after, after);
            if old.map(|old| old.counted).as_ref() != Some(&new.counted) {
                for text in enforced(after, &new, self.now) {
                    self.say(WarningCode::DevicesEnforced, Some(after.id), text);
                }
            }
        }
        self.renewal(after);
        if self.decision.touched.renewals_at_once.contains(&after.id) {
            let text = format!(
                "{} has no term that runs, so the renewal has nothing to wait for: it is active AT ONCE, its term \
                 running.",
                after.name
            );
            self.say(WarningCode::RenewalActivatesNow, Some(after.id), text);
        }
        self.carried(before, after);
    }

    fn date(&mut self, before: Option<&Group>, after: &Group) {
        let old = before.and_then(|group| group.figures.term.coterm());
        let new = after.figures.term.coterm();
        let Some(Distance { direction, days: shown, .. }) = distance(old, new) else { return };
        let name = &after.name;
        let by = if shown == 0 { String::from("less than a day") } else { days(shown) };
        let at = |instant: Option<crate::licensing::coterm::ExactInstant>| {
            instant.map(|instant| instant.floor().to_string()).unwrap_or_default()
        };
        let (from, to) = (at(old), at(new));
        let (code, text) = match direction {
            Direction::Set => (
                WarningCode::DateSet,
                format!("{name} gets its date: all its licenses end together at {to}."),
            ),
            Direction::Later => {
                (WarningCode::DateLater, format!("{name} ends {by} LATER: at {to} instead of {from}."))
            }
            Direction::Earlier => {
                (WarningCode::DateEarlier, format!("{name} ends {by} EARLIER: at {to} instead of {from}."))
            }
            Direction::Removed => (
                WarningCode::DateRemoved,
                format!("{name} loses its date, which was {from}: it has no license key any more."),
            ),
        };
        self.say(code, Some(after.id), text);
    }

    fn renewal(&mut self, after: &Group) {
        let Some(renewal) = &after.figures.renewal else { return };
        let ends_at = match after.figures.term {
            Term::Running { coterm } => coterm.floor(),
            Term::NeverLicensed | Term::Ended { .. } | Term::Emptied => return,
        };
        for finding in after.figures.shortfalls(&renewal.capacity) {
            if let Finding::OverCapacity { product, shortfall } = finding {
                let text = format!(
                    "The renewals of {} are too small: on {ends_at}, {shortfall} {product} units will be missing.",
                    after.name
                );
                self.say(WarningCode::RenewalTooSmall, Some(after.id), text);
            }
        }
    }

    fn carried(&mut self, before: Option<&Group>, after: &Group) {
        let known =
            |holder: &Holder| before.is_some_and(|group| group.assessment.carried_by(holder).is_some());
        // Clocks that say what the group's own say need no mention.
        let own = after.assessment.clocks;
        let mut new = after.assessment.carried.iter().filter(|c| !known(&c.holder) && c.clocks != own);
        for carried in new.by_ref().take(ARRIVALS_SAID) {
            let text = arrival(&self.decision.after, carried, after, self.now);
            self.say(WarningCode::ClocksCarried, Some(after.id), text);
        }
        let more = new.count();
        if more > 0 {
            let text =
                format!("{more} more sites and devices carry clocks of their own into {}.", after.name);
            self.say(WarningCode::ClocksCarried, Some(after.id), text);
        }
    }

    /// A key by its code; the part of a split, which has no code before it is made, by what it licenses (domain K7).
    fn what(&self, change: &changes::KeyChange) -> String {
        let is_part = self.decision.own_events().any(|dated| {
            matches!(&dated.event, Event::KeySplit { parts, .. } if parts.iter().any(|part| part.key.id == change.key))
        });
        if is_part { format!("The part with {}", licensed(change)) } else { format!("Key {}", change.code) }
    }

    fn sites(&mut self) {
        for site in changes::sites(self.decision) {
            if let Some(Place::Unassigned { joins_at, .. }) = site.after {
                let text = format!(
                    "Site {} is in no group: its devices are not enforced until {joins_at}, when it joins {}.",
                    site.name,
                    default_group(&self.decision.after)
                );
                self.say(WarningCode::SiteUnassigned, None, text);
            }
            let left = site.from.filter(|from| site.to.is_some_and(|to| to != *from));
            let left = left.filter(|_| !self.licenses_go_along());
            if let Some(left) = left.and_then(|id| self.decision.after.group(id)) {
                let text = format!(
                    "Site {} moves with its {} devices but without licenses: those stay in {}.",
                    site.name, site.devices, left.name
                );
                self.say(WarningCode::LicensesStay, Some(left.id), text);
            }
        }
    }

    fn licenses_go_along(&self) -> bool {
        self.decision.touched.licenses_along.is_some() && !changes::keys(self.decision).is_empty()
    }

    /// The licenses that go along, key by key (domain G4).
    fn along(&mut self) {
        let to = moved(self.decision).and_then(|(_, to)| self.decision.after.group(to));
        let Some(group) = to else { return };
        let mut sentences = Vec::new();
        for change in changes::keys(self.decision) {
            let lines = |key: &LicenseKey| key.issued.lines.iter().map(|l| (l.product, l.quantity)).collect();
            match (&change.before, &change.after) {
                (Some(_), Some(KeyState::Active { .. })) => {
                    let goes = change.lines.iter().map(|line| (line.product, line.quantity)).collect();
                    let stays = super::Units::new();
                    sentences.push(super::proposal::sentence(
                        &change.code,
                        &goes,
                        &stays,
                        group.name.as_str(),
                    ));
                }
                (Some(_), Some(KeyState::Split { children: [goes, stays] })) => {
                    let (goes, stays) = (self.decision.after.key(*goes), self.decision.after.key(*stays));
                    let (goes, stays) = (goes.map(lines), stays.map(lines));
                    sentences.push(super::proposal::sentence(
                        &change.code,
                        &goes.unwrap_or_default(),
                        &stays.unwrap_or_default(),
                        group.name.as_str(),
                    ));
                }
                (
                    Some(_) | None,
                    Some(
                        KeyState::Active { .. }
                        | KeyState::Queued { .. }
                        | KeyState::Unassigned { .. }
                        | KeyState::Retired { .. }
                        | KeyState::Split { .. }
                        | KeyState::Transferred { .. },
                    )
                    | None,
                ) => {}
            }
        }
        let id = group.id;
        for sentence in sentences {
            self.say(WarningCode::LicensesGoAlong, Some(id), sentence);
        }
        if self.decision.touched.licenses_along == Some(false) {
            let sentence = String::from(
                "It is not proven that no fewer licenses would do: there were too many ways to try them all.",
            );
            self.say(WarningCode::LicensesGoAlong, Some(id), sentence);
        }
    }

    fn devices(&mut self) {
        let after = &self.decision.after;
        let retired = changes::devices(self.decision).into_iter().filter_map(|change| {
            let was_so = matches!(change.before, Some(DeviceState::Retired { .. }));
            let wanted = after.wanted(&change.device)?;
            (wanted.is_farewell() && !was_so).then_some((change.device, wanted.schedule.stop_at?))
        });
        for (device, stop_at) in retired.collect::<Vec<_>>() {
            let text = format!(
                "Device {device} has no license from now on: its management locks when it hears of it, and it stops at \
                 {stop_at}."
            );
            self.say(WarningCode::DeviceRetired, None, text);
        }
    }

    fn keys(&mut self) {
        for change in changes::keys(self.decision) {
            match change.after {
                Some(KeyState::Unassigned { joins_at, .. }) => {
                    let Some(key) = self.decision.after.key(change.key) else { continue };
                    let text = unassigned(&self.decision.after, key, joins_at, &self.what(&change));
                    self.say(WarningCode::KeyUnassigned, None, text);
                }
                Some(KeyState::Transferred { .. }) => {
                    let what = match change.before {
                        None => self.what(&change),
                        Some(_) => format!("{} with {}", self.what(&change), licensed(&change)),
                    };
                    let text = format!("{what} leaves this organization for another one.");
                    self.say(WarningCode::KeyLeaves, None, text);
                }
                Some(
                    KeyState::Active { .. }
                    | KeyState::Queued { .. }
                    | KeyState::Retired { .. }
                    | KeyState::Split { .. },
                )
                | None => {}
            }
        }
    }
}

/// What a key licenses, in words.
fn licensed(change: &changes::KeyChange) -> String {
    units(&change.lines.iter().map(|line| (line.product, line.quantity)).collect())
}

fn default_group(organization: &Organization) -> String {
    organization.group(organization.default_group()).map(|group| group.name.to_string()).unwrap_or_default()
}

fn unassigned(organization: &Organization, key: &LicenseKey, joins_at: Timestamp, what: &str) -> String {
    if key.ends_at <= joins_at {
        return format!("{what} goes to Unassigned, where its term runs on and ends at {}.", key.ends_at);
    }
    let group = default_group(organization);
    format!("{what} goes to Unassigned, where its term runs on; it joins {group} at {joins_at}.")
}

/// What the ladder does to the devices of a noncompliant group: those with the same dates together, the earliest first,
/// each counted with its own dates (domain C3, E2).
fn enforced(group: &Group, ladders: &Ladders, now: Timestamp) -> Vec<String> {
    let one = |schedule: Schedule, count: u64| {
        let whose = match count {
            1 => format!("1 device of {}", group.name),
            count => format!("{count} devices of {}", group.name),
        };
        let locks = announced(schedule.lock_at, "management locks", now);
        let stops = announced(schedule.stop_at, "full stop", now);
        match schedule.state_at(now) {
            EnforcementState::Licensed | EnforcementState::Grace => {
                format!("{whose} in grace: everything works on; {locks}; {stops}.")
            }
            EnforcementState::ManagementLocked => format!("{whose} management-locked AT ONCE; {stops}."),
            EnforcementState::Stopped => format!("{whose} stopped AT ONCE."),
        }
    };
    let mut begun = ladders.begun_at(now);
    let mut said: Vec<String> =
        begun.by_ref().take(LADDERS_SAID).map(|(schedule, count)| one(schedule, count)).collect();
    let rest = begun.reduce(|(earliest, all), (schedule, count)| {
        (earliest.earliest(schedule), all.saturating_add(count))
    });
    said.extend(rest.map(|(schedule, count)| {
        let locks = announced(schedule.lock_at, "management of the first of them locks", now);
        let stops = announced(schedule.stop_at, "the first full stop", now);
        format!("{count} more devices of {} follow: {locks}; {stops}.", group.name)
    }));
    said
}

fn announced(at: Option<Timestamp>, what: &str, now: Timestamp) -> String {
    match at {
        Some(at) => format!("{what} at {at} (in {})", duration(at.since(now))),
        None => format!("{what} never"),
    }
}

/// Whose clocks came along, and what they leave.
fn arrival(organization: &Organization, carried: &Carried, group: &Group, now: Timestamp) -> String {
    let who = carried.holder.title(&name_of(organization, &carried.holder));
    let earliest = earliest_of(organization, &carried.holder).unwrap_or(Schedule::NEVER);
    let then = match earliest.lock_at {
        Some(at) if at <= now => String::from("in the new group it is locked at once"),
        Some(at) => {
            format!("by them it locks at {at} at the latest if {} does not stay compliant", group.name)
        }
        None => String::from("a fault of the new group finds only what is left of its grace"),
    };
    format!("{who} carries the clocks of its old group along: {then}.")
}
