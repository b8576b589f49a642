//! One small deployment made from fixed seeds: a root, a keyring, a cloud's key and a device.

use crate::enforcement::{EnforcementState, Schedule};
use crate::finding::Finding;
use crate::id::{GroupId, OrganizationId, SiteId};
use crate::product::ProductType;
use crate::time::{DAY_SECS, Timestamp};
use crate::token::*;
use alloc::vec::Vec;
use ed25519_dalek::{Signer, SigningKey};

pub(super) const ORGANIZATION: OrganizationId = OrganizationId::from_bytes([1; 16]);
/// 2027-01-15T08:00:00Z.
pub(super) const ISSUED_SECS: u64 = 1_800_000_000;

pub(super) fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs).unwrap()
}

pub(super) fn secret(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(super) fn public(seed: u8) -> PublicKey {
    PublicKey::from_bytes(secret(seed).verifying_key().as_bytes()).unwrap()
}

pub(super) fn role(threshold: u8, seeds: &[u8]) -> Role {
    Role::new(threshold, seeds.iter().map(|seed| public(*seed)).collect()).unwrap()
}

/// Signs a root or keyring with the keys of these seeds.
pub(super) fn sign_document(unsigned: &UnsignedDocument, seeds: &[u8]) -> Vec<u8> {
    let signatures: Vec<_> = seeds
        .iter()
        .map(|seed| {
            let kid = public(*seed).kid();
            (kid, secret(*seed).sign(&unsigned.to_be_signed(kid)).to_bytes())
        })
        .collect();
    unsigned.attach(&signatures)
}

pub(super) fn domain() -> TrustDomain {
    "licenses.example.com".parse().unwrap()
}

/// The root's keys are 11, 12 and 13, of which two must sign; the keyring's are 21 and 22, of which one must.
pub(super) fn root_document() -> RootDocument {
    RootDocument {
        trust_domain: domain(),
        version: 1,
        root: role(2, &[11, 12, 13]),
        keyring: role(1, &[21, 22]),
    }
}

pub(super) fn root() -> Root {
    Root::pinned(&sign_document(&root_document().unsigned(), &[11, 12])).unwrap()
}

pub(super) fn token_key(seed: u8) -> TokenKey {
    TokenKey {
        key: public(seed),
        not_before_at: at(ISSUED_SECS - 10 * DAY_SECS),
        not_after_at: at(ISSUED_SECS + 20 * DAY_SECS),
        key_use: KeyUse::LICENSE_STATE,
        organization: None,
    }
}

/// The token keys are 31 (any organization), 32 (another organization's) and 33 (another use).
pub(super) fn keyring_document() -> KeyringDocument {
    KeyringDocument {
        trust_domain: domain(),
        version: 5,
        issued_at: at(ISSUED_SECS - DAY_SECS),
        min_epoch: 1,
        keys: [
            token_key(31),
            TokenKey { organization: Some(OrganizationId::from_bytes([9; 16])), ..token_key(32) },
            TokenKey { key_use: KeyUse::from_number(2), ..token_key(33) },
        ]
        .to_vec(),
    }
}

pub(super) fn keyring_of(document: &KeyringDocument) -> Keyring {
    Keyring::verify(&sign_document(&document.unsigned().unwrap(), &[21]), &root(), None).unwrap()
}

pub(super) fn keyring() -> Keyring {
    keyring_of(&keyring_document())
}

pub(super) fn expected() -> Expected {
    Expected {
        trust_domain: domain(),
        device: "dev_0190163d8694739b912b7ac7e1d8a5f1".parse().unwrap(),
        organization: ORGANIZATION,
    }
}

/// A group in grace that is two findings short, whose device asked with a nonce.
pub(super) fn claims() -> Claims {
    let Expected { trust_domain, device, organization } = expected();
    Claims {
        trust_domain,
        device,
        lease_ends_at: at(ISSUED_SECS + 7 * DAY_SECS),
        issued_at: at(ISSUED_SECS),
        nonce: Some(Nonce::new(&[0xa5; 16]).unwrap()),
        organization,
        site: SiteId::from_bytes([2; 16]),
        group: Some(GroupId::from_bytes([3; 16])),
        state: EnforcementState::Grace,
        findings: [
            Finding::TermEnded,
            Finding::OverCapacity { product: ProductType::CAMERA, shortfall: 1000 },
        ]
        .to_vec(),
        schedule: Schedule {
            grace_begins_at: Some(at(ISSUED_SECS - DAY_SECS)),
            lock_at: Some(at(ISSUED_SECS + 30 * DAY_SECS)),
            stop_at: Some(at(ISSUED_SECS + 60 * DAY_SECS)),
        },
        offline_lock_at: at(ISSUED_SECS + 40 * DAY_SECS),
        version: TokenVersion { epoch: 1, seq: ISSUED_SECS * 1000 },
        coterm_at: Some(at(ISSUED_SECS - DAY_SECS)),
    }
}

pub(super) fn sign_token(claims: &Claims, seed: u8) -> Vec<u8> {
    sign_unsigned(&Unsigned::token(claims, public(seed).kid()).unwrap(), seed)
}

pub(super) fn sign_unsigned(unsigned: &Unsigned, seed: u8) -> Vec<u8> {
    unsigned.attach(secret(seed).sign(unsigned.to_be_signed()).to_bytes())
}

pub(super) fn token() -> Vec<u8> {
    sign_token(&claims(), 31)
}

pub(super) fn hex(bytes: &[u8]) -> alloc::string::String {
    bytes.iter().map(|byte| alloc::format!("{byte:02x}")).collect()
}

pub(super) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "an odd number of digits");
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The usual claims, issued at another instant.
pub(super) fn issued_at(secs: u64) -> Claims {
    let mut claims = claims();
    claims.issued_at = at(secs);
    claims.lease_ends_at = at(secs + 7 * DAY_SECS);
    claims.offline_lock_at = at(secs + 40 * DAY_SECS);
    claims.version.seq = secs * 1000;
    claims
}

