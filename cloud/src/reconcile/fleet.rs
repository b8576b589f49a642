//! What the reconciler knows about every device, in memory.
//!
//! The index by which a device that holds the right token costs a lookup and nothing else. It is rebuilt from the books
//! at start and can be wrong about nothing but what devices hold, which the next report corrects.

mod entry;
mod planning;

pub(super) use planning::Planned;

use self::entry::{ANSWER_AFTER, Entry, held, issued_version};
use super::inbox::Unread;
use super::plan::{Held, Issued, RESEND_AFTER, Sent, Why};
use super::ports::{Confirmation, Fresh, Memory, Said, Wish};
use super::publish::End;
use super::status::{Cause, DeviceStatus, FleetCensus, Halt, Link};
use super::suspicion::Suspicions;
use coterm_shared::enforcement::EnforcementState;
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::protocol::Report;
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{Nonce, TokenDigest, TokenVersion};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Most devices remembered that no organization claims; they hold certificates of ours, so they are few.
const MAX_STRANGERS: usize = 10_000;

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
    /// When devices are to be looked at for time alone: to renew, to answer who does not report, to tell a retired one again.
    renewals: BTreeSet<(Timestamp, DeviceId)>,
    unsaved: BTreeSet<DeviceId>,
    pub(super) suspicions: Suspicions,
}

