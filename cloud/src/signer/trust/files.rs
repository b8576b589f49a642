//! The trust directory: signed documents, one writer at a time.
//!
//! **Problem.** The daemon rotates keys while an operator runs `coterm-cloud keys`, and either can be killed between two
//! writes. **Method.** A lock file that ends with its process, whoever holds it reads everything anew before writing, and
//! an order of writes in which every prefix is a state the next reader understands. The daemon notices what others wrote by
//! looking at the two files that count. **Deliberately absent:** secrets; everything here is public.

use super::super::TrustError;
use coterm_certs::{FileError, read_bounded_file, replace_file};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a command waits for the daemon, or for another command, to finish its change.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the documents lie.
#[derive(Clone, Debug)]
pub(super) struct Files {
    trust: PathBuf,
}

/// What the directory looked like; two equal looks mean that nothing was written between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look([Option<(u64, i64, i64, u64)>; 2]);

/// Held by whoever changes the directory; it ends with the process, however that ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "dropping it is what it is for")] File);

impl Files {
    pub(super) fn below(data_dir: &Path) -> Files {
        Files { trust: data_dir.join("trust") }
    }

    /// The newest root: the one the chain ends with.
    pub(super) fn root(&self) -> PathBuf {
        self.trust.join("root.cose")
    }

    /// Every root by its version, the newest included.
    pub(super) fn root_of(&self, version: u64) -> PathBuf {
        self.roots().join(format!("{version}.cose"))
    }

    pub(super) fn roots(&self) -> PathBuf {
        self.trust.join("roots")
    }

    pub(super) fn keyring(&self) -> PathBuf {
        self.trust.join("keyring.cose")
    }

    /// Takes the lock, waiting for others as long as a person would.
    pub(super) fn lock(&self) -> Result<Lock, TrustError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.try_lock()? {
                Some(lock) => return Ok(lock),
                None if Instant::now() >= deadline => {
                    return Err(TrustError::Busy { path: self.trust.join(".lock") });
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Takes the lock if nobody else has it.
    pub(super) fn try_lock(&self) -> Result<Option<Lock>, TrustError> {
        private_directory(&self.roots())?;
        let path = self.trust.join(".lock");
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| FileError::Io { verb: "open", path: path.clone(), source })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(FileError::Io { verb: "lock", path, source: error.into() }.into()),
        }
    }

    /// What is there now, by inode, time and size: every write here is a rename of a new file.
    pub(super) fn look(&self) -> Look {
        let seen = |path: PathBuf| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len()))
        };
        Look([seen(self.root()), seen(self.keyring())])
    }

    /// A document, if it is there.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, TrustError> {
        match read_bounded_file(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores a root: first under its version, which alone counts for nothing, then as the newest.
    pub(super) fn write_root(&self, _: &Lock, version: u64, bytes: &[u8]) -> Result<(), TrustError> {
        replace_file(&self.root_of(version), bytes, 0o644)?;
        replace_file(&self.root(), bytes, 0o644)?;
        Ok(())
    }

    /// Stores a keyring.
    pub(super) fn write_keyring(&self, _: &Lock, bytes: &[u8]) -> Result<(), TrustError> {
        Ok(replace_file(&self.keyring(), bytes, 0o644)?)
    }
}

/// Makes a directory that only its owner can enter, if it is not there.
pub(crate) fn private_directory(path: &Path) -> Result<(), TrustError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| FileError::Io { verb: "create", path: path.to_owned(), source }.into())
}
