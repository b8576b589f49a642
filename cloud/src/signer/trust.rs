//! The root, the keyring and the token keys of an installation: made once, checked at every start, rotated on time.
//!
//! Everything lies in two directories: `keys/` (private, 0600) and `trust/` (signed documents, public). A key is on
//! disk before a document names it, and a document is on disk before anything is signed under it, so a crash at any
//! point leaves an installation that starts and goes on.

use super::key_file::SoftwareKey;
use super::{KeyringBytes, Signer, TrustError};
use coterm_certs::{FileError, read_bounded_file, replace_file};
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{
    KeyUse, Keyring, KeyringDocument, Kid, PublicKey, Role, Root, RootDocument, TokenKey, TrustDomain,
};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

/// How long before its announcement a token key is valid, so that clocks a little apart do not refuse its first token.
const CLOCK_SLACK: Seconds = Seconds(300);

/// How token keys come and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustPolicy {
    /// The deployment.
    pub trust_domain: TrustDomain,
    /// How long a token key may sign.
    pub key_lifetime: Seconds,
    /// How long a token is good for; the next key is announced two of these before the end of the last.
    pub lease: Seconds,
    /// How long after its end a key stays in the keyring, so that devices can still read what it signed.
    pub keep: Seconds,
}

/// What a look at the chain of trust found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The version of the keyring.
    pub version: u64,
    /// How many token keys it lists.
    pub keys: usize,
    /// The token key that signs now.
    pub active: Kid,
}

/// The chain of trust of this installation.
pub struct Trust {
    files: Files,
    policy: TrustPolicy,
    root: Root,
    keyring_key: SoftwareKey,
    current: RwLock<Current>,
    published: watch::Sender<KeyringBytes>,
}

struct Current {
    keyring: Keyring,
    active: Arc<dyn Signer>,
}

/// Where things lie below the data directory.
#[derive(Clone, Debug)]
struct Files {
    keys: PathBuf,
    trust: PathBuf,
}

impl Files {
    fn below(data_dir: &Path) -> Files {
        Files { keys: data_dir.join("keys"), trust: data_dir.join("trust") }
    }
    fn root_key(&self) -> PathBuf {
        self.keys.join("root.key")
    }
    fn keyring_key(&self) -> PathBuf {
        self.keys.join("keyring.key")
    }
    fn token_key(&self, kid: Kid) -> PathBuf {
        self.keys.join(format!("token-{kid}.key"))
    }
    fn root(&self) -> PathBuf {
        self.trust.join("root.cose")
    }
    fn keyring(&self) -> PathBuf {
        self.trust.join("keyring.cose")
    }
}

impl Trust {
    /// Opens the chain of trust in `data_dir`, or makes it if this is the first start, and rotates what is due.
    ///
    /// # Errors
    /// Anything that does not fit together, in one sentence that says what to restore.
    pub fn open_or_create(data_dir: &Path, policy: TrustPolicy, now: Timestamp) -> Result<Trust, TrustError> {
        let files = Files::below(data_dir);
        private_directory(&files.keys)?;
        private_directory(&files.trust)?;
        let root = open_root(&files, &policy)?;
        let keyring_key = SoftwareKey::read_or_create(&files.keyring_key())?;
        check_keyring_key(&files, &root, &keyring_key)?;
        let keyring = match open_keyring(&files, &root)? {
            Some(keyring) => keyring,
            None => first_keyring(&files, &policy, &root, &keyring_key, now)?,
        };
        let active = open_active(&files, &keyring, now)?;
        let (published, _) = watch::channel(wire(&keyring));
        let current = RwLock::new(Current { keyring, active });
        let trust = Trust { files, policy, root, keyring_key, current, published };
        trust.rotate_if_due(now)?;
        Ok(trust)
    }

    /// Looks at the chain of trust in `data_dir` without making or rotating anything; `None` if there is none yet.
    ///
    /// # Errors
    /// As [`Trust::open_or_create`].
    pub fn inspect(
        data_dir: &Path,
        policy: &TrustPolicy,
        now: Timestamp,
    ) -> Result<Option<Inspection>, TrustError> {
        let files = Files::below(data_dir);
        if !files.root().exists() && !files.keyring().exists() {
            return Ok(None);
        }
        let root = open_root(&files, policy)?;
        let keyring_key = SoftwareKey::read(&files.keyring_key())?;
        check_keyring_key(&files, &root, &keyring_key)?;
        let Some(keyring) = open_keyring(&files, &root)? else { return Ok(None) };
        let active = open_active(&files, &keyring, now)?.kid();
        Ok(Some(Inspection { version: keyring.version(), keys: keyring.keys().len(), active }))
    }

