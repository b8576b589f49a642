//! What is asked of the books, and what they answer.

use super::import::Prepared;
use crate::clock::TimeDoubt;
use crate::store::StoreError;
use coterm_shared::id::{GroupId, KeyId, OrganizationId};
use coterm_shared::licensing::{
    Actor, ClaimMode, Command, Dated, FoundOrganization, HeldOperation, KeyStep, Organization, PartRequest,
    Preview, PreviewDigest, Refusals,
};
use coterm_shared::platform::PlatformCommand;
use coterm_shared::platform::code::{CodeHash, KeyCode};
use coterm_shared::time::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A change of the books.
#[derive(Clone, Debug)]
pub enum Change {
    /// The platform registers an organization and its log starts, in one transaction.
    FoundOrganization(FoundOrganization),
    /// A command to one organization.
    Organization {
        /// The organization.
        id: OrganizationId,
        /// What it is asked.
        command: Command,
    },
    /// A key is claimed by its code; unknown and claimed elsewhere answer alike (domain K1).
    ClaimKey {
        /// Who claims it.
        organization: OrganizationId,
        /// Its code.
        code: KeyCode,
        /// The group it joins; without one it is unassigned, or in the default group while groups are not enabled.
        group: Option<GroupId>,
        /// As increase or as renewal.
        mode: ClaimMode,
    },
    /// A key is split in two (domain K7), and the platform learns the codes of the parts, in one transaction.
    SplitKey {
        /// Whose key it is.
        organization: OrganizationId,
        /// The key.
        key: KeyId,
        /// What it becomes.
        parts: Box<[NewPart; 2]>,
    },
    /// The vendor gives an unassigned key to another organization (domain K8): it leaves one log and enters the
    /// other in one transaction.
    TransferKey {
        /// Whose key it is.
        organization: OrganizationId,
        /// The key.
        key: KeyId,
        /// Who gets it.
        to: OrganizationId,
    },
    /// A site or device moves together with the licenses it needs (domain G4), and the platform learns the codes of the
    /// parts of those that are split, in one transaction.
    WithLicenses {
        /// The organization.
        organization: OrganizationId,
        /// The move.
        of: Command,
        /// The keys that go along.
        keys: Vec<KeyStep>,
        /// Whether it is proven that no fewer would do.
        proven_smallest: bool,
        /// The hashes of the codes of all parts, by part.
        code_hashes: BTreeMap<KeyId, CodeHash>,
    },
    /// What was decided beside the writer, on a state that may have moved on since.
    Prepared(Arc<Prepared>),
    /// A command to the platform.
    Platform(PlatformCommand),
}

impl Change {
    /// The organization it changes, `None` if it changes the platform alone.
    #[must_use]
    pub fn organization(&self) -> Option<OrganizationId> {
        match self {
            Change::FoundOrganization(founding) => Some(founding.id),
            Change::Organization { id, .. } => Some(*id),
            Change::ClaimKey { organization, .. }
            | Change::SplitKey { organization, .. }
            | Change::WithLicenses { organization, .. }
            | Change::TransferKey { organization, .. } => Some(*organization),
            Change::Prepared(prepared) => Some(prepared.organization()),
            Change::Platform(_) => None,
        }
    }
}

/// A part of a key to be split, with the code it gets.
#[derive(Clone, Debug)]
pub struct NewPart {
    /// What it takes of the key, and where it goes.
    pub request: PartRequest,
    /// The hash of its code.
    pub code_hash: CodeHash,
}

/// Makes a repeated request be answered alike and do nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Who asks; keys of different principals never meet.
    pub principal: String,
    /// The key the caller chose.
    pub key: String,
    /// SHA-256 of what is asked; another fingerprint under the same key is refused.
    pub fingerprint: [u8; 32],
}

/// A response as it was, or will be, sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredResponse {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Makes the response from the outcome, inside the transaction: keep it short, and pure.
pub type Respond = Box<dyn FnOnce(&Committed) -> StoredResponse + Send>;

/// A request for a change.
pub struct Request {
    /// Who asks, as it shall stand in the log.
    pub actor: String,
    /// The id of the request, as it shall stand in the log.
    pub request_id: String,
    /// Who asks, as held operations tell one from another (domain E6).
    pub by: Actor,
    /// What is asked.
    pub change: Change,
    /// Refuse unless the organization (or the platform) is at this version.
    pub expected_version: Option<u64>,
    /// Refuse unless what a change of one organization touches is as its preview showed it.
    pub expected_preview: Option<PreviewDigest>,
    /// The mail address of the buyer who is told of the key that is issued.
    pub buyer: Option<String>,
    /// Answer a repetition alike.
    pub idempotency: Option<Idempotency>,
    /// Makes the response; without it a repetition is answered with status 204 and no body.
    pub respond: Option<Respond>,
}

