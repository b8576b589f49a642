//! The containers: COSE_Sign1 for tokens, COSE_Sign for roots and keyrings (RFC 9052 §4).
//!
//! Both are read by position with the strict cursor: the shapes are fixed, so a general COSE parser would only add
//! ways to be wrong. The bytes received are the bytes verified; nothing is encoded again before the signature is
//! checked. **Deliberately absent:** external data, unprotected headers, detached payloads, algorithm choice.

use super::codec::{Cursor, push_array, push_bytes, push_text};
use super::key::{Kid, PublicKey};
use alloc::vec::Vec;

/// The type of a license-state token (RFC 9596 `typ`).
pub const TOKEN_TYPE: &str = "application/vnd.coterm.license-state+cwt";
/// The type of a root document.
pub const ROOT_TYPE: &str = "application/vnd.coterm.root+cose";
/// The type of a keyring document.
pub const KEYRING_TYPE: &str = "application/vnd.coterm.keyring+cose";

/// Header label of the algorithm (RFC 9052 §3.1).
const LABEL_ALG: i64 = 1;
/// Header label of the key id (RFC 9052 §3.1).
const LABEL_KID: i64 = 4;
/// Header label of the type (RFC 9596).
const LABEL_TYP: i64 = 16;
/// Ed25519, fully specified (RFC 9864).
const ALG_ED25519: i64 = -19;

const TAG_SIGN1: u8 = 0xd2;
const TAG_SIGN: [u8; 2] = [0xd8, 98];
const EMPTY_MAP: u8 = 0xa0;

/// How many signatures a COSE_Sign may carry: the old and the new keys of the largest roles.
pub(super) const MAX_SIGNATURES: u64 = 32;

/// A token's three signed or signing parts, borrowed from the bytes received.
pub(super) struct Sign1<'a> {
    pub(super) protected: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) signature: &'a [u8; 64],
}

impl<'a> Sign1<'a> {
    /// Reads `18([protected, {}, payload, signature])` and nothing else.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Sign1<'a>> {
        let mut cursor = Cursor::new(bytes);
        if *cursor.take_array()? != [TAG_SIGN1] || cursor.array()? != 4 {
            return None;
        }
        let protected = cursor.bytes()?;
        if cursor.map()? != 0 {
            return None;
        }
        let payload = cursor.bytes()?;
        let signature = cursor.bytes()?.try_into().ok()?;
        cursor.is_at_end().then_some(Sign1 { protected, payload, signature })
    }

    /// What was signed.
    pub(super) fn to_be_signed(&self) -> Vec<u8> {
        signature1(self.protected, self.payload)
    }
}

/// Why a token's header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// Not exactly the three labels in order.
    Labels,
    /// Another algorithm.
    Algorithm,
    /// Another type.
    Type,
}

/// Reads a token's protected header: exactly the labels 1, 4 and 16 (token §4 step 3).
pub(super) fn parse_token_header(protected: &[u8]) -> Result<Kid, HeaderError> {
    parse_header1(protected, TOKEN_TYPE)
}

/// Reads the protected header of a COSE_Sign1 of this type: exactly the labels 1, 4 and 16.
pub(super) fn parse_header1(protected: &[u8], expected: &str) -> Result<Kid, HeaderError> {
    fn read<'a>(cursor: &mut Cursor<'a>) -> Option<(i64, [u8; 8], &'a str)> {
        let labelled = |cursor: &mut Cursor<'a>, label| (cursor.int()? == label).then_some(());
        (cursor.map()? == 3).then_some(())?;
        labelled(cursor, LABEL_ALG)?;
        let alg = cursor.int()?;
        labelled(cursor, LABEL_KID)?;
        let kid = cursor.bytes()?.try_into().ok()?;
        labelled(cursor, LABEL_TYP)?;
        let typ = cursor.text()?;
        cursor.is_at_end().then_some((alg, kid, typ))
    }
    let (alg, kid, typ) = read(&mut Cursor::new(protected)).ok_or(HeaderError::Labels)?;
    if alg != ALG_ED25519 {
        Err(HeaderError::Algorithm)
    } else if typ != expected {
        Err(HeaderError::Type)
    } else {
        Ok(Kid::from_bytes(kid))
    }
}

/// The protected header of a token signed by this key.
pub(super) fn token_header(kid: Kid) -> Vec<u8> {
    header1(kid, TOKEN_TYPE)
}

/// The protected header of a COSE_Sign1 of this type signed by this key.
pub(super) fn header1(kid: Kid, typ: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(&[0xa3, 0x01, 0x32, 0x04]);
    push_bytes(&mut out, kid.as_bytes());
    out.push(0x10);
    push_text(&mut out, typ);
    out
}

/// `Sig_structure` of a COSE_Sign1 without external data (RFC 9052 §4.4).
pub(super) fn signature1(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(protected.len() + payload.len() + 24);
    push_array(&mut out, 4);
    push_text(&mut out, "Signature1");
    push_bytes(&mut out, protected);
    push_bytes(&mut out, &[]);
    push_bytes(&mut out, payload);
    out
}

/// A COSE_Sign1 of these parts.
pub(super) fn sign1(protected: &[u8], payload: &[u8], signature: &[u8; 64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(protected.len() + payload.len() + 80);
    out.push(TAG_SIGN1);
    push_array(&mut out, 4);
    push_bytes(&mut out, protected);
    out.push(EMPTY_MAP);
    push_bytes(&mut out, payload);
    push_bytes(&mut out, signature);
    out
}

/// One signature of a COSE_Sign.
pub(super) struct Signer<'a> {
    protected: &'a [u8],
    pub(super) kid: Kid,
    signature: &'a [u8; 64],
}

impl Signer<'_> {
    /// The signature, good or not.
    pub(super) const fn signature(&self) -> &[u8; 64] {
        self.signature
    }
}

