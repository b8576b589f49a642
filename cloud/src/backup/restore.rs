//! Putting a backup back.

use super::files::{self, LOST_AND_FOUND, Tree, failed};
use super::take::compact;
use super::{BackupError, MANIFEST_FILE, Manifest, REPLACED, RESTORING, read_through};
use crate::app::DATABASE_FILE;
use crate::store::sqlite::is_owned;
use coterm_shared::time::Timestamp;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// The file that says that a restore was begun and not finished.
const MARK: &str = "RESTORE_UNFINISHED";

/// Most complaints about a backup that are listed.
const LISTED: usize = 20;

/// A backup that was put back.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Where what was there before is now.
    pub moved_to: Option<PathBuf>,
}

/// Whether a restore of this data directory was begun and not finished: no daemon may start on it.
#[must_use]
pub fn unfinished(data_dir: &Path) -> bool {
    data_dir.join(MARK).exists()
}

/// Puts a backup in the place of a data directory; with `replace`, what is there is moved aside within it.
///
/// # Errors
/// [`BackupError`]. Until everything was checked nothing is changed; a restore that was interrupted later is marked, and is
/// finished by running it again.
pub fn restore(
    backup: &Path,
    data_dir: &Path,
    trust_domain: &str,
    replace: bool,
    now: Timestamp,
) -> Result<Restored, BackupError> {
    let manifest = Manifest::read(backup)?;
    if manifest.trust_domain != trust_domain {
        let (found, expected) = (manifest.trust_domain, trust_domain.to_owned());
        return Err(BackupError::OtherDomain { found, expected });
    }
    whole(backup, &manifest)?;
    files::make_dir(data_dir)?;
    if is_owned(&data_dir.join(DATABASE_FILE)) {
        return Err(BackupError::Running { path: data_dir.to_path_buf() });
    }
    let again = unfinished(data_dir);
    let before = entries(data_dir)?;
    if !before.is_empty() && !replace && !again {
        return Err(BackupError::NotEmpty { path: data_dir.to_path_buf() });
    }

    // All of it beside the old, on the same disk, before the old is touched.
    let stage = data_dir.join(RESTORING);
    if stage.exists() {
        fs::remove_dir_all(&stage).map_err(failed("remove", &stage))?;
    }
    let staged = stage_all(backup, &stage, &manifest);
    if staged.is_err() {
        let _ = fs::remove_dir_all(&stage);
    }
    staged?;
    if !again {
        files::write(&data_dir.join(MARK), b"coterm-cloud restore was interrupted: run it again\n", 0o600)?;
        files::sync_dir(data_dir)?;
    }
    let moved_to = set_aside(data_dir, &before, now)?;
    for name in entries(&stage)? {
        let (from, to) = (stage.join(&name), data_dir.join(&name));
        fs::rename(&from, &to).map_err(failed("rename", &from))?;
    }
    fs::remove_dir(&stage).map_err(failed("remove", &stage))?;
    files::sync_dir(data_dir)?;
    let mark = data_dir.join(MARK);
    fs::remove_file(&mark).map_err(failed("remove", &mark))?;
    files::sync_dir(data_dir)?;
    Ok(Restored { manifest, moved_to })
}

/// Compares every file with the manifest; all complaints at once.
fn whole(backup: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let mut complaints = Vec::new();
    let mut complain = |text: String| complaints.push(text);
    for (name, expected) in &manifest.files {
        match files::measure(&backup.join(name)) {
            Ok(found) if found.sha256 == expected.sha256 => {}
            Ok(_) => complain(format!("{name} was changed")),
            Err(error) => complain(error.to_string()),
        }
    }
    let tree = Tree::of(backup, |path| path != Path::new(MANIFEST_FILE))?;
    for extra in tree.files.iter().chain(&tree.others) {
        if !manifest.files.contains_key(extra.to_string_lossy().as_ref()) {
            complain(format!("{} is not of the backup", extra.display()));
        }
    }
    if !manifest.files.contains_key(DATABASE_FILE) {
        complain(format!("there is no {DATABASE_FILE} in it"));
    }
    if complaints.is_empty() {
        return Ok(());
    }
    let more = complaints.len().saturating_sub(LISTED);
    complaints.truncate(LISTED);
    if more > 0 {
        complaints.push(format!("and {more} more"));
    }
    Err(BackupError::NotWhole { path: backup.to_path_buf(), reason: complaints.join("; ") })
}

fn stage_all(backup: &Path, stage: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    files::make_dir(stage)?;
    for (name, expected) in &manifest.files {
        let (from, to) = (backup.join(name), stage.join(name));
        if let Some(parent) = to.parent() {
            files::make_dir(parent)?;
        }
        match files::copy(&from, &to)? {
            Some(copied) if copied.sha256 == expected.sha256 => {}
            Some(_) | None => {
                let reason = format!("{name} changed while it was read");
                return Err(BackupError::NotWhole { path: backup.to_path_buf(), reason });
            }
        }
        // As it was in the data directory, whatever carried the backup here made of it.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(expected.mode);
        fs::set_permissions(&to, mode).map_err(failed("protect", &to))?;
    }
    read_through(&stage.join(DATABASE_FILE)).map(drop)
}

/// Moves what was there into a directory of its own; nothing is deleted.
fn set_aside(data_dir: &Path, before: &[OsString], now: Timestamp) -> Result<Option<PathBuf>, BackupError> {
    if before.is_empty() {
        return Ok(None);
    }
    let aside = data_dir.join(format!("{REPLACED}{}", compact(now)));
    if aside.exists() {
        return Err(BackupError::Exists { path: aside });
    }
    files::make_dir(&aside)?;
    for name in before {
        let (from, to) = (data_dir.join(name), aside.join(name));
        fs::rename(&from, &to).map_err(failed("rename", &from))?;
    }
    files::sync_dir(&aside)?;
    Ok(Some(aside))
}

/// What is in a directory, but for what restoring itself leaves there.
fn entries(dir: &Path) -> Result<Vec<OsString>, BackupError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed("list", dir))? {
        let name = entry.map_err(failed("list", dir))?.file_name();
        let text = name.to_string_lossy();
        if text != MARK && text != RESTORING && text != LOST_AND_FOUND && !text.starts_with(REPLACED) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
