//! What a seed decides before anything happens: who is there, how fast things go, and which faults strike when.
//!
//! The plan is data: a fault kind can be taken out of it and everything else stays as it was, which is how a failing
//! schedule is made smaller.

use crate::faults::Fault;
use crate::planted::Planted;
use crate::rng::Rng;
use coterm_shared::enforcement::DeviceClass;
use std::collections::BTreeSet;

/// One second, in the milliseconds the world counts.
pub const SECOND: u64 = 1_000;
/// One minute.
pub const MINUTE: u64 = 60 * SECOND;
/// One hour.
pub const HOUR: u64 = 60 * MINUTE;
/// One day.
pub const DAY: u64 = 24 * HOUR;

/// When the world begins: 2027-01-15T08:00:00Z.
pub const BEGINS_SECS: u64 = 1_800_000_000;

/// One device.
#[derive(Clone, Debug)]
pub struct DevicePlan {
    /// What it is.
    pub class: DeviceClass,
    /// Whether its integrator attested that egress works without it.
    pub egress: bool,
    /// Whose it is: 0 or 1.
    pub organization: usize,
    /// When its power is switched on first.
    pub starts: u64,
    /// Its wall clock less true time, in seconds.
    pub wall_offset: i64,
}

/// A fault at its instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// When, in milliseconds of the world.
    pub at: u64,
    /// What.
    pub fault: Fault,
    /// What decides its details.
    pub dice: u64,
}

/// Probabilities of what happens to single messages, per mille.
#[derive(Clone, Copy, Debug)]
pub struct Odds {
    /// It is lost.
    pub loss: u64,
    /// It comes twice.
    pub duplication: u64,
    /// It comes much later than others.
    pub reordering: u64,
}

/// Everything a seed decides beforehand.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// When faults stop, in milliseconds: at least seven days.
    pub faults_end: u64,
    /// The devices.
    pub devices: Vec<DevicePlan>,
    /// Whether the broker keeps tokens, and tells nobody who is connected, as an external one.
    pub retained: bool,
    /// Seconds between heartbeats.
    pub heartbeat_secs: u64,
    /// Milliseconds between two sweeps.
    pub sweep: u64,
    /// Milliseconds between two looks at timers.
    pub tick: u64,
    /// How long a lease is, in seconds.
    pub lease_secs: u64,
    /// How long a device may hear nothing, in seconds.
    pub offline_secs: u64,
    /// The organizations' grace and the time from lock to stop, in seconds.
    pub ladder: (u64, u64),
    /// How many devices, and which share of them in percent, one operation may put on the way to lock, if not the default.
    pub hold: Option<(u64, u64)>,
    /// How many devices of a group lock a day, if not all at once.
    pub pace: Option<u64>,
    /// The longest time between persisted ticks on devices, in seconds.
    pub longest_tick_secs: u64,
    /// For how long a wall clock must be steady to be adopted, in seconds.
    pub steady_secs: u64,
    /// Milliseconds between two looks of the actuators.
    pub observe: u64,
    /// Of messages.
    pub odds: Odds,
    /// What strikes, in order.
    pub strikes: Vec<Strike>,
    /// The bug that was put in.
    pub planted: Option<Planted>,
    /// When operators do something, and what decides what.
    pub operations: Vec<(u64, u64)>,
}

const CLASSES: [DeviceClass; 7] = DeviceClass::ALL;

/// By what the intervals of daemons and agents are longer than in the densest schedule. Most schedules are sparse: of two that
/// meet the same faults the one in which little else happens takes less than half the time, and finds as much.
const SLOWNESS: [u64; 16] = [1, 3, 3, 3, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8];

impl Plan {
    /// Whether this bug was put in.
    pub fn has(&self, bug: Planted) -> bool {
        self.planted == Some(bug)
    }

