//! What a decided change comes to: its events by stream, the state after them, the names they take.
//!
//! **Deliberately absent:** deciding, which is the rules', and writing, which is the store's.

use super::request::BooksError;
use super::rules::{View, beside, on_organization};
use crate::store::{Append, NewEvent, Reservation, ReservationAct, StreamId};
use coterm_shared::id::OrganizationId;
use coterm_shared::licensing::{
    self, Actor, Changed, Command, Context, Dated, Decision, HeldCommand, HeldOperation, IssuedKey,
    Organization, Preview, PreviewDigest, Refusal, RefusalCode, Refusals, SafetyCommand,
};
use coterm_shared::platform::{DatedPlatformEvent, Platform, PlatformDecision, PlatformEvent};
use coterm_shared::time::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// What a change comes to, for one organization.
pub(super) struct OrganizationPlan {
    /// The organization.
    pub(super) id: OrganizationId,
    /// It before the change; `None` if the change starts its log.
    pub(super) before: Option<Organization>,
    /// The decision.
    pub(super) decision: Decision,
}

/// What a change comes to, for the platform.
pub(super) struct PlatformPlan {
    /// Version before the change.
    pub(super) before: u64,
    /// The decision.
    pub(super) decision: PlatformDecision,
}

/// What a change comes to.
pub(super) struct Plan {
    /// For the organization it is about.
    pub(super) organization: Option<OrganizationPlan>,
    /// For the organization that gets a key from it (domain K8).
    pub(super) receiver: Option<OrganizationPlan>,
    /// For the platform.
    pub(super) platform: Option<PlatformPlan>,
    /// What is written down if it has to wait for the vendor (domain E6).
    pub(super) command: Option<HeldCommand>,
    /// What is written of it, if it was decided beside the writer; its decisions then hold no events any more: a million
    /// are kept once.
    pub(super) encoded: Option<Encoded>,
}

/// What is written of a plan.
pub(super) struct Encoded {
    /// Its events as the store takes them.
    pub(super) appends: Vec<Append>,
    /// The names they take and give back, each name's in order.
    pub(super) names: Vec<Reservation>,
    /// What they touch, as far as notices go.
    pub(super) changed: BTreeMap<OrganizationId, Changed>,
}

/// The refusal of an approval of what nobody says to have looked at (domain E6).
fn unseen() -> Refusals {
    let message = "an approval names the digest of the preview that was looked at";
    let hint = "preview the approval, look at what it would do now, and approve with that digest";
    Refusal::new(RefusalCode::ApprovalUnseen, message, hint).into()
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, BooksError> {
    serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an event cannot be encoded");
        BooksError::Internal
    })
}

fn version_of(before: Option<&Organization>) -> u64 {
    before.map_or(0, Organization::version)
}

/// Events as the store takes them; `None` if there are none.
fn append<E: Serialize>(
    stream: StreamId,
    expected_version: u64,
    events: impl ExactSizeIterator<Item = (Timestamp, E)>,
) -> Result<Option<Append>, BooksError> {
    let mut taken = Vec::with_capacity(events.len());
    for (at, event) in events {
        taken.push(NewEvent { at, event: encode(&event)? });
    }
    Ok((!taken.is_empty()).then_some(Append { stream, expected_version, events: taken }))
}

impl Plan {
    /// What a command to one organization comes to.
    pub(super) fn of(
        view: &impl View,
        id: OrganizationId,
        command: &Command,
        platform: &Platform,
        context: &Context,
    ) -> Result<Plan, BooksError> {
        Plan::of_held(view, id, HeldCommand::new(command.clone()), platform, context)
    }

