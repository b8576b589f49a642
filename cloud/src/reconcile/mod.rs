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
mod suspicion;
#[cfg(test)]
mod tests;

pub use counters::{Counter, Counters};
pub use digest::{WantedDigest, digest, digest_for};
pub use inbox::LatestInbox;
pub use ledger::{SigningLedger, TokenKeys, TokenPolicy};
pub use plan::{Action, Facts, HEAL_INTERVAL, Held, Issued, Policy, RESEND_AFTER, Sent, Why, plan};
pub use ports::{
    Confirmation, Fresh, Kept, Ledger, LedgerError, Memory, Outcome, Said, Stored, Touched, Wish,
};
pub use status::{Cause, Contradiction, DeviceStatus, FleetCensus, Halt, Link, Quarantine, Suspicion};

use crate::alarms::{AlarmCode, Condition};
use crate::books::BooksError;
use crate::ports::Broker;
use crate::signer::Documents;
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{TokenVersion, TrustDomain};
use documents::DocumentCourier;
use engine::{Engine, Order, Work};
use fleet::Fleet;
use publish::Publisher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use suspicion::Suspicions;
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

impl std::fmt::Debug for Reconciler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reconciler").field("counters", &self.counters).finish_non_exhaustive()
    }
}

/// The running reconciler.
pub struct Reconciler {
    ledger: Arc<dyn Ledger>,
    documents: watch::Receiver<Documents>,
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
        let started_millis = ledger.now_millis();
        let (ours, known) = (Arc::clone(&ledger), documents.clone());
        let documents = DocumentCourier::new(broker, Arc::clone(&counters), documents);
        let work = Work::default();
        let fleet_too = Arc::clone(&fleet);
        let engine =
            Engine { ledger, inbox, fleet: fleet_too, publisher, documents, settings, started_millis, work };
        let (orders, received) = watch::channel(Order::Run { sweeps: 0 });
        let task = Mutex::new(Some(tokio::spawn(engine.run(received))));
        Ok(Reconciler { ledger: ours, documents: known, fleet, counters, orders, task })
    }

    /// Everything known about a device; `None` if it was never claimed and never heard.
    #[must_use]
    pub fn status(&self, device: &DeviceId) -> Option<DeviceStatus> {
        self.fleet().status(device)
    }

    /// What operators have to look into and confirm: organizations nothing is signed for, and tokens of one version that
    /// contradict each other (token §3).
    #[must_use]
    pub fn suspicions(&self) -> Vec<Suspicion> {
        self.fleet().suspicions.list()
    }

    /// The alarms that stand now; their codes are [`Reconciler::CODES`].
    #[must_use]
    pub fn conditions(&self) -> Vec<Condition> {
        self.fleet().suspicions.conditions()
    }

    /// The codes of [`Reconciler::conditions`].
    pub const CODES: &'static [AlarmCode] = Suspicions::CODES;

    /// An operator looked into it and it is over: signs for the organization again, with tokens above everything its
    /// devices hold by now. Returns whether there was anything to confirm. What is signed elsewhere from now on, and
    /// shown, halts again.
    ///
    /// # Errors
    /// It cannot be written; nothing has changed then.
    pub async fn confirm(&self, organization: OrganizationId) -> Result<bool, BooksError> {
        let epoch = self.documents.borrow().epoch;
        let up_to = TokenVersion { epoch, seq: self.ledger.now_millis() };
        let now = self.ledger.now();
        let Some(confirmation) = self.fleet().suspicions.confirmation(organization, up_to, now) else {
            return Ok(false);
        };
        self.ledger.keep_confirmation(confirmation.clone()).await?;
        self.fleet().confirmed(confirmation, now);
        self.sweep();
        Ok(true)
    }

    fn fleet(&self) -> MutexGuard<'_, Fleet> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many devices are known.
    #[must_use]
    pub fn device_count(&self) -> usize {
        self.fleet().len()
    }

    /// The fleet, counted; costs a pass over it.
    #[must_use]
    pub fn census(&self, now: Timestamp) -> FleetCensus {
        self.fleet().census(now)
    }

    /// Whether the loop has ended, asked to or not.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.as_ref().is_none_or(JoinHandle::is_finished)
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
