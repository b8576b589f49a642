//! The world: one queue of events, and everything that happens to devices, their lines and the broker.

use crate::cloud::{Air, Machine, Node};
use crate::device::Device;
use crate::disk::{Cut, FlashMedium};
use crate::faults::{Fault, Struck};
use crate::invariants::{Exercised, Invariant, Violation};
use crate::net::Hub;
use crate::operator::Office as Operators;
use crate::plan::{DAY, HOUR, MINUTE, Plan, SECOND};
use crate::planted::Planted;
use crate::rng::Rng;
use crate::store::locked;
use crate::trust::Keys;
use coterm_agent::actuator::drive;
use coterm_agent::actuator::worker::Outcome;
use coterm_agent::driver::{Driver, Effects, Input};
use coterm_agent::line::Slot;
use coterm_agent::state_file::TwoSlots;
use coterm_shared::enforcement::OperatingMode;
use coterm_shared::token::TokenVersion;
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::{Arc, Mutex};

thread_local! {
    /// What the devices' agents draw from: the driver takes a plain function.
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

/// A random number for an agent.
fn random() -> u32 {
    RANDOM.with(|state| {
        let mut rng = Rng::new(state.get());
        let drawn = rng.next();
        state.set(drawn);
        (drawn >> 32) as u32
    })
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A device gets power, in this boot.
    Power { device: usize },
    /// Its agent starts.
    Agent { device: usize, life: u64 },
    /// Its agent asked to be woken.
    Wake { device: usize, wake: u64 },
    /// It tries to connect.
    Connect { device: usize, attempt: u64 },
    /// Its session ends.
    Down { device: usize, session: u64 },
    /// The broker has its subscriptions.
    Subscribe { device: usize, session: u64 },
    /// What it lacks and has said so has to be on its way.
    Owed { device: usize, session: u64, version: TokenVersion },
    /// A message reaches it.
    Deliver { device: usize, session: u64, topic: String, payload: Arc<[u8]> },
    /// The broker acknowledges what it published.
    PubAck { device: usize, session: u64 },
    /// What it published reaches the daemons.
    Hear { device: usize, slot: bool, payload: Vec<u8> },
    /// Its hands do a round.
    Round { device: usize, round: u64 },
    /// It wakes from its sleep.
    Resume { device: usize },
    /// Something is as it should be again.
    Mend { fault: Fault, device: usize },
    /// A daemon starts.
    Start { machine: usize },
    /// The books look at the clock.
    Turn,
    /// Operators look after the daemons.
    Attend,
    /// Operators do something.
    Operate { dice: u64 },
    /// A fault strikes.
    Strike { nth: usize },
    /// The key announced begins to sign.
    Activate,
    /// A copy is taken of everything that can be restored.
    Backup,
    /// Faults stop.
    Calm,
    /// Everything has to be as it should.
    Judge,
}

/// Everything.
pub struct World {
    /// What was drawn beforehand.
    pub plan: Plan,
    /// Milliseconds since the beginning.
    pub now: u64,
    /// What is to happen.
    pub queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    /// Events ever queued: what is queued first happens first.
    pub queued: u64,
    /// The devices.
    pub devices: Vec<Device>,
    /// The broker.
    pub hub: Hub,
    /// What left the daemons.
    pub air: Arc<Mutex<Air>>,
    /// The machines of the daemons.
    pub machines: Vec<Machine>,
    /// The daemons that run.
    pub nodes: Vec<Option<Node>>,
    /// The deployment's keys.
    pub keys: Keys,
    /// The keyring that devices are provisioned with.
    pub first_keyring: Vec<u8>,
    /// A crash waits for a commit.
    pub fuse: Option<Fault>,
    /// There was a second cloud.
    pub second_ever: bool,
    /// A database was restored.
    pub restored_ever: bool,
    /// Epoch, instant and root of every keyring seen.
    pub epochs: BTreeMap<Vec<u8>, (u64, u64, u64)>,
    /// Every root and keyring ever made.
    pub documents: BTreeSet<Vec<u8>>,
    /// The operators and what they were answered.
    pub operators: Operators,
    /// Chance of the network.
    pub chance: Rng,
    /// How often each fault struck.
    pub struck: Struck,
    /// How often each invariant was looked at.
    pub exercised: Exercised,
    /// The first that was broken.
    pub violation: Option<Violation>,
    /// What happened, if it is written down.
    pub trace: Option<Vec<String>>,
    /// What happened, as a number to compare.
    pub digest: u64,
    /// Faults have stopped.
    pub calm: bool,
    /// Events taken.
    pub events: u64,
}

impl World {
    /// Something for later.
    pub fn at(&mut self, at: u64, event: Event) {
        self.queued += 1;
        self.queue.push(Reverse((at.max(self.now), self.queued, event)));
    }

    /// Something for later.
    pub fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now + delay, event);
    }

    /// Writes down what happens, if anybody reads it, and makes it count for the digest.
    pub fn note(&mut self, numbers: &[u64], line: impl FnOnce() -> String) {
        for number in [self.now].iter().chain(numbers) {
            self.digest = (self.digest ^ number).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
        if let Some(trace) = &mut self.trace {
            let (days, rest) = (self.now / DAY, self.now % DAY);
            let clock = format!(
                "{}+{:02}:{:02}:{:02}.{:03}",
                days,
                rest / HOUR,
                rest % HOUR / MINUTE,
                rest % MINUTE / SECOND,
                rest % SECOND
            );
            trace.push(format!("{clock} {}", line()));
        }
    }

    /// An invariant is broken.
    pub fn broken(&mut self, invariant: Invariant, what: String) {
        self.note(&[999, invariant as u64], || format!("BROKEN {invariant}: {what}"));
        if self.violation.is_none() {
            self.violation = Some(Violation { invariant, at: self.now, what });
        }
    }

    /// Looks at an invariant.
    pub fn check(&mut self, invariant: Invariant, holds: bool, what: impl FnOnce() -> String) {
        self.exercised.hit(invariant);
        if !holds {
            self.broken(invariant, what());
        }
    }

    /// As [`World::check`], with how often it could have been broken.
    pub fn judged(&mut self, invariant: Invariant, verdict: Result<u64, String>) {
        match verdict {
            Ok(times) => self.exercised.hits(invariant, times),
            Err(what) => self.broken(invariant, what),
        }
    }

    /// Runs until everything was judged or something is broken.
    pub fn run(&mut self) {
        RANDOM.with(|state| state.set(self.plan.seed ^ 0x5eed));
        while self.violation.is_none() {
            let Some(Reverse((next, _, event))) = self.queue.peek() else { break };
            if self.is_over(event) {
                self.queue.pop();
                continue;
            }
            let next = *next;
            // What a daemon has just said may come before what was next.
            if self.run_nodes(next) {
                continue;
            }
            let Some(Reverse((at, _, event))) = self.queue.pop() else { break };
            self.now = self.now.max(at);
            self.events += 1;
            if event == Event::Judge {
                self.judge();
                break;
            }
            self.happen(event);
        }
    }

    /// Whether something queued is overtaken: most wake-ups are, by the next one.
    fn is_over(&self, event: &Event) -> bool {
        match event {
            Event::Agent { device, life } => self.devices[*device].life != *life,
            Event::Wake { device, wake } => self.devices[*device].wake != *wake,
            Event::Connect { device, attempt } => self.devices[*device].attempt != *attempt,
            Event::Round { device, round } => self.devices[*device].round != *round,
            _ => false,
        }
    }

    /// Lets the daemons catch up, at most to the first thing one says; tells whether it was not the whole way.
    fn run_nodes(&mut self, until: u64) -> bool {
        let target = until.max(self.now);
        let reached = self.nodes.iter().flatten().fold(target, |until, node| node.run_until(until));
        self.now = reached.max(self.now);
        self.collect() || self.now < target
    }

    /// The broker takes what was published, and tells whether there was anything; daemons whose power went are gone.
    pub fn collect(&mut self) -> bool {
        let (sent, early, twice, thawed, frozen, broken, compared) = {
            let mut air = self.air.lock().expect("whole");
            let Air { sent, early, twice, thawed, frozen, broken, compared, .. } = &mut *air;
            let (frozen, compared) = (std::mem::take(frozen), std::mem::take(compared));
            (
                std::mem::take(sent),
                std::mem::take(early),
                std::mem::take(twice),
                std::mem::take(thawed),
                frozen,
                std::mem::take(broken),
                compared,
            )
        };
        self.exercised.hits(Invariant::Frozen, frozen);
        self.exercised.hits(Invariant::Told, compared);
        self.exercised.hits(Invariant::Quiet, compared);
        if let Some(version) = thawed.first() {
            self.broken(Invariant::Frozen, format!("token {version} goes on under a freeze"));
        }
        if let Some(version) = early.first() {
            self.broken(Invariant::Acknowledged, format!("token {version} went out before it was on disk"));
        }
        // Two clouds do it, and one that has forgotten; that is what halts are for.
        if let Some(version) = twice.first().filter(|_| !self.second_ever && !self.restored_ever) {
            self.broken(Invariant::Acknowledged, format!("two tokens of an organization are {version}"));
        }
        for (invariant, what) in broken {
            self.broken(invariant, what);
        }
        let said = !sent.is_empty();
        for (at, machine, message) in sent {
            self.take(at, machine, &message);
        }
        for number in 0..self.nodes.len() {
            if self.nodes[number].is_some() && locked(&self.machines[number].disk).dead {
                self.cloud_died(number);
            }
        }
        said
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Power { device } => self.power(device),
            Event::Agent { device, .. } => self.start_agent(device),
            Event::Wake { device, .. } => {
                if !self.plan.has(Planted::WakesIgnored) {
                    self.feed(device, Input::Tick);
                }
            }
            Event::Connect { device, .. } => self.connect(device),
            Event::Down { device, session } => {
                if self.devices[device].session.as_ref().is_some_and(|now| now.id == session) {
                    self.disconnect(device);
                }
            }
            Event::Subscribe { device, session } => self.subscribe(device, session),
            Event::Owed { device, session, version } => self.owed(device, session, version),
            Event::Deliver { device, session, topic, payload } => {
                self.deliver(device, session, topic, &payload)
            }
            Event::PubAck { device, session } => {
                let of = &mut self.devices[device];
                if of.driver.is_some() && of.session.as_ref().is_some_and(|now| now.id == session) {
                    of.outbox.acknowledged();
                    self.pump(device);
                }
            }
            Event::Hear { device, slot, payload } => self.hear(device, slot, &payload),
            Event::Round { device, .. } => self.round(device),
            Event::Resume { device } => {
                if self.devices[device].suspended_until.is_some_and(|until| until <= self.now) {
                    self.happen_resume(device);
                }
            }
            Event::Mend { fault, device } => self.mend(fault, device),
            Event::Start { machine } => self.start_cloud(machine),
            Event::Turn => {
                self.nodes.iter().flatten().for_each(Node::turn);
                self.collect();
                self.look_at_books();
                self.after(self.plan.tick, Event::Turn);
            }
            Event::Attend => self.attend(),
            Event::Operate { dice } => self.operate(dice),
            Event::Strike { nth } => self.strike(self.plan.strikes[nth]),
            Event::Activate => self.keys.0.lock().expect("whole").activate(),
            Event::Backup => self.back_up(),
            Event::Calm => self.calm_down(),
            // The end, which is seen to before.
            Event::Judge => {}
        }
    }

    /// A device wakes from its sleep.
    pub fn happen_resume(&mut self, device: usize) {
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

    fn power(&mut self, device: usize) {
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
    fn start_agent(&mut self, device: usize) {
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
            let kept = (up.saturating_sub(8) / 2).max(up.saturating_sub(longest + 8));
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

    fn round(&mut self, device: usize) {
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
