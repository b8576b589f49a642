//! The broker library: the one place that knows its types besides the connection's authoriser.
//!
//! Its router and storage live here; there is no `MqttBroker`, because that would open listeners of its own.

use super::EmbeddedConfig;
use super::connection::Connection;
use crate::mqtt::{DOWNWARD_MAX_BYTES, UPWARD_PACKET_MAX_BYTES, check_outgoing};
use crate::ports::{Outgoing, PublishError};
use crate::signer::MAX_ROOTS;
use coterm_shared::id::DeviceId;
use coterm_shared::protocol::Topic;
use mqtt5::QoS;
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::config::BrokerConfig;
use mqtt5::broker::resource_monitor::{ResourceLimits, ResourceMonitor};
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{DynamicStorage, MemoryBackend, QueueLimits, StorageBackend};
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::tls_acceptor::TlsStreamWrapper;
use mqtt5::broker::transport::BrokerTransport;
use mqtt5::packet::publish::PublishPacket;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

/// How many messages wait for a device that is slow or away; each is superseded by the next one.
const QUEUED_MAX: usize = 16;
/// And how many bytes: a session that nobody takes up again must not keep a chain of roots in memory.
const QUEUED_MAX_BYTES: usize = 64 * 1024;
/// The keyring and every root after the first are the only retained messages.
const RETAINED_MAX: usize = 1 + MAX_ROOTS;
/// A session outlives its connection by a day at most.
const SESSION_EXPIRY: Duration = Duration::from_secs(86_400);

/// The library's router, storage and settings.
pub(super) struct Engine {
    settings: BrokerConfig,
    router: Arc<MessageRouter>,
    storage: Arc<DynamicStorage>,
    stats: Arc<BrokerStats>,
    monitor: Arc<ResourceMonitor>,
    shutdown: broadcast::Sender<()>,
}

impl Engine {
    pub(super) fn new(config: &EmbeddedConfig) -> Engine {
        let limits = QueueLimits { max_messages: QUEUED_MAX, max_bytes: QUEUED_MAX_BYTES };
        let storage = Arc::new(DynamicStorage::Memory(MemoryBackend::with_queue_limits(limits)));
        let router = MessageRouter::with_storage(Arc::clone(&storage))
            .with_fallback_queue_limits(limits)
            .with_retained_limits(RETAINED_MAX, DOWNWARD_MAX_BYTES);
        let monitor = ResourceMonitor::new(ResourceLimits {
            max_connections: usize::MAX,
            max_connections_per_ip: usize::MAX,
            max_message_rate_per_client: config.max_messages_per_second,
            max_bandwidth_per_client: 0,
            max_connection_rate: u32::MAX,
            rate_limit_window: Duration::from_secs(1),
        });
        let settings = BrokerConfig {
            bind_addresses: Vec::new(),
            session_expiry_interval: SESSION_EXPIRY,
            max_packet_size: UPWARD_PACKET_MAX_BYTES,
            topic_alias_maximum: 0,
            maximum_qos: 1,
            wildcard_subscription_available: false,
            shared_subscription_available: false,
            subscription_identifier_available: false,
            // Token, keyring, and the next root; while one root gives way to the next there are two of them.
            max_subscriptions_per_client: 4,
            client_channel_capacity: QUEUED_MAX,
            max_outbound_inflight: 8,
            server_receive_maximum: Some(16),
            sys_topics_enabled: false,
            ..BrokerConfig::default()
        };
        Engine {
            settings,
            router: Arc::new(router),
            storage,
            stats: Arc::new(BrokerStats::new()),
            monitor: Arc::new(monitor),
            shutdown: broadcast::channel(1).0,
        }
    }

    /// Speaks MQTT with a device until its connection ends, and says how it ended.
    pub(super) async fn serve(
        &self,
        stream: TlsStream<TcpStream>,
        address: SocketAddr,
        connection: Arc<Connection>,
    ) -> Result<(), mqtt5::MqttError> {
        let settings = self.settings.clone().with_event_handler(Arc::clone(&connection) as Arc<_>);
        let handler = ClientHandler::new(
            BrokerTransport::tls(TlsStreamWrapper::new(stream)),
            address,
            Arc::new(settings),
            Arc::clone(&self.router),
            connection,
            Some(Arc::clone(&self.storage)),
            Arc::clone(&self.stats),
            Arc::clone(&self.monitor),
            self.shutdown.subscribe(),
        );
        // Boxed: the future is large, and most of a connection's life is spent waiting in it.
        Box::pin(handler.run()).await
    }

    /// Hands a token, the keyring or a root to whoever is subscribed, without waiting for any device.
    pub(super) async fn publish(&self, message: Outgoing) -> Result<(), PublishError> {
        check_outgoing(&message)?;
        let to_all = match message.topic {
            Topic::Keyring | Topic::Root(_) => true,
            Topic::Token(_) | Topic::Report(_) | Topic::Request(_) => false,
        };
        let mut packet =
            PublishPacket::new(message.topic.to_string(), message.payload.to_vec(), QoS::AtLeastOnce)
                // A retained token would cost a scan of all of them at every subscribe, and is not needed here.
                .with_retain(to_all && message.retain);
        packet.properties.set_content_type(message.topic.content_type().to_owned());
        // A deadline of now: a device whose lane is full gets the message queued behind, and nobody waits for it.
        self.router.route_message_with_deadline(&packet, None, Instant::now()).await;
        Ok(())
    }

    /// Ends a device's connection, unless it is stuck in a write.
    pub(super) async fn disconnect(&self, device: &DeviceId) {
        self.router.disconnect_client(device.as_str()).await;
    }

    /// Says goodbye to every connection.
    pub(super) fn shut_down(&self) {
        // An error means that there is no connection.
        let _ = self.shutdown.send(());
    }

    /// Forgets sessions that ended; to be called every minute or so.
    pub(super) async fn sweep(&self) {
        if let Err(error) = self.storage.cleanup_expired().await {
            tracing::warn!(%error, "the embedded broker could not forget old sessions");
        }
        self.router.sweep_sessions().await;
    }
}
