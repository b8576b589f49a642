//! The task that owns the connection.

use super::backoff::Backoff;
use crate::config::{Broker, Timing};
use coterm_shared::protocol::Topic;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, Filter, Packet, PubAckReason, Publish, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, Outgoing, TlsConfiguration, Transport};
use rustls::ClientConfig;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// The largest packet taken in, in bytes: a keyring has at most 16 KiB.
const MAX_PACKET_BYTES: u32 = 32 * 1024;
/// How many unacknowledged messages the broker may have under way to us.
const RECEIVE_MAXIMUM: u16 = 8;
/// How many acknowledgements may wait; a broker that goes this far beyond what it was granted is left.
const MAX_BACKLOG: usize = 4096;
/// Requests waiting for the event loop: acknowledgements of all those, subscriptions, one publish, a disconnect.
const REQUESTS: usize = 32;
/// Packet numbers in use at a time; the library allocates this many places.
const INFLIGHT: u16 = 8;
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// For how long a PUBACK may be missing before the session is given up.
const ACK_PATIENCE: Duration = Duration::from_secs(60);

/// What happened on the line.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A session began; publish and acknowledge through it.
    Up(Session),
    /// A message arrived; acknowledge it once it is dealt with.
    Message(Message),
    /// The broker has the publish that was under way, or refuses it for this reason.
    Published(Result<(), PubAckReason>),
    /// The session ended, or could not begin.
    Down {
        /// What happened, and what to do where that is known.
        message: String,
        /// Until the next attempt.
        retry_in: Duration,
    },
}

/// A message from the broker.
#[derive(Debug)]
pub(crate) struct Message(Publish);

impl Message {
    /// The topic, if it is text.
    pub(crate) fn topic(&self) -> Option<&str> {
        std::str::from_utf8(&self.0.topic).ok()
    }

    /// The bytes, at most a packet.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.0.payload
    }
}

/// A live session. Never waits: what does not fit is dropped with the session's end, and the outbox sends it again.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    client: AsyncClient,
    backlog: Backlog,
}

/// Acknowledgements the event loop has no room for yet, in their order.
///
/// Brokers send more than they were granted (Mosquitto 2.0.11 does in every burst), and the event loop reads several
/// messages for each acknowledgement it writes. One that is lost is missing for the whole session: after a few the
/// broker waits for them for ever, and the device hears nothing more while its line looks alive.
#[derive(Clone, Debug, Default)]
struct Backlog(Arc<Mutex<VecDeque<Publish>>>);

impl Backlog {
    fn add(&self, client: &AsyncClient, message: &Publish) {
        // Number and quality of service are all an acknowledgement is made of.
        let bare = Publish { pkid: message.pkid, qos: message.qos, ..Publish::default() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(bare);
        self.drain(client);
    }

    /// Hands over what fits, and says how many are left.
    fn drain(&self, client: &AsyncClient) -> usize {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.front().is_some_and(|message| client.try_ack(message).is_ok()) {
            waiting.pop_front();
        }
        waiting.len()
    }
}

impl Session {
    /// Hands a payload to the event loop; `false` if it does not take it.
    pub(crate) fn publish(&self, topic: String, payload: Vec<u8>) -> bool {
        self.client.try_publish(topic, QoS::AtLeastOnce, false, payload).is_ok()
    }

    /// Acknowledges a message: it is on disk, or refused for good.
    pub(crate) fn acknowledge(&self, message: &Message) {
        self.backlog.add(&self.client, &message.0);
    }

    /// Listens for this root instead of that one.
    pub(crate) fn follow_root(&self, before: u64, next: u64) {
        // What does not fit is made up for by the next session, which begins with the next root.
        let _ = self.client.try_unsubscribe(Topic::Root(before).to_string());
        let _ = self.client.try_subscribe(Topic::Root(next).to_string(), QoS::AtLeastOnce);
    }

    /// Says goodbye.
    pub(crate) fn disconnect(&self) {
        let _ = self.client.try_disconnect();
    }
}

/// The running task.
#[derive(Debug)]
pub(crate) struct Link {
    /// What happened on the line.
    pub events: mpsc::Receiver<LinkEvent>,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts the task; it connects at once and for ever. Each session begins with the subscription to the root of the version
/// that `next_root` has then.
pub(crate) fn start(
    client_id: String,
    broker: Broker,
    timing: Timing,
    tls: ClientConfig,
    subscriptions: [String; 2],
    next_root: Arc<AtomicU64>,
) -> Link {
    let (events_in, events) = mpsc::channel(16);
    let connector = Connector { client_id, broker, timing, tls: Arc::new(tls), subscriptions, next_root };
    let task = tokio::spawn(async move { connector.run(&events_in).await });
    Link { events, task }
}

struct Connector {
    client_id: String,
    broker: Broker,
    timing: Timing,
    tls: Arc<ClientConfig>,
    subscriptions: [String; 2],
    next_root: Arc<AtomicU64>,
}

/// How a session ended.
struct Ended {
    message: String,
    lived: Option<Duration>,
}

/// The driver is gone, so the line ends too.
struct Closed;

impl Connector {
    async fn run(&self, events: &mpsc::Sender<LinkEvent>) {
        let mut backoff = Backoff::new(self.timing.max_backoff);
        loop {
            let Ok(Ended { message, lived }) = self.session(events).await else { return };
            let retry_in = backoff.ended(lived, random());
            if events.send(LinkEvent::Down { message, retry_in }).await.is_err() {
                return;
            }
            tokio::time::sleep(retry_in).await;
        }
    }

