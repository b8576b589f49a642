//! What is fuzzed: one function for each kind of bytes that come from outside, with what must hold for all of them.
//!
//! **Problem.** A fuzzer that only looks for panics never gets behind a signature or a checksum. **Method.** Every
//! function takes its bytes twice: as they come, and as the content of a container that is signed or summed as it
//! should be. Whatever is accepted must have exactly one spelling: it is encoded again and compared. The same functions
//! run under libFuzzer (`fuzz_targets`) and over the committed corpora on stable (`replay.rs`), so a finding stays found.

#![allow(dead_code)] // each target uses one function
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // all of it is a test

use coterm_shared::enforcement::Record;
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::platform::code::KeyCode;
use coterm_shared::protocol::{Report, Request, Topic};
use coterm_shared::time::Timestamp;
use coterm_shared::token::{
    Expected, Held, KEYRING_TYPE, KeyUse, Keyring, KeyringDocument, MAX_DOCUMENT_BYTES, Nonce, PublicKey,
    ROOT_TYPE, Role, Root, RootDocument, TOKEN_TYPE, TokenKey, TokenRefusal, TokenVersion, TrustDomain,
    TrustRefusal, Unsigned, UnsignedDocument, reopen_stored, verify_token,
};
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};
use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::sync::OnceLock;

/// The deployment of the hostile set, so that its messages are good seeds.
struct Deployment {
    expected: Expected,
    root: Root,
    keyring: Keyring,
}

/// The keys of all seeds in use; making one costs more than everything else here.
fn keys(seed: u8) -> &'static (SigningKey, PublicKey) {
    static KEYS: OnceLock<Vec<(SigningKey, PublicKey)>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        (0..40)
            .map(|seed| {
                let secret = SigningKey::from_bytes(&[seed; 32]);
                let public = PublicKey::from_bytes(secret.verifying_key().as_bytes()).unwrap();
                (secret, public)
            })
            .collect()
    });
    &keys[usize::from(seed)]
}

fn secret(seed: u8) -> &'static SigningKey {
    &keys(seed).0
}

fn public(seed: u8) -> PublicKey {
    keys(seed).1.clone()
}

/// Whether it is worth a signature: what is no map is refused by its first byte, and short things show that.
fn worth_signing(content: &[u8]) -> bool {
    content.len() <= 4 || matches!(content.first(), Some(0xa0..=0xbb))
}

fn deployment() -> &'static Deployment {
    static DEPLOYMENT: OnceLock<Deployment> = OnceLock::new();
    DEPLOYMENT.get_or_init(|| {
        let trust_domain: TrustDomain = "licenses.example.com".parse().unwrap();
        let role = |threshold, seeds: &[u8]| {
            Role::new(threshold, seeds.iter().map(|seed| public(*seed)).collect()).unwrap()
        };
        let root = RootDocument {
            trust_domain: trust_domain.clone(),
            version: 1,
            root: role(2, &[11, 12, 13]),
            keyring: role(1, &[21, 22]),
        };
        let root = Root::pinned(&attach(&root.unsigned(), &[11, 12])).unwrap();
        let at = |secs| Timestamp::from_secs(secs).unwrap();
        let key = |seed, key_use, organization: Option<[u8; 16]>| TokenKey {
            key: public(seed),
            not_before_at: at(1_799_136_000),
            not_after_at: at(1_801_728_000),
            key_use: KeyUse::from_number(key_use),
            organization: organization.map(OrganizationId::from_bytes),
        };
        let keyring = KeyringDocument {
            trust_domain: trust_domain.clone(),
            version: 5,
            issued_at: at(1_799_913_600),
            min_epoch: 1,
            keys: vec![key(31, 1, None), key(32, 1, Some([9; 16])), key(33, 2, None)],
        };
        let keyring = Keyring::verify(&attach(&keyring.unsigned().unwrap(), &[21]), &root, None).unwrap();
        let device = "dev_0190163d8694739b912b7ac7e1d8a5f1".parse().unwrap();
        let organization = OrganizationId::from_bytes([1; 16]);
        Deployment { expected: Expected { trust_domain, device, organization }, root, keyring }
    })
}

fn attach(unsigned: &UnsignedDocument, seeds: &[u8]) -> Vec<u8> {
    let signed = seeds.iter().map(|seed| {
        let kid = public(*seed).kid();
        (kid, secret(*seed).sign(&unsigned.to_be_signed(kid)).to_bytes())
    });
    unsigned.attach(&signed.collect::<Vec<_>>())
}

