//! Writing an operation down instead of doing it (domain E6).

use super::held::{Actor, HELD_MAX, HeldCommand, HeldOperation, HeldState, SafetyEvent};
use crate::id::HeldId;
use crate::licensing::digest::{PreviewDigest, asks_the_same};
use crate::licensing::draft::{Decision, Touched};
use crate::licensing::event::{Dated, Event};
use crate::licensing::refusal::{Refusal, RefusalCode, Refusals};
use crate::time::Timestamp;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use sha2::{Digest, Sha256};

/// What a decision becomes if it is held: nothing of it but that it waits; what was due happens all the same.
///
/// `digest` is that of its preview. Asked again while it waits, it is the operation that waits already, and nothing is
/// written.
///
/// # Errors
/// `TOO_MANY_HELD` if so many wait that no more may.
pub fn hold(
    decision: &Decision,
    command: &HeldCommand,
    digest: &PreviewDigest,
    by: &Actor,
) -> Result<(Decision, HeldOperation), Refusals> {
    let base = &decision.base;
    let due: Vec<Dated> = decision.events.iter().take(decision.due_events).cloned().collect();
    let mut held = Decision {
        events: due,
        after: base.clone(),
        touched: Touched { renewals_at_once: Default::default(), ..decision.touched.clone() },
        ..decision.clone()
    };
    if let Some(waiting) = base.safety.waiting().find(|held| asks_the_same(&held.digest, digest)) {
        return Ok((held, waiting.clone()));
    }
    let waiting = base.safety.waiting().count();
    if waiting >= HELD_MAX {
        return Err(Refusal::new(
            RefusalCode::TooManyHeld,
            format!("{waiting} operations of this organization wait for the vendor already"),
            "have the vendor decide on them, or withdraw some",
        )
        .into());
    }
    let at = decision.at;
    let operation = HeldOperation {
        id: id(decision, at),
        by: by.clone(),
        operation: String::from(command.command.name()),
        command: command.text(),
        digest: digest.to_string(),
        groups: decision.lockout.groups.iter().copied().collect(),
        devices: decision.lockout.devices,
        lately: decision.lockout.lately,
        of: decision.lockout.of,
        held_at: at,
        expires_at: at.saturating_add(decision.limits.held_secs),
        state: HeldState::Waiting,
    };
    let event = Event::Safety(SafetyEvent::Held { operation: Box::new(operation.clone()) });
    let dated = Dated { at, event };
    held.after.apply(&dated).map_err(|error| {
        Refusal::new(RefusalCode::InternalContradiction, format!("{error}"), "report this")
    })?;
    held.events.push(dated);
    Ok((held, operation))
}

/// An id nobody has to choose: a UUIDv7 of the instant and, within it, of the version of the books, so that ids come in the
/// order of what they name; a hash of what makes this moment of the books unique is in the place of randomness.
fn id(decision: &Decision, at: Timestamp) -> HeldId {
    let base = &decision.base;
    let hash = Sha256::new()
        .chain_update(base.id().as_bytes())
        .chain_update(base.version().to_be_bytes())
        .finalize();
    let mut bytes = [0_u8; 16];
    bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    let millis = at.as_secs().saturating_mul(1_000).to_be_bytes();
    bytes.iter_mut().zip(millis.into_iter().skip(2)).for_each(|(to, from)| *to = from);
    let [.., high, low] = base.version().to_be_bytes();
    bytes.iter_mut().skip(6).zip([(high & 0x0f) | 0x70, low]).for_each(|(to, from)| *to = from);
    if let Some(byte) = bytes.get_mut(8) {
        *byte = (*byte & 0x3f) | 0x80;
    }
    HeldId::from_bytes(bytes)
}
