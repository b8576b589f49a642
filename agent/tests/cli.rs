//! The real binary: its commands, its exit codes, and a workload that outlives it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // all of it is a test

#[path = "../src/test_support.rs"]
mod test_support;

use serde_json::Value;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use test_support::*;

fn agent(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coterm-agent"));
    command.arg("--config").arg(dir.join("agent.toml")).args(arguments).stdin(Stdio::null());
    command
}

fn run(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = agent(dir, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A provisioned device whose broker nobody runs, with `sleep` as its workload.
fn device() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(dir.path().join(name), bytes).unwrap();
        std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("root.cose", &root());
    write("keyring.cose", &keyring(1, 1, ISSUED, &[KEY]));
    write("token.cose", &token(&claims(ISSUED)));
    write("locking.cose", &token(&ending(ISSUED + 1, ISSUED + 10, ISSUED + 20)));
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["cam-1".to_owned()]).unwrap().self_signed(&key).unwrap();
    write("device.crt", certificate.pem().as_bytes());
    write("broker-ca.crt", certificate.pem().as_bytes());
    write("device.key", key.serialize_pem().as_bytes());
    let organization = expected().organization;
    write(
        "agent.toml",
        format!(
            "device = \"cam-1\"\norganization = \"{organization}\"\ntrust_domain = \"{}\"\nclass = \"camera\"\n\
             [broker]\nhost = \"127.0.0.1\"\nport = 9\n[[actuator]]\nkind = \"supervise\"\nprogram = \"/bin/sleep\"\n\
             args = [\"1000\"]\n",
            domain()
        )
        .as_bytes(),
    );
    dir
}

fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An agent that is killed with its test.
struct Running(Child);

