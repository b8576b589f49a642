//! What people have to be told about an organization, before and when it hurts (domain N1, N2, G3, K3, E6).
//!
//! **Problem.** A mail too many teaches people to read none, and one too few stops a door; and the daemon that sends them
//! may be down for days. **Method.** Level-triggered: [`notices`] is a pure function of the organization at an instant and
//! of what was told before. A date is told at its closest threshold that has passed, so who looks late tells what is still
//! true, once. What was told is remembered as one [`Mark`] for each [`Topic`]: a date that moves by less than a day is the
//! same date, one that moves more is told anew; a group is told to be compliant only after it was told not to be.
//! [`Wakes`] knows when to look again and at which groups, so nobody is looked at whose dates are far. [`still_true`] is
//! asked once more before a notice leaves the house. **Deliberately absent:** who is told, by which way, and the memory
//! itself.

mod facts;
mod group;
mod held;
mod items;
mod key;
mod kind;
mod lockouts;
mod wake;

pub use facts::{KeyWaiting, NoticeFacts, SiteWaiting, TrialEnding};
pub use key::key_issued;
pub use kind::NoticeKind;
use kind::{SOON, TERM};
pub use lockouts::{LockoutDays, Paced};
pub use wake::Wakes;

use super::organization::Organization;
use super::{Event, KeyPlace, SafetyEvent};
use crate::id::{DeviceId, GroupId, HeldId, KeyId, SiteId};
use crate::time::{DAY_SECS, Seconds, Timestamp};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A date that moved by less than this is the same date.
const SAME_DATE: Seconds = Seconds(DAY_SECS);
/// The most keys, sites or devices that are named in one notice; the rest is counted.
pub const NAMED_MAX: usize = 20;

/// What is remembered to have been told, one thing each: the term of a group, the countdown of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(String);

impl Topic {
    fn of(subject: impl fmt::Display, what: &str) -> Topic {
        Topic(format!("{subject}/{what}"))
    }

    /// Its text, unique within the organization.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What was last told of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Which notice.
    pub kind: NoticeKind,
    /// At which threshold, in days; `None` if it has none.
    pub days: Option<u32>,
    /// The date it was about.
    pub about: Timestamp,
    /// When the last freeze before it had ended, if it is about a step of the ladder: what was told before a freeze is told
    /// anew after it, on whatever date (domain E6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thawed_at: Option<Timestamp>,
}

impl Mark {
    /// That `kind` was told, about this date, where a freeze makes no difference.
    const fn new(kind: NoticeKind, days: Option<u32>, about: Timestamp) -> Mark {
        Mark { kind, days, about, thawed_at: None }
    }

    /// Whether telling `self` would tell again what `told` told: the same date, at the same or a closer threshold.
    fn repeats(&self, told: &Mark) -> bool {
        let same = self.kind == told.kind && self.thawed_at == told.thawed_at;
        same && is_same_date(self.about, told.about) && self.days >= told.days
    }
}

/// A key, site, device or held operation that a notice names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Item {
    /// A key.
    Key(KeyId),
    /// A site.
    Site(SiteId),
    /// A device.
    Device(DeviceId),
    /// An operation that waits for the vendor, or did.
    Held(HeldId),
}

/// What must be known of a notice to say whether it is still true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeHead {
    /// What it is about.
    pub kind: NoticeKind,
    /// The group, if it is about one.
    pub group: Option<GroupId>,
    /// The threshold that passed, in days before the date.
    pub days: Option<u32>,
    /// The date it is about: ahead, or since when it is so.
    pub about: Timestamp,
    /// The keys, sites, devices and held operations it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is, and about what.
    pub head: NoticeHead,
    /// The whole in a line.
    pub title: String,
    /// The whole for people, sentence by sentence.
    pub text: Vec<String>,
    /// The whole for programs.
    pub facts: NoticeFacts,
    /// What is to be remembered when it is told.
    pub marks: Vec<(Topic, Mark)>,
}

/// Whose notices are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// Everything: for whoever has not looked yet.
    Everything,
    /// What a change touched, and whose time has come ([`Wakes::due`]).
    Changed(Changed),
}

impl About {
    /// The same, where a change of every date is everything.
    fn widened(&self) -> &About {
        match self {
            About::Changed(changed) if changed.everything => &About::Everything,
            About::Everything | About::Changed(_) => self,
        }
    }
}

