//! In place of `hsm` where the program is built without PKCS#11: there is no such hardware, and the compiler knows.

use super::vault::KeyRole;
use super::{SignError, Signer, TrustError};
use coterm_shared::token::{Kid, PublicKey};
use std::sync::Arc;

/// Hardware there is none of.
#[derive(Debug)]
pub enum Hsm {}

/// A key there is none of.
#[derive(Debug)]
pub enum HsmKey {}

impl Hsm {
    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn find(self: &Arc<Hsm>, _: &PublicKey) -> Result<Option<HsmKey>, TrustError> {
        match **self {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn generate(self: &Arc<Hsm>, _: KeyRole) -> Result<HsmKey, TrustError> {
        match **self {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn destroy(&self, _: &PublicKey) -> Result<(), TrustError> {
        match *self {}
    }
}

impl Signer for HsmKey {
    fn kid(&self) -> Kid {
        match *self {}
    }

    fn public_key(&self) -> &PublicKey {
        match *self {}
    }

    fn sign(&self, _: &[u8]) -> Result<[u8; 64], SignError> {
        match *self {}
    }
}
