//! Lies about the container and the header of a token (COSE_Sign1).

use super::cbor::{bytes, head, int, list, map, text, wide_head};
use super::deployment::*;
use super::{Case, Set};
use crate::token::tests::support::secret;
use crate::token::{KEYRING_TYPE, ROOT_TYPE, TOKEN_TYPE};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use ed25519_dalek::Signer;

pub(super) const ENCODING: &str = "duplicate_and_non_canonical_encodings";
pub(super) const CONFUSION: &str = "type_confusion";
pub(super) const BOMB: &str = "nesting_and_length_bombs";
pub(super) const ENDLESS: &str = "endless_data";
pub(super) const CONTENT: &str = "malformed_content";

pub(super) fn add(set: &mut Set) {
    token_containers(set);
    token_headers(set);
}

/// What may stand where a byte string belongs.
pub(super) fn not_that_byte_string(content: &[u8]) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let length = content.len() as u64;
    let good = bytes(content);
    [
        ("left out", CONTENT, Vec::new()),
        ("null", CONTENT, [0xf6].to_vec()),
        ("a number", CONTENT, head(0, 1)),
        ("a map", CONTENT, [0xa0].to_vec()),
        ("as text", CONTENT, [head(3, length), content.to_vec()].concat()),
        ("in a list", CONTENT, list(core::slice::from_ref(&good))),
        ("tagged as encoded CBOR", ENCODING, [&[0xd8, 24], &good[..]].concat()),
        ("in a longer form", ENCODING, [wide_head(2, length).unwrap(), content.to_vec()].concat()),
        (
            "in two pieces",
            ENCODING,
            [&[0x5f], &bytes(&content[..8])[..], &bytes(&content[8..]), &[0xff]].concat(),
        ),
        ("longer than the message", BOMB, [head(2, 60_000), content.to_vec()].concat()),
        ("of endless length", BOMB, [head(2, u64::MAX), content.to_vec()].concat()),
    ]
    .to_vec()
}

/// What may stand where an empty map belongs.
pub(super) fn not_that_empty_map() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    [
        ("left out", CONTENT, Vec::new()),
        ("null", CONTENT, [0xf6].to_vec()),
        ("a list", CONTENT, [0x80].to_vec()),
        ("an empty byte string", CONTENT, [0x40].to_vec()),
        ("with the algorithm", CONFUSION, map(&[(1, int(-19))])),
        ("with the key id of another key", CONFUSION, map(&[(4, bytes(&kid(32)))])),
        ("with a counter signature", CONTENT, map(&[(11, bytes(&[7; 64]))])),
        ("in a longer form", ENCODING, [0xb8, 0x00].to_vec()),
        ("of indefinite length", ENCODING, [0xbf, 0xff].to_vec()),
        ("of endless length", BOMB, head(5, u64::MAX)),
    ]
    .to_vec()
}

fn token_containers(set: &mut Set) {
    let (protected, payload) = (header(31), claims_at(ISSUED + 60).encode());
    let signature = secret(31).sign(&signature1(&protected, &payload)).to_bytes();
    let parts = [bytes(&protected), [0xa0].to_vec(), bytes(&payload), bytes(&signature)];
    let good = signed(&protected, &payload, 31);
    let inner = good[1..].to_vec();
    let mut add = |attack, name: String, bytes| {
        set.add(Case::token(attack, "SHAPE", format!("container: {name}"), bytes))
    };
    for (name, attack, tag) in [
        ("no tag", CONFUSION, Vec::new()),
        ("tag 16, COSE_Encrypt0", CONFUSION, head(6, 16)),
        ("tag 17, COSE_Mac0", CONFUSION, head(6, 17)),
        ("tag 19", CONFUSION, head(6, 19)),
        ("tag 96, COSE_Encrypt", CONFUSION, head(6, 96)),
        ("tag 97, COSE_Mac", CONFUSION, head(6, 97)),
        ("tag 98, COSE_Sign", CONFUSION, head(6, 98)),
        ("tag 61, CWT, around it", CONFUSION, [head(6, 61), head(6, 18)].concat()),
        ("tag 55799, self-described, around it", ENCODING, [head(6, 55_799), head(6, 18)].concat()),
        ("tag 18 twice", ENCODING, [head(6, 18), head(6, 18)].concat()),
        ("tag 18 in a longer form", ENCODING, wide_head(6, 18).unwrap()),
    ] {
        add(attack, name.into(), [tag, inner.clone()].concat());
    }
    for (name, attack, list) in [
        ("a list of three", CONTENT, [&[0xd2, 0x83], &inner[1..]].concat()),
        ("a list of five", CONTENT, [&[0xd2, 0x85], &inner[1..], &[0xa0]].concat()),
        ("a list of endless length", BOMB, [&[0xd2][..], &head(4, u64::MAX), &inner[1..]].concat()),
        ("a list in a longer form", ENCODING, [&[0xd2, 0x98, 0x04], &inner[1..]].concat()),
        ("a list of indefinite length", ENCODING, [&[0xd2, 0x9f], &inner[1..], &[0xff]].concat()),
        ("a byte behind", ENCODING, [&good[..], &[0]].concat()),
        ("a second token behind", ENCODING, [&good[..], &good[..]].concat()),
        ("a byte in front", ENCODING, [&[0], &good[..]].concat()),
        ("in a byte string", CONFUSION, bytes(&good)),
        ("as hexadecimal text", CONFUSION, crate::token::tests::support::hex(&good).into_bytes()),
        ("the claims alone", CONFUSION, payload.clone()),
        ("the header alone", CONFUSION, protected.clone()),
        ("what is signed, alone", CONFUSION, signature1(&protected, &payload)),
    ] {
        add(attack, name.into(), list);
    }
    for length in [1, 2, 3, 10, 60, 61, 100, good.len() - 64, good.len() - 65, good.len() - 1] {
        add(ENDLESS, format!("cut after {length} bytes"), good[..length].to_vec());
    }
    for (place, name, content) in
        [(0, "header", &protected[..]), (2, "claims", &payload), (3, "signature", &signature)]
    {
        for (what, attack, replacement) in not_that_byte_string(content) {
            let mut parts = parts.clone();
            parts[place] = replacement;
            add(attack, format!("{name} {what}"), [&[0xd2, 0x84][..], &parts.concat()].concat());
        }
    }
    for (what, attack, replacement) in not_that_empty_map() {
        let mut parts = parts.clone();
        parts[1] = replacement;
        add(attack, format!("unprotected header {what}"), [&[0xd2, 0x84][..], &parts.concat()].concat());
    }
    for length in [0, 1, 32, 63, 65, 128] {
        let cut: Vec<u8> = signature.iter().cycle().take(length).copied().collect();
        add("forged", format!("a signature of {length} bytes"), sign1(&protected, &payload, &cut));
    }
}

