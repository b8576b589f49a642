//! Groups made from sites (domain G1), and keys that leave for another organization (K7, K8), seen from both sides.

use super::world::*;
use crate::id::OrganizationId;
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::Seconds;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

const CAMERA: ProductType = ProductType::CAMERA;

fn from_site(n: u8, of: u8, name: Option<&str>) -> Command {
    let name = name.map(ToString::to_string);
    Command::CreateGroupFromSite { id: group(n), site: site(of), name, settings: SettingsChange::default() }
}

/// Group 1 short by one for 20 days: device 1 in HQ (1), device 2 in Depot (2), which has the sub-site Yard (3).
fn world() -> World {
    let mut world = World::new("2026-01-01T00:00:00Z");
    for (n, name, parent) in [(2, "Depot", None), (3, "Yard", Some(site(2)))] {
        let group = parent.is_none().then(|| group(1));
        world.ok(Command::CreateSite { id: site(n), name: name.to_string(), parent, group });
    }
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 1000, world.now), group(1));
    world.claim_camera(1, site(1));
    world.claim_camera(2, site(2));
    world.wait(Seconds::days(20));
    world
}

#[test]
fn g1_a_group_from_a_site_is_one_step_its_licenses_stay_and_its_clocks_come_along() {
    let mut world = world();
    let command = from_site(2, 2, None);
    let shown = preview(&world.organization, &command, &world.context()).unwrap();
    let names: Vec<_> = shown.groups.iter().map(|change| change.name.as_str()).collect();
    assert_eq!(names, ["Group 1", "Depot"]);
    assert_eq!(shown.groups[1].before, None);
    assert_eq!(shown.groups[1].after.as_ref().unwrap().in_use, [(CAMERA, 1)].into());
    assert_eq!(shown.events[..2], ["group-created", "site-moved"]);
    assert_eq!((shown.sites[0].from, shown.sites[0].to), (Some(group(1)), Some(group(2))));
    world.ok(command);
    assert_eq!((world.codes(1).len(), world.codes(2)), (0, ["NO_LICENSE"].into()));
    assert_eq!(world.group(1).figures.capacity, [(CAMERA, 1)].into(), "G4: the licenses stay");
    // E2: ten of thirty days are left.
    let wanted = world.organization.wanted(&device(2)).unwrap();
    assert_eq!(wanted.schedule.lock_at, Some(at("2026-01-31T00:00:00Z")));
}

#[test]
fn g1_a_group_from_an_empty_site_shows_both_groups_too() {
    let mut world = world();
    world.ok(Command::CreateSite { id: site(4), name: "Shed".into(), parent: None, group: Some(group(1)) });
    let shown = preview(&world.organization, &from_site(2, 4, Some("North")), &world.context()).unwrap();
    assert!(shown.groups.iter().any(|change| change.name == "North" && change.before.is_none()));
}

#[test]
fn g1_a_sub_site_becomes_the_root_of_its_group_and_an_unassigned_site_ends_its_countdown() {
    let mut world = world();
    world.ok(from_site(2, 3, Some("North")));
    assert_eq!(world.organization.site(site(3)).unwrap().place, Place::Root { group: group(2) });
    world.ok(Command::CreateSite { id: site(4), name: "Shed".into(), parent: None, group: None });
    world.ok(from_site(3, 4, None));
    assert_eq!(world.organization.unassigned_sites().count(), 0);
    assert_eq!(world.group(3).name.as_str(), "Shed");
}

#[test]
fn g1_what_keeps_a_group_from_being_made_is_said_all_at_once() {
    let mut world = world();
    assert_eq!(world.refused(from_site(2, 9, None)), ["SITE_NOT_FOUND"]);
    assert_eq!(world.refused(from_site(1, 2, Some("group 1"))), ["NAME_TAKEN", "ID_TAKEN"]);
    world.ok(Command::CreateSite { id: site(4), name: "yard".into(), parent: None, group: None });
    assert_eq!(world.refused(from_site(2, 3, Some(""))), ["NAME_TAKEN", "NAME_INVALID"]);
    assert!(world.organization.group(group(2)).is_none());
}

fn other() -> OrganizationId {
    OrganizationId::from_bytes([8; 16])
}

fn part(n: u32, quantity: u64, target: PartTarget) -> PartRequest {
    let lines = [OrderLine { product: CAMERA, quantity }].into();
    PartRequest {
        id: key(n, &[], 1, at("2026-01-01T00:00:00Z")).id,
        code_tail: "ABCDE".into(),
        lines,
        target,
    }
}

