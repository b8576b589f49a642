//! The smallest set of keys, by branch and bound.
//!
//! **Method.** First the fewest keys that can cover what is missing: for one more key each time, a depth-first search
//! that takes, of the product that needs the most keys, one key after the other; a key that gives no more than one
//! already tried in its place need not be tried. Then, among all sets of that many keys, the one with the fewest splits
//! and units, keys alike standing for each other; and last, among those, the least change of dates. Each of the three has
//! its own bound on work, counted in keys looked at, never in time: the same question always has the same answer.

use super::STEPS_MAX;
use super::problem::{Problem, at};
use super::share::{Choice, Rank};
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

/// How many keys the search looks at, at most, in each of its three parts.
pub(super) const WORK: u64 = 200_000;

/// A plan, and what is proven of it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) choice: Choice,
    /// No plan has fewer steps, nor as many and fewer splits or fewer units.
    pub(super) smallest: bool,
    /// No plan as small changes the dates less.
    pub(super) closest: bool,
}

/// The best plan that is found with so much work; `None` if none is found.
pub(super) fn search(problem: &Problem, work: u64) -> Option<Found> {
    if problem.needs.iter().all(|need| *need == 0) {
        return problem.choice(&[], &[]).map(|choice| Found { choice, smallest: true, closest: true });
    }
    if problem.needs.iter().zip(&problem.rooms).any(|(need, room)| need > room) {
        return None;
    }
    let (mut first, mut steps_proven) = (None, true);
    let mut left = work;
    for steps in fewest(problem)..=STEPS_MAX.min(problem.keys.len()) {
        // Half of what is left, so that a hard step leaves enough for the next.
        let mut search = Search::new(problem, Goal::Any, left / 2);
        search.cover(steps);
        left = left.saturating_sub(search.done);
        steps_proven &= !search.gave_up;
        if search.best.is_some() {
            first = search.best;
            break;
        }
    }
    // What comes to hand first is better than nothing.
    let first = first.or_else(|| greedy(problem))?;
    let steps = first.rank.steps;
    let mut smallest = Search::new(problem, Goal::Smallest, work);
    smallest.best = Some(first);
    smallest.cover(steps);
    let smallest_proven = steps_proven && !smallest.gave_up;
    let mut closest = Search::new(problem, Goal::Closest, work);
    closest.best = smallest.best;
    closest.cover(steps);
    let closest_proven = smallest_proven && !closest.gave_up;
    closest.best.map(|choice| Found { choice, smallest: smallest_proven, closest: closest_proven })
}

/// A plan without any search: product by product the keys that have most.
fn greedy(problem: &Problem) -> Option<Choice> {
    let search = Search::new(problem, Goal::Any, u64::MAX);
    let mut taken = BTreeSet::new();
    for product in 0..problem.needs.len() {
        let held = |key: &usize| problem.keys.get(*key).map_or(0, |key| at(&key.held, product));
        let mut has = taken.iter().map(held).fold(0, u64::saturating_add);
        for key in search.order(product) {
            if has >= at(&problem.needs, product) || taken.len() >= STEPS_MAX {
                break;
            }
            if taken.insert(*key) {
                has = has.saturating_add(held(key));
            }
        }
    }
    problem.choice(&[], &taken.into_iter().collect::<Vec<_>>())
}

/// A number of keys below which no plan can be, by the keys that have most.
pub(super) fn fewest(problem: &Problem) -> usize {
    let search = Search::new(problem, Goal::Any, u64::MAX);
    let counts = (0..problem.needs.len()).map(|product| {
        let mut sum = 0_u64;
        let keys = search.order(product).iter().take_while(|key| {
            let more = sum < at(&problem.needs, product);
            sum = sum.saturating_add(problem.keys.get(**key).map_or(0, |key| at(&key.held, product)));
            more
        });
        keys.count()
    });
    counts.max().unwrap_or(0)
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// Any plan with so many steps.
    Any,
    /// The one with the fewest splits and units.
    Smallest,
    /// The best by the whole order.
    Closest,
}

/// Where a key stands on the present branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Free,
    /// Taken, or all plans with it were looked at.
    Done,
}

struct Search<'a> {
    problem: &'a Problem,
    goal: Goal,
    work: u64,
    done: u64,
    gave_up: bool,
    best: Option<Choice>,
    /// By product that is missing: the keys that have it, those that have most first, alike ones together. After the
    /// last product, all keys.
    orders: Vec<Vec<usize>>,
    marks: Vec<Mark>,
    taken: Vec<usize>,
    /// Units of every product that the taken keys have together.
    covered: Vec<u64>,
    /// The most missing products that one key has.
    span: usize,
}

