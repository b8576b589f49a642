//! What time does by itself, and what a wrong clock cannot do.

use super::*;
use coterm_shared::time::Seconds;

#[tokio::test]
async fn transitions_happen_at_their_own_instants_even_after_a_long_downtime() {
    let (books, clock, dir) = fresh().await;
    run(&books, [set_price(), issue_key(1, 365), create_site(1), claim_key(1, 1), claim_device(1, 7)]).await;
    let coterm_at = clock.now().saturating_add(Seconds::days(365));
    let quiet = books.log(organization(2), 0, 10).await.unwrap();
    books.close().await;

    clock.advance(Seconds::days(700));
    let books = open(&dir.path().join("books.db"), &clock);
    books.confirm_time().await.unwrap();
    books.tick().await.unwrap();
    let story = story(&books, 1).await;
    let at_the_end: Vec<_> =
        story.iter().filter(|(_, at)| *at == coterm_at).map(|(name, _)| name.as_str()).collect();
    assert_eq!(at_the_end, ["term-ended", "group-assessed"]);
    // Grace, lock and stop each have their own instant, long past by now.
    let later: Vec<_> = story.iter().filter(|(_, at)| *at > coterm_at).collect();
    assert!(!later.is_empty() && later.iter().all(|(_, at)| *at < clock.now()), "{later:?}");
    let next = books.organization(organization(1)).unwrap().next_due();
    assert!(next.is_none_or(|at| at > clock.now()), "{next:?}");
    assert_eq!(books.log(organization(2), 0, 10).await.unwrap(), quiet, "others are left alone");

    let lines = books.log(organization(1), 0, LOG_PAGE_MAX).await.unwrap();
    assert_eq!(lines.last().unwrap().actor, "system:clock");
    assert_eq!(lines.last().unwrap().recorded_at, clock.now());
    books.tick().await.unwrap();
    assert_eq!(books.log(organization(1), 0, LOG_PAGE_MAX).await.unwrap(), lines, "nothing happens twice");
}

