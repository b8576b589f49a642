//! Ways to get grace for nothing, each tried by name (domain E2, E3, G3, G8): all of them are closed.
//!
//! Tricks with settings and with Unassigned are in [`super::evasions_of_time`], those with credit in
//! [`super::evasions_of_credit`].

use super::world::{World, device, group, key, new_device, site};
use crate::enforcement::EnforcementState::Grace;
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::format;
use alloc::string::ToString;

const CAMERA: ProductType = ProductType::CAMERA;
const DOOR: ProductType = ProductType::DOOR;

/// Group 1 has been short of one camera for 29 of 30 days (sites 1 and 3); group 2 has nine units free (site 2).
pub(super) fn world() -> World {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.ok(Command::CreateGroup { id: group(2), name: "Two".to_string(), settings: Default::default() });
    root(&mut world, 2, Some(2));
    root(&mut world, 3, Some(1));
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 1000, world.now), group(1));
    world.claim_key(key(2, &[(CAMERA, 9, 199)], 1000, world.now), group(2));
    world.claim_camera(1, site(1));
    world.claim_camera(2, site(3));
    world.wait(days(29));
    world
}

pub(super) fn days(n: u64) -> Seconds {
    Seconds::days(n)
}

pub(super) fn root(world: &mut World, n: u8, of: Option<u8>) {
    world.ok(Command::CreateSite { id: site(n), name: format!("{n}"), parent: None, group: of.map(group) });
}

pub(super) fn within(world: &mut World, n: u8, parent: u8) {
    world.ok(Command::CreateSite {
        id: site(n),
        name: format!("{n}"),
        parent: Some(site(parent)),
        group: None,
    });
}

pub(super) fn move_site(n: u8, to: SiteTarget) -> Command {
    Command::MoveSite { id: site(n), to }
}

pub(super) fn move_device(n: u32, to: u8) -> Command {
    Command::MoveDevice { id: device(n), site: site(to) }
}

pub(super) fn lock_at(world: &World, n: u32) -> Option<Timestamp> {
    world.organization.wanted(&device(n)).unwrap().schedule.lock_at
}

/// What is left to the lock of a device in a group that is noncompliant now.
pub(super) fn left(world: &World, n: u32) -> Seconds {
    lock_at(world, n).expect("it is on its way to the lock").since(world.now)
}

/// Makes group `n` short of cameras whatever it has, by a device that was never there before.
fn overfill(world: &mut World, n: u8, with: u32) {
    let into = world.group(n).root_sites().next().unwrap();
    world.claim_device(with, into, CAMERA, 100);
}

#[test]
fn e2_shuffling_devices_between_groups_buys_no_grace() {
    let mut world = world();
    for (n, to) in [(2, 2), (2, 1), (2, 2), (2, 3), (2, 2)] {
        world.ok(move_device(n, to));
        world.wait(Seconds(1));
    }
    overfill(&mut world, 2, 9);
    // A fault that goes and comes within a minute has not been away: the seconds of moving about are spent.
    assert_eq!(left(&world, 2), days(1).saturating_sub(Seconds(5)));
    assert!(left(&world, 9) >= days(30));
}

#[test]
fn e2_shuffling_sites_through_ever_new_groups_buys_no_grace() {
    let mut world = world();
    for n in 10..20 {
        let name = format!("Month {n}");
        world.ok(Command::CreateGroup { id: group(n), name, settings: Default::default() });
        world.ok(move_site(3, SiteTarget::Group(group(n))));
        assert_eq!(world.codes(n), ["NO_LICENSE"], "a group made from a site starts without a key");
        assert_eq!(left(&world, 2), days(1));
    }
    world.wait(days(1));
    assert_eq!(lock_at(&world, 2), Some(world.now));
}

#[test]
fn e2_leaving_a_site_that_carries_a_clock_does_not_leave_the_clock() {
    // Device 2 comes to group 2 in a site that carries one day; there it moves to a neighbour.
    let mut world = world();
    world.ok(move_site(3, SiteTarget::Group(group(2))));
    world.ok(move_device(2, 2));
    overfill(&mut world, 2, 9);
    assert_eq!(left(&world, 2), days(1));
}

#[test]
fn e2_a_chain_of_re_parenting_does_not_shake_off_a_clock() {
    let mut world = world();
    within(&mut world, 4, 3);
    within(&mut world, 5, 4);
    world.ok(move_device(2, 5));
    world.ok(move_site(3, SiteTarget::Group(group(2))));
    // Out of the site that carries the clock, as a root, below a neighbour, and out again.
    world.ok(move_site(5, SiteTarget::Root));
    world.ok(move_site(5, SiteTarget::Within(site(2))));
    world.ok(move_site(5, SiteTarget::Root));
    overfill(&mut world, 2, 9);
    assert_eq!(left(&world, 2), days(1));
    // And one level higher, with the device two levels below what moves.
    let mut world = self::world();
    within(&mut world, 4, 3);
    within(&mut world, 5, 4);
    world.ok(move_device(2, 5));
    world.ok(move_site(3, SiteTarget::Group(group(2))));
    world.ok(move_site(4, SiteTarget::Within(site(2))));
    overfill(&mut world, 2, 9);
    assert_eq!(left(&world, 2), days(1));
}

