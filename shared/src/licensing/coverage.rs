//! Which unassigned key covers which device of an unassigned site, and until when (domain G3).
//!
//! **Problem.** In no group there is no pool: every key burns singly, and nobody can see what it is used for. **Method.** The
//! oldest device first takes the units it consumes from the keys that end earliest; one that finds too few takes none, for
//! half a license is none. **Deliberately absent:** enforcement. A site is not enforced during its countdown, covered or
//! not; what is missing is what it will be short of when it joins its group.

use super::device::Device;
use super::explain::duration;
use super::license_key::{KeyState, LicenseKey};
use super::organization::Organization;
use super::site::{Place, Site};
use crate::id::{DeviceId, KeyId, SiteId};
use crate::platform::code::masked;
use crate::product::ProductType;
use crate::time::Timestamp;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::Serialize;

/// A device of an unassigned site with the keys that cover it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CoverageView {
    /// The device.
    pub device: DeviceId,
    /// Its site.
    pub site: SiteId,
    /// The name of the site.
    pub site_name: String,
    /// When it was claimed: the oldest is covered first.
    pub claimed_at: Timestamp,
    /// What it consumes.
    pub product: ProductType,
    /// How many units of it.
    pub units: u64,
    /// The keys that cover it, the one that ends first at first; none if it is not covered.
    pub keys: Vec<CoveringKey>,
    /// Units that no unassigned key had left for it; 0 if it is covered.
    pub missing: u64,
    /// Until when it is covered as it is now: a key of it ends or joins a group, or its site does.
    pub until: Option<Timestamp>,
    /// All of it in a sentence.
    pub sentence: String,
}

/// A part of what covers a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CoveringKey {
    /// The key.
    pub key: KeyId,
    /// Its code, masked.
    pub code: String,
    /// The units it gives.
    pub units: u64,
    /// When its own term ends.
    pub ends_at: Timestamp,
}

/// A key with what it still has to give.
struct Source<'a> {
    key: &'a LicenseKey,
    /// When it stops covering: it ends, or joins a group.
    until: Timestamp,
    left: BTreeMap<ProductType, u64>,
}

impl Organization {
    /// The coverage of every active device in an unassigned site at `now`, by device.
    #[must_use]
    pub fn coverage(&self, now: Timestamp) -> BTreeMap<DeviceId, CoverageView> {
        let mut sources: Vec<Source<'_>> =
            self.unassigned_keys().filter_map(|key| source(key, now)).collect();
        sources.sort_by_key(|source| (source.key.ends_at, source.key.issued.id));
        let mut devices: Vec<(&Device, &Site, Timestamp)> = Vec::new();
        for root in self.unassigned_sites() {
            let Place::Unassigned { joins_at, .. } = root.place else { continue };
            for site in self.site_tree(root.id) {
                let here = site.devices().filter_map(|id| self.device(id)).filter(|device| device.consumes());
                devices.extend(here.map(|device| (device, site, joins_at)));
            }
        }
        devices.sort_by(|(a, ..), (b, ..)| (a.claimed_at, &a.id).cmp(&(b.claimed_at, &b.id)));
        let covered = devices.into_iter().map(|(device, site, joins_at)| {
            (device.id.clone(), cover(device, site, joins_at, &mut sources, now))
        });
        covered.collect()
    }
}

fn source(key: &LicenseKey, now: Timestamp) -> Option<Source<'_>> {
    let until = match key.state {
        KeyState::Unassigned { joins_at, .. } => key.ends_at.min(joins_at),
        KeyState::Active { .. }
        | KeyState::Queued { .. }
        | KeyState::Retired { .. }
        | KeyState::Split { .. }
        | KeyState::Transferred { .. } => return None,
    };
    let mut left = BTreeMap::new();
    for line in &key.issued.lines {
        let units: &mut u64 = left.entry(line.product).or_default();
        *units = units.saturating_add(line.quantity);
    }
    (until > now).then_some(Source { key, until, left })
}

/// Takes from the sources what a device consumes, if there is enough of it.
fn cover(
    device: &Device,
    site: &Site,
    joins_at: Timestamp,
    sources: &mut [Source<'_>],
    now: Timestamp,
) -> CoverageView {
    let product = device.product;
    let held = sources
        .iter()
        .filter_map(|source| source.left.get(&product))
        .fold(0, |sum: u64, units| sum.saturating_add(*units));
    let missing = device.units.saturating_sub(held);
    let mut open = if missing == 0 { device.units } else { 0 };
    let (mut keys, mut until) = (Vec::new(), None);
    for source in sources.iter_mut() {
        let Some(left) = source.left.get_mut(&product) else { continue };
        let units = open.min(*left);
        if units == 0 {
            continue;
        }
        *left = left.saturating_sub(units);
        open = open.saturating_sub(units);
        until = Some(until.unwrap_or(joins_at).min(source.until));
        let (key, ends_at) = (source.key.issued.id, source.key.ends_at);
        keys.push(CoveringKey { key, code: masked(&source.key.issued.code_tail), units, ends_at });
    }
    let by: Vec<String> = keys.iter().map(|key: &CoveringKey| key.code.clone()).collect();
    let sentence = match until {
        Some(at) => format!(
            "{} of {} is covered by {} until {at}, in {}.",
            device.id,
            site.name,
            by.join(" and "),
            duration(at.since(now))
        ),
        None => format!(
            "{} of {} is not covered: {missing} {product} units more are needed when its site joins a group at \
             {joins_at}.",
            device.id, site.name
        ),
    };
    CoverageView {
        device: device.id.clone(),
        site: site.id,
        site_name: site.name.to_string(),
        claimed_at: device.claimed_at,
        product,
        units: device.units,
        keys,
        missing,
        until,
        sentence,
    }
}
