//! Reading a JSON body or a query field by field, so that every mistake in it is reported at once.
//!
//! A derived deserializer stops at the first wrong type. Here each field is asked for by name; what is wrong is noted and
//! reading goes on. A field nobody asked for is a mistake too: it is likely a misspelling, and a misspelt `dry_run` must
//! not become a change.

use super::json;
use super::problem::{Fault, Problem, Result};
use axum::http::StatusCode;
use coterm_shared::licensing::{hidden_in, plain};
use serde_json::{Map, Value};
use std::fmt::Display;
use std::str::FromStr;

/// Characters of a name.
const MAX_NAME: usize = 120;
/// What is said of a field that was given more than once.
const TWICE: &str = "given more than once";

/// The fields of a body or a query, and what was found wrong with them so far.
#[derive(Debug)]
pub struct Fields {
    map: Map<String, Value>,
    /// A query has only texts: its numbers and truth values are written as such.
    texts: bool,
    at: String,
    faults: Vec<Fault>,
    /// What was asked for, to say what is known if something else was given.
    asked: Vec<String>,
}

impl Fields {
    /// The fields of a JSON body; an empty body has none.
    ///
    /// # Errors
    /// 400 if it is not a JSON object.
    pub fn of_body(bytes: &[u8]) -> Result<Fields> {
        if bytes.is_empty() {
            return Ok(Fields::of(Map::new()));
        }
        match json::read(bytes) {
            Ok((Value::Object(map), twice)) => {
                let mut fields = Fields::of(map);
                twice.iter().for_each(|place| fields.fault("DUPLICATE_FIELD", place, TWICE));
                Ok(fields)
            }
            Ok(_) => Err(malformed("the body is JSON, but not an object")),
            Err(error) => Err(malformed(format!("the body is not JSON: {error}"))),
        }
    }

    /// The parameters of a query, all of them texts; `garbled` are those that are none.
    #[must_use]
    pub fn of_query(pairs: Vec<(String, String)>, garbled: &[String]) -> Fields {
        let mut fields = Fields { texts: true, ..Fields::of(Map::new()) };
        for (name, value) in pairs {
            if fields.map.insert(name.clone(), Value::String(value)).is_some() {
                fields.fault("DUPLICATE_FIELD", &name, TWICE);
            }
        }
        for name in garbled {
            fields.fault("INVALID_VALUE", name, format!("`{name}` is not percent-encoded UTF-8"));
        }
        fields
    }

    fn of(map: Map<String, Value>) -> Fields {
        Fields { map, texts: false, at: String::new(), faults: Vec::new(), asked: Vec::new() }
    }

    /// Notes a mistake.
    pub fn fault(&mut self, code: &str, field: &str, message: impl Into<String>) {
        let field = format!("{}{field}", self.at);
        self.faults.push(Fault::of_field(code, &field, message));
    }

    /// Notes a mistake that has more to be said about what to do.
    pub fn fault_with_hint(&mut self, code: &str, field: &str, message: impl Into<String>, hint: &str) {
        let field = format!("{}{field}", self.at);
        self.faults.push(Fault { hint: hint.to_owned(), ..Fault::of_field(code, &field, message) });
    }

    /// Whether a field is there and null, where that says something else than leaving it out.
    #[must_use]
    pub fn is_null(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(Value::is_null)
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.asked.push(name.to_owned());
        self.map.remove(name).filter(|value| !value.is_null())
    }

    fn required(&mut self, name: &str) -> Option<Value> {
        let value = self.take(name);
        if value.is_none() {
            self.fault("MISSING_FIELD", name, format!("`{name}` is required"));
        }
        value
    }

    /// A required name: 1 to [`MAX_NAME`] characters after trimming, all of them seen.
    pub fn name(&mut self, name: &str) -> Option<String> {
        let value = self.required(name)?;
        self.as_name(name, value)
    }

