//! A device: the real driver and state file over a flash, clocks, hands and a line of the simulation.

use crate::cloud::Issue;
use crate::disk::{Flash, FlashMedium};
use crate::plan::{BEGINS_SECS, DevicePlan, Plan, SECOND};
use crate::planted::Planted;
use crate::reference::{Times, cap};
use crate::rng::Rng;
use crate::trust::domain;
use coterm_agent::actuator::worker::Outcome;
use coterm_agent::actuator::{Actuator, ActuatorError, Observation, Order};
use coterm_agent::driver::{Driver, Identity};
use coterm_agent::line::{Backoff, Outbox};
use coterm_agent::state_file::TwoSlots;
use coterm_shared::enforcement::{
    BootId, ClockPolicy, ClockReading, DeviceClass, EgressIndependent, ModeCap, OperatingMode,
};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::protocol::Report;
use coterm_shared::time::{DAY_SECS, Seconds, Timestamp};
use coterm_shared::token::{Expected, TokenVersion};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// When the devices' software was built.
pub const BUILT_SECS: u64 = BEGINS_SECS - 100 * DAY_SECS;
/// The longest pause between two attempts to connect.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(900);

/// What the device really does, whatever its agent thinks.
#[derive(Debug)]
pub struct Body {
    /// The mode it is in.
    pub mode: OperatingMode,
    /// Orders do not reach it.
    pub fails: bool,
    /// It says what it was told, and does nothing.
    pub lies: bool,
}

/// The hand of the agent on it.
struct Hand(Arc<Mutex<Body>>);

impl Actuator for Hand {
    fn name(&self) -> &str {
        "hand"
    }

    fn observe(&mut self) -> Result<Observation, ActuatorError> {
        let body = self.0.lock().expect("whole");
        if body.lies {
            return Ok(Observation::Functioning);
        }
        if body.fails { Ok(Observation::Unknown) } else { Ok(Observation::At(body.mode)) }
    }

    fn set(&mut self, order: &Order) -> Result<(), ActuatorError> {
        let mut body = self.0.lock().expect("whole");
        if body.fails {
            return Err(ActuatorError::Unkillable { secs: 1 });
        }
        if !body.lies {
            body.mode = order.mode;
        }
        Ok(())
    }
}

/// A session with the broker.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its number.
    pub id: u64,
    /// When it began.
    pub since: u64,
    /// The root it listens for.
    pub root: u64,
    /// The broker has its subscriptions.
    pub listens: bool,
    /// The newest token that was put on its line.
    pub sent: Option<TokenVersion>,
}

/// What is durable on the flash, as decoded when it last changed.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Of which generation of the flash.
    pub generation: u64,
    /// The token, as the world knows it.
    pub issue: Option<Issue>,
    /// The mode noted before it was ordered.
    pub mode: Option<OperatingMode>,
    /// The keyring.
    pub keyring: Series,
}

/// Where a keyring is in the series of all; nowhere while there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// The version of the root it was made under.
    pub root: u64,
    /// Its own.
    pub version: u64,
    /// The epoch it begins or goes on with.
    pub epoch: u64,
    /// When it was made, in seconds since 1970.
    pub at: u64,
}

/// A copy of a flash, with what the world knew then.
#[derive(Clone, Debug)]
pub struct Backup {
    /// The slots.
    pub slots: [Vec<u8>; 2],
    /// What the device had earned.
    pub earned: u64,
    /// The newest version accepted.
    pub best: Option<TokenVersion>,
    /// What was known.
    pub known: Known,
}

