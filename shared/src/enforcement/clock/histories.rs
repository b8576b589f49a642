//! R6: ten thousand random histories of a device and its clocks, against a reference that is simple and knows the truth.
//!
//! The reference ([`Reference`]) follows token §5 clause by clause in its own words: what the floor is to the second, when
//! a tick is due, when a wall clock may be adopted. The invariant: a wall-clock jump alone never ends grace and never
//! extends it; a reboot loop hides at most half its uptime; no device is ever charged time that did not pass; and no
//! wall clock stops anything.

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
    /// A keyring made some time ago raises the epoch.
    EpochRaised { age_secs: u64 },
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
        1 => (0..60 * DAY).prop_map(|age_secs| Happening::EpochRaised { age_secs }),
    ]
}

/// What token §5 says, without a wall clock: the floor, and what of it is on disk.
#[derive(Clone, Copy)]
struct Reference {
    /// "max(firmware build time, persisted tick, `iat` of every verified token) + boot-clock time since".
    floor: u64,
    /// The floor of the last tick, and the uptime of this boot at which it was taken; `None` before the first of a boot.
    on_disk: u64,
    ticked_at: Option<u64>,
    /// Ticks of this boot, for the wear of the flash.
    ticks: u64,
}

impl Reference {
    /// "Ticks are persisted at doubling intervals after boot (5 s, 10 s, ... 10 min), then every 10 minutes."
    fn tick_is_due(&self, uptime: u64) -> bool {
        match self.ticked_at {
            None => true,
            Some(ticked) => uptime >= ticked + ticked.clamp(1, 600),
        }
    }

    fn tick(&mut self, uptime: u64) {
        (self.on_disk, self.ticked_at, self.ticks) = (self.floor, Some(uptime), self.ticks + 1);
        // "Flash wear stays bounded": ten doublings up to ten minutes, then one every ten minutes.
        assert!(self.ticks <= 11 + uptime / 600 + 1, "{} ticks in {uptime} s", self.ticks);
    }

    /// "It only rises (but see the epoch, §3)."
    fn signed(&mut self, issued_at: u64, uptime: u64) {
        self.floor = self.floor.max(issued_at);
        // A token is persisted with the clock; that is no tick of the schedule, but it starts the next interval.
        (self.on_disk, self.ticked_at) = (self.floor, Some(uptime));
    }

    /// What is known after a reboot: the tick on disk, and all of the new boot so far.
    fn reboot(&mut self, start_secs: u64) {
        (self.floor, self.ticked_at, self.ticks) = (self.on_disk + start_secs, None, 0);
    }
}

