//! Certificates that no longer count.
//!
//! **Problem.** A stolen device keeps a valid certificate for years, and so does a lost directory with a device's key.
//! **Method.** A text file with a serial number per line, read by the daemon at every change; the broker asks it at every
//! connect and ends the connection of a device when its certificate enters the list. The serial numbers issued to a
//! device are remembered in a file of its own, so that a new certificate takes the place of all older ones, whoever they
//! were made for. **Deliberately absent:** OCSP. Brokers elsewhere read the X.509 list made of this one, see
//! [`Pki::write_revocation_list`].

use crate::certificate::Serial;
use crate::pki::{Pki, PkiError};
use crate::secret_file::{create_private_directory, read_bounded_file, read_long_file, replace_file};
use coterm_shared::id::DeviceId;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::PoisonError;

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
        match read_long_file(&path) {
            Ok(bytes) => serials(&path, &bytes),
            Err(error) if error.is_not_found() => Ok(Revoked::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Revokes a certificate; once this returns, the list on disk has it. Revoking twice changes nothing.
    ///
    /// # Errors
    /// [`PkiError`] when the list cannot be read or written.
    pub fn revoke(&self, serial: &Serial) -> Result<Revoked, PkiError> {
        self.revoke_all(&Revoked::from([serial.clone()]))
    }

    /// Makes this certificate the device's only one: revokes those issued to it before and remembers this one. Returns
    /// how many were revoked. Whatever interrupts it, the next call revokes what this one should have.
    ///
    /// # Errors
    /// [`PkiError`] when a list cannot be read or written; the new certificate must not be handed out then.
    pub fn keep_only(&self, device: &DeviceId, serial: &Serial) -> Result<usize, PkiError> {
        let path = self.issued_file(device);
        let mut older = self.issued(&path)?;
        older.remove(serial);
        if let Some(directory) = path.parent() {
            create_private_directory(directory)?;
        }
        // First the list, then what is remembered: a crash in between repeats a revocation and forgets none.
        if !older.is_empty() {
            self.revoke_all(&older)?;
        }
        replace_file(&path, format!("{serial}\n").as_bytes(), 0o600)?;
        Ok(older.len())
    }

    /// Remembers a certificate beside the one its device has, until the device uses it ([`Pki::keep_only`]): at no moment
    /// is a device without a certificate that counts. Any third one is revoked. Returns how many were.
    ///
    /// # Errors
    /// [`PkiError`] when a list cannot be read or written; the new certificate must not be handed out then.
    pub fn keep_both(&self, device: &DeviceId, present: &Serial, new: &Serial) -> Result<usize, PkiError> {
        let path = self.issued_file(device);
        let mut older = self.issued(&path)?;
        older.remove(present);
        older.remove(new);
        if let Some(directory) = path.parent() {
            create_private_directory(directory)?;
        }
        if !older.is_empty() {
            self.revoke_all(&older)?;
        }
        replace_file(&path, format!("{present}\n{new}\n").as_bytes(), 0o600)?;
        Ok(older.len())
    }

    fn issued(&self, path: &Path) -> Result<Revoked, PkiError> {
        match read_bounded_file(path) {
            Ok(bytes) => serials(path, &bytes),
            Err(error) if error.is_not_found() => Ok(Revoked::new()),
            Err(error) => Err(error.into()),
        }
    }

    fn revoke_all(&self, serials: &Revoked) -> Result<Revoked, PkiError> {
        let _alone = self.revoking.lock().unwrap_or_else(PoisonError::into_inner);
        let mut revoked = self.revoked()?;
        if !serials.is_subset(&revoked) {
            revoked.extend(serials.iter().cloned());
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

/// A serial number per line, with comments after `#`.
fn serials(path: &Path, bytes: &[u8]) -> Result<Revoked, PkiError> {
    let text = String::from_utf8_lossy(bytes);
    let mut found = Revoked::new();
    for (line, text) in (1_usize..).zip(text.lines()) {
        let entry = text.split('#').next().unwrap_or("").trim();
        if !entry.is_empty() {
            let serial = entry.parse().map_err(|_| PkiError::RevokedLine { path: path.to_owned(), line })?;
            found.insert(serial);
        }
    }
    Ok(found)
}
