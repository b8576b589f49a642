//! Texts that people give: names, order numbers, models, time zones. Parsed once; the type carries the proof.
//!
//! What a text looks like is what it is: characters that are not seen, or that turn the direction of what follows, are
//! refused, and of several ways to write the same letter one is kept (Unicode's NFC). Texts of logs that were written
//! before that rule are read as they are. **Deliberately absent:** letters of different scripts that look alike.

use super::plain::{hidden_in, plain};
use super::refusal::{Refusal, RefusalCode};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest name, in characters.
const NAME_MAX_CHARS: usize = 100;

/// A name of an organization, group or site: 1 to 100 characters that can be seen, trimmed, in Unicode's form NFC.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

fn printable(text: &str, max_chars: usize) -> Option<&str> {
    let text = text.trim();
    let chars = text.chars().count();
    ((1..=max_chars).contains(&chars) && !text.chars().any(char::is_control)).then_some(text)
}

impl Name {
    /// Parses a name, trimming surrounding white space; every other space is a plain one.
    ///
    /// # Errors
    /// `NAME_INVALID` if it is empty, too long, or contains a character that cannot be seen, which is named.
    pub fn parse(text: &str) -> Result<Name, Refusal> {
        let invalid = |message, hint| Refusal::new(RefusalCode::NameInvalid, message, hint).at("name");
        let text = plain(text);
        if let Some(hidden) = hidden_in(&text) {
            let message = format!("a name cannot contain {hidden}");
            return Err(invalid(message, "type the name anew: it holds a character that cannot be seen"));
        }
        printable(&text, NAME_MAX_CHARS).map(|text| Name(text.to_owned())).ok_or_else(|| {
            let message = format!("a name has 1 to {NAME_MAX_CHARS} printable characters");
            invalid(message, "choose a shorter name without line breaks or control characters")
        })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which names are compared: two names that differ only in case, or in how the same letters are written,
    /// are the same name.
    #[must_use]
    pub fn folded(&self) -> String {
        // ASCII is plain already.
        if self.0.is_ascii() { self.0.to_ascii_lowercase() } else { plain(&self.0.to_lowercase()) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What an older log holds was a name then, and stays one.
        let text = String::deserialize(deserializer)?;
        let name = printable(&text, NAME_MAX_CHARS).map(|text| Name(text.to_owned()));
        name.ok_or_else(|| de::Error::custom("a name has 1 to 100 printable characters"))
    }
}

/// An order number: 1 to 64 printable characters (domain K1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct OrderNumber(String);

impl OrderNumber {
    /// Parses an order number, trimming surrounding white space; every other space is a plain one.
    ///
    /// # Errors
    /// `ORDER_NUMBER_INVALID` if it is empty, too long, or contains a character that cannot be seen, which is named.
    pub fn parse(text: &str) -> Result<OrderNumber, Refusal> {
        let invalid = |message| {
            let hint = "copy it from the order, without line breaks";
            Refusal::new(RefusalCode::OrderNumberInvalid, message, hint).at("order_number")
        };
        let text = plain(text);
        if let Some(hidden) = hidden_in(&text) {
            return Err(invalid(format!("an order number cannot contain {hidden}")));
        }
        printable(&text, 64)
            .map(|text| OrderNumber(text.to_owned()))
            .ok_or_else(|| invalid(String::from("an order number has 1 to 64 printable characters")))
    }

    /// The order number as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for OrderNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What an older log holds was an order number then, and stays one.
        let text = String::deserialize(deserializer)?;
        let number = printable(&text, 64).map(|text| OrderNumber(text.to_owned()));
        number.ok_or_else(|| de::Error::custom("an order number has 1 to 64 printable characters"))
    }
}

/// A device model of the catalog: 1 to 64 letters, digits, `-`, `_`, `.` and `+`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ModelName(String);

impl ModelName {
    /// Parses a model name.
    pub fn parse(text: &str) -> Result<ModelName, Refusal> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+'));
        fits.then(|| ModelName(text.to_owned())).ok_or_else(|| {
            Refusal::new(
                RefusalCode::ModelInvalid,
                "a model has 1 to 64 letters, digits, `-`, `_`, `.` and `+`",
                "write the model as the catalog does, such as CD42 or AC42",
            )
            .at("model")
        })
    }

    /// The model as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ModelName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ModelName::parse(&String::deserialize(deserializer)?)
            .map_err(|refusal| de::Error::custom(refusal.message))
    }
}

/// An IANA time zone (domain E3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(chrono_tz::Tz);

impl Zone {
    /// Universal time, the default.
    pub const UTC: Zone = Zone(chrono_tz::UTC);

    /// Parses an IANA name such as `Europe/Rome`.
    pub fn parse(text: &str) -> Result<Zone, Refusal> {
        text.parse().map(Zone).map_err(|_| {
            Refusal::new(
                RefusalCode::TimeZoneUnknown,
                format!("`{text}` is no time zone of the IANA database"),
                "write a name such as UTC, Europe/Rome or America/New_York",
            )
            .at("time_zone")
        })
    }

    /// The zone, for calendar arithmetic.
    #[must_use]
    pub const fn tz(self) -> chrono_tz::Tz {
        self.0
    }
}

impl Default for Zone {
    fn default() -> Self {
        Zone::UTC
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Zone::parse(&String::deserialize(deserializer)?).map_err(|refusal| de::Error::custom(refusal.message))
    }
}
