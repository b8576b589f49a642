//! What programs are told, with the agent alive and dead.

use super::*;
use crate::enforcement::{Inputs, ModeCap, Schedule, TimeSource, step};
use crate::finding::Finding;
use std::vec;

const BOOT: BootId = BootId::from_bytes([1; 16]);
const NEXT_BOOT: BootId = BootId::from_bytes([2; 16]);
const DAY: u64 = 86_400;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs).unwrap()
}

/// Grace from day 10, lock on day 20, stop on day 30, offline budget until day 25.
fn license() -> LicenseState {
    LicenseState {
        schedule: Schedule {
            grace_begins_at: Some(at(10 * DAY)),
            lock_at: Some(at(20 * DAY)),
            stop_at: Some(at(30 * DAY)),
        },
        findings: vec![Finding::TermEnded],
        offline_lock_at: at(25 * DAY),
        coterm_at: Some(at(10 * DAY)),
    }
}

/// The file written on a day of trusted time, 1000 s after boot, with a lease that ends on another day.
fn written(
    class: DeviceClass,
    license: Option<&LicenseState>,
    day: u64,
    lease_ends: Option<u64>,
) -> PublicState {
    let time = TrustedTime::certain(at(day * DAY), TimeSource::Token);
    let inputs = Inputs { license, time, cap: ModeCap::of(class, None) };
    PublicState::new(
        &step(&inputs),
        &Facts {
            device: &"cam-1".parse().unwrap(),
            class,
            inputs,
            token: license.map(|_| TokenVersion { epoch: 0, seq: 5 }),
            lease_ends_at: lease_ends.map(|day| at(day * DAY)),
            since: time.floor,
            reading: ClockReading { boot_id: BOOT, boot_secs: 1_000, wall: Timestamp::EPOCH },
            wall_skew_secs: -5,
        },
    )
}

fn later(boot_id: BootId, days: u64) -> ClockReading {
    let since_boot = if boot_id == BOOT { 1_000 } else { 0 };
    ClockReading { boot_id, boot_secs: since_boot + days * DAY, wall: Timestamp::MAX }
}

#[test]
fn the_answer_follows_the_stored_schedule_with_the_agent_dead() {
    use Basis::{Schedule, Stale};
    for (boot, written_on, lease_ends, days_later, manage, operate, basis) in [
        (BOOT, 1, 100, 0, true, true, Schedule),
        (BOOT, 1, 100, 18, true, true, Schedule),
        (BOOT, 1, 100, 19, false, true, Schedule),
        (BOOT, 1, 100, 28, false, true, Schedule),
        (BOOT, 1, 100, 29, false, false, Schedule),
        // After a reboot all of the new boot counts.
        (NEXT_BOOT, 1, 100, 18, true, true, Schedule),
        (NEXT_BOOT, 1, 100, 29, false, false, Schedule),
        // Stale: management no, operation as last.
        (BOOT, 1, 8, 6, true, true, Schedule),
        (BOOT, 1, 8, 7, false, true, Stale),
        (BOOT, 1, 8, 300, false, true, Stale),
        (BOOT, 31, 8, 300, false, false, Stale),
        (BOOT, 1, 40, 300, false, false, Stale),
        // A lease that ended offline makes nothing stale while the agent goes on writing.
        (BOOT, 15, 8, 0, true, true, Schedule),
        (BOOT, 15, 8, 1, false, true, Stale),
    ] {
        let stored = written(DeviceClass::Camera, Some(&license()), written_on, Some(lease_ends));
        let now = later(boot, days_later);
        let case =
            std::format!("written on day {written_on}, lease to day {lease_ends}, {days_later} days later");
        assert_eq!(answer(Some(&stored), &now, Ask::Manage), Answer { allowed: manage, basis }, "{case}");
        assert_eq!(answer(Some(&stored), &now, Ask::Operate), Answer { allowed: operate, basis }, "{case}");
    }
}

#[test]
fn with_nothing_to_read_a_device_functions_unmanaged() {
    let now = later(BOOT, 0);
    assert_eq!(answer(None, &now, Ask::Manage), Answer { allowed: false, basis: Basis::Nothing });
    assert_eq!(answer(None, &now, Ask::Operate), Answer { allowed: true, basis: Basis::Nothing });
    let tokenless = written(DeviceClass::Camera, None, 1, None);
    for days in [0, 300] {
        assert!(!answer(Some(&tokenless), &later(BOOT, days), Ask::Manage).allowed);
        assert!(answer(Some(&tokenless), &later(BOOT, days), Ask::Operate).allowed);
    }
}

#[test]
fn a_door_is_never_told_to_stop() {
    for days in 0..60 {
        let stored = written(DeviceClass::DoorController, Some(&license()), 1, Some(50));
        assert!(answer(Some(&stored), &later(BOOT, days), Ask::Operate).allowed);
    }
}

#[test]
fn the_answer_and_the_decision_are_one() {
    for day in 0..40 {
        for class in DeviceClass::ALL {
            let stored = written(class, Some(&license()), day, None);
            let now = later(BOOT, 0);
            assert_eq!(
                answer(Some(&stored), &now, Ask::Manage).allowed,
                stored.allows.manage,
                "{class} day {day}"
            );
            assert_eq!(
                answer(Some(&stored), &now, Ask::Operate).allowed,
                stored.allows.operate,
                "{class} day {day}"
            );
        }
    }
}

#[test]
fn the_file_reads_well_and_comes_back() {
    let state = written(DeviceClass::DoorController, Some(&license()), 31, Some(8));
    let json = serde_json::to_string_pretty(&state).unwrap();
    assert_eq!(serde_json::from_str::<PublicState>(&json).unwrap(), state);
    assert!(serde_json::from_str::<PublicState>(&json.replace("\"v\": 1", "\"v\": 2")).is_err());
    insta::assert_snapshot!(json);
}
