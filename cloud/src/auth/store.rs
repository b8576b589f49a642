//! Where API tokens are kept: a table of hashes, and a map of it in memory.
//!
//! The table may lie in the same database file as the books, so that one file is the backup, but is written through a
//! connection of its own: tokens are not licensing events, and change rarely. A request is authenticated from memory
//! alone. What is acknowledged is on disk first, so a revoked token stays revoked.

use super::answers::{self, KeptAnswer};
use super::role::{Principal, Role, RoleName};
use super::secret::SecretHash;
use coterm_shared::id::OrganizationId;
use coterm_shared::time::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

/// How many tokens that are not revoked may exist at once.
const MAX_TOKENS: usize = 10_000;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS api_token (
    id            TEXT PRIMARY KEY,
    hash          BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    name          TEXT NOT NULL,
    role          TEXT NOT NULL,
    organization  TEXT,
    created_at    INTEGER NOT NULL,
    created_by    TEXT NOT NULL,
    expires_at    INTEGER,
    revoked_at    INTEGER
) STRICT;";

/// The public id of a token: `tok_` and 32 hexadecimal digits. It is no credential.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TokenId(String);

impl TokenId {
    /// The id with these 16 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> TokenId {
        TokenId(format!("tok_{}", uuid::Uuid::from_bytes(bytes).simple()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id with this text, if it has the form of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<TokenId> {
        let id = TokenId::from_bytes(*uuid::Uuid::try_parse(text.strip_prefix("tok_")?).ok()?.as_bytes());
        (id.0 == text).then_some(id)
    }
}

/// What is known of a token; the token itself is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenRecord {
    /// Its public id.
    pub id: TokenId,
    /// The name people gave it.
    pub name: String,
    /// What it may do.
    pub role: RoleName,
    /// Where; absent for the vendor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it stops working by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

impl TokenRecord {
    /// Its role, if what is stored makes sense.
    #[must_use]
    pub fn scope(&self) -> Option<Role> {
        self.role.scoped(self.organization)
    }

    fn works_at(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }
}

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The database refused.
    #[error("the token table cannot be used")]
    Database(#[from] rusqlite::Error),
    /// A row nobody of this version can have written.
    #[error("the token table holds a row that makes no sense: {0}")]
    Corrupt(String),
    /// As many tokens as there may be.
    #[error("there are {MAX_TOKENS} tokens already; revoke some")]
    Full,
}

/// The tokens. Its methods block on the disk when they write; reading is from memory.
pub struct TokenStore {
    connection: Mutex<Connection>,
    tokens: RwLock<Tokens>,
}

/// All tokens, in memory.
#[derive(Default)]
struct Tokens {
    by_hash: HashMap<SecretHash, TokenRecord>,
    by_id: BTreeMap<TokenId, SecretHash>,
}

impl Tokens {
    fn insert(&mut self, hash: SecretHash, record: TokenRecord) {
        self.by_id.insert(record.id.clone(), hash);
        self.by_hash.insert(hash, record);
    }

    fn after(&self, id: Option<&TokenId>) -> impl Iterator<Item = &SecretHash> + '_ {
        let above = (id.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        self.by_id.range::<TokenId, _>(above).map(|(_, hash)| hash)
    }
}

impl fmt::Debug for TokenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenStore")
    }
}

impl TokenStore {
    /// Opens the table in the database at `path`, making it if need be.
    ///
    /// # Errors
    /// The database cannot be opened or holds what this version cannot read.
    pub fn open(path: &Path) -> Result<TokenStore, TokenError> {
        // Made before SQLite sees it, so that it is never readable by others. SQLite tells what is wrong, if anything.
        let _made = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
        TokenStore::on(Connection::open(path)?)
    }

    fn on(connection: Connection) -> Result<TokenStore, TokenError> {
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(SCHEMA)?;
        connection.execute_batch(answers::SCHEMA)?;
        let tokens = load(&connection)?;
        Ok(TokenStore { connection: Mutex::new(connection), tokens: RwLock::new(tokens) })
    }

    /// Who holds the token with this hash, if it works at `now`.
    #[must_use]
    pub fn principal(&self, hash: &SecretHash, now: Timestamp) -> Option<Principal> {
        let tokens = self.tokens();
        let record = tokens.by_hash.get(hash).filter(|record| record.works_at(now))?;
        Some(Principal { id: record.id.0.clone(), name: record.name.clone(), role: record.scope()? })
    }

    /// At most `limit` tokens with ids above `after`, oldest first, also those that work no more: of one organization,
    /// or all.
    #[must_use]
    pub fn list_after(
        &self,
        after: Option<&TokenId>,
        organization: Option<OrganizationId>,
        limit: usize,
    ) -> Vec<TokenRecord> {
        let tokens = self.tokens();
        let records = tokens.after(after).filter_map(|hash| tokens.by_hash.get(hash));
        let wanted = records.filter(|record| organization.is_none() || record.organization == organization);
        wanted.take(limit).cloned().collect()
    }

