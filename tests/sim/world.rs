//! The world: one queue of events, and whom each of them happens to.

use crate::cloud::{Air, Machine, Node};
use crate::device::{Device, Series, truth};
use crate::faults::{Fault, Struck};
use crate::invariants::{Exercised, Invariant, Violation};
use crate::net::Hub;
use crate::operator::Office as Operators;
use crate::plan::{DAY, HOUR, MINUTE, Plan, SECOND};
use crate::planted::Planted;
use crate::rng::Rng;
use crate::store::{Disk, locked};
use crate::trust::{Keys, Office};
use coterm_agent::driver::Input;
use coterm_shared::time::Timestamp;
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
pub fn random() -> u32 {
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
    /// Where every keyring seen is in the series.
    pub keyrings: BTreeMap<Vec<u8>, Series>,
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
    /// A world at its beginning.
    pub fn new(plan: Plan, traced: bool) -> World {
        let mut office = Office::found(Timestamp::from_secs_clamped(truth(0)));
        office.planted = plan.planted;
        let first_keyring = office.keyring().bytes().to_vec();
        let documents = BTreeSet::from([first_keyring.clone(), office.first_root().to_vec()]);
        let operators = Operators::new(&plan);
        let devices = plan
            .devices
            .iter()
            .enumerate()
            .map(|(n, of)| Device::new(n, &plan, operators.organizations[of.organization]))
            .collect();
        let planted = plan.planted;
        let machine = |number| Machine {
            number,
            disk: Arc::new(Mutex::new(Disk { planted, ..Disk::default() })),
            line: Arc::default(),
            offset: 0,
            boot: 1,
            booted: 0,
            booted_unseen: false,
        };
        let mut world = World {
            chance: Rng::fork(plan.seed, "network"),
            now: 0,
            queue: Default::default(),
            queued: 0,
            devices,
            hub: Hub::default(),
            air: Arc::new(Mutex::new(Air::default())),
            machines: vec![machine(0), machine(1)],
            nodes: vec![None, None],
            keys: Keys(Arc::new(Mutex::new(office))),
            first_keyring,
            fuse: None,
            second_ever: false,
            restored_ever: false,
            documents,
            keyrings: BTreeMap::new(),
            operators,
            struck: Struck::default(),
            exercised: Exercised::default(),
            violation: None,
            trace: traced.then(Vec::new),
            digest: 0xcbf2_9ce4_8422_2325,
            calm: false,
            events: 0,
            plan,
        };
        world.start_cloud(0);
        world.found();
        for device in 0..world.devices.len() {
            let at = world.devices[device].plan.starts;
            world.at(at, Event::Power { device });
        }
        for (at, dice) in world.plan.operations.clone() {
            world.at(at, Event::Operate { dice });
        }
        for nth in 0..world.plan.strikes.len() {
            let at = world.plan.strikes[nth].at;
            world.at(at, Event::Strike { nth });
        }
        world.at(MINUTE, Event::Turn);
        world.at(HOUR, Event::Attend);
        world.at(6 * HOUR, Event::Backup);
        let end = world.plan.faults_end;
        world.at(end, Event::Calm);
        world
    }

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
                    self.resume(device);
                }
            }
            Event::Mend { fault, device } => self.mend(fault, device),
            Event::Start { machine } => self.start_cloud(machine),
            Event::Turn => {
                self.nodes.iter().flatten().for_each(Node::turn);
                self.collect();
                if self.nodes[0].is_some() && !locked(&self.machines[0].disk).full {
                    self.machines[0].booted_unseen = false;
                }
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
}
