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

#[cfg(test)]
mod tests {
    use super::super::SqliteStore;
    use crate::store::chain::verify_chain;
    use crate::store::{Append, ChangeSet, Conflict, EventStore, NewEvent, Result, StreamId, Transaction};
    use coterm_shared::time::Timestamp;

    const STREAM: StreamId = StreamId::from_bytes([1; 16]);

    fn changes(expected_version: u64) -> ChangeSet {
        let event = NewEvent { at: Timestamp::EPOCH, event: b"{}".to_vec() };
        ChangeSet {
            recorded_at: Timestamp::EPOCH,
            actor: "ada".to_owned(),
            request_id: "req-1".to_owned(),
            appends: vec![Append { stream: STREAM, expected_version, events: vec![event] }],
            reservations: Vec::new(),
            idempotency: None,
        }
    }

    fn append(store: &mut SqliteStore, expected_version: u64) -> Result<std::result::Result<(), Conflict>> {
        let mut tx = store.begin()?;
        let outcome = tx.apply(&changes(expected_version))?;
        tx.commit()?;
        Ok(outcome)
    }

    #[test]
    fn t1_what_another_writer_appended_is_seen_though_the_end_was_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("books.db");
        let mut ours = SqliteStore::open(&path).unwrap();
        let mut theirs = SqliteStore::open_unowned(&path).unwrap();
        append(&mut ours, 0).unwrap().unwrap();
        append(&mut ours, 1).unwrap().unwrap();
        append(&mut theirs, 2).unwrap().unwrap();
        let refused = append(&mut ours, 2).unwrap().unwrap_err();
        assert_eq!(refused, Conflict::Version { stream: STREAM, expected: 2, actual: 3 });
        append(&mut ours, 3).unwrap().unwrap();
        append(&mut theirs, 4).unwrap().unwrap();
        assert_eq!(verify_chain(ours.reads(), STREAM).unwrap().unwrap().entries, 5);
    }

    #[test]
    fn t1_what_was_not_committed_is_no_end() {
        let mut store = SqliteStore::in_memory("heads-rolled-back").unwrap();
        append(&mut store, 0).unwrap().unwrap();
        let mut tx = store.begin().unwrap();
        tx.apply(&changes(1)).unwrap().unwrap();
        drop(tx);
        append(&mut store, 1).unwrap().unwrap();
        assert_eq!(verify_chain(store.reads(), STREAM).unwrap().unwrap().entries, 2);
    }
}
