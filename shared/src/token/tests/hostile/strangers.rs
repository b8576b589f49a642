//! Too much, too deep, and things that are something else altogether.

use super::cbor::{head, list};
use super::containers::{BOMB, CONFUSION, ENDLESS};
use super::deployment::*;
use super::{Case, Set};
use crate::token::{KEYRING_TYPE, ROOT_TYPE};
use alloc::format;
use alloc::vec::Vec;

pub(super) fn add(set: &mut Set) {
    lengths(set);
    strangers(set);
}

fn lengths(set: &mut Set) {
    let padded = |to: usize| {
        let mut token = token(&claims_at(ISSUED + 60), 31);
        token.resize(to, 0);
        token
    };
    for (name, bytes) in [
        ("nothing", Vec::new()),
        ("a byte too long", padded(4097)),
        ("zeros", [0; 4097].to_vec()),
        ("a keyring's length", padded(16_384)),
    ] {
        set.add(Case::token(ENDLESS, "LENGTH", format!("length: {name}"), bytes));
    }
    set.add(Case::token(ENDLESS, "SHAPE", "length: as long as can be".into(), padded(4096)));
    // A payload as long as fits is looked at, and one item of it too much is not.
    let stuffed = signed(&header(31), &list(&[[0x00].as_slice(); 3_960].map(<[u8]>::to_vec)), 31);
    set.add(Case::token(BOMB, "CLAIMS_MALFORMED", "a list of 3960 zeros".into(), stuffed));
    for (what, good) in
        [("keyring", keyring_by(&keyring_version(6), &[21])), ("root", root_by(&next_root(), &[12, 13]))]
    {
        let mut padded = good.clone();
        padded.resize(16_385, 0);
        set.add(Case::document(what, ENDLESS, "TRUST_LENGTH", "length: nothing".into(), Vec::new()));
        set.add(Case::document(what, ENDLESS, "TRUST_LENGTH", "length: a byte too long".into(), padded));
    }
}

/// Things that are something else altogether.
fn strangers(set: &mut Set) {
    let deep = |head: &[u8], levels: usize| head.repeat(levels);
    for (name, attack, bytes) in [
        ("a zero byte", CONFUSION, [0].to_vec()),
        ("a break", CONFUSION, [0xff].to_vec()),
        ("JSON", CONFUSION, br#"{"state":"licensed","schedule":null}"#.to_vec()),
        ("a JWT", CONFUSION, b"eyJhbGciOiJub25lIn0.eyJzdGF0ZSI6ImxpY2Vuc2VkIn0.".to_vec()),
        ("text", CONFUSION, b"licensed".to_vec()),
        ("PEM", CONFUSION, b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_vec()),
        ("a DER sequence", CONFUSION, [0x30, 0x82, 0x01, 0x00, 0x02, 0x01, 0x00].to_vec()),
        ("lists 4000 deep", BOMB, deep(&[0x81], 4000)),
        ("maps 2000 deep", BOMB, deep(&[0xa1, 0x00], 2000)),
        ("tags 4000 deep", BOMB, deep(&[0xd2], 4000)),
        ("indefinite lists 4000 deep", BOMB, deep(&[0x9f], 4000)),
        ("a promise of 2^64 bytes", BOMB, head(2, u64::MAX)),
        ("a promise of 2^64 items", BOMB, head(4, u64::MAX)),
        ("a promise of 2^32 pairs", BOMB, head(5, u64::from(u32::MAX))),
        (
            "a token of such promises",
            BOMB,
            [&[0xd2, 0x84][..], &head(2, u64::MAX), &head(5, u64::MAX)].concat(),
        ),
    ] {
        set.add(Case::token(attack, "SHAPE", format!("stranger: {name}"), bytes.clone()));
        for what in ["keyring", "root"] {
            set.add(Case::document(what, attack, "TRUST_SHAPE", format!("stranger: {name}"), bytes.clone()));
        }
    }
    // Each kind of document in the place of each other.
    set.add(Case::token(CONFUSION, "SHAPE", "the keyring".into(), keyring_by(&keyring(), &[21])));
    set.add(Case::token(CONFUSION, "SHAPE", "the root".into(), root_by(&root(1), &[11, 12])));
    set.add(Case::document(
        "keyring",
        CONFUSION,
        "TRUST_CONTENT_TYPE",
        "the root".into(),
        root_by(&root(1), &[11, 12]),
    ));
    set.add(Case::document(
        "keyring",
        CONFUSION,
        "TRUST_CONTENT_TYPE",
        "the next root".into(),
        root_by(&next_root(), &[12, 13]),
    ));
    set.add(Case::document(
        "root",
        CONFUSION,
        "TRUST_CONTENT_TYPE",
        "the keyring".into(),
        keyring_by(&keyring(), &[21]),
    ));
    // Contents of one kind in the container and under the type of another, with signatures that fit.
    for (name, payload) in
        [("a keyring's content", keyring_version(6).encode()), ("a root's content", next_root().encode())]
    {
        set.add(Case::token(CONFUSION, "CLAIMS_MALFORMED", name.into(), signed(&header(31), &payload, 31)));
    }
    for (name, payload) in [("claims", claims().encode()), ("a root's content", next_root().encode())] {
        set.add(Case::document(
            "keyring",
            CONFUSION,
            "TRUST_MALFORMED",
            name.into(),
            document(KEYRING_TYPE, &payload, &[21]),
        ));
    }
    let of_keyring = document(ROOT_TYPE, &keyring_version(6).encode(), &[12, 13]);
    let name = "a keyring's content".into();
    set.add(Case::document("root", CONFUSION, "TRUST_MALFORMED", name, of_keyring));
}
