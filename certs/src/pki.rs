//! The certificate authority of an installation, made on first use.
//!
//! **Problem.** `coterm-cloud` starts on a fresh machine and must speak mutual TLS at once; a crash at any instant of
//! that first start, or two programs starting together, must leave a PKI that works. **Method.** Keys come first and are
//! never replaced; a certificate is made again whenever it is missing, does not fit its key, authority or names, or has
//! lived two thirds of its life, or begins in a future that a wrong clock showed. So every state a crash can leave is one
//! the next start repairs. **Deliberately absent:** renewing the authority. It lasts ten years, and replacing it means
//! touching every device; and a clock: the time is the caller's ([`crate::Time`]).

use crate::certificate::{CertificateFacts, CertificateUnreadable};
use crate::identity::{Identity, load_certificates};
use crate::issue::{CA_LIFE, DEVICE_LIFE, DeviceCertificate, Purpose, SERVICE_LIFE, params};
use crate::secret_file::{
    FileError, create_private_directory, create_secret_file, read_bounded_file, read_secret_file,
    replace_file,
};
use crate::time::{Source, Time};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::time::{Seconds, Timestamp};
use rcgen::{Issuer, KeyPair, PublicKeyData};
use rustls_pki_types::CertificateDer;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use zeroize::Zeroizing;

/// The common name of an authority made here.
pub(crate) const CA_NAME: &str = "Coterm certificate authority";
/// The common name of the cloud's client certificate; brokers give this identity the cloud's rights. The dot matters: no
/// device id has one, so no device can be named like the cloud.
const CLOUD_NAME: &str = "coterm.cloud";

/// Why the PKI could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file that should hold a certificate does not.
    #[error("{path}: {source}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: CertificateUnreadable,
    },
    /// A file that should hold a private key does not.
    #[error("{path} holds no private key in PEM (`-----BEGIN PRIVATE KEY-----`)")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Key and certificate of the authority belong to different authorities.
    #[error("{dir}: ca.key is not the key of ca.crt; restore the pair from a backup")]
    AuthorityMismatch {
        /// The PKI's directory.
        dir: PathBuf,
    },
    /// The authority's key is not here.
    #[error("{path} is missing, so nothing can be signed here; restore it, or sign where it is kept")]
    NoAuthorityKey {
        /// Where it should be.
        path: PathBuf,
    },
    /// A line of the revocation list is no serial number.
    #[error(
        "{path}, line {line}: not a serial number in hexadecimal; nothing is admitted until this is mended"
    )]
    RevokedLine {
        /// The list.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A server certificate was asked for without a name.
    #[error("a server certificate needs at least one DNS name or address that devices connect to")]
    NoServerName,
    /// A certification request cannot be granted.
    #[error(transparent)]
    Request(#[from] crate::request::RequestError),
    /// The certificate library refused, for instance a DNS name that is none.
    #[error("cannot make the certificate for {subject}: {source}")]
    Issue {
        /// Whose certificate.
        subject: String,
        /// What the library said.
        source: rcgen::Error,
    },
}

/// A file of the PKI, for `check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PkiFile {
    /// What it is, in words.
    pub name: &'static str,
    /// Where it is.
    pub path: PathBuf,
    /// Its state.
    pub state: FileState,
}

/// The state of a certificate file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileState {
    /// Not made yet.
    Missing,
    /// Readable; it ends at this instant.
    EndsAt(Timestamp),
    /// There, but not usable; the sentence says why.
    Unusable(String),
}

/// An installation's certificate authority and the certificates of its services.
#[derive(Clone, Debug)]
pub struct Pki {
    pub(crate) dir: PathBuf,
    ca: CertificateDer<'static>,
    pub(crate) time: Source,
    /// Held while the list of revoked certificates is read and written again.
    pub(crate) revoking: Arc<Mutex<()>>,
}

