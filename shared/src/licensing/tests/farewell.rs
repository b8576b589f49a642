//! The last word to a retired device (domain G10): said once, and moved by nothing that happens to others.

use super::world::{World, at, device, group, key, site};
use crate::enforcement::Schedule;
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::Seconds;

fn retired() -> World {
    let mut world = World::new("2027-01-01T09:00:00Z");
    world.claim_key(key(1, &[(ProductType::CAMERA, 2, 199)], 365, world.now), group(1));
    world.claim_camera(1, site(1));
    world.ok(Command::RetireDevice { id: device(1) });
    world
}

fn told(world: &World) -> Schedule {
    let wanted = world.organization.wanted(&device(1)).unwrap();
    assert!(wanted.is_farewell());
    wanted.schedule
}

/// G10, E3: the instants are stored in the event, so no setting moves them, whether it makes them later or earlier.
#[test]
fn g10_what_a_retired_device_was_told_is_moved_by_no_setting() {
    let mut world = retired();
    let said = told(&world);
    world.wait(Seconds::days(1));
    for change in [
        SettingsChange { stop_after_lock_secs: Some(Seconds::days(45)), ..SettingsChange::default() },
        SettingsChange { grace_secs: Some(Seconds::days(90)), ..SettingsChange::default() },
        SettingsChange { time_zone: Some("Asia/Tokyo".into()), ..SettingsChange::default() },
    ] {
        world.ok(Command::ChangeSettings(change));
        assert_eq!(told(&world), said);
    }
}

/// G10: nor does the site it was at, which goes on without it.
#[test]
fn g10_what_a_retired_device_was_told_does_not_move_with_its_site() {
    let mut world = retired();
    let said = told(&world);
    let settings =
        SettingsChange { stop_after_lock_secs: Some(Seconds::days(45)), ..SettingsChange::default() };
    world.ok(Command::CreateGroup { id: group(2), name: "Two".into(), settings });
    world.ok(Command::MoveSite { id: site(1), to: SiteTarget::Group(group(2)) });
    assert_eq!(told(&world), said);
}

/// G10: one that was retired and is then found to be stolen is not let off until another stop.
#[test]
fn g10_a_device_reported_stolen_later_keeps_its_ladder() {
    let mut world = retired();
    let said = told(&world);
    world.wait(Seconds::days(100));
    assert!(said.stop_at < Some(world.now), "it stands still by now");
    world.ok(Command::ReportStolen { id: device(1) });
    assert_eq!(told(&world), said);
}

/// A log from before the ladder was written down says the same as long as it is read by the settings of that moment.
#[test]
fn g10_a_log_without_the_ladder_of_a_retired_device_gives_the_same() {
    let mut world = World::new("2027-01-01T09:00:00Z");
    world.claim_camera(1, site(1));
    let mut replayed = world.organization.clone();
    let retire = world.ok(Command::RetireDevice { id: device(1) });
    let later = SettingsChange { stop_after_lock_secs: Some(Seconds::days(45)), ..SettingsChange::default() };
    let later = world.ok(Command::ChangeSettings(later));
    let mut without = 0;
    for dated in retire.events.iter().chain(&later.events) {
        let mut stored = serde_json::to_value(dated).unwrap();
        let event = stored.get_mut("event").and_then(serde_json::Value::as_object_mut).unwrap();
        without += usize::from(
            event.get("type") == Some(&"device-retired".into()) && event.remove("schedule").is_some(),
        );
        replayed.apply(&serde_json::from_value(stored).unwrap()).unwrap();
    }
    assert_eq!(without, 1);
    assert_eq!(replayed, world.organization);
    assert!(told(&world).lock_at == Some(at("2027-01-01T09:00:00Z")));
}