#[test]
fn e2_toggling_compliance_only_pauses_the_clock() {
    let mut world = world();
    for _ in 0..10 {
        world.ok(Command::RetireDevice { id: device(2) });
        assert!(world.group(1).assessment.is_compliant());
        // One second short of thirty consecutive days.
        world.wait(days(30).saturating_sub(Seconds(1)));
        world.claim_camera(3, site(1));
        assert_eq!(left(&world, 1), days(1));
        world.ok(Command::RetireDevice { id: device(3) });
        // A minute is a pause; less is none.
        world.wait(Seconds(60));
        world.claim_camera(2, site(3));
        assert_eq!(left(&world, 1), days(1));
    }
    world.ok(Command::RetireDevice { id: device(2) });
    world.wait(days(30));
    world.claim_camera(2, site(3));
    let given_back = left(&world, 1);
    assert!(
        (days(30)..days(31)).contains(&given_back),
        "thirty consecutive compliant days give it back, to midnight: {given_back:?}"
    );
}

#[test]
fn e2_retiring_and_claiming_anew_finds_the_same_clock() {
    let mut world = world();
    for n in [1, 2] {
        world.ok(Command::RetireDevice { id: device(n) });
    }
    for (n, into) in [(1, 2), (2, 2)] {
        world.claim_camera(n, site(into));
    }
    overfill(&mut world, 2, 9);
    assert_eq!((left(&world, 1), left(&world, 2)), (days(1), days(1)));
}

#[test]
fn g9_a_chain_of_replacements_hands_the_clock_down() {
    let mut world = world();
    for n in 2..8 {
        world.ok(Command::ReplaceDevice { old: device(n), new: new_device(n + 1, CAMERA, 1) });
        assert_eq!(left(&world, n + 1), days(1));
    }
    world.ok(move_device(8, 2));
    overfill(&mut world, 2, 9);
    assert_eq!(left(&world, 8), days(1));
    assert_eq!(
        world.refused(Command::ClaimDevice { device: new_device(2, CAMERA, 1), site: site(2) }),
        ["DEVICE_REPLACED"]
    );
}

fn trial(n: u32) -> NewDevice {
    NewDevice { trial_secs: Some(days(10)), ..new_device(n, CAMERA, 1) }
}

#[test]
fn g8_a_device_has_one_trial_however_it_comes_back() {
    let mut world = world();
    world.ok(Command::ClaimDevice { device: trial(5), site: site(2) });
    world.ok(Command::RetireDevice { id: device(5) });
    let again = |n| Command::ClaimDevice { device: trial(n), site: site(2) };
    assert_eq!(world.refused(again(5)), ["TRIAL_USED"]);
    world.wait(days(365));
    assert_eq!(world.refused(again(5)), ["TRIAL_USED"], "also after a year");
    let replace = Command::ReplaceDevice { old: device(1), new: trial(5) };
    assert_eq!(world.refused(replace), ["TRIAL_USED"], "also as a replacement");
    world.claim_camera(6, site(2));
    world.ok(Command::RetireDevice { id: device(6) });
    assert_eq!(world.refused(again(6)), ["TRIAL_USED"], "also after it was in use");
}

#[test]
fn g8_converting_an_ended_trial_goes_on_with_the_grace_it_used_up() {
    let mut world = world();
    world.ok(Command::ClaimDevice { device: trial(5), site: site(2) });
    world.wait(days(10 + 29));
    let announced = lock_at(&world, 5);
    overfill(&mut world, 2, 9);
    world.ok(Command::ConvertTrial { id: device(5) });
    assert_eq!(lock_at(&world, 5), announced, "the group is short: its own ladder goes on");
    assert!(left(&world, 9) >= days(30), "the others have theirs");
}

#[test]
fn g8_retiring_after_an_ended_trial_keeps_what_it_used_up() {
    let mut world = world();
    world.ok(Command::ClaimDevice { device: trial(5), site: site(2) });
    world.wait(days(10 + 29));
    world.ok(Command::RetireDevice { id: device(5) });
    root(&mut world, 6, None);
    let hide = Command::ClaimDevice { device: new_device(5, CAMERA, 1), site: site(6) };
    assert_eq!(world.refused(hide), ["DEVICE_CARRIES_CLOCK"]);
    world.claim_camera(5, site(2));
    overfill(&mut world, 2, 9);
    assert_eq!(left(&world, 5), days(1));
    // A trial that is converted in time, or retired, has used up nothing.
    world.ok(Command::ClaimDevice { device: trial(7), site: site(2) });
    world.ok(Command::ConvertTrial { id: device(7) });
    assert!(left(&world, 7) >= days(30));
}

