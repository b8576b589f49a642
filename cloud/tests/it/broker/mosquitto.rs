//! The suite against a real Mosquitto, run with the committed configuration.

use super::suite::suite;
use super::{Bench, OURS, id, report, time, within};
use coterm_certs::Pki;
use coterm_cloud::conformance::Ear;
use coterm_cloud::conformance::client::{Login, PATIENCE};
use coterm_cloud::mqtt::external::{ExternalBroker, ExternalConfig, LinkStatus};
use coterm_cloud::ports::{Broker, Inbox, Incoming, Outgoing, PublishError};
use coterm_shared::protocol::Topic;
use coterm_shared::time::Seconds;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const CONFIGURATION: &str = include_str!("../../../brokers/mosquitto/mosquitto.conf");
const ACCESS_RULE: &str = include_str!("../../../brokers/mosquitto/acl");

suite!(start);

/// A Mosquitto of its own, killed when dropped.
struct Mosquitto {
    process: Child,
    dir: TempDir,
    port: u16,
}

impl Mosquitto {
    fn binary() -> PathBuf {
        ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto"]
            .map(PathBuf::from)
            .into_iter()
            .find(|path| path.exists())
            .expect("this test needs Mosquitto: run `apt-get install mosquitto` (or leave out tests named `mosquitto`)")
    }

    fn start(pki: &Pki, dir: TempDir) -> Mosquitto {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        pki.server_identity(&["localhost".to_owned()]).unwrap();
        pki.write_revocation_list().unwrap();
        let etc = format!("{}/", dir.path().display());
        let mut text =
            CONFIGURATION.replace("/etc/mosquitto/coterm/", &etc).replace("/var/lib/mosquitto/", &etc);
        assert_eq!(text.matches("listener 8883").count(), 1);
        text = text.replace("listener 8883", &format!("listener {port} 127.0.0.1"));
        // A test run by root would otherwise drop its rights and not be able to read its own files.
        text.push_str("\nuser root\n");
        std::fs::write(dir.path().join("mosquitto.conf"), text).unwrap();
        std::fs::write(dir.path().join("acl"), ACCESS_RULE).unwrap();
        let process = Mosquitto::spawn(dir.path());
        Mosquitto { process, dir, port }
    }

    fn spawn(dir: &Path) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).unwrap();
        Command::new(Mosquitto::binary())
            .arg("-v")
            .arg("-c")
            .arg(dir.join("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("Mosquitto starts")
    }

    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// SIGHUP: it reads its lists again.
    fn hang_up(&self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    fn restart(&mut self) {
        self.kill();
        self.process = Mosquitto::spawn(self.dir.path());
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("--- Mosquitto said:\n{log}");
        }
    }
}

fn config(port: u16) -> ExternalConfig {
    let mut config = ExternalConfig::new("localhost", port);
    config.max_backoff = Duration::from_millis(200);
    config.publish_timeout = PATIENCE;
    config
}

async fn up(external: &ExternalBroker) {
    let mut status = external.status();
    within("connection to Mosquitto", status.wait_for(|status| *status == LinkStatus::Up)).await.unwrap();
}

async fn launch() -> (Bench, Arc<ExternalBroker>, Mosquitto) {
    launch_with(false).await
}

async fn launch_with(shared: bool) -> (Bench, Arc<ExternalBroker>, Mosquitto) {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open_or_create(dir.path(), time).unwrap();
    launch_from(pki, dir, shared).await
}

async fn launch_from(pki: Pki, dir: TempDir, shared: bool) -> (Bench, Arc<ExternalBroker>, Mosquitto) {
    let mosquitto = Mosquitto::start(&pki, dir);
    let inbox = Arc::new(Ear::default());
    let external = ExternalBroker::start(
        ExternalConfig { shared, ..config(mosquitto.port) },
        &pki.cloud_identity().unwrap(),
        &[pki.ca_certificate().clone()],
        Arc::clone(&inbox) as Arc<dyn Inbox>,
    )
    .unwrap();
    let external = Arc::new(external);
    up(&external).await;
    let bench = Bench {
        pki,
        port: mosquitto.port,
        cloud: Arc::clone(&external) as Arc<dyn Broker>,
        inbox,
        strict: false,
        _keep: Box::new(()),
    };
    (bench, external, mosquitto)
}

async fn start() -> Bench {
    let (mut bench, _, mosquitto) = launch().await;
    bench._keep = Box::new(mosquitto);
    bench
}

#[tokio::test]
async fn r7_the_matrix_holds_with_the_documented_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open_or_create(dir.path(), time).unwrap();
    let revoked = pki.device_certificate(&id("cam-1"), OURS).unwrap();
    pki.revoke(&revoked.facts.serial).unwrap();
    let (bench, _external, _mosquitto) = launch_from(pki, dir, false).await;
    super::matrix::holds(&bench, &revoked).await;
}

#[tokio::test]
async fn a_certificate_that_is_revoked_later_is_refused_after_a_hangup() {
    let (bench, _external, mosquitto) = launch().await;
    let stolen = bench.certificate("cam-1");
    let login = Login { tls: bench.place().tls_of(&stolen).unwrap(), ..bench.login("cam-1") };
    login.connect().await.unwrap().leave().await;
    bench.pki.revoke(&stolen.facts.serial).unwrap();
    assert!(bench.pki.write_revocation_list().unwrap());
    mosquitto.hang_up();
    within("refusal", async {
        while let Ok(client) = login.connect().await {
            client.leave().await;
        }
    })
    .await;
    bench.connect("cam-1").await.leave().await;
}

