//! The keyring: which online keys may sign tokens, from when to when, for whom, and from which epoch on (token §3).
//!
//! Token keys rotate by a newer keyring, without the root's keys. A key's window is compared with a token's instant of
//! issue, never with now, so a stored token does not die with its key; revoking a key is leaving it out.

use super::codec::encode;
use super::cose::KEYRING_TYPE;
use super::document::{PROFILE, Role, UnsignedDocument, checked_key, content, open};
use super::key::{Kid, PublicKey};
use super::root::Root;
use super::wire::{Fixed, int_map};
use super::{TokenVersion, TrustDomain, TrustRefusal};
use crate::id::OrganizationId;
use crate::time::Timestamp;
use alloc::vec::Vec;

/// How many token keys a keyring may list.
pub const MAX_KEYRING_KEYS: usize = 128;

/// What a key may sign: a registry of numbers. One this program does not know verifies nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyUse(u16);

impl KeyUse {
    /// License-state tokens.
    pub const LICENSE_STATE: KeyUse = KeyUse(1);
    /// Answers of the enrolment listener.
    pub const ENROLMENT: KeyUse = KeyUse(2);

    /// The use with this registry number.
    #[must_use]
    pub const fn from_number(number: u16) -> KeyUse {
        KeyUse(number)
    }

    /// Its number in the registry.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// One online key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey {
    /// The key itself.
    pub key: PublicKey,
    /// The first instant of issue it may sign.
    pub not_before_at: Timestamp,
    /// The last instant of issue it may sign.
    pub not_after_at: Timestamp,
    /// What it may sign.
    pub key_use: KeyUse,
    /// The only organization it may sign for; `None` is any.
    pub organization: Option<OrganizationId>,
}

/// What a keyring says; plain data, believed by nobody until signed and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyringDocument {
    /// The deployment it belongs to.
    pub trust_domain: TrustDomain,
    /// Which keyring is newer.
    pub version: u64,
    /// Its own instant; where the epoch is raised, the device's time floor starts again from here.
    pub issued_at: Timestamp,
    /// The epoch tokens must have. Raised to undo a sequence that a stolen key pushed forward.
    pub min_epoch: u64,
    /// The online keys, at most [`MAX_KEYRING_KEYS`].
    pub keys: Vec<TokenKey>,
}

impl KeyringDocument {
    /// The document, to be signed by the keyring role of the root.
    ///
    /// # Errors
    /// [`TrustRefusal`] of step 4 for what a device would refuse: too many keys, one twice, a window upside down.
    pub fn unsigned(&self) -> Result<UnsignedDocument, TrustRefusal> {
        let mut keys: Vec<&TokenKey> = self.keys.iter().collect();
        keys.sort_by_key(|key| key.key.kid());
        let wire = WireKeyring {
            profile: PROFILE,
            trust_domain: self.trust_domain.clone(),
            version: self.version,
            issued: self.issued_at,
            min_epoch: self.min_epoch,
            keys: keys.into_iter().map(WireTokenKey::from).collect(),
        };
        let payload = encode(&wire).unwrap_or_default();
        KeyringDocument::decode(&payload)?;
        Ok(UnsignedDocument::new(KEYRING_TYPE, payload))
    }

    /// What a document says that nobody signed yet, for whoever is asked to sign it; believed by nobody.
    ///
    /// # Errors
    /// [`TrustRefusal`] of step 4 for what a device would refuse whoever signs it.
    pub fn read(payload: &[u8]) -> Result<KeyringDocument, TrustRefusal> {
        KeyringDocument::decode(payload)
    }

    fn decode(payload: &[u8]) -> Result<KeyringDocument, TrustRefusal> {
        let wire: WireKeyring = content(payload)?;
        if wire.keys.len() > MAX_KEYRING_KEYS {
            return Err(TrustRefusal::Malformed);
        }
        let keys = wire.keys.into_iter().map(WireTokenKey::checked).collect::<Result<Vec<_>, _>>()?;
        if !keys.is_sorted_by(|a, b| a.key.kid() < b.key.kid()) {
            return Err(TrustRefusal::KeyOrder);
        }
        Ok(KeyringDocument {
            trust_domain: wire.trust_domain,
            version: wire.version,
            issued_at: wire.issued,
            min_epoch: wire.min_epoch,
            keys,
        })
    }
}

int_map! {
    /// `keyring` of the CDDL.
    WireKeyring {
        req 1 => profile: u64,
        req 2 => trust_domain: TrustDomain,
        req 3 => version: u64,
        req 4 => issued: Timestamp,
        req 5 => min_epoch: u64,
        req 6 => keys: Vec<WireTokenKey>,
    }
}

int_map! {
    /// `token-key` of the CDDL.
    WireTokenKey {
        req 1 => kid: Fixed<8>,
        req 2 => x: Fixed<32>,
        req 3 => not_before: Timestamp,
        req 4 => not_after: Timestamp,
        req 5 => key_use: u16,
        opt 6 => organization: Option<Fixed<16>>,
    }
}

impl From<&TokenKey> for WireTokenKey {
    fn from(key: &TokenKey) -> Self {
        WireTokenKey {
            kid: Fixed(*key.key.kid().as_bytes()),
            x: Fixed(*key.key.as_bytes()),
            not_before: key.not_before_at,
            not_after: key.not_after_at,
            key_use: key.key_use.number(),
            organization: key.organization.map(|id| Fixed(*id.as_bytes())),
        }
    }
}

