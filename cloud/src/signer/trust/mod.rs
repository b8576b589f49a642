//! The root, the keyring and the token keys of an installation: made once, checked at every start, rotated on time.
//!
//! Everything lies in two directories: `keys/` (private, 0600, see [`vault`](super::vault)) and `trust/` (signed
//! documents, public). The daemon rotates through [`Trust`]; operators change through [`Office`], in a process of their
//! own, with the daemon running or not. Both write under one lock, and the daemon takes over what others wrote within a
//! second: no key can be changed over the network, and a stopped daemon keeps nobody from revoking one.

mod chain;
mod enrolment;
mod files;
mod health;
mod office;
mod plan;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use files::private_directory;
pub use health::{KeyStatus, RoleStatus, Status};
pub use office::{Drafted, Exported, Installed, Office, RootPlan};
pub use plan::KeyringChange;
use plan::NewKeys;

use super::vault::{KeyRole, Vault};
use super::{Documents, Signer, TrustError};
use crate::alarms::{AlarmCode, Condition};
use chain::Chain;
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{Keyring, Root, TrustDomain};
use files::{Lock, Look};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use store::TrustStore;
use tokio::sync::watch;

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

/// The chain of trust of this installation, as the daemon uses it.
pub struct Trust {
    store: TrustStore,
    current: RwLock<Current>,
    /// What went wrong last, until it works again.
    troubles: Mutex<Troubles>,
    published: watch::Sender<Documents>,
    /// Signs answers of the enrolment listener, once it was asked for.
    enrolment: Mutex<Option<Arc<dyn Signer>>>,
}

struct Current {
    chain: Chain,
    /// The key that signs tokens; `None` while it is out of reach.
    active: Option<Arc<dyn Signer>>,
    look: Look,
}

#[derive(Debug, Default)]
struct Troubles {
    rotation: Option<String>,
    reading: Option<String>,
    signer: Option<String>,
}

impl Trust {
    /// Opens the chain of trust in `data_dir`, or makes it if this is the first start.
    ///
    /// # Errors
    /// Anything that does not fit together, in one sentence that says what to restore. Hardware that does not answer is
    /// no such thing: without it nothing is signed, and [`Trust::conditions`] says so.
    pub fn open_or_create(
        data_dir: &Path,
        policy: TrustPolicy,
        vault: Vault,
        now: Timestamp,
    ) -> Result<Trust, TrustError> {
        let store = TrustStore::new(data_dir, policy, vault);
        let lock = store.files.lock()?;
        let chain = store.read_or_found(&lock, now)?;
        let look = store.files.look();
        store.refuse_foreign_files(&chain)?;
        let mut troubles = Troubles::default();
        let active = match store.open_active(&chain.keyring, now) {
            Ok(active) => Some(active),
            Err(error) if error.is_for_now() => {
                troubles.signer = Some(error.to_string());
                None
            }
            Err(error) => return Err(error),
        };
        drop(lock);
        let (published, _) = watch::channel(chain.documents());
        let current = RwLock::new(Current { chain, active, look });
        Ok(Trust { store, current, troubles: Mutex::new(troubles), published, enrolment: Mutex::default() })
    }

    /// The newest root for which there is a keyring: what new devices are given to pin.
    #[must_use]
    pub fn root(&self) -> Root {
        self.read(|current| current.chain.under.clone())
    }

    /// Root and keyring that belong together.
    #[must_use]
    pub fn pair(&self) -> (Root, Keyring) {
        self.read(|current| (current.chain.under.clone(), current.chain.keyring.clone()))
    }

