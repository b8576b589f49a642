//! What broker, network and TLS cost without Coterm: the same broker library on the same machine, with devices that only
//! acknowledge, and TLS handshakes of the same kind with nothing behind them.

use coterm_certs::{Identity, Pki};
use coterm_cloud::broker::embedded::{EmbeddedBroker, EmbeddedConfig};
use coterm_cloud::conformance::client::{Login, Mqtt, Place};
use coterm_cloud::ports::{Broker, Inbox, Incoming, Outgoing, Owners};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::protocol::Topic;
use coterm_tests::operator::time;
use rustls::ServerConfig;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// As long as a token with two findings.
const MESSAGE: usize = 336;
const OURS: OrganizationId = OrganizationId::from_bytes([1; 16]);

struct Nobody;

impl Inbox for Nobody {
    fn deliver(&self, _: DeviceId, _: Incoming) {}
}

impl Owners for Nobody {
    fn is_owner(&self, _: OrganizationId, _: &DeviceId) -> bool {
        true
    }
}

/// An authority, and a certificate for each device.
pub(crate) struct Floor {
    identity: Identity,
    pki: Pki,
    devices: Vec<(DeviceId, Arc<rustls::ClientConfig>)>,
    _dir: TempDir,
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

impl Floor {
    pub(crate) fn new(devices: usize) -> Floor {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open_or_create(dir.path(), time).unwrap();
        let identity = pki.server_identity(&["localhost".to_owned()]).unwrap();
        let place = Place::new("localhost", 0, std::slice::from_ref(pki.ca_certificate())).unwrap();
        let devices = (0..devices)
            .map(|n| {
                let device: DeviceId = format!("floor-{n}").parse().unwrap();
                let made = pki.device_certificate(&device, OURS).unwrap();
                (device, place.tls_of(&made).unwrap())
            })
            .collect();
        Floor { identity, pki, devices, _dir: dir }
    }

    /// Publishes one message to each device, all connected over TLS; after how many milliseconds each had it.
    pub(crate) async fn published(&self, rounds: usize) -> Vec<Vec<f64>> {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (max_devices, per_address) = (self.devices.len() + 1, u32::MAX as usize);
        let config = EmbeddedConfig {
            listen,
            max_devices,
            max_connections_per_address: per_address,
            ..Default::default()
        };
        let authorities = std::slice::from_ref(self.pki.ca_certificate());
        let (inbox, owners) = (Arc::new(Nobody), Arc::new(Nobody));
        let broker =
            EmbeddedBroker::start(config, &self.identity, authorities, Default::default(), inbox, owners);
        let broker = Arc::new(broker.await.unwrap());
        let place = Place::new("localhost", broker.local_addr().unwrap().port(), authorities).unwrap();
        let mut connected: Vec<(Topic, Mqtt)> = Vec::new();
        for (device, tls) in &self.devices {
            let login = Login {
                client_id: device.to_string(),
                user: None,
                will: None,
                clean_start: true,
                tls: Arc::clone(tls),
                place: place.clone(),
            };
            let mut mqtt = login.connect().await.unwrap();
            let topic = Topic::Token(device.clone());
            mqtt.subscribe(&topic.to_string()).await.unwrap();
            connected.push((topic, mqtt));
        }
        let mut all = Vec::new();
        for _ in 0..rounds {
            let topics: Vec<Topic> = connected.iter().map(|(topic, _)| topic.clone()).collect();
            let start = Instant::now();
            let mut waiting = JoinSet::new();
            for (topic, mut mqtt) in connected {
                waiting.spawn(async move {
                    mqtt.message().await.unwrap();
                    let took = milliseconds(start);
                    // The acknowledgement is flushed with the next poll; the round does not wait for it.
                    (took, topic, mqtt)
                });
            }
            let payload: Arc<[u8]> = Arc::from(vec![7; MESSAGE]);
            for topic in topics {
                broker
                    .publish(Outgoing { topic, payload: Arc::clone(&payload), retain: false })
                    .await
                    .unwrap();
            }
            let done = waiting.join_all().await;
            let mut round: Vec<f64> = done.iter().map(|(took, _, _)| *took).collect();
            round.sort_unstable_by(f64::total_cmp);
            all.push(round);
            connected = done.into_iter().map(|(_, topic, mqtt)| (topic, mqtt)).collect();
        }
        broker.stop().await;
        all
    }

    /// All devices shake hands at once, both sides showing certificates; how many that are in a second.
    pub(crate) async fn handshakes_per_second(&self) -> f64 {
        let mut authorities = rustls::RootCertStore::empty();
        authorities.add(self.pki.ca_certificate().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(authorities),
            Arc::clone(&provider),
        );
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(self.identity.chain().to_vec(), self.identity.key())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move { acceptor.accept(socket).await.map(drop) });
            }
        });
        let start = Instant::now();
        let mut shaking = JoinSet::new();
        for (_, tls) in &self.devices {
            let connector = TlsConnector::from(Arc::clone(tls));
            shaking.spawn(async move {
                let socket = TcpStream::connect(address).await.unwrap();
                drop(connector.connect("localhost".try_into().unwrap(), socket).await.unwrap());
            });
        }
        shaking.join_all().await;
        let rate = self.devices.len() as f64 / start.elapsed().as_secs_f64();
        accepting.abort();
        rate
    }
}
