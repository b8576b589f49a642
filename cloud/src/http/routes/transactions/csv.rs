//! The log as CSV (RFC 4180), all of it: sent while it is read, so that its length is no matter.
//!
//! A few lines are in memory at a time, and reading goes only as fast as the other side takes them. A side that takes
//! nothing for a while, or stretches it out, is left alone. What ends early ends with a broken connection, never as if it
//! were complete: HTTP tells the one from the other.

use super::*;
use crate::http::layers::busy;
use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use std::fmt::Write;
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;

/// The longest that the other side takes nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest an export takes altogether.
const MAX_DURATION: Duration = Duration::from_secs(15 * 60);
/// Lines that are read at once, and sent in one piece.
const LINES: usize = 250;
/// Pieces that wait to be sent.
const WAITING: usize = 2;

const HEADER: &str = "seq,at,recorded_at,actor,request_id,type,group,coterm_before,coterm_after,capacity_before,\
                      capacity_after,event,hash\r\n";

/// A piece of an export, or its proper end.
enum Piece {
    Text(String),
    End,
}

/// Answers with every wanted line of the log.
pub(super) async fn export(api: &Api, log: Log, filter: Filter) -> Result<Response> {
    let slot = Arc::clone(api.exports()).try_acquire_owned().map_err(|_| busy())?;
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        if tokio::time::timeout(MAX_DURATION, send(log, filter, sender)).await != Ok(Ok(())) {
            tracing::warn!("an export of the log ended early");
        }
        drop(slot);
    });
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (CONTENT_DISPOSITION, "attachment; filename=\"transactions.csv\""),
    ];
    Ok((headers, body_of(receiver)).into_response())
}

fn body_of(receiver: mpsc::Receiver<Piece>) -> Body {
    Body::from_stream(futures_util::stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Piece::Text(text)) => Some((Ok(Bytes::from(text)), Some(receiver))),
            Some(Piece::End) => None,
            None => Some((Err(io::Error::other("the export ended early")), None)),
        }
    }))
}

/// It ended early; whoever reads finds that out by the broken connection.
#[derive(PartialEq, Eq)]
struct Broken;

async fn send(mut log: Log, filter: Filter, sender: mpsc::Sender<Piece>) -> std::result::Result<(), Broken> {
    let give = async |piece| sender.send_timeout(piece, PATIENCE).await.map_err(|_| Broken);
    give(Piece::Text(String::from(HEADER))).await?;
    loop {
        let lines = log.read(LINES).await.map_err(|_| Broken)?;
        if lines.is_empty() {
            return give(Piece::End).await;
        }
        let mut text = String::new();
        for line in lines.iter().filter(|line| filter.wants(line)) {
            write_line(&mut text, line);
        }
        if !text.is_empty() {
            give(Piece::Text(text)).await?;
        }
    }
}

fn write_line(text: &mut String, line: &Envelope) {
    let event = event_of(line);
    let [group, old_date, new_date, old_units, new_units] = match change(line) {
        Some((group, before, after)) => {
            let ([old_date, old_units], [new_date, new_units]) = (cells(&before), cells(&after));
            [group.to_string(), old_date, new_date, old_units, new_units]
        }
        None => Default::default(),
    };
    let cells = [&line.actor, &line.request_id, kind(&event), &group, &old_date, &new_date, &old_units]
        .map(cell)
        .join(",");
    // As stored: with it and the rest of the line the hash can be computed again.
    let stored = String::from_utf8_lossy(&line.event);
    let rest = [new_units.as_str(), &stored].map(cell).join(",");
    let (seq, at, recorded_at, hash) = (line.seq, line.at, line.recorded_at, hex(&line.hash));
    let _ = write!(text, "{seq},{at},{recorded_at},{cells},{rest},{hash}\r\n");
}

fn cells(side: &Side) -> [String; 2] {
    let date = side.coterm_at.map(|at| at.to_string()).unwrap_or_default();
    let units: Vec<String> = side.capacity.iter().map(|(product, n)| format!("{product}={n}")).collect();
    [date, units.join(" ")]
}

/// A cell (RFC 4180). A leading apostrophe keeps spreadsheets from taking what people named for a formula: they look past
/// white space, and read full-width signs as their plain ones.
fn cell(text: &str) -> String {
    let signs = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    // An apostrophe that is there already gets another: who reads the file back takes off exactly one.
    let formula = text.starts_with(['\'', '\t', '\r', '\n']) || text.trim_start().starts_with(signs);
    format!("\"{}{}\"", if formula { "'" } else { "" }, text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_ends_early_does_not_look_complete() {
        for (end, complete) in [(Some(Piece::End), true), (None, false)] {
            let (sender, receiver) = mpsc::channel(2);
            sender.send(Piece::Text(String::from(HEADER))).await.ok().unwrap();
            if let Some(end) = end {
                sender.send(end).await.ok().unwrap();
            }
            drop(sender);
            assert_eq!(axum::body::to_bytes(body_of(receiver), usize::MAX).await.is_ok(), complete);
        }
    }

    #[test]
    fn a_cell_is_no_formula_and_no_second_cell() {
        for (text, expect) in [
            ("a", "\"a\""),
            ("", "\"\""),
            ("a\"b,c\r\nd", "\"a\"\"b,c\r\nd\""),
            ("'a", "\"''a\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            (" \u{a0}=1", "\"' \u{a0}=1\""),
            ("\tx", "\"'\tx\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
            ("camera=5", "\"camera=5\""),
        ] {
            assert_eq!(cell(text), expect);
        }
    }
}