/// The usual claims, issued so much later.
pub(super) fn later(secs: u64) -> Claims {
    issued_at(ISSUED_SECS + secs)
}

/// What a device with the usual keyring makes of these bytes, holding nothing yet.
pub(super) fn refusal(bytes: &[u8]) -> Option<TokenRefusal> {
    verify_token(bytes, &keyring(), &expected(), None, None).err()
}

/// The same, for a device that holds a token.
pub(super) fn refusal_holding(bytes: &[u8], held: &Held) -> Option<TokenRefusal> {
    verify_token(bytes, &keyring(), &expected(), Some(held), None).err()
}

/// The high-water mark of a device that has accepted this token.
pub(super) fn mark_of(token: &[u8]) -> Held {
    reopen_stored(token, &keyring(), &expected()).unwrap().held()
}

/// Protected header, payload and signature of a token.
pub(super) fn parts(token: &[u8]) -> [Vec<u8>; 3] {
    let parts = cose::Sign1::parse(token).unwrap();
    [parts.protected.to_vec(), parts.payload.to_vec(), parts.signature.to_vec()]
}

/// A token of these three parts, whether they belong together or not.
pub(super) fn assemble(protected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    cose::sign1(protected, payload, signature.try_into().unwrap())
}

/// A token of any header and payload, with a good signature by token key 31.
pub(super) fn sign_parts(protected: Vec<u8>, payload: Vec<u8>) -> Vec<u8> {
    sign_unsigned(&Unsigned::raw(protected, payload), 31)
}

/// The usual token with its payload edited and signed again: an issuer gone wrong.
pub(super) fn sign_edited(from: &[u8], to: &[u8]) -> Vec<u8> {
    let [header, payload, _] = parts(&token());
    sign_parts(header, replace(&payload, from, to))
}

/// Replaces the one place where `from` occurs.
pub(super) fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let places: Vec<usize> = (0..bytes.len()).filter(|start| bytes[*start..].starts_with(from)).collect();
    let [place] = places[..] else { panic!("{} occurs {} times", hex(from), places.len()) };
    [&bytes[..place], to, &bytes[place + from.len()..]].concat()
}

/// The same map with another count of pairs.
pub(super) fn with_pairs(mut map: Vec<u8>, head: u8) -> Vec<u8> {
    map[0] = head;
    map
}
