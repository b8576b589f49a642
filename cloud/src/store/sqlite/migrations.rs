//! Numbered migrations of the SQLite schema, embedded in the program.
//!
//! Each runs once, in order, inside a transaction with the new number. A database newer than the program is refused:
//! there is no way back but a backup.

use crate::store::{Result, StoreError};
use coterm_shared::token::TokenDigest;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

/// Migration `n` (from 1) is at index `n - 1`.
const MIGRATIONS: &[&str] = &[
    include_str!("0001.sql"),
    include_str!("0002.sql"),
    include_str!("0003.sql"),
    include_str!("0004.sql"),
    include_str!("0005.sql"),
    include_str!("0006.sql"),
    include_str!("0007.sql"),
];

/// From which migration on a token's digest lies beside it.
const DIGESTS: u32 = 7;

/// The schema this program writes.
fn known() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Brings the database to the newest schema.
pub(super) fn run(connection: &mut Connection) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = check(&transaction)?;
    for (number, sql) in (1_u32..).zip(MIGRATIONS) {
        if number > found {
            transaction.execute_batch(sql)?;
        }
        if number > found && number == DIGESTS {
            digest_tokens(&transaction)?;
        }
    }
    if found < known() {
        transaction.execute(
            "INSERT INTO meta (name, value) VALUES ('schema', $1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [known()],
        )?;
    }
    transaction.commit()?;
    Ok(())
}

/// Notes of every token which it is: SQLite knows no SHA-256.
fn digest_tokens(connection: &Connection) -> Result<()> {
    let mut note = connection.prepare("UPDATE issued SET digest = ?2 WHERE device = ?1")?;
    let mut tokens = connection.prepare("SELECT device, token FROM issued_tokens")?;
    let mut rows = tokens.query([])?;
    while let Some(row) = rows.next()? {
        let token: Vec<u8> = row.get(1)?;
        note.execute((row.get::<_, String>(0)?, TokenDigest::of(&token).to_bytes()))?;
    }
    Ok(())
}

/// The schema of the database, refused if this program does not know it; 0 for an empty one.
pub(super) fn check(connection: &Connection) -> Result<u32> {
    let exists: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'meta')",
        [],
        |row| row.get(0),
    )?;
    if !exists {
        return Ok(0);
    }
    let found: Option<u32> = connection
        .query_row("SELECT value FROM meta WHERE name = 'schema'", [], |row| row.get(0))
        .optional()?;
    match found {
        Some(found) if found > known() => Err(StoreError::Newer { found, known: known() }),
        Some(found) => Ok(found),
        None => Err(StoreError::Damaged("no schema number is recorded".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Reads;

    /// An upgrade loses no token: a device that is sent its newest again gets the bytes it was issued.
    #[test]
    fn tokens_of_an_older_schema_are_kept() {
        let mut connection = Connection::open_in_memory().unwrap();
        for sql in MIGRATIONS.iter().take(5) {
            connection.execute_batch(sql).unwrap();
        }
        let rows = "INSERT INTO meta (name, value) VALUES ('schema', 5);
            INSERT INTO issued VALUES ('cam-2', zeroblob(16), 1, 8, zeroblob(32), 0, 9, 0);
            INSERT INTO issued VALUES ('cam-1', zeroblob(16), 1, 7, zeroblob(32), 0, 9, 0);
            INSERT INTO issued_tokens VALUES ('cam-2', x'02');
            INSERT INTO issued_tokens VALUES ('cam-1', x'01');";
        connection.execute_batch(rows).unwrap();
        run(&mut connection).unwrap();
        assert_eq!(check(&connection).unwrap(), known());
        let mut statement = connection.prepare("SELECT device, token FROM issued_tokens ORDER BY 1").unwrap();
        let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let found: Vec<(String, Vec<u8>)> = found.map(|row| row.unwrap()).collect();
        assert_eq!(found, [("cam-1".to_owned(), vec![1]), ("cam-2".to_owned(), vec![2])]);
        let mut digests = Vec::new();
        connection.each_issued(&mut |issued, digest| digests.push((issued.seq, digest))).unwrap();
        digests.sort_by_key(|(seq, _)| *seq);
        assert_eq!(digests, [(7, TokenDigest::of(&[1])), (8, TokenDigest::of(&[2]))]);
    }
}
