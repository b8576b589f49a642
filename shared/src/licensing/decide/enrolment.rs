//! Claim codes issued and taken back, and devices that come with one.
//!
//! What a stranger can learn from a refusal is nothing: a code that is unknown, used by another, ended, taken back or
//! meant for another device is refused in the same words. Who holds the code's secret and comes again with the same key is
//! no stranger: it gets the same answer, which makes a lost answer harmless.

use super::devices;
use crate::enrolment::code::KeyPrint;
use crate::id::{ClaimCodeId, DeviceId};
use crate::licensing::command::NewDevice;
use crate::licensing::device::DeviceState;
use crate::licensing::draft::Draft;
use crate::licensing::enrolment::{
    APPROVED_MAX, ClaimCode, ClaimState, Enrol, EnrolmentCommand, EnrolmentEvent, LIST_MAX, NewClaimCode,
    OPEN_MAX,
};
use crate::licensing::event::{Event, Retirement};
use crate::licensing::name::ModelName;
use crate::licensing::refusal::{Findings, Refusal, RefusalCode, Refusals};
use crate::time::Seconds;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

/// The longest life of a claim code.
const LIFE_MAX: Seconds = Seconds::days(365);

pub(super) fn decide(draft: &mut Draft<'_>, command: &EnrolmentCommand) -> Result<(), Refusals> {
    match command {
        EnrolmentCommand::IssueCode(new) => issue(draft, new),
        EnrolmentCommand::RevokeCode { code } => revoke(draft, *code),
        EnrolmentCommand::Enrol(ask) => enrol(draft, ask),
        EnrolmentCommand::Approve { code } => {
            let (code, device, key) = pending(draft, *code)?;
            admit(draft, &code, &device, key)
        }
        EnrolmentCommand::Deny { code } => {
            let (code, _, _) = pending(draft, *code)?;
            push(draft, EnrolmentEvent::Denied { code: code.id })
        }
        EnrolmentCommand::Preauthorise { devices } => preauthorise(draft, devices),
        EnrolmentCommand::EndPreauthorisation { devices } => end_preauthorisation(draft, devices),
    }
}

fn push(draft: &mut Draft<'_>, event: EnrolmentEvent) -> Result<(), Refusals> {
    draft.push(Event::Enrolment(event))
}

fn issue(draft: &mut Draft<'_>, new: &NewClaimCode) -> Result<(), Refusals> {
    let mut findings = Findings::default();
    let model = findings.keep(ModelName::parse(&new.model));
    if draft.after.site(new.site).is_none() {
        findings.push(super::site_not_found(new.site).at("site"));
    }
    if !(Seconds(1)..=LIFE_MAX).contains(&new.life_secs) {
        let message = format!("a claim code cannot live for {} s", new.life_secs.0);
        let hint = format!("choose 1 to {} seconds (a year)", LIFE_MAX.0);
        findings.push(Refusal::new(RefusalCode::SettingOutOfBounds, message, hint).at("life_secs"));
    }
    let enrolment = draft.after.enrolment();
    if enrolment.code(new.id).is_some() || enrolment.code_by_hash(&new.hash).is_some() {
        findings.push(super::id_taken("claim code"));
    }
    if enrolment.open() >= OPEN_MAX {
        findings.push(Refusal::new(
            RefusalCode::TooManyClaimCodes,
            format!("{OPEN_MAX} claim codes are open, which is as many as there may be"),
            "revoke those nobody will use",
        ));
    }
    let model = findings.finish_with(model)?;
    let code = ClaimCode {
        id: new.id,
        hash: new.hash,
        tail: new.tail.clone(),
        site: new.site,
        model,
        product: new.product,
        units: new.units,
        trial_secs: new.trial_secs,
        device: new.device.clone(),
        approval: new.approval,
        issued_at: draft.now,
        ends_at: draft.now.saturating_add(new.life_secs),
        state: ClaimState::Open,
    };
    push(draft, EnrolmentEvent::CodeIssued { code: Box::new(code) })
}

