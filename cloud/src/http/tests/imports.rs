//! Files in and out: imports and exports over HTTP.

use super::world::{Answer, World};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

async fn import(world: &World, token: &str, org: &str, kind: &str, file: &str, key: Option<&str>) -> Answer {
    let path = format!("/api/v1/organizations/{org}/imports/{kind}");
    let mut request = Request::builder().method(Method::POST).uri(path);
    request = request.header("authorization", format!("Bearer {token}")).header("content-type", "text/csv");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    world.send(request.body(Body::from(file.to_owned())).unwrap()).await
}

/// What groups are judged by.
async fn figures(world: &World, org: &str) -> Vec<Value> {
    let groups = world.get(&world.vendor, &format!("/api/v1/organizations/{org}/groups")).await;
    let mut found: Vec<Value> = groups.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let names = [
                "name",
                "coterm_at",
                "coterm_exact_secs",
                "compliant",
                "capacity",
                "in_use",
                "renewed_capacity",
            ];
            names.iter().map(|name| group[*name].clone()).collect()
        })
        .collect();
    found.sort_by_key(Value::to_string);
    found
}

const SITES: &str = "path,group\nHQ,North\nHQ/Floor 1,\nDepot,Group 1\n";
const DEVICES: &str = "id,model,site\ncam-1,CAM-1,HQ/Floor 1\ncam-2,CAM-1,HQ\ncam-3,CAM-1,Depot\n";
const ORDERS: &str = "order_number,key,product,quantity,weight,term_days,created_at,group,mode\n\
    PO-1,a,camera,2,150,365,2026-06-01T00:00:00Z,North,\nPO-1,a,door,1,80,365,2026-06-01T00:00:00Z,North,\n\
    PO-2,,camera,1,,1095,2026-12-01T00:00:00Z,Group 1,\nPO-3,,camera,4,,30,2026-11-01T00:00:00Z,North,\n\
    PO-4,,camera,3,,365,2026-12-30T00:00:00Z,North,renewal\n";

#[tokio::test]
async fn a_file_is_imported_whole_once_and_what_is_exported_is_imported_again() {
    let world = World::new().await;
    let (org, vendor, admin) = (&world.org, &world.vendor, &world.admin);
    for (kind, file, count) in
        [("groups", "name\nNorth\n", 1), ("sites", SITES, 3), ("orders", ORDERS, 4), ("devices", DEVICES, 3)]
    {
        let done = import(&world, vendor, org, kind, file, None).await;
        assert_eq!(done.status, StatusCode::OK, "{kind}: {}", done.text);
        assert_eq!(done.body["imported"], count, "{}", done.text);
        // All of it is there already.
        let again = import(&world, vendor, org, kind, file, None).await;
        assert!(again.status == StatusCode::CONFLICT, "{kind}: {} {}", again.status, again.text);
        assert!(again.body["errors"].as_array().unwrap().len() >= count, "{}", again.text);
    }
    let groups = world.get(admin, &world.at("/groups")).await;
    let north =
        groups.body["items"].as_array().unwrap().iter().find(|group| group["name"] == "North").unwrap();
    assert_eq!(north["compliant"], true, "{north}");
    // D3: a key whose own end has passed stays in the mean and in the capacity of a group that goes on.
    assert_eq!(north["capacity"], json!({ "camera": 6, "door": 1 }), "{north}");
    assert_eq!(north["renewed_capacity"], json!({ "camera": 3 }));

    // Into a fresh organization: the devices are claimed here, so they come when these are gone.
    let mut files = Vec::new();
    for kind in ["groups", "sites", "orders", "devices"] {
        let file = world.get(admin, &world.at(&format!("/exports/{kind}"))).await;
        assert!(file.header("content-type").starts_with("text/csv"));
        assert!(!file.text.contains("*****"), "no codes, masked or not");
        files.push((kind, file.text));
    }
    let before = figures(&world, org).await;
    for n in 1..=3 {
        world.ok(admin, Method::POST, &world.at(&format!("/devices/cam-{n}/retire")), Value::Null).await;
    }
    for (kind, file) in &files {
        let done = import(&world, vendor, &world.foreign, kind, file, None).await;
        assert_eq!(done.status, StatusCode::OK, "{kind}: {}", done.text);
    }
    assert_eq!(
        figures(&world, &world.foreign).await,
        before,
        "the same dates, exactly, and the same verdicts"
    );
}

