//! What devices said and nobody has looked at yet: the latest of each device, never a queue.

use super::counters::Counters;
use crate::ports::{Inbox, Incoming};
use coterm_shared::id::DeviceId;
use coterm_shared::protocol::{Report, Request};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Most devices with something unread; a report that is dropped comes again with the next heartbeat.
const MAX_PENDING: usize = 262_144;

/// What one device said since it was last looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unread {
    /// Its last report.
    pub(super) report: Option<Report>,
    /// Its last request.
    pub(super) request: Option<Request>,
    /// Whether its connection stands, if that changed.
    pub(super) connected: Option<bool>,
    /// Whether it connected anew, even if that connection has ended again.
    pub(super) reconnected: bool,
}

/// The reconciler's side of [`Inbox`].
#[derive(Debug)]
pub struct LatestInbox {
    /// In the order of ids: what is done about them must not hang on the order of a hash table.
    unread: Mutex<BTreeMap<DeviceId, Unread>>,
    arrived: Notify,
    counters: Arc<Counters>,
}

impl LatestInbox {
    /// An empty inbox that counts into `counters`.
    #[must_use]
    pub fn new(counters: Arc<Counters>) -> LatestInbox {
        LatestInbox { unread: Mutex::default(), arrived: Notify::new(), counters }
    }

    /// Waits until there is something; dropping the future loses nothing.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Takes everything there is.
    pub(super) fn take(&self) -> BTreeMap<DeviceId, Unread> {
        std::mem::take(&mut *self.lock())
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceId, Unread>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox for LatestInbox {
    fn deliver(&self, device: DeviceId, incoming: Incoming) {
        self.counters.heard.add(1);
        let mut unread = self.lock();
        if unread.len() >= MAX_PENDING && !unread.contains_key(&device) {
            self.counters.inbox_dropped.add(1);
            return;
        }
        let entry = unread.entry(device).or_default();
        match incoming {
            Incoming::Report(report) => entry.report = Some(report),
            Incoming::Request(request) => entry.request = Some(request),
            Incoming::Connected => {
                entry.connected = Some(true);
                entry.reconnected = true;
                // What was said on an earlier connection no longer tells what is held on this one.
                entry.report = None;
            }
            Incoming::Disconnected => entry.connected = Some(false),
        }
        drop(unread);
        self.arrived.notify_one();
    }
}
