//! Freezing enforcement (domain E6).

use super::world::*;
use crate::enforcement::EnforcementState::{Grace, ManagementLocked, Stopped};
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::string::ToString;
use alloc::vec::Vec;
use proptest::prelude::*;

const LEASE: Seconds = Seconds::days(7);

fn vendor() -> Actor {
    Actor { id: "tok_1".to_string(), name: "Vera".to_string() }
}

fn freeze() -> Command {
    Command::Safety(SafetyCommand::Freeze { by: vendor() })
}

fn unfreeze() -> Command {
    Command::Safety(SafetyCommand::Unfreeze { by: vendor(), lease_secs: LEASE, announced: None })
}

/// A group without a license and with one camera: in grace from the first day, locked after 30 days, stopped after 90.
fn unlicensed() -> World {
    let mut world = World::new("2027-01-01T00:00:00Z");
    world.claim_camera(1, site(1));
    world
}

fn wanted(world: &World) -> Wanted {
    world.organization.wanted(&device(1)).unwrap()
}

/// The schedule of a token issued now.
fn issued(world: &World) -> crate::enforcement::Schedule {
    wanted(world).schedule_for(world.now.saturating_add(LEASE))
}

/// E6: renewed in time, no further step is reached while it lasts; and not one lease more than that is given.
#[test]
fn e6_no_step_is_reached_while_a_connected_device_is_renewed() {
    let mut world = unlicensed();
    world.wait(Seconds::days(25));
    let announced = wanted(&world).schedule;
    world.ok(freeze());
    for _ in 0..60 {
        let token = issued(&world);
        let lease_ends_at = world.now.saturating_add(LEASE);
        assert_eq!(token.state_at(lease_ends_at.saturating_sub(Seconds(1))), Grace);
        assert!(token.is_ordered());
        assert!(
            token.lock_at >= announced.lock_at && token.lock_at <= Some(lease_ends_at).max(announced.lock_at)
        );
        // Renewed at half of its lease.
        world.wait(Seconds(LEASE.0 / 2));
    }
    assert!(Some(world.now) > announced.stop_at);
    assert_eq!(wanted(&world).schedule, announced, "the books go on");
    assert_eq!(wanted(&world).schedule_at(world.now).state_at(world.now), Grace);
    let shown =
        view::DeviceView::of(&world.organization, world.organization.device(&device(1)).unwrap(), world.now);
    assert_eq!(shown.enforcement, Some(Grace));
    let shown = view::GroupView::of(&world.organization, world.group(1), world.now);
    assert_eq!(shown.state.state, Grace);
    let said = shown.safety.unwrap().sentences.concat();
    assert!(said.contains("FROZEN") && said.contains("CONNECTED") && said.contains("Vera"), "{said}");
}

/// E6, E3: when it ends nothing that was announced moves earlier, and what came due comes one lease later.
#[test]
fn e6_what_came_due_comes_one_lease_after_the_end() {
    let mut world = unlicensed();
    world.wait(Seconds::days(25));
    world.ok(freeze());
    world.wait(Seconds::days(40));
    let last = issued(&world);
    world.ok(unfreeze());
    let until = world.now.saturating_add(LEASE);
    let after = wanted(&world);
    assert_eq!((after.schedule.lock_at, after.frozen_since), (Some(until), None));
    assert!(
        after.schedule.lock_at >= last.lock_at
            && after.schedule.stop_at >= last.stop_at.min(after.schedule.stop_at)
    );
    assert_eq!(issued(&world), after.schedule, "absolute again: no renewal moves it");
    world.wait(LEASE);
    assert_eq!(wanted(&world).schedule, after.schedule);
    assert_eq!(wanted(&world).schedule.state_at(world.now), ManagementLocked);
    assert_eq!(world.refused(unfreeze()), ["NOT_FROZEN"]);
}

