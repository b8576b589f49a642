//! What faults do, and how they pass.

use crate::cloud::{Machine, Node};
use crate::device::{Backup, truth};
use crate::disk::Cut;
use crate::faults::Fault;
use crate::invariants::Invariant;
use crate::plan::{DAY, HOUR, MINUTE, SECOND, Strike};
use crate::planted::Planted;
use crate::rng::Rng;
use crate::store::{Disk, Fuse, locked};
use crate::world::{Event, World};
use coterm_shared::enforcement::OperatingMode;
use coterm_shared::time::Timestamp;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// For a strike that hits no device.
const NOBODY: usize = usize::MAX;

impl World {
    /// A fault strikes.
    pub fn strike(&mut self, strike: Strike) {
        let mut dice = Rng::new(strike.dice);
        let device = dice.below(self.devices.len() as u64) as usize;
        let fault = strike.fault;
        self.note(&[20, fault as u64, device as u64], || format!("FAULT {} (dev-{device})", fault.name()));
        if self.hits(fault, device, &mut dice) {
            self.struck.hit(fault);
        }
    }

    /// Does it; whether it struck now. Some strike later, when what they wait for happens.
    fn hits(&mut self, fault: Fault, device: usize, dice: &mut Rng) -> bool {
        let now = self.now;
        match fault {
            Fault::Loss | Fault::Duplication | Fault::Reordering => false,
            Fault::Partition => {
                self.devices[device].cut_off = true;
                if self.devices[device].session.is_some() {
                    let session = self.devices[device].session.as_ref().map_or(0, |session| session.id);
                    self.after(90 * SECOND, Event::Down { device, session });
                }
                self.after(dice.range(MINUTE, 3 * DAY), Event::Mend { fault, device });
                true
            }
            Fault::CloudCutOff => {
                // A broker in the daemon's own process cannot be cut off from it.
                if !self.plan.retained {
                    return false;
                }
                self.machines[0].line.cut.store(true, Ordering::Relaxed);
                self.after(dice.range(MINUTE, 20 * HOUR), Event::Mend { fault, device: NOBODY });
                true
            }
            Fault::PublishHangs => {
                self.machines[0].line.hangs.store(true, Ordering::Relaxed);
                self.after(dice.range(MINUTE, HOUR), Event::Mend { fault, device: NOBODY });
                true
            }
            Fault::RetainedLost => {
                let kept: Vec<String> = self.hub.retained.keys().cloned().collect();
                let lost: Vec<String> = kept.into_iter().filter(|_| dice.chance(500)).collect();
                lost.iter().for_each(|topic| {
                    self.hub.retained.remove(topic);
                });
                !lost.is_empty()
            }
            Fault::BrokerRestart => {
                self.restart_broker(dice.range(SECOND, 10 * MINUTE), dice.chance(500));
                true
            }
            Fault::Kick => {
                self.hub.kicks_until = now + dice.range(10 * MINUTE, 3 * HOUR);
                for device in 0..self.devices.len() {
                    if let Some(session) = self.devices[device].session.clone() {
                        self.after(SECOND, Event::Down { device, session: session.id });
                    }
                }
                false
            }
            Fault::Unsubscribed => {
                self.hub.slow_until = self.hub.slow_until.max(now + dice.range(HOUR, 12 * HOUR));
                for device in 0..self.devices.len() {
                    if let Some(session) = self.devices[device].session.as_ref().map(|session| session.id) {
                        self.after(dice.below(HOUR), Event::Down { device, session });
                    }
                }
                // It strikes when something is lost by it.
                false
            }
            Fault::AgentKilled => self.kill_and_restart(device, dice.range(SECOND, HOUR)),
            Fault::KilledBetweenSteps => {
                self.devices[device].dies_before = Some(dice.below(2));
                false
            }
            Fault::PowerCut => {
                let was = self.devices[device].powered;
                self.cut_power(device, Cut::Lost);
                self.after(dice.range(SECOND, DAY), Event::Power { device });
                was
            }
            Fault::WriteLost | Fault::WriteTorn => {
                let cut = if fault == Fault::WriteTorn { Cut::Torn } else { Cut::Lost };
                self.devices[device].flash.borrow_mut().fuse = Some((dice.below(6), cut));
                false
            }
            Fault::DiskFull => {
                self.devices[device].flash.borrow_mut().full = true;
                self.after(dice.range(10 * MINUTE, DAY), Event::Mend { fault, device });
                false
            }
            Fault::StateRestored => self.restore_state(device, dice),
            Fault::StateWiped => {
                self.cut_power(device, Cut::Lost);
                let of = &mut self.devices[device];
                of.flash.borrow_mut().restore([Vec::new(), Vec::new()]);
                of.best = None;
                of.known = crate::device::Known::default();
                of.earned_on_flash = crate::device::BUILT_SECS;
                self.after(MINUTE, Event::Power { device });
                true
            }
            Fault::ClockForward | Fault::ClockBack => {
                let by = *dice.pick(&[3_600, 86_400, 40 * 86_400, 5 * 365 * 86_400]);
                let of = &mut self.devices[device];
                of.wall_offset += if fault == Fault::ClockForward { by } else { -by };
                of.wall_set_at = now;
                true
            }
            Fault::ClockDead => {
                let was = self.devices[device].powered;
                self.cut_power(device, Cut::Lost);
                let delay = dice.range(SECOND, HOUR);
                let of = &mut self.devices[device];
                of.wall_offset = -i64::try_from(truth(now + delay)).expect("centuries");
                of.wall_set_at = now;
                self.after(delay, Event::Power { device });
                was
            }
            Fault::Suspend => {
                let of = &mut self.devices[device];
                if of.driver.is_none() || of.suspended_until.is_some() {
                    return false;
                }
                let until = now + dice.range(MINUTE, 2 * DAY);
                // Ticks that are due meanwhile are late.
                (of.suspended_until, of.trouble, of.slept_since) = (Some(until), true, now);
                self.at(until, Event::Resume { device });
                true
            }
            Fault::RebootLoop => {
                self.devices[device].loops = dice.range(5, 60);
                self.mend(fault, device);
                true
            }
            Fault::ActuatorSlow => {
                self.devices[device].slowness = dice.range(SECOND, 10 * MINUTE);
                self.after(dice.range(HOUR, 2 * DAY), Event::Mend { fault, device });
                true
            }
            Fault::ActuatorFails => {
                self.devices[device].body.lock().expect("whole").fails = true;
                self.after(dice.range(MINUTE, DAY), Event::Mend { fault, device });
                true
            }
            Fault::ActuatorHangs => {
                let for_how_long = dice.range(MINUTE, 5 * HOUR);
                self.devices[device].hang_until = now + for_how_long;
                self.kick_round(device, for_how_long);
                true
            }
            Fault::Tampered => {
                self.devices[device].body.lock().expect("whole").mode = *dice.pick(&OperatingMode::ALL);
                true
            }
            Fault::CloudKilled => {
                let ran = self.nodes[0].is_some();
                self.cloud_died(0);
                ran
            }
            Fault::CrashBeforeCommit | Fault::CrashAfterCommit => {
                let n = dice.below(8);
                let fuse = if fault == Fault::CrashBeforeCommit { Fuse::Before(n) } else { Fuse::After(n) };
                locked(&self.machines[0].disk).fuse = Some(fuse);
                self.fuse = Some(fault);
                false
            }
            Fault::StoreFull => {
                locked(&self.machines[0].disk).full = true;
                self.after(dice.range(MINUTE, 10 * HOUR), Event::Mend { fault, device: NOBODY });
                true
            }
            Fault::DatabaseRestored => self.restore_database(dice),
            Fault::SecondCloud => self.second_cloud(dice),
            Fault::CloudClockStep => {
                // Before the clocks of this boot were noted, a step is an outage like any other (token §3).
                if self.nodes[0].is_none() && self.machines[0].booted_unseen {
                    return false;
                }
                let by = *dice.pick(&[2 * HOUR, 3 * DAY, 50 * DAY, 4 * 365 * DAY]);
                let by = i64::try_from(by).expect("years");
                self.set_cloud_clock(if dice.chance(500) { by } else { -by });
                true
            }
            Fault::CloudClockDrift => {
                let drift = i64::try_from(dice.below(50 * MINUTE)).expect("short") - 25 * MINUTE as i64;
                if self.machines[0].offset.unsigned_abs() > HOUR {
                    return false;
                }
                self.set_cloud_clock(drift);
                true
            }
            Fault::SignerGone => {
                self.keys.0.lock().expect("whole").gone = true;
                self.after(dice.range(10 * MINUTE, DAY), Event::Mend { fault, device: NOBODY });
                true
            }
            Fault::KeyRotated => {
                self.new_documents(|office, at| office.announce(at));
                self.after(dice.range(MINUTE, DAY), Event::Activate);
                true
            }
            Fault::EpochRaised => {
                self.new_documents(|office, at| office.raise_epoch(at));
                true
            }
            Fault::RootRotated => {
                self.new_documents(|office, at| office.next_root(at));
                true
            }
            Fault::Junk
            | Fault::Flipped
            | Fault::Replayed
            | Fault::Strayed
            | Fault::Foreign
            | Fault::Stranger
            | Fault::Superseded
            | Fault::Unlisted
            | Fault::Outlived => self.attack(fault, device, dice),
        }
    }