#[test]
fn k7_one_part_goes_to_another_organization_in_the_same_step() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    let whole = key(1, &[(CAMERA, 5, 199)], 365, world.now);
    world.claim_key(whole.clone(), group(1));
    let stays = PartTarget::Own { group: Some(group(1)), mode: None };
    let split = |a, b| Command::SplitKey { id: whole.id, parts: Box::new([part(2, 3, a), part(3, 2, b)]) };
    let leaves = split(stays, PartTarget::Other(other()));
    let shown = preview(&world.organization, &leaves, &world.context()).unwrap();
    assert_eq!(shown.events[..2], ["key-split", "key-transferred"]);
    let codes: Vec<_> = shown.warnings.iter().map(|warning| warning.code).collect();
    assert!(codes.contains(&WarningCode::KeyLeaves), "{codes:?}");
    // A part has no code before it is made; what it licenses says which one is meant.
    assert!(
        shown.warnings.iter().any(|w| w.sentence.starts_with("The part with 2 camera leaves")),
        "{:?}",
        shown.warnings
    );
    let mine = world.organization.id();
    for (command, code) in [
        (split(PartTarget::Other(other()), PartTarget::Other(other())), "BOTH_PARTS_LEAVE"),
        (split(stays, PartTarget::Other(mine)), "ALREADY_THERE"),
        (
            split(stays, PartTarget::Own { group: None, mode: Some(ClaimMode::Renewal) }),
            "RENEWAL_NEEDS_GROUP",
        ),
    ] {
        assert_eq!(world.refused(command), [code]);
    }
    let date = world.coterm(1);
    world.ok(leaves);
    assert_eq!(world.coterm(1), date, "D8: a split changes no date");
    assert_eq!(world.group(1).figures.capacity, [(CAMERA, 3)].into());
    let given = world.organization.key(part(3, 1, stays).id).unwrap();
    assert_eq!(given.state.name(), "transferred");
    assert_eq!(world.organization.unassigned_keys().count(), 0);
}

#[test]
fn k3_a_renewal_names_its_group_wherever_it_is_asked_for() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    let claim = |mode| Command::ClaimKey {
        key: Box::new(key(1, &[(CAMERA, 1, 199)], 365, at("2026-01-01T00:00:00Z"))),
        group: None,
        mode,
    };
    assert_eq!(world.refused(claim(ClaimMode::Renewal)), ["RENEWAL_NEEDS_GROUP"]);
    world.ok(claim(ClaimMode::Increase));
}

#[test]
fn k8_the_preview_of_a_transfer_stands_while_both_sides_stand() {
    let mut giver = World::new("2026-01-01T00:00:00Z");
    let given = key(1, &[(CAMERA, 5, 199)], 365, giver.now);
    giver.ok(Command::ClaimKey { key: Box::new(given.clone()), group: None, mode: ClaimMode::Increase });
    let mut receiver = World::new("2026-01-01T00:00:00Z");
    let transfer = Command::TransferKey { id: given.id, to: other() };
    let claim = Command::ClaimKey { key: Box::new(given), group: None, mode: ClaimMode::Increase };
    let decided = |world: &World, command| decide(&world.organization, command, &world.context()).unwrap();
    let (out, into) = (decided(&giver, &transfer), decided(&receiver, &claim));
    let shown = compare(&giver.organization, &out, giver.now).with_receiver(&receiver.organization, &into);
    let side = shown.receiver.as_ref().unwrap();
    let arrives = side.preview.keys[0].after.clone();
    let (since, joins_at) = (at("2026-01-01T00:00:00Z"), at("2026-01-31T00:00:00Z"));
    assert_eq!(arrives, Some(KeyState::Unassigned { since, joins_at }), "arrival and end of the countdown");
    assert_eq!(shown.keys[0].after, Some(KeyState::Transferred { at: since }));
    assert!(check_digest_of(&out, Some(&into), &shown.digest).is_ok());
    // Another countdown there, and it is not what was shown.
    let countdown = SettingsChange { countdown_secs: Some(Seconds::days(5)), ..SettingsChange::default() };
    receiver.ok(Command::ChangeSettings(countdown));
    let into = decided(&receiver, &claim);
    assert!(check_digest_of(&out, Some(&into), &shown.digest).is_err());
}

