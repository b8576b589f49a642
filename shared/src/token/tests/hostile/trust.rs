//! Keyrings and roots that are whole and still not to be believed: by whom they are signed, of which version they are.

use super::cbor::{Kind, Tree, bytes, list, map};
use super::deployment::*;
use super::{Case, Set};
use crate::token::tests::support::secret;
use crate::token::{KEYRING_TYPE, ROOT_TYPE};
use alloc::format;
use alloc::vec::Vec;
use ed25519_dalek::Signer;

const THRESHOLD: &str = "root_takeover_below_threshold";

pub(super) fn add(set: &mut Set) {
    signatures(set);
    takeovers(set);
    versions(set);
    deployments(set);
}

/// Signatures that do not fit, by keys that would count.
fn signatures(set: &mut Set) {
    for (what, typ, payload, good, bad) in [
        ("keyring", KEYRING_TYPE, keyring_version(6).encode(), &[][..], 21),
        ("keyring", KEYRING_TYPE, keyring_version(6).encode(), &[22], 21),
        ("root", ROOT_TYPE, next_root().encode(), &[12], 13),
        ("root", ROOT_TYPE, next_root().encode(), &[12, 13], 11),
    ] {
        let body = document_header(typ);
        let own = signer_header(&kid(bad));
        let by = |message: &[u8]| secret(bad).sign(message).to_bytes();
        let right = by(&signature(&body, &own, &payload));
        let mut flipped = right;
        flipped[0] ^= 1;
        let mut high = right;
        high[63] |= 0xe0;
        let other = if typ == ROOT_TYPE { KEYRING_TYPE } else { ROOT_TYPE };
        for (name, attack, signature) in [
            ("of zeros", "forged", [0; 64]),
            ("flipped", "forged", flipped),
            ("with a high S", "signature_malleability_and_small_order_keys", high),
            ("by another key", "forged", secret(99).sign(&signature(&body, &own, &payload)).to_bytes()),
            ("over another content", "mix_and_match", by(&signature(&body, &own, &keyring().encode()))),
            ("over the content alone", "forged", by(&payload)),
            ("made as of a COSE_Sign1", "type_confusion", by(&signature1(&body, &payload))),
            (
                "made under the other type",
                "type_confusion",
                by(&signature(&document_header(other), &own, &payload)),
            ),
            (
                "made for another signer",
                "mix_and_match",
                by(&signature(&body, &signer_header(&kid(99)), &payload)),
            ),
        ] {
            let mut signers: Vec<(u8, Vec<u8>)> =
                good.iter().map(|seed| (*seed, signer(&body, &payload, *seed))).collect();
            signers.push((bad, list(&[bytes(&own), map(&[]), bytes(&signature)])));
            signers.sort_by_key(|(seed, _)| kid(*seed));
            let signers: Vec<Vec<u8>> = signers.into_iter().map(|(_, signer)| signer).collect();
            let name = format!("beside {} good signature(s), one {name}", good.len());
            set.add(Case::document(what, attack, "TRUST_SIGNATURE", name, sign(&body, &payload, &signers)));
        }
    }
    // Content changed behind the signers' backs.
    for (what, typ, before, seeds, changes) in [
        (
            "keyring",
            KEYRING_TYPE,
            keyring_version(6),
            &[21][..],
            [
                ("another version", keyring_version(7)),
                ("a higher epoch", keyring_version(6).with(&[5], number(9))),
                ("another instant", keyring_version(6).with(&[4], instant(ISSUED + DAY))),
                ("no keys", keyring_version(6).with(&[6], Tree::List(Vec::new()))),
                (
                    "a key of the attacker's",
                    keyring_with([token_key(99, 1, None)].to_vec()).with(&[3], number(6)),
                ),
            ],
        ),
        (
            "root",
            ROOT_TYPE,
            next_root(),
            &[12, 13],
            [
                ("root keys one of which is the attacker's", next_root().with(&[4], role(2, &[12, 13, 99]))),
                ("a threshold of one", next_root().with(&[4], role(1, &[12, 13, 14]))),
                ("a keyring key of the attacker's", next_root().with(&[5], role(1, &[99]))),
                ("two keyring keys", next_root().with(&[5], role(1, &[23, 24]))),
                ("the keyring keys of before", next_root().with(&[5], role(1, &[21, 22]))),
            ],
        ),
    ] {
        for (name, after) in changes {
            let signed = document(typ, &before.encode(), seeds);
            let behind =
                signed[signed.len() - 82 * seeds.len()..].chunks(82).map(<[u8]>::to_vec).collect::<Vec<_>>();
            let bytes = sign(&document_header(typ), &after.encode(), &behind);
            set.add(Case::document(what, "forged", "TRUST_SIGNATURE", format!("changed: {name}"), bytes));
        }
    }
}

