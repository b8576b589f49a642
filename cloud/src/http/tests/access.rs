//! The access question over HTTP (domain E8): answers, tags, the feed, and what strangers may learn.

use super::world::World;
use axum::http::{Method, StatusCode};
use coterm_shared::time::{Seconds, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;

/// The clock goes on to an instant.
fn until(world: &World, instant: &str) {
    let at: Timestamp = instant.parse().unwrap();
    world.clock.advance(at.since(world.books.now()));
}

/// An organization with one licensed camera, `cam-1`, in a site of Group 1; the site's id.
async fn licensed(world: &World) -> String {
    let group = world.get(&world.admin, &world.at("")).await.text("/default_group");
    let body = json!({ "name": "HQ", "group": group });
    let site = world.ok(&world.admin, Method::POST, &world.at("/sites"), body).await.text("/id");
    let code = world.issue(1, 365).await;
    let claim = json!({ "code": code, "group": group });
    world.ok(&world.admin, Method::POST, &world.at("/keys/claim"), claim).await;
    let device = json!({ "id": "cam-1", "site": site, "model": "CAM-1" });
    world.ok(&world.admin, Method::POST, &world.at("/devices"), device).await;
    site
}

#[tokio::test]
async fn e8_everyone_who_reads_the_organization_gets_the_answer_and_why() {
    let world = World::new().await;
    let site = licensed(&world).await;
    let path = world.at("/access?device=cam-1&action=configure");
    let open = world.get(&world.viewer, &path).await;
    assert_eq!((open.body["allowed"].as_bool(), open.text("/code").as_str()), (Some(true), "OPEN"));
    assert_eq!(open.text("/closes_at"), "2028-01-31T00:00:00Z", "the lock that is announced");
    assert_eq!(open.header("valid-until"), "2028-01-01T00:00:00Z");
    assert_eq!(open.header("cache-control"), "private, max-age=10, must-revalidate");
    until(&world, "2028-01-30T23:59:55Z");
    assert!(world.get(&world.admin, &path).await.header("cache-control").contains("max-age=5,"));
    until(&world, "2028-02-01T00:00:00Z");
    for token in [&world.viewer, &world.admin, &world.vendor] {
        let closed = world.get(token, &path).await;
        assert_eq!(
            (closed.body["allowed"].as_bool(), closed.text("/code").as_str()),
            (Some(false), "DEVICE_LOCKED")
        );
        assert_eq!(closed.text("/since"), "2028-01-31T00:00:00Z");
        assert_eq!(closed.text("/reasons/0/code"), "TERM_ENDED");
        assert!(closed.text("/hint").contains("claim a license key"));
        assert!(closed.text("/note").contains("has not heard"));
    }
    let license = world.get(&world.viewer, &world.at("/access?device=cam-1&action=license")).await;
    assert_eq!(
        (license.body["allowed"].as_bool(), license.text("/code").as_str()),
        (Some(true), "ALWAYS_ALLOWED")
    );
    let of_site = world.get(&world.viewer, &world.at(&format!("/access?site={site}"))).await;
    assert_eq!(of_site.text("/code"), "SITE_CLOSED");
    assert_eq!(world.get(&world.viewer, &world.at("/access")).await.text("/code"), "OPEN");
    until(&world, "2028-06-01T00:00:00Z");
    assert_eq!(world.get(&world.viewer, &world.at("/access")).await.text("/code"), "ORGANIZATION_STOPPED");
    // And yet every license page answers.
    for page in ["", "/groups", "/keys", "/sites", "/devices", "/transactions"] {
        world.get(&world.viewer, &world.at(page)).await;
    }
}

#[tokio::test]
async fn e8_an_answer_has_the_same_tag_until_it_is_another() {
    let world = World::new().await;
    let site = licensed(&world).await;
    let (one, list) = (world.at("/access?device=cam-1"), world.at("/access/denied"));
    let tags = |answers: [super::world::Answer; 2]| answers.map(|answer| answer.header("etag").to_owned());
    let ask = async || [world.get(&world.viewer, &one).await, world.get(&world.viewer, &list).await];
    let open = tags(ask().await);
    assert!(open.iter().all(|tag| tag.starts_with('"') && tag.len() == 34), "{open:?}");
    // Another version, another second, the same answers.
    world
        .ok(&world.admin, Method::PATCH, &world.at(&format!("/sites/{site}")), json!({"name": "Depot"}))
        .await;
    world.clock.advance(Seconds::days(3));
    assert_eq!(tags(ask().await), open);
    for (path, tag) in [&one, &list].into_iter().zip(&open) {
        let known = [("if-none-match", tag.as_str())];
        let answer = world.call_with(&world.viewer, Method::GET, path, Value::Null, &known).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NOT_MODIFIED, ""), "{path}");
        assert!(!answer.header("cache-control").is_empty(), "how long it may be kept is said again");
    }
    until(&world, "2028-02-01T00:00:00Z");
    let locked = tags(ask().await);
    assert!(locked.iter().zip(&open).all(|(new, old)| new != old));
    for (path, tag) in [&one, &list].into_iter().zip(&open) {
        let known = [("if-none-match", tag.as_str())];
        let answer = world.call_with(&world.viewer, Method::GET, path, Value::Null, &known).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
    let listed = world.get(&world.viewer, &list).await;
    assert_eq!(listed.body["count"], 2);
    let first = world.get(&world.viewer, &world.at("/access/denied?limit=1")).await;
    assert_eq!(first.text("/items/0/id"), site);
    assert_eq!(first.header("etag"), locked[1], "every page has the tag of the list");
    let cursor = first.text("/next_cursor");
    let rest = world.get(&world.viewer, &world.at(&format!("/access/denied?limit=1&cursor={cursor}"))).await;
    assert_eq!(
        (rest.text("/items/0/id").as_str(), rest.text("/items/0/state").as_str()),
        ("cam-1", "management-locked")
    );
    assert!(rest.body["next_cursor"].is_null());
}

