//! Ways to gain time by settings and by waiting in Unassigned, each tried by name (domain E3, G3): all of them are closed.

use super::evasions::{days, left, lock_at, move_device, move_site, root, within, world};
use super::world::{at, device, group, key, new_device, site};
use crate::enforcement::EnforcementState::{Licensed, ManagementLocked};
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::Seconds;
use alloc::boxed::Box;
use alloc::format;

const CAMERA: ProductType = ProductType::CAMERA;

#[test]
fn e3_travelling_through_time_zones_gains_one_midnight_at_most() {
    let mut world = world();
    let announced = lock_at(&world, 1).unwrap();
    let unrounded = at("2026-01-01T00:00:00Z").saturating_add(days(30));
    let mut latest = announced;
    for _ in 0..3 {
        for zone in ["Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kathmandu", "Pacific/Apia", "UTC"] {
            let change = SettingsChange { time_zone: Some(zone.into()), ..SettingsChange::default() };
            world.ok(Command::ChangeSettings(change));
            let now = lock_at(&world, 1).unwrap();
            assert!(now >= latest, "never earlier");
            latest = now;
        }
    }
    assert!(latest.since(unrounded) < days(1), "the latest midnight there is anywhere, once");
    // What is left when it pauses contains it: a re-offence is rounded no more.
    world.wait(Seconds(3600));
    let kept = left(&world, 1);
    world.ok(Command::RetireDevice { id: device(2) });
    world.wait(Seconds(4321));
    world.claim_camera(2, site(3));
    let zone = SettingsChange { time_zone: Some("Etc/GMT+12".into()), ..SettingsChange::default() };
    world.ok(Command::ChangeGroupSettings { id: group(1), settings: zone });
    assert_eq!(left(&world, 1), kept);
}

#[test]
fn e3_settings_back_and_forth_gain_what_the_vendor_allows_and_no_more() {
    let mut world = world();
    let grace =
        |days: u64| SettingsChange { grace_secs: Some(Seconds::days(days)), ..SettingsChange::default() };
    let mut latest = lock_at(&world, 1).unwrap();
    for days in [0, 90, 1, 90, 0, 60, 90] {
        world.ok(Command::ChangeSettings(grace(days)));
        world.ok(Command::ChangeGroupSettings { id: group(1), settings: grace(90 - days) });
        let now = lock_at(&world, 1).unwrap();
        assert!(now >= latest, "E3: no change of settings moves an announced date earlier");
        latest = now;
    }
    assert_eq!(latest, at("2026-01-01T00:00:00Z").saturating_add(days(90)));
    world.wait(days(61));
    assert_eq!(world.group(1).assessment.state, ManagementLocked);
    world.ok(Command::RetireDevice { id: device(2) });
    assert_eq!(world.group(1).assessment.state, Licensed);
    world.ok(Command::ChangeGroupSettings { id: group(1), settings: grace(0) });
    world.ok(Command::ChangeGroupSettings { id: group(1), settings: grace(90) });
    world.claim_camera(2, site(3));
    assert_eq!(left(&world, 1), days(0), "what was spent stays spent");
}

#[test]
fn g3_the_countdown_of_unassigned_is_not_renewed_by_new_sites() {
    let mut world = world();
    root(&mut world, 6, None);
    world.claim_camera(6, site(6));
    within(&mut world, 8, 6);
    world.wait(days(29));
    root(&mut world, 7, None);
    // The device to a younger site, the site into a younger one, the device retired and claimed anew there.
    assert_eq!(world.refused(move_device(6, 7)), ["COUNTDOWN_WOULD_RESTART"]);
    assert_eq!(world.refused(move_site(6, SiteTarget::Within(site(7)))), ["COUNTDOWN_WOULD_RESTART"]);
    assert_eq!(world.refused(move_site(8, SiteTarget::Within(site(7)))), ["COUNTDOWN_WOULD_RESTART"]);
    world.ok(Command::RetireDevice { id: device(6) });
    let anew = |into: u8| Command::ClaimDevice { device: new_device(6, CAMERA, 1), site: site(into) };
    assert_eq!(world.refused(anew(7)), ["COUNTDOWN_WOULD_RESTART"]);
    // Where it was, and where it ends sooner, it may be.
    world.ok(anew(6));
    world.ok(move_site(8, SiteTarget::Root));
    world.ok(move_site(7, SiteTarget::Within(site(6))));
    world.ok(move_device(6, 7));
    world.wait(days(1));
    assert_eq!(world.organization.unassigned_sites().count(), 0);
    assert_eq!(world.organization.wanted(&device(6)).unwrap().group, Some(group(1)));
}

#[test]
fn g3_no_device_goes_from_a_group_to_unassigned_by_retiring() {
    let mut world = world();
    world.ok(move_device(2, 2));
    world.wait(days(31));
    root(&mut world, 6, None);
    world.claim_camera(8, site(2));
    world.ok(Command::RetireDevice { id: device(8) });
    let hide = Command::ClaimDevice { device: new_device(8, CAMERA, 1), site: site(6) };
    assert_eq!(world.refused(hide.clone()), ["COUNTDOWN_WOULD_RESTART"]);
    // Thirty days out of use, it starts as if it were new; the countdown has nothing to do with it, and the hint says so.
    let countdown = SettingsChange { countdown_secs: Some(days(5)), ..SettingsChange::default() };
    world.ok(Command::ChangeSettings(countdown));
    let new_at = world.now.saturating_add(days(30));
    world.wait(days(29));
    let refusals = decide(&world.organization, &hide, &world.context()).unwrap_err();
    let hint = format!("choose a site in a license group; from {new_at} on it counts as new");
    assert_eq!(refusals.all()[0].message, "device dev-8 was in use here lately: it gets no new countdown");
    assert_eq!(refusals.all()[0].hint, hint);
    world.wait(days(1));
    root(&mut world, 7, None);
    world.ok(Command::ClaimDevice { device: new_device(8, CAMERA, 1), site: site(7) });
}

#[test]
fn g3_an_unassigned_key_gains_nothing_by_going_in_and_out() {
    let mut world = world();
    let bought = key(7, &[(CAMERA, 3, 199)], 365, world.now);
    let (id, ends_at) = (bought.id, bought.ends_at);
    world.ok(Command::ClaimKey { key: Box::new(bought), group: None, mode: ClaimMode::Increase });
    for _ in 0..12 {
        world.wait(days(29));
        world.ok(Command::MoveKey { id, group: group(2), mode: None });
        world.ok(Command::UnclaimKey { id });
        assert_eq!(world.organization.key(id).unwrap().ends_at, ends_at, "D5: it burns wherever it is");
    }
    world.wait(days(29));
    assert_eq!(world.organization.key(id).unwrap().state.name(), "retired");
}
