//! What the reconciler knows about every device, in memory.
//!
//! The index by which a device that holds the right token costs a lookup and nothing else. It is rebuilt from the books
//! at start and can be wrong about nothing but what devices hold, which the next report corrects.

use super::digest::Goal;
use super::inbox::Unread;
use super::plan::{Action, Facts, Held, Issued, Policy, Sent, Why, plan};
use super::ports::{Fresh, Memory, Said, Wish};
use super::publish::End;
use super::status::{DeviceStatus, Halt, Link, Quarantine};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::protocol::Report;
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{Nonce, TokenVersion};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Most devices remembered that no organization claims; they hold certificates of ours, so they are few.
const MAX_STRANGERS: usize = 10_000;

#[derive(Debug, Default)]
struct Entry {
    organization: Option<OrganizationId>,
    issued: Option<Issued>,
    held: Held,
    sent: Option<Sent>,
    in_flight: Option<TokenVersion>,
    /// The newest token is one no device takes any more.
    outdated: bool,
    link: Link,
    heard_at: Option<Timestamp>,
    report: Option<Arc<Report>>,
    asked: Option<Nonce>,
    answered_at: Option<Timestamp>,
    healed_at: Option<Timestamp>,
    quarantine: Option<Quarantine>,
    proven: Option<TokenVersion>,
}

/// What hearing a device led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// The device is known and worth a look.
    pub(super) look: bool,
    /// It asked for a fresh token too soon after the last.
    pub(super) asked_too_soon: bool,
    /// It was not remembered, because too many unclaimed devices speak.
    pub(super) dropped: bool,
}

/// Every device.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    devices: HashMap<DeviceId, Entry>,
    strangers: usize,
    renewals: BTreeSet<(Timestamp, DeviceId)>,
    unsaved: BTreeSet<DeviceId>,
    halts: BTreeMap<OrganizationId, Halt>,
}

impl Fleet {
    /// Everything remembered from before the start.
    pub(super) fn new(memory: Memory) -> Fleet {
        let mut fleet = Fleet::default();
        for (device, organization, issued) in memory.issued {
            fleet.adopt(&device, organization);
            fleet.remember(&device, issued);
        }
        for said in memory.said {
            // What it said to one organization is not told to the next.
            let theirs = fleet.organization(&said.device).is_none_or(|owner| owner == said.organization);
            if theirs && let Some(entry) = fleet.entry(&said.device) {
                entry.held = held(&said.report);
                entry.heard_at = Some(said.heard_at);
                entry.report = Some(said.report);
            }
        }
        fleet
    }

    /// How many devices are known.
    pub(super) fn len(&self) -> usize {
        self.devices.len()
    }

    /// The entry of a device, made if need be, within the bound on strangers.
    fn entry(&mut self, device: &DeviceId) -> Option<&mut Entry> {
        if !self.devices.contains_key(device) {
            if self.strangers >= MAX_STRANGERS {
                return None;
            }
            self.strangers += 1;
        }
        Some(self.devices.entry(device.clone()).or_default())
    }

    /// Notes that an organization claims the device.
    pub(super) fn adopt(&mut self, device: &DeviceId, organization: OrganizationId) {
        let known = self.devices.contains_key(device);
        let entry = self.devices.entry(device.clone()).or_default();
        if known && entry.organization.is_none() {
            self.strangers = self.strangers.saturating_sub(1);
        }
        if entry.organization.is_some_and(|before| before != organization) {
            // What it said to one organization is not told to the next, and says nothing about what it will hold.
            *entry = Entry {
                link: entry.link,
                issued: entry.issued,
                in_flight: entry.in_flight,
                ..Entry::default()
            };
        }
        entry.organization = Some(organization);
    }

    /// Who claims the device, or did last.
    pub(super) fn organization(&self, device: &DeviceId) -> Option<OrganizationId> {
        self.devices.get(device)?.organization
    }

    /// Whose device it is, if this report claims more than was issued.
    pub(super) fn claims_more(&self, device: &DeviceId, report: &Report) -> Option<OrganizationId> {
        let entry = self.devices.get(device)?;
        let Held::Version(held) = held(report) else { return None };
        if issued_version(entry).is_some_and(|issued| held <= issued) { None } else { entry.organization }
    }