    /// The root document, to be pinned by devices.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The keyring as it is now.
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        self.current.read().unwrap_or_else(PoisonError::into_inner).keyring.clone()
    }

    /// The epoch to issue in.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.current.read().unwrap_or_else(PoisonError::into_inner).keyring.min_epoch()
    }

    /// The key that signs tokens now.
    #[must_use]
    pub fn signer(&self) -> Arc<dyn Signer> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).active)
    }

    /// The keyring and every later one, for publishing.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<KeyringBytes> {
        self.published.subscribe()
    }

    /// Does what time asks for: announces the next token key two leases before the end of the active one, and signs
    /// with it one lease before. Between the two every device that is reachable learns of it; after the end every
    /// device that is reachable has a token of the new key. Returns whether the keyring changed.
    ///
    /// # Errors
    /// The new key or keyring cannot be made or stored; the old ones stay in use.
    pub fn rotate_if_due(&self, now: Timestamp) -> Result<bool, TrustError> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let newest_end = ours(&current.keyring).map(|key| key.not_after_at).max().unwrap_or(Timestamp::EPOCH);
        let announce = now.saturating_add(Seconds(self.policy.lease.0.saturating_mul(2))) >= newest_end;
        if announce {
            let key = SoftwareKey::generate()?;
            key.create(&self.files.token_key(key.kid()))?;
            let document = next_document(&self.policy, current.keyring.document(), &key, now);
            let keyring = self.sign_keyring(&document, Some(&current.keyring))?;
            current.keyring = keyring;
            tracing::info!(kid = %key.kid(), keyring = document.version, "the next token key is announced");
        }
        self.activate(&mut current, now)?;
        if announce {
            self.published.send_replace(wire(&current.keyring));
        }
        Ok(announce)
    }

    /// Chooses the key to sign with: the one that ends first of those with more than a lease to go.
    fn activate(&self, current: &mut Current, now: Timestamp) -> Result<(), TrustError> {
        let chosen = choose(&current.keyring, self.policy.lease, now);
        if let Some(kid) = chosen
            && kid != current.active.kid()
        {
            let path = self.files.token_key(kid);
            current.active = Arc::new(SoftwareKey::read(&path)?);
            tracing::info!(%kid, "tokens are signed by the next token key");
        }
        Ok(())
    }

    fn sign_keyring(
        &self,
        document: &KeyringDocument,
        held: Option<&Keyring>,
    ) -> Result<Keyring, TrustError> {
        sign_keyring(&self.files, &self.root, &self.keyring_key, document, held)
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").field("files", &self.files).finish_non_exhaustive()
    }
}

fn private_directory(path: &Path) -> Result<(), TrustError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| FileError::Io { verb: "create", path: path.to_owned(), source }.into())
}

