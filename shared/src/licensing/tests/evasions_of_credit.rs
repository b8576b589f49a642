//! Ways to make credit out of nothing, each tried by name (domain D3-D5, K3-K8): all of them are closed.
//!
//! Tricks with grace are in [`super::evasions`].

use super::world::{World, at, group, key, site};
use crate::id::KeyId;
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

const CAMERA: ProductType = ProductType::CAMERA;
const DOOR: ProductType = ProductType::DOOR;
const START: &str = "2026-01-01T00:00:00Z";

fn world() -> World {
    let mut world = World::new(START);
    world.ok(Command::CreateGroup { id: group(2), name: "Two".to_string(), settings: Default::default() });
    world
}

fn days(n: u64) -> Seconds {
    Seconds::days(n)
}

fn id(n: u32) -> KeyId {
    key(n, &[(CAMERA, 1, 1)], 1, Timestamp::EPOCH).id
}

fn claim(n: u32, into: Option<u8>, mode: ClaimMode, term: u32, now: Timestamp) -> Command {
    let key = Box::new(key(n, &[(CAMERA, 10, 199)], term, now));
    Command::ClaimKey { key, group: into.map(group), mode }
}

fn move_key(n: u32, to: u8, mode: ClaimMode) -> Command {
    Command::MoveKey { id: id(n), group: group(to), mode: Some(mode) }
}

fn ends_at(world: &World, n: u32) -> Timestamp {
    world.organization.key(id(n)).unwrap().ends_at
}

/// What all keys in use are worth together.
fn credit(world: &World) -> u128 {
    let in_use = |key: &&LicenseKey| key.state.group().is_some() || key.state.name() == "unassigned";
    world.organization.keys().filter(in_use).map(|key| key.credit_at(world.now)).sum()
}

fn split(n: u32, ids: [u32; 2], quantities: [u64; 2], to: [Option<(u8, ClaimMode)>; 2]) -> Command {
    let part = |at: usize| PartRequest {
        id: id(ids[at]),
        code_tail: "ABCDE".to_string(),
        lines: Vec::from([OrderLine { product: CAMERA, quantity: quantities[at] }]),
        target: PartTarget::Own { group: to[at].map(|(n, _)| group(n)), mode: to[at].map(|(_, mode)| mode) },
    };
    Command::SplitKey { id: id(n), parts: Box::new([part(0), part(1)]) }
}

#[test]
fn k8_unclaiming_and_claiming_again_gives_no_credit_and_moves_no_date() {
    let mut world = world();
    world.claim_key(key(1, &[(CAMERA, 3, 199)], 365, world.now), group(1));
    world.claim_key(key(2, &[(CAMERA, 2, 77)], 1095, world.now), group(1));
    let term = world.group(1).figures.term;
    for _ in 0..10 {
        world.wait(Seconds(86_399));
        let before = credit(&world);
        world.ok(Command::UnclaimKey { id: id(1) });
        world.ok(move_key(1, 1, ClaimMode::Increase));
        assert_eq!((credit(&world), world.group(1).figures.term), (before, term));
    }
    // K1: the code itself is spent.
    let again = claim(1, Some(1), ClaimMode::Increase, 365, world.now);
    assert_eq!(world.refused(again), ["KEY_ALREADY_CLAIMED"]);
}

#[test]
fn k7_splitting_again_and_again_makes_no_credit_by_rounding() {
    // Seven units of an odd weight, cut down to single units at odd seconds: nothing is ever divided, so nothing rounds.
    let mut world = world();
    world.claim_key(key(1, &[(CAMERA, 7, 333_333_333)], 365, world.now), group(1));
    world.claim_key(key(50, &[(CAMERA, 1, 7)], 1094, world.now), group(1));
    let term = world.group(1).figures.term;
    let (mut whole, mut units) = (1, 7);
    while units > 1 {
        world.wait(Seconds(1_234_567));
        let before = credit(&world);
        let into = Some((1, ClaimMode::Increase));
        world.ok(split(whole, [whole + 100, whole + 200], [1, units - 1], [into, into]));
        assert_eq!((credit(&world), world.group(1).figures.term), (before, term));
        (whole, units) = (whole + 200, units - 1);
    }
    let one = split(whole, [8, 9], [1, 0], [None, None]);
    assert_eq!(world.refused(one), ["SPLIT_PART_EMPTY"]);
}

