//! Deciding on held operations, and freezing (domain E6).
//!
//! An approved operation is decided on the state of the moment it is approved, by the code that decides it anyway, and
//! refused as it would be. Two people are two principals, neither of whom made the other's credential for himself: what
//! role they have does not matter here.

use super::dispatch;
use crate::id::HeldId;
use crate::licensing::draft::Draft;
use crate::licensing::event::Event;
use crate::licensing::refusal::{Refusal, RefusalCode, Refusals};
use crate::licensing::safety::{Actor, HeldOperation, HeldState, SafetyCommand, SafetyEvent};
use crate::time::{Seconds, Timestamp};
use alloc::format;
use alloc::string::String;

pub(super) fn decide(draft: &mut Draft<'_>, command: &SafetyCommand) -> Result<(), Refusals> {
    match command {
        SafetyCommand::Approve { held, by, made_by } => approve(draft, *held, by, made_by),
        SafetyCommand::Reject { held, by } => {
            waiting(draft, *held)?;
            draft.push(Event::Safety(SafetyEvent::Rejected { held: *held, by: by.clone() }))
        }
        SafetyCommand::Withdraw { held, by } => {
            let operation = waiting(draft, *held)?;
            if operation.by.id != by.id {
                return Err(Refusal::new(
                    RefusalCode::WithdrawalByOther,
                    format!("{} asked for this operation, and it is theirs to withdraw", operation.by.name),
                    "the vendor can reject it; undecided, it is dropped by itself",
                )
                .into());
            }
            draft.push(Event::Safety(SafetyEvent::Withdrawn { held: *held, by: by.clone() }))
        }
        SafetyCommand::Freeze { by } => freeze(draft, by),
        SafetyCommand::Unfreeze { by, lease_secs, announced } => unfreeze(draft, by, *lease_secs, *announced),
    }
}

fn approve(draft: &mut Draft<'_>, id: HeldId, by: &Actor, made_by: &[String]) -> Result<(), Refusals> {
    let operation = waiting(draft, id)?;
    if operation.by.id == by.id || made_by.contains(&operation.by.id) {
        return Err(Refusal::new(
            RefusalCode::ApprovalByAsker,
            format!(
                "{} asked for this operation and cannot approve it, nor can a credential they made",
                operation.by.name
            ),
            "have somebody else of the vendor's staff look at it and decide",
        )
        .into());
    }
    let Some(held) = operation.command() else {
        return Err(Refusal::new(
            RefusalCode::HeldOperationUnreadable,
            "the operation was written down by another version of this program, which this one cannot read",
            "reject it, and have it asked for again",
        )
        .into());
    };
    draft.approves(id, by);
    dispatch(draft, &held.command)
}

/// The operation, if it still waits.
fn waiting(draft: &Draft<'_>, id: HeldId) -> Result<HeldOperation, Refusals> {
    let operation = draft.after.held_operation(id).ok_or_else(|| {
        Refusal::new(
            RefusalCode::HeldOperationNotFound,
            format!("no operation {id} waits in this organization"),
            "list the held operations to find its id; those decided long ago are in the log alone",
        )
    })?;
    let how = match &operation.state {
        HeldState::Waiting => return Ok(operation.clone()),
        HeldState::Approved { at, by } => format!("was approved by {} at {at}", by.name),
        HeldState::Rejected { at, by } => format!("was rejected by {} at {at}", by.name),
        HeldState::Withdrawn { at, by } => format!("was withdrawn by {} at {at}", by.name),
        HeldState::Expired { at } => format!("was dropped at {at}, as nobody had decided"),
    };
    Err(Refusal::new(
        RefusalCode::HeldOperationClosed,
        format!("the operation waits no longer: it {how}"),
        "nothing needs to be done; what shall still happen must be asked for again",
    )
    .into())
}

fn freeze(draft: &mut Draft<'_>, by: &Actor) -> Result<(), Refusals> {
    if draft.after.freeze().is_some_and(|freeze| freeze.is_on()) {
        return Err(Refusal::new(
            RefusalCode::AlreadyFrozen,
            "enforcement of this organization is frozen already",
            "nothing needs to be done",
        )
        .into());
    }
    draft.touches_everything();
    draft.push(Event::Safety(SafetyEvent::Frozen { by: by.clone() }))
}

fn unfreeze(
    draft: &mut Draft<'_>,
    by: &Actor,
    lease_secs: Seconds,
    announced: Option<Timestamp>,
) -> Result<(), Refusals> {
    let Some(freeze) = draft.after.freeze().filter(|freeze| freeze.is_on()) else {
        return Err(Refusal::new(
            RefusalCode::NotFrozen,
            "enforcement of this organization is not frozen by itself",
            "a freeze of everything is ended for everything",
        )
        .into());
    };
    let until = freeze.put_off_until(draft.now, lease_secs, announced);
    draft.touches_everything();
    draft.push(Event::Safety(SafetyEvent::Unfrozen { by: by.clone(), until }))
}
