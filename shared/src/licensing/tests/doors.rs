//! Door controllers that count by their configured doors (domain G7), and what else becomes of them (G8, G9).

use super::world::*;
use crate::finding::Finding;
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::Seconds;
use alloc::string::ToString;

const DOOR: ProductType = ProductType::DOOR;

fn controller(n: u32, doors: Option<u64>) -> NewDevice {
    NewDevice { doors, ..new_device(n, DOOR, 4) }
}

fn count_by(by: DoorUnits) -> Command {
    Command::ChangeSettings(SettingsChange { door_units: Some(by), ..SettingsChange::default() })
}

/// Group 1 with six doors licensed.
fn world(by: DoorUnits) -> World {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.claim_key(key(1, &[(DOOR, 6, 199)], 1000, world.now), group(1));
    if by == DoorUnits::Configured {
        world.ok(count_by(by));
    }
    world
}

fn claim(world: &mut World, n: u32, doors: Option<u64>) {
    world.ok(Command::ClaimDevice { device: controller(n, doors), site: site(1) });
}

fn in_use(world: &World) -> u64 {
    world.group(1).figures.in_use.get(&DOOR).copied().unwrap_or(0)
}

#[test]
fn g7_by_model_the_configured_doors_are_known_but_do_not_count() {
    let mut world = world(DoorUnits::Model);
    claim(&mut world, 1, Some(2));
    assert_eq!(in_use(&world), 4);
    world.ok(Command::ConfigureDoors { id: device(1), doors: 1 });
    assert_eq!((in_use(&world), world.organization.device(&device(1)).unwrap().doors), (4, Some(1)));
}

#[test]
fn g7_by_configured_doors_each_counts_once_and_silence_counts_the_model() {
    let mut world = world(DoorUnits::Configured);
    claim(&mut world, 1, Some(2));
    claim(&mut world, 2, None);
    assert_eq!(in_use(&world), 6);
    assert!(world.group(1).assessment.is_compliant(), "C1: equality is compliant");
    let two = Command::ConfigureDoors { id: device(1), doors: 3 };
    let shown = preview(&world.organization, &two, &world.context()).unwrap();
    assert_eq!(shown.groups[0].after.as_ref().unwrap().in_use, [(DOOR, 7)].into());
    assert_eq!((shown.devices[0].units_before, shown.devices[0].units_after), (Some(2), Some(3)));
    assert_eq!(shown.warnings[0].code, WarningCode::BecomesNoncompliant);
    assert_eq!(shown.events[0], "doors-configured");
    world.ok(two);
    let missing = Finding::OverCapacity { product: DOOR, shortfall: 1 };
    assert_eq!(world.group(1).assessment.findings, [missing]);
}

#[test]
fn e2_fewer_doors_pause_the_clock_and_more_doors_find_what_was_left() {
    let mut world = world(DoorUnits::Configured);
    claim(&mut world, 1, Some(4));
    claim(&mut world, 2, Some(3));
    let lock_at = world.group(1).assessment.schedule().lock_at.unwrap();
    world.wait(Seconds::days(20));
    world.ok(Command::ConfigureDoors { id: device(2), doors: 2 });
    assert!(world.group(1).assessment.is_compliant());
    world.wait(Seconds::days(5));
    world.ok(Command::ConfigureDoors { id: device(2), doors: 3 });
    let again = world.group(1).assessment.schedule().lock_at.unwrap();
    assert_eq!(again, lock_at.saturating_add(Seconds::days(5)));
}

#[test]
fn g7_the_setting_counts_all_controllers_anew_and_the_preview_says_what_follows() {
    let mut world = world(DoorUnits::Configured);
    claim(&mut world, 1, Some(1));
    claim(&mut world, 2, Some(4));
    world.claim_camera(3, site(1));
    assert_eq!(in_use(&world), 5);
    let back = count_by(DoorUnits::Model);
    let shown = preview(&world.organization, &back, &world.context()).unwrap();
    assert_eq!(shown.groups[0].after.as_ref().unwrap().in_use[&DOOR], 8);
    assert_eq!(shown.events[..2], ["settings-changed", "units-counted"]);
    let decision = world.ok(back);
    assert_eq!(in_use(&world), 8);
    let counted = Event::UnitsCounted { units: [(device(1), 4)].into() };
    assert_eq!(decision.events[1].event, counted, "only those it makes a difference to");
    world.ok(count_by(DoorUnits::Configured));
    assert_eq!(in_use(&world), 5);
}

