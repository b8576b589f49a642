//! Signing: who holds private keys, and the chain of trust around them (token §3).
//!
//! **Problem.** One key that signs everything for ever cannot be replaced when it is stolen. **Method.** Three roles:
//! the root names the keyring role, the keyring names the token keys, and token keys are short-lived and rotate by
//! themselves ([`Trust`]). Signing is behind [`Signer`], narrow enough for a smart card. A fresh installation makes a
//! software root of threshold 1 in the same format, so ceremonies with offline roots come on top of it, not instead.
//! **Deliberately absent:** any choice of algorithm.

mod error;
mod key_file;
mod trust;

pub use error::TrustError;
pub use key_file::SoftwareKey;
pub use trust::{Inspection, Trust, TrustPolicy};

use coterm_shared::token::{Kid, PublicKey};
use std::sync::Arc;

/// How many roots an installation may go through; each is a ceremony, and brokers keep all of them.
pub const MAX_ROOTS: usize = 256;

/// A private key that signs and does nothing else.
pub trait Signer: Send + Sync {
    /// The id of its key.
    fn kid(&self) -> Kid;

    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// The plain Ed25519 signature over `message`.
    ///
    /// # Errors
    /// The key cannot be used; software keys always can, hardware may be gone.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;
}

/// Why a key could not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key {kid} cannot be used: {reason}")]
pub struct SignError {
    /// The key.
    pub kid: Kid,
    /// What its keeper says.
    pub reason: String,
}

/// A keyring as it goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyringBytes {
    /// Its version.
    pub version: u64,
    /// Its signed bytes.
    pub bytes: Arc<[u8]>,
}
