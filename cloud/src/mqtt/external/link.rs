//! What is on its way to the broker, and who waits for its acknowledgement.
//!
//! **Problem.** The library takes a message without saying which packet id it will get, and tells acknowledgements by
//! packet id. **Method.** It sends messages in the order it took them, so a queue of those who wait, in the same order,
//! meets every "sent as N" with the right one. One lock covers taking and queueing. What waits is bounded by permits,
//! fewer than the library's channel holds, so taking never blocks.

use crate::ports::{Outgoing, PublishError};
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{PubAckReason, PublishProperties};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The most messages on their way at once.
pub(super) const MAX_IN_FLIGHT: u16 = 256;
/// The library's channel: everything in flight, the subscriptions and the goodbye.
pub(super) const CHANNEL_CAPACITY: usize = MAX_IN_FLIGHT as usize + 8;

/// Someone who waits for an acknowledgement.
struct Waiter {
    done: oneshot::Sender<Result<(), PublishError>>,
    // Kept until the acknowledgement even when the caller gave up: the library still holds the message.
    _permit: OwnedSemaphorePermit,
}

/// The connection as publishers see it.
pub(super) struct Link {
    state: Mutex<State>,
    permits: Arc<Semaphore>,
}

struct State {
    client: Result<AsyncClient, String>,
    taken: VecDeque<Waiter>,
    sent: HashMap<u16, Waiter>,
}

impl Link {
    pub(super) fn new() -> Link {
        let state = State {
            client: Err("not connected yet".to_owned()),
            taken: VecDeque::new(),
            sent: HashMap::new(),
        };
        Link { state: Mutex::new(state), permits: Arc::new(Semaphore::new(usize::from(MAX_IN_FLIGHT))) }
    }

    /// Publishes and waits for the acknowledgement; the caller sets the deadline.
    pub(super) async fn publish(&self, message: Outgoing) -> Result<(), PublishError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| PublishError::Stopping)?;
        let answer = self.take(&message, permit)?;
        answer.await.unwrap_or_else(|_| {
            Err(PublishError::Disconnected {
                reason: "the connection broke before the acknowledgement".into(),
            })
        })
    }

    fn take(
        &self,
        message: &Outgoing,
        permit: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Result<(), PublishError>>, PublishError> {
        let properties = PublishProperties {
            content_type: Some(message.topic.content_type().to_owned()),
            ..PublishProperties::default()
        };
        let mut state = self.lock();
        let client =
            state.client.as_ref().map_err(|reason| PublishError::Disconnected { reason: reason.clone() })?;
        client
            .try_publish_with_properties(
                message.topic.to_string(),
                QoS::AtLeastOnce,
                message.retain,
                message.payload.to_vec(),
                properties,
            )
            .map_err(|error| PublishError::Disconnected { reason: error.to_string() })?;
        let (done, answer) = oneshot::channel();
        state.taken.push_back(Waiter { done, _permit: permit });
        Ok(answer)
    }

    /// A connection stands: publishing works from now on.
    pub(super) fn up(&self, client: AsyncClient) {
        self.lock().client = Ok(client);
    }

    /// The connection is gone: everything unacknowledged fails, now and until the next one stands.
    pub(super) fn down(&self, reason: &str) {
        let mut state = self.lock();
        state.client = Err(reason.to_owned());
        let waiting: Vec<Waiter> = state.taken.drain(..).collect();
        let sent: Vec<Waiter> = state.sent.drain().map(|(_, waiter)| waiter).collect();
        drop(state);
        for waiter in waiting.into_iter().chain(sent) {
            // An error means that the caller gave up already.
            let _ = waiter.done.send(Err(PublishError::Disconnected { reason: reason.to_owned() }));
        }
    }

    /// The library sent the oldest message it had taken, with this packet id.
    pub(super) fn sent(&self, packet: u16) {
        let mut state = self.lock();
        if let Some(waiter) = state.taken.pop_front() {
            state.sent.insert(packet, waiter);
        }
    }

    /// The broker acknowledged a packet.
    pub(super) fn acknowledged(&self, packet: u16, reason: PubAckReason) {
        let Some(waiter) = self.lock().sent.remove(&packet) else { return };
        let result = match reason {
            // No subscriber is no error: the device is away, and its report will ask again.
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Ok(()),
            PubAckReason::UnspecifiedError
            | PubAckReason::ImplementationSpecificError
            | PubAckReason::NotAuthorized
            | PubAckReason::TopicNameInvalid
            | PubAckReason::PacketIdentifierInUse
            | PubAckReason::QuotaExceeded
            | PubAckReason::PayloadFormatInvalid => {
                Err(PublishError::Refused { reason: format!("{reason:?}") })
            }
        };
        let _ = waiter.done.send(result);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coterm_shared::protocol::Topic;
    use rumqttc::v5::{EventLoop, MqttOptions};

    fn keyring() -> Outgoing {
        Outgoing { topic: Topic::Keyring, payload: Arc::from(*b"k"), retain: true }
    }

    fn permit(link: &Link) -> OwnedSemaphorePermit {
        Arc::clone(&link.permits).try_acquire_owned().unwrap()
    }

    fn client() -> (AsyncClient, EventLoop) {
        AsyncClient::new(MqttOptions::new("coterm-cloud", "localhost", 1), CHANNEL_CAPACITY)
    }

    #[test]
    fn an_acknowledgement_meets_the_message_it_belongs_to() {
        let link = Link::new();
        let (client, _event_loop) = client();
        link.up(client);
        let mut first = link.take(&keyring(), permit(&link)).unwrap();
        let mut second = link.take(&keyring(), permit(&link)).unwrap();
        link.sent(7);
        link.sent(8);
        link.acknowledged(8, PubAckReason::NotAuthorized);
        link.acknowledged(9, PubAckReason::Success);
        assert!(first.try_recv().is_err(), "still on its way");
        assert!(matches!(second.try_recv().unwrap(), Err(PublishError::Refused { .. })));
        link.acknowledged(7, PubAckReason::NoMatchingSubscribers);
        assert_eq!(first.try_recv().unwrap(), Ok(()));
    }

    #[test]
    fn nothing_unacknowledged_survives_the_connection() {
        let link = Link::new();
        assert!(matches!(link.take(&keyring(), permit(&link)), Err(PublishError::Disconnected { .. })));
        let (client, _event_loop) = client();
        link.up(client);
        let mut sent = link.take(&keyring(), permit(&link)).unwrap();
        let mut taken = link.take(&keyring(), permit(&link)).unwrap();
        link.sent(1);
        link.down("broken pipe");
        for answer in [&mut sent, &mut taken] {
            let expected = PublishError::Disconnected { reason: "broken pipe".to_owned() };
            assert_eq!(answer.try_recv().unwrap(), Err(expected));
        }
        assert_eq!(link.permits.available_permits(), usize::from(MAX_IN_FLIGHT));
    }

    #[test]
    fn taking_never_blocks_however_much_is_in_flight() {
        let link = Link::new();
        let (client, _event_loop) = client();
        link.up(client);
        let answers: Vec<_> =
            (0..MAX_IN_FLIGHT).map(|_| link.take(&keyring(), permit(&link)).unwrap()).collect();
        assert_eq!(link.permits.available_permits(), 0);
        drop(answers);
        assert_eq!(link.permits.available_permits(), 0, "given up is not acknowledged");
    }
}