fn token_headers(set: &mut Set) {
    let payload = claims_at(ISSUED + 60).encode();
    let (alg, id, typ) = ((1, int(-19)), (4, bytes(&kid(31))), (16, text(TOKEN_TYPE)));
    let mut add = |attack, code, name: &str, protected: Vec<u8>| {
        set.add(Case::token(attack, code, format!("header: {name}"), signed(&protected, &payload, 31)));
    };
    let good = header(31);
    for (name, attack, protected) in [
        ("empty", CONTENT, Vec::new()),
        ("an empty map", CONTENT, [0xa0].to_vec()),
        ("a list", CONTENT, list(&[int(-19), bytes(&kid(31)), text(TOKEN_TYPE)])),
        ("without algorithm", CONTENT, map(&[id.clone(), typ.clone()])),
        ("without key id", CONTENT, map(&[alg.clone(), typ.clone()])),
        ("without type", CONFUSION, map(&[alg.clone(), id.clone()])),
        ("only the type", CONTENT, map(core::slice::from_ref(&typ))),
        ("algorithm twice", ENCODING, map(&[alg.clone(), alg.clone(), id.clone(), typ.clone()])),
        ("algorithm twice instead of the type", ENCODING, map(&[alg.clone(), alg.clone(), id.clone()])),
        ("key id twice", ENCODING, map(&[alg.clone(), id.clone(), (4, bytes(&kid(32))), typ.clone()])),
        ("type twice", ENCODING, map(&[alg.clone(), id.clone(), typ.clone(), (16, text(KEYRING_TYPE))])),
        ("key id before algorithm", ENCODING, map(&[id.clone(), alg.clone(), typ.clone()])),
        ("type before key id", ENCODING, map(&[alg.clone(), typ.clone(), id.clone()])),
        ("with crit", CONTENT, map(&[alg.clone(), (2, list(&[int(99)])), id.clone(), typ.clone()])),
        ("with a content type", CONTENT, map(&[alg.clone(), (3, int(61)), id.clone(), typ.clone()])),
        ("with an IV", CONTENT, map(&[alg.clone(), id.clone(), (5, bytes(&[0; 8])), typ.clone()])),
        (
            "with CWT claims",
            CONFUSION,
            map(&[alg.clone(), id.clone(), (15, map(&[(1, text(DOMAIN))])), typ.clone()]),
        ),
        (
            "with a certificate chain",
            CONTENT,
            map(&[alg.clone(), id.clone(), typ.clone(), (33, bytes(&[0; 16]))]),
        ),
        ("with a private label", CONTENT, map(&[alg.clone(), id.clone(), typ.clone(), (-70_001, int(1))])),
        ("a byte behind", ENCODING, [&good[..], &[0]].concat()),
        ("cut", ENCODING, good[..good.len() - 1].to_vec()),
        ("of indefinite length", ENCODING, [&[0xbf], &good[1..], &[0xff]].concat()),
        ("in a longer form", ENCODING, [&[0xb8, 0x03], &good[1..]].concat()),
        ("one pair more by its count", ENCODING, [&[0xa4], &good[1..]].concat()),
        ("one pair fewer by its count", ENCODING, [&[0xa2], &good[1..]].concat()),
        ("of endless length", BOMB, [&head(5, u64::MAX), &good[1..]].concat()),
        ("in a byte string", CONFUSION, bytes(&good)),
        ("tagged", ENCODING, [&[0xc1], &good[..]].concat()),
    ] {
        add(attack, "HEADER", name, protected);
    }
    for (name, value) in [
        ("-8, EdDSA", int(-8)),
        ("-7, ES256", int(-7)),
        ("-9, ESP256", int(-9)),
        ("-35, ES384", int(-35)),
        ("-37, PS256", int(-37)),
        ("-53, Ed448", int(-53)),
        ("-257, RS256", int(-257)),
        ("-48, ML-DSA-44", int(-48)),
        ("5, HMAC 256", int(5)),
        ("1, A128GCM", int(1)),
        ("0, reserved", int(0)),
        ("19", int(19)),
        ("-18", int(-18)),
        ("-20", int(-20)),
        ("the largest", head(0, u64::MAX >> 1)),
    ] {
        add(
            CONFUSION,
            "ALGORITHM",
            &format!("algorithm {name}"),
            map(&[(1, value), id.clone(), typ.clone()]),
        );
    }
    for (name, value) in [
        ("as text", text("EdDSA")),
        ("none", text("none")),
        ("null", [0xf6].to_vec()),
        ("in a list", list(&[int(-19)])),
        ("as bytes", bytes(&[0x32])),
        ("in a longer form", [0x38, 18].to_vec()),
        ("in the longest form", [&[0x3b], &18_u64.to_be_bytes()[..]].concat()),
        ("as a float", [&[0xfb], &(-19.0_f64).to_be_bytes()[..]].concat()),
        ("beyond 64 bits", head(1, u64::MAX)),
    ] {
        add(CONTENT, "HEADER", &format!("algorithm {name}"), map(&[(1, value), id.clone(), typ.clone()]));
    }
    let own = kid(31);
    for (name, value) in [
        ("empty", bytes(&[])),
        ("of 7 bytes", bytes(&own[..7])),
        ("of 9 bytes", bytes(&[&own[..], &[0]].concat())),
        ("of 32 bytes, the whole thumbprint", bytes(&[&own[..], &[7; 24]].concat())),
        ("as text", [head(3, 8), b"12345678".to_vec()].concat()),
        ("as a number", [&[0x1b], &own[..]].concat()),
        ("null", [0xf6].to_vec()),
        ("in a list", list(&[bytes(&own)])),
        ("in a longer form", [&[0x58, 8], &own[..]].concat()),
        ("in two pieces", [&[0x5f], &bytes(&own[..4])[..], &bytes(&own[4..]), &[0xff]].concat()),
    ] {
        add(CONTENT, "HEADER", &format!("key id {name}"), map(&[alg.clone(), (4, value), typ.clone()]));
    }
    for value in [
        KEYRING_TYPE,
        ROOT_TYPE,
        "",
        "application/cwt",
        "application/cose",
        "JWT",
        "application/vnd.coterm.license-state",
        "application/vnd.coterm.license-state+cose",
        "application/vnd.coterm.license-state+CWT",
        "Application/vnd.coterm.license-state+cwt",
        "application/vnd.coterm.license-state+cwt ",
        " application/vnd.coterm.license-state+cwt",
        "application/vnd.coterm.license-state+cwt\0",
        "application/vnd.coterm.license-state+cwt; v=2",
        "vnd.coterm.license-state+cwt",
        "application/vnd.coterm.enrolment-answer+cwt",
        "application/vnd.coterm.relay-bundle+cwt",
    ] {
        add(
            CONFUSION,
            "CONTENT_TYPE",
            &format!("type {value:?}"),
            map(&[alg.clone(), id.clone(), (16, text(value))]),
        );
    }
    for (name, value) in [
        ("as a content format", int(61)),
        ("as bytes", bytes(TOKEN_TYPE.as_bytes())),
        ("null", [0xf6].to_vec()),
        ("in a list", list(&[text(TOKEN_TYPE)])),
        ("in a longer form", [&[0x79, 0, 40], TOKEN_TYPE.as_bytes()].concat()),
        ("not UTF-8", [head(3, 2), [0xc3, 0x28].to_vec()].concat()),
        ("of endless length", [head(3, u64::MAX), TOKEN_TYPE.as_bytes().to_vec()].concat()),
    ] {
        add(CONTENT, "HEADER", &format!("type {name}"), map(&[alg.clone(), id.clone(), (16, value)]));
    }
}
