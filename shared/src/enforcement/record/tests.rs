//! A record comes back exactly as it was stored, or not at all.

use super::*;
use crate::enforcement::BootId;
use crate::time::Seconds;
use proptest::prelude::*;
use std::string::String;
use std::vec;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs).unwrap()
}

fn clock() -> ClockRecord {
    ClockRecord {
        boot_id: BootId::from_bytes([9; 16]),
        boot_secs: 640,
        floor: at(1_000),
        lock_time: at(2_000),
    }
}

fn full() -> Record {
    Record {
        token: Some(vec![1, 2, 3]),
        token_keyring: Some(vec![6; 200]),
        keyring: Some(vec![4; 300]),
        root: None,
        high_water: Some(HighWater { version: TokenVersion { epoch: 2, seq: 77 }, digest: [5; 32] }),
        clock: clock(),
        mode: Some(Actuated { mode: OperatingMode::Stopped, since: at(900) }),
        locked_since: Some(at(800)),
        refused: Refused { count: 3, last_code: Some("WRONG_DEVICE".parse().unwrap()) },
    }
}

/// Bytes with a check that fits, as a faulty writer might leave them.
fn sealed(content: &[u8]) -> Vec<u8> {
    [content, Sha256::digest(content).as_slice()].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| std::format!("{byte:02x}")).collect()
}

#[test]
fn what_was_stored_comes_back() {
    for record in [full(), Record::new(clock())] {
        assert_eq!(Record::decode(&record.encode().unwrap()), Ok(record));
    }
}

#[test]
fn the_stored_form_is_fixed() {
    insta::assert_snapshot!("full", hex(&full().encode().unwrap()));
    insta::assert_snapshot!("empty", hex(&Record::new(clock()).encode().unwrap()));
}

#[test]
fn a_flipped_bit_anywhere_is_an_error_and_never_another_record() {
    let bytes = full().encode().unwrap();
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1 << bit;
            assert!(Record::decode(&flipped).is_err(), "bit {bit} of byte {index}");
        }
    }
}

#[test]
fn a_torn_or_padded_record_is_an_error() {
    let bytes = full().encode().unwrap();
    for length in 0..bytes.len() {
        assert!(Record::decode(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
    }
    assert_eq!(Record::decode(&[bytes.as_slice(), &[0]].concat()), Err(RecordError::Damaged));
}

#[test]
fn errors_say_what_is_wrong() {
    let bytes = full().encode().unwrap();
    let content = &bytes[..bytes.len() - 32];
    let mut other_format = content.to_vec();
    other_format[7] = 2;
    // The first key of the map written in two bytes: the same record in another spelling.
    let mut respelled = content.to_vec();
    respelled.splice(9..10, [0x18, 0x00]);
    let mut behind = full();
    behind.clock.lock_time = at(1);
    for (why, bytes, error) in [
        ("empty", vec![], RecordError::NotARecord),
        ("something else", vec![0; 100], RecordError::NotARecord),
        ("newer software's", sealed(&other_format), RecordError::UnknownFormat { found: 2 }),
        ("no content", sealed(&MAGIC), RecordError::Malformed),
        ("not CBOR", sealed(&[&MAGIC[..], &[0xff]].concat()), RecordError::Malformed),
        ("trailing bytes", sealed(&[content, &[0]].concat()), RecordError::Malformed),
        ("respelled", sealed(&respelled), RecordError::Malformed),
        ("lock time behind the floor", behind.encode().unwrap(), RecordError::Malformed),
        ("endless", vec![0; MAX_RECORD_BYTES + 1], RecordError::TooLong),
    ] {
        assert_eq!(Record::decode(&bytes), Err(error), "{why}");
    }
}

#[test]
fn what_would_not_come_back_is_not_stored() {
    for (part, record) in [
        ("the token", Record { token: Some(vec![0; MAX_TOKEN_BYTES + 1]), ..full() }),
        ("the token's keyring", Record { token_keyring: Some(vec![0; MAX_DOCUMENT_BYTES + 1]), ..full() }),
        ("the keyring", Record { keyring: Some(vec![0; MAX_DOCUMENT_BYTES + 1]), ..full() }),
        ("the root", Record { root: Some(vec![0; MAX_DOCUMENT_BYTES + 1]), ..full() }),
    ] {
        assert_eq!(record.encode(), Err(RecordError::PartTooLong { part }));
    }
    let largest = Record {
        token: Some(vec![0; MAX_TOKEN_BYTES]),
        token_keyring: Some(vec![0; MAX_DOCUMENT_BYTES]),
        keyring: Some(vec![0; MAX_DOCUMENT_BYTES]),
        root: Some(vec![0; MAX_DOCUMENT_BYTES]),
        ..full()
    };
    assert_eq!(Record::decode(&largest.encode().unwrap()), Ok(largest));
}

#[test]
fn since_is_when_the_mode_changed_and_locked_since_when_management_was_lost() {
    use OperatingMode::{Full, ManagementLocked, Stopped};
    let mut record = Record::new(clock());
    let mut now = at(1_000);
    for (mode, changed, since, locked_since) in [
        (Full, true, 1_001, None),
        (Full, false, 1_001, None),
        (ManagementLocked, true, 1_003, Some(1_003)),
        (Stopped, true, 1_004, Some(1_003)),
        (Stopped, false, 1_004, Some(1_003)),
        (Full, true, 1_006, None),
    ] {
        now = now.saturating_add(Seconds(1));
        assert_eq!(record.decided(mode, now), changed, "{mode} at {now}");
        assert_eq!(record.mode, Some(Actuated { mode, since: at(since) }));
        assert_eq!(record.locked_since, locked_since.map(at));
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_the_decoder(content in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Record::decode(&content);
        let sealed = sealed(&[&MAGIC[..], &content].concat());
        if let Ok(record) = Record::decode(&sealed) {
            prop_assert_eq!(record.encode().unwrap(), sealed);
        }
    }
}
