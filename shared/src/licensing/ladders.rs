//! The ladders that the devices of a group really have (domain C3, E2, E5).
//!
//! **Problem.** A group has clocks of its own, but a site or device that came with clocks of its own may lock before the
//! rest, and by the product scope some devices are spared: a date shown for the group alone is not what its devices do.
//! **Method.** Devices with the same ladder are counted together, each with the very function its token is made by; the
//! dates of the group are the earliest of them. Without carried clocks and with the group scope all are alike, and nobody
//! is visited. **Deliberately absent:** devices on trial, which a group's ladder does not touch (domain G8).

use super::ahead::Ahead;
use super::compliance::{Carried, Holder};
use super::device::Device;
use super::group::Group;
use super::organization::Organization;
use super::settings::Scope;
use super::wanted::Wants;
use crate::enforcement::{EnforcementState, Schedule};
use crate::id::DeviceId;
use crate::time::Timestamp;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::Serialize;

/// The most sites and devices that are named as being ahead of the rest.
const HOLDERS_SHOWN: usize = 20;

/// A ladder in the order in which it hurts: what never comes is last.
type Rank = (Timestamp, Timestamp, Timestamp);

fn rank(schedule: &Schedule) -> Rank {
    let last = |at: Option<Timestamp>| at.unwrap_or(Timestamp::MAX);
    (last(schedule.lock_at), last(schedule.stop_at), last(schedule.grace_begins_at))
}

/// Devices that lock or stop before the rest of their group: what they or their sites brought along has less left
/// (domain E2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EarlyDevices {
    /// How many active devices have an earlier lock or stop than the group's own clocks give.
    pub devices: u64,
    /// How many sites and devices brought the clocks behind that.
    pub holder_count: usize,
    /// Those, the earliest first, at most 20.
    pub holders: Vec<EarlyHolder>,
    /// What the group's own clocks give the rest of its devices.
    pub rest: Schedule,
    /// All of it in a sentence.
    pub sentence: String,
}

/// A site or device whose clocks are ahead of its group's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EarlyHolder {
    /// The site or device.
    pub holder: Holder,
    /// The name of the site, or the id of the device.
    pub name: String,
    /// How many active devices are early by its clocks.
    pub devices: u64,
    /// The earliest ladder among them.
    pub schedule: Schedule,
}

/// The ladders of a group's active devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ladders {
    /// The earliest of them by cause, step by step.
    pub(super) earliest: Ahead,
    /// How many devices have which ladder, the earliest first.
    pub(super) counted: Vec<(Schedule, u64)>,
    /// Who is ahead of the group's own clocks.
    pub(super) early: Option<EarlyDevices>,
}

/// A step of the ladder that some devices of a group reach together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SharedStep {
    /// When.
    pub(super) at: Timestamp,
    /// The state that begins.
    pub(super) state: EnforcementState,
    /// For how many devices.
    pub(super) devices: u64,
}

impl Ladders {
    /// Whether all devices of a group have its own ladder, for certain.
    pub(super) fn are_alike(organization: &Organization, group: &Group) -> bool {
        match organization.settings_of(group).scope {
            Scope::Group => group.assessment.carried.is_empty() && !organization.is_paced(group),
            Scope::Product => false,
        }
    }

    /// Of a group as it was last judged.
    pub(super) fn of(organization: &Organization, group: &Group) -> Ladders {
        let own = organization.thawed_ahead(&group.assessment.ahead);
        if Ladders::are_alike(organization, group) {
            let all = (own.both(), group.figures.active_devices);
            let counted = core::iter::once(all).filter(|(_, devices)| *devices > 0).collect();
            return Ladders { earliest: own, counted, early: None };
        }
        Ladders::visiting(organization, group)
    }

