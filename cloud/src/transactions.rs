//! An entry of the transaction log as it is shown: the columns of an export, and what they are computed from (domain T1).
//!
//! **Problem.** Who reads an export believes all of it, not only what the hash covers. **Method.** A column is either
//! hashed itself, or computed from the hashed event by [`cells`]; there is no third kind. The daemon writes a line with
//! it, and who verifies reads the hashed columns, checks the hash, computes the line again and compares every cell.
//! **Deliberately absent:** names. An entry tells ids; what they are called now is not what was recorded.

use crate::store::{Envelope, Hash};
use coterm_shared::id::GroupId;
use coterm_shared::licensing::{Event, Figures, Units};
use coterm_shared::time::Timestamp;
use serde_json::Value;
use std::fmt::Write;

/// The columns of an export, in their order.
pub const COLUMNS: [&str; 13] = [
    "seq",
    "at",
    "recorded_at",
    "actor",
    "request_id",
    "type",
    "group",
    "coterm_before",
    "coterm_after",
    "capacity_before",
    "capacity_after",
    "event",
    "hash",
];

/// The columns that the hash covers (domain T1); every other one is computed from `event`, or is the hash.
pub const HASHED: [&str; 6] = ["seq", "at", "recorded_at", "actor", "request_id", "event"];

/// The event of an entry as JSON, null if it is none.
#[must_use]
pub fn event_of(entry: &Envelope) -> Value {
    serde_json::from_slice(&entry.event).unwrap_or(Value::Null)
}

/// The name of an event, empty if it has none.
#[must_use]
pub fn kind(event: &Value) -> &str {
    event.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// A group at one side of an entry.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Side {
    /// Its date, if it has one.
    pub coterm_at: Option<Timestamp>,
    /// Units its keys grant.
    pub capacity: Units,
    /// Units its devices consume.
    pub in_use: Units,
}

/// The figures of a group before and after, if the entry has them (domain T1).
#[must_use]
pub fn change(entry: &Envelope) -> Option<(GroupId, Side, Side)> {
    let event = serde_json::from_slice(&entry.event).ok()?;
    let Event::GroupAssessed { group, before, after, .. } = event else { return None };
    let side = |figures: Figures| Side {
        coterm_at: figures.term.coterm_at(),
        capacity: figures.capacity,
        in_use: figures.in_use,
    };
    Some((group, side(*before), side(*after)))
}

/// Bytes as lowercase hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The hash that [`hex`] wrote.
#[must_use]
pub fn unhex(text: &str) -> Option<Hash> {
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

/// The first line of an export.
#[must_use]
pub fn header() -> String {
    format!("{}\r\n", COLUMNS.join(","))
}

/// The cells of an entry, one for each of [`COLUMNS`], before CSV quotes them.
#[must_use]
pub fn cells(entry: &Envelope) -> [String; COLUMNS.len()] {
    let event = event_of(entry);
    let [group, old_date, new_date, old_units, new_units] = match change(entry) {
        Some((group, before, after)) => {
            [group.to_string(), date(&before), date(&after), units(&before), units(&after)]
        }
        None => Default::default(),
    };
    [
        entry.seq.to_string(),
        entry.at.to_string(),
        entry.recorded_at.to_string(),
        harmless(&entry.actor),
        harmless(&entry.request_id),
        harmless(kind(&event)),
        group,
        old_date,
        new_date,
        harmless(&old_units),
        harmless(&new_units),
        // As stored: with it and the rest of the line the hash can be computed again.
        harmless(&String::from_utf8_lossy(&entry.event)),
        hex(&entry.hash),
    ]
}

fn date(side: &Side) -> String {
    side.coterm_at.map(|at| at.to_string()).unwrap_or_default()
}

fn units(side: &Side) -> String {
    let units: Vec<String> = side.capacity.iter().map(|(product, n)| format!("{product}={n}")).collect();
    units.join(" ")
}

/// Writes an entry as a line of CSV (RFC 4180).
pub fn write_line(text: &mut String, entry: &Envelope) {
    let quoted = cells(entry).map(|cell| format!("\"{}\"", cell.replace('"', "\"\"")));
    let _ = write!(text, "{}\r\n", quoted.join(","));
}

/// The entry of a line, from the cells of its hashed columns and its hash.
///
/// That the other columns fit is for who compares the line with [`cells`] of what this returns.
///
/// # Errors
/// The first column that is not of an entry.
pub fn read<'a>(cell: impl Fn(&'static str) -> Option<&'a str>) -> Result<Envelope, &'static str> {
    let number = |column| cell(column)?.parse::<u64>().ok();
    let instant = |column| cell(column)?.parse::<Timestamp>().ok();
    let text = |column| cell(column).map(|text| text.strip_prefix('\'').unwrap_or(text).to_owned());
    Ok(Envelope {
        seq: number("seq").ok_or("seq")?,
        at: instant("at").ok_or("at")?,
        recorded_at: instant("recorded_at").ok_or("recorded_at")?,
        actor: text("actor").ok_or("actor")?,
        request_id: text("request_id").ok_or("request_id")?,
        event: text("event").ok_or("event")?.into_bytes(),
        hash: cell("hash").and_then(unhex).ok_or("hash")?,
    })
}

