//! The loop around [`plan`](super::plan::plan): what wakes it, and what is done with its answers.
//!
//! Everything that may have changed something only marks devices; one place looks at marked devices, issues for all of
//! them in one transaction and hands the bytes on. So a device marked ten times is looked at once, and nothing depends
//! on why it was marked. Every collection here is a set of devices or has a limit.

mod looking;
mod work;

pub(super) use work::Work;

use self::work::BATCH;
use super::Settings;
use super::counters::Counters;
use super::documents::DocumentCourier;
use super::fleet::Fleet;
use super::inbox::LatestInbox;
use super::plan::Policy;
use super::ports::{Ledger, Touched};
use super::publish::{Done, End, Publisher};
use super::status::Cause;
use coterm_shared::id::{DeviceId, OrganizationId};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

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
            let (mut proven, mut vain) = (None, false);
            if let Some(report) = &unread.report {
                self.documents.reported(report.root_version, report.keyring_version);
                let another = fleet.shows_another(&device, report);
                if let (Some(proof), Some(organization)) =
                    (&report.proof, another.or_else(|| fleet.claims_more(&device, report)))
                {
                    proven = self.ledger.verify(organization, &device, proof.token());
                    vain = another.is_some() && proven.is_none();
                }
                // Whatever else it needs now: the next token would hide the other one.
                if let Some(version) =
                    proven.filter(|version| another.is_some() && report.held == Some(*version))
                    && fleet.halt(&device, version, Cause::Contradiction, now)
                {
                    say_halted(&device);
                }
            }
            let heard = fleet.heard(&device, unread, proven, vain, self.settings.nonce_interval, now);
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
            self.fleet().confirmed(confirmation.clone(), self.ledger.now());
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
