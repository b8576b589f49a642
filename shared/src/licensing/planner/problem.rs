//! What has to be covered, what may go, and which keys can give it.

use super::share::Share;
use super::{NoPlan, NoPlanCode, PlannedKey};
use crate::id::{GroupId, KeyId};
use crate::licensing::compliance::{Term, Units};
use crate::licensing::coterm::{Pool, PoolLine};
use crate::licensing::explain::{missing, units};
use crate::licensing::group::Group;
use crate::licensing::license_key::LicenseKey;
use crate::licensing::organization::Organization;
use crate::licensing::site::Home;
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A key that can go, whole or in part.
#[derive(Clone, Debug)]
pub(super) struct Movable {
    /// The key.
    pub(super) id: KeyId,
    /// Its units of every product.
    pub(super) held: Vec<u64>,
    /// The credit that one unit of every product takes along (domain K5).
    pub(super) credit: Vec<u128>,
    weights: Vec<u64>,
    ends_at: Timestamp,
}

/// Numbers only: everything by the index of its product, and of its key.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    products: Vec<ProductType>,
    /// Units that have to go, at least.
    pub(super) needs: Vec<u64>,
    /// Units that may go, at most: what the old group does not use itself.
    pub(super) rooms: Vec<u64>,
    /// The keys that can go, by id.
    pub(super) keys: Vec<Movable>,
    /// The credit that may go if that is a bound: without spent keys a group never owes (domain K5).
    pub(super) spare: Option<u128>,
    /// How many keys may go whole: not all of them while renewals wait (domain K3).
    pub(super) whole_max: usize,
    old_pool: Option<Pool>,
    new_pool: Pool,
    names: (String, String),
    waiting: Units,
}

/// The number of a list that belongs to an index.
pub(super) fn at(of: &[u64], index: usize) -> u64 {
    of.get(index).copied().unwrap_or(0)
}

impl Problem {
    /// What is missing in `to` and what `from` can give, in an organization in which the move has been made.
    pub(super) fn of(
        organization: &Organization,
        from: Home,
        to: GroupId,
        now: Timestamp,
    ) -> Result<Problem, NoPlan> {
        let nobody = || NoPlan {
            code: NoPlanCode::NotFound,
            missing: Units::new(),
            sentence: String::from("The group is not there any more."),
        };
        let new = organization.group(to).ok_or_else(nobody)?;
        let old = match from {
            Home::Group(id) => Some(organization.group(id).ok_or_else(nobody)?),
            Home::Unassigned => None,
        };
        let names = (
            old.map_or_else(|| String::from("Unassigned"), |old| format!("{}", old.name)),
            format!("{}", new.name),
        );
        let need = if new.assessment.is_compliant() { Units::new() } else { missing(new) };
        let need: Units = need.into_iter().filter(|(_, units)| *units > 0).collect();
        if let Some(old) = old {
            check_old(old, new, &need)?;
        }
        let held: Vec<&LicenseKey> = match old {
            Some(old) => old.active_keys().filter_map(|id| organization.key(id)).collect(),
            None => organization.unassigned_keys().collect(),
        };
        // A key that has nothing of what is missing would be one step too many.
        let has_any = |key: &LicenseKey, need: &Units| {
            key.issued.lines.iter().any(|line| need.contains_key(&line.product))
        };
        let mut movable: Vec<&LicenseKey> = held
            .iter()
            .copied()
            .filter(|key| key.left_at(now) > Seconds::ZERO && has_any(key, &need))
            .collect();
        movable.sort_by_key(|key| key.issued.id);
        let lines = movable.iter().flat_map(|key| &key.issued.lines);
        let products: BTreeSet<ProductType> =
            need.keys().copied().chain(lines.map(|line| line.product)).collect();
        let products: Vec<ProductType> = products.into_iter().collect();
        let count = |of: &Units| -> Vec<u64> {
            products.iter().map(|product| of.get(product).copied().unwrap_or(0)).collect()
        };
        let rooms = match old {
            Some(old) => {
                let (capacity, in_use) = (count(&old.figures.capacity), count(&old.figures.in_use));
                capacity.iter().zip(in_use).map(|(has, uses)| has.saturating_sub(uses)).collect()
            }
            // What is unassigned is enforced by nobody (domain G3): all of it may go.
            None => products.iter().map(|_| u64::MAX).collect(),
        };
        let keys: Vec<Movable> = movable.iter().map(|key| Movable::of(key, &products, now)).collect();
        let running = |group: &Group| match group.figures.term {
            Term::Running { .. } => Some(group.pool),
            Term::NeverLicensed | Term::Ended { .. } | Term::Emptied => None,
        };
        let old_pool = old.and_then(running);
        let after_now = u128::from(now.as_secs()).saturating_add(1);
        let spare = old_pool.map(|pool| pool.moment().saturating_sub(pool.mass().saturating_mul(after_now)));
        let all: u128 = keys.iter().map(Movable::all_credit).fold(0, u128::saturating_add);
        let waits = old.is_some_and(|old| !old.queue.is_empty());
        Ok(Problem {
            needs: count(&need),
            rooms,
            spare: spare.filter(|spare| all > *spare),
            whole_max: if waits { held.len().saturating_sub(1) } else { held.len() },
            keys,
            products,
            old_pool,
            new_pool: running(new).unwrap_or(Pool::EMPTY),
            names,
            waiting: old
                .and_then(|old| old.figures.renewal.as_ref())
                .map(|renewal| renewal.capacity.clone())
                .unwrap_or_default(),
        })
    }

