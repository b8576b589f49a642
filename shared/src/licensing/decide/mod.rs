//! What a command does to an organization: the events, or all reasons against it.
//!
//! Pure: the same organization, command and instant give the same answer, so a preview is a decision that is not
//! stored. Every command first lets happen what is due (domain: terms end at their own instant, whoever looks first).

mod along;
mod devices;
mod enrolment;
mod groups;
mod import;
mod keys;
mod safety;
mod sites;
mod split;

use super::command::{ClaimMode, Command, FoundOrganization};
use super::draft::{Decision, Draft, Touched};
use super::event::{Dated, Event};
use super::license_key::KeyPast;
use super::name::Name;
use super::organization::Organization;
use super::refusal::{Findings, Refusal, RefusalCode, Refusals};
use super::safety::Lockout;
use super::settings::Limits;
use crate::id::{GroupId, SiteId};
use crate::time::Timestamp;
use alloc::format;
use alloc::vec::Vec;

/// What a decision depends on besides the organization and the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The present instant.
    pub now: Timestamp,
    /// The vendor's bounds.
    pub limits: Limits,
}

/// Founds an organization.
///
/// # Errors
/// All refusals found: its name, its settings.
pub fn found(command: &FoundOrganization, context: &Context) -> Result<Decision, Refusals> {
    let mut findings = Findings::default();
    let name = findings.keep(Name::parse(&command.name));
    let limits = &context.limits;
    let settings = groups::changed_settings(&command.settings, &limits.defaults(), limits, &mut findings);
    let default_group_name = findings.keep(Name::parse("Group 1"));
    let (name, default_group_name) = findings.finish_with(name.zip(default_group_name))?;
    let event = Event::OrganizationFounded {
        organization: command.id,
        name,
        settings,
        default_group: command.default_group,
        default_group_name,
        license_groups: command.license_groups,
    };
    let dated = Dated { at: context.now, event };
    let after = Organization::open(&dated).map_err(|error| {
        Refusals::from(Refusal::new(RefusalCode::InternalContradiction, format!("{error}"), "report this"))
    })?;
    let touched = Touched { groups: core::iter::once(command.default_group).collect(), ..Touched::default() };
    // Nothing was there before: its first state stands for it.
    let base = after.clone();
    Ok(Decision {
        at: context.now,
        events: Vec::from([dated]),
        after,
        touched,
        base,
        due_events: 0,
        limits: *limits,
        // Founding has no preview with a digest.
        asked: None,
        lockout: Lockout::default(),
    })
}

/// Decides a command.
///
/// # Errors
/// All refusals found; nothing is changed then.
pub fn decide(
    organization: &Organization,
    command: &Command,
    context: &Context,
) -> Result<Decision, Refusals> {
    let mut draft = Draft::new(organization, &context.limits, context.now);
    draft.materialize()?;
    dispatch(&mut draft, command)?;
    draft.finish(command)
}