#[tokio::test]
async fn e8_the_feed_tells_of_changes_as_they_come_and_of_dates_that_pass() {
    let world = World::new().await;
    licensed(&world).await;
    let start = world.get(&world.viewer, &world.at("/access/changes")).await;
    assert_eq!(start.body["resync"], true, "whoever knows nothing reads the list");
    let feed = world.get(&world.viewer, &world.at("/access/denied")).await.text("/feed");
    assert_eq!(start.text("/feed"), feed);
    let quiet = world.get(&world.viewer, &world.at(&format!("/access/changes?after={feed}&wait=0"))).await;
    assert_eq!(
        (quiet.body["resync"].as_bool(), quiet.body["changes"].as_array().map(Vec::len)),
        (Some(false), Some(0))
    );
    let path = world.at(&format!("/access/changes?after={feed}&wait=25"));
    // A change of the books wakes who waits: a retired device is closed.
    let retire = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let retire = world.at("/devices/cam-1/retire");
        world.ok(&world.admin, Method::POST, &retire, Value::Null).await;
    };
    let (told, ()) = tokio::join!(world.get(&world.viewer, &path), retire);
    assert_eq!(told.text("/changes/0/code"), "DEVICE_RETIRED");
    // So does a date that passes without anybody changing anything.
    let path = world.at(&format!("/access/changes?after={}&wait=25", told.text("/feed")));
    let pass = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        until(&world, "2027-04-01T00:00:00Z");
    };
    let (told, ()) = tokio::join!(world.get(&world.viewer, &path), pass);
    assert_eq!(told.text("/changes/0/state"), "stopped");
    // Whoever knew the list from before hears all of it at once, and an unknown cursor is told to start again.
    let all = world.get(&world.viewer, &world.at(&format!("/access/changes?after={feed}"))).await;
    assert_eq!(all.body["changes"].as_array().map(Vec::len), Some(1));
    let unknown = world.at(&format!("/access/changes?after={}&wait=25", "0".repeat(32)));
    assert_eq!(world.get(&world.viewer, &unknown).await.body["resync"], true, "at once");
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_and_strangers_learn_nothing() {
    let mut world = World::new().await;
    let site = licensed(&world).await;
    let nobody = "site_01900000000070008000000000000000";
    for (query, status, code) in [
        ("access?device=a/b", 422, "INVALID_VALUE"),
        ("access?site=7", 422, "INVALID_VALUE"),
        ("access?action=everything", 422, "INVALID_VALUE"),
        (&format!("access?device=cam-1&site={site}"), 422, "CONFLICTING_FIELDS"),
        ("access?devise=cam-1", 422, "UNKNOWN_FIELD"),
        ("access?device=cam-2", 404, "NOT_FOUND"),
        (&format!("access?site={nobody}"), 404, "NOT_FOUND"),
        ("access/denied?cursor=cam-1", 422, "BAD_CURSOR"),
        ("access/denied?limit=0", 422, "OUT_OF_RANGE"),
        ("access/changes?after=v1", 422, "BAD_CURSOR"),
        ("access/changes?wait=26", 422, "OUT_OF_RANGE"),
    ] {
        let answer =
            world.call(&world.viewer, Method::GET, &world.at(&format!("/{query}")), Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{query}: {}", answer.text);
    }
    // To another tenant a device of this one, one that does not exist, and an organization that is none are alike.
    std::mem::swap(&mut world.org, &mut world.foreign);
    for query in ["access?device=cam-1", "access?device=none", "access", "access/denied", "access/changes"] {
        let foreign =
            world.call(&world.viewer, Method::GET, &world.at(&format!("/{query}")), Value::Null).await;
        let unknown = format!("/api/v1/organizations/org_01900000000070008000000000000000/{query}");
        let unknown = world.call(&world.viewer, Method::GET, &unknown, Value::Null).await;
        assert_eq!((foreign.status, &foreign.text), (StatusCode::NOT_FOUND, &unknown.text), "{query}");
    }
    // A cursor of another organization's feed says nothing of it: it is read as one that is not remembered here.
    let foreign = world.get(&world.vendor, &world.at("/access/denied")).await.text("/feed");
    std::mem::swap(&mut world.org, &mut world.foreign);
    until(&world, "2028-02-01T00:00:00Z");
    let answer = world.get(&world.viewer, &world.at(&format!("/access/changes?after={foreign}"))).await;
    assert_eq!(answer.body["resync"], true);
}
