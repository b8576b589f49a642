//! What people are told wherever a schedule is shown: what waits, what is frozen, who may change that, and what happens
//! meanwhile (domain E6).

use super::freeze::Freeze;
use super::held::{Actor, HeldOperation, HeldState};
use crate::id::{GroupId, HeldId};
use crate::licensing::device::Device;
use crate::licensing::organization::Organization;
use crate::time::Timestamp;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Serialize;

/// A held operation as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldView {
    /// Its id.
    pub id: HeldId,
    /// The name of the command.
    pub operation: String,
    /// Who asked for it.
    pub by: Actor,
    /// The groups whose devices it would put on the way to lock.
    pub groups: Vec<GroupId>,
    /// How many devices it would newly put on the way to lock.
    pub devices: u64,
    /// How many others operations of the day before had put there.
    pub lately: u64,
    /// Devices in use of the organization.
    pub of: u64,
    /// Since when it waits.
    pub held_at: Timestamp,
    /// When it is dropped if nobody decides.
    pub expires_at: Timestamp,
    /// Where it stands: `waiting`, `approved`, `rejected`, `withdrawn` or `expired`.
    pub state: &'static str,
    /// When that was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
    /// By whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<Actor>,
    /// Who may release it.
    pub released_by: &'static str,
    /// All of it in a sentence, and what happens meanwhile.
    pub sentence: String,
}

/// Who may release a held operation.
const RELEASED_BY: &str =
    "anybody of the vendor's staff but who asked for it, or whoever that credential made";

impl HeldView {
    /// The view of an operation.
    #[must_use]
    pub fn of(held: &HeldOperation) -> HeldView {
        let (decided_at, decided_by) = match &held.state {
            HeldState::Waiting => (None, None),
            HeldState::Expired { at } => (Some(*at), None),
            HeldState::Approved { at, by }
            | HeldState::Rejected { at, by }
            | HeldState::Withdrawn { at, by } => (Some(*at), Some(by.clone())),
        };
        HeldView {
            id: held.id,
            operation: held.operation.clone(),
            by: held.by.clone(),
            groups: held.groups.clone(),
            devices: held.devices,
            lately: held.lately,
            of: held.of,
            held_at: held.held_at,
            expires_at: held.expires_at,
            state: held.state.name(),
            decided_at,
            decided_by,
            released_by: RELEASED_BY,
            sentence: sentence(held),
        }
    }
}

fn sentence(held: &HeldOperation) -> String {
    let (id, what, who) = (held.id, &held.operation, &held.by.name);
    match &held.state {
        HeldState::Waiting => {
            let lately = match held.lately {
                0 => String::new(),
                lately => format!(", after {lately} of the day before"),
            };
            format!(
                "`{what}` asked for by {who} is HELD as {id}: it would put {} of {} devices on the way to lock{lately}. Until \
                 somebody of the vendor other than {who} approves it nothing of it happens and every schedule stays as it \
                 is; it is dropped at {}.",
                held.devices, held.of, held.expires_at
            )
        }
        HeldState::Approved { at, by } => {
            format!("`{what}` asked for by {who} was approved by {} and carried out at {at}.", by.name)
        }
        HeldState::Rejected { at, by } => {
            format!(
                "`{what}` asked for by {who} was rejected by {} at {at}; nothing of it happened.",
                by.name
            )
        }
        HeldState::Withdrawn { at, by } => {
            format!(
                "`{what}` asked for by {who} was withdrawn by {} at {at}; nothing of it happened.",
                by.name
            )
        }
        HeldState::Expired { at } => {
            format!(
                "`{what}` asked for by {who} was dropped at {at}: nobody had decided, and nothing of it happened."
            )
        }
    }
}

/// A freeze as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FreezeView {
    /// Since when.
    pub since: Timestamp,
    /// Who froze.
    pub by: Actor,
    /// Whether it is of everything, or of this organization alone.
    pub platform: bool,
    /// When what it holds back comes at the earliest, if it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What it means, in a sentence.
    pub sentence: String,
}

impl FreezeView {
    /// The view of a freeze, of the whole platform or of one organization.
    #[must_use]
    pub fn of(freeze: &Freeze, platform: bool) -> FreezeView {
        let what =
            if platform { "Enforcement of every organization" } else { "Enforcement of this organization" };
        let (since, by) = (freeze.since, &freeze.by.name);
        let sentence = match &freeze.thaw {
            None => format!(
                "{what} is FROZEN since {since} by {by}: no further lock and no stop is reached while it lasts, by devices \
                 that are CONNECTED; what was locked or stopped before stays so; a device that is not connected follows the \
                 token it holds. The vendor alone can end it."
            ),
            Some(thaw) => format!(
                "{what} was frozen from {since} to {}: what came due meanwhile comes at {}, not before.",
                thaw.at, thaw.until
            ),
        };
        let until = freeze.thaw.as_ref().map(|thaw| thaw.until);
        FreezeView { since, by: freeze.by.clone(), platform, until, sentence }
    }
}

/// What holds a schedule back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SafetyView {
    /// The freezes that hold anything back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frozen: Vec<FreezeView>,
    /// The operations that wait.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldView>,
    /// How many devices of the group lock a day at most, the newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockout_pace: Option<u64>,
    /// All of it in sentences.
    pub sentences: Vec<String>,
}

impl SafetyView {
    /// Of an organization, or of what concerns one of its groups; `None` if there is nothing to say.
    #[must_use]
    pub fn of(organization: &Organization, group: Option<GroupId>, now: Timestamp) -> Option<SafetyView> {
        let safety = &organization.safety;
        let says = |freeze: &&Freeze| freeze.thaw.as_ref().is_none_or(|thaw| thaw.until > now);
        let own = safety.freeze().filter(says).map(|freeze| FreezeView::of(freeze, false));
        let everybody = safety.platform_freeze().filter(says).map(|freeze| FreezeView::of(freeze, true));
        let frozen: Vec<FreezeView> = everybody.into_iter().chain(own).collect();
        let waiting = safety.waiting().filter(|held| group.is_none_or(|group| held.groups.contains(&group)));
        let held: Vec<HeldView> = waiting.map(HeldView::of).collect();
        let freezes = frozen.iter().map(|freeze| freeze.sentence.clone());
        let lockout_pace = match group.and_then(|group| organization.group(group)) {
            Some(group) if group.assessment.clocks.is_running() => {
                group.assessment.tranches.as_ref().map(|tranches| tranches.per_day)
            }
            Some(_) | None => organization.settings().lockout_pace,
        };
        let pace = lockout_pace.map(|devices| {
            format!(
                "Lockouts have a pace: at most {devices} devices of a group lock a day, the newest first; the days are in the \
                 tokens, and once a ladder has begun they stand."
            )
        });
        let said = freezes.chain(held.iter().map(|held| held.sentence.clone()));
        let sentences: Vec<String> = said.chain(pace).collect();
        (!sentences.is_empty()).then_some(SafetyView { frozen, held, lockout_pace, sentences })
    }

    /// Of what concerns a device; nothing for a retired one, which no freeze and no held operation is about.
    #[must_use]
    pub fn of_device(
        organization: &Organization,
        device: &Device,
        group: Option<GroupId>,
        now: Timestamp,
    ) -> Option<SafetyView> {
        let mut view = SafetyView::of(organization, group, now).filter(|_| device.is_active())?;
        if group.is_none() {
            view.held.clear();
            view.lockout_pace = None;
            view.sentences = view.frozen.iter().map(|freeze| freeze.sentence.clone()).collect();
        }
        (!view.sentences.is_empty()).then_some(view)
    }
}