fn revoke(draft: &mut Draft<'_>, id: ClaimCodeId) -> Result<(), Refusals> {
    let code = find(draft, id)?;
    match code.state {
        ClaimState::Open => push(draft, EnrolmentEvent::CodeRevoked { code: id }),
        ClaimState::Pending { .. } => Err(Refusal::new(
            RefusalCode::ClaimCodeSpent,
            "a device waits for approval with this claim code",
            "deny the device",
        )
        .into()),
        ClaimState::Used { .. } | ClaimState::Denied { .. } | ClaimState::Revoked { .. } => {
            Err(Refusal::new(
                RefusalCode::ClaimCodeSpent,
                "this claim code cannot be used any more",
                "to put a device that used it out, retire the device or report it stolen",
            )
            .into())
        }
    }
}

fn find(draft: &Draft<'_>, id: ClaimCodeId) -> Result<ClaimCode, Refusals> {
    draft.after.enrolment().code(id).cloned().ok_or_else(|| {
        Refusal::new(
            RefusalCode::ClaimCodeNotFound,
            format!("there is no claim code {id} in this organization"),
            "list the claim codes to find its id",
        )
        .into()
    })
}

fn pending(draft: &Draft<'_>, id: ClaimCodeId) -> Result<(ClaimCode, DeviceId, KeyPrint), Refusals> {
    let code = find(draft, id)?;
    match code.state.clone() {
        ClaimState::Pending { device, key, .. } => Ok((code, device, key)),
        ClaimState::Open
        | ClaimState::Used { .. }
        | ClaimState::Denied { .. }
        | ClaimState::Revoked { .. } => Err(Refusal::new(
            RefusalCode::EnrolmentNotPending,
            "no device waits for approval with this claim code",
            "list the devices that wait",
        )
        .into()),
    }
}

fn not_usable() -> Refusals {
    Refusal::new(
        RefusalCode::ClaimCodeNotUsable,
        "this claim code cannot be used by this device",
        "check the code and ask who gave it for a new one; a device that was in use elsewhere must be retired there",
    )
    .at("code")
    .into()
}

fn enrol(draft: &mut Draft<'_>, ask: &Enrol) -> Result<(), Refusals> {
    let code = draft.after.enrolment().code_by_hash(&ask.hash).cloned().ok_or_else(not_usable)?;
    let same = |device: &DeviceId, key: &KeyPrint| {
        *key == ask.key && ask.device.as_ref().is_none_or(|asked| asked == device)
    };
    match &code.state {
        ClaimState::Open => first(draft, &code, ask),
        ClaimState::Pending { device, key, .. } if same(device, key) => {
            gone(draft, device)?;
            if draft.after.enrolment().is_preauthorised(device) {
                return admit(draft, &code, device, *key);
            }
            Ok(())
        }
        ClaimState::Used { device, key, at } if same(device, key) => {
            gone(draft, device)?;
            // Retired and claimed again by other means since, it is not the device that was let in.
            let there =
                draft.after.device(device).filter(|there| there.is_active() && there.claimed_at <= *at);
            there.map(|_| ()).ok_or_else(not_usable)
        }
        ClaimState::Denied { device, key, .. } if same(device, key) => Err(Refusal::new(
            RefusalCode::EnrolmentDenied,
            "an administrator denied this device",
            "ask the organization's administrator; a new claim code is needed",
        )
        .into()),
        ClaimState::Pending { .. }
        | ClaimState::Used { .. }
        | ClaimState::Denied { .. }
        | ClaimState::Revoked { .. } => Err(not_usable()),
    }
}

