//! What the daemon wants from MQTT, whoever carries it.
//!
//! **Problem.** The reconciler must not know whether the broker runs inside this process or in a cluster elsewhere.
//! **Method.** One small outward trait, [`Broker`] (publish, kick, stop), and one inward trait, [`Inbox`], that a broker
//! calls with what devices said. Both are object safe, so the choice is made once, at start. **Deliberately absent:**
//! subscriptions, sessions and quality of service. The exchange is level-triggered: a message is an optimisation and
//! the next report repairs whatever was lost.

use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::protocol::{Report, Request, Topic};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

/// A future a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A message to devices: a token to one of them, or the keyring or a root to all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where it goes: [`Topic::Token`], [`Topic::Keyring`] or [`Topic::Root`].
    pub topic: Topic,
    /// The signed bytes, shared because the same token is often held elsewhere too.
    pub payload: Arc<[u8]>,
    /// Whether an external broker should keep it for devices that connect later; an embedded one keeps keyring and roots only.
    pub retain: bool,
}

/// What a device said, or what the broker says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are reports, and each is handed over once")]
pub enum Incoming {
    /// What the device holds and does.
    Report(Report),
    /// "Answer with a fresh token."
    Request(Request),
    /// The device's connection stands. External brokers do not say so: it is inferred from the first report.
    Connected,
    /// The device's connection ended. External brokers never say so: heartbeats tell.
    Disconnected,
}

/// Where a broker puts what devices say.
pub trait Inbox: Send + Sync {
    /// Takes one message and returns at once; a full inbox keeps the latest report of each device and drops older ones.
    fn deliver(&self, device: DeviceId, incoming: Incoming);
}

/// Whose devices are. A broker in this process asks it about certificates, which name the organization they were made for.
pub trait Owners: Send + Sync {
    /// Whether the organization claims the device now or, if nobody does, was the last to. Returns at once.
    fn is_owner(&self, organization: OrganizationId, device: &DeviceId) -> bool;
}

/// Why a message did not go out; the reconciler meets the device's next report anyway.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no connection to the broker, or it broke before the acknowledgement.
    #[error("not connected to the broker: {reason}; the connection is retried by itself")]
    Disconnected {
        /// What the last attempt said.
        reason: String,
    },
    /// No acknowledgement came in time.
    #[error("the broker did not acknowledge within {secs} s; it may be overloaded")]
    Timeout {
        /// The deadline that passed, in seconds.
        secs: u64,
    },
    /// The broker refused the message.
    #[error(
        "the broker refused the message ({reason}); check what its access rule lets the cloud identity write"
    )]
    Refused {
        /// The broker's reason.
        reason: String,
    },
    /// The cloud never publishes on this topic (only tokens, the keyring and roots), or the payload is too large.
    #[error("this message cannot be published: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Stopping,
}

impl PublishError {
    /// A stable code for logs and metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            PublishError::Disconnected { .. } => "BROKER_DISCONNECTED",
            PublishError::Timeout { .. } => "BROKER_TIMEOUT",
            PublishError::Refused { .. } => "BROKER_REFUSED",
            PublishError::Invalid { .. } => "MESSAGE_INVALID",
            PublishError::Stopping => "BROKER_STOPPING",
        }
    }
}

/// The way to devices.
pub trait Broker: Send + Sync {
    /// Sends a message. It resolves when the broker has taken it (an external one: at its PUBACK), or at a deadline.
    ///
    /// # Errors
    /// [`PublishError`] when it is not known to have been taken.
    fn publish(&self, message: Outgoing) -> BoxFuture<'_, Result<(), PublishError>>;

    /// Ends a device's connection, if it has one here (revocation, retirement). External brokers are left alone.
    fn kick(&self, device: &DeviceId) -> BoxFuture<'_, ()>;

    /// Stops: says goodbye to every connection and waits for them, at most a few seconds.
    fn stop(&self) -> BoxFuture<'_, ()>;

    /// Where devices connect, if the broker listens in this process.
    fn local_addr(&self) -> Option<SocketAddr>;
}
