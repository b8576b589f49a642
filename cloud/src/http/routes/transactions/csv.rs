//! The log as CSV (RFC 4180), all of it: sent while it is read, so that its length is no matter.
//!
//! A few lines are in memory at a time, and reading goes only as fast as the other side takes them. A side that takes
//! nothing for a while, or stretches it out, is left alone. What ends early ends with a broken connection, never as if it
//! were complete: HTTP tells the one from the other.

use super::*;
use crate::http::layers::busy;
use crate::transactions::{header, write_line};
use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
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
    give(Piece::Text(header())).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_ends_early_does_not_look_complete() {
        for (end, complete) in [(Some(Piece::End), true), (None, false)] {
            let (sender, receiver) = mpsc::channel(2);
            sender.send(Piece::Text(header())).await.ok().unwrap();
            if let Some(end) = end {
                sender.send(end).await.ok().unwrap();
            }
            drop(sender);
            assert_eq!(axum::body::to_bytes(body_of(receiver), usize::MAX).await.is_ok(), complete);
        }
    }
}
