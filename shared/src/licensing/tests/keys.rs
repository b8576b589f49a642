//! The life of keys: renewal, move, split, unclaim, transfer, Unassigned (domain K1-K9, G3).

use super::world::{World, at, group, key, site};
use crate::enforcement::EnforcementState::{Grace, Licensed};
use crate::finding::Finding;
use crate::id::{KeyId, OrganizationId};
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;

const CAMERA: ProductType = ProductType::CAMERA;
const DOOR: ProductType = ProductType::DOOR;
const START: &str = "2026-01-01T00:00:00Z";

fn world() -> World {
    let mut world = World::new(START);
    world.ok(Command::CreateGroup { id: group(2), name: "Two".to_string(), settings: Default::default() });
    world.ok(Command::CreateSite { id: site(2), name: "B".to_string(), parent: None, group: Some(group(2)) });
    world
}

fn days(n: u64) -> Seconds {
    Seconds::days(n)
}

fn id(n: u32) -> KeyId {
    key(n, &[(CAMERA, 1, 1)], 1, Timestamp::EPOCH).id
}

fn renewal(key: IssuedKey, n: u8) -> Command {
    Command::ClaimKey { key: Box::new(key), group: Some(group(n)), mode: ClaimMode::Renewal }
}

fn part(n: u32, lines: &[(ProductType, u64)], target: Option<(u8, ClaimMode)>) -> PartRequest {
    PartRequest {
        id: id(n),
        code_tail: "ABCDE".to_string(),
        lines: lines.iter().map(|&(product, quantity)| OrderLine { product, quantity }).collect(),
        target: PartTarget::Own { group: target.map(|(n, _)| group(n)), mode: target.map(|(_, mode)| mode) },
    }
}

fn split(n: u32, first: PartRequest, second: PartRequest) -> Command {
    Command::SplitKey { id: id(n), parts: Box::new([first, second]) }
}

#[test]
fn k3_a_renewal_waits_and_its_clock_stands_still() {
    let mut world = world();
    world.claim_key(key(1, &[(CAMERA, 2, 199)], 365, world.now), group(1));
    world.claim_camera(1, site(1));
    // Queued the day it was issued: all of its term begins at activation.
    world.wait(days(300));
    world.ok(renewal(key(2, &[(CAMERA, 1, 199)], 365, world.now), 1));
    assert_eq!(world.coterm(1), Some(at(START).saturating_add(days(365))), "a renewal moves no date");
    world.until("2027-01-01T00:00:00Z");
    assert_eq!(world.coterm(1), Some(at("2027-01-01T00:00:00Z").saturating_add(days(365))));
    assert_eq!(world.group(1).figures.capacity, [(CAMERA, 1)].into(), "capacity is the renewal's only");
    assert!(world.group(1).assessment.is_compliant());
}

#[test]
fn k3_all_renewals_activate_as_one_batch_in_any_order() {
    let coterm = |order: [u32; 2]| {
        let mut world = world();
        world.claim_key(key(1, &[(CAMERA, 1, 199)], 365, world.now), group(1));
        for n in order {
            world.ok(renewal(key(n, &[(CAMERA, 1, 100 * u64::from(n))], 365 * n, at(START)), 1));
        }
        world.until("2027-01-01T00:00:00Z");
        (world.coterm(1), world.group(1).figures.capacity.clone())
    };
    let both = coterm([2, 3]);
    assert_eq!(both, coterm([3, 2]));
    assert_eq!(both.1, [(CAMERA, 2)].into());
}

#[test]
fn k3_the_schedule_says_that_the_renewal_will_be_too_small() {
    let mut world = world();
    world.claim_key(key(1, &[(CAMERA, 2, 199)], 365, world.now), group(1));
    world.claim_camera(1, site(1));
    world.claim_camera(2, site(1));
    world.ok(renewal(key(2, &[(CAMERA, 1, 199)], 365, world.now), 1));
    let announced = world.organization.wanted(&super::world::device(1)).unwrap();
    let short = Finding::OverCapacity { product: CAMERA, shortfall: 1 };
    assert_eq!(announced.findings, [Finding::TermEnded, short]);
    assert_eq!(announced.schedule.grace_begins_at, Some(at("2027-01-01T00:00:00Z")));
    world.until("2027-01-01T00:00:00Z");
    assert_eq!(world.group(1).assessment.findings, [short]);
    assert_eq!(world.group(1).assessment.state, Grace);
    assert_eq!(world.group(1).assessment.schedule(), announced.schedule, "as it was announced");
}

