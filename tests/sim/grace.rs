//! What is left of every grace, looked at again and again: simpler than the rules, and apart from them (domain E2, E3).
//!
//! **Problem.** A token announces what the books say, and a device does what its token announces; whether the books give
//! grace away, or take it, neither can tell. **Method.** Between two looks at the same books time passes, and of a grace no
//! more than that may be gone; and what was used stays used, unless a key came to that group that never was in one, or thirty
//! days were compliant. For a device the same, wherever it is moved. **Deliberately absent:** when a clock has to begin, pause and
//! be rounded.

use coterm_shared::id::GroupId;
use coterm_shared::licensing::{Assessment, CauseClock, Clocks, DeviceState, Group, Holder, Organization};
use coterm_shared::time::{DAY_SECS, Timestamp};
use std::collections::BTreeSet;

/// The books of an organization when they were looked at.
#[derive(Clone, Debug)]
pub struct Look {
    /// They.
    pub books: Organization,
    /// When, by the cloud.
    pub at: Timestamp,
    /// When, in milliseconds of true time.
    pub truly: u64,
    /// How often settings had been changed: what a longer grace gave stays given when it is shorter again.
    pub settings: u64,
}

impl Look {
    /// Whether the cloud's clock was put back since an earlier look: what it decided then may lie before what it said earlier.
    fn is_set_back_since(&self, before: &Look) -> bool {
        let passed = self.truly.saturating_sub(before.truly) / 1_000;
        self.at < before.at || self.at.since(before.at).0 + SHORTEST_PAUSE < passed
    }
}

/// A lock lands on a midnight (domain E3), and the longest day has an hour more.
const LONGEST_DAY: u64 = DAY_SECS + 3_600;
/// A cure this short is none (domain E2).
const SHORTEST_PAUSE: u64 = 60;

/// Seconds to the lock if the cause is there from `at` on; `None` if nothing was used of the grace.
fn left(clock: CauseClock, at: Timestamp) -> Option<u64> {
    match clock {
        CauseClock::Fresh => None,
        CauseClock::Running(run) => Some(run.lock_at.since(at).0),
        CauseClock::Paused(left) => Some(left.to_lock_secs.0),
    }
}

/// What became of the graces between two looks at the same books; `firsts` are groups into which a key came that never was in
/// one.
///
/// # Errors
/// Some was given back, or used up faster than time passed.
pub fn between(before: &Look, after: &Look, firsts: BTreeSet<GroupId>) -> Result<(), String> {
    if after.is_set_back_since(before) || after.books.version() < before.books.version() {
        return Ok(());
    }
    let resets = resets(before, after, firsts);
    for group in after.books.groups() {
        let Some(old) = before.books.group(group.id) else { continue };
        let same = before.settings == after.settings
            && before.books.settings_of(old) == after.books.settings_of(group);
        for (cause, was, is) in causes(&old.assessment, &group.assessment) {
            one(before, after, group, (was, is), same, resets.contains(&group.id))
                .map_err(|what| format!("group {}, {cause}: {what}", group.name))?;
        }
    }
    devices(before, after, &resets)
}

fn causes(old: &Assessment, new: &Assessment) -> [(&'static str, CauseClock, CauseClock); 2] {
    let (old, new) = (old.clocks, new.clocks);
    [("the end of the term", old.expiry, new.expiry), ("capacity", old.capacity, new.capacity)]
}

fn one(
    before: &Look,
    after: &Look,
    group: &Group,
    (was, is): (CauseClock, CauseClock),
    same: bool,
    resets: bool,
) -> Result<(), String> {
    let passed = after.at.since(before.at).0;
    let grace = after.books.settings_of(group).grace_secs.0;
    match (left(was, before.at), left(is, after.at)) {
        (None, None) => Ok(()),
        (None, Some(is)) if same && is + passed < grace => {
            Err(format!("{is} s to the lock after {passed} s of a grace of {grace} s"))
        }
        (None, Some(is)) if same && is > grace + LONGEST_DAY => {
            Err(format!("{is} s to the lock of a grace of {grace} s"))
        }
        (None, Some(_)) => Ok(()),
        (Some(_), None) if resets => Ok(()),
        (Some(was), None) => Err(format!("{was} s were left, and the whole grace is again")),
        // After a reset another grace runs, by the settings as they are then: they may have become shorter.
        (Some(was), Some(is)) if !resets && is + passed < was => {
            Err(format!("{was} s to the lock were left, {passed} s later {is} s"))
        }
        (Some(was), Some(is)) if same && !resets && is > was + SHORTEST_PAUSE => {
            Err(format!("{was} s to the lock were left, and then {is} s"))
        }
        (Some(_), Some(_)) => Ok(()),
    }
}

/// Groups in which something between two looks may give grace back: a key that never was in a group came, or it was time.
fn resets(before: &Look, after: &Look, mut firsts: BTreeSet<GroupId>) -> BTreeSet<GroupId> {
    let over = |group: &Group| {
        let own = group.assessment.clocks_reset_at;
        let carried = group.assessment.carried.iter().filter_map(|carried| carried.clocks_reset_at);
        own.into_iter().chain(carried).any(|at| at <= after.at)
    };
    firsts.extend(before.books.groups().filter(|group| over(group)).map(|group| group.id));
    firsts
}

/// Of the clocks a device is under the one with less left, for each cause.
fn strictest(look: &Look, group: &Group, holders: impl Iterator<Item = Holder>) -> [Option<u64>; 2] {
    let lefts = |clocks: Clocks| [clocks.expiry, clocks.capacity].map(|clock| left(clock, look.at));
    let carried = holders.filter_map(|holder| group.assessment.carried_by(&holder)).map(|own| own.clocks);
    std::iter::once(group.assessment.clocks).chain(carried).map(lefts).fold([None, None], |all, one| {
        let less = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        [less(all[0], one[0]), less(all[1], one[1])]
    })
}

fn devices(before: &Look, after: &Look, resets: &BTreeSet<GroupId>) -> Result<(), String> {
    for device in after.books.devices().filter(|device| device.state == DeviceState::Active) {
        let Some(old) = before.books.device(&device.id).filter(|old| old.state == DeviceState::Active) else {
            continue;
        };
        let at = |look: &Look, site| {
            let group = look.books.group(look.books.group_of_site(site)?)?.clone();
            let above = look.books.path_to_root(site).map(|site| Holder::Site(site.id));
            let holders: Vec<Holder> =
                above.chain(std::iter::once(Holder::Device(device.id.clone()))).collect();
            Some((strictest(look, &group, holders.into_iter()), group))
        };
        let (Some((was, old_group)), Some((is, group))) = (at(before, old.site), at(after, device.site))
        else {
            continue;
        };
        // Other settings may give more.
        let same = |id| {
            let settings = |books: &Organization| books.group(id).map(|group| books.settings_of(group));
            before.settings == after.settings && settings(&before.books) == settings(&after.books)
        };
        let reset = |group: &Group| resets.contains(&group.id);
        if !same(old_group.id) || !same(group.id) || reset(&old_group) || reset(&group) {
            continue;
        }
        for (was, is) in was.into_iter().zip(is) {
            let Some(was) = was else { continue };
            if is.is_none_or(|is| is > was + SHORTEST_PAUSE) {
                let (from, to) = (&old_group.name, &group.name);
                return Err(format!(
                    "{} had {was} s to the lock in {from} and has {is:?} in {to}",
                    device.id
                ));
            }
        }
    }
    Ok(())
}
