//! Every kind of event has its words (domain T1).

use super::*;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const HEX: &str = "01900000000070008000000000000000";

fn id(kind: &str) -> String {
    format!("{kind}_{HEX}")
}

fn names() -> Names {
    let names = [("grp", "North"), ("site", "Dock"), ("key", "ABCDE")];
    Names(names.into_iter().map(|(kind, name)| (id(kind), name.to_owned())).collect::<BTreeMap<_, _>>())
}

fn vera() -> Value {
    json!({"id": "tok_1", "name": "Vera"})
}

fn key() -> Value {
    json!({"id": id("key"), "code_tail": "FGHIJ", "order_number": "O-1", "term_days": 365,
        "created_at": "2027-01-01T00:00:00Z", "ends_at": "2028-01-01T00:00:00Z",
        "lines": [{"product": "door", "quantity": 8, "weight": 1}, {"product": "camera", "quantity": 2, "weight": 1}]})
}

fn active() -> Value {
    json!({"place": "active", "group": id("grp"), "ends_at": "2028-01-01T00:00:00Z"})
}

fn queued() -> Value {
    json!({"place": "queued", "group": id("grp"), "left_secs": 5})
}

fn nowhere() -> Value {
    json!({"place": "unassigned", "since": "2027-01-01T00:00:00Z", "joins_at": "2027-02-01T00:00:00Z",
        "ends_at": "2028-01-01T00:00:00Z"})
}

fn assessed(findings: Value) -> Value {
    let figures =
        json!({"term": "never-licensed", "capacity": {}, "in_use": {"camera": 3}, "active_devices": 3});
    let mut assessment = serde_json::to_value(coterm_shared::licensing::Assessment::default()).unwrap();
    assessment["findings"] = findings;
    json!({"type": "group-assessed", "group": id("grp"), "before": figures, "after": figures,
        "assessment": assessment})
}

