//! What devices say: the status report and the request for a fresh token.
//!
//! JSON of bounded size in bounded words: the bytes come from devices, of which one may lie. Unknown fields are ignored,
//! so an older cloud understands a newer agent; a new meaning of a field takes a new `v`. **Deliberately absent:** trust.
//! A report is a claim. The one claim that would cost others something, holding a version that was never issued, is
//! believed only with the token itself as [`Proof`] (token §3).

#[cfg(test)]
mod tests;

use super::{Code, FormatV1};
use crate::enforcement::{BootId, DeviceClass, EnforcementState, OperatingMode, TimeSource};
use crate::time::Timestamp;
use crate::token::{MAX_TOKEN_BYTES, Nonce, TokenDigest, TokenVersion};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest report, in bytes: one with the longest proof fits, and below what MQTT clients take by default (10 KiB).
pub const MAX_REPORT_BYTES: usize = 9_728;
/// The longest request, in bytes.
pub const MAX_REQUEST_BYTES: usize = 1_024;
/// The most reason codes in a report.
const MAX_REASONS: usize = 8;
/// The longest agent version, in bytes.
const MAX_VERSION_BYTES: usize = 64;

/// A device's status report; sent after every connect, after every change, and as a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The format: 1.
    pub v: FormatV1,
    /// What the device is, by its own configuration.
    pub class: DeviceClass,
    /// The mode it is driven to.
    pub mode: OperatingMode,
    /// Where it stands on the ladder, before the class cap.
    pub state: EnforcementState,
    /// The token version it holds; absent if it never accepted one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<TokenVersion>,
    /// Which token of that version; absent with `held`, and in reports of an agent that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_digest: Option<TokenDigest>,
    /// The version of the keyring it holds; 0 is none.
    pub keyring_version: u64,
    /// The version of the root it holds.
    pub root_version: u64,
    /// Why it is in its mode: stable codes, at most 8 are read.
    #[serde(default, deserialize_with = "few")]
    pub reasons: Vec<Code>,
    /// It is certainly not earlier than this, the device finds.
    pub trusted_time: Timestamp,
    /// What last determined that.
    pub time_source: TimeSource,
    /// The time up to which a steady wall clock may lock management; absent unless one was adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted_time: Option<Timestamp>,
    /// The wall clock less trusted time, in seconds.
    pub wall_skew_secs: i64,
    /// The boot the device is in.
    pub boot_id: BootId,
    /// Seconds since boot, suspend included.
    pub uptime_secs: u64,
    /// The last message it refused, and how many it ever refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<LastRefusal>,
    /// The version of the agent's software, 1 to 64 printable ASCII characters.
    #[serde(deserialize_with = "printable")]
    pub agent_version: String,
    /// Asks for a fresh token in the same breath, as a [`Request`] would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
    /// The token held, if the cloud must be shown that it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// What a device last refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRefusal {
    /// The stable code of the refusal.
    pub code: Code,
    /// How many messages the device ever refused.
    pub count: u64,
}

/// "Answer with a fresh token that carries this nonce."
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The format: 1.
    pub v: FormatV1,
    /// The device's own random value, in hexadecimal.
    pub nonce: Nonce,
}

impl Report {
    /// The report in a payload.
    ///
    /// # Errors
    ///
    /// Too long, of another format, or not a report; the message says where.
    pub fn parse(payload: &[u8]) -> Result<Report, MessageError> {
        parse(payload, MAX_REPORT_BYTES)
    }

    /// The payload to send.
    ///
    /// # Errors
    ///
    /// A field is beyond its bound, so that the cloud would refuse it.
    pub fn to_payload(&self) -> Result<Vec<u8>, MessageError> {
        if !is_version(&self.agent_version) {
            return Err(MessageError::Malformed(format!("agent_version: {NOT_A_VERSION}")));
        }
        let payload = to_payload(self)?;
        within(&payload, MAX_REPORT_BYTES).map(|()| payload)
    }
}

