//! A change in the making: a cheap clone of the organization, the events so far, and what they touched.
//!
//! Every event goes through the same door: it is applied to the clone at once, so later checks of the same command
//! see it, and it is kept for the log. Groups whose figures or settings an event may have changed are judged at the
//! end, each once.

use super::command::Command;
use super::compliance::{Figures, Occasion, Term, assess};
use super::event::{Dated, Event};
use super::license_key::KeyPlace;
use super::organization::{Due, Organization};
use super::refusal::{Refusal, RefusalCode, Refusals};
use super::safety::{Actor, Lockout, SafetyEvent, Tranches, lockout};
use super::settings::{Limits, Settings};
use super::site::Place;
use crate::id::{DeviceId, GroupId, HeldId, KeyId, SiteId};
use crate::time::Timestamp;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;

/// What a change touched: whose license state must be looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Groups whose assessment changed.
    pub groups: BTreeSet<GroupId>,
    /// Devices that came, left or moved.
    pub devices: BTreeSet<DeviceId>,
    /// Groups in which a key that was to wait as a renewal is active at once (domain K3, K4).
    pub renewals_at_once: BTreeSet<GroupId>,
    /// Licenses went along with what moves; whether it is proven that no fewer would do (domain G4).
    pub licenses_along: Option<bool>,
    /// Whether every device wants a look: enforcement was frozen, or is no longer (domain E6).
    pub everything: bool,
}

impl Touched {
    /// Whether nothing was touched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.devices.is_empty() && !self.everything
    }

    /// Adds what another change touched.
    pub fn extend(&mut self, other: Touched) {
        self.groups.extend(other.groups);
        self.devices.extend(other.devices);
        self.renewals_at_once.extend(other.renewals_at_once);
        self.licenses_along = other.licenses_along.or(self.licenses_along);
        self.everything |= other.everything;
    }
}

/// A decided change: the events to append, and the organization after them.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The instant it is made for.
    pub at: Timestamp,
    /// The events, in order; empty if nothing changes.
    pub events: Vec<Dated>,
    /// The organization after them.
    pub after: Organization,
    /// What they touched.
    pub touched: Touched,
    /// The organization with all that was due, before the command itself.
    pub base: Organization,
    /// How many of the events were due anyway; the rest is the command's own.
    pub due_events: usize,
    /// The vendor's bounds it was decided under.
    pub limits: Limits,
    /// Which change was asked for, if it can be previewed with a digest.
    pub(super) asked: Option<Box<Command>>,
    /// What it does to the devices in use, and whether that needs approval (domain E6).
    pub lockout: Lockout,
}

impl Decision {
    /// The events of the command itself, without what was due anyway.
    pub fn own_events(&self) -> impl Iterator<Item = &Dated> + '_ {
        self.events.iter().skip(self.due_events)
    }
}

/// What a group was judged by before the change in the making.
struct Before {
    figures: Figures,
    settings: Settings,
}

/// A change in the making.
pub(super) struct Draft<'a> {
    pub(super) after: Organization,
    pub(super) limits: &'a Limits,
    pub(super) now: Timestamp,
    base: Organization,
    due_events: usize,
    events: Vec<Dated>,
    touched: Touched,
    open: BTreeMap<GroupId, (Before, Occasion)>,
    approval: Option<(HeldId, Actor)>,
}

