//! A site or device that moves together with the licenses it needs, as one change (domain G4).
//!
//! **Why one change.** Moved one after the other, one of the groups would be noncompliant in between, in the log and in
//! its figures, and its clocks would begin. Here both groups are judged once, when all is done. **Deliberately absent:**
//! which keys to take; they were planned before ([`crate::licensing::licenses_along`]), and what was planned is checked.

use super::{devices, groups, keys, sites, split};
use crate::id::{GroupId, KeyId};
use crate::licensing::command::{AlongPart, ClaimMode, Command, KeyStep, PartRequest, PartTarget};
use crate::licensing::compliance::findings;
use crate::licensing::draft::Draft;
use crate::licensing::group::Group;
use crate::licensing::license_key::KeyState;
use crate::licensing::planner::STEPS_MAX;
use crate::licensing::refusal::{Findings, Refusal, RefusalCode, Refusals};
use crate::licensing::site::Home;
use crate::platform::code::masked;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

pub(super) fn with_licenses(
    draft: &mut Draft<'_>,
    of: &Command,
    steps: &[KeyStep],
    proven_smallest: bool,
) -> Result<(), Refusals> {
    if steps.len() > STEPS_MAX {
        return Err(Refusal::new(
            RefusalCode::ListOutOfBounds,
            format!("{} keys would go along", steps.len()),
            format!("one change moves at most {STEPS_MAX} keys"),
        )
        .at("keys")
        .into());
    }
    let home_of = |draft: &Draft<'_>| home(draft, of);
    let from = home_of(draft);
    if !moves(draft, of)? {
        return Err(Refusal::new(
            RefusalCode::NothingMoves,
            "licenses go along with a site or device that moves, not with another change",
            "make this change by itself",
        )
        .into());
    }
    let to = home_of(draft);
    let (from, to) = match (from, to) {
        (Some(from), Some(Home::Group(to))) if from != Home::Group(to) => (from, to),
        // It stays where it is licensed, or goes where nothing is enforced.
        (Some(_), Some(_)) | (None, _) | (_, None) if steps.is_empty() => return Ok(()),
        (Some(_), Some(_)) | (None, _) | (_, None) => {
            return Err(Refusal::new(
                RefusalCode::NothingMoves,
                "licenses go along to another group, and nothing comes to another group",
                "leave the keys out",
            )
            .into());
        }
    };
    check_source(draft, from, steps)?;
    for step in steps {
        carry(draft, step, from, to)?;
    }
    draft.licenses_went_along(proven_smallest);
    check_both(draft, from, to, steps)
}

/// Makes the move itself; whether it is one.
fn moves(draft: &mut Draft<'_>, of: &Command) -> Result<bool, Refusals> {
    match of {
        Command::MoveSite { id, to } => sites::move_site(draft, *id, *to)?,
        Command::MoveDevice { id, site } => devices::move_device(draft, id, *site)?,
        Command::CreateGroupFromSite { id, site, name, settings } => {
            groups::create_group_from_site(draft, *id, *site, name.as_deref(), settings)?;
        }
        Command::Materialize
        | Command::EnableGroups
        | Command::ChangeSettings(_)
        | Command::CreateGroup { .. }
        | Command::RenameGroup { .. }
        | Command::ChangeGroupSettings { .. }
        | Command::DeleteGroup { .. }
        | Command::CreateSite { .. }
        | Command::RenameSite { .. }
        | Command::DeleteSite { .. }
        | Command::ClaimDevice { .. }
        | Command::ConvertTrial { .. }
        | Command::ReplaceDevice { .. }
        | Command::ConfigureDoors { .. }
        | Command::RetireDevice { .. }
        | Command::ReportStolen { .. }
        | Command::ClaimKey { .. }
        | Command::ReceiveKey { .. }
        | Command::MoveKey { .. }
        | Command::UnclaimKey { .. }
        | Command::SplitKey { .. }
        | Command::TransferKey { .. }
        | Command::WithLicenses { .. }
        | Command::Import(_)
        | Command::Enrolment(_)
        | Command::Safety(_) => return Ok(false),
    }
    Ok(true)
}

/// Where what is moved is at present; `None` if it is no move, or of nothing that is there.
fn home(draft: &Draft<'_>, of: &Command) -> Option<Home> {
    let site = if let Command::MoveSite { id, .. } = of {
        *id
    } else if let Command::CreateGroupFromSite { site, .. } = of {
        *site
    } else if let Command::MoveDevice { id, .. } = of {
        draft.after.device(id)?.site
    } else {
        return None;
    };
    draft.after.home_of_site(site)
}

/// Only keys of the home that is left go along, and no waiting renewals.
fn check_source(draft: &Draft<'_>, from: Home, steps: &[KeyStep]) -> Result<(), Refusals> {
    let mut findings = Findings::default();
    for step in steps {
        let key = keys::usable(draft, step.key())?;
        let home = match key.state {
            KeyState::Active { group } => Some(Home::Group(group)),
            KeyState::Unassigned { .. } => Some(Home::Unassigned),
            KeyState::Queued { .. }
            | KeyState::Retired { .. }
            | KeyState::Split { .. }
            | KeyState::Transferred { .. } => None,
        };
        if home != Some(from) {
            let code = masked(&key.issued.code_tail);
            findings.push(
                Refusal::new(
                    RefusalCode::KeyNotOfSource,
                    format!("key {code} is not active where the site or device comes from"),
                    "preview the move again: the proposal names the keys that can go along",
                )
                .at("keys"),
            );
        }
    }
    findings.finish()
}

fn carry(draft: &mut Draft<'_>, step: &KeyStep, from: Home, to: GroupId) -> Result<(), Refusals> {
    let mode = Some(ClaimMode::Increase);
    match step {
        KeyStep::Move { key } => keys::move_key(draft, *key, to, mode),
        KeyStep::Split { key, goes, stays } => {
            let part = |part: &AlongPart, group: Option<GroupId>| PartRequest {
                id: part.id,
                code_tail: part.code_tail.clone(),
                lines: part.lines.clone(),
                target: PartTarget::Own { group, mode },
            };
            let parts = Box::new([part(goes, Some(to)), part(stays, from.group())]);
            split::split_key(draft, *key, &parts)
        }
    }
}

/// What goes along has to suffice, and to leave enough (domain G4).
fn check_both(draft: &Draft<'_>, from: Home, to: GroupId, steps: &[KeyStep]) -> Result<(), Refusals> {
    // A group that nothing is taken from may be short as it was before.
    let old = from.group().filter(|_| !steps.is_empty());
    let mut refused = Findings::default();
    for group in [Some(to), old].into_iter().flatten().filter_map(|id| draft.after.group(id)) {
        let short = findings(&group.figures);
        if !short.is_empty() {
            refused.push(not_enough(group, &short));
        }
    }
    refused.finish()
}

fn not_enough(group: &Group, short: &[crate::finding::Finding]) -> Refusal {
    let why: Vec<String> = short.iter().map(crate::finding::Finding::sentence).collect();
    Refusal::new(
        RefusalCode::LicensesDoNotSuffice,
        format!("with these licenses group `{}` would be noncompliant: {}", group.name, why.join("; ")),
        "preview the move again: what it touches has changed since the licenses were chosen",
    )
    .at("keys")
}

impl KeyStep {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> KeyId {
        match self {
            KeyStep::Move { key } | KeyStep::Split { key, .. } => *key,
        }
    }
}
