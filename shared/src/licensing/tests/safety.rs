//! What is held until the vendor approves it (domain E6).

use super::world::*;
use crate::id::{HeldId, SiteId};
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::Seconds;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

pub(super) fn who(id: &str) -> Actor {
    Actor { id: id.to_string(), name: id.to_string() }
}

/// Group 1 with `devices` cameras at site 1 and as many licenses, and one site more in group 2, which has none.
pub(super) fn full(devices: u32) -> World {
    let mut world = World::new("2027-01-01T00:00:00Z");
    let licensed = key(1, &[(ProductType::CAMERA, devices.into(), 199)], 365, world.now);
    world.claim_key(licensed, group(1));
    for n in 0..devices {
        world.claim_camera(n, site(1));
    }
    world.ok(Command::CreateGroup {
        id: group(2),
        name: "Bare".to_string(),
        settings: SettingsChange::default(),
    });
    world
}

pub(super) fn one_more(n: u32) -> Command {
    Command::ClaimDevice { device: new_device(n, ProductType::CAMERA, 1), site: site(1) }
}

fn held_of(world: &World) -> Vec<&HeldOperation> {
    world.organization.held_operations_after(None).collect()
}

impl World {
    fn lockout(&self, command: &Command) -> Lockout {
        decide(&self.organization, command, &self.context()).unwrap().lockout
    }

    /// As the shells do it: what needs approval is written down, everything else done.
    fn ask(&mut self, command: Command, by: &str) -> Option<HeldId> {
        let decision = decide(&self.organization, &command, &self.context()).unwrap();
        if !decision.lockout.needs_approval() {
            self.ok(command);
            return None;
        }
        Some(self.hold(command, by).1)
    }

    /// Writes down what needs approval.
    pub(super) fn hold(&mut self, command: Command, by: &str) -> (Decision, HeldId) {
        let decision = decide(&self.organization, &command, &self.context()).unwrap();
        let digest = PreviewDigest::of(&decision);
        let (decision, operation) = hold(&decision, &HeldCommand::new(command), &digest, &who(by)).unwrap();
        let mut replayed = self.organization.clone();
        for dated in &decision.events {
            let stored = serde_json::to_string(dated).unwrap();
            replayed.apply(&serde_json::from_str(&stored).unwrap()).unwrap();
        }
        assert_eq!(replayed, decision.after, "the events alone give the same organization");
        self.organization = decision.after.clone();
        (decision, operation.id)
    }

    pub(super) fn approve(&self, held: HeldId, by: &str) -> Command {
        let _ = self;
        Command::Safety(SafetyCommand::Approve { held, by: who(by), made_by: Vec::new() })
    }
}

/// E6: more than 50 devices and more than 20 % of the organization; a device claimed into it beside.
#[test]
fn e6_what_locks_too_many_needs_approval() {
    for (devices, settings, needs) in [
        (50, None, false),
        (51, None, true),
        (51, Some((20, 30)), true),
        (40, Some((20, 30)), true),
        (30, Some((20, 30)), false),
        (20, Some((0, 0)), true),
        // No organization lets through more than the vendor's bounds.
        (60, Some((90, 500)), true),
    ] {
        let mut world = full(devices);
        if let Some((percent, count)) = settings {
            world.limits = Limits { hold_share_max_percent: 100, hold_devices_max: 1_000, ..world.limits };
            let change = SettingsChange {
                hold_share_percent: Some(percent),
                hold_devices: Some(count),
                ..SettingsChange::default()
            };
            world.ok(Command::ChangeSettings(change));
            world.limits = Limits::default();
        }
        let lockout = world.lockout(&one_more(9_999));
        assert_eq!(lockout.devices, u64::from(devices), "the new one is no device in use yet");
        assert_eq!(lockout.needs_approval(), needs, "{devices} devices, {settings:?}");
    }
    // 60 of 400: more than 50, and less than a fifth.
    let mut world = full(340);
    world.ok(Command::CreateSite {
        id: site(5),
        name: "Far".to_string(),
        parent: None,
        group: Some(group(2)),
    });
    let licensed = key(2, &[(ProductType::CAMERA, 60, 199)], 365, world.now);
    world.claim_key(licensed, group(2));
    (1_000..1_060).for_each(|n| drop(world.claim_camera(n, site(5))));
    let command = Command::ClaimDevice { device: new_device(7_777, ProductType::CAMERA, 1), site: site(5) };
    let lockout = world.lockout(&command);
    assert_eq!((lockout.devices, lockout.of, lockout.needs_approval()), (60, 400, false));
}

