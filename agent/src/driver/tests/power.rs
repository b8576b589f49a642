//! Power cuts at every boundary of every save that a device's life comes to, with everything the disk may then have kept.
//!
//! The disk is that of `state_file::crash_points`, the driver is the one devices run. After each cut the agent opens, holds
//! what it acknowledged or what it was just writing, and is in a mode that one of the two orders (R3, invariants 2 and 5).

use super::world::{KEYRING_TOPIC, TOKEN_TOPIC};
use crate::driver::{Driver, Identity, Input};
use crate::state_file::TwoSlots;
use crate::state_file::crash_points::Flash;
use crate::test_support::*;
use coterm_shared::enforcement::OperatingMode::{self, Full, ManagementLocked, Stopped};
use coterm_shared::enforcement::{ClockPolicy, DeviceClass, ModeCap};
use coterm_shared::time::Seconds;
use coterm_shared::token::TokenVersion;

/// What a device lives through: at which second of its uptime, on which topic, what.
fn life() -> Vec<(u64, &'static str, Vec<u8>)> {
    vec![
        (20, TOKEN_TOPIC, token(&claims(ISSUED))),
        (700, TOKEN_TOPIC, token(&ending(ISSUED + 60, ISSUED + 60, ISSUED + 9 * DAY))),
        (1400, KEYRING_TOPIC, keyring(2, 1, ISSUED, &[KEY, NEXT_KEY])),
        (2100, TOKEN_TOPIC, token(&ending(ISSUED + 120, ISSUED + 120, ISSUED + 120))),
        (2800, TOKEN_TOPIC, token_by(&claims(ISSUED + 180), NEXT_KEY)),
    ]
}

/// The modes those leave a device in, one after the other; locked before the first.
const MODES: [OperatingMode; 6] = [ManagementLocked, Full, ManagementLocked, ManagementLocked, Stopped, Full];

fn open(flash: Flash, boot: u128, boot_secs: u64) -> Driver<TwoSlots<Flash>> {
    let identity = Identity {
        expected: expected(),
        class: DeviceClass::Camera,
        cap: ModeCap::of(DeviceClass::Camera, None),
        heartbeat: Seconds(900),
    };
    let policy = ClockPolicy::standard(at(ISSUED - 100 * DAY));
    let first = keyring(1, 1, ISSUED - DAY, &[KEY]);
    let (store, now) = (TwoSlots::new(flash), reading(boot, boot_secs));
    Driver::open(identity, &root(), Some(&first), store, policy, now, || 7).unwrap()
}

/// How far an interrupted life came.
struct Lived {
    /// Messages accepted and acknowledged.
    acknowledged: usize,
    /// The last mode ordered.
    ordered: Option<OperatingMode>,
    held: Vec<Option<TokenVersion>>,
}

/// Lives it on this disk, as far as its power lasts.
fn live(flash: &Flash) -> Lived {
    let mut driver = open(flash.clone(), 1, 10);
    let mut lived = Lived { acknowledged: 0, ordered: None, held: vec![] };
    let mut feed = |driver: &mut Driver<TwoSlots<Flash>>, input, secs| {
        let refused = driver.refused.count;
        let effects = driver.handle(input, reading(1, secs));
        lived.ordered = effects.order.map(|order| order.mode).or(lived.ordered);
        // What is refused (for want of a keyring that could not be saved, say) is dealt with, and promises nothing.
        lived.acknowledged += if driver.refused.count == refused { effects.acknowledge.len() } else { 0 };
    };
    let mut held = vec![driver.saved.record.high_water.map(|mark| mark.version)];
    feed(&mut driver, Input::Tick, 10);
    feed(&mut driver, Input::Connected, 10);
    for (secs, topic, payload) in life() {
        feed(&mut driver, Input::Tick, secs - 1);
        let message = Input::Message { ticket: secs, topic: topic.to_owned(), payload };
        feed(&mut driver, message, secs);
        held.push(driver.saved.record.high_water.map(|mark| mark.version));
    }
    feed(&mut driver, Input::Ending, 3000);
    lived.held = held;
    lived
}

#[test]
fn r3_power_cut_at_every_boundary_of_a_life_loses_nothing_acknowledged() {
    let flash = Flash::default();
    let whole = live(&flash);
    let boundaries = flash.boundaries();
    assert_eq!((whole.acknowledged, boundaries), (life().len(), 26), "nothing a life writes is left out");
    let mut disks = 0;
    for boundary in 1..=boundaries + 1 {
        let flash = Flash::default().stopping_at(boundary);
        let lived = live(&flash);
        let n = lived.acknowledged;
        // Whatever is ordered is on disk, or follows from it: the mode of what was acknowledged last.
        assert!(
            lived.ordered.is_none_or(|mode| mode == MODES[n]),
            "boundary {boundary}: {:?}",
            lived.ordered
        );
        // Every fifth of what the disk may have kept: all of it is tried in `state_file`.
        for disk in flash.after_power_cut().into_iter().step_by(5) {
            disks += 1;
            let mut driver = open(disk, 2, 5);
            let held = driver.saved.record.high_water.map(|mark| mark.version);
            let next = whole.held.get(n + 1).copied().unwrap_or(whole.held[n]);
            assert!(held == whole.held[n] || held == next, "boundary {boundary}: {held:?} after {n}");
            let effects = driver.handle(Input::Tick, reading(2, 5));
            let mode = effects.order.unwrap().mode;
            let allowed = [MODES[n], *MODES.get(n + 1).unwrap_or(&MODES[n])];
            assert!(allowed.contains(&mode), "boundary {boundary}: {mode} after {n}");
            // The broker sends again what was not acknowledged, and all is as without a cut.
            for (secs, topic, payload) in life().into_iter().skip(n) {
                let message = Input::Message { ticket: secs, topic: topic.to_owned(), payload };
                assert_eq!(driver.handle(message, reading(2, 10)).acknowledge, [secs]);
            }
            assert_eq!(driver.saved.record.high_water.map(|mark| mark.version), whole.held[life().len()]);
            assert_eq!(driver.decide().mode, Full);
        }
    }
    assert!(disks > 500, "{disks}");
}
