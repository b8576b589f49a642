//! A device with power: its disk, its clocks, its hands, and the agent that runs on it or does not.

use crate::actuator::worker::Outcome;
use crate::actuator::{Actuator, ActuatorError, Observation, Order, drive};
use crate::config::{self, Config, Layers};
use crate::driver::open::OpenError;
use crate::driver::{Driver, Effects, Input};
use crate::state_file::{Medium, Slot, TwoSlots};
use crate::test_support::*;
use coterm_shared::enforcement::{ClockPolicy, ClockReading, EgressIndependent, OperatingMode};
use coterm_shared::protocol::{Report, Request};
use coterm_shared::token::{Claims, Nonce};
use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

/// What is wrong with the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum DiskFault {
    #[default]
    None,
    /// Nothing more can be written.
    Full,
    /// Nobody may look at it.
    Unreadable,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub slots: [Vec<u8>; 2],
    pub fault: DiskFault,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Memory(pub Rc<RefCell<Disk>>);

fn index(slot: Slot) -> usize {
    match slot {
        Slot::Zero => 0,
        Slot::One => 1,
    }
}

impl Medium for Memory {
    fn read(&mut self, slot: Slot) -> io::Result<Vec<u8>> {
        let disk = self.0.borrow();
        match disk.fault {
            DiskFault::Unreadable => Err(io::ErrorKind::PermissionDenied.into()),
            DiskFault::None | DiskFault::Full => Ok(disk.slots[index(slot)].clone()),
        }
    }
    fn write(&mut self, slot: Slot, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        match disk.fault {
            DiskFault::None => disk.slots[index(slot)] = bytes.to_vec(),
            DiskFault::Full => return Err(io::ErrorKind::StorageFull.into()),
            DiskFault::Unreadable => return Err(io::ErrorKind::PermissionDenied.into()),
        }
        Ok(())
    }
    fn sync(&mut self, _: Slot) -> io::Result<()> {
        Ok(())
    }
}

/// How the hands of the device behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Hands {
    #[default]
    Obey,
    /// They neither look nor move.
    Fail,
    /// They say that they did what they were told, and do nothing.
    Lie,
    /// They always say that the device is in this mode.
    Insist(OperatingMode),
}

/// The device as its hands know it, and everything that was ever commanded.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub at: Option<OperatingMode>,
    pub hands: Hands,
    told: Option<OperatingMode>,
    /// Every command to outputs there was: an actuator has no other verb that could carry one.
    pub commands: Vec<Order>,
}

/// The actuator that writes down what it is told.
struct Recorder(Arc<Mutex<Body>>);

impl Actuator for Recorder {
    fn name(&self) -> &str {
        "recorder"
    }

    fn observe(&mut self) -> Result<Observation, ActuatorError> {
        let body = self.0.lock().unwrap();
        let seen = |mode: Option<OperatingMode>| mode.map_or(Observation::Unknown, Observation::At);
        match body.hands {
            Hands::Obey => Ok(seen(body.at)),
            Hands::Fail => Err(ActuatorError::Unkillable { secs: 5 }),
            Hands::Lie => Ok(seen(body.told)),
            Hands::Insist(mode) => Ok(Observation::At(mode)),
        }
    }

    fn set(&mut self, order: &Order) -> Result<(), ActuatorError> {
        let mut body = self.0.lock().unwrap();
        body.commands.push(order.clone());
        body.told = Some(order.mode);
        match body.hands {
            Hands::Obey | Hands::Insist(_) => body.at = Some(order.mode),
            Hands::Lie => {}
            Hands::Fail => return Err(ActuatorError::Unkillable { secs: 5 }),
        }
        Ok(())
    }
}

/// What an integrator writes for a device of this class; `attested` adds the explicit opt-in.
pub(super) fn configuration(class: &str, attested: bool) -> String {
    let organization = expected().organization;
    let attested = if attested {
        format!(
            "[egress_independent]\nstatement = \"{}\"\nattested_by = \"A. Installer\"\n",
            EgressIndependent::STATEMENT
        )
    } else {
        String::new()
    };
    let life_safety = if class == "sensor" { "life_safety = false\n" } else { "" };
    format!(
        "device = \"cam-1\"\norganization = \"{organization}\"\ntrust_domain = \"licenses.example.com\"\n\
         class = \"{class}\"\n{life_safety}[broker]\nhost = \"localhost\"\n{attested}\
         [[actuator]]\nkind = \"command\"\nprogram = \"/bin/true\"\n"
    )
}

/// Reads a configuration as the agent does when it starts.
pub(super) fn load(dir: &Path, text: &str) -> Option<Config> {
    let file = dir.join("agent.toml");
    std::fs::write(&file, text).unwrap();
    config::load(&Layers { file, ..Layers::default() }).ok()
}

/// The device.
pub(super) struct Device {
    pub config: Config,
    pub disk: Memory,
    pub body: Arc<Mutex<Body>>,
    pub root_file: Vec<u8>,
    pub keyring_file: Option<Vec<u8>>,
    pub boot: u128,
    pub boot_secs: u64,
    /// Seconds of power so far, the present boot not counted.
    pub before_boot: u64,
    /// The wall clock less the true time.
    pub wall_off: i64,
    /// Orders wait until somebody carries them out.
    pub slow: bool,
    waiting: Option<Order>,
    under_way: Option<Order>,
    last_order: Option<Order>,
    pub driver: Option<Driver<TwoSlots<Memory>>>,
    pub acknowledged: Vec<u64>,
    pub reports: Vec<Report>,
    asked: Option<Nonce>,
    tickets: u64,
}

