//! A group over its capacity: its own devices are enforced, those of other groups do not even get a new token.

use crate::ladder::is_consistent;
use coterm_shared::enforcement::{EnforcementState, OperatingMode};
use coterm_tests::cloud::Cloud;
use coterm_tests::device::{Device, Obeys};
use coterm_tests::operator::{CAMERA, DOOR};
use coterm_tests::wait::{eventually, holds};

const YEAR: u64 = 365 * 86_400;

#[test]
fn only_the_group_over_capacity_is_enforced_and_a_door_never_stops() {
    let cloud = Cloud::start();
    let tenant = cloud.vendor().organization("Acme", 2, 2);
    let (north, south) = (tenant.group("North"), tenant.group("South"));
    tenant.license(&north, "camera", 1, YEAR);
    tenant.license(&north, "door", 4, YEAR);
    tenant.license(&south, "camera", 2, YEAR);
    tenant.device("north-1", "North", CAMERA);
    tenant.device("north-door", "North", DOOR);
    tenant.device("south-1", "South", CAMERA);
    let mut camera = Device::provision(&cloud, &tenant, "north-1", Obeys::BySupervision);
    let mut door = Device::provision(&cloud, &tenant, "north-door", Obeys::InWordsOnly);
    let mut other = Device::provision(&cloud, &tenant, "south-1", Obeys::BySupervision);
    for device in [&mut camera, &mut door, &mut other] {
        device.start();
    }
    for device in [&camera, &door, &other] {
        device.reaches(OperatingMode::Full);
    }
    let untouched = other.holds_token();

    // One camera more than North has licenses for.
    tenant.device("north-2", "North", CAMERA);
    let shown = tenant.show_group(&north);
    assert_eq!(shown["findings"][0]["code"], "OVER_CAPACITY", "{shown}");
    assert_eq!(shown["findings"][0]["shortfall"], 1, "{shown}");
    let stopped = camera.reaches(OperatingMode::Stopped);
    is_consistent(&stopped);
    camera.workload_runs(false);

    // The door is told the same and goes only as far as its class allows (domain E7).
    let door_state = eventually("the door to know of the stop", || {
        let state = door.state()?;
        holds(state.state == EnforcementState::Stopped, &state)?;
        Ok(state)
    });
    assert_eq!(door_state.mode, OperatingMode::ManagementLocked, "{door_state:?}");
    assert_eq!((door.allows("manage"), door.allows("operate")), (Some(false), Some(true)));

    // South has heard nothing, for there was nothing to say.
    assert_eq!(other.holds_token(), untouched);
    assert_eq!(other.state().unwrap().mode, OperatingMode::Full);

    tenant.license(&north, "camera", 1, YEAR);
    camera.reaches(OperatingMode::Full);
    door.reaches(OperatingMode::Full);
    camera.workload_runs(true);
    assert_eq!(other.holds_token(), untouched, "a change in North costs South no signature and no message");
    assert_eq!((other.workload.starts(), other.workload.doubled()), (1, 0));
}

#[test]
fn retiring_a_device_cures_a_shortfall_at_once() {
    let cloud = Cloud::start();
    let (tenant, mut camera) = Device::only_camera(&cloud, 1, 3_600);
    camera.start();
    camera.reaches(OperatingMode::Full);
    tenant.device("cam-2", "North", CAMERA);
    camera.reaches(OperatingMode::ManagementLocked);
    camera.workload_runs(true);
    let _ = tenant.json(&["device", "retire", "cam-2", "--yes"]);
    camera.reaches(OperatingMode::Full);
    assert_eq!(camera.workload.starts(), 1, "a management lock leaves the workload alone");
}

#[test]
fn g10_a_retired_device_locks_at_once_also_if_it_was_away_and_works_again_when_claimed_again() {
    let cloud = Cloud::start();
    let tenant = cloud.vendor().organization("Acme", 3_600, 3_600);
    let group = tenant.group("North");
    tenant.license(&group, "camera", 2, YEAR);
    let mut cameras = ["cam-1", "cam-2"].map(|name| {
        tenant.device(name, "North", CAMERA);
        let mut camera = Device::provision(&cloud, &tenant, name, Obeys::BySupervision);
        camera.start();
        camera.reaches(OperatingMode::Full);
        camera
    });
    let [present, away] = &mut cameras;
    away.stop();
    for name in ["cam-1", "cam-2"] {
        let _ = tenant.json(&["device", "retire", name, "--yes"]);
    }
    present.reaches(OperatingMode::ManagementLocked);
    away.start();
    away.reaches(OperatingMode::ManagementLocked);
    away.workload_runs(true);
    tenant.device("cam-2", "North", CAMERA);
    away.reaches(OperatingMode::Full);
    present.reaches(OperatingMode::ManagementLocked);
}