    /// The keyring as it is now; it verifies under [`Trust::root`].
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        self.read(|current| current.chain.keyring.clone())
    }

    /// The epoch to issue in.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.read(|current| current.chain.keyring.min_epoch())
    }

    /// The key that signs tokens now.
    ///
    /// # Errors
    /// It is out of reach, and why.
    pub fn signer(&self) -> Result<Arc<dyn Signer>, TrustError> {
        let reason = || self.troubles().signer.clone().unwrap_or_default();
        self.read(|current| current.active.clone()).ok_or_else(|| TrustError::NoSigner { reason: reason() })
    }

    /// What goes out to devices, now and whenever it changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Documents> {
        self.published.subscribe()
    }

    /// Takes over what `coterm-cloud keys` wrote, if it did. Returns whether anything is new.
    ///
    /// # Errors
    /// What was written cannot be used; what was held before stays in use.
    pub fn reload_if_changed(&self, now: Timestamp) -> Result<bool, TrustError> {
        if self.store.files.look() == self.read(|current| current.look) {
            // What could not be read may have been put back as it was.
            self.troubles().reading = None;
            return Ok(false);
        }
        // Whoever writes now is not done: the next look finds it complete.
        let Some(lock) = self.store.files.try_lock()? else { return Ok(false) };
        let taken = self.take_over(&lock, now);
        self.troubles().reading = taken.as_ref().err().map(ToString::to_string);
        taken
    }

    fn take_over(&self, _: &Lock, now: Timestamp) -> Result<bool, TrustError> {
        let look = self.store.files.look();
        let chain = self.store.read_chain()?;
        self.adopt(chain, look, now);
        Ok(true)
    }

    /// Does what time asks for: announces the next token key two leases before the end of the active one, and signs
    /// with it one lease before. Between the two every device that is reachable learns of it; after the end every
    /// device that is reachable has a token of the new key. Finishes a change of roots that was cut short. Returns
    /// whether the keyring changed.
    ///
    /// # Errors
    /// The new key or keyring cannot be made or stored; the old ones stay in use.
    pub fn rotate_if_due(&self, now: Timestamp) -> Result<bool, TrustError> {
        // First, and whatever becomes of the rest: the next key is in devices' hands already, and must sign from its day
        // on also while a keyring waits for signatures made elsewhere.
        self.activate(now);
        let rotated = self.rotate(now);
        self.troubles().rotation = rotated.as_ref().err().map(ToString::to_string);
        rotated
    }

    fn rotate(&self, now: Timestamp) -> Result<bool, TrustError> {
        let policy = &self.store.policy;
        let due = |chain: &Chain| plan::is_due(policy, chain.keyring.document(), now);
        let idle = self.read(|current| !due(&current.chain) && !current.chain.is_behind());
        if idle {
            return Ok(false);
        }
        // From here on what is in the directory counts, not what this process remembers of it.
        let lock = self.store.files.lock()?;
        let chain = self.store.read_chain()?;
        let announce = due(&chain);
        if !announce && !chain.is_behind() {
            self.adopt(chain, self.store.files.look(), now);
            return Ok(false);
        }
        let signers = self.store.keyring_signers(chain.newest().document())?;
        let key = if announce { Some(self.store.vault.make(KeyRole::Token)?) } else { None };
        let last = chain.keyring.document();
        let new = NewKeys { license_state: key.as_ref().map(|key| key.public_key()), ..NewKeys::default() };
        let document = plan::next_document(policy, last, new, &KeyringChange::default(), now)?;
        let keyring =
            self.store.sign_keyring(&lock, chain.newest(), Some(&chain.keyring), &document, &signers)?;
        self.store.forget(last, keyring.document(), now);
        self.store.forget_signers(&chain);
        tracing::info!(keyring = document.version, kid = ?key.map(|key| key.kid()), "a new keyring");
        self.adopt(chain.with_keyring(keyring), self.store.files.look(), now);
        Ok(true)
    }

    /// From now on this is the chain.
    fn adopt(&self, chain: Chain, look: Look, now: Timestamp) {
        let documents = chain.documents();
        {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            current.chain = chain;
            current.look = look;
        }
        self.activate(now);
        self.published.send_if_modified(|published| {
            let is_news = *published != documents;
            *published = documents;
            is_news
        });
    }

    /// Signs with the key that is to sign now, and makes sure that it can.
    fn activate(&self, now: Timestamp) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let choice = plan::choose(&current.chain.keyring, self.store.policy.lease, now);
        let ended = choice.is_some_and(|key| key.not_after_at < now);
        let chosen = choice.map(|key| key.key.kid());
        if ended || chosen.is_none() || chosen != current.active.as_ref().map(|active| active.kid()) {
            match self.store.open_active(&current.chain.keyring, now) {
                Ok(active) => {
                    tracing::info!(kid = %active.kid(), "tokens are signed by this token key");
                    current.active = Some(active);
                    self.troubles().signer = None;
                }
                Err(error) => {
                    // A key that was revoked or has ended must not go on signing; one that only ages may.
                    let counts =
                        |kid| current.chain.keyring.key(kid).is_some_and(|key| now <= key.not_after_at);
                    if current.active.as_ref().is_some_and(|active| !counts(active.kid())) {
                        current.active = None;
                    }
                    self.troubles().signer = Some(error.to_string());
                }
            }
            return;
        }
        let checked = current.active.as_ref().map(|active| active.check());
        drop(current);
        self.troubles().signer = match checked {
            Some(Err(error)) => Some(error.to_string()),
            Some(Ok(())) | None => None,
        };
    }

    /// The codes of [`Trust::conditions`].
    pub const CODES: &'static [AlarmCode] = &[
        AlarmCode::TokenKeyEnds,
        AlarmCode::RotationFailed,
        AlarmCode::KeyringNotRenewable,
        AlarmCode::KeyringBehindRoot,
        AlarmCode::SignerUnavailable,
        AlarmCode::TrustUnreadable,
        AlarmCode::RootKeyOnline,
    ];

    /// What operators have to know about keys and documents (token §3).
    #[must_use]
    pub fn conditions(&self, now: Timestamp) -> Vec<Condition> {
        let chain = self.read(|current| current.chain.clone());
        let mut conditions = self.store.status(&chain, now).conditions(self.store.policy.lease);
        let troubles = self.troubles();
        let own = [
            (AlarmCode::RotationFailed, &troubles.rotation),
            (AlarmCode::TrustUnreadable, &troubles.reading),
            (AlarmCode::SignerUnavailable, &troubles.signer),
        ];
        // What the daemon itself met is more exact than what can be seen from outside.
        conditions.retain(|condition| {
            own.iter().all(|(code, trouble)| condition.code != *code || trouble.is_none())
        });
        conditions.extend(
            own.into_iter().filter_map(|(code, trouble)| Some(Condition::new(code, "", trouble.clone()?))),
        );
        conditions
    }

    fn read<T>(&self, read: impl FnOnce(&Current) -> T) -> T {
        read(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").field("store", &self.store).finish_non_exhaustive()
    }
}

