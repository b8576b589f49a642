//! Groups and settings (domain G1, G5, E1, C3).

use super::sites::rehome;
use super::{free_group_name, group_not_found, id_taken, name_taken, site_not_found};
use crate::id::{DeviceId, GroupId, SiteId};
use crate::licensing::clock::CauseClock;
use crate::licensing::command::SettingsChange;
use crate::licensing::compliance::Occasion;
use crate::licensing::draft::Draft;
use crate::licensing::event::Event;
use crate::licensing::group::Group;
use crate::licensing::name::Zone;
use crate::licensing::organization::Organization;
use crate::licensing::refusal::{Findings, Refusal, RefusalCode, Refusals};
use crate::licensing::settings::{DoorUnits, Limits, Overrides, Scope, Settings};
use crate::licensing::site::{Home, Place};
use crate::time::Seconds;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

pub(super) fn enable_groups(draft: &mut Draft<'_>) -> Result<(), Refusals> {
    if draft.after.groups_enabled() {
        return Err(Refusal::new(
            RefusalCode::GroupsAlreadyEnabled,
            "license groups are already enabled",
            "nothing needs to be done",
        )
        .into());
    }
    draft.push(Event::GroupsEnabled)
}

fn parse_settings(change: &SettingsChange, limits: &Limits, findings: &mut Findings) -> Overrides {
    let grace = |secs: Seconds| limits.check_grace(secs);
    let stop = |secs: Seconds| limits.check_stop_after_lock(secs);
    Overrides {
        grace_secs: change.grace_secs.and_then(|secs| findings.keep(grace(secs))),
        stop_after_lock_secs: change.stop_after_lock_secs.and_then(|secs| findings.keep(stop(secs))),
        time_zone: change.time_zone.as_deref().and_then(|zone| findings.keep(Zone::parse(zone))),
        scope: change.scope,
    }
}

fn asks_for_something(change: &SettingsChange, findings: &mut Findings) {
    if *change == SettingsChange::default() {
        findings.push(Refusal::new(
            RefusalCode::NothingToChange,
            "no setting is named",
            "name at least one of grace_secs, stop_after_lock_secs, time_zone, scope, countdown_secs, door_units, hold_share_percent, hold_devices and lockout_pace",
        ));
    }
}

pub(super) fn change_settings(draft: &mut Draft<'_>, change: &SettingsChange) -> Result<(), Refusals> {
    let mut findings = Findings::default();
    asks_for_something(change, &mut findings);
    if !change.inherit.is_empty() {
        findings.push(not_inherited("an organization's settings follow no others", "give each a value"));
    }
    let old = *draft.after.settings();
    let settings = changed_settings(change, &old, draft.limits, &mut findings);
    let groups: Vec<GroupId> = draft.after.groups().map(|group| group.id).collect();
    for group in draft.after.groups().filter(|group| group.overrides.scope.is_none()) {
        keeps_scope(group, old.scope, settings.scope, &mut findings);
    }
    findings.finish()?;
    for group in groups {
        draft.watch(group, Occasion::default());
    }
    draft.push(Event::SettingsChanged { settings })?;
    let units = recounted(&draft.after, settings.door_units);
    if units.is_empty() { Ok(()) } else { draft.push(Event::UnitsCounted { units }) }
}

/// The settings of an organization after a change of those before.
pub(super) fn changed_settings(
    change: &SettingsChange,
    old: &Settings,
    limits: &Limits,
    findings: &mut Findings,
) -> Settings {
    let mut settings = parse_settings(change, limits, findings).over(old);
    let countdown = change.countdown_secs.and_then(|secs| findings.keep(limits.check_countdown(secs)));
    settings.countdown_secs = countdown.unwrap_or(old.countdown_secs);
    let doors = change.door_units.and_then(|by| findings.keep(limits.check_door_units(by)));
    settings.door_units = doors.unwrap_or(old.door_units);
    let share = change.hold_share_percent.and_then(|share| findings.keep(limits.check_hold_share(share)));
    settings.hold_share_percent = share.unwrap_or(old.hold_share_percent);
    let devices = change.hold_devices.and_then(|devices| findings.keep(limits.check_hold_devices(devices)));
    settings.hold_devices = devices.unwrap_or(old.hold_devices);
    let pace = change.lockout_pace.and_then(|per_day| findings.keep(limits.check_pace(per_day)));
    settings.lockout_pace = pace.unwrap_or(old.lockout_pace);
    settings
}

