//! Groups enabled, sites and devices on the move, and reads that never lag behind the clock.

use super::world::World;
use axum::http::{Method, StatusCode};
use coterm_shared::time::Seconds;
use serde_json::{Value, json};

impl World {
    async fn post(&self, rest: &str, body: Value) -> super::world::Answer {
        self.ok(&self.admin, Method::POST, &self.at(rest), body).await
    }

    async fn group(&self, name: &str) -> String {
        self.post("/groups", json!({ "name": name })).await.text("/id")
    }
}

#[tokio::test]
async fn g1_license_groups_are_enabled_once_and_everything_so_far_is_in_group_1() {
    let world = World::new().await;
    let founded =
        world.ok(&world.vendor, Method::POST, "/api/v1/organizations", json!({"name": "Third"})).await;
    let at = |rest: &str| format!("/api/v1/organizations/{}{rest}", founded.text("/id"));
    let site = json!({"name": "Depot"});
    let site = world.ok(&world.vendor, Method::POST, &at("/sites"), site).await;
    assert_eq!(site.text("/group_name"), "Group 1");
    let early = world.call(&world.vendor, Method::POST, &at("/groups"), json!({"name": "North"})).await;
    assert_eq!((early.status, early.code()), (StatusCode::CONFLICT, "GROUPS_NOT_ENABLED"));

    let preview =
        world.ok(&world.vendor, Method::POST, &at("/enable-groups?dry_run=true"), Value::Null).await;
    assert_eq!(preview.body["events"], json!(["groups-enabled"]));
    assert_eq!(world.get(&world.vendor, &at("")).await.body["groups_enabled"], false);
    let (tag, key) = (preview.header("etag").to_owned(), ("idempotency-key", "enable"));
    let headers = [("if-match", tag.as_str()), key];
    for _ in 0..2 {
        let done =
            world.call_with(&world.vendor, Method::POST, &at("/enable-groups"), Value::Null, &headers).await;
        assert_eq!((done.status, &done.body["groups_enabled"]), (StatusCode::OK, &json!(true)));
    }
    let site = world.get(&world.vendor, &at(&format!("/sites/{}", site.text("/id")))).await;
    assert_eq!(site.text("/group_name"), "Group 1", "what was there stays where it was");
    world.ok(&world.vendor, Method::POST, &at("/groups"), json!({"name": "North"})).await;
}

#[tokio::test]
async fn g3_what_is_unassigned_is_listed_with_its_countdown_and_then_joins_group_1() {
    let world = World::new().await;
    world.ok(&world.admin, Method::PATCH, &world.at("/settings"), json!({"countdown_secs": 864_000})).await;
    let depot = world.site("Depot").await;
    let gate = world.post("/sites", json!({"name": "Gate", "parent": depot})).await;
    assert_eq!((gate.body["group"].is_null(), gate.text("/joins_at")), (true, "2027-01-11T00:00:00Z".into()));
    world.post("/devices", json!({"id": "cam-1", "site": gate.text("/id"), "model": "CAM-1"})).await;
    let code = world.issue(5, 365).await;
    world.post("/keys/claim", json!({ "code": code })).await;

    world.clock.advance(Seconds::days(4));
    let waiting = world.get(&world.viewer, &world.at("/unassigned")).await;
    assert!(!waiting.text.contains(&code), "codes are masked");
    let items = waiting.body["items"].as_array().unwrap();
    let seen: Vec<_> = items
        .iter()
        .map(|item| (item["kind"].as_str().unwrap(), item["left_secs"].as_u64().unwrap()))
        .collect();
    assert_eq!(seen, [("key", 6 * 86_400), ("site", 6 * 86_400)]);
    assert_eq!((&items[1]["devices"], &items[1]["joins"]), (&json!(1), &json!("Group 1")));
    assert_eq!(items[0]["since"], "2027-01-01T00:00:00Z");
    let first = world.get(&world.viewer, &world.at("/unassigned?limit=1")).await;
    let rest = format!("/unassigned?cursor={}", first.text("/next_cursor"));
    let rest = world.get(&world.viewer, &world.at(&rest)).await;
    assert_eq!((&first.body["items"][0], &rest.body["items"][0]), (&items[0], &items[1]));

    world.clock.advance(Seconds::days(6));
    let waiting = world.get(&world.viewer, &world.at("/unassigned")).await;
    assert_eq!(waiting.body["items"], json!([]));
    let sites = world.get(&world.viewer, &world.at("/sites")).await;
    for site in sites.body["items"].as_array().unwrap() {
        assert_eq!((&site["group_name"], &site["joins_at"]), (&json!("Group 1"), &Value::Null));
    }
}

