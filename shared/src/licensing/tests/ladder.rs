//! The ladder: both clocks, rounding, reset, and what is announced ahead (domain §6).

use super::world::{World, at, device, group, key, site};
use crate::enforcement::EnforcementState::{Grace, Licensed, ManagementLocked, Stopped};
use crate::enforcement::Schedule;
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::Seconds;

const CAMERA: ProductType = ProductType::CAMERA;

/// One camera with one unit for a year from 2026.
fn licensed() -> World {
    let mut world = World::new("2026-01-01T12:00:00Z");
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    world.claim_camera(1, site(1));
    world
}

fn schedule(of: &World) -> Schedule {
    of.group(1).assessment.schedule()
}

#[test]
fn e1_the_whole_ladder_on_time() {
    let mut world = licensed();
    for (instant, state) in [
        ("2027-01-01T11:59:59Z", Licensed),
        ("2027-01-01T12:00:00Z", Grace),
        ("2027-01-31T12:00:00Z", Grace),
        ("2027-02-01T00:00:00Z", ManagementLocked),
        ("2027-04-01T23:59:59Z", ManagementLocked),
        ("2027-04-02T00:00:00Z", Stopped),
    ] {
        world.until(instant);
        assert_eq!(world.group(1).assessment.state, state, "{instant}");
    }
}

#[test]
fn e5_a_group_that_expires_as_announced_needs_no_message() {
    let mut world = licensed();
    let announced = world.organization.wanted(&device(1));
    assert_eq!(
        schedule(&world),
        Schedule {
            grace_begins_at: Some(at("2027-01-01T12:00:00Z")),
            lock_at: Some(at("2027-02-01T00:00:00Z")),
            stop_at: Some(at("2027-04-02T00:00:00Z")),
        }
    );
    for _ in 0..500 {
        world.wait(Seconds::days(1));
        assert_eq!(world.organization.wanted(&device(1)), announced);
    }
}