impl Request {
    /// The request in a payload.
    ///
    /// # Errors
    ///
    /// Too long, of another format, or not a request; the message says where.
    pub fn parse(payload: &[u8]) -> Result<Request, MessageError> {
        parse(payload, MAX_REQUEST_BYTES)
    }

    /// The payload to send.
    ///
    /// # Errors
    ///
    /// None in practice: every request fits.
    pub fn to_payload(&self) -> Result<Vec<u8>, MessageError> {
        to_payload(self)
    }
}

/// Why a payload is not the message expected on its topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Longer than the message may be.
    #[error("the message has {length} bytes, at most {most} are read")]
    TooLong {
        /// The bytes received.
        length: usize,
        /// The bytes allowed.
        most: usize,
    },
    /// Another `v`.
    #[error("the message has format {found}, this software knows 1; update it")]
    UnknownFormat {
        /// The format found.
        found: u64,
    },
    /// Not JSON, or a field is missing or wrong.
    #[error("not the expected message: {0}")]
    Malformed(String),
}

impl MessageError {
    /// Its stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            MessageError::TooLong { .. } => "MESSAGE_TOO_LONG",
            MessageError::UnknownFormat { .. } => "MESSAGE_FORMAT_UNKNOWN",
            MessageError::Malformed(_) => "MESSAGE_MALFORMED",
        }
    }
}

fn parse<T: DeserializeOwned>(payload: &[u8], most: usize) -> Result<T, MessageError> {
    #[derive(Deserialize)]
    struct Format {
        v: u64,
    }
    within(payload, most)?;
    serde_json::from_slice(payload).map_err(|error| match serde_json::from_slice(payload) {
        // A message of another format is not judged by this one's fields.
        Ok(Format { v }) if v != 1 => MessageError::UnknownFormat { found: v },
        Ok(Format { .. }) | Err(_) => MessageError::Malformed(error.to_string()),
    })
}

fn within(payload: &[u8], most: usize) -> Result<(), MessageError> {
    if payload.len() > most {
        return Err(MessageError::TooLong { length: payload.len(), most });
    }
    Ok(())
}

fn to_payload<T: Serialize>(message: &T) -> Result<Vec<u8>, MessageError> {
    serde_json::to_vec(message).map_err(|error| MessageError::Malformed(error.to_string()))
}

/// Reads the first codes and passes over the rest, so that an agent that knows more reasons is still heard.
fn few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Code>, D::Error> {
    let mut codes = Vec::<Code>::deserialize(deserializer)?;
    codes.truncate(MAX_REASONS);
    Ok(codes)
}

const NOT_A_VERSION: &str = "expected 1 to 64 printable ASCII characters";

fn is_version(text: &str) -> bool {
    (1..=MAX_VERSION_BYTES).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b))
}

fn printable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_version(&text) { Ok(text) } else { Err(de::Error::custom(NOT_A_VERSION)) }
}

/// A token as proof that it exists: 1 to 4096 bytes, in lowercase hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof(Vec<u8>);

/// Why bytes or a text are no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a proof: a token of 1 to 4096 bytes, in lowercase hexadecimal digits")]
pub struct ProofError;

impl Proof {
    /// These token bytes as a proof.
    ///
    /// # Errors
    ///
    /// No bytes, or more than a token has.
    pub fn new(token: Vec<u8>) -> Result<Proof, ProofError> {
        if (1..=MAX_TOKEN_BYTES).contains(&token.len()) { Ok(Proof(token)) } else { Err(ProofError) }
    }

    /// The token bytes, unverified.
    #[must_use]
    pub fn token(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proof({} bytes)", self.0.len())
    }
}

impl FromStr for Proof {
    type Err = ProofError;

    fn from_str(text: &str) -> Result<Self, ProofError> {
        let digit = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes: Option<Vec<u8>> =
            pairs.iter().map(|[high, low]| Some(digit(*high)? * 16 + digit(*low)?)).collect();
        bytes.filter(|_| rest.is_empty()).ok_or(ProofError).and_then(Proof::new)
    }
}

impl Serialize for Proof {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Proof {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
