//! Newer roots: pending until a keyring under one of them is there, then both in one write (token §3).
//!
//! **Problem.** A root alone proves nothing about the keyring the device lives by: adopted without one, it would leave the
//! device without any key to believe. **Method.** Roots are walked in memory, each from the one before, and fetched again
//! after a reboot: on disk there is only ever a root with a keyring it verifies, so no crash can part the two.
//! **Deliberately absent:** skipping. Root N is followed by N+1 alone.

use super::intake::Fate;
use super::{Driver, Unsaved};
use crate::state_file::StateStore;
use coterm_shared::protocol::Topic;
use coterm_shared::token::{Keyring, Root};

impl<S: StateStore> Driver<S> {
    /// The root and the keyring the device believes now.
    pub fn trust(&self) -> (Root, Option<Keyring>) {
        (self.root.clone(), self.keyring.clone())
    }

    /// The one root this device listens for: the version after the newest it holds or keeps pending.
    pub fn next_root(&self) -> u64 {
        self.pending.as_ref().unwrap_or(&self.root).version().saturating_add(1)
    }

    pub(super) fn root_bytes(&mut self, version: u64, payload: &[u8]) -> Fate {
        if version < self.next_root() {
            // Still under way when the device had moved on.
            return Fate::Done;
        }
        match self.pending.as_ref().unwrap_or(&self.root).update(payload) {
            Err(refusal) => {
                self.refuse(refusal.code(), refusal.sentence());
                Fate::Done
            }
            Ok(root) => {
                tracing::info!(topic = %Topic::Root(version), "a newer root; it counts once a keyring under it is there");
                self.pending = Some(root);
                self.adopt_pending()
            }
        }
    }

    /// Adopts the pending root if a keyring that verifies under it is at hand.
    pub(super) fn adopt_pending(&mut self) -> Fate {
        let Some(root) = self.pending.clone() else { return Fate::Done };
        let early = self.early_keyring.as_deref();
        let at_hand = [early, self.keyring.as_ref().map(Keyring::bytes)];
        let verified = at_hand
            .into_iter()
            .flatten()
            .find_map(|bytes| Keyring::verify(bytes, &root, self.keyring_before()).ok());
        match verified {
            Some(keyring) => match self.take_pair(root, keyring) {
                Ok(()) => Fate::Done,
                Err(_) => Fate::NotSaved(Unsaved::Pair),
            },
            None => Fate::Done,
        }
    }
}
