//! The books, counted again from keys and devices, by sums a clerk would make.

use coterm_cloud::books::Change;
use coterm_shared::finding::Finding;
use coterm_shared::licensing::{
    CauseClock, Command, Device, DeviceState, Group, HeldOperation, KeyState, LicenseKey, Organization,
    SafetyCommand, Scope, Term, Wants,
};
use coterm_shared::product::ProductType;
use coterm_shared::time::Timestamp;
use std::collections::BTreeMap;

/// An instant to count with.
pub fn secs(at: Timestamp) -> i128 {
    i128::from(at.as_secs())
}

fn weight(key: &LicenseKey) -> i128 {
    key.issued.lines.iter().map(|line| i128::from(line.quantity) * i128::from(line.weight)).sum()
}

/// What a key is worth now, in weighted seconds; less than nothing if its group lives on beyond its end (domain D3).
fn worth(key: &LicenseKey, now: Timestamp) -> i128 {
    match key.state {
        KeyState::Active { .. } | KeyState::Unassigned { .. } => {
            weight(key) * (secs(key.ends_at) - secs(now))
        }
        KeyState::Queued { left_secs, .. } => weight(key) * i128::from(left_secs.0),
        KeyState::Retired { .. } | KeyState::Split { .. } | KeyState::Transferred { .. } => 0,
    }
}

/// What a change did to the credit of an organization that was brought up to date before it (domain K5-K8).
pub fn credit(
    change: &Change,
    before: &Organization,
    after: &Organization,
    now: Timestamp,
) -> Result<(), String> {
    for group in after.groups() {
        let keys = || {
            after.keys().filter(|key| matches!(key.state, KeyState::Active { group: of } if of == group.id))
        };
        let left: i128 = keys().map(|key| worth(key, now)).sum();
        if keys().next().is_some() && left <= 0 {
            return Err(format!("group {} owes {}", group.name, -left));
        }
    }
    let total = |of: &Organization| of.keys().map(|key| worth(key, now)).sum::<i128>();
    let gained = total(after) - total(before);
    let asked = match change {
        // What is approved does what it was asked for as.
        Change::Organization { command: Command::Safety(SafetyCommand::Approve { held, .. }), .. } => {
            before.held_operation(*held).and_then(HeldOperation::command).map(|held| held.command)
        }
        Change::Organization { command, .. } => Some(command.clone()),
        _ => None,
    };
    if matches!(change, Change::ClaimKey { .. }) || matches!(asked, Some(Command::ClaimKey { .. })) {
        let came = after.keys().find(|key| before.key(key.issued.id).is_none());
        let came = came.map_or(0, |key| weight(key) * (secs(key.issued.ends_at) - secs(now)));
        return if gained == came {
            Ok(())
        } else {
            Err(format!("a key worth {came} came, {gained} was gained"))
        };
    }
    // A key that waits again begins with what is left.
    let queued = |id| before.key(id).is_some_and(|key| matches!(key.state, KeyState::Queued { .. }));
    let exact = match (change, &asked) {
        (_, Some(Command::UnclaimKey { id } | Command::SplitKey { id, .. })) => !queued(*id),
        (Change::SplitKey { key, .. }, _) => !queued(*key),
        (Change::Organization { .. }, _) => true,
        _ => false,
    };
    if gained > 0 || (exact && gained < 0) {
        return Err(format!("{gained} weighted seconds were gained"));
    }
    Ok(())
}

/// Whether nothing of the licenses and devices of an organization differs.
pub fn same(before: &Organization, after: &Organization) -> bool {
    before.keys().eq(after.keys())
        && before.devices().eq(after.devices())
        && before.sites().eq(after.sites())
        && before.groups().eq(after.groups())
}

/// What every group has, uses and lacks, and whom that touches (domain C1, C3, D1, D4, G6).
pub fn groups(of: &Organization) -> Result<(), String> {
    of.groups().try_for_each(|group| {
        let all = one(of, group).and_then(|()| ended(of, group)).and_then(|()| clocks(of, group));
        all.and_then(|()| touched(of, group)).map_err(|what| format!("group {}: {what}", group.name))
    })
}

