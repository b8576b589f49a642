//! The co-termination date as the arithmetic that made it (domain D1, D6, T2).

use super::{days, percent, units};
use crate::id::KeyId;
use crate::licensing::compliance::{Term, Units};
use crate::licensing::coterm::{ExactInstant, Fraction, Pool, PoolLine};
use crate::licensing::group::{DateMoved, Group};
use crate::licensing::license_key::{KeyState, LicenseKey};
use crate::licensing::organization::Organization;
use crate::platform::code::masked;
use crate::product::ProductType;
use crate::time::{DAY_SECS, Timestamp};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Ordering;
use serde::Serialize;

/// The most lines that are listed one by one; the sums always contain all.
pub(super) const LINES_SHOWN: usize = 1000;

/// One line of a key in the mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DateLine {
    /// The key.
    pub key: KeyId,
    /// Its code, masked (domain K1).
    pub code: String,
    /// The order it was bought with.
    pub order_number: String,
    /// What the line licenses.
    pub product: ProductType,
    /// Units.
    pub quantity: u64,
    /// The weight of one unit.
    pub weight: u64,
    /// When the line's own term ends.
    pub ends_at: Timestamp,
    /// The same in seconds since 1970, as the formula takes it.
    pub ends_at_secs: u64,
    /// Quantity × weight, as text: it may be too large for a JSON number.
    pub mass: String,
    /// Quantity × weight × end, as text.
    pub moment: String,
    /// Its exact share of all quantity × weight.
    pub share: Fraction,
    /// The share with two decimals, for people.
    pub share_percent: String,
}

/// A co-termination date, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DateExplanation {
    /// The lines, at most 1,000 of them; the sums contain all.
    pub lines: Vec<DateLine>,
    /// How many lines there are.
    pub line_count: usize,
    /// Σ quantity × weight × end, as text.
    pub sum_moment: String,
    /// Σ quantity × weight, as text.
    pub sum_mass: String,
    /// The exact instant in seconds since 1970: the first sum by the second, reduced.
    pub exact_secs: ExactInstant,
    /// Floored to the second (domain D1).
    pub coterm_at: Timestamp,
    /// Whether it has passed (domain D4).
    pub ended: bool,
    /// Days from now to it, or since it if it has passed, half up (domain D6).
    pub days: u128,
    /// The exact days to it; `None` if it has passed.
    pub exact_days: Option<Fraction>,
    /// The result in a sentence.
    pub sentence: String,
}

impl DateExplanation {
    pub(super) fn of(organization: &Organization, group: &Group, now: Timestamp) -> Option<DateExplanation> {
        let (exact, keys) = match group.figures.term {
            Term::NeverLicensed | Term::Emptied => return None,
            Term::Running { coterm } => {
                (coterm, group.active_keys().filter_map(|id| organization.key(id)).collect())
            }
            Term::Ended { coterm } => (coterm, retired_together(organization, group)),
        };
        let lines: Vec<(&LicenseKey, ProductType, PoolLine)> = keys
            .into_iter()
            .flat_map(|key| {
                key.issued.lines.iter().map(move |line| {
                    let (quantity, weight, ends_at) = (line.quantity, line.weight, key.ends_at);
                    (key, line.product, PoolLine { quantity, weight, ends_at })
                })
            })
            .collect();
        let mut pool = Pool::EMPTY;
        lines.iter().for_each(|(_, _, line)| pool.add(line));
        let coterm_at = exact.floor();
        let exact_days = exact.days_since(now);
        let passed = now.since(coterm_at).0;
        let shown = match exact_days {
            Some(ahead) => ahead.round_half_up(),
            None => Fraction::new(u128::from(passed), u128::from(DAY_SECS)).map_or(0, |d| d.round_half_up()),
        };
        let ended = exact_days.is_none();
        let sentence = if ended {
            format!("All its licenses ended together at {coterm_at}, {} ago.", days(shown))
        } else {
            format!("All its licenses end together at {coterm_at}, in {}.", days(shown))
        };
        Some(DateExplanation {
            lines: lines.iter().take(LINES_SHOWN).filter_map(|line| shown_line(line, &pool)).collect(),
            line_count: lines.len(),
            sum_moment: pool.moment().to_string(),
            sum_mass: pool.mass().to_string(),
            exact_secs: exact,
            coterm_at,
            ended,
            days: shown,
            exact_days,
            sentence,
        })
    }
}

