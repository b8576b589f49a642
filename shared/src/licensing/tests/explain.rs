//! A date that can be recomputed by hand, and ways out that are the cheapest first.

use super::world::*;
use crate::licensing::coterm::Fraction;
use crate::licensing::explain::{Cure, Direction, GroupExplanation};
use crate::licensing::{ClaimMode, Command, Origin, SiteTarget};
use crate::product::ProductType;
use crate::time::Seconds;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

const CAMERA: ProductType = ProductType::CAMERA;
const DOOR: ProductType = ProductType::DOOR;
const SENSOR: ProductType = ProductType::ENVIRONMENTAL_SENSOR;

fn explained(world: &World, n: u8) -> GroupExplanation {
    GroupExplanation::of(&world.organization, world.group(n), world.now)
}

fn page(world: &World, n: u8) -> String {
    explained(world, n).text.join("\n")
}

/// One camera for a year at 199 and one sensor for three at 249: the worked example of domain §2.
fn worked() -> World {
    let mut world = World::new("2027-01-01T00:00:00Z");
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    world.wait(Seconds::days(10));
    world.claim_key(key(2, &[(SENSOR, 1, 249)], 1095, at("2027-01-01T00:00:00Z")), group(1));
    world
}

#[test]
fn t2_the_date_is_its_own_arithmetic() {
    let explanation = explained(&worked(), 1);
    let date = explanation.date.unwrap();
    let masses: Vec<u128> = date.lines.iter().map(|line| line.mass.parse().unwrap()).collect();
    let moments: Vec<u128> = date.lines.iter().map(|line| line.moment.parse().unwrap()).collect();
    let (mass, moment): (u128, u128) = (masses.iter().sum(), moments.iter().sum());
    assert_eq!((date.sum_mass, date.sum_moment), (mass.to_string(), moment.to_string()));
    assert_eq!(date.exact_secs.exact_secs(), Fraction::new(moment, mass).unwrap());
    assert_eq!(date.coterm_at.as_secs(), u64::try_from(moment / mass).unwrap());
    // 172645/224 days from the start, ten of them gone; the sensor's part is 249 of 448.
    assert_eq!(date.exact_days.unwrap().to_string(), format!("{}/224", 172_645 - 2240));
    assert_eq!(date.days, 761);
    assert_eq!(date.lines[1].share.to_string(), "249/448");
    assert_eq!(date.lines[1].share_percent, "55.58 %");
    // 365 days before the second claim.
    let moved = explanation.moved.unwrap();
    assert_eq!((moved.by.as_str(), moved.direction), ("key-claimed", Direction::Later));
    assert_eq!(moved.exact_days.unwrap().to_string(), format!("{}/224", 172_645 - 365 * 224));
    assert_eq!(moved.days, 406);
}

#[test]
fn a_page_of_a_compliant_group() {
    let mut world = worked();
    world.claim_camera(1, site(1));
    insta::assert_snapshot!("compliant", page(&world, 1));
}

#[test]
fn a_page_of_a_group_over_capacity_with_a_neighbour_that_has_room() {
    let mut world = worked();
    world.ok(Command::CreateGroup { id: group(2), name: "North".into(), settings: Default::default() });
    world.claim_key(key(3, &[(CAMERA, 5, 199)], 365, world.now), group(2));
    for n in 1..=3 {
        world.claim_camera(n, site(1));
    }
    insta::assert_snapshot!("over_capacity", page(&world, 1));
    // Cured, the clock stands still with what was spent.
    world.wait(Seconds::days(5));
    world.ok(Command::RetireDevice { id: device(2) });
    world.ok(Command::RetireDevice { id: device(3) });
    insta::assert_snapshot!("cured", page(&world, 1).split_once("The verdict").unwrap().1);
}

#[test]
fn a_page_of_a_group_whose_term_ended_and_one_that_never_had_a_key() {
    let mut world = World::new("2027-01-01T00:00:00Z");
    world.claim_key(key(1, &[(CAMERA, 2, 100), (DOOR, 4, 50)], 30, world.now), group(1));
    world.claim_camera(1, site(1));
    world.claim_device(2, site(1), DOOR, 4);
    world.wait(Seconds::days(33));
    world.ok(Command::ClaimKey {
        key: key(5, &[(CAMERA, 1, 100), (DOOR, 4, 50)], 365, world.now).into(),
        group: None,
        mode: Default::default(),
    });
    insta::assert_snapshot!("term_ended", page(&world, 1));

    let mut world = World::new("2027-01-01T00:00:00Z");
    world.claim_camera(1, site(1));
    insta::assert_snapshot!("no_license", page(&world, 1));
}

