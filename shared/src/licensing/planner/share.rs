//! What each key of a set gives: some whole, the others as little as is still missing.
//!
//! **Why this is enough.** Of the units of a product that splits have to give, the least is what is missing; taken first
//! from where a unit has the least credit, they take the least credit along, product by product. So if any shares of
//! these keys leave both groups compliant and none owing, these do.

use super::problem::{Problem, at};
use alloc::vec;
use alloc::vec::Vec;

/// What one key gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// The index of the key.
    pub(super) key: usize,
    /// The units of every product that go along.
    pub(super) goes: Vec<u64>,
}

/// What plans are compared by; the first is the best.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) steps: usize,
    pub(super) splits: usize,
    pub(super) units: u128,
    /// In whole seconds.
    pub(super) shift: u64,
    /// The keys by index, which is the order of their ids.
    pub(super) keys: Vec<usize>,
    pub(super) split: Vec<usize>,
}

/// A plan that can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) rank: Rank,
    /// By key.
    pub(super) shares: Vec<Share>,
}

impl Problem {
    /// The plan that moves the keys `whole` and splits those of `split` that need not go whole; `None` if it cannot be
    /// done.
    pub(super) fn choice(&self, whole: &[usize], split: &[usize]) -> Option<Choice> {
        let shares = self.shares_of(whole, split)?;
        let mut split = Vec::new();
        let (mut units, mut credit) = (0_u128, 0_u128);
        for share in &shares {
            let key = self.keys.get(share.key)?;
            units = share.goes.iter().fold(units, |sum, goes| sum.saturating_add(u128::from(*goes)));
            credit = credit.saturating_add(key.credit_of(&share.goes));
            if key.held != share.goes {
                split.push(share.key);
            }
        }
        if self.spare.is_some_and(|spare| credit > spare) {
            return None;
        }
        let keys: Vec<usize> = shares.iter().map(|share| share.key).collect();
        let shift = self.shift(&shares);
        Some(Choice {
            rank: Rank { steps: keys.len(), splits: split.len(), units, shift, keys, split },
            shares,
        })
    }

    /// What every key gives, by key; those that give nothing are left out. Whether the group owes is not looked at.
    pub(super) fn shares_of(&self, whole: &[usize], split: &[usize]) -> Option<Vec<Share>> {
        let none = || vec![0_u64; self.needs.len()];
        let mut shares: Vec<Share> = whole
            .iter()
            .filter_map(|key| Some(Share { key: *key, goes: self.keys.get(*key)?.held.clone() }))
            .chain(split.iter().map(|key| Share { key: *key, goes: none() }))
            .collect();
        let (fixed, open) = shares.split_at_mut_checked(whole.len())?;
        for product in 0..self.needs.len() {
            let going = fixed.iter().map(|share| at(&share.goes, product)).fold(0, u64::saturating_add);
            if going > at(&self.rooms, product) {
                return None;
            }
            let mut left = at(&self.needs, product).saturating_sub(going);
            if left == 0 {
                continue;
            }
            let mut cheapest: Vec<(u128, usize, &mut Share)> = open
                .iter_mut()
                .filter_map(|share| {
                    let key = self.keys.get(share.key)?;
                    (at(&key.held, product) > 0).then_some((*key.credit.get(product)?, share.key, share))
                })
                .collect();
            cheapest.sort_by_key(|(credit, key, _)| (*credit, *key));
            for (_, key, share) in cheapest {
                let held = self.keys.get(key).map_or(0, |key| at(&key.held, product));
                let gives = held.min(left);
                left = left.saturating_sub(gives);
                if let Some(goes) = share.goes.get_mut(product) {
                    *goes = gives;
                }
            }
            // The rest of a need that has no room is missing, too.
            if left > 0 || at(&self.needs, product) > at(&self.rooms, product) {
                return None;
            }
        }
        shares.retain(|share| share.goes.iter().any(|goes| *goes > 0));
        shares.sort_by_key(|share| share.key);
        let is_whole = |share: &&Share| self.keys.get(share.key).is_some_and(|key| key.held == share.goes);
        (shares.iter().filter(is_whole).count() <= self.whole_max).then_some(shares)
    }

    /// Whether these keys can give what is missing without leaving a group that owes (domain K5).
    pub(super) fn affords(&self, keys: &[usize]) -> bool {
        let Some(shares) = self.shares_of(&[], keys) else { return self.spare.is_none() };
        let credit = shares.iter().filter_map(|share| Some(self.keys.get(share.key)?.credit_of(&share.goes)));
        self.spare.is_none_or(|spare| credit.fold(0, u128::saturating_add) <= spare)
    }
}
