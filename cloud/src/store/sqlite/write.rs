//! Writing: one immediate transaction, with a savepoint around each change set.

use super::read::integer;
use crate::store::{
    Append, ChangeSet, Conflict, DeviceStatus, Envelope, IdempotencyRecord, Issued, Reads, Reservation,
    ReservationAct, Result, Snapshot, StreamId, Transaction, chain,
};
use coterm_shared::time::Timestamp;
use rusqlite::Connection;

/// A transaction on the SQLite file.
#[derive(Debug)]
pub struct SqliteTransaction<'a> {
    transaction: rusqlite::Transaction<'a>,
    /// The latest instant written, recorded once at commit.
    latest: Option<Timestamp>,
}

impl<'a> SqliteTransaction<'a> {
    pub(super) fn new(transaction: rusqlite::Transaction<'a>) -> SqliteTransaction<'a> {
        SqliteTransaction { transaction, latest: None }
    }

    fn run(&self, sql: &str) -> Result<()> {
        self.transaction.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// Everything of a change set, in order; the savepoint around it undoes what came before a conflict.
    fn write(&self, changes: &ChangeSet) -> Result<std::result::Result<(), Conflict>> {
        for append in &changes.appends {
            if let Err(conflict) = self.append(append, changes)? {
                return Ok(Err(conflict));
            }
        }
        for reservation in &changes.reservations {
            if let Err(conflict) = self.reserve(reservation)? {
                return Ok(Err(conflict));
            }
        }
        match &changes.idempotency {
            Some(record) => self.keep_response(record, changes.recorded_at),
            None => Ok(Ok(())),
        }
    }

    fn append(&self, append: &Append, changes: &ChangeSet) -> Result<std::result::Result<(), Conflict>> {
        let Append { stream, expected_version: expected, events } = append;
        let mut head = self.transaction.head(*stream)?;
        if head.version != *expected {
            return Ok(Err(Conflict::Version { stream: *stream, expected: *expected, actual: head.version }));
        }
        if events.is_empty() {
            return Ok(Ok(()));
        }
        let mut entries = Vec::with_capacity(events.len());
        for event in events {
            let mut entry = Envelope {
                seq: head.version.saturating_add(1),
                at: event.at,
                recorded_at: changes.recorded_at,
                actor: changes.actor.clone(),
                request_id: changes.request_id.clone(),
                event: event.event.clone(),
                hash: head.hash,
            };
            entry.hash = chain::link(&head.hash, &entry);
            head.version = entry.seq;
            head.hash = entry.hash;
            entries.push(entry);
        }
        self.transaction
            .prepare_cached(
                "INSERT INTO streams (stream, version, hash) VALUES ($1, $2, $3)
                 ON CONFLICT (stream) DO UPDATE SET version = excluded.version, hash = excluded.hash",
            )?
            .execute((stream.as_bytes(), integer(head.version)?, head.hash))?;
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO events (stream, version, at, recorded_at, actor, request_id, event, hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )?;
        for entry in &entries {
            insert.execute((
                stream.as_bytes(),
                integer(entry.seq)?,
                integer(entry.at.as_secs())?,
                integer(entry.recorded_at.as_secs())?,
                &entry.actor,
                &entry.request_id,
                &entry.event,
                entry.hash,
            ))?;
        }
        Ok(Ok(()))
    }

    fn reserve(&self, reservation: &Reservation) -> Result<std::result::Result<(), Conflict>> {
        let Reservation { stream, kind, value, act } = reservation;
        match act {
            ReservationAct::Reserve => match self.transaction.holder(kind, value)? {
                Some(holder) if holder != *stream => {
                    return Ok(Err(Conflict::Taken { kind: kind.clone(), value: value.clone(), holder }));
                }
                Some(_) => {}
                None => {
                    self.transaction
                        .prepare_cached("INSERT INTO reservations (kind, value, stream) VALUES ($1, $2, $3)")?
                        .execute((kind, value, stream.as_bytes()))?;
                }
            },
            ReservationAct::Release => {
                self.transaction
                    .prepare_cached(
                        "DELETE FROM reservations WHERE kind = $1 AND value = $2 AND stream = $3",
                    )?
                    .execute((kind, value, stream.as_bytes()))?;
            }
        }
        Ok(Ok(()))
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
        self.run("SAVEPOINT change_set")?;
        let outcome = self.write(changes)?;
        if outcome.is_err() {
            self.run("ROLLBACK TO change_set")?;
        } else {
            let instants =
                changes.appends.iter().flat_map(|append| append.events.iter().map(|event| event.at));
            self.latest = instants.chain(self.latest).chain([changes.recorded_at]).max();
        }
        self.run("RELEASE change_set")?;
        Ok(outcome)
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

    fn record_issued(&mut self, issued: &Issued, token: &[u8]) -> Result<()> {
        self.transaction
            .prepare_cached(
                "INSERT INTO issued
                 (device, organization, epoch, seq, wanted, issued_at, lease_ends_at, answers_nonce)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                 ON CONFLICT (device) DO UPDATE SET organization = excluded.organization, epoch = excluded.epoch,
                 seq = excluded.seq, wanted = excluded.wanted, issued_at = excluded.issued_at,
                 lease_ends_at = excluded.lease_ends_at, answers_nonce = excluded.answers_nonce",
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
            ))?;
        self.transaction
            .prepare_cached(
                "INSERT INTO issued_tokens (device, token) VALUES ($1, $2)
                 ON CONFLICT (device) DO UPDATE SET token = excluded.token",
            )?
            .execute((issued.device.as_str(), token))?;
        self.transaction
            .prepare_cached(
                "INSERT INTO sequences (organization, last_seq) VALUES ($1, $2)
                 ON CONFLICT (organization) DO UPDATE SET last_seq = max(last_seq, excluded.last_seq)",
            )?
            .execute((issued.organization.as_bytes(), integer(issued.seq)?))?;
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

    fn forget_responses(&mut self, before: Timestamp, limit: u32) -> Result<usize> {
        let mut delete = self.transaction.prepare_cached(
            "DELETE FROM idempotency WHERE (principal, key) IN
             (SELECT principal, key FROM idempotency WHERE recorded_at < $1 ORDER BY recorded_at LIMIT $2)",
        )?;
        Ok(delete.execute((integer(before.as_secs())?, limit))?)
    }

    fn commit(self) -> Result<()> {
        if let Some(latest) = self.latest {
            self.transaction
                .prepare_cached(
                    "INSERT INTO meta (name, value) VALUES ('last_event_at', $1)
                     ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
                )?
                .execute([integer(latest.as_secs())?])?;
        }
        self.transaction.commit()?;
        Ok(())
    }
}