/// Too few of the right keys.
fn takeovers(set: &mut Set) {
    const FEW: &str = "TRUST_TOO_FEW_SIGNATURES";
    // 11 is only in root 1, 14 only in root 2, 12 and 13 in both; each asks for two.
    for seeds in [
        &[11][..],
        &[12],
        &[13],
        &[14],
        &[11, 12],
        &[11, 13],
        &[11, 14],
        &[12, 14],
        &[13, 14],
        &[21, 22],
        &[21, 22, 23],
        &[31, 32, 33],
        &[91, 92, 93],
        &[12, 91, 92],
    ] {
        set.add(Case::document(
            "root",
            THRESHOLD,
            FEW,
            format!("root 2 signed by {seeds:?}"),
            root_by(&next_root(), seeds),
        ));
    }
    let mine = root(2).with(&[4], role(1, &[99])).with(&[5], role(1, &[98]));
    for seeds in [&[99][..], &[98, 99], &[12, 99], &[11, 99], &[21, 99], &[31, 99]] {
        set.add(Case::document(
            "root",
            THRESHOLD,
            FEW,
            format!("a root of the attacker's signed by {seeds:?}"),
            root_by(&mine, seeds),
        ));
    }
    let full = root(2).with(&[4], role(2, &[11, 98, 99]));
    for seeds in [&[98, 99][..], &[11, 99], &[11]] {
        set.add(Case::document(
            "root",
            THRESHOLD,
            FEW,
            format!("a root that adds two keys, signed by {seeds:?}"),
            root_by(&full, seeds),
        ));
    }
    // 23 and 24 are keyring keys of roots to come; 20 is one that was stolen and replaced.
    for seeds in [&[11][..], &[11, 12, 13], &[31], &[31, 32, 33], &[91], &[91, 92]] {
        set.add(Case::document(
            "keyring",
            "forged",
            FEW,
            format!("signed by {seeds:?}"),
            keyring_by(&keyring_version(6), seeds),
        ));
    }
    for version in [5, 6, 1_000, u64::MAX] {
        for seeds in [&[20][..], &[23], &[20, 23, 24]] {
            let tree = keyring_version(version).with(&[5], number(version));
            let name = format!("version {version} signed by {seeds:?}, no keyring keys of this root");
            set.add(Case::document(
                "keyring",
                "stolen_keyring_key_is_replaced",
                FEW,
                name,
                keyring_by(&tree, seeds),
            ));
        }
    }
}

