//! The root: which keys may name the keyring's keys, and which may name the next root (token §3).
//!
//! Pinned at enrolment, its keys offline. Root N is followed by N+1 alone, signed by the thresholds of both: the rule
//! of TUF, whole and without its exceptions. **Deliberately absent:** an end date; a door must not fail because
//! nobody held a ceremony.

use super::codec::encode;
use super::cose::ROOT_TYPE;
use super::document::{PROFILE, Role, UnsignedDocument, WireRole, checked_role, content, open};
use super::wire::int_map;
use super::{TrustDomain, TrustRefusal};
use alloc::vec::Vec;

/// What a root says; plain data, believed by nobody until signed and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootDocument {
    /// The deployment it governs.
    pub trust_domain: TrustDomain,
    /// 1 for the first, then one more each time.
    pub version: u64,
    /// Who may make the next root.
    pub root: Role,
    /// Who may make keyrings.
    pub keyring: Role,
}

impl RootDocument {
    /// The document, to be signed by `root`'s keys, and by those of the root before it.
    #[must_use]
    pub fn unsigned(&self) -> UnsignedDocument {
        let wire = WireRoot {
            profile: PROFILE,
            trust_domain: self.trust_domain.clone(),
            version: self.version,
            root: WireRole::from(&self.root),
            keyring: WireRole::from(&self.keyring),
        };
        UnsignedDocument::new(ROOT_TYPE, encode(&wire).unwrap_or_default())
    }

    /// What a document says that nobody signed yet, for whoever is asked to sign it; believed by nobody.
    ///
    /// # Errors
    /// [`TrustRefusal`] of step 4 for what a device would refuse whoever signs it.
    pub fn read(payload: &[u8]) -> Result<RootDocument, TrustRefusal> {
        RootDocument::decode(payload)
    }

    fn decode(payload: &[u8]) -> Result<RootDocument, TrustRefusal> {
        let wire: WireRoot = content(payload)?;
        if wire.version == 0 {
            return Err(TrustRefusal::Malformed);
        }
        Ok(RootDocument {
            trust_domain: wire.trust_domain,
            version: wire.version,
            root: checked_role(wire.root)?,
            keyring: checked_role(wire.keyring)?,
        })
    }
}

int_map! {
    /// `root` of the CDDL.
    WireRoot {
        req 1 => profile: u64,
        req 2 => trust_domain: TrustDomain,
        req 3 => version: u64,
        req 4 => root: WireRole,
        req 5 => keyring: WireRole,
    }
}

/// A root this device believes: pinned, or reached from the pinned one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    document: RootDocument,
    bytes: Vec<u8>,
}

impl Root {
    /// The root an agent is enrolled with, or the newest it has stored: believed for where it was found, and yet
    /// signed by its own threshold.
    ///
    /// # Errors
    /// [`TrustRefusal`] if it is not a root document or not signed by its own threshold.
    pub fn pinned(bytes: &[u8]) -> Result<Root, TrustRefusal> {
        let signed = open(bytes, ROOT_TYPE)?;
        let document = RootDocument::decode(signed.payload)?;
        document.root.approves(&signed)?;
        Ok(Root { document, bytes: bytes.to_vec() })
    }

    /// The root after this one.
    ///
    /// Adopt it together with a keyring that verifies under it, both in one write: until that keyring is there, the
    /// device goes on with the old pair, under which its stored keyring still opens.
    ///
    /// # Errors
    /// [`TrustRefusal`] unless it is of the same trust domain, of the version right after this one, and signed by the
    /// thresholds of this root and of itself.
    pub fn update(&self, bytes: &[u8]) -> Result<Root, TrustRefusal> {
        let signed = open(bytes, ROOT_TYPE)?;
        let document = RootDocument::decode(signed.payload)?;
        if document.trust_domain != self.document.trust_domain {
            return Err(TrustRefusal::WrongTrustDomain);
        }
        if self.document.version.checked_add(1) != Some(document.version) {
            return Err(TrustRefusal::NotNext);
        }
        self.document.root.approves(&signed)?;
        document.root.approves(&signed)?;
        Ok(Root { document, bytes: bytes.to_vec() })
    }

    /// What it says.
    #[must_use]
    pub const fn document(&self) -> &RootDocument {
        &self.document
    }

    /// Its version, 1 or more.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.document.version
    }

    /// The deployment it governs.
    #[must_use]
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.document.trust_domain
    }

    /// The bytes as received, to be stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The table of this file, for the test that compares it with the CDDL.
#[cfg(test)]
pub(super) const TABLE: (&str, &[super::wire::Row]) = ("root", WireRoot::ROWS);
