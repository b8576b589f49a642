//! The agent dies at any moment: it comes back, finds out where it was, and drives the device there.

use coterm_shared::enforcement::OperatingMode;
use coterm_tests::cloud::Cloud;
use coterm_tests::device::Device;
use coterm_tests::operator::{CAMERA, Tenant};
use coterm_tests::wait::{eventually, holds, rounds};
use std::time::Duration;

/// A camera in a group that is over its capacity, long enough that its clock has run out: from here on a device too
/// many stops it at once, and one less restores it at once (domain E2, E4).
fn camera_at_the_end_of_its_clock(cloud: &Cloud) -> (Tenant, Device) {
    let (tenant, mut camera) = Device::only_camera(cloud, 1, 1);
    camera.start();
    camera.reaches(OperatingMode::Full);
    tenant.device("spare", "North", CAMERA);
    camera.reaches(OperatingMode::Stopped);
    let _ = tenant.json(&["device", "retire", "spare", "--yes"]);
    camera.reaches(OperatingMode::Full);
    camera.workload_runs(true);
    (tenant, camera)
}

#[track_caller]
fn converges(camera: &Device, mode: OperatingMode) {
    camera.reaches(mode);
    camera.workload_runs(mode != OperatingMode::Stopped);
    assert_eq!(camera.workload.doubled(), 0, "two workloads at once");
}

#[test]
fn an_agent_killed_at_any_moment_of_a_change_converges() {
    let cloud = Cloud::start();
    let (tenant, mut camera) = camera_at_the_end_of_its_clock(&cloud);
    // Delays from before the message arrives to after everything is done; finest where things happen.
    let delays = [0, 5, 10, 15, 20, 30, 40, 60, 90, 140, 250, 600];
    for (n, delay) in (0..rounds()).flat_map(|_| delays).enumerate() {
        let spare = format!("spare-{n}");
        tenant.device(&spare, "North", CAMERA);
        std::thread::sleep(Duration::from_millis(delay));
        camera.kill();
        camera.start();
        converges(&camera, OperatingMode::Stopped);

        let _ = tenant.json(&["device", "retire", &spare, "--yes"]);
        std::thread::sleep(Duration::from_millis(delay));
        camera.kill();
        camera.start();
        converges(&camera, OperatingMode::Full);
    }
}

#[test]
fn an_agent_killed_again_and_again_never_doubles_its_workload() {
    let cloud = Cloud::start();
    let (tenant, mut camera) = camera_at_the_end_of_its_clock(&cloud);
    let before = camera.workload.starts();
    for delay in [0, 1, 2, 5, 10, 20, 40, 80, 120, 200] {
        camera.kill();
        camera.start();
        std::thread::sleep(Duration::from_millis(delay));
    }
    converges(&camera, OperatingMode::Full);
    assert_eq!(camera.workload.starts(), before, "a running workload is adopted, not started again");

    // The same while the workload is killed as well: there must be one in the end, and only one.
    for delay in (0..rounds()).flat_map(|_| [0, 10, 50, 150]) {
        let pid = camera.workload.running().expect("it runs");
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        std::thread::sleep(Duration::from_millis(delay));
        camera.kill();
        camera.start();
        converges(&camera, OperatingMode::Full);
    }

    // And with the license gone while the agent is down.
    camera.kill();
    tenant.device("spare-last", "North", CAMERA);
    camera.workload_runs(true);
    camera.start();
    converges(&camera, OperatingMode::Stopped);
}

#[test]
fn an_agent_asked_to_end_leaves_the_device_in_its_mode() {
    let cloud = Cloud::start();
    let (tenant, mut camera) = camera_at_the_end_of_its_clock(&cloud);
    assert!(camera.stop().success());
    camera.workload_runs(true);
    tenant.device("spare-1", "North", CAMERA);
    camera.start();
    converges(&camera, OperatingMode::Stopped);
    assert!(camera.stop().success());
    camera.workload_runs(false);
    eventually("the state file to say stopped still", || {
        let state = camera.state()?;
        holds(state.mode == OperatingMode::Stopped, &state)
    });
}
