//! A site that moves with the licenses it needs (domain G4, K7, K9).

use super::world::World;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

/// Group 1 with keys of 3 and of 5 cameras; two cameras at home, two in Depot. Returns Depot and the group North.
async fn two_sites(world: &World) -> (String, String) {
    let post =
        async |rest: &str, body: Value| world.ok(&world.admin, Method::POST, &world.at(rest), body).await;
    let groups = world.get(&world.viewer, &world.at("/groups")).await;
    let first = groups.text("/items/0/id");
    let north = post("/groups", json!({ "name": "North" })).await.text("/id");
    for (name, n) in [("Home", 1), ("Depot", 3)] {
        let site = post("/sites", json!({ "name": name, "group": first })).await.text("/id");
        for n in n..n + 2 {
            post("/devices", json!({ "id": format!("cam-{n}"), "site": site, "model": "CAM-1" })).await;
        }
    }
    post("/keys/claim", json!({ "code": world.issue(3, 365).await, "group": first })).await;
    let sites = world.get(&world.viewer, &world.at("/sites")).await;
    let depot = sites.body["items"].as_array().unwrap().iter().find(|site| site["name"] == "Depot").unwrap();
    (depot["id"].as_str().unwrap().to_owned(), north)
}

#[tokio::test]
async fn g4_a_site_moves_with_its_licenses_as_one_change_and_once() {
    let world = World::new().await;
    let (depot, north) = two_sites(&world).await;
    let path = world.at(&format!("/sites/{depot}/move"));
    let plain = json!({ "group": north });
    let with = json!({ "group": north, "bring_licenses": true });

    // Four cameras and three licenses: nothing can be done, and it is said what is missing.
    let shown = world.ok(&world.admin, Method::POST, &format!("{path}?dry_run=true"), plain.clone()).await;
    assert_eq!(shown.body["no_proposal"]["missing"], json!({ "camera": 1 }), "{}", shown.text);
    let refused = world.call(&world.admin, Method::POST, &path, with.clone()).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "LICENSES_CANNOT_FOLLOW"));
    assert!(refused.text.contains("1 camera missing in total"), "{}", refused.text);

    // With one more, the smallest is one split.
    let groups = world.get(&world.viewer, &world.at("/groups")).await;
    let first =
        groups.body["items"].as_array().unwrap().iter().find(|g| g["is_default"] == true).unwrap()["id"]
            .clone();
    let claim = json!({ "code": world.issue(1, 730).await, "group": first });
    world.ok(&world.admin, Method::POST, &world.at("/keys/claim"), claim).await;
    let shown = world.ok(&world.admin, Method::POST, &format!("{path}?dry_run=true"), plain).await;
    assert_eq!(shown.body["proposal"]["proven_smallest"], true, "{}", shown.text);
    let shown = world.ok(&world.admin, Method::POST, &format!("{path}?dry_run=true"), with.clone()).await;
    let both = shown.body["groups"].as_array().unwrap();
    assert!(
        both.len() == 2 && both.iter().all(|group| group["after"]["compliant"] == true),
        "{}",
        shown.text
    );
    assert!(!shown.text.contains("LICENSES_STAY"));
    let digest = shown.text("/digest");

    let headers = [("preview-digest", digest.as_str()), ("idempotency-key", "move-1")];
    let moved = world.call_with(&world.admin, Method::POST, &path, with.clone(), &headers).await;
    assert_eq!(moved.status, StatusCode::OK, "{}", moved.text);
    assert_eq!(moved.text("/group"), north);
    let parts = moved.body["licenses"][0]["parts"].as_array().unwrap().clone();
    assert_eq!(parts.len(), 2, "{}", moved.text);
    let code = parts[0]["code"].as_str().unwrap();
    assert!(!code.contains('*'), "its code is shown this once");
    let known =
        world.call(&world.admin, Method::POST, &world.at("/keys/inspect"), json!({ "code": code })).await;
    assert_eq!(known.code(), "KEY_ALREADY_CLAIMED", "the platform knows the parts by their codes");
    // A repetition finds the site moved, and is answered as the first time.
    let again = world.call_with(&world.admin, Method::POST, &path, with.clone(), &headers).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (StatusCode::OK, "true"),
        "{}",
        again.text
    );
    assert!(again.body["licenses"][0]["parts"][0]["code"].as_str().unwrap().contains('*'));
    let late = world.call(&world.admin, Method::POST, &path, with).await;
    assert_eq!(late.code(), "ALREADY_THERE", "{}", late.text);
    for group in world.get(&world.viewer, &world.at("/groups")).await.body["items"].as_array().unwrap() {
        assert_eq!(group["compliant"], true, "{group}");
    }
}

#[tokio::test]
async fn g1_g4_a_group_made_from_a_site_gets_its_licenses_and_licenses_need_a_site() {
    let world = World::new().await;
    let (depot, _) = two_sites(&world).await;
    let path = world.at("/groups");
    let alone = json!({ "name": "West", "bring_licenses": true });
    let refused = world.call(&world.admin, Method::POST, &path, alone).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (422, "CONFLICTING_FIELDS"));
    world.ok(&world.admin, Method::POST, &world.at("/devices/cam-1/retire"), Value::Null).await;
    let made = world
        .ok(&world.admin, Method::POST, &path, json!({ "from_site": depot, "bring_licenses": true }))
        .await;
    assert_eq!((&made.body["compliant"], made.body["capacity"]["camera"].as_u64()), (&json!(true), Some(2)));
    assert_eq!(made.body["licenses"][0]["parts"][1]["lines"][0]["quantity"], 1);
}
