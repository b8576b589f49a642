//! Groups, sites, devices, keys: the rules of domain §§2-5 one by one.

use super::world::{World, at, device, group, key, site};
use crate::enforcement::EnforcementState;
use crate::finding::Finding;
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::Seconds;
use alloc::string::ToString;
use alloc::vec;

const CAMERA: ProductType = ProductType::CAMERA;
const SENSOR: ProductType = ProductType::ENVIRONMENTAL_SENSOR;

#[test]
fn d1_the_worked_examples_come_out_through_the_log() {
    let start = at("2026-01-01T00:00:00Z");
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 365, start), group(1));
    world.claim_key(key(2, &[(CAMERA, 1, 199)], 1095, start), group(1));
    assert_eq!(world.coterm(1), Some(start.saturating_add(Seconds::days(730))));

    world.ok(Command::CreateGroup { id: group(2), name: "Two".to_string(), settings: Default::default() });
    world.claim_key(key(3, &[(CAMERA, 1, 199)], 365, start), group(2));
    world.claim_key(key(4, &[(SENSOR, 1, 249)], 1095, start), group(2));
    let Term::Running { coterm } = world.group(2).figures.term else { panic!("running") };
    let days = coterm.days_since(start).unwrap();
    assert_eq!((days.to_string().as_str(), days.round_half_up()), ("172645/224", 771));
}

#[test]
fn d3_a_key_whose_own_end_passed_stays_in_mean_and_capacity() {
    let start = at("2026-01-01T00:00:00Z");
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.claim_key(key(1, &[(CAMERA, 1, 100)], 365, start), group(1));
    world.claim_key(key(2, &[(CAMERA, 1, 100)], 1095, start), group(1));
    let before = world.group(1).figures.clone();
    world.until("2027-06-01T00:00:00Z");
    assert_eq!(world.group(1).figures, before);
    assert_eq!(before.capacity, [(CAMERA, 2)].into());
}

#[test]
fn d4_all_keys_retire_together_and_an_expired_group_has_one_fault() {
    let start = at("2026-01-01T00:00:00Z");
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.claim_key(key(1, &[(CAMERA, 2, 100)], 365, start), group(1));
    world.claim_camera(1, site(1));
    world.claim_camera(2, site(1));
    world.until("2027-01-01T00:00:00Z");
    assert_eq!(world.codes(1), ["TERM_ENDED"]);
    assert_eq!(world.group(1).active_keys().count(), 0);
    // One more device than the retired units is a second fault.
    world.claim_camera(3, site(1));
    assert_eq!(world.codes(1), ["TERM_ENDED", "OVER_CAPACITY"]);
    // What is claimed now starts a new pool: capacity is the new key's only (K4).
    world.claim_key(key(2, &[(CAMERA, 1, 100)], 365, world.now), group(1));
    assert_eq!(world.group(1).figures.capacity, [(CAMERA, 1)].into());
    assert_eq!(world.group(1).assessment.findings, [Finding::OverCapacity { product: CAMERA, shortfall: 2 }]);
}

#[test]
fn d7_devices_never_move_the_date() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.claim_key(key(1, &[(CAMERA, 5, 100)], 365, world.now), group(1));
    let date = world.coterm(1);
    for n in 0..10 {
        world.claim_camera(n, site(1));
        assert_eq!(world.coterm(1), date);
    }
    world.ok(Command::RetireDevice { id: device(3) });
    assert_eq!(world.coterm(1), date);
}

#[test]
fn g2_sub_sites_follow_their_root() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.ok(Command::CreateSite {
        id: site(2),
        name: "Wing".to_string(),
        parent: Some(site(1)),
        group: None,
    });
    world.ok(Command::CreateSite {
        id: site(3),
        name: "Room".to_string(),
        parent: Some(site(2)),
        group: None,
    });
    world.claim_camera(1, site(3));
    assert_eq!(world.organization.group_of_site(site(3)), Some(group(1)));
    assert_eq!(world.organization.devices_in_group(group(1)).count(), 1);
    assert_eq!(world.organization.wanted(&device(1)).unwrap().site, site(3));
}

#[test]
fn g5_only_an_empty_group_is_deleted_and_never_the_default() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.ok(Command::CreateGroup { id: group(2), name: "Two".to_string(), settings: Default::default() });
    world.ok(Command::CreateSite { id: site(2), name: "B".to_string(), parent: None, group: Some(group(2)) });
    assert_eq!(world.refused(Command::DeleteGroup { id: group(2) }), ["GROUP_NOT_EMPTY"]);
    assert_eq!(world.refused(Command::DeleteGroup { id: group(1) }), ["GROUP_IS_DEFAULT", "GROUP_NOT_EMPTY"]);
    world.ok(Command::DeleteSite { id: site(2) });
    world.ok(Command::DeleteGroup { id: group(2) });
    assert!(world.organization.group(group(2)).is_none());
    // Its name is free again.
    world.ok(Command::CreateGroup { id: group(3), name: "two".to_string(), settings: Default::default() });
}

