//! What is on disk, and how it gets there.
//!
//! The slot holds the record of `shared` and, behind it, the keyring under which the token in it was accepted, if that
//! is not the one held, with the root that keyring was accepted under: a token stays valid on a device when a newer
//! keyring no longer lists its key, also over a reboot, until a newer token takes its place (token §3). Last comes a
//! digest of the root file the held root was reached from: another file is another pin, and counts from then on.
//! This frame has no number of its own: whoever changes it raises the format of the slot (`state_file`), so that an older
//! version refuses it instead of forgetting what is in it.

use super::{Driver, Haste, Outstanding};
use crate::state_file::{StateStore, StoreError};
use coterm_shared::enforcement::{
    ClockRecord, Inputs, LicenseState, Record, RecordError, TrustedClock, step,
};
use coterm_shared::token::{Expected, Keyring, Root, VerifiedToken, reopen_stored};
use sha2::{Digest, Sha256};
use std::fmt;

/// The content of the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    pub record: Record,
    /// The keyring the token was accepted under, if the one held cannot verify it, and the root of that keyring.
    pub accepted_under: Option<Accepted>,
    /// SHA-256 of the root file from which the root in the record was reached.
    pub pinned: Option<[u8; 32]>,
}

/// What an older token is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub keyring: Vec<u8>,
    pub root: Vec<u8>,
}

/// The digest that tells one root file from another.
pub(super) fn pin_of(root_file: &[u8]) -> [u8; 32] {
    Sha256::digest(root_file).into()
}

impl Saved {
    pub(super) fn new(clock: ClockRecord) -> Saved {
        Saved { record: Record::new(clock), accepted_under: None, pinned: None }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let record = self.record.encode()?;
        let (keyring, root) = match &self.accepted_under {
            Some(Accepted { keyring, root }) => (keyring.as_slice(), root.as_slice()),
            None => (&[][..], &[][..]),
        };
        let pinned = self.pinned.as_ref().map_or(&[][..], <[u8; 32]>::as_slice);
        let mut bytes = Vec::new();
        for part in [record.as_slice(), keyring, root, pinned] {
            let length = u32::try_from(part.len()).map_err(|_| RecordError::TooLong)?;
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(part);
        }
        Ok(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Saved, RecordError> {
        let mut rest = bytes;
        let mut part = || {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (part, behind) = behind.split_at_checked(length)?;
            rest = behind;
            Some(part)
        };
        let parts = [part(), part(), part(), part()];
        let [Some(record), Some(keyring), Some(root), Some(pinned)] = parts else {
            return Err(RecordError::NotARecord);
        };
        if !rest.is_empty() || keyring.is_empty() != root.is_empty() {
            return Err(RecordError::NotARecord);
        }
        let accepted = || Accepted { keyring: keyring.to_vec(), root: root.to_vec() };
        let pinned = match pinned {
            [] => None,
            digest => Some(digest.try_into().map_err(|_| RecordError::NotARecord)?),
        };
        Ok(Saved {
            record: Record::decode(record)?,
            accepted_under: (!keyring.is_empty()).then(accepted),
            pinned,
        })
    }
}

/// What is on disk, in words for `check`.
pub struct StoredState(Saved);

impl StoredState {
    /// Reads a slot's content; says why if it is none.
    ///
    /// # Errors
    /// The bytes are no state of this program.
    pub fn read(bytes: &[u8]) -> Result<StoredState, String> {
        Saved::decode(bytes).map(StoredState).map_err(|error| error.to_string())
    }

    /// The record: token, high-water mark, clock, mode and trust as they survive a power cut.
    #[must_use]
    pub fn into_record(self) -> Record {
        self.0.record
    }
}

impl fmt::Display for StoredState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = &self.0.record;
        match &record.high_water {
            Some(mark) => write!(f, "token {}", mark.version)?,
            None => f.write_str("no token yet")?,
        }
        write!(f, ", time {} or later, {} message(s) ever refused", record.clock.floor, record.refused.count)
    }
}

/// Why a candidate did not get onto the disk.
#[derive(Debug, thiserror::Error)]
pub(super) enum SaveError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// What the device would be after a message; takes effect by being saved.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub saved: Saved,
    pub clock: TrustedClock,
    pub root: Root,
    pub keyring: Option<Keyring>,
    pub token: Option<VerifiedToken>,
}

