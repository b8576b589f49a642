//! Random histories of a device and its clocks, against what a simple reference says is certain.
//!
//! The invariant: a wall-clock jump alone never ends grace and never extends it; a reboot loop hides at most half its
//! uptime; no device is ever charged time that did not pass.

use super::*;
use crate::enforcement::{DeviceClass, Inputs, LicenseState, ModeCap, OperatingMode, Schedule, step};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

const BUILT: u64 = 1_800_000_000;
const DAY: u64 = 86_400;
const YEAR: i64 = 365 * 86_400;

/// What can happen to a device.
#[derive(Clone, Debug)]
enum Happening {
    /// The agent runs on.
    Run { secs: u64 },
    /// The machine sleeps; the boot clock goes on.
    Suspend { secs: u64 },
    /// Someone sets the wall clock.
    StepWall { by: i64 },
    /// The battery of the wall clock is gone.
    Wall1970,
    /// The wall clock is right.
    WallRight,
    /// The agent is killed and started again.
    RestartAgent,
    /// Power is cut and comes back; the agent starts some seconds after boot.
    PowerCycle { off_secs: u64, start_secs: u64 },
    /// Again and again.
    RebootLoop { times: u64, uptime_secs: u64, start_secs: u64 },
    /// A token signed some time ago arrives.
    Token { age_secs: u64 },
    /// A token answers the device's nonce.
    FreshToken { round_trip_secs: u64 },
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0..4 * 3_600_u64).prop_map(|secs| Happening::Run { secs }),
        2 => (20 * 3_600..30 * 3_600_u64).prop_map(|secs| Happening::Run { secs }),
        2 => (0..40 * DAY).prop_map(|secs| Happening::Suspend { secs }),
        3 => (-20 * YEAR..20 * YEAR).prop_map(|by| Happening::StepWall { by }),
        1 => (-600..600_i64).prop_map(|by| Happening::StepWall { by }),
        1 => Just(Happening::Wall1970),
        1 => Just(Happening::WallRight),
        2 => Just(Happening::RestartAgent),
        3 => (0..90 * DAY, 0..90_u64)
            .prop_map(|(off_secs, start_secs)| Happening::PowerCycle { off_secs, start_secs }),
        2 => (1..30_u64, 0..2_000_u64, 0..60_u64).prop_map(|(times, uptime_secs, start_secs)| {
            Happening::RebootLoop { times, uptime_secs, start_secs }
        }),
        1 => (0..60 * DAY).prop_map(|age_secs| Happening::Token { age_secs }),
        1 => (0..90_u64).prop_map(|round_trip_secs| Happening::FreshToken { round_trip_secs }),
    ]
}

/// A device, its disk, and the truth.
struct Device {
    /// The true time.
    truth: u64,
    boots: u8,
    boot_secs: u64,
    /// The wall clock less the true time.
    wall_off: i64,
    /// The clock under test, and one on the same machine whose wall clock always shows 1970.
    clock: TrustedClock,
    blind: TrustedClock,
    disk: [ClockRecord; 2],
    /// Readings since the agent started, for the reference's own view of steadiness.
    readings: Vec<(u64, i64)>,
    adopted: bool,
    license: LicenseState,
}

impl Device {
    fn new(wall_off: i64, license: LicenseState) -> Device {
        let now = ClockReading { boot_id: BootId::from_bytes([0; 16]), boot_secs: 0, wall: Timestamp::EPOCH };
        let clock = TrustedClock::open(policy(), None, &now);
        let mut device = Device {
            truth: BUILT + DAY,
            boots: 0,
            boot_secs: 0,
            wall_off,
            disk: [clock.record(), clock.record()],
            blind: clock.clone(),
            clock,
            readings: Vec::new(),
            adopted: false,
            license,
        };
        device.start_agent();
        device
    }

    fn reading(&self) -> ClockReading {
        let wall = self.truth.checked_add_signed(self.wall_off).unwrap_or(0);
        ClockReading {
            boot_id: BootId::from_bytes([self.boots; 16]),
            boot_secs: self.boot_secs,
            wall: Timestamp::from_secs_clamped(wall),
        }
    }

    fn blind_reading(&self) -> ClockReading {
        ClockReading { wall: Timestamp::EPOCH, ..self.reading() }
    }

    fn start_agent(&mut self) {
        self.clock = TrustedClock::open(policy(), Some(&self.disk[0]), &self.reading());
        self.blind = TrustedClock::open(policy(), Some(&self.disk[1]), &self.blind_reading());
        self.readings.clear();
        self.look();
    }

    fn pass(&mut self, secs: u64) {
        self.truth += secs;
        self.boot_secs += secs;
    }

    /// The agent's loop: look, and put a tick on disk when one is due.
    fn look(&mut self) {
        let now = self.reading();
        self.clock.observe(&now);
        let blind_now = self.blind_reading();
        self.blind.observe(&blind_now);
        for (clock, disk) in [(&mut self.clock, 0), (&mut self.blind, 1)] {
            if clock.tick_due() {
                self.disk[disk] = clock.record();
                clock.persisted(&self.disk[disk]);
            }
        }
        self.readings.push((self.boot_secs, now.wall.as_secs().cast_signed() - self.boot_secs.cast_signed()));
        self.check();
    }

    fn run(&mut self, secs: u64) {
        let end = self.boot_secs + secs;
        while self.boot_secs < end {
            let next = self.clock.next_tick_boot_secs().clamp(self.boot_secs + 1, end);
            self.pass(next - self.boot_secs);
            self.look();
        }
    }

