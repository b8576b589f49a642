//! Certificates for keys that never leave their device.
//!
//! **Method.** A device sends a certification request (PKCS #10) signed by its key, which proves that it has that key. Of
//! the request only the public key counts: who the device is, for what and for how long the certificate is, decides the
//! cloud. **Deliberately absent:** RSA. No device that is enrolled today needs it, and its keys come in too many sizes.

use crate::certificate::CertificateFacts;
use crate::issue::Purpose;
use crate::pki::{Pki, PkiError};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::time::Seconds;
use rcgen::SubjectPublicKeyInfo;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

/// The longest public key taken: that of P-384. Ed25519 and P-256 are shorter, any RSA key is longer.
const MAX_KEY_BYTES: usize = 120;

/// Why a certification request cannot be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is not one.
    #[error("this is no certification request (PKCS #10, DER)")]
    Malformed,
    /// It is not signed by the key it is for.
    #[error(
        "the certification request is not signed by the key it is for, so nothing shows that the device has it"
    )]
    Proof,
    /// A kind of key no certificate is made for.
    #[error("no certificate is made for this kind of key; use P-256, P-384 or Ed25519")]
    Key,
}

/// A certification request whose sender has the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificationRequest {
    public_key_der: Vec<u8>,
}

impl CertificationRequest {
    /// Reads a request in DER and checks its proof of possession.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn from_der(der: &[u8]) -> Result<CertificationRequest, RequestError> {
        let (rest, parsed) = X509CertificationRequest::from_der(der).map_err(|_| RequestError::Malformed)?;
        if !rest.is_empty() {
            return Err(RequestError::Malformed);
        }
        let public_key_der = parsed.certification_request_info.subject_pki.raw.to_vec();
        if public_key_der.len() > MAX_KEY_BYTES || SubjectPublicKeyInfo::from_der(&public_key_der).is_err() {
            return Err(RequestError::Key);
        }
        parsed.verify_signature().map_err(|_| RequestError::Proof)?;
        Ok(CertificationRequest { public_key_der })
    }

    /// The public key, as certificates encode it.
    #[must_use]
    pub fn public_key_der(&self) -> &[u8] {
        &self.public_key_der
    }
}

/// A certificate for a key its device has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// What it says.
    pub facts: CertificateFacts,
}

impl Pki {
    /// A certificate for a device of this organization and a key that only the device has.
    ///
    /// # Errors
    /// [`PkiError`] when the authority's key is unusable.
    pub fn certify(
        &self,
        device: &DeviceId,
        organization: OrganizationId,
        request: &CertificationRequest,
        life: Seconds,
    ) -> Result<Certified, PkiError> {
        let key = SubjectPublicKeyInfo::from_der(request.public_key_der()).map_err(|_| RequestError::Key)?;
        let pem = self.sign(device.as_str(), &Purpose::Device(organization), life, &key)?;
        let path = self.dir.join("device");
        let der =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| PkiError::no_certificate(&path))?;
        let facts =
            CertificateFacts::from_der(&der).map_err(|source| PkiError::Certificate { path, source })?;
        Ok(Certified { der: der.to_vec(), facts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;
    use coterm_shared::time::Timestamp;
    use rcgen::{CertificateParams, KeyPair};

    const OURS: OrganizationId = OrganizationId::from_bytes([1; 16]);

    fn now() -> Time {
        Time::Sure(Timestamp::from_secs_clamped(1_800_000_000))
    }

    fn request(key: &KeyPair) -> Vec<u8> {
        CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_is_for_the_key_that_was_proven_and_says_what_the_cloud_says() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open_or_create(&dir.path().join("pki"), now).unwrap();
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let read = CertificationRequest::from_der(&request(&key)).unwrap();
            let made = pki.certify(&"cam-1".parse().unwrap(), OURS, &read, Seconds(120)).unwrap();
            assert_eq!(made.facts.public_key_der, read.public_key_der());
            let again = pki.certify(&"cam-1".parse().unwrap(), OURS, &read, Seconds(120)).unwrap();
            assert_ne!(again.facts.serial, made.facts.serial, "one key, and each certificate revoked alone");
            assert_eq!((made.facts.common_name.as_str(), made.facts.organization), ("cam-1", Some(OURS)));
            assert!(
                made.facts.ends_at.since(made.facts.starts_at).0 <= 130,
                "a short life is not old at birth"
            );
        }
    }

    #[test]
    fn without_proof_of_possession_there_is_no_certificate() {
        let good = request(&KeyPair::generate().unwrap());
        assert_eq!(CertificationRequest::from_der(b"junk"), Err(RequestError::Malformed));
        assert_eq!(CertificationRequest::from_der(&[&good[..], b"x"].concat()), Err(RequestError::Malformed));
        // Another's public key in a request of one's own: the signature is not by it.
        let victim = CertificationRequest::from_der(&good).unwrap().public_key_der;
        let mut forged = request(&KeyPair::generate().unwrap());
        let own = CertificationRequest::from_der(&forged).unwrap().public_key_der;
        let at = forged.windows(own.len()).position(|window| window == own).unwrap();
        forged[at..at + own.len()].copy_from_slice(&victim);
        assert_eq!(CertificationRequest::from_der(&forged), Err(RequestError::Proof));
    }

    #[test]
    fn a_renewed_certificate_stands_beside_the_old_one_until_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open_or_create(&dir.path().join("pki"), now).unwrap();
        let device = "cam-1".parse().unwrap();
        let serial = || pki.device_certificate(&device, OURS).unwrap().facts.serial;
        let (first, lost, second) = (serial(), serial(), serial());
        pki.keep_only(&device, &first).unwrap();
        assert_eq!(pki.keep_both(&device, &first, &lost).unwrap(), 0);
        assert_eq!(pki.keep_both(&device, &first, &second).unwrap(), 1, "an answer that was lost");
        assert_eq!(pki.keep_only(&device, &second).unwrap(), 1);
        assert_eq!(pki.keep_only(&device, &second).unwrap(), 0, "said twice");
        let revoked = pki.revoked().unwrap();
        assert!(revoked.contains(&first) && revoked.contains(&lost) && !revoked.contains(&second));
    }
}
