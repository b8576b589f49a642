//! What a device must not forget, in one slot.
//!
//! **Problem.** Token, keyring, time and mode belong together: a slot that mixed an old one with a new one would be a
//! state that never was, and perhaps a milder one. **Method.** One record, replaced whole: a magic and format number,
//! deterministic CBOR, and a SHA-256 over both, so that a torn or flipped slot is an error and never a different
//! record. Decoding re-encodes and compares, so a record has one spelling. Nothing is defaulted: what is missing,
//! unknown or out of bounds refuses the whole slot, and the caller falls back to an older slot or to none, which is
//! stricter. **Deliberately absent:** secrecy and authenticity. Who can write the slot is root on the device, and the
//! token in it is verified again when it is read.

#[cfg(test)]
mod tests;

use super::{ClockRecord, OperatingMode};
use crate::protocol::Code;
use crate::time::Timestamp;
use crate::token::{Held, MAX_DOCUMENT_BYTES, MAX_TOKEN_BYTES, TokenVersion};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// The longest encoded record, in bytes.
pub const MAX_RECORD_BYTES: usize = 57_344;

/// What every record begins with; its last byte is the format number.
const MAGIC: [u8; 8] = *b"COTERM\0\x01";
const CHECK_BYTES: usize = 32;

/// Everything the agent persists (enforcement §1: persist, then actuate, then report).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The last token accepted, as received, at most [`MAX_TOKEN_BYTES`].
    #[serde(with = "opt_bytes")]
    pub token: Option<Vec<u8>>,
    /// The keyring the token was accepted under, if a newer one is held by now; at most [`MAX_DOCUMENT_BYTES`].
    ///
    /// A stored token does not die with its key (token §3): it is reopened under the keyring that knew the key.
    #[serde(with = "opt_bytes")]
    pub token_keyring: Option<Vec<u8>>,
    /// The keyring held, as received, at most [`MAX_DOCUMENT_BYTES`].
    #[serde(with = "opt_bytes")]
    pub keyring: Option<Vec<u8>>,
    /// The root held, as received, at most [`MAX_DOCUMENT_BYTES`]; `None` while it is the pinned one.
    #[serde(with = "opt_bytes")]
    pub root: Option<Vec<u8>>,
    /// The highest version ever accepted (token §4, step 9).
    pub high_water: Option<HighWater>,
    /// The last tick (token §5).
    pub clock: ClockRecord,
    /// The mode last decided and persisted before the actuator was told; `None` before the first.
    pub mode: Option<Actuated>,
    /// When the present management lock or stop began, in trusted time; `None` while management is allowed.
    pub locked_since: Option<Timestamp>,
    /// What was refused, counted.
    pub refused: Refused,
}

/// The highest token version ever accepted, with the digest that tells a duplicate from an equivocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HighWater {
    /// The version.
    pub version: TokenVersion,
    /// SHA-256 of the token's bytes.
    #[serde(with = "digest_bytes")]
    pub digest: [u8; 32],
}

impl From<HighWater> for Held {
    fn from(high_water: HighWater) -> Held {
        Held { version: high_water.version, digest: high_water.digest }
    }
}

impl From<Held> for HighWater {
    fn from(held: Held) -> HighWater {
        HighWater { version: held.version, digest: held.digest }
    }
}

/// A mode and since when the device has been told to be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actuated {
    /// The mode.
    pub mode: OperatingMode,
    /// Since when, in trusted time.
    pub since: Timestamp,
}

/// What bytes were refused, counted over the device's life (token §4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// How many messages were refused.
    pub count: u64,
    /// The code of the last refusal.
    pub last_code: Option<Code>,
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Longer than any record.
    #[error("the stored record is longer than {MAX_RECORD_BYTES} bytes; use the other slot")]
    TooLong,
    /// Shorter than the shortest record, or not one at all.
    #[error("not a stored record, or one cut short; use the other slot")]
    NotARecord,
    /// Another format number.
    #[error("the stored record has format {found}, this software knows 1; use the software that wrote it")]
    UnknownFormat {
        /// The format number found.
        found: u8,
    },
    /// The checksum does not fit.
    #[error("the stored record is damaged; use the other slot")]
    Damaged,
    /// The checksum fits and the content does not.
    #[error("the stored record says something no record says; use the other slot")]
    Malformed,
    /// A part to be stored is longer than its bound.
    #[error("{part} is longer than a record may keep")]
    PartTooLong {
        /// Which part.
        part: &'static str,
    },
}