    fn visiting(organization: &Organization, group: &Group) -> Ladders {
        let own = organization.thawed(group.assessment.schedule());
        let mut newer = BTreeMap::new();
        let tranches = organization.tranches(group);
        let mut earliest = Ahead::default();
        let mut counted: BTreeMap<Rank, (Schedule, u64)> = BTreeMap::new();
        let mut holders: BTreeMap<Holder, (Schedule, u64)> = BTreeMap::new();
        let mut early = 0_u64;
        for device in organization.devices_in_group(group.id).filter(|device| device.consumes()) {
            let day = |_: &Group, device: &Device| tranches.as_ref().map_or(0, |days| days.day_of(device));
            let (_, ahead) = organization.enforced(device, group, day, |group, device| {
                let known = newer.entry(device.product);
                let known = known.or_insert_with(|| organization.all_newer_units(group, device.product));
                known.get(&device.id).copied().unwrap_or(0)
            });
            let ahead = organization.thawed_ahead(&ahead);
            let schedule = ahead.both();
            earliest = earliest.earliest(&ahead);
            count(counted.entry(rank(&schedule)).or_insert((schedule, 0)), schedule);
            if is_before(&schedule, &own) {
                early = early.saturating_add(1);
                if let Some(carried) = strictest(organization, device, group) {
                    count(holders.entry(carried.holder.clone()).or_insert((schedule, 0)), schedule);
                }
            }
        }
        let counted: Vec<(Schedule, u64)> = counted.into_values().collect();
        let early = (early > 0).then(|| told(organization, group, early, holders));
        Ladders { earliest, counted, early }
    }

    /// The earliest ladder of any device, step by step (domain E5).
    pub(super) fn schedule(&self) -> Schedule {
        self.earliest.both()
    }

    /// How many devices the ladder has begun for at `now`, with their ladders, the earliest first.
    pub(super) fn begun_at(&self, now: Timestamp) -> impl Iterator<Item = (Schedule, u64)> {
        let begun = move |schedule: &Schedule| schedule.state_at(now) != EnforcementState::Licensed;
        self.counted.iter().copied().filter(move |(schedule, _)| begun(schedule))
    }

    /// Every step of every ladder, by instant.
    pub(super) fn steps(&self) -> Vec<SharedStep> {
        let mut steps: BTreeMap<(Timestamp, EnforcementState), u64> = BTreeMap::new();
        for (schedule, devices) in &self.counted {
            let Schedule { grace_begins_at, lock_at, stop_at } = *schedule;
            for (at, state) in [
                (grace_begins_at, EnforcementState::Grace),
                (lock_at, EnforcementState::ManagementLocked),
                (stop_at, EnforcementState::Stopped),
            ] {
                if let Some(at) = at {
                    let step = steps.entry((at, state)).or_default();
                    *step = step.saturating_add(*devices);
                }
            }
        }
        steps.into_iter().map(|((at, state), devices)| SharedStep { at, state, devices }).collect()
    }

    /// What happens next, and to how many devices. Of steps at one instant, the gravest.
    pub(super) fn next_after(&self, now: Timestamp) -> Option<SharedStep> {
        let steps = self.steps();
        let at = steps.iter().map(|step| step.at).find(|at| *at > now)?;
        steps.into_iter().rfind(|step| step.at == at)
    }
}

/// Counts one more device, and keeps the earliest of their ladders.
fn count(of: &mut (Schedule, u64), schedule: Schedule) {
    *of = (of.0.earliest(schedule), of.1.saturating_add(1));
}

/// Whether one ladder locks or stops before another.
fn is_before(one: &Schedule, other: &Schedule) -> bool {
    let before = |a: Option<Timestamp>, b: Option<Timestamp>| match (a, b) {
        (Some(a), Some(b)) => a < b,
        (Some(_), None) => true,
        (None, Some(_) | None) => false,
    };
    before(one.lock_at, other.lock_at) || before(one.stop_at, other.stop_at)
}

