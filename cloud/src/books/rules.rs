//! Where the books meet the rules: every call of a decision or a replay goes through here.
//!
//! **Method.** A [`Change`] is decided on a [`View`] of the state and becomes a [`Plan`]: events by stream, the state
//! after them, and the names they take. The same function serves the writer and the preview. **Deliberately absent:**
//! writing anything.

use super::names::not_claimable;
use super::request::{BooksError, Change};
use crate::store::{Append, NewEvent, Reservation, ReservationAct, StreamId};
use coterm_shared::id::{KeyId, OrganizationId};
use coterm_shared::licensing::{
    self, Actor, Changed, Command, Context, Dated, Decision, HeldCommand, HeldOperation, IssuedKey, KeyStep,
    Limits, Organization, PartRequest, PartTarget, Preview, PreviewDigest, Refusal, RefusalCode, Refusals,
    SafetyCommand,
};
use coterm_shared::platform::code::CodeHash;
use coterm_shared::platform::{
    self, DatedPlatformEvent, IssuedPart, Platform, PlatformCommand, PlatformDecision, PlatformEvent,
};
use coterm_shared::time::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// A state to decide on.
pub(super) trait View {
    /// What spans organizations.
    fn platform(&self) -> Platform;
    /// One organization.
    fn organization(&self, id: OrganizationId) -> Option<Organization>;
}

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
    /// What is written of it, if it was decided beside the writer; its decisions then hold no events any more.
    pub(super) encoded: Option<Encoded>,
}

/// What is written of a plan that was decided beside the writer: a million events are kept once.
pub(super) struct Encoded {
    /// Its events as the store takes them.
    appends: Vec<Append>,
    /// The names they take and give back, each name's in order.
    names: Vec<Reservation>,
    /// What they touch, as far as notices go.
    changed: BTreeMap<OrganizationId, Changed>,
}

pub(super) fn missing(id: OrganizationId) -> Refusals {
    let message = format!("there is no organization {id}");
    Refusal::new(RefusalCode::OrganizationNotFound, message, "list the organizations to find its id").into()
}

/// The refusal of an approval of what nobody says to have looked at (domain E6).
fn unseen() -> Refusals {
    let message = "an approval names the digest of the preview that was looked at";
    let hint = "preview the approval, look at what it would do now, and approve with that digest";
    Refusal::new(RefusalCode::ApprovalUnseen, message, hint).into()
}

/// Whether durations keep doors open or fit a show into a minute (domain E1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The vendor's bounds hold.
    #[default]
    Production,
    /// The lower bounds are lifted. Only a command line can ask for it.
    Demonstration,
}

impl Mode {
    pub(super) fn limits(self, of: &Platform) -> Limits {
        match self {
            Mode::Production => *of.limits(),
            Mode::Demonstration => of.limits().demonstration(),
        }
    }
}

/// An organization as of now: what is due has happened, though no timer came by yet.
///
/// A defect of the rules is reported by the timer that meets it; those who read see what is stored.
pub(super) fn present(of: Organization, platform: &Platform, now: Timestamp, mode: Mode) -> Organization {
    match of.present(&Context { now, limits: mode.limits(platform) }) {
        Ok(present) => present.under(platform.freeze()),
        Err(error) => {
            tracing::error!(organization = %of.id(), %error, "what is due cannot be brought up to date");
            of
        }
    }
}

