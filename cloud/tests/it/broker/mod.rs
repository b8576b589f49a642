//! The conformance suite: what any broker must do for Coterm, run against the embedded one and a real Mosquitto.

#[cfg(feature = "embedded-broker")]
mod attacks;
#[cfg(feature = "embedded-broker")]
mod embedded;
mod matrix;
mod mosquitto;
mod suite;

use coterm_certs::{DeviceCertificate, Pki, Time, stranger_certificate};
use coterm_cloud::clock::{Clock, SystemClock};
use coterm_cloud::conformance::client::{Login, Mqtt, PATIENCE, Place};
use coterm_cloud::conformance::matrix::{Kind, Who};
use coterm_cloud::conformance::suite::sample_report;
use coterm_cloud::conformance::{Bench as Conformance, Ear, Face};
use coterm_cloud::ports::{Broker, Incoming, Outgoing};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::protocol::{Report, Topic};
use coterm_shared::time::Seconds;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Whose devices are unless a test says otherwise.
const OURS: OrganizationId = OrganizationId::from_bytes([1; 16]);
/// Another organization.
const THEIRS: OrganizationId = OrganizationId::from_bytes([2; 16]);
/// How long certificates of tests are good for.
const LIFE: Seconds = Seconds(3_600);

/// When certificates are made.
fn time() -> Time {
    Time::Sure(SystemClock.now())
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}"))
}

/// A broker under test, the cloud's hands on it, and certificates for anybody.
struct Bench {
    pki: Pki,
    port: u16,
    cloud: Arc<dyn Broker>,
    inbox: Arc<Ear>,
    /// Whether the broker refuses what it will not do with the exact reason code (Mosquitto checks deliveries instead).
    strict: bool,
    // Dropped last: the directory and perhaps a process.
    _keep: Box<dyn Send>,
}

impl Bench {
    fn place(&self) -> Place {
        Place::new("localhost", self.port, std::slice::from_ref(self.pki.ca_certificate())).unwrap()
    }

    fn certificate(&self, device: &str) -> DeviceCertificate {
        self.pki.device_certificate(&device.parse().unwrap(), OURS).unwrap()
    }

    fn login(&self, device: &str) -> Login {
        let place = self.place();
        let tls = place.tls_of(&self.certificate(device)).unwrap();
        Login { client_id: device.to_owned(), user: None, will: None, clean_start: true, tls, place }
    }

    async fn connect(&self, device: &str) -> Mqtt {
        self.login(device).connect().await.unwrap()
    }

    async fn publish(&self, topic: Topic, payload: &[u8]) {
        let message = Outgoing { topic, payload: Arc::from(payload), retain: true };
        self.cloud.publish(message).await.unwrap();
    }

    /// Waits until this was heard.
    async fn hears(&self, device: &str, what: &Incoming) {
        let device = id(device);
        let like = |who: &DeviceId, incoming: &Incoming| *who == device && incoming == what;
        self.inbox.until(&format!("{what:?}"), like).await.unwrap();
    }

    fn heard(&self, device: &str, what: &Incoming) -> usize {
        let device = id(device);
        self.inbox.count(|who, incoming| *who == device && incoming == what)
    }

    fn face(&self, who: Who, made: &DeviceCertificate) -> Face {
        let tls = self.place().tls_of(made).unwrap();
        Face { who, client_id: made.device.to_string(), user: None, device: made.device.clone(), tls }
    }

    /// Everybody of the matrix. `revoked` is known to the broker already.
    fn conformance(&self, revoked: &DeviceCertificate) -> Conformance {
        let own = self.face(Who::Device, &self.certificate("cam-1"));
        let other = self.face(Who::Device, &self.certificate("cam-2"));
        let foreign = self.pki.device_certificate(&id("foreign-1"), THEIRS).unwrap();
        let now = SystemClock.now();
        let ended = self
            .pki
            .device_certificate_from(&id("cam-1"), OURS, now.saturating_sub(Seconds(2 * LIFE.0)), LIFE)
            .unwrap();
        let forged = stranger_certificate(&id("cam-1"), OURS, now, LIFE).unwrap();
        let theirs = self.pki.device_certificate(&id("cam-1"), THEIRS).unwrap();
        let strangers = vec![
            // To a broker they are what they were; the books say whose (see the end-to-end tests).
            self.face(Who::Retired, &self.certificate("retired-1")),
            self.face(Who::Stolen, &self.certificate("stolen-1")),
            Face { who: Who::OtherClientId, client_id: "cam-2".to_owned(), ..own.clone() },
            Face { who: Who::OtherUserName, user: Some("cam-2".to_owned()), ..own.clone() },
            self.face(Who::OtherOrganization, &theirs),
            Face { who: Who::NoCertificate, tls: self.place().tls(None).unwrap(), ..own.clone() },
            self.face(Who::Revoked, revoked),
            self.face(Who::Expired, &ended),
            self.face(Who::OtherAuthority, &forged),
        ];
        let cloud = self.pki.cloud_identity().unwrap();
        let shown = Some((cloud.chain().to_vec(), cloud.key()));
        let cloud_face = Face {
            who: Who::Cloud,
            device: id("cam-1"),
            client_id: cloud.facts().common_name.clone(),
            user: None,
            tls: self.place().tls(shown).unwrap(),
        };
        Conformance {
            place: self.place(),
            kind: if self.strict { Kind::Embedded } else { Kind::External },
            cloud: Arc::clone(&self.cloud),
            ear: Arc::clone(&self.inbox),
            own,
            other,
            foreign: Some(self.face(Who::Device, &foreign)),
            strangers,
            cloud_face: Some(cloud_face),
            keyring: Arc::from(*b"the keyring"),
            root_version: 2,
            settle: Duration::ZERO,
        }
    }
}

fn id(device: &str) -> DeviceId {
    device.parse().unwrap()
}

/// A report that differs from others in its uptime.
fn report(uptime_secs: u64) -> Report {
    sample_report(uptime_secs, None)
}
