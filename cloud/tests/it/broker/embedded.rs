//! The suite against the embedded broker, and what only it promises.

use super::suite::suite;
use super::{Bench, OURS, id, report, time, within};
use coterm_certs::{DeviceCertificate, Pki, Revoked};
use coterm_cloud::broker::embedded::{EmbeddedBroker, EmbeddedConfig};
use coterm_cloud::conformance::Ear;
use coterm_cloud::conformance::client::{Login, Mqtt};
use coterm_cloud::ports::{Broker, Inbox, Incoming, Owners};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::protocol::Topic;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::ConnectReturnCode;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

suite!(start);

pub(super) fn config() -> EmbeddedConfig {
    EmbeddedConfig { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ..EmbeddedConfig::default() }
}

/// All devices have the same owner, but those called foreign.
struct Owner(Mutex<OrganizationId>);

impl Owners for Owner {
    fn is_owner(&self, organization: OrganizationId, device: &DeviceId) -> bool {
        let foreign = device.as_str().starts_with("foreign");
        organization == if foreign { super::THEIRS } else { *self.0.lock().unwrap() }
    }
}

pub(super) async fn launch(config: EmbeddedConfig) -> (Bench, Arc<EmbeddedBroker>) {
    launch_for(config, Arc::new(Owner(Mutex::new(OURS)))).await
}

async fn launch_for(config: EmbeddedConfig, owner: Arc<Owner>) -> (Bench, Arc<EmbeddedBroker>) {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open_or_create(dir.path(), time).unwrap();
    let inbox = Arc::new(Ear::default());
    let identity = pki.server_identity(&["localhost".to_owned()]).unwrap();
    let broker = EmbeddedBroker::start(
        config,
        &identity,
        std::slice::from_ref(pki.ca_certificate()),
        Revoked::new(),
        Arc::clone(&inbox) as Arc<dyn Inbox>,
        owner,
    )
    .await
    .unwrap();
    let broker = Arc::new(broker);
    let bench = Bench {
        pki,
        port: broker.local_addr().unwrap().port(),
        cloud: Arc::clone(&broker) as Arc<dyn Broker>,
        inbox,
        strict: true,
        _keep: Box::new(dir),
    };
    (bench, broker)
}

async fn start() -> Bench {
    launch(config()).await.0
}

#[tokio::test]
async fn r7_the_matrix_holds() {
    // Those who watch say more in a second than any device.
    let (bench, broker) = launch(EmbeddedConfig { max_messages_per_second: u32::MAX, ..config() }).await;
    let revoked = bench.certificate("cam-1");
    broker.set_revoked(bench.pki.revoke(&revoked.facts.serial).unwrap()).await;
    super::matrix::holds(&bench, &revoked).await;
}

#[tokio::test]
async fn who_is_not_let_in_is_told_why() {
    let (bench, _broker) = launch(config()).await;
    let own = bench.login("cam-1");
    let will = Some(("coterm/v1/d/cam-1/report".to_owned(), b"{}".to_vec()));
    for (login, reason) in [
        (Login { client_id: "cam-2".to_owned(), ..own.clone() }, ConnectReturnCode::ClientIdentifierNotValid),
        (Login { user: Some("cam-2".to_owned()), ..own.clone() }, ConnectReturnCode::BadUserNamePassword),
        (Login { will, ..own.clone() }, ConnectReturnCode::NotAuthorized),
    ] {
        let error = login.connect().await.err().unwrap();
        assert!(error.contains(&format!("{reason:?}")), "{error}");
    }
}

/// A TLS connection without MQTT.
pub(super) async fn raw(bench: &Bench, certificate: &DeviceCertificate) -> TlsStream<TcpStream> {
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, bench.port)).await.unwrap();
    handshake(bench, certificate, socket).await
}

/// The same on a socket that is there.
pub(super) async fn handshake(
    bench: &Bench,
    certificate: &DeviceCertificate,
    socket: TcpStream,
) -> TlsStream<TcpStream> {
    let tls = bench.place().tls_of(certificate).unwrap();
    TlsConnector::from(tls).connect("localhost".try_into().unwrap(), socket).await.unwrap()
}

/// Waits until the peer closed the connection.
pub(super) async fn closed(mut stream: impl tokio::io::AsyncRead + Unpin) {
    within("end of the connection", async {
        let mut buffer = [0; 1_024];
        // Both an end and a reset are one.
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    })
    .await;
}

fn ends(bench: &Bench, device: &str) -> usize {
    bench.heard(device, &Incoming::Disconnected)
}