/// The devices of a group that count, the newest first (domain C3, E6).
pub fn newest_first<'a>(of: &'a Organization, group: &Group) -> Vec<&'a Device> {
    let counts = of.devices_in_group(group.id).filter(|device| device.state == DeviceState::Active);
    let mut devices: Vec<&Device> = counts.collect();
    devices.sort_by(|a, b| (b.claimed_at, &b.id).cmp(&(a.claimed_at, &a.id)));
    devices
}

/// A shortfall that is enforced by product touches the newest devices, until the rest fits (domain C3).
fn touched(of: &Organization, group: &Group) -> Result<(), String> {
    let shortfalls: BTreeMap<ProductType, u64> = group
        .assessment
        .findings
        .iter()
        .filter_map(|finding| match finding {
            Finding::OverCapacity { product, shortfall } => Some((*product, *shortfall)),
            _ => None,
        })
        .collect();
    // Who is touched until a renewal comes is another question.
    if of.settings_of(group).scope == Scope::Group || shortfalls.is_empty() || group.figures.renewal.is_some()
    {
        return Ok(());
    }
    let mut newer: BTreeMap<ProductType, u64> = BTreeMap::new();
    let mut wants = Wants::of(of);
    for device in newest_first(of, group) {
        let before = newer.entry(device.product).or_default();
        let due = *before < shortfalls.get(&device.product).copied().unwrap_or(0);
        *before += device.units;
        let findings = wants.wanted(&device.id).map(|wanted| wanted.findings).unwrap_or_default();
        let is = findings.iter().any(|finding| matches!(finding, Finding::OverCapacity { .. }));
        if is != due {
            return Err(format!("{} is to feel {shortfalls:?}: {due}; it is told {findings:?}", device.id));
        }
    }
    Ok(())
}

/// No term goes on beyond its date in books with all that was due by `now` (domain D4).
pub fn overdue(of: &Organization, now: Timestamp) -> Result<(), String> {
    of.groups().try_for_each(|group| match group.figures.term {
        Term::Running { coterm } if coterm.floor() <= now => {
            Err(format!("group {}: its term ended at {} and goes on at {now}", group.name, coterm.floor()))
        }
        _ => Ok(()),
    })
}

/// No term ends before its date: keys that ended together did so at the mean of their ends (domain D1, D4).
fn ended(of: &Organization, group: &Group) -> Result<(), String> {
    let mut together: BTreeMap<Timestamp, (i128, i128)> = BTreeMap::new();
    for key in of.keys() {
        if let KeyState::Retired { group: Some(was_in), at } = key.state
            && was_in == group.id
        {
            let (mass, moment) = together.entry(at).or_default();
            *mass += weight(key);
            *moment += weight(key) * secs(key.ends_at);
        }
    }
    for (at, (mass, moment)) in together {
        if secs(at) < moment / mass {
            return Err(format!("its keys ended at {at}, and were to end at {}", moment / mass));
        }
    }
    Ok(())
}

