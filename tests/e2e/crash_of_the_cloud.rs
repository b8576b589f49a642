//! The daemon dies under load: what it acknowledged is there, once; what it did not acknowledge can be asked again.

use coterm_shared::enforcement::OperatingMode;
use coterm_tests::cloud::Cloud;
use coterm_tests::device::Device;
use coterm_tests::operator::{CAMERA, Tenant};
use coterm_tests::wait::rounds;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const WRITERS: usize = 8;

/// One writer's change: a site of this name, asked for under this key.
fn create_site(tenant: &Tenant, name: &str) -> u16 {
    let body = json!({ "name": name });
    let path = format!("/organizations/{}/sites", tenant.id);
    let key = format!("key-of-{name}-{}", tenant.id);
    tenant.operator.request("POST", &path, Some(&body), &[("idempotency-key", &key)]).0
}

/// Eight writers until the daemon is gone. Returns what was asked, and whether it was acknowledged.
fn write_until_killed(cloud: &mut Cloud, tenant: &Tenant, round: usize) -> BTreeMap<String, bool> {
    let (end, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (end, acknowledged) = (&end, &acknowledged);
                scope.spawn(move || {
                    let mut asked = Vec::new();
                    while !end.load(Ordering::Relaxed) {
                        let name = format!("s-{round}-{writer}-{}", asked.len());
                        let status = create_site(tenant, &name);
                        assert!(matches!(status, 0 | 201 | 503), "{name}: {status}");
                        asked.push((name, status == 201));
                        match status {
                            201 => acknowledged.fetch_add(1, Ordering::Relaxed),
                            _ => break,
                        };
                    }
                    asked
                })
            })
            .collect();
        coterm_tests::wait::eventually("some load", || {
            let done = acknowledged.load(Ordering::Relaxed);
            coterm_tests::wait::holds(done >= 40 + 13 * (round % 8), done)
        });
        cloud.kill();
        end.store(true, Ordering::Relaxed);
        writers.into_iter().flat_map(|writer| writer.join().expect("a writer")).collect()
    })
}

/// How often each site exists.
fn sites(tenant: &Tenant) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for site in tenant.json(&["site", "list"])["items"].as_array().expect("a list") {
        *found.entry(site["name"].as_str().expect("a name").to_owned()).or_insert(0) += 1;
    }
    found
}

#[test]
fn acknowledged_changes_survive_kill_9_exactly_once_and_devices_follow() {
    let mut cloud = Cloud::start();
    let (tenant, mut camera) = Device::only_camera(&cloud, 1, 1);
    camera.start();
    camera.reaches(OperatingMode::Full);

    let mut expected = BTreeMap::from([(String::from("North"), 1)]);
    for round in 0..4 * rounds() {
        let asked = write_until_killed(&mut cloud, &tenant, round);
        cloud.restart();
        let found = sites(&tenant);
        for (name, acknowledged) in &asked {
            let count = found.get(name).copied().unwrap_or(0);
            assert!(count <= 1, "{name} is there {count} times");
            assert!(count == 1 || !acknowledged, "{name} was acknowledged and is gone");
            // Whoever got no answer asks again under the same key: once in the end, whatever had happened.
            assert_eq!(create_site(&tenant, name), 201, "{name}");
        }
        expected.extend(asked.into_keys().map(|name| (name, 1)));
        assert_eq!(sites(&tenant), expected);

        let verified = tenant.operator.get(&format!("/organizations/{}/transactions/verify", tenant.id));
        assert_eq!(verified["intact"], true, "{verified}");
        assert!(
            verified["entries"].as_u64().is_some_and(|entries| entries >= expected.len() as u64),
            "{verified}"
        );
    }

    // The device was reconnecting all the while, and still obeys.
    tenant.device("cam-2", "North", CAMERA);
    camera.reaches(OperatingMode::Stopped);
    camera.workload_runs(false);
    let _ = tenant.json(&["device", "retire", "cam-2", "--yes"]);
    camera.reaches(OperatingMode::Full);
    camera.workload_runs(true);
    assert_eq!(camera.workload.doubled(), 0);
}

#[test]
fn a_daemon_killed_right_after_a_change_still_brings_it_to_the_device() {
    let mut cloud = Cloud::start();
    let (tenant, mut camera) = Device::only_camera(&cloud, 1, 1);
    camera.start();
    camera.reaches(OperatingMode::Full);
    for (n, delay) in (0..rounds()).flat_map(|_| [0, 3, 10, 30, 100]).enumerate() {
        let spare = format!("spare-{n}");
        tenant.device(&spare, "North", CAMERA);
        std::thread::sleep(Duration::from_millis(delay));
        cloud.kill();
        cloud.restart();
        camera.reaches(OperatingMode::Stopped);
        let _ = tenant.json(&["device", "retire", &spare, "--yes"]);
        cloud.kill();
        cloud.restart();
        camera.reaches(OperatingMode::Full);
    }
    camera.workload_runs(true);
    assert_eq!(camera.workload.doubled(), 0);
}