/// A device.
pub struct Device {
    /// Its name.
    pub id: DeviceId,
    /// What the plan says of it.
    pub plan: DevicePlan,
    /// Whose it was provisioned for.
    pub organization: OrganizationId,
    /// The strictest mode it may ever be in, by the reference.
    pub cap: OperatingMode,
    /// Its flash.
    pub flash: Rc<RefCell<Flash>>,
    /// Copies of it.
    pub backups: Vec<Backup>,
    /// Its agent, if it runs.
    pub driver: Option<Driver<TwoSlots<FlashMedium>>>,
    /// Which life of the agent this is: what was meant for another is dropped.
    pub life: u64,
    /// Which wake-up counts.
    pub wake: u64,
    /// Whether there is power.
    pub powered: bool,
    /// Until when it sleeps.
    pub suspended_until: Option<u64>,
    /// Which boot it is in.
    pub boot: u64,
    /// When the boot clock was zero.
    pub booted_at: u64,
    /// The wall clock less true time, in seconds.
    pub wall_offset: i64,
    /// When that changed last.
    pub wall_set_at: u64,
    /// When the agent started.
    pub started_at: u64,
    /// Reboots left of a loop.
    pub loops: u64,
    /// Nothing gets to it or from it.
    pub cut_off: bool,
    /// Its session.
    pub session: Option<Session>,
    /// Which attempt to connect counts.
    pub attempt: u64,
    /// Attempts to connect in the present hour.
    pub attempts: (u64, u64),
    /// What waits to be sent.
    pub outbox: Outbox,
    /// The report it made last, as it was read when it was made.
    pub reported: Option<(Vec<u8>, Report)>,
    /// When to connect again.
    pub backoff: Backoff,
    /// The device's own chance.
    pub rng: Rng,
    /// What it is in truth.
    pub body: Arc<Mutex<Body>>,
    /// The agent's hands.
    pub hands: Vec<Box<dyn Actuator>>,
    /// The order that waits for the hands or was carried out last.
    pub order: Option<(u64, Order)>,
    /// The last outcome.
    pub outcome: Option<Outcome>,
    /// Which round of the hands counts.
    pub round: u64,
    /// How long the hands take, in milliseconds.
    pub slowness: u64,
    /// The hands hang until then.
    pub hang_until: u64,
    /// What this agent ordered last.
    pub ordered: Option<OperatingMode>,
    /// The agent dies before this step of carrying out effects.
    pub dies_before: Option<u64>,
    /// Messages handed to the driver.
    pub tickets: u64,
    /// What is on its flash.
    pub known: Known,
    /// The newest version it accepted.
    pub best: Option<TokenVersion>,
    /// Time earned, in seconds since 1970, at an uptime.
    pub earned: (u64, u64),
    /// Time earned when the boot began.
    pub earned_at_boot: u64,
    /// Time earned as of the last save.
    pub earned_on_flash: u64,
    /// Ticks could not be written as they should in this boot.
    pub trouble: bool,
    /// By how many seconds signed times have dragged it ahead of true time.
    pub lead: u64,
    /// By how many seconds a wall clock it may believe ran ahead.
    pub wall_lead: u64,
    /// Tokens it was sent, for whoever sends them again.
    pub seen: Vec<Arc<[u8]>>,
    /// Milliseconds it slept in this boot.
    pub slept: u64,
    /// When it fell asleep.
    pub slept_since: u64,
    /// What it reported last.
    pub said: Option<Report>,
    /// The bug that was put in.
    pub planted: Option<Planted>,
}

impl Device {
    /// A device as it leaves the factory, provisioned for its organization.
    pub fn new(n: usize, of: &Plan, organization: OrganizationId) -> Device {
        let (plan, seed, planted) = (&of.devices[n], of.seed, of.planted);
        let body = Arc::new(Mutex::new(Body {
            mode: OperatingMode::Full,
            fails: false,
            lies: planted == Some(Planted::HandLies),
        }));
        let flash = Rc::new(RefCell::new(Flash::default()));
        flash.borrow_mut().planted = planted;
        Device {
            id: format!("dev-{n}").parse().expect("a name"),
            plan: plan.clone(),
            organization,
            cap: cap(plan.class, plan.egress),
            flash,
            backups: Vec::new(),
            driver: None,
            life: 0,
            wake: 0,
            powered: false,
            suspended_until: None,
            boot: 0,
            booted_at: 0,
            wall_offset: plan.wall_offset,
            wall_set_at: 0,
            started_at: 0,
            loops: 0,
            cut_off: false,
            session: None,
            attempt: 0,
            attempts: (0, 0),
            outbox: Outbox::default(),
            reported: None,
            backoff: Backoff::new(LONGEST_BACKOFF),
            rng: Rng::fork(seed, &format!("device {n}")),
            hands: vec![Box::new(Hand(Arc::clone(&body)))],
            body,
            order: None,
            outcome: None,
            round: 0,
            slowness: 0,
            hang_until: 0,
            ordered: None,
            dies_before: None,
            tickets: 0,
            known: Known::default(),
            best: None,
            earned: (BUILT_SECS, 0),
            earned_at_boot: BUILT_SECS,
            earned_on_flash: BUILT_SECS,
            trouble: false,
            lead: 0,
            wall_lead: 0,
            seen: Vec::new(),
            slept: 0,
            slept_since: 0,
            said: None,
            planted,
        }
    }

