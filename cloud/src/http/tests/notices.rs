//! Where notices go, and what was told, through the interface (domain N1, N2).

use super::world::World;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn n1_an_organization_says_where_its_notices_go_and_a_secret_is_shown_once() {
    let world = World::new().await;
    let endpoints = world.at("/endpoints");
    let hook = json!({"kind": "webhook", "address": "https://hooks.example.com/T0/secret"});
    let key = [("idempotency-key", "once")];
    let made = world.call_with(&world.admin, Method::POST, &endpoints, hook.clone(), &key).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let secret = made.text("/secret");
    assert!(secret.starts_with("whsec_") && secret.len() > 40);
    let again = world.call_with(&world.admin, Method::POST, &endpoints, hook.clone(), &key).await;
    assert_eq!((again.text("/id"), again.body.get("secret")), (made.text("/id"), None), "{}", again.text);
    let twice = world.call(&world.admin, Method::POST, &endpoints, hook).await;
    assert_eq!((twice.status, twice.code()), (StatusCode::CONFLICT, "ENDPOINT_EXISTS"));
    for (kind, address) in [
        ("email", "nobody"),
        ("email", "a@example.com\r\nBcc: b@example.com"),
        ("webhook", "http://example.com/"),
        ("webhook", "https://127.0.0.1/"),
        ("webhook", "https://169.254.169.254/latest/meta-data"),
        ("pigeon", "roof"),
    ] {
        let body = json!({ "kind": kind, "address": address });
        let answer = world.call(&world.admin, Method::POST, &endpoints, body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{address}: {}", answer.text);
    }
    let mail = json!({"kind": "email", "address": "ada@example.com"});
    let mail = world.ok(&world.admin, Method::POST, &endpoints, mail).await;
    let of_mail = format!("{endpoints}/{}", mail.text("/id"));
    let no_secret = world.call(&world.admin, Method::POST, &format!("{of_mail}/rotate"), Value::Null).await;
    assert_eq!((no_secret.status, no_secret.code()), (StatusCode::CONFLICT, "NO_SECRET"));
    let rotate = format!("{endpoints}/{}/rotate", made.text("/id"));
    let rotated = world.ok(&world.admin, Method::POST, &rotate, Value::Null).await;
    assert_ne!(rotated.text("/secret"), secret);
    let list = world.get(&world.admin, &endpoints).await;
    assert_eq!(list.body["items"].as_array().unwrap().len(), 2);
    assert!(!list.text.contains("whsec_"), "secrets are never listed: {}", list.text);
    world.ok(&world.admin, Method::DELETE, &of_mail, Value::Null).await;
    let gone = world.call(&world.admin, Method::DELETE, &of_mail, Value::Null).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn n2_notices_are_listed_with_their_deliveries_and_delivered_again() {
    let world = World::new().await;
    let hook = json!({"kind": "webhook", "address": "https://hooks.example.com/T0/secret"});
    let hook = world.ok(&world.admin, Method::POST, &world.at("/endpoints"), hook).await.text("/id");
    let groups = world.get(&world.admin, &world.at("/groups")).await;
    let site = json!({ "name": "HQ", "group": groups.text("/items/0/id") });
    let site = world.ok(&world.admin, Method::POST, &world.at("/sites"), site).await.text("/id");
    let device = json!({ "id": "cam-1", "site": site, "model": "CAM-1" });
    world.ok(&world.admin, Method::POST, &world.at("/devices"), device).await;
    let test = world.at(&format!("/endpoints/{hook}/test"));
    let test = world.ok(&world.admin, Method::POST, &test, Value::Null).await;
    assert_eq!(test.text("/kind"), "test");
    let first = world.get(&world.viewer, &format!("{}?limit=1", world.at("/notices"))).await;
    assert_eq!(first.text("/items/0/kind"), "test", "the newest first");
    let cursor = first.text("/next_cursor");
    let rest = world.get(&world.viewer, &format!("{}?cursor={cursor}", world.at("/notices"))).await;
    assert_eq!(rest.body["items"].as_array().unwrap().len(), 1);
    let notice = &rest.body["items"][0];
    assert_eq!(notice["kind"], "noncompliant");
    assert_eq!(notice["facts"]["findings"][0]["code"], "NO_LICENSE");
    assert_eq!(notice["facts"]["cures"][0]["cure"], "retire");
    assert_eq!(notice["deliveries"][0]["state"], "waiting");
    assert!(!rest.text.contains("secret"), "whoever reads does not see the path of a URL: {}", rest.text);
    let dead = world.get(&world.viewer, &format!("{}?dead=true", world.at("/notices"))).await;
    assert_eq!(dead.body["items"], json!([]));
    let again = world.at(&format!("/notices/{}/redeliver", notice["id"].as_str().unwrap()));
    let waits = world.call(&world.admin, Method::POST, &again, json!({})).await;
    assert_eq!(waits.status, StatusCode::NOT_FOUND, "it waits: {}", waits.text);
    let all = world.get(&world.vendor, "/api/v1/notices").await;
    assert_eq!(all.body["items"].as_array().unwrap().len(), 2);
}

/// K1, N2: whoever bought a key is told what was issued and how to claim it, once; its code is neither in the notice nor
/// anywhere on disk.
#[tokio::test]
async fn k1_the_buyer_of_a_key_is_told_without_its_code() {
    let world = World::new().await;
    let order = json!({
        "order_number": "PO-7", "lines": [{"product": "camera", "quantity": 10}], "term_days": 365,
        "notify": "bea@buyer.example",
    });
    let dry = world.ok(&world.vendor, Method::POST, "/api/v1/keys?dry_run=true", order.clone()).await;
    assert!(!dry.text.contains("bea@"), "{}", dry.text);
    let key = [("idempotency-key", "order-7")];
    let made = world.call_with(&world.vendor, Method::POST, "/api/v1/keys", order.clone(), &key).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let again = world.call_with(&world.vendor, Method::POST, "/api/v1/keys", order.clone(), &key).await;
    assert_eq!(again.text("/id"), made.text("/id"));
    let all = world.get(&world.vendor, "/api/v1/notices").await;
    let [told] = all.body["items"].as_array().unwrap().as_slice() else { panic!("once: {}", all.text) };
    assert_eq!((&told["kind"], &told["organization"]), (&json!("key-issued"), &Value::Null));
    assert_eq!(told["deliveries"][0]["address"], "bea@buyer.example");
    assert_eq!(told["facts"]["licenses"], json!({"camera": 10}));
    for part in ["10 camera", "365 days", "PO-7", "coterm key claim CODE"] {
        assert!(told["text"].to_string().contains(part), "{part}: {}", told["text"]);
    }
    let code = made.text("/code");
    let bare: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    for text in [&all.text, &String::from_utf8_lossy(&world.on_disk()).into_owned()] {
        assert!(!text.contains(&code) && !text.contains(&bare), "the code is nowhere");
    }
    // Bad input, all of it at once; and nobody is told of what was not issued.
    let mut bad = order.clone();
    (bad["notify"], bad["term_days"]) = (json!("nobody"), json!("x"));
    let refused = world.call(&world.vendor, Method::POST, "/api/v1/keys", bad).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("notify") && refused.text.contains("term_days"), "{}", refused.text);
    let mut too_long = order;
    too_long["term_days"] = json!(4_000_000);
    let refused = world.call(&world.vendor, Method::POST, "/api/v1/keys", too_long).await;
    assert!(refused.status.is_client_error(), "{}", refused.text);
    assert_eq!(world.get(&world.vendor, "/api/v1/notices").await.body["items"].as_array().unwrap().len(), 1);
}
