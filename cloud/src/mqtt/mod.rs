//! MQTT words that both kinds of broker share, and the client of an external broker.

pub mod external;

use crate::ports::{Incoming, Outgoing, PublishError};
use coterm_shared::id::DeviceId;
use coterm_shared::protocol::{MAX_REPORT_BYTES, Report, Request, Topic};
use coterm_shared::token::MAX_DOCUMENT_BYTES;
use std::sync::atomic::{AtomicU64, Ordering};

/// The largest payload the cloud publishes, in bytes (token §2): a root or keyring; a token has less.
pub const DOWNWARD_MAX_BYTES: usize = MAX_DOCUMENT_BYTES;
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
        Topic::Token(_) | Topic::Keyring | Topic::Root(_) => Err(NotUnderstood::Topic),
    }
}

/// How often a peer did something wrong, and whether to say so.
///
/// The first time, the second, the fourth and so on are worth a line in the log: a peer that does nothing else cannot
/// fill the disk.
#[derive(Debug, Default)]
pub(crate) struct Offences(AtomicU64);

impl Offences {
    /// Counts one; how many there were, if that is worth a line.
    pub(crate) fn worth_a_line(&self) -> Option<u64> {
        let times = self.0.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        times.is_power_of_two().then_some(times)
    }
}

/// Refuses what the cloud never sends: other topics than tokens, keyring and roots, and payloads no device would take.
///
/// # Errors
/// [`PublishError::Invalid`].
pub fn check_outgoing(message: &Outgoing) -> Result<(), PublishError> {
    let Some(max) = message.topic.max_downward_bytes() else {
        return Err(PublishError::Invalid { reason: "only tokens, the keyring and roots go to devices" });
    };
    if message.payload.is_empty() {
        // An empty retained message would delete the one that is there.
        return Err(PublishError::Invalid { reason: "the payload is empty" });
    }
    if message.payload.len() > max {
        return Err(PublishError::Invalid { reason: "the payload is larger than any device takes" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn id(text: &str) -> DeviceId {
        text.parse().unwrap()
    }

    #[test]
    fn only_reports_and_requests_mean_something() {
        for topic in ["coterm/v1/keyring", "coterm/v1/d/cam-1/token", "other", ""] {
            assert_eq!(understand(topic, b"{}"), Err(NotUnderstood::Topic), "{topic}");
        }
        for payload in [b"".as_slice(), b"{}", &[b'['; MAX_REPORT_BYTES + 1]] {
            let refused = understand("coterm/v1/d/cam-1/report", payload);
            assert!(matches!(refused, Err(NotUnderstood::Payload(_))));
        }
        let request = br#"{"v":1,"nonce":"00112233445566778899aabbccddeeff"}"#;
        let (device, incoming) = understand("coterm/v1/d/cam-1/request", request).unwrap();
        assert!(device == id("cam-1") && matches!(incoming, Incoming::Request(_)));
    }

    #[test]
    fn nothing_is_sent_that_no_device_would_take() {
        let check = |topic, bytes: usize| {
            check_outgoing(&Outgoing { topic, payload: Arc::from(vec![0; bytes]), retain: true })
        };
        assert_eq!(check(Topic::Keyring, DOWNWARD_MAX_BYTES), Ok(()));
        assert_eq!(check(Topic::Root(2), DOWNWARD_MAX_BYTES), Ok(()));
        assert_eq!(check(Topic::Token(id("cam-1")), 4_096), Ok(()));
        for (topic, bytes) in [
            (Topic::Keyring, DOWNWARD_MAX_BYTES + 1),
            (Topic::Root(2), DOWNWARD_MAX_BYTES + 1),
            (Topic::Token(id("cam-1")), 4_097),
            (Topic::Token(id("cam-1")), 0),
            (Topic::Report(id("cam-1")), 1),
            (Topic::Request(id("cam-1")), 1),
        ] {
            assert!(matches!(check(topic, bytes), Err(PublishError::Invalid { .. })));
        }
    }

    #[test]
    fn a_peer_cannot_fill_the_log() {
        let offences = Offences::default();
        let lines: Vec<u64> = (0..1_000).filter_map(|_| offences.worth_a_line()).collect();
        assert_eq!(lines, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    }
}
