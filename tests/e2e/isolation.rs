//! A device with a valid certificate and curiosity: it reaches its own four topics and nothing else.

use coterm_shared::enforcement::OperatingMode;
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_tests::cloud::{Cloud, MQTT_PORT};
use coterm_tests::device::{Device, Obeys};
use coterm_tests::mqtt::{Login, Neighbour};
use coterm_tests::operator::{self, CAMERA};
use std::time::Duration;

/// How the device with this directory logs in as itself.
fn login<'a>(cloud: &Cloud, device: &'a Device) -> Login<'a> {
    Login {
        address: cloud.address(),
        port: MQTT_PORT,
        client_id: device.id(),
        username: Some(device.id()),
        directory: device.dir(),
        certificate: true,
        will: None,
    }
}

/// Two devices of one organization; the neighbour's agent runs, the curious one's does not.
fn curious_and_neighbour(cloud: &Cloud) -> (Device, Device) {
    let tenant = cloud.vendor().organization("Acme", 60, 60);
    let group = tenant.group("North");
    tenant.license(&group, "camera", 2, 365 * 86_400);
    tenant.device("curious", "North", CAMERA);
    tenant.device("neighbour", "North", CAMERA);
    let curious = Device::provision(cloud, &tenant, "curious", Obeys::BySupervision);
    let mut neighbour = Device::provision(cloud, &tenant, "neighbour", Obeys::BySupervision);
    neighbour.start();
    neighbour.reaches(OperatingMode::Full);
    (curious, neighbour)
}

#[test]
fn a_device_reads_and_writes_its_own_topics_alone() {
    let cloud = Cloud::start();
    let (curious, neighbour) = curious_and_neighbour(&cloud);
    let held = neighbour.holds_token();
    let own = login(&cloud, &curious);

    for filter in ["coterm/v1/keyring", "coterm/v1/d/curious/token"] {
        let mut client = Neighbour::connect(&own).expect("its own certificate and name");
        assert_eq!(client.subscribe(filter), Ok(true), "{filter}");
    }
    for filter in [
        "coterm/v1/d/neighbour/token",
        "coterm/v1/d/neighbour/report",
        "coterm/v1/d/neighbour/request",
        "coterm/v1/d/curious/report",
        "coterm/v1/d/+/token",
        "coterm/v1/+/neighbour/token",
        "coterm/v1/d/curious/+",
        "coterm/v1/d/#",
        "+/v1/keyring",
        "coterm/#",
        "#",
        "$SYS/#",
        "$share/x/coterm/v1/d/neighbour/token",
        "$share/cloud/coterm/v1/d/+/report",
        "$share/x/coterm/v1/d/curious/token",
    ] {
        let mut client = Neighbour::connect(&own).expect("its own certificate and name");
        assert_ne!(client.subscribe(filter), Ok(true), "must not read {filter}");
    }
    for topic in [
        "coterm/v1/d/neighbour/report",
        "coterm/v1/d/neighbour/request",
        "coterm/v1/d/neighbour/token",
        "coterm/v1/d/curious/token",
        "coterm/v1/keyring",
        "anything/else",
        "$SYS/broker/uptime",
    ] {
        let mut client = Neighbour::connect(&own).expect("its own certificate and name");
        assert_ne!(client.publish(topic, b"{}", true), Ok(true), "must not write {topic}");
    }
    assert_eq!(neighbour.holds_token(), held, "the neighbour noticed nothing");
    assert_eq!(neighbour.state().unwrap().mode, OperatingMode::Full);
}

#[test]
fn what_is_not_granted_is_not_delivered_either() {
    let cloud = Cloud::start();
    let (curious, neighbour) = curious_and_neighbour(&cloud);
    let own = login(&cloud, &curious);
    let mut client = Neighbour::connect(&own).expect("its own certificate and name");
    let _ = client.subscribe("coterm/v1/d/neighbour/token");
    // The neighbour's agent comes back and says so, and is answered if it asks.
    drop(neighbour);
    assert!(!client.hears_anything(Duration::from_secs(3)), "a token of the neighbour's");
}

