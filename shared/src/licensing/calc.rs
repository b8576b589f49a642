//! The co-termination calculator: the formula of domain D1 on lines anyone can write down, without any books.
//!
//! **Problem.** A buyer asks "when would all of this end?", an auditor asks "why this date?", and neither has, or wants,
//! an account. **Method.** JSON in, JSON out. Every line is checked and every mistake is reported, each with a code and
//! the place it is at; the answer is exact (reduced fractions of days and months) beside the rounded text of domain D6.
//! **Deliberately absent:** groups, compliance and renewals, which need books; and files, which belong to the command.

mod read;

pub use read::parse;

use super::coterm::{ExactInstant, Fraction, PoolLine};
use crate::product::ProductType;
use crate::time::{DAY_SECS, Timestamp};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::Serialize;

/// Mistakes reported at once; what exceeds this is only counted.
pub const MAX_PROBLEMS: usize = 1_000;
/// A month, for display only: a twelfth of 365 days (domain D2).
pub const MONTH_SECS: u64 = 2_628_000;

/// One line of a calculation, within the bounds of domain §1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    product: ProductType,
    created_at: Timestamp,
    pooled: PoolLine,
}

/// What to calculate: 1 to 10⁶ lines, and optionally the instant to count the remaining time from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    at: Option<Timestamp>,
    since: Timestamp,
    lines: Vec<Line>,
    mass: u128,
    coterm: ExactInstant,
}

/// The closed list of mistakes an input can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProblemCode {
    /// The text is not JSON.
    MalformedJson,
    /// A field that is required is absent.
    MissingField,
    /// A field nobody reads: likely a misspelling.
    UnknownField,
    /// A value of another JSON type than the field's.
    WrongType,
    /// A number that is not an integer within the field's bounds.
    OutOfRange,
    /// A text that names no product type.
    UnknownProduct,
    /// A text that is not RFC 3339 between 1970 and 9999.
    NotAnInstant,
    /// Creation plus term lies past the year 9999.
    EndTooLate,
    /// No lines: there is nothing to average.
    NoLines,
    /// More than 10⁶ lines.
    TooManyLines,
}

/// One mistake in an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What kind of mistake.
    pub code: ProblemCode,
    /// Where: `at`, `lines`, `lines[3].price`; empty for the whole text.
    pub field: String,
    /// One sentence that says what to write instead.
    pub message: String,
}

/// Every mistake of an input, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problems {
    /// The mistakes, at most [`MAX_PROBLEMS`].
    pub errors: Vec<Problem>,
    /// How many more there are.
    pub omitted: usize,
}

impl Problems {
    fn add(&mut self, code: ProblemCode, field: impl Into<String>, message: impl Into<String>) {
        if self.errors.len() < MAX_PROBLEMS {
            self.errors.push(Problem { code, field: field.into(), message: message.into() });
        } else {
            self.omitted = self.omitted.saturating_add(1);
        }
    }

    fn none() -> Problems {
        Problems { errors: Vec::new(), omitted: 0 }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mistake(s) in the input", self.errors.len().saturating_add(self.omitted))
    }
}

/// An exact time between two instants in days or months; negative if the second is earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    negative: bool,
    size: Fraction,
}

impl Span {
    fn between(from: Timestamp, to: ExactInstant, unit_secs: u64) -> Option<Span> {
        let to = to.exact_secs();
        // At most 2.6·10¹¹ s over a denominator of at most 10²⁴: far from the end of u128, even in hundredths.
        let from = u128::from(from.as_secs()).checked_mul(to.denominator())?;
        let denominator = to.denominator().checked_mul(u128::from(unit_secs))?;
        let size = Fraction::new(to.numerator().abs_diff(from), denominator)?;
        Some(Span { negative: to.numerator() < from, size })
    }

    /// The nearest multiple of 1/`parts`, counted in such parts; halves go up (domain D6).
    fn half_up(self, parts: u128) -> i128 {
        let (n, d) = (self.size.numerator().saturating_mul(2 * parts), self.size.denominator());
        let up = if self.negative { d - 1 } else { d };
        let size = n.saturating_add(up).checked_div(d.saturating_mul(2)).unwrap_or(0);
        let size = i128::try_from(size).unwrap_or(i128::MAX);
        if self.negative { -size } else { size }
    }

    fn two_decimals(self) -> String {
        let hundredths = self.half_up(100);
        let sign = if hundredths < 0 { "-" } else { "" };
        let size = hundredths.unsigned_abs();
        format!("{sign}{}.{:02}", size / 100, size % 100)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.negative { "-" } else { "" })?;
        self.size.fmt(f)
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The answer. Fractions are exact and in lowest terms; what ends in `_shown` is rounded for people (domain D6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The co-termination instant, floored to the second (domain D1).
    pub coterm_at: Timestamp,
    /// The earliest creation of a line, from which `exact_days` counts.
    pub since: Timestamp,
    /// Exact days from `since` to co-termination.
    pub exact_days: Span,
    /// `exact_days`, half-up to whole days.
    pub days_shown: i128,
    /// What is left at the instant that was asked about; absent if none was.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<Remaining>,
    /// Each line's part in the mean, in the order of the input.
    pub lines: Vec<Share>,
}

/// What is left of the term at `at`; negative once it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// The instant asked about.
    pub at: Timestamp,
    /// Exact days left.
    pub exact_days: Span,
    /// Exact months of 2,628,000 s left (domain D2).
    pub exact_months: Span,
}

impl Serialize for Remaining {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry("at", &self.at)?;
        map.serialize_entry("remaining_exact_days", &self.exact_days)?;
        map.serialize_entry("remaining_days_shown", &self.exact_days.half_up(1))?;
        map.serialize_entry("remaining_exact_months", &self.exact_months)?;
        map.serialize_entry("remaining_months_shown", &self.exact_months.two_decimals())?;
        map.end()
    }
}

/// One line's part in the mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// What the line licenses.
    pub product: ProductType,
    /// When the line alone would end: creation plus term.
    pub ends_at: Timestamp,
    /// quantity × price over the sum of all, exact.
    pub weight_share: Fraction,
    /// The same for people, half-up to two decimals: `42.19%`.
    pub weight_percent: String,
}

/// The co-termination of `input`, exactly (domain D1), with what every line contributes to it.
///
/// `None` only if a number left the bounds of domain §1, which [`parse`] does not let through.
#[must_use]
pub fn answer(input: &Input) -> Option<Answer> {
    let exact_days = Span::between(input.since, input.coterm, DAY_SECS)?;
    let remaining = |at: Timestamp| -> Option<Remaining> {
        let exact_days = Span::between(at, input.coterm, DAY_SECS)?;
        Some(Remaining { at, exact_days, exact_months: Span::between(at, input.coterm, MONTH_SECS)? })
    };
    Some(Answer {
        coterm_at: input.coterm.floor(),
        since: input.since,
        exact_days,
        days_shown: exact_days.half_up(1),
        remaining: match input.at {
            Some(at) => Some(remaining(at)?),
            None => None,
        },
        lines: input.lines.iter().map(|line| line.share(input.mass)).collect::<Option<_>>()?,
    })
}

impl Line {
    fn share(&self, total: u128) -> Option<Share> {
        let weight_share = Fraction::new(self.pooled.mass(), total)?;
        let percent =
            Span { negative: false, size: Fraction::new(self.pooled.mass().checked_mul(100)?, total)? };
        Some(Share {
            product: self.product,
            ends_at: self.pooled.ends_at,
            weight_share,
            weight_percent: format!("{}%", percent.two_decimals()),
        })
    }
}

#[cfg(test)]
mod tests;
