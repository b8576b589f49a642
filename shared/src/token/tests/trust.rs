//! Roots and keyrings: who may say who may sign (token §3), and the attacks on that.

use super::support::*;
use crate::time::DAY_SECS;
use crate::token::*;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// The root after the usual one, with one root key and both keyring keys replaced.
fn next_root() -> RootDocument {
    RootDocument { version: 2, root: role(2, &[12, 13, 14]), keyring: role(1, &[23]), ..root_document() }
}

fn signed_keyring(document: &KeyringDocument, seeds: &[u8]) -> Vec<u8> {
    sign_document(&document.unsigned().unwrap(), seeds)
}

#[test]
fn a_root_is_followed_by_the_next_signed_by_both() {
    let next = sign_document(&next_root().unsigned(), &[11, 12, 13]);
    let updated = root().update(&next).unwrap();
    assert_eq!((updated.version(), updated.document()), (2, &next_root()));
    // Stored and opened again, it is the same.
    assert_eq!(Root::pinned(updated.bytes()).unwrap(), updated);
}

#[test]
fn root_takeover_below_threshold() {
    let next = next_root().unsigned();
    let update = |seeds: &[u8]| root().update(&sign_document(&next, seeds)).map(|root| root.version());
    // 11 is only in the old root, 14 only in the new, 12 and 13 in both; each root asks for two.
    for (seeds, verdict) in [
        (&[12, 13][..], Ok(2)),
        (&[11, 12, 14], Ok(2)),
        (&[14], Err(TrustRefusal::TooFewSignatures)),
        (&[12], Err(TrustRefusal::TooFewSignatures)),
        (&[12, 14], Err(TrustRefusal::TooFewSignatures)),
        (&[11, 12], Err(TrustRefusal::TooFewSignatures)),
        (&[91, 92, 93], Err(TrustRefusal::TooFewSignatures)),
        // The keyring's keys are not the root's.
        (&[21, 22, 23], Err(TrustRefusal::TooFewSignatures)),
    ] {
        assert_eq!(update(seeds), verdict, "{seeds:?}");
    }
}

#[test]
fn one_key_signing_twice_counts_once() {
    let bytes = sign_document(&next_root().unsigned(), &[12, 13]);
    // The container of one signature, repeated: the ids no longer ascend.
    let once = sign_document(&next_root().unsigned(), &[12]);
    let signature = &once[once.len() - 82..];
    assert!(signature.starts_with(&[0x83, 0x4d, 0xa2]));
    let two = bytes.len() - 2 * 82 - 1;
    assert_eq!(bytes[two], 0x82);
    let twice = [&bytes[..=two], signature, signature].concat();
    assert_eq!(root().update(&twice).unwrap_err(), TrustRefusal::Shape);
    // Nor can one key be listed twice to fill a threshold.
    assert_eq!(Role::new(2, [public(11), public(11)].to_vec()), Err(TrustRefusal::KeyOrder));
}

#[test]
fn a_keyring_changes_keys_without_the_root() {
    let held = keyring();
    let rotated = KeyringDocument { version: 6, keys: [token_key(34)].to_vec(), ..keyring_document() };
    // Either of the two keyring keys is enough.
    for seeds in [&[21][..], &[22], &[21, 22]] {
        let newer = Keyring::verify(&signed_keyring(&rotated, seeds), &root(), Some(&held)).unwrap();
        assert_eq!((newer.version(), newer.step()), (6, KeyringStep::Newer));
        assert!(newer.key(public(34).kid()).is_some() && newer.key(public(31).kid()).is_none());
        assert_eq!(newer.resets_floor_to(), None);
    }
    // The same content by the other key is no news.
    let again = Keyring::verify(&signed_keyring(&keyring_document(), &[22]), &root(), Some(&held)).unwrap();
    assert_eq!(again.step(), KeyringStep::Unchanged);
}

