//! How much room a disk has: asked before a backup, by the metrics, and by `check`.

use std::io;
use std::path::Path;

/// The free space, in bytes, on the disk that holds `path`, as far as this user may use it.
///
/// # Errors
/// `path` cannot be looked at.
pub(crate) fn free(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
