//! Signatures that do not fit, second forms of those that do, and good parts put together anew.

use super::cbor::{Kind, Tree, bytes, list, map, text};
use super::deployment::*;
use super::{Case, Set};
use crate::token::tests::support::{secret, unhex};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use ed25519_dalek::Signer;
use sha2::{Digest, Sha256};

pub(super) fn add(set: &mut Set) {
    signatures(set);
    changes(set);
    mixtures(set);
}

/// A forged signature of every make over an honest later token.
fn signatures(set: &mut Set) {
    let (protected, payload) = (header(31), claims_at(ISSUED + 60).encode());
    let tbs = signature1(&protected, &payload);
    let good = secret(31).sign(&tbs).to_bytes();
    let mut add = |attack, name: String, signature: &[u8]| {
        set.add(Case::token(
            attack,
            "SIGNATURE",
            format!("signature: {name}"),
            sign1(&protected, &payload, signature),
        ));
    };
    for byte in 0..64 {
        let mut flipped = good;
        flipped[byte] ^= 1 << (byte % 8);
        add("forged", format!("byte {byte} flipped"), &flipped);
    }
    let by = |seed: u8, message: &[u8]| secret(seed).sign(message).to_bytes();
    let swapped = [&good[32..], &good[..32]].concat();
    let reversed: Vec<u8> = good.iter().rev().copied().collect();
    for (name, signature) in [
        ("of zeros", [0; 64].to_vec()),
        ("of ones", [0xff; 64].to_vec()),
        ("its halves swapped", swapped),
        ("backwards", reversed),
        ("by a key of the attacker's", by(99, &tbs).to_vec()),
        ("by a root key", by(11, &tbs).to_vec()),
        ("by a keyring key", by(21, &tbs).to_vec()),
        ("by the key of another use", by(33, &tbs).to_vec()),
        ("by the key of another organization", by(32, &tbs).to_vec()),
        ("over the claims alone", by(31, &payload).to_vec()),
        ("over the header alone", by(31, &protected).to_vec()),
        ("over nothing", by(31, &[]).to_vec()),
        ("over the claims of the token held", by(31, &signature1(&protected, &claims().encode())).to_vec()),
        ("over another header", by(31, &signature1(&header(32), &payload)).to_vec()),
        ("over an empty header", by(31, &signature1(&[], &payload)).to_vec()),
        ("over empty claims", by(31, &signature1(&protected, &[])).to_vec()),
    ] {
        add("forged", name.into(), &signature);
    }
    let structure = |context: &str, external: &[u8]| {
        list(&[text(context), bytes(&protected), bytes(external), bytes(&payload)])
    };
    for (name, message) in [
        ("made as of a COSE_Sign", signature(&protected, &protected, &payload)),
        ("made as a counter signature", structure("CounterSignature", &[])),
        ("made as of a COSE_Sign without signer", structure("Signature", &[])),
        ("made with a MAC's context", structure("MAC0", &[])),
        ("made with external data", structure("Signature1", DEVICE.as_bytes())),
        ("made over a digest", signature1(&protected, &Sha256::digest(&payload))),
        ("made with a byte behind", [&tbs[..], &[0]].concat()),
    ] {
        add("type_confusion", name.into(), &by(31, &message));
    }
    malleable(&good, &mut add);
}

