//! Token version and nonce, until the token module brings its own.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Which token is newer: epoch first, then sequence (token §3). Prints as `EPOCH:SEQ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenVersion {
    /// The reign of the sequence; raised only by a keyring, to undo a sequence that was pushed forward.
    pub epoch: u64,
    /// The organization's sequence: `max(last + 1, milliseconds since 1970)`.
    pub seq: u64,
}

/// Why a text is not a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a token version: write `EPOCH:SEQ`, two plain integers")]
pub struct TokenVersionError;

impl fmt::Display for TokenVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

impl FromStr for TokenVersion {
    type Err = TokenVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, seq) = text.split_once(':').ok_or(TokenVersionError)?;
        let version = TokenVersion {
            epoch: epoch.parse().map_err(|_| TokenVersionError)?,
            seq: seq.parse().map_err(|_| TokenVersionError)?,
        };
        // One spelling only.
        if version.to_string() == text { Ok(version) } else { Err(TokenVersionError) }
    }
}

/// A device's own random value, 8 to 64 bytes, echoed by the token that answers its request (RFC 9711 `eat_nonce`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Nonce(Vec<u8>);

/// Why bytes are not a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a nonce: 8 to 64 bytes, in text as 16 to 128 lowercase hexadecimal digits")]
pub struct NonceError;

impl Nonce {
    /// A nonce of these bytes.
    ///
    /// # Errors
    /// [`NonceError`] unless there are 8 to 64 of them.
    pub fn new(bytes: &[u8]) -> Result<Nonce, NonceError> {
        if (8..=64).contains(&bytes.len()) { Ok(Nonce(bytes.to_vec())) } else { Err(NonceError) }
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Nonce {
    type Err = NonceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lowercase_hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !lowercase_hex || !text.len().is_multiple_of(2) || text.len() > 128 {
            return Err(NonceError);
        }
        let digit = |b: u8| if b.is_ascii_digit() { b - b'0' } else { b - b'a' + 10 };
        let (pairs, _) = text.as_bytes().as_chunks::<2>();
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| digit(*high) * 16 + digit(*low)).collect();
        Nonce::new(&bytes)
    }
}

/// Text in human-readable formats, a byte string elsewhere.
impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Nonce;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("8 to 64 bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Nonce, E> {
                Nonce::new(bytes).map_err(E::custom)
            }
        }
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            deserializer.deserialize_bytes(Visitor)
        }
    }
}
