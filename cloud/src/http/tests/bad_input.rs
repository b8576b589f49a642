//! What is wrong is refused with the right status and code, all of it at once, and never with a 5xx.

use super::world::{Answer, World};
use crate::http::layers::MAX_BODY_BYTES;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

async fn raw(world: &World, kind: Option<&str>, body: impl Into<Body>) -> Answer {
    let mut request =
        Request::post(world.at("/groups")).header("authorization", format!("Bearer {}", world.admin));
    if let Some(kind) = kind {
        request = request.header("content-type", kind);
    }
    world.send(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn bodies_that_are_no_json_objects() {
    let world = World::new().await;
    let json = Some("application/json");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let huge = format!("{{\"name\":\"{}\"}}", "x".repeat(MAX_BODY_BYTES));
    for (kind, body, status, code) in [
        (json, "{", 400, "MALFORMED_JSON"),
        (json, "", 422, "MISSING_FIELD"),
        (json, "[]", 400, "MALFORMED_JSON"),
        (json, "null", 400, "MALFORMED_JSON"),
        (json, "{} {}", 400, "MALFORMED_JSON"),
        (json, "{\"name\":\"\u{0}\"}", 400, "MALFORMED_JSON"),
        (json, deep.as_str(), 400, "MALFORMED_JSON"),
        (json, huge.as_str(), 413, "BODY_TOO_LARGE"),
        (None, "{\"name\":\"x\"}", 415, "NOT_JSON"),
        (Some("text/plain"), "{\"name\":\"x\"}", 415, "NOT_JSON"),
        (Some("application/x-www-form-urlencoded"), "name=x", 415, "NOT_JSON"),
        (Some("Application/JSON; charset=utf-8"), "{\"name\":\"x\"}", 201, ""),
    ] {
        let answer = raw(&world, kind, body.to_owned()).await;
        let shown = &body[..body.len().min(40)];
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (status, code),
            "{kind:?} {shown}: {}",
            answer.text
        );
    }
    // What one reader keeps and another overwrites is nobody's wish; it is refused with whatever else is wrong.
    let twice =
        raw(&world, json, r#"{"name":"a","name":"b","settings":{"grace_secs":1,"grace_secs":2},"x":1}"#)
            .await;
    assert_eq!((twice.status.as_u16(), twice.code()), (422, "DUPLICATE_FIELD"));
    let errors = twice.body["errors"].as_array().unwrap();
    let fields: Vec<&str> = errors.iter().map(|fault| fault["field"].as_str().unwrap()).collect();
    assert!(["name", "settings.grace_secs", "x"].iter().all(|field| fields.contains(field)), "{fields:?}");
    assert!(world.get(&world.admin, &world.at("/groups")).await.text.find("\"a\"").is_none());
    let answer = raw(&world, json, vec![b'"', 0xff, b'"']).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (400, "MALFORMED_JSON"));
}

#[tokio::test]
async fn values_that_make_no_sense() {
    let world = World::new().await;
    let site = world.site("Depot").await;
    world.ok(&world.admin, Method::POST, &world.at("/groups"), json!({"name": "Taken"})).await;
    let claimed = json!({"id": "cam-1", "site": site, "model": "CAM-1"});
    world.ok(&world.admin, Method::POST, &world.at("/devices"), claimed).await;
    let none = "01900000000070008000000000000000";
    let device = |id: &str, model: &str| json!({"id": id, "site": site, "model": model});
    let long = "x".repeat(101);
    let table: Vec<(Method, &str, Value, u16, &str)> = vec![
        (Method::POST, "/groups", json!({}), 422, "MISSING_FIELD"),
        (Method::POST, "/groups", json!({"name": 7}), 422, "WRONG_TYPE"),
        (Method::POST, "/groups", json!({"name": ""}), 422, "NAME_INVALID"),
        (Method::POST, "/groups", json!({"name": "a\nb"}), 422, "NAME_INVALID"),
        (Method::POST, "/groups", json!({ "name": long }), 422, "NAME_INVALID"),
        (Method::POST, "/groups", json!({"name": "taken"}), 409, "NAME_TAKEN"),
        (Method::POST, "/groups", json!({"name": "x", "colour": "red"}), 422, "UNKNOWN_FIELD"),
        (Method::POST, "/groups?dryrun=true", json!({"name": "x"}), 422, "UNKNOWN_FIELD"),
        (Method::POST, "/groups?dry_run=1", json!({"name": "x"}), 422, "WRONG_TYPE"),
        (Method::POST, "/groups?dry_run=true&dry_run=false", json!({"name": "x"}), 422, "DUPLICATE_FIELD"),
        (Method::GET, "/groups?limit=0", Value::Null, 422, "OUT_OF_RANGE"),
        (Method::GET, "/groups?limit=1001", Value::Null, 422, "OUT_OF_RANGE"),
        (Method::GET, "/groups?limit=99999999999999999999", Value::Null, 422, "OUT_OF_RANGE"),
        (Method::GET, "/groups?cursor=..", Value::Null, 422, "BAD_CURSOR"),
        (Method::GET, "/transactions?format=xml", Value::Null, 422, "INVALID_VALUE"),
        // Domain T1: an empty list would say that it never happened.
        (Method::GET, "/transactions?event=nosuch", Value::Null, 422, "INVALID_VALUE"),
        (Method::GET, "/transactions?event=price-set", Value::Null, 422, "INVALID_VALUE"),
        (Method::GET, "/transactions?subject=caf%E9", Value::Null, 422, "INVALID_VALUE"),
        (Method::GET, "/transactions?subject=100%", Value::Null, 422, "INVALID_VALUE"),
        (Method::GET, "/transactions?since=2027-01-01T00:00:00.5Z", Value::Null, 422, "INVALID_VALUE"),
        (Method::PATCH, "/settings", json!({}), 422, "NOTHING_TO_CHANGE"),
        (Method::PATCH, "/settings", json!({"grace_secs": -1}), 422, "OUT_OF_RANGE"),
        (Method::PATCH, "/settings", json!({"grace_secs": 1.5}), 422, "OUT_OF_RANGE"),
        (Method::PATCH, "/settings", json!({"grace_secs": 1e30}), 422, "OUT_OF_RANGE"),
        (Method::PATCH, "/settings", json!({"grace_secs": u64::MAX}), 422, "SETTING_OUT_OF_BOUNDS"),
        (Method::PATCH, "/settings", json!({"grace_secs": "1"}), 422, "WRONG_TYPE"),
        (Method::PATCH, "/settings", json!({"stop_after_lock_secs": 0}), 422, "SETTING_OUT_OF_BOUNDS"),
        (Method::PATCH, "/settings", json!({"time_zone": "Mars/Base"}), 422, "TIME_ZONE_UNKNOWN"),
        (
            Method::POST,
            "/sites",
            json!({"name": "x", "parent": format!("site_{none}")}),
            404,
            "SITE_NOT_FOUND",
        ),
        (
            Method::POST,
            "/sites",
            json!({"name": "x", "group": format!("grp_{none}")}),
            404,
            "GROUP_NOT_FOUND",
        ),
        (Method::POST, "/sites", json!({"name": "x", "group": "North"}), 422, "INVALID_VALUE"),
        (Method::POST, "/sites", json!({"name": "DEPOT"}), 409, "NAME_TAKEN"),
        (Method::POST, "/devices", device("cam-1", "CAM-1"), 409, "DEVICE_ALREADY_CLAIMED"),
        (Method::POST, "/devices", device("a/b", "CAM-1"), 422, "INVALID_VALUE"),
        (Method::POST, "/devices", device("cam-2", "NOPE"), 404, "MODEL_UNKNOWN"),
        (Method::POST, "/devices", device("cam-2", "no pe"), 422, "MODEL_INVALID"),
        (Method::POST, "/devices/none/retire", Value::Null, 404, "DEVICE_NOT_FOUND"),
        (Method::POST, "/devices/cam-1/retire", json!({"x": 1}), 422, "UNKNOWN_FIELD"),
        (Method::GET, "/devices/none", Value::Null, 404, "NOT_FOUND"),
        (Method::GET, "/devices/%2e%2e", Value::Null, 404, "NOT_FOUND"),
        (Method::GET, "/groups/7", Value::Null, 404, "NOT_FOUND"),
        (Method::GET, "/groups/%ff", Value::Null, 400, "MALFORMED_REQUEST"),
        (Method::GET, "/groups/%00", Value::Null, 404, "NOT_FOUND"),
        (Method::POST, "/keys/claim", json!({"code": "ABC"}), 422, "KEY_CODE_MALFORMED"),
        (Method::POST, "/keys/inspect", json!({"code": 7}), 422, "WRONG_TYPE"),
        (Method::GET, "/nothing", Value::Null, 404, "NO_SUCH_ROUTE"),
        (Method::PUT, "/groups", json!({}), 405, "METHOD_NOT_ALLOWED"),
    ];
    for (method, rest, body, status, code) in table {
        let answer = world.call(&world.admin, method.clone(), &world.at(rest), body.clone()).await;
        let found = (answer.status.as_u16(), answer.code());
        assert_eq!(found, (status, code), "{method} {rest} {body}: {}", answer.text);
    }
}

#[tokio::test]
async fn moves_trials_and_replacements_that_make_no_sense() {
    let world = World::new().await;
    let (depot, yard) = (world.site("Depot").await, world.site("Yard").await);
    let default = world.get(&world.admin, &world.at("")).await.text("/default_group");
    let none = "01900000000070008000000000000000";
    let gate = json!({"name": "Gate", "parent": depot});
    let gate = world.ok(&world.admin, Method::POST, &world.at("/sites"), gate).await.text("/id");
    for (id, trial) in [("cam-1", json!(null)), ("cam-2", json!(30))] {
        let claim = json!({"id": id, "site": depot, "model": "CAM-1", "trial_days": trial});
        world.ok(&world.admin, Method::POST, &world.at("/devices"), claim).await;
    }
    world.ok(&world.admin, Method::POST, &world.at("/devices/cam-2/stolen"), Value::Null).await;
    let to_group = json!({ "group": default });
    world.ok(&world.admin, Method::POST, &world.at(&format!("/sites/{yard}/move")), to_group.clone()).await;
    let (depot_move, yard_move) = (format!("/sites/{depot}/move"), format!("/sites/{yard}/move"));
    let claim = |id: &str| json!({"id": id, "site": depot, "model": "CAM-1"});
    let with = |mut body: Value, name: &str, value: Value| {
        body[name] = value;
        body
    };
    let trial = |name: &str, value: Value| with(claim("cam-9"), name, value);
    let table: Vec<(&str, Value, u16, &str)> = vec![
        ("/enable-groups", Value::Null, 409, "GROUPS_ALREADY_ENABLED"),
        ("/enable-groups", json!({"x": 1}), 422, "UNKNOWN_FIELD"),
        (&depot_move, json!({}), 422, "MISSING_FIELD"),
        (&depot_move, json!({"root": false}), 422, "MISSING_FIELD"),
        (&depot_move, json!({"root": "yes"}), 422, "WRONG_TYPE"),
        (&depot_move, json!({"group": default, "root": true}), 422, "CONFLICTING_FIELDS"),
        (&depot_move, json!({"group": default, "parent": yard}), 422, "CONFLICTING_FIELDS"),
        (&depot_move, json!({"group": "North"}), 422, "INVALID_VALUE"),
        (&depot_move, json!({"group": format!("grp_{none}")}), 404, "GROUP_NOT_FOUND"),
        (&depot_move, json!({"parent": format!("site_{none}")}), 404, "SITE_NOT_FOUND"),
        (&depot_move, json!({ "parent": gate }), 409, "SITE_CYCLE"),
        (&depot_move, json!({"root": true}), 409, "ALREADY_THERE"),
        (&yard_move, to_group, 409, "ALREADY_THERE"),
        (&yard_move, json!({ "parent": depot }), 409, "NOT_TO_UNASSIGNED"),
        ("/sites/7/move", json!({"root": true}), 404, "NOT_FOUND"),
        ("/devices/cam-1/move", json!({}), 422, "MISSING_FIELD"),
        ("/devices/cam-1/move", json!({"site": "Yard"}), 422, "INVALID_VALUE"),
        ("/devices/cam-1/move", json!({ "site": depot }), 409, "ALREADY_THERE"),
        ("/devices/cam-1/move", json!({"site": format!("site_{none}")}), 404, "SITE_NOT_FOUND"),
        ("/devices/cam-2/move", json!({ "site": yard }), 409, "DEVICE_RETIRED"),
        ("/devices/none/move", json!({ "site": yard }), 404, "DEVICE_NOT_FOUND"),
        ("/devices/cam-1/convert", Value::Null, 409, "DEVICE_NOT_ON_TRIAL"),
        ("/devices/cam-1/convert", json!({"x": 1}), 422, "UNKNOWN_FIELD"),
        ("/devices/cam-1/replace", json!({"id": "cam-3"}), 422, "MISSING_FIELD"),
        ("/devices/cam-1/replace", json!({"id": "cam-3", "model": "NOPE"}), 404, "MODEL_UNKNOWN"),
        ("/devices/cam-1/replace", json!({"id": "cam-1", "model": "CAM-1"}), 409, "DEVICE_ALREADY_CLAIMED"),
        ("/devices/cam-1/replace", json!({"id": "cam-2", "model": "CAM-1"}), 409, "DEVICE_STOLEN"),
        ("/devices/cam-2/stolen", Value::Null, 409, "DEVICE_STOLEN"),
        ("/devices", claim("cam-2"), 409, "DEVICE_STOLEN"),
        ("/devices", with(claim("cam-1"), "trial_days", json!(1)), 409, "DEVICE_ALREADY_CLAIMED"),
        ("/devices", trial("trial_days", json!(0)), 422, "SETTING_OUT_OF_BOUNDS"),
        ("/devices", trial("trial_days", json!(91)), 422, "SETTING_OUT_OF_BOUNDS"),
        ("/devices", trial("trial_secs", json!(u64::MAX)), 422, "SETTING_OUT_OF_BOUNDS"),
        ("/devices", trial("trial_days", json!(-1)), 422, "OUT_OF_RANGE"),
        ("/devices", trial("trial_days", json!("30")), 422, "WRONG_TYPE"),
        ("/devices", with(trial("trial_days", json!(1)), "trial_secs", json!(1)), 422, "CONFLICTING_FIELDS"),
    ];
    for (rest, body, status, code) in table {
        let answer = world.call(&world.admin, Method::POST, &world.at(rest), body.clone()).await;
        let found = (answer.status.as_u16(), answer.code());
        assert_eq!(found, (status, code), "{rest} {body}: {}", answer.text);
        let preview = world.at(&format!("{rest}?dry_run=true"));
        let preview = world.call(&world.admin, Method::POST, &preview, body.clone()).await;
        assert_eq!(
            (preview.status.as_u16(), preview.code()),
            found,
            "a preview is refused alike: {rest} {body}"
        );
    }
    let group = format!("/groups/{default}/settings");
    for (rest, body, code) in [
        ("/settings", json!({"scope": "all"}), "INVALID_VALUE"),
        ("/settings", json!({"countdown_secs": 0}), "OUT_OF_RANGE"),
        ("/settings", json!({"countdown_secs": 91 * 86_400}), "SETTING_OUT_OF_BOUNDS"),
        (&group, json!({"countdown_secs": 86_400}), "SETTING_NOT_OF_GROUPS"),
    ] {
        let answer = world.call(&world.admin, Method::PATCH, &world.at(rest), body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, code), "{rest} {body}");
    }
}

