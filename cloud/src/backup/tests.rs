//! Backups under everything that can happen to them.

use super::manifest::Manifest;
use super::*;
use crate::app::DATABASE_FILE;
use crate::store::{Append, ChangeSet, EventStore, NewEvent, StreamId, Transaction};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

const DOMAIN: &str = "backup.coterm.test";
const STREAM: StreamId = StreamId::from_bytes([7; 16]);

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs_clamped(1_800_000_000 + secs)
}

/// A data directory with a database, keys and documents.
struct World {
    dir: TempDir,
    store: Option<SqliteStore>,
    version: u64,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        for (name, content) in [
            ("keys/token-1.key", "secret"),
            ("pki/ca.key", "secret"),
            ("pki/ca.crt", "public"),
            ("trust/keyring", "public"),
            ("admin.token", "secret"),
        ] {
            let path = data.join(name);
            files::make_dir(path.parent().unwrap()).unwrap();
            files::write(&path, content.as_bytes(), if content == "secret" { 0o600 } else { 0o644 }).unwrap();
        }
        let store = SqliteStore::open(&data.join(DATABASE_FILE)).unwrap();
        let mut world = World { dir, store: Some(store), version: 0 };
        world.append(10);
        world
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn to(&self) -> PathBuf {
        self.dir.path().join("backups")
    }

    fn append(&mut self, events: u64) {
        append(self.store.as_mut().unwrap(), self.version, events);
        self.version += events;
    }

    fn take(&self, secs: u64) -> Result<Taken, BackupError> {
        take(&self.data(), &self.to(), DOMAIN, true, at(secs), &mut |_, _| {})
    }

    fn restore(&self, from: &Path, to: &Path, replace: bool) -> Result<Restored, BackupError> {
        restore(from, to, DOMAIN, replace, at(99))
    }

