//! P1 and P7: a fleet of light agents over TLS against a cloud of its own, the real programs both.
//!
//! The agents are the load tool's: the real driver with its verification and ladder, and state in memory instead of on
//! flash. Time counts from the answer of the interface, which comes when the change is on disk, to the order that drives
//! the device. **The floor of P1** is a message of the same size to as many subscribers that only acknowledge, through the
//! same broker library; **that of P7** is bare TLS handshakes of the same kind, plus the pause a device makes.

use crate::floor::Floor;
use crate::report::{Goal, Report, directory, median};
use coterm_tests::cloud::Cloud;
use coterm_tests::process::program;
use serde_json::Value;
use std::process::{Command, Stdio};

const ROUNDS: usize = 3;
/// The longest pause a device makes before it connects again, in seconds.
const BACKOFF_SECS: u64 = 5;

fn agents() -> usize {
    std::env::var("AGENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// Runs the load tool against a fresh cloud.
fn fleet(arguments: &[&str]) -> Value {
    let cloud = Cloud::start_with(&[
        "log.filter=warn",
        "limits.sweep_secs=60",
        "limits.nonce_interval_secs=60",
        "mqtt.embedded.max_connections_per_address=100000",
        "mqtt.embedded.max_connections=100000",
        "mqtt.embedded.handshake_timeout_secs=60",
    ]);
    let json = directory().join("fleet.json");
    let status = Command::new(program("coterm-cloud").with_file_name("examples").join("coterm-fleet"))
        .args(arguments)
        .args(["--agents", &agents().to_string(), "--server", &cloud.url(), "--token-file"])
        .arg(cloud.data_dir().join("admin.token"))
        .arg("--json")
        .arg(&json)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{}", cloud.log());
    serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

fn curve(value: &Value) -> Vec<f64> {
    value["curve_ms"].as_array().unwrap().iter().map(number).collect()
}

/// Percentiles 0 to 100 of what is sorted.
fn percentiles(sorted: &[f64]) -> Vec<f64> {
    (0..=100).map(|percent| sorted[(sorted.len() - 1) * percent / 100]).collect()
}

pub(crate) fn converge() {
    let mut report = Report::new("converge");
    let agents = agents();
    let floors = runtime().block_on(Floor::new(agents).published(ROUNDS));
    let floor = median(floors.iter().map(|round| round[round.len() - 1]).collect());
    let told = fleet(&["converge", "--rounds", &ROUNDS.to_string()]);
    let (small, large) = (&told["measured"]["small"], &told["measured"]["large"]);
    let of_floor = Some((floor, "the same message to subscribers that only acknowledge, the last one"));
    for what in ["locked", "restored"] {
        let last = number(&large[format!("answer_to_{what}")]["max_ms"]);
        let devices = &large["devices"];
        report.add(
            format!("P1 the last of {devices} devices {what}, of {ROUNDS} rounds"),
            "ms",
            last,
            of_floor,
            Goal::RatioAtMost(3.0),
        );
        let p99 = number(&small[format!("answer_to_{what}")]["p99_ms"]);
        report.add(
            format!("P1 a group of 10 in a fleet of {agents} {what}, p99"),
            "ms",
            p99,
            None,
            Goal::AtMost(250.0),
        );
    }
    let middle = floors.iter().min_by(|a, b| a[a.len() - 1].total_cmp(&b[b.len() - 1])).unwrap();
    report.curve(
        format!("P1 a verdict reaches {agents} devices over TLS"),
        "milliseconds since the change was on disk and answered",
        vec![
            ("floor: a message that is only acknowledged".to_owned(), percentiles(middle)),
            ("locked".to_owned(), curve(&large["answer_to_locked"])),
            ("restored".to_owned(), curve(&large["answer_to_restored"])),
        ],
    );
    report.finish();
}

pub(crate) fn storm() {
    let mut report = Report::new("storm");
    let agents = agents();
    let rate = runtime().block_on(Floor::new(agents).handshakes_per_second());
    let told = fleet(&["storm", "--max-backoff", &BACKOFF_SECS.to_string()]);
    let measured = &told["measured"];
    report.add("P7 bare TLS handshakes, both sides with certificates", "/s", rate, None, Goal::Shown);
    // What the goal allows: half as long again as the handshakes alone, and one pause.
    let allowed = 1.5 * agents as f64 / rate * 1e3 + BACKOFF_SECS as f64 * 1e3;
    report.add(
        format!("P7 99 % of {agents} devices back after every connection ended"),
        "ms",
        number(&measured["back"]["p99_ms"]),
        Some((allowed, "1.5 x bare handshakes, and one longest pause")),
        Goal::RatioAtMost(1.0),
    );
    let p99 = |when: &str| number(&measured[when]["p99_ms"]);
    report.add(
        "P7 an answer of the interface meanwhile, p99",
        "ms",
        p99("interface_during"),
        Some((p99("interface_quiet"), "the same when it is quiet")),
        Goal::RatioAtMost(2.0),
    );
    let failed = number(&measured["interface_failed"]);
    report.add("P7 requests meanwhile without an answer", "", failed, None, Goal::Exactly(0.0));
    report.curve(
        format!("P7 {agents} devices come back at once"),
        "milliseconds since every connection ended",
        vec![("connected again".to_owned(), curve(&measured["back"]))],
    );
    report.finish();
}