#[test]
fn k3_without_an_active_key_a_renewal_activates_at_once() {
    let mut world = world();
    world.ok(renewal(key(1, &[(CAMERA, 1, 199)], 365, world.now), 1));
    assert_eq!(world.coterm(1), Some(at(START).saturating_add(days(365))));
    // K4: and so after the term has ended, the clock running from the key's creation.
    world.until("2027-06-01T00:00:00Z");
    world.ok(renewal(key(2, &[(CAMERA, 1, 199)], 365, at("2027-05-01T00:00:00Z")), 1));
    assert_eq!(world.coterm(1), Some(at("2027-05-01T00:00:00Z").saturating_add(days(365))));
    // And when the last active key moves away.
    world.ok(renewal(key(3, &[(CAMERA, 1, 199)], 365, world.now), 1));
    world.ok(Command::MoveKey { id: id(2), group: group(2), mode: None });
    assert_eq!(world.group(1).queued_keys().count(), 0);
    assert_eq!(world.coterm(1), Some(world.now.saturating_add(days(365))));
}

#[test]
fn k3_unclaiming_a_queued_key_gives_no_credit_for_the_wait() {
    let mut world = world();
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 1000, world.now), group(1));
    world.ok(renewal(key(2, &[(CAMERA, 1, 199)], 365, world.now), 1));
    world.wait(days(200));
    world.ok(Command::UnclaimKey { id: id(2) });
    assert_eq!(world.organization.key(id(2)).unwrap().ends_at, at(START).saturating_add(days(365)));
    // Once the creation clock has run out, it is refused.
    world.ok(renewal(key(3, &[(CAMERA, 1, 199)], 300, world.now), 1));
    world.wait(days(301));
    assert_eq!(world.refused(Command::UnclaimKey { id: id(3) }), ["KEY_TERM_PASSED"]);
}

#[test]
fn k5_nothing_is_done_with_a_spent_key_and_no_group_is_left_owing() {
    let mut world = world();
    world.claim_key(key(1, &[(CAMERA, 1, 100)], 100, world.now), group(1));
    world.claim_key(key(2, &[(CAMERA, 1, 100)], 500, world.now), group(1));
    world.wait(days(150));
    let spent =
        [Command::MoveKey { id: id(1), group: group(2), mode: None }, Command::UnclaimKey { id: id(1) }];
    for command in spent {
        assert_eq!(world.refused(command), ["KEY_TERM_PASSED"]);
    }
    // The long key cannot leave at the last minute: the short one's own end has passed.
    let leaving =
        [Command::MoveKey { id: id(2), group: group(2), mode: None }, Command::UnclaimKey { id: id(2) }];
    for command in leaving {
        assert_eq!(world.refused(command), ["GROUP_WOULD_OWE"]);
    }
}

#[test]
fn k6_a_move_takes_the_lines_from_one_pool_to_the_other() {
    let mut world = world();
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    world.claim_key(key(2, &[(CAMERA, 2, 199)], 1095, world.now), group(1));
    world.ok(Command::MoveKey { id: id(2), group: group(2), mode: None });
    assert_eq!(world.coterm(1), Some(at(START).saturating_add(days(365))));
    assert_eq!(world.coterm(2), Some(at(START).saturating_add(days(1095))));
    assert_eq!(world.group(2).figures.capacity, [(CAMERA, 2)].into());
    assert_eq!(world.refused(Command::MoveKey { id: id(2), group: group(2), mode: None }), ["ALREADY_THERE"]);
    assert_eq!(world.refused(Command::MoveKey { id: id(9), group: group(2), mode: None }), ["KEY_NOT_FOUND"]);
}