/// Events and what is said of each; several where it depends.
fn of_organization() -> Vec<(Value, String)> {
    let (grp, site, code, held) = (id("grp"), id("site"), id("clm"), id("held"));
    let settings = json!({"grace_secs": 2_592_000, "stop_after_lock_secs": 5_184_000, "time_zone": "UTC",
        "scope": "product", "countdown_secs": 90_000, "door_units": "configured"});
    let ladder = "grace 30 days, stop 60 days after the lock, midnight of UTC, a shortfall enforced on the product, \
                  countdown 1 day 1 h, doors count by configured, 50 devices and 20 % put on the way to lock without approval";
    let claim_code = json!({"id": code, "hash": "00".repeat(32), "tail": "XYZ", "site": site, "model": "CAM-1",
        "product": "camera", "units": 1, "approval": true, "issued_at": "2027-01-01T00:00:00Z",
        "ends_at": "2027-02-01T00:00:00Z", "state": "open"});
    let print = "00".repeat(32);
    let five = json!(["a", "b", "c", "d", "e"]);
    let all = vec![
        (
            json!({"type": "organization-founded", "organization": id("org"), "name": "Acme", "settings": settings,
                "default_group": grp, "default_group_name": "Group 1"}),
            "Acme, with group Group 1; one pool",
        ),
        (json!({"type": "groups-enabled"}), "license groups, from now on and for good"),
        (json!({"type": "settings-changed", "settings": settings}), ladder),
        (json!({"type": "group-created", "group": grp, "name": "East", "overrides": {}}), "group East"),
        (json!({"type": "group-renamed", "group": grp, "name": "East"}), "group East"),
        (
            json!({"type": "group-settings-changed", "group": grp, "overrides": {"grace_secs": 60}}),
            "group North: grace 1 min",
        ),
        (
            json!({"type": "group-settings-changed", "group": grp, "overrides": {}}),
            "group North: all as the organization's",
        ),
        (json!({"type": "group-deleted", "group": id("grp")}), "group North"),
        (
            json!({"type": "site-created", "site": site, "name": "Pier", "place": {"place": "within", "parent": site}}),
            "site Pier in site Dock",
        ),
        (
            json!({"type": "site-moved", "site": site, "place": {"place": "root", "group": grp}}),
            "site Dock in North",
        ),
        (json!({"type": "site-moved", "site": site, "place": nowhere()}), "site Dock unassigned"),
        (json!({"type": "site-renamed", "site": site, "name": "Pier"}), "site Pier"),
        (json!({"type": "site-deleted", "site": site}), "site Dock"),
        (
            json!({"type": "device-claimed", "device": "cam-1", "site": site, "model": "CAM-1", "product": "camera",
                "units": 1}),
            "cam-1 at Dock: CAM-1, 1 camera",
        ),
        (
            json!({"type": "doors-configured", "device": "acc-1", "doors": 3, "units": 3}),
            "acc-1: 3 configured doors, consumes 3 units",
        ),
        (
            json!({"type": "units-counted", "units": {"a": 1, "b": 2, "c": 3, "d": 4}}),
            "a 1 unit, b 2 units, c 3 units and 1 more",
        ),
        (json!({"type": "device-moved", "device": "cam-1", "site": site}), "cam-1 to Dock"),
        (json!({"type": "trial-converted", "device": "cam-1"}), "cam-1 uses licenses from now on"),
        (json!({"type": "trial-ended", "device": "cam-1"}), "cam-1, which nobody converted"),
        (
            json!({"type": "device-retired", "device": "cam-1", "why": {"why": "replaced", "by": "cam-2"}}),
            "cam-1 (replaced by cam-2)",
        ),
        (json!({"type": "device-retired", "device": "cam-1", "why": {"why": "stolen"}}), "cam-1 (stolen)"),
        (
            json!({"type": "key-claimed", "key": key(), "place": queued()}),
            "key FGHIJ (8 door, 2 camera) as renewal of North",
        ),
        (json!({"type": "key-placed", "key": id("key"), "place": nowhere()}), "key ABCDE unassigned"),
        (
            json!({"type": "key-split", "key": id("key"), "parts": [{"key": key(), "place": active()},
                {"key": key(), "place": nowhere()}]}),
            "key ABCDE into key FGHIJ (8 door, 2 camera) in North and key FGHIJ (8 door, 2 camera) unassigned",
        ),
        (json!({"type": "key-expired", "key": id("key")}), "key ABCDE, in no group"),
        (
            json!({"type": "key-transferred", "key": id("key"), "to": id("org")}),
            "key ABCDE to org_01900000000070008000000000000000",
        ),
        (json!({"type": "renewals-activated", "group": grp, "keys": 2}), "group North, 2 renewals active"),
        (json!({"type": "term-ended", "group": grp, "keys": 1}), "group North, 1 key retired"),
        (assessed(json!([])), "group North is compliant"),
        (
            assessed(
                json!([{"code": "TERM_ENDED"}, {"code": "OVER_CAPACITY", "product": "camera", "shortfall": 3}]),
            ),
            "group North is NONCOMPLIANT: the license term has ended; 3 more camera unit(s) in use than licensed",
        ),
        (json!({"type": "claim-code-issued", "code": claim_code}), "claim code C: CAM-1 at Dock"),
        (json!({"type": "claim-code-revoked", "code": code}), "claim code C"),
        (
            json!({"type": "enrolment-requested", "code": code, "device": "cam-1", "key": print}),
            "cam-1 with claim code C, waits for approval",
        ),
        (json!({"type": "enrolment-denied", "code": code}), "the device that came with claim code C"),
        (
            json!({"type": "device-enrolled", "code": code, "device": "cam-1", "key": print}),
            "cam-1 with claim code C",
        ),
        (json!({"type": "devices-preauthorised", "devices": five}), "a, b, c and 2 more"),
        (json!({"type": "preauthorisation-ended", "devices": ["a"]}), "a"),
        (
            json!({"type": "operation-held", "operation": {"id": held, "by": vera(), "operation": "move-site",
                "command": "{}", "digest": "00", "groups": [grp], "devices": 60, "lately": 0, "of": 90,
                "held_at": "2027-01-01T00:00:00Z", "expires_at": "2027-01-31T00:00:00Z"}}),
            "`move-site` asked for by Vera is HELD as H: it would put 60 of 90 devices on the way to lock. Until \
             somebody of the vendor other than Vera approves it nothing of it happens and every schedule stays as it \
             is; it is dropped at 2027-01-31T00:00:00Z.",
        ),
        (
            json!({"type": "held-operation-approved", "held": held, "by": vera(), "devices": 60}),
            "H by Vera: 60 devices put on the way to lock",
        ),
        (
            json!({"type": "held-operation-rejected", "held": held, "by": vera()}),
            "H by Vera; nothing of it happened",
        ),
        (
            json!({"type": "held-operation-withdrawn", "held": held, "by": vera()}),
            "H by Vera; nothing of it happened",
        ),
        (
            json!({"type": "held-operation-expired", "held": held}),
            "H, as nobody had decided; nothing of it happened",
        ),
        (json!({"type": "lockout-counted", "devices": 1}), "1 device put on the way to lock"),
        (json!({"type": "enforcement-frozen", "by": vera()}), "this organization, by Vera"),
        (
            json!({"type": "enforcement-unfrozen", "by": vera(), "until": "2027-01-08T00:00:00Z"}),
            "this organization, by Vera; what came due meanwhile comes at 2027-01-08T00:00:00Z, not before",
        ),
    ];
    let named = |words: &str| {
        let words = words.replace("code C", &format!("code {code}"));
        words
            .replace("H by", &format!("{held} by"))
            .replace("H, as", &format!("{held}, as"))
            .replace(" H:", &format!(" {held}:"))
    };
    all.into_iter().map(|(event, words)| (event, named(words))).collect()
}