#[tokio::test]
async fn orders_that_make_no_sense() {
    let world = World::new().await;
    let order = |line: Value, term: Value, created: Value| json!({"order_number": "SO-1", "lines": [line], "term_days": term, "created_at": created});
    let camera = |quantity: Value| json!({"product": "camera", "quantity": quantity});
    let (good, year) = (camera(json!(1)), json!(365));
    for (body, status, code) in [
        (order(camera(json!(0)), year.clone(), Value::Null), 422, "QUANTITY_OUT_OF_BOUNDS"),
        (order(camera(json!(-1)), year.clone(), Value::Null), 422, "OUT_OF_RANGE"),
        (order(camera(json!(1_000_000_001)), year.clone(), Value::Null), 422, "QUANTITY_OUT_OF_BOUNDS"),
        (order(camera(json!(u64::MAX)), year.clone(), Value::Null), 422, "QUANTITY_OUT_OF_BOUNDS"),
        (order(camera(json!(1e20)), year.clone(), Value::Null), 422, "OUT_OF_RANGE"),
        (order(camera(json!("1")), year.clone(), Value::Null), 422, "WRONG_TYPE"),
        (
            order(json!({"product": "gateway", "quantity": 1}), year.clone(), Value::Null),
            409,
            "PRICE_UNKNOWN",
        ),
        (order(json!({"product": "Camera", "quantity": 1}), year.clone(), Value::Null), 422, "INVALID_VALUE"),
        (order(good.clone(), json!(0), Value::Null), 422, "TERM_OUT_OF_BOUNDS"),
        (order(good.clone(), json!(36_501), Value::Null), 422, "TERM_OUT_OF_BOUNDS"),
        (order(good.clone(), json!(u64::MAX), Value::Null), 422, "OUT_OF_RANGE"),
        (order(good.clone(), year.clone(), json!("2027-01-02T00:00:00Z")), 422, "CREATED_IN_FUTURE"),
        (order(good.clone(), year.clone(), json!("9999-12-31T23:59:59Z")), 422, "CREATED_IN_FUTURE"),
        (order(good.clone(), year.clone(), json!("+10000-01-01T00:00:00Z")), 422, "INVALID_VALUE"),
        (order(good.clone(), year.clone(), json!("1969-12-31T23:59:59Z")), 422, "INVALID_VALUE"),
        (order(good.clone(), year.clone(), json!("2027-02-30T00:00:00Z")), 422, "INVALID_VALUE"),
        (order(good.clone(), year.clone(), json!(0)), 422, "WRONG_TYPE"),
        (json!({"order_number": "", "lines": [good.clone()], "term_days": 1}), 422, "ORDER_NUMBER_INVALID"),
        (json!({"order_number": "x", "lines": [], "term_days": 1}), 422, "OUT_OF_RANGE"),
        (
            json!({"order_number": "x", "lines": [good.clone(), good.clone()], "term_days": 1}),
            422,
            "LINES_INVALID",
        ),
    ] {
        let answer = world.call(&world.vendor, Method::POST, "/api/v1/keys", body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{body}: {}", answer.text);
    }
    for (body, code) in [
        (json!({"price": 0}), "WEIGHT_OUT_OF_BOUNDS"),
        (json!({"price": 1_000_000_001}), "WEIGHT_OUT_OF_BOUNDS"),
        (json!({"price": -1}), "OUT_OF_RANGE"),
        (json!({}), "MISSING_FIELD"),
    ] {
        let answer = world.call(&world.vendor, Method::PUT, "/api/v1/prices/camera", body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, code), "{body}");
    }
    // All of it at once: the shape first, then the rules.
    let body = json!({"lines": [{"product": "x", "quantity": "1", "extra": 1}], "term_days": -1, "when": 1});
    let answer = world.call(&world.vendor, Method::POST, "/api/v1/keys", body).await;
    let fields: Vec<_> =
        answer.body["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    assert_eq!(
        fields,
        ["order_number", "lines[0].product", "lines[0].quantity", "lines[0].extra", "term_days", "when"]
    );
    let body = json!({"order_number": "", "lines": [{"product": "camera", "quantity": 0}], "term_days": 0});
    let answer = world.call(&world.vendor, Method::POST, "/api/v1/keys", body).await;
    assert_eq!(answer.body["errors"].as_array().unwrap().len(), 3, "{}", answer.text);
}

