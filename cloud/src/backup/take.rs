//! Making a backup, beside the daemon or without one.

use super::files::{self, Tree, failed};
use super::manifest::{FORMAT, Manifest};
use super::{BackupError, MANIFEST_FILE, read_through};
use crate::app::DATABASE_FILE;
use crate::space;
use crate::store::sqlite::SqliteStore;
use coterm_shared::time::Timestamp;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A backup that was made and read back.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Its directory.
    pub path: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Bytes of all files.
    pub bytes: u64,
    /// What is in the data directory and neither file nor directory: not in the backup.
    pub left_out: Vec<PathBuf>,
}

/// What is half made; gone when dropped, unless it was finished.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // A backup that is whole has another name by now.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes a backup of a data directory as a new directory in `into`; `progress` is told pages done and to do.
///
/// # Errors
/// [`BackupError`]; nothing is left of it then.
pub fn take(
    data_dir: &Path,
    into: &Path,
    trust_domain: &str,
    with_keys: bool,
    now: Timestamp,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Taken, BackupError> {
    let database = data_dir.join(DATABASE_FILE);
    if !database.is_file() {
        return Err(BackupError::NothingToCopy { path: database });
    }
    files::make_dir(into)?;
    refuse_inside(data_dir, into)?;
    let tree = Tree::of(data_dir, |path| files::is_kept(path) && (with_keys || !files::is_secret(path)))?;
    room(data_dir, into, &database, &tree)?;

    let name = format!("coterm-backup-{}", compact(now));
    let (path, partial) = (into.join(&name), into.join(format!(".{name}.partial")));
    if path.exists() {
        return Err(BackupError::Exists { path });
    }
    // Left by one that was killed.
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(failed("remove", &partial))?;
    }
    let unfinished = Unfinished(partial.clone());
    files::make_dir(&partial)?;

    // The books first: what is made meanwhile is then in the files after them, as after a crash, and never the other way.
    let copy = partial.join(DATABASE_FILE);
    SqliteStore::copy(&database, &copy, progress)?;
    let contents = read_through(&copy)?;
    let mut all = BTreeMap::from([(String::from(DATABASE_FILE), files::measure(&copy)?)]);
    for relative in tree.files.iter().rev() {
        // Backwards by name: documents in `trust` before the keys they name, which are made first.
        let target = partial.join(relative);
        if let Some(parent) = target.parent() {
            files::make_dir(parent)?;
        }
        if let Some(copied) = files::copy(&data_dir.join(relative), &target)? {
            all.insert(relative.to_string_lossy().into_owned(), copied);
        }
    }
    let manifest = Manifest {
        format: FORMAT,
        program: String::from(env!("CARGO_PKG_VERSION")),
        made_at: now,
        trust_domain: trust_domain.to_owned(),
        organizations: contents.organizations,
        events: contents.events,
        last_event_at: contents.last_event_at,
        with_keys,
        files: all,
    };
    let text =
        serde_json::to_vec_pretty(&manifest).map_err(|error| failed("write", &partial)(error.into()))?;
    files::write(&partial.join(MANIFEST_FILE), &text, 0o600)?;
    files::sync_dir(&partial)?;
    fs::rename(&partial, &path).map_err(failed("rename", &partial))?;
    files::sync_dir(into)?;
    drop(unfinished);
    let bytes = manifest.files.values().fold(0, |sum: u64, file| sum.saturating_add(file.bytes));
    Ok(Taken { path, manifest, bytes, left_out: tree.others })
}

fn refuse_inside(data_dir: &Path, into: &Path) -> Result<(), BackupError> {
    let real = |path: &Path| fs::canonicalize(path).map_err(failed("find", path));
    if real(into)?.starts_with(real(data_dir)?) {
        return Err(BackupError::InsideDataDir { path: into.to_path_buf() });
    }
    Ok(())
}

/// Says before the work that the disk is too small. It may still fill up meanwhile.
fn room(data_dir: &Path, into: &Path, database: &Path, tree: &Tree) -> Result<(), BackupError> {
    let length = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let others = tree.files.iter().map(|file| length(&data_dir.join(file)));
    let needed = others.fold(length(database), u64::saturating_add);
    let free = space::free(into).map_err(failed("inspect", into))?;
    if free < needed {
        return Err(BackupError::TooSmall { path: into.to_path_buf(), free, needed });
    }
    Ok(())
}

/// An instant as it can stand in a file name: `20260101T000000Z`.
pub(super) fn compact(at: Timestamp) -> String {
    at.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect()
}
