//! Changes, conditions, repetitions, and what spans organizations.

use super::*;

#[tokio::test]
async fn a_change_is_seen_logged_and_there_after_a_restart() {
    let (books, clock, dir) = fresh().await;
    let done = books.execute(ask(create_group(1, 2))).await.unwrap();
    assert_eq!(done.version, 2);
    assert_eq!(done.organization.as_ref(), books.organization(organization(1)).as_ref());

    let log = books.log(organization(1), 0, 10).await.unwrap();
    assert_eq!(log.iter().map(|line| line.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((log[1].actor.as_str(), log[1].request_id.as_str()), ("user:ada", "req-1"));
    assert_eq!(books.log(organization(1), 1, 10).await.unwrap(), log[1..]);
    assert_eq!(books.verify_log(Some(organization(1))).await.unwrap().unwrap().entries, 2);
    assert_eq!(books.verify_log(None).await.unwrap().unwrap().entries, 2);
    assert_eq!(books.platform_log(0, 10).await.unwrap().len(), 2);

    let before = books.organization(organization(1));
    let platform = books.platform();
    books.close().await;
    assert_eq!(code_of(&books, ask(create_group(1, 3))).await, "CLOSED");
    let books = open(&dir.path().join("books.db"), &clock);
    assert_eq!(books.organization(organization(1)), before);
    assert_eq!(books.platform(), platform);
    assert_eq!(books.organizations(), [organization(1), organization(2)]);
}

#[tokio::test]
async fn a_refused_change_leaves_no_trace() {
    let (books, _clock, _dir) = fresh().await;
    let before = books.organization(organization(1)).unwrap();
    assert_eq!(code_of(&books, ask(found(1))).await, "ID_TAKEN");
    assert_eq!(code_of(&books, ask(create_group(9, 2))).await, "ORGANIZATION_NOT_FOUND");
    assert_eq!(code_of(&books, ask(retire_device(1, 1))).await, "DEVICE_NOT_FOUND");
    assert_eq!(books.organization(organization(1)), Some(before));
    assert_eq!(books.log(organization(1), 0, 10).await.unwrap().len(), 1);
    assert_eq!(books.platform_log(0, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_change_on_an_old_version_is_refused() {
    let (books, _clock, _dir) = fresh().await;
    let at = |version, change| Request { expected_version: Some(version), ..ask(change) };
    books.execute(at(1, create_group(1, 2))).await.unwrap();
    let refused = books.execute(at(1, create_group(1, 3))).await.unwrap_err();
    assert!(matches!(refused, BooksError::VersionConflict { expected: 1, actual: 2 }), "{refused}");
    assert_eq!(refused.code(), "VERSION_CONFLICT");
    // The platform has a version of its own.
    assert_eq!(code_of(&books, at(1, set_price())).await, "VERSION_CONFLICT");
    books.execute(at(2, set_price())).await.unwrap();
}

#[tokio::test]
async fn a_repeated_request_is_answered_alike_and_does_nothing() {
    let (books, clock, dir) = fresh().await;
    let first = books.execute(keyed(create_group(1, 2), "k", 1)).await.unwrap();
    let response = first.response.unwrap();
    assert_eq!((response.status, response.body.as_slice()), (201, b"version 2".as_slice()));
    assert_eq!(first.replayed, None);

    let again = books.execute(keyed(create_group(1, 2), "k", 1)).await.unwrap();
    assert_eq!(again.replayed, Some(response.clone()));
    assert!(again.events.is_empty());
    assert_eq!(code_of(&books, keyed(create_group(1, 3), "k", 2)).await, "IDEMPOTENCY_KEY_REUSED");

    // A refusal is not kept: the request may succeed later.
    assert_eq!(code_of(&books, keyed(create_group(9, 2), "later", 3)).await, "ORGANIZATION_NOT_FOUND");
    books.execute(ask(found(9))).await.unwrap();
    assert_eq!(books.execute(keyed(create_group(9, 2), "later", 3)).await.unwrap().replayed, None);

    // Keys of different principals never meet.
    let mut other = keyed(create_group(1, 4), "k", 4);
    other.idempotency.as_mut().unwrap().principal = "bob".to_owned();
    assert_eq!(books.execute(other).await.unwrap().replayed, None);

    books.close().await;
    let books = open(&dir.path().join("books.db"), &clock);
    let again = books.execute(keyed(create_group(1, 2), "k", 1)).await.unwrap();
    assert_eq!(again.replayed, Some(response));
    assert_eq!(again.version, 3);
}

#[tokio::test]
async fn the_same_request_twice_in_one_group_happens_once() {
    let (books, _clock, _dir) = fresh().await;
    let held = hold_writer(&books).await;
    let first = queue(&books, keyed(create_group(1, 2), "k", 1));
    let second = queue(&books, keyed(create_group(1, 2), "k", 1));
    held.release().await;
    assert_eq!(first.await.unwrap().unwrap().replayed, None);
    assert!(second.await.unwrap().unwrap().replayed.is_some());
    assert_eq!(books.log(organization(1), 0, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_device_is_claimed_in_one_organization_at_a_time() {
    let (books, _clock, _dir) = fresh().await;
    run(&books, [create_site(1), create_site(2), claim_device(1, 7)]).await;
    assert_eq!(code_of(&books, ask(claim_device(2, 7))).await, "DEVICE_ALREADY_CLAIMED");
    assert_eq!(code_of(&books, ask(claim_device(1, 7))).await, "DEVICE_ALREADY_CLAIMED");
    assert_eq!(books.preview(claim_device(2, 7)).await.unwrap_err().code(), "DEVICE_ALREADY_CLAIMED");
    run(&books, [retire_device(1, 7), claim_device(2, 7)]).await;
}

#[tokio::test]
async fn an_unknown_key_and_one_claimed_elsewhere_answer_alike() {
    let (books, _clock, _dir) = fresh().await;
    run(&books, [set_price(), issue_key(1, 365), claim_key(1, 1)]).await;
    let unknown = books.execute(ask(claim_key(2, 99))).await.unwrap_err();
    let elsewhere = books.execute(ask(claim_key(2, 1))).await.unwrap_err();
    let previewed = books.preview(claim_key(2, 1)).await.unwrap_err();
    assert_eq!(unknown.code(), "KEY_NOT_CLAIMABLE");
    assert_eq!(format!("{unknown:?}"), format!("{elsewhere:?}"));
    assert_eq!(format!("{unknown:?}"), format!("{previewed:?}"));
    // Its own organization is told more.
    assert_eq!(code_of(&books, ask(claim_key(1, 1))).await, "KEY_ALREADY_CLAIMED");
}

#[tokio::test]
async fn a_preview_says_what_would_happen_and_changes_nothing() {
    let (books, _clock, _dir) = fresh().await;
    run(&books, [set_price(), issue_key(1, 365), create_site(1), claim_device(1, 7)]).await;
    let before = books.organization(organization(1)).unwrap();
    let preview = books.preview(claim_key(1, 1)).await.unwrap().unwrap();
    assert_eq!(books.organization(organization(1)), Some(before));

    let done = books.execute(ask(claim_key(1, 1))).await.unwrap();
    let names: Vec<_> = done.events.iter().map(|dated| dated.event.name().to_owned()).collect();
    assert_eq!(preview.events, names);
    assert!(books.preview(found(3)).await.unwrap().is_none());
    assert_eq!(books.preview(found(1)).await.unwrap_err().code(), "ID_TAKEN");
}

#[tokio::test]
async fn subscribers_learn_what_changed_once_it_is_committed() {
    let (books, _clock, _dir) = fresh().await;
    let mut feed = books.subscribe();
    run(&books, [create_site(1), claim_device(1, 7)]).await;
    let touches = feed.changed().await;
    assert_eq!(touches.keys().collect::<Vec<_>>(), [&organization(1)]);
    let Some(Touch::Some { devices, .. }) = touches.get(&organization(1)) else { panic!("{touches:?}") };
    assert!(devices.contains(&device(7)));
    assert_eq!(code_of(&books, ask(claim_device(1, 7))).await, "DEVICE_ALREADY_CLAIMED");
    assert!(feed.take().is_empty());
}

#[tokio::test]
async fn more_than_is_bearable_is_refused_at_once() {
    let (books, _clock, _dir) = fresh().await;
    let held = hold_writer(&books).await;
    let waiting: Vec<_> = (0..QUEUE).map(|_| queue(&books, ask(to(1, Command::Materialize)))).collect();
    assert_eq!(code_of(&books, ask(create_group(1, 2))).await, "BUSY");
    held.release().await;
    for answer in waiting {
        answer.await.unwrap().unwrap();
    }
    books.execute(ask(create_group(1, 2))).await.unwrap();
}

#[tokio::test]
async fn a_start_needs_no_snapshot_and_trusts_only_its_own() {
    let (books, clock, dir) = fresh().await;
    let path = dir.path().join("books.db");
    let reader = SqliteStore::open_reader(&path).unwrap();
    let stream = StreamId::from(organization(1));
    run(&books, (2..300).map(|n| create_group(1, n))).await;
    eventually("a snapshot", || reader.snapshot(stream).unwrap().is_some()).await;
    run(&books, [create_group(1, 300)]).await;
    let before = books.organization(organization(1));
    books.close().await;

    let kept = reader.snapshot(stream).unwrap().unwrap();
    assert!(kept.version >= 256 && kept.version < 300, "{}", kept.version);
    let reopened = open(&path, &clock);
    assert_eq!(reopened.organization(organization(1)), before);
    reopened.close().await;
    for (schema, version, body) in [
        (kept.schema + 1, kept.version, kept.body.clone()),
        (kept.schema, kept.version, b"junk".to_vec()),
        (kept.schema, kept.version - 1, kept.body.clone()),
    ] {
        let mut store = SqliteStore::open(&path).unwrap();
        let mut tx = store.begin().unwrap();
        crate::store::Transaction::save_snapshot(
            &mut tx,
            stream,
            &crate::store::Snapshot { schema, version, body },
        )
        .unwrap();
        crate::store::Transaction::commit(tx).unwrap();
        drop(store);
        let reopened = open(&path, &clock);
        assert_eq!(reopened.organization(organization(1)), before);
        reopened.close().await;
    }
}
