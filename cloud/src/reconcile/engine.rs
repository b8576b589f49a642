//! The loop around [`plan`](super::plan::plan): what wakes it, and what is done with its answers.
//!
//! Everything that may have changed something only marks devices; one place looks at marked devices, issues for all of
//! them in one transaction and hands the bytes on. So a device marked ten times is looked at once, and nothing depends
//! on why it was marked. Every collection here is a set of devices or has a limit.

use super::Settings;
use super::counters::Counters;
use super::digest::Goal;
use super::documents::DocumentCourier;
use super::fleet::{Fleet, Planned};
use super::inbox::LatestInbox;
use super::plan::{Action, Policy};
use super::ports::{Ledger, Outcome, Touched, Wish};
use super::publish::{Done, End, Job, Publisher};
use super::status::Cause;
use coterm_shared::id::{DeviceId, OrganizationId};
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

/// Devices looked at, and tokens issued in one transaction, before anything else gets its turn.
const BATCH: usize = 500;
/// The same for the first batch after a pause; each that follows is twice as large. The first devices of a fleet have their
/// tokens while those of the last are still signed.
const FIRST_BATCH: usize = 64;
/// Things said that are written to the books in one transaction.
const STATUS_BATCH: usize = 2_048;
/// How long things said may wait to be written.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// How long after a failure to issue everything is looked at again.
const RETRY_AFTER: Duration = Duration::from_secs(15);
/// How long stopping waits for publishes under way.
const STOP_WITHIN: Duration = Duration::from_secs(3);

pub(super) struct Engine {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) inbox: Arc<LatestInbox>,
    pub(super) fleet: Arc<Mutex<Fleet>>,
    pub(super) publisher: Publisher,
    pub(super) documents: DocumentCourier,
    pub(super) settings: Settings,
    /// Cloud time at the start, in milliseconds.
    pub(super) started_millis: u64,
    pub(super) work: Work,
}

/// What waits to be looked at.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Devices something touched.
    touched: DeviceQueue,
    /// Organizations of which everything was touched, each with the device up to which it was looked at.
    whole: VecDeque<(OrganizationId, Option<DeviceId>)>,
    /// A page of the organization that is being swept; its devices wait for those touched.
    swept: Vec<DeviceId>,
    /// The organization that is being swept, and the last device of that page.
    place: Option<(OrganizationId, DeviceId)>,
    /// Organizations still to be swept.
    sweep: VecDeque<OrganizationId>,
    sweeping: bool,
    /// When issuing failed; `None` once it works.
    failed_at: Option<Instant>,
    swept_at: Option<Instant>,
    saved_at: Option<Instant>,
}

impl Engine {
    pub(super) async fn run(mut self, mut orders: watch::Receiver<Order>) {
        self.end_outdated_halts().await;
        self.sweep();
        let mut ticks = tokio::time::interval(self.settings.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.work().await;
            let more = self.has_work();
            tokio::select! {
                biased;
                changed = orders.changed() => {
                    let order = *orders.borrow_and_update();
                    match (changed, order) {
                        (Err(_), _) | (Ok(()), Order::Stop) => break,
                        (Ok(()), Order::Run { .. }) => self.sweep(),
                    }
                }
                _ = ticks.tick() => self.tick().await,
                touched = self.ledger.changes() => self.touched(touched),
                () = self.inbox.arrived() => self.heard(),
                done = self.publisher.done() => done.iter().for_each(|done| self.sent(done)),
                raised = self.documents.step() => {
                    if raised {
                        tracing::warn!(epoch = self.documents.epoch(), "the epoch was raised: every token is issued anew");
                        self.end_outdated_halts().await;
                        self.sweep();
                    }
                }
                () = std::future::ready(()), if more => {}
            }
        }
        self.stop().await;
    }

    /// Looks at what time alone may have changed.
    async fn tick(&mut self) {
        self.heard();
        let now = self.ledger.now();
        let due = self.fleet().take_due(now, BATCH);
        due.into_iter().for_each(|device| self.work.touched.push(device));
        let pause = self.work.failed_at.map_or(self.settings.sweep, |_| RETRY_AFTER.min(self.settings.sweep));
        if self.work.swept_at.is_none_or(|at| at.elapsed() >= pause) {
            self.compare_all();
        }
        if self.work.saved_at.is_none_or(|at| at.elapsed() >= STATUS_EVERY) {
            self.save_statuses().await;
        }
    }

    fn has_work(&self) -> bool {
        !self.publisher.is_full()
            && (self.work.sweeping || !self.work.whole.is_empty() || !self.work.touched.is_empty())
    }

