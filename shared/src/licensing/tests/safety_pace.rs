//! A pace of lockouts (domain E6).

use super::world::*;
use crate::enforcement::Schedule;
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::{DAY_SECS, Seconds, Timestamp};
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use proptest::prelude::*;

pub(super) fn pace(world: &mut World, per_day: u64) {
    world.limits.lockout_pace_min = Some(1);
    let change = SettingsChange { lockout_pace: Some(per_day), ..SettingsChange::default() };
    world.ok(Command::ChangeSettings(change));
}

/// So many cameras in group 1, one a second, with a license for all of them.
pub(super) fn licensed(devices: u32) -> World {
    licensed_at("2027-01-01T00:00:00Z", devices)
}

fn licensed_at(start: &str, devices: u32) -> World {
    let mut world = World::new(start);
    world.claim_key(key(1, &[(ProductType::CAMERA, devices.into(), 199)], 365, world.now), group(1));
    for n in 0..devices {
        world.wait(Seconds(1));
        world.claim_camera(n, site(1));
    }
    world
}

fn schedule(world: &World, n: u32) -> Schedule {
    world.organization.wanted(&device(n)).unwrap().schedule
}

fn locks(world: &World, devices: u32) -> Vec<Timestamp> {
    (0..devices).map(|n| schedule(world, n).lock_at.unwrap()).collect()
}

fn a_day(locks: &[Timestamp]) -> BTreeMap<u64, u64> {
    let mut days = BTreeMap::new();
    locks.iter().for_each(|at| *days.entry(at.as_secs() / DAY_SECS).or_insert(0) += 1);
    days
}

/// E6: the newest first, so many a day, from the start; the steps of the first are those without a pace.
#[test]
fn e6_the_newest_lock_first_and_never_more_a_day() {
    let mut world = licensed(10);
    let plain = locks(&world, 10);
    pace(&mut world, 3);
    let paced = locks(&world, 10);
    assert_eq!(a_day(&paced).into_values().collect::<Vec<_>>(), [3, 3, 3, 1]);
    assert!(paced.is_sorted_by(|older, newer| older >= newer), "the oldest last: {paced:?}");
    for n in 0..10 {
        let days = (9 - n as u64) / 3;
        assert_eq!(paced[n as usize], plain[n as usize].saturating_add(Seconds::days(days)));
        let lone = world.organization.wanted(&device(n)).unwrap();
        assert_eq!(
            Wants::of(&world.organization).wanted(&device(n)),
            Some(lone),
            "asked alone or with others"
        );
    }
    let group = view::GroupView::of(&world.organization, world.group(1), world.now);
    assert_eq!(group.state.schedule.lock_at, paced.iter().min().copied(), "a group shows the earliest");
    let said = group.safety.unwrap();
    assert_eq!(said.lockout_pace, Some(3));
    assert!(said.sentences.concat().contains("3 devices"), "{:?}", said.sentences);
}

/// E5, E3, E6: what was announced stands when the term ends, whoever comes or goes and whatever is set.
#[test]
fn e6_once_the_ladder_has_begun_nobody_moves() {
    let mut world = licensed(10);
    pace(&mut world, 3);
    let announced = locks(&world, 10);
    world.now = world.coterm(1).unwrap().saturating_add(Seconds(60));
    world.ok(Command::Materialize);
    assert_eq!(world.codes(1), ["TERM_ENDED"]);
    assert_eq!(locks(&world, 10), announced, "a group that expires as announced needs no message");
    world.ok(Command::RetireDevice { id: device(9) });
    world.ok(Command::RetireDevice { id: device(8) });
    world.claim_camera(20, site(1));
    for per_day in [1, 100, 0] {
        pace(&mut world, per_day);
        assert_eq!(locks(&world, 8), announced[..8], "{per_day} a day");
    }
    assert_eq!(
        schedule(&world, 20).lock_at,
        announced.iter().min().copied(),
        "who comes now is among the first"
    );
}

