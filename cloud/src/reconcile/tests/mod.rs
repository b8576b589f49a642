//! The loop against fakes: what it costs, what it survives.

mod books;
mod follow;
mod others;
mod world;

use super::*;
use crate::ports::{BoxFuture, Outgoing, PublishError};
use coterm_shared::token::TokenVersion;
use world::{World, cam};

/// A broker that takes everything.
pub(in crate::reconcile) struct Taker;

impl Broker for Taker {
    fn publish(&self, _: Outgoing) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(async { Ok(()) })
    }
    fn kick(&self, _: &DeviceId) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
    fn local_addr(&self) -> Option<std::net::SocketAddr> {
        None
    }
}

#[tokio::test]
async fn every_claimed_device_gets_one_token_and_then_nothing_costs_anything() {
    let world = World::start(&[(1, 40)]).await;
    world.connect_all().await;
    world.until("all devices hold their token", |world| world.all_hold_what_is_wanted()).await;
    let before = world.cost();
    assert_eq!((before.signatures, before.publishes), (40, 40));
    // Heartbeats, reconnects and sweeps of devices that hold the right token are lookups.
    world.connect_all().await;
    world.reports_of_all();
    world.sweep().await;
    world.reports_of_all();
    world.sweep().await;
    let after = world.cost().since(&before);
    assert_eq!((after.signatures, after.publishes, after.rows), (0, 0, 0));
}

#[tokio::test]
async fn work_follows_change_whatever_the_size_of_the_rest() {
    for groups in [5, 50, 500] {
        let world = World::start(&[(groups, 4)]).await;
        world.connect_all().await;
        world.until("all devices hold their token", |world| world.all_hold_what_is_wanted()).await;
        let before = world.cost();
        world.change_groups(3);
        world.until("the change has arrived", |world| world.all_hold_what_is_wanted()).await;
        let change = world.cost().since(&before);
        assert_eq!((change.signatures, change.publishes, change.rows), (12, 12, 12), "{groups} groups");
        assert!(change.plans <= 100, "{groups} groups: looked at {} devices", change.plans);
        // A change that touches devices without changing what they should hold.
        let before = world.cost();
        world.touch_without_change(3);
        world.sweep().await;
        let change = world.cost().since(&before);
        assert_eq!((change.signatures, change.publishes, change.rows), (0, 0, 0), "{groups} groups");
    }
}

#[tokio::test]
async fn a_group_that_expires_on_schedule_costs_no_signature() {
    let world = World::start(&[(1, 5)]).await;
    world.connect_all().await;
    world.until("all devices hold their token", |world| world.all_hold_what_is_wanted()).await;
    let before = world.cost();
    // The world's ladder has all its steps within the next two days; no lease is half over by then.
    for _ in 0..48 {
        world.advance(Seconds(3_600));
        world.touch_without_change(1);
        world.sweep().await;
    }
    assert_eq!(world.cost().since(&before).signatures, 0);
}

#[tokio::test]
async fn lost_messages_are_found_by_what_devices_report() {
    let world = World::start(&[(1, 10)]).await;
    world.broker.lose_everything(true);
    world.connect_all().await;
    world.until("all were sent once", |world| world.broker.taken() >= 10).await;
    world.broker.lose_everything(false);
    assert!(!world.all_hold_what_is_wanted());
    world.advance(RESEND_AFTER);
    world.reports_of_all();
    world.until("all devices hold their token", |world| world.all_hold_what_is_wanted()).await;
    assert_eq!(world.cost().signatures, 10, "lost messages are sent again, not signed again");
}

#[tokio::test]
async fn a_device_that_comes_back_gets_what_it_missed_at_once_and_not_before_it_listens() {
    let world = World::start(&[(1, 1)]).await;
    world.connect_all().await;
    world.until("it holds its token", |world| world.all_hold_what_is_wanted()).await;
    world.disconnect(&cam(0, 0));
    world.change_groups(1);
    world.until("the next is issued", |world| world.cost().signatures == 2).await;
    let before = world.broker.taken();
    world.connect_without_subscribing(&cam(0, 0));
    world.settle().await;
    assert_eq!(world.broker.taken(), before, "nobody listens yet");
    world.connect_silently(&cam(0, 0));
    world.report(&cam(0, 0));
    world.until("it holds what it missed", |world| world.all_hold_what_is_wanted()).await;
    assert_eq!(world.broker.taken(), before + 1);
}

