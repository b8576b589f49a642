//! Where a demonstration keeps everything: one directory, gone when it ends, or at the latest when the next one starts.

use super::DemoError;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// How the directory of a demonstration is called; its process id follows.
const PLACE_PREFIX: &str = "coterm-demo-";

/// Removes what demonstrations left that were killed: directories of ours whose process is gone.
fn sweep_leftovers(temporary: &Path) {
    for entry in fs::read_dir(temporary).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.strip_prefix(PLACE_PREFIX)) else { continue };
        let Ok(pid) = pid.parse::<u32>() else { continue };
        // Ours now, so not another's: a leftover of a process that had the same number.
        let gone = pid == std::process::id() || !Path::new("/proc").join(pid.to_string()).exists();
        let ours = fs::symlink_metadata(entry.path())
            .is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw());
        if gone && ours {
            // A directory that stays is in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The directory of a demonstration; removed when it ends.
pub(super) struct Place {
    /// Where it is.
    pub(super) dir: PathBuf,
}

impl Place {
    /// Makes it, and clears away what killed demonstrations left beside it.
    pub(super) fn make(chosen: Option<&Path>) -> Result<Place, DemoError> {
        if chosen.is_none() {
            sweep_leftovers(&std::env::temp_dir());
        }
        let unique = format!("{PLACE_PREFIX}{}", std::process::id());
        let dir = chosen.map_or_else(|| std::env::temp_dir().join(unique), Path::to_owned);
        let what = format!("the directory {}", dir.display());
        let made = fs::DirBuilder::new().mode(0o700).create(&dir);
        made.map_err(|source| DemoError::Stage { what, source })?;
        let dir = dir.canonicalize().unwrap_or(dir);
        Ok(Place { dir })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
