//! Keys split in two (domain K7): quantities per line, one end, and where each part goes.

use super::keys::{
    after_leaving, belongs_here, check_left, leave, one_pool, place_in_group, renewal_without_group,
    unassigned, usable, watch,
};
use crate::id::{GroupId, KeyId, OrganizationId};
use crate::licensing::command::{ClaimMode, PartRequest, PartTarget};
use crate::licensing::draft::Draft;
use crate::licensing::event::{Event, SplitPart};
use crate::licensing::license_key::{IssuedKey, KeyLine, KeyState, LicenseKey};
use crate::licensing::refusal::{Findings, Refusal, RefusalCode, Refusals};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

pub(super) fn split_key(
    draft: &mut Draft<'_>,
    id: KeyId,
    requests: &[PartRequest; 2],
) -> Result<(), Refusals> {
    let key = usable(draft, id)?;
    let mut findings = Findings::default();
    let left = key.left_at(draft.now);
    check_left(left, key.ends_at, &mut findings);
    check_quantities(&key, requests, &mut findings);
    let [first, second] = requests;
    for request in requests {
        if first.id == second.id || request.id == id || draft.after.key(request.id).is_some() {
            findings.push(super::id_taken("key"));
        }
    }
    let leaving = requests.each_ref().map(|request| match request.target {
        PartTarget::Own { .. } => None,
        PartTarget::Other(to) => Some((request.id, to)),
    });
    check_leaving(draft, leaving, &mut findings);
    let mut part = |index: usize, request: &PartRequest| {
        let lines = lines_of(&key, request);
        let target = target_of(draft, &key, request.target);
        let place = match target {
            (Some(group), mode) => {
                place_in_group(draft, group, mode, left, key.has_waited, lines.len(), &mut findings)
            }
            (None, mode) => {
                findings.extend(renewal_without_group(mode, &format!("parts[{index}].group")));
                // A part left unassigned is unclaimed: its creation clock applies again (domain K3).
                check_left(key.ends_at.since(draft.now), key.ends_at, &mut findings);
                Some(unassigned(draft, key.ends_at))
            }
        };
        let issued = IssuedKey {
            id: request.id,
            code_tail: request.code_tail.clone(),
            lines,
            // Any time the key stood queued before is inherited with it.
            ends_at: key.ends_at,
            ..key.issued.clone()
        };
        place.map(|place| SplitPart { key: issued, place })
    };
    let parts = part(0, first).zip(part(1, second));
    let (first, second) = findings.finish_with(parts)?;
    leave(draft, &key);
    watch(draft, first.place, key.past(), key.state.group());
    watch(draft, second.place, key.past(), key.state.group());
    draft.push(Event::KeySplit { key: id, parts: Box::new([first, second]) })?;
    for (key, to) in leaving.into_iter().flatten() {
        draft.push(Event::KeyTransferred { key, to })?;
    }
    after_leaving(draft, key.state.group())
}

/// Of the parts that go to other organizations (domain K7): one at most, and not to where it is.
fn check_leaving(draft: &Draft<'_>, leaving: [Option<(KeyId, OrganizationId)>; 2], findings: &mut Findings) {
    if leaving.iter().all(Option::is_some) {
        findings.push(
            Refusal::new(
                RefusalCode::BothPartsLeave,
                "both parts would go to other organizations",
                "split it with one part unassigned, then transfer that part",
            )
            .at("parts"),
        );
    }
    for (index, (_, to)) in leaving.iter().enumerate().filter_map(|(index, part)| Some((index, (*part)?))) {
        if to == draft.after.id() {
            findings.push(belongs_here(&format!("parts[{index}].organization")));
        }
    }
}

/// The group of a part and how it comes into it; no group if it is left unassigned.
fn target_of(draft: &Draft<'_>, key: &LicenseKey, target: PartTarget) -> (Option<GroupId>, ClaimMode) {
    match target {
        PartTarget::Own { group, mode } => {
            let group = group.or(one_pool(draft));
            // As with a move: what waits goes on waiting unless told otherwise; what is unassigned waits for nothing.
            let usual = match key.state {
                KeyState::Queued { .. } if group.is_some() => ClaimMode::Renewal,
                KeyState::Queued { .. }
                | KeyState::Active { .. }
                | KeyState::Unassigned { .. }
                | KeyState::Retired { .. }
                | KeyState::Split { .. }
                | KeyState::Transferred { .. } => ClaimMode::Increase,
            };
            (group, mode.unwrap_or(usual))
        }
        PartTarget::Other(_) => (None, ClaimMode::Increase),
    }
}

fn lines_of(key: &LicenseKey, request: &PartRequest) -> Vec<KeyLine> {
    let quantity = |line: &KeyLine| {
        request.lines.iter().find(|asked| asked.product == line.product).map_or(0, |asked| asked.quantity)
    };
    let lines = key.issued.lines.iter().map(|line| KeyLine { quantity: quantity(line), ..*line });
    lines.filter(|line| line.quantity > 0).collect()
}

/// Both parts hold something, and together exactly the key (domain K7).
fn check_quantities(key: &LicenseKey, requests: &[PartRequest; 2], findings: &mut Findings) {
    for (index, request) in requests.iter().enumerate() {
        if request.lines.iter().all(|line| line.quantity == 0) {
            findings.push(
                Refusal::new(
                    RefusalCode::SplitPartEmpty,
                    "a part of a split holds at least one unit",
                    "give each of the two parts some units; a key of one unit cannot be split",
                )
                .at(format!("parts[{index}].lines")),
            );
        }
        for (at, line) in request.lines.iter().enumerate() {
            if request.lines.iter().take(at).any(|earlier| earlier.product == line.product) {
                findings.push(
                    Refusal::new(
                        RefusalCode::LinesInvalid,
                        format!("two lines for {}", line.product),
                        "add their quantities up in one line",
                    )
                    .at(format!("parts[{index}].lines")),
                );
            }
            if !key.issued.lines.iter().any(|of| of.product == line.product) {
                findings.push(
                    Refusal::new(
                        RefusalCode::SplitDoesNotAddUp,
                        format!("the key has no {}", line.product),
                        "name only product types of the key",
                    )
                    .at(format!("parts[{index}].lines")),
                );
            }
        }
    }
    for line in &key.issued.lines {
        let asked = requests.iter().flat_map(|request| &request.lines).filter(|l| l.product == line.product);
        let sum = asked.fold(0_u64, |sum, line| sum.saturating_add(line.quantity));
        if sum != line.quantity {
            findings.push(Refusal::new(
                RefusalCode::SplitDoesNotAddUp,
                format!("the parts hold {sum} {} units, the key {}", line.product, line.quantity),
                "the two quantities of every product type add up to the key's",
            ));
        }
    }
}
