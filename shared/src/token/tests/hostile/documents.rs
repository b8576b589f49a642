//! Lies about the container and the headers of a keyring or a root (COSE_Sign).

use super::cbor::{bytes, head, int, list, map, text, wide_head};
use super::containers::{
    BOMB, CONFUSION, CONTENT, ENCODING, ENDLESS, not_that_byte_string, not_that_empty_map,
};
use super::deployment::*;
use super::{Case, Set};
use crate::token::tests::support::secret;
use crate::token::{KEYRING_TYPE, ROOT_TYPE, TOKEN_TYPE};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use ed25519_dalek::Signer;

pub(super) fn add(set: &mut Set) {
    for (what, typ, payload, seeds) in [
        ("keyring", KEYRING_TYPE, keyring_version(6).encode(), &[21][..]),
        ("root", ROOT_TYPE, next_root().encode(), &[12, 13]),
    ] {
        document_containers(set, what, typ, &payload, seeds);
        document_headers(set, what, typ, &payload, seeds);
    }
}

fn document_containers(set: &mut Set, what: &'static str, typ: &str, payload: &[u8], seeds: &[u8]) {
    let good = document(typ, payload, seeds);
    let body = document_header(typ);
    let mut seeds = seeds.to_vec();
    seeds.sort_by_key(|seed| kid(*seed));
    let signers: Vec<Vec<u8>> = seeds.iter().map(|seed| signer(&body, payload, *seed)).collect();
    let parts = [bytes(&body), [0xa0].to_vec(), bytes(payload), list(&signers)];
    let wrap = |parts: &[Vec<u8>]| [head(6, 98), list(parts)].concat();
    assert_eq!(wrap(&parts), good);
    let mut add = |attack, name: String, bytes| {
        set.add(Case::document(what, attack, "TRUST_SHAPE", format!("container: {name}"), bytes));
    };
    for (name, attack, tag) in [
        ("no tag", CONFUSION, Vec::new()),
        ("tag 18, COSE_Sign1", CONFUSION, head(6, 18)),
        ("tag 97, COSE_Mac", CONFUSION, head(6, 97)),
        ("tag 98 in a longer form", ENCODING, wide_head(6, 98).unwrap()),
        ("tag 98 twice", ENCODING, [head(6, 98), head(6, 98)].concat()),
        ("tag 55799 around it", ENCODING, [head(6, 55_799), head(6, 98)].concat()),
    ] {
        add(attack, name.into(), [&tag, &good[2..]].concat());
    }
    for (name, attack, bytes) in [
        ("a byte behind", ENCODING, [&good[..], &[0]].concat()),
        ("a second one behind", ENCODING, [&good[..], &good[..]].concat()),
        ("a list of three", CONTENT, wrap(&parts[..3])),
        ("a list of five", CONTENT, wrap(&[&parts[..], &[[0xa0].to_vec()]].concat())),
        ("a list of indefinite length", ENCODING, [&[0xd8, 98, 0x9f], &good[3..], &[0xff]].concat()),
        ("no signers", CONTENT, wrap(&[&parts[..3], &[[0x80].to_vec()]].concat())),
        ("endlessly many signers", BOMB, wrap(&[&parts[..3], &[head(4, u64::MAX)]].concat())),
        (
            "thirty-three signers",
            BOMB,
            wrap(&[&parts[..3], &[list(&[&signers[0][..]; 33].map(<[u8]>::to_vec))]].concat()),
        ),
        (
            "its first signer twice",
            "root_takeover_below_threshold",
            sign(&body, payload, &[signers[0].clone(), signers[0].clone()]),
        ),
        ("signers as a map", CONTENT, wrap(&[&parts[..3], &[map(&[(0, signers[0].clone())])]].concat())),
        ("signers null", CONTENT, wrap(&[&parts[..3], &[[0xf6].to_vec()]].concat())),
        ("cut after its payload", ENDLESS, good[..good.len() - 82 * seeds.len() - 1].to_vec()),
        ("cut in its last signature", ENDLESS, good[..good.len() - 1].to_vec()),
        ("a token of use 1", CONFUSION, token(&claims_at(ISSUED + 60), 31)),
        ("a COSE_Sign1 of the same content", CONFUSION, signed(&body, payload, seeds[0])),
    ] {
        add(attack, name.into(), bytes);
    }
    if seeds.len() > 1 {
        let backwards: Vec<Vec<u8>> = signers.iter().rev().cloned().collect();
        add(ENCODING, "signers out of order".to_string(), sign(&body, payload, &backwards));
    }
    for (place, name, content) in [(0, "header", &body[..]), (2, "content", payload)] {
        for (what, attack, replacement) in not_that_byte_string(content) {
            let mut parts = parts.clone();
            parts[place] = replacement;
            add(attack, format!("{name} {what}"), [&[0xd8, 98, 0x84][..], &parts.concat()].concat());
        }
    }
    let own = bytes(&signer_header(&kid(seeds[0])));
    let made = secret(seeds[0]).sign(&signature(&body, &signer_header(&kid(seeds[0])), payload)).to_bytes();
    let mut with_signer = |attack, name: String, parts: &[Vec<u8>]| {
        let first =
            [head(4, parts.iter().filter(|part| !part.is_empty()).count() as u64), parts.concat()].concat();
        add(attack, name, sign(&body, payload, &[&[first], &signers[1..]].concat()));
    };
    with_signer(CONTENT, "a signer of two parts".into(), &[own.clone(), bytes(&made)]);
    with_signer(
        CONTENT,
        "a signer of four parts".into(),
        &[own.clone(), [0xa0].to_vec(), bytes(&made), [0xf6].to_vec()],
    );
    for (what, attack, replacement) in not_that_empty_map() {
        with_signer(
            attack,
            format!("a signer's unprotected header {what}"),
            &[own.clone(), replacement, bytes(&made)],
        );
    }
    for (what, attack, replacement) in not_that_byte_string(&made) {
        with_signer(attack, format!("a signature {what}"), &[own.clone(), [0xa0].to_vec(), replacement]);
    }
    for length in [0, 63, 65] {
        let cut: Vec<u8> = made.iter().cycle().take(length).copied().collect();
        with_signer(
            "forged",
            format!("a signature of {length} bytes"),
            &[own.clone(), [0xa0].to_vec(), bytes(&cut)],
        );
    }
}

