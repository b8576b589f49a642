//! Files with the right permissions, and nothing half-written.
//!
//! Secrets are refused when anyone but their owner could read them: a private key that was world-readable once is no
//! longer private, and saying so at start is kinder than a silent chmod. What other programs read is replaced by
//! rename, so they see the old text or the new one. **Deliberately absent:** the state slots, which are written in
//! place and have their own file.

use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The longest file the agent reads, in bytes: no certificate, key, root or keyring comes near it.
pub(crate) const MAX_FILE_BYTES: u64 = 256 * 1024;

/// Why a file could not be used; every sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error(
        "{path} is readable by others (mode {mode:04o}); run `chmod 600 {path}`, and replace what it holds if others may have read it"
    )]
    TooOpen { path: PathBuf, mode: u32 },
    #[error("{path} has more than {MAX_FILE_BYTES} bytes; is it the right file?")]
    TooLong { path: PathBuf },
    #[error(
        "{path} is in use: another coterm-agent runs with this directory; stop it, or give this one its own"
    )]
    InUse { path: PathBuf },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |error| FileError::Io { path: path.to_path_buf(), error }
}

/// The bytes of a public file, at most [`MAX_FILE_BYTES`].
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(at(path))?;
    read_open(path, file)
}

/// The bytes of a secret file, refused if its group or others may read or write it.
///
/// In the directory of the service manager's credentials (`$CREDENTIALS_DIRECTORY`) the group may: the manager gives the
/// service access by an access list, which shows as group bits.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    let handed_over = credentials.is_some_and(|directory| path.parent() == Some(Path::new(&directory)));
    let closed_to = if handed_over { 0o007 } else { 0o077 };
    let file = File::open(path).map_err(at(path))?;
    // The opened file is asked, not the path: nobody can swap it in between.
    let mode = file.metadata().map_err(at(path))?.mode() & 0o7777;
    if mode & closed_to != 0 {
        return Err(FileError::TooOpen { path: path.to_path_buf(), mode });
    }
    read_open(path, file).map(Zeroizing::new)
}

fn read_open(path: &Path, file: File) -> Result<Vec<u8>, FileError> {
    // Of its full size at once: a buffer that grows leaves copies behind, and it may be a secret.
    let length = file.metadata().map_err(at(path))?.len().min(MAX_FILE_BYTES);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default().saturating_add(1));
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(at(path))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        return Err(FileError::TooLong { path: path.to_path_buf() });
    }
    Ok(bytes)
}

/// Makes a directory and its parents with `mode`, and sets that mode if the directory was already there.
pub(crate) fn ensure_dir(path: &Path, mode: u32) -> Result<(), FileError> {
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(at(path))?;
    let found = std::fs::metadata(path).map_err(at(path))?.mode() & 0o7777;
    if found != mode {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(at(path))?;
    }
    Ok(())
}

/// Replaces a file atomically: readers see the old bytes or the new ones.
///
/// Not durable: what it is used for describes a running process and is written again after a restart.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    replace_synced(path, bytes, mode, false)
}

fn replace_synced(path: &Path, bytes: &[u8], mode: u32, sync: bool) -> Result<(), FileError> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0))
        .open(&fresh)
        .map_err(at(&fresh))?;
    // The umask may have narrowed the mode; readers without privileges depend on it.
    file.set_permissions(Permissions::from_mode(mode)).map_err(at(&fresh))?;
    file.write_all(bytes).map_err(at(&fresh))?;
    if sync {
        file.sync_all().map_err(at(&fresh))?;
    }
    std::fs::rename(&fresh, path).map_err(at(path))
}

/// Replaces a file atomically and durably: once this returns, the new bytes survive a loss of power.
pub(crate) fn replace_durably(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    replace_synced(path, bytes, mode, true)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|directory| directory.sync_all()).map_err(at(parent))
}

/// An exclusive lock on a file, held until dropped (or until the process dies, however it dies).
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

const LOCK_ATTEMPTS: u32 = 5;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Takes the lock, or says who has it.
pub(crate) fn lock(path: &Path) -> Result<Lock, FileError> {
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let made = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(nofollow)
        .open(path);
    let file = match made {
        Ok(file) => file,
        // A disk that turned read-only must not keep a device from being told what is on it: a lock writes nothing.
        Err(error) => {
            OpenOptions::new().read(true).custom_flags(nofollow).open(path).map_err(|_| at(path)(error))?
        }
    };
    // Whoever only asks whether it is locked holds it for an instant: that is no reason to give up.
    for _ in 0..LOCK_ATTEMPTS {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
            Err(errno) => return Err(FileError::Io { path: path.to_path_buf(), error: errno.into() }),
        }
    }
    Err(FileError::InUse { path: path.to_path_buf() })
}

/// Whether somebody holds the lock on this file right now; `false` if there is no file.
pub(crate) fn is_locked(path: &Path) -> Result<bool, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(at(path)(error)),
    };
    // Shared: two who only ask do not disturb one another, and an agent that starts now retries nothing.
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(errno) => Err(FileError::Io { path: path.to_path_buf(), error: errno.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_others_can_read_is_refused_with_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device.key");
        std::fs::write(&path, b"secret").unwrap();
        for (mode, accepted) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)]
        {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            match read_secret(&path) {
                Ok(bytes) => assert!(accepted && bytes.as_slice() == b"secret", "{mode:o}"),
                Err(error) => {
                    assert!(!accepted, "{mode:o}");
                    assert!(error.to_string().contains("chmod 600"), "{error}");
                }
            }
        }
    }

    #[test]
    fn only_one_agent_holds_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = lock(&path).unwrap();
        assert!(matches!(lock(&path), Err(FileError::InUse { .. })));
        drop(first);
        assert!(lock(&path).is_ok());
    }

    #[test]
    fn r9_a_lock_is_taken_where_nothing_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        std::fs::copy("/bin/sleep", &path).unwrap();
        // A program that runs cannot be written to, by nobody, as nothing can on a disk that turned read-only.
        let mut running = std::process::Command::new(&path).arg("60").spawn().unwrap();
        assert!(OpenOptions::new().write(true).open(&path).is_err());
        let first = lock(&path).unwrap();
        assert!(matches!(lock(&path), Err(FileError::InUse { .. })));
        drop(first);
        running.kill().unwrap();
        running.wait().unwrap();
        // Nor is a lock taken somewhere else than it says.
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &link).unwrap();
        assert!(lock(&link).is_err() && !dir.path().join("elsewhere").exists());
    }

    #[test]
    fn a_replaced_file_has_the_mode_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        for text in ["one", "two"] {
            replace(&path, text.as_bytes(), 0o644).unwrap();
            assert_eq!(read(&path).unwrap(), text.as_bytes());
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
        }
        let inner = dir.path().join("a/b");
        ensure_dir(&inner, 0o700).unwrap();
        assert_eq!(std::fs::metadata(&inner).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn an_endless_file_is_not_read() {
        assert!(matches!(read(Path::new("/dev/zero")), Err(FileError::TooLong { .. })));
    }
}
