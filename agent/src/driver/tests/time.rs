//! The ladder walked by trusted time, offline, over reboots.

use super::world::World;
use crate::driver::Input;
use crate::test_support::*;
use coterm_shared::enforcement::OperatingMode::{Full, ManagementLocked, Stopped};

#[test]
fn the_ladder_is_walked_to_the_second_without_any_network() {
    let mut world = World::connected();
    world.token(token(&ending(ISSUED, ISSUED + 1000, ISSUED + 5000)));
    world.feed(Input::Disconnected);
    let mut changes = vec![];
    for second in 0..6000 {
        world.pass(1);
        if changes.last().map(|(_, mode)| *mode) != world.mode {
            changes.push((second + 1, world.mode.unwrap()));
        }
    }
    assert_eq!(changes, [(1, Full), (1000, ManagementLocked), (5000, Stopped)]);
}

#[test]
fn the_driver_wakes_for_every_instant_by_itself() {
    let mut world = World::connected();
    world.token(token(&ending(ISSUED, ISSUED + 100_003, ISSUED + 200_001)));
    for (secs, mode) in [(100_002, Full), (1, ManagementLocked), (99_997, ManagementLocked), (1, Stopped)] {
        world.pass(secs);
        assert_eq!(world.mode, Some(mode));
    }
}

#[test]
fn the_offline_budget_locks_and_never_stops() {
    let mut world = World::connected();
    world.token(token(&claims(ISSUED)));
    world.feed(Input::Disconnected);
    world.pass(40 * DAY - 1);
    assert_eq!(world.mode, Some(Full));
    world.pass(1);
    assert_eq!(world.mode, Some(ManagementLocked));
    world.pass(400 * DAY);
    assert_eq!(world.mode, Some(ManagementLocked));
}

#[test]
fn a_reboot_loop_hides_at_most_half_its_uptime() {
    for uptime in [40_u64, 700, 5000] {
        let mut world = World::connected();
        world.token(token(&ending(ISSUED, ISSUED + 50_000, ISSUED + 90_000)));
        let mut spent = 0;
        let mut boots = 0;
        while world.mode == Some(Full) {
            world.reboot();
            world.pass(uptime);
            spent += 5 + uptime;
            boots += 1;
            assert!(boots < 10_000);
        }
        assert!(spent >= 49_000, "locked after {spent} s: nothing is charged that was not spent");
        assert!(spent <= 101_000, "locked after {spent} s in boots of {uptime} s");
    }
}

#[test]
fn a_wall_clock_jump_does_nothing() {
    let mut world = World::connected();
    world.token(token(&ending(ISSUED, ISSUED + DAY, ISSUED + 2 * DAY)));
    for wall in [0, ISSUED + 365 * DAY, u64::MAX] {
        let mut reading = world.reading();
        reading.wall = coterm_shared::time::Timestamp::from_secs_clamped(wall);
        let effects = world.driver.as_mut().unwrap().handle(Input::Tick, reading);
        world.carry_out(effects);
        assert_eq!(world.mode, Some(Full));
    }
}

#[test]
fn flash_is_written_every_ten_minutes_when_nothing_changes() {
    let mut world = World::connected();
    world.token(token(&claims(ISSUED)));
    world.pass(DAY);
    let before = world.disk.0.borrow().saves;
    world.pass(DAY);
    let saves = world.disk.0.borrow().saves - before;
    assert!((140..=145).contains(&saves), "{saves} saves in a day");
}

#[test]
fn reports_beat_when_nothing_happens() {
    let mut world = World::connected();
    world.token(token(&claims(ISSUED)));
    let before = world.reports.len();
    world.pass(DAY);
    let beats = world.reports.len() - before;
    assert!((86..=108).contains(&beats), "{beats} reports in a day");
    world.feed(Input::Disconnected);
    let before = world.reports.len();
    world.pass(DAY);
    assert_eq!(world.reports.len(), before, "none into the void");
}

#[test]
fn a_wall_clock_set_wrong_does_not_lock_a_device_the_cloud_can_answer() {
    let mut world = World::connected();
    world.wall_at_boot = ISSUED - 10;
    // As the cloud does: every request is answered with the true time.
    let answer = |world: &mut World, at: u64| {
        let nonce = world.requests.pop().unwrap().nonce;
        world.token(token(&answering(ending(at, ISSUED + 100 * DAY, ISSUED + 200 * DAY), &nonce)));
    };
    answer(&mut world, ISSUED);
    world.pass(DAY);
    assert!(world.requests.is_empty(), "what time it is is known");
    // Somebody sets the device a year ahead.
    world.wall_at_boot += 365 * DAY;
    world.pass(1);
    answer(&mut world, ISSUED + DAY + 1);
    world.pass(5 * DAY);
    assert_eq!(world.mode, Some(Full));
    assert!(world.requests.is_empty(), "asked once, and the clock was contradicted");
    // Offline nobody contradicts it, and it locks; the next answer takes that back.
    world.wall_at_boot += DAY;
    world.feed(Input::Disconnected);
    world.pass(2 * DAY);
    assert_eq!(world.mode, Some(ManagementLocked));
    world.feed(Input::Connected);
    answer(&mut world, ISSUED + 8 * DAY + 1);
    assert_eq!(world.mode, Some(Full));
}

/// Token §5, the nonce exchange: an answer counts once, in the process that asked, within a minute.
#[test]
fn an_answer_replayed_or_held_back_sets_no_time() {
    use coterm_shared::enforcement::TimeSource;
    let source = |world: &World| world.reports.last().unwrap().time_source;
    let mut world = World::connected();
    let nonce = world.requests.last().unwrap().nonce.clone();
    let answer = token(&answering(claims(ISSUED), &nonce));
    world.token(answer.clone());
    assert_eq!(source(&world), TimeSource::Nonce);
    let floor = world.floor();
    // Replayed a day later: a duplicate, and no news about the time.
    world.pass(DAY);
    world.token(answer.clone());
    assert_eq!(world.floor(), floor + DAY);
    // Replayed after a reboot: what was asked then is not asked now.
    world.reboot();
    world.feed(Input::Connected);
    let asked = world.requests.len();
    world.token(answer);
    assert_ne!(source(&world), TimeSource::Nonce, "the time is bounded again, and asked for");
    // Held back for more than a minute, or to another question: a good token, and no proof of the time.
    let held_back = world.requests.last().unwrap().nonce.clone();
    world.boot_secs += 61;
    world.token(token(&answering(claims(ISSUED + 2 * DAY), &held_back)));
    world.token(token(&answering(claims(ISSUED + 2 * DAY + 1), &nonce)));
    assert_eq!(world.held(), Some(claims(ISSUED + 2 * DAY + 1).version));
    assert_eq!(source(&world), TimeSource::Token);
    assert!(world.requests.len() <= asked + 1, "and no flood of questions");
}
