//! Where private keys are: files of this daemon, systemd credentials, and a token or HSM behind PKCS#11.
//!
//! **Problem.** Documents name keys; whoever signs has to find the private half, wherever it is kept this year, and an
//! operator moves keys from files into hardware without a flag day. **Method.** One lookup by public key through all
//! places, and one place where new keys of each role are made. A key that is in no place here is no error: it is kept
//! offline, and what needs it is signed through files. **Deliberately absent:** copying keys between places.

use super::hsm::Hsm;
use super::{Signer, SoftwareKey, TrustError};
use coterm_certs::{FileError, read_credential_file, read_secret_file};
use coterm_shared::token::{Kid, PublicKey};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRole {
    /// It makes roots.
    Root,
    /// It makes keyrings.
    Keyring,
    /// It signs tokens.
    Token,
}

impl KeyRole {
    /// Its name, as in file names, in the configuration and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            KeyRole::Root => "root",
            KeyRole::Keyring => "keyring",
            KeyRole::Token => "token",
        }
    }
}

/// Where to look for private keys, and where to make new ones.
#[derive(Clone)]
pub struct Vault {
    keys: PathBuf,
    credentials: Option<PathBuf>,
    hsm: Option<Hardware>,
}

#[derive(Clone)]
struct Hardware {
    hsm: Arc<Hsm>,
    /// The roles whose new keys are made in it.
    makes: Vec<KeyRole>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("keys", &self.keys)
            .field("hsm", &self.hsm.is_some())
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// Key files in this directory, made with mode 0700 when the first key is.
    #[must_use]
    pub fn files(keys: PathBuf) -> Vault {
        Vault { keys, credentials: None, hsm: None }
    }

    /// Key files handed over by systemd (`$CREDENTIALS_DIRECTORY`) count too.
    #[must_use]
    pub fn with_credentials(self, directory: Option<PathBuf>) -> Vault {
        Vault { credentials: directory, ..self }
    }

    /// Keys behind PKCS#11 count too, and new keys of these roles are made there.
    #[must_use]
    pub fn with_hsm(self, hsm: Arc<Hsm>, makes: Vec<KeyRole>) -> Vault {
        Vault { hsm: Some(Hardware { hsm, makes }), ..self }
    }