#[test]
fn k5_the_long_key_cannot_leave_at_the_last_minute_by_any_door() {
    let mut world = world();
    world.ok(claim(1, Some(1), ClaimMode::Increase, 100, world.now));
    world.ok(claim(2, Some(1), ClaimMode::Increase, 500, world.now));
    // Day 299 of 300: the short key has been living on the long one's credit for 199 days.
    world.wait(days(299));
    let increase = |n| Some((n, ClaimMode::Increase));
    for command in [
        move_key(2, 2, ClaimMode::Increase),
        Command::UnclaimKey { id: id(2) },
        split(2, [8, 9], [5, 5], [increase(2), increase(2)]),
        split(2, [8, 9], [5, 5], [None, None]),
        split(2, [8, 9], [9, 1], [increase(2), increase(1)]),
        split(2, [8, 9], [9, 1], [None, increase(1)]),
    ] {
        assert_eq!(world.refused(command), ["GROUP_WOULD_OWE"]);
    }
    // The key that lived on it cannot run away from it either (D3).
    assert_eq!(world.refused(move_key(1, 2, ClaimMode::Increase)), ["KEY_TERM_PASSED"]);
    assert_eq!(world.refused(Command::UnclaimKey { id: id(1) }), ["KEY_TERM_PASSED"]);
    world.wait(days(1));
    assert_eq!(world.group(1).active_keys().count(), 0, "D4: they retire together");
    for n in [1, 2] {
        assert_eq!(world.refused(move_key(n, 2, ClaimMode::Increase)), ["KEY_NOT_IN_USE"]);
        assert_eq!(world.refused(Command::UnclaimKey { id: id(n) }), ["KEY_NOT_IN_USE"]);
    }
}

#[test]
fn k3_queueing_and_dequeueing_does_not_pause_a_key_whenever_it_is_not_needed() {
    let mut world = world();
    world.ok(claim(1, Some(1), ClaimMode::Increase, 3650, world.now));
    world.ok(claim(2, Some(2), ClaimMode::Increase, 3650, world.now));
    world.ok(claim(3, Some(1), ClaimMode::Renewal, 365, world.now));
    // From queue to queue as often as one likes: it grants nothing meanwhile, and gains nothing.
    for to in [2, 1, 2] {
        world.wait(days(100));
        world.ok(move_key(3, to, ClaimMode::Renewal));
        assert_eq!(world.organization.key(id(3)).unwrap().left_at(world.now), days(365));
    }
    world.ok(move_key(3, 1, ClaimMode::Increase));
    let ends = world.now.saturating_add(days(365));
    assert_eq!(ends_at(&world, 3), ends, "never more than it was queued with");
    // Its clock stood still once. Not again: directly, by way of Unassigned, in part, or as a part.
    world.wait(days(100));
    let (renewal, increase) = (Some((2, ClaimMode::Renewal)), Some((1, ClaimMode::Increase)));
    assert_eq!(world.refused(move_key(3, 2, ClaimMode::Renewal)), ["KEY_WAITED_ALREADY"]);
    assert_eq!(world.refused(split(3, [8, 9], [4, 6], [renewal, increase])), ["KEY_WAITED_ALREADY"]);
    world.ok(split(3, [8, 9], [4, 6], [None, increase]));
    assert_eq!(world.refused(move_key(8, 2, ClaimMode::Renewal)), ["KEY_WAITED_ALREADY"]);
    world.ok(Command::UnclaimKey { id: id(9) });
    assert_eq!(world.refused(move_key(9, 2, ClaimMode::Renewal)), ["KEY_WAITED_ALREADY"]);
    assert_eq!((ends_at(&world, 8), ends_at(&world, 9)), (ends, ends), "D5: it burns wherever it is");
}