/// Found by the simulated fleet: an answer that was issued for another reason too went out between CONNECT and SUBSCRIBE, was
/// lost, and counted as on its way when the device said what it lacks.
#[tokio::test]
async fn what_went_out_before_a_device_listened_is_sent_again_when_it_does() {
    let world = World::start(&[(1, 1)]).await;
    world.connect_all().await;
    world.until("it holds its token", |world| world.all_hold_what_is_wanted()).await;
    world.sign_nothing(true);
    world.ask(&cam(0, 0), 1);
    world.settle().await;
    world.disconnect(&cam(0, 0));
    world.connect_without_subscribing(&cam(0, 0));
    world.settle().await;
    world.sign_nothing(false);
    world.change_groups(1);
    world.until("the next was issued and lost", |world| world.broker.taken() == 2).await;
    assert!(!world.all_hold_what_is_wanted());
    world.subscribe(&cam(0, 0));
    world.until("it holds it", |world| world.all_hold_what_is_wanted()).await;
    assert_eq!((world.broker.taken(), world.cost().signatures), (3, 2));
}

/// Found by the simulated fleet: what it asked on its last connection was answered into the next, before it listened there,
/// and then counted as on its way.
#[tokio::test]
async fn an_answer_that_was_lost_waits_until_the_device_listens_again() {
    let world = World::start(&[(1, 1)]).await;
    world.connect_all().await;
    world.until("it holds its token", |world| world.all_hold_what_is_wanted()).await;
    world.broker.lose_everything(true);
    world.ask(&cam(0, 0), 1);
    world.until("the answer was sent and lost", |world| world.broker.taken() == 2).await;
    world.broker.lose_everything(false);
    world.disconnect(&cam(0, 0));
    world.connect_without_subscribing(&cam(0, 0));
    world.settle().await;
    assert_eq!(world.broker.taken(), 2, "nobody listens yet");
    world.connect_silently(&cam(0, 0));
    world.report(&cam(0, 0));
    world.until("it has its answer", |world| world.all_hold_what_is_wanted()).await;
    assert_eq!((world.broker.taken(), world.cost().signatures), (3, 2));
}

/// R2: found by the simulated fleet, where a device came up anew while the time was in doubt.
#[tokio::test]
async fn what_was_issued_is_sent_to_whoever_lacks_it_though_nothing_can_be_signed() {
    let world = World::start(&[(1, 1)]).await;
    world.broker.lose_everything(true);
    world.connect_all().await;
    world.until("it was sent once", |world| world.broker.taken() >= 1).await;
    world.broker.lose_everything(false);
    world.sign_nothing(true);
    world.advance(RESEND_AFTER);
    // It asks for a fresh one, which there is not.
    world.ask(&cam(0, 0), 1);
    world.report(&cam(0, 0));
    world.until("it holds what was issued", |world| world.all_hold_what_is_wanted()).await;
    assert_eq!(world.cost().signatures, 1);
    world.sign_nothing(false);
    world.reconciler().sweep();
    world.until("it has its answer", |world| world.cost().signatures == 2).await;
}

#[tokio::test]
async fn a_retired_device_is_told_again_if_the_word_was_lost() {
    let world = World::start(&[(1, 1)]).await;
    world.connect_all().await;
    world.until("it holds its token", |world| world.all_hold_what_is_wanted()).await;
    let before = world.broker.taken();
    world.broker.lose_everything(true);
    world.retire(&cam(0, 0));
    world.until("the word went out", |world| world.broker.taken() > before).await;
    world.settle().await;
    world.broker.lose_everything(false);
    assert!(!world.all_hold_what_is_wanted());
    world.advance(RESEND_AFTER);
    world.until("it was told again", |world| world.all_hold_what_is_wanted()).await;
    world.settle().await;
    assert_eq!(world.broker.taken(), before + 2);
}

#[tokio::test]
async fn a_broker_that_fails_is_retried_by_the_sweep() {
    let world = World::start(&[(1, 10)]).await;
    world.broker.refuse(true);
    world.connect_all().await;
    world.until("all have failed", |world| world.counters().publish_failures.get() >= 10).await;
    world.broker.refuse(false);
    world.reconciler().sweep();
    world.until("all devices hold their token", |world| world.all_hold_what_is_wanted()).await;
    assert_eq!(world.cost().signatures, 10);
}

#[tokio::test]
async fn one_slow_device_holds_up_nobody() {
    let world = World::start(&[(1, 20)]).await;
    world.broker.hang_on(cam(0, 0));
    world.connect_all().await;
    world.until("all others hold their token", |world| world.holding_what_is_wanted() == 19).await;
}

#[tokio::test]
async fn leases_are_renewed_in_time_and_spread() {
    let world = World::start(&[(1, 30)]).await;
    world.connect_all().await;
    world.until("all devices hold their token", |world| world.all_hold_what_is_wanted()).await;
    let before = world.cost();
    world.advance(Seconds(7 * 86_400 * 6 / 10));
    world.until("some are renewed", |world| world.cost().signatures > before.signatures).await;
    world.settle().await;
    let some = world.cost().since(&before).signatures;
    assert!((1..30).contains(&some), "{some} of 30 at 0.6 of the lease");
    world.advance(Seconds(7 * 86_400 / 10));
    world.until("all are renewed", |world| world.cost().since(&before).signatures == 30).await;
    world.until("all devices hold their token", |world| world.all_hold_what_is_wanted()).await;
}