impl Record {
    /// A record in which only the clock is known.
    #[must_use]
    pub fn new(clock: ClockRecord) -> Record {
        Record {
            token: None,
            token_keyring: None,
            keyring: None,
            root: None,
            high_water: None,
            clock,
            mode: None,
            locked_since: None,
            refused: Refused::default(),
        }
    }

    /// Notes the mode about to be actuated, keeping `since` and `locked_since` where nothing changes.
    ///
    /// Returns whether the mode is another one than before.
    pub fn decided(&mut self, mode: OperatingMode, now: Timestamp) -> bool {
        let changed = self.mode.is_none_or(|before| before.mode != mode);
        if changed {
            self.mode = Some(Actuated { mode, since: now });
        }
        self.locked_since = if mode.allows_manage() { None } else { self.locked_since.or(Some(now)) };
        changed
    }

    /// The bytes to store: equal records give equal bytes.
    ///
    /// # Errors
    ///
    /// A part is longer than its bound, so that decoding would refuse it.
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let mut bytes = self.content()?;
        let check = Sha256::digest(&bytes);
        bytes.extend_from_slice(&check);
        if bytes.len() > MAX_RECORD_BYTES { Err(RecordError::TooLong) } else { Ok(bytes) }
    }

    /// What is stored, without its checksum.
    fn content(&self) -> Result<Vec<u8>, RecordError> {
        self.check_bounds()?;
        let mut bytes = MAGIC.to_vec();
        self.serialize(&mut serde_cbor::Serializer::new(&mut bytes).packed_format())
            .map_err(|_| RecordError::Malformed)?;
        Ok(bytes)
    }

    /// The record in `bytes`, exactly as it was stored or not at all.
    ///
    /// # Errors
    ///
    /// Anything else than what [`Record::encode`] made; see [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Record, RecordError> {
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(RecordError::TooLong);
        }
        let [family @ .., format] = MAGIC;
        let rest = bytes.strip_prefix(&family).ok_or(RecordError::NotARecord)?;
        let found = *rest.first().ok_or(RecordError::NotARecord)?;
        if found != format {
            return Err(RecordError::UnknownFormat { found });
        }
        let split = bytes.len().checked_sub(CHECK_BYTES).ok_or(RecordError::NotARecord)?;
        let (content, check) = bytes.split_at_checked(split).ok_or(RecordError::NotARecord)?;
        if Sha256::digest(content).as_slice() != check {
            return Err(RecordError::Damaged);
        }
        let cbor = content.get(MAGIC.len()..).ok_or(RecordError::NotARecord)?;
        let record: Record = serde_cbor::from_slice(cbor).map_err(|_| RecordError::Malformed)?;
        let one_spelling = record.content().is_ok_and(|again| again == content);
        if !one_spelling || record.clock.lock_time < record.clock.floor {
            return Err(RecordError::Malformed);
        }
        Ok(record)
    }

    fn check_bounds(&self) -> Result<(), RecordError> {
        for (part, bytes, most) in [
            ("the token", self.token.as_deref(), MAX_TOKEN_BYTES),
            ("the token's keyring", self.token_keyring.as_deref(), MAX_DOCUMENT_BYTES),
            ("the keyring", self.keyring.as_deref(), MAX_DOCUMENT_BYTES),
            ("the root", self.root.as_deref(), MAX_DOCUMENT_BYTES),
        ] {
            if bytes.is_some_and(|bytes| bytes.len() > most) {
                return Err(RecordError::PartTooLong { part });
            }
        }
        Ok(())
    }
}

/// A CBOR byte string where serde would write an array of numbers.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte string")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

struct Borrowed<'a>(&'a [u8]);

impl Serialize for Borrowed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

mod opt_bytes {
    use super::{Borrowed, Bytes};
    use alloc::vec::Vec;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[allow(clippy::ref_option)] // the signature serde asks for
    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(Borrowed).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<Bytes>::deserialize(deserializer)?.map(|bytes| bytes.0))
    }
}

mod digest_bytes {
    use super::{Borrowed, Bytes};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(super) fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        Borrowed(digest).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        Bytes::deserialize(deserializer)?.0.try_into().map_err(|_| de::Error::custom("a digest has 32 bytes"))
    }
}
