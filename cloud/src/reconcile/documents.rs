//! Carries roots and keyring to devices: before any token, on every change, and when a device turns out to lack them.
//!
//! A device follows roots one by one and needs the keyring behind the last, so what is sent is always a tail of the chain:
//! roots from some version on in order, then the keyring. Brokers retain each; sending again is for those that forgot.
//! What is sent goes to everybody, so a single device that goes on asking, because its disk is full or somebody has it in
//! his hands, is answered ever more rarely.

use super::counters::Counters;
use crate::ports::{Broker, Outgoing, PublishError};
use crate::signer::Documents;
use coterm_shared::protocol::Topic;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The least time between two publishes of the same documents, whatever devices claim to lack; twice as long after each.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// The longest such time: soon enough for whoever just came, when somebody else has gone on asking.
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(1_800);
/// How long one publish may take, and how long a failed one waits.
const DEADLINE: Duration = Duration::from_secs(10);
/// No root: the keyring alone.
const NO_ROOT: u64 = u64::MAX;

/// Publishes roots and keyring, retained, whenever it has to.
pub(super) struct DocumentCourier {
    broker: Arc<dyn Broker>,
    counters: Arc<Counters>,
    documents: watch::Receiver<Documents>,
    sent: Option<(Versions, Instant)>,
    /// The epoch of the keyring sent last.
    epoch: u64,
    failed_at: Option<Instant>,
    /// Set if something is to be sent: the keyring, and roots from this version on.
    wanted: Option<u64>,
    /// How long those who ask for what was sent last have to wait.
    patience: Duration,
    running: Option<Running>,
}

/// What tells one state of the documents from another: newest root and keyring.
type Versions = (u64, u64);

struct Running {
    versions: Versions,
    from: u64,
    epoch: u64,
    task: JoinHandle<Result<(), PublishError>>,
}

impl DocumentCourier {
    pub(super) fn new(
        broker: Arc<dyn Broker>,
        counters: Arc<Counters>,
        mut documents: watch::Receiver<Documents>,
    ) -> DocumentCourier {
        documents.mark_changed();
        let epoch = documents.borrow().epoch;
        // At the start everything: the broker may be a new one.
        let wanted = Some(0);
        DocumentCourier {
            broker,
            counters,
            documents,
            sent: None,
            epoch,
            failed_at: None,
            wanted,
            patience: AGAIN_AFTER,
            running: None,
        }
    }

    /// The epoch to issue in.
    pub(super) fn epoch(&self) -> u64 {
        self.documents.borrow().epoch
    }

    /// The broker may have lost the keyring: send it again, but not more often than reasonable.
    pub(super) fn send_again(&mut self) {
        self.patience = AGAIN_AFTER;
        self.want(NO_ROOT);
    }

    /// A device said which root and keyring it holds.
    pub(super) fn reported(&mut self, root: u64, keyring: u64) {
        let (root_now, keyring_now) = {
            let documents = self.documents.borrow();
            (documents.root_version, documents.keyring_version)
        };
        if root < root_now {
            self.want(root.saturating_add(1));
        } else if root == root_now && keyring < keyring_now {
            self.want(NO_ROOT);
        }
    }

    fn want(&mut self, from: u64) {
        self.wanted = Some(self.wanted.map_or(from, |wanted| wanted.min(from)));
    }