    /// What a fault did is over.
    pub fn mend(&mut self, fault: Fault, device: usize) {
        self.note(&[21, fault as u64, device as u64], || format!("over: {}", fault.name()));
        match fault {
            Fault::Partition => self.devices[device].cut_off = false,
            Fault::CloudCutOff => self.machines[0].line.cut.store(false, Ordering::Relaxed),
            Fault::PublishHangs => {
                self.machines[0].line.hangs.store(false, Ordering::Relaxed);
                self.hub.hung_until = self.now + 15 * SECOND;
            }
            Fault::DiskFull => self.devices[device].flash.borrow_mut().full = false,
            Fault::ActuatorSlow => self.devices[device].slowness = 0,
            Fault::ActuatorFails => self.devices[device].body.lock().expect("whole").fails = false,
            Fault::StoreFull => locked(&self.machines[0].disk).full = false,
            Fault::SignerGone => self.keys.0.lock().expect("whole").gone = false,
            Fault::SecondCloud => {
                self.nodes[1] = None;
                self.note(&[22], || "the second cloud is found and ended".to_owned());
            }
            Fault::RebootLoop => {
                if self.devices[device].loops > 0 && !self.calm {
                    self.devices[device].loops -= 1;
                    self.cut_power(device, Cut::Lost);
                    self.after(SECOND, Event::Power { device });
                    let up = self.chance.range(4, 400) * SECOND;
                    self.after(up, Event::Mend { fault, device });
                }
            }
            other => self.broken(Invariant::Converges, format!("{} does not pass by itself", other.name())),
        }
    }

