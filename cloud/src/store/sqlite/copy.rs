//! A copy of a database as of one instant, beside whoever writes it.

use super::{Place, SqliteStore, connect, file_failed, migrations};
use crate::store::{Result, StoreError};
use rusqlite::OpenFlags;
use rusqlite::backup::{Backup, StepResult};
use std::ffi::c_int;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Pages copied between two words about progress: 8 MiB.
const PAGES: c_int = 2048;

impl SqliteStore {
    /// Copies a database, as of now, into a file that is not there yet and that only its owner can read.
    ///
    /// The daemon may go on writing: the copy reads one snapshot, and holds up nobody. `progress` is told pages done and
    /// pages to do.
    ///
    /// # Errors
    /// Either file cannot be used, or a newer program wrote the database.
    pub fn copy(from: &Path, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let source = connect(&Place::File(from.to_path_buf()), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        // A snapshot from here on: without it, every commit of the daemon would start the copy anew.
        let snapshot = source.unchecked_transaction()?;
        migrations::check(&snapshot)?;
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(to);
        drop(file.map_err(|error| file_failed(to, &error))?);
        let mut target = connect(&Place::File(to.to_path_buf()), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let backup = Backup::new(&snapshot, &mut target)?;
        loop {
            let step = backup.step(PAGES)?;
            let pages = backup.progress();
            let count = |pages: c_int| u64::try_from(pages).unwrap_or(0);
            progress(count(pages.pagecount.saturating_sub(pages.remaining)), count(pages.pagecount));
            match step {
                StepResult::Done => return Ok(()),
                StepResult::More => {}
                // Nobody else has the copy, and the snapshot is ours.
                StepResult::Busy | StepResult::Locked | _ => return Err(StoreError::Locked),
            }
        }
    }

    /// Reads every page and looks whether tables and indexes agree; says what is wrong.
    ///
    /// # Errors
    /// The first fault that SQLite finds, in its words.
    pub fn sound(&self) -> std::result::Result<(), String> {
        let said = self.connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
        match said {
            Ok(said) if said == "ok" => Ok(()),
            Ok(fault) => Err(fault),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Closes the database as one file, without the journal beside it, as it can be carried away.
    ///
    /// # Errors
    /// It cannot be written, or somebody else has it open.
    pub fn into_single_file(self) -> Result<()> {
        let mode: String = self.connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
        if mode == "delete" { Ok(()) } else { Err(StoreError::Locked) }
    }
}