    fn as_name(&mut self, name: &str, value: Value) -> Option<String> {
        let Value::String(text) = value else {
            self.fault("WRONG_TYPE", name, format!("`{name}` is a text"));
            return None;
        };
        let text = plain(&text);
        if let Some(hidden) = hidden_in(&text) {
            self.fault("OUT_OF_RANGE", name, format!("`{name}` cannot contain {hidden}"));
            return None;
        }
        if !(1..=MAX_NAME).contains(&text.chars().count()) {
            self.fault("OUT_OF_RANGE", name, format!("`{name}` has 1 to {MAX_NAME} characters"));
            return None;
        }
        Some(text)
    }

    /// A required text that is a `T`.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let value = self.required(name)?;
        self.as_parsed(name, value)
    }

    /// An optional text that is a `T`: `Some(None)` if absent or null.
    #[expect(clippy::option_option, reason = "outer: could be read; inner: was given")]
    pub fn optional<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<Option<T>> {
        match self.take(name) {
            None => Some(None),
            Some(value) => self.as_parsed(name, value).map(Some),
        }
    }

    fn as_parsed<T: FromStr<Err: Display>>(&mut self, name: &str, value: Value) -> Option<T> {
        let Value::String(text) = value else {
            self.fault("WRONG_TYPE", name, format!("`{name}` is a text"));
            return None;
        };
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault("INVALID_VALUE", name, format!("`{name}` is {error}"));
                None
            }
        }
    }

    /// A required integer between `min` and `max`.
    pub fn integer(&mut self, name: &str, min: u64, max: u64) -> Option<u64> {
        let value = self.required(name)?;
        self.as_integer(name, &value, min, max)
    }

    /// An optional integer between `min` and `max`: `Some(None)` if absent or null.
    #[expect(clippy::option_option, reason = "outer: could be read; inner: was given")]
    pub fn optional_integer(&mut self, name: &str, min: u64, max: u64) -> Option<Option<u64>> {
        match self.take(name) {
            None => Some(None),
            Some(value) => self.as_integer(name, &value, min, max).map(Some),
        }
    }

    fn as_integer(&mut self, name: &str, value: &Value, min: u64, max: u64) -> Option<u64> {
        // A bound that is only the type's is not the one that counts: the rules say that, with their own sentence.
        let what = match max {
            0xffff_ffff | u64::MAX => format!("`{name}` is a whole number, {min} or more"),
            _ => format!("`{name}` is an integer from {min} to {max}"),
        };
        let number = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) if self.texts && text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().ok()
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                self.fault("WRONG_TYPE", name, what);
                return None;
            }
        };
        let number = number.filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.fault("OUT_OF_RANGE", name, what);
        }
        number
    }

    /// An optional truth value; `false` if absent.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.optional_flag(name).map(Option::unwrap_or_default)
    }

    /// A flag that may be absent: `Some(None)` then.
    #[expect(clippy::option_option, reason = "outer: could be read; inner: was given")]
    pub fn optional_flag(&mut self, name: &str) -> Option<Option<bool>> {
        match self.take(name) {
            None => Some(None),
            Some(Value::Bool(value)) => Some(Some(value)),
            Some(Value::String(text)) if self.texts && text == "true" => Some(Some(true)),
            Some(Value::String(text)) if self.texts && text == "false" => Some(Some(false)),
            Some(_) => {
                self.fault("WRONG_TYPE", name, format!("`{name}` is true or false"));
                None
            }
        }
    }

    /// A required list of 1 to `max` objects, each read by `item`.
    pub fn list<T>(
        &mut self,
        name: &str,
        max: usize,
        mut item: impl FnMut(&mut Fields) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::Array(values) = self.required(name)? else {
            self.fault("WRONG_TYPE", name, format!("`{name}` is a list of objects"));
            return None;
        };
        if values.is_empty() || values.len() > max {
            self.fault("OUT_OF_RANGE", name, format!("`{name}` has 1 to {max} elements"));
            return None;
        }
        let mut items = Vec::with_capacity(values.len());
        for (index, value) in values.into_iter().enumerate() {
            let at = format!("{}{name}[{index}]", self.at);
            let Value::Object(map) = value else {
                self.faults.push(Fault::of_field("WRONG_TYPE", &at, "an element is an object"));
                continue;
            };
            let mut fields = Fields { at: format!("{at}."), ..Fields::of(map) };
            items.extend(item(&mut fields));
            fields.note_unknown();
            self.faults.append(&mut fields.faults);
        }
        Some(items)
    }

    /// An optional object, whose fields `read` reads: `Some(None)` if absent or null.
    #[expect(clippy::option_option, reason = "outer: could be read; inner: was given")]
    pub fn object<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Fields) -> Option<T>,
    ) -> Option<Option<T>> {
        let map = match self.take(name) {
            None => return Some(None),
            Some(Value::Object(map)) => map,
            Some(_) => {
                self.fault("WRONG_TYPE", name, format!("`{name}` is an object"));
                return None;
            }
        };
        let mut fields = Fields { at: format!("{}{name}.", self.at), ..Fields::of(map) };
        let value = read(&mut fields);
        fields.note_unknown();
        self.faults.append(&mut fields.faults);
        value.map(Some)
    }

    fn note_unknown(&mut self) {
        let unknown: Vec<String> = self.map.keys().take(20).cloned().collect();
        let known = match self.asked.join("`, `") {
            none if none.is_empty() => String::from("there are no others"),
            names => format!("known are `{names}`"),
        };
        for name in unknown {
            self.fault("UNKNOWN_FIELD", &name, format!("`{name}` is not known here: {known}"));
        }
    }

    /// What `build` makes of the fields, if nothing is wrong with any of them.
    ///
    /// # Errors
    /// 422 with every mistake.
    pub fn finish<T>(mut self, build: impl FnOnce() -> Option<T>) -> Result<T> {
        self.note_unknown();
        match Problem::listing(StatusCode::UNPROCESSABLE_ENTITY, self.faults) {
            Some(problem) => Err(problem),
            None => build().ok_or_else(Problem::internal),
        }
    }
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "MALFORMED_JSON",
        detail,
        "Send one JSON object with `Content-Type: application/json`.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use coterm_shared::id::GroupId;

    fn codes(body: &str, read: impl FnOnce(&mut Fields)) -> Vec<(String, String)> {
        let mut fields = Fields::of_body(body.as_bytes()).unwrap();
        read(&mut fields);
        let problem = fields.finish(|| Some(())).err();
        let faults = problem.map(|p| serde_json::to_value(p.document()).unwrap()["errors"].clone());
        let list = faults.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
        list.iter()
            .map(|f| (f["code"].as_str().unwrap().into(), f["field"].as_str().unwrap().into()))
            .collect()
    }

    #[test]
    fn all_mistakes_are_found_in_one_reading() {
        let body = r#"{"name":" ","group":"grp_1","n":-1,"lines":[{"q":1},7,{"q":"1","x":2}],"extra":1}"#;
        let found = codes(body, |fields| {
            fields.name("name");
            fields.optional::<GroupId>("group");
            fields.integer("n", 1, 5);
            fields.list("lines", 10, |line| line.integer("q", 1, 9));
            fields.parsed::<GroupId>("absent");
        });
        let expect = [
            ("OUT_OF_RANGE", "name"),
            ("INVALID_VALUE", "group"),
            ("OUT_OF_RANGE", "n"),
            ("WRONG_TYPE", "lines[1]"),
            ("WRONG_TYPE", "lines[2].q"),
            ("UNKNOWN_FIELD", "lines[2].x"),
            ("MISSING_FIELD", "absent"),
            ("UNKNOWN_FIELD", "extra"),
        ];
        assert_eq!(found, expect.map(|(code, field)| (String::from(code), String::from(field))));
        assert_eq!(
            codes(r#"{"name":"x"}"#, |fields| assert_eq!(fields.name("name").as_deref(), Some("x"))),
            []
        );
    }
}