    fn kill_and_restart(&mut self, device: usize, delay: u64) -> bool {
        let ran = self.devices[device].driver.is_some();
        self.kill_agent(device);
        // While nobody ticks, nothing of the time gets onto the flash.
        self.devices[device].trouble = true;
        let life = self.devices[device].life;
        self.after(delay, Event::Agent { device, life });
        ran
    }

    fn restore_state(&mut self, device: usize, dice: &mut Rng) -> bool {
        if self.devices[device].backups.is_empty() {
            return false;
        }
        self.cut_power(device, Cut::Lost);
        let of = &mut self.devices[device];
        let backup = dice.pick(&of.backups).clone();
        let generation = {
            let mut flash = of.flash.borrow_mut();
            flash.restore(backup.slots);
            flash.generation
        };
        of.best = backup.best;
        of.known = crate::device::Known { generation, ..backup.known };
        of.earned_on_flash = backup.earned;
        self.after(MINUTE, Event::Power { device });
        true
    }

    /// Copies of everything that somebody may put back later.
    pub fn back_up(&mut self) {
        for of in &mut self.devices {
            let slots = of.flash.borrow().copy();
            let generation = of.flash.borrow().generation;
            if generation != of.known.generation || of.known.issue.is_none() {
                continue;
            }
            let (earned, best, known) = (of.earned_on_flash, of.best, of.known.clone());
            of.backups.push(Backup { slots, earned, best, known });
        }
        if self.nodes[0].is_some() {
            let db = locked(&self.machines[0].disk).db.clone();
            self.operators.backups.push(db);
        }
        self.after(9 * HOUR, Event::Backup);
    }

