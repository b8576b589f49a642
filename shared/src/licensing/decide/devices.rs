//! Devices: claimed, moved, tried, replaced, retired, stolen (domain G6-G10).

use super::site_not_found;
use super::sites::{check_countdown, not_to_unassigned, stay_in_group};
use crate::id::{DeviceId, SiteId};
use crate::licensing::clock::{CauseClock, Clocks};
use crate::licensing::command::NewDevice;
use crate::licensing::compliance::{Holder, Occasion};
use crate::licensing::device::{Device, DeviceState, Trial};
use crate::licensing::draft::Draft;
use crate::licensing::event::{Event, Retirement};
use crate::licensing::license_key::QUANTITY_MAX;
use crate::licensing::name::ModelName;
use crate::licensing::refusal::{Findings, Refusal, RefusalCode, Refusals};
use crate::licensing::site::Home;
use crate::time::Seconds;
use alloc::format;
use alloc::vec::Vec;

pub(super) fn claim_device(draft: &mut Draft<'_>, new: &NewDevice, site: SiteId) -> Result<(), Refusals> {
    claim(draft, new, site, Clocks::FRESH)
}

/// Claims a device that has at least the clocks `inherited`.
fn claim(draft: &mut Draft<'_>, new: &NewDevice, site: SiteId, inherited: Clocks) -> Result<(), Refusals> {
    let mut findings = Findings::default();
    let model = findings.keep(ModelName::parse(&new.model));
    let known = draft.after.device(&new.id);
    let clocks = known.map_or(Clocks::FRESH, |device| check_return(draft, device, site, &mut findings));
    let clocks = clocks.stricter(inherited, draft.now);
    if !(1..=QUANTITY_MAX).contains(&new.units) {
        findings.push(
            Refusal::new(
                RefusalCode::UnitsOutOfBounds,
                format!("a device cannot consume {} units", new.units),
                format!("correct the catalog: units are 1 to {QUANTITY_MAX}"),
            )
            .at("units"),
        );
    }
    let home = draft.after.home_of_site(site);
    match home {
        None => findings.push(site_not_found(site).at("site")),
        Some(Home::Unassigned) if !clocks.is_fresh() => findings.push(Refusal::new(
            RefusalCode::DeviceCarriesClock,
            format!("device {} was in use while its group was noncompliant", new.id),
            "claim it to a site in a license group",
        )),
        Some(Home::Unassigned | Home::Group(_)) => {}
    }
    let trial = new.trial_secs.and_then(|secs| check_trial(draft, known, secs, home, &mut findings));
    let (model, home) = findings.finish_with(model.zip(home))?;
    if let Home::Group(group) = home {
        let arrivals: Vec<_> = Some((Holder::Device(new.id.clone()), clocks))
            .filter(|(_, clocks)| !clocks.is_fresh())
            .into_iter()
            .collect();
        draft.watch(group, Occasion { arrivals, ..Occasion::default() });
    }
    draft.touch_device(&new.id);
    draft.push(Event::DeviceClaimed {
        device: new.id.clone(),
        site,
        model,
        product: new.product,
        units: new.units,
        trial,
    })
}

/// Whether a device that was here before may be claimed again, and the clocks it comes back with.
fn check_return(draft: &Draft<'_>, device: &Device, site: SiteId, findings: &mut Findings) -> Clocks {
    let refused = |code, message, hint: &str| Refusal::new(code, message, hint).at("id");
    match &device.state {
        DeviceState::Active | DeviceState::Trial(_) => findings.push(refused(
            RefusalCode::DeviceAlreadyClaimed,
            format!("device {} is already claimed", device.id),
            "retire it first, or check the id on its label",
        )),
        DeviceState::Retired { retirement: Retirement::Replaced { by }, .. } => findings.push(refused(
            RefusalCode::DeviceReplaced,
            format!("device {} was replaced by {by} and cannot come back", device.id),
            "return it to the vendor",
        )),
        DeviceState::Retired { retirement: Retirement::Stolen, .. } => findings.push(refused(
            RefusalCode::DeviceStolen,
            format!("device {} was reported stolen", device.id),
            "contact the vendor's support with its serial number",
        )),
        DeviceState::Retired { at, retirement: Retirement::Retired, clocks } => {
            // As long out of use as a group must be compliant: its clocks start anew.
            let rested = draft.now.since(*at) >= draft.limits.clock_reset_secs;
            if rested {
                return Clocks::FRESH;
            }
            if clocks.is_fresh() {
                findings.extend(check_countdown(
                    &draft.after,
                    device.site,
                    site,
                    &format!("device {}", device.id),
                ));
            }
            return *clocks;
        }
    }
    Clocks::FRESH
}

/// A trial is for a device that was never here before (domain G8).
fn check_trial(
    draft: &Draft<'_>,
    known: Option<&Device>,
    secs: Seconds,
    home: Option<Home>,
    findings: &mut Findings,
) -> Option<Trial> {
    if let Some(device) = known {
        findings.push(
            Refusal::new(
                RefusalCode::TrialUsed,
                format!("device {} was claimed here before", device.id),
                "claim it without a trial",
            )
            .at("trial_secs"),
        );
    }
    if !(Seconds(1)..=draft.limits.trial_max_secs).contains(&secs) {
        findings.push(
            Refusal::new(
                RefusalCode::SettingOutOfBounds,
                format!("a trial of {} s is outside 1 to {} s", secs.0, draft.limits.trial_max_secs.0),
                "choose a trial within the vendor's bounds",
            )
            .at("trial_secs"),
        );
    }
    let group = home.and_then(Home::group).and_then(|id| draft.after.group(id));
    let settings = group.map_or(*draft.after.settings(), |group| draft.after.settings_of(group));
    let ends_at = draft.now.saturating_add(secs);
    Some(Trial { ends_at, schedule: CauseClock::Fresh.run_from(ends_at, &settings).schedule() })
}

