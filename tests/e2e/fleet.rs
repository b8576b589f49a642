//! The load tool against a real cloud: it is an instrument, so what it says has to be true.

use coterm_tests::cloud::Cloud;
use coterm_tests::process::{program, run};
use serde_json::Value;
use std::process::Command;

fn fleet(cloud: &Cloud, arguments: &[&str]) -> Value {
    let example = program("coterm-cloud").with_file_name("examples").join("coterm-fleet");
    let mut command = Command::new(example);
    let token = cloud.data_dir().join("admin.token");
    command.args(arguments).arg("--server").arg(cloud.url()).arg("--token-file").arg(token);
    let said = run(command);
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"))
}

#[test]
fn every_light_agent_locks_and_is_restored_and_comes_back_after_a_storm() {
    let cloud = Cloud::start();
    let report = fleet(&cloud, &["converge", "--agents", "24", "--rounds", "1"]);
    assert_eq!(report["connecting"]["count"], 24, "{report:#}");
    for (group, devices) in [("small", 10), ("large", 14)] {
        for what in ["answer_to_locked", "answer_to_restored"] {
            assert_eq!(report["measured"][group][what]["count"], devices, "{report:#}");
        }
    }
    // The cloud says the same of them.
    let tenant = report["organization"].as_str().unwrap();
    let devices = cloud.vendor().get(&format!("/organizations/{tenant}/devices?limit=100"));
    let states = devices["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|device| device["id"].as_str().unwrap().starts_with("fleet-"));
    assert_eq!(states.count(), 24);

    let report = fleet(&cloud, &["storm", "--agents", "20", "--max-backoff", "1"]);
    assert_eq!(report["measured"]["back"]["count"], 20, "{report:#}");
    assert_eq!(report["fleet"]["sessions_ended"]["hung up"], 20, "{report:#}");
}
