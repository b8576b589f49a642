//! How the books look from outside: what the API, the CLI and the console show.
//!
//! A view is computed as of an instant the caller names, by the same functions that enforce: what a screen says and
//! what a device does cannot differ.

use super::compliance::Units;
use super::device::{Device, DeviceState};
use super::group::{DateMoved, Group};
use super::ladders::{Ladders, SharedStep, in_words, of_devices};
use super::license_key::{KeyLine, KeyState, LicenseKey};
use super::organization::Organization;
use super::preview::GroupState;
use super::safety::SafetyView;
use super::settings::{Overrides, Settings};
use super::site::{Place, Site};
use super::wanted::Wanted;
use crate::enforcement::{EnforcementState, Schedule};
use crate::finding::Finding;
use crate::id::{DeviceId, GroupId, KeyId, OrganizationId, SiteId};
use crate::platform::code::masked;
use crate::product::ProductType;
use crate::time::{DAY_SECS, Seconds, Timestamp};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::Serialize;

/// An organization at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrganizationView {
    /// Its id.
    pub id: OrganizationId,
    /// Its name.
    pub name: String,
    /// When it was founded.
    pub founded_at: Timestamp,
    /// How many events made it: its version.
    pub version: u64,
    /// Its settings.
    pub settings: Settings,
    /// Its default group.
    pub default_group: GroupId,
    /// What the default group is called now (domain G1).
    pub default_group_name: String,
    /// How many license groups it has.
    pub groups: usize,
    /// How many of them are noncompliant.
    pub noncompliant_groups: usize,
    /// Devices in use that are not on trial.
    pub active_devices: u64,
    /// Devices on trial.
    pub trial_devices: u64,
    /// Whether license groups are enabled (domain G1).
    pub groups_enabled: bool,
    /// Root sites in no group.
    pub unassigned_sites: usize,
    /// Keys in no group.
    pub unassigned_keys: usize,
    /// What waits for the vendor, and what is frozen (domain E6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safety: Option<SafetyView>,
}

impl OrganizationView {
    /// The view of an organization.
    #[must_use]
    pub fn of(organization: &Organization) -> OrganizationView {
        let noncompliant = organization.groups().filter(|group| !group.assessment.is_compliant()).count();
        let default = organization.group(organization.default_group());
        OrganizationView {
            id: organization.id(),
            name: organization.name().to_string(),
            founded_at: organization.founded_at(),
            version: organization.version(),
            settings: *organization.settings(),
            default_group: organization.default_group(),
            default_group_name: default.map(|group| group.name.to_string()).unwrap_or_default(),
            groups: organization.groups().count(),
            noncompliant_groups: noncompliant,
            active_devices: organization.active_devices(),
            trial_devices: organization.trial_devices(),
            groups_enabled: organization.groups_enabled(),
            unassigned_sites: organization.unassigned_sites().count(),
            unassigned_keys: organization.unassigned_keys().count(),
            safety: SafetyView::of(organization, None, organization.as_of()),
        }
    }
}

/// A finding in code and words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FindingView {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// The finding in one clause.
    pub sentence: String,
}

/// A license group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupView {
    /// Its id.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// Whether it is the default group.
    pub is_default: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// Dates, figures, findings and the ladder.
    #[serde(flatten)]
    pub state: GroupState,
    /// The findings in words.
    pub why: Vec<FindingView>,
    /// What happens next, and when, in one sentence.
    pub next: Option<String>,
    /// When that is.
    pub next_at: Option<Timestamp>,
    /// Units still free.
    pub free: Units,
    /// Active devices.
    pub active_devices: u64,
    /// Active keys.
    pub active_keys: usize,
    /// Queued renewals.
    pub queued_keys: usize,
    /// What moved its date last.
    pub last_moved: Option<DateMoved>,
    /// Root sites.
    pub sites: usize,
    /// The settings in force.
    pub settings: Settings,
    /// Its departures from the organization's settings.
    pub overrides: Overrides,
    /// What waits for the vendor, and what is frozen (domain E6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safety: Option<SafetyView>,
}

impl GroupView {
    /// The view of a group at `now`.
    #[must_use]
    pub fn of(organization: &Organization, group: &Group, now: Timestamp) -> GroupView {
        let ladders = Ladders::of(organization, group);
        let next = ladders.next_after(now);
        let why = group.assessment.findings.iter();
        GroupView {
            id: group.id,
            name: group.name.to_string(),
            is_default: group.id == organization.default_group(),
            created_at: group.created_at,
            next_at: next.map(|step| step.at),
            next: next.map(|step| next_of_group(&step, group.figures.active_devices)),
            state: GroupState::with(organization, group, ladders, now),
            why: why.map(|f| FindingView { finding: *f, sentence: f.sentence() }).collect(),
            free: group.free(),
            active_devices: group.figures.active_devices,
            active_keys: group.active_keys().count(),
            queued_keys: group.queued_keys().count(),
            last_moved: group.last_moved.clone(),
            sites: group.root_sites().count(),
            settings: organization.settings_of(group),
            overrides: group.overrides,
            safety: SafetyView::of(organization, Some(group.id), now),
        }
    }
}

