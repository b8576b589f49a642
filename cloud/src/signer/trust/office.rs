//! What operators change: `coterm-cloud keys`, in a process of its own, with the daemon running or not.
//!
//! Every change reads the directory under its lock, verifies what it is about to write as a device would, and writes it
//! so that the daemon, or the next command after a crash, understands whatever was finished. What cannot be signed here
//! becomes a draft for those who can.

use super::super::ceremony::Draft;
use super::super::vault::{KeyRole, Vault};
use super::super::{MAX_ROOTS, Signer, TrustError};
use super::TrustPolicy;
use super::chain::{Chain, Found};
use super::health::Status;
use super::plan::{self, KeyringChange, NewKeys};
use super::store::{TrustStore, sign, unmakeable};
use coterm_shared::time::Timestamp;
use coterm_shared::token::{Keyring, KeyringDocument, PublicKey, Role, Root, RootDocument};
use std::path::Path;
use std::sync::Arc;

/// The keys of an installation in an operator's hands.
#[derive(Debug)]
pub struct Office {
    store: TrustStore,
}

/// What became of a change.
#[derive(Clone, Debug)]
pub enum Drafted {
    /// It is in force: the daemon takes it over within a second.
    Done(Installed),
    /// It lacks signatures that cannot be made here: carry this draft to them.
    Draft(Draft),
}

/// What is in force now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The version of the newest root.
    pub root: u64,
    /// The version of the keyring.
    pub keyring: u64,
    /// The root the keyring was made under; behind `root` until one is made under that.
    pub keyring_root: u64,
    /// The token key made on the way.
    pub token_key: Option<String>,
    /// Whether that key signs from now on; else it is announced, and signs when the present one nears its end.
    pub token_key_signs: bool,
}

/// The public documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Every root with its version, the oldest first.
    pub roots: Vec<(u64, Vec<u8>)>,
    /// The keyring.
    pub keyring: Vec<u8>,
}

/// What the next root is to say; what is absent stays as it is.
#[derive(Clone, Debug, Default)]
pub struct RootPlan {
    /// All keys that may sign roots.
    pub root_keys: Option<Vec<PublicKey>>,
    /// How many of them must.
    pub root_threshold: Option<u8>,
    /// All keys that may sign keyrings.
    pub keyring_keys: Option<Vec<PublicKey>>,
    /// How many of them must.
    pub keyring_threshold: Option<u8>,
    /// Whether a new root key is made here, instead of the others or besides those given.
    pub new_root_key: bool,
    /// Whether a new keyring key is made here, instead of the others or besides those given.
    pub new_keyring_key: bool,
}

impl Office {
    /// The keys of the installation in `data_dir`.
    #[must_use]
    pub fn open(data_dir: &Path, policy: TrustPolicy, vault: Vault) -> Office {
        Office { store: TrustStore::new(data_dir, policy, vault) }
    }

    /// Makes root 1 and keyring 1 with keys made here, as the first start of the daemon would.
    ///
    /// # Errors
    /// There is a chain already, or something cannot be made.
    pub fn init(&self, now: Timestamp) -> Result<Installed, TrustError> {
        let lock = self.store.files.lock()?;
        if let Found::Chain(chain) = self.store.read()? {
            return Err(TrustError::Exists { root: chain.newest().version() });
        }
        Ok(installed(&self.store.read_or_found(&lock, now)?, None))
    }

    /// The status, and what is wrong.
    ///
    /// # Errors
    /// There is none, or it does not fit together.
    pub fn status(&self, now: Timestamp) -> Result<Status, TrustError> {
        Ok(self.store.status(&self.store.read_chain()?, now))
    }

    /// The public documents: every root, the oldest first, and the keyring.
    ///
    /// # Errors
    /// As [`Office::status`].
    pub fn export(&self) -> Result<Exported, TrustError> {
        let chain = self.store.read_chain()?;
        let roots = chain.roots().map(|root| (root.version(), root.bytes().to_vec())).collect();
        Ok(Exported { roots, keyring: chain.keyring.bytes().to_vec() })
    }

