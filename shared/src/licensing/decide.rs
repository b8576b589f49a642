//! What a command does to an organization: the events, or all reasons against it.
//!
//! Pure: the same organization, command and instant give the same answer, so a preview is a decision that is not
//! stored. Every command first lets happen what is due (domain: terms end at their own instant, whoever looks first).

use super::command::{Command, FoundOrganization, SettingsChange};
use super::compliance::Occasion;
use super::draft::{Decision, Draft, Touched};
use super::event::{Dated, Event};
use super::license_key::{GROUP_MAX_LINES, IssuedKey, QUANTITY_MAX};
use super::name::{ModelName, Name, Zone};
use super::organization::{Organization, SITE_MAX_DEPTH};
use super::refusal::{Findings, Refusal, RefusalCode, Refusals};
use super::settings::{Limits, Overrides, Settings};
use crate::id::{DeviceId, GroupId, SiteId};
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
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
    let overrides = parse_settings(&command.settings, &context.limits, &mut findings);
    let default_group_name = findings.keep(Name::parse("Group 1"));
    let (name, default_group_name) = findings.finish_with(name.zip(default_group_name))?;
    let event = Event::OrganizationFounded {
        organization: command.id,
        name,
        settings: overrides.over(&Settings::default()),
        default_group: command.default_group,
        default_group_name,
    };
    let dated = Dated { at: context.now, event };
    let after = Organization::open(&dated).map_err(|error| {
        Refusals::from(Refusal::new(RefusalCode::InternalContradiction, format!("{error}"), "report this"))
    })?;
    let groups = core::iter::once(command.default_group).collect();
    Ok(Decision { events: Vec::from([dated]), after, touched: Touched { groups, ..Touched::default() } })
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
    match command {
        Command::Materialize => {}
        Command::ChangeSettings(change) => change_settings(&mut draft, change)?,
        Command::CreateGroup { id, name, settings } => create_group(&mut draft, *id, name, settings)?,
        Command::RenameGroup { id, name } => rename_group(&mut draft, *id, name)?,
        Command::ChangeGroupSettings { id, settings } => change_group_settings(&mut draft, *id, settings)?,
        Command::DeleteGroup { id } => delete_group(&mut draft, *id)?,
        Command::CreateSite { id, name, parent, group } => {
            create_site(&mut draft, *id, name, *parent, *group)?;
        }
        Command::RenameSite { id, name } => rename_site(&mut draft, *id, name)?,
        Command::DeleteSite { id } => delete_site(&mut draft, *id)?,
        Command::ClaimDevice { id, site, model, product, units } => {
            claim_device(&mut draft, id, *site, model, *product, *units)?;
        }
        Command::RetireDevice { id } => retire_device(&mut draft, id)?,
        Command::ClaimKey { key, group } => claim_key(&mut draft, key, *group)?,
    }
    draft.finish()
}

fn parse_settings(change: &SettingsChange, limits: &Limits, findings: &mut Findings) -> Overrides {
    let grace = |secs: Seconds| limits.check_grace(secs);
    let stop = |secs: Seconds| limits.check_stop_after_lock(secs);
    Overrides {
        grace_secs: change.grace_secs.and_then(|secs| findings.keep(grace(secs))),
        stop_after_lock_secs: change.stop_after_lock_secs.and_then(|secs| findings.keep(stop(secs))),
        time_zone: change.time_zone.as_deref().and_then(|zone| findings.keep(Zone::parse(zone))),
    }
}

fn asks_for_something(change: &SettingsChange, findings: &mut Findings) {
    if *change == SettingsChange::default() {
        findings.push(Refusal::new(
            RefusalCode::NothingToChange,
            "no setting is named",
            "name at least one of grace_secs, stop_after_lock_secs and time_zone",
        ));
    }
}

fn change_settings(draft: &mut Draft<'_>, change: &SettingsChange) -> Result<(), Refusals> {
    let mut findings = Findings::default();
    asks_for_something(change, &mut findings);
    let wanted = parse_settings(change, draft.limits, &mut findings);
    findings.finish()?;
    let settings = wanted.over(draft.after.settings());
    let groups: Vec<GroupId> = draft.after.groups().map(|group| group.id).collect();
    for group in groups {
        draft.watch(group, Occasion::default());
    }
    draft.push(Event::SettingsChanged { settings })
}

