//! A broker elsewhere: the daemon as one of its clients.
//!
//! **Problem.** The client library forgets queued messages when the broker lost the session, can spin after an error, and
//! reconnects at once. **Method.** A client and its event loop live for one connection only: after every error both are
//! thrown away, everything not yet acknowledged fails, and a new pair is made after a pause with full jitter. Nothing
//! counts as sent before its PUBACK, and every publish has a deadline. The broker keeps our session, so reports that
//! arrive while the daemon restarts are not lost. **Deliberately absent:** a queue for messages that cannot go out; the
//! reconciler compares again when the device reports. The broker's certificate is judged at the time the caller trusts, and
//! a renewed one of ours is shown from the next connection on.

mod link;
mod run;

use super::{Offences, check_outgoing};
use crate::ports::{BoxFuture, Broker, Inbox, Outgoing, PublishError};
use coterm_certs::Identity;
use coterm_shared::id::DeviceId;
use link::Link;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls_pki_types::CertificateDer;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// How to reach an external broker.
#[derive(Clone, Debug)]
pub struct ExternalConfig {
    /// Its DNS name or address, which its certificate must carry.
    pub host: String,
    /// Its port for MQTT over TLS, usually 8883.
    pub port: u16,
    /// Whether several daemons divide the reports among themselves by a shared subscription (`$share/cloud/...`). A
    /// lone daemon should leave it off where the broker cannot forbid shared subscriptions to devices.
    pub shared: bool,
    /// How long a publish may wait for its acknowledgement.
    pub publish_timeout: Duration,
    /// How often the connection is probed while idle.
    pub keep_alive: Duration,
    /// The longest pause between two attempts to connect.
    pub max_backoff: Duration,
    /// The time at which the broker's certificate is judged.
    pub time: Arc<dyn TimeProvider>,
}

impl ExternalConfig {
    /// The usual settings for a broker at this address; time is that of this machine.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> ExternalConfig {
        ExternalConfig {
            host: host.into(),
            port,
            shared: false,
            publish_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(30),
            max_backoff: Duration::from_secs(30),
            time: Arc::new(DefaultTimeProvider),
        }
    }
}

/// Why the client of an external broker could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    /// The certificates cannot be used.
    #[error("the certificates for the external broker cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// How the connection to the external broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkStatus {
    /// It stands and the broker granted the subscriptions.
    Up,
    /// It does not stand; the last attempt said this.
    Down {
        /// What the last attempt said.
        reason: String,
    },
}

/// The daemon as a client of an external broker.
pub struct ExternalBroker {
    link: Arc<Link>,
    shown: Arc<RwLock<Shown>>,
    time: Arc<dyn TimeProvider>,
    publish_timeout: Duration,
    status: watch::Receiver<LinkStatus>,
    stop: watch::Sender<bool>,
}

impl ExternalBroker {
    /// Starts connecting, and goes on by itself until [`Broker::stop`]. The client id is the certificate's common name; the
    /// broker's certificate is judged at the configured time.
    ///
    /// # Errors
    /// [`ExternalError`] when the certificates cannot be used; an unreachable broker is no error but a [`LinkStatus`].
    pub fn start(
        config: ExternalConfig,
        identity: &Identity,
        server_authorities: &[CertificateDer<'static>],
        inbox: Arc<dyn Inbox>,
    ) -> Result<ExternalBroker, ExternalError> {
        let time = Arc::clone(&config.time);
        let shown = Shown::new(identity, server_authorities, Arc::clone(&time))?;
        let shown = Arc::new(RwLock::new(shown));
        let link = Arc::new(Link::new());
        let (status_set, status) =
            watch::channel(LinkStatus::Down { reason: "connecting for the first time".to_owned() });
        let (stop, stop_seen) = watch::channel(false);
        let publish_timeout = config.publish_timeout;
        let runner = run::Runner {
            config,
            shown: Arc::clone(&shown),
            link: Arc::clone(&link),
            inbox,
            status: status_set,
            stop: stop_seen,
            offences: Offences::default(),
        };
        tokio::spawn(runner.run());
        Ok(ExternalBroker { link, shown, time, publish_timeout, status, stop })
    }

    /// Shows this identity from the next connection on, and trusts these authorities; the connection that stands stays.
    ///
    /// # Errors
    /// [`ExternalError`] when they cannot be used; the old ones stay.
    pub fn reload(
        &self,
        identity: &Identity,
        server_authorities: &[CertificateDer<'static>],
    ) -> Result<(), ExternalError> {
        let shown = Shown::new(identity, server_authorities, Arc::clone(&self.time))?;
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = shown;
        Ok(())
    }

    /// How the connection is now; `changed` on the receiver tells when it changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<LinkStatus> {
        self.status.clone()
    }
}

/// As whom the daemon connects, and whom it trusts.
#[derive(Clone)]
struct Shown {
    client_id: String,
    tls: Arc<rustls::ClientConfig>,
}

impl Shown {
    fn new(
        identity: &Identity,
        server_authorities: &[CertificateDer<'static>],
        time: Arc<dyn TimeProvider>,
    ) -> Result<Shown, rustls::Error> {
        let client_id = identity.facts().common_name.clone();
        Ok(Shown { client_id, tls: client_config(identity, server_authorities, time)? })
    }
}

/// Mutual TLS 1.3 as a client.
fn client_config(
    identity: &Identity,
    server_authorities: &[CertificateDer<'static>],
    time: Arc<dyn TimeProvider>,
) -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    for authority in server_authorities {
        roots.add(authority.clone())?;
    }
    // The provider is named: whatever another library installs as the default must not matter.
    let mut config = rustls::ClientConfig::builder_with_details(Arc::new(ring::default_provider()), time)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(identity.chain().to_vec(), identity.key())?;
    // Every connection verifies the broker's certificate, its end included.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

impl Broker for ExternalBroker {
    fn publish(&self, message: Outgoing) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(async move {
            check_outgoing(&message)?;
            if *self.stop.borrow() {
                return Err(PublishError::Stopping);
            }
            let late = PublishError::Timeout { secs: self.publish_timeout.as_secs() };
            timeout(self.publish_timeout, self.link.publish(message)).await.unwrap_or(Err(late))
        })
    }

    fn kick(&self, _device: &DeviceId) -> BoxFuture<'_, ()> {
        // MQTT gives a client no way to do this; the broker's own revocation list is the way.
        Box::pin(std::future::ready(()))
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.stop.send_replace(true);
            let mut status = self.status.clone();
            // The runner drops its end when it is done.
            while status.changed().await.is_ok() {}
        })
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        None
    }
}
