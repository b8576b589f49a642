//! What a command would do, by the very code that does it (domain K9).

mod changes;
mod proposal;
mod warnings;

use super::command::Command;
use super::compliance::{Figures, Units};
use super::coterm::ExactInstant;
use super::decide::{Context, decide};
use super::digest::PreviewDigest;
use super::draft::Decision;
use super::group::Group;
use super::ladders::{EarlyDevices, Ladders};
use super::organization::Organization;
use super::planner::NoPlan;
use super::refusal::Refusals;
use super::safety::{Lockout, SafetyView};
use crate::enforcement::{EnforcementState, Schedule};
use crate::finding::Finding;
use crate::id::{GroupId, OrganizationId};
use crate::time::Timestamp;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
pub use changes::{DeviceMove, KeyChange, SiteMove};
pub(super) use changes::{devices as device_moves, sites as site_moves};
pub(super) use proposal::order_lines;
pub use proposal::{Proposal, ProposedStep};
use serde::Serialize;
pub use warnings::{Warning, WarningCode};

/// A group at one side of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupState {
    /// Its co-termination instant, floored to the second.
    pub coterm_at: Option<Timestamp>,
    /// The exact instant, in seconds since 1970.
    pub coterm_exact_secs: Option<ExactInstant>,
    /// Units granted.
    pub capacity: Units,
    /// Units in use.
    pub in_use: Units,
    /// Whether nothing is wrong.
    pub compliant: bool,
    /// All present findings.
    pub findings: Vec<Finding>,
    /// Where the ladder of the device that is farthest on it stands.
    pub state: EnforcementState,
    /// The ladder ahead: at every step, the earliest of any of its active devices (domain E2, E5).
    pub schedule: Schedule,
    /// The devices that are ahead of the rest, if any are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early: Option<EarlyDevices>,
    /// The units that waiting renewals will grant, if any wait (domain K3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewed_capacity: Option<Units>,
    /// The co-termination instant that waiting renewals will give.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewed_until: Option<Timestamp>,
}

impl GroupState {
    /// The state of a group of `organization` at `now`.
    #[must_use]
    pub fn of(organization: &Organization, group: &Group, now: Timestamp) -> GroupState {
        GroupState::with(organization, group, Ladders::of(organization, group), now)
    }

    /// The same with the ladders of its devices.
    pub(super) fn with(
        organization: &Organization,
        group: &Group,
        ladders: Ladders,
        now: Timestamp,
    ) -> GroupState {
        let schedule = ladders.schedule();
        let Figures { term, capacity, in_use, renewal, .. } = &group.figures;
        GroupState {
            coterm_at: term.coterm_at(),
            coterm_exact_secs: term.coterm(),
            capacity: capacity.clone(),
            in_use: in_use.clone(),
            compliant: group.assessment.is_compliant(),
            findings: group.assessment.findings.clone(),
            state: organization.in_force(schedule, now).state_at(now),
            schedule,
            early: ladders.early,
            renewed_capacity: renewal.as_ref().map(|renewal| renewal.capacity.clone()),
            renewed_until: renewal
                .as_ref()
                .zip(term.coterm_at())
                .and_then(|(renewal, ends_at)| renewal.coterm_if_activated_at(ends_at))
                .map(|coterm| coterm.floor()),
        }
    }
}

/// A group that a change touches, before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupChange {
    /// The group.
    pub group: GroupId,
    /// Its name afterwards.
    pub name: String,
    /// Before; `None` if the change creates it.
    pub before: Option<GroupState>,
    /// After; `None` if the change deletes it.
    pub after: Option<GroupState>,
}

/// What a command would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// The version of the organization this was computed on.
    pub version: u64,
    /// When it was computed.
    pub at: Timestamp,
    /// Every group touched.
    pub groups: Vec<GroupChange>,
    /// Every key that would be put elsewhere.
    pub keys: Vec<KeyChange>,
    /// Every site that would be put elsewhere.
    pub sites: Vec<SiteMove>,
    /// Every device that would come, go or be put elsewhere by itself.
    pub devices: Vec<DeviceMove>,
    /// What a person should know first, in words.
    pub warnings: Vec<Warning>,
    /// What it does to the devices in use, if that needs approval: it would be held, and none of this would happen (domain
    /// E6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Lockout>,
    /// What holds schedules back already (domain E6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safety: Option<SafetyView>,
    /// The licenses that should go along with what moves, if those of the new group do not suffice (domain G4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Proposal>,
    /// Why no licenses can go along although some are missing (domain G4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_proposal: Option<NoPlan>,
    /// Of all this was computed from: the change can be applied on condition that it is still so.
    pub digest: PreviewDigest,
    /// What would be written to the log.
    pub events: Vec<String>,
    /// The other side, if a key goes to another organization (domain K7, K8).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiver: Option<Box<ReceiverPreview>>,
}

/// What a command to one organization would do in another, which gets a key from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiverPreview {
    /// The organization.
    pub organization: OrganizationId,
    /// Its name.
    pub organization_name: String,
    /// What would happen there; where its key arrives and when its countdown ends is among the keys.
    #[serde(flatten)]
    pub preview: Preview,
}

impl Preview {
    /// The preview with the side of the organization that gets a key from it.
    #[must_use]
    pub fn with_receiver(self, before: &Organization, decision: &Decision) -> Preview {
        let preview = compare(before, decision, self.at);
        let digest = self.digest.with(&preview.digest);
        let receiver = ReceiverPreview {
            organization: before.id(),
            organization_name: before.name().to_string(),
            preview,
        };
        Preview { digest, receiver: Some(Box::new(receiver)), ..self }
    }
}

/// Says what `command` would do.
///
/// # Errors
/// Exactly the refusals the command itself would meet.
pub fn preview(
    organization: &Organization,
    command: &Command,
    context: &Context,
) -> Result<Preview, Refusals> {
    decide(organization, command, context).map(|decision| compare(organization, &decision, context.now))
}

/// Compares an organization with a decision made on it.
#[must_use]
pub fn compare(before: &Organization, decision: &Decision, at: Timestamp) -> Preview {
    let (proposal, no_proposal) = match proposal::proposal(decision, at) {
        Ok(proposal) => (proposal, None),
        Err(why) => (None, Some(why)),
    };
    Preview {
        version: before.version(),
        at,
        groups: group_changes(before, decision, at),
        keys: changes::keys(decision),
        sites: changes::sites(decision),
        devices: changes::devices(decision),
        warnings: warnings::warnings(decision, at),
        held: Some(&decision.lockout).filter(|lockout| lockout.needs_approval()).cloned(),
        safety: SafetyView::of(before, None, at),
        proposal,
        no_proposal,
        digest: PreviewDigest::of(decision),
        events: decision.events.iter().map(|dated| dated.event.name().to_string()).collect(),
        receiver: None,
    }
}

/// Every group that a decision touches, before and after.
#[must_use]
pub fn group_changes(before: &Organization, decision: &Decision, at: Timestamp) -> Vec<GroupChange> {
    let after = &decision.after;
    // Those that are judged anew, and those the command names although nothing changes their figures: a group that is
    // created is one of them.
    let named: BTreeSet<GroupId> =
        decision.touched.groups.iter().copied().chain(changes::groups(decision)).collect();
    let groups = named.iter().filter_map(|id| {
        let (old, new) = (before.group(*id), after.group(*id));
        let name = new.or(old)?.name.to_string();
        Some(GroupChange {
            group: *id,
            name,
            before: old.map(|group| GroupState::of(before, group, at)),
            after: new.map(|group| GroupState::of(after, group, at)),
        })
    });
    groups.collect()
}
