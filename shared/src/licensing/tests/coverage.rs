//! Which unassigned key covers which device (domain G3).

use super::world::{World, at, device, key, new_device, site};
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::Seconds;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

const CAMERA: ProductType = ProductType::CAMERA;

/// A device, what covers it (`key tail`, units), and what is missing.
type Covered = (String, Vec<(String, u64)>, u64);

fn covered(world: &World) -> Vec<Covered> {
    let all = world.organization.coverage(world.now);
    let by = |view: &CoverageView| {
        view.keys.iter().map(|key| (key.code.chars().rev().take(1).collect(), key.units)).collect()
    };
    all.values().map(|view| (view.device.to_string(), by(view), view.missing)).collect()
}

#[test]
fn g3_the_oldest_device_takes_from_the_key_that_ends_first_and_half_a_license_is_none() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    let lobby = site(50);
    world.ok(Command::CreateSite { id: lobby, name: "Lobby".to_string(), parent: None, group: None });
    let claim = |world: &mut World, n: u32, units: u64, site| {
        world.ok(Command::ClaimDevice { device: new_device(n, CAMERA, units), site });
        world.wait(Seconds(1));
    };
    // The ids are not in the order of their ages.
    claim(&mut world, 9, 2, lobby);
    claim(&mut world, 3, 2, lobby);
    claim(&mut world, 1, 1, lobby);
    // In a group: no key of Unassigned is for it.
    claim(&mut world, 7, 1, site(1));
    let all =
        |world: &World| covered(world).into_iter().map(|(_, by, missing)| (by, missing)).collect::<Vec<_>>();
    assert_eq!(all(&world), [(vec![], 1), (vec![], 2), (vec![], 2)]);
    for (n, quantity, days) in [(1, 1, 400), (2, 2, 365)] {
        let key = Box::new(key(n, &[(CAMERA, quantity, 199)], days, world.now));
        world.ok(Command::ClaimKey { key, group: None, mode: ClaimMode::Increase });
    }
    // Three units: the oldest takes the two that end first; two are not left for the second, one is for the third.
    let one = |tail: &str, units| vec![(String::from(tail), units)];
    let expect = [
        (device(1).to_string(), one("1", 1), 0),
        (device(3).to_string(), vec![], 1),
        (device(9).to_string(), one("2", 2), 0),
    ];
    assert_eq!(covered(&world), expect);
    let now = world.now;
    let view = world.organization.coverage(now).remove(&device(9)).unwrap();
    let site = world.organization.site(lobby).unwrap();
    let Place::Unassigned { joins_at, .. } = site.place else { panic!("{site:?}") };
    assert_eq!(view.until, Some(joins_at), "the site joins its group before the key ends");
    assert!(view.sentence.contains("is covered by"), "{}", view.sentence);
    // It is told, not enforced.
    assert_eq!(world.organization.wanted(&device(3)).unwrap().schedule.lock_at, None);
    world.until("2026-03-01T00:00:00Z");
    assert!(world.organization.coverage(world.now).is_empty(), "all have joined");
    assert!(world.now > at("2026-02-01T00:00:00Z"));
}
