//! Held operations and freezes through the real routes (domain E6).

use super::world::{Answer, World};
use crate::auth::RoleName;
use axum::http::{Method, StatusCode};
use coterm_shared::time::Seconds;
use serde_json::{Value, json};

/// A group that is full with 60 cameras; the site they are at.
async fn full(world: &World) -> String {
    let code = world.issue(60, 365).await;
    let group = world.get(&world.admin, &world.at("/groups")).await.text("/items/0/id");
    let claim = json!({"code": code, "group": group});
    world.ok(&world.admin, Method::POST, &world.at("/keys/claim"), claim).await;
    let site = json!({"name": "HQ", "group": group});
    let site = world.ok(&world.admin, Method::POST, &world.at("/sites"), site).await.text("/id");
    for n in 0..60 {
        let answer = claim_camera(world, &world.admin, &site, n).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    }
    site
}

async fn claim_camera(world: &World, token: &str, site: &str, n: u32) -> Answer {
    let body = json!({"id": format!("cam-{n}"), "site": site, "model": "CAM-1"});
    world.call(token, Method::POST, &world.at("/devices"), body).await
}

async fn decide(world: &World, token: &str, held: &str, verb: &str, digest: Option<&str>) -> Answer {
    let path = world.at(&format!("/held/{held}/{verb}"));
    let headers: Vec<(&str, &str)> = digest.iter().map(|digest| ("preview-digest", *digest)).collect();
    world.call_with(token, Method::POST, &path, Value::Null, &headers).await
}

async fn digest_of(world: &World, held: &str) -> String {
    world.get(&world.viewer, &world.at(&format!("/held/{held}"))).await.text("/preview/digest")
}

/// Another token of the vendor.
fn second_vendor(world: &World) -> String {
    world.token(7, RoleName::Vendor, None, None, world.books.now())
}

#[tokio::test]
async fn e6_what_locks_too_many_is_held_shown_and_carried_out_by_another() {
    let world = World::new().await;
    let site = full(&world).await;
    let preview = world
        .ok(
            &world.admin,
            Method::POST,
            &world.at("/devices?dry_run=true"),
            json!({"id": "cam-99", "site": site, "model": "CAM-1"}),
        )
        .await;
    assert_eq!(preview.text("/warnings/0/code"), "OPERATION_HELD");
    assert_eq!(preview.body["held"]["devices"], 60);

    // The vendor's own operation needs a second person as well.
    let asked = claim_camera(&world, &world.vendor, &site, 99).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.text);
    let held = asked.text("/held/id");
    assert!(asked.text("/held/released_by").contains("vendor"));
    assert_eq!(asked.body["preview"]["held"]["of"], 60);
    let again = claim_camera(&world, &world.admin, &site, 99).await;
    assert_eq!((again.status, again.text("/held/id")), (StatusCode::ACCEPTED, held.clone()));
    let absent = world.call(&world.admin, Method::GET, &world.at("/devices/cam-99"), Value::Null).await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND, "nothing of it happened");
    for (path, pointer) in [
        ("", "/safety/held/0/id"),
        ("/groups", "/items/0/safety/held/0/id"),
        ("/devices/cam-1", "/safety/held/0/id"),
        ("/held", "/items/0/id"),
    ] {
        assert_eq!(world.get(&world.viewer, &world.at(path)).await.text(pointer), held, "{path}");
    }
    let everywhere = world.get(&world.vendor, "/api/v1/platform/held").await;
    assert_eq!(
        (everywhere.text("/items/0/held/id"), everywhere.text("/items/0/organization")),
        (held.clone(), world.org.clone())
    );

    // Bad input: by whom it was asked for, by whom it may not be, and without having looked.
    let seen = digest_of(&world, &held).await;
    let by_asker = decide(&world, &world.vendor, &held, "approve", Some(&seen)).await;
    assert_eq!((by_asker.status, by_asker.code()), (StatusCode::FORBIDDEN, "APPROVAL_BY_ASKER"));
    let by_admin = decide(&world, &world.admin, &held, "approve", Some(&seen)).await;
    assert_eq!((by_admin.status, by_admin.code()), (StatusCode::FORBIDDEN, "FORBIDDEN"));
    let other = second_vendor(&world);
    let unseen = decide(&world, &other, &held, "approve", None).await;
    assert_eq!((unseen.status, unseen.code()), (StatusCode::UNPROCESSABLE_ENTITY, "APPROVAL_UNSEEN"));
    // What was looked at has changed.
    world.ok(&world.admin, Method::POST, &world.at("/devices/cam-3/retire"), Value::Null).await;
    let stale = decide(&world, &other, &held, "approve", Some(&seen)).await;
    assert_eq!((stale.status, stale.code()), (StatusCode::CONFLICT, "PREVIEW_OUTDATED"));
    claim_camera(&world, &world.admin, &site, 3).await;
    let seen = digest_of(&world, &held).await;
    let done = decide(&world, &other, &held, "approve", Some(&seen)).await;
    assert_eq!((done.status, done.text("/state")), (StatusCode::OK, "approved".to_owned()), "{}", done.text);
    let camera = world.get(&world.viewer, &world.at("/devices/cam-99")).await;
    assert_eq!(camera.text("/state"), "active");
    assert_eq!(camera.text("/enforcement"), "grace");
    assert_eq!(camera.body.get("safety"), None, "nothing waits any more");
    let twice = decide(&world, &other, &held, "approve", Some(&seen)).await;
    assert_eq!((twice.status, twice.code()), (StatusCode::CONFLICT, "HELD_OPERATION_CLOSED"));
}

