//! The first token: without it nobody could make another.

use super::role::RoleName;
use super::secret::Secret;
use super::store::{TokenId, TokenRecord, TokenStore};
use coterm_certs::{FileError, create_secret_file, read_secret_file};
use coterm_shared::time::Timestamp;
use std::path::Path;
use zeroize::Zeroizing;

/// The file in the data directory that the first token is written to, with mode 0600.
pub const ADMIN_TOKEN_FILE: &str = "admin.token";

/// Makes the first vendor token if there is no token at all, and writes it to [`ADMIN_TOKEN_FILE`] in `data_dir`.
///
/// The file is on disk before the token works. If a crash came between, the next start takes the token from the file.
/// Returns whether a token was made or taken.
///
/// # Errors
/// The file cannot be written, exists with a wider mode or without a token, or the store refuses.
pub fn bootstrap(store: &TokenStore, data_dir: &Path, now: Timestamp) -> anyhow::Result<bool> {
    use anyhow::Context;
    if !store.is_empty() {
        return Ok(false);
    }
    let path = data_dir.join(ADMIN_TOKEN_FILE);
    let name = path.display();
    let secret = if path.exists() {
        read(&path).with_context(|| format!("cannot take the first token from {name}; remove the file"))?
    } else {
        let secret = Secret::generate()?;
        write(&path, &secret).with_context(|| format!("cannot write the first token to {name}"))?;
        secret
    };
    let mut id = [0_u8; 16];
    getrandom::fill(&mut id)?;
    let record = TokenRecord {
        id: TokenId::from_bytes(id),
        name: String::from("admin"),
        role: RoleName::Vendor,
        organization: None,
        created_at: now,
        created_by: String::from("first start"),
        expires_at: None,
        revoked_at: None,
    };
    store.insert(secret.hash(), record, None)?;
    Ok(true)
}

fn write(path: &Path, secret: &Secret) -> Result<(), FileError> {
    let text = Zeroizing::new(format!("{}\n", secret.reveal()));
    create_secret_file(path, text.as_bytes())
}

fn read(path: &Path) -> anyhow::Result<Secret> {
    let bytes = read_secret_file(path)?;
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(Secret::parse)
        .ok_or_else(|| anyhow::anyhow!("it holds no token"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_first_start_leaves_a_private_file_with_a_working_vendor_token() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_secs(1).unwrap();
        let path = dir.path().join(ADMIN_TOKEN_FILE);
        let store = TokenStore::open(&dir.path().join("a.db")).unwrap();
        assert!(bootstrap(&store, dir.path(), now).unwrap());
        assert!(!bootstrap(&store, dir.path(), now).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let secret = Secret::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(store.principal(&secret.hash(), now).unwrap().role, Role::Vendor);

        // The file was written and the store lost: the same token works again.
        let fresh = TokenStore::open(&dir.path().join("b.db")).unwrap();
        assert!(bootstrap(&fresh, dir.path(), now).unwrap());
        assert!(fresh.principal(&secret.hash(), now).is_some());

        // A file others can read is not trusted.
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let third = TokenStore::open(&dir.path().join("c.db")).unwrap();
        assert!(bootstrap(&third, dir.path(), now).is_err());
    }
}