#[test]
fn stolen_keyring_key_is_replaced() {
    // The thief signs a keyring with his own token key, of the highest version and epoch there is.
    let stolen = KeyringDocument {
        version: u64::MAX,
        min_epoch: u64::MAX,
        issued_at: at(ISSUED_SECS + 300 * DAY_SECS),
        keys: [token_key(66)].to_vec(),
        ..keyring_document()
    };
    let stolen = Keyring::verify(&signed_keyring(&stolen, &[21]), &root(), Some(&keyring())).unwrap();
    assert_eq!(stolen.step(), KeyringStep::EpochRaised);
    // Root 2 names another keyring key. What the thief signed no longer holds anything up.
    let root = root().update(&sign_document(&next_root().unsigned(), &[12, 13])).unwrap();
    let healed = KeyringDocument { version: 7, min_epoch: 2, ..keyring_document() };
    let healed = Keyring::verify(&signed_keyring(&healed, &[23]), &root, Some(&stolen)).unwrap();
    assert_eq!(healed.step(), KeyringStep::Restarted);
    assert_eq!(healed.resets_floor_to(), Some(keyring_document().issued_at));
    // A mark reached in the thief's epoch is forgotten, one from before stays.
    assert!(healed.forgets(TokenVersion { epoch: u64::MAX, seq: 0 }));
    assert!(!healed.forgets(TokenVersion { epoch: 1, seq: 7 }));
    // And his keyrings are worth nothing from now on.
    assert_eq!(
        Keyring::verify(stolen.bytes(), &root, Some(&healed)).unwrap_err(),
        TrustRefusal::TooFewSignatures
    );
}

#[test]
fn a_raised_epoch_resets_the_time_floor() {
    let raised = KeyringDocument { version: 6, min_epoch: 2, ..keyring_document() };
    let raised = Keyring::verify(&signed_keyring(&raised, &[21]), &root(), Some(&keyring())).unwrap();
    assert_eq!(raised.step(), KeyringStep::EpochRaised);
    assert_eq!(raised.resets_floor_to(), Some(raised.issued_at()));
    assert!(!raised.forgets(TokenVersion { epoch: 1, seq: u64::MAX }), "it is below the new epoch anyway");
}

#[test]
fn a_use_from_the_future_does_not_spoil_a_keyring() {
    let keyring = keyring();
    assert_eq!(keyring.key(public(33).kid()).unwrap().key_use.number(), 2);
    assert_eq!(keyring.document(), &{
        let mut document = keyring_document();
        document.keys.sort_by_key(|key| key.key.kid());
        document
    });
}

