//! Somebody else signs with our keys, or a device says so (token §3).

use super::world::{self, Cost, ORGANIZATION, World, cam};
use crate::alarms::AlarmCode;
use crate::reconcile::Cause;
use coterm_shared::time::Seconds;
use coterm_shared::token::{TokenDigest, TokenVersion};

const FAR: TokenVersion = TokenVersion { epoch: 1, seq: 1_800_000_050_000 };

/// Three devices that hold their tokens, a minute after the start.
async fn settled_world() -> World {
    let world = World::start(&[(1, 3)]).await;
    world.connect_all().await;
    world.until("all devices hold their token", |world| world.all_hold_what_is_wanted()).await;
    world.advance(Seconds(60));
    world
}

fn is_halted(world: &World) -> bool {
    world.reconciler().suspicions().iter().any(|suspicion| suspicion.halts)
}

fn codes(world: &World) -> Vec<AlarmCode> {
    world.reconciler().conditions().into_iter().map(|condition| condition.code).collect()
}

/// Found by the simulated fleet: one device had refused a second token of its version; another had got only the other
/// cloud's, of the version it was issued here, and nobody could tell.
#[tokio::test]
async fn whoever_may_hold_another_clouds_token_of_the_same_version_is_issued_another() {
    let world = settled_world().await;
    let held = [0, 1, 2].map(|n| world.holds(&cam(0, n)).unwrap());
    world.contradicted(&cam(0, 1), 4, None);
    world.until("it is told of", |world| !codes(world).is_empty()).await;
    assert!(world.reconciler().confirm(ORGANIZATION).await.unwrap());
    world.advance(Seconds(1));
    world.sweep().await;
    let newer = |world: &World| (0..3).all(|n| world.holds(&cam(0, n)).is_some_and(|now| now > held[n]));
    world.until("everybody holds a token from after it", newer).await;
    // Once is enough.
    let signed = world.cost().signatures;
    world.advance(Seconds(60));
    world.sweep().await;
    assert_eq!(world.cost().signatures, signed);
}

#[tokio::test]
async fn two_clouds_at_once() {
    let world = settled_world().await;
    world.foreign_token(&cam(0, 0), FAR);
    // A claim is no proof: that device is asked to show it, the others are served.
    world.report(&cam(0, 0));
    world.until("the device is in quarantine", |world| world.is_quarantined(&cam(0, 0))).await;
    world.until("it is asked to show it", |world| world.broker.refused_by(&cam(0, 0)) == 1).await;
    assert_eq!(codes(&world), [AlarmCode::DeviceQuarantined]);
    assert!(!is_halted(&world));
    assert_eq!(world.cost().signatures, 3, "one cloud does not outdo the other");

    world.claim(&cam(0, 0), FAR, Some(world::proof(FAR)));
    world.until("the organization is halted", is_halted).await;
    world.until("the halt is on disk", |world| world.halts_on_disk() == 1).await;
    let halt = world.reconciler().suspicions().into_iter().find(|suspicion| suspicion.halts).unwrap();
    assert_eq!((halt.device, halt.version, halt.cause), (cam(0, 0), Some(FAR), Cause::ForeignToken));
    assert!(codes(&world).contains(&AlarmCode::SigningHalted));
    world.change_groups(1);
    world.sweep().await;
    assert_eq!(world.cost().signatures, 3, "nothing is signed any more");

    // A restart is no way around it.
    let world = world.restart().await;
    world.connect_all().await;
    world.sweep().await;
    assert_eq!((world.cost().signatures, is_halted(&world)), (0, true));

    assert!(world.reconciler().confirm(ORGANIZATION).await.unwrap());
    world.until("all devices follow", |world| world.all_hold_what_is_wanted()).await;
    assert!(world.holds(&cam(0, 0)).is_some_and(|held| held > FAR));
    world.sweep().await;
    assert!(!world.reconciler().confirm(ORGANIZATION).await.unwrap(), "there is nothing left to confirm");
    assert!(world.reconciler().conditions().is_empty());

    // What the other cloud signs from now on halts again.
    world.advance(Seconds(60));
    let again = TokenVersion { seq: FAR.seq + 59_000, ..FAR };
    world.foreign_token(&cam(0, 1), again);
    world.claim(&cam(0, 1), again, Some(world::proof(again)));
    world.until("it is halted again", is_halted).await;
}

#[tokio::test]
async fn a_device_that_shows_nothing_is_asked_ever_more_seldom_and_stops_nobody() {
    let world = settled_world().await;
    world.foreign_token(&cam(0, 0), FAR);
    let mut asked = Vec::new();
    for minute in 0..200_u64 {
        world.report(&cam(0, 0));
        world.sweep().await;
        if world.counters().proofs_asked.get() > asked.len() as u64 {
            asked.push(minute);
        }
        world.advance(Seconds(60));
    }
    assert_eq!(asked, [0, 1, 3, 7, 15, 31, 63, 123, 183]);
    assert_eq!((world.cost().signatures, world.counters().quarantines.get()), (3, 1));
    world.change_groups(1);
    world.until("the others are served", |world| world.holding_what_is_wanted() >= 2).await;
}

