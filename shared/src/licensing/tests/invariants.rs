//! The invariants of domain D8 and what hangs on them, on exact fractions and keys of many lines, whatever the numbers.
//!
//! Random histories of all operations are in [`super::histories`].

use super::world::{World, at, device, group, key, new_device, site};
use crate::id::KeyId;
use crate::licensing::coterm::Fraction;
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use proptest::prelude::*;

const START: &str = "2026-01-01T00:00:00Z";
const CAMERA: ProductType = ProductType::CAMERA;
const PRODUCTS: [ProductType; 3] = [CAMERA, ProductType::DOOR, ProductType::ENVIRONMENTAL_SENSOR];

/// Lines of a key: quantity and weight per product, and its term in days.
#[derive(Clone, Debug)]
struct Bought {
    lines: Vec<(ProductType, u64, u64)>,
    days: u32,
}

fn bought() -> impl Strategy<Value = Bought> {
    let number = || prop_oneof![1..20_u64, 1..=1_000_000_000_u64];
    let line = (number(), number());
    (prop::collection::vec(line, 1..=3), 400..=36_500_u32).prop_map(|(lines, days)| Bought {
        lines: PRODUCTS.iter().zip(lines).map(|(product, (q, w))| (*product, q, w)).collect(),
        days,
    })
}

fn issued(n: u32, of: &Bought) -> IssuedKey {
    key(n, &of.lines, of.days, at(START))
}

fn id(n: u32) -> KeyId {
    key(n, &[], 1, Timestamp::EPOCH).id
}

/// A world with two groups, a year after the keys were bought.
fn world() -> World {
    let mut world = World::new(START);
    world.ok(Command::CreateGroup { id: group(2), name: "Two".to_string(), settings: Default::default() });
    world.wait(Seconds::days(365));
    world
}

fn claimed(keys: &[(u32, &Bought)], into: u8) -> World {
    let mut world = world();
    for (n, of) in keys {
        world.claim_key(issued(*n, of), group(into));
    }
    world
}

fn exact(world: &World, n: u8) -> Option<Fraction> {
    world.group(n).figures.term.coterm().map(|coterm| coterm.exact_secs())
}

/// (Σ q·w)·coterm of a group, which must be a whole number: nothing was rounded on the way.
fn moment(world: &World, n: u8) -> u128 {
    let Some(coterm) = exact(world, n) else { return 0 };
    let keys = world.group(n).active_keys().filter_map(|id| world.organization.key(id));
    let lines = keys.flat_map(|key| key.issued.lines.iter());
    let mass: u128 = lines.map(|line| u128::from(line.quantity) * u128::from(line.weight)).sum();
    assert_eq!(mass % coterm.denominator(), 0);
    coterm.numerator() * (mass / coterm.denominator())
}

