//! The lines of a file, each by the rules of the single command (see [`crate::licensing::import`]).

use super::{devices, group_not_found, groups, id_taken, keys, sites};
use crate::id::{GroupId, SiteId};
use crate::licensing::command::{ClaimMode, SettingsChange};
use crate::licensing::compliance::{Occasion, Term};
use crate::licensing::draft::Draft;
use crate::licensing::event::Event;
use crate::licensing::import::{FINDINGS_MAX, Import, ImportRow, field_of_line, name_in_path, names_of_path};
use crate::licensing::license_key::{GROUP_MAX_LINES, IssuedKey, KeyPast, KeyPlace};
use crate::licensing::name::Name;
use crate::licensing::organization::Organization;
use crate::licensing::refusal::{Findings, Refusal, RefusalCode, Refusals};
use crate::time::Seconds;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

pub(super) fn import(draft: &mut Draft<'_>, import: &Import) -> Result<(), Refusals> {
    let mut known = Known::of(&draft.after);
    let mut bad = Bad::default();
    let mut touched = BTreeSet::new();
    // What waits for the end of a term needs the term first (domain K3).
    let waits = |row: &ImportRow| matches!(row, ImportRow::Key { mode: ClaimMode::Renewal, .. });
    for renewals in [false, true] {
        for line in import.lines.iter().filter(|line| waits(&line.row) == renewals) {
            if let Err(refusals) = one(draft, &mut known, &line.row, &mut touched) {
                bad.add(line.line, &refusals);
            }
            import.decided.add();
        }
    }
    // Keys that were claimed in time may be spent by now; the group they are in may not (domain D3, K5).
    for group in touched.iter().filter_map(|id| draft.after.group(*id)) {
        if let Term::Running { coterm } = group.figures.term
            && coterm.floor() <= draft.now
        {
            bad.findings.push(
                Refusal::new(
                    RefusalCode::GroupWouldOwe,
                    format!(
                        "the keys of group `{}` would have a common end in the past, {}",
                        group.name,
                        coterm.floor()
                    ),
                    "a term that has ended is no license any more: leave its orders out",
                )
                .at("lines"),
            );
        }
    }
    bad.finish()
}

/// The bad lines so far.
#[derive(Default)]
struct Bad {
    findings: Findings,
    listed: usize,
    more: u64,
}

impl Bad {
    fn add(&mut self, line: u64, refusals: &Refusals) {
        for refusal in refusals.all() {
            if self.listed >= FINDINGS_MAX {
                self.more = self.more.saturating_add(1);
                continue;
            }
            self.listed = self.listed.saturating_add(1);
            self.findings.push(Refusal {
                field: Some(field_of_line(line, refusal.field.as_deref())),
                ..refusal.clone()
            });
        }
    }

    fn finish(mut self) -> Result<(), Refusals> {
        if self.more > 0 {
            let message = format!("{} more findings are not listed", self.more);
            let hint = "correct those that are listed and import the file again";
            self.findings.push(Refusal::new(RefusalCode::ListOutOfBounds, message, hint).at("lines"));
        }
        self.findings.finish()
    }
}

/// Sites by their path and groups by their name.
struct Known {
    sites: BTreeMap<(Option<SiteId>, String), SiteId>,
    groups: BTreeMap<String, GroupId>,
}

impl Known {
    fn of(organization: &Organization) -> Known {
        Known {
            sites: organization.sites().map(|site| ((site.parent(), site.name.folded()), site.id)).collect(),
            groups: organization.groups().map(|group| (group.name.folded(), group.id)).collect(),
        }
    }

    fn group(&self, named: Option<&str>) -> Result<Option<GroupId>, Refusal> {
        let Some(named) = named else { return Ok(None) };
        let by_name = Name::parse(named).ok().and_then(|name| self.groups.get(&name.folded()).copied());
        match by_name.or_else(|| named.parse().ok()) {
            Some(group) => Ok(Some(group)),
            None => Err(Refusal::new(
                RefusalCode::GroupNotFound,
                format!("there is no license group `{named}` in this organization"),
                "create it first, or correct its name",
            )
            .at("group")),
        }
    }

    fn site(&self, path: &[String]) -> Option<SiteId> {
        let mut at = None;
        for name in path {
            at = Some(*self.sites.get(&(at, Name::parse(name).ok()?.folded()))?);
        }
        at
    }
}

