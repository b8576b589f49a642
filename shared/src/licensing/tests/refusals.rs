//! Bad input: every refusal has a code, a sentence and a hint, all faults are found, and nothing changes.

use super::world::{World, at, device, group, key, new_device, site};
use crate::id::{KeyId, OrganizationId};
use crate::licensing::*;
use crate::platform::code::KeyCode;
use crate::platform::{IssueKey, Platform, PlatformCommand, decide as decide_platform};
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use std::collections::BTreeSet;

#[test]
fn codes_are_unique_and_stable_in_form() {
    let codes: BTreeSet<&str> = RefusalCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(codes.len(), RefusalCode::ALL.len());
    assert!(codes.iter().all(|code| code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')));
}

#[test]
fn commands_that_do_not_fit() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.claim_key(key(1, &[(ProductType::CAMERA, 1, 199)], 365, world.now), group(1));
    world.claim_camera(1, site(1));
    let create_site = |n, name: &str, parent, group| Command::CreateSite {
        id: site(n),
        name: name.to_string(),
        parent,
        group,
    };
    let claim_key = |key, group| Command::ClaimKey { key: Box::new(key), group, mode: ClaimMode::Increase };
    let no_setting = SettingsChange::default();
    let long = "x".repeat(101);
    let cases: Vec<(Command, Vec<&str>)> = vec![
        (create_site(2, "hq ", None, None), vec!["NAME_TAKEN"]),
        (create_site(1, "Lab", None, None), vec!["ID_TAKEN"]),
        (
            create_site(2, "", Some(site(7)), Some(group(1))),
            vec!["NAME_INVALID", "SITE_NOT_FOUND", "SUB_SITE_HAS_NO_GROUP"],
        ),
        (create_site(2, "Lab", None, Some(group(7))), vec!["GROUP_NOT_FOUND"]),
        (create_site(2, "a\nb", None, None), vec!["NAME_INVALID"]),
        (
            Command::CreateGroup { id: group(1), name: long, settings: no_setting.clone() },
            vec!["NAME_INVALID", "ID_TAKEN"],
        ),
        (
            Command::CreateGroup { id: group(2), name: "GROUP 1".into(), settings: no_setting.clone() },
            vec!["NAME_TAKEN"],
        ),
        (Command::RenameGroup { id: group(7), name: "A".into() }, vec!["GROUP_NOT_FOUND"]),
        // What stands for no group, and what looks like an id, would be mistaken for that.
        (Command::RenameGroup { id: group(1), name: "unAssigned".into() }, vec!["NAME_INVALID"]),
        (Command::RenameGroup { id: group(1), name: group(7).to_string() }, vec!["NAME_INVALID"]),
        (
            Command::ReplaceDevice { old: device(1), new: new_device(1, ProductType::CAMERA, 1) },
            vec!["DEVICE_ALREADY_CLAIMED"],
        ),
        (Command::ChangeSettings(no_setting.clone()), vec!["NOTHING_TO_CHANGE"]),
        (
            Command::ChangeGroupSettings { id: group(7), settings: no_setting },
            vec!["NOTHING_TO_CHANGE", "GROUP_NOT_FOUND"],
        ),
        (Command::DeleteSite { id: site(1) }, vec!["SITE_NOT_EMPTY"]),
        (Command::RetireDevice { id: device(9) }, vec!["DEVICE_NOT_FOUND"]),
        (
            Command::ClaimDevice {
                device: NewDevice { model: "no such model".into(), ..new_device(1, ProductType::CAMERA, 0) },
                site: site(9),
            },
            vec!["MODEL_INVALID", "DEVICE_ALREADY_CLAIMED", "UNITS_OUT_OF_BOUNDS", "SITE_NOT_FOUND"],
        ),
        (
            claim_key(key(1, &[(ProductType::CAMERA, 1, 199)], 365, world.now), None),
            vec!["KEY_ALREADY_CLAIMED"],
        ),
        (
            claim_key(
                key(2, &[(ProductType::CAMERA, 1, 199)], 1, at("2025-01-01T00:00:00Z")),
                Some(group(9)),
            ),
            vec!["KEY_TERM_PASSED", "GROUP_NOT_FOUND"],
        ),
    ];
    for (command, codes) in cases {
        assert_eq!(world.refused(command.clone()), codes, "{command:?}");
    }
}

#[test]
fn sites_nest_only_so_deep() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    for n in 2..=16 {
        let parent = Some(site(n - 1));
        world.ok(Command::CreateSite { id: site(n), name: "Below".into(), parent, group: None });
    }
    let deeper =
        Command::CreateSite { id: site(17), name: "Below".into(), parent: Some(site(16)), group: None };
    assert_eq!(world.refused(deeper), ["SITE_TOO_DEEP"]);
    assert_eq!(world.organization.group_of_site(site(16)), Some(group(1)));
}