/// Decides a change on a state.
pub(super) fn plan(
    view: &impl View,
    change: &Change,
    now: Timestamp,
    mode: Mode,
) -> Result<Plan, BooksError> {
    let platform = view.platform();
    let context = Context { now, limits: mode.limits(&platform) };
    match change {
        Change::FoundOrganization(founding) => {
            let name = founding.name.clone();
            let command = PlatformCommand::RegisterOrganization { id: founding.id, name };
            let entry = decide_platform(&platform, &command, now)?;
            let decision = licensing::found(founding, &context)?;
            let organization = OrganizationPlan { id: founding.id, before: None, decision };
            let (organization, platform) = (Some(organization), Some(entry));
            Ok(Plan { organization, receiver: None, platform, command: None, encoded: None })
        }
        Change::Organization { id, command } => Plan::of(view, *id, command, &platform, &context),
        Change::ClaimKey { organization, code, group, mode } => {
            let key = platform.key_by_code_hash(&code.hash()).cloned().ok_or_else(not_claimable)?;
            let command = Command::ClaimKey { key: Box::new(key), group: *group, mode: *mode };
            Plan::of(view, *organization, &command, &platform, &context)
        }
        Change::SplitKey { organization, key, parts } => {
            let requests = Box::new(parts.each_ref().map(|part| part.request.clone()));
            let codes = parts.iter().map(|part| (part.request.id, part.code_hash)).collect();
            let command = HeldCommand::with_codes(Command::SplitKey { id: *key, parts: requests }, codes);
            Plan::of_held(view, *organization, command, &platform, &context)
        }
        Change::WithLicenses { organization, of, keys, proven_smallest, code_hashes } => {
            let command = Command::WithLicenses {
                of: Box::new(of.clone()),
                keys: keys.clone(),
                proven_smallest: *proven_smallest,
            };
            let command = HeldCommand::with_codes(command, code_hashes.clone());
            Plan::of_held(view, *organization, command, &platform, &context)
        }
        Change::TransferKey { organization, key, to } => {
            let command = Command::TransferKey { id: *key, to: *to };
            Plan::of(view, *organization, &command, &platform, &context)
        }
        Change::Platform(command) => Ok(Plan {
            organization: None,
            receiver: None,
            platform: Some(decide_platform(&platform, command, now)?),
            command: None,
            encoded: None,
        }),
        Change::Prepared(prepared) => prepared.plan(view),
    }
}

pub(super) fn on_organization(
    view: &impl View,
    id: OrganizationId,
    command: &Command,
    context: &Context,
) -> Result<OrganizationPlan, Refusals> {
    let before = view.organization(id).ok_or_else(|| missing(id))?;
    let decision = licensing::decide(&before, command, context)?;
    Ok(OrganizationPlan { id, before: Some(before), decision })
}

/// What a decision on one organization comes to elsewhere.
///
/// The parts of a split become issued keys as they stand in its event: the two logs cannot differ. A key that leaves
/// arrives.
fn beside(
    view: &impl View,
    organization: &OrganizationPlan,
    command: &HeldCommand,
    platform: &Platform,
    context: &Context,
) -> Result<(Option<OrganizationPlan>, Option<PlatformPlan>), BooksError> {
    let codes = &command.code_hashes;
    if let Command::WithLicenses { keys, .. } = &command.command {
        let entered = enter_parts(&organization.decision, keys, codes, platform.clone(), context.now)?;
        return Ok((None, entered));
    }
    if let Command::SplitKey { id, parts } = &command.command {
        return split(view, organization, (*id, parts, codes), platform, context);
    }
    let Command::TransferKey { id, to } = &command.command else { return Ok((None, None)) };
    Ok((Some(receive(view, &organization.decision, *id, *to, context)?), None))
}

fn split(
    view: &impl View,
    organization: &OrganizationPlan,
    (key, parts, codes): (KeyId, &[PartRequest; 2], &BTreeMap<KeyId, CodeHash>),
    platform: &Platform,
    context: &Context,
) -> Result<(Option<OrganizationPlan>, Option<PlatformPlan>), BooksError> {
    let [first, second] = parts;
    let entered = |part: &PartRequest| {
        let made = organization.decision.after.key(part.id).ok_or(BooksError::Internal)?;
        let code_hash = *codes.get(&part.id).ok_or(BooksError::Internal)?;
        Ok::<_, BooksError>(IssuedPart { key: made.issued.clone(), code_hash })
    };
    let entered = Box::new([entered(first)?, entered(second)?]);
    let platform =
        Some(decide_platform(platform, &PlatformCommand::SplitKey { key, parts: entered }, context.now)?);
    // The rules let one part leave at most.
    let leaving = parts.iter().find_map(|part| match part.target {
        PartTarget::Other(to) => Some((part.id, to)),
        PartTarget::Own { .. } => None,
    });
    let receiver =
        leaving.map(|(part, to)| receive(view, &organization.decision, part, to, context)).transpose()?;
    Ok((receiver, platform))
}

