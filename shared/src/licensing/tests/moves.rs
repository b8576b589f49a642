//! Sites and devices that move, try, replace and disappear; and what they carry along (domain G2-G10, C3, E2).

use super::world::{World, at, device, group, key, new_device, site};
use crate::enforcement::EnforcementState::{Grace, Licensed, ManagementLocked};
use crate::finding::Finding;
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::Seconds;
use alloc::string::ToString;

const CAMERA: ProductType = ProductType::CAMERA;

/// Group 1 is short of one camera; group 2 has two units free.
fn world() -> World {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.ok(Command::CreateGroup { id: group(2), name: "Two".to_string(), settings: Default::default() });
    world.ok(Command::CreateSite { id: site(2), name: "B".to_string(), parent: None, group: Some(group(2)) });
    world.ok(Command::CreateSite {
        id: site(3),
        name: "A2".to_string(),
        parent: None,
        group: Some(group(1)),
    });
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 1000, world.now), group(1));
    world.claim_key(key(2, &[(CAMERA, 2, 199)], 1000, world.now), group(2));
    world.claim_camera(1, site(1));
    world.claim_camera(2, site(3));
    world
}

fn state(world: &World, n: u32) -> crate::enforcement::EnforcementState {
    world.organization.wanted(&device(n)).unwrap().schedule.state_at(world.now)
}

fn lock_at(world: &World, n: u32) -> Option<crate::time::Timestamp> {
    world.organization.wanted(&device(n)).unwrap().schedule.lock_at
}

#[test]
fn g4_a_site_moves_with_its_devices_and_its_licenses_stay() {
    let mut world = world();
    assert_eq!(state(&world, 2), Grace);
    let decision = world.ok(Command::MoveSite { id: site(3), to: SiteTarget::Group(group(2)) });
    assert_eq!(decision.touched.groups, [group(1), group(2)].into());
    assert_eq!((state(&world, 1), state(&world, 2)), (Licensed, Licensed));
    assert_eq!(world.group(1).figures.capacity, [(CAMERA, 1)].into());
    assert_eq!(world.group(2).figures.in_use, [(CAMERA, 1)].into());
    let again = Command::MoveSite { id: site(3), to: SiteTarget::Group(group(2)) };
    assert_eq!(world.refused(again), ["ALREADY_THERE"]);
}

#[test]
fn e2_shuffling_sites_between_groups_buys_no_new_grace() {
    let mut world = world();
    let announced = lock_at(&world, 2);
    world.wait(Seconds::days(20));
    world.ok(Command::MoveSite { id: site(3), to: SiteTarget::Group(group(2)) });
    // Ten days licensed in group 2, then that group runs short as well: ten of thirty days are left to the site that
    // came, thirty to those that were there.
    world.wait(Seconds::days(10));
    world.claim_camera(3, site(2));
    world.claim_camera(4, site(2));
    assert_eq!(lock_at(&world, 2), Some(at("2026-02-10T00:00:00Z")));
    assert_eq!(lock_at(&world, 3), Some(at("2026-03-02T00:00:00Z")));
    // Back in group 1 it finds the less of both again.
    world.wait(Seconds::days(5));
    world.ok(Command::MoveSite { id: site(3), to: SiteTarget::Group(group(1)) });
    assert_eq!(lock_at(&world, 2), Some(world.now.saturating_add(Seconds::days(5))));
    assert!(announced < lock_at(&world, 2), "it never runs ahead of the time really spent");
}

#[test]
fn e2_what_was_carried_is_forgotten_after_thirty_compliant_days() {
    let mut world = world();
    world.wait(Seconds::days(20));
    world.ok(Command::MoveSite { id: site(3), to: SiteTarget::Group(group(2)) });
    world.wait(Seconds::days(30));
    assert!(world.group(2).assessment.carried.is_empty());
    world.claim_camera(3, site(2));
    world.claim_camera(4, site(2));
    assert_eq!(lock_at(&world, 2), lock_at(&world, 3));
}