fn create_group(
    draft: &mut Draft<'_>,
    id: GroupId,
    name: &str,
    settings: &SettingsChange,
) -> Result<(), Refusals> {
    let mut findings = Findings::default();
    let overrides = parse_settings(settings, draft.limits, &mut findings);
    let name = findings.keep(free_group_name(&draft.after, name));
    if draft.after.group(id).is_some() {
        findings.push(id_taken("group"));
    }
    let name = findings.finish_with(name)?;
    draft.push(Event::GroupCreated { group: id, name, overrides })
}

fn rename_group(draft: &mut Draft<'_>, id: GroupId, name: &str) -> Result<(), Refusals> {
    let group = draft.after.group(id).ok_or_else(|| group_not_found(id))?;
    let parsed = Name::parse(name)?;
    let same_but_case = parsed.folded() == group.name.folded();
    let name = if same_but_case { parsed } else { free_group_name(&draft.after, name)? };
    draft.push(Event::GroupRenamed { group: id, name })
}

fn change_group_settings(
    draft: &mut Draft<'_>,
    id: GroupId,
    change: &SettingsChange,
) -> Result<(), Refusals> {
    let mut findings = Findings::default();
    asks_for_something(change, &mut findings);
    let wanted = parse_settings(change, draft.limits, &mut findings);
    let old = draft.after.group(id).map(|group| group.overrides);
    if old.is_none() {
        findings.push(group_not_found(id));
    }
    let old = findings.finish_with(old)?;
    let overrides = Overrides {
        grace_secs: wanted.grace_secs.or(old.grace_secs),
        stop_after_lock_secs: wanted.stop_after_lock_secs.or(old.stop_after_lock_secs),
        time_zone: wanted.time_zone.or(old.time_zone),
    };
    draft.watch(id, Occasion::default());
    draft.push(Event::GroupSettingsChanged { group: id, overrides })
}

fn delete_group(draft: &mut Draft<'_>, id: GroupId) -> Result<(), Refusals> {
    let group = draft.after.group(id).ok_or_else(|| group_not_found(id))?;
    let mut findings = Findings::default();
    if id == draft.after.default_group() {
        findings.push(Refusal::new(
            RefusalCode::GroupIsDefault,
            "the default group cannot be deleted",
            "rename it instead",
        ));
    }
    if !group.is_empty() {
        findings.push(Refusal::new(
            RefusalCode::GroupNotEmpty,
            format!(
                "the group still has {} site(s) and {} active key(s)",
                group.sites.size(),
                group.keys.size()
            ),
            "delete its sites first; it can go when its keys have ended",
        ));
    }
    findings.finish()?;
    draft.push(Event::GroupDeleted { group: id })
}

fn create_site(
    draft: &mut Draft<'_>,
    id: SiteId,
    name: &str,
    parent: Option<SiteId>,
    group: Option<GroupId>,
) -> Result<(), Refusals> {
    let mut findings = Findings::default();
    let name = findings.keep(free_site_name(&draft.after, parent, name));
    if draft.after.site(id).is_some() {
        findings.push(id_taken("site"));
    }
    if let Some(parent) = parent {
        if draft.after.site(parent).is_none() {
            findings.push(site_not_found(parent).at("parent"));
        } else if draft.after.depth_of_site(parent) + 1 >= SITE_MAX_DEPTH {
            findings.push(Refusal::new(
                RefusalCode::SiteTooDeep,
                format!("sites nest at most {SITE_MAX_DEPTH} deep"),
                "make it part of a site higher up",
            ));
        }
        if group.is_some() {
            findings.push(
                Refusal::new(
                    RefusalCode::SubSiteHasNoGroup,
                    "a sub-site follows its root site's group",
                    "leave the group out, or make it a root site",
                )
                .at("group"),
            );
        }
    }
    let group = group.unwrap_or(draft.after.default_group());
    if parent.is_none() && draft.after.group(group).is_none() {
        findings.push(group_not_found(group).at("group"));
    }
    let name = findings.finish_with(name)?;
    match parent {
        Some(parent) => draft.push(Event::SubSiteCreated { site: id, name, parent }),
        None => draft.push(Event::SiteCreated { site: id, name, group }),
    }
}

fn rename_site(draft: &mut Draft<'_>, id: SiteId, name: &str) -> Result<(), Refusals> {
    let site = draft.after.site(id).ok_or_else(|| site_not_found(id))?;
    let parsed = Name::parse(name)?;
    let same_but_case = parsed.folded() == site.name.folded();
    let name = if same_but_case { parsed } else { free_site_name(&draft.after, site.parent(), name)? };
    draft.push(Event::SiteRenamed { site: id, name })
}