fn first(draft: &mut Draft<'_>, code: &ClaimCode, ask: &Enrol) -> Result<(), Refusals> {
    let meant = match (&code.device, &ask.device) {
        (Some(bound), Some(asked)) => (bound == asked).then_some(bound),
        (Some(bound), None) => Some(bound),
        (None, Some(asked)) => Some(asked),
        (None, None) => Some(&ask.fresh),
    };
    let device = meant.filter(|_| draft.now < code.ends_at).ok_or_else(not_usable)?.clone();
    gone(draft, &device)?;
    if code.approval && !draft.after.enrolment().is_preauthorised(&device) {
        return push(draft, EnrolmentEvent::Requested { code: code.id, device, key: ask.key });
    }
    admit(draft, code, &device, ask.key)
}

/// Refuses a device that can never come back, in words of its own (domain G9, G10).
fn gone(draft: &Draft<'_>, device: &DeviceId) -> Result<(), Refusals> {
    let state = draft.after.device(device).map(|device| &device.state);
    let (code, message, hint) = match state {
        Some(DeviceState::Retired { retirement: Retirement::Stolen, .. }) => (
            RefusalCode::DeviceStolen,
            format!("device {device} was reported stolen"),
            "contact the vendor's support with its serial number",
        ),
        Some(DeviceState::Retired { retirement: Retirement::Replaced { by }, .. }) => (
            RefusalCode::DeviceReplaced,
            format!("device {device} was replaced by {by} and cannot come back"),
            "return it to the vendor",
        ),
        Some(
            DeviceState::Active
            | DeviceState::Trial(_)
            | DeviceState::Retired { retirement: Retirement::Retired, .. },
        )
        | None => return Ok(()),
    };
    Err(Refusal::new(code, message, hint).at("device").into())
}

/// Claims the device, by the path every claim takes, and notes its key.
fn admit(draft: &mut Draft<'_>, code: &ClaimCode, device: &DeviceId, key: KeyPrint) -> Result<(), Refusals> {
    let in_use = draft.after.device(device).is_some_and(crate::licensing::Device::is_active);
    // Only a code for this very device may give a device in use another key: no other code takes one over.
    if !in_use || code.device.as_ref() != Some(device) {
        let new = NewDevice {
            id: device.clone(),
            model: code.model.to_string(),
            product: code.product,
            units: code.units,
            trial_secs: code.trial_secs,
            doors: None,
        };
        devices::claim_device(draft, &new, code.site)?;
    }
    push(draft, EnrolmentEvent::Enrolled { code: code.id, device: device.clone(), key })
}

fn bounded(devices: &[DeviceId]) -> Result<(), Refusals> {
    if (1..=LIST_MAX).contains(&devices.len()) {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::ListOutOfBounds,
        format!("a list of {} devices is not possible", devices.len()),
        format!("name 1 to {LIST_MAX} devices at a time"),
    )
    .at("devices")
    .into())
}

fn preauthorise(draft: &mut Draft<'_>, devices: &[DeviceId]) -> Result<(), Refusals> {
    bounded(devices)?;
    let enrolment = draft.after.enrolment();
    let mut fresh: Vec<DeviceId> =
        devices.iter().filter(|device| !enrolment.is_preauthorised(device)).cloned().collect();
    fresh.sort();
    fresh.dedup();
    if enrolment.preauthorised().saturating_add(fresh.len()) > APPROVED_MAX {
        return Err(Refusal::new(
            RefusalCode::ListOutOfBounds,
            format!("more than {APPROVED_MAX} devices would be on the list"),
            "take those off that have come",
        )
        .at("devices")
        .into());
    }
    if fresh.is_empty() {
        return Ok(());
    }
    push(draft, EnrolmentEvent::Preauthorised { devices: fresh })
}

fn end_preauthorisation(draft: &mut Draft<'_>, devices: &[DeviceId]) -> Result<(), Refusals> {
    bounded(devices)?;
    let enrolment = draft.after.enrolment();
    let mut there: Vec<DeviceId> =
        devices.iter().filter(|device| enrolment.is_preauthorised(device)).cloned().collect();
    there.sort();
    there.dedup();
    if there.is_empty() {
        return Ok(());
    }
    push(draft, EnrolmentEvent::PreauthorisationEnded { devices: there })
}
