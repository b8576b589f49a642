//! What would make a group compliant again, the cheapest first (domain C1).
//!
//! **Method.** What is missing is counted once: after the end of a term, or without any key, all units in use; else the
//! shortfalls. Then: a key that is already bought and waits in Unassigned, units that are free in another group,
//! devices that could go, and last what would have to be bought. **Deliberately absent:** doing it; each cure is an
//! ordinary command whose preview tells the rest.

use super::units;
use crate::id::{DeviceId, GroupId, KeyId};
use crate::licensing::compliance::{Term, Units};
use crate::licensing::device::Device;
use crate::licensing::group::Group;
use crate::licensing::license_key::LicenseKey;
use crate::licensing::organization::Organization;
use crate::platform::code::masked;
use crate::product::ProductType;
use crate::time::Timestamp;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::Serialize;

/// The most devices that are named as candidates to go.
const DEVICES_NAMED: usize = 20;

/// One way to make a group compliant again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "cure", rename_all = "kebab-case")]
pub enum Cure {
    /// Put a key into the group that is already claimed and waits in Unassigned; it suffices alone.
    Assign {
        /// The key.
        key: KeyId,
        /// Its code, masked.
        code: String,
        /// The cure in a sentence.
        sentence: String,
    },
    /// Move devices, with their site, to a group that has units free.
    Move {
        /// What must go.
        units: Units,
        /// The group that has room for all of it.
        group: GroupId,
        /// Its name.
        name: String,
        /// What it has free.
        free: Units,
        /// The cure in a sentence.
        sentence: String,
    },
    /// Retire devices that are not needed any more.
    Retire {
        /// What must go at least.
        units: Units,
        /// The newest devices that would free it, at most 20.
        devices: Vec<DeviceId>,
        /// The cure in a sentence.
        sentence: String,
    },
    /// Buy and claim a key.
    Buy {
        /// What it must license at least.
        units: Units,
        /// The cure in a sentence.
        sentence: String,
    },
}

impl Cure {
    /// The cure in a sentence.
    #[must_use]
    pub fn sentence(&self) -> &str {
        match self {
            Cure::Assign { sentence, .. }
            | Cure::Move { sentence, .. }
            | Cure::Retire { sentence, .. }
            | Cure::Buy { sentence, .. } => sentence,
        }
    }
}

/// What is missing: all units in use where nothing is granted any more, else what exceeds capacity.
pub(in crate::licensing) fn missing(group: &Group) -> Units {
    let figures = &group.figures;
    match figures.term {
        Term::NeverLicensed | Term::Ended { .. } => figures.in_use.clone(),
        Term::Running { .. } | Term::Emptied => {
            let granted = |product: &ProductType| figures.capacity.get(product).copied().unwrap_or(0);
            let short = figures.in_use.iter().map(|(p, used)| (*p, used.saturating_sub(granted(p))));
            short.filter(|(_, shortfall)| *shortfall > 0).collect()
        }
    }
}

/// The ways out, the cheapest first; none for a compliant group.
pub(in crate::licensing) fn cures(organization: &Organization, group: &Group, now: Timestamp) -> Vec<Cure> {
    if group.assessment.is_compliant() {
        return Vec::new();
    }
    let missing = missing(group);
    let mut cures: Vec<Cure> = organization
        .unassigned_keys()
        .filter(|key| key.ends_at > now && grants(key, &missing))
        .map(|key| assign(key, group))
        .collect();
    let roomy = organization.groups().filter(|other| other.id != group.id && other.assessment.is_compliant());
    cures.extend(roomy.filter_map(|other| {
        let free = other.free();
        let running = matches!(other.figures.term, Term::Running { .. });
        (running && covers(&free, &missing)).then(|| move_to(other, free, &missing))
    }));
    cures.push(retire(organization, group, &missing));
    cures.push(buy(group, &missing));
    cures
}

fn covers(have: &Units, need: &Units) -> bool {
    need.iter().all(|(product, units)| have.get(product).is_some_and(|free| free >= units))
}

fn grants(key: &LicenseKey, need: &Units) -> bool {
    let lines: Units = key.issued.lines.iter().map(|line| (line.product, line.quantity)).collect();
    covers(&lines, need)
}

fn assign(key: &LicenseKey, group: &Group) -> Cure {
    let code = masked(&key.issued.code_tail);
    let sentence = format!(
        "Move key {code} (order {}) from Unassigned to {}: it is paid for and covers what is missing.",
        key.issued.order_number.as_str(),
        group.name
    );
    Cure::Assign { key: key.issued.id, code, sentence }
}

fn move_to(other: &Group, free: Units, missing: &Units) -> Cure {
    let room: Units = free.into_iter().filter(|(product, _)| missing.contains_key(product)).collect();
    let sentence = format!(
        "Move a site with devices that use {} to {}, which has {} free.",
        units(missing),
        other.name,
        units(&room)
    );
    Cure::Move { units: missing.clone(), group: other.id, name: other.name.to_string(), free: room, sentence }
}

fn retire(organization: &Organization, group: &Group, missing: &Units) -> Cure {
    let mut newest: Vec<&Device> =
        organization.devices_in_group(group.id).filter(|device| device.consumes()).collect();
    newest.sort_by(|a, b| (b.claimed_at, &b.id).cmp(&(a.claimed_at, &a.id)));
    let mut left = missing.clone();
    let mut count: usize = 0;
    let mut devices = Vec::new();
    for device in newest {
        let Some(open) = left.get_mut(&device.product).filter(|open| **open > 0) else { continue };
        *open = open.saturating_sub(device.units);
        count = count.saturating_add(1);
        if devices.len() < DEVICES_NAMED {
            devices.push(device.id.clone());
        }
    }
    let names: Vec<String> = devices.iter().take(3).map(ToString::to_string).collect();
    let more = match count.saturating_sub(names.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = units(missing);
    let sentence = format!("Retire devices that use {what}; the newest are {}{more}.", names.join(", "));
    Cure::Retire { units: missing.clone(), devices, sentence }
}

fn buy(group: &Group, missing: &Units) -> Cure {
    let what = units(missing);
    let sentence = match group.figures.term {
        Term::NeverLicensed => format!("Claim a key with at least {what}: all that is in use."),
        Term::Ended { .. } => format!(
            "Claim a key with at least {what}: all that is in use, since the old licenses ended together."
        ),
        Term::Running { .. } | Term::Emptied => format!("Claim a key with at least {what} more."),
    };
    Cure::Buy { units: missing.clone(), sentence }
}
