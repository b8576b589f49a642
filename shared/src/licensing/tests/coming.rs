//! Coming dates (domain D4, K3, G3, G8, E1, E2): all of them, in order, and each as it comes about.

use super::histories::{history, lived};
use super::world::{World, at, group, key, new_device, site};
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use proptest::prelude::*;

const CAMERA: ProductType = ProductType::CAMERA;
const SENSOR: ProductType = ProductType::ENVIRONMENTAL_SENSOR;

fn coming(world: &World) -> Coming {
    Coming::of(&world.organization, &world.limits, world.now, Timestamp::MAX).unwrap()
}

fn told(world: &World) -> Vec<String> {
    let coming = coming(world);
    assert!(!coming.more);
    coming.dates.iter().map(|date| format!("{} {}", date.at, date.kind.name())).collect()
}

#[test]
fn every_date_that_is_ahead_is_told_in_order() {
    let mut world = World::new("2026-01-01T12:00:00Z");
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    world.claim_camera(1, site(1));
    let renewal = Box::new(key(2, &[(CAMERA, 1, 199)], 365, world.now));
    world.ok(Command::ClaimKey { key: renewal, group: Some(group(1)), mode: ClaimMode::Renewal });
    assert_eq!(
        told(&world),
        [
            "2027-01-01T12:00:00Z term-ends",
            "2027-01-01T12:00:00Z renewals-begin",
            "2028-01-01T12:00:00Z term-ends",
            "2028-02-01T00:00:00Z devices-lock",
            "2028-04-01T00:00:00Z devices-stop",
        ]
    );
    let uids: Vec<String> = coming(&world).dates.into_iter().map(|date| date.uid).collect();
    let group_id = group(1).to_string();
    assert_eq!(uids[0], format!("term-ends.{group_id}.1"));
    assert_eq!(uids[2], format!("term-ends.{group_id}.2"));
    // A date that moves is the same date.
    world.claim_key(key(3, &[(CAMERA, 1, 199)], 730, world.now), group(1));
    assert_eq!(coming(&world).dates.into_iter().map(|date| date.uid).collect::<Vec<_>>(), uids);
    assert_eq!(told(&world)[0], "2027-07-03T00:00:00Z term-ends", "D1: later by half a year");
}

/// C3: by product, cameras without a license stand still long before the term of the sensor ends, whose ladder begins then.
#[test]
fn c3_devices_that_follow_another_clock_than_their_group_are_among_them() {
    let mut world = World::new("2026-01-01T12:00:00Z");
    let by_product = SettingsChange { scope: Some(Scope::Product), ..SettingsChange::default() };
    world.ok(Command::ChangeSettings(by_product));
    world.claim_key(key(1, &[(SENSOR, 1, 249)], 365, world.now), group(1));
    world.claim_camera(1, site(1));
    world.ok(Command::ClaimDevice { device: new_device(2, SENSOR, 1), site: site(1) });
    assert_eq!(
        told(&world),
        [
            "2026-02-01T00:00:00Z devices-lock",
            "2026-04-02T00:00:00Z devices-stop",
            "2027-01-01T12:00:00Z term-ends",
            "2027-02-01T00:00:00Z devices-lock",
            "2027-04-02T00:00:00Z devices-stop",
        ]
    );
}

#[test]
fn g3_g8_countdowns_and_trials_are_among_them_with_what_follows_from_them() {
    let mut world = World::new("2026-01-01T12:00:00Z");
    world.ok(Command::CreateSite { id: site(2), name: "New".to_string(), parent: None, group: None });
    world.claim_camera(1, site(2));
    let spare = |n, days| Command::ClaimKey {
        key: Box::new(key(n, &[(ProductType::DOOR, 1, 99)], days, at("2026-01-01T12:00:00Z"))),
        group: None,
        mode: ClaimMode::Increase,
    };
    world.ok(spare(1, 10));
    world.ok(spare(2, 365));
    let trial = NewDevice { trial_secs: Some(Seconds::days(20)), ..new_device(2, CAMERA, 1) };
    world.ok(Command::ClaimDevice { device: trial, site: site(1) });
    assert_eq!(
        told(&world),
        [
            "2026-01-11T12:00:00Z key-ends",
            "2026-01-21T12:00:00Z trial-ends",
            // The key and the site join at one instant, and the camera lacks a license from then on.
            "2026-01-31T12:00:00Z key-joins",
            "2026-01-31T12:00:00Z site-joins",
            "2026-01-31T12:00:00Z grace-begins",
            "2026-02-21T00:00:00Z trial-locks",
            "2026-03-03T00:00:00Z devices-lock",
            "2026-04-22T00:00:00Z trial-stops",
            "2026-05-02T00:00:00Z devices-stop",
            "2027-01-01T12:00:00Z term-ends",
        ]
    );
    for date in coming(&world).dates {
        assert!(
            date.sentence.ends_with('.') && !date.name.is_empty() && !date.summary.is_empty(),
            "{date:?}"
        );
        assert!(!date.sentence.contains("00002") || date.sentence.contains("*"), "codes are masked (K1)");
    }
    let until = at("2026-01-31T12:00:00Z");
    let short = Coming::of(&world.organization, &world.limits, world.now, until).unwrap();
    assert_eq!((short.dates.len(), short.more), (5, false), "what comes later was not asked for");
}

