//! What was shown is what is done and what devices do: digests bind the change, figures are those of devices, names are
//! what they look like (domain K9, E5, E1).

use super::world::World;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn k9_on_every_route_the_digest_of_another_change_is_refused() {
    let world = World::new().await;
    let default = world.get(&world.admin, &world.at("")).await.text("/default_group");
    let north = world
        .ok(&world.admin, Method::POST, &world.at("/groups"), json!({"name": "North"}))
        .await
        .text("/id");
    let (depot, yard) = (world.site("Depot").await, world.site("Yard").await);
    for id in ["cam-1", "cam-2"] {
        let body = json!({"id": id, "site": depot, "model": "CAM-1"});
        world.ok(&world.admin, Method::POST, &world.at("/devices"), body).await;
    }
    let trial = json!({"id": "cam-3", "site": depot, "model": "CAM-1", "trial_days": 5});
    world.ok(&world.admin, Method::POST, &world.at("/devices"), trial).await;
    let claim = json!({"code": world.issue(5, 730).await, "group": default});
    let key = world.ok(&world.admin, Method::POST, &world.at("/keys/claim"), claim).await.text("/id");
    let (code, other_code) = (world.issue(5, 730).await, world.issue(5, 730).await);
    let part =
        |quantity: u64| json!({"lines": [{"product": "camera", "quantity": quantity}], "group": default});
    let (post, patch) = (Method::POST, Method::PATCH);
    // A route, what is previewed, and what is sent with the digest of that preview.
    let cases = [
        (
            &post,
            "/keys/claim".to_owned(),
            json!({"code": code, "group": default}),
            json!({"code": code, "group": default, "mode": "renewal"}),
        ),
        (
            &post,
            "/keys/claim".to_owned(),
            json!({"code": code, "group": default}),
            json!({"code": code, "group": north}),
        ),
        (
            &post,
            "/keys/claim".to_owned(),
            json!({"code": code, "group": default}),
            json!({"code": other_code, "group": default}),
        ),
        (
            &post,
            format!("/keys/{key}/split"),
            json!({"parts": [part(2), part(3)]}),
            json!({"parts": [part(1), part(4)]}),
        ),
        (&post, "/groups".to_owned(), json!({"name": "East"}), json!({"name": "West"})),
        (&patch, format!("/groups/{north}"), json!({"name": "East"}), json!({"name": "West"})),
        (
            &patch,
            format!("/groups/{north}/settings"),
            json!({"grace_secs": 86_400}),
            json!({"grace_secs": 86_401}),
        ),
        (
            &patch,
            format!("/groups/{north}/settings"),
            json!({"grace_secs": 86_400}),
            json!({"grace_secs": null}),
        ),
        (
            &patch,
            "/settings".to_owned(),
            json!({"grace_secs": 86_400}),
            json!({"grace_secs": 86_400, "time_zone": "Europe/Rome"}),
        ),
        (&post, "/sites".to_owned(), json!({"name": "Mill"}), json!({"name": "Mill", "parent": depot})),
        (&patch, format!("/sites/{depot}"), json!({"name": "Mill"}), json!({"name": "Quay"})),
        (
            &post,
            "/devices".to_owned(),
            json!({"id": "cam-9", "site": depot, "model": "CAM-1"}),
            json!({"id": "cam-9", "site": depot, "model": "CAM-1", "trial_days": 9}),
        ),
        (&post, "/devices/cam-1/move".to_owned(), json!({"site": yard}), json!({"site": depot})),
        (
            &post,
            "/devices/cam-1/replace".to_owned(),
            json!({"id": "cam-8", "model": "CAM-1"}),
            json!({"id": "cam-7", "model": "CAM-1"}),
        ),
    ];
    let before = world.get(&world.admin, &world.at("")).await.header("etag").to_owned();
    for (method, path, shown, sent) in cases {
        let path = world.at(&path);
        let preview = world.call(&world.admin, method.clone(), &format!("{path}?dry_run=true"), shown).await;
        assert_eq!(preview.status, StatusCode::OK, "{path}: {}", preview.text);
        let digest = preview.text("/digest");
        let headers = [("preview-digest", digest.as_str())];
        for query in ["", "?dry_run=true"] {
            let path = format!("{path}{query}");
            let answer = world.call_with(&world.admin, method.clone(), &path, sent.clone(), &headers).await;
            // What is no change at all may be refused for that; it is not done.
            if answer.code() != "ALREADY_THERE" {
                assert_eq!(answer.code(), "PREVIEW_OF_ANOTHER_CHANGE", "{path} {sent}: {}", answer.text);
                assert_eq!(answer.status, StatusCode::CONFLICT);
            }
        }
    }
    // Of routes that take no body, the path says what is asked.
    for [shown, sent] in [
        ["/devices/cam-1/retire", "/devices/cam-2/retire"],
        ["/devices/cam-1/retire", "/devices/cam-1/stolen"],
        ["/devices/cam-3/convert", "/devices/cam-3/retire"],
    ] {
        let preview = world
            .ok(&world.admin, Method::POST, &world.at(&format!("{shown}?dry_run=true")), Value::Null)
            .await;
        let digest = preview.text("/digest");
        let headers = [("preview-digest", digest.as_str())];
        let answer =
            world.call_with(&world.admin, Method::POST, &world.at(sent), Value::Null, &headers).await;
        assert_eq!(answer.code(), "PREVIEW_OF_ANOTHER_CHANGE", "{sent}");
        // What has no preview with a digest was never shown.
        for query in ["", "?dry_run=true"] {
            let path = format!("/api/v1/prices/camera{query}");
            let body = json!({"price": 250});
            let answer = world.call_with(&world.vendor, Method::PUT, &path, body, &headers).await;
            assert_eq!(answer.code(), "PREVIEW_OF_ANOTHER_CHANGE", "{path}");
            let path = format!("/api/v1/organizations{query}");
            let answer =
                world.call_with(&world.vendor, Method::POST, &path, json!({"name": "New"}), &headers).await;
            assert_eq!(answer.code(), "PREVIEW_OF_ANOTHER_CHANGE", "{path}");
        }
    }
    assert_eq!(world.get(&world.admin, &world.at("")).await.header("etag"), before, "nothing was changed");
}

