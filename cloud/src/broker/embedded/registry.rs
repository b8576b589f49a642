//! Which devices are connected, and with which certificate.
//!
//! **Problem.** When a device reconnects before its old connection is noticed dead, the old one's end must not be told
//! as the device's, and a revoked or retired device must be put out even while its connection is stuck in a write.
//! **Method.** Every connection has an entry here from the moment its device is known until it is gone, whatever ends
//! it; the inbox is told `Connected` for each connection that stands and `Disconnected` when the last one is gone.

use crate::ports::{Inbox, Incoming, Owners};
use coterm_certs::{Revoked, Serial};
use coterm_shared::id::{DeviceId, OrganizationId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::{Notify, watch};

/// The connections that stand.
pub(super) struct Registry {
    max_devices: usize,
    inbox: Arc<dyn Inbox>,
    owners: Arc<dyn Owners>,
    revoked: RwLock<Revoked>,
    devices: Mutex<HashMap<DeviceId, Vec<Entry>>>,
    next_id: AtomicU64,
    pub(super) counters: Counters,
}

struct Entry {
    id: u64,
    serial: Serial,
    organization: OrganizationId,
    established: bool,
    kill: Arc<Notify>,
    gone: watch::Receiver<()>,
}

/// A connection's own hold on its entry; the entry goes when this is dropped.
pub(super) struct Registration {
    registry: Arc<Registry>,
    pub(super) device: DeviceId,
    organization: OrganizationId,
    pub(super) kill: Arc<Notify>,
    id: u64,
    // Dropped with the registration: whoever waits for `gone` sees it closed.
    _alive: watch::Sender<()>,
}

/// A connection that should end, and how to insist.
pub(super) struct Ending {
    kill: Arc<Notify>,
    gone: watch::Receiver<()>,
}

/// Why a device is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAdmitted {
    Revoked,
    NotTheirs,
    Full,
}

impl Registry {
    pub(super) fn new(
        max_devices: usize,
        revoked: Revoked,
        inbox: Arc<dyn Inbox>,
        owners: Arc<dyn Owners>,
    ) -> Registry {
        Registry {
            max_devices,
            inbox,
            owners,
            revoked: RwLock::new(revoked),
            devices: Mutex::default(),
            next_id: AtomicU64::new(0),
            counters: Counters::default(),
        }
    }

    /// Gives a connection its entry, unless its certificate is revoked or another owner's, or there are too many devices.
    pub(super) fn admit(
        self: &Arc<Registry>,
        device: &DeviceId,
        organization: OrganizationId,
        serial: &Serial,
    ) -> Result<Registration, NotAdmitted> {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock of the devices: a revocation either sees this entry or is seen by it.
        if self.revoked.read().unwrap_or_else(PoisonError::into_inner).contains(serial) {
            return Err(NotAdmitted::Revoked);
        }
        if !self.owners.is_owner(organization, device) {
            return Err(NotAdmitted::NotTheirs);
        }
        if devices.len() >= self.max_devices && !devices.contains_key(device) {
            return Err(NotAdmitted::Full);
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (alive, gone) = watch::channel(());
        let kill = Arc::new(Notify::new());
        let entry = Entry {
            id,
            serial: serial.clone(),
            organization,
            established: false,
            kill: Arc::clone(&kill),
            gone,
        };
        devices.entry(device.clone()).or_default().push(entry);
        drop(devices);
        Ok(Registration {
            registry: Arc::clone(self),
            device: device.clone(),
            organization,
            kill,
            id,
            _alive: alive,
        })
    }

    /// Takes another revocation list; returns the devices whose connections it ends.
    pub(super) fn set_revoked(&self, revoked: Revoked) -> Vec<DeviceId> {
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let hit = devices
            .iter()
            .filter(|(_, entries)| entries.iter().any(|entry| revoked.contains(&entry.serial)))
            .map(|(device, _)| device.clone())
            .collect();
        *self.revoked.write().unwrap_or_else(PoisonError::into_inner) = revoked;
        hit
    }

    /// The connections of a device.
    pub(super) fn endings(&self, device: &DeviceId) -> Vec<Ending> {
        self.endings_before(device, u64::MAX)
    }

    /// The device's connections that are older than this one.
    pub(super) fn older(&self, than: &Registration) -> Vec<Ending> {
        self.endings_before(&than.device, than.id)
    }

    /// The device's connections that were made with the certificate of an owner before the present one.
    pub(super) fn disowned(&self, device: &DeviceId) -> Vec<Ending> {
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = devices.get(device).map(Vec::as_slice).unwrap_or_default();
        entries
            .iter()
            .filter(|entry| !self.owners.is_owner(entry.organization, device))
            .map(|entry| Ending { kill: Arc::clone(&entry.kill), gone: entry.gone.clone() })
            .collect()
    }

    /// Every device that is connected.
    pub(super) fn devices(&self) -> Vec<DeviceId> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    fn endings_before(&self, device: &DeviceId, id: u64) -> Vec<Ending> {
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = devices.get(device).map(Vec::as_slice).unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry.id < id)
            .map(|entry| Ending { kill: Arc::clone(&entry.kill), gone: entry.gone.clone() })
            .collect()
    }

