//! From what is on disk to a driver: the same state as before the reboot, or a stricter one.

use super::intake::adopt;
use super::saved::{Pair, Saved, license_of, pin_of};
use super::{Driver, Haste, Identity, StoreHealth};
use crate::state_file::{StateStore, StoreError};
use coterm_shared::enforcement::{ClockPolicy, ClockReading, RecordError, TrustedClock};
use coterm_shared::token::{Keyring, Root, TrustRefusal, VerifiedToken, reopen_stored};

/// Why there can be no driver; the device is left in its mode.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the root document is refused ({}): {_0}; provision the device again", .0.code())]
    Root(TrustRefusal),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Beginning without it would forget what the other version accepted, and overwrite it at the first tick.
    #[error("the state was written by another version of coterm-agent: {_0}")]
    Format(RecordError),
}

impl<S: StateStore> Driver<S> {
    /// The device as it was when the record was saved, with the keyring file taken in if it is newer.
    pub fn open(
        identity: Identity,
        root: &[u8],
        keyring_file: Option<&[u8]>,
        mut store: S,
        policy: ClockPolicy,
        reading: ClockReading,
        random: fn() -> u32,
    ) -> Result<Driver<S>, OpenError> {
        let pin = pin_of(root);
        let pinned = Root::pinned(root).map_err(OpenError::Root)?;
        if *pinned.trust_domain() != identity.expected.trust_domain {
            return Err(OpenError::Root(TrustRefusal::WrongTrustDomain));
        }
        let saved = match store.load()?.map(|bytes| Saved::decode(&bytes)) {
            None => None,
            Some(Ok(saved)) => Some(saved),
            // The slot is whole: somebody wrote this number.
            Some(Err(error @ RecordError::UnknownFormat { .. })) => return Err(OpenError::Format(error)),
            Some(Err(error)) => {
                tracing::error!(%error, "what is on disk is no state of this program; beginning without a token");
                None
            }
        };
        let clock = TrustedClock::open(policy, saved.as_ref().map(|saved| &saved.record.clock), &reading);
        let saved = saved.unwrap_or_else(|| Saved::new(clock.record()));
        // What is stored was accepted under the roots of that time, and does not die with them.
        let root_of = |bytes: &[u8]| match bytes == pinned.bytes() {
            true => Some(pinned.clone()),
            false => Root::pinned(bytes).ok(),
        };
        let stored_root = saved.record.root.as_deref().and_then(root_of);
        let older_root = saved.accepted_under.as_ref().and_then(|accepted| root_of(&accepted.root));
        // The stored root was reached from the root file of that time; another file is another pin.
        let root = match &stored_root {
            Some(stored) if saved.pinned == Some(pin) && stored.trust_domain() == pinned.trust_domain() => {
                stored.clone()
            }
            Some(_) | None => pinned.clone(),
        };
        let roots: Vec<&Root> =
            [Some(&root), stored_root.as_ref(), older_root.as_ref()].into_iter().flatten().collect();
        let stored = saved.record.keyring.as_deref().and_then(|bytes| pair_of(bytes, &roots));
        let token = reopen(&saved, stored.as_ref(), &roots, &identity);
        let (keyring, replaced) = match stored {
            Some(pair) if pair.root == root => (Some(pair.keyring), None),
            stored => (None, stored),
        };
        let boot_secs = reading.boot_secs;
        let mut driver = Driver {
            refused: saved.record.refused.clone(),
            license: license_of(token.as_ref()),
            identity,
            root,
            pin,
            pending: None,
            store,
            random,
            clock,
            reading,
            saved,
            keyring,
            replaced,
            token,
            waiting: None,
            early: None,
            early_keyring: None,
            health: StoreHealth::default(),
            connected: false,
            time_proven: false,
            outstanding: None,
            next_nonce_boot_secs: boot_secs,
            order: None,
            ordered_for: None,
            outcome: None,
            ordered_boot_secs: boot_secs,
            report_wanted: Some(Haste::AtOnce),
            proof_wanted: false,
            next_report_boot_secs: boot_secs,
            next_fault_report_boot_secs: boot_secs,
            next_refusal_report_boot_secs: boot_secs,
            published: None,
        };
        if let Some(bytes) = keyring_file {
            driver.take_keyring_file(bytes, &pinned);
        }
        Ok(driver)
    }

    /// The file is as good as a message: verified, never older than what is held, on disk before it counts.
    fn take_keyring_file(&mut self, bytes: &[u8], pinned: &Root) {
        // The one that is held was verified a moment ago.
        if self.keyring.as_ref().is_some_and(|held| held.bytes() == bytes) {
            return;
        }
        match Keyring::verify(bytes, &self.root, self.keyring_before()) {
            Ok(keyring) => {
                let mut candidate = self.candidate();
                let before = self.pair_before();
                adopt(&mut candidate, keyring, before.as_ref(), &self.identity.expected, &self.reading);
                // If it cannot be saved, the file is still there at the next start.
                let _ = self.commit(candidate);
            }
            Err(TrustRefusal::Rollback) => {}
            // It came with the root file, and the device has moved on from both since.
            Err(_)
                if self.keyring.is_some()
                    && self.root != *pinned
                    && Keyring::verify(bytes, pinned, None).is_ok() => {}
            Err(refusal) => {
                tracing::error!(
                    code = refusal.code(),
                    "the keyring file is refused: {refusal}; provision the device again"
                );
            }
        }
    }
}

/// The stored keyring with the root it verifies under.
fn pair_of(bytes: &[u8], roots: &[&Root]) -> Option<Pair> {
    let mut refusals = Vec::new();
    for root in roots {
        match Keyring::verify(bytes, root, None) {
            Ok(keyring) => return Some(Pair { root: (*root).clone(), keyring }),
            Err(refusal) => refusals.push(refusal),
        }
    }
    for refusal in refusals {
        tracing::error!(code = refusal.code(), "the stored keyring is refused: {refusal}");
    }
    None
}

fn reopen(saved: &Saved, held: Option<&Pair>, roots: &[&Root], identity: &Identity) -> Option<VerifiedToken> {
    let bytes = saved.record.token.as_deref()?;
    let older = saved.accepted_under.as_ref().and_then(|accepted| pair_of(&accepted.keyring, roots));
    let mut refusal = None;
    for pair in [held, older.as_ref()].into_iter().flatten() {
        match reopen_stored(bytes, &pair.keyring, &identity.expected) {
            Ok(token) => return Some(token),
            Err(error) => refusal = Some(error),
        }
    }
    if let Some(refusal) = refusal {
        tracing::error!(code = refusal.code(), "the stored license state is refused: {refusal}");
    }
    None
}
