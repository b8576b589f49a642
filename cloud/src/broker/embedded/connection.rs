//! One device's authoriser: everything its connection may do, decided from its certificate.
//!
//! **Method.** The library asks this object, and no other, about CONNECT, SUBSCRIBE and PUBLISH of one connection, and
//! hands it what the device sends. The client id must be the certificate's common name; the user name may be left out
//! or be the same; there is no last will, because wills slip past access rules. What a device publishes ends here:
//! it goes to the inbox and never to another device.

use super::accept::END_PATIENCE;
use super::gate::Place;
use super::registry::{Counters, Registration, Registry};
use crate::mqtt::{Offences, understand};
use coterm_shared::protocol::{Access, device_may};
use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::broker::events::{BrokerEventHandler, ClientConnectEvent, ClientPublishEvent, PublishAction};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

/// The object the library asks about one connection.
pub(super) struct Connection {
    registration: Registration,
    place: Place,
    registry: Arc<Registry>,
    peer: SocketAddr,
    offences: Offences,
}

/// How much of a topic is worth logging.
const LOGGED_CHARS: usize = 128;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

fn now<'a, T: Send + 'a>(value: T) -> Boxed<'a, T> {
    Box::pin(ready(value))
}

impl Connection {
    pub(super) fn new(
        registration: Registration,
        place: Place,
        registry: Arc<Registry>,
        peer: SocketAddr,
    ) -> Connection {
        Connection { registration, place, registry, peer, offences: Offences::default() }
    }

    /// The reason to refuse this CONNECT, if there is one.
    fn refusal(&self, connect: &ConnectPacket) -> Option<(ReasonCode, &'static str)> {
        let device = self.registration.device.as_str();
        if connect.protocol_version != 5 {
            return Some((ReasonCode::UnsupportedProtocolVersion, "only MQTT 5 is spoken here"));
        }
        if connect.client_id != device {
            return Some((
                ReasonCode::ClientIdentifierNotValid,
                "the client id must be the certificate's common name",
            ));
        }
        if connect.username.as_deref().is_some_and(|name| name != device) {
            return Some((
                ReasonCode::BadUsernameOrPassword,
                "the user name must be the certificate's common name or absent",
            ));
        }
        if connect.will.is_some() {
            return Some((ReasonCode::NotAuthorized, "devices may not leave a last will"));
        }
        None
    }

    fn refused(&self, what: &'static str, reason: &str) {
        Counters::count(&self.registry.counters.refused);
        if let Some(times) = self.offences.worth_a_line() {
            let reason: String = reason.chars().take(LOGGED_CHARS).collect();
            tracing::warn!(
                code = "BROKER_REFUSED", device = %self.registration.device, peer = %self.peer, what, reason, times,
                "the embedded broker refused a device"
            );
        }
    }

    /// The static access rule; what it refuses is counted and logged.
    fn may(&self, access: Access, what: &'static str, topic: &str) -> bool {
        let allowed = device_may(&self.registration.device, access, topic);
        if !allowed {
            self.refused(what, topic);
        }
        allowed
    }
}

impl AuthProvider for Connection {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _address: SocketAddr,
    ) -> Boxed<'a, mqtt5::Result<AuthResult>> {
        now(Ok(match self.refusal(connect) {
            Some((code, reason)) => {
                self.refused("CONNECT", reason);
                AuthResult::fail_with_reason(code, reason)
            }
            None => AuthResult::success_with_user(self.registration.device.as_str()),
        }))
    }

    fn authorize_publish<'a>(
        &'a self,
        _client_id: &str,
        _user_id: Option<&'a str>,
        topic: &'a str,
    ) -> Boxed<'a, bool> {
        now(self.may(Access::Publish, "PUBLISH", topic))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _client_id: &str,
        _user_id: Option<&'a str>,
        filter: &'a str,
    ) -> Boxed<'a, bool> {
        now(self.may(Access::Subscribe, "SUBSCRIBE", filter))
    }
}

impl BrokerEventHandler for Connection {
    fn on_client_connect<'a>(&'a self, _event: ClientConnectEvent) -> Boxed<'a, ()> {
        self.place.proven();
        self.registration.established();
        // The library told an older connection of this device to go; one stuck in a write must be made to.
        for ending in self.registry.older(&self.registration) {
            tokio::spawn(ending.insist(END_PATIENCE));
        }
        now(())
    }

    fn on_client_publish<'a>(&'a self, event: ClientPublishEvent) -> Boxed<'a, PublishAction> {
        if !self.registration.is_theirs() {
            self.refused("PUBLISH", "the device has another owner by now");
            self.registration.kill.notify_one();
            return now(PublishAction::Handled);
        }
        // The rule was asked already; the topic is parsed again because this is where it becomes a meaning.
        match understand(&event.topic, &event.payload) {
            Ok((device, incoming)) if device == self.registration.device => {
                self.registry.deliver(&device, incoming);
            }
            Ok(_) => self.refused("PUBLISH", &event.topic),
            Err(reason) => {
                Counters::count(&self.registry.counters.malformed);
                if let Some(times) = self.offences.worth_a_line() {
                    tracing::warn!(
                        code = "BROKER_MALFORMED", device = %self.registration.device, %reason, times,
                        "a device's message was dropped"
                    );
                }
            }
        }
        now(PublishAction::Handled)
    }
}
