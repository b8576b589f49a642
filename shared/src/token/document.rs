//! What root and keyring have in common: a COSE_Sign signed by enough distinct keys of a role (token §3).
//!
//! Off-spec (TUF): a signature by a known key that does not verify refuses the whole document instead of not being
//! counted. Nobody honest makes such a document, and a stricter rule has fewer cases. Signatures by keys the role does
//! not list are not counted: while a root changes hands, a document carries those of the other root too.

use super::TrustRefusal;
use super::codec::{CodecError, check, decode, uint_at};
use super::cose::{KEYRING_TYPE, ROOT_TYPE, Sign, SignError, document_header, document_to_be_signed, sign};
use super::key::{Kid, PublicKey};
use super::wire::Fixed;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The longest root or keyring, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 16_384;
/// How many keys a role may have: old and new roles together fit in one document's signatures.
pub const MAX_ROLE_KEYS: usize = 16;
/// The only profile version this program speaks.
pub(super) const PROFILE: u64 = 1;

/// A set of keys, `threshold` of which must sign together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    threshold: u8,
    /// In ascending order of key ids, each once.
    keys: Vec<PublicKey>,
}

impl Role {
    /// A role of these keys, in any order.
    ///
    /// # Errors
    /// `Threshold` unless it is 1 to the number of keys, `KeyOrder` for a key listed twice, `Malformed` for more than
    /// [`MAX_ROLE_KEYS`].
    pub fn new(threshold: u8, mut keys: Vec<PublicKey>) -> Result<Role, TrustRefusal> {
        keys.sort_by_key(PublicKey::kid);
        Role::in_order(threshold, keys)
    }

    fn in_order(threshold: u8, keys: Vec<PublicKey>) -> Result<Role, TrustRefusal> {
        if keys.len() > MAX_ROLE_KEYS {
            Err(TrustRefusal::Malformed)
        } else if !keys.is_sorted_by(|a, b| a.kid() < b.kid()) {
            Err(TrustRefusal::KeyOrder)
        } else if threshold == 0 || usize::from(threshold) > keys.len() {
            Err(TrustRefusal::Threshold)
        } else {
            Ok(Role { threshold, keys })
        }
    }

    /// How many distinct keys must sign.
    #[must_use]
    pub const fn threshold(&self) -> u8 {
        self.threshold
    }

    /// The keys, in ascending order of their ids.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Whether enough distinct keys of this role signed the document (token §3).
    pub(super) fn approves(&self, document: &Sign<'_>) -> Result<(), TrustRefusal> {
        let mut approvals = 0_usize;
        // The signers' ids strictly ascend, so each key is met at most once.
        for signer in &document.signers {
            if let Some(key) = self.keys.iter().find(|key| key.kid() == signer.kid) {
                if !document.verifies(signer, key) {
                    return Err(TrustRefusal::Signature);
                }
                approvals += 1;
            }
        }
        if approvals >= usize::from(self.threshold) { Ok(()) } else { Err(TrustRefusal::TooFewSignatures) }
    }
}

/// `role` of the CDDL: `[threshold, [+ key]]`.
pub(super) type WireRole = (u8, Vec<WireKey>);
/// `key` of the CDDL: `[kid, x]`.
pub(super) type WireKey = (Fixed<8>, Fixed<32>);

pub(super) fn wire_key(key: &PublicKey) -> WireKey {
    (Fixed(*key.kid().as_bytes()), Fixed(*key.as_bytes()))
}

/// A key that is strong and has the id it is listed under.
pub(super) fn checked_key(kid: Fixed<8>, x: Fixed<32>) -> Result<PublicKey, TrustRefusal> {
    PublicKey::from_bytes(&x.0).ok().filter(|key| *key.kid().as_bytes() == kid.0).ok_or(TrustRefusal::BadKey)
}

impl From<&Role> for WireRole {
    fn from(role: &Role) -> WireRole {
        (role.threshold, role.keys.iter().map(wire_key).collect())
    }
}

pub(super) fn checked_role((threshold, keys): WireRole) -> Result<Role, TrustRefusal> {
    let keys = keys.into_iter().map(|(kid, x)| checked_key(kid, x)).collect::<Result<_, _>>()?;
    Role::in_order(threshold, keys)
}

/// Steps 1 to 3 of a document: length, shape, headers and type.
pub(super) fn open<'a>(bytes: &'a [u8], typ: &str) -> Result<Sign<'a>, TrustRefusal> {
    if bytes.is_empty() || bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(TrustRefusal::Length);
    }
    Sign::parse(bytes, typ).map_err(|error| match error {
        SignError::Shape => TrustRefusal::Shape,
        SignError::Header => TrustRefusal::Header,
        SignError::Type => TrustRefusal::ContentType,
    })
}

/// Step 4 of a document: its content, whose first key is always the profile version.
pub(super) fn content<'a, T: Deserialize<'a> + Serialize>(payload: &'a [u8]) -> Result<T, TrustRefusal> {
    check(payload).map_err(|_| TrustRefusal::Encoding)?;
    if uint_at(payload, &[1]).is_some_and(|version| version != PROFILE) {
        return Err(TrustRefusal::ProfileVersion);
    }
    decode(payload).map_err(|error| match error {
        CodecError::Encoding => TrustRefusal::Encoding,
        CodecError::Malformed => TrustRefusal::Malformed,
    })
}

/// The signatures a root or keyring carries, whether they are good or not: for whoever tells people who signed.
///
/// # Errors
/// [`TrustRefusal`] of steps 1 to 3 if the bytes are no such document.
pub fn signatures(bytes: &[u8]) -> Result<Vec<(Kid, [u8; 64])>, TrustRefusal> {
    let signed = open(bytes, ROOT_TYPE).or_else(|_| open(bytes, KEYRING_TYPE))?;
    Ok(signed.signers.iter().map(|signer| (signer.kid, *signer.signature())).collect())
}

/// A root or keyring that lacks nothing but its signatures.
#[derive(Clone, Debug)]
pub struct UnsignedDocument {
    protected: Vec<u8>,
    payload: Vec<u8>,
}

impl UnsignedDocument {
    pub(super) fn new(typ: &str, payload: Vec<u8>) -> UnsignedDocument {
        UnsignedDocument { protected: document_header(typ), payload }
    }

    /// The bytes that the key with this id signs with plain Ed25519; they differ from signer to signer.
    #[must_use]
    pub fn to_be_signed(&self, signer: Kid) -> Vec<u8> {
        document_to_be_signed(&self.protected, &self.payload, signer)
    }

    /// What is to be signed, without its headers.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The document, with 1 to 32 signatures in any order.
    #[must_use]
    pub fn attach(&self, signatures: &[(Kid, [u8; 64])]) -> Vec<u8> {
        sign(&self.protected, &self.payload, signatures)
    }
}
