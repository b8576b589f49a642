//! The hash chain that makes the log tamper-evident (domain T1).
//!
//! `hash(n) = SHA-256(hash(n-1) || entry(n))`, where `entry` is the concatenation of the stored fields, each behind its
//! length as 8 bytes, big-endian: sequence, instant and recording instant as 8 bytes each, actor, request id, event.
//! `hash(0) = SHA-256("coterm log 1" || stream)`, so no chain can be passed off as another organization's.
//! **Deliberately absent:** signatures. Who can rewrite the whole database can rewrite the chain; a hash kept elsewhere
//! (an exported log, a mailed notice) is what convicts them.

use super::{Envelope, Hash, Reads, StoreError, StreamId};
use coterm_shared::time::Timestamp;
use sha2::{Digest, Sha256};

/// Entries read at a time while verifying.
const PAGE: u32 = 1000;

/// The hash before a stream's first entry.
#[must_use]
pub fn genesis(stream: StreamId) -> Hash {
    let mut sha = Sha256::new();
    sha.update(b"coterm log 1");
    sha.update(stream.as_bytes());
    sha.finalize().into()
}

/// What the hash of an entry covers, besides the hash before it.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// Number in its stream, from 1.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Who made the change.
    pub actor: &'a str,
    /// The request that made it.
    pub request_id: &'a str,
    /// The event as it is stored.
    pub event: &'a [u8],
}

impl<'a> From<&'a Envelope> for Link<'a> {
    fn from(entry: &'a Envelope) -> Link<'a> {
        Link {
            seq: entry.seq,
            at: entry.at,
            recorded_at: entry.recorded_at,
            actor: &entry.actor,
            request_id: &entry.request_id,
            event: &entry.event,
        }
    }
}

/// The hash of an entry that follows `previous`.
#[must_use]
pub fn link<'a>(previous: &Hash, entry: impl Into<Link<'a>>) -> Hash {
    let entry = entry.into();
    let mut sha = Sha256::new();
    sha.update(previous);
    let mut field = |bytes: &[u8]| {
        sha.update((bytes.len() as u64).to_be_bytes());
        sha.update(bytes);
    };
    field(&entry.seq.to_be_bytes());
    field(&entry.at.as_secs().to_be_bytes());
    field(&entry.recorded_at.as_secs().to_be_bytes());
    field(entry.actor.as_bytes());
    field(entry.request_id.as_bytes());
    field(entry.event);
    sha.finalize().into()
}

/// What is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// An entry is missing or out of order.
    #[error("{stream}: entry {expected} is missing, {found} follows entry {}", expected.saturating_sub(1))]
    Gap {
        /// The stream.
        stream: StreamId,
        /// The number that had to come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// An entry is not what was recorded.
    #[error("{stream}: entry {seq} or one before it was altered: its hash does not fit")]
    Altered {
        /// The stream.
        stream: StreamId,
        /// The first entry whose hash does not fit.
        seq: u64,
    },
    /// The end of the log was cut off or put back.
    #[error("{stream}: the log has {found} entries, the store recorded {recorded}")]
    Head {
        /// The stream.
        stream: StreamId,
        /// Entries the head speaks of.
        recorded: u64,
        /// Entries there are.
        found: u64,
    },
}

/// A whole chain that was recomputed and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Number of entries.
    pub entries: u64,
    /// Hash of the last one: keep it elsewhere to convict a later rewrite.
    pub hash: Hash,
}

/// Recomputes the chain of one stream from its first entry (domain T1).
///
/// # Errors
/// [`StoreError`] if the store cannot be read; a fault of the chain is the inner result.
pub fn verify_chain(
    store: &(impl Reads + ?Sized),
    stream: StreamId,
) -> Result<Result<Verified, ChainFault>, StoreError> {
    // The head is read first: entries appended meanwhile are then extra, not missing.
    let head = store.head(stream)?;
    let mut verified = Verified { entries: 0, hash: genesis(stream) };
    while verified.entries < head.version {
        let page = store.entries(stream, verified.entries, PAGE)?;
        if page.is_empty() {
            break;
        }
        for entry in page {
            let expected = verified.entries.saturating_add(1);
            if entry.seq != expected {
                return Ok(Err(ChainFault::Gap { stream, expected, found: entry.seq }));
            }
            let hash = link(&verified.hash, &entry);
            if hash != entry.hash {
                return Ok(Err(ChainFault::Altered { stream, seq: entry.seq }));
            }
            verified = Verified { entries: entry.seq, hash };
            if entry.seq == head.version {
                break;
            }
        }
    }
    if verified.entries != head.version || verified.hash != head.hash {
        return Ok(Err(ChainFault::Head { stream, recorded: head.version, found: verified.entries }));
    }
    // With no head recorded, entries left behind would be an amputated head.
    match store.entries(stream, head.version, 1)?.first() {
        Some(extra) if store.head(stream)? == head => {
            Ok(Err(ChainFault::Head { stream, recorded: head.version, found: extra.seq }))
        }
        Some(_) | None => Ok(Ok(verified)),
    }
}
