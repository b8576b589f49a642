//! Mutual TLS for devices, 1.3 unless 1.2 was asked for, with a server certificate that can be replaced while the daemon runs.
//!
//! Devices' certificates are judged at cloud time: while the clock of the machine cannot be believed, a fleet must not be
//! locked out by it.

use coterm_certs::{CertificateUnreadable, Identity};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::CertificateDer;
use std::sync::{Arc, PoisonError, RwLock};

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The key does not fit the certificate, or is of a kind that TLS 1.3 does not know.
    #[error("the broker's key cannot be used with its certificate ({0}); make or configure the pair again")]
    Identity(rustls::Error),
    /// The authority of the devices is no certificate.
    #[error("the certificate authority of the devices cannot be used ({0})")]
    Authority(String),
    /// A certificate says nothing usable.
    #[error(transparent)]
    Certificate(#[from] CertificateUnreadable),
}

/// The server certificate new connections get.
#[derive(Debug)]
pub(super) struct ServerCertificate(RwLock<Arc<CertifiedKey>>);

impl ServerCertificate {
    fn new(identity: &Identity) -> Result<ServerCertificate, TlsError> {
        Ok(ServerCertificate(RwLock::new(certified(identity)?)))
    }

    pub(super) fn replace(&self, identity: &Identity) -> Result<(), TlsError> {
        let certified = certified(identity)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certified;
        Ok(())
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn certified(identity: &Identity) -> Result<Arc<CertifiedKey>, TlsError> {
    CertifiedKey::from_der(identity.chain().to_vec(), identity.key(), &ring::default_provider())
        .map(Arc::new)
        .map_err(TlsError::Identity)
}

/// The configuration for every connection, and the handle to replace its certificate.
pub(super) fn server_config(
    identity: &Identity,
    client_authorities: &[CertificateDer<'static>],
    time: Arc<dyn TimeProvider>,
    allow_tls12: bool,
) -> Result<(Arc<rustls::ServerConfig>, Arc<ServerCertificate>), TlsError> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    for authority in client_authorities {
        roots.add(authority.clone()).map_err(|error| TlsError::Authority(error.to_string()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| TlsError::Authority(error.to_string()))?;
    let certificate = Arc::new(ServerCertificate::new(identity)?);
    let versions: &[&rustls::SupportedProtocolVersion] = if allow_tls12 {
        tracing::warn!(
            code = "BROKER_TLS12",
            "TLS 1.2 is accepted from devices (mqtt.embedded.allow_tls12): it shows who they are to whoever listens"
        );
        &[&rustls::version::TLS13, &rustls::version::TLS12]
    } else {
        &[&rustls::version::TLS13]
    };
    let mut config = rustls::ServerConfig::builder_with_details(provider, time)
        .with_protocol_versions(versions)
        .map_err(TlsError::Identity)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::clone(&certificate) as Arc<dyn ResolvesServerCert>);
    // Without tickets every connection verifies the device's certificate, its end included, and costs less memory.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok((Arc::new(config), certificate))
}