    /// Makes the next keyring with a new token key, changed as asked. Under a root whose keyring keys are not here it
    /// becomes a draft; the token key waits here for it.
    ///
    /// # Errors
    /// A key to be revoked is not in the keyring, or something cannot be made or stored.
    pub fn next_keyring(&self, change: &KeyringChange, now: Timestamp) -> Result<Drafted, TrustError> {
        let lock = self.store.files.lock()?;
        let chain = self.store.read_chain()?;
        let root = chain.newest();
        let last = chain.keyring.document();
        // Also checked before a key is made for nothing.
        plan::next_document(&self.store.policy, last, NewKeys::default(), change, now)?;
        let signers = self.store.signers(KeyRole::Keyring, &root.document().keyring)?;
        let Some(signers) = signers else {
            return Ok(Drafted::Draft(self.keyring_to_sign(root, last, change, true, now)?));
        };
        let key = self.store.vault.make(KeyRole::Token)?;
        let new = NewKeys { license_state: Some(key.public_key()), ..NewKeys::default() };
        let document = plan::next_document(&self.store.policy, last, new, change, now)?;
        let keyring = self.store.sign_keyring(&lock, root, Some(&chain.keyring), &document, &signers)?;
        self.store.forget(last, keyring.document(), now);
        let chain = chain.with_keyring(keyring);
        let signing = plan::choose(&chain.keyring, self.store.policy.lease, now).map(|key| key.key.kid());
        let token_key_signs = signing == Some(key.kid());
        let installed = installed(&chain, Some(key.kid().to_string()));
        Ok(Drafted::Done(Installed { token_key_signs, ..installed }))
    }

    /// The next root as a draft. Keys asked to be made here are made, and wait here for it.
    ///
    /// # Errors
    /// The roles are none a device would take, or a key cannot be made.
    pub fn draft_root(&self, plan: &RootPlan) -> Result<Draft, TrustError> {
        let _lock = self.store.files.lock()?;
        match self.store.read()? {
            Found::Nothing => {
                let document = self.first_root(plan)?;
                Ok(Draft::root(&document, None))
            }
            Found::RootAlone(root) => Ok(Draft::root(&self.following_root(&root, plan)?, Some(&root))),
            Found::Chain(chain) => {
                let root = chain.newest();
                Ok(Draft::root(&self.following_root(root, plan)?, Some(root)))
            }
        }
    }

    /// Makes the next root, and signs and installs it if the keys of both roots are here; else it is a draft.
    ///
    /// # Errors
    /// As [`Office::draft_root`], or it cannot be stored.
    pub fn next_root(&self, plan: &RootPlan, now: Timestamp) -> Result<Drafted, TrustError> {
        let lock = self.store.files.lock()?;
        let chain = self.store.read_chain()?;
        let root = chain.newest();
        let document = self.following_root(root, plan)?;
        let before = self.store.signers(KeyRole::Root, &root.document().root)?;
        let after = self.store.signers(KeyRole::Root, &document.root)?;
        let (Some(mut signers), Some(after)) = (before, after) else {
            return Ok(Drafted::Draft(Draft::root(&document, Some(root))));
        };
        for signer in after {
            if signers.iter().all(|other: &Arc<dyn Signer>| other.kid() != signer.kid()) {
                signers.push(signer);
            }
        }
        let bytes = sign(&document.unsigned(), &signers)?;
        drop(lock);
        self.install_root(&bytes, now).map(Drafted::Done)
    }

    fn following_root(&self, root: &Root, plan: &RootPlan) -> Result<RootDocument, TrustError> {
        if root.version() >= MAX_ROOTS as u64 {
            return Err(TrustError::TooManyRoots);
        }
        let before = root.document();
        Ok(RootDocument {
            trust_domain: before.trust_domain.clone(),
            version: root.version().saturating_add(1),
            root: self.role(
                KeyRole::Root,
                plan.root_keys.as_ref(),
                plan.root_threshold,
                plan.new_root_key,
                Some(&before.root),
            )?,
            keyring: self.role(
                KeyRole::Keyring,
                plan.keyring_keys.as_ref(),
                plan.keyring_threshold,
                plan.new_keyring_key,
                Some(&before.keyring),
            )?,
        })
    }

    fn first_root(&self, plan: &RootPlan) -> Result<RootDocument, TrustError> {
        let new_root_key = plan.new_root_key || plan.root_keys.is_none();
        let new_keyring_key = plan.new_keyring_key || plan.keyring_keys.is_none();
        Ok(RootDocument {
            trust_domain: self.store.policy.trust_domain.clone(),
            version: 1,
            root: self.role(
                KeyRole::Root,
                plan.root_keys.as_ref(),
                plan.root_threshold,
                new_root_key,
                None,
            )?,
            keyring: self.role(
                KeyRole::Keyring,
                plan.keyring_keys.as_ref(),
                plan.keyring_threshold,
                new_keyring_key,
                None,
            )?,
        })
    }