/// The parts of all keys that are split become issued keys as they stand in the events, as with a split alone.
fn enter_parts(
    decision: &Decision,
    keys: &[KeyStep],
    code_hashes: &BTreeMap<KeyId, CodeHash>,
    platform: Platform,
    now: Timestamp,
) -> Result<Option<PlatformPlan>, BooksError> {
    let before = platform.version();
    let mut entered = PlatformDecision { events: Vec::new(), after: platform };
    for step in keys {
        let (key, parts) = match step {
            KeyStep::Move { .. } => continue,
            KeyStep::Split { key, goes, stays } => (*key, [goes.id, stays.id]),
        };
        let parts = parts.map(|part| {
            let made = decision.after.key(part)?;
            Some(IssuedPart { key: made.issued.clone(), code_hash: *code_hashes.get(&part)? })
        });
        let [Some(first), Some(second)] = parts else { return Err(BooksError::Internal) };
        let command = PlatformCommand::SplitKey { key, parts: Box::new([first, second]) };
        let next = platform::decide(&entered.after, &command, now)?;
        entered.events.extend(next.events);
        entered.after = next.after;
    }
    let changes = !entered.events.is_empty();
    Ok(changes.then_some(PlatformPlan { before, decision: entered }))
}

/// What a key that leaves one organization comes to in another: it arrives unassigned, or in the one pool
/// of an organization without license groups (domain G1, K7, K8).
fn receive(
    view: &impl View,
    giver: &Decision,
    key: KeyId,
    to: OrganizationId,
    context: &Context,
) -> Result<OrganizationPlan, BooksError> {
    let given = giver.after.key(key).ok_or(BooksError::Internal)?;
    // Any time it stood queued goes with it, as with the parts of a split (domain K7), and so does what it has been
    // through: it is not claimed for the first time (E2), and waits no second time (K3).
    let past = given.past();
    let given = IssuedKey { ends_at: given.ends_at, ..given.issued.clone() };
    let received = Command::ReceiveKey { key: Box::new(given), past };
    Ok(on_organization(view, to, &received, context)?)
}

fn decide_platform(
    platform: &Platform,
    command: &PlatformCommand,
    now: Timestamp,
) -> Result<PlatformPlan, Refusals> {
    let decision = platform::decide(platform, command, now)?;
    Ok(PlatformPlan { before: platform.version(), decision })
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
    fn of(
        view: &impl View,
        id: OrganizationId,
        command: &Command,
        platform: &Platform,
        context: &Context,
    ) -> Result<Plan, BooksError> {
        Plan::of_held(view, id, HeldCommand::new(command.clone()), platform, context)
    }

    /// The same of a command with all that would be written down if it had to wait.
    fn of_held(
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

    /// The events as the store takes them, and the names they take and give back.
    pub(super) fn written(&mut self) -> Result<(Vec<Append>, Vec<Reservation>), BooksError> {
        match &mut self.encoded {
            Some(encoded) => Ok((std::mem::take(&mut encoded.appends), std::mem::take(&mut encoded.names))),
            None => Ok((self.encodings()?, self.reservations())),
        }
    }

    /// What it touches, as far as notices go.
    pub(super) fn add_changed(&self, changed: &mut BTreeMap<OrganizationId, Changed>) {
        for plan in self.organizations() {
            let changed = changed.entry(plan.id).or_default();
            plan.decision.events.iter().for_each(|dated| changed.add(&dated.event));
        }
        for (id, more) in self.encoded.iter().flat_map(|encoded| &encoded.changed) {
            changed.entry(*id).or_default().extend(more.clone());
        }
    }

    /// Encodes its events, so that the writer need not, and lets go of them. `names` are those it takes.
    pub(super) fn encode(&mut self, mut names: Vec<Reservation>) -> Result<(), BooksError> {
        let mut changed = BTreeMap::new();
        self.add_changed(&mut changed);
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