impl Device {
    pub(super) fn new(config: Config) -> Device {
        Device {
            config,
            disk: Memory::default(),
            body: Arc::default(),
            root_file: root(),
            keyring_file: Some(keyring(1, 1, ISSUED - DAY, &[KEY])),
            boot: 1,
            boot_secs: 10,
            before_boot: 0,
            wall_off: 0,
            slow: false,
            waiting: None,
            under_way: None,
            last_order: None,
            driver: None,
            acknowledged: vec![],
            reports: vec![],
            asked: None,
            tickets: 0,
        }
    }

    /// The true time.
    pub(super) fn now(&self) -> u64 {
        ISSUED + self.before_boot + self.boot_secs
    }

    fn reading(&self) -> ClockReading {
        let wall = at(self.now().saturating_add_signed(self.wall_off));
        ClockReading { wall, ..reading(self.boot, self.boot_secs) }
    }

    /// Starts the agent on what is there.
    pub(super) fn start(&mut self) -> Result<(), OpenError> {
        let driver = Driver::open(
            crate::run::identity(&self.config),
            &self.root_file,
            self.keyring_file.as_deref(),
            TwoSlots::new(self.disk.clone()),
            ClockPolicy::standard(at(ISSUED - 100 * DAY)),
            self.reading(),
            || 7,
        )?;
        self.driver = Some(driver);
        self.feed(Input::Tick);
        self.feed(Input::Tick);
        Ok(())
    }

    /// `kill -9`: whatever its hands were at ends with it.
    pub(super) fn kill(&mut self) {
        self.driver = None;
        self.waiting = None;
        self.under_way = None;
        self.last_order = None;
    }

    pub(super) fn reboot(&mut self) {
        self.kill();
        self.before_boot += self.boot_secs;
        self.boot += 1;
        self.boot_secs = 5;
    }

    pub(super) fn feed(&mut self, input: Input) {
        let reading = self.reading();
        let Some(driver) = &mut self.driver else { return };
        let effects = driver.handle(input, reading);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Effects) {
        self.acknowledged.extend(effects.acknowledge);
        self.reports.extend(effects.report.iter().map(|report| Report::parse(report).unwrap()));
        if let Some(request) = effects.request {
            self.asked = Some(Request::parse(&request).unwrap().nonce);
        }
        if let Some(order) = effects.order {
            self.last_order = Some(order.clone());
            if !self.slow {
                self.drive(order);
            } else if self.under_way.is_none() {
                self.under_way = Some(order);
            } else {
                self.waiting = Some(order);
            }
        }
        if effects.report_waits {
            self.feed(Input::Speak);
        }
    }

    /// One round of the actuators' thread.
    fn drive(&mut self, order: Order) {
        let mut actuators: Vec<Box<dyn Actuator>> = vec![Box::new(Recorder(Arc::clone(&self.body)))];
        let faults = drive(&mut actuators, &order);
        self.feed(Input::Driven(Outcome { serial: 0, order, faults }));
    }

    /// What slow hands had under way is done, then what waited for them.
    pub(super) fn catch_up(&mut self) {
        self.slow = false;
        for order in [self.under_way.take(), self.waiting.take()].into_iter().flatten() {
            self.drive(order);
        }
    }

    /// The actuators' thread looks at the device again.
    pub(super) fn look(&mut self) {
        if let Some(order) = self.last_order.clone().filter(|_| !self.slow) {
            self.drive(order);
        }
    }

    pub(super) fn token(&mut self, payload: Vec<u8>) -> u64 {
        self.tickets += 1;
        let ticket = self.tickets;
        self.feed(Input::Message { ticket, topic: "coterm/v1/d/cam-1/token".to_owned(), payload });
        ticket
    }

    /// Half an hour with a cloud that answers what the device asks, and says once what it wants of it.
    pub(super) fn answered_by(&mut self, claims: impl Fn(u64) -> Option<Claims>) {
        for look in 0..6 {
            self.pass(300, 300);
            let Some(claims) = claims(self.now()) else { continue };
            if let Some(nonce) = self.asked.take() {
                self.token(token(&answering(claims, &nonce)));
            } else if look == 0 {
                self.token(token(&claims));
            }
        }
    }

    /// Lets time pass, with the agent awake every `step` seconds.
    pub(super) fn pass(&mut self, secs: u64, step: u64) {
        for _ in 0..secs / step {
            self.boot_secs += step;
            self.feed(Input::Tick);
            self.look();
        }
    }

    /// The mode the device is in.
    pub(super) fn mode(&self) -> Option<OperatingMode> {
        self.body.lock().unwrap().at
    }

    /// What a running agent wants it to be in.
    pub(super) fn ordered(&self) -> Option<OperatingMode> {
        self.last_order.as_ref().map(|order| order.mode)
    }
}
