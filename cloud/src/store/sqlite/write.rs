//! Writing: one immediate transaction for many change sets.
//!
//! **Problem.** A transaction carries hundreds of change sets, each applied whole or not at all, and whoever waits for
//! one waits for all. **Method.** Everything a change set can conflict with is looked at before anything of it is
//! written, so there is nothing to undo and no savepoint; where a stream ends is read once and written once, at commit.
//! What is left for each event is its row.

use super::heads::Heads;
use super::read::integer;
use crate::store::chain::{self, Link};
use crate::store::{
    Append, ChangeSet, Conflict, DeviceStatus, Head, IdempotencyRecord, Issued, Note, NoteChange, Reads,
    Reservation, ReservationAct, Result, Snapshot, StreamId, Transaction,
};
use coterm_shared::id::OrganizationId;
use coterm_shared::time::Timestamp;
use coterm_shared::token::TokenDigest;
use rusqlite::{CachedStatement, Connection, TransactionBehavior};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

const INSERT_EVENT: &str =
    "INSERT INTO events (stream, version, at, recorded_at, actor, request_id, event, hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const WRITE_HEAD: &str = "INSERT INTO streams (stream, version, hash) VALUES ($1, $2, $3)
    ON CONFLICT (stream) DO UPDATE SET version = excluded.version, hash = excluded.hash";

/// Writes where a stream ends; `write` is [`WRITE_HEAD`].
fn write_head(write: &mut CachedStatement<'_>, stream: StreamId, head: Head) -> Result<()> {
    write.execute((stream.as_bytes(), integer(head.version)?, head.hash))?;
    Ok(())
}

/// A transaction on the SQLite file.
pub struct SqliteTransaction<'a> {
    /// Kept at hand for all events of the transaction; it ends before the transaction does.
    insert: Option<CachedStatement<'a>>,
    connection: &'a Connection,
    transaction: rusqlite::Transaction<'a>,
    /// The latest instant written, recorded once at commit.
    latest: Option<Timestamp>,
    /// Where the streams ended before it.
    before: &'a mut Heads,
    /// Where the streams end that were looked at; under the write lock nobody else moves them.
    heads: BTreeMap<StreamId, End>,
    /// The last sequence allocated or recorded for each organization looked at, written once at commit.
    sequences: BTreeMap<OrganizationId, u64>,
}

/// Where a stream ends inside the transaction.
#[derive(Clone, Copy, Debug)]
struct End {
    head: Head,
    /// Whether that is still to be written.
    moved: bool,
}

impl fmt::Debug for SqliteTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteTransaction").field("heads", &self.heads).finish_non_exhaustive()
    }
}