impl Fleet {
    /// Everything remembered from before the start.
    pub(super) fn new(mut memory: Memory) -> Fleet {
        let mut fleet = Fleet { suspicions: Suspicions::new(&mut memory), ..Fleet::default() };
        for (device, organization, issued) in memory.issued {
            fleet.adopt(&device, organization);
            fleet.remember(&device, issued);
        }
        for said in memory.said {
            // What it said to one organization is not told to the next.
            let theirs = fleet.organization(&said.device).is_none_or(|owner| owner == said.organization);
            if theirs {
                fleet.suspicions.refused(said.organization, &said.device, &said.report, said.heard_at);
            }
            if theirs && let Some(entry) = fleet.entry(&said.device) {
                entry.held = held(&said.report);
                entry.held_digest = said.report.held_digest;
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

    /// Everything counted, for metrics.
    pub(super) fn census(&self, now: Timestamp) -> FleetCensus {
        let states = EnforcementState::ALL.map(|state| (state.name(), 0));
        let mut census = FleetCensus { states: states.into(), ..FleetCensus::default() };
        let add = |count: &mut u64, yes: bool| *count = count.saturating_add(u64::from(yes));
        for entry in self.devices.values() {
            add(&mut census.devices, true);
            add(&mut census.connected, entry.link == Link::Connected);
            add(&mut census.overdue, entry.issued.is_some_and(|issued| issued.lease_ends_at <= now));
            add(&mut census.quarantined, entry.quarantine.is_some());
            if let Some(report) = &entry.report {
                add(census.states.entry(report.state.name()).or_default(), true);
            }
        }
        census
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
        if let Some(before) = entry.organization.filter(|before| *before != organization) {
            self.suspicions.forget(before, device);
            // What it said to one organization is not told to the next, and says nothing about what it will hold.
            *entry = Entry {
                link: entry.link,
                issued: entry.issued,
                previous: entry.previous,
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

    /// Whose device it is, if this report shows another token than was issued last, as one of that version.
    pub(super) fn shows_another(&self, device: &DeviceId, report: &Report) -> Option<OrganizationId> {
        let entry = self.devices.get(device)?;
        let (issued, organization) = (entry.issued?, entry.organization?);
        let another = TokenDigest::of(report.proof.as_ref()?.token()) != issued.token;
        let settled = self.suspicions.settled(organization).is_some_and(|settled| issued.version <= settled);
        (another && report.held == Some(issued.version) && !settled).then_some(organization)
    }

    /// A device showed a token signed with our key that was not issued here; returns whether a halt begins.
    pub(super) fn halt(
        &mut self,
        device: &DeviceId,
        version: TokenVersion,
        cause: Cause,
        now: Timestamp,
    ) -> bool {
        let Some(organization) = self.organization(device) else { return false };
        self.suspicions.halt(organization, Halt { since: now, device: device.clone(), version, cause })
    }

    /// Takes in what a device said; `proven` is the version of the token it showed, `vain` says that it showed another of the
    /// newest version that proves nothing.
    pub(super) fn heard(
        &mut self,
        device: &DeviceId,
        unread: Unread,
        proven: Option<TokenVersion>,
        vain: bool,
        nonce_interval: Seconds,
        now: Timestamp,
    ) -> Heard {
        let contradicted = match (&unread.report, self.organization(device)) {
            (Some(report), Some(organization)) => self.suspicions.refused(organization, device, report, now),
            (None, _) | (_, None) => false,
        };
        let Some(entry) = self.entry(device) else { return Heard { dropped: true, ..Heard::default() } };
        entry.heard_at = Some(now);
        if unread.reconnected {
            // A connection starts with nothing delivered; what was sent on the last one may be lost.
            entry.sent = None;
            entry.reported = false;
            // Nor has it said anything on this one: an answer to what it asked on the last would go out before it listens.
            entry.answer = None;
            entry.asked_at = entry.asked_at.map(|_| now);
        }
        if let Some(connected) = unread.connected {
            entry.link = if connected { Link::Connected } else { Link::Disconnected };
        }
        let mut heard = Heard { look: entry.organization.is_some(), ..Heard::default() };
        let mut look_again = false;
        let mut nonce = unread.request.map(|request| request.nonce);
        if let Some(mut report) = unread.report {
            nonce = nonce.or_else(|| report.nonce.take());
            entry.held = held(&report);
            entry.held_digest = report.held_digest;
            if !entry.reported {
                // It listens from now on for certain: what went out on this connection before may have found nobody.
                entry.sent = None;
            }
            entry.reported = true;
            // What was shown once is not asked for again.
            let shown = entry.proven.filter(|shown| entry.held == Held::Version(*shown));
            entry.proven = proven.or(shown);
            entry.vain |= vain;
            entry.contradicted |= contradicted;
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
                entry.asked_at = Some(now);
                look_again = !entry.reported;
            }
        }
        let spoke = entry.report.is_some();
        if look_again {
            self.renewals.insert((now.saturating_add(ANSWER_AFTER), device.clone()));
        }
        if spoke {
            self.unsaved.insert(device.clone());
        }
        heard
    }

    /// An operator confirmed: signs again, and looks at whoever is in quarantine, retired devices too.
    pub(super) fn confirmed(&mut self, confirmation: Confirmation, now: Timestamp) {
        let organization = confirmation.organization;
        self.suspicions.confirmed(confirmation);
        let quarantined = self.suspicions.quarantined(organization);
        self.renewals.extend(quarantined.map(|device| (now, device.clone())));
    }

    /// The nonce the next token of this device answers.
    pub(super) fn nonce(&self, device: &DeviceId) -> Option<Nonce> {
        self.devices.get(device)?.asked.clone()
    }

    /// Notes the newest token of a device and when it is to be renewed.
    fn remember(&mut self, device: &DeviceId, issued: Issued) {
        let Some(entry) = self.devices.get_mut(device) else { return };
        if let Some(old) = entry.issued.replace(issued) {
            entry.previous = Some(old.version);
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
        entry.contradicted = false;
        (entry.vain, entry.asks, entry.ask_at) = (false, 0, None);
        if wish.nonce.is_some() {
            entry.answered_at = Some(now);
            entry.answer = Some(fresh.issued.version);
            // A nonce that came meanwhile waits for its own answer.
            if entry.asked == wish.nonce {
                entry.asked = None;
            }
        }
        if wish.why == Why::Contradicted {
            entry.healed_at = Some(now);
        }
    }

    /// When the lease of the token issued last ends.
    pub(super) fn lease_ends_at(&self, device: &DeviceId) -> Option<Timestamp> {
        self.devices.get(device)?.issued.map(|issued| issued.lease_ends_at)
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
            // The sweep goes over active devices only; what a retired one did not get is sent again by the clock.
            if entry.farewell {
                self.renewals.insert((now.saturating_add(RESEND_AFTER), device.clone()));
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
