//! What messages do, and above all what bad ones do not.

use super::world::{KEYRING_TOPIC, World};
use crate::actuator::Fault;
use crate::actuator::worker::Outcome;
use crate::driver::Input;
use crate::test_support::*;
use coterm_shared::enforcement::OperatingMode::{Full, ManagementLocked, Stopped};
use coterm_shared::enforcement::{DeviceClass, TimeSource};
use coterm_shared::protocol::Report;
use coterm_shared::token::{Claims, TokenVersion};

#[test]
fn fresh_from_the_factory_it_is_locked_and_a_token_opens_it() {
    let mut world = World::connected();
    assert_eq!(world.mode, Some(ManagementLocked));
    assert_eq!(world.reports.last().unwrap().held, None);
    let ticket = world.token(token(&claims(ISSUED)));
    assert_eq!(world.mode, Some(Full));
    assert_eq!(world.acknowledged, [ticket]);
    let report = world.reports.last().unwrap();
    assert_eq!(report.held, Some(claims(ISSUED).version));
    assert_eq!((report.mode, report.keyring_version), (Full, 1));
}

#[test]
fn unverified_bytes_change_nothing_but_a_counter() {
    let mut world = World::connected();
    world.token(token(&claims(ISSUED)));
    let before = (world.mode, world.held(), world.floor());
    let saves = world.disk.0.borrow().saves;
    let good = token(&ending(ISSUED + 1, ISSUED + 2, ISSUED + 3));
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let other = Claims { device: "cam-2".parse().unwrap(), ..claims(ISSUED + 9) };
    let bad = [vec![], b"junk".to_vec(), vec![0; 5000], forged, token(&claims(ISSUED - 5)), token(&other)];
    let reports = world.reports.len();
    for (n, payload) in bad.iter().cycle().take(60).enumerate() {
        let ticket = world.token(payload.clone());
        assert_eq!((world.mode, world.held(), world.floor()), before, "message {n}");
        assert!(world.acknowledged.contains(&ticket), "a bad message must not fill the broker's window");
    }
    assert_eq!(world.reports.len(), reports + 1, "one report a minute, however many messages");
    let refusal = world.reports.last().unwrap().last_refusal.clone().unwrap();
    assert_eq!(refusal.code.as_str(), "LENGTH");
    assert_eq!(world.disk.0.borrow().saves, saves, "and no wear of the flash");
    world.pass(900);
    assert_eq!(world.reports.last().unwrap().last_refusal.clone().unwrap().count, 60);
    world.reboot();
    world.feed(Input::Connected);
    assert_eq!(world.reports.last().unwrap().last_refusal.clone().unwrap().count, 60, "the counter survives");
}

#[test]
fn a_topic_nobody_asked_for_is_refused() {
    let mut world = World::connected();
    for topic in ["coterm/v1/d/cam-2/token", "coterm/v1/d/cam-1/report", "x", ""] {
        world.receive(topic, token(&claims(ISSUED)));
        assert_eq!(world.held(), None, "{topic}");
    }
}

#[test]
fn a_duplicate_is_answered_with_a_report_and_nothing_else() {
    let mut world = World::connected();
    world.token(token(&claims(ISSUED)));
    let (saves, reports) = (world.disk.0.borrow().saves, world.reports.len());
    world.token(token(&claims(ISSUED)));
    assert_eq!(world.disk.0.borrow().saves, saves);
    assert_eq!(world.reports.len(), reports + 1);
}

/// Token §4: what is sent again is a duplicate only as long as the keyring held would accept it.
#[test]
fn the_token_held_is_no_duplicate_under_a_keyring_that_does_not_take_it() {
    let last_refusal = |world: &World| world.reports.last().unwrap().last_refusal.clone().unwrap();
    // Neither its key nor its epoch is listed any more; it goes on, and sent again it is refused.
    for (keys, min_epoch, code) in [(&[KEY][..], 2, "EPOCH_REVOKED"), (&[NEXT_KEY], 1, "UNKNOWN_KEY")] {
        let mut world = World::connected();
        world.token(token(&claims(ISSUED)));
        world.receive(KEYRING_TOPIC, keyring(2, min_epoch, ISSUED + 1, keys));
        world.pass(900);
        let held = world.held();
        assert_eq!(held, Some(claims(ISSUED).version));
        world.token(token(&claims(ISSUED)));
        assert_eq!(last_refusal(&world).code.as_str(), code);
        assert_eq!((world.held(), world.mode), (held, Some(Full)));
        world.pass(900);
        // Also after a reboot, by what is on the flash.
        world.reboot();
        world.feed(Input::Connected);
        world.token(token(&claims(ISSUED)));
        world.pass(900);
        assert_eq!(last_refusal(&world).count, 2);
    }
}

