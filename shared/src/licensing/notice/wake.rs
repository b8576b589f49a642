//! When an organization has to be looked at for notices again, so that nobody is looked at in between.
//!
//! **Problem.** Of a hundred thousand groups one changes, or one has a threshold that passes: that must cost one group.
//! **Method.** What looks keeps [`Wakes`] beside the organization: for each group the next threshold after it was last
//! looked at, in order. A change that moves a date of a group judges it anew, and so names it. **Deliberately absent:**
//! when the organization itself wants to be judged, which is [`Organization::next_due`].

use super::group::dates;
use super::items::day_of;
use super::{About, Changed, NoticeKind, SOON, TERM, begins};
use crate::id::GroupId;
use crate::licensing::compliance::Term;
use crate::licensing::group::Group;
use crate::licensing::organization::{Due, Organization};
use crate::time::{Seconds, Timestamp};
use crate::timers::Timers;
use core::ops::Bound;

/// No threshold is longer before its date than this.
const FARTHEST: Seconds = Seconds::days(30);

/// When each group of an organization has something to be told next; for whoever tells it, and looks at every change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wakes {
    groups: Timers<GroupId>,
    /// The next threshold of a countdown or a trial.
    items_at: Option<Timestamp>,
}

impl Wakes {
    /// Those of an organization, all of whose notices up to `now` are told.
    #[must_use]
    pub fn of(organization: &Organization, now: Timestamp) -> Wakes {
        let mut wakes = Wakes::default();
        organization
            .groups()
            .for_each(|group| wakes.groups.set(group.id, of_group(organization, group, now)));
        wakes.items_at = of_items(organization, now);
        wakes
    }

    /// Moves on, after this was told of the organization as it is at `now`.
    pub fn told(&mut self, organization: &Organization, about: &About, now: Timestamp) {
        match about.widened() {
            About::Everything => *self = Wakes::of(organization, now),
            About::Changed(changed) => {
                for id in &changed.groups {
                    // One that was deleted has nothing to be told.
                    let group = organization.group(*id);
                    self.groups.set(*id, group.and_then(|group| of_group(organization, group, now)));
                }
                // One that has passed and was not looked at waits for that.
                let passed = self.items_at.filter(|at| *at <= now && !changed.dates);
                self.items_at = passed.or_else(|| of_items(organization, now));
            }
        }
    }

    /// What is to be looked at because its time has come, at `now`.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Changed {
        let groups = self.groups.due(now).collect();
        let dates = self.items_at.is_some_and(|at| at <= now);
        Changed { groups, dates, ..Changed::default() }
    }

    /// The first instant at which a threshold passes that is not told yet, if nothing else happens; too early at worst.
    /// `None` if no date is ahead.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.groups.next().into_iter().chain(self.items_at).min()
    }
}

/// The next threshold of a group after `now`; too early at worst.
fn of_group(organization: &Organization, group: &Group, now: Timestamp) -> Option<Timestamp> {
    // While it is compliant nothing comes before the date it waits for, unless a freeze has put one off that would be over
    // by now. A noncompliant group waits for the next of the group's own steps only, and by product a device may follow
    // another clock, with a lock after the group's own.
    let near = now.saturating_add(FARTHEST);
    let judged = &group.assessment;
    let waits = judged.is_compliant() && judged.carried.is_empty() && !organization.is_put_off_at(now);
    if let Some(first) = group.due_at.filter(|first| waits && *first > near) {
        return Some(first.saturating_sub(FARTHEST));
    }
    let term = match group.figures.term {
        Term::Running { coterm } => Some(coterm.floor()),
        Term::NeverLicensed | Term::Ended { .. } | Term::Emptied => None,
    };
    let term = term.into_iter().flat_map(|at| TERM.iter().map(move |days| begins(at, *days)));
    let steps = [NoticeKind::LockAhead, NoticeKind::StopAhead].into_iter();
    let steps = steps.flat_map(|kind| dates(organization, group, kind));
    let steps = steps.flat_map(|at| SOON.iter().map(move |days| begins(at, *days)));
    term.chain(steps).filter(|at| *at > now).min()
}

/// When a threshold next passes for a countdown or a trial.
fn of_items(organization: &Organization, now: Timestamp) -> Option<Timestamp> {
    SOON.iter().filter_map(|days| of_items_in(organization, *days, now)).min()
}

/// When the threshold of so many days next passes for a countdown or a trial.
fn of_items_in(organization: &Organization, days: u32, now: Timestamp) -> Option<Timestamp> {
    let ahead = now.saturating_add(Seconds::days(u64::from(days)));
    let next_day = day_of(ahead).saturating_add(Seconds::days(1));
    let from = Bound::Included((next_day, Due::Group(GroupId::from_bytes([0; 16]))));
    let mut due = organization.due_items.range((from, Bound::Unbounded));
    let found = due.find(|(_, due)| match due {
        Due::Group(_) | Due::Held(_) => false,
        Due::Key(_) | Due::Site(_) | Due::Trial(_) => true,
    });
    found.map(|(at, _)| begins(day_of(*at), days))
}
