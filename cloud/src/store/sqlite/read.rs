//! Reading: every query of the port, on any connection of the database.

use crate::store::{
    DeviceStatus, Envelope, Hash, Head, IdempotencyRecord, Issued, Note, Reads, Result, Snapshot, StoreError,
    StreamId, chain,
};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::time::Timestamp;
use coterm_shared::token::TokenDigest;
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, OptionalExtension, Row};

/// A column that holds something else than the schema promises.
pub(super) fn damaged(column: usize, kind: Type) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(FromSqlError::InvalidType))
}

/// A number of ours; SQLite's are signed.
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| damaged(column, Type::Integer))
}

pub(super) fn instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_secs(number(row, column)?).ok_or_else(|| damaged(column, Type::Integer))
}

fn device(row: &Row<'_>, column: usize) -> rusqlite::Result<DeviceId> {
    row.get::<_, String>(column)?.parse().map_err(|_| damaged(column, Type::Text))
}

fn issued(row: &Row<'_>) -> rusqlite::Result<Issued> {
    Ok(Issued {
        device: device(row, 0)?,
        organization: OrganizationId::from_bytes(row.get(1)?),
        epoch: number(row, 2)?,
        seq: number(row, 3)?,
        wanted: row.get(4)?,
        issued_at: instant(row, 5)?,
        lease_ends_at: instant(row, 6)?,
        answers_nonce: row.get(7)?,
    })
}

impl Reads for Connection {
    fn streams(&self) -> Result<Vec<StreamId>> {
        let mut statement = self.prepare_cached("SELECT stream FROM streams ORDER BY stream")?;
        let rows = statement.query_map([], |row| row.get(0).map(StreamId::from_bytes))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn head(&self, stream: StreamId) -> Result<Head> {
        let mut statement = self.prepare_cached("SELECT version, hash FROM streams WHERE stream = $1")?;
        let head = statement
            .query_row([stream.as_bytes()], |row| Ok(Head { version: number(row, 0)?, hash: row.get(1)? }))
            .optional()?;
        Ok(head.unwrap_or_else(|| Head { version: 0, hash: chain::genesis(stream) }))
    }

    fn entries(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<Envelope>> {
        let mut statement = self.prepare_cached(
            "SELECT version, at, recorded_at, actor, request_id, event, hash FROM events
             WHERE stream = $1 AND version > $2 ORDER BY version LIMIT $3",
        )?;
        // No version is above what SQLite can hold.
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let rows = statement.query_map((stream.as_bytes(), after, limit), |row| {
            Ok(Envelope {
                seq: number(row, 0)?,
                at: instant(row, 1)?,
                recorded_at: instant(row, 2)?,
                actor: row.get(3)?,
                request_id: row.get(4)?,
                event: row.get(5)?,
                hash: row.get::<_, Hash>(6)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn snapshot(&self, stream: StreamId) -> Result<Option<Snapshot>> {
        let mut statement =
            self.prepare_cached("SELECT schema, version, body FROM snapshots WHERE stream = $1")?;
        let found = statement.query_row([stream.as_bytes()], |row| {
            Ok(Snapshot { schema: row.get(0)?, version: number(row, 1)?, body: row.get(2)? })
        });
        Ok(found.optional()?)
    }

    fn position(&self) -> Result<u64> {
        let mut statement = self.prepare_cached("SELECT coalesce(max(position), 0) FROM events")?;
        Ok(statement.query_row([], |row| number(row, 0))?)
    }

    fn streams_after(&self, position: u64) -> Result<Vec<StreamId>> {
        let mut statement = self.prepare_cached("SELECT DISTINCT stream FROM events WHERE position > $1")?;
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        let rows = statement.query_map([position], |row| row.get(0).map(StreamId::from_bytes))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn last_event_at(&self) -> Result<Option<Timestamp>> {
        let mut statement = self.prepare_cached("SELECT value FROM meta WHERE name = 'last_event_at'")?;
        Ok(statement.query_row([], |row| instant(row, 0)).optional()?)
    }

    fn holder(&self, kind: &str, value: &str) -> Result<Option<StreamId>> {
        let mut statement =
            self.prepare_cached("SELECT stream FROM reservations WHERE kind = $1 AND value = $2")?;
        Ok(statement.query_row((kind, value), |row| row.get(0).map(StreamId::from_bytes)).optional()?)
    }

    fn idempotency(&self, principal: &str, key: &str) -> Result<Option<IdempotencyRecord>> {
        let mut statement = self.prepare_cached(
            "SELECT fingerprint, status, body FROM idempotency WHERE principal = $1 AND key = $2",
        )?;
        let found = statement.query_row((principal, key), |row| {
            Ok(IdempotencyRecord {
                principal: principal.to_owned(),
                key: key.to_owned(),
                fingerprint: row.get(0)?,
                status: row.get(1)?,
                body: row.get(2)?,
            })
        });
        Ok(found.optional()?)
    }

    fn last_seq(&self, organization: OrganizationId) -> Result<u64> {
        let mut statement = self.prepare_cached("SELECT last_seq FROM sequences WHERE organization = $1")?;
        let found = statement.query_row([organization.as_bytes()], |row| number(row, 0)).optional()?;
        Ok(found.unwrap_or(0))
    }

    fn each_issued(&self, each: &mut dyn FnMut(Issued, TokenDigest)) -> Result<()> {
        let mut statement = self.prepare(
            "SELECT device, organization, epoch, seq, wanted, issued_at, lease_ends_at, answers_nonce, digest
             FROM issued",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(issued(row)?, TokenDigest::from_bytes(row.get(8)?));
        }
        Ok(())
    }

    fn token(&self, device: &DeviceId) -> Result<Option<(Issued, Vec<u8>)>> {
        let mut statement = self.prepare_cached(
            "SELECT i.device, organization, epoch, seq, wanted, issued_at, lease_ends_at, answers_nonce, token
             FROM issued i JOIN issued_tokens t ON t.device = i.device WHERE i.device = $1",
        )?;
        let found = statement.query_row([device.as_str()], |row| Ok((issued(row)?, row.get(8)?)));
        Ok(found.optional()?)
    }

    fn each_status(&self, each: &mut dyn FnMut(DeviceStatus)) -> Result<()> {
        let mut statement = self.prepare("SELECT device, organization, heard_at, body FROM device_status")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(DeviceStatus {
                device: device(row, 0)?,
                organization: OrganizationId::from_bytes(row.get(1)?),
                heard_at: instant(row, 2)?,
                body: row.get(3)?,
            });
        }
        Ok(())
    }

    fn notes(&self, kind: &str) -> Result<Vec<Note>> {
        let mut statement =
            self.prepare_cached("SELECT subject, at, body FROM notes WHERE kind = $1 ORDER BY subject")?;
        let rows = statement.query_map([kind], |row| {
            Ok(Note { kind: kind.to_owned(), subject: row.get(0)?, at: instant(row, 1)?, body: row.get(2)? })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// A number of ours as SQLite holds it.
pub(super) fn integer(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| StoreError::Damaged(format!("{number} does not fit the database")))
}