/// Drafts a command.
fn dispatch(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refusals> {
    match command {
        Command::Materialize => {}
        Command::EnableGroups => groups::enable_groups(draft)?,
        Command::ChangeSettings(change) => groups::change_settings(draft, change)?,
        Command::CreateGroup { id, name, settings } => groups::create_group(draft, *id, name, settings)?,
        Command::CreateGroupFromSite { id, site, name, settings } => {
            groups::create_group_from_site(draft, *id, *site, name.as_deref(), settings)?;
        }
        Command::RenameGroup { id, name } => groups::rename_group(draft, *id, name)?,
        Command::ChangeGroupSettings { id, settings } => {
            groups::change_group_settings(draft, *id, settings)?;
        }
        Command::DeleteGroup { id } => groups::delete_group(draft, *id)?,
        Command::CreateSite { id, name, parent, group } => {
            sites::create_site(draft, *id, name, *parent, *group)?;
        }
        Command::RenameSite { id, name } => sites::rename_site(draft, *id, name)?,
        Command::MoveSite { id, to } => sites::move_site(draft, *id, *to)?,
        Command::DeleteSite { id } => sites::delete_site(draft, *id)?,
        Command::ClaimDevice { device, site } => devices::claim_device(draft, device, *site)?,
        Command::MoveDevice { id, site } => devices::move_device(draft, id, *site)?,
        Command::ConvertTrial { id } => devices::convert_trial(draft, id)?,
        Command::ReplaceDevice { old, new } => devices::replace_device(draft, old, new)?,
        Command::ConfigureDoors { id, doors } => devices::configure_doors(draft, id, *doors)?,
        Command::RetireDevice { id } => devices::retire_device(draft, id)?,
        Command::ReportStolen { id } => devices::report_stolen(draft, id)?,
        Command::ClaimKey { key, group, mode } => {
            keys::claim_key(draft, key, *group, *mode, KeyPast::default())?;
        }
        Command::ReceiveKey { key, past } => {
            keys::claim_key(draft, key, None, ClaimMode::Increase, *past)?;
        }
        Command::MoveKey { id, group, mode } => keys::move_key(draft, *id, *group, *mode)?,
        Command::UnclaimKey { id } => keys::unclaim_key(draft, *id)?,
        Command::SplitKey { id, parts } => split::split_key(draft, *id, parts)?,
        Command::TransferKey { id, to } => keys::transfer_key(draft, *id, *to)?,
        Command::WithLicenses { of, keys, proven_smallest } => {
            along::with_licenses(draft, of, keys, *proven_smallest)?;
        }
        Command::Import(lines) => import::import(draft, lines)?,
        Command::Enrolment(command) => enrolment::decide(draft, command)?,
        Command::Safety(command) => safety::decide(draft, command)?,
    }
    Ok(())
}

impl Organization {
    /// The organization as of an instant: with everything that is due by then, whether or not a timer came by yet.
    ///
    /// What is due happens at its own instant and before anything else, so the version of the answer is the one the
    /// log will have. Costs nothing if nothing is due.
    ///
    /// # Errors
    /// A defect of the rules, which [`Command::Materialize`] would meet too.
    pub fn present(&self, context: &Context) -> Result<Organization, Refusals> {
        match self.next_due() {
            Some(due_at) if due_at <= context.now => {
                decide(self, &Command::Materialize, context).map(|decision| decision.after)
            }
            Some(_) | None => Ok(self.clone()),
        }
    }
}

fn free_group_name(organization: &Organization, name: &str) -> Result<Name, Refusal> {
    free(organization, group_name(name)?)
}

fn free(organization: &Organization, name: Name) -> Result<Name, Refusal> {
    if organization.has_group_named(&name) { Err(name_taken("group", &name)) } else { Ok(name) }
}

/// A name of a group; what screens say of things in no group, and what looks like an id, is none.
fn group_name(name: &str) -> Result<Name, Refusal> {
    let name = Name::parse(name)?;
    if name.folded() == "unassigned" || name.as_str().parse::<GroupId>().is_ok() {
        return Err(Refusal::new(
            RefusalCode::NameInvalid,
            format!("a group named `{name}` would be mistaken for something else"),
            "choose another name: this one is what a key or site in no group is shown with, or an id",
        )
        .at("name"));
    }
    Ok(name)
}

fn free_site_name(organization: &Organization, parent: Option<SiteId>, name: &str) -> Result<Name, Refusal> {
    let name = Name::parse(name)?;
    if organization.has_site_named(parent, &name) { Err(name_taken("site", &name)) } else { Ok(name) }
}

fn name_taken(what: &str, name: &Name) -> Refusal {
    Refusal::new(
        RefusalCode::NameTaken,
        format!("there is already a {what} named `{name}` here"),
        "choose another name; upper and lower case count as the same",
    )
    .at("name")
}

fn id_taken(what: &str) -> Refusal {
    Refusal::new(RefusalCode::IdTaken, format!("this {what} id is already used"), "use a fresh UUIDv7")
        .at("id")
}

fn group_not_found(id: GroupId) -> Refusal {
    Refusal::new(
        RefusalCode::GroupNotFound,
        format!("there is no license group {id} in this organization"),
        "list the groups to find its id",
    )
}

fn site_not_found(id: SiteId) -> Refusal {
    Refusal::new(
        RefusalCode::SiteNotFound,
        format!("there is no site {id} in this organization"),
        "list the sites to find its id",
    )
}
