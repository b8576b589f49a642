//! Devices: claimed, moved, tried, replaced, retired, stolen (domain G6-G10).

use super::site_not_found;
use super::sites::{check_countdown, not_to_unassigned, stay_in_group};
use crate::id::{DeviceId, SiteId};
use crate::licensing::clock::{CauseClock, Clocks};
use crate::licensing::command::NewDevice;
use crate::licensing::compliance::{Arrival, Holder, Occasion, Origin};
use crate::licensing::device::{Device, DeviceState, Trial};
use crate::licensing::draft::Draft;
use crate::licensing::event::{Event, Retirement};
use crate::licensing::license_key::QUANTITY_MAX;
use crate::licensing::name::ModelName;
use crate::licensing::refusal::{Findings, Refusal, RefusalCode, Refusals};
use crate::licensing::site::Home;
use crate::product::ProductType;
use crate::time::Seconds;
use alloc::format;
use alloc::vec::Vec;

pub(super) fn claim_device(draft: &mut Draft<'_>, new: &NewDevice, site: SiteId) -> Result<(), Refusals> {
    claim(draft, new, site, Inherited::default())
}

/// What a device takes over from itself when it was here before, or from the one it replaces.
#[derive(Default)]
struct Inherited {
    clocks: Clocks,
    origin: Option<Origin>,
    trial: Option<Trial>,
    doors: Option<u64>,
}

/// Claims a device that has at least what it inherits.
fn claim(draft: &mut Draft<'_>, new: &NewDevice, site: SiteId, from: Inherited) -> Result<(), Refusals> {
    let mut findings = Findings::default();
    let model = findings.keep(ModelName::parse(&new.model));
    let known = draft.after.device(&new.id);
    let own = known.map_or(Inherited::default(), |known| check_return(draft, known, site, &mut findings));
    let clocks = own.clocks.stricter(from.clocks, draft.now);
    check_units(new, &mut findings);
    if let Some(doors) = new.doors {
        findings.extend(check_doors(&new.id, new.product, new.units, doors));
    }
    // Nobody said that all the doors of the old one hang on the new one: as many as it has.
    let doors = new.doors.or(from.doors.map(|doors| doors.min(new.units)));
    let home = draft.after.home_of_site(site);
    match home {
        None => findings.push(site_not_found(site).at("site")),
        Some(Home::Unassigned) if !clocks.is_fresh() => findings.push(Refusal::new(
            RefusalCode::DeviceCarriesClock,
            format!(
                "device {} was in use while its group was noncompliant, or after its trial had ended",
                new.id
            ),
            "claim it to a site in a license group",
        )),
        Some(Home::Unassigned | Home::Group(_)) => {}
    }
    let asked = new.trial_secs.and_then(|secs| check_trial(draft, known, secs, home, &mut findings));
    if from.trial.is_some() && known.is_some() {
        findings.push(trial_used(&new.id).at("id"));
    }
    let (model, home) = findings.finish_with(model.zip(home))?;
    if let Home::Group(group) = home {
        let (holder, since) = (Holder::Device(new.id.clone()), draft.now);
        let arrival = Arrival { holder, clocks, since, origin: from.origin.or(own.origin) };
        let arrivals = Some(arrival).filter(|_| !clocks.is_fresh()).into_iter().collect();
        draft.watch(group, Occasion { arrivals, ..Occasion::default() });
    }
    draft.touch_device(&new.id);
    let (device, product, units) = (new.id.clone(), new.product, new.units);
    let trial = asked.or(from.trial);
    draft.push(Event::DeviceClaimed { device, site, model, product, units, trial })?;
    match doors {
        Some(doors) => count_doors(draft, &new.id, units, doors),
        None => Ok(()),
    }
}

fn check_units(new: &NewDevice, findings: &mut Findings) {
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
}

/// Why a device cannot have so many configured doors (domain G7).
///
/// Never none: a controller that is in use and counts nothing would need no license at all.
fn check_doors(id: &DeviceId, product: ProductType, model_units: u64, doors: u64) -> Option<Refusal> {
    if product != ProductType::DOOR {
        return Some(
            Refusal::new(
                RefusalCode::NotADoorController,
                format!("device {id} is no door controller but counts as {product}"),
                "only door controllers have configured doors",
            )
            .at("doors"),
        );
    }
    (!(1..=model_units).contains(&doors)).then(|| {
        Refusal::new(
            RefusalCode::DoorsOutOfBounds,
            format!("device {id} cannot have {doors} configured doors: its model has {model_units}"),
            "a controller in use has at least one configured door; retire it if it has none",
        )
        .at("doors")
    })
}