/// A cell as it was before it was made harmless; one that no export made so stays as it is.
pub(crate) fn as_written(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|text| harmless(text) != *text).unwrap_or(cell)
}

/// A leading apostrophe keeps spreadsheets from taking what people named for a formula: they look past white space, and
/// read full-width signs as their plain ones.
pub(crate) fn harmless(text: &str) -> String {
    let signs = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    // An apostrophe that is there already gets another: who reads the file back takes off exactly one.
    let formula = text.starts_with(['\'', '\t', '\r', '\n']) || text.trim_start().starts_with(signs);
    if formula { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(actor: &str) -> Envelope {
        Envelope {
            seq: 7,
            at: Timestamp::from_secs(10).unwrap(),
            recorded_at: Timestamp::from_secs(11).unwrap(),
            actor: actor.to_owned(),
            request_id: String::from("r"),
            event: br#"{"type":"groups-enabled"}"#.to_vec(),
            hash: [0xab; 32],
        }
    }

    #[test]
    fn a_cell_is_no_formula_and_no_second_cell_and_comes_back() {
        for (text, expect) in [
            ("a", "a"),
            ("", ""),
            ("a\"b,c\r\nd", "a\"b,c\r\nd"),
            ("'a", "''a"),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            (" \u{a0}=1", "' \u{a0}=1"),
            ("\tx", "'\tx"),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("camera=5", "camera=5"),
        ] {
            assert_eq!(harmless(text), expect);
            let mut line = header();
            write_line(&mut line, &entry(text));
            let mut reader = csv::Reader::from_reader(line.as_bytes());
            assert_eq!(reader.headers().unwrap(), COLUMNS.as_slice());
            let record = reader.records().next().unwrap().unwrap();
            let cell = |head| record.get(COLUMNS.iter().position(|column| *column == head)?);
            let found = read(cell).unwrap();
            assert_eq!(found, entry(text));
            assert_eq!(record.iter().collect::<Vec<_>>(), cells(&found));
        }
    }

    /// Domain T1: nothing in an export is taken on trust.
    #[test]
    fn every_column_is_hashed_or_computed_from_the_event() {
        let whole = entry("ada");
        let computed: Vec<&str> =
            COLUMNS.into_iter().filter(|column| !HASHED.contains(column) && *column != "hash").collect();
        let other = Envelope { event: b"{}".to_vec(), ..whole.clone() };
        let blank = Envelope {
            seq: 0,
            at: Timestamp::EPOCH,
            recorded_at: Timestamp::EPOCH,
            actor: String::new(),
            request_id: String::new(),
            hash: Hash::default(),
            event: whole.event.clone(),
        };
        for column in computed {
            let n = COLUMNS.iter().position(|name| *name == column).unwrap();
            assert_eq!(cells(&whole)[n], cells(&blank)[n], "{column} hangs on the event alone");
        }
        assert_ne!(cells(&whole)[5], cells(&other)[5]);
    }
}
