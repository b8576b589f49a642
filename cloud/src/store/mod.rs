//! The event store: the narrow port behind which the books are kept, in bytes.
//!
//! **Problem.** An acknowledged change must be on disk, exactly once, and stay provable years later; and the same books
//! must run on an embedded file and on a server. **Method.** A port small enough that no database needs doubled SQL:
//! append a [`ChangeSet`] at expected versions, load a snapshot and what follows it, read pages of the log. A change set
//! is applied whole or not at all inside a transaction that goes on either way, so many changes share one commit. Every
//! stream is a hash chain (domain T1, see [`chain`]). **Deliberately absent:** any knowledge of what an event means, and
//! any decision.

pub mod chain;
#[cfg(test)]
pub(crate) mod contract;
pub mod outbox;
#[cfg(feature = "daemon")]
pub mod sqlite;

use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::time::Timestamp;
use coterm_shared::token::TokenDigest;
use outbox::{OutboxReads, OutboxWrites};
use std::fmt;

/// A stream of events: one organization, or the platform.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId([u8; 16]);

impl StreamId {
    /// The stream of what spans organizations. No UUIDv7 is all zeros, so it collides with no organization.
    pub const PLATFORM: StreamId = StreamId([0; 16]);

    /// The stream with these 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> StreamId {
        StreamId(bytes)
    }

    /// Its 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The organization whose stream this is, `None` for the platform.
    #[must_use]
    pub fn organization(&self) -> Option<OrganizationId> {
        (*self != Self::PLATFORM).then(|| OrganizationId::from_bytes(self.0))
    }
}

impl From<OrganizationId> for StreamId {
    fn from(id: OrganizationId) -> StreamId {
        StreamId(*id.as_bytes())
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.organization() {
            Some(id) => id.fmt(f),
            None => f.write_str("platform"),
        }
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The SHA-256 that links an entry to all before it.
pub type Hash = [u8; 32];

/// One stored line of a stream's log (domain T1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Its number in the stream, from 1 without gaps.
    pub seq: u64,
    /// The instant at which it takes effect; an event found late carries its own instant.
    pub at: Timestamp,
    /// The cloud time at which it was recorded.
    pub recorded_at: Timestamp,
    /// Who caused it.
    pub actor: String,
    /// The request that caused it.
    pub request_id: String,
    /// The event as stored, never re-encoded.
    pub event: Vec<u8>,
    /// The chain's hash up to and including this entry.
    pub hash: Hash,
}

/// Where a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of its last entry, 0 for an empty stream.
    pub version: u64,
    /// Hash of its last entry, the genesis hash for an empty stream.
    pub hash: Hash,
}

/// An event to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// The instant at which it takes effect.
    pub at: Timestamp,
    /// Its encoding, which is what gets stored and hashed.
    pub event: Vec<u8>,
}

/// Events for one stream, to follow a version the writer has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The stream.
    pub stream: StreamId,
    /// The version the stream must have; 0 starts it.
    pub expected_version: u64,
    /// The events, in order.
    pub events: Vec<NewEvent>,
}

/// A name that at most one stream may hold at a time, such as a device id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The stream that takes or gives back the name.
    pub stream: StreamId,
    /// The kind of name, such as `device`.
    pub kind: String,
    /// The name.
    pub value: String,
    /// Whether it is taken or given back.
    pub act: ReservationAct,
}

/// What is done to a reserved name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservationAct {
    /// Take it; refused if another stream holds it.
    Reserve,
    /// Give it back; nothing happens if this stream does not hold it.
    Release,
}

/// A response kept so that a repeated request is answered alike and does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// Who made the request; keys of different principals never meet.
    pub principal: String,
    /// The key the caller chose.
    pub key: String,
    /// SHA-256 of what was asked.
    pub fingerprint: [u8; 32],
    /// The HTTP status of the response.
    pub status: u16,
    /// The body of the response.
    pub body: Vec<u8>,
}

/// Everything one request writes: applied whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSet {
    /// Cloud time of recording.
    pub recorded_at: Timestamp,
    /// Who makes the change.
    pub actor: String,
    /// The request that makes it.
    pub request_id: String,
    /// Events by stream.
    pub appends: Vec<Append>,
    /// Names taken and given back, in order.
    pub reservations: Vec<Reservation>,
    /// The response to keep, if the request named an idempotency key.
    pub idempotency: Option<IdempotencyRecord>,
}

