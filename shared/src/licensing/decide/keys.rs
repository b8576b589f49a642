//! Keys: claimed, moved, unclaimed, transferred (domain K1-K8). How they are split is in [`super::split`].

use super::group_not_found;
use crate::id::{GroupId, KeyId, OrganizationId};
use crate::licensing::command::ClaimMode;
use crate::licensing::compliance::{Occasion, Term};
use crate::licensing::draft::Draft;
use crate::licensing::event::Event;
use crate::licensing::license_key::{GROUP_MAX_LINES, IssuedKey, KeyPast, KeyPlace, KeyState, LicenseKey};
use crate::licensing::organization::Organization;
use crate::licensing::refusal::{Findings, Refusal, RefusalCode, Refusals};
use crate::platform::code::masked;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub(super) fn claim_key(
    draft: &mut Draft<'_>,
    key: &IssuedKey,
    group: Option<GroupId>,
    mode: ClaimMode,
    past: KeyPast,
) -> Result<(), Refusals> {
    let mut findings = Findings::default();
    match draft.after.key(key.id).map(|known| &known.state) {
        None | Some(KeyState::Transferred { .. }) => {}
        Some(KeyState::Split { children }) => findings.push(Refusal::new(
            RefusalCode::KeyAlreadyClaimed,
            format!("this key was split: it became {}", parts(&draft.after, children)),
            "its code is spent; the parts have codes of their own and are claimed already",
        )),
        Some(
            KeyState::Active { .. }
            | KeyState::Queued { .. }
            | KeyState::Unassigned { .. }
            | KeyState::Retired { .. },
        ) => findings.push(Refusal::new(
            RefusalCode::KeyAlreadyClaimed,
            "this key is already claimed in this organization",
            "list the keys to see where it is",
        )),
    }
    let left = key.ends_at.since(draft.now);
    check_left(left, key.ends_at, &mut findings);
    // A key that was given away and comes back, or was used elsewhere, is not claimed for the first time.
    let known = draft.after.key(key.id).map_or(KeyPast::default(), LicenseKey::past);
    let seen = known.or(past);
    let place = match group.or(one_pool(draft)) {
        Some(group) => {
            place_in_group(draft, group, mode, left, seen.has_waited, key.lines.len(), &mut findings)
        }
        None => {
            findings.extend(renewal_without_group(mode, "group"));
            Some(unassigned(draft, key.ends_at))
        }
    };
    let place = findings.finish_with(place)?;
    watch(draft, place, seen, None);
    draft.push(Event::KeyClaimed { key: Box::new(key.clone()), place, past })
}

pub(super) fn move_key(
    draft: &mut Draft<'_>,
    id: KeyId,
    group: GroupId,
    mode: Option<ClaimMode>,
) -> Result<(), Refusals> {
    let key = usable(draft, id)?;
    let mut findings = Findings::default();
    let left = key.left_at(draft.now);
    check_left(left, key.ends_at, &mut findings);
    let (queued, from) = match key.state {
        KeyState::Queued { group, .. } => (true, Some(group)),
        KeyState::Active { group } => (false, Some(group)),
        KeyState::Unassigned { .. }
        | KeyState::Retired { .. }
        | KeyState::Split { .. }
        | KeyState::Transferred { .. } => (false, None),
    };
    if from == Some(group) {
        findings.push(
            Refusal::new(
                RefusalCode::AlreadyThere,
                "the key is already in this group",
                "choose another group",
            )
            .at("group"),
        );
    }
    let mode = mode.unwrap_or(if queued { ClaimMode::Renewal } else { ClaimMode::Increase });
    let place =
        place_in_group(draft, group, mode, left, key.has_waited, key.issued.lines.len(), &mut findings);
    let place = findings.finish_with(place)?;
    leave(draft, &key);
    watch(draft, place, key.past(), from);
    draft.push(Event::KeyPlaced { key: id, place })?;
    after_leaving(draft, from)
}

