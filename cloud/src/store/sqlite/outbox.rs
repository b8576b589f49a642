//! The outbox in SQLite: reading on any connection, writing inside a transaction.

use super::read::{damaged, instant, integer};
use super::write::SqliteTransaction;
use crate::store::outbox::{
    Audience, Delivery, DeliveryState, DueDelivery, ENDPOINTS_MAX, Endpoint, EndpointKind, NewNotice,
    NoticeQuery, OutboxChange, OutboxFigures, OutboxReads, OutboxWrites, Recipients, StoredNotice, VENDOR,
};
use crate::store::{Result, StoreError, Transaction};
use coterm_shared::id::{EndpointId, NoticeId, OrganizationId};
use coterm_shared::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};

const NOTICE: &str = "n.id, n.organization, n.kind, n.made_at, n.head, n.body";
const DELIVERY: &str = "d.notice, d.endpoint, d.kind, d.address, d.state, d.attempts, d.since, d.next_at, d.forced, d.error, \
                        d.ended_at, d.audience";
const ENDPOINT: &str = "e.id, e.organization, e.kind, e.address, e.secret, e.old_secret, e.old_secret_until, e.created_at, e.created_by";

fn optional_instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    match row.get::<_, Option<i64>>(column)? {
        Some(_) => instant(row, column).map(Some),
        None => Ok(None),
    }
}

fn kind(row: &Row<'_>, column: usize) -> rusqlite::Result<EndpointKind> {
    EndpointKind::parse(&row.get::<_, String>(column)?).ok_or_else(|| damaged(column, Type::Text))
}

fn notice(row: &Row<'_>, from: usize) -> rusqlite::Result<StoredNotice> {
    let column = |n: usize| from.saturating_add(n);
    Ok(StoredNotice {
        id: NoticeId::from_bytes(row.get(column(0))?),
        organization: OrganizationId::from_bytes(row.get(column(1))?),
        kind: row.get(column(2))?,
        made_at: instant(row, column(3))?,
        head: row.get(column(4))?,
        body: row.get(column(5))?,
    })
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let state = DeliveryState::parse(&row.get::<_, String>(4)?).ok_or_else(|| damaged(4, Type::Text))?;
    let audience = Audience::parse(&row.get::<_, String>(11)?).ok_or_else(|| damaged(11, Type::Text))?;
    Ok(Delivery {
        audience,
        notice: NoticeId::from_bytes(row.get(0)?),
        endpoint: EndpointId::from_bytes(row.get(1)?),
        kind: kind(row, 2)?,
        address: row.get(3)?,
        state,
        attempts: row.get(5)?,
        since: instant(row, 6)?,
        next_at: instant(row, 7)?,
        forced: row.get(8)?,
        error: row.get(9)?,
        ended_at: optional_instant(row, 10)?,
    })
}

fn endpoint(row: &Row<'_>, from: usize) -> rusqlite::Result<Endpoint> {
    let column = |n: usize| from.saturating_add(n);
    let old: Option<Vec<u8>> = row.get(column(5))?;
    Ok(Endpoint {
        id: EndpointId::from_bytes(row.get(column(0))?),
        organization: OrganizationId::from_bytes(row.get(column(1))?),
        kind: kind(row, column(2))?,
        address: row.get(column(3))?,
        secret: row.get(column(4))?,
        old_secret: old.zip(optional_instant(row, column(6))?),
        created_at: instant(row, column(7))?,
        created_by: row.get(column(8))?,
    })
}

/// The endpoint there is none of.
fn buyer(of: &Delivery) -> Endpoint {
    Endpoint {
        id: of.endpoint,
        organization: VENDOR,
        kind: of.kind,
        address: of.address.clone(),
        secret: None,
        old_secret: None,
        created_at: of.since,
        created_by: String::new(),
    }
}

impl OutboxReads for Connection {
    fn told(&self, organization: OrganizationId, topic: &str) -> Result<Option<Vec<u8>>> {
        let mut statement =
            self.prepare_cached("SELECT mark FROM told WHERE organization = ?1 AND topic = ?2")?;
        Ok(statement.query_row((organization.as_bytes(), topic), |row| row.get(0)).optional()?)
    }