fn shown_line((key, product, line): &(&LicenseKey, ProductType, PoolLine), pool: &Pool) -> Option<DateLine> {
    let share = Fraction::new(line.mass(), pool.mass())?;
    Some(DateLine {
        key: key.issued.id,
        code: masked(&key.issued.code_tail),
        order_number: key.issued.order_number.as_str().to_string(),
        product: *product,
        quantity: line.quantity,
        weight: line.weight,
        ends_at: line.ends_at,
        ends_at_secs: line.ends_at.as_secs(),
        mass: line.mass().to_string(),
        moment: line.moment().to_string(),
        share,
        share_percent: percent(&share),
    })
}

/// The keys of the pool that ended last (domain D4): all that retired at the latest end.
fn retired_together<'a>(organization: &'a Organization, group: &Group) -> Vec<&'a LicenseKey> {
    let retired = |key: &LicenseKey| match key.state {
        KeyState::Retired { group: Some(id), at } if id == group.id => Some(at),
        KeyState::Retired { .. }
        | KeyState::Active { .. }
        | KeyState::Queued { .. }
        | KeyState::Unassigned { .. }
        | KeyState::Split { .. }
        | KeyState::Transferred { .. } => None,
    };
    let last = organization.keys().filter_map(retired).max();
    organization.keys().filter(|key| last.is_some() && retired(key) == last).collect()
}

/// Why a group has no date.
pub(super) fn why_none(group: &Group) -> Option<String> {
    match group.figures.term {
        Term::NeverLicensed => Some(String::from("It has no date: no license key was ever claimed into it.")),
        Term::Emptied => Some(String::from("It has no date: all its license keys were moved away.")),
        Term::Running { .. } | Term::Ended { .. } => None,
    }
}

/// Which way a date moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The group got a date.
    Set,
    /// To a later instant.
    Later,
    /// To an earlier instant.
    Earlier,
    /// The group has no date any more.
    Removed,
}

/// A move of a date: how far and which way, exactly and as shown.
pub(in crate::licensing) struct Distance {
    pub(in crate::licensing) direction: Direction,
    pub(in crate::licensing) exact_days: Option<Fraction>,
    pub(in crate::licensing) days: u128,
}

/// How far a date moved; `None` if it did not.
pub(in crate::licensing) fn distance(
    from: Option<ExactInstant>,
    to: Option<ExactInstant>,
) -> Option<Distance> {
    let none = |direction| Some(Distance { direction, exact_days: None, days: 0 });
    let (from, to) = match (from, to) {
        (None, None) => return None,
        (None, Some(_)) => return none(Direction::Set),
        (Some(_), None) => return none(Direction::Removed),
        (Some(from), Some(to)) => (from, to),
    };
    let exact = to.days_from(&from);
    let (way, days) = exact.map_or_else(
        || {
            // Too fine for 128 bits: to the second will do.
            let (a, b) = (from.floor(), to.floor());
            let secs = u128::from(b.since(a).0.max(a.since(b).0));
            let days = Fraction::new(secs, u128::from(DAY_SECS)).map_or(0, |days| days.round_half_up());
            (b.cmp(&a), days)
        },
        |(way, days)| (way, days.round_half_up()),
    );
    let direction = match way {
        Ordering::Equal => return None,
        Ordering::Greater => Direction::Later,
        Ordering::Less => Direction::Earlier,
    };
    Some(Distance { direction, exact_days: exact.map(|(_, days)| days), days })
}