pub(super) fn unclaim_key(draft: &mut Draft<'_>, id: KeyId) -> Result<(), Refusals> {
    let key = usable(draft, id)?;
    let mut findings = Findings::default();
    let ends_at = match key.state {
        // Waiting gives no credit: the clock it had goes on as if it had never stood still (domain K3).
        KeyState::Queued { .. } | KeyState::Active { .. } => key.ends_at,
        KeyState::Unassigned { .. }
        | KeyState::Retired { .. }
        | KeyState::Split { .. }
        | KeyState::Transferred { .. } => {
            findings.push(Refusal::new(
                RefusalCode::AlreadyThere,
                "the key is already unassigned",
                "nothing needs to be done",
            ));
            key.ends_at
        }
    };
    check_left(ends_at.since(draft.now), ends_at, &mut findings);
    findings.finish()?;
    let place = unassigned(draft, ends_at);
    leave(draft, &key);
    draft.push(Event::KeyPlaced { key: id, place })?;
    after_leaving(draft, key.state.group())
}

pub(super) fn transfer_key(draft: &mut Draft<'_>, id: KeyId, to: OrganizationId) -> Result<(), Refusals> {
    let key = usable(draft, id)?;
    let mut findings = Findings::default();
    check_left(key.left_at(draft.now), key.ends_at, &mut findings);
    if key.state.group().is_some() {
        findings.push(Refusal::new(
            RefusalCode::KeyNotUnassigned,
            "only an unassigned key can be given to another organization",
            "unclaim it first",
        ));
    }
    if to == draft.after.id() {
        findings.push(belongs_here("to"));
    }
    findings.finish()?;
    draft.push(Event::KeyTransferred { key: id, to })
}

pub(super) fn belongs_here(field: &str) -> Refusal {
    Refusal::new(
        RefusalCode::AlreadyThere,
        "the key already belongs to this organization",
        "name another organization",
    )
    .at(field)
}

/// Until license groups are enabled, the organization is one pool (domain G1).
pub(super) fn one_pool(draft: &Draft<'_>) -> Option<GroupId> {
    (!draft.after.groups_enabled()).then_some(draft.after.default_group())
}

/// Only a group has a term to wait for (domain K3).
pub(super) fn renewal_without_group(mode: ClaimMode, field: &str) -> Option<Refusal> {
    match mode {
        ClaimMode::Increase => None,
        ClaimMode::Renewal => Some(
            Refusal::new(
                RefusalCode::RenewalNeedsGroup,
                "a renewal waits for the end of a group's term, and no group is named",
                "name the group, or claim it as increase",
            )
            .at(field),
        ),
    }
}

/// A key that is in use, or why it is not.
pub(super) fn usable(draft: &Draft<'_>, id: KeyId) -> Result<LicenseKey, Refusals> {
    let key = draft.after.key(id).ok_or_else(|| {
        Refusal::new(
            RefusalCode::KeyNotFound,
            format!("there is no license key {id} in this organization"),
            "list the keys to find its id",
        )
    })?;
    match key.state {
        KeyState::Active { .. } | KeyState::Queued { .. } | KeyState::Unassigned { .. } => Ok(key.clone()),
        KeyState::Split { children } => Err(Refusal::new(
            RefusalCode::KeyNotInUse,
            format!("the key was split: it became {}", parts(&draft.after, &children)),
            "do with its parts what was meant for it",
        )
        .into()),
        KeyState::Retired { .. } | KeyState::Transferred { .. } => Err(Refusal::new(
            RefusalCode::KeyNotInUse,
            format!("the key is {}", key.state.name()),
            "only active, queued and unassigned keys can be changed",
        )
        .into()),
    }
}

/// What a key was split into, for people (domain K7).
fn parts(organization: &Organization, children: &[KeyId; 2]) -> String {
    let name = |id: &KeyId| match organization.key(*id) {
        Some(part) => format!("{} with {}", masked(&part.issued.code_tail), granted(&part.issued)),
        None => id.to_string(),
    };
    children.each_ref().map(name).join(" and ")
}

fn granted(key: &IssuedKey) -> String {
    let lines: Vec<String> =
        key.lines.iter().map(|line| format!("{} {}", line.quantity, line.product)).collect();
    lines.join(", ")
}

