//! A broker in this process, behind an accept loop of our own.
//!
//! **Problem.** The broker library has a TLS listener, but one silent socket blocks it, it cannot reload a certificate,
//! and it believes whatever client id it is told. **Method.** We listen, do the TLS handshake and know the device before
//! the library sees a byte; the library then speaks MQTT on that one stream, and asks that one device's authoriser about
//! everything. What devices send goes to the [`Inbox`] and is never routed to anybody. The library opens no listener.
//! The daemon publishes in process. Connections live on threads of their own: when thousands of devices come back at once,
//! their handshakes take what cores they get for a while, and an operator's request must not stand in line behind them.
//! **Deliberately absent:** persistence. The books are the truth; tokens are not retained, because a report of what a device
//! holds brings the right one; only the keyring is.

mod accept;
mod connection;
mod engine;
mod gate;
mod registry;
mod threads;
mod tls;

pub use accept::StartError;
pub use registry::{CounterValues, Counters};
pub use tls::TlsError;

use crate::ports::{BoxFuture, Broker, Inbox, Outgoing, Owners, PublishError};
use accept::Shared;
use coterm_certs::{Identity, Revoked};
use coterm_shared::id::DeviceId;
use coterm_shared::protocol::Topic;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls_pki_types::CertificateDer;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use threads::Threads;
use tokio::sync::watch;

/// The most devices an embedded broker serves unless it is told otherwise.
pub const DEFAULT_MAX_DEVICES: usize = 10_000;

/// How the embedded broker listens and what it refuses.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// Where devices connect. Port 0 takes a free one, see [`Broker::local_addr`].
    pub listen: SocketAddr,
    /// The most devices connected at once; more belong to an external broker.
    pub max_devices: usize,
    /// The most connections from one IPv4 address or IPv6 /64, because whole sites share an address.
    pub max_connections_per_address: usize,
    /// The most connections that have not yet finished handshake and CONNECT; one address gets half of them.
    pub max_pending: usize,
    /// How long TLS handshake and CONNECT may take, each.
    pub handshake_timeout: Duration,
    /// The most messages a device may send in a second.
    pub max_messages_per_second: u32,
    /// At what time devices' certificates are judged.
    pub time: Arc<dyn TimeProvider>,
    /// Whether TLS 1.2 is spoken with devices that cannot do better.
    pub allow_tls12: bool,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        EmbeddedConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8883)),
            max_devices: DEFAULT_MAX_DEVICES,
            max_connections_per_address: 5_000,
            max_pending: 8_192,
            handshake_timeout: Duration::from_secs(10),
            max_messages_per_second: 20,
            time: Arc::new(DefaultTimeProvider),
            allow_tls12: false,
        }
    }
}

/// How long [`Broker::stop`] waits for connections to say goodbye.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The embedded broker.
pub struct EmbeddedBroker {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    stopped: watch::Receiver<bool>,
    /// Dropped last, with whatever still runs on them.
    _threads: Threads,
}

impl EmbeddedBroker {
    /// Starts listening. Devices must show a certificate that one of `client_authorities` signed, that is not in
    /// `revoked`, and that was made for the device's owner.
    ///
    /// # Errors
    /// [`StartError`] when the address cannot be listened on, the certificates cannot be used, or no threads can be started.
    pub async fn start(
        config: EmbeddedConfig,
        identity: &Identity,
        client_authorities: &[CertificateDer<'static>],
        revoked: Revoked,
        inbox: Arc<dyn Inbox>,
        owners: Arc<dyn Owners>,
    ) -> Result<EmbeddedBroker, StartError> {
        let (stop, stop_seen) = watch::channel(false);
        let (stopped_set, stopped) = watch::channel(false);
        let threads = Threads::start()?;
        let handshakes = threads.handshakes();
        let shared = Shared::new(config, identity, client_authorities, revoked, inbox, owners, handshakes)?;
        let shared = Arc::new(shared);
        let address =
            accept::listen(Arc::clone(&shared), threads.connections(), stop_seen, stopped_set).await?;
        Ok(EmbeddedBroker { shared, address, stop, stopped, _threads: threads })
    }

    /// Takes another server certificate for connections from now on; those that stand are left alone.
    ///
    /// # Errors
    /// [`TlsError`] when key and certificate do not fit; the old ones stay in use.
    pub fn reload(&self, identity: &Identity) -> Result<(), TlsError> {
        self.shared.server_certificate.replace(identity)
    }

    /// Takes another revocation list and ends the connections of certificates it names.
    pub async fn set_revoked(&self, revoked: Revoked) {
        let hit = self.shared.registry.set_revoked(revoked);
        self.shared.end(&hit).await;
    }

    /// Ends connections of these devices, or of all, that were made for owners they no longer have. A token for a new
    /// owner does the same before it goes out.
    pub async fn end_disowned(&self, devices: Option<&[DeviceId]>) {
        match devices {
            Some(devices) => {
                for device in devices {
                    self.shared.end_disowned(device).await;
                }
            }
            None => {
                for device in self.shared.registry.devices() {
                    self.shared.end_disowned(&device).await;
                }
            }
        }
    }

    /// What happened so far, for metrics.
    #[must_use]
    pub fn counters(&self) -> CounterValues {
        self.shared.registry.counters.values(self.shared.registry.connected())
    }
}

impl Broker for EmbeddedBroker {
    fn publish(&self, message: Outgoing) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(async move {
            if *self.stop.borrow() {
                return Err(PublishError::Stopping);
            }
            if let Topic::Token(device) = &message.topic {
                self.shared.end_disowned(device).await;
            }
            self.shared.engine.publish(message).await
        })
    }

    fn kick(&self, device: &DeviceId) -> BoxFuture<'_, ()> {
        let device = device.clone();
        Box::pin(async move { self.shared.end(&[device]).await })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.stop.send_replace(true);
            let mut stopped = self.stopped.clone();
            // An error means that the accept loop is gone, which is what was asked for.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        })
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        Some(self.address)
    }
}
