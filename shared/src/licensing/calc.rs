//! The co-termination calculator: the formula of domain D1 on lines anyone can write down, without any books.
//!
//! **Problem.** A buyer asks "when would all of this end?", an auditor asks "why this date?", and neither has, or wants,
//! an account. **Method.** JSON in, JSON out. Every line is checked and every mistake is reported, each with a code and
//! the place it is at; the answer is exact (reduced fractions of days and months) beside the rounded text of domain D6.
//! **Deliberately absent:** groups, compliance and renewals, which need books; and files, which belong to the command.

use crate::product::ProductType;
use crate::time::{DAY_SECS, Seconds, Timestamp};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Quantity and price (weight): 1 to this (domain §1).
pub const MAX_FACTOR: u64 = 1_000_000_000;
/// Term in days: 1 to this (domain §1).
pub const MAX_TERM_DAYS: u64 = 36_500;
/// Lines of one calculation, as of one group (domain §1).
pub const MAX_LINES: usize = 1_000_000;
/// Mistakes reported at once; what exceeds this is only counted.
pub const MAX_PROBLEMS: usize = 1_000;
/// A month, for display only: a twelfth of 365 days (domain D2).
pub const MONTH_SECS: u64 = 2_628_000;

/// One line of a calculation: `quantity` units of a product at `price`, for `term` from `created_at`. Within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    product: ProductType,
    quantity: u64,
    price: u64,
    created_at: Timestamp,
    end: Timestamp,
}

/// What to calculate: 1 to [`MAX_LINES`] lines, and optionally the instant to count the remaining time from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    at: Option<Timestamp>,
    lines: Vec<Line>,
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
    /// More than [`MAX_LINES`] lines.
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

/// A whole or broken number in lowest terms; prints as `730` or `172645/224`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    numerator: i128,
    denominator: i128,
}