#[test]
fn g8_converting_an_ended_trial_in_unassigned_would_forget_what_it_used_up() {
    let mut world = world();
    root(&mut world, 6, None);
    world.ok(Command::ClaimDevice { device: trial(5), site: site(6) });
    world.ok(Command::ClaimDevice { device: trial(7), site: site(6) });
    world.ok(Command::ConvertTrial { id: device(7) });
    world.wait(days(10 + 15));
    let announced = lock_at(&world, 5);
    assert_eq!(world.refused(Command::ConvertTrial { id: device(5) }), ["DEVICE_CARRIES_CLOCK"]);
    // As the hint says: first into a group.
    world.ok(move_device(5, 2));
    overfill(&mut world, 2, 9);
    world.ok(Command::ConvertTrial { id: device(5) });
    assert_eq!(lock_at(&world, 5), announced, "E2: it carries its clock on");
}

/// Claims a key of one unit that was never claimed before.
fn claim_tiny(world: &mut World, n: u32, product: ProductType, of: u8) {
    world.claim_key(key(n, &[(product, 1, 1)], 365, world.now), group(of));
}

#[test]
fn e2_a_tiny_key_for_a_group_that_is_compliant_already_resets_nothing() {
    let mut world = world();
    world.ok(Command::RetireDevice { id: device(2) });
    claim_tiny(&mut world, 7, DOOR, 1);
    claim_tiny(&mut world, 8, CAMERA, 1);
    overfill(&mut world, 1, 9);
    assert_eq!(left(&world, 1), days(1));
}

#[test]
fn e2_a_tiny_key_of_another_product_resets_nothing() {
    let mut world = world();
    claim_tiny(&mut world, 7, DOOR, 1);
    assert_eq!(left(&world, 1), days(1));
}

#[test]
fn e2_a_tiny_key_beside_a_borrowed_one_resets_nothing() {
    // Ten cameras too many. Nine units are lent by group 2 for a moment, a new key of one unit does the rest.
    let mut world = world();
    world.claim_device(3, site(1), CAMERA, 9);
    world.ok(Command::MoveKey { id: key(2, &[], 1, world.now).id, group: group(1), mode: None });
    claim_tiny(&mut world, 7, CAMERA, 1);
    assert!(world.group(1).assessment.is_compliant());
    world.ok(Command::MoveKey { id: key(2, &[], 1, world.now).id, group: group(2), mode: None });
    assert_eq!(left(&world, 1), days(1));
    // Nor does it if the loan goes by way of Unassigned.
    world.ok(Command::UnclaimKey { id: key(2, &[], 1, world.now).id });
    world.ok(Command::MoveKey { id: key(2, &[], 1, world.now).id, group: group(1), mode: None });
    world.claim_camera(4, site(1));
    claim_tiny(&mut world, 8, CAMERA, 1);
    assert!(world.group(1).assessment.is_compliant());
    world.ok(Command::UnclaimKey { id: key(2, &[], 1, world.now).id });
    assert_eq!(left(&world, 1), days(1));
}

#[test]
fn e2_a_tiny_key_does_not_wash_the_clock_a_site_brought() {
    // Group 2 has room for the site; a device too many and a new key of one unit make it compliant "by a first claim".
    let mut world = world();
    world.ok(move_site(3, SiteTarget::Group(group(2))));
    world.claim_device(9, site(2), CAMERA, 9);
    claim_tiny(&mut world, 7, CAMERA, 2);
    assert!(world.group(2).assessment.is_compliant());
    let third = Command::CreateGroup { id: group(3), name: "Three".into(), settings: Default::default() };
    world.ok(third);
    world.ok(move_site(3, SiteTarget::Group(group(3))));
    assert_eq!(left(&world, 2), days(1));
}

#[test]
fn e2_the_key_that_was_missing_still_resets_at_once() {
    let mut world = world();
    claim_tiny(&mut world, 7, CAMERA, 1);
    assert!(world.group(1).assessment.clocks.is_fresh());
}

#[test]
fn e2_changing_the_cause_back_and_forth_gives_each_cause_its_one_grace() {
    // The term ends; a borrowed key turns "ended" into "over capacity" and back, as often as one likes.
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.ok(Command::CreateGroup { id: group(2), name: "Two".to_string(), settings: Default::default() });
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 10, world.now), group(1));
    world.claim_key(key(2, &[(CAMERA, 1, 199)], 5000, world.now), group(2));
    world.claim_camera(1, site(1));
    world.wait(days(10));
    let lent = key(2, &[], 1, world.now).id;
    let mut licensed = days(0);
    while world.organization.wanted(&device(1)).unwrap().schedule.state_at(world.now) == Grace {
        world.ok(Command::MoveKey { id: lent, group: group(1), mode: None });
        world.ok(Command::MoveKey { id: lent, group: group(2), mode: None });
        world.wait(days(1));
        licensed = licensed.saturating_add(days(1));
    }
    assert!(licensed <= days(30), "{} s", licensed.0);
}