    /// Takes in what a device said; `proven` is the version of the token it showed.
    pub(super) fn heard(
        &mut self,
        device: &DeviceId,
        unread: Unread,
        proven: Option<TokenVersion>,
        nonce_interval: Seconds,
        now: Timestamp,
    ) -> Heard {
        let Some(entry) = self.entry(device) else { return Heard { dropped: true, ..Heard::default() } };
        entry.heard_at = Some(now);
        if unread.reconnected {
            // A connection starts with nothing delivered; what was sent on the last one may be lost.
            entry.sent = None;
        }
        if let Some(connected) = unread.connected {
            entry.link = if connected { Link::Connected } else { Link::Disconnected };
        }
        let mut heard = Heard { look: entry.organization.is_some(), ..Heard::default() };
        let mut nonce = unread.request.map(|request| request.nonce);
        if let Some(mut report) = unread.report {
            nonce = nonce.or_else(|| report.nonce.take());
            entry.held = held(&report);
            entry.proven = proven;
            // Large, and of no use once looked at.
            report.proof = None;
            entry.report = Some(Arc::new(report));
        }
        if let Some(nonce) = nonce {
            let soon = entry.answered_at.is_some_and(|at| now < at.saturating_add(nonce_interval));
            if soon || entry.quarantine.is_some() {
                heard.asked_too_soon = true;
            } else {
                entry.asked = Some(nonce);
            }
        }
        if entry.report.is_some() {
            self.unsaved.insert(device.clone());
        }
        heard
    }

    /// What a device needs, given what its token should express.
    ///
    /// A quarantine or halt is taken in at once; the flag returned with the action tells that it began now.
    pub(super) fn plan(
        &mut self,
        device: &DeviceId,
        goal: Option<Goal>,
        policy: &Policy,
        now: Timestamp,
    ) -> (Action, bool) {
        let Some(entry) = self.devices.get_mut(device) else { return (Action::Nothing, false) };
        let reachable = policy.retained
            || match entry.link {
                Link::Connected => true,
                Link::Unknown | Link::Disconnected => false,
            };
        let facts = Facts {
            device,
            wanted: goal.map(|goal| goal.digest),
            farewell: goal.is_some_and(|goal| goal.farewell),
            issued: entry.issued,
            held: entry.held,
            sent: entry.sent,
            reachable,
            asked: entry.asked.is_some(),
            healed_at: entry.healed_at,
            outdated: entry.outdated,
            proven: entry.proven.is_some() && entry.held == entry.proven.map_or(Held::Unknown, Held::Version),
        };
        let action = plan(&facts, policy, now);
        match action {
            Action::Quarantine => {
                let begins = entry.quarantine.is_none();
                if begins {
                    entry.quarantine = Some(Quarantine { since: now, held: entry.held });
                }
                entry.asked = None;
                (action, begins)
            }
            Action::Halt => {
                entry.asked = None;
                let (Some(organization), Some(version)) = (entry.organization, entry.proven) else {
                    return (Action::Nothing, false);
                };
                let begins = !self.halts.contains_key(&organization);
                if begins {
                    self.halts.insert(organization, Halt { since: now, device: device.clone(), version });
                }
                (action, begins)
            }
            Action::Publish if entry.in_flight.is_some() && entry.in_flight == issued_version(entry) => {
                (Action::Nothing, false)
            }
            Action::Nothing | Action::Publish => {
                let believable = match (entry.held, entry.issued) {
                    (Held::Version(held), Some(issued)) => held <= issued.version,
                    (Held::Unknown | Held::Nothing | Held::Version(_), _) => true,
                };
                if believable {
                    entry.quarantine = None;
                }
                (action, false)
            }
            Action::Issue(_) => (action, false),
        }
    }

    /// Whether nothing is signed for the organization.
    pub(super) fn is_halted(&self, organization: OrganizationId) -> bool {
        self.halts.contains_key(&organization)
    }