impl<'a> Search<'a> {
    fn new(problem: &'a Problem, goal: Goal, work: u64) -> Search<'a> {
        let all = (0..problem.keys.len()).collect();
        let orders = problem.needs.iter().enumerate().map(|(product, need)| {
            let has = |index: &usize| problem.keys.get(*index).is_some_and(|key| at(&key.held, product) > 0);
            let mut order: Vec<usize> =
                (0..problem.keys.len()).filter(|index| *need > 0 && has(index)).collect();
            order.sort_by_cached_key(|index| {
                let key = problem.keys.get(*index);
                let useful = key.map_or(0, |key| useful(&key.held, &problem.needs));
                let held =
                    key.map(|key| (at(&key.held, product), useful, key.held.clone(), key.credit.clone()));
                (core::cmp::Reverse(held), *index)
            });
            order
        });
        let span = |held: &[u64]| {
            held.iter().zip(&problem.needs).filter(|(held, need)| **held > 0 && **need > 0).count()
        };
        Search {
            goal,
            work,
            done: 0,
            gave_up: false,
            best: None,
            orders: orders.chain(core::iter::once(all)).collect(),
            marks: vec![Mark::Free; problem.keys.len()],
            taken: Vec::new(),
            covered: vec![0; problem.needs.len()],
            span: problem.keys.iter().map(|key| span(&key.held)).max().unwrap_or(1).max(1),
            problem,
        }
    }

    fn order(&self, product: usize) -> &[usize] {
        self.orders.get(product).map_or(&[], Vec::as_slice)
    }

    fn missing(&self, product: usize) -> u64 {
        at(&self.problem.needs, product).saturating_sub(at(&self.covered, product))
    }

    /// Looks at so many keys more; whether that is too much.
    fn tires(&mut self, by: usize) -> bool {
        self.done = self.done.saturating_add(u64::try_from(by).unwrap_or(u64::MAX));
        self.gave_up |= self.done > self.work;
        self.gave_up
    }

    /// Looks at all sets with `left` keys more than those taken; whether to stop.
    fn cover(&mut self, left: usize) -> bool {
        if self.tires(1) {
            return true;
        }
        if self.is_hopeless() {
            return false;
        }
        let Some(hardest) = self.hardest(left) else { return false };
        let order = match hardest {
            Some(product) => product,
            None => {
                // What is covered may still cost more than can be spared, and less with one more key to choose from.
                if self.share() || self.problem.spare.is_none() || left == 0 {
                    return self.gave_up || (self.goal == Goal::Any && self.best.is_some());
                }
                self.problem.needs.len()
            }
        };
        let mut tried: Vec<usize> = Vec::new();
        let mut marked: Vec<usize> = Vec::new();
        let mut stops = false;
        for position in 0..self.order(order).len() {
            let Some(index) = self.order(order).get(position).copied() else { break };
            let compared = if self.goal == Goal::Any { tried.len() } else { 0 };
            if self.tires(compared.saturating_add(1)) {
                stops = true;
                break;
            }
            if self.marks.get(index) != Some(&Mark::Free) {
                continue;
            }
            let skip = match self.goal {
                Goal::Any => tried.iter().any(|other| self.is_no_better(index, *other)),
                Goal::Smallest => tried.last().is_some_and(|other| self.is_alike(index, *other)),
                Goal::Closest => false,
            };
            self.mark(index, Mark::Done);
            marked.push(index);
            if skip {
                continue;
            }
            self.take(index);
            stops = self.cover(left.saturating_sub(1));
            self.give_back(index);
            tried.push(index);
            if stops {
                break;
            }
        }
        for index in marked {
            self.mark(index, Mark::Free);
        }
        stops
    }

    fn mark(&mut self, index: usize, mark: Mark) {
        if let Some(of) = self.marks.get_mut(index) {
            *of = mark;
        }
    }

    fn take(&mut self, index: usize) {
        self.taken.push(index);
        let Some(key) = self.problem.keys.get(index) else { return };
        for (covered, held) in self.covered.iter_mut().zip(&key.held) {
            *covered = covered.saturating_add(*held);
        }
    }

    fn give_back(&mut self, index: usize) {
        self.taken.pop();
        let Some(key) = self.problem.keys.get(index) else { return };
        for (covered, held) in self.covered.iter_mut().zip(&key.held) {
            *covered = covered.saturating_sub(*held);
        }
    }

    /// The missing product that needs the most keys, `Some(None)` if nothing is missing, `None` if `left` keys are too few.
    fn hardest(&mut self, left: usize) -> Option<Option<usize>> {
        let mut hardest: Option<(usize, usize)> = None;
        let mut all = 0_usize;
        for product in 0..self.problem.needs.len() {
            let missing = self.missing(product);
            if missing == 0 {
                continue;
            }
            let (mut sum, mut count, mut looked) = (0_u64, 0_usize, 0_usize);
            for index in self.orders.get(product)?.iter() {
                looked = looked.saturating_add(1);
                if self.marks.get(*index) != Some(&Mark::Free) {
                    continue;
                }
                sum =
                    sum.saturating_add(self.problem.keys.get(*index).map_or(0, |key| at(&key.held, product)));
                count = count.saturating_add(1);
                if sum >= missing || count > left {
                    break;
                }
            }
            if self.tires(looked) || sum < missing || count > left {
                return None;
            }
            all = all.saturating_add(count);
            if hardest.is_none_or(|(most, _)| count > most) {
                hardest = Some((count, product));
            }
        }
        // One key counts for as many products as it has at most.
        if all > left.saturating_mul(self.span) {
            return None;
        }
        Some(hardest.map(|(_, product)| product))
    }

    /// Whether one key serves no better in any place where another was tried.
    fn is_no_better(&self, index: usize, other: usize) -> bool {
        let Some((one, other)) = self.problem.keys.get(index).zip(self.problem.keys.get(other)) else {
            return false;
        };
        if self.problem.spare.is_some() {
            return self.covers_no_more(one, other);
        }
        (0..self.problem.needs.len()).filter(|product| self.missing(*product) > 0).all(|product| {
            let missing = self.missing(product);
            at(&one.held, product).min(missing) <= at(&other.held, product).min(missing)
        })
    }

    /// Where credit counts, units of what is covered already may serve, too: cheaper ones in place of those taken.
    fn covers_no_more(&self, one: &super::problem::Movable, other: &super::problem::Movable) -> bool {
        let needed = (0..self.problem.needs.len()).filter(|product| at(&self.problem.needs, *product) > 0);
        needed.into_iter().all(|product| {
            at(&one.held, product) == 0
                || (at(&one.held, product) <= at(&other.held, product)
                    && one.credit.get(product) >= other.credit.get(product))
        })
    }

    /// Whether two keys stand for each other in everything but dates and ids.
    fn is_alike(&self, one: usize, other: usize) -> bool {
        let both = self.problem.keys.get(one).zip(self.problem.keys.get(other));
        both.is_some_and(|(one, other)| {
            one.held == other.held && (self.problem.spare.is_none() || one.credit == other.credit)
        })
    }

    /// Whether no set with the keys taken so far can be better than the best.
    fn is_hopeless(&self) -> bool {
        let Some(best) = &self.best else { return false };
        let splits = self.splits_at_least();
        let units = (0..self.problem.needs.len()).map(|product| {
            let need = at(&self.problem.needs, product);
            let goes = if best.rank.splits == 0 { need.max(at(&self.covered, product)) } else { need };
            u128::from(goes)
        });
        let bound = (splits, units.fold(0, u128::saturating_add));
        let known = (best.rank.splits, best.rank.units);
        match self.goal {
            Goal::Any | Goal::Smallest => bound >= known,
            Goal::Closest => bound > known,
        }
    }

    /// How many of the keys taken must be split at least: as many as there is no room for.
    fn splits_at_least(&self) -> usize {
        let counts = (0..self.problem.needs.len()).map(|product| {
            let mut over = at(&self.covered, product).saturating_sub(at(&self.problem.rooms, product));
            if over == 0 {
                return 0;
            }
            let held =
                self.taken.iter().filter_map(|index| Some(at(&self.problem.keys.get(*index)?.held, product)));
            let mut held: Vec<u64> = held.collect();
            held.sort_unstable_by(|a, b| b.cmp(a));
            let enough = held.iter().take_while(|held| {
                let more = over > 0;
                over = over.saturating_sub(**held);
                more
            });
            enough.count()
        });
        counts.max().unwrap_or(0)
    }

    /// Finds out which of the taken keys to split; whether to stop.
    fn share(&mut self) -> bool {
        let taken = self.taken.clone();
        if self.goal == Goal::Any {
            // Whatever need not go stays: if this cannot be done, no shares of these keys can.
            self.best = self.problem.choice(&[], &taken);
            return self.best.is_some();
        }
        for splits in self.splits_at_least()..=taken.len() {
            if self.best.as_ref().is_some_and(|best| splits > best.rank.splits) {
                break;
            }
            let mut is_split = vec![false; taken.len()];
            if self.labels(&taken, &mut is_split, 0, splits) {
                return true;
            }
        }
        false
    }

    /// Tries every choice of `splits` keys from `from` on; whether to stop.
    fn labels(&mut self, taken: &[usize], is_split: &mut Vec<bool>, from: usize, splits: usize) -> bool {
        if splits == 0 {
            if self.tires(taken.len()) {
                return true;
            }
            let of = |wanted: bool| -> Vec<usize> {
                let labelled = taken.iter().zip(is_split.iter()).filter(|(_, is_split)| **is_split == wanted);
                labelled.map(|(index, _)| *index).collect()
            };
            let choice = self.problem.choice(&of(false), &of(true));
            if let Some(choice) = choice.filter(|choice| self.is_better(&choice.rank)) {
                self.best = Some(choice);
            }
            return false;
        }
        for index in from..=taken.len().saturating_sub(splits) {
            if let Some(label) = is_split.get_mut(index) {
                *label = true;
            }
            let stops = self.labels(taken, is_split, index.saturating_add(1), splits.saturating_sub(1));
            if let Some(label) = is_split.get_mut(index) {
                *label = false;
            }
            if stops {
                return true;
            }
        }
        false
    }

    fn is_better(&self, rank: &Rank) -> bool {
        self.best.as_ref().is_none_or(|best| *rank < best.rank)
    }
}

/// The units of what is missing that a key has.
fn useful(held: &[u64], needs: &[u64]) -> u64 {
    held.iter().zip(needs).map(|(held, need)| *held.min(need)).fold(0, u64::saturating_add)
}