#[tokio::test]
async fn a_retained_token_waits_for_a_device_while_the_cloud_is_away() {
    let bench = start().await;
    bench.publish(Topic::Token(id("cam-1")), b"retained").await;
    bench.cloud.stop().await;
    let mut device = bench.connect("cam-1").await;
    device.subscribe("coterm/v1/d/cam-1/token").await.unwrap();
    assert_eq!(device.message().await.unwrap().1.payload.as_ref(), b"retained");
}

#[tokio::test]
async fn after_a_broker_restart_the_cloud_hears_and_speaks_again() {
    let (bench, external, mut mosquitto) = launch().await;
    mosquitto.kill();
    let mut status = external.status();
    within("news of the loss", status.wait_for(|status| *status != LinkStatus::Up)).await.unwrap();
    let message = Outgoing { topic: Topic::Keyring, payload: Arc::from(*b"x"), retain: true };
    let lost = external.publish(message).await;
    assert!(matches!(lost, Err(PublishError::Disconnected { .. })), "never silently lost: {lost:?}");

    mosquitto.restart();
    up(&external).await;
    let mut device = bench.connect("cam-1").await;
    device.subscribe("coterm/v1/d/cam-1/token").await.unwrap();
    bench.publish(Topic::Token(id("cam-1")), b"again").await;
    assert_eq!(device.message().await.unwrap().1.payload.as_ref(), b"again");
    device.publish("coterm/v1/d/cam-1/report", &report(7).to_payload().unwrap()).await.unwrap();
    bench.hears("cam-1", &Incoming::Report(report(7))).await;
}

/// The time the cloud trusts, in seconds since 1970.
#[derive(Debug)]
struct Trusted(AtomicU64);

impl TimeProvider for Trusted {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

#[tokio::test]
async fn the_broker_is_judged_at_the_time_the_cloud_trusts_not_at_the_clock_of_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open_or_create(dir.path(), time).unwrap();
    let mosquitto = Mosquitto::start(&pki, dir);
    let now = time().at();
    let trusted = Arc::new(Trusted(AtomicU64::new(now.saturating_add(Seconds::days(1_000)).as_secs())));
    let external = ExternalBroker::start(
        ExternalConfig { time: Arc::clone(&trusted) as Arc<dyn TimeProvider>, ..config(mosquitto.port) },
        &pki.cloud_identity().unwrap(),
        &[pki.ca_certificate().clone()],
        Arc::new(Ear::default()),
    )
    .unwrap();
    let mut status = external.status();
    let ended =
        |status: &LinkStatus| matches!(status, LinkStatus::Down { reason } if reason.contains("expired"));
    within("refusal of a certificate that ended", status.wait_for(ended)).await.unwrap();
    trusted.0.store(now.as_secs(), Ordering::Relaxed);
    up(&external).await;
}

#[tokio::test]
async fn a_renewed_certificate_of_ours_is_shown_at_the_next_connection() {
    let (bench, external, mut mosquitto) = launch().await;
    mosquitto.kill();
    let mut status = external.status();
    within("news of the loss", status.wait_for(|status| *status != LinkStatus::Up)).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let strangers = Pki::open_or_create(other.path(), time).unwrap();
    let authorities = [bench.pki.ca_certificate().clone()];
    external.reload(&strangers.cloud_identity().unwrap(), &authorities).unwrap();
    mosquitto.restart();
    let refused =
        |status: &LinkStatus| matches!(status, LinkStatus::Down { reason } if reason.contains("alert"));
    within("refusal of what is shown now", status.wait_for(refused)).await.unwrap();
    external.reload(&bench.pki.cloud_identity().unwrap(), &authorities).unwrap();
    up(&external).await;
}

#[tokio::test]
async fn hundreds_of_publishes_at_once_are_all_acknowledged() {
    let (bench, external, _mosquitto) = launch().await;
    let publishes: Vec<_> = (0..600)
        .map(|number| {
            let external = Arc::clone(&external);
            let topic = Topic::Token(id(&format!("cam-{number}")));
            tokio::spawn(async move {
                external.publish(Outgoing { topic, payload: Arc::from(*b"token"), retain: true }).await
            })
        })
        .collect();
    for publish in publishes {
        within("acknowledgement", publish).await.unwrap().unwrap();
    }
    let mut device = bench.connect("cam-599").await;
    device.subscribe("coterm/v1/d/cam-599/token").await.unwrap();
    assert_eq!(device.message().await.unwrap().1.payload.as_ref(), b"token");
}

#[tokio::test]
async fn a_device_certificate_does_not_make_a_cloud() {
    let (bench, _external, mosquitto) = launch().await;
    let mut fake = bench.connect("coterm-cloud").await;
    for topic in ["coterm/v1/keyring", "coterm/v1/d/cam-1/token"] {
        let answer = fake.publish(topic, b"x").await;
        assert!(matches!(answer, Ok(rumqttc::v5::mqttbytes::v5::PubAckReason::NotAuthorized)), "{answer:?}");
    }
    drop(mosquitto);
}

#[tokio::test]
async fn a_shared_subscription_hears_reports_too() {
    assert!(!config(1).shared, "Mosquitto cannot keep devices out of a share, see `acl`");
    let (bench, _external, _mosquitto) = launch_with(true).await;
    let mut device = bench.connect("cam-1").await;
    device.publish("coterm/v1/d/cam-1/report", &report(1).to_payload().unwrap()).await.unwrap();
    bench.hears("cam-1", &Incoming::Report(report(1))).await;
}
