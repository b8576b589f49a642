//! What a preview says in words, and what it is a preview of (domain K9).

use super::world::*;
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::Seconds;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

const CAMERA: ProductType = ProductType::CAMERA;

fn claim(n: u32, quantity: u64, days: u32, world: &World, into: Option<u8>, mode: ClaimMode) -> Command {
    let key = Box::new(key(n, &[(CAMERA, quantity, 100)], days, world.now));
    Command::ClaimKey { key, group: into.map(group), mode }
}

/// Group 1 with site 1, ten cameras for a year and two in use; North (2) with one camera for a year, Annex (2) in it.
fn two_groups() -> World {
    let mut world = World::new("2027-01-01T00:00:00Z");
    world.ok(Command::CreateGroup {
        id: group(2),
        name: "North".into(),
        settings: SettingsChange::default(),
    });
    world.ok(Command::CreateSite { id: site(2), name: "Annex".into(), parent: None, group: Some(group(2)) });
    world.claim_key(key(1, &[(CAMERA, 10, 100)], 365, world.now), group(1));
    world.claim_key(key(2, &[(CAMERA, 1, 100)], 365, world.now), group(2));
    world.claim_camera(1, site(1));
    world.claim_camera(2, site(1));
    world
}

fn shown(world: &World, command: &Command) -> Preview {
    preview(&world.organization, command, &world.context()).unwrap()
}

#[track_caller]
fn check(world: &World, command: &Command, expect: &[&str]) {
    let preview = shown(world, command);
    let said: Vec<&str> = preview.warnings.iter().map(|warning| warning.sentence.as_str()).collect();
    assert_eq!(said, expect, "{command:?}");
}

/// Domain K3, K4: who claims a renewal expects its clock to stand still.
#[test]
fn k3_a_renewal_that_has_nothing_to_wait_for_is_warned_of() {
    let world = World::new("2027-01-01T00:00:00Z");
    let date = "Group 1 gets its date: all its licenses end together at 2028-01-01T00:00:00Z.";
    let now = "Group 1 has no term that runs, so the renewal has nothing to wait for: it is active AT ONCE, its term \
               running.";
    check(&world, &claim(3, 10, 365, &world, Some(1), ClaimMode::Renewal), &[now, date]);
    check(&world, &claim(3, 10, 365, &world, Some(1), ClaimMode::Increase), &[date]);
    let world = two_groups();
    let shown = shown(&world, &claim(3, 10, 365, &world, Some(1), ClaimMode::Renewal));
    assert!(shown.warnings.iter().all(|w| w.code != WarningCode::RenewalActivatesNow), "it waits");
}

#[test]
fn d8_a_date_says_which_way_it_moves_and_by_how_much() {
    let world = two_groups();
    let later = claim(3, 10, 730, &world, Some(1), ClaimMode::Increase);
    check(
        &world,
        &later,
        &["Group 1 ends 183 days LATER: at 2028-07-01T12:00:00Z instead of 2028-01-01T00:00:00Z."],
    );
    let earlier = claim(3, 10, 165, &world, Some(1), ClaimMode::Increase);
    check(
        &world,
        &earlier,
        &["Group 1 ends 100 days EARLIER: at 2027-09-23T00:00:00Z instead of 2028-01-01T00:00:00Z."],
    );
    let unclaim = Command::UnclaimKey { id: key(2, &[], 1, world.now).id };
    check(
        &world,
        &unclaim,
        &[
            "North loses its date, which was 2028-01-01T00:00:00Z: it has no license key any more.",
            "Key *****-*****-*****-*****-00002 goes to Unassigned, where its term runs on; it joins Group 1 at \
             2027-01-31T00:00:00Z.",
        ],
    );
}

#[test]
fn g4_a_site_that_moves_leaves_its_licenses_and_says_what_follows() {
    let world = two_groups();
    let moved = Command::MoveSite { id: site(1), to: SiteTarget::Group(group(2)) };
    check(
        &world,
        &moved,
        &[
            "North becomes NONCOMPLIANT: 1 more camera unit(s) in use than licensed.",
            "2 devices of North in grace: everything works on; management locks at 2027-01-31T00:00:00Z (in 30 \
             days); full stop at 2027-04-01T00:00:00Z (in 90 days).",
            "Site HQ moves with its 2 devices but without licenses: those stay in Group 1.",
        ],
    );
    let preview = shown(&world, &moved);
    assert_eq!(preview.sites.len(), 1);
    assert_eq!((preview.sites[0].from, preview.sites[0].to), (Some(group(1)), Some(group(2))));
    assert_eq!(preview.sites[0].devices, 2);
}

#[test]
fn k3_a_renewal_that_is_too_small_says_when_and_by_how_much() {
    let world = two_groups();
    let renewal = claim(3, 1, 365, &world, Some(1), ClaimMode::Renewal);
    check(
        &world,
        &renewal,
        &["The renewals of Group 1 are too small: on 2028-01-01T00:00:00Z, 1 camera units will be missing."],
    );
    assert_eq!(shown(&world, &renewal).keys[0].before, None);
    // Big enough, it has nothing to warn of; what it changes is in the figures.
    check(&world, &claim(3, 2, 365, &world, Some(1), ClaimMode::Renewal), &[]);
}