impl TrustStore {
    /// The private half of the token key that signs now.
    fn open_active(&self, keyring: &Keyring, now: Timestamp) -> Result<Arc<dyn Signer>, TrustError> {
        let Some(key) = plan::choose(keyring, self.policy.lease, now) else {
            return Err(TrustError::NoTokenKey { keyring: keyring.version() });
        };
        if key.not_after_at < now {
            // Whatever it signed now would be refused by every device.
            return Err(TrustError::TokenKeyEnded { kid: key.key.kid(), at: key.not_after_at });
        }
        let path = self.vault.key_file(KeyRole::Token, key.key.kid());
        self.vault.find(KeyRole::Token, &key.key)?.ok_or(TrustError::KeyMissing { path })
    }

    /// A file named like the key of a role holds a key of that role, of today or of an earlier root: anything else was
    /// put there by mistake, and would be missed on the day it is needed.
    fn refuse_foreign_files(&self, chain: &Chain) -> Result<(), TrustError> {
        for (role, path) in [KeyRole::Root, KeyRole::Keyring].map(|role| (role, self.vault.first_file(role)))
        {
            let Some(key) = self.vault.first_key(role)? else { continue };
            let named = chain.roots().any(|root| {
                let document = root.document();
                let role = match role {
                    KeyRole::Root => &document.root,
                    KeyRole::Keyring | KeyRole::Token => &document.keyring,
                };
                role.keys().contains(key.public_key())
            });
            if !named {
                return Err(TrustError::Mismatch { path, document: self.files.root() });
            }
        }
        Ok(())
    }
}
