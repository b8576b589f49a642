//! A second, independent CBOR library reads what ours accepts, and reads the same.
//!
//! **Problem.** Two programs that read the same bytes differently are a hole, even if each is right about something.
//! **Method.** `ciborium` shares no code with our cursor and our serde decoder. Whatever our walk lets pass, it must
//! read whole, and write again to the same bytes; and of whatever we believe, it must name the same values.

use super::properties::any_claims;
use super::support::*;
use crate::token::codec::check;
use crate::token::cose::{Sign, Sign1};
use crate::token::*;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use ciborium::Value;
use proptest::prelude::*;

/// What the second decoder makes of bytes: one item and nothing behind it.
fn read(mut bytes: &[u8]) -> Option<Value> {
    let value = ciborium::from_reader(&mut bytes).ok()?;
    bytes.is_empty().then_some(value)
}

fn write(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// Whether our walk accepts; the second decoder must then agree on every byte.
fn agrees(bytes: &[u8]) -> bool {
    let accepted = check(bytes).is_ok();
    if accepted {
        let value = read(bytes).unwrap_or_else(|| panic!("only we accept {}", hex(bytes)));
        assert_eq!(hex(&write(&value)), hex(bytes), "read differently");
    }
    accepted
}

fn get(value: &Value, key: i64) -> Option<&Value> {
    let Value::Map(pairs) = value else { panic!("{value:?} is no map") };
    pairs.iter().find(|(own, _)| *own == Value::from(key)).map(|(_, value)| value)
}

fn number(value: &Value, key: i64) -> u64 {
    u64::try_from(get(value, key).unwrap().as_integer().unwrap()).unwrap()
}

fn words(value: &Value, key: i64) -> String {
    get(value, key).unwrap().as_text().unwrap().to_string()
}

fn octets(value: &Value, key: i64) -> Option<Vec<u8>> {
    get(value, key).map(|value| value.as_bytes().unwrap().clone())
}

fn maybe(value: &Value) -> Option<u64> {
    if value.is_null() { None } else { Some(u64::try_from(value.as_integer().unwrap()).unwrap()) }
}

/// The claims as the second decoder reads them are those we believe.
fn says_the_same(claims: &Claims, payload: &[u8]) {
    let value = read(payload).unwrap();
    assert_eq!(words(&value, 1), claims.trust_domain.as_str());
    assert_eq!(words(&value, 3), claims.device.to_string());
    assert_eq!(number(&value, 4), claims.lease_ends_at.as_secs());
    assert_eq!(number(&value, 6), claims.issued_at.as_secs());
    assert_eq!(octets(&value, 10).as_deref(), claims.nonce.as_ref().map(Nonce::as_bytes));
    let license = get(&value, -70_001).unwrap();
    assert_eq!(number(license, 1), 1);
    assert_eq!(octets(license, 2).unwrap(), claims.organization.as_bytes());
    assert_eq!(octets(license, 3).unwrap(), claims.site.as_bytes());
    assert_eq!(octets(license, 4), claims.group.map(|group| group.as_bytes().to_vec()));
    assert_eq!(number(license, 5), u64::from(claims.state.number()));
    let findings = get(license, 6).unwrap().as_array().unwrap();
    assert_eq!(findings.len(), claims.findings.len());
    for (read, ours) in findings.iter().zip(&claims.findings) {
        use crate::finding::Finding as F;
        let parts: Vec<u64> = read.as_array().unwrap().iter().map(|part| maybe(part).unwrap()).collect();
        let expected = match *ours {
            F::OverCapacity { product, shortfall } => [2, u64::from(product.number()), shortfall].to_vec(),
            F::TermEnded | F::NoLicense | F::TrialEnded | F::OfflineBudget => {
                [u64::from(ours.number())].to_vec()
            }
        };
        assert_eq!(parts, expected);
    }
    let schedule: Vec<Option<u64>> = get(license, 7).unwrap().as_array().unwrap().iter().map(maybe).collect();
    let ours = claims.schedule;
    let steps = [ours.grace_begins_at, ours.lock_at, ours.stop_at].map(|step| step.map(|at| at.as_secs()));
    assert_eq!(schedule, steps);
    assert_eq!(number(license, 8), claims.offline_lock_at.as_secs());
    assert_eq!((number(license, 9), number(license, 10)), (claims.version.epoch, claims.version.seq));
    assert_eq!(maybe(get(license, 11).unwrap()), claims.coterm_at.map(|at| at.as_secs()));
}

#[test]
fn both_read_the_golden_documents_the_same() {
    says_the_same(&claims(), &parts(&token())[1]);
    // The containers as a whole are CBOR to the second decoder, with the tags of RFC 9052.
    for (bytes, tag) in [(token(), 18), (keyring().bytes().to_vec(), 98), (root().bytes().to_vec(), 98)] {
        let Some(Value::Tag(found, parts)) = read(&bytes) else { panic!("no tag") };
        assert_eq!((found, parts.as_array().unwrap().len()), (tag, 4));
        assert_eq!(write(&Value::Tag(tag, parts)), bytes);
    }
    let payload = Sign::parse(keyring().bytes(), KEYRING_TYPE).unwrap().payload.to_vec();
    let (value, document) = (read(&payload).unwrap(), keyring().document().clone());
    assert_eq!(words(&value, 2), document.trust_domain.as_str());
    assert_eq!((number(&value, 3), number(&value, 5)), (document.version, document.min_epoch));
    assert_eq!(number(&value, 4), document.issued_at.as_secs());
    for (read, key) in get(&value, 6).unwrap().as_array().unwrap().iter().zip(&document.keys) {
        assert_eq!(octets(read, 1).unwrap(), key.key.kid().as_bytes());
        assert_eq!(octets(read, 2).unwrap(), key.key.as_bytes());
        assert_eq!(number(read, 3), key.not_before_at.as_secs());
        assert_eq!(number(read, 4), key.not_after_at.as_secs());
        assert_eq!(number(read, 5), u64::from(key.key_use.number()));
        assert_eq!(octets(read, 6), key.organization.map(|id| id.as_bytes().to_vec()));
    }
    let payload = Sign::parse(root().bytes(), ROOT_TYPE).unwrap().payload.to_vec();
    let (value, document) = (read(&payload).unwrap(), root().document().clone());
    assert_eq!((words(&value, 2), number(&value, 3)), (document.trust_domain.to_string(), document.version));
    for (place, role) in [(4, &document.root), (5, &document.keyring)] {
        let parts = get(&value, place).unwrap().as_array().unwrap();
        assert_eq!(maybe(&parts[0]), Some(u64::from(role.threshold())));
        for (read, key) in parts[1].as_array().unwrap().iter().zip(role.keys()) {
            let pair: Vec<&[u8]> =
                read.as_array().unwrap().iter().map(|part| &part.as_bytes().unwrap()[..]).collect();
            assert_eq!(pair, [&key.kid().as_bytes()[..], key.as_bytes()]);
        }
    }
}

#[test]
fn both_agree_on_the_hostile_set_and_on_rfc_8949() {
    let (mut accepted, mut refused) = (0, 0);
    let mut look = |bytes: &[u8]| *(if agrees(bytes) { &mut accepted } else { &mut refused }) += 1;
    for bytes in super::hostile::messages() {
        if let Some(signed) = Sign1::parse(bytes) {
            look(signed.protected);
            look(signed.payload);
        }
        for typ in [KEYRING_TYPE, ROOT_TYPE] {
            if let Ok(signed) = Sign::parse(bytes, typ) {
                look(signed.payload);
            }
        }
        look(bytes);
    }
    let vectors = include_str!("../../../vectors/cbor/appendix_a.json");
    for vector in serde_json::from_str::<serde_json::Value>(vectors).unwrap().as_array().unwrap() {
        look(&unhex(vector["hex"].as_str().unwrap()));
    }
    assert!(accepted > 1_000 && refused > 1_000, "{accepted} accepted, {refused} refused");
}

proptest! {
    #[test]
    fn both_read_any_claims_the_same(claims in any_claims()) {
        let payload = parts(&sign_token(&claims, 31))[1].clone();
        prop_assert!(agrees(&payload));
        says_the_same(&claims, &payload);
    }

    /// A payload damaged in a few places, and the bytes nobody made: most are refused, and what is not is read alike.
    #[test]
    fn both_agree_on_damaged_claims(
        claims in any_claims(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let header = parts(&token())[0].clone();
        let mut payload = parts(&sign_token(&claims, 31))[1].clone();
        for (place, byte) in edits {
            let place = place.index(payload.len());
            payload[place] = byte;
        }
        agrees(&payload);
        if let Ok(token) = reopen_stored(&sign_parts(header, payload.clone()), &keyring(), &expected()) {
            says_the_same(token.claims(), &payload);
        }
    }

    #[test]
    fn both_agree_on_small_items(bytes in prop::collection::vec(prop_oneof![0..0x20_u8, 0x40..0x44_u8, 0x60..0x64_u8, 0x80..0x84_u8, 0xa0..0xa4_u8, any::<u8>()], 0..24)) {
        agrees(&bytes);
    }
}
