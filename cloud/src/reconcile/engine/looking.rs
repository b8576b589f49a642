//! One batch of marked devices: what each needs is issued in one transaction and handed on.

use super::{Engine, say_halted};
use crate::reconcile::digest::Goal;
use crate::reconcile::fleet::Planned;
use crate::reconcile::plan::Action;
use crate::reconcile::ports::{Outcome, Wish};
use crate::reconcile::publish::Job;
use coterm_shared::id::DeviceId;
use std::sync::{Arc, PoisonError};
use tokio::time::Instant;

impl Engine {
    /// Looks at one batch of marked devices, issues what they need and hands it on.
    pub(super) async fn work(&mut self) {
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
                    // Older than what it claims, or another of that version: it refuses it, and shows what it holds.
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
}