    /// The organizations nothing is signed for, and why.
    pub(super) fn halts(&self) -> &BTreeMap<OrganizationId, Halt> {
        &self.halts
    }

    /// Signs for the organization again.
    pub(super) fn resume(&mut self, organization: OrganizationId) -> bool {
        self.halts.remove(&organization).is_some()
    }

    /// The nonce the next token of this device answers.
    pub(super) fn nonce(&self, device: &DeviceId) -> Option<Nonce> {
        self.devices.get(device)?.asked.clone()
    }

    /// Notes the newest token of a device and when it is to be renewed.
    fn remember(&mut self, device: &DeviceId, issued: Issued) {
        let Some(entry) = self.devices.get_mut(device) else { return };
        if let Some(old) = entry.issued.replace(issued) {
            self.renewals.remove(&(old.renew_at(device), device.clone()));
        }
        entry.outdated = false;
        self.renewals.insert((issued.renew_at(device), device.clone()));
    }

    /// Notes a token just issued.
    pub(super) fn issued(&mut self, fresh: &Fresh, wish: &Wish) {
        self.remember(&fresh.device, fresh.issued);
        let Some(entry) = self.devices.get_mut(&fresh.device) else { return };
        let now = fresh.issued.issued_at;
        if wish.nonce.is_some() {
            entry.answered_at = Some(now);
            // A nonce that came meanwhile waits for its own answer.
            if entry.asked == wish.nonce {
                entry.asked = None;
            }
        }
        if wish.why == Why::HeldAhead {
            entry.healed_at = Some(now);
        }
    }

    /// The version issued last.
    pub(super) fn version(&self, device: &DeviceId) -> Option<TokenVersion> {
        issued_version(self.devices.get(device)?)
    }

    /// Notes that a publish is under way.
    pub(super) fn sending(&mut self, device: &DeviceId, version: TokenVersion) {
        if let Some(entry) = self.devices.get_mut(device) {
            entry.in_flight = Some(version);
        }
    }

    /// Notes how a publish ended.
    pub(super) fn sent(&mut self, device: &DeviceId, version: TokenVersion, end: End, now: Timestamp) {
        if let Some(entry) = self.devices.get_mut(device) {
            if entry.in_flight == Some(version) {
                entry.in_flight = None;
            }
            match end {
                End::Taken => entry.sent = Some(Sent { version, at: now }),
                End::Outdated if issued_version(entry) == Some(version) => entry.outdated = true,
                End::Outdated | End::Failed => {}
            }
        }
    }

    /// At most `limit` devices whose renewal is due; they are not named again until a token is issued.
    pub(super) fn take_due(&mut self, now: Timestamp, limit: usize) -> Vec<DeviceId> {
        let mut due = Vec::new();
        while due.len() < limit {
            match self.renewals.first() {
                Some((at, _)) if *at <= now => {
                    due.extend(self.renewals.pop_first().map(|(_, device)| device))
                }
                Some(_) | None => break,
            }
        }
        due
    }

    /// At most `limit` things said that are not in the books yet.
    pub(super) fn take_unsaved(&mut self, limit: usize) -> Vec<Said> {
        let devices: Vec<DeviceId> = std::iter::from_fn(|| self.unsaved.pop_first()).take(limit).collect();
        devices
            .into_iter()
            .filter_map(|device| {
                let entry = self.devices.get(&device)?;
                let organization = entry.organization?;
                Some(Said { heard_at: entry.heard_at?, report: entry.report.clone()?, device, organization })
            })
            .collect()
    }

    /// Everything known about a device.
    pub(super) fn status(&self, device: &DeviceId) -> Option<DeviceStatus> {
        let entry = self.devices.get(device)?;
        Some(DeviceStatus {
            organization: entry.organization,
            link: entry.link,
            heard_at: entry.heard_at,
            report: entry.report.clone(),
            issued: entry.issued,
            quarantine: entry.quarantine,
        })
    }
}

fn issued_version(entry: &Entry) -> Option<TokenVersion> {
    entry.issued.map(|issued| issued.version)
}

fn held(report: &Report) -> Held {
    report.held.map_or(Held::Nothing, Held::Version)
}