fn delete_site(draft: &mut Draft<'_>, id: SiteId) -> Result<(), Refusals> {
    let site = draft.after.site(id).ok_or_else(|| site_not_found(id))?;
    if !site.is_empty() {
        return Err(Refusal::new(
            RefusalCode::SiteNotEmpty,
            format!(
                "the site has {} sub-site(s) and {} device(s)",
                site.children.size(),
                site.devices.size()
            ),
            "delete its sub-sites and retire its devices first",
        )
        .into());
    }
    draft.push(Event::SiteDeleted { site: id })
}

fn claim_device(
    draft: &mut Draft<'_>,
    id: &DeviceId,
    site: SiteId,
    model: &str,
    product: ProductType,
    units: u64,
) -> Result<(), Refusals> {
    let mut findings = Findings::default();
    let model = findings.keep(ModelName::parse(model));
    if draft.after.device(id).is_some_and(|device| device.is_active()) {
        findings.push(
            Refusal::new(
                RefusalCode::DeviceAlreadyClaimed,
                format!("device {id} is already claimed"),
                "retire it first, or check the id on its label",
            )
            .at("id"),
        );
    }
    if !(1..=QUANTITY_MAX).contains(&units) {
        findings.push(
            Refusal::new(
                RefusalCode::UnitsOutOfBounds,
                format!("a device cannot consume {units} units"),
                format!("correct the catalog: units are 1 to {QUANTITY_MAX}"),
            )
            .at("units"),
        );
    }
    let group = draft.after.group_of_site(site);
    if group.is_none() {
        findings.push(site_not_found(site).at("site"));
    }
    let (model, group) = findings.finish_with(model.zip(group))?;
    draft.watch(group, Occasion::default());
    draft.touch_device(id);
    draft.push(Event::DeviceClaimed { device: id.clone(), site, model, product, units })
}

fn retire_device(draft: &mut Draft<'_>, id: &DeviceId) -> Result<(), Refusals> {
    let device = draft.after.device(id).ok_or_else(|| {
        Refusal::new(
            RefusalCode::DeviceNotFound,
            format!("there is no device {id} in this organization"),
            "list the devices to find its id",
        )
    })?;
    if !device.is_active() {
        return Err(Refusal::new(
            RefusalCode::DeviceRetired,
            format!("device {id} is already retired"),
            "nothing needs to be done",
        )
        .into());
    }
    if let Some(group) = draft.after.group_of_site(device.site) {
        draft.watch(group, Occasion::default());
    }
    draft.touch_device(id);
    draft.push(Event::DeviceRetired { device: id.clone() })
}

fn claim_key(draft: &mut Draft<'_>, key: &IssuedKey, group: Option<GroupId>) -> Result<(), Refusals> {
    let mut findings = Findings::default();
    let id = group.unwrap_or(draft.after.default_group());
    if draft.after.key(key.id).is_some() {
        findings.push(Refusal::new(
            RefusalCode::KeyAlreadyClaimed,
            "this key is already claimed in this organization",
            "list the keys to see which group it is in",
        ));
    }
    if key.ends_at <= draft.now {
        findings.push(Refusal::new(
            RefusalCode::KeyTermPassed,
            format!("the key's own term ended at {}", key.ends_at),
            "a key's clock runs from its purchase; buy a new key",
        ));
    }
    match draft.after.group(id) {
        None => findings.push(group_not_found(id).at("group")),
        Some(group) => {
            let lines = u64::try_from(key.lines.len()).unwrap_or(u64::MAX);
            if group.line_count.saturating_add(lines) > GROUP_MAX_LINES {
                findings.push(Refusal::new(
                    RefusalCode::TooManyLines,
                    format!("a group holds at most {GROUP_MAX_LINES} key lines"),
                    "claim the key to another group",
                ));
            }
        }
    }
    findings.finish()?;
    draft.watch(id, Occasion { first_claim_of_a_key: true });
    draft.push(Event::KeyClaimed { key: Box::new(key.clone()), group: id })
}

fn free_group_name(organization: &Organization, name: &str) -> Result<Name, Refusal> {
    let name = Name::parse(name)?;
    if organization.has_group_named(&name) { Err(name_taken("group", &name)) } else { Ok(name) }
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