#[test]
fn k3_a_part_that_leaves_the_queue_has_waited_too() {
    let mut world = world();
    world.ok(claim(1, Some(1), ClaimMode::Increase, 3650, world.now));
    world.ok(claim(2, Some(2), ClaimMode::Increase, 3650, world.now));
    world.ok(claim(3, Some(1), ClaimMode::Renewal, 365, world.now));
    world.wait(days(10));
    let (renewal, increase) = (Some((1, ClaimMode::Renewal)), Some((1, ClaimMode::Increase)));
    world.ok(split(3, [8, 9], [4, 6], [renewal, increase]));
    assert_eq!(world.refused(move_key(9, 2, ClaimMode::Renewal)), ["KEY_WAITED_ALREADY"]);
    world.ok(move_key(8, 2, ClaimMode::Renewal));
}

#[test]
fn k3_unclaimed_from_a_queue_the_clock_has_run_all_along() {
    let mut world = world();
    world.ok(claim(1, Some(1), ClaimMode::Increase, 3650, world.now));
    world.ok(claim(4, Some(1), ClaimMode::Renewal, 365, world.now));
    for _ in 0..3 {
        world.wait(days(100));
        world.ok(Command::UnclaimKey { id: id(4) });
        assert_eq!(ends_at(&world, 4), at(START).saturating_add(days(365)));
        world.ok(move_key(4, 1, ClaimMode::Renewal));
    }
    world.wait(days(65));
    assert_eq!(world.refused(Command::UnclaimKey { id: id(4) }), ["KEY_TERM_PASSED"]);
}

#[test]
fn k4_a_renewal_after_the_end_gets_no_time_for_its_delay() {
    let mut world = world();
    world.claim_camera(1, site(1));
    world.ok(claim(1, Some(1), ClaimMode::Increase, 10, world.now));
    world.wait(days(200));
    world.ok(claim(2, Some(1), ClaimMode::Renewal, 365, at(START)));
    assert_eq!(world.coterm(1), Some(at(START).saturating_add(days(365))), "from its creation");
}

#[test]
fn d3_a_spent_key_is_neither_dropped_nor_clamped_to_gain_time() {
    let mut world = world();
    world.ok(claim(1, Some(1), ClaimMode::Increase, 100, world.now));
    world.ok(claim(2, Some(1), ClaimMode::Increase, 500, world.now));
    world.wait(days(250));
    // 300 days stays 300 days: a third key is averaged with the one that ended 150 days ago.
    world.ok(claim(3, Some(1), ClaimMode::Increase, 350, at(START).saturating_add(days(250))));
    assert_eq!(world.coterm(1), Some(at(START).saturating_add(days(400))));
}

#[test]
fn k8_a_key_given_away_and_back_is_as_used_as_before() {
    let mut world = world();
    let mine = key(1, &[(CAMERA, 1, 199)], 365, world.now);
    world.claim_key(mine.clone(), group(1));
    world.ok(Command::UnclaimKey { id: id(1) });
    let to = crate::id::OrganizationId::from_bytes([3; 16]);
    world.ok(Command::TransferKey { id: id(1), to });
    world.ok(Command::ClaimKey { key: Box::new(mine), group: None, mode: ClaimMode::Increase });
    let back = world.organization.key(id(1)).unwrap();
    assert!(back.was_in_group, "E2: the first claim ever has been");
    assert_eq!(back.ends_at, at(START).saturating_add(days(365)));
}

/// A key that was in a group of another organization, after ten days in a queue, and what it has been through.
fn used_elsewhere() -> (IssuedKey, KeyPast) {
    let mut giver = world();
    giver.ok(claim(2, Some(1), ClaimMode::Increase, 3650, giver.now));
    giver.ok(claim(1, Some(1), ClaimMode::Renewal, 365, giver.now));
    giver.wait(days(10));
    giver.ok(move_key(1, 2, ClaimMode::Increase));
    giver.ok(Command::UnclaimKey { id: id(1) });
    let to = crate::id::OrganizationId::from_bytes([3; 16]);
    giver.ok(Command::TransferKey { id: id(1), to });
    let given = giver.organization.key(id(1)).unwrap();
    (IssuedKey { ends_at: given.ends_at, ..given.issued.clone() }, given.past())
}

fn receive(key: &IssuedKey, past: KeyPast) -> Command {
    Command::ReceiveKey { key: Box::new(key.clone()), past }
}

