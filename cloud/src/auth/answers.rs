//! What the requests that pass by the books were answered with, so that a repetition is answered alike and does nothing.
//!
//! Changes of licenses keep their answers in the books, in the transaction of the change. What is no change of licenses
//! (an API token, a device's certificate) keeps its answer here. Secrets are not among it: what is shown only once is
//! not shown by a repetition either. Answers are forgotten after a week.

use super::store::{TokenError, TokenStore};
use coterm_shared::time::{Seconds, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

/// For how long an answer is kept.
const KEPT: Seconds = Seconds::days(7);

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS api_answer (
    principal     TEXT NOT NULL,
    key           TEXT NOT NULL,
    fingerprint   BLOB NOT NULL CHECK (length(fingerprint) = 32),
    status        INTEGER NOT NULL,
    body          BLOB NOT NULL,
    at            INTEGER NOT NULL,
    PRIMARY KEY (principal, key)
) STRICT;
CREATE INDEX IF NOT EXISTS api_answer_at ON api_answer (at);";

/// An answer kept for a repetition of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Who asked; keys of different principals never meet.
    pub principal: String,
    /// The `Idempotency-Key`.
    pub key: String,
    /// SHA-256 of what was asked.
    pub fingerprint: [u8; 32],
    /// The HTTP status.
    pub status: u16,
    /// The body, without what is shown only once.
    pub body: Vec<u8>,
    /// When it was given.
    pub at: Timestamp,
}

impl TokenStore {
    /// The answer kept under a principal's key. Blocks on the disk.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn answer(&self, principal: &str, key: &str) -> Result<Option<KeptAnswer>, TokenError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT fingerprint, status, body, at FROM api_answer WHERE principal = ?1 AND key = ?2",
        )?;
        let found = statement.query_row([principal, key], |row| {
            Ok(KeptAnswer {
                principal: principal.to_owned(),
                key: key.to_owned(),
                fingerprint: row.get(0)?,
                status: row.get(1)?,
                body: row.get(2)?,
                at: Timestamp::from_secs_clamped(row.get::<_, i64>(3)?.unsigned_abs()),
            })
        });
        Ok(found.optional()?)
    }

    /// Keeps an answer. Blocks on the disk.
    ///
    /// # Errors
    /// The disk refuses; a repetition of the request is then a new one.
    pub fn keep_answer(&self, answer: &KeptAnswer) -> Result<(), TokenError> {
        keep(&self.connection(), answer)
    }
}

pub(super) fn keep(connection: &Connection, answer: &KeptAnswer) -> Result<(), TokenError> {
    let secs = |at: u64| i64::try_from(at).unwrap_or(i64::MAX);
    let at = answer.at.as_secs();
    connection.execute("DELETE FROM api_answer WHERE at < ?1", [secs(at.saturating_sub(KEPT.0))])?;
    connection.execute(
        "INSERT INTO api_answer (principal, key, fingerprint, status, body, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![answer.principal, answer.key, answer.fingerprint, answer.status, answer.body, secs(at)],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_outlives_a_restart_and_is_forgotten_after_a_week() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.db");
        let answer = |key: &str, day: u64| KeptAnswer {
            principal: String::from("tok_1"),
            key: key.to_owned(),
            fingerprint: [7; 32],
            status: 201,
            body: b"{}".to_vec(),
            at: Timestamp::from_secs(day * 86_400).unwrap(),
        };
        TokenStore::open(&path).unwrap().keep_answer(&answer("a", 100)).unwrap();
        let store = TokenStore::open(&path).unwrap();
        assert_eq!(store.answer("tok_1", "a").unwrap(), Some(answer("a", 100)));
        assert_eq!(store.answer("tok_2", "a").unwrap(), None, "keys of different principals never meet");
        store.keep_answer(&answer("b", 107)).unwrap();
        assert!(store.answer("tok_1", "a").unwrap().is_some());
        store.keep_answer(&answer("c", 108)).unwrap();
        assert_eq!(store.answer("tok_1", "a").unwrap(), None);
    }
}