#[test]
fn the_accepted_version_never_decreases() {
    let mut world = World::connected();
    let mut highest = None;
    for issued in [5, 3, 9, 1, 9, 12, 2].map(|n| ISSUED + n) {
        world.token(token(&claims(issued)));
        assert!(world.held() >= highest);
        highest = world.held();
        world.reboot();
        world.feed(Input::Connected);
    }
    assert_eq!(highest, Some(TokenVersion { epoch: 1, seq: (ISSUED + 12) * 1000 }));
}

#[test]
fn a_token_that_overtook_its_keyring_is_believed_when_that_arrives() {
    let mut world = World::connected();
    world.token(token_by(&claims(ISSUED), NEXT_KEY));
    assert_eq!(world.held(), None);
    world.receive(KEYRING_TOPIC, keyring(2, 1, ISSUED, &[KEY, NEXT_KEY]));
    assert_eq!(world.held(), Some(claims(ISSUED).version));
    assert_eq!(world.reports.last().unwrap().keyring_version, 2);
}

#[test]
fn a_stored_token_does_not_die_with_its_key() {
    let mut world = World::connected();
    world.token(token(&claims(ISSUED)));
    // Twice, because the second keyring also has to remember the first.
    for version in [2, 3] {
        world.receive(KEYRING_TOPIC, keyring(version, 1, ISSUED, &[NEXT_KEY]));
        assert_eq!(world.mode, Some(Full));
        world.mode = None;
        world.reboot();
        assert_eq!(world.mode, Some(Full), "a reboot changes nothing");
    }
    world.feed(Input::Connected);
    world.token(token(&claims(ISSUED + 60)));
    assert_eq!(world.held(), Some(claims(ISSUED).version), "but the key signs nothing new");
    world.token(token_by(&claims(ISSUED + 60), NEXT_KEY));
    assert_eq!(world.held(), Some(claims(ISSUED + 60).version));
}

#[test]
fn keyrings_never_go_back_and_forged_ones_do_nothing() {
    let mut world = World::connected();
    world.receive(KEYRING_TOPIC, keyring(5, 1, ISSUED, &[KEY]));
    let mut forged = keyring(6, 1, ISSUED, &[]);
    *forged.last_mut().unwrap() ^= 1;
    for payload in [keyring(4, 1, ISSUED, &[NEXT_KEY]), forged, b"junk".to_vec()] {
        world.receive(KEYRING_TOPIC, payload);
        world.token(token(&claims(ISSUED)));
        assert_eq!(world.reports.last().unwrap().keyring_version, 5);
    }
    assert_eq!(world.mode, Some(Full));
    // The file of the provisioning is older than what is stored.
    world.restart();
    world.feed(Input::Connected);
    assert_eq!(world.reports.last().unwrap().keyring_version, 5);
}

#[test]
fn a_raised_epoch_undoes_a_sequence_pushed_to_the_moon() {
    let mut world = World::connected();
    let moon = ISSUED + 200 * DAY;
    world.token(token(&claims(moon)));
    assert!(world.floor() >= moon);
    world.receive(KEYRING_TOPIC, keyring(2, 2, ISSUED, &[NEXT_KEY]));
    assert_eq!(world.floor(), ISSUED, "the floor starts again at the keyring's instant");
    let next = Claims { version: TokenVersion { epoch: 2, seq: (ISSUED + 9) * 1000 }, ..claims(ISSUED + 9) };
    world.token(token_by(&next, NEXT_KEY));
    assert_eq!(world.held(), Some(next.version));
    world.reboot();
    assert!(world.floor() < moon);
}

#[test]
fn the_cap_of_the_class_holds_whatever_is_signed() {
    for (class, most) in [
        (DeviceClass::Camera, Stopped),
        (DeviceClass::DoorController, ManagementLocked),
        (DeviceClass::Intercom, ManagementLocked),
        (DeviceClass::Sensor { life_safety: true }, ManagementLocked),
    ] {
        let mut world = World::new();
        world.class = class;
        world.start();
        world.token(token(&ending(ISSUED, ISSUED, ISSUED)));
        assert_eq!(world.mode, Some(most), "{class}");
        world.reboot();
        assert_eq!(world.mode, Some(most), "{class}");
    }
}

