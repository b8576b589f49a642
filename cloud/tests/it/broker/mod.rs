//! The conformance suite: what any broker must do for Coterm, run against the embedded one and a real Mosquitto.

mod client;
#[cfg(feature = "embedded-broker")]
mod embedded;
mod mosquitto;
mod suite;

use client::{Login, within};
use coterm_certs::{DeviceCertificate, Pki};
use coterm_cloud::ports::{Broker, Inbox, Incoming, Outgoing};
use coterm_shared::enforcement::{BootId, DeviceClass, EnforcementState, OperatingMode, TimeSource};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::protocol::{FormatV1, Report, Topic};
use coterm_shared::time::Timestamp;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// Whose devices are unless a test says otherwise.
const OURS: OrganizationId = OrganizationId::from_bytes([1; 16]);

/// An inbox that keeps everything.
#[derive(Default)]
struct Recorder {
    all: Mutex<Vec<(DeviceId, Incoming)>>,
    changed: Notify,
}

impl Inbox for Recorder {
    fn deliver(&self, device: DeviceId, incoming: Incoming) {
        self.all.lock().unwrap().push((device, incoming));
        self.changed.notify_one();
    }
}

impl Recorder {
    /// Waits until what was delivered is as it should be.
    async fn until(&self, what: &str, found: impl Fn(&[(DeviceId, Incoming)]) -> bool) {
        within(what, async {
            while !found(&self.all.lock().unwrap()) {
                self.changed.notified().await;
            }
        })
        .await;
    }

    async fn until_has(&self, device: &DeviceId, incoming: &Incoming) {
        let wanted = (device.clone(), incoming.clone());
        self.until(&format!("{wanted:?}"), |all| all.contains(&wanted)).await;
    }

    fn count(&self, of: impl Fn(&DeviceId, &Incoming) -> bool) -> usize {
        self.all.lock().unwrap().iter().filter(|(device, incoming)| of(device, incoming)).count()
    }
}

/// A broker under test, the cloud's hands on it, and certificates for anybody.
struct Bench {
    pki: Pki,
    port: u16,
    cloud: Arc<dyn Broker>,
    inbox: Arc<Recorder>,
    /// Whether the broker refuses what it will not do with the exact reason code (Mosquitto checks deliveries instead).
    strict: bool,
    // Dropped last: the directory and perhaps a process.
    _keep: Box<dyn Send>,
}

impl Bench {
    fn certificate(&self, device: &str) -> DeviceCertificate {
        self.pki.device_certificate(&device.parse().unwrap(), OURS).unwrap()
    }

    fn login(&self, device: &str) -> Login {
        Login {
            client_id: device.to_owned(),
            user: None,
            will: None,
            clean_start: true,
            tls: client::tls(self.pki.ca_certificate(), Some(&self.certificate(device))),
            port: self.port,
        }
    }

    async fn connect(&self, device: &str) -> client::Mqtt {
        within("CONNACK", self.login(device).connect()).await.unwrap()
    }

    async fn publish(&self, topic: Topic, payload: &[u8]) {
        let message = Outgoing { topic, payload: Arc::from(payload), retain: true };
        self.cloud.publish(message).await.unwrap();
    }
}

fn id(device: &str) -> DeviceId {
    device.parse().unwrap()
}

/// A report that differs from others in its uptime.
fn report(uptime_secs: u64) -> Report {
    Report {
        v: FormatV1,
        class: DeviceClass::Camera,
        mode: OperatingMode::Full,
        state: EnforcementState::Licensed,
        held: None,
        keyring_version: 1,
        root_version: 1,
        reasons: Vec::new(),
        trusted_time: Timestamp::EPOCH,
        time_source: TimeSource::Token,
        adopted_time: None,
        wall_skew_secs: 0,
        boot_id: BootId::from_bytes([7; 16]),
        uptime_secs,
        last_refusal: None,
        agent_version: "test".to_owned(),
        nonce: None,
        proof: None,
    }
}