/// What a change touched, as far as notices go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Groups that were judged anew.
    pub groups: BTreeSet<GroupId>,
    /// Keys that were put somewhere.
    pub keys: BTreeSet<KeyId>,
    /// Sites that were put somewhere.
    pub sites: BTreeSet<SiteId>,
    /// Devices that came with a trial.
    pub devices: BTreeSet<DeviceId>,
    /// Operations that began to wait for the vendor, or wait no longer (domain E6).
    pub held: BTreeSet<HeldId>,
    /// Nothing of it: time has come to where something may be told of keys, sites and trials (domain G3, G8).
    pub dates: bool,
    /// A freeze began or ended, which moves every date (domain E6).
    pub everything: bool,
}

impl Changed {
    /// Whether nothing was touched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let none = self.groups.is_empty() && self.keys.is_empty() && self.sites.is_empty();
        none && self.devices.is_empty() && self.held.is_empty() && !self.dates && !self.everything
    }

    /// Adds what other events touched.
    pub fn extend(&mut self, other: Changed) {
        let Changed { groups, keys, sites, devices, dates, everything, held } = other;
        self.groups.extend(groups);
        self.keys.extend(keys);
        self.sites.extend(sites);
        self.devices.extend(devices);
        self.dates |= dates;
        self.everything |= everything;
        self.held.extend(held);
    }

    /// Adds what an event touched.
    pub fn add(&mut self, event: &Event) {
        match event {
            Event::GroupAssessed { group, .. } => {
                self.groups.insert(*group);
            }
            Event::KeyClaimed { key, place: KeyPlace::Unassigned { .. }, .. } => {
                self.keys.insert(key.id);
            }
            Event::KeyPlaced { key, place: KeyPlace::Unassigned { .. } } => {
                self.keys.insert(*key);
            }
            Event::KeySplit { parts, .. } => self.keys.extend(parts.iter().map(|part| part.key.id)),
            Event::SiteCreated { site, .. } | Event::SiteMoved { site, .. } => {
                self.sites.insert(*site);
            }
            Event::DeviceClaimed { device, trial: Some(_), .. } => {
                self.devices.insert(device.clone());
            }
            Event::Safety(SafetyEvent::Frozen { .. } | SafetyEvent::Unfrozen { .. }) => {
                self.everything = true
            }
            Event::Safety(SafetyEvent::Held { operation }) => {
                self.held.insert(operation.id);
            }
            Event::Safety(
                SafetyEvent::Approved { held, .. }
                | SafetyEvent::Rejected { held, .. }
                | SafetyEvent::Withdrawn { held, .. }
                | SafetyEvent::Expired { held },
            ) => {
                self.held.insert(*held);
            }
            Event::OrganizationFounded { .. }
            | Event::Safety(SafetyEvent::Counted { .. })
            | Event::GroupsEnabled
            | Event::SettingsChanged { .. }
            | Event::GroupCreated { .. }
            | Event::GroupRenamed { .. }
            | Event::GroupSettingsChanged { .. }
            | Event::GroupDeleted { .. }
            | Event::SiteRenamed { .. }
            | Event::SiteDeleted { .. }
            | Event::DeviceClaimed { trial: None, .. }
            | Event::DoorsConfigured { .. }
            | Event::UnitsCounted { .. }
            | Event::DeviceMoved { .. }
            | Event::TrialConverted { .. }
            | Event::TrialEnded { .. }
            | Event::DeviceRetired { .. }
            | Event::KeyClaimed { .. }
            | Event::KeyPlaced { .. }
            | Event::KeyExpired { .. }
            | Event::KeyTransferred { .. }
            | Event::RenewalsActivated { .. }
            | Event::TermEnded { .. }
            | Event::Enrolment(_) => {}
        }
    }
}

/// What is to be told of `organization` at `now` and was not told yet (domain N1, N2, G3, K3, E6).
///
/// `told` is the memory: what was last told of a topic. Whoever tells a notice remembers its marks with it.
///
/// # Errors
/// What `told` fails with.
pub fn notices<E>(
    organization: &Organization,
    now: Timestamp,
    about: &About,
    mut told: impl FnMut(&Topic) -> Result<Option<Mark>, E>,
) -> Result<Vec<Notice>, E> {
    let mut found = Vec::new();
    let about = about.widened();
    match about {
        About::Everything => {
            for one in organization.groups() {
                group::look(organization, one, now, &mut told, &mut found)?;
            }
        }
        About::Changed(changed) => {
            for one in changed.groups.iter().filter_map(|id| organization.group(*id)) {
                group::look(organization, one, now, &mut told, &mut found)?;
            }
        }
    }
    items::look(organization, now, about, &mut told, &mut found)?;
    held::look(organization, about, &mut told, &mut found)?;
    Ok(found)
}