    /// A daemon is gone, and comes back unless it is the second one.
    pub fn cloud_died(&mut self, number: usize) {
        if self.nodes[number].take().is_none() {
            return;
        }
        if self.plan.has(Planted::AckEarly) {
            let mut disk = locked(&self.machines[number].disk);
            if let Some(old) = disk.before.pop_back() {
                (disk.db, disk.before) = (old, Default::default());
            }
        }
        self.note(&[23, number as u64], || format!("cloud {number} is dead"));
        if number != 0 {
            return;
        }
        if let Some(fault) = self.fuse.take_if(|_| locked(&self.machines[0].disk).fuse.is_none()) {
            self.struck.hit(fault);
        }
        if !self.plan.retained {
            self.restart_broker(0, true);
        }
        let mut dice = Rng::new(self.chance.next());
        if dice.chance(300) && self.machines[0].offset == 0 {
            // The machine restarts too.
            self.machines[0].boot += 1;
            self.machines[0].booted = self.now;
            self.machines[0].booted_unseen = true;
        }
        self.after(dice.range(5 * SECOND, HOUR), Event::Start { machine: 0 });
    }

    /// A daemon starts on its machine.
    pub fn start_cloud(&mut self, number: usize) {
        if self.nodes[number].is_some() {
            return;
        }
        self.note(&[24, number as u64], || format!("cloud {number} starts"));
        if self.plan.has(Planted::StaleStart)
            && let Some(old) = self.operators.backups.last()
        {
            locked(&self.machines[number].disk).db = old.clone();
        }
        let node = Node::start(&self.machines[number], &self.keys, &self.air, &self.plan, self.now);
        self.nodes[number] = node;
        self.collect();
        if number == 0 && self.nodes[0].is_some() {
            self.look_at_the_log();
        } else if number == 0 {
            self.after(MINUTE, Event::Start { machine: 0 });
        }
    }

    fn restart_broker(&mut self, down: u64, forgets: bool) {
        self.air.lock().expect("whole").down_until = self.now + down;
        if forgets {
            self.hub.retained.clear();
        }
        for device in 0..self.devices.len() {
            if self.devices[device].session.is_some() {
                self.disconnect(device);
            }
        }
    }

    fn restore_database(&mut self, dice: &mut Rng) -> bool {
        if self.operators.backups.is_empty() {
            return false;
        }
        self.restored_ever = true;
        self.cloud_died(0);
        // A copy knows nothing of a clock that was set after it: whoever restores puts that right first, and a step before
        // the first look is an outage like any other (token §3).
        if self.machines[0].offset.unsigned_abs() > HOUR {
            self.set_cloud_clock(0);
        }
        self.machines[0].booted_unseen = true;
        let nth = dice.below(self.operators.backups.len() as u64) as usize;
        let db = self.operators.backups[nth].clone();
        // Later copies are of a history that did not happen.
        self.operators.backups.truncate(nth + 1);
        // What was acknowledged since is lost, as whoever restores a backup knows.
        self.operators.forget_after(db.position());
        let mut disk = locked(&self.machines[0].disk);
        disk.db = db;
        disk.fuse = None;
        true
    }

    fn second_cloud(&mut self, dice: &mut Rng) -> bool {
        if self.nodes[1].is_some() || self.nodes[0].is_none() {
            return false;
        }
        let old = dice.chance(300) && !self.operators.backups.is_empty();
        let db = if old {
            dice.pick(&self.operators.backups).clone()
        } else {
            locked(&self.machines[0].disk).db.clone()
        };
        let disk = Arc::new(Mutex::new(Disk { db, planted: self.plan.planted, ..Disk::default() }));
        let boot = 1_000 + self.machines[1].boot;
        self.machines[1] = Machine {
            number: 1,
            disk,
            line: Arc::default(),
            offset: 0,
            boot,
            booted: self.now,
            booted_unseen: false,
        };
        self.start_cloud(1);
        self.second_ever = true;
        self.after(dice.range(10 * MINUTE, DAY), Event::Mend { fault: Fault::SecondCloud, device: NOBODY });
        true
    }