#[test]
fn e2_re_adding_a_device_elsewhere_buys_no_new_grace() {
    let mut world = world();
    world.wait(Seconds::days(20));
    world.ok(Command::RetireDevice { id: device(2) });
    // Not in Unassigned either, where nothing is enforced.
    world.ok(Command::CreateSite { id: site(4), name: "New".to_string(), parent: None, group: None });
    let hide = Command::ClaimDevice { device: new_device(2, CAMERA, 1), site: site(4) };
    assert_eq!(world.refused(hide), ["DEVICE_CARRIES_CLOCK"]);
    world.claim_camera(2, site(2));
    world.claim_camera(3, site(2));
    world.claim_camera(4, site(2));
    assert_eq!(lock_at(&world, 2), Some(world.now.saturating_add(Seconds::days(10))));
    assert_eq!(lock_at(&world, 3), Some(world.now.saturating_add(Seconds::days(30))));
}

#[test]
fn g2_re_parenting_re_homes_and_a_sub_site_made_a_root_keeps_its_group() {
    let mut world = world();
    world.ok(Command::MoveSite { id: site(3), to: SiteTarget::Within(site(2)) });
    assert_eq!(world.organization.group_of_site(site(3)), Some(group(2)));
    assert_eq!(world.group(2).figures.in_use, [(CAMERA, 1)].into());
    for inside in [site(3), site(2)] {
        let cycle = Command::MoveSite { id: site(2), to: SiteTarget::Within(inside) };
        assert_eq!(world.refused(cycle), ["SITE_CYCLE"]);
    }
    world.ok(Command::MoveSite { id: site(3), to: SiteTarget::Root });
    assert_eq!(world.organization.site(site(3)).unwrap().place, Place::Root { group: group(2) });
}

#[test]
fn nothing_but_a_key_goes_back_to_unassigned() {
    let mut world = world();
    world.ok(Command::CreateSite { id: site(4), name: "New".to_string(), parent: None, group: None });
    let site_back = Command::MoveSite { id: site(3), to: SiteTarget::Within(site(4)) };
    assert_eq!(world.refused(site_back), ["NOT_TO_UNASSIGNED"]);
    let device_back = Command::MoveDevice { id: device(1), site: site(4) };
    assert_eq!(world.refused(device_back), ["NOT_TO_UNASSIGNED"]);
}

#[test]
fn a_device_moves_alone() {
    let mut world = world();
    world.ok(Command::MoveDevice { id: device(2), site: site(2) });
    assert_eq!((state(&world, 1), state(&world, 2)), (Licensed, Licensed));
    assert_eq!(world.refused(Command::MoveDevice { id: device(2), site: site(2) }), ["ALREADY_THERE"]);
}

fn trial(n: u32, days: u64) -> NewDevice {
    NewDevice { trial_secs: Some(Seconds::days(days)), ..new_device(n, CAMERA, 1) }
}

#[test]
fn g8_a_trial_is_counted_apart_and_ends_alone() {
    let mut world = world();
    world.ok(Command::RetireDevice { id: device(2) });
    world.ok(Command::ClaimDevice { device: trial(5, 30), site: site(1) });
    assert!(world.group(1).assessment.is_compliant(), "a trial makes no group noncompliant");
    assert_eq!((world.organization.active_devices(), world.organization.trial_devices()), (1, 1));
    let wanted = world.organization.wanted(&device(5)).unwrap();
    assert_eq!(wanted.findings, [Finding::TrialEnded]);
    let decision = world.wait(Seconds::days(30));
    assert!(decision.events.iter().any(|dated| dated.event.name() == "trial-ended"));
    assert_eq!((state(&world, 5), state(&world, 1)), (Grace, Licensed));
    world.wait(Seconds::days(31));
    assert_eq!((state(&world, 5), state(&world, 1)), (ManagementLocked, Licensed));
    // Conversion is explicit, and counts from then on.
    world.ok(Command::ConvertTrial { id: device(5) });
    assert_eq!(world.codes(1), ["OVER_CAPACITY"]);
    assert_eq!(world.refused(Command::ConvertTrial { id: device(5) }), ["DEVICE_NOT_ON_TRIAL"]);
}

