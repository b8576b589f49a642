//! When a certificate begins and ends: the one field of X.509 (RFC 5280 §4.1.2.5) the agent wants to know.
//!
//! A walk over DER to one place, for people to read and to know when to renew; nobody is believed by it.

use coterm_shared::time::Timestamp;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// From when to when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    /// `notBefore`.
    pub starts_at: Timestamp,
    /// `notAfter`.
    pub ends_at: Timestamp,
}

/// `notAfter`, or `None` if this is no certificate.
pub(super) fn ends_at(der: &[u8]) -> Option<Timestamp> {
    validity(der).map(|validity| validity.ends_at)
}

/// When it begins and ends, or `None` if this is no certificate.
pub(crate) fn validity(der: &[u8]) -> Option<Validity> {
    let (_, certificate, _) = element(der)?;
    let (_, mut rest, _) = element(certificate)?;
    // tbsCertificate: [0] version, serial, signature, issuer, validity.
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (tag, validity, _) = element(rest)?;
    if tag != SEQUENCE {
        return None;
    }
    let (begin, first, after) = element(validity)?;
    let (end, last, _) = element(after)?;
    let at = |tag, text| instant(tag, std::str::from_utf8(text).ok()?);
    Some(Validity { starts_at: at(begin, first)?, ends_at: at(end, last)? })
}

/// Tag, content and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 3 {
            return None;
        }
        (digits.iter().fold(0_usize, |length, digit| length * 256 + usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

fn instant(tag: u8, text: &str) -> Option<Timestamp> {
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            // RFC 5280 §4.1.2.5.1.
            let century = if year < "50" { "20" } else { "19" };
            (format!("{century}{year}"), rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.to_owned(), rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2);
    format!("{year}-{}-{}T{}:{}:{}Z", part(0)?, part(2)?, part(4)?, part(6)?, part(8)?).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_time() {
        for (tag, text, expect) in [
            (UTC_TIME, "270301000000Z", Some("2027-03-01T00:00:00Z")),
            (UTC_TIME, "991231235959Z", Some("1999-12-31T23:59:59Z")),
            (GENERALIZED_TIME, "20500101000000Z", Some("2050-01-01T00:00:00Z")),
            (UTC_TIME, "2703", None),
            (0x02, "270301000000Z", None),
        ] {
            assert_eq!(instant(tag, text).map(|at| at.to_string()).as_deref(), expect, "{text}");
        }
        for nonsense in [&b""[..], b"\x30", b"\x30\x82\xff\xff\x00", b"\x30\x84\x01\x01\x01\x01", &[0x30; 40]]
        {
            assert_eq!(ends_at(nonsense), None);
        }
    }
}