    fn marks_after(
        &self,
        after: Option<&(OrganizationId, String)>,
        limit: u32,
    ) -> Result<Vec<(OrganizationId, String, Vec<u8>)>> {
        let mut statement = self.prepare_cached(
            "SELECT organization, topic, mark FROM told WHERE (organization, topic) > (?1, ?2)
             ORDER BY organization, topic LIMIT ?3",
        )?;
        // No topic is empty, and no organization is all zeros.
        let (organization, topic) =
            after.map_or((VENDOR, ""), |(organization, topic)| (*organization, topic.as_str()));
        let rows = statement.query_map((organization.as_bytes(), topic, limit), |row| {
            Ok((OrganizationId::from_bytes(row.get(0)?), row.get(1)?, row.get(2)?))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn endpoints(&self, organization: OrganizationId) -> Result<Vec<Endpoint>> {
        let sql = format!("SELECT {ENDPOINT} FROM endpoints e WHERE e.organization = ?1 ORDER BY e.id");
        let mut statement = self.prepare_cached(&sql)?;
        let rows = statement.query_map([organization.as_bytes()], |row| endpoint(row, 0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn stored_notices(&self, query: &NoticeQuery, limit: u32) -> Result<Vec<StoredNotice>> {
        let NoticeQuery { organization, before, dead } = query;
        let mut wanted = vec!["(?1 IS NULL OR n.organization = ?1)", "(?2 IS NULL OR n.id < ?2)"];
        if organization.is_some() {
            wanted.push("n.organization = ?1");
        }
        if *dead {
            wanted.push(
                "n.id IN (SELECT notice FROM deliveries WHERE state = 'dead' AND (?1 IS NULL OR audience <> 'vendor'))",
            );
        }
        let wanted = wanted.join(" AND ");
        let sql = format!("SELECT {NOTICE} FROM notices n WHERE {wanted} ORDER BY n.id DESC LIMIT ?3");
        let mut statement = self.prepare_cached(&sql)?;
        let organization = organization.as_ref().map(OrganizationId::as_bytes);
        let before = before.as_ref().map(NoticeId::as_bytes);
        let rows = statement.query_map((organization, before, limit), |row| notice(row, 0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn deliveries(&self, notice: NoticeId) -> Result<Vec<Delivery>> {
        let sql = format!("SELECT {DELIVERY} FROM deliveries d WHERE d.notice = ?1 ORDER BY d.endpoint");
        let mut statement = self.prepare_cached(&sql)?;
        let rows = statement.query_map([notice.as_bytes()], delivery)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn due_deliveries(&self, now: Timestamp, kind: EndpointKind, limit: u32) -> Result<Vec<DueDelivery>> {
        let sql = format!(
            "WITH first AS (SELECT endpoint, min(next_at) AS next_at FROM deliveries WHERE state = 'waiting'
                            AND kind = ?2 GROUP BY endpoint HAVING min(next_at) <= ?1 ORDER BY 2 LIMIT ?3)
             SELECT {DELIVERY}, {NOTICE}, {ENDPOINT} FROM first
             JOIN deliveries d ON d.endpoint = first.endpoint AND d.notice =
                 (SELECT notice FROM deliveries WHERE state = 'waiting' AND endpoint = first.endpoint
                  AND next_at = first.next_at ORDER BY notice LIMIT 1)
             JOIN notices n ON n.id = d.notice LEFT JOIN endpoints e ON e.id = d.endpoint
             ORDER BY first.next_at"
        );
        let mut statement = self.prepare_cached(&sql)?;
        let rows = statement.query_map((integer(now.as_secs())?, kind.name(), limit), |row| {
            let has_endpoint = row.get::<_, Option<Vec<u8>>>(18)?.is_some();
            let delivery = delivery(row)?;
            let endpoint = match (has_endpoint, delivery.audience) {
                (true, _) => Some(endpoint(row, 18)?),
                (false, Audience::Buyer) => Some(buyer(&delivery)),
                (false, Audience::Organization | Audience::Vendor) => None,
            };
            Ok(DueDelivery { delivery, notice: notice(row, 12)?, endpoint })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn outbox_figures(&self) -> Result<OutboxFigures> {
        let waiting: i64 = self
            .prepare_cached("SELECT count(*) FROM deliveries WHERE state = 'waiting'")?
            .query_row([], |row| row.get(0))?;
        let mut statement = self.prepare_cached(
            "SELECT n.organization, count(*) FROM deliveries d JOIN notices n ON n.id = d.notice
             WHERE d.state = 'dead' GROUP BY n.organization ORDER BY n.organization",
        )?;
        let rows = statement.query_map([], |row| {
            let count: i64 = row.get(1)?;
            Ok((OrganizationId::from_bytes(row.get(0)?), u64::try_from(count).unwrap_or(0)))
        })?;
        let dead = rows.collect::<rusqlite::Result<_>>()?;
        Ok(OutboxFigures { waiting: u64::try_from(waiting).unwrap_or(0), dead })
    }
}

impl OutboxWrites for SqliteTransaction<'_> {
    fn change_outbox(&mut self, change: &OutboxChange) -> Result<usize> {
        let connection = self.reads();
        match change {
            OutboxChange::Tell(new) => tell(connection, new),
            OutboxChange::Add(endpoint) => add(connection, endpoint),
            OutboxChange::Remove { organization, id, at } => {
                let removed = connection
                    .prepare_cached("DELETE FROM endpoints WHERE id = ?1 AND organization = ?2")?
                    .execute((id.as_bytes(), organization.as_bytes()))?;
                if removed > 0 {
                    connection
                        .prepare_cached(
                            "UPDATE deliveries SET state = 'dropped', ended_at = ?2, error = 'the endpoint was removed'
                             WHERE endpoint = ?1 AND state = 'waiting'",
                        )?
                        .execute((id.as_bytes(), integer(at.as_secs())?))?;
                }
                Ok(removed)
            }
            OutboxChange::Rotate { organization, id, secret, until } => Ok(connection
                .prepare_cached(
                    "UPDATE endpoints SET old_secret = secret, old_secret_until = ?4, secret = ?3
                     WHERE id = ?1 AND organization = ?2 AND kind = 'webhook'",
                )?
                .execute((id.as_bytes(), organization.as_bytes(), secret, integer(until.as_secs())?))?),
            OutboxChange::Take { notice, endpoint, until } => Ok(connection
                .prepare_cached(
                    "UPDATE deliveries SET attempts = attempts + 1, next_at = ?3
                     WHERE notice = ?1 AND endpoint = ?2 AND state = 'waiting'",
                )?
                .execute((notice.as_bytes(), endpoint.as_bytes(), integer(until.as_secs())?))?),
            OutboxChange::Retry { notice, endpoint, at, error } => {
                connection
                    .prepare_cached(
                        "UPDATE deliveries SET next_at = max(next_at, ?2) WHERE endpoint = ?1 AND state = 'waiting'",
                    )?
                    .execute((endpoint.as_bytes(), integer(at.as_secs())?))?;
                Ok(connection
                    .prepare_cached(
                        "UPDATE deliveries SET next_at = ?3, error = ?4
                         WHERE notice = ?1 AND endpoint = ?2 AND state = 'waiting'",
                    )?
                    .execute((notice.as_bytes(), endpoint.as_bytes(), integer(at.as_secs())?, error))?)
            }
            OutboxChange::End { notice, endpoint, state, at, error } => Ok(connection
                .prepare_cached(
                    "UPDATE deliveries SET state = ?3, ended_at = ?4, error = ?5
                     WHERE notice = ?1 AND endpoint = ?2 AND state = 'waiting'",
                )?
                .execute((
                    notice.as_bytes(),
                    endpoint.as_bytes(),
                    state.name(),
                    integer(at.as_secs())?,
                    error,
                ))?),
            OutboxChange::Redeliver { organization, notice, endpoint, at } => Ok(connection
                .prepare_cached(
                    "UPDATE deliveries SET state = 'waiting', attempts = 0, since = ?4, next_at = ?4, forced = 1,
                     error = NULL, ended_at = NULL
                     WHERE notice = ?1 AND notice IN (SELECT id FROM notices WHERE ?2 IS NULL OR organization = ?2)
                     AND CASE WHEN ?3 IS NULL THEN state IN ('dead', 'dropped')
                              ELSE endpoint = ?3 AND state <> 'waiting' END
                     AND (audience = 'buyer' OR endpoint IN (SELECT id FROM endpoints))",
                )?
                .execute((
                    notice.as_bytes(),
                    organization.as_ref().map(OrganizationId::as_bytes),
                    endpoint.as_ref().map(EndpointId::as_bytes),
                    integer(at.as_secs())?,
                ))?),
            OutboxChange::Unmark { organization, topic } => Ok(connection
                .prepare_cached("DELETE FROM told WHERE organization = ?1 AND topic = ?2")?
                .execute((organization.as_bytes(), topic))?),
            OutboxChange::Forget { before, limit } => Ok(connection
                .prepare_cached(
                    "DELETE FROM notices WHERE id IN (SELECT id FROM notices n WHERE n.made_at < ?1 AND NOT EXISTS
                     (SELECT 1 FROM deliveries d WHERE d.notice = n.id AND d.state = 'waiting')
                     ORDER BY n.made_at LIMIT ?2)",
                )?
                .execute((integer(before.as_secs())?, limit))?),
        }
    }
}

fn tell(connection: &Connection, new: &NewNotice) -> Result<usize> {
    let NewNotice { notice, marks, to } = new;
    let made_at = integer(notice.made_at.as_secs())?;
    let (id, organization) = (notice.id.as_bytes(), notice.organization.as_bytes());
    connection
        .prepare_cached(
            "INSERT INTO notices (id, organization, kind, made_at, head, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((id, organization, &notice.kind, made_at, &notice.head, &notice.body))?;
    for (topic, mark) in marks {
        connection
            .prepare_cached(
                "INSERT INTO told (organization, topic, mark) VALUES (?1, ?2, ?3)
                 ON CONFLICT (organization, topic) DO UPDATE SET mark = excluded.mark",
            )?
            .execute((organization, topic, mark))?;
    }
    let (only, vendor) = match to {
        Recipients::Buyer { id: buyer, address } => {
            connection
                .prepare_cached(
                    "INSERT INTO deliveries (notice, endpoint, kind, address, state, attempts, since, next_at, forced,
                     audience) VALUES (?1, ?2, 'email', ?3, 'waiting', 0, ?4, ?4, 0, 'buyer')",
                )?
                .execute((id, buyer.as_bytes(), address, made_at))?;
            return Ok(1);
        }
        Recipients::Organization => (None, None),
        Recipients::OrganizationAndVendor => (None, Some(VENDOR.as_bytes())),
        Recipients::Only(endpoint) => (Some(endpoint.as_bytes()), None),
    };
    connection
        .prepare_cached(
            "INSERT INTO deliveries (notice, endpoint, kind, address, state, attempts, since, next_at, forced, audience)
             SELECT ?1, id, kind, address, 'waiting', 0, ?3, ?3, ?4 IS NOT NULL,
                    CASE organization WHEN ?6 THEN 'vendor' ELSE 'organization' END
             FROM endpoints WHERE organization IN (?2, ?5) AND (?4 IS NULL OR id = ?4)",
        )?
        .execute((id, organization, made_at, only, vendor, VENDOR.as_bytes()))?;
    Ok(1)
}

fn add(connection: &Connection, endpoint: &Endpoint) -> Result<usize> {
    let Endpoint { id, organization, kind, address, secret, created_at, created_by, .. } = endpoint;
    let mut insert = connection.prepare_cached(
        "INSERT INTO endpoints (id, organization, kind, address, secret, created_at, created_by)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
         WHERE (SELECT count(*) FROM endpoints WHERE organization = ?2) < ?8
         ON CONFLICT DO NOTHING",
    )?;
    let created_at = integer(created_at.as_secs())?;
    let (id, organization) = (id.as_bytes(), organization.as_bytes());
    let done = insert.execute((
        id,
        organization,
        kind.name(),
        address,
        secret,
        created_at,
        created_by,
        ENDPOINTS_MAX,
    ));
    done.map_err(StoreError::from)
}