/// The devices in use that consume other units if door controllers count by `by` (domain G7).
fn recounted(organization: &Organization, by: DoorUnits) -> BTreeMap<DeviceId, u64> {
    let in_use = organization.devices().filter(|device| device.is_active() && device.doors.is_some());
    let counted = in_use.map(|device| (device, by.units(device.model_units, device.doors)));
    counted.filter(|(device, units)| device.units != *units).map(|(d, units)| (d.id.clone(), units)).collect()
}

pub(super) fn create_group(
    draft: &mut Draft<'_>,
    id: GroupId,
    name: &str,
    settings: &SettingsChange,
) -> Result<(), Refusals> {
    let mut findings = Findings::default();
    let created = new_group(draft, id, Some(name), settings, &mut findings);
    let created = findings.finish_with(created)?;
    draft.push(created)
}

/// One step, so that no moment and no entry of the log has the site in neither group (domain G1).
pub(super) fn create_group_from_site(
    draft: &mut Draft<'_>,
    id: GroupId,
    site: SiteId,
    name: Option<&str>,
    settings: &SettingsChange,
) -> Result<(), Refusals> {
    let mut findings = Findings::default();
    let found = draft.after.site(site).cloned();
    match &found {
        None => findings.push(site_not_found(site).at("from_site")),
        // A sub-site becomes a root site.
        Some(found) if found.parent().is_some() && draft.after.has_site_named(None, &found.name) => {
            findings.push(name_taken("site", &found.name));
        }
        Some(_) => {}
    }
    let name = name.or(found.as_ref().map(|found| found.name.as_str()));
    let created = new_group(draft, id, name, settings, &mut findings);
    let created = findings.finish_with(created)?;
    draft.push(created)?;
    let from = draft.after.home_of_site(site).unwrap_or(Home::Unassigned);
    rehome(draft, site, from, Home::Group(id));
    draft.push(Event::SiteMoved { site, place: Place::Root { group: id } })
}

/// The event of a new group; `None` if something is refused, or it has no name because its site is missing.
fn new_group(
    draft: &Draft<'_>,
    id: GroupId,
    name: Option<&str>,
    settings: &SettingsChange,
    findings: &mut Findings,
) -> Option<Event> {
    let overrides = parse_settings(settings, draft.limits, findings);
    only_of_groups(settings, findings);
    if !draft.after.groups_enabled() {
        findings.push(Refusal::new(
            RefusalCode::GroupsNotEnabled,
            "license groups are not enabled in this organization",
            "enable them first; existing keys and sites then are in Group 1",
        ));
    }
    let name = findings.keep(free_group_name(&draft.after, name?));
    if draft.after.group(id).is_some() {
        findings.push(id_taken("group"));
    }
    Some(Event::GroupCreated { group: id, name: name?, overrides })
}

pub(super) fn rename_group(draft: &mut Draft<'_>, id: GroupId, name: &str) -> Result<(), Refusals> {
    let group = draft.after.group(id).ok_or_else(|| group_not_found(id))?;
    let name = super::group_name(name)?;
    let same_but_case = name.folded() == group.name.folded();
    let name = if same_but_case { name } else { super::free(&draft.after, name)? };
    draft.push(Event::GroupRenamed { group: id, name })
}

