//! Why a backup was not made or not restored, and what to do about it. Nothing was changed then.

use crate::store::StoreError;
use std::io;
use std::path::PathBuf;

/// Why a backup was not made or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is nothing to copy.
    #[error("there is no database at {path}: set --data-dir or --config to those of the daemon")]
    NothingToCopy {
        /// Where it should be.
        path: PathBuf,
    },
    /// The backup would become a part of the next one.
    #[error("{path} is inside the data directory: write backups elsewhere, best on another disk")]
    InsideDataDir {
        /// The directory.
        path: PathBuf,
    },
    /// The disk is too small.
    #[error(
        "{path} has {free} bytes free, and the backup needs about {needed}: free space, or write it elsewhere"
    )]
    TooSmall {
        /// The directory.
        path: PathBuf,
        /// Free bytes.
        free: u64,
        /// Bytes the backup needs.
        needed: u64,
    },
    /// A backup of this second exists.
    #[error("{path} exists already: wait a second, or write elsewhere")]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {verb} {path}: {source}{hint}", hint = full(source))]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The copy does not hold together.
    #[error("{path} is damaged: {reason}; take another backup, and keep the older ones")]
    Unsound {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It is no backup, or not whole.
    #[error(
        "{path} is no whole backup: {reason}; name the directory that `coterm-cloud backup` made, unchanged"
    )]
    NotWhole {
        /// The directory.
        path: PathBuf,
        /// Everything that is wrong with it.
        reason: String,
    },
    /// It was made by a newer program.
    #[error(
        "{path} was made by a newer program (format {found}, this one knows {known}): restore with that program"
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format this program knows.
        known: u32,
    },
    /// It belongs to another deployment.
    #[error(
        "the backup is of trust domain `{found}`, the configuration says `{expected}`: devices would refuse every token; set trust_domain"
    )]
    OtherDomain {
        /// Of the backup.
        found: String,
        /// Of the configuration.
        expected: String,
    },
    /// There is something in the data directory.
    #[error("{path} is not empty: with --replace, what is there is moved aside, and nothing is deleted")]
    NotEmpty {
        /// The data directory.
        path: PathBuf,
    },
    /// A daemon runs on it.
    #[error("a daemon runs on {path}: stop it first, and start it again after the restore")]
    Running {
        /// The data directory.
        path: PathBuf,
    },
}

/// What to do when the disk is full.
fn full(error: &io::Error) -> &'static str {
    let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge];
    if kinds.contains(&error.kind()) {
        "; free space or write elsewhere: nothing was changed, and nothing half-made is left"
    } else {
        ""
    }
}