#[test]
fn e4_being_compliant_again_restores_at_once() {
    let mut world = licensed();
    world.until("2027-06-01T00:00:00Z");
    assert_eq!(world.group(1).assessment.state, Stopped);
    world.claim_key(key(2, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    assert_eq!(world.group(1).assessment.state, Licensed);
    assert_eq!(schedule(&world).grace_begins_at, Some(at("2028-05-31T00:00:00Z")));
}

#[test]
fn e2_over_capacity_accumulates_and_pauses() {
    let mut world = licensed();
    world.until("2026-02-01T00:00:00Z");
    world.claim_camera(2, site(1));
    assert_eq!(schedule(&world).lock_at, Some(at("2026-03-03T00:00:00Z")));
    world.until("2026-02-11T00:00:00Z");
    world.ok(Command::RetireDevice { id: device(2) });
    assert_eq!(world.group(1).assessment.state, Licensed);
    // Re-adding the device ten days later buys nothing: 20 of 30 days are left.
    world.until("2026-02-21T00:00:00Z");
    world.claim_camera(2, site(1));
    assert_eq!(schedule(&world).lock_at, Some(at("2026-03-13T00:00:00Z")));
}

#[test]
fn e2_thirty_consecutive_compliant_days_reset_the_clock() {
    let mut world = licensed();
    world.until("2026-02-01T00:00:00Z");
    world.claim_camera(2, site(1));
    world.until("2026-02-21T00:00:00Z");
    world.ok(Command::RetireDevice { id: device(2) });
    assert_eq!(world.group(1).assessment.clocks_reset_at, Some(at("2026-03-23T00:00:00Z")));
    world.until("2026-03-23T00:00:00Z");
    world.claim_camera(2, site(1));
    assert_eq!(schedule(&world).lock_at, Some(at("2026-04-22T00:00:00Z")));
}

#[test]
fn e2_the_first_claim_of_a_key_that_cures_resets_at_once() {
    let mut world = licensed();
    world.claim_camera(2, site(1));
    world.wait(Seconds::days(20));
    world.claim_key(key(2, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    assert_eq!(world.group(1).assessment.clocks_reset_at, None);
    world.claim_camera(3, site(1));
    // A full grace again, rounded up to midnight.
    assert_eq!(schedule(&world).lock_at, Some(at("2026-02-21T00:00:00Z")));
}

#[test]
fn e2_a_key_that_does_not_cure_resets_nothing() {
    let mut world = licensed();
    world.claim_camera(2, site(1));
    world.claim_camera(3, site(1));
    let announced = schedule(&world).lock_at;
    world.wait(Seconds::days(20));
    world.claim_key(key(2, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    assert_eq!(schedule(&world).lock_at, announced);
}

#[test]
fn e5_with_both_causes_the_earliest_of_each_step_counts() {
    let mut world = licensed();
    world.until("2026-12-20T00:00:00Z");
    world.claim_camera(2, site(1));
    let both = schedule(&world);
    assert_eq!(both.grace_begins_at, Some(at("2026-12-20T00:00:00Z")));
    assert_eq!(both.lock_at, Some(at("2027-01-19T00:00:00Z")));
    world.until("2027-01-10T00:00:00Z");
    assert_eq!(schedule(&world), both, "the term's end was announced with it");
    assert_eq!(world.codes(1), ["TERM_ENDED", "OVER_CAPACITY"]);
}

#[test]
fn e3_settings_never_move_an_announced_date_earlier() {
    let mut world = licensed();
    world.claim_camera(2, site(1));
    let announced = schedule(&world);
    let change = |grace: u64| {
        Command::ChangeSettings(SettingsChange {
            grace_secs: Some(Seconds::days(grace)),
            ..SettingsChange::default()
        })
    };
    world.ok(change(0));
    assert_eq!(schedule(&world).lock_at, announced.lock_at);
    assert_eq!(schedule(&world).stop_at, announced.stop_at);
    world.ok(change(60));
    assert_eq!(schedule(&world).lock_at, Some(at("2026-03-03T00:00:00Z")));
    // Going back and forth buys nothing beyond that.
    world.ok(change(0));
    world.ok(change(60));
    assert_eq!(schedule(&world).lock_at, Some(at("2026-03-03T00:00:00Z")));
}

#[test]
fn e1_settings_stay_within_the_vendors_bounds() {
    let world = licensed();
    let change = Command::ChangeSettings(SettingsChange {
        grace_secs: Some(Seconds::days(91)),
        stop_after_lock_secs: Some(Seconds::days(29)),
        time_zone: Some("Mars/Olympus".into()),
        ..SettingsChange::default()
    });
    assert_eq!(
        world.refused(change),
        ["SETTING_OUT_OF_BOUNDS", "SETTING_OUT_OF_BOUNDS", "TIME_ZONE_UNKNOWN"]
    );
}

#[test]
fn transitions_happen_at_their_own_instants_however_late_they_are_noticed() {
    let mut often = licensed();
    let mut once = licensed();
    often.claim_camera(2, site(1));
    once.claim_camera(2, site(1));
    for _ in 0..1000 {
        often.wait(Seconds(12 * 3600));
    }
    once.now = often.now;
    once.ok(Command::Materialize);
    assert_eq!(often.organization, once.organization);
    assert_eq!(often.log, once.log);
}

#[test]
fn an_unrelated_change_touches_nothing() {
    let mut world = licensed();
    let renamed = world.ok(Command::RenameSite { id: site(1), name: "Headquarters".into() });
    assert!(renamed.touched.is_empty());
    assert!(world.ok(Command::Materialize).events.is_empty());
}

#[test]
fn what_is_read_is_as_of_now_and_what_the_timer_will_find() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.claim_key(key(1, &[(ProductType::CAMERA, 1, 199)], 30, world.now), group(1));
    world.claim_camera(1, site(1));
    let stored = world.organization.clone();
    assert_eq!(stored.present(&world.context()).unwrap(), stored, "nothing is due");
    world.now = at("2026-01-31T00:00:00Z");
    let present = stored.present(&world.context()).unwrap();
    assert!(!present.group(group(1)).unwrap().assessment.is_compliant());
    assert_eq!(world.organization, stored);
    // The timer comes by later and finds the same, then goes on.
    world.ok(Command::Materialize);
    assert_eq!(world.organization, present);
}