fn of_the_platform() -> Vec<(Value, String)> {
    let hash = "00".repeat(32);
    let all = [
        (json!({"type": "organization-registered", "organization": id("org"), "name": "Acme"}), "Acme"),
        (json!({"type": "price-set", "product": "camera", "price": 199}), "camera: 199"),
        (json!({"type": "model-put", "model": {"name": "D4", "product": "door", "units": 4}}), "D4: 4 door"),
        (
            json!({"type": "key-issued", "key": key(), "code_hash": hash}),
            "key FGHIJ (8 door, 2 camera), order O-1, 365 days",
        ),
        (
            json!({"type": "key-split", "key": id("key"), "parts": [{"key": key(), "code_hash": hash},
                {"key": key(), "code_hash": hash}]}),
            "key key_01900000000070008000000000000000 into key FGHIJ (8 door, 2 camera) and key FGHIJ (8 door, 2 camera)",
        ),
        (
            json!({"type": "limits-set", "limits": Limits::default()}),
            "grace at most 90 days, stop at least 30 days after the lock, countdown at most 90 days, trial at most 90 \
             days, clocks start anew after 30 days, doors may count as configured, at most 50 devices and 20 % put on the way to \
             lock without approval, held for 30 days, no pace of lockouts",
        ),
        (json!({"type": "everything-frozen", "by": vera()}), "every organization, by Vera"),
        (
            json!({"type": "everything-unfrozen", "by": vera(), "until": "2027-01-08T00:00:00Z"}),
            "every organization, by Vera; what came due meanwhile comes at 2027-01-08T00:00:00Z, not before",
        ),
    ];
    all.into_iter().map(|(event, words)| (event, words.to_owned())).collect()
}

#[test]
fn t1_every_event_has_its_words() {
    let names = names();
    for (said, known) in [
        (of_organization(), Event::all_names().collect::<BTreeSet<_>>()),
        (of_the_platform(), PlatformEvent::NAMES.iter().copied().collect()),
    ] {
        let there: BTreeSet<&str> = said.iter().map(|(event, _)| event["type"].as_str().unwrap()).collect();
        assert_eq!(there, known, "an event without an example here");
        for (event, words) in &said {
            assert_eq!(&names.what(event), words, "{event}");
        }
    }
    // The name an event is asked for is the one it is stored under.
    for (event, _) in of_organization() {
        assert_eq!(serde_json::from_value::<Event>(event.clone()).unwrap().name(), event["type"], "{event}");
    }
    for (event, _) in of_the_platform() {
        assert_eq!(serde_json::from_value::<PlatformEvent>(event.clone()).unwrap().name(), event["type"]);
    }
    let newer = json!({"type": "something-new"});
    assert_eq!(names.what(&newer), "(not known to this version of coterm; see -o json)");
    let mut item = json!({"actor": "tok_1 vendor (ada)", "event": {}});
    names.explain(&mut item);
    assert_eq!(item["who"], "ada");
}
