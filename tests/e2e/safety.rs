//! What locks too many waits for a second person, and a freeze holds what would happen (domain E6), with real programs.

use coterm_shared::enforcement::OperatingMode;
use coterm_tests::cloud::Cloud;
use coterm_tests::device::{Device, Obeys};
use coterm_tests::operator::{CAMERA, Operator, Tenant};
use coterm_tests::wait::{eventually, holds};

/// Another member of the vendor's staff.
fn colleague(cloud: &Cloud, name: &str) -> Operator {
    let made = cloud.vendor().json(&["token", "create", name, "--role", "vendor"]);
    let file = cloud.dir().join(format!("{name}.token"));
    std::fs::write(&file, made["token"].as_str().expect("it is shown once")).expect("a file");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
    Operator::new(cloud.url(), file)
}

/// The digest of what an operation would do now.
fn looked_at(tenant: &Tenant, held: &str) -> String {
    let shown = tenant.json(&["held", "show", held]);
    shown["preview"]["digest"].as_str().unwrap_or_else(|| panic!("no digest: {shown}")).to_owned()
}

#[test]
fn e6_a_lockout_waits_for_a_second_person_and_a_freeze_holds_it_back() {
    let cloud = Cloud::start_with(&["tokens.lease_secs=6"]);
    let tenant = cloud.vendor().organization("Acme", 1, 3_600);
    let group = tenant.group("North");
    let strict = ["org", "settings", "--hold-share-percent", "0", "--hold-devices", "0", "--yes"];
    let _ = tenant.json(&strict);
    tenant.license(&group, "camera", 1, 365 * 86_400);
    tenant.device("cam-1", "North", CAMERA);
    let mut camera = Device::provision(&cloud, &tenant, "cam-1", Obeys::BySupervision);
    camera.start();
    camera.reaches(OperatingMode::Full);

    // One camera too many would lock both: it waits, and who asked cannot say yes.
    let asker = Tenant { operator: colleague(&cloud, "ada"), id: tenant.id.clone() };
    let claim = ["device", "claim", "cam-2", "--site", "North", "--model", CAMERA, "--yes"];
    let said = asker.coterm(&claim);
    assert_eq!(said.code, 10, "{}", said.stderr);
    assert!(said.stderr.contains("OPERATION_HELD") && said.stderr.contains("ada"), "{}", said.stderr);
    let held = tenant.json(&["held", "list"])["items"][0]["id"].as_str().expect("it waits").to_owned();
    assert!(tenant.show_group(&group).to_string().contains(&held), "said where the schedule is shown");
    let digest = looked_at(&tenant, &held);
    let approve = ["held", "approve", held.as_str(), "--yes", "--digest", digest.as_str()];
    let said = asker.coterm(&approve);
    assert_eq!(said.code, 4, "{}", said.stderr);
    assert!(said.stderr.contains("APPROVAL_BY_ASKER"), "{}", said.stderr);
    let said = tenant.coterm(&["held", "approve", held.as_str(), "--yes"]);
    assert!(said.stderr.contains("APPROVAL_UNSEEN"), "{}", said.stderr);
    camera.reaches(OperatingMode::Full);

    // Frozen, it is carried out and holds nobody up: one lease after the other.
    let frozen = tenant.json(&["org", "freeze", "--yes"]);
    assert!(frozen["safety"].to_string().contains("CONNECTED"), "{frozen}");
    let done = tenant.json(&approve);
    assert_eq!(done["state"], "approved", "{done}");
    let mut last = camera.holds_token();
    for _ in 0..3 {
        last = eventually("the next lease", || {
            let state = camera.state()?;
            holds(state.mode == OperatingMode::Full, &state)?;
            state.token.filter(|held| *held > last).ok_or_else(|| format!("{state:?}"))
        });
    }
    let shown = tenant.show_device("cam-1");
    assert_eq!(shown["enforcement"], "grace", "{shown}");

    let _ = tenant.json(&["org", "unfreeze", "--yes"]);
    camera.reaches(OperatingMode::ManagementLocked);
    let log = tenant.json(&["log", "list"]).to_string();
    for event in ["operation-held", "held-operation-approved", "enforcement-frozen", "enforcement-unfrozen"] {
        assert!(log.contains(event), "{event} is in the log: {log}");
    }
}