#[tokio::test]
async fn e6_who_asked_cannot_approve_nor_what_they_made() {
    let world = World::new().await;
    let site = full(&world).await;
    let new = |name: &str| json!({"name": name, "role": "vendor"});
    let tokens = "/api/v1/api-tokens";
    let puppet = world.ok(&world.vendor, Method::POST, tokens, new("puppet")).await.text("/token");
    let puppets = world.ok(&puppet, Method::POST, tokens, new("puppet of it")).await.text("/token");
    let held = claim_camera(&world, &world.vendor, &site, 99).await.text("/held/id");
    let seen = digest_of(&world, &held).await;
    for token in [&puppet, &puppets] {
        let answer = decide(&world, token, &held, "approve", Some(&seen)).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "APPROVAL_BY_ASKER"));
    }
    let other = decide(&world, &puppet, &held, "withdraw", None).await;
    assert_eq!((other.status, other.code()), (StatusCode::FORBIDDEN, "WITHDRAWAL_BY_OTHER"));
    assert_eq!(decide(&world, &world.vendor, &held, "withdraw", None).await.text("/state"), "withdrawn");
}

#[tokio::test]
async fn e6_a_held_claim_takes_nothing_and_is_dropped_undecided() {
    let mut world = World::new().await;
    let site = full(&world).await;
    let held = claim_camera(&world, &world.admin, &site, 99).await.text("/held/id");
    // The device is anybody's: the other organization claims it.
    let foreign = |rest: &str| format!("/api/v1/organizations/{}{rest}", world.foreign);
    let theirs =
        world.ok(&world.vendor, Method::POST, &foreign("/sites"), json!({"name": "S"})).await.text("/id");
    let body = json!({"id": "cam-99", "site": theirs, "model": "CAM-1"});
    world.ok(&world.vendor, Method::POST, &foreign("/devices"), body).await;
    let shown = world.get(&world.viewer, &world.at(&format!("/held/{held}"))).await;
    assert_eq!(shown.text("/refused/code"), "DEVICE_ALREADY_CLAIMED");
    // What is another's is refused at once.
    let taken = claim_camera(&world, &world.admin, &site, 99).await;
    assert_eq!(taken.code(), "DEVICE_ALREADY_CLAIMED");
    let second = claim_camera(&world, &world.admin, &site, 98).await.text("/held/id");
    world.restart().await;
    world.clock.advance(Seconds::days(30));
    let shown = world.get(&world.viewer, &world.at(&format!("/held/{second}"))).await;
    assert_eq!(shown.text("/state"), "expired");
    let late = decide(&world, &second_vendor(&world), &second, "reject", None).await;
    assert_eq!((late.status, late.code()), (StatusCode::CONFLICT, "HELD_OPERATION_CLOSED"));
}

/// E6, K7: a split that is held enters the parts when it is approved, on both sides.
#[tokio::test]
async fn e6_a_held_split_is_entered_when_it_is_approved() {
    let world = World::new().await;
    full(&world).await;
    let key = world.get(&world.admin, &world.at("/keys")).await.text("/items/0/id");
    let part = |quantity: u64| json!({"lines": [{"product": "camera", "quantity": quantity}]});
    let mut away = part(59);
    away["organization"] = json!(world.foreign);
    let mut stays = part(1);
    stays["group"] = json!(world.get(&world.admin, &world.at("/groups")).await.text("/items/0/id"));
    let body = json!({"parts": [stays, away]});
    let path = world.at(&format!("/keys/{key}/split"));
    let held = world.call(&world.vendor, Method::POST, &path, body).await;
    assert_eq!(held.status, StatusCode::ACCEPTED, "{}", held.text);
    let foreign = format!("/api/v1/organizations/{}/keys", world.foreign);
    assert_eq!(world.get(&world.vendor, &foreign).await.body["items"], json!([]));
    let (held, other) = (held.text("/held/id"), second_vendor(&world));
    let seen = digest_of(&world, &held).await;
    let done = decide(&world, &other, &held, "approve", Some(&seen)).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let arrived = world.get(&world.vendor, &foreign).await;
    assert_eq!(arrived.body["items"][0]["lines"][0]["quantity"], 59);
    assert_eq!(world.get(&world.admin, &world.at("/keys")).await.body["items"].as_array().unwrap().len(), 3);
}

