//! Groups enabled, and sites and devices on the move, by command.

use super::*;

/// An organization with the groups North and South, the site Depot in North, and the camera cam-1 there.
fn server() -> Server {
    let server = Server::start();
    server.ok(&["model", "put", "CAM-1", "--product", "camera"]);
    server.ok(&["org", "create", "Acme", "--license-groups"]);
    server.ok(&["group", "create", "North"]);
    server.ok(&["group", "create", "South"]);
    server.ok(&["site", "create", "Depot", "--group", "North"]);
    server.ok(&["device", "claim", "cam-1", "--site", "Depot", "--model", "CAM-1", "--yes"]);
    server
}

#[test]
fn groups_are_enabled_once_and_what_is_unassigned_is_listed() {
    let server = Server::start();
    server.ok(&["org", "create", "Acme"]);
    server.fails(&["group", "create", "North"], Exit::Conflict, "GROUPS_NOT_ENABLED");
    // Nobody is there to ask, so what changes for good needs to be said.
    server.fails(&["org", "enable-groups"], Exit::Declined, "NOT_CONFIRMED");
    server.ok(&["org", "enable-groups", "--dry-run"]);
    server.ok(&["org", "enable-groups", "--yes"]);
    server.fails(&["org", "enable-groups", "--yes"], Exit::Conflict, "GROUPS_ALREADY_ENABLED");
    server.ok(&["group", "create", "North"]);
    server.ok(&["org", "settings", "--countdown-days", "10", "--scope", "product", "--yes"]);
    server.ok(&["site", "create", "Depot"]);
    for list in [["org", "unassigned"], ["site", "list"], ["org", "show"]] {
        server.ok(&list);
        server.ok(&[list[0], list[1], "-o", "json"]);
    }
    let long = ["org", "settings", "--countdown-days", "91", "--yes"];
    server.fails(&long, Exit::Invalid, "SETTING_OUT_OF_BOUNDS (countdown_secs)");
    server.ok(&["limits", "set", "--countdown-max-days", "100", "--trial-max-days", "5"]);
    server.ok(&long);
    server.ok(&["group", "settings", "North", "--scope", "group", "--yes"]);
}

#[test]
fn a_site_moves_to_one_place() {
    let server = server();
    server.ok(&["site", "create", "Yard"]);
    server.fails(&["site", "move", "Yard", "--group", "North"], Exit::Declined, "NOT_CONFIRMED");
    server.ok(&["site", "move", "Yard", "--group", "North", "--dry-run"]);
    server.ok(&["site", "move", "Yard", "--group", "North", "--yes"]);
    let again = ["site", "move", "Yard", "--group", "North", "--yes"];
    server.fails(&again, Exit::Conflict, "ALREADY_THERE");
    server.ok(&["site", "move", "Yard", "--into", "Depot", "--yes"]);
    server.fails(&["site", "move", "Depot", "--into", "Yard", "--yes"], Exit::Conflict, "SITE_CYCLE");
    server.ok(&["site", "move", "Yard", "--root", "--yes"]);
    server.fails(&["site", "move", "Yard", "--into", "Nowhere", "--yes"], Exit::NotFound, "NOT_FOUND");
    for wrong in [&["site", "move", "Yard"][..], &["site", "move", "Yard", "--root", "--group", "North"]] {
        server.fails(wrong, Exit::Internal, "error: ");
    }
}

#[test]
fn a_device_moves_is_tried_replaced_and_stolen() {
    let server = server();
    server.ok(&["site", "create", "Yard", "--group", "South"]);
    server.fails(&["device", "move", "cam-1", "--site", "Yard"], Exit::Declined, "NOT_CONFIRMED");
    server.ok(&["device", "move", "cam-1", "--site", "Yard", "--yes"]);
    server.fails(&["device", "convert", "cam-1", "--yes"], Exit::Conflict, "DEVICE_NOT_ON_TRIAL");
    let claim = ["device", "claim", "cam-2", "--site", "Yard", "--model", "CAM-1", "--yes"];
    let with = |trial: &[&'static str]| [&claim[..], trial].concat();
    server.fails(&with(&["--trial-days", "91"]), Exit::Invalid, "SETTING_OUT_OF_BOUNDS (trial_secs)");
    server.fails(&with(&["--trial-days", "1", "--trial-secs", "1"]), Exit::Internal, "error: ");
    server.ok(&with(&["--trial-days", "30"]));
    server.ok(&["device", "convert", "cam-2", "--dry-run"]);
    server.ok(&["device", "convert", "cam-2", "--yes"]);
    server.ok(&["device", "replace", "cam-2", "--by", "cam-3", "--model", "CAM-1", "--yes"]);
    server.fails(&claim, Exit::Conflict, "DEVICE_REPLACED");
    server.ok(&["device", "show", "cam-3"]);
    server.ok(&["device", "stolen", "cam-3", "--yes"]);
    server.fails(&["device", "stolen", "cam-3", "--yes"], Exit::Conflict, "DEVICE_STOLEN");
    server.fails(&["device", "stolen", "none", "--yes"], Exit::NotFound, "DEVICE_NOT_FOUND");
    server.ok(&["device", "list"]);
}

#[test]
fn a_group_is_made_from_a_site_and_the_log_is_asked_by_what_it_names() {
    let server = server();
    server.fails(&["group", "create", "--from-site", "Depot"], Exit::Declined, "NOT_CONFIRMED");
    server.ok(&["group", "create", "--from-site", "Depot", "--dry-run"]);
    server.ok(&["group", "create", "--from-site", "Depot", "--yes"]);
    server.ok(&["group", "show", "Depot"]);
    server.ok(&["group", "create", "West", "--from-site", "Depot", "--yes"]);
    server.ok(&["log", "list", "--group", "West", "--subject", "Depot"]);
}

#[test]
fn a_door_controller_counts_by_its_doors() {
    let server = server();
    server.ok(&["model", "put", "AC-4", "--product", "door", "--units", "4"]);
    let claim = ["device", "claim", "door-1", "--site", "Depot", "--model", "AC-4", "--doors", "3", "--yes"];
    server.ok(&claim);
    server.ok(&["org", "settings", "--door-units", "configured", "--yes"]);
    server.ok(&["device", "doors", "door-1", "2", "--yes"]);
    let none = ["device", "doors", "door-1", "0", "--yes"];
    server.fails(&none, Exit::Invalid, "DOORS_OUT_OF_BOUNDS (doors): ");
    server.ok(&["device", "replace", "door-1", "--by", "door-2", "--model", "AC-4", "--yes"]);
    server.ok(&["limits", "set", "--configured-doors-allowed", "false"]);
    server.ok(&["org", "settings", "--door-units", "model", "--yes"]);
    let again = ["org", "settings", "--door-units", "configured", "--yes"];
    server.fails(&again, Exit::Invalid, "SETTING_OUT_OF_BOUNDS (door_units): ");
}