    fn role(
        &self,
        kind: KeyRole,
        given: Option<&Vec<PublicKey>>,
        threshold: Option<u8>,
        make: bool,
        before: Option<&Role>,
    ) -> Result<Role, TrustError> {
        let mut keys = match (given, before) {
            (Some(given), _) => given.clone(),
            (None, Some(before)) if !make => before.keys().to_vec(),
            (None, _) => Vec::new(),
        };
        // Where nothing is said, as many must sign as before, as far as there are so many keys.
        let count = u8::try_from(keys.len().saturating_add(usize::from(make))).unwrap_or(u8::MAX);
        let threshold = threshold.unwrap_or_else(|| before.map_or(1, Role::threshold).min(count));
        let refused = |refusal| TrustError::Role { role: kind.name(), refusal };
        if make {
            // Looked at before anything is made: with a stand-in for the key to come, which is none of those given.
            let enough = threshold >= 1 && threshold <= count;
            if !enough {
                return Err(refused(coterm_shared::token::TrustRefusal::Threshold));
            }
            keys.push(self.store.vault.make(kind)?.public_key().clone());
        }
        Role::new(threshold, keys).map_err(refused)
    }

    /// Installs a signed root, the next one or the very first, and makes a keyring under it if its keys are here.
    ///
    /// # Errors
    /// It does not follow, too few signed it, or it cannot be stored.
    pub fn install_root(&self, bytes: &[u8], now: Timestamp) -> Result<Installed, TrustError> {
        let lock = self.store.files.lock()?;
        let refused = |refusal| TrustError::NotInstalled { document: "root", refusal };
        let chain = match self.store.read()? {
            Found::Nothing => {
                let root = self.first(bytes)?;
                self.store.files.write_root(&lock, root.version(), bytes)?;
                return self.first_keyring(&lock, root, now);
            }
            Found::RootAlone(held) => {
                let root = held.update(bytes).map_err(refused)?;
                self.store.files.write_root(&lock, held.version(), held.bytes())?;
                self.store.files.write_root(&lock, root.version(), bytes)?;
                return self.first_keyring(&lock, root, now);
            }
            Found::Chain(chain) => chain,
        };
        if bytes == chain.newest().bytes() {
            // The command before died on its way, or was typed twice.
            return self.catch_up(&lock, chain, now);
        }
        let root = chain.newest().update(bytes).map_err(refused)?;
        self.store.keep_newest_root(&chain)?;
        self.store.files.write_root(&lock, root.version(), bytes)?;
        tracing::info!(root = root.version(), "a new root");
        self.catch_up(&lock, chain.with_root(root), now)
    }

    /// Makes a keyring under the newest root if it has none and its keys are here; otherwise the daemon goes on with
    /// the one there is, and devices with it.
    fn catch_up(
        &self,
        lock: &super::files::Lock,
        chain: Chain,
        now: Timestamp,
    ) -> Result<Installed, TrustError> {
        let root = chain.newest().clone();
        let signers = self.store.signers(KeyRole::Keyring, &root.document().keyring)?;
        let (true, Some(signers)) = (chain.is_behind(), signers) else { return Ok(installed(&chain, None)) };
        let last = chain.keyring.document();
        let document = plan::next_document(
            &self.store.policy,
            last,
            NewKeys::default(),
            &KeyringChange::default(),
            now,
        )?;
        let keyring = self.store.sign_keyring(lock, &root, Some(&chain.keyring), &document, &signers)?;
        self.store.forget_signers(&chain);
        Ok(installed(&chain.with_keyring(keyring), None))
    }

    fn first(&self, bytes: &[u8]) -> Result<Root, TrustError> {
        let refused = |refusal| TrustError::NotInstalled { document: "root", refusal };
        let root = Root::pinned(bytes).map_err(refused)?;
        if root.version() != 1 {
            return Err(refused(coterm_shared::token::TrustRefusal::NotNext));
        }
        if *root.trust_domain() != self.store.policy.trust_domain {
            return Err(refused(coterm_shared::token::TrustRefusal::WrongTrustDomain));
        }
        Ok(root)
    }