#[test]
fn g8_a_groups_enforcement_does_not_touch_trials_and_no_device_has_two() {
    let mut world = world();
    world.ok(Command::ClaimDevice { device: trial(5, 30), site: site(1) });
    assert_eq!((state(&world, 5), state(&world, 1)), (Licensed, Grace));
    world.ok(Command::RetireDevice { id: device(5) });
    let again = Command::ClaimDevice { device: trial(5, 30), site: site(1) };
    assert_eq!(world.refused(again), ["TRIAL_USED"]);
    let long = Command::ClaimDevice { device: trial(6, 91), site: site(1) };
    assert_eq!(world.refused(long), ["SETTING_OUT_OF_BOUNDS"]);
}

#[test]
fn g9_replacement_is_one_step_and_the_old_device_cannot_come_back() {
    let mut world = world();
    let replace = Command::ReplaceDevice { old: device(2), new: new_device(9, CAMERA, 1) };
    let announced = lock_at(&world, 2);
    world.wait(Seconds::days(3));
    let decision = world.ok(replace);
    assert!(decision.events.len() >= 2);
    assert_eq!(world.group(1).figures.in_use, [(CAMERA, 2)].into(), "no moment of double count");
    assert_eq!(world.organization.device(&device(9)).unwrap().site, site(3));
    assert_eq!(lock_at(&world, 9), announced, "a replacement buys no grace");
    let back = Command::ClaimDevice { device: new_device(2, CAMERA, 1), site: site(2) };
    assert_eq!(world.refused(back), ["DEVICE_REPLACED"]);
}

#[test]
fn g10_a_stolen_device_cannot_be_claimed() {
    let mut world = world();
    world.ok(Command::ReportStolen { id: device(2) });
    assert!(world.group(1).assessment.is_compliant());
    let back = Command::ClaimDevice { device: new_device(2, CAMERA, 1), site: site(2) };
    assert_eq!(world.refused(back), ["DEVICE_STOLEN"]);
    assert_eq!(world.refused(Command::ReportStolen { id: device(2) }), ["DEVICE_STOLEN"]);
}

#[test]
fn c3_by_product_whoever_takes_a_covered_devices_place_is_the_newest_and_the_one_before_is_relieved() {
    let mut world = world();
    let product = SettingsChange { scope: Some(Scope::Product), ..SettingsChange::default() };
    world.ok(Command::ChangeGroupSettings { id: group(1), settings: product });
    assert_eq!((state(&world, 1), state(&world, 2)), (Licensed, Grace));
    world.wait(Seconds::days(1));
    let new = new_device(9, ProductType::CAMERA, 1);
    let decision = world.ok(Command::ReplaceDevice { old: device(1), new });
    assert_eq!((state(&world, 9), state(&world, 2)), (Grace, Licensed));
    assert!(decision.touched.groups.contains(&group(1)), "its devices are looked at");
}

#[test]
fn c3_scope_product_spares_all_but_the_newest_of_the_products_in_shortfall() {
    let mut world = world();
    world.claim_device(7, site(1), ProductType::DOOR, 1);
    world.claim_key(key(3, &[(ProductType::DOOR, 1, 199)], 1000, world.now), group(1));
    let product = SettingsChange { scope: Some(Scope::Product), ..SettingsChange::default() };
    let decision = world.ok(Command::ChangeGroupSettings { id: group(1), settings: product });
    // Nothing of the group's judgement has changed, and yet its devices are looked at, to be relieved at once.
    assert_eq!(decision.touched.groups, [group(1)].into());
    // The later of two cameras claimed at the same instant is the one with the greater id.
    assert_eq!((state(&world, 1), state(&world, 2), state(&world, 7)), (Licensed, Grace, Licensed));
    let wide = SettingsChange { scope: Some(Scope::Group), ..SettingsChange::default() };
    let widen = Command::ChangeGroupSettings { id: group(1), settings: wide };
    assert_eq!(world.refused(widen), ["SCOPE_IN_USE"]);
    // The end of the term touches everybody.
    world.wait(Seconds::days(1000));
    assert_eq!((state(&world, 1), state(&world, 7)), (Grace, Grace));
}