#[test]
fn e2_the_clocks_that_start_anew_are_told() {
    let mut world = World::new("2026-01-01T12:00:00Z");
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    world.claim_camera(1, site(1));
    world.claim_camera(2, site(1));
    world.until("2026-01-11T12:00:00Z");
    world.ok(Command::RetireDevice { id: super::world::device(2) });
    assert_eq!(told(&world)[0], "2026-02-10T12:00:00Z clocks-reset");
}

#[test]
fn there_are_so_many_at_most_and_the_earliest_are_shown() {
    let mut world = World::new("2026-01-01T12:00:00Z");
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    world.claim_camera(1, site(1));
    for n in 2..402 {
        let trial = NewDevice { trial_secs: Some(Seconds::days(30)), ..new_device(n, CAMERA, 1) };
        world.ok(Command::ClaimDevice { device: trial, site: site(1) });
    }
    let coming = coming(&world);
    assert_eq!((coming.dates.len(), coming.more), (COMING_MAX, true));
    assert!(coming.dates.windows(2).all(|pair| pair[0].at <= pair[1].at));
    assert_eq!(coming.dates[0].at, at("2026-01-31T12:00:00Z"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_term_and_every_lock_that_comes_was_told(
        steps in history(25), waits in prop::collection::vec(0..300 * 86_400_u64, 1..6)
    ) {
        let mut world = lived(&steps);
        world.wait(Seconds(0));
        let said = coming(&world);
        prop_assert!(said.dates.windows(2).all(|pair| pair[0].at <= pair[1].at));
        let mut uids: Vec<&str> = said.dates.iter().map(|date| date.uid.as_str()).collect();
        uids.sort_unstable();
        uids.dedup();
        prop_assert_eq!(uids.len(), said.dates.len(), "every date has a name of its own");
        let (start, first) = (world.now, world.log.len());
        for wait in waits {
            world.wait(Seconds(wait));
        }
        let told = |kind: ComingKind, at: Timestamp| {
            said.dates.iter().any(|date| date.kind == kind && date.at == at)
        };
        for dated in &world.log[first..] {
            let kind = match dated.event.name() {
                "term-ended" => ComingKind::TermEnds,
                "renewals-activated" => ComingKind::RenewalsBegin,
                "trial-ended" => ComingKind::TrialEnds,
                "key-expired" => ComingKind::KeyEnds,
                _ => continue,
            };
            prop_assert!(told(kind, dated.at), "{} {}", kind.name(), dated.at);
        }
        // Whatever is locked or stopped by now and was not then, was told.
        for device in world.organization.devices().filter(|device| device.is_active()) {
            let wanted = world.organization.wanted(&device.id).unwrap();
            let kinds = match device.state {
                DeviceState::Trial(_) => [ComingKind::TrialLocks, ComingKind::TrialStops],
                DeviceState::Active | DeviceState::Retired { .. } => {
                    [ComingKind::DevicesLock, ComingKind::DevicesStop]
                }
            };
            for (at, kind) in [wanted.schedule.lock_at, wanted.schedule.stop_at].into_iter().zip(kinds) {
                if let Some(at) = at.filter(|at| *at > start && *at <= world.now) {
                    prop_assert!(told(kind, at), "{} {} {}", device.id, kind.name(), at);
                }
            }
        }
    }
}
