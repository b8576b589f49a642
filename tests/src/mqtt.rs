//! A bare MQTT client with a certificate of one's choice: what a curious neighbour would use.

use crate::wait::PATIENCE;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet, PubAckReason, Publish, SubscribeReasonCode};
use rumqttc::v5::{Client, Connection, Event, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who connects, and where.
#[derive(Clone, Debug)]
pub struct Login<'a> {
    /// The broker's address.
    pub address: Ipv4Addr,
    /// Its port.
    pub port: u16,
    /// The MQTT client id.
    pub client_id: &'a str,
    /// The MQTT user name.
    pub username: Option<&'a str>,
    /// The directory with `broker-ca.crt`, and the certificate to show if there is one.
    pub directory: &'a Path,
    /// Whether to show `device.crt`.
    pub certificate: bool,
    /// A last will on this topic.
    pub will: Option<&'a str>,
}

/// A client; connected once [`Neighbour::connect`] returned it.
pub struct Neighbour {
    client: Client,
    connection: Connection,
    /// Messages that came while something else was waited for.
    heard: VecDeque<Publish>,
}

impl Neighbour {
    /// Connects.
    ///
    /// # Errors
    /// What the broker or TLS said against it.
    pub fn connect(login: &Login<'_>) -> Result<Neighbour, String> {
        let mut options = MqttOptions::new(login.client_id, login.address.to_string(), login.port);
        options.set_keep_alive(Duration::from_secs(30)).set_clean_start(true).set_connection_timeout(10);
        if let Some(name) = login.username {
            options.set_credentials(name, "");
        }
        if let Some(topic) = login.will {
            options.set_last_will(LastWill::new(topic, "boo", QoS::AtLeastOnce, false, None));
        }
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls(login)))));
        let (client, connection) = Client::new(options, 16);
        let mut neighbour = Neighbour { client, connection, heard: VecDeque::new() };
        neighbour.next(|packet| matches!(packet, Packet::ConnAck(_)).then_some(()))?;
        Ok(neighbour)
    }

    /// Subscribes to a filter; whether the broker granted it.
    ///
    /// # Errors
    /// The broker ended the connection instead.
    pub fn subscribe(&mut self, filter: &str) -> Result<bool, String> {
        self.client.subscribe(filter, QoS::AtLeastOnce).map_err(|error| error.to_string())?;
        let granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
        self.next(|packet| {
            let Packet::SubAck(ack) = packet else { return None };
            Some(ack.return_codes.iter().all(granted))
        })
    }

    /// Publishes with QoS 1; whether the broker took it.
    ///
    /// # Errors
    /// The broker ended the connection instead.
    pub fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) -> Result<bool, String> {
        self.client
            .publish(topic, QoS::AtLeastOnce, retain, payload.to_vec())
            .map_err(|error| error.to_string())?;
        self.next(|packet| {
            let Packet::PubAck(ack) = packet else { return None };
            Some(matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers))
        })
    }

    /// The next message on `topic`, if one comes within `time`.
    pub fn message(&mut self, topic: &str, time: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + time;
        loop {
            let publish = self.publication(deadline.saturating_duration_since(Instant::now()))?;
            if publish.topic == topic.as_bytes() {
                return Some(publish.payload.to_vec());
            }
        }
    }

    /// Whether any message comes within `time`.
    pub fn hears_anything(&mut self, time: Duration) -> bool {
        self.publication(time).is_some()
    }

    fn publication(&mut self, time: Duration) -> Option<Publish> {
        if self.heard.is_empty() {
            // What is found ends up in the queue like everything else.
            let _ = self.next_within(time, |packet| matches!(packet, Packet::Publish(_)).then_some(()));
        }
        self.heard.pop_front()
    }

    fn next<T>(&mut self, wanted: impl Fn(&Packet) -> Option<T>) -> Result<T, String> {
        self.next_within(PATIENCE, wanted)
    }

    fn next_within<T>(&mut self, time: Duration, wanted: impl Fn(&Packet) -> Option<T>) -> Result<T, String> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.connection.recv_timeout(left) {
                Ok(Ok(Event::Incoming(packet))) => {
                    if let Packet::Publish(publish) = &packet {
                        self.heard.push_back(publish.clone());
                    }
                    if let Some(found) = wanted(&packet) {
                        return Ok(found);
                    }
                    if let Packet::Disconnect(why) = packet {
                        return Err(format!("{why:?}"));
                    }
                }
                Ok(Ok(Event::Outgoing(_))) => {}
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err(String::from("nothing came")),
            }
        }
    }
}

fn tls(login: &Login<'_>) -> rustls::ClientConfig {
    let read = |name: &str| std::fs::read(login.directory.join(name)).expect("the directory was provisioned");
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&read("broker-ca.crt")) {
        roots.add(certificate.expect("PEM")).expect("an authority");
    }
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.3")
            .with_root_certificates(roots);
    if !login.certificate {
        return builder.with_no_client_auth();
    }
    let chain = CertificateDer::pem_slice_iter(&read("device.crt")).map(|one| one.expect("PEM")).collect();
    let key = PrivateKeyDer::from_pem_slice(&read("device.key")).expect("PEM");
    builder.with_client_auth_cert(chain, key).expect("the key fits the certificate")
}
