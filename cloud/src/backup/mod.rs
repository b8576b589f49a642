//! Backups of everything the daemon keeps, made while it runs, and put back.
//!
//! **Problem.** The books, the keys and the certificates are one thing: a copy of a part, or one made file by file while the
//! daemon writes, comes back as something that never was. And a backup nobody read is a hope. **Method.** One
//! directory holds the database as of one instant (SQLite's own copy inside a read transaction, which holds up nobody),
//! then every other file, then a manifest with the hash of each. It is made under another name and renamed when it is
//! whole and was read back: every hash chain is recomputed. Restoring checks all of it before the first file of the
//! data directory is moved, deletes nothing, and leaves a mark until it is done, so that no daemon starts on half of
//! it. **Deliberately absent:** encryption and retention, which the tools around it do better; copies of a part.

mod command;
mod error;
mod files;
mod manifest;
mod restore;
mod take;
#[cfg(test)]
mod tests;

pub use command::{restore_and_tell, take_and_tell};
pub use error::BackupError;
pub use manifest::Manifest;
pub use restore::{Restored, restore, unfinished};
pub use take::{Taken, take};

use crate::store::chain::verify_chain;
use crate::store::sqlite::SqliteStore;
use crate::store::{EventStore, Reads};
use coterm_shared::time::Timestamp;
use std::path::Path;

/// The manifest's name in a backup.
pub const MANIFEST_FILE: &str = "manifest.json";

/// Names of our own making in a data directory that are no part of it.
const RESTORING: &str = ".restoring";
const REPLACED: &str = ".before-restore-";

/// What a database holds, after all of it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Contents {
    organizations: u64,
    events: u64,
    last_event_at: Option<Timestamp>,
}

/// Reads a database through: its pages, and every hash chain in it (domain T1). It becomes one file without a journal.
fn read_through(path: &Path) -> Result<Contents, BackupError> {
    let unsound = |reason: String| BackupError::Unsound { path: path.to_path_buf(), reason };
    let store = SqliteStore::open_unowned(path)?;
    store.sound().map_err(unsound)?;
    let reads = store.reads();
    let mut contents = Contents { organizations: 0, events: 0, last_event_at: reads.last_event_at()? };
    for stream in reads.streams()? {
        let verified = verify_chain(reads, stream)?.map_err(|fault| unsound(fault.to_string()))?;
        contents.events = contents.events.saturating_add(verified.entries);
        let one = u64::from(stream.organization().is_some());
        contents.organizations = contents.organizations.saturating_add(one);
    }
    store.into_single_file()?;
    Ok(contents)
}