fn read_document(path: &Path) -> Result<Option<Vec<u8>>, TrustError> {
    match read_bounded_file(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads the root, or makes it if nothing was ever made here.
fn open_root(files: &Files, policy: &TrustPolicy) -> Result<Root, TrustError> {
    let path = files.root();
    let root = match read_document(&path)? {
        Some(bytes) => {
            // Not needed before the next root, and better kept elsewhere; but if it is here, nobody else may read it.
            if files.root_key().exists() {
                SoftwareKey::read(&files.root_key())?;
            }
            Root::pinned(&bytes).map_err(|refusal| TrustError::Document { path: path.clone(), refusal })?
        }
        None if files.keyring().exists() => {
            return Err(TrustError::Missing { path, other: files.keyring() });
        }
        None => {
            let root_key = SoftwareKey::read_or_create(&files.root_key())?;
            let keyring_key = SoftwareKey::read_or_create(&files.keyring_key())?;
            let role = |key: &PublicKey| {
                Role::new(1, vec![key.clone()])
                    .map_err(|refusal| TrustError::Unmakeable { document: "root", refusal })
            };
            let document = RootDocument {
                trust_domain: policy.trust_domain.clone(),
                version: 1,
                root: role(root_key.public_key())?,
                keyring: role(keyring_key.public_key())?,
            };
            let unsigned = document.unsigned();
            let signature = root_key.sign(&unsigned.to_be_signed(root_key.kid()))?;
            let bytes = unsigned.attach(&[(root_key.kid(), signature)]);
            let root = Root::pinned(&bytes)
                .map_err(|refusal| TrustError::Unmakeable { document: "root", refusal })?;
            replace_file(&path, &bytes, 0o644)?;
            root
        }
    };
    if *root.trust_domain() != policy.trust_domain {
        let (found, configured) = (root.trust_domain().clone(), policy.trust_domain.clone());
        return Err(TrustError::OtherDomain { path, found, configured });
    }
    Ok(root)
}

fn check_keyring_key(files: &Files, root: &Root, key: &SoftwareKey) -> Result<(), TrustError> {
    if root.document().keyring.keys().contains(key.public_key()) {
        return Ok(());
    }
    Err(TrustError::Mismatch { path: files.keyring_key(), document: files.root() })
}

fn open_keyring(files: &Files, root: &Root) -> Result<Option<Keyring>, TrustError> {
    let Some(bytes) = read_document(&files.keyring())? else { return Ok(None) };
    let keyring = Keyring::verify(&bytes, root, None);
    keyring.map(Some).map_err(|refusal| TrustError::Document { path: files.keyring(), refusal })
}

fn first_keyring(
    files: &Files,
    policy: &TrustPolicy,
    root: &Root,
    keyring_key: &SoftwareKey,
    now: Timestamp,
) -> Result<Keyring, TrustError> {
    let key = SoftwareKey::generate()?;
    key.create(&files.token_key(key.kid()))?;
    let nothing = KeyringDocument {
        trust_domain: policy.trust_domain.clone(),
        version: 0,
        issued_at: now,
        min_epoch: 1,
        keys: Vec::new(),
    };
    sign_keyring(files, root, keyring_key, &next_document(policy, &nothing, &key, now), None)
}

/// The keyring after `last`, with one more key and without those nobody can need any more.
fn next_document(
    policy: &TrustPolicy,
    last: &KeyringDocument,
    key: &SoftwareKey,
    now: Timestamp,
) -> KeyringDocument {
    let mut keys: Vec<TokenKey> =
        last.keys.iter().filter(|key| now <= key.not_after_at.saturating_add(policy.keep)).cloned().collect();
    keys.push(TokenKey {
        key: key.public_key().clone(),
        not_before_at: now.saturating_sub(CLOCK_SLACK),
        not_after_at: now.saturating_add(policy.key_lifetime),
        key_use: KeyUse::LICENSE_STATE,
        organization: None,
    });
    KeyringDocument {
        trust_domain: last.trust_domain.clone(),
        version: last.version.saturating_add(1),
        issued_at: now,
        min_epoch: last.min_epoch,
        keys,
    }
}

/// Signs, verifies as a device would, and stores a keyring.
fn sign_keyring(
    files: &Files,
    root: &Root,
    key: &SoftwareKey,
    document: &KeyringDocument,
    held: Option<&Keyring>,
) -> Result<Keyring, TrustError> {
    let refused = |refusal| TrustError::Unmakeable { document: "keyring", refusal };
    let unsigned = document.unsigned().map_err(refused)?;
    let signature = key.sign(&unsigned.to_be_signed(key.kid()))?;
    let bytes = unsigned.attach(&[(key.kid(), signature)]);
    let keyring = Keyring::verify(&bytes, root, held).map_err(refused)?;
    replace_file(&files.keyring(), &bytes, 0o644)?;
    Ok(keyring)
}

/// The keys of the keyring that are made here: any organization, license states.
fn ours(keyring: &Keyring) -> impl Iterator<Item = &TokenKey> {
    keyring.keys().iter().filter(|key| key.organization.is_none() && key.key_use == KeyUse::LICENSE_STATE)
}

/// Of the keys with more than `margin` to go the one that ends first, else the one that ends last.
fn choose(keyring: &Keyring, margin: Seconds, now: Timestamp) -> Option<Kid> {
    let usable = || ours(keyring).filter(|key| key.not_before_at <= now);
    usable()
        .filter(|key| key.not_after_at > now.saturating_add(margin))
        .min_by_key(|key| key.not_after_at)
        .or_else(|| usable().max_by_key(|key| key.not_after_at))
        .map(|key| key.key.kid())
}

/// Reads the key to sign with at start and checks that it is the one the keyring names.
fn open_active(files: &Files, keyring: &Keyring, now: Timestamp) -> Result<Arc<dyn Signer>, TrustError> {
    let kid = choose(keyring, Seconds::ZERO, now)
        .or_else(|| ours(keyring).map(|key| key.key.kid()).next())
        .unwrap_or(Kid::from_bytes([0; 8]));
    let path = files.token_key(kid);
    let key = SoftwareKey::read(&path)?;
    if key.kid() != kid {
        return Err(TrustError::Mismatch { path, document: files.keyring() });
    }
    Ok(Arc::new(key))
}

fn wire(keyring: &Keyring) -> KeyringBytes {
    KeyringBytes { version: keyring.version(), bytes: Arc::from(keyring.bytes()) }
}

#[cfg(test)]
mod tests;
