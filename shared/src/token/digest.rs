//! What tells a token from another of the same version, in a few bytes.
//!
//! **Problem.** Two clouds on one key may sign two tokens of one version, and a device that got the one never hears that there
//! was another. **Method.** A device says of the token it holds the version and the beginning of its hash. **Deliberately
//! absent:** proof. It is a claim like everything in a report; long enough that two tokens never have the same by chance.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// The first 8 bytes of the SHA-256 of a token's bytes; in text 16 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest(u64);

/// Why a text is no digest of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the digest of a token: 16 lowercase hexadecimal digits")]
pub struct TokenDigestError;

impl TokenDigest {
    /// That of these bytes.
    #[must_use]
    pub fn of(token: &[u8]) -> TokenDigest {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let [a, b, c, d, e, f, g, h, ..] = hash;
        TokenDigest(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// The digest that consists of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> TokenDigest {
        TokenDigest(u64::from_be_bytes(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TokenDigest {
    type Err = TokenDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(TokenDigest).ok_or(TokenDigestError)
    }
}

impl Serialize for TokenDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// FIPS 180-4, the example of one block.
    #[test]
    fn a_digest_is_the_beginning_of_the_hash() {
        let digest = TokenDigest::of(b"abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea");
        assert_eq!("ba7816bf8f01cfea".parse(), Ok(digest));
        for text in [
            "",
            "ba7816bf8f01cfe",
            "ba7816bf8f01cfeaa",
            "BA7816BF8F01CFEA",
            "+a7816bf8f01cfea",
            "ba7816bf8f01cfeg",
        ] {
            assert_eq!(text.parse::<TokenDigest>(), Err(TokenDigestError), "{text}");
        }
    }
}