    /// Sets the clock of the deployment's own machine.
    pub fn set_cloud_clock(&mut self, offset: i64) {
        self.machines[0].offset = offset;
        if let Some(node) = &self.nodes[0] {
            node.clock.offset.store(offset, Ordering::Relaxed);
        }
    }

    fn new_documents(&mut self, change: impl FnOnce(&mut crate::trust::Office, Timestamp)) {
        let mut documents = {
            let mut office = self.keys.0.lock().expect("whole");
            change(&mut office, Timestamp::from_secs_clamped(truth(self.now)));
            office.documents()
        };
        self.documents.insert(documents.keyring.to_vec());
        self.documents.extend(documents.roots.iter().map(|(_, root)| root.to_vec()));
        if self.plan.has(Planted::NoRoots) {
            documents.roots.clear();
        }
        if !self.plan.has(Planted::StaleDocuments) {
            self.nodes.iter().flatten().for_each(|node| node.tell(documents.clone()));
        }
    }

    /// Operators look after the daemons: put clocks right, confirm the time, and halts when nobody else signs.
    pub fn attend(&mut self) {
        if self.machines[0].offset.unsigned_abs() > HOUR || self.calm {
            self.set_cloud_clock(0);
        }
        let alone = self.nodes[1].is_none();
        if let Some(node) = &self.nodes[0] {
            let (doubted, settled) = node.attend(alone);
            if doubted || settled > 0 {
                self.note(&[25, u64::from(doubted), settled as u64], || {
                    format!("operators confirm: time {doubted}, organizations {settled}")
                });
            }
        }
        self.collect();
        if self.calm {
            self.end_freezes();
        }
        let pause = if self.calm { HOUR } else { 5 * HOUR };
        self.after(pause, Event::Attend);
    }

    /// Every fault is over, and nobody does anything any more.
    pub fn calm_down(&mut self) {
        self.calm = true;
        self.note(&[26], || "faults stop".to_owned());
        self.hub.kicks_until = 0;
        self.air.lock().expect("whole").down_until = self.now;
        self.nodes[1] = None;
        let line = Arc::clone(&self.machines[0].line);
        line.cut.store(false, Ordering::Relaxed);
        line.hangs.store(false, Ordering::Relaxed);
        self.hub.hung_until = self.now + 15 * SECOND;
        {
            let mut disk = locked(&self.machines[0].disk);
            disk.full = false;
            disk.fuse = None;
        }
        self.keys.0.lock().expect("whole").gone = false;
        self.start_cloud(0);
        for device in 0..self.devices.len() {
            let of = &mut self.devices[device];
            of.cut_off = false;
            of.loops = 0;
            of.slowness = 0;
            of.hang_until = 0;
            of.dies_before = None;
            of.body.lock().expect("whole").fails = false;
            {
                let mut flash = of.flash.borrow_mut();
                flash.full = false;
                flash.fuse = None;
            }
            of.wall_offset = 0;
            of.wall_set_at = self.now;
            if of.suspended_until.is_some() {
                self.resume(device);
            }
            if !self.devices[device].powered {
                self.after(SECOND, Event::Power { device });
            } else if self.devices[device].driver.is_none() {
                let life = self.devices[device].life;
                self.after(SECOND, Event::Agent { device, life });
            } else if !self.plan.has(Planted::NotObservedAgain) {
                self.kick_round(device, SECOND);
            }
        }
        self.attend();
        let reconcile = self.plan.sweep.max(self.plan.heartbeat_secs * SECOND * 11 / 10 + MINUTE);
        self.after(2 * reconcile + 30 * MINUTE, Event::Judge);
    }
}
