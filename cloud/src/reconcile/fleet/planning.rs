//! What a device of the fleet needs, and what that begins: a quarantine, a halt, a request to show a token.

use super::Fleet;
use super::entry::issued_version;
use crate::reconcile::digest::Goal;
use crate::reconcile::plan::{Action, Held, Policy, is_between, plan};
use crate::reconcile::status::{Cause, Quarantine};
use coterm_shared::id::DeviceId;
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::TokenVersion;

/// The least and the longest time between two requests to show a token: a device answers one a minute.
const ASK_AFTER: Seconds = Seconds(60);
const ASK_SELDOM: Seconds = Seconds(3_600);

/// What a device needs, and what began with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reconcile) struct Planned {
    /// What is to be done.
    pub(in crate::reconcile) action: Action,
    /// A quarantine or halt begins.
    pub(in crate::reconcile) begins: bool,
    /// The device is to be sent its last token, so that it refuses it and shows what it holds instead.
    pub(in crate::reconcile) ask_proof: bool,
}

impl From<Action> for Planned {
    fn from(action: Action) -> Planned {
        Planned { action, begins: false, ask_proof: false }
    }
}

impl Fleet {
    /// What a device needs, given what its token should express.
    ///
    /// A quarantine or halt is taken in at once.
    pub(in crate::reconcile) fn plan(
        &mut self,
        device: &DeviceId,
        goal: Option<Goal>,
        policy: &Policy,
        now: Timestamp,
    ) -> Planned {
        let Some(entry) = self.devices.get_mut(device) else { return Action::Nothing.into() };
        let settled = entry.organization.and_then(|organization| self.suspicions.settled(organization));
        let facts = entry.facts(device, goal, settled, policy, now);
        // On the embedded broker nothing arrives before it has spoken.
        let reachable = facts.reachable && (facts.spoke || policy.retained);
        let action = plan(&facts, policy, now);
        entry.farewell = facts.farewell;
        match action {
            Action::Quarantine => {
                let begins = entry.quarantine.is_none();
                let held = entry.held;
                entry.asked = None;
                // What is newer than its claim it would take and not refuse.
                let refuses = issued_version(entry).is_some_and(|issued| held >= Held::Version(issued));
                let ask_proof = refuses && reachable && entry.ask_at.is_none_or(|at| now >= at);
                if ask_proof {
                    // Whoever takes its claim back and makes it again is not asked anew.
                    let times = 1_u64.checked_shl(entry.asks).unwrap_or(u64::MAX);
                    let pause = Seconds(ASK_AFTER.0.saturating_mul(times)).min(ASK_SELDOM);
                    entry.ask_at = Some(now.saturating_add(pause));
                    entry.asks = entry.asks.saturating_add(1);
                }
                let since = entry.quarantine.map_or(now, |quarantine| quarantine.since);
                entry.quarantine = Some(Quarantine { since, held, asked: entry.asks });
                if let Some(organization) = entry.organization {
                    self.suspicions.quarantine(organization, device, Some(since));
                }
                Planned { action, begins, ask_proof }
            }
            Action::Halt => {
                entry.asked = None;
                let Some(version) = entry.proven else { return Action::Nothing.into() };
                // It showed what it claims, so it is believed.
                entry.quarantine = None;
                if let Some(organization) = entry.organization {
                    self.suspicions.quarantine(organization, device, None);
                }
                let cause = match issued_version(entry) == Some(version) {
                    true => Cause::Contradiction,
                    false => Cause::ForeignToken,
                };
                let begins = self.halt(device, version, cause, now);
                Planned { action, begins, ask_proof: false }
            }
            Action::Publish if entry.in_flight.is_some() && entry.in_flight == issued_version(entry) => {
                Action::Nothing.into()
            }
            Action::Nothing | Action::Publish => {
                let believable = match (entry.held, entry.issued) {
                    (Held::Version(held), Some(issued)) => held <= issued.version,
                    (Held::Unknown | Held::Nothing | Held::Version(_), _) => true,
                };
                if believable
                    && entry.quarantine.take().is_some()
                    && let Some(organization) = entry.organization
                {
                    self.suspicions.quarantine(organization, device, None);
                }
                action.into()
            }
            Action::Issue(_) => action.into(),
        }
    }

    /// The version of what was issued to a device, if it lacks that and would take it: nothing is said of what it ought to
    /// have instead.
    pub(in crate::reconcile) fn lacks(
        &self,
        device: &DeviceId,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<TokenVersion> {
        let entry = self.devices.get(device)?;
        let issued = issued_version(entry).filter(|issued| issued.epoch == policy.epoch)?;
        let settled = entry.organization.and_then(|organization| self.suspicions.settled(organization));
        let facts = entry.facts(device, None, settled, policy, now);
        if facts.issued.is_some_and(|issued| is_between(&facts, &issued, policy)) {
            return None;
        }
        match plan(&facts, policy, now) {
            Action::Publish if entry.in_flight != Some(issued) => Some(issued),
            Action::Publish | Action::Nothing | Action::Issue(_) | Action::Quarantine | Action::Halt => None,
        }
    }
}