/// E6: what makes nothing worse is never held, whatever was done before.
#[test]
fn e6_what_helps_is_never_held() {
    let mut world = full(60);
    let held = world.ask(one_more(100), "ada").unwrap();
    world.ok(world.approve(held, "bob"));
    assert_eq!(world.codes(1), ["OVER_CAPACITY"]);
    for command in [
        Command::ClaimKey {
            key: Box::new(key(7, &[(ProductType::CAMERA, 1, 199)], 365, world.now)),
            group: Some(group(1)),
            mode: ClaimMode::Increase,
        },
        Command::RetireDevice { id: device(100) },
        Command::RetireDevice { id: device(1) },
        Command::ReportStolen { id: device(2) },
        Command::ReplaceDevice { old: device(3), new: new_device(200, ProductType::CAMERA, 1) },
        one_more(101),
        Command::EnableGroups,
        Command::RenameGroup { id: group(2), name: "Other".to_string() },
        Command::ChangeSettings(SettingsChange {
            grace_secs: Some(Seconds::days(60)),
            ..SettingsChange::default()
        }),
    ] {
        let Ok(decision) = decide(&world.organization, &command, &world.context()) else { continue };
        assert_eq!((decision.lockout.devices, decision.lockout.needs_approval()), (0, false), "{command:?}");
    }
    // A term that ends as announced is no operation: whoever asks for whatever afterwards is not blamed for it.
    let mut world = full(60);
    let end = world.coterm(1).unwrap();
    world.now = end.saturating_add(Seconds(1));
    let site_beside =
        Command::CreateSite { id: site(6), name: "B".to_string(), parent: None, group: Some(group(1)) };
    assert_eq!(world.lockout(&site_beside).devices, 0);
    assert_eq!(world.lockout(&Command::Materialize).devices, 0);
}

/// E6: a date brought near is a lockout as well as a fault; one that moves by hours, or years ahead, is none.
#[test]
fn e6_a_date_brought_near_counts_and_a_far_one_does_not() {
    let short = |days: u32, units: u64, world: &World| Command::ClaimKey {
        key: Box::new(key(9, &[(ProductType::CAMERA, units, 199)], days, world.now)),
        group: Some(group(1)),
        mode: ClaimMode::Increase,
    };
    let world = full(60);
    assert_eq!(world.lockout(&short(300, 60, &world)).devices, 0, "still far");
    assert_eq!(world.lockout(&short(10, 600, &world)).devices, 60, "in 42 days instead of 365");
    assert_eq!(world.lockout(&short(10, 1, &world)).devices, 0);
}

/// E6, C3: whom a shortfall spares feels the end of the term alone; that it is brought near counts for them, also where the
/// shortfall of others locks the group's first devices before.
#[test]
fn e6_a_lockout_hidden_behind_an_earlier_one_of_the_other_cause_counts() {
    let mut world = full(60);
    let change = SettingsChange { scope: Some(Scope::Product), ..SettingsChange::default() };
    world.ok(Command::ChangeSettings(change));
    world.wait(Seconds(1));
    world.claim_camera(100, site(1));
    assert_eq!(world.codes(1), ["OVER_CAPACITY"]);
    let before = world.group(1).assessment.ahead;
    let doors = Command::ClaimKey {
        key: Box::new(key(9, &[(ProductType::DOOR, 600, 199)], 10, world.now)),
        group: Some(group(1)),
        mode: ClaimMode::Increase,
    };
    let decision = decide(&world.organization, &doors, &world.context()).unwrap();
    let after = decision.after.group(group(1)).unwrap().assessment.ahead;
    // Of both causes together, nothing is to be seen of it.
    assert_eq!((before.both().lock_at, before.both().stop_at), (after.both().lock_at, after.both().stop_at));
    assert_eq!(before.capacity, after.capacity);
    assert_eq!(decision.lockout.devices, 60, "all but the one that the shortfall locks before");
    assert!(decision.lockout.needs_approval());
}