    fn options(&self) -> MqttOptions {
        let mut options =
            MqttOptions::new(self.client_id.as_str(), self.broker.host.as_str(), self.broker.port);
        let mut properties = ConnectProperties::new();
        properties.max_packet_size = Some(MAX_PACKET_BYTES);
        properties.receive_maximum = Some(RECEIVE_MAXIMUM);
        options
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(&self.tls))))
            .set_credentials(self.client_id.as_str(), "")
            .set_clean_start(true)
            .set_keep_alive(KEEP_ALIVE)
            .set_connection_timeout(self.timing.connect_timeout.as_secs())
            .set_connect_properties(properties)
            .set_outgoing_inflight_upper_limit(INFLIGHT)
            .set_manual_acks(true);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        options
    }

    /// One session, from connecting to its end.
    async fn session(&self, events: &mpsc::Sender<LinkEvent>) -> Result<Ended, Closed> {
        let (client, mut event_loop) = AsyncClient::new(self.options(), REQUESTS);
        let mut since = None;
        let ended = self.poll(&client, &mut event_loop, events, &mut since).await?;
        Ok(Ended { message: ended, lived: since.map(|since: Instant| since.elapsed()) })
    }

    async fn poll(
        &self,
        client: &AsyncClient,
        event_loop: &mut EventLoop,
        events: &mpsc::Sender<LinkEvent>,
        since: &mut Option<Instant>,
    ) -> Result<String, Closed> {
        let mut unacknowledged: Option<Instant> = None;
        let backlog = Backlog::default();
        loop {
            // What is left keeps the event loop busy, so this comes round again.
            if backlog.drain(client) > MAX_BACKLOG {
                return Ok("the broker sends without end and does not wait for acknowledgements".to_owned());
            }
            let polled = match unacknowledged {
                // The whole event loop is dropped when this passes, so it does not matter what polling was doing.
                Some(sent) => match timeout_at(sent + ACK_PATIENCE, event_loop.poll()).await {
                    Ok(polled) => polled,
                    Err(_) => return Ok("the broker does not acknowledge what it is sent".to_owned()),
                },
                None => event_loop.poll().await,
            };
            let event = match polled {
                Ok(event) => event,
                Err(error) => return Ok(explain(&error, &self.broker)),
            };
            let told = match event {
                Event::Incoming(Packet::ConnAck(_)) => {
                    *since = Some(Instant::now());
                    // Before the keyring, which may be made under it. Alone: a broker may refuse it, see SubAck.
                    let root = Topic::Root(self.next_root.load(Ordering::Relaxed)).to_string();
                    let filters =
                        self.subscriptions.iter().map(|topic| Filter::new(topic.clone(), QoS::AtLeastOnce));
                    if client.try_subscribe(root, QoS::AtLeastOnce).is_err()
                        || client.try_subscribe_many(filters).is_err()
                    {
                        return Ok("could not subscribe".to_owned());
                    }
                    Some(LinkEvent::Up(Session { client: client.clone(), backlog: backlog.clone() }))
                }
                Event::Incoming(Packet::SubAck(answer)) => {
                    let refused = answer.return_codes.iter().any(|code| match code {
                        SubscribeReasonCode::Success(_) => false,
                        SubscribeReasonCode::Failure
                        | SubscribeReasonCode::Unspecified
                        | SubscribeReasonCode::ImplementationSpecific
                        | SubscribeReasonCode::NotAuthorized
                        | SubscribeReasonCode::TopicFilterInvalid
                        | SubscribeReasonCode::PkidInUse
                        | SubscribeReasonCode::QuotaExceeded
                        | SubscribeReasonCode::SharedSubscriptionsNotSupported
                        | SubscribeReasonCode::SubscriptionIdNotSupported
                        | SubscribeReasonCode::WildcardSubscriptionsNotSupported => true,
                    });
                    // The only SUBSCRIBE with one filter is that for a root. Without it the device keeps the root it has.
                    if refused && answer.return_codes.len() == 1 {
                        tracing::warn!(
                            "the broker refuses the subscription to coterm/v1/root/{{version}} ({:?}); allow devices to read it",
                            answer.return_codes
                        );
                    } else if refused {
                        return Ok(format!(
                            "the broker refuses the subscription ({:?}); check its access rules for this device",
                            answer.return_codes
                        ));
                    }
                    None
                }
                Event::Incoming(Packet::Publish(publish)) => Some(LinkEvent::Message(Message(publish))),
                Event::Incoming(Packet::PubAck(ack)) => {
                    unacknowledged = None;
                    let taken =
                        matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers);
                    Some(LinkEvent::Published(if taken { Ok(()) } else { Err(ack.reason) }))
                }
                Event::Outgoing(Outgoing::Publish(_)) => {
                    unacknowledged = Some(Instant::now());
                    None
                }
                Event::Incoming(_) | Event::Outgoing(_) => None,
            };
            if let Some(told) = told {
                events.send(told).await.map_err(|_| Closed)?;
            }
        }
    }
}

/// What an error means and what to do about it, where that is known.
fn explain(error: &ConnectionError, broker: &Broker) -> String {
    let at = format!("{}:{}", broker.host, broker.port);
    let text = error.to_string();
    let hint = if text.contains("UnknownIssuer") {
        "; its certificate does not descend from broker.ca_file"
    } else if text.contains("Expired") {
        "; its certificate has expired"
    } else if text.contains("NotValidForName") {
        "; its certificate is for another name, set broker.server_name"
    } else if text.contains("NotAuthorized") || text.contains("BadUserNamePassword") {
        "; the broker does not know this device's certificate, provision it again"
    } else if text.contains("lookup") {
        "; check DNS and broker.host"
    } else {
        ""
    };
    format!("broker {at}: {text}{hint}")
}

/// A random number; without a source of randomness the middle, which only makes the jitter worse.
pub(super) fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}
