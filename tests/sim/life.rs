//! The life of a device: power and sleep, an agent that starts and dies, what it is handed and what it orders.

use crate::device::Device;
use crate::disk::{Cut, FlashMedium};
use crate::faults::Fault;
use crate::invariants::Invariant;
use crate::plan::{MINUTE, SECOND};
use crate::planted::Planted;
use crate::world::{Event, World, random};
use coterm_agent::actuator::drive;
use coterm_agent::actuator::worker::Outcome;
use coterm_agent::driver::{Driver, Effects, Input};
use coterm_agent::line::Slot;
use coterm_agent::state_file::TwoSlots;
use coterm_shared::enforcement::OperatingMode;

impl World {
    /// A device wakes from its sleep.
    pub fn resume(&mut self, device: usize) {
        let of = &mut self.devices[device];
        of.suspended_until = None;
        of.slept += self.now - of.slept_since;
        of.attempt += 1;
        if self.devices[device].driver.is_some() {
            self.disconnect(device);
            self.feed(device, Input::Tick);
            self.kick_round(device, SECOND);
        }
    }

    pub fn power(&mut self, device: usize) {
        let (now, of) = (self.now, &mut self.devices[device]);
        if of.powered {
            return;
        }
        of.powered = true;
        of.boot += 1;
        of.life += 1;
        // The kernel takes a moment before any program runs.
        of.booted_at = now;
        of.slept = 0;
        of.earned = (of.earned_on_flash, 0);
        of.earned_at_boot = of.earned_on_flash;
        of.trouble = false;
        let life = of.life;
        self.note(&[2, device as u64], || format!("dev-{device} boots"));
        self.after(3 * SECOND, Event::Agent { device, life });
    }

    /// The agent starts from what is on the flash.
    pub fn start_agent(&mut self, device: usize) {
        if !self.devices[device].powered || self.devices[device].driver.is_some() {
            return;
        }
        let (root, keyring) = {
            let office = self.keys.0.lock().expect("whole");
            (office.first_root().to_vec(), self.first_keyring.clone())
        };
        let (now, plan) = (self.now, &self.plan);
        let of = &mut self.devices[device];
        let fresh = of.flash.borrow_mut().record().is_none();
        let opened = Driver::open(
            of.identity(plan),
            &root,
            Some(&keyring),
            TwoSlots::new(FlashMedium(of.flash.clone())),
            Device::clock_policy(plan),
            of.reading(now),
            random,
        );
        let driver = match opened {
            Ok(driver) => driver,
            Err(error) => {
                return self.broken(Invariant::PersistFirst, format!("dev-{device} cannot start: {error}"));
            }
        };
        of.driver = Some(driver);
        of.started_at = now;
        of.attempts = (0, 0);
        let lost = fresh && of.known.mode.is_some();
        if lost {
            return self.broken(Invariant::NeverBack, format!("dev-{device} has lost what was on its flash"));
        }
        if fresh {
            // Build time counts from the start alone: the software may be newer than the boot.
            of.earned = (crate::device::BUILT_SECS, of.uptime(now));
            of.earned_at_boot = crate::device::BUILT_SECS - of.uptime(now);
        }
        of.ordered = None;
        (of.order, of.outcome) = (None, None);
        of.outbox = coterm_agent::line::Outbox::default();
        of.backoff = coterm_agent::line::Backoff::new(crate::device::LONGEST_BACKOFF);
        of.attempt += 1;
        let attempt = of.attempt;
        self.note(&[3, device as u64], || format!("dev-{device}'s agent starts"));
        if self.devices[device].flash.borrow().blown.is_some() {
            return self.blown(device);
        }
        self.feed(device, Input::Tick);
        self.feed(device, Input::Tick);
        let delay = self.chance.range(100, 3_000);
        self.after(delay, Event::Connect { device, attempt });
    }

    /// The agent is gone; the device stays as it is.
    pub fn kill_agent(&mut self, device: usize) {
        let of = &mut self.devices[device];
        of.driver = None;
        of.life += 1;
        of.wake += 1;
        of.attempt += 1;
        of.round += 1;
        of.dies_before = None;
        self.drop_session(device);
    }

    /// Power goes.
    pub fn cut_power(&mut self, device: usize, cut: Cut) {
        let now = self.now;
        self.kill_agent(device);
        let longest = self.plan.longest_tick_secs;
        let of = &mut self.devices[device];
        if of.powered && !of.trouble {
            // At most half of the uptime is lost, and at most one long tick (token §5).
            let up = of.uptime(now);
            // An agent that was killed before it saved anything begins with the time its restart took behind it.
            let restart = if of.flash.borrow().saved { 0 } else { 60 };
            let kept = (up.saturating_sub(8 + restart) / 2).max(up.saturating_sub(longest + 8 + restart));
            of.earned_on_flash = of.earned_on_flash.max(of.earned_at_boot + kept);
        }
        of.powered = false;
        of.suspended_until = None;
        of.flash.borrow_mut().cut(cut);
        self.note(&[4, device as u64], || format!("dev-{device} loses power"));
    }

