//! One table per rule of token §5.

use super::*;
use std::vec::Vec;

const BOOT: BootId = BootId::from_bytes([1; 16]);
const NEXT_BOOT: BootId = BootId::from_bytes([2; 16]);
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
/// Build time of the tests, long ago for a wall clock that works.
const BUILT: u64 = 1_800_000_000;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs).unwrap()
}

fn reading(boot_id: BootId, boot_secs: u64, wall: u64) -> ClockReading {
    ClockReading { boot_id, boot_secs, wall: at(wall) }
}

fn policy() -> ClockPolicy {
    ClockPolicy::standard(at(BUILT))
}

fn fresh(boot_secs: u64, wall: u64) -> TrustedClock {
    TrustedClock::open(policy(), None, &reading(BOOT, boot_secs, wall))
}

/// Reads the clock every ten minutes until `until`, the wall clock running `ahead` of the boot clock.
fn run(clock: &mut TrustedClock, from: u64, until: u64, ahead: u64) -> TrustedTime {
    for boot_secs in (from..=until).step_by(600) {
        clock.observe(&reading(BOOT, boot_secs, ahead + boot_secs));
    }
    clock.time()
}

#[test]
fn the_floor_is_the_greatest_of_build_tick_and_signed_time_plus_the_boot_clock() {
    let record =
        |floor| ClockRecord { boot_id: BOOT, boot_secs: 100, floor: at(floor), lock_time: at(floor) };
    for (why, stored, now, floor, source) in [
        ("nothing stored: build time, from now on only", None, (BOOT, 9_000), BUILT, TimeSource::Build),
        (
            "same boot: all since the tick",
            Some(record(BUILT + 50)),
            (BOOT, 300),
            BUILT + 250,
            TimeSource::Stored,
        ),
        ("later boot: all of it", Some(record(BUILT + 50)), (NEXT_BOOT, 30), BUILT + 80, TimeSource::Stored),
        ("newer software than tick", Some(record(BUILT - 500)), (NEXT_BOOT, 30), BUILT, TimeSource::Build),
        (
            "boot clock behind its record",
            Some(record(BUILT + 50)),
            (BOOT, 20),
            BUILT + 50,
            TimeSource::Stored,
        ),
    ] {
        let (boot_id, boot_secs) = now;
        let clock = TrustedClock::open(policy(), stored.as_ref(), &reading(boot_id, boot_secs, 0));
        assert_eq!(clock.time(), TrustedTime::certain(at(floor), source), "{why}");
    }
    let mut clock = fresh(10, 0);
    let signed = clock.token_accepted(&reading(BOOT, 20, 0), at(BUILT + 1_000), None);
    assert_eq!(signed, TrustedTime::certain(at(BUILT + 1_000), TimeSource::Token));
    let older = clock.token_accepted(&reading(BOOT, 25, 0), at(BUILT + 500), None);
    assert_eq!(older.floor, at(BUILT + 1_005));
}

#[test]
fn a_suspended_device_ages() {
    let mut clock = fresh(10, 0);
    assert_eq!(clock.observe(&reading(BOOT, 10 + 30 * DAY, 0)).floor, at(BUILT + 30 * DAY));
}

#[test]
fn a_boot_clock_that_runs_backwards_changes_nothing() {
    let mut clock = fresh(1_000, 0);
    clock.observe(&reading(BOOT, 2_000, 0));
    let back = clock.observe(&reading(BOOT, 500, 0));
    assert_eq!(back.floor, at(BUILT + 1_000));
    assert_eq!(clock.observe(&reading(BOOT, 2_001, 0)).floor, at(BUILT + 1_001));
}

#[test]
fn wall_clocks_are_told_apart() {
    for (why, wall, standing) in [
        ("the battery is gone", 0, WallStanding::Behind { by: Seconds(BUILT) }),
        ("within tolerance", BUILT + 120, WallStanding::Agrees),
        ("a little behind", BUILT - 120, WallStanding::Agrees),
        ("ahead", BUILT + DAY, WallStanding::Ahead { by: Seconds(DAY), adopted_in: Seconds(DAY) }),
    ] {
        let mut clock = fresh(0, wall);
        clock.observe(&reading(BOOT, 0, wall));
        assert_eq!(clock.wall(), standing, "{why}");
        assert_eq!(clock.wall_skew_secs(), wall.cast_signed() - BUILT.cast_signed());
    }
}

#[test]
fn a_wall_clock_ahead_is_adopted_after_a_steady_day_and_may_then_lock() {
    let ahead = BUILT + 100 * DAY;
    let mut clock = fresh(0, ahead);
    let before = run(&mut clock, 0, DAY - 600, ahead);
    assert!(!before.is_adopted());
    let after = run(&mut clock, DAY, DAY, ahead);
    assert_eq!((after.floor, after.lock_time), (at(BUILT + DAY), at(ahead + DAY)));
    assert_eq!(clock.wall(), WallStanding::Ahead { by: Seconds(100 * DAY), adopted_in: Seconds(0) });

    // A reboot changes nothing, nor does turning the clock back.
    let mut rebooted =
        TrustedClock::open(policy(), Some(&clock.record()), &reading(NEXT_BOOT, 40, BUILT + 2 * DAY));
    let time = rebooted.observe(&reading(NEXT_BOOT, 50, 0));
    assert_eq!((time.floor, time.lock_time), (at(BUILT + DAY + 50), at(ahead + DAY + 50)));

    // The signed time that answers the device's own nonce takes it back, and the same run is never adopted again.
    let told = at(BUILT + DAY + 700);
    let signed = clock.token_accepted(&reading(BOOT, DAY + 600, ahead + DAY + 600), told, Some(Seconds(60)));
    assert_eq!(signed, TrustedTime::certain(told, TimeSource::Nonce));
    assert_eq!(clock.wall(), WallStanding::Contradicted { by: Seconds(100 * DAY - 100) });
    assert!(!run(&mut clock, DAY + 1_200, 5 * DAY, ahead).is_adopted());
}