#[tokio::test]
async fn equivocation() {
    let world = settled_world().await;
    let held = world.holds(&cam(0, 1)).unwrap();
    // It only says so: an alarm with its name, and a third token, whichever of the two it holds.
    world.contradicted(&cam(0, 1), 4, None);
    world
        .until("it holds a newer token", |world| world.holds(&cam(0, 1)).is_some_and(|now| now > held))
        .await;
    let [alarm] = world.reconciler().conditions().try_into().unwrap();
    assert_eq!(alarm.code, AlarmCode::TokensContradict);
    assert!(alarm.sentence.contains("cam-0-1"), "{}", alarm.sentence);
    assert_eq!(world.cost().signatures, 4);
    // Said again and again it costs nothing more, and survives a restart.
    for count in [4, 4, 5, 6] {
        world.contradicted(&cam(0, 1), count, None);
        world.settle().await;
    }
    assert_eq!(world.cost().signatures, 4);
    let world = world.restart().await;
    assert_eq!(codes(&world), [AlarmCode::TokensContradict]);
    assert!(world.reconciler().confirm(ORGANIZATION).await.unwrap());
    world.contradicted(&cam(0, 1), 6, None);
    world.settle().await;
    assert!(codes(&world).is_empty(), "an operator took note of it");
    world.contradicted(&cam(0, 1), 7, None);
    world.until("the next one is news", |world| !codes(world).is_empty()).await;
}

/// A device that got another cloud's token of the very version issued here is sent this one: it refuses it and shows what it
/// holds.
#[tokio::test]
async fn another_token_of_the_version_issued_here_is_told_by_its_digest() {
    let mut world = settled_world().await;
    let device = cam(0, 1);
    let held = world.holds(&device).unwrap();
    for _ in 0..2 {
        world.says_which(&device, TokenDigest::of(world.token_of(&device).token()));
        world.settle().await;
        assert_eq!((world.is_quarantined(&device), world.counters().proofs_asked.get()), (false, 0));
        world = world.restart().await;
        world.connect_all().await;
        world.settle().await;
    }
    let before = world.cost();
    world.hold_another(&device);
    // A fresh token would hide the other one.
    world.ask(&device, 1);
    world.says_which(&device, world::another(held));
    world.until("it shows it, and the organization is halted", is_halted).await;
    let halt = world.reconciler().suspicions().into_iter().find(|suspicion| suspicion.halts).unwrap();
    assert_eq!((halt.device, halt.version, halt.cause), (device.clone(), Some(held), Cause::Contradiction));
    assert_eq!((world.cost().since(&before).signatures, world.broker.refused_by(&device)), (0, 1));
    // Nothing more can be learned from it.
    for _ in 0..10 {
        world.advance(Seconds(60));
        world.says_which(&device, world::another(held));
        world.sweep().await;
    }
    assert_eq!((world.broker.refused_by(&device), world.is_quarantined(&device)), (1, false));
    assert!(world.reconciler().confirm(ORGANIZATION).await.unwrap());
    world.advance(Seconds(1));
    world.sweep().await;
    world.until("it follows", |world| world.holds(&device).is_some_and(|now| now > held)).await;
}

#[tokio::test]
async fn a_lie_about_the_digest_halts_nobody_and_is_asked_about_ever_more_seldom() {
    let world = settled_world().await;
    let device = cam(0, 1);
    let mut asked = Vec::new();
    for minute in 0..70_u64 {
        world.says_which(&device, TokenDigest::of(b"a lie"));
        world.sweep().await;
        if world.counters().proofs_asked.get() > asked.len() as u64 {
            asked.push(minute);
        }
        world.advance(Seconds(60));
    }
    assert_eq!(asked, [0, 1, 3, 7, 15, 31, 63]);
    assert_eq!(codes(&world), [AlarmCode::DeviceQuarantined]);
    assert!(!is_halted(&world));
    world.change_groups(1);
    world.until("it and the others are served", |world| world.all_hold_what_is_wanted()).await;
}

/// The clock tells a retired device again what it did not get; one that refuses it is not told every ten seconds.
#[tokio::test]
async fn a_retired_device_with_another_token_is_left_alone() {
    let world = settled_world().await;
    let device = cam(0, 1);
    let held = world.holds(&device).unwrap();
    world.retire(&device);
    world.until("it has its farewell", |world| world.holds(&device).is_some_and(|now| now > held)).await;
    world.hold_another(&device);
    world.says_which(&device, world::another(world.holds(&device).unwrap()));
    world.until("it shows it, and the organization is halted", is_halted).await;
    let before = world.cost();
    for _ in 0..60 {
        world.advance(Seconds(10));
        world.sweep().await;
    }
    let cost = world.cost().since(&before);
    assert_eq!(cost, Cost { signatures: 0, publishes: 0, rows: 0, plans: cost.plans });
}