    /// The same of a command with all that would be written down if it had to wait.
    pub(super) fn of_held(
        view: &impl View,
        id: OrganizationId,
        command: HeldCommand,
        platform: &Platform,
        context: &Context,
    ) -> Result<Plan, BooksError> {
        let organization = on_organization(view, id, &command.command, context)?;
        // What is approved is carried out as what it was asked for as.
        let approved = if let Command::Safety(SafetyCommand::Approve { held, .. }) = &command.command {
            let before = organization.before.as_ref();
            before.and_then(|before| before.held_operation(*held)).and_then(HeldOperation::command)
        } else {
            None
        };
        let carried_out = approved.as_ref().unwrap_or(&command);
        let (receiver, platform) = beside(view, &organization, carried_out, platform, context)?;
        Ok(Plan {
            organization: Some(organization),
            receiver,
            platform,
            command: Some(command),
            encoded: None,
        })
    }

    /// Whether it freezes everything or ends that: every device of every organization wants a look (domain E6).
    pub(super) fn freezes(&self) -> bool {
        let events = self.platform.iter().flat_map(|plan| &plan.decision.events);
        events.map(|dated| &dated.event).any(|event| match event {
            PlatformEvent::EverythingFrozen { .. } | PlatformEvent::EverythingUnfrozen { .. } => true,
            PlatformEvent::OrganizationRegistered { .. }
            | PlatformEvent::PriceSet { .. }
            | PlatformEvent::ModelPut { .. }
            | PlatformEvent::KeyIssued { .. }
            | PlatformEvent::KeySplit { .. }
            | PlatformEvent::LimitsSet { .. } => false,
        })
    }

    /// The key it issues, if it does.
    pub(super) fn issued_key(&self) -> Option<&IssuedKey> {
        let plan = self.platform.as_ref()?;
        plan.decision.events.iter().find_map(|dated| match &dated.event {
            PlatformEvent::KeyIssued { key, .. } => Some(&**key),
            PlatformEvent::OrganizationRegistered { .. }
            | PlatformEvent::PriceSet { .. }
            | PlatformEvent::ModelPut { .. }
            | PlatformEvent::KeySplit { .. }
            | PlatformEvent::LimitsSet { .. }
            | PlatformEvent::EverythingFrozen { .. }
            | PlatformEvent::EverythingUnfrozen { .. } => None,
        })
    }

    /// Whether it has to wait until somebody of the vendor approves it (domain E6): by what it does to either organization.
    pub(super) fn needs_approval(&self) -> bool {
        let approved = self.organization.as_ref().is_some_and(|plan| plan.decision.lockout.approved);
        !approved && self.organizations().any(|plan| plan.decision.lockout.needs_approval())
    }

    /// What it comes to if it waits: the organization that was asked writes it down, and nobody else does anything.
    pub(super) fn held(&self, by: &Actor) -> Result<(Plan, HeldOperation), BooksError> {
        let (Some(plan), Some(command)) = (&self.organization, &self.command) else {
            return Err(BooksError::Internal);
        };
        let mut decision = plan.decision.clone();
        let mut digest = PreviewDigest::of(&decision);
        if let Some(receiver) = &self.receiver {
            digest = digest.with(&PreviewDigest::of(&receiver.decision));
            if receiver.decision.lockout.needs_approval() {
                // Its groups are not of this organization.
                let lockout = receiver.decision.lockout.clone();
                decision.lockout = licensing::Lockout { groups: Default::default(), ..lockout };
            }
        }
        let (decision, operation) = licensing::hold(&decision, command, &digest, by)?;
        let organization = OrganizationPlan { id: plan.id, before: plan.before.clone(), decision };
        let held = Plan {
            organization: Some(organization),
            receiver: None,
            platform: None,
            command: None,
            encoded: None,
        };
        Ok((held, operation))
    }

    /// Every organization it changes.
    pub(super) fn organizations(&self) -> impl Iterator<Item = &OrganizationPlan> {
        self.organization.iter().chain(&self.receiver)
    }

    /// What is written of it.
    pub(super) fn written(&mut self) -> Result<Encoded, BooksError> {
        match self.encoded.take() {
            Some(encoded) => Ok(encoded),
            None => Ok(Encoded {
                appends: self.encodings()?,
                names: self.reservations(),
                changed: self.changed(),
            }),
        }
    }

