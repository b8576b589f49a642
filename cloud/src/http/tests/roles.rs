//! Who may do what, through the real routes: credential × route × tenant.

use super::world::World;
use crate::auth::RoleName;
use crate::clock::Clock;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use coterm_shared::time::Timestamp;
use serde_json::{Value, json};

#[tokio::test]
async fn every_route_asks_for_the_role_it_needs() {
    let world = World::new().await;
    let nobody = "01900000000070008000000000000000";
    let code = world.issue(1, 365).await;
    let reads = [
        "",
        "/unassigned",
        "/groups",
        "/sites",
        "/devices",
        "/access",
        "/access/denied",
        "/access/changes",
        "/calendar",
        "/keys",
        "/held",
        "/notices",
        "/transactions",
        "/transactions/verify",
    ];
    let changes = [
        (Method::PATCH, String::from("/settings"), json!({"grace_secs": 864_000})),
        (Method::POST, "/groups".into(), json!({"name": "New"})),
        (Method::PATCH, format!("/groups/grp_{nobody}"), json!({"name": "X"})),
        (Method::PATCH, format!("/groups/grp_{nobody}/settings"), json!({"grace_secs": 1})),
        (Method::DELETE, format!("/groups/grp_{nobody}"), Value::Null),
        (Method::POST, "/sites".into(), json!({"name": "New"})),
        (Method::PATCH, format!("/sites/site_{nobody}"), json!({"name": "X"})),
        (Method::DELETE, format!("/sites/site_{nobody}"), Value::Null),
        (
            Method::POST,
            "/devices".into(),
            json!({"id": "d", "site": format!("site_{nobody}"), "model": "CAM-1"}),
        ),
        (Method::POST, "/enable-groups".into(), Value::Null),
        (Method::POST, format!("/sites/site_{nobody}/move"), json!({"root": true})),
        (Method::POST, "/devices/none/move".into(), json!({"site": format!("site_{nobody}")})),
        (Method::POST, "/devices/none/convert".into(), Value::Null),
        (Method::POST, "/devices/none/replace".into(), json!({"id": "d", "model": "CAM-1"})),
        (Method::POST, "/devices/none/stolen".into(), Value::Null),
        (Method::POST, "/devices/none/retire".into(), Value::Null),
        (Method::POST, "/devices/none/provision".into(), Value::Null),
        (Method::POST, "/keys/inspect".into(), json!({ "code": code })),
        (Method::POST, "/keys/claim".into(), json!({ "code": code })),
        (Method::POST, format!("/keys/key_{nobody}/move"), json!({"group": format!("grp_{nobody}")})),
        (Method::POST, format!("/keys/key_{nobody}/unclaim"), Value::Null),
        (Method::POST, format!("/keys/key_{nobody}/split"), json!({"parts": []})),
        (Method::POST, format!("/held/held_{nobody}/withdraw"), Value::Null),
        (Method::GET, "/endpoints".into(), Value::Null),
        (Method::POST, "/endpoints".into(), json!({"kind": "email", "address": "ada@example.com"})),
        (Method::DELETE, format!("/endpoints/ept_{nobody}"), Value::Null),
        (Method::POST, format!("/endpoints/ept_{nobody}/rotate"), Value::Null),
        (Method::POST, format!("/endpoints/ept_{nobody}/test"), Value::Null),
        (Method::POST, format!("/notices/ntc_{nobody}/redeliver"), json!({})),
    ];
    let foreign = |rest: &str| format!("/api/v1/organizations/{}{rest}", world.foreign);
    let unknown = |rest: &str| format!("/api/v1/organizations/org_{nobody}{rest}");
    let malformed = |rest: &str| format!("/api/v1/organizations/7{rest}");
    for rest in reads {
        for token in [&world.vendor, &world.admin, &world.viewer] {
            world.get(token, &world.at(rest)).await;
        }
        let answer = world.call(&world.admin, Method::GET, &foreign(rest), Value::Null).await;
        let same = world.call(&world.admin, Method::GET, &unknown(rest), Value::Null).await;
        assert_eq!(
            (answer.status, &answer.text),
            (StatusCode::NOT_FOUND, &same.text),
            "foreign as unknown: {rest}"
        );
        let same = world.call(&world.admin, Method::GET, &malformed(rest), Value::Null).await;
        assert_eq!(
            (answer.status, &answer.text),
            (StatusCode::NOT_FOUND, &same.text),
            "foreign as malformed: {rest}"
        );
    }
    for (method, rest, body) in changes {
        let viewer = world.call(&world.viewer, method.clone(), &world.at(&rest), body.clone()).await;
        assert_eq!((viewer.status, viewer.code()), (StatusCode::FORBIDDEN, "FORBIDDEN"), "{method} {rest}");
        for token in [&world.viewer, &world.admin] {
            let answer = world.call(token, method.clone(), &foreign(&rest), body.clone()).await;
            let same = world.call(token, method.clone(), &unknown(&rest), body.clone()).await;
            assert_eq!((answer.status, &answer.text), (StatusCode::NOT_FOUND, &same.text), "{method} {rest}");
        }
        let admin = world.call(&world.admin, method.clone(), &world.at(&rest), body.clone()).await;
        assert!(![401, 403].contains(&admin.status.as_u16()), "{method} {rest}: {}", admin.text);
    }
    let transfer = format!("{}/keys/key_{nobody}/transfer", world.at(""));
    let [freeze, unfreeze, approve, reject] =
        ["freeze", "unfreeze", "held/held_H/approve", "held/held_H/reject"]
            .map(|verb| world.at(&format!("/{}", verb.replace('H', nobody))));
    let halt = format!("/api/v1/platform/halts/{}/confirm", world.org);
    let vendor_only = [
        (Method::POST, transfer.as_str(), json!({ "to": world.foreign })),
        (Method::POST, freeze.as_str(), Value::Null),
        (Method::POST, unfreeze.as_str(), Value::Null),
        (Method::POST, approve.as_str(), Value::Null),
        (Method::POST, reject.as_str(), Value::Null),
        (Method::GET, "/api/v1/platform/held", Value::Null),
        (Method::POST, "/api/v1/platform/freeze", Value::Null),
        (Method::POST, "/api/v1/platform/unfreeze", Value::Null),
        (Method::POST, "/api/v1/organizations", json!({"name": "N"})),
        (Method::POST, "/api/v1/keys", json!({})),
        (Method::GET, "/api/v1/keys", Value::Null),
        (Method::PUT, "/api/v1/prices/camera", json!({"price": 1})),
        (Method::PUT, "/api/v1/models/X", json!({"product": "camera", "units": 1})),
        (Method::PUT, "/api/v1/limits", json!({})),
        (Method::GET, "/api/v1/transactions", Value::Null),
        (Method::GET, "/api/v1/notices", Value::Null),
        (Method::GET, "/api/v1/transactions/verify", Value::Null),
        (Method::GET, "/api/v1/time", Value::Null),
        (Method::POST, "/api/v1/time/confirm", Value::Null),
        (Method::GET, "/api/v1/platform/halts", Value::Null),
        (Method::POST, halt.as_str(), Value::Null),
        (Method::POST, "/api/v1/api-tokens", json!({"name": "x", "role": "vendor"})),
    ];
    for (method, path, body) in vendor_only {
        for token in [&world.viewer, &world.admin] {
            let answer = world.call(token, method.clone(), path, body.clone()).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}");
        }
        let vendor = world.call(&world.vendor, method.clone(), path, body).await;
        assert!(![401, 403].contains(&vendor.status.as_u16()), "{method} {path}");
    }
    for path in
        ["/api/v1/prices", "/api/v1/models", "/api/v1/limits", "/api/v1/whoami", "/api/v1/organizations"]
    {
        for token in [&world.vendor, &world.admin, &world.viewer] {
            world.get(token, path).await;
        }
    }
    let own = world.get(&world.viewer, "/api/v1/organizations").await;
    assert_eq!(own.body["items"].as_array().unwrap().len(), 1, "a tenant sees only itself");
}

