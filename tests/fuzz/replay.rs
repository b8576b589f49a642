//! Every committed corpus file, and the hostile set, through the functions that are fuzzed; on stable, with `make test`.

// A test fails by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of it is a test"
)]
#![allow(missing_docs)]

mod targets;

use coterm_shared::enforcement::{BootId, ClockRecord, HighWater, OperatingMode, Record, Refused};
use coterm_shared::platform::code::KeyCode;
use coterm_shared::time::Timestamp;
use coterm_tests::hostile::HostileSet;
use coterm_tests::tidy::repository;
use std::panic::catch_unwind;
use std::path::PathBuf;

type Target = fn(&[u8]);

/// The name of a corpus and the function its files go through.
const TARGETS: [(&str, Target); 6] = [
    ("token", targets::token),
    ("keyring", targets::keyring),
    ("root", targets::root),
    ("record", targets::record),
    ("message", targets::message),
    ("text", targets::text_of_people),
];

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = repository().join("tests/fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Seeds made by the code itself.
fn made(name: &str) -> Vec<Vec<u8>> {
    let set = HostileSet::load();
    let at = |secs| Timestamp::from_secs(secs).unwrap();
    match name {
        "record" => {
            let (floor, lock_time) = (at(1_800_000_000), at(1_800_000_007));
            let clock = ClockRecord { boot_id: BootId::from_bytes([3; 16]), boot_secs: 77, floor, lock_time };
            let bare = Record::new(clock);
            let mut full = bare.clone();
            full.token = Some(set.held("token"));
            full.token_keyring = Some(set.held("keyring"));
            full.keyring = Some(set.accepted("keyring"));
            full.root = Some(set.held("root"));
            full.high_water =
                Some(HighWater { version: "1:1800000000000".parse().unwrap(), digest: [7; 32] });
            full.decided(OperatingMode::ManagementLocked, at(1_800_000_001));
            full.refused = Refused { count: 9, last_code: "ROLLBACK".parse().ok() };
            let records = [bare, full].map(|record| record.encode().unwrap());
            let contents = records.clone().map(|bytes| bytes[8..bytes.len() - 32].to_vec());
            [records, contents].concat()
        }
        "text" => [[0; 16], [0xff; 16], [0x5a; 16]]
            .map(|random| KeyCode::from_random(random).reveal().into_bytes())
            .to_vec(),
        _ => Vec::new(),
    }
}

/// A hostile message, and what it carries: the content is the better seed for the half behind the signature.
fn seeds(subject: &str) -> Vec<Vec<u8>> {
    let cases = HostileSet::load().cases.into_iter().filter(|case| case.subject == subject);
    let contents = cases.flat_map(|case| {
        let content = content(&case.bytes).map(<[u8]>::to_vec);
        [Some(case.bytes), content]
    });
    contents.flatten().collect()
}

/// The third part of a container, if it looks like one.
fn content(bytes: &[u8]) -> Option<&[u8]> {
    fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
        let (first, tail) = rest.split_first()?;
        let (length, tail) = match first {
            0x40..=0x57 => (usize::from(first & 0x1f), tail),
            0x58 => (usize::from(*tail.first()?), &tail[1..]),
            0x59 => (usize::from(u16::from_be_bytes(tail.get(..2)?.try_into().ok()?)), &tail[2..]),
            _ => return None,
        };
        let (content, after) = tail.split_at_checked(length)?;
        *rest = after;
        Some(content)
    }
    let mut rest = bytes.strip_prefix(&[0xd2, 0x84]).or(bytes.strip_prefix(&[0xd8, 98, 0x84]))?;
    string(&mut rest)?;
    rest = rest.strip_prefix(&[0xa0])?;
    string(&mut rest)
}

#[test]
fn the_corpora_hold() {
    for (name, target) in TARGETS {
        let files = corpus(name);
        assert!(!files.is_empty(), "{name} has a corpus");
        for (path, bytes) in files {
            assert!(catch_unwind(|| target(&bytes)).is_ok(), "{} fails in {name}", path.display());
        }
    }
}

#[test]
fn the_hostile_set_holds_in_every_target() {
    for (name, target) in TARGETS {
        for bytes in seeds(name).into_iter().chain(made(name)) {
            assert!(catch_unwind(|| target(&bytes)).is_ok(), "fails in {name}: {bytes:02x?}");
        }
    }
}

/// Writes the hostile set where `make fuzz` looks for seeds.
#[test]
#[ignore = "for make fuzz"]
fn write_seeds() {
    for (name, _) in TARGETS {
        let directory = repository().join("target/fuzz/seeds").join(name);
        std::fs::create_dir_all(&directory).unwrap();
        for (number, bytes) in seeds(name).iter().chain(&made(name)).enumerate() {
            std::fs::write(directory.join(format!("{number:05}")), bytes).unwrap();
        }
    }
}