fn versions(set: &mut Set) {
    for version in [0, 1, 4] {
        for seeds in [&[21][..], &[22], &[21, 22]] {
            let name = format!("version {version} signed by {seeds:?}");
            set.add(Case::document(
                "keyring",
                "rollback",
                "TRUST_ROLLBACK",
                name,
                keyring_by(&keyring_version(version), seeds),
            ));
        }
        let raised = keyring_version(version).with(&[5], number(9));
        set.add(Case::document(
            "keyring",
            "rollback",
            "TRUST_ROLLBACK",
            format!("version {version} of a higher epoch"),
            keyring_by(&raised, &[21]),
        ));
        let revived = keyring_with([token_key(31, 1, None), token_key(35, 1, None)].to_vec())
            .with(&[3], number(version));
        set.add(Case::document(
            "keyring",
            "revoked_key",
            "TRUST_ROLLBACK",
            format!("version {version}, which lists a revoked key"),
            keyring_by(&revived, &[21]),
        ));
        set.add(Case::document(
            "keyring",
            "freeze",
            "TRUST_ROLLBACK",
            format!("version {version} of an earlier instant"),
            keyring_by(&keyring_version(version).with(&[4], instant(ISSUED - 99 * DAY)), &[22]),
        ));
    }
    for (name, other) in [
        ("another instant", keyring().with(&[4], instant(ISSUED))),
        ("a higher epoch", keyring().with(&[5], number(2))),
        ("a lower epoch", keyring().with(&[5], number(0))),
        ("no keys", keyring().with(&[6], Tree::List(Vec::new()))),
        (
            "a key more",
            keyring_with(
                [
                    token_key(31, 1, None),
                    token_key(32, 1, Some([9; 16])),
                    token_key(33, 2, None),
                    token_key(35, 1, None),
                ]
                .to_vec(),
            ),
        ),
        ("a key less", keyring_with([token_key(31, 1, None), token_key(33, 2, None)].to_vec())),
        (
            "a key lent to nobody",
            keyring_with([token_key(31, 1, None), token_key(32, 1, None), token_key(33, 2, None)].to_vec()),
        ),
        (
            "a key of another use",
            keyring_with(
                [token_key(31, 1, None), token_key(32, 1, Some([9; 16])), token_key(33, 1, None)].to_vec(),
            ),
        ),
    ] {
        for (seeds, attack) in [(&[21][..], "equivocation"), (&[22], "two_clouds_at_once")] {
            set.add(Case::document(
                "keyring",
                attack,
                "TRUST_EQUIVOCATION",
                format!("the version held with {name}, signed by {seeds:?}"),
                keyring_by(&other, seeds),
            ));
        }
    }
    for version in [6, 7, 1_000, u64::MAX] {
        for seeds in [&[21][..], &[22]] {
            let lowered = keyring_version(version).with(&[5], number(0));
            set.add(Case::document(
                "keyring",
                "rollback",
                "TRUST_EPOCH_LOWERED",
                format!("version {version} of epoch 0 by {seeds:?}"),
                keyring_by(&lowered, seeds),
            ));
        }
    }
    for version in [1, 3, 4, 100, u64::MAX] {
        for seeds in [&[12, 13][..], &[11, 12, 13]] {
            let tree = next_root().with(&[3], Tree::Uint(version, Kind::Number));
            let attack = if version > 1 { "fast_forward" } else { "rollback" };
            set.add(Case::document(
                "root",
                attack,
                "TRUST_NOT_NEXT",
                format!("version {version} signed by {seeds:?}"),
                root_by(&tree, seeds),
            ));
        }
    }
    set.add(Case::document(
        "root",
        "freeze",
        "TRUST_NOT_NEXT",
        "the root held".into(),
        root_by(&root(1), &[11, 12]),
    ));
}

fn deployments(set: &mut Set) {
    for name in
        ["other.example.com", "licenses.example.org", "licenses.example.co", "licenses.example.com.", "test"]
    {
        let attack = "cross_deployment_replay";
        let tree = keyring_version(6).with(&[2], domain(name));
        set.add(Case::document(
            "keyring",
            attack,
            "TRUST_WRONG_TRUST_DOMAIN",
            format!("of deployment {name}"),
            keyring_by(&tree, &[21]),
        ));
        let tree = next_root().with(&[2], domain(name));
        set.add(Case::document(
            "root",
            attack,
            "TRUST_WRONG_TRUST_DOMAIN",
            format!("of deployment {name}"),
            root_by(&tree, &[12, 13]),
        ));
    }
}
