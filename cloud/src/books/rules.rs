//! Where the books meet the rules: every call of a decision goes through here.
//!
//! **Method.** A [`Change`] is decided on a [`View`] of the state and becomes a [`Plan`]: events by stream, the state
//! after them, and the names they take. The same function serves the writer and the preview. **Deliberately absent:**
//! writing anything.

use super::names::not_claimable;
use super::plan::{OrganizationPlan, Plan, PlatformPlan};
use super::request::{BooksError, Change};
use coterm_shared::id::{KeyId, OrganizationId};
use coterm_shared::licensing::{
    self, Command, Context, Decision, HeldCommand, IssuedKey, KeyStep, Limits, Organization, PartRequest,
    PartTarget, Refusal, RefusalCode, Refusals,
};
use coterm_shared::platform::code::CodeHash;
use coterm_shared::platform::{self, IssuedPart, Platform, PlatformCommand, PlatformDecision};
use coterm_shared::time::Timestamp;
use std::collections::BTreeMap;

/// A state to decide on.
pub(super) trait View {
    /// What spans organizations.
    fn platform(&self) -> &Platform;
    /// One organization.
    fn organization(&self, id: OrganizationId) -> Option<Organization>;
}

fn missing(id: OrganizationId) -> Refusals {
    let message = format!("there is no organization {id}");
    Refusal::new(RefusalCode::OrganizationNotFound, message, "list the organizations to find its id").into()
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
    let present = of.present(&Context { now, limits: mode.limits(platform) }).unwrap_or_else(|error| {
        tracing::error!(organization = %of.id(), %error, "what is due cannot be brought up to date");
        of
    });
    present.under(platform.freeze())
}

/// Decides a change on a state.
pub(super) fn plan(
    view: &impl View,
    change: &Change,
    now: Timestamp,
    mode: Mode,
) -> Result<Plan, BooksError> {
    let platform = view.platform();
    let context = Context { now, limits: mode.limits(platform) };
    match change {
        Change::FoundOrganization(founding) => {
            let name = founding.name.clone();
            let command = PlatformCommand::RegisterOrganization { id: founding.id, name };
            let entry = decide_platform(platform, &command, now)?;
            let decision = licensing::found(founding, &context)?;
            let organization = OrganizationPlan { id: founding.id, before: None, decision };
            let (organization, platform) = (Some(organization), Some(entry));
            Ok(Plan { organization, receiver: None, platform, command: None, encoded: None })
        }
        Change::Organization { id, command } => Plan::of(view, *id, command, platform, &context),
        Change::ClaimKey { organization, code, group, mode } => {
            let key = platform.key_by_code_hash(&code.hash()).cloned().ok_or_else(not_claimable)?;
            let command = Command::ClaimKey { key: Box::new(key), group: *group, mode: *mode };
            Plan::of(view, *organization, &command, platform, &context)
        }
        Change::SplitKey { organization, key, parts } => {
            let requests = Box::new(parts.each_ref().map(|part| part.request.clone()));
            let codes = parts.iter().map(|part| (part.request.id, part.code_hash)).collect();
            let command = HeldCommand::with_codes(Command::SplitKey { id: *key, parts: requests }, codes);
            Plan::of_held(view, *organization, command, platform, &context)
        }
        Change::WithLicenses { organization, of, keys, proven_smallest, code_hashes } => {
            let command = Command::WithLicenses {
                of: Box::new(of.clone()),
                keys: keys.clone(),
                proven_smallest: *proven_smallest,
            };
            let command = HeldCommand::with_codes(command, code_hashes.clone());
            Plan::of_held(view, *organization, command, platform, &context)
        }
        Change::TransferKey { organization, key, to } => {
            let command = Command::TransferKey { id: *key, to: *to };
            Plan::of(view, *organization, &command, platform, &context)
        }
        Change::Platform(command) => Ok(Plan {
            organization: None,
            receiver: None,
            platform: Some(decide_platform(platform, command, now)?),
            command: None,
            encoded: None,
        }),
        Change::Prepared(prepared) => prepared.plan(view),
    }
}

/// An organization as decisions find it: under a freeze of everything, which is not in its own books. Whom an operation
/// newly puts on the way to lock depends on whom a freeze has kept from it (domain E6).
pub(super) fn to_decide_on(view: &impl View, id: OrganizationId) -> Result<Organization, Refusals> {
    let own = view.organization(id).ok_or_else(|| missing(id))?;
    Ok(own.under(view.platform().freeze()))
}

pub(super) fn on_organization(
    view: &impl View,
    id: OrganizationId,
    command: &Command,
    context: &Context,
) -> Result<OrganizationPlan, Refusals> {
    let before = to_decide_on(view, id)?;
    let decision = licensing::decide(&before, command, context)?;
    Ok(OrganizationPlan { id, before: Some(before), decision })
}

/// What a decision on one organization comes to elsewhere.
///
/// The parts of a split become issued keys as they stand in its event: the two logs cannot differ. A key that leaves
/// arrives.
pub(super) fn beside(
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
