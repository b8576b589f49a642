//! Reads as of an instant ahead (`?at=`): what is if nothing else happens, and what is no such instant.

use super::world::World;
use axum::http::{Method, StatusCode};
use coterm_shared::time::{Seconds, Timestamp};
use serde_json::{Value, json};

/// A group with one licensed camera and one in an unassigned site, and its reads.
async fn world_ahead() -> (World, Vec<String>) {
    let world = World::new().await;
    let group = world.get(&world.admin, &world.at("")).await.text("/default_group");
    let body = json!({ "name": "HQ", "group": group });
    let site = world.ok(&world.admin, Method::POST, &world.at("/sites"), body).await.text("/id");
    for (mode, days) in [("increase", 365), ("renewal", 730)] {
        let claim = json!({ "code": world.issue(1, days).await, "group": group, "mode": mode });
        world.ok(&world.admin, Method::POST, &world.at("/keys/claim"), claim).await;
    }
    let waiting = world.site("Depot").await;
    for (device, site) in [("cam-1", &site), ("cam-2", &waiting)] {
        let device = json!({ "id": device, "site": site, "model": "CAM-1" });
        world.ok(&world.admin, Method::POST, &world.at("/devices"), device).await;
    }
    let reads = ["", "/groups", "/sites", "/devices", "/devices/cam-1", "/devices/cam-2"].map(String::from);
    let of_group = [format!("/groups/{group}"), format!("/groups/{group}/explain")];
    let of_sites = [site, waiting].map(|site| format!("/sites/{site}"));
    (world, reads.into_iter().chain(of_group).chain(of_sites).collect())
}

#[tokio::test]
async fn e5_a_forecast_is_what_every_read_says_when_the_clock_gets_there_and_says_that_it_is_one() {
    let (world, reads) = world_ahead().await;
    let instants =
        ["2027-01-31T00:00:00Z", "2027-03-02T00:00:00Z", "2028-01-01T00:00:00Z", "2031-06-01T00:00:00Z"];
    let mut said = Vec::new();
    for at in instants {
        for read in &reads {
            let mut answer = world.get(&world.viewer, &world.at(&format!("{read}?at={at}"))).await;
            assert_eq!(answer.text("/forecast/as_of"), at, "{read}");
            assert!(answer.text("/forecast/sentence").contains("if nothing else happens"), "{read}");
            assert_eq!(answer.header("etag"), "", "a forecast is of no state a change could be made on");
            answer.body.as_object_mut().unwrap().remove("forecast");
            said.push(answer.body);
        }
    }
    let mut said = said.into_iter();
    for at in instants {
        world.clock.advance(at.parse::<Timestamp>().unwrap().since(world.books.now()));
        for read in &reads {
            let now = world.get(&world.viewer, &world.at(read)).await;
            assert!(now.body.get("forecast").is_none(), "now is no forecast");
            assert_eq!(Some(now.body), said.next(), "{read} at {at}");
        }
    }
}

#[tokio::test]
async fn k3_g3_a_forecast_counts_renewals_and_countdowns() {
    let (world, reads) = world_ahead().await;
    let group = reads.iter().find(|read| read.starts_with("/groups/")).unwrap();
    let at = async |at: &str| world.get(&world.viewer, &world.at(&format!("{group}?at={at}"))).await;
    assert_eq!(at("2027-01-30T00:00:00Z").await.body["in_use"]["camera"], 1);
    let joined = at("2027-01-31T00:00:00Z").await;
    assert_eq!((&joined.body["in_use"]["camera"], &joined.body["compliant"]), (&json!(2), &json!(false)));
    let renewed = at("2028-01-01T00:00:00Z").await;
    assert_eq!(renewed.text("/coterm_at"), "2029-12-31T00:00:00Z", "the renewal begins with its two years");
    assert_eq!(renewed.body["queued_keys"], 0);
    let last = at("9999-12-31T23:59:59Z").await;
    assert_eq!(last.text("/state"), "stopped");
    assert!(last.body["forecast"]["due_events"].as_u64().unwrap() < 30, "{}", last.body["forecast"]);
}

#[tokio::test]
async fn an_instant_that_is_past_or_none_is_refused_and_strangers_are_told_nothing() {
    let (world, reads) = world_ahead().await;
    world.clock.advance(Seconds::days(1));
    for read in &reads {
        for (at, code) in [
            ("2027-01-01T23:59:59Z", "AT_IS_PAST"),
            ("1970-01-01T00:00:00Z", "AT_IS_PAST"),
            ("10000-01-01T00:00:00Z", "INVALID_VALUE"),
            ("9999-12-31T23:59:60Z", "INVALID_VALUE"),
            ("2028-01-01T00:00:00.5Z", "INVALID_VALUE"),
            ("2028-01-01", "INVALID_VALUE"),
            ("", "INVALID_VALUE"),
            ("%00", "INVALID_VALUE"),
            ("2028-01-01T00:00:00Z&at=2029-01-01T00:00:00Z", "DUPLICATE_FIELD"),
        ] {
            let path = world.at(&format!("{read}?at={at}"));
            let answer = world.call(&world.viewer, Method::GET, &path, Value::Null).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, code), "{path}");
            if code == "AT_IS_PAST" {
                assert!(answer.text("/hint").contains("transactions"), "where the past is");
            }
        }
        world.get(&world.viewer, &world.at(&format!("{read}?at=2027-01-02T00:00:00Z"))).await;
        let foreign = format!("/api/v1/organizations/{}{read}?at=2028-01-01T00:00:00Z", world.foreign);
        let answer = world.call(&world.viewer, Method::GET, &foreign, Value::Null).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{foreign}");
    }
    let change = world.at("/sites?at=2028-01-01T00:00:00Z");
    let answer = world.call(&world.admin, Method::POST, &change, json!({ "name": "X" })).await;
    assert_eq!(answer.code(), "UNKNOWN_FIELD", "nothing is changed ahead of time");
}
