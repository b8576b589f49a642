//! A group expires and is licensed again: the whole ladder, seen from the operator's chair and from the device.

use coterm_shared::enforcement::{EnforcementState, OperatingMode, PublicState};
use coterm_tests::cloud::Cloud;
use coterm_tests::device::{Device, Obeys};
use coterm_tests::operator::CAMERA;
use coterm_tests::wait::{eventually, holds};

/// Everything a state file says must follow from the schedule in it and the time in it (domain E5, invariant 3).
#[track_caller]
pub(crate) fn is_consistent(state: &PublicState) {
    let license = state.license.as_ref().expect("it follows a token");
    let expected = license.schedule.state_at(state.time.floor);
    assert_eq!(state.state, expected, "what it says and what its schedule says: {state:?}");
    assert_eq!(state.allows.manage, state.mode == OperatingMode::Full, "{state:?}");
    assert_eq!(state.allows.operate, state.mode != OperatingMode::Stopped, "{state:?}");
}

#[test]
fn a_group_that_expires_is_locked_then_stopped_and_a_key_restores_everything() {
    let cloud = Cloud::start();
    let tenant = cloud.vendor().organization("Acme", 5, 5);
    let group = tenant.group("North");
    tenant.license(&group, "camera", 2, 15);
    tenant.device("cam-1", "North", CAMERA);
    let mut camera = Device::provision(&cloud, &tenant, "cam-1", Obeys::BySupervision);

    camera.start();
    camera.reaches(OperatingMode::Full);
    camera.workload_runs(true);
    let licensed = tenant.show_group(&group);
    assert_eq!(
        (&licensed["compliant"], &licensed["state"]),
        (&true.into(), &"licensed".into()),
        "{licensed}"
    );

    // All the way down. What is seen on the way is in order and never ahead of the schedule.
    let mut seen = Vec::new();
    let stopped = eventually("the device to stop", || {
        let state = camera.state()?;
        is_consistent(&state);
        if seen.last() != Some(&state.state) {
            seen.push(state.state);
        }
        holds(state.mode == OperatingMode::Stopped, &state)?;
        Ok(state)
    });
    assert!(seen.is_sorted(), "{seen:?}");
    camera.workload_runs(false);
    assert!(stopped.reasons.iter().any(|code| code == "TERM_ENDED"), "{stopped:?}");
    assert!(!stopped.why.is_empty(), "a device says why in words: {stopped:?}");

    let expired = tenant.show_group(&group);
    assert_eq!((&expired["compliant"], &expired["state"]), (&false.into(), &"stopped".into()), "{expired}");
    assert_eq!(expired["findings"][0]["code"], "TERM_ENDED", "{expired}");
    eventually("the cloud to hear of it", || {
        let shown = tenant.show_device("cam-1");
        holds(shown.to_string().contains("\"mode\":\"stopped\""), shown)
    });

    tenant.license(&group, "camera", 2, 365 * 86_400);
    let restored = camera.reaches(OperatingMode::Full);
    camera.workload_runs(true);
    assert_eq!(restored.state, EnforcementState::Licensed);
    is_consistent(&restored);
    let restored = tenant.show_group(&group);
    assert_eq!(
        (&restored["compliant"], &restored["state"]),
        (&true.into(), &"licensed".into()),
        "{restored}"
    );
    assert_eq!((camera.workload.starts(), camera.workload.doubled()), (2, 0), "started, stopped, started");
}

#[test]
fn a_device_may_be_asked_at_every_step_whether_its_agent_lives_or_not() {
    let cloud = Cloud::start();
    let (tenant, mut camera) = Device::only_camera(&cloud, 1, 3_600);

    // Fresh from the installer: nothing is known, so management is not allowed.
    assert_eq!(camera.allows("manage"), Some(false));

    camera.start();
    camera.reaches(OperatingMode::Full);
    let both = |device: &Device| (device.allows("manage"), device.allows("operate"));
    assert_eq!(both(&camera), (Some(true), Some(true)));
    camera.kill();
    assert_eq!(both(&camera), (Some(true), Some(true)), "a dead agent leaves the device as it was");

    camera.start();
    tenant.device("cam-2", "North", CAMERA);
    camera.reaches(OperatingMode::ManagementLocked);
    assert_eq!(both(&camera), (Some(false), Some(true)));
    camera.kill();
    assert_eq!(both(&camera), (Some(false), Some(true)));
    camera.workload_runs(true);
}

#[test]
fn with_the_agent_dead_the_answer_follows_the_schedule() {
    let cloud = Cloud::start();
    let tenant = cloud.vendor().organization("Acme", 2, 3_600);
    let group = tenant.group("North");
    tenant.license(&group, "camera", 1, 10);
    tenant.device("cam-1", "North", CAMERA);
    let mut camera = Device::provision(&cloud, &tenant, "cam-1", Obeys::BySupervision);
    camera.start();
    camera.reaches(OperatingMode::Full);
    camera.kill();
    // Nobody rewrites the state file any more; time alone turns the answer.
    eventually("management to end by schedule", || {
        holds(camera.allows("manage") == Some(false), camera.state())
    });
    assert_eq!(camera.allows("operate"), Some(true));
    camera.workload_runs(true);
}