/// E6, G4, K7: a move whose licenses go along can bring the date of those who stay near. Held, it does nothing and makes no
/// key; approved, site, keys and the parts of what was split are where they were asked to be, on both logs.
#[tokio::test]
async fn e6_a_held_move_with_its_licenses_is_carried_out_whole() {
    let world = World::new().await;
    let door = json!({"product": "door", "units": 1});
    world.ok(&world.vendor, Method::PUT, "/api/v1/models/DOOR-1", door).await;
    let groups = world.get(&world.admin, &world.at("/groups")).await;
    let all = groups.body["items"].as_array().unwrap();
    let first =
        all.iter().find(|group| group["is_default"] == true).unwrap()["id"].as_str().unwrap().to_owned();
    let post =
        async |rest: &str, body: Value| world.ok(&world.admin, Method::POST, &world.at(rest), body).await;
    let north = post("/groups", json!({"name": "North"})).await.text("/id");
    // Sixty cameras for twenty days and eleven doors for ten years end together after most of a year.
    for (product, quantity, days) in [("camera", 60, 20), ("door", 11, 3650)] {
        let lines = json!([{"product": product, "quantity": quantity}]);
        let order = json!({"order_number": "PO-1", "lines": lines, "term_days": days});
        let code = world.ok(&world.vendor, Method::POST, "/api/v1/keys", order).await.text("/code");
        post("/keys/claim", json!({"code": code, "group": first})).await;
    }
    let home = post("/sites", json!({"name": "Home", "group": first})).await.text("/id");
    let depot = post("/sites", json!({"name": "Depot", "group": first})).await.text("/id");
    for n in 0..60 {
        post("/devices", json!({"id": format!("cam-{n}"), "site": home, "model": "CAM-1"})).await;
    }
    for n in 0..10 {
        post("/devices", json!({"id": format!("door-{n}"), "site": depot, "model": "DOOR-1"})).await;
    }
    post("/devices", json!({"id": "door-10", "site": home, "model": "DOOR-1"})).await;
    // The doors take all but one of the long licenses along, and who stays locks in eighty days.
    let path = world.at(&format!("/sites/{depot}/move"));
    let with = json!({"group": north, "bring_licenses": true});
    let held = world.call(&world.admin, Method::POST, &path, with).await;
    assert_eq!(held.status, StatusCode::ACCEPTED, "{}", held.text);
    assert_eq!(held.body["preview"]["held"]["devices"], 61, "{}", held.text);
    assert_eq!(held.text("/held/operation"), "with-licenses");
    let keys = |answer: &Answer| answer.body["items"].as_array().unwrap().len();
    assert_eq!(keys(&world.get(&world.admin, &world.at("/keys")).await), 2, "no key was split");
    assert_eq!(keys(&world.get(&world.vendor, "/api/v1/keys").await), 2);
    let devices_of = async |group: &str| {
        let shown = world.get(&world.viewer, &world.at(&format!("/groups/{group}"))).await;
        shown.body["active_devices"].as_u64()
    };
    assert_eq!((devices_of(&first).await, devices_of(&north).await), (Some(71), Some(0)), "nothing moved");

    let (held, other) = (held.text("/held/id"), second_vendor(&world));
    let seen = digest_of(&world, &held).await;
    let done = decide(&world, &other, &held, "approve", Some(&seen)).await;
    assert_eq!((done.status, done.text("/state")), (StatusCode::OK, "approved".to_owned()), "{}", done.text);
    assert_eq!((devices_of(&first).await, devices_of(&north).await), (Some(61), Some(10)));
    let groups = world.get(&world.viewer, &world.at("/groups")).await;
    for group in groups.body["items"].as_array().unwrap() {
        assert_eq!(group["compliant"], true, "{group}");
    }
    // The parts are keys of the organization and known to the vendor.
    assert_eq!(keys(&world.get(&world.admin, &world.at("/keys")).await), 4);
    assert_eq!(keys(&world.get(&world.vendor, "/api/v1/keys").await), 4);
    for event in ["operation-held", "held-operation-approved", "key-split", "site-moved"] {
        let log = world.get(&world.viewer, &world.at(&format!("/transactions?event={event}"))).await;
        assert_eq!(log.body["items"].as_array().unwrap().len(), 1, "{event}: {}", log.text);
    }
}

