//! Files in and out (decision 0021), with the real programs: looked at, refused, applied, exported, and all or nothing
//! when the cloud is killed in the middle.

use coterm_tests::cloud::Cloud;
use coterm_tests::operator::{CAMERA, Tenant};
use coterm_tests::wait::{eventually, holds, rounds};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

/// The exit statuses that count here, as `coterm exit-codes` tells them.
const INVALID: i32 = 3;
const CONFLICT: i32 = 6;

const DAY: u64 = 86_400;

fn write(cloud: &Cloud, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = cloud.dir().join(name);
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

fn tenant(cloud: &Cloud, name: &str) -> Tenant {
    cloud.vendor().organization(name, DAY, DAY)
}

/// Imports a file that must be good.
#[track_caller]
fn import(tenant: &Tenant, kind: &str, file: &str) -> Value {
    tenant.json(&["import", kind, file, "--yes"])
}

/// Sites for devices, with licenses for a thousand of them.
fn prepare(cloud: &Cloud, tenant: &Tenant) {
    import(tenant, "groups", &write(cloud, "groups.csv", "name\nNorth\nSouth\n"));
    let sites = "path,group\r\nHQ,North\r\n\"HQ/Floor \"\"1\"\", east\",\r\nDepot,South\r\nDepot/=1+1,\r\n";
    import(tenant, "sites", &write(cloud, "sites.csv", format!("\u{feff}{sites}")));
    let orders = "order_number,key,product,quantity,weight,term_days,created_at,group\n\
        PO-1,a,camera,9000,150,3650,2026-01-01T00:00:00Z,North\nPO-1,a,door,4,80,3650,2026-01-01T00:00:00Z,North\n\
        PO-2,,camera,9000,199,3000,2026-02-01T12:30:00Z,South\nPO-3,,camera,3,,3000,2026-03-01T00:00:00Z,\n";
    import(tenant, "orders", &write(cloud, "orders.csv", orders));
}

fn devices(count: usize) -> String {
    let line = |n: usize| {
        let site = ["HQ", "\"HQ/Floor \"\"1\"\", east\"", "Depot", "Depot/=1+1"][n % 4];
        format!("cam-{n},{CAMERA},{site}\n")
    };
    std::iter::once(String::from("id,model,site\n")).chain((0..count).map(line)).collect()
}

fn count(tenant: &Tenant) -> u64 {
    let shown = tenant.operator.get(&format!("/organizations/{}", tenant.id));
    shown["active_devices"].as_u64().unwrap_or_else(|| panic!("{shown}"))
}

/// The lines of the files of an export that are imported again, in whatever order.
fn books(directory: &Path) -> Vec<(&'static str, BTreeSet<String>)> {
    let read = |name| {
        let text = std::fs::read_to_string(directory.join(name)).expect("it was exported");
        (name, text.lines().map(str::to_owned).collect())
    };
    ["groups.csv", "sites.csv", "orders.csv", "devices.csv"].map(read).into()
}

#[test]
fn a_file_is_looked_at_then_refused_with_every_bad_line_then_applied_and_known_again() {
    let cloud = Cloud::start();
    let tenant = tenant(&cloud, "Acme");
    prepare(&cloud, &tenant);
    let version = tenant.version();
    let good = write(&cloud, "devices.csv", devices(400));

    let looked = tenant.json(&["import", "devices", &good, "--dry-run"]);
    assert_eq!((&looked["imported"], &looked["dry_run"]), (&400.into(), &true.into()), "{looked}");
    assert_eq!((tenant.version(), count(&tenant)), (version, 0), "to look changes nothing");

    // The last lines are bad: an unknown site is a finding of its line, and a name twice, and a cell that is no UTF-8.
    let mut bad = devices(400).into_bytes();
    bad.extend_from_slice(b"cam-401,CAM-1,Nowhere\ncam-7,CAM-1,HQ\n");
    let report = cloud.dir().join("report.json").display().to_string();
    let file = write(&cloud, "bad.csv", &bad);
    let refused = tenant.coterm(&["import", "devices", &file, "--yes", "--report", &report]);
    assert_eq!(refused.code, INVALID, "{}", refused.stderr);
    for part in
        ["line 402, site: SITE_NOT_FOUND", "line 403, id: DEVICE_ALREADY_CLAIMED", "Nothing of the file"]
    {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    let report: Value = serde_json::from_slice(&std::fs::read(&report).expect("a report")).expect("JSON");
    let lines: Vec<(u64, &str, &str)> = report["lines"]
        .as_array()
        .unwrap_or_else(|| panic!("{report}"))
        .iter()
        .map(|line| {
            assert!(line["message"].as_str().is_some_and(|message| !message.is_empty()), "{line}");
            let text = |name: &str| line[name].as_str().unwrap_or_default();
            (line["line"].as_u64().unwrap_or(0), text("column"), text("code"))
        })
        .collect();
    assert_eq!(lines, [(402, "site", "SITE_NOT_FOUND"), (403, "id", "DEVICE_ALREADY_CLAIMED")]);
    let one = write(&cloud, "one.csv", "id,model,site\ncam-401,CAM-1,Nowhere\n");
    let refused = tenant.coterm(&["import", "devices", &one, "--yes"]);
    assert_eq!(refused.code, INVALID, "the file is wrong, not the request: {}", refused.stderr);
    assert_eq!((tenant.version(), count(&tenant)), (version, 0), "one bad line, and nothing is imported");

    import(&tenant, "devices", &good);
    assert_eq!(count(&tenant), 400);
    let again = tenant.coterm(&["import", "devices", &good, "--yes"]);
    assert_eq!(again.code, CONFLICT, "{}", again.stderr);
    assert!(again.stderr.contains("and 380 more"), "{}", again.stderr);
    assert_eq!(count(&tenant), 400);
}

/// What spreadsheets make of files, and what is no file of this kind at all: each is read or refused in a sentence.
#[test]
fn files_as_spreadsheets_write_them_are_read_or_refused_in_a_sentence() {
    let cloud = Cloud::start();
    let tenant = tenant(&cloud, "Acme");
    prepare(&cloud, &tenant);
    let version = tenant.version();
    let refused = [
        ("semicolons", b"id;model;site\ncam-1;CAM-1;HQ\n".as_slice(), "semicolons"),
        ("empty", b"", "the file is empty"),
        ("no line", b"id,model,site\n", "no line besides"),
        ("latin", b"id,model,site\ncam-1,CAM-1,B\xfcro\n", "line 2, site: LINE_MALFORMED"),
        ("utf-16", b"\xff\xfei\0d\0,\0m\0o\0d\0e\0l\0", "UTF-16"),
        ("columns", b"id,site,site,colour\na,HQ,HQ,red\n", "no column `colour`"),
        ("missing", b"id,site,site,colour\na,HQ,HQ,red\n", "column `model` is missing"),
        ("twice", b"id,site,site,colour\na,HQ,HQ,red\n", "column `site` is there twice"),
        ("open quote", b"id,model,site\ncam-1,CAM-1,\"HQ\ncam-2,CAM-1,HQ\n", "line 2"),
    ];
    for (name, bytes, part) in refused {
        let file = write(&cloud, "odd.csv", bytes);
        let said = tenant.coterm(&["import", "devices", &file, "--yes"]);
        assert_eq!(said.code, INVALID, "{name}: {}", said.stderr);
        assert!(said.stderr.contains(part), "{name}: {part}: {}", said.stderr);
    }
    assert_eq!(tenant.version(), version);
    // A line break within quotation marks is part of the cell; the line that is named is the one it begins in.
    let file =
        write(&cloud, "odd.csv", "id,model,site\r\ncam-1,CAM-1,\"No\r\nwhere\"\r\ncam-2,CAM-1,Nope\r\n");
    let said = tenant.coterm(&["import", "devices", &file, "--yes"]);
    assert!(said.stderr.contains("line 2, site") && said.stderr.contains("line 4, site"), "{}", said.stderr);
}

/// The same books come out of an export that was imported elsewhere (decision 0021), settings too.
#[test]
fn an_export_imported_into_a_fresh_installation_exports_the_same_books() {
    let (cloud, other) = (Cloud::start(), Cloud::start());
    let here = tenant(&cloud, "Acme");
    prepare(&cloud, &here);
    import(&here, "devices", &write(&cloud, "devices.csv", devices(40)));
    let _ = here
        .json(&["device", "claim", "door-1", "--site", "HQ", "--model", "DOOR-4", "--doors", "2", "--yes"]);
    let _ = here.json(&["group", "settings", "North", "--grace-secs", "7200", "--yes"]);
    let _ = here.json(&["group", "rename", "Group 1", "Everybody else", "--yes"]);
    let first = cloud.dir().join("export");
    let said = here.coterm(&["export", "--to", &first.display().to_string()]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let log = std::fs::read_to_string(first.join("transactions.csv")).expect("the log");
    assert!(log.lines().count() > 40, "{log}");

    let there = tenant(&other, "Acme again");
    let settings = first.join("organization.json").display().to_string();
    let _ = there.coterm(&["import", "settings", &settings, "--yes"]);
    for kind in ["groups", "sites", "orders", "devices"] {
        import(&there, kind, &first.join(format!("{kind}.csv")).display().to_string());
    }
    let said = there.coterm(&["import", "settings", &settings, "--yes"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let second = other.dir().join("export");
    assert_eq!(there.coterm(&["export", "--to", &second.display().to_string()]).code, 0);
    assert_eq!(books(&first), books(&second));
    for group in ["North", "South", "Everybody else"] {
        let figures = |tenant: &Tenant| {
            let shown = tenant.show_group(group);
            ["coterm_exact_secs", "capacity", "in_use", "compliant", "settings", "overrides"]
                .map(|name| shown[name].clone())
        };
        assert_eq!(figures(&here), figures(&there), "{group}");
    }

    // As one file, which holds the same.
    let archive = cloud.dir().join("acme.tar").display().to_string();
    let said = here.coterm(&["export", "--to", &archive]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let unpacked = std::process::Command::new("tar").args(["-xf", &archive, "-C"]).arg(cloud.dir()).status();
    assert!(unpacked.expect("tar runs").success());
    assert_eq!(books(&first), books(&cloud.dir().join("acme")));
    let again = here.coterm(&["export", "--to", &archive]);
    assert_ne!(again.code, 0, "what is there is not overwritten");
}

/// Killed while the lines are decided, nothing is imported; killed while they are written, all or nothing.
#[test]
fn a_cloud_killed_in_the_middle_of_an_import_has_all_of_it_or_nothing() {
    const LINES: usize = 4_000;
    for phase in ["checking", "writing"].into_iter().cycle().take(2 * rounds()) {
        let mut cloud = Cloud::start();
        let tenant = tenant(&cloud, "Acme");
        prepare(&cloud, &tenant);
        let file = write(&cloud, "devices.csv", devices(LINES));
        let mut command =
            tenant.operator.command(&["import", "devices", &file, "--yes", "--org", &tenant.id]);
        let mut importer =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("coterm starts");
        // As fast as it answers: the phase is short.
        let path = format!("/organizations/{}/imports", tenant.id);
        let seen = loop {
            let (_, seen) = tenant.operator.request("GET", &path, None, &[]);
            if seen["items"][0]["phase"] == phase {
                break true;
            }
            if importer.try_wait().expect("a child").is_some() {
                break false;
            }
        };
        cloud.kill();
        let _ = importer.wait();
        cloud.restart();
        let found = count(&tenant);
        assert!(found == 0 || found == LINES as u64, "{phase}: {found} of {LINES} are there");
        if phase == "checking" && seen && found != 0 {
            // It went on to the end before the signal came.
            assert_eq!(found, LINES as u64);
        }
        assert_eq!(tenant.coterm(&["log", "verify"]).code, 0);
        if found == 0 {
            import(&tenant, "devices", &file);
        }
        eventually("all to be there", || holds(count(&tenant) == LINES as u64, count(&tenant)));
    }
}