/// -1, 0 or 1: how the fraction compares with a whole second.
fn against(fraction: Fraction, second: Timestamp) -> core::cmp::Ordering {
    fraction.numerator().cmp(&(u128::from(second.as_secs()) * fraction.denominator()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn d8_claim_order_does_not_matter(keys in prop::collection::vec(bought(), 2..6), turn in 0..5_usize) {
        let mut order: Vec<(u32, &Bought)> = (1..).zip(&keys).collect();
        let forward = claimed(&order, 1);
        order.reverse();
        let backward = claimed(&order, 1);
        order.rotate_left(turn % keys.len());
        let rotated = claimed(&order, 1);
        for other in [backward, rotated] {
            prop_assert_eq!(exact(&forward, 1), exact(&other, 1));
            prop_assert_eq!(&forward.group(1).figures, &other.group(1).figures);
        }
    }

    #[test]
    fn d8_k7_a_split_into_one_group_changes_no_date_and_keeps_every_unit_second(
        keys in prop::collection::vec(bought(), 1..4),
        share in 0..=1_000_u64,
        wait in 0..30_000_000_u64,
    ) {
        let mut world = claimed(&(1..).zip(&keys).collect::<Vec<_>>(), 1);
        world.wait(Seconds(wait));
        let whole = world.organization.key(id(1)).unwrap().clone();
        prop_assume!(whole.is_active() && whole.ends_at > world.now);
        let (before, capacity) = (exact(&world, 1), world.group(1).figures.capacity.clone());
        // Some of every line, all of it and none included.
        let cut = |quantity: u64| quantity * share / 1_000;
        let part = |n: u32, of: &dyn Fn(u64) -> u64| PartRequest {
            id: id(n),
            code_tail: "ABCDE".to_string(),
            lines: whole.issued.lines.iter().map(|line| OrderLine { product: line.product, quantity: of(line.quantity) }).collect(),
            target: PartTarget::Own { group: Some(group(1)), mode: None },
        };
        let parts = [part(101, &cut), part(102, &|quantity| quantity - cut(quantity))];
        let empty = parts.iter().any(|part| part.lines.iter().all(|line| line.quantity == 0));
        let split = Command::SplitKey { id: id(1), parts: Box::new(parts) };
        if empty {
            prop_assert_eq!(world.refused(split), ["SPLIT_PART_EMPTY"]);
        } else {
            let worth = whole.credit_at(world.now);
            world.ok(split);
            prop_assert_eq!(exact(&world, 1), before);
            prop_assert_eq!(&world.group(1).figures.capacity, &capacity);
            let credit = |n| world.organization.key(id(n)).unwrap().credit_at(world.now);
            prop_assert_eq!(credit(101) + credit(102), worth);
        }
    }

    #[test]
    fn d8_k6_a_move_conserves_the_sum_over_groups_and_leaves_no_group_owing(
        here in prop::collection::vec(bought(), 1..4),
        there in prop::collection::vec(bought(), 0..3),
        wait in 0..60_000_000_u64,
    ) {
        let mut world = claimed(&(1..).zip(&here).collect::<Vec<_>>(), 1);
        for (n, of) in (50..).zip(&there) {
            world.claim_key(issued(n, of), group(2));
        }
        world.wait(Seconds(wait));
        prop_assume!(world.organization.key(id(1)).unwrap().is_active());
        let before = moment(&world, 1) + moment(&world, 2);
        let command = Command::MoveKey { id: id(1), group: group(2), mode: None };
        if let Ok(decision) = decide(&world.organization, &command, &world.context()) {
            world.organization = decision.after;
            prop_assert_eq!(moment(&world, 1) + moment(&world, 2), before);
        } else {
            let codes = world.refused(command);
            prop_assert!(codes.iter().all(|code| ["KEY_TERM_PASSED", "GROUP_WOULD_OWE"].contains(code)), "{codes:?}");
        }
        for n in [1, 2] {
            if let Term::Running { coterm } = world.group(n).figures.term {
                prop_assert!(against(coterm.exact_secs(), world.now).is_gt(), "K5: the remaining credit is positive");
            }
        }
    }

    #[test]
    fn d8_a_later_end_never_shortens_and_an_earlier_one_always_does(
        keys in prop::collection::vec(bought(), 1..4),
        new in bought(),
    ) {
        let mut world = claimed(&(1..).zip(&keys).collect::<Vec<_>>(), 1);
        let before = world.group(1).figures.term.coterm().unwrap();
        let added = issued(99, &new);
        let ends = added.ends_at;
        world.claim_key(added, group(1));
        let after = world.group(1).figures.term.coterm().unwrap();
        // Whole parts and rests: denominators this large do not multiply within 128 bits.
        let moved = after.days_from(&before).map(|(way, _)| way).unwrap_or_else(|| {
            after.exact_secs().floor().cmp(&before.exact_secs().floor())
        });
        match against(before.exact_secs(), ends) {
            core::cmp::Ordering::Less => prop_assert!(moved.is_ge()),
            core::cmp::Ordering::Equal => prop_assert_eq!(after, before),
            core::cmp::Ordering::Greater => prop_assert!(moved.is_le() && after != before, "always, if by a hair"),
        }
        if against(before.exact_secs(), ends).is_lt() {
            prop_assert!(after != before);
        }
    }

    #[test]
    fn d1_d7_neither_time_nor_devices_move_the_date(
        keys in prop::collection::vec(bought(), 1..4),
        waits in prop::collection::vec(0..2_000_000_u64, 1..10),
    ) {
        let mut world = claimed(&(1..).zip(&keys).collect::<Vec<_>>(), 1);
        let before = exact(&world, 1);
        for (n, wait) in (0..).zip(waits) {
            world.wait(Seconds(wait));
            world.ok(Command::ClaimDevice { device: new_device(n, CAMERA, 1 + u64::from(n)), site: site(1) });
            if n % 3 == 2 {
                world.ok(Command::RetireDevice { id: device(n - 1) });
            }
            if world.group(1).figures.term.coterm_at() > Some(world.now) {
                prop_assert_eq!(exact(&world, 1), before);
            }
        }
    }
}

#[test]
fn k2_an_increase_is_usable_at_once() {
    let mut world = claimed(&[(1, &Bought { lines: [(CAMERA, 1, 199)].into(), days: 1095 })], 1);
    world.claim_camera(1, site(1));
    world.claim_camera(2, site(1));
    assert_eq!(world.codes(1), ["OVER_CAPACITY"]);
    world.claim_key(key(2, &[(CAMERA, 1, 199), (ProductType::DOOR, 4, 99)], 365, world.now), group(1));
    assert!(world.group(1).assessment.is_compliant());
    assert_eq!(world.group(1).figures.capacity, [(CAMERA, 2), (ProductType::DOOR, 4)].into());
}

#[test]
fn g6_units_in_use_are_those_of_devices_in_use_whatever_has_been_heard_of_them() {
    // The books do not know whether a device is connected: nothing it says or leaves unsaid changes what it consumes.
    let mut world = World::new(START);
    world.claim_camera(1, site(1));
    world.claim_device(2, site(1), ProductType::DOOR, 4);
    let trial = NewDevice { trial_secs: Some(Seconds::days(30)), ..new_device(3, CAMERA, 1) };
    world.ok(Command::ClaimDevice { device: trial, site: site(1) });
    let in_use = world.group(1).figures.in_use.clone();
    assert_eq!(in_use, [(CAMERA, 1), (ProductType::DOOR, 4)].into());
    world.wait(Seconds::days(365));
    assert_eq!(world.group(1).figures.in_use, in_use, "a year of silence, and a trial long over");
    world.ok(Command::RetireDevice { id: device(1) });
    assert_eq!(world.group(1).figures.in_use, [(ProductType::DOOR, 4)].into());
}