#[test]
fn k6_a_group_whose_keys_all_left_grants_nothing() {
    let mut world = world();
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    world.claim_camera(1, site(1));
    world.ok(Command::MoveKey { id: id(1), group: group(2), mode: None });
    assert_eq!(world.codes(1), ["OVER_CAPACITY"]);
    assert_eq!(world.coterm(1), None);
}

#[test]
fn k7_a_split_divides_credit_in_proportion_and_loses_none() {
    let mut world = world();
    world.claim_key(key(1, &[(CAMERA, 5, 199), (DOOR, 3, 150)], 365, world.now), group(1));
    world.claim_camera(1, site(1));
    let before = (world.coterm(1), world.organization.key(id(1)).unwrap().credit_at(world.now));
    world.ok(split(
        1,
        part(2, &[(CAMERA, 3), (DOOR, 3)], Some((1, ClaimMode::Increase))),
        part(3, &[(CAMERA, 2)], Some((2, ClaimMode::Increase))),
    ));
    let credit = |n| world.organization.key(id(n)).unwrap().credit_at(world.now);
    assert_eq!(credit(2) + credit(3), before.1);
    assert_eq!(world.coterm(1), before.0);
    assert!(world.group(1).assessment.is_compliant());
    let child = world.organization.key(id(3)).unwrap();
    assert_eq!(child.issued.order_number.as_str(), "PO-1");
    assert_eq!(child.issued.created_at, at(START));
    assert_eq!(world.refused(Command::UnclaimKey { id: id(1) }), ["KEY_NOT_IN_USE"]);
}

#[test]
fn k7_a_split_into_one_group_changes_no_date() {
    let mut world = world();
    world.claim_key(key(1, &[(CAMERA, 7, 199)], 365, world.now), group(1));
    world.claim_key(key(2, &[(CAMERA, 3, 99)], 777, world.now), group(1));
    let before = world.group(1).figures.term;
    let into = Some((1, ClaimMode::Increase));
    world.ok(split(1, part(3, &[(CAMERA, 2)], into), part(4, &[(CAMERA, 5)], into)));
    assert_eq!(world.group(1).figures.term, before);
}