/// Decides one line.
fn one(
    draft: &mut Draft<'_>,
    known: &mut Known,
    row: &ImportRow,
    touched: &mut BTreeSet<GroupId>,
) -> Result<(), Refusals> {
    match row {
        ImportRow::Group { id, name } => {
            groups::create_group(draft, *id, name, &SettingsChange::default())?;
            known.groups.insert(Name::parse(name)?.folded(), *id);
            Ok(())
        }
        ImportRow::Site { id, path, group } => {
            let mut names = names_of_path(path);
            let own = names.pop().unwrap_or_default();
            let parent = if names.is_empty() { None } else { Some(parent(known, &names)?) };
            let group = known.group(group.as_deref())?;
            sites::create_site(draft, *id, &own, parent, group)
                .map_err(|refusals| renamed(&refusals, "name", "path"))?;
            known.sites.insert((parent, Name::parse(&own)?.folded()), *id);
            Ok(())
        }
        ImportRow::Device { device, site } => {
            let found = site.parse().ok().or_else(|| known.site(&names_of_path(site)));
            let found = found.ok_or_else(|| no_site(site, "site"))?;
            devices::claim_device(draft, device, found)
        }
        ImportRow::Key { key, past, group, mode } => {
            let group = known.group(group.as_deref())?;
            touched.extend(group);
            historic_key(draft, key, *past, group, *mode)
        }
    }
}

fn parent(known: &Known, names: &[String]) -> Result<SiteId, Refusal> {
    known.site(names).ok_or_else(|| {
        let path: Vec<String> = names.iter().map(|name| name_in_path(name)).collect();
        no_site(&path.join("/"), "path")
    })
}

fn no_site(path: &str, column: &str) -> Refusal {
    Refusal::new(
        RefusalCode::SiteNotFound,
        format!("there is no site `{path}` in this organization, nor in the lines before"),
        "list a site before what is in it; a `/` within a name is written `\\/`",
    )
    .at(column)
}

/// The same refusals with a field called as its column is.
fn renamed(refusals: &Refusals, field: &str, column: &str) -> Refusals {
    let mut findings = Findings::default();
    findings.extend(
        refusals.all().iter().cloned().map(|refusal| {
            if refusal.field.as_deref() == Some(field) { refusal.at(column) } else { refusal }
        }),
    );
    match findings.finish() {
        Ok(()) => refusals.clone(),
        Err(renamed) => renamed,
    }
}

/// A key that was claimed when its order was placed.
///
/// Its end is its own, also if that has passed: it was claimed in time, and stays in the mean and the capacity of its
/// group (domain D3). What it was not when it was issued, unassigned or waiting, it cannot be with nothing left (K5).
fn historic_key(
    draft: &mut Draft<'_>,
    key: &IssuedKey,
    past: KeyPast,
    group: Option<GroupId>,
    mode: ClaimMode,
) -> Result<(), Refusals> {
    let left = key.ends_at.since(draft.now);
    let (Some(id), ClaimMode::Increase) = (group.or(keys::one_pool(draft)), mode) else {
        return keys::claim_key(draft, key, group, mode, past);
    };
    if left > Seconds::ZERO {
        return keys::claim_key(draft, key, group, mode, past);
    }
    let mut findings = Findings::default();
    if draft.after.key(key.id).is_some() {
        findings.push(id_taken("key"));
    }
    match draft.after.group(id) {
        None => findings.push(group_not_found(id).at("group")),
        Some(group) => {
            let lines = u64::try_from(key.lines.len()).unwrap_or(u64::MAX);
            if group.line_count.saturating_add(lines) > GROUP_MAX_LINES {
                findings.push(Refusal::new(
                    RefusalCode::TooManyLines,
                    format!("a group holds at most {GROUP_MAX_LINES} key lines"),
                    "use another group",
                ));
            }
        }
    }
    findings.finish()?;
    // It was used here long ago: it is no first claim that gives grace back (domain E2).
    let past = KeyPast { was_in_group: true, ..past };
    draft.watch(id, Occasion { used_key_came: true, ..Occasion::default() });
    let place = KeyPlace::Active { group: id, ends_at: key.ends_at };
    draft.push(Event::KeyClaimed { key: alloc::boxed::Box::new(key.clone()), place, past })
}