/// E2, E6: neither a cure for a while nor a move buys days.
#[test]
fn e6_a_pace_buys_no_grace() {
    let mut world = licensed(3);
    pace(&mut world, 1);
    world.claim_camera(3, site(1));
    let first = locks(&world, 4);
    assert_eq!(a_day(&first).len(), 4, "{first:?}");
    world.wait(Seconds::days(29));
    world.ok(Command::RetireDevice { id: device(3) });
    assert!(world.codes(1).is_empty());
    world.wait(Seconds::days(1));
    world.claim_camera(6, site(1));
    // Little is left of the clock, and it comes for all at once: they have had their days.
    let again = locks(&world, 3);
    assert_eq!(a_day(&again).len(), 1);
    assert!(again.iter().all(|at| at.since(world.now) <= Seconds::days(2)), "{again:?}");
}

/// E6, E1: the vendor decides whether there may be a pace, and how slow.
#[test]
fn e6_a_pace_is_within_the_vendors_bounds() {
    let mut world = licensed(1);
    let ask = |per_day| {
        Command::ChangeSettings(SettingsChange { lockout_pace: Some(per_day), ..SettingsChange::default() })
    };
    assert_eq!(world.refused(ask(5)), ["SETTING_OUT_OF_BOUNDS"]);
    world.limits.lockout_pace_min = Some(10);
    assert_eq!(world.refused(ask(9)), ["SETTING_OUT_OF_BOUNDS"]);
    world.ok(ask(10));
    world.ok(ask(0));
    assert_eq!(world.organization.settings().lockout_pace, None);
}

/// E3, E6: a midnight stays one when the clocks change in between.
#[test]
fn e6_days_are_days_of_the_groups_time_zone() {
    // They lock from March to April, with the change to daylight saving time between.
    let mut world = licensed_at("2027-02-10T00:00:00Z", 40);
    let zone = SettingsChange { time_zone: Some("Europe/Rome".into()), ..SettingsChange::default() };
    world.ok(Command::ChangeSettings(zone));
    pace(&mut world, 1);
    let rome = Zone::parse("Europe/Rome").unwrap();
    for at in
        (0..40).flat_map(|n| [schedule(&world, n).lock_at.unwrap(), schedule(&world, n).stop_at.unwrap()])
    {
        assert_eq!(at.next_midnight(rome.tz()), at);
    }
}

/// E3, E6: what stands once the ladder has begun stands in every time zone, also where clocks change in between.
#[test]
fn e6_another_time_zone_moves_no_day_earlier() {
    let mut world = licensed_at("2026-09-20T00:00:00Z", 40);
    let zone = |name: &str| {
        Command::ChangeSettings(SettingsChange { time_zone: Some(name.into()), ..SettingsChange::default() })
    };
    world.ok(zone("Europe/Rome"));
    pace(&mut world, 1);
    world.now = world.coterm(1).unwrap();
    world.ok(Command::Materialize);
    let announced = locks(&world, 40);
    for name in ["UTC", "Pacific/Auckland", "America/New_York"] {
        world.ok(zone(name));
        assert!(announced.iter().zip(locks(&world, 40)).all(|(old, new)| new >= *old), "{name}");
    }
}

/// E5, E6: whoever keeps tokens hears of another pace, and the group is looked at again on every one of its days.
#[test]
fn e6_another_pace_touches_the_group_and_every_day_is_a_date() {
    let mut world = licensed(5);
    world.limits.lockout_pace_min = Some(1);
    let change = SettingsChange { lockout_pace: Some(2), ..SettingsChange::default() };
    let decision = world.ok(Command::ChangeSettings(change));
    assert!(decision.touched.groups.contains(&group(1)));
    let announced = locks(&world, 5);
    world.now = world.coterm(1).unwrap();
    world.ok(Command::Materialize);
    for at in announced.into_iter().rev() {
        if at > world.now {
            assert_eq!(world.organization.next_due(), Some(at));
            world.now = at;
            let decision = world.ok(Command::Materialize);
            assert!(decision.touched.groups.contains(&group(1)));
        }
    }
}

