//! Bytes nobody should believe, brought to a real device by a broker in the wrong hands and by hand.

use coterm_shared::enforcement::OperatingMode;
use coterm_shared::id::OrganizationId;
use coterm_shared::protocol::Report;
use coterm_shared::token::Claims;
use coterm_tests::cloud::{Cloud, MQTT_PORT};
use coterm_tests::device::Device;
use coterm_tests::forge::{Forger, licensed_for_ever};
use coterm_tests::mqtt::{Login, Neighbour};
use coterm_tests::operator::{CAMERA, Tenant};
use coterm_tests::rogue::RogueBroker;
use coterm_tests::wait::{PATIENCE, eventually, holds, never};
use serde_json::json;
use std::time::Duration;

/// A token this device really was issued, caught on its way: licensed, and soon outdated.
fn caught_on_the_way(cloud: &Cloud, device: &Device) -> Vec<u8> {
    let login = Login {
        address: cloud.address(),
        port: MQTT_PORT,
        client_id: device.id(),
        username: Some(device.id()),
        directory: device.dir(),
        certificate: true,
        will: None,
    };
    let mut client = Neighbour::connect(&login).expect("its own certificate");
    let topic = format!("coterm/v1/d/{}/token", device.id());
    assert_eq!(client.subscribe(&topic), Ok(true));
    // What an agent says when it is new: it holds nothing.
    let report = json!({
        "v": 1, "class": "camera", "mode": "management-locked", "state": "management-locked", "keyring_version": 0,
        "root_version": 1, "trusted_time": "2026-01-01T00:00:00Z", "time_source": "build", "wall_skew_secs": 0,
        "boot_id": "01900000-0000-7000-8000-000000000000", "uptime_secs": 1, "agent_version": "e2e",
    });
    let report = report.to_string().into_bytes();
    Report::parse(&report).expect("a report as agents make them");
    assert_eq!(client.publish(&format!("coterm/v1/d/{}/report", device.id()), &report, false), Ok(true));
    client.message(&topic, PATIENCE).expect("a token answers a device that has none")
}

/// A camera whose group was licensed once and is over: stopped, with every reason to want another token.
fn stopped_camera(cloud: &Cloud) -> (Tenant, Device, Vec<u8>) {
    let (tenant, mut camera) = Device::only_camera(cloud, 1, 1);
    let old = caught_on_the_way(cloud, &camera);
    camera.start();
    camera.reaches(OperatingMode::Full);
    camera.workload_runs(true);
    tenant.device("cam-2", "North", CAMERA);
    camera.reaches(OperatingMode::Stopped);
    camera.workload_runs(false);
    (tenant, camera, old)
}

/// Every attack: what it is, the bytes, and the code of the refusal.
fn attacks(
    cloud: &Cloud,
    tenant: &Tenant,
    camera: &Device,
    old: &[u8],
) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let epoch = camera.holds_token().epoch;
    let best = licensed_for_ever(tenant, camera.id(), epoch);
    let real = Forger::with_the_real_key(cloud);
    let own = Forger::with_another_key();
    let posing = Forger::posing_as(&real);
    let foreign = |change: fn(&mut Claims)| {
        let mut claims = best.clone();
        change(&mut claims);
        real.token(&claims)
    };
    let mut flipped = real.token(&best);
    *flipped.last_mut().unwrap() ^= 1;
    let mut long = real.token(&best);
    long.resize(5_000, 0);
    vec![
        ("signed by a key of the attacker's", own.token(&best), "UNKNOWN_KEY"),
        ("the same, claiming to be the cloud's key", posing.token(&best), "SIGNATURE"),
        ("one bit flipped", flipped, "SIGNATURE"),
        ("an older token of its own", old.to_vec(), "ROLLBACK"),
        ("for another device", foreign(|c| c.device = "cam-2".parse().unwrap()), "WRONG_DEVICE"),
        (
            "of another organization",
            foreign(|c| c.organization = OrganizationId::from_bytes([9; 16])),
            "WRONG_ORGANIZATION",
        ),
        (
            "of another trust domain",
            foreign(|c| c.trust_domain = "evil.test".parse().unwrap()),
            "WRONG_ISSUER",
        ),
        ("of an epoch to come", foreign(|c| c.version.epoch += 1), "EPOCH_UNKNOWN"),
        ("nothing", Vec::new(), "LENGTH"),
        ("too much", long, "LENGTH"),
        ("something else", b"{\"state\":\"licensed\"}".to_vec(), "SHAPE"),
        ("the keyring", std::fs::read(camera.dir().join("keyring.cose")).unwrap(), "SHAPE"),
    ]
}