/// A confirmation settles what a retired device claims as well, which no sweep looks at.
#[tokio::test]
async fn a_retired_device_that_lies_is_in_quarantine_until_an_operator_confirms() {
    let world = settled_world().await;
    let device = cam(0, 1);
    let held = world.holds(&device).unwrap();
    world.retire(&device);
    world.until("it has its farewell", |world| world.holds(&device).is_some_and(|now| now > held)).await;
    world.says_which(&device, TokenDigest::of(b"a lie"));
    world.until("it is in quarantine", |world| world.is_quarantined(&device)).await;
    world.disconnect(&device);
    assert!(world.reconciler().confirm(ORGANIZATION).await.unwrap());
    world.advance(Seconds(1));
    world.until("that is settled", |world| !world.is_quarantined(&device)).await;
    assert_eq!(codes(&world), []);
}

/// Taking a claim back and making it again is no way to be asked anew.
#[tokio::test]
async fn whoever_lies_now_and_then_is_asked_no_more_often() {
    let world = settled_world().await;
    let device = cam(0, 1);
    for _ in 0..30 {
        world.says_which(&device, TokenDigest::of(b"a lie"));
        world.sweep().await;
        world.says_which(&device, TokenDigest::of(world.token_of(&device).token()));
        world.sweep().await;
        assert!(!world.is_quarantined(&device));
        world.advance(Seconds(10));
    }
    assert_eq!(world.counters().proofs_asked.get(), 3, "at once, after a minute and after three");
}

/// The other token's key is gone: what it shows proves nothing, and it is told anew.
#[tokio::test]
async fn another_token_that_proves_nothing_is_outdone() {
    let world = settled_world().await;
    let device = cam(0, 1);
    let held = world.holds(&device).unwrap();
    world.hold_another(&device);
    let junk = coterm_shared::protocol::Proof::new(b"junk".to_vec()).unwrap();
    world.contradicted(&device, 1, Some(junk));
    world.until("it holds a newer one", |world| world.holds(&device).is_some_and(|now| now > held)).await;
    assert!(!is_halted(&world));
}

#[tokio::test]
async fn another_token_of_the_version_issued_here_halts_if_it_is_shown() {
    let world = settled_world().await;
    let held = world.holds(&cam(0, 2)).unwrap();
    // What was issued here, shown: the other one was refused, whoever made it.
    world.contradicted(&cam(0, 2), 1, Some(world.token_of(&cam(0, 2))));
    world.until("an alarm", |world| !codes(world).is_empty()).await;
    world.settle().await;
    assert!(!is_halted(&world));
    let held_now = world.holds(&cam(0, 2)).unwrap();
    assert!(held_now > held);
    world.contradicted(&cam(0, 2), 2, Some(world::proof(held_now)));
    world
        .until("it is halted", |world| {
            world.reconciler().suspicions().iter().any(|suspicion| suspicion.halts)
        })
        .await;
    let halt = world.reconciler().suspicions().into_iter().find(|suspicion| suspicion.halts).unwrap();
    assert_eq!((halt.cause, halt.version), (Cause::Contradiction, Some(held_now)));
}

#[tokio::test]
async fn a_requester_that_never_reports_gets_its_answer() {
    let world = World::start(&[(1, 1)]).await;
    // Otherwise its first token would answer, whatever it holds.
    world.until("its first token is issued", |world| world.cost().signatures == 1).await;
    world.connect_silently(&cam(0, 0));
    world.ask(&cam(0, 0), 5);
    world.sweep().await;
    assert_eq!(world.broker.nonce_of(&cam(0, 0)), None, "what it holds may come with the same breath");
    world.advance(Seconds(5));
    world
        .until("the answer is there", |world| world.broker.nonce_of(&cam(0, 0)) == Some(world::nonce(5)))
        .await;
}

#[tokio::test]
async fn a_raised_epoch_answers_a_halt() {
    let world = settled_world().await;
    world.foreign_token(&cam(0, 0), FAR);
    world.claim(&cam(0, 0), FAR, Some(world::proof(FAR)));
    world.until("it is halted", is_halted).await;
    world.publish_documents(1, 2, 5);
    world
        .until("all devices hold a token of the new epoch", |world| {
            world.all_hold_what_is_wanted()
                && (0..3).all(|n| world.holds(&cam(0, n)).is_some_and(|held| held.epoch == 5))
        })
        .await;
    assert!(!is_halted(&world) && world.halts_on_disk() == 0);
}

#[tokio::test]
async fn a_request_is_not_answered_before_the_report_that_shows_a_foreign_token() {
    let world = settled_world().await;
    world.foreign_token(&cam(0, 0), FAR);
    world.connect_silently(&cam(0, 0));
    world.ask(&cam(0, 0), 5);
    world.sweep().await;
    world.report(&cam(0, 0));
    world.until("the device is in quarantine", |world| world.is_quarantined(&cam(0, 0))).await;
    world.advance(Seconds(10));
    world.settle().await;
    assert_eq!((world.holds(&cam(0, 0)), world.cost().signatures), (Some(FAR), 3), "no token outdoes it");
}
