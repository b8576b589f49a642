//! Carries the keyring to devices: before any token, on every change, and when a device turns out to lack it.

use super::counters::Counters;
use crate::ports::{Broker, Outgoing, PublishError};
use crate::signer::KeyringBytes;
use coterm_shared::protocol::Topic;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The least time between two publishes of the same keyring, whatever devices claim to lack.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// How long one publish may take, and how long a failed one waits.
const DEADLINE: Duration = Duration::from_secs(10);

/// Publishes the keyring, retained, whenever it has to.
pub(super) struct KeyringCourier {
    broker: Arc<dyn Broker>,
    counters: Arc<Counters>,
    keyring: watch::Receiver<KeyringBytes>,
    sent: Option<(u64, Instant)>,
    failed_at: Option<Instant>,
    wanted: bool,
    running: Option<JoinHandle<(u64, Result<(), PublishError>)>>,
}

impl KeyringCourier {
    pub(super) fn new(
        broker: Arc<dyn Broker>,
        counters: Arc<Counters>,
        mut keyring: watch::Receiver<KeyringBytes>,
    ) -> KeyringCourier {
        keyring.mark_changed();
        KeyringCourier { broker, counters, keyring, sent: None, failed_at: None, wanted: true, running: None }
    }

    /// The broker may have lost it: send it again, but not more often than reasonable.
    pub(super) fn send_again(&mut self) {
        self.wanted = true;
    }

    /// A device said which keyring it holds.
    pub(super) fn reported(&mut self, held: u64) {
        if held < self.keyring.borrow().version {
            self.wanted = true;
        }
    }

    /// Waits for the next thing to do about the keyring and does it; dropping the future loses nothing.
    pub(super) async fn step(&mut self) {
        if let Some(running) = &mut self.running {
            let ended = running.await;
            self.running = None;
            match ended {
                Ok((version, Ok(()))) => self.sent = Some((version, Instant::now())),
                Ok((_, Err(error))) => {
                    tracing::warn!(%error, "the keyring was not published; tried again");
                    (self.wanted, self.failed_at) = (true, Some(Instant::now()));
                }
                Err(_) => (self.wanted, self.failed_at) = (true, Some(Instant::now())),
            }
            return;
        }
        if self.wanted {
            tokio::time::sleep(self.rest()).await;
        } else if self.keyring.changed().await.is_err() {
            // Whoever makes keyrings is gone: there will be no more.
            std::future::pending::<()>().await;
        }
        self.wanted = false;
        let keyring = self.keyring.borrow_and_update().clone();
        let broker = Arc::clone(&self.broker);
        self.counters.keyring_publishes.add(1);
        self.running = Some(tokio::spawn(async move {
            let message = Outgoing { topic: Topic::Keyring, payload: keyring.bytes, retain: true };
            let result = tokio::time::timeout(DEADLINE, broker.publish(message)).await;
            (keyring.version, result.unwrap_or(Err(PublishError::Timeout { secs: DEADLINE.as_secs() })))
        }));
    }

    /// How long to wait before the keyring may go out (again).
    fn rest(&self) -> Duration {
        let current = self.keyring.borrow().version;
        let after_success = match self.sent {
            Some((version, at)) if version == current => AGAIN_AFTER.saturating_sub(at.elapsed()),
            Some(_) | None => Duration::ZERO,
        };
        let after_failure = self.failed_at.map_or(Duration::ZERO, |at| DEADLINE.saturating_sub(at.elapsed()));
        after_success.max(after_failure)
    }
}