    fn first_keyring(
        &self,
        lock: &super::files::Lock,
        root: Root,
        now: Timestamp,
    ) -> Result<Installed, TrustError> {
        let version = root.version();
        match self.store.first_keyring(lock, root, now) {
            Ok(chain) => Ok(installed(&chain, None)),
            // Its keys are elsewhere: `draft-keyring` is the next step.
            Err(TrustError::NotRenewable { .. }) => Ok(Installed {
                root: version,
                keyring: 0,
                keyring_root: 0,
                token_key: None,
                token_key_signs: false,
            }),
            Err(error) => Err(error),
        }
    }

    /// The next keyring as a draft, whoever could sign it; for keyring keys that are kept elsewhere. A token key is
    /// made if one is due or asked for.
    ///
    /// # Errors
    /// As [`Office::next_keyring`].
    pub fn draft_keyring(
        &self,
        change: &KeyringChange,
        with_key: bool,
        now: Timestamp,
    ) -> Result<Draft, TrustError> {
        let _lock = self.store.files.lock()?;
        let (root, last) = match self.store.read()? {
            Found::Chain(chain) => (chain.newest().clone(), chain.keyring.document().clone()),
            Found::RootAlone(root) => (root, plan::nothing(&self.store.policy, now)),
            Found::Nothing => return Err(TrustError::NoChain),
        };
        plan::next_document(&self.store.policy, &last, NewKeys::default(), change, now)?;
        self.keyring_to_sign(&root, &last, change, with_key, now)
    }

    /// The next keyring, to be signed elsewhere. Keys it announces are made here and wait for it; also the one for
    /// devices that enrol, which cannot be made when the first of them asks.
    fn keyring_to_sign(
        &self,
        root: &Root,
        last: &KeyringDocument,
        change: &KeyringChange,
        with_key: bool,
        now: Timestamp,
    ) -> Result<Draft, TrustError> {
        let policy = &self.store.policy;
        let make = |wanted: bool| wanted.then(|| self.store.vault.make(KeyRole::Token)).transpose();
        let key = make(with_key || plan::is_due(policy, last, now))?;
        let enrolment = make(plan::is_enrolment_due(policy, last, now))?;
        let new = NewKeys {
            license_state: key.as_ref().map(|key| key.public_key()),
            enrolment: enrolment.as_ref().map(|key| key.public_key()),
        };
        let document = plan::next_document(policy, last, new, change, now)?;
        Draft::keyring(&document, root).map_err(unmakeable("keyring"))
    }

    /// Installs a signed keyring.
    ///
    /// # Errors
    /// It does not follow, too few signed it, its token keys are not here, or it cannot be stored.
    pub fn install_keyring(&self, bytes: &[u8], now: Timestamp) -> Result<Installed, TrustError> {
        let lock = self.store.files.lock()?;
        let refused = |refusal| TrustError::NotInstalled { document: "keyring", refusal };
        let found = self.store.read()?;
        let (root, held) = match &found {
            Found::Chain(chain) => (chain.newest(), Some(&chain.keyring)),
            Found::RootAlone(root) => (root, None),
            Found::Nothing => return Err(TrustError::NoChain),
        };
        let keyring = Keyring::verify(bytes, root, held).map_err(refused)?;
        self.refuse_unusable(&keyring, now)?;
        self.store.files.write_keyring(&lock, bytes)?;
        let nothing = plan::nothing(&self.store.policy, now);
        let before: &KeyringDocument = held.map_or(&nothing, Keyring::document);
        self.store.forget(before, keyring.document(), now);
        let chain = match &found {
            Found::Chain(chain) => {
                self.store.forget_signers(chain);
                chain.with_keyring(keyring)
            }
            Found::RootAlone(_) | Found::Nothing => Chain::beginning(root.clone(), keyring),
        };
        Ok(installed(&chain, None))
    }

    /// A keyring under which nothing could be signed here would stop every renewal.
    fn refuse_unusable(&self, keyring: &Keyring, now: Timestamp) -> Result<(), TrustError> {
        let Some(key) = plan::choose(keyring, self.store.policy.lease, now) else {
            return Err(TrustError::NoTokenKey { keyring: keyring.version() });
        };
        match self.store.vault.find(KeyRole::Token, &key.key)? {
            Some(_) => Ok(()),
            None => {
                let path = self.store.vault.key_file(KeyRole::Token, key.key.kid());
                Err(TrustError::KeyMissing { path })
            }
        }
    }
}

fn installed(chain: &Chain, token_key: Option<String>) -> Installed {
    Installed {
        root: chain.newest().version(),
        keyring: chain.keyring.version(),
        keyring_root: chain.under.version(),
        token_key,
        token_key_signs: false,
    }
}
