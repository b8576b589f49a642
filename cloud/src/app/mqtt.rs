//! Starts the way to devices that the configuration chose.

use super::StartError;
use crate::config::{EmbeddedMqtt, ExternalMqtt, Mqtt};
use crate::http::BrokerAddress;
use crate::mqtt::external::{ExternalBroker, ExternalConfig, LinkStatus};
use crate::ports::{Broker, Inbox, Owners};
use crate::reconcile::Reconciler;
use coterm_certs::{Identity, Pki, read_bounded_file};
use coterm_shared::time::Seconds;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

#[cfg(feature = "embedded-broker")]
use crate::broker::embedded::{EmbeddedBroker, EmbeddedConfig};

/// The way to devices, started.
pub(super) struct Started {
    pub(super) broker: Arc<dyn Broker>,
    /// What devices are told about it.
    pub(super) address: BrokerAddress,
    /// Whether it keeps tokens for devices that connect later.
    pub(super) retained: bool,
    /// How the connection to an external broker is.
    pub(super) status: Option<watch::Receiver<LinkStatus>>,
    /// The external broker itself, to which a renewed certificate is to be shown, and which files it is in.
    pub(super) external: Option<(Arc<ExternalBroker>, ExternalMqtt)>,
    /// The embedded broker itself, whose certificate has to be renewed.
    #[cfg(feature = "embedded-broker")]
    pub(super) embedded: Option<(Arc<EmbeddedBroker>, Vec<String>)>,
}

impl Started {
    /// What reads the counters of the broker, if it is in this process, and the connections that stand.
    pub(super) fn counters(&self) -> Box<dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync> {
        #[cfg(feature = "embedded-broker")]
        if let Some((broker, _)) = &self.embedded {
            let broker = Arc::clone(broker);
            return Box::new(move || {
                let values = broker.counters();
                vec![
                    ("coterm_broker_connections", values.devices as u64),
                    ("coterm_broker_sockets_accepted", values.accepted),
                    ("coterm_broker_sockets_turned_away", values.turned_away),
                    ("coterm_broker_handshakes_failed", values.handshakes_failed),
                    ("coterm_broker_connects", values.connects),
                    ("coterm_broker_refused", values.refused),
                    ("coterm_broker_delivered", values.delivered),
                    ("coterm_broker_malformed", values.malformed),
                ]
            });
        }
        Box::new(Vec::new)
    }
}

/// Whenever an external broker is back: what it retained may be gone, and devices that are away have it from nobody else.
pub(super) async fn follow_returns(
    mut link: watch::Receiver<LinkStatus>,
    reconciler: Arc<Reconciler>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            changed = link.changed() => match changed {
                Ok(()) if *link.borrow_and_update() == LinkStatus::Up => reconciler.sweep(),
                Ok(()) => {}
                Err(_) => return,
            },
        }
    }
}

pub(super) async fn start(
    config: &Mqtt,
    deadline: Seconds,
    pki: &Pki,
    inbox: Arc<dyn Inbox>,
    owners: Arc<dyn Owners>,
    time: Arc<dyn TimeProvider>,
) -> Result<Started, StartError> {
    match config {
        Mqtt::Embedded(config) => start_embedded(config, pki, inbox, owners, time).await,
        Mqtt::External(config) => start_external(config, deadline, inbox, time),
    }
}

#[cfg(feature = "embedded-broker")]
async fn start_embedded(
    config: &EmbeddedMqtt,
    pki: &Pki,
    inbox: Arc<dyn Inbox>,
    owners: Arc<dyn Owners>,
    time: Arc<dyn TimeProvider>,
) -> Result<Started, StartError> {
    let identity = pki.server_identity(&config.server_names)?;
    let settings = EmbeddedConfig {
        listen: config.listen,
        max_devices: to_usize(config.max_connections),
        max_connections_per_address: to_usize(config.max_connections_per_address),
        handshake_timeout: Duration::from_secs(config.handshake_timeout.0),
        time,
        allow_tls12: config.allow_tls12,
        ..EmbeddedConfig::default()
    };
    let revoked = pki.revoked()?;
    let broker = EmbeddedBroker::start(
        settings,
        &identity,
        std::slice::from_ref(pki.ca_certificate()),
        revoked,
        inbox,
        owners,
    )
    .await?;
    let broker = Arc::new(broker);
    let name = config.server_names.first().cloned().unwrap_or_default();
    let port = broker.local_addr().map_or(config.listen.port(), |address| address.port());
    let address = BrokerAddress { host: name.clone(), port, server_name: name, ca_pem: pki.ca_pem()? };
    let embedded = Some((Arc::clone(&broker), config.server_names.clone()));
    Ok(Started { broker, address, retained: false, status: None, external: None, embedded })
}

#[cfg(not(feature = "embedded-broker"))]
async fn start_embedded(
    _: &EmbeddedMqtt,
    _: &Pki,
    _: Arc<dyn Inbox>,
    _: Arc<dyn Owners>,
    _: Arc<dyn TimeProvider>,
) -> Result<Started, StartError> {
    Err(StartError::NoEmbeddedBroker)
}

fn start_external(
    config: &ExternalMqtt,
    deadline: Seconds,
    inbox: Arc<dyn Inbox>,
    time: Arc<dyn TimeProvider>,
) -> Result<Started, StartError> {
    let identity = Identity::load(&config.certificate_file, &config.key_file)?;
    let (authorities, ca_pem) = authorities(config)?;
    let settings = ExternalConfig {
        publish_timeout: Duration::from_secs(deadline.0),
        time,
        ..ExternalConfig::new(config.host.clone(), config.port)
    };
    let broker = Arc::new(ExternalBroker::start(settings, &identity, &authorities, inbox)?);
    let status = Some(broker.status());
    let server_name = config.host.clone();
    let address = BrokerAddress { host: config.host.clone(), port: config.port, server_name, ca_pem };
    let external = Some((Arc::clone(&broker), config.clone()));
    Ok(Started {
        broker,
        address,
        retained: true,
        status,
        external,
        #[cfg(feature = "embedded-broker")]
        embedded: None,
    })
}

/// Reads our certificate for the external broker anew, and its authorities, for the next connection.
///
/// # Errors
/// A file cannot be read or used; what was read before stays.
pub(super) fn reload_external(broker: &ExternalBroker, config: &ExternalMqtt) -> Result<(), StartError> {
    let identity = Identity::load(&config.certificate_file, &config.key_file)?;
    let (authorities, _) = authorities(config)?;
    Ok(broker.reload(&identity, &authorities)?)
}

/// When our client certificate for the external broker ends, if it can be read.
pub(super) fn external_certificate_ends(config: &ExternalMqtt) -> Option<coterm_shared::time::Timestamp> {
    Some(Identity::load(&config.certificate_file, &config.key_file).ok()?.ends_at())
}

/// The external broker's authorities, and the file they are in.
pub(crate) fn authorities(
    config: &ExternalMqtt,
) -> Result<(Vec<CertificateDer<'static>>, String), StartError> {
    let pem = read_bounded_file(&config.ca_file)?;
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let text = String::from_utf8(pem);
    match (parsed, text) {
        (Ok(authorities), Ok(text)) if !authorities.is_empty() => Ok((authorities, text)),
        (_, _) => Err(StartError::NoAuthority { path: config.ca_file.clone() }),
    }
}

#[cfg(feature = "embedded-broker")]
fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