/// A CBOR head: byte strings are major type 2, texts 3, lists 4.
fn head(major: u8, length: usize) -> Vec<u8> {
    match u16::try_from(length) {
        Ok(short @ 0..=23) => vec![major << 5 | short.to_be_bytes()[1]],
        Ok(byte @ 24..=255) => vec![major << 5 | 24, byte.to_be_bytes()[1]],
        Ok(word) => [&[major << 5 | 25], &word.to_be_bytes()[..]].concat(),
        Err(_) => [&[major << 5 | 26], &u32::try_from(length).unwrap().to_be_bytes()[..]].concat(),
    }
}

fn bytes(content: &[u8]) -> Vec<u8> {
    [&head(2, content.len()), content].concat()
}

fn text(content: &str) -> Vec<u8> {
    [&head(3, content.len()), content.as_bytes()].concat()
}

/// A token with this header and these claims, well signed by token key 31.
fn signed_token(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let message = [vec![0x84], text("Signature1"), bytes(protected), bytes(&[]), bytes(payload)].concat();
    let signature = secret(31).sign(&message).to_bytes();
    [vec![0xd2, 0x84], bytes(protected), vec![0xa0], bytes(payload), bytes(&signature)].concat()
}

fn token_header() -> Vec<u8> {
    [&[0xa3, 0x01, 0x32, 0x04][..], &bytes(public(31).kid().as_bytes()), &[0x10], &text(TOKEN_TYPE)].concat()
}

/// A keyring or root with this content, well signed.
fn signed_document(typ: &str, payload: &[u8], seeds: &[u8]) -> Vec<u8> {
    let mut seeds = seeds.to_vec();
    seeds.sort_by_key(|seed| public(*seed).kid());
    let body = [&[0xa1, 0x10][..], &text(typ)].concat();
    let signers = seeds.iter().map(|seed| {
        let own = [&[0xa2, 0x01, 0x32, 0x04][..], &bytes(public(*seed).kid().as_bytes())].concat();
        let message = [vec![0x85], text("Signature"), bytes(&body), bytes(&own), bytes(&[]), bytes(payload)];
        let signature = secret(*seed).sign(&message.concat()).to_bytes();
        [vec![0x83], bytes(&own), vec![0xa0], bytes(&signature)].concat()
    });
    let signers = signers.collect::<Vec<_>>().concat();
    [vec![0xd8, 98, 0x84], bytes(&body), vec![0xa0], bytes(payload), head(4, seeds.len()), signers].concat()
}

/// Bytes on a device's token topic.
pub(crate) fn token(data: &[u8]) {
    let Deployment { expected, keyring, .. } = deployment();
    // As they come: only who holds the key makes a token. (Seeds of it are among the corpora.)
    if let Ok(accepted) = verify_token(data, keyring, expected, None, None) {
        let claims = accepted.token().claims();
        let unsigned = Unsigned::token(claims, accepted.token().kid()).unwrap();
        assert_eq!(unsigned.attach(secret(31).sign(unsigned.to_be_signed()).to_bytes()), data);
    }
    if !worth_signing(data) {
        return;
    }
    // As claims behind a good signature: an issuer gone wrong, or a stolen key.
    let signed = signed_token(&token_header(), data);
    match verify_token(&signed, keyring, expected, None, None) {
        Err(refusal) => assert!(refusal.step() >= 6 || refusal == TokenRefusal::Length, "{refusal:?}"),
        Ok(accepted) => {
            let token = accepted.token();
            let unsigned = Unsigned::token(token.claims(), token.kid()).expect("the cloud could issue it");
            assert_eq!(unsigned.attach(secret(31).sign(unsigned.to_be_signed()).to_bytes()), signed);
            assert_eq!(reopen_stored(&signed, keyring, expected).unwrap().held(), token.held());
            let held: Held = token.held();
            assert!(verify_token(&signed, keyring, expected, Some(&held), None).is_ok(), "a duplicate");
        }
    }
    // As a protected header.
    if data.len() > 128 {
        return;
    }
    let refused = verify_token(&signed_token(data, &[0xa0]), keyring, expected, None, None).unwrap_err();
    assert_eq!(refused == TokenRefusal::ClaimsMalformed, data == token_header(), "{refused:?}");
}

