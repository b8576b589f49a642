//! Files, copied so that they are on disk and their hashes are known.

use super::manifest::Copied;
use super::{BackupError, MANIFEST_FILE, REPLACED, RESTORING};
use crate::app::DATABASE_FILE;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What file systems keep in their root, where a data directory is one.
pub(super) const LOST_AND_FOUND: &str = "lost+found";

/// Bytes read at a time.
const BLOCK: usize = 64 * 1024;

/// What kept a file operation from being done.
pub(super) fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError + use<> {
    let path = path.to_path_buf();
    move |source| BackupError::Io { verb, path, source }
}

/// Makes a directory only its owner can enter, with those above it.
pub(super) fn make_dir(path: &Path) -> Result<(), BackupError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create", path))
}

/// Puts the entries of a directory on disk.
pub(super) fn sync_dir(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed("sync", path))
}

/// Writes a file that is not there yet.
pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), BackupError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.map_err(failed("create", path))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed("write", path))
}

/// Copies a file that is not there yet; `None` if the source is gone by now.
pub(super) fn copy(from: &Path, to: &Path) -> Result<Option<Copied>, BackupError> {
    let mut source = match File::open(from) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", from)(error)),
    };
    let mode = source.metadata().map_err(failed("inspect", from))?.permissions().mode() & 0o7777;
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let mut target = target.map_err(failed("create", to))?;
    let (sha256, bytes) =
        hash(&mut source, from, |block| target.write_all(block).map_err(failed("write", to)))?;
    target.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed("protect", to))?;
    target.sync_all().map_err(failed("write", to))?;
    Ok(Some(Copied { sha256, mode, bytes }))
}

/// What a file is now.
pub(super) fn measure(path: &Path) -> Result<Copied, BackupError> {
    let mut file = File::open(path).map_err(failed("read", path))?;
    let mode = file.metadata().map_err(failed("inspect", path))?.permissions().mode() & 0o7777;
    let (sha256, bytes) = hash(&mut file, path, |_| Ok(()))?;
    Ok(Copied { sha256, mode, bytes })
}

fn hash(
    file: &mut File,
    path: &Path,
    mut each: impl FnMut(&[u8]) -> Result<(), BackupError>,
) -> Result<(String, u64), BackupError> {
    let mut sha = Sha256::new();
    let mut buffer = vec![0_u8; BLOCK];
    let mut bytes = 0_u64;
    loop {
        let read = file.read(&mut buffer).map_err(failed("read", path))?;
        let Some(block) = buffer.get(..read).filter(|block| !block.is_empty()) else { break };
        sha.update(block);
        bytes = bytes.saturating_add(block.len() as u64);
        each(block)?;
    }
    let hex = sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((hex, bytes))
}

/// What is found in a directory, by path from it.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Its files, sorted.
    pub files: Vec<PathBuf>,
    /// What is neither file nor directory, and is left out.
    pub others: Vec<PathBuf>,
}

impl Tree {
    /// Everything below a directory for which `wanted` holds; `wanted` is not asked about what is in a directory it refused.
    pub(super) fn of(root: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Tree, BackupError> {
        let mut tree = Tree::default();
        let mut ahead = vec![PathBuf::new()];
        while let Some(relative) = ahead.pop() {
            let dir = root.join(&relative);
            for entry in fs::read_dir(&dir).map_err(failed("list", &dir))? {
                let entry = entry.map_err(failed("list", &dir))?;
                let path = relative.join(entry.file_name());
                let kind = entry.file_type().map_err(failed("inspect", &entry.path()))?;
                if !wanted(&path) {
                    continue;
                }
                if kind.is_dir() {
                    ahead.push(path);
                } else if kind.is_file() {
                    tree.files.push(path);
                } else {
                    tree.others.push(path);
                }
            }
        }
        tree.files.sort();
        tree.others.sort();
        Ok(tree)
    }
}

/// Whether a file of the data directory belongs into a backup besides the database, which is copied by SQLite.
pub(super) fn is_kept(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return true };
    let database = name.strip_prefix(DATABASE_FILE).is_some_and(|rest| matches!(rest, "" | "-wal" | "-shm"));
    let ours = name.starts_with(RESTORING) || name.starts_with(REPLACED) || name == MANIFEST_FILE;
    !database
        && !ours
        && name != LOST_AND_FOUND
        && path.extension().is_none_or(|extension| extension != "lock")
}

/// Whether a file lets its holder sign, connect or command something.
pub(super) fn is_secret(path: &Path) -> bool {
    path.starts_with("keys")
        || path.extension().is_some_and(|extension| extension == "key")
        || path == Path::new(crate::auth::ADMIN_TOKEN_FILE)
}
