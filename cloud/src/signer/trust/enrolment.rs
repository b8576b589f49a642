//! The key that signs answers to devices that enrol, and the roots they walk from the one their claim code names.
//!
//! A device gets the keyring with the answer, so nobody has to hear of this key beforehand: it is made when it is first
//! asked for, and again a lease before it ends. Where keyrings are signed elsewhere it comes with the drafts. **Deliberately absent:** forgetting its private half; it ends by itself.

use super::Trust;
use super::plan::{self, KeyringChange, NewKeys};
use crate::signer::vault::KeyRole;
use crate::signer::{Signer, TrustError};
use coterm_shared::time::Timestamp;
use coterm_shared::token::MAX_ROOTS;
use std::sync::{Arc, PoisonError};

impl Trust {
    /// The key that signs answers of the enrolment listener.
    ///
    /// # Errors
    /// The key cannot be made or read, or its keyring cannot be signed here.
    pub fn enrolment_signer(&self, now: Timestamp) -> Result<Arc<dyn Signer>, TrustError> {
        let policy = &self.store.policy;
        let mut cached = self.enrolment.lock().unwrap_or_else(PoisonError::into_inner);
        let keyring = self.keyring();
        let serving = plan::for_enrolment(keyring.document(), policy.lease, now);
        if let Some(key) = serving.max_by_key(|key| key.not_after_at) {
            if let Some(signer) = cached.as_ref().filter(|signer| signer.kid() == key.key.kid()) {
                return Ok(Arc::clone(signer));
            }
            if let Some(signer) = self.store.vault.find(KeyRole::Token, &key.key)? {
                *cached = Some(Arc::clone(&signer));
                return Ok(signer);
            }
        }
        let lock = self.store.files.lock()?;
        let chain = self.store.read_chain()?;
        let signers = self.store.keyring_signers(chain.newest().document())?;
        let signer = self.store.vault.make(KeyRole::Token)?;
        let last = chain.keyring.document();
        let new = NewKeys { enrolment: Some(signer.public_key()), ..NewKeys::default() };
        let document = plan::next_document(policy, last, new, &KeyringChange::default(), now)?;
        let keyring =
            self.store.sign_keyring(&lock, chain.newest(), Some(&chain.keyring), &document, &signers)?;
        tracing::info!(kid = %signer.kid(), keyring = document.version, "a key for answers to devices that enrol");
        self.adopt(chain.with_keyring(keyring), self.store.files.look(), now);
        *cached = Some(Arc::clone(&signer));
        Ok(signer)
    }

    /// The first root document of which this is true and those after it, in order, as many as one answer brings; empty if
    /// there is none.
    #[must_use]
    pub fn roots_since(&self, is_first: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        self.read(|current| {
            let roots = current.chain.roots().skip_while(|root| !is_first(root.bytes()));
            roots.take(MAX_ROOTS).map(|root| root.bytes().to_vec()).collect()
        })
    }
}
