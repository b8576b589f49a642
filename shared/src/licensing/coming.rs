//! The dates that lie ahead of an organization, in order: what a calendar shows.
//!
//! **Problem.** Terms end, renewals begin, countdowns run out and devices lock on dates that follow from each other; a list
//! of the present figures shows only the next of them. **Method.** What falls due is let happen on a copy, one instant
//! after the other ([`super::Command::Materialize`]), and what happened is written down. So every date is the one the books will have,
//! if nothing else happens. **Deliberately absent:** what may happen, and reminders: notices are the books' own matter.

use super::command::Command;
use super::decide::{Context, decide};
use super::device::DeviceState;
use super::event::Event;
use super::group::Group;
use super::ladders::{Ladders, of_devices};
use super::license_key::KeyPlace;
use super::organization::Organization;
use super::refusal::Refusals;
use super::settings::Limits;
use crate::enforcement::EnforcementState;
use crate::id::{GroupId, KeyId, SiteId};
use crate::platform::code::masked;
use crate::time::Timestamp;
use crate::timers::Timers;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Serialize, Serializer};

/// The most dates that one list has.
pub const COMING_MAX: usize = 1000;

/// What happens on a coming date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComingKind {
    /// The term of a group ends (domain D4).
    TermEnds,
    /// Renewals that wait begin (domain K3).
    RenewalsBegin,
    /// An unassigned key joins the default group (domain G3).
    KeyJoins,
    /// The term of an unassigned key ends (domain D5).
    KeyEnds,
    /// An unassigned site joins the default group (domain G3).
    SiteJoins,
    /// A grace period begins for other reasons than the end of a term.
    GraceBegins,
    /// Management of devices of a group locks (domain E1).
    DevicesLock,
    /// Devices of a group stop (domain E1).
    DevicesStop,
    /// A trial ends (domain G8).
    TrialEnds,
    /// Management of a device whose trial ended locks.
    TrialLocks,
    /// A device whose trial ended stops.
    TrialStops,
    /// The clocks of a group start anew: it was compliant for long enough (domain E2).
    ClocksReset,
}

impl ComingKind {
    /// All of them.
    pub const ALL: [ComingKind; 12] = [
        ComingKind::TermEnds,
        ComingKind::RenewalsBegin,
        ComingKind::KeyJoins,
        ComingKind::KeyEnds,
        ComingKind::SiteJoins,
        ComingKind::GraceBegins,
        ComingKind::DevicesLock,
        ComingKind::DevicesStop,
        ComingKind::TrialEnds,
        ComingKind::TrialLocks,
        ComingKind::TrialStops,
        ComingKind::ClocksReset,
    ];

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ComingKind::TermEnds => "term-ends",
            ComingKind::RenewalsBegin => "renewals-begin",
            ComingKind::KeyJoins => "key-joins",
            ComingKind::KeyEnds => "key-ends",
            ComingKind::SiteJoins => "site-joins",
            ComingKind::GraceBegins => "grace-begins",
            ComingKind::DevicesLock => "devices-lock",
            ComingKind::DevicesStop => "devices-stop",
            ComingKind::TrialEnds => "trial-ends",
            ComingKind::TrialLocks => "trial-locks",
            ComingKind::TrialStops => "trial-stops",
            ComingKind::ClocksReset => "clocks-reset",
        }
    }
}

impl Serialize for ComingKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A date that lies ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComingDate {
    /// The same for the same date each time it is asked for, also when it has moved: `term-ends.grp_….1`, the first
    /// of this kind for this subject.
    pub uid: String,
    /// When.
    pub at: Timestamp,
    /// What happens.
    pub kind: ComingKind,
    /// The id of the group, site, key or device.
    pub subject: String,
    /// Its name; of a key, its masked code.
    pub name: String,
    /// What happens, in a few words.
    pub summary: String,
    /// What happens, in a sentence.
    pub sentence: String,
    /// The group that it is about, if it is about one.
    pub group: Option<GroupId>,
}

/// The dates that lie ahead, if nothing else happens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coming {
    /// In order; at most [`COMING_MAX`].
    pub dates: Vec<ComingDate>,
    /// Whether there are more, all of them no earlier than the last one shown.
    pub more: bool,
}

/// A date in the making: what it is about, and in which words.
struct Found {
    at: Timestamp,
    kind: ComingKind,
    subject: String,
    name: String,
    group: Option<GroupId>,
    summary: String,
    sentence: String,
}

