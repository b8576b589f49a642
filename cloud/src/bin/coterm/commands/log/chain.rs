//! `coterm log verify --file`: the hash chain of an exported log, recomputed without the server (domain T1).
//!
//! **Problem.** Who doubts the server's log does not ask the server. **Method.** The export has every hashed field and
//! the event as stored; the same function as the server's links them. An export of everything begins at the
//! organization's own genesis; one that begins later is verified from its first entry on. **Deliberately absent:** any
//! leniency: a filtered export has gaps, and is said to be unverifiable.

use super::*;
use coterm_cloud::store::{Envelope, Hash, StreamId, chain};
use coterm_shared::id::OrganizationId;
use std::collections::BTreeMap;

/// An export that holds.
#[derive(Debug)]
pub(super) struct Verified {
    first: u64,
    last: u64,
    hash: String,
    /// From the very first entry on.
    whole: bool,
}

const COLUMNS: &[Column] = &[
    ("INTACT", "/intact"),
    ("FIRST ENTRY", "/first"),
    ("LAST ENTRY", "/last"),
    ("HASH", "/hash"),
    ("FROM THE BEGINNING", "/whole"),
];

impl Verified {
    pub(super) fn show(&self, output: OutputArgs) -> Result<(), Failure> {
        let Verified { first, last, hash, whole } = self;
        let body = json!({ "intact": true, "first": first, "last": last, "hash": hash, "whole": whole });
        output::one(output, COLUMNS, &body)?;
        if !whole {
            output::note(format!(
                "What came before entry {first} is not in the file, so it was not verified."
            ));
        }
        Ok(())
    }
}

/// Recomputes the chain of an export.
pub(super) fn verify(path: &Path) -> Result<Verified, Failure> {
    let name = path.display();
    let file = std::fs::File::open(path)
        .map_err(|error| Failure::internal(format!("cannot read {name}: {error}")))?;
    let unreadable = |what: &str| {
        let text = format!(
            "NOT_AN_EXPORT: {name}: {what}.\n  Verify a file of `coterm log export`, as it was written: a \
             spreadsheet that saves it changes dates and quotes."
        );
        Failure::new(Exit::Invalid, text)
    };
    let mut reader = csv::Reader::from_reader(std::io::BufReader::new(file));
    let heads = reader.headers().map_err(|error| unreadable(&error.to_string()))?;
    let places: BTreeMap<String, usize> =
        heads.iter().enumerate().map(|(n, head)| (head.to_owned(), n)).collect();
    let mut before: Option<(u64, Hash)> = None;
    let mut first = None;
    for (n, record) in reader.records().enumerate() {
        let line = n.saturating_add(2);
        let record = record.map_err(|error| unreadable(&error.to_string()))?;
        let cell = |head: &str| places.get(head).and_then(|n| record.get(*n));
        let entry = read(cell).ok_or_else(|| unreadable(&format!("record {line} is no entry of a log")))?;
        let damaged = |what: String| Failure::internal(format!("LOG_DAMAGED: {name}: {what}"));
        let previous = match before {
            Some((seq, hash)) if entry.seq == seq.saturating_add(1) => Some(hash),
            Some((seq, _)) => {
                return Err(damaged(format!(
                    "entry {} follows entry {seq}.\n  Entries are missing or out of order; an export with a filter \
                     cannot be verified.",
                    entry.seq
                )));
            }
            None if entry.seq == 1 => Some(chain::genesis(stream(&entry.event))),
            None => None,
        };
        if previous.is_some_and(|previous| chain::link(&previous, &entry) != entry.hash) {
            return Err(damaged(format!(
                "entry {} or one before it was altered: its hash does not fit",
                entry.seq
            )));
        }
        first = first.or(Some(entry.seq));
        before = Some((entry.seq, entry.hash));
    }
    match (first, before) {
        (Some(first), Some((last, hash))) => {
            Ok(Verified { first, last, hash: hex(&hash), whole: first == 1 })
        }
        _ => Err(unreadable("it has no entries")),
    }
}

/// Whether the server's log has the last entry of the export as it is there.
pub(super) fn compare(context: &Context, verified: &Verified) -> Result<(), Failure> {
    let Verified { last, hash, .. } = verified;
    let path = context.path(&format!("/transactions?limit=1&cursor={}", last.saturating_sub(1)))?;
    let found = match context.client.get(&path) {
        Ok(answer) => answer.body,
        // The server's log ends before that entry.
        Err(failure) if failure.text.starts_with("BAD_CURSOR") => Value::Null,
        Err(failure) => return Err(failure),
    };
    let same = found.pointer("/items/0").is_some_and(|entry| {
        entry.get("seq").and_then(Value::as_u64) == Some(*last) && text(entry, "hash") == *hash
    });
    if same {
        output::note(format!("The server's log has entry {last} as it is in the file."));
        return Ok(());
    }
    Err(Failure::internal(format!(
        "LOG_REWRITTEN: the server's log does not have entry {last} as it is in the file.\n  Either the file is of \
         another organization (--org), or the log was rewritten or cut off after the export."
    )))
}

/// The entry of a record.
fn read<'a>(cell: impl Fn(&str) -> Option<&'a str>) -> Option<Envelope> {
    let instant = |head: &str| cell(head)?.parse::<Timestamp>().ok();
    let text = |head: &str| cell(head).map(|text| text.strip_prefix('\'').unwrap_or(text).to_owned());
    Some(Envelope {
        seq: cell("seq")?.parse().ok()?,
        at: instant("at")?,
        recorded_at: instant("recorded_at")?,
        actor: text("actor")?,
        request_id: text("request_id")?,
        event: text("event")?.into_bytes(),
        hash: unhex(cell("hash")?)?,
    })
}

/// Whose log begins with this event.
fn stream(event: &[u8]) -> StreamId {
    let event: Value = serde_json::from_slice(event).unwrap_or_default();
    let own = text(&event, "organization").parse::<OrganizationId>();
    own.map_or(StreamId::PLATFORM, StreamId::from)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    if text.len() != hash.len().saturating_mul(2) || !text.is_ascii() {
        return None;
    }
    for (n, byte) in hash.iter_mut().enumerate() {
        let at = n.saturating_mul(2);
        *byte = u8::from_str_radix(text.get(at..at.saturating_add(2))?, 16).ok()?;
    }
    Some(hash)
}
