//! Claim codes, from issue to use: one table of who may use which code when, and what a stranger learns.

use super::world::{World, device, new_device, site};
use crate::enrolment::code::{ClaimHash, ClaimText, KeyPrint, RootPin};
use crate::id::{ClaimCodeId, DeviceId};
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::Seconds;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

fn hash(n: u8) -> ClaimHash {
    ClaimText::new(RootPin::of(b"root"), [n; 14]).secret().hash()
}

fn code(n: u8) -> ClaimCodeId {
    ClaimCodeId::from_bytes([n; 16])
}

fn key(n: u8) -> KeyPrint {
    KeyPrint::of(&[n])
}

fn new(n: u8) -> NewClaimCode {
    NewClaimCode {
        id: code(n),
        hash: hash(n),
        tail: "AAAAA".to_string(),
        site: site(1),
        model: "CD42".to_string(),
        product: ProductType::CAMERA,
        units: 1,
        trial_secs: None,
        device: None,
        approval: false,
        life_secs: Seconds::days(7),
    }
}

fn issue(new: NewClaimCode) -> Command {
    Command::Enrolment(EnrolmentCommand::IssueCode(Box::new(new)))
}

fn enrol(n: u8, id: Option<DeviceId>, with: u8) -> Command {
    let ask = Enrol { hash: hash(n), device: id, fresh: device(999), key: key(with) };
    Command::Enrolment(EnrolmentCommand::Enrol(Box::new(ask)))
}

fn approve(n: u8) -> Command {
    Command::Enrolment(EnrolmentCommand::Approve { code: code(n) })
}

fn deny(n: u8) -> Command {
    Command::Enrolment(EnrolmentCommand::Deny { code: code(n) })
}

fn revoke(n: u8) -> Command {
    Command::Enrolment(EnrolmentCommand::RevokeCode { code: code(n) })
}

fn world() -> World {
    World::new("2027-01-01T00:00:00Z")
}

fn names(decision: &Decision) -> Vec<&'static str> {
    for dated in decision.own_events() {
        // The log is filtered by the name an event is stored under.
        assert_eq!(serde_json::to_value(&dated.event).unwrap()["type"], dated.event.name());
    }
    decision.own_events().map(|dated| dated.event.name()).filter(|name| *name != "group-assessed").collect()
}

const UNUSABLE: [&str; 1] = ["CLAIM_CODE_NOT_USABLE"];

#[test]
fn a_code_lets_one_device_in_and_a_repetition_with_the_same_key_changes_nothing() {
    let mut world = world();
    world.ok(issue(new(1)));
    let enrolled = world.ok(enrol(1, Some(device(1)), 1));
    assert_eq!(names(&enrolled), ["device-claimed", "device-enrolled"]);
    assert_eq!(world.organization.device(&device(1)).unwrap().site, site(1));
    for id in [Some(device(1)), None] {
        assert!(world.ok(enrol(1, id, 1)).events.is_empty(), "the lost answer is asked for again");
    }
    assert_eq!(world.refused(enrol(1, Some(device(1)), 2)), UNUSABLE, "another key");
    assert_eq!(world.refused(enrol(1, Some(device(2)), 1)), UNUSABLE, "another device");
    assert_eq!(world.refused(revoke(1)), ["CLAIM_CODE_SPENT"]);
}

#[test]
fn what_a_stranger_learns_of_a_code_is_nothing() {
    let mut world = world();
    world.ok(issue(NewClaimCode { device: Some(device(7)), ..new(1) }));
    world.ok(issue(NewClaimCode { life_secs: Seconds(60), ..new(2) }));
    world.ok(issue(new(3)));
    world.ok(revoke(3));
    world.ok(issue(new(4)));
    world.ok(enrol(4, Some(device(4)), 4));
    world.wait(Seconds(60));
    let told = |n, id, with| decide(&world.organization, &enrol(n, id, with), &world.context()).unwrap_err();
    let unknown = told(99, Some(device(1)), 1);
    for (n, why) in [(1, "for another device"), (2, "ended"), (3, "taken back"), (4, "used")] {
        assert_eq!(told(n, Some(device(1)), 1), unknown, "{why}");
    }
    world.ok(enrol(1, None, 1));
    assert!(
        world.organization.device(&device(7)).is_some(),
        "a code that names its device needs no other name"
    );
}

#[test]
fn g9_g10_a_stolen_or_replaced_device_cannot_come_back_and_is_told_whom_to_ask() {
    let mut world = world();
    for n in 1..=3 {
        world.ok(issue(new(n)));
    }
    world.ok(enrol(1, Some(device(1)), 1));
    world.ok(enrol(2, Some(device(2)), 2));
    world.ok(Command::ReportStolen { id: device(1) });
    world.ok(Command::ReplaceDevice { old: device(2), new: new_device(5, ProductType::CAMERA, 1) });
    for (n, gone) in [(1, "DEVICE_STOLEN"), (2, "DEVICE_REPLACED")] {
        // By its old code, and by a fresh one.
        assert_eq!(world.refused(enrol(n, Some(device(n.into())), n)), [gone]);
        assert_eq!(world.refused(enrol(3, Some(device(n.into())), 9)), [gone]);
    }
    assert_eq!(world.organization.enrolment().code(code(3)).unwrap().standing(world.now), "open");
}