    /// Cuts power and boots again; what the clock knew until then may be hidden by half of the uptime at most.
    fn reboot(&mut self, off_secs: u64, start_secs: u64) {
        let (floor, uptime) = (self.clock.time().floor.as_secs(), self.boot_secs);
        self.truth += off_secs;
        self.boots = self.boots.wrapping_add(1);
        self.boot_secs = 0;
        self.pass(start_secs);
        self.start_agent();
        let after = self.clock.time().floor.as_secs();
        assert!(after - start_secs + uptime / 2 >= floor, "hid {} of {uptime} s", floor + start_secs - after);
        assert!(after <= floor + start_secs, "charged for time that did not pass");
    }

    fn happen(&mut self, happening: &Happening) {
        match *happening {
            Happening::Run { secs } => self.run(secs),
            Happening::Suspend { secs } => {
                self.pass(secs);
                self.look();
            }
            Happening::StepWall { by } => self.wall_off = self.wall_off.saturating_add(by),
            Happening::Wall1970 => self.wall_off = -self.truth.cast_signed(),
            Happening::WallRight => self.wall_off = 0,
            Happening::RestartAgent => {
                let before = self.clock.time();
                self.start_agent();
                assert_eq!(self.clock.time().floor, before.floor, "a restart of the agent changes nothing");
            }
            Happening::PowerCycle { off_secs, start_secs } => self.reboot(off_secs, start_secs),
            Happening::RebootLoop { times, uptime_secs, start_secs } => {
                for _ in 0..times {
                    self.run(uptime_secs);
                    self.reboot(0, start_secs);
                }
            }
            Happening::Token { age_secs } => {
                let issued_at = Timestamp::from_secs_clamped(self.truth - age_secs.min(self.truth - BUILT));
                self.signed(issued_at, None);
            }
            Happening::FreshToken { round_trip_secs } => {
                let issued_at = Timestamp::from_secs_clamped(self.truth);
                self.pass(round_trip_secs);
                self.signed(issued_at, Some(Seconds(round_trip_secs)));
            }
        }
    }

    fn signed(&mut self, issued_at: Timestamp, round_trip: Option<Seconds>) {
        let (now, blind_now) = (self.reading(), self.blind_reading());
        self.look();
        self.clock.token_accepted(&now, issued_at, round_trip);
        self.blind.token_accepted(&blind_now, issued_at, round_trip);
        // A token is persisted with the clock before anything is enforced.
        self.disk = [self.clock.record(), self.blind.record()];
        self.clock.persisted(&self.disk[0]);
        self.blind.persisted(&self.disk[1]);
        assert!(self.clock.time().floor >= issued_at);
        if round_trip.is_some_and(|took| took.0 <= 60) {
            assert!(!self.clock.time().is_adopted(), "signed time known exactly ends an adopted lead");
            self.adopted = false;
        }
        self.check();
    }

    fn check(&mut self) {
        let (time, blind) = (self.clock.time(), self.blind.time());
        assert!(time.floor.as_secs() <= self.truth, "the floor is certain");
        assert_eq!(time.floor, blind.floor, "no wall clock moves the floor");
        assert!(!blind.is_adopted(), "a dead wall clock is never adopted");
        if time.is_adopted() && !self.adopted {
            assert!(self.was_steady_for_a_day(), "adopted without a steady day");
            self.adopted = true;
        }
        if time == blind {
            return; // the same inputs, the same decision
        }
        let decide = |time| {
            let cap = ModeCap::of(DeviceClass::Camera, None);
            step(&Inputs { license: Some(&self.license), time, cap })
        };
        let (seen, unseen) = (decide(time), decide(blind));
        let stopped = |mode| mode == OperatingMode::Stopped;
        assert_eq!(
            stopped(seen.mode),
            stopped(unseen.mode),
            "no wall clock stops a device, or keeps one going"
        );
        assert!(seen.mode >= unseen.mode, "no wall clock extends grace");
        if !time.is_adopted() {
            assert_eq!(seen, unseen, "no wall clock ends grace before a steady day");
        }
    }

    /// The reference: all readings of the last day or more, in this run of the agent, lie within the tolerance.
    fn was_steady_for_a_day(&self) -> bool {
        let (mut lowest, mut highest) = (i64::MAX, i64::MIN);
        self.readings.iter().rev().any(|(boot_secs, offset)| {
            lowest = lowest.min(*offset);
            highest = highest.max(*offset);
            highest.abs_diff(lowest) <= 120 && self.boot_secs - boot_secs >= DAY
        })
    }
}

fn policy() -> ClockPolicy {
    ClockPolicy::standard(Timestamp::from_secs_clamped(BUILT))
}

fn license() -> impl Strategy<Value = LicenseState> {
    (0..400 * DAY, 0..90 * DAY, 0..90 * DAY, 0..400 * DAY).prop_map(|(grace, lock, stop, offline)| {
        let at = |secs: u64| Timestamp::from_secs(BUILT + secs);
        LicenseState {
            schedule: Schedule {
                grace_begins_at: at(grace),
                lock_at: at(grace + lock),
                stop_at: at(grace + lock + stop),
            },
            findings: Vec::new(),
            offline_lock_at: Timestamp::from_secs_clamped(BUILT + offline),
            coterm_at: None,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_wall_clock_jump_never_ends_or_extends_grace_and_a_reboot_loop_hides_at_most_half(
        wall_off in -20 * YEAR..20 * YEAR,
        license in license(),
        happenings in prop::collection::vec(happening(), 1..10),
    ) {
        let mut device = Device::new(wall_off, license);
        for happening in &happenings {
            device.happen(happening);
        }
    }
}
