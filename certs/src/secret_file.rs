//! Files that keep secrets, and files that must never be half written.
//!
//! **Problem.** A key that was world-readable for a millisecond, or for a year because of a `chmod` gone wrong, is no
//! key; a certificate cut short by a power failure keeps a daemon from starting. **Method.** New content goes to a
//! temporary file in the same directory, created with `O_EXCL` and its final mode, synced, and then linked (creation,
//! fails if the name exists) or renamed (replacement) into place, and the directory is synced. Reading checks the mode
//! on the open descriptor, so nobody can swap the file in between. **Deliberately absent:** encryption at rest; that is
//! what systemd credentials and disk encryption do.

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

/// The largest secret or certificate file this product reads, in bytes.
pub const SECRET_FILE_MAX_BYTES: u64 = 65_536;

/// The longest list of serial numbers this product reads, in bytes: about 800,000 of them.
const LIST_FILE_MAX_BYTES: u64 = 33_554_432;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Others can read the secret.
    #[error(
        "{path} holds a secret, but its mode {mode:04o} lets group or others use it: run `chmod 600 {path}`, and replace the secret if others had access to this machine"
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is a directory, a device or a pipe.
    #[error("{path} is not a regular file: point the configuration at the file itself")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// It is larger than any key or certificate.
    #[error("{path} is larger than {SECRET_FILE_MAX_BYTES} bytes, so it is no key and no certificate")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is longer than any list of certificates.
    #[error(
        "{path} is larger than {LIST_FILE_MAX_BYTES} bytes; take out the serial numbers of certificates that have ended"
    )]
    ListTooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It exists and may not be replaced.
    #[error("{path} exists already and is left as it is: move it away first if it is to be made anew")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {verb} {path}: {source}")]
    Io {
        /// What was tried: `read`, `create` and so on.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl FileError {
    fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
        let path = path.to_path_buf();
        move |source| FileError::Io { verb, path, source }
    }

    /// Whether the file simply is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, FileError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads a secret, at most [`SECRET_FILE_MAX_BYTES`], and refuses it when group or others have any access to it. A path
/// in the directory of the service manager's credentials (`$CREDENTIALS_DIRECTORY`) is read as [`read_credential_file`] does.
///
/// # Errors
/// [`FileError`], whose sentence says which command repairs it.
pub fn read_secret_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    if credentials.is_some_and(|directory| path.parent() == Some(Path::new(&directory))) {
        return read_credential_file(path);
    }
    let file = open(path)?;
    let mode = file.metadata().map_err(FileError::io("inspect", path))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::TooOpen { path: path.to_path_buf(), mode });
    }
    read_open(&file, path)
}

/// Reads a secret that the service manager handed over (`$CREDENTIALS_DIRECTORY`), at most [`SECRET_FILE_MAX_BYTES`].
///
/// The manager gives the service access by an access list, which shows as group bits; others must have none.
///
/// # Errors
/// [`FileError`], whose sentence says what is wrong with the file.
pub fn read_credential_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let file = open(path)?;
    let mode = file.metadata().map_err(FileError::io("inspect", path))?.mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(FileError::TooOpen { path: path.to_path_buf(), mode });
    }
    read_open(&file, path)
}

/// Reads a file of at most [`SECRET_FILE_MAX_BYTES`] that need not be secret, such as a certificate.
///
/// # Errors
/// [`FileError`] when it is missing, no regular file or too large.
pub fn read_bounded_file(path: &Path) -> Result<Vec<u8>, FileError> {
    read_open(&open(path)?, path).map(|bytes| bytes.to_vec())
}

/// Creates a file with mode 0600 and this content, whole or not at all, and never over an existing one.
///
/// # Errors
/// [`FileError::Exists`] when there is one; [`FileError::Io`] when the system refuses.
pub fn create_secret_file(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let temporary = write_temporary(path, content, 0o600)?;
    // A link fails if the name exists; a rename would replace a key somebody else just made.
    let linked = rustix::fs::linkat(CWD, &temporary.0, CWD, path, AtFlags::empty()).map_err(io::Error::from);
    drop(temporary);
    match linked {
        Ok(()) => sync_directory_of(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(FileError::Exists { path: path.to_path_buf() })
        }
        Err(error) => Err(FileError::io("create", path)(error)),
    }
}

