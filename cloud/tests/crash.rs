//! The books under `kill -9`, and with a log torn at any byte.
//!
//! This binary starts itself as a child (the ignored test `child`) that changes the books from many tasks and prints
//! every change it was acknowledged. The parent kills it at a random moment, reopens the file and looks: everything
//! acknowledged is there, exactly once, and the chain holds. `COTERM_CRASHES` sets how often (default 25).

// Helpers of a test fail like a test; clippy's own exemption ends at functions marked as one.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of it is a test"
)]

use coterm_cloud::books::{Books, Change, Idempotency, Mode, Request};
use coterm_cloud::clock::SystemClock;
use coterm_cloud::store::sqlite::SqliteStore;
use coterm_shared::id::{GroupId, OrganizationId};
use coterm_shared::licensing::{Command, FoundOrganization, SettingsChange};
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::Arc;

const DIR: &str = "COTERM_CRASH_DIR";
const ROUND: &str = "COTERM_CRASH_ROUND";
const TASKS: u32 = 8;
const CHANGES: u32 = 200;

fn organization() -> OrganizationId {
    OrganizationId::from_bytes([1; 16])
}

fn group(n: u32) -> GroupId {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    GroupId::from_bytes(bytes)
}

fn found() -> Change {
    Change::FoundOrganization(FoundOrganization {
        id: organization(),
        name: "Crash test".to_owned(),
        default_group: group(u32::MAX),
        settings: SettingsChange::default(),
        license_groups: true,
    })
}

fn create_group(n: u32) -> Change {
    let command = Command::CreateGroup {
        id: group(n),
        name: format!("Campus {n}"),
        settings: SettingsChange::default(),
    };
    Change::Organization { id: organization(), command }
}

fn keyed(n: u32) -> Request {
    let idempotency = Idempotency { principal: "crash".to_owned(), key: n.to_string(), fingerprint: [1; 32] };
    let request = Request::new("crash", n.to_string(), create_group(n));
    Request { idempotency: Some(idempotency), ..request }
}

fn open(dir: &Path) -> Books {
    let store = SqliteStore::open(&dir.join("books.db")).unwrap();
    Books::start(store, Arc::new(SystemClock), Mode::Production).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Small and good enough: the moments of death must differ, not surprise.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
#[ignore = "the process that the other test kills"]
fn child() {
    let Some(dir) = env::var_os(DIR).map(PathBuf::from) else { return };
    let round: u32 = env::var(ROUND).unwrap().parse().unwrap();
    runtime().block_on(async {
        let books = open(&dir);
        let tasks = (0..TASKS).map(|task| {
            let books = books.clone();
            tokio::spawn(async move {
                for n in 0..CHANGES {
                    let n = (round * TASKS + task) * CHANGES + n;
                    let done = books.execute(keyed(n)).await.unwrap();
                    // One write per line, so that a death cuts none in two.
                    let line = format!("ACK {n} {}\n", done.version);
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
}

/// Runs the child until it acknowledged so many changes, kills it, and returns what it acknowledged.
fn run_and_kill(dir: &Path, round: u32, after: usize) -> Vec<(u32, u64)> {
    let mut child = Process::new(env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // The harness prints on the same line as the first acknowledgement.
        let Some((_, line)) = line.split_once("ACK ") else { continue };
        let (n, version) = line.split_once(' ').unwrap();
        acknowledged.push((n.parse().unwrap(), version.parse().unwrap()));
        if acknowledged.len() >= after && !killed {
            // What the pipe still holds was acknowledged, too, and is read to its end.
            child.kill().unwrap();
            killed = true;
        }
    }
    let _status = child.wait().unwrap();
    acknowledged
}

/// What the log says: the version at which each request was recorded. No request may be recorded twice.
async fn recorded(books: &Books) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut after = 0;
    loop {
        let page = books.log(organization(), after, 1000).await.unwrap();
        let Some(last) = page.last() else { return found };
        after = last.seq;
        for line in page {
            assert_eq!(found.insert(line.request_id.clone(), line.seq), None, "{} twice", line.request_id);
        }
    }
}

#[test]
fn what_was_acknowledged_before_kill_9_is_there_exactly_once() {
    let rounds: u32 = env::var("COTERM_CRASHES").map_or(25, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime();
    runtime.block_on(async {
        let books = open(dir.path());
        books.execute(Request::new("crash", "founding", found())).await.unwrap();
        books.close().await;
    });
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let mut deaths = 0;
    for round in 0..rounds {
        let after = 1 + usize::try_from(random(&mut seed) % 400).unwrap();
        let acknowledged = run_and_kill(dir.path(), round, after);
        assert!(acknowledged.len() >= after, "the child ended by itself after {}", acknowledged.len());
        deaths += u32::from(acknowledged.len() < usize::try_from(TASKS * CHANGES).unwrap());
        runtime.block_on(async {
            let books = open(dir.path());
            let state = books.organization(organization()).unwrap();
            let verified = books.verify_log(Some(organization())).await.unwrap().unwrap();
            assert_eq!(verified.entries, state.version());
            let recorded = recorded(&books).await;
            for (n, version) in &acknowledged {
                assert_eq!(recorded.get(&n.to_string()), Some(version), "change {n} of round {round}");
                assert!(state.group(group(*n)).is_some());
            }
            // Repeating the last one is answered from the books.
            let (n, _) = acknowledged.last().unwrap();
            assert!(books.execute(keyed(*n)).await.unwrap().replayed.is_some());
            books.close().await;
        });
    }
    assert!(deaths > rounds / 2, "only {deaths} of {rounds} were killed in the middle of their work");
}

#[test]
fn a_log_torn_at_any_byte_opens_as_a_whole_past() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let history = runtime.block_on(async {
        let books = open(dir.path());
        books.execute(Request::new("crash", "founding", found())).await.unwrap();
        for n in 0..40 {
            books.execute(keyed(n)).await.unwrap();
        }
        let history = books.log(organization(), 0, 1000).await.unwrap();
        // Copied while open: as if the machine died now, before the log was folded into the file.
        fs::copy(dir.path().join("books.db"), dir.path().join("copy.db")).unwrap();
        fs::copy(dir.path().join("books.db-wal"), dir.path().join("copy.db-wal")).unwrap();
        books.close().await;
        history
    });
    let database = fs::read(dir.path().join("copy.db")).unwrap();
    let wal = fs::read(dir.path().join("copy.db-wal")).unwrap();
    assert!(wal.len() > 100_000, "{}", wal.len());
    let mut seed = 0x0123_4567_89ab_cdef;
    let mut lengths = std::collections::BTreeSet::new();
    for torn in 0..60 {
        let at = usize::try_from(random(&mut seed)).unwrap_or(usize::MAX) % wal.len();
        let mut rest = wal.clone();
        // Either the end is missing, or a sector in the middle never reached the disk.
        if torn % 2 == 0 {
            rest.truncate(at);
        } else {
            let end = (at + 512).min(rest.len());
            rest[at..end].fill(0);
        }
        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join("books.db"), &database).unwrap();
        fs::write(copy.path().join("books.db-wal"), &rest).unwrap();
        runtime.block_on(async {
            let books = open(copy.path());
            let past = books.log(organization(), 0, 1000).await.unwrap();
            assert_eq!(past, history[..past.len()], "torn at {at}");
            let verified = books.verify_log(Some(organization())).await.unwrap().unwrap();
            assert_eq!(usize::try_from(verified.entries).unwrap(), past.len());
            lengths.insert(past.len());
            books.close().await;
        });
    }
    assert!(lengths.len() > 10, "tears at different depths: {lengths:?}");
}