fn issue(
    of: &Platform,
    lines: Vec<OrderLine>,
    term_days: u32,
    created_at: Option<Timestamp>,
) -> Vec<&'static str> {
    let code = KeyCode::from_random([3; 16]);
    let command = PlatformCommand::IssueKey(IssueKey {
        id: KeyId::from_bytes([3; 16]),
        code_hash: code.hash(),
        code_tail: code.tail(),
        order_number: "PO-1".to_string(),
        lines,
        term_days,
        created_at,
    });
    match decide_platform(of, &command, at("2026-01-01T00:00:00Z")) {
        Ok(_) => Vec::new(),
        Err(refusals) => refusals.all().iter().map(|refusal| refusal.code.as_str()).collect(),
    }
}

#[test]
fn keys_that_cannot_be_issued() {
    let now = at("2026-01-01T00:00:00Z");
    let price = PlatformCommand::SetPrice { product: ProductType::CAMERA, price: 19_900 };
    let platform = decide_platform(&Platform::default(), &price, now).unwrap().after;
    let line = |product, quantity| OrderLine { product, quantity };
    let camera = |quantity| vec![line(ProductType::CAMERA, quantity)];
    for (lines, term_days, created_at, codes) in [
        (camera(1), 365, None, vec![]),
        (camera(1_000_000_000), 36_500, None, vec![]),
        (camera(0), 0, None, vec!["TERM_OUT_OF_BOUNDS", "QUANTITY_OUT_OF_BOUNDS"]),
        (camera(1_000_000_001), 36_501, None, vec!["TERM_OUT_OF_BOUNDS", "QUANTITY_OUT_OF_BOUNDS"]),
        (camera(u64::MAX), u32::MAX, None, vec!["TERM_OUT_OF_BOUNDS", "QUANTITY_OUT_OF_BOUNDS"]),
        (vec![], 365, None, vec!["LINES_INVALID"]),
        (vec![line(ProductType::CAMERA, 1); 2], 365, None, vec!["LINES_INVALID"]),
        (vec![line(ProductType::DOOR, 1)], 365, None, vec!["PRICE_UNKNOWN"]),
        (camera(1), 365, Some(now.saturating_add(Seconds(1))), vec!["CREATED_IN_FUTURE"]),
        (camera(1), 36_500, Some(Timestamp::MAX), vec!["CREATED_IN_FUTURE", "TERM_OUT_OF_BOUNDS"]),
    ] {
        assert_eq!(issue(&platform, lines.clone(), term_days, created_at), codes, "{lines:?} {term_days}");
    }
}

#[test]
fn an_organization_needs_a_name_and_sane_settings() {
    let founding = FoundOrganization {
        id: OrganizationId::from_bytes([1; 16]),
        name: String::new(),
        default_group: group(1),
        settings: SettingsChange { grace_secs: Some(Seconds(u64::MAX)), ..SettingsChange::default() },
        license_groups: false,
    };
    let context = Context { now: at("2026-01-01T00:00:00Z"), limits: Limits::default() };
    let refusals = found(&founding, &context).unwrap_err();
    assert!(refusals.has(RefusalCode::NameInvalid) && refusals.has(RefusalCode::SettingOutOfBounds));
}

#[test]
fn a_damaged_log_is_reported_not_patched_over() {
    let world = World::new("2026-01-01T00:00:00Z");
    let retired = Dated {
        at: world.now,
        event: Event::DeviceRetired {
            device: device(1),
            why: Retirement::Retired,
            schedule: None,
            clocks: Clocks::FRESH,
        },
    };
    assert!(Organization::open(&retired).is_err());
    let mut organization = world.organization.clone();
    assert!(organization.apply(&retired).is_err());
    assert!(organization.apply(&world.log[0]).is_err());
}