#[tokio::test]
async fn silent_sockets_hold_up_nobody_and_are_closed() {
    let (bench, broker) =
        launch(EmbeddedConfig { handshake_timeout: Duration::from_millis(300), ..config() }).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect((Ipv4Addr::LOCALHOST, bench.port)).await.unwrap());
    }
    let mut device = bench.connect("cam-1").await;
    device.publish("coterm/v1/d/cam-1/report", &report(1).to_payload().unwrap()).await.unwrap();
    for socket in silent {
        closed(socket).await;
    }
    within("count", async {
        while broker.counters().handshakes_failed < 100 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn one_address_cannot_take_every_place() {
    let (bench, broker) = launch(EmbeddedConfig { max_pending: 8, ..config() }).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect((Ipv4Addr::LOCALHOST, bench.port)).await.unwrap());
    }
    // The fifth of a half of eight.
    closed(TcpStream::connect((Ipv4Addr::LOCALHOST, bench.port)).await.unwrap()).await;
    assert_eq!(broker.counters().turned_away, 1);
    drop(silent);
    within("CONNACK", async { while bench.login("cam-1").connect().await.is_err() {} }).await;

    let (bench, _broker) = launch(EmbeddedConfig { max_connections_per_address: 1, ..config() }).await;
    let _first = bench.connect("cam-1").await;
    assert!(bench.login("cam-2").connect().await.is_err());
}

#[tokio::test]
async fn more_devices_than_it_was_told_are_refused_but_a_known_one_may_return() {
    let (bench, broker) = launch(EmbeddedConfig { max_devices: 1, ..config() }).await;
    let _first = bench.connect("cam-1").await;
    assert!(bench.login("cam-2").connect().await.is_err());
    let mut again = bench.connect("cam-1").await;
    again.publish("coterm/v1/d/cam-1/report", &report(1).to_payload().unwrap()).await.unwrap();
    assert_eq!(broker.counters().devices, 1);
}

/// A device that subscribed and then stopped reading; the broker's writes to it fill every buffer on the way.
async fn clog(bench: &Bench, device: &str) -> Mqtt {
    let mut slow = bench.connect(device).await;
    slow.subscribe_at(&format!("coterm/v1/d/{device}/token"), QoS::AtMostOnce).await.unwrap();
    for _ in 0..3_000 {
        bench.publish(Topic::Token(id(device)), &[0; 4_096]).await;
        tokio::task::yield_now().await;
    }
    slow
}

#[tokio::test]
async fn a_slow_subscriber_holds_up_nobody() {
    let (bench, _broker) = launch(config()).await;
    let mut quick = bench.connect("quick").await;
    quick.subscribe("coterm/v1/d/quick/token").await.unwrap();
    quick.subscribe("coterm/v1/keyring").await.unwrap();
    let mut slow = bench.connect("slow").await;
    slow.subscribe("coterm/v1/keyring").await.unwrap();
    let _also_slow = clog(&bench, "clogged").await;
    for _ in 0..200 {
        bench.publish(Topic::Keyring, b"keyring").await;
    }
    bench.publish(Topic::Token(id("quick")), b"token").await;
    loop {
        let (topic, message) = quick.message().await.unwrap();
        if topic == "coterm/v1/d/quick/token" {
            assert_eq!(message.payload.as_ref(), b"token");
            break;
        }
    }
}

