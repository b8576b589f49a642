//! What an organization does from the first day on.

use super::world::World;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn from_an_order_to_a_device_that_can_connect() {
    let world = World::new().await;
    let (admin, now) = (world.admin.clone(), "2027-01-01T00:00:00Z");

    let group = world.ok(&admin, Method::POST, &world.at("/groups"), json!({"name": "North"})).await;
    assert_eq!(group.status, StatusCode::CREATED);
    let group = group.text("/id");
    let body = json!({"name": "Depot", "group": group});
    let site = world.ok(&admin, Method::POST, &world.at("/sites"), body).await.text("/id");
    let body = json!({"name": "Gate", "parent": site});
    let gate = world.ok(&admin, Method::POST, &world.at("/sites"), body).await;
    assert_eq!(gate.text("/group"), group, "a sub-site follows its root");

    let code = world.issue(10, 365).await;
    let inspected = world.ok(&admin, Method::POST, &world.at("/keys/inspect"), json!({"code": code})).await;
    assert_eq!(inspected.body["lines"][0]["quantity"], 10);
    let body = json!({"code": code.to_lowercase(), "group": group});
    let key = world.ok(&admin, Method::POST, &world.at("/keys/claim"), body.clone()).await;
    assert_eq!(key.text("/state"), "active");
    assert!(!key.text.contains(&code), "a claimed code is masked");
    let again = world.call(&admin, Method::POST, &world.at("/keys/claim"), body).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "KEY_ALREADY_CLAIMED"));

    let body = json!({"id": "cam-1", "site": gate.text("/id"), "model": "CAM-1"});
    world.ok(&admin, Method::POST, &world.at("/devices"), body).await;
    let shown = world.get(&admin, &world.at(&format!("/groups/{group}"))).await;
    assert_eq!(shown.text("/coterm_at"), "2028-01-01T00:00:00Z");
    assert_eq!(shown.body["compliant"], true);
    assert_eq!(shown.body["in_use"], json!({"camera": 1}));
    assert_eq!(shown.body["free"], json!({"camera": 9}));
    let device = world.get(&admin, &world.at("/devices/cam-1")).await;
    assert_eq!((device.text("/enforcement"), device.text("/claimed_at")), ("licensed".into(), now.into()));

    let bundle = world.ok(&admin, Method::POST, &world.at("/devices/cam-1/provision"), Value::Null).await;
    let names: Vec<_> =
        bundle.body["files"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["agent.toml", "device.crt", "device.key", "broker-ca.crt", "root.cose", "keyring.cose"]
    );
    let toml = bundle.text("/files/0/text");
    for line in ["device = \"cam-1\"", "class = \"camera\"", "trust_domain = \"test.local\"", "port = 8883"] {
        assert!(toml.contains(line), "{line} in {toml}");
    }
    assert!(bundle.text("/files/2/text").contains("PRIVATE KEY"));
    assert_eq!(bundle.header("cache-control"), "no-store");

    world.ok(&admin, Method::POST, &world.at("/devices/cam-1/retire"), Value::Null).await;
    let refused = world.call(&admin, Method::POST, &world.at("/devices/cam-1/provision"), Value::Null).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "DEVICE_RETIRED"));
}