#[test]
fn an_answered_nonce_proves_the_time_and_an_old_one_does_not() {
    let mut world = World::connected();
    let nonce = world.requests.last().unwrap().nonce.clone();
    world.token(token(&answering(claims(ISSUED), &nonce)));
    assert_eq!(world.reports.last().unwrap().time_source, TimeSource::Nonce);
    world.pass(2000);
    assert_eq!(world.requests.len(), 1, "once known, the time is not asked for again");

    let mut late = World::connected();
    let nonce = late.requests.last().unwrap().nonce.clone();
    late.boot_secs += 61;
    late.token(token(&answering(claims(ISSUED), &nonce)));
    assert_eq!(late.held(), Some(claims(ISSUED).version), "it is a good token all the same");
    assert_eq!(late.reports.last().unwrap().time_source, TimeSource::Token);
    for _ in 0..50 {
        late.feed(Input::Disconnected);
        late.feed(Input::Connected);
    }
    assert_eq!(late.requests.len(), 1, "requests are rate-limited, also over reconnects");
    late.pass(300);
    assert_eq!(late.requests.len(), 2);
}

/// Protocol §3: what a whole fleet may be told in one moment is not answered in one moment.
#[test]
fn a_report_about_what_it_was_told_waits_and_is_one_for_all_that_came() {
    let mut world = World::connected();
    // What it does when it is told something, and obeys.
    let told = |world: &mut World, ticket: u64| {
        let (topic, payload) = (super::world::TOKEN_TOPIC.to_owned(), token(&claims(ISSUED + ticket)));
        let effects = world.handle(Input::Message { ticket, topic, payload });
        assert!(effects.report.is_none());
        match effects.order {
            Some(order) => world.handle(Input::Driven(Outcome { serial: ticket, order, faults: vec![] })),
            None => effects,
        }
    };
    let held = |report: &[u8]| Report::parse(report).unwrap().held;
    for ticket in [1, 2] {
        let effects = told(&mut world, ticket);
        assert!(effects.report_waits && effects.report.is_none());
    }
    let effects = world.handle(Input::Speak);
    assert_eq!(held(&effects.report.unwrap()), Some(claims(ISSUED + 2).version));
    assert!(!effects.report_waits);
    assert!(world.handle(Input::Speak).report.is_none(), "it is said once");
    // What concerns this device alone is said at once, with what waited.
    assert!(told(&mut world, 3).report_waits);
    let refused = Input::Message { ticket: 9, topic: KEYRING_TOPIC.to_owned(), payload: vec![] };
    let effects = world.handle(refused);
    assert_eq!(held(&effects.report.unwrap()), Some(claims(ISSUED + 3).version));
    assert!(!effects.report_waits);
    // Nobody listens to a device without a line; its next one begins with a report.
    world.handle(Input::Disconnected);
    assert!(!told(&mut world, 4).report_waits);
    let effects = world.handle(Input::Connected);
    assert_eq!(held(&effects.report.unwrap()), Some(claims(ISSUED + 4).version));
}

#[test]
fn a_device_that_does_not_obey_says_so() {
    let mut world = World::connected();
    let effects = world.handle(Input::Message {
        ticket: 1,
        topic: super::world::TOKEN_TOPIC.to_owned(),
        payload: token(&claims(ISSUED)),
    });
    assert!(effects.report.is_none(), "not before the device had its chance");
    let fault = Fault { actuator: "command".to_owned(), message: "hangs".to_owned() };
    let order = effects.order.unwrap();
    world.feed(Input::Driven(Outcome { serial: 1, order: order.clone(), faults: vec![fault.clone()] }));
    let codes = |world: &World| -> Vec<String> {
        world.reports.last().unwrap().reasons.iter().map(ToString::to_string).collect()
    };
    assert_eq!(codes(&world), ["ACTUATOR_FAULT"]);
    // A fault that comes and goes is told once a minute, and how it ended is told too.
    let reports = world.reports.len();
    for n in 0..21 {
        let faults = if n % 2 == 0 { vec![] } else { vec![fault.clone()] };
        world.feed(Input::Driven(Outcome { serial: 1, order: order.clone(), faults }));
    }
    assert!(world.reports.len() <= reports + 1);
    world.pass(61);
    assert!(codes(&world).is_empty());
}

