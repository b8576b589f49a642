//! Reading the calculator's input: bounds first, every mistake noted.

use super::super::coterm::{Pool, PoolLine, term_end};
use super::super::license_key::{GROUP_MAX_LINES, QUANTITY_MAX, TERM_MAX_DAYS};
use super::{Input, Line, MAX_PROBLEMS, Problem, ProblemCode, Problems};
use crate::product::{ProductType, ProductTypeError};
use crate::time::{Timestamp, TimestampError};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

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
    if slots.len() as u64 > GROUP_MAX_LINES {
        problems.add(ProblemCode::TooManyLines, "lines", format!("give at most {GROUP_MAX_LINES} lines"));
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
    let mut pool = Pool::EMPTY;
    lines.iter().for_each(|line| pool.add(&line.pooled));
    match (pool.coterm(), lines.iter().map(|line| line.created_at).min()) {
        (Some(coterm), Some(since)) if problems.errors.is_empty() => {
            Ok(Input { at, since, lines, mass: pool.mass(), coterm })
        }
        (Some(_) | None, _) => Err(problems),
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
            "quantity" => checked.quantity = integer(value, name, QUANTITY_MAX, &mut problems),
            "price" => checked.price = integer(value, name, QUANTITY_MAX, &mut problems),
            "term_days" => checked.term_days = integer(value, name, u64::from(TERM_MAX_DAYS), &mut problems),
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
            let end = term_end(created_at, u32::try_from(days).unwrap_or(u32::MAX));
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
                Ok(Line { product, created_at, pooled: PoolLine { quantity, weight: price, ends_at: end } })
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
            let error: ProductTypeError = error;
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
            let error: TimestampError = error;
            problems.add(ProblemCode::NotAnInstant, name, error.to_string());
            None
        }
        None => {
            problems.add(ProblemCode::WrongType, name, format!("`{name}` is an RFC 3339 text"));
            None
        }
    }
}
