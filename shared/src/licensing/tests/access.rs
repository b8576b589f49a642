//! The access question (domain E8): who is kept out of what, since when, until when, and what stays open.

use super::carried::spent;
use super::histories::{history, lived};
use super::safety_pace::{licensed as licensed_cameras, pace};
use super::world::{World, at, device, group, key, new_device, site};
use crate::enforcement::{EnforcementState, OperatingMode};
use crate::licensing::access::*;
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use proptest::prelude::*;

const CAMERA: ProductType = ProductType::CAMERA;

/// One camera with one unit for a year from 2026.
fn licensed() -> World {
    let mut world = World::new("2026-01-01T12:00:00Z");
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    world.claim_camera(1, site(1));
    world
}

fn cam(n: u32) -> AccessSubject {
    AccessSubject::Device(device(n))
}

fn ask(world: &World, subject: &AccessSubject) -> AccessAnswer {
    AccessBook::of(&world.organization).answer(subject, None, world.now).unwrap()
}

fn code(world: &World, subject: &AccessSubject) -> &'static str {
    ask(world, subject).code.as_str()
}

/// What is closed, in words.
fn closed(world: &World) -> Vec<alloc::string::String> {
    let denied = AccessBook::of(&world.organization).denied(world.now);
    denied.after(None).map(|(subject, _)| subject.to_string()).collect()
}

