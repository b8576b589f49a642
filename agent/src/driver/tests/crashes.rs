//! Kills between any two steps, and disks that are full.

use super::world::{KEYRING_TOPIC, TOKEN_TOPIC, World};
use crate::driver::{Effects, Input, StoredState};
use crate::test_support::*;
use coterm_shared::enforcement::OperatingMode::{self, Full, ManagementLocked, Stopped};

/// Before which step an agent is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killed {
    Persisting,
    Acknowledging,
    Actuating,
    Reporting,
}

const KILLS: [Killed; 4] = [Killed::Persisting, Killed::Acknowledging, Killed::Actuating, Killed::Reporting];

fn interrupted(world: &mut World, killed: Killed, topic: &str, payload: &[u8]) {
    world.tickets += 1;
    let ticket = world.tickets;
    if killed == Killed::Persisting {
        return world.kill();
    }
    let message = Input::Message { ticket, topic: topic.to_owned(), payload: payload.to_vec() };
    let mut effects = world.handle(message);
    if killed == Killed::Acknowledging {
        return world.kill();
    }
    world.acknowledged.append(&mut effects.acknowledge);
    if killed == Killed::Actuating {
        return world.kill();
    }
    if let Some(order) = effects.order {
        world.mode = Some(order.mode);
    }
    world.kill();
}

#[test]
fn killed_anywhere_it_converges_to_what_was_accepted() {
    for killed in KILLS {
        for (next, mode) in [
            (claims(ISSUED + 60), Full),
            (ending(ISSUED + 60, ISSUED + 60, ISSUED + 9 * DAY), ManagementLocked),
            (ending(ISSUED + 60, ISSUED + 60, ISSUED + 60), Stopped),
        ] {
            let mut world = World::connected();
            world.token(token(&claims(ISSUED)));
            let before = world.held();
            interrupted(&mut world, killed, TOKEN_TOPIC, &token(&next));
            let acknowledged = world.acknowledged.contains(&world.tickets);
            // The device is in the old mode or the new one, whatever the agent was doing.
            assert!([Some(Full), Some(mode)].contains(&world.mode), "{killed:?}");
            world.start();
            assert!(world.held() >= before, "{killed:?}");
            if acknowledged {
                assert_eq!(world.held(), Some(next.version), "{killed:?}: acknowledged is on disk");
            }
            // The broker sends again what was not acknowledged.
            world.feed(Input::Connected);
            world.token(token(&next));
            assert_eq!((world.mode, world.held()), (Some(mode), Some(next.version)), "{killed:?}");
            assert_eq!(world.reports.last().unwrap().held, Some(next.version), "{killed:?}");
        }
    }
}

#[test]
fn a_keyring_that_resets_the_floor_does_so_once() {
    for killed in KILLS {
        let mut world = World::connected();
        world.token(token(&claims(ISSUED + 100 * DAY)));
        let raise = keyring(2, 2, ISSUED, &[KEY]);
        interrupted(&mut world, killed, KEYRING_TOPIC, &raise);
        world.start();
        world.pass(5000);
        let floor = world.floor();
        world.feed(Input::Connected);
        world.receive(KEYRING_TOPIC, raise);
        let fresh = killed == Killed::Persisting;
        assert_eq!(world.floor(), if fresh { ISSUED } else { floor }, "{killed:?}");
    }
}

fn stage(world: &mut World, effects: Effects) -> Option<OperatingMode> {
    let mode = effects.order.as_ref().map(|order| order.mode);
    world.carry_out(effects);
    mode
}

#[test]
fn with_a_full_disk_nothing_new_is_believed_and_nothing_is_lost() {
    let mut world = World::connected();
    world.token(token(&ending(ISSUED, ISSUED, ISSUED + 9 * DAY)));
    assert_eq!(world.mode, Some(ManagementLocked));
    world.disk.0.borrow_mut().full = true;
    let milder = claims(ISSUED + 60);
    let ticket = world.token(token(&milder));
    assert_eq!(world.mode, Some(ManagementLocked), "nothing milder that is not on disk");
    assert!(!world.acknowledged.contains(&ticket), "nor acknowledged");
    assert_ne!(world.held(), Some(milder.version));
    world.pass(30);
    let reasons = &world.reports.last().unwrap().reasons;
    assert!(reasons.iter().any(|code| code.as_str() == "STATE_NOT_SAVED"), "{reasons:?}");
    // Nor does a reboot find it.
    world.disk.0.borrow_mut().full = false;
    world.pass(600);
    assert_eq!(world.mode, Some(Full), "tried again by itself");
    assert!(world.acknowledged.contains(&ticket));
    assert_eq!(world.held(), Some(milder.version));
    assert!(world.reports.last().unwrap().reasons.is_empty());
}