impl WireTokenKey {
    fn checked(self) -> Result<TokenKey, TrustRefusal> {
        if self.not_after < self.not_before {
            return Err(TrustRefusal::KeyWindow);
        }
        Ok(TokenKey {
            key: checked_key(self.kid, self.x)?,
            not_before_at: self.not_before,
            not_after_at: self.not_after,
            key_use: KeyUse::from_number(self.key_use),
            organization: self.organization.map(|id| OrganizationId::from_bytes(id.0)),
        })
    }
}

/// How a keyring relates to the one held before it, which is what the agent has to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyringStep {
    /// No keyring was held.
    First,
    /// It says what the one held says.
    Unchanged,
    /// It is newer, in the same epoch.
    Newer,
    /// It is newer and raises the minimum epoch: the time floor restarts at its own instant (token §3).
    EpochRaised,
    /// The root no longer trusts whoever signed the one held, so versions and epochs count anew: the time floor
    /// restarts at its own instant, and a high-water mark above its epoch is forgotten ([`Keyring::forgets`]).
    Restarted,
}

/// A keyring this device believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring {
    document: KeyringDocument,
    bytes: Vec<u8>,
    step: KeyringStep,
    /// The role whose keys were seen to have signed it.
    signers: Role,
}

impl Keyring {
    /// Verifies a keyring against the root and the one held before it, if any.
    ///
    /// # Errors
    /// [`TrustRefusal`] unless it is of the root's trust domain, signed by the root's keyring role, and not older than
    /// the one held. A keyring held whose signers the root has since replaced does not count (TUF §5.3.11: otherwise
    /// a stolen keyring key could block its own replacement).
    pub fn verify(bytes: &[u8], root: &Root, held: Option<&Keyring>) -> Result<Keyring, TrustRefusal> {
        let signed = open(bytes, KEYRING_TYPE)?;
        let document = KeyringDocument::decode(signed.payload)?;
        if document.trust_domain != *root.trust_domain() {
            return Err(TrustRefusal::WrongTrustDomain);
        }
        root.document().keyring.approves(&signed)?;
        // Only after the signatures: nobody may raise a false alarm with a keyring he cannot sign.
        let step = match held {
            None => KeyringStep::First,
            Some(held) if held.is_signed_under(root) => document.step_from(&held.document)?,
            Some(_) => KeyringStep::Restarted,
        };
        Ok(Keyring { document, bytes: bytes.to_vec(), step, signers: root.document().keyring.clone() })
    }

    /// Whether the signers of this keyring are still those of `root`; if not, neither its version nor its epoch counts.
    #[must_use]
    pub fn is_signed_under(&self, root: &Root) -> bool {
        let role = &root.document().keyring;
        // The same keys, as nearly always: their signatures were verified when it came.
        *role == self.signers
            || open(&self.bytes, KEYRING_TYPE).and_then(|signed| role.approves(&signed)).is_ok()
    }

    /// What it says.
    #[must_use]
    pub const fn document(&self) -> &KeyringDocument {
        &self.document
    }

    /// Which keyring is newer.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.document.version
    }

    /// Its own instant.
    #[must_use]
    pub const fn issued_at(&self) -> Timestamp {
        self.document.issued_at
    }

    /// The epoch tokens must have.
    #[must_use]
    pub const fn min_epoch(&self) -> u64 {
        self.document.min_epoch
    }

    /// The deployment it belongs to.
    #[must_use]
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.document.trust_domain
    }

    /// The online keys, in ascending order of their ids.
    #[must_use]
    pub fn keys(&self) -> &[TokenKey] {
        &self.document.keys
    }

    /// The key with this id.
    #[must_use]
    pub fn key(&self, kid: Kid) -> Option<&TokenKey> {
        let keys = self.keys();
        keys.binary_search_by_key(&kid, |key| key.key.kid()).ok().and_then(|index| keys.get(index))
    }

    /// The bytes as received, to be stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How it relates to the keyring held before it.
    #[must_use]
    pub const fn step(&self) -> KeyringStep {
        self.step
    }

    /// The instant at which the device's time floor restarts, if this keyring resets it (token §3).
    #[must_use]
    pub const fn resets_floor_to(&self) -> Option<Timestamp> {
        match self.step {
            KeyringStep::First | KeyringStep::Unchanged | KeyringStep::Newer => None,
            KeyringStep::EpochRaised | KeyringStep::Restarted => Some(self.document.issued_at),
        }
    }

    /// Whether the device must forget a high-water mark reached under the signers this keyring replaces.
    #[must_use]
    pub const fn forgets(&self, held: TokenVersion) -> bool {
        match self.step {
            KeyringStep::First | KeyringStep::Unchanged | KeyringStep::Newer | KeyringStep::EpochRaised => {
                false
            }
            KeyringStep::Restarted => held.epoch > self.document.min_epoch,
        }
    }
}

impl KeyringDocument {
    fn step_from(&self, held: &KeyringDocument) -> Result<KeyringStep, TrustRefusal> {
        if self.version < held.version {
            Err(TrustRefusal::Rollback)
        } else if self.version == held.version {
            // Compared as content: the same keyring may come with other signatures of the role.
            if self == held { Ok(KeyringStep::Unchanged) } else { Err(TrustRefusal::Equivocation) }
        } else if self.min_epoch < held.min_epoch {
            Err(TrustRefusal::EpochLowered)
        } else if self.min_epoch > held.min_epoch {
            Ok(KeyringStep::EpochRaised)
        } else {
            Ok(KeyringStep::Newer)
        }
    }
}

/// The tables of this file, for the test that compares them with the CDDL.
#[cfg(test)]
pub(super) const TABLES: [(&str, &[super::wire::Row]); 2] =
    [("keyring", WireKeyring::ROWS), ("token-key", WireTokenKey::ROWS)];
