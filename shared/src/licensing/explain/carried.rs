//! Clocks that sites and devices brought along: where from, what was spent, and why there is no new grace (domain E2).

use super::{Cause, duration};
use crate::licensing::clock::{CauseClock, Clocks, Left};
use crate::licensing::compliance::{Carried, Holder, Origin};
use crate::licensing::group::Group;
use crate::licensing::ladders::name_of;
use crate::licensing::organization::Organization;
use crate::time::{Seconds, Timestamp};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Serialize;

/// The most carried clocks that are listed one by one.
const CARRIED_SHOWN: usize = 100;

/// A carried clock of one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CarriedClock {
    /// Whose clock it is.
    pub cause: Cause,
    /// Whether it runs now.
    pub running: bool,
    /// Spent since the last reset, in seconds.
    pub spent_secs: Seconds,
    /// Left to the lock, in seconds.
    pub to_lock_secs: Seconds,
    /// Left to the stop, in seconds.
    pub to_stop_secs: Seconds,
}

/// What a site or device brought into a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CarriedExplanation {
    /// The site or device.
    pub holder: Holder,
    /// The name of the site, or the id of the device.
    pub name: String,
    /// When it came.
    pub arrived_at: Timestamp,
    /// Where its clocks come from; `None` if the log did not say yet.
    pub origin: Option<Origin>,
    /// The clocks on which something was spent.
    pub clocks: Vec<CarriedClock>,
    /// When they start anew if the group stays compliant.
    pub resets_at: Option<Timestamp>,
    /// All of it in a sentence.
    pub sentence: String,
}

/// What was brought into a group, at most 100 of it, by holder.
pub(super) fn carried(organization: &Organization, group: &Group, now: Timestamp) -> Vec<CarriedExplanation> {
    let shown = group.assessment.carried.iter().take(CARRIED_SHOWN);
    shown.map(|carried| explain(organization, group, carried, now)).collect()
}

fn explain(
    organization: &Organization,
    group: &Group,
    carried: &Carried,
    now: Timestamp,
) -> CarriedExplanation {
    let name = name_of(organization, &carried.holder);
    let clocks = clocks_of(&carried.clocks, now);
    let spent: Vec<String> = clocks.iter().map(spent).collect();
    let until = match carried.clocks_reset_at {
        Some(at) => format!("all of it comes back on {at} if {} stays compliant until then", group.name),
        None => format!("it comes back after 30 days in a row in which {} is compliant", group.name),
    };
    let sentence = format!(
        "{} {} on {} and brought its clocks along: {}. That is why it has no new grace; {until}.",
        carried.holder.title(&name),
        came(organization, carried.origin.as_ref()),
        carried.arrived_at,
        spent.join("; ")
    );
    CarriedExplanation {
        holder: carried.holder.clone(),
        name,
        arrived_at: carried.arrived_at,
        origin: carried.origin.clone(),
        clocks,
        resets_at: carried.clocks_reset_at,
        sentence,
    }
}

fn clocks_of(clocks: &Clocks, now: Timestamp) -> Vec<CarriedClock> {
    let one = |cause: Cause, clock: CauseClock| {
        let running = match clock {
            CauseClock::Running(_) => true,
            CauseClock::Fresh | CauseClock::Paused(_) => false,
        };
        match clock.paused(now) {
            CauseClock::Paused(Left { spent_secs, to_lock_secs, to_stop_secs, paused_at: _ }) => {
                Some(CarriedClock { cause, running, spent_secs, to_lock_secs, to_stop_secs })
            }
            CauseClock::Fresh | CauseClock::Running(_) => None,
        }
    };
    [(Cause::Expiry, clocks.expiry), (Cause::Capacity, clocks.capacity)]
        .into_iter()
        .filter_map(|(cause, clock)| one(cause, clock))
        .collect()
}

fn spent(clock: &CarriedClock) -> String {
    let what = match (clock.to_lock_secs, clock.running) {
        (Seconds::ZERO, true) => String::from("the lock has come"),
        (Seconds::ZERO, false) => String::from("a fault would lock it at once"),
        (left, true) => format!("it runs, and {} are left to the lock", duration(left)),
        (left, false) => format!("it stands still, and {} are left to the lock", duration(left)),
    };
    let (cause, spent) = (clock.cause.name(), duration(clock.spent_secs));
    format!("on that of {cause} {spent} are spent, {what} and {} to the stop", duration(clock.to_stop_secs))
}

/// How it came, as the predicate of a sentence.
fn came(organization: &Organization, origin: Option<&Origin>) -> String {
    match origin {
        // A group that was deleted since has its id left.
        Some(Origin::Moved { from }) => match organization.group(*from) {
            Some(group) => format!("came from {}", group.name),
            None => format!("came from group {from}"),
        },
        Some(Origin::Within { site }) => {
            format!("left site {}, which had brought them,", name_of(organization, &Holder::Site(*site)))
        }
        Some(Origin::Returned) => String::from("was retired before, came back"),
        Some(Origin::Trial) => String::from("was converted after its trial had ended"),
        Some(Origin::Replaced { device }) => format!("took the place of {device}"),
        None => String::from("came"),
    }
}
