//! What can be wrong with keys and the documents that name them: one sentence each, and what to restore.

use super::SignError;
use super::ceremony::CeremonyError;
use coterm_certs::FileError;
use coterm_shared::time::Timestamp;
use coterm_shared::token::{Kid, TrustDomain, TrustRefusal};
use std::path::PathBuf;

/// Why the chain of trust cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file cannot be read or written, or others can read it.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file that should hold a private key does not.
    #[error("{path} is not a private key (PKCS#8 in PEM): restore it from a backup")]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// A document on disk is not valid.
    #[error("{path}: {refusal}; restore the file from a backup")]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        refusal: TrustRefusal,
    },
    /// A document could not be made.
    #[error("the new {document} would be refused by devices: {refusal}")]
    Unmakeable {
        /// Which.
        document: &'static str,
        /// Why.
        refusal: TrustRefusal,
    },
    /// The documents were made for another deployment.
    #[error(
        "{path} belongs to the trust domain `{found}`, the configuration says `{configured}`: set trust_domain = \
         \"{found}\", or use another data directory"
    )]
    OtherDomain {
        /// The root document.
        path: PathBuf,
        /// What it says.
        found: TrustDomain,
        /// What the configuration says.
        configured: TrustDomain,
    },
    /// A private key does not belong to the document that names its role.
    #[error("{path} is not a key that {document} names: restore the one that belongs to it from a backup")]
    Mismatch {
        /// The key file.
        path: PathBuf,
        /// The document.
        document: PathBuf,
    },
    /// A document is missing while one that builds on it is there.
    #[error("{path} is missing, but {other} is there: restore it from a backup")]
    Missing {
        /// The missing one.
        path: PathBuf,
        /// The one that needs it.
        other: PathBuf,
    },
    /// A file named after a key holds another.
    #[error("{path} does not hold the key it is named after: restore it from a backup")]
    OtherKey {
        /// The file.
        path: PathBuf,
    },
    /// The private half of a key that should be here is not.
    #[error(
        "cannot read {path}, nor find that key elsewhere: restore it from a backup, or run `coterm-cloud keys rotate token`"
    )]
    KeyMissing {
        /// Where it would be as a file.
        path: PathBuf,
    },
    /// A file that should hold a public key does not.
    #[error(
        "{path} is not a public key (PEM): take the .pub file that `coterm-cloud keys generate-root-key` wrote"
    )]
    NotAPublicKey {
        /// The file.
        path: PathBuf,
    },
    /// The keyring lists no key that could sign here.
    #[error(
        "keyring {keyring} lists no token key for license states: make another, `coterm-cloud keys draft-keyring`"
    )]
    NoTokenKey {
        /// Its version.
        keyring: u64,
    },
    /// The last token key has ended.
    #[error("the last token key, {kid}, ended {at}: run `coterm-cloud keys rotate token`")]
    TokenKeyEnded {
        /// The key.
        kid: Kid,
        /// When.
        at: Timestamp,
    },
    /// The key that signs is out of reach.
    #[error("no token can be signed: {reason}")]
    NoSigner {
        /// Why.
        reason: String,
    },
    /// Somebody else changes keys.
    #[error("{path} is held by another coterm-cloud that changes keys: wait for it and repeat the command")]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// There is no chain of trust yet.
    #[error("no keys were made here yet: run `coterm-cloud keys init`, or start the daemon")]
    NoChain,
    /// There is a root and no keyring.
    #[error("there is no keyring yet: run `coterm-cloud keys draft-keyring`, sign it and install it")]
    NoKeyring,
    /// There is one already.
    #[error("there are keys already (root {root}): to change them see `coterm-cloud keys --help`")]
    Exists {
        /// The version of its root.
        root: u64,
    },
    /// Too few keyring keys are here.
    #[error(
        "the {threshold} key(s) that must sign keyrings under root {root} are not all here: run `coterm-cloud keys \
         draft-keyring`, sign it where they are, and install it"
    )]
    NotRenewable {
        /// The root.
        root: u64,
        /// How many must sign.
        threshold: u8,
    },
    /// A key to be revoked that is not in the keyring.
    #[error("no key {kid} is in keyring {keyring}: `coterm-cloud keys status` lists those that are")]
    NotAnnounced {
        /// The key.
        kid: Kid,
        /// The keyring.
        keyring: u64,
    },
    /// Roles no device would take.
    #[error(
        "the {role} role would be refused by devices: {refusal}; give each key once, and a threshold they can reach"
    )]
    Role {
        /// Which.
        role: &'static str,
        /// Why.
        refusal: TrustRefusal,
    },
    /// A document that was brought here is refused.
    #[error("the {document} is not installed: {refusal}")]
    NotInstalled {
        /// Which.
        document: &'static str,
        /// Why.
        refusal: TrustRefusal,
    },
    /// There were more ceremonies than brokers keep roots.
    #[error("there are as many roots as an installation may have; new ones need a new installation")]
    TooManyRoots,
    /// The hardware does not do it.
    #[error("the PKCS#11 token \"{label}\" ({module}) cannot be used: {reason}")]
    Hardware {
        /// The label of the token.
        label: String,
        /// Its module.
        module: PathBuf,
        /// What it said.
        reason: String,
    },
    /// No PIN is configured.
    #[error(
        "no PIN for the PKCS#11 token: set signer.pkcs11.pin_file, or pass the systemd credential pkcs11.pin"
    )]
    NoPin,
    /// A PIN that is no text.
    #[error("{path} holds no PIN: write it there as text, and nothing else")]
    NotAPin {
        /// The file.
        path: PathBuf,
    },
    /// A draft or signature that cannot be used.
    #[error(transparent)]
    Ceremony(#[from] CeremonyError),
    /// Making the key for answers to devices that enrol crashed.
    #[error("the key for enrolment could not be made; ask again, and look at the daemon's log")]
    EnrolmentKey,
    /// No random numbers.
    #[error("no key can be made: {0}")]
    Randomness(String),
    /// A key refused to sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl TrustError {
    /// Whether it may be over in a moment and keeps no daemon from starting: hardware that does not answer, a token key
    /// that has ended and is about to be replaced.
    #[must_use]
    pub const fn is_for_now(&self) -> bool {
        matches!(
            self,
            TrustError::Hardware { .. }
                | TrustError::NoPin
                | TrustError::NotAPin { .. }
                | TrustError::TokenKeyEnded { .. }
        )
    }
}