/// What of a token decides.
pub(super) fn license_of(token: Option<&VerifiedToken>) -> Option<LicenseState> {
    token.map(|token| LicenseState::from(token.claims()))
}

impl Candidate {
    /// Notes under which root and keyring the token can be verified again, if not under those held from now on.
    pub(super) fn note_keyring_of_token(&mut self, before: Option<&Pair>, expected: &Expected) {
        let (Some(token), Some(keyring)) = (&self.token, &self.keyring) else {
            self.saved.accepted_under = None;
            return;
        };
        if token.stands_under(keyring, expected) || reopen_stored(token.bytes(), keyring, expected).is_ok() {
            self.saved.accepted_under = None;
        } else if self.saved.accepted_under.is_none() {
            self.saved.accepted_under = before.map(|Pair { root, keyring }| Accepted {
                keyring: keyring.bytes().to_vec(),
                root: root.bytes().to_vec(),
            });
        }
    }
}

/// A keyring with the root it was verified under.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub root: Root,
    pub keyring: Keyring,
}

impl<S: StateStore> Driver<S> {
    pub(super) fn candidate(&self) -> Candidate {
        Candidate {
            saved: self.saved.clone(),
            clock: self.clock.clone(),
            root: self.root.clone(),
            keyring: self.keyring.clone(),
            token: self.token.clone(),
        }
    }

    /// Saves a candidate together with the mode it leads to; only then is it what the device is.
    pub(super) fn commit(&mut self, mut candidate: Candidate) -> Result<(), SaveError> {
        let license = license_of(candidate.token.as_ref());
        let decision =
            step(&Inputs { license: license.as_ref(), time: candidate.clock.time(), cap: self.identity.cap });
        // Without a keyring under this root, what is stored can be verified under the one before alone.
        if candidate.keyring.is_some() {
            candidate.saved.record.root = Some(candidate.root.bytes().to_vec());
            candidate.saved.pinned = Some(self.pin);
        }
        candidate.saved.record.clock = candidate.clock.record();
        candidate.saved.record.refused = self.refused.clone();
        candidate.saved.record.decided(decision.mode, candidate.clock.time().floor);
        let written = candidate
            .saved
            .encode()
            .map_err(SaveError::from)
            .and_then(|bytes| self.store.save(&bytes).map_err(SaveError::from));
        if let Err(error) = written {
            self.health.failures = self.health.failures.saturating_add(1);
            let pause = 5_u64 << self.health.failures.min(5);
            self.health.retry_boot_secs = self.reading.boot_secs.saturating_add(pause);
            if self.health.failures == 1 {
                self.want_report(Haste::AtOnce);
            }
            tracing::error!(%error, failures = self.health.failures, "the state is not on disk; the device goes on with the last one that is");
            return Err(error);
        }
        if self.health.failures > 0 {
            tracing::info!("the state is on disk again");
            self.want_report(Haste::AtOnce);
        }
        self.health = super::StoreHealth::default();
        candidate.clock.persisted(&candidate.saved.record.clock);
        self.saved = candidate.saved;
        self.clock = candidate.clock;
        self.root = candidate.root;
        self.keyring = candidate.keyring;
        if self.keyring.is_some() {
            self.replaced = None;
        }
        self.pending = self.pending.take().filter(|pending| pending.version() > self.root.version());
        self.token = candidate.token;
        self.license = license;
        Ok(())
    }

    /// Saves time and mode if they are due (or `due`), unless saving has just failed.
    pub(super) fn save_time(&mut self, due: bool) {
        let resting = self.health.failures > 0 && self.reading.boot_secs < self.health.retry_boot_secs;
        if (due || self.clock.tick_due() || self.health.failures > 0) && !resting {
            self.save_now();
        }
    }

    /// Saves time and mode, whatever came of the last attempt.
    pub(super) fn save_now(&mut self) {
        // A failure is logged and reported in there; time goes on all the same (see the header of `driver`).
        let _ = self.commit(self.candidate());
    }

    /// The outstanding nonce, if its answer could still prove anything.
    pub(super) fn outstanding(&self) -> Option<&Outstanding> {
        self.outstanding.as_ref().filter(|nonce| {
            self.reading.boot_secs.saturating_sub(nonce.sent_boot_secs) <= super::outputs::ROUND_TRIP_SECS
        })
    }
}
