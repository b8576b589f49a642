//! The licenses that should go along with what moves (domain G4).
//!
//! **Problem.** A site that moves leaves its licenses behind, and its new group may lack them. **Method.** What the new
//! group is short of is looked for among the old group's keys: the fewest of them that hold enough, each moved whole if
//! all of it is needed and split otherwise. What is proposed was tried, by the very code that would do it, and leaves
//! both groups compliant; else nothing is proposed. **Deliberately absent:** doing it, and the very smallest set among
//! hundreds of keys: the search is exact for up to four of the sixteen that hold most.

use super::{GroupChange, GroupState};
use crate::id::{GroupId, KeyId};
use crate::licensing::command::{ClaimMode, Command, PartRequest, PartTarget};
use crate::licensing::compliance::{Term, Units};
use crate::licensing::decide::{Context, decide};
use crate::licensing::draft::Decision;
use crate::licensing::explain::{missing, units};
use crate::licensing::license_key::{LicenseKey, OrderLine};
use crate::licensing::organization::Organization;
use crate::platform::code::masked;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::Serialize;

/// The keys that are looked at: those that hold most of what is missing.
const CANDIDATES: usize = 16;
/// The most keys of a proposal.
const KEYS_MAX: usize = 4;

/// One step of a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProposedStep {
    /// The key.
    pub key: KeyId,
    /// Its code, masked.
    pub code: String,
    /// The units that go along.
    pub goes: Units,
    /// The units that stay: the key is split; it is moved whole if there are none.
    pub stays: Units,
    /// The step in a sentence.
    pub sentence: String,
}

/// The smallest set of key moves and splits after which both groups are compliant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// The group whose licenses go along.
    pub from: GroupId,
    /// The group they go to.
    pub to: GroupId,
    /// The steps; each is an ordinary change with a preview of its own.
    pub steps: Vec<ProposedStep>,
    /// Both groups before the move, and after it and all steps.
    pub groups: Vec<GroupChange>,
}

/// What to move along with what a decision moves; `None` if nothing is missing or nothing suffices.
pub(super) fn proposal(decision: &Decision, now: Timestamp) -> Option<Proposal> {
    let (from, to) = moved(decision)?;
    let after = &decision.after;
    if after.group(to)?.assessment.is_compliant() {
        return None;
    }
    let need = missing(after.group(to)?);
    let keys = candidates(after, from, &need, now);
    (1..=KEYS_MAX.min(keys.len())).find_map(|count| {
        let mut sets: Vec<Vec<ProposedStep>> = Vec::new();
        choose(&keys, count, &mut Vec::new(), &mut |chosen| sets.extend(steps(after, chosen, &need, to)));
        // Of as many keys, those of which fewer are split.
        sets.sort_by_key(|steps| steps.iter().filter(|step| !step.stays.is_empty()).count());
        sets.into_iter().find_map(|steps| tried(decision, from, to, steps, now))
    })
}

/// From which group to which other something moves with its devices.
fn moved(decision: &Decision) -> Option<(GroupId, GroupId)> {
    let sites = super::changes::sites(decision).into_iter().map(|site| (site.from, site.to));
    let devices = super::changes::devices(decision).into_iter().map(|device| (device.from, device.to));
    sites.chain(devices).find_map(|(from, to)| from.zip(to).filter(|(from, to)| from != to))
}

/// The active keys of a group that hold something of what is needed, the most useful first.
fn candidates<'a>(
    organization: &'a Organization,
    group: GroupId,
    need: &Units,
    now: Timestamp,
) -> Vec<&'a LicenseKey> {
    let useful = |key: &LicenseKey| -> u64 {
        let held = key.issued.lines.iter();
        held.map(|line| line.quantity.min(need.get(&line.product).copied().unwrap_or(0)))
            .fold(0, u64::saturating_add)
    };
    let active = organization.group(group).into_iter().flat_map(|group| group.active_keys());
    let mut keys: Vec<&LicenseKey> = active
        .filter_map(|id| organization.key(id))
        .filter(|key| key.left_at(now) > Seconds::ZERO && useful(key) > 0)
        .collect();
    keys.sort_by_key(|key| (core::cmp::Reverse(useful(key)), key.issued.id));
    keys.truncate(CANDIDATES);
    keys
}