/// A clock runs exactly while its cause is there, gives what the settings give, and the ladder is that of the first to lock
/// and of the first to stop (domain E1, E2, E5).
fn clocks(of: &Organization, group: &Group) -> Result<(), String> {
    let (assessment, settings) = (&group.assessment, of.settings_of(group));
    let expired = assessment.findings.contains(&Finding::TermEnded);
    let over = assessment.findings.iter().any(|finding| *finding != Finding::TermEnded);
    let causes = [(expired, assessment.clocks.expiry), (over, assessment.clocks.capacity)];
    let mut running = Vec::new();
    for (present, clock) in causes {
        match clock {
            CauseClock::Running(run) if present => running.push(run),
            CauseClock::Fresh | CauseClock::Paused(_) if !present => {}
            CauseClock::Running(_) | CauseClock::Fresh | CauseClock::Paused(_) => {
                return Err(format!("its cause is there: {present}, and its clock is {clock:?}"));
            }
        }
    }
    for run in &running {
        let (grace, stop) = (settings.grace_secs.0, settings.grace_secs.0 + settings.stop_after_lock_secs.0);
        let at_least = |of: u64| run.since.as_secs() + of.saturating_sub(run.spent_before_secs.0);
        if run.lock_at.as_secs() < at_least(grace) || run.stop_at.as_secs() < at_least(stop) {
            return Err(format!("{run:?} is shorter than {settings:?} gives"));
        }
    }
    let first = (running.iter().map(|run| run.lock_at).min(), running.iter().map(|run| run.stop_at).min());
    let said = assessment.ahead.both();
    // A term that runs may end first, and a renewal that waits may cure what is there.
    let all = !matches!(group.figures.term, Term::Running { .. });
    let later = |said: Option<Timestamp>, first: Option<Timestamp>| {
        first.is_some_and(|first| said.is_none_or(|said| said > first))
    };
    let differs = if all {
        (said.lock_at, said.stop_at) != first
    } else {
        group.figures.renewal.is_none() && (later(said.lock_at, first.0) || later(said.stop_at, first.1))
    };
    if differs {
        return Err(format!("its clocks come to {first:?}, its ladder is {said:?}"));
    }
    Ok(())
}

fn one(of: &Organization, group: &Group) -> Result<(), String> {
    let active: Vec<&LicenseKey> = of
        .keys()
        .filter(|key| matches!(key.state, KeyState::Active { group: at } if at == group.id))
        .collect();
    let mut in_use: BTreeMap<ProductType, u64> = BTreeMap::new();
    let mut devices = 0_u64;
    for device in of.devices() {
        if device.state == DeviceState::Active && of.group_of_site(device.site) == Some(group.id) {
            *in_use.entry(device.product).or_default() += device.units;
            devices += 1;
        }
    }
    if (devices, &in_use) != (group.figures.active_devices, &group.figures.in_use) {
        return Err(format!("{devices} devices use {in_use:?}, the books say {:?}", group.figures.in_use));
    }
    let mut capacity: BTreeMap<ProductType, u64> = BTreeMap::new();
    for line in active.iter().flat_map(|key| &key.issued.lines) {
        *capacity.entry(line.product).or_default() += line.quantity;
    }
    if !active.is_empty() {
        let mass: i128 = active.iter().map(|key| weight(key)).sum();
        let moment: i128 = active.iter().map(|key| weight(key) * secs(key.ends_at)).sum();
        let coterm = group.figures.term.coterm_at().map(secs);
        if coterm != Some(moment / mass) || !matches!(group.figures.term, Term::Running { .. }) {
            return Err(format!("the term ends at {}, the books say {coterm:?}", moment / mass));
        }
        if capacity != group.figures.capacity {
            return Err(format!("{capacity:?} is granted, the books say {:?}", group.figures.capacity));
        }
    } else if matches!(group.figures.term, Term::Running { .. }) {
        return Err("a term runs without keys".to_owned());
    } else {
        capacity = group.figures.capacity.clone();
    }
    let mut findings = Vec::new();
    if devices > 0 {
        match group.figures.term {
            Term::Ended { .. } => findings.push(Finding::TermEnded),
            Term::NeverLicensed => findings.push(Finding::NoLicense),
            Term::Running { .. } | Term::Emptied => {}
        }
        if !matches!(group.figures.term, Term::NeverLicensed) {
            findings.extend(in_use.iter().filter_map(|(product, used)| {
                let shortfall = used.saturating_sub(capacity.get(product).copied().unwrap_or(0));
                (shortfall > 0).then_some(Finding::OverCapacity { product: *product, shortfall })
            }));
        }
    }
    let mut said = group.assessment.findings.clone();
    let numbers = |findings: &mut Vec<Finding>| findings.sort_by_key(|finding| format!("{finding:?}"));
    numbers(&mut findings);
    numbers(&mut said);
    if findings != said {
        return Err(format!("it has {findings:?}, the books say {said:?}"));
    }
    Ok(())
}
