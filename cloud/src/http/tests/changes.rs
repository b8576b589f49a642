//! Twice is once, a preview changes nothing, and nobody overwrites what they have not seen.

use super::world::World;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn a_repeated_request_is_answered_alike_and_does_nothing() {
    let world = World::new().await;
    let (path, body, key) = (world.at("/groups"), json!({"name": "North"}), [("idempotency-key", "k-1")]);
    let first = world.call_with(&world.admin, Method::POST, &path, body.clone(), &key).await;
    let second = world.call_with(&world.admin, Method::POST, &path, body.clone(), &key).await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!((second.status, &second.body), (first.status, &first.body));
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!(world.get(&world.admin, &path).await.body["items"].as_array().unwrap().len(), 2);

    let other = world.call_with(&world.admin, Method::POST, &path, json!({"name": "South"}), &key).await;
    assert_eq!((other.status, other.code()), (StatusCode::CONFLICT, "IDEMPOTENCY_KEY_REUSED"));
    // Another principal's key is another key.
    let theirs = world.call_with(&world.vendor, Method::POST, &path, body, &key).await;
    assert_eq!((theirs.status, theirs.code()), (StatusCode::CONFLICT, "NAME_TAKEN"));
}

#[tokio::test]
async fn a_repetition_is_answered_alike_after_a_restart_too() {
    let mut world = World::new().await;
    let token = json!({"name": "ci", "role": "org-viewer", "organization": world.org});
    let code = json!({ "code": world.issue(1, 365).await });
    let requests = [
        (world.at("/groups"), json!({"name": "North"})),
        (world.at("/keys/claim"), code),
        (world.at("/sites"), json!({"name": "Depot"})),
        (String::from("/api/v1/api-tokens"), token),
    ];
    let mut firsts = Vec::new();
    for (n, (path, body)) in requests.iter().enumerate() {
        let key = format!("k-{n}");
        let headers = [("idempotency-key", key.as_str())];
        let first = world.call_with(&world.admin, Method::POST, path, body.clone(), &headers).await;
        assert_eq!(first.status, StatusCode::CREATED, "{path}: {}", first.text);
        firsts.push(first);
    }
    let version = world.get(&world.admin, &world.at("")).await.header("etag").to_owned();
    world.restart().await;
    for (n, ((path, body), first)) in requests.iter().zip(firsts).enumerate() {
        let key = format!("k-{n}");
        let headers = [("idempotency-key", key.as_str())];
        let again = world.call_with(&world.admin, Method::POST, path, body.clone(), &headers).await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (first.status, "true"), "{path}");
        assert_eq!(again.text("/id"), first.text("/id"), "{path}");
        let other = world.call_with(&world.admin, Method::POST, path, json!({"name": "x"}), &headers).await;
        assert_eq!(
            other.status,
            if n == 1 { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::CONFLICT }
        );
    }
    assert_eq!(
        world.get(&world.admin, &world.at("")).await.header("etag"),
        version,
        "nothing was done twice"
    );
}

#[tokio::test]
async fn what_is_shown_once_is_not_shown_by_a_repetition() {
    let world = World::new().await;
    let key = [("idempotency-key", "k-2")];
    let order =
        json!({"order_number": "SO-1", "term_days": 365, "lines": [{"product": "camera", "quantity": 1}]});
    let first = world.call_with(&world.vendor, Method::POST, "/api/v1/keys", order.clone(), &key).await;
    let second = world.call_with(&world.vendor, Method::POST, "/api/v1/keys", order, &key).await;
    assert_eq!((first.text("/id"), second.status), (second.text("/id"), StatusCode::CREATED));
    assert!(!second.text.contains(&first.text("/code")) && second.text("/code").starts_with("*****"));

    let body = json!({"name": "ci", "role": "org-viewer", "organization": world.org});
    let first = world.call_with(&world.admin, Method::POST, "/api/v1/api-tokens", body.clone(), &key).await;
    assert!(first.text("/token").starts_with("ctk_"));
    let second = world.call_with(&world.admin, Method::POST, "/api/v1/api-tokens", body, &key).await;
    assert_eq!((second.status, second.header("idempotent-replayed")), (StatusCode::CREATED, "true"));
    assert_eq!((second.text("/id"), &second.body["token"]), (first.text("/id"), &Value::Null));
    let other = json!({"name": "other", "role": "org-viewer", "organization": world.org});
    let other = world.call_with(&world.admin, Method::POST, "/api/v1/api-tokens", other, &key).await;
    assert_eq!((other.status, other.code()), (StatusCode::CONFLICT, "IDEMPOTENCY_KEY_REUSED"));
    // Revoking with that key is another request too.
    let (path, id) = (format!("/api/v1/api-tokens/{}", first.text("/id")), first.text("/id"));
    let revoke = world.call_with(&world.admin, Method::DELETE, &path, Value::Null, &key).await;
    assert_eq!((revoke.status, revoke.code()), (StatusCode::CONFLICT, "IDEMPOTENCY_KEY_REUSED"));
    let listed = world.get(&world.admin, "/api/v1/api-tokens").await;
    assert!(!listed.text.contains("ctk_") && listed.text.contains(&id));
    assert_eq!(listed.text.matches("\"ci\"").count(), 1);

    let device = json!({"id": "cam-1", "site": world.site("Depot").await, "model": "CAM-1"});
    world.ok(&world.admin, Method::POST, &world.at("/devices"), device).await;
    let (path, key) = (world.at("/devices/cam-1/provision"), [("idempotency-key", "k-3")]);
    let first = world.call_with(&world.admin, Method::POST, &path, Value::Null, &key).await;
    let second = world.call_with(&world.admin, Method::POST, &path, Value::Null, &key).await;
    assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!(first.text("/certificate/serial"), second.text("/certificate/serial"));
    assert!(first.text.contains("PRIVATE KEY") && !second.text.contains("PRIVATE KEY"));

    let confirm = "/api/v1/time/confirm";
    for (key, replayed) in [("k-4", ""), ("k-4", "true")] {
        let headers = [("idempotency-key", key)];
        let answer = world.call_with(&world.vendor, Method::POST, confirm, Value::Null, &headers).await;
        assert_eq!((answer.status, answer.header("idempotent-replayed")), (StatusCode::NO_CONTENT, replayed));
    }
}

