//! Where streams end, as the writer last left them.
//!
//! **Problem.** Every change wants to know where its stream ends, and the writer wrote that itself a moment ago.
//! **Method.** What was committed is remembered, for as long as nobody else commits: SQLite tells a connection whether
//! another one has (`data_version`), and under the write lock that cannot change any more. **Deliberately absent:** what
//! is not committed; a transaction keeps that for itself.

use crate::store::{Head, Result, StreamId};
use rusqlite::Connection;
use std::collections::HashMap;

/// The streams' ends that are known, one entry of 72 bytes for each stream at most.
#[derive(Debug, Default)]
pub(super) struct Heads {
    known: HashMap<StreamId, Head>,
    /// What SQLite counted when they were known.
    data_version: Option<i64>,
}

impl Heads {
    /// Forgets all if another connection has committed; call it under the write lock.
    pub(super) fn check(&mut self, connection: &Connection) -> Result<()> {
        let mut statement = connection.prepare_cached("PRAGMA data_version")?;
        let found = Some(statement.query_row([], |row| row.get(0))?);
        if self.data_version != found {
            self.known.clear();
            self.data_version = found;
        }
        Ok(())
    }

    /// Where a stream ends, if that is known.
    pub(super) fn get(&self, stream: StreamId) -> Option<Head> {
        self.known.get(&stream).copied()
    }

    /// Remembers what is committed.
    pub(super) fn extend(&mut self, committed: impl Iterator<Item = (StreamId, Head)>) {
        self.known.extend(committed);
    }

    /// Forgets all: it is not known what the database has.
    pub(super) fn forget(&mut self) {
        *self = Heads::default();
    }
}
