//! The socket: who may connect, how long they may take, and how much they may say.
//!
//! **Method.** Everything is bounded before anything is believed: connections in all and from one address, the time of
//! the handshake, of every question and of the whole connection, the length of a question, and how many there may be.

use super::desk::{Desk, Peer};
use super::tls::Tls;
use coterm_certs::{CertificateFacts, Pki, PkiError};
use coterm_shared::time::Seconds;
use coterm_shared::token::{MAX_REQUEST_BYTES, Request};
use rustls::time_provider::TimeProvider;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// For TLS handshake and each question.
const PATIENCE: Duration = Duration::from_secs(10);
/// For a whole connection.
const CONNECTION: Duration = Duration::from_secs(30);
/// Questions on one connection: a hello, and one that matters.
const MAX_QUESTIONS: usize = 4;
/// Connections from one address.
const MAX_PER_ADDRESS: usize = 16;
/// How often the certificate is looked at.
const LOOK: Duration = Duration::from_secs(600);
/// When the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How the listener listens.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where.
    pub listen: SocketAddr,
    /// The names in its certificate.
    pub names: Vec<String>,
    /// How long after its end a certificate may still be renewed.
    pub grace: Seconds,
    /// Connections at once.
    pub max_connections: usize,
    /// At what time devices' certificates are judged.
    pub time: Arc<dyn TimeProvider>,
}

/// Why it does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen for enrolment on {address}: {source}; set enrolment.listen to a free address, or stop what uses it"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate cannot be made or used.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// Key and certificate do not work together.
    #[error(
        "the enrolment listener's certificate cannot be used ({0}); remove enrolment.crt and enrolment.key from the pki directory, and start again"
    )]
    Tls(#[from] rustls::Error),
}

/// The running listener.
#[derive(Debug)]
pub struct EnrolmentListener {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for EnrolmentListener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl EnrolmentListener {
    /// Starts listening, until `stop` becomes true.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn start(
        settings: Settings,
        pki: Pki,
        desk: Desk,
        stop: watch::Receiver<bool>,
    ) -> Result<EnrolmentListener, ListenError> {
        let failed = |source| ListenError::Listen { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let tls = RwLock::new(tls(&pki, &settings)?);
        let places = Arc::new(Places { most: settings.max_connections, taken: Mutex::default() });
        let shared = Arc::new(Shared { settings, pki, desk, tls, places });
        let task = tokio::spawn(accept(listener, shared, stop));
        Ok(EnrolmentListener { address, task })
    }
}

struct Shared {
    settings: Settings,
    pki: Pki,
    desk: Desk,
    tls: RwLock<Tls>,
    places: Arc<Places>,
}

fn tls(pki: &Pki, settings: &Settings) -> Result<Tls, ListenError> {
    let identity = pki.enrolment_identity(&settings.names)?;
    Ok(Tls::new(&identity, pki.ca_certificate(), settings.grace, Arc::clone(&settings.time))?)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => {
                    let Some(place) = Places::take(&shared.places, peer.ip().to_canonical()) else {
                        tracing::debug!(code = "ENROLMENT_FULL", %peer, "a connection was turned away: too many are open");
                        continue;
                    };
                    let shared = Arc::clone(&shared);
                    connections.spawn(async move {
                        let served = timeout(CONNECTION, serve(&shared, socket, place.address)).await;
                        let reason = match served {
                            Ok(Ok(())) => return,
                            Ok(Err(reason)) => reason,
                            Err(_) => String::from("it took too long"),
                        };
                        tracing::debug!(code = "ENROLMENT_CONNECTION", %peer, reason, "a connection ended");
                    });
                }
                Err(error) => {
                    tracing::warn!(code = "ENROLMENT_ACCEPT", %error, "cannot accept a device's connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = look.tick() => renew(&shared).await,
            () = asked_to_stop(&mut stop) => break,
        }
    }
    drop(listener);
    // Whoever was answered halfway asks again: nothing is lost.
    connections.shutdown().await;
}

async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error means that the daemon is gone, which is the same wish.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Renews the listener's own certificate when two thirds of its life are over.
async fn renew(shared: &Arc<Shared>) {
    let again = Arc::clone(shared);
    let read = tokio::task::spawn_blocking(move || tls(&again.pki, &again.settings)).await;
    match read {
        Ok(Ok(fresh)) => *shared.tls.write().unwrap_or_else(PoisonError::into_inner) = fresh,
        Ok(Err(error)) => tracing::error!(%error, "the enrolment listener keeps its old certificate"),
        Err(error) => tracing::error!(%error, "the enrolment listener keeps its old certificate"),
    }
}

async fn serve(shared: &Shared, socket: TcpStream, address: IpAddr) -> Result<(), String> {
    socket.set_nodelay(true).map_err(|error| error.to_string())?;
    let Tls { config, server } = shared.tls.read().unwrap_or_else(PoisonError::into_inner).clone();
    let shaken = timeout(PATIENCE, TlsAcceptor::from(config).accept(socket)).await;
    let mut stream = shaken.map_err(|_| "TLS handshake took too long")?.map_err(|error| error.to_string())?;
    let peer = Peer { address, certificate: certificate(&stream)?, server };
    for _ in 0..MAX_QUESTIONS {
        let Some(bytes) = question(&mut stream).await? else { return Ok(()) };
        let request = Request::decode(&bytes).map_err(|error| error.to_string())?;
        let answer = shared.desk.answer(request, &peer).await.map_err(|error| error.to_string())?;
        send(&mut stream, &answer).await?;
    }
    let goodbye = timeout(PATIENCE, stream.shutdown()).await;
    goodbye.map_err(|_| String::from("goodbye took too long"))?.map_err(|error| error.to_string())
}

fn certificate(stream: &TlsStream<TcpStream>) -> Result<Option<CertificateFacts>, String> {
    let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    leaf.map(|leaf| CertificateFacts::from_der(leaf)).transpose().map_err(|error| error.to_string())
}

/// The next question; `None` if there is none.
async fn question(stream: &mut TlsStream<TcpStream>) -> Result<Option<Vec<u8>>, String> {
    let read = async {
        let length = match stream.read_u32().await {
            Ok(length) => usize::try_from(length).unwrap_or(usize::MAX),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        if length > MAX_REQUEST_BYTES {
            return Err(format!("a question of {length} bytes"));
        }
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).await.map_err(|error| error.to_string())?;
        Ok(Some(bytes))
    };
    timeout(PATIENCE, read).await.map_err(|_| String::from("a question took too long"))?
}

async fn send(stream: &mut TlsStream<TcpStream>, answer: &[u8]) -> Result<(), String> {
    let write = async {
        stream.write_u32(u32::try_from(answer.len()).unwrap_or(0)).await?;
        stream.write_all(answer).await?;
        stream.flush().await
    };
    let written = timeout(PATIENCE, write).await;
    written.map_err(|_| String::from("an answer was not taken"))?.map_err(|error| error.to_string())
}

/// Places for connections, in all and by address.
#[derive(Debug)]
struct Places {
    most: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A place taken; it is given back when this is dropped.
struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Places {
    fn take(places: &Arc<Places>, address: IpAddr) -> Option<Place> {
        let mut taken = places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let here = taken.get(&address).copied().unwrap_or(0);
        if here >= MAX_PER_ADDRESS || taken.values().sum::<usize>() >= places.most {
            return None;
        }
        taken.insert(address, here + 1);
        drop(taken);
        Some(Place { places: Arc::clone(places), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let left = taken.get_mut(&self.address).map_or(0, |count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == 0 {
            taken.remove(&self.address);
        }
    }
}
