//! What an organization owns, as the files that an import reads ([`crate::imports`]).
//!
//! A key is written with its end as it is now: what it waited as a renewal is in `waited_secs`, so that imported again it
//! gives the same date. Parts of a split key are keys; what was split, retired or given away is no license any more and is
//! left out. **Deliberately absent:** codes of keys, which are secrets or spent; and the log, which has an export of its own.

use crate::imports::Kind;
use crate::transactions::harmless;
use coterm_shared::id::{GroupId, SiteId};
use coterm_shared::licensing::import::name_in_path;
use coterm_shared::licensing::{DeviceState, KeyState, LicenseKey, Organization};
use coterm_shared::time::{Seconds, Timestamp};
use csv::WriterBuilder;
use std::io::{self, BufWriter, Write};

/// Writes one file.
///
/// # Errors
/// That of the writer.
pub fn write(kind: Kind, organization: &Organization, now: Timestamp, to: &mut impl Write) -> io::Result<()> {
    let to = BufWriter::with_capacity(64 * 1024, to);
    let mut csv = WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(to);
    csv.write_record(kind.columns())?;
    let mut line = |cells: &[&str]| csv.write_record(cells.iter().map(|cell| harmless(cell)));
    match kind {
        Kind::Groups => {
            // The default group is there from the founding.
            let others = organization.groups().filter(|group| group.id != organization.default_group());
            others.into_iter().try_for_each(|group| line(&[group.name.as_str()]))?;
        }
        Kind::Sites => {
            // Parents before what is in them.
            for root in organization.sites().filter(|site| site.parent().is_none()) {
                let group = name_of(organization, organization.group_of_site(root.id));
                for site in organization.site_tree(root.id) {
                    let group = if site.id == root.id { group.as_str() } else { "" };
                    line(&[&path(organization, site.id), group])?;
                }
            }
        }
        Kind::Devices => {
            for device in organization.devices() {
                let trial = match &device.state {
                    DeviceState::Active => String::new(),
                    // Whole days that are left, at least one: a trial is given in days.
                    DeviceState::Trial(trial) => {
                        trial.ends_at.since(now).0.div_ceil(Seconds::days(1).0).max(1).to_string()
                    }
                    DeviceState::Retired { .. } => continue,
                };
                let doors = device.doors.map(|doors| doors.to_string()).unwrap_or_default();
                let path = path(organization, device.site);
                line(&[device.id.as_str(), device.model.as_str(), &path, &doors, &trial])?;
            }
        }
        Kind::Orders => {
            for key in organization.keys() {
                order(organization, key, now, &mut line)?;
            }
        }
    }
    csv.flush()
}

/// The lines of a key that licenses something.
fn order(
    organization: &Organization,
    key: &LicenseKey,
    now: Timestamp,
    line: &mut impl FnMut(&[&str]) -> csv::Result<()>,
) -> io::Result<()> {
    let (mode, ends_at) = match &key.state {
        KeyState::Active { .. } => ("increase", key.ends_at),
        KeyState::Queued { left_secs, .. } => ("renewal", now.saturating_add(*left_secs)),
        KeyState::Unassigned { .. } => ("", key.ends_at),
        KeyState::Retired { .. } | KeyState::Split { .. } | KeyState::Transferred { .. } => return Ok(()),
    };
    let issued = &key.issued;
    let own = issued.created_at.saturating_add(Seconds::days(u64::from(issued.term_days)));
    let waited = ends_at.since(own).0;
    let waited = if waited == 0 { String::new() } else { waited.to_string() };
    let (id, group) = (issued.id.to_string(), name_of(organization, key.state.group()));
    let (term, created) = (issued.term_days.to_string(), issued.created_at.to_string());
    for of in &issued.lines {
        let (product, quantity, weight) =
            (of.product.to_string(), of.quantity.to_string(), of.weight.to_string());
        line(&[
            issued.order_number.as_str(),
            &product,
            &quantity,
            &term,
            &created,
            &id,
            &weight,
            &group,
            mode,
            &waited,
            "",
        ])?;
    }
    Ok(())
}

fn name_of(organization: &Organization, group: Option<GroupId>) -> String {
    group.and_then(|id| organization.group(id)).map(|group| group.name.to_string()).unwrap_or_default()
}

fn path(organization: &Organization, site: SiteId) -> String {
    let mut names: Vec<String> =
        organization.path_to_root(site).map(|site| name_in_path(site.name.as_str())).collect();
    names.reverse();
    names.join("/")
}