/// Writes a file with these permission bits, whole or not at all, over an existing one if need be.
///
/// # Errors
/// [`FileError::Io`] when the system refuses.
pub fn replace_file(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    let temporary = write_temporary(path, content, mode)?;
    std::fs::rename(&temporary.0, path).map_err(FileError::io("replace", path))?;
    sync_directory_of(path)
}

/// Makes a directory that only its owner can enter, if it is not there.
#[cfg(feature = "pki")]
pub(crate) fn create_private_directory(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(path).map_err(FileError::io("create", path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
        .map_err(FileError::io("protect", path))
}

fn open(path: &Path) -> Result<File, FileError> {
    // Not blocking: opening a pipe somebody left in place of a key must not hang the daemon.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty())
        .map(File::from)
        .map_err(|error| FileError::io("read", path)(error.into()))?;
    let metadata = file.metadata().map_err(FileError::io("inspect", path))?;
    if !metadata.is_file() {
        return Err(FileError::NotAFile { path: path.to_path_buf() });
    }
    Ok(file)
}

/// Reads a list that grows with the number of devices, at most [`LIST_FILE_MAX_BYTES`].
#[cfg(feature = "pki")]
pub(crate) fn read_long_file(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    open(path)?.take(LIST_FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(FileError::io("read", path))?;
    if bytes.len() as u64 > LIST_FILE_MAX_BYTES {
        return Err(FileError::ListTooLarge { path: path.to_path_buf() });
    }
    Ok(bytes)
}

fn read_open(file: &File, path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    // The whole capacity at once: a buffer that grew would leave copies of the secret behind.
    let mut bytes =
        Zeroizing::new(Vec::with_capacity(usize::try_from(SECRET_FILE_MAX_BYTES).unwrap_or(0) + 1));
    file.take(SECRET_FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(FileError::io("read", path))?;
    if bytes.len() as u64 > SECRET_FILE_MAX_BYTES {
        return Err(FileError::TooLarge { path: path.to_path_buf() });
    }
    Ok(bytes)
}

/// A file that is removed again unless it was renamed away.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // It is gone after a rename, and a leftover does no harm: the next one has another name.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn write_temporary(path: &Path, content: &[u8], mode: u32) -> Result<Temporary, FileError> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let unique = format!(".{name}.{}.{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
    let temporary = path.with_file_name(unique);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = rustix::fs::open(&temporary, flags, Mode::from_raw_mode(mode))
        .map(File::from)
        .map_err(|error| FileError::io("create", path)(error.into()))?;
    let temporary = Temporary(temporary);
    // The umask took bits away at creation; it never added any, so this only widens what was asked for.
    file.set_permissions(std::fs::Permissions::from_mode(mode)).map_err(FileError::io("protect", path))?;
    file.write_all(content).map_err(FileError::io("write", path))?;
    file.sync_all().map_err(FileError::io("sync", path))?;
    Ok(temporary)
}

fn sync_directory_of(path: &Path) -> Result<(), FileError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(FileError::io("sync", directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_born_private_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        create_secret_file(&path, b"first").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert!(matches!(create_secret_file(&path, b"second"), Err(FileError::Exists { .. })));
        assert_eq!(read_secret_file(&path).unwrap().as_slice(), b"first");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays behind");
    }

    #[test]
    fn a_secret_others_can_touch_is_refused_with_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        create_secret_file(&path, b"secret").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601, 0o777] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = read_secret_file(&path).unwrap_err();
            assert!(matches!(error, FileError::TooOpen { .. }), "{mode:o}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert!(read_secret_file(&path).is_ok());
    }

    #[test]
    fn what_is_no_small_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(read_secret_file(dir.path()), Err(FileError::NotAFile { .. })));
        assert!(read_secret_file(&dir.path().join("none")).unwrap_err().is_not_found());
        let large = dir.path().join("large");
        create_secret_file(&large, &vec![0; usize::try_from(SECRET_FILE_MAX_BYTES).unwrap() + 1]).unwrap();
        assert!(matches!(read_secret_file(&large), Err(FileError::TooLarge { .. })));
    }

    #[test]
    fn replacing_keeps_the_mode_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.crt");
        replace_file(&path, b"one", 0o644).unwrap();
        replace_file(&path, b"two", 0o644).unwrap();
        assert_eq!(read_bounded_file(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
    }
}
