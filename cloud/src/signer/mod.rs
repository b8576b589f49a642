//! Signing: who holds private keys, and the chain of trust around them (token §3).
//!
//! **Problem.** One key that signs everything for ever cannot be replaced when it is stolen. **Method.** Three roles:
//! the root names the keyring role, the keyring names the token keys, and token keys are short-lived and rotate by
//! themselves ([`Trust`]). Signing is behind [`Signer`], narrow enough for a smart card ([`Hsm`]). A fresh installation
//! makes a software root of threshold 1 in the same format; operators move it offline when they are ready, through files
//! ([`ceremony`]), and devices follow.
//! **Deliberately absent:** any choice of algorithm.

pub mod ceremony;
mod error;
#[cfg(feature = "pkcs11")]
mod hsm;
#[cfg(not(feature = "pkcs11"))]
#[path = "no_hsm.rs"]
mod hsm;
mod key_file;
mod trust;
mod vault;

pub use error::TrustError;
pub use hsm::Hsm;
#[cfg(feature = "pkcs11")]
pub use hsm::HsmConfig;
pub use key_file::{SoftwareKey, public_key_pem, read_public_key};
pub use trust::{
    Drafted, Exported, Installed, KeyStatus, KeyringChange, Office, RoleStatus, RootPlan, Status, Trust,
    TrustPolicy,
};
pub use vault::{KeyRole, Vault};

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

    /// Whether it could sign now; software keys always can.
    ///
    /// # Errors
    /// What keeps it.
    fn check(&self) -> Result<(), SignError> {
        Ok(())
    }
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

/// What goes out to devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    /// Every root after the first with its version, ascending.
    pub roots: Vec<(u64, Arc<[u8]>)>,
    /// The newest root that devices can adopt: the one the keyring was made under.
    pub root_version: u64,
    /// The version of the keyring.
    pub keyring_version: u64,
    /// The keyring's signed bytes.
    pub keyring: Arc<[u8]>,
    /// The epoch to issue in.
    pub epoch: u64,
}