#[test]
fn k7_quantities_that_do_not_add_up_are_refused() {
    let mut world = world();
    world.claim_key(key(1, &[(CAMERA, 5, 199)], 365, world.now), group(1));
    world.claim_key(key(2, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    for (n, first, second, codes) in [
        (1, vec![(CAMERA, 3)], vec![(CAMERA, 3)], vec!["SPLIT_DOES_NOT_ADD_UP"]),
        (1, vec![(CAMERA, 5)], vec![], vec!["SPLIT_PART_EMPTY"]),
        (1, vec![(CAMERA, 3)], vec![(CAMERA, 2), (DOOR, 1)], vec!["SPLIT_DOES_NOT_ADD_UP"]),
        (1, vec![(CAMERA, u64::MAX)], vec![(CAMERA, 6)], vec!["SPLIT_DOES_NOT_ADD_UP"]),
        (2, vec![(CAMERA, 1)], vec![(CAMERA, 0)], vec!["SPLIT_PART_EMPTY"]),
    ] {
        assert_eq!(world.refused(split(n, part(8, &first, None), part(9, &second, None))), codes);
    }
    let same = split(1, part(8, &[(CAMERA, 2)], None), part(8, &[(CAMERA, 3)], None));
    assert_eq!(world.refused(same), ["ID_TAKEN", "ID_TAKEN"]);
}

#[test]
fn k7_splitting_farms_no_grace() {
    let mut world = world();
    world.claim_key(key(1, &[(CAMERA, 2, 199)], 365, world.now), group(2));
    world.claim_key(key(4, &[(DOOR, 1, 199)], 365, world.now), group(1));
    world.claim_camera(1, site(1));
    world.wait(days(20));
    let clock = world.group(1).assessment.clocks.capacity;
    // The parts were in a group before: they cure, but give nothing back.
    world.ok(split(
        1,
        part(2, &[(CAMERA, 1)], Some((1, ClaimMode::Increase))),
        part(3, &[(CAMERA, 1)], Some((2, ClaimMode::Increase))),
    ));
    assert_eq!(world.group(1).assessment.state, Licensed);
    assert_eq!(world.group(1).assessment.clocks.capacity, clock.stricter(CauseClock::Fresh, world.now));
}

#[test]
fn k8_an_unclaimed_key_burns_on_its_own_and_can_be_given_away() {
    let mut world = world();
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    let other = OrganizationId::from_bytes([3; 16]);
    assert_eq!(world.refused(Command::TransferKey { id: id(1), to: other }), ["KEY_NOT_UNASSIGNED"]);
    world.ok(Command::UnclaimKey { id: id(1) });
    assert_eq!(world.organization.unassigned_keys().count(), 1);
    let own = world.organization.id();
    assert_eq!(world.refused(Command::TransferKey { id: id(1), to: own }), ["ALREADY_THERE"]);
    let decision = world.ok(Command::TransferKey { id: id(1), to: other });
    assert!(matches!(decision.events[0].event.reservations().as_slice(), [Reservation::Release(_)]));
    assert_eq!(world.organization.unassigned_keys().count(), 0);
}

#[test]
fn g3_unassigned_keys_and_sites_join_the_default_group_after_their_countdown() {
    let mut world = world();
    let key = key(1, &[(CAMERA, 1, 199)], 365, world.now);
    world.ok(Command::ClaimKey { key: Box::new(key), group: None, mode: ClaimMode::Increase });
    world.ok(Command::CreateSite { id: site(3), name: "New".to_string(), parent: None, group: None });
    world.claim_camera(1, site(3));
    let wanted = world.organization.wanted(&super::world::device(1)).unwrap();
    assert_eq!((wanted.group, wanted.schedule.grace_begins_at), (None, None), "not enforced meanwhile");
    world.wait(days(30));
    assert_eq!(world.organization.unassigned_keys().count(), 0);
    assert_eq!(world.organization.group_of_site(site(3)), Some(group(1)));
    assert!(world.group(1).assessment.is_compliant());
    assert!(world.group(1).assessment.clocks.is_fresh(), "nobody was noncompliant on the way");
}

#[test]
fn g3_a_key_that_runs_out_unassigned_is_gone() {
    let mut world = world();
    let short = key(1, &[(CAMERA, 1, 199)], 10, world.now);
    world.ok(Command::ClaimKey { key: Box::new(short), group: None, mode: ClaimMode::Increase });
    world.wait(days(11));
    assert_eq!(world.organization.key(id(1)).unwrap().state.name(), "retired");
    let back = Command::MoveKey { id: id(1), group: group(1), mode: None };
    assert_eq!(world.refused(back), ["KEY_NOT_IN_USE"]);
}

#[test]
fn g1_before_groups_are_enabled_the_organization_is_one_pool() {
    let mut world = World::new(START);
    let founding = FoundOrganization {
        id: OrganizationId::from_bytes([8; 16]),
        name: "Pool".to_string(),
        default_group: group(1),
        settings: Default::default(),
        license_groups: false,
    };
    world.organization = found(&founding, &world.context()).unwrap().after;
    let create = Command::CreateGroup { id: group(2), name: "Two".to_string(), settings: Default::default() };
    assert_eq!(world.refused(create), ["GROUPS_NOT_ENABLED"]);
    let key = key(1, &[(CAMERA, 1, 199)], 365, world.now);
    world.ok(Command::ClaimKey { key: Box::new(key), group: None, mode: ClaimMode::Increase });
    world.ok(Command::CreateSite { id: site(1), name: "HQ".to_string(), parent: None, group: None });
    assert_eq!(world.organization.group_of_site(site(1)), Some(group(1)));
    world.ok(Command::EnableGroups);
    assert_eq!(world.refused(Command::EnableGroups), ["GROUPS_ALREADY_ENABLED"]);
    assert_eq!(world.group(1).active_keys().count(), 1);
}