fn document_headers(set: &mut Set, what: &'static str, typ: &str, payload: &[u8], seeds: &[u8]) {
    let mut add = |attack, code, name: String, body: &[u8]| {
        let mut seeds = seeds.to_vec();
        seeds.sort_by_key(|seed| kid(*seed));
        let signers: Vec<Vec<u8>> = seeds.iter().map(|seed| signer(body, payload, *seed)).collect();
        set.add(Case::document(what, attack, code, format!("header: {name}"), sign(body, payload, &signers)));
    };
    let good = document_header(typ);
    for (name, attack, body) in [
        ("empty", CONTENT, Vec::new()),
        ("an empty map", CONTENT, [0xa0].to_vec()),
        ("with an algorithm", CONFUSION, map(&[(1, int(-19)), (16, text(typ))])),
        ("with a content type", CONTENT, map(&[(3, int(61)), (16, text(typ))])),
        ("its type twice", ENCODING, map(&[(16, text(typ)), (16, text(typ))])),
        ("its type as bytes", CONTENT, map(&[(16, bytes(typ.as_bytes()))])),
        ("its type as a number", CONTENT, map(&[(16, int(61))])),
        ("its type under 3", CONFUSION, map(&[(3, text(typ))])),
        ("a byte behind", ENCODING, [&good[..], &[0]].concat()),
        ("in a longer form", ENCODING, [&[0xb8, 1], &good[1..]].concat()),
        ("of indefinite length", ENCODING, [&[0xbf], &good[1..], &[0xff]].concat()),
        ("as a list", CONTENT, list(&[int(16), text(typ)])),
    ] {
        add(attack, "TRUST_HEADER", name.into(), &body);
    }
    let other = if typ == ROOT_TYPE { KEYRING_TYPE } else { ROOT_TYPE };
    for value in [
        other,
        TOKEN_TYPE,
        "",
        "application/cose",
        &typ.to_uppercase(),
        &format!("{typ} "),
        &format!("{typ}\0"),
    ] {
        add(CONFUSION, "TRUST_CONTENT_TYPE", format!("type {value:?}"), &document_header(value));
    }
    // The header of a signer.
    let body = document_header(typ);
    let id = (4, bytes(&kid(seeds[0])));
    for (name, attack, own) in [
        ("empty", CONTENT, Vec::new()),
        ("without algorithm", CONTENT, map(core::slice::from_ref(&id))),
        ("without key id", CONTENT, map(&[(1, int(-19))])),
        ("of algorithm -8", CONFUSION, map(&[(1, int(-8)), id.clone()])),
        ("of algorithm -7", CONFUSION, map(&[(1, int(-7)), id.clone()])),
        ("of algorithm 5", CONFUSION, map(&[(1, int(5)), id.clone()])),
        ("of a named algorithm", CONTENT, map(&[(1, text("EdDSA")), id.clone()])),
        ("with crit", CONTENT, map(&[(1, int(-19)), (2, list(&[int(4)])), id.clone()])),
        ("out of order", ENCODING, map(&[id.clone(), (1, int(-19))])),
        ("key id twice", ENCODING, map(&[(1, int(-19)), id.clone(), id.clone()])),
        ("of a short key id", CONTENT, map(&[(1, int(-19)), (4, bytes(&kid(seeds[0])[..7]))])),
        ("a byte behind", ENCODING, [map(&[(1, int(-19)), id.clone()]), [0].to_vec()].concat()),
    ] {
        let made = secret(seeds[0]).sign(&signature(&body, &own, payload)).to_bytes();
        let first = list(&[bytes(&own), [0xa0].to_vec(), bytes(&made)]);
        let bytes = sign(&body, payload, &[first]);
        set.add(Case::document(what, attack, "TRUST_HEADER", format!("a signer's header: {name}"), bytes));
    }
}