#[tokio::test]
async fn g2_g4_a_site_moves_to_a_group_into_a_site_and_out_of_it() {
    let world = World::new().await;
    let (north, depot, yard) =
        (world.group("North").await, world.site("Depot").await, world.site("Yard").await);
    world.post("/devices", json!({"id": "cam-1", "site": yard, "model": "CAM-1"})).await;
    let of = |site: &str| format!("/sites/{site}/move");

    let preview = world.post(&format!("{}?dry_run=true", of(&depot)), json!({ "group": north })).await;
    assert_eq!(preview.body["events"], json!(["site-moved"]));
    let moved = world.post(&of(&depot), json!({ "group": north })).await;
    assert_eq!((moved.text("/group_name"), &moved.body["joins_at"]), ("North".into(), &Value::Null));
    let moved = world.post(&of(&yard), json!({ "parent": depot })).await;
    assert_eq!((moved.text("/parent_name"), moved.text("/group_name")), ("Depot".into(), "North".into()));
    let group = world.get(&world.viewer, &world.at(&format!("/groups/{north}"))).await;
    assert_eq!(group.body["in_use"], json!({"camera": 1}), "its devices came along");
    let moved = world.post(&of(&yard), json!({"root": true})).await;
    assert_eq!((&moved.body["parent"], moved.text("/group_name")), (&Value::Null, "North".into()));

    world.post("/devices/cam-1/move", json!({ "site": depot })).await;
    let devices = world.get(&world.viewer, &world.at("/devices")).await;
    let device = &devices.body["items"][0];
    assert_eq!((&device["site_name"], &device["group_name"]), (&json!("Depot"), &json!("North")));
}

#[tokio::test]
async fn g8_g9_g10_a_device_is_tried_converted_replaced_and_stolen() {
    let world = World::new().await;
    let north = world.group("North").await;
    let depot = world.post("/sites", json!({"name": "Depot", "group": north})).await.text("/id");
    for (id, field, trial) in [("cam-1", "trial_days", 10), ("cam-2", "trial_secs", 600)] {
        let claim = json!({"id": id, "site": depot, "model": "CAM-1", field: trial});
        let claimed = world.post("/devices", claim).await;
        assert_eq!(
            (claimed.text("/state"), claimed.text("/enforcement")),
            ("trial".into(), "licensed".into())
        );
    }
    let at = |rest: &str| world.at(rest);
    let device = world.get(&world.viewer, &at("/devices/cam-1")).await;
    assert_eq!(device.text("/ends_at"), "2027-01-11T00:00:00Z");
    let group = format!("/groups/{north}");
    assert_eq!(
        world.get(&world.viewer, &at(&group)).await.body["compliant"],
        true,
        "trials are counted apart"
    );

    let preview = world.post("/devices/cam-1/convert?dry_run=true", Value::Null).await;
    let change = &preview.body["groups"][0];
    assert_eq!(
        (&change["before"]["compliant"], &change["after"]["compliant"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(world.post("/devices/cam-1/convert", Value::Null).await.text("/state"), "active");
    assert_eq!(world.get(&world.viewer, &at(&group)).await.body["findings"][0]["code"], "NO_LICENSE");

    let new = world.post("/devices/cam-1/replace", json!({"id": "cam-9", "model": "CAM-1"})).await;
    assert_eq!(new.status, StatusCode::CREATED);
    assert_eq!((new.text("/id"), new.text("/site_name")), ("cam-9".into(), "Depot".into()));
    let old = world.get(&world.viewer, &at("/devices/cam-1")).await;
    assert_eq!(
        (old.text("/state"), old.text("/why"), old.text("/by")),
        ("retired".into(), "replaced".into(), "cam-9".into())
    );

    let stolen = world.post("/devices/cam-9/stolen", Value::Null).await;
    assert_eq!((stolen.text("/state"), stolen.text("/why")), ("retired".into(), "stolen".into()));
    assert_eq!(world.get(&world.viewer, &at(&group)).await.body["compliant"], true);
}

#[tokio::test]
async fn a_read_shows_what_is_due_before_any_timer_came_by() {
    let world = World::new().await;
    let north = world.group("North").await;
    let depot = world.post("/sites", json!({"name": "Depot", "group": north})).await.text("/id");
    world.post("/devices", json!({"id": "cam-1", "site": depot, "model": "CAM-1"})).await;
    let code = world.issue(5, 30).await;
    world.post("/keys/claim", json!({ "code": code, "group": north })).await;
    let group = world.at(&format!("/groups/{north}"));
    let before = world.get(&world.viewer, &group).await;
    assert_eq!((&before.body["compliant"], before.text("/state")), (&json!(true), "licensed".into()));

    // The books wake within a second by themselves; these reads come first, and one after must not differ.
    world.clock.advance(Seconds::days(30));
    let seen = ("if-none-match", before.header("etag"));
    let due = world.call_with(&world.viewer, Method::GET, &group, Value::Null, &[seen]).await;
    assert_eq!(due.status, StatusCode::OK, "what the tag stood for is no more");
    assert_eq!((&due.body["compliant"], due.text("/state")), (&json!(false), "grace".into()));
    let organization = world.get(&world.viewer, &world.at("")).await;
    assert_eq!(organization.body["noncompliant_groups"], 1);
    let all = world.get(&world.viewer, "/api/v1/organizations").await;
    assert_eq!(all.body["items"][0], organization.body);
    // What was read can be acted on, and what was read before is outdated.
    let rename = |name: &str| json!({ "name": name });
    let stale = [("if-match", before.header("etag"))];
    let answer = world.call_with(&world.admin, Method::PATCH, &group, rename("A"), &stale).await;
    assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED);
    let current = [("if-match", due.header("etag"))];
    let preview = format!("{group}?dry_run=true");
    let answer = world.call_with(&world.admin, Method::PATCH, &preview, rename("A"), &current).await;
    assert_eq!((answer.status, answer.header("etag")), (StatusCode::OK, due.header("etag")));
    world.books.tick().await.unwrap();
    let ticked = world.get(&world.viewer, &group).await;
    assert_eq!((&ticked.body, ticked.header("etag")), (&due.body, due.header("etag")));
    let answer = world.call_with(&world.admin, Method::PATCH, &group, rename("A"), &current).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}
