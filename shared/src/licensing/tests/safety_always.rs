//! What holds of every accepted command in every test and random history of the books (domain E6).

use crate::licensing::*;
use crate::time::{Seconds, Timestamp};
use alloc::string::ToString;

/// Worlds with more devices are not counted through: the random histories stay below.
const COUNTED: u64 = 40;

/// Counts on paper: every device of the organization, before and after, none left out because its group looks the same.
/// The first number is without those that were in a group which locks day by day, stay in it, and whose ladder begins no
/// earlier: when somebody newer goes they have their turn days earlier, and were on the way before.
fn on_paper(decision: &Decision) -> (u64, u64) {
    let now = decision.at;
    let (near, tomorrow) = (now.saturating_add(Seconds::days(90)), now.saturating_add(Seconds::days(1)));
    let group_of = |of: &Organization, device: &Device| of.group_of_site(of.device(&device.id).unwrap().site);
    let mut counted = (0, 0);
    for device in decision.base.devices().filter(|device| device.is_active()) {
        let (before, after) =
            (decision.base.wanted(&device.id).unwrap(), decision.after.wanted(&device.id).unwrap());
        if after.is_farewell() {
            continue;
        }
        // What a freeze keeps from it comes tomorrow at the earliest.
        let (old, new) = (before.schedule_for(tomorrow), after.schedule_for(tomorrow));
        let begun = new.grace_begins_at.is_some_and(|at| at <= now);
        let worse = [(old.lock_at, new.lock_at), (old.stop_at, new.stop_at)].into_iter().any(|(old, new)| {
            let Some(new) = new.filter(|new| begun || *new <= near) else { return false };
            let old = old.unwrap_or(Timestamp::MAX);
            old > now && new.saturating_add(Seconds::days(1)) <= old
        });
        let group = decision.base.group_of_site(device.site).and_then(|id| decision.base.group(id));
        let stays = group.is_some_and(|group| {
            decision.base.is_paced(group) && group_of(&decision.after, device) == Some(group.id)
        });
        let moved_up = stays && old.grace_begins_at <= new.grace_begins_at;
        counted.0 += u64::from(worse && !moved_up);
        counted.1 += u64::from(worse);
    }
    counted
}

/// Holds a decision against the rule.
pub(super) fn check(decision: &Decision, command: &Command) {
    let base = &decision.base;
    if base.active_devices() + base.trial_devices() > COUNTED {
        return;
    }
    // What a freeze holds back is not on the way to lock, whatever the books say.
    if matches!(command, Command::Safety(SafetyCommand::Freeze { .. } | SafetyCommand::Unfreeze { .. })) {
        return;
    }
    let (least, most) = on_paper(decision);
    let devices = decision.lockout.devices;
    assert!(
        (least..=most).contains(&devices),
        "{devices} on the way to lock by {command:?}, {least} to {most} on paper"
    );
    // Whatever is done counts for a day, and what somebody approved does not.
    let lately = |of: &Organization| of.safety.lately(decision.at);
    let counted = if decision.lockout.approved { 0 } else { decision.lockout.devices };
    assert_eq!(lately(&decision.after), lately(base) + counted, "counted for the day, by {command:?}");
    assert!(
        decision.lockout.devices > 0 || !decision.lockout.needs_approval(),
        "held though nobody is worse off"
    );
    if decision.own_events().next().is_none() || matches!(command, Command::Safety(_)) {
        return;
    }
    // Whatever it is: held, it changes nothing for anybody, and reads back as what it was.
    let by = Actor { id: "ada".to_string(), name: "ada".to_string() };
    let held = HeldCommand::new(command.clone());
    let (waiting, operation) = hold(decision, &held, &PreviewDigest::of(decision), &by).unwrap();
    assert_eq!(operation.command(), Some(held));
    assert_eq!(waiting.events.len(), decision.due_events + 1);
    assert!(
        waiting.events.iter().skip(decision.due_events).all(|dated| dated.event.reservations().is_empty())
    );
    for device in base.devices() {
        assert_eq!(
            base.wanted(&device.id),
            waiting.after.wanted(&device.id),
            "a held operation changes no schedule"
        );
    }
}
