//! Certificates that must be refused: what is shown to a broker to see that it refuses.

use crate::certificate::CertificateFacts;
use crate::issue::{CA_LIFE, DeviceCertificate, Purpose, params};
use crate::pki::{PkiError, facts_of_pem};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::time::{Seconds, Timestamp};
use rcgen::{Issuer, KeyPair};
use std::path::Path;
use zeroize::Zeroizing;

/// A certificate in the name of a device, by an authority made up for the moment that calls itself what ours does.
///
/// # Errors
/// [`PkiError`] when this machine has no randomness.
pub fn stranger_certificate(
    device: &DeviceId,
    organization: OrganizationId,
    now: Timestamp,
    life: Seconds,
) -> Result<DeviceCertificate, PkiError> {
    let issue = |source| PkiError::Issue { subject: device.to_string(), source };
    let authority_key = KeyPair::generate().map(Zeroizing::new).map_err(issue)?;
    let authority = params(crate::pki::CA_NAME, &Purpose::Authority, now, CA_LIFE).map_err(issue)?;
    let issuer = Issuer::from_params(&authority, &*authority_key);
    let key = KeyPair::generate().map(Zeroizing::new).map_err(issue)?;
    let certificate_pem = params(device.as_str(), &Purpose::Device(organization), now, life)
        .and_then(|params| params.signed_by(&*key, &issuer))
        .map_err(issue)?
        .pem();
    let facts: CertificateFacts = facts_of_pem(&certificate_pem, Path::new("throw-away certificate"))?;
    let key_pem = Zeroizing::new(key.serialize_pem());
    Ok(DeviceCertificate { device: device.clone(), certificate_pem, key_pem, facts })
}