/// Domain K5: nothing is done with a key whose own end has passed.
pub(super) fn check_left(left: Seconds, ends_at: Timestamp, findings: &mut Findings) {
    if left == Seconds::ZERO {
        findings.push(Refusal::new(
            RefusalCode::KeyTermPassed,
            format!("the key's own term ended at {ends_at}"),
            "a key's clock runs from its purchase; buy a new key",
        ));
    }
}

/// Where a key with so much left comes to stand in a group (domain K2-K4).
pub(super) fn place_in_group(
    draft: &mut Draft<'_>,
    id: GroupId,
    mode: ClaimMode,
    left_secs: Seconds,
    has_waited: bool,
    lines: usize,
    findings: &mut Findings,
) -> Option<KeyPlace> {
    let Some(group) = draft.after.group(id) else {
        findings.push(group_not_found(id).at("group"));
        return None;
    };
    let lines = u64::try_from(lines).unwrap_or(u64::MAX);
    if group.line_count.saturating_add(lines) > GROUP_MAX_LINES {
        findings.push(Refusal::new(
            RefusalCode::TooManyLines,
            format!("a group holds at most {GROUP_MAX_LINES} key lines"),
            "use another group",
        ));
    }
    // Without an active key there is nothing to wait for (domain K3, K4).
    let waits = match group.figures.term {
        Term::Running { .. } => mode == ClaimMode::Renewal,
        Term::NeverLicensed | Term::Ended { .. } | Term::Emptied => false,
    };
    if mode == ClaimMode::Renewal && !waits {
        draft.renews_at_once(id);
    }
    if waits && has_waited {
        findings.push(
            Refusal::new(
                RefusalCode::KeyWaitedAlready,
                "the key has waited once already: its clock stands still no second time",
                "add it as an increase, or leave it where it is",
            )
            .at("mode"),
        );
    }
    Some(if waits {
        KeyPlace::Queued { group: id, left_secs }
    } else {
        KeyPlace::Active { group: id, ends_at: draft.now.saturating_add(left_secs) }
    })
}

pub(super) fn unassigned(draft: &Draft<'_>, ends_at: Timestamp) -> KeyPlace {
    let joins_at = draft.now.saturating_add(draft.after.settings().countdown_secs);
    KeyPlace::Unassigned { joins_at, ends_at }
}

/// Notes that a key comes to a group: for the first time since it was issued, or from another place, `from` if that is a
/// group (domain E2).
pub(super) fn watch(draft: &mut Draft<'_>, place: KeyPlace, past: KeyPast, from: Option<GroupId>) {
    if let Some(group) = place.group() {
        let first_claim_of_a_key = !past.was_in_group;
        let used_key_came = past.was_in_group && from != Some(group);
        draft.watch(group, Occasion { first_claim_of_a_key, used_key_came, ..Occasion::default() });
    }
}

pub(super) fn leave(draft: &mut Draft<'_>, key: &LicenseKey) {
    if let Some(group) = key.state.group() {
        draft.watch(group, Occasion::default());
    }
}

/// What becomes of the group a key left: it must not owe (domain K5), and renewals do not wait for nothing (K3).
pub(super) fn after_leaving(draft: &mut Draft<'_>, group: Option<GroupId>) -> Result<(), Refusals> {
    let Some(group) = group.and_then(|id| draft.after.group(id)) else { return Ok(()) };
    match group.figures.term {
        Term::Running { coterm } if coterm.floor() <= draft.now => Err(Refusal::new(
            RefusalCode::GroupWouldOwe,
            format!(
                "group `{}` would be left with keys whose common end, {}, has passed",
                group.name,
                coterm.floor()
            ),
            "leave it enough term: move another key, or claim one to it first",
        )
        .into()),
        Term::Emptied if !group.queue.is_empty() => {
            let (id, keys) = (group.id, u64::try_from(group.queue.size()).unwrap_or(u64::MAX));
            draft.push(Event::RenewalsActivated { group: id, keys })
        }
        Term::Running { .. } | Term::NeverLicensed | Term::Ended { .. } | Term::Emptied => Ok(()),
    }
}
