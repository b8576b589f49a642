//! Which licenses go along with what moves from one group to another (domain G4).
//!
//! **Problem.** A site that moves leaves its licenses behind, and its new group may lack them. Wanted is the smallest set
//! of key moves and splits after which both groups are compliant. **Method.** A plan is a set of keys of the old home, each
//! moved whole or split. Of all plans that leave both groups compliant and none owing (K5), the first is taken by this
//! order: fewest steps; of these, fewest splits; of these, fewest units moved; of these, the least change of date, which is
//! the greater of both groups' changes in whole seconds; of these, the first keys by id. What splits give of a product is
//! no part of the order: it is as little as is missing, from those keys first that lose the least credit by it. The keys
//! are looked for by branch and bound with a bound on its work ([`search`]); what was not proven is said.
//! **Deliberately absent:** keys that come back in exchange, so a group that is short itself gives nothing; waiting
//! renewals, which license nothing yet and stay where they wait (K3); and doing it, which is
//! [`super::command::Command::WithLicenses`].

mod problem;
mod search;
mod share;
#[cfg(test)]
mod tests;

use super::command::{AlongPart, Command, KeyStep};
use super::compliance::Units;
use super::decide::{Context, decide};
use super::draft::Decision;
use super::organization::Organization;
use super::refusal::{Refusal, RefusalCode, Refusals};
use super::site::Home;
use crate::id::{GroupId, KeyId};
use crate::time::Timestamp;
use alloc::string::String;
use alloc::vec::Vec;
use problem::Problem;
use serde::Serialize;

/// The most steps of a plan.
pub(super) const STEPS_MAX: usize = 256;

/// A key that goes along, whole or in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedKey {
    /// The key.
    pub key: KeyId,
    /// The units that go along.
    pub goes: Units,
    /// The units that stay: none if the key is moved whole.
    pub stays: Units,
}

/// The keys that go along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LicensePlan {
    /// Each key once, by id; none if nothing is missing.
    pub keys: Vec<PlannedKey>,
    /// Whether it is proven that no fewer steps do, nor as many with fewer splits or fewer units.
    pub proven_smallest: bool,
    /// Whether it is proven besides that no other plan as small changes the dates less.
    pub proven_closest: bool,
}

/// Why no licenses can go along: a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NoPlanCode {
    /// Both together have fewer units than are in use.
    TooFewUnits,
    /// The old group is short itself after the move.
    SourceShort,
    /// The old group's term has ended: its keys retired.
    SourceEnded,
    /// The units are held by keys whose own end has passed (domain K5).
    KeysSpent,
    /// The old group would be left with keys whose common end has passed (domain K5).
    WouldOwe,
    /// No active key would be left beside renewals that wait: they would begin to burn (domain K3).
    RenewalsWouldBegin,
    /// More keys would have to go than one change may move.
    TooManySteps,
    /// The search ended before it found any, or what it found is refused for another reason.
    NotFound,
}

/// Why no licenses can go along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoPlan {
    /// The stable code.
    pub code: NoPlanCode,
    /// The units that are missing, for codes that are about units.
    #[serde(skip_serializing_if = "Units::is_empty")]
    pub missing: Units,
    /// It in a sentence.
    pub sentence: String,
}

/// From where to which group a decision moves a site or device; `None` if it moves none from one home to another.
pub(super) fn moved(decision: &Decision) -> Option<(Home, GroupId)> {
    let home = |from: Option<GroupId>| from.map_or(Home::Unassigned, Home::Group);
    let sites = super::preview::site_moves(decision)
        .into_iter()
        .filter(|site| site.before.is_some())
        .map(|site| (home(site.from), site.to));
    let devices = super::preview::device_moves(decision)
        .into_iter()
        .filter(|device| device.from_site.is_some())
        .map(|device| (home(device.from), device.to));
    sites.chain(devices).find_map(|(from, to)| to.filter(|to| Home::Group(*to) != from).map(|to| (from, to)))
}

/// The keys that should go along with what a decision moves `from` a home `to` a group, at `now`.
///
/// # Errors
/// Why there is no plan.
pub(super) fn plan(
    decision: &Decision,
    from: Home,
    to: GroupId,
    now: Timestamp,
) -> Result<LicensePlan, NoPlan> {
    let now = now.max(decision.after.as_of());
    let problem = Problem::of(&decision.after, from, to, now)?;
    let found = search::search(&problem, search::WORK).ok_or_else(|| problem.why_not())?;
    let keys = found.choice.shares.iter().filter_map(|share| problem.planned(share)).collect();
    Ok(LicensePlan { keys, proven_smallest: found.smallest, proven_closest: found.closest })
}

/// The licenses that have to go along with a move so that both groups are compliant: what [`Command::WithLicenses`] takes.
///
/// # Errors
/// The refusals the move itself would meet, or `LICENSES_CANNOT_FOLLOW` with the reason.
pub fn licenses_along(
    organization: &Organization,
    of: &Command,
    context: &Context,
) -> Result<LicensePlan, Refusals> {
    let decision = decide(organization, of, context)?;
    let nothing = LicensePlan { keys: Vec::new(), proven_smallest: true, proven_closest: true };
    let Some((from, to)) = moved(&decision) else { return Ok(nothing) };
    plan(&decision, from, to, context.now).map_err(|why| {
        let hint = "move it without its licenses and cure the group within its grace, or claim what is missing first";
        Refusal::new(RefusalCode::LicensesCannotFollow, why.sentence, hint).into()
    })
}

impl PlannedKey {
    /// The step as a command takes it; `part` makes the id and the end of the code of each part of a split.
    ///
    /// # Errors
    /// That of `part`.
    pub fn step<E>(&self, mut part: impl FnMut() -> Result<(KeyId, String), E>) -> Result<KeyStep, E> {
        if self.stays.is_empty() {
            return Ok(KeyStep::Move { key: self.key });
        }
        let mut part = |held: &Units| {
            let (id, code_tail) = part()?;
            Ok(AlongPart { id, code_tail, lines: super::preview::order_lines(held) })
        };
        Ok(KeyStep::Split { key: self.key, goes: part(&self.goes)?, stays: part(&self.stays)? })
    }
}