/// E6: moves, conversions and keys taken away are measured on the devices they touch.
#[test]
fn e6_every_way_to_lock_many_is_measured() {
    let mut world = full(60);
    let moved = Command::MoveSite { id: site(1), to: SiteTarget::Group(group(2)) };
    assert_eq!(world.lockout(&moved).devices, 60);
    assert_eq!(world.lockout(&moved).groups, [group(2)].into());
    let unclaimed = Command::UnclaimKey { id: key(1, &[], 1, world.now).id };
    assert_eq!(world.lockout(&unclaimed).devices, 60);
    let elsewhere = Command::MoveKey { id: key(1, &[], 1, world.now).id, group: group(2), mode: None };
    assert!(world.lockout(&elsewhere).needs_approval());
    // By the product scope only the newest are short; the others have nothing to fear.
    let change = SettingsChange { scope: Some(Scope::Product), ..SettingsChange::default() };
    world.ok(Command::ChangeSettings(change));
    world.wait(Seconds(1));
    assert_eq!(world.lockout(&one_more(100)).devices, 0);
    let door = Command::ClaimDevice { device: new_device(101, ProductType::DOOR, 1), site: site(1) };
    assert_eq!(world.lockout(&door).devices, 0);
    let smaller = Command::SplitKey {
        id: key(1, &[], 1, world.now).id,
        parts: Box::new([(40, None), (20, Some(group(1)))].map(|(quantity, to)| PartRequest {
            id: key(20 + quantity as u32, &[], 1, world.now).id,
            code_tail: "ABCDE".to_string(),
            lines: [OrderLine { product: ProductType::CAMERA, quantity }].into(),
            target: PartTarget::Own { group: to, mode: None },
        })),
    };
    assert_eq!(world.lockout(&smaller).devices, 40, "the newest forty");
}

/// E6: a held operation changes no schedule and takes nothing; asked again it is the same one; approved it is done.
#[test]
fn e6_a_held_operation_waits_and_is_carried_out_when_approved() {
    let mut world = full(60);
    let before = world.organization.clone();
    let held = world.ask(one_more(100), "ada").unwrap();
    assert_eq!(world.ask(one_more(100), "eve"), Some(held), "the same is asked for once");
    assert_eq!(held_of(&world).len(), 1);
    assert!(world.organization.device(&device(100)).is_none());
    for known in before.devices() {
        assert_eq!(before.wanted(&known.id), world.organization.wanted(&known.id));
    }
    let operation = held_of(&world)[0].clone();
    assert_eq!((operation.devices, operation.of, operation.by.id.as_str()), (60, 60, "ada"));
    let view = HeldView::of(&operation);
    for said in ["HELD", "claim-device", "ada", "nothing of it happens", "60 of 60"] {
        assert!(view.sentence.contains(said), "{}", view.sentence);
    }
    assert_eq!(SafetyView::of(&world.organization, Some(group(1)), world.now).unwrap().held, [view]);
    assert_eq!(SafetyView::of(&world.organization, Some(group(2)), world.now), None);

    // Bad input: who asked, and whoever's credential he made, cannot approve.
    assert_eq!(world.refused(world.approve(held, "ada")), ["APPROVAL_BY_ASKER"]);
    let puppet =
        SafetyCommand::Approve { held, by: who("mallory"), made_by: [who("x").id, who("ada").id].into() };
    assert_eq!(world.refused(Command::Safety(puppet)), ["APPROVAL_BY_ASKER"]);
    let approved = world.ok(world.approve(held, "bob"));
    assert!(approved.lockout.approved && !approved.lockout.needs_approval());
    assert!(world.organization.device(&device(100)).is_some());
    assert_eq!(world.codes(1), ["OVER_CAPACITY"]);
    let names: Vec<&str> = approved.events.iter().map(|dated| dated.event.name()).collect();
    assert_eq!(names, ["device-claimed", "group-assessed", "held-operation-approved"]);
    assert_eq!(world.refused(world.approve(held, "bob")), ["HELD_OPERATION_CLOSED"]);
    assert_eq!(
        world.refused(world.approve(HeldId::from_bytes([9; 16]), "bob")),
        ["HELD_OPERATION_NOT_FOUND"]
    );
}

