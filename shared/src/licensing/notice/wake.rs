//! When an organization has to be looked at for notices again, so that nobody is looked at in between.

use super::group::dates;
use super::items::day_of;
use super::{NoticeKind, SOON, TERM, begins};
use crate::id::GroupId;
use crate::licensing::compliance::Term;
use crate::licensing::group::Group;
use crate::licensing::organization::{Due, Organization};
use crate::time::{Seconds, Timestamp};
use core::ops::Bound;

/// No threshold is longer before its date than this.
const FARTHEST: Seconds = Seconds::days(30);

/// The first instant after `now` at which a threshold passes, if nothing else happens; too early at worst. `None` if no date
/// is ahead.
#[must_use]
pub fn next_notice_at(organization: &Organization, now: Timestamp) -> Option<Timestamp> {
    let groups = organization.groups().filter_map(|group| of_group(organization, group, now));
    let items = SOON.iter().filter_map(|days| of_items(organization, *days, now));
    groups.chain(items).min()
}

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

/// When the threshold of so many days next passes for a countdown or a trial.
fn of_items(organization: &Organization, days: u32, now: Timestamp) -> Option<Timestamp> {
    let ahead = now.saturating_add(Seconds::days(u64::from(days)));
    let next_day = day_of(ahead).saturating_add(Seconds::days(1));
    let from = Bound::Included((next_day, Due::Group(GroupId::from_bytes([0; 16]))));
    let mut due = organization.due.range((from, Bound::Unbounded));
    let found = due.find(|(_, due)| match due {
        Due::Group(_) | Due::Held(_) => false,
        Due::Key(_) | Due::Site(_) | Due::Trial(_) => true,
    });
    found.map(|(at, _)| begins(day_of(*at), days))
}