#[tokio::test]
async fn a_missing_wrong_expired_or_revoked_credential_is_none() {
    let world = World::new().await;
    let start: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    let expired = world.token(9, RoleName::Vendor, None, Some(start), start);
    let revoked = world.token(8, RoleName::Vendor, None, None, start);
    world.get(&revoked, "/api/v1/whoami").await;
    let id = format!("/api/v1/api-tokens/tok_{}", "08".repeat(16));
    world.ok(&world.vendor, Method::DELETE, &id, Value::Null).await;
    let bearer = |token: &str| format!("Bearer {token}");
    let wrong = format!("ctk_{}", "0".repeat(40));
    let basic = format!("Basic {}", world.vendor);
    let (expired, revoked, wrong) = (bearer(&expired), bearer(&revoked), bearer(&wrong));
    let credentials: [&[&str]; 9] = [
        &[],
        &[""],
        &["Bearer"],
        &["Bearer x"],
        &[&wrong],
        &[&basic],
        &[&expired],
        &[&revoked],
        &[&wrong, &wrong],
    ];
    for credential in credentials {
        // The path is one where a body would be read, and the body is one that would be refused.
        let mut request = Request::post("/api/v1/organizations").header("content-type", "application/json");
        for value in credential {
            request = request.header("authorization", *value);
        }
        let answer = world.send(request.body(Body::from("{")).unwrap()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
            "{credential:?}"
        );
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
}

/// A scraper's credential opens the metrics and nothing else, and says nothing about what exists.
#[tokio::test]
async fn a_monitor_reads_metrics_and_nothing_of_anybodys_books() {
    let world = World::new().await;
    let now = world.clock.now();
    let monitor = world.token(9, RoleName::Monitor, None, None, now);
    let answer = world.call(&monitor, Method::GET, "/metrics", Value::Null).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    // What was asked is told by the template of its route: no id, no name, no credential.
    let route =
        "coterm_http_requests_total{method=\"POST\",route=\"/api/v1/organizations\",status=\"201\"} 2";
    assert!(answer.text.contains(route), "{}", answer.text);
    assert!(
        answer.text.ends_with("# EOF\n")
            && !answer.text.contains(&world.org)
            && !answer.text.contains("ctk_")
    );
    let scraped = world.call(&monitor, Method::GET, "/metrics", Value::Null).await;
    assert!(scraped.text.contains("coterm_http_in_flight 1\n"), "the scrape itself: {}", scraped.text);

    for (token, status) in
        [(world.viewer.as_str(), 403), (&world.admin, 403), (&world.vendor, 200), ("none", 401)]
    {
        let answer = world.call(token, Method::GET, "/metrics", Value::Null).await;
        assert_eq!(answer.status.as_u16(), status);
    }
    let unknown = "/api/v1/organizations/org_01900000000070008000000000000000";
    for path in [
        world.at(""),
        unknown.to_owned(),
        world.at("/groups"),
        String::from("/api/v1/organizations"),
        String::from("/api/v1/prices"),
        String::from("/api/v1/api-tokens"),
        String::from("/api/v1/platform/alarms"),
    ] {
        let answer = world.call(&monitor, Method::GET, &path, Value::Null).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}: {}", answer.text);
    }
    let body = json!({"name": "scraper", "role": "monitor"});
    let admins = world.call(&world.admin, Method::POST, "/api/v1/api-tokens", body.clone()).await;
    assert_eq!(admins.status, StatusCode::FORBIDDEN);
    let vendors = world.call(&world.vendor, Method::POST, "/api/v1/api-tokens", body).await;
    assert_eq!(vendors.status, StatusCode::CREATED, "{}", vendors.text);
}

