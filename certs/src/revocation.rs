//! Certificates that no longer count.
//!
//! **Problem.** A stolen device keeps a valid certificate for years. **Method.** A text file with a serial number per
//! line, read by the daemon at every change; the broker asks it at every connect and ends the connection of a device
//! when its certificate enters the list. **Deliberately absent:** X.509 CRLs and OCSP: the embedded broker is the only
//! reader, and external brokers bring their own lists.

use crate::certificate::Serial;
use crate::pki::{Pki, PkiError};
use crate::secret_file::{read_bounded_file, replace_file};
use std::collections::BTreeSet;

/// The serial numbers of revoked certificates.
pub type Revoked = BTreeSet<Serial>;

impl Pki {
    /// The revoked certificates; an empty set when none ever was.
    ///
    /// # Errors
    /// [`PkiError`] when the list cannot be read. A line that is no serial number is an error too: dropping it could
    /// let a stolen device back in.
    pub fn revoked(&self) -> Result<Revoked, PkiError> {
        let path = self.revoked_file();
        let bytes = match read_bounded_file(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(Revoked::new()),
            Err(error) => return Err(error.into()),
        };
        let text = String::from_utf8_lossy(&bytes);
        let mut revoked = Revoked::new();
        for (number, line) in (1_usize..).zip(text.lines()) {
            let entry = line.split('#').next().unwrap_or("").trim();
            if entry.is_empty() {
                continue;
            }
            let serial =
                entry.parse().map_err(|_| PkiError::RevokedLine { path: path.clone(), line: number })?;
            revoked.insert(serial);
        }
        Ok(revoked)
    }

    /// Revokes a certificate; once this returns, the list on disk has it. Revoking twice changes nothing.
    ///
    /// # Errors
    /// [`PkiError`] when the list cannot be read or written.
    pub fn revoke(&self, serial: &Serial) -> Result<Revoked, PkiError> {
        let mut revoked = self.revoked()?;
        if revoked.insert(serial.clone()) {
            let mut text = String::from("# Serial numbers of revoked certificates, one a line.\n");
            for serial in &revoked {
                text.push_str(serial.as_str());
                text.push('\n');
            }
            replace_file(&self.revoked_file(), text.as_bytes(), 0o600)?;
        }
        Ok(revoked)
    }
}