pub(super) fn configure_doors(draft: &mut Draft<'_>, id: &DeviceId, doors: u64) -> Result<(), Refusals> {
    let device = in_use(draft, id)?.clone();
    let mut findings = Findings::default();
    findings.extend(check_doors(id, device.product, device.model_units, doors));
    if device.doors == Some(doors) {
        findings.push(Refusal::new(
            RefusalCode::NothingToChange,
            format!("device {id} has {doors} configured doors already"),
            "nothing needs to be done",
        ));
    }
    findings.finish()?;
    if let Some(group) = draft.after.group_of_site(device.site) {
        draft.watch(group, Occasion::default());
    }
    count_doors(draft, id, device.model_units, doors)
}

fn count_doors(draft: &mut Draft<'_>, id: &DeviceId, model_units: u64, doors: u64) -> Result<(), Refusals> {
    let units = draft.after.settings().door_units.units(model_units, Some(doors));
    draft.push(Event::DoorsConfigured { device: id.clone(), doors, units })
}

/// Whether a device that was here before may be claimed again, and what it comes back with.
fn check_return(draft: &Draft<'_>, device: &Device, site: SiteId, findings: &mut Findings) -> Inherited {
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
        // As long out of use as a group must be compliant: its clocks start anew.
        DeviceState::Retired { at, .. } if draft.now.since(*at) >= draft.limits.clock_reset_secs => {}
        DeviceState::Retired { at, retirement: Retirement::Retired, clocks, .. } => {
            if clocks.is_fresh() {
                let what = format!("device {}", device.id);
                let new_at = Some(at.saturating_add(draft.limits.clock_reset_secs));
                findings.extend(check_countdown(&draft.after, device.site, site, &what, new_at));
            }
            return Inherited { clocks: *clocks, origin: Some(Origin::Returned), ..Inherited::default() };
        }
    }
    Inherited::default()
}

fn trial_used(id: &DeviceId) -> Refusal {
    Refusal::new(
        RefusalCode::TrialUsed,
        format!("device {id} was claimed here before"),
        "a trial is for a device that never was: claim this one without a trial",
    )
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
        findings.push(trial_used(&device.id).at("trial_secs"));
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
            findings.extend(check_countdown(&draft.after, device.site, site, "a device", None));
        } else {
            findings.push(not_to_unassigned("a device"));
        }
    }
    let to = findings.finish_with(to)?;
    let holder = Holder::Device(id.clone());
    if from == to {
        stay_in_group(draft, to, holder, device.site, Some(site));
    } else {
        let (clocks, since) = (draft.after.clocks_of_device(id, draft.now), draft.now);
        let origin = from.group().map(|from| Origin::Moved { from });
        if let Home::Group(group) = from {
            let departures = Vec::from([holder.clone()]);
            draft.watch(group, Occasion { departures, ..Occasion::default() });
        }
        if let Home::Group(group) = to {
            draft.watch(group, Occasion::brings(Arrival { holder, clocks, since, origin }));
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
    let clocks = draft.after.clocks_taken_along(id, draft.now);
    match draft.after.group_of_site(device.site) {
        Some(group) => {
            let (holder, since) = (Holder::Device(id.clone()), draft.now);
            let origin = Some(Origin::Trial);
            draft.watch(group, Occasion::brings(Arrival { holder, clocks, since, origin }));
        }
        // Nothing keeps clocks in Unassigned: what was used up would be forgotten.
        None if !clocks.is_fresh() => {
            return Err(Refusal::new(
                RefusalCode::DeviceCarriesClock,
                format!("the trial of device {id} is over, and it would begin anew in Unassigned"),
                "move it to a site in a license group, then convert it",
            )
            .into());
        }
        None => {}
    }
    draft.touch_device(id);
    draft.push(Event::TrialConverted { device: id.clone() })
}

pub(super) fn replace_device(draft: &mut Draft<'_>, old: &DeviceId, new: &NewDevice) -> Result<(), Refusals> {
    let device = in_use(draft, old)?.clone();
    if new.id == *old {
        return Err(Refusal::new(
            RefusalCode::DeviceAlreadyClaimed,
            format!("device {old} cannot replace itself"),
            "name the device that takes its place, by the id on its label",
        )
        .at("id")
        .into());
    }
    // What the old device had used up of its grace and its trial, its replacement has used up (domain E2, G8); and the
    // same doors hang on it (G7).
    let trial = match device.state {
        DeviceState::Trial(trial) => Some(trial),
        DeviceState::Active | DeviceState::Retired { .. } => None,
    };
    // A trial has its own ladder and takes it along.
    let clocks = if trial.is_some() { Clocks::FRESH } else { draft.after.clocks_taken_along(old, draft.now) };
    let inherited = Inherited {
        clocks,
        origin: Some(Origin::Replaced { device: old.clone() }),
        trial,
        doors: device.doors.filter(|_| new.product == device.product),
    };
    retire(draft, &device, Retirement::Replaced { by: new.id.clone() })?;
    claim(draft, new, device.site, inherited)
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
    let schedule = draft.after.farewell(&device.id, draft.now);
    draft.push(Event::DeviceRetired { device: device.id.clone(), why, schedule, clocks })
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