    fn nothing_half_made(&self) {
        let left: Vec<_> = fs::read_dir(self.to()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn append(store: &mut SqliteStore, version: u64, events: u64) {
    let event = |n: u64| NewEvent { at: at(n), event: vec![7; 100] };
    let append =
        Append { stream: STREAM, expected_version: version, events: (1..=events).map(event).collect() };
    let changes = ChangeSet {
        recorded_at: at(version),
        actor: "ada".to_owned(),
        request_id: "req".to_owned(),
        appends: vec![append],
        reservations: Vec::new(),
        idempotency: None,
    };
    let mut tx = store.begin().unwrap();
    tx.apply(&changes).unwrap().unwrap();
    tx.commit().unwrap();
}

/// Every file of a directory with its content and mode, but for the database.
fn listing(dir: &Path) -> Vec<(PathBuf, Vec<u8>, u32)> {
    let tree = files::Tree::of(dir, files::is_kept).unwrap();
    let one = |path: PathBuf| {
        let full = dir.join(&path);
        let mode = fs::metadata(&full).unwrap().permissions().mode() & 0o777;
        (path, fs::read(full).unwrap(), mode)
    };
    tree.files.into_iter().map(one).collect()
}

#[test]
fn what_is_taken_while_the_daemon_writes_is_whole_and_comes_back() {
    let mut world = World::new();
    let stop = AtomicBool::new(false);
    let mut store = world.store.take().unwrap();
    let taken = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut version = 10;
            while !stop.load(Ordering::Relaxed) {
                append(&mut store, version, 1);
                version += 1;
            }
            version
        });
        let taken: Vec<Taken> = (0..5).map(|n| world.take(n).unwrap()).collect();
        stop.store(true, Ordering::Relaxed);
        world.version = writer.join().unwrap();
        taken
    });
    assert!(taken.is_sorted_by_key(|taken| taken.manifest.events));
    let newest = taken.last().unwrap();
    assert!((10..=world.version).contains(&newest.manifest.events));
    for entry in fs::read_dir(&newest.path).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(!name.to_string_lossy().ends_with("-wal"), "one file, nothing beside it");
    }

    let elsewhere = world.dir.path().join("restored");
    let restored = world.restore(&newest.path, &elsewhere, false).unwrap();
    assert_eq!(restored.moved_to, None);
    assert_eq!(listing(&elsewhere), listing(&world.data()));
    let store = SqliteStore::open(&elsewhere.join(DATABASE_FILE)).unwrap();
    assert_eq!(store.reads().head(STREAM).unwrap().version, newest.manifest.events);
    assert_eq!(fs::metadata(elsewhere.join(DATABASE_FILE)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn restoring_over_something_moves_it_aside_and_never_under_a_running_daemon() {
    let mut world = World::new();
    let taken = world.take(0).unwrap();
    world.append(5);
    fs::write(world.data().join("keys/token-2.key"), "newer").unwrap();
    let data = world.data();

    let refused = world.restore(&taken.path, &data, true).unwrap_err();
    assert!(matches!(refused, BackupError::Running { .. }), "{refused}");
    world.store = None;
    let before = listing(&data);
    let refused = world.restore(&taken.path, &data, false).unwrap_err();
    assert!(matches!(refused, BackupError::NotEmpty { .. }), "{refused}");
    assert_eq!(listing(&data), before, "a refusal changes nothing");

    let aside = world.restore(&taken.path, &data, true).unwrap().moved_to.unwrap();
    let store = SqliteStore::open(&data.join(DATABASE_FILE)).unwrap();
    assert_eq!(store.reads().head(STREAM).unwrap().version, 10);
    assert!(!data.join("keys/token-2.key").exists());
    assert_eq!(fs::read(aside.join("keys/token-2.key")).unwrap(), b"newer");
    let old = SqliteStore::open(&aside.join(DATABASE_FILE)).unwrap();
    assert_eq!(old.reads().head(STREAM).unwrap().version, 15);
    assert!(!unfinished(&data));
    // What was moved aside is no part of the next backup.
    drop(store);
    let next = world.take(1).unwrap();
    assert!(next.manifest.files.keys().all(|name| !name.contains("before-restore")), "{:?}", next.manifest);
}

#[test]
fn a_restore_that_was_interrupted_keeps_the_daemon_out_and_is_finished_by_the_next() {
    let mut world = World::new();
    let taken = world.take(0).unwrap();
    world.store = None;
    let data = world.data();
    // As if killed after the old was moved aside and before the new was in place.
    let aside = data.join(format!("{REPLACED}19700101T000000Z"));
    fs::create_dir(&aside).unwrap();
    for name in [DATABASE_FILE, "keys"] {
        fs::rename(data.join(name), aside.join(name)).unwrap();
    }
    fs::create_dir(data.join(RESTORING)).unwrap();
    fs::write(data.join(RESTORING).join(DATABASE_FILE), "half").unwrap();
    fs::write(data.join("RESTORE_UNFINISHED"), "").unwrap();
    assert!(unfinished(&data));

    world.restore(&taken.path, &data, false).unwrap();
    assert!(!unfinished(&data));
    let store = SqliteStore::open(&data.join(DATABASE_FILE)).unwrap();
    assert_eq!(store.reads().head(STREAM).unwrap().version, 10);
    assert!(data.join("keys/token-1.key").exists() && aside.join("keys/token-1.key").exists());
}

#[test]
fn r3_a_restore_that_dies_after_any_of_its_renames_is_finished_by_the_next() {
    let names = |dir: &Path| {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let mut deaths = 0;
    // The mark, then the old aside one by one, then the new in its place one by one, then the empty stage away.
    for died_after in 1.. {
        let mut world = World::new();
        let taken = world.take(0).unwrap();
        world.append(5);
        world.store = None;
        let data = world.data();
        fs::write(data.join("pki/ca.crt"), "of today").unwrap();
        let whole = world.dir.path().join("whole");
        world.restore(&taken.path, &whole, false).unwrap();
        let stage = data.join(RESTORING);
        let old = names(&data);
        world.restore(&taken.path, &stage, false).unwrap();
        let new = names(&stage);
        let aside = data.join(format!("{REPLACED}20270115T080050Z"));

        fs::write(data.join("RESTORE_UNFINISHED"), "").unwrap();
        fs::create_dir(&aside).unwrap();
        let from_old = old.iter().map(|name| (data.join(name), aside.join(name)));
        let from_new = new.iter().map(|name| (stage.join(name), data.join(name)));
        let renames: Vec<_> = from_old.chain(from_new).collect();
        renames.iter().take(died_after - 1).for_each(|(from, to)| fs::rename(from, to).unwrap());
        let last = died_after - 1 > renames.len();
        if last {
            fs::remove_dir(&stage).unwrap();
        }

        assert!(unfinished(&data), "no daemon starts on it");
        world.restore(&taken.path, &data, false).unwrap();
        assert!(!unfinished(&data) && !stage.exists());
        assert_eq!(listing(&data), listing(&whole), "died after {died_after}");
        let store = SqliteStore::open(&data.join(DATABASE_FILE)).unwrap();
        assert_eq!(store.reads().head(STREAM).unwrap().version, 10, "died after {died_after}");
        // Nothing of the old is lost: it lies in what was set aside, by the first or by the second.
        let mut kept = names(&data).into_iter().filter(|name| name.to_string_lossy().starts_with(REPLACED));
        let found =
            kept.any(|name| fs::read(data.join(name).join("pki/ca.crt")).is_ok_and(|it| it == b"of today"));
        assert!(found, "died after {died_after}");
        deaths += 1;
        if last {
            assert_eq!(deaths, 2 + old.len() + new.len());
            break;
        }
    }
}

#[test]
fn whoever_changed_the_backup_is_told_everything_that_is_wrong_and_nothing_is_restored() {
    type Harm = fn(&Path);
    let world = World::new();
    let harms: [(&str, Harm, &str); 8] = [
        ("a file", |dir| fs::write(dir.join("pki/ca.crt"), "other").unwrap(), "pki/ca.crt was changed"),
        ("a byte of the books", |dir| spoil(&dir.join(DATABASE_FILE)), "coterm.db was changed"),
        ("gone", |dir| fs::remove_file(dir.join("trust/keyring")).unwrap(), "trust/keyring"),
        (
            "more",
            |dir| fs::write(dir.join("keys/evil.key"), "").unwrap(),
            "keys/evil.key is not of the backup",
        ),
        ("no manifest", |dir| fs::remove_file(dir.join(MANIFEST_FILE)).unwrap(), "manifest.json"),
        ("no JSON", |dir| fs::write(dir.join(MANIFEST_FILE), "{").unwrap(), "manifest.json"),
        ("newer", |dir| rewrite(dir, "\"format\": 1", "\"format\": 2"), "made by a newer program"),
        ("another's", |dir| rewrite(dir, DOMAIN, "other.test"), "trust domain `other.test`"),
    ];
    for (n, (name, harm, expect)) in (0..).zip(harms) {
        let taken = world.take(n).unwrap();
        harm(&taken.path);
        let to = world.dir.path().join("restored");
        let refused = world.restore(&taken.path, &to, false).unwrap_err().to_string();
        assert!(refused.contains(expect), "{name}: {refused}");
        assert!(!to.exists(), "{name}");
    }
    // Both complaints at once.
    let taken = world.take(50).unwrap();
    fs::write(taken.path.join("pki/ca.crt"), "other").unwrap();
    fs::write(taken.path.join("keys/evil.key"), "").unwrap();
    let refused = world.restore(&taken.path, &world.dir.path().join("r"), false).unwrap_err().to_string();
    assert!(refused.contains("ca.crt was changed") && refused.contains("evil.key"), "{refused}");
}

fn spoil(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn rewrite(dir: &Path, from: &str, to: &str) {
    let file = dir.join(MANIFEST_FILE);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(file, text.replace(from, to)).unwrap();
}

#[test]
fn a_log_somebody_rewrote_makes_no_backup() {
    let mut world = World::new();
    world.store = None;
    let connection = rusqlite::Connection::open(world.data().join(DATABASE_FILE)).unwrap();
    connection
        .execute_batch(
            "DROP TRIGGER events_are_never_changed; UPDATE events SET actor = 'eve' WHERE version = 2",
        )
        .unwrap();
    drop(connection);
    let refused = world.take(0).unwrap_err();
    assert!(matches!(&refused, BackupError::Unsound { .. }), "{refused}");
    assert!(refused.to_string().contains("entry 2 or one before it was altered"), "{refused}");
    world.nothing_half_made();
}

#[test]
fn bad_places_are_refused_and_nothing_half_made_is_left() {
    let world = World::new();
    let inside = take(&world.data(), &world.data().join("pki"), DOMAIN, true, at(0), &mut |_, _| {});
    assert!(matches!(inside, Err(BackupError::InsideDataDir { .. })), "{inside:?}");
    let nothing = take(&world.dir.path().join("none"), &world.to(), DOMAIN, true, at(0), &mut |_, _| {});
    assert!(matches!(nothing, Err(BackupError::NothingToCopy { .. })), "{nothing:?}");
    let file = world.dir.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = take(&world.data(), &file, DOMAIN, true, at(0), &mut |_, _| {}).unwrap_err();
    assert!(matches!(refused, BackupError::Io { .. }), "{refused}");

    let first = world.take(0).unwrap();
    let again = world.take(0).unwrap_err();
    assert!(matches!(again, BackupError::Exists { .. }), "{again}");
    // One that was killed before leaves no trace in the next.
    let partial = world.to().join(".coterm-backup-20270115T080001Z.partial");
    fs::create_dir_all(partial.join("keys")).unwrap();
    let second = world.take(1).unwrap();
    assert_eq!(second.path.file_name().unwrap(), "coterm-backup-20270115T080001Z");
    assert!(!partial.exists());
    assert_eq!(first.manifest.files, second.manifest.files);
}

#[test]
fn without_keys_nothing_in_it_lets_anybody_sign() {
    let world = World::new();
    let taken = take(&world.data(), &world.to(), DOMAIN, false, at(0), &mut |_, _| {}).unwrap();
    let names: Vec<&str> = taken.manifest.files.keys().map(String::as_str).collect();
    assert_eq!(names, ["coterm.db", "pki/ca.crt", "trust/keyring"]);
    assert!(!Manifest::read(&taken.path).unwrap().with_keys);
    for entry in listing(&taken.path) {
        assert_ne!(entry.1, b"secret", "{entry:?}");
    }
}