pub(super) fn move_device(draft: &mut Draft<'_>, id: &DeviceId, site: SiteId) -> Result<(), Refusals> {
    let device = in_use(draft, id)?.clone();
    let mut findings = Findings::default();
    let to = draft.after.home_of_site(site);
    if to.is_none() {
        findings.push(site_not_found(site).at("site"));
    }
    if site == device.site {
        findings.push(Refusal::new(
            RefusalCode::AlreadyThere,
            "the device is already in this site",
            "nothing needs to be done",
        ));
    }
    let from = draft.after.home_of_site(device.site).unwrap_or(Home::Unassigned);
    if to == Some(Home::Unassigned) {
        if from == Home::Unassigned {
            findings.extend(check_countdown(&draft.after, device.site, site, "a device"));
        } else {
            findings.push(not_to_unassigned("a device"));
        }
    }
    let to = findings.finish_with(to)?;
    let holder = Holder::Device(id.clone());
    if from == to {
        stay_in_group(draft, to, holder, device.site, Some(site));
    } else {
        let clocks = draft.after.clocks_of_device(id, draft.now);
        if let Home::Group(group) = from {
            let departures = Vec::from([holder.clone()]);
            draft.watch(group, Occasion { departures, ..Occasion::default() });
        }
        if let Home::Group(group) = to {
            let arrivals = if clocks.is_fresh() { Vec::new() } else { Vec::from([(holder, clocks)]) };
            draft.watch(group, Occasion { arrivals, ..Occasion::default() });
        }
    }
    draft.touch_device(id);
    draft.push(Event::DeviceMoved { device: id.clone(), site })
}

pub(super) fn convert_trial(draft: &mut Draft<'_>, id: &DeviceId) -> Result<(), Refusals> {
    let device = in_use(draft, id)?;
    match device.state {
        DeviceState::Trial(_) => {}
        DeviceState::Active | DeviceState::Retired { .. } => {
            return Err(Refusal::new(
                RefusalCode::DeviceNotOnTrial,
                format!("device {id} is not on trial"),
                "nothing needs to be done",
            )
            .into());
        }
    }
    if let Some(group) = draft.after.group_of_site(device.site) {
        let (holder, clocks) = (Holder::Device(id.clone()), draft.after.clocks_taken_along(id, draft.now));
        draft.watch(group, Occasion::brings(holder, clocks));
    }
    draft.touch_device(id);
    draft.push(Event::TrialConverted { device: id.clone() })
}

pub(super) fn replace_device(draft: &mut Draft<'_>, old: &DeviceId, new: &NewDevice) -> Result<(), Refusals> {
    let device = in_use(draft, old)?.clone();
    // What the old device had used up of its grace, its replacement has used up (domain E2).
    let clocks = draft.after.clocks_taken_along(old, draft.now);
    retire(draft, &device, Retirement::Replaced { by: new.id.clone() })?;
    claim(draft, new, device.site, clocks)
}

pub(super) fn retire_device(draft: &mut Draft<'_>, id: &DeviceId) -> Result<(), Refusals> {
    let device = in_use(draft, id)?.clone();
    retire(draft, &device, Retirement::Retired)
}

pub(super) fn report_stolen(draft: &mut Draft<'_>, id: &DeviceId) -> Result<(), Refusals> {
    let device = draft.after.device(id).ok_or_else(|| device_not_found(id))?.clone();
    match &device.state {
        DeviceState::Retired { retirement: Retirement::Stolen, .. } => Err(Refusal::new(
            RefusalCode::DeviceStolen,
            format!("device {id} is already reported stolen"),
            "nothing needs to be done",
        )
        .into()),
        DeviceState::Active | DeviceState::Trial(_) | DeviceState::Retired { .. } => {
            retire(draft, &device, Retirement::Stolen)
        }
    }
}

fn retire(draft: &mut Draft<'_>, device: &Device, why: Retirement) -> Result<(), Refusals> {
    let clocks = draft.after.clocks_taken_along(&device.id, draft.now);
    if let Some(group) = draft.after.group_of_site(device.site).filter(|_| device.is_active()) {
        let departures = Vec::from([Holder::Device(device.id.clone())]);
        draft.watch(group, Occasion { departures, ..Occasion::default() });
    }
    draft.touch_device(&device.id);
    draft.push(Event::DeviceRetired { device: device.id.clone(), why, clocks })
}

fn in_use<'a>(draft: &'a Draft<'_>, id: &DeviceId) -> Result<&'a Device, Refusals> {
    let device = draft.after.device(id).ok_or_else(|| device_not_found(id))?;
    if device.is_active() {
        return Ok(device);
    }
    Err(Refusal::new(
        RefusalCode::DeviceRetired,
        format!("device {id} is retired"),
        "claim it again if it is to be used",
    )
    .into())
}

fn device_not_found(id: &DeviceId) -> Refusal {
    Refusal::new(
        RefusalCode::DeviceNotFound,
        format!("there is no device {id} in this organization"),
        "list the devices to find its id",
    )
}