/// E6, K9: what is approved is what was looked at, and it is refused as it would be.
#[test]
fn e6_an_approval_is_of_what_it_would_do_now() {
    let mut world = full(60);
    let held = world.ask(one_more(100), "ada").unwrap();
    let digest = |world: &World, by: &str| {
        let decision = decide(&world.organization, &world.approve(held, by), &world.context()).unwrap();
        PreviewDigest::of(&decision)
    };
    let seen = digest(&world, "");
    assert_eq!(seen, digest(&world, "bob"), "shown to one, it holds for the other");
    world.ok(Command::CreateGroup {
        id: group(3),
        name: "C".to_string(),
        settings: SettingsChange::default(),
    });
    assert_eq!(seen, digest(&world, "bob"), "changes elsewhere do not count");
    world.ok(Command::RetireDevice { id: device(1) });
    assert_ne!(seen, digest(&world, "bob"));
    world.claim_camera(100, site(1));
    assert_eq!(world.refused(world.approve(held, "bob")), ["DEVICE_ALREADY_CLAIMED"]);
}

#[test]
fn e6_a_held_operation_is_withdrawn_rejected_or_dropped() {
    let mut world = full(60);
    let held = world.ask(one_more(100), "ada").unwrap();
    let withdraw = |by: &str, held| Command::Safety(SafetyCommand::Withdraw { held, by: who(by) });
    assert_eq!(world.refused(withdraw("bob", held)), ["WITHDRAWAL_BY_OTHER"]);
    world.ok(withdraw("ada", held));
    let second = world.ask(one_more(100), "ada").unwrap();
    assert_ne!(held, second);
    world.ok(Command::Safety(SafetyCommand::Reject { held: second, by: who("bob") }));
    let third = world.ask(one_more(100), "ada").unwrap();
    world.wait(Seconds::days(30));
    let states: Vec<&str> = held_of(&world).iter().map(|held| held.state.name()).collect();
    assert_eq!(states, ["withdrawn", "rejected", "expired"]);
    assert_eq!(world.refused(world.approve(third, "bob")), ["HELD_OPERATION_CLOSED"]);
    assert!(world.organization.device(&device(100)).is_none());
}

/// Evasion: the same in small portions is held as soon as the portions of a day are too many.
#[test]
fn e6_many_small_operations_of_a_day_are_one() {
    let sites: Vec<SiteId> = (10..30).map(site).collect();
    let mut world = full(100);
    for (n, id) in sites.iter().enumerate() {
        world.ok(Command::CreateSite { id: *id, name: n.to_string(), parent: None, group: Some(group(1)) });
        for m in 0..5 {
            world.ok(Command::MoveDevice { id: device(5 * n as u32 + m), site: *id });
        }
    }
    let away = |id: SiteId| Command::MoveSite { id, to: SiteTarget::Group(group(2)) };
    let done = sites.iter().take_while(|id| world.ask(away(**id), "ada").is_none()).count();
    assert_eq!(done, 10, "fifty devices, five at a time");
    assert_eq!(world.lockout(&away(sites[15])).lately, 50);
    world.now = world.now.saturating_add(Seconds::days(1)).saturating_add(Seconds::days(1));
    assert!(world.ask(away(sites[15]), "ada").is_none(), "another day");
}

#[test]
fn e6_no_more_wait_than_may() {
    let mut world = full(60);
    for n in 0..20 {
        world.ask(one_more(1_000 + n), "ada").unwrap();
    }
    let command = one_more(2_000);
    let decision = decide(&world.organization, &command, &world.context()).unwrap();
    let digest = PreviewDigest::of(&decision);
    let refused = hold(&decision, &HeldCommand::new(command), &digest, &who("ada")).unwrap_err();
    assert!(refused.has(RefusalCode::TooManyHeld));
}

