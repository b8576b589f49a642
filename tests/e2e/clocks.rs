//! Wall clocks that are wrong, on devices and under the cloud, with the real programs.

use coterm_shared::enforcement::{OperatingMode, PublicState};
use coterm_shared::time::Timestamp;
use coterm_tests::clock::WallClock;
use coterm_tests::cloud::Cloud;
use coterm_tests::device::Device;
use coterm_tests::operator::{CAMERA, now};
use coterm_tests::wait::{eventually, holds, never};
use serde_json::Value;
use std::time::Duration;

const DAY: i64 = 86_400;

/// A daemon whose wall clock the test sets; `None` where that cannot be done.
fn cloud_with_a_clock() -> Option<(Cloud, WallClock)> {
    let mut cloud = Cloud::prepare(&[]);
    let clock = WallClock::new(cloud.dir())?;
    for (name, value) in clock.environment() {
        cloud.set_environment(&name, &value);
    }
    cloud.restart();
    Some((cloud, clock))
}

fn doubt(cloud: &Cloud) -> Value {
    cloud.vendor().json(&["time", "show"])["doubt"].clone()
}

fn in_doubt(cloud: &Cloud, word: &str) {
    eventually(&format!("a doubt about the time: {word}"), || {
        let doubt = doubt(cloud);
        holds(doubt.as_str().is_some_and(|doubt| doubt.contains(word)), doubt)
    });
}

/// Trusted time on a device is what it is in truth, whatever its wall clock shows.
fn is_now(state: &PublicState) -> bool {
    let truth = Timestamp::from_secs_clamped(now());
    state.time.floor.since(truth).0 < 60 && truth.since(state.time.floor).0 < 60
}

/// Token §5: TLS must work with a dead clock; grace, lock and stop are judged by the floor.
#[test]
fn a_device_with_a_dead_clock_connects_obeys_and_knows_the_time() {
    let cloud = Cloud::start();
    let (tenant, mut camera) = Device::only_camera(&cloud, 1, 1);
    let Some(clock) = WallClock::new(camera.dir()) else { return };
    camera.set_environment(clock.environment());
    for (year, skew) in [(1970, -65), (2040, 5)] {
        clock.year(year);
        camera.start();
        camera.reaches(OperatingMode::Full);
        eventually("the device to know the time in spite of its wall clock", || {
            let state = camera.state()?;
            let years = state.wall_skew_secs / (365 * DAY);
            holds(is_now(&state) && (skew..skew + 20).contains(&years), &state)
        });
        // What is decided arrives, and the ladder is walked by the true time.
        tenant.device("cam-2", "North", CAMERA);
        camera.reaches(OperatingMode::Stopped);
        camera.workload_runs(false);
        let _ = tenant.json(&["device", "retire", "cam-2", "--yes"]);
        camera.reaches(OperatingMode::Full);
        // And by this time it enrols, renews and connects again after a restart.
        assert!(camera.stop().success());
    }
    // A clock that is set while the agent runs stops nothing and starts nothing.
    camera.start();
    camera.reaches(OperatingMode::Full);
    for year in [1970, 2040, 1999] {
        clock.year(year);
        never("a wall clock moves a device", Duration::from_secs(3), || {
            let state = camera.state()?;
            holds(state.mode == OperatingMode::Full && is_now(&state), &state)
        });
    }
}

/// Token §3: a jump against the monotonic clock stops issuing until an operator confirms, and a restart is no way around.
#[test]
fn a_cloud_whose_clock_jumps_signs_nothing_until_someone_confirms() {
    let Some((mut cloud, clock)) = cloud_with_a_clock() else { return };
    let (tenant, mut camera) = Device::only_camera(&cloud, 1, 1);
    camera.start();
    camera.reaches(OperatingMode::Full);
    assert_eq!(doubt(&cloud), Value::Null);
    let held = camera.holds_token();

    clock.off_by(20 * DAY);
    in_doubt(&cloud, "stepped");
    tenant.device("cam-2", "North", CAMERA);
    for restart in [false, true, true] {
        if restart {
            cloud.kill();
            cloud.restart();
            in_doubt(&cloud, "stepped");
        }
        never("a token is signed", Duration::from_secs(2), || {
            let state = camera.state()?;
            holds(state.token == Some(held) && state.mode == OperatingMode::Full, state)
        });
    }
    let alarms = cloud.vendor().get("/platform/alarms").to_string();
    assert!(alarms.contains("TIME_IN_DOUBT"), "{alarms}");
    clock.off_by(0);
    assert_eq!(cloud.vendor().coterm(&["time", "confirm", "--yes"]).code, 0);
    camera.reaches(OperatingMode::Stopped);
    assert!(is_now(&camera.state().unwrap()), "no signed time of the jump ever reached the device");
    cloud.kill();
    cloud.restart();
    assert_eq!(doubt(&cloud), Value::Null, "confirmed is confirmed");
}

/// The boot clock tells that the wall clock was set while the daemon was down, by less than the outage that is asked about.
#[test]
fn a_cloud_that_starts_with_a_wrong_clock_asks_and_serves_its_devices_meanwhile() {
    let Some((mut cloud, clock)) = cloud_with_a_clock() else { return };
    let (tenant, mut camera) = Device::only_camera(&cloud, 1, 1);
    camera.start();
    camera.reaches(OperatingMode::Full);
    for years in [1970, 2040] {
        let held = camera.holds_token();
        cloud.stop();
        clock.year(years);
        cloud.restart();
        in_doubt(&cloud, "stepped");
        // Certificates are judged at the time that is believed: the device is connected, and told what is known.
        eventually("the device to be connected", || {
            let shown = tenant.show_device("cam-1");
            holds(
                shown["status"]["connected"] == true && shown["status"]["up_to_date"] == true,
                &shown["status"],
            )
        });
        let state = camera.state().unwrap();
        assert_eq!((state.mode, state.token), (OperatingMode::Full, Some(held)), "{state:?}");
        clock.off_by(0);
        assert_eq!(cloud.vendor().coterm(&["time", "confirm", "--yes"]).code, 0);
        // What follows is signed at the true time.
        let _ = tenant.json(&["site", "create", &format!("Site {years}"), "--yes"]);
        tenant.device("cam-2", "North", CAMERA);
        camera.reaches(OperatingMode::Stopped);
        let _ = tenant.json(&["device", "retire", "cam-2", "--yes"]);
        camera.reaches(OperatingMode::Full);
        assert!(is_now(&camera.state().unwrap()));
    }
    for days in [-20, 20] {
        cloud.stop();
        clock.off_by(days * DAY);
        cloud.restart();
        in_doubt(&cloud, "stepped");
        clock.off_by(0);
        assert_eq!(cloud.vendor().coterm(&["time", "confirm", "--yes"]).code, 0);
    }
}