    /// Waits for the next thing to do about documents and does it; dropping the future loses nothing. Returns whether a
    /// keyring that raises the epoch went out, after which every token is to be looked at.
    pub(super) async fn step(&mut self) -> bool {
        if let Some(running) = &mut self.running {
            let ended = (&mut running.task).await;
            let (versions, from, epoch) = (running.versions, running.from, running.epoch);
            self.running = None;
            if let Ok(Ok(())) = ended {
                let same = self.sent.is_some_and(|(sent, _)| sent == versions);
                let longer = self.patience.saturating_mul(2).min(AGAIN_AFTER_MAX);
                self.patience = if same { longer } else { AGAIN_AFTER };
                self.sent = Some((versions, Instant::now()));
                return epoch > std::mem::replace(&mut self.epoch, epoch);
            }
            if let Ok(Err(error)) = ended {
                tracing::warn!(%error, "root and keyring were not published; tried again");
            }
            self.want(from);
            self.failed_at = Some(Instant::now());
            return false;
        }
        if self.wanted.is_some() {
            // No rest is no sleep, not even the timer's smallest: whoever waits beside this may wake as often.
            let rest = self.rest();
            if !rest.is_zero() {
                // What is new is not to wait because what is old was asked for; a failure is waited out all the same.
                tokio::select! {
                    biased;
                    _ = self.documents.changed() => tokio::time::sleep(self.rest()).await,
                    () = tokio::time::sleep(rest) => {}
                }
            }
        } else if self.documents.changed().await.is_err() {
            // Whoever makes keyrings is gone: there will be no more.
            std::future::pending::<()>().await;
        }
        // Whatever was asked for, a root that never went out goes out now.
        let unsent = self.sent.map_or(0, |((root, _), _)| root.saturating_add(1));
        let from = self.wanted.take().unwrap_or(NO_ROOT).min(unsent);
        let documents = self.documents.borrow_and_update().clone();
        let (versions, epoch) = (versions(&documents), documents.epoch);
        let (broker, counters) = (Arc::clone(&self.broker), Arc::clone(&self.counters));
        let task = tokio::spawn(async move { send(&*broker, &counters, documents, from).await });
        self.running = Some(Running { versions, from, epoch, task });
        false
    }

    /// How long to wait before the documents may go out (again).
    fn rest(&self) -> Duration {
        let current = versions(&self.documents.borrow());
        let after_success = match self.sent {
            Some((versions, at)) if versions == current => self.patience.saturating_sub(at.elapsed()),
            Some(_) | None => Duration::ZERO,
        };
        let after_failure = self.failed_at.map_or(Duration::ZERO, |at| DEADLINE.saturating_sub(at.elapsed()));
        after_success.max(after_failure)
    }
}

fn versions(documents: &Documents) -> Versions {
    (documents.roots.last().map_or(1, |(version, _)| *version), documents.keyring_version)
}

async fn send(
    broker: &dyn Broker,
    counters: &Counters,
    documents: Documents,
    from: u64,
) -> Result<(), PublishError> {
    let roots = documents.roots.into_iter().filter(|(version, _)| *version >= from);
    let messages = roots
        .map(|(version, bytes)| (Topic::Root(version), bytes))
        .chain([(Topic::Keyring, documents.keyring)]);
    for (topic, payload) in messages {
        match topic {
            Topic::Root(_) => counters.root_publishes.add(1),
            Topic::Keyring | Topic::Token(_) | Topic::Report(_) | Topic::Request(_) => {
                counters.keyring_publishes.add(1);
            }
        }
        let message = Outgoing { topic, payload, retain: true };
        let late = PublishError::Timeout { secs: DEADLINE.as_secs() };
        tokio::time::timeout(DEADLINE, broker.publish(message)).await.unwrap_or(Err(late))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::tests::Taker;

    fn version(keyring_version: u64) -> Documents {
        let roots = Vec::new();
        Documents { roots, root_version: 1, keyring_version, keyring: Arc::new([0]), epoch: 1 }
    }

    /// What goes to everybody does not go out twice a minute for as long as one device cannot keep it, or says so.
    #[tokio::test(start_paused = true)]
    async fn one_device_that_goes_on_asking_is_answered_ever_more_rarely_and_a_new_keyring_goes_out_at_once()
    {
        let counters = Arc::new(Counters::default());
        let sent = || counters.keyring_publishes.get();
        let (office, documents) = watch::channel(version(1));
        let mut courier = DocumentCourier::new(Arc::new(Taker), Arc::clone(&counters), documents);
        let asks_for = async |courier: &mut DocumentCourier, time: Duration| {
            let end = Instant::now() + time;
            while tokio::time::timeout_at(end, courier.step()).await.is_ok() {
                courier.reported(1, 0);
            }
        };
        asks_for(&mut courier, Duration::from_secs(3_600)).await;
        assert_eq!(sent(), 7, "at the start, and after 30, 90, 210, 450, 930 and 1,890 seconds");
        asks_for(&mut courier, Duration::from_secs(23 * 3_600)).await;
        assert_eq!(sent(), 53, "then every half hour");
        // It is made while somebody waits.
        tokio::join!(asks_for(&mut courier, Duration::from_secs(2)), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            office.send_replace(version(2));
        });
        assert_eq!(sent(), 54);
        asks_for(&mut courier, Duration::from_secs(100)).await;
        assert_eq!(sent(), 56, "soon again for those whom it did not reach");
    }
}