#[test]
fn e8_a_device_and_its_site_are_closed_while_it_is_locked_or_stopped() {
    let mut world = licensed();
    let hq = AccessSubject::Site(site(1));
    for (instant, device, site, whole) in [
        ("2027-01-01T11:59:59Z", "OPEN", "OPEN", "OPEN"),
        ("2027-01-31T23:59:59Z", "OPEN", "OPEN", "OPEN"),
        ("2027-02-01T00:00:00Z", "DEVICE_LOCKED", "SITE_CLOSED", "OPEN"),
        ("2027-04-01T23:59:59Z", "DEVICE_LOCKED", "SITE_CLOSED", "OPEN"),
        ("2027-04-02T00:00:00Z", "DEVICE_STOPPED", "SITE_CLOSED", "ORGANIZATION_STOPPED"),
    ] {
        world.until(instant);
        let codes = [&cam(1), &hq, &AccessSubject::Organization].map(|subject| code(&world, subject));
        assert_eq!(codes, [device, site, whole], "{instant}");
    }
    let answer = ask(&world, &cam(1));
    assert_eq!((answer.since, answer.until), (Some(at("2027-02-01T00:00:00Z")), None));
    assert_eq!(answer.reasons.iter().map(|why| why.finding.code()).collect::<Vec<_>>(), ["TERM_ENDED"]);
    assert!(answer.hint.unwrap().contains("claim a license key"), "what cures it is said");
    assert!(answer.sentence.contains("dev-1") && answer.note.contains("has not heard"));
    // E4: being compliant again opens everything at once.
    world.claim_key(key(2, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    assert_eq!(closed(&world), Vec::<&str>::new());
}

#[test]
fn e8_what_devices_always_allow_and_the_license_pages_stay_reachable_in_every_state() {
    let mut world = licensed();
    world.until("2027-06-01T00:00:00Z");
    let mut book = AccessBook::of(&world.organization);
    for subject in [cam(1), AccessSubject::Site(site(1)), AccessSubject::Organization] {
        for action in AccessAction::ALL {
            let answer = book.answer(&subject, Some(action), world.now).unwrap();
            assert_eq!(answer.allowed, action.is_always_allowed(), "{subject} {action}");
            assert_eq!(answer.code == AccessCode::AlwaysAllowed, action.is_always_allowed());
            assert!(answer.since.is_some() && answer.hint.is_some(), "closed all the same");
        }
    }
    assert_eq!(book.answer(&cam(9), None, world.now), None, "no such device");
    assert_eq!(book.answer(&AccessSubject::Site(site(9)), None, world.now), None, "no such site");
}

#[test]
fn e7_the_mode_that_is_told_is_capped_by_what_the_product_says_of_the_class() {
    let mut world = World::new("2026-01-01T12:00:00Z");
    use OperatingMode::{ManagementLocked, Stopped};
    let table = [
        (ProductType::CAMERA, Stopped),
        (ProductType::VIEWING_STATION, Stopped),
        (ProductType::DOOR, ManagementLocked),
        (ProductType::ENVIRONMENTAL_SENSOR, ManagementLocked),
        (ProductType::ALARM_SENSOR, ManagementLocked),
        (ProductType::ALARM_CONSOLE, ManagementLocked),
        (ProductType::INTERCOM, ManagementLocked),
        (ProductType::from_number(900).unwrap(), Stopped),
    ];
    for (n, (product, _)) in table.iter().enumerate() {
        world.claim_device(n as u32, site(1), *product, 1);
    }
    world.until("2027-01-01T00:00:00Z");
    for (n, (product, mode)) in table.iter().enumerate() {
        let answer = ask(&world, &cam(n as u32));
        assert_eq!((answer.state, answer.mode), (Some(EnforcementState::Stopped), Some(*mode)), "{product}");
        // Whatever its class allows it to go on doing, people are kept out of it (E8).
        assert!(!answer.allowed, "{product}");
        assert_eq!(answer.reasons[0].finding.code(), "NO_LICENSE");
    }
}

#[test]
fn g8_at_the_end_of_a_trial_only_that_device_closes() {
    let mut world = licensed();
    let trial = NewDevice { trial_secs: Some(Seconds::days(30)), ..new_device(2, CAMERA, 1) };
    world.ok(Command::ClaimDevice { device: trial, site: site(1) });
    world.until("2026-06-01T00:00:00Z");
    assert_eq!(closed(&world), ["device:dev-2"], "neither its site nor its neighbor");
    let answer = ask(&world, &cam(2));
    assert_eq!(answer.reasons[0].finding.code(), "TRIAL_ENDED");
    assert!(answer.hint.unwrap().contains("convert"));
    // The group stops; the organization with it, since the trial is stopped as well.
    world.until("2027-06-01T00:00:00Z");
    assert_eq!(
        closed(&world),
        ["organization", "site:site_01010101010101010101010101010101", "device:dev-1", "device:dev-2"]
    );
    // A device on trial that goes on keeps the organization open (E8).
    let trial = NewDevice { trial_secs: Some(Seconds::days(30)), ..new_device(3, CAMERA, 1) };
    world.ok(Command::ClaimDevice { device: trial, site: site(1) });
    assert_eq!(code(&world, &AccessSubject::Organization), "OPEN");
    assert_eq!(code(&world, &cam(3)), "OPEN");
}

#[test]
fn g3_an_unassigned_site_is_open_during_its_countdown_and_closes_with_the_group_it_joins() {
    let mut world = licensed();
    world.until("2027-06-01T00:00:00Z");
    world.ok(Command::CreateSite { id: site(2), name: "New".to_string(), parent: None, group: None });
    world.claim_camera(2, site(2));
    assert_eq!(code(&world, &cam(2)), "OPEN");
    assert_eq!(code(&world, &AccessSubject::Organization), "OPEN", "not every device is stopped");
    let mut book = AccessBook::of(&world.organization);
    let joins_at = at("2027-07-01T00:00:00Z");
    assert_eq!(book.valid_until(&cam(2), world.now), Some(joins_at), "the answer is good until it joins");
    assert_eq!(book.denied(world.now).changes_at(), Some(joins_at));
    world.until("2027-07-01T00:00:00Z");
    assert_eq!(code(&world, &cam(2)), "DEVICE_STOPPED", "E2: the clock of the group has run out");
    assert_eq!(code(&world, &AccessSubject::Site(site(2))), "SITE_CLOSED");
}

#[test]
fn g10_a_retired_device_is_closed_and_closes_no_site() {
    let mut world = licensed();
    world.claim_key(key(2, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    world.claim_camera(2, site(1));
    world.ok(Command::RetireDevice { id: device(2) });
    let answer = ask(&world, &cam(2));
    assert_eq!((answer.code.as_str(), answer.since), ("DEVICE_RETIRED", Some(world.now)));
    assert!(answer.hint.unwrap().contains("Claim the device again"));
    assert_eq!(closed(&world), ["device:dev-2"]);
}

#[test]
fn c3_what_a_shortfall_is_not_enforced_on_stays_open_in_a_site_that_is_closed() {
    let mut world = licensed();
    let scope = SettingsChange { scope: Some(Scope::Product), ..SettingsChange::default() };
    world.ok(Command::ChangeSettings(scope));
    world.ok(Command::CreateSite { id: site(2), name: "2".to_string(), parent: None, group: Some(group(1)) });
    world.wait(Seconds(1));
    world.claim_camera(2, site(2));
    world.until("2026-03-01T00:00:00Z");
    // The newest camera is one too many: it closes, and the site it is in (E8). The other is nobody's fault.
    assert_eq!(closed(&world), ["site:site_02020202020202020202020202020202", "device:dev-2"]);
    assert_eq!(ask(&world, &cam(1)).reasons, []);
    world.ok(Command::MoveDevice { id: device(1), site: site(2) });
    assert_eq!(code(&world, &cam(1)), "OPEN");
    assert_eq!(code(&world, &AccessSubject::Site(site(2))), "SITE_CLOSED");
}

#[test]
fn e8_a_site_without_devices_of_its_own_is_open_while_a_sub_site_is() {
    let mut world = World::new("2026-01-01T12:00:00Z");
    let scope = SettingsChange { scope: Some(Scope::Product), ..SettingsChange::default() };
    world.ok(Command::ChangeSettings(scope));
    for n in [2, 3, 4] {
        let parent = Some(site(1));
        world.ok(Command::CreateSite { id: site(n), name: n.to_string(), parent, group: None });
    }
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 3650, world.now), group(1));
    world.claim_camera(1, site(2));
    world.wait(Seconds(1));
    world.claim_camera(2, site(3));
    world.until("2026-03-01T00:00:00Z");
    let sites = |world: &World| [1, 2, 3, 4].map(|n| code(world, &AccessSubject::Site(site(n))));
    assert_eq!(sites(&world), ["OPEN", "OPEN", "SITE_CLOSED", "OPEN"]);
    // The older device goes: the newer one is licensed now, and everything is open.
    world.ok(Command::RetireDevice { id: device(1) });
    assert_eq!(sites(&world), ["OPEN"; 4]);
    // A term that ends closes all of them; a site with no devices anywhere in it has nothing to close.
    world.until("2036-06-01T00:00:00Z");
    assert_eq!(sites(&world), ["SITE_CLOSED", "OPEN", "SITE_CLOSED", "OPEN"]);
}

#[test]
fn k3_a_shortfall_that_waiting_renewals_cure_says_until_when() {
    let mut world = licensed();
    world.claim_camera(2, site(1));
    let renewal = key(2, &[(CAMERA, 5, 199)], 365, world.now);
    world.ok(Command::ClaimKey { key: Box::new(renewal), group: Some(group(1)), mode: ClaimMode::Renewal });
    world.until("2026-06-01T00:00:00Z");
    let opens_at = at("2027-01-01T12:00:00Z");
    for subject in [cam(1), AccessSubject::Site(site(1)), AccessSubject::Organization] {
        let answer = ask(&world, &subject);
        assert_eq!((answer.allowed, answer.until), (false, Some(opens_at)), "{subject}");
        assert!(answer.hint.unwrap().contains("2027-01-01T12:00:00Z"));
    }
    world.now = opens_at.saturating_sub(Seconds(1));
    world.wait(Seconds(0));
    assert_eq!(closed(&world).len(), 4);
    world.wait(Seconds(1));
    assert_eq!(closed(&world), Vec::<&str>::new());
}

#[test]
fn e8_the_print_of_what_is_closed_changes_with_the_answers_and_with_nothing_else() {
    let mut world = licensed();
    let denied = |world: &World| AccessBook::of(&world.organization).denied(world.now);
    let open = denied(&world);
    assert_eq!((open.count(), open.changes_at()), (0, Some(at("2027-01-01T12:00:00Z"))));
    world.ok(Command::RenameGroup { id: group(1), name: "Shops".to_string() });
    world.claim_key(key(3, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    assert_eq!(denied(&world).digest(), open.digest(), "another version, the same answers");
    world.until("2027-02-01T00:00:00Z");
    let locked = denied(&world);
    assert_ne!(locked.digest(), open.digest());
    let changes = locked.since(&open);
    let said: Vec<_> =
        changes.iter().map(|change| (change.subject().to_string(), change.view().allowed)).collect();
    assert_eq!(
        said,
        [("site:site_01010101010101010101010101010101".into(), false), ("device:dev-1".into(), false)]
    );
    assert_eq!(open.since(&locked).iter().filter(|change| change.view().allowed).count(), 2);
    assert_eq!(locked.since(&locked), []);
    let text = locked.digest().to_string();
    assert_eq!(text.parse(), Ok(locked.digest()));
    for bad in ["", "0", &text[1..], &text.to_uppercase(), "v1", "g0000000000000000000000000000000"] {
        assert!(bad == text || bad.parse::<DeniedDigest>().is_err(), "{bad}");
    }
    let after: Vec<_> =
        locked.after(Some(&AccessSubject::Site(site(1)))).map(|(s, _)| s.to_string()).collect();
    assert_eq!(after, ["device:dev-1"], "a page goes on after its cursor");
}

/// The answers about everything there is, without what only says how it is known.
fn answers(organization: &Organization, now: Timestamp) -> Vec<(AccessSubject, bool, Option<Timestamp>)> {
    let mut book = AccessBook::of(organization);
    let sites = organization.sites().map(|site| AccessSubject::Site(site.id));
    let devices = organization.devices().map(|device| AccessSubject::Device(device.id.clone()));
    let all: Vec<AccessSubject> =
        core::iter::once(AccessSubject::Organization).chain(sites).chain(devices).collect();
    all.into_iter()
        .map(|subject| {
            let answer = book.answer(&subject, None, now).unwrap();
            (subject, answer.allowed, answer.since)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn e8_answers_follow_the_tokens_and_hold_for_as_long_as_they_say(
        steps in history(25), ahead in 1..400_u64
    ) {
        let mut world = lived(&steps);
        world.wait(Seconds(0));
        let now = world.now;
        let mut book = AccessBook::of(&world.organization);
        let denied = book.denied(now);
        for (subject, allowed, _) in answers(&world.organization, now) {
            // Listed exactly if it is closed.
            let listed = denied.after(None).any(|(one, _)| *one == subject);
            prop_assert_eq!(listed, !allowed, "{}", &subject);
            // A device is closed exactly if its token locks or stops it.
            if let AccessSubject::Device(id) = &subject {
                let state = world.organization.wanted(id).unwrap().schedule.state_at(now);
                prop_assert_eq!(!allowed, state >= EnforcementState::ManagementLocked, "{}", &subject);
            }
        }
        // Nothing changes before the instant that is given.
        let later = now.saturating_add(Seconds::days(ahead));
        let until = denied.changes_at().unwrap_or(Timestamp::MAX).min(later);
        let still = until.saturating_sub(Seconds(1)).max(now);
        let then = world.organization.present(&Context { now: still, limits: world.limits }).unwrap();
        prop_assert_eq!(AccessBook::of(&then).denied(still).digest(), denied.digest());
        // What is said to open by itself does, and not before, unless something joins meanwhile.
        let waiting = world.organization.unassigned_keys().count() + world.organization.unassigned_sites().count();
        for (subject, answer) in answers(&world.organization, now)
            .into_iter()
            .filter(|_| waiting == 0)
            .filter_map(|(subject, ..)| Some((subject.clone(), book.answer(&subject, None, now)?)))
        {
            let Some(opens_at) = answer.until else { continue };
            for (at, allowed) in [(opens_at.saturating_sub(Seconds(1)), false), (opens_at, true)] {
                let then = world.organization.present(&Context { now: at, limits: world.limits }).unwrap();
                let answer = AccessBook::of(&then).answer(&subject, None, at).unwrap();
                prop_assert_eq!(answer.allowed, allowed, "{} at {}", &subject, at);
            }
        }
    }
}

/// What a book says of groups at once is what each device wants by itself, and a site closes with its devices.
fn said_of_each(organization: &Organization, now: Timestamp) {
    let mut book = AccessBook::of(organization);
    let denied = book.denied(now);
    let listed = |subject: &AccessSubject| denied.after(None).any(|(one, _)| one == subject);
    for device in organization.devices() {
        let wanted = organization.wanted(&device.id).unwrap();
        let subject = AccessSubject::Device(device.id.clone());
        let answer = book.answer(&subject, None, now).unwrap();
        let lock_at = wanted.schedule_while_frozen().lock_at;
        assert_eq!(answer.since.or(answer.closes_at), lock_at, "{subject}");
        assert_eq!(answer.group, wanted.group);
        assert!(answer.reasons.iter().all(|reason| wanted.findings.contains(&reason.finding)));
        assert_eq!(listed(&subject), lock_at.is_some_and(|at| at <= now), "{subject}");
        // Whoever waits for the next change is told of every lock that is ahead.
        if let Some(ahead) = lock_at.filter(|at| *at > now) {
            assert!(denied.changes_at().is_some_and(|at| at <= ahead), "{subject}");
        }
    }
    for site in organization.sites() {
        let own: Vec<_> = site.devices().filter(|id| organization.device(id).unwrap().consumes()).collect();
        let locks =
            own.iter().filter_map(|id| organization.wanted(id).unwrap().schedule_while_frozen().lock_at);
        if !own.is_empty() {
            let closed = locks.min().is_some_and(|at| at <= now);
            assert_eq!(listed(&AccessSubject::Site(site.id)), closed, "{}", site.id);
        }
    }
}

/// E6: devices of a paced group lock on different days.
#[test]
fn e8_a_pace_is_seen_device_by_device() {
    let mut world = licensed_cameras(10);
    pace(&mut world, 3);
    let (start, limits) = (world.now, world.limits);
    for day in 360..410 {
        let now = start.saturating_add(Seconds::days(day));
        said_of_each(&world.organization.present(&Context { now, limits }).unwrap(), now);
    }
}

/// E2: of two devices in one group one has clocks of its own.
#[test]
fn e8_what_a_site_carries_along_is_seen_device_by_device() {
    let mut world = spent();
    let (start, limits) = (world.now, world.limits);
    for day in 0..40 {
        let now = start.saturating_add(Seconds::days(day));
        said_of_each(&world.organization.present(&Context { now, limits }).unwrap(), now);
    }
    world.ok(Command::MoveDevice { id: device(1), site: site(3) });
    said_of_each(&world.organization, world.now);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// What is found for a whole group at once is what each of its devices wants, under a freeze of everything as well.
    #[test]
    fn e8_a_group_that_is_asked_as_a_whole_says_what_each_device_of_it_does(
        steps in history(25), frozen_days_ago in prop::option::of(0..60_u64), thawed in any::<bool>()
    ) {
        let world = lived(&steps);
        let now = world.now;
        let by = || super::safety::who("vera");
        let freeze = frozen_days_ago.map(|days| {
            let since = now.saturating_sub(Seconds::days(days));
            let at = now.saturating_sub(Seconds::days(days / 2));
            let until = at.saturating_add(Seconds::days(7));
            let thaw = thawed.then(|| Thaw { at, by: by(), until });
            Freeze { since, by: by(), past: Vec::new(), thaw }
        });
        let organization = world.organization.under(freeze.as_ref());
        said_of_each(&organization, now);
    }
}