impl Pki {
    /// Opens the PKI in `dir`, making the directory (0700), the authority's key and its certificate when missing. Everything
    /// is made and judged at the time `time` tells, asked anew each time.
    ///
    /// # Errors
    /// [`PkiError`], when a file cannot be read, written or understood, or the authority's files do not match.
    pub fn open_or_create(
        dir: &Path,
        time: impl Fn() -> Time + Send + Sync + 'static,
    ) -> Result<Pki, PkiError> {
        let time = Source::new(time);
        create_private_directory(dir)?;
        let key_file = dir.join("ca.key");
        let certificate_file = dir.join("ca.crt");
        // An authority without its key still serves what it signed before.
        if !certificate_file.exists() {
            let key = load_or_create_key(&key_file)?;
            let issued = params(CA_NAME, &Purpose::Authority, time.now(), CA_LIFE)
                .and_then(|params| params.self_signed(&*key))
                .map_err(|source| PkiError::Issue { subject: CA_NAME.to_owned(), source })?;
            match create_secret_file(&certificate_file, issued.pem().as_bytes()) {
                // Public, like the other certificates: a broker that runs as another user reads a copy of it.
                Ok(()) => replace_file(&certificate_file, issued.pem().as_bytes(), 0o644)?,
                // Somebody else was faster: theirs counts.
                Err(FileError::Exists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let ca = load_certificates(&certificate_file)?
            .into_iter()
            .next()
            .ok_or_else(|| PkiError::no_certificate(&certificate_file))?;
        let pki = Pki { dir: dir.to_path_buf(), ca, time, revoking: Arc::default() };
        if key_file.exists() {
            pki.authority_key()?;
        }
        Ok(pki)
    }

    /// The authority's certificate: what devices trust as broker authority, and the broker for devices.
    #[must_use]
    pub fn ca_certificate(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    /// The authority's certificate file, PEM; copied to devices as `broker-ca.crt`.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// The authority's certificate as PEM text.
    ///
    /// # Errors
    /// [`PkiError`] when the file is gone.
    pub fn ca_pem(&self) -> Result<String, PkiError> {
        let bytes = read_bounded_file(&self.ca_file())?;
        String::from_utf8(bytes).map_err(|_| PkiError::no_certificate(&self.ca_file()))
    }

    /// The server certificate for these DNS names and addresses, made or renewed when needed.
    ///
    /// # Errors
    /// [`PkiError::NoServerName`] without a name; otherwise when a file or the authority's key is unusable.
    pub fn server_identity(&self, names: &[String]) -> Result<Identity, PkiError> {
        let Some(first) = names.first() else { return Err(PkiError::NoServerName) };
        self.identity("server", first, &Purpose::Server(names))
    }

    /// The server certificate of the enrolment listener, made or renewed when needed; it has a key of its own.
    ///
    /// # Errors
    /// As [`Pki::server_identity`].
    pub fn enrolment_identity(&self, names: &[String]) -> Result<Identity, PkiError> {
        let Some(first) = names.first() else { return Err(PkiError::NoServerName) };
        self.identity("enrolment", first, &Purpose::Server(names))
    }

    /// The cloud's client certificate for an external broker, made or renewed when needed; common name `coterm.cloud`.
    ///
    /// # Errors
    /// [`PkiError`] when a file or the authority's key is unusable.
    pub fn cloud_identity(&self) -> Result<Identity, PkiError> {
        self.identity("cloud", CLOUD_NAME, &Purpose::Client)
    }

    /// A new key and certificate for a device of this organization. The caller has the only copy of the key; see
    /// [`Pki::keep_only`] for what becomes of older certificates.
    ///
    /// # Errors
    /// [`PkiError`] when the authority's key is unusable.
    pub fn device_certificate(
        &self,
        device: &DeviceId,
        organization: OrganizationId,
    ) -> Result<DeviceCertificate, PkiError> {
        self.device_certificate_from(device, organization, self.time.now(), DEVICE_LIFE)
    }

    /// The same for a span of time of the caller's choice: a throw-away identity, or one that has ended already.
    ///
    /// # Errors
    /// As [`Pki::device_certificate`].
    pub fn device_certificate_from(
        &self,
        device: &DeviceId,
        organization: OrganizationId,
        from: Timestamp,
        life: Seconds,
    ) -> Result<DeviceCertificate, PkiError> {
        let issue = |source| PkiError::Issue { subject: device.to_string(), source };
        let key = KeyPair::generate().map(Zeroizing::new).map_err(issue)?;
        let certificate_pem =
            self.sign_from(device.as_str(), &Purpose::Device(organization), from, life, &*key)?;
        let facts = facts_of_pem(&certificate_pem, &self.dir.join("device"))?;
        let key_pem = Zeroizing::new(key.serialize_pem());
        Ok(DeviceCertificate { device: device.clone(), certificate_pem, key_pem, facts })
    }

    /// Every certificate file and when it ends, for `check` and for metrics.
    #[must_use]
    pub fn files(&self) -> Vec<PkiFile> {
        let file = |name, file_name: &str| {
            let path = self.dir.join(file_name);
            let state = match read_bounded_file(&path) {
                Ok(pem) => match facts_of_pem(&String::from_utf8_lossy(&pem), &path) {
                    Ok(facts) => FileState::EndsAt(facts.ends_at),
                    Err(error) => FileState::Unusable(error.to_string()),
                },
                Err(error) if error.is_not_found() => FileState::Missing,
                Err(error) => FileState::Unusable(error.to_string()),
            };
            PkiFile { name, path, state }
        };
        vec![
            file("certificate authority", "ca.crt"),
            file("broker certificate", "server.crt"),
            file("cloud client certificate", "cloud.crt"),
            file("enrolment certificate", "enrolment.crt"),
        ]
    }

    /// Where the serial numbers of a device's certificates are remembered; a device id is a file name.
    pub(crate) fn issued_file(&self, device: &DeviceId) -> PathBuf {
        self.dir.join("issued").join(device.as_str())
    }

    pub(crate) fn revoked_file(&self) -> PathBuf {
        self.dir.join("revoked")
    }

    fn identity(&self, file: &str, common_name: &str, purpose: &Purpose<'_>) -> Result<Identity, PkiError> {
        let key_file = self.dir.join(format!("{file}.key"));
        let certificate_file = self.dir.join(format!("{file}.crt"));
        let key = load_or_create_key(&key_file)?;
        if !self.is_good(&certificate_file, common_name, purpose, &key) {
            let pem = self.sign(common_name, purpose, SERVICE_LIFE, &*key)?;
            replace_file(&certificate_file, pem.as_bytes(), 0o644)?;
        }
        Identity::load(&certificate_file, &key_file)
    }

    /// Whether the certificate on disk can serve until the next start.
    fn is_good(&self, file: &Path, common_name: &str, purpose: &Purpose<'_>, key: &KeyPair) -> bool {
        let Ok(chain) = load_certificates(file) else { return false };
        let Some(leaf) = chain.first() else { return false };
        let Ok(facts) = CertificateFacts::from_der(leaf) else { return false };
        let names_fit = match purpose {
            Purpose::Server(names) => facts.names == *names,
            Purpose::Authority | Purpose::Client | Purpose::Device(_) => facts.names.is_empty(),
        };
        names_fit
            && facts.common_name == common_name
            && facts.public_key_der == key.subject_public_key_info()
            && is_timely(&facts, self.time.time())
            && is_signed_by(leaf, &self.ca)
    }

    pub(crate) fn sign(
        &self,
        common_name: &str,
        purpose: &Purpose<'_>,
        life: Seconds,
        key: &impl PublicKeyData,
    ) -> Result<String, PkiError> {
        self.sign_from(common_name, purpose, self.time.now(), life, key)
    }

    fn sign_from(
        &self,
        common_name: &str,
        purpose: &Purpose<'_>,
        from: Timestamp,
        life: Seconds,
        key: &impl PublicKeyData,
    ) -> Result<String, PkiError> {
        let authority = self.authority_key()?;
        let issue = |source| PkiError::Issue { subject: common_name.to_owned(), source };
        let issuer = Issuer::from_ca_cert_der(&self.ca, &*authority).map_err(issue)?;
        let certificate = params(common_name, purpose, from, life)
            .and_then(|params| params.signed_by(key, &issuer))
            .map_err(issue)?;
        Ok(certificate.pem())
    }

    /// The authority's key, in memory only while something is signed.
    pub(crate) fn authority_key(&self) -> Result<Zeroizing<KeyPair>, PkiError> {
        let path = self.dir.join("ca.key");
        let key = match load_key(&path) {
            Err(PkiError::File(error)) if error.is_not_found() => {
                return Err(PkiError::NoAuthorityKey { path });
            }
            other => other?,
        };
        let facts = CertificateFacts::from_der(&self.ca)
            .map_err(|source| PkiError::Certificate { path: self.ca_file(), source })?;
        if facts.public_key_der != key.subject_public_key_info() {
            return Err(PkiError::AuthorityMismatch { dir: self.dir.clone() });
        }
        Ok(key)
    }
}

fn load_or_create_key(path: &Path) -> Result<Zeroizing<KeyPair>, PkiError> {
    if !path.exists() {
        let key = KeyPair::generate()
            .map(Zeroizing::new)
            .map_err(|source| PkiError::Issue { subject: path.display().to_string(), source })?;
        let pem = Zeroizing::new(key.serialize_pem());
        match create_secret_file(path, pem.as_bytes()) {
            Ok(()) | Err(FileError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    load_key(path)
}

fn load_key(path: &Path) -> Result<Zeroizing<KeyPair>, PkiError> {
    let pem = read_secret_file(path)?;
    let no_key = || PkiError::NoKey { path: path.to_path_buf() };
    let text = std::str::from_utf8(&pem).map_err(|_| no_key())?;
    KeyPair::from_pem(text).map(Zeroizing::new).map_err(|_| no_key())
}

pub(crate) fn facts_of_pem(pem: &str, path: &Path) -> Result<CertificateFacts, PkiError> {
    use rustls_pki_types::pem::PemObject;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| PkiError::no_certificate(path))?;
    CertificateFacts::from_der(&der)
        .map_err(|source| PkiError::Certificate { path: path.to_path_buf(), source })
}

fn is_signed_by(leaf: &CertificateDer<'_>, authority: &CertificateDer<'_>) -> bool {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (Ok((_, leaf)), Ok((_, authority))) =
        (X509Certificate::from_der(leaf), X509Certificate::from_der(authority))
    else {
        return false;
    };
    leaf.issuer().as_raw() == authority.subject().as_raw()
        && leaf.verify_signature(Some(authority.public_key())).is_ok()
}

/// Whether a certificate is neither due for renewal nor made by a clock that was ahead. In doubt it serves until its end.
fn is_timely(facts: &CertificateFacts, time: Time) -> bool {
    match time {
        Time::Sure(now) => facts.starts_at <= now && !facts.is_due_for_renewal(now),
        Time::Doubted(now) => facts.ends_at > now,
    }
}

#[cfg(test)]
mod tests;