    /// What it touches, as far as notices go.
    fn changed(&self) -> BTreeMap<OrganizationId, Changed> {
        let mut all = BTreeMap::<OrganizationId, Changed>::new();
        for plan in self.organizations() {
            let mut changed = Changed::default();
            plan.decision.events.iter().for_each(|dated| changed.add(&dated.event));
            if !changed.is_empty() {
                all.entry(plan.id).or_default().extend(changed);
            }
        }
        all
    }

    /// Encodes its events, so that the writer need not, and lets go of them. `names` are those it takes.
    pub(super) fn encode(&mut self, mut names: Vec<Reservation>) -> Result<(), BooksError> {
        let changed = self.changed();
        // Side by side in the index; what is done with one name stays in order.
        names.sort_by(|one, other| (&one.kind, &one.value).cmp(&(&other.kind, &other.value)));
        let mut appends = Vec::with_capacity(2);
        let organizations = [&mut self.organization, &mut self.receiver].into_iter().flatten();
        for OrganizationPlan { id, before, decision } in organizations {
            let events = std::mem::take(&mut decision.events).into_iter();
            let events = events.map(|Dated { at, event }| (at, event));
            appends.extend(append((*id).into(), version_of(before.as_ref()), events)?);
        }
        if let Some(PlatformPlan { before, decision }) = &mut self.platform {
            let events = std::mem::take(&mut decision.events).into_iter();
            let events = events.map(|DatedPlatformEvent { at, event }| (at, event));
            appends.extend(append(StreamId::PLATFORM, *before, events)?);
        }
        self.encoded = Some(Encoded { appends, names, changed });
        Ok(())
    }

    fn encodings(&self) -> Result<Vec<Append>, BooksError> {
        let mut appends = Vec::with_capacity(2);
        for OrganizationPlan { id, before, decision } in self.organizations() {
            let events = decision.events.iter().map(|dated| (dated.at, &dated.event));
            appends.extend(append((*id).into(), version_of(before.as_ref()), events)?);
        }
        if let Some(PlatformPlan { before, decision }) = &self.platform {
            let events = decision.events.iter().map(|dated| (dated.at, &dated.event));
            appends.extend(append(StreamId::PLATFORM, *before, events)?);
        }
        Ok(appends)
    }

    /// The names its events take and give back.
    pub(super) fn reservations(&self) -> Vec<Reservation> {
        let names = self.organizations().flat_map(|plan| {
            let events = plan.decision.events.iter();
            events.flat_map(|dated| dated.event.reservations()).map(|reservation| (plan.id, reservation))
        });
        names
            .map(|(id, reservation)| {
                let (act, reserved) = match reservation {
                    licensing::Reservation::Take(reserved) => (ReservationAct::Reserve, reserved),
                    licensing::Reservation::Release(reserved) => (ReservationAct::Release, reserved),
                };
                let kind = reserved.kind.as_str().to_owned();
                Reservation { stream: id.into(), kind, value: reserved.value, act }
            })
            .collect()
    }

    /// Refuses a change on anything else than what its preview showed; what has no preview with a digest was never shown.
    pub(super) fn check_preview(&self, shown: Option<&PreviewDigest>) -> Result<(), Refusals> {
        match (&self.organization, shown) {
            (Some(plan), Some(shown)) => {
                let receiver = self.receiver.as_ref().map(|plan| &plan.decision);
                licensing::check_digest_of(&plan.decision, receiver, shown)
            }
            (None, Some(_)) => Err(licensing::another_change()),
            (Some(plan), None) if plan.decision.lockout.approved => Err(unseen()),
            (Some(_) | None, None) => Ok(()),
        }
    }

    /// What it would do to its organization, and to the one that gets a key from it; `None` if it founds one or touches
    /// the platform alone.
    pub(super) fn preview(&self, now: Timestamp) -> Option<Preview> {
        let plan = self.organization.as_ref()?;
        let preview = licensing::compare(plan.before.as_ref()?, &plan.decision, now);
        let receiver = self.receiver.as_ref().and_then(|plan| Some((plan.before.as_ref()?, &plan.decision)));
        Some(match receiver {
            Some((before, decision)) => preview.with_receiver(before, decision),
            None => preview,
        })
    }
}