/// A device, its disk, and the truth.
struct Device {
    reference: Reference,
    /// After how many readings a signed time contradicted the wall clock, in this run of the agent.
    contradicted: Vec<usize>,
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
            reference: Reference { floor: BUILT, on_disk: BUILT, ticked_at: Some(0), ticks: 0 },
            contradicted: Vec::new(),
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
        self.contradicted.clear();
        self.look();
    }

    fn pass(&mut self, secs: u64) {
        self.truth += secs;
        self.boot_secs += secs;
        // "(suspend included)"
        self.reference.floor += secs;
    }

    /// The agent's loop: look, and put a tick on disk when one is due.
    fn look(&mut self) {
        let now = self.reading();
        self.clock.observe(&now);
        let blind_now = self.blind_reading();
        self.blind.observe(&blind_now);
        assert_eq!(
            self.clock.tick_due(),
            self.reference.tick_is_due(self.boot_secs),
            "at {} s",
            self.boot_secs
        );
        if self.reference.tick_is_due(self.boot_secs) {
            self.reference.tick(self.boot_secs);
        }
        for (clock, disk) in [(&mut self.clock, 0), (&mut self.blind, 1)] {
            if clock.tick_due() {
                self.disk[disk] = clock.record();
                clock.persisted(&self.disk[disk]);
            }
        }
        self.note_reading();
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
        self.reference.reboot(start_secs);
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
            Happening::EpochRaised { age_secs } => {
                let at = Timestamp::from_secs_clamped(self.truth - age_secs.min(self.truth - BUILT));
                self.look();
                self.clock.epoch_raised(&self.reading(), at);
                self.blind.epoch_raised(&self.blind_reading(), at);
                // "A raised epoch also resets the device's time floor to that keyring's own instant" (§3), in one write.
                self.reference.floor = at.as_secs().max(BUILT);
                self.persist_all();
                (self.adopted, self.readings, self.contradicted) = (false, Vec::new(), Vec::new());
                self.note_reading();
                self.check();
            }
        }
    }

    fn signed(&mut self, issued_at: Timestamp, round_trip: Option<Seconds>) {
        let (now, blind_now) = (self.reading(), self.blind_reading());
        self.look();
        let before = self.clock.time();
        self.clock.token_accepted(&now, issued_at, round_trip);
        self.blind.token_accepted(&blind_now, issued_at, round_trip);
        self.reference.floor = self.reference.floor.max(issued_at.as_secs());
        // A token is persisted with the clock before anything is enforced.
        self.persist_all();
        assert!(self.clock.time().floor >= issued_at);
        let wall = now.wall.as_secs();
        let fresh = round_trip.filter(|took| took.0 <= 60);
        let ahead = fresh.is_some_and(|took| wall > issued_at.as_secs() + took.0 + 120);
        if wall + 120 < issued_at.as_secs() || ahead {
            self.contradicted.push(self.readings.len());
        }
        // "A fresh token answering the device's own nonce (round trip <= 60 s) sets the time", and no other does.
        if fresh.is_some() {
            assert!(!self.clock.time().is_adopted(), "signed time known exactly ends an adopted lead");
            assert_eq!(self.clock.time().source, TimeSource::Nonce);
            self.adopted = false;
        } else {
            assert!(self.clock.time().lock_time >= before.lock_time, "any other token takes nothing back");
            assert_ne!(
                (self.clock.time().source, before.source == TimeSource::Nonce),
                (TimeSource::Nonce, false),
                "nor is it taken for an answer"
            );
        }
        self.check();
    }

    fn persist_all(&mut self) {
        self.disk = [self.clock.record(), self.blind.record()];
        self.clock.persisted(&self.disk[0]);
        self.blind.persisted(&self.disk[1]);
        self.reference.signed(self.reference.floor, self.boot_secs);
    }

    fn note_reading(&mut self) {
        let wall = self.reading().wall.as_secs().cast_signed();
        self.readings.push((self.boot_secs, wall - self.boot_secs.cast_signed()));
    }

    fn check(&mut self) {
        let (time, blind) = (self.clock.time(), self.blind.time());
        assert_eq!(time.floor.as_secs(), self.reference.floor, "the floor is what the reference says");
        assert!(time.lock_time >= time.floor, "the lock time runs ahead or not at all");
        assert!(time.floor.as_secs() <= self.truth, "the floor is certain");
        assert_eq!(time.floor, blind.floor, "no wall clock moves the floor");
        assert!(!blind.is_adopted(), "a dead wall clock is never adopted");
        if time.is_adopted() && !self.adopted {
            assert!(self.was_steady_for_a_day(), "adopted without a steady day that nothing contradicted");
            // "A wall clock behind the floor is ignored": what is adopted was ahead of it.
            let wall = self.reading().wall.as_secs();
            assert!(wall > time.floor.as_secs() + 120, "adopted from behind");
            self.adopted = true;
        }
        self.check_mode(time);
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

    /// "Grace, lock and stop are judged by the floor"; time adopted from a wall clock "may lock management, never stop".
    fn check_mode(&self, time: TrustedTime) {
        let cap = ModeCap::of(DeviceClass::Camera, None);
        let mode = step(&Inputs { license: Some(&self.license), time, cap }).mode;
        let floor = Timestamp::from_secs_clamped(self.reference.floor);
        let reached = |at: Option<Timestamp>, now| at.is_some_and(|at| at <= now);
        let schedule = &self.license.schedule;
        assert_eq!(
            mode == OperatingMode::Stopped,
            reached(schedule.stop_at, floor),
            "stopped by the floor alone"
        );
        let locked = |now| reached(schedule.lock_at, now) || self.license.offline_lock_at <= now;
        assert_eq!(mode == OperatingMode::Full, !locked(floor) && !locked(time.lock_time), "{time:?}");
    }

    /// The reference: all readings of the last day or more, in this run of the agent, lie within the tolerance.
    fn was_steady_for_a_day(&self) -> bool {
        let (mut lowest, mut highest) = (i64::MAX, i64::MIN);
        self.readings.iter().enumerate().rev().any(|(place, (boot_secs, offset))| {
            lowest = lowest.min(*offset);
            highest = highest.max(*offset);
            let contradicted = self.contradicted.iter().any(|after| *after > place);
            highest.abs_diff(lowest) <= 120 && self.boot_secs - boot_secs >= DAY && !contradicted
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
