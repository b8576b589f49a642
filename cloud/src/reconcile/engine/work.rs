//! What waits to be looked at: sets of devices and of organizations.

use coterm_shared::id::{DeviceId, OrganizationId};
use std::collections::{HashSet, VecDeque};
use tokio::time::Instant;

/// Devices looked at, and tokens issued in one transaction, before anything else gets its turn.
pub(super) const BATCH: usize = 500;
/// The same for the first batch after a pause; each that follows is twice as large. The first devices of a fleet have their
/// tokens while those of the last are still signed.
const FIRST_BATCH: usize = 64;

/// What waits to be looked at.
#[derive(Debug, Default)]
pub(in crate::reconcile) struct Work {
    /// Devices something touched.
    pub(super) touched: DeviceQueue,
    /// Organizations of which everything was touched, each with the device up to which it was looked at.
    pub(super) whole: VecDeque<(OrganizationId, Option<DeviceId>)>,
    /// A page of the organization that is being swept; its devices wait for those touched.
    pub(super) swept: Vec<DeviceId>,
    /// The organization that is being swept, and the last device of that page.
    pub(super) place: Option<(OrganizationId, DeviceId)>,
    /// Organizations still to be swept.
    pub(super) sweep: VecDeque<OrganizationId>,
    pub(super) sweeping: bool,
    /// When issuing failed; `None` once it works.
    pub(super) failed_at: Option<Instant>,
    pub(super) swept_at: Option<Instant>,
    pub(super) saved_at: Option<Instant>,
}

/// Devices to be looked at, each once, first come first served.
#[derive(Debug, Default)]
pub(super) struct DeviceQueue {
    order: VecDeque<DeviceId>,
    known: HashSet<DeviceId>,
    /// The size of the last batch, nothing after a pause.
    pub(super) taken: usize,
}

impl DeviceQueue {
    pub(super) fn push(&mut self, device: DeviceId) {
        if self.known.insert(device.clone()) {
            self.order.push_back(device);
        }
    }

    pub(super) fn take(&mut self) -> Vec<DeviceId> {
        self.taken = self.taken.saturating_mul(2).clamp(FIRST_BATCH, BATCH);
        let taken: Vec<DeviceId> = self.order.drain(..self.taken.min(self.order.len())).collect();
        taken.iter().for_each(|device| {
            self.known.remove(device);
        });
        taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}