    /// Ends every connection that does not stand yet; nobody there would understand a goodbye.
    pub(super) fn cut_unestablished(&self) {
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices
            .values()
            .flatten()
            .filter(|entry| !entry.established)
            .for_each(|entry| entry.kill.notify_one());
    }

    /// How many devices have a connection.
    pub(super) fn connected(&self) -> usize {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Hands over what a device said.
    pub(super) fn deliver(&self, device: &DeviceId, incoming: Incoming) {
        Counters::count(&self.counters.delivered);
        self.inbox.deliver(device.clone(), incoming);
    }
}

impl Registration {
    /// Whether the device is still that of the organization in its certificate.
    pub(super) fn is_theirs(&self) -> bool {
        self.registry.owners.is_owner(self.organization, &self.device)
    }

    /// The connection stands: MQTT has accepted it.
    pub(super) fn established(&self) {
        let mut devices = self.registry.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = devices.get_mut(&self.device).map(Vec::as_mut_slice).unwrap_or_default();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.id == self.id) {
            entry.established = true;
        }
        Counters::count(&self.registry.counters.connects);
        // Told under the lock, so that the inbox hears of a device's connections in the order they happened.
        self.registry.inbox.deliver(self.device.clone(), Incoming::Connected);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut devices = self.registry.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entries) = devices.get_mut(&self.device) else { return };
        let was_established = entries.iter().any(|entry| entry.id == self.id && entry.established);
        entries.retain(|entry| entry.id != self.id);
        let others_stand = entries.iter().any(|entry| entry.established);
        if entries.is_empty() {
            devices.remove(&self.device);
        }
        if was_established && !others_stand {
            self.registry.inbox.deliver(self.device.clone(), Incoming::Disconnected);
        }
    }
}

impl Ending {
    /// Waits until the connection is gone, and makes it go after `patience`.
    pub(super) async fn insist(mut self, patience: std::time::Duration) {
        // `changed` fails when the sender is gone, which is the connection's end.
        if tokio::time::timeout(patience, self.gone.changed()).await.is_err() {
            self.kill.notify_one();
            let _ = self.gone.changed().await;
        }
    }
}

/// What happened since the start.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) turned_away: AtomicU64,
    pub(super) handshakes_failed: AtomicU64,
    pub(super) connects: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) malformed: AtomicU64,
}

impl Counters {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn values(&self, devices: usize) -> CounterValues {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CounterValues {
            devices,
            accepted: value(&self.accepted),
            turned_away: value(&self.turned_away),
            handshakes_failed: value(&self.handshakes_failed),
            connects: value(&self.connects),
            refused: value(&self.refused),
            delivered: value(&self.delivered),
            malformed: value(&self.malformed),
        }
    }
}

/// The broker's counters at one instant; all but `devices` only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterValues {
    /// Devices with a connection now.
    pub devices: usize,
    /// Sockets accepted.
    pub accepted: u64,
    /// Sockets closed at once because a limit was reached.
    pub turned_away: u64,
    /// TLS handshakes that failed or took too long.
    pub handshakes_failed: u64,
    /// MQTT connections that came to stand.
    pub connects: u64,
    /// CONNECT, SUBSCRIBE or PUBLISH refused by the access rule.
    pub refused: u64,
    /// Reports and requests handed to the daemon.
    pub delivered: u64,
    /// Messages dropped because they could not be understood or were too large.
    pub malformed: u64,
}
