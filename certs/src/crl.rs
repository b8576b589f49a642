//! The revoked certificates as an X.509 revocation list, which brokers elsewhere can read.
//!
//! **Problem.** Our list is a text file that only the embedded broker reads; a stolen device would stay welcome at a
//! Mosquitto. **Method.** `revoked.crl` beside it has the same serial numbers, signed by the authority. It is written again
//! whenever the two differ, and when it begins in a future that a wrong clock showed: brokers refuse every device then. It ends when the authority does: a list that ended makes brokers turn every device away, and a
//! list that is copied late only misses the newest names. **Deliberately absent:** distribution points. Whoever runs the broker copies
//! the file and tells the broker.

use crate::certificate::{CertificateFacts, Serial};
use crate::pki::{Pki, PkiError};
use crate::revocation::Revoked;
use crate::secret_file::replace_file;
use crate::time::Time;
use coterm_shared::time::Timestamp;
use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber,
};
use std::path::PathBuf;
use std::time::Duration;
use x509_parser::prelude::{CertificateRevocationList, FromDer, Pem};

/// What the list is called in messages.
const SUBJECT: &str = "the revocation list";

impl Pki {
    /// Where the X.509 revocation list is, PEM.
    #[must_use]
    pub fn revocation_list_file(&self) -> PathBuf {
        self.dir.join("revoked.crl")
    }

    /// Brings the X.509 revocation list in step with the revoked certificates; returns whether it had to be written.
    ///
    /// # Errors
    /// [`PkiError`] when the serial numbers cannot be read, the authority's key is not here, or the file cannot be written;
    /// the list that is there stays.
    pub fn write_revocation_list(&self) -> Result<bool, PkiError> {
        let revoked = self.revoked()?;
        let time = self.time.time();
        let listed = self.listed();
        let begun = |listed: &Listed| match time {
            Time::Sure(now) => listed.made_at_secs <= now.as_secs(),
            Time::Doubted(_) => true,
        };
        if listed.as_ref().is_some_and(|listed| listed.serials == revoked && begun(listed)) {
            return Ok(false);
        }
        let key = self.authority_key()?;
        let failed = |source| PkiError::Issue { subject: SUBJECT.to_owned(), source };
        let issuer = Issuer::from_ca_cert_der(self.ca_certificate(), &*key).map_err(failed)?;
        let facts = CertificateFacts::from_der(self.ca_certificate())
            .map_err(|source| PkiError::Certificate { path: self.ca_file(), source })?;
        let now = time.at();
        let number = listed.map_or(0, |listed| listed.number.saturating_add(1)).max(now.as_secs());
        let instant = |at: Timestamp| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(at.as_secs());
        let list = CertificateRevocationListParams {
            this_update: instant(now),
            next_update: instant(facts.ends_at),
            // It only has to grow from one list to the next, also where the clock was put back.
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&serial.to_bytes()),
                    revocation_time: instant(now),
                    reason_code: Some(RevocationReason::Unspecified),
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let pem = list.signed_by(&issuer).and_then(|list| list.pem()).map_err(failed)?;
        replace_file(&self.revocation_list_file(), pem.as_bytes(), 0o644)?;
        Ok(true)
    }

    /// What the list on disk says, if there is one that can be read.
    fn listed(&self) -> Option<Listed> {
        let bytes = std::fs::read(self.revocation_list_file()).ok()?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(&bytes).ok()?;
        read(&pem)
    }
}

/// What a list says.
#[derive(Debug)]
struct Listed {
    serials: Revoked,
    /// When it was made, in seconds since 1970.
    made_at_secs: u64,
    number: u64,
}

fn read(pem: &Pem) -> Option<Listed> {
    let (_, list) = CertificateRevocationList::from_der(&pem.contents).ok()?;
    let number = list.crl_number().and_then(|number| number.to_u64_digits().first().copied());
    Some(Listed {
        serials: list.iter_revoked_certificates().map(|one| Serial::from_bytes(one.raw_serial())).collect(),
        made_at_secs: u64::try_from(list.last_update().timestamp()).ok()?,
        number: number.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use coterm_shared::id::OrganizationId;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    const START: u64 = 1_800_000_000;

    #[test]
    fn the_list_follows_what_is_revoked_and_lasts_as_long_as_the_authority() {
        let dir = tempfile::tempdir().unwrap();
        let at = Arc::new(AtomicU64::new(START));
        let clock = Arc::clone(&at);
        let now = move || Timestamp::from_secs_clamped(clock.load(Ordering::Relaxed));
        let pki = Pki::open_or_create(&dir.path().join("pki"), move || Time::Sure(now())).unwrap();
        assert!(pki.write_revocation_list().unwrap(), "a broker can be given one before anything is revoked");
        assert!(!pki.write_revocation_list().unwrap());
        assert_eq!(pki.listed().unwrap().serials, Revoked::new());
        let made =
            pki.device_certificate(&"cam-1".parse().unwrap(), OrganizationId::from_bytes([1; 16])).unwrap();
        let revoked = pki.revoke(&made.facts.serial).unwrap();
        assert!(pki.write_revocation_list().unwrap());
        assert_eq!(pki.listed().unwrap().serials, revoked);
        let bytes = std::fs::read(pki.revocation_list_file()).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(&bytes).unwrap();
        let (_, list) = CertificateRevocationList::from_der(&pem.contents).unwrap();
        let ends = list.next_update().unwrap().timestamp();
        let authority = CertificateFacts::from_der(pki.ca_certificate()).unwrap();
        assert_eq!(u64::try_from(ends).unwrap(), authority.ends_at.as_secs());
        let (_, ca) = x509_parser::prelude::X509Certificate::from_der(pki.ca_certificate()).unwrap();
        list.verify_signature(ca.public_key()).unwrap();

        // The clock was ahead and is put right: a list that begins in the future turns every device away.
        let number = pki.listed().unwrap().number;
        at.store(START - 86_400, Ordering::Relaxed);
        assert!(pki.write_revocation_list().unwrap());
        let again = pki.listed().unwrap();
        assert!(again.made_at_secs == START - 86_400 && again.number > number, "{again:?}");
        assert!(!pki.write_revocation_list().unwrap());
    }
}