impl Request {
    /// A request without conditions.
    pub fn new(actor: impl Into<String>, request_id: impl Into<String>, change: Change) -> Request {
        let actor = actor.into();
        Request {
            by: Actor { id: actor.clone(), name: actor.clone() },
            actor,
            request_id: request_id.into(),
            change,
            expected_version: None,
            expected_preview: None,
            buyer: None,
            idempotency: None,
            respond: None,
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("actor", &self.actor)
            .field("request_id", &self.request_id)
            .field("change", &self.change)
            .field("expected_version", &self.expected_version)
            .field("expected_preview", &self.expected_preview)
            .field("idempotency", &self.idempotency)
            .finish_non_exhaustive()
    }
}

/// A change that is on disk.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Cloud time of the change.
    pub at: Timestamp,
    /// Version of the organization (of the platform, if no organization changed) after it.
    pub version: u64,
    /// What happened to the organization, in order.
    pub events: Vec<Dated>,
    /// Set if nothing of it was done, because it waits for the vendor (domain E6).
    pub held: Option<Box<Held>>,
    /// The organization after it; `None` if it changed the platform alone.
    pub organization: Option<Organization>,
    /// The response made now, if the request said how.
    pub response: Option<StoredResponse>,
    /// The response of the first time, if this request is a repetition; then nothing happened now.
    pub replayed: Option<StoredResponse>,
}

/// A change that waits for the vendor (domain E6).
#[derive(Clone, Debug)]
pub struct Held {
    /// What was written down, now or when the same was asked before.
    pub operation: HeldOperation,
    /// What it would do.
    pub preview: Option<Preview>,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BooksError {
    /// The rules refuse it, with all reasons.
    #[error("{0}")]
    Refused(#[from] Refusals),
    /// Something changed since the caller looked.
    #[error("version {actual} is current, not {expected}")]
    VersionConflict {
        /// What the caller expected.
        expected: u64,
        /// What is.
        actual: u64,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key was already used for a different request")]
    IdempotencyKeyReused,
    /// More waits than is bearable.
    #[error("too many changes are waiting")]
    Busy,
    /// The daemon is stopping.
    #[error("the books are closed")]
    Closed,
    /// Nothing is issued while the time is in doubt, and after a long outage nothing is changed (token §3).
    #[error("{0}")]
    TimeDoubt(#[from] TimeDoubt),
    /// The store failed.
    #[error("{0}")]
    Store(Arc<StoreError>),
    /// The program failed while deciding; nothing was changed.
    #[error("an internal error stopped this request; nothing was changed")]
    Internal,
}

impl BooksError {
    /// Its stable code; the code of the first reason if the rules refuse.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            BooksError::Refused(refusals) => refusals.all().first().map_or("REFUSED", |r| r.code.as_str()),
            BooksError::VersionConflict { .. } => "VERSION_CONFLICT",
            BooksError::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            BooksError::Busy => "BUSY",
            BooksError::Closed => "CLOSED",
            BooksError::TimeDoubt(_) => "TIME_IN_DOUBT",
            BooksError::Store(error) => match **error {
                StoreError::Full => "STORAGE_FULL",
                StoreError::Owned { .. }
                | StoreError::Locked
                | StoreError::Newer { .. }
                | StoreError::Damaged(_)
                | StoreError::Failed(_) => "STORAGE_FAILED",
            },
            BooksError::Internal => "INTERNAL",
        }
    }

    /// What to do about it; each reason of a refusal carries its own hint.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            BooksError::Refused(_) => "correct what each reason names and repeat the request",
            BooksError::VersionConflict { .. } => {
                "read the current state, decide again, and repeat the request"
            }
            BooksError::IdempotencyKeyReused => "use a new Idempotency-Key for every new request",
            BooksError::Busy => "wait a moment and repeat the request",
            BooksError::Closed => "repeat the request when the daemon is back",
            BooksError::TimeDoubt(_) => "check the clock of the machine, then confirm the time",
            BooksError::Store(_) => {
                "check the disk of the data directory, then repeat the request with the same Idempotency-Key"
            }
            BooksError::Internal => "report this with the request id; the log of the daemon has the details",
        }
    }
}

impl From<StoreError> for BooksError {
    fn from(error: StoreError) -> BooksError {
        BooksError::Store(Arc::new(error))
    }
}
