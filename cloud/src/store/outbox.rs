//! The outbox: what is to be told, to whom, and how far that is (domain N2).
//!
//! **Problem.** A notice must be made with the change it tells of, or a crash between the two loses it; and it must not be
//! made twice. **Method.** A notice, what is remembered of it, and a delivery for every endpoint its organization has at
//! that moment are written in the transaction of the change. A delivery is taken with a lease, so a crash in the middle
//! repeats it later and never loses it. **Deliberately absent:** what a notice says, and how it is delivered.

use super::Result;
use coterm_shared::id::{EndpointId, NoticeId, OrganizationId};
use coterm_shared::time::Timestamp;

/// Most endpoints of one organization.
pub const ENDPOINTS_MAX: u32 = 50;

/// Whose endpoints those of the vendor are. No UUIDv7 is all zeros, so it is no organization.
pub const VENDOR: OrganizationId = OrganizationId::from_bytes([0; 16]);

/// For whom a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// An endpoint of the organization.
    Organization,
    /// An endpoint of the vendor, which organizations do not see.
    Vendor,
    /// The buyer of a key: a mail address that is no endpoint, and is forgotten with the notice.
    Buyer,
}

impl Audience {
    /// Its name, as stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Audience::Organization => "organization",
            Audience::Vendor => "vendor",
            Audience::Buyer => "buyer",
        }
    }

    /// The audience of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Audience> {
        let all = [Audience::Organization, Audience::Vendor, Audience::Buyer];
        all.into_iter().find(|audience| audience.name() == name)
    }
}

/// Who gets a notice: those there are when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// All endpoints of its organization.
    Organization,
    /// Those, and all of the vendor.
    OrganizationAndVendor,
    /// One endpoint of its organization.
    Only(EndpointId),
    /// The buyer of a key, and no endpoint.
    Buyer {
        /// What stands for the endpoint there is none of.
        id: EndpointId,
        /// The mail address.
        address: String,
    },
}

/// By which way an endpoint is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointKind {
    /// By mail.
    Email,
    /// By an HTTP request.
    Webhook,
}

impl EndpointKind {
    /// Its name, as stored and as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EndpointKind::Email => "email",
            EndpointKind::Webhook => "webhook",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<EndpointKind> {
        [EndpointKind::Email, EndpointKind::Webhook].into_iter().find(|kind| kind.name() == name)
    }
}

/// Where notices of an organization go.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// The organization, or [`VENDOR`].
    pub organization: OrganizationId,
    /// By which way.
    pub kind: EndpointKind,
    /// A mail address, or a URL.
    pub address: String,
    /// What a webhook's requests are signed with.
    pub secret: Option<Vec<u8>>,
    /// The secret before it, and until when requests are signed with it too.
    pub old_secret: Option<(Vec<u8>, Timestamp)>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
}

impl std::fmt::Debug for Endpoint {
    /// Without the secrets, which are not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Endpoint { id, organization, kind, .. } = self;
        f.debug_struct("Endpoint")
            .field("id", id)
            .field("organization", organization)
            .field("kind", kind)
            .finish_non_exhaustive()
    }
}

/// A notice as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredNotice {
    /// Its id: the same in every delivery and repetition.
    pub id: NoticeId,
    /// Whose it is; [`VENDOR`] if it is about no organization.
    pub organization: OrganizationId,
    /// What it is about, a stable name.
    pub kind: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// What decides whether it is still true, in the encoding of whoever made it.
    pub head: Vec<u8>,
    /// What is sent, in that encoding.
    pub body: Vec<u8>,
}

/// A notice to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNotice {
    /// The notice.
    pub notice: StoredNotice,
    /// What is remembered to have been told with it, by topic.
    pub marks: Vec<(String, Vec<u8>)>,
    /// Who gets it.
    pub to: Recipients,
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is tried at its time.
    Waiting,
    /// The receiver took it.
    Delivered,
    /// It was not true any more when its time came, or its endpoint was removed.
    Dropped,
    /// It was given up.
    Dead,
}

impl DeliveryState {
    /// Its name, as stored and as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DeliveryState::Waiting => "waiting",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Dropped => "dropped",
            DeliveryState::Dead => "dead",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<DeliveryState> {
        use DeliveryState::{Dead, Delivered, Dropped, Waiting};
        [Waiting, Delivered, Dropped, Dead].into_iter().find(|state| state.name() == name)
    }
}

/// One notice on its way to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The notice.
    pub notice: NoticeId,
    /// The endpoint, which may be gone.
    pub endpoint: EndpointId,
    /// For whom it is.
    pub audience: Audience,
    /// By which way.
    pub kind: EndpointKind,
    /// The address it had when the notice was made.
    pub address: String,
    /// How far it is.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// Since when it is to be delivered.
    pub since: Timestamp,
    /// When it is tried next, or the lease of the attempt under way ends.
    pub next_at: Timestamp,
    /// Whether an operator wants it delivered though it may be outdated.
    pub forced: bool,
    /// What went wrong last.
    pub error: Option<String>,
    /// When it ended, if it did.
    pub ended_at: Option<Timestamp>,
}

