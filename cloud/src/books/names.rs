//! Names only one organization may hold at a time: license keys and devices, and what is said of one that another holds.
//!
//! **Deliberately absent:** who holds what; the store knows, and the rules say what an event takes and gives back.

use super::request::Change;
use super::rules::View;
use crate::store::{Reservation, ReservationAct, StreamId};
use coterm_shared::licensing::{Refusal, RefusalCode, Refusals, ReservedKind};

/// The one answer to every code that cannot be claimed, so that it tells nothing about other organizations (domain K1).
pub(super) fn not_claimable() -> Refusals {
    let message = "this key code is unknown or cannot be claimed by this organization";
    let hint = "check the code with the order; if it is right, ask the vendor";
    Refusal::new(RefusalCode::KeyNotClaimable, message, hint).at("code").into()
}

/// The refusal of a name that another organization holds.
pub(super) fn taken(kind: &str, value: &str) -> Refusals {
    if kind == ReservedKind::LicenseKey.as_str() {
        return not_claimable();
    }
    let message = format!("{kind} {value} is already claimed");
    let hint = "retire it where it is claimed, then claim it here; if that is not yours, or it was replaced or reported \
                stolen there, ask the vendor";
    Refusal::new(RefusalCode::DeviceAlreadyClaimed, message, hint).at("id").into()
}

/// Refuses a name that another stream holds.
pub(super) fn check_holder(name: &Reservation, holder: Option<StreamId>) -> Result<(), Refusals> {
    match (name.act, holder) {
        (ReservationAct::Reserve, Some(holder)) if holder != name.stream => {
            Err(taken(&name.kind, &name.value))
        }
        (ReservationAct::Reserve | ReservationAct::Release, _) => Ok(()),
    }
}

/// The name a change asks for before anything else may be said about it: by why a claim of a key is refused, nobody
/// may learn that another organization holds it (domain K1).
pub(super) fn asked_for(view: &impl View, change: &Change) -> Option<Reservation> {
    match change {
        Change::ClaimKey { organization, code, .. } => {
            let key = view.platform().key_by_code_hash(&code.hash())?.id;
            let (stream, kind) = ((*organization).into(), ReservedKind::LicenseKey.as_str().to_owned());
            Some(Reservation { stream, kind, value: key.to_string(), act: ReservationAct::Reserve })
        }
        Change::FoundOrganization(_)
        | Change::Organization { .. }
        | Change::SplitKey { .. }
        | Change::WithLicenses { .. }
        | Change::Prepared(_)
        | Change::TransferKey { .. }
        | Change::Platform(_) => None,
    }
}

/// Whether `earlier` gives back what `name` takes from its present holder.
fn frees(earlier: &Reservation, name: &Reservation, holder: Option<StreamId>) -> bool {
    earlier.act == ReservationAct::Release
        && Some(earlier.stream) == holder
        && (&earlier.kind, &earlier.value) == (&name.kind, &name.value)
}

/// Refuses the first of these names that another stream holds, unless one before it gives it back.
pub(super) fn check_names<E: From<Refusals>>(
    names: &[Reservation],
    holder: impl Fn(&Reservation) -> Result<Option<StreamId>, E>,
) -> Result<(), E> {
    for (index, name) in names.iter().enumerate() {
        let holder = holder(name)?;
        if !names.iter().take(index).any(|earlier| frees(earlier, name, holder)) {
            check_holder(name, holder)?;
        }
    }
    Ok(())
}