#[tokio::test]
async fn e1_null_gives_a_setting_of_a_group_back_to_the_organization() {
    let world = World::new().await;
    let north = world
        .ok(&world.admin, Method::POST, &world.at("/groups"), json!({"name": "North"}))
        .await
        .text("/id");
    let settings = world.at(&format!("/groups/{north}/settings"));
    let own = json!({"grace_secs": 86_400, "time_zone": "Europe/Rome"});
    let shown = world.ok(&world.admin, Method::PATCH, &settings, own).await;
    assert_eq!(shown.body["overrides"], json!({"grace_secs": 86_400, "time_zone": "Europe/Rome"}));
    let preview = format!("{settings}?dry_run=true");
    let null = json!({"grace_secs": null});
    world.ok(&world.admin, Method::PATCH, &preview, null.clone()).await;
    let shown = world.ok(&world.admin, Method::PATCH, &settings, null).await;
    assert_eq!(shown.body["overrides"], json!({"time_zone": "Europe/Rome"}), "what is not named stays");
    let base = world.get(&world.admin, &world.at("")).await;
    assert_eq!(shown.body["settings"]["grace_secs"], base.body["settings"]["grace_secs"]);
    let nothing = world.call(&world.admin, Method::PATCH, &settings, json!({})).await;
    assert_eq!(nothing.code(), "NOTHING_TO_CHANGE");
}

#[tokio::test]
async fn e5_a_device_shows_when_it_locks_and_stops() {
    let world = World::new().await;
    let default = world.get(&world.admin, &world.at("")).await.text("/default_group");
    let body = json!({"name": "Depot", "group": default});
    let depot = world.ok(&world.admin, Method::POST, &world.at("/sites"), body).await.text("/id");
    for (id, days) in [("cam-1", Value::Null), ("cam-2", json!(5))] {
        let body = json!({"id": id, "site": depot, "model": "CAM-1", "trial_days": days});
        world.ok(&world.admin, Method::POST, &world.at("/devices"), body).await;
    }
    let group = world.get(&world.admin, &world.at(&format!("/groups/{default}"))).await;
    let device = world.get(&world.admin, &world.at("/devices/cam-1")).await;
    assert!(device.text("/schedule/lock_at") > device.text("/claimed_at"), "{}", device.text);
    assert_eq!(device.body["schedule"], group.body["schedule"]);
    assert!(device.text("/next").starts_with("management locks at "), "{}", device.text);
    let trial = world.get(&world.admin, &world.at("/devices/cam-2")).await;
    assert!(trial.text("/schedule/grace_begins_at") > device.text("/claimed_at"), "its own, from its end");
    world.ok(&world.admin, Method::POST, &world.at("/devices/cam-1/retire"), Value::Null).await;
    let gone = world.get(&world.admin, &world.at("/devices/cam-1")).await;
    assert_eq!(gone.text("/schedule/lock_at"), gone.text("/at"), "G10: its management locks at once");
}

#[tokio::test]
async fn a_name_that_is_not_what_it_looks_like_is_refused_and_two_spellings_are_one_name() {
    let world = World::new().await;
    world.site("Caf\u{e9}").await;
    for (name, point) in
        [("Caf\u{e9}\u{200b}", "U+200B"), ("\u{202e}toped", "U+202E"), ("a\u{2028}b", "U+2028")]
    {
        let answer =
            world.call(&world.admin, Method::POST, &world.at("/sites"), json!({ "name": name })).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, "NAME_INVALID"));
        assert!(answer.text("/detail").contains(point), "{}", answer.text);
    }
    let again = json!({"name": "CAFE\u{301}"});
    let answer = world.call(&world.admin, Method::POST, &world.at("/sites"), again).await;
    assert_eq!(answer.code(), "NAME_TAKEN", "{}", answer.text);
}