    /// Starts from nothing: what a broker may have lost goes to everybody again, and everything is compared.
    fn sweep(&mut self) {
        self.compare_all();
        self.documents.send_again();
    }

    /// Starts a comparison of everything wanted with everything held. What goes to everybody is no part of it: who lacks it
    /// says so.
    fn compare_all(&mut self) {
        self.work.swept_at = Some(Instant::now());
        self.work.sweep = self.ledger.organizations().into();
        self.work.place = None;
        self.work.sweeping = true;
        self.heard();
    }

    fn touched(&mut self, touched: Vec<Touched>) {
        for Touched { organization, everything, groups, devices } in touched {
            if everything {
                self.work.whole.retain(|(other, _)| *other != organization);
                self.work.whole.push_back((organization, None));
            }
            for group in groups {
                let members = self.ledger.devices_in_group(organization, group);
                self.look_at(organization, members);
            }
            self.look_at(organization, devices);
        }
    }

    fn look_at(&mut self, organization: OrganizationId, devices: Vec<DeviceId>) {
        self.adopt(organization, &devices);
        devices.into_iter().for_each(|device| self.work.touched.push(device));
    }

    fn adopt(&self, organization: OrganizationId, devices: &[DeviceId]) {
        let mut fleet = self.fleet();
        for device in devices {
            // Most are known as theirs already; what those want need not be asked twice.
            if fleet.organization(device) == Some(organization) {
                continue;
            }
            // A retired device is touched by its old organization and may be another's by now.
            if self.ledger.wanted(organization, device).is_some() {
                fleet.adopt(device, organization);
            }
        }
    }

    fn heard(&mut self) {
        let now = self.ledger.now();
        let counters = Arc::clone(self.counters());
        let mut fleet = self.fleet.lock().unwrap_or_else(PoisonError::into_inner);
        for (device, unread) in self.inbox.take() {
            if let Some(report) = &unread.report {
                self.documents.reported(report.root_version, report.keyring_version);
                if let (Some(organization), Some(version), Some(proof)) =
                    (fleet.shows_another(&device, report), report.held, &report.proof)
                    && self.ledger.verify(organization, &device, proof.token()) == Some(version)
                    && fleet.halt(&device, version, Cause::Contradiction, now)
                {
                    say_halted(&device);
                }
            }
            let proven = unread.report.as_ref().and_then(|report| {
                let proof = report.proof.as_ref()?;
                self.ledger.verify(fleet.claims_more(&device, report)?, &device, proof.token())
            });
            let heard = fleet.heard(&device, unread, proven, self.settings.nonce_interval, now);
            if heard.asked_too_soon {
                counters.requests_refused.add(1);
            }
            if heard.dropped {
                counters.strangers_dropped.add(1);
            }
            if heard.look {
                self.work.touched.push(device);
            }
        }
    }

    /// Ends halts that a raised epoch has answered.
    async fn end_outdated_halts(&mut self) {
        let outdated = self.fleet().suspicions.outdated(self.documents.epoch(), self.ledger.now());
        for confirmation in outdated {
            tracing::warn!(organization = %confirmation.organization, "the epoch was raised: signing goes on");
            self.fleet().suspicions.confirmed(confirmation.clone());
            if let Err(error) = self.ledger.keep_confirmation(confirmation).await {
                // The next start finds it outdated again.
                tracing::warn!(%error, "the end of a halt was not noted");
            }
        }
    }

    /// Puts what is suspected on disk: a restart must not be a way around a halt.
    async fn keep_suspicions(&mut self) {
        let unkept = self.fleet().suspicions.take_unkept();
        if !unkept.is_empty()
            && let Err(error) = self.ledger.keep(unkept.clone()).await
        {
            tracing::error!(%error, "halts are not on disk; tried again");
            self.fleet().suspicions.not_kept(unkept);
        }
    }

    /// Looks at one batch of marked devices, issues what they need and hands it on.
    async fn work(&mut self) {
        self.keep_suspicions().await;
        if self.publisher.is_full() {
            return;
        }
        if self.work.touched.is_empty() {
            self.whole_next();
        }
        // Never of both: a device that is in both would get two tokens at once.
        let mut batch = self.work.touched.take();
        if self.work.touched.is_empty() && self.work.whole.is_empty() {
            self.work.touched.taken = 0;
        }
        if batch.is_empty() {
            if self.work.swept.is_empty() {
                self.sweep_next();
            }
            batch = std::mem::take(&mut self.work.swept);
        }
        let mut wishes = Vec::new();
        for device in batch {
            self.look(device, &mut wishes);
        }
        if wishes.is_empty() {
            return;
        }
        match self.ledger.issue(wishes.clone()).await {
            Ok(outcomes) => {
                self.work.failed_at = None;
                self.issued(outcomes, wishes);
            }
            // Level-triggered: a sweep asks for the same again. Said once, however long it lasts.
            Err(error) => {
                if self.work.failed_at.is_none() {
                    self.work.failed_at = Some(Instant::now());
                    tracing::error!(%error, tokens = wishes.len(), "no tokens are issued; tried again every few seconds");
                } else {
                    tracing::debug!(%error, tokens = wishes.len(), "still no tokens are issued");
                }
                wishes.iter().for_each(|wish| self.deliver_issued(&wish.wanted.device));
            }
        }
    }

