//! TLS to the broker, on a device whose clock may be dead.
//!
//! **Problem.** A camera with an empty clock battery must still connect, and must still notice that a certificate is
//! long expired. **Method.** Our own rustls configuration: ring, TLS 1.3 only, the device's certificate, and a server
//! verifier that judges at *trusted* time. That time is only a lower bound (token §5), so "not yet valid" alone proves
//! nothing: the chain is then judged again at the instant it begins, and refused if it is not good there either. An
//! expired certificate stays expired at every later time. **Deliberately absent:** session resumption, so that every
//! connection is judged anew; the process-wide default provider; TLS 1.2.

use crate::config::Broker;
use crate::files::{self, FileError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many certificates of a chain may begin after trusted time.
const MAX_RETRIES: usize = 4;

/// Why no TLS configuration can be made; every sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{path} holds no PEM {what}; provision the device again")]
    Empty { path: PathBuf, what: &'static str },
    #[error("{path}: {message}; provision the device again")]
    Bad { path: PathBuf, message: String },
    #[error("`{0}` is no name a certificate can carry; set broker.server_name")]
    ServerName(String),
    #[error("the device's certificate and key do not work together: {0}; provision the device again")]
    Identity(Error),
}

/// Trusted time, as the driver last knew it, for threads that verify certificates.
#[derive(Debug, Default)]
pub(crate) struct TrustedNow(AtomicU64);

impl TrustedNow {
    /// Sets it, in seconds since 1970.
    pub(crate) fn set(&self, at: coterm_shared::time::Timestamp) {
        self.0.store(at.as_secs(), Ordering::Relaxed);
    }
}

impl TimeProvider for TrustedNow {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

/// The configuration for every connection to the broker.
pub(crate) fn client_config(broker: &Broker, now: Arc<TrustedNow>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = AtTrustedTime {
        inner: WebPkiServerVerifier::builder_with_provider(Arc::new(roots(broker)?), Arc::clone(&provider))
            .build()
            .map_err(|error| TlsError::Bad { path: broker.ca_file.clone(), message: error.to_string() })?,
        server_name: ServerName::try_from(broker.server_name.clone())
            .map_err(|_| TlsError::ServerName(broker.server_name.clone()))?,
    };
    let mut config = ClientConfig::builder_with_details(provider, now)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Identity)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(certificates(&broker.certificate_file)?, key(broker)?)
        .map_err(TlsError::Identity)?;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// All certificates in a PEM file, at least one.
pub(crate) fn certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = files::read(path)?;
    let bad = |message: String| TlsError::Bad { path: path.to_path_buf(), message };
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| bad(error.to_string()))?;
    if found.is_empty() {
        return Err(TlsError::Empty { path: path.to_path_buf(), what: "certificate" });
    }
    Ok(found)
}

fn roots(broker: &Broker) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&broker.ca_file)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::Bad { path: broker.ca_file.clone(), message: error.to_string() })?;
    }
    Ok(roots)
}

fn key(broker: &Broker) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = files::read_secret(&broker.key_file)?;
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| TlsError::Empty { path: broker.key_file.clone(), what: "private key" })
}

/// Verifies as webpki does, except that a chain which only begins later than the trusted lower bound is judged there.
#[derive(Debug)]
struct AtTrustedTime {
    inner: Arc<WebPkiServerVerifier>,
    /// The configured name; the one passed in is the host that was connected to.
    server_name: ServerName<'static>,
}

impl ServerCertVerifier for AtTrustedTime {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _host: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut at = now;
        for _ in 0..MAX_RETRIES {
            match self.inner.verify_server_cert(
                end_entity,
                intermediates,
                &self.server_name,
                ocsp_response,
                at,
            ) {
                Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
                    not_before, ..
                })) if not_before > at => {
                    at = not_before;
                }
                judged => return judged,
            }
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYet))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