#[test]
fn a_retired_device_comes_back_with_a_new_code_alone() {
    let mut world = world();
    world.ok(issue(new(1)));
    world.ok(enrol(1, Some(device(1)), 1));
    world.ok(Command::RetireDevice { id: device(1) });
    assert_eq!(world.refused(enrol(1, Some(device(1)), 1)), UNUSABLE);
    world.wait(Seconds(10));
    world.claim_camera(1, site(1));
    assert_eq!(world.refused(enrol(1, Some(device(1)), 1)), UNUSABLE, "claimed again by other means");
    world.ok(Command::RetireDevice { id: device(1) });
    world.ok(issue(new(2)));
    world.ok(enrol(2, Some(device(1)), 3));
}

#[test]
fn only_a_code_for_that_device_gives_a_device_in_use_another_key() {
    let mut world = world();
    world.claim_camera(1, site(1));
    world.ok(issue(new(1)));
    assert_eq!(
        world.refused(enrol(1, Some(device(1)), 1)),
        ["DEVICE_ALREADY_CLAIMED"],
        "no code takes one over"
    );
    world.ok(issue(NewClaimCode { device: Some(device(1)), ..new(2) }));
    assert_eq!(names(&world.ok(enrol(2, Some(device(1)), 2))), ["device-enrolled"]);
}

#[test]
fn approval_is_waited_for_given_denied_or_given_beforehand() {
    let mut world = world();
    for n in 1..=4 {
        world.ok(issue(NewClaimCode { approval: true, ..new(n) }));
    }
    assert_eq!(names(&world.ok(enrol(1, Some(device(1)), 1))), ["enrolment-requested"]);
    assert!(world.organization.device(&device(1)).is_none());
    assert!(world.ok(enrol(1, Some(device(1)), 1)).events.is_empty(), "it asks until it is answered");
    assert_eq!(world.refused(enrol(1, Some(device(1)), 2)), UNUSABLE, "the code is its own");
    assert_eq!(world.refused(revoke(1)), ["CLAIM_CODE_SPENT"]);
    assert_eq!(names(&world.ok(approve(1))), ["device-claimed", "device-enrolled"]);
    assert_eq!(world.refused(approve(1)), ["ENROLMENT_NOT_PENDING"]);

    world.ok(enrol(2, Some(device(2)), 2));
    world.ok(deny(2));
    assert_eq!(world.refused(enrol(2, Some(device(2)), 2)), ["ENROLMENT_DENIED"]);
    assert_eq!(world.refused(enrol(2, Some(device(2)), 3)), UNUSABLE);

    let list = |devices: Vec<DeviceId>| Command::Enrolment(EnrolmentCommand::Preauthorise { devices });
    world.ok(enrol(4, Some(device(4)), 4));
    assert_eq!(names(&world.ok(list(vec![device(3), device(4)]))), ["devices-preauthorised"]);
    assert!(world.ok(list(vec![device(3)])).events.is_empty(), "once is enough");
    assert_eq!(names(&world.ok(enrol(3, Some(device(3)), 3))), ["device-claimed", "device-enrolled"]);
    assert_eq!(names(&world.ok(enrol(4, Some(device(4)), 4))), ["device-claimed", "device-enrolled"]);
    let end = EnrolmentCommand::EndPreauthorisation { devices: vec![device(3)] };
    assert_eq!(names(&world.ok(Command::Enrolment(end))), ["preauthorisation-ended"]);
    assert_eq!(world.refused(list(Vec::new())), ["LIST_OUT_OF_BOUNDS"]);
}

#[test]
fn refusals_of_licensing_come_through_and_a_shortfall_is_none() {
    let mut world = world();
    world.ok(issue(NewClaimCode { trial_secs: Some(Seconds::days(4_000)), ..new(1) }));
    assert_eq!(world.refused(enrol(1, Some(device(1)), 1)), ["SETTING_OUT_OF_BOUNDS"]);
    world.ok(issue(new(2)));
    world.ok(enrol(2, Some(device(2)), 2));
    assert_eq!(world.organization.active_devices(), 1, "no key was ever claimed, and the device is let in");
    let bad = NewClaimCode { site: site(9), model: "a b".to_string(), life_secs: Seconds(0), ..new(2) };
    assert_eq!(
        world.refused(issue(bad)),
        ["MODEL_INVALID", "SITE_NOT_FOUND", "SETTING_OUT_OF_BOUNDS", "ID_TAKEN"]
    );
    assert_eq!(world.refused(revoke(9)), ["CLAIM_CODE_NOT_FOUND"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever devices, keys and administrators do in whatever order: a code lets at most one device in, with one key,
    /// and whoever was let in gets the same answer again.
    #[test]
    fn a_code_lets_at_most_one_device_in(acts in proptest::collection::vec((0..6_u8, 1..4_u8, 1..4_u32, 1..4_u8), 1..40)) {
        let mut world = world();
        for n in 1..4 {
            world.ok(issue(NewClaimCode { approval: n == 2, ..new(n) }));
        }
        let mut let_in = alloc::collections::BTreeMap::new();
        for (act, n, id, with) in acts {
            let command = match act {
                0 => approve(n),
                1 => deny(n),
                2 => revoke(n),
                _ => enrol(n, Some(device(id)), with),
            };
            let Ok(decision) = decide(&world.organization, &command, &world.context()) else { continue };
            for dated in &decision.events {
                if let Event::Enrolment(EnrolmentEvent::Enrolled { code, device, key }) = &dated.event {
                    prop_assert!(let_in.insert(*code, (device.clone(), *key)).is_none());
                }
            }
            world.organization = decision.after;
        }
        let in_use = world.organization.devices().filter(|device| device.is_active()).count();
        prop_assert_eq!(in_use, let_in.len());
    }
}
