//! The worked examples of co-termination, each in three places: `coterm calc` without any server, the interface of a running
//! daemon, and its transaction log. One table; the three must say the same number, exactly (domain D1, D6, T1).

use coterm_shared::time::Timestamp;
use coterm_tests::cloud::Cloud;
use coterm_tests::operator::{Operator, now};
use coterm_tests::process::{program, run};
use serde_json::{Value, json};
use std::process::Command;

const DAY: u64 = 86_400;
/// A twelfth of 365 days (domain D2).
const MONTH: u64 = 2_628_000;

/// A key: product, quantity, list price, term in days, bought so many seconds after the start.
type Bought = (&'static str, u64, u64, u64, u64);

/// A worked example: the keys, and what is told after the last of them is claimed.
struct Example {
    name: &'static str,
    keys: &'static [Bought],
    /// Days from the start to co-termination: exact, and as shown.
    days: (&'static str, i64),
    /// Seconds after the start at which the last key is bought; what is left from there, in months.
    left: (u64, &'static str, &'static str),
    /// By how much the last key moves the date: exact days as explained, exact months, months as shown.
    moved: (&'static str, &'static str, &'static str),
}

const EXAMPLES: &[Example] = &[
    // ((1095*1)+(365*1))/2 = 730 days.
    Example {
        name: "two cameras",
        keys: &[("camera", 1, 199, 365, 0), ("camera", 1, 199, 1095, 0)],
        days: ("730", 730),
        left: (0, "24", "24.00"),
        moved: ("365", "12", "12.00"),
    },
    // ((365*3*249) + (365*1*199)) / ((1*249) + (1*199)) = 771 days.
    Example {
        name: "a camera and a sensor",
        keys: &[("camera", 1, 199, 365, 0), ("environmental-sensor", 1, 249, 1095, 0)],
        days: ("172645/224", 771),
        left: (0, "1419/56", "25.34"),
        moved: ("90885/224", "747/56", "13.34"),
    },
    // 120 camera-months / 10 cameras = 12 remaining months.
    Example {
        name: "ten cameras",
        keys: &[("camera", 10, 199, 365, 0)],
        days: ("365", 365),
        left: (0, "12", "12.00"),
        moved: ("0", "0", "0.00"),
    },
    // 80 + 36 = 116 camera-months / 13 cameras = 8.92 remaining months: the date moved by 0.92 months.
    Example {
        name: "three more at month four",
        keys: &[("camera", 10, 199, 365, 0), ("camera", 3, 199, 365, 4 * MONTH)],
        days: ("5110/13", 393),
        left: (4 * MONTH, "116/13", "8.92"),
        moved: ("365/13", "12/13", "0.92"),
    },
];

fn instant(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs).unwrap()
}

/// `coterm calc` on these lines, counting what is left from `at`.
fn calc(keys: &[Bought], start: u64, at: Timestamp) -> Value {
    let lines: Vec<Value> = keys
        .iter()
        .map(|(product, quantity, price, term_days, after)| {
            json!({ "product": product, "quantity": quantity, "price": price, "term_days": term_days,
                "created_at": instant(start + after) })
        })
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!({ "at": at, "lines": lines }).to_string()).unwrap();
    let mut command = Command::new(program("coterm"));
    command.arg("calc").arg(file.path());
    let said = run(command);
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_str(&said.stdout).unwrap()
}

/// Issues and claims a key to a group; what the preview shows of the group afterwards.
fn claim(operator: &Operator, org: &str, group: &str, key: &Bought, start: u64) -> Value {
    let (product, quantity, price, term_days, after) = key;
    let _ = operator.coterm(&["price", "set", &format!("{product}={price}")]);
    let order = json!({ "order_number": "SO-1", "term_days": term_days, "created_at": instant(start + after),
        "lines": [{ "product": product, "quantity": quantity }] });
    let code = operator.post("/keys", &order)["code"].clone();
    let (path, body) = (format!("/organizations/{org}/keys/claim"), json!({ "code": code, "group": group }));
    let preview = operator.post(&format!("{path}?dry_run=true"), &body);
    let _ = operator.post(&path, &body);
    preview["groups"][0]["after"].clone()
}

#[test]
fn d1_the_worked_examples_are_the_same_number_in_calc_interface_and_log() {
    let cloud = Cloud::start();
    let operator = cloud.vendor();
    for example in EXAMPLES {
        let name = example.name;
        let last = example.keys.len() - 1;
        // The last key is bought just now, the others before it.
        let start = now() - example.keys[last].4;
        let bought = instant(start + example.left.0);

        let told = calc(example.keys, start, bought);
        let shown = |field: &str| told[field].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            (shown("exact_days").as_str(), told["days_shown"].as_i64()),
            (example.days.0, Some(example.days.1)),
            "{name}"
        );
        assert_eq!(
            (shown("remaining_exact_months").as_str(), shown("remaining_months_shown").as_str()),
            (example.left.1, example.left.2),
            "{name}"
        );
        // What the last key moved is what is left at the date before it.
        let before = if last == 0 { told.clone() } else { calc(&example.keys[..last], start, bought) };
        let old: Timestamp = before["coterm_at"].as_str().unwrap().parse().unwrap();
        let moved = calc(example.keys, start, old);
        assert_eq!(
            (moved["remaining_exact_months"].as_str(), moved["remaining_months_shown"].as_str()),
            (Some(example.moved.1), Some(example.moved.2)),
            "{name}"
        );

        let org =
            operator.json(&["org", "create", name, "--license-groups"])["id"].as_str().unwrap().to_owned();
        let path = format!("/organizations/{org}");
        let group = operator.post(&format!("{path}/groups"), &json!({ "name": "North" }))["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let previews: Vec<Value> =
            example.keys.iter().map(|key| claim(&operator, &org, &group, key, start)).collect();
        let group = operator.get(&format!("{path}/groups/{group}"));
        // The fraction of seconds since 1970 is the fraction of days since the start.
        let exact = group["coterm_exact_secs"].as_str().unwrap().to_owned();
        assert_eq!(days_since(&exact, start), example.days.0, "{name}");
        assert_eq!(group["coterm_at"], told["coterm_at"], "{name}");
        assert_eq!(previews[last]["coterm_exact_secs"], exact.as_str(), "the preview said so: {name}");

        let log = operator.get(&format!("{path}/transactions"));
        let judged = log["items"].as_array().unwrap().iter().rev().map(|entry| &entry["event"]);
        let entry = judged.clone().find(|event| event["type"] == "group-assessed").unwrap();
        assert_eq!(entry["after"]["coterm"], exact.as_str(), "{name}");
        if last > 0 {
            assert_eq!(entry["before"]["coterm"], previews[last - 1]["coterm_exact_secs"], "{name}");
            let explained = operator.get(&format!("{path}/groups/{}/explain", group["id"].as_str().unwrap()));
            assert_eq!(explained["moved"]["exact_days"], example.moved.0, "T2: {name}");
        }

        // D8: a later price book moves no existing date.
        for (product, ..) in example.keys {
            let _ = operator.coterm(&["price", "set", &format!("{product}=987654321")]);
        }
        let later = operator.get(&format!("{path}/groups/{}", group["id"].as_str().unwrap()));
        assert_eq!(later["coterm_exact_secs"], exact.as_str(), "D8: {name}");
    }
}

/// Seconds since 1970 as a fraction, to days since `start` in lowest terms.
fn days_since(exact_secs: &str, start: u64) -> String {
    let (numerator, denominator) = exact_secs.split_once('/').unwrap_or((exact_secs, "1"));
    let (numerator, denominator): (u128, u128) = (numerator.parse().unwrap(), denominator.parse().unwrap());
    let (mut a, mut b) = (numerator - u128::from(start) * denominator, denominator * u128::from(DAY));
    let (numerator, denominator) = (a, b);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    if denominator == a {
        format!("{}", numerator / a)
    } else {
        format!("{}/{}", numerator / a, denominator / a)
    }
}