    /// Who its agent says it is.
    pub fn identity(&self, plan: &Plan) -> Identity {
        let attested = serde_json::json!({
            "statement": EgressIndependent::STATEMENT, "attested_by": "the integrator of the simulation",
        });
        let egress: Option<EgressIndependent> =
            self.plan.egress.then(|| serde_json::from_value(attested).expect("the attestation"));
        Identity {
            expected: Expected {
                trust_domain: domain(),
                device: self.id.clone(),
                organization: self.organization,
            },
            class: self.plan.class,
            cap: match self.planted {
                Some(Planted::CapIgnored) => ModeCap::of(DeviceClass::Camera, None),
                _ => ModeCap::of(self.plan.class, egress.as_ref()),
            },
            heartbeat: Seconds(plan.heartbeat_secs),
        }
    }

    /// The numbers of its clock.
    pub fn clock_policy(plan: &Plan) -> ClockPolicy {
        ClockPolicy {
            longest_tick: Seconds(plan.longest_tick_secs),
            steady: Seconds(plan.steady_secs),
            ..ClockPolicy::standard(Timestamp::from_secs_clamped(BUILT_SECS))
        }
    }

    /// Seconds since it booted.
    pub fn uptime(&self, now: u64) -> u64 {
        (now - self.booted_at) / SECOND
    }

    /// What its boot clock shows.
    fn shown_uptime(&self, now: u64) -> u64 {
        let up = self.uptime(now);
        match self.planted {
            Some(Planted::WallIsTime) => {
                let moved = self.wall_offset - self.plan.wall_offset;
                up.saturating_add_signed(moved)
            }
            Some(Planted::SuspendNotCounted) => up - self.slept / SECOND,
            _ => up,
        }
    }

    /// What its clocks show.
    pub fn reading(&self, now: u64) -> ClockReading {
        let mut boot = [0; 16];
        let number = if self.planted == Some(Planted::OneBoot) { 1 } else { self.boot };
        boot[..8].copy_from_slice(&number.to_be_bytes());
        let wall = i64::try_from(truth(now)).expect("centuries") + self.wall_offset;
        ClockReading {
            boot_id: BootId::from_bytes(boot),
            boot_secs: self.shown_uptime(now),
            wall: Timestamp::from_secs_clamped(u64::try_from(wall).unwrap_or(0)),
        }
    }

    /// Time it has earned for certain.
    pub fn earned(&self, now: u64) -> u64 {
        self.earned.0 + (self.uptime(now) - self.earned.1)
    }

    /// What is known of its time.
    pub fn times(&mut self, now: u64, steady_secs: u64) -> Times {
        let steady_since = self.wall_set_at.max(self.started_at);
        if self.wall_offset > 0 && now - steady_since >= steady_secs * SECOND {
            self.wall_lead = self.wall_lead.max(self.wall_offset.unsigned_abs());
        }
        // Whole seconds on both sides.
        let at_most = truth(now) + self.lead + 2;
        Times { earned: self.earned(now), at_most, locking: truth(now) + self.lead.max(self.wall_lead) + 2 }
    }
}

/// True time in seconds since 1970.
pub const fn truth(now: u64) -> u64 {
    BEGINS_SECS + now / SECOND
}