#[tokio::test]
async fn an_org_admin_hands_out_tokens_of_its_own_organization_only() {
    let world = World::new().await;
    let path = "/api/v1/api-tokens";
    for (role, organization, expect) in [
        ("org-viewer", Some(&world.org), StatusCode::CREATED),
        ("org-admin", Some(&world.org), StatusCode::CREATED),
        ("org-admin", Some(&world.foreign), StatusCode::NOT_FOUND),
        ("vendor", None, StatusCode::FORBIDDEN),
        ("vendor", Some(&world.org), StatusCode::UNPROCESSABLE_ENTITY),
        ("org-admin", None, StatusCode::UNPROCESSABLE_ENTITY),
        ("root", None, StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let body = json!({"name": "x", "role": role, "organization": organization});
        let answer = world.call(&world.admin, Method::POST, path, body).await;
        assert_eq!(answer.status, expect, "{role} {organization:?}: {}", answer.text);
        let body = json!({"name": "x", "role": "org-viewer", "organization": world.org});
        let viewer = world.call(&world.viewer, Method::POST, path, body).await;
        assert_eq!(viewer.status, StatusCode::FORBIDDEN);
    }
    // Neither the vendor's token nor one that never was can be told apart, nor revoked.
    let vendors = world
        .call(&world.admin, Method::DELETE, &format!("{path}/tok_{}", "01".repeat(16)), Value::Null)
        .await;
    let none = world
        .call(&world.admin, Method::DELETE, &format!("{path}/tok_{}", "77".repeat(16)), Value::Null)
        .await;
    assert_eq!((vendors.status, &vendors.text), (StatusCode::NOT_FOUND, &none.text));
    let past = json!({"name": "x", "role": "vendor", "expires_at": "2026-12-31T23:59:59Z"});
    let answer = world.call(&world.vendor, Method::POST, path, past).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, "OUT_OF_RANGE"));
}