#[tokio::test]
async fn a_nonce_is_answered_once_per_interval() {
    let world = World::start(&[(1, 2)]).await;
    world.connect_all().await;
    world.until("all devices hold their token", |world| world.all_hold_what_is_wanted()).await;
    let before = world.cost();
    for n in 0..50 {
        world.ask(&cam(0, 0), n);
        world.settle().await;
    }
    assert_eq!(world.cost().since(&before).signatures, 1);
    assert_eq!(world.broker.nonce_of(&cam(0, 0)), Some(world::nonce(0)));
    world.advance(Seconds(60));
    world.ask(&cam(0, 0), 99);
    world.until("the next one is answered", |world| world.cost().since(&before).signatures == 2).await;
    world.until("it has arrived", |world| world.broker.nonce_of(&cam(0, 0)) == Some(world::nonce(99))).await;
}

#[tokio::test]
async fn a_lying_device_is_quarantined_and_the_others_are_served() {
    let world = World::start(&[(2, 3)]).await;
    world.connect_all().await;
    world.until("all devices hold their token", |world| world.all_hold_what_is_wanted()).await;
    let before = world.cost();
    let liar = cam(0, 0);
    for _ in 0..5 {
        world.claim(&liar, TokenVersion { epoch: 1, seq: u64::MAX }, None);
        world.ask(&liar, 1);
        world.settle().await;
    }
    world.until("the liar is in quarantine", |world| world.is_quarantined(&liar)).await;
    assert_eq!(world.cost().since(&before).signatures, 0);
    assert_eq!(world.counters().quarantines.get(), 1, "one alarm, not one per report");
    world.change_groups(2);
    world.until("the others have the change", |world| world.holding_what_is_wanted() >= 5).await;
    assert!(!world.reconciler().suspicions().iter().any(|suspicion| suspicion.halts));
    // Saying something plausible ends it.
    world.reports_of_all();
    world.until("the quarantine is over", |world| !world.is_quarantined(&liar)).await;
}

#[tokio::test]
async fn books_restored_from_a_backup_heal_by_themselves() {
    let world = World::start(&[(1, 8)]).await;
    world.connect_all().await;
    world.until("all devices hold their token", |world| world.all_hold_what_is_wanted()).await;
    world.advance(Seconds(3_600));
    world.change_groups(1);
    world.until("the change has arrived", |world| world.all_hold_what_is_wanted()).await;
    world.advance(Seconds(600));
    let world = world.restart_from_first_backup().await;
    world.connect_all().await;
    world
        .until("all devices hold what the restored books want", |world| world.all_hold_what_is_wanted())
        .await;
    assert!(!(0..8).any(|n| world.is_quarantined(&cam(0, n))));
}

#[tokio::test]
async fn a_device_retired_while_offline_is_told_when_it_comes_back_and_once() {
    let world = World::start(&[(1, 2)]).await;
    world.until("tokens are issued", |world| world.cost().signatures == 2).await;
    // G10: the last word is issued at once, and kept for when it connects.
    world.retire(&cam(0, 0));
    world.until("it is issued", |world| world.cost().signatures == 3).await;
    world.advance(Seconds::days(6));
    world.connect_all().await;
    world.until("all hold what is wanted", |world| world.all_hold_what_is_wanted()).await;
    world.sweep().await;
    assert_eq!(world.cost().signatures, 4, "the other one was renewed, the retired one was not");
    world.ask(&cam(0, 0), 1);
    world.until("who asks is answered", |world| world.cost().signatures == 5).await;
}

#[tokio::test]
async fn a_device_that_is_anothers_by_now_gets_what_was_issued_and_no_more() {
    let world = World::start(&[(1, 2)]).await;
    world.until("tokens are issued", |world| world.cost().signatures == 2).await;
    world.lose(&cam(0, 0));
    world.advance(Seconds::days(6));
    world.connect_all().await;
    world.until("both hold a token", |world| world.holders() == 2).await;
    world.ask(&cam(0, 0), 1);
    world.sweep().await;
    assert_eq!(world.cost().signatures, 3, "the other one was renewed, this one was not");
}

#[tokio::test]
async fn a_retaining_broker_gets_every_token_once_without_hearing_devices() {
    let world = World::start_retained(&[(1, 10)]).await;
    world.until("all are retained", |world| world.broker.retained() == 10).await;
    let before = world.cost();
    world.sweep().await;
    world.sweep().await;
    assert_eq!(world.cost().since(&before).publishes, 0);
}