/// The next step of the ladders of a group with `all` active devices, in a sentence.
fn next_of_group(step: &SharedStep, all: u64) -> String {
    let SharedStep { at, state, devices } = *step;
    match (state, devices == all) {
        (EnforcementState::Licensed, _) => format!("everything works from {at}"),
        (EnforcementState::Grace, true) => format!("the term ends at {at}; a grace period begins"),
        (EnforcementState::Grace, false) => {
            format!("a grace period begins at {at} for {devices} of its {all} devices")
        }
        (EnforcementState::ManagementLocked, true) => format!("management of its devices locks at {at}"),
        (EnforcementState::ManagementLocked, false) => {
            format!("management of {devices} of its {all} devices locks at {at}")
        }
        (EnforcementState::Stopped, true) => format!("its devices stop at {at}"),
        (EnforcementState::Stopped, false) => {
            format!("{} at {at}", of_devices(devices, all, "stops", "stop"))
        }
    }
}

/// A site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SiteView {
    /// Its id.
    pub id: SiteId,
    /// Its name.
    pub name: String,
    /// The site it is part of.
    pub parent: Option<SiteId>,
    /// Its name.
    pub parent_name: Option<String>,
    /// Its group, which is its root's; `None` while it is unassigned.
    pub group: Option<GroupId>,
    /// The name of the group.
    pub group_name: Option<String>,
    /// When an unassigned site joins the default group, with its root.
    pub joins_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Sub-sites directly in it.
    pub sub_sites: usize,
    /// Active devices directly in it.
    pub devices: usize,
}

impl SiteView {
    /// The view of a site.
    #[must_use]
    pub fn of(organization: &Organization, site: &Site) -> SiteView {
        let group = organization.group_of_site(site.id);
        let root = organization.path_to_root(site.id).last();
        SiteView {
            id: site.id,
            name: site.name.to_string(),
            parent: site.parent(),
            parent_name: site.parent().and_then(|parent| name_of_site(organization, parent)),
            group,
            group_name: group.and_then(|group| name_of_group(organization, group)),
            joins_at: root.and_then(|root| match root.place {
                Place::Unassigned { joins_at, .. } => Some(joins_at),
                Place::Root { .. } | Place::Within { .. } => None,
            }),
            created_at: site.created_at,
            sub_sites: site.children().count(),
            devices: site.devices().count(),
        }
    }
}

/// A device, as the books know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceView {
    /// Its id.
    pub id: DeviceId,
    /// Its site, or the last one if it is retired.
    pub site: SiteId,
    /// The name of the site; `None` if the site was deleted after the device was retired.
    pub site_name: Option<String>,
    /// Its license group; `None` while its site is unassigned.
    pub group: Option<GroupId>,
    /// The name of the group.
    pub group_name: Option<String>,
    /// Its model.
    pub model: String,
    /// The product type it consumes.
    pub product: ProductType,
    /// The units it consumes while active.
    pub units: u64,
    /// The units of its model when it was claimed.
    pub model_units: u64,
    /// Its configured doors, if it is a door controller and they were counted (domain G7).
    pub doors: Option<u64>,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// Active or retired.
    #[serde(flatten)]
    pub claim: DeviceState,
    /// Where its ladder stands; a retired device's too (domain G10).
    pub enforcement: Option<EnforcementState>,
    /// Its ladder, as its token carries it (domain E2, G10); `None` on trial, whose own ladder is with its claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// What is ahead of it, in words.
    pub next: Option<String>,
    /// What waits for the vendor, and what is frozen (domain E6); nothing for a retired device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safety: Option<SafetyView>,
}

impl DeviceView {
    /// The view of a device at `now`.
    #[must_use]
    pub fn of(organization: &Organization, device: &Device, now: Timestamp) -> DeviceView {
        Self::wanting(organization, device, organization.wanted(&device.id), now)
    }

