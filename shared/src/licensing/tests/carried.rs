//! Clocks that are carried within a group and that stand still without devices (domain E2), and devices reported stolen
//! (G10).

use super::world::*;
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::string::ToString;
use alloc::vec::Vec;

const CAMERA: ProductType = ProductType::CAMERA;

fn new_site(world: &mut World, n: u8, parent: Option<u8>, of: Option<u8>) {
    let (parent, group) = (parent.map(site), of.map(group));
    world.ok(Command::CreateSite { id: site(n), name: n.to_string(), parent, group });
}

fn lock_at(world: &World, n: u32) -> Option<Timestamp> {
    world.organization.wanted(&device(n)).unwrap().schedule.lock_at
}

/// Group 2 is short by one; site 2 came into it from group 1 with 20 of 30 days spent, with device 1 in its sub-site 4.
pub(super) fn spent() -> World {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.ok(Command::CreateGroup { id: group(2), name: "Two".to_string(), settings: Default::default() });
    new_site(&mut world, 2, None, Some(1));
    new_site(&mut world, 3, None, Some(2));
    new_site(&mut world, 4, Some(2), None);
    world.claim_key(key(2, &[(CAMERA, 1, 199)], 1000, world.now), group(2));
    world.claim_camera(1, site(4));
    world.claim_camera(2, site(3));
    world.wait(Seconds::days(20));
    world.ok(Command::MoveSite { id: site(2), to: SiteTarget::Group(group(2)) });
    world
}

#[test]
fn e2_a_device_keeps_the_clocks_of_the_site_it_leaves_within_its_group() {
    let mut world = spent();
    let announced = lock_at(&world, 1);
    assert_eq!(announced, Some(at("2026-01-31T00:00:00Z")));
    assert_eq!(lock_at(&world, 2), Some(at("2026-02-20T00:00:00Z")), "those that were there have their own");
    world.wait(Seconds::days(3));
    world.ok(Command::MoveDevice { id: device(1), site: site(3) });
    assert_eq!(lock_at(&world, 1), announced);
    let carried = world.group(2).assessment.carried_by(&Holder::Device(device(1))).unwrap();
    assert_eq!(carried.origin, Some(Origin::Within { site: site(2) }));
    assert_eq!(carried.arrived_at, at("2026-01-21T00:00:00Z"), "no day of its rest is lost either");
    // And back again: nothing is counted twice.
    world.ok(Command::MoveDevice { id: device(1), site: site(4) });
    assert_eq!(lock_at(&world, 1), announced);
}

/// E6: who comes under a clock that was carried in is counted, also where no group is judged anew by it.
#[test]
fn e6_devices_moved_one_by_one_under_a_carried_clock_add_up() {
    let mut world = spent();
    world.claim_camera(3, site(3));
    let lately = |world: &World| {
        let retired = Command::RetireDevice { id: device(1) };
        decide(&world.organization, &retired, &world.context()).unwrap().lockout.lately
    };
    let before = lately(&world);
    for n in [2, 3] {
        let moved = world.ok(Command::MoveDevice { id: device(n), site: site(4) });
        assert_eq!(moved.lockout.devices, 1);
        let names: Vec<&str> = moved.events.iter().map(|dated| dated.event.name()).collect();
        assert_eq!(names, ["device-moved", "lockout-counted"]);
    }
    assert_eq!(lately(&world), before + 2);
}

#[test]
fn e2_a_sub_site_keeps_the_clocks_of_the_site_it_leaves_within_its_group() {
    for target in [SiteTarget::Root, SiteTarget::Within(site(3)), SiteTarget::Group(group(2))] {
        let mut world = spent();
        let announced = lock_at(&world, 1);
        world.wait(Seconds::days(3));
        world.ok(Command::MoveSite { id: site(4), to: target });
        assert_eq!(lock_at(&world, 1), announced, "{target:?}");
    }
}

#[test]
fn e2_without_devices_a_group_is_compliant_and_both_its_clocks_stand_still() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.claim_key(key(1, &[(ProductType::DOOR, 1, 199)], 10, world.now), group(1));
    world.claim_camera(1, site(1));
    // Over capacity since the first day, expired since the eleventh; nobody is there from the 21st to the 26th.
    world.wait(Seconds::days(20));
    assert_eq!(world.codes(1), ["TERM_ENDED", "OVER_CAPACITY"]);
    world.ok(Command::RetireDevice { id: device(1) });
    assert!(world.group(1).assessment.is_compliant());
    let spent = |clock: CauseClock| match clock {
        CauseClock::Paused(left) => left.spent_secs,
        CauseClock::Fresh | CauseClock::Running(_) => Seconds(0),
    };
    let clocks = world.group(1).assessment.clocks;
    assert_eq!([spent(clocks.expiry), spent(clocks.capacity)], [10, 20].map(Seconds::days));
    world.wait(Seconds::days(5));
    // Another device finds what is left, not a new grace.
    world.claim_camera(2, site(1));
    assert_eq!(lock_at(&world, 2), Some(world.now.saturating_add(Seconds::days(10))));
    // After thirty days without any, both start anew.
    world.ok(Command::RetireDevice { id: device(2) });
    world.wait(Seconds::days(30));
    assert!(world.group(1).assessment.clocks.is_fresh());
}

#[test]
fn g10_a_device_reported_stolen_is_nobody_elses_even_if_its_site_is_gone() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    new_site(&mut world, 2, None, Some(1));
    world.claim_camera(1, site(2));
    world.ok(Command::RetireDevice { id: device(1) });
    world.ok(Command::DeleteSite { id: site(2) });
    let decision = world.ok(Command::ReportStolen { id: device(1) });
    // Free since it was retired, its name is taken again.
    let taken: Vec<_> = decision.events.iter().flat_map(|d| d.event.reservations()).collect();
    assert!(matches!(taken[..], [Reservation::Take(_)]), "{taken:?}");
    let again = Command::ClaimDevice { device: new_device(1, CAMERA, 1), site: site(1) };
    assert_eq!(world.refused(again), ["DEVICE_STOLEN"]);
}