/// E6, N2: what waits is told with its holding, to the organization and to the vendor, whom the organization does not see.
#[tokio::test]
async fn e6_what_waits_is_told_to_the_organization_and_to_the_vendor() {
    let world = World::new().await;
    let site = full(&world).await;
    let mail = |address: &str| json!({"kind": "email", "address": address});
    let vendors = "/api/v1/platform/endpoints";
    let refused = world.call(&world.admin, Method::POST, vendors, mail("eve@example.com")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    world.ok(&world.admin, Method::POST, &world.at("/endpoints"), mail("ada@example.com")).await;
    let vera = world.ok(&world.vendor, Method::POST, vendors, mail("vera@vendor.example")).await.text("/id");
    let listed = world.get(&world.vendor, vendors).await;
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 1, "{}", listed.text);
    let held = claim_camera(&world, &world.admin, &site, 99).await.text("/held/id");
    let of_org = world.get(&world.viewer, &world.at("/notices")).await;
    let told = &of_org.body["items"][0];
    assert_eq!((&told["kind"], &told["facts"]["id"]), (&json!("operation-held"), &json!(held)));
    assert_eq!(told["deliveries"].as_array().unwrap().len(), 1);
    assert!(!of_org.text.contains("vera@"), "whom the vendor tells is the vendor's business");
    let all = world.get(&world.vendor, "/api/v1/notices").await;
    assert_eq!(all.body["items"][0]["deliveries"].as_array().unwrap().len(), 2);
    // Asked for again it is the same operation, which was told.
    claim_camera(&world, &world.admin, &site, 99).await;
    decide(&world, &second_vendor(&world), &held, "reject", None).await;
    let kinds = |of: &Answer| -> Vec<String> {
        let items = of.body["items"].as_array().unwrap();
        items.iter().map(|notice| notice["kind"].as_str().unwrap().to_owned()).collect()
    };
    let of_org = world.get(&world.viewer, &world.at("/notices")).await;
    assert_eq!(kinds(&of_org)[..2], ["held-operation-closed", "operation-held"], "{}", of_org.text);
    // The vendor's endpoint is tried, and removed.
    let one = format!("{vendors}/{vera}");
    let test = world.ok(&world.vendor, Method::POST, &format!("{one}/test"), Value::Null).await;
    assert_eq!((test.text("/kind"), &test.body["organization"]), ("test".to_owned(), &Value::Null));
    let no_secret = world.call(&world.vendor, Method::POST, &format!("{one}/rotate"), Value::Null).await;
    assert_eq!(no_secret.code(), "NO_SECRET");
    world.ok(&world.vendor, Method::DELETE, &one, Value::Null).await;
    let all = world.get(&world.vendor, "/api/v1/notices").await;
    assert_eq!(all.body["items"][0]["deliveries"][0]["state"], "dropped");
    let again = format!("/api/v1/notices/{}/redeliver", test.text("/id"));
    let gone = world.call(&world.vendor, Method::POST, &again, json!({})).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND, "it has nowhere to go: {}", gone.text);
}

#[tokio::test]
async fn e6_a_freeze_is_said_wherever_a_schedule_is_shown() {
    let world = World::new().await;
    full(&world).await;
    let everything = "/api/v1/platform/freeze";
    world.ok(&world.vendor, Method::POST, &world.at("/freeze"), Value::Null).await;
    let again = world.call(&world.vendor, Method::POST, &world.at("/freeze"), Value::Null).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "ALREADY_FROZEN"));
    world.ok(&world.vendor, Method::POST, everything, Value::Null).await;
    assert_eq!(world.get(&world.viewer, everything).await.body["frozen"], true);
    let group = world.get(&world.viewer, &world.at("/groups")).await.text("/items/0/id");
    for path in ["", &format!("/groups/{group}"), &format!("/groups/{group}/explain"), "/devices/cam-1"] {
        let shown = world.get(&world.viewer, &world.at(path)).await;
        let frozen = shown.body["safety"]["frozen"].as_array().unwrap();
        assert_eq!([&frozen[0]["platform"], &frozen[1]["platform"]], [true, false], "{path}");
        assert!(shown.text("/safety/sentences/0").contains("CONNECTED"), "{path}");
    }
    let page = world.get(&world.viewer, &world.at(&format!("/groups/{group}/explain"))).await;
    assert!(page.body["text"].to_string().contains("What is held back"), "{}", page.text);
    world.ok(&world.vendor, Method::POST, &world.at("/unfreeze"), Value::Null).await;
    world.ok(&world.vendor, Method::POST, "/api/v1/platform/unfreeze", Value::Null).await;
    let over = world.call(&world.vendor, Method::POST, "/api/v1/platform/unfreeze", Value::Null).await;
    assert_eq!((over.status, over.code()), (StatusCode::CONFLICT, "NOT_FROZEN"));
    assert_eq!(world.get(&world.viewer, everything).await.body["frozen"], false);
}
