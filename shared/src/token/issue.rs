//! Making a token: claims and a key id in, bytes to be signed out. The private key stays with the caller.

use super::claims::{Claims, ClaimsError};
use super::cose::{sign1, signature1, token_header};
use super::key::Kid;
use alloc::vec::Vec;

/// A token that lacks nothing but its signature.
#[derive(Clone, Debug)]
pub struct Unsigned {
    protected: Vec<u8>,
    payload: Vec<u8>,
    to_be_signed: Vec<u8>,
}

impl Unsigned {
    /// The token with these claims, to be signed by the key with this id.
    ///
    /// # Errors
    /// [`ClaimsError`] for claims that a device would refuse.
    pub fn token(claims: &Claims, kid: Kid) -> Result<Unsigned, ClaimsError> {
        Ok(Self::raw(token_header(kid), claims.encode()?))
    }

    pub(super) fn raw(protected: Vec<u8>, payload: Vec<u8>) -> Unsigned {
        Unsigned { to_be_signed: signature1(&protected, &payload), protected, payload }
    }

    /// The bytes to sign with plain Ed25519 (RFC 9052 §4.4 `Sig_structure`).
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        &self.to_be_signed
    }

    /// The token, at most 4,096 bytes.
    #[must_use]
    pub fn attach(&self, signature: [u8; 64]) -> Vec<u8> {
        sign1(&self.protected, &self.payload, &signature)
    }
}
