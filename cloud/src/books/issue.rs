//! The issuing transaction (token §3).
//!
//! One sequence per organization: `seq = max(last + 1, unix milliseconds)`, allocated in the transaction that records
//! what was issued with it. A database restored from a backup therefore heals by itself, and two daemons on one database
//! never sign the same sequence twice.

use super::request::BooksError;
use crate::store::{Issued, StoreError, Transaction};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::time::{Seconds, Timestamp};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Most tokens of one transaction, so that commits of commands are not held up.
pub(super) const CHUNK: usize = 500;

/// A token to be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToIssue {
    /// The device.
    pub device: DeviceId,
    /// Its organization, whose sequence is used.
    pub organization: OrganizationId,
    /// Epoch to issue in.
    pub epoch: u64,
    /// Digest of the wanted state that the token will express.
    pub wanted: [u8; 32],
    /// How long its lease runs, jitter included.
    pub lease_secs: Seconds,
    /// Whether it answers a nonce of the device.
    pub answers_nonce: bool,
}

/// A token with its place in the sequence, to be signed now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// Where it stands in the batch.
    pub index: usize,
    /// What will be recorded.
    pub issued: Issued,
}

/// Why a token was not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SignError(pub String);

/// The outcome for one token of a batch: recorded, with its bytes, or declined.
pub type Signed = Result<(Issued, Vec<u8>), SignError>;

/// Signs what was allocated, each in its place.
pub(super) type Sign = Box<dyn FnMut(&[Allocated]) -> Vec<Result<Vec<u8>, SignError>> + Send>;

/// Allocates, has signed and records one chunk, whose first token has index `first` in the batch.
pub(super) fn issue(
    tx: &mut impl Transaction,
    first: usize,
    chunk: Vec<ToIssue>,
    sign: &mut Sign,
    now: Timestamp,
    now_millis: u64,
) -> Result<Vec<Signed>, BooksError> {
    let allocated = allocate(tx, first, chunk, now, now_millis)?;
    let signed = catch_unwind(AssertUnwindSafe(|| sign(&allocated))).map_err(|_| BooksError::Internal)?;
    if signed.len() != allocated.len() {
        tracing::error!(
            asked = allocated.len(),
            answered = signed.len(),
            "the signer lost tokens of a batch"
        );
        return Err(BooksError::Internal);
    }
    let mut results = Vec::with_capacity(allocated.len());
    for (Allocated { issued, .. }, token) in allocated.into_iter().zip(signed) {
        if let Ok(token) = &token {
            tx.record_issued(&issued, token)?;
        }
        results.push(token.map(|token| (issued, token)));
    }
    Ok(results)
}

fn allocate(
    tx: &mut impl Transaction,
    first: usize,
    chunk: Vec<ToIssue>,
    now: Timestamp,
    now_millis: u64,
) -> Result<Vec<Allocated>, StoreError> {
    let mut allocated = Vec::with_capacity(chunk.len());
    for (index, wish) in (first..).zip(chunk) {
        let ToIssue { device, organization, epoch, wanted, lease_secs, answers_nonce } = wish;
        let seq = tx.next_seq(organization, now_millis)?;
        let lease_ends_at = now.saturating_add(lease_secs);
        let issued =
            Issued { device, organization, epoch, seq, wanted, issued_at: now, lease_ends_at, answers_nonce };
        allocated.push(Allocated { index, issued });
    }
    Ok(allocated)
}