#[tokio::test]
async fn a_dry_run_shows_the_deed_and_changes_nothing() {
    let world = World::new().await;
    let code = world.issue(5, 730).await;
    let before = world.get(&world.admin, &world.at("")).await;
    let claim = json!({ "code": code, "group": before.text("/default_group") });
    let preview =
        world.ok(&world.admin, Method::POST, &world.at("/keys/claim?dry_run=true"), claim.clone()).await;
    assert_eq!(preview.status, StatusCode::OK);
    let group = &preview.body["groups"][0];
    assert_eq!(
        (&group["before"]["coterm_at"], &group["after"]["coterm_at"]),
        (&Value::Null, &json!("2028-12-31T00:00:00Z"))
    );
    assert_eq!(group["after"]["capacity"], json!({"camera": 5}));
    for (method, path, body) in [
        (Method::POST, "/groups", json!({"name": "North"})),
        (Method::POST, "/sites", json!({"name": "Depot"})),
        (Method::PATCH, "/settings", json!({"grace_secs": 86_400})),
    ] {
        let path = world.at(&format!("{path}?dry_run=true"));
        assert_eq!(world.ok(&world.admin, method, &path, body).await.status, StatusCode::OK, "{path}");
    }
    let founding = json!({"name": "Third"});
    world.ok(&world.vendor, Method::POST, "/api/v1/organizations?dry_run=true", founding).await;
    assert_eq!(world.books.organizations().len(), 2);
    assert_eq!(world.get(&world.admin, &world.at("")).await.body, before.body);

    // A preview refuses what the deed would refuse.
    let refused =
        world.call(&world.admin, Method::POST, &world.at("/groups?dry_run=true"), json!({"name": ""})).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::UNPROCESSABLE_ENTITY, "NAME_INVALID"));
    // The deed that was shown, on exactly what was seen.
    let seen = preview.header("etag").to_owned();
    let headers = [("if-match", seen.as_str())];
    let done = world.call_with(&world.admin, Method::POST, &world.at("/keys/claim"), claim, &headers).await;
    assert_eq!(done.status, StatusCode::CREATED, "{}", done.text);
}

#[tokio::test]
async fn nobody_overwrites_what_they_have_not_seen() {
    let world = World::new().await;
    let tag = world.get(&world.admin, &world.at("")).await.header("etag").to_owned();
    let current = [("if-match", tag.as_str())];
    let made = world
        .call_with(&world.admin, Method::POST, &world.at("/groups"), json!({"name": "A"}), &current)
        .await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_ne!(made.header("etag"), tag);
    for (query, name) in [("", "B"), ("?dry_run=true", "B")] {
        let path = world.at(&format!("/groups{query}"));
        let stale = world.call_with(&world.admin, Method::POST, &path, json!({"name": name}), &current).await;
        assert_eq!(
            (stale.status, stale.code()),
            (StatusCode::PRECONDITION_FAILED, "VERSION_CONFLICT"),
            "{query}"
        );
    }
    for odd in ["W/\"v1\"", "v1", "\"1\"", "\"v-1\""] {
        let headers = [("if-match", odd)];
        let answer = world
            .call_with(&world.admin, Method::POST, &world.at("/groups"), json!({"name": "C"}), &headers)
            .await;
        assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED, "{odd}");
    }
    let fresh = made.header("etag").to_owned();
    for known in [fresh.clone(), format!("W/{fresh}"), format!("\"v0\", {fresh}")] {
        let unchanged = [("if-none-match", known.as_str())];
        let answer = world.call_with(&world.admin, Method::GET, &world.at(""), Value::Null, &unchanged).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NOT_MODIFIED, ""), "{known}");
    }
}

