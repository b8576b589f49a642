//! A site that moves with the licenses it needs (domain G4, K9), in a person's hands: shown, then applied as it was shown.

use coterm_tests::cloud::Cloud;
use coterm_tests::operator::{CAMERA, Tenant};
use serde_json::Value;

const DAY: u64 = 86_400;
/// The exit status for what changed meanwhile, as `coterm exit-codes` tells it.
const CONFLICT: i32 = 6;

/// South holds three cameras for about a year and two of them are in use, one in Depot; North holds one for two years.
fn two_groups(cloud: &Cloud) -> (Tenant, String, String) {
    let tenant = cloud.vendor().organization("Acme", DAY, DAY);
    let (north, south) = (tenant.group("North"), tenant.group("South"));
    tenant.license(&south, "camera", 2, 300 * DAY);
    tenant.license(&north, "camera", 1, 700 * DAY);
    let _ = tenant.json(&["site", "create", "Depot", "--group", &south, "--yes"]);
    for (device, site) in [("cam-1", "North"), ("cam-2", "South"), ("cam-3", "Depot")] {
        tenant.device(device, site, CAMERA);
    }
    (tenant, north, south)
}

fn date(tenant: &Tenant, group: &str) -> String {
    tenant.show_group(group)["coterm_at"].as_str().expect("it has licenses").to_owned()
}

const MOVE: [&str; 6] = ["site", "move", "Depot", "--group", "North", "--bring-licenses"];

#[test]
fn g4_a_plan_is_shown_with_both_dates_and_applied_as_one_change() {
    let cloud = Cloud::start();
    let (tenant, north, south) = two_groups(&cloud);
    let (old_north, old_south, version) = (date(&tenant, &north), date(&tenant, &south), tenant.version());

    let looked = tenant.coterm(&[&MOVE[..], &["--dry-run"]].concat());
    assert_eq!(looked.code, 0, "{}", looked.stderr);
    let preview = tenant.json(&[&MOVE[..], &["--dry-run"]].concat());
    let groups = preview["groups"].as_array().expect("groups");
    assert_eq!(groups.len(), 2, "{preview}");
    let new_date = |id: &str| {
        let group = groups.iter().find(|group| group["group"] == id).expect("both are shown");
        assert_eq!(group["after"]["compliant"], true, "{group}");
        group["after"]["coterm_at"].as_str().expect("it has licenses").to_owned()
    };
    let (new_north, new_south) = (new_date(&north), new_date(&south));
    // What a license of one day more or less does to the mean is moved, nothing is lost (K7, D2).
    assert!(new_north < old_north && new_south == old_south, "{preview}");
    let shown = format!("{old_north} -> {new_north}");
    assert!(looked.stdout.contains(&shown), "{shown}: {}", looked.stdout);
    for part in ["group North: its licenses end EARLIER", "group South", "capacity, camera"] {
        assert!(looked.stdout.contains(part), "{part}: {}", looked.stdout);
    }
    assert_eq!(tenant.version(), version, "to look changes nothing");

    let moved = tenant.json(&[&MOVE[..], &["--yes"]].concat());
    assert_eq!(moved["licenses"].as_array().map(Vec::len), Some(1), "{moved}");
    assert_eq!((date(&tenant, &north), date(&tenant, &south)), (new_north, new_south));
    for group in [&north, &south] {
        let group = tenant.show_group(group);
        assert_eq!(
            (&group["compliant"], &group["state"]),
            (&Value::Bool(true), &"licensed".into()),
            "{group}"
        );
    }
    // One change: one request, and nobody was noncompliant in between (C1, E3).
    let log = tenant.json(&["log", "list"]);
    let entries: Vec<&Value> = log["items"]
        .as_array()
        .expect("a log")
        .iter()
        .filter(|entry| entry["version"].as_u64().or(entry["seq"].as_u64()) > Some(version))
        .collect();
    assert!(entries.len() >= 3, "{log}");
    assert!(entries.iter().all(|entry| entry["request_id"] == entries[0]["request_id"]), "{log}");
    assert!(!Value::from_iter(entries.into_iter().cloned()).to_string().contains("grace-begun"), "{log}");
}

/// K9: what a person says yes to is what was shown; when that is not so any more, nothing changes.
#[test]
fn g4_k9_a_plan_that_changed_meanwhile_is_refused() {
    let cloud = Cloud::start();
    let (tenant, north, south) = two_groups(&cloud);
    let mut terminal = tenant.operator.at_terminal(&[&MOVE[..], &["--org", tenant.id.as_str()]].concat());
    terminal.expect("Apply?");
    assert!(terminal.screen().contains("co-term date"), "{}", terminal.screen());
    // Somebody else licenses more meanwhile: the dates that were shown are not those there would be.
    tenant.license(&south, "camera", 1, 100 * DAY);
    let (version, dates) = (tenant.version(), (date(&tenant, &north), date(&tenant, &south)));
    terminal.press("y\n");
    let (status, screen) = terminal.end();
    assert_eq!(status, CONFLICT, "{screen}");
    assert!(screen.contains("PREVIEW_OUTDATED"), "{screen}");
    assert_eq!((tenant.version(), (date(&tenant, &north), date(&tenant, &south))), (version, dates));
    assert_eq!(tenant.json(&["site", "show", "Depot"])["group"], south.as_str());
    // Looked at again, it is made.
    let _ = tenant.json(&[&MOVE[..], &["--yes"]].concat());
    assert_eq!(tenant.json(&["site", "show", "Depot"])["group"], north.as_str());
}
