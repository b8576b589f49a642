//! The licenses that should go along with what moves (domain G4).
//!
//! **Problem.** A site that moves leaves its licenses behind, and its new group may lack them. **Method.** The smallest set
//! of key moves and splits is planned ([`crate::licensing::planner`]). What is proposed was tried, by the very code that
//! would do it, and leaves both groups compliant; else it is said why nothing is. **Deliberately absent:** doing it.

use super::{GroupChange, GroupState};
use crate::id::{GroupId, KeyId};
use crate::licensing::command::{ClaimMode, Command, PartRequest, PartTarget};
use crate::licensing::compliance::Units;
use crate::licensing::decide::{Context, decide};
use crate::licensing::draft::Decision;
use crate::licensing::explain::units;
use crate::licensing::license_key::OrderLine;
use crate::licensing::organization::Organization;
use crate::licensing::planner::{self, LicensePlan, NoPlan, NoPlanCode, PlannedKey};
use crate::licensing::refusal::Refusals;
use crate::licensing::site::Home;
use crate::platform::code::masked;
use crate::time::Timestamp;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::Serialize;

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
    /// The group whose licenses go along; none if they are unassigned.
    pub from: Option<GroupId>,
    /// The group they go to.
    pub to: GroupId,
    /// The steps, by key; the move can be applied together with all of them.
    pub steps: Vec<ProposedStep>,
    /// Both groups before the move, and after it and all steps.
    pub groups: Vec<GroupChange>,
    /// Whether it is proven that no fewer steps do, nor as many with fewer splits or fewer units.
    pub proven_smallest: bool,
    /// Whether it is proven besides that no other as small changes the dates less.
    pub proven_closest: bool,
}

/// What to move along with what a decision moves; `None` if nothing is missing.
///
/// # Errors
/// Why nothing can be proposed although something is missing.
pub(super) fn proposal(decision: &Decision, now: Timestamp) -> Result<Option<Proposal>, NoPlan> {
    let Some((from, to)) = planner::moved(decision) else { return Ok(None) };
    let Some(new) = decision.after.group(to).filter(|group| !group.assessment.is_compliant()) else {
        return Ok(None);
    };
    let name = new.name.to_string();
    let plan = planner::plan(decision, from, to, now)?;
    tried(decision, from, to, &plan, now).map_err(|refusals| NoPlan {
        code: NoPlanCode::NotFound,
        missing: Units::new(),
        sentence: format!("No licenses can go along to {name}: {refusals}."),
    })
}

/// A step in a sentence.
pub(super) fn sentence(code: &str, goes: &Units, stays: &Units, to: &str) -> String {
    if stays.is_empty() {
        format!("Move key {code} with {} to {to}.", units(goes))
    } else {
        format!("Split key {code}: {} to {to}, {} stay.", units(goes), units(stays))
    }
}

/// The proposal as its steps leave it.
fn tried(
    decision: &Decision,
    from: Home,
    to: GroupId,
    plan: &LicensePlan,
    now: Timestamp,
) -> Result<Option<Proposal>, Refusals> {
    let context = Context { now, limits: decision.limits };
    let mut after = decision.after.clone();
    for (number, key) in plan.keys.iter().enumerate() {
        after = decide(&after, &command(key, number, from, to), &context)?.after;
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
    let both = from.group().into_iter().chain([to]);
    Ok(Some(Proposal {
        from: from.group(),
        to,
        steps: plan.keys.iter().filter_map(|key| step(&decision.after, key, to)).collect(),
        groups: both.filter_map(change).collect(),
        proven_smallest: plan.proven_smallest,
        proven_closest: plan.proven_closest,
    }))
}

fn step(organization: &Organization, planned: &PlannedKey, to: GroupId) -> Option<ProposedStep> {
    let code = masked(&organization.key(planned.key)?.issued.code_tail);
    let name = organization.group(to)?.name.to_string();
    Some(ProposedStep {
        key: planned.key,
        sentence: sentence(&code, &planned.goes, &planned.stays, &name),
        code,
        goes: planned.goes.clone(),
        stays: planned.stays.clone(),
    })
}

fn command(planned: &PlannedKey, number: usize, from: Home, to: GroupId) -> Command {
    let mode = Some(ClaimMode::Increase);
    if planned.stays.is_empty() {
        return Command::MoveKey { id: planned.key, group: to, mode };
    }
    // Ids that nobody else has: they are forgotten with the trial.
    let part = |side: u8, held: &Units, target: PartTarget| {
        let mut id = [u8::MAX; 16];
        let (number, sides) = (u16::try_from(number).unwrap_or(u16::MAX), [side]);
        for (to, from) in id.iter_mut().zip(number.to_be_bytes().into_iter().chain(sides)) {
            *to = from;
        }
        PartRequest { id: KeyId::from_bytes(id), code_tail: String::new(), lines: order_lines(held), target }
    };
    let goes = part(0, &planned.goes, PartTarget::Own { group: Some(to), mode });
    let stays = part(1, &planned.stays, PartTarget::Own { group: from.group(), mode });
    Command::SplitKey { id: planned.key, parts: Box::new([goes, stays]) }
}

/// Units as an order states them.
pub(in crate::licensing) fn order_lines(held: &Units) -> Vec<OrderLine> {
    held.iter().map(|(product, quantity)| OrderLine { product: *product, quantity: *quantity }).collect()
}