#[tokio::test]
async fn the_page_of_routes_names_routes_that_exist_and_who_may_use_them() {
    let world = World::new().await;
    let page = include_str!("../../../../shared/docs/API.md");
    let mut seen = 0;
    for row in page.lines().filter_map(|line| line.strip_prefix("| `")) {
        let mut cells = row.split('|').map(str::trim);
        let Some((method, route)) = cells.next().and_then(|cell| cell.trim_end_matches('`').split_once(' '))
        else {
            continue;
        };
        let Ok(method) = method.parse::<Method>() else { continue };
        let path = match route.strip_prefix('O') {
            Some(rest) => world.at(rest),
            None => route.to_owned(),
        };
        // An empty body changes nothing: at the worst it is refused.
        let path = path.replace("{device}", "none").replace("{kind}", "sites").replace(['{', '}'], "x");
        let viewer = world.call(&world.viewer, method.clone(), &path, Value::Null).await;
        let vendor = world.call(&world.vendor, method.clone(), &path, Value::Null).await;
        let nobody = world.call("none", method, &path, Value::Null).await;
        assert!(!["NO_SUCH_ROUTE", "METHOD_NOT_ALLOWED"].contains(&vendor.code()), "{row}");
        let who = cells.next().unwrap_or("");
        assert_eq!(nobody.status == StatusCode::UNAUTHORIZED, who != "anyone", "{row}");
        let forbidden = [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&viewer.status);
        let detail = ["xgroupx", "xsitex", "xkeyx", "xcodex", "xheldx", "/none"]
            .iter()
            .any(|name| path.contains(name));
        assert_eq!(
            forbidden,
            ["admin", "vendor", "monitor"].contains(&who) || detail,
            "{row}: {}",
            viewer.text
        );
        seen += 1;
    }
    assert!(seen > 40, "only {seen} routes were found on the page");
}
