//! `coterm log verify --file`: an exported log, recomputed without the server (domain T1).
//!
//! **Problem.** Who doubts the server's log does not ask the server. **Method.** The export has every hashed field and
//! the event as stored. The same function as the server's links them; then the whole line is computed again from what the
//! hash covers, and every cell of it compared, so that no column is taken on trust. An export of everything begins at the
//! log's own genesis; the first entry of one that begins later is covered only if the server says the hash before it.
//! **Deliberately absent:** any leniency: an export with gaps is said to be unverifiable, whatever made them.

use super::*;
use coterm_cloud::store::{Envelope, Hash, StreamId, chain};
use coterm_cloud::transactions::{COLUMNS as EXPORTED, HASHED, cells, event_of, hex, kind, read, unhex};
use coterm_shared::id::OrganizationId;
use csv::StringRecord;

/// An export that holds.
#[derive(Debug)]
pub(super) struct Verified {
    /// The first entry that is covered.
    first: u64,
    last: u64,
    hash: Hash,
    /// The first entry of a file that begins later than its log: nothing in the file covers it.
    opening: Option<Envelope>,
    /// Entries the server has after the last of the file, if it was asked.
    later: Option<u64>,
}

const COLUMNS: &[Column] = &[
    ("INTACT", "/intact"),
    ("FIRST ENTRY", "/first"),
    ("LAST ENTRY", "/last"),
    ("HASH", "/hash"),
    ("FROM THE BEGINNING", "/whole"),
    ("LATER ON THE SERVER", "/later"),
];

impl Verified {
    pub(super) fn show(&self, output: OutputArgs) -> Result<(), Failure> {
        let Verified { first, last, hash, opening, later } = self;
        if let (Some(opening), true) = (opening, first > last) {
            return Err(gaps(&format!(
                "entry {} is alone in the file and not the first of its log, so nothing in the file covers it.\n  \
                 Ask the server for the hash before it: --compare.",
                opening.seq
            )));
        }
        let whole = *first == 1;
        let body = json!({
            "intact": true, "first": first, "last": last, "hash": hex(hash), "whole": whole, "later": later
        });
        output::one(output, COLUMNS, &body)?;
        match opening {
            Some(opening) => output::note(format!(
                "The file begins with entry {}. Neither that entry nor what came before it was verified; with --compare \
                 the entry is.",
                opening.seq
            )),
            None if !whole => {
                output::note(format!(
                    "What came before entry {first} is not in the file, so it was not verified."
                ));
            }
            None => {}
        }
        Ok(())
    }
}

fn gaps(what: &str) -> Failure {
    Failure::internal(format!("LOG_HAS_GAPS: {what}"))
}

/// Recomputes the chain and every column of an export.
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
    if heads != EXPORTED.as_slice() {
        // A column under another name would be read as something that nobody checked.
        return Err(unreadable(&format!("its first line is not `{}`", EXPORTED.join(","))));
    }
    let mut before: Option<(u64, Hash)> = None;
    let mut opening: Option<Envelope> = None;
    // The header is line 1, and no cell of an export spans lines; the reader's own count is one less after a CRLF.
    for (line, record) in (2_u64..).zip(reader.records()) {
        let record = record.map_err(|error| unreadable(&error.to_string()))?;
        let cell = |column: &str| record.get(EXPORTED.iter().position(|head| *head == column)?);
        let entry = read(cell).map_err(|column| {
            unreadable(&format!("line {line}, column {column}: not of an entry of a log"))
        })?;
        let seq = entry.seq;
        let damaged = |what: String| {
            Failure::internal(format!("LOG_DAMAGED: {name}: line {line} (entry {seq}): {what}"))
        };
        let previous = match before {
            Some((last, hash)) if seq == last.saturating_add(1) => Some(hash),
            Some((last, _)) if seq <= last => {
                return Err(damaged(format!("column seq: out of order, it follows entry {last}")));
            }
            Some((last, _)) => {
                return Err(gaps(&format!(
                    "{name}: line {line}, column seq: entry {seq} follows entry {last}, what is between them is missing.\n  An \
                     export with --group, --subject, --event, --actor or --request leaves entries out and cannot be \
                     verified: export without them. If this one was made without, entries were taken out of it."
                )));
            }
            None if seq == 1 => Some(chain::genesis(stream(&entry))),
            None => None,
        };
        match previous {
            Some(previous) if chain::link(&previous, &entry) != entry.hash => {
                return Err(damaged(format!(
                    "was altered: its hash does not fit. One of the columns {} or hash is not as it was recorded",
                    HASHED.join(", ")
                )));
            }
            Some(_) => {}
            None => opening = Some(entry.clone()),
        }
        let altered = altered(&record, &entry);
        if !altered.is_empty() {
            return Err(damaged(format!(
                "was altered: {} {} not what the entry says",
                if altered.len() == 1 { "column" } else { "columns" },
                match altered.as_slice() {
                    [only] => format!("{only} is"),
                    several => format!("{} are", several.join(", ")),
                }
            )));
        }
        before = Some((seq, entry.hash));
    }
    let Some((last, hash)) = before else { return Err(unreadable("it has no entries")) };
    let first = opening.as_ref().map_or(1, |opening| opening.seq.saturating_add(1));
    Ok(Verified { first, last, hash, opening, later: None })
}

