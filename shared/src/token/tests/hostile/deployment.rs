//! The deployment the hostile set is aimed at, written down once more without the code that is to judge it.
//!
//! Root 1 (keys 11, 12, 13; two make the next root), keyring 5 (by 21 or 22; token keys 31, 32 for another
//! organization, 33 for another use) and the token the device holds are those of `support`; a test compares them.

use super::cbor::{Kind, Tree, bytes, head, int, list, map, text};
use crate::token::tests::support::{ISSUED_SECS, secret};
use crate::token::{KEYRING_TYPE, ROOT_TYPE, TOKEN_TYPE};
use alloc::vec::Vec;
use ed25519_dalek::Signer;
use sha2::{Digest, Sha256};

pub(super) const DAY: u64 = 86_400;
pub(super) const ISSUED: u64 = ISSUED_SECS;
pub(super) const SEQ: u64 = ISSUED * 1000;
pub(super) const DOMAIN: &str = "licenses.example.com";
pub(super) const DEVICE: &str = "dev_0190163d8694739b912b7ac7e1d8a5f1";
/// Where the license state is among the claims.
pub(super) const LICENSE: i64 = -70_001;

pub(super) fn public(seed: u8) -> [u8; 32] {
    secret(seed).verifying_key().to_bytes()
}

/// RFC 9679: the first 8 bytes of SHA-256 over `{1: 1, -1: 6, -2: x}`.
pub(super) fn kid_of(x: &[u8; 32]) -> [u8; 8] {
    let key = map(&[(1, int(1)), (-1, int(6)), (-2, bytes(x))]);
    Sha256::digest(key)[..8].try_into().unwrap()
}

pub(super) fn kid(seed: u8) -> [u8; 8] {
    kid_of(&public(seed))
}

pub(super) fn instant(secs: u64) -> Tree {
    Tree::Uint(secs, Kind::Instant)
}

pub(super) fn maybe(secs: u64) -> Tree {
    Tree::Uint(secs, Kind::OptionalInstant)
}

pub(super) fn number(value: u64) -> Tree {
    Tree::Uint(value, Kind::Number)
}

pub(super) fn fixed(content: &[u8]) -> Tree {
    Tree::Bytes(content.to_vec(), Kind::Fixed)
}

pub(super) fn domain(name: &str) -> Tree {
    Tree::Text(name.into(), Kind::Name('A'))
}

pub(super) fn device(name: &str) -> Tree {
    Tree::Text(name.into(), Kind::Name('/'))
}

fn profile() -> Tree {
    Tree::Uint(1, Kind::Profile)
}

/// The claims of the token the device holds.
pub(super) fn claims() -> Tree {
    let code = |code| Tree::Uint(code, Kind::Range(1, 5));
    let over = [code(2), Tree::Uint(1, Kind::Range(1, 65_535)), Tree::Uint(1000, Kind::Range(1, u64::MAX))];
    let license = Tree::Map(
        [
            (1, false, profile()),
            (2, false, fixed(&[1; 16])),
            (3, false, fixed(&[2; 16])),
            (4, true, fixed(&[3; 16])),
            (5, false, Tree::Uint(1, Kind::Range(0, 3))),
            (6, false, Tree::List([Tree::List([code(1)].to_vec()), Tree::List(over.to_vec())].to_vec())),
            (
                7,
                false,
                Tree::List(
                    [maybe(ISSUED - DAY), maybe(ISSUED + 30 * DAY), maybe(ISSUED + 60 * DAY)].to_vec(),
                ),
            ),
            (8, false, instant(ISSUED + 40 * DAY)),
            (9, false, number(1)),
            (10, false, number(SEQ)),
            (11, false, maybe(ISSUED - DAY)),
        ]
        .to_vec(),
    );
    Tree::Map(
        [
            (1, false, domain(DOMAIN)),
            (3, false, device(DEVICE)),
            (4, false, instant(ISSUED + 7 * DAY)),
            (6, false, instant(ISSUED)),
            (10, true, Tree::Bytes([0xa5; 16].to_vec(), Kind::Nonce)),
            (LICENSE, false, license),
        ]
        .to_vec(),
    )
}

/// The same, issued at another instant.
pub(super) fn claims_at(secs: u64) -> Tree {
    let mut claims = claims();
    *claims.at(&[4]) = instant(secs + 7 * DAY);
    *claims.at(&[6]) = instant(secs);
    *claims.at(&[LICENSE, 8]) = instant(secs + 40 * DAY);
    *claims.at(&[LICENSE, 10]) = number(secs * 1000);
    claims
}

/// One token key of a keyring.
pub(super) fn token_key(seed: u8, key_use: u64, organization: Option<[u8; 16]>) -> Tree {
    let mut pairs = [
        (1, false, fixed(&kid(seed))),
        (2, false, fixed(&public(seed))),
        (3, false, instant(ISSUED - 10 * DAY)),
        (4, false, instant(ISSUED + 20 * DAY)),
        (5, false, Tree::Uint(key_use, Kind::Range(0, 65_535))),
    ]
    .to_vec();
    if let Some(organization) = organization {
        pairs.push((6, true, fixed(&organization)));
    }
    Tree::Map(pairs)
}

