//! The dates that are shown are those that devices act on (domain E2, E3, E5, T2).

use super::world::*;
use crate::enforcement::{
    DeviceClass, EnforcementState, Inputs, LicenseState, ModeCap, Schedule, TimeSource, TrustedTime, step,
};
use crate::licensing::explain::GroupExplanation;
use crate::licensing::view::{DeviceView, GroupView};
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

const CAMERA: ProductType = ProductType::CAMERA;

fn instants(schedule: &Schedule) -> [Option<Timestamp>; 3] {
    [schedule.grace_begins_at, schedule.lock_at, schedule.stop_at]
}

/// Where a device with its token stands at an instant, by the one function that devices decide with.
fn on_the_device(wanted: &Wanted, at: Timestamp) -> EnforcementState {
    let license = LicenseState {
        schedule: wanted.schedule,
        findings: wanted.findings.clone(),
        // A newer token always comes in time.
        offline_lock_at: Timestamp::MAX,
        coterm_at: wanted.coterm_at,
    };
    let time = TrustedTime::certain(at, TimeSource::Token);
    step(&Inputs { license: Some(&license), time, cap: ModeCap::of(DeviceClass::Camera, None) }).state
}

/// Checks that every figure of every group and device is what devices do with the tokens they get.
pub(super) fn are_what_devices_do(world: &World) {
    let organization = &world.organization;
    for group in organization.groups() {
        let (mut earliest, mut early, mut begun, mut all) = (Schedule::NEVER, 0, 0, 0);
        let mut dates: Vec<(Timestamp, EnforcementState)> = Vec::new();
        for device in organization.devices_in_group(group.id) {
            let wanted = organization.wanted(&device.id).unwrap();
            let shown = DeviceView::of(organization, device, world.now);
            let DeviceState::Active = device.state else {
                assert_eq!(shown.schedule, None, "G8: the ladder of a trial is with its claim");
                continue;
            };
            let schedule = shown.schedule.unwrap();
            for at in instants(&schedule).into_iter().flatten().chain([world.now, Timestamp::MAX]) {
                for at in [at.saturating_sub(Seconds(1)), at] {
                    assert_eq!(schedule.state_at(at), on_the_device(&wanted, at), "{} at {at}", device.id);
                }
            }
            let [lock, stop] = [schedule.lock_at, schedule.stop_at].map(|at| at.unwrap_or(Timestamp::MAX));
            let own = group.assessment.schedule();
            let [own_lock, own_stop] = [own.lock_at, own.stop_at].map(|at| at.unwrap_or(Timestamp::MAX));
            all += 1;
            early += u64::from(lock < own_lock || stop < own_stop);
            begun += u64::from(on_the_device(&wanted, world.now) != EnforcementState::Licensed);
            earliest = earliest.earliest(schedule);
            let states =
                [EnforcementState::Grace, EnforcementState::ManagementLocked, EnforcementState::Stopped];
            dates.extend(
                instants(&schedule).into_iter().zip(states).filter_map(|(at, state)| Some((at?, state))),
            );
        }
        let shown = GroupView::of(organization, group, world.now);
        assert_eq!(shown.active_devices, all);
        assert_eq!(shown.state.schedule, earliest, "E5: the group's dates are the earliest of its devices");
        assert_eq!(shown.state.state, earliest.state_at(world.now));
        assert_eq!(shown.state.early.as_ref().map_or(0, |early| early.devices), early, "E2");
        let by_holder: u64 = shown.state.early.iter().flat_map(|e| &e.holders).map(|h| h.devices).sum();
        assert_eq!(by_holder, early, "E2: every early device is by somebody's clocks");
        let next = dates.iter().map(|(at, _)| *at).filter(|at| *at > world.now).min();
        assert_eq!(shown.next_at, next, "what is next for any device is next for the group");

        let explained = GroupExplanation::of(organization, group, world.now);
        let told = explained.ladder.iter().map(|step| step.devices).sum::<u64>();
        assert_eq!(told, u64::try_from(dates.len()).unwrap());
        for step in &explained.ladder {
            let alike = dates.iter().filter(|date| **date == (step.at, step.state)).count();
            assert_eq!(step.devices, u64::try_from(alike).unwrap(), "{}", step.sentence);
        }
        let graced = explained.ladder.iter().filter(|s| s.state == EnforcementState::Grace && s.reached);
        assert_eq!(graced.map(|step| step.devices).sum::<u64>(), begun);
    }
}

/// Group 2 is short by two; site 2 comes into it from group 1 with 20 of 30 days spent, and devices 1 and 2.
fn with_an_early_site() -> World {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.ok(Command::CreateGroup { id: group(2), name: "North".to_string(), settings: Default::default() });
    for (n, name, of) in [(2, "Depot", 1), (3, "Yard", 2)] {
        let name = String::from(name);
        world.ok(Command::CreateSite { id: site(n), name, parent: None, group: Some(group(of)) });
    }
    world.claim_key(key(2, &[(CAMERA, 1, 199)], 1000, world.now), group(2));
    world.claim_camera(1, site(2));
    world.claim_camera(2, site(2));
    world.claim_camera(3, site(3));
    world.wait(Seconds::days(20));
    world
}

