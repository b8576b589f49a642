//! What holds of every accepted command in every test and random history of the books (domain E6).

use crate::id::DeviceId;
use crate::licensing::*;
use crate::time::{Seconds, Timestamp};
use alloc::string::ToString;

/// Worlds with more devices are not counted through: the random histories stay below.
const COUNTED: u64 = 40;

/// Counts on paper: every device of the organization, before and after, none left out because its group looks the same.
fn on_paper(decision: &Decision) -> u64 {
    let now = decision.at;
    let near = now.saturating_add(Seconds::days(90));
    let worse = |id: &DeviceId| {
        let (old, new) = (decision.base.wanted(id).unwrap(), decision.after.wanted(id).unwrap());
        if new.is_farewell() {
            return false;
        }
        let begun = new.schedule.grace_begins_at.is_some_and(|at| at <= now);
        let (old, new) = (old.schedule, new.schedule);
        [(old.lock_at, new.lock_at), (old.stop_at, new.stop_at)].into_iter().any(|(old, new)| {
            let Some(new) = new.filter(|new| begun || *new <= near) else { return false };
            let old = old.unwrap_or(Timestamp::MAX);
            old > now && new.saturating_add(Seconds::days(1)) <= old
        })
    };
    decision.base.devices().filter(|device| device.is_active() && worse(&device.id)).count() as u64
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
    assert_eq!(decision.lockout.devices, on_paper(decision), "on the way to lock by {command:?}");
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