#[tokio::test]
async fn what_counts_down_is_another_answer_every_second_and_the_same_version() {
    let world = World::new().await;
    let code = json!({ "code": world.issue(1, 365).await });
    world.ok(&world.admin, Method::POST, &world.at("/keys/claim"), code).await;
    for path in ["/keys", "/unassigned"].map(|path| world.at(path)) {
        let seen = world.get(&world.viewer, &path).await;
        let tag = seen.header("etag").to_owned();
        let known = [("if-none-match", tag.as_str())];
        let same = world.call_with(&world.viewer, Method::GET, &path, Value::Null, &known).await;
        assert_eq!(same.status, StatusCode::NOT_MODIFIED, "{path}");
        world.clock.advance(coterm_shared::time::Seconds(1));
        let later = world.call_with(&world.viewer, Method::GET, &path, Value::Null, &known).await;
        assert_eq!(later.status, StatusCode::OK, "{path}: less time is left");
        assert_ne!(later.body, seen.body);
        let headers = [("if-match", tag.as_str())];
        let dry = world.at("/groups?dry_run=true");
        let body = json!({"name": "North"});
        let change = world.call_with(&world.admin, Method::POST, &dry, body, &headers).await;
        assert_eq!(change.status, StatusCode::OK, "the version is the same: {}", change.text);
    }
}

#[tokio::test]
async fn a_preview_is_applied_as_it_was_shown_or_not_at_all() {
    let world = World::new().await;
    let default = world.get(&world.admin, &world.at("")).await.text("/default_group");
    let north = world.ok(&world.admin, Method::POST, &world.at("/groups"), json!({"name": "North"})).await;
    let claim = |code: String, group: &str| json!({ "code": code, "group": group });
    let body = claim(world.issue(5, 730).await, &default);
    let preview =
        world.ok(&world.admin, Method::POST, &world.at("/keys/claim?dry_run=true"), body.clone()).await;
    assert_eq!(preview.body["warnings"][0]["code"], "DATE_SET", "{}", preview.text);
    let digest = preview.text("/digest");
    let shown = [("preview-digest", digest.as_str())];

    // What happens in another group changes the version, and nothing that was shown.
    let elsewhere = claim(world.issue(1, 365).await, &north.text("/id"));
    world.ok(&world.admin, Method::POST, &world.at("/keys/claim"), elsewhere).await;
    let again = world.at("/keys/claim?dry_run=true");
    let again = world.call_with(&world.admin, Method::POST, &again, body.clone(), &shown).await;
    assert_eq!((again.status, again.text("/digest")), (StatusCode::OK, digest.clone()));

    // What happens in this one does.
    let here = claim(world.issue(1, 365).await, &default);
    world.ok(&world.admin, Method::POST, &world.at("/keys/claim"), here).await;
    for query in ["", "?dry_run=true"] {
        let path = world.at(&format!("/keys/claim{query}"));
        let late = world.call_with(&world.admin, Method::POST, &path, body.clone(), &shown).await;
        assert_eq!((late.status, late.code()), (StatusCode::CONFLICT, "PREVIEW_OUTDATED"), "{query}");
    }
    let preview =
        world.ok(&world.admin, Method::POST, &world.at("/keys/claim?dry_run=true"), body.clone()).await;
    let digest = preview.text("/digest");
    let path = world.at("/keys/claim");
    let shown = [("preview-digest", digest.as_str())];
    let done = world.call_with(&world.admin, Method::POST, &path, body, &shown).await;
    assert_eq!(done.status, StatusCode::CREATED, "{}", done.text);
    let bad = [("preview-digest", "v7")];
    let (path, body) = (world.at("/groups"), json!({"name": "South"}));
    let answer = world.call_with(&world.admin, Method::POST, &path, body, &bad).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, "BAD_PREVIEW_DIGEST"));
}

#[tokio::test]
async fn t1_the_log_is_filtered_and_shows_dates_and_capacity_before_and_after() {
    let world = World::new().await;
    let default = world.get(&world.admin, &world.at("")).await.text("/default_group");
    let claim = json!({ "code": world.issue(5, 730).await, "group": default });
    world.ok(&world.admin, Method::POST, &world.at("/keys/claim"), claim).await;
    world.site("Depot").await;
    let path = |query: &str| world.at(&format!("/transactions?{query}"));
    let found = world.get(&world.admin, &path(&format!("group={default}&event=group-assessed"))).await;
    let change = &found.body["items"][0]["change"];
    assert_eq!(change["before"]["coterm_at"], Value::Null);
    assert_eq!(change["after"]["coterm_at"], "2028-12-31T00:00:00Z");
    assert_eq!(change["after"]["capacity"], json!({ "camera": 5 }));
    for (query, expect) in [
        ("event=key-claimed", 1),
        ("event=key-split", 0),
        ("actor=nobody", 0),
        ("subject=Depot", 1),
        ("subject=Dep", 0),
        ("request=none", 0),
        ("until=2020-01-01T00:00:00Z", 0),
        ("since=2999-01-01T00:00:00Z", 0),
    ] {
        let found = world.get(&world.admin, &path(query)).await;
        assert_eq!(found.body["items"].as_array().unwrap().len(), expect, "{query}");
    }
    let csv = world.get(&world.admin, &path("format=csv&event=group-assessed")).await.text;
    assert!(csv.contains("\"2028-12-31T00:00:00Z\",\"\",\"camera=5\""), "{csv}");
}