/// K9, E6: a preview says that it would be held, first of all.
#[test]
fn e6_a_preview_says_that_it_would_be_held() {
    let world = full(60);
    let shown = preview(&world.organization, &one_more(100), &world.context()).unwrap();
    assert_eq!(shown.warnings[0].code, WarningCode::OperationHeld);
    assert_eq!(shown.held.unwrap().devices, 60);
    let harmless = Command::RenameSite { id: site(1), name: "H".to_string() };
    assert_eq!(preview(&world.organization, &harmless, &world.context()).unwrap().held, None);
}

/// A log in which an operation waits is read by programs that cannot read its command.
#[test]
fn e6_a_command_of_another_version_is_rejected_and_not_carried_out() {
    let mut world = full(60);
    let held = world.ask(one_more(100), "ada").unwrap();
    let text = serde_json::to_string(&world.organization).unwrap();
    let other = text.replace("{\\\"form\\\":1", "{\\\"form\\\":2");
    assert_ne!(text, other);
    world.organization = serde_json::from_str(&other).unwrap();
    assert_eq!(world.refused(world.approve(held, "bob")), ["HELD_OPERATION_UNREADABLE"]);
}

/// C3, E6: an older device that comes makes a newer one the one that a waiting renewal will not cover.
#[test]
fn e6_whom_a_renewal_no_longer_covers_is_counted() {
    let mut world = World::new("2027-01-01T00:00:00Z");
    world.ok(Command::ChangeSettings(SettingsChange { scope: Some(Scope::Product), ..Default::default() }));
    world.ok(Command::CreateSite { id: site(2), name: "Far".to_string(), parent: None, group: None });
    // No door will have a license: the group's own ladder stays what it is.
    let lines = [(ProductType::CAMERA, 3, 199), (ProductType::DOOR, 1, 199)];
    world.claim_key(key(1, &lines, 20, world.now), group(1));
    world.claim_device(9, site(1), ProductType::DOOR, 1);
    let renewal = key(2, &[(ProductType::CAMERA, 2, 199)], 20, world.now);
    world.ok(Command::ClaimKey { key: Box::new(renewal), group: Some(group(1)), mode: ClaimMode::Renewal });
    for (n, into) in [(0, site(2)), (1, site(1)), (2, site(1))] {
        world.claim_camera(n, into);
        world.wait(Seconds(1));
    }
    let lock = |world: &World, n| world.organization.wanted(&device(n)).unwrap().schedule.lock_at;
    let (before, lockout) =
        (lock(&world, 2), world.ok(Command::MoveDevice { id: device(0), site: site(1) }).lockout);
    assert!(lock(&world, 2) < before, "the newest is beyond the renewal");
    assert_eq!(lockout.devices, 2, "who came, and who is beyond it now");
}

/// C3, E6: a term that grows makes a waiting renewal begin too late for those whom it would have spared.
#[test]
fn e6_whom_a_renewal_covers_too_late_is_counted() {
    let mut world = World::new("2027-01-01T00:00:00Z");
    world.ok(Command::ChangeSettings(SettingsChange { scope: Some(Scope::Product), ..Default::default() }));
    world.claim_key(key(1, &[(ProductType::CAMERA, 1, 199)], 20, world.now), group(1));
    for n in [1, 2] {
        world.claim_device(n, site(1), ProductType::DOOR, 1);
        world.wait(Seconds(1));
    }
    let lines = [(ProductType::CAMERA, 1, 199), (ProductType::DOOR, 1, 199)];
    let renewal = key(2, &lines, 365, world.now);
    world.ok(Command::ClaimKey { key: Box::new(renewal), group: Some(group(1)), mode: ClaimMode::Renewal });
    let lock = |world: &World, n| world.organization.wanted(&device(n)).unwrap().schedule.lock_at;
    let before = (lock(&world, 1), lock(&world, 2));
    let longer = key(3, &[(ProductType::CAMERA, 1, 199)], 300, world.now);
    let claim = Command::ClaimKey { key: Box::new(longer), group: Some(group(1)), mode: ClaimMode::Increase };
    let lockout = world.ok(claim).lockout;
    assert!(lock(&world, 1) < before.0, "the older one is covered only after its lock");
    assert_eq!(lock(&world, 2), before.1, "the newer one was not covered before either");
    assert_eq!(lockout.devices, 1);
}