impl Running {
    fn start(dir: &Path) -> Running {
        Running(agent(dir, &["run"]).stderr(Stdio::null()).spawn().unwrap())
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The workload, killed with its test.
struct Workload(i32);

impl Workload {
    fn of(dir: &Path) -> Workload {
        Workload(Workload::pid(dir))
    }

    fn pid(dir: &Path) -> i32 {
        until("a workload", || {
            let text = std::fs::read_to_string(dir.join("run/workload.pid")).ok()?;
            text.split_ascii_whitespace().next()?.parse().ok()
        })
    }

    fn lives(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        stat.contains("(sleep)") && !stat.contains(") Z ")
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        if self.lives()
            && let Some(pid) = rustix::process::Pid::from_raw(self.0)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

#[test]
fn exit_codes_are_as_documented() {
    let dir = device();
    let empty = tempfile::tempdir().unwrap();
    for (dir, arguments, code) in [
        (dir.path(), &["config"][..], 0),
        (dir.path(), &["config", "--set", "class=toaster"], 3),
        (dir.path(), &["frobnicate"], 2),
        (dir.path(), &["--set", "nonsense", "config"], 2),
        (dir.path(), &["allows", "manage"], 1),
        (dir.path(), &["allows", "operate"], 0),
        (dir.path(), &["status"], 1),
        (dir.path(), &["check"], 1),
        (empty.path(), &["run"], 3),
        (empty.path(), &["status"], 3),
        (empty.path(), &["check"], 1),
        (empty.path(), &["allows", "operate"], 3),
        (empty.path(), &["allows", "operate", "--run-dir", "/nonexistent"], 0),
        (empty.path(), &["config", "--example"], 0),
    ] {
        let (found, _, stderr) = run(dir, arguments);
        assert_eq!(found, code, "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_token_is_verified_without_a_device() {
    let dir = device();
    let verify = |token: &str, more: &[&str]| {
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let organization = expected().organization.to_string();
        let (root, keyring, token) = (path("root.cose"), path("keyring.cose"), path(token));
        let mut arguments = vec!["verify-token", "--root", &root, "--keyring", &keyring];
        arguments.extend(["--organization", &organization, "--device", "cam-1", &token]);
        arguments.extend(more);
        let (code, stdout, _) = run(dir.path(), &arguments);
        (code, serde_json::from_str::<Value>(&stdout).unwrap_or_default())
    };
    let (code, accepted) = verify("token.cose", &[]);
    assert_eq!((code, &accepted["result"], &accepted["mode"]), (0, &"accepted".into(), &"full".into()));
    assert_eq!(accepted["claims"]["version"]["epoch"], 1);
    for (at, mode) in [(ISSUED + 9, "full"), (ISSUED + 10, "management-locked"), (ISSUED + 20, "stopped")] {
        let (_, judged) = verify("locking.cose", &["--at", &test_support::at(at).to_string()]);
        assert_eq!(judged["mode"], mode);
    }
    let version = |n: u64| format!("1:{}", (ISSUED + n) * 1000);
    for (held, code, word) in [(0, 0, "duplicate"), (1, 1, "ROLLBACK")] {
        let (found, json) = verify("token.cose", &["--held", &version(held)]);
        assert_eq!(found, code);
        assert!([&json["relation"], &json["code"]].contains(&&word.into()), "{json}");
    }
    let (code, refused) = verify("root.cose", &[]);
    assert_eq!((code, &refused["result"], &refused["document"]), (1, &"refused".into(), &"token".into()));
    assert_eq!(verify("missing", &[]).0, 2);
}

#[test]
fn the_workload_outlives_the_agent_however_it_ends() {
    let dir = device();
    let first = Running::start(dir.path());
    let workload = Workload::of(dir.path());
    until("the state file", || dir.path().join("run/state.json").exists().then_some(()));
    let mode = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().mode() & 0o777;
    assert_eq!((mode("state"), mode("run"), mode("run/state.json")), (0o700, 0o755, 0o644));
    until("the state on disk", || dir.path().join("state/state.0").exists().then_some(()));
    assert_eq!(mode("state/state.0"), 0o600);

    let (code, _, stderr) = run(dir.path(), &["run"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("another coterm-agent"), "{stderr}");

    first.kill();
    assert!(workload.lives(), "after kill -9");
    // The dead agent's state still answers.
    assert_eq!(run(dir.path(), &["allows", "manage"]).0, 1);
    assert_eq!(run(dir.path(), &["allows", "operate"]).0, 0);

    let second = Running::start(dir.path());
    until("the second agent runs", || {
        let (_, json, _) = run(dir.path(), &["status", "-o", "json"]);
        (serde_json::from_str::<Value>(&json).ok()?["running"] == true).then_some(())
    });
    assert_eq!(Workload::pid(dir.path()), workload.0, "adopted, not doubled");
    assert_eq!(second.terminate(), Some(0));
    assert!(workload.lives(), "after TERM");
    let (code, table, _) = run(dir.path(), &["status"]);
    assert_eq!(code, 0);
    for part in ["management-locked", "never received a license state", "does not run"] {
        assert!(table.contains(part), "{table}");
    }
}

#[test]
fn check_names_what_is_wrong_and_the_cure() {
    let dir = device();
    let lines = || {
        let (_, json, _) = run(dir.path(), &["check", "-o", "json"]);
        let lines: Vec<Value> = serde_json::from_str(&json).unwrap();
        move |subject: &str| {
            let line = lines.iter().find(|line| line["subject"] == subject).unwrap();
            (line["verdict"].as_str().unwrap().to_owned(), line["message"].as_str().unwrap().to_owned())
        }
    };
    let line = lines();
    for (subject, verdict) in [
        ("config", "good"),
        ("clock", "good"),
        ("dns", "good"),
        ("root", "good"),
        ("keyring", "good"),
        ("broker", "bad"),
    ] {
        assert_eq!(line(subject).0, verdict, "{subject}: {}", line(subject).1);
    }
    assert_eq!(line("actuator").0, "good");
    let key = dir.path().join("device.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let certificate = lines()("certificate");
    assert!(certificate.0 == "bad" && certificate.1.contains("chmod 600"), "{certificate:?}");
    std::fs::write(dir.path().join("root.cose"), b"junk").unwrap();
    assert_eq!(lines()("root").0, "bad");
}