/// Why a change set was not applied though the store works: nothing of it was written, the transaction goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The stream is not at the expected version.
    #[error("{stream} is at version {actual}, not {expected}")]
    Version {
        /// The stream.
        stream: StreamId,
        /// What the writer had seen.
        expected: u64,
        /// What is stored.
        actual: u64,
    },
    /// Another stream holds the name.
    #[error("{kind} {value} is held by {holder}")]
    Taken {
        /// The kind of name.
        kind: String,
        /// The name.
        value: String,
        /// Who holds it.
        holder: StreamId,
    },
    /// A response is already kept under this principal and key.
    #[error("idempotency key {key} is already used")]
    IdempotencyKey {
        /// The key.
        key: String,
    },
}

/// A snapshot of an aggregate: disposable, only a faster way to the state the events give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Number of the encoding; another number is ignored by whoever loads it.
    pub schema: u32,
    /// Version of the stream that it equals.
    pub version: u64,
    /// The encoded state.
    pub body: Vec<u8>,
}

/// The newest token issued to a device, without its bytes (token §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The device.
    pub device: DeviceId,
    /// The organization it was issued for.
    pub organization: OrganizationId,
    /// Epoch of the token.
    pub epoch: u64,
    /// Sequence of the token.
    pub seq: u64,
    /// Digest of the wanted state that the token expresses.
    pub wanted: [u8; 32],
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When its lease ends.
    pub lease_ends_at: Timestamp,
    /// Whether it answers a nonce of the device.
    pub answers_nonce: bool,
}

/// The last thing a device said, in the reconciler's encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceStatus {
    /// The device.
    pub device: DeviceId,
    /// To whom it said it.
    pub organization: OrganizationId,
    /// Cloud time at which it was heard.
    pub heard_at: Timestamp,
    /// What it said.
    pub body: Vec<u8>,
}

/// What the daemon keeps over a restart though it is no part of the log: a halt, a doubt, a confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What kind of note it is.
    pub kind: String,
    /// What it is about; there is one note of a kind and a subject.
    pub subject: String,
    /// Cloud time at which it was made.
    pub at: Timestamp,
    /// What it says, in the encoding of whoever made it.
    pub body: Vec<u8>,
}

/// Something to be kept, or not to be kept any longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoteChange {
    /// Keep this instead of the note of the same kind and subject.
    Keep(Note),
    /// Forget the note of this kind and subject, if there is one.
    Forget {
        /// The kind.
        kind: String,
        /// The subject.
        subject: String,
    },
}

/// Why the store could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room for more.
    #[error(
        "the disk or the database is full; nothing of this change was kept: free some space and repeat it"
    )]
    Full,
    /// Another process owns the database.
    #[error("{path} is in use by another coterm-cloud: stop that one, or use another data directory")]
    Owned {
        /// The lock file.
        path: String,
    },
    /// Another writer held the database for too long.
    #[error("the database is locked by another process: repeat the request")]
    Locked,
    /// The database was written by a newer version of this program.
    #[error("the database has schema {found}, this program knows up to {known}: use the newer program")]
    Newer {
        /// Schema found.
        found: u32,
        /// Newest schema known.
        known: u32,
    },
    /// What is stored contradicts itself.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// Anything else the database or the file system reports.
    #[error("the database failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Shorthand of this module.
pub type Result<T> = std::result::Result<T, StoreError>;

