//! Newer roots: pending, adopted with a keyring in one write, whatever comes first and whenever the power goes.

use super::world::{KEYRING_TOPIC, World};
use crate::driver::Input;
use crate::driver::saved::Saved;
use crate::test_support::*;
use coterm_shared::enforcement::OperatingMode::Full;
use coterm_shared::token::{Claims, Root, TokenVersion};

/// A third signer of keyrings, for a third root.
const THIRD_KEYRING: u8 = 23;

impl World {
    fn root(&mut self, version: u64, payload: Vec<u8>) -> u64 {
        self.receive(&format!("coterm/v1/root/{version}"), payload)
    }

    /// Versions of root and keyring, as the last report of a new session says.
    fn trusts(&mut self) -> (u64, u64) {
        self.feed(Input::Connected);
        let report = self.reports.last().unwrap();
        (report.root_version, report.keyring_version)
    }

    fn next_root(&self) -> u64 {
        self.driver.as_ref().unwrap().next_root()
    }
}

/// A device that is licensed under root 1 and keyring 1.
fn licensed() -> World {
    let mut world = World::connected();
    world.token(token(&claims(ISSUED)));
    assert_eq!(world.mode, Some(Full));
    world
}

fn under_2(version: u64) -> Vec<u8> {
    keyring_by(NEXT_KEYRING, version, 1, ISSUED, &[KEY])
}

#[test]
fn a_root_and_its_keyring_are_adopted_together_whichever_comes_first() {
    for root_first in [true, false] {
        let mut world = licensed();
        if root_first {
            world.root(2, root_naming(2, NEXT_KEYRING));
            assert_eq!((world.trusts(), world.next_root()), ((1, 1), 3), "pending, and not counted");
            world.receive(KEYRING_TOPIC, under_2(2));
        } else {
            world.receive(KEYRING_TOPIC, under_2(2));
            assert_eq!(world.trusts(), (1, 1));
            world.root(2, root_naming(2, NEXT_KEYRING));
        }
        assert_eq!((world.trusts(), world.next_root()), ((2, 2), 3), "{root_first}");
        for _ in 0..2 {
            world.reboot();
            assert_eq!((world.mode, world.trusts()), (Some(Full), (2, 2)));
        }
        let next = claims(ISSUED + 60);
        world.token(token(&next));
        assert_eq!(world.held(), Some(next.version));
    }
}

#[test]
fn a_pending_root_does_not_count_the_old_pair_goes_on() {
    let mut world = licensed();
    world.root(2, root_naming(2, NEXT_KEYRING));
    world.receive(KEYRING_TOPIC, keyring(2, 1, ISSUED, &[KEY, NEXT_KEY]));
    assert_eq!(world.trusts(), (1, 2));
    let next = claims(ISSUED + 60);
    world.token(token_by(&next, NEXT_KEY));
    assert_eq!(world.held(), Some(next.version));
    // Under the new root, versions of the replaced signers are nothing.
    world.receive(KEYRING_TOPIC, under_2(1));
    assert_eq!(world.trusts(), (2, 1));
    world.reboot();
    assert_eq!(
        (world.mode, world.held()),
        (Some(Full), Some(next.version)),
        "its key is not in the new keyring"
    );
}

#[test]
fn a_root_that_keeps_the_signers_of_keyrings_is_adopted_at_once() {
    let mut world = licensed();
    world.root(2, root_naming(2, 21));
    assert_eq!((world.trusts(), world.next_root()), ((2, 1), 3));
    world.reboot();
    assert_eq!((world.mode, world.trusts()), (Some(Full), (2, 1)));
}

#[test]
fn a_device_several_roots_behind_walks_them_all() {
    let mut world = licensed();
    let newest = keyring_by(THIRD_KEYRING, 7, 1, ISSUED, &[NEXT_KEY]);
    // As a broker delivers what it retains: the keyring of today, and the roots one by one as the device asks for them.
    world.receive(KEYRING_TOPIC, newest);
    for version in 2..=5 {
        assert_eq!(world.next_root(), version);
        world.root(version, root_naming(version, if version < 4 { NEXT_KEYRING } else { THIRD_KEYRING }));
    }
    assert_eq!(world.trusts(), (5, 7));
    world.reboot();
    assert_eq!(
        (world.mode, world.trusts()),
        (Some(Full), (5, 7)),
        "the token of a dropped key outlives two roots"
    );
}

