//! A device without a network: what was announced comes on time, and what is announced meanwhile comes on return.

use crate::ladder::is_consistent;
use coterm_shared::enforcement::OperatingMode;
use coterm_tests::cloud::Cloud;
use coterm_tests::device::{Device, Obeys};
use coterm_tests::operator::CAMERA;
use coterm_tests::wait::{eventually, holds};
use std::time::Duration;

#[test]
fn an_agent_restarted_without_a_network_still_locks_and_stops() {
    let mut cloud = Cloud::start();
    let tenant = cloud.vendor().organization("Acme", 4, 4);
    let group = tenant.group("North");
    tenant.license(&group, "camera", 1, 15);
    tenant.device("cam-1", "North", CAMERA);
    let mut camera = Device::provision(&cloud, &tenant, "cam-1", Obeys::BySupervision);
    camera.start();
    camera.reaches(OperatingMode::Full);
    camera.workload_runs(true);
    let held = camera.holds_token();

    // Broker and cloud are gone, and the agent loses everything it had in memory.
    cloud.kill();
    camera.kill();
    camera.start();
    let stopped = eventually("the device to stop by its schedule alone", || {
        let state = camera.state()?;
        is_consistent(&state);
        holds(state.mode == OperatingMode::Stopped, &state)?;
        Ok(state)
    });
    camera.workload_runs(false);
    assert_eq!(stopped.token, Some(held), "from the token it had");

    // Restarted while stopped, it stays stopped; a reboot changes nothing.
    camera.kill();
    camera.start();
    coterm_tests::wait::never("a restart starts the workload", Duration::from_secs(3), || {
        holds(camera.workload.running().is_none(), camera.state())
    });

    // A key is claimed while the device cannot hear of it; it hears of it when it is back.
    camera.kill();
    cloud.restart();
    tenant.license(&group, "camera", 1, 365 * 86_400);
    camera.start();
    camera.reaches(OperatingMode::Full);
    camera.workload_runs(true);
    assert_eq!(camera.workload.doubled(), 0);
}

#[test]
fn a_device_that_hears_nothing_locks_after_its_offline_budget_and_never_stops() {
    let mut cloud = Cloud::start_with(&["tokens.lease_secs=3", "tokens.offline_budget_secs=8"]);
    let (_, mut camera) = Device::only_camera(&cloud, 1, 1);
    camera.start();
    camera.reaches(OperatingMode::Full);
    // As long as it is connected its lease is renewed.
    let first = camera.holds_token();
    eventually("a renewal", || holds(camera.holds_token() > first, camera.state()));
    camera.reaches(OperatingMode::Full);

    cloud.kill();
    let locked = camera.reaches(OperatingMode::ManagementLocked);
    assert!(locked.reasons.iter().any(|code| code == "OFFLINE_BUDGET"), "{locked:?}");
    coterm_tests::wait::never("silence stops a device", Duration::from_secs(3), || {
        holds(
            camera.state()?.mode != OperatingMode::Stopped && camera.workload.running().is_some(),
            camera.state(),
        )
    });
    cloud.restart();
    camera.reaches(OperatingMode::Full);
}
