//! Sites: made, moved, renamed, deleted (domain G2-G4).

use super::{free_site_name, group_not_found, id_taken, name_taken, site_not_found};
use crate::id::{DeviceId, GroupId, SiteId};
use crate::licensing::command::SiteTarget;
use crate::licensing::compliance::{Arrival, Holder, Occasion, Origin};
use crate::licensing::draft::Draft;
use crate::licensing::event::Event;
use crate::licensing::name::Name;
use crate::licensing::organization::{Organization, SITE_MAX_DEPTH};
use crate::licensing::refusal::{Findings, Refusal, RefusalCode, Refusals};
use crate::licensing::site::{Home, Place, Site};
use crate::time::Timestamp;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

pub(super) fn create_site(
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
        match draft.after.site(parent) {
            None => findings.push(site_not_found(parent).at("parent")),
            Some(_) => check_depth(&draft.after, parent, 1, &mut findings),
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
    } else if let Some(group) = group.filter(|group| draft.after.group(*group).is_none()) {
        findings.push(group_not_found(group).at("group"));
    }
    let name = findings.finish_with(name)?;
    let place = match (parent, group) {
        (Some(parent), _) => Place::Within { parent },
        (None, Some(group)) => Place::Root { group },
        (None, None) if draft.after.groups_enabled() => {
            let joins_at = draft.now.saturating_add(draft.after.settings().countdown_secs);
            Place::Unassigned { since: draft.now, joins_at }
        }
        (None, None) => Place::Root { group: draft.after.default_group() },
    };
    draft.push(Event::SiteCreated { site: id, name, place })
}

pub(super) fn rename_site(draft: &mut Draft<'_>, id: SiteId, name: &str) -> Result<(), Refusals> {
    let site = draft.after.site(id).ok_or_else(|| site_not_found(id))?;
    let parsed = Name::parse(name)?;
    let same_but_case = parsed.folded() == site.name.folded();
    let name = if same_but_case { parsed } else { free_site_name(&draft.after, site.parent(), name)? };
    draft.push(Event::SiteRenamed { site: id, name })
}

pub(super) fn delete_site(draft: &mut Draft<'_>, id: SiteId) -> Result<(), Refusals> {
    let site = draft.after.site(id).ok_or_else(|| site_not_found(id))?;
    if !site.is_empty() {
        return Err(Refusal::new(
            RefusalCode::SiteNotEmpty,
            format!(
                "the site has {} sub-site(s) and {} device(s)",
                site.children.size(),
                site.devices.size()
            ),
            "delete its sub-sites and retire or move its devices first",
        )
        .into());
    }
    if let Some(group) = draft.after.group_of_site(id) {
        // What it carried, it carries for nobody any more.
        let departures = Vec::from([Holder::Site(id)]);
        draft.watch(group, Occasion { departures, ..Occasion::default() });
    }
    draft.push(Event::SiteDeleted { site: id })
}

pub(super) fn move_site(draft: &mut Draft<'_>, id: SiteId, to: SiteTarget) -> Result<(), Refusals> {
    let mut findings = Findings::default();
    let Some(site) = draft.after.site(id).cloned() else { return Err(site_not_found(id).into()) };
    let target = match to {
        SiteTarget::Group(group) => match draft.after.group(group) {
            Some(_) => Some((Place::Root { group }, Home::Group(group))),
            None => {
                findings.push(group_not_found(group).at("group"));
                None
            }
        },
        SiteTarget::Root => root_of_the_same_home(&draft.after, id, &mut findings),
        SiteTarget::Within(parent) => within(&draft.after, id, parent, &mut findings),
    };
    let (place, home) = findings.finish_with(target)?;
    let parent = match place {
        Place::Within { parent } => Some(parent),
        Place::Root { .. } | Place::Unassigned { .. } => None,
    };
    let mut findings = Findings::default();
    if place == site.place {
        findings.push(Refusal::new(
            RefusalCode::AlreadyThere,
            "the site is already there",
            "nothing needs to be done",
        ));
    } else if parent != site.parent() && draft.after.has_site_named(parent, &site.name) {
        findings.push(name_taken("site", &site.name));
    }
    let from = draft.after.home_of_site(id).unwrap_or(Home::Unassigned);
    if home == Home::Unassigned {
        if from != Home::Unassigned {
            findings.push(not_to_unassigned("a site"));
        } else if let Some(parent) = parent {
            findings.extend(check_countdown(&draft.after, id, parent, "a site", None));
        }
    }
    findings.finish()?;
    if from == home {
        stay_in_group(draft, home, Holder::Site(id), id, parent);
    } else {
        rehome(draft, id, from, home);
    }
    draft.push(Event::SiteMoved { site: id, place })
}