#[test]
fn g7_a_four_door_controller_consumes_four_door_units() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.claim_key(key(1, &[(ProductType::DOOR, 4, 199)], 365, world.now), group(1));
    world.claim_device(1, site(1), ProductType::DOOR, 4);
    assert_eq!(world.codes(1), [] as [&str; 0]);
    world.claim_device(2, site(1), ProductType::DOOR, 4);
    let missing = Finding::OverCapacity { product: ProductType::DOOR, shortfall: 4 };
    assert_eq!(world.group(1).assessment.findings, vec![missing]);
}

#[test]
fn c1_all_findings_are_reported_and_equality_is_compliant() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    assert!(world.group(1).assessment.is_compliant(), "a group without devices is compliant");
    world.claim_camera(1, site(1));
    assert_eq!(world.codes(1), ["NO_LICENSE"]);
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    assert!(world.group(1).assessment.is_compliant(), "in use = capacity is compliant");
    world.claim_camera(2, site(1));
    world.claim_device(3, site(1), SENSOR, 1);
    assert_eq!(world.codes(1), ["OVER_CAPACITY", "OVER_CAPACITY"]);
}

#[test]
fn c2_a_fault_of_one_group_touches_only_its_own_devices() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.ok(Command::CreateGroup { id: group(2), name: "Two".to_string(), settings: Default::default() });
    world.ok(Command::CreateSite { id: site(2), name: "B".to_string(), parent: None, group: Some(group(2)) });
    for n in [1, 2] {
        world.claim_key(key(u32::from(n), &[(CAMERA, 1, 199)], 365, world.now), group(n));
    }
    world.claim_camera(1, site(1));
    world.claim_camera(2, site(2));
    let untouched = world.organization.wanted(&device(1));
    let decision = world.claim_camera(3, site(2));
    assert_eq!(decision.touched.groups, [group(2)].into());
    assert_eq!(world.organization.wanted(&device(1)), untouched);
    assert_eq!(world.codes(2), ["OVER_CAPACITY"]);
}

#[test]
fn a_preview_is_the_deed_without_the_deed() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.claim_camera(1, site(1));
    let claim = Command::ClaimKey {
        key: alloc::boxed::Box::new(key(1, &[(CAMERA, 1, 199)], 365, world.now)),
        group: Some(group(1)),
        mode: ClaimMode::Increase,
    };
    let shown = preview(&world.organization, &claim, &world.context()).unwrap();
    world.ok(claim);
    let change = &shown.groups[0];
    assert_eq!(change.before.as_ref().unwrap().findings, [Finding::NoLicense]);
    assert_eq!(change.after, Some(GroupState::of(&world.organization, world.group(1), world.now)));
}

#[test]
fn a_retired_device_frees_its_units_and_can_come_back() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    world.claim_camera(1, site(1));
    let retire = Command::RetireDevice { id: device(1) };
    let warned = preview(&world.organization, &retire, &world.context()).unwrap().warnings;
    assert!(warned.iter().any(|warning| warning.code == WarningCode::DeviceRetired), "{warned:?}");
    world.ok(Command::RetireDevice { id: device(1) });
    // G10: it is told so. Its units are free at once, so nothing is left of its grace; it stops as late as any other.
    let told = world.organization.wanted(&device(1)).unwrap();
    let retired_at = world.now;
    assert_eq!((told.is_farewell(), told.schedule.lock_at), (true, Some(retired_at)));
    assert_eq!(told.schedule.state_at(retired_at), EnforcementState::ManagementLocked);
    assert!(told.schedule.stop_at > Some(retired_at.saturating_add(Seconds::days(30))), "{told:?}");
    world.wait(Seconds::days(400));
    assert_eq!(world.organization.wanted(&device(1)), Some(told), "and told once");
    assert_eq!(world.group(1).figures.in_use, Units::new());
    assert_eq!(world.refused(Command::RetireDevice { id: device(1) }), ["DEVICE_RETIRED"]);
    world.claim_camera(1, site(1));
    assert_eq!(world.organization.active_devices(), 1);
    assert!(!world.organization.wanted(&device(1)).unwrap().is_farewell());
}
