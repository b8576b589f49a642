//! Committed bytes of a token, a root and a keyring made from fixed seeds: the format cannot drift unseen.

use super::support::*;
use crate::token::*;
use alloc::vec::Vec;

pub(super) const TOKEN: &str = include_str!("../../../vectors/coterm/token.hex");
const ROOT: &str = include_str!("../../../vectors/coterm/root.hex");
const KEYRING: &str = include_str!("../../../vectors/coterm/keyring.hex");
/// A token with the usual claims made by the Python package `cwt`; see `vectors/ORIGIN.md`.
const PEER: &str = include_str!("../../../vectors/coterm/token-by-python-cwt.hex");

fn check(name: &str, committed: &str, made: &[u8]) {
    assert!(unhex(committed) == made, "{name}.hex should be\n{}", hex(made));
}

#[test]
fn the_formats_are_the_committed_ones_bit_for_bit() {
    check("root", ROOT, root().bytes());
    check("keyring", KEYRING, keyring().bytes());
    check("token", TOKEN, &token());
}

#[test]
fn committed_bytes_decode_and_encode_again_bit_for_bit() {
    let root = Root::pinned(&unhex(ROOT)).unwrap();
    check("root", ROOT, &sign_document(&root.document().unsigned(), &[11, 12]));
    let keyring = Keyring::verify(&unhex(KEYRING), &root, None).unwrap();
    check("keyring", KEYRING, &sign_document(&keyring.document().unsigned().unwrap(), &[21]));
    let token = reopen_stored(&unhex(TOKEN), &keyring, &expected()).unwrap();
    check("token", TOKEN, &sign_token(token.claims(), 31));
}

#[test]
fn a_token_made_by_an_independent_program_is_ours_bit_for_bit() {
    // Ed25519 is deterministic and the encoding has one spelling, so the peer can make only one token.
    assert_eq!(unhex(PEER), token());
}

#[test]
fn key_ids_are_cose_key_thumbprints() {
    // RFC 9679 §4: SHA-256 over the deterministic COSE_Key of kty, crv and x; computed here by hand for seed 31.
    use sha2::Digest;
    let x = *public(31).as_bytes();
    let cose_key: Vec<u8> = [&unhex("a301012006215820")[..], &x].concat();
    let digest = sha2::Sha256::digest(&cose_key);
    assert_eq!(public(31).kid().as_bytes()[..], digest[..8]);
}
