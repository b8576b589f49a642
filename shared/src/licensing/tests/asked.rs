//! A preview of one change is no consent to another (domain K9): whatever field is another one, the digest is refused.

use super::world::*;
use crate::enrolment::code::{ClaimHash, KeyPrint};
use crate::id::{ClaimCodeId, HeldId, OrganizationId};
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde_json::{Value, json};

const CAMERA: ProductType = ProductType::CAMERA;

/// One of every command, every field given.
fn commands() -> Vec<Command> {
    let settings = || SettingsChange {
        grace_secs: Some(Seconds::days(5)),
        stop_after_lock_secs: Some(Seconds::days(40)),
        time_zone: Some("Europe/Rome".to_string()),
        scope: Some(Scope::Product),
        countdown_secs: Some(Seconds::days(7)),
        door_units: Some(DoorUnits::Configured),
        hold_share_percent: Some(10),
        hold_devices: Some(20),
        lockout_pace: Some(30),
        inherit: [GroupSetting::Scope].into(),
    };
    let name = || String::from("North");
    let new = || NewDevice {
        trial_secs: Some(Seconds::days(3)),
        doors: Some(2),
        ..new_device(1, ProductType::DOOR, 4)
    };
    let issued = || Box::new(key(1, &[(CAMERA, 5, 199), (ProductType::DOOR, 4, 99)], 365, Timestamp::EPOCH));
    let id = issued().id;
    let part = |quantity, target| PartRequest {
        id: key(9, &[], 1, Timestamp::EPOCH).id,
        code_tail: "ABCDE".to_string(),
        lines: Vec::from([OrderLine { product: CAMERA, quantity }]),
        target,
    };
    let other = OrganizationId::from_bytes([3; 16]);
    let own = PartTarget::Own { group: Some(group(2)), mode: Some(ClaimMode::Increase) };
    let code = ClaimCodeId::from_bytes([5; 16]);
    let hash: Option<ClaimHash> = serde_json::from_value(json!("1".repeat(64))).ok();
    let enrol = |command| Command::Enrolment(command);
    let held = HeldId::from_bytes([6; 16]);
    let by = || Actor { id: "tok_1".to_string(), name: "Vera".to_string() };
    let lease_secs = Seconds::days(7);
    let made_by = || Vec::from(["tok_2".to_string()]);
    Vec::from([
        Command::Materialize,
        Command::EnableGroups,
        Command::ChangeSettings(settings()),
        Command::CreateGroup { id: group(2), name: name(), settings: settings() },
        Command::CreateGroupFromSite {
            id: group(2),
            site: site(1),
            name: Some(name()),
            settings: settings(),
        },
        Command::RenameGroup { id: group(2), name: name() },
        Command::ChangeGroupSettings { id: group(2), settings: settings() },
        Command::DeleteGroup { id: group(2) },
        Command::CreateSite { id: site(2), name: name(), parent: Some(site(1)), group: Some(group(1)) },
        Command::RenameSite { id: site(2), name: name() },
        Command::MoveSite { id: site(2), to: SiteTarget::Group(group(1)) },
        Command::MoveSite { id: site(2), to: SiteTarget::Within(site(1)) },
        Command::DeleteSite { id: site(2) },
        Command::ClaimDevice { device: new(), site: site(1) },
        Command::MoveDevice { id: device(1), site: site(1) },
        Command::ConvertTrial { id: device(1) },
        Command::ReplaceDevice { old: device(2), new: new() },
        Command::ConfigureDoors { id: device(1), doors: 2 },
        Command::RetireDevice { id: device(1) },
        Command::ReportStolen { id: device(1) },
        Command::ClaimKey { key: issued(), group: Some(group(1)), mode: ClaimMode::Increase },
        Command::ReceiveKey { key: issued(), past: KeyPast::default() },
        Command::MoveKey { id, group: group(2), mode: Some(ClaimMode::Increase) },
        Command::UnclaimKey { id },
        Command::SplitKey { id, parts: Box::new([part(2, own), part(3, PartTarget::Other(other))]) },
        Command::TransferKey { id, to: other },
        enrol(EnrolmentCommand::IssueCode(Box::new(NewClaimCode {
            id: code,
            hash: hash.unwrap(),
            tail: "ABCDE".to_string(),
            site: site(1),
            model: "CD42".to_string(),
            product: CAMERA,
            units: 1,
            trial_secs: Some(Seconds::days(3)),
            device: Some(device(1)),
            approval: true,
            life_secs: Seconds::days(1),
        }))),
        Command::Safety(SafetyCommand::Approve { held, by: by(), made_by: made_by() }),
        Command::Safety(SafetyCommand::Reject { held, by: by() }),
        Command::Safety(SafetyCommand::Withdraw { held, by: by() }),
        Command::Safety(SafetyCommand::Freeze { by: by() }),
        Command::Safety(SafetyCommand::Unfreeze { by: by(), lease_secs, announced: None }),
        enrol(EnrolmentCommand::RevokeCode { code }),
        enrol(EnrolmentCommand::Enrol(Box::new(Enrol {
            hash: hash.unwrap(),
            device: Some(device(1)),
            fresh: device(2),
            key: KeyPrint::of(b"key"),
        }))),
        enrol(EnrolmentCommand::Approve { code }),
        enrol(EnrolmentCommand::Deny { code }),
        enrol(EnrolmentCommand::Preauthorise { devices: Vec::from([device(1)]) }),
        enrol(EnrolmentCommand::EndPreauthorisation { devices: Vec::from([device(1)]) }),
    ])
}