    /// Sends a device what was issued to it last and it lacks, where nothing newer can be issued now: that nothing is signed
    /// must not keep from it what is.
    fn deliver_issued(&mut self, device: &DeviceId) {
        let (now, policy) = (self.ledger.now(), self.policy());
        let Some(version) = self.fleet().lacks(device, &policy, now) else { return };
        self.fleet().sending(device, version);
        self.publisher.send(Job { device: device.clone(), version, bytes: None, keep: true });
    }

    /// Goes on to the next page of an organization of which everything was touched.
    fn whole_next(&mut self) {
        let Some((organization, after)) = self.work.whole.pop_front() else { return };
        let page = self.ledger.devices(organization, after, BATCH);
        if page.len() == BATCH {
            self.work.whole.push_front((organization, page.last().cloned()));
        }
        self.look_at(organization, page);
    }

    /// Goes on to the next page of the sweep, or ends the sweep.
    fn sweep_next(&mut self) {
        let place = self.work.place.take().map(|(organization, last)| (organization, Some(last)));
        let next = place.or_else(|| self.work.sweep.pop_front().map(|organization| (organization, None)));
        match next {
            Some((organization, after)) => {
                let page = self.ledger.devices(organization, after, BATCH);
                self.adopt(organization, &page);
                // A page that is not full is the last one.
                let last = page.last().filter(|_| page.len() == BATCH);
                self.work.place = last.map(|last| (organization, last.clone()));
                self.work.swept = page;
            }
            None if self.work.sweeping => {
                self.work.sweeping = false;
                self.counters().sweeps.add(1);
            }
            None => {}
        }
    }

    /// Does what one device needs, or adds its token to those to be issued.
    fn look(&mut self, device: DeviceId, wishes: &mut Vec<Wish>) {
        self.counters().plans.add(1);
        let now = self.ledger.now();
        let mut fleet = self.fleet.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted =
            fleet.organization(&device).and_then(|organization| self.ledger.wanted(organization, &device));
        let lease_ends_at = fleet.lease_ends_at(&device);
        let domain = &self.settings.trust_domain;
        let goal = wanted.as_ref().map(|wanted| Goal::of(domain, wanted, lease_ends_at));
        let Planned { action, begins, ask_proof } = fleet.plan(&device, goal, &self.policy(), now);
        match action {
            Action::Nothing => {}
            Action::Quarantine => {
                if begins {
                    self.inbox.counters().quarantines.add(1);
                    tracing::error!(%device, "the device claims a token that was not issued here; its reports are not \
                        believed until it shows it or they are plausible. Look into it: a second cloud, a cloned or \
                        manipulated device");
                }
                if let Some(version) = fleet.version(&device).filter(|_| ask_proof) {
                    drop(fleet);
                    self.counters().proofs_asked.add(1);
                    tracing::debug!(%device, "asked to show the token it claims");
                    // Older than what it claims: it refuses it, and shows what it holds.
                    self.publisher.send(Job { device, version, bytes: None, keep: false });
                }
            }
            Action::Halt => {
                if begins {
                    say_halted(&device);
                }
            }
            Action::Publish => {
                if let Some(version) = fleet.version(&device) {
                    fleet.sending(&device, version);
                    drop(fleet);
                    self.publisher.send(Job { device, version, bytes: None, keep: true });
                }
            }
            Action::Issue(why) => {
                let (Some(wanted), Some(Goal { digest, .. })) = (wanted, goal) else { return };
                if fleet.suspicions.is_halted(wanted.organization) {
                    drop(fleet);
                    self.deliver_issued(&device);
                } else {
                    tracing::debug!(%device, why = why.name(), "issuing");
                    let announced = lease_ends_at.filter(|_| wanted.frozen_since.is_some());
                    wishes.push(Wish { nonce: fleet.nonce(&device), wanted, digest, why, announced });
                }
            }
        }
    }