#[tokio::test]
async fn the_writer_wakes_by_itself() {
    let (books, clock, _dir) = fresh().await;
    run(&books, [set_price(), issue_key(1, 30), create_site(1), claim_key(1, 1), claim_device(1, 7)]).await;
    let before = books.organization(organization(1)).unwrap().version();
    clock.advance(Seconds::days(31));
    eventually("the end of the term", || books.organization(organization(1)).unwrap().version() > before)
        .await;
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_take_time_back() {
    let (books, clock, dir) = fresh().await;
    clock.advance(Seconds::days(10));
    run(&books, [create_group(1, 2)]).await;
    let latest = books.now();
    clock.set(NOW.parse().unwrap());
    assert_eq!(books.now(), latest);
    run(&books, [create_group(1, 3)]).await;
    books.close().await;
    let books = open(&dir.path().join("books.db"), &clock);
    assert_eq!(books.now(), latest);
    run(&books, [create_group(1, 4)]).await;
    let instants: Vec<_> = story(&books, 1).await.into_iter().map(|(_, at)| at).collect();
    assert!(instants.is_sorted(), "{instants:?}");
    // What is made anew, such as certificates, is not made in a future that is none, once somebody confirmed the clock.
    assert!(matches!(books.believed(), (at, Some(_)) if at >= latest));
    books.confirm_time().await.unwrap();
    assert_eq!(books.believed(), (NOW.parse().unwrap(), None));
    assert_eq!(books.now(), latest);
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_ends_no_term_and_taken_back_leaves_no_trace() {
    let (books, clock, dir) = fresh().await;
    run(&books, [set_price(), issue_key(1, 365), create_site(1), claim_key(1, 1), claim_device(1, 7)]).await;
    let truth = clock.now();
    let version = books.organization(organization(1)).unwrap().version();
    clock.set(truth.saturating_add(Seconds::days(800)));
    books.tick().await.unwrap();
    assert_eq!(books.organization(organization(1)).unwrap().version(), version, "no term has ended");
    // Work goes on by the time that really passed.
    run(&books, [create_group(1, 2)]).await;
    assert_eq!(books.now(), truth);
    assert!(books.time_doubt().is_some());
    // The time server sees to it, and an operator confirms.
    clock.set(truth);
    clock.advance(Seconds(60));
    books.confirm_time().await.unwrap();
    books.tick().await.unwrap();
    assert_eq!(books.now(), truth.saturating_add(Seconds(60)));
    books.close().await;
    let books = open(&dir.path().join("books.db"), &clock);
    assert_eq!(books.now(), truth.saturating_add(Seconds(60)), "nothing of the jump is on disk");
}

#[tokio::test]
async fn after_a_start_with_a_clock_far_ahead_nothing_is_decided_until_someone_confirms() {
    let (books, clock, dir) = fresh().await;
    run(&books, [set_price(), issue_key(1, 365), create_site(1), claim_key(1, 1), claim_device(1, 7)]).await;
    let (truth, version) = (clock.now(), books.organization(organization(1)).unwrap().version());
    books.close().await;
    // The machine starts before its clock is set.
    clock.reboot();
    clock.set(truth.saturating_add(Seconds::days(800)));
    let books = open(&dir.path().join("books.db"), &clock);
    books.tick().await.unwrap();
    assert_eq!(books.organization(organization(1)).unwrap().version(), version, "no term has ended");
    // A change would be dated to the last event, and cost whoever makes it the time since.
    assert_eq!(code_of(&books, ask(create_group(1, 2))).await, "TIME_IN_DOUBT");
    clock.set(truth.saturating_add(Seconds(60)));
    assert_eq!(code_of(&books, ask(create_group(1, 2))).await, "TIME_IN_DOUBT");
    books.confirm_time().await.unwrap();
    run(&books, [create_group(1, 2)]).await;
    assert_eq!(books.now(), truth.saturating_add(Seconds(60)));
}

/// Token §3: a restart is no way around a doubt.
#[tokio::test]
async fn a_doubt_survives_restarts_and_ends_with_a_confirmation_for_good() {
    let (books, clock, dir) = fresh().await;
    let path = dir.path().join("books.db");
    let truth = clock.now();
    clock.set(truth.saturating_add(Seconds::days(20)));
    assert!(books.time_doubt().is_some());
    books.close().await;
    // Twenty days are less than the outage that is asked about.
    clock.advance(Seconds(30));
    let books = open(&path, &clock);
    assert!(matches!(books.time_doubt(), Some(TimeDoubt::Stepped { .. })));
    assert_eq!(books.now(), truth.saturating_add(Seconds(30)), "the boot clock went on");
    run(&books, [create_group(1, 2)]).await;
    books.close().await;
    clock.reboot();
    let books = open(&path, &clock);
    assert!(matches!(books.time_doubt(), Some(TimeDoubt::Unsettled { .. })));
    assert_eq!(code_of(&books, ask(create_group(1, 3))).await, "TIME_IN_DOUBT");
    clock.set(truth.saturating_add(Seconds(90)));
    books.confirm_time().await.unwrap();
    books.close().await;
    let books = open(&path, &clock);
    assert_eq!(books.time_doubt(), None);
    assert_eq!(books.now(), truth.saturating_add(Seconds(90)));
}

#[tokio::test]
async fn a_start_with_a_dead_battery_is_asked_about() {
    let (books, clock, dir) = fresh().await;
    let truth = books.now();
    books.close().await;
    clock.reboot();
    clock.set(Timestamp::from_secs(60).unwrap());
    let books = open(&dir.path().join("books.db"), &clock);
    assert!(matches!(books.time_doubt(), Some(TimeDoubt::Behind { .. })));
    assert_eq!(code_of(&books, ask(create_group(1, 2))).await, "TIME_IN_DOUBT");
    assert_eq!(books.now(), truth, "time does not go back");
}