/// Token §3: who sends what is older than what is held is shown that, once a minute.
#[test]
fn a_device_that_refuses_a_rollback_or_a_contradiction_shows_what_it_holds() {
    let mut world = World::connected();
    let held = token(&claims(ISSUED));
    world.token(held.clone());
    let shown =
        |world: &World| world.reports.last().unwrap().proof.as_ref().map(|proof| proof.token().to_vec());
    assert_eq!(shown(&world), None, "not unasked");
    let mut forged = token(&claims(ISSUED - 5));
    *forged.last_mut().unwrap() ^= 1;
    world.token(forged);
    assert_eq!(world.reports.last().unwrap().last_refusal.clone().unwrap().code.as_str(), "SIGNATURE");
    assert_eq!(shown(&world), None, "nobody without a key makes a device talk");
    let equal = Claims { coterm_at: Some(at(ISSUED)), ..claims(ISSUED) };
    for (payload, code) in [(token(&claims(ISSUED - 5)), "ROLLBACK"), (token(&equal), "EQUIVOCATION")] {
        world.pass(61);
        let reports = world.reports.len();
        for _ in 0..5 {
            world.token(payload.clone());
        }
        assert_eq!(world.reports.len(), reports + 1, "{code}: one a minute");
        let report = world.reports.last().unwrap();
        assert_eq!(report.last_refusal.clone().unwrap().code.as_str(), code);
        assert_eq!(report.held, Some(claims(ISSUED).version));
        assert_eq!(shown(&world), Some(held.clone()), "{code}");
        // Asked again within the minute, it answers with the next report whatever that is for.
        world.feed(Input::Disconnected);
        world.feed(Input::Connected);
        assert_eq!(shown(&world), Some(held.clone()));
        world.pass(1_000);
        assert_eq!(shown(&world), None);
    }
    assert_eq!(world.held(), Some(claims(ISSUED).version), "and nothing else changes");
}

/// The device with a token, provisioned with root 2, which names another signer of keyrings.
fn with_another_root(token_seen: &Claims, keyring_file: Vec<u8>) -> World {
    let mut world = World::connected();
    world.token(token(token_seen));
    world.kill();
    world.root_file = root_naming(2, NEXT_KEYRING);
    world.keyring_file = Some(keyring_file);
    world.start();
    world
}

#[test]
fn a_stored_token_outlives_the_root_it_was_accepted_under() {
    for keys in [&[KEY][..], &[NEXT_KEY]] {
        let new = keyring_by(NEXT_KEYRING, 2, 1, ISSUED, keys);
        // Whether the keyring comes with the root, or later by message.
        for by_file in [true, false] {
            let file = if by_file { new.clone() } else { keyring(1, 1, ISSUED - DAY, &[KEY]) };
            let mut world = with_another_root(&claims(ISSUED), file);
            assert_eq!(world.mode, Some(Full), "{keys:?} {by_file}: offline, and licensed all the same");
            if !by_file {
                world.feed(Input::Connected);
                // Nothing new counts by the keyring that was replaced.
                let before = world.held();
                world.token(token(&claims(ISSUED + 60)));
                assert_eq!(world.held(), before);
                world.receive(KEYRING_TOPIC, new.clone());
            }
            for _ in 0..2 {
                world.reboot();
                assert_eq!(world.mode, Some(Full), "{keys:?} {by_file}");
            }
            let next = claims(ISSUED + 120);
            world.token(token_by(&next, keys[0]));
            world.reboot();
            assert_eq!((world.mode, world.held()), (Some(Full), Some(next.version)), "{keys:?} {by_file}");
        }
    }
}

#[test]
fn another_root_undoes_what_a_stolen_keyring_key_did() {
    // Its thief raised the epoch, and with a key of his own the sequence and the time.
    let mut world = World::connected();
    world.receive(KEYRING_TOPIC, keyring(900, 1000, ISSUED, &[KEY]));
    let moon = ISSUED + 200 * DAY;
    let stolen = Claims { version: TokenVersion { epoch: 1000, seq: moon * 1000 }, ..claims(moon) };
    world.token(token(&stolen));
    assert_eq!(world.held(), Some(stolen.version));
    world.kill();
    world.root_file = root_naming(2, NEXT_KEYRING);
    world.keyring_file = Some(keyring_by(NEXT_KEYRING, 2, 2, ISSUED, &[NEXT_KEY]));
    world.start();
    assert_eq!(world.floor(), ISSUED, "the floor starts again at the keyring's instant");
    let honest =
        Claims { version: TokenVersion { epoch: 2, seq: (ISSUED + 9) * 1000 }, ..claims(ISSUED + 9) };
    world.token(token_by(&honest, NEXT_KEY));
    assert_eq!(world.held(), Some(honest.version));
}
