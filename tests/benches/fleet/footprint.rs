//! P4: what an idle agent weighs on a device, beside `mosquitto_sub` on the same broker with the same kind of certificate,
//! and what it weighs after it has accepted many tokens.
//!
//! The agent is built as it is put on a device, with the profile `device`.

use crate::report::{Goal, Report};
use coterm_tests::cloud::{Cloud, MQTT_PORT};
use coterm_tests::device::{Device, Obeys};
use coterm_tests::forge::{Forger, licensed_for_ever};
use coterm_tests::operator::{CAMERA, Tenant};
use coterm_tests::process::program;
use coterm_tests::rogue::RogueBroker;
use coterm_tests::wait::{eventually, holds};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long both are left alone before they are weighed, and while their processor time is taken.
const SETTLE: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(20);

/// How many tokens it accepts before it is weighed again, and how many may be under way.
const TOKENS: u64 = 100_000;
const UNDER_WAY: u64 = 200;

/// Resident and proportional memory of a process, in kilobytes.
fn weight(pid: u32) -> (f64, f64) {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()
    };
    (field("Rss:"), field("Pss:"))
}

/// Processor time of a process so far, in milliseconds, from its scheduler's own account.
fn processor_ms(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let nanos = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanos.sum::<f64>() / 1e6
}

/// Ends what was started, however this ends.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The agent for devices, built beside the release.
fn agent_program() -> PathBuf {
    let release = program("coterm-agent");
    let target = release.ancestors().nth(2).unwrap();
    let path = target.join("device/coterm-agent");
    assert!(path.is_file(), "build it first: cargo build --profile device -p coterm-agent --bins");
    path
}

/// The same command with the agent for devices.
fn as_on_a_device(command: &Command) -> Command {
    let mut own = Command::new(agent_program());
    own.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => own.env(name, value),
            None => own.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        own.current_dir(directory);
    }
    own
}

/// Lets the device accept [`TOKENS`] tokens, each newer than the last: signed by the daemon's key and published by a broker
/// in its place, because no daemon issues as many in a minute.
fn many_tokens(cloud: &mut Cloud, tenant: &Tenant, device: &Device) {
    let (signer, held) = (Forger::with_the_real_key(cloud), device.holds_token());
    let mut claims = licensed_for_ever(tenant, device.id(), held.epoch);
    cloud.stop();
    let broker = RogueBroker::instead_of(cloud);
    let mut publisher = broker.client(device.dir(), "publisher");
    let topic = format!("coterm/v1/d/{}/token", device.id());
    let first = claims.version.seq;
    let accepted = |seq| {
        eventually("the device to accept what was sent", || {
            holds(device.holds_token().seq == seq, device.state())
        });
    };
    for nth in 1..=TOKENS {
        claims.version.seq = first + nth;
        // The first is kept for the device to find when it is back.
        let taken = publisher.publish(&topic, &signer.token(&claims), nth == 1);
        assert_eq!(taken, Ok(true), "the broker takes it");
        if nth == 1 || nth % UNDER_WAY == 0 {
            accepted(claims.version.seq);
        }
        if nth % (TOKENS / 10) == 0 {
            eprintln!("{nth} of {TOKENS} tokens accepted");
        }
    }
}

pub(crate) fn run() {
    let mut report = Report::new("footprint");
    let mut cloud = Cloud::start_with(&["log.filter=warn"]);
    let tenant = cloud.vendor().organization("Acme", 60, 60);
    let group = tenant.group("North");
    tenant.license(&group, "camera", 2, 365 * 86_400);
    for name in ["cam-1", "cam-2"] {
        tenant.device(name, "North", CAMERA);
    }
    let device = Device::provision(&cloud, &tenant, "cam-1", Obeys::InWordsOnly);
    let other = Device::provision(&cloud, &tenant, "cam-2", Obeys::InWordsOnly);
    // As an installer leaves it, but for the actuator: the harness looks every second, a device every minute.
    let config =
        device.config().replace("observe_secs = 1", "observe_secs = 60").replace("\"debug\"", "\"info\"");
    device.set_config(&config);
    let mut run = as_on_a_device(&device.command(&["run"]));
    let agent = Started(run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let _ = device.holds_token();
    let file = |name: &str| other.dir().join(name);
    let floor = Command::new("mosquitto_sub")
        .args(["-V", "5", "-q", "1", "-h", &cloud.address().to_string(), "-p", &MQTT_PORT.to_string()])
        .args(["-i", "cam-2", "-t", "coterm/v1/d/cam-2/token", "--tls-version", "tlsv1.3"])
        .arg("--cafile")
        .arg(file("broker-ca.crt"))
        .arg("--cert")
        .arg(file("device.crt"))
        .arg("--key")
        .arg(file("device.key"))
        .stdout(Stdio::null())
        .spawn();
    let floor = Started(floor.expect("mosquitto_sub is installed (apt-get install mosquitto-clients)"));
    std::thread::sleep(SETTLE);
    let (before, began) = (processor_ms(agent.0.id()), std::time::Instant::now());
    std::thread::sleep(IDLE);
    let busy = (processor_ms(agent.0.id()) - before) / (began.elapsed().as_secs_f64() * 1e3) * 100.0;
    let (ours, theirs) = (weight(agent.0.id()), weight(floor.0.id()));
    let what = "mosquitto_sub over TLS";
    report.add("P4 agent, idle, resident", "kB", ours.0, Some((theirs.0, what)), Goal::RatioAtMost(1.0));
    report.add("P4 agent, idle, proportional", "kB", ours.1, Some((theirs.1, what)), Goal::RatioAtMost(1.0));
    report.add("P4 agent, idle, processor", "% of a core", busy, None, Goal::AtMost(0.1));
    let size = fs::metadata(agent_program()).unwrap().len() as f64 / 1e6;
    report.add("P4 agent, program", "MB", size, None, Goal::AtMost(5.0));
    drop(floor);
    many_tokens(&mut cloud, &tenant, &device);
    std::thread::sleep(SETTLE);
    let after = weight(agent.0.id());
    let what = "the same agent before";
    report.add(
        "P4 agent, after 100,000 tokens, resident",
        "kB",
        after.0,
        Some((ours.0, what)),
        Goal::RatioAtMost(1.05),
    );
    report.finish();
}