#[tokio::test]
async fn lists_come_in_pages_that_neither_repeat_nor_skip() {
    let world = World::new().await;
    for n in 0..5 {
        world.site(&format!("Site {n}")).await;
    }
    let mut seen = Vec::new();
    let mut path = world.at("/sites?limit=2");
    loop {
        let page = world.get(&world.viewer, &path).await;
        let items = page.body["items"].as_array().unwrap().clone();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|site| site["id"].as_str().unwrap().to_owned()));
        match page.body["next_cursor"].as_str() {
            Some(cursor) => path = world.at(&format!("/sites?limit=2&cursor={cursor}")),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn the_log_says_who_did_what_in_json_and_csv_and_can_be_verified() {
    let world = World::new().await;
    let headers = [("x-request-id", "req-42")];
    let body = json!({"name": "=cmd|'/c calc'!A1"});
    world.call_with(&world.admin, Method::POST, &world.at("/groups"), body, &headers).await;
    let log = world.get(&world.viewer, &world.at("/transactions")).await;
    let items = log.body["items"].as_array().unwrap();
    let last = items.last().unwrap();
    assert_eq!(last["request_id"], "req-42");
    assert_eq!(last["event"]["type"], "group-created");
    assert!(last["actor"].as_str().unwrap().starts_with("tok_02020202"), "{last}");
    let page = world.get(&world.viewer, &world.at("/transactions?limit=1")).await;
    assert_eq!(page.text("/next_cursor"), "1");

    let csv = world.get(&world.viewer, &world.at("/transactions?format=csv")).await;
    assert!(csv.header("content-type").starts_with("text/csv"));
    assert_eq!(csv.text.lines().count(), items.len() + 1);
    let verdict = world.get(&world.viewer, &world.at("/transactions/verify")).await;
    assert_eq!(verdict.body["intact"], true);
    assert_eq!(verdict.body["entries"], items.len());
}

#[tokio::test]
async fn every_list_goes_on_where_the_page_before_ended_and_refuses_a_cursor_of_another_list() {
    let world = World::new().await;
    let v = &world.vendor;
    for n in 0..4 {
        let site = world.site(&format!("Site {n}")).await;
        world.ok(v, Method::POST, &world.at("/groups"), json!({"name": format!("Pool {n}")})).await;
        let device = json!({"id": format!("cam-{n}"), "site": site, "model": "CAM-1"});
        world.ok(v, Method::POST, &world.at("/devices"), device).await;
        let code = json!({ "code": world.issue(1, 365).await });
        world.ok(v, Method::POST, &world.at("/keys/claim"), code).await;
        let model = json!({"product": "door", "units": 4});
        world.ok(v, Method::PUT, &format!("/api/v1/models/DOOR-{n}"), model).await;
        world.ok(v, Method::PUT, &format!("/api/v1/prices/product-{}", 100 + n), json!({"price": 1})).await;
        let name = format!("Org {n}");
        world.ok(v, Method::POST, "/api/v1/organizations", json!({ "name": name })).await;
    }
    let own = ["/sites", "/groups", "/devices", "/keys", "/unassigned", "/transactions"].map(|p| world.at(p));
    let all = ["organizations", "keys", "models", "prices", "api-tokens", "transactions"];
    for path in own.into_iter().chain(all.map(|list| format!("/api/v1/{list}"))) {
        let whole = world.get(v, &path).await.body["items"].as_array().unwrap().clone();
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = world.get(v, &format!("{path}?limit=2{cursor}")).await;
            let items = page.body["items"].as_array().unwrap().clone();
            assert!(items.len() <= 2 && !items.is_empty(), "{path}: no page is empty");
            seen.extend(items);
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert!(seen.len() > 2 && seen == whole, "{path}");
        for forged in ["no%20cursor", "18446744073709551615", "evt_01900000000070008000000000000000"] {
            if path.ends_with("/models") && !forged.starts_with("no")
                || path.ends_with("/devices") && !forged.starts_with("no")
            {
                continue;
            }
            let answer = world.call(v, Method::GET, &format!("{path}?cursor={forged}"), Value::Null).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (422, "BAD_CURSOR"), "{path} {forged}");
        }
    }
    let own = world.get(&world.admin, &format!("/api/v1/organizations?cursor={}", world.org)).await;
    assert_eq!(own.body["items"], json!([]), "a tenant sees only itself, also after a cursor");
}

#[tokio::test]
async fn t1_the_export_has_every_line_however_long_the_log_and_is_filtered() {
    let world = World::new().await;
    for n in 0..260 {
        world.site(&format!("\"Site\", {n}")).await;
    }
    world.clock.advance(coterm_shared::time::Seconds(3600));
    world.site("-Late").await;
    let version: usize =
        world.get(&world.viewer, &world.at("")).await.body["version"].as_u64().unwrap() as usize;
    let csv = world.get(&world.viewer, &world.at("/transactions?format=csv")).await;
    assert_eq!(csv.text.matches("\r\n").count(), version + 1, "a header, and every line of the log");
    let late =
        world.get(&world.viewer, &world.at("/transactions?format=csv&since=2027-01-01T00:30:00Z")).await;
    let sites = late.text.matches("site-created").count();
    assert!(late.text.contains("-Late") && sites >= 1 && !late.text.contains("Site"), "{}", late.text);
    let page = world.get(&world.viewer, &world.at("/transactions?since=2027-01-01T00:30:00Z")).await;
    assert_eq!(page.body["items"].as_array().unwrap().len() + 1, late.text.matches("\r\n").count());
}

#[tokio::test]
async fn supervisors_need_no_credential_and_every_answer_is_named() {
    let world = World::new().await;
    for path in ["/health", "/ready"] {
        let request =
            axum::http::Request::get(path).header("x-request-id", "abc.1").body(axum::body::Body::empty());
        let answer = world.send(request.unwrap()).await;
        assert_eq!((answer.status, answer.header("x-request-id")), (StatusCode::OK, "abc.1"));
    }
    // A name that is not fit for a log is replaced.
    let headers = [("x-request-id", "a b\tc")];
    let answer = world.call_with(&world.vendor, Method::GET, "/api/v1/whoami", Value::Null, &headers).await;
    assert_ne!(answer.header("x-request-id"), "a b\tc");
    assert_eq!(answer.text("/role"), "vendor");
}