#[tokio::test]
async fn a_device_that_does_not_read_can_be_put_out_and_can_come_back() {
    let (bench, broker) = launch(config()).await;
    let _slow = clog(&bench, "cam-1").await;
    within("kick", broker.kick(&id("cam-1"))).await;
    assert_eq!(ends(&bench, "cam-1"), 1);

    let _stuck = clog(&bench, "cam-1").await;
    let mut back = bench.connect("cam-1").await;
    back.subscribe("coterm/v1/d/cam-1/token").await.unwrap();
    bench.publish(Topic::Token(id("cam-1")), b"for the new connection").await;
    while back.message().await.unwrap().1.payload.as_ref() != b"for the new connection" {}
    assert_eq!(ends(&bench, "cam-1"), 1, "it is connected: the old connection's end is not the device's");
    drop(back);
    within("end", async {
        while bench.inbox.all().last() != Some(&(id("cam-1"), Incoming::Disconnected)) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(broker.counters().devices, 0);
}

#[tokio::test]
async fn a_revoked_certificate_ends_its_connection_and_never_connects_again() {
    let (bench, broker) = launch(config()).await;
    let stolen = bench.certificate("cam-1");
    let tls = bench.place().tls_of(&stolen).unwrap();
    let login = Login { tls, ..bench.login("cam-1") };
    let mut thief = login.connect().await.unwrap();
    let mut other = bench.connect("cam-2").await;

    broker.set_revoked(bench.pki.revoke(&stolen.facts.serial).unwrap()).await;
    thief.end().await.unwrap();
    bench.hears("cam-1", &Incoming::Disconnected).await;
    assert!(login.connect().await.is_err());
    assert!(other.publish("coterm/v1/d/cam-2/report", b"{}").await.is_ok(), "others go on");
    let mut replaced = bench.connect("cam-1").await;
    assert!(replaced.subscribe("coterm/v1/d/cam-1/token").await.is_ok(), "the device has a new certificate");
}

#[tokio::test]
async fn a_certificate_of_an_earlier_owner_gets_and_says_nothing() {
    let theirs = OrganizationId::from_bytes([2; 16]);
    let owner = Arc::new(Owner(Mutex::new(theirs)));
    let (bench, broker) = launch_for(config(), Arc::clone(&owner)).await;
    assert!(bench.login("cam-1").connect().await.is_err(), "never the owner");

    // The owner changes while the earlier one is connected.
    *owner.0.lock().unwrap() = OURS;
    let mut silent = bench.connect("cam-1").await;
    silent.subscribe("coterm/v1/d/cam-1/token").await.unwrap();
    let mut talking = bench.connect("cam-2").await;
    let _idle = bench.connect("cam-3").await;
    *owner.0.lock().unwrap() = theirs;
    bench.publish(Topic::Token(id("cam-1")), b"for the new owner").await;
    bench.hears("cam-1", &Incoming::Disconnected).await;
    silent.end().await.unwrap();
    let _ = talking.publish("coterm/v1/d/cam-2/report", &report(1).to_payload().unwrap()).await;
    bench.hears("cam-2", &Incoming::Disconnected).await;
    assert_eq!(bench.inbox.count(|_, incoming| matches!(incoming, Incoming::Report(_))), 0);
    within("end", broker.end_disowned(None)).await;
    assert_eq!((ends(&bench, "cam-3"), broker.counters().devices), (1, 0));
    assert!(bench.login("cam-1").connect().await.is_err());
}

#[tokio::test]
async fn a_new_server_certificate_serves_new_connections_and_spares_old_ones() {
    let (bench, broker) = launch(config()).await;
    let mut old = bench.connect("cam-1").await;
    let certificate = bench.certificate("cam-2");
    let shown = |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let before = shown(&raw(&bench, &certificate).await);
    let names = ["localhost".to_owned(), "broker.example".to_owned()];
    broker.reload(&bench.pki.server_identity(&names).unwrap()).unwrap();
    assert_ne!(shown(&raw(&bench, &certificate).await), before);
    assert!(old.publish("coterm/v1/d/cam-1/report", b"{}").await.is_ok());
}

#[tokio::test]
async fn stopping_says_goodbye_to_everybody() {
    let (bench, broker) = launch(config()).await;
    let mut devices = Vec::new();
    for device in ["cam-1", "cam-2", "cam-3"] {
        let mut stream = raw(&bench, &bench.certificate(device)).await;
        // CONNECT of MQTT 5, clean start, keep alive 60 s.
        stream.write_all(b"\x10\x12\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x05").await.unwrap();
        stream.write_all(device.as_bytes()).await.unwrap();
        bench.hears(device, &Incoming::Connected).await;
        devices.push((device, stream));
    }
    let silent = TcpStream::connect((Ipv4Addr::LOCALHOST, bench.port)).await.unwrap();
    let handshaken = raw(&bench, &bench.certificate("cam-4")).await;
    within("stop", broker.stop()).await;
    for (device, mut stream) in devices {
        let mut said = Vec::new();
        // What ends it without a TLS goodbye is an error here; what came before counts.
        let _ = within("end", stream.read_to_end(&mut said)).await;
        assert!(said.ends_with(b"\xe0\x01\x8b"), "DISCONNECT, server shutting down: {said:x?}");
        assert_eq!(ends(&bench, device), 1);
    }
    closed(silent).await;
    closed(handshaken).await;
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, bench.port)).await.is_err());
    within("second stop", broker.stop()).await;
}

#[tokio::test]
async fn what_is_too_large_or_makes_no_sense_does_not_reach_the_inbox() {
    let (bench, broker) = launch(config()).await;
    let mut device = bench.connect("cam-1").await;
    for payload in [b"".as_slice(), b"{}", b"{\"v\":2}", &[b'['; 9_000]] {
        device.publish("coterm/v1/d/cam-1/report", payload).await.unwrap();
    }
    assert_eq!(broker.counters().malformed, 4);
    assert!(device.publish("coterm/v1/d/cam-1/report", &[b' '; 20_000]).await.is_err(), "beyond any report");
    bench.hears("cam-1", &Incoming::Disconnected).await;
    assert_eq!(
        bench.inbox.count(|_, incoming| matches!(incoming, Incoming::Report(_) | Incoming::Request(_))),
        0
    );
}

#[tokio::test]
async fn a_flood_of_reports_is_slowed_to_its_limit() {
    let (bench, broker) = launch(EmbeddedConfig { max_messages_per_second: 5, ..config() }).await;
    let mut device = bench.connect("cam-1").await;
    let mut refused = 0;
    for uptime in 0..20 {
        let payload = report(uptime).to_payload().unwrap();
        let answer = device.publish("coterm/v1/d/cam-1/report", &payload).await.unwrap();
        refused += usize::from(answer != rumqttc::v5::mqttbytes::v5::PubAckReason::Success);
    }
    assert!(refused > 0 && broker.counters().delivered < 20, "{refused}");
}

#[tokio::test]
async fn older_mqtt_is_told_that_it_is_not_spoken() {
    let (bench, _broker) = launch(config()).await;
    let mut stream = raw(&bench, &bench.certificate("cam-1")).await;
    // CONNECT of MQTT 3.1.1 with client id "cam-1".
    stream.write_all(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05cam-1").await.unwrap();
    let mut connack = [0; 4];
    within("CONNACK", stream.read_exact(&mut connack)).await.unwrap();
    assert_eq!((connack[0], connack[3]), (0x20, 1), "unacceptable protocol version");
    closed(stream).await;
}
