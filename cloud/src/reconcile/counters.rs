//! How much work was done: the proof that work follows change.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start of the daemon; each only grows.
#[derive(Debug, Default)]
pub struct Counters {
    /// Tokens signed.
    pub signatures: Counter,
    /// Rows written about issued tokens.
    pub rows: Counter,
    /// Tokens handed to the broker, whether taken or not.
    pub publishes: Counter,
    /// Of those, not known to have been taken.
    pub publish_failures: Counter,
    /// Roots handed to the broker.
    pub root_publishes: Counter,
    /// Times the keyring was handed to the broker.
    pub keyring_publishes: Counter,
    /// Tokens read back from the store to be sent again.
    pub stored_reads: Counter,
    /// Reports and requests heard.
    pub heard: Counter,
    /// Messages of devices dropped because too many were unread.
    pub inbox_dropped: Counter,
    /// Messages of devices dropped because too many unclaimed devices speak.
    pub strangers_dropped: Counter,
    /// Requests for a fresh token that came too soon.
    pub requests_refused: Counter,
    /// Devices put in quarantine.
    pub quarantines: Counter,
    /// Times a device was asked to show the token it claims.
    pub proofs_asked: Counter,
    /// Devices looked at.
    pub plans: Counter,
    /// Sweeps that came to their end.
    pub sweeps: Counter,
    /// Rows written about what devices said.
    pub status_rows: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `by`.
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// What it is now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