#[test]
fn a_wall_clock_that_agrees_is_nothing_to_adopt() {
    for (ahead, adopted) in [(0, false), (120, false), (121, true)] {
        let mut clock = fresh(0, BUILT + ahead);
        assert_eq!(run(&mut clock, 0, 3 * DAY, BUILT + ahead).is_adopted(), adopted, "{ahead} s ahead");
    }
}

#[test]
fn a_wall_clock_that_is_not_steady_is_not_adopted() {
    let ahead = BUILT + 100 * DAY;
    // A single jump does nothing, and each jump starts the day again.
    let mut clock = fresh(0, ahead);
    run(&mut clock, 0, 23 * HOUR, ahead);
    assert!(!run(&mut clock, 23 * HOUR + 600, 46 * HOUR, ahead + DAY).is_adopted());
    // Pushed on in steps too small to be seen one by one.
    let mut clock = fresh(0, ahead);
    for (steps, boot_secs) in (0..3 * DAY).step_by(600).enumerate() {
        clock.observe(&reading(BOOT, boot_secs, ahead + boot_secs + 10 * steps as u64));
    }
    assert!(!clock.time().is_adopted());
}

#[test]
fn an_answer_too_late_or_to_nobody_only_raises_the_floor() {
    let ahead = BUILT + 100 * DAY;
    for (round_trip, source, adopted) in [
        (None, TimeSource::Token, true),
        (Some(61), TimeSource::Token, true),
        (Some(60), TimeSource::Nonce, false),
        (Some(0), TimeSource::Nonce, false),
    ] {
        let mut clock = fresh(0, ahead);
        run(&mut clock, 0, DAY, ahead);
        let now = reading(BOOT, DAY, ahead + DAY);
        let time = clock.token_accepted(&now, at(BUILT + 2 * DAY), round_trip.map(Seconds));
        assert_eq!((time.floor, time.source), (at(BUILT + 2 * DAY), source), "{round_trip:?}");
        assert_eq!(time.is_adopted(), adopted, "{round_trip:?}");
    }
}

#[test]
fn a_raised_epoch_resets_the_floor_to_the_keyrings_own_instant() {
    for (keyring_at, floor) in
        [(BUILT + 10, BUILT + 10), (BUILT - 10, BUILT), (BUILT + 5_000 * DAY, BUILT + 5_000 * DAY)]
    {
        let mut clock = fresh(0, BUILT);
        clock.token_accepted(&reading(BOOT, 5, BUILT), at(BUILT + 1_000 * DAY), None);
        clock.persisted(&clock.record());
        let time = clock.epoch_raised(&reading(BOOT, 6, BUILT), at(keyring_at));
        assert_eq!(time, TrustedTime::certain(at(floor), TimeSource::Keyring));
        assert!(clock.tick_due(), "the reset must be on disk");
        assert_eq!(clock.record().floor, at(floor));
    }
}

#[test]
fn ticks_double_up_to_ten_minutes() {
    let ticks = |started: u64, longest: u64| {
        let policy = ClockPolicy { longest_tick: Seconds(longest), ..policy() };
        let mut clock = TrustedClock::open(policy, None, &reading(BOOT, started, 0));
        let mut ticks = Vec::new();
        for boot_secs in started..4_000 {
            clock.observe(&reading(BOOT, boot_secs, 0));
            if clock.tick_due() {
                ticks.push(boot_secs);
                clock.persisted(&clock.record());
            }
        }
        ticks
    };
    assert_eq!(ticks(5, 600), [5, 10, 20, 40, 80, 160, 320, 640, 1_240, 1_840, 2_440, 3_040, 3_640]);
    assert_eq!(ticks(0, 600)[..6], [0, 1, 2, 4, 8, 16]);
    assert_eq!(ticks(3_000, 600), [3_000, 3_600]);
    assert_eq!(ticks(3_990, 2), [3_990, 3_992, 3_994, 3_996, 3_998]);
}

#[test]
fn an_agent_that_restarts_keeps_its_ticks() {
    let mut clock = fresh(1_000, 0);
    let record = clock.record();
    clock.persisted(&record);
    let restarted = TrustedClock::open(policy(), Some(&record), &reading(BOOT, 1_599, 0));
    assert!(!restarted.tick_due());
    assert!(TrustedClock::open(policy(), Some(&record), &reading(BOOT, 1_600, 0)).tick_due());
    assert!(TrustedClock::open(policy(), Some(&record), &reading(NEXT_BOOT, 1, 0)).tick_due());
}

#[test]
fn nothing_overflows_at_the_end_of_time() {
    let end = Timestamp::MAX.as_secs();
    let mut clock = TrustedClock::open(policy(), None, &reading(BOOT, u64::MAX - 1, end));
    let time = clock.token_accepted(&reading(BOOT, u64::MAX, end), Timestamp::MAX, Some(Seconds(1)));
    assert_eq!(time.floor, Timestamp::MAX);
    assert_eq!(clock.observe(&reading(NEXT_BOOT, u64::MAX, 0)).floor, Timestamp::MAX);
    assert_eq!(clock.next_tick_boot_secs(), u64::MAX);
}

#[test]
fn a_boot_id_is_what_the_kernel_prints() {
    let text = "0f6c2f3e-9a51-4a0e-8d0b-5f1f0c3f7a11";
    let id: BootId = std::format!("{text}\n").parse().unwrap();
    assert_eq!(std::string::ToString::to_string(&id), text);
    assert_eq!("nonsense".parse::<BootId>(), Err(BootIdError));
}
