//! Software keys: one PKCS#8 file each, readable by its owner alone, wiped from memory after use.

use super::{SignError, Signer, TrustError};
use coterm_certs::{FileError, create_secret_file, read_bounded_file, read_secret_file};
use coterm_shared::token::{Kid, PublicKey};
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

/// A private key in this process's memory.
pub struct SoftwareKey {
    key: SigningKey,
    public: PublicKey,
}

impl SoftwareKey {
    /// A new random key.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub fn generate() -> Result<SoftwareKey, TrustError> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|error| TrustError::Randomness(error.to_string()))?;
        Self::from_key(SigningKey::from_bytes(&seed)).ok_or(TrustError::Randomness(String::from("weak key")))
    }

    /// Reads a key file (PKCS#8 in PEM).
    ///
    /// # Errors
    /// The file is missing, readable by others, or not a key.
    pub fn read(path: &Path) -> Result<SoftwareKey, TrustError> {
        Self::from_pem(&read_secret_file(path)?, path)
    }

    /// The key in the content of a file (PKCS#8 in PEM).
    pub(super) fn from_pem(text: &[u8], path: &Path) -> Result<SoftwareKey, TrustError> {
        let not_a_key = || TrustError::NotAKey { path: path.to_owned() };
        let pem = std::str::from_utf8(text).map_err(|_| not_a_key())?;
        let key = SigningKey::from_pkcs8_pem(pem).map_err(|_| not_a_key())?;
        Self::from_key(key).ok_or_else(not_a_key)
    }

    /// Reads a key file, or makes a key and its file if there is none.
    ///
    /// # Errors
    /// As [`SoftwareKey::read`], or the file cannot be written.
    pub fn read_or_create(path: &Path) -> Result<SoftwareKey, TrustError> {
        match Self::read(path) {
            Err(TrustError::File(error)) if error.is_not_found() => {}
            read => return read,
        }
        let key = Self::generate()?;
        match key.create(path) {
            // Another process was faster: its key is the one.
            Err(TrustError::File(FileError::Exists { .. })) => Self::read(path),
            created => created.map(|()| key),
        }
    }

    /// Writes the key to a file that must not exist yet, mode 0600.
    ///
    /// # Errors
    /// The file exists or cannot be written.
    pub fn create(&self, path: &Path) -> Result<(), TrustError> {
        let pem = self
            .key
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|error| TrustError::Randomness(error.to_string()))?;
        Ok(create_secret_file(path, pem.as_bytes())?)
    }

    fn from_key(key: SigningKey) -> Option<SoftwareKey> {
        let public = PublicKey::from_bytes(key.verifying_key().as_bytes()).ok()?;
        Some(SoftwareKey { key, public })
    }
}

/// A public key as people carry it: SubjectPublicKeyInfo in PEM.
///
/// # Errors
/// The library refuses, which it does for no key.
pub fn public_key_pem(key: &PublicKey) -> Result<String, TrustError> {
    let pem = VerifyingKey::from_bytes(key.as_bytes())
        .ok()
        .and_then(|key| key.to_public_key_pem(LineEnding::LF).ok());
    pem.ok_or_else(|| TrustError::Randomness(String::from("the public key cannot be written")))
}

/// Reads a public key file (PEM).
///
/// # Errors
/// The file is missing or holds no usable Ed25519 key.
pub fn read_public_key(path: &Path) -> Result<PublicKey, TrustError> {
    let text = read_bounded_file(path)?;
    let key = std::str::from_utf8(&text).ok().and_then(|pem| VerifyingKey::from_public_key_pem(pem).ok());
    key.and_then(|key| PublicKey::from_bytes(key.as_bytes()).ok())
        .ok_or_else(|| TrustError::NotAPublicKey { path: path.to_owned() })
}

impl Signer for SoftwareKey {
    fn kid(&self) -> Kid {
        self.public.kid()
    }

    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        Ok(self.key.sign(message).to_bytes())
    }
}

impl fmt::Debug for SoftwareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SoftwareKey({})", self.kid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_survives_its_file_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token.key");
        let made = SoftwareKey::read_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = SoftwareKey::read_or_create(&path).unwrap();
        assert_eq!(read.kid(), made.kid());
        assert!(read.public_key().verifies(b"x", &made.sign(b"x").unwrap()));
        assert!(!format!("{read:?}").contains("BEGIN"));
    }

    #[test]
    fn a_key_others_can_read_and_a_file_that_is_no_key_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token.key");
        SoftwareKey::read_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = SoftwareKey::read_or_create(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        fs::write(&path, "hello").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(SoftwareKey::read_or_create(&path), Err(TrustError::NotAKey { .. })));
    }
}