#[test]
fn every_refusal_of_a_root_or_keyring_has_its_cause() {
    use TrustRefusal as R;
    let held = keyring();
    let keyring = |bytes: &[u8]| Keyring::verify(bytes, &root(), Some(&held)).err();
    let update = |bytes: &[u8]| root().update(bytes).err();
    let edited = |from: &[u8], to: &[u8]| replace(held.bytes(), from, to);
    // Edits of the payload come before the signature is looked at, so they need no key.
    let kid = public(31).kid();
    let entry = [&[0x01, 0x48][..], kid.as_bytes(), &[0x02, 0x58, 0x20], public(31).as_bytes()].concat();
    let weak = [&[0x01, 0x48][..], kid.as_bytes(), &[0x02, 0x58, 0x20], &[0; 32]].concat();
    let other_key = [&[0x01, 0x48][..], kid.as_bytes(), &[0x02, 0x58, 0x20], public(34).as_bytes()].concat();
    let mut upside_down = keyring_document();
    upside_down.keys[0].not_after_at = at(1);
    let mut twice = keyring_document();
    twice.keys.push(token_key(31));
    let mut bad_signature = held.bytes().to_vec();
    *bad_signature.last_mut().unwrap() ^= 1;
    let elsewhere =
        KeyringDocument { trust_domain: "other.example.com".parse().unwrap(), ..keyring_document() };
    let third_root = RootDocument { version: 3, ..next_root() };
    let signed = |document: &KeyringDocument| signed_keyring(document, &[21]);
    let table = [
        (R::Length, keyring(&[])),
        (R::Length, keyring(&[0xd8; MAX_DOCUMENT_BYTES + 1])),
        (R::Shape, keyring(&token())),
        (R::Shape, keyring(&[held.bytes(), &[0]].concat())),
        (R::Header, keyring(&edited(&[0xa2, 0x01, 0x32], &[0xa2, 0x01, 0x27]))),
        (R::ContentType, keyring(root().bytes())),
        (R::ContentType, update(held.bytes())),
        (R::Encoding, keyring(&edited(&[0xa6, 0x01, 0x01], &[0xa6, 0x02, 0x01]))),
        (R::Malformed, keyring(&edited(&[0x05, 0x01, 0x06, 0x83], &[0x05, 0x20, 0x06, 0x83]))),
        (R::ProfileVersion, keyring(&edited(&[0xa6, 0x01, 0x01], &[0xa6, 0x01, 0x02]))),
        (R::BadKey, keyring(&edited(&entry, &weak))),
        (R::BadKey, keyring(&edited(&entry, &other_key))),
        (R::KeyOrder, twice.unsigned().err()),
        (R::Threshold, Role::new(0, [public(11)].to_vec()).err()),
        (R::Threshold, Role::new(2, [public(11)].to_vec()).err()),
        (R::Threshold, Role::new(1, Vec::new()).err()),
        (R::KeyWindow, upside_down.unsigned().err()),
        (R::WrongTrustDomain, keyring(&signed(&elsewhere))),
        (R::NotNext, update(&sign_document(&third_root.unsigned(), &[12, 13]))),
        (R::NotNext, update(root().bytes())),
        (R::Signature, keyring(&bad_signature)),
        (R::TooFewSignatures, keyring(&signed_keyring(&keyring_document(), &[11, 12, 13]))),
        (R::Rollback, keyring(&signed(&KeyringDocument { version: 4, ..keyring_document() }))),
        (R::Equivocation, keyring(&signed(&KeyringDocument { keys: Vec::new(), ..keyring_document() }))),
        (
            R::EpochLowered,
            keyring(&signed(&KeyringDocument { version: 6, min_epoch: 0, ..keyring_document() })),
        ),
    ];
    for (refusal, verdict) in &table {
        assert_eq!(*verdict, Some(*refusal));
    }
    let provoked: BTreeSet<R> = table.iter().map(|(refusal, _)| *refusal).collect();
    assert_eq!(provoked, R::ALL.iter().copied().collect::<BTreeSet<_>>());
}

#[test]
fn false_alarm_of_equivocation() {
    // Another keyring of the same version, by someone without a keyring key, is not an alarm but just unsigned.
    let other = KeyringDocument { keys: Vec::new(), ..keyring_document() };
    let verdict = Keyring::verify(&signed_keyring(&other, &[91]), &root(), Some(&keyring()));
    assert_eq!(verdict.unwrap_err(), TrustRefusal::TooFewSignatures);
}

#[test]
fn the_largest_documents_fit() {
    let keys = (0..u8::try_from(MAX_KEYRING_KEYS).unwrap())
        .map(|seed| TokenKey {
            organization: Some(ORGANIZATION),
            key_use: KeyUse::from_number(u16::MAX),
            not_before_at: crate::time::Timestamp::MAX,
            not_after_at: crate::time::Timestamp::MAX,
            ..token_key(seed)
        })
        .collect();
    let largest = KeyringDocument { keys, ..keyring_document() };
    assert!(signed_keyring(&largest, &[21, 22]).len() <= MAX_DOCUMENT_BYTES);
    let full = |from: u8| role(16, &(from..from + 16).collect::<Vec<_>>());
    let largest = RootDocument { root: full(40), keyring: full(60), ..root_document() };
    let bytes = sign_document(&largest.unsigned(), &(40..72).collect::<Vec<_>>());
    assert!(bytes.len() <= MAX_DOCUMENT_BYTES);
    assert!(Root::pinned(&bytes).is_ok());
}
