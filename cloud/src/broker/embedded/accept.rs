//! The accept loop: sockets become devices here, each in a task of its own.
//!
//! **Problem.** Thousands of devices reconnect at once, and some peers connect and say nothing. **Method.** The loop does
//! nothing but accept, count and spawn. The task does the handshake under a deadline, reads the device from its
//! certificate, and only then hands the stream to the broker library. A connection can always be ended from outside:
//! its task is dropped when asking did not help.

use super::connection::Connection;
use super::engine::Engine;
use super::gate::{Gate, Place};
use super::registry::{Counters, NotAdmitted, Registry};
use super::tls::{ServerCertificate, TlsError, server_config};
use super::{EmbeddedConfig, STOP_TIMEOUT};
use crate::ports::{Inbox, Owners};
use coterm_certs::{CertificateFacts, Identity, Revoked};
use coterm_shared::id::{DeviceId, OrganizationId};
use rustls_pki_types::CertificateDer;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a connection may take to end by itself.
pub(super) const END_PATIENCE: Duration = Duration::from_secs(1);
/// How long sent bytes may stay unacknowledged before the system gives the connection up, in milliseconds.
const UNACKNOWLEDGED_MS: u32 = 60_000;
/// How long to wait when the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often ended sessions are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Why the embedded broker could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen for devices on {address}: {source}; choose another address or stop what uses it")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system gives no threads.
    #[error("no threads can be started for devices' connections: {0}; raise the limit of processes")]
    Threads(io::Error),
}

/// What every connection's task shares.
pub(super) struct Shared {
    config: EmbeddedConfig,
    acceptor: TlsAcceptor,
    handshakes: Handle,
    gate: Arc<Gate>,
    pub(super) server_certificate: Arc<ServerCertificate>,
    pub(super) registry: Arc<Registry>,
    pub(super) engine: Engine,
}

impl Shared {
    pub(super) fn new(
        config: EmbeddedConfig,
        identity: &Identity,
        client_authorities: &[CertificateDer<'static>],
        revoked: Revoked,
        inbox: Arc<dyn Inbox>,
        owners: Arc<dyn Owners>,
        handshakes: Handle,
    ) -> Result<Shared, StartError> {
        let (tls, server_certificate) =
            server_config(identity, client_authorities, Arc::clone(&config.time), config.allow_tls12)?;
        Ok(Shared {
            acceptor: TlsAcceptor::from(tls),
            handshakes,
            gate: Gate::new(config.max_devices, config.max_pending, config.max_connections_per_address),
            server_certificate,
            registry: Arc::new(Registry::new(config.max_devices, revoked, inbox, owners)),
            engine: Engine::new(&config),
            config,
        })
    }

    /// Ends connections made for an earlier owner of this device, at once: what comes next is not for them.
    pub(super) async fn end_disowned(&self, device: &DeviceId) {
        let mut insisting = JoinSet::new();
        for ending in self.registry.disowned(device) {
            tracing::warn!(code = "BROKER_OWNER_CHANGED", %device, "a connection of the device's earlier owner is ended");
            insisting.spawn(ending.insist(Duration::ZERO));
        }
        while insisting.join_next().await.is_some() {}
    }

    /// Ends the connections of these devices: asks all first, then insists with all at once.
    pub(super) async fn end(&self, devices: &[DeviceId]) {
        let mut insisting = JoinSet::new();
        for device in devices {
            self.engine.disconnect(device).await;
            for ending in self.registry.endings(device) {
                insisting.spawn(ending.insist(END_PATIENCE));
            }
        }
        while insisting.join_next().await.is_some() {}
    }
}

/// Starts listening, with all connections on `threads`, and returns the address. `stopped` becomes true when the last connection is gone.
pub(super) async fn listen(
    shared: Arc<Shared>,
    threads: Handle,
    stop: watch::Receiver<bool>,
    stopped: watch::Sender<bool>,
) -> Result<SocketAddr, StartError> {
    let wanted = shared.config.listen;
    let failed = |source| StartError::Listen { address: wanted, source };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    threads.spawn(async move {
        accept_until(listener, shared, stop).await;
        stopped.send_replace(true);
    });
    Ok(address)
}

async fn accept_until(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut sweep = interval(SWEEP_INTERVAL);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => admit(&shared, &mut connections, socket, peer, stop.clone()),
                Err(error) => {
                    tracing::warn!(code = "BROKER_ACCEPT", %error, "cannot accept a device's connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = sweep.tick() => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move { shared.engine.sweep().await });
            }
            () = asked_to_stop(&mut stop) => break,
        }
    }
    drop(listener);
    shared.engine.shut_down();
    shared.registry.cut_unestablished();
    let goodbye = async { while connections.join_next().await.is_some() {} };
    if timeout(STOP_TIMEOUT, goodbye).await.is_err() {
        connections.shutdown().await;
    }
}