/// What is made anew for each request, by the command and the place of the field.
fn is_fresh(command: &Command, at: &str) -> bool {
    let enrolment = if let Command::Enrolment(enrolment) = command { Some(enrolment) } else { None };
    let creates = matches!(
        command,
        Command::CreateGroup { .. } | Command::CreateGroupFromSite { .. } | Command::CreateSite { .. }
    );
    let splits = matches!(command, Command::SplitKey { .. });
    let issues = matches!(enrolment, Some(EnrolmentCommand::IssueCode(_)));
    let enrols = matches!(enrolment, Some(EnrolmentCommand::Enrol(_)));
    creates && at == "/id"
        || splits && (at != "/id" && at.ends_with("/id") || at.ends_with("/code_tail"))
        || issues && ["/id", "/hash", "/tail"].contains(&at)
        || enrols && at == "/fresh"
        // Who asks: a preview shown to one holds for the other.
        || at.starts_with("/by/")
        || at.starts_with("/made_by/")
}

/// The places of all values that contain no others.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(name, value)| leaves(value, &format!("{at}/{name}"), found))
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(n, value)| leaves(value, &format!("{at}/{n}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => found.push(at.to_string()),
    }
}

/// Other values that may stand in the place of one.
fn others(value: &Value) -> Vec<Value> {
    let mut others: Vec<Value> =
        ["increase", "renewal", "group", "product", "model", "configured", "grace_secs"]
            .into_iter()
            .chain(["camera", "door", "dev-77", "2031-01-01T00:00:00Z"])
            .map(|text| json!(text))
            .collect();
    others.extend([group(77).to_string(), site(77).to_string()].map(Value::String));
    others.push(json!(key(77, &[], 1, Timestamp::EPOCH).id));
    others.push(json!(ClaimCodeId::from_bytes([77; 16])));
    others.push(json!(OrganizationId::from_bytes([77; 16])));
    others.push(json!(HeldId::from_bytes([77; 16])));
    others.push(json!(KeyPrint::of(b"another")));
    others.extend([json!(true), json!(false), json!(77), Value::Null]);
    if let Value::String(text) = value {
        others.push(json!(format!("{text} too")));
    }
    others
}

#[test]
fn k9_whatever_field_is_another_one_it_is_another_change() {
    let here = OrganizationId::from_bytes([9; 16]);
    let asked = |command: &Command| Asked::of(here, command);
    let all = commands();
    for (n, command) in all.iter().enumerate() {
        let written = serde_json::to_value(command).unwrap();
        for other in &all[n + 1..] {
            assert_ne!(asked(command), asked(other), "{command:?} {other:?}");
        }
        assert_ne!(asked(command), Asked::of(OrganizationId::from_bytes([8; 16]), command));
        let mut places = Vec::new();
        leaves(&written, "", &mut places);
        for at in places.into_iter().filter(|at| at != "/op" && at != "/enrolment" && at != "/safety") {
            let mut tried = 0;
            for other in others(written.pointer(&at).unwrap()) {
                let mut changed = written.clone();
                *changed.pointer_mut(&at).unwrap() = other;
                let Ok(changed) = serde_json::from_value::<Command>(changed) else { continue };
                if changed == *command {
                    continue;
                }
                tried += 1;
                assert_eq!(asked(&changed) == asked(command), is_fresh(command, &at), "{at} of {changed:?}");
            }
            assert!(tried > 0, "no other value was found for {at} of {command:?}");
        }
    }
}

#[test]
fn k9_the_digest_of_a_preview_is_refused_with_another_change() {
    let mut world = World::new("2027-01-01T00:00:00Z");
    world.claim_key(key(1, &[(CAMERA, 2, 199)], 365, world.now), group(1));
    let claim = |mode| Command::ClaimKey {
        key: Box::new(key(2, &[(CAMERA, 3, 199)], 365, world.now)),
        group: Some(group(1)),
        mode,
    };
    let shown = preview(&world.organization, &claim(ClaimMode::Increase), &world.context()).unwrap().digest;
    let decided = |mode| decide(&world.organization, &claim(mode), &world.context()).unwrap();
    check_digest(&decided(ClaimMode::Increase), &shown).unwrap();
    let refusals = check_digest(&decided(ClaimMode::Renewal), &shown).unwrap_err();
    assert!(refusals.has(RefusalCode::PreviewOfAnotherChange));
    assert_eq!(refusals.all().len(), 1);
}