#[test]
fn a_full_disk_is_no_way_out_of_a_lock() {
    let mut world = World::connected();
    world.token(token(&ending(ISSUED, ISSUED + 1000, ISSUED + 2000)));
    world.disk.0.borrow_mut().full = true;
    for (secs, mode) in [(999, Full), (1, ManagementLocked), (1000, Stopped)] {
        world.pass(secs);
        assert_eq!(world.mode, Some(mode));
    }
    // After a reboot with the disk still full, time is earned again; nothing stricter than before comes early.
    world.reboot();
    assert_eq!(world.mode, Some(Full));
    world.pass(2000);
    assert_eq!(world.mode, Some(Stopped));
}

/// Enforcement §1: a disk that has room again has the mode before the device is ordered into it, also if the last attempt to
/// save failed a moment before and the next one is not due.
#[test]
fn a_new_mode_is_on_disk_before_it_is_ordered_as_soon_as_there_is_room() {
    for room_after in (0..1000).step_by(20) {
        let mut world = World::connected();
        world.token(token(&ending(ISSUED, ISSUED + 1000, ISSUED + 2000)));
        world.disk.0.borrow_mut().full = true;
        world.pass(room_after);
        world.disk.0.borrow_mut().full = false;
        world.pass(999 - room_after);
        assert_eq!(world.mode, Some(Full));
        world.pass(1);
        assert_eq!(world.mode, Some(ManagementLocked));
        let stored = world.disk.0.borrow().content.clone().unwrap();
        let record = StoredState::read(&stored).unwrap().into_record();
        assert_eq!(record.mode.map(|saved| saved.mode), Some(ManagementLocked), "after {room_after} s");
    }
}

#[test]
fn a_wiped_or_damaged_disk_is_no_token_and_never_a_better_one() {
    for content in [None, Some(b"junk".to_vec()), Some(vec![0; 4])] {
        let mut world = World::connected();
        world.token(token(&ending(ISSUED, ISSUED, ISSUED)));
        assert_eq!(world.mode, Some(Stopped));
        world.disk.0.borrow_mut().content = content;
        world.reboot();
        assert_eq!(world.mode, Some(ManagementLocked), "locked, as from the factory");
    }
}

#[test]
fn r9_a_record_of_another_format_is_refused_and_not_overwritten() {
    use coterm_shared::enforcement::ClockPolicy;
    let mut world = World::connected();
    world.token(token(&ending(ISSUED, ISSUED, ISSUED)));
    world.kill();
    for format in [0, 2] {
        // The last byte of the record's magic, behind the length of the frame.
        let mut foreign = world.disk.0.borrow().content.clone().unwrap();
        foreign[4 + 7] = format;
        world.disk.0.borrow_mut().content = Some(foreign.clone());
        let opened = crate::driver::Driver::open(
            world.identity(),
            &world.root_file,
            None,
            world.disk.clone(),
            ClockPolicy::standard(at(ISSUED)),
            world.reading(),
            || 7,
        );
        let text = opened.err().unwrap().to_string();
        assert!(text.contains(&format!("format {format}")), "{text}");
        assert_eq!(world.disk.0.borrow().content.as_ref(), Some(&foreign));
    }
    assert_eq!(world.mode, Some(Stopped), "and the device stays in its mode");
}

#[test]
fn ending_saves_the_tick_and_orders_nothing() {
    let mut world = World::connected();
    world.token(token(&claims(ISSUED)));
    world.pass(1000);
    world.boot_secs += 300;
    let effects = world.handle(Input::Ending);
    assert!(effects.is_quiet());
    assert_eq!(stage(&mut world, effects), None);
    let floor = world.floor();
    world.kill();
    world.boot += 1;
    world.boot_secs = 0;
    world.start();
    assert_eq!(world.floor(), floor);
    assert_eq!(world.mode, Some(Full));
}
