//! P8: changes acknowledged per second, each on disk before it is answered.
//!
//! **The floor** is a loop without rules, threads or answers that makes the same bytes durable by the same SQLite with
//! the same settings: in each transaction as many rows as there are writers, each row that of a real change (its stream,
//! number, instants, actor, request, event and hash, taken from the log just written, under the log's two orders), and
//! in each transaction the heads of the streams it extended and the last instant. That is all a change must leave: what
//! is to be published is found by comparing, so there is no outbox row. The loop knows all rows beforehand and never
//! waits for anybody. The second floor is plainer than fair: the same bytes as one blob per row, in one order, and no
//! heads.

use crate::report::{Goal, Report, median};
use crate::world::{
    create_group, directory, execute, found, group, open, organization, processor_ms, runtime, to,
};
use coterm_cloud::books::{Books, Envelope, Idempotency, Request};
use coterm_shared::licensing::Command;
use rusqlite::{Connection, params};
use std::path::Path;
use std::time::Instant;

const WRITERS: u64 = 64;
/// Changes of each writer in one round.
const EACH: u64 = 60;
const ROUNDS: u64 = 7;

const SCHEMA: &str = "
    CREATE TABLE streams (stream BLOB PRIMARY KEY, version INTEGER NOT NULL, hash BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE events (position INTEGER PRIMARY KEY, stream BLOB NOT NULL, version INTEGER NOT NULL,
        at INTEGER NOT NULL, recorded_at INTEGER NOT NULL, actor TEXT NOT NULL, request_id TEXT NOT NULL,
        event BLOB NOT NULL, hash BLOB NOT NULL, UNIQUE (stream, version)) STRICT;
    CREATE TABLE plain (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;";

fn bare(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    let _: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).unwrap();
    connection.execute_batch("PRAGMA synchronous = FULL").unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    connection.set_prepared_statement_cache_capacity(16);
    connection
}

/// Changes per second, and what one costs in processor time of the whole process, in microseconds.
#[derive(Clone, Copy)]
struct Rate {
    per_second: f64,
    processor_us: f64,
}

/// When something began, by the wall and by the processor.
struct Since(Instant, f64);

impl Since {
    fn now() -> Since {
        Since(Instant::now(), processor_ms())
    }

    fn rate(&self, count: u64) -> Rate {
        let count = count as f64;
        Rate {
            per_second: count / self.0.elapsed().as_secs_f64(),
            processor_us: (processor_ms() - self.1) * 1e3 / count,
        }
    }
}

/// The middle of several rounds.
fn middle(rates: Vec<Rate>) -> Rate {
    Rate {
        per_second: median(rates.iter().map(|rate| rate.per_second).collect()),
        processor_us: median(rates.iter().map(|rate| rate.processor_us).collect()),
    }
}

/// What changes leave, in groups of `writers`, the rows spread over `streams` streams as the changes are.
fn same_rows(connection: &Connection, row: &Envelope, round: u64, writers: u64, streams: u64) -> Rate {
    let since = Since::now();
    for n in 0..EACH {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut insert = connection
            .prepare_cached(
                "INSERT INTO events (stream, version, at, recorded_at, actor, request_id, event, hash)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .unwrap();
        let mut head = connection
            .prepare_cached(
                "INSERT INTO streams VALUES ($1, $2, $3)
                 ON CONFLICT (stream) DO UPDATE SET version = excluded.version, hash = excluded.hash",
            )
            .unwrap();
        let stream = |s: u64| *organization((writers << 20) + s).as_bytes();
        let version = |writer: u64| ((round * EACH + n) * writers + writer) as i64;
        let at = row.at.as_secs() as i64;
        for writer in 0..writers {
            let values = params![
                stream(writer % streams),
                version(writer),
                at,
                at,
                row.actor,
                row.request_id,
                row.event,
                row.hash
            ];
            insert.execute(values).unwrap();
        }
        for s in 0..streams {
            head.execute(params![stream(s), version(writers - streams + s), row.hash]).unwrap();
        }
        connection
            .prepare_cached(
                "INSERT INTO meta VALUES ('last_event_at', $1)
                 ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
            )
            .unwrap()
            .execute([at])
            .unwrap();
        connection.execute_batch("COMMIT").unwrap();
    }
    since.rate(writers * EACH)
}

/// The same number of bytes, in the plainest form there is.
fn plain(connection: &Connection, row: &Envelope) -> Rate {
    let body = vec![7_u8; row.event.len() + row.actor.len() + row.request_id.len() + 32 + 16 + 24];
    let since = Since::now();
    for _ in 0..EACH {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut insert = connection.prepare_cached("INSERT INTO plain (body) VALUES ($1)").unwrap();
        for _ in 0..WRITERS {
            insert.execute(params![body]).unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
    }
    since.rate(WRITERS * EACH)
}

/// How the changes of the writers are.
#[derive(Clone, Copy)]
struct Shape {
    writers: u64,
    /// Organizations they are spread over.
    organizations: u64,
    /// Whether each names an idempotency key, whose answer is kept.
    keyed: bool,
}

async fn acknowledged(books: &Books, shape: Shape, round: u64) -> Rate {
    let since = Since::now();
    let tasks = (0..shape.writers).map(|writer| {
        let books = books.clone();
        tokio::spawn(async move {
            let of = writer % shape.organizations;
            for n in 0..EACH {
                let name = format!("Name {}", (round * EACH + n) * shape.writers + writer);
                let rename = to(of, Command::RenameGroup { id: group(of), name });
                let mut request = Request::new("user:ada", "req-0190163d8694739b", rename);
                if shape.keyed {
                    let key = format!("{round}-{writer}-{n}");
                    request.idempotency =
                        Some(Idempotency { principal: "ada".to_owned(), key, fingerprint: [7; 32] });
                }
                books.execute(request).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    since.rate(shape.writers * EACH)
}

pub(crate) fn run() {
    let mut report = Report::new("durable");
    let (directory, runtime) = (directory(), runtime());
    let books = open(&directory);
    runtime.block_on(async {
        for n in 0..WRITERS {
            execute(&books, found(n)).await;
            execute(&books, create_group(n, n)).await;
        }
    });
    let floor = bare(&directory.path().join("bare.db"));
    let shape = |writers, organizations, keyed| Shape { writers, organizations, keyed };
    let run = |shape, round| runtime.block_on(acknowledged(&books, shape, round));
    let _warm = run(shape(WRITERS, 1, false), 0);
    let row = runtime.block_on(books.log(organization(0), 10, 1)).unwrap().remove(0);
    let rows = |round, writers, streams| same_rows(&floor, &row, round, writers, streams);
    let mut seen: [Vec<Rate>; 8] = Default::default();
    for round in 1..=ROUNDS {
        seen[0].push(rows(round, 1, 1));
        seen[1].push(run(shape(1, 1, false), round));
        seen[2].push(rows(round, WRITERS, 1));
        seen[3].push(run(shape(WRITERS, 1, false), round));
        seen[4].push(rows(ROUNDS + round, WRITERS, WRITERS));
        seen[5].push(run(shape(WRITERS, WRITERS, false), ROUNDS + round));
        seen[6].push(plain(&floor, &row));
        seen[7].push(run(shape(WRITERS, WRITERS, true), 2 * ROUNDS + round));
    }
    let [one_floor, one, same_floor, same, spread_floor, spread, plain, keyed] = seen.map(middle);
    let of_rows = "bare SQLite loop, the same rows";
    let mut rate = |name: &str, rate: Rate, floor: Rate, what: &str, goal| {
        report.add(format!("P8 {name}"), "/s", rate.per_second, Some((floor.per_second, what)), goal);
    };
    rate("one writer", one, one_floor, of_rows, Goal::Shown);
    rate("64 writers, one organization", same, same_floor, of_rows, Goal::RatioAtLeast(0.8));
    rate("64 writers, 64 organizations", spread, spread_floor, of_rows, Goal::RatioAtLeast(0.8));
    rate("64 writers over one writer", same, one, "one writer", Goal::RatioAtLeast(20.0));
    rate("64 writers over plain blobs", same, plain, "bare SQLite loop, one blob", Goal::Shown);
    rate("64 writers with idempotency keys", keyed, spread, "without", Goal::Shown);
    let mut processor = |name: &str, rate: Rate, floor: Rate, what: &str| {
        let name = format!("P8 processor for a change: {name}");
        report.add(name, "us", rate.processor_us, Some((floor.processor_us, what)), Goal::Shown);
    };
    processor("64 writers, one organization", same, same_floor, of_rows);
    processor("64 writers, 64 organizations", spread, spread_floor, of_rows);
    runtime.block_on(books.close());
    report.finish();
}
