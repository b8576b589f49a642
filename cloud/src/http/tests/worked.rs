//! The worked examples of the co-termination date (domain §2) come out exactly: in the preview, in the group and in the
//! log, as fractions.

use super::world::World;
use axum::http::Method;
use serde_json::{Value, json};

/// 2027-01-01T00:00:00Z, when the tests take place.
const NOW: u128 = 1_798_761_600;
const DAY: u128 = 86_400;
/// A twelfth of a year (domain D2).
const MONTH: u128 = 2_628_000;

/// A key: product, quantity, days, bought so many seconds ago.
type Bought = (&'static str, u64, u64, u128);

/// `whole + numerator / denominator` seconds as it is written, in lowest terms.
fn exactly(whole: u128, numerator: u128, denominator: u128) -> String {
    let numerator = whole * denominator + numerator;
    let (mut a, mut b) = (numerator, denominator);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    if denominator == a {
        format!("{}", numerator / a)
    } else {
        format!("{}/{}", numerator / a, denominator / a)
    }
}

/// Claims the keys one after the other and looks at the date everywhere it is told.
async fn check(keys: &[Bought], before_last: Option<&str>, expect: &str, days: &str) {
    let world = World::new().await;
    let price = json!({ "price": 249 });
    world.ok(&world.vendor, Method::PUT, "/api/v1/prices/environmental-sensor", price).await;
    let group = world.ok(&world.admin, Method::POST, &world.at("/groups"), json!({ "name": "North" })).await;
    let group = group.text("/id");
    let mut seen = Value::Null;
    for (product, quantity, term_days, ago) in keys {
        let at = u64::try_from(NOW - ago).unwrap();
        let created_at = coterm_shared::time::Timestamp::from_secs(at).unwrap();
        let order = json!({ "order_number": "SO-1", "term_days": term_days, "created_at": created_at,
            "lines": [{ "product": product, "quantity": quantity }] });
        let code = world.ok(&world.vendor, Method::POST, "/api/v1/keys", order).await.text("/code");
        let (path, body) = (world.at("/keys/claim"), json!({ "code": code, "group": group }));
        let preview =
            world.ok(&world.admin, Method::POST, &format!("{path}?dry_run=true"), body.clone()).await;
        seen = preview.body["groups"][0].clone();
        world.ok(&world.admin, Method::POST, &path, body).await;
    }
    assert_eq!(seen["before"]["coterm_exact_secs"].as_str(), before_last);
    assert_eq!(seen["after"]["coterm_exact_secs"], expect);
    let shown = world.get(&world.viewer, &world.at(&format!("/groups/{group}"))).await;
    assert_eq!(shown.text("/coterm_exact_secs"), expect);
    let log = world.get(&world.viewer, &world.at("/transactions")).await;
    let judged = log.body["items"].as_array().unwrap().iter().rev();
    let last = judged.map(|entry| &entry["event"]).find(|event| event["type"] == "group-assessed").unwrap();
    assert_eq!(
        (last["group"].as_str(), last["before"]["coterm"].as_str(), last["after"]["coterm"].as_str()),
        (Some(group.as_str()), before_last, Some(expect)),
        "{last}"
    );
    // The date that is enforced is the exact one, floored.
    let (numerator, denominator) = expect.split_once('/').unwrap_or((expect, "1"));
    let floor = numerator.parse::<u64>().unwrap() / denominator.parse::<u64>().unwrap();
    let floor = coterm_shared::time::Timestamp::from_secs(floor).unwrap();
    assert_eq!(shown.text("/coterm_at"), floor.to_string());
    let rounded = (u128::from(floor.as_secs()) - NOW + DAY / 2) / DAY;
    assert_eq!(rounded.to_string(), days);
}

#[tokio::test]
async fn one_year_and_three_years_of_a_camera_are_two_years() {
    let first = exactly(NOW + 365 * DAY, 0, 1);
    check(
        &[("camera", 1, 365, 0), ("camera", 1, 1095, 0)],
        Some(&first),
        &exactly(NOW + 730 * DAY, 0, 1),
        "730",
    )
    .await;
}

#[tokio::test]
async fn a_camera_and_a_dearer_sensor_end_after_172645_over_224_days() {
    let first = exactly(NOW + 365 * DAY, 0, 1);
    let both = exactly(NOW, 172_645 * DAY, 224);
    check(&[("camera", 1, 365, 0), ("environmental-sensor", 1, 1095, 0)], Some(&first), &both, "771").await;
}

#[tokio::test]
async fn three_cameras_at_month_four_move_the_date_by_twelve_thirteenths_of_a_month() {
    let first = exactly(NOW + 8 * MONTH, 0, 1);
    let both = exactly(NOW, 116 * MONTH, 13);
    // 8 months were left: 116/13 - 8 = 12/13.
    assert_eq!(both, exactly(NOW + 8 * MONTH, 12 * MONTH, 13));
    check(&[("camera", 10, 365, 4 * MONTH), ("camera", 3, 365, 0)], Some(&first), &both, "271").await;
}