/// What moved a date last (domain T2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MoveExplanation {
    /// The name of the event.
    pub by: String,
    /// Its number in the log.
    pub seq: u64,
    /// When it was.
    pub at: Timestamp,
    /// Which way the date moved.
    pub direction: Direction,
    /// The exact instant before.
    pub from: Option<ExactInstant>,
    /// The exact instant after.
    pub to: Option<ExactInstant>,
    /// By how many days, exactly; `None` if there was no date on one side.
    pub exact_days: Option<Fraction>,
    /// By how many days, half up (domain D6).
    pub days: u128,
    /// The same in a sentence.
    pub sentence: String,
}

impl MoveExplanation {
    pub(super) fn of(moved: &DateMoved) -> MoveExplanation {
        let Distance { direction, exact_days, days: shown } = distance(moved.from, moved.to)
            .unwrap_or(Distance { direction: Direction::Set, exact_days: None, days: 0 });
        let what = match direction {
            Direction::Set => String::from("gave the group its date"),
            Direction::Removed => String::from("took the group's date away"),
            Direction::Later => format!("moved it {} later", days(shown)),
            Direction::Earlier => format!("moved it {} earlier", days(shown)),
        };
        let exactly = match exact_days {
            Some(exact) if exact.denominator() != 1 => format!(" (exactly {exact} days)"),
            Some(_) | None => String::new(),
        };
        let (by, version, at) = (&moved.by, moved.version, moved.at);
        MoveExplanation {
            by: moved.by.clone(),
            seq: moved.version,
            at: moved.at,
            direction,
            from: moved.from,
            to: moved.to,
            exact_days,
            days: shown,
            sentence: format!("Last, `{by}` {what}{exactly} at {at}: entry {version} of the log."),
        }
    }
}

/// The renewals that wait (domain K3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RenewalExplanation {
    /// The keys, codes masked, at most 1,000 of them.
    pub keys: Vec<String>,
    /// The units they will grant.
    pub capacity: Units,
    /// The units in use now that they will not cover.
    pub missing: Units,
    /// When they begin: when the present term ends.
    pub begins_at: Option<Timestamp>,
    /// When they end, exactly.
    pub exact_secs: Option<ExactInstant>,
    /// When they end, floored.
    pub renewed_until: Option<Timestamp>,
    /// The same in a sentence.
    pub sentence: String,
}

/// What is in use beyond a capacity.
fn short(group: &Group, capacity: &Units) -> Units {
    let granted = |product| capacity.get(product).copied().unwrap_or(0);
    let short =
        group.figures.in_use.iter().map(|(product, used)| (*product, used.saturating_sub(granted(product))));
    short.filter(|(_, shortfall)| *shortfall > 0).collect()
}

impl RenewalExplanation {
    pub(super) fn of(organization: &Organization, group: &Group) -> Option<RenewalExplanation> {
        let renewal = group.figures.renewal.as_ref()?;
        let begins_at = group.figures.term.coterm_at();
        let exact = begins_at.and_then(|at| renewal.coterm_if_activated_at(at));
        let count = group.queued_keys().count();
        let granted = units(&renewal.capacity);
        let keys =
            if count == 1 { String::from("1 renewal waits") } else { format!("{count} renewals wait") };
        let mut sentence = match begins_at.zip(exact) {
            Some((begin, exact)) => format!(
                "{keys}: on {begin} they take over with {granted}, and the group's new date will be {}.",
                exact.floor()
            ),
            None => format!("{keys} with {granted}."),
        };
        let missing = short(group, &renewal.capacity);
        if !missing.is_empty() {
            sentence.push_str(&format!(
                " They are too small for what is in use now: {} will be missing.",
                units(&missing)
            ));
        }
        let waiting = group.queued_keys().take(LINES_SHOWN).filter_map(|id| organization.key(id));
        Some(RenewalExplanation {
            keys: waiting.map(|key| masked(&key.issued.code_tail)).collect(),
            capacity: renewal.capacity.clone(),
            missing,
            begins_at,
            exact_secs: exact,
            renewed_until: exact.map(|exact| exact.floor()),
            sentence,
        })
    }
}