    /// The greater change of either group's date, in whole seconds; a date that is gained or lost is no change.
    pub(super) fn shift(&self, shares: &[Share]) -> u64 {
        let (mut old, mut new) = (self.old_pool, self.new_pool);
        for share in shares {
            let Some(key) = self.keys.get(share.key) else { continue };
            for line in key.pool_lines(&share.goes) {
                if let Some(old) = &mut old {
                    old.remove(&line);
                }
                new.add(&line);
            }
        }
        let moved = |before: Option<Pool>, after: Option<Pool>| {
            let date = |pool: Option<Pool>| Some(pool?.coterm()?.floor().as_secs());
            date(before).zip(date(after)).map_or(0, |(before, after)| before.abs_diff(after))
        };
        moved(self.old_pool, old).max(moved(Some(self.new_pool), Some(new)))
    }

    /// A share as it is told.
    pub(super) fn planned(&self, share: &Share) -> Option<PlannedKey> {
        let key = self.keys.get(share.key)?;
        let listed = |held: Vec<u64>| -> Units {
            self.products.iter().copied().zip(held).filter(|(_, units)| *units > 0).collect()
        };
        let stays = key.held.iter().zip(&share.goes).map(|(held, goes)| held.saturating_sub(*goes)).collect();
        Some(PlannedKey { key: key.id, goes: listed(share.goes.clone()), stays: listed(stays) })
    }

    /// Why nothing was found.
    pub(super) fn why_not(&self) -> NoPlan {
        let (old, new) = &self.names;
        let listed = |of: &dyn Fn(usize) -> u64| -> Units {
            let all = self.products.iter().enumerate().map(|(index, product)| (*product, of(index)));
            all.filter(|(_, units)| *units > 0).collect()
        };
        let say = |code, missing, sentence| NoPlan { code, missing, sentence };
        let held =
            |index: usize| self.keys.iter().map(|key| at(&key.held, index)).fold(0, u64::saturating_add);
        let too_few = listed(&|index| at(&self.needs, index).saturating_sub(at(&self.rooms, index)));
        if !too_few.is_empty() {
            let waits: Units =
                self.waiting.iter().filter(|(p, _)| too_few.contains_key(p)).map(|(p, n)| (*p, *n)).collect();
            let also = if waits.is_empty() {
                String::new()
            } else {
                format!(
                    " Renewals with {} wait in {old}; they license nothing before its term ends.",
                    units(&waits)
                )
            };
            let sentence = format!(
                "No licenses can go along: {} missing in total, {new} and {old} together.{also}",
                units(&too_few)
            );
            return say(NoPlanCode::TooFewUnits, too_few, sentence);
        }
        let spent = listed(&|index| at(&self.needs, index).saturating_sub(held(index)));
        if !spent.is_empty() && self.old_pool.is_none() {
            let sentence =
                format!("No licenses can go along: {} missing, which no key in {old} has.", units(&spent));
            return say(NoPlanCode::TooFewUnits, spent, sentence);
        }
        if !spent.is_empty() {
            let sentence = format!(
                "No licenses can go along: {} missing, and the keys of {old} that have them have reached the end of their own \
                 terms; such keys do not move.",
                units(&spent)
            );
            return say(NoPlanCode::KeysSpent, spent, sentence);
        }
        let everything: Vec<usize> = (0..self.keys.len()).collect();
        let (code, sentence) = if !self.affords(&everything) {
            (
                NoPlanCode::WouldOwe,
                format!(
                    "No licenses can go along: {old} would be left with keys whose common end has passed. Leave it more term \
                     first: claim a key to it."
                ),
            )
        } else if self.whole_max < self.keys.len() && self.shares_of(&[], &everything).is_none() {
            (
                NoPlanCode::RenewalsWouldBegin,
                format!(
                    "No licenses can go along: all active keys of {old} would go, and its renewals would begin at once."
                ),
            )
        } else if super::search::fewest(self) > super::STEPS_MAX {
            let most = super::STEPS_MAX;
            (
                NoPlanCode::TooManySteps,
                format!(
                    "More than {most} keys of {old} would have to go along; one change moves at most {most}."
                ),
            )
        } else {
            (
                NoPlanCode::NotFound,
                format!("No set of keys of {old} was found that can go along; the search is bounded."),
            )
        };
        say(code, Units::new(), sentence)
    }
}