/// A delivery whose time has come, with all it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueDelivery {
    /// The delivery.
    pub delivery: Delivery,
    /// Where it goes; `None` if the endpoint was removed.
    pub endpoint: Option<Endpoint>,
    /// What it carries.
    pub notice: StoredNotice,
}

/// Which notices to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoticeQuery {
    /// Only of this organization.
    pub organization: Option<OrganizationId>,
    /// Only those before this one.
    pub before: Option<NoticeId>,
    /// Only those with a dead delivery; of an organization, one of its own.
    pub dead: bool,
}

/// How full the outbox is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxFigures {
    /// Deliveries that wait.
    pub waiting: u64,
    /// Deliveries that were given up, by organization.
    pub dead: Vec<(OrganizationId, u64)>,
}

/// A change of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboxChange {
    /// Tell this.
    Tell(NewNotice),
    /// Tell this endpoint too; not done if there are [`ENDPOINTS_MAX`], or one with this address.
    Add(Endpoint),
    /// Tell this endpoint no longer: what waits for it is dropped.
    Remove {
        /// Whose it is.
        organization: OrganizationId,
        /// The endpoint.
        id: EndpointId,
        /// Cloud time.
        at: Timestamp,
    },
    /// Sign with this from now on, and with the secret before it for a while.
    Rotate {
        /// Whose it is.
        organization: OrganizationId,
        /// The webhook.
        id: EndpointId,
        /// The new secret.
        secret: Vec<u8>,
        /// Until when the old one is used too.
        until: Timestamp,
    },
    /// An attempt begins: nobody else tries until its lease ends.
    Take {
        /// The notice.
        notice: NoticeId,
        /// The endpoint.
        endpoint: EndpointId,
        /// When the lease ends.
        until: Timestamp,
    },
    /// The attempt failed: try again, and let what else waits for the endpoint wait as long.
    Retry {
        /// The notice.
        notice: NoticeId,
        /// The endpoint.
        endpoint: EndpointId,
        /// When.
        at: Timestamp,
        /// What went wrong.
        error: String,
    },
    /// The delivery ended.
    End {
        /// The notice.
        notice: NoticeId,
        /// The endpoint.
        endpoint: EndpointId,
        /// How; never [`DeliveryState::Waiting`].
        state: DeliveryState,
        /// When.
        at: Timestamp,
        /// Why, if it was not delivered.
        error: Option<String>,
    },
    /// Deliver a notice again where it is not waiting, whether or not it is still true.
    Redeliver {
        /// Whose it is; anybody's if none is named.
        organization: Option<OrganizationId>,
        /// The notice.
        notice: NoticeId,
        /// Only there; where it is not delivered, if no endpoint is named.
        endpoint: Option<EndpointId>,
        /// Cloud time.
        at: Timestamp,
    },
    /// Forget what was told of a topic.
    Unmark {
        /// Whose it is.
        organization: OrganizationId,
        /// The topic.
        topic: String,
    },
    /// Forget notices made before an instant of which nothing waits.
    Forget {
        /// The instant.
        before: Timestamp,
        /// At most so many.
        limit: u32,
    },
}

/// What can be read of the outbox.
pub trait OutboxReads {
    /// What was last told of a topic.
    fn told(&self, organization: OrganizationId, topic: &str) -> Result<Option<Vec<u8>>>;
    /// At most `limit` of what was told last of any topic, by organization and topic, from above `after` on.
    fn marks_after(
        &self,
        after: Option<&(OrganizationId, String)>,
        limit: u32,
    ) -> Result<Vec<(OrganizationId, String, Vec<u8>)>>;
    /// The endpoints of an organization, by id.
    fn endpoints(&self, organization: OrganizationId) -> Result<Vec<Endpoint>>;
    /// At most `limit` notices, the newest first.
    fn stored_notices(&self, query: &NoticeQuery, limit: u32) -> Result<Vec<StoredNotice>>;
    /// The deliveries of a notice, by endpoint.
    fn deliveries(&self, notice: NoticeId) -> Result<Vec<Delivery>>;
    /// For at most `limit` endpoints of a kind the delivery that is due longest, the longest due first.
    fn due_deliveries(&self, now: Timestamp, kind: EndpointKind, limit: u32) -> Result<Vec<DueDelivery>>;
    /// How full it is.
    fn outbox_figures(&self) -> Result<OutboxFigures>;
}

/// What can be written to the outbox, inside a transaction.
pub trait OutboxWrites {
    /// Makes a change; tells how many rows it found to change, 0 if it does not apply.
    ///
    /// # Errors
    /// As [`super::Transaction::apply`].
    fn change_outbox(&mut self, change: &OutboxChange) -> Result<usize>;
}
