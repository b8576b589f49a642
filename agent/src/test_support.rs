//! A small deployment from fixed seeds, for the tests of this crate: a root, keyrings, a cloud's key, a device.

#![allow(dead_code)] // each of its users needs a part of it

use coterm_shared::enforcement::{BootId, ClockReading, EnforcementState, Schedule};
use coterm_shared::finding::Finding;
use coterm_shared::id::{OrganizationId, SiteId};
use coterm_shared::time::{DAY_SECS, Timestamp};
use coterm_shared::token::{
    Claims, Expected, KeyUse, KeyringDocument, Nonce, PublicKey, Role, RootDocument, TokenKey, TokenVersion,
    TrustDomain, Unsigned, UnsignedDocument,
};
use ed25519_dalek::{Signer, SigningKey};

/// 2027-01-15T08:00:00Z.
pub(crate) const ISSUED: u64 = 1_800_000_000;
pub(crate) const DAY: u64 = DAY_SECS;

const ROOT: u8 = 11;
const KEYRING: u8 = 21;
/// The cloud's token key, and the one after it.
pub(crate) const KEY: u8 = 31;
pub(crate) const NEXT_KEY: u8 = 32;
/// The key that signs keyrings after the first was stolen.
pub(crate) const NEXT_KEYRING: u8 = 22;

pub(crate) fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs).unwrap()
}

fn secret(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::from_bytes(secret(seed).verifying_key().as_bytes()).unwrap()
}

fn sign(unsigned: &UnsignedDocument, seed: u8) -> Vec<u8> {
    let kid = public(seed).kid();
    unsigned.attach(&[(kid, secret(seed).sign(&unsigned.to_be_signed(kid)).to_bytes())])
}

pub(crate) fn domain() -> TrustDomain {
    "licenses.example.com".parse().unwrap()
}

pub(crate) fn expected() -> Expected {
    Expected {
        trust_domain: domain(),
        device: "cam-1".parse().unwrap(),
        organization: OrganizationId::from_bytes([1; 16]),
    }
}

pub(crate) fn root() -> Vec<u8> {
    root_naming(1, KEYRING)
}

/// A root of this version that lets this key sign keyrings.
pub(crate) fn root_naming(version: u64, keyring: u8) -> Vec<u8> {
    let role = |seed| Role::new(1, vec![public(seed)]).unwrap();
    let document = RootDocument { trust_domain: domain(), version, root: role(ROOT), keyring: role(keyring) };
    sign(&document.unsigned(), ROOT)
}

/// A keyring with these token keys.
pub(crate) fn keyring(version: u64, min_epoch: u64, issued: u64, keys: &[u8]) -> Vec<u8> {
    keyring_by(KEYRING, version, min_epoch, issued, keys)
}

/// The same, signed by this key.
pub(crate) fn keyring_by(signer: u8, version: u64, min_epoch: u64, issued: u64, keys: &[u8]) -> Vec<u8> {
    let key = |seed: &u8| TokenKey {
        key: public(*seed),
        not_before_at: at(ISSUED - 30 * DAY),
        not_after_at: at(ISSUED + 300 * DAY),
        key_use: KeyUse::LICENSE_STATE,
        organization: None,
    };
    let document = KeyringDocument {
        trust_domain: domain(),
        version,
        issued_at: at(issued),
        min_epoch,
        keys: keys.iter().map(key).collect(),
    };
    sign(&document.unsigned().unwrap(), signer)
}

/// Licensed without end, issued at `issued`.
pub(crate) fn claims(issued: u64) -> Claims {
    let Expected { trust_domain, device, organization } = expected();
    Claims {
        trust_domain,
        device,
        lease_ends_at: at(issued + 7 * DAY),
        issued_at: at(issued),
        nonce: None,
        organization,
        site: SiteId::from_bytes([2; 16]),
        group: None,
        state: EnforcementState::Licensed,
        findings: vec![],
        schedule: Schedule::NEVER,
        offline_lock_at: at(issued + 40 * DAY),
        version: TokenVersion { epoch: 1, seq: issued * 1000 },
        coterm_at: None,
    }
}

/// The same with a ladder that locks and stops at these instants; grace begins with the token.
pub(crate) fn ending(issued: u64, lock: u64, stop: u64) -> Claims {
    Claims {
        findings: vec![Finding::TermEnded],
        schedule: Schedule {
            grace_begins_at: Some(at(issued)),
            lock_at: Some(at(lock)),
            stop_at: Some(at(stop)),
        },
        ..claims(issued)
    }
}

pub(crate) fn answering(claims: Claims, nonce: &Nonce) -> Claims {
    Claims { nonce: Some(nonce.clone()), ..claims }
}

pub(crate) fn token_by(claims: &Claims, seed: u8) -> Vec<u8> {
    let unsigned = Unsigned::token(claims, public(seed).kid()).unwrap();
    unsigned.attach(secret(seed).sign(unsigned.to_be_signed()).to_bytes())
}

pub(crate) fn token(claims: &Claims) -> Vec<u8> {
    token_by(claims, KEY)
}

/// The clocks `boot_secs` after boot number `boot`, with a wall clock of 1970.
pub(crate) fn reading(boot: u128, boot_secs: u64) -> ClockReading {
    ClockReading { boot_id: BootId::from_bytes(boot.to_be_bytes()), boot_secs, wall: at(0) }
}
