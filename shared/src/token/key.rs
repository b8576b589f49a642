//! Public keys and their ids: weak ones never become a value.

use super::codec::push_bytes;
use alloc::vec::Vec;
use core::fmt;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

/// The first 8 bytes of a key's COSE thumbprint (RFC 9679, SHA-256).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid([u8; 8]);

impl Kid {
    /// The key id of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Kid {
        Kid(bytes)
    }

    /// Its bytes, as headers carry them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An Ed25519 public key that is a point of the curve in its one encoding and not of small order (token §2).
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    kid: Kid,
}

/// Why 32 bytes are not a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a usable Ed25519 public key: weak, not on the curve or not in its one encoding; make a new key")]
pub struct PublicKeyError;

impl PublicKey {
    /// The key with this encoding (RFC 8032 §5.1.2).
    ///
    /// # Errors
    /// [`PublicKeyError`] for points off the curve, of small order, or encoded in a second way.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<PublicKey, PublicKeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| PublicKeyError)?;
        // RFC 8032 §5.1.3 refuses a y of p or more; the library takes it, so encode again and compare.
        if key.is_weak() || key.to_edwards().compress().as_bytes() != bytes {
            return Err(PublicKeyError);
        }
        Ok(PublicKey { kid: thumbprint(bytes), key })
    }

    /// Its 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Its key id.
    #[must_use]
    pub const fn kid(&self) -> Kid {
        self.kid
    }

    /// Whether this key made this signature over this message; strict, so no signature has a second form (token §2).
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        #[cfg(test)]
        super::tests::count_signature_check();
        self.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kid)
    }
}

/// RFC 9679 §4.1: SHA-256 over the deterministic encoding of `{1: OKP, -1: Ed25519, -2: x}`, here its first 8 bytes.
fn thumbprint(x: &[u8; 32]) -> Kid {
    let mut cose_key = Vec::with_capacity(40);
    cose_key.extend_from_slice(&[0xa3, 0x01, 0x01, 0x20, 0x06, 0x21]);
    push_bytes(&mut cose_key, x);
    let digest: [u8; 32] = Sha256::digest(&cose_key).into();
    let mut kid = [0; 8];
    kid.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    Kid(kid)
}
