//! Who follows what people are kept out of (domain E8) misses nothing: over restarts of the cloud, and after a gap.

use coterm_tests::cloud::Cloud;
use coterm_tests::operator::{CAMERA, Tenant};
use coterm_tests::process::Process;
use coterm_tests::wait::{eventually, holds, never};
use rustix::process::Signal;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

const YEAR: u64 = 365 * 86_400;

/// `coterm access watch`, and what it printed so far.
struct Follower {
    process: Process,
    log: PathBuf,
}

impl Follower {
    fn start(cloud: &Cloud, tenant: &Tenant) -> Follower {
        let log = cloud.dir().join("watch.log");
        let command = tenant.operator.command(&["access", "watch", "--org", &tenant.id]);
        Follower { process: Process::start("coterm", command, &log), log }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn lines(&self) -> Vec<Value> {
        self.said().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Whether people are let to a device, as somebody knows who only reads these lines.
    fn knows(&self, device: &str) -> bool {
        self.lines().iter().fold(true, |allowed, line| match line {
            line if line["resync"] == true => true,
            line if line["id"] == device => line["allowed"].as_bool().unwrap_or(allowed),
            _ => allowed,
        })
    }

    /// Waits until that reader knows it.
    fn learns(&self, device: &str, allowed: bool) {
        eventually("the follower to learn of it", || holds(self.knows(device) == allowed, self.said()));
    }
}

#[test]
fn e8_a_follower_learns_of_every_change_over_restarts_and_reads_all_again_after_a_gap() {
    let mut cloud = Cloud::start();
    let tenant = cloud.vendor().organization("Acme", 1, 3_600);
    let (north, south) = (tenant.group("North"), tenant.group("South"));
    tenant.license(&south, "camera", 1, YEAR);
    tenant.device("cam-1", "North", CAMERA);
    tenant.device("cam-2", "South", CAMERA);
    let mut follower = Follower::start(&cloud, &tenant);
    // North has no license, and its grace is a second.
    follower.learns("cam-1", false);
    assert!(follower.knows("cam-2"), "{}", follower.said());

    // A crash of the cloud ends nothing: the cursor means the same to the next one.
    cloud.kill();
    eventually("it to be said", || holds(follower.said().contains("UNREACHABLE"), follower.said()));
    cloud.restart();
    eventually("it to be there again", || holds(follower.said().contains("there again"), follower.said()));
    tenant.license(&north, "camera", 1, YEAR);
    follower.learns("cam-1", true);
    assert!(follower.lines().iter().all(|line| line["resync"] != true), "{}", follower.said());

    // What happened while nobody listened and nobody remembers is read whole.
    follower.process.signal(Signal::STOP);
    cloud.kill();
    cloud.restart();
    tenant.device("cam-3", "South", CAMERA);
    // Nobody asks about access meanwhile, so the cloud has nothing to remember.
    eventually("it to be locked", || {
        let shown = tenant.show_device("cam-2");
        holds(shown["enforcement"] == "management-locked", shown)
    });
    follower.process.signal(Signal::CONT);
    follower.learns("cam-2", false);
    follower.learns("cam-3", false);
    assert!(follower.knows("cam-1"), "{}", follower.said());
    assert!(follower.lines().iter().any(|line| line["resync"] == true), "{}", follower.said());
    assert!(follower.process.ended().is_none(), "it goes on until it is interrupted");
}

/// While it is frozen, nothing closes that was open (domain E6, E8); when that ends, it closes a lease later.
#[test]
fn e6_e8_in_a_frozen_organization_nothing_closes() {
    let cloud = Cloud::start_with(&["tokens.lease_secs=4"]);
    let tenant = cloud.vendor().organization("Acme", 5, 3_600);
    let _ = tenant.group("North");
    tenant.device("cam-1", "North", CAMERA);
    let _ = tenant.json(&["org", "freeze", "--yes"]);
    let follower = Follower::start(&cloud, &tenant);
    let check = ["access", "check", "--device", "cam-1", "--action", "configure"];
    never("to be closed", Duration::from_secs(7), || {
        let said = tenant.coterm(&check);
        holds(said.code == 0 && follower.knows("cam-1"), said)
    });
    assert_eq!(tenant.json(&["access", "list"])["items"], serde_json::json!([]));
    let _ = tenant.json(&["org", "unfreeze", "--yes"]);
    follower.learns("cam-1", false);
    assert_eq!(tenant.coterm(&check).code, 9);
}
