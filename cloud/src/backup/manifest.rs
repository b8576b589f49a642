//! What a backup says of itself.

use super::{BackupError, MANIFEST_FILE};
use coterm_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Component, Path};

/// The format this program writes, and the newest it reads.
pub(super) const FORMAT: u32 = 1;

/// Most bytes of a manifest: some million certificates.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// What a backup says of itself: readable by people, checked before anything is restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of the backup.
    pub format: u32,
    /// The version of the program that made it.
    pub program: String,
    /// The machine's clock when it was begun.
    pub made_at: Timestamp,
    /// The deployment it is of.
    pub trust_domain: String,
    /// The organizations in it.
    pub organizations: u64,
    /// The entries of all logs in it.
    pub events: u64,
    /// When the last of them was recorded: what happened later is not in it.
    pub last_event_at: Option<Timestamp>,
    /// Whether private keys are in it.
    pub with_keys: bool,
    /// SHA-256 (hex) and permission bits of each file, by path.
    pub files: BTreeMap<String, Copied>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// SHA-256 of its content, in hex.
    pub sha256: String,
    /// Its permission bits.
    pub mode: u32,
    /// Its length.
    pub bytes: u64,
}

impl Manifest {
    /// The manifest of a backup.
    ///
    /// # Errors
    /// [`BackupError::NotWhole`] or [`BackupError::Newer`].
    pub fn read(backup: &Path) -> Result<Manifest, BackupError> {
        let path = backup.to_path_buf();
        let not_whole = |reason: String| BackupError::NotWhole { path: path.clone(), reason };
        let file = backup.join(MANIFEST_FILE);
        let length =
            std::fs::metadata(&file).map_err(|error| not_whole(format!("{MANIFEST_FILE}: {error}")))?.len();
        if length > MAX_BYTES {
            return Err(not_whole(format!("{MANIFEST_FILE} has {length} bytes")));
        }
        let bytes = std::fs::read(&file).map_err(|error| not_whole(format!("{MANIFEST_FILE}: {error}")))?;
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let unreadable = |error: serde_json::Error| not_whole(format!("{MANIFEST_FILE}: {error}"));
        let Format { format } = serde_json::from_slice(&bytes).map_err(unreadable)?;
        if format > FORMAT {
            return Err(BackupError::Newer { path, found: format, known: FORMAT });
        }
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(unreadable)?;
        match manifest.files.keys().find(|name| !is_inside(name)) {
            Some(name) => Err(not_whole(format!("{MANIFEST_FILE} names `{name}`, which is not inside it"))),
            None => Ok(manifest),
        }
    }
}

/// Whether a path of a manifest stays in its directory.
fn is_inside(name: &str) -> bool {
    let mut parts = Path::new(name).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_manifest_reaches_out_of_its_directory() {
        for (name, inside) in [
            ("coterm.db", true),
            ("keys/root-1.key", true),
            ("", false),
            ("/etc/passwd", false),
            ("../x", false),
            ("keys/../../x", false),
        ] {
            assert_eq!(is_inside(name), inside, "{name}");
        }
    }
}