#[tokio::test]
async fn guessing_license_keys_is_stopped_and_a_foreign_key_is_as_unknown() {
    let world = World::new().await;
    let theirs = world.issue(1, 365).await;
    let foreign = format!("/api/v1/organizations/{}/keys/claim", world.foreign);
    world.ok(&world.vendor, Method::POST, &foreign, json!({ "code": theirs })).await;
    let unknown = coterm_shared::platform::code::KeyCode::from_random([7; 16]).reveal();
    let path = world.at("/keys/claim");
    let a = world.call(&world.admin, Method::POST, &path, json!({ "code": theirs })).await;
    let b = world.call(&world.admin, Method::POST, &path, json!({ "code": unknown })).await;
    assert_eq!((a.status, &a.text), (StatusCode::NOT_FOUND, &b.text));
    for _ in 0..18 {
        world.call(&world.admin, Method::POST, &path, json!({ "code": unknown })).await;
    }
    let stopped = world.call(&world.admin, Method::POST, &path, json!({ "code": unknown })).await;
    assert_eq!((stopped.status, stopped.code()), (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_WRONG_CODES"));
    assert!(stopped.header("retry-after").parse::<u64>().unwrap() > 0);
    // Only the one who guessed waits.
    let other = world.call(&world.vendor, Method::POST, &path, json!({ "code": unknown })).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn bad_idempotency_keys() {
    let world = World::new().await;
    let long = "x".repeat(129);
    for key in ["", "a b", long.as_str()] {
        let headers = [("idempotency-key", key)];
        let body = json!({"name": "North"});
        let answer = world.call_with(&world.admin, Method::POST, &world.at("/groups"), body, &headers).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "BAD_IDEMPOTENCY_KEY"), "{key:?}");
    }
}