#[test]
fn c3_a_shortfall_that_a_renewal_will_leave_touches_nobody_before_it_does() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.claim_key(key(1, &[(CAMERA, 3, 199)], 100, world.now), group(1));
    let settings = SettingsChange { scope: Some(Scope::Product), ..SettingsChange::default() };
    world.ok(Command::ChangeSettings(settings));
    for n in 1..=4 {
        world.claim_camera(n, site(1));
        world.wait(Seconds(1));
    }
    // One is too many today; renewed with one, three will be.
    let renewal = Box::new(key(2, &[(CAMERA, 1, 199)], 365, world.now));
    world.ok(Command::ClaimKey { key: renewal, group: Some(group(1)), mode: ClaimMode::Renewal });
    let schedule = |world: &World, n| world.organization.wanted(&device(n)).unwrap().schedule;
    let ends_at = world.coterm(1).unwrap();
    let today = world.group(1).assessment.clocks.capacity.schedule();
    assert_eq!(schedule(&world, 4).lock_at, today.lock_at);
    for n in [2, 3] {
        assert_eq!(schedule(&world, n).grace_begins_at, Some(ends_at), "spared until the renewal");
    }
    // The oldest fits then, too: for it only the end of the renewed term is ahead.
    assert!(schedule(&world, 1).grace_begins_at > Some(ends_at));
    // A renewal that leaves nobody short spares the newest from then on.
    let renewal = Box::new(key(3, &[(CAMERA, 9, 199)], 365, world.now));
    world.ok(Command::ClaimKey { key: renewal, group: Some(group(1)), mode: ClaimMode::Renewal });
    assert_eq!(schedule(&world, 4).lock_at, today.lock_at, "what is announced before the renewal stands");
    assert!(schedule(&world, 3).grace_begins_at > Some(ends_at));
}

/// Group 1 licensed by keys 1 (4 cameras, 2 doors), 2 (2 cameras) and 3 (3 cameras); of seven cameras in use, two are in
/// Depot (2), which is about to become a group of its own.
fn three_keys() -> World {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.ok(Command::CreateSite { id: site(2), name: "Depot".into(), parent: None, group: Some(group(1)) });
    let lines: [&[(ProductType, u64, u64)]; 3] =
        [&[(CAMERA, 4, 199), (ProductType::DOOR, 2, 99)], &[(CAMERA, 2, 199)], &[(CAMERA, 3, 199)]];
    for (n, lines) in (1..).zip(lines) {
        world.claim_key(key(n, lines, 365, world.now), group(1));
    }
    for n in 1..=7 {
        world.claim_camera(n, site(if n <= 2 { 2 } else { 1 }));
    }
    world
}

#[test]
fn g4_the_smallest_set_of_keys_that_should_go_along_is_proposed() {
    let mut world = three_keys();
    let shown = preview(&world.organization, &from_site(2, 2, None), &world.context()).unwrap();
    let proposal = shown.proposal.unwrap();
    let said: Vec<_> = proposal.steps.iter().map(|step| step.sentence.as_str()).collect();
    assert_eq!(
        said,
        ["Move key *****-*****-*****-*****-00002 with 2 camera to Depot."],
        "one that fits exactly"
    );
    assert!(proposal.groups.iter().all(|change| change.after.as_ref().unwrap().compliant));
    // Without that key, another is split.
    world.ok(Command::UnclaimKey { id: key(2, &[], 1, world.now).id });
    let shown = preview(&world.organization, &from_site(2, 2, None), &world.context()).unwrap();
    let split = "Split key *****-*****-*****-*****-00001: 2 camera to Depot, 2 camera, 2 door stay.";
    assert_eq!(shown.proposal.unwrap().steps[0].sentence, split);
    // Where there are too few for both, nothing helps.
    world.ok(Command::UnclaimKey { id: key(3, &[], 1, world.now).id });
    let shown = preview(&world.organization, &from_site(2, 2, None), &world.context()).unwrap();
    assert_eq!(shown.proposal, None);
}

#[test]
fn g4_what_is_proposed_can_be_done_and_cures_both() {
    let mut world = three_keys();
    world.claim_device(9, site(2), ProductType::DOOR, 1);
    // The other door stays in use: the key cannot go whole.
    world.claim_device(10, site(1), ProductType::DOOR, 1);
    let command = from_site(2, 2, None);
    let shown = preview(&world.organization, &command, &world.context()).unwrap();
    let proposal = shown.proposal.unwrap();
    let [step] = &proposal.steps[..] else { panic!("one key has both: {proposal:?}") };
    let stays = [(CAMERA, 2), (ProductType::DOOR, 1)].into();
    assert_eq!((&step.goes, &step.stays), (&[(CAMERA, 2), (ProductType::DOOR, 1)].into(), &stays));
    world.ok(command);
    let lines = |held: &Units| held.iter().map(|(p, n)| OrderLine { product: *p, quantity: *n }).collect();
    let part = |n, held, of| PartRequest {
        lines: lines(held),
        ..part(n, 1, PartTarget::Own { group: Some(group(of)), mode: None })
    };
    let parts = Box::new([part(11, &step.goes, 2), part(12, &step.stays, 1)]);
    world.ok(Command::SplitKey { id: step.key, parts });
    for (n, change) in (1..).zip(&proposal.groups) {
        assert_eq!(
            change.after,
            Some(GroupState::of(&world.organization, world.group(n), world.now)),
            "exactly as proposed"
        );
        assert!(world.group(n).assessment.is_compliant());
    }
    // Nothing is proposed where nothing is missing.
    let back = Command::MoveSite { id: site(2), to: SiteTarget::Group(group(1)) };
    let shown = preview(&world.organization, &back, &world.context()).unwrap();
    let group_1 = shown.groups.iter().find(|change| change.group == group(1)).unwrap();
    assert_eq!(group_1.after.as_ref().unwrap().compliant, shown.proposal.is_none());
}

