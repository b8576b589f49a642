//! Keeps every device's token equal to what the books want (token §3, protocol §1).
//!
//! **Problem.** Publishes and retained messages get lost, devices sleep for weeks, daemons and databases are restored;
//! and an unrelated change must cost nothing. **Method.** The database is the truth, the broker a lossy cache: every
//! report carries the version held, a pure function ([`plan`]) compares it with what is wanted and issued, and the loop
//! around it looks only at devices that something touched, plus a periodic sweep over all. **Deliberately absent:** any
//! memory of what still has to be sent. What failed is found missing again.

mod counters;
mod digest;
mod documents;
mod engine;
mod fleet;
mod inbox;
mod ledger;
mod plan;
mod ports;
mod publish;
mod status;
#[cfg(test)]
mod tests;

pub use counters::{Counter, Counters};
pub use digest::{WantedDigest, digest};
pub use inbox::LatestInbox;
pub use ledger::{SigningLedger, TokenPolicy};
pub use plan::{Action, Facts, HEAL_INTERVAL, Held, Issued, Policy, RESEND_AFTER, Sent, Why, plan};
pub use ports::{Fresh, Ledger, LedgerError, Memory, Outcome, Said, Stored, Touched, Wish};
pub use status::{DeviceStatus, Halt, Link, Quarantine};

use crate::ports::Broker;
use crate::signer::Documents;
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::time::Seconds;
use coterm_shared::token::TrustDomain;
use documents::DocumentCourier;
use engine::{Engine, Order, Work};
use fleet::Fleet;
use publish::Publisher;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How the reconciler works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of this deployment in every token.
    pub trust_domain: TrustDomain,
    /// Whether the broker keeps tokens for devices that connect later.
    pub retained: bool,
    /// Time between two sweeps.
    pub sweep: Duration,
    /// Time between two looks at timers.
    pub tick: Duration,
    /// Most publishes under way, at least 1.
    pub publishes_in_flight: usize,
    /// How long one publish may take.
    pub publish_deadline: Duration,
    /// Least time between two answers to a device's own requests.
    pub nonce_interval: Seconds,
}

/// The running reconciler.
#[derive(Debug)]
pub struct Reconciler {
    fleet: Arc<Mutex<Fleet>>,
    counters: Arc<Counters>,
    orders: watch::Sender<Order>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Reconciler {
    /// Loads what is remembered about devices and starts the loop, with a full sweep.
    ///
    /// # Errors
    /// What is remembered cannot be read.
    pub async fn start(
        settings: Settings,
        ledger: Arc<dyn Ledger>,
        broker: Arc<dyn Broker>,
        inbox: Arc<LatestInbox>,
        documents: watch::Receiver<Documents>,
    ) -> Result<Reconciler, LedgerError> {
        let fleet = Arc::new(Mutex::new(Fleet::new(ledger.load().await?)));
        let counters = Arc::clone(inbox.counters());
        let publisher = Publisher::new(
            Arc::clone(&broker),
            Arc::clone(&ledger),
            Arc::clone(&counters),
            settings.retained,
            settings.publishes_in_flight.max(1),
            settings.publish_deadline,
        );
        let documents = DocumentCourier::new(broker, Arc::clone(&counters), documents);
        let work = Work::default();
        let engine =
            Engine { ledger, inbox, fleet: Arc::clone(&fleet), publisher, documents, settings, work };
        let (orders, received) = watch::channel(Order::Run { sweeps: 0 });
        let task = Mutex::new(Some(tokio::spawn(engine.run(received))));
        Ok(Reconciler { fleet, counters, orders, task })
    }

    /// Everything known about a device; `None` if it was never claimed and never heard.
    #[must_use]
    pub fn status(&self, device: &DeviceId) -> Option<DeviceStatus> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner).status(device)
    }

    /// The organizations nothing is signed for, and why (token §3).
    #[must_use]
    pub fn halts(&self) -> BTreeMap<OrganizationId, Halt> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner).halts().clone()
    }

    /// Signs for the organization again; returns whether it was halted. A device that shows a foreign token again
    /// halts it again.
    pub fn resume(&self, organization: OrganizationId) -> bool {
        let was_halted = self.fleet.lock().unwrap_or_else(PoisonError::into_inner).resume(organization);
        self.sweep();
        was_halted
    }

    /// How many devices are known.
    #[must_use]
    pub fn device_count(&self) -> usize {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The work done since the start.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Asks for a full sweep now.
    pub fn sweep(&self) {
        self.orders.send_modify(|order| {
            if let Order::Run { sweeps } = order {
                *sweeps = sweeps.wrapping_add(1);
            }
        });
    }

    /// Stops the loop: waits a few seconds for publishes under way and writes what devices said.
    pub async fn stop(&self) {
        self.orders.send_replace(Order::Stop);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A loop that panicked has stopped as well.
            let _ = task.await;
        }
    }
}
