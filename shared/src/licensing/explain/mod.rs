//! A group explained to the person who must answer for it (domain T2).
//!
//! **Problem.** A date that is a weighted mean, a verdict with two clocks and a ladder of instants are only trusted if
//! anyone can recompute them. **Method.** Everything a screen shows of a group is taken apart into the figures it was
//! made of, each with a sentence; [`GroupExplanation::text`] is the whole as a page, so that the command, the console
//! and a notice say the same. **Deliberately absent:** any rule. What is explained was decided elsewhere.

mod carried;
mod cure;
mod date;
mod ladder;
mod text;

pub use carried::{CarriedClock, CarriedExplanation};
pub use cure::Cure;
pub(super) use cure::{cures, missing};
pub use date::{DateExplanation, DateLine, Direction, MoveExplanation, RenewalExplanation};
pub(super) use date::{Distance, distance};
pub use ladder::{Cause, CauseExplanation, LadderStep, PausedClock};

use super::coterm::Fraction;
use super::group::Group;
use super::ladders::{EarlyDevices, Ladders};
use super::organization::Organization;
use super::safety::SafetyView;
use crate::id::GroupId;
use crate::time::Timestamp;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::Serialize;

/// The most steps of the ladder that are listed one by one.
const STEPS_SHOWN: usize = 100;

/// Everything behind a group's date and verdict (domain T2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupExplanation {
    /// The group.
    pub group: GroupId,
    /// Its name.
    pub name: String,
    /// The instant it is explained at.
    pub at: Timestamp,
    /// The date, line by line; `None` if the group has none.
    pub date: Option<DateExplanation>,
    /// Why there is no date, if there is none.
    pub no_date: Option<String>,
    /// What moved the date last.
    pub moved: Option<MoveExplanation>,
    /// The renewals that wait, and what they will give.
    pub renewal: Option<RenewalExplanation>,
    /// Whether nothing is wrong.
    pub compliant: bool,
    /// Since when that is so, or is not so.
    pub since: Option<Timestamp>,
    /// Every present cause, since when, and what follows.
    pub why: Vec<CauseExplanation>,
    /// What happened and happens when, of all causes together and for how many devices, in order, at most 100 steps.
    pub ladder: Vec<LadderStep>,
    /// How many steps there are.
    pub ladder_count: usize,
    /// The devices that are ahead of the rest, if any are (domain E2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early: Option<EarlyDevices>,
    /// What waits for the vendor, and what is frozen (domain E6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safety: Option<SafetyView>,
    /// What is left on clocks that stand still.
    pub paused: Vec<PausedClock>,
    /// Clocks that sites and devices brought along, at most 100 of them.
    pub carried: Vec<CarriedExplanation>,
    /// How many brought clocks along.
    pub carried_count: usize,
    /// What would make it compliant again, the cheapest first.
    pub cures: Vec<Cure>,
    /// All of it as a page, line by line.
    pub text: Vec<String>,
}

impl GroupExplanation {
    /// Explains `group` at `now`.
    #[must_use]
    pub fn of(organization: &Organization, group: &Group, now: Timestamp) -> GroupExplanation {
        let judged = &group.assessment;
        let ladders = Ladders::of(organization, group);
        let why = ladder::causes(group, &ladders);
        let mut steps = ladder::steps(group, &ladders, now);
        let ladder_count = steps.len();
        steps.truncate(STEPS_SHOWN);
        let mut explanation = GroupExplanation {
            group: group.id,
            name: group.name.to_string(),
            at: now,
            date: DateExplanation::of(organization, group, now),
            no_date: date::why_none(group),
            moved: group.last_moved.as_ref().map(MoveExplanation::of),
            renewal: RenewalExplanation::of(organization, group),
            compliant: judged.is_compliant(),
            since: judged.compliant_since.or_else(|| why.iter().filter_map(|cause| cause.since).min()),
            why,
            ladder: steps,
            ladder_count,
            early: ladders.early,
            safety: SafetyView::of(organization, Some(group.id), now),
            paused: ladder::paused(group),
            carried: carried::carried(organization, group, now),
            carried_count: judged.carried.len(),
            cures: cures(organization, group, now),
            text: Vec::new(),
        };
        explanation.text = text::page(&explanation);
        explanation
    }
}

/// A part as a percentage with two decimals, half up: for display only (domain D6).
fn percent(part: &Fraction) -> String {
    let hundredths = part
        .numerator()
        .checked_mul(10_000)
        .and_then(|scaled| Fraction::new(scaled, part.denominator()))
        .map_or(0, |scaled| scaled.round_half_up());
    let (whole, rest) = (hundredths.checked_div(100).unwrap_or(0), hundredths.checked_rem(100).unwrap_or(0));
    format!("{whole}.{rest:02} %")
}

/// A number of days in words.
pub(super) fn days(count: u128) -> String {
    if count == 1 { String::from("1 day") } else { format!("{} days", grouped(count)) }
}

/// A number with its thousands apart, so that a person can read fifteen digits.
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len().saturating_mul(2));
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index).checked_rem(3) == Some(0) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Units in words: `3 camera, 1 door`.
pub(super) fn units(units: &super::compliance::Units) -> String {
    let each: Vec<String> = units.iter().map(|(product, count)| format!("{count} {product}")).collect();
    if each.is_empty() { String::from("nothing") } else { each.join(", ") }
}

/// A duration in words, as precise as a person needs it.
pub(super) fn duration(secs: crate::time::Seconds) -> String {
    let part = |unit: u64| secs.0.checked_div(unit).unwrap_or(0);
    let rest = |unit: u64, of: u64| secs.0.checked_rem(of).unwrap_or(0).checked_div(unit).unwrap_or(0);
    if secs.0 >= 2 * crate::time::DAY_SECS {
        match rest(3600, crate::time::DAY_SECS) {
            0 => days(u128::from(part(crate::time::DAY_SECS))),
            hours => format!("{} {hours} h", days(u128::from(part(crate::time::DAY_SECS)))),
        }
    } else if secs.0 >= 3600 {
        format!("{} h {} min", part(3600), rest(60, 3600))
    } else if secs.0 >= 60 {
        format!("{} min {} s", part(60), rest(1, 60))
    } else {
        format!("{} s", secs.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{DAY_SECS, Seconds};

    #[test]
    fn numbers_and_durations_read_well() {
        for (secs, expect) in [
            (5, "5 s"),
            (65, "1 min 5 s"),
            (3600, "1 h 0 min"),
            (DAY_SECS, "24 h 0 min"),
            (2 * DAY_SECS, "2 days"),
            (19 * DAY_SECS + 3600 * 7, "19 days 7 h"),
        ] {
            assert_eq!(duration(Seconds(secs)), expect);
        }
        for (number, expect) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), expect);
        }
        assert_eq!((days(1), days(1200)), ("1 day".into(), "1,200 days".into()));
        assert_eq!(percent(&Fraction::new(1, 3).unwrap()), "33.33 %");
        assert_eq!(percent(&Fraction::new(2, 3).unwrap()), "66.67 %");
    }
}