/// A list of keys in the order of their ids, whose bytes are at `place` of each.
pub(super) fn in_order(mut keys: Vec<Tree>, place: i64) -> Tree {
    keys.sort_by_key(|key| key.clone().at(&[place]).encode());
    Tree::List(keys)
}

/// The keyring the device holds.
pub(super) fn keyring() -> Tree {
    keyring_with([token_key(31, 1, None), token_key(32, 1, Some([9; 16])), token_key(33, 2, None)].to_vec())
}

pub(super) fn keyring_with(keys: Vec<Tree>) -> Tree {
    Tree::Map(
        [
            (1, false, profile()),
            (2, false, domain(DOMAIN)),
            (3, false, number(5)),
            (4, false, instant(ISSUED - DAY)),
            (5, false, number(1)),
            (6, false, in_order(keys, 1)),
        ]
        .to_vec(),
    )
}

/// The same of another version.
pub(super) fn keyring_version(version: u64) -> Tree {
    keyring().with(&[3], number(version))
}

/// A role of a root.
pub(super) fn role(threshold: u64, seeds: &[u8]) -> Tree {
    let keys = seeds.iter().map(|seed| Tree::List([fixed(&kid(*seed)), fixed(&public(*seed))].to_vec()));
    Tree::List([Tree::Uint(threshold, Kind::Range(0, 255)), in_order(keys.collect(), 0)].to_vec())
}

/// Root `version` with the keys of root 1.
pub(super) fn root(version: u64) -> Tree {
    Tree::Map(
        [
            (1, false, profile()),
            (2, false, domain(DOMAIN)),
            (3, false, Tree::Uint(version, Kind::Range(1, u64::MAX))),
            (4, false, role(2, &[11, 12, 13])),
            (5, false, role(1, &[21, 22])),
        ]
        .to_vec(),
    )
}

/// An honest root 2: one root key replaced, and both keyring keys.
pub(super) fn next_root() -> Tree {
    root(2).with(&[4], role(2, &[12, 13, 14])).with(&[5], role(1, &[23]))
}

/// A token's protected header.
pub(super) fn header(seed: u8) -> Vec<u8> {
    map(&[(1, int(-19)), (4, bytes(&kid(seed))), (16, text(TOKEN_TYPE))])
}

/// What is signed of a COSE_Sign1 (RFC 9052 §4.4).
pub(super) fn signature1(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    list(&[text("Signature1"), bytes(protected), bytes(&[]), bytes(payload)])
}

/// A COSE_Sign1 of these parts.
pub(super) fn sign1(protected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    [head(6, 18), list(&[bytes(protected), [0xa0].to_vec(), bytes(payload), bytes(signature)])].concat()
}

/// A token of any header and payload with a good signature.
pub(super) fn signed(protected: &[u8], payload: &[u8], seed: u8) -> Vec<u8> {
    sign1(protected, payload, &secret(seed).sign(&signature1(protected, payload)).to_bytes())
}

/// A token with these claims.
pub(super) fn token(claims: &Tree, seed: u8) -> Vec<u8> {
    signed(&header(seed), &claims.encode(), seed)
}

/// What one signer of a COSE_Sign signs (RFC 9052 §4.4).
pub(super) fn signature(body: &[u8], signer: &[u8], payload: &[u8]) -> Vec<u8> {
    list(&[text("Signature"), bytes(body), bytes(signer), bytes(&[]), bytes(payload)])
}

/// The protected header of one signer.
pub(super) fn signer_header(kid: &[u8]) -> Vec<u8> {
    map(&[(1, int(-19)), (4, bytes(kid))])
}

/// One signer's part, over body header and payload.
pub(super) fn signer(body: &[u8], payload: &[u8], seed: u8) -> Vec<u8> {
    let own = signer_header(&kid(seed));
    let signature = secret(seed).sign(&signature(body, &own, payload)).to_bytes();
    list(&[bytes(&own), [0xa0].to_vec(), bytes(&signature)])
}

/// A COSE_Sign of these parts.
pub(super) fn sign(body: &[u8], payload: &[u8], signers: &[Vec<u8>]) -> Vec<u8> {
    [head(6, 98), list(&[bytes(body), [0xa0].to_vec(), bytes(payload), list(signers)])].concat()
}

/// The protected header of a document of this type.
pub(super) fn document_header(typ: &str) -> Vec<u8> {
    map(&[(16, text(typ))])
}

/// A document of any payload, signed by these keys in the order of their ids.
pub(super) fn document(typ: &str, payload: &[u8], seeds: &[u8]) -> Vec<u8> {
    let mut seeds = seeds.to_vec();
    seeds.sort_by_key(|seed| kid(*seed));
    let body = document_header(typ);
    let signers: Vec<_> = seeds.iter().map(|seed| signer(&body, payload, *seed)).collect();
    sign(&body, payload, &signers)
}

pub(super) fn keyring_by(content: &Tree, seeds: &[u8]) -> Vec<u8> {
    document(KEYRING_TYPE, &content.encode(), seeds)
}

pub(super) fn root_by(content: &Tree, seeds: &[u8]) -> Vec<u8> {
    document(ROOT_TYPE, &content.encode(), seeds)
}

/// The twelve encodings of points of small order that a careless decoder takes (speccheck; RFC 8032 §5.1.3).
pub(super) const SMALL_ORDER: [&str; 12] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
];