#[test]
fn e2_a_key_used_by_another_organization_cures_here_but_resets_no_clock() {
    let (used, past) = used_elsewhere();
    for (past, left) in [(past, days(10)), (KeyPast::default(), days(30))] {
        let mut receiver = world();
        receiver.claim_camera(1, site(1));
        receiver.wait(days(20));
        receiver.ok(receive(&used, past));
        receiver.ok(move_key(1, 1, ClaimMode::Increase));
        assert!(receiver.group(1).assessment.is_compliant());
        receiver.claim_device(2, site(1), CAMERA, 100);
        let lock_at = receiver.group(1).assessment.schedule().lock_at.unwrap();
        assert_eq!(lock_at.since(receiver.now), left, "{past:?}");
    }
}

#[test]
fn k3_a_key_that_waited_in_another_organization_does_not_wait_here() {
    let (used, past) = used_elsewhere();
    let mut receiver = world();
    receiver.ok(claim(2, Some(1), ClaimMode::Increase, 3650, receiver.now));
    receiver.wait(days(10));
    receiver.ok(receive(&used, past));
    assert_eq!(receiver.refused(move_key(1, 1, ClaimMode::Renewal)), ["KEY_WAITED_ALREADY"]);
    // K7: nor does a part of it, wherever it goes.
    let (renewal, increase) = (Some((1, ClaimMode::Renewal)), Some((1, ClaimMode::Increase)));
    assert_eq!(receiver.refused(split(1, [8, 9], [4, 6], [renewal, increase])), ["KEY_WAITED_ALREADY"]);
    receiver.ok(split(1, [8, 9], [4, 6], [None, increase]));
    assert_eq!(receiver.organization.key(id(8)).unwrap().past(), past);
}

#[test]
fn k8_a_key_comes_back_with_what_it_has_been_through_here_and_there() {
    let (used, there) = used_elsewhere();
    let to = crate::id::OrganizationId::from_bytes([3; 16]);
    let fresh = KeyPast::default();
    let in_group = KeyPast { was_in_group: true, ..fresh };
    for (here, there) in [(fresh, there), (in_group, fresh), (in_group, there)] {
        let mut first = world();
        first.ok(receive(&used, here));
        first.ok(Command::TransferKey { id: id(1), to });
        first.wait(days(1));
        first.ok(receive(&used, there));
        assert_eq!(first.organization.key(id(1)).unwrap().past(), here.or(there));
    }
}

#[test]
fn k8_a_claim_logged_before_keys_had_a_past_is_that_of_a_fresh_one() {
    let mut world = world();
    let logged = world.ok(claim(1, None, ClaimMode::Increase, 365, world.now));
    let json = serde_json::to_string(&logged.events[0]).unwrap();
    assert!(!json.contains("past"), "{json}");
    assert!(world.organization.key(id(1)).unwrap().past().is_fresh());
}

#[test]
fn k3_queued_and_activated_in_one_command_is_no_wait() {
    let mut world = world();
    world.ok(claim(1, Some(1), ClaimMode::Increase, 3650, world.now));
    world.ok(claim(2, Some(2), ClaimMode::Increase, 365, world.now));
    world.wait(days(5));
    // The only key of its group: what would wait for its term activates at once.
    world.ok(split(2, [8, 9], [4, 6], [Some((2, ClaimMode::Renewal)), None]));
    assert_eq!(world.organization.key(id(8)).unwrap().state.name(), "active");
    assert_eq!(ends_at(&world, 8), at(START).saturating_add(days(365)));
    // The wait it is owed is still to come, and it is one.
    world.ok(move_key(8, 1, ClaimMode::Renewal));
    world.wait(Seconds(1));
    world.ok(move_key(8, 2, ClaimMode::Increase));
    assert_eq!(world.refused(move_key(8, 1, ClaimMode::Renewal)), ["KEY_WAITED_ALREADY"]);
}

#[test]
fn d8_a_later_price_book_moves_no_existing_date() {
    // The weight is in the key: claimed after a price change, old and new keys keep the weight of their own day.
    let mut world = world();
    world.claim_key(key(1, &[(DOOR, 1, 100)], 365, world.now), group(1));
    world.claim_key(key(2, &[(DOOR, 1, 300)], 1095, world.now), group(1));
    let days = |world: &World| world.coterm(1).unwrap().since(at(START)).0 * 4 / 86_400;
    assert_eq!(days(&world), 365 + 3 * 1095);
}