/// G8, G10, E6: a pace touches neither devices on trial nor what a retired device is told.
#[test]
fn e6_a_retired_device_is_told_the_same_with_a_pace() {
    let mut world = licensed(4);
    world.ok(Command::RetireDevice { id: device(0) });
    let before = world.organization.wanted(&device(0)).unwrap();
    pace(&mut world, 1);
    assert_eq!(world.organization.wanted(&device(0)), Some(before));
}

/// K3, E6: what a waiting renewal cures comes for nobody, neither in time nor later.
#[test]
fn e6_a_renewal_that_cures_leaves_no_day_behind_it() {
    let mut world = World::new("2027-01-01T00:00:00Z");
    world.claim_key(key(1, &[(ProductType::CAMERA, 3, 199)], 33, world.now), group(1));
    pace(&mut world, 1);
    for n in 0..5 {
        world.wait(Seconds(1));
        world.claim_camera(n, site(1));
    }
    let renewal = key(2, &[(ProductType::CAMERA, 9, 199)], 365, world.now);
    world.ok(Command::ClaimKey {
        key: alloc::boxed::Box::new(renewal),
        group: Some(group(1)),
        mode: ClaimMode::Renewal,
    });
    let cured = world.coterm(1).unwrap();
    let near = |n| schedule(&world, n).lock_at.filter(|at| *at < cured.saturating_add(Seconds::days(100)));
    for n in 0..5 {
        assert!(near(n).is_none_or(|at| at < cured), "{n}: {:?}", near(n));
    }
    assert!(near(4).is_some(), "the newest locks before the renewal begins");
}

/// E6: under a freeze what is near is put off, and the later days of a pace are not; each device is measured by its own.
#[test]
fn e6_a_freeze_that_spares_the_first_day_does_not_hide_the_others() {
    let mut world = World::new("2027-01-01T06:00:00Z");
    world.claim_key(key(1, &[(ProductType::CAMERA, 4, 199)], 10, world.now), group(1));
    world.claim_key(key(2, &[(ProductType::CAMERA, 1, 199)], 17, world.now), group(1));
    for n in 0..4 {
        world.wait(Seconds(1));
        world.claim_camera(n, site(1));
    }
    world.limits.stop_after_lock_min_secs = Seconds::ZERO;
    let at_once = SettingsChange {
        grace_secs: Some(Seconds::ZERO),
        stop_after_lock_secs: Some(Seconds(3 * 3_600)),
        ..SettingsChange::default()
    };
    world.ok(Command::ChangeSettings(at_once));
    pace(&mut world, 1);
    let by = Actor { id: "vera".to_string(), name: "Vera".to_string() };
    world.until("2027-01-11T03:00:00Z");
    world.ok(Command::Safety(SafetyCommand::Freeze { by }));
    let unclaim = Command::UnclaimKey { id: key(2, &[], 1, world.now).id };
    let before = locks(&world, 4);
    let decision = decide(&world.organization, &unclaim, &world.context()).unwrap();
    let after = |n| decision.after.wanted(&device(n)).unwrap().schedule.lock_at.unwrap();
    let earlier: Vec<Seconds> = (0..4).map(|n| before[n as usize].since(after(n))).collect();
    assert!(earlier.iter().all(|by| *by >= Seconds::days(1) && *by < Seconds::days(2)), "{earlier:?}");
    assert_eq!(decision.lockout.devices, 3, "all but the one whose lock the freeze puts off until tomorrow");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// E6: never earlier than without it, never more a day, and who joins makes nobody's day earlier.
    #[test]
    fn e6_a_pace_only_ever_delays(devices in 1..30_u32, per_day in 1..12_u64) {
        let mut world = licensed(devices);
        let before = locks(&world, devices);
        pace(&mut world, per_day);
        let paced = locks(&world, devices);
        prop_assert!(before.iter().zip(&paced).all(|(plain, paced)| paced >= plain));
        prop_assert!(a_day(&paced).values().all(|devices| *devices <= per_day));
        world.claim_key(key(9, &[(ProductType::CAMERA, 1, 199)], 365, world.now), group(1));
        let settled = locks(&world, devices);
        world.wait(Seconds(1));
        world.claim_camera(100, site(1));
        prop_assert!(settled.iter().zip(locks(&world, devices)).all(|(old, new)| new >= *old));
    }
}
