//! TLS 1.3 for devices that have no certificate yet, or one that ended a while ago.
//!
//! A client certificate is optional. One that ended is still taken for a while, for renewal alone: a device that was in a
//! box for a month comes back by itself. Nothing else about it is judged more mildly.

use coterm_certs::Identity;
use coterm_shared::time::Seconds;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// What the listener speaks, by its name in ALPN.
const ALPN: &[u8] = b"coterm-enrolment/1";

/// A configuration, and the hash of the certificate it shows: what answers name.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ServerConfig>,
    pub(super) server: [u8; 32],
}

impl Tls {
    /// The configuration with this identity, for devices of this authority.
    pub(super) fn new(
        identity: &Identity,
        authority: &CertificateDer<'static>,
        grace: Seconds,
        time: Arc<dyn TimeProvider>,
    ) -> Result<Tls, Error> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone())?;
        let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        let mut config = ServerConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(Lenient { inner, grace }))
            .with_single_cert(identity.chain().to_vec(), identity.key())?;
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![ALPN.to_vec()];
        let leaf = identity.chain().first().ok_or(Error::NoCertificatesPresented)?;
        Ok(Tls { config: Arc::new(config), server: Sha256::digest(leaf).into() })
    }
}

/// Verifies as webpki does, but that a certificate counts for a while after its end.
#[derive(Debug)]
struct Lenient {
    inner: Arc<dyn ClientCertVerifier>,
    grace: Seconds,
}

impl ClientCertVerifier for Lenient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.inner.verify_client_cert(end_entity, intermediates, now) {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }))
                if now.as_secs() <= not_after.as_secs().saturating_add(self.grace.0) =>
            {
                self.inner.verify_client_cert(end_entity, intermediates, not_after)
            }
            judged => judged,
        }
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
