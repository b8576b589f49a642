//! Making, signing and storing documents: what the daemon and `coterm-cloud keys` share.
//!
//! A key is on disk before a document names it, and a document is on disk before anything is signed under it, so a crash
//! at any point leaves an installation that starts and goes on.

use super::super::vault::{KeyRole, Vault};
use super::super::{Signer, SoftwareKey, TrustError};
use super::TrustPolicy;
use super::chain::{Chain, Found};
use super::files::{Files, Lock};
use super::plan::{self, KeyringChange, NewKeys};
use coterm_shared::time::Timestamp;
use coterm_shared::token::{Keyring, KeyringDocument, PublicKey, Role, Root, RootDocument, UnsignedDocument};
use std::path::Path;
use std::sync::Arc;

/// The directories of an installation and how its keys come and go.
#[derive(Clone, Debug)]
pub(super) struct TrustStore {
    pub(super) files: Files,
    pub(super) vault: Vault,
    pub(super) policy: TrustPolicy,
}

impl TrustStore {
    pub(super) fn new(data_dir: &Path, policy: TrustPolicy, vault: Vault) -> TrustStore {
        TrustStore { files: Files::below(data_dir), vault, policy }
    }

    /// What is there, verified.
    pub(super) fn read(&self) -> Result<Found, TrustError> {
        Chain::read(&self.files, &self.policy.trust_domain)
    }

    /// What is there, for changes that need something to change.
    pub(super) fn read_chain(&self) -> Result<Chain, TrustError> {
        match self.read()? {
            Found::Chain(chain) => Ok(chain),
            Found::RootAlone(_) => Err(TrustError::NoKeyring),
            Found::Nothing => Err(TrustError::NoChain),
        }
    }

    /// What is there, and what of a first start is missing: a software root of threshold 1, a keyring.
    pub(super) fn read_or_found(&self, lock: &Lock, now: Timestamp) -> Result<Chain, TrustError> {
        let root = match self.read()? {
            Found::Chain(chain) => {
                self.keep_newest_root(&chain)?;
                return Ok(chain);
            }
            Found::RootAlone(root) => root,
            Found::Nothing => self.found(lock)?,
        };
        self.first_keyring(lock, root, now)
    }

    /// The newest root also lies under its version, whichever release or crash left it out.
    pub(super) fn keep_newest_root(&self, chain: &Chain) -> Result<(), TrustError> {
        let path = self.files.root_of(chain.newest().version());
        if self.files.read(&path)?.is_none() {
            coterm_certs::replace_file(&path, chain.newest().bytes(), 0o644)?;
        }
        Ok(())
    }

    fn found(&self, lock: &Lock) -> Result<Root, TrustError> {
        super::files::private_directory(self.vault.directory())?;
        // Files named by their role: a start that was cut short finds them again, and one that was handed credentials
        // uses those.
        let root_key = self.first_key(KeyRole::Root)?;
        let keyring_key: Arc<dyn Signer> = if self.vault.makes_in_hardware(KeyRole::Keyring) {
            self.vault.make(KeyRole::Keyring)?
        } else {
            Arc::new(self.first_key(KeyRole::Keyring)?)
        };
        let role = |key: &PublicKey| Role::new(1, vec![key.clone()]).map_err(unmakeable("root"));
        let document = RootDocument {
            trust_domain: self.policy.trust_domain.clone(),
            version: 1,
            root: role(root_key.public_key())?,
            keyring: role(keyring_key.public_key())?,
        };
        let bytes = sign(&document.unsigned(), &[Arc::new(root_key)])?;
        let root = Root::pinned(&bytes).map_err(unmakeable("root"))?;
        self.files.write_root(lock, root.version(), &bytes)?;
        Ok(root)
    }

    fn first_key(&self, role: KeyRole) -> Result<SoftwareKey, TrustError> {
        match self.vault.credential(role)? {
            Some(key) => Ok(key),
            None => SoftwareKey::read_or_create(&self.vault.first_file(role)),
        }
    }