#[test]
fn e2_cures_and_clocks_that_come_along() {
    let mut world = two_groups();
    world.ok(Command::MoveSite { id: site(1), to: SiteTarget::Group(group(2)) });
    world.wait(Seconds::days(10));
    let back = Command::MoveSite { id: site(1), to: SiteTarget::Group(group(1)) };
    let codes: Vec<_> = shown(&world, &back).warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [WarningCode::LicensesStay, WarningCode::ClocksCarried, WarningCode::BecomesCompliant]);
    let cure = claim(3, 1, 365, &world, Some(2), ClaimMode::Increase);
    let codes: Vec<_> = shown(&world, &cure).warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [WarningCode::BecomesCompliant, WarningCode::DateLater]);
}

#[test]
fn a_change_without_consequences_says_so() {
    let world = two_groups();
    let nothing = ["No group's date, capacity or verdict changes."];
    check(&world, &Command::RenameGroup { id: group(2), name: "South".into() }, &nothing);
    let site = Command::CreateSite { id: site(3), name: "Yard".into(), parent: None, group: None };
    check(
        &world,
        &site,
        &[
            "Site Yard is in no group: its devices are not enforced until 2027-01-31T00:00:00Z, when it joins Group 1.",
        ],
    );
    let device = Command::ClaimDevice { device: new_device(3, CAMERA, 1), site: super::world::site(1) };
    check(&world, &device, &[]);
    assert_eq!(shown(&world, &device).devices[0].to, Some(group(1)));
}

/// Whether `command`, shown before `meanwhile`, may still be applied after it.
#[track_caller]
fn digest_holds(meanwhile: Command, command: &Command, expect: bool) {
    let mut world = two_groups();
    let digest = shown(&world, command).digest;
    world.now = world.now.saturating_add(Seconds(90));
    world.ok(meanwhile.clone());
    let decision = decide(&world.organization, command, &world.context()).unwrap();
    let checked = check_digest(&decision, &digest);
    assert_eq!(checked.is_ok(), expect, "{meanwhile:?}");
    if let Err(refusals) = checked {
        assert!(refusals.has(RefusalCode::PreviewOutdated));
    }
    assert_eq!(digest.to_string().parse(), Ok(digest));
}

#[test]
fn k9_a_preview_stands_while_what_it_read_stands_and_no_longer() {
    let claim_into = |n, site| Command::ClaimDevice { device: new_device(n, CAMERA, 1), site };
    let world = two_groups();
    let into_one = claim(7, 3, 365, &world, Some(1), ClaimMode::Increase);
    for (meanwhile, expect) in [
        (claim_into(9, site(2)), true),
        (claim(8, 1, 400, &world, Some(2), ClaimMode::Increase), true),
        (Command::RenameGroup { id: group(2), name: "South".into() }, true),
        (
            Command::CreateGroup { id: group(5), name: "West".into(), settings: SettingsChange::default() },
            true,
        ),
        (Command::CreateSite { id: site(6), name: "Yard".into(), parent: None, group: None }, true),
        (Command::Materialize, true),
        (claim_into(9, site(1)), false),
        (claim(8, 1, 400, &world, Some(1), ClaimMode::Increase), false),
        (Command::MoveSite { id: site(1), to: SiteTarget::Group(group(2)) }, false),
        (Command::RetireDevice { id: device(1) }, false),
        (
            Command::ChangeGroupSettings {
                id: group(1),
                settings: SettingsChange { grace_secs: Some(Seconds::days(10)), ..SettingsChange::default() },
            },
            false,
        ),
        (Command::RenameGroup { id: group(1), name: "Main".into() }, false),
    ] {
        digest_holds(meanwhile, &into_one, expect);
    }
    // A move reads both ends.
    let moved = Command::MoveKey { id: key(2, &[], 1, world.now).id, group: group(1), mode: None };
    digest_holds(claim_into(9, site(1)), &moved, false);
    digest_holds(claim_into(9, site(2)), &moved, false);
    digest_holds(
        Command::CreateSite { id: site(6), name: "Yard".into(), parent: None, group: None },
        &moved,
        true,
    );
}

#[test]
fn ids_that_are_made_anew_for_the_deed_do_not_matter() {
    let world = two_groups();
    let create =
        |n| Command::CreateGroup { id: group(n), name: "West".into(), settings: SettingsChange::default() };
    assert_eq!(shown(&world, &create(7)).digest, shown(&world, &create(8)).digest);
    let text = shown(&world, &create(7)).digest.to_string();
    for bad in ["", "00", &text[1..], &text.to_uppercase(), &text.replace('0', "g")] {
        assert!(bad.parse::<PreviewDigest>().is_err() || *bad == text, "{bad}");
    }
}