    fn issued(&mut self, outcomes: Vec<Outcome>, wishes: Vec<Wish>) {
        let counters = Arc::clone(self.counters());
        let now = self.ledger.now();
        let (mut jobs, mut unsigned) = (Vec::new(), Vec::new());
        let policy = self.policy();
        let mut fleet = self.fleet.lock().unwrap_or_else(PoisonError::into_inner);
        for (outcome, wish) in outcomes.into_iter().zip(wishes) {
            let fresh = match outcome {
                Ok(fresh) => fresh,
                Err(error) => {
                    tracing::error!(device = %wish.wanted.device, %error, "no token issued; tried again at the next sweep");
                    unsigned.push(wish.wanted.device);
                    continue;
                }
            };
            counters.signatures.add(1);
            counters.rows.add(1);
            fleet.issued(&fresh, &wish);
            let lease_ends_at = Some(fresh.issued.lease_ends_at);
            let goal = Goal::of(&self.settings.trust_domain, &wish.wanted, lease_ends_at);
            match fleet.plan(&fresh.device, Some(goal), &policy, now).action {
                Action::Publish => {
                    fleet.sending(&fresh.device, fresh.issued.version);
                    let bytes = Some(fresh.bytes);
                    let (device, version) = (fresh.device, fresh.issued.version);
                    jobs.push(Job { device, version, bytes, keep: true });
                }
                Action::Nothing | Action::Quarantine | Action::Halt => {}
                // Asked again meanwhile, for instance: the next turn sees to it.
                Action::Issue(_) => {
                    self.work.touched.push(fresh.device);
                }
            }
        }
        drop(fleet);
        jobs.into_iter().for_each(|job| self.publisher.send(job));
        unsigned.iter().for_each(|device| self.deliver_issued(device));
    }

    fn sent(&mut self, done: &Done) {
        let now = self.ledger.now();
        self.fleet().sent(&done.device, done.version, done.end, now);
        if done.end == End::Outdated {
            self.work.touched.push(done.device.clone());
        }
        // What was issued while this was under way is looked at again.
        if self.fleet().version(&done.device).is_some_and(|newest| newest > done.version) {
            self.work.touched.push(done.device.clone());
        }
    }

    async fn save_statuses(&mut self) {
        self.work.saved_at = Some(Instant::now());
        let said = self.fleet().take_unsaved(STATUS_BATCH);
        if said.is_empty() {
            return;
        }
        let rows = said.len() as u64;
        match self.ledger.save(said).await {
            Ok(()) => self.counters().status_rows.add(rows),
            Err(error) => tracing::warn!(%error, "what devices said was not written; their next report is"),
        }
    }

    async fn stop(mut self) {
        let settle = async {
            while !self.publisher.is_idle() {
                let done = self.publisher.done().await;
                done.iter().for_each(|done| self.sent(done));
            }
        };
        // What is cut off here is found missing after the next start.
        let _ = tokio::time::timeout(STOP_WITHIN, settle).await;
        self.heard();
        self.save_statuses().await;
    }

    /// What holds for all devices now: the epoch follows the keyring.
    fn policy(&self) -> Policy {
        Policy {
            epoch: self.documents.epoch(),
            retained: self.settings.retained,
            started_millis: self.started_millis,
        }
    }

    fn counters(&self) -> &Arc<Counters> {
        self.inbox.counters()
    }

    fn fleet(&self) -> MutexGuard<'_, Fleet> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn say_halted(device: &DeviceId) {
    tracing::error!(%device, "the device shows a token signed with our key that was not issued here; nothing is signed \
        for its organization until an operator confirms (`coterm platform halts`). Look into it now: a stolen token key, \
        or a second cloud on another database");
}

/// Devices to be looked at, each once, first come first served.
#[derive(Debug, Default)]
struct DeviceQueue {
    order: VecDeque<DeviceId>,
    known: HashSet<DeviceId>,
    /// The size of the last batch, nothing after a pause.
    taken: usize,
}

impl DeviceQueue {
    fn push(&mut self, device: DeviceId) {
        if self.known.insert(device.clone()) {
            self.order.push_back(device);
        }
    }

    fn take(&mut self) -> Vec<DeviceId> {
        self.taken = self.taken.saturating_mul(2).clamp(FIRST_BATCH, BATCH);
        let taken: Vec<DeviceId> = self.order.drain(..self.taken.min(self.order.len())).collect();
        taken.iter().for_each(|device| {
            self.known.remove(device);
        });
        taken
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

/// What the owner of the loop wants of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Go on; a new number asks for a sweep.
    Run {
        /// How many sweeps were asked for.
        sweeps: u64,
    },
    /// Finish.
    Stop,
}