    /// The power went in the middle of a save.
    pub fn blown(&mut self, device: usize) {
        let cut = self.devices[device].flash.borrow().blown.unwrap_or(Cut::Lost);
        self.struck.hit(if cut == Cut::Torn { Fault::WriteTorn } else { Fault::WriteLost });
        self.cut_power(device, cut);
        let delay = self.chance.range(5 * SECOND, 20 * MINUTE);
        self.after(delay, Event::Power { device });
    }

    /// Hands an input to the agent and carries out what it answers.
    pub fn feed(&mut self, device: usize, input: Input) {
        if self.devices[device].suspended_until.is_some() {
            return;
        }
        let refused = self.devices[device].flash.borrow().refused;
        let now = self.now;
        let of = &mut self.devices[device];
        let reading = of.reading(now);
        let Some(driver) = &mut of.driver else { return };
        let effects = driver.handle(input, reading);
        if of.flash.borrow().blown.is_some() {
            return self.blown(device);
        }
        let full = self.devices[device].flash.borrow().refused > refused;
        if full {
            self.struck.hit(Fault::DiskFull);
            self.devices[device].trouble = true;
        }
        self.watch(device, &effects);
        self.carry_out(device, effects);
    }

    fn carry_out(&mut self, device: usize, effects: Effects) {
        let dies_before = self.devices[device].dies_before;
        // Acknowledging is before the first step: what is acknowledged is not sent again in this simulation anyway.
        if let Some(order) = effects.order {
            if dies_before == Some(0) {
                return self.dies_between(device);
            }
            let of = &mut self.devices[device];
            let serial = of.order.as_ref().map_or(1, |(serial, _)| serial + 1);
            of.ordered = Some(order.mode);
            if of.order.is_none() || of.planted != Some(Planted::StaleOrder) {
                of.order = Some((serial, order));
            }
            let hangs = of.hang_until.saturating_sub(self.now);
            let delay = of.slowness.max(hangs) + 50;
            self.kick_round(device, delay);
        }
        let speaks = effects.request.is_some() || effects.report.is_some();
        if speaks && dies_before == Some(1) {
            return self.dies_between(device);
        }
        let of = &mut self.devices[device];
        if let Some(request) = effects.request {
            of.outbox.put(Slot::Request, request);
        }
        if let Some(report) = effects.report {
            of.outbox.put(Slot::Report, report);
        }
        of.wake += 1;
        let (wake, wait) = (of.wake, effects.wake_in.0 * SECOND);
        self.after(wait, Event::Wake { device, wake });
        self.follow_root(device);
        self.pump(device);
        // The pause before that is shorter than anything that matters here.
        if effects.report_waits {
            self.feed(device, Input::Speak);
        }
    }

    fn dies_between(&mut self, device: usize) {
        self.struck.hit(Fault::KilledBetweenSteps);
        self.note(&[5, device as u64], || format!("dev-{device}'s agent is killed between two steps"));
        self.kill_agent(device);
        let life = self.devices[device].life;
        self.after(10 * SECOND, Event::Agent { device, life });
    }

    /// The hands do their next round after this.
    pub fn kick_round(&mut self, device: usize, delay: u64) {
        self.devices[device].round += 1;
        let round = self.devices[device].round;
        self.after(delay, Event::Round { device, round });
    }

    pub fn round(&mut self, device: usize) {
        let of = &mut self.devices[device];
        let Some((serial, order)) = of.order.clone().filter(|_| of.driver.is_some()) else { return };
        if of.suspended_until.is_some() {
            return;
        }
        let faults = drive(&mut of.hands, &order);
        let mode = of.body.lock().expect("whole").mode;
        let outcome = Outcome { serial, order, faults };
        let news = of.outcome.as_ref() != Some(&outcome);
        of.outcome = Some(outcome.clone());
        if !self.plan.has(Planted::NotObservedAgain) {
            self.kick_round(device, self.plan.observe);
        }
        self.note(&[6, device as u64, mode as u64], || format!("dev-{device} is in mode {mode:?}"));
        if news {
            self.feed(device, Input::Driven(outcome));
        }
    }

    /// The mode a device is really in.
    pub fn real_mode(&self, device: usize) -> OperatingMode {
        self.devices[device].body.lock().expect("whole").mode
    }
}
