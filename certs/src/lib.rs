//! The certificate side: a PKI made on first run, server and device certificates, and files that keep secrets.
//!
//! **Problem.** Devices and cloud know each other by mutual TLS, and nobody should have to run a certificate authority
//! to try the product, or to keep a small installation going. **Method.** [`Pki`] makes a certificate authority on first
//! use and issues from it: the broker's server certificate (renewed by itself at two thirds of its life), a certificate
//! per device whose common name is the device id, also for a key only the device has ([`CertificationRequest`]), and the
//! cloud's own for brokers elsewhere. The time they are made and judged at is the caller's ([`Time`]). Every file is written
//! whole or not at all, and keys are readable by their owner alone from their first byte on. Certificates that no longer count
//! are a list of serial numbers, and an X.509 revocation list of the same for brokers elsewhere. **Deliberately absent:** the
//! enrolment protocol, which is the cloud's, and certificate transparency; a fleet that has a PKI of its own uses that and only points the
//! configuration at its files.

#[cfg(feature = "pki")]
mod certificate;
#[cfg(feature = "pki")]
mod crl;
#[cfg(feature = "pki")]
mod identity;
#[cfg(feature = "pki")]
mod issue;
#[cfg(feature = "pki")]
mod pki;
#[cfg(feature = "pki")]
mod request;
#[cfg(feature = "pki")]
mod revocation;
mod secret_file;
#[cfg(feature = "pki")]
mod throwaway;
#[cfg(feature = "pki")]
mod time;

#[cfg(feature = "pki")]
pub use certificate::{CertificateFacts, CertificateUnreadable, Serial};
#[cfg(feature = "pki")]
pub use identity::Identity;
#[cfg(feature = "pki")]
pub use issue::DeviceCertificate;
#[cfg(feature = "pki")]
pub use pki::{FileState, Pki, PkiError, PkiFile};
#[cfg(feature = "pki")]
pub use request::{CertificationRequest, Certified, RequestError};
#[cfg(feature = "pki")]
pub use revocation::Revoked;
pub use secret_file::{
    FileError, SECRET_FILE_MAX_BYTES, create_secret_file, read_bounded_file, read_credential_file,
    read_secret_file, replace_file,
};
#[cfg(feature = "pki")]
pub use throwaway::stranger_certificate;
#[cfg(feature = "pki")]
pub use time::Time;
