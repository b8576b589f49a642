//! An installation with a broker of its own: a real Mosquitto, with the access rule the documentation gives.

use coterm_shared::enforcement::OperatingMode;
use coterm_tests::broker::OwnBroker;
use coterm_tests::cloud::{Cloud, MQTT_PORT};
use coterm_tests::device::Device;
use coterm_tests::mqtt::{Login, Neighbour};
use coterm_tests::operator::CAMERA;
use coterm_tests::process::Process;
use coterm_tests::wait::eventually;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn configure(cloud: &Cloud) -> PathBuf {
    OwnBroker::configure(cloud, "", "")
}

fn start(cloud: &Cloud, config: &Path) -> Process {
    OwnBroker::start(cloud, config)
}

/// A daemon for an external broker at its own address.
fn prepare() -> Cloud {
    OwnBroker::prepare()
}

#[test]
fn devices_follow_through_mosquitto_and_through_its_death() {
    let mut cloud = prepare();
    let config = configure(&cloud);
    let mut broker = start(&cloud, &config);
    cloud.restart();
    let (tenant, mut camera) = Device::only_camera(&cloud, 1, 1);
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

/// A broker that comes back without what it kept is told the keyring again, also if no device of those that know it is there.
#[test]
fn a_mosquitto_that_forgot_the_keyring_is_told_it_again() {
    let mut cloud = prepare();
    let config = OwnBroker::configure(&cloud, "persistence true", "persistence false");
    let mut broker = start(&cloud, &config);
    cloud.restart();
    let (_tenant, mut camera) = Device::only_camera(&cloud, 1, 1);
    camera.start();
    camera.reaches(OperatingMode::Full);
    camera.kill();

    broker.kill();
    let _broker = start(&cloud, &config);
    let login = Login {
        address: cloud.address(),
        port: MQTT_PORT,
        client_id: "whatever",
        username: None,
        directory: camera.dir(),
        certificate: true,
        will: None,
    };
    let kept = eventually("the broker to keep the keyring", || {
        let mut client = Neighbour::connect(&login)?;
        client.subscribe("coterm/v1/keyring")?;
        client
            .message("coterm/v1/keyring", Duration::from_secs(1))
            .ok_or_else(|| format!("nothing is kept; {}", cloud.log()))
    });
    assert!(!kept.is_empty());
}