/// Calls `found` with every choice of `count` of the keys.
fn choose<'a>(
    keys: &[&'a LicenseKey],
    count: usize,
    chosen: &mut Vec<&'a LicenseKey>,
    found: &mut impl FnMut(&[&'a LicenseKey]),
) {
    if chosen.len() == count {
        found(chosen);
        return;
    }
    for (index, key) in keys.iter().enumerate() {
        chosen.push(key);
        choose(keys.get(index.saturating_add(1)..).unwrap_or_default(), count, chosen, found);
        chosen.pop();
    }
}

/// What each of the chosen keys gives; `None` if together they hold too little.
fn steps(
    organization: &Organization,
    chosen: &[&LicenseKey],
    need: &Units,
    to: GroupId,
) -> Option<Vec<ProposedStep>> {
    let name = organization.group(to)?.name.to_string();
    let mut open = need.clone();
    let steps = chosen.iter().map(|key| {
        let (mut goes, mut stays) = (Units::new(), Units::new());
        for line in &key.issued.lines {
            let wanted = open.get(&line.product).copied().unwrap_or(0);
            let given = line.quantity.min(wanted);
            open.insert(line.product, wanted.saturating_sub(given));
            for (side, quantity) in [(&mut goes, given), (&mut stays, line.quantity.saturating_sub(given))] {
                if quantity > 0 {
                    side.insert(line.product, quantity);
                }
            }
        }
        let code = masked(&key.issued.code_tail);
        let sentence = if stays.is_empty() {
            format!("Move key {code} with {} to {name}.", units(&goes))
        } else {
            format!("Split key {code}: {} to {name}, {} stay.", units(&goes), units(&stays))
        };
        ProposedStep { key: key.issued.id, code, goes, stays, sentence }
    });
    let steps: Vec<ProposedStep> = steps.collect();
    open.values().all(|missing| *missing == 0).then_some(steps)
}

/// The proposal, if its steps can be done and leave both groups compliant.
fn tried(
    decision: &Decision,
    from: GroupId,
    to: GroupId,
    steps: Vec<ProposedStep>,
    now: Timestamp,
) -> Option<Proposal> {
    let context = Context { now, limits: decision.limits };
    let mut after = decision.after.clone();
    for (number, step) in steps.iter().enumerate() {
        after = decide(&after, &command(step, number, from, to), &context).ok()?.after;
    }
    let change = |id: GroupId| {
        let new = after.group(id)?;
        Some(GroupChange {
            group: id,
            name: new.name.to_string(),
            before: decision.base.group(id).map(|old| GroupState::of(&decision.base, old, now)),
            after: Some(GroupState::of(&after, new, now)),
        })
    };
    let both = [from, to];
    let compliant = |id: &GroupId| after.group(*id).is_some_and(|group| group.assessment.is_compliant());
    let running = |id: &GroupId| match after.group(*id).map(|group| group.figures.term) {
        Some(Term::Running { .. }) => true,
        Some(Term::NeverLicensed | Term::Ended { .. } | Term::Emptied) | None => false,
    };
    // A group without devices needs no term; the one that got the licenses has one.
    let holds = both.iter().all(compliant) && running(&to);
    holds.then(|| Proposal { from, to, steps, groups: both.into_iter().filter_map(change).collect() })
}

fn command(step: &ProposedStep, number: usize, from: GroupId, to: GroupId) -> Command {
    if step.stays.is_empty() {
        return Command::MoveKey { id: step.key, group: to, mode: Some(ClaimMode::Increase) };
    }
    // Ids that nobody else has: they are forgotten with the trial.
    let part = |side: u8, held: &Units, group: GroupId| PartRequest {
        id: KeyId::from_bytes([
            u8::MAX,
            side,
            u8::try_from(number).unwrap_or(u8::MAX),
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ]),
        code_tail: String::new(),
        lines: held
            .iter()
            .map(|(product, quantity)| OrderLine { product: *product, quantity: *quantity })
            .collect(),
        target: PartTarget::Own { group: Some(group), mode: Some(ClaimMode::Increase) },
    };
    Command::SplitKey { id: step.key, parts: Box::new([part(0, &step.goes, to), part(1, &step.stays, from)]) }
}