/// Bytes on the keyring's topic.
pub(crate) fn keyring(data: &[u8]) {
    let Deployment { root, keyring: held, .. } = deployment();
    for before in [None, Some(held)] {
        if let Ok(keyring) = Keyring::verify(data, root, before) {
            assert!(keyring.document().unsigned().is_ok());
            assert!(before.is_none_or(|held| keyring.version() >= held.version()));
        }
    }
    if !worth_signing(data) {
        return;
    }
    let signed = signed_document(KEYRING_TYPE, data, &[21]);
    match Keyring::verify(&signed, root, None) {
        Err(refusal) => assert!(refusal.step() >= 4 || signed.len() > MAX_DOCUMENT_BYTES, "{refusal:?}"),
        Ok(keyring) => {
            assert_eq!(attach(&keyring.document().unsigned().unwrap(), &[21]), signed, "one spelling");
            for key in keyring.keys() {
                assert_eq!(keyring.key(key.key.kid()), Some(key));
            }
            match Keyring::verify(&signed, root, Some(held)) {
                Ok(newer) => {
                    assert!(newer.version() >= held.version() && newer.min_epoch() >= held.min_epoch())
                }
                Err(refusal) => assert_eq!(refusal.step(), 8, "{refusal:?}"),
            }
        }
    }
}

/// Bytes on a root's topic, and the root file of an enrolment.
pub(crate) fn root(data: &[u8]) {
    let Deployment { root, .. } = deployment();
    for believed in [Root::pinned(data), root.update(data)].into_iter().flatten() {
        assert_eq!(believed.bytes(), data);
    }
    if !worth_signing(data) {
        return;
    }
    let signed = signed_document(ROOT_TYPE, data, &[11, 12, 13]);
    match Root::pinned(&signed) {
        Err(refusal) => assert!(refusal.step() >= 4 || signed.len() > MAX_DOCUMENT_BYTES, "{refusal:?}"),
        Ok(pinned) => {
            assert_eq!(attach(&pinned.document().unsigned(), &[11, 12, 13]), signed, "one spelling");
            for role in [&pinned.document().root, &pinned.document().keyring] {
                assert!((1..=role.keys().len()).contains(&usize::from(role.threshold())));
            }
            match root.update(&signed) {
                Ok(next) => assert_eq!((next.version(), next.trust_domain()), (2, root.trust_domain())),
                Err(refusal) => assert!(
                    [TrustRefusal::NotNext, TrustRefusal::WrongTrustDomain].contains(&refusal),
                    "{refusal:?}"
                ),
            }
        }
    }
}

/// The record in an agent's state file.
pub(crate) fn record(data: &[u8]) {
    let summed = [&b"COTERM\0\x01"[..], data].concat();
    let check = Sha256::digest(&summed);
    for bytes in [data, &[&summed[..], &check].concat()] {
        if let Ok(record) = Record::decode(bytes) {
            assert_eq!(record.encode().unwrap(), bytes, "one spelling");
        }
    }
}

/// A device's report or request, and the topic it came on.
pub(crate) fn message(data: &[u8]) {
    match Report::parse(data) {
        Ok(report) => {
            let again = Report::parse(&report.to_payload().expect("what was read can be written")).unwrap();
            assert_eq!(again, report);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(request) = Request::parse(data) {
        assert_eq!(Request::parse(&request.to_payload().unwrap()).unwrap(), request);
    }
    if let Ok(text) = core::str::from_utf8(data) {
        one_spelling::<Topic>(text);
    }
}

/// What people type and configuration files say.
pub(crate) fn text_of_people(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(code) = KeyCode::parse(text) {
        let printed = code.reveal();
        let again = KeyCode::parse(&printed).unwrap();
        assert_eq!((again.reveal(), again.hash()), (printed.clone(), code.hash()));
        assert!(format!("{code:?}").starts_with("*****-*****-*****-*****-"), "a code is a secret");
    }
    one_spelling::<TrustDomain>(text);
    one_spelling::<TokenVersion>(text);
    one_spelling::<Nonce>(text);
    one_spelling::<DeviceId>(text);
    one_spelling::<OrganizationId>(text);
    if let Ok(instant) = text.parse::<Timestamp>() {
        assert_eq!(instant.to_string().parse::<Timestamp>().ok(), Some(instant));
    }
}

/// What parses prints as it was written.
fn one_spelling<T: FromStr + Display + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}
