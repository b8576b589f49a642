//! How fast changes are acknowledged, against a bare loop on the same disk (run by hand, in release).

use super::*;
use rusqlite::{Connection, params};

const WRITERS: usize = 64;
const EACH: usize = 60;

/// Bare rows of the same size: groups of as many as there are writers, one durable commit each.
fn bare(dir: &Path, bytes: usize) -> u128 {
    let connection = Connection::open(dir.join("bare.db")).unwrap();
    let _: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).unwrap();
    connection
        .execute_batch("PRAGMA synchronous = FULL; CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB) STRICT")
        .unwrap();
    let body = vec![7_u8; bytes];
    let started = Instant::now();
    for _ in 0..EACH {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut insert = connection.prepare_cached("INSERT INTO t (body) VALUES ($1)").unwrap();
        for _ in 0..WRITERS {
            insert.execute(params![body]).unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
    }
    per_second(WRITERS * EACH, started)
}

fn per_second(count: usize, started: Instant) -> u128 {
    u128::try_from(count).unwrap() * 1_000_000 / started.elapsed().as_micros()
}

async fn acknowledged(books: &Books, writers: usize, each: usize, from: u16) -> u128 {
    let started = Instant::now();
    let tasks = (0..writers).map(|writer| {
        let books = books.clone();
        tokio::spawn(async move {
            for n in 0..each {
                let n = from + u16::try_from(writer * each + n).unwrap();
                let rename = Command::RenameGroup { id: group(1), name: format!("Name {n}") };
                books.execute(ask(to(1, rename))).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    per_second(writers * each, started)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo test --release -p coterm-cloud --lib throughput -- --ignored --nocapture"]
async fn acknowledged_changes_per_second() {
    let (books, _clock, dir) = fresh().await;
    let alone = acknowledged(&books, 1, EACH, 0).await;
    let many = acknowledged(&books, WRITERS, EACH, 1000).await;
    let line = books.log(organization(1), 1, 1).await.unwrap().remove(0);
    let bytes = line.event.len() + line.actor.len() + line.request_id.len() + 32 + 16 + 24;
    let bare = bare(dir.path(), bytes);
    println!("one writer {alone}/s, {WRITERS} writers {many}/s, bare loop {bare}/s of {bytes} bytes");
}