/// Whether what a notice says is still so at `now`, and no closer threshold has passed (domain N2): if not, it is not sent.
#[must_use]
pub fn still_true(organization: &Organization, notice: &NoticeHead, now: Timestamp) -> bool {
    match notice.kind {
        NoticeKind::Test | NoticeKind::KeyIssued => true,
        NoticeKind::TermEnds
        | NoticeKind::RenewalTooSmall
        | NoticeKind::Noncompliant
        | NoticeKind::Compliant
        | NoticeKind::LockAhead
        | NoticeKind::StopAhead => {
            let group = notice.group.and_then(|id| organization.group(id));
            group.is_some_and(|group| group::still_true(organization, group, notice, now))
        }
        NoticeKind::CountdownEnds | NoticeKind::TrialEnds => items::still_true(organization, notice, now),
        NoticeKind::OperationHeld => held::waits(organization, notice),
        NoticeKind::HeldOperationClosed => !held::waits(organization, notice),
    }
}

/// Whether a mark can keep nothing from being told twice any more, so that it may be forgotten.
///
/// A date that has passed by a day is never told again, whatever it was of; a group that was told to be compliant is as
/// one nothing was told of. A topic that this program does not know is kept.
#[must_use]
pub fn is_mark_over(organization: &Organization, topic: &str, mark: &Mark, now: Timestamp) -> bool {
    let Some((subject, _)) = topic.rsplit_once('/') else { return false };
    match mark.kind {
        NoticeKind::TermEnds
        | NoticeKind::RenewalTooSmall
        | NoticeKind::LockAhead
        | NoticeKind::StopAhead
        | NoticeKind::CountdownEnds
        | NoticeKind::TrialEnds => mark.about.saturating_add(SAME_DATE) <= now,
        NoticeKind::Noncompliant => {
            subject.parse().is_ok_and(|group: GroupId| organization.group(group).is_none())
        }
        NoticeKind::OperationHeld => {
            subject.parse().is_ok_and(|held: HeldId| organization.held_operation(held).is_none())
        }
        NoticeKind::HeldOperationClosed => subject.parse().is_ok_and(|held: HeldId| {
            !organization.held_operation(held).is_some_and(super::HeldOperation::waits)
        }),
        NoticeKind::Compliant | NoticeKind::KeyIssued | NoticeKind::Test => true,
    }
}

/// A notice with which an operator tries whether notices of whoever has this name arrive.
#[must_use]
pub fn test_notice(name: &str, now: Timestamp) -> Notice {
    let head = NoticeHead { kind: NoticeKind::Test, group: None, days: None, about: now, items: Vec::new() };
    Notice {
        head,
        title: format!("{name}: a test"),
        text: Vec::from([String::from("Somebody tried whether notices arrive here. Nothing else happened.")]),
        facts: NoticeFacts::Nothing {},
        marks: Vec::new(),
    }
}

/// The closest threshold before `at` that has passed at `now`; none after it.
fn passed(kind: NoticeKind, at: Timestamp, now: Timestamp) -> Option<u32> {
    if at <= now {
        return None;
    }
    let has_passed = |days: &u32| begins(at, *days) <= now;
    kind.thresholds().iter().copied().filter(has_passed).min()
}

/// When the threshold so many days before an instant begins.
fn begins(at: Timestamp, days: u32) -> Timestamp {
    at.saturating_sub(Seconds::days(u64::from(days)))
}

fn is_same_date(one: Timestamp, other: Timestamp) -> bool {
    one.since(other).max(other.since(one)) < SAME_DATE
}

/// Whether a notice about `at` speaks of the date it has now, which is ahead, with no closer threshold passed.
fn is_current(notice: &NoticeHead, at: Option<Timestamp>, now: Timestamp) -> bool {
    at.is_some_and(|at| {
        let closer = passed(notice.kind, at, now).is_some_and(|days| Some(days) < notice.days);
        at > now && is_same_date(at, notice.about) && !closer
    })
}