impl Fraction {
    /// `numerator / denominator` in lowest terms; a denominator below 1 is taken as 1.
    #[must_use]
    pub const fn new(numerator: i128, denominator: i128) -> Fraction {
        let denominator = if denominator < 1 { 1 } else { denominator };
        let (mut a, mut b) = (numerator.unsigned_abs(), denominator.unsigned_abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        // The divisor of a positive i128 is one itself, so neither the cast nor the division can go wrong.
        let divisor = if a == 0 { 1 } else { a as i128 };
        Fraction { numerator: numerator / divisor, denominator: denominator / divisor }
    }

    /// The nearest multiple of 1/`parts`, in such parts; halves go up (domain D6).
    #[must_use]
    pub const fn half_up(self, parts: i128) -> i128 {
        self.numerator
            .saturating_mul(2 * parts)
            .saturating_add(self.denominator)
            .div_euclid(self.denominator.saturating_mul(2))
    }

    /// Rounded half-up to two decimals, as text: `8.92`, `-0.50`.
    #[must_use]
    pub fn two_decimals(self) -> String {
        let hundredths = self.half_up(100);
        let sign = if hundredths < 0 { "-" } else { "" };
        let size = hundredths.unsigned_abs();
        format!("{sign}{}.{:02}", size / 100, size % 100)
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.denominator == 1 {
            write!(f, "{}", self.numerator)
        } else {
            write!(f, "{}/{}", self.numerator, self.denominator)
        }
    }
}

impl Serialize for Fraction {
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
    pub exact_days: Fraction,
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
    pub exact_days: Fraction,
    /// Exact months of 2,628,000 s left (domain D2).
    pub exact_months: Fraction,
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

/// Reads an input: `{"at"?, "lines": [{"product", "quantity", "price", "term_days", "created_at"}...]}`.
///
/// # Errors
/// Every mistake at once. Only text that is not JSON, or not an object with a list, ends the search early.
pub fn parse(json: &[u8]) -> Result<Input, Problems> {
    let mut problems = Problems::none();
    let written: Written = match serde_json::from_slice(json) {
        Ok(written) => written,
        Err(error) => {
            let code = if error.is_data() { ProblemCode::WrongType } else { ProblemCode::MalformedJson };
            problems.add(code, "", format!("{error}; see `coterm calc --help` for the form of the input"));
            return Err(problems);
        }
    };
    for name in &written.unknown {
        problems.add(ProblemCode::UnknownField, name, "the fields are `at` and `lines`");
    }
    let at = match &written.at {
        None | Some(Value::Null) => None,
        Some(value) => instant(value, "at", &mut problems),
    };
    let slots = written.lines.unwrap_or_default();
    if slots.is_empty() {
        problems.add(ProblemCode::NoLines, "lines", "give at least one line");
    }
    if slots.len() > MAX_LINES {
        problems.add(ProblemCode::TooManyLines, "lines", format!("give at most {MAX_LINES} lines"));
    }
    let mut lines = Vec::with_capacity(slots.len());
    for (index, slot) in slots.into_iter().enumerate() {
        match slot.0 {
            Ok(line) => lines.push(line),
            Err(found) => {
                for Problem { code, field, message } in found {
                    let dot = if field.is_empty() { "" } else { "." };
                    problems.add(code, format!("lines[{index}]{dot}{field}"), message);
                }
            }
        }
    }
    if problems.errors.is_empty() { Ok(Input { at, lines }) } else { Err(problems) }
}

/// The co-termination of `input`, exactly (domain D1), with what every line contributes to it.
#[must_use]
pub fn answer(input: &Input) -> Answer {
    let since = input.lines.iter().map(|line| line.created_at).min().unwrap_or(Timestamp::EPOCH);
    // ≤ 10⁶ lines of at most 10⁹ · 10⁹ · 2.6·10¹¹: below 2.6·10³⁵, an eighth of a thousandth of what i128 holds.
    let (mut credit, mut weight) = (0_i128, 0_i128);
    for line in &input.lines {
        credit += line.weight() * i128::from(line.end.as_secs());
        weight += line.weight();
    }
    let until = |from: Timestamp, unit_secs: u64| {
        Fraction::new(credit - weight * i128::from(from.as_secs()), weight * i128::from(unit_secs))
    };
    let floored = u64::try_from(credit.div_euclid(weight.max(1))).unwrap_or(0);
    let exact_days = until(since, DAY_SECS);
    Answer {
        coterm_at: Timestamp::from_secs_clamped(floored),
        since,
        exact_days,
        days_shown: exact_days.half_up(1),
        remaining: input.at.map(|at| Remaining {
            at,
            exact_days: until(at, DAY_SECS),
            exact_months: until(at, MONTH_SECS),
        }),
        lines: input.lines.iter().map(|line| line.share(weight)).collect(),
    }
}

impl Line {
    fn weight(&self) -> i128 {
        i128::from(self.quantity) * i128::from(self.price)
    }

    fn share(&self, total: i128) -> Share {
        let weight_share = Fraction::new(self.weight(), total);
        let percent = Fraction::new(self.weight() * 100, total);
        Share {
            product: self.product,
            ends_at: self.end,
            weight_share,
            weight_percent: format!("{}%", percent.two_decimals()),
        }
    }
}

/// The input as it was written, before its values are judged.
#[derive(Default)]
struct Written {
    at: Option<Value>,
    lines: Option<Vec<Slot>>,
    unknown: Vec<String>,
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with the list `lines` and, optionally, the instant `at`")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
                let mut written = Written::default();
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "at" => written.at = Some(map.next_value()?),
                        "lines" => written.lines = Some(map.next_value()?),
                        _ => {
                            map.next_value::<serde::de::IgnoredAny>()?;
                            if written.unknown.len() < MAX_PROBLEMS {
                                written.unknown.push(name);
                            }
                        }
                    }
                }
                Ok(written)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// One element of `lines`: judged as soon as it is read, so that a long list is never held as a tree of JSON values.
struct Slot(Result<Line, Vec<Problem>>);

impl<'de> Deserialize<'de> for Slot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Slot(line(&value)))
    }
}