/// Everything that is signed, changed behind the signer's back: each claim to what an attacker would like.
fn changes(set: &mut Set) {
    let (protected, payload) = (header(31), claims_at(ISSUED + 60).encode());
    let good = secret(31).sign(&signature1(&protected, &payload)).to_bytes();
    let better = [
        (&[1][..], domain("other.example.com"), "another trust domain"),
        (&[3], device("dev-next-door"), "another device"),
        (&[4], instant(ISSUED + 3_000 * DAY), "a longer lease"),
        (&[6], instant(ISSUED + 600), "a later instant of issue"),
        (&[10], fixed(&[0x5a; 16]), "another nonce"),
        (&[LICENSE, 1], number(2), "another profile"),
        (&[LICENSE, 2], fixed(&[9; 16]), "another organization"),
        (&[LICENSE, 3], fixed(&[9; 16]), "another site"),
        (&[LICENSE, 4], fixed(&[9; 16]), "another group"),
        (&[LICENSE, 5], number(0), "a better state"),
        (&[LICENSE, 6], Tree::List(Vec::new()), "no findings"),
        (&[LICENSE, 7, 2], Tree::Null(Kind::OptionalInstant), "no stop"),
        (&[LICENSE, 7, 1], maybe(ISSUED + 59 * DAY), "a later lock"),
        (&[LICENSE, 8], instant(ISSUED + 30_000 * DAY), "no offline lock to speak of"),
        (&[LICENSE, 9], number(2), "another epoch"),
        (&[LICENSE, 10], number(SEQ + 3_600_000), "a higher sequence"),
        (&[LICENSE, 11], Tree::Null(Kind::OptionalInstant), "no co-termination"),
    ];
    for (path, value, name) in better {
        let changed = claims_at(ISSUED + 60).with(path, value).encode();
        set.add(Case::token(
            "forged",
            "SIGNATURE",
            format!("changed: {name}"),
            sign1(&protected, &changed, &good),
        ));
    }
    for (name, changed) in [
        ("no nonce", claims_at(ISSUED + 60).without(&[], 10).encode()),
        ("no group", claims_at(ISSUED + 60).without(&[LICENSE], 4).encode()),
        // Were the content looked at before the signature, these would be told apart.
        ("nothing at all", Vec::new()),
        ("an empty map", map(&[])),
        ("not even CBOR", [0xff; 40].to_vec()),
    ] {
        set.add(Case::token(
            "forged",
            "SIGNATURE",
            format!("changed: {name}"),
            sign1(&protected, &changed, &good),
        ));
    }
}

/// Second forms of a good signature, and signatures that fit every message under a careless check.
fn malleable(good: &[u8; 64], add: &mut dyn FnMut(&'static str, String, &[u8])) {
    const ATTACK: &str = "signature_malleability_and_small_order_keys";
    // The order of the group (RFC 8032 §5.1), little-endian.
    let order = unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut scalar: Vec<u8> = good[32..].to_vec();
    for times in 1..=7 {
        let mut carry = 0;
        for (byte, add) in scalar.iter_mut().zip(&order) {
            let sum = u16::from(*byte) + u16::from(*add) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        add(ATTACK, format!("S plus {times} times the order"), &[&good[..32], &scalar].concat());
    }
    for bit in [5, 6, 7] {
        let mut high = *good;
        high[63] |= 1 << bit;
        add(ATTACK, format!("bit {bit} of S's last byte set"), &high);
    }
    for point in SMALL_ORDER {
        add(ATTACK, format!("R = {point}, S = 0"), &[&unhex(point)[..], &[0; 32]].concat());
        add(ATTACK, format!("R = {point}"), &[&unhex(point)[..], &good[32..]].concat());
    }
    let mut sign = *good;
    sign[31] ^= 0x80;
    add(ATTACK, String::from("R with the other sign"), &sign);
}

/// Header, claims and signature of good tokens, put together anew.
fn mixtures(set: &mut Set) {
    let good: Vec<[Vec<u8>; 3]> =
        [claims(), claims_at(ISSUED + 60), claims_at(ISSUED + 120).without(&[LICENSE], 4)]
            .iter()
            .map(|claims| {
                let (protected, payload) = (header(31), claims.encode());
                let signature = secret(31).sign(&signature1(&protected, &payload)).to_bytes().to_vec();
                [protected, payload, signature]
            })
            .collect();
    for (a, [protected, payload, _]) in good.iter().enumerate() {
        for (b, [_, _, signature]) in good.iter().enumerate().filter(|(b, _)| *b != a) {
            let name = format!("claims of token {a}, signature of token {b}");
            set.add(Case::token("mix_and_match", "SIGNATURE", name, sign1(protected, payload, signature)));
        }
    }
    // The signature of a good token under the header of another key, and the other way round.
    let [protected, payload, signature] = &good[1];
    for (seed, code) in [
        (32, "KEY_ORGANIZATION"),
        (33, "KEY_USE"),
        (99, "UNKNOWN_KEY"),
        (11, "UNKNOWN_KEY"),
        (21, "UNKNOWN_KEY"),
    ] {
        let name = format!("header of key {seed}, the rest by key 31");
        set.add(Case::token("mix_and_match", code, name, sign1(&header(seed), payload, signature)));
    }
    let of_keyring = keyring_by(&keyring(), &[21]);
    let name = String::from("the keyring's signature");
    set.add(Case::token(
        "mix_and_match",
        "SIGNATURE",
        name,
        sign1(protected, payload, &of_keyring[of_keyring.len() - 64..]),
    ));
    for [_, payload, signature] in &good {
        let name = format!("signature {:02x}{:02x} as header", signature[0], signature[1]);
        set.add(Case::token("mix_and_match", "HEADER", name, sign1(signature, payload, signature)));
    }
}