/// E6: it stops what would happen; it is no pardon for what has.
#[test]
fn e6_what_is_locked_stays_locked_and_does_not_stop() {
    let mut world = unlicensed();
    world.wait(Seconds::days(40));
    assert_eq!(wanted(&world).schedule.state_at(world.now), ManagementLocked);
    world.ok(freeze());
    assert_eq!(world.refused(freeze()), ["ALREADY_FROZEN"]);
    world.wait(Seconds::days(100));
    assert_eq!(issued(&world).state_at(world.now), ManagementLocked);
    assert_eq!(issued(&world).lock_at, wanted(&world).schedule.lock_at);
    world.ok(unfreeze());
    world.wait(LEASE);
    assert_eq!(wanted(&world).schedule.state_at(world.now), Stopped);
}

/// E6: frozen again before what was put off has come, it has still not come.
#[test]
fn e6_a_second_freeze_holds_back_what_the_first_did() {
    let mut world = unlicensed();
    world.ok(freeze());
    world.wait(Seconds::days(40));
    world.ok(unfreeze());
    world.wait(Seconds::days(1));
    world.ok(freeze());
    world.wait(Seconds::days(40));
    assert_eq!(issued(&world).state_at(world.now), Grace);
}

/// E6: a freeze of everything holds for every organization, beside its own.
#[test]
fn e6_a_freeze_of_everything_is_of_each() {
    let mut world = unlicensed();
    let all = Freeze { since: world.now, by: vendor(), past: Vec::new(), thaw: None };
    world.wait(Seconds::days(40));
    let under = world.organization.clone().under(Some(&all));
    let token = under.wanted(&device(1)).unwrap().schedule_for(world.now.saturating_add(LEASE));
    assert_eq!(token.state_at(world.now), Grace);
    let thaw = Thaw { at: world.now, by: vendor(), until: world.now.saturating_add(LEASE) };
    let over = Freeze { thaw: Some(thaw), ..all };
    let under = world.organization.clone().under(Some(&over));
    assert_eq!(under.wanted(&device(1)).unwrap().schedule.lock_at, Some(world.now.saturating_add(LEASE)));
    assert!(!serde_json::to_string(&under).unwrap().contains("Vera"), "it is not in these books");
}

/// G10: what nobody's mistake has locked is not unlocked by a freeze.
#[test]
fn e6_a_retired_device_is_told_all_the_same() {
    let mut world = unlicensed();
    world.ok(freeze());
    world.wait(Seconds::days(1));
    world.ok(Command::RetireDevice { id: device(1) });
    assert_eq!(wanted(&world).frozen_since, None);
    assert_eq!(issued(&world).state_at(world.now), ManagementLocked);
}

/// E5: a device whose next step is beyond its lease needs no other token.
#[test]
fn e6_far_dates_are_left_alone() {
    let mut world = World::new("2027-01-01T00:00:00Z");
    world.claim_key(key(1, &[(ProductType::CAMERA, 1, 199)], 365, world.now), group(1));
    world.claim_camera(1, site(1));
    let before: Option<Timestamp> = wanted(&world).schedule.lock_at;
    let decision = world.ok(freeze());
    assert!(decision.touched.everything);
    assert_eq!(issued(&world).lock_at, before);
}

