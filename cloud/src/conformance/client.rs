//! An MQTT 5 client that says exactly what it is told, as an adversary would, and never reconnects.
//!
//! **Problem.** A client library that heals and hides is of no use where every answer of the broker counts. **Method.** One
//! connection, one question at a time, every wait with an end; what the broker answers is handed out as it is.

use coterm_certs::DeviceCertificate;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, DisconnectReasonCode, LastWill, Packet, PubAckReason, Publish, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, Outgoing, TlsConfiguration, Transport};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How long one answer of the broker may take; whoever passes never waits for it.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How many messages are kept for later; more than any question of the suite brings.
const KEPT_MAX: usize = 4_096;
/// How long the broker keeps a session, in seconds: long enough to come back to it.
const SESSION_EXPIRY_SECS: u32 = 600;
/// The largest packet taken, in bytes; as agents do.
const PACKET_MAX: u32 = 32 * 1024;

/// Waits for something, at most [`PATIENCE`].
///
/// # Errors
/// A sentence that says what did not come.
pub async fn within<T>(what: &str, future: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| Err(format!("no {what} within {} s", PATIENCE.as_secs())))
}

/// Where the broker is, and by what it is known.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its DNS name or address, which its certificate must carry.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The authorities of its certificate.
    pub authorities: Arc<rustls::RootCertStore>,
}

impl Place {
    /// The place of a broker whose certificate one of these authorities signed.
    ///
    /// # Errors
    /// One of them is no certificate of an authority.
    pub fn new(host: &str, port: u16, authorities: &[CertificateDer<'static>]) -> Result<Place, String> {
        let mut roots = rustls::RootCertStore::empty();
        for authority in authorities {
            roots.add(authority.clone()).map_err(|error| error.to_string())?;
        }
        Ok(Place { host: host.to_owned(), port, authorities: Arc::new(roots) })
    }

    /// TLS 1.3 with this certificate, leaf first, or without any.
    ///
    /// # Errors
    /// The key does not fit the certificate.
    pub fn tls(
        &self,
        shown: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> Result<Arc<rustls::ClientConfig>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| error.to_string())?
            .with_root_certificates(Arc::clone(&self.authorities));
        Ok(Arc::new(match shown {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())?
            }
            None => builder.with_no_client_auth(),
        }))
    }

    /// TLS 1.3 with a certificate just made.
    ///
    /// # Errors
    /// As [`Place::tls`].
    pub fn tls_of(&self, made: &DeviceCertificate) -> Result<Arc<rustls::ClientConfig>, String> {
        let leaf = CertificateDer::from_pem_slice(made.certificate_pem.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(made.key_pem.as_bytes());
        match (leaf, key) {
            (Ok(leaf), Ok(key)) => self.tls(Some((vec![leaf], key))),
            (_, _) => Err("the certificate just made cannot be read".to_owned()),
        }
    }
}

/// What a client says at CONNECT.
#[derive(Clone, Debug)]
pub struct Login {
    /// Where.
    pub place: Place,
    /// The client id.
    pub client_id: String,
    /// The user name, if one is given.
    pub user: Option<String>,
    /// A last will: its topic and its payload.
    pub will: Option<(String, Vec<u8>)>,
    /// Whether an earlier session is forgotten.
    pub clean_start: bool,
    /// The certificate shown, and whom to trust.
    pub tls: Arc<rustls::ClientConfig>,
}

/// A connected client.
pub struct Mqtt {
    client: AsyncClient,
    event_loop: EventLoop,
    received: VecDeque<Publish>,
    /// What the broker answered to CONNECT.
    pub connack: ConnAck,
}

impl Login {
    /// Connects.
    ///
    /// # Errors
    /// What the broker or TLS said against it.
    pub async fn connect(&self) -> Result<Mqtt, String> {
        let mut options = MqttOptions::new(&self.client_id, &self.place.host, self.place.port);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(PATIENCE.as_secs());
        options
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(&self.tls))))
            .set_network_options(network)
            .set_clean_start(self.clean_start)
            .set_session_expiry_interval(Some(SESSION_EXPIRY_SECS))
            .set_connection_timeout(PATIENCE.as_secs())
            .set_max_packet_size(Some(PACKET_MAX))
            .set_outgoing_inflight_upper_limit(10);
        if let Some(user) = &self.user {
            options.set_credentials(user, "");
        }
        if let Some((topic, payload)) = &self.will {
            options.set_last_will(LastWill::new(topic, payload.clone(), QoS::AtLeastOnce, false, None));
        }
        let (client, mut event_loop) = AsyncClient::new(options, 10);
        within("CONNACK", async {
            loop {
                match event_loop.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(connack))) => return Ok(connack),
                    Ok(_) => {}
                    Err(error) => return Err(format!("{error:?}")),
                }
            }
        })
        .await
        .map(|connack| Mqtt { client, event_loop, received: VecDeque::new(), connack })
    }
}

impl Mqtt {
    fn keep(&mut self, publish: Publish) {
        if self.received.len() < KEPT_MAX {
            self.received.push_back(publish);
        }
    }