impl Coming {
    /// The dates of an organization after `now`, up to and with `until`.
    ///
    /// # Errors
    /// A defect of the rules, which [`Command::Materialize`] would meet too.
    pub fn of(
        organization: &Organization,
        limits: &Limits,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Coming, Refusals> {
        let at_once = |now| Context { now, limits: *limits };
        let mut books = organization.present(&at_once(now))?;
        let mut found: Vec<Found> = trials(&books, now, until);
        // Trials beyond the bound are told apart below: those shown are the earliest of all.
        let mut walked = 0_usize;
        let mut apart: Timers<GroupId> = Timers::default();
        for group in books.groups().filter(|group| is_apart(&books, group)) {
            apart.set(group.id, Ladders::of(&books, group).next_after(now).map(|step| step.at));
        }
        let next = |books: &Organization, apart: &Timers<GroupId>| {
            books.next_due().into_iter().chain(apart.next()).min().filter(|at| *at <= until)
        };
        while let Some(at) = next(&books, &apart).filter(|_| walked <= COMING_MAX) {
            let decision = decide(&books, &Command::Materialize, &at_once(at))?;
            let before = found.len();
            for dated in &decision.events {
                found.extend(happens(&decision.after, &dated.event, dated.at));
            }
            let stepping: BTreeSet<GroupId> =
                decision.touched.groups.iter().copied().chain(apart.due(at)).collect();
            for id in stepping {
                let ended = found
                    .iter()
                    .skip(before)
                    .any(|one| one.kind == ComingKind::TermEnds && one.group == Some(id));
                let next = decision.after.group(id).and_then(|group| {
                    let ladders = Ladders::of(&decision.after, group);
                    found.extend(steps(&ladders, group, at, ended));
                    found.extend(reset(&books, group, at));
                    ladders.next_after(at).filter(|_| is_apart(&decision.after, group))
                });
                apart.set(id, next.map(|step| step.at));
            }
            walked = walked.saturating_add(found.len().saturating_sub(before));
            books = decision.after;
        }
        let complete_until = next(&books, &apart);
        // What lies after the first instant that was not walked to is not known in full.
        let known = |one: &Found| complete_until.is_none_or(|end| one.at < end);
        let mut more = complete_until.is_some();
        found.retain(known);
        found.sort_by(|a, b| (a.at, a.kind, &a.subject).cmp(&(b.at, b.kind, &b.subject)));
        more |= found.len() > COMING_MAX;
        found.truncate(COMING_MAX);
        let mut nth: BTreeMap<(ComingKind, String), u64> = BTreeMap::new();
        let dates = found.into_iter().map(|one| {
            let nth = nth.entry((one.kind, one.subject.clone())).or_default();
            *nth = nth.saturating_add(1);
            ComingDate {
                uid: format!("{}.{}.{nth}", one.kind.name(), one.subject),
                at: one.at,
                kind: one.kind,
                subject: one.subject,
                name: one.name,
                summary: one.summary,
                sentence: one.sentence,
                group: one.group,
            }
        });
        Ok(Coming { dates: dates.collect(), more })
    }
}

fn of_group(group: &Group, at: Timestamp, kind: ComingKind, summary: String, sentence: String) -> Found {
    let (subject, name) = (group.id.to_string(), group.name.to_string());
    Found { at, kind, subject, name, group: Some(group.id), summary, sentence }
}

/// What an event that falls due is, on a calendar.
fn happens(after: &Organization, event: &Event, at: Timestamp) -> Option<Found> {
    if let Event::TermEnded { group, keys } = event {
        let group = after.group(*group)?;
        let name = &group.name;
        let sentence = format!("The term of {name} ends: its {} retire together.", many(*keys, "active key"));
        return Some(of_group(group, at, ComingKind::TermEnds, format!("The term of {name} ends"), sentence));
    }
    if let Event::RenewalsActivated { group, keys } = event {
        let group = after.group(*group)?;
        let name = &group.name;
        let until = group.figures.term.coterm_at().map(|at| format!(", until {at}")).unwrap_or_default();
        let sentence = format!("{} of {name} begin{until}.", many(*keys, "waiting renewal"));
        return Some(of_group(group, at, ComingKind::RenewalsBegin, format!("{name} is renewed"), sentence));
    }
    if let Event::KeyPlaced { key, place: KeyPlace::Active { group, .. } } = event {
        return of_key(after, *key, Some(*group), at);
    }
    if let Event::KeyExpired { key } = event {
        return of_key(after, *key, None, at);
    }
    if let Event::SiteMoved { site, .. } = event {
        return of_site(after, *site, at);
    }
    None
}

fn of_key(after: &Organization, key: KeyId, joins: Option<GroupId>, at: Timestamp) -> Option<Found> {
    let code = masked(&after.key(key)?.issued.code_tail);
    let (kind, summary, sentence) = match joins.and_then(|id| after.group(id)) {
        Some(group) => (
            ComingKind::KeyJoins,
            format!("License key {code} joins {}", group.name),
            format!("The countdown of the unassigned license key {code} ends: it joins {}.", group.name),
        ),
        None => (
            ComingKind::KeyEnds,
            format!("License key {code} ends"),
            format!("The term of the license key {code} ends, unassigned: it is of no use any more."),
        ),
    };
    Some(Found { at, kind, subject: key.to_string(), name: code, group: joins, summary, sentence })
}

fn of_site(after: &Organization, site: SiteId, at: Timestamp) -> Option<Found> {
    let name = after.site(site)?.name.to_string();
    let group = after.group_of_site(site).and_then(|id| after.group(id))?;
    let devices: usize = after.site_tree(site).map(|site| site.devices().count()).sum();
    let devices = u64::try_from(devices).unwrap_or(u64::MAX);
    Some(Found {
        at,
        kind: ComingKind::SiteJoins,
        subject: site.to_string(),
        summary: format!("Site {name} joins {}", group.name),
        sentence: format!(
            "The countdown of the unassigned site {name} ends: it joins {} with {}.",
            group.name,
            many(devices, "device")
        ),
        name,
        group: Some(group.id),
    })
}

/// Whether devices of a group may follow another clock than its own, whose next step alone is a date of the books. While it is
/// compliant nothing comes before that date, and then it is judged.
fn is_apart(books: &Organization, group: &Group) -> bool {
    !group.assessment.is_compliant() && !Ladders::are_alike(books, group)
}

/// The steps that the ladders of a group's devices reach at `at`.
fn steps(ladders: &Ladders, group: &Group, at: Timestamp, term_ended: bool) -> Vec<Found> {
    let (all, name) = (group.figures.active_devices, &group.name);
    let steps = ladders.steps().into_iter().filter(|step| step.at == at);
    let found = steps.filter_map(|step| match step.state {
        EnforcementState::Licensed => None,
        // The end of the term says so already.
        EnforcementState::Grace if term_ended => None,
        EnforcementState::Grace => {
            let sentence = format!(
                "{name} is not compliant any more: a grace period begins for {} of {all} devices.",
                step.devices
            );
            Some(of_group(group, at, ComingKind::GraceBegins, format!("Grace begins in {name}"), sentence))
        }
        EnforcementState::ManagementLocked => {
            let whose = of_devices(step.devices, all, "is locked", "are locked");
            let sentence = format!("{name}: management of {whose}; people are kept out.");
            Some(of_group(group, at, ComingKind::DevicesLock, format!("Devices of {name} lock"), sentence))
        }
        EnforcementState::Stopped => {
            let sentence = format!(
                "{name}: {}, as far as their class allows.",
                of_devices(step.devices, all, "stops", "stop")
            );
            Some(of_group(group, at, ComingKind::DevicesStop, format!("Devices of {name} stop"), sentence))
        }
    });
    found.collect()
}

/// The clocks of a group start anew at `at` (domain E2).
fn reset(before: &Organization, group: &Group, at: Timestamp) -> Option<Found> {
    let was = &before.group(group.id)?.assessment;
    let due = was.clocks_reset_at == Some(at) && group.assessment.clocks.is_fresh();
    let name = &group.name;
    let sentence = format!("{name} was compliant for long enough: its whole grace is restored.");
    due.then(|| {
        of_group(group, at, ComingKind::ClocksReset, format!("Clocks of {name} start anew"), sentence)
    })
}

/// The ends of trials, and the ladders that begin with them.
fn trials(books: &Organization, now: Timestamp, until: Timestamp) -> Vec<Found> {
    let mut found = Vec::new();
    if books.trial_devices() == 0 {
        return found;
    }
    for device in books.devices() {
        let DeviceState::Trial(trial) = &device.state else { continue };
        let (id, group) = (&device.id, books.group_of_site(device.site));
        for (at, kind, what) in [
            (Some(trial.ends_at), ComingKind::TrialEnds, "the trial ends; its own ladder begins"),
            (trial.schedule.lock_at, ComingKind::TrialLocks, "management locks, after its trial"),
            (trial.schedule.stop_at, ComingKind::TrialStops, "stops, after its trial"),
        ] {
            let Some(at) = at.filter(|at| *at > now && *at <= until) else { continue };
            let summary = format!("Device {id}: {what}");
            let sentence = format!("{summary}.");
            let (subject, name) = (id.to_string(), id.to_string());
            found.push(Found { at, kind, subject, name, group, summary, sentence });
        }
    }
    found
}

/// `1 key`, `12 keys`.
fn many(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
