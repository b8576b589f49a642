//! MQTT words that both kinds of broker share, and the client of an external broker.

pub mod external;

use crate::ports::{Incoming, Outgoing, PublishError};
use coterm_shared::id::DeviceId;
use coterm_shared::protocol::{MAX_REPORT_BYTES, Report, Request, Topic};

/// The largest payload the cloud publishes, in bytes (token §2).
pub const DOWNWARD_MAX_BYTES: usize = 4_096;
/// The largest MQTT packet a device sends, in bytes: the longest report with its topic and properties.
pub const UPWARD_PACKET_MAX_BYTES: usize = MAX_REPORT_BYTES + 512;

/// Why a message from a device means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotUnderstood {
    /// No device writes to this topic.
    #[error("not a topic that devices write to")]
    Topic,
    /// The payload is too long or not what belongs on the topic.
    #[error("{0}")]
    Payload(String),
}

/// What a message on a device's topic means, and whose topic it is. Sizes are checked before anything is parsed.
///
/// # Errors
/// [`NotUnderstood`]; such a message is dropped and counted.
pub fn understand(topic: &str, payload: &[u8]) -> Result<(DeviceId, Incoming), NotUnderstood> {
    match topic.parse().map_err(|_| NotUnderstood::Topic)? {
        Topic::Report(device) => Report::parse(payload)
            .map(|report| (device, Incoming::Report(report)))
            .map_err(|error| NotUnderstood::Payload(error.to_string())),
        Topic::Request(device) => Request::parse(payload)
            .map(|request| (device, Incoming::Request(request)))
            .map_err(|error| NotUnderstood::Payload(error.to_string())),
        Topic::Token(_) | Topic::Keyring => Err(NotUnderstood::Topic),
    }
}

/// Refuses what the cloud never sends: other topics than tokens and the keyring, and payloads no device would take.
///
/// # Errors
/// [`PublishError::Invalid`].
pub fn check_outgoing(message: &Outgoing) -> Result<(), PublishError> {
    match &message.topic {
        Topic::Token(_) | Topic::Keyring => {}
        Topic::Report(_) | Topic::Request(_) => {
            return Err(PublishError::Invalid { reason: "only tokens and the keyring go to devices" });
        }
    }
    if message.payload.is_empty() {
        // An empty retained message would delete the one that is there.
        return Err(PublishError::Invalid { reason: "the payload is empty" });
    }
    if message.payload.len() > DOWNWARD_MAX_BYTES {
        return Err(PublishError::Invalid { reason: "the payload is larger than 4096 bytes" });
    }
    Ok(())
}