#[test]
fn nobody_connects_under_a_name_that_is_not_in_the_certificate() {
    let cloud = Cloud::start();
    let (curious, _neighbour) = curious_and_neighbour(&cloud);
    let own = login(&cloud, &curious);
    assert!(Neighbour::connect(&own).is_ok());

    // Another installation's authority made this certificate, for the same device.
    let foreign = cloud.dir().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    let pki = coterm_certs::Pki::open_or_create(&cloud.dir().join("foreign-pki"), operator::time).unwrap();
    let made = pki
        .device_certificate(&"curious".parse::<DeviceId>().unwrap(), OrganizationId::from_bytes([1; 16]))
        .unwrap();
    std::fs::write(foreign.join("device.crt"), &made.certificate_pem).unwrap();
    std::fs::write(foreign.join("device.key"), made.key_pem.as_bytes()).unwrap();
    std::fs::copy(curious.dir().join("broker-ca.crt"), foreign.join("broker-ca.crt")).unwrap();

    for (what, login) in [
        ("the neighbour's client id", Login { client_id: "neighbour", ..own.clone() }),
        ("the neighbour's user name", Login { username: Some("neighbour"), ..own.clone() }),
        ("no certificate", Login { certificate: false, ..own.clone() }),
        ("another authority's certificate", Login { directory: &foreign, ..own.clone() }),
        (
            "a will for the neighbour's report",
            Login { will: Some("coterm/v1/d/neighbour/report"), ..own.clone() },
        ),
        ("a will for its own report", Login { will: Some("coterm/v1/d/curious/report"), ..own.clone() }),
        ("a will for the keyring", Login { will: Some("coterm/v1/keyring"), ..own.clone() }),
    ] {
        assert!(Neighbour::connect(&login).is_err(), "must not connect with {what}");
    }
}

#[test]
fn a_certificate_does_not_outlive_its_owner() {
    let cloud = Cloud::start();
    let first = cloud.vendor().organization("First", 60, 60);
    let group = first.group("North");
    first.license(&group, "camera", 1, 365 * 86_400);
    first.device("cam-1", "North", CAMERA);
    let kept = Device::provision(&cloud, &first, "cam-1", Obeys::BySupervision);
    let own = login(&cloud, &kept);
    let mut session = Neighbour::connect(&own).expect("its own certificate and name");
    assert_eq!(session.subscribe("coterm/v1/d/cam-1/token"), Ok(true));

    let _ = first.json(&["device", "retire", "cam-1", "--yes"]);
    assert!(Neighbour::connect(&own).is_ok(), "nobody else's yet: it may come and be told");
    let mut session = Neighbour::connect(&own).expect("its own certificate and name");
    assert_eq!(session.subscribe("coterm/v1/d/cam-1/token"), Ok(true));

    let second = cloud.vendor().organization("Second", 60, 60);
    let other = second.group("South");
    second.license(&other, "camera", 1, 365 * 86_400);
    second.device("cam-1", "South", CAMERA);
    assert!(!session.hears_anything(Duration::from_secs(3)), "no token of the second organization's");
    assert_ne!(session.publish("coterm/v1/d/cam-1/report", b"{}", false), Ok(true), "its session is over");
    assert!(Neighbour::connect(&own).is_err(), "the device has another owner");

    // A new certificate takes the place of one that may be lost, within the organization too.
    let provision = |name: &str| {
        let path = cloud.dir().join(name);
        let said = second.coterm(&["device", "provision", "cam-1", "-o", path.to_str().unwrap()]);
        assert_eq!(said.code, 0, "{said:?}");
        (path, said.stderr)
    };
    let (lost, said) = provision("lost");
    assert!(said.contains("Revoked 1 older certificate"), "{said}");
    assert!(Neighbour::connect(&Login { directory: &lost, ..own.clone() }).is_ok());
    let (found, _) = provision("found");
    coterm_tests::wait::eventually("the lost certificate is refused", || {
        let login = Login { directory: &lost, ..own.clone() };
        coterm_tests::wait::holds(Neighbour::connect(&login).is_err(), "it connects")
    });
    assert!(Neighbour::connect(&Login { directory: &found, ..own.clone() }).is_ok());
}
