//! A certificate chain with its private key, ready for rustls.

use crate::certificate::{CertificateFacts, CertificateUnreadable};
use crate::pki::PkiError;
use crate::secret_file::{read_bounded_file, read_secret_file};
use coterm_shared::time::Timestamp;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::path::{Path, PathBuf};
use zeroize::Zeroize;

/// A certificate chain and its private key; the key is wiped from memory when this is dropped.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    facts: CertificateFacts,
}

impl Identity {
    /// Reads a chain (PEM, leaf first) and its key (PEM, refused when group or others can read it).
    ///
    /// # Errors
    /// [`PkiError`] naming the file that is missing, unreadable, too open or without a certificate.
    pub fn load(certificate_file: &Path, key_file: &Path) -> Result<Identity, PkiError> {
        let chain = load_certificates(certificate_file)?;
        let leaf = chain.first().ok_or_else(|| PkiError::no_certificate(certificate_file))?;
        let facts = CertificateFacts::from_der(leaf)
            .map_err(|source| PkiError::Certificate { path: certificate_file.to_path_buf(), source })?;
        let pem = read_secret_file(key_file)?;
        let key = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| PkiError::NoKey { path: key_file.to_path_buf() })?;
        Ok(Identity { chain, key, facts })
    }

    /// The chain, leaf first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// A copy of the key for rustls, which keeps its own; wipe or hand over, do not store.
    #[must_use]
    pub fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// What the leaf says.
    #[must_use]
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// The last second the leaf is valid.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        self.facts.ends_at
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// Reads every certificate of a PEM file.
pub(crate) fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let pem = read_bounded_file(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) | Err(_) => Err(PkiError::no_certificate(path)),
    }
}

impl PkiError {
    pub(crate) fn no_certificate(path: &Path) -> PkiError {
        PkiError::Certificate { path: PathBuf::from(path), source: CertificateUnreadable::NotACertificate }
    }
}
