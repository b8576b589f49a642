//! A device, its disk and its cloud, in memory.

use crate::actuator::Order;
use crate::actuator::worker::Outcome;
use crate::driver::{Driver, Effects, Identity, Input};
use crate::state_file::{StateStore, StoreError};
use crate::test_support::*;
use coterm_shared::enforcement::{ClockPolicy, ClockReading, DeviceClass, ModeCap, OperatingMode};
use coterm_shared::protocol::{Report, Request};
use coterm_shared::time::Seconds;
use coterm_shared::token::TokenVersion;
use std::cell::RefCell;
use std::rc::Rc;

pub(super) const TOKEN_TOPIC: &str = "coterm/v1/d/cam-1/token";
pub(super) const KEYRING_TOPIC: &str = "coterm/v1/keyring";

#[derive(Debug, Default)]
pub(super) struct Disk {
    pub content: Option<Vec<u8>>,
    pub full: bool,
    pub saves: usize,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Memory(pub Rc<RefCell<Disk>>);

impl StateStore for Memory {
    fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.borrow().content.clone())
    }

    fn save(&mut self, record: &[u8]) -> Result<(), StoreError> {
        let mut disk = self.0.borrow_mut();
        if disk.full {
            return Err(StoreError::Write(std::io::ErrorKind::StorageFull.into()));
        }
        disk.saves += 1;
        disk.content = Some(record.to_vec());
        Ok(())
    }
}

/// A device with power: the disk and the mode it is in survive the agent.
pub(super) struct World {
    pub disk: Memory,
    pub class: DeviceClass,
    pub root_file: Vec<u8>,
    pub keyring_file: Option<Vec<u8>>,
    pub mode: Option<OperatingMode>,
    pub driver: Option<Driver<Memory>>,
    pub boot: u128,
    pub boot_secs: u64,
    /// What the wall clock showed at the start of the boot; it runs from there.
    pub wall_at_boot: u64,
    pub reports: Vec<Report>,
    pub requests: Vec<Request>,
    pub acknowledged: Vec<u64>,
    pub tickets: u64,
}

impl World {
    pub(super) fn new() -> World {
        World {
            disk: Memory::default(),
            class: DeviceClass::Camera,
            root_file: root(),
            keyring_file: Some(keyring(1, 1, ISSUED - DAY, &[KEY])),
            mode: None,
            driver: None,
            boot: 1,
            boot_secs: 10,
            wall_at_boot: 0,
            reports: vec![],
            requests: vec![],
            acknowledged: vec![],
            tickets: 0,
        }
    }

    /// A device whose agent runs and is connected.
    pub(super) fn connected() -> World {
        let mut world = World::new();
        world.start();
        world.feed(Input::Connected);
        world
    }

    pub(super) fn reading(&self) -> ClockReading {
        let wall = at(self.wall_at_boot + self.boot_secs);
        ClockReading { wall, ..reading(self.boot, self.boot_secs) }
    }

    pub(super) fn identity(&self) -> Identity {
        Identity {
            expected: expected(),
            class: self.class,
            cap: ModeCap::of(self.class, None),
            heartbeat: Seconds(900),
        }
    }

    pub(super) fn start(&mut self) {
        let identity = self.identity();
        // Built long ago: only tokens tell this device the time.
        let policy = ClockPolicy::standard(at(ISSUED - 100 * DAY));
        let driver = Driver::open(
            identity,
            &self.root_file,
            self.keyring_file.as_deref(),
            self.disk.clone(),
            policy,
            self.reading(),
            || 7,
        );
        self.driver = Some(driver.unwrap());
        self.feed(Input::Tick);
    }

    /// kill -9: the device stays in its mode.
    pub(super) fn kill(&mut self) {
        self.driver = None;
    }

    pub(super) fn restart(&mut self) {
        self.kill();
        self.start();
    }

    /// The power goes and comes back.
    pub(super) fn reboot(&mut self) {
        self.kill();
        self.boot += 1;
        self.boot_secs = 5;
        self.start();
    }

    /// Decides, persists, and returns what is to be done, without doing it.
    pub(super) fn handle(&mut self, input: Input) -> Effects {
        let reading = self.reading();
        let effects = self.driver.as_mut().unwrap().handle(input, reading);
        // Persist before acting, at every step of every test: what is ordered is on disk (domain of invariant 5).
        if let Some(order) = &effects.order
            && !self.disk.0.borrow().full
        {
            let saved =
                crate::driver::saved::Saved::decode(self.disk.0.borrow().content.as_ref().unwrap()).unwrap();
            assert_eq!(
                saved.record.mode.map(|mode| mode.mode),
                Some(order.mode),
                "ordered before it was on disk"
            );
        }
        effects
    }

    /// Does it too, as `run` would.
    pub(super) fn feed(&mut self, input: Input) {
        let effects = self.handle(input);
        self.carry_out(effects);
    }

    pub(super) fn carry_out(&mut self, effects: Effects) {
        self.acknowledged.extend(effects.acknowledge);
        self.reports.extend(effects.report.iter().map(|report| Report::parse(report).unwrap()));
        self.requests.extend(effects.request.iter().map(|request| Request::parse(request).unwrap()));
        if let Some(order) = effects.order {
            self.obey(order);
        }
        if effects.report_waits {
            self.feed(Input::Speak);
        }
    }

    pub(super) fn obey(&mut self, order: Order) {
        self.mode = Some(order.mode);
        self.feed(Input::Driven(Outcome { serial: 0, order, faults: vec![] }));
    }

    pub(super) fn receive(&mut self, topic: &str, payload: Vec<u8>) -> u64 {
        self.tickets += 1;
        let ticket = self.tickets;
        self.feed(Input::Message { ticket, topic: topic.to_owned(), payload });
        ticket
    }

    pub(super) fn token(&mut self, payload: Vec<u8>) -> u64 {
        self.receive(TOKEN_TOPIC, payload)
    }

    /// Lets time pass, waking the driver whenever it asked to be.
    pub(super) fn pass(&mut self, secs: u64) {
        let until = self.boot_secs + secs;
        loop {
            let effects = self.handle(Input::Tick);
            let wake_in = effects.wake_in.0;
            self.carry_out(effects);
            assert!(wake_in >= 1);
            if self.boot_secs + wake_in > until {
                break;
            }
            self.boot_secs += wake_in;
        }
        self.boot_secs = until;
        self.feed(Input::Tick);
    }

    pub(super) fn held(&self) -> Option<TokenVersion> {
        let content = self.disk.0.borrow().content.clone()?;
        crate::driver::saved::Saved::decode(&content).unwrap().record.high_water.map(|mark| mark.version)
    }

    pub(super) fn floor(&self) -> u64 {
        self.driver.as_ref().unwrap().trusted_time().floor.as_secs()
    }
}