    /// Whether there is no token at all, not even one that works no more.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens().by_hash.is_empty()
    }

    /// The token with this id.
    #[must_use]
    pub fn find(&self, id: &TokenId) -> Option<TokenRecord> {
        let tokens = self.tokens();
        tokens.by_id.get(id).and_then(|hash| tokens.by_hash.get(hash)).cloned()
    }

    /// Keeps a new token and, in the same transaction, what a repetition of the request is answered with.
    ///
    /// # Errors
    /// The store is full, or the disk refuses. Nothing is kept then.
    pub fn insert(
        &self,
        hash: SecretHash,
        record: TokenRecord,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), TokenError> {
        let mut connection = self.connection();
        let working = self.tokens().by_hash.values().filter(|known| known.revoked_at.is_none()).count();
        if working >= MAX_TOKENS {
            return Err(TokenError::Full);
        }
        let transaction = connection.transaction()?;
        if let Some(answer) = answer {
            answers::keep(&transaction, answer)?;
        }
        transaction.execute(
            "INSERT INTO api_token (id, hash, name, role, organization, created_at, created_by, expires_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                record.id.0,
                hash.as_bytes().as_slice(),
                record.name,
                record.role.as_str(),
                record.organization.map(|id| id.to_string()),
                seconds(record.created_at),
                record.created_by,
                record.expires_at.map(seconds),
            ],
        )?;
        transaction.commit()?;
        self.tokens.write().unwrap_or_else(PoisonError::into_inner).insert(hash, record);
        Ok(())
    }

    /// Revokes a token, at once and for good. `false` if there is none or it was revoked already.
    ///
    /// # Errors
    /// The disk refuses; the token then still works.
    pub fn revoke(&self, id: &TokenId, now: Timestamp) -> Result<bool, TokenError> {
        let changed = self.connection().execute(
            "UPDATE api_token SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
            params![id.0, seconds(now)],
        )?;
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        let Tokens { by_hash, by_id } = &mut *tokens;
        if let Some(record) = by_id.get(id).and_then(|hash| by_hash.get_mut(hash)) {
            record.revoked_at = record.revoked_at.or(Some(now));
        }
        Ok(changed > 0)
    }

    fn tokens(&self) -> RwLockReadGuard<'_, Tokens> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic between two statements leaves no half-written row, so the connection is as good as before.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds(at: Timestamp) -> i64 {
    i64::try_from(at.as_secs()).unwrap_or(i64::MAX)
}

fn load(connection: &Connection) -> Result<Tokens, TokenError> {
    let mut statement = connection.prepare(
        "SELECT id, hash, name, role, organization, created_at, created_by, expires_at, revoked_at FROM api_token",
    )?;
    let mut rows = statement.query([])?;
    let mut tokens = Tokens::default();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let corrupt = || TokenError::Corrupt(id.clone());
        let instant = |column: usize| -> Result<Option<Timestamp>, TokenError> {
            let Some(secs) = row.get::<_, Option<i64>>(column)? else { return Ok(None) };
            u64::try_from(secs).ok().and_then(Timestamp::from_secs).map(Some).ok_or_else(corrupt)
        };
        let organization: Option<String> = row.get(4)?;
        let record = TokenRecord {
            id: TokenId::parse(&id).ok_or_else(corrupt)?,
            name: row.get(2)?,
            role: RoleName::parse(&row.get::<_, String>(3)?).ok_or_else(corrupt)?,
            organization: organization.map(|text| text.parse()).transpose().map_err(|_| corrupt())?,
            created_at: instant(5)?.ok_or_else(corrupt)?,
            created_by: row.get(6)?,
            expires_at: instant(7)?,
            revoked_at: instant(8)?,
        };
        record.scope().ok_or_else(corrupt)?;
        tokens.insert(SecretHash::from_bytes(row.get(1)?), record);
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Secret;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs).unwrap()
    }

    fn record(number: u8, expires_at: Option<Timestamp>) -> TokenRecord {
        TokenRecord {
            id: TokenId::from_bytes([number; 16]),
            name: format!("token {number}"),
            role: RoleName::OrgViewer,
            organization: Some(OrganizationId::from_bytes([9; 16])),
            created_at: at(100),
            created_by: String::from("test"),
            expires_at,
            revoked_at: None,
        }
    }

    #[test]
    fn a_token_works_until_it_expires_or_is_revoked_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("books.db");
        let (lasting, expiring) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        let store = TokenStore::open(&path).unwrap();
        store.insert(lasting.hash(), record(1, None), None).unwrap();
        store.insert(expiring.hash(), record(2, Some(at(200))), None).unwrap();
        drop(store);

        let store = TokenStore::open(&path).unwrap();
        assert_eq!(store.list_after(None, None, 9).len(), 2);
        assert_eq!(store.list_after(Some(&TokenId::from_bytes([1; 16])), None, 9).len(), 1);
        assert_eq!(store.principal(&expiring.hash(), at(199)).unwrap().name, "token 2");
        assert_eq!(store.principal(&expiring.hash(), at(200)), None);
        assert_eq!(store.principal(&Secret::generate().unwrap().hash(), at(100)), None);
        assert!(store.revoke(&TokenId::from_bytes([1; 16]), at(150)).unwrap());
        assert!(!store.revoke(&TokenId::from_bytes([1; 16]), at(151)).unwrap());
        assert_eq!(store.principal(&lasting.hash(), at(150)), None);
        drop(store);

        let store = TokenStore::open(&path).unwrap();
        assert_eq!(store.principal(&lasting.hash(), at(150)), None);
        assert_eq!(store.find(&TokenId::from_bytes([1; 16])).unwrap().revoked_at, Some(at(150)));
    }
}