#[test]
fn g7_what_is_no_number_of_doors_is_refused() {
    let mut world = world(DoorUnits::Configured);
    claim(&mut world, 1, Some(2));
    world.claim_camera(2, site(1));
    let configure = |n, doors| Command::ConfigureDoors { id: device(n), doors };
    for (command, codes) in [
        // Never none: it would be in use without any license.
        (configure(1, 0), "DOORS_OUT_OF_BOUNDS"),
        (configure(1, 5), "DOORS_OUT_OF_BOUNDS"),
        (configure(1, 2), "NOTHING_TO_CHANGE"),
        (configure(2, 1), "NOT_A_DOOR_CONTROLLER"),
        (configure(9, 1), "DEVICE_NOT_FOUND"),
        (Command::ClaimDevice { device: controller(3, Some(5)), site: site(1) }, "DOORS_OUT_OF_BOUNDS"),
    ] {
        assert_eq!(world.refused(command), [codes]);
    }
    let settings = SettingsChange { door_units: Some(DoorUnits::Model), ..SettingsChange::default() };
    let of_group = Command::ChangeGroupSettings { id: group(1), settings };
    assert_eq!(world.refused(of_group), ["SETTING_NOT_OF_GROUPS"]);
    world.ok(count_by(DoorUnits::Model));
    world.limits.configured_doors_allowed = false;
    assert_eq!(world.refused(count_by(DoorUnits::Configured)), ["SETTING_OUT_OF_BOUNDS"]);
}

#[test]
fn g9_a_replacement_has_the_same_doors_as_far_as_it_has_so_many() {
    let mut world = world(DoorUnits::Configured);
    claim(&mut world, 1, Some(3));
    // Only who says a number is told that it is too large.
    let small = |doors| NewDevice { doors, ..new_device(2, DOOR, 2) };
    let said = Command::ReplaceDevice { old: device(1), new: small(Some(3)) };
    assert_eq!(world.refused(said), ["DOORS_OUT_OF_BOUNDS"]);
    let mut smaller = World { organization: world.organization.clone(), log: world.log.clone(), ..world };
    smaller.ok(Command::ReplaceDevice { old: device(1), new: small(None) });
    assert_eq!((in_use(&smaller), smaller.organization.device(&device(2)).unwrap().doors), (2, Some(2)));
    let larger = Command::ReplaceDevice { old: device(1), new: new_device(2, DOOR, 8) };
    world.ok(larger);
    assert_eq!((in_use(&world), world.organization.device(&device(2)).unwrap().doors), (3, Some(3)));
    world.ok(Command::RetireDevice { id: device(2) });
    assert_eq!(in_use(&world), 0);
    claim(&mut world, 2, None);
    assert_eq!(in_use(&world), 4, "what comes back is counted anew");
}

#[test]
fn g8_a_controller_on_trial_counts_by_its_doors_once_it_is_converted() {
    let mut world = world(DoorUnits::Configured);
    let new = NewDevice { trial_secs: Some(Seconds::days(30)), ..controller(1, Some(2)) };
    world.ok(Command::ClaimDevice { device: new, site: site(1) });
    world.ok(Command::ConfigureDoors { id: device(1), doors: 1 });
    assert_eq!(in_use(&world), 0);
    world.ok(Command::ConvertTrial { id: device(1) });
    assert_eq!(in_use(&world), 1);
}

#[test]
fn g8_what_replaces_a_device_on_trial_goes_on_with_its_trial() {
    let mut world = world(DoorUnits::Model);
    let new = NewDevice { trial_secs: Some(Seconds::days(30)), ..controller(1, None) };
    world.ok(Command::ClaimDevice { device: new, site: site(1) });
    let trial = world.organization.device(&device(1)).unwrap().state.clone();
    world.wait(Seconds::days(10));
    world.claim_device(3, site(1), DOOR, 4);
    world.ok(Command::RetireDevice { id: device(3) });
    let used = Command::ReplaceDevice { old: device(1), new: controller(3, None) };
    assert_eq!(world.refused(used), ["TRIAL_USED"], "no device gets on trial that was in use here");
    world.ok(Command::ReplaceDevice { old: device(1), new: controller(2, None) });
    assert_eq!(world.organization.device(&device(2)).unwrap().state, trial, "the same end");
    assert_eq!(in_use(&world), 0, "conversion is explicit");
}

#[test]
fn a_new_organization_has_the_defaults_as_far_as_the_vendor_lets_it() {
    let limits = Limits {
        grace_max_secs: Seconds::days(10),
        stop_after_lock_min_secs: Seconds::days(90),
        countdown_max_secs: Seconds::days(7),
        ..Limits::default()
    };
    let founding = |settings| FoundOrganization {
        id: crate::id::OrganizationId::from_bytes([9; 16]),
        name: "Acme".to_string(),
        default_group: group(1),
        settings,
        license_groups: true,
    };
    let context = Context { now: at("2026-01-01T00:00:00Z"), limits };
    let made = found(&founding(SettingsChange::default()), &context).unwrap().after;
    let settings = *made.settings();
    let days = [settings.grace_secs, settings.stop_after_lock_secs, settings.countdown_secs];
    assert_eq!(days, [10, 90, 7].map(Seconds::days));
    let countdown = |days| SettingsChange { countdown_secs: Some(Seconds::days(days)), ..Default::default() };
    let made = found(&founding(countdown(5)), &context).unwrap().after;
    assert_eq!(made.settings().countdown_secs, Seconds::days(5));
    assert!(found(&founding(countdown(8)), &context).unwrap_err().has(RefusalCode::SettingOutOfBounds));
}