/// Notes that a site's tree leaves one group for another, with the clocks it carries (domain E2).
pub(super) fn rehome(draft: &mut Draft<'_>, site: SiteId, from: Home, to: Home) {
    let devices: Vec<DeviceId> = draft.after.site_tree(site).flat_map(|s| s.devices().cloned()).collect();
    devices.iter().for_each(|device| draft.touch_device(device));
    let mut arrivals = Vec::new();
    if let Home::Group(group) = from {
        arrivals = draft.after.carried_within(site, group, draft.now);
        let departures = arrivals.iter().map(|arrival| arrival.holder.clone()).collect();
        arrivals.retain(|arrival| arrival.holder != Holder::Site(site));
        arrivals.push(Arrival {
            holder: Holder::Site(site),
            clocks: draft.after.clocks_of_site(site, draft.now),
            since: draft.now,
            origin: Some(Origin::Moved { from: group }),
        });
        draft.watch(group, Occasion { departures, ..Occasion::default() });
    }
    if let Home::Group(group) = to {
        draft.watch(group, Occasion { arrivals, ..Occasion::default() });
    }
}

/// Notes that something moves within its group, out of sites that brought clocks: it takes them along (domain E2).
///
/// A site that moves is itself at `from` and comes to `parent`, a device is in `from` and comes to `to`.
pub(super) fn stay_in_group(
    draft: &mut Draft<'_>,
    home: Home,
    holder: Holder,
    from: SiteId,
    to: Option<SiteId>,
) {
    let Some(group) = home.group() else { return };
    let left = match &holder {
        Holder::Device(_) => Some(from),
        Holder::Site(_) => draft.after.site(from).and_then(Site::parent),
    };
    if let Some(arrival) = draft.after.carried_on(holder, left, to, draft.now) {
        draft.watch(group, Occasion::brings(arrival));
    }
}

/// Nothing that is or was lately in `from` finds a later end of its countdown in the unassigned site `to` (domain G3).
///
/// What is out of use may go there nevertheless once it counts as new, at `new_at`.
pub(super) fn check_countdown(
    organization: &Organization,
    from: SiteId,
    to: SiteId,
    what: &str,
    new_at: Option<Timestamp>,
) -> Option<Refusal> {
    let joins_at = |site: SiteId| match organization.path_to_root(site).last()?.place {
        Place::Unassigned { joins_at, .. } => Some(joins_at),
        Place::Root { .. } | Place::Within { .. } => None,
    };
    let there = joins_at(to)?;
    let here = joins_at(from);
    if here.is_some_and(|here| there <= here) {
        return None;
    }
    let (sentence, sites) = match here {
        Some(here) => (
            format!("{what} stays unassigned until {here}, not until {there}"),
            "choose a site in a license group, or an unassigned one whose countdown ends no later",
        ),
        None => (
            format!("{what} was in use here lately: it gets no new countdown"),
            "choose a site in a license group",
        ),
    };
    let hint = match new_at {
        Some(new_at) => format!("{sites}; from {new_at} on it counts as new"),
        None => sites.to_string(),
    };
    Some(Refusal::new(RefusalCode::CountdownWouldRestart, sentence, hint))
}

/// A sub-site made a root keeps its group (domain G2).
fn root_of_the_same_home(
    organization: &Organization,
    site: SiteId,
    findings: &mut Findings,
) -> Option<(Place, Home)> {
    let root = organization.path_to_root(site).last().map(|root| root.place);
    match root {
        Some(Place::Root { group }) => Some((Place::Root { group }, Home::Group(group))),
        Some(place @ Place::Unassigned { .. }) => Some((place, Home::Unassigned)),
        Some(Place::Within { .. }) | None => {
            findings.push(site_not_found(site));
            None
        }
    }
}

fn within(
    organization: &Organization,
    site: SiteId,
    parent: SiteId,
    findings: &mut Findings,
) -> Option<(Place, Home)> {
    let Some(home) = organization.home_of_site(parent) else {
        findings.push(site_not_found(parent).at("parent"));
        return None;
    };
    if organization.path_to_root(parent).any(|above| above.id == site) {
        findings.push(
            Refusal::new(
                RefusalCode::SiteCycle,
                "a site cannot be moved into itself or into a site within it",
                "choose a site outside of it",
            )
            .at("parent"),
        );
        return None;
    }
    let base = organization.depth_of_site(site);
    let height = organization.site_tree(site).map(|s| organization.depth_of_site(s.id)).max().unwrap_or(base);
    check_depth(organization, parent, height.saturating_sub(base) + 1, findings);
    Some((Place::Within { parent }, home))
}

/// Whether `levels` more levels fit below `parent`.
fn check_depth(organization: &Organization, parent: SiteId, levels: usize, findings: &mut Findings) {
    if organization.depth_of_site(parent) + levels >= SITE_MAX_DEPTH {
        findings.push(Refusal::new(
            RefusalCode::SiteTooDeep,
            format!("sites nest at most {SITE_MAX_DEPTH} deep"),
            "make it part of a site higher up",
        ));
    }
}

pub(super) fn not_to_unassigned(what: &str) -> Refusal {
    Refusal::new(
        RefusalCode::NotToUnassigned,
        format!("{what} in a license group cannot go back to Unassigned"),
        "move it to another group",
    )
}