    /// The plan of a seed, without these faults.
    pub fn of(seed: u64, without: &BTreeSet<Fault>) -> Plan {
        let mut rng = Rng::fork(seed, "plan");
        let faults_end = 7 * DAY + rng.below(2) * DAY;
        let count = rng.range(10, 13) as usize;
        let devices = (0..count).map(|n| device(n, &mut rng)).collect();
        let retained = rng.chance(500);
        let hours = |rng: &mut Rng, low, high| rng.range(low, high) * 3_600;
        let slow = *Rng::fork(seed, "slowness").pick(&SLOWNESS);
        let ladder = (hours(&mut rng, 2, 40), hours(&mut rng, 2, 40));
        let mut plan = Plan {
            seed,
            faults_end,
            devices,
            retained,
            heartbeat_secs: (hours(&mut rng, 1, 4) * slow).min(12 * 3_600),
            sweep: (rng.range(1, 4) * slow * HOUR).min(12 * HOUR),
            tick: rng.range(1, 4) * slow * MINUTE,
            lease_secs: hours(&mut rng, 12, 60) * slow.min(2),
            offline_secs: hours(&mut rng, 48, 120),
            ladder,
            hold: rng.chance(600).then(|| (rng.range(1, 3), rng.range(1, 20))),
            pace: {
                let mut rng = Rng::fork(seed, "pace");
                rng.chance(400).then(|| rng.range(1, 3))
            },
            longest_tick_secs: slow * *rng.pick(&[600, 3_600, 3_600, 7_200]),
            steady_secs: hours(&mut rng, 6, 24),
            observe: (rng.range(2, 8) * slow * HOUR).min(DAY),
            odds: Odds { loss: 0, duplication: 0, reordering: 0 },
            strikes: Vec::new(),
            planted: None,
            operations: Vec::new(),
        };
        let odds = |fault, most| {
            let mut rng = Rng::fork(seed, Fault::name(fault));
            let drawn = if rng.chance(600) { rng.range(1, most) } else { 0 };
            if without.contains(&fault) { 0 } else { drawn }
        };
        // A device that is connected never comes to its offline budget.
        plan.offline_secs = plan.offline_secs.max(plan.lease_secs + 12 * 3_600);
        plan.odds = Odds {
            loss: odds(Fault::Loss, 200),
            duplication: odds(Fault::Duplication, 100),
            reordering: odds(Fault::Reordering, 150),
        };
        plan.strikes = strikes(seed, faults_end, without);
        let mut rng = Rng::fork(seed, "operators");
        let mut at = HOUR;
        loop {
            at += rng.range(5 * MINUTE, 5 * HOUR);
            if at >= faults_end {
                break;
            }
            plan.operations.push((at, rng.next()));
        }
        plan
    }
}

fn device(n: usize, rng: &mut Rng) -> DevicePlan {
    let class = if n < CLASSES.len() {
        CLASSES[n]
    } else {
        *rng.pick(&[CLASSES[0], CLASSES[0], CLASSES[1], CLASSES[2]])
    };
    let years = 365 * 86_400;
    let wall_offset = match rng.below(20) {
        0 => -(rng.below(20 * years) as i64),
        1 => rng.below(3 * 86_400) as i64,
        2 | 3 => -(rng.below(20 * years) as i64),
        _ => rng.below(60) as i64 - 30,
    };
    let late = if rng.chance(200) { rng.below(2 * DAY) } else { rng.below(10 * MINUTE) };
    DevicePlan {
        class,
        egress: rng.chance(300),
        organization: usize::from(rng.chance(200)),
        starts: 5 * MINUTE + late,
        wall_offset,
    }
}

/// How often a fault strikes in a schedule in which it strikes at all, at most.
const fn most(fault: Fault) -> u64 {
    match fault {
        // Of single messages.
        Fault::Loss | Fault::Duplication | Fault::Reordering => 0,
        Fault::CloudKilled | Fault::CrashBeforeCommit | Fault::CrashAfterCommit => 4,
        Fault::DatabaseRestored
        | Fault::SecondCloud
        | Fault::CloudClockStep
        | Fault::SignerGone
        | Fault::EpochRaised
        | Fault::RootRotated
        | Fault::StoreFull => 2,
        Fault::KeyRotated | Fault::CloudClockDrift | Fault::CloudCutOff | Fault::PublishHangs => 3,
        Fault::BrokerRestart | Fault::RetainedLost | Fault::Kick | Fault::StateRestored => 4,
        Fault::StateWiped | Fault::RebootLoop => 2,
        Fault::Partition
        | Fault::AgentKilled
        | Fault::KilledBetweenSteps
        | Fault::PowerCut
        | Fault::WriteLost
        | Fault::WriteTorn
        | Fault::DiskFull
        | Fault::Suspend
        | Fault::ClockForward
        | Fault::ClockBack
        | Fault::ClockDead
        | Fault::ActuatorSlow
        | Fault::ActuatorFails
        | Fault::ActuatorHangs
        | Fault::Tampered => 8,
        Fault::Junk
        | Fault::Flipped
        | Fault::Replayed
        | Fault::Strayed
        | Fault::Foreign
        | Fault::Stranger
        | Fault::Superseded
        | Fault::Unlisted
        | Fault::Outlived => 8,
        Fault::Unsubscribed => 4,
    }
}

fn strikes(seed: u64, faults_end: u64, without: &BTreeSet<Fault>) -> Vec<Strike> {
    let mut strikes = Vec::new();
    for fault in Fault::ALL.iter().copied().filter(|fault| !without.contains(fault)) {
        // A stream for each kind: without one, the others strike as they did.
        let mut rng = Rng::fork(seed, fault.name());
        let times = if rng.chance(500) { rng.below(most(fault) + 1) } else { 0 };
        for _ in 0..times {
            strikes.push(Strike { at: rng.range(30 * MINUTE, faults_end), fault, dice: rng.next() });
        }
    }
    strikes.sort_by_key(|strike| (strike.at, strike.fault));
    strikes
}
