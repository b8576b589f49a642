//! Two clients at once: exactly one wins, the other is told so with a code, and the books are as if they had queued.

use super::world::{Answer, World};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

/// Sends two requests so that both are under way before either is answered; the winner comes first.
async fn both(
    world: &World,
    first: (&str, Method, &str, Value, &[(&str, &str)]),
    second: (&str, Method, &str, Value, &[(&str, &str)]),
) -> [Answer; 2] {
    let (token, method, path, body, headers) = first;
    let one = world.call_with(token, method, path, body, headers);
    let (token, method, path, body, headers) = second;
    let other = world.call_with(token, method, path, body, headers);
    let (one, other) = tokio::join!(one, other);
    if one.status.is_success() { [one, other] } else { [other, one] }
}

#[tokio::test]
async fn two_that_saw_the_same_version_do_not_both_write() {
    let world = World::new().await;
    let group = world.get(&world.admin, &world.at("")).await.text("/default_group");
    let path = world.at(&format!("/groups/{group}"));
    let seen = world.get(&world.admin, &path).await.header("etag").to_owned();
    let headers = [("if-match", seen.as_str())];
    let rename =
        |token, name: &str| (token, Method::PATCH, path.as_str(), json!({ "name": name }), &headers[..]);
    let [winner, loser] =
        both(&world, rename(world.admin.as_str(), "North"), rename(world.vendor.as_str(), "South")).await;
    assert_eq!(winner.status, StatusCode::OK);
    assert_eq!((loser.status, loser.code()), (StatusCode::PRECONDITION_FAILED, "VERSION_CONFLICT"));
    let shown = world.get(&world.admin, &path).await;
    assert_eq!(shown.text("/name"), winner.text("/name"));
    let log = world.get(&world.admin, &world.at("/transactions?event=group-renamed")).await;
    assert_eq!(log.body["items"].as_array().unwrap().len(), 1, "the loser left nothing");
}

#[tokio::test]
async fn two_that_saw_the_same_preview_do_not_both_apply_it() {
    let world = World::new().await;
    let group = world.get(&world.admin, &world.at("")).await.text("/default_group");
    let (path, dry) = (world.at("/keys/claim"), world.at("/keys/claim?dry_run=true"));
    let claims = [1, 2].map(|quantity| {
        let (world, group) = (&world, &group);
        async move { json!({ "code": world.issue(quantity, 365).await, "group": group }) }
    });
    let [one, other] = claims;
    let (one, other) = (one.await, other.await);
    let shown = [
        world.ok(&world.admin, Method::POST, &dry, one.clone()).await.text("/digest"),
        world.ok(&world.vendor, Method::POST, &dry, other.clone()).await.text("/digest"),
    ];
    let [first, second] = shown.each_ref().map(|digest| [("preview-digest", digest.as_str())]);
    let one = (world.admin.as_str(), Method::POST, path.as_str(), one, &first[..]);
    let other = (world.vendor.as_str(), Method::POST, path.as_str(), other, &second[..]);
    let [winner, loser] = both(&world, one, other).await;
    assert_eq!(winner.status, StatusCode::CREATED, "{}", winner.text);
    assert_eq!((loser.status, loser.code()), (StatusCode::CONFLICT, "PREVIEW_OUTDATED"));
    let shown = world.get(&world.admin, &world.at(&format!("/groups/{group}"))).await;
    assert_eq!(shown.body["capacity"]["camera"], winner.body["lines"][0]["quantity"]);
    assert_eq!(shown.body["active_keys"], 1);
}

#[tokio::test]
async fn one_key_and_one_device_go_to_one_of_two_who_claim_them() {
    let world = World::new().await;
    let code = json!({ "code": world.issue(5, 365).await });
    let foreign = |rest: &str| format!("/api/v1/organizations/{}{rest}", world.foreign);
    let (own_claim, foreign_claim) = (world.at("/keys/claim"), foreign("/keys/claim"));
    let one = (world.admin.as_str(), Method::POST, own_claim.as_str(), code.clone(), &[][..]);
    let other = (world.vendor.as_str(), Method::POST, foreign_claim.as_str(), code.clone(), &[][..]);
    let [winner, loser] = both(&world, one, other).await;
    assert_eq!(winner.status, StatusCode::CREATED, "{}", winner.text);
    // A key claimed elsewhere is as unknown (domain K1).
    assert_eq!((loser.status, loser.code()), (StatusCode::NOT_FOUND, "KEY_NOT_CLAIMABLE"));
    let keys = |answer: Answer| answer.body["items"].as_array().unwrap().len();
    let held = [
        world.get(&world.vendor, &world.at("/keys")).await,
        world.get(&world.vendor, &foreign("/keys")).await,
    ];
    assert_eq!(held.map(keys).iter().sum::<usize>(), 1, "it was claimed once");

    let own_site = world.site("Depot").await;
    let site =
        world.ok(&world.vendor, Method::POST, &foreign("/sites"), json!({"name": "Yard"})).await.text("/id");
    let device = |site: &str| json!({"id": "cam-1", "site": site, "model": "CAM-1"});
    let (own_devices, foreign_devices) = (world.at("/devices"), foreign("/devices"));
    let one = (world.admin.as_str(), Method::POST, own_devices.as_str(), device(&own_site), &[][..]);
    let other = (world.vendor.as_str(), Method::POST, foreign_devices.as_str(), device(&site), &[][..]);
    let [winner, loser] = both(&world, one, other).await;
    assert_eq!(winner.status, StatusCode::CREATED);
    assert_eq!((loser.status, loser.code()), (StatusCode::CONFLICT, "DEVICE_ALREADY_CLAIMED"));
}

#[tokio::test]
async fn one_request_sent_twice_at_once_is_done_once() {
    let world = World::new().await;
    let headers = [("idempotency-key", "k-1")];
    let token = json!({"name": "ci", "role": "org-viewer", "organization": world.org});
    for (path, body) in
        [(world.at("/sites"), json!({"name": "Depot"})), (String::from("/api/v1/api-tokens"), token)]
    {
        let same = || (world.admin.as_str(), Method::POST, path.as_str(), body.clone(), &headers[..]);
        let [one, other] = both(&world, same(), same()).await;
        assert_eq!((one.status, other.status), (StatusCode::CREATED, StatusCode::CREATED), "{}", other.text);
        assert_eq!(one.text("/id"), other.text("/id"), "{path}");
        let replayed = [&one, &other].map(|answer| answer.header("idempotent-replayed") == "true");
        assert_eq!(replayed.iter().filter(|again| **again).count(), 1, "{path}");
    }
}
