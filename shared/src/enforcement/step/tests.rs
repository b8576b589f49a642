//! Every state, class and cause, and what a person is told.

use super::*;
use crate::enforcement::{DeviceClass, EgressIndependent, TimeSource};
use std::string::{String, ToString};
use std::vec;

const GRACE: u64 = 1_000;
const LOCK: u64 = 2_000;
const STOP: u64 = 3_000;
const OFFLINE: u64 = 2_500;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs).unwrap()
}

fn time(floor: u64, lock_time: u64) -> TrustedTime {
    TrustedTime { floor: at(floor), lock_time: at(lock_time), source: TimeSource::Token }
}

fn license(offline_lock_at: u64) -> LicenseState {
    LicenseState {
        schedule: Schedule {
            grace_begins_at: Some(at(GRACE)),
            lock_at: Some(at(LOCK)),
            stop_at: Some(at(STOP)),
        },
        findings: vec![Finding::TermEnded],
        offline_lock_at: at(offline_lock_at),
        coterm_at: Some(at(GRACE)),
    }
}

fn camera() -> ModeCap {
    ModeCap::of(DeviceClass::Camera, None)
}

fn decide(license: Option<&LicenseState>, time: TrustedTime) -> Decision {
    step(&Inputs { license, time, cap: camera() })
}

#[test]
fn every_instant_and_every_cause() {
    use EnforcementState::{Grace, Licensed, ManagementLocked, Stopped};
    // (floor, lock time, offline budget) -> (by schedule, state, codes, wake in, next change)
    type Expect = (EnforcementState, EnforcementState, &'static [&'static str], Option<u64>, Option<u64>);
    let table: [((u64, u64, u64), Expect); 14] = [
        // The schedule alone, its instants belonging to what they begin.
        ((999, 999, 9_000), (Licensed, Licensed, &[], Some(1), Some(GRACE))),
        ((1_000, 1_000, 9_000), (Grace, Grace, &["TERM_ENDED", "SCHEDULE"], Some(1_000), Some(LOCK))),
        ((1_999, 1_999, 9_000), (Grace, Grace, &["TERM_ENDED", "SCHEDULE"], Some(1), Some(LOCK))),
        (
            (2_000, 2_000, 9_000),
            (ManagementLocked, ManagementLocked, &["TERM_ENDED", "SCHEDULE"], Some(1_000), Some(STOP)),
        ),
        ((3_000, 3_000, 9_000), (Stopped, Stopped, &["TERM_ENDED", "SCHEDULE"], Some(6_000), None)),
        (
            (9_001, 9_001, 9_000),
            (Stopped, Stopped, &["TERM_ENDED", "SCHEDULE", "OFFLINE_BUDGET"], None, None),
        ),
        // The offline budget locks in every earlier state, and never stops.
        ((500, 500, 500), (Licensed, ManagementLocked, &["OFFLINE_BUDGET"], Some(500), Some(STOP))),
        (
            (1_500, 1_500, 500),
            (Grace, ManagementLocked, &["TERM_ENDED", "SCHEDULE", "OFFLINE_BUDGET"], Some(500), Some(STOP)),
        ),
        ((500, 500, 800), (Licensed, Licensed, &[], Some(300), Some(800))),
        // Adopted time: its lock counts, its grace changes nothing, its stop is not believed.
        ((500, 1_500, 9_000), (Licensed, Licensed, &[], Some(500), Some(LOCK))),
        (
            (500, 2_000, 9_000),
            (Licensed, ManagementLocked, &["TERM_ENDED", "ADOPTED_TIME"], Some(500), Some(STOP)),
        ),
        (
            (500, 99_000, 9_000),
            (
                Licensed,
                ManagementLocked,
                &["TERM_ENDED", "ADOPTED_TIME", "OFFLINE_BUDGET"],
                Some(500),
                Some(STOP),
            ),
        ),
        (
            (1_500, 3_500, 9_000),
            (Grace, ManagementLocked, &["TERM_ENDED", "SCHEDULE", "ADOPTED_TIME"], Some(500), Some(STOP)),
        ),
        (
            (2_500, 99_000, 9_000),
            (
                ManagementLocked,
                ManagementLocked,
                &["TERM_ENDED", "SCHEDULE", "OFFLINE_BUDGET"],
                Some(500),
                Some(STOP),
            ),
        ),
    ];
    for ((floor, lock_time, offline), (by_schedule, state, codes, wake_in, next_at)) in table {
        let decision = decide(Some(&license(offline)), time(floor, lock_time));
        let case = std::format!("floor {floor}, lock time {lock_time}, offline {offline}");
        assert_eq!(decision.by_schedule, Some(by_schedule), "{case}");
        assert_eq!(decision.state, state, "{case}");
        assert_eq!(decision.mode, OperatingMode::wanted_by(state), "{case}");
        assert_eq!(decision.reason.codes(), codes, "{case}");
        assert_eq!(decision.wake_in, wake_in.map(Seconds), "{case}");
        assert_eq!(decision.next_change.map(|next| next.at.as_secs()), next_at, "{case}");
    }
}