/// The columns of a line that are not as the entry would be written.
fn altered(record: &StringRecord, entry: &Envelope) -> Vec<&'static str> {
    let expected = cells(entry);
    let compared = EXPORTED.into_iter().zip(&expected).zip(record);
    compared.filter(|((_, expected), found)| expected != found).map(|((column, _), _)| column).collect()
}

/// Whether the server's log, which it recomputes, has the entries of the export as they are there.
pub(super) fn compare(context: &Context, stream: StreamArgs, verified: &mut Verified) -> Result<(), Failure> {
    let last = verified.last;
    let rewritten = |seq: u64| {
        Failure::internal(format!(
            "LOG_REWRITTEN: the server's log does not have entry {seq} as it is in the file.\n  Either the file is of \
             another log (--org, --platform), or the log was rewritten or cut off after the export."
        ))
    };
    if hash_of(context, stream, last)? != Some(hex(&verified.hash)) {
        return Err(rewritten(last));
    }
    if let Some(opening) = verified.opening.take() {
        let before = hash_of(context, stream, opening.seq.saturating_sub(1))?;
        let hash = before.as_deref().and_then(unhex).map(|before| chain::link(&before, &opening));
        if hash != Some(opening.hash) {
            return Err(rewritten(opening.seq));
        }
        verified.first = opening.seq;
    }
    let verdict = context.client.get(&stream.path(context, "/verify")?)?.body;
    intact(&verdict)?;
    let entries = verdict.get("entries").and_then(Value::as_u64).unwrap_or(last);
    let later = entries.saturating_sub(last);
    verified.later = Some(later);
    output::note(match later {
        0 => format!("The server's log has entry {last} as it is in the file, and ends with it."),
        1 => format!("The server's log has entry {last} as it is in the file, and 1 more entry after it."),
        more => format!(
            "The server's log has entry {last} as it is in the file, and {more} more entries after it."
        ),
    });
    Ok(())
}

/// The hash the server has for an entry; `None` if its log ends before.
fn hash_of(context: &Context, stream: StreamArgs, seq: u64) -> Result<Option<String>, Failure> {
    let path = stream.path(context, &format!("?limit=1&cursor={}", seq.saturating_sub(1)))?;
    let found = match context.client.get(&path) {
        Ok(answer) => answer.body,
        Err(failure) if failure.text.starts_with("BAD_CURSOR") => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let entry =
        found.pointer("/items/0").filter(|entry| entry.get("seq").and_then(Value::as_u64) == Some(seq));
    Ok(entry.map(|entry| text(entry, "hash")))
}

/// Whose log begins with this entry.
fn stream(entry: &Envelope) -> StreamId {
    let event = event_of(entry);
    // The platform's log names organizations too, but no organization is founded in it.
    if kind(&event) != "organization-founded" {
        return StreamId::PLATFORM;
    }
    text(&event, "organization").parse::<OrganizationId>().map_or(StreamId::PLATFORM, StreamId::from)
}
