//! Notices on their way out: by mail, and to webhooks (domain N1, N2).
//!
//! **Problem.** Mail servers greylist, receivers hang or answer nonsense for a day, and the daemon is restarted in between;
//! a notice must arrive all the same, without one receiver holding up another, and without this daemon becoming a way
//! into the network it stands in. **Method.** The outbox ([`crate::store::outbox`]) is the only state. A [`courier`] takes
//! what is due, one delivery of an endpoint at a time and few of each way at once, asks whether it is still true, and
//! tries it within a deadline. What fails is tried again later and later, and given up after days; then an operator is
//! told. At least once: every copy carries the same id. **Deliberately absent:** what is to be told
//! (`coterm_shared::licensing::notices`), and receipts.

#[cfg(feature = "daemon")]
mod backoff;
#[cfg(feature = "daemon")]
pub mod courier;
#[cfg(feature = "daemon")]
pub mod endpoint;
#[cfg(feature = "daemon")]
mod guard;
#[cfg(feature = "daemon")]
pub mod mail;
pub mod message;
#[cfg(feature = "daemon")]
pub mod sign;
#[cfg(test)]
mod tests;
#[cfg(feature = "daemon")]
pub mod webhook;

#[cfg(feature = "daemon")]
pub use courier::{Courier, Settings};
#[cfg(feature = "daemon")]
pub use mail::Mail;
#[cfg(feature = "daemon")]
pub use webhook::Webhooks;

use crate::ports::BoxFuture;
use crate::store::outbox::{Endpoint, StoredNotice};
use coterm_shared::time::{Seconds, Timestamp};
use message::Body;

/// What may be an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether webhooks may go to addresses that are not public.
    pub allow_private: bool,
    /// Whether there is a mail server.
    pub mail: bool,
}

/// What a way is given to deliver.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Where to.
    pub endpoint: Endpoint,
    /// The notice.
    pub notice: StoredNotice,
    /// What it says.
    pub body: Body,
    /// Cloud time.
    pub now: Timestamp,
}

/// How an attempt went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver took it.
    Delivered,
    /// It did not, and may later.
    Failed {
        /// What went wrong, without secrets.
        error: String,
        /// When the receiver asked to be tried again.
        retry_after: Option<Seconds>,
    },
    /// It never will.
    Refused {
        /// Why.
        error: String,
    },
    /// What stands between us and every receiver does not work: the mail server.
    Unreachable {
        /// What went wrong.
        error: String,
    },
}

impl Outcome {
    /// It may be taken later.
    #[must_use]
    pub fn failed(error: impl Into<String>) -> Outcome {
        Outcome::Failed { error: error.into(), retry_after: None }
    }
}

/// A way to endpoints of one kind.
pub trait Way: Send + Sync + 'static {
    /// Tries once, within a deadline of its own.
    fn deliver(&self, parcel: Parcel) -> BoxFuture<'_, Outcome>;
}
