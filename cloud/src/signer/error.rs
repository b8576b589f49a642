//! What can be wrong with keys and the documents that name them: one sentence each, and what to restore.

use super::SignError;
use coterm_certs::FileError;
use coterm_shared::token::{TrustDomain, TrustRefusal};
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
    /// No random numbers.
    #[error("no key can be made: {0}")]
    Randomness(String),
    /// A key refused to sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}