async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error means that the broker itself was dropped, which is the same wish.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn admit(
    shared: &Arc<Shared>,
    connections: &mut JoinSet<()>,
    socket: TcpStream,
    peer: SocketAddr,
    mut stop: watch::Receiver<bool>,
) {
    let counters = &shared.registry.counters;
    Counters::count(&counters.accepted);
    let Some(place) = shared.gate.enter(peer.ip()) else {
        Counters::count(&counters.turned_away);
        tracing::debug!(code = "BROKER_FULL", %peer, "a connection was turned away: too many are open");
        return;
    };
    let shared = Arc::clone(shared);
    connections.spawn(async move {
        // On threads of their own; a set ends what is in it when it is dropped.
        let mut handshakes = JoinSet::new();
        handshakes.spawn_on(shake_hands(Arc::clone(&shared), socket), &shared.handshakes);
        let handshake = tokio::select! {
            handshake = handshakes.join_next() => match handshake {
                Some(Ok(handshake)) => handshake,
                Some(Err(_)) | None => Err("the handshake crashed".to_owned()),
            },
            () = asked_to_stop(&mut stop) => return,
        };
        let ended = match handshake {
            Ok(stream) => converse(&shared, stream, peer, place).await,
            Err(reason) => {
                Counters::count(&shared.registry.counters.handshakes_failed);
                Err(reason)
            }
        };
        if let Err(reason) = ended {
            tracing::debug!(code = "BROKER_CONNECTION", %peer, reason, "a connection ended");
        }
    });
}

async fn shake_hands(shared: Arc<Shared>, socket: TcpStream) -> Result<TlsStream<TcpStream>, String> {
    tune(&socket).map_err(|error| error.to_string())?;
    match timeout(shared.config.handshake_timeout, shared.acceptor.accept(socket)).await {
        Ok(Ok(stream)) => {
            // A client without TCP_NODELAY holds its CONNECT back until the end of its handshake is acknowledged, which
            // the system would put off for 40 ms; this acknowledges at once.
            let socket = stream.get_ref().0;
            rustix::net::sockopt::set_tcp_quickack(socket, true).map_err(|error| error.to_string())?;
            Ok(stream)
        }
        Ok(Err(error)) => Err(format!("TLS handshake: {error}")),
        Err(_) => Err("TLS handshake took too long".to_owned()),
    }
}

/// The life of a connection after its handshake.
async fn converse(
    shared: &Arc<Shared>,
    stream: TlsStream<TcpStream>,
    peer: SocketAddr,
    place: Place,
) -> Result<(), String> {
    let (facts, device, organization) = identify(&stream)?;
    let registration = shared.registry.admit(&device, organization, &facts.serial).map_err(|not_admitted| {
        Counters::count(&shared.registry.counters.refused);
        let reason = match not_admitted {
            NotAdmitted::Revoked => "its certificate is revoked",
            NotAdmitted::NotTheirs => {
                "the organization in its certificate neither claims it nor was the last to: provision it for its owner"
            }
            NotAdmitted::Full => {
                "too many devices for an embedded broker: raise its limit or use an external broker"
            }
        };
        tracing::warn!(code = "BROKER_NOT_ADMITTED", %device, serial = %facts.serial, %peer, reason, "a device was refused");
        reason.to_owned()
    })?;
    let kill = Arc::clone(&registration.kill);
    let connection = Arc::new(Connection::new(registration, place, Arc::clone(&shared.registry), peer));
    tokio::select! {
        ended = shared.engine.serve(stream, peer, connection) => ended.map_err(|error| error.to_string()),
        () = kill.notified() => Err("ended by the cloud".to_owned()),
    }
}

/// Small messages at once; a peer that vanished is noticed even while nothing is sent.
fn tune(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_keepalive(socket, true)?;
    rustix::net::sockopt::set_tcp_user_timeout(socket, UNACKNOWLEDGED_MS)?;
    Ok(())
}

/// The device behind a verified certificate, and the organization it was made for.
fn identify(stream: &TlsStream<TcpStream>) -> Result<(CertificateFacts, DeviceId, OrganizationId), String> {
    let (_, session) = stream.get_ref();
    let leaf = session
        .peer_certificates()
        .and_then(<[CertificateDer<'_>]>::first)
        .ok_or("the peer showed no certificate")?;
    let facts = CertificateFacts::from_der(leaf).map_err(|error| error.to_string())?;
    let device = facts.common_name.parse().map_err(|error| format!("common name: {error}"))?;
    let organization = facts.organization.ok_or(
        "the certificate does not name the organization it was made for: provision the device again",
    )?;
    Ok((facts, device, organization))
}
