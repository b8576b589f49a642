//! Coming dates over HTTP: as JSON and as a calendar that a strict reader takes.

use super::world::World;
use axum::http::{Method, StatusCode};
use coterm_shared::time::{Seconds, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A group `Süd; "A", B` with one licensed camera; the group's id.
async fn licensed(world: &World) -> String {
    let name = "S\u{fc}d; \"A\", B \\ with a name that is long enough to be folded once or twice \u{20ac}\u{20ac}\u{20ac}";
    let group =
        world.ok(&world.admin, Method::POST, &world.at("/groups"), json!({ "name": name })).await.text("/id");
    let body = json!({ "name": "HQ", "group": group });
    let site = world.ok(&world.admin, Method::POST, &world.at("/sites"), body).await.text("/id");
    let claim = json!({ "code": world.issue(1, 365).await, "group": group });
    world.ok(&world.admin, Method::POST, &world.at("/keys/claim"), claim).await;
    let device = json!({ "id": "cam-1", "site": site, "model": "CAM-1" });
    world.ok(&world.admin, Method::POST, &world.at("/devices"), device).await;
    group
}

/// The lines of a calendar as a reader has them: unfolded, every one ended as RFC 5545 wants it.
fn lines(text: &str) -> Vec<String> {
    assert!(text.ends_with("\r\n") && !text.replace("\r\n", "").contains(['\r', '\n']));
    assert!(text.split("\r\n").all(|line| line.len() <= 75), "no line has more than 75 octets");
    text.trim_end().replace("\r\n ", "").split("\r\n").map(str::to_owned).collect()
}

fn values<'a>(lines: &'a [String], property: &str) -> Vec<&'a str> {
    lines.iter().filter_map(|line| line.strip_prefix(property)?.strip_prefix(':')).collect()
}

#[tokio::test]
async fn the_dates_ahead_are_those_of_the_books() {
    let world = World::new().await;
    let group = licensed(&world).await;
    let json = world.get(&world.viewer, &world.at("/calendar")).await;
    let dates: Vec<_> = json.body["dates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|date| (date["at"].as_str().unwrap(), date["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(
        dates,
        [
            ("2028-01-01T00:00:00Z", "term-ends"),
            ("2028-01-31T00:00:00Z", "devices-lock"),
            ("2028-03-31T00:00:00Z", "devices-stop")
        ]
    );
    assert_eq!(json.text("/dates/0/uid"), format!("term-ends.{group}.1"));
    let near = world.get(&world.viewer, &world.at("/calendar?until=2028-01-31T00:00:00Z")).await;
    assert_eq!(near.body["dates"].as_array().unwrap().len(), 2);
    // The same books are the same answer, however late it is.
    world.clock.advance(Seconds::days(10));
    let known = [("if-none-match", json.header("etag"))];
    let again =
        world.call_with(&world.viewer, Method::GET, &world.at("/calendar"), Value::Null, &known).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    // The clock gets to the first of them: it is over, and the others come.
    world.clock.advance("2028-01-01T00:00:00Z".parse::<Timestamp>().unwrap().since(world.books.now()));
    assert_eq!(world.get(&world.viewer, &world.at("/calendar")).await.text("/dates/0/kind"), "devices-lock");
}

#[tokio::test]
async fn a_calendar_is_folded_escaped_and_moves_its_events_instead_of_making_new_ones() {
    let world = World::new().await;
    let group = licensed(&world).await;
    let path = world.at("/calendar?format=ics");
    let answer = world.get(&world.viewer, &path).await;
    assert_eq!(answer.header("content-type"), "text/calendar; charset=utf-8");
    let first = lines(&answer.text);
    assert_eq!((first[0].as_str(), first[1].as_str()), ("BEGIN:VCALENDAR", "VERSION:2.0"));
    assert_eq!(first.last().map(String::as_str), Some("END:VCALENDAR"));
    for property in ["PRODID", "CALSCALE", "METHOD", "X-WR-CALNAME"] {
        assert_eq!(values(&first, property).len(), 1, "{property}");
    }
    let events = first.iter().filter(|line| *line == "BEGIN:VEVENT").count();
    assert_eq!(events, 3);
    for property in ["UID", "DTSTAMP", "DTSTART", "SUMMARY", "DESCRIPTION", "SEQUENCE"] {
        assert_eq!(values(&first, property).len(), events, "{property}: one in every event");
    }
    assert_eq!(values(&first, "DTSTART")[0], "20280101T000000Z");
    assert!(values(&first, "SUMMARY")[0].contains("S\u{fc}d\\; \"A\"\\, B \\\\ with"), "{first:?}");
    assert_eq!(values(&first, "UID")[0], format!("term-ends.{group}.1@{}", world.org));
    assert_eq!(world.get(&world.viewer, &path).await.text, answer.text, "the same books are the same text");
    // A key moves the date: the same events, later, and a higher number.
    let claim = json!({ "code": world.issue(1, 730).await, "group": group });
    world.ok(&world.admin, Method::POST, &world.at("/keys/claim"), claim).await;
    let moved = lines(&world.get(&world.viewer, &path).await.text);
    assert_eq!(values(&moved, "UID"), values(&first, "UID"));
    assert!(values(&moved, "DTSTART")[0] > values(&first, "DTSTART")[0]);
    let number = |lines: &[String]| values(lines, "SEQUENCE")[0].parse::<u64>().unwrap();
    assert!(number(&moved) > number(&first));
    assert_eq!(values(&moved, "UID").iter().collect::<BTreeSet<_>>().len(), 3);
    // An organization with nothing ahead has an empty calendar.
    let empty = format!("/api/v1/organizations/{}/calendar?format=ics", world.foreign);
    let empty = lines(&world.get(&world.vendor, &empty).await.text);
    assert_eq!(values(&empty, "UID"), Vec::<&str>::new());
}

#[tokio::test]
async fn a_calendar_is_for_who_reads_the_organization_and_takes_no_token_in_its_address() {
    let world = World::new().await;
    licensed(&world).await;
    for (query, code) in [
        ("until=2026-01-01T00:00:00Z", "AT_IS_PAST"),
        ("until=later", "INVALID_VALUE"),
        ("format=csv", "INVALID_VALUE"),
        ("at=2028-01-01T00:00:00Z", "UNKNOWN_FIELD"),
        ("token=ctk_x", "UNKNOWN_FIELD"),
    ] {
        let path = world.at(&format!("/calendar?{query}"));
        let answer = world.call(&world.viewer, Method::GET, &path, Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, code), "{query}");
    }
    let open = axum::http::Request::get(world.at(&format!("/calendar?format=ics&token={}", world.viewer)));
    let answer = world.send(open.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(answer.code(), "UNAUTHENTICATED");
    let foreign = format!("/api/v1/organizations/{}/calendar?format=ics", world.foreign);
    let answer = world.call(&world.viewer, Method::GET, &foreign, Value::Null).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}