    /// The first keyring under a root that has none.
    pub(super) fn first_keyring(&self, lock: &Lock, root: Root, now: Timestamp) -> Result<Chain, TrustError> {
        let signers = self.keyring_signers(root.document())?;
        let key = self.vault.make(KeyRole::Token)?;
        let nothing = plan::nothing(&self.policy, now);
        let change = KeyringChange::default();
        let new = NewKeys { license_state: Some(key.public_key()), ..NewKeys::default() };
        let document = plan::next_document(&self.policy, &nothing, new, &change, now)?;
        let keyring = self.sign_keyring(lock, &root, None, &document, &signers)?;
        Ok(Chain::beginning(root, keyring))
    }

    /// Enough keys within reach to sign keyrings under this root.
    pub(super) fn keyring_signers(&self, root: &RootDocument) -> Result<Vec<Arc<dyn Signer>>, TrustError> {
        self.signers(KeyRole::Keyring, &root.keyring)?
            .ok_or(TrustError::NotRenewable { root: root.version, threshold: root.keyring.threshold() })
    }

    /// As many keys of a role as must sign, if so many are within reach.
    ///
    /// # Errors
    /// What kept one from being looked for, if that is why there are too few.
    pub(super) fn signers(
        &self,
        kind: KeyRole,
        role: &Role,
    ) -> Result<Option<Vec<Arc<dyn Signer>>>, TrustError> {
        let mut found = Vec::new();
        let mut failed = None;
        for key in role.keys() {
            match self.vault.find(kind, key) {
                Ok(signer) => found.extend(signer),
                Err(error) => failed = Some(error),
            }
            if found.len() >= usize::from(role.threshold()) {
                return Ok(Some(found));
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Signs, verifies as a device would, and stores a keyring.
    pub(super) fn sign_keyring(
        &self,
        lock: &Lock,
        root: &Root,
        held: Option<&Keyring>,
        document: &KeyringDocument,
        signers: &[Arc<dyn Signer>],
    ) -> Result<Keyring, TrustError> {
        let unsigned = document.unsigned().map_err(unmakeable("keyring"))?;
        let bytes = sign(&unsigned, signers)?;
        let keyring = Keyring::verify(&bytes, root, held).map_err(unmakeable("keyring"))?;
        self.files.write_keyring(lock, &bytes)?;
        Ok(keyring)
    }

    /// Forgets the private halves of keyring keys that only earlier roots name; devices that are still there would follow
    /// what these sign. For once there is a keyring under the newest root. Root keys are the operator's to delete.
    pub(super) fn forget_signers(&self, chain: &Chain) {
        let present = chain.newest().document().keyring.keys();
        let earlier = chain.roots().flat_map(|root| root.document().keyring.keys());
        for key in earlier.filter(|key| !present.contains(key)) {
            if let Err(error) = self.vault.destroy(KeyRole::Keyring, key) {
                tracing::warn!(kid = %key.kid(), %error, "a keyring key that was replaced is still there");
            }
        }
    }

    /// Forgets the private halves of keys that can sign nothing any more; what cannot be forgotten is only said.
    pub(super) fn forget(&self, before: &KeyringDocument, after: &KeyringDocument, now: Timestamp) {
        for key in plan::useless(before, after, self.policy.lease, now) {
            let kid = key.key.kid();
            match self.vault.destroy(KeyRole::Token, &key.key) {
                Ok(()) => tracing::info!(%kid, "a token key that can sign nothing any more is forgotten"),
                Err(error) => {
                    tracing::warn!(%kid, %error, "a token key that can sign nothing any more is still there")
                }
            }
        }
    }
}

/// The document with the signatures of these keys.
pub(super) fn sign(unsigned: &UnsignedDocument, signers: &[Arc<dyn Signer>]) -> Result<Vec<u8>, TrustError> {
    let mut signatures = Vec::new();
    for signer in signers {
        signatures.push((signer.kid(), signer.sign(&unsigned.to_be_signed(signer.kid()))?));
    }
    Ok(unsigned.attach(&signatures))
}

pub(super) fn unmakeable(
    document: &'static str,
) -> impl Fn(coterm_shared::token::TrustRefusal) -> TrustError {
    move |refusal| TrustError::Unmakeable { document, refusal }
}
