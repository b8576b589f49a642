//! What is on disk, and how it gets there.
//!
//! The slot holds the record of `shared` and, behind it, the keyring under which the token in it was accepted, if that
//! is not the one held: a token stays valid on a device when a newer keyring no longer lists its key, also over a
//! reboot, until a newer token takes its place (token §3).

use super::{Driver, Outstanding};
use crate::state_file::{StateStore, StoreError};
use coterm_shared::enforcement::{
    ClockRecord, Inputs, LicenseState, Record, RecordError, TrustedClock, step,
};
use coterm_shared::token::{Expected, Keyring, VerifiedToken, reopen_stored};
use std::fmt;

/// The content of the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    pub record: Record,
    /// The keyring the token was accepted under, if the one held cannot verify it.
    pub accepted_under: Option<Vec<u8>>,
}

impl Saved {
    pub(super) fn new(clock: ClockRecord) -> Saved {
        Saved { record: Record::new(clock), accepted_under: None }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let record = self.record.encode()?;
        let length = u32::try_from(record.len()).map_err(|_| RecordError::TooLong)?;
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(&record);
        bytes.extend_from_slice(self.accepted_under.as_deref().unwrap_or_default());
        Ok(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Saved, RecordError> {
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or(RecordError::NotARecord)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| RecordError::NotARecord)?;
        let (record, keyring) = rest.split_at_checked(length).ok_or(RecordError::NotARecord)?;
        let accepted_under = (!keyring.is_empty()).then(|| keyring.to_vec());
        Ok(Saved { record: Record::decode(record)?, accepted_under })
    }
}

/// What is on disk, in words for `check`.
pub(crate) struct StoredState(Saved);

impl StoredState {
    /// Reads a slot's content; says why if it is none.
    pub(crate) fn read(bytes: &[u8]) -> Result<StoredState, String> {
        Saved::decode(bytes).map(StoredState).map_err(|error| error.to_string())
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
    pub keyring: Option<Keyring>,
    pub token: Option<VerifiedToken>,
}

/// What of a token decides.
pub(super) fn license_of(token: Option<&VerifiedToken>) -> Option<LicenseState> {
    token.map(|token| LicenseState::from(token.claims()))
}

impl Candidate {
    /// Notes under which keyring the token can be verified again.
    pub(super) fn note_keyring_of_token(&mut self, driver_keyring: Option<&Keyring>, expected: &Expected) {
        let (Some(token), Some(keyring)) = (&self.token, &self.keyring) else {
            self.saved.accepted_under = None;
            return;
        };
        if reopen_stored(token.bytes(), keyring, expected).is_ok() {
            self.saved.accepted_under = None;
        } else if self.saved.accepted_under.is_none() {
            self.saved.accepted_under = driver_keyring.map(|before| before.bytes().to_vec());
        }
    }
}

impl<S: StateStore> Driver<S> {
    pub(super) fn candidate(&self) -> Candidate {
        Candidate {
            saved: self.saved.clone(),
            clock: self.clock.clone(),
            keyring: self.keyring.clone(),
            token: self.token.clone(),
        }
    }

    /// Saves a candidate together with the mode it leads to; only then is it what the device is.
    pub(super) fn commit(&mut self, mut candidate: Candidate) -> Result<(), SaveError> {
        let license = license_of(candidate.token.as_ref());
        let decision =
            step(&Inputs { license: license.as_ref(), time: candidate.clock.time(), cap: self.identity.cap });
        // The root before is needed as long as anything stored can be verified under it alone.
        if candidate.keyring.is_some() && candidate.saved.accepted_under.is_none() {
            candidate.saved.record.root = Some(self.root.bytes().to_vec());
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
            self.report_wanted |= self.health.failures == 1;
            tracing::error!(%error, failures = self.health.failures, "the state is not on disk; the device goes on with the last one that is");
            return Err(error);
        }
        if self.health.failures > 0 {
            tracing::info!("the state is on disk again");
            self.report_wanted = true;
        }
        self.health = super::StoreHealth::default();
        candidate.clock.persisted(&candidate.saved.record.clock);
        self.saved = candidate.saved;
        self.clock = candidate.clock;
        self.keyring = candidate.keyring;
        if self.keyring.is_some() {
            self.replaced = None;
        }
        self.token = candidate.token;
        self.license = license;
        Ok(())
    }

    /// Saves time and mode if they are due (or `now`), unless saving has just failed.
    pub(super) fn save_time(&mut self, now: bool) {
        let resting = self.health.failures > 0 && self.reading.boot_secs < self.health.retry_boot_secs;
        if (now || self.clock.tick_due() || self.health.failures > 0) && !resting {
            // A failure is logged and reported in there; time goes on all the same (see the header of `driver`).
            let _ = self.commit(self.candidate());
        }
    }

    /// The outstanding nonce, if its answer could still prove anything.
    pub(super) fn outstanding(&self) -> Option<&Outstanding> {
        self.outstanding.as_ref().filter(|nonce| {
            self.reading.boot_secs.saturating_sub(nonce.sent_boot_secs) <= super::outputs::ROUND_TRIP_SECS
        })
    }
}