impl<'a> Draft<'a> {
    /// Starts a change at `now`, or at the instant of the last event if the clock is behind it.
    pub(super) fn new(organization: &Organization, limits: &'a Limits, now: Timestamp) -> Draft<'a> {
        Draft {
            now: now.max(organization.as_of()),
            after: organization.clone(),
            limits,
            base: organization.clone(),
            due_events: 0,
            events: Vec::new(),
            touched: Touched::default(),
            open: BTreeMap::new(),
            approval: None,
        }
    }

    /// Notes that a key that was to wait in this group is active at once (domain K3, K4): for the preview.
    pub(super) fn renews_at_once(&mut self, group: GroupId) {
        self.touched.renewals_at_once.insert(group);
    }

    /// Notes that what moves has its licenses with it: for the preview.
    pub(super) fn licenses_went_along(&mut self, proven_smallest: bool) {
        self.touched.licenses_along = Some(proven_smallest);
    }

    /// Notes that what follows is a held operation that is approved (domain E6).
    pub(super) fn approves(&mut self, held: HeldId, by: &Actor) {
        self.approval = Some((held, by.clone()));
    }

    /// Notes that every device wants a look.
    pub(super) const fn touches_everything(&mut self) {
        self.touched.everything = true;
    }

    /// Lets everything happen that is due by now, each at its own instant and in order.
    pub(super) fn materialize(&mut self) -> Result<(), Refusals> {
        while let Some((due_at, due)) = self.after.first_due().filter(|(due_at, _)| *due_at <= self.now) {
            // An instant that passed while nothing looked keeps its own date; the log stays in order.
            let at = due_at.max(self.after.as_of());
            match &due {
                Due::Group(group) => self.group_is_due(*group, at)?,
                Due::Key(key) => self.key_is_due(*key, at)?,
                Due::Site(site) => self.site_is_due(*site, at)?,
                Due::Held(held) => {
                    self.record(at, Event::Safety(SafetyEvent::Expired { held: *held }))?;
                }
                Due::Trial(device) => {
                    self.touch_device(device);
                    self.record(at, Event::TrialEnded { device: device.clone() })?;
                }
            }
            if self.after.first_due() == Some((due_at, due)) {
                return Err(broken(&format!("something stays due at {due_at}")));
            }
        }
        if !self.events.is_empty() {
            (self.base, self.due_events) = (self.after.clone(), self.events.len());
        }
        Ok(())
    }

    /// The term of a group ends, renewals take over, or a date of its schedule passes.
    fn group_is_due(&mut self, id: GroupId, at: Timestamp) -> Result<(), Refusals> {
        self.watch(id, Occasion::default());
        let ends = self.after.group(id).and_then(|group| match group.figures.term {
            Term::Running { coterm } => {
                (coterm.floor() <= at).then(|| (group.keys.size(), group.queue.size()))
            }
            Term::NeverLicensed | Term::Ended { .. } | Term::Emptied => None,
        });
        if let Some((active, queued)) = ends {
            let count = |keys: usize| u64::try_from(keys).unwrap_or(u64::MAX);
            self.record(at, Event::TermEnded { group: id, keys: count(active) })?;
            if queued > 0 {
                self.record(at, Event::RenewalsActivated { group: id, keys: count(queued) })?;
            }
        }
        self.judge(id, at)
    }

    /// The countdown of an unassigned key ends, and it joins the default group; or its term ends before (domain G3).
    fn key_is_due(&mut self, id: KeyId, at: Timestamp) -> Result<(), Refusals> {
        let Some(key) = self.after.key(id) else { return Ok(()) };
        let (ends_at, first_claim_of_a_key) = (key.ends_at, !key.was_in_group);
        if ends_at <= at {
            return self.record(at, Event::KeyExpired { key: id });
        }
        let group = self.after.default_group();
        let used_key_came = !first_claim_of_a_key;
        self.watch(group, Occasion { first_claim_of_a_key, used_key_came, ..Occasion::default() });
        self.record(at, Event::KeyPlaced { key: id, place: KeyPlace::Active { group, ends_at } })?;
        self.judge(group, at)
    }

    /// The countdown of an unassigned site ends, and it joins the default group (domain G3).
    fn site_is_due(&mut self, id: SiteId, at: Timestamp) -> Result<(), Refusals> {
        let group = self.after.default_group();
        let devices: Vec<DeviceId> = self.after.site_tree(id).flat_map(|s| s.devices().cloned()).collect();
        devices.iter().for_each(|device| self.touch_device(device));
        self.watch(group, Occasion::default());
        self.record(at, Event::SiteMoved { site: id, place: Place::Root { group } })?;
        self.judge(group, at)
    }

    /// Records an event now.
    pub(super) fn push(&mut self, event: Event) -> Result<(), Refusals> {
        let now = self.now;
        self.record(now, event)
    }

    /// Notes that a group must be judged when the change is complete. Call it before the events that change it.
    pub(super) fn watch(&mut self, group: GroupId, occasion: Occasion) {
        let Some(found) = self.after.group(group) else { return };
        // What it was before is looked at once: a file has a million lines of one group.
        let settings = || self.after.settings_of(found);
        let before = || Before { figures: found.figures.clone(), settings: settings() };
        let (_, seen) = self.open.entry(group).or_insert_with(|| (before(), Occasion::default()));
        seen.first_claim_of_a_key |= occasion.first_claim_of_a_key;
        seen.used_key_came |= occasion.used_key_came;
        seen.arrivals.extend(occasion.arrivals);
        seen.departures.extend(occasion.departures);
    }

    /// Notes that a device came, left or moved.
    pub(super) fn touch_device(&mut self, device: &DeviceId) {
        self.touched.devices.insert(device.clone());
    }

    /// Judges what was watched, and hands the change over.
    pub(super) fn finish(mut self, command: &Command) -> Result<Decision, Refusals> {
        let watched: Vec<GroupId> = self.open.keys().copied().collect();
        for group in watched {
            let now = self.now;
            self.judge(group, now)?;
        }
        let lockout = self.measured()?;
        let Draft { now: at, after, events, touched, base, due_events, limits, .. } = self;
        // Its print costs more than all this, and hardly anybody asks for it.
        let asked = Some(Box::new(command.clone()));
        Ok(Decision { at, events, after, touched, base, due_events, limits: *limits, asked, lockout })
    }

    /// Measures what the finished draft does to the devices in use, and writes it where it is counted (domain E6).
    fn measured(&mut self) -> Result<Lockout, Refusals> {
        let own = self.events.get(self.due_events..).unwrap_or_default();
        let mut lockout = lockout(&self.base, &self.after, &self.touched.groups, own, self.limits, self.now);
        if let Some((held, by)) = self.approval.take() {
            lockout.approved = true;
            self.push(Event::Safety(SafetyEvent::Approved { held, by, devices: lockout.devices }))?;
        } else if lockout.devices > 0 {
            let own = self.events.iter_mut().skip(self.due_events).rev();
            let mut judged = own.filter_map(|dated| {
                let Event::GroupAssessed { to_lock, .. } = &mut dated.event else { return None };
                Some((dated.at, to_lock))
            });
            if let Some((at, to_lock)) = judged.next() {
                *to_lock = lockout.devices;
                self.after.safety.count(at, lockout.devices);
            } else {
                // Within a group a device may come under a clock that another site carries, and no group is judged.
                self.push(Event::Safety(SafetyEvent::Counted { devices: lockout.devices }))?;
            }
        }
        Ok(lockout)
    }

    fn record(&mut self, at: Timestamp, event: Event) -> Result<(), Refusals> {
        let dated = Dated { at, event };
        self.after.apply(&dated).map_err(|error| broken(&format!("{error}")))?;
        self.events.push(dated);
        Ok(())
    }

    fn judge(&mut self, id: GroupId, at: Timestamp) -> Result<(), Refusals> {
        let Some((before, occasion)) = self.open.remove(&id) else { return Ok(()) };
        // A group that was deleted by this very change needs no judgement.
        let Some(group) = self.after.group(id) else { return Ok(()) };
        let settings = self.after.settings_of(group);
        let mut previous = group.assessment.clone();
        if settings != before.settings {
            previous.clocks = previous.clocks.with_settings(&settings);
            for carried in &mut previous.carried {
                carried.clocks = carried.clocks.with_settings(&settings);
            }
        }
        let mut assessment = assess(&previous, &group.figures, &occasion, &settings, self.limits, at);
        // Fixed when the ladder begins, and then no setting and nobody who comes or goes moves a day (domain E6).
        assessment.tranches = match (previous.clocks.is_running(), assessment.clocks.is_running()) {
            (_, false) => None,
            (true, true) => previous.tranches,
            (false, true) => settings.lockout_pace.map(|pace| Tranches::of(&self.after, group, pace)),
        };
        // Another pace or scope shows in what devices hold, and in nothing that is compared here.
        let same_for_devices =
            settings.lockout_pace == before.settings.lockout_pace && settings.scope == before.settings.scope;
        if assessment == group.assessment && group.figures == before.figures && same_for_devices {
            // A wake-up that changed nothing must still be over.
            let is_due = group.due_at.is_some_and(|due_at| due_at <= at);
            if !is_due {
                return Ok(());
            }
        }
        let after = Box::new(group.figures.clone());
        self.touched.groups.insert(id);
        let event = Event::GroupAssessed {
            group: id,
            before: Box::new(before.figures),
            after,
            assessment: Box::new(assessment),
            to_lock: 0,
        };
        self.record(at, event)
    }
}

/// A change that contradicts itself: a defect, refused rather than stored.
fn broken(what: &str) -> Refusals {
    Refusal::new(
        RefusalCode::InternalContradiction,
        format!("the change contradicts the state it was decided on: {what}"),
        "nothing was changed; report this with the organization's log",
    )
    .into()
}
