//! The first line of a file, and its lines as they come in.
//!
//! **Deliberately absent:** other signs between cells than commas. One file would then mean different things to different
//! programs; what a spreadsheet wrote with semicolons is refused and said.

use super::Kind;
use coterm_shared::licensing::import::field_of_line;
use coterm_shared::licensing::{Refusal, RefusalCode, Refusals, refusals_of};
use csv::{ByteRecord, Reader, ReaderBuilder};
use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// Bytes of a line at most: a quotation mark that is not closed makes one line of all that follows.
pub(super) const MAX_LINE_BYTES: u64 = 64 * 1024;

/// The lines of a file, none of them longer than it may be.
pub(super) struct Lines<R> {
    reader: Reader<Bounded<R>>,
    /// Bytes read since the last line was complete.
    pending: Rc<Cell<u64>>,
    /// Where the line begins that is read.
    line: u64,
}

/// A file that is not read on while one line is too long.
struct Bounded<R> {
    file: R,
    pending: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.pending.get() > MAX_LINE_BYTES {
            let why = format!("it has more than {MAX_LINE_BYTES} bytes: is a quotation mark not closed?");
            return Err(io::Error::other(why));
        }
        let count = self.file.read(to)?;
        self.pending.set(self.pending.get().saturating_add(count as u64));
        Ok(count)
    }
}

impl<R: Read> Lines<R> {
    pub(super) fn of(file: R) -> Lines<R> {
        let pending = Rc::new(Cell::new(0));
        // Lines are counted by their line feeds; a carriage return before one is white space, which is taken off all cells.
        let mut builder = ReaderBuilder::new();
        let builder = builder.has_headers(false).flexible(true).terminator(csv::Terminator::Any(b'\n'));
        let reader = builder.from_reader(Bounded { file, pending: pending.clone() });
        Lines { reader, pending, line: 1 }
    }

    /// The next line; false if there is none.
    pub(super) fn next(&mut self, record: &mut ByteRecord) -> Result<bool, Refusal> {
        self.line = self.reader.position().line();
        self.pending.set(0);
        self.reader.read_byte_record(record).map_err(|error| broken(self.line, &error))
    }
}

fn broken(line: u64, error: &csv::Error) -> Refusal {
    let message = format!("the line cannot be read: {error}");
    Refusal::new(RefusalCode::LineMalformed, message, "save it as CSV in UTF-8").at(field_of_line(line, None))
}

pub(super) fn header(message: impl Into<String>) -> Refusal {
    let hint = "the first line names the columns: coterm import template KIND prints an example";
    Refusal::new(RefusalCode::HeaderInvalid, message, hint).at(field_of_line(1, None))
}

/// Where every column is, all faults reported.
pub(super) fn heads(kind: Kind, record: &ByteRecord) -> Result<Vec<(&'static str, usize)>, Refusals> {
    let mut places: Vec<(&'static str, usize)> = Vec::new();
    let bytes = record.as_slice();
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(header("the file is UTF-16, not UTF-8").into());
    }
    let other = [(b';', "semicolons"), (b'\t', "tabs")].into_iter().find(|(sign, _)| bytes.contains(sign));
    if let (1, Some((_, what))) = (record.len(), other) {
        return Err(header(format!("the columns are separated by {what}, not by commas")).into());
    }
    let mut faults = Vec::new();
    for (index, bytes) in record.iter().enumerate() {
        let bytes = if index == 0 { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes) } else { bytes };
        let text = String::from_utf8_lossy(bytes);
        let name = text.trim().to_lowercase();
        match kind.columns().find(|column| *column == name) {
            None => {
                let known: Vec<&str> = kind.columns().collect();
                faults.push(header(format!(
                    "there is no column `{}`; there are {}",
                    text.trim(),
                    known.join(", ")
                )));
            }
            Some(column) => {
                if places.iter().any(|(known, _)| *known == column) {
                    faults.push(header(format!("column `{column}` is there twice")));
                }
                places.push((column, index));
            }
        }
    }
    let missing = kind.required().iter().filter(|column| places.iter().all(|(known, _)| known != *column));
    faults.extend(missing.map(|column| header(format!("column `{column}` is missing"))));
    refusals_of(faults).map_or(Ok(places), Err)
}