pub(super) fn change_group_settings(
    draft: &mut Draft<'_>,
    id: GroupId,
    change: &SettingsChange,
) -> Result<(), Refusals> {
    let mut findings = Findings::default();
    asks_for_something(change, &mut findings);
    let wanted = parse_settings(change, draft.limits, &mut findings);
    only_of_groups(change, &mut findings);
    let given = given(change);
    for setting in change.inherit.iter().filter(|setting| given.has(**setting)) {
        let both = format!("`{}` cannot have a value of its own and be inherited", setting.name());
        findings.push(not_inherited(&both, "give it a value, or inherit it").at(setting.name()));
    }
    let group = draft.after.group(id);
    let overrides = group.map(|group| {
        let old = group.overrides;
        let changed = Overrides {
            grace_secs: wanted.grace_secs.or(old.grace_secs),
            stop_after_lock_secs: wanted.stop_after_lock_secs.or(old.stop_after_lock_secs),
            time_zone: wanted.time_zone.or(old.time_zone),
            scope: wanted.scope.or(old.scope),
        };
        change.inherit.iter().fold(changed, |overrides, setting| overrides.without(*setting))
    });
    match group.zip(overrides) {
        Some((group, overrides)) => {
            let (old, base) = (draft.after.settings_of(group).scope, draft.after.settings());
            keeps_scope(group, old, overrides.over(base).scope, &mut findings);
        }
        None => findings.push(group_not_found(id)),
    }
    let overrides = findings.finish_with(overrides)?;
    draft.watch(id, Occasion::default());
    draft.push(Event::GroupSettingsChanged { group: id, overrides })
}

pub(super) fn delete_group(draft: &mut Draft<'_>, id: GroupId) -> Result<(), Refusals> {
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
                "the group still has {} site(s), {} active key(s) and {} queued renewal(s)",
                group.sites.size(),
                group.keys.size(),
                group.queue.size()
            ),
            "move or delete its sites and move its keys first",
        ));
    }
    findings.finish()?;
    draft.push(Event::GroupDeleted { group: id })
}

/// What a change gives a group for its own, whether or not it is within the bounds.
fn given(change: &SettingsChange) -> Overrides {
    Overrides {
        grace_secs: change.grace_secs,
        stop_after_lock_secs: change.stop_after_lock_secs,
        time_zone: change.time_zone.as_ref().map(|_| Zone::UTC),
        scope: change.scope,
    }
}

fn not_inherited(message: &str, hint: &str) -> Refusal {
    Refusal::new(RefusalCode::SettingNotInherited, message, hint)
}

/// Some settings are the organization's alone.
fn only_of_groups(change: &SettingsChange, findings: &mut Findings) {
    let refused = |what: &str, field: &str| {
        Refusal::new(
            RefusalCode::SettingNotOfGroups,
            format!("{what} is a setting of the organization"),
            "set it there",
        )
        .at(field)
    };
    if change.countdown_secs.is_some() {
        findings.push(refused("the countdown of unassigned keys and sites", "countdown_secs"));
    }
    if change.door_units.is_some() {
        findings.push(refused("what door controllers count by", "door_units"));
    }
    if change.hold_share_percent.is_some() {
        findings.push(refused("what may lock without approval", "hold_share_percent"));
    }
    if change.lockout_pace.is_some() {
        findings.push(refused("a pace of lockouts", "lockout_pace"));
    }
    if change.hold_devices.is_some() {
        findings.push(refused("what may lock without approval", "hold_devices"));
    }
}

/// Widening the scope would enforce on devices that were told they were safe (domain C3, E3).
fn keeps_scope(group: &Group, old: Scope, new: Scope, findings: &mut Findings) {
    let over = match group.assessment.clocks.capacity {
        CauseClock::Running(_) => true,
        CauseClock::Fresh | CauseClock::Paused(_) => false,
    };
    if (old, new) == (Scope::Product, Scope::Group) && over {
        findings.push(
            Refusal::new(
                RefusalCode::ScopeInUse,
                format!(
                    "group `{}` is over capacity: a wider scope would lock devices without notice",
                    group.name
                ),
                "cure the shortfall first",
            )
            .at("scope"),
        );
    }
}
