//! The task that keeps the connection: connect, subscribe, poll, and after any error start over.

use super::link::{CHANNEL_CAPACITY, Link, MAX_IN_FLIGHT};
use super::{ExternalConfig, LinkStatus, Shown};
use crate::mqtt::{Offences, UPWARD_PACKET_MAX_BYTES, understand};
use crate::ports::{Inbox, Incoming};
use coterm_shared::id::DeviceId;
use coterm_shared::protocol::cloud_filters;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, Publish, SubAck, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, Outgoing, TlsConfiguration, Transport};
use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long TCP, TLS and CONNECT may take together; more than the library's five seconds, for storms.
const CONNECT_TIMEOUT_SECS: u64 = 20;
/// The first pause after a failure; it doubles up to the configured longest.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// How long the broker keeps reports for a daemon that restarts, in seconds.
const SESSION_EXPIRY_SECS: u32 = 3_600;
/// How long the goodbye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);
/// The most devices whose connection is remembered; beyond it `Connected` is told again, which does no harm.
const MAX_SEEN: usize = 1_000_000;

/// Everything the task owns.
pub(super) struct Runner {
    pub(super) config: ExternalConfig,
    pub(super) shown: Arc<RwLock<Shown>>,
    pub(super) link: Arc<Link>,
    pub(super) inbox: Arc<dyn Inbox>,
    pub(super) status: watch::Sender<LinkStatus>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) offences: Offences,
}

impl Runner {
    pub(super) async fn run(self) {
        let mut stop = self.stop.clone();
        let mut failures = 0_u32;
        while !*stop.borrow() {
            let (client, mut event_loop) = AsyncClient::new(self.options(), CHANNEL_CAPACITY);
            let mut was_up = false;
            let reason = tokio::select! {
                reason = self.live(&client, &mut event_loop, &mut was_up) => reason,
                () = asked_to_stop(&mut stop) => {
                    say_goodbye(&client, &mut event_loop).await;
                    "the daemon is stopping".to_owned()
                }
            };
            self.link.down(&reason);
            self.status.send_replace(LinkStatus::Down { reason: reason.clone() });
            if *stop.borrow() {
                break;
            }
            failures = if was_up { 1 } else { failures.saturating_add(1) };
            let pause = backoff(failures, self.config.max_backoff);
            tracing::warn!(
                code = "BROKER_LINK_DOWN", host = %self.config.host, port = self.config.port, reason,
                retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                "the connection to the external broker is down"
            );
            tokio::select! {
                () = sleep(pause) => {}
                () = asked_to_stop(&mut stop) => {}
            }
        }
    }

    /// One connection's life; returns why it ended.
    async fn live(&self, client: &AsyncClient, event_loop: &mut EventLoop, was_up: &mut bool) -> String {
        let mut seen = HashSet::new();
        loop {
            let event = match event_loop.poll().await {
                Ok(event) => event,
                Err(error) => return error.to_string(),
            };
            match event {
                Event::Outgoing(Outgoing::Publish(packet)) => self.link.sent(packet),
                Event::Outgoing(_) => {}
                Event::Incoming(packet) => {
                    if let Err(reason) = self.incoming(packet, client, &mut seen, was_up) {
                        return reason;
                    }
                }
            }
        }
    }

    fn incoming(
        &self,
        packet: Packet,
        client: &AsyncClient,
        seen: &mut HashSet<DeviceId>,
        was_up: &mut bool,
    ) -> Result<(), String> {
        if let Packet::Publish(publish) = &packet {
            self.message(publish, seen);
        } else if let Packet::PubAck(ack) = &packet {
            self.link.acknowledged(ack.pkid, ack.reason);
        } else if let Packet::ConnAck(_) = &packet {
            // Always, even when the broker kept the session: subscribing twice costs nothing, not being subscribed all.
            let filters =
                cloud_filters(self.config.shared).map(|filter| Filter::new(filter, QoS::AtLeastOnce));
            client.try_subscribe_many(filters).map_err(|error| error.to_string())?;
        } else if let Packet::SubAck(ack) = &packet {
            granted(ack)?;
            *was_up = true;
            self.link.up(client.clone());
            self.status.send_replace(LinkStatus::Up);
            tracing::info!(host = %self.config.host, port = self.config.port, "connected to the external broker");
        }
        Ok(())
    }