#[test]
fn no_class_goes_beyond_its_cap_for_any_cause() {
    let egress: EgressIndependent = serde_json::from_value(
        serde_json::json!({"statement": EgressIndependent::STATEMENT, "attested_by": "A. Installer"}),
    )
    .unwrap();
    for class in DeviceClass::ALL {
        for attested in [None, Some(&egress)] {
            let cap = ModeCap::of(class, attested);
            for (license, time) in [
                (None, time(0, 0)),
                (Some(license(9_000)), time(500, 500)),
                (Some(license(9_000)), time(1_500, 1_500)),
                (Some(license(9_000)), time(2_500, 2_500)),
                (Some(license(9_000)), time(3_500, 3_500)),
                (Some(license(OFFLINE)), time(500, OFFLINE)),
                (Some(license(OFFLINE)), time(3_500, 99_000)),
            ] {
                let decision = step(&Inputs { license: license.as_ref(), time, cap });
                let wanted = OperatingMode::wanted_by(decision.state);
                assert_eq!(decision.mode, wanted.min(cap.strictest()), "{class}");
                let capped = wanted > cap.strictest();
                assert_eq!(decision.reason.capped_from, capped.then_some(wanted), "{class}");
                assert_eq!(decision.reason.codes().contains(&"CLASS_CAP"), capped, "{class}");
                assert!(decision.next_change.is_none_or(|next| next.mode <= cap.strictest()), "{class}");
            }
        }
    }
}

#[test]
fn a_door_without_the_attestation_never_stops() {
    let door = ModeCap::of(DeviceClass::DoorController, None);
    for floor in (0..10_000).step_by(250) {
        let license = license(OFFLINE);
        let decision = step(&Inputs { license: Some(&license), time: time(floor, floor + 1_000), cap: door });
        assert_ne!(decision.mode, OperatingMode::Stopped, "at {floor}");
    }
}

#[test]
fn without_any_token_management_is_locked_and_the_device_functions() {
    for class in DeviceClass::ALL {
        let decision = step(&Inputs { license: None, time: time(5, 5), cap: ModeCap::of(class, None) });
        assert_eq!(decision.mode, OperatingMode::ManagementLocked, "{class}");
        assert!(decision.mode.allows_operate());
        assert_eq!((decision.by_schedule, decision.wake_in, decision.next_change), (None, None, None));
        assert_eq!(decision.reason.codes(), ["NO_TOKEN"]);
    }
}

#[test]
fn a_licensed_device_is_told_nothing_and_still_wakes_for_its_offline_budget() {
    let license = LicenseState {
        schedule: Schedule::NEVER,
        findings: vec![],
        offline_lock_at: at(40 * 86_400),
        coterm_at: None,
    };
    let decision = decide(Some(&license), time(0, 0));
    assert_eq!((decision.state, decision.mode), (EnforcementState::Licensed, OperatingMode::Full));
    assert_eq!(decision.reason, Reason::default());
    assert_eq!(decision.wake_in, Some(Seconds::days(40)));
    assert_eq!(
        decision.next_change,
        Some(NextChange {
            at: at(40 * 86_400),
            state: EnforcementState::ManagementLocked,
            mode: OperatingMode::ManagementLocked
        })
    );
}

#[test]
fn waking_when_told_misses_no_change() {
    for lead in [0, 300, 700, 1_500, 5_000] {
        for offline in [100, 1_500, 2_500, 9_000] {
            let license = license(offline);
            let mut now = time(0, lead);
            let mut seen = decide(Some(&license), now);
            for floor in 1..10_000 {
                let due = seen.wake_in.is_some_and(|wake_in| now.floor.saturating_add(wake_in) <= at(floor));
                let decision = decide(Some(&license), time(floor, floor + lead));
                if due {
                    now = time(floor, floor + lead);
                    seen = decision;
                } else {
                    assert_eq!(
                        (decision.state, decision.mode, &decision.reason),
                        (seen.state, seen.mode, &seen.reason),
                        "changed unnoticed at {floor}, lead {lead}, offline {offline}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_enforced_device_can_say_why() {
    for (license, time) in [
        (None, time(0, 0)),
        (Some(license(9_000)), time(2_000, 2_000)),
        (Some(license(9_000)), time(3_000, 3_000)),
        (Some(license(10)), time(500, 500)),
        (Some(license(9_000)), time(500, 2_000)),
    ] {
        let decision = decide(license.as_ref(), time);
        assert_ne!(decision.mode, OperatingMode::Full);
        assert!(!decision.reason.causes.is_empty() && !decision.reason.sentences().is_empty());
    }
    let door = ModeCap::of(DeviceClass::DoorController, None);
    let decision = step(&Inputs { license: Some(&license(9_000)), time: time(3_000, 3_000), cap: door });
    let sentences: Vec<String> = decision.reason.sentences();
    assert_eq!(
        sentences,
        [
            "The license schedule began `stopped` at 1970-01-01T00:50:00Z.".to_string(),
            "Finding: the license term has ended.".to_string(),
            "The class of this device does not allow `stopped`.".to_string(),
        ]
    );
    assert_eq!(decision.reason.earliest_at(), Some(at(STOP)));
}

#[test]
fn what_is_only_announced_is_not_said_to_hold() {
    let license = license(OFFLINE);
    let before = decide(Some(&license), time(GRACE - 1, GRACE - 1));
    assert!(before.reason.codes().is_empty() && before.reason.sentences().is_empty());
    assert_eq!(before.next_change.map(|next| next.state), Some(EnforcementState::Grace));
    let after = decide(Some(&license), time(GRACE, GRACE));
    assert!(after.reason.codes().contains(&"TERM_ENDED"));

    // Over capacity while the end of the term is ahead: only the first is a reason.
    let over = Finding::OverCapacity { product: crate::product::ProductType::CAMERA, shortfall: 1 };
    let both =
        LicenseState { findings: vec![Finding::TermEnded, over], coterm_at: Some(at(STOP)), ..license };
    assert_eq!(decide(Some(&both), time(GRACE, GRACE)).reason.findings, [over]);
}
