//! What a certificate says: whose it is, when it ends, which serial number it has.
//!
//! **Problem.** The broker must know which device it talks to, and `check` must warn before a certificate ends.
//! **Method.** Exactly one common name is accepted; with two of them, different programs would read different devices
//! out of one certificate. **Deliberately absent:** verification. The chain is verified by rustls before anybody asks.

use coterm_shared::id::OrganizationId;
use coterm_shared::time::Timestamp;
use std::fmt;
use std::str::FromStr;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate's serial number, at most 20 bytes (RFC 5280 §4.1.2.2), as lowercase hexadecimal text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(String);

impl Serial {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Serial {
        use fmt::Write;
        // A leading zero byte only says that the number is positive.
        let significant = match bytes {
            [0, rest @ ..] if !rest.is_empty() => rest,
            all => all,
        };
        let mut hex = String::with_capacity(significant.len() * 2);
        for byte in significant {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        Serial(hex)
    }

    /// The number itself, most significant byte first.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let digits: Vec<u8> =
            self.0.chars().filter_map(|digit| digit.to_digit(16)?.try_into().ok()).collect();
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
    }

    /// The number as hexadecimal text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Serial {
    type Err = CertificateUnreadable;

    /// Parses what [`Serial`] prints, and what `openssl x509 -serial` prints (upper case).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.to_ascii_lowercase();
        let fits = (2..=40).contains(&text.len()) && text.len().is_multiple_of(2);
        if fits && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Serial(text))
        } else {
            Err(CertificateUnreadable::Serial)
        }
    }
}

/// Why a certificate says nothing usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateUnreadable {
    /// It is not DER of an X.509 certificate.
    #[error("not an X.509 certificate")]
    NotACertificate,
    /// It has no common name, more than one, or one that is not text.
    #[error("the certificate must have exactly one common name (for a device: its device id)")]
    CommonName,
    /// It is valid before 1970 or after 9999.
    #[error("the certificate's dates are not between 1970 and 9999")]
    Dates,
    /// It is not a serial number.
    #[error("not a serial number: write 1 to 20 bytes in hexadecimal")]
    Serial,
}

/// What the product reads from a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subject's only common name; for a device, its device id.
    pub common_name: String,
    /// Whose device it is: the subject's only organization name, if it is an organization id.
    pub organization: Option<OrganizationId>,
    /// The serial number.
    pub serial: Serial,
    /// The first second it is valid.
    pub starts_at: Timestamp,
    /// The last second it is valid.
    pub ends_at: Timestamp,
    /// The subject public key, as the certificate encodes it.
    pub public_key_der: Vec<u8>,
    /// The DNS names and addresses it is for, as text, in its order.
    pub names: Vec<String>,
}

impl CertificateFacts {
    /// Reads a certificate in DER; what follows it is refused.
    ///
    /// # Errors
    /// [`CertificateUnreadable`].
    pub fn from_der(der: &[u8]) -> Result<CertificateFacts, CertificateUnreadable> {
        let (rest, parsed) =
            X509Certificate::from_der(der).map_err(|_| CertificateUnreadable::NotACertificate)?;
        if !rest.is_empty() {
            return Err(CertificateUnreadable::NotACertificate);
        }
        let mut common_names = parsed.subject().iter_common_name();
        let common_name = match (common_names.next(), common_names.next()) {
            (Some(only), None) => only.as_str().map_err(|_| CertificateUnreadable::CommonName)?,
            (None | Some(_), _) => return Err(CertificateUnreadable::CommonName),
        };
        let mut organizations = parsed.subject().iter_organization();
        let organization = match (organizations.next(), organizations.next()) {
            (Some(only), None) => only.as_str().ok().and_then(|text| text.parse().ok()),
            (None | Some(_), _) => None,
        };
        let instant = |secs: i64| {
            u64::try_from(secs).ok().and_then(Timestamp::from_secs).ok_or(CertificateUnreadable::Dates)
        };
        Ok(CertificateFacts {
            common_name: common_name.to_owned(),
            organization,
            serial: Serial::from_bytes(parsed.raw_serial()),
            starts_at: instant(parsed.validity().not_before.timestamp())?,
            ends_at: instant(parsed.validity().not_after.timestamp())?,
            public_key_der: parsed.public_key().raw.to_vec(),
            names: names(&parsed)?,
        })
    }

    /// Whether two thirds of its life are over at `now`, so that it should be renewed.
    #[must_use]
    pub fn is_due_for_renewal(&self, now: Timestamp) -> bool {
        let life = self.ends_at.since(self.starts_at).0;
        now.since(self.starts_at).0 >= life - life / 3
    }
}

fn names(parsed: &X509Certificate<'_>) -> Result<Vec<String>, CertificateUnreadable> {
    use x509_parser::extensions::GeneralName;
    let extension = parsed.subject_alternative_name().map_err(|_| CertificateUnreadable::NotACertificate)?;
    let Some(extension) = extension else { return Ok(Vec::new()) };
    let text = |name: &GeneralName<'_>| {
        if let GeneralName::DNSName(dns) = name {
            return Some((*dns).to_owned());
        }
        if let GeneralName::IPAddress(bytes) = name {
            if let Ok(four) = <[u8; 4]>::try_from(*bytes) {
                return Some(std::net::Ipv4Addr::from(four).to_string());
            }
            if let Ok(sixteen) = <[u8; 16]>::try_from(*bytes) {
                return Some(std::net::Ipv6Addr::from(sixteen).to_string());
            }
        }
        None
    };
    Ok(extension.value.general_names.iter().filter_map(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    fn facts(common_names: &[&str]) -> Result<CertificateFacts, CertificateUnreadable> {
        let mut params = CertificateParams::new(vec!["broker.example".to_owned(), "::1".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        CertificateFacts::from_der(certificate.der())
    }

    #[test]
    fn the_common_name_is_the_device() {
        let facts = facts(&["cam-1"]).unwrap();
        assert_eq!(facts.common_name, "cam-1");
        assert_eq!(facts.names, ["broker.example", "::1"]);
        assert_eq!(facts.serial.to_string().parse::<Serial>().unwrap(), facts.serial);
        assert_eq!(facts.serial.to_string().to_uppercase().parse::<Serial>().unwrap(), facts.serial);
    }

    #[test]
    fn two_common_names_are_nobody() {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "cam-2");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(CertificateFacts::from_der(certificate.der()), Err(CertificateUnreadable::CommonName));
    }

    #[test]
    fn no_common_name_is_nobody() {
        assert_eq!(facts(&[]), Err(CertificateUnreadable::CommonName));
        assert_eq!(CertificateFacts::from_der(b"junk"), Err(CertificateUnreadable::NotACertificate));
        for bad in ["", "0", "xy", &"00".repeat(21)] {
            assert!(bad.parse::<Serial>().is_err(), "{bad}");
        }
    }
}