    fn message(&self, publish: &Publish, seen: &mut HashSet<DeviceId>) {
        if publish.retain {
            // A report some device had retained is old news; the next heartbeat is not far.
            return;
        }
        let topic = String::from_utf8_lossy(&publish.topic);
        match understand(&topic, &publish.payload) {
            Ok((device, incoming)) => {
                if !seen.contains(&device) {
                    if seen.len() >= MAX_SEEN {
                        seen.clear();
                    }
                    seen.insert(device.clone());
                    self.inbox.deliver(device.clone(), Incoming::Connected);
                }
                self.inbox.deliver(device, incoming);
            }
            Err(reason) => {
                if let Some(times) = self.offences.worth_a_line() {
                    tracing::warn!(
                        code = "BROKER_MALFORMED", %topic, %reason, times,
                        "a device's message was dropped"
                    );
                }
            }
        }
    }

    fn options(&self) -> MqttOptions {
        let Shown { client_id, tls } = self.shown.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut options = MqttOptions::new(client_id, &self.config.host, self.config.port);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(CONNECT_TIMEOUT_SECS);
        options
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)))
            .set_network_options(network)
            .set_connection_timeout(CONNECT_TIMEOUT_SECS)
            .set_keep_alive(self.config.keep_alive)
            .set_clean_start(false)
            .set_session_expiry_interval(Some(SESSION_EXPIRY_SECS))
            .set_outgoing_inflight_upper_limit(MAX_IN_FLIGHT)
            // A larger message would end the connection again and again: the broker must not send it at all.
            .set_max_packet_size(u32::try_from(UPWARD_PACKET_MAX_BYTES).ok());
        options
    }
}

/// Whether the broker granted both subscriptions.
fn granted(ack: &SubAck) -> Result<(), String> {
    for code in &ack.return_codes {
        match code {
            SubscribeReasonCode::Success(_) => {}
            SubscribeReasonCode::Failure
            | SubscribeReasonCode::Unspecified
            | SubscribeReasonCode::ImplementationSpecific
            | SubscribeReasonCode::NotAuthorized
            | SubscribeReasonCode::TopicFilterInvalid
            | SubscribeReasonCode::PkidInUse
            | SubscribeReasonCode::QuotaExceeded
            | SubscribeReasonCode::SharedSubscriptionsNotSupported
            | SubscribeReasonCode::SubscriptionIdNotSupported
            | SubscribeReasonCode::WildcardSubscriptionsNotSupported => {
                return Err(format!(
                    "the broker refused to let the cloud read reports ({code:?}): check its access rule for the cloud identity"
                ));
            }
        }
    }
    Ok(())
}

async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error means that the broker's handle was dropped, which is the same wish.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Says DISCONNECT and lets the library send it.
async fn say_goodbye(client: &AsyncClient, event_loop: &mut EventLoop) {
    if client.try_disconnect().is_ok() {
        let sent = async {
            while let Ok(event) = event_loop.poll().await {
                if matches!(event, Event::Outgoing(Outgoing::Disconnect)) {
                    break;
                }
            }
        };
        let _ = timeout(GOODBYE_TIMEOUT, sent).await;
    }
}

/// Full jitter: anything between nothing and a bound that doubles with every failure.
fn backoff(failures: u32, longest: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let bound = FIRST_BACKOFF.saturating_mul(1 << doublings).min(longest);
    let bound_ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX).max(1);
    // Without randomness the bound itself is a pause too.
    let random = getrandom::u64().unwrap_or(bound_ms);
    Duration::from_millis(random % bound_ms.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_to_its_bound_and_no_further() {
        let longest = Duration::from_secs(30);
        for failures in [0, 1, 2, 7, 40, u32::MAX] {
            for _ in 0..100 {
                assert!(backoff(failures, longest) <= longest);
            }
        }
        assert!((0..100).all(|_| backoff(1, longest) <= FIRST_BACKOFF));
        assert!((0..1_000).any(|_| backoff(20, longest) > Duration::from_secs(20)));
    }
}
