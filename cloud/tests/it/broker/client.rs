//! A device as an adversary sees it: a raw MQTT 5 client that says exactly what it is told.

use coterm_certs::DeviceCertificate;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, LastWill, Packet, PubAckReason, Publish, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Long enough for a busy machine; tests that pass never wait for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}"))
}

pub(super) fn tls(
    authority: &CertificateDer<'static>,
    certificate: Option<&DeviceCertificate>,
) -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.clone()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match certificate {
        Some(certificate) => {
            let leaf = CertificateDer::from_pem_slice(certificate.certificate_pem.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![leaf], key).unwrap()
        }
        None => builder.with_no_client_auth(),
    })
}

/// What a client says at CONNECT.
pub(super) struct Login {
    pub(super) client_id: String,
    pub(super) user: Option<String>,
    pub(super) will: Option<LastWill>,
    pub(super) clean_start: bool,
    pub(super) tls: Arc<rustls::ClientConfig>,
    pub(super) port: u16,
}

/// A connected client. It never reconnects.
pub(super) struct Mqtt {
    client: AsyncClient,
    event_loop: EventLoop,
    received: VecDeque<Publish>,
    pub(super) connack: ConnAck,
}

impl Login {
    pub(super) async fn connect(&self) -> Result<Mqtt, String> {
        let mut options = MqttOptions::new(&self.client_id, "localhost", self.port);
        options
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(&self.tls))))
            .set_clean_start(self.clean_start)
            .set_session_expiry_interval(Some(600))
            .set_connection_timeout(PATIENCE.as_secs())
            // As agents do.
            .set_max_packet_size(Some(32 * 1024))
            .set_outgoing_inflight_upper_limit(10);
        if let Some(user) = &self.user {
            options.set_credentials(user, "");
        }
        if let Some(will) = &self.will {
            options.set_last_will(will.clone());
        }
        let (client, mut event_loop) = AsyncClient::new(options, 10);
        loop {
            match event_loop.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(connack))) => {
                    return Ok(Mqtt { client, event_loop, received: VecDeque::new(), connack });
                }
                Ok(_) => {}
                Err(error) => return Err(format!("{error:?}")),
            }
        }
    }
}

impl Mqtt {
    /// The next packet that is not a message; messages are kept for [`Mqtt::message`].
    async fn answer(&mut self) -> Result<Packet, String> {
        loop {
            match self.event_loop.poll().await {
                Ok(Event::Incoming(Packet::Publish(publish))) => self.received.push_back(publish),
                Ok(Event::Incoming(packet)) => return Ok(packet),
                Ok(Event::Outgoing(_)) => {}
                Err(error) => return Err(format!("{error:?}")),
            }
        }
    }

    /// Subscribes; the broker's reason code, or the error with which it ended the connection.
    pub(super) async fn subscribe(&mut self, filter: &str) -> Result<SubscribeReasonCode, String> {
        self.subscribe_at(filter, QoS::AtLeastOnce).await
    }

    pub(super) async fn subscribe_at(
        &mut self,
        filter: &str,
        qos: QoS,
    ) -> Result<SubscribeReasonCode, String> {
        self.client.try_subscribe(filter, qos).map_err(|error| error.to_string())?;
        within("SUBACK", async {
            loop {
                if let Packet::SubAck(ack) = self.answer().await? {
                    return Ok(*ack.return_codes.first().expect("a code per filter"));
                }
            }
        })
        .await
    }

    /// Publishes; the broker's reason code, or the error with which it ended the connection.
    pub(super) async fn publish(&mut self, topic: &str, payload: &[u8]) -> Result<PubAckReason, String> {
        self.client
            .try_publish(topic, QoS::AtLeastOnce, false, payload.to_vec())
            .map_err(|error| error.to_string())?;
        within("PUBACK", async {
            loop {
                if let Packet::PubAck(ack) = self.answer().await? {
                    return Ok(ack.reason);
                }
            }
        })
        .await
    }

    /// The next message, with its topic.
    pub(super) async fn message(&mut self) -> (String, Publish) {
        within("message", async {
            while self.received.is_empty() {
                match self.event_loop.poll().await.expect("connected") {
                    Event::Incoming(Packet::Publish(publish)) => self.received.push_back(publish),
                    Event::Incoming(_) | Event::Outgoing(_) => {}
                }
            }
        })
        .await;
        let publish = self.received.pop_front().expect("one came");
        (String::from_utf8_lossy(&publish.topic).into_owned(), publish)
    }

    /// Waits until the connection is over; the error that ended it.
    pub(super) async fn end(&mut self) -> String {
        within("end of the connection", async {
            loop {
                if let Err(error) = self.event_loop.poll().await {
                    return format!("{error:?}");
                }
            }
        })
        .await
    }

    /// Whether messages came that nobody asked for; a ping's round trip makes sure that they had time to.
    pub(super) async fn received_nothing_more(&mut self, own_report: &str) -> bool {
        // The broker answers in order: after this acknowledgement, everything sent before it has arrived.
        let _ = self.publish(own_report, b"{}").await;
        self.received.is_empty()
    }
}