#[test]
fn e1_a_groups_own_settings_keep_to_the_vendors_bounds_but_in_a_demonstration() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    let own = |grace, stop| SettingsChange {
        grace_secs: Some(grace),
        stop_after_lock_secs: Some(stop),
        ..SettingsChange::default()
    };
    let change = |settings| Command::ChangeGroupSettings { id: group(1), settings };
    let long = change(own(Seconds::days(91), Seconds::days(29)));
    assert_eq!(world.refused(long), ["SETTING_OUT_OF_BOUNDS", "SETTING_OUT_OF_BOUNDS"]);
    world.ok(change(own(Seconds::days(0), Seconds::days(30))));
    let short = change(own(Seconds(5), Seconds(7)));
    assert_eq!(world.refused(short.clone()), ["SETTING_OUT_OF_BOUNDS"]);
    // Only a daemon in demonstration mode lifts the bounds; then the ladder fits in a minute.
    world.limits = world.limits.demonstration();
    world.ok(short);
    world.claim_camera(1, site(1));
    let schedule = world.group(1).assessment.schedule();
    assert_eq!(schedule.lock_at, Some(world.now.saturating_add(Seconds(5))));
    assert_eq!(schedule.stop_at, Some(world.now.saturating_add(Seconds(12))));
}

#[test]
fn e1_a_group_follows_its_organization_again_in_what_it_departed() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    let change = |settings| Command::ChangeGroupSettings { id: group(1), settings };
    let own = SettingsChange {
        grace_secs: Some(Seconds::days(5)),
        time_zone: Some("Europe/Rome".to_string()),
        ..SettingsChange::default()
    };
    let inherit = |settings: &[GroupSetting]| SettingsChange {
        inherit: settings.iter().copied().collect(),
        ..SettingsChange::default()
    };
    world.ok(change(own.clone()));
    world.claim_camera(1, site(1));
    let lock = world.organization.wanted(&device(1)).unwrap().schedule.lock_at;
    world.ok(change(inherit(&[GroupSetting::GraceSecs])));
    let overrides = world.group(1).overrides;
    assert_eq!((overrides.grace_secs, overrides.time_zone.is_some()), (None, true), "the rest stays its own");
    let later = world.organization.wanted(&device(1)).unwrap().schedule.lock_at;
    assert!(later > lock, "E3: the longer grace of the organization counts");
    // From now on it follows the organization, too, and what was announced does not come earlier.
    let shorter = SettingsChange { grace_secs: Some(Seconds::days(3)), ..SettingsChange::default() };
    world.ok(Command::ChangeSettings(shorter));
    assert_eq!(world.organization.settings_of(world.group(1)).grace_secs, Seconds::days(3));
    assert_eq!(world.organization.wanted(&device(1)).unwrap().schedule.lock_at, later, "E3");
    world.ok(change(inherit(&GroupSetting::ALL)));
    assert_eq!(world.group(1).overrides, Overrides::default());
    // Both at once contradict each other, and an organization follows nothing.
    let both = SettingsChange { inherit: [GroupSetting::GraceSecs].into(), ..own };
    assert_eq!(world.refused(change(both)), ["SETTING_NOT_INHERITED"]);
    let none = Command::ChangeSettings(inherit(&[GroupSetting::Scope]));
    assert_eq!(world.refused(none), ["SETTING_NOT_INHERITED"]);
}

#[test]
fn c3_a_scope_is_not_widened_by_inheriting_either() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    let product = SettingsChange { scope: Some(Scope::Product), ..SettingsChange::default() };
    world.ok(Command::ChangeGroupSettings { id: group(1), settings: product });
    world.claim_camera(1, site(1));
    let settings = SettingsChange { inherit: [GroupSetting::Scope].into(), ..SettingsChange::default() };
    assert_eq!(world.refused(Command::ChangeGroupSettings { id: group(1), settings }), ["SCOPE_IN_USE"]);
}