/// A root or keyring document, borrowed from the bytes received.
pub(super) struct Sign<'a> {
    protected: &'a [u8],
    pub(super) payload: &'a [u8],
    /// In ascending order of key ids, each once: counting signatures counts distinct keys.
    pub(super) signers: Vec<Signer<'a>>,
}

/// Why a root or keyring container is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignError {
    /// Not `98([protected, {}, payload, [+ signature]])`, or signers out of order.
    Shape,
    /// A header with other labels or another algorithm.
    Header,
    /// A document of another type.
    Type,
}

impl<'a> Sign<'a> {
    /// Reads `98([{16: typ}, {}, payload, [+ [{1: -19, 4: kid}, {}, signature]]])` and nothing else.
    pub(super) fn parse(bytes: &'a [u8], typ: &str) -> Result<Sign<'a>, SignError> {
        let (protected, payload, parts) = Self::parts(bytes).ok_or(SignError::Shape)?;
        let stated = Self::document_type(protected).ok_or(SignError::Header)?;
        if stated != typ {
            return Err(SignError::Type);
        }
        let mut signers: Vec<Signer<'a>> = Vec::with_capacity(parts.len());
        for (protected, signature) in parts {
            let kid = Self::signer_kid(protected).ok_or(SignError::Header)?;
            if signers.last().is_some_and(|last| last.kid >= kid) {
                return Err(SignError::Shape);
            }
            signers.push(Signer { protected, kid, signature });
        }
        Ok(Sign { protected, payload, signers })
    }

    #[expect(clippy::type_complexity, reason = "three borrowed parts, used once, two lines above")]
    fn parts(bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8], Vec<(&'a [u8], &'a [u8; 64])>)> {
        let mut cursor = Cursor::new(bytes);
        if *cursor.take_array()? != TAG_SIGN || cursor.array()? != 4 {
            return None;
        }
        let protected = cursor.bytes()?;
        if cursor.map()? != 0 {
            return None;
        }
        let payload = cursor.bytes()?;
        let count = cursor.array().filter(|count| (1..=MAX_SIGNATURES).contains(count))?;
        let mut parts = Vec::new();
        for _ in 0..count {
            if cursor.array()? != 3 {
                return None;
            }
            let protected = cursor.bytes()?;
            if cursor.map()? != 0 {
                return None;
            }
            parts.push((protected, cursor.bytes()?.try_into().ok()?));
        }
        cursor.is_at_end().then_some((protected, payload, parts))
    }

    fn document_type(protected: &'a [u8]) -> Option<&'a str> {
        let mut cursor = Cursor::new(protected);
        if cursor.map()? != 1 || cursor.int()? != LABEL_TYP {
            return None;
        }
        let typ = cursor.text()?;
        cursor.is_at_end().then_some(typ)
    }

    fn signer_kid(protected: &[u8]) -> Option<Kid> {
        let mut cursor = Cursor::new(protected);
        let algorithm = cursor.map()? == 2 && cursor.int()? == LABEL_ALG && cursor.int()? == ALG_ED25519;
        if !algorithm || cursor.int()? != LABEL_KID {
            return None;
        }
        let kid = Kid::from_bytes(cursor.bytes()?.try_into().ok()?);
        cursor.is_at_end().then_some(kid)
    }

    /// Whether this signer's signature is by this key.
    pub(super) fn verifies(&self, signer: &Signer<'_>, key: &PublicKey) -> bool {
        key.verifies(&signature(self.protected, signer.protected, self.payload), signer.signature)
    }
}

/// The protected header of a root or keyring document.
pub(super) fn document_header(typ: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(48);
    out.extend_from_slice(&[0xa1, 0x10]);
    push_text(&mut out, typ);
    out
}

fn signer_header(kid: Kid) -> Vec<u8> {
    let mut out = Vec::with_capacity(13);
    out.extend_from_slice(&[0xa2, 0x01, 0x32, 0x04]);
    push_bytes(&mut out, kid.as_bytes());
    out
}

/// `Sig_structure` of one signer of a COSE_Sign without external data (RFC 9052 §4.4).
pub(super) fn signature(body_protected: &[u8], sign_protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body_protected.len() + sign_protected.len() + payload.len() + 24);
    push_array(&mut out, 5);
    push_text(&mut out, "Signature");
    push_bytes(&mut out, body_protected);
    push_bytes(&mut out, sign_protected);
    push_bytes(&mut out, &[]);
    push_bytes(&mut out, payload);
    out
}

/// What the key with this id signs in a COSE_Sign.
pub(super) fn document_to_be_signed(protected: &[u8], payload: &[u8], signer: Kid) -> Vec<u8> {
    signature(protected, &signer_header(signer), payload)
}

/// A COSE_Sign of these parts; signatures in any order, the last one counting where a key id repeats.
pub(super) fn sign(protected: &[u8], payload: &[u8], signatures: &[(Kid, [u8; 64])]) -> Vec<u8> {
    let sorted: alloc::collections::BTreeMap<Kid, &[u8; 64]> =
        signatures.iter().map(|(kid, signature)| (*kid, signature)).collect();
    let mut out = Vec::with_capacity(protected.len() + payload.len() + 90 * sorted.len() + 16);
    out.extend_from_slice(&TAG_SIGN);
    push_array(&mut out, 4);
    push_bytes(&mut out, protected);
    out.push(EMPTY_MAP);
    push_bytes(&mut out, payload);
    push_array(&mut out, sorted.len());
    for (kid, signature) in sorted {
        push_array(&mut out, 3);
        push_bytes(&mut out, &signer_header(kid));
        out.push(EMPTY_MAP);
        push_bytes(&mut out, signature);
    }
    out
}
