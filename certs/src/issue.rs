//! What the certificate authority signs, and for how long.

use crate::certificate::CertificateFacts;
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::time::{Seconds, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SerialNumber,
};
use std::time::Duration;
use zeroize::Zeroizing;

/// Ten years of 365 days: longer than any device certificate it signs.
pub(crate) const CA_LIFE: Seconds = Seconds::days(3_650);
/// Server and cloud certificates are renewed by the daemon itself, so they can be short.
pub(crate) const SERVICE_LIFE: Seconds = Seconds::days(397);
/// Device certificates are renewed by whoever provisions devices, so they last five years.
pub(crate) const DEVICE_LIFE: Seconds = Seconds::days(1_825);
/// Certificates start an hour early: a device's clock may be behind the one that signed.
const BACKDATE: Seconds = Seconds(3_600);
/// But never by more than this part of their life, which would make a short one old from its first second on.
const BACKDATE_PART: u64 = 12;

/// What is signed: the difference between one certificate and another.
pub(crate) enum Purpose<'a> {
    /// The authority itself.
    Authority,
    /// A TLS server with these DNS names and addresses.
    Server(&'a [String]),
    /// A TLS client known by its common name.
    Client,
    /// A device known by its common name, and whose it is.
    Device(OrganizationId),
}

/// The parameters of a certificate for `common_name`, valid from now for `life`.
pub(crate) fn params(
    common_name: &str,
    purpose: &Purpose<'_>,
    now: Timestamp,
    life: Seconds,
) -> Result<CertificateParams, rcgen::Error> {
    let names = match purpose {
        Purpose::Server(names) => names.to_vec(),
        Purpose::Authority | Purpose::Client | Purpose::Device(_) => Vec::new(),
    };
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    if let Purpose::Device(organization) = purpose {
        params.distinguished_name.push(DnType::OrganizationName, organization.to_string());
    }
    params.distinguished_name.push(DnType::CommonName, common_name);
    let backdate = BACKDATE.min(Seconds(life.0 / BACKDATE_PART));
    // Never made from the key: two certificates of one key must be told apart to be revoked apart.
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|_| rcgen::Error::RingUnspecified)?;
    // Positive and of full length, in one encoding (RFC 5280 §4.1.2.2).
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now.saturating_sub(backdate).as_secs());
    params.not_after = epoch + Duration::from_secs(now.saturating_add(life).as_secs());
    match purpose {
        Purpose::Authority => {
            // No intermediate authorities: this one signs leaves.
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        }
        Purpose::Server(_) => {
            params.is_ca = IsCa::ExplicitNoCa;
            params.use_authority_key_identifier_extension = true;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        }
        Purpose::Client | Purpose::Device(_) => {
            params.is_ca = IsCa::ExplicitNoCa;
            params.use_authority_key_identifier_extension = true;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
    }
    Ok(params)
}

/// A device's certificate and the only copy of its key.
#[derive(Debug)]
pub struct DeviceCertificate {
    /// Whose it is.
    pub device: DeviceId,
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// Its private key, PKCS #8 PEM; wiped when dropped.
    pub key_pem: Zeroizing<String>,
    /// What the certificate says: serial number (for revocation) and end.
    pub facts: CertificateFacts,
}