impl<'a> SqliteTransaction<'a> {
    pub(super) fn begin(connection: &'a Connection, before: &'a mut Heads) -> Result<SqliteTransaction<'a>> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = rusqlite::Transaction::new_unchecked(connection, behavior)?;
        before.check(connection)?;
        Ok(SqliteTransaction {
            insert: None,
            connection,
            transaction,
            before,
            latest: None,
            heads: BTreeMap::new(),
            sequences: BTreeMap::new(),
        })
    }

    /// Where a stream ends, with what this transaction appended.
    fn head(&mut self, stream: StreamId) -> Result<Head> {
        if let Some(end) = self.heads.get(&stream) {
            return Ok(end.head);
        }
        let head = match self.before.get(stream) {
            Some(head) => head,
            None => self.transaction.head(stream)?,
        };
        self.heads.insert(stream, End { head, moved: false });
        Ok(head)
    }

    /// What keeps a change set from being applied, except that its response may be kept already.
    fn conflict(&mut self, changes: &ChangeSet) -> Result<Option<Conflict>> {
        for (index, append) in changes.appends.iter().enumerate() {
            let earlier = changes.appends.iter().take(index).filter(|other| other.stream == append.stream);
            let earlier = earlier.fold(0_u64, |sum, other| sum.saturating_add(other.events.len() as u64));
            let actual = self.head(append.stream)?.version.saturating_add(earlier);
            if actual != append.expected_version {
                let (stream, expected) = (append.stream, append.expected_version);
                return Ok(Some(Conflict::Version { stream, expected, actual }));
            }
        }
        // Who holds each name after those before it in this change set.
        let mut holders: HashMap<(&str, &str), Option<StreamId>> = HashMap::new();
        for name in &changes.reservations {
            let key = (name.kind.as_str(), name.value.as_str());
            let holder = match holders.get(&key) {
                Some(holder) => *holder,
                None => self.transaction.holder(key.0, key.1)?,
            };
            let others = holder.filter(|holder| *holder != name.stream);
            let after = match (name.act, others) {
                (ReservationAct::Reserve, Some(holder)) => {
                    let (kind, value) = (name.kind.clone(), name.value.clone());
                    return Ok(Some(Conflict::Taken { kind, value, holder }));
                }
                (ReservationAct::Reserve, None) => Some(name.stream),
                (ReservationAct::Release, others) => others,
            };
            holders.insert(key, after);
        }
        Ok(None)
    }

    fn append(&mut self, append: &Append, changes: &ChangeSet) -> Result<()> {
        let Append { stream, events, .. } = append;
        if events.is_empty() {
            return Ok(());
        }
        let mut head = self.head(*stream)?;
        if head.version == 0 {
            // The log refers to its stream, which therefore comes first.
            write_head(&mut self.transaction.prepare_cached(WRITE_HEAD)?, *stream, head)?;
        }
        let insert = match &mut self.insert {
            Some(insert) => insert,
            none => none.insert(self.connection.prepare_cached(INSERT_EVENT)?),
        };
        for event in events {
            let seq = head.version.saturating_add(1);
            let link = Link {
                seq,
                at: event.at,
                recorded_at: changes.recorded_at,
                actor: &changes.actor,
                request_id: &changes.request_id,
                event: &event.event,
            };
            head = Head { version: seq, hash: chain::link(&head.hash, link) };
            insert.execute((
                stream.as_bytes(),
                integer(seq)?,
                integer(event.at.as_secs())?,
                integer(changes.recorded_at.as_secs())?,
                &changes.actor,
                &changes.request_id,
                &event.event,
                head.hash,
            ))?;
        }
        self.heads.insert(*stream, End { head, moved: true });
        Ok(())
    }

    fn reserve(&self, reservation: &Reservation) -> Result<()> {
        let Reservation { stream, kind, value, act } = reservation;
        let sql = match act {
            // Held by this stream already: nothing to do. Held by another was a conflict.
            ReservationAct::Reserve => {
                "INSERT INTO reservations (kind, value, stream) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
            }
            ReservationAct::Release => {
                "DELETE FROM reservations WHERE kind = $1 AND value = $2 AND stream = $3"
            }
        };
        self.transaction.prepare_cached(sql)?.execute((kind, value, stream.as_bytes()))?;
        Ok(())
    }

    fn keep_response(
        &self,
        record: &IdempotencyRecord,
        at: Timestamp,
    ) -> Result<std::result::Result<(), Conflict>> {
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO idempotency (principal, key, fingerprint, status, body, recorded_at)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        )?;
        let IdempotencyRecord { principal, key, fingerprint, status, body } = record;
        let kept = insert.execute((principal, key, fingerprint, status, body, integer(at.as_secs())?))?;
        Ok(if kept == 1 { Ok(()) } else { Err(Conflict::IdempotencyKey { key: key.clone() }) })
    }
}