    /// The next packet that is not a message; messages are kept.
    async fn answer(&mut self) -> Result<Packet, String> {
        loop {
            match self.event_loop.poll().await {
                Ok(Event::Incoming(Packet::Publish(publish))) => self.keep(publish),
                Ok(Event::Incoming(Packet::Disconnect(disconnect))) => {
                    return Err(format!("the broker disconnected: {:?}", disconnect.reason_code));
                }
                Ok(Event::Incoming(packet)) => return Ok(packet),
                Ok(Event::Outgoing(_)) => {}
                Err(error) => return Err(format!("{error:?}")),
            }
        }
    }

    /// Subscribes with QoS 1; the broker's reason code.
    ///
    /// # Errors
    /// How the broker ended the connection instead.
    pub async fn subscribe(&mut self, filter: &str) -> Result<SubscribeReasonCode, String> {
        self.subscribe_at(filter, QoS::AtLeastOnce).await
    }

    /// Subscribes; the broker's reason code.
    ///
    /// # Errors
    /// How the broker ended the connection instead.
    pub async fn subscribe_at(&mut self, filter: &str, qos: QoS) -> Result<SubscribeReasonCode, String> {
        self.client.try_subscribe(filter, qos).map_err(|error| error.to_string())?;
        within("SUBACK", async {
            loop {
                if let Packet::SubAck(ack) = self.answer().await? {
                    return ack.return_codes.first().copied().ok_or_else(|| "an empty SUBACK".to_owned());
                }
            }
        })
        .await
    }

    /// Unsubscribes.
    ///
    /// # Errors
    /// How the broker ended the connection instead.
    pub async fn unsubscribe(&mut self, filter: &str) -> Result<(), String> {
        self.client.try_unsubscribe(filter).map_err(|error| error.to_string())?;
        within("UNSUBACK", async {
            loop {
                if let Packet::UnsubAck(_) = self.answer().await? {
                    return Ok(());
                }
            }
        })
        .await
    }

    /// Publishes with QoS 0: it goes out with what is said next, and is not answered.
    ///
    /// # Errors
    /// It cannot be sent at all.
    pub fn mention(&mut self, topic: &str, payload: &[u8]) -> Result<(), String> {
        let sent = self.client.try_publish(topic, QoS::AtMostOnce, false, payload.to_vec());
        sent.map_err(|error| error.to_string())
    }

    /// Publishes with QoS 1, not retained; the broker's reason code.
    ///
    /// # Errors
    /// How the broker ended the connection instead.
    pub async fn publish(&mut self, topic: &str, payload: &[u8]) -> Result<PubAckReason, String> {
        self.publish_retained(topic, payload, false).await
    }

    /// Publishes with QoS 1; the broker's reason code.
    ///
    /// # Errors
    /// How the broker ended the connection instead.
    pub async fn publish_retained(
        &mut self,
        topic: &str,
        payload: &[u8],
        retain: bool,
    ) -> Result<PubAckReason, String> {
        self.client
            .try_publish(topic, QoS::AtLeastOnce, retain, payload.to_vec())
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
    ///
    /// # Errors
    /// The connection ended, or none came.
    pub async fn message(&mut self) -> Result<(String, Publish), String> {
        within("message", async {
            loop {
                if let Some(publish) = self.received.pop_front() {
                    return Ok((String::from_utf8_lossy(&publish.topic).into_owned(), publish));
                }
                match self.event_loop.poll().await {
                    Ok(Event::Incoming(Packet::Publish(publish))) => self.keep(publish),
                    Ok(_) => {}
                    Err(error) => return Err(format!("{error:?}")),
                }
            }
        })
        .await
    }

    /// Everything that came up to and including the message with this payload.
    ///
    /// # Errors
    /// As [`Mqtt::message`].
    pub async fn until(&mut self, payload: &[u8]) -> Result<Vec<(String, Publish)>, String> {
        within("message that was sent last", async {
            let mut all = Vec::new();
            loop {
                let next = self.message().await?;
                let last = next.1.payload.as_ref() == payload;
                all.push(next);
                if last {
                    return Ok(all);
                }
            }
        })
        .await
    }

    /// Everything that comes in this time, besides what came already.
    pub async fn rest(&mut self, time: Duration) -> Vec<(String, Publish)> {
        let mut all = Vec::new();
        let gather = async {
            while let Ok(next) = self.message().await {
                all.push(next);
            }
        };
        // Its end is the end of the time.
        let _ = tokio::time::timeout(time, gather).await;
        all
    }

    /// Waits until the connection is over; what ended it.
    ///
    /// # Errors
    /// It stands.
    pub async fn end(&mut self) -> Result<String, String> {
        within("end of the connection", async {
            loop {
                if let Err(error) = self.event_loop.poll().await {
                    return Ok(format!("{error:?}"));
                }
            }
        })
        .await
    }

    /// Says goodbye and lets it be sent, so that no last will is due.
    pub async fn leave(mut self) {
        if self.client.try_disconnect().is_err() {
            return;
        }
        let sent = async {
            while let Ok(event) = self.event_loop.poll().await {
                if matches!(event, Event::Outgoing(Outgoing::Disconnect)) {
                    break;
                }
            }
        };
        // A goodbye that does not get through is as good as none.
        let _ = tokio::time::timeout(Duration::from_secs(1), sent).await;
    }
}

/// Whether a text that ended a connection is the broker's own word for a takeover.
#[must_use]
pub fn says_taken_over(why: &str) -> bool {
    why.contains(&format!("{:?}", DisconnectReasonCode::SessionTakenOver))
}