fn arrive() -> Command {
    Command::MoveSite { id: site(2), to: SiteTarget::Group(group(2)) }
}

#[test]
fn e2_a_group_shows_the_dates_of_a_site_that_came_with_its_clocks() {
    let mut world = with_an_early_site();
    let preview = preview(&world.organization, &arrive(), &world.context()).unwrap();
    let said: Vec<&str> = preview
        .warnings
        .iter()
        .filter(|warning| warning.code == WarningCode::DevicesEnforced)
        .map(|warning| warning.sentence.as_str())
        .collect();
    assert_eq!(
        said,
        [
            "2 devices of North in grace: everything works on; management locks at 2026-01-31T00:00:00Z (in 10 \
             days); full stop at 2026-04-01T00:00:00Z (in 70 days).",
            "1 device of North in grace: everything works on; management locks at 2026-02-20T00:00:00Z (in 30 days); \
             full stop at 2026-04-21T00:00:00Z (in 90 days).",
        ],
        "E2: each device is counted with its own dates"
    );
    world.ok(arrive());
    let shown = GroupView::of(&world.organization, world.group(2), world.now);
    let early = at("2026-01-31T00:00:00Z");
    assert_eq!(shown.state.schedule.lock_at, Some(early), "not the later date that the rest has");
    assert_eq!(shown.next_at, Some(early));
    assert_eq!(shown.next.as_deref(), Some("management of 2 of its 3 devices locks at 2026-01-31T00:00:00Z"));
    assert_eq!(
        shown.state.early.unwrap().sentence,
        "North: 2 of its 3 devices lock or stop before its own clocks say, by what Site Depot brought along; for the \
         rest: management locks at 2026-02-20T00:00:00Z, full stop at 2026-04-21T00:00:00Z."
    );
    are_what_devices_do(&world);
    let after = preview.groups.iter().find(|change| change.group == group(2)).unwrap().after.clone();
    assert_eq!(after.unwrap().schedule.lock_at, Some(early), "the preview showed the same");

    // On the day, the site is locked and the group says so; what comes next comes to the rest.
    world.until("2026-01-31T00:00:00Z");
    let shown = GroupView::of(&world.organization, world.group(2), world.now);
    assert_eq!(shown.state.state, EnforcementState::ManagementLocked);
    assert_eq!(shown.next.as_deref(), Some("management of 1 of its 3 devices locks at 2026-02-20T00:00:00Z"));
    are_what_devices_do(&world);
    let page = GroupExplanation::of(&world.organization, world.group(2), world.now).text.join("\n");
    insta::assert_snapshot!("early_site", page.split_once("What follows").unwrap().1);
}

#[test]
fn e2_e5_a_device_shows_the_dates_of_its_token_or_that_there_are_none() {
    let mut world = with_an_early_site();
    world.ok(arrive());
    let shown = |world: &World, n: u32| {
        let known = world.organization.device(&device(n)).unwrap();
        DeviceView::of(&world.organization, known, world.now)
    };
    let one = shown(&world, 1);
    assert_eq!(one.schedule.unwrap().lock_at, Some(at("2026-01-31T00:00:00Z")));
    assert_eq!(
        one.next.as_deref(),
        Some("management locks at 2026-01-31T00:00:00Z, full stop at 2026-04-01T00:00:00Z")
    );
    world.ok(Command::RetireDevice { id: device(1) });
    let retired = world.organization.wanted(&device(1)).unwrap();
    assert_eq!(shown(&world, 1).schedule, Some(retired.schedule), "G10: also of a retired device");
    world.ok(Command::CreateSite { id: site(9), name: "New".into(), parent: None, group: None });
    world.claim_camera(9, site(9));
    let waits = shown(&world, 9);
    assert_eq!(waits.schedule, Some(Schedule::NEVER), "G3");
    assert_eq!(waits.next.as_deref(), Some("no lock and no stop is ahead"));
    // On trial, the one ladder there is comes with the claim.
    let trial = NewDevice { trial_secs: Some(Seconds::days(5)), ..new_device(10, CAMERA, 1) };
    world.ok(Command::ClaimDevice { device: trial, site: site(1) });
    let json = serde_json::to_string(&shown(&world, 10)).unwrap();
    assert_eq!(json.matches("\"schedule\"").count(), 1, "{json}");
}

#[test]
fn c3_by_the_product_scope_only_those_beyond_are_counted() {
    let mut world = with_an_early_site();
    let settings = SettingsChange { scope: Some(Scope::Product), ..SettingsChange::default() };
    world.ok(Command::ChangeGroupSettings { id: group(2), settings });
    world.ok(arrive());
    // One unit for three cameras: the oldest is spared, although it is the site of the other two that came late.
    let shown = GroupView::of(&world.organization, world.group(2), world.now);
    assert_eq!(shown.next.as_deref(), Some("management of 1 of its 3 devices locks at 2026-01-31T00:00:00Z"));
    are_what_devices_do(&world);
}