    /// The private half of a public key; `None` if it is in no place here.
    ///
    /// # Errors
    /// A file cannot be read, others can read it, or it holds another key; the hardware does not answer.
    pub fn find(&self, role: KeyRole, public: &PublicKey) -> Result<Option<Arc<dyn Signer>>, TrustError> {
        for place in self.places(role, public.kid()) {
            match place.read() {
                Ok(key) if key.public_key() == public => return Ok(Some(Arc::new(key))),
                // A file named by the role alone may be left from the key before.
                Ok(_) if !place.named_by_key => {}
                Ok(_) => return Err(TrustError::OtherKey { path: place.path }),
                Err(TrustError::File(error)) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        match &self.hsm {
            Some(hardware) => Ok(hardware.hsm.find(public)?.map(|key| Arc::new(key) as Arc<dyn Signer>)),
            None => Ok(None),
        }
    }

    /// A new key of this role, safely kept before anything names it.
    ///
    /// # Errors
    /// No randomness, the file cannot be written, or the hardware does not make it.
    pub fn make(&self, role: KeyRole) -> Result<Arc<dyn Signer>, TrustError> {
        match &self.hsm {
            Some(hardware) if hardware.makes.contains(&role) => Ok(Arc::new(hardware.hsm.generate(role)?)),
            Some(_) | None => {
                super::trust::private_directory(&self.keys)?;
                let key = SoftwareKey::generate()?;
                key.create(&self.key_file(role, key.kid()))?;
                Ok(Arc::new(key))
            }
        }
    }

    /// Forgets a private key that nothing needs any more; one that is in no place here is forgotten already.
    ///
    /// # Errors
    /// The file cannot be removed or the hardware does not do it. The key can sign nothing that counts all the same.
    pub fn destroy(&self, role: KeyRole, public: &PublicKey) -> Result<(), TrustError> {
        let named_by_role = self.first_key(role)?.is_some_and(|key| key.public_key() == public);
        let first = named_by_role.then(|| self.first_file(role));
        for path in first.into_iter().chain([self.key_file(role, public.kid())]) {
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(FileError::Io { verb: "remove", path, source }.into()),
            }
        }
        match &self.hsm {
            Some(hardware) => hardware.hsm.destroy(public),
            None => Ok(()),
        }
    }

    /// Where software keys are.
    pub(super) fn directory(&self) -> &Path {
        &self.keys
    }

    /// Whether new keys of this role are made in hardware.
    pub(super) fn makes_in_hardware(&self, role: KeyRole) -> bool {
        self.hsm.as_ref().is_some_and(|hardware| hardware.makes.contains(&role))
    }

    /// The key in the file of the very first start, if that is there.
    pub(super) fn first_key(&self, role: KeyRole) -> Result<Option<SoftwareKey>, TrustError> {
        match SoftwareKey::read(&self.first_file(role)) {
            Ok(key) => Ok(Some(key)),
            Err(TrustError::File(error)) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The key of a role that systemd handed over under the role's name, if it did.
    pub(super) fn credential(&self, role: KeyRole) -> Result<Option<SoftwareKey>, TrustError> {
        let Some(directory) = &self.credentials else { return Ok(None) };
        let path = directory.join(format!("{}.key", role.name()));
        match (Place { path, named_by_key: false, credential: true }).read() {
            Ok(key) => Ok(Some(key)),
            Err(TrustError::File(error)) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The key file of the very first start, which has no key id in its name.
    pub(super) fn first_file(&self, role: KeyRole) -> PathBuf {
        self.keys.join(format!("{}.key", role.name()))
    }

    /// Where a software key made here is.
    pub(super) fn key_file(&self, role: KeyRole, kid: Kid) -> PathBuf {
        self.keys.join(format!("{}-{kid}.key", role.name()))
    }

    fn places(&self, role: KeyRole, kid: Kid) -> Vec<Place> {
        let by_key = format!("{}-{kid}.key", role.name());
        let by_role = format!("{}.key", role.name());
        let mut places = Vec::new();
        let directories = [Some((&self.keys, false)), self.credentials.as_ref().map(|path| (path, true))];
        for (directory, credential) in directories.into_iter().flatten() {
            places.push(Place { path: directory.join(&by_key), named_by_key: true, credential });
            places.push(Place { path: directory.join(&by_role), named_by_key: false, credential });
        }
        places
    }
}

/// A file that may hold a key.
struct Place {
    path: PathBuf,
    named_by_key: bool,
    credential: bool,
}

impl Place {
    fn read(&self) -> Result<SoftwareKey, TrustError> {
        let text =
            if self.credential { read_credential_file(&self.path)? } else { read_secret_file(&self.path)? };
        SoftwareKey::from_pem(&text, &self.path)
    }
}

/// A short secret, such as a PIN, from a file of mode 0600 or a systemd credential; one line end is not part of it.
///
/// # Errors
/// The file cannot be read, others can read it, or it is not text.
#[cfg(feature = "pkcs11")]
pub(super) fn read_pin(
    file: Option<&Path>,
    credentials: Option<&Path>,
) -> Result<zeroize::Zeroizing<String>, TrustError> {
    let (path, bytes) = match (file, credentials) {
        (Some(path), _) => (path.to_owned(), read_secret_file(path)?),
        (None, Some(directory)) => {
            let path = directory.join("pkcs11.pin");
            let bytes = read_credential_file(&path)?;
            (path, bytes)
        }
        (None, None) => return Err(TrustError::NoPin),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| TrustError::NotAPin { path })?;
    Ok(zeroize::Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned()))
}
