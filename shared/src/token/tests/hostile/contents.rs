//! Every lie about every part of keyrings and roots, and the keys, lists and thresholds no document may have.

use super::cbor::{Lie, Tree};
use super::deployment::*;
use super::{Case, Set};
use crate::token::tests::support::unhex;
use crate::token::{KEYRING_TYPE, ROOT_TYPE};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const THRESHOLD: &str = "root_takeover_below_threshold";

pub(super) fn add(set: &mut Set) {
    lies(set);
    weak_keys(set);
    lists_of_keys(set);
    thresholds(set);
}

fn lies(set: &mut Set) {
    // One key is enough to lie about.
    let keyring = keyring_with([token_key(31, 1, Some([1; 16]))].to_vec()).with(&[3], number(6));
    let root = root(2).with(&[4], role(1, &[12])).with(&[5], role(1, &[23]));
    for (what, typ, tree, seeds) in
        [("keyring", KEYRING_TYPE, keyring, &[21][..]), ("root", ROOT_TYPE, root, &[11, 12])]
    {
        for lying in tree.lies() {
            let code = match lying.lie {
                Lie::Encoding => "TRUST_ENCODING",
                Lie::Content => "TRUST_MALFORMED",
                Lie::Profile => "TRUST_PROFILE_VERSION",
            };
            let bytes = document(typ, &lying.bytes, seeds);
            set.add(Case::document(what, lying.attack(), code, format!("content: {}", lying.name), bytes));
        }
    }
}

/// Keys that are none, under the id stated and under their own.
fn weak_keys(set: &mut Set) {
    const ATTACK: &str = "signature_malleability_and_small_order_keys";
    let mut bad: Vec<(String, Vec<u8>)> =
        SMALL_ORDER.iter().map(|point| (format!("the point {point}"), unhex(point))).collect();
    bad.push((String::from("y = 3 + p"), unhex(&format!("f0{}7f", "ff".repeat(30)))));
    bad.push((String::from("y of no point"), unhex(&format!("02{}", "00".repeat(31)))));
    for (name, x) in &bad {
        let x: [u8; 32] = x[..].try_into().unwrap();
        for (whose, id) in [("its own id", kid_of(&x)), ("a good key's id", kid(31))] {
            let key = token_key(31, 1, None).with(&[1], fixed(&id)).with(&[2], fixed(&x));
            let tree = keyring_with([key].to_vec()).with(&[3], number(6));
            set.add(Case::document(
                "keyring",
                ATTACK,
                "TRUST_BAD_KEY",
                format!("{name} under {whose}"),
                keyring_by(&tree, &[21]),
            ));
            let role = Tree::List(
                [number(1), Tree::List([Tree::List([fixed(&id), fixed(&x)].to_vec())].to_vec())].to_vec(),
            );
            for place in [4, 5] {
                let bytes = root_by(&next_root().with(&[place], role.clone()), &[11, 12, 13]);
                set.add(Case::document(
                    "root",
                    ATTACK,
                    "TRUST_BAD_KEY",
                    format!("role {place}: {name} under {whose}"),
                    bytes,
                ));
            }
        }
    }
    for (name, id) in
        [("another key's id", kid(34)), ("an id of zeros", [0; 8]), ("an id of ones", [0xff; 8])]
    {
        let key = token_key(31, 1, None).with(&[1], fixed(&id));
        let tree = keyring_with([key].to_vec()).with(&[3], number(6));
        set.add(Case::document(
            "keyring",
            "mix_and_match",
            "TRUST_BAD_KEY",
            format!("a key under {name}"),
            keyring_by(&tree, &[21]),
        ));
        let bytes = root_by(&next_root().with(&[4, 1, 0, 0], fixed(&id)), &[11, 12, 13]);
        set.add(Case::document(
            "root",
            "mix_and_match",
            "TRUST_BAD_KEY",
            format!("a key under {name}"),
            bytes,
        ));
    }
}

fn lists_of_keys(set: &mut Set) {
    const ORDER: &str = "duplicate_and_non_canonical_encodings";
    let keyring = |keys: Vec<Tree>| keyring_by(&keyring_version(6).with(&[6], Tree::List(keys)), &[21]);
    let Tree::List(good) = in_order([token_key(31, 1, None), token_key(32, 1, None)].to_vec(), 1) else {
        panic!()
    };
    let backwards: Vec<Tree> = good.iter().rev().cloned().collect();
    let twice = [good[0].clone(), good[0].clone()].to_vec();
    let longer = [good[0].clone(), good[0].with(&[4], instant(ISSUED + 999 * DAY))].to_vec();
    for (name, keys) in [
        ("out of order", backwards),
        ("one key twice", twice),
        ("one key twice, the second time longer", longer),
    ] {
        set.add(Case::document("keyring", ORDER, "TRUST_KEY_ORDER", format!("keys: {name}"), keyring(keys)));
    }
    let many: Vec<Tree> = (100..229_u8).map(|seed| token_key(seed, 1, None)).collect();
    let many = keyring_by(&keyring_with(many).with(&[3], number(6)), &[21]);
    set.add(Case::document("keyring", "endless_data", "TRUST_MALFORMED", "keys: 129".into(), many));
    for (name, from, to) in [
        ("a second upside down", ISSUED, ISSUED - 1),
        ("a year upside down", ISSUED + 365 * DAY, ISSUED),
        ("from the end of time to 1970", 253_402_300_799, 0),
    ] {
        let key = token_key(31, 1, None).with(&[3], instant(from)).with(&[4], instant(to));
        set.add(Case::document(
            "keyring",
            "wrong_clock",
            "TRUST_KEY_WINDOW",
            format!("a window {name}"),
            keyring([key].to_vec()),
        ));
    }
    for place in [4, 5] {
        let Tree::List(parts) = role(1, &[12, 13]) else { panic!() };
        let Tree::List(keys) = &parts[1] else { panic!() };
        let root = |keys: Vec<Tree>| {
            let role = Tree::List([number(1), Tree::List(keys)].to_vec());
            root_by(&next_root().with(&[place], role), &[11, 12, 13])
        };
        for (name, keys) in [
            ("out of order", keys.iter().rev().cloned().collect::<Vec<_>>()),
            ("one key twice", [keys[0].clone(), keys[0].clone()].to_vec()),
            ("one key three times", [keys[0].clone(), keys[0].clone(), keys[0].clone()].to_vec()),
        ] {
            set.add(Case::document(
                "root",
                ORDER,
                "TRUST_KEY_ORDER",
                format!("role {place}: {name}"),
                root(keys),
            ));
        }
        let many = next_root().with(&[place], role(1, &(100..117).collect::<Vec<_>>()));
        set.add(Case::document(
            "root",
            "endless_data",
            "TRUST_MALFORMED",
            format!("role {place}: 17 keys"),
            root_by(&many, &[11, 12, 13]),
        ));
    }
}

fn thresholds(set: &mut Set) {
    for place in [4, 5] {
        for (threshold, seeds) in
            [(0, &[12, 13][..]), (3, &[12, 13]), (255, &[12, 13]), (2, &[12]), (1, &[]), (0, &[])]
        {
            let tree = next_root().with(&[place], role(threshold, seeds));
            let name = format!("role {place}: {threshold} of {}", seeds.len());
            set.add(Case::document(
                "root",
                THRESHOLD,
                "TRUST_THRESHOLD",
                name,
                root_by(&tree, &[11, 12, 13]),
            ));
        }
    }
}