#[test]
fn a_stolen_keyring_key_cannot_block_its_replacement() {
    let mut world = licensed();
    let moon = ISSUED + 200 * DAY;
    world.receive(KEYRING_TOPIC, keyring(u64::MAX, 1000, moon, &[KEY]));
    let stolen = Claims { version: TokenVersion { epoch: 1000, seq: moon * 1000 }, ..claims(moon) };
    world.token(token(&stolen));
    assert_eq!(world.held(), Some(stolen.version));
    world.root(2, root_naming(2, NEXT_KEYRING));
    world.receive(KEYRING_TOPIC, keyring_by(NEXT_KEYRING, 2, 2, ISSUED, &[NEXT_KEY]));
    assert_eq!(world.trusts(), (2, 2));
    assert_eq!(world.floor(), ISSUED, "the time the thief made up is gone");
    // The thief has nothing more to say.
    world.receive(KEYRING_TOPIC, keyring(u64::MAX, 2000, moon, &[KEY]));
    assert_eq!(world.trusts(), (2, 2));
    let honest =
        Claims { version: TokenVersion { epoch: 2, seq: (ISSUED + 9) * 1000 }, ..claims(ISSUED + 9) };
    world.token(token_by(&honest, NEXT_KEY));
    assert_eq!(world.held(), Some(honest.version));
}

#[test]
fn a_power_cut_at_any_moment_leaves_one_pair_or_the_other() {
    let ceremony = [("coterm/v1/root/2", root_naming(2, NEXT_KEYRING)), (KEYRING_TOPIC, under_2(2))];
    for cut in 0..=ceremony.len() {
        let mut world = licensed();
        for (topic, payload) in &ceremony[..cut] {
            world.receive(topic, payload.clone());
        }
        world.reboot();
        let expect = if cut == ceremony.len() { (2, 2) } else { (1, 1) };
        assert_eq!((world.mode, world.trusts()), (Some(Full), expect), "{cut}");
        // On disk a root never stands without a keyring it verifies.
        let saved = Saved::decode(world.disk.0.borrow().content.as_ref().unwrap()).unwrap();
        assert_eq!(Root::pinned(&saved.record.root.unwrap()).unwrap().version(), expect.0);
        assert_eq!(world.next_root(), expect.0 + 1, "what was pending is fetched again");
        for (topic, payload) in &ceremony {
            world.receive(topic, payload.clone());
        }
        assert_eq!(world.trusts(), (2, 2));
    }
}

#[test]
fn with_a_full_disk_the_pair_waits_and_is_adopted_later() {
    for (root, keyring_too) in [(root_naming(2, 21), false), (root_naming(2, NEXT_KEYRING), true)] {
        let mut world = licensed();
        world.disk.0.borrow_mut().full = true;
        let mut ticket = world.root(2, root);
        if keyring_too {
            assert!(world.acknowledged.contains(&ticket), "kept in memory, which is all it needs");
            ticket = world.receive(KEYRING_TOPIC, under_2(2));
        }
        assert!(!world.acknowledged.contains(&ticket));
        assert_eq!(world.reports.last().unwrap().root_version, 1);
        world.disk.0.borrow_mut().full = false;
        world.pass(600);
        assert!(world.acknowledged.contains(&ticket));
        assert_eq!(world.trusts().0, 2);
    }
}

#[test]
fn what_does_not_follow_is_refused_and_changes_nothing() {
    let mut world = licensed();
    let refused = |world: &World| world.reports.last().unwrap().last_refusal.clone().unwrap();
    for (payload, code) in [
        (root_naming(3, NEXT_KEYRING), "TRUST_NOT_NEXT"),
        (under_2(2), "TRUST_CONTENT_TYPE"),
        (root(), "TRUST_NOT_NEXT"),
    ] {
        world.root(2, payload);
        assert_eq!((world.trusts(), world.next_root()), ((1, 1), 2), "{code}");
        assert_eq!(refused(&world).code.as_str(), code);
    }
    // One that was still under way when the device had moved on is no news and no offence.
    world.root(2, root_naming(2, 21));
    let count = refused(&world).count;
    world.root(2, root_naming(2, 21));
    assert_eq!((world.trusts(), refused(&world).count), ((2, 1), count));
}

#[test]
fn another_root_file_is_another_pin() {
    let mut world = licensed();
    world.root(2, root_naming(2, NEXT_KEYRING));
    world.receive(KEYRING_TOPIC, under_2(2));
    // Provisioned again, from a kit that was made before the second root: the device finds its way back by itself.
    world.kill();
    world.root_file = root_naming(1, NEXT_KEYRING);
    world.keyring_file = Some(keyring_by(NEXT_KEYRING, 3, 1, ISSUED, &[NEXT_KEY]));
    world.start();
    assert_eq!((world.mode, world.trusts()), (Some(Full), (1, 3)));
    world.root(2, root_naming(2, 21));
    world.receive(KEYRING_TOPIC, keyring(1, 1, ISSUED, &[KEY]));
    assert_eq!(world.trusts(), (2, 1));
    world.reboot();
    assert_eq!((world.mode, world.trusts()), (Some(Full), (2, 1)));
}
