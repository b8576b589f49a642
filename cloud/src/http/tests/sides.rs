//! A group from a site, controllers by their doors, and keys for another organization, through the interface.

use super::world::World;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

fn cameras(quantity: u64) -> Value {
    json!([{ "product": "camera", "quantity": quantity }])
}

#[tokio::test]
async fn g1_a_group_is_made_from_a_site_and_the_log_is_asked_by_subject() {
    let world = World::new().await;
    let depot = world.site("Depot").await;
    let body = json!({ "id": "cam-1", "site": depot, "model": "CAM-1" });
    world.ok(&world.admin, Method::POST, &world.at("/devices"), body).await;
    let path = world.at("/groups");
    let body = json!({ "from_site": depot });
    let preview = world.ok(&world.admin, Method::POST, &format!("{path}?dry_run=true"), body.clone()).await;
    assert_eq!(preview.body["groups"][0]["name"], "Depot");
    assert_eq!(preview.body["sites"][0]["site"], depot);
    assert_eq!(preview.body["events"], json!(["group-created", "site-moved", "group-assessed"]));
    let digest = preview.text("/digest");
    let headers = [("preview-digest", digest.as_str())];
    let made = world.call_with(&world.admin, Method::POST, &path, body.clone(), &headers).await;
    assert_eq!((made.status, made.text("/name")), (StatusCode::CREATED, "Depot".into()), "{}", made.text);
    let again = world.call(&world.admin, Method::POST, &path, body).await;
    assert_eq!(again.code(), "NAME_TAKEN");
    let nameless = world.call(&world.admin, Method::POST, &path, json!({})).await;
    assert_eq!(nameless.code(), "MISSING_FIELD");
    let nowhere = json!({ "from_site": "sit_01900000000070008000000000000000" });
    let nowhere = world.call(&world.admin, Method::POST, &path, nowhere).await;
    assert!(nowhere.status.is_client_error(), "{}", nowhere.text);

    let events = async |query: &str| {
        let log = world.get(&world.viewer, &world.at(&format!("/transactions?{query}"))).await;
        let items = log.body["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["event"]["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let group = made.text("/id");
    assert_eq!(events(&format!("subject={depot}")).await, ["site-created", "device-claimed", "site-moved"]);
    assert_eq!(events("subject=cam-1").await, ["device-claimed"]);
    assert_eq!(events(&format!("group={group}&subject={depot}")).await, ["site-moved"]);
    assert_eq!(events("subject=key_01900000000070008000000000000000").await, [""; 0]);
}

#[tokio::test]
async fn g7_controllers_count_by_their_doors_if_the_organization_says_so() {
    let world = World::new().await;
    let model = json!({ "product": "door", "units": 4 });
    world.ok(&world.vendor, Method::PUT, "/api/v1/models/AC-4", model).await;
    let depot = world.site("Depot").await;
    let claim = json!({ "id": "door-1", "site": depot, "model": "AC-4", "doors": 3 });
    let claimed = world.ok(&world.admin, Method::POST, &world.at("/devices"), claim).await;
    assert_eq!((&claimed.body["units"], &claimed.body["doors"]), (&json!(4), &json!(3)));
    let by = json!({ "door_units": "configured" });
    world.ok(&world.admin, Method::PATCH, &world.at("/settings"), by.clone()).await;
    let doors = |doors: u64| json!({ "doors": doors });
    let path = world.at("/devices/door-1/doors");
    let set = world.ok(&world.admin, Method::POST, &path, doors(2)).await;
    assert_eq!((&set.body["units"], &set.body["model_units"]), (&json!(2), &json!(4)));
    let none = world.call(&world.admin, Method::POST, &path, doors(0)).await;
    assert_eq!((none.status, none.code()), (StatusCode::UNPROCESSABLE_ENTITY, "DOORS_OUT_OF_BOUNDS"));
    let model = json!({ "door_units": "model" });
    world.ok(&world.admin, Method::PATCH, &world.at("/settings"), model).await;
    let shown = world.get(&world.viewer, &world.at("/devices/door-1")).await;
    assert_eq!(shown.body["units"], 4);
    let never = json!({ "configured_doors_allowed": false });
    world.ok(&world.vendor, Method::PUT, "/api/v1/limits", never).await;
    let refused = world.call(&world.admin, Method::PATCH, &world.at("/settings"), by).await;
    assert_eq!(refused.code(), "SETTING_OUT_OF_BOUNDS");
}

#[tokio::test]
async fn k7_k8_what_leaves_for_another_organization_is_shown_from_both_sides() {
    let world = World::new().await;
    let code = world.issue(5, 365).await;
    let claimed =
        world.ok(&world.admin, Method::POST, &world.at("/keys/claim"), json!({ "code": code })).await;
    let path = world.at(&format!("/keys/{}/split", claimed.text("/id")));
    let part = |quantity: u64, to: &Value| json!({ "lines": cameras(quantity), "organization": to });
    let body = json!({ "parts": [{ "lines": cameras(3) }, part(2, &json!(world.foreign))] });
    let forbidden = world.call(&world.admin, Method::POST, &path, body.clone()).await;
    assert_eq!(forbidden.status, StatusCode::FORBIDDEN, "{}", forbidden.text);
    let both = json!({ "parts": [part(3, &json!(world.foreign)), part(2, &json!(world.foreign))] });
    let both = world.call(&world.vendor, Method::POST, &path, both).await;
    assert_eq!(both.code(), "BOTH_PARTS_LEAVE");

    let preview = world.ok(&world.vendor, Method::POST, &format!("{path}?dry_run=true"), body.clone()).await;
    let side = &preview.body["receiver"];
    assert_eq!((&side["organization"], &side["organization_name"]), (&json!(world.foreign), &json!("Other")));
    assert_eq!(side["keys"][0]["after"]["joins_at"], "2027-01-31T00:00:00Z");
    assert_eq!(side["events"], json!(["key-claimed"]));
    let digest = preview.text("/digest");
    let headers = [("preview-digest", digest.as_str())];
    let done = world.call_with(&world.vendor, Method::POST, &path, body, &headers).await;
    assert_eq!(done.text("/parts/1/state"), "transferred", "{}", done.text);
    let theirs = world.get(&world.vendor, &format!("/api/v1/organizations/{}/keys", world.foreign)).await;
    assert_eq!(theirs.text("/items/0/id"), done.text("/parts/1/id"));
    assert_eq!(theirs.body["items"][0]["lines"][0]["quantity"], 2);

    // Both sides are what the digest is of.
    let first = done.text("/parts/0/id");
    let path = world.at(&format!("/keys/{first}/transfer"));
    let to = json!({ "to": world.foreign });
    let preview = world.ok(&world.vendor, Method::POST, &format!("{path}?dry_run=true"), to.clone()).await;
    assert_eq!(preview.body["receiver"]["keys"][0]["after"]["state"], "unassigned");
    let settings = format!("/api/v1/organizations/{}/settings", world.foreign);
    world.ok(&world.vendor, Method::PATCH, &settings, json!({ "countdown_secs": 864_000 })).await;
    let digest = preview.text("/digest");
    let headers = [("preview-digest", digest.as_str())];
    let late = world.call_with(&world.vendor, Method::POST, &path, to, &headers).await;
    assert_eq!((late.status, late.code()), (StatusCode::CONFLICT, "PREVIEW_OUTDATED"));
}

#[tokio::test]
async fn g4_e2_a_site_that_moves_is_told_which_key_should_go_along_and_carries_what_it_spent() {
    let world = World::new().await;
    let post =
        async |rest: &str, body: Value| world.ok(&world.admin, Method::POST, &world.at(rest), body).await;
    let north = post("/groups", json!({ "name": "North" })).await.text("/id");
    let depot = post("/sites", json!({ "name": "Depot", "group": north })).await.text("/id");
    post("/devices", json!({ "id": "cam-1", "site": depot, "model": "CAM-1" })).await;
    world.clock.advance(coterm_shared::time::Seconds::days(3));
    let key = post("/keys/claim", json!({ "code": world.issue(5, 365).await, "group": north })).await;
    let preview = post("/groups?dry_run=true", json!({ "from_site": depot })).await;
    let step = &preview.body["proposal"]["steps"][0];
    assert_eq!((&step["key"], &step["goes"]), (&key.body["id"], &json!({ "camera": 5 })));
    assert_eq!(step["stays"], json!({}), "nobody else needs what is left of it: it goes whole");
    // Not reset: the site leaves before the key came to help.
    let second = post("/sites", json!({ "name": "Yard", "group": north })).await.text("/id");
    for n in 2..=8 {
        post("/devices", json!({ "id": format!("cam-{n}"), "site": second, "model": "CAM-1" })).await;
    }
    world.clock.advance(coterm_shared::time::Seconds::days(3));
    let west = post("/groups", json!({ "name": "West", "from_site": second })).await.text("/id");
    let explained = world.get(&world.viewer, &world.at(&format!("/groups/{west}/explain"))).await;
    assert_eq!(explained.body["carried"][0]["origin"], json!({ "came": "moved", "from": north }));
    assert_eq!(explained.body["carried"][0]["clocks"][0]["spent_secs"], 3 * 86_400);
    assert_eq!(explained.body["carried_count"], 1);
}