/// E6: a lease that was shortened meanwhile brings nothing nearer than a token of that time said.
#[test]
fn e6_a_shortened_lease_brings_nothing_that_was_announced_nearer() {
    let mut world = unlicensed();
    world.wait(Seconds::days(25));
    world.ok(freeze());
    world.wait(Seconds::days(40));
    let announced = world.now.saturating_add(Seconds::days(20));
    let shortened = |announced| {
        Command::Safety(SafetyCommand::Unfreeze { by: vendor(), lease_secs: Seconds(3_600), announced })
    };
    let short = decide(&world.organization, &shortened(None), &world.context()).unwrap();
    let pinned = decide(&world.organization, &shortened(Some(announced)), &world.context()).unwrap();
    assert_eq!(PreviewDigest::of(&short), PreviewDigest::of(&pinned), "tokens go on being issued");
    world.ok(shortened(Some(announced)));
    assert_eq!(wanted(&world).schedule.lock_at, Some(announced));
    // Frozen again before that, and ended with a short lease: what the first freeze announced stands.
    world.wait(Seconds::days(1));
    world.ok(freeze());
    assert_eq!(wanted(&world).schedule_for(world.now).lock_at, Some(announced));
    world.ok(shortened(None));
    assert_eq!(wanted(&world).schedule.lock_at, Some(announced));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Wait(u64),
    Issue(u64),
    Freeze { all: bool },
    Thaw { all: bool, lease: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lease = || prop_oneof![Just(3_600_u64), 3_600..30 * 86_400_u64];
    let step = prop_oneof![
        4 => (0..12 * 86_400_u64).prop_map(Step::Wait),
        4 => lease().prop_map(Step::Issue),
        2 => any::<bool>().prop_map(|all| Step::Freeze { all }),
        2 => (any::<bool>(), lease()).prop_map(|(all, lease)| Step::Thaw { all, lease }),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// E6, E3: neither a freeze nor its end, of the organization or of everything, brings a lock or a stop that is ahead
    /// nearer than any token or screen said before, whatever the leases were.
    #[test]
    fn e6_no_freeze_and_no_end_of_one_brings_a_date_nearer(steps in steps()) {
        let mut world = unlicensed();
        let mut everything: Option<Freeze> = None;
        // What tokens said, and since when the newest was issued and until when it holds.
        let mut said: Vec<crate::enforcement::Schedule> = Vec::new();
        let mut newest: Option<(Timestamp, Timestamp)> = None;
        for step in steps {
            // As the shell knows it: of the newest token, if it was issued under the freeze.
            let announced = |since: Timestamp| newest.filter(|(at, _)| *at >= since).map(|(_, until)| until);
            match step {
                Step::Wait(secs) => drop(world.wait(Seconds(secs))),
                Step::Issue(lease) => {
                    let wanted = wanted(&world);
                    let ends_at = world.now.saturating_add(Seconds(lease));
                    let before = newest.filter(|_| wanted.frozen_since.is_some()).map(|(_, until)| until);
                    let ends_at = before.map_or(ends_at, |before| before.max(ends_at));
                    let token = wanted.schedule_for(ends_at);
                    prop_assert!(token.is_ordered());
                    newest = Some((world.now, ends_at));
                    said.push(token);
                }
                Step::Freeze { all: false } => {
                    if !world.organization.freeze().is_some_and(Freeze::is_on) {
                        world.ok(freeze());
                    }
                }
                Step::Freeze { all: true } => {
                    if !everything.as_ref().is_some_and(Freeze::is_on) {
                        everything = Some(Freeze::after(everything.as_ref(), world.now, vendor()));
                    }
                }
                Step::Thaw { all: false, lease } => {
                    if let Some(on) = world.organization.freeze().filter(|freeze| freeze.is_on()) {
                        let announced = announced(on.since);
                        let lease_secs = Seconds(lease);
                        world.ok(Command::Safety(SafetyCommand::Unfreeze { by: vendor(), lease_secs, announced }));
                    }
                }
                Step::Thaw { all: true, lease } => {
                    if let Some(on) = everything.as_mut().filter(|freeze| freeze.is_on()) {
                        let until = on.put_off_until(world.now, Seconds(lease), announced(on.since));
                        on.thaw = Some(Thaw { at: world.now, by: vendor(), until });
                    }
                }
            }
            world.organization = world.organization.under(everything.as_ref());
            let wanted = wanted(&world);
            if wanted.frozen_since.is_none() {
                said.push(wanted.schedule);
            }
            let Some(last) = said.last() else { continue };
            for earlier in &said {
                for (old, new) in [(earlier.lock_at, last.lock_at), (earlier.stop_at, last.stop_at)] {
                    let (old, new) = (old.unwrap(), new.unwrap());
                    prop_assert!(old <= world.now || new >= old, "{old} was said, {new} at {}", world.now);
                }
            }
        }
    }
}
