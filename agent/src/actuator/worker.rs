//! The thread the actuators live on.
//!
//! **Problem.** Hooks and stopping processes block for seconds; the agent's one async thread must not.
//! **Method.** A mailbox with one place: the newest order replaces one not yet taken. The thread drives the actuators
//! on every new order and again at every interval, and shows its last outcome in a watch. **Deliberately absent:** a
//! queue. An order that was overtaken is not worth carrying out.

use super::{Actuator, Fault, Order, drive};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What the last round of driving came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The serial number of the order that was driven.
    pub serial: u64,
    /// The order itself.
    pub order: Order,
    /// Who is not where ordered; empty means the device obeys.
    pub faults: Vec<Fault>,
}

#[derive(Debug, Default)]
struct Mailbox {
    order: Option<(u64, Order)>,
    driven: u64,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    mailbox: Mutex<Mailbox>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Mailbox> {
        // Every update is a whole assignment, so a poisoned mailbox is still a good one.
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle the driver holds.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    outcomes: watch::Receiver<Option<Outcome>>,
    serial: u64,
}

impl Worker {
    /// Starts the thread; `interval` is the time between rounds without a new order.
    pub fn start(mut actuators: Vec<Box<dyn Actuator>>, interval: Duration) -> io::Result<Worker> {
        let shared = Arc::new(Shared::default());
        let (outcome, outcomes) = watch::channel(None);
        let mailbox = Arc::clone(&shared);
        std::thread::Builder::new().name("actuators".to_owned()).stack_size(128 * 1024).spawn(move || {
            while let Some((serial, order)) = next(&mailbox, interval) {
                let faults = drive(&mut actuators, &order);
                outcome.send_if_modified(|last| {
                    let fresh = Some(Outcome { serial, order, faults });
                    let modified = *last != fresh;
                    *last = fresh;
                    modified
                });
            }
        })?;
        Ok(Worker { shared, outcomes, serial: 0 })
    }

    /// Orders a mode, replacing an order not yet taken; returns the order's serial number.
    pub fn order(&mut self, order: Order) -> u64 {
        self.serial = self.serial.saturating_add(1);
        self.shared.lock().order = Some((self.serial, order));
        self.shared.changed.notify_one();
        self.serial
    }

    /// Waits for the next outcome that differs from the last one seen.
    pub async fn outcome(&mut self) -> Option<Outcome> {
        // An error means the thread is gone; then nothing will ever come.
        self.outcomes.changed().await.ok()?;
        self.outcomes.borrow_and_update().clone()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

/// Blocks until there is something to drive; `None` when the agent is ending.
fn next(shared: &Shared, interval: Duration) -> Option<(u64, Order)> {
    let mailbox = shared.lock();
    let waiting = |mailbox: &mut Mailbox| {
        let fresh = mailbox.order.as_ref().is_some_and(|(serial, _)| *serial > mailbox.driven);
        !mailbox.closed && !fresh
    };
    let (mut mailbox, _) =
        shared.changed.wait_timeout_while(mailbox, interval, waiting).unwrap_or_else(PoisonError::into_inner);
    while !mailbox.closed && mailbox.order.is_none() {
        mailbox = shared.changed.wait(mailbox).unwrap_or_else(PoisonError::into_inner);
    }
    if mailbox.closed {
        return None;
    }
    let (serial, order) = mailbox.order.clone()?;
    mailbox.driven = serial;
    Some((serial, order))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actuator::{ActuatorError, Observation};
    use coterm_shared::enforcement::OperatingMode;

    /// A device that fails twice and is tampered with once.
    struct Stubborn {
        at: Arc<Mutex<OperatingMode>>,
        failures: u32,
    }

    impl Actuator for Stubborn {
        fn name(&self) -> &str {
            "stubborn"
        }
        fn observe(&mut self) -> Result<Observation, ActuatorError> {
            Ok(Observation::At(*self.at.lock().unwrap()))
        }
        fn set(&mut self, order: &Order) -> Result<(), ActuatorError> {
            if self.failures > 0 {
                self.failures -= 1;
                return Err(ActuatorError::Unkillable { secs: 1 });
            }
            *self.at.lock().unwrap() = order.mode;
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_device_is_driven_until_it_obeys_and_again_when_it_strays() {
        let at = Arc::new(Mutex::new(OperatingMode::Full));
        let device = Stubborn { at: Arc::clone(&at), failures: 2 };
        let mut worker = Worker::start(vec![Box::new(device)], Duration::from_millis(5)).unwrap();
        let order = Order { mode: OperatingMode::ManagementLocked, environment: [].into() };
        let serial = worker.order(order.clone());
        let first = worker.outcome().await.unwrap();
        assert_eq!((first.serial, first.order.clone()), (serial, order));
        if !first.faults.is_empty() {
            assert!(worker.outcome().await.unwrap().faults.is_empty());
        }
        assert_eq!(*at.lock().unwrap(), OperatingMode::ManagementLocked);
        // Somebody unlocks it behind the agent's back.
        *at.lock().unwrap() = OperatingMode::Full;
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while *at.lock().unwrap() != OperatingMode::ManagementLocked {
            assert!(std::time::Instant::now() < deadline, "it was not driven back");
            std::thread::yield_now();
        }
    }
}