/// What can be read, inside a transaction or outside.
pub trait Reads: OutboxReads {
    /// Every stream that has an entry.
    fn streams(&self) -> Result<Vec<StreamId>>;
    /// Where a stream ends.
    fn head(&self, stream: StreamId) -> Result<Head>;
    /// At most `limit` entries of a stream, those numbered above `after`, in order.
    fn entries(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<Envelope>>;
    /// The newest snapshot of a stream, whatever its schema.
    fn snapshot(&self, stream: StreamId) -> Result<Option<Snapshot>>;
    /// Position of the newest entry of all streams, 0 if there is none.
    fn position(&self) -> Result<u64>;
    /// The streams that got entries after a position of the whole store.
    fn streams_after(&self, position: u64) -> Result<Vec<StreamId>>;
    /// The latest instant any entry carries or was recorded at.
    fn last_event_at(&self) -> Result<Option<Timestamp>>;
    /// Who holds a name.
    fn holder(&self, kind: &str, value: &str) -> Result<Option<StreamId>>;
    /// The response kept under a principal's key.
    fn idempotency(&self, principal: &str, key: &str) -> Result<Option<IdempotencyRecord>>;
    /// The last committed sequence of an organization (token §3), 0 if there is none.
    fn last_seq(&self, organization: OrganizationId) -> Result<u64>;
    /// Calls `each` with the newest token of every device, without its bytes.
    fn each_issued(&self, each: &mut dyn FnMut(Issued, TokenDigest)) -> Result<()>;
    /// The newest token of a device, with its bytes.
    fn token(&self, device: &DeviceId) -> Result<Option<(Issued, Vec<u8>)>>;
    /// Calls `each` with the last status of every device.
    fn each_status(&self, each: &mut dyn FnMut(DeviceStatus)) -> Result<()>;
    /// The notes of a kind, by subject.
    fn notes(&self, kind: &str) -> Result<Vec<Note>>;
}

/// A transaction that holds the store's only write lock; dropped without commit, nothing of it was.
pub trait Transaction: OutboxWrites {
    /// What it reads with.
    type Reader: Reads;
    /// Reads inside the transaction, seeing its own writes; only where streams end ([`Reads::head`]) and the sequences
    /// ([`Reads::last_seq`]) may be told as they were before, because those are written once, at commit.
    fn reads(&self) -> &Self::Reader;
    /// Applies a change set whole, or tells the conflict and writes nothing of it.
    ///
    /// # Errors
    /// An error (and only an error) makes the whole transaction worthless.
    fn apply(&mut self, changes: &ChangeSet) -> Result<std::result::Result<(), Conflict>>;
    /// Keeps a snapshot instead of the stream's older one.
    ///
    /// # Errors
    /// As [`Transaction::apply`].
    fn save_snapshot(&mut self, stream: StreamId, snapshot: &Snapshot) -> Result<()>;
    /// Allocates the next sequence of an organization: above every one allocated before, in this transaction too, and
    /// not below `at_least` (token §3). It counts once the transaction is committed.
    ///
    /// # Errors
    /// As [`Transaction::apply`].
    fn next_seq(&mut self, organization: OrganizationId, at_least: u64) -> Result<u64>;
    /// Records a token as the device's newest, and its sequence as the organization's last (token §3).
    ///
    /// # Errors
    /// As [`Transaction::apply`].
    fn record_issued(&mut self, issued: &Issued, token: &[u8]) -> Result<()>;
    /// Keeps what a device said last.
    ///
    /// # Errors
    /// As [`Transaction::apply`].
    fn record_status(&mut self, status: &DeviceStatus) -> Result<()>;
    /// Keeps or forgets a note.
    ///
    /// # Errors
    /// As [`Transaction::apply`].
    fn change_note(&mut self, change: &NoteChange) -> Result<()>;
    /// Forgets at most `limit` responses kept before an instant; returns how many.
    ///
    /// # Errors
    /// As [`Transaction::apply`].
    fn forget_responses(&mut self, before: Timestamp, limit: u32) -> Result<usize>;
    /// Makes all of it durable; only after this may anything of it be acknowledged.
    ///
    /// # Errors
    /// Whether the transaction took place is then unknown: look at [`Reads::position`].
    fn commit(self) -> Result<()>;
}

/// A store of events, owned by one writer.
pub trait EventStore: Send + 'static {
    /// What it reads with.
    type Reader: Reads + Send + 'static;
    /// Its transactions.
    type Tx<'a>: Transaction<Reader = Self::Reader>
    where
        Self: 'a;
    /// Reads what is committed.
    fn reads(&self) -> &Self::Reader;
    /// A second way to read what is committed, for use beside the writer.
    ///
    /// # Errors
    /// If it cannot be opened.
    fn reader(&self) -> Result<Self::Reader>;
    /// Takes the write lock.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process keeps it.
    fn begin(&mut self) -> Result<Self::Tx<'_>>;
}
