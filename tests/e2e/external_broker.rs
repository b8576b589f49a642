//! An installation with a broker of its own: a real Mosquitto, with the access rule the documentation gives.

use coterm_shared::enforcement::OperatingMode;
use coterm_tests::cloud::{Cloud, MQTT_PORT};
use coterm_tests::device::{Device, Obeys};
use coterm_tests::mqtt::{Login, Neighbour};
use coterm_tests::operator::CAMERA;
use coterm_tests::process::Process;
use coterm_tests::rogue::mosquitto;
use coterm_tests::wait::eventually;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

/// Mosquitto's configuration for `cloud`, with certificates from the installation's own authority.
fn configure(cloud: &Cloud) -> PathBuf {
    let dir = cloud.data_dir().join("pki");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::set_permissions(cloud.data_dir(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let pki = coterm_certs::Pki::open_or_create(&dir).unwrap();
    pki.server_identity(&[cloud.address().to_string()]).unwrap();
    pki.cloud_identity().unwrap();
    let acl = cloud.dir().join("acl");
    std::fs::write(
        &acl,
        "user coterm.cloud\ntopic write coterm/v1/keyring\ntopic write coterm/v1/d/+/token\n\
         topic read coterm/v1/d/+/report\ntopic read coterm/v1/d/+/request\n\n\
         pattern read coterm/v1/keyring\npattern read coterm/v1/d/%u/token\n\
         pattern write coterm/v1/d/%u/report\npattern write coterm/v1/d/%u/request\n",
    )
    .unwrap();
    let config = cloud.dir().join("mosquitto.conf");
    let file = |name: &str| dir.join(name).display().to_string();
    std::fs::write(
        &config,
        format!(
            "per_listener_settings false\nlistener {MQTT_PORT} {ip}\nallow_anonymous false\nuser root\nlog_dest stderr\n\
             cafile {ca}\ncertfile {crt}\nkeyfile {key}\ntls_version tlsv1.3\nrequire_certificate true\n\
             use_identity_as_username true\nuse_username_as_clientid true\nacl_file {acl}\n\
             persistence true\npersistence_location {home}/\nautosave_interval 1\n",
            ip = cloud.address(),
            ca = file("ca.crt"),
            crt = file("server.crt"),
            key = file("server.key"),
            acl = acl.display(),
            home = cloud.dir().display(),
        ),
    )
    .unwrap();
    config
}

fn start(cloud: &Cloud, config: &Path) -> Process {
    let process = mosquitto(config, cloud.dir());
    eventually("Mosquitto to listen", || {
        TcpStream::connect((cloud.address(), MQTT_PORT))
            .map_err(|error| format!("{error}: {}", process.log()))
    });
    process
}

/// A daemon for an external broker at its own address.
fn prepare() -> Cloud {
    // The paths are only known once the daemon has its place, so they are relative to its directory.
    Cloud::prepare(&[
        "mqtt.mode=external",
        "mqtt.external.ca_file=data/pki/ca.crt",
        "mqtt.external.certificate_file=data/pki/cloud.crt",
        "mqtt.external.key_file=data/pki/cloud.key",
    ])
}

#[test]
fn devices_follow_through_mosquitto_and_through_its_death() {
    let mut cloud = prepare();
    let config = configure(&cloud);
    let mut broker = start(&cloud, &config);
    cloud.restart();
    let tenant = cloud.vendor().organization("Acme", 1, 1);
    let group = tenant.group("North");
    tenant.license(&group, "camera", 1, 365 * 86_400);
    tenant.device("cam-1", "North", CAMERA);
    let mut camera = Device::provision(&cloud, &tenant, "cam-1", Obeys::BySupervision);
    camera.start();
    camera.reaches(OperatingMode::Full);
    camera.workload_runs(true);

    // The broker dies and comes back while the books change.
    broker.kill();
    tenant.device("cam-2", "North", CAMERA);
    let mut broker = start(&cloud, &config);
    camera.reaches(OperatingMode::Stopped);
    camera.workload_runs(false);

    // With the daemon dead, a device fetches what the broker kept for it: the stop, and no more.
    cloud.kill();
    camera.kill();
    camera.start();
    camera.reaches(OperatingMode::Stopped);
    broker.kill();
    let _broker = start(&cloud, &config);
    cloud.restart();
    let _ = tenant.json(&["device", "retire", "cam-2", "--yes"]);
    camera.reaches(OperatingMode::Full);
    camera.workload_runs(true);
    assert_eq!(camera.workload.doubled(), 0);

    // Mosquitto, configured as documented, keeps devices apart as well.
    let login = Login {
        address: cloud.address(),
        port: MQTT_PORT,
        client_id: "whatever",
        username: None,
        directory: camera.dir(),
        certificate: true,
        will: None,
    };
    for topic in ["coterm/v1/d/cam-2/report", "coterm/v1/d/cam-1/token", "coterm/v1/keyring"] {
        let mut client = Neighbour::connect(&login).expect("its own certificate");
        assert_ne!(client.publish(topic, b"{}", true), Ok(true), "must not write {topic}");
    }
    assert!(Neighbour::connect(&Login { certificate: false, ..login }).is_err(), "no certificate, no entry");
}