/// The strictest of the clocks that were carried along for a device; of equal ones those of the site farthest up.
fn strictest<'a>(organization: &Organization, device: &Device, group: &'a Group) -> Option<&'a Carried> {
    let sites = organization.path_to_root(device.site).map(|site| Holder::Site(site.id));
    let mut path: Vec<Holder> = core::iter::once(Holder::Device(device.id.clone())).chain(sites).collect();
    path.reverse();
    let carried = path.iter().filter_map(|holder| group.assessment.carried_by(holder));
    carried.min_by_key(|carried| rank(&carried.ahead.both()))
}

fn told(
    organization: &Organization,
    group: &Group,
    devices: u64,
    by_holder: BTreeMap<Holder, (Schedule, u64)>,
) -> EarlyDevices {
    let rest = group.assessment.schedule();
    let holder_count = by_holder.len();
    let mut holders: Vec<EarlyHolder> = by_holder
        .into_iter()
        .map(|(holder, (schedule, devices))| {
            let name = name_of(organization, &holder);
            EarlyHolder { holder, name, devices, schedule }
        })
        .collect();
    holders.sort_by_key(|early| rank(&early.schedule));
    holders.truncate(HOLDERS_SHOWN);
    let mut named: Vec<String> = holders.iter().map(|early| early.holder.title(&early.name)).collect();
    let hidden = holder_count.saturating_sub(named.len());
    if hidden > 0 {
        named.push(format!("{hidden} more"));
    }
    let others = match group.figures.active_devices.saturating_sub(devices) {
        0 => String::new(),
        _ => format!("; for the rest: {}", in_words(&rest)),
    };
    let sentence = format!(
        "{}: {} before its own clocks say, by what {} brought along{others}.",
        group.name,
        of_devices(devices, group.figures.active_devices, "locks or stops", "lock or stop"),
        named.join(", ")
    );
    EarlyDevices { devices, holder_count, holders, rest, sentence }
}

/// `3 of its 7 devices stop`, `its device stops`: how many devices of a group do something.
pub(super) fn of_devices(devices: u64, all: u64, one: &str, many: &str) -> String {
    match (devices, all) {
        (1, 1) => format!("its device {one}"),
        (devices, all) if devices == all => format!("its {all} devices {many}"),
        (1, all) => format!("1 of its {all} devices {one}"),
        (devices, all) => format!("{devices} of its {all} devices {many}"),
    }
}

/// What is ahead on a ladder, in words: `management locks at ..., full stop at ...`.
pub(super) fn in_words(schedule: &Schedule) -> String {
    let step = |at: Option<Timestamp>, what: &str| at.map(|at| format!("{what} at {at}"));
    let steps = [step(schedule.lock_at, "management locks"), step(schedule.stop_at, "full stop")];
    let steps: Vec<String> = steps.into_iter().flatten().collect();
    if steps.is_empty() { String::from("no lock and no stop is ahead") } else { steps.join(", ") }
}

/// The earliest ladder of any active device that a site or device brings its clocks for; `None` if there is none.
pub(super) fn earliest_of(organization: &Organization, holder: &Holder) -> Option<Schedule> {
    let mut wants = Wants::of(organization);
    let mut of = |id: &DeviceId| {
        let device = organization.device(id).filter(|device| device.consumes())?;
        wants.wanted(&device.id).map(|wanted| wanted.schedule)
    };
    match holder {
        Holder::Device(id) => of(id),
        Holder::Site(id) => {
            let devices = organization.site_tree(*id).flat_map(|site| site.devices());
            devices.filter_map(of).reduce(Schedule::earliest)
        }
    }
}

impl Holder {
    /// `Site Depot`, `Device cam-1`: with the name that [`name_of`] gives.
    pub(super) fn title(&self, name: &str) -> String {
        match self {
            Holder::Site(_) => format!("Site {name}"),
            Holder::Device(_) => format!("Device {name}"),
        }
    }
}

/// The name of a site, or the id of a device.
pub(super) fn name_of(organization: &Organization, holder: &Holder) -> String {
    match holder {
        Holder::Site(id) => {
            organization.site(*id).map_or_else(|| id.to_string(), |site| site.name.to_string())
        }
        Holder::Device(id) => id.to_string(),
    }
}