impl Transaction for SqliteTransaction<'_> {
    type Reader = Connection;

    fn reads(&self) -> &Connection {
        &self.transaction
    }

    fn apply(&mut self, changes: &ChangeSet) -> Result<std::result::Result<(), Conflict>> {
        if let Some(conflict) = self.conflict(changes)? {
            return Ok(Err(conflict));
        }
        // First, because it is the one conflict that shows only in writing.
        if let Some(record) = &changes.idempotency
            && let Err(conflict) = self.keep_response(record, changes.recorded_at)?
        {
            return Ok(Err(conflict));
        }
        for append in &changes.appends {
            self.append(append, changes)?;
        }
        for reservation in &changes.reservations {
            self.reserve(reservation)?;
        }
        let instants = changes.appends.iter().flat_map(|append| append.events.iter().map(|event| event.at));
        self.latest = instants.chain(self.latest).chain([changes.recorded_at]).max();
        Ok(Ok(()))
    }

    fn save_snapshot(&mut self, stream: StreamId, snapshot: &Snapshot) -> Result<()> {
        self.transaction
            .prepare_cached(
                "INSERT INTO snapshots (stream, schema, version, body) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (stream) DO UPDATE
                 SET schema = excluded.schema, version = excluded.version, body = excluded.body",
            )?
            .execute((stream.as_bytes(), snapshot.schema, integer(snapshot.version)?, &snapshot.body))?;
        Ok(())
    }

    fn next_seq(&mut self, organization: OrganizationId, at_least: u64) -> Result<u64> {
        let last = match self.sequences.get(&organization) {
            Some(last) => *last,
            None => self.transaction.last_seq(organization)?,
        };
        let seq = last.saturating_add(1).max(at_least);
        self.sequences.insert(organization, seq);
        Ok(seq)
    }

    fn record_issued(&mut self, issued: &Issued, token: &[u8]) -> Result<()> {
        self.transaction
            .prepare_cached(
                "INSERT INTO issued
                 (device, organization, epoch, seq, wanted, issued_at, lease_ends_at, answers_nonce, digest)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                 ON CONFLICT (device) DO UPDATE SET organization = excluded.organization, epoch = excluded.epoch,
                 seq = excluded.seq, wanted = excluded.wanted, issued_at = excluded.issued_at,
                 lease_ends_at = excluded.lease_ends_at, answers_nonce = excluded.answers_nonce,
                 digest = excluded.digest",
            )?
            .execute((
                issued.device.as_str(),
                issued.organization.as_bytes(),
                integer(issued.epoch)?,
                integer(issued.seq)?,
                issued.wanted,
                integer(issued.issued_at.as_secs())?,
                integer(issued.lease_ends_at.as_secs())?,
                issued.answers_nonce,
                TokenDigest::of(token).to_bytes(),
            ))?;
        self.transaction
            .prepare_cached(
                "INSERT INTO issued_tokens (device, token) VALUES ($1, $2)
                 ON CONFLICT (device) DO UPDATE SET token = excluded.token",
            )?
            .execute((issued.device.as_str(), token))?;
        let last = self.sequences.entry(issued.organization).or_default();
        *last = issued.seq.max(*last);
        Ok(())
    }

    fn record_status(&mut self, status: &DeviceStatus) -> Result<()> {
        self.transaction
            .prepare_cached(
                "INSERT INTO device_status (device, organization, heard_at, body) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (device) DO UPDATE SET organization = excluded.organization,
                 heard_at = excluded.heard_at, body = excluded.body",
            )?
            .execute((
                status.device.as_str(),
                status.organization.as_bytes(),
                integer(status.heard_at.as_secs())?,
                &status.body,
            ))?;
        Ok(())
    }

    fn change_note(&mut self, change: &NoteChange) -> Result<()> {
        match change {
            NoteChange::Keep(Note { kind, subject, at, body }) => self
                .transaction
                .prepare_cached(
                    "INSERT INTO notes (kind, subject, at, body) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (kind, subject) DO UPDATE SET at = excluded.at, body = excluded.body",
                )?
                .execute((kind, subject, integer(at.as_secs())?, body))?,
            NoteChange::Forget { kind, subject } => self
                .transaction
                .prepare_cached("DELETE FROM notes WHERE kind = $1 AND subject = $2")?
                .execute((kind, subject))?,
        };
        Ok(())
    }

    fn forget_responses(&mut self, before: Timestamp, limit: u32) -> Result<usize> {
        let mut delete = self.transaction.prepare_cached(
            "DELETE FROM idempotency WHERE (principal, key) IN
             (SELECT principal, key FROM idempotency WHERE recorded_at < $1 ORDER BY recorded_at LIMIT $2)",
        )?;
        Ok(delete.execute((integer(before.as_secs())?, limit))?)
    }

    fn commit(mut self) -> Result<()> {
        self.insert = None;
        let mut write = self.transaction.prepare_cached(WRITE_HEAD)?;
        for (stream, end) in self.heads.iter().filter(|(_, end)| end.moved) {
            write_head(&mut write, *stream, end.head)?;
        }
        drop(write);
        for (organization, last_seq) in &self.sequences {
            self.transaction
                .prepare_cached(
                    "INSERT INTO sequences (organization, last_seq) VALUES ($1, $2)
                     ON CONFLICT (organization) DO UPDATE SET last_seq = max(last_seq, excluded.last_seq)",
                )?
                .execute((organization.as_bytes(), integer(*last_seq)?))?;
        }
        if let Some(latest) = self.latest {
            self.transaction
                .prepare_cached(
                    "INSERT INTO meta (name, value) VALUES ('last_event_at', $1)
                     ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
                )?
                .execute([integer(latest.as_secs())?])?;
        }
        let SqliteTransaction { transaction, before, heads, .. } = self;
        transaction.commit().inspect_err(|_| before.forget())?;
        before.extend(heads.into_iter().map(|(stream, end)| (stream, end.head)));
        Ok(())
    }
}