#[tokio::test]
async fn one_bad_line_at_the_end_and_nothing_changes_and_all_bad_lines_are_said() {
    let world = World::new().await;
    let (org, admin) = (&world.org, &world.admin);
    import(&world, admin, org, "sites", "path,group\nHQ,Group 1\n", None).await;
    let mut file = String::from("id,model,site\n");
    for n in 0..2_000 {
        file.push_str(&format!("cam-{n},CAM-1,HQ\n"));
    }
    let licensed = "order_number,product,quantity,term_days,created_at,group\n\
        PO-1,camera,2000,365,2026-12-01T00:00:00Z,Group 1\n";
    import(&world, &world.vendor, org, "orders", licensed, None).await;
    let before = world.get(admin, &world.at("")).await.body["version"].clone();
    let good = file.clone();
    file.push_str("cam-7,CAM-1,HQ\ncam-9999,CAM-1,Nowhere\n");
    let refused = import(&world, admin, org, "devices", &file, None).await;
    let mut found: Vec<_> = refused.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["code"].as_str().unwrap(), error["field"].as_str().unwrap()))
        .collect();
    found.sort_unstable();
    let expect = [("DEVICE_ALREADY_CLAIMED", "lines[2002].id"), ("SITE_NOT_FOUND", "lines[2003].site")];
    assert_eq!(found, expect, "{}", refused.text);
    assert_eq!(world.get(admin, &world.at("")).await.body["version"], before, "nothing changed");

    // A repetition is answered as the first time, and does nothing.
    let done = import(&world, admin, org, "devices", &good, Some("k-1")).await;
    assert_eq!((done.status, &done.body["imported"]), (StatusCode::OK, &json!(2_000)), "{}", done.text);
    let again = import(&world, admin, org, "devices", &good, Some("k-1")).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (StatusCode::OK, "true"),
        "{}",
        again.text
    );
    let other = import(&world, admin, org, "devices", "id,model,site\n", Some("k-1")).await;
    assert!(other.status.is_client_error());
    // E6: one device too many, and all of them were on the way to a lock; a file cannot wait for approval.
    let held = import(&world, admin, org, "devices", "id,model,site\ncam-x,CAM-1,HQ\n", None).await;
    assert_eq!((held.status, held.code()), (StatusCode::CONFLICT, "IMPORT_LOCKS_OUT"), "{}", held.text);
    // Judged once: one line of the log for the group, however long the file.
    let log = world.get(admin, &world.at("/transactions?event=group-assessed&limit=1000")).await;
    assert_eq!(log.body["items"].as_array().unwrap().len(), 2, "one for the orders, one for the devices");
    // A device of somebody else is said with its line.
    let foreign = format!("/api/v1/organizations/{}/sites", world.foreign);
    world.ok(&world.vendor, Method::POST, &foreign, json!({ "name": "There" })).await;
    let stolen =
        import(&world, &world.vendor, &world.foreign, "devices", "id,model,site\ncam-1,CAM-1,There\n", None)
            .await;
    assert_eq!(stolen.body["errors"][0]["field"], "lines[2].id", "{}", stolen.text);
}

#[tokio::test]
async fn orders_are_the_vendors_and_a_file_is_declared() {
    let world = World::new().await;
    let refused = import(&world, &world.admin, &world.org, "orders", ORDERS, None).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    let none = import(&world, &world.admin, &world.org, "cats", "name\n", None).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    let hidden = import(&world, &world.admin, &world.foreign, "sites", SITES, None).await;
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
    let json = world.call(&world.admin, Method::POST, &world.at("/imports/sites"), json!({})).await;
    assert_eq!(json.code(), "NOT_CSV");
    // K5: orders whose common end has passed are no license any more.
    let late = "order_number,product,quantity,term_days,created_at,group\nPO-9,camera,1,30,2026-01-01T00:00:00Z,Group 1\n";
    let refused = import(&world, &world.vendor, &world.org, "orders", late, None).await;
    assert_eq!(refused.code(), "GROUP_WOULD_OWE", "{}", refused.text);
}