    /// As [`DeviceView::of`], with what the device should hold already asked ([`super::Wants`]).
    #[must_use]
    pub fn wanting(
        organization: &Organization,
        device: &Device,
        wanted: Option<Wanted>,
        now: Timestamp,
    ) -> DeviceView {
        let group = organization.group_of_site(device.site);
        let on_trial = matches!(device.state, DeviceState::Trial(_));
        DeviceView {
            id: device.id.clone(),
            site: device.site,
            site_name: name_of_site(organization, device.site),
            group,
            group_name: group.and_then(|group| name_of_group(organization, group)),
            model: device.model.to_string(),
            product: device.product,
            units: device.units,
            model_units: device.model_units,
            doors: device.doors,
            claimed_at: device.claimed_at,
            claim: device.state.clone(),
            enforcement: wanted.as_ref().map(|wanted| wanted.schedule_at(now).state_at(now)),
            schedule: wanted.as_ref().map(|wanted| wanted.schedule).filter(|_| !on_trial),
            next: wanted.map(|wanted| next_of_device(&wanted.schedule, now)),
            safety: SafetyView::of_device(organization, device, group, now),
        }
    }
}

/// What is still ahead on the ladder of a device.
fn next_of_device(schedule: &Schedule, now: Timestamp) -> String {
    let ahead = |at: Option<Timestamp>| at.filter(|at| *at > now);
    let left = Schedule {
        grace_begins_at: None,
        lock_at: ahead(schedule.lock_at),
        stop_at: ahead(schedule.stop_at),
    };
    in_words(&left)
}

fn name_of_site(organization: &Organization, id: SiteId) -> Option<String> {
    organization.site(id).map(|site| site.name.to_string())
}

fn name_of_group(organization: &Organization, id: GroupId) -> Option<String> {
    organization.group(id).map(|group| group.name.to_string())
}

/// A claimed key, its code masked (domain K1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyView {
    /// Its id.
    pub id: KeyId,
    /// Its code, masked.
    pub code: String,
    /// The order it was bought with.
    pub order_number: String,
    /// What it licenses.
    pub lines: Vec<KeyLine>,
    /// Its term in days.
    pub term_days: u32,
    /// When it was bought.
    pub created_at: Timestamp,
    /// When its own term ends; its group's date is what counts while it is active.
    pub ends_at: Timestamp,
    /// What is left of its own term, in seconds; while it waits as a renewal, its clock stands still (domain K3).
    pub own_left_secs: Seconds,
    /// The name of the group it is active or queued in, or ended in.
    pub group_name: Option<String>,
    /// What happens to it next, in a sentence; `None` if nothing will.
    pub next: Option<String>,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// Where it stands.
    #[serde(flatten)]
    pub claim: KeyState,
}

impl KeyView {
    /// The view of a key at `now`.
    #[must_use]
    pub fn of(organization: &Organization, key: &LicenseKey, now: Timestamp) -> KeyView {
        let group = match key.state {
            KeyState::Active { group } | KeyState::Queued { group, .. } => Some(group),
            KeyState::Retired { group, .. } => group,
            KeyState::Unassigned { .. } | KeyState::Split { .. } | KeyState::Transferred { .. } => None,
        };
        KeyView {
            id: key.issued.id,
            code: masked(&key.issued.code_tail),
            order_number: key.issued.order_number.as_str().to_string(),
            lines: key.issued.lines.clone(),
            term_days: key.issued.term_days,
            created_at: key.issued.created_at,
            ends_at: key.ends_at,
            own_left_secs: key.left_at(now),
            group_name: group.and_then(|id| organization.group(id)).map(|group| group.name.to_string()),
            next: next_of(organization, key, now),
            claimed_at: key.claimed_at,
            claim: key.state.clone(),
        }
    }
}

/// What time alone will do to a key.
fn next_of(organization: &Organization, key: &LicenseKey, now: Timestamp) -> Option<String> {
    let ends_at = |group: GroupId| organization.group(group)?.figures.term.coterm_at();
    match key.state {
        KeyState::Active { group } => {
            ends_at(group).map(|at| format!("ends with its group at {at}, in {}", days(at.since(now))))
        }
        KeyState::Queued { group, left_secs } => ends_at(group).map(|at| {
            format!("begins when the term of its group ends at {at}, with {} of its own", days(left_secs))
        }),
        KeyState::Unassigned { joins_at, .. } if key.ends_at <= joins_at => {
            Some(format!("ends unassigned at {}, in {}", key.ends_at, days(key.ends_at.since(now))))
        }
        KeyState::Unassigned { joins_at, .. } => {
            let name = &organization.group(organization.default_group())?.name;
            Some(format!("joins `{name}` at {joins_at}, in {}", days(joins_at.since(now))))
        }
        KeyState::Retired { .. } | KeyState::Split { .. } | KeyState::Transferred { .. } => None,
    }
}

/// Whole days, half-up, as they are shown (domain D6).
fn days(duration: Seconds) -> String {
    let days = duration.0.saturating_add(DAY_SECS / 2) / DAY_SECS;
    if days == 1 { String::from("1 day") } else { format!("{days} days") }
}
