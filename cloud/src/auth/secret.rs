//! The text of an API token: made once, shown once, kept as a hash.

use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

const PREFIX: &str = "ctk_";
/// 160 random bits.
const RANDOM_BYTES: usize = 20;

/// The token itself: `ctk_` and 40 lowercase hexadecimal digits. Its `Debug` tells nothing and it has no `Display`.
pub struct Secret(Zeroizing<String>);

/// SHA-256 of a token's text. A fast hash is right: what it protects is 160 random bits, not a password.
///
/// Tokens are found by this hash in a map, so no comparison's timing depends on the text of a stored token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; 32]);

impl Secret {
    /// A fresh token.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn generate() -> Result<Secret, getrandom::Error> {
        let mut bytes = Zeroizing::new([0_u8; RANDOM_BYTES]);
        getrandom::fill(bytes.as_mut_slice())?;
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 2 * RANDOM_BYTES));
        text.push_str(PREFIX);
        for byte in bytes.iter() {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        Ok(Secret(text))
    }

    /// The token with this text, if it has the form of one. Surrounding white space is not part of it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Secret> {
        let text = text.trim();
        let digits = text.strip_prefix(PREFIX)?;
        let fits = digits.len() == 2 * RANDOM_BYTES
            && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        fits.then(|| Secret(Zeroizing::new(text.to_owned())))
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// The text, to be shown once to whom it belongs.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(ctk_…)")
    }
}

impl SecretHash {
    /// Its bytes, as stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash with these stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> SecretHash {
        SecretHash(bytes)
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// The token in an `Authorization` header's value, if it is `Bearer` (in any case) and a well-formed token.
#[must_use]
pub fn parse_bearer(value: &str) -> Option<Secret> {
    let (scheme, token) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") { Secret::parse(token) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_form_and_never_prints() {
        let secret = Secret::generate().unwrap();
        let text = secret.reveal().to_owned();
        assert_eq!(text.len(), 44);
        assert_ne!(text, Secret::generate().unwrap().reveal());
        assert_eq!(Secret::parse(&format!("{text}\n")).unwrap().hash(), secret.hash());
        assert!(!format!("{secret:?} {:?}", secret.hash()).contains(&text[4..12]));
        let upper = text.to_uppercase();
        for bad in ["", "ctk_", &text[..43], upper.as_str(), &text[4..]] {
            assert!(Secret::parse(bad).is_none(), "{bad}");
        }
        assert!(parse_bearer(&format!("bearer {text}")).is_some());
        for bad in [format!("Basic {text}"), text.clone(), String::from("Bearer "), String::new()] {
            assert!(parse_bearer(&bad).is_none(), "{bad}");
        }
    }
}