#[test]
fn k3_what_waits_says_what_it_will_give_and_when() {
    let mut world = World::new("2027-01-01T00:00:00Z");
    world.claim_key(key(1, &[(CAMERA, 2, 100)], 30, world.now), group(1));
    world.ok(Command::ClaimKey {
        key: key(2, &[(CAMERA, 3, 100)], 365, world.now).into(),
        group: Some(group(1)),
        mode: ClaimMode::Renewal,
    });
    let renewal = explained(&world, 1).renewal.unwrap();
    assert_eq!(renewal.begins_at, Some(at("2027-01-31T00:00:00Z")));
    assert_eq!(renewal.renewed_until, Some(at("2028-01-31T00:00:00Z")));
    assert_eq!(renewal.capacity, [(CAMERA, 3)].into());
    assert!(renewal.missing.is_empty() && !renewal.sentence.contains("missing"), "{}", renewal.sentence);
    for n in 1..=4 {
        world.claim_camera(n, site(1));
    }
    let renewal = explained(&world, 1).renewal.unwrap();
    assert_eq!(renewal.missing, [(CAMERA, 1)].into(), "more is in use than it grants");
    assert!(renewal.sentence.contains("too small for what is in use now: 1 camera"), "{}", renewal.sentence);
}

#[test]
fn the_ways_out_that_are_named_are_ways_out() {
    let mut world = worked();
    world.ok(Command::CreateGroup { id: group(2), name: "North".into(), settings: Default::default() });
    world.claim_key(key(3, &[(CAMERA, 5, 199)], 365, world.now), group(2));
    world.ok(Command::CreateSite { id: site(2), name: "Annex".into(), parent: None, group: Some(group(1)) });
    world.claim_camera(1, site(1));
    world.claim_camera(2, site(2));
    let before = world.organization.clone();
    for cure in explained(&world, 1).cures {
        world.organization = before.clone();
        match cure {
            Cure::Assign { .. } => panic!("nothing is unassigned"),
            Cure::Move { group, .. } => {
                world.ok(Command::MoveSite { id: site(2), to: SiteTarget::Group(group) });
            }
            Cure::Retire { devices, .. } => {
                for id in devices {
                    world.ok(Command::RetireDevice { id });
                }
            }
            Cure::Buy { units, .. } => {
                let lines: Vec<_> = units.iter().map(|(product, units)| (*product, *units, 1)).collect();
                world.claim_key(key(9, &lines, 365, world.now), group(1));
            }
        }
        assert!(world.group(1).assessment.is_compliant());
    }
}

#[test]
fn e2_carried_clocks_say_where_they_came_from_and_why_there_is_no_new_grace() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.ok(Command::CreateGroup { id: group(2), name: "North".to_string(), settings: Default::default() });
    let depot =
        Command::CreateSite { id: site(2), name: "Depot".into(), parent: None, group: Some(group(1)) };
    world.ok(depot);
    world.claim_camera(1, site(2));
    world.claim_key(key(2, &[(ProductType::CAMERA, 2, 199)], 1000, world.now), group(2));
    world.wait(Seconds::days(20));
    world.ok(Command::MoveSite { id: site(2), to: SiteTarget::Group(group(2)) });
    world.wait(Seconds::days(4));
    let explain = |world: &World| GroupExplanation::of(&world.organization, world.group(2), world.now);
    let explained = explain(&world);
    let carried = &explained.carried[0];
    assert_eq!(carried.origin, Some(Origin::Moved { from: group(1) }));
    let clock = &carried.clocks[0];
    assert_eq!((clock.spent_secs, clock.to_lock_secs), (Seconds::days(20), Seconds::days(10)));
    let still = "Site Depot came from Group 1 on 2026-01-21T00:00:00Z and brought its clocks along: on that of missing \
                 capacity 20 days are spent, it stands still, and 10 days are left to the lock and 70 days to the stop. \
                 That is why it has no new grace; all of it comes back on 2026-02-20T00:00:00Z if North stays compliant \
                 until then.";
    assert_eq!(carried.sentence, still);
    assert!(explained.text.iter().any(|line| line.trim() == still), "the page says it, too");
    // A device that leaves the site says so; one fault later its clock runs.
    world.ok(Command::CreateSite { id: site(3), name: "Yard".into(), parent: None, group: Some(group(2)) });
    world.ok(Command::MoveDevice { id: device(1), site: site(3) });
    for n in [2, 3] {
        world.claim_camera(n, site(3));
    }
    let explained = explain(&world);
    assert_eq!(explained.carried_count, 2);
    let of_device = explained.carried.iter().find(|carried| carried.name == "dev-1").unwrap();
    assert!(of_device.clocks[0].running);
    assert!(
        of_device.sentence.starts_with("Device dev-1 left site Depot, which had brought them, on 2026-01-21")
    );
    // What the group itself spent before is said beside its finding.
    world.wait(Seconds::days(5));
    world.ok(Command::RetireDevice { id: device(3) });
    world.claim_camera(4, site(3));
    let explained = explain(&world);
    assert_eq!(explained.why[0].spent_before_secs, Seconds::days(5));
    assert!(explained.why[0].sentence.contains("5 days of its grace were spent before"), "{explained:?}");
}