/// A group whose term has ended has no keys, and one that is short gives none.
fn check_old(old: &Group, new: &Group, need: &Units) -> Result<(), NoPlan> {
    if need.is_empty() {
        return Ok(());
    }
    let (code, missing, sentence) = match old.figures.term {
        Term::Ended { coterm } => (
            NoPlanCode::SourceEnded,
            need.clone(),
            format!(
                "No licenses can go along: those of {} ended together at {}, and {} lacks {}.",
                old.name,
                coterm.floor(),
                new.name,
                units(need)
            ),
        ),
        Term::NeverLicensed | Term::Emptied | Term::Running { .. } => {
            let short: Units = missing(old).into_iter().filter(|(_, units)| *units > 0).collect();
            if old.assessment.is_compliant() || short.is_empty() {
                return Ok(());
            }
            // What both lack together, of those products that one of them lacks.
            let mut total = Units::new();
            for product in short.keys().chain(need.keys()) {
                let of = |units: &Units| units.get(product).copied().unwrap_or(0);
                let has = of(&old.figures.capacity).saturating_add(granted(new, *product));
                let uses = of(&old.figures.in_use).saturating_add(of(&new.figures.in_use));
                let lacks = uses.saturating_sub(has);
                if lacks > 0 {
                    total.insert(*product, lacks);
                }
            }
            if total.is_empty() {
                let sentence = format!(
                    "No licenses can go along: {} itself still lacks {} after the move. Cure it first.",
                    old.name,
                    units(&short)
                );
                (NoPlanCode::SourceShort, short, sentence)
            } else {
                let sentence = format!(
                    "No licenses can go along: {} missing in total, {} and {} together.",
                    units(&total),
                    new.name,
                    old.name
                );
                (NoPlanCode::TooFewUnits, total, sentence)
            }
        }
    };
    Err(NoPlan { code, missing, sentence })
}

/// What a group's licenses grant once others join them: those of a term that has ended are no part of the new pool
/// (domain D4).
fn granted(group: &Group, product: ProductType) -> u64 {
    match group.figures.term {
        Term::Running { .. } => group.figures.capacity.get(&product).copied().unwrap_or(0),
        Term::NeverLicensed | Term::Ended { .. } | Term::Emptied => 0,
    }
}

impl Movable {
    fn of(key: &LicenseKey, products: &[ProductType], now: Timestamp) -> Movable {
        let line = |product: &ProductType| key.issued.lines.iter().find(|line| line.product == *product);
        let held: Vec<u64> = products.iter().map(|p| line(p).map_or(0, |line| line.quantity)).collect();
        let weights: Vec<u64> = products.iter().map(|p| line(p).map_or(0, |line| line.weight)).collect();
        let left = u128::from(key.ends_at.since(now).0.saturating_sub(1));
        let credit = weights.iter().map(|weight| u128::from(*weight).saturating_mul(left)).collect();
        Movable { id: key.issued.id, held, credit, weights, ends_at: key.ends_at }
    }

    fn all_credit(&self) -> u128 {
        self.credit_of(&self.held)
    }

    /// The credit that so many units of every product take along.
    pub(super) fn credit_of(&self, units: &[u64]) -> u128 {
        let each =
            units.iter().zip(&self.credit).map(|(units, credit)| credit.saturating_mul(u128::from(*units)));
        each.fold(0, u128::saturating_add)
    }

    fn pool_lines<'a>(&'a self, units: &'a [u64]) -> impl Iterator<Item = PoolLine> + 'a {
        let lines = units.iter().zip(&self.weights).filter(|(units, _)| **units > 0);
        lines.map(|(quantity, weight)| PoolLine {
            quantity: *quantity,
            weight: *weight,
            ends_at: self.ends_at,
        })
    }
}