#[tokio::test]
async fn the_keyring_goes_out_at_start_on_change_and_to_who_lacks_it() {
    let world = World::start(&[(1, 1)]).await;
    world.until("the first keyring is out", |world| world.broker.keyring() == Some(1)).await;
    world.publish_keyring(2);
    world.until("the second keyring is out", |world| world.broker.keyring() == Some(2)).await;
}

/// Nobody lacks it, so an hour of sweeps by the clock sends it to nobody; one that starts from nothing does.
#[tokio::test(start_paused = true)]
async fn a_sweep_by_the_clock_sends_nothing_to_everybody() {
    let world = World::start(&[(1, 1)]).await;
    world.connect_all().await;
    world.until("all devices hold their token", |world| world.all_hold_what_is_wanted()).await;
    world.until("the keyring is out", |world| world.broker.keyrings() == 1).await;
    for hour in 1..=3 {
        let before = world.counters().sweeps.get();
        tokio::time::advance(Duration::from_secs(3_600)).await;
        world.until("the clock sweeps", |world| world.counters().sweeps.get() > before).await;
        world.settle_documents().await;
        assert_eq!(world.broker.keyrings(), 1, "hour {hour}");
    }
    world.sweep().await;
    world.until("the keyring is out again", |world| world.broker.keyrings() == 2).await;
}

#[tokio::test]
async fn what_devices_said_is_known_after_a_restart() {
    let world = World::start(&[(1, 3)]).await;
    world.connect_all().await;
    world.until("all devices hold their token", |world| world.all_hold_what_is_wanted()).await;
    world.reports_of_all();
    world.settle().await;
    let world = world.restart().await;
    let status = world.reconciler().status(&cam(0, 0)).unwrap();
    assert_eq!(status.report.unwrap().held, status.issued.map(|issued| issued.version));
    assert_eq!(status.link, Link::Unknown);
    world.sweep().await;
    assert_eq!(world.cost().publishes, 0);
}

#[tokio::test]
async fn a_raised_epoch_is_followed_at_once_and_work_that_people_wait_for_goes_first() {
    let world = World::start(&[(30, 40)]).await;
    world.connect_all().await;
    world.until("all devices hold their token", |world| world.all_hold_what_is_wanted()).await;
    let before = world.cost();
    world.publish_documents(1, 2, 5);
    world.change_groups(1);
    world
        .until("all devices hold a token of the new epoch", |world| {
            world.all_hold_what_is_wanted()
                && (0..30).all(|group| {
                    (0..40).all(|n| world.holds(&cam(group, n)).is_some_and(|held| held.epoch == 5))
                })
        })
        .await;
    let cost = world.cost().since(&before);
    // Once each, and the group that changed meanwhile at most twice.
    assert!((1_200..=1_240).contains(&cost.signatures), "{cost:?}");
    assert!(
        world.most_at_once() <= 8,
        "never more under way than the settings allow: {}",
        world.most_at_once()
    );
    world.sweep().await;
    assert_eq!(world.cost().since(&before).signatures, cost.signatures, "and then nothing more");
}

#[tokio::test]
async fn roots_go_out_in_order_before_their_keyring_and_again_from_where_a_device_stands() {
    let world = World::start(&[(1, 2)]).await;
    world.until("the keyring is out", |world| world.broker.keyring() == Some(1)).await;
    assert!(world.broker.roots().is_empty(), "root 1 comes with the device");
    world.publish_documents(3, 2, 1);
    world.until("the new keyring is out", |world| world.broker.keyring() == Some(2)).await;
    assert_eq!(world.broker.roots(), [2, 3]);
    // Who holds everything costs nothing; who is behind gets the rest, but not at once again.
    world.holds_documents(&cam(0, 0), 3, 2);
    world.sweep().await;
    assert_eq!(world.broker.roots(), [2, 3]);
    world.publish_documents(4, 3, 1);
    world.until("the newest keyring is out", |world| world.broker.keyring() == Some(3)).await;
    assert_eq!(world.broker.roots(), [2, 3, 4], "only what is new");
}

#[tokio::test]
async fn a_stored_token_whose_key_was_revoked_is_issued_anew_and_not_sent() {
    let world = World::start(&[(1, 3)]).await;
    world.broker.lose_everything(true);
    world.connect_all().await;
    world.until("all were sent once", |world| world.broker.taken() >= 3).await;
    world.broker.lose_everything(false);
    world.revoke_key_of_stored_tokens(true);
    let before = world.cost();
    world.advance(RESEND_AFTER);
    world.reports_of_all();
    world.until("all devices hold their token", |world| world.all_hold_what_is_wanted()).await;
    let cost = world.cost().since(&before);
    assert_eq!((cost.signatures, cost.publishes), (3, 3));
    // Another's device has nothing to be issued; what it was to be told stays untold rather than being asked for ever.
    let world = world.restart().await;
    world.lose(&cam(0, 0));
    world.settle().await;
}