const LINE_FIELDS: [&str; 5] = ["product", "quantity", "price", "term_days", "created_at"];

fn line(value: &Value) -> Result<Line, Vec<Problem>> {
    let mut problems = Problems::none();
    let Some(fields) = value.as_object() else {
        problems.add(ProblemCode::WrongType, "", "a line is an object");
        return Err(problems.errors);
    };
    for name in fields.keys().filter(|name| !LINE_FIELDS.contains(&name.as_str())) {
        problems.add(ProblemCode::UnknownField, name, format!("the fields are {}", LINE_FIELDS.join(", ")));
    }
    let mut read = |name: &str| -> Option<&Value> {
        let value = fields.get(name).filter(|value| !value.is_null());
        if value.is_none() {
            problems.add(ProblemCode::MissingField, name, format!("`{name}` is required"));
        }
        value
    };
    let found = LINE_FIELDS.map(|name| (name, read(name)));
    let mut checked = CheckedLine::default();
    for (name, value) in found {
        let Some(value) = value else { continue };
        match name {
            "product" => checked.product = product(value, &mut problems),
            "quantity" => checked.quantity = integer(value, name, MAX_FACTOR, &mut problems),
            "price" => checked.price = integer(value, name, MAX_FACTOR, &mut problems),
            "term_days" => checked.term_days = integer(value, name, MAX_TERM_DAYS, &mut problems),
            _ => checked.created_at = instant(value, name, &mut problems),
        }
    }
    checked.complete(problems)
}

#[derive(Default)]
struct CheckedLine {
    product: Option<ProductType>,
    quantity: Option<u64>,
    price: Option<u64>,
    term_days: Option<u64>,
    created_at: Option<Timestamp>,
}

impl CheckedLine {
    fn complete(self, mut problems: Problems) -> Result<Line, Vec<Problem>> {
        let end = self.created_at.zip(self.term_days).and_then(|(created_at, days)| {
            let end = created_at.checked_add(Seconds::days(days));
            if end.is_none() {
                problems.add(
                    ProblemCode::EndTooLate,
                    "term_days",
                    "created_at + term_days is past the year 9999",
                );
            }
            end
        });
        match (self.product, self.quantity, self.price, self.created_at, end) {
            (Some(product), Some(quantity), Some(price), Some(created_at), Some(end))
                if problems.errors.is_empty() =>
            {
                Ok(Line { product, quantity, price, created_at, end })
            }
            _ => Err(problems.errors),
        }
    }
}

fn integer(value: &Value, name: &str, max: u64, problems: &mut Problems) -> Option<u64> {
    let wanted = format!("`{name}` is an integer from 1 to {max}");
    if !value.is_number() {
        problems.add(ProblemCode::WrongType, name, wanted);
        return None;
    }
    let number = value.as_u64().filter(|number| (1..=max).contains(number));
    if number.is_none() {
        problems.add(ProblemCode::OutOfRange, name, wanted);
    }
    number
}

fn product(value: &Value, problems: &mut Problems) -> Option<ProductType> {
    match value.as_str().map(str::parse) {
        Some(Ok(product)) => Some(product),
        Some(Err(error)) => {
            let error: crate::product::ProductTypeError = error;
            problems.add(ProblemCode::UnknownProduct, "product", error.to_string());
            None
        }
        None => {
            problems.add(
                ProblemCode::WrongType,
                "product",
                "`product` is a text such as \"camera\"".to_owned(),
            );
            None
        }
    }
}

fn instant(value: &Value, name: &str, problems: &mut Problems) -> Option<Timestamp> {
    match value.as_str().map(str::parse) {
        Some(Ok(at)) => Some(at),
        Some(Err(error)) => {
            let error: crate::time::TimestampError = error;
            problems.add(ProblemCode::NotAnInstant, name, error.to_string());
            None
        }
        None => {
            problems.add(ProblemCode::WrongType, name, format!("`{name}` is an RFC 3339 text"));
            None
        }
    }
}

#[cfg(test)]
mod tests;