#[test]
fn a_rogue_broker_moves_nothing() {
    let mut cloud = Cloud::start();
    let (tenant, mut camera, old) = stopped_camera(&cloud);
    let held = camera.holds_token();
    let attacks = attacks(&cloud, &tenant, &camera, &old);
    cloud.stop();
    let rogue = RogueBroker::instead_of(&cloud);
    let topic = format!("coterm/v1/d/{}/token", camera.id());
    let mut spy = rogue.client(camera.dir(), "spy");
    assert_eq!(spy.subscribe("coterm/v1/d/+/report"), Ok(true));

    let refusals = |camera: &Device, code: &str| camera.log().matches(&format!("code=\"{code}\"")).count();
    for (what, bytes, code) in &attacks {
        // A broker keeps no message without bytes.
        if bytes.is_empty() {
            continue;
        }
        // The agent reports one refusal a minute, so as not to be an amplifier; a fresh one reports its first at once.
        camera.kill();
        let before = refusals(&camera, code);
        rogue.publish(camera.dir(), &topic, bytes);
        camera.start();
        eventually(&format!("the refusal {code} of a token {what}"), || {
            let report = spy
                .message(&format!("coterm/v1/d/{}/report", camera.id()), Duration::from_secs(5))
                .ok_or("no report")?;
            let report = Report::parse(&report).map_err(|error| error.to_string())?;
            assert_eq!(report.held, Some(held), "{what} was believed");
            let last = report.last_refusal.map(|refusal| refusal.code.to_string());
            holds(last.as_deref() == Some(*code) && refusals(&camera, code) > before, last)
        });
        let state = camera.state().unwrap();
        assert_eq!((state.mode, state.token), (OperatingMode::Stopped, Some(held)), "{what}");
    }
    never("a forged token starts the workload", Duration::from_secs(2), || {
        holds(camera.workload.running().is_none(), camera.state())
    });
    assert_eq!(camera.workload.starts(), 1);

    // And when the real cloud is back, the device still listens to it.
    drop(spy);
    drop(rogue);
    cloud.restart();
    let _ = tenant.json(&["device", "retire", "cam-2", "--yes"]);
    camera.reaches(OperatingMode::Full);
}

#[test]
fn by_hand_every_attack_is_refused_by_name_and_no_byte_changes() {
    let cloud = Cloud::start();
    let (tenant, mut camera, old) = stopped_camera(&cloud);
    let held = camera.holds_token();
    assert!(camera.stop().success());
    let before = camera.state_bytes();
    assert!(!before.is_empty());
    let file = cloud.dir().join("token");
    let verify = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let path = |name: &str| camera.dir().join(name).to_str().unwrap().to_owned();
        let said = camera.run(&[
            "verify-token",
            "--root",
            &path("root.cose"),
            "--keyring",
            &path("keyring.cose"),
            "--device",
            camera.id(),
            "--organization",
            &tenant.id,
            "--trust-domain",
            "e2e.coterm.test",
            "--held",
            &held.to_string(),
            file.to_str().unwrap(),
        ]);
        let answer: serde_json::Value = serde_json::from_str(&said.stdout).unwrap_or_default();
        (said, answer)
    };
    for (what, bytes, code) in attacks(&cloud, &tenant, &camera, &old) {
        let (said, answer) = verify(&bytes);
        assert_eq!((said.code, answer["code"].as_str()), (1, Some(code)), "{what}: {said:?}");
        assert!(answer["message"].as_str().is_some_and(|text| text.len() > 20), "{what}: {answer}");
    }
    // The same path believes the cloud: this one differs from the attacks in nothing but its truth.
    let best = licensed_for_ever(&tenant, camera.id(), held.epoch);
    let (said, answer) = verify(&Forger::with_the_real_key(&cloud).token(&best));
    assert_eq!((said.code, answer["result"].as_str()), (0, Some("accepted")), "{said:?}");
    assert_eq!(camera.state_bytes(), before);
}

#[test]
fn another_installation_does_not_take_a_device_over() {
    let mut cloud = Cloud::start();
    let (tenant, mut camera, _) = stopped_camera(&cloud);
    let held = camera.holds_token();
    // Same trust domain, same names, everything signed as it should be: by other keys.
    let other = Cloud::start();
    let keyring = std::fs::read(other.data_dir().join("trust/keyring.cose")).unwrap();
    let best = licensed_for_ever(&tenant, camera.id(), held.epoch);
    let token = Forger::with_the_real_key(&other).token(&best);
    drop(other);

    cloud.stop();
    let rogue = RogueBroker::instead_of(&cloud);
    camera.kill();
    rogue.publish(camera.dir(), "coterm/v1/keyring", &keyring);
    rogue.publish(camera.dir(), &format!("coterm/v1/d/{}/token", camera.id()), &token);
    camera.start();
    eventually("the refusal of keyring or token", || {
        let log = camera.log();
        holds(log.contains("code=\"TRUST_") || log.contains("code=\"UNKNOWN_KEY\""), log)
    });
    never("a foreign token starts the workload", Duration::from_secs(3), || {
        let state = camera.state()?;
        holds(state.token == Some(held) && camera.workload.running().is_none(), state)
    });

    drop(rogue);
    cloud.restart();
    let _ = tenant.json(&["device", "retire", "cam-2", "--yes"]);
    camera.reaches(OperatingMode::Full);
}
